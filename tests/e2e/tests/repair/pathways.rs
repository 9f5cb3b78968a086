//! Files whose segments came from two pathways (RFC 8216, 6.2.4).

use e2e::bench::twin;
use fixture_server::Encryption;

use super::*;

#[tokio::test]
async fn a_file_of_two_pathways_is_mended_from_either() {
    let again = ["--retries", "0", "--retry-delay", "10ms"];
    for (clip, encryption, output, format) in [
        ("high-ts", None, "out.ts", &[][..]),
        ("high-ts", Some(Encryption::default()), "out.mp4", &[]),
        ("high-fmp4", None, "out.mp4", &[]),
        ("high-fmp4", Some(Encryption::default()), "out.mp4", &["--format", "raw"]),
    ] {
        let mut config = twin(clip, encryption);
        let segment = |way: &str, number: &str| {
            let extension = if clip == "high-ts" { "ts" } else { "m4s" };
            Rule::new(format!("/s/twin/{way}/{number}.{extension}"), Fault::status(404))
        };
        config.rules = vec![segment("v0", "3"), segment("*", "5")];
        let args = [format, &again, &["--on-missing", "gap"]].concat();
        let made = Made::by(Bench::with(config.clone()), output, "/s/twin/index.m3u8", &args, 3).await;
        let addresses: Vec<_> = made.units().iter().map(|unit| unit["address"].as_str().unwrap()).collect();
        for way in ["/v0/", "/v1/"] {
            assert!(addresses.iter().any(|address| address.contains(way)), "{clip}: {addresses:?}");
        }
        expect(&made.bench.run(&["verify", output]).await, 3, "missing: segment 5 of track 0");
        let places = [1, 4].map(|msn| made.piece(0, msn).0 + 200);
        for (number, gone) in ["/s/twin/v0/*", "/s/twin/v1/*", "nothing"].into_iter().enumerate() {
            let gone = Rule::new(gone, Fault::status(404));
            made.flip(&places);
            made.bench.server.set_rules(vec![gone, segment("*", "5")]);
            made.repair(&again, 3, "places mended: 2").await;
            assert!(made.bench.read(output) == made.whole, "{clip} to {output}, {number}");
        }
        // What never came, comes now.
        made.bench.server.set_rules(vec![Rule::new("/s/twin/v0/*", Fault::status(404))]);
        made.repair(&again, 0, "").await;
        config.rules.clear();
        let once = Made::by(Bench::with(config), output, "/s/twin/index.m3u8", format, 0).await;
        assert!(made.bench.read(output) == once.whole, "{clip} to {output}: another file");
        expect(&made.bench.run(&["verify", output]).await, 0, "sound");
    }
}

