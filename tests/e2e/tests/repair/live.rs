//! Recordings of live streams, of which the window has moved on by the time of the repair.

use e2e::bench::tree;

use super::*;

/// A window over these lines, of which each is a segment with what stands before it.
pub(super) fn window(first: usize, segments: &[String], end: &str) -> Fault {
    Fault::Body {
        content_type: "application/vnd.apple.mpegurl".into(),
        text: format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{}{end}",
            segments.concat()
        ),
    }
}

pub(super) const END: &str = "#EXT-X-ENDLIST\n";
pub(super) const PLAYLIST: &str = "/live.m3u8";
/// An output of each form, and what else it is asked for with.
pub(super) const FORMS: [(&str, &[&str]); 4] = [("film", &["--format", "hls"]), ("out.ts", &[]), ("out.mp4", &[]), ("out.mkv", &[])];

/// A stream of six segments, of which the first four are in the window first, and then the last four.
#[derive(Clone)]
pub(super) struct Live {
    /// The Media Sequence Number of the first.
    first: usize,
    segments: Vec<String>,
    /// What stands in front of the first segment of a window.
    head: String,
}

impl Live {
    pub(super) fn of(head: &str, segment: impl Fn(usize) -> String) -> Self {
        Self {
            first: 10,
            segments: (0..6).map(segment).collect(),
            head: head.to_owned(),
        }
    }

    /// The segments of `aes-sequence-iv`, which have numbers of their own: these are what they were sealed with (RFC 8216, 5.2).
    pub(super) fn sealed(key: &str) -> Self {
        Self {
            first: 40,
            ..Self::of(key, |number| named("aes-sequence-iv", number))
        }
    }

    pub(super) fn window(&self, from: usize, to: usize, end: &str) -> Fault {
        let mut segments = self.segments[from..to].to_vec();
        let is_another = |segment: &&String| segment.contains("#EXT-X-DISCONTINUITY\n");
        let left = self.segments[..from].iter().filter(is_another).count();
        segments[0].insert_str(0, &format!("#EXT-X-DISCONTINUITY-SEQUENCE:{left}\n{}", self.head));
        window(self.first + from, &segments, end)
    }

    /// What a run meets that records it.
    pub(super) fn rules(&self, more: Vec<Rule>) -> Vec<Rule> {
        let windows = [
            Rule::new(PLAYLIST, self.window(0, 4, "")).times(1),
            Rule::new(PLAYLIST, self.window(2, 6, END)),
        ];
        windows.into_iter().chain(more).collect()
    }
}

pub(super) fn gone(path: &str) -> Rule {
    Rule::new(path, Fault::status(404))
}

/// Streams by their names, each with the segment that is lost.
pub(super) fn streams() -> Vec<(&'static str, Live, &'static str)> {
    let plain = |number: usize| named("plain-ts", number);
    vec![
        ("plain", Live::of("", plain), "*/1.ts"),
        (
            "with dates, date ranges and a discontinuity",
            Live::of("", |number| {
                let date = format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:0{number}:00Z\n");
                let range = format!("#EXT-X-DATERANGE:ID=\"ad-{number}\",START-DATE=\"2026-01-01T12:00:00Z\",X-COM-ID=\"a,b\"\n");
                let before = if number == 1 { "#EXT-X-DISCONTINUITY\n" } else { "" };
                format!("{before}{date}{range}{}", plain(number))
            }),
            "*/1.ts",
        ),
        (
            "encrypted, with the number of each segment as its IV",
            Live::sealed("#EXT-X-KEY:METHOD=AES-128,URI=\"/s/aes-sequence-iv/key0.bin\"\n"),
            "*/1.ts",
        ),
        (
            "fragmented MP4",
            Live::of("#EXT-X-MAP:URI=\"/s/fmp4/init.mp4\"\n", |number| {
                format!("#EXTINF:1.0,\n/s/fmp4/{number}.m4s\n")
            }),
            "*/1.m4s",
        ),
    ]
}

