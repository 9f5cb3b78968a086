//! Any bytes: no panic, and what is written and read again is what it was.
//!
//! What stands before the first zero byte is one playlist; what stands behind it is read as its update.
#![no_main]

use aqueduct_playlist::{Context, MediaPlaylist, Playlist, parse, parse_update};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|input: &[u8]| {
    let base: Url = "https://example.com/live/list.m3u8?token=a%22b&n=1".parse().expect("a URL");
    let mut context = Context::new(base.clone()).with_imports([("imported", "elsewhere")].into_iter().collect());
    context.limits.line_bytes = 1 << 16;
    context.limits.bytes = 1 << 20;
    let mut halves = input.splitn(2, |&b| b == 0);
    let first = halves.next().and_then(|bytes| check(bytes, &context, &base));
    if let (Some(Playlist::Media(previous)), Some(second)) = (&first, halves.next()) {
        update(second, &context, previous);
    }
});

fn check(bytes: &[u8], context: &Context, base: &Url) -> Option<Playlist> {
    let parsed = match parse(bytes, context) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.to_string();
            return None;
        }
    };
    for warning in &parsed.warnings {
        let _ = warning.to_string();
    }
    for finding in parsed.playlist.validate() {
        let _ = finding.to_string();
    }
    match &parsed.playlist {
        Playlist::Media(playlist) => {
            for segment in &playlist.segments {
                assert_eq!(base.join(segment.uri_as_written()).as_ref(), Ok(&segment.uri()));
                for key in segment.keys().iter() {
                    let _ = (key.iv_for(segment.media_sequence_number()), key.uri.as_ref().map(|u| u.url()));
                }
            }
            for range in playlist.date_ranges() {
                let _ = range.interstitial();
            }
            let _ = playlist.compare(playlist);
        }
        Playlist::Multivariant(playlist) if is_empty(playlist) => return None,
        _ => {}
    }
    let written = parsed.playlist.to_string();
    // Written out, variable references are expanded, so that the text may exceed a limit that it was within.
    if let Ok(again) = parse(written.as_bytes(), context) {
        assert_eq!(parsed.playlist, again.playlist, "{written}");
    }
    Some(parsed.playlist)
}

/// Nothing is left that says of which kind it is.
fn is_empty(playlist: &aqueduct_playlist::MultivariantPlaylist) -> bool {
    playlist.variants.is_empty()
        && playlist.i_frame_variants.is_empty()
        && playlist.renditions.is_empty()
        && playlist.session_data.is_empty()
        && playlist.session_keys.is_empty()
        && playlist.content_steering.is_none()
}

fn update(bytes: &[u8], context: &Context, previous: &MediaPlaylist) {
    if let Ok(parsed) = parse_update(bytes, context, previous) {
        let _ = parsed.playlist.validate();
        let _ = parsed.playlist.to_string();
        if let Playlist::Media(playlist) = &parsed.playlist {
            let _ = playlist.compare(previous);
        }
    }
}
