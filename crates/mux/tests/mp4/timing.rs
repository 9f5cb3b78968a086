//! Times of tracks that start over, leave holes, or end apart.

use aqueduct_core::TrackKind;

use super::common::{Piece, assert_monotonic, bytes_of, folder, judge, mux, probe, some};

#[test]
fn renditions_are_joined_by_their_time_stamps() {
    let pairs = [
        ("video-ts", "main-audio-ts"),
        ("video-fmp4", "main-audio-fmp4"),
        ("video-ts", "alt-audio-ts"),
    ];
    for (video, audio) in pairs {
        let (file, summary) = mux(&[(TrackKind::Main, folder(video)), (TrackKind::Audio, folder(audio))]).unwrap();
        assert_eq!(summary.notes, [""; 0], "{video} and {audio}");
        judge(&file, &[("v:0", bytes_of(&folder(video))), ("a:0", bytes_of(&folder(audio)))]);
    }
}

#[test]
fn time_stamps_that_start_over_go_on_and_sound_stays_with_its_picture() {
    // 48 pictures and 94 frames of sound a segment, by ffprobe.
    for (first, second) in [("high-ts", "high-ts"), ("high-ts", "low-ts")] {
        let mut pieces = some(first, 0..2);
        pieces.push(Piece::Discontinuity);
        pieces.extend(some(second, 0..2));
        let (file, summary) = mux(&[(TrackKind::Main, pieces)]).unwrap();
        assert_eq!(summary.notes, [""; 0]);
        let Some([video, audio]) = probe(&file) else { return };
        assert_eq!(video.len(), 4 * 48);
        assert_monotonic(&video);
        assert_monotonic(&audio);
        let offset = |video: [f64; 2], audio: [f64; 2]| video[1] - audio[1];
        let (before, after) = (offset(video[0], audio[0]), offset(video[96], audio[audio.len() / 2]));
        assert!((before - after).abs() < 1e-4, "{before} s apart before, {after} s after");
        // The next period begins within a frame of sound of where the last ended.
        let hole = video[96][0] - video[95][0] - 1.0 / 24.0;
        assert!((-1e-4..0.03).contains(&hole), "a hole of {hole} s");
    }
}

#[test]
fn a_missing_segment_leaves_its_time_empty() {
    let mut pieces = some("high-ts", 0..1);
    pieces.push(Piece::Gap);
    pieces.extend(some("high-ts", 2..4));
    let (file, summary) = mux(&[(TrackKind::Main, pieces)]).unwrap();
    assert_eq!(summary.notes, [""; 0]);
    let Some([video, audio]) = probe(&file) else { return };
    assert_eq!(video.len(), 3 * 48);
    assert!((video[48][0] - video[47][0] - 2.0 - 1.0 / 24.0).abs() < 1e-4);
    assert_monotonic(&audio);
}

#[test]
fn a_segment_that_no_tag_says_is_missing_leaves_a_hole_that_is_counted() {
    let mut pieces = folder("high-ts");
    pieces.remove(2);
    let (file, summary) = mux(&[(TrackKind::Main, pieces)]).unwrap();
    let told: Vec<_> = summary.notes.iter().filter(|note| note.contains("holes")).collect();
    let [note] = &told[..] else { panic!("{:?}", summary.notes) };
    let seconds = note
        .strip_prefix("file: 2 holes in the time of tracks, ")
        .and_then(|rest| rest.strip_suffix(" s together"));
    let seconds: f64 = seconds.unwrap().parse().unwrap();
    let Some(tracks) = probe(&file) else { return };
    let widest = tracks.iter().zip([1.0 / 24.0, 1024.0 / 48_000.0]).map(|(times, step)| {
        let steps = times.windows(2).map(|pair| pair[1][0] - pair[0][0]);
        steps.fold(0.0, f64::max) - step
    });
    let holes: f64 = widest.sum();
    assert!((seconds - holes).abs() < 2e-3, "{seconds} s, and ffprobe says {holes}");
}

#[test]
fn sound_that_ends_long_before_its_pictures_is_told() {
    // Audio of the last 4 s is missing: 94 frames a segment.
    let lanes = [
        (TrackKind::Main, folder("video-ts")),
        (TrackKind::Audio, some("main-audio-ts", 0..4)),
    ];
    let (file, summary) = mux(&lanes).unwrap();
    let [note] = &summary.notes[..] else {
        panic!("{:?}", summary.notes)
    };
    let seconds = note
        .strip_prefix("track 1: sound ends ")
        .and_then(|rest| rest.strip_suffix(" s before the pictures"));
    let seconds: f64 = seconds.unwrap().parse().unwrap();
    let Some([video, audio]) = probe(&file) else { return };
    let ends = video.iter().map(|[_, pts]| pts + 1.0 / 24.0).fold(0.0, f64::max) - audio.last().unwrap()[1] - 1024.0 / 48_000.0;
    assert!((seconds - ends).abs() < 2e-3, "{seconds} s, and ffprobe says {ends}");
}
