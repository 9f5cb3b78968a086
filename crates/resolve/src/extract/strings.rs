//! What a string may be: an address, markup, a script, or any of these in disguise.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::account::{Reason, Step};
use super::address;
use super::collect::{Collector, Context, Strength};
use super::escapes;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The shortest base64 that is decoded without being asked for.
const BARE_BASE64: usize = 16;

impl Collector<'_> {
    /// Takes a string for whatever it is.
    pub(super) fn string(&mut self, text: &str, place: &Context) {
        let text = text.trim();
        if is_dull(text) {
            return;
        }
        match text.as_bytes().first() {
            Some(b'{' | b'[') if text.contains(['"', '\'']) => return self.nested_script(text, place),
            Some(b'%' | b'&' | b'\\') => return self.disguised(text, place),
            _ => {}
        }
        if has_markup(text) {
            return self.nested_markup(text, place);
        }
        if text.contains("&lt;") || text.contains("\\u003") || text.contains("\\x3") {
            return self.disguised(text, place);
        }
        if text.contains("p,a,c,k,e,") {
            return self.nested_script(text, place);
        }
        let broken = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'|');
        let listed = |byte: u8| matches!(byte, b',' | b'(' | b';');
        // Commas and parentheses stand in paths of some servers, and between addresses of a list.
        let one = address::is_rooted(text) && !text.get(4..).unwrap_or_default().contains("http");
        if !text.bytes().any(|byte| broken(byte) || (!one && listed(byte))) {
            self.piece(text, place);
        } else {
            self.sweep(text, place);
        }
    }

    /// Takes a string without spaces: an address, or one in disguise.
    fn piece(&mut self, text: &str, place: &Context) {
        if self.reversed(text, place) || self.bare_base64(text, place) || self.hex_digits(text, place) {
            return;
        }
        if text.contains(['/', '.', '%', '\\']) {
            // `file=https://…` is no address as a whole.
            let whole = address::is_rooted(text)
                || text.find(['=', '/', '?']).is_none_or(|at| text.as_bytes().get(at) != Some(&b'='))
                || text.contains('%');
            if !(whole && self.offer(text, place)) {
                self.sweep(text, place);
            }
        }
    }

    /// Offers every address in running text that looks like a stream.
    pub(super) fn sweep(&mut self, text: &str, place: &Context) {
        let weak = Context {
            strength: Strength::Weak,
            ..place.clone()
        };
        for found in address::sweep(text) {
            let mut steps = weak.steps.clone();
            let plain = escapes::undo(found, &mut steps);
            let plain = address::until_end(&plain);
            if address::is_rooted(plain) || plain.contains('/') || place.strength >= Strength::Likely {
                self.offer(plain, &Context { steps, ..weak.clone() });
            }
        }
    }

    /// Undoes the escapes of a whole string and takes what comes out.
    fn disguised(&mut self, text: &str, place: &Context) {
        let mut inner = place.clone();
        inner.depth += 1;
        match escapes::undo(text, &mut inner.steps) {
            Cow::Owned(plain) if plain != text => {
                if self.charge(plain.len(), inner.depth) {
                    self.string(&plain, &inner);
                }
            }
            _ => self.piece(text, place),
        }
    }

    fn nested_script(&mut self, text: &str, place: &Context) {
        if self.charge(text.len(), place.depth + 1) {
            self.read_script(text, &place.deeper(Step::NestedScript));
        }
    }

    fn nested_markup(&mut self, text: &str, place: &Context) {
        if self.charge(text.len(), place.depth + 1) {
            self.read_markup(text, &place.deeper(Step::NestedMarkup));
        }
    }

    /// `8u3m.xedni/…//:sptth`
    fn reversed(&mut self, text: &str, place: &Context) -> bool {
        if !["//:ptth", "//:sptth"].iter().any(|end| text.ends_with(end)) && !text.starts_with("8u3m.") {
            return false;
        }
        if !self.charge(text.len(), place.depth + 1) {
            return false;
        }
        let plain: String = text.chars().rev().collect();
        self.offer(&plain, &place.deeper(Step::Reversed))
    }

    /// Base64 that nobody asked to decode: taken only if it decodes to plain text.
    fn bare_base64(&mut self, text: &str, place: &Context) -> bool {
        if text.len() < BARE_BASE64 || self.is_spent() {
            return false;
        }
        let head = text.as_bytes().get(..BARE_BASE64).unwrap_or_default();
        let readable = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\n' | b'\r' | b'\t'));
        if !head.iter().all(|&byte| is_base64(byte)) || !decode_head(head).is_some_and(|plain| readable(&plain)) {
            return false;
        }
        if !text.bytes().all(|byte| is_base64(byte) || byte == b'=') || !self.charge(text.len(), place.depth + 1) {
            return false;
        }
        let Some(plain) = decode_base64(text) else { return false };
        let trimmed = plain.trim_start();
        let telling = address::is_absolute(trimmed)
            || trimmed.starts_with(['{', '[', '<', '/', '%'])
            || address::next_marker(trimmed, 0).is_some()
            || is_encoded_address(trimmed);
        if telling {
            self.string(&plain, &place.deeper(Step::Base64));
        }
        telling
    }

    /// `68747470…`: an absolute address, in hexadecimal.
    fn hex_digits(&mut self, text: &str, place: &Context) -> bool {
        if !text.starts_with("68747470") || !text.len().is_multiple_of(2) || !self.charge(text.len(), place.depth + 1) {
            return false;
        }
        let digits: Option<Vec<u8>> = text
            .as_bytes()
            .chunks_exact(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let Some(plain) = digits.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return false;
        };
        self.string(&plain, &place.deeper(Step::HexDigits));
        true
    }

    /// Takes a string of which a part is missing: before it (`front`) or after it.
    pub(super) fn incomplete(&mut self, text: &str, front: bool, place: &Context) {
        if address::next_marker(text, 0).is_none() {
            if has_markup(text) {
                self.needs_script = true;
            }
            return;
        }
        self.needs_script = true;
        let text = text.trim();
        if self.has(text) {
            return;
        }
        // What follows something unknown can only be guessed at if it is a path from the root; `?` begins no guess.
        if address::is_absolute(text) || (text.starts_with('/') && (front || !text.ends_with('/'))) {
            let mut inner = Context {
                strength: Strength::Weak,
                ..place.clone()
            };
            inner.reasons.push(Reason::Incomplete);
            self.offer(text, &inner);
        }
    }
}

