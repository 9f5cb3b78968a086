//! Transport packets: finding them in bytes, and their headers (ISO 13818-1 §2.4.3.2).

use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::Stats;

/// Bytes of a packet.
pub(super) const PACKET: usize = 188;
pub(super) const SYNC: u8 = 0x47;

/// A packet's header, and its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// A PES packet or a section begins here.
    pub(super) unit_start: bool,
    pub(super) error: bool,
    pub(super) scrambled: bool,
    pub(super) counter: u8,
    /// The `discontinuity_indicator` of the adaptation field: a break of the counter is meant (§2.4.3.5).
    pub(super) discontinuity: bool,
    /// `None` where the packet has an adaptation field only, or one that leaves no room.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    pub(super) fn parse(bytes: &'a [u8; PACKET]) -> Self {
        let [_, b1, b2, b3, rest @ ..] = bytes;
        let (adaptation, rest) = if b3 & 0x20 == 0 {
            (&[][..], Some(&rest[..]))
        } else {
            let length = usize::from(rest[0]);
            match rest.get(1..=length) {
                Some(field) => (field, rest.get(1 + length..)),
                None => (&[][..], None),
            }
        };
        Self {
            pid: u16::from(b1 & 0x1f) << 8 | u16::from(*b2),
            unit_start: b1 & 0x40 != 0,
            error: b1 & 0x80 != 0,
            scrambled: b3 & 0xc0 != 0,
            counter: b3 & 0xf,
            discontinuity: adaptation.first().is_some_and(|flags| flags & 0x80 != 0),
            payload: rest.filter(|payload| b3 & 0x10 != 0 && !payload.is_empty()),
        }
    }
}

/// Cuts bytes into packets, whatever pieces they come in, and finds the next packet after junk.
///
/// Synchronisation takes three sync bytes at the right distance. It holds a packet and a half at most.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Framer {
    carry: Vec<u8>,
    synced: bool,
}

