//! What is in force for each segment.

mod common;

use std::time::Duration;

use aqueduct_playlist::{ByteRange, CueKind, HintKind, Method, PlaylistType, Segment, Tag};
use common::{codes, media, multivariant, read, with_lines};

/// The URIs of the keys of a segment.
fn keys(segment: &Segment) -> Vec<&str> {
    segment.keys().iter().filter_map(|k| Some(k.uri.as_ref()?.as_written())).collect()
}

#[test]
fn a_key_holds_until_the_next_of_its_format_or_none() {
    let playlist = media(with_lines(
        "#EXTINF:1,\n0\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"a1\"\n#EXTINF:1,\n1\n#EXTINF:1,\n2\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"b1\",KEYFORMAT=\"b\"\n#EXTINF:1,\n3\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"a2\"\n#EXTINF:1,\n4\n\
         #EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\n5\n#EXTINF:1,\n6\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"a3\",KEYFORMAT=\"identity\"\n#EXTINF:1,\n7",
    ));
    let expected: [&[&str]; 8] = [&[], &["a1"], &["a1"], &["a1", "b1"], &["a2", "b1"], &[], &[], &["a3"]];
    for (segment, expected) in playlist.segments.iter().zip(expected) {
        assert_eq!(keys(segment), expected, "segment {}", segment.media_sequence_number());
    }
    assert!(playlist.segments[7].keys()[0].is_identity());
    assert!(
        std::sync::Arc::ptr_eq(playlist.segments[1].keys(), playlist.segments[2].keys()),
        "what is equal is shared"
    );
}

#[test]
fn an_initialization_section_has_the_keys_in_force_where_it_stands() {
    for (lines, init, segment) in [
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"m\"", vec!["k"], vec!["k"]),
        ("#EXT-X-MAP:URI=\"m\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"", vec![], vec!["k"]),
        (
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"m\"\n#EXT-X-KEY:METHOD=NONE",
            vec!["k"],
            vec![],
        ),
    ] {
        let playlist = media(with_lines(&format!("{lines}\n#EXTINF:1,\na\n#EXTINF:1,\nb")));
        for s in &playlist.segments {
            let section = s.init().unwrap();
            let found: Vec<_> = section.keys.iter().filter_map(|k| Some(k.uri.as_ref()?.as_written())).collect();
            assert_eq!((found, keys(s)), (init.clone(), segment.clone()), "{lines}");
        }
    }
}

#[test]
fn an_iv_is_the_media_sequence_number_unless_it_is_stated() {
    let playlist = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:258\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:1,\na\n#EXTINF:1,\nb\n",
    );
    let segment = &playlist.segments[1];
    assert_eq!(segment.media_sequence_number(), 259);
    let iv = segment.keys()[0].iv_for(segment.media_sequence_number());
    assert_eq!(iv, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3]);
}

#[test]
fn every_method_has_a_name() {
    for (name, method) in [
        ("AES-128", Method::Aes128),
        ("AES-256", Method::Aes256),
        ("AES-256-CTR", Method::Aes256Ctr),
        ("AES-256-GCM", Method::Aes256Gcm),
        ("SAMPLE-AES", Method::SampleAes),
        ("SAMPLE-AES-CTR", Method::SampleAesCtr),
        ("ROT-13", Method::Other("ROT-13".into())),
    ] {
        let playlist = media(with_lines(&format!(
            "#EXT-X-KEY:METHOD={name},URI=\"k\",KEYFORMATVERSIONS=\"1/2/5\",X=1\n#EXTINF:1,\na"
        )));
        let key = &playlist.segments[0].keys()[0];
        assert_eq!((&key.method, key.method.as_str()), (&method, name));
        assert_eq!(key.key_format_versions, [1, 2, 5]);
        assert_eq!(key.other[0].to_string(), "X=1");
    }
}

#[test]
fn byte_ranges_are_absolute() {
    let range = |offset, length| Some(ByteRange { offset, length });
    let parsed = read(with_lines(
        "#EXT-X-BYTERANGE:10@5\n#EXTINF:1,\na\n#EXTINF:1,\n#EXT-X-BYTERANGE:20\na\n#EXT-X-BYTERANGE:7\n#EXTINF:1,\na\n\
         #EXT-X-BYTERANGE:3\n#EXTINF:1,\nb\n#EXT-X-BYTERANGE:4\n#EXTINF:1,\na\n#EXTINF:1,\na",
    ));
    assert_eq!(
        codes(&parsed),
        ["byte-range-without-start"; 2],
        "b begins at zero, and a goes on where it was left"
    );
    let ranges: Vec<_> = parsed.into_media().unwrap().segments.iter().map(Segment::byte_range).collect();
    assert_eq!(ranges, [range(5, 10), range(15, 20), range(35, 7), range(0, 3), range(42, 4), None]);
}

