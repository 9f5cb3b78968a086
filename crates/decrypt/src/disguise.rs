//! Segments that pose as something else: a picture or a web page in front of the media.
//!
//! No specification knows them. Some hosts take pictures only, so segments are kept there behind one.

use memchr::memmem;

use crate::gzip;
use crate::media::{self, Format};

/// Where a disguise was taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disguise {
    /// What it looks like, for people.
    pub(crate) name: &'static str,
    /// Bytes of it.
    pub(crate) length: usize,
}

/// How a web page begins.
const PAGES: [&[u8]; 5] = [b"<!doctype", b"<html", b"<head", b"<body", b"<script"];

/// What the bytes pose as, if they do.
fn pose(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("PNG"),
        // The first segment is an application's, a table, a comment or the frame.
        [0xff, 0xd8, 0xff, 0xc0..=0xc4 | 0xdb | 0xe0..=0xef | 0xfe, ..] => Some("JPEG"),
        [b'G', b'I', b'F', b'8', ..] => Some("GIF"),
        // Two letters are little: the reserved fields are zero, and pixels begin behind both headers.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, pixels, _, 0, 0, ..] if *pixels >= 26 => Some("BMP"),
        // One character would be too little: a piece of anything may begin with it.
        _ if PAGES
            .iter()
            .any(|page| text.get(..page.len()).is_some_and(|text| text.eq_ignore_ascii_case(page))) =>
        {
            Some("web page")
        }
        _ => None,
    }
}

/// The disguise in front of media, compressed or not, if there is one. What is media from its first byte never has one, and a picture
/// without media behind it is a picture.
pub(crate) fn ends(bytes: &[u8]) -> Option<Disguise> {
    if media::format(bytes).is_some() {
        return None;
    }
    let name = pose(bytes)?;
    let end = picture_end(bytes);
    if let Some(length) = end
        && gzip::holds_media(bytes.get(length..)?)
    {
        return Some(Disguise { name, length });
    }
    let behind = end.and_then(|end| media::format(bytes.get(end..)?));
    let length = match behind {
        Some(Format::Ts | Format::Fmp4) => end,
        // Bytes may be a piece of a plain file, which begins with anything: what is searched for must be whole. Audio
        // frames and text are too little for that, and enough where a picture ends.
        _ => media::find(bytes)
            .filter(|at| bytes.get(*at..).is_some_and(media::ends_whole))
            .or(behind.and(end)),
    }?;
    Some(Disguise { name, length })
}

/// The disguise in front of what may be ciphertext, by the picture's own end: what follows is a whole number of
/// blocks, and there is some.
pub(crate) fn ends_before_blocks(bytes: &[u8], block: usize) -> Option<Disguise> {
    let name = pose(bytes)?;
    let length = picture_end(bytes)?;
    let rest = bytes.len().checked_sub(length)?;
    (rest > 0 && rest.is_multiple_of(block)).then_some(Disguise { name, length })
}

/// Where the picture ends by its own account.
fn picture_end(bytes: &[u8]) -> Option<usize> {
    let end = match bytes {
        // Chunks up to IEND (PNG, 5.3): length, type, content, CRC.
        [0x89, b'P', b'N', b'G', ..] => {
            let mut at = 8_usize;
            loop {
                let head = bytes.get(at..)?;
                let length = usize::try_from(u32::from_be_bytes(*head.first_chunk()?)).ok()?;
                at = at.checked_add(length)?.checked_add(12)?;
                if head.get(4..8)? == b"IEND" {
                    break at;
                }
            }
        }
        // The first end of image: inside entropy-coded data 0xff is always followed by 0 or a restart (T.81, B.1.1.5).
        [0xff, 0xd8, 0xff, ..] => jpeg_end(bytes)?,
        [b'G', b'I', b'F', b'8', ..] => gif_end(bytes)?,
        // The file's size.
        [b'B', b'M', a, b, c, d, ..] => usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?,
        _ => {
            let found = memmem::rfind(bytes, b"</html>").or_else(|| memmem::rfind(bytes, b"</HTML>"))? + 7;
            let spaces = bytes.get(found..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            found + spaces
        }
    };
    (end <= bytes.len()).then_some(end)
}

/// Behind the end of the image (ITU-T T.81, B.1.1): segments have lengths, and in coded data 0xff is followed by 0 or
/// by a restart marker.
fn jpeg_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 2_usize;
    loop {
        at += memchr::memchr(0xff, bytes.get(at..)?)?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xd9 => return Some(at + 2),
            0xff => at += 1,
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?));
                at = at.checked_add(2)?.checked_add(length)?;
            }
        }
    }
}

