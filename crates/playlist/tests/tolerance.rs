//! What is forgiven, with which warning, and what it comes to.

mod common;

use std::time::Duration;

use aqueduct_playlist::{Method, Playlist, PlaylistError, is_playlist};
use common::{codes, context, media, multivariant, read, try_read, with_lines};

const CLEAN: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,A title\na.ts\n#EXTINF:8,\nb.ts\n#EXT-X-ENDLIST\n";

#[test]
fn a_correct_playlist_has_no_warnings() {
    assert_eq!(codes(&read(CLEAN)), [""; 0]);
}

#[test]
fn the_form_of_the_text_does_not_matter() {
    let expected = media(CLEAN);
    for (what, text, warning) in [
        ("BOM", format!("\u{feff}{CLEAN}"), vec!["byte-order-mark"]),
        ("CRLF", CLEAN.replace('\n', "\r\n"), vec![]),
        ("CR alone", CLEAN.replace('\n', "\r"), vec!["carriage-return"]),
        ("mixed endings", CLEAN.replacen('\n', "\r\n", 3), vec![]),
        ("blank lines before EXTM3U", format!("\n \r\n{CLEAN}"), vec!["blank-before-header"]),
        ("space before EXTM3U", format!("  {CLEAN}"), vec!["blank-before-header"]),
        ("no newline at the end", CLEAN.trim_end().to_owned(), vec![]),
        ("blank lines between", CLEAN.replace('\n', "\n\n"), vec![]),
        ("a comment", CLEAN.replacen('\n', "\n# hello\n##\n", 1), vec![]),
        (
            "space round lines",
            CLEAN.replace("\na.ts", "\n\ta.ts ").replace("#EXT-X-END", " #EXT-X-END"),
            vec!["space-around-line"; 2],
        ),
        (
            "all at once",
            format!("\u{feff}\r\r{}", CLEAN.replace('\n', "\r")),
            vec!["byte-order-mark", "carriage-return", "blank-before-header"],
        ),
        ("EXTM3U twice", CLEAN.replacen('\n', "\n#EXTM3U\n", 1), vec!["repeated-tag"]),
        (
            "something behind EXTM3U",
            CLEAN.replacen("EXTM3U", "EXTM3U url-tvg=\"x\"", 1),
            vec![],
        ),
    ] {
        assert!(is_playlist(text.as_bytes()), "{what}");
        let parsed = read(&text);
        let mut got = codes(&parsed);
        got.sort_unstable();
        let mut warning = warning;
        warning.sort_unstable();
        assert_eq!(got, warning, "{what}");
        assert_eq!(parsed.into_media(), Some(expected.clone()), "{what}");
    }
}

#[test]
fn a_text_that_ends_in_the_middle_is_noted_unless_it_says_that_it_is_whole() {
    let live = with_lines("#EXTINF:9,\na.ts\n#EXTINF:9,\nb.t");
    assert_eq!(codes(&read(live.trim_end())), ["no-final-newline"]);
    let unfinished = with_lines("#EXTINF:9,\na.ts\n#EXTIN");
    let parsed = read(unfinished.trim_end());
    assert_eq!(parsed.into_media().unwrap().segments.len(), 1, "an unfinished tag is no URI");
}

#[test]
fn titles_are_utf8_or_latin1() {
    let utf8 = media(with_lines("#EXTINF:9,Läuft, schön, ja\na.ts"));
    assert_eq!(utf8.segments[0].title(), Some("Läuft, schön, ja"));
    let latin1 = [
        with_lines("#EXTINF:9,L").trim_end().as_bytes(),
        b"\xe4uft \x80\na.ts\n#EXTINF:9,\xc3\xa4\nb.ts\n",
    ]
    .concat();
    let parsed = read(latin1);
    assert_eq!(codes(&parsed), ["not-utf8"]);
    assert_eq!((parsed.warnings[0].position.line, parsed.warnings[0].position.column), (3, 12));
    let playlist = parsed.into_media().unwrap();
    assert_eq!(playlist.segments[0].title(), Some("Läuft €"));
    assert_eq!(playlist.segments[1].title(), Some("ä"), "lines that are UTF-8 stay what they are");
}