#[test]
fn sequence_numbers_and_start_times_count_up() {
    let playlist = media(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:4294967296\n#EXT-X-DISCONTINUITY-SEQUENCE:9\n\
         #EXTINF:4,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:3.003,\nb\n#EXTINF:4,\nc\n#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n#EXTINF:4,\nd\n",
    );
    let found: Vec<_> = playlist
        .segments
        .iter()
        .map(|s| {
            (
                s.media_sequence_number(),
                s.discontinuity_sequence_number(),
                s.discontinuity(),
                s.start().as_millis(),
            )
        })
        .collect();
    let first = 1 << 32;
    assert_eq!(
        found,
        [
            (first, 9, false, 0),
            (first + 1, 10, true, 4000),
            (first + 2, 10, false, 7003),
            (first + 3, 12, true, 11003)
        ]
    );
    assert_eq!(playlist.duration(), Duration::from_millis(15003));
    assert_eq!(playlist.next_media_sequence_number(), first + 4);
}

#[test]
fn durations_are_exact() {
    let playlist = media(with_lines(&"#EXTINF:0.1,\na\n".repeat(100_000)));
    assert_eq!(playlist.duration(), Duration::from_secs(10_000), "an f32 would be off by seconds");
}

#[test]
fn the_program_date_time_is_carried_forward() {
    let playlist = media(with_lines(
        "#EXTINF:1,\na\n#EXT-X-PROGRAM-DATE-TIME:2026-11-20T12:00:00.5+01:00\n#EXTINF:1.25,\nb\n#EXTINF:2,\nc\n#EXTINF:2,\nd\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-20T00:00:00Z\n#EXTINF:1,\ne",
    ));
    let dates: Vec<_> = playlist
        .segments
        .iter()
        .map(|s| s.program_date_time().map(|d| d.unix_millis()))
        .collect();
    // `date -u -d 2026-11-20T11:00:00 +%s` is 1795172400.
    let noon = 1_795_172_400_000_i64;
    assert_eq!(
        dates,
        [
            None,
            Some(noon + 500),
            Some(noon + 1750),
            Some(noon + 3750),
            Some(noon - 11 * 3_600_000)
        ]
    );
    assert!(playlist.segments[1].stated_program_date_time().is_some());
    assert!(playlist.segments[2].stated_program_date_time().is_none());
}

#[test]
fn gaps_and_bit_rates_apply_where_they_stand() {
    let playlist = media(with_lines(
        "#EXT-X-BITRATE:800\n#EXTINF:1,\na\n#EXT-X-GAP\n#EXTINF:1,\nb\n#EXT-X-BYTERANGE:1@0\n#EXTINF:1,\nc\n#EXT-X-BITRATE:900\n#EXTINF:1,\nd",
    ));
    let found: Vec<_> = playlist.segments.iter().map(|s| (s.gap(), s.bitrate())).collect();
    assert_eq!(found, [(false, Some(800)), (true, Some(800)), (false, None), (false, Some(900))]);
}

#[test]
fn references_resolve_against_the_url_after_redirects() {
    for (reference, url) in [
        ("a.ts", "https://example.com/live/a.ts"),
        ("/a.ts", "https://example.com/a.ts"),
        ("../a.ts", "https://example.com/a.ts"),
        ("//cdn.example.net/a.ts", "https://cdn.example.net/a.ts"),
        ("http://Cdn.example.net:8080/a.ts", "http://cdn.example.net:8080/a.ts"),
        ("https://cdn.example.net", "https://cdn.example.net/"),
        ("a b.ts?x=1", "https://example.com/live/a%20b.ts?x=1"),
        ("data:,x", "data:,x"),
    ] {
        let playlist = media(with_lines(&format!("#EXTINF:1,\n{reference}")));
        assert_eq!(playlist.segments[0].uri().as_str(), url);
        assert_eq!(playlist.segments[0].uri_as_written(), reference);
    }
}

