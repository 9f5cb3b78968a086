//! The MP4 muxer on real media: the packets of the file are those of the source, as ffprobe and ffmpeg read them.
//!
//! Expected values come from ffprobe run on the source. Where ffmpeg is not installed, what only it can judge is
//! skipped, and says so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod carried;
mod changes;
mod codecs;
mod common;
mod cut;
mod fragments;
mod garbage;
mod matroska;
mod messages;
mod overlaps;
mod pictures;
mod split;
mod told;
mod transport;

use std::{
    fs,
    path::{Path, PathBuf},
};

use aqueduct_core::{Mux, Presentation, TrackKind};
use aqueduct_mux::{AudioCodec, Container, Mp4Muxer};
use proptest::prelude::*;

use common::{Piece, decode, mux, mux_with_breaks, run, store};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-server/media")
}

/// All segments of a folder, with its initialization section.
fn folder(name: &str) -> Vec<Piece> {
    let folder = fixtures().join(name);
    let init = fs::read(folder.join("init.mp4")).ok().map(Piece::Init);
    let extension = match init {
        Some(_) => "m4s",
        None if name.starts_with("subs-") => "vtt",
        None => "ts",
    };
    let segments = (0..).map_while(|n| fs::read(folder.join(format!("{n}.{extension}"))).ok());
    init.into_iter().chain(segments.map(Piece::Segment)).collect()
}

/// Decode and presentation times in seconds of each packet of a stream.
fn times(path: &str, stream: &str) -> Option<Vec<[f64; 2]>> {
    let entries = "packet=dts_time,pts_time";
    let text = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            path,
        ],
    )?;
    let lines = text.lines().filter(|line| !line.trim_matches(',').is_empty());
    Some(
        lines
            .map(|line| {
                // Matroska has no decode times.
                let mut fields = line
                    .split(',')
                    .map(|field| if field == "N/A" { f64::NAN } else { field.parse().unwrap() });
                let (pts, dts) = (fields.next().unwrap(), fields.next().unwrap());
                [dts, pts]
            })
            .collect(),
    )
}

fn digest(path: &str, stream: &str, filter: &str) -> Option<String> {
    let (map, bsf) = (format!("0:{stream}"), format!("-bsf:{}", &stream[..1]));
    run(
        "ffmpeg",
        &[
            "-v", "error", "-i", path, "-map", &map, "-c", "copy", &bsf, filter, "-f", "md5", "-",
        ],
    )
}

fn bytes_of(pieces: &[Piece]) -> Vec<u8> {
    pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Init(bytes) | Piece::Segment(bytes) => bytes.clone(),
            Piece::Gap | Piece::Gaps(_) | Piece::Discontinuity => Vec::new(),
        })
        .collect()
}

/// Streams of the file must have the packets of the sources, at the same times relative to the first.
fn judge(file: &[u8], sources: &[(&str, Vec<u8>)]) {
    judge_as("out.mp4", file, sources);
}

/// The same for a file of any name.
fn judge_as(name: &str, file: &[u8], sources: &[(&str, Vec<u8>)]) {
    const VIDEO: &str = "h264_mp4toannexb,filter_units=pass_types=1-5";
    const AUDIO: &str = "aac_adtstoasc";
    let folder = tempfile::tempdir().unwrap();
    let file = store(&folder, name, file);
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for (number, (stream, source)) in sources.iter().enumerate() {
        let source = store(&folder, &format!("source-{number}"), source);
        let filter = if stream.starts_with('v') { VIDEO } else { AUDIO };
        assert_eq!(digest(&file, stream, filter), digest(&source, stream, filter), "{stream}");
        let (Some(from), Some(to)) = (times(&source, stream), times(&file, stream)) else {
            return;
        };
        assert_eq!(to.len(), from.len(), "packets of {stream}");
        expected.extend(from);
        found.extend(to);
    }
    let first = |times: &[[f64; 2]]| times.iter().map(|[_, pts]| *pts).fold(f64::INFINITY, f64::min);
    let (expected_zero, found_zero) = (first(&expected), first(&found));
    for (expected, found) in expected.iter().zip(&found) {
        // Matroska has no decode times.
        let skip = usize::from(name.ends_with(".mkv"));
        for (expected, found) in expected.iter().zip(found).skip(skip) {
            let apart = (expected - expected_zero) - (found - found_zero);
            // A tick of 48 kHz, or of MPEG-TS for each side, and what ffprobe rounds.
            let tick = if name.ends_with(".mp4") { 1.0 / 48_000.0 } else { 2.0 / 90_000.0 };
            assert!(apart.abs() <= tick + 2e-6, "{expected} became {found} in {name}");
        }
    }
    decode(&file);
}

