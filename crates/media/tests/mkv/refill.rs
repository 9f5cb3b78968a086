//! A file put together anew of what writers wrote is the one that a writer writes of all at once.

use aqueduct_media::mkv::{Finish, Refill, Rest, have_the_same_blocks};

use super::*;

/// What a writer made, with the bytes that each run of samples brought.
struct Written {
    pieces: Vec<Vec<u8>>,
    finish: Finish,
}

impl Written {
    /// Of these runs of samples; the first has the head.
    fn of(options: &Options, tracks: &[TrackConfig], runs: &[&[(usize, Sample)]]) -> Self {
        let mut writer = Writer::new(options);
        for track in tracks {
            writer.add_track(track).unwrap();
        }
        let pieces = runs.iter().map(|run| {
            let mut piece = Vec::new();
            for (track, sample) in *run {
                writer.add(*track, &sample.as_slice(&[]), &mut piece).unwrap();
            }
            writer.flush(&mut piece);
            piece
        });
        Self {
            pieces: pieces.collect(),
            finish: writer.finish().unwrap(),
        }
    }

    fn rest(&self) -> Rest {
        Rest::read(&self.finish.append).unwrap()
    }

    fn file(&self) -> Vec<u8> {
        complete(self.pieces.concat(), &self.finish)
    }
}

