//! Segments that came cut short and are in the file in part.

use e2e::bench::tree;

use super::*;

#[tokio::test]
async fn what_is_there_in_part_is_told_and_made_anew_once_it_is_whole() {
    const SHORT: &str = "cut short";
    const BLOCKS: &str = "no whole number of 16-byte blocks";
    for (output, path, segment, at, refusal) in [
        ("out.mp4", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000, SHORT),
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000, SHORT),
        ("out.mkv", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s", 20_000, SHORT),
        (
            "out.mp4",
            "/s/aes-explicit-iv/index.m3u8",
            "/s/aes-explicit-iv/2.ts",
            30_001,
            BLOCKS,
        ),
        // With the block goes all behind packet 160.
        (
            "out.ts",
            "/s/aes-explicit-iv/index.m3u8",
            "/s/aes-explicit-iv/2.ts",
            160 * 188 + 3,
            BLOCKS,
        ),
        // Between two blocks and two packets: the segment in front of it shows that padding belongs there.
        (
            "out.ts",
            "/s/aes-explicit-iv/index.m3u8",
            "/s/aes-explicit-iv/2.ts",
            160 * 188,
            SHORT,
        ),
        ("out.mkv", "/s/aes-fmp4-init/index.m3u8", "/s/aes-fmp4-init/2.m4s", 20_003, BLOCKS),
    ] {
        let name = format!("{path} to {output}");
        let undisturbed = Made::new(output, path, &[]).await;
        let rule = || vec![Rule::new(segment, Fault::Shorten { at })];
        let refused = Bench::new(rule()).fetch(&["-o", output], path).await;
        expect(&refused, 1, refusal);
        let made = Made::by(Bench::new(rule()), output, path, &["--on-missing", "gap"], 3).await;
        assert_eq!(made.report["outcome"], "gaps", "{name}");
        let fates: Vec<_> = made
            .units()
            .iter()
            .filter(|unit| unit.get("init").is_none())
            .map(|unit| &unit["fate"])
            .collect();
        assert_eq!(fates, ["written", "written", "cut", "written", "written", "written"], "{name}");
        let why = made.units().iter().find_map(|unit| unit["why"].as_str()).unwrap();
        assert!(why.contains("cut short") && why.contains("kept"), "{name}: {why}");
        let (offset, length) = made.piece(0, 2);
        assert!(length > 10_000, "{name}: {length} bytes are kept");
        if output == "out.ts" {
            let (of_whole, _) = undisturbed.piece(0, 2);
            assert!(made.whole[offset..][..length] == undisturbed.whole[of_whole..][..length], "{name}");
        }
        expect(&made.bench.run(&["verify", output]).await, 3, "segment 2 of track 0");
        // It still comes like that, or not at all.
        for rule in [None, Some(Rule::new(segment, Fault::status(404)))] {
            if let Some(rule) = rule {
                made.bench.server.set_rules(vec![rule]);
            }
            let repaired = made.bench.run(&["repair", output]).await;
            assert_ne!(repaired.code, Some(0), "{name}: {}", repaired.stderr);
            made.is_whole(&name);
        }
        made.bench.server.set_rules(Vec::new());
        anew::is_made_anew(&made, &undisturbed.whole, "there in part: 1", &name).await;
    }
}

