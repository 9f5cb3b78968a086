//! Fragmented MP4: the fixture clip, and segments built box by box.
//!
//! The clip has 288 pictures and 564 audio frames in six segments; the counts are ffprobe's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, ops::Range, path::Path};

use aqueduct_media::{
    Event, Sample, TrackKind,
    fmp4::{Demuxer, Stats},
};
use proptest::prelude::*;

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-server/media/high-fmp4");
    fs::read(folder.join(name)).unwrap()
}

fn samples(events: &[Event<Range<usize>>]) -> Vec<&Sample<Range<usize>>> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Sample { sample, .. } => Some(sample),
            Event::Config { .. } => None,
        })
        .collect()
}

#[test]
fn the_clip_gives_every_sample_and_its_entries_as_they_are() {
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    let init = read("init.mp4");
    demuxer.init(&init, &mut events).unwrap();
    let configs: Vec<_> = events
        .drain(..)
        .map(|event| match event {
            Event::Config { config, .. } => config,
            Event::Sample { .. } => panic!("no samples in an initialization section"),
        })
        .collect();
    assert_eq!(
        configs.iter().map(|config| config.kind).collect::<Vec<_>>(),
        [TrackKind::Video, TrackKind::Audio]
    );
    assert_eq!(configs[0].display_size, (320, 180));
    for config in &configs {
        assert!(
            init.windows(config.sample_entry.len()).any(|window| window == config.sample_entry),
            "verbatim"
        );
    }
    let mut counts = [0, 0];
    let mut clocks = [None, None];
    for n in 0..6 {
        let segment = read(&format!("{n}.m4s"));
        demuxer.segment(&segment, &mut events).unwrap();
        for event in events.drain(..) {
            let Event::Sample { track, sample } = event else {
                panic!("nothing changes")
            };
            let at = track.0 as usize;
            counts[at] += 1;
            assert!(sample.data.end <= segment.len() && !sample.data.is_empty());
            // The stream has no holes: each sample begins where the last one ended.
            assert_eq!(*clocks[at].get_or_insert(sample.dts), sample.dts);
            clocks[at] = Some(sample.dts + i64::from(sample.duration.unwrap()));
        }
    }
    assert_eq!(counts, [288, 564]);
    assert_eq!(demuxer.stats(), &Stats::default());
}

#[test]
fn messages_beside_the_tracks_are_counted_and_no_damage() {
    let mut demuxer = Demuxer::default();
    demuxer.init(&read("init.mp4"), &mut Vec::new()).unwrap();
    // ISO 23009-1 §5.10.3.3.3, version 1: timescale, time, duration and number, then two strings and the message.
    let body = [&[1, 0, 0, 0][..], &[0; 20], b"https://aomedia.org/emsg/ID3\0\0ID3"].concat();
    let message = [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], b"emsg", &body].concat();
    let mut events = Vec::new();
    demuxer
        .segment(&[&message[..], &message, &read("0.m4s")].concat(), &mut events)
        .unwrap();
    assert_eq!((demuxer.stats().messages, samples(&events).is_empty()), (2, false));
    assert!(!demuxer.stats().is_damaged());
}

#[test]
fn more_messages_than_anybody_sends_are_counted_and_not_kept() {
    let message = |length: usize| {
        let head = [
            &[1, 0, 0, 0][..],
            &1_u32.to_be_bytes(),
            &[0; 16],
            b"https://aomedia.org/emsg/ID3\0\0",
        ]
        .concat();
        let body = [head, vec![0; length]].concat();
        [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], b"emsg", &body].concat()
    };
    for (length, sent, kept) in [(3, 5000, 1024), (1 << 20, 6, 4)] {
        let mut demuxer = Demuxer::default();
        demuxer.keep_messages();
        demuxer.init(&read("init.mp4"), &mut Vec::new()).unwrap();
        let segment = [message(length).repeat(sent), read("0.m4s")].concat();
        demuxer.segment(&segment, &mut Vec::new()).unwrap();
        assert_eq!(demuxer.take_messages().len(), kept);
        assert_eq!(demuxer.stats().messages, (sent - kept) as u64);
    }
}

#[test]
fn an_initialization_section_that_says_nothing_new_is_no_event() {
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    demuxer.init(&read("init.mp4"), &mut events).unwrap();
    events.clear();
    demuxer.init(&read("init.mp4"), &mut events).unwrap();
    assert!(events.is_empty());
}

#[test]
fn every_cut_of_a_segment_keeps_what_is_whole_and_counts_the_rest() {
    let segment = read("0.m4s");
    let mut whole = Vec::new();
    let mut demuxer = Demuxer::default();
    demuxer.init(&read("init.mp4"), &mut Vec::new()).unwrap();
    demuxer.segment(&segment, &mut whole).unwrap();
    let step = segment.len() / 97;
    for end in (0..segment.len()).step_by(step) {
        let mut demuxer = Demuxer::default();
        demuxer.init(&read("init.mp4"), &mut Vec::new()).unwrap();
        let mut events = Vec::new();
        demuxer.segment(&segment[..end], &mut events).unwrap();
        assert!(
            samples(&events).iter().all(|sample| samples(&whole).contains(sample)),
            "cut at {end}"
        );
        let lost = samples(&whole).len() - samples(&events).len();
        assert!(
            lost == 0 || end == 0 || demuxer.stats().is_damaged(),
            "cut at {end}: {lost} lost in silence"
        );
    }
}

