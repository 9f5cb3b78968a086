//! What is written and read again is what it was.

use aqueduct_playlist::{Context, Playlist, parse};
use proptest::prelude::*;

fn context() -> Context {
    let base = "https://example.com/live/list.m3u8?token=a%22b&n=1".parse().expect("a URL");
    Context::new(base).with_imports([("imported", "from elsewhere"), ("path", "a/b")].into_iter().collect())
}

/// Parses, writes and parses again.
fn check(text: &[u8]) -> Result<(), TestCaseError> {
    let context = context();
    let Ok(first) = parse(text, &context) else { return Ok(()) };
    if let Playlist::Multivariant(playlist) = &first.playlist
        && playlist.variants.is_empty()
        && playlist.i_frame_variants.is_empty()
        && playlist.renditions.is_empty()
        && playlist.session_data.is_empty()
        && playlist.session_keys.is_empty()
        && playlist.content_steering.is_none()
    {
        // Nothing is left that says of which kind it is.
        return Ok(());
    }
    let written = first.playlist.to_string();
    let second = parse(written.as_bytes(), &context).map_err(|error| TestCaseError::fail(format!("{error}\n{written}")))?;
    prop_assert_eq!(&first.playlist, &second.playlist, "{}", &written);
    prop_assert_eq!(written, second.playlist.to_string());
    Ok(())
}

/// Values of all kinds, some of which fit any attribute.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,3}(\\.[0-9]{1,9})?",
        "[0-9]{18,24}",
        "-?[0-9.]{0,5}",
        Just("YES".to_owned()),
        Just("NO".to_owned()),
        Just("NONE".to_owned()),
        Just("AES-128".to_owned()),
        Just("SAMPLE-AES".to_owned()),
        Just("AUDIO".to_owned()),
        Just("SUBTITLES".to_owned()),
        Just("PART".to_owned()),
        Just("1920x1080".to_owned()),
        "0x[0-9A-Fa-f]{0,34}",
        "\"[a-z0-9/.?=]{0,8}\"",
        "\"[ -~éß]{0,12}\"",
        "\"[0-9]{1,4}(@[0-9]{1,4})?\"",
        Just("\"2026-11-20T13:05:24.031+01:00\"".to_owned()),
        Just("\"{$v}/x\"".to_owned()),
        Just("\"{$undefined}\"".to_owned()),
        Just("{$v}".to_owned()),
        Just("\"identity\"".to_owned()),
        Just("\"com.apple.streamingkeydelivery\"".to_owned()),
        Just("\"1/2/5\"".to_owned()),
        "[ -~]{0,8}",
    ]
}

const NAMES: [&str; 52] = [
    "URI",
    "METHOD",
    "IV",
    "KEYFORMAT",
    "KEYFORMATVERSIONS",
    "BYTERANGE",
    "BYTERANGE-START",
    "BYTERANGE-LENGTH",
    "DURATION",
    "INDEPENDENT",
    "GAP",
    "ID",
    "CLASS",
    "START-DATE",
    "END-DATE",
    "PLANNED-DURATION",
    "CUE",
    "SCTE35-OUT",
    "END-ON-NEXT",
    "X-ASSET-URI",
    "TYPE",
    "GROUP-ID",
    "NAME",
    "LANGUAGE",
    "DEFAULT",
    "AUTOSELECT",
    "FORCED",
    "CHANNELS",
    "CHARACTERISTICS",
    "INSTREAM-ID",
    "BANDWIDTH",
    "AVERAGE-BANDWIDTH",
    "CODECS",
    "RESOLUTION",
    "FRAME-RATE",
    "SCORE",
    "HDCP-LEVEL",
    "AUDIO",
    "VIDEO",
    "CLOSED-CAPTIONS",
    "PATHWAY-ID",
    "DATA-ID",
    "VALUE",
    "FORMAT",
    "SERVER-URI",
    "IMPORT",
    "QUERYPARAM",
    "TIME-OFFSET",
    "PRECISE",
    "PART-TARGET",
    "SKIPPED-SEGMENTS",
    "RECENTLY-REMOVED-DATERANGES",
];

