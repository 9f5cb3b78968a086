//! One clock for the whole output.
//!
//! A stream's time stamps start anywhere, wrap after 26.5 hours (MPEG-TS), start over at a discontinuity, and
//! now and then jump without notice. [`Timeline`] maps them onto one timeline by rule:
//!
//! - Within a period (a Discontinuity Sequence Number, RFC 8216 §3) all tracks are shifted by the same amount, so
//!   that sound stays with its picture. The first period is not shifted at all.
//! - A new period begins where the one before ended: no track overlaps its own end, and the track that would
//!   touch it first leaves no hole.
//! - A jump that nothing announced, back by more than [`Options::max_overlap`] or ahead by more than
//!   [`Options::max_hole`], is taken for the start of a period. Known gaps are not ([`Timeline::gap`]), nor is a hole that is in a
//!   segment by its length ([`Timeline::lasts`]), or beside media of another track.
//! - A segment that goes back by more than a sample with every track that it has is a jump too, so that what it presents
//!   stays behind what was presented before: [`Timeline::begin`]. One track alone that overlaps is no jump: sound does
//!   so where each segment brings the frames that prime its decoder.
//! - Decode times of a track always grow. A sample that would be decoded before its predecessor is moved behind it.
//!
//! ```
//! use std::time::Duration;
//! use aqueduct_media::{Sample, timeline::{Clock, Timeline}};
//!
//! let sample = |dts| Sample { dts, pts: dts, duration: Some(3000), sync: true, data: () };
//! let mut timeline = Timeline::default();
//! let mut place = |period, dts| timeline.place(0, period, Clock::Mpeg, 90_000, sample(dts)).dts;
//! assert_eq!(place(0, 900_000), 900_000);
//! assert_eq!(place(0, 903_000), 903_000);
//! assert_eq!(place(1, 0), 906_000, "a new period goes on where the last one ended");
//! ```

mod holes;
mod jumps;
mod shifts;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    time::{FLICKS, from_flicks, to_flicks},
    track::{Sample, TrackKind},
};

const SECOND: i64 = FLICKS as i64;
/// So long a segment is believed to last.
const MOST_CLAIM: i64 = 3600 * SECOND;

/// How a track's time stamps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    /// Modulo 2³³ at 90 kHz: two tracks of one stream may be whole turns apart.
    Mpeg,
    /// Without wrap.
    Absolute,
}

/// What a [`Timeline`] takes for a jump.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The longest hole between two samples of a track that is left as it is. 10 s by default.
    pub max_hole: Duration,
    /// The longest overlap that is repaired sample by sample. 1 s by default. With 0 none is: whatever would be decoded no
    /// later than its predecessor is a jump, and what only begins before that ends stays.
    pub max_overlap: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_hole: Duration::from_secs(10),
            max_overlap: Duration::from_secs(1),
        }
    }
}

/// What was done to time stamps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Periods after the first.
    pub discontinuities: u64,
    /// Jumps that nothing announced.
    pub jumps: u64,
    /// Samples moved behind their predecessor.
    pub moved_samples: u64,
    /// Holes in the time of a track that nothing announced and that are left as they are: over half a second from the end
    /// of a sample to the next, or more than a second from sample to sample, and four usual steps, where samples have no
    /// duration of their own.
    pub holes: u64,
    /// How long they are together.
    pub hole_time: Duration,
}

/// The first sample of a track in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The track's number.
    pub track: usize,
    /// Decode time in its ticks.
    pub dts: i64,
    /// Ticks a second.
    pub timescale: u32,
    /// What it is.
    pub kind: TrackKind,
}

/// When a track is presented, in flicks of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// When its first sample is.
    pub start: i64,
    /// When its last sample ends.
    pub end: i64,
    /// How long its latest sample lasts.
    pub step: i64,
}

/// Maps the time stamps of all tracks onto one continuous timeline.
#[derive(Debug, Serialize, Deserialize)]
pub struct Timeline {
    max_hole: i64,
    max_overlap: i64,
    shifts: VecDeque<Shift>,
    tracks: Vec<Track>,
    stats: Stats,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new(&Options::default())
    }
}

/// What a period's times are shifted by, in flicks. A period has several after jumps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Shift {
    serial: u64,
    period: u64,
    offset: i64,
    /// Where on the output it begins.
    begin: i64,
    /// Of a jump back by less than [`Options::max_overlap`]: where what came before it ended, in the time of its source.
    behind: Option<i64>,
}

/// Where a track is, in flicks of the output.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Track {
    /// Serial number of the shift in force, and the period it is of.
    shift: Option<(u64, u64)>,
    /// What is added to its times, in ticks of `timescale`.
    offset: i64,
    timescale: u32,
    last: Option<i64>,
    /// Where the next sample is expected.
    end: Option<i64>,
    step: i64,
    /// Holes that were announced since the last sample.
    allowance: i64,
    /// How long the segment lasts that begins with the next sample, as its playlist says, and where by that the one before
    /// ends.
    claim: Option<i64>,
    until: Option<i64>,
    /// The same since the last hole.
    announced: i64,
    span: Option<Span>,
}

