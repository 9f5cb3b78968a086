//! Codecs and their parameters that change without a discontinuity, as inserted advertisements make them.

use std::{collections::BTreeSet, fs};

use aqueduct_core::{MuxError, TrackKind};
use aqueduct_mux::{Container, Split};

use crate::{
    codecs::{Case, Packaging, encode},
    common::{Piece, assert_monotonic, decode, entries_of, files, folder, mux, mux_with_breaks, run, store, times},
};

/// What comes first, and what follows it on the same clock; with how many pictures ffmpeg makes of each.
const PICTURES: usize = 35;
const BEFORE: Case = Case {
    name: "change-before",
    sources: &[
        "testsrc2=s=128x96:r=25:d=1.4",
        "sine=f=440:r=48000:d=1.4,aformat=channel_layouts=stereo",
    ],
    encoder: &["-c:v", "libx264", "-bf", "2", "-g", "12", "-c:a", "aac"],
    packaging: Packaging::Ts(&["-streamid", "0:256", "-streamid", "1:257"]),
    streams: &[],
};
const LATER: Packaging = Packaging::Ts(&["-output_ts_offset", "1.5"]);

struct Change {
    case: Case,
    /// What ffprobe calls the sound and the pictures from there on.
    video: &'static str,
    audio: &'static str,
}

fn changes() -> Vec<Change> {
    let case = |name, sources, encoder| Case {
        name,
        sources,
        encoder,
        packaging: LATER,
        streams: &[],
    };
    vec![
        Change {
            case: case(
                "change-of-size",
                &[
                    "testsrc2=s=192x108:r=25:d=1.4",
                    "sine=f=550:r=48000:d=1.4,aformat=channel_layouts=stereo",
                ],
                &["-c:v", "libx264", "-bf", "2", "-g", "12", "-c:a", "aac"],
            ),
            video: "h264,192,108",
            audio: "aac,48000,2",
        },
        Change {
            case: case(
                "change-of-rate",
                &[
                    "testsrc2=s=128x96:r=25:d=1.4",
                    "sine=f=550:r=44100:d=1.4,aformat=channel_layouts=mono",
                ],
                &["-c:v", "libx264", "-bf", "2", "-g", "12", "-c:a", "aac"],
            ),
            video: "h264,128,96",
            audio: "aac,44100,1",
        },
        Change {
            case: case(
                "change-of-codec",
                &[
                    "testsrc2=s=128x96:r=25:d=1.4",
                    "sine=f=550:r=48000:d=1.4,aformat=channel_layouts=stereo",
                ],
                &[
                    "-c:v",
                    "libx265",
                    "-preset",
                    "ultrafast",
                    "-x265-params",
                    "log-level=error:keyint=12",
                    "-c:a",
                    "aac",
                ],
            ),
            video: "hevc,128,96",
            audio: "aac,48000,2",
        },
    ]
}

fn segment(case: &Case) -> Option<(String, Vec<u8>)> {
    let path = encode(case)?;
    let bytes = fs::read(&path).unwrap();
    Some((path, bytes))
}

/// What ffprobe says of a stream, without repetitions.
fn told(path: &str, stream: &str) -> Option<String> {
    let text = entries_of(path, stream, "stream=codec_name,width,height,sample_rate,channels")?;
    let lines: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    Some(lines.into_iter().collect::<Vec<_>>().join("; "))
}

#[test]
fn a_change_that_nothing_announces_gets_another_sample_entry() {
    let Some((before, first)) = segment(&BEFORE) else { return };
    for Change { case, video, audio } in changes() {
        let Some((after, second)) = segment(&case) else { continue };
        let lanes = [(TrackKind::Main, vec![Piece::Segment(first.clone()), Piece::Segment(second)])];
        let (file, summary) = mux(&lanes).unwrap();
        assert_eq!(summary.notes, [""; 0], "{}", case.name);
        assert!(mux_with_breaks(&lanes, Container::Mp4, &[0]).unwrap().0 == file, "{}", case.name);
        let at = tempfile::tempdir().unwrap();
        let path = store(&at, "out.mp4", &file);
        for stream in ["v:0", "a:0"] {
            let sources = [&before, &after].map(|source| times(source, stream));
            let [Some(one), Some(other)] = sources else { return };
            // ffprobe knows one codec to a track, and says so of the second.
            let Some(found) = (if case.name == "change-of-codec" && stream == "v:0" {
                None
            } else {
                times(&path, stream)
            }) else {
                continue;
            };
            assert_monotonic(&found);
            let expected = [one, other].concat();
            assert_eq!(found.len(), expected.len(), "{} {stream}", case.name);
            for (found_at, expected_at) in found.iter().zip(&expected) {
                let apart = (found_at[1] - found[0][1]) - (expected_at[1] - expected[0][1]);
                assert!(apart.abs() < 0.03, "{} {stream}: {apart} s apart", case.name);
            }
        }
        let entry = |kind: &[u8]| file.windows(4).filter(|window| *window == kind).count();
        let (size, rate) = (!video.ends_with("128,96"), !audio.starts_with("aac,48000"));
        let expected = (1 + usize::from(size), 1 + usize::from(rate), usize::from(video.starts_with("hevc")));
        assert_eq!((entry(b"avc1"), entry(b"mp4a"), entry(b"hvc1")), expected, "{}", case.name);
        if size {
            let frames = [
                "-v",
                "error",
                "-select_streams",
                "v",
                "-show_entries",
                "frame=width",
                "-of",
                "csv=p=0",
                &path,
            ];
            let Some(text) = run("ffprobe", &frames) else { return };
            let widths: Vec<&str> = text
                .lines()
                .map(|line| line.trim_end_matches(','))
                .filter(|line| !line.is_empty())
                .collect();
            assert_eq!(widths, [["128"; PICTURES], ["192"; PICTURES]].concat());
        }
        if video.starts_with("h264") {
            decode(&path);
        }
    }
}

