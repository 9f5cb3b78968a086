//! A server that misbehaves, and an output that is right all the same.

use fixture_server::{Fault, Rule};

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    let with = |name, rules| Scenario {
        rules,
        ..to_ts(name, "/s/plain-ts/index.m3u8")
    };
    let twenty_rounds: Vec<usize> = (0..120).map(|position| position % 6).collect();
    let redirect = |status, to: &str| Fault::Redirect { status, to: to.into() };
    vec![
        with(
            "faults/busy-at-first",
            vec![
                Rule::new("/s/plain-ts/index.m3u8", Fault::status(500)).times(1),
                Rule::new("/s/plain-ts/1.ts", Fault::status(503)).times(2),
                Rule::new(
                    "/s/plain-ts/4.ts",
                    Fault::Status {
                        status: 429,
                        retry_after: Some("1".into()),
                    },
                )
                .times(1),
            ],
        ),
        Scenario {
            asked: vec![Asked::exactly("*/2.ts", 2), Asked::exactly("*/2.ts", 1).with("range", "bytes=")],
            ..with(
                "faults/cut-short-and-resumed",
                vec![Rule::new("*/2.ts", Fault::Truncate { at: 10_000 }).times(1)],
            )
        },
        Scenario {
            args: vec!["--timeout", "2s"],
            ..with("faults/stall", vec![Rule::new("*/3.ts", Fault::Stall { at: 5_000 }).times(1)])
        },
        Scenario {
            args: vec!["--timeout", "2s"],
            ..with(
                "faults/silent-from-the-start",
                vec![Rule::new("*/0.ts", Fault::Stall { at: 0 }).times(1)],
            )
        },
        with("faults/reset", vec![Rule::new("*/1.ts", Fault::Reset { at: 7_000 }).times(1)]),
        with("faults/hang-up", vec![Rule::new("*/5.ts", Fault::HangUp).times(1)]),
        with(
            "faults/same-origin-redirect",
            vec![Rule::new("*/2.ts", redirect(302, "/s/low-ts/../plain-ts/2.ts")).times(1)],
        ),
        Scenario {
            args: vec!["-H", "Authorization: Bearer SECRET"],
            asked: vec![
                Asked::exactly("*/2.ts", 1).elsewhere(),
                Asked::exactly("*", 0).elsewhere().with("authorization", ""),
                Asked::at_least("*", 7).with("authorization", "Bearer SECRET"),
            ],
            hides: vec!["SECRET"],
            ..with(
                "faults/redirect-to-another-origin-without-credentials",
                vec![Rule::new("/s/plain-ts/2.ts", redirect(307, "{{other}}{{path}}")).times(1)],
            )
        },
        Scenario {
            rules: vec![Rule::new("*/all.ts", Fault::IgnoreRange)],
            ..to_ts("faults/ignored-range", "/s/byte-ranges/index.m3u8")
        },
        Scenario {
            rules: vec![
                Rule::new(
                    "*.ts",
                    Fault::Status {
                        status: 503,
                        retry_after: Some("0".into()),
                    },
                )
                .percent(20, 7),
            ],
            args: vec!["--retries", "10", "--format", "raw"],
            outcome: Outcome::Concatenation(Reference::some("high-ts", &twenty_rounds)),
            ..to_ts("faults/every-fifth-request-refused", "/s/long/index.m3u8")
        },
        Scenario {
            rules: vec![
                Rule::new("*.ts", Fault::Truncate { at: 3_000 }).percent(10, 1),
                Rule::new("*.ts", Fault::Reset { at: 6_000 }).percent(10, 2),
            ],
            args: vec!["--retries", "10", "--format", "raw"],
            outcome: Outcome::Concatenation(Reference::some("high-ts", &twenty_rounds)),
            ..to_ts("faults/every-fifth-body-broken", "/s/long/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("*.ts", Fault::Delay { milliseconds: 40 })],
            args: vec!["--concurrency", "3", "--format", "raw"],
            outcome: Outcome::Concatenation(Reference::some("high-ts", &twenty_rounds)),
            open_at_most: Some(("*", 3)),
            open_at_least: Some(("*.ts", 2)),
            asked: vec![Asked::exactly("*.ts", 120)],
            ..to_ts("faults/no-more-requests-at-once-than-asked-for", "/s/long/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("*/0.ts", Fault::Trickle { bytes_per_second: 40_000 })],
            ..to_ts("faults/order-holds-when-the-first-is-slowest", "/s/plain-ts/index.m3u8")
        },
    ]
}
