//! What is done to a stream on its way, and what is left of it.

use aqueduct_media::{
    TrackKind,
    ts::{DataKind, Demuxer, Stats},
};
use proptest::prelude::*;

use crate::{
    AUDIO_PID, FRAMES, Found, PACKET, PICTURES, VIDEO_PID, changed, demux, demux_all, packetize, payload_at, pes_packets, pid, section,
    segments, tables,
};

/// The parts of a whole and of a damaged stream that have to be equal.
#[derive(Clone, Copy, PartialEq)]
enum Spared {
    All,
    /// All audio, and all but so many pictures.
    ButPictures(usize),
    /// All pictures, and all but so many frames of audio.
    ButFrames(usize),
}

fn check(name: &str, damaged: &[Vec<u8>], spared: Spared, stats: &Stats) {
    let (whole, found): (Found, Found) = (demux_all(&segments()), demux_all(damaged));
    let (pictures, frames) = match spared {
        Spared::All => (0, 0),
        Spared::ButPictures(pictures) => (pictures, 0),
        Spared::ButFrames(frames) => (0, frames),
    };
    assert_eq!(found.video.len(), PICTURES - pictures, "{name}");
    assert_eq!(found.audio.len(), FRAMES - frames, "{name}");
    assert!(found.video.iter().all(|sample| whole.video.contains(sample)), "{name}");
    assert!(found.audio.iter().all(|sample| whole.audio.contains(sample)), "{name}");
    assert_eq!(found.configs, 2, "{name}");
    assert_eq!(&found.stats, stats, "{name}");
}

/// The number of the `nth` packet of a PID that starts nothing.
fn inner_packet(wanted: u16, nth: usize) -> usize {
    let all = segments().concat();
    let mut inner = all
        .chunks(PACKET)
        .enumerate()
        .filter(|(_, packet)| pid(packet) == wanted && packet[1] & 0x40 == 0);
    inner.nth(nth).unwrap().0
}

/// The stream with one packet passed through `change`.
fn with_packet(number: usize, change: impl Fn(&mut [u8])) -> Vec<Vec<u8>> {
    changed(&segments(), |at, packet| {
        let mut packet = packet.to_vec();
        if at == number {
            change(&mut packet);
        }
        packet
    })
}

macro_rules! stats {
    ($($field:ident: $value:expr),*) => {{
        let mut stats = Stats::default();
        $(stats.$field = $value;)*
        stats
    }};
}

#[test]
fn a_packet_that_cannot_be_trusted_costs_the_access_unit_that_it_held() {
    let video = inner_packet(VIDEO_PID, 20);
    let audio = inner_packet(AUDIO_PID, 20);
    let cases: [(&str, Vec<Vec<u8>>, Spared, Stats); 4] = [
        (
            "marked as broken",
            with_packet(video, |packet| packet[1] |= 0x80),
            Spared::ButPictures(1),
            stats!(transport_errors: 1, damaged_units: 1),
        ),
        (
            "scrambled",
            with_packet(video, |packet| packet[3] |= 0x80),
            Spared::ButPictures(1),
            stats!(scrambled_packets: 1, damaged_units: 1),
        ),
        (
            "a wrong sync byte",
            with_packet(video, |packet| packet[0] = 0),
            Spared::ButPictures(1),
            stats!(sync_losses: 1, junk_bytes: 188, continuity_errors: 1, damaged_units: 1),
        ),
        (
            "an adaptation field that leaves no room for the payload that is promised",
            with_packet(audio, |packet| {
                packet[3] |= 0x20;
                packet[4] = 200;
            }),
            Spared::ButFrames(0),
            Stats::default(),
        ),
    ];
    for (name, damaged, spared, stats) in cases {
        if name.starts_with("an adaptation") {
            // No stamp tells when frames behind the hole are due, up to the next PES packet, which has sixteen.
            let found = demux_all(&damaged);
            assert!(
                found.audio.len() < FRAMES && found.audio.len() >= FRAMES - 16,
                "{name}: {}",
                found.audio.len()
            );
            assert!(found.stats.is_damaged(), "{name}");
            assert_eq!(found.video.len(), PICTURES, "{name}");
            continue;
        }
        check(name, &damaged, spared, &stats);
    }
}