#[test]
fn what_cannot_follow_a_change_names_what_can_and_that_does() {
    let Some((_, first)) = segment(&BEFORE) else { return };
    for Change { case, video, audio } in changes() {
        let Some((_, second)) = segment(&case) else { continue };
        let pieces = || {
            vec![
                Piece::Segment(first.clone()),
                Piece::Segment(first.clone()),
                Piece::Segment(second.clone()),
            ]
        };
        for (container, name) in [(Container::Fmp4, "out.mp4"), (Container::Mkv, "out.mkv")] {
            let lanes = [(TrackKind::Main, pieces())];
            match mux_with_breaks(&lanes, container, &[]) {
                Err(MuxError::Unsupported { what }) => assert!(what.contains(".mp4") && what.contains("--split changes"), "{what}"),
                // Matroska follows within a codec: H.264 may have its parameter sets in the pictures.
                made => assert!(
                    container == Container::Mkv && case.name == "change-of-size" && made.is_ok(),
                    "{}",
                    case.name
                ),
            }
            let (files, summary) = files(Split::new(container.muxer()).at_changes(true), &lanes, &[0; 3]);
            assert_eq!(files.len(), 2, "{}", case.name);
            assert_eq!(summary.notes.last().unwrap(), "2 files, one for each discontinuity or change");
            let at = tempfile::tempdir().unwrap();
            for ((_, file), (video, audio)) in files.iter().zip([("h264,128,96", "aac,48000,2"), (video, audio)]) {
                let path = store(&at, name, file);
                let Some(found) = told(&path, "v") else { return };
                assert_eq!(
                    (found.as_str(), told(&path, "a").unwrap().as_str()),
                    (video, audio),
                    "{}",
                    case.name
                );
                decode(&path);
            }
        }
    }
}

#[test]
fn a_split_at_changes_is_one_for_all_tracks() {
    let change = |first: &str, second: &str| {
        let mut pieces: Vec<Piece> = folder(first).into_iter().take(2).collect();
        pieces.extend(folder(second).into_iter().skip(2).take(2));
        pieces
    };
    // Pictures of another size, and sound that is as it was; one behind the other, and in turn.
    let lanes = [
        (TrackKind::Main, change("high-ts", "low-ts")),
        (TrackKind::Audio, folder("main-audio-ts").into_iter().take(4).collect()),
    ];
    for turns in [[0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 0, 1, 1, 1]] {
        let (files, _) = files(Split::new(Container::Mp4.muxer()).at_changes(true), &lanes, &turns);
        assert_eq!(files.len(), 2);
        let at = tempfile::tempdir().unwrap();
        for (name, file) in &files {
            let path = store(&at, name, file);
            for (stream, packets) in [("v:0", 96), ("a:1", 188)] {
                let Some(found) = times(&path, stream) else { return };
                assert!(found.len().abs_diff(packets) < 2, "{name} {stream}: {}", found.len());
            }
        }
    }
    // Nothing changes, and without the word nothing is cut.
    let plain = [(TrackKind::Main, folder("high-ts").into_iter().take(3).collect())];
    assert_eq!(
        files(Split::new(Container::Ts.muxer()).at_changes(true), &plain, &[0; 3]).0.len(),
        1
    );
    assert_eq!(files(Split::new(Container::Mp4.muxer()), &lanes[..1], &[0; 4]).0.len(), 1);
}

#[test]
fn a_change_of_container_or_of_the_initialization_section_is_one() {
    let of = |name: &str, count| folder(name).into_iter().take(count).collect::<Vec<_>>();
    for (first, second) in [("high-ts", "high-fmp4"), ("high-fmp4", "low-fmp4"), ("high-fmp4", "high-ts")] {
        let mut pieces = of(first, 2);
        pieces.extend(of(second, 3));
        let (files, _) = files(
            Split::new(Container::Fmp4.muxer()).at_changes(true),
            &[(TrackKind::Main, pieces)],
            &[0; 5],
        );
        assert_eq!(files.len(), 2, "{first} to {second}");
    }
    // The same section again is none.
    let mut pieces = of("high-fmp4", 2);
    pieces.extend(
        of("high-fmp4", 4)
            .into_iter()
            .enumerate()
            .filter(|(at, _)| *at != 1)
            .map(|(_, piece)| piece),
    );
    let (files, _) = files(
        Split::new(Container::Fmp4.muxer()).at_changes(true),
        &[(TrackKind::Main, pieces)],
        &[0; 5],
    );
    assert_eq!(files.len(), 1);
}