#[test]
fn without_an_initialization_section_a_segment_is_refused() {
    let error = Demuxer::default().segment(&read("0.m4s"), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("initialization"));
    for broken in [&b""[..], b"\0\0\0\x08moov", b"\0\0\0\x08free", &read("init.mp4")[..200]] {
        assert!(Demuxer::default().init(broken, &mut Vec::new()).is_err());
    }
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes(), &kind[..], body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A segment of two samples "aaa" and "bb" of the clip's first track. `tfhd` and `trun`s are given without their
/// headers, and `base` is replaced by where `moof` begins, `data` by where the data does, counted from there.
fn segment(junk: usize, tfhd: &[u32], truns: &[&[u32]]) -> Vec<u8> {
    let build = |data: u32| {
        let fill = |field: &u32| match *field {
            DATA => data,
            BASE => u32::try_from(junk + 8).unwrap(),
            other => other,
        };
        let mut traf = boxed(b"tfhd", &words(&tfhd.iter().map(fill).collect::<Vec<_>>()));
        traf.extend(boxed(b"tfdt", &words(&[0, 1000])));
        for trun in truns {
            traf.extend(boxed(b"trun", &words(&trun.iter().map(fill).collect::<Vec<_>>())));
        }
        let moof = [boxed(b"mfhd", &words(&[0, 1])), boxed(b"traf", &traf)].concat();
        boxed(b"moof", &moof)
    };
    let len = u32::try_from(build(0).len()).unwrap();
    [boxed(b"free", &vec![0; junk]), build(len + 8), boxed(b"mdat", b"aaabb")].concat()
}

const DATA: u32 = 0xdddd_dddd;
const BASE: u32 = 0xbbbb_bbbb;

#[test]
fn every_way_to_say_where_the_data_is_finds_it() {
    const MOOF_BASE: u32 = 0x02_0000;
    // Run flags: 0x1 data offset, 0x100 duration, 0x200 size; fragment flags: 0x1 base, 0x8 duration, 0x10 size.
    type Case<'a> = (&'a str, &'a [u32], &'a [&'a [u32]]);
    let cases: [Case<'_>; 6] = [
        ("from the moof", &[MOOF_BASE, 1], &[&[0x301, 2, DATA, 10, 3, 20, 2]]),
        ("from the moof, by default", &[0, 1], &[&[0x301, 2, DATA, 10, 3, 20, 2]]),
        ("from a base", &[1, 1, 0, BASE], &[&[0x301, 2, DATA, 10, 3, 20, 2]]),
        ("two runs", &[MOOF_BASE, 1], &[&[0x301, 1, DATA, 10, 3], &[0x300, 1, 20, 2]]),
        ("default duration", &[MOOF_BASE | 8, 1, 10], &[&[0x201, 2, DATA, 3, 2]]),
        (
            "a base elsewhere is that of another file",
            &[1, 1, 7, BASE],
            &[&[0x301, 2, DATA, 10, 3, 20, 2]],
        ),
    ];
    for (name, tfhd, truns) in cases {
        for junk in [0, 33] {
            let bytes = segment(junk, tfhd, truns);
            let mut demuxer = Demuxer::default();
            let mut events = Vec::new();
            demuxer.init(&read("init.mp4"), &mut Vec::new()).unwrap();
            demuxer.segment(&bytes, &mut events).unwrap();
            let found: Vec<_> = samples(&events)
                .iter()
                .map(|sample| (sample.dts, &bytes[sample.data.clone()]))
                .collect();
            assert_eq!(found, [(1000, &b"aaa"[..]), (1010, b"bb")], "{name}");
        }
    }
}

#[test]
fn runs_that_claim_more_than_there_is_are_counted() {
    const MOOF_BASE: u32 = 0x02_0000;
    for (trun, stats) in [
        // More entries than the box has.
        (&[0x301, 9, DATA, 10, 3, 20, 2][..], (1, 0)),
        // Four thousand million samples of no bytes.
        (&[0x001, u32::MAX, DATA], (1, 0)),
        // Data beyond the end.
        (&[0x301, 2, DATA, 10, 3, 10, 3], (0, 1)),
        (&[0x301, 1, DATA, 10, u32::MAX], (0, 1)),
        // Before the beginning.
        (&[0x301, 1, 0x8000_0000, 10, 3], (1, 0)),
    ] {
        let bytes = segment(0, &[MOOF_BASE, 1], &[trun]);
        let mut demuxer = Demuxer::default();
        let mut events = Vec::new();
        demuxer.init(&read("init.mp4"), &mut Vec::new()).unwrap();
        demuxer.segment(&bytes, &mut events).unwrap();
        assert!(events.len() < 10_000);
        let found = demuxer.stats();
        assert_eq!((found.broken_moofs, found.lost_samples), stats, "{trun:x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_panics_or_points_outside(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), in_header: bool) {
        let mut init = read("init.mp4");
        let mut segment = read("0.m4s");
        let header = segment.windows(4).position(|window| window == b"mdat").unwrap();
        for (at, value) in changes {
            if in_header {
                let at = at.index(init.len());
                init[at] = value;
            } else {
                let at = at.index(header);
                segment[at] = value;
            }
        }
        let mut demuxer = Demuxer::default();
        let mut events = Vec::new();
        let _ = demuxer.init(&init, &mut events);
        let _ = demuxer.segment(&segment, &mut events);
        for sample in samples(&events) {
            prop_assert!(sample.data.end <= segment.len());
        }
    }
}
