//! Transfers that go wrong, against a server that misbehaves on demand.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says so by panicking"
)]

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

/// Runs the stage over these ranges of `/f`, in this order, within `budget`.
async fn ranges(server: &Server, budget: usize, ranges: &[(u64, u64)]) -> Vec<Vec<u8>> {
    let track = TrackId::new(0);
    let lender = Lender {
        budget: Budget::new(budget),
        track,
        limits: Limits::default(),
        progress: Progress::new(),
    };
    let (to_fetch, inlet) = channel(16);
    let (outlet, fetched) = channel::<Item<Sealed>>(1);
    let feed = async {
        for (msn, range) in (0..).zip(ranges) {
            let resource = resource(server, Some(*range));
            let info = SegmentInfo::new(track, msn, Duration::ZERO, resource.clone());
            let item = Item::Segment {
                info: Arc::new(info),
                payload: resource,
            };
            to_fetch.send(item).await.unwrap();
        }
        to_fetch.close();
    };
    let collect = async {
        let mut bodies = Vec::new();
        while let Ok(Item::Segment { payload, .. }) = fetched.recv().await {
            bodies.push(payload.as_slice().to_vec());
        }
        bodies
    };
    let permits = Permits::split(Concurrency::Fixed(6), 1).remove(0);
    let stage = run(Arc::new(fetcher(5)), lender, permits, OnMissing::Abort, inlet, outlet, Stop::new());
    let ((), bodies, result) = tokio::join!(feed, collect, stage);
    result.unwrap();
    bodies
}

fn cut(ranges: &[(u64, u64)]) -> Vec<Vec<u8>> {
    let content = content();
    let at = |offset: u64, length: u64| content[offset as usize..(offset + length) as usize].to_vec();
    ranges.iter().map(|(offset, length)| at(*offset, *length)).collect()
}

fn in_a_row(from: u64, length: u64, count: u64) -> Vec<(u64, u64)> {
    (0..count).map(|number| (from + number * length, length)).collect()
}

