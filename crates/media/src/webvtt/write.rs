//! Writing WebVTT.

use serde::{Deserialize, Serialize};

use super::Cue;

/// Writes one WebVTT file, cue by cue. Cue times count from 0, so there is no `X-TIMESTAMP-MAP`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Writer {
    begun: bool,
    title: String,
}

impl Writer {
    /// The same with a title behind the signature (W3C WebVTT §4.1), on its line.
    #[must_use]
    pub fn titled(mut self, title: &str) -> Self {
        self.title = title
            .split(char::is_control)
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        self
    }

    /// The next cues as text, behind the head of the file if they are the first; `blocks` stand in the head.
    /// Called without cues it makes sure that there is a head.
    pub fn cues(&mut self, blocks: &[String], cues: &[Cue]) -> String {
        let mut text = String::new();
        if !self.begun {
            self.begun = true;
            text.push_str("WEBVTT");
            if !self.title.is_empty() {
                text.push(' ');
                text.push_str(&self.title);
            }
            text.push_str("\n\n");
            for block in blocks {
                text.push_str(block);
                text.push_str("\n\n");
            }
        }
        for cue in cues {
            if let Some(id) = &cue.id {
                text.push_str(id);
                text.push('\n');
            }
            text.push_str(&format!("{} --> {}", time(cue.start_ms, '.'), time(cue.end_ms, '.')));
            if !cue.settings.is_empty() {
                text.push(' ');
                text.push_str(&cue.settings);
            }
            text.push('\n');
            // An empty line would end the cue.
            for line in cue.text.lines().filter(|line| !line.is_empty()) {
                text.push_str(line);
                text.push('\n');
            }
            text.push('\n');
        }
        text
    }
}

/// `hh:mm:ss.mmm`; WebVTT and SubRip allow more digits for hours.
pub(crate) fn time(ms: i64, separator: char) -> String {
    let ms = ms.max(0);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{separator}{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webvtt::Segment;

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
    fn the_head_stands_once_and_cues_as_they_are_defined() {
        let mut writer = Writer::default();
        assert_eq!(
            writer.cues(&["STYLE\ny".into()], &[cue("x")]),
            "WEBVTT\n\nSTYLE\ny\n\na\n01:02:03.004 --> 100:00:00.000 line:0\nx\n\n"
        );
        assert_eq!(writer.cues(&["STYLE\ny".into()], &[]), "");
        assert_eq!(Writer::default().cues(&[], &[]), "WEBVTT\n\n");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cues = [cue("one\ntwo"), cue("<b>x</b>")];
        let segment = Segment::parse(Writer::default().cues(&[], &cues).as_bytes()).unwrap();
        assert_eq!(segment.cues, cues);
    }
}
