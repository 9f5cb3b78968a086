//! Parameter sets that a bit error has changed.

use aqueduct_core::TrackKind;
use aqueduct_mux::Container;

use super::common::{Piece, decode, folder, mux_with_breaks, store};

/// The clip, of which one byte behind a parameter set's header, in segment 2, is another.
fn with_error(kind: u8, byte: usize, bits: u8) -> Option<Vec<Piece>> {
    let mut pieces = folder("high-ts");
    let Some(Piece::Segment(bytes)) = pieces.get_mut(2) else {
        return None;
    };
    let found = memchr_set(bytes, kind)?;
    let (begin, end) = found;
    let place = begin + byte;
    (place < end).then_some(())?;
    bytes[place] ^= bits;
    Some(pieces)
}

/// From behind the header of the first NAL unit of this kind to its end, all of it in one transport packet.
fn memchr_set(bytes: &[u8], kind: u8) -> Option<(usize, usize)> {
    let at = bytes.windows(4).position(|code| code[..3] == [0, 0, 1] && code[3] & 0x1f == kind)? + 4;
    let length = bytes
        .get(at..)?
        .windows(3)
        .position(|code| code == [0, 0, 1] || code == [0, 0, 0])?;
    (at / 188 == (at + length) / 188).then_some((at, at + length))
}

#[test]
fn damaged_parameter_sets_do_not_take_the_place_of_those_that_are_right() {
    let notes = [
        "track 0: 1 parameter sets that cannot be read",
        "file: 1 changes of codec parameters that no later random access point confirmed: taken for damage and passed over",
    ];
    let (mut unreadable, mut readable, mut others) = (0, 0, Vec::new());
    for kind in [7, 8] {
        for byte in 0..32 {
            for bits in [0x80, 0x10, 0x01] {
                let Some(pieces) = with_error(kind, byte, bits) else { continue };
                let place = format!("{kind} {byte} {bits:#x}");
                let made = mux_with_breaks(&[(TrackKind::Main, pieces)], Container::Fmp4, &[]);
                let Ok((file, summary)) = made else {
                    others.push(place);
                    continue;
                };
                let [first, second] = notes.map(|note| summary.notes.iter().any(|told| told == note));
                unreadable += u32::from(first);
                readable += u32::from(second);
                if !first && !second {
                    others.push(format!("{place}: {:?}", summary.notes));
                }
                if byte % 8 == 5 {
                    let folder = tempfile::tempdir().unwrap();
                    decode(&store(&folder, "out.mp4", &file));
                }
            }
        }
    }
    assert!(unreadable > 20 && readable > 20, "{unreadable} and {readable}");
    // With another identifier it stands beside the right one, and nothing takes it back.
    assert_eq!(others, ["8 0 0x80"]);
}

/// Readable and wrong: another level (ISO 14496-10 §7.3.2.1.1), which decodes all the same.
const LEVEL: (u8, usize, u8) = (7, 2, 0x01);

#[test]
fn a_change_that_the_next_random_access_point_has_too_is_one() {
    let (kind, byte, bits) = LEVEL;
    let damaged = |numbers: &[usize]| {
        let mut pieces = folder("high-ts");
        for number in numbers {
            let Some(Piece::Segment(bytes)) = pieces.get_mut(*number) else {
                panic!("a segment")
            };
            let (begin, _) = memchr_set(bytes, kind).unwrap();
            bytes[begin + byte] ^= bits;
        }
        pieces
    };
    let made = |pieces| mux_with_breaks(&[(TrackKind::Main, pieces)], Container::Fmp4, &[3]);
    for (numbers, ends) in [
        (&[2][..], false),
        (&[2, 4], false),
        (&[5], false),
        (&[2, 3], true),
        (&[2, 3, 4, 5], true),
    ] {
        let made = made(damaged(numbers));
        assert_eq!(made.is_err(), ends, "{numbers:?}");
        if let Err(error) = made {
            assert!(error.to_string().contains("--split changes"), "{error}");
        }
    }
    // Announced, it is one at once.
    let mut pieces = damaged(&[5]);
    pieces.insert(5, Piece::Discontinuity);
    assert!(made(pieces).is_err());
}

#[test]
fn pictures_of_another_stream_are_no_damage_though_only_one_random_access_point_has_them() {
    for number in [3, 5] {
        let made = |container| {
            let mut pieces = folder("high-ts");
            pieces[number] = folder("low-ts").swap_remove(number);
            mux_with_breaks(&[(TrackKind::Main, pieces)], container, &[])
        };
        let refused = made(Container::Fmp4).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("--split changes"), "{number}: {refused}");
        // It can follow.
        let (file, _) = made(Container::Mkv).unwrap();
        let folder = tempfile::tempdir().unwrap();
        decode(&store(&folder, "out.mkv", &file));
    }
}