/// What comes for a segment that never came is judged like that of any other run.
#[tokio::test]
async fn what_is_not_whole_fills_in_nothing() {
    for (output, path, segment, at) in [
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000),
        ("out.mp4", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000),
        ("out.mp4", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s", 20_000),
        ("out.mkv", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000),
        ("film", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000),
        ("film", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s", 20_000),
        ("out.ts", "/s/aes-explicit-iv/index.m3u8", "/s/aes-explicit-iv/2.ts", 160 * 188 + 3),
    ] {
        let format: &[&str] = if output == "film" { &["--format", "hls"] } else { &[] };
        let run = [&["-o", output, "--report", "report.json", "--on-missing", "gap"][..], format].concat();
        let repair = ["repair", output, "--report", "report.json"];
        let bench = Bench::new(vec![Rule::new(segment, Fault::status(404))]);
        expect(&bench.fetch(&run, path).await, 3, "");
        let before = tree(bench.folder());
        for (name, fault) in [("cut short", Fault::Shorten { at }), ("a page", Fault::page())] {
            bench.server.set_rules(vec![Rule::new(segment, fault)]);
            let repaired = bench.run(&repair).await;
            assert_eq!(repaired.code, Some(3), "{name}, {path} to {output}: {}", repaired.stderr);
            assert!(
                repaired.stderr.contains("not mended: "),
                "{name}, {path} to {output}: {}",
                repaired.stderr
            );
            let after = tree(bench.folder());
            let names: Vec<_> = after.iter().map(|(file, _)| file.clone()).collect();
            assert!(after == before, "{name}, {path} to {output}: {names:?}");
        }
        bench.server.set_rules(Vec::new());
        expect(&bench.run(&repair).await, 0, "sound");
    }
}

#[tokio::test]
async fn a_report_of_another_film_writes_nothing_over_the_file() {
    let made = Made::new("out.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let bench = &made.bench;
    expect(
        &bench.fetch(&["-o", "b.ts", "--report", "b.json"], "/s/low-ts/index.m3u8").await,
        0,
        "",
    );
    let refused = bench.run(&["repair", "out.ts", "--report", "b.json"]).await;
    expect(&refused, 2, "it tells nothing of \"out.ts\"");
    made.is_whole("by the report of another");
    // One that was renamed is known by what is right.
    std::fs::rename(bench.path("b.ts"), bench.path("c.ts")).unwrap();
    let whole = bench.read("c.ts");
    bench.write("c.ts", &[&whole[..1000], b"another", &whole[1007..]].concat());
    expect(&bench.run(&["repair", "c.ts", "--report", "b.json"]).await, 0, "places mended: 1");
    assert!(bench.read("c.ts") == whole);
}

/// It would be left out of a file that is made anew, and nothing would name it.
#[tokio::test]
async fn a_report_of_segments_that_are_of_no_track_is_refused() {
    for output in ["out.ts", "out.mp4"] {
        let bench = Bench::new(vec![Rule::new("*/2.ts", Fault::status(404))]);
        let made = Made::by(bench, output, "/s/plain-ts/index.m3u8", &["--on-missing", "gap"], 3).await;
        made.bench.server.set_rules(Vec::new());
        let path = format!("{output}.report.json");
        let mut report = made.report.clone();
        report["outputs"][0]["units"][4]["track"] = 7.into();
        made.bench.write(&path, report.to_string().as_bytes());
        made.repair(&[], 2, "does not add up").await;
        made.is_whole(output);
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_made_anew_by_its_report() {
    for (output, path) in [
        ("out.ts", "/s/aes-byte-ranges/index.m3u8"),
        ("out.mp4", "/s/alternate-audio/index.m3u8"),
        ("out.mkv", "/s/plain-ts/index.m3u8"),
    ] {
        let made = Made::new(output, path, &[]).await;
        std::fs::remove_file(made.bench.path(output)).unwrap();
        made.repair(&[], 0, "made anew of the whole stream: there is no file").await;
        made.is_whole(path);
        assert_eq!(made.names(), 2, "{path}");
    }
    // One that was never there is none.
    let made = Made::new("out.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let mistyped = made.bench.run(&["repair", "uot.ts", "--report", "out.ts.report.json"]).await;
    expect(&mistyped, 2, "uot.ts: cannot be read");
    assert_eq!(made.names(), 2, "it was made");
    // Unless the report was renamed with it.
    std::fs::rename(made.bench.path("out.ts.report.json"), made.bench.path("film.ts.report.json")).unwrap();
    expect(&made.bench.run(&["repair", "film.ts"]).await, 0, "there is no file");
    assert!(made.bench.read("film.ts") == made.whole);
}

/// Between two blocks and two packets only what the file has already shows that padding belongs there.
#[tokio::test]
async fn what_never_came_is_not_filled_in_without_the_padding_that_others_have() {
    const PATH: &str = "/s/aes-explicit-iv/index.m3u8";
    const FILLED: &str = "missing segments filled in: ";
    for (output, file, args) in [
        ("out.ts", "out.ts", &[][..]),
        ("out.mp4", "out.mp4", &[]),
        ("film", "film", &["--format", "hls"]),
        ("out.ts", "out.001.ts", &["--split", "discontinuity"]),
    ] {
        let run = [&["-o", output, "--report", "report.json", "--on-missing", "gap"][..], args].concat();
        let repair = ["repair", file, "--report", "report.json"];
        let once = Bench::new(Vec::new());
        expect(&once.fetch(&run, PATH).await, 0, "");
        let gone = ["*/3.ts", "*/5.ts"].map(|path| Rule::new(path, Fault::status(404)));
        let bench = Bench::new(gone.into());
        expect(&bench.fetch(&run, PATH).await, 3, "");
        for (short, filled) in [
            (&["*/3.ts", "*/5.ts"][..], None),
            (&["*/5.ts"], Some(1)),
            // By now it is the report of a repair that shows it.
            (&["*/5.ts"], None),
            (&[], Some(1)),
        ] {
            let rules = short.iter().map(|path| Rule::new(*path, Fault::Shorten { at: 160 * 188 }));
            bench.server.set_rules(rules.collect());
            let repaired = bench.run(&repair).await;
            let name = format!("{file}, {short:?}: {}", repaired.stderr);
            assert_eq!(repaired.code, Some(if short.is_empty() { 0 } else { 3 }), "{name}");
            match filled {
                Some(filled) => assert!(repaired.stderr.contains(&format!("{FILLED}{filled}")), "{name}"),
                None => assert!(!repaired.stderr.contains(FILLED), "{name}"),
            }
            assert_eq!(repaired.stderr.contains("no padding at its end"), !short.is_empty(), "{name}");
        }
        let files = [&bench, &once].map(|bench| {
            let files = tree(bench.folder()).into_iter();
            files.filter(|(file, _)| file != "report.json").collect::<Vec<_>>()
        });
        assert!(files[0] == files[1], "{file}");
    }
}
