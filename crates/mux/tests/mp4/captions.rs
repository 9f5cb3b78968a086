//! Captions inside the pictures as a track of text: the cues are those that ffmpeg finds in the source.

use aqueduct_core::{ClosedCaptions, Presentation, TrackKind};
use aqueduct_mux::{CaptionChannel, Container};

use crate::common::{Piece, bytes_of, folder, judge, mux_by, mux_told, run, store};

const FOLDERS: [&str; 3] = ["captions-ts", "captions-fmp4", "captions-hevc-fmp4"];

fn lanes(of: &str) -> [(TrackKind, Vec<Piece>); 1] {
    [(TrackKind::Main, folder(of))]
}

/// Beginnings and ends in seconds, and texts without their looks, of SubRip.
fn cues(srt: &str) -> Vec<(f64, f64, String)> {
    let seconds = |text: &str| -> f64 {
        let parts = text.trim().replace(',', ".");
        parts.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    };
    let cue = |block: &str| {
        let (times, text) = block.split_once('\n')?.1.split_once('\n')?;
        let (start, end) = times.split_once(" --> ")?;
        let text = text.replace(r"{\an7}", "").replace('\r', "");
        let plain: String = text
            .split('<')
            .map(|part| part.split_once('>').map_or(part, |(_, text)| text))
            .collect();
        Some((seconds(start), seconds(end), plain))
    };
    srt.split("\n\n").filter_map(|block| cue(block.trim())).collect()
}

/// The first track of text.
fn track(file: &str) -> Option<Vec<(f64, f64, String)>> {
    run("ffmpeg", &["-v", "error", "-i", file, "-map", "0:s:0", "-f", "srt", "-"]).map(|srt| cues(&srt))
}

/// What ffmpeg's own decoder finds in the pictures of a file, in a field.
fn expected(file: &str, field: &str) -> Option<Vec<(f64, f64, String)>> {
    let movie = format!("movie={file}[out0+subcc]");
    let arguments = [
        "-v",
        "error",
        "-data_field",
        field,
        "-f",
        "lavfi",
        "-i",
        &movie,
        "-map",
        "0:s",
        "-f",
        "srt",
        "-",
    ];
    run("ffmpeg", &arguments).map(|srt| cues(&srt))
}

#[test]
fn the_cues_are_those_that_ffmpeg_finds_in_the_pictures() {
    let at = tempfile::tempdir().unwrap();
    for of in FOLDERS {
        let extension = if of.ends_with("ts") { "ts" } else { "mp4" };
        let source = store(&at, &format!("source.{extension}"), &bytes_of(&folder(of)));
        // For ffmpeg a line begins with the carriage return in front of it, and for us with its first letter.
        for (channel, field, room) in [(CaptionChannel::Cc1, "first", 0.003), (CaptionChannel::Cc3, "second", 0.09)] {
            for (container, name) in [(Container::Mp4, "out.mp4"), (Container::Mkv, "out.mkv")] {
                let muxer = || container.muxer().with_captions(Some(channel));
                let (file, summary) = mux_by(&lanes(of), muxer, &[]).unwrap();
                assert!(summary.notes.iter().all(|note| !note.contains("captions")), "{:?}", summary.notes);
                let out = store(&at, name, &file);
                let (Some(expected), Some(found)) = (expected(&source, field), track(&out)) else {
                    return;
                };
                let what = format!("{of} {channel:?} {name}: {found:?}");
                assert!(expected.len() >= 5, "ffmpeg finds {expected:?}");
                // What is shown at the end has no end for ffmpeg.
                assert!((expected.len()..=expected.len() + 1).contains(&found.len()), "{what}");
                for ((start, end, text), expected) in found.iter().zip(expected) {
                    assert!((start - expected.0).abs() < room && (end - expected.1).abs() < 0.003, "{what}");
                    assert_eq!(*text, expected.2, "{what}");
                }
            }
        }
    }
}

#[test]
fn the_pictures_stay_as_they_are_and_the_index_stands_in_front() {
    for of in FOLDERS {
        let muxer = || Container::Mp4.muxer().with_captions(Some(CaptionChannel::Cc1));
        let (file, _) = mux_by(&lanes(of), muxer, &[]).unwrap();
        let index = file.windows(4).position(|bytes| bytes == b"moov");
        assert!(index < file.windows(4).position(|bytes| bytes == b"mdat"), "{of}");
        // Its filters are those of H.264.
        if !of.contains("hevc") {
            judge(&file, &[("v", bytes_of(&folder(of)))]);
        }
    }
}

#[test]
fn a_muxer_that_was_put_aside_goes_on_as_if_nothing_had_been() {
    for of in FOLDERS {
        for container in [Container::Mp4, Container::Mkv] {
            let muxer = || container.muxer().with_captions(Some(CaptionChannel::Cc3));
            let (whole, _) = mux_by(&lanes(of), muxer, &[]).unwrap();
            let (taken_up, _) = mux_by(&lanes(of), muxer, &[0, 1, 2, 3, 4, 5]).unwrap();
            assert!(whole == taken_up, "{of} {container:?}");
        }
    }
}

