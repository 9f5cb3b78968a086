//! Whether a segment came whole, and what is of use of one that did not.

use aqueduct_core::{Clear, Loss, Mux};
use aqueduct_media::ts;

use crate::Container;
use crate::container::Media;

/// Length of a transport packet (ISO 13818-1, 2.4.3.2).
const PACKET: usize = 188;
/// What each begins with.
const SYNC: u8 = 0x47;

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is a web page.
    Page,
    /// It is nothing that is known, unlike those before it.
    Unknown,
    /// It ends in the middle of a transport packet; whole ones end here.
    Packet(usize),
    /// It ends in the middle of a box, and these are whole.
    Box(Boxes),
}

impl Fault {
    /// As a fragment for people.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Page => "it is a web page, not media: the server may want a Referer, a cookie or a fresh address",
            Self::Unknown => "it is not media of any known kind, as the segments before it are",
            Self::Packet(_) => "it ends in the middle of a transport packet: it was cut short",
            Self::Box(_) => "its boxes do not add up to its length: it was cut short",
        }
    }

    /// How many bytes at its beginning are of use: all where `samples` are taken out one by one and some of them are whole, and
    /// those that stand for themselves otherwise.
    pub(crate) fn kept(self, length: usize, samples: bool) -> usize {
        match self {
            Self::Page | Self::Unknown => 0,
            Self::Packet(end) => end,
            Self::Box(boxes) if boxes.in_part && samples => length,
            Self::Box(boxes) => boxes.fragments,
        }
    }

    /// Whether there is anything in it that can be kept.
    pub(crate) fn is_of_use(self) -> bool {
        self.kept(1, true) > 0
    }

    /// What is told of a segment with `kept` of its bytes.
    pub(crate) fn loss(self, kept: usize, length: usize) -> Loss {
        let mut why = self.what().to_owned();
        if kept > 0 && kept < length {
            why.push_str(&format!("; {kept} of its {length} bytes are kept"));
        } else if kept > 0 {
            why.push_str("; the samples that are whole are kept");
        }
        Loss { why, kept: kept > 0 }
    }
}

/// What may be put into a finished output: what its muxer would have taken.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    is_raw: bool,
    media: Option<Media>,
}

impl Intake {
    /// That of an output that was wanted as `container` ([`Mux::identity`](aqueduct_core::Mux::identity)) and has segments that begin
    /// with `head`; without one, samples were taken out of them.
    pub fn new(container: &str, head: Option<&[u8]>) -> Self {
        Self {
            is_raw: container.starts_with(&Container::Raw.muxer().identity()),
            media: head.map(Media::of),
        }
    }

    /// What is wrong with a segment, as a fragment for people.
    pub fn fault(self, segment: &Clear) -> Option<&'static str> {
        let bytes = segment.as_slice();
        let fault = match Media::of(bytes) {
            Media::Page => Some(Fault::Page),
            _ if self.is_raw => None,
            Media::Other if self.media != Some(Media::Other) => Some(Fault::Unknown),
            Media::MpegTs => cut_packet(bytes).map(Fault::Packet),
            Media::IsoBmff => cut_box(bytes).map(Fault::Box),
            _ => None,
        };
        fault.map(Fault::what).or(segment.is_cut().then_some("it was cut short"))
    }
}

/// What is whole of a segment of fragmented MP4 that was cut short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Boxes {
    /// Where the last fragment ends that is there with all of its media, in bytes; 0 where none is.
    pub(crate) fragments: usize,
    /// Whether media data begin behind that, with a `moof` that tells of them.
    pub(crate) in_part: bool,
}