impl Timeline {
    /// A timeline with these limits.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            max_hole: flicks(options.max_hole),
            max_overlap: flicks(options.max_overlap),
            shifts: VecDeque::new(),
            tracks: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// From when to when a track is presented; `None` before its first sample.
    #[must_use]
    pub fn span(&self, track: usize) -> Option<Span> {
        self.tracks.get(track)?.span
    }

    /// What is added to the times of a track now, in the ticks of its last sample.
    #[must_use]
    pub fn offset(&self, track: usize) -> i64 {
        self.tracks.get(track).map_or(0, |track| track.offset)
    }

    /// Media of this length is known to be missing from a track here: the hole that it leaves is no jump.
    pub fn gap(&mut self, track: usize, duration: Duration) {
        let track = self.track(track);
        track.allowance = track.allowance.saturating_add(flicks(duration));
        track.announced = track.announced.saturating_add(flicks(duration));
    }

    /// A segment of this length, as its playlist says, begins with the next sample of a track: media that it lacks leave a hole,
    /// however long, and no jump.
    pub fn lasts(&mut self, track: usize, duration: Duration) {
        self.track(track).claim = Some(flicks(duration).min(MOST_CLAIM));
    }

    /// What comes next of a track does not follow what came last: media between was passed over. The shift in force goes on, and
    /// however far ahead the next sample is, that is no jump.
    pub fn skip(&mut self, track: usize) {
        let track = self.track(track);
        (track.end, track.until, track.claim) = (None, None, None);
        (track.allowance, track.announced) = (0, 0);
    }

    /// Whether something of a period has come.
    #[must_use]
    pub fn has_begun(&self, period: u64) -> bool {
        self.shifts.iter().any(|shift| shift.period == period)
    }

    /// Tells where tracks begin in a segment, before [`place`](Self::place) sees samples of it, and then no track touches
    /// its own end where a period begins. A period that has begun already is left as it is, unless the segment
    /// goes back by more than a sample with all of its tracks: then these go on together where they ended. Other tracks
    /// of the period follow with the segment in which they are as far.
    pub fn begin(&mut self, period: u64, starts: &[Start]) {
        if starts.is_empty() {
            return;
        }
        if self.has_begun(period) {
            self.step_back(period, starts);
            self.jump_together(period, starts);
            return;
        }
        self.stats.discontinuities += u64::from(!self.shifts.is_empty());
        self.shift_by_starts(period, starts);
    }

    /// Puts a sample of a track into its place: returns it with the times that it has in the output, in the
    /// same timescale.
    pub fn place<D>(&mut self, track: usize, period: u64, clock: Clock, timescale: u32, mut sample: Sample<D>) -> Sample<D> {
        let timescale = timescale.max(1);
        let start = Start {
            track,
            dts: sample.dts,
            timescale,
            kind: TrackKind::Other,
        };
        if !self.has_begun(period) {
            self.begin(period, &[start]);
        }
        let state = *self.track(track);
        if state.shift.is_none_or(|(_, current)| current != period) {
            self.enter(start, period, clock);
        } else if state.timescale != timescale {
            self.adopt(start, state.shift);
        }
        if self.jumps(start) {
            self.jump(start, period);
        }
        self.count_hole(start, &state, sample.duration.is_some());

        let state = self.track(track);
        let mut dts = sample.dts.saturating_add(state.offset);
        let mut moved = false;
        if let Some(last) = state.last {
            let earliest = from_flicks(last, timescale).saturating_add(1);
            moved = dts < earliest;
            dts = dts.max(earliest);
        }
        let pts = sample.pts.saturating_add(state.offset);
        let composition = sample.pts.saturating_sub(sample.dts);
        // Composition stays true unless the sample is decoded after it, which only a negative offset allows.
        sample.pts = if composition >= 0 { pts.max(dts) } else { pts };
        sample.dts = dts;
        let position = to_flicks(dts, timescale);
        let duration = sample.duration.map(|duration| to_flicks(duration.into(), timescale));
        if let (None, Some(last)) = (duration, state.last) {
            // A hole is not a step.
            state.step = (position - last).clamp(0, i64::from(FLICKS));
        }
        let step = duration.unwrap_or(state.step);
        state.end = Some(position.saturating_add(step));
        let presented = position.saturating_add(to_flicks(sample.pts.saturating_sub(dts), timescale));
        let end = presented.saturating_add(step);
        state.span = Some(Span {
            start: state.span.map_or(presented, |span| span.start.min(presented)),
            end: state.span.map_or(end, |span| span.end.max(end)),
            step,
        });
        state.last = Some(position);
        if let Some(claim) = state.claim.take() {
            state.until = Some(position.saturating_add(claim));
        }
        state.allowance = 0;
        self.stats.moved_samples += u64::from(moved);
        sample
    }

    fn track(&mut self, number: usize) -> &mut Track {
        if self.tracks.len() <= number {
            self.tracks.resize(number + 1, Track::default());
        }
        &mut self.tracks[number]
    }
}

fn flicks(duration: Duration) -> i64 {
    let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    let flicks = nanos.saturating_mul(FLICKS.into()) / 1_000_000_000;
    i64::try_from(flicks).unwrap_or(i64::MAX)
}
