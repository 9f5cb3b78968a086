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

/// The PCRs of a file, in ticks of 90 kHz.
fn clocks(file: &[u8]) -> Vec<u64> {
    let has_clock = |packet: &&[u8]| packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
    let clock = |packet: &[u8]| u64::from(u32::from_be_bytes(packet[6..10].try_into().unwrap())) << 1 | u64::from(packet[10] >> 7);
    file.chunks(188).filter(has_clock).map(clock).collect()
}

/// Has the counters of each PID go on from packet to packet.
fn count(bytes: &mut [u8]) {
    let mut counters = std::collections::BTreeMap::new();
    for packet in bytes.chunks_mut(188) {
        let counter = counters
            .entry((packet[1] & 0x1f, packet[2]))
            .or_insert((packet[3] & 0xf).wrapping_sub(1));
        *counter = counter.wrapping_add(u8::from(packet[3] & 0x10 != 0)) & 0xf;
        packet[3] = packet[3] & 0xf0 | *counter;
    }
}

#[test]
fn a_clock_that_starts_over_inside_a_segment_does_so_with_its_pictures() {
    let mut pieces = some("high-ts", 3..6);
    let behind = bytes_of(&some("high-ts", 0..1));
    // The first PCR of the new clock a packet of its own, 40 ms early.
    let place = behind
        .chunks(188)
        .position(|packet| packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0);
    let first = &behind[place.unwrap() * 188..];
    let mut alone = [0xff; 188];
    alone[..6].copy_from_slice(&[0x47, first[1] & 0x1f, first[2], 0x20, 183, 0x10]);
    let base = u32::try_from((clocks(&behind)[0] - 3600) >> 1).unwrap();
    alone[6..10].copy_from_slice(&base.to_be_bytes());
    alone[10..12].copy_from_slice(&[0x7e, 0]);
    if let Some(Piece::Segment(bytes)) = pieces.last_mut() {
        bytes.extend(alone);
        bytes.extend(behind);
        count(bytes);
    }
    pieces.extend(some("high-ts", 1..3));
    let (file, _) = made(pieces, &[]);
    let steps: Vec<i64> = clocks(&file)
        .windows(2)
        .map(|pair| pair[1].cast_signed() - pair[0].cast_signed())
        .collect();
    // No track overlaps its own end, so the sound decides how far the pictures move.
    assert!(steps.iter().all(|step| (0..22_500).contains(step)), "{steps:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, "out.ts", &file);
    for stream in ["v:0", "a:0"] {
        let Some(times) = times(&path, stream) else { return };
        assert_monotonic(&times);
        let step = times.windows(2).map(|pair| pair[1][0] - pair[0][0]).fold(0.0, f64::max);
        assert!(step < 0.25, "{step} s in {stream}");
    }
    decode(&path);
    // It would warn of a discontinuity, or of a counter.
    let heard = [
        "-nostdin", "-v", "warning", "-i", &path, "-map", "0", "-c", "copy", "-f", "framecrc", "-",
    ];
    run("ffmpeg", &heard);
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
