//! What a run leaves of a live stream, and what becomes of the stream before the next.

use std::ops::Range;

use e2e::Reference;

use super::*;

const PLAYLIST: &str = "/s/plain-ts/index.m3u8";

/// A window over the segments of `plain-ts`, the first of which has this Media Sequence Number.
fn window(first_msn: u64, segments: Range<usize>, ended: bool) -> Fault {
    let names: String = segments.map(|segment| format!("#EXTINF:1.0,\n{segment}.ts\n")).collect();
    let end = if ended { "#EXT-X-ENDLIST\n" } else { "" };
    Fault::Body {
        content_type: "application/vnd.apple.mpegurl".into(),
        text: format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first_msn}\n{names}{end}"),
    }
}

struct Case {
    rule: &'static str,
    /// What the playlist shows in the second run: the number of its first segment, which they are, whether that is the end.
    then: (u64, Range<usize>, bool),
    on_missing: &'static str,
    code: i32,
    says: &'static str,
    /// The segments of the film, where there is one.
    film: Option<&'static [usize]>,
}

/// The first run sees segments 10 to 13, and cannot have 12.
#[tokio::test]
async fn a_live_stream_that_ended_between_two_runs_is_taken_up() {
    let cases = [
        Case {
            rule: "the whole stays",
            then: (10, 0..6, true),
            on_missing: "abort",
            code: 0,
            says: "whole: 6 segments",
            film: Some(&[0, 1, 2, 3, 4, 5]),
        },
        Case {
            rule: "the window moved on as far as the recording came",
            then: (12, 2..6, true),
            on_missing: "abort",
            code: 0,
            says: "whole: 6 segments",
            film: Some(&[0, 1, 2, 3, 4, 5]),
        },
        Case {
            rule: "the window moved beyond, and gaps are not wanted",
            then: (14, 4..6, true),
            on_missing: "abort",
            code: 1,
            says: "track 0: segments 12 to 13 left the live window before this run",
            film: None,
        },
        Case {
            rule: "the window moved beyond, and gaps are wanted",
            then: (14, 4..6, true),
            on_missing: "gap",
            code: 3,
            says: "missing: segments 12 to 13 of track 0",
            film: Some(&[0, 1, 4, 5]),
        },
        Case {
            rule: "the window moved far beyond",
            then: (1_000_000_014, 4..6, true),
            on_missing: "gap",
            code: 3,
            says: "missing: segments 12 to 1000000013 of track 0",
            film: Some(&[0, 1, 4, 5]),
        },
        Case {
            rule: "nothing new came",
            then: (11, 1..2, true),
            on_missing: "abort",
            code: 0,
            says: "whole: 2 segments",
            film: Some(&[0, 1]),
        },
        Case {
            rule: "it has older segments than the recording",
            then: (9, 5..6, true),
            on_missing: "gap",
            code: 2,
            says: "it is not in the playlist any more",
            film: None,
        },
        Case {
            rule: "other segments have the numbers",
            then: (10, 1..6, true),
            on_missing: "gap",
            code: 2,
            says: "its address was",
            film: None,
        },
        Case {
            rule: "a server that counts on from elsewhere",
            then: (1000, 1..6, true),
            on_missing: "gap",
            code: 3,
            says: "or the server counts anew: a segment has another number than it had track=track 0 lost=988 now=1000 then=11",
            film: Some(&[0, 1, 1, 2, 3, 4, 5]),
        },
        Case {
            rule: "a server that counts again",
            then: (0, 0..6, false),
            on_missing: "gap",
            code: 2,
            says: "its number was 10 and is 0: the server counts its segments anew",
            film: None,
        },
    ];
    for case in cases {
        let bench = Bench::new(vec![
            Rule::new(PLAYLIST, window(10, 0..4, false)),
            Rule::new("/s/plain-ts/2.ts", Fault::status(404)),
        ]);
        // As it came: what comes twice would be moved behind itself in time.
        let first = bench.fetch(&["--format", "raw", "-o", "out.ts"], PLAYLIST).await;
        expect(&first, 1, "the same command carries on");
        let (msn, segments, ended) = case.then.clone();
        bench.server.set_rules(vec![Rule::new(PLAYLIST, window(msn, segments, ended))]);
        let report = ["--report", "report.json"];
        let args = ["--format", "raw", "-o", "out.ts", "--on-missing", case.on_missing];
        let second = bench.fetch(&[&args[..], &report[..]].concat(), PLAYLIST).await;
        expect(&second, case.code, case.says);
        match case.film {
            Some(segments) => {
                let expected = Reference::some("high-ts", segments).bytes().unwrap();
                assert!(media(&bench.path("out.ts")) == expected, "{}: another film", case.rule);
            }
            None => assert_eq!(
                media(&bench.path("out.ts.part")),
                Reference::some("high-ts", &[0, 1]).bytes().unwrap()
            ),
        }
        assert!(!second.stderr.contains("stage lost"), "{}: {}", case.rule, second.stderr);
    }
}

