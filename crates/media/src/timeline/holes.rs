//! Holes that stay, and that the report counts.

use std::time::Duration;

use super::{SECOND, Start, Timeline, Track};
use crate::time::{FLICKS, to_flicks};

/// From where on time between samples is a hole that counts.
const HOLE: i64 = SECOND / 2;

impl Timeline {
    /// Counts a hole in front of a sample, which goes on in the same shift as the one before it.
    pub(super) fn count_hole(&mut self, start: Start, before: &Track, has_duration: bool) {
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
}

fn duration(flicks: i64) -> Duration {
    let nanos = i128::from(flicks.max(0)) * 1_000_000_000 / i128::from(FLICKS);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