#[tokio::test]
async fn small_ranges_in_a_row_share_a_request() {
    let wanted = in_a_row(1000, 10_000, 200);
    let wide = |status| Rule::new("/f", Fault::FailRange { status, over: 10_000 });
    type Case = (&'static str, Vec<Rule>, usize, usize);
    let cases: Vec<Case> = vec![
        ("far away", vec![Rule::new("/f", Fault::Delay { milliseconds: 20 })], 1 << 20, 40),
        (
            "cut short",
            vec![Rule::new("/f", Fault::Truncate { at: 25_000 }).times(5)],
            1 << 20,
            120,
        ),
        (
            "reset",
            vec![etag("\"a\""), Rule::new("/f", Fault::Reset { at: 33_333 }).percent(20, 3)],
            1 << 20,
            120,
        ),
        ("hung up", vec![Rule::new("/f", Fault::HangUp).percent(20, 4)], 1 << 20, 120),
        ("in little memory", vec![], 15_000, 200),
        ("shortened", vec![Rule::new("/f", Fault::CapRange { bytes: 25_000 })], 1 << 20, 110),
        (
            "shortened, in little memory",
            vec![Rule::new("/f", Fault::CapRange { bytes: 9_000 })],
            15_000,
            400,
        ),
        ("refused together", vec![wide(Some(500))], 1 << 20, 250),
        ("refused together for good", vec![wide(Some(403))], 1 << 20, 250),
        ("hung up together", vec![wide(None)], 1 << 20, 250),
    ];
    for (name, rules, budget, most) in cases {
        let server = server(rules);
        let bodies = tokio::time::timeout(Duration::from_secs(30), ranges(&server, budget, &wanted)).await;
        assert!(
            bodies.unwrap_or_else(|_| panic!("{name}: stuck")) == cut(&wanted),
            "{name}: other bytes"
        );
        let asked = server.stats().read(|tally| tally.count("/f"));
        assert!(asked <= most, "{name}: {asked} requests");
    }
}

#[tokio::test]
async fn ranges_that_leave_something_out_and_large_ones_have_requests_of_their_own() {
    let server = server(vec![]);
    let wanted = [(0, 10), (10, 10), (21, 10), (31, 800_000), (800_031, 800_000)];
    assert!(ranges(&server, 8 << 20, &wanted).await == cut(&wanted));
    let mut asked = server.stats().read(|tally| {
        let range = |exchange: &fixture_server::Exchange| exchange.request.header("range").unwrap().to_owned();
        tally.matching("/f").map(range).collect::<Vec<_>>()
    });
    asked.sort_unstable();
    assert_eq!(asked, ["bytes=0-19", "bytes=21-800030", "bytes=800031-1600030"]);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_sends_the_whole_about_once() {
    let ignored = || Rule::new("/f", Fault::IgnoreRange);
    let ascending = in_a_row(0, 100_000, 30);
    let small = in_a_row(5, 1000, 2000);
    let holes: Vec<_> = (0..100).map(|number| (number * 30_000 + 7, 11)).collect();
    let descending: Vec<_> = in_a_row(0, 500_000, 6).into_iter().rev().collect();
    type Case<'a> = (&'a str, Vec<Rule>, usize, &'a [(u64, u64)], u64);
    let whole = LENGTH as u64;
    // What is open when the server is first seen to ignore ranges is on its way already, six times at most.
    let cases: Vec<Case> = vec![
        ("ascending", vec![ignored()], 8 << 20, &ascending, 7 * whole),
        ("ascending, in little memory", vec![ignored()], 150_000, &ascending, 7 * whole),
        ("small", vec![ignored()], 8 << 20, &small, 7 * whole),
        ("with holes", vec![ignored()], 8 << 20, &holes, 7 * whole),
        (
            "cut short now and then",
            vec![Rule::new("/f", Fault::Truncate { at: 2_000_000 }).times(2), ignored()],
            8 << 20,
            &ascending,
            9 * whole,
        ),
        ("descending", vec![ignored()], 8 << 20, &descending, 12 * whole),
        ("descending, in little memory", vec![ignored()], 600_000, &descending, 12 * whole),
    ];
    for (name, rules, budget, wanted, most) in cases {
        let server = server(rules);
        let bodies = tokio::time::timeout(Duration::from_secs(30), ranges(&server, budget, wanted)).await;
        assert!(
            bodies.unwrap_or_else(|_| panic!("{name}: stuck")) == cut(wanted),
            "{name}: other bytes"
        );
        let sent = server.stats().read(|tally| tally.bytes_sent);
        assert!(sent <= most, "{name}: {sent} bytes for a resource of {whole}");
    }
}

// RFC 9110, 15.3.7: an answer may hold less than was asked for.
#[tokio::test]
async fn a_range_that_comes_in_pieces_is_put_together() {
    let capped = |bytes| Rule::new("/f", Fault::CapRange { bytes });
    for rules in [vec![capped(65_536)], vec![capped(65_536), etag("\"a\"")]] {
        let server = server(rules);
        let fetched = fetch(&fetcher(0), &resource(&server, Some((1000, 1_000_000)))).await.unwrap();
        assert!(fetched.body.as_slice() == &content()[1000..1_001_000], "other bytes");
        assert_eq!(server.stats().read(|tally| tally.count("/f")), 16);
    }
    // Nor are small ones failed tries: some caches hand on what they have, a few KiB at a time.
    let small = server(vec![capped(1500), etag("\"a\"")]);
    let fetched = fetch(&fetcher(0), &resource(&small, Some((1000, 100_000)))).await.unwrap();
    assert!(fetched.body.as_slice() == &content()[1000..101_000], "other bytes");
    // What goes on after a cut comes in pieces, too.
    let cut = server(vec![capped(400_000), etag("\"a\""), once(Fault::Truncate { at: 1_000_000 })]);
    let (bytes, result) = stream(&fetcher(1), &resource(&cut, None)).await;
    result.unwrap();
    assert!(bytes == content(), "other bytes");
    // Fed byte by byte, it does not go on for ever.
    let drips = server(vec![capped(1)]);
    let error = fetch(&fetcher(4), &resource(&drips, Some((1000, 1000)))).await.unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Truncated {
                received: 5,
                expected: 1000,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(drips.stats().read(|tally| tally.count("/f")), 5);
}

#[tokio::test]
async fn a_server_that_fails_at_ranges_sends_the_whole_about_once() {
    let whole = LENGTH as u64;
    let wanted = in_a_row(0, 100_000, 30);
    for status in [Some(416), Some(500), None] {
        let server = server(vec![Rule::new("/f", Fault::FailRange { status, over: 0 })]);
        let bodies = tokio::time::timeout(Duration::from_secs(30), ranges(&server, 8 << 20, &wanted)).await;
        let bodies = bodies.unwrap_or_else(|_| panic!("{status:?}: stuck"));
        assert!(bodies == cut(&wanted), "{status:?}: other bytes");
        let sent = server.stats().read(|tally| tally.bytes_sent);
        assert!(sent <= 7 * whole, "{status:?}: {sent} bytes for a resource of {whole}");
    }
    // Neither one that sent ranges before, nor one that has too much to do, is asked for more.
    for (fault, spared) in [(Fault::status(500), 1), (Fault::status(503), 0), (Fault::status(404), 0)] {
        let failing = server(vec![Rule::new("/f", fault).skip(spared)]);
        let fetcher = fetcher(5);
        for number in 0..2 {
            let fetched = fetch(&fetcher, &resource(&failing, Some((10 * number, 10)))).await;
            assert_eq!(fetched.is_ok(), number < spared);
        }
        let without_range = |exchange: &&fixture_server::Exchange| exchange.request.header("range").is_none();
        assert_eq!(failing.stats().read(|tally| tally.matching("/f").filter(without_range).count()), 0);
    }
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

/// Runs a stage for each track over its ranges of `/f`, all within one `budget`, and takes from them in turn, as a muxer
/// that waits for the one that is behind.
async fn tracks(server: &Server, budget: usize, tracks: &[&[(u64, u64)]]) -> Vec<Vec<Vec<u8>>> {
    let budget = Budget::new(budget);
    let fetcher = Arc::new(fetcher(20));
    let permits = Permits::split(Concurrency::Fixed(5), tracks.len());
    let mut stages = tokio::task::JoinSet::new();
    let mut outlets = Vec::new();
    for ((number, ranges), permits) in (0..).zip(tracks).zip(permits) {
        let track = TrackId::new(number);
        let lender = Lender {
            budget: budget.clone(),
            track,
            limits: Limits::default(),
            progress: Progress::new(),
        };
        let (to_fetch, inlet) = channel(ranges.len());
        for (msn, range) in (0..).zip(*ranges) {
            let resource = resource(server, Some(*range));
            let info = Arc::new(SegmentInfo::new(track, msn, Duration::ZERO, resource.clone()));
            let payload = resource;
            to_fetch.send(Item::Segment { info, payload }).await.unwrap();
        }
        let (outlet, fetched) = channel::<Item<Sealed>>(1);
        outlets.push(fetched);
        stages.spawn(run(
            Arc::clone(&fetcher),
            lender,
            permits,
            OnMissing::Abort,
            inlet,
            outlet,
            Stop::new(),
        ));
    }
    let mut bodies = vec![Vec::new(); tracks.len()];
    let most = tracks.iter().map(|ranges| ranges.len()).max().unwrap_or(0);
    for _ in 0..most {
        for (outlet, bodies) in outlets.iter().zip(&mut bodies) {
            if let Ok(Item::Segment { payload, .. }) = outlet.recv().await {
                bodies.push(payload.as_slice().to_vec());
            }
        }
    }
    while let Some(ended) = stages.join_next().await {
        ended.unwrap().unwrap();
    }
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn tracks_of_one_file_never_wait_for_each_other_in_a_circle() {
    let video = in_a_row(1000, 40_000, 40);
    let audio = in_a_row(1_700_000, 6_000, 40);
    let backwards: Vec<_> = in_a_row(0, 30_000, 40).into_iter().rev().collect();
    let seeds = 2;
    for seed in 0..seeds {
        for (budget, ignored) in [(50_000, 0), (50_000, 30), (300_000, 30), (50_000, 100), (8 << 20, 50)] {
            let server = server(vec![
                Rule::new("/f", Fault::Truncate { at: 15_000 }).percent(10, seed),
                Rule::new("/f", Fault::Reset { at: 1_000 }).percent(10, seed + 1000),
                Rule::new("/f", Fault::status(503)).percent(10, seed + 2000),
                Rule::new("/f", Fault::IgnoreRange).percent(ignored, seed + 3000),
            ]);
            let wanted: [&[(u64, u64)]; 3] = [&video, &audio, &backwards];
            let bodies = tokio::time::timeout(Duration::from_secs(60), tracks(&server, budget, &wanted)).await;
            let bodies = bodies.unwrap_or_else(|_| panic!("seed {seed}, {budget} bytes, {ignored} % ignored: stuck"));
            for (bodies, wanted) in bodies.iter().zip(wanted) {
                assert!(
                    *bodies == cut(wanted),
                    "seed {seed}, {budget} bytes, {ignored} % ignored: other bytes"
                );
            }
        }
    }
}
