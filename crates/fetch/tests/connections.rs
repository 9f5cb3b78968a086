//! How many connections are made, and what HTTP/2 does to a stream that shares one.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says so by panicking"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqueduct_core::{Budget, Item, Kind, Lender, Limits, Progress, Resource, Sealed, SegmentInfo, Stop, TrackId, channel};
use aqueduct_fetch::{Concurrency, HttpFetcher, OnMissing, Options, Permits, run};
use fixture_server::{Config, Fault, Rule, Server};
use url::Url;

const SEGMENTS: u64 = 60;

/// Bytes that tell of which segment they are, and where they stand in it.
fn content(msn: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8 ^ msn as u8).collect()
}

fn server(length: usize, rules: Vec<Rule>) -> Server {
    let files = (0..SEGMENTS)
        .map(|msn| (format!("/{msn}.ts"), content(msn, length).into()))
        .collect();
    Server::start(Config {
        files,
        rules,
        ..Config::default()
    })
    .unwrap()
}

fn fetcher() -> Arc<HttpFetcher> {
    let mut options = Options::default();
    options.retries = 10;
    options.timeout = Duration::from_secs(2);
    options.first_delay = Duration::from_millis(1);
    options.longest_delay = Duration::from_millis(5);
    options.insecure = vec!["127.0.0.1".into()];
    Arc::new(HttpFetcher::new(options).unwrap())
}

/// Fetches these segments and checks that they come whole and in order.
async fn fetch(fetcher: &Arc<HttpFetcher>, origin: &str, msns: std::ops::Range<u64>, length: usize, concurrency: usize, budget: usize) {
    let track = TrackId::new(0);
    let lender = Lender {
        budget: Budget::new(budget),
        track,
        limits: Limits::default(),
        progress: Progress::new(),
    };
    let (to_fetch, inlet) = channel(SEGMENTS as usize);
    for msn in msns.clone() {
        let resource = Resource::new(Kind::Segment, Url::parse(&format!("{origin}/{msn}.ts")).unwrap());
        let info = Arc::new(SegmentInfo::new(track, msn, Duration::ZERO, resource.clone()));
        to_fetch.try_send(Item::Segment { info, payload: resource }).unwrap();
    }
    to_fetch.close();
    let (outlet, fetched) = channel::<Item<Sealed>>(1);
    let permits = Permits::split(Concurrency::Fixed(concurrency), 1).remove(0);
    let stage = run(Arc::clone(fetcher), lender, permits, OnMissing::Abort, inlet, outlet, Stop::new());
    let collect = async {
        let mut next = msns.start;
        while let Ok(Item::Segment { info, payload }) = fetched.recv().await {
            assert_eq!(info.msn, next);
            assert!(*payload.as_slice() == content(next, length), "other bytes of {next}");
            next += 1;
        }
        next
    };
    let both = Box::pin(async { tokio::join!(stage, collect) });
    let (result, next) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    result.unwrap();
    assert_eq!(next, msns.end);
}

#[tokio::test]
async fn as_many_connections_as_requests_at_once_serve_all_over_http_1() {
    for concurrency in [1, 4] {
        let server = server(100_000, Vec::new());
        fetch(&fetcher(), server.origin(), 0..SEGMENTS, 100_000, concurrency, 8 << 20).await;
        let connections = server.stats().read(|tally| tally.connections);
        assert!(
            (1..=concurrency).contains(&connections),
            "{connections} connections for {concurrency} at once"
        );
    }
}

#[tokio::test]
async fn one_connection_serves_all_over_http_2() {
    let server = server(100_000, Vec::new());
    let fetcher = fetcher();
    // Only an answer tells what the server speaks.
    fetch(&fetcher, &server.tls_origin(), 0..1, 100_000, 1, 8 << 20).await;
    fetch(&fetcher, &server.tls_origin(), 1..SEGMENTS, 100_000, 16, 8 << 20).await;
    assert_eq!(server.stats().read(|tally| tally.http2_connections), 1);
}

