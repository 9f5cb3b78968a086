//! Packets of a transport stream, one by one (ISO 13818-1 §2.4.3).

use std::io::{self, Read};

use super::{Checked, read_up_to};

/// Bytes of a transport packet, and what each begins with (ISO 13818-1 §2.4.3.2).
pub(super) const PACKET: usize = 188;
pub(super) const SYNC: u8 = 0x47;
const NULL_PID: usize = 0x1fff;
/// Below it are the PIDs of the program-wide tables (ISO 13818-1 table 2-3, EN 300 468 table 1): PAT, SDT and others.
const TABLE_PIDS: usize = 0x20;
/// Sync bytes, error flags and continuity counters (ISO 13818-1 §2.4.3.2, §2.4.3.3).
pub(super) fn packets<R: Read>(reader: &mut R, joints: Option<&[u64]>, checked: &mut Checked) -> io::Result<()> {
    checked.container = Some("MPEG-TS");
    let mut counters = Counters::new(joints);
    let mut packet = [0; PACKET];
    let mut at = 0_u64;
    loop {
        let read = read_up_to(reader, &mut packet)?;
        if read == 0 {
            return Ok(());
        }
        if read < PACKET {
            checked.wrong(|| format!("byte {at}: the last packet is cut short"));
            return Ok(());
        }
        checked.units += 1;
        if packet[0] != SYNC {
            checked.wrong(|| format!("byte {at}: no transport packet"));
        } else if packet[1] & 0x80 != 0 {
            checked.wrong(|| format!("byte {at}: a packet that is marked as broken"));
        } else if let Err(pid) = counters.follow(at, &packet) {
            checked.wrong(|| format!("byte {at}: packets of PID {pid:#06x} are missing"));
        } else if let Err(pid) = counters.clock(&packet) {
            checked.wrong(|| format!("byte {at}: the clock of PID {pid:#06x} runs back"));
        }
        at += PACKET as u64;
    }
}

/// Continuity counters. Segments that were made apart count each on their own, so at a joint every counter begins anew.
struct Counters<'a> {
    joints: Option<&'a [u64]>,
    /// Counts the places at which a segment begins, or may begin.
    segment: u64,
    pids: Vec<Option<Counter>>,
    /// The last clock reference of each PID, in 90 kHz, and its segment.
    clocks: Vec<Option<(u64, u64)>>,
}

#[derive(Clone, Copy)]
struct Counter {
    value: u8,
    /// Whether it stood still already: a packet may be sent twice, and not more often.
    twice: bool,
    segment: u64,
}

impl<'a> Counters<'a> {
    fn new(joints: Option<&'a [u64]>) -> Self {
        Self {
            joints,
            segment: 0,
            pids: vec![None; 0x2000],
            clocks: vec![None; 0x2000],
        }
    }

    /// Takes the packet at offset `at`; an error is the PID that lacks packets in front of it.
    fn follow(&mut self, at: u64, packet: &[u8; PACKET]) -> Result<(), usize> {
        let [_, high, low, flags, ..] = *packet;
        let pid = usize::from(high & 0x1f) << 8 | usize::from(low);
        self.cross_joints(at, pid, high & 0x40 != 0);
        let announced = flags & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0;
        let has_payload = flags & 0x10 != 0;
        // Null packets do not count, and packets without payload count only when they announce a discontinuity.
        if pid == NULL_PID || !has_payload && !announced {
            return Ok(());
        }
        let value = flags & 0xf;
        let last = self.pids[pid].filter(|last| last.segment == self.segment && !announced);
        let stands = last.is_some_and(|last| last.value == value);
        self.pids[pid] = Some(Counter {
            value,
            twice: stands,
            segment: self.segment,
        });
        match last {
            Some(last) if stands && last.twice => Err(pid),
            Some(last) if !stands && value != (last.value + 1) & 0xf => Err(pid),
            _ => Ok(()),
        }
    }

    /// Takes the clock reference of a packet that [`follow`](Self::follow) took, if it has one (ISO 13818-1 §2.4.3.5); an error
    /// is the PID whose clock runs back within a segment without a word.
    fn clock(&mut self, packet: &[u8; PACKET]) -> Result<(), usize> {
        const WRAP: u64 = 1 << 33;
        let [_, high, low, flags, length, adaptation, ..] = *packet;
        if flags & 0x20 == 0 || length < 7 || adaptation & 0x10 == 0 {
            return Ok(());
        }
        let pid = usize::from(high & 0x1f) << 8 | usize::from(low);
        let [a, b, c, d, e] = [6, 7, 8, 9, 10].map(|at: usize| u64::from(packet[at]));
        let now = a << 25 | b << 17 | c << 9 | d << 1 | e >> 7;
        let last = self.clocks[pid].replace((now, self.segment));
        let announced = adaptation & 0x80 != 0;
        match last {
            // Half of its range back is forth, across the wrap.
            Some((last, segment)) if segment == self.segment && !announced && (now + WRAP - last) % WRAP > WRAP / 2 => Err(pid),
            _ => Ok(()),
        }
    }

