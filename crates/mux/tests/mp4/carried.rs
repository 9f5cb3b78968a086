//! What sample entries and track headers say goes into the file: what ffmpeg makes, and what it cannot make built box by box.

use std::fs;

use aqueduct_core::TrackKind;
use aqueduct_media::{Event, Sample, fmp4, mp4::FragmentWriter};
use aqueduct_mux::Container;

use crate::{
    codecs::{encode_named, pieces_of},
    common::{Piece, fixtures, folder, mux_with_breaks, run, store},
};

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat()
}

/// The boxes with the first one on a path changed, and the sizes of those around it (ISO 14496-12 §4.2).
fn edit(bytes: &[u8], path: &[&[u8; 4]], change: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (kind, path) = path.split_first().unwrap();
    let (mut made, mut rest, mut done) = (Vec::new(), bytes, false);
    while let Some(size) = rest.first_chunk() {
        let (whole, after) = rest.split_at(u32::from_be_bytes(*size) as usize);
        rest = after;
        if done || &whole[4..8] != *kind {
            made.extend(whole);
            continue;
        }
        done = true;
        if path.is_empty() {
            made.extend(change(whole));
        } else {
            let skip = if *kind == b"stsd" { 16 } else { 8 };
            made.extend(boxed(kind, &[&whole[8..skip], &edit(&whole[skip..], path, change)].concat()));
        }
    }
    assert!(done, "a box {}", kind.escape_ascii());
    made
}

/// A box with another behind its content, under this name.
fn with(whole: &[u8], kind: [u8; 4], more: &[u8]) -> Vec<u8> {
    boxed(&kind, &[&whole[8..], more].concat())
}

/// A Dolby Vision configuration record of this profile and compatibility (Dolby Vision Streams Within the ISO Base Media File
/// Format §3): version 1.0, level 3, with reference processing and base layer.
fn dolby_vision(kind: &[u8; 4], profile: u16, compatible: u8) -> Vec<u8> {
    let mut record = vec![1, 0];
    record.extend((profile << 9 | 3 << 3 | 5).to_be_bytes());
    record.push(compatible << 4);
    record.resize(24, 0);
    boxed(kind, &record)
}

/// A sample entry of xHE-AAC, 48 kHz stereo: `mp4a` with object type 0x40 and audio object type 42, behind its escape
/// (ISO 14496-1 §7.2.6, ISO 14496-3 §1.6.2.1, ISO 23003-3).
fn xhe_aac() -> Vec<u8> {
    let specific = [5, 6, 0xf9, 0x46, 0x43, 0x22, 0x2c, 0xc0];
    let decoder = [&[4, 13 + 8, 0x40, 0x15, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0][..], &specific].concat();
    let descriptor = [&[3, 3 + 23 + 3, 0, 0, 0][..], &decoder, &[6, 1, 2]].concat();
    let esds = boxed(b"esds", &[&[0; 4][..], &descriptor].concat());
    let fields = [
        0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 16, 0, 0, 0, 0, 0xbb, 0x80, 0, 0,
    ];
    boxed(b"mp4a", &[&fields[..], &esds].concat())
}

const ENTRIES: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];

/// A track header of version 0 with the matrix that turns the picture clockwise by 90° (ISO 14496-12 §8.3.2, §6.2.2).
fn a_quarter_turn(tkhd: &[u8]) -> Vec<u8> {
    assert_eq!(tkhd[8], 0);
    let matrix = [0, 0x0001_0000, 0, 0xffff_0000, 0, 0, 0, 0, 0x4000_0000_u32];
    let mut turned = tkhd.to_vec();
    turned[48..84].copy_from_slice(&matrix.map(u32::to_be_bytes).concat());
    turned
}

type Change = Box<dyn Fn(&[u8]) -> Vec<u8>>;

struct Row {
    encode: &'static str,
    /// What is changed in the initialization section.
    path: Vec<&'static [u8; 4]>,
    change: Change,
    /// Boxes that must be in the file.
    boxes: Vec<Vec<u8>>,
    /// What ffprobe must say of it.
    told: &'static str,
}