#[tokio::test]
async fn a_file_is_not_mended_from_a_pathway_that_has_other_segments() {
    let list = |seconds: u64| {
        let segments: String = (0..6).map(|msn| format!("#EXTINF:{seconds},\n/s/plain-ts/{msn}.ts\n")).collect();
        body(&format!("#EXT-X-TARGETDURATION:{seconds}\n{segments}#EXT-X-ENDLIST\n"))
    };
    let ways = |names: [&str; 2]| body(&names.map(|name| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{name}\n")).concat());
    let rules = |first: &str, seconds| {
        vec![
            Rule::new("/master.m3u8", ways([first, "/s/plain-ts/index.m3u8"])),
            Rule::new("/b/list.m3u8", list(seconds)),
        ]
    };
    let bench = Bench::new(rules("/s/low-ts/index.m3u8", 2));
    let made = Made::by(bench, "out.ts", "/master.m3u8", &[], 0).await;
    let (offset, _) = made.piece(0, 2);
    let damaged = made.flip(&[offset + 200]);
    let mut gone = rules("/b/list.m3u8", 7);
    gone.push(Rule::new("/s/low-ts/*", Fault::status(404)));
    made.bench.server.set_rules(gone);
    made.repair(&["--retries", "0"], 2, "its address was").await;
    assert!(made.bench.read("out.ts") == damaged, "it was touched");
}

fn body(text: &str) -> Fault {
    Fault::Body {
        content_type: "application/vnd.apple.mpegurl".into(),
        text: format!("#EXTM3U\n{text}"),
    }
}

/// The pathways of a live stream of fragmented MP4, which have the same initialization section.
const WAYS: [&str; 2] = ["a", "b"];

fn list(way: &str, numbers: std::ops::Range<usize>, end: &str) -> Rule {
    let from = numbers.start;
    let segments: String = numbers.map(|msn| format!("#EXTINF:1.0,\n/{way}/{msn}.m4s\n")).collect();
    let head = format!("#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{from}\n");
    let map = format!("#EXT-X-MAP:URI=\"/{way}/init.mp4\"\n");
    Rule::new(format!("/{way}/list.m3u8"), body(&format!("{head}{map}{segments}{end}")))
}

const END: &str = "#EXT-X-ENDLIST\n";

/// What stands there, and the Multivariant Playlist.
fn media() -> Vec<Rule> {
    let to = |way: &str, name: String, to: String| {
        let to = format!("/s/fmp4/{to}");
        Rule::new(format!("/{way}/{name}"), Fault::Redirect { status: 302, to })
    };
    let segment = move |way, msn: usize| to(way, format!("{msn}.m4s"), format!("{}.m4s", msn - 10));
    let of = move |way| {
        let init = to(way, "init.mp4".into(), "init.mp4".into());
        (10..16).map(move |msn| segment(way, msn)).chain([init])
    };
    let names: String = WAYS
        .map(|way| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n/{way}/list.m3u8\n"))
        .concat();
    let master = Rule::new("/master.m3u8", body(&names));
    WAYS.into_iter().flat_map(of).chain([master]).collect()
}

#[tokio::test]
async fn a_recording_of_two_pathways_is_made_anew_as_it_was() {
    for output in ["out.m4s", "out.mkv"] {
        let lost = vec![Rule::new("/a/13.m4s", Fault::status(404))];
        let first = WAYS.map(|way| list(way, 10..14, "").times(1)).to_vec();
        let second = WAYS.map(|way| list(way, 12..16, END)).to_vec();
        let bench = Bench::new([lost, first, second, media()].concat());
        let made = Made::by(bench, output, "/master.m3u8", &[], 0).await;
        let addresses: Vec<_> = made.units().iter().map(|unit| unit["address"].as_str().unwrap()).collect();
        assert!(addresses.iter().any(|address| address.ends_with("/b/15.m4s")), "{addresses:?}");
        let then = WAYS.map(|way| list(way, 14..16, END)).to_vec();
        made.bench.server.set_rules([then, media()].concat());
        std::fs::remove_file(made.bench.path(output)).unwrap();
        made.repair(&[], 0, "made anew of the whole stream: there is no file").await;
        made.is_whole(output);
    }
}

#[tokio::test]
async fn what_left_the_window_of_one_pathway_is_filled_in_from_another_under_the_same_section() {
    for (output, args) in [
        ("out.m4s", &[][..]),
        ("out.mp4", &[]),
        ("out.mkv", &[]),
        ("film", &["--format", "hls"]),
    ] {
        let run = [&["-o", output, "--report", "report.json"][..], args].concat();
        let repair = ["repair", output, "--report", "report.json"];
        let undisturbed = Bench::new([vec![list("a", 10..14, "").times(1), list("a", 12..16, END)], media()].concat());
        expect(&undisturbed.fetch(&run, "/master.m3u8").await, 0, "");
        let windows = vec![list("a", 10..12, "").times(1), list("a", 14..16, END)];
        let bench = Bench::new([windows, media()].concat());
        expect(&bench.fetch(&run, "/master.m3u8").await, 3, "");
        let gone = Rule::new("/a/list.m3u8", Fault::status(404));
        bench.server.set_rules([vec![gone, list("b", 10..16, END)], media()].concat());
        expect(&bench.run(&repair).await, 0, "missing segments filled in: 2");
        let films = [&bench, &undisturbed].map(|bench| {
            let files = e2e::bench::tree(bench.folder()).into_iter();
            files.filter(|(file, _)| file != "report.json").collect::<Vec<_>>()
        });
        assert!(films[0] == films[1], "{output}");
    }
}
