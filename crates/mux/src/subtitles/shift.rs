//! From the times that cues carry to times in the output.

use aqueduct_media::time::{MPEG_HZ, rescale, unwrap_33};
use aqueduct_media::webvtt::{Cue, TimestampMap};

use serde::{Deserialize, Serialize};

use super::origin::Anchor;

/// How far a cue may lie outside of the segment that brings it.
const NEAR_MS: i64 = 1000;

/// What the times of a segment's cues are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// Bound to the MPEG-TS clock by `X-TIMESTAMP-MAP` (RFC 8216, 3.5).
    Mapped(TimestampMap),
    /// Times of an fMP4 track, on the same clock as those of the other tracks.
    Media,
    /// Nothing said.
    Unbound,
}

/// The segment's place in the output by its playlist, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start_ms: i64,
    pub(super) duration_ms: i64,
}

impl Window {
    fn meets(self, cues: &[Cue], shift_ms: i64) -> bool {
        let (from, to) = (self.start_ms - NEAR_MS, self.start_ms + self.duration_ms + NEAR_MS);
        cues.iter()
            .any(|cue| cue.start_ms.saturating_add(shift_ms) <= to && cue.end_ms.saturating_add(shift_ms) >= from)
    }
}

/// Finds what is to be added to cue times.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Shift {
    /// The period, and where it stands, where the main output does not tell.
    own: Option<(u64, Anchor)>,
    /// The period, and what is added in it, where times are bound to nothing that is known for sure.
    guessed: Option<(u64, i64)>,
}

impl Shift {
    /// What is to be added to the times of `cues`, in milliseconds.
    pub(super) fn of(&mut self, clock: Clock, cues: &[Cue], period: u64, window: Window, anchor: Option<Anchor>) -> i64 {
        match clock {
            Clock::Mapped(map) => {
                let anchor = anchor.unwrap_or_else(|| self.own_anchor(period, map, window));
                mapped(map, cues, window, anchor)
            }
            Clock::Media | Clock::Unbound => match self.guessed {
                Some((known, shift)) if known == period => shift,
                _ if cues.is_empty() => 0,
                _ => {
                    let shift = guess(clock, cues, window, anchor);
                    self.guessed = Some((period, shift));
                    shift
                }
            },
        }
    }

    /// Where no other track tells of the clock, the first map of a period stands where its segment does.
    fn own_anchor(&mut self, period: u64, map: TimestampMap, window: Window) -> Anchor {
        let first = Anchor {
            clock: i64::try_from(map.mpegts).unwrap_or(0),
            film_ms: window.start_ms,
        };
        let known = self.own.filter(|(known, _)| *known == period);
        let (_, anchor) = *self.own.insert(known.unwrap_or((period, first)));
        anchor
    }
}

/// The clock has 33 bits: of the times that a cue may stand for, it is the one nearest to its segment. One and the same
/// map may hold for days, or each segment may have its own.
fn mapped(map: TimestampMap, cues: &[Cue], window: Window, anchor: Anchor) -> i64 {
    let from = cues.first().map_or(map.local_ms, |cue| cue.start_ms);
    let ticks = i64::try_from(map.mpegts).unwrap_or(0);
    let clock = ticks.saturating_add(rescale(from.saturating_sub(map.local_ms), 1000, MPEG_HZ));
    let expected = anchor
        .clock
        .saturating_add(rescale(window.start_ms.saturating_sub(anchor.film_ms), 1000, MPEG_HZ));
    let clock = unwrap_33(clock.cast_unsigned(), expected);
    let film = rescale(clock.saturating_sub(anchor.clock), MPEG_HZ, 1000).saturating_add(anchor.film_ms);
    film.saturating_sub(from)
}

