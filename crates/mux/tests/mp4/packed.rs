//! Packed audio: beside pictures, and what its tags say.

use aqueduct_core::TrackKind;
use aqueduct_mux::{AudioCodec, Container};

use super::common::{Piece, bytes_of, folder, judge, mux, mux_with_breaks, packed, run, store};

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
