//! The files of an output that was split.

use super::*;

const REPORT: [&str; 2] = ["--report", "report.json"];

/// Fragmented MP4 with a discontinuity, behind which the section in front of all counts still.
fn fragments() -> Rule {
    let segment = |number| format!("#EXTINF:1.0,\n/s/fmp4/{number}.m4s\n");
    let [first, second] = [0..3, 3..6].map(|segments| segments.map(segment).collect::<String>());
    let text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"/s/fmp4/init.mp4\"\n{first}#EXT-X-DISCONTINUITY\n{second}#EXT-X-ENDLIST\n"
    );
    let content_type = "application/vnd.apple.mpegurl".into();
    Rule::new("/fragments.m3u8", Fault::Body { content_type, text })
}

async fn made(bench: &Bench, output: &str, path: &str, more: &[&str]) -> (i32, Value) {
    let split: &[&str] = if more.contains(&"--split") {
        &[]
    } else {
        &["--split", "discontinuity"]
    };
    let args = [split, &["-o", output], &REPORT, more].concat();
    let code = bench.fetch(&args, path).await.code.unwrap();
    (code, serde_json::from_slice(&bench.read("report.json")).unwrap())
}

async fn repair(bench: &Bench, name: &str, code: i32, says: &str) {
    expect(&bench.run(&[&["repair", name][..], &REPORT].concat()).await, code, says);
}

#[tokio::test]
async fn each_file_is_mended_in_its_place_and_no_other_is_touched() {
    // Which segments of each file are damaged, and how many requests that takes: a demuxer of MPEG-TS needs the one in front as well,
    // but for the first of a file. Behind the first file nothing says that there are sections.
    for (output, path, asked) in [
        ("film.ts", "/s/discontinuity/index.m3u8", [[1, 1, 1], [1, 1, 1]]),
        ("film.mp4", "/s/discontinuity/index.m3u8", [[1, 2, 2], [1, 2, 2]]),
        ("film.aac", "/s/discontinuity/index.m3u8", [[1, 2, 2], [1, 2, 2]]),
        ("film.ts", "/s/aes-discontinuity/index.m3u8", [[1, 1, 1], [1, 1, 1]]),
        ("film.m4s", "/fragments.m3u8", [[1, 1, 1], [1, 1, 1]]),
        ("film.mp4", "/fragments.m3u8", [[1, 1, 1], [1, 2, 2]]),
    ] {
        let bench = Bench::new(vec![fragments()]);
        let (code, report) = made(&bench, output, path, &[]).await;
        assert_eq!(code, 0, "{output}");
        let files: Vec<String> = serde_json::from_value(report["outputs"][0]["files"].clone()).unwrap();
        assert_eq!(files.len(), 2, "{files:?}");
        let whole: Vec<_> = files.iter().map(|name| bench.read(name)).collect();
        for ((name, bytes), asked) in files.iter().zip(&whole).zip(asked) {
            let units = report["outputs"][0]["units"].as_array().unwrap();
            let own = units.iter().filter(|unit| unit["file"] == **name && unit.get("init").is_none());
            let pieces: Vec<_> = own
                .map(|unit| (unit["piece"]["offset"].as_u64().unwrap(), unit["piece"]["length"].as_u64().unwrap()))
                .collect();
            assert_eq!(pieces.len(), 3, "{output}");
            for ((offset, length), asked) in pieces.into_iter().zip(asked) {
                let place = format!("{path} to {name}, {length} bytes at {offset}");
                let mut damaged = bytes.clone();
                damaged[usize::try_from(offset + length * 2 / 3).unwrap()] ^= 0x55;
                bench.write(name, &damaged);
                let before = bench.segments();
                repair(&bench, name, 0, "places mended: 1").await;
                assert_eq!(bench.segments() - before, asked, "{place}");
                assert!(files.iter().map(|name| bench.read(name)).eq(whole.iter().cloned()), "{place}");
            }
            // What was appended, and an index.
            bench.write(name, &[bytes, &b"more"[..]].concat());
            repair(&bench, name, 0, "places mended: 1").await;
            assert!(bench.read(name) == *bytes, "{path} to {name}: it has more");
        }
        let again: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
        assert_eq!(again, report, "{output}");
        assert_eq!(bench.names().len(), 3, "{:?}", bench.names());
    }
}

