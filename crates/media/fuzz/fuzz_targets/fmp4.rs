//! Initialization sections and segments from anybody: no panic, and every sample within what was pushed.
#![no_main]

use aqueduct_media::{
    Event,
    fmp4::Demuxer,
    mp4::{Options, Writer},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    let _ = demuxer.init(data, &mut events);
    let _ = demuxer.segment(data, &mut events);

    let (mut writer, _) = Writer::start(&Options::default());
    let mut tracks = Vec::new();
    for event in events {
        match event {
            Event::Config { track, config } => tracks.push((track, writer.add_track(&config))),
            Event::Sample { track, sample } => {
                assert!(sample.data.end <= data.len() && sample.data.start <= sample.data.end);
                let (_, number) = tracks.iter().rev().find(|(known, _)| *known == track).expect("configured first");
                let _ = writer.add(*number, &sample, sample.data.len());
            }
        }
    }
    writer.finish().expect("small tables");
});
