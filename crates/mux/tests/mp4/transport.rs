//! MPEG-TS out of MPEG-TS: one stream, whatever the segments count from.

use aqueduct_core::TrackKind;
use aqueduct_mux::Container;

use super::common::{Piece, assert_monotonic, bytes_of, decode, digest, folder, mux_with_breaks, run, some, store, times};

fn made(pieces: Vec<Piece>, breaks: &[usize]) -> (Vec<u8>, Vec<String>) {
    let (file, summary) = mux_with_breaks(&[(TrackKind::Main, pieces)], Container::Ts, breaks).unwrap();
    (file, summary.notes)
}

/// The counters of each PID go on from packet to packet (ISO 13818-1, 2.4.3.3).
fn assert_counted(file: &[u8]) {
    let mut counters = std::collections::BTreeMap::new();
    for (at, packet) in file.chunks(188).enumerate() {
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let step = u8::from(packet[3] & 0x10 != 0);
        let counter = packet[3] & 0xf;
        if let Some(last) = counters.insert(pid, counter) {
            assert_eq!(counter, (last + step) & 0xf, "packet {at}, PID {pid}");
        }
    }
}

#[test]
fn segments_of_one_timeline_stay_as_they_are() {
    let mut told = folder("high-ts");
    // A discontinuity that is none.
    told.insert(3, Piece::Discontinuity);
    for pieces in [folder("high-ts"), told, folder("main-audio-ts"), folder("video-ts")] {
        let expected = bytes_of(&pieces);
        let (file, notes) = made(pieces, &[]);
        assert!(file == expected);
        assert_eq!(notes, [""; 0]);
    }
}

#[test]
fn times_that_start_over_go_on_without_a_word_of_a_reader() {
    let pieces = |between: &[Piece], second: &str, numbers| {
        let mut pieces = some("high-ts", 3..6);
        pieces.extend(between.iter().map(|piece| match piece {
            Piece::Discontinuity => Piece::Discontinuity,
            _ => Piece::Gap,
        }));
        pieces.extend(some(second, numbers));
        pieces
    };
    for (name, pieces, has_gap) in [
        ("announced", pieces(&[Piece::Discontinuity], "high-ts", 0..3), false),
        ("unannounced", pieces(&[], "high-ts", 0..3), false),
        ("once more", pieces(&[Piece::Discontinuity], "high-ts", 3..6), false),
        ("another size", pieces(&[Piece::Discontinuity], "low-ts", 0..3), false),
        ("behind a gap", pieces(&[Piece::Gap, Piece::Discontinuity], "high-ts", 0..3), true),
    ] {
        let source = bytes_of(&pieces);
        let (file, notes) = made(pieces, &[]);
        assert_eq!(file.len(), source.len(), "{name}");
        assert_counted(&file);
        assert!(
            notes.iter().any(|note| note.contains("3 segments moved in time")),
            "{name}: {notes:?}"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = store(&folder, "out.ts", &file);
        let source = store(&folder, "source.ts", &source);
        for stream in ["v:0", "a:0"] {
            // The same bytes in the same order.
            let filter = "null";
            assert_eq!(digest(&path, stream, filter), digest(&source, stream, filter), "{name} {stream}");
            let Some(times) = times(&path, stream) else { return };
            assert_monotonic(&times);
            let step = times.windows(2).map(|pair| pair[1][0] - pair[0][0]).fold(0.0, f64::max);
            assert!(
                if has_gap { (1.5..2.5).contains(&step) } else { step < 0.15 },
                "{name}: {step} s in {stream}"
            );
        }
        if name != "another size" {
            decode(&path);
        }
        let heard = [
            "-nostdin", "-v", "warning", "-i", &path, "-map", "0", "-c", "copy", "-f", "framecrc", "-",
        ];
        run("ffmpeg", &heard);
    }
}

#[test]
fn a_clock_that_is_taken_up_again_goes_on_as_it_did() {
    let pieces = || {
        let mut pieces = some("high-ts", 3..6);
        pieces.push(Piece::Discontinuity);
        pieces.extend(some("high-ts", 0..3));
        pieces
    };
    let (whole, _) = made(pieces(), &[]);
    for at in 0..5 {
        assert!(made(pieces(), &[at]).0 == whole, "{at}");
    }
}

#[test]
fn samples_of_fragmented_mp4_are_one_stream_too() {
    let mut pieces = folder("high-fmp4").into_iter().take(3).collect::<Vec<_>>();
    pieces.push(Piece::Discontinuity);
    pieces.extend(folder("high-fmp4").into_iter().skip(1).take(3));
    let (file, _) = made(pieces, &[]);
    assert_counted(&file);
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, "out.ts", &file);
    for stream in ["v:0", "a:0"] {
        let Some(times) = times(&path, stream) else { return };
        assert_monotonic(&times);
    }
    decode(&path);
}