#[tokio::test]
async fn a_leap_of_a_live_window_is_named_by_its_first_and_last_number() {
    let bench = Bench::new(vec![
        Rule::new(PLAYLIST, window(10, 0..3, false)).times(1),
        Rule::new(PLAYLIST, window(4_000_000_013, 3..6, true)).skip(1),
    ]);
    let args = ["-o", "out.ts", "--report", "report.json"];
    let finished = bench.fetch(&args, PLAYLIST).await;
    expect(&finished, 3, "missing: segments 13 to 4000000012 of track 0: left the live window");
    expect(&finished, 3, "segments missing: 4000000000");
    assert!(media(&bench.path("out.ts")) == Reference::all("high-ts").bytes().unwrap());
    let report: serde_json::Value = serde_json::from_slice(&media(&bench.path("report.json"))).unwrap();
    let units = report["outputs"][0]["units"].as_array().unwrap();
    let expired: Vec<_> = units.iter().filter(|unit| unit["fate"] == "expired").collect();
    let mut verify = binary::command(bench.folder()).unwrap();
    let child = verify.args(["verify", "out.ts", "--report", "report.json"]).spawn().unwrap();
    let verified = binary::finish(child, PATIENCE).await.unwrap();
    expect(&verified, 3, "missing: segments 13 to 4000000012 of track 0");
    assert_eq!(expired.len(), 1);
    assert_eq!(
        (&expired[0]["msn"], &expired[0]["segments"]),
        (&13.into(), &4_000_000_000_u64.into())
    );
}

/// An encoder that began anew may give the same names to the same numbers.
#[tokio::test]
async fn a_live_stream_of_another_time_is_another_one() {
    let dated = |hour: usize, segments: Range<usize>, ended: bool| {
        let (first, end) = (10 + segments.start, if ended { "#EXT-X-ENDLIST\n" } else { "" });
        let segment = |number| format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T{hour}:00:1{number}Z\n#EXTINF:1.0,\n/s/plain-ts/{number}.ts\n");
        let segments: String = segments.map(segment).collect();
        Fault::Body {
            content_type: "application/vnd.apple.mpegurl".into(),
            text: format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}{end}"),
        }
    };
    for (hour, segments, code, says) in [
        (13, 1..6, 2, "segment 11 of track 0: it was recorded at another time"),
        (13, 0..6, 2, "segment 10 of track 0: it was recorded at another time"),
        (12, 1..6, 0, "whole: 6 segments"),
    ] {
        let bench = Bench::new(vec![
            Rule::new(PLAYLIST, dated(12, 0..4, false)),
            Rule::new("/s/plain-ts/2.ts", Fault::status(404)),
        ]);
        expect(&bench.fetch(&["-o", "out.ts"], PLAYLIST).await, 1, "the same command carries on");
        let left = tree(bench.folder());
        bench.server.set_rules(vec![Rule::new(PLAYLIST, dated(hour, segments, true))]);
        expect(&bench.fetch(&["-o", "out.ts"], PLAYLIST).await, code, says);
        assert!(code == 0 || tree(bench.folder()) == left, "it was touched");
    }
}
