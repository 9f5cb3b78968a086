//! Finished files that are damaged: what a repair fetches, what it mends and what it refuses.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "repair/alone.rs"]
mod alone;
#[path = "repair/anew.rs"]
mod anew;
#[path = "repair/around.rs"]
mod around;
#[path = "repair/cut.rs"]
mod cut;
#[path = "repair/faults.rs"]
mod faults;
#[path = "repair/folders.rs"]
mod folders;
#[path = "repair/keys.rs"]
mod keys;
#[path = "repair/live.rs"]
mod live;
#[path = "repair/pathways.rs"]
mod pathways;
#[path = "repair/splice.rs"]
mod splice;
#[path = "repair/splits.rs"]
mod splits;
#[path = "repair/verdict.rs"]
mod verdict;

use std::path::Path;

use e2e::bench::{Bench, expect};
use fixture_server::{Fault, Rule};
use serde_json::Value;

/// A file as a run made it, and its report.
struct Made {
    bench: Bench,
    output: &'static str,
    whole: Vec<u8>,
    report: Value,
}

impl Made {
    async fn new(output: &'static str, path: &str, args: &[&str]) -> Self {
        Self::by(Bench::new(Vec::new()), output, path, args, 0).await
    }

    async fn by(bench: Bench, output: &'static str, path: &str, args: &[&str], code: i32) -> Self {
        let report = format!("{output}.report.json");
        let args = [&["-o", output, "--report", &report], args].concat();
        expect(&bench.fetch(&args, path).await, code, "");
        let report = serde_json::from_slice(&bench.read(&report)).unwrap();
        let whole = bench.read(output);
        Self {
            bench,
            output,
            whole,
            report,
        }
    }

    fn units(&self) -> &[Value] {
        self.report["outputs"][0]["units"].as_array().unwrap()
    }

    /// Offset and length of what a segment of a track brought.
    fn piece(&self, track: u64, msn: u64) -> (usize, usize) {
        let is_meant = |unit: &&Value| unit["track"] == track && unit["msn"] == msn && unit.get("init").is_none();
        let piece = &self.units().iter().find(is_meant).unwrap()["piece"];
        let number = |name: &str| usize::try_from(piece[name].as_u64().unwrap()).unwrap();
        (number("offset"), number("length"))
    }

    fn write(&self, bytes: &[u8]) {
        self.bench.write(self.output, bytes);
    }

    /// Changes single bytes.
    fn flip(&self, places: &[usize]) -> Vec<u8> {
        let mut bytes = self.whole.clone();
        for place in places {
            bytes[*place] ^= 0x55;
        }
        self.write(&bytes);
        bytes
    }

    /// Changes what stands behind the last segment, for which nothing helps but the whole stream.
    fn damage_index(&self) -> Vec<u8> {
        self.flip(&[self.whole.len() - 20])
    }

    async fn repair(&self, args: &[&str], code: i32, says: &str) -> e2e::binary::Finished {
        let finished = self.bench.run(&[&["repair", self.output], args].concat()).await;
        expect(&finished, code, says);
        finished
    }

    #[track_caller]
    fn is_whole(&self, name: &str) {
        assert!(self.bench.read(self.output) == self.whole, "{name}: the file is another");
    }

    fn names(&self) -> usize {
        std::fs::read_dir(self.bench.folder()).unwrap().count()
    }
}