/// Without a map, RFC 8216 (3.5) takes cue time for MPEG-TS time, and servers that leave it out mean the time since the
/// beginning, which is how players take it. The first cues show which: they lie in their segment.
fn guess(clock: Clock, cues: &[Cue], window: Window, anchor: Option<Anchor>) -> i64 {
    let by_clock = anchor.map(|anchor| anchor.film_ms.saturating_sub(rescale(anchor.clock, MPEG_HZ, 1000)));
    let from_start = 0;
    let in_order = match clock {
        Clock::Media => [by_clock, Some(from_start)],
        _ => [Some(from_start), by_clock],
    };
    let fits = in_order.into_iter().flatten().find(|shift| window.meets(cues, *shift));
    let first = cues.first().map_or(0, |cue| cue.start_ms);
    // A recording that began in the middle of a stream which tells nothing else: it begins with its first cue.
    fits.or(in_order[0]).unwrap_or(window.start_ms.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start_ms: i64) -> Cue {
        Cue {
            start_ms,
            end_ms: start_ms + 1000,
            ..Cue::default()
        }
    }

    fn window(start_ms: i64) -> Window {
        Window {
            start_ms,
            duration_ms: 6000,
        }
    }

    fn map(mpegts: u64, local_ms: i64) -> Clock {
        Clock::Mapped(TimestampMap { mpegts, local_ms })
    }

    #[test]
    fn mapped_times_stand_where_the_clock_says_across_its_wrap() {
        const HOUR: i64 = 3_600_000;
        // 2^33 ticks are 95443717.7 ms.
        for (what, mpegts, local, cue_ms, window_ms, clock, film) in [
            ("the map of a packager, 10 s", 900_000, 0, 1000, 0, 900_000, 1000),
            ("LOCAL counts too", 900_000, 3000, 4000, 0, 900_000, 1000),
            ("the stream begins later than its map", 900_000, 0, 65_000, 0, 6_300_000, 5000),
            (
                "the clock wraps in the first segment",
                90_000,
                10_000,
                10_500,
                0,
                8_589_844_592,
                2500,
            ),
            (
                "a new map behind the wrap",
                900_000,
                0,
                500,
                12_000,
                8_589_934_592 - 180_000,
                12_500,
            ),
            ("one map for days", 900_000, 0, 30 * HOUR, 30 * HOUR, 900_000, 30 * HOUR),
            (
                "one map for days, with a clock that wrapped",
                0,
                0,
                28 * HOUR,
                0,
                28 * 3600 * 90_000 - (1 << 33),
                0,
            ),
        ] {
            let anchor = Some(Anchor { clock, film_ms: 0 });
            let cues = [cue(cue_ms)];
            let shift = Shift::default().of(map(mpegts, local), &cues, 0, window(window_ms), anchor);
            assert_eq!(cue_ms + shift, film, "{what}");
        }
    }

    #[test]
    fn without_another_track_the_first_segment_is_the_beginning() {
        let mut shift = Shift::default();
        assert_eq!(shift.of(map(900_000, 0), &[], 0, window(0), None), 0);
        // A map for each segment.
        assert_eq!(shift.of(map(1_440_000, 0), &[cue(500)], 0, window(6000), None), 6000);
        // A new period.
        assert_eq!(shift.of(map(5000, 0), &[cue(500)], 1, window(12_000), None), 12_000);
    }

    #[test]
    fn times_that_are_bound_to_nothing_lie_in_their_segment() {
        let anchor = |seconds: i64| {
            Some(Anchor {
                clock: seconds * 90_000,
                film_ms: 0,
            })
        };
        for (what, clock, cue_ms, start, anchor, film) in [
            ("time since the beginning", Clock::Unbound, 2000, 0, anchor(10), 2000),
            ("time of the clock", Clock::Unbound, 3_602_000, 0, anchor(3600), 2000),
            ("neither", Clock::Unbound, 9_999_000, 0, anchor(3600), 9_999_000),
            ("nothing to compare with", Clock::Unbound, 2000, 0, None, 2000),
            ("time of the fMP4 track", Clock::Media, 12_000, 0, anchor(10), 2000),
            (
                "a track that starts at 0 beside one that does not",
                Clock::Media,
                2000,
                0,
                anchor(3600),
                2000,
            ),
            ("an fMP4 track alone", Clock::Media, 2000, 0, None, 2000),
            ("one of a stream that began long ago", Clock::Media, 9_999_000, 6000, None, 6000),
        ] {
            let cues = [cue(cue_ms)];
            let shift = Shift::default().of(clock, &cues, 0, window(start), anchor);
            assert_eq!(cue_ms + shift, film, "{what}");
        }
    }

    #[test]
    fn a_guess_holds_for_its_period() {
        let mut shift = Shift::default();
        let anchor = Some(Anchor {
            clock: 3600 * 90_000,
            film_ms: 0,
        });
        assert_eq!(shift.of(Clock::Unbound, &[], 0, window(0), anchor), 0);
        assert_eq!(shift.of(Clock::Unbound, &[cue(3_602_000)], 0, window(0), anchor), -3_600_000);
        assert_eq!(shift.of(Clock::Unbound, &[cue(3_700_000)], 0, window(6000), anchor), -3_600_000);
    }
}
