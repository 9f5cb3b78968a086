//! What holds for any document, however broken.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use aqueduct_resolve::extract::{Document, Extraction, FrameSource, Limits, extract};
use proptest::prelude::*;
use url::Url;

/// Pieces that documents of the hostile kind are made of.
const PIECES: &[&str] = &[
    "<",
    ">",
    "</",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "<iframe src=",
    "<video ",
    "<source src='",
    "<base href=",
    "<noscript>",
    "<textarea>",
    "<title>",
    "data-x=",
    "srcdoc='",
    "\"",
    "'",
    "`",
    "\\",
    "\\u002F",
    "\\x2f",
    "\\/",
    "%2F",
    "%",
    "&amp;",
    "&#",
    "&#x2F;",
    "http://",
    "https:",
    "//",
    "/",
    "a.example",
    ".m3u8",
    ".mp4",
    ".mpd",
    "m3u8",
    "?",
    "&",
    "=",
    "+",
    "+=",
    ",",
    ";",
    ":",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "${",
    ".join(",
    ".reverse()",
    ".split(",
    ".replace(",
    "atob(",
    "unescape(",
    "String.fromCharCode(",
    "var a = ",
    "a",
    "0",
    "47",
    " ",
    "\n",
    "\u{e9}",
    "\u{1f3ac}",
    "file",
    "src",
    "eval(function(p,a,c,k,e,d){}('0',10,1,'a|b'.split('|')))",
    "aHR0cHM6Ly9jLmV4YW1wbGUvYS5tM3U4",
    "/*",
    "*/",
    "\u{0}",
    "data:video/mp4,",
    "blob:",
    "javascript:",
    "<meta http-equiv=refresh content='0;url=",
    "#",
];

fn read(content_type: Option<&str>, bytes: &[u8], limits: &Limits) -> Extraction {
    let url = Url::parse("https://site.example/dir/page.html").unwrap();
    extract(
        &Document {
            url: &url,
            content_type,
            bytes,
        },
        limits,
    )
}

/// What every extraction keeps, whatever was read.
fn holds(found: &Extraction, limits: &Limits) {
    assert!(found.candidates.len() <= limits.candidates);
    assert!(found.frames.len() <= limits.frames);
    assert!(found.scripts.len() <= limits.scripts);
    for (index, candidate) in found.candidates.iter().enumerate() {
        assert!(
            ["http", "https", "file", "data"].contains(&candidate.url.scheme()),
            "{}",
            candidate.url
        );
        assert!(
            found.candidates.iter().take(index).all(|earlier| earlier.url != candidate.url),
            "{} is told twice",
            candidate.url
        );
    }
    let plain = |demerits: &[_]| demerits.is_empty();
    assert!(found.candidates.iter().is_sorted_by_key(|candidate| !plain(&candidate.demerits)));
    for frame in &found.frames {
        if let FrameSource::Url(url) = &frame.source {
            assert!(["http", "https", "file", "data"].contains(&url.scheme()), "{url}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2000), kind in prop::option::of("text/html|application/json|text/javascript|text/html; charset=utf-16|x")) {
        let limits = Limits::default();
        holds(&read(kind.as_deref(), &bytes, &limits), &limits);
    }

    #[test]
    fn any_mixture_of_pieces_is_read(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..400), script in any::<bool>()) {
        let text = pieces.concat();
        let mut limits = Limits::default();
        (limits.candidates, limits.frames, limits.decoded_bytes, limits.decode_depth) = (7, 3, 5000, 3);
        let kind = if script { "text/javascript" } else { "text/html" };
        holds(&read(Some(kind), text.as_bytes(), &limits), &limits);
    }

    #[test]
    fn reading_twice_tells_the_same(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..200)) {
        let text = pieces.concat();
        let limits = Limits::default();
        let (first, second) = (read(None, text.as_bytes(), &limits), read(None, text.as_bytes(), &limits));
        prop_assert_eq!(first.candidates, second.candidates);
        prop_assert_eq!(first.frames, second.frames);
    }

    #[test]
    fn an_address_is_found_between_any_others(before in prop::collection::vec("[a-z0-9 ,.=+!-]{0,20}", 0..50), name in "[a-z0-9]{1,20}") {
        let address = format!("https://c.example/{name}.m3u8");
        let text = format!("<p>{}</p><script>var x = \"{address}\";</script>", before.join("<br>"));
        let found = read(None, text.as_bytes(), &Limits::default());
        prop_assert!(found.candidates.iter().any(|candidate| candidate.url.as_str() == address));
    }

    #[test]
    fn base64_of_an_address_is_undone(name in "[a-z0-9/]{1,40}") {
        use base64::Engine;
        let address = format!("https://c.example/{name}.m3u8");
        let text = format!("<script>f('{}')</script>", base64::engine::general_purpose::STANDARD.encode(&address));
        let found = read(None, text.as_bytes(), &Limits::default());
        let expected = Url::parse(&address).unwrap();
        prop_assert!(found.candidates.first().is_some_and(|candidate| candidate.url == expected));
    }
}

#[test]
fn encoding_within_encoding_ends() {
    use base64::Engine;
    let mut text = "https://c.example/a.m3u8".to_owned();
    for _ in 0..20 {
        text = base64::engine::general_purpose::STANDARD.encode(&text);
    }
    let found = read(None, format!("<script>f('{text}')</script>").as_bytes(), &Limits::default());
    assert!(found.candidates.is_empty());
}

#[test]
fn values_that_double_end() {
    let text = format!("<script>a='https://c.example/a.m3u8?';{}f(a)</script>", "a=a+a;".repeat(60));
    let found = read(None, text.as_bytes(), &Limits::default());
    assert!(found.candidates.iter().all(|candidate| candidate.url.as_str().len() < 20_000));
}
