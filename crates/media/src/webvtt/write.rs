//! Writing WebVTT and SubRip.

use std::fmt::Write;

use super::Cue;

/// A whole WebVTT file. Cue times count from 0, so there is no `X-TIMESTAMP-MAP`.
pub(super) fn vtt(blocks: &[String], cues: &[Cue]) -> String {
    let mut text = String::from("WEBVTT\n\n");
    for block in blocks {
        text.push_str(block);
        text.push_str("\n\n");
    }
    for cue in cues {
        if let Some(id) = &cue.id {
            text.push_str(id);
            text.push('\n');
        }
        let settings = if cue.settings.is_empty() {
            String::new()
        } else {
            format!(" {}", cue.settings)
        };
        let (start, end) = (time(cue.start_ms, '.'), time(cue.end_ms, '.'));
        // Writing to a String does not fail.
        let _ = write!(text, "{start} --> {end}{settings}\n{}\n\n", cue.text);
    }
    text
}

/// A whole SubRip file.
pub(super) fn srt(cues: &[Cue]) -> String {
    let mut text = String::new();
    let visible = cues
        .iter()
        .map(|cue| (cue, plain(&cue.text)))
        .filter(|(_, content)| !content.is_empty());
    for (number, (cue, content)) in (1_u64..).zip(visible) {
        let (start, end) = (time(cue.start_ms, ','), time(cue.end_ms, ','));
        let _ = write!(text, "{number}\n{start} --> {end}\n{content}\n\n");
    }
    text
}

/// `hh:mm:ss.mmm`; both formats allow more digits for hours.
fn time(ms: i64, separator: char) -> String {
    let ms = ms.max(0);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{separator}{:03}", ms % 1000)
}

/// Cue text for SubRip: `<b>`, `<i>` and `<u>` stay, other tags (voices, classes, time stamps) go, and escapes
/// become what they stand for (W3C WebVTT §3.5).
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        plain.push_str(before);
        let Some(end) = tag.find('>') else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 1);
        let name = tag.trim_matches(['<', '>', '/']).split(['.', ' ', '\t']).next().unwrap_or("");
        if matches!(name, "b" | "i" | "u") {
            let slash = if tag.starts_with("</") { "/" } else { "" };
            let _ = write!(plain, "<{slash}{name}>");
        }
        rest = after;
    }
    plain.push_str(rest);
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}");
    let plain = plain
        .replace("&lrm;", "\u{200e}")
        .replace("&rlm;", "\u{200f}")
        .replace("&amp;", "&");
    // An empty line would end the cue.
    plain.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(text: &str) -> Cue {
        Cue {
            id: Some("a".into()),
            start_ms: 3_723_004,
            end_ms: 360_000_000,
            settings: "line:0".into(),
            text: text.into(),
        }
    }

    #[test]
    fn markup_is_kept_in_vtt_and_reduced_in_srt() {
        for (text, expected) in [
            ("plain", "plain"),
            ("<v Ann>Hi <i.loud>there</i></v>", "Hi <i>there</i>"),
            ("1 &lt; 2 &amp;&amp; 3", "1 < 2 && 3"),
            ("<00:01.000>kara<c>oke</c>", "karaoke"),
            ("broken <tag", "broken <tag"),
            ("a\n \nb", "a\nb"),
        ] {
            assert_eq!(plain(text), expected);
            assert!(vtt(&[], &[cue(text)]).contains(text));
        }
    }

    #[test]
    fn both_formats_are_written_as_they_are_defined() {
        let cues = [cue("x")];
        assert_eq!(
            vtt(&["STYLE\ny".into()], &cues),
            "WEBVTT\n\nSTYLE\ny\n\na\n01:02:03.004 --> 100:00:00.000 line:0\nx\n\n"
        );
        assert_eq!(srt(&cues), "1\n01:02:03,004 --> 100:00:00,000\nx\n\n");
        assert_eq!(srt(&[cue("<c></c>")]), "");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cues = [cue("one\ntwo"), cue("<b>x</b>")];
        let segment = super::super::Segment::parse(vtt(&[], &cues).as_bytes()).unwrap();
        assert_eq!(segment.cues, cues);
    }
}
