//! Samples of several tracks in the order of their decode times, where the tracks come from streams that are apart.

use std::{collections::VecDeque, sync::Arc};

use aqueduct_media::{Sample, TrackConfig, time::FLICKS};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A stream that is this far behind the others is not waited for, in flicks: it may have ended.
const PATIENCE: i64 = 30 * FLICKS as i64;
/// As many bytes wait at most, what it takes to hold a sample included: samples may be empty.
const MAX_BYTES: usize = 32 << 20;

/// What is to be done with a track of the file, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Step<D> {
    Configure(Change),
    /// With the decode time in flicks.
    Add(Sample<D>, i64),
}

/// Other codec parameters for what comes next in a track.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) config: Arc<TrackConfig>,
    /// Nothing announced it, and a bit error may have made it.
    pub(super) doubtful: bool,
}

/// Samples that wait for those of other tracks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Interleaver {
    /// By track of the file.
    queues: Vec<Queue>,
    bytes: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Queue {
    steps: VecDeque<Step<Bytes>>,
    /// Decode time of the last sample that came, in flicks.
    reached: Option<i64>,
    /// Nothing more comes: it is not waited for.
    ended: bool,
}

impl Interleaver {
    /// Announces a track: its first sample is waited for.
    pub(super) fn add_track(&mut self, track: usize) {
        if self.queues.len() <= track {
            self.queues.resize_with(track + 1, Queue::default);
        }
    }

    /// Tells that no sample of the track comes before this time, in flicks.
    pub(super) fn reach(&mut self, track: usize, time: i64) {
        self.add_track(track);
        let queue = &mut self.queues[track];
        queue.reached = queue.reached.max(Some(time));
    }

    /// Tells that the track brings nothing more.
    pub(super) fn end(&mut self, track: usize) {
        self.add_track(track);
        self.queues[track].ended = true;
    }

    /// Forgets the samples of a track that wait: media was passed over, behind which its next one is waited for again. Changes of
    /// parameters stay, for what comes is under them.
    pub(super) fn skip(&mut self, track: usize) {
        let Some(queue) = self.queues.get_mut(track) else { return };
        let mut freed = 0;
        queue.steps.retain(|step| match step {
            Step::Configure(_) => true,
            Step::Add(sample, _) => {
                freed += weight(sample);
                false
            }
        });
        queue.reached = None;
        self.bytes -= freed;
    }

    pub(super) fn push(&mut self, track: usize, step: Step<Bytes>) {
        self.add_track(track);
        let queue = &mut self.queues[track];
        if let Step::Add(sample, time) = &step {
            self.bytes += weight(sample);
            queue.reached = queue.reached.max(Some(*time));
        }
        queue.steps.push_back(step);
    }

    /// The next step that no track can come before any more, with its track. `complete` says whether every stream has
    /// shown its tracks.
    pub(super) fn pop(&mut self, complete: bool) -> Option<(usize, Step<Bytes>)> {
        let (track, time) = self.first()?;
        let reached = self.queues.iter().filter(|queue| !queue.ended).map(|queue| queue.reached);
        let patient = reached.clone().flatten().max().unwrap_or(0).saturating_sub(PATIENCE);
        // Tracks that are not waited for any more are not asked.
        let horizon = reached
            .filter(|reached| reached.is_none_or(|reached| reached >= patient))
            .min()
            .flatten();
        let ended = self.queues.iter().all(|queue| queue.ended);
        let due = complete && (ended || horizon.is_some_and(|horizon| time <= horizon)) || time < patient || self.bytes > MAX_BYTES;
        if due { self.take(track) } else { None }
    }

    /// The next step, whatever may come.
    pub(super) fn pop_rest(&mut self) -> Option<(usize, Step<Bytes>)> {
        let (track, _) = self.first()?;
        self.take(track)
    }

    /// The track whose next step is the earliest. A change of parameters comes with the sample behind it.
    fn first(&self) -> Option<(usize, i64)> {
        let time = |queue: &Queue| match queue.steps.front()? {
            Step::Add(_, time) => Some(*time),
            Step::Configure(_) => Some(i64::MIN),
        };
        let heads = self.queues.iter().enumerate();
        heads
            .filter_map(|(track, queue)| Some((track, time(queue)?)))
            .min_by_key(|(_, time)| *time)
    }