#[tokio::test]
async fn what_a_window_moved_on_from_is_fetched_by_its_address() {
    for (name, live, lost) in streams() {
        let undisturbed = folders::made(PLAYLIST, live.rules(Vec::new()), 0).await;
        let bench = folders::made(PLAYLIST, live.rules(vec![gone(lost)]), 3).await;
        let before = tree(&bench.path("film"));
        // It cannot be had yet; the stream has ended, or goes on.
        for end in ["", END] {
            let rules = vec![Rule::new(PLAYLIST, live.window(2, 6, end)), gone(lost)];
            bench.server.set_rules(rules);
            let says = format!("not mended: segment {} of track 0: ", live.first + 1);
            expect(&bench.run(&["repair", "film"]).await, 3, &says);
            assert!(tree(&bench.path("film")) == before, "{name}: it was touched");
        }
        let asked = bench.segments();
        bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(2, 6, ""))]);
        expect(&bench.run(&["repair", "film"]).await, 0, "missing segments filled in: 1");
        assert!(tree(&bench.path("film")) == tree(&undisturbed.path("film")), "{name}");
        // The one in front of it shows that it is still the same.
        assert_eq!(bench.segments() - asked, 2, "{name}");
        if lost.ends_with(".ts") {
            let segments = tree(&bench.path("film/video"))
                .into_iter()
                .filter(|(file, _)| file.ends_with(".ts"));
            let plain = e2e::Reference::all("high-ts").bytes().unwrap();
            assert!(segments.flat_map(|(_, bytes)| bytes).collect::<Vec<_>>() == plain, "{name}");
        }
        let reports = [&bench, &undisturbed]
            .map(|bench| e2e::schema::check_report(&String::from_utf8(bench.read(folders::REPORT)).unwrap()).unwrap());
        assert_eq!(reports[0]["outcome"], "whole", "{name}");
        assert_eq!(reports[0]["outputs"][0]["bytes"], reports[1]["outputs"][0]["bytes"], "{name}");
        assert_eq!(reports[0]["outputs"][0]["tracks"][0]["live"], true, "{name}");
        expect(&bench.run(&["verify", "film"]).await, 0, "sound: ");

        // What is damaged is of no window either, nor are its playlists.
        for name in ["video/index.m3u8", "index.m3u8"] {
            std::fs::remove_file(bench.path(&format!("film/{name}"))).unwrap();
        }
        let repaired = bench.run(&["repair", "film"]).await;
        if live.segments[0].contains("DATERANGE") {
            expect(&repaired, 1, "not mended: ");
            continue;
        }
        expect(&repaired, 0, "places mended: 2");
        let segment = lost.replace("*/1", "film/video/00000");
        bench.write(&segment, b"something else");
        expect(&bench.run(&["repair", "film"]).await, 0, "places mended: 1");
        assert!(tree(&bench.path("film")) == tree(&undisturbed.path("film")), "{name}");
    }
}

#[tokio::test]
async fn files_of_a_live_stream_are_mended_like_any_other() {
    for (name, live, lost) in streams() {
        for output in ["out.ts", "out.mp4", "out.mkv"] {
            let undisturbed = Made::by(Bench::new(live.rules(Vec::new())), output, PLAYLIST, &[], 0).await;
            let bench = Bench::new(live.rules(vec![gone(lost)]));
            let made = Made::by(bench, output, PLAYLIST, &["--on-missing", "gap"], 3).await;
            for end in ["", END] {
                let rules = vec![Rule::new(PLAYLIST, live.window(2, 6, end)), gone(lost)];
                made.bench.server.set_rules(rules);
                made.repair(&[], 3, "not mended: ").await;
                made.is_whole(name);
            }
            made.bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(3, 6, ""))]);
            made.repair(&[], 0, "missing segments filled in: 1").await;
            assert!(made.bench.read(output) == undisturbed.whole, "{name} to {output}");
            // The same again of what is damaged.
            let mut damaged = undisturbed.whole.clone();
            let piece = undisturbed.piece(0, live.first as u64 + 1);
            damaged[piece.0 + piece.1 / 2] ^= 1;
            made.write(&damaged);
            made.repair(&[], 0, "sound").await;
            assert!(made.bench.read(output) == undisturbed.whole, "{name} to {output}");
            assert_eq!(made.names(), 2, "{name} to {output}");
        }
    }
}

