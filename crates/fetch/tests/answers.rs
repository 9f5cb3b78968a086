//! Answers word by word, right ones and odd ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use aqueduct_core::{Budget, ByteRange, Fetch, FetchError, Grant, Kind, Lender, Limits, Progress, Resource, TrackId, channel};
use aqueduct_fetch::{HttpFetcher, Options};
use flate2::Compression;
use flate2::write::GzEncoder;
use url::Url;

/// Bytes that hardly shrink, and that tell where they stand. Pieces of a streamed file are 1 MiB: some are handed on
/// before the last of these.
const LENGTH: usize = 2_500_000;

fn content() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..LENGTH).map(|_| next()).collect()
}

/// One answer: its head but for the last line, the body, and how much of that is sent before the connection closes.
struct Answer {
    head: String,
    body: Vec<u8>,
}

fn answer(head: &str, body: &[u8]) -> Answer {
    Answer {
        head: head.into(),
        body: body.into(),
    }
}

/// The whole of so many bytes, of which only the first come.
fn cut(fields: &str, content: &[u8], at: usize) -> Answer {
    answer(&format!("200 OK\r\nContent-Length: {}\r\n{fields}", content.len()), &content[..at])
}

/// The same without a length: a chunk that does not end.
fn cut_chunk(fields: &str, content: &[u8], at: usize) -> Answer {
    let body = [format!("{:x}\r\n", content.len()).as_bytes(), &content[..at]].concat();
    answer(&format!("200 OK\r\nTransfer-Encoding: chunked\r\n{fields}"), &body)
}

fn whole(fields: &str, content: &[u8]) -> Answer {
    cut(fields, content, content.len())
}

fn part(fields: &str, content: &[u8], from: usize, to: usize, total: &str) -> Answer {
    let length = to - from;
    answer(
        &format!(
            "206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes {from}-{}/{total}\r\n{fields}",
            to - 1
        ),
        &content[from..to],
    )
}

/// A server that gives these answers in turn, each on a connection of its own. In the end it gives the heads of the
/// requests.
fn server(answers: Vec<Answer>) -> (Url, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/f", listener.local_addr().unwrap())).unwrap();
    let serve = move || {
        let mut requests = Vec::new();
        for Answer { head, body } in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            requests.push(String::from_utf8(request).unwrap().to_ascii_lowercase());
            stream
                .write_all(format!("HTTP/1.1 {head}Connection: close\r\n\r\n").as_bytes())
                .unwrap();
            // Whoever has enough hangs up.
            let _ = stream.write_all(&body);
        }
        requests
    };
    (url, std::thread::spawn(serve))
}

fn fetcher() -> HttpFetcher {
    let mut options = Options::default();
    options.retries = 4;
    options.timeout = Duration::from_secs(10);
    options.first_delay = Duration::from_millis(1);
    options.longest_delay = Duration::from_millis(5);
    HttpFetcher::new(options).unwrap()
}

async fn fetch(resource: &Resource) -> Result<Vec<u8>, FetchError> {
    let grant = Grant::unbudgeted(resource, &Limits::default());
    let fetched = fetcher().fetch(resource, grant).await?;
    Ok(fetched.body.as_slice().to_vec())
}

/// Fetched as a segment, or streamed as a file.
async fn transfer(url: Url, streamed: bool) -> Result<Vec<u8>, FetchError> {
    if !streamed {
        return fetch(&Resource::new(Kind::Segment, url)).await;
    }
    let lender = Lender {
        budget: Budget::new(8 << 20),
        track: TrackId::new(0),
        limits: Limits::default(),
        progress: Progress::new(),
    };
    let (outlet, pieces) = channel(16);
    fetcher().stream(&Resource::new(Kind::File, url), &lender, &outlet).await?;
    outlet.close();
    let mut bytes = Vec::new();
    while let Ok(piece) = pieces.recv().await {
        bytes.extend_from_slice(piece.as_slice());
    }
    Ok(bytes)
}