/// Where the last whole transport packet of a segment ends that ends in the middle of one (ISO 13818-1, 2.4.3.2). Bytes behind
/// the last whole packet that do not begin with a sync byte are junk.
pub(crate) fn cut_packet(segment: &[u8]) -> Option<usize> {
    let mut begin = 0;
    while let Some((first, stride)) = ts::find_packets(segment.get(begin..)?) {
        let start = begin + first;
        let mut at = start;
        while segment.get(at) == Some(&SYNC) && segment.len() - at >= PACKET {
            at += stride;
        }
        // The last one need not have what stands between packets.
        let rest = segment.get(at..).filter(|rest| !rest.is_empty())?;
        if at == start {
            return None;
        }
        if rest.len() < PACKET {
            return (rest.first() == Some(&SYNC)).then_some(at);
        }
        begin = at;
    }
    None
}

/// What is whole where the boxes of a segment do not fill it (ISO 14496-12, 4.2). The last may have no size of its own.
pub(crate) fn cut_box(segment: &[u8]) -> Option<Boxes> {
    let (mut at, mut whole, mut described) = (0, Boxes::default(), false);
    while let Some(rest) = segment.get(at..).filter(|rest| !rest.is_empty()) {
        let kind = rest.get(4..8);
        let size = match rest.first_chunk::<4>().map(|size| u32::from_be_bytes(*size)) {
            Some(0) => return None,
            Some(1) => rest
                .get(8..16)
                .and_then(|large| large.try_into().ok())
                .map_or(0, u64::from_be_bytes),
            size => size.unwrap_or(0).into(),
        };
        let Some(size) = usize::try_from(size).ok().filter(|size| *size >= 8 && *size <= rest.len()) else {
            whole.in_part = described && kind == Some(b"mdat");
            return Some(whole);
        };
        at += size;
        described |= kind == Some(b"moof");
        if kind == Some(b"mdat") && std::mem::take(&mut described) {
            whole.fragments = at;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pieces<'a> = &'a [&'a [u8]];

    #[test]
    fn a_segment_that_is_cut_short_is_noticed() {
        let mut packets = [0xff; PACKET * 3];
        for at in [0, PACKET, 2 * PACKET] {
            packets[at] = 0x47;
        }
        let junk = [b"junk".as_slice(), &packets].concat();
        let cases: [(&str, Pieces<'_>, Option<usize>); 9] = [
            ("whole", &[&packets], None),
            ("behind junk", &[&junk], None),
            ("cut", &[&packets[..500]], Some(376)),
            ("cut behind junk", &[&junk[..500]], Some(380)),
            ("junk in the middle, then cut", &[&packets, b"junk", &packets[..500]], Some(944)),
            ("junk in the middle", &[&packets, b"junk", &packets], None),
            ("zeros behind the last", &[&packets, &[0; 300]], None),
            ("few zeros behind the last", &[&packets, &[0; 7]], None),
            ("text behind the last", &[&packets, b"junk: NOTHING OF USE"], None),
        ];
        for (name, pieces, cut) in cases {
            assert_eq!(cut_packet(&pieces.concat()), cut, "{name}");
        }
        let moof = b"\0\0\0\x0cmoof1234";
        let mdat = b"\0\0\0\x0amdat12";
        let large = b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x1112345678X";
        let whole = |fragments, in_part| Some(Boxes { fragments, in_part });
        let cases: [(Pieces<'_>, Option<Boxes>); 9] = [
            (&[moof, mdat], None),
            (&[moof, large.split_at(17).0], None),
            (&[moof, b"\0\0\0\0mdat to the end"], None),
            (&[moof, &mdat[..9]], whole(0, true)),
            (&[&moof[..6]], whole(0, false)),
            (&[moof, b"\0\0\0\x04mdat"], whole(0, true)),
            (&[moof, mdat, moof, &mdat[..9]], whole(22, true)),
            (&[moof, mdat, &moof[..11]], whole(22, false)),
            (&[moof, mdat, mdat, &mdat[..9]], whole(22, false)),
        ];
        for (boxes, whole) in cases {
            assert_eq!(cut_box(&boxes.concat()), whole, "{boxes:?}");
        }
    }
}