fn attributes() -> impl Strategy<Value = String> {
    let name = prop_oneof![9 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => "[A-Z\" -]{0,6}"];
    let attribute = (name, prop_oneof![9 => Just("="), 1 => Just(" = "), 1 => Just("")], value()).prop_map(|(n, e, v)| n + e + &v);
    prop::collection::vec(attribute, 0..6).prop_map(|list| list.join(","))
}

const MEDIA: [&str; 12] = [
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-PART",
    "EXT-X-DATERANGE",
    "EXT-X-SKIP",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
    "EXT-X-START",
    "EXT-X-DEFINE",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-UNKNOWN",
];
const MULTIVARIANT: [&str; 9] = [
    "EXT-X-STREAM-INF",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-MEDIA",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-CONTENT-STEERING",
    "EXT-X-DEFINE",
    "EXT-X-START",
    "EXT-X-UNKNOWN",
];

fn media_line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "#EXTINF:[0-9]{1,2}(\\.[0-9]{1,10})?,[ -~é]{0,6}\n[a-z0-9/?.{$}#]{1,8}",
        2 => "#EXT-X-BYTERANGE:[0-9]{1,3}(@[0-9]{1,3})?\n#EXTINF:4,\n[ab]\\.ts",
        4 => (prop::sample::select(&MEDIA[..]), attributes()).prop_map(|(tag, list)| format!("#{tag}:{list}")),
        1 => Just("#EXT-X-KEY:METHOD=NONE".to_owned()),
        2 => "#EXT-X-KEY:METHOD=AES-128,URI=\"[ab]\",KEYFORMAT=\"[abc]\"",
        2 => "#EXT-X-MAP:URI=\"[abc]\"",
        1 => "#EXT-X-DEFINE:NAME=\"[vw]\",VALUE=\"[a-z{$}/]{0,5}\"",
        1 => prop::sample::select(&[
            "#EXT-X-DISCONTINUITY", "#EXT-X-GAP", "#EXT-X-ENDLIST", "#EXT-X-I-FRAMES-ONLY", "#EXT-X-INDEPENDENT-SEGMENTS",
            "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-PLAYLIST-TYPE:EVENT", "#EXT-X-CUE-OUT:30", "#EXT-X-CUE-IN", "#EXT-X-CUE-OUT-CONT:1/30",
            "#EXT-OATCLS-SCTE35:/DA=", "#EXT-X-ASSET:CAID=0x1", "#EXTM3U", "# a comment", "",
        ][..]).prop_map(str::to_owned),
        1 => "#EXT-X-(VERSION|TARGETDURATION|MEDIA-SEQUENCE|DISCONTINUITY-SEQUENCE|BITRATE):(-?[0-9]{1,3}|[0-9.]{1,4}|[0-9]{19,20})",
        1 => "#EXT-X-PROGRAM-DATE-TIME:20[0-9]{2}-0[1-9]-[0-3][0-9]T1[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,7})?(Z|[+-]0[0-9]:?[0-5]0|)",
        1 => "[ -~]{0,10}",
    ]
}

fn multivariant_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => attributes().prop_map(|list| format!("#EXT-X-STREAM-INF:BANDWIDTH=1,{list}\nvideo/{{$v}}.m3u8")),
        4 => (prop::sample::select(&MULTIVARIANT[..]), attributes()).prop_map(|(tag, list)| format!("#{tag}:{list}")),
        1 => "#EXT-X-DEFINE:NAME=\"[vw]\",VALUE=\"[a-z{$}/]{0,5}\"",
        1 => "#EXT-X-VERSION:[0-9]{1,2}",
        1 => "[ -~]{0,10}",
    ]
}

fn playlist(line: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let ending = prop::sample::select(&["\n", "\r\n", "\r"][..]);
    (prop::collection::vec(line, 0..16), ending).prop_map(|(lines, ending)| {
        let text = format!("#EXTM3U\n{}\n", lines.join("\n"));
        text.replace('\n', ending)
    })
}

proptest! {
    #[test]
    fn a_media_playlist_is_what_it_was(text in playlist(media_line())) {
        check(text.as_bytes())?;
    }

    #[test]
    fn a_multivariant_playlist_is_what_it_was(text in playlist(multivariant_line())) {
        check(text.as_bytes())?;
    }

    #[test]
    fn whatever_bytes_there_are_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&[b"#EXTM3U\n".as_slice(), &bytes].concat())?;
    }
}
