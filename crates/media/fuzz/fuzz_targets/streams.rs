//! Elementary streams from anybody, in sound transport packets, so that the parsers of every codec are reached: no panic,
//! no access unit larger than what came in, and an MP4 and a Matroska file of whatever came out.
#![no_main]

use aqueduct_media::{
    Event, TrackId, mkv,
    mp4::{Options, Writer},
    packed,
    ts::Demuxer,
};
use libfuzzer_sys::fuzz_target;

/// Stream types and descriptors of the PMT.
const STREAMS: [(u8, &[u8]); 7] = [
    (0x1b, b""),
    (0x24, b""),
    (0x0f, b""),
    (0x11, b""),
    (0x87, b""),
    (0x03, b""),
    (0x06, b"\x05\x04Opus\x7f\x02\x80\x02"),
];

fuzz_target!(|data: &[u8]| {
    // The first two bytes say which codec it is, and how the rest is cut up.
    let [kind, size, bytes @ ..] = data else { return };
    let (stream_type, descriptors) = STREAMS[usize::from(*kind) % STREAMS.len()];
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    demuxer.push(&tables(stream_type, descriptors), &mut events);
    let mut counter = 0;
    for (number, piece) in bytes.chunks(usize::from(*size).max(1) * 4).enumerate() {
        let low = (number % 100) as u8;
        let pes = [&[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, low << 1 | 1, 0, 1], piece].concat();
        for (at, payload) in pes.chunks(182).enumerate() {
            let start = if at == 0 { 0x41 } else { 1 };
            let stuffing = 184 - payload.len();
            let mut packet = vec![0x47, start, 1, 0x30 | counter, (stuffing - 1) as u8, 0];
            packet.extend(std::iter::repeat_n(0xff, stuffing - 2));
            packet.extend(payload);
            demuxer.push(&packet, &mut events);
            counter = (counter + 1) & 0xf;
        }
        if number % 16 == 15 {
            demuxer.boundary(&mut events);
        }
    }
    demuxer.finish(&mut events);
    written(events, bytes.len());

    let mut demuxer = packed::Demuxer::default();
    let mut events = Vec::new();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    demuxer.segment(first, &mut events);
    demuxer.segment(second, &mut events);
    written(events, bytes.len());
});

fn written(events: Vec<Event>, limit: usize) {
    matroska(&events);
    let (mut writer, _) = Writer::start(&Options::default());
    let mut tracks: Vec<(TrackId, usize)> = Vec::new();
    for event in events {
        match event {
            Event::Config { track, config } => match tracks.iter().find(|(known, _)| *known == track) {
                Some((_, number)) => writer.configure(*number, &config).expect("the track is known"),
                None => tracks.push((track, writer.add_track(&config))),
            },
            Event::Sample { track, sample } => {
                let (_, number) = *tracks.iter().find(|(known, _)| *known == track).expect("configured first");
                // A start code of three bytes becomes a length of four.
                assert!(sample.data.len() <= 2 * limit);
                let _ = writer.add(number, &sample, sample.data.len());
            }
        }
    }
    writer.finish().expect("small tables");
}

/// A change of parameters that the head cannot have is refused; what is written of the rest has no end but the writer's.
fn matroska(events: &[Event]) {
    let mut writer = mkv::Writer::new(&mkv::Options::default());
    let mut tracks: Vec<(TrackId, Option<usize>)> = Vec::new();
    let mut file = Vec::new();
    for event in events {
        match event {
            Event::Config { track, config } => match tracks.iter().find(|(known, _)| known == track) {
                Some((_, Some(number))) => drop(writer.configure(*number, config, &mut file)),
                Some((_, None)) => {}
                None => tracks.push((*track, writer.add_track(config).expect("a codec that has a form"))),
            },
            Event::Sample { track, sample } => {
                if let Some((_, Some(number))) = tracks.iter().find(|(known, _)| known == track) {
                    writer.add(*number, &sample.as_slice(&[]), &mut file).expect("the track is known");
                }
            }
        }
    }
    writer.finish().expect("the tracks are known");
}

/// PAT and PMT of a program with one stream at PID 0x101.
fn tables(stream_type: u8, descriptors: &[u8]) -> Vec<u8> {
    let info = descriptors.len() as u8;
    let pat = [0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0];
    let pmt = [
        &[2, 0xb0, 18 + info, 0, 1, 0xc1, 0, 0, 0xe1, 1, 0xf0, 0, stream_type, 0xe1, 1, 0xf0, info],
        descriptors,
    ]
    .concat();
    let mut packets = Vec::new();
    for (high, section) in [(0x40, &pat[..]), (0x41, &pmt)] {
        let crc = section.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        let mut packet = [&[0x47, high, 0, 0x10, 0], section, &crc.to_be_bytes()].concat();
        packet.resize(188, 0xff);
        packets.extend(packet);
    }
    packets
}
