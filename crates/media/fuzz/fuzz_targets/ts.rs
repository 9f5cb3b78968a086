//! Transport streams from anybody: no panic, no access unit over the limit, and an MP4 of whatever came out; and the same packets on
//! one timeline.
#![no_main]

use aqueduct_media::{
    Event, TrackId,
    mp4::{Options, Writer},
    timeline::{Clock, Timeline},
    ts::{self, Demuxer, Restamper},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first byte says how the rest is cut up.
    let Some((&how, bytes)) = data.split_first() else { return };
    let mut options = ts::Options::default();
    options.messages = how & 1 == 0;
    let mut demuxer = Demuxer::new(options);
    let mut events = Vec::new();
    let size = if how < 128 { bytes.len().max(1) } else { usize::from(how) };
    for (number, piece) in bytes.chunks(size).enumerate() {
        demuxer.push(piece, &mut events);
        match (how, number) {
            (1, _) => demuxer.boundary(&mut events),
            (200.., 3) => demuxer.discontinuity(&mut events),
            _ => {}
        }
    }
    demuxer.finish(&mut events);
    assert!(demuxer.take_messages().iter().all(|message| message.data.len() <= bytes.len()));

    let (mut writer, _) = Writer::start(&Options::default());
    let mut timeline = Timeline::default();
    let mut tracks: Vec<(TrackId, usize, u32)> = Vec::new();
    for event in events {
        match event {
            Event::Config { track, config } => match tracks.iter_mut().find(|(known, ..)| *known == track) {
                Some((_, number, timescale)) => {
                    *timescale = config.timescale;
                    writer.configure(*number, &config).expect("the track is known");
                }
                None => tracks.push((track, writer.add_track(&config), config.timescale)),
            },
            Event::Sample { track, sample } => {
                let (_, number, timescale) = *tracks.iter().find(|(known, ..)| *known == track).expect("configured first");
                assert!(sample.data.len() <= bytes.len());
                assert!(sample.pts >= sample.dts);
                let sample = timeline.place(number, 0, Clock::Mpeg, timescale, sample);
                // Only a hole that no table can hold may be refused.
                let _ = writer.add(number, &sample, sample.data.len());
            }
        }
    }
    writer.finish().expect("small tables");

    let (mut restamper, mut bytes) = (Restamper::default(), bytes.to_vec());
    for (number, piece) in bytes.chunks_mut(size).enumerate() {
        restamper.segment(number as u64 / 2, std::time::Duration::from_secs(2), piece);
    }
});