#[tokio::test]
async fn answers_that_wait_for_memory_do_not_hold_up_the_oldest_over_http_2() {
    let length = 2_000_000;
    let server = server(length, Vec::new());
    fetch(&fetcher(), &server.tls_origin(), 0..30, length, 16, 3 << 20).await;
    assert!(server.stats().read(|tally| tally.http2_connections) > 0);
}

#[tokio::test]
async fn what_breaks_over_http_2_is_continued() {
    let length = 300_000;
    let cases = [
        ("cut short", Fault::Truncate { at: 100_000 }),
        ("reset", Fault::Reset { at: 100_000 }),
        ("silent", Fault::Stall { at: 200_000 }),
        ("hung up", Fault::HangUp),
        ("refused for now", Fault::status(503)),
    ];
    for (name, fault) in cases {
        let server = server(length, vec![Rule::new("/1*.ts", fault).times(3)]);
        fetch(&fetcher(), &server.tls_origin(), 0..SEGMENTS, length, 8, 8 << 20).await;
        let (requests, http2) = server.stats().read(|tally| (tally.requests(), tally.http2_connections));
        assert!(requests > SEGMENTS as usize && http2 > 0, "{name}: {requests} requests");
    }
}

/// Stands before `server`. Connections that are made before one of them fell silent all fall silent after `bytes` of their
/// answers, and stay open; those made later are as good as the server's own. Gives its address, and counts connections.
fn relay(server: &str, bytes: usize) -> (String, Arc<AtomicUsize>) {
    let server = server.rsplit('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (made, silent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&made);
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::SeqCst);
            let server = TcpStream::connect(&server).unwrap();
            let most = if silent.load(Ordering::SeqCst) == 0 { bytes } else { usize::MAX };
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            // Whoever hangs up ends both ways.
            std::thread::spawn(move || pass(from, &to, usize::MAX));
            let silent = Arc::clone(&silent);
            std::thread::spawn(move || {
                if pass(server, &client, most) {
                    silent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    (address, made)
}

/// Passes bytes on; `true` when there were `most` of them, and no more are taken.
fn pass(mut from: TcpStream, mut to: &TcpStream, most: usize) -> bool {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    while passed < most {
        match from.read(&mut buffer) {
            Ok(length) if length > 0 && to.write_all(&buffer[..length]).is_ok() => passed += length,
            _ => {
                let _ = to.shutdown(std::net::Shutdown::Both);
                return false;
            }
        }
    }
    true
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_not_used_again() {
    let length = 300_000;
    for tls in [true, false] {
        let server = server(length, Vec::new());
        let (scheme, origin) = if tls {
            ("https", server.tls_origin())
        } else {
            ("http", server.origin().to_owned())
        };
        let (address, made) = relay(&origin, 700_000);
        let begun = std::time::Instant::now();
        fetch(&fetcher(), &format!("{scheme}://{address}"), 0..SEGMENTS, length, 8, 8 << 20).await;
        let made = made.load(Ordering::SeqCst);
        assert!((2..=24).contains(&made), "{scheme}: {made} connections");
        assert!(begun.elapsed() < Duration::from_secs(10), "{scheme}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn connections_to_others_are_kept_where_one_origin_fell_silent() {
    let length = 300_000;
    let (well, silent) = (server(length, Vec::new()), server(length, Vec::new()));
    let fetcher = fetcher();
    fetch(&fetcher, &well.tls_origin(), 0..1, length, 1, 8 << 20).await;
    let (address, made) = relay(&silent.tls_origin(), 700_000);
    fetch(&fetcher, &format!("https://{address}"), 0..SEGMENTS, length, 8, 8 << 20).await;
    assert!(made.load(Ordering::SeqCst) > 1, "it fell silent");
    fetch(&fetcher, &well.tls_origin(), 1..SEGMENTS, length, 8, 8 << 20).await;
    assert_eq!(well.stats().read(|tally| tally.http2_connections), 1);
}
