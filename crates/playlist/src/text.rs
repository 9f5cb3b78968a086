//! From bytes to lines: the forgiving part of rfc8216bis, 4.1.

use std::borrow::Cow;

use memchr::{memchr_iter, memchr2, memrchr};

use crate::context::Limits;
use crate::error::PlaylistError;
use crate::position::{Excerpt, Position};
use crate::warning::{Report, WarningKind};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whether the bytes look like a playlist: `#EXTM3U`, perhaps after a byte order mark and blank lines
/// (rfc8216bis, 4.4.1.1). The first few hundred bytes of a document are enough.
pub fn is_playlist(bytes: &[u8]) -> bool {
    bytes.strip_prefix(BOM).unwrap_or(bytes).trim_ascii_start().starts_with(b"#EXTM3U")
}

/// One line of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'t> {
    /// Counted from one.
    pub(crate) number: u32,
    /// The line as it stands, without its ending.
    pub(crate) raw: &'t str,
    /// The line without white space round it.
    pub(crate) text: &'t str,
}

impl Line<'_> {
    /// Where `at`, a part of this line, stands in it.
    pub(crate) fn locate(&self, at: &str) -> (Position, Excerpt) {
        let offset = at.as_ptr().addr().wrapping_sub(self.raw.as_ptr().addr());
        let before = self.raw.get(..offset).unwrap_or_default();
        let column = before.chars().count();
        let position = Position {
            line: self.number,
            column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
        };
        (position, Excerpt::new(self.raw, column))
    }
}

/// The lines of a text. `\n`, `\r\n` and `\r` end a line.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'t> {
    rest: &'t str,
    number: u32,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { rest: text, number: 0 }
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Line<'t>;

    fn next(&mut self) -> Option<Line<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        self.number = self.number.saturating_add(1);
        let (raw, rest) = match memchr2(b'\n', b'\r', self.rest.as_bytes()) {
            Some(end) => {
                let (raw, ending) = self.rest.split_at(end);
                (raw, ending.strip_prefix("\r\n").or_else(|| ending.get(1..)).unwrap_or_default())
            }
            None => (self.rest, ""),
        };
        self.rest = rest;
        Some(Line {
            number: self.number,
            raw,
            text: trim(raw),
        })
    }
}

/// Takes white space off; most lines have none, and need no look at their characters.
fn trim(raw: &str) -> &str {
    match raw.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => raw,
        _ => raw.trim(),
    }
}

/// The bytes as text, with a byte order mark taken off. Lines that are not UTF-8 are read as Windows-1252,
/// which is what `Latin-1` means in practice.
pub(crate) fn decode<'b>(bytes: &'b [u8], limits: &Limits, report: &mut Report) -> Result<Cow<'b, str>, PlaylistError> {
    if bytes.len() > limits.bytes {
        return Err(PlaylistError::too_large("bytes", limits.bytes));
    }
    let body = bytes.strip_prefix(BOM);
    let marked = body.is_some();
    let body = body.unwrap_or(bytes);
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(decode_by_line(body, report)),
    };
    if marked {
        let first = Lines::new(&text).next().unwrap_or(Line {
            number: 1,
            raw: "",
            text: "",
        });
        report.warn(WarningKind::ByteOrderMark, first, first.raw);
    }
    check_form(&text, limits, report)?;
    Ok(text)
}

fn decode_by_line(bytes: &[u8], report: &mut Report) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for (number, piece) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        match std::str::from_utf8(piece) {
            Ok(piece) => text.push_str(piece),
            Err(bad) => {
                let start = text.len();
                text.extend(piece.iter().map(|&b| windows_1252(b)));
                let raw = text.get(start..).unwrap_or_default().trim_end_matches(['\r', '\n']);
                let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
                let at = raw
                    .char_indices()
                    .nth(bad.valid_up_to())
                    .map_or(raw, |(i, _)| raw.get(i..).unwrap_or(raw));
                report.warn(WarningKind::NotUtf8, Line { number, raw, text: raw }, at);
            }
        }
    }
    text
}

fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•',
        '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH.get(usize::from(byte - 0x80)).copied().unwrap_or('\u{fffd}'),
        _ => char::from(byte),
    }
}

/// Counts lines and looks at their length and for characters that should not be there.
fn check_form(text: &str, limits: &Limits, report: &mut Report) -> Result<(), PlaylistError> {
    let bytes = text.as_bytes();
    let returns = memchr_iter(b'\r', bytes).count();
    if memchr_iter(b'\n', bytes).count().saturating_add(returns) > limits.lines.saturating_mul(2) {
        return Err(PlaylistError::too_large("lines", limits.lines));
    }
    // In blocks without an early exit, which the compiler can turn into wide instructions.
    let is_odd = |b: u8| b < 0x20 && b != b'\n' && b != b'\r' && b != b'\t';
    let odd = bytes.chunks(1024).any(|block| block.iter().fold(false, |odd, &b| odd | is_odd(b)));
    let lone_return = returns > 0 && has_lone_return(bytes);
    if !odd && !lone_return && !has_long_line(bytes, limits.line_bytes) {
        return Ok(());
    }
    let mut returned = false;
    for line in Lines::new(text) {
        if line.raw.len() > limits.line_bytes {
            let (position, excerpt) = line.locate(line.raw);
            return Err(PlaylistError::LongLine {
                position,
                limit: limits.line_bytes,
                excerpt,
            });
        }
        if lone_return && !returned {
            let end = line.raw.as_ptr().addr() - text.as_ptr().addr() + line.raw.len();
            if bytes.get(end) == Some(&b'\r') && bytes.get(end + 1) != Some(&b'\n') {
                let at = line.raw.get(line.raw.len()..).unwrap_or_default();
                report.warn(WarningKind::CarriageReturn, line, at);
                returned = true;
            }
        }
        if odd && let Some(at) = line.raw.bytes().position(|b| b < 0x20 && b != b'\t') {
            report.warn(WarningKind::ControlCharacter, line, line.raw.get(at..).unwrap_or_default());
        }
    }
    Ok(())
}

/// Whether there are more than `limit` bytes without a line feed among them. Looks at few bytes: at those
/// before each place where a line that long would have ended.
fn has_long_line(bytes: &[u8], limit: usize) -> bool {
    let mut rest = bytes;
    while let Some((block, _)) = rest.split_at_checked(limit.saturating_add(1)) {
        match memrchr(b'\n', block) {
            Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
            None => return true,
        }
    }
    false
}

fn has_lone_return(bytes: &[u8]) -> bool {
    memchr_iter(b'\r', bytes).any(|at| bytes.get(at + 1) != Some(&b'\n'))
}

/// The lines behind `#EXTM3U`.
pub(crate) fn body<'t>(text: &'t str, report: &mut Report) -> Result<Lines<'t>, PlaylistError> {
    let mut lines = Lines::new(text);
    let mut first = lines.next();
    while let Some(line) = first {
        if !line.text.is_empty() {
            break;
        }
        first = lines.next();
    }
    match first {
        Some(line) if line.text.starts_with("#EXTM3U") => {
            if line.number > 1 || !line.raw.starts_with('#') {
                report.warn(WarningKind::BlankBeforeHeader, line, line.text);
            }
            Ok(lines)
        }
        other => {
            let line = other.unwrap_or(Line {
                number: 1,
                raw: "",
                text: "",
            });
            let (position, excerpt) = line.locate(line.raw);
            Err(PlaylistError::NotAPlaylist { position, excerpt })
        }
    }
}
