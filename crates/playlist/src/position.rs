//! Where in the text something stands, and how it is shown.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
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

/// A line of the playlist as messages show it: shortened around the place in question, and with user names, the values of
/// parameters in queries and paths, variables and the content of `data:` URLs masked, because they carry tokens and keys.
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
    let defines = line.starts_with("#EXT-X-DEFINE");
    let (mut hidden, mut in_query, mut opened) = (0..0, false, false);
    line.char_indices().map(move |(at, c)| {
        let (before, rest) = line.split_at(at);
        if at >= hidden.end {
            in_query = match c {
                '"' | '\'' | ' ' | '\t' => false,
                '?' => true,
                _ => in_query,
            };
            let begins = before.ends_with('/') || opened && before.ends_with('"') || before.is_empty() && c != '#';
            if let Some(secret) = secret(before, rest, in_query, begins, defines) {
                hidden = at + secret.start..at + secret.end;
            }
        }
        opened ^= c == '"';
        if hidden.contains(&at) { '·' } else { c }
    })
}

/// The secret part of what begins here, if it is one of the things that have one. A segment of a path `begins` here.
fn secret(before: &str, rest: &str, in_query: bool, begins: bool, defines: bool) -> Option<Range<usize>> {
    let until = |ends: &[char]| {
        rest.find(|c| matches!(c, '"' | '\'' | ' ' | '\t') || ends.contains(&c))
            .unwrap_or(rest.len())
    };
    let value = |end: usize| {
        let text = &rest[..end];
        let name = text.find('=').map(|at| at + 1);
        name.or_else(|| ["%3D", "%3d"].iter().find_map(|equals| text.find(equals).map(|at| at + 3)))
    };
    if rest.starts_with("data:") {
        return Some(1..until(&[]));
    }
    if defines && before.ends_with("VALUE=\"") {
        return Some(0..rest.find('"').unwrap_or(rest.len()));
    }
    // A parameter without a value may be the token itself.
    if in_query && before.ends_with(['?', '&']) {
        let end = until(&['&']);
        return Some(value(end).unwrap_or(0)..end);
    }
    if in_query {
        return None;
    }
    // User name and password.
    if before.ends_with("//")
        && let Some(at) = rest[..until(&['/', '?', '#'])].rfind('@')
    {
        return Some(0..at);
    }
    // `name=value` between two slashes of a path.
    if begins {
        let end = until(&['/', '?', '#']);
        return value(end).map(|start| start..end);
    }
    None
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
            (r#"URI="http://u:pw@h:99999/x",IV=zz"#, r#"URI="http://····@h:99999/x",IV=zz"#),
            ("http://h/hdntl=abc/a?b", "http://h/hdntl=···/a?·"),
            ("hdntl%3Dabc/a.ts", "hdntl%3D···/a.ts"),
            (r#"URI="t=1/a?secret&b=c&",X=a"#, r#"URI="t=·/a?······&b=·&",X=a"#),
            (r#"#EXT-X-KEY:URI="a==",A=1"#, r#"#EXT-X-KEY:URI="a=·",A=1"#),
            (r#"#EXT-X-DEFINE:NAME="t",VALUE="a b""#, r#"#EXT-X-DEFINE:NAME="t",VALUE="···""#),
            ("#EXT-X-DATERANGE:ID=\"é=ü\",A=1/2", "#EXT-X-DATERANGE:ID=\"é=·\",A=1/2"),
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
