//! A sample entry and a sample of it from anybody, as a byte stream: no panic, and no more than start codes is added.
#![no_main]

use aqueduct_media::{Language, Roles, Sample, TrackConfig, TrackKind, elementary::Elementary};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The entry is as long as its first four bytes say, and the sample is what follows.
    let Some(size) = data.first_chunk().map(|size| u32::from_be_bytes(*size) as usize) else {
        return;
    };
    let (entry, sample) = data.split_at(size.min(data.len()));
    let config = TrackConfig {
        kind: TrackKind::Video,
        handler: *b"vide",
        timescale: 90_000,
        sample_entry: entry.to_vec().into(),
        display_size: (0, 0),
        matrix: None,
        language: Language::UNDETERMINED,
        name: None,
        language_tag: None,
        roles: Roles::default(),
        presentation_offset: None,
    };
    let Ok(stream) = Elementary::of(&config) else { return };
    for sync in [false, true] {
        let mut out = Vec::new();
        let sample = Sample {
            dts: 0,
            pts: 0,
            duration: None,
            sync,
            data: sample,
        };
        stream.write(&sample, &mut out);
        // A start code has four bytes, what it stands for one at least; Opus has a size of a byte for each 255.
        assert!(out.len() <= 16 + 3 * entry.len() + 5 * sample.data.len());
    }
});