#[test]
fn an_audio_packet_cut_short_costs_the_frames_in_its_missing_part() {
    // The last transport packet of one PES packet of audio goes, and the counters close the gap.
    let all = segments().concat();
    let starts: Vec<usize> = all
        .chunks(PACKET)
        .enumerate()
        .filter(|(_, packet)| pid(packet) == AUDIO_PID && packet[1] & 0x40 != 0)
        .map(|(at, _)| at)
        .collect();
    let last = all
        .chunks(PACKET)
        .enumerate()
        .take(starts[3])
        .rfind(|(_, packet)| pid(packet) == AUDIO_PID)
        .unwrap()
        .0;
    let damaged = changed(&segments(), |number, packet| {
        let mut packet = packet.to_vec();
        if number == last {
            return Vec::new();
        }
        if number > last && pid(&packet) == AUDIO_PID {
            packet[3] = packet[3] & 0xf0 | (packet[3].wrapping_sub(1) & 0xf);
        }
        packet
    });
    // How much of the stream went, in frames that end in the part that is missing.
    let lost = PACKET - payload_at(&all[last * PACKET..(last + 1) * PACKET]);
    let (_, payload) = &pes_packets(&segments(), AUDIO_PID)[2];
    let (mut at, mut hit) = (0, 0);
    while let Some(header) = payload.get(at..at + 7) {
        at += usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5] >> 5);
        hit += usize::from(at > payload.len() - lost);
    }
    assert!(hit > 0);
    check(
        "cut short",
        &damaged,
        Spared::ButFrames(hit),
        &stats!(damaged_units: 1, short_pes: 1),
    );
}

/// The same segments with the counters of pictures and sound that `counter` gives: by the number of the segment, of the packet of its
/// PID in the segment and in the stream.
fn counted(segments: &[Vec<u8>], mut counter: impl FnMut(usize, usize, usize) -> usize) -> Vec<Vec<u8>> {
    let mut totals = [0_usize; 2];
    let mut renumbered = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let mut within = [0_usize; 2];
        renumbered.extend(changed(std::slice::from_ref(segment), |_, packet| {
            let mut packet = packet.to_vec();
            let pid = pid(&packet);
            if [VIDEO_PID, AUDIO_PID].contains(&pid) && packet[3] & 0x10 != 0 {
                let stream = usize::from(pid - VIDEO_PID);
                let counter = counter(number, within[stream], totals[stream]);
                packet[3] = packet[3] & 0xf0 | u8::try_from(counter % 16).unwrap();
                within[stream] += 1;
                totals[stream] += 1;
            }
            packet
        }));
    }
    renumbered
}

#[test]
fn a_counter_that_is_wrong_costs_nothing() {
    for wanted in [VIDEO_PID, AUDIO_PID] {
        for counter in 0..16 {
            let number = inner_packet(wanted, 20);
            let right = segments().concat()[number * PACKET + 3] & 0xf;
            let wrong = with_packet(number, |packet| packet[3] = packet[3] & 0xf0 | counter);
            let wrong_counters = u64::from(counter != right);
            check(
                &format!("{counter} for {right}"),
                &wrong,
                Spared::All,
                &stats!(wrong_counters: wrong_counters),
            );
        }
    }
}

#[test]
fn a_stream_that_is_not_counted_is_whole() {
    let mut random = 1_usize;
    let cases = [
        ("zeros", counted(&segments(), |_, _, _| 0)),
        ("counted down", counted(&segments(), |_, _, total| usize::MAX - total)),
        (
            "random",
            counted(&segments(), |_, _, _| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                random >> 40
            }),
        ),
    ];
    let whole = demux_all(&segments());
    for (name, damaged) in cases {
        let found = demux_all(&damaged);
        assert!(
            found.video == whole.video && found.audio == whole.audio,
            "{name}: {:?}",
            found.stats
        );
        assert!(found.stats.wrong_counters > 500, "{name}: {:?}", found.stats);
        assert!(!found.stats.is_damaged(), "{name}: {:?}", found.stats);
    }
}

#[test]
fn what_looks_like_a_packet_sent_twice_by_its_counter_alone_is_a_loss() {
    let all = segments().concat();
    let video = all.chunks(PACKET).enumerate().filter(|(_, packet)| pid(packet) == VIDEO_PID);
    let lost: Vec<usize> = video.skip(30).take(15).map(|(number, _)| number).collect();
    let found = demux_all(&changed(&segments(), |number, packet| {
        if lost.contains(&number) { Vec::new() } else { packet.to_vec() }
    }));
    assert_eq!((found.stats.continuity_errors, found.stats.duplicate_packets), (1, 0));
    assert!(found.video.len() < PICTURES);
}

