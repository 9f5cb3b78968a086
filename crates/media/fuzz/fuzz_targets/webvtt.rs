//! WebVTT from anybody: no panic, and what is written can be read.
#![no_main]

use aqueduct_media::srt;
use aqueduct_media::webvtt::{Joiner, Segment, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(segment) = Segment::parse(data) else { return };
    let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
    joiner.push(segment.clone(), 0, &mut cues);
    joiner.push(segment, 0, &mut cues);
    joiner.finish(&mut cues);
    let _ = srt::Writer::default().cues(&cues);
    let text = Writer::default().cues(joiner.blocks(), &cues);
    assert_eq!(Segment::parse(text.as_bytes()).expect("our own text").cues.len(), cues.len());
});
