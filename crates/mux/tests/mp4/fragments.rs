//! Fragmented MP4 that stays as it is, where the stream does not.

use aqueduct_core::{MuxError, TrackKind};
use aqueduct_mux::{Container, Split};

use crate::common::{Piece, assert_monotonic, bytes_of, decode, files, folder, mux_with_breaks, some, store, times};

/// The initialization section and two segments, then what stands behind a discontinuity.
fn broken_off(next: Vec<Piece>) -> Vec<Piece> {
    let mut pieces = some("high-fmp4", 0..3);
    pieces.push(Piece::Discontinuity);
    pieces.extend(next);
    pieces
}

fn fragments(pieces: Vec<Piece>, breaks: &[usize]) -> Result<(Vec<u8>, Vec<String>), MuxError> {
    let (file, summary) = mux_with_breaks(&[(TrackKind::Main, pieces)], Container::Fmp4, breaks)?;
    Ok((file, summary.notes))
}

#[test]
fn segments_of_one_timeline_are_not_touched() {
    // A known gap is no jump.
    let gap = || {
        let mut pieces = some("high-fmp4", 0..2);
        pieces.push(Piece::Gap);
        pieces.extend(some("high-fmp4", 3..5));
        pieces
    };
    for pieces in [|| folder("high-fmp4"), || broken_off(some("high-fmp4", 3..6)), gap] {
        let (file, notes) = fragments(pieces(), &[]).unwrap();
        assert!(file == bytes_of(&pieces()));
        assert_eq!(notes, [""; 0]);
    }
}

#[test]
fn times_that_start_over_go_on_behind_what_comes_before_them() {
    let again = || broken_off(some("high-fmp4", 0..3));
    let (file, notes) = fragments(again(), &[]).unwrap();
    assert_eq!(notes, ["file: 2 segments moved in time, behind what comes before them"]);
    for breaks in [[1, 3], [2, 4]] {
        assert!(fragments(again(), &breaks).unwrap().0 == file, "taken up after {breaks:?}");
    }
    // The header is there once.
    assert_eq!(file.windows(4).filter(|bytes| bytes == b"moov").count(), 1);
    let at = tempfile::tempdir().unwrap();
    let path = store(&at, "out.mp4", &file);
    let (Some(video), Some(audio)) = (times(&path, "v:0"), times(&path, "a:0")) else {
        return;
    };
    assert_eq!(video.len(), 4 * 48);
    assert_monotonic(&video);
    assert_monotonic(&audio);
    let hole = video[96][0] - video[95][0] - 1.0 / 24.0;
    assert!((-1e-4..0.03).contains(&hole), "a hole of {hole} s");
    let lead = |at: usize, sound: usize| video[at][1] - audio[sound][1];
    assert!(
        (lead(96, audio.len() / 2) - lead(0, 0)).abs() < 0.03,
        "sound stays with its picture"
    );
    decode(&path);
}

#[test]
fn a_segment_that_begins_before_the_end_of_the_one_before_is_moved_behind_it() {
    let pieces = some("high-fmp4", 0..3);
    let whole = bytes_of(&pieces);
    let mut early = some("high-fmp4", 0..3);
    let Some(Piece::Segment(last)) = early.last_mut() else {
        panic!("a segment");
    };
    // Half a second in the ticks of the video and of the sound; ISO 14496-12 §8.8.12 and §8.16.3, version 1.
    for (kind, skip) in [(b"tfdt", 8), (b"sidx", 16)] {
        let mut ticks = [6144, 24_000].into_iter();
        for at in 0..last.len() - 24 {
            if last[at..at + 5] == [&kind[..], &[1]].concat() {
                let place = &mut last[at + skip..at + skip + 8];
                let time = u64::from_be_bytes((&*place).try_into().unwrap()) - ticks.next().unwrap();
                place.copy_from_slice(&time.to_be_bytes());
            }
        }
        assert_eq!(ticks.next(), None);
    }
    let (file, notes) = fragments(early, &[]).unwrap();
    assert!(file == whole, "both tracks go where they would have been");
    assert_eq!(
        notes,
        [
            "file: 1 segments moved in time, behind what comes before them",
            "file: 1 unannounced jumps of time stamps closed"
        ]
    );
}

#[test]
fn other_codec_parameters_are_refused_with_a_word_on_what_can_follow() {
    let lanes = |pieces| [(TrackKind::Main, pieces)];
    let change = || broken_off(some("low-fmp4", 0..3));
    for container in [Container::Fmp4, Container::Mp4] {
        let made = mux_with_breaks(&lanes(change()), container, &[]);
        if container == Container::Mp4 {
            made.unwrap();
            continue;
        }
        let Err(MuxError::Unsupported { what }) = made else {
            panic!("{container:?}")
        };
        assert!(what.contains(".mp4") && what.contains("--split changes"), "{what}");
    }
    let (files, _) = files(Split::new(Container::Fmp4.muxer()), &lanes(change()), &[0; 7]);
    assert_eq!(files.len(), 2);
    for ((_, file), source) in files.iter().zip(["high-fmp4", "low-fmp4"]) {
        assert!(*file == bytes_of(&some(source, 0..3)), "{source}");
    }
}

#[test]
fn fragments_made_of_samples_refuse_other_codec_parameters_too() {
    let mut pictures = some("high-ts", 0..2);
    pictures.push(Piece::Discontinuity);
    pictures.extend(some("low-ts", 2..4));
    let made = mux_with_breaks(&[(TrackKind::Main, pictures)], Container::Fmp4, &[]);
    let Err(MuxError::Unsupported { what }) = made else {
        panic!("it was made")
    };
    assert!(what.contains(".mp4") && what.contains("--split changes"), "{what}");
}
