//! Segments, and streams made for one rule, through the restamper.

use proptest::prelude::*;

use super::{super::psi, *};

fn media(name: &str, number: usize) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixture-server/media");
    std::fs::read(format!("{folder}/{name}/{number}.ts")).unwrap()
}

fn segment(number: usize) -> Vec<u8> {
    media("high-ts", number)
}

#[test]
fn a_table_that_changes_gets_another_version() {
    let (mut first, mut second) = (segment(0), segment(0));
    let pmt = packets(&second)
        .find(|(_, packet)| pid(packet) == 0x1000)
        .map(|(at, _)| at)
        .unwrap();
    // The PCR is said to be in another PID.
    let section = &mut second[pmt + 5..];
    let end = 3 + usize::from(section[2]) - 4;
    section[9] ^= 1;
    let crc = psi::crc32(&section[..end]);
    section[end..end + 4].copy_from_slice(&crc.to_be_bytes());
    let version = |bytes: &[u8]| bytes[pmt + 5 + 5] >> 1 & 0x1f;
    let (before, told) = (version(&first), version(&second));
    assert_eq!(before, told);
    let mut restamper = Restamper::default();
    assert!(!restamper.segment(0, Duration::ZERO, &mut first));
    assert!(restamper.segment(1, Duration::ZERO, &mut second));
    assert_eq!(version(&second), before + 1);
    let section = &second[pmt + 5..];
    assert_eq!(psi::crc32(&section[..end + 4]), 0);
}

/// The times of PES packets that begin in a segment, with their PIDs, and its clocks, both in ticks.
fn times(bytes: &[u8]) -> (Vec<(u16, u64)>, Vec<u64>) {
    let (mut stamps, mut clocks) = (Vec::new(), Vec::new());
    for (_, packet) in packets(bytes) {
        if packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0 {
            let base = u32::from_be_bytes(packet[6..10].try_into().unwrap());
            clocks.push(u64::from(base) << 1 | u64::from(packet[10] >> 7));
        }
        let parsed = Packet::parse(packet);
        let header = parsed.payload.filter(|_| parsed.unit_start).map(PesHeader::parse);
        if let Some(Ok(PesHeader { stamps: Some(found), .. })) = header {
            stamps.push((parsed.pid, found.dts));
        }
    }
    (stamps, clocks)
}

/// A packet of nothing but a clock.
fn clock(ticks: u64) -> [u8; PACKET] {
    let mut packet = [0xff; PACKET];
    packet[..6].copy_from_slice(&[SYNC, 0x01, 0x00, 0x20, 183, 0x10]);
    let base = u32::try_from(ticks >> 1).unwrap();
    packet[6..10].copy_from_slice(&base.to_be_bytes());
    packet[10] = u8::try_from(ticks & 1).unwrap() << 7 | 0x7e;
    packet
}

#[test]
fn a_clock_without_media_moves_as_far_as_what_came_before_it() {
    let mut restamper = Restamper::default();
    restamper.segment(0, Duration::from_secs(2), &mut segment(3));
    let mut behind = segment(0);
    let (source, _) = times(&behind);
    restamper.segment(1, Duration::from_secs(2), &mut behind);
    let by = times(&behind).0[0].1 - source[0].1;
    assert!(by > 0);
    let end = times(&segment(0)).1.into_iter().max().unwrap() + 3600;
    for discontinuity_sequence in [1, 2] {
        let mut clocks = [clock(end), clock(end + 3600)].concat();
        restamper.segment(discontinuity_sequence, Duration::from_secs(2), &mut clocks);
        assert_eq!(times(&clocks).1, [end + by, end + 3600 + by]);
    }
    // The media of that period go on, so that it moves as they do.
    let mut after = segment(1);
    let (source, _) = times(&after);
    restamper.segment(2, Duration::from_secs(2), &mut after);
    assert_eq!(times(&after).0[0].1, source[0].1 + by);
}

#[test]
fn what_a_packet_belongs_to_is_judged_where_it_stands() {
    let sound = |number| media("main-audio-ts", number);
    // From its PMT on, the sound has another PID.
    let mut later = sound(1);
    for packet in later.chunks_mut(PACKET) {
        match pid(packet.first_chunk().unwrap()) {
            0x100 => packet[1] += 1,
            0x1000 => {
                let section = &mut packet[5..];
                let end = 3 + usize::from(section[2]) - 4;
                section[13] += 1;
                let crc = psi::crc32(&section[..end]);
                section[end..end + 4].copy_from_slice(&crc.to_be_bytes());
            }
            _ => {}
        }
    }
    let mut both = [sound(0), later].concat();
    let (source, _) = times(&both);
    assert!(source.first().unwrap().0 == 0x100 && source.last().unwrap().0 == 0x200);
    let mut restamper = Restamper::default();
    let mut before = sound(3);
    restamper.segment(0, Duration::from_secs(2), &mut before);
    restamper.segment(1, Duration::from_secs(4), &mut both);
    let (last, moved) = (times(&before).0.last().unwrap().1, times(&both).0);
    assert!(moved[0].1 > last, "{} behind {last}", moved[0].1);
    let by = moved[0].1 - source[0].1;
    assert!(moved.iter().zip(&source).all(|(moved, source)| moved.1 == source.1 + by));
}