#[test]
fn packets_before_the_first_pmt_wait_for_it() {
    let without_tables = |segments: &[Vec<u8>], from: usize, until: usize| {
        let mut damaged = segments.to_vec();
        let bare = changed(&segments[from..until], |_, packet| {
            if [0, 0x1000].contains(&pid(packet)) {
                Vec::new()
            } else {
                packet.to_vec()
            }
        });
        damaged.splice(from..until, bare);
        damaged
    };
    let restarted = counted(&segments(), |_, within, _| within);
    for (name, segments) in [("counters go on", segments()), ("counters start over", restarted)] {
        for until in [1, 2, 5] {
            let damaged = without_tables(&segments, 0, until);
            check(&format!("{name}, {until} segments"), &damaged, Spared::All, &Stats::default());
        }
    }
    // Nothing ever tells: all of them are lost.
    let found = demux_all(&without_tables(&segments(), 0, 6));
    let all = segments().concat();
    let media = all.chunks(PACKET).filter(|packet| pid(packet) >= 0x20 && pid(packet) != 0x1000);
    assert_eq!(found.stats, stats!(packets_before_pmt: media.count() as u64));
    assert!(found.stats.is_damaged());
}

#[test]
fn a_segment_that_lacks_its_end_is_counted_where_counters_go_on() {
    // Packets from the end of the third segment, by the way that the stream is counted.
    let starts = [3, 9, 14, 6, 1, 12];
    for lost in [1, 4, 60] {
        for (name, stream, counts) in [
            ("going on", segments(), true),
            ("starting over", counted(&segments(), |_, within, _| within + 5), false),
            ("anywhere", counted(&segments(), |number, within, _| within + starts[number]), false),
        ] {
            let mut damaged = stream.clone();
            let kept = damaged[2].len() - lost * PACKET;
            let gone = damaged[2].split_off(kept);
            let breaks = [VIDEO_PID, AUDIO_PID]
                .iter()
                .filter(|wanted| gone.chunks(PACKET).filter(|packet| pid(packet) == **wanted).count() % 16 != 0)
                .count();
            assert!(breaks > 0);
            let found = demux_all(&damaged);
            let expected = if counts { breaks as u64 } else { 0 };
            assert_eq!(found.stats.boundary_breaks, expected, "{name}: {lost} packets");
            assert!(!counts || found.stats.is_damaged());
            assert_eq!(found.stats.continuity_errors, 0, "{name}: {lost} packets");
        }
    }
    // What is known to be missing is no news.
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    for number in [0, 1, 3, 4, 5] {
        if number == 3 {
            demuxer.gap();
        }
        demuxer.push(&segments()[number], &mut events);
        demuxer.boundary(&mut events);
    }
    demuxer.finish(&mut events);
    assert_eq!(demuxer.stats(), &Stats::default());
}

#[test]
fn a_picture_that_a_segment_cuts_short_is_dropped_where_counters_have_always_gone_on() {
    for (cut, is_dropped) in [(4, true), (1, false)] {
        let mut damaged = segments();
        let packets: Vec<_> = damaged[cut].chunks(PACKET).map(<[u8]>::to_vec).collect();
        let begins = |packet: &[u8]| packet[1] & 0x40 != 0;
        // From the middle of a picture on, video is gone, by no multiple of 16 packets.
        let video: Vec<usize> = (0..packets.len()).filter(|at| pid(&packets[*at]) == VIDEO_PID).collect();
        let is_middle = |at: &usize| !begins(&packets[video[*at]]) && !(video.len() - at).is_multiple_of(16);
        let from = video[(0..video.len()).rev().find(is_middle).unwrap()];
        let is_gone = |at: usize| at >= from && pid(&packets[at]) == VIDEO_PID;
        let whole = (0..packets.len()).filter(|at| is_gone(*at) && begins(&packets[*at])).count();
        damaged[cut] = (0..packets.len())
            .filter(|at| !is_gone(*at))
            .flat_map(|at| packets[at].clone())
            .collect();
        let found = demux_all(&damaged);
        assert_eq!(found.stats.boundary_breaks, 1, "segment {cut}");
        assert_eq!(found.stats.damaged_units, u64::from(is_dropped), "segment {cut}");
        assert_eq!(found.video.len(), PICTURES - whole - usize::from(is_dropped), "segment {cut}");
    }
}