#[test]
fn a_title_with_commas_makes_no_phantom_segment() {
    let playlist = media(with_lines("#EXTINF:9,one, two,#three\na.ts"));
    assert_eq!(playlist.segments.len(), 1);
    assert_eq!(playlist.segments[0].title(), Some("one, two,#three"));
}

#[test]
fn a_title_may_be_of_any_length() {
    for length in [0, 1, 65_535, 65_536, 500_000] {
        let title = "t".repeat(length);
        let playlist = media(with_lines(&format!("#EXTINF:9,{title}\na.ts")));
        assert_eq!(playlist.segments[0].title().unwrap_or_default(), title);
        assert_eq!(playlist.segments[0].uri_as_written(), "a.ts");
        assert_eq!(media(playlist.to_string()), playlist);
    }
}

#[test]
fn attributes_are_read_in_any_order_and_spelling() {
    let expected = media(with_lines(
        "#EXT-X-KEY:METHOD=AES-128,URI=\"k,1=2\",IV=0x0000000000000000000000000000ABCD\n#EXTINF:1,\na",
    ));
    let key = &expected.segments[0].keys()[0];
    assert_eq!(key.uri.as_ref().unwrap().as_written(), "k,1=2", "commas in quoted strings");
    for (list, warnings) in [
        ("IV=0x0000000000000000000000000000ABCD,URI=\"k,1=2\",METHOD=AES-128", vec![]),
        (
            "METHOD = AES-128 , URI = \"k,1=2\" ,IV=0x0000000000000000000000000000ABCD",
            vec!["space-in-attributes"],
        ),
        (
            "METHOD=AES-128,URI=\"k,1=2\",IV=0x0000000000000000000000000000abcd",
            vec!["hex-spelling"],
        ),
        (
            "METHOD=AES-128,URI=\"k,1=2\",IV=0000000000000000000000000000abcd",
            vec!["hex-spelling"],
        ),
        ("METHOD=AES-128,URI=\"k,1=2\",IV=0X0000000000000000000000000000ABCD", vec![]),
        ("METHOD=AES-128,URI=\"k,1=2\",IV=0xABCD", vec!["iv-length"]),
        (
            "METHOD=AES-128,URI=\"k,1=2\",IV=\"0x0000000000000000000000000000ABCD\"",
            vec!["quoted"],
        ),
        (
            "METHOD=\"AES-128\",URI=\"k,1=2\",IV=0x0000000000000000000000000000ABCD",
            vec!["quoted"],
        ),
        ("METHOD=AES-128,URI=\"k,1=2\",IV=0x0000000000000000000000000000ABCD,", vec![]),
        (
            "METHOD=AES-128,EMPTY=,ALONE,URI=\"k,1=2\",IV=0x0000000000000000000000000000ABCD",
            vec!["attribute-without-value"; 2],
        ),
        (
            "METHOD=AES-128,METHOD=NONE,URI=\"k,1=2\",IV=0x0000000000000000000000000000ABCD",
            vec!["repeated-attribute"],
        ),
        (
            "METHOD=AES-128,IV=0x0000000000000000000000000000ABCD,URI=\"k,1=2",
            vec!["open-quote"],
        ),
        (
            "METHOD=AES-128,URI=\"k,1=2\"x,IV=0x0000000000000000000000000000ABCD",
            vec!["stray-text"],
        ),
        (
            "METHOD=AES-128,URI=\"k,1=2\",KEYFORMAT=identity,IV=0x0000000000000000000000000000ABCD",
            vec!["unquoted"],
        ),
    ] {
        let parsed = read(with_lines(&format!("#EXT-X-KEY:{list}\n#EXTINF:1,\na")));
        assert_eq!(codes(&parsed), warnings, "{list}");
        assert_eq!(parsed.into_media(), Some(expected.clone()), "{list}");
    }
}

