//! ID3 tags in front of packed audio (ID3v2.4 structure §3, ID3v2.4 frames §4), as far as HLS and people need them.

use serde::{Deserialize, Serialize};

/// Owner of the `PRIV` frame that holds the time stamp (RFC 8216 §3.4).
pub(crate) const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";
/// Bytes of a text that are read.
const MAX_TEXT: usize = 1024;

/// What tags say of a stream as a whole (ID3v2.4 frames §4.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Titles {
    /// `TIT2`.
    pub title: Option<String>,
    /// `TPE1`.
    pub artist: Option<String>,
    /// `TALB`.
    pub album: Option<String>,
}

/// What stands in the tags in front of a segment.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    /// The time stamp.
    pub(crate) stamp: Option<u64>,
    pub(crate) titles: Titles,
    /// How many of them tell something else.
    pub(crate) others: u64,
}

impl Tags {
    /// Takes tags off the front.
    pub(crate) fn take(mut bytes: &[u8]) -> (Self, &[u8]) {
        let mut tags = Self::default();
        while let Some(&[b'I', b'D', b'3', version, _, flags, a, b, c, d]) = bytes.first_chunk::<10>() {
            let size = syncsafe([a, b, c, d]);
            let body = bytes.get(10..).unwrap_or(&[]);
            let (tag, rest) = body.split_at(size.min(body.len()));
            // With unsynchronisation, texts have bytes that do not belong to them.
            let others = tags.frames(tag, version, flags & 0x80 == 0);
            tags.others += u64::from(others);
            // A footer repeats the header.
            let footer = if flags & 0x10 != 0 { 10 } else { 0 };
            bytes = rest.get(footer..).unwrap_or(&[]);
        }
        (tags, bytes)
    }

    /// Reads the frames of a tag. Whether there are some that nothing is made of.
    fn frames(&mut self, mut frames: &[u8], version: u8, plain: bool) -> bool {
        let mut others = false;
        while let Some(&[i0, i1, i2, i3, a, b, c, d, _, format]) = frames.first_chunk::<10>() {
            // Padding follows the frames.
            if i0 == 0 {
                break;
            }
            // Sizes are plain numbers before version 4.
            let size = match version {
                4 => syncsafe([a, b, c, d]),
                _ => usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX),
            };
            let body = frames.get(10..).unwrap_or(&[]);
            let (frame, rest) = body.split_at(size.min(body.len()));
            let text = || text(frame).filter(|_| plain && format == 0);
            let (known, told) = match &[i0, i1, i2, i3] {
                b"PRIV" => {
                    // 33 bits in eight bytes.
                    let value = frame.strip_prefix(OWNER).and_then(|value| value.first_chunk());
                    let stamp = value.map(|value| u64::from_be_bytes(*value) & ((1 << 33) - 1));
                    self.stamp = self.stamp.or(stamp);
                    others |= stamp.is_none();
                    frames = rest;
                    continue;
                }
                b"TIT2" => (&mut self.titles.title, text()),
                b"TPE1" => (&mut self.titles.artist, text()),
                b"TALB" => (&mut self.titles.album, text()),
                _ => {
                    others = true;
                    frames = rest;
                    continue;
                }
            };
            others |= told.is_none() || known.is_some() && *known != told;
            if known.is_none() {
                *known = told;
            }
            frames = rest;
        }
        others
    }
}

/// The first text of a frame (ID3v2.4 structure §4): its encoding, and texts that end at a zero.
fn text(frame: &[u8]) -> Option<String> {
    let (encoding, bytes) = frame.split_first()?;
    let bytes = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks().0.iter().map(|pair| unit(*pair));
        char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect()
    };
    let text: String = match (encoding, bytes) {
        (0, _) => bytes.iter().copied().map(char::from).collect(),
        (1, [0xff, 0xfe, rest @ ..]) => wide(rest, u16::from_le_bytes),
        (1, [0xfe, 0xff, rest @ ..]) | (2, rest) => wide(rest, u16::from_be_bytes),
        (3, _) => String::from_utf8_lossy(bytes).into_owned(),
        _ => return None,
    };
    let first = text.split('\0').next().unwrap_or("");
    let text: String = first.chars().filter(|letter| !letter.is_control()).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Seven bits a byte (ID3v2.4 structure §6.2).
fn syncsafe(bytes: [u8; 4]) -> usize {
    bytes.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag(flags: u8, frames: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let frame = |(id, content): &(&[u8; 4], &[u8])| [*id, &[0, 0, 0, u8::try_from(content.len()).unwrap(), 0, 0][..], content].concat();
        let body: Vec<u8> = frames.iter().flat_map(frame).collect();
        [&b"ID3\x04\0"[..], &[flags, 0, 0, 0, u8::try_from(body.len()).unwrap()], &body].concat()
    }

    #[test]
    fn titles_are_read_in_every_encoding() {
        for (content, expected) in [
            (&b"\0Caf\xe9"[..], Some("Café")),
            (b"\x01\xff\xfeC\0a\0f\0\xe9\0\0\0x\0", Some("Café")),
            (b"\x01\xfe\xff\0C\0a\0f\0\xe9", Some("Café")),
            (b"\x02\0C\0a\0f\0\xe9", Some("Café")),
            (b"\x03Caf\xc3\xa9\0other", Some("Café")),
            (b"\x03 \0", None),
            (b"\x04x", None),
            (b"", None),
        ] {
            let bytes = [tag(0, &[(b"TIT2", content)]), b"rest".to_vec()].concat();
            let (tags, rest) = Tags::take(&bytes);
            assert_eq!(
                (tags.titles.title.as_deref(), rest),
                (expected, &b"rest"[..]),
                "{}",
                content.escape_ascii()
            );
            assert_eq!(tags.others, u64::from(expected.is_none()));
        }
    }

    #[test]
    fn what_nothing_is_made_of_is_counted_by_the_tag() {
        let stamp = [OWNER, &[0, 0, 0, 0, 0, 1, 0x5f, 0x90]].concat();
        for (tags, others) in [
            (vec![tag(0, &[(b"PRIV", &stamp), (b"TPE1", b"\0A"), (b"TALB", b"\0B")])], 0),
            (vec![tag(0, &[(b"TXXX", b"\0x"), (b"PRIV", b"other\0"), (b"PRIV", &stamp)])], 1),
            (
                vec![
                    tag(0, &[(b"PRIV", &stamp)]),
                    tag(0, &[(b"TIT2", b"\0A")]),
                    tag(0, &[(b"TIT2", b"\0B")]),
                ],
                1,
            ),
            (vec![tag(0x80, &[(b"TIT2", b"\0A")]), tag(0, &[(b"PRIV", &stamp)])], 1),
        ] {
            let bytes = tags.concat();
            let (tags, rest) = Tags::take(&bytes);
            assert_eq!((tags.stamp, tags.others, rest), (Some(90_000), others, &b""[..]));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, flags: u8) {
            let _ = Tags::take(&bytes);
            let _ = Tags::take(&[b"ID3\x04\0", &[flags, 0, 0, 1, 0][..], b"TIT2\0\0\0\x20\0\0", &bytes].concat());
        }
    }
}
