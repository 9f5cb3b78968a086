//! The MP4 writer: its index as another crate reads it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use aqueduct_media::{
    Error, Language, Roles, Sample, TrackConfig, TrackKind,
    mp4::{Options, Writer},
};
use bytes::Bytes;
use mp4_atom::{Decode, ElstEntry, Header, Moov};
use proptest::prelude::*;

/// A `tx3g`-like entry of an unknown kind: the writer copies it as it is.
fn entry(kind: &[u8; 4]) -> Bytes {
    Bytes::from([&16_u32.to_be_bytes()[..], kind, &[0, 0, 0, 0, 0, 0, 0, 1]].concat())
}

fn config(kind: TrackKind, timescale: u32) -> TrackConfig {
    TrackConfig {
        kind,
        handler: if kind == TrackKind::Video { *b"vide" } else { *b"soun" },
        timescale,
        sample_entry: entry(b"xxxx"),
        display_size: if kind == TrackKind::Video { (640, 360) } else { (0, 0) },
        matrix: None,
        language: Language::new(b"deu"),
        name: Some("Stimme".into()),
        language_tag: None,
        roles: Roles::default(),
        presentation_offset: None,
    }
}

fn sample(dts: i64, pts: i64, duration: u32, sync: bool) -> Sample<()> {
    Sample {
        dts,
        pts,
        duration: Some(duration),
        sync,
        data: (),
    }
}

