//! One file for each discontinuity.

use aqueduct_core::TrackKind;
use aqueduct_mux::{Container, Split};

use crate::common::{Piece, bytes_of, files, folder, judge};

/// The initialization section of a folder and these segments of it.
fn part(name: &str, numbers: std::ops::Range<usize>) -> Vec<Piece> {
    let mut pieces = folder(name).into_iter();
    let init = pieces.next();
    let segments = pieces.enumerate().filter(|(number, _)| numbers.contains(number));
    init.into_iter().chain(segments.map(|(_, piece)| piece)).collect()
}

/// Four segments with a discontinuity in the middle, under one initialization section.
fn cut(name: &str) -> Vec<Piece> {
    let mut pieces = part(name, 0..2);
    pieces.push(Piece::Discontinuity);
    pieces.extend(part(name, 2..4).into_iter().skip(1));
    pieces
}

#[test]
fn every_track_of_a_file_is_of_one_period_and_has_its_initialization_section() {
    let lanes = || [(TrackKind::Main, cut("video-fmp4")), (TrackKind::Audio, cut("main-audio-fmp4"))];
    // In turn; sound ahead of its pictures; pictures far ahead.
    for turns in [
        [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
        [1, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
    ] {
        let (files, summary) = files(Split::new(Container::Mp4.muxer()), &lanes(), &turns);
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["001", "002"]);
        assert_eq!(summary.notes, ["2 files, one for each discontinuity"]);
        for ((_, file), numbers) in files.iter().zip([0..2, 2..4]) {
            let source = |name| bytes_of(&part(name, numbers.clone()));
            judge(file, &[("v:0", source("video-fmp4")), ("a:0", source("main-audio-fmp4"))]);
        }
    }
}

#[test]
fn a_period_of_which_nothing_came_keeps_its_number_and_a_track_that_ended_is_not_waited_for() {
    let mut pieces: Vec<Piece> = folder("high-ts").into_iter().take(1).collect();
    pieces.extend([Piece::Discontinuity, Piece::Gap, Piece::Discontinuity]);
    pieces.extend(folder("high-ts").into_iter().take(1));
    let sound = folder("main-audio-ts").into_iter().take(1).collect();
    let (files, summary) = files(
        Split::new(Container::Ts.muxer()),
        &[(TrackKind::Main, pieces), (TrackKind::Audio, sound)],
        &[0, 1, 0, 0, 0, 0],
    );
    let names: Vec<_> = files.iter().map(|(name, file)| (name.as_str(), !file.is_empty())).collect();
    assert_eq!(names, [("001", true), ("003", true)]);
    assert_eq!(summary.notes, ["2 files, one for each discontinuity"]);
}
