//! Each fault that the fixture server knows, on everything that a stream is made of: whole in the end, or the right error.

use fixture_server::{Fault, Live, Rule, Stream, Variant};

use super::*;

/// Streams of several kinds of resource: playlist, keys, Media Initialization Section, segments, ranges of one file.
const STREAMS: [(&str, &str); 2] = [("fmp4", "/s/aes-fmp4-init/index.m3u8"), ("ranges", "/s/aes-byte-ranges/index.m3u8")];

pub(super) fn scenarios() -> Vec<Scenario> {
    [passing(), harmless(), fatal(), by_chance(), failover()].concat()
}

/// The table is made once, so that a name that is put together may live as long as it.
fn named(parts: &[&str]) -> &'static str {
    Box::leak(parts.join("-").into_boxed_str())
}

fn whole(name: &'static str, stream: &str, path: &'static str) -> Scenario {
    let media = if stream == "fmp4" { "high-fmp4" } else { "high-ts" };
    let mut args = quick();
    args.extend(["--format", "raw"]);
    Scenario {
        args,
        outcome: Outcome::Concatenation(Reference::all(media)),
        ..to_ts(name, path)
    }
}

fn status(status: u16, retry_after: Option<&str>) -> Fault {
    Fault::Status {
        status,
        retry_after: retry_after.map(Into::into),
    }
}

fn empty() -> Fault {
    Fault::Body {
        content_type: "video/mp2t".into(),
        text: String::new(),
    }
}

/// Patience for tests: what fails does so soon, and comes back soon.
fn quick() -> Vec<&'static str> {
    vec!["--retry-delay", "10ms", "--timeout", "1s"]
}

/// What hits every resource once.
fn passing() -> Vec<Scenario> {
    let everything = ["*"].as_slice();
    // Pages and keys that are not there are believed at once, and an empty page is one.
    let media = ["*.ts", "*.m4s", "*.mp4"].as_slice();
    let faults = [
        ("request-timeout", status(408, None), everything),
        ("too-early", status(425, None), everything),
        ("too-many-requests", status(429, Some("0")), everything),
        ("server-error", status(500, None), everything),
        ("unavailable", status(503, Some("Fri, 31 Dec 1999 23:59:59 GMT")), everything),
        ("not-found-yet", status(404, None), media),
        ("gone-for-a-moment", status(410, None), media),
        ("empty", empty(), media),
        ("cut-short", Fault::Truncate { at: 100 }, everything),
        ("cut-at-the-start", Fault::Truncate { at: 0 }, everything),
        ("reset", Fault::Reset { at: 100 }, everything),
        ("hang-up", Fault::HangUp, everything),
        ("stall", Fault::Stall { at: 100 }, everything),
        ("silence", Fault::Delay { milliseconds: 3000 }, everything),
    ];
    let mut scenarios = Vec::new();
    for (stream, path) in STREAMS {
        for (fault, what, paths) in &faults {
            // An empty resource has no ranges: the answer is 416.
            if (stream, *fault) == ("ranges", "empty") {
                continue;
            }
            scenarios.push(Scenario {
                rules: paths.iter().map(|path| Rule::new(*path, what.clone()).times(1)).collect(),
                ..whole(named(&["every-fault/once", stream, fault]), stream, path)
            });
        }
    }
    scenarios
}

/// What every answer has, and what does no harm.
fn harmless() -> Vec<Scenario> {
    let other_type = Fault::Headers(vec![
        ("Content-Type".into(), "text/plain".into()),
        ("ETag".into(), "W/\"x\"".into()),
    ]);
    let declared = Fault::Headers(vec![("Content-Encoding".into(), "gzip".into())]);
    let redirect = Fault::Redirect {
        status: 307,
        to: "{{other}}{{path}}".into(),
    };
    let faults = [
        ("misleading-headers", vec![other_type]),
        ("late", vec![Fault::Delay { milliseconds: 50 }]),
        ("dripping", vec![Fault::Trickle { bytes_per_second: 200_000 }]),
        ("ignored-range", vec![Fault::IgnoreRange]),
        ("short-range", vec![Fault::CapRange { bytes: 20_000 }]),
        ("tiny-range", vec![Fault::CapRange { bytes: 1500 }]),
        (
            "failed-range",
            vec![Fault::FailRange {
                status: Some(416),
                over: 0,
            }],
        ),
        ("undeclared-gzip", vec![Fault::UndeclaredGzip]),
        ("gzip-unasked", vec![Fault::UndeclaredGzip, declared]),
        ("redirect", vec![redirect]),
    ];
    let mut scenarios = Vec::new();
    for (stream, path) in STREAMS {
        for (fault, what) in &faults {
            // A range of something compressed is none; a redirect from everything leads around for ever.
            let (compressed, redirected) = (fault.contains("gzip"), *fault == "redirect");
            if compressed && stream == "ranges" {
                continue;
            }
            let rules = what.iter().map(|what| {
                let rule = Rule::new("*", what.clone());
                if redirected { rule.times(1) } else { rule }
            });
            scenarios.push(Scenario {
                rules: rules.collect(),
                ..whole(named(&["every-fault/always", stream, fault]), stream, path)
            });
        }
    }
    scenarios
}