/// Finishes a file whose samples are all zeros, and gives it with its index.
fn finished(writer: Writer, mut file: Vec<u8>) -> (Vec<u8>, Moov) {
    file.resize(usize::try_from(writer.position()).unwrap(), 0);
    let finish = writer.finish().unwrap();
    file.extend_from_slice(&finish.append);
    for patch in finish.patches {
        let at = usize::try_from(patch.offset).unwrap();
        file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    let moov = moov(&file);
    (file, moov)
}

/// Walks all boxes of a file, which must fill it, and reads the index.
fn moov(file: &[u8]) -> Moov {
    let mut rest = file;
    let mut found = None;
    while !rest.is_empty() {
        let whole = rest;
        let header = Header::decode(&mut rest).unwrap();
        if header.kind == b"moov".into() {
            let mut bytes = whole;
            found = Some(Moov::decode(&mut bytes).unwrap());
        }
        rest = &rest[header.size.unwrap()..];
    }
    found.unwrap()
}

#[test]
fn tables_say_what_was_added() {
    let (mut writer, start) = Writer::start(&Options::default());
    let video = writer.add_track(&config(TrackKind::Video, 90_000));
    let audio = writer.add_track(&config(TrackKind::Audio, 48_000));
    // Two B-frames; the picture is 2 frames late, the sound begins 0.5 s after it.
    for (n, offset) in [2, 4, 2, 0, 1].into_iter().enumerate() {
        let dts = 982_800 + 3600 * n as i64;
        writer.add(video, &sample(dts, dts + 3600 * offset, 3600, n == 0), 100 + n).unwrap();
    }
    let first_sound = (982_800 + 7200 + 45_000) * 48 / 90;
    for n in 0..3 {
        writer
            .add(audio, &sample(first_sound + 1024 * n, first_sound + 1024 * n, 1024, true), 10)
            .unwrap();
    }
    writer.add(video, &sample(1_000_800, 1_008_000, 3600, true), 7).unwrap();
    let (_, moov) = finished(writer, start);

    let [picture, sound] = &moov.trak[..] else { panic!("two tracks") };
    let table = &picture.mdia.minf.stbl;
    let deltas: Vec<_> = table
        .stts
        .entries
        .iter()
        .map(|entry| (entry.sample_count, entry.sample_delta))
        .collect();
    assert_eq!(deltas, [(6, 3600)]);
    let offsets: Vec<_> = table
        .ctts
        .as_ref()
        .unwrap()
        .entries
        .iter()
        .map(|entry| (entry.sample_count, entry.sample_offset))
        .collect();
    assert_eq!(offsets, [(1, 7200), (1, 14_400), (1, 7200), (1, 0), (1, 3600), (1, 7200)]);
    assert_eq!(table.stss.as_ref().unwrap().entries, [1, 6]);
    let chunks: Vec<_> = table
        .stsc
        .entries
        .iter()
        .map(|entry| (entry.first_chunk, entry.samples_per_chunk))
        .collect();
    assert_eq!(chunks, [(1, 5), (2, 1)]);
    let offsets = &table.stco.as_ref().unwrap().entries;
    assert_eq!(offsets[1] - offsets[0], 100 + 101 + 102 + 103 + 104 + 30);
    assert!(sound.mdia.minf.stbl.stss.is_none(), "all are sync samples");
    assert!(sound.mdia.minf.stbl.ctts.is_none(), "none is late");

    let edits = |track: &mp4_atom::Trak| track.edts.as_ref().unwrap().elst.as_ref().unwrap().entries.clone();
    let scale = u64::from(moov.mvhd.timescale);
    assert_eq!(scale % 90_000 + scale % 48_000, 0, "both clocks are exact");
    // The first picture to be seen is the fourth, 3 frames after decoding began.
    let entry = |duration: u64, media_time| ElstEntry {
        segment_duration: duration,
        media_time,
        media_rate: 1.into(),
    };
    assert_eq!(edits(picture)[0].media_time, Some(7200));
    assert_eq!(edits(sound), [entry(scale / 2, None), entry(3 * 1024 * scale / 48_000, Some(0))]);
    assert_eq!(sound.mdia.mdhd.language, "deu");
    assert_eq!(sound.mdia.hdlr.name, "Stimme");
    assert_eq!(picture.tkhd.width.integer(), 640);
    assert_eq!(sound.tkhd.alternate_group, 0, "without a rival");
}

#[test]
fn a_priming_edit_is_kept() {
    let (mut writer, start) = Writer::start(&Options::default());
    let mut video = config(TrackKind::Video, 90_000);
    video.presentation_offset = Some(-7200);
    let mut audio = config(TrackKind::Audio, 48_000);
    audio.presentation_offset = Some(-1024);
    let (video, audio) = (writer.add_track(&video), writer.add_track(&audio));
    for n in 0..10 {
        writer.add(video, &sample(3600 * n, 3600 * n + 7200, 3600, true), 10).unwrap();
        writer.add(audio, &sample(1024 * n, 1024 * n, 1024, true), 10).unwrap();
    }
    let (_, moov) = finished(writer, start);
    let edits: Vec<_> = moov
        .trak
        .iter()
        .map(|track| {
            let entries = &track.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
            (entries.len(), entries[0].media_time)
        })
        .collect();
    assert_eq!(edits, [(1, Some(7200)), (1, Some(1024))]);
    assert_eq!(moov.trak[1].tkhd.duration, 9 * 1024 * u64::from(moov.mvhd.timescale) / 48_000);
}

#[test]
fn new_parameters_are_another_entry_and_known_ones_are_found_again() {
    let (mut writer, start) = Writer::start(&Options::default());
    let first = config(TrackKind::Video, 90_000);
    let mut second = first.clone();
    second.sample_entry = entry(b"yyyy");
    second.timescale = 1000;
    let track = writer.add_track(&first);
    writer.add(track, &sample(0, 0, 90_000, true), 1).unwrap();
    writer.configure(track, &second).unwrap();
    writer.add(track, &sample(1000, 1000, 500, true), 1).unwrap();
    writer.configure(track, &first).unwrap();
    writer.add(track, &sample(135_000, 135_000, 90_000, true), 1).unwrap();
    let (_, moov) = finished(writer, start);
    let table = &moov.trak[0].mdia.minf.stbl;
    assert_eq!(table.stsd.codecs.len(), 2);
    let chunks: Vec<_> = table
        .stsc
        .entries
        .iter()
        .map(|entry| (entry.first_chunk, entry.sample_description_index))
        .collect();
    assert_eq!(chunks, [(1, 1), (2, 2), (3, 1)]);
    let deltas: Vec<_> = table
        .stts
        .entries
        .iter()
        .map(|entry| (entry.sample_count, entry.sample_delta))
        .collect();
    assert_eq!(deltas, [(1, 90_000), (1, 45_000), (1, 90_000)]);
}

#[test]
fn the_index_goes_to_the_front_where_it_fits() {
    for (reserve, front) in [(0, false), (100, false), (1 << 16, true)] {
        let (mut writer, start) = Writer::start(&Options::default().with_reserve(reserve));
        let track = writer.add_track(&config(TrackKind::Audio, 48_000));
        for n in 0..100 {
            writer.add(track, &sample(1024 * n, 1024 * n, 1024, true), 10).unwrap();
        }
        let (file, moov) = finished(writer, start);
        let at = |kind: &[u8]| file.windows(4).position(|window| window == kind).unwrap();
        assert_eq!(at(b"moov") < at(b"mdat"), front, "{reserve}");
        assert_eq!(
            moov.trak[0].mdia.minf.stbl.stsz.samples,
            mp4_atom::StszSamples::Different { sizes: vec![10; 100] }
        );
    }
}

#[test]
fn what_no_table_can_hold_is_refused_and_changes_nothing() {
    let (mut writer, start) = Writer::start(&Options::default());
    let track = writer.add_track(&config(TrackKind::Video, 90_000));
    writer.add_track(&config(TrackKind::Audio, 48_000));
    writer.add(track, &sample(5000, 5000, 3600, true), 1).unwrap();
    let position = writer.position();
    assert!(matches!(
        writer.add(track, &sample(4999, 5000, 1, true), 1),
        Err(Error::TimeRunsBack { .. })
    ));
    assert!(matches!(
        writer.add(track, &sample(1 << 40, 1 << 40, 1, true), 1),
        Err(Error::TooLarge("stts"))
    ));
    assert!(matches!(
        writer.add(track, &sample(5000, 1 << 40, 1, true), 1),
        Err(Error::TooLarge("ctts"))
    ));
    assert!(matches!(writer.add(9, &sample(0, 0, 1, true), 1), Err(Error::UnknownTrack(9))));
    assert_eq!(writer.position(), position);
    let (_, moov) = finished(writer, start);
    assert_eq!(moov.trak.len(), 1, "a track without samples is left out");
    assert_eq!(moov.trak[0].mdia.mdhd.duration, 3600);
}

proptest! {
    #[test]
    fn any_samples_make_a_readable_index(
        samples in proptest::collection::vec((0_usize..3, 0_u32..100_000, -100_000_i64..100_000, 0_usize..1000, any::<bool>()), 0..300),
    ) {
        let (mut writer, start) = Writer::start(&Options::default());
        for timescale in [90_000, 44_100, 7] {
            writer.add_track(&config(TrackKind::Other, timescale));
        }
        let mut dts = [0_i64; 3];
        let mut counts = [0_usize; 3];
        for (track, step, offset, len, sync) in samples {
            dts[track] += i64::from(step);
            counts[track] += 1;
            writer.add(track, &sample(dts[track], dts[track] + offset, step, sync), len).unwrap();
        }
        if counts == [0; 3] {
            return Ok(());
        }
        let (_, moov) = finished(writer, start);
        let counts: Vec<_> = counts.into_iter().filter(|&count| count > 0).collect();
        prop_assert_eq!(moov.trak.len(), counts.len());
        for (track, count) in moov.trak.iter().zip(counts) {
            let sizes = match &track.mdia.minf.stbl.stsz.samples {
                mp4_atom::StszSamples::Different { sizes } => sizes.len(),
                _ => 0,
            };
            prop_assert_eq!(sizes, count);
        }
    }
}

#[test]
fn samples_that_need_others_before_them_are_grouped_by_that() {
    let boxed = |kind: &[u8; 4], body: &[u8]| [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat();
    // Opus in ISOBMFF §4.3.6.2: 80 ms of pre-roll. ISO 14496-12 §8.9.3 and §8.9.2: versions 1 and 0, all samples in group 1.
    for (kind, ticks, distance) in [
        (b"Opus", 960, Some(-4_i16)),
        (b"Opus", 2880, Some(-2)),
        (b"Opus", 120, Some(-32)),
        (b"mp4a", 960, None),
    ] {
        let mut config = config(TrackKind::Audio, 48_000);
        config.sample_entry = boxed(kind, &[0; 28]).into();
        let (mut writer, _) = Writer::start(&Options::default());
        let track = writer.add_track(&config);
        for n in 0..5 {
            writer
                .add(track, &sample(n * ticks, n * ticks, u32::try_from(ticks).unwrap(), true), 1)
                .unwrap();
        }
        let index = writer.finish().unwrap().append;
        let expected = distance.map(|distance| {
            let description = [&[1, 0, 0, 0][..], b"roll", &[0, 0, 0, 2, 0, 0, 0, 1], &distance.to_be_bytes()].concat();
            let members = [&[0; 4][..], b"roll", &[0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1]].concat();
            [boxed(b"sgpd", &description), boxed(b"sbgp", &members)].concat()
        });
        match expected {
            Some(groups) => assert!(index.windows(groups.len()).any(|bytes| bytes == groups), "{ticks}"),
            None => assert!(!index.windows(4).any(|bytes| bytes == b"sgpd")),
        }
    }
}
