//! Runs that follow one another: what one leaves, the next takes up, or refuses with a reason.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "resume/folders.rs"]
mod folders;
#[path = "resume/gaps.rs"]
mod gaps;
#[path = "resume/live.rs"]
mod live;
#[path = "resume/names.rs"]
mod names;
#[path = "resume/pathways.rs"]
mod pathways;
#[path = "resume/plain.rs"]
mod plain;
#[path = "resume/shapes.rs"]
mod shapes;
#[path = "resume/splits.rs"]
mod splits;

use std::path::Path;

use e2e::bench::{Bench, PATIENCE, expect, tree};
use e2e::binary::{self, Finished};
use fixture_server::{Config, Fault, Rule};

/// What an undisturbed run gives.
async fn undisturbed(args: &[&str], path: &str, output: &str) -> Vec<u8> {
    let bench = Bench::new(Vec::new());
    let finished = bench.fetch(args, path).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    std::fs::read(bench.path(output)).unwrap()
}

fn media(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn after_ctrl_c_there_is_a_playable_file_and_the_same_command_goes_on_to_the_whole() {
    for (output, path) in [
        ("out.ts", "/s/long/index.m3u8"),
        ("out.mp4", "/s/long/index.m3u8"),
        ("out.mp4", "/s/alternate-audio-fmp4/index.m3u8"),
        ("out.mkv", "/s/alternate-audio/index.m3u8"),
    ] {
        let args = ["-o", output, "--concurrency", "2", "--buffer", "70K"];
        let slow = |path| Rule::new(path, Fault::Delay { milliseconds: 20 });
        let bench = Bench::new(vec![slow("*.ts"), slow("*.m4s")]);
        let stopped = bench.interrupted(&args, path, 5).await;
        expect(&stopped, 130, "interrupted");
        assert_eq!(bench.names(), [output.to_owned(), format!("{output}.part.journal")]);
        let beginning = media(&bench.path(output));
        let again = bench.fetch(&args, path).await;
        expect(&again, 0, "whole");
        assert_eq!(bench.names(), [output]);
        let whole = undisturbed(&args, path, output).await;
        assert!(media(&bench.path(output)) == whole, "{path} to {output}: the outputs differ");
        assert!(beginning.len() < whole.len());
        if output.ends_with("ts") {
            assert!(whole.starts_with(&beginning));
        }
        let twice = bench.asked("*.ts") + bench.asked("*.m4s");
        let once = Bench::new(Vec::new());
        once.fetch(&args, path).await;
        let segments = once.asked("*.ts") + once.asked("*.m4s");
        assert!(twice <= segments + 6, "{twice} requests for {segments} segments");
    }
}

#[tokio::test]
async fn another_stream_on_the_name_of_an_interrupted_one_changes_nothing() {
    for shape in [
        &["-o", "film.ts"][..],
        &["-o", "film.mp4"],
        &["--format", "hls", "-o", "film"],
        &["--split", "discontinuity", "-o", "film.ts"],
    ] {
        let args = [shape, &["--concurrency", "2", "--buffer", "70K"]].concat();
        let bench = Bench::new(vec![Rule::new("*.ts", Fault::Delay { milliseconds: 20 })]);
        expect(&bench.interrupted(&args, "/s/long/index.m3u8", 5).await, 130, "interrupted");
        let left = tree(bench.folder());
        assert!(
            left.len() > 1 && left.iter().all(|(name, _)| !name.contains(".part/")),
            "{:?}",
            bench.names()
        );
        for other in ["/s/plain-ts/index.m3u8", "/s/low-ts/index.m3u8"] {
            expect(&bench.fetch(&args, other).await, 2, "another stream");
            assert!(tree(bench.folder()) == left, "{shape:?}: {:?}", bench.names());
        }
        // Nor does a run that gets nothing, where a muxer has nothing to complete.
        if shape == ["-o", "film.ts"] {
            bench.server.set_rules(vec![Rule::new("*.ts", Fault::status(404))]);
            expect(&bench.fetch(&args, "/s/long/index.m3u8").await, 1, "carries on");
            assert!(tree(bench.folder()) == left, "{:?}", bench.names());
        }
        // Nor does one that is killed while it waits for the first byte, but for an empty part.
        let known = bench.segments();
        bench.server.set_rules(vec![Rule::new("*.ts", Fault::Stall { at: 0 })]);
        let mut killed = bench.start(&args, "/s/long/index.m3u8");
        let asked = bench.server.stats().wait_until(|tally| tally.matching("*.ts").count() > known);
        tokio::time::timeout(PATIENCE, asked).await.expect("a request");
        killed.kill().await.expect("a process to kill");
        let has = |(name, bytes): &(String, Vec<u8>)| tree(bench.folder()).iter().any(|there| there.0 == *name && there.1 == *bytes);
        assert!(left.iter().all(has), "{shape:?}: {:?}", bench.names());
        bench.server.set_rules(Vec::new());
        expect(&bench.fetch(&args, "/s/long/index.m3u8").await, 0, "whole");
    }
}

#[tokio::test]
async fn addresses_that_expire_are_asked_for_again_as_long_as_that_brings_something() {
    let args = ["-o", "out.ts", "--concurrency", "2", "--buffer", "70K", "--retries", "0"];
    for status in [401, 403, 410] {
        let bench = Bench::new(vec![
            Rule::new("/s/long/40.ts", Fault::status(status)).times(1),
            Rule::new("/s/long/80.ts", Fault::status(status)).times(1),
        ]);
        let finished = bench.fetch(&args, "/s/long/index.m3u8").await;
        expect(&finished, 0, "addresses have expired after 40 segments");
        assert!((3..10).contains(&bench.asked("*/index.m3u8")));
        assert!(media(&bench.path("out.ts")) == undisturbed(&args, "/s/long/index.m3u8", "out.ts").await);
    }
    let bench = Bench::new(vec![Rule::new("/s/long/40.ts", Fault::status(403))]);
    let finished = bench.fetch(&args, "/s/long/index.m3u8").await;
    expect(&finished, 1, "segment 40");
    expect(&finished, 1, "the same command carries on from there");
    assert!(bench.asked("*/index.m3u8") < 10, "once more, and not for ever");
    assert_eq!(bench.names(), ["out.ts.part", "out.ts.part.journal"]);
}

#[tokio::test]
async fn a_failure_keeps_what_was_fetched_and_another_stream_is_not_mixed_with_it() {
    let bench = Bench::new(vec![Rule::new("/s/plain-ts/3.ts", Fault::status(404)).times(3)]);
    let args = ["-o", "out.ts"];
    expect(
        &bench.fetch(&args, "/s/plain-ts/index.m3u8").await,
        1,
        "the same command carries on",
    );
    assert_eq!(bench.names(), ["out.ts.part", "out.ts.part.journal"]);
    let part = media(&bench.path("out.ts.part"));
    assert!(part.len() > 90_000, "the segments before the failure are there");
    expect(&bench.fetch(&args, "/s/low-ts/index.m3u8").await, 2, "its address was");
    assert!(media(&bench.path("out.ts.part")) == part, "it was touched");
    expect(&bench.fetch(&args, "/s/plain-ts/index.m3u8").await, 0, "whole");
    assert!(media(&bench.path("out.ts")) == undisturbed(&args, "/s/plain-ts/index.m3u8", "out.ts").await);
    assert_eq!(bench.asked("/s/plain-ts/0.ts"), 1);

    let bench = Bench::new(vec![Rule::new("/s/plain-ts/3.ts", Fault::status(404)).times(3)]);
    bench.fetch(&args, "/s/plain-ts/index.m3u8").await;
    let replaced = bench.fetch(&["-o", "out.ts", "--overwrite"], "/s/low-ts/index.m3u8").await;
    expect(&replaced, 0, "whole");
    assert!(media(&bench.path("out.ts")) == undisturbed(&args, "/s/low-ts/index.m3u8", "out.ts").await);
}

/// A playlist of the six segments of `/s/plain-ts`, below this folder.
fn playlist_below(folder: &str) -> Fault {
    let segments: String = (0..6).map(|msn| format!("#EXTINF:2,\n{folder}/{msn}.ts\n")).collect();
    Fault::Body {
        content_type: "application/vnd.apple.mpegurl".into(),
        text: format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}#EXT-X-ENDLIST\n"),
    }
}

