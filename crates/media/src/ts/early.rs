//! Packets in front of the first PMT: it tells later what they are.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::packet::PACKET;

/// How many are held: 4 MiB of them, which is some seconds of what is streamed.
const MAX_HELD: usize = (4 << 20) / PACKET;

/// What came in front of the first PMT, the latest of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Early(VecDeque<Held>);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Held {
    Packet(Box<[u8]>),
    /// A segment ended here.
    Boundary,
}

impl Early {
    /// Holds a packet. Returns how many older ones had to go for it.
    pub(super) fn hold(&mut self, packet: &[u8; PACKET]) -> u64 {
        let lost = self.make_room();
        self.0.push_back(Held::Packet(packet[..].into()));
        lost
    }

    /// A segment ends here. Returns how many packets had to go for the mark.
    pub(super) fn boundary(&mut self) -> u64 {
        if matches!(self.0.back(), None | Some(Held::Boundary)) {
            return 0;
        }
        let lost = self.make_room();
        self.0.push_back(Held::Boundary);
        lost
    }

    /// Takes all that is held.
    pub(super) fn take(&mut self) -> VecDeque<Held> {
        std::mem::take(&mut self.0)
    }

    /// Forgets what is held, and says how many packets that was.
    pub(super) fn forget(&mut self) -> u64 {
        packets(&self.take())
    }

    fn make_room(&mut self) -> u64 {
        if self.0.len() < MAX_HELD {
            return 0;
        }
        self.0.pop_front().map_or(0, |oldest| u64::from(oldest != Held::Boundary))
    }
}

fn packets(held: &VecDeque<Held>) -> u64 {
    held.iter().filter(|held| **held != Held::Boundary).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_latest_packets_stay() {
        let mut early = Early::default();
        let mut lost = 0;
        for number in 0..2 * MAX_HELD {
            let mut packet = [0; PACKET];
            packet[..8].copy_from_slice(&(number as u64).to_be_bytes());
            lost += early.hold(&packet) + early.boundary() + early.boundary();
            assert!(early.0.len() <= MAX_HELD);
        }
        let held = early.take();
        assert_eq!(lost + packets(&held), 2 * MAX_HELD as u64);
        let last = (2 * MAX_HELD as u64 - 1).to_be_bytes();
        assert!(matches!(held.get(held.len() - 2), Some(Held::Packet(packet)) if packet[..8] == last));
    }
}
