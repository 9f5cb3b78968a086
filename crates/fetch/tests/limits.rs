//! Answers that do not end, or that grow when they are unpacked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use aqueduct_core::{Fetch, FetchError, Fetched, Grant, Kind, Limits, Resource};
use aqueduct_fetch::{HttpFetcher, Options};
use fixture_server::{Config, Fault, Rule, Server};
use url::Url;

const MIB: u64 = 1 << 20;
/// Nobody reads so far: the kernel's buffers on both sides take some, whatever the client does.
const ENDLESS: u64 = 64 * MIB;

fn fetcher() -> HttpFetcher {
    let mut options = Options::default();
    options.retries = 0;
    options.timeout = Duration::from_secs(2);
    HttpFetcher::new(options).unwrap()
}

/// A server that says `start` and then `again` without end. It gives the address, and in the end how many bytes it got
/// rid of.
fn endless(start: &'static [u8], again: &'static [u8]) -> (Url, std::thread::JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        let many = again.repeat(65_536 / again.len());
        let mut sent = 0;
        if stream.write_all(start).is_ok() {
            while sent < ENDLESS && stream.write_all(&many).is_ok() {
                sent += many.len() as u64;
            }
        }
        sent
    });
    (url, server)
}

async fn fetch(fetcher: &HttpFetcher, resource: &Resource, limits: &Limits) -> Result<Fetched, FetchError> {
    fetcher.fetch(resource, Grant::unbudgeted(resource, limits)).await
}

#[tokio::test]
async fn a_head_without_end_is_an_error() {
    type Case = (&'static str, &'static [u8], &'static [u8], fn(&FetchError) -> bool);
    let broken: fn(&FetchError) -> bool = |error| matches!(error, FetchError::Broken { .. });
    let cases: [Case; 6] = [
        ("fields", b"HTTP/1.1 200 OK\r\n", b"X-Field: value\r\n", broken),
        ("one field", b"HTTP/1.1 200 OK\r\nX-Field: ", b"x", broken),
        ("the status line", b"HTTP/1.1 200 ", b"x", broken),
        (
            "a chunk's extension",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"x",
            broken,
        ),
        (
            "trailers",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
            b"X-Field: value\r\n",
            broken,
        ),
        ("blank lines", b"", b"\r\n", broken),
    ];
    for (name, start, again, expected) in cases {
        for kind in [Kind::Playlist, Kind::Segment] {
            let (url, server) = endless(start, again);
            let resource = Resource::new(kind, url);
            let error = fetch(&fetcher(), &resource, &Limits::default()).await.map(drop).unwrap_err();
            assert!(expected(&error), "{name}: {error:?}");
            let taken = server.join().unwrap();
            assert!(taken < ENDLESS, "{name}: {taken} bytes were taken");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_without_end_run_out_of_time() {
    let (url, server) = endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    let resource = Resource::new(Kind::Segment, url);
    let mut options = Options::default();
    options.retries = 0;
    options.timeout = Duration::from_millis(100);
    let fetcher = HttpFetcher::new(options).unwrap();
    let error = fetch(&fetcher, &resource, &Limits::default()).await.map(drop).unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. } | FetchError::Broken { .. }), "{error:?}");
    drop(fetcher);
    server.join().unwrap();
}

#[tokio::test]
async fn bytes_are_counted_as_they_are_unpacked() {
    let codings = [
        ("gzip", "blank.gz"),
        ("deflate", "blank.zz"),
        ("br", "blank.br"),
        ("zstd", "blank.zst"),
    ];
    for (coding, file) in codings {
        let packed = std::fs::read(format!("{}/tests/bombs/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(packed.len() < 10_000);
        let server = Server::start(Config {
            files: [("/bomb".to_owned(), packed.into())].into(),
            rules: vec![Rule::new("/bomb", Fault::Headers(vec![("Content-Encoding".into(), coding.into())]))],
            ..Config::default()
        })
        .unwrap();
        let url = Url::parse(&server.url("/bomb")).unwrap();
        for kind in [Kind::Document, Kind::Playlist] {
            let resource = Resource::new(kind, url.clone());
            for (limit, fits) in [(MIB, false), (8 * MIB - 1, false), (8 * MIB, true)] {
                let mut limits = Limits::default();
                limits.document_bytes = limit;
                limits.playlist_bytes = limit;
                match fetch(&fetcher(), &resource, &limits).await {
                    Ok(fetched) => assert!(fits && fetched.body.as_slice().len() as u64 == 8 * MIB, "{coding}"),
                    Err(FetchError::TooLarge { limit: told, .. }) => assert!(!fits && told == limit, "{coding}"),
                    Err(error) => panic!("{coding} as {kind:?}: {error:?}"),
                }
            }
        }
        // Media is not asked for like that: what comes so all the same is unpacked, within the same limits.
        let segment = Resource::new(Kind::Segment, url);
        for (limit, fits) in [(MIB, false), (8 * MIB, true)] {
            let mut limits = Limits::default();
            limits.segment_bytes = limit;
            match fetch(&fetcher(), &segment, &limits).await {
                Ok(fetched) => assert!(fits && fetched.body.as_slice().len() as u64 == 8 * MIB, "{coding}"),
                Err(FetchError::TooLarge { .. }) => assert!(!fits, "{coding}"),
                Err(error) => panic!("{coding}: {error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn every_kind_of_body_has_its_limit() {
    let server = Server::start(Config {
        files: [("/f".to_owned(), vec![b' '; 4096].into())].into(),
        ..Config::default()
    })
    .unwrap();
    let url = Url::parse(&server.url("/f")).unwrap();
    for (limit, fits) in [(4095, false), (4096, true)] {
        let mut limits = Limits::default();
        limits.document_bytes = limit;
        limits.playlist_bytes = limit;
        limits.key_bytes = limit;
        limits.init_bytes = limit;
        limits.segment_bytes = limit;
        for kind in [Kind::Document, Kind::Playlist, Kind::Key, Kind::Init, Kind::Segment] {
            let resource = Resource::new(kind, url.clone());
            match fetch(&fetcher(), &resource, &limits).await {
                Ok(_) => assert!(fits, "{kind:?}"),
                Err(FetchError::TooLarge { .. }) => assert!(!fits, "{kind:?}"),
                Err(error) => panic!("{kind:?}: {error:?}"),
            }
        }
    }
}
