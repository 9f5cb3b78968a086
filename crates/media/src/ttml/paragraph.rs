//! A `p` element: runs of text, and the cues that they become.

use super::style::Style;
use crate::webvtt::Cue;

/// Moments at which a paragraph may change; more is an attack.
const MAX_MOMENTS: usize = 256;

/// Text of one style that is shown for one time.
#[derive(Debug)]
struct Run {
    /// In microseconds.
    begin: i64,
    end: i64,
    style: Style,
    text: String,
}

/// A paragraph in the making.
#[derive(Debug)]
pub(super) struct Paragraph {
    runs: Vec<Run>,
    settings: String,
}

impl Paragraph {
    pub(super) fn new(settings: String) -> Self {
        Self {
            runs: Vec::new(),
            settings,
        }
    }

    /// Adds text, with its spaces as they stand in the document; unless `preserve` says otherwise they are one
    /// (TTML2 §8.2.13).
    pub(super) fn text(&mut self, text: &str, preserve: bool, style: Style, begin: i64, end: i64) {
        let mut kept = String::with_capacity(text.len());
        let mut space = self.runs.last().is_none_or(|run| run.text.ends_with([' ', '\n']));
        for character in text.chars() {
            match character {
                ' ' | '\t' | '\n' | '\r' if !preserve => {
                    if !space {
                        kept.push(' ');
                    }
                    space = true;
                }
                '\r' => {}
                '&' => kept.push_str("&amp;"),
                '<' => kept.push_str("&lt;"),
                '>' => kept.push_str("&gt;"),
                other => {
                    kept.push(other);
                    space = false;
                }
            }
        }
        if kept.is_empty() {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if (last.begin, last.end, last.style) == (begin, end, style) => last.text.push_str(&kept),
            _ => self.runs.push(Run {
                begin,
                end,
                style,
                text: kept,
            }),
        }
    }

    /// Adds a line break.
    pub(super) fn line_break(&mut self, style: Style, begin: i64, end: i64) {
        self.text("\n", true, style, begin, end);
    }

    /// The cues: one, unless spans have times of their own.
    pub(super) fn cues(self, cues: &mut Vec<Cue>) {
        let mut moments: Vec<i64> = self.runs.iter().flat_map(|run| [run.begin, run.end]).collect();
        moments.sort_unstable();
        moments.dedup();
        moments.truncate(MAX_MOMENTS);
        for pair in moments.windows(2) {
            let [begin, end] = *pair else { continue };
            let mut text = String::new();
            for run in self.runs.iter().filter(|run| run.begin <= begin && run.end >= end) {
                // Markup never goes over a line's end: some players read line by line.
                for (number, line) in run.text.split('\n').enumerate() {
                    if number > 0 {
                        text.push('\n');
                    }
                    if !line.trim().is_empty() {
                        text.push_str(&run.style.mark(line));
                    } else if !text.ends_with([' ', '\n']) {
                        text.push_str(line);
                    }
                }
            }
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            if !lines.is_empty() {
                cues.push(Cue {
                    start_ms: milliseconds(begin),
                    end_ms: milliseconds(end),
                    settings: self.settings.clone(),
                    text: lines.join("\n"),
                    ..Cue::default()
                });
            }
        }
    }
}

fn milliseconds(micros: i64) -> i64 {
    micros.saturating_add(500).div_euclid(1000)
}
