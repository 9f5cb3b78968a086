//! Keys that are written as text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// Longest text that is looked at: no key is longer.
const LONGEST: usize = 256;

/// The bytes that `text` stands for, in hexadecimal (with `0x` or without) or in base64, where they are as many as
/// `fits` takes.
pub(crate) fn decode(text: &[u8], fits: impl Fn(usize) -> bool) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_ascii();
    if text.len() > LONGEST {
        return None;
    }
    decode_hex(text)
        .filter(|bytes| fits(bytes.len()))
        .or_else(|| STANDARD.decode(text).ok().map(Zeroizing::new).filter(|bytes| fits(bytes.len())))
        .or_else(|| URL_SAFE.decode(text).ok().map(Zeroizing::new).filter(|bytes| fits(bytes.len())))
}

/// The bytes of an even number of hexadecimal digits, behind `0x` or not.
pub(crate) fn decode_hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        let (high, low) = (char::from(*high).to_digit(16)?, char::from(*low).to_digit(16)?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_and_base64_of_the_right_length_are_read() {
        let key: Vec<u8> = (0xf0..=0xff).collect();
        for (text, expected) in [
            ("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", true),
            (" 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF\r\n", true),
            ("8PHy8/T19vf4+fr7/P3+/w==", true),
            ("8PHy8/T19vf4+fr7/P3+/w", true),
            ("8PHy8_T19vf4-fr7_P3-_w\n", true),
            ("f0f1f2f3f4f5f6f7f8f9fafbfcfdfe", false),
            ("f0f1f2f3f4f5f6f7f8f9fafbfcfdfefg", false),
            ("", false),
        ] {
            let decoded = decode(text.as_bytes(), |length| length == 16);
            assert_eq!(decoded.is_some_and(|bytes| *bytes == key), expected, "{text:?}");
        }
    }
}