// The section that stands in front of the first segment of each file.
#[tokio::test]
async fn a_section_that_a_file_has_again_is_mended_with_its_segment() {
    let bench = Bench::new(vec![fragments()]);
    assert_eq!(made(&bench, "film.m4s", "/fragments.m3u8", &[]).await.0, 0);
    for name in ["film.001.m4s", "film.002.m4s"] {
        let whole = bench.read(name);
        assert!(whole[4..8] == *b"ftyp", "{name}");
        let mut damaged = whole.clone();
        damaged[100] ^= 1;
        bench.write(name, &damaged);
        repair(&bench, name, 0, "places mended: 1").await;
        assert!(bench.read(name) == whole, "{name}");
    }
}

/// Three periods of two tracks, of which each has segments of its own length.
fn two_tracks() -> Vec<Rule> {
    let playlist = |path: &str, text: String| {
        let content_type = "application/vnd.apple.mpegurl".into();
        Rule::new(path, Fault::Body { content_type, text })
    };
    let segments = |folder: &str| {
        let segment = |number: usize| {
            let before = if number > 0 && number.is_multiple_of(2) {
                "#EXT-X-DISCONTINUITY\n"
            } else {
                ""
            };
            format!("{before}#EXTINF:2.0,\n/s/alternate-audio/{folder}/{number}.ts\n")
        };
        let segments: String = (0..6).map(segment).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}#EXT-X-ENDLIST\n")
    };
    let audio = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"A\",DEFAULT=YES,URI=\"/a.m3u8\"\n";
    let variant = "#EXT-X-STREAM-INF:BANDWIDTH=100000,AUDIO=\"a\"\n/v.m3u8\n";
    vec![
        // Other codec parameters, which nothing announces.
        playlist("/changes.m3u8", {
            let segment = |clip: &str, number: usize| format!("#EXTINF:2.0,\n/s/{clip}/{number}.ts\n");
            let low: String = (0..3).map(|number| segment("low-ts", number)).collect();
            let high: String = (3..6).map(|number| segment("plain-ts", number)).collect();
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{low}{high}#EXT-X-ENDLIST\n")
        }),
        playlist("/two.m3u8", format!("#EXTM3U\n{audio}{variant}")),
        playlist("/v.m3u8", segments("v0")),
        playlist("/a.m3u8", segments("r1")),
    ]
}

/// The files of a folder that a split made.
fn parts(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    e2e::bench::tree(bench.folder())
        .into_iter()
        .filter(|(name, _)| name != "report.json")
        .collect()
}

fn told(report: &Value) -> Value {
    let mut output = report["outputs"][0].clone();
    output["notes"].take();
    // Each server has a port of its own.
    output["input"].take();
    for track in output["tracks"].as_array_mut().unwrap() {
        track["address"].take();
    }
    for unit in output["units"].as_array_mut().unwrap() {
        unit["address"].take();
        unit["key"].take();
        // What is held back has no place of its own.
        if unit["piece"]["length"] == 0 {
            unit["piece"].take();
            unit["file"].take();
        }
    }
    output
}

/// An output of a stream, what else its command says, the segment that is lost, which file would have it, and of how many that is made.
type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a str, &'a str, usize);

