//! WebVTT from anybody: no panic, and what is written can be read.
#![no_main]

use aqueduct_media::webvtt::{Joiner, Segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(segment) = Segment::parse(data) else { return };
    let mut joiner = Joiner::default();
    joiner.push(&segment);
    joiner.push(&segment);
    let _ = joiner.to_srt(0);
    Segment::parse(joiner.to_vtt(0).as_bytes()).expect("our own text");
});
