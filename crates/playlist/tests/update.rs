//! Delta updates and reloads (rfc8216bis, 6.2.5.1 and 6.3.4).

mod common;

use std::fmt::Write;

use aqueduct_playlist::{Change, MediaPlaylist, PlaylistError, parse_update};
use common::{context, media};

const CONTROL: &str = "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=24,CAN-SKIP-DATERANGES=YES\n";

/// The tags and the URI of segment `n` of a stream in which everything changes now and then.
fn segment(n: u64) -> String {
    let mut text = String::new();
    if n.is_multiple_of(7) {
        text += "#EXT-X-DISCONTINUITY\n";
        writeln!(text, "#EXT-X-MAP:URI=\"init{n}\"").expect("a String");
    }
    if n % 5 == 2 {
        writeln!(
            text,
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k{n}\"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"f{n}\",KEYFORMAT=\"f\""
        )
        .expect("a String");
    }
    if n % 5 == 4 {
        text += "#EXT-X-KEY:METHOD=NONE\n";
    }
    if n % 3 == 1 {
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T00:{n:02}:00Z").expect("a String");
        writeln!(text, "#EXT-X-DATERANGE:ID=\"d{n}\",START-DATE=\"2026-11-20T00:{n:02}:00Z\"").expect("a String");
    }
    if n % 4 == 3 {
        writeln!(text, "#EXT-X-BITRATE:{}", 1000 + n).expect("a String");
    }
    text + &match n % 6 {
        0 => format!("#EXT-X-BYTERANGE:100@{n}\n#EXTINF:4,\nfile\n"),
        1 => "#EXT-X-BYTERANGE:100\n#EXTINF:4,\nfile\n".to_owned(),
        _ => format!("#EXTINF:4,\n{n}.ts\n"),
    }
}

/// The full playlist of the segments from `first` to before `end`. What is in force before it stands in front.
fn full(first: u64, end: u64) -> String {
    let discontinuities = (0..first).filter(|n| n.is_multiple_of(7)).count();
    let mut text = header(first, discontinuities);
    text.extend((first..end).map(segment));
    text
}

fn header(first: u64, discontinuities: usize) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:10\n#EXT-X-TARGETDURATION:4\n{CONTROL}#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}\n"
    )
}

/// The same as an update that skips the first `skipped` segments.
fn delta(first: u64, skipped: u64, end: u64) -> String {
    let discontinuities = (0..first).filter(|n| n.is_multiple_of(7)).count();
    let mut text = header(first, discontinuities);
    writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}").expect("a String");
    text.extend((first.saturating_add(skipped)..end).map(segment));
    text
}

#[test]
fn an_update_comes_to_what_the_full_playlist_would_be() {
    // From a place where nothing is in force from before: the first segment states it all.
    let first = 14;
    let state = "#EXT-X-KEY:METHOD=NONE\n#EXT-X-BITRATE:1";
    let with_state = |text: String| text.replacen("#EXTINF", &format!("{state}\n#EXTINF"), 1);
    for end in 15..40 {
        let previous = media(with_state(full(first, end)));
        for skipped in 1..=end - first {
            let expected = media(with_state(full(first, end + 3)));
            let merged = parse_update(delta(first, skipped, end + 3).as_bytes(), &context(), &previous).unwrap();
            assert_eq!(merged.into_media().unwrap(), expected, "{skipped} of {first}..{end}");
        }
    }
}

#[test]
fn an_update_of_a_window_that_moved_drops_what_fell_out() {
    let previous = media(full(0, 20));
    let merged = parse_update(delta(4, 10, 24).as_bytes(), &context(), &previous)
        .unwrap()
        .into_media()
        .unwrap();
    let numbers: Vec<_> = merged.segments.iter().map(|s| s.media_sequence_number()).collect();
    assert_eq!(numbers, (4..24).collect::<Vec<_>>());
    assert_eq!(merged.skip, None);
    let whole = media(full(0, 24));
    for (merged, whole) in merged.segments.iter().zip(&whole.segments[4..]) {
        assert_eq!(merged.uri(), whole.uri());
        assert_eq!(merged.keys(), whole.keys());
        assert_eq!(merged.init(), whole.init());
        assert_eq!(merged.byte_range(), whole.byte_range());
        assert_eq!(merged.discontinuity_sequence_number(), whole.discontinuity_sequence_number());
    }
}

