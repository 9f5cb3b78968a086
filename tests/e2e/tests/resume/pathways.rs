//! What one run had from one pathway and the next finds on another (RFC 8216, 6.2.4; rfc8216bis, 7).

use std::ops::Range;

use e2e::bench::twin;
use fixture_server::Encryption;

use super::*;

/// Whatever can be had is had at once.
const SOON: [&str; 6] = ["--retries", "0", "--retry-delay", "10ms", "--timeout", "2s"];

#[tokio::test]
async fn what_came_from_another_pathway_is_taken_up_as_if_nothing_had_happened() {
    let sealed = || Some(Encryption::default());
    for (clip, encryption, args) in [
        ("high-ts", None, &["-o", "out.ts"][..]),
        ("high-ts", sealed(), &["-o", "out.mp4"]),
        ("high-fmp4", None, &["-o", "out.mp4"]),
        ("high-fmp4", sealed(), &["-o", "out.mp4", "--format", "fmp4"]),
        ("high-fmp4", None, &["-o", "out.mp4", "--format", "raw"]),
        ("high-fmp4", None, &["-o", "out", "--format", "hls"]),
    ] {
        let once = Bench::with(twin(clip, encryption.clone()));
        let path = "/s/twin/index.m3u8";
        expect(&once.fetch(args, path).await, 0, "whole");
        let whole = tree(once.folder());
        let segment = |way: &str, name: &str| {
            Rule::new(
                format!("/s/twin/{way}/{name}.{}", &clip[5..].replace("fmp4", "m4s")),
                Fault::status(404),
            )
        };
        let gone = |way: &str| Rule::new(format!("/s/twin/{way}/*"), Fault::status(404));
        // What the first run meets, and what the second does.
        for (rule, first, second) in [
            ("a segment failed over", vec![segment("v0", "3"), segment("*", "5")], vec![]),
            ("all failed over", vec![segment("v0", "*"), segment("v1", "4")], vec![]),
            ("the pathway is gone", vec![segment("*", "4")], vec![gone("v0")]),
            (
                "the pathway of some is gone",
                vec![segment("v0", "3"), segment("*", "5")],
                vec![gone("v1")],
            ),
            (
                "the pathway of the others is gone",
                vec![segment("v0", "3"), segment("*", "5")],
                vec![gone("v0")],
            ),
        ] {
            let place = format!("{clip} to {args:?}: {rule}");
            let mut config = twin(clip, encryption.clone());
            config.rules = first;
            let bench = Bench::with(config);
            let args = [args, &SOON].concat();
            let broken = bench.fetch(&args, path).await;
            assert_eq!(broken.code, Some(1), "{place}: {}", broken.stderr);
            let known = bench.segments();
            bench.server.set_rules(second);
            let again = bench.fetch(&args, path).await;
            assert_eq!(again.code, Some(0), "{place}: {}", again.stderr);
            assert!(tree(bench.folder()) == whole, "{place}: another output: {:?}", bench.names());
            assert!(bench.segments() - known <= 2 + 2, "{place}: it was not taken up");
        }
    }
}

#[tokio::test]
async fn a_run_that_is_killed_on_another_pathway_is_taken_up() {
    let path = "/s/twin/index.m3u8";
    let mut config = twin("high-ts", None);
    config.rules = vec![
        Rule::new("/s/twin/v0/3.ts", Fault::status(404)),
        Rule::new("/s/twin/*/5.ts", Fault::Stall { at: 0 }),
    ];
    let bench = Bench::with(config);
    let mut killed = bench.start(&["-o", "out.ts", "--concurrency", "1", "--buffer", "70K"], path);
    // There is room for two segments: the first from the other pathway is in the file by then.
    let stalled = bench
        .server
        .stats()
        .wait_until(|tally| tally.matching("/s/twin/*/5.ts").count() > 0);
    tokio::time::timeout(PATIENCE, stalled).await.expect("a request");
    killed.kill().await.expect("a process to kill");
    bench.server.set_rules(Vec::new());
    let known = bench.segments();
    expect(&bench.fetch(&["-o", "out.ts"], path).await, 0, "whole");
    assert!(bench.segments() - known < 6, "it was not taken up");
    assert!(media(&bench.path("out.ts")) == undisturbed(&["-o", "out.ts"], "/s/plain-ts/index.m3u8", "out.ts").await);
}

