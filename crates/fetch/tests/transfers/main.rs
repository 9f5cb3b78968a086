//! Transfers that go wrong, against a server that misbehaves on demand.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says so by panicking"
)]

mod ranges;

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{
    Budget, ByteRange, Event, Fetch, FetchError, Fetched, Grant, Item, Kind, Lender, Limits, Progress, Resource, Sealed, SegmentInfo, Stop,
    TrackId, channel,
};
use aqueduct_fetch::{Concurrency, HttpFetcher, OnMissing, Options, Permits, run};
use fixture_server::{Config, Fault, Rule, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

const LENGTH: usize = 3_000_000;

/// Bytes that tell where they stand.
fn content() -> Vec<u8> {
    (0..LENGTH).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn server(rules: Vec<Rule>) -> Server {
    let files = [("/f".to_owned(), content().into())].into();
    Server::start(Config {
        files,
        rules,
        ..Config::default()
    })
    .unwrap()
}

fn fetcher(retries: usize) -> HttpFetcher {
    patient(retries, Duration::from_millis(300))
}

fn patient(retries: usize, timeout: Duration) -> HttpFetcher {
    let mut options = Options::default();
    options.retries = retries;
    options.timeout = timeout;
    options.first_delay = Duration::from_millis(1);
    options.longest_delay = Duration::from_millis(5);
    HttpFetcher::new(options).unwrap()
}

fn resource(server: &Server, range: Option<(u64, u64)>) -> Resource {
    let range = range.map(|(offset, length)| ByteRange { offset, length });
    Resource::new(Kind::Segment, Url::parse(&server.url("/f")).unwrap()).with_range(range)
}

async fn fetch(fetcher: &HttpFetcher, resource: &Resource) -> Result<Fetched, FetchError> {
    fetcher.fetch(resource, Grant::unbudgeted(resource, &Limits::default())).await
}

async fn stream(fetcher: &HttpFetcher, resource: &Resource) -> (Vec<u8>, Result<(), FetchError>) {
    let resource = Resource {
        kind: Kind::File,
        ..resource.clone()
    };
    let lender = Lender {
        budget: Budget::new(4 << 20),
        track: TrackId::new(0),
        limits: Limits::default(),
        progress: Progress::new(),
    };
    let (outlet, pieces) = channel(1);
    let streaming = async {
        let result = fetcher.stream(&resource, &lender, &outlet).await;
        outlet.close();
        result
    };
    let collecting = async {
        let mut bytes = Vec::new();
        while let Ok(piece) = pieces.recv().await {
            bytes.extend_from_slice(piece.as_slice());
        }
        bytes
    };
    let (result, bytes) = tokio::join!(streaming, collecting);
    (bytes, result)
}

fn etag(value: &str) -> Rule {
    Rule::new("/f", Fault::Headers(vec![("ETag".into(), value.into())]))
}

fn once(fault: Fault) -> Rule {
    Rule::new("/f", fault).times(1)
}

#[tokio::test]
async fn a_transfer_that_fails_at_first_is_whole_in_the_end() {
    type Case = (&'static str, Vec<Rule>, Option<(u64, u64)>);
    let unavailable = Fault::Status {
        status: 503,
        retry_after: Some("0".into()),
    };
    let cases: Vec<Case> = vec![
        ("refused twice", vec![Rule::new("/f", Fault::status(500)).times(2)], None),
        ("asked to come back", vec![once(unavailable)], None),
        ("too many requests", vec![once(Fault::status(429))], None),
        ("cut short", vec![once(Fault::Truncate { at: 1_000_000 })], None),
        (
            "cut short, with a validator",
            vec![etag("\"a\""), once(Fault::Truncate { at: 1_000_000 })],
            None,
        ),
        ("reset", vec![once(Fault::Reset { at: 1_000_000 })], None),
        ("hung up", vec![once(Fault::HangUp)], None),
        ("stalled", vec![once(Fault::Stall { at: 1_000_000 })], None),
        (
            "stalled before the first byte",
            vec![once(Fault::Delay { milliseconds: 5_000 })],
            None,
        ),
        (
            "range cut short",
            vec![etag("\"a\""), once(Fault::Truncate { at: 500 })],
            Some((1_000_000, 1000)),
        ),
        ("range ignored", vec![Rule::new("/f", Fault::IgnoreRange)], Some((1_000_000, 1000))),
        (
            "range ignored after a cut",
            vec![etag("\"a\""), once(Fault::Truncate { at: 9 }), Rule::new("/f", Fault::IgnoreRange)],
            None,
        ),
        ("last bytes", vec![], Some((2_999_999, 1))),
    ];
    for (name, rules, range) in cases {
        let server = server(rules);
        let resource = resource(&server, range);
        let fetched = fetch(&fetcher(4), &resource)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (start, length) = range.map_or((0, LENGTH), |(offset, length)| (offset as usize, length as usize));
        assert!(fetched.body.as_slice() == &content()[start..start + length], "{name}: other bytes");
        if range.is_none() {
            let (bytes, result) = stream(&fetcher(4), &resource).await;
            result.unwrap_or_else(|error| panic!("{name}, streamed: {error}"));
            assert!(bytes == content(), "{name}, streamed: other bytes");
        }
    }
}

#[tokio::test]
async fn a_body_cut_short_is_continued_where_it_stopped() {
    let server = server(vec![etag("\"a\""), once(Fault::Truncate { at: 1_000_000 })]);
    fetch(&fetcher(1), &resource(&server, None)).await.unwrap();
    let (range, if_range) = server.stats().read(|tally| {
        let second = tally.matching("/f").nth(1).unwrap();
        (
            second.request.header("range").map(ToOwned::to_owned),
            second.request.header("if-range").map(ToOwned::to_owned),
        )
    });
    // What arrived of the last packets before the cut is the network's affair.
    let first: usize = range
        .as_deref()
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap();
    assert!((1..=1_000_000).contains(&first), "{range:?}");
    assert_eq!(if_range.as_deref(), Some("\"a\""));
}

#[tokio::test]
async fn a_resource_that_changes_half_way_is_never_mixed() {
    let rules = || {
        vec![
            Rule::new("/f", Fault::Headers(vec![("ETag".into(), "\"a\"".into())])).times(1),
            once(Fault::Truncate { at: 2_000_000 }),
            Rule::new("/f", Fault::Headers(vec![("ETag".into(), "\"b\"".into())])).skip(1),
        ]
    };
    let server_a = server(rules());
    let fetched = fetch(&fetcher(3), &resource(&server_a, None)).await.unwrap();
    assert!(fetched.body.as_slice() == content());
    let ranges = server_a
        .stats()
        .read(|tally| tally.matching("/f").map(|exchange| exchange.status).collect::<Vec<_>>());
    assert_eq!(ranges.last(), Some(&200), "begun anew: {ranges:?}");

    // What was handed on cannot be taken back.
    let server_b = server(rules());
    let (_, result) = stream(&fetcher(3), &resource(&server_b, None)).await;
    assert!(matches!(result, Err(FetchError::Invalid { .. })), "{result:?}");
}

#[tokio::test]
async fn ranges_of_one_file_are_of_one_version() {
    let server = server(vec![etag("\"b\"")]);
    let wanted = |version: &str| Resource {
        version: Some(version.into()),
        ..resource(&server, Some((100, 10)))
    };
    let fetched = fetch(&fetcher(0), &wanted("\"b\"")).await.unwrap();
    assert_eq!(fetched.version.as_deref(), Some("\"b\""));
    assert!(matches!(
        fetch(&fetcher(0), &wanted("\"a\"")).await,
        Err(FetchError::Invalid { .. })
    ));
}

/// Answers one request, and leaves.
async fn answer_once(listener: TcpListener) {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(connection.read_buf(&mut head).await.unwrap() > 0);
    }
    connection
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nmedia")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_leaves_is_waited_for_and_one_that_was_never_there_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let segment = Resource::new(Kind::Segment, Url::parse(&format!("http://{address}/f")).unwrap());
    let retries = 2;
    let never = Resource::new(Kind::Segment, Url::parse("http://127.0.0.1:1/f").unwrap());
    assert!(matches!(fetch(&fetcher(retries), &never).await, Err(FetchError::Connect { .. })));

    let fetcher = fetcher(retries);
    let (first, ()) = tokio::join!(fetch(&fetcher, &segment), answer_once(listener));
    first.unwrap();
    let (events, heard) = channel(16);
    let lender = Lender {
        budget: Budget::new(1 << 20),
        track: TrackId::new(0),
        limits: Limits::default(),
        progress: Progress::with_events(events),
    };
    let grant = lender.grant(&segment, 0).await;
    let back = async {
        let mut tries = 0;
        while tries < 3 * retries {
            tries += usize::from(matches!(heard.recv().await.unwrap(), Event::Retry { .. }));
        }
        answer_once(TcpListener::bind(address).await.unwrap()).await;
    };
    let (again, ()) = tokio::join!(fetcher.fetch(&segment, grant), back);
    assert_eq!(again.unwrap().body.as_slice(), b"media");
}

#[tokio::test]
async fn what_others_have_too_is_asked_for_twice_where_nothing_answers() {
    let fetcher = fetcher(5);
    let dead = Resource::new(Kind::Segment, Url::parse("http://127.0.0.1:1/f").unwrap()).redundant(true);
    for expected in [1, 0] {
        let (events, heard) = channel(16);
        let lender = Lender {
            budget: Budget::new(1 << 20),
            track: TrackId::new(0),
            limits: Limits::default(),
            progress: Progress::with_events(events),
        };
        let grant = lender.grant(&dead, 0).await;
        assert!(matches!(fetcher.fetch(&dead, grant).await, Err(FetchError::Connect { .. })));
        drop(lender);
        let retries = std::iter::from_fn(|| heard.try_recv().ok()).filter(|event| matches!(event, Event::Retry { .. }));
        assert_eq!(retries.count(), expected);
    }
}

#[tokio::test]
async fn a_body_may_take_longer_than_the_patience_as_long_as_something_comes() {
    // A second in all, and 300 ms of patience.
    let server = server(vec![Rule::new(
        "/f",
        Fault::Trickle {
            bytes_per_second: 3_000_000,
        },
    )]);
    let begun = std::time::Instant::now();
    let fetched = fetch(&fetcher(0), &resource(&server, None)).await.unwrap();
    assert!(fetched.body.as_slice() == content());
    assert!(begun.elapsed() > Duration::from_millis(600), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_empty_answer_is_no_media() {
    let empty = Fault::Body {
        content_type: "video/mp2t".into(),
        text: String::new(),
    };
    let server_a = server(vec![Rule::new("/f", empty)]);
    assert!(matches!(
        fetch(&fetcher(1), &resource(&server_a, None)).await,
        Err(FetchError::Empty { .. })
    ));
    assert_eq!(server_a.stats().read(|tally| tally.count("/f")), 2, "it may come later");
}

#[tokio::test]
async fn a_body_that_comes_compressed_is_unpacked_or_refused() {
    let says = |coding: &str| Rule::new("/f", Fault::Headers(vec![("Content-Encoding".into(), coding.into())]));
    let packed = || Rule::new("/f", Fault::UndeclaredGzip);
    type Case = (&'static str, Vec<Rule>, Option<(u64, u64)>, bool);
    let cases: Vec<Case> = vec![
        ("nobody says so", vec![packed()], None, true),
        ("declared", vec![packed(), says("gzip")], None, true),
        (
            "cut short once",
            vec![packed(), etag("\"a\""), once(Fault::Truncate { at: 1_000_000 })],
            None,
            true,
        ),
        ("declared, and not true", vec![says("gzip")], None, false),
        ("declared as what is unknown", vec![says("compress")], None, false),
        ("a range of it", vec![packed()], Some((100, 10)), false),
        ("a range of it, declared", vec![packed(), says("gzip")], Some((100, 10)), false),
    ];
    for (name, rules, range, good) in cases {
        let server = server(rules);
        // Packing takes the server a while.
        match fetch(&patient(2, Duration::from_secs(20)), &resource(&server, range)).await {
            Ok(fetched) => assert!(good && fetched.body.as_slice() == content(), "{name}: other bytes"),
            Err(error) => assert!(!good && matches!(error, FetchError::Invalid { .. }), "{name}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_known_is_refused_and_not_passed_over() {
    for (proxy, known) in [
        ("socks5://127.0.0.1:9", true),
        ("http://127.0.0.1:9", true),
        ("sock5://127.0.0.1:9", false),
        ("ftp://x", false),
    ] {
        let mut options = Options::default();
        options.proxy = Some(proxy.into());
        assert_eq!(HttpFetcher::new(options).is_ok(), known, "{proxy}");
    }
}

#[tokio::test]
async fn what_cannot_succeed_is_an_error_of_its_kind() {
    let timed_out = |error: &FetchError| matches!(error, FetchError::Timeout { .. });
    type Case = (&'static str, Fault, Option<(u64, u64)>, fn(&FetchError) -> bool, usize);
    let cases: Vec<Case> = vec![
        ("not found", Fault::status(404), None, |error| error.status() == Some(404), 3),
        ("unauthorized", Fault::status(401), None, |error| error.status() == Some(401), 1),
        ("forbidden", Fault::status(403), None, |error| error.status() == Some(403), 1),
        ("always failing", Fault::status(500), None, |error| error.status() == Some(500), 3),
        (
            "always short",
            Fault::Truncate { at: 10 },
            None,
            |error| matches!(error, FetchError::Truncated { .. }),
            3,
        ),
        ("always stalled", Fault::Stall { at: 10 }, None, timed_out, 3),
        (
            "another range",
            Fault::WrongContentRange { by: 7 },
            Some((100, 10)),
            |error| matches!(error, FetchError::Range { .. }),
            1,
        ),
        (
            "a long wait",
            Fault::Status {
                status: 503,
                retry_after: Some("9999".into()),
            },
            None,
            |error| error.status() == Some(503),
            1,
        ),
    ];
    for (name, fault, range, expected, requests) in cases {
        let server = server(vec![Rule::new("/f", fault)]);
        let error = fetch(&fetcher(2), &resource(&server, range)).await.unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
        assert_eq!(server.stats().read(|tally| tally.count("/f")), requests, "{name}");
    }
    let server = server(vec![]);
    let beyond = fetch(&fetcher(2), &resource(&server, Some((LENGTH as u64 - 5, 10))))
        .await
        .unwrap_err();
    assert!(matches!(beyond, FetchError::Range { .. }), "{beyond:?}");
}

#[tokio::test]
async fn redirects_are_followed_without_taking_secrets_along() {
    let mut rules = vec![Rule::new(
        "/a",
        Fault::Redirect {
            status: 302,
            to: "{{other}}/f".into(),
        },
    )];
    rules.push(Rule::new(
        "/loop",
        Fault::Redirect {
            status: 302,
            to: "{{origin}}/loop".into(),
        },
    ));
    rules.push(Rule::new(
        "/local",
        Fault::Redirect {
            status: 302,
            to: "file:///etc/hostname".into(),
        },
    ));
    let server = server(rules);
    let origin = Url::parse(&server.url("/")).unwrap();
    let mut options = Options::default();
    options.headers.push(aqueduct_fetch::ScopedHeader {
        origin: origin.clone().into(),
        name: "Authorization".into(),
        value: "Bearer secret".into(),
    });
    let fetcher = HttpFetcher::new(options).unwrap();
    let at = |path: &str| {
        Resource::new(Kind::Segment, origin.join(path).unwrap()).with_referrer(Some(origin.join("/page?token=x").unwrap().into()))
    };

    let fetched = fetch(&fetcher, &at("/a")).await.unwrap();
    assert_eq!(fetched.url.to_string(), format!("{}/f", server.other_origin()));
    server.stats().read(|tally| {
        let (first, second) = (&tally.exchanges[0].request, &tally.exchanges[1].request);
        assert_eq!(first.header("authorization"), Some("Bearer secret"));
        assert_eq!(second.header("authorization"), None, "it is for the first origin");
        assert_eq!(first.header("referer"), Some(format!("{}/page?token=x", server.origin()).as_str()));
        assert_eq!(second.header("referer"), Some(format!("{}/", server.origin()).as_str()));
    });
    assert!(matches!(fetch(&fetcher, &at("/loop")).await, Err(FetchError::Invalid { .. })));
    assert!(matches!(fetch(&fetcher, &at("/local")).await, Err(FetchError::Refused { .. })));
}

#[tokio::test]
async fn a_document_is_read_whole_when_it_is_text_and_cut_when_it_is_media() {
    let page = "<html>".to_owned() + &"x".repeat(100_000);
    let mut files: std::collections::BTreeMap<_, _> = [("/page".to_owned(), page.clone().into())].into();
    files.insert("/film".to_owned(), [b"\0\0\0\x20ftypisom".as_slice(), &content()].concat().into());
    let server = Server::start(Config {
        files,
        ..Config::default()
    })
    .unwrap();
    let document = |path: &str| Resource::new(Kind::Document, Url::parse(&server.url(path)).unwrap());
    let text = fetch(&fetcher(0), &document("/page")).await.unwrap();
    assert!(text.whole && text.body.as_slice() == page.as_bytes());
    let film = fetch(&fetcher(0), &document("/film")).await.unwrap();
    assert!(!film.whole && film.body.as_slice().len() < LENGTH / 2);
    assert_eq!(film.total_length, Some(LENGTH as u64 + 12));
    assert!(film.accepts_ranges);
}
#[tokio::test]
async fn a_version_that_one_node_of_a_server_has_is_asked_for_again() {
    let server = server(vec![etag("\"b\"").times(2), etag("\"a\"").skip(2)]);
    let resource = Resource {
        version: Some("\"a\"".into()),
        ..resource(&server, Some((100, 10)))
    };
    let fetched = fetch(&fetcher(4), &resource).await.unwrap();
    assert_eq!(fetched.version.as_deref(), Some("\"a\""));
}

#[tokio::test]
async fn a_rate_limit_holds_over_all_requests() {
    let server = server(vec![]);
    let mut options = Options::default();
    options.rate_limit = Some(6_000_000);
    let fetcher = HttpFetcher::new(options).unwrap();
    let begun = std::time::Instant::now();
    let (left, right) = (
        resource(&server, Some((0, 1_500_000))),
        resource(&server, Some((1_500_000, 1_500_000))),
    );
    let (left, right) = tokio::join!(fetch(&fetcher, &left), fetch(&fetcher, &right));
    assert_eq!(left.unwrap().body.as_slice().len() + right.unwrap().body.as_slice().len(), LENGTH);
    // Half a second's worth, less the burst.
    let took = begun.elapsed();
    assert!((Duration::from_millis(390)..Duration::from_secs(5)).contains(&took), "{took:?}");
}