#[tokio::test]
async fn what_left_the_window_before_it_was_asked_for_is_filled_in_when_the_playlist_has_it_again() {
    let live = Live::of("", |number| format!("#EXTINF:1.0,\n/s/plain-ts/{number}.ts\n"));
    let whole = || Rule::new(PLAYLIST, live.window(0, 6, END));
    for (output, args) in [("film", &["--format", "hls"][..]), ("out.ts", &[]), ("out.mp4", &[])] {
        let undisturbed = Bench::new(live.rules(Vec::new()));
        let run = [&["-o", output, "--report", "report.json"][..], args].concat();
        expect(&undisturbed.fetch(&run, PLAYLIST).await, 0, "");
        let rules = vec![
            Rule::new(PLAYLIST, live.window(0, 2, "")).times(1),
            Rule::new(PLAYLIST, live.window(4, 6, END)),
        ];
        let bench = Bench::new(rules);
        expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
        let repair = ["repair", output, "--report", "report.json"];
        expect(&bench.run(&repair).await, 3, "not mended: ");
        bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(3, 6, END))]);
        expect(&bench.run(&repair).await, 3, "missing segments filled in: 1");
        bench.server.set_rules(vec![whole()]);
        expect(&bench.run(&repair).await, 0, "missing segments filled in: 1");
        let all = [&undisturbed, &bench].map(|bench| {
            let path = bench.path(output);
            if path.is_dir() {
                tree(&path)
            } else {
                vec![(output.to_owned(), bench.read(output))]
            }
        });
        assert!(all[0] == all[1], "{output}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_told_whole_is_not_asked_for_and_says_so() {
    let query = Live::of("", |number| format!("#EXTINF:1.0,\n/s/plain-ts/{number}.ts?n={number}\n"));
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"/s/aes-sequence-iv/key0.bin?k=1\"\n";
    let keyed = Live::sealed(key);
    let other = Live {
        first: keyed.first,
        ..query.clone()
    };
    for (live, then, code, says) in [
        (&query, query.window(2, 6, END), 3, "no playlist names it any more"),
        (&query, query.window(0, 6, END), 0, "missing segments filled in: 1"),
        // Its playlist names the key still.
        (&keyed, keyed.window(2, 6, END), 0, "missing segments filled in: 1"),
        (&keyed, other.window(2, 6, END), 2, "another stream"),
    ] {
        let bench = folders::made(PLAYLIST, live.rules(vec![gone("*/1.ts")]), 3).await;
        bench.server.set_rules(vec![Rule::new(PLAYLIST, then)]);
        let asked = bench.asked("*/1.ts");
        expect(&bench.run(&["repair", "film"]).await, code, says);
        assert_eq!(bench.asked("*/1.ts") - asked, usize::from(code == 0), "{says}");
    }
}

/// What a report of an earlier version does not tell.
#[tokio::test]
async fn without_what_a_report_tells_of_a_live_stream_only_what_its_playlist_names_is_mended() {
    let live = Live::of("", |number| format!("#EXTINF:1.0,\n/s/plain-ts/{number}.ts\n"));
    for (then, code, says) in [
        (live.window(2, 6, END), 3, "not mended: missing segments: 1: the stream was live"),
        (live.window(0, 6, END), 0, "missing segments filled in: 1"),
    ] {
        let bench = folders::made(PLAYLIST, live.rules(vec![gone("*/1.ts")]), 3).await;
        let mut report: Value = serde_json::from_slice(&bench.read(folders::REPORT)).unwrap();
        for unit in report["outputs"][0]["units"].as_array_mut().unwrap() {
            assert!(unit.as_object_mut().unwrap().remove("listing").is_some());
        }
        bench.write(folders::REPORT, report.to_string().as_bytes());
        bench.server.set_rules(vec![Rule::new(PLAYLIST, then)]);
        let mut damaged = bench.read("film/video/00003.ts");
        damaged[1000] ^= 1;
        bench.write("film/video/00003.ts", &damaged);
        expect(&bench.run(&["repair", "film"]).await, code, says);
        expect(&bench.run(&["verify", "film"]).await, code, "sound");
    }
}

