//! Where the clock of the stream stands in the main output, told from one muxer to others.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_core::{Clear, Item, TrackId};
use aqueduct_media::time::{MPEG_HZ, MPEG_WRAP, rescale};
use aqueduct_media::{Event, TrackConfig, fmp4, packed, ts};
use serde::{Deserialize, Serialize};

use super::shift::Window;

/// Periods and jumps that are remembered: a subtitle track may be so many behind.
const MAX_ANCHORS: usize = 1024;

/// How much of a segment is looked at for its earliest time stamp.
const HEAD: usize = 512 << 10;

/// What is added to times changes by more than this where they jump, in ticks of 90 kHz.
const JUMP: i64 = MPEG_HZ as i64 / 1000;

/// A moment on the stream's clock, and when it is shown in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    /// Ticks of 90 kHz.
    pub(crate) clock: i64,
    pub(crate) film_ms: i64,
}

/// What the clock of the stream shows where each period (Discontinuity Sequence Number) of the main output begins, and
/// behind each jump that nothing announced. The main muxer tells it as the media arrives, and
/// [`Subtitles`](crate::Subtitles) on other threads count their cues from there. They wait for it, and it waits for nobody.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Known", into = "Known")]
pub struct Origin(Arc<Shared>);

impl From<Known> for Origin {
    fn from(known: Known) -> Self {
        let known = Mutex::new(known);
        Self(Arc::new(Shared {
            known,
            ..Shared::default()
        }))
    }
}

impl From<Origin> for Known {
    fn from(origin: Origin) -> Self {
        origin.known().clone()
    }
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    /// Of each period, where it begins, then where it goes on behind jumps.
    anchors: VecDeque<(u64, Anchor)>,
    first: Option<Anchor>,
    /// The period that the main output has reached, and how far the film has come in it, in milliseconds.
    reached: Option<(u64, i64)>,
    closed: bool,
}

impl Origin {
    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known());
        self.0.changed.notify_all();
    }

    /// Tells where a period begins. The first word counts.
    pub(crate) fn tell(&self, period: u64, anchor: Anchor) {
        self.change(|known| {
            if !known.anchors.iter().any(|(told, _)| *told == period) {
                known.remember(period, anchor);
            }
        });
    }

    /// Tells where a period goes on behind a jump.
    pub(super) fn tell_jump(&self, period: u64, anchor: Anchor) {
        self.change(|known| known.remember(period, anchor));
    }

    /// The main output has come so far in this period: whatever it has to tell up to there, it has told.
    pub(super) fn reach(&self, period: u64, film_ms: i64) {
        self.change(|known| known.reached = known.reached.max(Some((period, film_ms))));
    }

    /// Nothing more will be told.
    fn close(&self) {
        self.change(|known| known.closed = true);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the main output has come to the place of a segment, or to its end.
    pub(crate) fn has_reached(&self, period: u64, window: Window) -> bool {
        self.known().has_reached(period, window)
    }

    /// What the segment's cues may count from, as far as it is known now: where its period stands, and what jumps made of
    /// that, in their order.
    pub(crate) fn get(&self, period: u64, window: Window) -> Vec<Anchor> {
        self.known().at(period, window)
    }

    /// Where the first period stands.
    pub(crate) fn first(&self) -> Option<Anchor> {
        self.known().first
    }

    /// What the segment's cues may count from. Waits until the main output has come there; nothing where it does not tell.
    pub(crate) fn wait(&self, period: u64, window: Window) -> Vec<Anchor> {
        let mut known = self.known();
        while !known.has_reached(period, window) {
            known = self.0.changed.wait(known).unwrap_or_else(PoisonError::into_inner);
        }
        known.at(period, window)
    }
}

impl Known {
    fn remember(&mut self, period: u64, anchor: Anchor) {
        self.first.get_or_insert(anchor);
        if self.anchors.len() == MAX_ANCHORS {
            self.anchors.pop_front();
        }
        self.anchors.push_back((period, anchor));
    }

    fn has_reached(&self, period: u64, window: Window) -> bool {
        self.closed || self.reached >= Some((period, window.known_ms()))
    }

    fn at(&self, period: u64, window: Window) -> Vec<Anchor> {
        // The main output may lack a period. The one before goes on, then.
        let told = self.anchors.iter().map(|(told, _)| *told).filter(|told| *told <= period).max();
        let mut anchors = self.anchors.iter().filter(|(of, _)| Some(*of) == told).map(|(_, anchor)| *anchor);
        // What is told later may be known already, and must make no difference.
        let first = anchors.next();
        let later = anchors.filter(|anchor| anchor.film_ms < window.known_ms());
        first.into_iter().chain(later).collect()
    }
}

type Configs = Vec<(aqueduct_media::TrackId, Arc<TrackConfig>)>;

/// Watches the main output's first track, and tells where its periods begin, and where they go on behind jumps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Watch {
    origin: Origin,
    track: Option<TrackId>,
    period: Option<u64>,
    /// Where that stands, if it is known.
    line: Option<Line>,
    position: Duration,
    /// The item that was seen last: its period, and where it begins.
    latest: Option<(u64, i64)>,
    /// With the configurations of the initialization section in force.
    fragmented: Option<(fmp4::Demuxer, Configs)>,
}

