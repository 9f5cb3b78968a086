//! Jumps that nothing announced: when a sample or a segment makes one, and where it goes on then.

use super::{Start, Timeline};
use crate::{
    time::{FLICKS, to_flicks},
    track::TrackKind,
};

/// So far sound without pictures may overlap without being taken for a jump: two frames of HE-AAC at 44.1 kHz, which
/// prime a decoder. Nothing of it is presented in another order than it is decoded in.
const PRIMING: i64 = FLICKS as i64 / 10;

impl Timeline {
    /// Closes an overlap of a segment with what came before it, for all of its tracks alike.
    pub(super) fn step_back(&mut self, period: u64, starts: &[Start]) {
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

    /// Takes tracks to where others stepped back before them, if they have come as far.
    pub(super) fn catch_up(&mut self, period: u64, starts: &[Start]) {
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

    /// A jump that all tracks of a segment make is one for all of them, so that none leaves a hole for the sake of another.
    pub(super) fn jump_together(&mut self, period: u64, starts: &[Start]) {
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

    /// An unannounced jump: goes where another track went before, or starts a shift of its own.
    pub(super) fn jump(&mut self, start: Start, period: u64) {
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

    /// Whether a sample here is too far from where the track's next one is expected.
    pub(super) fn jumps(&mut self, start: Start) -> bool {
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

    /// By how much a track in this period would overlap its own end.
    pub(super) fn overlap(&self, period: u64, start: Start) -> Option<i64> {
        let track = self.tracks.get(start.track)?;
        let same = track.shift.is_some_and(|(_, current)| current == period) && track.timescale == start.timescale;
        let position = to_flicks(start.dts.saturating_add(track.offset), start.timescale);
        Some(track.end.filter(|_| same)?.saturating_sub(position))
    }

    /// Whether an overlap is more than a sample that comes twice, and its rounding.
    pub(super) fn goes_back(&self, start: Start, overlap: i64) -> bool {
        let span = self.tracks.get(start.track).and_then(|track| track.span);
        let step = span.map_or(0, |span| span.step);
        overlap > step.saturating_add(step / 8)
    }
}
