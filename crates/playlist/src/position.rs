//! Where in the text something stands, and how it is shown.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A place in the text of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Position {
    /// The line, counted from one.
    pub line: u32,
    /// The column in characters, counted from one.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The line that an item was read from.
///
/// It is a remark, not a part of the value: two of them are always equal, so that a playlist that is written
/// and read again equals the first one although its lines moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceLine(pub(crate) u32);

impl SourceLine {
    /// The line, counted from one; `None` for an item that was not read from a text.
    pub fn get(self) -> Option<u32> {
        (self.0 > 0).then_some(self.0)
    }
}

impl PartialEq for SourceLine {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SourceLine {}

impl Hash for SourceLine {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A line of the playlist as messages show it: shortened around the place in question, and with the values of
/// query parameters and the content of `data:` URLs masked, because they carry tokens and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    text: Arc<str>,
    caret: u32,
}

const EXCERPT_CHARS: usize = 160;
const EXCERPT_BEFORE: usize = 60;

impl Excerpt {
    /// Shows `line` around the character at `column`, counted from zero.
    pub(crate) fn new(line: &str, column: usize) -> Self {
        let start = if column > EXCERPT_CHARS - EXCERPT_BEFORE {
            column - EXCERPT_BEFORE
        } else {
            0
        };
        let masked = mask(line).skip(start);
        let mut text = String::new();
        let mut caret = column - start;
        if start > 0 {
            text.push('…');
            caret += 1;
        }
        for (shown, c) in masked.enumerate() {
            if shown == EXCERPT_CHARS {
                text.push('…');
                break;
            }
            text.push(if c.is_control() { '\u{fffd}' } else { c });
        }
        Self {
            text: text.into(),
            caret: u32::try_from(caret).unwrap_or(u32::MAX),
        }
    }

    /// The line, shortened and masked.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Excerpt {
    /// The line, and a caret below the place in question.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = usize::try_from(self.caret).unwrap_or(0).min(EXCERPT_CHARS + 1);
        write!(f, "  {}\n  {:width$}^", self.text, "")
    }
}

/// Replaces what may be secret, character by character so that columns stay what they are.
fn mask(line: &str) -> impl Iterator<Item = char> + '_ {
    let mut in_query = false;
    let mut secret = false;
    let mut rest = line;
    std::iter::from_fn(move || {
        let c = rest.chars().next()?;
        if !secret && rest.starts_with("data:") {
            in_query = false;
            secret = true;
            rest = rest.get(1..).unwrap_or_default();
            return Some(c);
        }
        let hidden = match c {
            '"' | '\'' | ' ' | '\t' => {
                in_query = false;
                secret = false;
                false
            }
            '?' if !secret => {
                in_query = true;
                false
            }
            '&' if in_query => {
                secret = false;
                false
            }
            '=' if in_query && !secret => {
                secret = true;
                false
            }
            _ => secret,
        };
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        Some(if hidden { '·' } else { c })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_columns_stay() {
        for (line, shown) in [
            ("seg.ts?token=abc&n=1#x", "seg.ts?token=···&n=···"),
            (r#"#EXT-X-KEY:URI="k?t=1",IV=0x0A"#, r#"#EXT-X-KEY:URI="k?t=·",IV=0x0A"#),
            (r#"URI="data:a;b,QQ==",X=1"#, r#"URI="d············",X=1"#),
            ("#EXTINF:9.9,a = b", "#EXTINF:9.9,a = b"),
        ] {
            let excerpt = Excerpt::new(line, 0);
            assert_eq!(excerpt.text(), shown);
            assert_eq!(excerpt.text().chars().count(), line.chars().count());
        }
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let excerpt = Excerpt::new(&line, 500);
        let shown = excerpt.to_string();
        let (text, caret) = shown.split_once('\n').unwrap();
        assert_eq!(text.chars().nth(caret.chars().count() - 1), Some('X'));
        assert!(text.starts_with("  …a") && text.ends_with("b…"));
    }
}
