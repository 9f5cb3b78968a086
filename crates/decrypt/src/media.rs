//! Telling media from anything else by its first bytes.

use memchr::memchr_iter;

/// Bytes of an MPEG-TS packet, and its sync byte (ISO 13818-1 §2.4.3.2).
pub(crate) const PACKET: usize = 188;
pub(crate) const SYNC: u8 = 0x47;

/// Sync bytes in a row that make MPEG-TS of bytes: by chance one in 2^40 places.
const SYNCS: usize = 5;

/// Boxes that a segment or an initialization section begins with (ISO 14496-12 table 1, RFC 8216 §3.3).
const FIRST_BOXES: [&[u8; 4]; 11] = [
    b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"ssix", b"emsg", b"prft", b"mdat", b"free", b"skip",
];

/// A format that a Media Segment can have (RFC 8216 §3), as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Ts,
    Fmp4,
    /// Audio frames, behind ID3 tags or not.
    PackedAudio,
    WebVtt,
}

/// What `bytes` are, by how they begin.
pub(crate) fn format(bytes: &[u8]) -> Option<Format> {
    if is_ts(bytes) {
        return Some(Format::Ts);
    }
    if is_fmp4(bytes) {
        return Some(Format::Fmp4);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.starts_with(b"WEBVTT") {
        return Some(Format::WebVtt);
    }
    is_packed_audio(bytes).then_some(Format::PackedAudio)
}

/// Whether the whole of `bytes` is accounted for by what they are: nothing, such as padding, stands behind.
pub(crate) fn ends_whole(bytes: &[u8]) -> bool {
    match format(bytes) {
        Some(Format::Ts) => bytes.len().is_multiple_of(PACKET),
        Some(Format::Fmp4) => {
            let mut rest = bytes;
            while !rest.is_empty() {
                // A size of 0 takes in whatever there is.
                let Some((_, size)) = box_header(rest).filter(|_| !rest.starts_with(&[0; 4])) else {
                    return false;
                };
                let Some(next) = rest.get(size..) else { return false };
                rest = next;
            }
            true
        }
        _ => false,
    }
}

/// Where media begins in bytes that begin with something else: MPEG-TS or boxes. Linear in their length.
pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
    let ts = memchr_iter(SYNC, bytes).find(|&at| bytes.get(at..).is_some_and(|rest| rest.len() >= PACKET && is_ts(rest)));
    let until = ts.unwrap_or(bytes.len());
    // Every size of these boxes below 16 MiB has a zero first.
    let boxes = memchr_iter(0, bytes.get(..until)?).find(|&at| bytes.get(at..).is_some_and(begins_with_boxes));
    boxes.or(ts)
}

fn is_ts(bytes: &[u8]) -> bool {
    bytes.first() == Some(&SYNC) && bytes.len() >= PACKET && (1..SYNCS).all(|n| bytes.get(n * PACKET).is_none_or(|byte| *byte == SYNC))
}

fn is_fmp4(bytes: &[u8]) -> bool {
    box_header(bytes).is_some_and(|(kind, _)| FIRST_BOXES.contains(&&kind))
}

/// Stricter than [`is_fmp4`], for bytes that may be anything: a box that is there whole and is followed by another
/// or by nothing.
fn begins_with_boxes(bytes: &[u8]) -> bool {
    let Some((kind, size)) = box_header(bytes) else { return false };
    let Some(rest) = bytes.get(size..) else { return false };
    [b"ftyp", b"styp", b"moof", b"sidx", b"moov"].contains(&&kind)
        && (rest.is_empty() || box_header(rest).is_some_and(|(kind, _)| kind.iter().all(u8::is_ascii_graphic)))
}

/// Type and size of the box that begins here (ISO 14496-12 §4.2); `None` where no box can.
fn box_header(bytes: &[u8]) -> Option<([u8; 4], usize)> {
    let kind = *bytes.get(4..)?.first_chunk::<4>()?;
    let (header, size) = match u32::from_be_bytes(*bytes.first_chunk()?) {
        0 => (8, bytes.len()),
        1 => (16, usize::try_from(u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?)).ok()?),
        size => (8, usize::try_from(size).ok()?),
    };
    (size >= header).then_some((kind, size))
}

/// An ID3 tag, or the first header of AAC in ADTS, MPEG audio, AC-3 or E-AC-3 (RFC 8216 §3.4).
fn is_packed_audio(bytes: &[u8]) -> bool {
    match *bytes {
        [b'I', b'D', b'3', ..] | [0x0b, 0x77, ..] => true,
        // Layer 0 is ADTS, whose sampling rate index ends at 12 (ISO 14496-3 §1.A.2.2.1).
        [0xff, second, third, ..] if second & 0xf6 == 0xf0 => third >> 2 & 0xf <= 12,
        // Of MPEG audio, no reserved version, bit rate or sampling rate (ISO 11172-3 §2.4.2.3).
        [0xff, second, third, ..] if second & 0xe0 == 0xe0 => {
            second & 0x18 != 0x08 && second & 0x06 != 0 && third >> 4 != 0xf && third & 0x0c != 0x0c
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_media_is_told() {
        let mut ts = [0; 3 * PACKET];
        ts.iter_mut().step_by(PACKET).for_each(|byte| *byte = SYNC);
        for (bytes, expected) in [
            (&ts[..], Some(Format::Ts)),
            (&ts[..PACKET], Some(Format::Ts)),
            (&ts[..PACKET - 1], None),
            (b"\0\0\0\x18ftypiso5\0\0\0\0", Some(Format::Fmp4)),
            (b"\0\0\x01\0moof", Some(Format::Fmp4)),
            (b"\0\0\x01\0moov", Some(Format::Fmp4)),
            (b"\0\0\0\x07moof", None),
            (b"ID3\x04", Some(Format::PackedAudio)),
            (b"\xff\xf1\x4c\x80", Some(Format::PackedAudio)),
            (b"\xff\xfb\x90\x64", Some(Format::PackedAudio)),
            (b"\xff\xd8\xff\xe0", None),
            (b"\x0b\x77", Some(Format::PackedAudio)),
            (b"WEBVTT\n", Some(Format::WebVtt)),
            (b"\xef\xbb\xbfWEBVTT", Some(Format::WebVtt)),
            (b"<html>", None),
            (b"", None),
        ] {
            assert_eq!(format(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn media_with_something_behind_is_not_whole() {
        for (bytes, whole) in [
            (&b"\0\0\0\x08free\0\0\0\x09mdatx"[..], true),
            (b"\0\0\0\x08free\0\0\0\x09mdatx\x01", false),
            (b"\0\0\0\x08free\0\0\0\x09mdat", false),
            (b"WEBVTT", false),
        ] {
            assert_eq!(ends_whole(bytes), whole, "{}", bytes.escape_ascii());
        }
        let mut ts = vec![SYNC; 2 * PACKET];
        assert!(ends_whole(&ts));
        ts.push(1);
        assert!(!ends_whole(&ts));
    }
}
