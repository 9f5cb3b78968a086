//! Any bytes as a document: the first byte picks what the server calls it.
#![no_main]

use aqueduct_resolve::extract::{Document, FrameSource, Limits, extract};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let content_type = match kind % 6 {
        0 => None,
        1 => Some("application/json"),
        2 => Some("text/javascript"),
        3 => Some("text/html; charset=utf-16le"),
        4 => Some("text/html; charset=shift_jis"),
        _ => Some("text/html"),
    };
    let Ok(url) = url::Url::parse("https://site.example/dir/page.html?q=1") else {
        return;
    };
    let mut limits = Limits::default();
    if kind & 0x80 != 0 {
        (limits.candidates, limits.frames, limits.scripts, limits.decoded_bytes) = (4, 2, 1, 4096);
    }
    let found = extract(
        &Document {
            url: &url,
            content_type,
            bytes,
        },
        &limits,
    );
    assert!(found.candidates.len() <= limits.candidates && found.frames.len() <= limits.frames && found.scripts.len() <= limits.scripts);
    for frame in &found.frames {
        if let FrameSource::Url(url) = &frame.source {
            assert!(matches!(url.scheme(), "http" | "https" | "file" | "data"));
        }
    }
    assert!(
        found
            .candidates
            .iter()
            .all(|candidate| matches!(candidate.url.scheme(), "http" | "https" | "file" | "data"))
    );
});