#[test]
fn the_packets_are_those_of_the_source() {
    let muxed = [
        ("high-ts", ["v:0", "a:0"]),
        ("low-ts", ["v:0", "a:0"]),
        ("high-fmp4", ["v:0", "a:0"]),
        ("low-fmp4", ["v:0", "a:0"]),
    ];
    for (name, streams) in muxed {
        let (file, summary) = mux(&[(TrackKind::Main, folder(name))]).unwrap();
        assert_eq!(summary.notes, [""; 0], "{name}");
        judge(&file, &streams.map(|stream| (stream, bytes_of(&folder(name)))));
    }
}

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

/// Some segments of a folder of MPEG-TS.
fn some(name: &str, numbers: std::ops::Range<usize>) -> Vec<Piece> {
    folder(name).drain(numbers).collect()
}

/// The file as ffprobe and ffmpeg see it: packets of video and of audio.
fn probe(file: &[u8]) -> Option<[Vec<[f64; 2]>; 2]> {
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, "out.mp4", file);
    decode(&path)?;
    Some([times(&path, "v:0")?, times(&path, "a:0")?])
}

fn assert_monotonic(times: &[[f64; 2]]) {
    assert!(times.windows(2).all(|pair| pair[0][0] < pair[1][0]), "decode times grow");
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

/// Each segment of a folder of audio in MPEG-TS as packed audio, with the time stamp that its first frame has.
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

fn packed(name: &str) -> Vec<Piece> {
    let mut demuxer = aqueduct_media::ts::Demuxer::default();
    folder(name)
        .into_iter()
        .map(|piece| {
            let Piece::Segment(bytes) = piece else {
                panic!("MPEG-TS has no initialization section")
            };
            let mut events = Vec::new();
            demuxer.push(&bytes, &mut events);
            demuxer.discontinuity(&mut events);
            let samples: Vec<_> = events
                .into_iter()
                .filter_map(|event| match event {
                    aqueduct_media::Event::Sample { sample, .. } => Some(sample),
                    aqueduct_media::Event::Config { .. } => None,
                })
                .collect();
            let stamp = samples[0].pts * 90 / 48;
            let owner = b"com.apple.streaming.transportStreamTimestamp\0";
            let content = [&owner[..], &stamp.to_be_bytes()].concat();
            let len = u8::try_from(content.len()).unwrap();
            let mut packed = [&b"ID3\x04\0\0\0\0\0"[..], &[len + 10], b"PRIV\0\0\0", &[len], b"\0\0", &content].concat();
            for sample in samples {
                // AAC LC, 48 kHz, stereo.
                let [high, low] = u16::try_from((sample.data.len() + 7) << 5).unwrap().to_be_bytes();
                packed.extend_from_slice(&[0xff, 0xf1, 0x4c, 0x80, high, low | 0x1f, 0xfc]);
                packed.extend_from_slice(&sample.data);
            }
            Piece::Segment(packed)
        })
        .collect()
}

#[test]
fn packed_audio_joins_its_picture() {
    let lanes = [(TrackKind::Main, folder("video-ts")), (TrackKind::Audio, packed("main-audio-ts"))];
    let (file, summary) = mux(&lanes).unwrap();
    assert_eq!(summary.notes, [""; 0]);
    judge(
        &file,
        &[("v:0", bytes_of(&folder("video-ts"))), ("a:0", bytes_of(&folder("main-audio-ts")))],
    );
}

#[test]
fn titles_in_the_tags_of_packed_audio_are_those_of_the_file() {
    // ID3v2.4 frames §4.2.1: title and artist, in Latin letters and in UTF-8.
    let tag = |title: u8| {
        [
            &b"ID3\x04\0\0\0\0\0\x1fTIT2\0\0\0\x05\0\0\0Hey"[..],
            &[title],
            b"TPE1\0\0\0\x06\0\0\x03Caf\xc3\xa9",
        ]
        .concat()
    };
    let lanes = |title: fn(u8) -> u8| {
        let tagged = (0..).zip(packed("main-audio-ts")).map(|(number, piece)| match piece {
            Piece::Segment(bytes) => Piece::Segment([tag(title(number)), bytes].concat()),
            other => other,
        });
        [(TrackKind::Audio, tagged.collect())]
    };
    for (container, name) in [
        (Container::M4a, "out.m4a"),
        (Container::Mp4, "out.mp4"),
        (Container::Mka, "out.mka"),
    ] {
        let (file, summary) = mux_with_breaks(&lanes(|_| b'!'), container, &[]).unwrap();
        assert_eq!(summary.notes, [""; 0]);
        assert!(
            mux_with_breaks(&lanes(|_| b'!'), container, &[1, 3]).unwrap().0 == file,
            "{name} taken up again"
        );
        let at = tempfile::tempdir().unwrap();
        let path = store(&at, name, &file);
        let arguments = [
            "-v",
            "error",
            "-show_entries",
            "format_tags=title,artist",
            "-of",
            "default=nw=1",
            &path,
        ];
        let Some(tags) = run("ffprobe", &arguments) else { return };
        let tags = tags.to_lowercase();
        assert!(
            tags.contains("tag:title=hey!") && tags.contains("tag:artist=café"),
            "{name}: {tags}"
        );
    }
    // A station that tells what it plays says nothing of the whole, and nothing is lost without a word.
    let (_, summary) = mux_with_breaks(&lanes(|number| b'a' + number), Container::M4a, &[]).unwrap();
    let segments = packed("main-audio-ts").len();
    let lost = format!("track 0: {segments} pieces of timed metadata (ID3) are not in the file");
    assert_eq!(summary.notes, [lost]);
    let aac = Container::Audio(AudioCodec::Aac);
    let (_, summary) = mux_with_breaks(&lanes(|_| b'!'), aac, &[]).unwrap();
    assert_eq!(summary.notes, ["track 0: titles in its tags (ID3) are not in the file"]);
}

#[test]
fn a_stream_that_changes_its_container_goes_on_in_the_same_tracks() {
    // The initialization section of fragmented MP4 comes first, so its first two segments are three pieces.
    let pairs = [(("high-ts", 0..2), ("high-fmp4", 0..3)), (("high-fmp4", 0..3), ("low-ts", 0..2))];
    for ((before, some_before), (after, some_after)) in pairs {
        let mut pieces = some(before, some_before);
        pieces.push(Piece::Discontinuity);
        pieces.extend(some(after, some_after));
        let (file, summary) = mux(&[(TrackKind::Main, pieces)]).unwrap();
        assert_eq!(summary.notes, [""; 0], "{before} to {after}");
        let Some([video, audio]) = probe(&file) else { return };
        assert_eq!(video.len(), 4 * 48, "{before} to {after}");
        assert_monotonic(&video);
        assert_monotonic(&audio);
        let (hole, silence) = (
            video[96][0] - video[95][0] - 1.0 / 24.0,
            (video[96][1] - audio[audio.len() / 2][1]) - (video[0][1] - audio[0][1]),
        );
        assert!((-1e-4..0.03).contains(&hole), "a hole of {hole} s from {before} to {after}");
        assert!(silence.abs() < 0.03, "sound is {silence} s from its picture in {after}");
    }
}

/// The kinds of streams of a file, as ffprobe names them.
fn kinds(path: &str) -> Option<Vec<String>> {
    let text = run(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", path],
    )?;
    Some(
        text.lines()
            .map(|line| line.trim_matches(',').to_owned())
            .filter(|line| !line.is_empty())
            .collect(),
    )
}

#[test]
fn each_container_has_the_packets_of_each_packaging() {
    let both = |video: &str, audio: &str| {
        let lanes = vec![(TrackKind::Main, folder(video)), (TrackKind::Audio, folder(audio))];
        (lanes, vec![("v:0", bytes_of(&folder(video))), ("a:0", bytes_of(&folder(audio)))])
    };
    let one = |name: &str| {
        let sources = ["v:0", "a:0"].map(|stream| (stream, bytes_of(&folder(name))));
        (vec![(TrackKind::Main, folder(name))], sources.to_vec())
    };
    let with_packed = || {
        let (mut lanes, sources) = both("video-ts", "main-audio-ts");
        lanes[1].1 = packed("main-audio-ts");
        (lanes, sources)
    };
    for (name, container) in [
        ("out.ts", Container::Ts),
        ("fragmented.mp4", Container::Fmp4),
        ("out.mkv", Container::Mkv),
    ] {
        for (lanes, sources) in [
            one("high-fmp4"),
            one("low-fmp4"),
            one("high-ts"),
            both("video-ts", "main-audio-ts"),
            both("video-fmp4", "alt-audio-fmp4"),
            both("video-fmp4", "main-audio-ts"),
            with_packed(),
        ] {
            let (file, summary) = mux_with_breaks(&lanes, container, &[]).unwrap();
            assert_eq!(summary.notes, [""; 0]);
            judge_as(name, &file, &sources);
            let (again, _) = mux_with_breaks(&lanes, container, &[0, 3, 4]).unwrap();
            assert!(again == file, "put aside and taken up, it becomes another file");
        }
    }
}

#[test]
fn sound_alone_is_taken_out_of_its_stream() {
    for (name, container) in [
        ("out.aac", Container::Audio(AudioCodec::Aac)),
        ("out.mp4", Container::M4a),
        ("out.mkv", Container::Mka),
    ] {
        for (lanes, source) in [
            (vec![(TrackKind::Main, folder("high-ts"))], "high-ts"),
            (vec![(TrackKind::Main, folder("high-fmp4"))], "high-fmp4"),
            (vec![(TrackKind::Audio, packed("main-audio-ts"))], "main-audio-ts"),
        ] {
            let (file, summary) = mux_with_breaks(&lanes, container, &[]).unwrap();
            assert_eq!(summary.notes, [""; 0]);
            judge_as(name, &file, &[("a:0", bytes_of(&folder(source)))]);
            let folder = tempfile::tempdir().unwrap();
            if let Some(kinds) = kinds(&store(&folder, name, &file)) {
                assert_eq!(kinds, ["audio"], "{name} of {source}");
            }
        }
    }
    let lanes = [(TrackKind::Main, folder("high-ts"))];
    let error = mux_with_breaks(&lanes, Container::Audio(AudioCodec::Mp3), &[]).unwrap_err();
    assert!(error.to_string().contains("name the output .aac"), "{error}");
}

/// The kinds of the boxes of a file, and how many bytes each takes.
fn boxes(mut file: &[u8]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    while let Some(header) = file.first_chunk::<16>() {
        let size = match u32::from_be_bytes(*header.first_chunk().unwrap()) {
            1 => u64::from_be_bytes(*header.last_chunk().unwrap()),
            size => size.into(),
        };
        let size = usize::try_from(size).unwrap();
        found.push((String::from_utf8_lossy(&header[4..8]).into_owned(), size));
        file = &file[size..];
    }
    found
}

#[test]
fn the_index_stands_in_front_where_the_length_is_known() {
    let pair = [(TrackKind::Main, folder("video-ts")), (TrackKind::Audio, folder("main-audio-ts"))];
    for lanes in [
        &[(TrackKind::Main, folder("high-ts"))][..],
        &[(TrackKind::Main, folder("high-fmp4"))],
        &pair,
    ] {
        let (file, _) = mux(lanes).unwrap();
        let boxes = boxes(&file);
        let kinds: Vec<&str> = boxes.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["ftyp", "moov", "free", "mdat"]);
        // Twelve seconds: most of the slack is what a track may take besides its tables.
        assert!(
            boxes[2].1 < boxes[1].1,
            "{} bytes are free beside an index of {}",
            boxes[2].1,
            boxes[1].1
        );
    }
    // A length that is a lie makes the room too small.
    let mut lanes = vec![(TrackKind::Main, folder("high-ts"))];
    for _ in 0..20 {
        lanes[0].1.push(Piece::Discontinuity);
        lanes[0].1.extend(folder("high-ts").drain(..).map(|piece| match piece {
            Piece::Segment(bytes) => Piece::Init(bytes),
            other => other,
        }));
    }
    let (file, summary) = mux(&lanes).unwrap();
    let kinds: Vec<String> = boxes(&file).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["ftyp", "free", "mdat", "moov"]);
    assert!(
        summary.notes.iter().any(|note| note.contains("stands at the end")),
        "{:?}",
        summary.notes
    );
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

