//! What is told meanwhile. With `--json` every line is an event that the schema allows, and the last is the report.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use e2e::bench::{Bench, PATIENCE, expect};
use e2e::binary;
use e2e::schema;
use fixture_server::{Fault, Rule};
use serde_json::Value;

fn events(bytes: &[u8]) -> Vec<Value> {
    schema::check_events(std::str::from_utf8(bytes).unwrap()).unwrap()
}

fn of<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == kind)
}

#[tokio::test]
async fn every_segment_is_told_and_the_report_comes_last() {
    let gap = Rule::new("/s/plain-ts/2.ts", Fault::status(403));
    let retried = Rule::new("/s/plain-ts/4.ts", Fault::status(503)).times(1);
    let bench = Bench::new(vec![gap, retried]);
    let args = ["-o", "out.ts", "--json", "--on-missing", "gap", "--report", "report.json"];
    let finished = bench.fetch(&args, "/s/plain-ts/index.m3u8?token=SECRET").await;
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (Some(3), ""),
        "nothing is told to people"
    );
    let text = String::from_utf8(finished.stdout.clone()).unwrap();
    assert!(!text.contains("SECRET"));
    let events = events(&finished.stdout);
    let fates: Vec<_> = of(&events, "segment")
        .map(|event| (event["msn"].as_u64().unwrap(), event["fate"].as_str().unwrap()))
        .collect();
    let expected = [
        (0, "written"),
        (1, "written"),
        (2, "failed"),
        (3, "written"),
        (4, "written"),
        (5, "written"),
    ];
    assert_eq!(fates, expected);
    assert_eq!(of(&events, "retry").count(), 1);
    assert_eq!(of(&events, "begin").count(), 1);
    assert!(of(&events, "log").any(|event| event["level"] == "warn"));
    let progress = of(&events, "progress").last().unwrap();
    assert_eq!(
        (progress["segments"].as_u64(), progress["segments_missing"].as_u64()),
        (Some(5), Some(1))
    );
    let last = events.last().unwrap();
    assert_eq!(last["event"], "report");
    let written: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
    assert_eq!(last["report"], written);
    assert_eq!((&written["outcome"], &written["exit_code"]), (&"gaps".into(), &3.into()));
}

#[tokio::test]
async fn events_leave_standard_output_to_the_stream() {
    let bench = Bench::new(Vec::new());
    let finished = bench.fetch(&["-o", "-", "--json"], "/s/plain-ts/index.m3u8").await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(finished.stdout.first(), Some(&0x47), "MPEG-TS");
    let events = events(finished.stderr.as_bytes());
    assert_eq!(events.last().unwrap()["report"]["outcome"], "whole");
}

#[tokio::test]
async fn a_failure_is_an_error_and_then_a_report_wherever_it_happened() {
    for (path, args, code) in [
        ("/s/none/index.m3u8", &[][..], 1),
        ("/site/no-video", &[], 4),
        ("/s/plain-ts/index.m3u8", &["--retries", "0"], 1),
    ] {
        let bench = Bench::new(vec![
            Rule::new("/s/plain-ts/3.ts", Fault::status(404)),
            Rule::new("/site/no-video", Fault::page()),
        ]);
        let args = [&["-o", "out.ts", "--json", "--report", "report.json"], args].concat();
        let finished = bench.fetch(&args, path).await;
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(code), ""), "{path}");
        let events = events(&finished.stdout);
        assert_eq!(of(&events, "error").next().unwrap()["exit_code"], code, "{path}");
        let report = &events.last().unwrap()["report"];
        assert_eq!(
            (&report["outcome"], &report["exit_code"]),
            (&"failed".into(), &code.into()),
            "{path}"
        );
        let written: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
        assert_eq!(*report, written, "{path}");
    }
}