#[tokio::test]
async fn a_token_in_the_path_may_be_another_in_the_next_run_and_is_not_kept() {
    let token = |exp: u32, hmac: &str| format!("/exp={exp}~acl=*~hmac={hmac}");
    let (first, second) = (token(1_700_000_000, "SECRET1"), token(1_700_086_400, "SECRET2"));
    let mut rules = vec![
        Rule::new("/today.m3u8", playlist_below(&first)),
        Rule::new("/tomorrow.m3u8", playlist_below(&second)),
        Rule::new("*SECRET1*/3.ts", Fault::status(404)),
    ];
    rules.extend((0..6).map(|msn| {
        let to = format!("/s/plain-ts/{msn}.ts");
        Rule::new(format!("/exp=*/{msn}.ts"), Fault::Redirect { status: 302, to })
    }));
    let bench = Bench::new(rules);
    let args = ["-o", "out.ts", "--report", "report.json"];
    let told = |name: &str| String::from_utf8_lossy(&media(&bench.path(name))).contains("SECRET");
    expect(&bench.fetch(&args, "/today.m3u8").await, 1, "the same command carries on");
    assert!(!told("out.ts.part.journal") && !told("report.json"));
    expect(&bench.fetch(&args, "/tomorrow.m3u8").await, 0, "whole");
    assert!(!told("report.json"));
    assert!(media(&bench.path("out.ts")) == undisturbed(&["-o", "out.ts"], "/s/plain-ts/index.m3u8", "out.ts").await);
    assert_eq!(bench.asked("/exp=*/0.ts"), 1, "it was taken up");
}

