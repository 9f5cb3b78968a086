//! Recordings of which nothing but the report is left: no playlist names anything any more.

use e2e::bench::tree;

use super::live::{END, FORMS, Live, PLAYLIST, gone, in_turn, named, streams, window};
use super::*;

/// What the server meets whose playlist is gone.
fn unlisted(more: Vec<Rule>) -> Vec<Rule> {
    [vec![gone(PLAYLIST)], more].concat()
}

#[tokio::test]
async fn a_recording_whose_playlist_is_gone_is_mended_by_the_addresses_in_its_report() {
    let says = "its playlist cannot be had any more";
    for (name, live, lost) in streams() {
        for (output, args) in FORMS {
            let run = [&["-o", output, "--report", "report.json", "--on-missing", "gap"][..], args].concat();
            let repair = ["repair", output, "--report", "report.json"];
            let films = |bench: &Bench| {
                let files = tree(bench.folder()).into_iter();
                files.filter(|(file, _)| file != "report.json").collect::<Vec<_>>()
            };
            let undisturbed = Bench::new(live.rules(Vec::new()));
            expect(&undisturbed.fetch(&run, PLAYLIST).await, 0, "");
            let bench = Bench::new(live.rules(vec![gone(lost)]));
            expect(&bench.fetch(&run, PLAYLIST).await, 3, "");
            let before = films(&bench);
            bench.server.set_rules(unlisted(vec![gone(lost)]));
            expect(&bench.run(&repair).await, 3, says);
            assert!(films(&bench) == before, "{name} to {output}: it was touched");
            bench.server.set_rules(unlisted(Vec::new()));
            let repaired = bench.run(&repair).await;
            // What tells more of a film than its segments was told by its playlist.
            let is_alone = output == "out.mkv" || (output == "out.ts" && lost.ends_with(".m4s"));
            if is_alone {
                expect(&repaired, 3, "not mended: ");
                assert!(films(&bench) == before, "{name} to {output}: it was touched");
                continue;
            }
            expect(&repaired, 0, says);
            expect(&repaired, 0, "missing segments filled in: 1");
            assert!(films(&bench) == films(&undisturbed), "{name} to {output}");
            // The same again of what is damaged.
            let damaged = match output {
                "film" => lost.replace("*/1", "film/video/00003"),
                file => file.to_owned(),
            };
            let mut bytes = bench.read(&damaged);
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bench.write(&damaged, &bytes);
            expect(&bench.run(&repair).await, 0, "places mended: 1");
            assert!(films(&bench) == films(&undisturbed), "{name} to {output}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_by_a_report_alone_proves_itself_like_any_other() {
    let turn: Vec<String> = (0..4).map(|place| format!("#EXTINF:1.0,\n/r/{place}.ts\n")).collect();
    let windows = vec![
        Rule::new(PLAYLIST, window(10, &turn, "")).times(1),
        Rule::new(PLAYLIST, window(12, &turn[2..], END)),
    ];
    let bench = folders::made(PLAYLIST, [windows, vec![gone("/r/1.ts")], in_turn(0)].concat(), 3).await;
    let before = tree(&bench.path("film"));
    for overwritten in 1..5 {
        bench.server.set_rules(unlisted(in_turn(overwritten)));
        expect(
            &bench.run(&["repair", "film"]).await,
            3,
            "what stands at its address by now may be another",
        );
        assert!(tree(&bench.path("film")) == before, "it was touched");
    }
    bench.server.set_rules(unlisted(in_turn(0)));
    expect(&bench.run(&["repair", "film"]).await, 0, "missing segments filled in: 1");
    // What is damaged was written over.
    let path = "film/video/00001.ts";
    let mut damaged = bench.read(path);
    damaged[1000] ^= 1;
    bench.write(path, &damaged);
    bench.server.set_rules(unlisted(in_turn(4)));
    expect(
        &bench.run(&["repair", "film"]).await,
        1,
        "what is fetched now does not make the bytes that it had",
    );
    assert!(bench.read(path) == damaged, "it was touched");
}

/// What a complete playlist told, its report does not tell: it was thought to say so still.
#[tokio::test]
async fn of_a_stream_that_was_not_live_only_what_its_digests_prove_is_mended_without_its_playlist() {
    for (path, output, code, says) in [
        ("/s/plain-ts/index.m3u8", "out.ts", 0, "places mended: 1"),
        ("/s/plain-ts/index.m3u8", "out.mp4", 0, "places mended: 1"),
        ("/s/fmp4/index.m3u8", "out.mp4", 0, "places mended: 1"),
        ("/s/aes-explicit-iv/index.m3u8", "out.ts", 1, "not mended: segment 3 of track 0: "),
        ("/s/plain-ts/index.m3u8", "out.mkv", 0, "places mended: 1"),
    ] {
        let made = Made::new(output, path, &[]).await;
        made.bench.server.set_rules(vec![gone(path)]);
        let (offset, length) = made.piece(0, 3);
        made.flip(&[offset + length / 2]);
        made.repair(&[], code, says).await;
        made.bench.server.set_rules(Vec::new());
        made.repair(&[], 0, "sound").await;
        made.is_whole(path);
    }
    for output in ["out.ts", "out.mp4"] {
        let path = "/s/plain-ts/index.m3u8";
        let made = Made::by(Bench::new(vec![gone("*/2.ts")]), output, path, &["--on-missing", "gap"], 3).await;
        made.bench.server.set_rules(vec![gone(path)]);
        made.repair(&[], 3, "its report does not tell what its playlist told of it").await;
        made.is_whole("it was touched");
    }
    // There is nothing to ask for but what is gone.
    let made = Made::new("out.raw", "/s/plain-ts/0.ts", &[]).await;
    made.flip(&[1000]);
    made.bench.server.set_rules(vec![gone("*/0.ts")]);
    made.repair(&[], 1, "status 404").await;
}

#[tokio::test]
async fn a_server_of_playlists_that_is_gone_keeps_nobody_from_the_segments_of_another() {
    let bench = Bench::new(vec![gone("*/1.ts")]);
    let live = Live::of("", |number| {
        let segment = bench.server.url(&format!("/s/plain-ts/{number}.ts"));
        format!("#EXTINF:1.0,\n{segment}\n")
    });
    let other = fixture_server::Server::start(fixture_server::Config {
        rules: live.rules(Vec::new()),
        ..fixture_server::Config::standard().unwrap()
    });
    let other = other.unwrap();
    let args = ["--on-missing", "gap", "--report", "out.ts.report.json", "-o", "out.ts"];
    expect(&bench.run(&[&args[..], &[&other.url(PLAYLIST)]].concat()).await, 3, "");
    drop(other);
    bench.server.set_rules(Vec::new());
    let repair = ["repair", "out.ts", "--retries", "0"];
    expect(&bench.run(&repair).await, 0, "missing segments filled in: 1");
    assert!(bench.read("out.ts") == e2e::Reference::all("high-ts").bytes().unwrap());
}

/// A report is what somebody sent, and what it names is named by the address that leads to the stream.
#[tokio::test]
async fn a_report_alone_reaches_no_nearer_than_the_stream_that_it_names() {
    let live = Live::of("", |number| named("plain-ts", number));
    let bench = Bench::new(live.rules(vec![gone("*/1.ts")]));
    let made = Made::by(bench, "out.ts", PLAYLIST, &["--on-missing", "gap"], 3).await;
    let path = "out.ts.report.json";
    let mut report: Value = serde_json::from_slice(&made.bench.read(path)).unwrap();
    report["outputs"][0]["input"] = "http://nowhere.invalid/live.m3u8".into();
    made.bench.write(path, report.to_string().as_bytes());
    made.bench.server.set_rules(Vec::new());
    let asked = made.bench.segments();
    made.repair(&["--retries", "0"], 5, "--allow-private").await;
    assert_eq!(made.bench.segments(), asked);
    made.is_whole("it was touched");
    made.repair(&["--retries", "0", "--allow-private"], 0, "missing segments filled in: 1")
        .await;
}