#[tokio::test]
async fn what_policy_refuses_is_reported_and_what_cannot_be_used_is_not() {
    let bench = Bench::new(Vec::new());
    let refused = ["--report", "report.json", "-o", "out.mp4", "gopher://host.example/film.m3u8"];
    expect(&bench.run(&refused).await, 2, "");
    assert!(!bench.path("report.json").exists(), "of a command that cannot be used");
    // A page on a public network names this machine.
    bench.write(
        "index.m3u8",
        bench
            .server
            .render("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
            .as_bytes(),
    );
    let refused = ["--report", "report.json", "-o", "out.ts", "index.m3u8"];
    expect(&bench.run(&refused).await, 5, "");
    let report: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"failed".into(), &5.into()));
    // A report never takes the place of a film.
    bench.write("film.ts", b"precious");
    let args = ["--report", "film.ts", "-o", "film.ts", "--overwrite"];
    expect(&bench.fetch(&args, "/s/none/index.m3u8").await, 2, "would replace the output");
    assert_eq!(bench.read("film.ts"), b"precious");
}

#[tokio::test]
async fn a_report_or_an_event_that_is_not_as_its_schema_says_is_refused() {
    let bench = Bench::new(vec![Rule::new("/s/plain-ts/2.ts", Fault::status(403))]);
    let args = ["-o", "out.ts", "--on-missing", "gap", "--report", "report.json"];
    bench.fetch(&args, "/s/plain-ts/index.m3u8").await;
    let good: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
    schema::check_report(&good.to_string()).unwrap();
    let mutations: [(&str, Value); 10] = [
        ("/version", 2.into()),
        ("/outcome", "fine".into()),
        ("/exit_code", 7.into()),
        ("/selection/stream", 0.into()),
        ("/outputs/0/bytes", Value::from(-1)),
        ("/outputs/0/tracks/0/kind", "film".into()),
        ("/outputs/0/units/0/fate", "lost".into()),
        ("/outputs/0/units/0/piece", Value::Null),
        ("/outputs/0/units/0/piece/sha256", "abc".into()),
        ("/outputs/0/units/2/why", 3.into()),
    ];
    for (place, value) in mutations {
        let mut wrong = good.clone();
        *wrong.pointer_mut(place).unwrap() = value;
        assert!(schema::check_report(&wrong.to_string()).is_err(), "{place}");
        let event = serde_json::json!({"event": "report", "report": wrong});
        assert!(schema::check_events(&event.to_string()).is_err(), "{place} in an event");
    }
    for event in [
        r#"{"event":"unknown"}"#,
        r#"{"event":"note"}"#,
        r#"{"event":"note","message":"a","more":1}"#,
        r#"{"event":"segment","track":0,"msn":1,"fate":"written"}"#,
        "[]",
        "text",
    ] {
        assert!(schema::check_events(event).is_err(), "{event}");
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_hold_up_the_stream() {
    let bench = Bench::new(Vec::new());
    let mut command = binary::command(bench.folder()).unwrap();
    let url = bench.server.url("/s/synthetic-1000/index.m3u8");
    // More than a pipe holds, and more than wait.
    command.env("AQUEDUCT_LOG", "trace").args(["-o", "out.ts", &url]);
    let child = command.spawn().unwrap();
    let all = bench.server.stats().wait_until(|tally| {
        let ended = tally.matching("*.ts").filter(|exchange| exchange.ended.is_some());
        ended.count() == 1000
    });
    tokio::time::timeout(PATIENCE, all).await.expect("all segments are asked for");
    let finished = binary::finish(child, PATIENCE).await.unwrap();
    expect(&finished, 0, "log lines were left out");
    expect(&finished, 0, "whole: 1000 segments");
    assert_eq!(bench.names(), ["out.ts"]);
}

#[tokio::test]
async fn a_signal_ends_what_waits_for_somebody_to_read_the_log() {
    let bench = Bench::new(Vec::new());
    let mut command = binary::command(bench.folder()).unwrap();
    let url = bench.server.url("/s/synthetic-1000/index.m3u8");
    command.env("AQUEDUCT_LOG", "trace").args(["-o", "out.ts", &url]);
    let mut child = command.spawn().unwrap();
    let named = async {
        while bench.names() != ["out.ts"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, named).await.expect("the whole stream");
    let stderr = child.stderr.take();
    let ended = async {
        loop {
            binary::interrupt(&child).unwrap();
            // One that came before all was done ended nothing.
            if let Ok(ended) = tokio::time::timeout(PATIENCE / 30, child.wait()).await {
                return ended.unwrap();
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    assert_eq!(ended.code(), Some(0));
    drop(stderr);
}
