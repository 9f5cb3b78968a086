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

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    time::{FLICKS, MPEG_HZ, MPEG_WRAP, from_flicks, to_flicks},
    track::{Sample, TrackKind},
};

/// Shifts that are remembered: tracks may be this many periods apart.
const MAX_SHIFTS: usize = 256;

const SECOND: i64 = FLICKS as i64;
/// From where on time between samples is a hole that counts.
const HOLE: i64 = SECOND / 2;

/// So far sound without pictures may overlap without being taken for a jump: two frames of HE-AAC at 44.1 kHz, which
/// prime a decoder. Nothing of it is presented in another order than it is decoded in.
const PRIMING: i64 = FLICKS as i64 / 10;

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

    /// A new shift for `period`, so that its tracks go on where the output ends.
    fn shift_by_starts(&mut self, period: u64, starts: &[Start]) {
        let first = starts.iter().map(|start| to_flicks(start.dts, start.timescale)).min().unwrap_or(0);
        let mut offset = None;
        for (number, track) in self.tracks.iter().enumerate() {
            let Some(end) = track.end else { continue };
            let own = starts.iter().find(|start| start.track == number);
            let start = own.map_or(first, |start| to_flicks(start.dts, start.timescale));
            // Where the media between is known to be missing, its room is kept.
            let end = end.saturating_add(track.allowance);
            offset = offset.max(Some(end.saturating_sub(start)));
        }
        let offset = offset.unwrap_or(0);
        self.remember(period, offset, first.saturating_add(offset), None);
    }

    fn remember(&mut self, period: u64, offset: i64, begin: i64, behind: Option<i64>) -> Shift {
        let serial = self.shifts.back().map_or(0, |shift| shift.serial + 1);
        if self.shifts.len() == MAX_SHIFTS {
            self.shifts.pop_front();
        }
        let shift = Shift {
            serial,
            period,
            offset,
            begin,
            behind,
        };
        self.shifts.push_back(shift);
        shift
    }

    /// Closes an overlap of a segment with what came before it, for all of its tracks alike.
    fn step_back(&mut self, period: u64, starts: &[Start]) {
        self.catch_up(period, starts);
        let (mut back, mut sound_alone) = (None, true);
        for start in starts
            .iter()
            .filter(|start| matches!(start.kind, TrackKind::Video | TrackKind::Audio))
        {
            let Some(overlap) = self.overlap(period, *start) else {
                continue;
            };
            if overlap > self.max_overlap || !self.goes_back(*start, overlap) {
                return;
            }
            back = back.max(Some(overlap));
            sound_alone &= start.kind == TrackKind::Audio;
        }
        let Some(back) = back.filter(|back| !sound_alone || *back > PRIMING) else {
            return;
        };
        let own = starts.iter().filter(|start| self.overlap(period, **start).is_some());
        let own: Vec<usize> = own.map(|start| start.track).collect();
        let shifts = own.iter().filter_map(|track| self.shift_of(*track));
        let Some(before) = shifts.max_by_key(|shift| shift.serial) else {
            return;
        };
        let end = own.iter().filter_map(|track| self.tracks[*track].end).max().unwrap_or(0);
        let offset = before.offset.saturating_add(back);
        let shift = self.remember(period, offset, end, Some(end.saturating_sub(before.offset)));
        self.stats.jumps += 1;
        for track in own {
            self.follow(track, shift);
        }
    }

    /// A jump that all tracks of a segment make is one for all of them, so that none leaves a hole for the sake of another.
    fn jump_together(&mut self, period: u64, starts: &[Start]) {
        let own = starts.iter().filter(|start| self.overlap(period, **start).is_some());
        let own: Vec<Start> = own.copied().collect();
        if own.len() < 2 || !own.iter().all(|start| self.jumps(*start)) {
            return;
        }
        let current = own
            .iter()
            .filter_map(|start| self.shift_of(start.track))
            .map(|shift| shift.serial)
            .max();
        if self
            .shifts
            .iter()
            .any(|shift| shift.period == period && Some(shift.serial) > current)
        {
            // Others went before.
            return;
        }
        self.stats.jumps += 1;
        self.shift_by_starts(period, &own);
        let serial = self.shifts.back().map_or(0, |shift| shift.serial);
        for start in own {
            self.adopt(start, Some((serial, period)));
        }
    }

    /// Takes tracks to where others stepped back before them, if they have come as far.
    fn catch_up(&mut self, period: u64, starts: &[Start]) {
        for at in 0..self.shifts.len() {
            let shift = self.shifts[at];
            let Some(behind) = shift.behind.filter(|_| shift.period == period) else {
                continue;
            };
            for start in starts {
                let (Some(overlap), Some(before)) = (self.overlap(period, *start), self.shift_of(start.track)) else {
                    continue;
                };
                let track = self.tracks[start.track];
                let position = to_flicks(start.dts.saturating_add(track.offset), start.timescale);
                let is_behind = position >= behind.saturating_add(before.offset);
                if before.serial < shift.serial && (is_behind || self.goes_back(*start, overlap)) {
                    self.follow(start.track, shift);
                }
            }
        }
    }

    /// The shift in force for a track.
    fn shift_of(&self, track: usize) -> Option<Shift> {
        let (serial, _) = self.tracks.get(track)?.shift?;
        self.shifts.iter().find(|shift| shift.serial == serial).copied()
    }

    /// By how much a track in this period would overlap its own end.
    fn overlap(&self, period: u64, start: Start) -> Option<i64> {
        let track = self.tracks.get(start.track)?;
        let same = track.shift.is_some_and(|(_, current)| current == period) && track.timescale == start.timescale;
        let position = to_flicks(start.dts.saturating_add(track.offset), start.timescale);
        Some(track.end.filter(|_| same)?.saturating_sub(position))
    }

    /// Whether an overlap is more than a sample that comes twice, and its rounding.
    fn goes_back(&self, start: Start, overlap: i64) -> bool {
        let span = self.tracks.get(start.track).and_then(|track| track.span);
        let step = span.map_or(0, |span| span.step);
        overlap > step.saturating_add(step / 8)
    }

    /// Makes a shift the track's own. What turns of the clock add to its times stays.
    fn follow(&mut self, track: usize, shift: Shift) {
        let before = self.shift_of(track).map_or(shift.offset, |before| before.offset);
        let track = &mut self.tracks[track];
        let ticks = |offset| from_flicks(offset, track.timescale);
        let by = ticks(shift.offset).saturating_sub(ticks(before));
        track.offset = track.offset.saturating_add(by);
        track.shift = Some((shift.serial, shift.period));
    }

    /// The track's first sample in a period whose shift is known.
    fn enter(&mut self, start: Start, period: u64, clock: Clock) {
        let Some(shift) = self.shifts.iter().find(|shift| shift.period == period).copied() else {
            return;
        };
        self.adopt(start, Some((shift.serial, period)));
        if clock == Clock::Mpeg {
            // Another track set the shift: whole turns of the clock may lie between the two.
            let wrap = i128::from(MPEG_WRAP) * i128::from(FLICKS / MPEG_HZ);
            let position = to_flicks(start.dts.saturating_add(self.tracks[start.track].offset), start.timescale);
            let furthest = self
                .tracks
                .iter()
                .filter(|track| track.shift == Some((shift.serial, period)))
                .filter_map(|track| track.end);
            let reference = furthest.max().unwrap_or(shift.begin);
            let distance = i128::from(reference) - i128::from(position);
            let turns = (distance + distance.signum() * wrap / 2) / wrap;
            let turn = i64::try_from(turns * wrap).unwrap_or(0);
            let track = &mut self.tracks[start.track];
            track.offset = track.offset.saturating_add(from_flicks(turn, start.timescale));
        }
    }

    /// Makes a shift the track's own.
    fn adopt(&mut self, start: Start, shift: Option<(u64, u64)>) {
        let known = self
            .shifts
            .iter()
            .find(|known| shift.is_some_and(|(serial, _)| known.serial == serial));
        let offset = known.map_or(0, |shift| from_flicks(shift.offset, start.timescale));
        let track = self.track(start.track);
        track.shift = shift;
        track.offset = offset;
        track.timescale = start.timescale;
    }

    /// Whether a sample here is too far from where the track's next one is expected.
    fn jumps(&mut self, start: Start) -> bool {
        let track = *self.track(start.track);
        let position = to_flicks(start.dts.saturating_add(track.offset), start.timescale);
        // Where a track of the same stream is, another that comes there late has not jumped.
        let others = self.tracks.iter().enumerate();
        let others = others.filter(|(number, other)| *number != start.track && other.shift.is_some() && other.shift == track.shift);
        let reached = others.filter_map(|(_, other)| other.end).max();
        track.end.is_some_and(|end| {
            let due = end.max(track.until.unwrap_or(end)).max(reached.unwrap_or(end));
            let (ahead, behind) = (position.saturating_sub(due), end.saturating_sub(position));
            let runs_back = self.max_overlap > 0 || track.last.is_none_or(|last| position <= last);
            ahead > self.max_hole.saturating_add(track.allowance) || (behind > self.max_overlap && runs_back)
        })
    }

    /// Counts a hole in front of a sample, which goes on in the same shift as the one before it.
    fn count_hole(&mut self, start: Start, before: &Track, has_duration: bool) {
        let track = self.track(start.track);
        let Some(end) = before.end.filter(|_| track.shift == before.shift) else {
            track.announced = 0;
            return;
        };
        let step = before.step;
        // Pictures may come as seldom as they like, but as regularly.
        let tolerance = if has_duration {
            HOLE
        } else {
            HOLE.max(SECOND - step).max(4 * step)
        };
        let position = to_flicks(start.dts.saturating_add(track.offset), start.timescale);
        let ahead = position.saturating_sub(end);
        if ahead <= tolerance || (!has_duration && step <= 0) {
            return;
        }
        // The last picture in front of what is missing may come behind the word of it, so that it waits for its hole. And
        // playlists round durations.
        let announced = std::mem::take(&mut track.announced);
        let ahead = ahead.saturating_sub(announced);
        if ahead > tolerance.saturating_add(announced / 2) {
            self.stats.holes += 1;
            self.stats.hole_time += duration(ahead);
        }
    }

    /// An unannounced jump: goes where another track went before, or starts a shift of its own.
    fn jump(&mut self, start: Start, period: u64) {
        let before = *self.track(start.track);
        let current = before.shift.map_or(0, |(serial, _)| serial);
        let later: Vec<u64> = self
            .shifts
            .iter()
            .filter(|shift| shift.period == period && shift.serial > current)
            .map(|shift| shift.serial)
            .collect();
        for serial in later {
            self.adopt(start, Some((serial, period)));
            if !self.jumps(start) {
                return;
            }
        }
        self.stats.jumps += 1;
        self.shift_by_starts(period, &[start]);
        let serial = self.shifts.back().map_or(0, |shift| shift.serial);
        self.adopt(start, Some((serial, period)));
    }
}

