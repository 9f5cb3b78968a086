//! Segments that one run left out, and what the next makes of them.

use e2e::Reference;

use super::*;

const PLAYLIST: &str = "/s/plain-ts/index.m3u8";

/// The first run leaves out segment 1 and is broken off at 4.
struct Case {
    rule: &'static str,
    /// Segments that cannot be had in the second run.
    lost: &'static [usize],
    on_missing: &'static str,
    code: i32,
    says: &'static str,
    film: Option<&'static [usize]>,
}

#[tokio::test]
async fn a_segment_that_was_left_out_is_asked_for_again_when_gaps_are_not_wanted() {
    let cases = [
        Case {
            rule: "it can be had now",
            lost: &[],
            on_missing: "abort",
            code: 0,
            says: "left out segment 1 of track 0, which can be had now: it is fetched, and what follows once more",
            film: Some(&[0, 1, 2, 3, 4, 5]),
        },
        Case {
            rule: "it still cannot be had",
            lost: &[1],
            on_missing: "abort",
            code: 1,
            says: "segment 1 of track 0",
            film: None,
        },
        Case {
            rule: "gaps are wanted",
            lost: &[],
            on_missing: "gap",
            code: 3,
            says: "missing: segment 1 of track 0",
            film: Some(&[0, 2, 3, 4, 5]),
        },
    ];
    for case in cases {
        let lost = |segments: &[usize], status| {
            let rule = |segment: &usize| Rule::new(format!("*/{segment}.ts"), Fault::status(status));
            segments.iter().map(rule).collect::<Vec<_>>()
        };
        let mut rules = lost(&[1], 404);
        // Nothing is left out for a server that is gone.
        rules.push(Rule::new("*/4.ts", Fault::Stall { at: 100 }));
        let bench = Bench::new(rules);
        let args = ["-o", "out.ts", "--on-missing"];
        let mut child = bench.start(&[&args[..], &["gap"]].concat(), PLAYLIST);
        let part = bench.path("out.ts.part");
        let three = Reference::some("high-ts", &[0, 2, 3]).bytes().unwrap();
        let written = async {
            while std::fs::read(&part).map_or(0, |bytes| bytes.len()) < three.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.unwrap();
        // The journal comes behind the bytes; what it lacks is fetched again.
        child.kill().await.unwrap();
        bench.server.set_rules(lost(case.lost, 404));
        let again = bench.fetch(&[&args[..], &[case.on_missing]].concat(), PLAYLIST).await;
        assert_eq!(again.code, Some(case.code), "{}: {}", case.rule, again.stderr);
        assert!(again.stderr.contains(case.says), "{}: {}", case.rule, again.stderr);
        match case.film {
            Some(film) => {
                assert!(
                    media(&bench.path("out.ts")) == Reference::some("high-ts", film).bytes().unwrap(),
                    "{}",
                    case.rule
                );
            }
            None => {
                let kept = media(&part);
                assert!(
                    kept.len() > 60_000 && three.starts_with(&kept),
                    "{}: what was fetched is kept",
                    case.rule
                );
                let on = bench.fetch(&[&args[..], &["gap"]].concat(), PLAYLIST).await;
                expect(&on, 3, "missing: segment 1 of track 0");
            }
        }
        assert_eq!(bench.asked("*/0.ts"), 1, "{}", case.rule);
    }
}

#[tokio::test]
async fn a_segment_that_is_there_in_part_is_asked_for_again_when_gaps_are_not_wanted() {
    let part = || Rule::new("*/1.ts", Fault::Shorten { at: 30_000 });
    let bench = Bench::new(vec![part(), Rule::new("*/4.ts", Fault::Stall { at: 100 })]);
    let args = ["-o", "out.ts", "--on-missing"];
    let mut child = bench.start(&[&args[..], &["gap"]].concat(), PLAYLIST);
    let all = Reference::some("high-ts", &[0, 1, 2, 3]).bytes().unwrap();
    let lost = Reference::some("high-ts", &[1]).bytes().unwrap().len() - 30_000 / 188 * 188;
    let written = async {
        while std::fs::read(bench.path("out.ts.part")).map_or(0, |bytes| bytes.len()) < all.len() - lost {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    child.kill().await.unwrap();
    bench.server.set_rules(vec![part()]);
    let again = bench.fetch(&[&args[..], &["abort"]].concat(), PLAYLIST).await;
    expect(&again, 1, "cut short");
    bench.server.set_rules(Vec::new());
    let again = bench.fetch(&[&args[..], &["abort"]].concat(), PLAYLIST).await;
    expect(&again, 0, "whole");
    assert!(media(&bench.path("out.ts")) == Reference::all("high-ts").bytes().unwrap());
    assert_eq!(bench.asked("*/0.ts"), 1);
}

#[tokio::test]
async fn what_follows_a_segment_whose_key_is_gone_is_kept_until_that_can_be_had() {
    const SEALED: &str = "/s/aes-rotation/index.m3u8";
    let gone = || Rule::new("*/key1.bin", Fault::status(404));
    let bench = Bench::new(vec![gone(), Rule::new("*/5.ts", Fault::Stall { at: 100 })]);
    let args = ["-o", "out.ts", "--on-missing"];
    let mut child = bench.start(&[&args[..], &["gap"]].concat(), SEALED);
    let had = Reference::some("high-ts", &[0, 1, 4]).bytes().unwrap();
    let written = async {
        while std::fs::read(bench.path("out.ts.part")).map_or(0, |bytes| bytes.len()) < had.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    child.kill().await.unwrap();
    bench.server.set_rules(vec![gone()]);
    let again = bench.fetch(&[&args[..], &["abort"]].concat(), SEALED).await;
    expect(&again, 1, "segment 2 of track 0: no key: ");
    assert!(media(&bench.path("out.ts.part")) == had, "it was cut back");
    bench.server.set_rules(Vec::new());
    expect(&bench.fetch(&[&args[..], &["abort"]].concat(), SEALED).await, 0, "whole");
    assert!(media(&bench.path("out.ts")) == Reference::all("high-ts").bytes().unwrap());
    assert_eq!(bench.asked("*/0.ts"), 1);
}

#[tokio::test]
async fn segments_that_were_left_out_at_the_very_end_are_tried_again_in_any_case() {
    let bench = Bench::new(vec![
        Rule::new("*/3.ts", Fault::status(404)),
        Rule::new("*/4.ts", Fault::status(404)),
        Rule::new("*/5.ts", Fault::Stall { at: 0 }),
    ]);
    let args = ["-o", "out.ts", "--on-missing", "gap"];
    let mut child = bench.start(&args, PLAYLIST);
    let journal = bench.path("out.ts.part.journal");
    let two = async {
        loop {
            let bytes = std::fs::read(&journal).unwrap_or_default();
            if bytes.windows(8).filter(|at| at == b"tatus 40").count() >= 2 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, two).await.unwrap();
    child.kill().await.unwrap();
    bench.server.set_rules(Vec::new());
    expect(&bench.fetch(&args, PLAYLIST).await, 0, "whole");
    assert!(media(&bench.path("out.ts")) == Reference::all("high-ts").bytes().unwrap());
    assert_eq!(bench.asked("*/0.ts"), 1);
}

// The other tracks wait until this one has matched.
#[tokio::test]
async fn ctrl_c_ends_a_run_that_asks_again_for_what_was_left_out_of_one_of_several_tracks() {
    const FILM: &str = "/s/alternate-audio/index.m3u8";
    let video = |segment: usize, fault| Rule::new(format!("/s/alternate-audio/v0/{segment}.ts"), fault);
    let bench = Bench::new(vec![video(1, Fault::status(404)), video(4, Fault::Stall { at: 100 })]);
    let args = |on_missing| ["-o", "out.mp4", "--retries", "0", "--on-missing", on_missing];
    let mut child = bench.start(&args("gap"), FILM);
    let journal = bench.path("out.mp4.part.journal");
    let beyond = async {
        let told = |bytes: Vec<u8>| bytes.windows(8).any(|at| at == b"/v0/3.ts");
        while !std::fs::read(&journal).is_ok_and(told) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, beyond).await.unwrap();
    child.kill().await.unwrap();
    bench.server.set_rules(vec![video(1, Fault::Stall { at: 0 })]);
    let asked = bench.asked("*/v0/1.ts");
    let child = bench.start(&[&args("abort")[..], &["--timeout", "600s"]].concat(), FILM);
    let again = bench.server.stats().wait_until(|tally| tally.count("*/v0/1.ts") > asked);
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    binary::interrupt(&child).unwrap();
    expect(&binary::finish(child, PATIENCE).await.unwrap(), 130, "interrupted");
}

/// Between two blocks and two packets only segments of an earlier run show that padding belongs there.
#[tokio::test]
async fn a_segment_that_lacks_the_padding_of_others_is_no_more_whole_to_the_next_run() {
    const SEALED: &str = "/s/aes-explicit-iv/index.m3u8";
    let whole = undisturbed(&["-o", "out.ts"], SEALED, "out.ts").await;
    let short = || vec![Rule::new("*/2.ts", Fault::Shorten { at: 160 * 188 })];
    let bench = Bench::new(short());
    let args = |on_missing| ["-o", "out.ts", "--on-missing", on_missing];
    for _ in 0..2 {
        let refused = bench.fetch(&args("abort"), SEALED).await;
        expect(&refused, 1, "segment 2 of track 0: no padding at its end");
    }
    bench.server.set_rules(Vec::new());
    expect(&bench.fetch(&args("abort"), SEALED).await, 0, "whole");
    assert!(media(&bench.path("out.ts")) == whole);
    assert_eq!(bench.asked("*/1.ts"), 1, "what shows it is not asked for again");
    bench.server.set_rules(short());
    std::fs::remove_file(bench.path("out.ts")).unwrap();
    expect(&bench.fetch(&args("abort"), SEALED).await, 1, "no padding");
    expect(&bench.fetch(&args("gap"), SEALED).await, 3, "missing: segment 2 of track 0: ");
}
