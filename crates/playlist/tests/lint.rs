//! What the linter finds, and that it leaves what is right alone.

mod common;

use aqueduct_playlist::Severity;
use common::{findings, read};

/// A Media Playlist of three segments with these lines in front of them.
fn media(version: u32, lines: &str) -> String {
    let segments = "#EXTINF:4,\na\n#EXTINF:4,\nb\n#EXTINF:4,\nc\n";
    format!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:4\n{lines}\n{segments}")
}

fn multivariant(lines: &str) -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:6\n{lines}\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.640028\"\nv\n")
}

#[test]
fn what_is_right_is_left_alone() {
    for text in [
        media(3, "#EXT-X-MEDIA-SEQUENCE:1"),
        media(
            3,
            "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x000102030405060708090A0B0C0D0E0F",
        ),
        media(6, "#EXT-X-MAP:URI=\"m\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\""),
        media(
            9,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1,CAN-SKIP-UNTIL=24\n#EXT-X-PART-INF:PART-TARGET=0.33\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-20T00:00:00.000Z\n#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-11-20T00:00:00.000Z\",DURATION=5\n\
             #EXT-X-PART:DURATION=0.33,URI=\"p\"",
        ),
        multivariant("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",CHANNELS=\"2\",URI=\"a\""),
    ] {
        assert_eq!(findings(&text), [""; 0], "{text}");
    }
}

#[test]
fn every_feature_needs_its_version() {
    for (lines, version) in [
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x000102030405060708090A0B0C0D0E0F", 2),
        ("#EXTINF:3.5,\nx", 3),
        ("#EXT-X-BYTERANGE:1@0", 4),
        ("#EXT-X-I-FRAMES-ONLY", 4),
        ("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=\"f\"", 5),
        ("#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"m\"", 5),
        ("#EXT-X-MAP:URI=\"m\"", 6),
        ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"", 8),
        ("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=24\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1", 9),
        (
            "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=24\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1,RECENTLY-REMOVED-DATERANGES=\"a\"",
            10,
        ),
    ] {
        assert_eq!(findings(&media(version, lines)), [""; 0], "{lines}");
        assert_eq!(findings(&media(version - 1, lines)), ["version-too-low"], "{lines}");
    }
}

#[test]
fn media_playlists_are_checked() {
    for (lines, found) in [
        ("#EXTINF:4.5,\nx", vec!["segment-too-long"]),
        ("#EXTINF:4.4,\nx", vec![]),
        ("#EXT-X-BYTERANGE:0@0", vec!["empty-byte-range"]),
        ("#EXT-X-KEY:METHOD=AES-256,URI=\"k\"", vec!["unknown-method"]),
        ("#EXT-X-KEY:METHOD=AES-256-GCM,URI=\"k\"\n#EXT-X-MAP:URI=\"m\"", vec![]),
        (
            "#EXT-X-KEY:METHOD=AES-256-GCM,URI=\"k\",IV=0x00000000000000000000000000000002",
            vec!["iv-with-gcm"],
        ),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"m\"", vec!["map-without-iv"]),
        ("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=23", vec!["skip-too-late"]),
        ("#EXT-X-SERVER-CONTROL:CAN-SKIP-DATERANGES=YES", vec!["skip-date-ranges-alone"]),
        ("#EXT-X-SERVER-CONTROL:HOLD-BACK=11", vec!["hold-back-too-short"]),
        ("#EXT-X-PART-INF:PART-TARGET=1", vec!["part-hold-back-missing"]),
        (
            "#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=1",
            vec!["part-hold-back-too-short"],
        ),
        (
            "#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=2",
            vec!["part-hold-back-short"],
        ),
        ("#EXT-X-PART:DURATION=1,URI=\"p\"", vec!["part-without-inf"]),
        (
            "#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=3\n#EXT-X-PART:DURATION=0.5,URI=\"p\"\n#EXT-X-PART:DURATION=1.5,URI=\"p\"",
            vec!["part-too-short", "part-too-long"],
        ),
        ("#EXT-X-SKIP:SKIPPED-SEGMENTS=1", vec!["skip-without-control"]),
        (
            "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-11-20T00:00:00Z\"",
            vec!["date-range-without-date"],
        ),
        ("#EXT-X-START:TIME-OFFSET=13", vec!["start-outside"]),
        ("#EXT-X-ALLOW-CACHE:NO", vec!["removed-tag"]),
        ("#EXT-X-RENDITION-REPORT:URI=\"https://example.com/a\"", vec!["absolute-report"]),
        (
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b\"",
            vec!["repeated-hint"],
        ),
    ] {
        let mut found = found;
        let mut got = findings(&media(13, lines));
        found.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, found, "{lines}");
    }
    assert_eq!(
        findings("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na\n"),
        ["short-live-playlist"]
    );
    assert_eq!(findings("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-ENDLIST\n"), ["no-segments"]);
    assert_eq!(findings(&media(14, "")), ["version-unknown"]);
}

