//! What the times of a period are shifted by: found where one begins, and made a track's own when the track comes there.

use super::{Clock, Shift, Start, Timeline};
use crate::time::{FLICKS, MPEG_HZ, MPEG_WRAP, from_flicks, to_flicks};

/// Shifts that are remembered: tracks may be this many periods apart.
const MAX_SHIFTS: usize = 256;

impl Timeline {
    /// A new shift for `period`, so that its tracks go on where the output ends.
    pub(super) fn shift_by_starts(&mut self, period: u64, starts: &[Start]) {
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

    pub(super) fn remember(&mut self, period: u64, offset: i64, begin: i64, behind: Option<i64>) -> Shift {
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

    /// The shift in force for a track.
    pub(super) fn shift_of(&self, track: usize) -> Option<Shift> {
        let (serial, _) = self.tracks.get(track)?.shift?;
        self.shifts.iter().find(|shift| shift.serial == serial).copied()
    }

    /// The track's first sample in a period whose shift is known.
    pub(super) fn enter(&mut self, start: Start, period: u64, clock: Clock) {
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
    pub(super) fn adopt(&mut self, start: Start, shift: Option<(u64, u64)>) {
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

    /// Makes a shift the track's own. What turns of the clock add to its times stays.
    pub(super) fn follow(&mut self, track: usize, shift: Shift) {
        let before = self.shift_of(track).map_or(shift.offset, |before| before.offset);
        let track = &mut self.tracks[track];
        let ticks = |offset| from_flicks(offset, track.timescale);
        let by = ticks(shift.offset).saturating_sub(ticks(before));
        track.offset = track.offset.saturating_add(by);
        track.shift = Some((shift.serial, shift.period));
    }
}
