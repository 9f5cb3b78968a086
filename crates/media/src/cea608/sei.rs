//! Caption data in SEI messages (ATSC A/53 part 4 §6.2.3; ITU-T H.264 §D.1.6, H.265 §D.2.6).

use serde::{Deserialize, Serialize};

use crate::{nal::unescape, sample_entry, track::TrackConfig};

/// Two bytes of captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The field of the picture that carries them, 0 or 1.
    pub field: u8,
    /// With their parity bits.
    pub bytes: [u8; 2],
}

/// `user_data_registered_itu_t_t35`.
const REGISTERED: usize = 4;
/// Country (USA), provider (ATSC), identifier and type of caption data.
const CAPTIONS: [u8; 8] = [0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 3];

/// Pairs of a picture; what comes on top is left out. At a picture a second there are 60 for each field.
const MAX_PAIRS: usize = 256;

/// How the pictures of a track are coded, as far as it takes to find their captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coding {
    pub(super) hevc: bool,
    /// Bytes of the length in front of each NAL unit.
    pub(super) length_size: usize,
}

impl Coding {
    /// H.264 with lengths of four bytes, as nearly all of it has.
    pub const AVC: Self = Self {
        hevc: false,
        length_size: 4,
    };
    /// HEVC with such lengths.
    pub const HEVC: Self = Self {
        hevc: true,
        length_size: 4,
    };

    /// That of a track; `None` where it is neither H.264 nor HEVC.
    #[must_use]
    pub fn of(config: &TrackConfig) -> Option<Self> {
        let entry = sample_entry::of(config).ok()?;
        let (hevc, length_size) = match &entry.kind {
            b"avc1" | b"avc3" | b"dvav" | b"dva1" => (false, sample_entry::in_visual(entry, "avcC")?.body.get(4)? & 3),
            b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => (true, sample_entry::in_visual(entry, "hvcC")?.body.get(21)? & 3),
            _ => return None,
        };
        Some(Self {
            hevc,
            length_size: usize::from(length_size) + 1,
        })
    }
}

/// What a picture carries (CTA-708 §4.3.1, `cc_data()`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptionData {
    /// Those of CEA-608.
    pub pairs: Vec<Pair>,
    /// Whether there are packets of CEA-708's own services.
    pub services: bool,
}

impl CaptionData {
    /// That of one access unit.
    #[must_use]
    pub fn of(sample: &[u8], coding: Coding) -> Self {
        let (mut data, mut rest) = (Self::default(), sample);
        while let Some((length, tail)) = rest.split_at_checked(coding.length_size) {
            let length = length.iter().fold(0_u32, |length, byte| length << 8 | u32::from(*byte));
            let Some((unit, next)) = tail.split_at_checked(usize::try_from(length).unwrap_or(usize::MAX)) else {
                break;
            };
            rest = next;
            let messages = match (coding.hevc, unit) {
                (false, [header, messages @ ..]) if header & 0x1f == 6 => messages,
                (true, [header, _, messages @ ..]) if header >> 1 & 0x3f == 39 => messages,
                _ => continue,
            };
            each_message(&unescape(messages), &mut data);
        }
        data
    }

    /// `cc_data()`: flags and a count, a reserved byte, then three bytes for each construct.
    fn take(&mut self, data: &[u8]) {
        let [flags, _, constructs @ ..] = data else { return };
        if flags & 0x40 == 0 {
            return;
        }
        for construct in constructs.chunks_exact(3).take(usize::from(flags & 0x1f)) {
            let valid = construct[0] & 4 != 0;
            match construct[0] & 3 {
                field @ 0..=1 if valid && self.pairs.len() < MAX_PAIRS => self.pairs.push(Pair {
                    field,
                    bytes: [construct[1], construct[2]],
                }),
                // The start of a packet.
                3 if valid => self.services = true,
                _ => {}
            }
        }
    }
}

fn each_message(mut rest: &[u8], found: &mut CaptionData) {
    while rest.len() > 2 {
        let Some(kind) = number(&mut rest) else { return };
        let Some(size) = number(&mut rest) else { return };
        let Some((message, next)) = rest.split_at_checked(size) else {
            return;
        };
        rest = next;
        if kind == REGISTERED
            && let Some(data) = message.strip_prefix(&CAPTIONS)
        {
            found.take(data);
        }
    }
}

/// A number as SEI has them: bytes of 255, and the remainder.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    loop {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number = number.saturating_add(usize::from(*byte));
        if *byte != 0xff {
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ATSC A/53 part 4, table 6.7: `user_data_registered_itu_t_t35` (4) of 20 bytes, then three constructs: of the first field, of
    /// the second, and what the third byte says.
    fn message(third: [u8; 3]) -> Vec<u8> {
        let mut message = vec![4, 20, 0xb5, 0, 0x31, b'G', b'A', b'9', b'4', 3, 0x43, 0xff];
        message.extend([0xfc, 0x94, 0x20, 0xfd, 0x15, 0x2c]);
        message.extend(third);
        message.extend([0xff, 0x80]);
        message
    }

    #[test]
    fn both_fields_are_found_in_either_codec_and_services_are_told_apart() {
        let fields = [
            Pair {
                field: 0,
                bytes: [0x94, 0x20],
            },
            Pair {
                field: 1,
                bytes: [0x15, 0x2c],
            },
        ];
        // Types 2 and 3 are those of CEA-708 (CTA-708, table 2); bit 2 is cc_valid.
        for (third, services) in [([0xff, 0x02, 0x21], true), ([0xfa, 0, 0], false), ([0xfe, 1, 2], false)] {
            for (hevc, length_size, header) in [(false, 4, &[6][..]), (false, 1, &[6]), (false, 2, &[6]), (true, 4, &[0x4e, 1])] {
                let unit = [header, &message(third)].concat();
                let length = u32::try_from(unit.len()).unwrap().to_be_bytes();
                // A slice in front of it, which looks like nothing.
                let slice = [&u32::to_be_bytes(2)[4 - length_size..], &[0x41, 0x9a]].concat();
                let sample = [&slice, &length[4 - length_size..], &unit].concat();
                let data = CaptionData::of(&sample, Coding { hevc, length_size });
                assert_eq!(
                    (&data.pairs[..], data.services),
                    (&fields[..], services),
                    "{third:x?} {hevc} {length_size}"
                );
            }
        }
    }

    #[test]
    fn a_picture_has_so_many_pairs_at_most() {
        // Without what ends the NAL unit.
        let message = message([0xfe, 0, 0]);
        let unit = [&[6][..], &message[..message.len() - 1].repeat(1000), &[0x80]].concat();
        let sample = [&u32::try_from(unit.len()).unwrap().to_be_bytes()[..], &unit].concat();
        assert_eq!(CaptionData::of(&sample, Coding::AVC).pairs.len(), MAX_PAIRS);
    }
}
