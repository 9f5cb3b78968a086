//! The packets of the source in each container, from each packaging.

use aqueduct_core::TrackKind;
use aqueduct_mux::{AudioCodec, Container};

use super::common::{Piece, assert_monotonic, bytes_of, folder, judge, judge_as, kinds, mux, mux_with_breaks, packed, probe, some, store};

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
