//! Where the clock of the stream stands in the main output, told from one muxer to others.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_core::{Clear, Item, TrackId};
use aqueduct_media::time::{MPEG_HZ, rescale};
use aqueduct_media::{Event, TrackConfig, fmp4, packed, ts};
use serde::{Deserialize, Serialize};

/// Periods that are remembered: a subtitle track may be so many behind.
const MAX_PERIODS: usize = 1024;

/// How much of a segment is looked at for its earliest time stamp.
const HEAD: usize = 512 << 10;

/// A moment on the stream's clock, and when it is shown in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    /// Ticks of 90 kHz.
    pub(crate) clock: i64,
    pub(crate) film_ms: i64,
}

/// What the clock of the stream shows where each period (Discontinuity Sequence Number) of the main output begins.
/// The main muxer tells it as the media arrives, and [`Subtitles`](crate::Subtitles) on other threads count their cues
/// from there.
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
        origin.0.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    anchors: VecDeque<(u64, Anchor)>,
    /// The period that the main output has reached.
    reached: Option<u64>,
    closed: bool,
}

impl Origin {
    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }

    /// Tells where a period begins. The first word counts.
    pub(crate) fn tell(&self, period: u64, anchor: Anchor) {
        self.change(|known| {
            if !known.anchors.iter().any(|(told, _)| *told == period) {
                if known.anchors.len() == MAX_PERIODS {
                    known.anchors.pop_front();
                }
                known.anchors.push_back((period, anchor));
            }
            known.reached = known.reached.max(Some(period));
        });
    }

    /// The main output is in this period, and it is not known where that stands.
    fn reach(&self, period: u64) {
        self.change(|known| known.reached = known.reached.max(Some(period)));
    }

    /// Nothing more will be told.
    fn close(&self) {
        self.change(|known| known.closed = true);
    }

    /// Whether the main output has come to a period, or to its end.
    pub(crate) fn has_reached(&self, period: u64) -> bool {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.closed || known.reached.is_some_and(|reached| reached >= period)
    }

    /// Where a period stands, as far as it is known now.
    pub(crate) fn get(&self, period: u64) -> Option<Anchor> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).at(period)
    }

    /// Where the first period stands.
    pub(crate) fn first(&self) -> Option<Anchor> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.anchors.front().map(|(_, anchor)| *anchor)
    }

    /// Where a period stands. Waits until the main output has come there; `None` where it does not tell.
    pub(crate) fn wait(&self, period: u64) -> Option<Anchor> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        while !known.closed && known.reached.is_none_or(|reached| reached < period) {
            known = self.0.changed.wait(known).unwrap_or_else(PoisonError::into_inner);
        }
        known.at(period)
    }
}

impl Known {
    fn at(&self, period: u64) -> Option<Anchor> {
        // The main output may lack a period. The one before goes on, then.
        let before = self.anchors.iter().filter(|(told, _)| *told <= period);
        before.max_by_key(|(told, _)| *told).map(|(_, anchor)| *anchor)
    }
}

type Configs = Vec<(aqueduct_media::TrackId, Arc<TrackConfig>)>;

/// Watches the main output's first track, and tells where its periods begin.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Watch {
    origin: Origin,
    track: Option<TrackId>,
    period: Option<u64>,
    position: Duration,
    /// With the configurations of the initialization section in force.
    fragmented: Option<(fmp4::Demuxer, Configs)>,
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
            Item::Segment { info, payload } if self.period != Some(info.discontinuity_sequence) => {
                let period = info.discontinuity_sequence;
                self.period = Some(period);
                match self.first_time(payload.as_slice()) {
                    Some(clock) => {
                        let film_ms = i64::try_from(self.position.as_millis()).unwrap_or(i64::MAX);
                        self.origin.tell(period, Anchor { clock, film_ms });
                    }
                    None => self.origin.reach(period),
                }
            }
            Item::Segment { .. } | Item::Gap { .. } => {}
        }
        self.position = self.position.saturating_add(item.duration());
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
