//! The transport stream demuxer on the fixture clip: whole, cut in any way, and damaged in known ways.
//!
//! The clip is 12 s of H.264 (288 pictures, two B-frames, a random access point every 48) and AAC (564 frames) in
//! six segments; the counts are ffprobe's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;

use std::{fs, path::Path};

use aqueduct_media::{Event, Sample, TrackId, TrackKind, ts::Demuxer, ts::Stats};
use proptest::prelude::*;

const PACKET: usize = 188;
const PICTURES: usize = 288;
const FRAMES: usize = 564;

fn segments() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-server/media/high-ts");
    (0..6).map(|n| fs::read(folder.join(format!("{n}.ts"))).unwrap()).collect()
}

/// What came out: pictures, audio frames, and the account.
#[derive(Debug, PartialEq)]
struct Found {
    video: Vec<Sample>,
    audio: Vec<Sample>,
    configs: usize,
    stats: Stats,
}

fn demux<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Found {
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    for segment in segments {
        demuxer.push(segment, &mut events);
        demuxer.boundary(&mut events);
    }
    demuxer.finish(&mut events);
    sort(events, &demuxer)
}

fn sort(events: Vec<Event>, demuxer: &Demuxer) -> Found {
    let mut kinds: Vec<(TrackId, TrackKind)> = Vec::new();
    let mut found = Found {
        video: Vec::new(),
        audio: Vec::new(),
        configs: 0,
        stats: demuxer.stats().clone(),
    };
    for event in events {
        match event {
            Event::Config { track, config } => {
                found.configs += 1;
                kinds.push((track, config.kind));
            }
            Event::Sample { track, sample } => match kinds.iter().find(|(known, _)| *known == track).unwrap().1 {
                TrackKind::Video => found.video.push(sample),
                _ => found.audio.push(sample),
            },
        }
    }
    found
}

fn demux_all(segments: &[Vec<u8>]) -> Found {
    demux(segments.iter().map(Vec::as_slice))
}

fn pid(packet: &[u8]) -> u16 {
    u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])
}

/// Where the payload of a packet begins.
fn payload_at(packet: &[u8]) -> usize {
    if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) }
}