/// Behind the trailer (GIF89a, 27): blocks are made of sub-blocks, each behind its length.
fn gif_end(bytes: &[u8]) -> Option<usize> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        match bytes.get(at)? {
            0x3b => return Some(at + 1),
            0x21 => at += 2,
            0x2c => at += 11 + table(*bytes.get(at + 9)?),
            _ => return None,
        }
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(packets: usize) -> Vec<u8> {
        let mut bytes = vec![0xab; packets * media::PACKET];
        bytes.iter_mut().step_by(media::PACKET).for_each(|byte| *byte = media::SYNC);
        bytes
    }

    const FMP4: &[u8] = b"\0\0\0\x10styp\0\0\0\0\0\0\0\0\0\0\0\x08moof\0\0\0\x09mdatG";
    /// One black pixel each, by `magick -size 1x1 xc:black png:- | xxd -i` and its like.
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x01\0\0\0\0\x37\x6e\xf9\x24\
        \0\0\0\nIDATx\x9c\x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xae\x42\x60\x82";
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x21\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xda\0\x04ab\x47\xff\0\xff\xd9";
    const BMP: &[u8] =
        b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0GGG\0";
    const HTML: &[u8] = b"\n<!DOCTYPE html><html><body>GIF G</body></html>\n";

    #[test]
    fn every_prefix_is_taken_off_every_media() {
        for (name, prefix) in [("PNG", PNG), ("GIF", GIF), ("JPEG", JPEG), ("BMP", BMP), ("web page", HTML)] {
            for media in [&ts(1)[..], &ts(7), FMP4, b"ID3\x04\0\0\0\0\0\0\xff\xf1\x50\x80"] {
                let length = prefix.len();
                assert_eq!(ends(&[prefix, media].concat()), Some(Disguise { name, length }));
                assert_eq!(ends(media), None);
            }
            assert_eq!(ends(prefix), None, "{name} alone");
            // A picture that does not end where it says, and padding behind it.
            let cut = &prefix[..prefix.len() - 3];
            let disguised = [cut, &[0xff; 5], &ts(7)].concat();
            assert_eq!(
                ends(&disguised),
                Some(Disguise {
                    name,
                    length: cut.len() + 5
                }),
                "{name} cut"
            );
        }
    }

    #[test]
    fn before_ciphertext_the_picture_itself_says_where_it_ends() {
        for prefix in [PNG, GIF, JPEG, BMP, HTML] {
            let found = |rest: usize| ends_before_blocks(&[prefix, &vec![0x5a; rest]].concat(), 16).map(|found| found.length);
            assert_eq!(
                (found(32), found(31), found(0)),
                (Some(prefix.len()), None, None),
                "{}",
                prefix.escape_ascii()
            );
        }
        assert_eq!(ends_before_blocks(&[0; 64], 16), None);
    }

    #[test]
    fn text_and_pictures_stay_what_they_are() {
        for bytes in [
            &b"<tt xmlns=\"http://www.w3.org/ns/ttml\">GGG</tt>"[..],
            b"WEBVTT\n\n<b>",
            b"",
            b"<",
            b"GIF8",
            b"BM",
            JPEG,
        ] {
            assert_eq!(ends(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_piece_of_a_plain_file_stays_whole_whatever_it_begins_with() {
        let film = ts(9);
        for begin in [
            &b"<"[..],
            b"< html",
            b"\xff\xd8\xff\xff",
            b"\xff\xd8\xff\xe0",
            b"BM\0\0\0\0\0\0\0\0\x36",
            b"GIF89a",
        ] {
            // Neither end is that of a packet.
            let piece = [begin, &film[70..film.len() - 50]].concat();
            assert_eq!(ends(&piece), None, "{}", begin.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(prefix in 0_usize..5, cut in 0_usize..100, rest: Vec<u8>) {
            let prefix = [PNG, GIF, JPEG, BMP, HTML][prefix];
            let bytes = [&prefix[..cut.min(prefix.len())], &rest].concat();
            for found in [ends(&bytes), ends_before_blocks(&bytes, 16)].into_iter().flatten() {
                proptest::prop_assert!(found.length < bytes.len());
            }
        }
    }
}
