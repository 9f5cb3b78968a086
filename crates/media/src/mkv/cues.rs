//! Where a player may jump to: the index at the end of the file, in memory that does not grow with it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Places to jump to are this far apart at least, in nanoseconds.
const STEP: u64 = 500_000_000;
/// So many entries are kept at most. Then every other one goes, and what comes is taken half as often.
const MAX_CUES: usize = 1 << 15;

/// A cluster that decoding may begin at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cue {
    /// Of its first block, in ticks of the segment.
    pub(super) time: u64,
    /// From the beginning of the segment's content, in bytes.
    pub(super) position: u64,
}

/// All of them, none closer to the one before than a step that grows as the file does.
///
/// Serialised it is what came since it was last marked as saved.
#[derive(Debug, Default)]
pub(super) struct Cues {
    /// In ticks.
    step: u64,
    entries: Vec<Cue>,
    saved: usize,
}

impl Serialize for Cues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.step, self.entries.get(self.saved..).unwrap_or(&[])).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (step, entries) = <(u64, Vec<Cue>)>::deserialize(deserializer)?;
        let saved = entries.len();
        Ok(Self { step, entries, saved })
    }
}

impl Cues {
    /// The index of a segment whose ticks last so many nanoseconds.
    pub(super) fn of(scale: u32) -> Self {
        Self::every(STEP / u64::from(scale.max(1)))
    }

    /// An index whose entries are this far apart at first, in ticks.
    fn every(step: u64) -> Self {
        Self {
            step: step.max(1),
            ..Self::default()
        }
    }

    /// Whether an entry is wanted at this time.
    pub(super) fn wants(&self, time: u64) -> bool {
        self.entries.last().is_none_or(|last| time >= last.time.saturating_add(self.step))
    }

    pub(super) fn push(&mut self, cue: Cue) {
        if !self.wants(cue.time) {
            return;
        }
        self.entries.push(cue);
        if self.entries.len() >= MAX_CUES {
            self.thin_to(self.step.saturating_mul(2));
        }
    }

    /// Makes this what it was when as much was written as has these entries.
    pub(super) fn go_on_behind(&mut self, entries: &[Cue]) {
        self.entries = entries.last().copied().into_iter().collect();
        self.saved = 0;
    }

    pub(super) fn entries(&self) -> &[Cue] {
        &self.entries
    }

    pub(super) fn mark_saved(&mut self) {
        self.saved = self.entries.len();
    }

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole.
    pub(super) fn put_behind(&mut self, mut earlier: Self) {
        while earlier.step < self.step && earlier.step > 0 {
            earlier.thin_to(earlier.step.saturating_mul(2));
        }
        earlier.entries.append(&mut self.entries);
        self.entries = earlier.entries;
        self.mark_saved();
    }

    /// Keeps the first entry, and each that is far enough behind the last one kept: what is kept of a beginning does not
    /// depend on what follows.
    fn thin_to(&mut self, step: u64) {
        self.step = step;
        let (mut kept, mut saved, mut next) = (0, 0, 0);
        for at in 0..self.entries.len() {
            let cue = self.entries[at];
            if kept == 0 || cue.time >= next {
                next = cue.time.saturating_add(step);
                self.entries[kept] = cue;
                kept += 1;
                saved += usize::from(at < self.saved);
            }
        }
        self.entries.truncate(kept);
        self.saved = saved;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cue(time: u64) -> Cue {
        Cue { time, position: time * 7 }
    }

    #[test]
    fn memory_is_bounded_and_the_index_reaches_from_end_to_end() {
        let mut cues = Cues::every(10);
        let last = MAX_CUES as u64 * 130;
        (0..=last).for_each(|time| cues.push(cue(time)));
        let entries = cues.entries();
        assert!(entries.len() < MAX_CUES && entries.len() >= MAX_CUES / 4, "{}", entries.len());
        assert_eq!(entries[0], cue(0));
        let steps: Vec<u64> = entries.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
        assert!(steps.iter().all(|step| *step == cues.step), "{}", cues.step);
        assert!(last - entries[entries.len() - 1].time < cues.step);
    }

    proptest! {
        #[test]
        fn parts_that_are_joined_are_the_whole(
            steps in prop::collection::vec(1_u64..9, 1..40),
            breaks in prop::collection::btree_set(0_usize..100_000, 0..6),
        ) {
            let whole = |breaks: &[usize]| {
                let (mut cues, mut parts, mut time) = (Cues::every(2), Vec::new(), 0);
                for at in 0..100_000 {
                    time += steps[at % steps.len()];
                    cues.push(cue(time));
                    if breaks.contains(&at) {
                        parts.push(postcard::to_stdvec(&cues).unwrap());
                        cues.mark_saved();
                        // Another process reads all parts.
                        cues = Cues::every(2);
                        for part in &parts {
                            let mut part: Cues = postcard::from_bytes(part).unwrap();
                            part.put_behind(cues);
                            cues = part;
                        }
                    }
                }
                (cues.step, cues.entries)
            };
            let breaks: Vec<usize> = breaks.into_iter().collect();
            prop_assert_eq!(whole(&breaks), whole(&[]));
        }
    }
}
