//! The MP4 muxer on real media: the packets of the file are those of the source, as ffprobe and ffmpeg read them.
//!
//! Expected values come from ffprobe run on the source. Where ffmpeg is not installed, what only it can judge is
//! skipped, and says so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod captions;
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
mod packed;
mod packets;
mod pictures;
mod split;
mod subtitles;
mod timing;
mod told;
mod transport;

use std::fs;

use aqueduct_core::{Mux, Presentation, TrackKind};
use aqueduct_mux::{Container, Mp4Muxer};
use proptest::prelude::*;

use common::{Piece, bytes_of, decode, folder, judge, mux, mux_with_breaks, run, some, store, times};

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