#[test]
fn tags_keep_their_place() {
    let playlist = media(with_lines(
        "#EXT-X-FIRST:1\n#EXTINF:1,\na\n#EXT-X-CUE-OUT:30\n#EXT-X-SECOND\n#EXTINF:1,\n#EXT-X-THIRD\nb\n#EXT-X-LAST\n#EXT-X-ENDLIST",
    ));
    let places: Vec<_> = playlist.tags().map(|(n, tag)| (n, format!("{tag:?}"))).collect();
    let names: Vec<_> = places
        .iter()
        .map(|(n, tag)| (*n, tag.split(['"', ' ']).nth(1).unwrap_or_default()))
        .collect();
    assert_eq!(
        names,
        [
            (0, "#EXT-X-FIRST:1"),
            (1, "{"),
            (1, "#EXT-X-SECOND"),
            (1, "#EXT-X-THIRD"),
            (2, "#EXT-X-LAST")
        ]
    );
    let Tag::Cue(cue) = &playlist.segments[1].tags()[0] else {
        panic!("a cue")
    };
    assert!(matches!(cue.kind, CueKind::Out { duration: Some(d) } if d == Duration::from_secs(30)));
}

#[test]
fn low_latency_tags_are_typed() {
    let playlist = media(with_lines(
        "#EXT-X-VERSION:9\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=60,CAN-SKIP-DATERANGES=YES,HOLD-BACK=30\n\
         #EXT-X-PART-INF:PART-TARGET=0.33334\n\
         #EXT-X-PART:DURATION=0.33334,URI=\"a.0\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.3,URI=\"a.1\",GAP=YES\n#EXTINF:0.63334,\na\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n\
         #EXT-X-PART:DURATION=0.2,URI=\"b\",BYTERANGE=\"100@0\"\n#EXT-X-PART:DURATION=0.2,URI=\"b\",BYTERANGE=\"50\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b\",BYTERANGE-START=150\n#EXT-X-RENDITION-REPORT:URI=\"../audio\",LAST-MSN=7,LAST-PART=2",
    ));
    let control = playlist.server_control.as_ref().unwrap();
    assert!(control.can_block_reload && control.can_skip_date_ranges);
    assert_eq!(
        (control.part_hold_back, control.can_skip_until, control.hold_back),
        (
            Some(Duration::from_secs(1)),
            Some(Duration::from_secs(60)),
            Some(Duration::from_secs(30))
        )
    );
    assert_eq!(playlist.part_inf.as_ref().unwrap().part_target, Duration::from_micros(333_340));
    let parts: Vec<_> = playlist.segments[0]
        .parts()
        .map(|p| (p.uri.as_written(), p.independent, p.gap))
        .collect();
    assert_eq!(parts, [("a.0", true, false), ("a.1", false, true)]);
    let open = playlist.unfinished.as_ref().unwrap();
    assert_eq!((open.media_sequence_number(), keys(open)), (1, vec!["k"]));
    let ranges: Vec<_> = open.parts().map(|p| p.byte_range.unwrap().to_string()).collect();
    assert_eq!(ranges, ["100@0", "50@100"]);
    let hint = &playlist.preload_hints[0];
    assert_eq!(
        (&hint.kind, hint.byte_range_start, hint.byte_range_length),
        (&HintKind::Part, 150, None)
    );
    let report = &playlist.rendition_reports[0];
    assert_eq!(
        (report.uri.url().as_str(), report.last_msn, report.last_part),
        ("https://example.com/audio", Some(7), Some(2))
    );
}

#[test]
fn date_ranges_are_typed() {
    let playlist = media(with_lines(
        "#EXT-X-DATERANGE:ID=\"ad\",CLASS=\"com.apple.hls.interstitial\",START-DATE=\"2026-11-20T00:00:00Z\",DURATION=15.5,CUE=\"PRE,ONCE\",\
         SCTE35-OUT=0xFC30,X-ASSET-URI=\"ads/1.m3u8\",X-RESUME-OFFSET=0,X-RESTRICT=\"SKIP,JUMP\",X-PLAYOUT-LIMIT=10,X-COM-EXAMPLE=\"yes\"\n\
         #EXT-X-DATERANGE:ID=\"ad\",END-ON-NEXT=YES,CLASS=\"c\",SCTE35-IN=0xfc\n#EXTINF:1,\na",
    ));
    let ranges: Vec<_> = playlist.date_ranges().collect();
    let (first, second) = (ranges[0], ranges[1]);
    assert_eq!((first.id.as_str(), &first.scte35_out), ("ad", &Some(vec![0xfc, 0x30])));
    assert_eq!(first.duration, Some(Duration::from_millis(15_500)));
    assert_eq!(first.cue, ["PRE", "ONCE"]);
    assert_eq!(first.client_attribute("X-COM-EXAMPLE"), Some("yes"));
    let interstitial = first.interstitial().unwrap();
    assert_eq!(interstitial.asset_uri.unwrap().as_str(), "https://example.com/live/ads/1.m3u8");
    assert_eq!(interstitial.resume_offset, Some(0.0));
    assert_eq!(interstitial.restrict, ["SKIP", "JUMP"]);
    assert_eq!(interstitial.playout_limit, Some(Duration::from_secs(10)));
    assert!(interstitial.content_may_vary);
    assert!(second.end_on_next && second.interstitial().is_none());
    assert_eq!(second.scte35_in, Some(vec![0xfc]));
}

