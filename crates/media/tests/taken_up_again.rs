//! Put aside between segments and taken up again: what comes out is what an undisturbed run gives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};

use aqueduct_media::{Event, Sample, fmp4, mp4, packed, ts};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-server/media");
    fs::read(folder.join(name)).unwrap()
}

fn again<T: Serialize + DeserializeOwned>(value: &mut T) {
    let bytes = postcard::to_stdvec(value).unwrap();
    *value = postcard::from_bytes(&bytes).unwrap();
}

/// The pieces between the cuts, which are any places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

fn transport_stream() -> Vec<u8> {
    (0..6).flat_map(|n| read(&format!("high-ts/{n}.ts"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_transport_stream_cut_anywhere(cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let bytes = transport_stream();
        let (mut undisturbed, mut disturbed) = (ts::Demuxer::default(), ts::Demuxer::default());
        let (mut expected, mut events) = (Vec::new(), Vec::new());
        for piece in pieces(&bytes, &cuts) {
            undisturbed.push(piece, &mut expected);
            disturbed.push(piece, &mut events);
            again(&mut disturbed);
        }
        undisturbed.finish(&mut expected);
        disturbed.finish(&mut events);
        prop_assert_eq!(&format!("{events:?}"), &format!("{expected:?}"));
        prop_assert!(events == expected, "the bytes of some samples differ");
        prop_assert_eq!(disturbed.stats(), undisturbed.stats());
    }

    /// The account of a file: restored from the parts that were serialised along the way, it makes the same index.
    #[test]
    fn the_account_of_a_file(saves in proptest::collection::vec(0_usize..850, 0..20)) {
        let mut demuxer = ts::Demuxer::default();
        let mut events = Vec::new();
        demuxer.push(&transport_stream(), &mut events);
        demuxer.finish(&mut events);
        let (mut undisturbed, _) = mp4::Writer::start(&mp4::Options::default());
        let (mut writer, _) = mp4::Writer::start(&mp4::Options::default());
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for (at, event) in events.iter().enumerate() {
            for writer in [&mut undisturbed, &mut writer] {
                match event {
                    Event::Config { config, .. } => drop(writer.add_track(config)),
                    Event::Sample { track, sample } => writer.add(track.0 as usize, sample, sample.data.len()).unwrap(),
                }
            }
            if saves.contains(&at) {
                parts.push(postcard::to_stdvec(&writer).unwrap());
                writer.mark_saved();
                let mut restored: Option<mp4::Writer> = None;
                for part in &parts {
                    let mut next: mp4::Writer = postcard::from_bytes(part).unwrap();
                    if let Some(earlier) = restored.take() {
                        next.put_behind(earlier);
                    }
                    restored = Some(next);
                }
                writer = restored.unwrap();
            }
        }
        let parts_bytes: usize = parts.iter().map(Vec::len).sum();
        prop_assert!(parts_bytes < 10 * events.len() + 600 * parts.len(), "{parts_bytes} bytes in {} parts", parts.len());
        prop_assert_eq!(writer.finish().unwrap(), undisturbed.finish().unwrap());
    }
}

#[test]
fn fragmented_mp4_between_segments() {
    let (mut undisturbed, mut disturbed) = (fmp4::Demuxer::default(), fmp4::Demuxer::default());
    let (mut expected, mut events) = (Vec::new(), Vec::new());
    let init = read("high-fmp4/init.mp4");
    undisturbed.init(&init, &mut expected).unwrap();
    disturbed.init(&init, &mut events).unwrap();
    for n in 0..6 {
        again(&mut disturbed);
        let segment = read(&format!("high-fmp4/{n}.m4s"));
        undisturbed.segment(&segment, &mut expected).unwrap();
        disturbed.segment(&segment, &mut events).unwrap();
    }
    assert!(!events.is_empty());
    assert_eq!(events, expected);
}

#[test]
fn packed_audio_between_segments() {
    let (mut undisturbed, mut disturbed) = (packed::Demuxer::default(), packed::Demuxer::default());
    let (mut expected, mut events): (Vec<Event>, Vec<Event>) = Default::default();
    // AAC LC, 48 kHz, stereo, 9 bytes a frame.
    let frame = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0x21, 0x10];
    for _ in 0..4 {
        undisturbed.segment(&frame.repeat(5), &mut expected);
        disturbed.segment(&frame.repeat(5), &mut events);
        again(&mut disturbed);
    }
    let samples = events
        .iter()
        .filter(|event| matches!(event, Event::Sample { sample: Sample { .. }, .. }));
    assert_eq!(samples.count(), 20);
    assert_eq!(events, expected);
}

/// What a demuxer makes of a stream, in batches of so many events.
fn batches(size: usize) -> Vec<Vec<Event>> {
    let (mut demuxer, mut events) = (ts::Demuxer::default(), Vec::new());
    demuxer.push(&transport_stream(), &mut events);
    demuxer.finish(&mut events);
    events.chunks(size).map(<[Event]>::to_vec).collect()
}

/// A writer that has written the beginning goes on behind what another one wrote, with a batch in front of which it knows the one that
/// still waits.
fn goes_on_behind<W: Default>(
    mut write: impl FnMut(&mut W, &[Event]) -> Vec<u8>,
    mut skip: impl FnMut(&mut W),
    mut go_on: impl FnMut(&mut W, &[u8]),
) {
    let batches = batches(90);
    let mut undisturbed = W::default();
    let written: Vec<Vec<u8>> = batches.iter().map(|batch| write(&mut undisturbed, batch)).collect();
    assert!(batches.len() > 5);
    for at in 3..batches.len() {
        let mut writer = W::default();
        write(&mut writer, &batches[0]);
        skip(&mut writer);
        write(&mut writer, &batches[at - 1]);
        go_on(&mut writer, &written[..at].concat());
        assert!(write(&mut writer, &batches[at]) == written[at], "batch {at}");
    }
}

fn number(tracks: &mut Vec<aqueduct_media::TrackId>, track: aqueduct_media::TrackId) -> (usize, bool) {
    let known = tracks.iter().position(|known| *known == track);
    (
        known.unwrap_or_else(|| {
            tracks.push(track);
            tracks.len() - 1
        }),
        known.is_none(),
    )
}

#[derive(Default)]
struct Tracks<W> {
    writer: W,
    tracks: Vec<aqueduct_media::TrackId>,
}

#[test]
fn packets_behind_others() {
    goes_on_behind::<Tracks<ts::Writer>>(
        |made, events| {
            let mut out = Vec::new();
            for event in events {
                match event {
                    Event::Config { track, config } => {
                        if number(&mut made.tracks, *track).1 {
                            made.writer.add_track(config).unwrap();
                        }
                    }
                    Event::Sample { track, sample } => {
                        let (track, _) = number(&mut made.tracks, *track);
                        made.writer.add(track, &sample.as_slice(&[]), &mut out).unwrap();
                    }
                }
            }
            made.writer.flush(&mut out);
            out
        },
        |_| {},
        |made, front| made.writer.go_on_behind(front),
    );
}

#[test]
fn fragments_behind_others() {
    goes_on_behind::<Tracks<mp4::FragmentWriter>>(
        |made, events| {
            let mut out = Vec::new();
            for event in events {
                match event {
                    Event::Config { track, config } => {
                        if number(&mut made.tracks, *track).1 {
                            made.writer.add_track(config).unwrap();
                        }
                    }
                    Event::Sample { track, sample } => {
                        let (track, _) = number(&mut made.tracks, *track);
                        made.writer.add(track, &sample.as_slice(&[])).unwrap();
                    }
                }
            }
            made.writer.flush(false, &mut out).unwrap();
            out
        },
        |made| (0..made.tracks.len()).for_each(|track| made.writer.skip(track)),
        |made, front| made.writer.go_on_behind(front),
    );
}

proptest! {
    /// What stands in a file may be anything.
    #[test]
    fn writers_behind_any_bytes(front in proptest::collection::vec(any::<u8>(), 0..600), sync in proptest::bool::ANY) {
        let mut front = front;
        if sync {
            front.chunks_mut(188).for_each(|packet| packet[0] = 0x47);
        }
        ts::Writer::default().go_on_behind(&front);
        let fragment = [&front[..], b"emsg\x01\0\0\0", b"moof\0\0\0\x10mfhd\0\0\0\0"].concat();
        mp4::FragmentWriter::default().go_on_behind(&fragment);
    }
}