/// What no patience mends: it is told as what it is.
fn fatal() -> Vec<Scenario> {
    let kinds = [
        ("segment", "/s/aes-fmp4-init/3.m4s", "/s/aes-fmp4-init/index.m3u8", "3.m4s"),
        ("key", "/s/aes-fmp4-init/key1.bin", "/s/aes-fmp4-init/index.m3u8", "key1.bin"),
        ("init", "/s/aes-fmp4-init/init.mp4", "/s/aes-fmp4-init/index.m3u8", "init.mp4"),
        ("range", "/s/byte-ranges/all.ts", "/s/byte-ranges/index.m3u8", "all.ts"),
        ("playlist", "/s/variants/v1/index.m3u8", "/s/variants/index.m3u8", "v1/index.m3u8"),
    ];
    let faults = [
        ("unauthorized", status(401, None), "401"),
        ("forbidden", status(403, None), "403"),
        ("not-found", status(404, None), "404"),
        ("gone", status(410, None), "410"),
        ("server-error", status(500, None), "500"),
        ("asked-to-wait-for-hours", status(503, Some("9999")), "503"),
        ("cut-short", Fault::Truncate { at: 3 }, "cut short"),
        ("hang-up", Fault::HangUp, "connection broke"),
    ];
    let mut scenarios = Vec::new();
    for (kind, hit, path, said) in kinds {
        for (fault, what, word) in &faults {
            // Each fault on segments, and each kind with those that only it could take for something else.
            if kind != "segment" && !matches!(*fault, "forbidden" | "hang-up") {
                continue;
            }
            let mut args = quick();
            args.extend(["--retries", "2"]);
            scenarios.push(Scenario {
                output: "out.mp4",
                rules: vec![Rule::new(hit, what.clone())],
                args,
                says: vec![said, *word],
                ..fails(named(&["every-fault/never", kind, fault]), path)
            });
        }
    }
    scenarios.push(Scenario {
        rules: vec![Rule::new("*/all.ts", Fault::UndeclaredGzip)],
        says: vec!["all.ts", "compressed"],
        ..fails("every-fault/never-range-undeclared-gzip", "/s/byte-ranges/index.m3u8")
    });
    scenarios.push(Scenario {
        rules: vec![Rule::new("*/all.ts", Fault::WrongContentRange { by: 1 })],
        says: vec!["all.ts", "Content-Range"],
        ..fails("every-fault/never-range-wrong-content-range", "/s/aes-byte-ranges/index.m3u8")
    });
    scenarios
}

/// A mixture of faults on a share of all requests.
fn by_chance() -> Vec<Scenario> {
    let twenty_rounds: Vec<usize> = (0..120).map(|position| position % 6).collect();
    // Each of five kinds hits so many of a hundred: together 5, 20 and 50.
    [("5", 1, "8"), ("20", 4, "12"), ("50", 13, "40")]
        .into_iter()
        .map(|(share, each, retries)| {
            let rule = |fault, seed| Rule::new("*", fault).percent(each, seed);
            Scenario {
                rules: vec![
                    rule(status(503, None), 1),
                    rule(Fault::Truncate { at: 3_000 }, 2),
                    rule(Fault::Reset { at: 6_000 }, 3),
                    rule(Fault::HangUp, 4),
                    rule(Fault::Stall { at: 2_000 }, 5),
                ],
                args: vec![
                    "--retries",
                    retries,
                    "--retry-delay",
                    "5ms",
                    "--timeout",
                    "300ms",
                    "--format",
                    "raw",
                ],
                outcome: Outcome::Concatenation(Reference::some("high-ts", &twenty_rounds)),
                ..to_ts(named(&["every-fault/chance", share]), "/s/long/index.m3u8")
            }
        })
        .collect()
}

