//! Writing SubRip.
//!
//! There is no standard; this is what players agree on: `<b>`, `<i>`, `<u>`, `<font color>`, and `{\an8}` for a place
//! other than the bottom.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::webvtt::{Cue, Place, Span, place, spans, time};

/// Writes one `.srt` file, cue by cue.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Writer {
    number: u64,
}

impl Writer {
    /// The next cues as text. One without text is left out. What SubRip has no word for (voices, classes, regions) is
    /// left out of the others.
    pub fn cues(&mut self, cues: &[Cue]) -> String {
        let mut text = String::new();
        for cue in cues {
            let content = self::text(cue);
            if content.is_empty() {
                continue;
            }
            self.number += 1;
            let (start, end) = (time(cue.start_ms, ','), time(cue.end_ms, ','));
            // Writing to a String does not fail.
            let _ = write!(text, "{}\n{start} --> {end}\n{content}\n\n", self.number);
        }
        text
    }
}

/// The text of a cue by itself, without its times; empty where it has none.
#[must_use]
pub fn text(cue: &Cue) -> String {
    let content = content(&cue.text);
    if content.is_empty() {
        return content;
    }
    override_tag(&cue.settings) + &content
}

/// The place as players read it, numbered as on a keypad.
fn override_tag(settings: &str) -> String {
    match place(settings) {
        Place { row: 2, column: 1 } => String::new(),
        Place { row, column } => format!("{{\\an{}}}", 7 - 3 * row + column),
    }
}

/// The colours that WebVTT has classes for (W3C WebVTT §5.1).
fn color(class: &str) -> Option<&'static str> {
    Some(match class {
        "white" => "#ffffff",
        "lime" => "#00ff00",
        "cyan" => "#00ffff",
        "red" => "#ff0000",
        "yellow" => "#ffff00",
        "magenta" => "#ff00ff",
        "blue" => "#0000ff",
        "black" => "#000000",
        _ => return None,
    })
}

fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // What closes each open element of the cue.
    let mut open: Vec<(String, &str)> = Vec::new();
    for span in spans(text) {
        match span {
            Span::Text(text) => out.push_str(&text),
            Span::Open { name, classes } => {
                let end = match name.as_str() {
                    "b" | "i" | "u" => {
                        out.push_str(&format!("<{name}>"));
                        match name.as_str() {
                            "b" => "</b>",
                            "i" => "</i>",
                            _ => "</u>",
                        }
                    }
                    _ => match classes.iter().find_map(|class| color(class)) {
                        Some(color) => {
                            out.push_str(&format!("<font color=\"{color}\">"));
                            "</font>"
                        }
                        None => "",
                    },
                };
                open.push((name, end));
            }
            Span::Close(name) => {
                if let Some(at) = open.iter().rposition(|(known, _)| *known == name) {
                    open.drain(at..).rev().for_each(|(_, end)| out.push_str(end));
                }
            }
        }
    }
    open.iter().rev().for_each(|(_, end)| out.push_str(end));
    // An empty line would end the cue.
    let lines: Vec<&str> = out.lines().filter(|line| !line.trim().is_empty()).collect();
    let out = lines.join("\n");
    let bare = ["<b>", "</b>", "<i>", "</i>", "<u>", "</u>", "</font>"]
        .iter()
        .fold(out.clone(), |text, tag| text.replace(tag, ""));
    if bare.trim().is_empty() { String::new() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_reduced_to_what_players_know() {
        for (text, expected) in [
            ("plain", "plain"),
            ("<v Ann>Hi <i.loud>there</i></v>", "Hi <i>there</i>"),
            ("1 &lt; 2 &amp;&amp; 3", "1 < 2 && 3"),
            ("<00:01.000>kara<c>oke</c>", "karaoke"),
            ("<c.yellow>a <b>b</b></c>", "<font color=\"#ffff00\">a <b>b</b></font>"),
            ("<i>open", "<i>open</i>"),
            ("<i><b>crossed</i></b>", "<i><b>crossed</b></i>"),
            ("broken <tag", "broken <tag"),
            ("a\n \nb", "a\nb"),
            ("<c></c>", ""),
            ("<i> </i>", ""),
        ] {
            assert_eq!(content(text), expected, "{text}");
        }
    }

    #[test]
    fn cues_are_numbered_and_placed() {
        let cue = |settings: &str, text: &str| Cue {
            start_ms: 3_723_004,
            end_ms: 360_000_000,
            settings: settings.into(),
            text: text.into(),
            ..Cue::default()
        };
        let mut writer = Writer::default();
        let text = writer.cues(&[cue("", "x"), cue("", "<c></c>"), cue("line:0", "y")]);
        assert_eq!(
            text,
            "1\n01:02:03,004 --> 100:00:00,000\nx\n\n2\n01:02:03,004 --> 100:00:00,000\n{\\an8}y\n\n"
        );
        assert!(
            writer
                .cues(&[cue("align:start line:50%", "z")])
                .starts_with("3\n01:02:03,004 --> 100:00:00,000\n{\\an4}z")
        );
    }
}
