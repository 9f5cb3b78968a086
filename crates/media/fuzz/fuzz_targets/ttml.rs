//! TTML from anybody: no panic, and the cues can stand in a file.
#![no_main]

use aqueduct_media::webvtt::{Segment, Writer};
use aqueduct_media::ttml;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = ttml::is_ttml(data);
    let Ok(document) = ttml::parse(data, 10_000) else { return };
    let text = Writer::default().cues(&[], &document.cues);
    let back = Segment::parse(text.as_bytes()).expect("our own text");
    assert_eq!(back.cues.len(), document.cues.len());
});