fn listed(first: usize, segments: &[String], end: &str) -> Vec<Rule> {
    vec![Rule::new(PLAYLIST, window(first, segments, end))]
}

pub(super) fn named(stream: &str, number: usize) -> String {
    format!("#EXTINF:1.0,\n/s/{stream}/{number}.ts\n")
}

/// A report tells numbers and addresses, and both may stand for something else by now.
#[tokio::test]
async fn another_stream_under_the_same_numbers_fills_in_nothing() {
    let other: Vec<String> = (0..6).map(|number| named("low-ts", number)).collect();
    let anew = "its number was 10 and is 3: the server counts its segments anew";
    for (output, args) in FORMS {
        let live = Live::of("", |number| named("plain-ts", number));
        let bench = Bench::new(vec![
            Rule::new(PLAYLIST, live.window(0, 2, "")).times(1),
            Rule::new(PLAYLIST, live.window(4, 6, END)),
        ]);
        let run = [&["-o", output, "--report", "report.json"][..], args].concat();
        expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
        let before = tree(bench.folder());
        for (name, then, code, says) in [
            ("all of another", listed(10, &other, END), 2, "its address was"),
            ("the same, and it goes on", listed(10, &other, ""), 2, "its address was"),
            (
                "what was lost, and what came then",
                listed(12, &other[2..], END),
                2,
                "its address was",
            ),
            ("nothing that is known", listed(12, &other[2..4], END), 3, "not mended: "),
            ("a window that moved back", listed(3, &other, ""), 2, anew),
        ] {
            bench.server.set_rules(then);
            let repaired = bench.run(&["repair", output, "--report", "report.json"]).await;
            expect(&repaired, code, says);
            assert!(tree(bench.folder()) == before, "{name}, {output}: it was touched");
        }
    }
}

#[tokio::test]
async fn the_same_names_at_another_time_are_of_another_stream() {
    let at = |hour: usize| {
        Live::of("", move |number| {
            format!(
                "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T{hour}:0{number}:00Z\n{}",
                named("plain-ts", number)
            )
        })
    };
    for (then, code, says) in [
        (at(13).window(2, 6, ""), 2, "it was recorded at another time"),
        (at(13).window(0, 6, END), 2, "it was recorded at another time"),
        (at(12).window(2, 6, ""), 0, "missing segments filled in: 1"),
    ] {
        for output in ["film", "out.ts"] {
            let format = if output == "film" { "hls" } else { "ts" };
            let bench = Bench::new(at(12).rules(vec![gone("*/1.ts")]));
            let run = ["--format", format, "-o", output, "--on-missing", "gap", "--report", "report.json"];
            expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
            bench.server.set_rules(vec![Rule::new(PLAYLIST, then.clone())]);
            expect(&bench.run(&["repair", output, "--report", "report.json"]).await, code, says);
        }
    }
}

#[tokio::test]
async fn an_address_at_which_something_else_stood_as_well_is_not_asked() {
    // Names come round again.
    let live = Live::of("", |number| named("plain-ts", number % 4));
    let bench = folders::made(PLAYLIST, live.rules(vec![gone("*/1.ts")]), 3).await;
    let before = tree(&bench.path("film"));
    bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(2, 5, END))]);
    expect(
        &bench.run(&["repair", "film"]).await,
        3,
        "something else stood at its address as well",
    );
    assert!(tree(&bench.path("film")) == before, "it was touched");
    // The playlist tells which is meant.
    bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(2, 6, END))]);
    expect(&bench.run(&["repair", "film"]).await, 3, "missing segments filled in: 1");
}