const A: &str = "ETag: \"a\"\r\n";
const B: &str = "ETag: \"b\"\r\n";
const DATED: &str = "Last-Modified: Fri, 31 Dec 1999 23:59:59 GMT\r\n";

fn weak(tag: &str) -> String {
    format!("ETag: W/\"{tag}\"\r\n{DATED}")
}

#[tokio::test]
async fn what_goes_on_after_a_cut_is_the_rest_of_the_same_or_nothing() {
    let content = content();
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    let (one, two) = (1_200_000, 2_000_000);
    let all = LENGTH.to_string();
    let shorter = (LENGTH - 1).to_string();
    type Case<'a> = (&'a str, Vec<Answer>, [bool; 2]);
    // Whether it ends well as a segment, which may begin anew, and as a file of which some was handed on.
    let cases = || -> Vec<Case<'_>> {
        vec![
            (
                "the rest",
                vec![cut(A, &content, one), part(A, &content, one, LENGTH, &all)],
                [true, true],
            ),
            (
                "the rest in two answers",
                vec![
                    cut(A, &content, one),
                    part(A, &content, one, two, &all),
                    part(A, &content, two, LENGTH, &all),
                ],
                [true, true],
            ),
            (
                "the rest in two answers without the total",
                vec![
                    cut(A, &content, one),
                    part(A, &content, one, two, "*"),
                    part(A, &content, two, LENGTH, "*"),
                ],
                [true, true],
            ),
            (
                "the total comes with the rest",
                vec![cut_chunk(A, &content, one), part(A, &content, one, LENGTH, &all)],
                [true, true],
            ),
            (
                "a rest of which nobody knows whether it is all",
                vec![cut_chunk(A, &content, one), part(A, &content, one, two, "*")],
                [false, false],
            ),
            (
                "the same again, and now without a length",
                vec![
                    cut(A, &content, one),
                    cut_chunk(A, &content, two),
                    part(A, &content, two, LENGTH, &all),
                ],
                [true, true],
            ),
            (
                "another version",
                vec![cut(A, &content, one), part(B, &other, one, LENGTH, &all), whole(A, &content)],
                [true, false],
            ),
            (
                "another length",
                vec![
                    cut(A, &content, one),
                    part(A, &content, one, LENGTH - 1, &shorter),
                    whole(A, &content),
                ],
                [true, false],
            ),
            (
                "the same date and another weak tag",
                vec![
                    cut(&weak("a"), &content, one),
                    part(&weak("b"), &other, one, LENGTH, &all),
                    whole(&weak("b"), &content),
                ],
                [true, false],
            ),
            (
                "the same date and weak tag",
                vec![cut(&weak("a"), &content, one), part(&weak("a"), &content, one, LENGTH, &all)],
                [true, true],
            ),
            (
                "no validator, the same length",
                vec![cut("", &content, one), whole("", &content)],
                [true, true],
            ),
        ]
    };
    for number in 0..cases().len() {
        for streamed in [false, true] {
            let (name, answers, good) = cases().swap_remove(number);
            let good = good[usize::from(streamed)];
            let (url, _server) = server(answers);
            match transfer(url, streamed).await {
                Ok(bytes) => assert!(good && bytes == content, "{name}, streamed {streamed}: other bytes"),
                Err(error) => assert!(!good, "{name}, streamed {streamed}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_handed_on_without_proof_that_it_goes_on() {
    let content = content();
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    let all = LENGTH.to_string();
    let cases = [
        vec![cut_chunk("", &content, 1_200_000), part("", &other, 1_200_000, LENGTH, &all)],
        vec![cut_chunk("", &content, 1_200_000), whole("", &other)],
        vec![cut("", &content, 1_200_000), whole("", &other[1..])],
    ];
    for answers in cases {
        let (url, _server) = server(answers);
        let result = transfer(url, true).await.map(|bytes| bytes.len());
        assert!(matches!(result, Err(FetchError::Invalid { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn pieces_of_a_range_are_of_one_version_and_begin_where_they_were_asked_for() {
    let content = content();
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    let all = LENGTH.to_string();
    let (from, middle, to) = (100, 60_100, 100_100);
    let shorter = (LENGTH - 1).to_string();
    type Case<'a> = (&'a str, Vec<Answer>, Option<&'a [u8]>);
    let cases: Vec<Case<'_>> = vec![
        (
            "the same version",
            vec![part(A, &content, from, middle, &all), part(A, &content, middle, to, &all)],
            Some(&content),
        ),
        (
            "no validator, the same length",
            vec![part("", &content, from, middle, &all), part("", &content, middle, to, &all)],
            Some(&content),
        ),
        (
            "another version",
            vec![
                part(A, &content, from, middle, &all),
                part(B, &other, middle, to, &all),
                part(B, &other, from, to, &all),
            ],
            Some(&other),
        ),
        (
            "another length",
            vec![
                part("", &content, from, middle, &all),
                part("", &other, middle, to, &shorter),
                part("", &other, from, to, &shorter),
            ],
            Some(&other),
        ),
        (
            "another place",
            vec![part(A, &content, from, middle, &all), part(A, &content, middle + 1, to, &all)],
            None,
        ),
        (
            "more than was asked for",
            vec![part(A, &content, from, middle, &all), part(A, &content, middle, to + 1, &all)],
            None,
        ),
        (
            "the end of it",
            vec![
                part(A, &content, from, middle, "*"),
                answer("416 Range Not Satisfiable\r\nContent-Length: 0\r\n", b""),
            ],
            None,
        ),
    ];
    for (name, answers, expected) in cases {
        let (url, _server) = server(answers);
        let length = (to - from) as u64;
        let range = ByteRange {
            offset: from as u64,
            length,
        };
        match (fetch(&Resource::new(Kind::Segment, url).with_range(Some(range))).await, expected) {
            (Ok(bytes), Some(expected)) => assert!(bytes == expected[from..to], "{name}: other bytes"),
            (Err(FetchError::Range { .. }), None) => {}
            (result, _) => panic!("{name}: {:?}", result.map(|bytes| bytes.len())),
        }
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn packed_and_plain_bytes_are_never_mixed() {
    let content = content();
    let packed = packed(&content);
    let gzip = format!("Content-Encoding: gzip\r\n{DATED}");
    let all = LENGTH.to_string();
    let cases = [
        vec![
            cut_chunk(&gzip, &packed, 1_200_000),
            part(DATED, &content, 1_200_000, LENGTH, &all),
            whole(DATED, &content),
        ],
        vec![
            cut(DATED, &content, 1_200_000),
            part(&gzip, &packed, 1_200_000, packed.len(), "*"),
            whole(&gzip, &packed),
        ],
    ];
    for answers in cases {
        let (url, _server) = server(answers);
        let resource = Resource::new(Kind::Segment, url);
        assert!(fetch(&resource).await.unwrap() == content, "other bytes");
    }
}

#[tokio::test]
async fn packed_text_is_continued_where_its_packed_bytes_stopped() {
    let text: Vec<u8> = content().iter().map(|byte| b'0' + byte % 64).collect();
    let packed = packed(&text);
    let (half, all) = (packed.len() / 2, packed.len().to_string());
    let gzip = format!("Content-Encoding: gzip\r\n{A}");
    type Rest<'a> = (&'a str, Vec<Answer>);
    for kind in [Kind::Document, Kind::Playlist] {
        let rests: Vec<Rest<'_>> = vec![
            ("the rest", vec![part(&gzip, &packed, half, packed.len(), &all)]),
            ("the whole", vec![whole(&gzip, &packed)]),
            ("another coding", vec![part(A, &text, half, text.len(), "*"), whole(A, &text)]),
        ];
        for (name, rest) in rests {
            let (url, server) = server(std::iter::once(cut(&gzip, &packed, half)).chain(rest).collect());
            assert!(
                fetch(&Resource::new(kind, url)).await.unwrap() == text,
                "{kind:?}, {name}: other bytes"
            );
            assert!(server.join().unwrap()[1].contains(&format!("range: bytes={half}-\r\n")), "{name}");
        }
    }
}

#[tokio::test]
async fn text_is_asked_for_compressed_and_unpacked_whole() {
    let text = "#EXTM3U\n".repeat(20_000).into_bytes();
    let (first, second) = text.split_at(90_000);
    let deflate = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let cases = [
        ("gzip", packed(&text)),
        ("x-gzip", [packed(first), packed(second)].concat()),
        ("deflate", deflate(&text)),
        ("zstd", zstd::encode_all(&*text, 1).unwrap()),
        ("aws-chunked,gzip", packed(&text)),
        ("identity", text.clone()),
    ];
    for (coding, body) in &cases {
        for kind in [Kind::Document, Kind::Playlist] {
            let (url, server) = server(vec![whole(&format!("Content-Encoding: {coding}\r\n"), body)]);
            assert!(
                fetch(&Resource::new(kind, url)).await.unwrap() == text,
                "{kind:?}, {coding}: other bytes"
            );
            assert!(server.join().unwrap()[0].contains("accept-encoding: gzip, br, zstd, deflate\r\n"));
        }
    }
    let (url, server) = server(vec![whole("", b"media")]);
    fetch(&Resource::new(Kind::Segment, url)).await.unwrap();
    assert!(server.join().unwrap()[0].contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn what_is_no_content_coding_says_nothing_of_the_body() {
    let content = content();
    // Whether it is no coding, or one that nobody can undo.
    let cases = [
        ("utf-8", true),
        ("none", true),
        ("binary", true),
        ("aws-chunked", true),
        ("Identity", true),
        ("", true),
        ("compress", false),
        ("gzip, br", false),
    ];
    for (coding, none) in cases {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let range = ByteRange { offset: 100, length: 100 };
        let answers = vec![whole(&fields, &content), part(&fields, &content, 100, 200, "*")];
        let (url, _server) = server(answers);
        for (range, expected) in [(None, &content[..]), (Some(range), &content[100..200])] {
            match fetch(&Resource::new(Kind::Segment, url.clone()).with_range(range)).await {
                Ok(bytes) => assert!(none && bytes == expected, "{coding}: other bytes"),
                Err(error) => assert!(!none && matches!(error, FetchError::Invalid { .. }), "{coding}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn gzip_in_place_of_a_range_is_told_however_its_first_bytes_come() {
    let packed = packed(&content());
    for first in [1, 2, 3] {
        let (head, rest) = packed.split_at(first);
        let chunks = [
            format!("{first:x}\r\n").as_bytes(),
            head,
            format!("\r\n{:x}\r\n", rest.len()).as_bytes(),
            rest,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        for offset in [0, 100] {
            let (url, _server) = server(vec![answer("200 OK\r\nTransfer-Encoding: chunked\r\n", &chunks)]);
            let resource = Resource::new(Kind::Segment, url).with_range(Some(ByteRange { offset, length: 100 }));
            let error = fetch(&resource).await.unwrap_err();
            assert!(matches!(error, FetchError::Invalid { .. }), "{first}, {offset}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_page_about_an_error_is_no_other_version() {
    let content = content();
    let page = "503 Service Unavailable\r\nContent-Length: 4\r\nETag: \"page\"\r\nContent-Encoding: br\r\n";
    let (url, _server) = server(vec![answer(page, b"busy"), part(A, &content, 100, 200, "1000")]);
    let mut resource = Resource::new(Kind::Segment, url).with_range(Some(ByteRange { offset: 100, length: 100 }));
    resource.version = Some("\"a\"".into());
    assert_eq!(fetch(&resource).await.unwrap(), &content[100..200]);
}

#[tokio::test]
async fn a_range_that_holds_nothing_is_not_asked_for() {
    let (url, _server) = server(vec![whole("", b"the whole")]);
    for (offset, length) in [(0, 0), (u64::MAX, 2)] {
        let resource = Resource::new(Kind::Segment, url.clone()).with_range(Some(ByteRange { offset, length }));
        let error = fetch(&resource).await.unwrap_err();
        assert!(matches!(error, FetchError::Range { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_redirect_may_name_its_target_in_any_bytes() {
    let cases: [(&[u8], &str); 3] = [
        ("/f\u{ef}lm?q=\u{fc}".as_bytes(), "get /f%c3%aflm?q=%c3%bc "),
        (b"/f\xeflm", "get /f%eflm "),
        (b"/a%20b", "get /a%20b "),
    ];
    for (location, line) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let head = [
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: ",
            location,
            b"\r\n\r\n",
        ]
        .concat();
        let server = std::thread::spawn(move || {
            let mut request = [0; 4096];
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(&head).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let length = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").unwrap();
            String::from_utf8_lossy(&request[..length]).to_ascii_lowercase()
        });
        assert_eq!(fetch(&Resource::new(Kind::Segment, url)).await.unwrap(), b"x");
        let asked = server.join().unwrap();
        assert!(asked.starts_with(line), "{asked}");
    }
}

#[tokio::test]
async fn a_film_that_comes_packed_as_pages_may_is_asked_for_again_as_it_is() {
    let mut film = content();
    film[..8].copy_from_slice(b"\0\0\0\x20ftyp");
    let packed = packed(&film);
    let gzipped = "Content-Encoding: gzip\r\nAccept-Ranges: bytes\r\nETag: \"a-gzip\"\r\n";
    let plain = "Accept-Ranges: bytes\r\nETag: \"a\"\r\n";
    type Case<'a> = (Answer, Option<u64>, bool, Option<&'a str>);
    let cases: [Case<'_>; 2] = [
        (whole(plain, &film), Some(LENGTH as u64), true, Some("\"a\"")),
        // What is said of packed bytes is said of nothing else.
        (whole(gzipped, &packed), None, false, None),
    ];
    for (second, length, ranges, version) in cases {
        let (url, server) = server(vec![whole(gzipped, &packed), second]);
        let document = Resource::new(Kind::Document, url);
        let fetched = fetcher()
            .fetch(&document, Grant::unbudgeted(&document, &Limits::default()))
            .await
            .unwrap();
        assert!(!fetched.whole, "its beginning tells what it is");
        assert_eq!((fetched.total_length, fetched.accepts_ranges), (length, ranges));
        assert_eq!(fetched.version.as_deref(), version);
        let asked = server.join().unwrap();
        let codings = [
            asked[0].contains("accept-encoding: gzip, br"),
            asked[1].contains("accept-encoding: identity\r\n"),
        ];
        assert_eq!(codings, [true, true]);
    }
}

#[tokio::test]
async fn ranges_of_one_file_without_a_validator_are_of_one_length() {
    let content = content();
    for (version, good) in [("2500000 bytes", true), ("2499999 bytes", false)] {
        let again = || part("", &content, 100, 200, "2500000");
        let (url, server) = server(if good { vec![again()] } else { (0..5).map(|_| again()).collect() });
        let wanted = Resource {
            version: Some(version.into()),
            ..Resource::new(Kind::Segment, url).with_range(Some(ByteRange { offset: 100, length: 100 }))
        };
        match fetch(&wanted).await {
            Ok(bytes) => assert!(good && bytes == content[100..200]),
            Err(error) => assert!(!good && matches!(error, FetchError::Invalid { .. }), "{error:?}"),
        }
        server.join().unwrap();
    }
}
