//! Segments that came cut short, or as something else, where they are to be kept as far as they are of use.

use aqueduct_core::{Loss, Mux, MuxError, Presentation, Track, TrackId, TrackKind};
use aqueduct_mux::{Container, Split};

use super::common::{Piece, decode, folder, item, run, store, write};

/// The file of these pieces, and what each of them lacks.
fn made(mut muxer: impl Mux, pieces: &[Piece]) -> Result<(Vec<u8>, Vec<Option<Loss>>), MuxError> {
    let track = Track::new(TrackId::new(0), TrackKind::Main, "Name");
    muxer.begin(&Presentation::new(vec![track]), true)?;
    let (mut file, mut writes, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for (at, piece) in pieces.iter().enumerate() {
        if let Some(item) = item(0, at, Some(piece), &mut 0) {
            muxer.push(TrackId::new(0), item, &mut writes)?;
        }
        losses.push(muxer.take_loss());
        write(&mut file, &mut writes);
    }
    muxer.finish(&mut writes)?;
    write(&mut file, &mut writes);
    Ok((file, losses))
}

/// The clip with one segment of which only so much came.
fn cut(name: &str, number: usize, part: f64) -> Vec<Piece> {
    let mut pieces = folder(name);
    if let Piece::Segment(bytes) = &mut pieces[number] {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in it"
        )]
        bytes.truncate((bytes.len() as f64 * part) as usize | 1);
    }
    pieces
}

fn packets(path: &str, stream: &str) -> Option<usize> {
    let entries = [
        "-v",
        "error",
        "-select_streams",
        stream,
        "-show_entries",
        "packet=size",
        "-of",
        "csv=p=0",
        path,
    ];
    Some(run("ffprobe", &entries)?.lines().filter(|line| !line.is_empty()).count())
}

#[test]
fn what_is_whole_of_a_segment_that_was_cut_short_is_kept_and_decodes() {
    for (name, number) in [("high-ts", 2), ("high-fmp4", 3)] {
        for part in [0.3, 0.93] {
            for (container, extension) in [
                (Container::Mp4, "mp4"),
                (Container::Mkv, "mkv"),
                (Container::Ts, "ts"),
                (Container::Fmp4, "m4s"),
            ] {
                let what = format!("{name} {number} {part} as {extension}");
                let pieces = cut(name, number, part);
                let error = made(container.muxer(), &pieces).unwrap_err().to_string();
                assert!(error.contains("cut short"), "{what}: {error}");
                let (file, losses) = made(container.muxer().keeping_cut(true), &pieces).unwrap();
                for (at, loss) in losses.iter().enumerate() {
                    assert_eq!(loss.is_some(), at == number, "{what}: {at} {loss:?}");
                }
                let loss = losses[number].as_ref().unwrap();
                assert!(loss.why.contains("cut short"), "{what}: {loss:?}");
                let folder = tempfile::tempdir().unwrap();
                let path = store(&folder, &format!("out.{extension}"), &file);
                let all = made(container.muxer(), &super::common::folder(name)).unwrap().0;
                let all = store(&folder, &format!("all.{extension}"), &all);
                let mut lost = 0;
                for stream in ["v:0", "a:0"] {
                    let (Some(found), Some(all)) = (packets(&path, stream), packets(&all, stream)) else {
                        return;
                    };
                    // A sixth of all is in the segment, and sound may overlap its end.
                    assert!(
                        found <= all && found >= all * 5 / 6 - 5,
                        "{what}: {found} of {all} packets of {stream}"
                    );
                    assert!(
                        part < 0.9 || !loss.kept || found > all * 11 / 12,
                        "{what}: {found} of {all} packets of {stream}"
                    );
                    lost += all - found;
                }
                assert!(lost > 0, "{what}");
                // Bytes as they came are not looked into.
                if !(name == "high-ts" && container == Container::Ts) {
                    decode(&path);
                }
            }
        }
    }
}

#[test]
fn what_is_no_media_is_a_gap() {
    for text in [&b"<!DOCTYPE html><title>Log in</title>"[..], b"busy, try again"] {
        for container in [Container::Mp4, Container::Ts, Container::Fmp4] {
            let mut pieces = folder("high-ts");
            pieces[2] = Piece::Segment(text.to_vec());
            made(container.muxer(), &pieces).unwrap_err();
            let (file, losses) = made(container.muxer().keeping_cut(true), &pieces).unwrap();
            assert!(losses[2].as_ref().is_some_and(|loss| !loss.kept), "{losses:?}");
            pieces[2] = Piece::Gap;
            assert!(file == made(container.muxer(), &pieces).unwrap().0, "{container:?}");
        }
    }
    // Also in front of all.
    let mut pieces = folder("high-ts");
    pieces.insert(0, Piece::Segment(b"<html>".to_vec()));
    let (_, losses) = made(Container::Mp4.muxer().keeping_cut(true), &pieces).unwrap();
    assert!(losses[0].as_ref().is_some_and(|loss| !loss.kept) && losses[1..].iter().all(Option::is_none));
}

#[test]
fn a_segment_that_waits_for_its_file_is_told_when_it_comes() {
    let mut pieces = cut("high-ts", 2, 0.5);
    pieces[4] = Piece::Segment(b"<html>".to_vec());
    assert_eq!(told(Container::Mp4, &pieces), [None, None, Some(true), None, Some(false), None]);
}

// Its only fragment lacks media, and as it is it is of no use. Samples can be taken out of it.
#[test]
fn what_a_split_keeps_of_a_segment_is_told_by_what_makes_its_files() {
    for number in [1, 3] {
        let pieces = cut("high-fmp4", number, 0.5);
        for (container, kept) in [(Container::Fmp4, false), (Container::Mp4, true), (Container::Ts, true)] {
            let mut expected = vec![None; pieces.len()];
            expected[number] = Some(kept);
            assert_eq!(told(container, &pieces), expected, "{container:?} without all of {number}");
        }
    }
}

/// Whether a split keeps something of each piece that lacks something.
fn told(container: Container, pieces: &[Piece]) -> Vec<Option<bool>> {
    let mut muxer = Split::new(container.muxer().keeping_cut(true)).at_changes(true);
    let track = Track::new(TrackId::new(0), TrackKind::Main, "Name");
    muxer.begin(&Presentation::new(vec![track]), true).unwrap();
    let told = pieces.iter().enumerate().map(|(at, piece)| {
        let item = item(0, at, Some(piece), &mut 0).unwrap();
        muxer.push(TrackId::new(0), item, &mut Vec::new()).unwrap();
        muxer.take_loss().map(|loss| loss.kept)
    });
    told.collect()
}