/// A Multivariant Playlist of redundant Variant Streams.
fn redundant(ways: &[&str]) -> Fault {
    let ways: String = ways.iter().map(|way| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{way}\n")).collect();
    playlist(&ways)
}

/// A Media Playlist of segments with these numbers, by a name for each.
fn list(numbers: Range<u64>, seconds: u64, name: impl Fn(u64) -> String, ended: bool) -> Fault {
    let segments: String = numbers.clone().map(|msn| format!("#EXTINF:{seconds},\n{}\n", name(msn))).collect();
    let end = if ended { "#EXT-X-ENDLIST\n" } else { "" };
    let first = numbers.start;
    playlist(&format!(
        "#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}{end}"
    ))
}

fn playlist(text: &str) -> Fault {
    Fault::Body {
        content_type: "application/vnd.apple.mpegurl".into(),
        text: format!("#EXTM3U\n{text}"),
    }
}

/// The segments of `plain-ts` with the numbers 10 to 15, wherever they are asked for under such a number.
fn segments() -> Vec<Rule> {
    let to = |msn: u64| format!("/s/plain-ts/{}.ts", msn - 10);
    let at = |msn| Rule::new(format!("/*{msn}.ts"), Fault::Redirect { status: 302, to: to(msn) });
    (10..16).map(at).collect()
}

struct Case {
    rule: &'static str,
    /// The redundant playlists of the second run, in their order.
    ways: &'static [&'static str],
    /// What those are that are not dead.
    lists: Vec<(&'static str, Fault)>,
    says: Result<(), &'static str>,
}

/// The first run has segments 10 to 12 of `/a/list.m3u8`: `/a/10.ts` and so on.
#[tokio::test]
async fn another_pathway_is_believed_if_the_presentation_names_the_one_that_is_known() {
    let own = |msn| format!("{msn}.ts");
    let other = |msn| format!("x{msn}.ts");
    for live in [false, true] {
        let cases = || {
            vec![
                Case {
                    rule: "it says of each number what the known one says",
                    ways: &["/b/list.m3u8", "/a/list.m3u8"],
                    lists: vec![
                        ("/a/list.m3u8", list(10..16, 2, own, true)),
                        ("/b/list.m3u8", list(10..16, 2, other, true)),
                    ],
                    says: Ok(()),
                },
                Case {
                    rule: "the known one is dead, and it has the same names",
                    ways: &["/a/list.m3u8", "/b/list.m3u8"],
                    lists: vec![("/b/list.m3u8", list(10..16, 2, own, true))],
                    says: Ok(()),
                },
                Case {
                    rule: "the known one is dead, and it has other names",
                    ways: &["/a/list.m3u8", "/b/list.m3u8"],
                    lists: vec![("/b/list.m3u8", list(10..16, 2, other, true))],
                    says: Err("its address was"),
                },
                Case {
                    rule: "the known one has other segments by now",
                    ways: &["/b/list.m3u8", "/a/list.m3u8"],
                    lists: vec![
                        ("/a/list.m3u8", list(10..16, 2, |msn| format!("new/{msn}.ts"), true)),
                        ("/b/list.m3u8", list(10..16, 2, own, true)),
                    ],
                    says: Err("its address was"),
                },
                Case {
                    rule: "its segments are not as long",
                    ways: &["/b/list.m3u8", "/a/list.m3u8"],
                    lists: vec![
                        ("/a/list.m3u8", list(10..16, 2, own, true)),
                        ("/b/list.m3u8", list(10..16, 4, own, true)),
                    ],
                    says: Err("its address was"),
                },
                Case {
                    rule: "the known one ends sooner",
                    ways: &["/b/list.m3u8", "/a/list.m3u8"],
                    lists: vec![
                        ("/a/list.m3u8", list(10..13, 2, own, true)),
                        ("/b/list.m3u8", list(10..16, 2, own, true)),
                    ],
                    says: Err("its address was"),
                },
                Case {
                    rule: "the known one lags behind, and has the same names",
                    ways: &["/b/list.m3u8", "/a/list.m3u8"],
                    lists: vec![
                        ("/a/list.m3u8", list(10..12, 2, own, false)),
                        ("/b/list.m3u8", list(10..16, 2, own, true)),
                    ],
                    says: Ok(()),
                },
                Case {
                    rule: "the known one is not named",
                    ways: &["/b/list.m3u8", "/c/list.m3u8"],
                    lists: vec![
                        ("/b/list.m3u8", list(10..16, 2, own, true)),
                        ("/c/list.m3u8", list(10..16, 2, own, true)),
                    ],
                    says: Err("its address was"),
                },
                Case {
                    rule: "it is not named as redundant",
                    ways: &["/b/list.m3u8"],
                    lists: vec![
                        ("/a/list.m3u8", list(10..16, 2, own, true)),
                        ("/b/list.m3u8", list(10..16, 2, own, true)),
                    ],
                    says: Err("its address was"),
                },
            ]
        };
        for case in cases() {
            let place = format!("{}, live: {live}", case.rule);
            let mut rules = vec![
                Rule::new("/master.m3u8", redundant(&["/a/list.m3u8"])),
                Rule::new("/a/list.m3u8", list(10..if live { 14 } else { 16 }, 2, own, !live)),
                Rule::new("/a/13.ts", Fault::status(404)),
            ];
            rules.extend(segments());
            let bench = Bench::new(rules);
            let args = [&["-o", "out.ts"], &SOON[..]].concat();
            let broken = bench.fetch(&args, "/master.m3u8").await;
            assert_eq!(broken.code, Some(1), "{place}: {}", broken.stderr);
            let left = tree(bench.folder());
            let mut rules = vec![Rule::new("/master.m3u8", redundant(case.ways))];
            rules.extend(case.lists.into_iter().map(|(path, fault)| Rule::new(path, fault)));
            rules.extend(segments());
            bench.server.set_rules(rules);
            let again = bench.fetch(&args, "/master.m3u8").await;
            match case.says {
                Ok(()) => {
                    assert_eq!(again.code, Some(0), "{place}: {}", again.stderr);
                    assert!(
                        media(&bench.path("out.ts")) == undisturbed(&["-o", "out.ts"], "/s/plain-ts/index.m3u8", "out.ts").await,
                        "{place}"
                    );
                    assert_eq!(bench.asked("/*10.ts"), 1, "{place}: it was not taken up");
                    assert!(bench.asked("/*/list.m3u8") <= 6, "{place}: playlists were read again and again");
                }
                Err(says) => {
                    assert_eq!(again.code, Some(2), "{place}: {}", again.stderr);
                    assert!(again.stderr.contains(says), "{place}: {}", again.stderr);
                    assert!(tree(bench.folder()) == left, "{place}: it was touched");
                }
            }
        }
    }
}

/// The first run has a segment of the pictures, and none of the sound.
#[tokio::test]
async fn a_track_that_has_nothing_yet_waits_until_the_others_have_matched() {
    let own = |msn| format!("{msn}.ts");
    let master = |ways: &[&str]| {
        let sound = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"a\",URI=\"/s/alternate-audio/r0/index.m3u8\"\n";
        let pictures: String = ways
            .iter()
            .map(|way| format!("#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\"\n{way}\n"))
            .collect();
        playlist(&format!("{sound}{pictures}"))
    };
    let mut rules = vec![
        Rule::new("/master.m3u8", master(&["/a/list.m3u8"])),
        Rule::new("/a/list.m3u8", list(10..16, 2, own, true)),
        Rule::new("/s/alternate-audio/r0/0.*", Fault::status(404)),
    ];
    rules.extend(segments());
    let bench = Bench::new(rules);
    let args = [&["-o", "film", "--format", "hls"], &SOON[..]].concat();
    expect(&bench.fetch(&args, "/master.m3u8").await, 1, "the same command carries on");
    let left = tree(bench.folder());
    let mut rules = vec![
        Rule::new("/master.m3u8", master(&["/b/list.m3u8", "/a/list.m3u8"])),
        Rule::new("/b/list.m3u8", list(10..16, 4, own, true)),
        // It tells nothing, and late.
        Rule::new("/a/list.m3u8", Fault::Stall { at: 0 }),
    ];
    rules.extend(segments());
    bench.server.set_rules(rules);
    let before = bench.asked("/s/alternate-audio/r0/0.*");
    expect(
        &bench.fetch(&args, "/master.m3u8").await,
        2,
        "another stream than an earlier run left here",
    );
    assert!(tree(bench.folder()) == left, "it was touched: {:?}", bench.names());
    assert_eq!(bench.asked("/s/alternate-audio/r0/0.*"), before, "sound was asked for");
}
