//! Continuity counters by PID (ISO 13818-1 §2.4.3.3).

use serde::{Deserialize, Serialize};

use super::MAX_PIDS;

/// The counter of each PID's last packet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counters(Vec<(u16, u8)>);

impl Counters {
    pub(super) fn last(&self, pid: u16) -> Option<u8> {
        self.0.iter().find(|(known, _)| *known == pid).map(|(_, counter)| *counter)
    }

    pub(super) fn note(&mut self, pid: u16, counter: u8) {
        let has_room = self.0.len() < MAX_PIDS;
        match self.0.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, last)) => *last = counter,
            None if has_room => self.0.push((pid, counter)),
            None => {}
        }
    }

    /// Takes over what later packets had.
    pub(super) fn put_on(&mut self, later: &Self) {
        for (pid, counter) in &later.0 {
            self.note(*pid, *counter);
        }
    }
}