/// A PSI section in as many packets as it takes.
fn table(pid: u16, table_id: u8, extension: u16, version: u8, content: &[u8]) -> Vec<u8> {
    let [extension_high, extension_low] = extension.to_be_bytes();
    let [length_high, length_low] = u16::try_from(content.len() + 9).unwrap().to_be_bytes();
    let head = [
        table_id,
        0xb0 | length_high,
        length_low,
        extension_high,
        extension_low,
        0xc1 | version << 1,
        0,
        0,
    ];
    let mut section = [&[0][..], &head, content].concat();
    section.extend(psi::crc32(&section[1..]).to_be_bytes());
    let mut packets = Vec::new();
    for (number, piece) in (0_u8..).zip(section.chunks(PACKET - 4)) {
        let [high, low] = pid.to_be_bytes();
        let mut packet = [0xff; PACKET];
        packet[..4].copy_from_slice(&[SYNC, high | u8::from(number == 0) << 6, low, 0x10 | number]);
        packet[4..4 + piece.len()].copy_from_slice(piece);
        packets.extend(packet);
    }
    packets
}

/// A PAT of these programs, each with the PID of its PMT.
fn pat(version: u8, programs: &[(u8, u8)]) -> Vec<u8> {
    let entries = programs.iter().flat_map(|(number, pid)| [0, *number, 0xf0, *pid]);
    table(0, 0, 1, version, &entries.collect::<Vec<u8>>())
}

/// A PMT that names one stream of H.264 and, to make it long, a descriptor of so many bytes.
fn pmt(pid: u16, program: u16, stream: u16, version: u8, stuffing: usize) -> Vec<u8> {
    let [high, low] = stream.to_be_bytes();
    let mut descriptors = Vec::new();
    for _ in 0..stuffing / 202 {
        // Private (table 2-45).
        descriptors.extend([0x80, 200]);
        descriptors.extend([version; 200]);
    }
    let [length_high, length_low] = u16::try_from(descriptors.len()).unwrap().to_be_bytes();
    let head = [0xe0 | high, low, 0xf0 | length_high, length_low];
    table(
        pid,
        2,
        program,
        version,
        &[&head[..], &descriptors, &[0x1b, 0xe0 | high, low, 0xf0, 0]].concat(),
    )
}

/// A PES packet of nothing but its times, in one transport packet.
fn pes(pid: u16, counter: u8, time: i64) -> [u8; PACKET] {
    let [high, low] = pid.to_be_bytes();
    let mut packet = [0xff; PACKET];
    packet[..6].copy_from_slice(&[SYNC, 0x40 | high, low, 0x30 | counter & 0xf, 169, 0]);
    let header = [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1];
    packet[PACKET - 14..].copy_from_slice(&header);
    fields::stamp(&mut packet, PACKET - 5, time);
    packet
}

#[test]
fn a_long_table_that_says_something_new_gets_another_version() {
    let tables = |stuffing| [pat(0, &[(1, 0x50)]), pmt(0x1050, 1, 0x100, 0, stuffing)].concat();
    let with = |stuffing, from: i64| {
        let pictures: Vec<u8> = (0..25)
            .flat_map(|n| pes(0x100, u8::try_from(n).unwrap(), from + i64::from(n) * 3600))
            .collect();
        [tables(stuffing), pictures].concat()
    };
    let mut restamper = Restamper::default();
    assert!(!restamper.segment(0, Duration::from_secs(1), &mut with(404, 900_000)));
    // The same, on another clock; then another one of the same version.
    for (stuffing, version) in [(404, 0), (606, 1), (606, 1), (404, 0)] {
        let mut bytes = with(stuffing, 90_000);
        restamper.segment(1, Duration::from_secs(1), &mut bytes);
        let (mut sections, mut found) = (psi::Sections::default(), Vec::new());
        for (_, packet) in packets(&bytes).filter(|(_, packet)| pid(packet) == 0x1050) {
            let parsed = Packet::parse(packet);
            let mut stats = Stats::default();
            sections.push(parsed.payload.unwrap(), parsed.unit_start, &mut stats, |section| {
                found.push(section.to_vec());
            });
            assert_eq!(stats, Stats::default(), "its CRC is right");
        }
        assert_eq!(found.len(), 1);
        assert!(found[0].len() > 2 * PACKET);
        assert_eq!(found[0][5] >> 1 & 0x1f, version, "{stuffing}");
    }
}