    fn cross_joints(&mut self, at: u64, pid: usize, begins: bool) {
        match &mut self.joints {
            Some(joints) => {
                while let Some((_, rest)) = joints.split_first().filter(|(joint, _)| **joint <= at) {
                    self.segment += 1;
                    *joints = rest;
                }
            }
            // A segment begins with tables (RFC 8216 §3.2), so there may be a joint wherever tables begin.
            None if pid < TABLE_PIDS && begins => self.segment += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::check;
    use super::*;

    /// A packet of payload alone.
    fn packet(pid: u16, begins: bool, counter: u8) -> [u8; PACKET] {
        let mut packet = [0xff; PACKET];
        let [high, low] = pid.to_be_bytes();
        let high = high | if begins { 0x40 } else { 0 };
        packet[..4].copy_from_slice(&[SYNC, high, low, 0x10 | counter]);
        packet
    }

    /// A packet that has no payload, and may announce a discontinuity.
    fn empty(pid: u16, counter: u8, discontinuity: bool) -> [u8; PACKET] {
        let mut packet = packet(pid, false, counter);
        packet[3..6].copy_from_slice(&[0x20 | counter, 183, if discontinuity { 0x80 } else { 0 }]);
        packet
    }

    #[test]
    fn a_counter_is_judged_by_its_pid() {
        let mut announced = packet(0x100, false, 9);
        announced[3..6].copy_from_slice(&[0x39, 1, 0x80]);
        for (name, packets, wrong) in [
            ("it wraps", vec![packet(0x100, true, 15), packet(0x100, false, 0)], 0),
            ("a gap", vec![packet(0x100, true, 1), packet(0x100, false, 3)], 1),
            (
                "another PID",
                vec![packet(0x100, true, 1), packet(0x101, true, 3), packet(0x100, false, 2)],
                0,
            ),
            (
                "a packet twice",
                vec![packet(0x100, true, 1), packet(0x100, false, 1), packet(0x100, false, 2)],
                0,
            ),
            (
                "a packet thrice",
                vec![packet(0x100, true, 1), packet(0x100, false, 1), packet(0x100, false, 1)],
                1,
            ),
            (
                "no payload, no count",
                vec![packet(0x100, true, 1), empty(0x100, 1, false), packet(0x100, false, 2)],
                0,
            ),
            (
                "an announced gap",
                vec![packet(0x100, true, 1), announced, packet(0x100, false, 10)],
                0,
            ),
            (
                "announced without payload",
                vec![packet(0x100, true, 1), empty(0x100, 9, true), packet(0x100, false, 10)],
                0,
            ),
            (
                "not as announced",
                vec![packet(0x100, true, 1), empty(0x100, 9, true), packet(0x100, false, 2)],
                1,
            ),
            ("null packets", vec![packet(0x1fff, false, 1), packet(0x1fff, false, 7)], 0),
        ] {
            let found = check(&mut Cursor::new(packets.concat()), Some(&[0])).unwrap();
            assert_eq!((found.container, found.wrong), (Some("MPEG-TS"), wrong), "{name}: {found:?}");
        }
    }

    /// A packet without payload that has a clock reference.
    fn clock(base: u64, discontinuity: bool) -> [u8; PACKET] {
        let mut packet = empty(0x100, 0, discontinuity);
        packet[5] |= 0x10;
        let field = base << 15 | 0x7e00;
        packet[6..12].copy_from_slice(&field.to_be_bytes()[2..]);
        packet
    }

    #[test]
    fn a_clock_runs_back_only_where_that_is_announced() {
        const LAST: u64 = (1 << 33) - 1;
        for (name, clocks, wrong) in [
            ("it runs", [(0, false), (9000, false), (9000, false)], 0),
            ("it wraps", [(LAST - 10, false), (LAST, false), (20, false)], 0),
            ("it runs back", [(9000, false), (8999, false), (9100, false)], 1),
            ("it runs back, as announced", [(9000, false), (10, true), (20, false)], 0),
        ] {
            let packets: Vec<u8> = clocks.iter().flat_map(|(base, announced)| clock(*base, *announced)).collect();
            let found = check(&mut Cursor::new(packets), Some(&[0])).unwrap();
            assert_eq!(found.wrong, wrong, "{name}: {found:?}");
        }
    }

    #[test]
    fn counters_begin_anew_at_a_joint_and_nowhere_else() {
        // An SDT in front of the PAT, as ffmpeg writes it. Without the joint the PAT looks like one that is sent twice.
        let segment: Vec<_> = [
            (0x11, true, 0),
            (0, true, 0),
            (0x100, true, 0),
            (0x100, false, 1),
            (0x11, true, 1),
            (0x100, false, 2),
        ]
        .iter()
        .map(|(pid, begins, counter)| packet(*pid, *begins, *counter))
        .collect();
        let whole = segment.concat();
        let joint = whole.len() as u64;
        let joined = [whole.as_slice(), &whole].concat();
        for (joints, wrong) in [(None, 0), (Some(&[0, joint][..]), 0), (Some(&[0]), 2)] {
            let found = check(&mut Cursor::new(&joined), joints).unwrap();
            assert_eq!(found.wrong, wrong, "{joints:?}: {found:?}");
        }
        // The last packet but one of a PID, just in front of a table: only who knows the joints can tell.
        let lacking: Vec<u8> = [&segment[..3], &segment[4..]].concat().concat();
        let joint = lacking.len() as u64;
        let joined = [lacking, whole].concat();
        for (joints, wrong) in [(None, 0), (Some(&[0, joint][..]), 1)] {
            let found = check(&mut Cursor::new(&joined), joints).unwrap();
            assert_eq!(found.wrong, wrong, "{joints:?}: {found:?}");
        }
    }
}
