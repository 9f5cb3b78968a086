//! Subtitle Renditions beside a film whose time stamps start over without a tag that announces it (RFC 8216, 3.5 and 4.3.2.3).

use std::{sync::mpsc, thread};

use aqueduct_core::{Mux, Presentation, Progress, Receiver, Stop, Track, TrackId, TrackKind, channel};
use aqueduct_mux::{Container, Origin, Output, SubtitleFormat, Subtitles, run as drive};

use crate::common::{Piece, bytes_of, folder, item, mux_with_breaks, run, store, times};

/// Segments of two seconds.
const SEGMENTS: usize = 6;

/// The first half of a stream, twice: what comes behind the jump is on the clock of the beginning.
fn film(name: &str) -> Vec<Piece> {
    let (mut pieces, again) = (folder(name), folder(name));
    let head = pieces.len() - SEGMENTS;
    pieces.truncate(head + SEGMENTS / 2);
    pieces.extend(again.into_iter().skip(head).take(SEGMENTS / 2));
    pieces
}

/// A cue half a second behind the beginning of each segment, on a clock that starts over after so many.
fn cues(first: u64, over_after: usize) -> Vec<Piece> {
    let segment = |number: usize| {
        let at = 2 * (number % over_after);
        format!(
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{first},LOCAL:00:00:00.000\n\n00:00:{at:02}.500 --> 00:00:{:02}.000\ncue {number}\n",
            at + 1
        )
    };
    (0..SEGMENTS).map(|number| Piece::Segment(segment(number).into())).collect()
}

/// The first time stamp of a stream, in ticks of 90 kHz.
fn first_time(name: &str) -> Option<u64> {
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, "source", &bytes_of(&crate::common::folder(name)));
    let entries = ["-v", "error", "-show_entries", "format=start_time", "-of", "csv=p=0", &path];
    let start: f64 = run("ffprobe", &entries)?.trim().parse().unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds")]
    Some((start * 90_000.0).round() as u64)
}

#[test]
fn cues_behind_a_jump_that_nothing_announced_are_beside_their_pictures() {
    for name in ["high-ts", "high-fmp4"] {
        let Some(first) = first_time(name) else { return };
        for container in [Container::Mp4, Container::Mkv] {
            for over_after in [SEGMENTS / 2, SEGMENTS] {
                for breaks in [&[][..], &[5, 7, 8]] {
                    let lanes = [(TrackKind::Main, film(name)), (TrackKind::Subtitles, cues(first, over_after))];
                    let (file, _) = mux_with_breaks(&lanes, container, breaks).unwrap();
                    let folder = tempfile::tempdir().unwrap();
                    let path = store(&folder, if container == Container::Mkv { "out.mkv" } else { "out.mp4" }, &file);
                    let (Some(found), Some(mut pictures)) = (times(&path, "s:0"), times(&path, "v:0")) else {
                        return;
                    };
                    pictures.sort_by(|a, b| a[1].total_cmp(&b[1]));
                    let found: Vec<f64> = found.iter().map(|[_, pts]| *pts).collect();
                    let text = run("ffmpeg", &["-v", "error", "-i", &path, "-map", "s:0", "-f", "webvtt", "-"]).unwrap();
                    assert_eq!(text.matches("-->").count(), SEGMENTS, "{text}");
                    let what = format!("{name} in {container:?}, cues over after {over_after}, breaks {breaks:?}: {text}");
                    for number in 0..SEGMENTS {
                        // The moment where the segment begins.
                        let picture = pictures[pictures.len() / SEGMENTS * number][1];
                        // In MP4 what is between two cues is a sample too.
                        let near = found.iter().any(|cue| (cue - picture - 0.5).abs() < 0.05);
                        assert!(near, "cue {number} behind {picture}: {what}");
                    }
                }
            }
        }
    }
}

/// A lane whose items come from a thread of their own, one at a time, after a word.
fn lane(number: u32, pieces: Vec<Piece>, go: mpsc::Receiver<()>) -> (TrackId, Receiver<aqueduct_core::Item<aqueduct_core::Clear>>) {
    let (sender, receiver) = channel(1);
    thread::spawn(move || {
        go.recv().unwrap();
        let (mut period, mut at) = (0, 0);
        for piece in pieces {
            if let Some(item) = item(number, at, Some(&piece), &mut period) {
                sender.send_blocking(item).unwrap();
            }
            at += 1;
        }
    });
    (TrackId::new(number), receiver)
}

/// Drives a muxer on a thread of its own.
fn driven<M: Mux>(
    muxer: M,
    kind: TrackKind,
    (track, inlet): (TrackId, Receiver<aqueduct_core::Item<aqueduct_core::Clear>>),
    path: std::path::PathBuf,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let presentation = Presentation::new(vec![Track::new(track, kind, "Name")]);
        let output = Output::file(&path, false).unwrap();
        let finished = drive(muxer, &presentation, vec![(track, inlet)], output, &Progress::new(), &Stop::new()).unwrap();
        finished.output.commit().unwrap();
    })
}

#[test]
fn a_file_of_subtitles_waits_for_its_film_and_the_film_for_nobody() {
    for (name, container) in [
        ("high-ts", Container::Mp4),
        ("high-ts", Container::Ts),
        ("high-fmp4", Container::Fmp4),
    ] {
        let Some(first) = first_time(name) else { return };
        for over_after in [SEGMENTS / 2, SEGMENTS] {
            let folder = tempfile::tempdir().unwrap();
            let main = container.muxer();
            let origin: Origin = main.origin();
            let (go_film, film_goes) = mpsc::channel();
            let (go_cues, cues_go) = mpsc::channel();
            let subtitles = Subtitles::new(SubtitleFormat::WebVtt, Some(origin));
            let cues_lane = lane(1, cues(first, over_after), cues_go);
            let watched = cues_lane.1.clone();
            let text = driven(subtitles, TrackKind::Subtitles, cues_lane, folder.path().join("out.vtt"));
            go_cues.send(()).unwrap();
            // The subtitles are as far ahead as their channel lets them be, and wait.
            while !watched.is_full() {
                thread::yield_now();
            }
            let film = driven(
                main,
                TrackKind::Main,
                lane(0, film(name), film_goes),
                folder.path().join("out.film"),
            );
            go_film.send(()).unwrap();
            film.join().unwrap();
            text.join().unwrap();
            let text = std::fs::read_to_string(folder.path().join("out.vtt")).unwrap();
            let starts: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(" --> ")?.0)).collect();
            let near = |start: &&str, number: usize| {
                let seconds: f64 = start.rsplit_once(':').unwrap().1.parse().unwrap();
                #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
                let expected = 2.0 * number as f64 + 0.5;
                (seconds - expected).abs() < 0.05
            };
            assert_eq!(starts.len(), SEGMENTS, "{text}");
            for (number, start) in starts.iter().enumerate() {
                assert!(near(start, number), "{name} in {container:?}, over after {over_after}: {text}");
            }
        }
    }
}