fn duration(flicks: i64) -> Duration {
    let nanos = i128::from(flicks.max(0)) * 1_000_000_000 / i128::from(FLICKS);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn flicks(duration: Duration) -> i64 {
    let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    let flicks = nanos.saturating_mul(FLICKS.into()) / 1_000_000_000;
    i64::try_from(flicks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VIDEO: usize = 0;
    const AUDIO: usize = 1;

    fn place(timeline: &mut Timeline, track: usize, period: u64, dts: i64) -> i64 {
        let (timescale, duration) = if track == VIDEO { (90_000, 3600) } else { (48_000, 1024) };
        let sample = Sample {
            dts,
            pts: dts + duration,
            duration: u32::try_from(duration).ok(),
            sync: true,
            data: (),
        };
        let placed = timeline.place(track, period, Clock::Mpeg, timescale, sample);
        assert!(placed.pts >= placed.dts);
        placed.dts
    }

    #[test]
    fn times_of_the_first_period_stay_as_they_are() {
        let mut timeline = Timeline::default();
        for n in 0..100 {
            assert_eq!(place(&mut timeline, VIDEO, 7, 126_000 + n * 3600), 126_000 + n * 3600);
            assert_eq!(place(&mut timeline, AUDIO, 7, 67_200 + n * 1024), 67_200 + n * 1024);
        }
        assert_eq!(timeline.stats(), &Stats::default());
    }

    #[test]
    fn what_a_segment_lacks_by_its_length_is_a_hole_and_no_jump() {
        for (claimed, jumps, expected) in [(None, 1, 90_000), (Some(30), 0, 30 * 90_000), (Some(2), 1, 90_000)] {
            let mut timeline = Timeline::default();
            if let Some(claimed) = claimed {
                timeline.lasts(VIDEO, Duration::from_secs(claimed));
            }
            (0..25).for_each(|n| assert_eq!(place(&mut timeline, VIDEO, 0, n * 3600), n * 3600));
            assert_eq!(place(&mut timeline, VIDEO, 0, 30 * 90_000), expected, "{claimed:?}");
            assert_eq!(timeline.stats().jumps, jumps, "{claimed:?}");
            assert_eq!(timeline.stats().holes, 1 - jumps, "{claimed:?}");
        }
    }

    #[test]
    fn sound_that_comes_back_after_long_is_where_its_picture_is() {
        let mut timeline = Timeline::default();
        (0..500).for_each(|n| assert_eq!(place(&mut timeline, VIDEO, 0, n * 3600), n * 3600));
        (0..47).for_each(|n| assert_eq!(place(&mut timeline, AUDIO, 0, n * 1024), n * 1024));
        assert_eq!(place(&mut timeline, AUDIO, 0, 19 * 48_000), 19 * 48_000);
        assert_eq!((timeline.stats().jumps, timeline.stats().holes), (0, 1));
    }

    #[test]
    fn a_period_begins_where_the_last_ended_and_tracks_stay_together() {
        let mut timeline = Timeline::default();
        // Video ends at 1.00 s, audio at 1.0027 s.
        (0..25).for_each(|n| assert_eq!(place(&mut timeline, VIDEO, 0, n * 3600), n * 3600));
        (0..47).for_each(|n| assert_eq!(place(&mut timeline, AUDIO, 0, n * 1024), n * 1024));
        // Both start over at 10 s; the end of audio decides: 48128 ticks of 48 kHz are 90240 of 90 kHz.
        timeline.begin(
            1,
            &[
                Start {
                    track: VIDEO,
                    dts: 900_000,
                    timescale: 90_000,
                    kind: TrackKind::Video,
                },
                Start {
                    track: AUDIO,
                    dts: 480_000,
                    timescale: 48_000,
                    kind: TrackKind::Audio,
                },
            ],
        );
        assert_eq!(place(&mut timeline, VIDEO, 1, 900_000), 90_240);
        assert_eq!(place(&mut timeline, AUDIO, 1, 480_000), 48_128);
        assert_eq!(place(&mut timeline, AUDIO, 1, 481_024), 49_152);
        assert_eq!(timeline.stats().discontinuities, 1);
        assert_eq!(timeline.stats().moved_samples, 0);
    }

    #[test]
    fn a_rendition_that_comes_to_a_period_later_gets_the_same_shift() {
        let mut timeline = Timeline::default();
        (0..25).for_each(|n| assert_eq!(place(&mut timeline, VIDEO, 0, n * 3600), n * 3600));
        assert_eq!(place(&mut timeline, VIDEO, 1, 0), 90_000);
        // Only now the audio of the first period: its last frame reaches into the second.
        (0..47).for_each(|n| assert_eq!(place(&mut timeline, AUDIO, 0, n * 1024), n * 1024));
        assert_eq!(place(&mut timeline, AUDIO, 1, 0), 48_000);
        assert_eq!(timeline.stats().moved_samples, 0);
    }

    #[test]
    fn renditions_whole_turns_of_the_clock_apart_are_joined() {
        for (video, audio) in [
            (MPEG_WRAP + 1800, 960),
            (1800, (MPEG_WRAP + 1800) * 48 / 90),
            (MPEG_WRAP - 1800, 960),
        ] {
            let mut timeline = Timeline::default();
            let video = place(&mut timeline, VIDEO, 0, video);
            let audio = place(&mut timeline, AUDIO, 0, audio);
            let apart = (video - audio * 90 / 48).abs();
            assert!(apart <= 3602, "{video} and {audio}");
        }
    }

    #[test]
    fn a_jump_without_notice_is_closed_for_all_tracks_alike() {
        for jumped in [0, 90_000_000] {
            let mut timeline = Timeline::default();
            (0..50).for_each(|n| {
                place(&mut timeline, VIDEO, 0, 9_000_000 + n * 3600);
            });
            (0..94).for_each(|n| {
                place(&mut timeline, AUDIO, 0, 4_800_000 + n * 1024);
            });
            // The end of audio is the later one: 4_896_256 of 48 kHz.
            assert_eq!(place(&mut timeline, VIDEO, 0, jumped), 9_180_480);
            assert_eq!(place(&mut timeline, AUDIO, 0, jumped * 48 / 90), 4_896_256);
            assert_eq!(timeline.stats().jumps, 1);
        }
    }

    #[test]
    fn a_hole_is_kept_when_it_is_short_or_announced() {
        let mut timeline = Timeline::default();
        assert_eq!(place(&mut timeline, VIDEO, 0, 0), 0);
        assert_eq!(place(&mut timeline, VIDEO, 0, 5 * 90_000), 5 * 90_000);
        timeline.gap(VIDEO, Duration::from_secs(60));
        assert_eq!(place(&mut timeline, VIDEO, 0, 66 * 90_000), 66 * 90_000);
        // From 0.04 s to 5 s; what is announced is no news.
        let expected = Stats {
            holes: 1,
            hole_time: Duration::from_millis(4960),
            ..Stats::default()
        };
        assert_eq!(timeline.stats(), &expected);
    }

    #[test]
    fn holes_are_told_from_uneven_steps() {
        // Times in milliseconds, whether samples have durations (of 40 ms), and the holes.
        let every = |step: i64| (0..20).map(|n| n * step).collect::<Vec<_>>();
        let cases: [(&str, Vec<i64>, bool, &[u64]); 8] = [
            ("25 a second", every(40), false, &[]),
            ("one in five seconds", every(5000), false, &[]),
            ("as long as a segment of 1 s", vec![0, 40, 1120, 1160], false, &[1040]),
            ("a picture that stands for a second", vec![0, 40, 1040, 1080, 2080], false, &[]),
            ("a segment of 2 s, twice", vec![0, 40, 2080, 2120, 2160, 4200], false, &[2000, 2000]),
            ("frames with a rounded stamp", vec![0, 40, 90, 500], true, &[]),
            ("a second of frames", vec![0, 40, 1080, 1120], true, &[1000]),
            ("running back", vec![5000, 4990, 4980, 5100], true, &[]),
        ];
        for (name, times, has_duration, expected) in cases {
            let mut timeline = Timeline::default();
            for dts in times {
                let duration = has_duration.then_some(40);
                let sample = Sample {
                    dts,
                    pts: dts,
                    duration,
                    sync: true,
                    data: (),
                };
                timeline.place(0, 0, Clock::Absolute, 1000, sample);
            }
            let found = (timeline.stats().holes, timeline.stats().hole_time);
            let time = Duration::from_millis(expected.iter().sum());
            assert_eq!(found, (expected.len() as u64, time), "{name}");
        }
    }

    #[test]
    fn a_discontinuity_and_a_closed_jump_are_no_holes() {
        let mut timeline = Timeline::default();
        (0..25).for_each(|n| {
            place(&mut timeline, VIDEO, 0, n * 3600);
            place(&mut timeline, AUDIO, 0, n * 1024);
        });
        // Sound ended half a second before the pictures.
        for (period, at) in [(1, 900_000), (1, 9_000_000)] {
            place(&mut timeline, VIDEO, period, at);
            place(&mut timeline, AUDIO, period, at * 48 / 90);
        }
        assert_eq!(timeline.stats().jumps, 1);
        assert_eq!(timeline.stats().holes, 0);
    }

    #[test]
    fn a_small_overlap_moves_samples_and_is_counted() {
        let mut timeline = Timeline::default();
        assert_eq!(place(&mut timeline, VIDEO, 0, 3600), 3600);
        assert_eq!(place(&mut timeline, VIDEO, 0, 3600), 3601);
        assert_eq!(place(&mut timeline, VIDEO, 0, 0), 3602);
        assert_eq!(place(&mut timeline, VIDEO, 0, 7200), 7200);
        assert_eq!(timeline.stats().moved_samples, 2);
    }

    /// Two seconds of a track from so many of its ticks on, as one segment: where its first and last samples are put.
    fn segment(timeline: &mut Timeline, track: usize, dts: i64) -> [i64; 2] {
        let count = if track == VIDEO { 50 } else { 94 };
        let step = if track == VIDEO { 3600 } else { 1024 };
        let placed: Vec<i64> = (0..count).map(|n| place(timeline, track, 0, dts + n * step)).collect();
        [placed[0], placed[placed.len() - 1]]
    }

    fn begin(timeline: &mut Timeline, tracks: &[(usize, i64)]) {
        let starts = tracks.iter().map(|&(track, dts)| Start {
            track,
            dts,
            timescale: if track == VIDEO { 90_000 } else { 48_000 },
            kind: if track == VIDEO { TrackKind::Video } else { TrackKind::Audio },
        });
        timeline.begin(0, &starts.collect::<Vec<_>>());
    }

    /// 94 frames of sound, in ticks of 48 kHz, and 50 pictures, in ticks of 90 kHz.
    const SOUND: i64 = 94 * 1024;
    const PICTURES: i64 = 50 * 3600;

    #[test]
    fn a_segment_that_goes_back_with_all_its_tracks_goes_on_behind_the_one_before() {
        for milliseconds in [50, 500, 1000] {
            let mut timeline = Timeline::default();
            begin(&mut timeline, &[(VIDEO, 0), (AUDIO, 0)]);
            segment(&mut timeline, VIDEO, 0);
            segment(&mut timeline, AUDIO, 0);
            let (video, sound) = (PICTURES - 90 * milliseconds, SOUND - 48 * milliseconds);
            begin(&mut timeline, &[(VIDEO, video), (AUDIO, sound)]);
            assert_eq!(segment(&mut timeline, VIDEO, video), [PICTURES, 2 * PICTURES - 3600]);
            assert_eq!(segment(&mut timeline, AUDIO, sound), [SOUND, 2 * SOUND - 1024]);
            // Nothing announces the next one, which goes on as it should.
            begin(&mut timeline, &[(VIDEO, video + PICTURES), (AUDIO, sound + SOUND)]);
            assert_eq!(segment(&mut timeline, VIDEO, video + PICTURES)[0], 2 * PICTURES);
            assert_eq!((timeline.stats().jumps, timeline.stats().moved_samples), (1, 0));
        }
    }

    #[test]
    fn separate_streams_go_back_together_whichever_comes_first() {
        for milliseconds in [50, 500] {
            for order in [[VIDEO, AUDIO], [AUDIO, VIDEO]] {
                let mut timeline = Timeline::default();
                let source = |number, track| match (track, number) {
                    (VIDEO, 0) | (_, 0) => 0,
                    (VIDEO, _) => number * PICTURES - 90 * milliseconds,
                    _ => number * SOUND - 48 * milliseconds,
                };
                let mut last = [0; 2];
                for number in 0..3 {
                    for track in order {
                        begin(&mut timeline, &[(track, source(number, track))]);
                        last[track] = segment(&mut timeline, track, source(number, track))[0];
                    }
                }
                assert_eq!(last, [2 * PICTURES, 2 * SOUND], "{milliseconds} ms, {order:?}");
                assert_eq!(timeline.stats().jumps, 1);
            }
        }
    }

    #[test]
    fn what_primes_a_decoder_and_what_comes_twice_is_no_jump() {
        // Each segment of sound begins with frames of the one before; its pictures go on.
        for (frames, muxed) in [(1, true), (2, true), (2, false), (4, false)] {
            let mut timeline = Timeline::default();
            for number in 0..20 {
                let (video, sound) = (number * PICTURES, number * SOUND - if number > 0 { frames * 1024 } else { 0 });
                let starts = [(VIDEO, video), (AUDIO, sound)];
                if muxed {
                    begin(&mut timeline, &starts);
                } else {
                    starts.iter().for_each(|start| begin(&mut timeline, &[*start]));
                }
                assert_eq!(segment(&mut timeline, VIDEO, video)[0], video);
                assert_eq!(segment(&mut timeline, AUDIO, sound)[1], sound + SOUND - 1024);
            }
            assert_eq!(timeline.stats().jumps, 0);
        }
        // A picture twice, with the sound or without.
        let mut timeline = Timeline::default();
        begin(&mut timeline, &[(VIDEO, 0)]);
        segment(&mut timeline, VIDEO, 0);
        begin(&mut timeline, &[(VIDEO, PICTURES - 3600)]);
        assert_eq!(
            segment(&mut timeline, VIDEO, PICTURES - 3600),
            [PICTURES - 3599, 2 * PICTURES - 7200]
        );
        assert_eq!(timeline.stats().jumps, 0);
    }

    #[test]
    fn many_steps_back_leave_sound_with_its_picture() {
        let mut timeline = Timeline::default();
        let mut ends = [0; 2];
        for number in 0..2000 {
            // Steps that are no whole number of ticks of 48 kHz.
            let (video, sound) = (number * 1000, number * 1000 * 48 / 90);
            begin(&mut timeline, &[(VIDEO, video), (AUDIO, sound)]);
            for n in 0..3 {
                ends[VIDEO] = place(&mut timeline, VIDEO, 0, video + n * 3600) - (video + n * 3600);
            }
            for n in 0..6 {
                ends[AUDIO] = place(&mut timeline, AUDIO, 0, sound + n * 1024) - (sound + n * 1024);
            }
        }
        let apart = ends[VIDEO] * 48 / 90 - ends[AUDIO];
        assert!(apart.abs() <= 1, "{apart} ticks apart after {} jumps", timeline.stats().jumps);
        assert!(timeline.stats().jumps > 1000);
    }

    proptest! {
        #[test]
        fn decode_times_always_grow(samples: Vec<(bool, u8, i64, Option<u32>)>) {
            let mut timeline = Timeline::default();
            let mut last = [i64::MIN; 2];
            for (audio, period, dts, duration) in samples {
                let track = usize::from(audio);
                let dts = dts >> 20;
                let sample = Sample { dts, pts: dts, duration, sync: true, data: () };
                let placed = timeline.place(track, period.into(), Clock::Mpeg, 90_000, sample).dts;
                prop_assert!(placed > last[track]);
                last[track] = placed;
            }
        }
    }
}