#[test]
fn date_ranges_that_are_gone_or_stated_anew_are_not_carried_over() {
    let ids = |playlist: &MediaPlaylist| playlist.date_ranges().map(|d| d.id.clone()).collect::<Vec<_>>();
    let previous = media(full(0, 10));
    assert_eq!(ids(&previous), ["d1", "d4", "d7"]);
    let text = delta(0, 8, 12).replace(
        "SKIPPED-SEGMENTS=8\n",
        "SKIPPED-SEGMENTS=8,RECENTLY-REMOVED-DATERANGES=\"d1\"\n#EXT-X-DATERANGE:ID=\"d4\",START-DATE=\"2026-11-20T00:04:00Z\",DURATION=9\n",
    );
    let merged = parse_update(text.as_bytes(), &context(), &previous).unwrap().into_media().unwrap();
    assert_eq!(ids(&merged), ["d7", "d4", "d10"]);
}

#[test]
fn an_update_without_what_it_skips_is_an_error() {
    let previous = media(full(10, 20));
    for (first, skipped) in [(9, 5), (10, 11), (10, u64::MAX), (25, 1)] {
        let error = parse_update(delta(first, skipped, first).as_bytes(), &context(), &previous).unwrap_err();
        assert!(matches!(error, PlaylistError::Delta { have: Some((10, 19)), .. }), "{error}");
    }
}

#[test]
fn an_update_by_itself_numbers_its_segments_behind_the_skipped_ones() {
    let playlist = media(delta(10, 5, 20));
    assert_eq!(playlist.skip.as_ref().unwrap().skipped_segments, 5);
    assert_eq!(playlist.segments[0].media_sequence_number(), 15);
}

#[test]
fn an_ordinary_playlist_is_no_update() {
    let previous = media(full(0, 3));
    let playlist = parse_update(full(10, 12).as_bytes(), &context(), &previous)
        .unwrap()
        .into_media()
        .unwrap();
    assert_eq!(playlist, media(full(10, 12)));
}

/// A plain live playlist; `epoch` is in the names.
fn live(epoch: &str, first: u64, end: u64) -> MediaPlaylist {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for n in first..end {
        writeln!(text, "#EXTINF:4,\n{epoch}{n}.ts?signature={end}").expect("a String");
    }
    media(text)
}

#[test]
fn a_reload_tells_what_changed() {
    use Change::*;
    // before, now: what happened, how many came, went, and were missed
    for (before, now, change, added, removed, missed) in [
        (("a", 0, 5), ("a", 0, 5), Unchanged, 0, 0, 0),
        (("a", 0, 5), ("a", 0, 6), Advanced, 1, 0, 0),
        (("a", 0, 5), ("a", 2, 7), Advanced, 2, 2, 0),
        (("a", 0, 5), ("a", 2, 5), Advanced, 0, 2, 0),
        (("a", 0, 5), ("a", 5, 9), Advanced, 4, 5, 0),
        (("a", 0, 5), ("a", 8, 9), Advanced, 1, 5, 3),
        (("a", 2, 7), ("a", 1, 6), Stale, 0, 0, 0),
        (("a", 2, 7), ("a", 2, 6), Stale, 0, 0, 0),
        (("a", 20, 25), ("b", 0, 3), NewEpoch, 3, 5, 0),
        (("a", 2, 7), ("b", 0, 5), NewEpoch, 5, 5, 0),
        (("a", 0, 0), ("a", 7, 9), Advanced, 2, 0, 0),
        (("a", 5, 9), ("a", 9, 9), Advanced, 0, 4, 0),
    ] {
        let (old, new) = (live(before.0, before.1, before.2), live(now.0, now.1, now.2));
        let reload = new.compare(&old);
        let found = (reload.change, reload.added.len(), reload.removed.len(), reload.missed);
        assert_eq!(found, (change, added, removed, missed), "{before:?} {now:?}");
        if let (Advanced, Some(last)) = (change, reload.added.last()) {
            assert_eq!(last.media_sequence_number() + 1, now.2);
        }
    }
}

#[test]
fn a_reload_tells_that_the_stream_ended() {
    let old = live("a", 0, 5);
    let mut new = old.clone();
    new.end_list = true;
    let reload = new.compare(&old);
    assert_eq!((reload.change, reload.ended), (Change::Unchanged, true));
}

#[test]
fn new_segments_of_an_update_resolve_against_its_own_url() {
    let previous = media(full(0, 9));
    let mut context = context();
    context.base = "https://other.example.net/x/list.m3u8?_HLS_skip=YES".parse().unwrap();
    let merged = parse_update(delta(0, 8, 12).as_bytes(), &context, &previous)
        .unwrap()
        .into_media()
        .unwrap();
    assert_eq!(merged.segments[5].uri().as_str(), "https://example.com/live/5.ts");
    assert_eq!(merged.segments[11].uri().as_str(), "https://other.example.net/x/11.ts");
}