#[test]
fn what_cannot_go_into_the_file_is_an_error_or_a_note() {
    let unsupported = |bytes: &[u8]| {
        mux(&[(TrackKind::Main, vec![Piece::Segment(bytes.to_vec())])])
            .unwrap_err()
            .to_string()
    };
    assert!(unsupported(b"ID3\x04\0\0\0\0\0\0").contains("packed audio"));
    assert!(unsupported(b"no media at all").contains("neither MPEG-TS"));
    assert!(unsupported(b"").contains("neither MPEG-TS"));

    let mut muxer = Mp4Muxer::default();
    assert!(
        muxer
            .begin(&Presentation::default(), false)
            .unwrap_err()
            .to_string()
            .contains("seek")
    );

    let lanes = [
        (TrackKind::Main, folder("high-ts")),
        (TrackKind::Subtitles, vec![Piece::Segment(b"WEBVTT\n".to_vec())]),
    ];
    let (_, summary) = mux(&lanes).unwrap();
    assert_eq!(summary.notes, [""; 0], "they have a file of their own");

    // One packet of video is lost.
    let mut pieces = folder("high-ts");
    let Piece::Segment(bytes) = &mut pieces[1] else {
        panic!("MPEG-TS has no initialization section")
    };
    let lost = bytes.chunks(188).position(|packet| packet[..3] == [0x47, 1, 0]).unwrap();
    bytes.drain(lost * 188..(lost + 1) * 188);
    let (_, summary) = mux(&[(TrackKind::Main, pieces)]).unwrap();
    assert_eq!(
        summary.notes,
        ["track 0: 1 breaks of continuity", "track 0: 1 damaged access units dropped"]
    );
}