#[tokio::test]
async fn a_window_that_moved_back_keeps_no_repair_waiting_that_digests_prove() {
    let live = Live::of("", |number| named("plain-ts", number));
    let made = Made::by(Bench::new(live.rules(Vec::new())), "out.ts", PLAYLIST, &[], 0).await;
    let other: Vec<String> = (0..3).map(|number| named("low-ts", number)).collect();
    made.bench.server.set_rules(listed(0, &other, ""));
    let (offset, length) = made.piece(0, 13);
    made.flip(&[offset + length / 2]);
    made.repair(&[], 0, "places mended: 1").await;
    made.is_whole("it is mended by the address that the report tells");
}

#[tokio::test]
async fn the_initialization_section_is_where_the_window_has_it_now() {
    let live = Live::of("#EXT-X-MAP:URI=\"/token=a/init.mp4\"\n", |number| {
        format!("#EXTINF:1.0,\n/token=a/{number}.m4s\n")
    });
    // What the report tells of it leads nowhere.
    let open = |lost: Option<usize>| {
        let to = |name: String| {
            let (path, to) = (format!("/token=a/{name}"), format!("/s/fmp4/{name}"));
            Rule::new(path, Fault::Redirect { status: 302, to })
        };
        let segments = (0..6)
            .filter(|number| Some(*number) != lost)
            .map(|number| to(format!("{number}.m4s")));
        segments.chain([to("init.mp4".into())]).collect::<Vec<_>>()
    };
    for output in ["out.mp4", "out.m4s", "film"] {
        let format = if output == "film" { "hls" } else { "auto" };
        let args = ["--on-missing", "gap", "--format", format];
        let args = if format == "auto" { &args[..2] } else { &args[..] };
        let run = [&["-o", output, "--report", "report.json"][..], args].concat();
        let undisturbed = Bench::new(live.rules(open(None)));
        expect(&undisturbed.fetch(&run, PLAYLIST).await, 0, "");
        let bench = Bench::new(live.rules(open(Some(3))));
        expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
        let rules = [vec![Rule::new(PLAYLIST, live.window(2, 6, ""))], open(None)].concat();
        bench.server.set_rules(rules);
        expect(
            &bench.run(&["repair", output, "--report", "report.json"]).await,
            0,
            "missing segments filled in: 1",
        );
        let made = |bench: &Bench| {
            let made = tree(bench.folder()).into_iter();
            made.filter(|(name, _)| name != "report.json").collect::<Vec<_>>()
        };
        assert!(made(&bench) == made(&undisturbed), "{output}");
    }
}

#[tokio::test]
async fn a_key_is_not_taken_for_another_that_is_told_alike() {
    let key = |bytes: [u8; 16]| {
        let bytes: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
        format!("#EXT-X-KEY:METHOD=AES-128,URI=\"data:application/octet-stream,{bytes}\"\n")
    };
    let live = |bytes| Live::sealed(&key(bytes));
    let own = fixture_server::Encryption::key(0);
    let bench = folders::made(PLAYLIST, live(own).rules(vec![gone("*/1.ts")]), 3).await;
    bench.server.set_rules(vec![Rule::new(PLAYLIST, live([7; 16]).window(2, 6, ""))]);
    expect(&bench.run(&["repair", "film"]).await, 3, "no playlist names its key any more");
}

/// What a report left out of an address, it left out for good.
#[tokio::test]
async fn an_address_that_was_not_told_whole_is_not_after_a_repair() {
    let live = Live::of("", |number| format!("#EXTINF:1.0,\n/s/plain-ts/{number}.ts?n={number}\n"));
    for output in ["out.ts", "out.mp4", "out.mkv"] {
        let bench = Bench::new(live.rules(vec![gone("*/1.ts"), gone("*/2.ts")]));
        let made = Made::by(bench, output, PLAYLIST, &["--on-missing", "gap"], 3).await;
        made.bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(2, 6, ""))]);
        made.repair(&[], 3, "missing segments filled in: 1").await;
        let filled = made.bench.read(output);
        made.bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(3, 6, ""))]);
        let asked = made.bench.asked("*/1.ts");
        made.repair(&[], 3, "no playlist names it any more").await;
        assert_eq!(made.bench.asked("*/1.ts"), asked, "{output}: it was asked for without its query");
        assert!(made.bench.read(output) == filled, "{output}");
        let report: Value = serde_json::from_slice(&made.bench.read(&format!("{output}.report.json"))).unwrap();
        for unit in report["outputs"][0]["units"].as_array().unwrap() {
            assert_eq!(unit["listing"]["incomplete"], true, "{output}: {unit}");
        }
    }
}