#[tokio::test]
async fn a_part_file_of_somebody_else_is_left_alone_unless_told_otherwise() {
    let bench = Bench::new(Vec::new());
    std::fs::write(bench.path("out.ts.part"), "precious").unwrap();
    expect(
        &bench.fetch(&["-o", "out.ts"], "/s/plain-ts/index.m3u8").await,
        2,
        "out.ts.part is there already",
    );
    assert_eq!(media(&bench.path("out.ts.part")), b"precious");
    assert_eq!(bench.asked("*"), 0, "it is told before anything is asked for");
    expect(
        &bench.fetch(&["-o", "out.ts", "--overwrite"], "/s/plain-ts/index.m3u8").await,
        0,
        "whole",
    );
    assert_eq!(bench.names(), ["out.ts"]);
}

#[tokio::test]
async fn no_resume_begins_anew() {
    let bench = Bench::new(vec![Rule::new("/s/plain-ts/3.ts", Fault::status(404)).times(3)]);
    bench.fetch(&["-o", "out.ts"], "/s/plain-ts/index.m3u8").await;
    expect(
        &bench.fetch(&["-o", "out.ts", "--no-resume"], "/s/plain-ts/index.m3u8").await,
        0,
        "whole",
    );
    assert_eq!(bench.asked("/s/plain-ts/0.ts"), 2);
}

#[tokio::test]
async fn subtitles_and_the_film_are_taken_up_together() {
    let args = ["-o", "out.mp4", "--subs", "all"];
    let bench = Bench::new(vec![Rule::new("*/4.ts", Fault::status(404)).times(3)]);
    expect(&bench.fetch(&args, "/s/subtitles/index.m3u8").await, 1, "carries on");
    expect(&bench.fetch(&args, "/s/subtitles/index.m3u8").await, 0, "whole");
    assert_eq!(bench.names(), ["out.en.vtt", "out.mp4"]);
    for output in ["out.en.vtt", "out.mp4"] {
        assert!(
            media(&bench.path(output)) == undisturbed(&args, "/s/subtitles/index.m3u8", output).await,
            "{output}"
        );
    }
}

