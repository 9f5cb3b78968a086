//! Frames of AAC and AC-3, each a chain of its own (MPEG-2 Stream Encryption Format for HTTP Live Streaming,
//! "AAC", "AC-3" and "Enhanced AC-3"): 16 bytes stay clear, then every whole block is encrypted, and what is left is
//! clear.

use aes::Aes128;
use memchr::memchr;

use crate::chain::{Chains, Pattern};

/// Bytes that stay clear: behind the ADTS header, or from the start of an AC-3 frame.
const LEADER: usize = 16;

/// Decrypts the frames in `bytes`, which may begin and end within one.
pub(super) fn decrypt(bytes: &mut [u8], cipher: &Aes128, iv: [u8; 16], chains: &mut Chains) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        match frame(rest) {
            Some((clear, length)) if length <= rest.len() => {
                chains.begin(&iv);
                chains.add(cipher, bytes, at + clear, length.saturating_sub(clear), Pattern::ALL);
                at += length;
            }
            _ => match next(rest) {
                Some(skip) => at += skip,
                None => break,
            },
        }
    }
    chains.flush(cipher, bytes);
}

/// Where the next byte is that may begin a frame.
fn next(rest: &[u8]) -> Option<usize> {
    let rest = rest.get(1..)?;
    let adts = memchr(0xff, rest).unwrap_or(rest.len());
    let found = memchr(0x0b, rest.get(..adts)?).unwrap_or(adts);
    (found < rest.len()).then_some(found + 1)
}

/// The clear bytes and the length of the frame that begins here.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        // ISO 14496-3 §1.A.2.2: behind the header of 7 bytes stands a checksum, unless it is said to be absent.
        [0xff, second, _, fourth, fifth, sixth, ..] if second & 0xf6 == 0xf0 => {
            let header = if second & 1 == 1 { 7 } else { 9 };
            let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
            (length >= header).then_some((header + LEADER, length))
        }
        // ETSI TS 102 366 §4.4.1 and §E.1.3.1.
        [0x0b, 0x77, third, fourth, fifth, sixth, ..] => {
            let length = if sixth >> 3 > 10 {
                2 * (usize::from(third & 7) << 8 | usize::from(fourth)) + 2
            } else {
                ac3_length(fifth)?
            };
            (length >= 7).then_some((LEADER, length))
        }
        _ => None,
    }
}

/// Length of an AC-3 frame by its sampling rate and size codes (ETSI TS 102 366 table 4.13).
fn ac3_length(codes: u8) -> Option<usize> {
    const KBITS: [usize; 19] = [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
    ];
    let code = usize::from(codes & 0x3f);
    let rate = *KBITS.get(code / 2)?;
    match codes >> 6 {
        0 => Some(rate * 4),
        1 => Some((rate * 320 / 147 + code % 2) * 2),
        2 => Some(rate * 6),
        _ => None,
    }
}

/// Decrypts a segment of packed audio (RFC 8216, 3.4): ID3 tags, which are clear, and frames.
pub(crate) fn decrypt_packed(bytes: &mut [u8], cipher: &Aes128, iv: [u8; 16], chains: &mut Chains) {
    let mut at = 0;
    // ID3v2.4 structure, 3.1: the size has seven bits a byte; a footer repeats the header.
    while let Some([b'I', b'D', b'3', _, _, flags, size @ ..]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<10>) {
        let size = size.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        at += 10 + size + if flags & 0x10 != 0 { 10 } else { 0 };
    }
    if let Some(frames) = bytes.get_mut(at..) {
        decrypt(frames, cipher, iv, chains);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_measured() {
        for (bytes, expected) in [
            (&[0xff, 0xf1, 0x4c, 0x80, 0x02, 0x1f, 0xfc][..], Some((23, 16))),
            (&[0xff, 0xf0, 0x4c, 0x80, 0x02, 0x1f, 0xfc], Some((25, 16))),
            (&[0xff, 0xf1, 0x4c, 0x80, 0x00, 0x1f, 0xfc], None),
            (&[0x0b, 0x77, 0, 0, 0x08, 0x40, 0], Some((16, 256))),
            (&[0x0b, 0x77, 0, 0, 0x48, 0x40, 0], Some((16, 278))),
            (&[0x0b, 0x77, 0, 0, 0x49, 0x40, 0], Some((16, 280))),
            (&[0x0b, 0x77, 0, 0, 0x88, 0x40, 0], Some((16, 384))),
            (&[0x0b, 0x77, 0, 0, 0xc8, 0x40, 0], None),
            (&[0x0b, 0x77, 0, 0, 0x3f, 0x40, 0], None),
            (&[0x0b, 0x77, 0, 0x7f, 0x3f, 0x80, 0], Some((16, 256))),
            (&[0x0b, 0x77, 0, 0, 0], None),
        ] {
            assert_eq!(frame(bytes), expected, "{bytes:02x?}");
        }
    }
}
