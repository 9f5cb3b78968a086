//! What a Matroska file holds of streams that come in an order of their own.

use aqueduct_core::TrackKind;
use aqueduct_mux::{Container, SubtitleCoding};

use crate::common::{Piece, folder, mux_by, mux_with_breaks, run, store, times};

#[test]
fn subtitles_that_come_before_their_film_stand_where_they_should() {
    for lanes in [
        vec![(TrackKind::Main, folder("high-ts")), (TrackKind::Subtitles, folder("subs-en"))],
        vec![(TrackKind::Subtitles, folder("subs-en")), (TrackKind::Main, folder("high-ts"))],
    ] {
        let (file, _) = mux_with_breaks(&lanes, Container::Mkv, &[]).unwrap();
        let at = tempfile::tempdir().unwrap();
        let path = store(&at, "out.mkv", &file);
        let (Some(found), Some(pictures)) = (times(&path, "s:0"), times(&path, "v:0")) else {
            return;
        };
        // As the segments have them, whose LOCAL 0 is the first picture.
        let expected = [0.25, 2.25, 4.25, 6.25, 8.25, 10.25];
        assert_eq!(found.len(), expected.len());
        for ([_, found], expected) in found.iter().zip(expected) {
            let found = found - pictures[0][1];
            assert!((found - expected).abs() < 0.005, "{expected} became {found}");
        }
    }
}

#[test]
fn styles_are_in_the_head_although_the_first_cue_comes_late() {
    let style = "STYLE\n::cue { color: lime }";
    let mut subtitles = folder("subs-en");
    subtitles[0] = Piece::Segment(format!("WEBVTT\n\n{style}\n").into());
    let lanes = [(TrackKind::Main, folder("high-ts")), (TrackKind::Subtitles, subtitles)];
    let muxer = || Container::Mkv.muxer().with_subtitles(SubtitleCoding::Wvtt);
    let (file, _) = mux_by(&lanes, muxer, &[]).unwrap();
    let first_cue = file.windows(2).position(|bytes| bytes == b"1a").unwrap();
    let head = file.windows(style.len()).position(|bytes| bytes == style.as_bytes());
    assert!(head.is_some_and(|head| head < first_cue));
}

/// A segment of one video track with samples of these sizes, from this decode time on.
fn fragment(samples: &[usize], time: u32) -> Vec<u8> {
    let boxed = |kind: &[u8; 4], body: &[u8]| [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat();
    // ISO 14496-12 §8.8.7 and §8.8.8: the base is the moof; a default duration; a data offset, and a size for each sample.
    let tfhd = boxed(b"tfhd", &[0, 2, 0, 8, 0, 0, 0, 1, 0, 0, 2, 0]);
    let tfdt = boxed(b"tfdt", &[&[0; 4][..], &time.to_be_bytes()].concat());
    let trun = |offset: u32| {
        let mut body = vec![0, 0, 2, 1];
        for field in [u32::try_from(samples.len()).unwrap(), offset] {
            body.extend(field.to_be_bytes());
        }
        samples
            .iter()
            .for_each(|size| body.extend(u32::try_from(*size).unwrap().to_be_bytes()));
        boxed(b"trun", &body)
    };
    let moof = |offset| boxed(b"moof", &boxed(b"traf", &[&tfhd[..], &tfdt, &trun(offset)].concat()));
    let offset = u32::try_from(moof(0).len() + 8).unwrap();
    [moof(offset), boxed(b"mdat", &vec![0; samples.iter().sum()])].concat()
}

#[test]
fn sound_is_waited_for_however_large_the_first_segment_of_the_pictures_is() {
    // It brings its initialization section itself, so that it comes before anything is known of the sound.
    let Piece::Init(init) = folder("video-fmp4").remove(0) else {
        panic!("no initialization section")
    };
    let pictures = vec![Piece::Segment([init, fragment(&[1 << 20; 100], 0)].concat())];
    let lanes = [(TrackKind::Main, pictures), (TrackKind::Audio, folder("main-audio-fmp4"))];
    for (container, sound) in [(Container::Mkv, &b"A_AAC"[..]), (Container::Fmp4, b"mp4a")] {
        let (file, summary) = mux_with_breaks(&lanes, container, &[]).unwrap();
        let notes = summary.notes.join("; ");
        assert!(!notes.contains("not in the file"), "{notes}");
        assert!(file.windows(sound.len()).any(|bytes| bytes == sound), "{container:?}");
    }
}

#[test]
fn a_range_of_missing_segments_takes_the_time_of_all_of_them() {
    /// Of the track (`mdhd`), whose samples last 512 here.
    const TIMESCALE: u32 = 12_288;
    let Piece::Init(init) = folder("video-fmp4").remove(0) else {
        panic!("no initialization section")
    };
    for container in [Container::Mkv, Container::Mp4] {
        // Two seconds, twenty that are missing, and what comes then.
        let pieces = vec![
            Piece::Segment([init.clone(), fragment(&[10; 48], 0)].concat()),
            Piece::Gaps(10),
            Piece::Segment(fragment(&[10; 48], 22 * TIMESCALE)),
        ];
        let (_, summary) = mux_with_breaks(&[(TrackKind::Main, pieces)], container, &[]).unwrap();
        assert_eq!(summary.notes, [""; 0], "{container:?}");
    }
}

#[test]
fn a_cue_that_the_packager_cut_at_every_boundary_is_one_block() {
    let head = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:133500,LOCAL:00:00:00.000\n\n";
    // From 0.5 to 4.7 s, from 5 to 6 s in two segments of 2 s each, and one that says the time of a word of its own.
    let cues = [
        "00:00.500 --> 00:02.000\nlong\n",
        "00:02.000 --> 00:04.000\nlong\n",
        "00:04.000 --> 00:04.700\nlong\n\n00:05.000 --> 00:06.000\nshort\n",
        "00:06.000 --> 00:06.500\nshort\n\n00:07.000 --> 00:07.500\n<00:07.250>word\n",
        "",
        "",
    ];
    let subtitles = cues.map(|cues| Piece::Segment(format!("{head}{cues}").into())).into();
    let lanes = [(TrackKind::Main, folder("high-ts")), (TrackKind::Subtitles, subtitles)];
    let muxer = || Container::Mkv.muxer().with_subtitles(SubtitleCoding::Wvtt);
    for breaks in [&[][..], &[1, 3, 5, 7]] {
        let (file, _) = mux_by(&lanes, muxer, breaks).unwrap();
        let at = tempfile::tempdir().unwrap();
        let path = store(&at, "out.mkv", &file);
        let entries = "packet=pts_time,duration_time";
        let arguments = [
            "-v",
            "error",
            "-select_streams",
            "s:0",
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            &path,
        ];
        let (Some(found), Some(pictures)) = (run("ffprobe", &arguments), times(&path, "v:0")) else {
            return;
        };
        let found: Vec<(f64, f64)> = found
            .lines()
            .filter_map(|line| line.trim_end_matches(',').split_once(','))
            .map(|(at, long)| (at.parse::<f64>().unwrap() - pictures[0][1], long.parse().unwrap()))
            .collect();
        let expected = [(0.5, 4.2), (5.0, 1.5), (7.0, 0.5)];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            let near = |a: f64, b: f64| (a - b).abs() < 0.005;
            assert!(
                near(found.0, expected.0) && near(found.1, expected.1),
                "{expected:?} became {found:?}"
            );
        }
        // Times within the text of a block count from its beginning (matroska.org, "WebVTT").
        let text = b"<00:00:00.250>word";
        assert!(file.windows(text.len()).any(|bytes| bytes == text));
    }
}
