//! Timed metadata: ID3 tags in PES packets (RFC 8216 §3.2; Apple, "Timed Metadata for HTTP Live Streaming").

use serde::{Deserialize, Serialize};

use super::{packet::Packet, pes::PesHeader};
use crate::{emsg::Message, time::unwrap_33};

/// What stands in front of the length of a PES packet, and that itself (§2.4.3.6).
const PREFIX: usize = 6;
/// Only PES packets of video may leave their length out.
const MAX_PES: usize = PREFIX + 0xffff;

/// Puts the PES packets of one stream together. None is larger than its length field can tell, 64 KiB.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Metadata {
    counter: Option<u8>,
    /// The packet in progress.
    pes: Vec<u8>,
}

/// What a transport packet brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) message: Option<Message>,
    /// PES packets that were not whole, or hold no ID3 tag with a time.
    pub(super) lost: u64,
}

impl Metadata {
    /// Takes a packet of the stream that has a payload. `clock` is the last decode time of any other stream.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, payload: &[u8], clock: Option<i64>) -> Brought {
        let mut brought = Brought::default();
        let last = self.counter.replace(packet.counter);
        if packet.unit_start {
            brought.lost += self.abandon();
        } else if self.pes.is_empty() {
            return brought;
        } else if last == Some(packet.counter) && !packet.discontinuity {
            // Sent twice (§2.4.3.3).
            return brought;
        } else if last.is_none_or(|last| packet.counter != (last + 1) & 0xf) {
            brought.lost += self.abandon();
            return brought;
        }
        self.pes.extend_from_slice(payload);
        let length = match self.pes.get(4..PREFIX) {
            Some(&[high, low]) if high | low != 0 => PREFIX + (usize::from(high) << 8 | usize::from(low)),
            _ => MAX_PES,
        };
        if self.pes.len() >= length {
            self.pes.truncate(length);
            brought.message = message(&self.pes, clock);
            brought.lost += u64::from(brought.message.is_none());
            self.pes.clear();
        }
        brought
    }

    /// Drops the packet in progress, and says how many that was.
    pub(super) fn abandon(&mut self) -> u64 {
        let lost = !self.pes.is_empty();
        self.pes.clear();
        u64::from(lost)
    }
}

fn message(pes: &[u8], clock: Option<i64>) -> Option<Message> {
    let header = PesHeader::parse(pes).ok().filter(|header| !header.scrambled)?;
    let tag = pes.get(header.len..).filter(|tag| tag.starts_with(b"ID3"))?;
    let pts = header.stamps?.pts;
    let reference = clock.unwrap_or(i64::try_from(pts).unwrap_or(0));
    Some(Message::id3(unwrap_33(pts, reference), bytes::Bytes::copy_from_slice(tag)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A PES packet of private stream 1 with a tag, due at 90,000 (§2.4.3.6).
    fn pes(tag: &[u8]) -> Vec<u8> {
        let stamp = [0x21, 0, 5, 0xbf, 0x21];
        let length = u16::try_from(tag.len() + 8).unwrap().to_be_bytes();
        [&[0, 0, 1, 0xbd][..], &length, &[0x84, 0x80, 5], &stamp, tag].concat()
    }

    fn packets(bytes: &[u8]) -> Vec<Packet<'_>> {
        let pieces = bytes.chunks(184).enumerate();
        pieces
            .map(|(number, payload)| Packet {
                pid: 0x102,
                unit_start: number == 0,
                error: false,
                scrambled: false,
                counter: u8::try_from(number % 16).unwrap(),
                discontinuity: false,
                payload: Some(payload),
            })
            .collect()
    }

    fn all(packets: &[Packet<'_>]) -> (Vec<Message>, u64) {
        let mut metadata = Metadata::default();
        let brought: Vec<_> = packets
            .iter()
            .map(|packet| metadata.packet(packet, packet.payload.unwrap(), Some(1 << 33)))
            .collect();
        let lost = brought.iter().map(|brought| brought.lost).sum::<u64>() + metadata.abandon();
        (brought.into_iter().filter_map(|brought| brought.message).collect(), lost)
    }

    #[test]
    fn a_tag_is_put_together_and_has_its_time_near_that_of_the_other_streams() {
        let tag = [&b"ID3\x04"[..], &[7; 500]].concat();
        let bytes = pes(&tag);
        let whole = packets(&bytes);
        let expected = Message::id3((1 << 33) + 90_000, tag.into());
        assert_eq!(all(&whole), (vec![expected.clone()], 0));
        let twice: Vec<_> = whole.iter().flat_map(|packet| [*packet, *packet]).skip(1).collect();
        assert_eq!(all(&twice), (vec![expected], 0), "packets sent twice");
        for (case, lost) in [(vec![whole[0], whole[2]], 1), (whole[..2].to_vec(), 1), (whole[1..].to_vec(), 0)] {
            assert_eq!(all(&case), (Vec::new(), lost));
        }
        let other = pes(b"no tag");
        assert_eq!(all(&packets(&other)), (Vec::new(), 1));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_memory_is_bounded(payloads: Vec<(bool, u8, Vec<u8>)>) {
            let mut metadata = Metadata::default();
            for (unit_start, counter, payload) in &payloads {
                let packet = Packet { pid: 1, unit_start: *unit_start, error: false, scrambled: false, counter: counter & 0xf, discontinuity: false, payload: Some(payload) };
                let _ = metadata.packet(&packet, payload, None);
                prop_assert!(metadata.pes.len() < MAX_PES);
            }
        }
    }
}