#[test]
fn an_iv_that_is_too_long_keeps_its_last_bytes() {
    let playlist = media(with_lines(
        "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0xFF000102030405060708090A0B0C0D0E0F\n#EXTINF:1,\na",
    ));
    let iv: Vec<u8> = (0..16).collect();
    assert_eq!(playlist.segments[0].keys()[0].iv.unwrap().as_slice(), iv);
}

#[test]
fn a_key_between_extinf_and_uri_applies_to_that_segment() {
    let playlist = media(with_lines(
        "#EXTINF:9,\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\na.ts\n#EXTINF:9,\nb.ts",
    ));
    assert!(playlist.segments.iter().all(|s| s.keys().len() == 1));
}

#[test]
fn numbers_are_forgiven() {
    let secs = Duration::from_secs;
    for (line, duration, warning) in [
        ("#EXTINF:9.009,", Duration::from_millis(9009), None),
        ("#EXTINF: 9.9 ,x", Duration::from_millis(9900), None),
        ("#EXTINF:9", secs(9), None),
        ("#EXTINF:.5,", Duration::from_millis(500), Some("odd-number")),
        ("#EXTINF:-1,", secs(0), Some("negative-number")),
        ("#EXTINF:99999999999999999999,", Duration::from_nanos(u64::MAX), Some("huge-number")),
        ("#EXTINF:soon,", secs(0), Some("not-a-number")),
        ("#EXTINF:,x", secs(0), Some("not-a-number")),
        ("", secs(0), Some("segment-without-duration")),
    ] {
        let parsed = read(with_lines(&format!("{line}\na.ts")));
        assert_eq!(codes(&parsed), Vec::from_iter(warning), "{line}");
        assert_eq!(parsed.into_media().unwrap().segments[0].duration(), duration, "{line}");
    }
}

#[test]
fn a_target_duration_is_rounded_up_or_missing() {
    for (line, seconds, warning) in [
        ("#EXT-X-TARGETDURATION:9.6", Some(10), Some("fractional-number")),
        ("#EXT-X-TARGETDURATION:-4", Some(0), Some("negative-number")),
        ("#EXT-X-TARGETDURATION:x", None, Some("bad-tag")),
        ("#EXT-X-MEDIA-SEQUENCE:0", None, Some("missing-target-duration")),
    ] {
        let parsed = read(format!("#EXTM3U\n{line}\n#EXTINF:4,\na.ts\n"));
        assert_eq!(codes(&parsed), Vec::from_iter(warning), "{line}");
        let playlist = parsed.into_media().unwrap();
        assert_eq!(playlist.target_duration, seconds.map(Duration::from_secs), "{line}");
        assert_eq!(playlist.segments.len(), 1, "no phantom segments");
    }
}

#[test]
fn huge_sequence_numbers_saturate() {
    let parsed = read("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:4,\na\n#EXTINF:4,\nb\n");
    assert_eq!(codes(&parsed), [""; 0]);
    let numbers: Vec<_> = parsed
        .into_media()
        .unwrap()
        .segments
        .iter()
        .map(|s| s.media_sequence_number())
        .collect();
    assert_eq!(numbers, [u64::MAX, u64::MAX]);
    assert_eq!(
        codes(&read(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:18446744073709551616\n"
        )),
        ["huge-number"]
    );
}