#[tokio::test]
async fn damaged_segments_are_fetched_again_and_nothing_else() {
    // A demuxer of MPEG-TS holds back the last access unit of a segment, so that one more is needed in front of each.
    for (output, path, args, track, damaged, asked) in [
        ("out.ts", "/s/plain-ts/index.m3u8", &[][..], 0, &[1, 4][..], 2),
        (
            "out.ts",
            "/s/aes-rotation-sequence-iv/index.m3u8",
            &[],
            0,
            &[4_294_967_295, 4_294_967_297],
            2,
        ),
        ("out.raw", "/s/discontinuity/index.m3u8", &[], 0, &[0, 3, 5], 3),
        ("out.raw", "/s/plain-ts/index.m3u8", &[], 0, &[0, 1, 2, 3, 4, 5], 6),
        ("out.m4s", "/s/fmp4/index.m3u8", &[], 0, &[0, 5], 2),
        ("out.m4s", "/s/aes-fmp4-init/index.m3u8", &[], 0, &[3], 1),
        ("out.mp4", "/s/fmp4/index.m3u8", &[], 0, &[2, 4], 2),
        ("out.mp4", "/s/alternate-audio-fmp4/index.m3u8", &[], 1, &[2, 3], 2),
        ("out.mp4", "/s/plain-ts/index.m3u8", &[], 0, &[2], 2),
        ("out.mp4", "/s/plain-ts/index.m3u8", &[], 0, &[2, 3, 5], 5),
        ("out.mp4", "/s/aes-sequence-iv/index.m3u8", &[], 0, &[43], 2),
        ("out.mp4", "/s/alternate-audio/index.m3u8", &[], 1, &[3], 2),
        ("out.m4a", "/s/plain-ts/index.m3u8", &[], 0, &[4], 2),
        ("out.aac", "/s/plain-ts/index.m3u8", &[], 0, &[4], 2),
        ("out.ts", "/s/variants/index.m3u8", &["--video", "worst"], 0, &[4], 1),
    ] {
        let name = format!("{path} to {output}");
        let made = Made::new(output, path, args).await;
        let places: Vec<usize> = damaged
            .iter()
            .map(|msn| {
                let (offset, length) = made.piece(track, *msn);
                offset + length * 2 / 3
            })
            .collect();
        made.flip(&places);
        let before = made.bench.segments();
        made.repair(&[], 0, &format!("places mended: {}", damaged.len())).await;
        made.is_whole(&name);
        assert_eq!(made.bench.segments() - before, asked, "{name}: requests for segments");
        assert_eq!(made.names(), 2, "{name}: something was left behind");
        expect(&made.bench.run(&["verify", output]).await, 0, "sound");
    }
}

#[tokio::test]
async fn an_initialization_section_is_mended_like_a_segment() {
    for path in ["/s/fmp4/index.m3u8", "/s/aes-fmp4-init/index.m3u8"] {
        let made = Made::new("out.m4s", path, &[]).await;
        made.flip(&[100]);
        let before = made.bench.segments();
        made.repair(&[], 0, "places mended: 1").await;
        made.is_whole(path);
        assert_eq!(made.bench.segments(), before, "{path}");
    }
}

#[tokio::test]
async fn what_was_cut_off_is_appended_and_what_was_added_is_cut_off() {
    for (output, path) in [
        ("out.ts", "/s/plain-ts/index.m3u8"),
        ("out.m4s", "/s/fmp4/index.m3u8"),
        ("out.mp4", "/s/plain-ts/index.m3u8"),
        ("out.mp4", "/s/alternate-audio-fmp4/index.m3u8"),
    ] {
        let made = Made::new(output, path, &[]).await;
        for kept in [made.whole.len() * 2 / 3, made.whole.len() - 1] {
            made.write(&made.whole[..kept]);
            made.repair(&[], 0, "sound").await;
            made.is_whole(path);
        }
        let before = made.bench.asked("*");
        made.write(&[made.whole.as_slice(), b"and more"].concat());
        made.repair(&[], 0, "places mended: 1").await;
        made.is_whole(path);
        assert_eq!(made.bench.asked("*"), before, "{path}: that needs no request");
    }
}

