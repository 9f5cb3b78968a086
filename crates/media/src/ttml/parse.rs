//! From XML to cues.

use std::borrow::Cow;
use std::collections::HashMap;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

use super::{
    paragraph::Paragraph,
    style::{Grid, Style, size},
    time::Clock,
};
use crate::{error::Error, webvtt::Segment};

/// Elements in each other; more is an attack.
const MAX_DEPTH: usize = 128;
/// Styles and regions that are kept.
const MAX_STYLES: usize = 4096;

/// Reads a document. Times are as they stand there; what has no end lasts to `end_ms`. A time that cannot be read
/// is counted, and its element left out.
///
/// # Errors
///
/// [`Error::NotTtml`] for text that is no TTML at all, [`Error::PictureSubtitles`] for subtitles that are pictures.
/// A document that is broken in the middle is read that far, and what is broken counts as one cue.
pub fn parse(bytes: &[u8], end_ms: i64) -> Result<Segment, Error> {
    let text = decode(bytes).ok_or_else(|| Error::NotTtml("neither UTF-8 nor UTF-16".to_owned()))?;
    let mut reader = Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().allow_dangling_amp = true;
    let mut document = Document {
        end: end_ms.saturating_mul(1000),
        ..Document::default()
    };
    loop {
        let event = match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(event) => event,
            Err(error) if document.stack.is_empty() => return Err(Error::NotTtml(error.to_string())),
            Err(_) => {
                document.segment.broken_cues += 1;
                break;
            }
        };
        document.event(&event)?;
    }
    if document.rooted {
        Ok(document.segment)
    } else {
        Err(Error::NotTtml("no <tt> element".to_owned()))
    }
}

/// The text of UTF-8 or, told by its mark or its first character, UTF-16.
pub(super) fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let wide = |from: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units = bytes.chunks_exact(2).map(|pair| from([pair[0], pair[1]]));
        Some(Cow::Owned(
            char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect(),
        ))
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => Some(String::from_utf8_lossy(rest)),
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        [b'<', 0, ..] => wide(u16::from_le_bytes, bytes),
        [0, b'<', ..] => wide(u16::from_be_bytes, bytes),
        _ => Some(String::from_utf8_lossy(bytes)),
    }
}

#[derive(Debug, Default)]
struct Document {
    clock: Clock,
    grid: Grid,
    styles: HashMap<String, Style>,
    regions: HashMap<String, Style>,
    stack: Vec<Frame>,
    paragraph: Option<Paragraph>,
    segment: Segment,
    /// In microseconds.
    end: i64,
    rooted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Root,
    Style,
    Region,
    /// `body`, `div`: what holds others.
    Container,
    Paragraph,
    Span,
    Break,
    /// `head` and what else is only gone through.
    Other,
    /// What is left out with all that is in it.
    Skipped,
}

/// An element that is open.
#[derive(Debug, Clone)]
struct Frame {
    kind: Kind,
    id: Option<String>,
    begin: i64,
    end: i64,
    sequential: bool,
    /// Where the next child of a sequence begins.
    cursor: i64,
    style: Style,
    region: Option<String>,
    preserve: bool,
}

/// The attributes of an element that are looked at.
#[derive(Debug, Default)]
struct Attributes {
    id: Option<String>,
    begin: Option<String>,
    end: Option<String>,
    dur: Option<String>,
    sequential: Option<bool>,
    styles: Option<String>,
    region: Option<String>,
    preserve: Option<bool>,
    own: Style,
}