#[test]
fn the_second_map_holds_from_where_it_stands() {
    let playlist = media(with_lines(
        "#EXT-X-MAP:URI=\"1\"\n#EXTINF:1,\na\n#EXT-X-MAP:URI=\"2\"\n#EXTINF:1,\nb\n#EXTINF:1,\nc",
    ));
    let maps: Vec<_> = playlist
        .segments
        .iter()
        .map(|s| s.init().unwrap().uri.as_written().to_owned())
        .collect();
    assert_eq!(maps, ["1", "2", "2"]);
    let parsed = read(with_lines("#EXT-X-MAP:URI=\"1\"\n#EXT-X-MAP:URI=\"2\"\n#EXTINF:1,\na"));
    assert_eq!(codes(&parsed), ["repeated-map"]);
    assert_eq!(parsed.into_media().unwrap().segments[0].init().unwrap().uri.as_written(), "2");
}

#[test]
fn a_bare_query_resolves_against_the_playlist_itself() {
    let parsed = read(with_lines("#EXTINF:1,\n?segment=1"));
    assert_eq!(codes(&parsed), ["query-only-uri"]);
    assert_eq!(
        parsed.into_media().unwrap().segments[0].uri().as_str(),
        "https://example.com/live/list.m3u8?segment=1"
    );
}

#[test]
fn tags_that_come_twice_or_too_late_are_noted() {
    for (lines, warnings) in [
        ("#EXT-X-TARGETDURATION:11", vec!["repeated-tag"]),
        ("#EXTINF:1,\na\n#EXT-X-MEDIA-SEQUENCE:5", vec!["late-tag"]),
        ("#EXTINF:1,\na\n#EXT-X-DISCONTINUITY-SEQUENCE:5", vec!["late-tag"]),
        ("#EXTINF:1,\n#EXTINF:2,\na", vec!["duration-without-segment"]),
        ("#EXTINF:1,\na\n#EXTINF:2,", vec!["duration-without-segment"]),
        ("#EXT-X-PLAYLIST-TYPE:LIVE", vec!["bad-tag"]),
        ("#EXT-X-PROGRAM-DATE-TIME:yesterday", vec!["bad-tag"]),
        ("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00", vec!["date-without-zone"]),
        ("#EXT-X-PROGRAM-DATE-TIME:2026-01-01 00:00:00Z", vec!["date-spelling"]),
        ("#EXT-X-KEY:METHOD=AES-128", vec!["key-without-uri"]),
        ("#EXT-X-KEY:URI=\"k\"", vec!["missing-attribute"]),
        ("#EXT-X-MAP:BYTERANGE=\"1@0\"", vec!["missing-attribute"]),
        ("#EXT-X-MAP:URI=\"m\",BYTERANGE=\"10\"", vec!["byte-range-without-start"]),
        ("#EXT-X-PART-INF:PART-TARGET=x", vec!["bad-attribute"]),
        (
            "#EXT-X-BYTERANGE:10@18446744073709551610\n#EXTINF:1,\na",
            vec!["byte-range-overflow"],
        ),
        (
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\"\n#EXTINF:1,\na",
            vec!["mixed-playlist", "foreign-tag"],
        ),
        ("#EXTINF:1,\x01\na", vec!["control-character"]),
    ] {
        assert_eq!(codes(&read(with_lines(lines))), warnings, "{lines}");
    }
}

#[test]
fn the_media_sequence_is_right_even_when_it_comes_late() {
    let playlist = media(with_lines("#EXTINF:1,\na\n#EXT-X-MEDIA-SEQUENCE:5\n#EXTINF:1,\nb"));
    assert_eq!(playlist.segments[1].media_sequence_number(), 6);
}

#[test]
fn a_key_without_method_is_no_reason_to_think_the_segment_clear() {
    let playlist = media(with_lines("#EXT-X-KEY:URI=\"k\"\n#EXTINF:1,\na"));
    assert_eq!(playlist.segments[0].keys()[0].method, Method::Other("".into()));
}

#[test]
fn uri_lines_decide_of_which_kind_a_playlist_is() {
    for (text, multivariant) in [
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", true),
        ("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\"\n", true),
        ("#EXTM3U\n#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:1,\na\n", false),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:1\n", false),
        ("#EXTM3U\na\nb\n", false),
        ("#EXTM3U\n", false),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", true),
    ] {
        assert_eq!(matches!(read(text).playlist, Playlist::Multivariant(_)), multivariant, "{text}");
    }
}