#[test]
fn a_pes_packet_that_a_segment_cuts_short_is_counted_by_its_length() {
    // Counters start over, so that the length alone can tell: the last packet of sound goes, then the last three of them.
    let stream = counted(&segments(), |_, within, _| within);
    for lost in [1, 3] {
        for cut in [2, 5] {
            let mut damaged = stream.clone();
            for _ in 0..lost {
                let last = damaged[cut].chunks(PACKET).rposition(|packet| pid(packet) == AUDIO_PID).unwrap();
                assert!(damaged[cut][last * PACKET + 1] & 0x40 == 0, "it begins nothing");
                damaged[cut].drain(last * PACKET..(last + 1) * PACKET);
            }
            let found = demux_all(&damaged);
            assert_eq!(found.stats.short_pes, 1, "segment {cut}, {lost} packets");
            assert!(found.audio.len() < FRAMES && found.stats.is_damaged());
            assert_eq!(found.video.len(), PICTURES);
        }
    }
    // A packet may also go on in the next segment.
    let all = segments().concat();
    let middle = inner_packet(AUDIO_PID, 20) * PACKET;
    check(
        "in two",
        &[all[..middle].to_vec(), all[middle..].to_vec()],
        Spared::All,
        &Stats::default(),
    );
}

#[test]
fn a_stream_that_the_pmt_names_and_that_brings_nothing_is_told() {
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    demuxer.push(&tables(0x0f, &[]), &mut events);
    demuxer.boundary(&mut events);
    assert_eq!(demuxer.silent().collect::<Vec<_>>(), [TrackKind::Audio]);
    let mut demuxer = Demuxer::default();
    let without_sound = changed(
        &segments(),
        |_, packet| if pid(packet) == AUDIO_PID { Vec::new() } else { packet.to_vec() },
    );
    without_sound.iter().for_each(|segment| demuxer.push(segment, &mut events));
    demuxer.finish(&mut events);
    assert_eq!(demuxer.silent().collect::<Vec<_>>(), [TrackKind::Audio]);
    let mut demuxer = Demuxer::default();
    segments().iter().for_each(|segment| demuxer.push(segment, &mut events));
    demuxer.finish(&mut events);
    assert_eq!(demuxer.silent().count(), 0);
}

#[test]
fn packets_may_have_bytes_between_them() {
    let spaced = |front: usize, behind: usize| changed(&segments(), |_, packet| [&vec![0; front], packet, &vec![0x47; behind]].concat());
    check("M2TS", &spaced(4, 0), Spared::All, &Stats::default());
    check("with error correction", &spaced(0, 16), Spared::All, &Stats::default());
}

#[test]
fn one_program_is_taken_and_others_are_counted() {
    let pat = [0, 0xb0, 0, 0, 1, 0xc3, 0, 0, 0, 9, 0xe9, 0, 0, 1, 0xf0, 0, 0, 7, 0xe7, 0];
    // Programs 9 and 7: nothing but MPEG-2 video, and the same program that comes later.
    let silent = [2, 0xb0, 0, 0, 9, 0xc1, 0, 0, 0xe9, 1, 0xf0, 0, 0x02, 0xe9, 1, 0xf0, 0];
    let late = [2, 0xb0, 0, 0, 7, 0xc1, 0, 0, 0xe7, 1, 0xf0, 0, 0x1b, 0xe7, 1, 0xf0, 0];
    let several = changed(&segments(), |_, packet| match pid(packet) {
        0 => [section(0, &pat), section(0x900, &silent)].concat(),
        0x1000 => [packet, &section(0x700, &late)[..]].concat(),
        _ => packet.to_vec(),
    });
    check("several programs", &several, Spared::All, &stats!(other_programs: 2));
}

#[test]
fn a_table_may_change_and_its_tracks_go_on() {
    // From the fourth segment on, audio has another PID, and so has the PMT itself, in another version.
    let half = segments()[..3].concat().len() / PACKET;
    let pat = [0, 0xb0, 0, 0, 1, 0xc3, 0, 0, 0, 1, 0xf0, 1];
    let pmt = [
        2, 0xb0, 0, 0, 1, 0xc3, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x0f, 0xe2, 1, 0xf0, 0,
    ];
    let moved = changed(&segments(), |number, packet| match (number < half, pid(packet)) {
        (false, 0) => section(0, &pat),
        (false, 0x1000) => section(0x1001, &pmt),
        (false, AUDIO_PID) => {
            let mut packet = packet.to_vec();
            packet[1] = packet[1] & 0xe0 | 2;
            packet
        }
        _ => packet.to_vec(),
    });
    let (whole, found) = (demux_all(&segments()), demux_all(&moved));
    assert_eq!(found.video, whole.video);
    // The new stream says its configuration again.
    assert_eq!((found.audio, found.configs), (whole.audio, 3));
    assert_eq!(found.stats, Stats::default());
}