/// The packets of a segment for which `keep` holds, by the number of packets of their PID behind them.
fn keep_packets(piece: &mut Piece, keep: impl Fn(u16, usize) -> bool) {
    let Piece::Segment(bytes) = piece else {
        panic!("MPEG-TS has no initialization section")
    };
    let pid = |packet: &[u8]| u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
    let mut behind = [0; 0x2000];
    let mut kept = Vec::new();
    for packet in bytes.chunks(188).rev() {
        let behind = &mut behind[usize::from(pid(packet))];
        if keep(pid(packet), *behind) {
            kept.push(packet.to_vec());
        }
        *behind += 1;
    }
    kept.reverse();
    *bytes = kept.concat();
}

#[test]
fn what_segments_lack_is_told_or_had_all_the_same() {
    const AUDIO: u16 = 0x101;
    // Tables that come late cost nothing.
    let mut late = folder("high-ts");
    keep_packets(&mut late[0], |pid, _| ![0, 0x1000].contains(&pid));
    let (file, summary) = mux(&[(TrackKind::Main, late)]).unwrap();
    assert_eq!(summary.notes, [""; 0]);
    judge(&file, &["v:0", "a:0"].map(|stream| (stream, bytes_of(&folder("high-ts")))));

    let mut cut = folder("high-ts");
    keep_packets(&mut cut[1], |pid, behind| pid != AUDIO || behind >= 4);
    let (_, summary) = mux(&[(TrackKind::Main, cut)]).unwrap();
    assert!(
        summary
            .notes
            .iter()
            .any(|note| note.starts_with("track 0: 1 breaks of continuity between segments")),
        "{:?}",
        summary.notes
    );

    let mut silent = folder("high-ts");
    silent.iter_mut().for_each(|piece| keep_packets(piece, |pid, _| pid != AUDIO));
    let (_, summary) = mux(&[(TrackKind::Main, silent)]).unwrap();
    assert_eq!(summary.notes, ["track 0: 1 streams of sound that the PMT names brought none"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_muxer_that_is_put_aside_and_taken_up_gives_the_same_bytes(breaks in proptest::collection::vec(0_usize..14, 0..8)) {
        let two_kinds = || [folder("video-ts"), vec![Piece::Discontinuity], folder("high-ts")].into_iter().flatten().collect();
        let with_gap = || {
            let mut pieces = folder("high-ts");
            pieces[2] = Piece::Gap;
            pieces
        };
        for (container, lanes) in [
            (Container::Mp4, vec![(TrackKind::Main, folder("video-ts")), (TrackKind::Audio, folder("main-audio-ts"))]),
            (Container::Mp4, vec![(TrackKind::Main, folder("video-fmp4")), (TrackKind::Audio, folder("main-audio-fmp4"))]),
            (Container::Mp4, vec![(TrackKind::Main, two_kinds())]),
            (Container::Mp4, vec![(TrackKind::Main, with_gap())]),
            (Container::Mp4, vec![(TrackKind::Main, folder("high-ts")), (TrackKind::Subtitles, folder("subs-en"))]),
            (Container::Mp4, vec![(TrackKind::Main, folder("high-fmp4")), (TrackKind::Subtitles, folder("subs-wvtt"))]),
            (Container::Ts, vec![(TrackKind::Main, folder("high-ts"))]),
            (Container::Mkv, vec![(TrackKind::Main, folder("video-ts")), (TrackKind::Audio, folder("main-audio-ts"))]),
            (Container::Mkv, vec![(TrackKind::Main, folder("high-fmp4")), (TrackKind::Subtitles, folder("subs-wvtt"))]),
            (Container::Mkv, vec![(TrackKind::Main, with_gap()), (TrackKind::Subtitles, folder("subs-en"))]),
        ] {
            let (expected, summary) = mux_with_breaks(&lanes, container, &[]).unwrap();
            let (found, told) = mux_with_breaks(&lanes, container, &breaks).unwrap();
            prop_assert!(found == expected, "{container:?} {breaks:?}: the bytes differ");
            prop_assert_eq!(told, summary);
        }
    }
}

/// A box of this kind, wherever it is.
fn inner_box<'a>(file: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let at = file.windows(4).position(|bytes| bytes == kind)? - 4;
    let size = u32::from_be_bytes(*file[at..].first_chunk()?);
    file.get(at..at + usize::try_from(size).ok()?)
}

#[test]
fn aac_is_grouped_as_ffmpeg_groups_it() {
    let (file, _) = mux(&[(TrackKind::Main, folder("high-ts"))]).unwrap();
    let at = tempfile::tempdir().unwrap();
    let (from, to) = (store(&at, "out.mp4", &file), store(&at, "copy.mp4", b""));
    if run("ffmpeg", &["-v", "error", "-y", "-i", &from, "-map", "0", "-c", "copy", &to]).is_none() {
        return;
    }
    let copy = fs::read(to).unwrap();
    for kind in [b"sgpd", b"sbgp"] {
        let ours = inner_box(&file, kind);
        assert!(ours.is_some() && ours == inner_box(&copy, kind), "{}", kind.escape_ascii());
    }
}

#[test]
fn fragments_say_how_far_before_a_place_their_sound_is_to_be_decoded() {
    // Of AAC one sample, of Opus 80 ms: four of 20 ms, two of 60 (Opus in ISOBMFF §4.3.6.2).
    for (name, distance) in [("latm", -1_i16), ("opus", -4), ("opus-60-ms-mono", -2), ("ac3", 0)] {
        let Some(source) = codecs::encoded_sound(name) else { continue };
        let lanes = [(TrackKind::Main, vec![Piece::Segment(fs::read(&source).unwrap())])];
        let (file, _) = mux_with_breaks(&lanes, Container::Fmp4, &[]).unwrap();
        let at = tempfile::tempdir().unwrap();
        let Some(packets) = times(&store(&at, "out.mp4", &file), "a:0") else {
            return;
        };
        // ISO 14496-12 §8.9.2 and §8.9.3: groups that a track fragment describes itself are counted from 0x10001.
        let described = [&b"sgpd\x01\0\0\0roll\0\0\0\x02\0\0\0\x01"[..], &distance.to_be_bytes()].concat();
        let fragments: Vec<&[u8]> = boxes_of(&file, b"moof");
        let mut samples = 0;
        for fragment in &fragments {
            let Some(groups) = inner_box(fragment, b"sbgp") else { continue };
            assert_eq!(groups[..20], *b"\0\0\0\x1csbgp\0\0\0\0roll\0\0\0\x01");
            samples += u32::from_be_bytes(*groups[20..].first_chunk().unwrap());
            assert_eq!(groups[24..], [0, 1, 0, 1]);
            assert_eq!(inner_box(fragment, b"sgpd").unwrap()[4..], described, "{name}");
        }
        let expected = if distance == 0 { 0 } else { packets.len() };
        assert_eq!(samples as usize, expected, "{name}");
    }
}

/// The boxes of this kind that a file has at its top.
fn boxes_of<'a>(mut file: &'a [u8], kind: &[u8; 4]) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    while let Some(size) = file.first_chunk() {
        let (whole, rest) = file.split_at(u32::from_be_bytes(*size) as usize);
        found.extend(Some(whole).filter(|whole| &whole[4..8] == kind));
        file = rest;
    }
    found
}