/// The same segments with each packet passed through `change`, which gives what stands in its place.
fn changed(segments: &[Vec<u8>], mut change: impl FnMut(usize, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut number = 0;
    segments
        .iter()
        .map(|segment| {
            segment
                .chunks(PACKET)
                .flat_map(|packet| {
                    number += 1;
                    change(number - 1, packet)
                })
                .collect()
        })
        .collect()
}

const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;

#[test]
fn a_whole_stream_gives_every_access_unit_and_counts_nothing() {
    let found = demux_all(&segments());
    assert_eq!((found.video.len(), found.audio.len(), found.configs), (PICTURES, FRAMES, 2));
    assert_eq!(found.stats, Stats::default());
    let syncs: Vec<usize> = (0..PICTURES).filter(|&n| found.video[n].sync).collect();
    assert_eq!(syncs, [0, 48, 96, 144, 192, 240]);
    assert!(found.audio.windows(2).all(|pair| pair[1].dts - pair[0].dts == 1024));
}

#[test]
fn bytes_may_come_in_any_pieces() {
    let segments = segments();
    let whole = demux_all(&segments);
    let all = segments.concat();
    for size in [1, 7, 187, 189, 5000, all.len()] {
        let mut demuxer = Demuxer::default();
        let mut events = Vec::new();
        for piece in all.chunks(size) {
            demuxer.push(piece, &mut events);
        }
        demuxer.finish(&mut events);
        assert_eq!(sort(events, &demuxer), whole, "pieces of {size}");
    }
}

#[test]
fn what_does_no_harm_changes_nothing() {
    let segments = segments();
    let whole = demux_all(&segments);
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0G\x47\0\0\0\x01\x08\x06";
    let junk: Vec<Vec<u8>> = segments.iter().map(|segment| [&png[..], segment].concat()).collect();
    let cut_end: Vec<Vec<u8>> = segments.iter().map(|segment| [&segment[..], &segment[..100]].concat()).collect();
    let mut counters = [0_u8; 0x2000];
    let restarted: Vec<Vec<u8>> = segments
        .iter()
        .map(|segment| {
            counters.fill(9);
            changed(std::slice::from_ref(segment), |_, packet| {
                let mut packet = packet.to_vec();
                let counter = &mut counters[usize::from(pid(&packet))];
                if packet[3] & 0x10 != 0 {
                    *counter = (*counter + 1) & 0xf;
                }
                packet[3] = packet[3] & 0xf0 | *counter;
                packet
            })
            .concat()
        })
        .collect();
    let without_pat = changed(&segments, |_, packet| if pid(packet) == 0 { Vec::new() } else { packet.to_vec() });
    let later_without_tables: Vec<Vec<u8>> = changed(&segments, |number, packet| {
        if number > 5 && [0, 0x1000].contains(&pid(packet)) {
            Vec::new()
        } else {
            packet.to_vec()
        }
    });
    let twice = changed(&segments, |_, packet| match pid(packet) {
        VIDEO_PID | AUDIO_PID => packet.repeat(2),
        _ => packet.to_vec(),
    });
    let padded = changed(&segments, |_, packet| {
        let mut null = vec![0xff; PACKET];
        null[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
        [packet, &null].concat()
    });
    for (name, damaged) in [
        ("junk before each segment", junk),
        ("an unfinished packet after each segment", cut_end),
        ("counters that start over in each segment", restarted),
        ("no PAT", without_pat),
        ("no PAT and PMT after the first segment", later_without_tables),
        ("every packet twice", twice),
        ("null packets", padded),
    ] {
        let found = demux_all(&damaged);
        assert_eq!(found.video, whole.video, "{name}");
        assert_eq!(found.audio, whole.audio, "{name}");
        assert!(!found.stats.is_damaged() || found.stats.junk_bytes > 0, "{name}: {:?}", found.stats);
    }
}

#[test]
fn a_lost_packet_costs_the_access_units_that_it_held() {
    let segments = segments();
    let whole = demux_all(&segments);
    for lost_pid in [VIDEO_PID, AUDIO_PID] {
        // One in the middle of the stream, that starts nothing.
        let all = segments.concat();
        let mut candidates = all
            .chunks(PACKET)
            .enumerate()
            .filter(|(_, packet)| pid(packet) == lost_pid && packet[1] & 0x40 == 0);
        let (lost, _) = candidates.nth(20).unwrap();
        let found = demux_all(&changed(
            &segments,
            |number, packet| if number == lost { Vec::new() } else { packet.to_vec() },
        ));
        assert_eq!(found.stats.continuity_errors, 1);
        assert_eq!(found.stats.damaged_units, 1);
        let (hit, spared) = if lost_pid == VIDEO_PID {
            (&found.video, &found.audio)
        } else {
            (&found.audio, &found.video)
        };
        let (hit_whole, spared_whole) = if lost_pid == VIDEO_PID {
            (&whole.video, &whole.audio)
        } else {
            (&whole.audio, &whole.video)
        };
        assert_eq!(spared, spared_whole);
        assert!(hit.len() < hit_whole.len());
        if lost_pid == VIDEO_PID {
            assert_eq!(hit.len(), PICTURES - 1);
        }
        assert!(hit.iter().all(|sample| hit_whole.contains(sample)), "what is left is unharmed");
    }
}

#[test]
fn a_stream_may_begin_in_its_middle() {
    let segments = segments();
    let whole = demux_all(&segments);
    let half = segments[1].len() / 2 / PACKET * PACKET + 77;
    let from: Vec<&[u8]> = std::iter::once(&segments[1][half..])
        .chain(segments[2..].iter().map(Vec::as_slice))
        .collect();
    let found = demux(from);
    assert_eq!(found.video, whole.video[96..]);
    assert!(found.stats.leading_units > 0);
    assert_eq!(
        found.stats.packets_before_pmt, 0,
        "what the next PMT tells of is known then: {:?}",
        found.stats
    );

    // With the tables in front, pictures before the random access point are seen, and dropped.
    let tables: Vec<u8> = segments[1]
        .chunks(PACKET)
        .filter(|packet| [0, 0x1000].contains(&pid(packet)))
        .take(2)
        .flatten()
        .copied()
        .collect();
    let first = [&tables, &segments[1][half - 77..]].concat();
    let found = demux(std::iter::once(first.as_slice()).chain(segments[2..].iter().map(Vec::as_slice)));
    assert_eq!(found.video, whole.video[96..]);
    assert!(found.stats.leading_units > 0);
}

#[test]
fn time_stamps_go_on_through_the_wrap() {
    let segments = segments();
    let whole = demux_all(&segments);
    // The first stamp becomes 2^33 - 5 s.
    let shift = (1_u64 << 33) - 5 * 90_000 - u64::try_from(whole.video[0].dts).unwrap();
    let stamp = |bytes: &mut [u8]| {
        let [b0, b1, b2, b3, b4] = [0, 1, 2, 3, 4].map(|at| u64::from(bytes[at]));
        let old = (b0 >> 1 & 7) << 30 | b1 << 22 | (b2 >> 1) << 15 | b3 << 7 | b4 >> 1;
        let new = (old + shift) & ((1 << 33) - 1);
        let byte = |value: u64| u8::try_from(value & 0xff).unwrap();
        bytes[0] = bytes[0] & 0xf1 | byte(new >> 30 << 1);
        bytes[1] = byte(new >> 22);
        bytes[2] = byte(new >> 14) | 1;
        bytes[3] = byte(new >> 7);
        bytes[4] = byte(new << 1) | 1;
    };
    let wrapped = changed(&segments, |_, packet| {
        let mut packet = packet.to_vec();
        let at = payload_at(&packet);
        if packet[1] & 0x40 != 0 && [VIDEO_PID, AUDIO_PID].contains(&pid(&packet)) {
            let flags = packet[at + 7] >> 6;
            if flags & 2 != 0 {
                stamp(&mut packet[at + 9..at + 14]);
            }
            if flags == 3 {
                stamp(&mut packet[at + 14..at + 19]);
            }
        }
        packet
    });
    let found = demux_all(&wrapped);
    for (found, whole, rate) in [(&found.video, &whole.video, 90_000), (&found.audio, &whole.audio, 48_000)] {
        assert_eq!(found.len(), whole.len());
        for (found, whole) in found.iter().zip(whole) {
            let moved = i64::try_from(shift).unwrap() * rate / 90_000;
            assert!((found.dts - whole.dts - moved).abs() <= 1 && (found.pts - whole.pts - moved).abs() <= 1);
        }
    }
}

/// The elementary stream of a PID, as its PES packets' headers and payloads.
fn pes_packets(segments: &[Vec<u8>], wanted: u16) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for packet in segments
        .iter()
        .flat_map(|segment| segment.chunks(PACKET))
        .filter(|packet| pid(packet) == wanted)
    {
        let payload = &packet[payload_at(packet)..];
        if packet[1] & 0x40 != 0 {
            let (header, data) = payload.split_at(9 + usize::from(payload[8]));
            // Without PES_packet_length, so that data may be moved about.
            found.push(([&header[..4], &[0, 0], &header[6..]].concat(), data.to_vec()));
        } else if let Some((_, data)) = found.last_mut() {
            data.extend_from_slice(payload);
        }
    }
    found
}

/// PES packets as transport packets of one stream; the payload may be of any length.
fn packetize(packets: &[(Vec<u8>, Vec<u8>)], pid: u16) -> Vec<u8> {
    let mut counter = 0;
    let mut bytes = Vec::new();
    for (header, data) in packets {
        let whole = [&header[..], data].concat();
        for (number, piece) in whole.chunks(184).enumerate() {
            let start = if number == 0 { 0x40 } else { 0 };
            let [high, low] = pid.to_be_bytes();
            let stuffing = 184 - piece.len();
            let control = if stuffing > 0 { 0x30 } else { 0x10 };
            bytes.extend_from_slice(&[0x47, start | high, low, control | counter]);
            if stuffing > 0 {
                bytes.push(u8::try_from(stuffing - 1).unwrap());
                bytes.extend(std::iter::repeat_n(0, stuffing.min(2) - 1));
                bytes.extend(std::iter::repeat_n(0xff, stuffing.saturating_sub(2)));
            }
            bytes.extend_from_slice(piece);
            counter = (counter + 1) & 0xf;
        }
    }
    bytes
}

#[test]
fn access_units_may_be_spread_over_pes_packets_in_any_way() {
    let segments = segments();
    let whole = demux_all(&segments);
    let tables: Vec<u8> = segments[0]
        .chunks(PACKET)
        .filter(|packet| [0, 0x1000].contains(&pid(packet)))
        .take(2)
        .flatten()
        .copied()
        .collect();
    let without_stamps = |header: &[u8]| [&header[..7], &[0, 0]].concat();

    // Each picture in three PES packets, of which the first has the stamps.
    let video = pes_packets(&segments, VIDEO_PID);
    let mut split = Vec::new();
    for (header, data) in &video {
        let (a, b) = (data.len() / 3, data.len() / 2);
        split.push((header.clone(), data[..a].to_vec()));
        split.push((without_stamps(header), data[a..b].to_vec()));
        split.push((without_stamps(header), data[b..].to_vec()));
    }
    let found = demux([&tables[..], &packetize(&split, VIDEO_PID)]);
    assert_eq!(found.video, whole.video);

    // A start code split between PES packets: the pictures are the same; the stamps are those of the packet
    // in which the start code ends.
    let mut shifted = video.clone();
    for at in 1..shifted.len() {
        let zeros = shifted[at].1.drain(..2).collect::<Vec<_>>();
        shifted[at - 1].1.extend(zeros);
    }
    let found = demux([&tables[..], &packetize(&shifted, VIDEO_PID)]);
    assert_eq!(found.video, whole.video);

    // Audio frames across PES packets: each packet gives its last 100 bytes to the next one.
    let mut audio = pes_packets(&segments, AUDIO_PID);
    let frames_before = whole.audio.len();
    for at in 1..audio.len() {
        let end = audio[at - 1].1.len() - 100;
        let moved = audio[at - 1].1.split_off(end);
        audio[at].1.splice(..0, moved);
    }
    let found = demux([&tables[..], &packetize(&audio, AUDIO_PID)]);
    assert_eq!(found.audio.len(), frames_before);
    assert!(found.audio.iter().zip(&whole.audio).all(|(found, whole)| found.data == whole.data));
    assert_eq!(found.stats, Stats::default());

    // All pictures of a second in one PES packet: the first has its stamps, the others follow frame by frame.
    let grouped: Vec<(Vec<u8>, Vec<u8>)> = video
        .chunks(24)
        .map(|group| (group[0].0.clone(), group.iter().flat_map(|(_, data)| data.clone()).collect()))
        .collect();
    let found = demux([&tables[..], &packetize(&grouped, VIDEO_PID)]);
    assert_eq!(found.video.len(), PICTURES);
    assert!(
        found
            .video
            .iter()
            .zip(&whole.video)
            .all(|(found, whole)| found.data == whole.data && found.dts == whole.dts)
    );
}

/// A section in one packet, with its CRC (ISO 13818-1 annex A).
fn section(pid: u16, body: &[u8]) -> Vec<u8> {
    let mut section = body.to_vec();
    section[2] = u8::try_from(body.len() + 4 - 3).unwrap();
    let crc = section.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    section.extend_from_slice(&crc.to_be_bytes());
    let [high, low] = pid.to_be_bytes();
    let mut packet = [&[0x47, 0x40 | high, low, 0x10, 0], &section[..]].concat();
    packet.resize(PACKET, 0xff);
    packet
}

/// PAT and PMT of a program with one stream.
fn tables(stream_type: u8, descriptors: &[u8]) -> Vec<u8> {
    let pat = [0, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0];
    let info = u8::try_from(descriptors.len()).unwrap();
    let pmt = [
        &[2, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0xe1, 1, 0xf0, 0, stream_type, 0xe1, 1, 0xf0, info],
        descriptors,
    ]
    .concat();
    [section(0, &pat), section(0x1000, &pmt)].concat()
}

#[test]
fn every_kind_of_audio_frame_is_found_by_its_stream_type() {
    // Header, bytes of the frame, samples in it.
    const AC3: (&[u8], usize, u32) = (&[0x0b, 0x77, 0, 0, 0x14, 0x40, 0x40], 768, 1536);
    const LAYER_3: (&[u8], usize, u32) = (&[0xff, 0xfb, 0x94, 0x64, 0, 0, 0], 384, 1152);
    let cases: [(u8, &[u8], _, &[u8; 4]); 6] = [
        (0x81, &[], AC3, b"ac-3"),
        (0xc1, &[], AC3, b"ac-3"),
        (0x06, &[0x6a, 1, 0], AC3, b"ac-3"),
        (0x06, b"\x05\x04AC-3", AC3, b"ac-3"),
        (0x03, &[], LAYER_3, b"mp4a"),
        (0x04, &[0x0a, 4, b'f', b'r', b'a', 0], LAYER_3, b"mp4a"),
    ];
    for (stream_type, descriptors, (header, len, samples), kind) in cases {
        let frame = |fill: u8| [header, &vec![fill; len - header.len()]].concat();
        // Three frames, of which the second begins in one PES packet and ends in the next.
        let stream = [frame(1), frame(2), frame(3)].concat();
        let pes = |pts: u8| vec![0, 0, 1, 0xc0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, pts];
        let mut packets = [(pes(1), stream[..len + 100].to_vec()), (pes(1), stream[len + 100..].to_vec())];
        // The second stamp belongs to the third frame.
        let third = u64::from(2 * samples) * 90_000 / 48_000;
        packets[1].0[12] = u8::try_from(third >> 7 & 0xff).unwrap();
        packets[1].0[13] = u8::try_from(third << 1 & 0xff).unwrap() | 1;
        let bytes = [tables(stream_type, descriptors), packetize(&packets, AUDIO_PID)].concat();
        let mut demuxer = Demuxer::default();
        let mut events = Vec::new();
        demuxer.push(&bytes, &mut events);
        demuxer.finish(&mut events);
        assert_eq!(demuxer.stats(), &Stats::default(), "{stream_type:#x}");
        let Event::Config { config, .. } = &events[0] else {
            panic!("configured first")
        };
        assert_eq!(&config.sample_entry[4..8], kind);
        assert_eq!(config.language.as_str(), if stream_type == 0x04 { "fra" } else { "und" });
        let found = sort(events, &demuxer);
        let times: Vec<_> = found
            .audio
            .iter()
            .map(|sample| (sample.dts, sample.duration, sample.data.len()))
            .collect();
        let step = i64::from(samples);
        assert_eq!(times, [0, 1, 2].map(|n| (n * step, Some(samples), len)), "{stream_type:#x}");
        assert_eq!(found.audio[1].data, frame(2));
    }
}

#[test]
fn a_stream_type_that_is_not_supported_is_skipped_and_named() {
    let bytes = [
        tables(0x10, &[]),
        packetize(&[(vec![0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0], vec![0; 500])], AUDIO_PID),
    ]
    .concat();
    let found = demux([&bytes[..]]);
    assert_eq!(found.configs, 0);
    assert_eq!(found.stats.unsupported_stream_types.into_iter().collect::<Vec<_>>(), [0x10]);
}

#[test]
fn a_discontinuity_begins_a_new_clock() {
    let segments = segments();
    let whole = demux_all(&segments);
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    demuxer.push(&segments[3], &mut events);
    demuxer.discontinuity(&mut events);
    demuxer.push(&segments[0], &mut events);
    demuxer.finish(&mut events);
    let found = sort(events, &demuxer);
    assert_eq!(found.video[..48], whole.video[144..192]);
    assert_eq!(found.video[48..], whole.video[..48]);
    assert_eq!(found.configs, 2, "the parameters are the same");
    assert_eq!(found.stats, Stats::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_panics_or_invents_pictures(
        seed: Vec<(u32, u8)>,
        cut in 1_usize..20_000,
        piece in 1_usize..3000,
    ) {
        let mut bytes = segments().swap_remove(0);
        let whole = demux([&bytes[..]]);
        for (at, value) in seed {
            let at = at as usize % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut);
        let mut demuxer = Demuxer::default();
        let mut events = Vec::new();
        bytes.chunks(piece).for_each(|piece| demuxer.push(piece, &mut events));
        demuxer.discontinuity(&mut events);
        demuxer.push(&bytes, &mut events);
        demuxer.finish(&mut events);
        let samples = events.iter().filter(|event| matches!(event, Event::Sample { .. })).count();
        prop_assert!(samples <= 2 * (whole.video.len() + whole.audio.len()) + 16);
    }
}