impl Framer {
    /// Calls `each` for every packet that is complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], stats: &mut Stats, mut each: impl FnMut(&[u8; PACKET], &mut Stats)) {
        if !self.carry.is_empty() {
            if self.synced && self.carry.len() < PACKET {
                let missing = PACKET - self.carry.len();
                let (head, tail) = bytes.split_at(missing.min(bytes.len()));
                self.carry.extend_from_slice(head);
                if self.carry.len() < PACKET {
                    return;
                }
                bytes = tail;
                let carry = std::mem::take(&mut self.carry);
                let used = self.frames(&carry, false, stats, &mut each);
                self.carry = carry;
                self.carry.drain(..used);
            }
            if !self.carry.is_empty() {
                // Searching: put old and new together, as a packet may begin in either.
                let mut joined = std::mem::take(&mut self.carry);
                joined.extend_from_slice(bytes);
                let used = self.frames(&joined, false, stats, &mut each);
                self.carry.extend_from_slice(joined.get(used..).unwrap_or(&[]));
                return;
            }
        }
        let used = self.frames(bytes, false, stats, &mut each);
        self.carry.extend_from_slice(bytes.get(used..).unwrap_or(&[]));
    }

    /// No more bytes belong to these: takes what can be had of the rest, and forgets it.
    pub(super) fn finish(&mut self, stats: &mut Stats, mut each: impl FnMut(&[u8; PACKET], &mut Stats)) {
        let rest = std::mem::take(&mut self.carry);
        let used = self.frames(&rest, true, stats, &mut each);
        stats.junk_bytes += rest.len().saturating_sub(used) as u64;
    }

    /// Returns how many bytes are done with.
    fn frames(&mut self, bytes: &[u8], last: bool, stats: &mut Stats, each: &mut impl FnMut(&[u8; PACKET], &mut Stats)) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.synced {
                let Some(packet) = rest.first_chunk::<PACKET>() else { break };
                if packet[0] == SYNC {
                    each(packet, stats);
                    at += PACKET;
                } else if rest.get(PACKET) == Some(&SYNC) {
                    // Only the sync byte is broken; nothing else in the packet can be trusted then.
                    stats.sync_losses += 1;
                    stats.junk_bytes += PACKET as u64;
                    at += PACKET;
                } else {
                    stats.sync_losses += 1;
                    self.synced = false;
                }
            } else {
                let Some(found) = memchr(SYNC, rest) else {
                    stats.junk_bytes += rest.len() as u64;
                    return bytes.len();
                };
                stats.junk_bytes += found as u64;
                at += found;
                let candidate = rest.get(found..).unwrap_or(&[]);
                let here = |distance: usize| candidate.get(distance).map(|&byte| byte == SYNC);
                match (here(PACKET), here(2 * PACKET)) {
                    (Some(true), Some(true)) => self.synced = true,
                    (Some(true), None) | (None, None) if !last => return at,
                    (Some(true), None) => self.synced = true,
                    (None, None) if candidate.len() == PACKET => self.synced = true,
                    _ => {
                        stats.junk_bytes += 1;
                        at += 1;
                    }
                }
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: u8) -> Vec<u8> {
        (0..count)
            .flat_map(|n| {
                let mut packet = [n; PACKET];
                packet[0] = SYNC;
                packet
            })
            .collect()
    }

    fn found(pieces: &[&[u8]]) -> (Vec<u8>, Stats) {
        let (mut framer, mut stats, mut numbers) = (Framer::default(), Stats::default(), Vec::new());
        for piece in pieces {
            framer.push(piece, &mut stats, |packet, _| numbers.push(packet[1]));
        }
        framer.finish(&mut stats, |packet, _| numbers.push(packet[1]));
        (numbers, stats)
    }

    #[test]
    fn every_split_gives_the_same_packets() {
        let whole = packets(5);
        for size in [1, 2, 100, 187, 188, 189, 376, 377, 900] {
            let (numbers, stats) = found(&whole.chunks(size).collect::<Vec<_>>());
            assert_eq!(numbers, [0, 1, 2, 3, 4], "pieces of {size}");
            assert_eq!(stats, Stats::default(), "pieces of {size}");
        }
    }

    #[test]
    fn junk_is_passed_over_and_counted() {
        let three = packets(3);
        let cases: [(&str, Vec<u8>, &[u8], u64); 5] = [
            ("before", [&b"\x89PNG\r\n\x1a\nGarbage"[..], &three].concat(), &[0, 1, 2], 15),
            ("between", [&three[..], b"junkG", &three].concat(), &[0, 1, 2, 0, 1, 2], 5),
            ("after", [&three[..], b"junk"].concat(), &[0, 1, 2], 4),
            ("alone", b"nothing of use".to_vec(), &[], 14),
            ("one packet", packets(1), &[0], 0),
        ];
        for (name, bytes, numbers, junk) in cases {
            for size in [1, 50, bytes.len()] {
                let (found, stats) = found(&bytes.chunks(size).collect::<Vec<_>>());
                assert_eq!(found, numbers, "{name} by {size}");
                assert_eq!(stats.junk_bytes, junk, "{name} by {size}");
            }
        }
    }

    #[test]
    fn a_broken_sync_byte_costs_one_packet() {
        let mut bytes = packets(6);
        bytes[4 * PACKET] = 0;
        let (numbers, stats) = found(&[&bytes]);
        assert_eq!(numbers, [0, 1, 2, 3, 5]);
        assert_eq!(stats.sync_losses, 1);
    }

    #[test]
    fn an_adaptation_field_never_reaches_past_its_packet() {
        for length in 0..=255 {
            let mut bytes = [0xff; PACKET];
            bytes[..5].copy_from_slice(&[SYNC, 0x41, 0x00, 0x30, length]);
            let packet = Packet::parse(&bytes);
            let expected = (183_usize).checked_sub(length.into()).filter(|&room| room > 0);
            assert_eq!(packet.payload.map(<[u8]>::len), expected, "length {length}");
        }
    }
}
