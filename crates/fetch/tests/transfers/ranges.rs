//! Ranges of one file: asked for together, ignored, cut into pieces, and failed at.

use super::*;

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
        // 80 answers hold it all; how many requests share them depends on how soon each is answered.
        ("shortened", vec![Rule::new("/f", Fault::CapRange { bytes: 25_000 })], 1 << 20, 150),
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