/// Whether a text surely names nothing: no path, no extension, no escape, and no room for base64.
pub(super) fn is_dull(text: &str) -> bool {
    if text.len() < 4 {
        return true;
    }
    let mut run = 0;
    for byte in text.bytes() {
        match byte {
            b'/' | b'.' | b'%' | b'\\' | b'<' | b'&' => return false,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'_' => {
                run += 1;
                if run >= BARE_BASE64 {
                    return false;
                }
            }
            _ => run = 0,
        }
    }
    true
}

/// Whether decoding gave base64, or a percent-encoded address, once more.
fn is_encoded_address(text: &str) -> bool {
    text.starts_with("aHR0c") || text.starts_with("http%3A") || text.starts_with("https%3A") || text.starts_with("eyJ")
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The standard alphabet, whichever was used, without padding and white space.
fn standard(text: &[u8]) -> Vec<u8> {
    text.iter()
        .filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=')
        .map(|&byte| to_standard(byte))
        .collect()
}

/// Decodes the first characters of what may be base64.
fn decode_head(head: &[u8]) -> Option<[u8; BARE_BASE64 / 4 * 3]> {
    let mut plain = [0; BARE_BASE64 / 4 * 3];
    let mut text = [0; BARE_BASE64];
    for (slot, &byte) in text.iter_mut().zip(head) {
        *slot = to_standard(byte);
    }
    BASE64.decode_slice(text, &mut plain).ok().map(|_| plain)
}

fn to_standard(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }
}

/// Decodes base64 of either alphabet that holds text.
pub(super) fn decode_base64(text: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(standard(text.as_bytes())).ok()?).ok()
}

/// Whether a string holds a tag that may name a stream.
pub(super) fn has_markup(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find('<')) {
        from += at + 1;
        let mut name = [0; 6];
        let found = bytes.get(from..).unwrap_or_default();
        for (slot, byte) in name.iter_mut().zip(found) {
            *slot = byte.to_ascii_lowercase();
        }
        if matches!(
            &name,
            b"iframe"
                | b"source"
                | b"object"
                | b"script"
                | b"video "
                | b"video>"
                | b"audio "
                | b"audio>"
                | b"embed "
                | b"frame "
                | b"param "
        ) || name.starts_with(b"a ")
            || name.starts_with(b"amp-if")
            || matches!(name, [b'm', b'e', b't', b'a', b' ', _])
        {
            return true;
        }
    }
    false
}