impl Document {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Error> {
        match event {
            Event::Start(element) => self.open(element)?,
            Event::End(_) => self.close(),
            Event::Text(text) => self.text(&text.xml10_content()),
            Event::CData(text) => self.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = match &*reference.xml10_content() {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "quot" => Some('"'),
                    _ => reference.resolve_char_ref().ok().flatten(),
                };
                // What a document type would have declared has no meaning here.
                self.text(character.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]));
            }
            _ => {}
        }
        Ok(())
    }

    fn attributes(&mut self, element: &BytesStart<'_>, root: bool) -> Attributes {
        let mut found = Attributes::default();
        let mut attributes = element.attributes();
        // Looking for repeated names takes quadratic time.
        for attribute in attributes.with_checks(false).flatten() {
            let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0) else {
                continue;
            };
            let value = value.as_ref();
            match attribute.key.local_name().as_ref() {
                "id" => found.id = Some(value.to_owned()),
                "begin" => found.begin = Some(value.to_owned()),
                "end" => found.end = Some(value.to_owned()),
                "dur" => found.dur = Some(value.to_owned()),
                "timeContainer" => found.sequential = Some(value == "seq"),
                "style" => found.styles = Some(value.to_owned()),
                "region" => found.region = Some(value.to_owned()),
                "space" => found.preserve = Some(value == "preserve"),
                "extent" if root => self.grid.pixels = size(value, "px"),
                "cellResolution" if root => self.grid.cells = size(value, "").unwrap_or(self.grid.cells),
                name if root => self.clock.set(name, value),
                name => found.own.set(name, value, &self.grid),
            }
        }
        found
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), Error> {
        let name = element.local_name();
        let name = name.as_ref();
        let parent = self.stack.last().cloned();
        if self.stack.len() >= MAX_DEPTH {
            return Err(Error::NotTtml(format!("more than {MAX_DEPTH} elements in each other")));
        }
        let kind = match (name, parent.as_ref().map(|parent| parent.kind)) {
            ("tt", None) => Kind::Root,
            (_, None) => {
                return Err(Error::NotTtml(format!(
                    "<{}> instead of <tt>",
                    name.chars().take(40).collect::<String>()
                )));
            }
            (_, Some(Kind::Skipped)) => Kind::Skipped,
            // Pictures stand in for text in subtitles that were made for discs (SMPTE ST 2052-1; IMSC 1 image profile).
            ("image", _) => return Err(Error::PictureSubtitles),
            ("style", _) => Kind::Style,
            ("region", _) => Kind::Region,
            ("body" | "div", _) => Kind::Container,
            ("p", _) => Kind::Paragraph,
            ("span", Some(Kind::Paragraph | Kind::Span)) => Kind::Span,
            ("br", Some(Kind::Paragraph | Kind::Span)) => Kind::Break,
            ("head" | "styling" | "layout", _) => Kind::Other,
            _ => Kind::Skipped,
        };
        let picture = |attribute: quick_xml::events::attributes::Attribute<'_>| attribute.key.local_name().as_ref() == "backgroundImage";
        if matches!(kind, Kind::Container | Kind::Paragraph) && element.attributes().with_checks(false).flatten().any(picture) {
            return Err(Error::PictureSubtitles);
        }
        let attributes = self.attributes(element, kind == Kind::Root);
        let mut frame = match (kind, parent) {
            (Kind::Root, _) | (_, None) => {
                self.rooted = true;
                Frame {
                    kind,
                    id: None,
                    begin: 0,
                    end: i64::MAX,
                    sequential: false,
                    cursor: 0,
                    style: Style::default(),
                    region: None,
                    preserve: false,
                }
            }
            (_, Some(parent)) => self.frame(kind, &attributes, &parent),
        };
        frame.preserve = attributes.preserve.unwrap_or(frame.preserve);
        if kind == Kind::Paragraph {
            let region = frame.region.as_ref().and_then(|region| self.regions.get(region));
            self.paragraph = Some(Paragraph::new(frame.style.settings(region)));
        }
        if kind == Kind::Break
            && let Some(paragraph) = &mut self.paragraph
        {
            paragraph.line_break(frame.style, frame.begin, frame.end.min(self.end));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn frame(&mut self, kind: Kind, attributes: &Attributes, parent: &Frame) -> Frame {
        let mut referenced = Style::default();
        for name in attributes.styles.as_deref().unwrap_or("").split_ascii_whitespace() {
            if let Some(style) = self.styles.get(name) {
                referenced = style.over(referenced);
            }
        }
        let own = attributes.own.over(referenced);
        let region = attributes.region.clone().or(parent.region.clone());
        let mut style = match kind {
            Kind::Style | Kind::Region => own,
            _ => own.over(parent.style.inherited()),
        };
        if attributes.region.is_some()
            && let Some(of_region) = region.as_ref().and_then(|region| self.regions.get(region))
        {
            style = style.over(of_region.inherited());
        }
        let mut read = |text: &Option<String>| match text {
            Some(text) => self.clock.read(text).map(Some).unwrap_or_else(|| {
                self.segment.broken_cues += 1;
                None
            }),
            None => None,
        };
        // §12.2: times count from where the parent, or in a sequence the sibling before, puts them.
        let base = if parent.sequential { parent.cursor } else { parent.begin };
        let (begin, end, dur) = (read(&attributes.begin), read(&attributes.end), read(&attributes.dur));
        let begin = base.saturating_add(begin.unwrap_or(0));
        let end = end.map_or(i64::MAX, |end| base.saturating_add(end));
        let end = dur.map_or(end, |dur| end.min(begin.saturating_add(dur)));
        Frame {
            kind,
            id: attributes.id.clone(),
            begin,
            end: end.min(parent.end),
            sequential: attributes.sequential.unwrap_or(false),
            cursor: begin,
            style,
            region,
            preserve: parent.preserve,
        }
    }

    fn close(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        if let Some(parent) = self.stack.last_mut() {
            let ended = if frame.end == i64::MAX { frame.cursor } else { frame.end };
            parent.cursor = parent.cursor.max(ended);
            // A style within a region is the region's.
            if frame.kind == Kind::Style && parent.kind == Kind::Region {
                parent.style = parent.style.over(frame.style);
                return;
            }
        }
        match frame.kind {
            Kind::Style => keep(&mut self.styles, frame),
            Kind::Region => keep(&mut self.regions, frame),
            Kind::Paragraph => {
                if let Some(paragraph) = self.paragraph.take() {
                    paragraph.cues(&mut self.segment.cues);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        let Some(frame) = self.stack.last().filter(|frame| matches!(frame.kind, Kind::Paragraph | Kind::Span)) else {
            return;
        };
        let end = frame.end.min(self.end);
        if let Some(paragraph) = &mut self.paragraph
            && frame.begin < end
        {
            paragraph.text(text, frame.preserve, frame.style, frame.begin, end);
        }
    }
}

fn keep(map: &mut HashMap<String, Style>, frame: Frame) {
    if let Some(id) = frame.id.filter(|_| map.len() < MAX_STYLES) {
        map.insert(id, frame.style);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::webvtt::Cue;

    const HEAD: &str = r##"<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml" xmlns:tts="http://www.w3.org/ns/ttml#styling"
        xmlns:ttp="http://www.w3.org/ns/ttml#parameter" xml:lang="en" ttp:frameRate="25"><head>
        <styling><style xml:id="it" tts:fontStyle="italic"/><style xml:id="y" style="it" tts:color="#ffff00"/></styling>
        <layout><region xml:id="top" tts:origin="0% 5%" tts:extent="100% 20%"><style tts:displayAlign="before"/></region></layout>
        </head>"##;

    fn cues(body: &str) -> Vec<Cue> {
        parse(format!("{HEAD}{body}</tt>").as_bytes(), 100_000).unwrap().cues
    }

    fn brief(body: &str) -> Vec<(i64, i64, String)> {
        cues(body).into_iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text)).collect()
    }

    #[test]
    fn times_nest_as_containers_say() {
        for (what, body, expected) in [
            (
                "absolute",
                r#"<body><div><p begin="1s" end="2s">a</p></div></body>"#,
                &[(1000, 2000, "a")][..],
            ),
            (
                "relative to each parent",
                r#"<body begin="10s"><div begin="5s"><p begin="1s" end="2s">a</p></div></body>"#,
                &[(16_000, 17_000, "a")],
            ),
            (
                "the parent's end ends all",
                r#"<body><div end="3s"><p begin="1s" dur="9s">a</p></div></body>"#,
                &[(1000, 3000, "a")],
            ),
            (
                "the earlier of end and dur",
                r#"<body><div><p begin="1s" end="9s" dur="1s">a</p></div></body>"#,
                &[(1000, 2000, "a")],
            ),
            (
                "no end",
                r#"<body><div><p begin="99s">a</p></div></body>"#,
                &[(99_000, 100_000, "a")],
            ),
            (
                "one after the other",
                r#"<body><div timeContainer="seq"><p dur="1s">a</p><p begin="1s" dur="1s">b</p><p dur="25f">c</p></div></body>"#,
                &[(0, 1000, "a"), (2000, 3000, "b"), (3000, 4000, "c")],
            ),
            (
                "spans of their own",
                r#"<body><div><p begin="1s" end="4s">a<span begin="1s" end="2s"> b</span></p></div></body>"#,
                &[(1000, 2000, "a"), (2000, 3000, "a b"), (3000, 4000, "a")],
            ),
            (
                "a time that cannot be read",
                r#"<body><div><p begin="x" end="2s">a</p></div></body>"#,
                &[(0, 2000, "a")],
            ),
            (
                "nothing shown",
                r#"<body><div><p begin="2s" end="1s">a</p><p begin="1s" end="2s"> </p></div></body>"#,
                &[],
            ),
        ] {
            let found = brief(body);
            let found: Vec<_> = found.iter().map(|(start, end, text)| (*start, *end, text.as_str())).collect();
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn text_keeps_its_lines_and_its_looks() {
        for (content, expected) in [
            ("  two \n words ", "two words"),
            ("two<br/>lines", "two\nlines"),
            ("<span style=\"it\">a</span> b", "<i>a</i> b"),
            ("<span style=\"y\">a<br/>b</span>", "<c.yellow><i>a</i></c>\n<c.yellow><i>b</i></c>"),
            ("1 &lt; 2 &amp; &#x263A;&unknown;", "1 &lt; 2 &amp; ☺\u{fffd}"),
            ("<![CDATA[a<b]]>", "a&lt;b"),
            ("a<metadata><desc>not this</desc></metadata><set begin=\"0s\"/>b", "ab"),
            ("<span xml:space=\"preserve\">a  b</span>", "a  b"),
        ] {
            let body = format!("<body><div><p begin=\"0s\" end=\"1s\">{content}</p></div></body>");
            assert_eq!(cues(&body)[0].text, expected, "{content}");
        }
    }

    #[test]
    fn a_region_says_where() {
        let found = cues(r#"<body><div region="top"><p begin="0s" end="1s">a</p></div><div><p begin="1s" end="2s">b</p></div></body>"#);
        assert_eq!((found[0].settings.as_str(), found[1].settings.as_str()), ("line:5%", ""));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let pictures = r##"<body><div smpte:backgroundImage="#img"><p begin="0s" end="1s"/></div></body>"##;
        let inline = r#"<head><metadata/></head><body><div><image src="a.png"/></div></body>"#;
        for body in [pictures, inline] {
            let error = parse(format!("<tt>{body}</tt>").as_bytes(), 0).unwrap_err();
            assert!(matches!(error, Error::PictureSubtitles), "{error}");
        }
        for text in ["", "WEBVTT", "<html></html>", "<!DOCTYPE tt [<!ENTITY a \"b\">]>", "{}"] {
            assert!(matches!(parse(text.as_bytes(), 0), Err(Error::NotTtml(_))), "{text}");
        }
        let deep = format!("<tt>{}", "<div>".repeat(200));
        assert!(matches!(parse(deep.as_bytes(), 0), Err(Error::NotTtml(_))));
    }

    #[test]
    fn a_document_is_read_in_any_of_its_encodings_and_as_far_as_it_goes() {
        let text = r#"<tt><body><div><p begin="1s" end="2s">é</p><p begin="2s" end="3s">b</broken>"#;
        let wide = |units: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(units).collect::<Vec<u8>>();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            wide(u16::to_le_bytes),
            [vec![0xfe, 0xff], wide(u16::to_be_bytes)].concat(),
        ] {
            let segment = parse(&bytes, 9000).unwrap();
            assert_eq!((segment.cues.len(), segment.broken_cues), (1, 1));
            assert_eq!(segment.cues[0].text, "é");
            assert!(super::super::is_ttml(&bytes));
        }
        assert!(!super::super::is_ttml(b"<html><title>"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, time: String) {
            let _ = parse(text.as_bytes(), 1000);
            let _ = parse(format!("<tt><body><p begin=\"{time}\">{text}").as_bytes(), 1000);
        }
    }
}