#[test]
fn a_track_that_first_appears_in_the_middle_is_a_track_of_the_file() {
    let lanes = || {
        let mut pieces = some("video-ts", 0..2);
        pieces.extend(some("high-ts", 2..4));
        [(TrackKind::Main, pieces)]
    };
    for (container, name) in [(Container::Mp4, "out.mp4"), (Container::Mkv, "out.mkv")] {
        let (file, summary) = mux_with_breaks(&lanes(), container, &[]).unwrap();
        assert!(
            mux_with_breaks(&lanes(), container, &[0, 2]).unwrap().0 == file,
            "{name} taken up again"
        );
        let told = summary.notes.iter().any(|note| note.contains("not in the file"));
        assert!(!told, "{:?}", summary.notes);
        let at = tempfile::tempdir().unwrap();
        let path = store(&at, name, &file);
        let whole = store(&at, "source.ts", &bytes_of(&folder("high-ts")));
        let (Some(video), Some(audio)) = (times(&path, "v:0"), times(&path, "a:0")) else {
            return;
        };
        let (Some(from_video), Some(from_audio)) = (times(&whole, "v:0"), times(&whole, "a:0")) else {
            return;
        };
        assert_eq!(video.len(), 4 * 48);
        // The sound of two segments of two seconds, as far behind the first picture as in the source.
        assert!((150..200).contains(&audio.len()), "{} frames", audio.len());
        let first = |times: &[[f64; 2]]| times.iter().map(|[_, pts]| *pts).fold(f64::INFINITY, f64::min);
        let apart = audio[0][1] - first(&video);
        let expected = from_audio
            .iter()
            .map(|[_, pts]| pts - first(&from_video))
            .find(|pts| (pts - apart).abs() < 0.001);
        assert!(
            expected.is_some_and(|expected| (3.9..4.2).contains(&expected)),
            "{apart} s in {name}"
        );
        decode(&path);
    }
}