#[tokio::test]
async fn the_report_names_every_segment_and_accounts_for_every_byte() {
    let digest = |bytes: &[u8]| -> String {
        use sha2::Digest;
        sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    for (output, path, rules, code) in [
        ("out.ts", "/s/plain-ts/index.m3u8?token=SECRET", vec![], 0),
        ("out.mp4", "/s/alternate-audio/index.m3u8", vec![], 0),
        ("out.ts", "/s/plain-ts/index.m3u8", vec![Rule::new("*/2.ts", Fault::status(403))], 3),
    ] {
        let bench = Bench::new(rules);
        let args = ["-o", output, "--report", "report.json", "--on-missing", "gap"];
        expect(&bench.fetch(&args, path).await, code, "segments");
        let text = std::fs::read_to_string(bench.path("report.json")).unwrap();
        assert!(!text.contains("SECRET"));
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        let file = media(&bench.path(output));
        let one = &report["outputs"][0];
        assert_eq!(one["bytes"], file.len());
        let units = one["units"].as_array().unwrap();
        let mut pieces: Vec<_> = units.iter().filter_map(|unit| unit.get("piece")).collect();
        pieces.push(&one["tail"]);
        let mut end = 0;
        for piece in pieces {
            let number = |name: &str| usize::try_from(piece[name].as_u64().unwrap()).unwrap();
            assert_eq!(number("offset"), end);
            end += number("length");
            assert_eq!(piece["sha256"], digest(&file[number("offset")..end]), "{piece}");
        }
        assert_eq!(end, file.len(), "every byte is accounted for");
        let missing = units.iter().filter(|unit| unit["fate"] == "failed").count();
        assert_eq!(missing, usize::from(code == 3));
    }
}

#[tokio::test]
async fn verify_proves_a_file_by_its_report_and_its_container() {
    for output in ["out.ts", "out.mp4"] {
        let bench = Bench::new(Vec::new());
        let report = format!("{output}.report.json");
        expect(
            &bench.fetch(&["-o", output, "--report", &report], "/s/plain-ts/index.m3u8").await,
            0,
            "whole",
        );
        let verify = || async {
            let mut command = binary::command(bench.folder()).unwrap();
            binary::finish(command.args(["verify", output]).spawn().unwrap(), PATIENCE)
                .await
                .unwrap()
        };
        expect(&verify().await, 0, "sound: 6 segments proved by their digests");
        let whole = media(&bench.path(output));
        let mut damaged = whole.clone();
        // A segment is about 33 kB.
        damaged[80_000] ^= 1;
        std::fs::write(bench.path(output), &damaged).unwrap();
        let found = verify().await;
        expect(&found, 1, "damaged: segment 2 of track 0");
        expect(&found, 1, "5 segments proved");
        assert_eq!(found.stderr.matches("damaged").count(), 1, "{}", found.stderr);
        let cut = &whole[..whole.len() - 1000];
        std::fs::write(bench.path(output), cut).unwrap();
        let found = verify().await;
        expect(
            &found,
            1,
            &format!("it has {} bytes, and had {} when it was written", cut.len(), whole.len()),
        );
        std::fs::remove_file(bench.path(&report)).unwrap();
        expect(&verify().await, 1, "not as it should be: without a report only its container");
        std::fs::write(bench.path(output), &whole).unwrap();
        expect(&verify().await, 0, "sound: without a report only its container");
        std::fs::write(bench.path(output), "no media").unwrap();
        expect(&verify().await, 1, "not proved: there is no report");
        expect(&verify_with(&bench, output, "none.json").await, 2, "none.json: cannot be read");
    }
}

async fn verify_with(bench: &Bench, output: &str, report: &str) -> Finished {
    let mut command = binary::command(bench.folder()).unwrap();
    let child = command.args(["verify", output, "--report", report]).spawn().unwrap();
    binary::finish(child, PATIENCE).await.unwrap()
}

#[tokio::test]
async fn verify_tells_what_was_missing_from_the_beginning() {
    let bench = Bench::new(vec![Rule::new("*/2.ts", Fault::status(403))]);
    let args = ["-o", "out.ts", "--report", "report.json", "--on-missing", "gap"];
    expect(&bench.fetch(&args, "/s/plain-ts/index.m3u8").await, 3, "segments");
    let found = verify_with(&bench, "out.ts", "report.json").await;
    expect(&found, 3, "missing: segment 2 of track 0");
    expect(&found, 3, "5 segments proved");
}
