//! From the times that cues carry to times in the output.

use aqueduct_media::time::{MPEG_HZ, rescale, unwrap_33};
use aqueduct_media::webvtt::{Cue, TimestampMap};

use serde::{Deserialize, Serialize};

use super::origin::Anchor;

/// How far a cue may lie outside of the segment that brings it.
const NEAR_MS: i64 = 1000;
/// So much of a segment the main output comes to before its cues get their places. A segment may hold the text of a whole film.
const MAX_AHEAD_MS: i64 = 10_000;

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
pub(crate) struct Window {
    pub(super) start_ms: i64,
    pub(super) duration_ms: i64,
}

impl Window {
    fn meets(self, cues: &[Cue], shift_ms: i64) -> bool {
        cues.iter().any(|cue| self.distance(cue, shift_ms) == 0)
    }

    /// By how much a cue lies outside, beyond what it may.
    fn distance(self, cue: &Cue, shift_ms: i64) -> i64 {
        let (start, end) = (cue.start_ms.saturating_add(shift_ms), cue.end_ms.saturating_add(shift_ms));
        let from = self.start_ms.saturating_sub(NEAR_MS);
        let to = self.start_ms.saturating_add(self.duration_ms).saturating_add(NEAR_MS);
        start.saturating_sub(to).max(from.saturating_sub(end)).max(0)
    }

    /// Up to where it is to be known where the clock of the stream stands: the end of the segment, but for what the segments
    /// of two playlists may be apart.
    pub(super) fn known_ms(self) -> i64 {
        let most = self.duration_ms.min(MAX_AHEAD_MS);
        self.start_ms.saturating_add(most - NEAR_MS.min(most / 2))
    }
}

/// What may be added to the times of a segment's cues: one amount for its period, and others behind jumps that nothing
/// announced.
#[derive(Clone, Debug)]
pub(super) struct Shifts {
    /// From where on in the film, in milliseconds, and how much. In their order; the first holds from the beginning.
    known: Vec<(i64, i64)>,
    window: Window,
}

impl Shifts {
    fn one(shift_ms: i64, window: Window) -> Self {
        Self {
            known: vec![(i64::MIN, shift_ms)],
            window,
        }
    }

    fn behind(anchors: &[Anchor], window: Window, shift: impl Fn(Anchor) -> i64) -> Self {
        let known = anchors.iter().map(|anchor| (anchor.film_ms, shift(*anchor)));
        Self {
            known: known.collect(),
            window,
        }
    }

    /// What is added to a cue's times: that by which it lies in its segment or next to it. Where several would do, one that holds
    /// where the cue stands by it; then the one that holds at the segment.
    pub(super) fn of(&self, cue: &Cue) -> i64 {
        let begun = |(from, _): &&(i64, i64)| *from < self.window.known_ms();
        let in_force = self.known.iter().filter(begun).count().saturating_sub(1);
        let rank = |(at, (from, shift)): &(usize, &(i64, i64))| {
            let film = cue.start_ms.saturating_add(*shift);
            let until = self.known.get(at + 1).map_or(i64::MAX, |(next, _)| *next);
            let holds = (*at == 0 || film >= *from) && film < until;
            (self.window.distance(cue, *shift), !holds, at.abs_diff(in_force))
        };
        let best = self.known.iter().enumerate().min_by_key(rank);
        best.map_or(0, |(_, (_, shift))| *shift)
    }
}

/// Finds what is to be added to cue times.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Shift {
    /// The period, and where it stands, where the main output does not tell.
    own: Option<(u64, Anchor)>,
    /// The period, and what its times count from, where they are bound to nothing that is known for sure.
    guessed: Option<(u64, Guess)>,
}

/// What times count from that say nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Guess {
    /// The clock of the stream.
    Clock,
    /// So much is added, in milliseconds.
    Fixed(i64),
}

