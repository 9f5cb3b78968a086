//! WebVTT samples and sample entries from anybody: no panic, and the cues can stand in a file.
#![no_main]

use aqueduct_media::webvtt::{Segment, Writer};
use aqueduct_media::wvtt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let blocks = wvtt::blocks(data);
    let Ok(sample) = wvtt::sample(data, 0, 1000) else { return };
    let text = Writer::default().cues(&blocks, &sample.cues);
    let _ = Segment::parse(text.as_bytes()).expect("our own text");
});