#[test]
fn data_beside_the_pictures_is_counted_by_its_kind() {
    let pmt = [
        &[
            2, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0, 0,
        ][..],
        &[
            0x15, 0xe3, 0, 0xf0, 0, 0x86, 0xe3, 1, 0xf0, 0, 0x06, 0xe3, 2, 0xf0, 6, 5, 4, b'K', b'L', b'V', b'A',
        ],
    ]
    .concat();
    let mut number = 0;
    let with_data = changed(&segments(), |_, packet| match pid(packet) {
        0x1000 => {
            number += 1;
            let mut packets = section(0x1000, &pmt);
            for low in 0..3 {
                let mut data = vec![0xff; PACKET];
                data[..4].copy_from_slice(&[0x47, 0x43, low, 0x10 | number & 0xf]);
                packets.extend(data);
            }
            packets
        }
        _ => packet.to_vec(),
    });
    let units = [DataKind::Id3, DataKind::Scte35, DataKind::Klv].map(|kind| (kind, u64::from(number)));
    check("data", &with_data, Spared::All, &stats!(data_units: units.into()));
}

#[test]
fn a_stream_that_changes_all_the_time_does_not_grow_its_description() {
    // AC-3 of one second, in which every frame has another configuration: bit rates, service types and rates.
    let frames: Vec<u8> = (0..1000_u32)
        .flat_map(|number| {
            let (code, bsmod, acmod) = (number % 19 * 2, number / 19 % 8, number / 152 % 8);
            let kbits = [
                32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
            ][code as usize / 2];
            let byte = |value: u32| u8::try_from(value).unwrap();
            let mut frame = vec![0; 4 * kbits];
            frame[..7].copy_from_slice(&[0x0b, 0x77, 0, 0, byte(code), byte(8 << 3 | bsmod), byte(acmod << 5)]);
            frame
        })
        .collect();
    let header = vec![0, 0, 1, 0xc0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1];
    let bytes = [tables(0x81, &[]), packetize(&[(header, frames)], AUDIO_PID)].concat();
    let found = demux([&bytes[..]]);
    assert_eq!((found.configs, found.audio.len()), (64, 64));
    assert!(found.stats.is_damaged());
}

/// Stream types and descriptors of every codec.
const CODECS: [(u8, &[u8]); 7] = [
    (0x1b, b""),
    (0x24, b""),
    (0x0f, b""),
    (0x11, b""),
    (0x87, b""),
    (0x03, b""),
    (0x06, b"\x05\x04Opus\x7f\x02\x80\x02"),
];

/// Bytes that headers of all codecs begin with, among others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let marks: [&[u8]; 9] = [
        &[0, 0, 1],
        &[0, 0, 0, 1, 0x67, 77, 0, 10],
        &[0, 0, 1, 0x42, 1],
        &[0, 0, 1, 0x26, 1, 0x80],
        &[0xff, 0xf1, 0x50, 0x80, 0x02],
        &[0x56, 0xe0],
        &[0x0b, 0x77, 0, 0x20, 0x34, 0x86],
        &[0xff, 0xfb, 0x10],
        &[0x7f, 0xe0],
    ];
    let piece = prop_oneof![
        1 => prop::sample::select(marks.to_vec()).prop_map(<[u8]>::to_vec),
        2 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_elementary_stream_panics_or_gives_more_than_it_has(packets in prop::collection::vec(bytes(), 1..8)) {
        for (stream_type, descriptors) in CODECS {
            let packets: Vec<_> = (0_u8..)
                .zip(&packets)
                .map(|(number, data)| (vec![0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, number << 1 | 1, 0, 1], data.clone()))
                .collect();
            let len: usize = packets.iter().map(|(_, data)| data.len()).sum();
            let stream = [tables(stream_type, descriptors), packetize(&packets, AUDIO_PID)].concat();
            let found = demux([&stream[..]]);
            let given: usize = found.video.iter().chain(&found.audio).map(|sample| sample.data.len()).sum();
            // A start code of three bytes becomes a length of four.
            prop_assert!(given <= 2 * len, "{stream_type:#x}");
        }
    }
}
