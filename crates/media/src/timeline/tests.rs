//! The rules, one by one, and that decode times always grow.

use proptest::prelude::*;

use super::*;
use crate::time::MPEG_WRAP;

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
fn what_is_passed_over_is_no_jump_and_the_shift_of_its_period_goes_on() {
    let run = |passed: bool| {
        let mut timeline = Timeline::default();
        let mut all = Vec::new();
        let segment = |number: i64| (0..50).map(move |n| (number * 50 + n) * 3600);
        // The second period starts over, an hour of it is passed over, and the third does so again.
        for (period, number) in [(0, 0), (1, 0)].into_iter().chain((1..1800).map(|n| (1, n))).chain([(2, 0)]) {
            if passed && period == 1 && (2..1798).contains(&number) {
                continue;
            }
            if passed && number == 1798 {
                timeline.skip(VIDEO);
            }
            let times = segment(number).map(|dts| place(&mut timeline, VIDEO, period, dts));
            let times: Vec<i64> = times.collect();
            all.push(((period, number), times));
        }
        assert_eq!((timeline.stats().jumps, timeline.stats().holes), (0, 0));
        all
    };
    let whole = run(false);
    for (segment, times) in run(true) {
        assert!(whole.contains(&(segment, times)), "{segment:?}");
    }
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