#[test]
fn pictures_without_captions_leave_no_track_and_a_word() {
    for (of, channel, word) in [
        ("high-ts", CaptionChannel::Cc1, "the pictures have none in CC1, and no others"),
        (
            "captions-ts",
            CaptionChannel::Cc2,
            "the pictures have none in CC2, and those of CC1 and CC3",
        ),
        // Nobody looked into pictures.
        ("main-audio-ts", CaptionChannel::Cc1, "there is no H.264 or HEVC"),
    ] {
        for (container, name) in [(Container::Mp4, "out.mp4"), (Container::Mkv, "out.mkv")] {
            let muxer = || container.muxer().with_captions(Some(channel));
            let (file, summary) = mux_by(&lanes(of), muxer, &[]).unwrap();
            assert!(summary.notes.iter().any(|note| note.contains(word)), "{:?}", summary.notes);
            let at = tempfile::tempdir().unwrap();
            let out = store(&at, name, &file);
            let kinds = ["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", &out];
            let Some(kinds) = run("ffprobe", &kinds) else { return };
            assert!(!kinds.trim().is_empty() && !kinds.contains("subtitle"), "{name}: {kinds}");
        }
    }
}

#[test]
fn captions_of_another_period_stand_where_its_pictures_do() {
    let mut pieces = folder("captions-ts");
    pieces.push(Piece::Discontinuity);
    pieces.extend(folder("captions-ts"));
    let lanes = [(TrackKind::Main, pieces)];
    for (container, name) in [(Container::Mp4, "out.mp4"), (Container::Mkv, "out.mkv")] {
        let muxer = || container.muxer().with_captions(Some(CaptionChannel::Cc1));
        let (file, _) = mux_by(&lanes, muxer, &[]).unwrap();
        let at = tempfile::tempdir().unwrap();
        let Some(found) = track(&store(&at, name, &file)) else { return };
        let starts: Vec<f64> = found.iter().map(|(start, ..)| (start * 100.0).round() / 100.0).collect();
        let expected: Vec<f64> = (0..12).map(|number| f64::from(number) * 2.0 + 0.25).collect();
        assert_eq!(starts, expected, "{name}");
    }
}

#[test]
fn the_track_is_called_as_the_playlist_calls_it() {
    let told = |presentation: &mut Presentation| {
        let mut german = ClosedCaptions::new("CC3", "Deutsch");
        german.language = Some("de-CH".into());
        presentation.tracks[0].captions = vec![ClosedCaptions::new("CC1", ""), german];
    };
    for (channel, name, language) in [(CaptionChannel::Cc3, "Deutsch", "ger"), (CaptionChannel::Cc1, "CC1", "und")] {
        let muxer = || Container::Mkv.muxer().with_captions(Some(channel));
        let (file, _) = mux_told(&lanes("captions-ts"), told, muxer, &[]).unwrap();
        let at = tempfile::tempdir().unwrap();
        let out = store(&at, "out.mkv", &file);
        let tags = [
            "-v",
            "error",
            "-select_streams",
            "s:0",
            "-show_entries",
            "stream_tags=language,title",
            "-of",
            "csv=p=0",
            &out,
        ];
        let Some(tags) = run("ffprobe", &tags) else { return };
        let tags = tags.trim();
        assert!(tags.ends_with(name) && (language == "und" || tags.starts_with(language)), "{tags}");
    }
}

#[test]
fn what_has_no_place_for_captions_refuses_them() {
    for container in [Container::Ts, Container::Fmp4, Container::M4a, Container::Raw, Container::Hls] {
        let muxer = || container.muxer().with_captions(Some(CaptionChannel::Cc1));
        let refused = mux_by(&lanes("captions-ts"), muxer, &[]).unwrap_err().to_string();
        assert!(refused.contains("captions stay in the video"), "{container:?}: {refused}");
    }
    for container in [Container::Mp4, Container::Mkv, Container::from_extension("srt").unwrap()] {
        let muxer = || container.muxer().with_captions(Some(CaptionChannel::Cc1));
        let file = [(TrackKind::File, vec![Piece::Segment(bytes_of(&folder("captions-fmp4")))])];
        assert!(mux_by(&file, muxer, &[]).is_err(), "a plain file to {container:?}");
    }
}

#[test]
fn a_file_of_captions_goes_on_behind_a_jump_of_the_clock() {
    let expected: Vec<f64> = (0..12).map(|number| f64::from(number) * 2.0 + 0.25).collect();
    for of in FOLDERS {
        for announced in [false, true] {
            let mut pieces = folder(of);
            if announced {
                pieces.push(Piece::Discontinuity);
            }
            pieces.extend(folder(of));
            let lanes = [(TrackKind::Main, pieces)];
            let muxer = || {
                let container = Container::from_extension("srt").unwrap();
                container.muxer().with_captions(Some(CaptionChannel::Cc1))
            };
            let (file, _) = mux_by(&lanes, muxer, &[]).unwrap();
            let (taken_up, _) = mux_by(&lanes, muxer, &[4, 5, 6, 7]).unwrap();
            assert!(file == taken_up, "{of}");
            let found = cues(&String::from_utf8(file).unwrap());
            let starts: Vec<f64> = found.iter().map(|(start, ..)| (start * 100.0).round() / 100.0).collect();
            assert_eq!(starts, expected, "{of}, {announced}");
        }
    }
}

#[test]
fn a_hole_that_the_playlist_knows_of_is_no_jump() {
    let mut pieces = folder("captions-ts");
    let hole = 1..5;
    for piece in &mut pieces[hole] {
        *piece = Piece::Gap;
    }
    let muxer = || {
        let container = Container::from_extension("srt").unwrap();
        container.muxer().with_captions(Some(CaptionChannel::Cc1))
    };
    let (file, _) = mux_by(&[(TrackKind::Main, pieces)], muxer, &[]).unwrap();
    let found = cues(&String::from_utf8(file).unwrap());
    let starts: Vec<f64> = found.iter().map(|(start, ..)| (start * 100.0).round() / 100.0).collect();
    assert_eq!(starts.first(), Some(&0.25));
    assert_eq!(starts.last(), Some(&10.25));
}