#[test]
fn a_program_that_leaves_the_pat_and_returns_is_the_one_that_is_taken() {
    let both = |version| pat(version, &[(1, 0x50), (2, 0x51)]);
    let (first, second) = (pmt(0x1050, 1, 0x100, 0, 0), pmt(0x1051, 2, 0x200, 0, 0));
    let mut restamper = Restamper::default();
    let mut taken = |tables: &[&[u8]]| {
        restamper.segment(0, Duration::ZERO, &mut tables.concat());
        [0x100, 0x200].map(|pid| restamper.roles.of(pid).is_some())
    };
    assert_eq!(taken(&[&both(0), &first, &second]), [true, false]);
    // Nobody has come in its place.
    assert_eq!(taken(&[&pat(1, &[(2, 0x51)])]), [true, false]);
    assert_eq!(taken(&[&both(2), &first, &second]), [true, false]);
    // Somebody has, and stays.
    assert_eq!(taken(&[&pat(3, &[(2, 0x51)]), &second]), [false, true]);
    assert_eq!(taken(&[&both(4), &first, &second]), [false, true]);
}

#[test]
fn a_clock_in_front_of_the_first_picture_that_counts_by_it_moves_as_that_does() {
    let tables = [pat(0, &[(1, 0x50)]), pmt(0x1050, 1, 0x100, 0, 0)].concat();
    let picture = |number: u8, time| pes(0x100, number, time);
    let mut restamper = Restamper::default();
    // The clock starts over in the middle, a tenth of a second before its first picture.
    let mut bytes = tables;
    for number in 0..50_u8 {
        let time = i64::from(number) * 3600 + if number < 25 { 9_000_000 } else { 90_000 };
        if number % 5 == 0 {
            bytes.extend(clock(u64::try_from(time - 9000).unwrap()));
        }
        bytes.extend(picture(number, time));
    }
    restamper.segment(0, Duration::from_secs(2), &mut bytes);
    let (stamps, clocks) = times(&bytes);
    let stamps: Vec<u64> = stamps.into_iter().map(|(_, time)| time).collect();
    assert!(stamps.windows(2).all(|pair| pair[1] == pair[0] + 3600), "{stamps:?}");
    assert_eq!(clocks.len(), 10);
    assert!(clocks.windows(2).all(|pair| pair[1] == pair[0] + 5 * 3600), "{clocks:?}");
}

#[test]
fn sound_that_jumps_alone_takes_no_clock_of_pictures_along() {
    // A PMT of H.264 and AAC, the clock with the pictures.
    let streams = [0xe1, 0x00, 0xf0, 0, 0x1b, 0xe1, 0x00, 0xf0, 0, 0x0f, 0xe1, 0x01, 0xf0, 0];
    let mut bytes = [pat(0, &[(1, 0x50)]), table(0x1050, 2, 1, 0, &streams)].concat();
    let mut expected = Vec::new();
    for number in 0..100_u8 {
        let now = 9_000_000 + i64::from(number) * 3600;
        // Pictures come 0.7 s before their time; sound 0.6 s, and from the middle on 0.5 s late.
        let back = if number < 50 { 0 } else { 99_000 };
        if number % 5 == 0 {
            expected.push(u64::try_from(now).unwrap());
            bytes.extend(clock(u64::try_from(now).unwrap()));
        }
        bytes.extend(pes(0x100, number, now + 63_000));
        bytes.extend(pes(0x101, number, now + 54_000 - back));
    }
    assert!(
        Restamper::default().segment(0, Duration::from_secs(4), &mut bytes),
        "the sound is moved"
    );
    let (stamps, clocks) = times(&bytes);
    let sound: Vec<u64> = stamps.into_iter().filter(|(pid, _)| *pid == 0x101).map(|(_, time)| time).collect();
    assert!(
        sound.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] < 45_000),
        "{sound:?}"
    );
    assert_eq!(clocks, expected);
}

proptest! {
    #[test]
    fn no_bytes_panic(places: Vec<(u16, u8)>, periods in prop::collection::vec(0..3_u64, 1..6)) {
        let mut restamper = Restamper::default();
        for (number, period) in periods.into_iter().enumerate() {
            let mut bytes = segment(number);
            let length = bytes.len();
            for (place, value) in &places {
                bytes[usize::from(*place) % length] = *value;
            }
            restamper.segment(period, Duration::from_secs(2), &mut bytes);
            prop_assert_eq!(bytes.len(), length);
        }
    }
}
