//! The markup within a cue's text (W3C WebVTT §4.2.2, §6.4).

use super::{parse::timestamp, write::time};

/// What a cue's text is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    /// Text with its escapes undone.
    Text(String),
    /// The beginning of `b`, `i`, `u`, `c`, `v` and so on, with its classes.
    Open { name: String, classes: Vec<String> },
    /// The end of one.
    Close(String),
}

/// Takes a cue's text apart. A time stamp within the text (`<00:01.000>`) is left out.
pub(crate) fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        let Some(end) = tag.find('>') else { break };
        push_text(&mut spans, before);
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            spans.push(Span::Close(name.trim().to_owned()));
        } else if !inside.starts_with(|first: char| first.is_ascii_digit()) {
            let mut words = inside.split([' ', '\t', '\n']).next().unwrap_or("").split('.');
            spans.push(Span::Open {
                name: words.next().unwrap_or("").to_owned(),
                classes: words.map(str::to_owned).collect(),
            });
        }
    }
    push_text(&mut spans, rest);
    spans
}

/// The text with this much added to the times within it (W3C WebVTT §4.2.2, "WebVTT cue timestamp"), in milliseconds;
/// `None` where that changes nothing. Nothing is before time 0.
pub(crate) fn shifted(text: &str, shift_ms: i64) -> Option<String> {
    if shift_ms == 0 {
        return None;
    }
    let (mut out, mut rest) = (None, text);
    while let Some((before, tag)) = rest.split_once('<') {
        let Some((inside, behind)) = tag.split_once('>') else { break };
        if let Some(at_ms) = timestamp(inside.trim()) {
            let out = out.get_or_insert_with(|| text[..text.len() - rest.len()].to_owned());
            out.push_str(&format!("{before}<{}>", time(at_ms.saturating_add(shift_ms), '.')));
        } else if let Some(out) = &mut out {
            out.push_str(&format!("{before}<{inside}>"));
        }
        rest = behind;
    }
    out.map(|out| out + rest)
}

/// Whether there are times within the text.
pub(crate) fn has_times(text: &str) -> bool {
    // Whatever the shift.
    shifted(text, 1).is_some()
}

fn push_text(spans: &mut Vec<Span>, text: &str) {
    if !text.is_empty() {
        spans.push(Span::Text(unescape(text)));
    }
}

/// The named character references that the standard has for writing; all others stay as they are.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, reference) = rest.split_at(at);
        out.push_str(before);
        let known = [
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&amp;", '&'),
            ("&nbsp;", '\u{a0}'),
            ("&lrm;", '\u{200e}'),
            ("&rlm;", '\u{200f}'),
        ];
        let (length, character) = known
            .iter()
            .find(|(name, _)| reference.starts_with(name))
            .map_or((1, '&'), |(name, character)| (name.len(), *character));
        out.push(character);
        rest = &reference[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_taken_apart_as_the_standard_reads_it() {
        let text = |text: &str| Span::Text(text.into());
        let open = |name: &str, classes: &[&str]| Span::Open {
            name: name.into(),
            classes: classes.iter().map(ToString::to_string).collect(),
        };
        let close = |name: &str| Span::Close(name.into());
        for (source, expected) in [
            ("a", vec![text("a")]),
            ("<v Ann>Hi</v>", vec![open("v", &[]), text("Hi"), close("v")]),
            ("<c.red.bg_blue>x</c>", vec![open("c", &["red", "bg_blue"]), text("x"), close("c")]),
            ("<00:01.000>ka", vec![text("ka")]),
            ("1 &lt; 2 &amp;amp; &copy;", vec![text("1 < 2 &amp; &copy;")]),
            ("broken <tag", vec![text("broken <tag")]),
        ] {
            assert_eq!(spans(source), expected, "{source}");
        }
    }
}
