//! Escapes, undone layer by layer until nothing changes.
//!
//! An address in a page has often been escaped more than once: JSON within a string within an attribute.
//! Each layer is told as a [`Step`].

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::account::Step;
use super::entities;

/// Layers undone on one address; pages in the wild have two or three.
const ROUNDS: usize = 4;

/// Undoes all layers of escapes on what may be an address.
pub(super) fn undo<'a>(raw: &'a str, steps: &mut Vec<Step>) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(raw);
    for _ in 0..ROUNDS {
        let mut changed = false;
        if text.contains('\\')
            && let Some(plain) = backslashes(&text, Strings::Loose, steps)
        {
            text = Cow::Owned(plain);
            changed = true;
        }
        if text.contains('&')
            && let Cow::Owned(plain) = entities::decode(&text)
        {
            note(steps, Step::Entities);
            text = Cow::Owned(plain);
            changed = true;
        }
        if is_wholly_percent_encoded(&text) {
            let plain = percent_decode_str(&text).decode_utf8_lossy().into_owned();
            note(steps, Step::Percent);
            text = Cow::Owned(plain);
            changed = true;
        }
        if !changed {
            break;
        }
    }
    text
}

/// Whether percent-encoding hides the structure of the text itself, and is not just part of a query.
fn is_wholly_percent_encoded(text: &str) -> bool {
    // `https%3A%2F%2F`, `https:%2F%2F`, `%2F%2Fcdn`, `%7B%22`, `%3Ciframe`, `..%2F`, `cdn%2Ffilm.mp4`
    let bytes = text.as_bytes();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // Past the first plain separator the structure is there to be seen.
            b'/' | b'?' | b'#' => return false,
            b'%' => {
                let code = bytes.get(at + 1..at + 3).unwrap_or_default();
                if [b"25", b"2f", b"3a", b"7b", b"5b", b"3c", b"22"]
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(code))
                {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// How backslashes are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strings {
    /// Within the quotes of a script: every backslash escapes something.
    Literal,
    /// Anywhere else: only what is surely an escape; a path may hold backslashes of its own.
    Loose,
}

/// Undoes the backslash escapes of JSON and JavaScript, or tells that there were none.
pub(super) fn backslashes(text: &str, strings: Strings, steps: &mut Vec<Step>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let Some(kind) = escape.get(1..).and_then(|after| after.chars().next()) else {
            out.push('\\');
            rest = "";
            break;
        };
        let mut length = 1 + kind.len_utf8();
        let plain = match kind {
            '/' => {
                note(steps, Step::EscapedSlash);
                Some('/')
            }
            '"' | '\'' | '\\' | '`' | '&' => Some(kind),
            'u' => code_unit(escape.get(2..).unwrap_or_default(), 4).map(|(character, digits)| {
                note(steps, Step::UnicodeEscape);
                length += digits;
                character
            }),
            'x' => hex(escape.get(2..4).unwrap_or_default()).and_then(char::from_u32).inspect(|_| {
                note(steps, Step::HexEscape);
                length += 2;
            }),
            _ if strings == Strings::Loose => None,
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'b' | 'f' | 'v' | '0' => Some(' '),
            // A line continuation stands for nothing; any other character stands for itself.
            '\n' => {
                changed = true;
                rest = escape.get(length..).unwrap_or_default();
                continue;
            }
            other => Some(other),
        };
        match plain {
            Some(character) => {
                out.push(character);
                changed = true;
            }
            None => out.push_str(escape.get(..length).unwrap_or_default()),
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// The character of `\uXXXX` (a surrogate pair as well) or `\u{X…}`, and the bytes it takes after the `u`.
fn code_unit(text: &str, digits: usize) -> Option<(char, usize)> {
    if let Some(braced) = text.strip_prefix('{') {
        let end = braced.bytes().take(7).position(|byte| byte == b'}')?;
        let code = hex(braced.get(..end)?)?;
        return Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), end + 2));
    }
    let code = hex(text.get(..digits)?)?;
    if (0xd800..0xdc00).contains(&code)
        && let Some(low) = text
            .get(digits..)
            .and_then(|next| next.strip_prefix("\\u"))
            .and_then(|next| next.get(..digits))
            .and_then(hex)
        && (0xdc00..0xe000).contains(&low)
    {
        let character = char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00))?;
        return Some((character, digits + 2 + digits));
    }
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), digits))
}

fn hex(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

/// Adds a step, unless it is there: an address with ten `\/` was unescaped once.
pub(super) fn note(steps: &mut Vec<Step>, step: Step) {
    if !steps.contains(&step) {
        steps.push(step);
    }
}
