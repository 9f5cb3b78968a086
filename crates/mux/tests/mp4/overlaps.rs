//! Segments whose time stamps go back by less than a second, without a tag that announces it.

use aqueduct_core::TrackKind;
use aqueduct_mux::Container;

use crate::common::{Piece, assert_monotonic, bytes_of, decode, folder, mux_with_breaks, run, store, times};

/// Takes `ticks` of 90 kHz from every time stamp of a transport stream: PCR (ISO 13818-1, 2.4.3.4), PTS and DTS (2.4.3.6).
fn earlier_packets(segment: &mut [u8], ticks: u64) {
    let mut stamps = 0;
    for packet in segment.chunks_exact_mut(188) {
        let mut payload = 4;
        if packet[3] & 0x20 != 0 {
            payload += 1 + usize::from(packet[4]);
            if packet[4] > 0 && packet[5] & 0x10 != 0 {
                let (high, rest) = packet[6..].split_at_mut(4);
                let base = (u64::from(u32::from_be_bytes((&*high).try_into().unwrap())) << 1 | u64::from(rest[0] >> 7)) - ticks;
                high.copy_from_slice(&u32::try_from(base >> 1).unwrap().to_be_bytes());
                rest[0] = rest[0] & 0x7f | u8::try_from(base & 1).unwrap() << 7;
            }
        }
        let starts = packet[1] & 0x40 != 0 && packet[3] & 0x10 != 0;
        let Some(pes) = packet.get_mut(payload..).filter(|pes| starts && pes.starts_with(&[0, 0, 1])) else {
            continue;
        };
        for at in (0..usize::from(pes[7] >> 7) + usize::from(pes[7] >> 6 & 1)).map(|n| 9 + 5 * n) {
            let field = &mut pes[at..at + 5];
            let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| u64::from(field[n]));
            let time = ((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1) - ticks;
            let bits = |value: u64| u8::try_from(value & 0xff).unwrap();
            field[0] = field[0] & 0xf1 | bits(time >> 29 & 0x0e);
            field[1] = bits(time >> 22);
            field[2] = bits(time >> 14) | 1;
            field[3] = bits(time >> 7);
            field[4] = bits(time << 1) | 1;
            stamps += 1;
        }
    }
    assert!(stamps > 0);
}

/// The same of the decode times in fragments (ISO 14496-12 §8.8.12), of which each segment has one for a track. A tick is
/// that of the track: pictures count in 12288 a second, sound in 48000.
fn earlier_fragments(segment: &mut [u8], milliseconds: u64, timescales: &[u64]) {
    let mut timescales = timescales.iter();
    for at in 0..segment.len() - 16 {
        if segment[at..].starts_with(b"tfdt\x01") {
            let place = &mut segment[at + 8..at + 16];
            let time = u64::from_be_bytes((&*place).try_into().unwrap()) - timescales.next().unwrap() * milliseconds / 1000;
            place.copy_from_slice(&time.to_be_bytes());
        }
    }
    assert_eq!(timescales.next(), None);
}

/// The segments of a folder, those from the third on earlier by so much, and those from the fifth on by twice that.
fn earlier(name: &str, milliseconds: u64) -> Vec<Piece> {
    let mut pieces = folder(name);
    let segments = pieces.iter_mut().filter_map(|piece| match piece {
        Piece::Segment(bytes) => Some(bytes),
        _ => None,
    });
    for (number, segment) in segments.enumerate() {
        let milliseconds = milliseconds * (number as u64 / 2).min(2);
        match name {
            "high-fmp4" => earlier_fragments(segment, milliseconds, &[12_288, 48_000]),
            "video-fmp4" => earlier_fragments(segment, milliseconds, &[12_288]),
            "main-audio-fmp4" => earlier_fragments(segment, milliseconds, &[48_000]),
            _ => earlier_packets(segment, milliseconds * 90),
        }
    }
    pieces
}

#[test]
fn an_overlap_leaves_pictures_in_their_order_and_sound_with_them() {
    let streams: [&[&str]; 4] = [
        &["high-ts"],
        &["high-fmp4"],
        &["video-ts", "main-audio-ts"],
        &["video-fmp4", "main-audio-fmp4"],
    ];
    for names in streams {
        for milliseconds in [50, 500] {
            for (container, file_name) in [(Container::Mp4, "out.mp4"), (Container::Mkv, "out.mkv"), (Container::Ts, "out.ts")] {
                if container == Container::Ts && names == ["high-ts"] {
                    // Packets that stay as they are.
                    continue;
                }
                let kinds = [TrackKind::Main, TrackKind::Audio];
                let lanes: Vec<_> = kinds
                    .into_iter()
                    .zip(names.iter().map(|name| earlier(name, milliseconds)))
                    .collect();
                let (file, _) = mux_with_breaks(&lanes, container, &[3, 6]).unwrap();
                let at = tempfile::tempdir().unwrap();
                let path = store(&at, file_name, &file);
                let sources = [names[0], names[names.len() - 1]].map(|name| store(&at, name, &bytes_of(&folder(name))));
                let context = format!("{names:?} {milliseconds} ms {file_name}");
                // The source without an overlap tells where everything belongs.
                let mut apart = Vec::new();
                for (stream, source) in ["v:0", "a:0"].iter().zip(&sources) {
                    let (Some(expected), Some(found)) = (times(source, stream), times(&path, stream)) else {
                        return;
                    };
                    assert_eq!(found.len(), expected.len(), "{context}");
                    if container != Container::Mkv {
                        assert_monotonic(&found);
                    }
                    apart.push(
                        found
                            .iter()
                            .zip(&expected)
                            .map(|(found, expected)| found[1] - expected[1])
                            .collect::<Vec<_>>(),
                    );
                }
                let zero = apart[0][0];
                // A tick of the pictures, and of MPEG-TS for each side.
                let tick = 1.0 / 12_288.0 + if container == Container::Mp4 { 0.0 } else { 2.0 / 90_000.0 };
                for (number, apart) in apart.concat().iter().enumerate() {
                    let apart = apart - zero;
                    assert!(apart.abs() <= tick + 2e-6, "{context}: packet {number} is {apart} s off");
                }
                decode(&path);
                run(
                    "ffmpeg",
                    &["-v", "warning", "-xerror", "-i", &path, "-c", "copy", "-f", "null", "-"],
                );
            }
        }
    }
}