/// A server that writes over its files in turn: the segments with the numbers 10 to 13 stood at `/r/0.ts` to `/r/3.ts`, and what has
/// the numbers 14 to 17 comes there after them.
pub(super) fn in_turn(overwritten: usize) -> Vec<Rule> {
    let stands = |place: usize| {
        let stream = if place < overwritten { "low-ts" } else { "plain-ts" };
        let to = format!("/s/{stream}/{place}.ts");
        Rule::new(format!("/r/{place}.ts"), Fault::Redirect { status: 302, to })
    };
    (0..4).map(stands).collect()
}

#[tokio::test]
async fn what_never_came_is_taken_from_its_address_only_where_what_came_before_it_still_stands() {
    let turn: Vec<String> = (0..4).map(|place| format!("#EXTINF:1.0,\n/r/{place}.ts\n")).collect();
    let recorded = |lost: &str| {
        let windows = vec![
            Rule::new(PLAYLIST, window(10, &turn, "")).times(1),
            Rule::new(PLAYLIST, window(12, &turn[2..], END)),
        ];
        [windows, vec![gone(lost)], in_turn(0)].concat()
    };
    let another = "what stands at its address by now may be another";
    for (output, args) in FORMS {
        let run = [&["-o", output, "--report", "report.json", "--on-missing", "gap"][..], args].concat();
        let repair = ["repair", output, "--report", "report.json"];
        let undisturbed = Bench::new(recorded("nothing"));
        expect(&undisturbed.fetch(&run, PLAYLIST).await, 0, "");
        let bench = Bench::new(recorded("/r/1.ts"));
        expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
        let before = tree(bench.folder());
        for (name, overwritten, then) in [
            ("all were written over", 4, window(20, &turn[2..], "")),
            (
                "it was written over, and what came behind it was not",
                2,
                window(16, &turn[2..], END),
            ),
            ("it is the next to be written over", 1, window(16, &turn[2..], "")),
            ("its address is named under another number", 0, window(14, &turn, "")),
            ("the same, and the stream has ended", 0, window(14, &turn, END)),
        ] {
            bench
                .server
                .set_rules([vec![Rule::new(PLAYLIST, then)], in_turn(overwritten)].concat());
            let repaired = bench.run(&repair).await;
            assert_eq!(repaired.code, Some(3), "{name}, {output}: {}", repaired.stderr);
            assert!(repaired.stderr.contains("not mended: "), "{name}, {output}: {}", repaired.stderr);
            assert!(tree(bench.folder()) == before, "{name}, {output}: it was touched");
            if output != "out.mkv" {
                expect(&repaired, 3, another);
            }
        }
        let then = window(16, &turn[2..], "");
        bench.server.set_rules([vec![Rule::new(PLAYLIST, then)], in_turn(0)].concat());
        expect(&bench.run(&repair).await, 0, "missing segments filled in: 1");
        let films = [&bench, &undisturbed].map(|bench| {
            let files = tree(bench.folder()).into_iter();
            files.filter(|(name, _)| name != "report.json").collect::<Vec<_>>()
        });
        assert!(films[0] == films[1], "{output}");
    }
}

/// Nothing came before it that could show anything.
#[tokio::test]
async fn a_first_segment_that_never_came_is_not_taken_from_its_address() {
    let live = Live::of("", |number| named("plain-ts", number));
    for (output, args) in FORMS {
        let run = [&["-o", output, "--report", "report.json", "--on-missing", "gap"][..], args].concat();
        let bench = Bench::new(live.rules(vec![gone("*/0.ts")]));
        expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
        let repair = ["repair", output, "--report", "report.json"];
        bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(2, 6, ""))]);
        expect(&bench.run(&repair).await, 3, "what stands at its address by now may be another");
        bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(0, 6, END))]);
        expect(&bench.run(&repair).await, 0, "missing segments filled in: 1");
    }
}