impl Shift {
    /// What is to be added to the times of a segment, whose first cues are `cues`. `anchors` tell where its period stands in the
    /// output, and where it goes on behind jumps, if that is known.
    pub(super) fn of(&mut self, clock: Clock, cues: &[Cue], period: u64, window: Window, anchors: &[Anchor]) -> Shifts {
        match clock {
            Clock::Mapped(map) if anchors.is_empty() => {
                let anchor = self.own_anchor(period, map, window);
                Shifts::one(mapped(map, cues, window, anchor), window)
            }
            Clock::Mapped(map) => Shifts::behind(anchors, window, |anchor| mapped(map, cues, window, anchor)),
            Clock::Media | Clock::Unbound => {
                let by_clock = Shifts::behind(anchors, window, |anchor| {
                    anchor.film_ms.saturating_sub(rescale(anchor.clock, MPEG_HZ, 1000))
                });
                let guess = match self.guessed.filter(|(known, _)| *known == period) {
                    Some((_, guess)) => guess,
                    None if cues.is_empty() => Guess::Fixed(0),
                    None => {
                        let guess = guess(clock, cues, &by_clock);
                        self.guessed = Some((period, guess));
                        guess
                    }
                };
                match guess {
                    Guess::Clock => by_clock,
                    Guess::Fixed(shift) => Shifts::one(shift, window),
                }
            }
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
fn guess(clock: Clock, cues: &[Cue], by_clock: &Shifts) -> Guess {
    let window = by_clock.window;
    let first = cues.first().filter(|_| !by_clock.known.is_empty());
    let by_clock = first.map(|first| (Guess::Clock, by_clock.of(first)));
    let from_start = Some((Guess::Fixed(0), 0));
    let in_order = match clock {
        Clock::Media => [by_clock, from_start],
        _ => [from_start, by_clock],
    };
    let fits = in_order.into_iter().flatten().find(|(_, shift)| window.meets(cues, *shift));
    let first = cues.first().map_or(0, |cue| cue.start_ms);
    // A recording that began in the middle of a stream which tells nothing else: it begins with its first cue.
    fits.or(in_order[0])
        .map_or(Guess::Fixed(window.start_ms.saturating_sub(first)), |(guess, _)| guess)
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
            let anchor = Anchor { clock, film_ms: 0 };
            let shifts = Shift::default().of(map(mpegts, local), &[cue(cue_ms)], 0, window(window_ms), &[anchor]);
            assert_eq!(cue_ms + shifts.of(&cue(cue_ms)), film, "{what}");
        }
    }

    #[test]
    fn without_another_track_the_first_segment_is_the_beginning() {
        let mut shift = Shift::default();
        let mut of = |mpegts, cues: &[Cue], period, start| {
            let shifts = shift.of(map(mpegts, 0), cues, period, window(start), &[]);
            shifts.of(&cue(500))
        };
        assert_eq!(of(900_000, &[], 0, 0), 0);
        // A map for each segment.
        assert_eq!(of(1_440_000, &[cue(500)], 0, 6000), 6000);
        // A new period.
        assert_eq!(of(5000, &[cue(500)], 1, 12_000), 12_000);
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
            let anchors: Vec<Anchor> = anchor.into_iter().collect();
            let shifts = Shift::default().of(clock, &[cue(cue_ms)], 0, window(start), &anchors);
            assert_eq!(cue_ms + shifts.of(&cue(cue_ms)), film, "{what}");
        }
    }

    #[test]
    fn a_guess_holds_for_its_period() {
        let mut shift = Shift::default();
        let anchor = Anchor {
            clock: 3600 * 90_000,
            film_ms: 0,
        };
        let mut of = |at: Option<i64>, start| {
            let cues: Vec<Cue> = at.map(cue).into_iter().collect();
            let shifts = shift.of(Clock::Unbound, &cues, 0, window(start), &[anchor]);
            shifts.of(&cue(at.unwrap_or(0)))
        };
        assert_eq!(of(None, 0), 0);
        assert_eq!(of(Some(3_602_000), 0), -3_600_000);
        assert_eq!(of(Some(3_700_000), 6000), -3_600_000);
    }

    // The film begins at 10 s of the clock, which jumps at 12 s of the film.
    #[test]
    fn cues_behind_a_jump_stand_where_the_clock_is_that_they_count_by() {
        const HOUR: i64 = 3_600_000;
        for (what, jump, start, cue_ms, film) in [
            ("before a jump ahead", HOUR, 6000, 18_000, 8000),
            ("behind it", HOUR, 12_000, HOUR + 23_000, 13_000),
            ("behind it, on the clock of before", HOUR, 12_000, 23_000, 13_000),
            ("in a segment across it, before it", HOUR, 9000, 21_500, 11_500),
            ("in a segment across it, behind it", HOUR, 9000, HOUR + 23_000, 13_000),
            ("before a jump back", -9000, 6000, 18_000, 8000),
            ("behind it", -9000, 12_000, 14_000, 13_000),
            ("behind it, on the clock of before", -9000, 12_000, 23_000, 13_000),
            ("in a segment across a short jump back, before it", -2000, 9000, 19_500, 9500),
            ("in a segment across a short jump back, behind it", -2000, 9000, 21_500, 13_500),
            ("behind a short jump back", -2000, 12_000, 20_500, 12_500),
        ] {
            let anchors = [(10_000, 0), (22_000 + jump, 12_000)].map(|(clock_ms, film_ms)| Anchor {
                clock: clock_ms * 90,
                film_ms,
            });
            for clock in [map(0, 0), map(900_000, 10_000), Clock::Media] {
                let mut shift = Shift::default();
                // Of times that are bound to nothing, the first segment shows what they count from.
                shift.of(clock, &[cue(10_500)], 0, window(0), &anchors[..1]);
                let shifts = shift.of(clock, &[cue(cue_ms)], 0, window(start), &anchors);
                assert_eq!(cue_ms + shifts.of(&cue(cue_ms)), film, "{what}: {clock:?}");
            }
        }
    }

    #[test]
    fn a_segment_waits_for_the_pictures_beside_it_and_for_no_whole_film() {
        for (duration_ms, known) in [(6000, 17_000), (1000, 12_500), (0, 12_000), (7_200_000, 21_000)] {
            let window = Window {
                start_ms: 12_000,
                duration_ms,
            };
            assert_eq!(window.known_ms(), known, "{duration_ms}");
        }
    }
}
