//! The server judged from outside, byte by byte, by a client that is nothing but a socket.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fixture_server::{Config, Fault, Rule, Server, decrypt_aes_128};
use sha2::{Digest, Sha256};

const PATIENCE: Duration = Duration::from_secs(20);

/// What came back: the head's lines, the body, and the error that ended it, if one did.
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
    error: Option<ErrorKind>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|line| line.to_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim())
    }

    fn length(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }
}

fn connect(origin: &str) -> TcpStream {
    let stream = TcpStream::connect(origin.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, path: &str, headers: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").unwrap();
}

/// Reads until the other side closes.
fn get_with(origin: &str, path: &str, headers: &str) -> Got {
    let mut stream = connect(origin);
    send(&mut stream, path, &format!("Connection: close\r\n{headers}"));
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err().map(|error| error.kind());
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(bytes.len(), |at| at + 4);
    let body = bytes.split_off(end);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Got { status, head, body, error }
}

fn get(server: &Server, path: &str) -> Got {
    get_with(server.origin(), path, "")
}

fn server(rules: Vec<Rule>) -> Server {
    Server::start(Config {
        rules,
        ..Config::standard().unwrap()
    })
    .unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn segments_are_the_committed_bytes() {
    let server = server(Vec::new());
    let committed = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/media/high-ts/3.ts")).unwrap();
    let got = get(&server, "/s/plain-ts/3.ts");
    assert_eq!(
        (got.status, got.header("content-type"), &got.body),
        (200, Some("video/mp2t"), &committed)
    );
    assert_eq!(get(&server, "/s/plain-ts/6.ts").status, 404);
    assert_eq!(get(&server, "/s/variants/v1/3.ts").body, committed);
}

#[test]
fn encryption_agrees_with_openssl() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/media/openssl.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    let server = server(Vec::new());
    let cases = [
        ("/s/aes-explicit-iv/0.ts", "high-ts/0.ts, iv ff0102030405060708090a0b0c0d0e0f"),
        ("/s/aes-sequence-iv/1.ts", "high-ts/1.ts, msn 41"),
        (
            "/s/aes-fmp4-init/init.mp4",
            "high-fmp4/init.mp4, iv ff0102030405060708090a0b0c0d0e0f",
        ),
    ];
    for (path, vector) in cases {
        assert_eq!(sha256(&get(&server, path).body), vectors[vector], "{path}");
    }
    let key = get(&server, "/s/aes-explicit-iv/key0.bin").body;
    assert_eq!(sha256(&key), sha256(&(0..16).collect::<Vec<u8>>()));
}

#[test]
fn byte_ranges_of_the_whole_are_the_sealed_segments() {
    let server = server(Vec::new());
    let playlist = String::from_utf8(get(&server, "/s/aes-byte-ranges/index.m3u8").body).unwrap();
    let lengths = playlist.lines().filter_map(|line| line.strip_prefix("#EXT-X-BYTERANGE:"));
    let lengths: Vec<usize> = lengths.map(|line| line.split('@').next().unwrap().parse().unwrap()).collect();
    let start: usize = lengths[..4].iter().sum();
    let range = format!("Range: bytes={start}-{}\r\n", start + lengths[4] - 1);
    let got = get_with(server.origin(), "/s/aes-byte-ranges/all.ts", &range);
    assert_eq!(got.status, 206);
    let mut key: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    key[15] ^= 1;
    let mut iv = key;
    iv[0] = 0xFF;
    assert_eq!(
        decrypt_aes_128(&got.body, &key, &iv).unwrap(),
        server.tracks("plain-ts").unwrap()[0].clear(4)
    );
}

#[test]
fn ranges_are_answered_unless_they_are_ignored_misplaced_short_or_refused() {
    let server = server(vec![
        Rule::new("/s/plain-ts/1.ts", Fault::IgnoreRange),
        Rule::new("/s/plain-ts/2.ts", Fault::WrongContentRange { by: 10 }),
        Rule::new("/s/plain-ts/3.ts", Fault::CapRange { bytes: 30 }),
        Rule::new(
            "/s/plain-ts/3.ts",
            Fault::FailRange {
                status: Some(500),
                over: 100,
            },
        ),
    ]);
    let range = "Range: bytes=100-199\r\n";
    let got = get_with(server.origin(), "/s/plain-ts/0.ts", range);
    assert_eq!((got.status, got.body.len()), (206, 100));
    assert!(got.header("content-range").unwrap().starts_with("bytes 100-199/"));
    let got = get_with(server.origin(), "/s/plain-ts/1.ts", range);
    assert_eq!((got.status, got.body.len()), (200, got.length()));
    let got = get_with(server.origin(), "/s/plain-ts/2.ts", range);
    assert!(got.header("content-range").unwrap().starts_with("bytes 110-209/"));
    let got = get_with(server.origin(), "/s/plain-ts/3.ts", range);
    assert_eq!((got.status, got.body.len()), (206, 30));
    assert!(got.header("content-range").unwrap().starts_with("bytes 100-129/"));
    assert_eq!(
        get_with(server.origin(), "/s/plain-ts/3.ts", "Range: bytes=100-200\r\n").status,
        500
    );
    assert_eq!(get(&server, "/s/plain-ts/3.ts").status, 200);
}

#[test]
fn a_status_comes_the_first_times_and_then_the_resource() {
    let fault = Fault::Status {
        status: 503,
        retry_after: Some("1".into()),
    };
    let server = server(vec![Rule::new("*/0.ts", fault).times(2)]);
    let got: Vec<_> = (0..3).map(|_| get(&server, "/s/plain-ts/0.ts")).collect();
    assert_eq!(got.iter().map(|got| got.status).collect::<Vec<_>>(), [503, 503, 200]);
    assert_eq!(got[0].header("retry-after"), Some("1"));
}

#[test]
fn a_truncated_body_ends_short_of_its_length_in_good_order() {
    let server = server(vec![Rule::new("*/0.ts", Fault::Truncate { at: 1000 })]);
    let got = get(&server, "/s/plain-ts/0.ts");
    assert_eq!((got.status, got.body.len(), got.error), (200, 1000, None));
    assert!(got.length() > 1000);
}

#[test]
fn a_reset_is_a_reset() {
    let server = server(vec![Rule::new("*/0.ts", Fault::Reset { at: 1000 })]);
    let got = get(&server, "/s/plain-ts/0.ts");
    assert_eq!(got.error, Some(ErrorKind::ConnectionReset));
    assert!(got.body.len() <= 1000);
}

#[test]
fn a_stalled_request_stays_open_until_the_client_leaves() {
    let server = server(vec![Rule::new("*/0.ts", Fault::Stall { at: 1000 })]);
    let mut stream = connect(server.origin());
    send(&mut stream, "/s/plain-ts/0.ts", "");
    let mut bytes = [0; 900];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(server.stats().read(|tally| tally.open), 1);
    drop(stream);
    server.stats().wait(PATIENCE, |tally| tally.open == 0).unwrap();
}

#[test]
fn a_hang_up_is_no_answer_at_all() {
    let server = server(vec![Rule::new("*", Fault::HangUp)]);
    let got = get(&server, "/");
    assert_eq!((got.status, got.body.len()), (0, 0));
}

#[test]
fn bodies_are_replaced_packed_and_dripped() {
    let server = server(vec![
        Rule::new("*/0.ts", Fault::page()),
        Rule::new(
            "*/key0.bin",
            Fault::Body {
                content_type: "x/y".into(),
                text: "short".into(),
            },
        ),
        Rule::new("*/1.ts", Fault::UndeclaredGzip),
        Rule::new("/media/pictures/1.jpg", Fault::Trickle { bytes_per_second: 20_000 }),
    ]);
    assert_eq!(get(&server, "/s/plain-ts/0.ts").header("content-type"), Some("text/html"));
    assert_eq!(get(&server, "/s/aes-explicit-iv/key0.bin").body, b"short");
    let packed = get(&server, "/s/plain-ts/1.ts");
    assert_eq!((&packed.body[..2], packed.header("content-encoding")), (&[0x1F, 0x8B][..], None));
    let picture = get(&server, "/media/pictures/1.jpg");
    assert_eq!(picture.body.len(), picture.length());
}

#[test]
fn redirects_stay_or_leave() {
    let redirect = |to: &str| Fault::Redirect {
        status: 302,
        to: to.into(),
    };
    let server = server(vec![
        Rule::new("/a", redirect("/s/plain-ts/0.ts")),
        Rule::new("/s/plain-ts/1.ts", redirect("{{other}}{{path}}")).times(1),
    ]);
    assert_eq!(get(&server, "/a").header("location"), Some("/s/plain-ts/0.ts"));
    let away = get(&server, "/s/plain-ts/1.ts");
    assert_eq!(
        away.header("location").unwrap(),
        format!("{}/s/plain-ts/1.ts", server.other_origin())
    );
    assert_eq!(get_with(server.other_origin(), "/s/plain-ts/1.ts", "").status, 200);
    server.stats().read(|tally| {
        let origins: Vec<_> = tally.matching("*/1.ts").map(|exchange| exchange.other_origin).collect();
        assert_eq!(origins, [false, true]);
    });
}

#[test]
fn a_document_asks_for_the_referer_of_its_hop() {
    let server = server(Vec::new());
    let path = "/p/nested/player/embed.html";
    assert_eq!(get(&server, path).status, 403);
    let referer = format!("Referer: {}\r\n", server.url("/p/nested/watch.html"));
    let got = get_with(server.origin(), path, &referer);
    assert_eq!(got.status, 200);
    assert!(String::from_utf8(got.body).unwrap().contains("inner/frame.html"));
    assert_eq!(get(&server, "/p/nested/media/film/v1/0.ts").status, 200);
    server.stats().read(|tally| {
        let last = tally.matching(path).last().unwrap();
        assert_eq!(last.request.header("referer"), Some(server.url("/p/nested/watch.html").as_str()));
    });
}

#[test]
fn a_connection_carries_several_requests() {
    let server = server(Vec::new());
    let mut stream = connect(server.origin());
    for _ in 0..3 {
        send(&mut stream, "/s/aes-explicit-iv/key0.bin", "");
        let mut bytes = Vec::new();
        while !bytes.ends_with(&[13, 14, 15]) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
    }
    // Bytes may arrive before they are counted.
    server
        .stats()
        .wait(Duration::from_secs(10), |tally| tally.bytes_sent == 48)
        .unwrap();
    server.stats().read(|tally| assert_eq!((tally.requests(), tally.open_max), (3, 1)));
}

#[test]
fn a_synthetic_stream_is_computed_from_any_position() {
    let server = server(Vec::new());
    let track = &server.tracks("synthetic-ranges").unwrap()[0];
    let got = get_with(server.origin(), "/s/synthetic-ranges/all.ts", "Range: bytes=16356-32711\r\n");
    assert_eq!(got.body, track.clear(1));
    assert_eq!(get(&server, "/s/synthetic-10000/9999.ts").body.len(), 65_424);
    assert_eq!(get(&server, "/s/synthetic-10000/10000.ts").status, 404);
}

#[test]
fn a_live_playlist_moves_with_each_reading() {
    let server = server(Vec::new());
    let read = || String::from_utf8(get(&server, "/s/live/index.m3u8").body).unwrap();
    assert!(read().contains("#EXT-X-MEDIA-SEQUENCE:0\n"));
    assert!(read().contains("#EXT-X-MEDIA-SEQUENCE:1\n"));
    let third_and_on: Vec<_> = (0..3).map(|_| read()).collect();
    assert!(third_and_on[2].ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn everything_on_offer_is_there() {
    let server = server(Vec::new());
    for path in server.entries() {
        assert_eq!(get(&server, &path).status, 200, "{path}");
    }
    assert_eq!(get(&server, "/media/../Cargo.toml").status, 404);
    assert_eq!(get(&server, "/nothing").status, 404);
}