#[tokio::test]
async fn a_file_that_is_whole_costs_no_request() {
    let made = Made::new("out.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let before = made.bench.asked("*");
    made.repair(&[], 0, "sound: 6 segments proved by their digests").await;
    assert_eq!(made.bench.asked("*"), before);
    made.is_whole("untouched");
}

#[tokio::test]
async fn a_gap_in_a_concatenation_is_filled_in_once_the_segment_can_be_had() {
    for (output, path, segment) in [
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts"),
        ("out.ts", "/s/aes-sequence-iv/index.m3u8", "/s/aes-sequence-iv/2.ts"),
        ("out.m4s", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s"),
    ] {
        let undisturbed = Made::new(output, path, &[]).await;
        let bench = Bench::new(vec![Rule::new(segment, Fault::status(404)).times(6)]);
        let made = Made::by(bench, output, path, &["--on-missing", "gap"], 3).await;
        assert!(made.whole.len() < undisturbed.whole.len());
        // Still gone: the file stays as it is.
        let inode = |made: &Made| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(made.bench.path(output)).unwrap());
        let (first, refused) = (inode(&made), made.bench.asked(segment));
        if refused < 6 {
            made.repair(&[], 3, "not mended: segment").await;
            made.is_whole(path);
            assert_eq!(inode(&made), first, "{path}: it was written anew for nothing");
            assert_eq!(made.names(), 2, "{path}: something was left behind");
        }
        // Damage elsewhere is mended on the way.
        made.flip(&[made.whole.len() - 1000]);
        while made.bench.asked(segment) < 6 {
            made.repair(&[], 3, "not mended: segment").await;
        }
        let before = made.bench.segments();
        let healed = made.bench.run(&["repair", output]).await;
        assert_eq!(healed.code, Some(0), "{}", healed.stderr);
        assert!(made.bench.read(output) == undisturbed.whole, "{path}: it is not what it should be");
        assert!(made.bench.segments() - before <= 2, "{path}: only what is needed is fetched");
        assert_eq!(made.names(), 2, "{path}: something was left behind");
        let report = String::from_utf8(made.bench.read(&format!("{output}.report.json"))).unwrap();
        let report = e2e::schema::check_report(&report).unwrap();
        assert_eq!((&report["outcome"], &report["exit_code"]), (&"whole".into(), &0.into()));
        expect(&made.bench.run(&["verify", output]).await, 0, "sound: ");
    }
}

#[tokio::test]
async fn a_gap_in_a_file_of_a_few_bytes_is_filled_in() {
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/0.bin\n#EXTINF:2,\n/1.bin\n#EXT-X-ENDLIST\n";
    let mut config = fixture_server::Config::standard().unwrap();
    for (path, text) in [("/list.m3u8", list), ("/0.bin", "one"), ("/1.bin", "two")] {
        config.files.insert(path.into(), text.into());
    }
    config.rules = vec![Rule::new("/1.bin", Fault::status(404)).times(3)];
    let args = ["--format", "raw", "--on-missing", "gap"];
    let made = Made::by(Bench::with(config), "out.bin", "/list.m3u8", &args, 3).await;
    assert_eq!(made.whole, b"one");
    while made.bench.asked("/1.bin") < 3 {
        made.repair(&[], 3, "not mended: segment").await;
    }
    made.repair(&[], 0, "missing segments filled in: 1").await;
    assert_eq!(made.bench.read("out.bin"), b"onetwo");
}

#[tokio::test]
async fn addresses_that_have_changed_are_asked_for_again() {
    let page = "/s/plain-ts/index.m3u8?token=";
    let made = Made::new("out.ts", &format!("{page}OLD"), &[]).await;
    made.flip(&[50_000]);
    let fresh = made.bench.server.url(&format!("{page}NEW"));
    let finished = made.repair(&[&fresh], 0, "places mended: 1").await;
    made.is_whole("with a new token");
    assert!(!finished.stderr.contains("NEW"));
    let report = String::from_utf8(made.bench.read("out.ts.report.json")).unwrap();
    assert!(!report.contains("OLD") && !report.contains("NEW"));
    // In the middle: the playlist is read afresh as long as that brings something.
    made.flip(&[50_000, 150_000]);
    made.bench
        .server
        .add_rule(Rule::new("/s/plain-ts/4.ts", Fault::status(403)).times(1));
    made.repair(&["--concurrency", "1"], 0, "sound").await;
    made.is_whole("with an address that expired");
}

#[tokio::test]
async fn another_stream_is_refused_and_nothing_is_written() {
    let made = Made::new("out.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let damaged = made.flip(&[80_000]);
    let other = made.bench.server.url("/s/low-ts/index.m3u8");
    made.repair(&[&other], 2, "another stream").await;
    assert!(made.bench.read("out.ts") == damaged);
    // The same names with another content: the digest tells.
    made.bench.server.add_rule(Rule::new("/s/plain-ts/2.ts", Fault::page()));
    made.repair(
        &[],
        1,
        "not mended: segment 2 of track 0: what is fetched now does not make the bytes that it had",
    )
    .await;
    assert!(made.bench.read("out.ts") == damaged);
}

#[tokio::test]
async fn a_gap_in_an_mp4_is_filled_in_at_its_place_in_time() {
    let none = &[][..];
    for (output, path, args, missing, asked) in [
        // Of fragmented MP4 and MPEG-TS: in the middle, two in a row, at the end, and two that share a neighbour.
        ("out.mp4", "/s/fmp4/index.m3u8", none, &["/s/fmp4/2.m4s"][..], 3),
        ("out.mp4", "/s/fmp4/index.m3u8", none, &["/s/fmp4/2.m4s", "/s/fmp4/3.m4s"], 4),
        ("out.mp4", "/s/plain-ts/index.m3u8", none, &["/s/plain-ts/2.ts"], 3),
        (
            "out.mp4",
            "/s/plain-ts/index.m3u8",
            none,
            &["/s/plain-ts/1.ts", "/s/plain-ts/3.ts"],
            5,
        ),
        ("out.mp4", "/s/plain-ts/index.m3u8", none, &["/s/plain-ts/5.ts"], 2),
        ("out.mp4", "/s/aes-sequence-iv/index.m3u8", none, &["/s/aes-sequence-iv/2.ts"], 3),
        ("out.mp4", "/s/discontinuity/index.m3u8", none, &["/s/discontinuity/4.ts"], 3),
        ("out.mp4", "/s/discontinuity/index.m3u8", none, &["/s/discontinuity/3.ts"], 3),
        ("out.mp4", "/s/discontinuity/index.m3u8", none, &["/s/discontinuity/2.ts"], 3),
        ("out.m4a", "/s/plain-ts/index.m3u8", none, &["/s/plain-ts/4.ts"], 3),
        // Tracks of their own.
        ("out.mp4", "/s/alternate-audio/index.m3u8", none, &["/s/alternate-audio/r1/2.ts"], 3),
        (
            "out.mp4",
            "/s/alternate-audio-fmp4/index.m3u8",
            none,
            &["/s/alternate-audio-fmp4/r1/2.m4s", "/s/alternate-audio-fmp4/v0/3.m4s"],
            6,
        ),
        // With subtitles inside, all of which are there.
        (
            "out.mp4",
            "/s/subtitles/index.m3u8",
            &["--subs", "all", "--subs-format", "tx3g"],
            &["/s/subtitles/v0/2.ts"],
            3,
        ),
    ] {
        let name = format!("{missing:?} to {output}");
        let undisturbed = Made::new(output, path, args).await;
        let rules = missing.iter().map(|segment| Rule::new(*segment, Fault::status(404)));
        let made = Made::by(
            Bench::new(rules.collect()),
            output,
            path,
            &[args, &["--on-missing", "gap"]].concat(),
            3,
        )
        .await;
        assert!(made.whole.len() < undisturbed.whole.len(), "{name}");
        made.repair(&[], 3, "not mended: segment").await;
        made.is_whole(&name);
        made.bench.server.set_rules(Vec::new());
        let before = made.bench.segments();
        made.repair(&[], 0, &format!("missing segments filled in: {}", missing.len())).await;
        assert!(made.bench.read(output) == undisturbed.whole, "{name}: it is not what it should be");
        assert_eq!(made.bench.segments() - before, asked, "{name}: requests for segments");
        assert_eq!(made.names(), 2, "{name}: something was left behind");
        let report = String::from_utf8(made.bench.read(&format!("{output}.report.json"))).unwrap();
        let report = e2e::schema::check_report(&report).unwrap();
        let pieces = |report: &Value| -> Vec<Value> {
            let units = report["outputs"][0]["units"].as_array().unwrap();
            units.iter().map(|unit| unit["piece"].clone()).collect()
        };
        assert_eq!(pieces(&report), pieces(&undisturbed.report), "{name}");
        expect(&made.bench.run(&["verify", output]).await, 0, "sound: ");
    }
}

/// Three periods; what the second is made of, `second` says.
fn three_periods(second: &str) -> String {
    let segment = |clip: &str, number: u32| format!("#EXTINF:2,\n/s/{clip}/{number}.m4s\n");
    let map = |clip: &str| format!("#EXT-X-MAP:URI=\"/s/{clip}/init.mp4\"\n");
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n{}{}{}#EXT-X-DISCONTINUITY\n{}{}{}#EXT-X-DISCONTINUITY\n{}{}{}#EXT-X-ENDLIST\n",
        map("fmp4"),
        segment("fmp4", 0),
        segment("fmp4", 1),
        map(second),
        segment(second, 2),
        segment(second, 3),
        map("fmp4"),
        segment("fmp4", 4),
        segment("fmp4", 5),
    )
}

#[tokio::test]
async fn a_period_with_an_initialization_section_of_its_own_is_filled_in() {
    let (same, other) = ("fmp4-byte-ranges", "variants-fmp4/v1");
    for (output, second, gone) in [
        ("out.mp4", other, &["2.m4s", "3.m4s"][..]),
        ("out.mp4", other, &["2.m4s"]),
        ("out.mp4", other, &["3.m4s"]),
        ("out.mp4", same, &["2.m4s", "3.m4s"]),
        ("out.mkv", same, &["2.m4s", "3.m4s"]),
        ("out.m4s", same, &["2.m4s", "3.m4s"]),
        ("out.m4s", same, &["3.m4s"]),
    ] {
        let name = format!("{gone:?} of {second} to {output}");
        let bench = |rules: Vec<Rule>| {
            let mut config = fixture_server::Config::standard().unwrap();
            config.files.insert("/list.m3u8".into(), three_periods(second).into());
            config.rules = rules;
            Bench::with(config)
        };
        let undisturbed = Made::by(bench(Vec::new()), output, "/list.m3u8", &[], 0).await;
        let rules = gone.iter().map(|name| Rule::new(format!("/s/{second}/{name}"), Fault::status(404)));
        let made = Made::by(bench(rules.collect()), output, "/list.m3u8", &["--on-missing", "gap"], 3).await;
        made.repair(&[], 3, "not mended: ").await;
        made.is_whole(&name);
        made.bench.server.set_rules(Vec::new());
        made.repair(&[], 0, &format!("missing segments filled in: {}", gone.len())).await;
        assert!(made.bench.read(output) == undisturbed.whole, "{name}: it is not what it should be");
        assert_eq!(made.names(), 2, "{name}: something was left behind: {:?}", made.bench.names());
        expect(&made.bench.run(&["verify", output]).await, 0, "sound: ");
    }
}

#[tokio::test]
async fn without_a_report_there_is_nothing_to_go_by() {
    let bench = Bench::new(Vec::new());
    bench.write("film.ts", b"text");
    expect(&bench.run(&["repair", "film.ts"]).await, 2, "film.ts.report.json: cannot be read");
    expect(&bench.run(&["repair", "none.ts"]).await, 2, "cannot be read");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_a_failure_and_not_a_wrong_command() {
    let bench = Bench::new(Vec::new());
    expect(&bench.run(&["verify", "."]).await, 1, "index.m3u8");
    expect(&bench.run(&["verify", "none.mp4"]).await, 2, "none.mp4: cannot be read");
}

#[tokio::test]
async fn what_is_no_regular_file_is_named_and_nobody_waits_for_it() {
    let made = Made::new("film.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let pipe = made.bench.path("pipe.ts");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for command in ["verify", "repair"] {
        for args in [["pipe.ts", "--report=film.ts.report.json"], ["film.ts", "--report=pipe.ts"]] {
            let refused = made.bench.run(&[command, args[0], args[1]]).await;
            expect(&refused, 2, "pipe.ts: cannot be read: it is no regular file");
        }
    }
}

#[tokio::test]
async fn each_command_offers_the_options_that_it_has_a_use_for() {
    let bench = Bench::new(Vec::new());
    for (command, proxy, key, video) in [
        ("verify", false, false, false),
        ("repair", true, true, true),
        ("list", true, false, true),
    ] {
        let help = String::from_utf8(bench.run(&[command, "--help"]).await.stdout).unwrap();
        let offered = ["--proxy", "--key", "--video"].map(|option| help.contains(&format!("{option} <")));
        assert_eq!(offered, [proxy, key, video], "{command}: {help}");
    }
}

#[tokio::test]
async fn a_report_cannot_lead_a_repair_outside_of_its_file() {
    let made = Made::new("out.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let text = String::from_utf8(made.bench.read("out.ts.report.json")).unwrap();
    let (offset, length) = made.piece(0, 3);
    let at = |offset: &str, length: &str| format!(r#""offset":{offset},"length":{length}"#);
    let old = at(&offset.to_string(), &length.to_string());
    assert!(text.contains(&old), "{text}");
    for (name, report) in [
        (
            "far behind",
            text.replace(&old, r#""offset":9000000000000000000,"length":9000000000000000000"#),
        ),
        (
            "at the end of numbers",
            text.replace(&old, r#""offset":18446744073709551615,"length":18446744073709551615"#),
        ),
        ("over another segment", text.replace(&old, &at("0", &length.to_string()))),
        ("negative", text.replace(&old, r#""offset":-1,"length":-1"#)),
        ("another version", text.replace(r#""version":1"#, r#""version":7"#)),
        ("another file", text.replace("out.ts", "/etc/passwd")),
        ("no digest", text.replace("sha256", "sha1")),
        ("deep", "[".repeat(100_000)),
        ("endless time", text.replace(r#""seconds":2.0"#, r#""seconds":1e308"#)),
        ("no time", text.replace(r#""seconds":2.0"#, r#""seconds":-1"#)),
    ] {
        made.bench.write("out.ts.report.json", report.as_bytes());
        let damaged = made.flip(&[10]);
        let finished = made.bench.run(&["repair", "out.ts"]).await;
        let now = made.bench.read("out.ts");
        assert!(now == damaged || now == made.whole, "{name}: it was made worse");
        assert!(matches!(finished.code, Some(0..=2)), "{name}: {}", finished.stderr);
        assert!(finished.code != Some(0) || now == made.whole, "{name}: {}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{name}: {}", finished.stderr);
        assert_eq!(made.names(), 2, "{name}: something was left behind");
    }
}

#[tokio::test]
async fn a_repair_that_is_killed_leaves_nothing_worse_than_before() {
    let made = Made::new("out.raw", "/s/long/index.m3u8", &[]).await;
    let places: Vec<usize> = (0..100).map(|msn| made.piece(0, msn).0 + 5000).collect();
    let damaged = made.flip(&places);
    made.bench.server.add_rule(Rule::new("*.ts", Fault::Delay { milliseconds: 20 }));
    let before = made.bench.segments();
    let mut command = e2e::binary::command(made.bench.folder()).unwrap();
    let mut child = command.args(["repair", "out.raw", "--concurrency", "2"]).spawn().unwrap();
    made.bench
        .server
        .stats()
        .wait_until(|tally| tally.count("*.ts") >= before + 30)
        .await;
    child.kill().await.unwrap();
    let now = made.bench.read("out.raw");
    let others = now.iter().zip(&damaged).zip(&made.whole);
    assert!(others.clone().all(|((now, damaged), whole)| now == damaged || now == whole));
    let mended = now != damaged;
    made.repair(&[], 0, "sound").await;
    made.is_whole("in the end");
    assert!(mended, "nothing was mended before the kill");
}