/// A period of the main output.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Line {
    begins: Anchor,
    /// What is added to times since it began, and now, in ticks of 90 kHz.
    added: Option<(i64, i64)>,
}

impl Watch {
    pub(crate) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// Takes up what an earlier one saw. Those who have its origin already are told.
    pub(crate) fn take_up(&mut self, mut earlier: Self) {
        let told = Known::from(earlier.origin.clone());
        std::mem::swap(&mut earlier.origin, &mut self.origin);
        std::mem::swap(self, &mut earlier);
        self.origin.change(|known| *known = told);
        // The other one is dropped without a word: its origin is nobody's.
    }

    /// Sees an item before it is muxed.
    pub(crate) fn see(&mut self, track: TrackId, item: &Item<Clear>) {
        if *self.track.get_or_insert(track) != track {
            return;
        }
        match item {
            Item::Init { payload, .. } => {
                let (mut demuxer, mut events) = (fmp4::Demuxer::default(), Vec::new());
                // One that cannot be read is the muxer's to refuse.
                let read = demuxer.init(payload.as_slice(), &mut events).is_ok();
                let configs = events.into_iter().filter_map(|event| match event {
                    Event::Config { track, config } => Some((track, config)),
                    Event::Sample { .. } => None,
                });
                self.fragmented = read.then(|| (demuxer, configs.collect()));
            }
            Item::Segment { info, payload } => {
                let period = info.discontinuity_sequence;
                let film_ms = self.film_ms();
                self.latest = Some((period, film_ms));
                if self.period.replace(period) != Some(period) {
                    let clock = self.first_time(payload.as_slice());
                    let begins = clock.map(|clock| Anchor { clock, film_ms });
                    self.line = begins.map(|begins| Line { begins, added: None });
                    if let Some(begins) = begins {
                        self.origin.tell(period, begins);
                    }
                }
            }
            Item::Gap { info, .. } => self.latest = Some((info.discontinuity_sequence, self.film_ms())),
        }
        self.position = self.position.saturating_add(item.duration());
    }

    /// The item that was [seen](Self::see) is in the output, where so many ticks of 90 kHz are added to the times of its
    /// track; `None` where times stay as they are.
    pub(crate) fn placed(&mut self, track: TrackId, added: Option<i64>) {
        if self.track != Some(track) {
            return;
        }
        let Some((period, film_ms)) = self.latest.take() else { return };
        if let (Some(line), Some(added)) = (&mut self.line, added) {
            let (first, last) = *line.added.get_or_insert((added, added));
            // Whole turns of the clock are no jump.
            let by = added.saturating_sub(last).rem_euclid(MPEG_WRAP);
            if by.min(MPEG_WRAP - by) > JUMP {
                line.added = Some((first, added));
                let played = rescale(film_ms.saturating_sub(line.begins.film_ms), 1000, MPEG_HZ);
                let clock = line.begins.clock.saturating_add(played).saturating_sub(added.saturating_sub(first));
                self.origin.tell_jump(period, Anchor { clock, film_ms });
            }
        }
        self.origin.reach(period, self.film_ms());
    }

    fn film_ms(&self) -> i64 {
        i64::try_from(self.position.as_millis()).unwrap_or(i64::MAX)
    }

    /// The earliest presentation time in a segment, in ticks of 90 kHz.
    fn first_time(&mut self, segment: &[u8]) -> Option<i64> {
        if let Some((demuxer, configs)) = &mut self.fragmented {
            let mut events = Vec::new();
            demuxer.segment(segment, &mut events).ok()?;
            return earliest(configs, &events);
        }
        let head = &segment[..segment.len().min(HEAD)];
        let mut events = Vec::new();
        if packed::is_packed(head) {
            packed::Demuxer::default().segment(head, &mut events);
        } else {
            let mut demuxer = ts::Demuxer::default();
            demuxer.push(head, &mut events);
            demuxer.finish(&mut events);
        }
        earliest(&[], &events)
    }
}

/// The earliest presentation time, in ticks of 90 kHz.
fn earliest<D>(configs: &[(aqueduct_media::TrackId, Arc<TrackConfig>)], events: &[Event<D>]) -> Option<i64> {
    let (mut configs, mut first) = (configs.to_vec(), None);
    for event in events {
        match event {
            Event::Config { track, config } => configs.push((*track, Arc::clone(config))),
            Event::Sample { track, sample } => {
                let Some((_, config)) = configs.iter().rev().find(|(known, _)| known == track) else {
                    continue;
                };
                let time = sample.pts.saturating_add(config.presentation_offset.unwrap_or(0));
                let time = rescale(time, config.timescale, MPEG_HZ);
                first = Some(first.map_or(time, |first: i64| first.min(time)));
            }
        }
    }
    first
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Nobody should wait for what will not be told any more.
        self.origin.close();
    }
}