/// The window is where the recording was long ago, under the same names.
#[tokio::test]
async fn a_server_that_counts_anew_keeps_no_repair_waiting() {
    let live = Live::of("", |number| named("plain-ts", number));
    let bench = Bench::new(live.rules(vec![gone("*/4.ts")]));
    let made = Made::by(bench, "out.ts", PLAYLIST, &["--on-missing", "gap"], 3).await;
    made.bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(0, 2, ""))]);
    let anew = "its number was 15 and is 11: the server counts its segments anew";
    made.repair(&[], 2, anew).await;
    made.is_whole("it was touched");
    // A window that is only late is no other.
    let late = Rule::new(PLAYLIST, live.window(0, 3, "")).times(1);
    made.bench.server.set_rules(vec![late, Rule::new(PLAYLIST, live.window(0, 6, ""))]);
    made.repair(&[], 0, "missing segments filled in: 1").await;
    // What proves itself is had all the same.
    let made = Made::by(Bench::new(live.rules(Vec::new())), "out.ts", PLAYLIST, &[], 0).await;
    made.bench.server.set_rules(vec![Rule::new(PLAYLIST, live.window(0, 2, ""))]);
    let (offset, length) = made.piece(0, 15);
    made.flip(&[offset + length / 2]);
    made.repair(&[], 0, "places mended: 1").await;
    made.is_whole("it is mended by the address that the report tells");
}

/// What a report leaves out of an address may be all that tells two keys apart.
#[tokio::test]
async fn a_key_is_not_taken_for_another_that_differs_in_its_query() {
    let keyed = |keys: [&str; 6]| Live {
        first: 40,
        ..Live::of("", |number| {
            let key = format!("/s/aes-sequence-iv/key0.bin?{}", keys[number]);
            format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\"\n{}", named("aes-sequence-iv", number))
        })
    };
    let (ours, theirs) = ("asset=film", "asset=ad");
    let is_ad = |at: usize| std::array::from_fn(|number| if number == at { theirs } else { ours });
    let token = ["token=new"; 6];
    // The last is what becomes of a film of samples, for which what stands behind is fetched as well.
    for (name, then, now, code, samples) in [
        ("one key", [ours; 6], [ours; 6], 0, 0),
        ("another, as of an advertisement", is_ad(1), [ours; 6], 3, 3),
        ("another in front of it", is_ad(0), [ours; 6], 0, 0),
        ("another behind it", is_ad(2), [ours; 6], 0, 3),
        ("one key, under another token by now", [ours; 6], token, 0, 0),
        ("another, under other tokens by now", is_ad(1), token, 3, 3),
    ] {
        for (output, args, code) in [
            ("film", &["--format", "hls"][..], code),
            ("out.ts", &[], code),
            ("out.mp4", &[], samples),
            ("out.mkv", &[], samples),
        ] {
            let run = [&["-o", output, "--report", "report.json", "--on-missing", "gap"][..], args].concat();
            let bench = Bench::new(keyed(then).rules(vec![gone("*/1.ts")]));
            expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
            let report = String::from_utf8(bench.read("report.json")).unwrap();
            assert!(!report.contains("asset"), "{name}: a query was told");
            bench.server.set_rules(vec![Rule::new(PLAYLIST, keyed(now).window(3, 6, END))]);
            let repaired = bench.run(&["repair", output, "--report", "report.json"]).await;
            assert_eq!(repaired.code, Some(code), "{name}, {output}: {}", repaired.stderr);
            let says = if code == 0 {
                "missing segments filled in: 1"
            } else {
                "no playlist names its key any more"
            };
            expect(&repaired, code, says);
        }
    }
}