#[test]
fn the_largest_numbers_are_checked_without_overflow() {
    let huge = u64::MAX;
    for lines in [
        format!("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL={huge},HOLD-BACK={huge},PART-HOLD-BACK={huge}\n#EXT-X-PART-INF:PART-TARGET={huge}"),
        format!("#EXT-X-PART:DURATION={huge},URI=\"p\"\n#EXTINF:{huge},\na\n#EXTINF:{huge},\na"),
        format!(
            "#EXT-X-PROGRAM-DATE-TIME:9999-01-01T00:00:00Z\n#EXTINF:{huge},\na\n#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"9999-01-01T00:00:00Z\",END-DATE=\"9999-01-01T00:00:00Z\",DURATION={huge}"
        ),
    ] {
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{huge}\n#EXT-X-MEDIA-SEQUENCE:{huge}\n#EXT-X-DISCONTINUITY-SEQUENCE:{huge}\n{lines}\n#EXTINF:1,\na\n"
        );
        let playlist = read(&text).playlist;
        playlist.validate();
        assert_eq!(read(playlist.to_string()).playlist, playlist);
    }
}

#[test]
fn date_ranges_are_checked() {
    let start = "START-DATE=\"2026-11-20T00:00:00Z\"";
    for (attributes, found) in [
        ("ID=\"a\"".to_owned(), "date-range-without-start"),
        (
            format!("ID=\"a\",{start},END-DATE=\"2026-11-19T00:00:00Z\""),
            "date-range-backwards",
        ),
        (
            format!("ID=\"a\",{start},END-DATE=\"2026-11-20T00:00:10Z\",DURATION=9"),
            "date-range-contradiction",
        ),
        (format!("ID=\"a\",{start},END-ON-NEXT=YES"), "end-on-next-without-class"),
        (
            format!("ID=\"a\",{start},CLASS=\"c\",END-ON-NEXT=YES,DURATION=1"),
            "end-on-next-with-end",
        ),
        (format!("ID=\"a\",{start},CUE=\"PRE,POST\""), "cue-contradiction"),
        (
            format!("ID=\"a\",{start},CLASS=\"com.apple.hls.interstitial\""),
            "interstitial-without-asset",
        ),
        (
            format!("ID=\"b\",{start}\n#EXT-X-DATERANGE:ID=\"b\",START-DATE=\"2026-11-20T00:00:01Z\""),
            "date-range-moved",
        ),
        (start.to_owned(), "missing-attribute"),
    ] {
        let lines = format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-20T00:00:00Z\n#EXT-X-DATERANGE:{attributes}");
        assert_eq!(findings(&media(3, &lines)), [found], "{attributes}");
    }
}

#[test]
fn multivariant_playlists_are_checked() {
    for (lines, found) in [
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\nx", vec!["codecs-missing"]),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1,AVERAGE-BANDWIDTH=2,CODECS=\"c\"\nx",
            vec!["average-above-peak"],
        ),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"c\",AUDIO=\"a\"\nx", vec!["unknown-group"]),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"c\",CLOSED-CAPTIONS=NONE\nx",
            vec!["captions-none"],
        ),
        (
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"s\"",
            vec!["subtitles-without-uri"],
        ),
        ("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"s\"", vec!["channels-missing"]),
        (
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"s\",NAME=\"s\",INSTREAM-ID=\"CC5\"",
            vec!["captions-without-id"],
        ),
        (
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"s\",NAME=\"s\",INSTREAM-ID=\"CC1\",URI=\"u\"",
            vec!["captions-with-uri"],
        ),
        (
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"s\",NAME=\"s\",INSTREAM-ID=\"SERVICE63\"",
            vec!["version-too-low"],
        ),
        (
            "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"s\",NAME=\"s\",FORCED=YES",
            vec!["forced-without-subtitles"],
        ),
        (
            "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"s\",NAME=\"s\",DEFAULT=YES\n#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"s\",NAME=\"s\",DEFAULT=YES",
            vec!["repeated-name", "second-default"],
        ),
        ("#EXT-X-SESSION-DATA:DATA-ID=\"a\"", vec!["session-data-value"]),
        (
            "#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"1\"\n#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"2\"",
            vec!["repeated-session-data"],
        ),
        ("#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\",PATHWAY-ID=\"x\"", vec!["unknown-pathway"]),
        ("#EXT-X-STREAM-INF:CODECS=\"c\"\nx", vec!["missing-attribute"]),
        ("#EXT-X-TARGETDURATION:4", vec!["mixed-playlist", "foreign-tag"]),
    ] {
        assert_eq!(findings(&multivariant(lines)), found, "{lines}");
    }
    assert_eq!(
        findings("#EXTM3U\n#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"s\",NAME=\"s\"\n"),
        ["no-variants"]
    );
}

#[test]
fn a_finding_has_line_section_and_severity() {
    let playlist = read(media(1, "#EXTINF:5,\nx")).playlist;
    let found = playlist.validate();
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (finding.line.get(), finding.section, finding.severity),
        (Some(5), "4.4.3.1", Severity::Error)
    );
    assert_eq!(
        finding.to_string(),
        "line 5: error: the segment lasts 5.000 s, more than the Target Duration of 4 s [segment-too-long, section 4.4.3.1]"
    );
}
