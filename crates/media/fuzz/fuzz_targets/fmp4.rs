//! Initialization sections and segments from anybody: no panic, and every sample within what was pushed.
#![no_main]

use aqueduct_media::{
    Event, Sample,
    fmp4::{Demuxer, Move},
    mkv,
    mp4::{FragmentWriter, Options, Writer},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut demuxer = Demuxer::default();
    demuxer.keep_messages();
    let mut events = Vec::new();
    let _ = demuxer.init(data, &mut events);
    let _ = demuxer.segment(data, &mut events);
    let mut fragments = FragmentWriter::default();
    for event in &events {
        if let Event::Config { config, .. } = event {
            let number = fragments.add_track(config).expect("no header yet");
            let sample = Sample {
                dts: 0,
                pts: 0,
                duration: Some(1),
                sync: true,
                data: &[][..],
            };
            fragments.add(number, &sample).expect("the track is known");
        }
    }
    for message in demuxer.take_messages() {
        assert!(message.scheme.len() + message.value.len() + message.data.len() < data.len());
        fragments.message(message);
    }
    let _ = fragments.flush(true, &mut Vec::new());
    let moves = events.iter().filter_map(|event| match event {
        Event::Sample { track, sample } => Some(Move {
            track: *track,
            dts: sample.dts,
            by: sample.pts,
        }),
        Event::Config { .. } => None,
    });
    let mut moved = data.to_vec();
    let _ = demuxer.move_times(&mut moved, &moves.collect::<Vec<_>>());
    assert_eq!(moved.len(), data.len());

    let (mut matroska, mut known, mut file) = (mkv::Writer::new(&mkv::Options::default()), Vec::new(), Vec::new());
    for event in &events {
        match event {
            Event::Config { track, config } => match known.iter().find(|(of, _)| of == track) {
                Some((_, number)) => drop(matroska.configure(*number, config, &mut file)),
                None => known.extend(matroska.add_track(config).ok().flatten().map(|number| (*track, number))),
            },
            Event::Sample { track, sample } => {
                if let Some((_, number)) = known.iter().find(|(of, _)| of == track) {
                    matroska
                        .add(*number, &sample.as_slice(data), &mut file)
                        .expect("the track is known");
                }
            }
        }
    }
    matroska.finish().expect("the tracks are known");

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
