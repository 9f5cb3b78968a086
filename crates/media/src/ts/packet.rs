//! Transport packets: finding them in bytes, and their headers (ISO 13818-1 §2.4.3.2).

use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::Stats;

/// Bytes of a packet.
pub(super) const PACKET: usize = 188;
pub(super) const SYNC: u8 = 0x47;
/// Distances between packets: plain; behind four bytes of arrival time (M2TS, as on Blu-ray discs); in front of sixteen
/// bytes of error correction (ETSI EN 300 429 §4.4.2).
const STRIDES: [usize; 3] = [PACKET, 192, 204];
/// What stands between packets of M2TS.
const ARRIVAL_TIME: u64 = 4;
/// How far behind junk [`find_packets`] looks.
const MAX_JUNK: usize = 4096;

/// Where transport packets seem to begin in the first bytes of a stream, behind junk or not, and the distance between
/// them, both in bytes: a sync byte, and more at the right distance as far as there are bytes. `None` where there is
/// less than a packet.
#[must_use]
pub fn find_packets(head: &[u8]) -> Option<(usize, usize)> {
    let synced = |at: usize, stride: usize| {
        head.get(at) == Some(&SYNC) && (1..3).all(|n| head.get(at + n * stride).is_none_or(|byte| *byte == SYNC))
    };
    let starts = 0..head.len().min(MAX_JUNK);
    let mut found = starts.flat_map(|at| STRIDES.map(|stride| (at, stride)));
    found.find(|&(at, stride)| synced(at, stride)).filter(|_| head.len() >= PACKET)
}

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
/// Synchronisation takes three sync bytes at the right distance. It holds two packets at most.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Framer {
    carry: Vec<u8>,
    /// The distance between packets, while they are where they should be.
    stride: Option<usize>,
    /// Bytes that are still to come between the last packet and the next.
    between: usize,
    /// Bytes passed over since the last packet.
    junk: u64,
}

impl Framer {
    /// Calls `each` for every packet that is complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], stats: &mut Stats, mut each: impl FnMut(&[u8; PACKET], &mut Stats)) {
        if !self.carry.is_empty() {
            if self.stride.is_some() && self.carry.len() < PACKET {
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
            if self.between > 0 {
                let passed = self.between.min(rest.len());
                self.between -= passed;
                at += passed;
            } else if let Some(stride) = self.stride {
                let Some(packet) = rest.first_chunk::<PACKET>() else { break };
                let broken = packet[0] != SYNC;
                if broken {
                    stats.sync_losses += 1;
                    if rest.get(stride) != Some(&SYNC) {
                        self.stride = None;
                        continue;
                    }
                    // Only the sync byte is broken; nothing else in the packet can be trusted then.
                    stats.junk_bytes += PACKET as u64;
                } else {
                    each(packet, stats);
                }
                at += PACKET;
                self.between = stride - PACKET;
            } else {
                let found = memchr(SYNC, rest).unwrap_or(rest.len());
                self.pass(found, stats);
                at += found;
                let Some(candidate) = rest.get(found..).filter(|rest| !rest.is_empty()) else {
                    return bytes.len();
                };
                match stride(candidate, last) {
                    Ok(stride) => {
                        // The arrival time of the first packet is none.
                        if stride == STRIDES[1] {
                            stats.junk_bytes -= self.junk.min(ARRIVAL_TIME);
                        }
                        self.junk = 0;
                        self.stride = Some(stride);
                    }
                    Err(NoPacket::Undecided) if !last => return at,
                    Err(_) => {
                        self.pass(1, stats);
                        at += 1;
                    }
                }
            }
        }
        at
    }

    fn pass(&mut self, junk: usize, stats: &mut Stats) {
        self.junk += junk as u64;
        stats.junk_bytes += junk as u64;
    }
}

/// Why a sync byte is not taken for that of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoPacket {
    /// More bytes may tell.
    Undecided,
    Junk,
}

/// The distance at which packets follow this one.
fn stride(candidate: &[u8], last: bool) -> Result<usize, NoPacket> {
    let mut undecided = false;
    for stride in STRIDES {
        let here = |distance: usize| candidate.get(distance).map(|&byte| byte == SYNC);
        match (here(stride), here(2 * stride)) {
            (Some(true), Some(true)) => return Ok(stride),
            (Some(true), None) if last => return Ok(stride),
            (None, None) if last && candidate.len() == PACKET => return Ok(PACKET),
            (Some(true) | None, None) => undecided = true,
            _ => {}
        }
    }
    Err(if undecided { NoPacket::Undecided } else { NoPacket::Junk })
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
    fn packets_may_stand_further_apart() {
        for (stride, front) in [(192, 4), (204, 0)] {
            let bytes: Vec<u8> = packets(5)
                .chunks(PACKET)
                .flat_map(|packet| [&vec![0x11; front][..], packet, &vec![0x22; stride - PACKET - front]].concat())
                .collect();
            assert_eq!(find_packets(&bytes), Some((front, stride)));
            for size in [1, 50, 192, 204, bytes.len()] {
                let (numbers, stats) = found(&bytes.chunks(size).collect::<Vec<_>>());
                assert_eq!((numbers, stats), (vec![0, 1, 2, 3, 4], Stats::default()), "{stride} by {size}");
            }
            let junk = [b"junk that is long enough", &bytes[..]].concat();
            let (numbers, stats) = found(&[&junk]);
            assert_eq!((numbers, stats.junk_bytes), (vec![0, 1, 2, 3, 4], 24), "{stride}");
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