fn rows() -> Vec<Row> {
    let as_it_is = || Box::new(<[u8]>::to_vec) as Change;
    let of = |encode, kind, record: Vec<u8>, name, told| Row {
        encode,
        path: [&ENTRIES[..], &[kind]].concat(),
        boxes: vec![record.clone()],
        change: Box::new(move |whole| with(whole, name, &record)),
        told,
    };
    let color = boxed(b"colr", b"nclx\0\x09\0\x10\0\x09\x80");
    let aspect = boxed(b"pasp", &[0, 0, 0, 16, 0, 0, 0, 11]);
    vec![
        of("fmp4-hevc-hdr", b"hvc1", dolby_vision(b"dvcC", 5, 0), *b"dvh1", "dv_profile=5"),
        of(
            "fmp4-hevc-hdr",
            b"hvc1",
            dolby_vision(b"dvcC", 5, 0),
            *b"dvhe",
            "codec_tag_string=dvhe",
        ),
        of("fmp4-hevc-hdr", b"hvc1", dolby_vision(b"dvvC", 8, 1), *b"hvc1", "dv_profile=8"),
        Row {
            encode: "fmp4-aac-priming",
            path: [&ENTRIES[..], &[b"mp4a"]].concat(),
            change: Box::new(|_| xhe_aac()),
            boxes: vec![xhe_aac()],
            told: "",
        },
        Row {
            encode: "fmp4-h264-aac",
            path: vec![b"moov", b"trak", b"tkhd"],
            change: Box::new(a_quarter_turn),
            boxes: Vec::new(),
            told: "rotation=-90",
        },
        Row {
            encode: "h264-anamorphic-bt2020",
            path: Vec::new(),
            change: as_it_is(),
            boxes: vec![color, aspect],
            told: "",
        },
    ]
}

#[test]
fn what_describes_a_track_is_carried_over() {
    for row in rows() {
        let Some((source, packaging)) = encode_named(row.encode) else {
            continue;
        };
        let lanes = || {
            let mut pieces = pieces_of(packaging, &fs::read(&source).unwrap());
            if let Some(Piece::Init(init)) = pieces.first_mut() {
                *init = edit(init, &row.path, &row.change);
            }
            pieces
        };
        let joined = || (TrackKind::Audio, folder("main-audio-fmp4"));
        for (container, lanes) in [
            (Container::Mp4, vec![(TrackKind::Main, lanes())]),
            (Container::Fmp4, vec![(TrackKind::Main, lanes()), joined()]),
        ] {
            let (file, _) = mux_with_breaks(&lanes, container, &[]).unwrap();
            for wanted in &row.boxes {
                let has = file.windows(wanted.len()).any(|window| window == wanted);
                assert!(has, "{} of {} in {container:?}", wanted[4..8].escape_ascii(), row.encode);
            }
            // ffprobe of today knows nothing of the rest, or refuses it.
            if row.told.is_empty() {
                continue;
            }
            let at = tempfile::tempdir().unwrap();
            let path = store(&at, "out.mp4", &file);
            let entries = "stream=codec_tag_string:stream_side_data=rotation,dv_profile";
            let arguments = ["-v", "quiet", "-show_entries", entries, "-of", "default=nw=1", &path];
            let Some(text) = run("ffprobe", &arguments) else { return };
            assert!(text.lines().any(|line| line == row.told), "{} in {container:?}: {text}", row.encode);
        }
    }
}

#[test]
fn a_language_is_carried_over_in_full() {
    let init = fs::read(fixtures().join("high-fmp4/init.mp4")).unwrap();
    // ISO 14496-12 §8.4.6; "en" is all that the media header says already, and the last is no tag (RFC 5646 §2.1).
    for (tag, read, written) in [
        ("pt-BR", Some("pt-BR"), true),
        ("en", Some("en"), false),
        ("a b", None, false),
        ("", None, false),
    ] {
        let language = boxed(b"elng", &[b"\0\0\0\0", tag.as_bytes(), b"\0"].concat());
        let init = edit(&init, &[b"moov", b"trak", b"mdia"], &|whole| with(whole, *b"mdia", &language));
        let mut events = Vec::new();
        fmp4::Demuxer::default().init(&init, &mut events).unwrap();
        let Event::Config { config, .. } = &events[0] else {
            panic!("a track")
        };
        assert_eq!(config.language_tag.as_deref(), read, "{tag}");
        let mut writer = FragmentWriter::default();
        let (number, mut file) = (writer.add_track(config).unwrap(), Vec::new());
        let sample = Sample {
            dts: 0,
            pts: 0,
            duration: Some(1),
            sync: true,
            data: &b"data"[..],
        };
        writer.add(number, &sample).unwrap();
        writer.flush(true, &mut file).unwrap();
        assert_eq!(file.windows(language.len()).any(|window| window == language), written, "{tag}");
    }
}