#[test]
fn tags_of_the_whole_playlist_are_typed() {
    let playlist = media(with_lines(
        "#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-START:TIME-OFFSET=-12.5,PRECISE=YES\n#EXT-X-PLAYLIST-TYPE:EVENT\n\
         #EXT-X-I-FRAMES-ONLY\n#EXTINF:1,\na\n#EXT-X-ENDLIST",
    ));
    assert_eq!(playlist.version, Some(7));
    assert!(playlist.independent_segments && playlist.i_frames_only && playlist.end_list && playlist.is_complete());
    assert_eq!(playlist.playlist_type, Some(PlaylistType::Event));
    let start = playlist.start.unwrap();
    assert_eq!((start.time_offset, start.precise), (-12.5, true));
}

#[test]
fn multivariant_tags_are_typed() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-VERSION:12\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer\",PATHWAY-ID=\"A\"\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"title\",VALUE=\"A film\",LANGUAGE=\"en\"\n#EXT-X-SESSION-DATA:DATA-ID=\"more\",URI=\"more.json\",FORMAT=JSON\n\
         #EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n#EXT-X-BEFORE-AUDIO\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"6/JOC\",URI=\"en.m3u8\",\
         CHARACTERISTICS=\"a,b\",BIT-DEPTH=24,SAMPLE-RATE=48000\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"CC\",INSTREAM-ID=\"CC1\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=5000000,AVERAGE-BANDWIDTH=4000000,CODECS=\"avc1.640028,mp4a.40.2\",SUPPLEMENTAL-CODECS=\"dvh1.08.07/db4h\",\
         RESOLUTION=1920x1080,FRAME-RATE=59.940,HDCP-LEVEL=TYPE-0,VIDEO-RANGE=SDR,SCORE=2.5,AUDIO=\"aac\",CLOSED-CAPTIONS=\"cc\",\
         PATHWAY-ID=\"A\",STABLE-VARIANT-ID=\"v1\",NAME=\"1080p\",REQ-VIDEO-LAYOUT=\"CH-STEREO\",PROGRAM-ID=1\nvideo.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100000,URI=\"iframes.m3u8\",RESOLUTION=640x360\n",
    );
    assert_eq!(
        playlist.content_steering.as_ref().unwrap().server_uri.url().as_str(),
        "https://example.com/steer"
    );
    assert_eq!(playlist.session_data[0].value.as_deref(), Some("A film"));
    assert_eq!(playlist.session_data[1].format.as_deref(), Some("JSON"));
    assert_eq!(playlist.session_keys[0].uri.as_ref().unwrap().url().as_str(), "skd://k");
    let audio = playlist.group(aqueduct_playlist::RenditionKind::Audio, "aac").next().unwrap();
    assert_eq!(
        (audio.channel_count(), audio.default, audio.sample_rate),
        (Some(6), true, Some(48_000))
    );
    assert_eq!(audio.uri.as_ref().unwrap().url().as_str(), "https://example.com/live/en.m3u8");
    let variant = &playlist.variants[0];
    assert_eq!(
        (variant.bandwidth, variant.average_bandwidth, variant.frame_rate),
        (5_000_000, Some(4_000_000), Some(59.94))
    );
    assert_eq!(variant.resolution.map(|r| (r.width, r.height)), Some((1920, 1080)));
    assert_eq!(variant.other[0].to_string(), "PROGRAM-ID=1");
    assert_eq!(
        (variant.score, variant.video_range.as_deref(), variant.hdcp_level.as_deref()),
        (Some(2.5), Some("SDR"), Some("TYPE-0"))
    );
    assert_eq!(playlist.i_frame_variants[0].uri.as_written(), "iframes.m3u8");
    assert_eq!(playlist.unknown[0].before, aqueduct_playlist::Place::Rendition(0));
}