async fn is_made_anew(cases: &[Case<'_>]) {
    for (output, path, more, lost, part, asked) in cases.iter().copied() {
        let place = format!("{lost} of {path} to {output}");
        let rules = || two_tracks().into_iter().chain([fragments()]);
        let undisturbed = Bench::new(rules().collect());
        let (code, whole) = made(&undisturbed, output, path, more).await;
        assert_eq!(code, 0, "{place}");
        let bench = Bench::new(rules().chain([Rule::new(lost, Fault::status(404))]).collect());
        let (code, _) = made(&bench, output, path, &[&["--on-missing", "gap"], more].concat()).await;
        assert_eq!(code, 3, "{place}");
        let (name, before) = (output.replace('.', &format!(".{part}.")), parts(&bench));
        for (other, _) in before.iter().filter(|(other, _)| *other != name) {
            repair(&bench, other, 0, "sound").await;
        }
        repair(&bench, &name, 3, "not mended: missing segments: 1: ").await;
        assert!(parts(&bench) == before, "{place}: it was touched");
        bench.server.set_rules(rules().collect());
        let segments = bench.segments();
        repair(&bench, &name, 0, "made anew of the whole stream: missing segments: 1").await;
        assert!(parts(&bench) == parts(&undisturbed), "{place}");
        // What shows that it can be had comes once more.
        assert_eq!(bench.segments() - segments, asked + 1, "{place}");
        let report: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
        assert_eq!((&report["outcome"], told(&report)), (&"whole".into(), told(&whole)), "{place}");

        // Damaged, and gone.
        let whole = bench.read(&name);
        let mut damaged = whole.clone();
        for place in [damaged.len() / 3, damaged.len() / 2, damaged.len() - 20] {
            damaged[place] ^= 1;
        }
        bench.write(&name, &damaged);
        repair(&bench, &name, 0, "sound").await;
        assert!(bench.read(&name) == whole, "{place}");
        std::fs::remove_file(bench.path(&name)).unwrap();
        repair(&bench, &name, 0, "made anew of the whole stream: there is no file").await;
        assert!(parts(&bench) == parts(&undisturbed), "{place}");
    }
}

#[tokio::test]
async fn a_file_that_lacks_a_segment_is_made_anew_by_itself() {
    is_made_anew(&[
        ("film.ts", "/s/discontinuity/index.m3u8", &[], "/s/discontinuity/4.ts", "002", 3),
        (
            "film.ts",
            "/s/aes-discontinuity/index.m3u8",
            &[],
            "/s/aes-discontinuity/2.ts",
            "001",
            3,
        ),
        ("film.mp4", "/s/discontinuity/index.m3u8", &[], "/s/discontinuity/3.ts", "002", 3),
        ("film.mp4", "/fragments.m3u8", &[], "/s/fmp4/4.m4s", "002", 3),
        ("film.m4s", "/fragments.m3u8", &[], "/s/fmp4/1.m4s", "001", 3),
    ])
    .await;
}

#[tokio::test]
async fn a_file_that_is_made_of_samples_is_made_anew_by_itself() {
    is_made_anew(&[
        ("film.m4s", "/s/discontinuity/index.m3u8", &[], "/s/discontinuity/4.ts", "002", 3),
        ("film.mkv", "/s/discontinuity/index.m3u8", &[], "/s/discontinuity/4.ts", "002", 3),
        ("film.mp4", "/changes.m3u8", &["--split", "changes"], "/s/plain-ts/5.ts", "002", 6),
    ])
    .await;
}

#[tokio::test]
async fn a_file_of_several_tracks_is_made_anew_by_itself() {
    is_made_anew(&[
        ("film.mkv", "/two.m3u8", &[], "/s/alternate-audio/r1/2.ts", "002", 4),
        ("film.mp4", "/two.m3u8", &[], "/s/alternate-audio/v0/3.ts", "002", 4),
        ("film.mp4", "/two.m3u8", &[], "/s/alternate-audio/v0/4.ts", "003", 4),
    ])
    .await;
}

#[tokio::test]
async fn a_period_of_which_nothing_came_keeps_its_number_and_gets_its_file_later() {
    for (output, lost, part) in [
        ("film.ts", ["/s/alternate-audio/v0/2.ts", "/s/alternate-audio/v0/3.ts"], "002"),
        ("film.mp4", ["/s/alternate-audio/v0/0.ts", "/s/alternate-audio/v0/1.ts"], "001"),
        ("film.mkv", ["/s/alternate-audio/v0/4.ts", "/s/alternate-audio/v0/5.ts"], "003"),
    ] {
        let undisturbed = Bench::new(two_tracks());
        assert_eq!(made(&undisturbed, output, "/v.m3u8", &[]).await.0, 0);
        let gone = lost.map(|lost| Rule::new(lost, Fault::status(404)));
        let bench = Bench::new(two_tracks().into_iter().chain(gone).collect());
        let (code, report) = made(&bench, output, "/v.m3u8", &["--on-missing", "gap"]).await;
        assert_eq!(code, 3, "{output}");
        let name = output.replace('.', &format!(".{part}."));
        let others: Vec<_> = parts(&undisturbed).into_iter().filter(|(other, _)| *other != name).collect();
        assert!(parts(&bench) == others, "{output}: {:?}", bench.names());
        assert_eq!(report["outputs"][0]["lost"], serde_json::json!([name]), "{output}");
        // The others lack nothing.
        for (other, _) in &others {
            expect(
                &bench.run(&[&["verify", other][..], &REPORT].concat()).await,
                0,
                "sound: 2 segments",
            );
        }
        expect(&bench.run(&[&["verify", &name][..], &REPORT].concat()).await, 3, "missing: segment");
        repair(&bench, &name, 3, "not mended: ").await;
        assert!(parts(&bench) == others, "{output}: {:?}", bench.names());
        bench.server.set_rules(two_tracks());
        repair(&bench, &name, 0, "missing segments filled in: 2").await;
        assert!(parts(&bench) == parts(&undisturbed), "{output}");
        let report: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
        assert_eq!(
            (&report["outcome"], &report["outputs"][0]["lost"]),
            (&"whole".into(), &Value::Null),
            "{output}"
        );
    }
}

#[tokio::test]
async fn a_file_of_a_split_is_not_mended_by_another_stream() {
    let bench = Bench::new(Vec::new());
    made(&bench, "film.ts", "/s/discontinuity/index.m3u8", &[]).await;
    let mut damaged = bench.read("film.002.ts");
    damaged[1000] ^= 1;
    bench.write("film.002.ts", &damaged);
    let other = bench.server.url("/s/low-ts/index.m3u8");
    let other = bench.run(&[&["repair", "film.002.ts", &other][..], &REPORT].concat()).await;
    expect(&other, 2, "another stream");
    assert!(bench.read("film.002.ts") == damaged);
}

/// What had left a live window stands as one unit for several segments.
#[tokio::test]
async fn what_left_the_window_is_told_one_by_one_once_a_file_has_it() {
    let window = |from: usize, to: usize, end: &str| {
        let segment = |number: usize| {
            let before = if number == 4 { "#EXT-X-DISCONTINUITY\n" } else { "" };
            format!("{before}#EXTINF:1.0,\n/s/plain-ts/{number}.ts\n")
        };
        let segments: String = (from..to).map(segment).collect();
        Fault::Body {
            content_type: "application/vnd.apple.mpegurl".into(),
            text: format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{from}\n{segments}{end}"),
        }
    };
    let (path, end) = ("/live.m3u8", "#EXT-X-ENDLIST\n");
    let undisturbed = Bench::new(vec![Rule::new(path, window(0, 6, end))]);
    assert_eq!(made(&undisturbed, "film.ts", path, &[]).await.0, 0);
    let bench = Bench::new(vec![Rule::new(path, window(0, 1, "")).times(1), Rule::new(path, window(3, 6, end))]);
    assert_eq!(made(&bench, "film.ts", path, &[]).await.0, 3);
    bench.server.set_rules(vec![Rule::new(path, window(0, 6, end))]);
    repair(&bench, "film.001.ts", 0, "missing segments filled in: 2").await;
    assert!(parts(&bench) == parts(&undisturbed));
    let report: Value = serde_json::from_slice(&bench.read("report.json")).unwrap();
    let units = report["outputs"][0]["units"].as_array().unwrap();
    let told: Vec<_> = units
        .iter()
        .map(|unit| {
            (
                unit["msn"].as_u64().unwrap(),
                unit["address"].as_str().unwrap().rsplit('/').next().unwrap(),
            )
        })
        .collect();
    let names = ["0.ts", "1.ts", "2.ts", "3.ts", "4.ts", "5.ts"];
    assert_eq!(told, (0..6).zip(names).collect::<Vec<_>>());
    assert_eq!(report["outcome"], "whole");
    for name in ["film.001.ts", "film.002.ts"] {
        expect(&bench.run(&[&["verify", name][..], &REPORT].concat()).await, 0, "sound");
    }
}

#[tokio::test]
async fn what_was_appended_to_a_file_of_several_tracks_is_cut_off() {
    let bench = Bench::new(two_tracks());
    made(&bench, "film.mkv", "/two.m3u8", &[]).await;
    let before = parts(&bench);
    let whole = bench.read("film.002.mkv");
    bench.write("film.002.mkv", &[&whole[..], b"more"].concat());
    let asked = bench.segments();
    repair(&bench, "film.002.mkv", 0, "sound").await;
    assert!(parts(&bench) == before);
    assert_eq!(bench.segments(), asked, "something was fetched");
}
