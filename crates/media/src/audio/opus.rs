//! Opus in MPEG-TS: access units behind control headers ("Opus in MPEG-TS", draft 0.1.3), with channels told in the PMT.

use mp4_atom::{Audio, Dops, Opus, OpusChannelMapping};
use serde::{Deserialize, Serialize};

use super::{AudioHeader, Found};

/// All times of Opus count at this rate (RFC 6716 §2.1.3).
pub(super) const RATE: u32 = 48_000;
/// Longest header that is read: a length of 62,000 takes 244 bytes.
const MAX_HEADER: usize = 512;

/// What must not change within a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpusConfig {
    /// `channel_config_code` of the descriptor.
    code: u8,
    /// Samples that a decoder drops at the start.
    pre_skip: u16,
}

/// `opus_control_header` (table 2): how much to trim, and how long the access unit is.
pub(super) fn header(bytes: &[u8]) -> Found {
    let (&[0x7f, flags, ..], true) = (bytes, bytes.len() <= MAX_HEADER) else {
        return Found::Nothing;
    };
    if flags & 0xe0 != 0xe0 {
        return Found::Nothing;
    }
    let fields = || -> Option<AudioHeader> {
        let sizes = bytes.get(2..)?;
        let full = sizes.iter().take_while(|&&byte| byte == 255).count();
        let size = 255 * full + usize::from(*sizes.get(full)?);
        let mut at = 2 + full + 1;
        let mut trim = |present: u8| -> Option<u16> {
            if flags & present == 0 {
                return Some(0);
            }
            let field = *bytes.get(at..)?.first_chunk()?;
            at += 2;
            Some(u16::from_be_bytes(field) & 0x1fff)
        };
        let trim = (trim(0x10)?, trim(0x08)?);
        if flags & 0x04 != 0 {
            at += 1 + usize::from(*bytes.get(at)?);
        }
        Some(AudioHeader {
            trim,
            ..AudioHeader::frame(at, at + size)
        })
    };
    match fields() {
        // An extension may reach beyond what is here; it is passed over with the rest of the header.
        Some(header) if header.frame_len > header.strip => Found::Header(header),
        Some(_) => Found::Nothing,
        None => Found::More,
    }
}

/// The identification header (RFC 7845 §5.1), which has the fields of `dOps` the other way around.
pub(crate) fn opus_head(dops: &Dops) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(dops.output_channel_count);
    head.extend_from_slice(&dops.pre_skip.to_le_bytes());
    head.extend_from_slice(&dops.input_sample_rate.to_le_bytes());
    head.extend_from_slice(&dops.output_gain.to_le_bytes());
    match &dops.channel_mapping {
        None => head.push(0),
        Some(mapping) => {
            head.extend_from_slice(&[mapping.family, mapping.stream_count, mapping.coupled_count]);
            head.extend_from_slice(&mapping.channel_mapping);
        }
    }
    head
}

/// How many samples a packet decodes to (RFC 6716 §3.1 and §3.2.5).
pub(crate) fn packet_samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    // 120 ms at most.
    Some(frame * count).filter(|samples| (1..=5760).contains(samples))
}

impl OpusConfig {
    pub(crate) fn new(code: u8, pre_skip: u16) -> Self {
        Self { code, pre_skip }
    }

    /// The same stream, whatever is trimmed off its start.
    pub(crate) fn is_like(self, other: Self) -> bool {
        self.code == other.code
    }

    pub(super) fn channels(self) -> u8 {
        match self.code {
            0 => 2,
            code => code,
        }
    }

    /// The sample entry; `None` for a channel configuration that is not supported.
    pub(super) fn entry(self, audio: Audio) -> Option<Opus> {
        // Streams, coupled ones among them, and which channel is where, by RFC 7845 §5.1.1.2.
        let (family, streams, coupled, mapping): (u8, u8, u8, &[u8]) = match self.code {
            // Two languages in one pair.
            0 => (255, 1, 1, &[0, 1]),
            1 | 2 => (0, 1, self.code - 1, &[]),
            3 => (1, 2, 1, &[0, 2, 1]),
            4 => (1, 2, 2, &[0, 1, 2, 3]),
            5 => (1, 3, 2, &[0, 4, 1, 2, 3]),
            6 => (1, 4, 2, &[0, 4, 1, 2, 3, 5]),
            7 => (1, 4, 3, &[0, 4, 1, 2, 3, 5, 6]),
            8 => (1, 5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
            _ => return None,
        };
        Some(Opus {
            audio,
            dops: Dops {
                output_channel_count: self.channels(),
                pre_skip: self.pre_skip,
                input_sample_rate: RATE,
                output_gain: 0,
                channel_mapping: (family != 0).then(|| OpusChannelMapping {
                    family,
                    stream_count: streams,
                    coupled_count: coupled,
                    channel_mapping: mapping.to_vec(),
                }),
            },
            btrt: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_headers_are_read_as_the_draft_lays_them_out() {
        let header_of = |strip, len, trim| {
            Found::Header(AudioHeader {
                trim,
                ..AudioHeader::frame(strip, strip + len)
            })
        };
        for (bytes, expected) in [
            (&[0x7f, 0xe0, 9][..], header_of(3, 9, (0, 0))),
            (&[0x7f, 0xe0, 255, 255, 1], header_of(5, 511, (0, 0))),
            (&[0x7f, 0xf0, 9, 0x01, 0x38], header_of(5, 9, (312, 0))),
            (&[0x7f, 0xf8, 9, 0x01, 0x38, 0x00, 0x07], header_of(7, 9, (312, 7))),
            (&[0x7f, 0xe4, 9, 2], header_of(6, 9, (0, 0))),
            (&[0x7f, 0xe0, 255], Found::More),
            (&[0x7f, 0xf0, 9, 1], Found::More),
            (&[0x7f, 0xc0, 9], Found::Nothing),
            (&[0x7f, 0xe0, 0], Found::Nothing),
        ] {
            assert_eq!(header(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_packet_tells_its_length_in_its_first_bytes() {
        for (packet, samples) in [
            (&[0xfc][..], Some(960)),
            (&[0xfd], Some(1920)),
            (&[0x00], Some(480)),
            (&[0x18], Some(2880)),
            (&[0x83, 48], Some(5760)),
            (&[0x83, 49], None),
            (&[0x83, 0], None),
            (&[0x83], None),
            (&[], None),
        ] {
            assert_eq!(packet_samples(packet), samples, "{packet:02x?}");
        }
    }
}
