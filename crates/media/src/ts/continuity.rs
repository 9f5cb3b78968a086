//! Continuity counters of one stream (ISO 13818-1 §2.4.3.3): what is lost, what is sent twice, and what is only counted wrong.
//!
//! A packet whose counter does not go on is held until the packets behind it tell why. At most [`WINDOW`] are.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Stats, packet::Packet};

/// Packets that a break is judged by.
const WINDOW: usize = 16;
/// Boundaries in a row at which a counter went on that are no accident.
const PROOF: u64 = 4;
/// Fewer steps than these do not show that a stream is not counted at all.
const LEAST_STEPS: usize = 8;

/// A packet that has a payload, on its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Owned {
    pub(super) unit_start: bool,
    pub(super) scrambled: bool,
    counter: u8,
    pub(super) payload: Vec<u8>,
}

/// What a packet is to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on from the one before.
    GoesOn,
    /// It is the first of a segment and begins a PES packet; the one before may have ended anywhere.
    Begins,
    /// The same, and packets are missing in front of it, as this stream is counted across segments.
    BeginsBehindLoss,
    /// Packets are missing in front of it.
    Breaks,
    /// The same packet again.
    Repeats,
    /// What it is, the next ones tell; it is held.
    Held,
}

/// Follows the counter of one stream.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Continuity {
    counter: Option<u8>,
    /// The payload of the last packet: one that is sent twice has the same.
    last: Vec<u8>,
    duplicated: bool,
    /// Another segment began: the counter may start over at the next packet that starts a PES packet.
    may_break: bool,
    held: VecDeque<Owned>,
    /// Counters of the stream mean nothing, as nearly none follows from the one before.
    uncounted: bool,
    /// Steps in a row that were right since.
    right: usize,
    boundaries: Boundaries,
}

/// How the counter behaves where segments begin.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Boundaries {
    /// The counter of the first packet of the segment, and of that before.
    first: Option<u8>,
    before: Option<u8>,
    /// Boundaries at which it went on, or started over where it did the last time.
    regular: u64,
    /// How many of these came before the first that was not.
    proved: u64,
    is_odd: bool,
    /// Those at which it did neither, which count once as many are regular: a packager may start anywhere.
    odd: u64,
}

impl Boundaries {
    fn pass(&mut self) {
        self.before = self.first.take().or(self.before);
    }

    /// The first packet of a segment comes. Whether it is sure that packets are missing in front of it.
    fn begin(&mut self, last: Option<u8>, counter: u8, stats: &mut Stats) -> bool {
        self.first = Some(counter);
        let Some(last) = last else { return false };
        let mut is_sure = false;
        if counter == next(last) || Some(counter) == self.before {
            self.regular += 1;
            self.proved += u64::from(!self.is_odd);
        } else if counter != 0 {
            self.odd += 1;
            self.is_odd = true;
            is_sure = self.proved >= PROOF;
        }
        if self.regular >= self.odd {
            stats.boundary_breaks += std::mem::take(&mut self.odd);
        }
        is_sure
    }
}

impl Continuity {
    /// Takes a packet with this payload. Where it is held, [`release`](Self::release) gives it back.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, payload: &[u8], stats: &mut Stats) -> Verdict {
        if !self.held.is_empty() {
            self.hold(packet, payload);
            return Verdict::Held;
        }
        let begins = std::mem::take(&mut self.may_break);
        if self.uncounted {
            self.count_again(packet.counter, stats);
            return Verdict::GoesOn;
        }
        let mut behind_loss = false;
        if begins {
            // Within a PES packet a break is one like any other.
            let last = self.counter.filter(|_| packet.unit_start);
            behind_loss = self.boundaries.begin(last, packet.counter, stats);
        } else if self.counter.is_none() {
            self.boundaries.first.get_or_insert(packet.counter);
        }
        let verdict = match self.counter {
            None => Verdict::GoesOn,
            Some(last) if packet.counter == next(last) => Verdict::GoesOn,
            Some(_) if begins && packet.unit_start && behind_loss => Verdict::BeginsBehindLoss,
            Some(_) if begins && packet.unit_start => Verdict::Begins,
            // At most once, §2.4.3.3.
            Some(last) if packet.counter == last && !begins && !self.duplicated && self.last == payload => {
                self.duplicated = true;
                stats.duplicate_packets += 1;
                return Verdict::Repeats;
            }
            Some(_) => {
                self.hold(packet, payload);
                return Verdict::Held;
            }
        };
        self.passed(packet.counter, payload);
        verdict
    }

    /// Gives back held packets as soon as it is clear what they are; all of them when none is to come behind them.
    pub(super) fn release(&mut self, last: bool, stats: &mut Stats) -> Option<(Owned, Verdict)> {
        let front = self.held.front()?;
        let expected = self.counter.map(next);
        let counter = front.counter;
        if self.uncounted {
            let packet = self.held.pop_front()?;
            self.count_again(counter, stats);
            return Some((packet, Verdict::GoesOn));
        }
        if expected.is_none_or(|expected| counter == expected) {
            let packet = self.held.pop_front()?;
            self.passed(counter, &packet.payload);
            return Some((packet, Verdict::GoesOn));
        }
        if self.counter == Some(counter) && !self.duplicated && self.last == front.payload {
            self.duplicated = true;
            stats.duplicate_packets += 1;
            return Some((self.held.pop_front()?, Verdict::Repeats));
        }
        if self.held.len() < WINDOW && !last {
            return None;
        }
        let steps = self.held.len() - 1;
        let right = self
            .held
            .iter()
            .zip(self.held.iter().skip(1))
            .filter(|(one, other)| other.counter == next(one.counter))
            .count();
        if steps >= LEAST_STEPS && 4 * right <= steps {
            self.uncounted = true;
            return self.release(last, stats);
        }
        // The packet behind it goes on from the one in front of it: nothing is missing.
        let alone = self.held.get(1).map(|packet| packet.counter) == expected.map(next);
        let packet = self.held.pop_front()?;
        if alone {
            stats.wrong_counters += 1;
            self.passed(expected.unwrap_or(counter), &packet.payload);
            return Some((packet, Verdict::GoesOn));
        }
        stats.continuity_errors += 1;
        self.passed(counter, &packet.payload);
        Some((packet, Verdict::Breaks))
    }

    /// A new segment begins: its packets may be counted from anywhere.
    pub(super) fn boundary(&mut self) {
        self.may_break = true;
        self.boundaries.pass();
    }

    /// What comes next need not go on from here, as the stream says or as is known otherwise.
    pub(super) fn forget(&mut self) {
        self.counter = None;
        self.duplicated = false;
    }

    fn hold(&mut self, packet: &Packet<'_>, payload: &[u8]) {
        self.held.push_back(Owned {
            unit_start: packet.unit_start,
            scrambled: packet.scrambled,
            counter: packet.counter,
            payload: payload.to_vec(),
        });
    }

    fn passed(&mut self, counter: u8, payload: &[u8]) {
        self.counter = Some(counter);
        self.duplicated = false;
        self.last.clear();
        self.last.extend_from_slice(payload);
    }

    /// Passes a packet of a stream that is not counted, until it is counted again.
    fn count_again(&mut self, counter: u8, stats: &mut Stats) {
        if self.counter.is_some_and(|last| counter == next(last)) {
            self.right += 1;
        } else {
            stats.wrong_counters += 1;
            self.right = 0;
        }
        self.counter = Some(counter);
        if self.right == WINDOW {
            self.uncounted = false;
            self.right = 0;
        }
    }
}

fn next(counter: u8) -> u8 {
    (counter + 1) & 0xf
}