fn complete(mut file: Vec<u8>, finish: &Finish) -> Vec<u8> {
    file.extend_from_slice(&finish.append);
    for patch in &finish.patches {
        let at = usize::try_from(patch.offset).unwrap();
        file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    file
}

fn cue(text: &str, end_ms: i64) -> Vec<u8> {
    let cue = Cue {
        end_ms,
        text: text.into(),
        settings: "line:0".into(),
        ..Cue::default()
    };
    wvtt::encode(&[&cue], 0)
}

/// Pictures, sound and text, `seconds` long, with a key frame every `apart` pictures of 25 a second.
fn samples(seconds: i64, apart: i64, last: u32, sizes: &[usize]) -> Vec<(usize, Sample)> {
    let mut samples = Vec::new();
    for number in 0..seconds * 25 {
        let size = sizes[usize::try_from(number).unwrap() % sizes.len()];
        let mut picture = sample(number * 3600, last, number % apart == 0, vec![number.to_le_bytes()[0]; size]);
        picture.pts += number % 3 * 3600;
        samples.push((0, picture));
        samples.push((1, sample(number * 1920, 1536, true, vec![7; size % 100])));
        // The first before the head is written: it does not tell of text that never comes.
        if number % 60 == 5 {
            samples.push((2, sample(number * 40, 500, true, cue("Text", 500))));
        }
    }
    samples
}

fn tracks() -> [TrackConfig; 3] {
    [vp8(90_000), ac3(), config(TrackKind::Subtitle, 1000, wvtt::sample_entry(&[]))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_missing_is_put_between_what_is_there(
        seconds in 4_i64..20,
        apart in prop::sample::select(vec![1_i64, 5, 12, 13, 25, 50]),
        last in 1_u32..100_000,
        sizes in prop::collection::vec(0_usize..5000, 1..20),
        run in 20_usize..120,
        (from, missing) in (0_usize..50, 1_usize..6),
        webvtt: bool,
        titled: bool,
    ) {
        let mut options = seekable();
        options.text = if webvtt { TextForm::WebVtt } else { TextForm::SubRip };
        options.metadata.title = titled.then(|| "A film".into());
        let samples = samples(seconds, apart, last, &sizes);
        let runs: Vec<_> = samples.chunks(run).collect();
        let whole = Written::of(&options, &tracks(), &runs);
        // Never the beginning: it says where the clock begins.
        let opening = whole.pieces.iter().position(|piece| !piece.is_empty()).unwrap() + 1;
        prop_assume!(runs.len() > opening);
        let from = opening + from % (runs.len() - opening);
        let behind = (from + missing).min(runs.len());
        let there = Written::of(&options, &tracks(), &[&runs[..from], &runs[behind..]].concat());
        let old = there.file();
        let rest = Rest::read(&old[there.pieces.concat().len()..]).unwrap();
        let mut refill = Refill::new(&rest);
        let (mut file, mut at) = (Vec::new(), 0);
        for (number, piece) in whole.pieces.iter().enumerate() {
            let is_missing = (from..behind).contains(&number);
            let kept = (!is_missing).then(|| if number < from { number } else { number + from - behind });
            // Of the old file, as it stands there.
            let piece = match kept.map(|kept| &there.pieces[kept]) {
                Some(kept) => {
                    at += kept.len();
                    prop_assert!(number < opening || have_the_same_blocks(kept, piece));
                    &old[at - kept.len()..at]
                }
                None => piece,
            };
            refill.add(piece).unwrap();
            file.extend_from_slice(piece);
        }
        // The end of a track may be among what was missing.
        if format!("{:?}", there.rest()) != format!("{:?}", whole.rest()) {
            refill.reaches(&whole.rest());
        }
        let clusters = whole.rest().clusters();
        refill.add(&whole.finish.append[..clusters]).unwrap();
        file.extend_from_slice(&whole.finish.append[..clusters]);
        let file = complete(file, &refill.finish().unwrap());
        // Key frames so close that not all of them are in the index go there by turns, which are others behind what was missing. Half a
        // second is enough, and they are presented three pictures earlier or later.
        let all_are_in_the_index = apart >= 25;
        prop_assert!(file == whole.file() || !all_are_in_the_index, "another file");
        let told = |bytes: &[u8]| {
            let (reader, frames) = read(bytes);
            let frames: Vec<_> = frames.into_iter().map(|frame| (frame.track, frame.timestamp, frame.is_keyframe, frame.data)).collect();
            (reader.info().duration(), frames)
        };
        prop_assert!(told(&file) == told(&whole.file()));
    }

    #[test]
    fn nothing_that_is_no_file_of_the_writer_panics(
        bytes: Vec<u8>,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..9),
        cut: prop::sample::Index,
    ) {
        let samples = samples(3, 12, 3600, &[30]);
        let mut file = Written::of(&seekable(), &tracks(), &[&samples]).file();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let (front, behind) = file.split_at(cut.index(file.len()));
        let _ = (Rest::read(&bytes), Rest::read(&file), Rest::read(behind));
        for rest in [Rest::read(behind), Ok(Written::of(&seekable(), &tracks(), &[&samples]).rest())].into_iter().flatten() {
            let mut refill = Refill::new(&rest);
            let _ = (refill.add(front), refill.add(behind), refill.add(&bytes));
            let _ = refill.finish();
        }
    }
}

#[test]
fn what_is_no_part_of_the_file_is_refused() {
    let samples = samples(3, 12, 3600, &[30]);
    let written = Written::of(&seekable(), &tracks(), &[&samples]);
    let piece = &written.pieces[0];
    let refill = || Refill::new(&written.rest());
    let cluster = |blocks: &[&[u8]]| {
        // 46 seconds.
        let inner = [&[0xe7, 0x83, 0x40, 0, 0][..], &blocks.concat()].concat();
        [&[0x1f, 0x43, 0xb6, 0x75, 0x80 | u8::try_from(inner.len()).unwrap()][..], &inner].concat()
    };
    let block = |track: u8, time: [u8; 2], flags: u8| [0xa3, 0x85, 0x80 | track, time[0], time[1], flags, 1];
    let later = block(1, [0x20, 0], 0x80);
    for (expected, bytes) in [
        (None, cluster(&[&later])),
        (None, cluster(&[&block(2, [0, 0], 0x80)])),
        (Some("a track that the file does not have"), cluster(&[&block(4, [0, 0], 0)])),
        (
            Some("cannot be read"),
            [&[0x1f, 0x43, 0xb6, 0x75, 0x8a, 0xe7, 0x81, 9][..], &block(2, [0x80, 0], 0)].concat(),
        ),
        (Some("cannot be read"), cluster(&[&block(2, [0, 0], 0x02)])),
        (Some("no block"), cluster(&[&[0xec, 0x80]])),
        (Some("a cluster without a time"), vec![0x1f, 0x43, 0xb6, 0x75, 0x80]),
        (Some("no cluster"), vec![0xec, 0x80]),
        (Some("no whole element"), vec![0x1f, 0x43, 0xb6, 0x75, 0x81]),
    ] {
        let mut refill = refill();
        refill.add(piece).unwrap();
        let added = refill.add(&bytes).map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(added, Ok(())),
            Some(expected) => assert!(added.as_ref().is_err_and(|error| error.contains(expected)), "{expected}: {added:?}"),
        }
    }
    // One that cannot be written over has no room for what is known in the end.
    let piped = Written::of(&options(false), &tracks(), &[&samples]);
    assert!(refill().add(&piped.pieces[0]).is_err());
    assert!(refill().finish().is_err(), "nothing came");
}