/// What stands elsewhere is written over at another time, or never.
#[tokio::test]
async fn an_address_is_not_shown_by_what_has_names_of_its_own_or_came_before_the_server_counted_anew() {
    let turn: Vec<String> = (0..4).map(|place| format!("#EXTINF:1.0,\n/r/{place}.ts\n")).collect();
    let advertisement = Rule::new(
        "/ads/1.ts",
        Fault::Redirect {
            status: 302,
            to: "/s/plain-ts/1.ts".into(),
        },
    );
    let mut with_another = turn.clone();
    with_another[1] = "#EXTINF:1.0,\n/ads/1.ts\n".into();
    let anew = [turn[2..].to_vec(), turn[..2].to_vec()];
    let cases = [
        ("an advertisement", window(10, &with_another, END), None, "/r/2.ts", 3, true),
        (
            "another epoch",
            window(20, &anew[0], ""),
            Some(window(0, &anew[1], END)),
            "/r/0.ts",
            2,
            false,
        ),
    ];
    for (name, first, then, lost, overwritten, has_front) in cases {
        for output in ["film", "out.ts", "out.mp4"] {
            let format = if output == "film" { "hls" } else { "auto" };
            let args = ["--format", format, "--on-missing", "gap", "--report", "report.json", "-o", output];
            let run = if format == "auto" { &args[2..] } else { &args[..] };
            let windows = match &then {
                Some(then) => vec![Rule::new(PLAYLIST, first.clone()).times(1), Rule::new(PLAYLIST, then.clone())],
                None => vec![
                    Rule::new(PLAYLIST, window(10, &with_another[..2], "")).times(1),
                    Rule::new(PLAYLIST, first.clone()),
                ],
            };
            let rules = [windows, vec![gone(lost), advertisement.clone()], in_turn(0)].concat();
            let bench = Bench::new(rules);
            expect(&bench.fetch(run, PLAYLIST).await, 3, "");
            let repair = ["repair", output, "--report", "report.json"];
            let before = tree(bench.folder());
            let now = |overwritten| {
                let others: Vec<String> = (7..9).map(|place| format!("#EXTINF:1.0,\n/r/{place}.ts\n")).collect();
                let playlist = Rule::new(PLAYLIST, window(30, &others, ""));
                [vec![playlist, advertisement.clone()], in_turn(overwritten)].concat()
            };
            bench.server.set_rules(now(overwritten));
            let repaired = bench.run(&repair).await;
            assert_eq!(repaired.code, Some(3), "{name}, {output}: {}", repaired.stderr);
            assert!(repaired.stderr.contains("not mended: "), "{name}, {output}: {}", repaired.stderr);
            assert!(tree(bench.folder()) == before, "{name}, {output}: it was touched");
            bench.server.set_rules(now(0));
            let says = if has_front {
                "missing segments filled in: 1"
            } else {
                "may be another"
            };
            expect(&bench.run(&repair).await, if has_front { 0 } else { 3 }, says);
        }
    }
}

/// What an earlier repair fetched is not proved by what a later one does.
#[tokio::test]
async fn what_a_repair_took_up_is_not_taken_for_what_was_recorded() {
    let turn: Vec<String> = (0..4).map(|place| format!("#EXTINF:1.0,\n/r/{place}.ts\n")).collect();
    let windows = vec![
        Rule::new(PLAYLIST, window(10, &turn, "")).times(1),
        Rule::new(PLAYLIST, window(12, &turn[2..], END)),
    ];
    let bench = Bench::new([windows, vec![gone("/r/1.ts")], in_turn(0)].concat());
    let made = Made::by(bench, "out.mkv", PLAYLIST, &["--on-missing", "gap"], 3).await;
    let then = Rule::new(PLAYLIST, window(16, &turn[2..], ""));
    let rules = |more: Vec<Rule>| [vec![then.clone()], more, in_turn(4)].concat();
    made.bench.server.set_rules(rules(vec![gone("/r/3.ts")]));
    made.repair(&["--retries", "0"], 3, "carries on from there").await;
    made.bench.server.set_rules(rules(Vec::new()));
    made.repair(&["--retries", "0"], 3, "not mended: ").await;
    made.is_whole("it was touched");
}
