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
fn parameter_sets_that_cannot_be_right_do_not_take_the_place_of_those_that_are() {
    let (mut kept, mut all) = (0, 0);
    for kind in [7, 8] {
        for byte in 0..32 {
            for bits in [0x80, 0x10, 0x01] {
                let Some(pieces) = with_error(kind, byte, bits) else { continue };
                all += 1;
                let Ok((file, summary)) = mux_with_breaks(&[(TrackKind::Main, pieces)], Container::Fmp4, &[]) else {
                    continue;
                };
                kept += 1;
                assert!(
                    summary
                        .notes
                        .iter()
                        .any(|note| note == "track 0: 1 parameter sets that cannot be read"),
                    "{kind} {byte} {bits:#x}: {:?}",
                    summary.notes
                );
                if byte % 8 == 5 {
                    let folder = tempfile::tempdir().unwrap();
                    decode(&store(&folder, "out.mp4", &file));
                }
            }
        }
    }
    // The rest can be read, and says something else.
    assert!(all > 50 && kept * 3 > all, "{kept} of {all}");
}
