//! From bytes to text: the encoding that a document was written in.
//!
//! The order is the WHATWG HTML standard's "determining the character encoding" (section 13.2.3.2): a byte
//! order mark, the transport's word, a declaration within the first 1024 bytes. Where none speaks, bytes
//! that are valid UTF-8 are read as UTF-8 and others as windows-1252.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How far into a document a declaration is looked for.
const PRESCAN_BYTES: usize = 1024;

/// Decodes a document; what cannot be decoded becomes U+FFFD.
pub(super) fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(bytes.get(mark..).unwrap_or_default()).0;
    }
    let declared = content_type
        .and_then(|header| label_after(header.as_bytes(), b"charset"))
        .or_else(|| prescan(bytes));
    match declared {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
        None => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            // Text that was cut in the middle of a character is still UTF-8.
            Err(error) if error.error_len().is_none() => UTF_8.decode_without_bom_handling(bytes).0,
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        },
    }
}

/// The encoding that the head of an HTML or XML document declares.
fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..PRESCAN_BYTES).unwrap_or(bytes);
    let mut rest = head;
    while let Some(at) = rest.iter().position(|&byte| byte == b'<') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let tag = rest.split(|&byte| byte == b'>').next().unwrap_or_default();
        let found = if starts_with(tag, b"meta") {
            label_after(tag, b"charset")
        } else if starts_with(tag, b"?xml") {
            label_after(tag, b"encoding")
        } else {
            None
        };
        if let Some(encoding) = found {
            // A declaration that could be read byte by byte cannot be UTF-16 (same section, "prescan").
            return Some(if encoding == UTF_16LE || encoding == UTF_16BE {
                UTF_8
            } else {
                encoding
            });
        }
    }
    None
}

/// The encoding named by `name = label` within a header or a tag.
fn label_after(text: &[u8], name: &[u8]) -> Option<&'static Encoding> {
    let mut from = 0;
    while let Some(at) = text
        .get(from..)?
        .windows(name.len())
        .position(|window| window.eq_ignore_ascii_case(name))
    {
        from += at + name.len();
        let rest = trim_start(text.get(from..)?);
        if let Some(rest) = rest.strip_prefix(b"=") {
            let rest = trim_start(rest);
            let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\'' | b';' | b' ' | b'\t' | b'/' | b'?'))
                .unwrap_or(rest.len());
            return Encoding::for_label(rest.get(..end)?);
        }
    }
    None
}

fn starts_with(text: &[u8], name: &[u8]) -> bool {
    text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
}

fn trim_start(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}