#[test]
fn variants_keep_their_uris_whatever_their_attributes_are() {
    let text = "#EXTM3U\n\
        #EXT-X-STREAM-INF:BANDWIDTH=100,CODECS=\"avc1.4d401f, mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.97\n1\n\
        #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=x,RESOLUTION=big,AUDIO=\"\"\n2\n\
        #EXT-X-STREAM-INF:BANDWIDTH=99999999999999999999\n\
        #EXT-X-STREAM-INF:bandwidth=5,BANDWIDTH=3\n#EXT-X-FOO\n4\n\
        5\n\
        #EXT-X-STREAM-INF:BANDWIDTH=6\nhttp://[bad\n\
        #EXT-X-STREAM-INF:BANDWIDTH=7\n7\n";
    let parsed = read(text);
    let expected = [
        "missing-attribute",
        "bad-attribute",
        "bad-attribute",
        "variant-without-uri",
        "huge-number",
        "uri-without-variant",
        "bad-uri",
    ];
    assert_eq!(codes(&parsed), expected);
    let playlist = parsed.into_multivariant().unwrap();
    let variants: Vec<_> = playlist.variants.iter().map(|v| (v.uri.as_written(), v.bandwidth)).collect();
    assert_eq!(variants, [("1", 100), ("2", 0), ("4", 3), ("7", 7)]);
    let first = &playlist.variants[0];
    assert_eq!(first.codecs, ["avc1.4d401f", "mp4a.40.2"]);
    assert_eq!(first.resolution.unwrap().to_string(), "640x360");
    assert_eq!(first.frame_rate, Some(29.97));
    let second: Vec<_> = playlist.variants[1].other.iter().map(ToString::to_string).collect();
    assert_eq!(second, ["AVERAGE-BANDWIDTH=x", "RESOLUTION=big"], "what cannot be read is kept");
    assert_eq!(playlist.variants[2].other[0].to_string(), "bandwidth=5");
}

#[test]
fn odd_renditions_are_not_dropped() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"\",FORCED=YES,INSTREAM-ID=\"CC1\",DEFAULT=TRUE,X=1\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv\n",
    );
    let rendition = &playlist.renditions[0];
    assert!(rendition.forced && !rendition.default);
    let other: Vec<_> = rendition.other.iter().map(ToString::to_string).collect();
    assert_eq!(other, ["DEFAULT=TRUE", "X=1"]);
}

#[test]
fn what_is_no_playlist_is_an_error_that_shows_the_line() {
    for text in ["", "\n\n", "<html>", "#EXTINF:1,\na\n", "\u{feff}", "#extm3u\n"] {
        assert!(!is_playlist(text.as_bytes()), "{text}");
        let error = try_read(text).unwrap_err();
        assert!(matches!(error, PlaylistError::NotAPlaylist { .. }), "{text}: {error}");
    }
    let error = try_read("\n\n<html>\n").unwrap_err().to_string();
    assert!(error.contains("<html>"), "{error}");
}

#[test]
fn a_range_or_iv_that_cannot_be_read_is_an_error() {
    for (line, expected) in [
        ("#EXT-X-BYTERANGE:x", "byte range"),
        ("#EXT-X-BYTERANGE:1@x", "byte range"),
        ("#EXT-X-MAP:URI=\"i\",BYTERANGE=\"x\"", "byte range"),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0xZZ", "IV"),
    ] {
        let error = try_read(with_lines(&format!("{line}\n#EXTINF:1,\na"))).unwrap_err();
        assert!(
            matches!(error, PlaylistError::BadValue { what, position, .. } if position.line == 3 && what == expected),
            "{line}: {error}"
        );
    }
}