/// Two Variant Streams that are the same: one stands in for the other.
fn failover() -> Vec<Scenario> {
    let twin = || Stream {
        variants: vec![Variant::default(), Variant::default()],
        ..Stream::default()
    };
    let with = |name, stream, rules| Scenario {
        streams: vec![("twin", stream)],
        rules,
        args: vec!["--retries", "1", "--retry-delay", "10ms"],
        ..to_ts(name, "/s/twin/index.m3u8")
    };
    let sealed = Stream {
        encryption: Some(fixture_server::Encryption::default()),
        ..twin()
    };
    let live = Stream {
        live: Some(Live {
            window: 4,
            first: 3,
            advance: fixture_server::Advance::Reload,
            endless: false,
            unended: false,
        }),
        ..twin()
    };
    vec![
        with(
            "failover/playlist",
            twin(),
            vec![Rule::new("/s/twin/v0/index.m3u8", Fault::status(404))],
        ),
        Scenario {
            asked: vec![Asked::exactly("/s/twin/v1/3.ts", 1), Asked::exactly("/s/twin/v1/0.ts", 0)],
            ..with("failover/segment", twin(), vec![Rule::new("/s/twin/v0/3.ts", Fault::status(404))])
        },
        with("failover/all-segments", twin(), vec![Rule::new("/s/twin/v0/*.ts", Fault::HangUp)]),
        with("failover/forbidden", sealed, vec![Rule::new("/s/twin/v0/*.ts", Fault::status(403))]),
        with(
            "failover/live-playlist",
            live.clone(),
            vec![Rule::new("/s/twin/v0/index.m3u8", Fault::status(500)).skip(2)],
        ),
        with(
            "failover/live-segments",
            live,
            vec![Rule::new("/s/twin/v0/*.ts", Fault::status(500))],
        ),
        Scenario {
            exit: 1,
            outcome: Outcome::Nothing,
            says: vec!["404", "segment 3", "/s/twin/v0/3.ts"],
            ..with("failover/nowhere", twin(), vec![Rule::new("/s/twin/*/3.ts", Fault::status(404))])
        },
        steered(
            "failover/cloned-pathway",
            "/s/gone/index.m3u8",
            r#"["one","two"],"PATHWAY-CLONES":[{"BASE-ID":"one","ID":"bad","URI-REPLACEMENT":{"PARAMS":{"n":1}}},
            {"BASE-ID":"one","ID":"two","URI-REPLACEMENT":{"PER-VARIANT-URIS":{"v":"/s/plain-ts/index.m3u8"}}}]"#,
        ),
        steered(
            "failover/pathway-that-cannot-be-cloned",
            "/s/plain-ts/index.m3u8",
            r#"["two","one"],"PATHWAY-CLONES":[{"BASE-ID":"three","ID":"two","URI-REPLACEMENT":{}}]"#,
        ),
        Scenario {
            input: Input::File(
                "list.m3u8",
                "#EXTM3U\n\
                 #EXT-X-CONTENT-STEERING:SERVER-URI=\"data:application/json,{%22VERSION%22:1,\
                 %22PATHWAY-PRIORITY%22:[%22two%22,%22one%22],%22PATHWAY-CLONES%22:[{%22BASE-ID%22:%22one%22,%22ID%22:%22two%22,\
                 %22URI-REPLACEMENT%22:{%22HOST%22:%22{{address}}%22}}]}\"\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"one\"\nhttp://gone.example/s/plain-ts/index.m3u8\n",
            ),
            ..to_ts("failover/cloned-pathway-goes-first", "")
        },
    ]
}

/// A Variant Stream at that address, and a steering manifest with these pathways.
fn steered(name: &'static str, variant: &'static str, pathways: &str) -> Scenario {
    let playlist = format!(
        "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"one\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"one\",STABLE-VARIANT-ID=\"v\"\n{variant}\n"
    );
    let manifest = format!(r#"{{"VERSION":1,"TTL":300,"PATHWAY-PRIORITY":{pathways}}}"#);
    Scenario {
        files: vec![("/steered.m3u8", playlist.leak()), ("/steering.json", manifest.leak())],
        args: vec!["--retries", "1", "--retry-delay", "10ms"],
        asked: vec![Asked::exactly("/steering.json", 1), Asked::exactly("/s/plain-ts/*.ts", 6)],
        ..to_ts(name, "/steered.m3u8")
    }
}