    fn take(&mut self, track: usize) -> Option<(usize, Step<Bytes>)> {
        let step = self.queues.get_mut(track)?.steps.pop_front()?;
        if let Step::Add(sample, _) = &step {
            self.bytes -= weight(sample);
        }
        Some((track, step))
    }
}

fn weight(sample: &Sample<Bytes>) -> usize {
    sample.data.len() + size_of::<Step<Bytes>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = FLICKS as i64;

    fn push(interleaver: &mut Interleaver, track: usize, seconds: i64, bytes: usize) {
        let sample = Sample {
            dts: 0,
            pts: 0,
            duration: None,
            sync: true,
            data: Bytes::from(vec![0; bytes]),
        };
        interleaver.push(track, Step::Add(sample, seconds * SECOND));
    }

    /// Track and second of all that is due.
    fn due(interleaver: &mut Interleaver, complete: bool) -> Vec<(usize, i64)> {
        std::iter::from_fn(|| interleaver.pop(complete))
            .filter_map(|(track, step)| match step {
                Step::Add(_, time) => Some((track, time / SECOND)),
                Step::Configure(_) => None,
            })
            .collect()
    }

    #[test]
    fn nothing_overtakes_what_may_still_come() {
        let mut interleaver = Interleaver::default();
        (0..4).for_each(|second| push(&mut interleaver, 0, second, 1));
        assert_eq!(due(&mut interleaver, false), []);
        interleaver.add_track(1);
        assert_eq!(due(&mut interleaver, true), [], "it has shown its track and no sample");
        push(&mut interleaver, 1, 0, 1);
        push(&mut interleaver, 1, 2, 1);
        assert_eq!(due(&mut interleaver, true), [(0, 0), (1, 0), (0, 1), (0, 2), (1, 2)]);
        push(&mut interleaver, 1, 5, 1);
        assert_eq!(due(&mut interleaver, true), [(0, 3)]);
        assert_eq!(interleaver.pop_rest().map(|(track, _)| track), Some(1));
        assert!(interleaver.pop_rest().is_none());
    }

    #[test]
    fn a_track_without_samples_is_waited_for_until_it_is_past_or_ends() {
        let mut interleaver = Interleaver::default();
        interleaver.add_track(1);
        (0..4).for_each(|second| push(&mut interleaver, 0, second, 1));
        assert_eq!(due(&mut interleaver, true), []);
        interleaver.reach(1, SECOND);
        assert_eq!(due(&mut interleaver, true), [(0, 0), (0, 1)]);
        interleaver.end(1);
        assert_eq!(due(&mut interleaver, true), [(0, 2), (0, 3)]);
    }

    #[test]
    fn what_is_passed_over_is_forgotten_and_the_track_is_waited_for_again() {
        let mut interleaver = Interleaver::default();
        interleaver.add_track(1);
        (0..4).for_each(|second| push(&mut interleaver, 0, second, 1));
        interleaver.skip(0);
        interleaver.skip(7);
        assert_eq!(interleaver.bytes, 0);
        (100..104).for_each(|second| push(&mut interleaver, 1, second, 1));
        assert_eq!(due(&mut interleaver, true), [], "the other has not come there");
        (101..103).for_each(|second| push(&mut interleaver, 0, second, 1));
        assert_eq!(due(&mut interleaver, true), [(1, 100), (0, 101), (1, 101), (0, 102), (1, 102)]);
    }

    #[test]
    fn waiting_has_bounds_in_time_and_in_bytes() {
        let mut interleaver = Interleaver::default();
        push(&mut interleaver, 1, 0, 1);
        (0..35).for_each(|second| push(&mut interleaver, 0, second, 1));
        // Track 1 has ended, or is as good as that.
        assert_eq!(due(&mut interleaver, true).len(), 36);
        let mut interleaver = Interleaver::default();
        (0..40).for_each(|second| push(&mut interleaver, 0, second, 1));
        assert_eq!(
            due(&mut interleaver, false),
            [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (0, 7), (0, 8)]
        );
        let mut interleaver = Interleaver::default();
        (0..3).for_each(|second| push(&mut interleaver, 0, second, MAX_BYTES / 2 - 1000));
        assert_eq!(due(&mut interleaver, false), [(0, 0)]);
        let mut interleaver = Interleaver::default();
        (0..=MAX_BYTES / size_of::<Step<Bytes>>()).for_each(|_| push(&mut interleaver, 0, 0, 0));
        assert_eq!(due(&mut interleaver, false), [(0, 0)], "samples of nothing");
    }
}
