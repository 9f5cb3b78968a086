//! Keys that cannot be had any more: what lies under others is mended all the same.

use e2e::bench::tree;

use super::*;

/// Two segments lie under each of the keys 0 to 2.
const PATH: &str = "/s/aes-rotation/index.m3u8";

/// What answers for the key of the segments 2 and 3.
fn keys() -> [(&'static str, Fault); 4] {
    let body = |text: &str| Fault::Body {
        content_type: "application/octet-stream".into(),
        text: text.into(),
    };
    [
        ("it is gone", Fault::status(404)),
        ("its server is silent", Fault::HangUp),
        ("a page is in its place", Fault::page()),
        ("it is another", body("a very wrong key")),
    ]
}

const SOON: [&str; 4] = ["--retries", "0", "--retry-delay", "10ms"];

#[tokio::test]
async fn what_is_damaged_under_a_key_that_is_gone_is_named_and_the_rest_is_mended() {
    for (output, damaged, left) in [("out.ts", [1, 2, 4], [2]), ("out.mp4", [1, 3, 5], [3])] {
        let made = Made::new(output, PATH, &[]).await;
        for (name, fault) in keys() {
            made.bench.server.set_rules(vec![Rule::new("*/key1.bin", fault)]);
            let place = |msn: u64| made.piece(0, msn).0 + made.piece(0, msn).1 / 2;
            made.flip(&damaged.map(place));
            let repaired = made.repair(&SOON, 1, "places mended: 2").await;
            let says = format!("not mended: segment {} of track 0: ", left[0]);
            assert!(repaired.stderr.contains(&says), "{name}, {output}: {}", repaired.stderr);
            made.bench.server.set_rules(Vec::new());
            made.repair(&[], 0, "places mended: 1").await;
            made.is_whole(name);
        }
    }
}

#[tokio::test]
async fn what_never_came_under_a_key_that_is_gone_stays_missing_and_the_rest_is_filled_in() {
    for (output, args) in [("out.ts", &[][..]), ("out.mp4", &[]), ("film", &["--format", "hls"])] {
        let run = [&["-o", output, "--report", "report.json", "--on-missing", "gap"][..], args].concat();
        let repair = [&["repair", output, "--report", "report.json"][..], &SOON].concat();
        let once = Bench::new(Vec::new());
        expect(&once.fetch(&run, PATH).await, 0, "");
        for (name, fault) in keys() {
            // A demuxer of MPEG-TS needs the segments beside one that is filled in.
            let lost = ["*/0.ts", "*/2.ts", "*/5.ts"];
            let lost = if output == "out.mp4" { &lost[1..] } else { &lost[..] };
            let bench = Bench::new(lost.iter().map(|path| Rule::new(*path, Fault::status(404))).collect());
            expect(&bench.fetch(&run, PATH).await, 3, "");
            bench.server.set_rules(vec![Rule::new("*/key1.bin", fault)]);
            let repaired = bench.run(&repair).await;
            let filled = format!("missing segments filled in: {}", lost.len() - 1);
            assert!(repaired.stderr.contains(&filled), "{name}, {output}: {}", repaired.stderr);
            assert!(
                repaired.stderr.contains("not mended: segment 2 of track 0: "),
                "{name}, {output}: {}",
                repaired.stderr
            );
            assert_eq!(repaired.code, Some(3), "{name}, {output}: {}", repaired.stderr);
            bench.server.set_rules(Vec::new());
            expect(&bench.run(&repair).await, 0, "missing segments filled in: 1");
            let files = [&bench, &once].map(|bench| {
                let files = tree(bench.folder()).into_iter();
                files.filter(|(file, _)| file != "report.json").collect::<Vec<_>>()
            });
            assert!(files[0] == files[1], "{name}, {output}");
        }
    }
}

/// A segment that cannot be decrypted cannot be had.
#[tokio::test]
async fn a_run_goes_on_behind_segments_whose_key_is_gone_and_names_them() {
    for (name, fault) in keys().into_iter().take(3) {
        let bench = Bench::new(vec![Rule::new("*/key1.bin", fault)]);
        let args = [&["-o", "out.ts", "--report", "report.json"][..], &SOON].concat();
        let stopped = bench.fetch(&args, PATH).await;
        expect(&stopped, 1, "key1.bin");
        let again = bench.fetch(&[&args[..], &["--on-missing", "gap"]].concat(), PATH).await;
        assert_eq!(again.code, Some(3), "{name}: {}", again.stderr);
        let says = "missing: segments 2 to 3 of track 0: ";
        assert!(again.stderr.contains(says), "{name}: {}", again.stderr);
        let expected = e2e::Reference::some("high-ts", &[0, 1, 4, 5]).bytes().unwrap();
        assert!(bench.read("out.ts") == expected, "{name}");
        bench.server.set_rules(Vec::new());
        expect(
            &bench.run(&["repair", "out.ts", "--report", "report.json"]).await,
            0,
            "missing segments filled in: 2",
        );
    }
}