#[test]
fn a_segment_that_cannot_be_resolved_is_an_error_with_line_and_column() {
    let error = try_read(with_lines("#EXTINF:1,\nhttp://[x/a?sig=secret")).unwrap_err().to_string();
    assert!(
        error.contains("line 4, column 1") && error.contains("http://[x/a?sig=······"),
        "{error}"
    );
    for line in ["#EXT-X-KEY:METHOD=AES-128,URI=\"http://[\"", "#EXT-X-MAP:URI=\"http://[\""] {
        let error = try_read(with_lines(line)).unwrap_err();
        assert!(
            matches!(error, PlaylistError::BadUri { position, .. } if position.line == 3),
            "{error}"
        );
    }
}

#[test]
fn a_warning_says_where_and_shows_the_line() {
    let parsed = read(with_lines(
        "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMATVERSIONS=\"x\"\n#EXTINF:1,\na",
    ));
    assert_eq!(
        parsed.warnings[0].to_string(),
        "line 3, column 54: the value of KEYFORMATVERSIONS cannot be read\n  \
         #EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMATVERSIONS=\"x\"\n  \
         \u{20}                                                    ^"
    );
}

#[test]
fn limits_are_errors() {
    type Limit = fn(&mut aqueduct_playlist::Limits);
    let long = format!("#EXTM3U\n#{}\n", "x".repeat(2000));
    let media = with_lines(&"#EXTINF:1,\na\n".repeat(20));
    let multivariant = format!("#EXTM3U\n{}", "#EXT-X-STREAM-INF:BANDWIDTH=1\na\n".repeat(20));
    let tags = with_lines(&"#EXT-X-FOO\n".repeat(20));
    let cases: [(&str, Limit); 6] = [
        (&media, |l| l.bytes = 100),
        (&media, |l| l.lines = 10),
        (&long, |l| l.line_bytes = 1000),
        (&media, |l| l.segments = 19),
        (&multivariant, |l| l.entries = 19),
        (&tags, |l| l.tags = 19),
    ];
    for (text, limit) in cases {
        let mut context = context();
        assert!(aqueduct_playlist::parse(text.as_bytes(), &context).is_ok());
        limit(&mut context.limits);
        let error = aqueduct_playlist::parse(text.as_bytes(), &context).unwrap_err();
        assert!(
            matches!(error, PlaylistError::TooLarge { .. } | PlaylistError::LongLine { .. }),
            "{error}"
        );
    }
    for text in [
        with_lines(&"#EXT-X-DATERANGE:ID=\"a\",X=1\n".repeat(20)),
        with_lines(&format!(
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=1,RECENTLY-REMOVED-DATERANGES=\"{}\"",
            "a\t".repeat(20)
        )),
        with_lines(
            &(0..20)
                .map(|n| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{n}\"\n#EXTINF:1,\na\n"))
                .collect::<String>(),
        ),
        with_lines(
            &(0..17)
                .map(|n| format!("#EXT-X-KEY:METHOD=A,URI=\"k\",KEYFORMAT=\"{n}\"\n"))
                .collect::<String>(),
        ),
    ] {
        let mut context = context();
        context.limits.tags = 19;
        let error = aqueduct_playlist::parse(text.as_bytes(), &context).unwrap_err();
        assert!(
            matches!(error, PlaylistError::TooLarge { position: Some(_), .. }),
            "{error}\n{text}"
        );
    }
    let mut context = context();
    context.limits.segments = 1;
    let error = aqueduct_playlist::parse(media.as_bytes(), &context).unwrap_err().to_string();
    assert_eq!(error, "read a playlist: line 6, column 1: more than 1 segments\n  a\n  ^");
}

#[test]
fn warnings_of_a_kind_are_counted_beyond_the_limit() {
    let parsed = read(with_lines(&"#EXTINF:-1,\na\n".repeat(150)));
    assert_eq!((parsed.warnings.len(), parsed.suppressed_warnings), (100, 50));
}
