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
