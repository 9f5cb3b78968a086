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
    let args = [&["--split", "discontinuity", "-o", output][..], &REPORT, more].concat();
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

#[tokio::test]
async fn what_takes_more_than_its_place_is_told_and_the_file_stays() {
    let again = "a file of a split is mended in place alone: the command that made it does it again, with --overwrite";
    let path = "/s/discontinuity/index.m3u8";
    // Containers that were made of samples.
    for output in ["film.mkv", "film.m4s"] {
        let bench = Bench::new(Vec::new());
        made(&bench, output, path, &[]).await;
        let name = output.replace('.', ".002.");
        let mut damaged = bench.read(&name);
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        bench.write(&name, &damaged);
        repair(&bench, &name, 1, again).await;
        assert!(bench.read(&name) == damaged, "{output}");
    }
    // A segment that never came.
    let bench = Bench::new(vec![Rule::new("*/4.ts", Fault::status(404))]);
    assert_eq!(made(&bench, "film.ts", path, &["--on-missing", "gap"]).await.0, 3);
    bench.server.set_rules(Vec::new());
    let before = bench.read("film.002.ts");
    repair(&bench, "film.001.ts", 0, "sound").await;
    repair(&bench, "film.002.ts", 3, &format!("missing segments: 1: {again}")).await;
    assert!(bench.read("film.002.ts") == before);
    // The first of a file is not one that the file in front of it lacks.
    let first = Bench::new(vec![Rule::new("*/3.ts", Fault::status(404))]);
    assert_eq!(made(&first, "film.ts", path, &["--on-missing", "gap"]).await.0, 3);
    for (name, code) in [("film.001.ts", 0), ("film.002.ts", 3)] {
        let says = if code == 0 { "" } else { "missing segments: 1" };
        expect(&first.run(&[&["verify", name][..], &REPORT].concat()).await, code, "");
        repair(&first, name, code, says).await;
    }
    // Another stream.
    let mut damaged = before.clone();
    damaged[1000] ^= 1;
    bench.write("film.002.ts", &damaged);
    let other = bench.server.url("/s/low-ts/index.m3u8");
    let other = bench.run(&[&["repair", "film.002.ts", &other][..], &REPORT].concat()).await;
    expect(&other, 2, "another stream");
    assert!(bench.read("film.002.ts") == damaged);
}
