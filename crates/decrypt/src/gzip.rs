//! Media that are compressed inside a disguise or a cipher (RFC 1952). What an answer of a server declares, or forgets to
//! declare, is undone where answers are read.

use std::io::{self, Read};

use aqueduct_core::DecryptError;
use bytes::{BufMut, BytesMut};
use flate2::bufread::GzDecoder;

use crate::media::{self, Format};

/// The most that media inflate by. They are compressed already: only stuffing gives way.
const RATIO: usize = 32;
/// What may come out whatever goes in.
const LEAST: usize = 1 << 20;
/// What may come out at most: as much as a segment may have by default.
const MOST: usize = 512 << 20;
/// Inflated bytes that show whether they are media.
const HEAD: u64 = 1024;

/// Whether these bytes are gzip and media inside.
pub(crate) fn holds_media(bytes: &[u8]) -> bool {
    let mut head = Vec::new();
    // A member that ends early, or is damaged further on, has shown its head by then.
    let _ = begins(bytes) && GzDecoder::new(bytes).take(HEAD).read_to_end(&mut head).is_ok();
    matches!(media::format(&head), Some(Format::Ts | Format::Fmp4))
}

/// Magic numbers, the one method there is, and no reserved flag (2.3.1).
fn begins(bytes: &[u8]) -> bool {
    matches!(bytes, [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0)
}

/// What the members of `bytes` hold (2.2). What stands behind them is no gzip, and is left out.
pub(crate) fn inflate(bytes: &[u8]) -> Result<BytesMut, DecryptError> {
    let most = bytes.len().saturating_mul(RATIO).clamp(LEAST, MOST);
    let (mut inflated, mut rest) = (BytesMut::new(), bytes);
    while begins(rest) {
        let mut member = GzDecoder::new(rest);
        let left = (most - inflated.len()) as u64;
        let taken = io::copy(&mut member.by_ref().take(left + 1), &mut (&mut inflated).writer());
        let wrong = |what: &str| DecryptError::Media {
            what: format!("gzip inside it {what}"),
        };
        match taken {
            Ok(taken) if taken > left => return Err(wrong(&format!("that inflates to more than {most} bytes"))),
            Ok(_) => {}
            Err(error) => return Err(wrong(&format!("that is damaged: {error}"))),
        }
        rest = member.into_inner();
    }
    Ok(inflated)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn ts(packets: usize) -> Vec<u8> {
        let mut bytes = vec![0x5a; packets * media::PACKET];
        bytes.iter_mut().step_by(media::PACKET).for_each(|byte| *byte = media::SYNC);
        bytes
    }

    // printf '\0\0\0\014ftypmp42' | gzip -n | xxd -i
    const BY_GZIP: [u8; 32] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x63, 0x60, 0x60, 0xe0, 0x49, 0x2b, 0xa9, 0x2c, 0xc8, 0x2d, 0x30, 0x31,
        0x02, 0x00, 0x40, 0x31, 0xfd, 0xa8, 0x0c, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn what_gzip_made_is_inflated() {
        assert!(holds_media(&BY_GZIP));
        assert_eq!(inflate(&BY_GZIP).unwrap(), &b"\0\0\0\x0cftypmp42"[..]);
    }

    #[test]
    fn members_are_joined_and_what_follows_them_is_left() {
        let bytes = [deflate(&ts(3)), deflate(&ts(4)), vec![0; 5]].concat();
        assert_eq!(inflate(&bytes).unwrap(), ts(7));
    }

    #[test]
    fn only_media_are_inflated_and_damage_is_an_error() {
        let sealed = deflate(&ts(20));
        for (bytes, expected) in [
            (&sealed[..], true),
            (&sealed[..sealed.len() - 1], true),
            (&deflate(b"no media"), false),
            (&deflate(b""), false),
            (&[0x1f, 0x8b, 8], false),
            (b"", false),
        ] {
            assert_eq!(holds_media(bytes), expected, "{bytes:02x?}");
        }
        assert!(inflate(&sealed[..sealed.len() - 1]).is_err(), "cut short");
        let mut damaged = sealed;
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        assert!(inflate(&damaged).is_err(), "its checksum is wrong");
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_memory() {
        let error = inflate(&deflate(&vec![0; LEAST + 1])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "protected media: gzip inside it that inflates to more than 1048576 bytes"
        );
    }
}
