//! What the extractor finds in small snippets, one rule each.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod frames;
mod markup;
mod scripts;

use aqueduct_resolve::extract::{Document, Extraction, FrameSource, Hint, Limits, Reason, Step, Via, extract};
use url::Url;

const PAGE: &str = "https://site.example/dir/page.html";

fn read_as(content_type: &str, text: &[u8]) -> Extraction {
    let url = Url::parse(PAGE).unwrap();
    let document = Document {
        url: &url,
        content_type: (!content_type.is_empty()).then_some(content_type),
        bytes: text,
    };
    extract(&document, &Limits::default())
}

fn read(text: &str) -> Extraction {
    read_as("text/html; charset=utf-8", text.as_bytes())
}

/// Rule, content type (empty for HTML), snippet, candidates in order, frames in order; addresses as written relative to the page.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn check(cases: &[Case]) {
    let base = Url::parse(PAGE).unwrap();
    let absolute = |addresses: &[&str]| {
        addresses
            .iter()
            .map(|address| base.join(address).unwrap().to_string())
            .collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for (rule, content_type, text, candidates, frames) in cases {
        let content_type = if content_type.is_empty() { "text/html" } else { content_type };
        let found = read_as(content_type, text.as_bytes());
        let found_candidates: Vec<_> = found.candidates.iter().map(|candidate| candidate.url.to_string()).collect();
        let found_frames: Vec<_> = found
            .frames
            .iter()
            .map(|frame| match &frame.source {
                FrameSource::Url(url) => url.to_string(),
                FrameSource::Srcdoc(text) => base.join(&format!("srcdoc:{text}")).unwrap().to_string(),
            })
            .collect();
        if found_candidates != absolute(candidates) {
            wrong.push(format!("{rule}: candidates {found_candidates:?}, not {candidates:?}"));
        }
        if found_frames != absolute(frames) {
            wrong.push(format!("{rule}: frames {found_frames:?}, not {frames:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rules broken\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_speaks_against_a_candidate_ranks_it_lower() {
    check(&[
        (
            "an advertisement by its key",
            "",
            "<script>p({ads: {file: '/r.m3u8'}, file: '/v.m3u8'})</script>",
            &["/v.m3u8", "/r.m3u8"],
            &[],
        ),
        (
            "an advertisement by its path",
            "",
            "<script>f('/ads/r.m3u8'); f('/v.m3u8')</script>",
            &["/v.m3u8", "/ads/r.m3u8"],
            &[],
        ),
        (
            "a preview by its name",
            "",
            "<video src='preview.mp4'></video><a href='film.mp4'>",
            &["film.mp4", "preview.mp4"],
            &[],
        ),
        (
            "a trailer",
            "",
            "<script>s({trailer: '/t.m3u8', stream: '/f.m3u8'})</script>",
            &["/f.m3u8", "/t.m3u8"],
            &[],
        ),
        (
            "thumbnails by their kind",
            "",
            "<script>s([{file: '/t.mp4', kind: 'thumbnails'}, {file: '/f.mp4'}])</script>",
            &["/f.mp4", "/t.mp4"],
            &[],
        ),
        (
            "a video that decorates",
            "",
            "<video src=b.mp4 autoplay loop muted></video><video src=f.mp4 controls>",
            &["f.mp4", "b.mp4"],
            &[],
        ),
        (
            "a container's class",
            "",
            "<div class='ad-slot'><div><video src=a.mp4></video></div></div><div><video src=f.mp4></div>",
            &["f.mp4", "a.mp4"],
            &[],
        ),
        (
            "a comment in markup",
            "",
            "<!-- <video src=o.mp4> --><video src=f.mp4>",
            &["f.mp4", "o.mp4"],
            &[],
        ),
        (
            "a comment in a script",
            "",
            "<script>// file: 'https://c.example/o.m3u8'\nf('/v.mp4')</script>",
            &["/v.mp4", "https://c.example/o.m3u8"],
            &[],
        ),
        (
            "an unknown part",
            "",
            "<script>f('/v.mp4'); g('/a.m3u8?t=' + token)</script>",
            &["/v.mp4", "/a.m3u8?t="],
            &[],
        ),
        (
            "words within words are none",
            "",
            "<script>f('/download/adventure.m3u8')</script><a href='/x.m3u8'>",
            &["/download/adventure.m3u8", "/x.m3u8"],
            &[],
        ),
    ]);
    let found = read("<script>p({ads: {file: '/r.m3u8'}})</script>");
    assert_eq!(found.candidates[0].demerits, [Reason::Advertisement("ads".to_owned())]);
}

#[test]
fn a_candidate_tells_where_it_stood_and_what_was_undone() {
    let found = read("<script>p({file: atob('aHR0cHM6XC9cL2MuZXhhbXBsZVwvYS5tM3U4')})</script>");
    let candidate = &found.candidates[0];
    assert_eq!(candidate.url.as_str(), "https://c.example/a.m3u8");
    assert_eq!(candidate.via, Via::PlayerKey("file".to_owned()));
    assert_eq!(candidate.steps, [Step::Base64, Step::EscapedSlash]);
    assert_eq!(candidate.hint, Hint::Hls);
    assert_eq!(format!("{}: {}", candidate.via, candidate.steps[0]), "key file: base64 decoded");
}

#[test]
fn charset_from_mark_header_declaration_and_guess() {
    let title = |content_type: &str, bytes: &[u8]| read_as(content_type, bytes).title;
    let expected = Some("Fr\u{fc}hst\u{fc}ck".to_owned());
    assert_eq!(
        title("text/html", b"\xef\xbb\xbf<title>Fr\xc3\xbchst\xc3\xbcck</title>"),
        expected,
        "UTF-8 mark"
    );
    let utf16: Vec<u8> = "\u{feff}<title>Fr\u{fc}hst\u{fc}ck</title>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        title("text/html; charset=iso-8859-1", &utf16),
        expected,
        "UTF-16 mark before the header"
    );
    assert_eq!(
        title("text/html; charset=\"ISO-8859-1\"", b"<title>Fr\xfchst\xfcck</title>"),
        expected,
        "header"
    );
    assert_eq!(
        title("text/html", b"<meta charset=latin1><title>Fr\xfchst\xfcck</title>"),
        expected,
        "meta"
    );
    assert_eq!(
        title(
            "text/html",
            b"<meta http-equiv=content-type content='text/html; charset=windows-1252'><title>Fr\xfchst\xfcck</title>"
        ),
        expected,
        "http-equiv"
    );
    assert_eq!(
        title("", b"<?xml version='1.0' encoding='iso-8859-1'?><title>Fr\xfchst\xfcck</title>"),
        expected,
        "XML"
    );
    assert_eq!(
        title("text/html", b"<title>Fr\xc3\xbchst\xc3\xbcck</title>"),
        expected,
        "valid UTF-8"
    );
    assert_eq!(title("text/html", b"<title>Fr\xfchst\xfcck</title>"), expected, "windows-1252");
    let sjis = b"<meta charset=shift_jis><title>\x93\xfa\x96{</title>";
    assert_eq!(title("text/html", sjis).as_deref(), Some("\u{65e5}\u{672c}"));
}

#[test]
fn title_without_entities_and_line_breaks() {
    assert_eq!(
        read("<title>\n  News &amp;\n Views &ndash; 1 </title>").title.as_deref(),
        Some("News & Views \u{2013} 1")
    );
    assert_eq!(read("<meta property=og:title content='A &lt; B'>").title.as_deref(), Some("A < B"));
    assert_eq!(read("<title> </title>").title, None);
}

#[test]
fn scripts_of_the_same_site_without_libraries() {
    let found = read(
        "<script src=/js/main.js></script><script src=//static.site.example/player.js></script>\
         <script src=/js/jquery.min.js></script><script src=https://other.example/x.js></script><script src=/js/main.js></script>",
    );
    let scripts: Vec<_> = found.scripts.iter().map(Url::as_str).collect();
    assert_eq!(
        scripts,
        ["https://static.site.example/player.js", "https://site.example/js/main.js"]
    );
}

#[test]
fn a_page_that_needs_its_scripts_says_so() {
    assert!(read("<div id=root></div><script src=/app.js></script>").needs_script);
    assert!(read("<script>v.src = 'blob:https://site.example/1'</script>").needs_script);
    assert!(read("<video id=v></video><script>f('https://' + host + '/a.m3u8')</script>").needs_script);
    assert!(!read("<div id=root></div><video src=a.mp4>").needs_script);
    assert!(!read("<p>Nothing to see.").needs_script);
}

#[test]
fn limits_cut_and_tell() {
    let url = Url::parse(PAGE).unwrap();
    let text: String = (0..100)
        .map(|number| format!("<video src={number}.mp4></video><iframe src={number}.html></iframe>"))
        .collect();
    let document = Document {
        url: &url,
        content_type: None,
        bytes: text.as_bytes(),
    };
    let mut limits = Limits::default();
    (limits.candidates, limits.frames) = (3, 2);
    let found = extract(&document, &limits);
    assert_eq!((found.candidates.len(), found.frames.len()), (3, 2));
    assert_eq!(found.truncated.len(), 2);
    limits.document_bytes = 10;
    let found = extract(&document, &limits);
    assert!(found.candidates.is_empty() && !found.truncated.is_empty());
}
