//! Variables (rfc8216bis, 4.3 and 4.4.2.3).

mod common;

use aqueduct_playlist::{PlaylistError, parse};
use common::{codes, context, read, try_read, with_lines};

#[test]
fn references_are_replaced_before_a_uri_is_resolved() {
    let context = context().with_imports([("host", "https://cdn.example.net")].into_iter().collect());
    let text = with_lines(
        "#EXT-X-DEFINE:NAME=\"dir\",VALUE=\"a/b\"\n#EXT-X-DEFINE:IMPORT=\"host\"\n#EXT-X-DEFINE:QUERYPARAM=\"part\"\n\
         #EXT-X-DEFINE:NAME=\"both\",VALUE=\"{$host}/{$dir}\"\n#EXT-X-DEFINE:NAME=\"iv\",VALUE=\"0x01\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"{$host}/key\",IV={$iv}\n#EXTINF:1,{$dir}\n{$both}/{$part}.ts",
    );
    let parsed = parse(text.as_bytes(), &context).unwrap();
    assert_eq!(codes(&parsed), ["iv-length"]);
    let playlist = parsed.into_media().unwrap();
    let segment = &playlist.segments[0];
    assert_eq!(
        segment.uri().as_str(),
        "https://cdn.example.net/a/b/p/q.ts",
        "query parameters are decoded"
    );
    assert_eq!(segment.title(), Some("{$dir}"), "titles are not subject to it");
    assert_eq!(
        segment.keys()[0].uri.as_ref().unwrap().url().as_str(),
        "https://cdn.example.net/key"
    );
    assert_eq!(playlist.variables.get("both"), Some("https://cdn.example.net/a/b"));
}

#[test]
fn values_are_not_expanded_again() {
    let parsed = read(with_lines(
        "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{$b}\"\n#EXT-X-DEFINE:NAME=\"b\",VALUE=\"x\"\n#EXTINF:1,\n{$a}.ts",
    ));
    assert_eq!(codes(&parsed), ["undefined-variable"], "b is not defined yet where a refers to it");
    assert_eq!(parsed.into_media().unwrap().segments[0].uri_as_written(), "{$b}.ts");
}

#[test]
fn what_cannot_be_defined_is_noted() {
    for (line, warning) in [
        (
            "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"1\"\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"2\"",
            "repeated-variable",
        ),
        ("#EXT-X-DEFINE:IMPORT=\"a\"", "missing-import"),
        ("#EXT-X-DEFINE:QUERYPARAM=\"a\"", "missing-query-parameter"),
        ("#EXT-X-DEFINE:VALUE=\"1\"", "bad-define"),
        ("#EXT-X-DEFINE:NAME=\"a\",IMPORT=\"a\"", "bad-define"),
        ("#EXTINF:1,\n{$a}", "undefined-variable"),
        ("#EXTINF:1,\n{$a", "undefined-variable"),
    ] {
        assert_eq!(codes(&read(with_lines(line))), [warning], "{line}");
    }
}

#[test]
fn a_value_smuggles_neither_lines_nor_attributes_in() {
    let mut context = context();
    context.base = "https://example.com/?x=a%22%0A%23EXT-X-ENDLIST".parse().unwrap();
    let text = with_lines("#EXT-X-DEFINE:QUERYPARAM=\"x\"\n#EXT-X-MAP:URI=\"{$x}\"\n#EXTINF:1,\na");
    let playlist = parse(text.as_bytes(), &context).unwrap().into_media().unwrap();
    assert_eq!(playlist.segments[0].init().unwrap().uri.as_written(), "a#EXT-X-ENDLIST");
    assert!(!playlist.end_list);
}

#[test]
fn values_that_grow_without_bound_are_refused() {
    let mut lines = String::from("#EXT-X-DEFINE:NAME=\"v0\",VALUE=\"0123456789abcdef\"\n");
    for n in 1..60 {
        lines += &format!("#EXT-X-DEFINE:NAME=\"v{n}\",VALUE=\"{{$v{0}}}{{$v{0}}}\"\n", n - 1);
    }
    let error = try_read(with_lines(&lines)).unwrap_err();
    assert!(matches!(error, PlaylistError::LongLine { .. }), "{error}");
    let mut lines = format!("#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{}\"\n", "x".repeat(100_000));
    lines += &"#EXTINF:1,\n{$v}\n".repeat(1000);
    let error = try_read(with_lines(&lines)).unwrap_err();
    assert!(matches!(error, PlaylistError::TooLarge { .. }), "{error}");
}
