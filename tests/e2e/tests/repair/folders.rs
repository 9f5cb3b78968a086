//! Proving and mending a folder of segments.

use e2e::bench::tree;
use sha2::{Digest, Sha256};

use super::*;

pub(super) const REPORT: &str = "film.report.json";
const FOLDER: [&str; 6] = ["--format", "hls", "-o", "film", "--report", REPORT];

/// A folder that was made of a stream, with its report.
pub(super) async fn made(path: &str, rules: Vec<Rule>, code: i32) -> Bench {
    let bench = Bench::new(rules);
    let args = [&FOLDER[..], &["--on-missing", "gap"]].concat();
    expect(&bench.fetch(&args, path).await, code, "segments");
    bench
}

#[tokio::test]
async fn the_report_of_a_folder_names_every_file_with_its_digest() {
    for (path, gaps) in [("/s/alternate-audio-fmp4/index.m3u8", 0), ("/s/plain-ts/index.m3u8", 1)] {
        let rules = if gaps == 0 {
            vec![]
        } else {
            vec![Rule::new("*/2.ts", Fault::status(404))]
        };
        let bench = made(path, rules, if gaps == 0 { 0 } else { 3 }).await;
        let report: Value = serde_json::from_slice(&bench.read(REPORT)).unwrap();
        let output = &report["outputs"][0];
        assert_eq!(
            (&output["file"], &output["form"], &output["tail"]),
            (&"film".into(), &"HLS".into(), &Value::Null)
        );
        let units = output["units"].as_array().unwrap();
        let told = units
            .iter()
            .filter_map(|unit| unit.get("piece").map(|piece| (&unit["file"], piece)));
        let rests = output["rests"].as_array().unwrap().iter().map(|rest| (&rest["file"], rest));
        let mut told: Vec<_> = told.chain(rests).collect();
        told.sort_by_key(|(name, _)| name.as_str().unwrap().to_owned());
        let files = tree(&bench.path("film"));
        assert_eq!(told.len(), files.len());
        for ((name, piece), (file, bytes)) in told.into_iter().zip(&files) {
            let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(
                (name, &piece["offset"], &piece["length"]),
                (&file.as_str().into(), &0.into(), &bytes.len().into())
            );
            assert_eq!(piece["sha256"], sha256, "{file}");
        }
        assert_eq!(output["bytes"], files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
        assert_eq!(units.iter().filter(|unit| unit["fate"] == "failed").count(), gaps);
    }
}

#[tokio::test]
async fn verify_names_what_is_damaged_missing_or_surplus_in_a_folder() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, i32, &[&str]); 9] = [
        ("nothing", |_| (), 0, &["film: sound: 6 segments proved by their digests"]),
        (
            "a byte of a segment",
            |film| {
                let path = film.join("video/00002.ts");
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[7] ^= 1;
                std::fs::write(path, bytes).unwrap();
            },
            1,
            &["damaged: segment 2 of track 0, video/00002.ts", "5 segments proved"],
        ),
        (
            "a segment that is gone",
            |film| std::fs::remove_file(film.join("video/00003.ts")).unwrap(),
            1,
            &[
                "damaged: segment 3 of track 0, video/00003.ts",
                "wrong: video/00003.ts is not there",
            ],
        ),
        (
            "a segment that is longer",
            |film| {
                let path = film.join("video/00000.ts");
                std::fs::write(&path, [std::fs::read(&path).unwrap(), vec![0]].concat()).unwrap();
            },
            1,
            &["wrong: video/00000.ts has", "6 segments proved"],
        ),
        (
            "a file that nobody wrote",
            |film| std::fs::write(film.join("video/notes.txt"), "notes").unwrap(),
            1,
            &["wrong: video/notes.txt is surplus"],
        ),
        (
            "a playlist that is another",
            |film| std::fs::write(film.join("video/index.m3u8"), "#EXTM3U\n").unwrap(),
            1,
            &["wrong: video/index.m3u8 was changed", "6 segments proved"],
        ),
        (
            "a link in the place of a segment",
            |film| {
                std::fs::rename(film.join("video/00001.ts"), film.with_file_name("elsewhere")).unwrap();
                std::os::unix::fs::symlink("../../elsewhere", film.join("video/00001.ts")).unwrap();
            },
            1,
            &["wrong: video/00001.ts is no regular file"],
        ),
        (
            "a link in the place of its folder",
            |film| {
                std::fs::rename(film.join("video"), film.with_file_name("elsewhere")).unwrap();
                std::os::unix::fs::symlink("../elsewhere", film.join("video")).unwrap();
            },
            1,
            &["wrong: video/00001.ts is reached through a link", "0 segments proved"],
        ),
        (
            "all of it",
            |film| std::fs::remove_dir_all(film.join("video")).unwrap(),
            1,
            &["video/index.m3u8 is not there"],
        ),
    ];
    for (case, damage, code, says) in cases {
        let bench = made("/s/plain-ts/index.m3u8", Vec::new(), 0).await;
        damage(&bench.path("film"));
        let found = bench.run(&["verify", "film"]).await;
        for says in says {
            assert_eq!(found.code, Some(code), "{case}: {}", found.stderr);
            assert!(found.stderr.contains(says), "{case}: {}", found.stderr);
        }
        // A program is told the same.
        let told = bench.run(&["verify", "--json", "film"]).await;
        assert_eq!(told.code, Some(code), "{case}: {}", told.stderr);
    }
}

#[tokio::test]
async fn without_a_report_the_playlists_of_a_folder_say_what_has_to_be_there() {
    let bench = made("/s/alternate-audio/index.m3u8", Vec::new(), 0).await;
    // What earlier versions told of a folder was its name.
    let mut old: Value = serde_json::from_slice(&bench.read(REPORT)).unwrap();
    let output = old["outputs"][0].as_object_mut().unwrap();
    output.remove("rests");
    output.insert("units".into(), serde_json::json!([]));
    output.insert("files".into(), serde_json::json!(["film"]));
    bench.write("old.json", old.to_string().as_bytes());
    let refused = bench.run(&["repair", "film", "--report", "old.json"]).await;
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("does not tell of the files of a folder"),
        "{}",
        refused.stderr
    );
    let by_old = bench.run(&["verify", "film", "--report", "old.json"]).await;
    expect(&by_old, 0, "sound: without a report only its container can be proved: HLS, ");
    std::fs::remove_file(bench.path(REPORT)).unwrap();
    expect(
        &bench.run(&["verify", "film"]).await,
        0,
        "sound: without a report only its container",
    );
    bench.write("film/video/00099.ts", b"surplus");
    expect(&bench.run(&["verify", "film"]).await, 1, "video/00099.ts is surplus");
    std::fs::rename(bench.path("film/video/00099.ts"), bench.path("film/video/00001.ts.old")).unwrap();
    std::fs::remove_file(bench.path("film/video/00001.ts")).unwrap();
    expect(&bench.run(&["verify", "film"]).await, 1, "names \"00001.ts\", which is not there");
    bench.write("film/index.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n../../elsewhere.m3u8\n");
    expect(&bench.run(&["verify", "film"]).await, 1, "which is not in the folder");
}

#[tokio::test]
async fn repair_fetches_the_files_of_a_folder_that_are_damaged_or_gone_and_no_others() {
    for (path, init) in [
        ("/s/plain-ts/index.m3u8", false),
        ("/s/aes-fmp4-init/index.m3u8", true),
        ("/s/alternate-audio/index.m3u8", false),
    ] {
        let bench = made(path, Vec::new(), 0).await;
        let whole = tree(&bench.path("film"));
        let extension = if init { "m4s" } else { "ts" };
        let (two, four) = (format!("film/video/00002.{extension}"), format!("film/video/00004.{extension}"));
        bench.write(&two, b"something else");
        std::fs::remove_file(bench.path(&four)).unwrap();
        let one = format!("film/video/00001.{extension}");
        bench.write(&one, &[bench.read(&one), vec![0; 9]].concat());
        if init {
            bench.write("film/video/init-0.mp4", b"no section");
        }
        let before = bench.segments();
        let repaired = bench.run(&["repair", "film"]).await;
        expect(&repaired, 0, "film: sound");
        assert!(tree(&bench.path("film")) == whole, "{path}");
        assert_eq!(bench.names(), ["film", REPORT], "{path}");
        assert_eq!(bench.segments() - before, 2, "{path}: {}", repaired.stderr);
        // As a shell completes it.
        expect(&bench.run(&["verify", "film/"]).await, 0, "segments proved by their digests");
    }
}

#[tokio::test]
async fn playlists_that_are_damaged_or_gone_are_made_again_without_a_segment() {
    for (path, lost) in [
        ("/s/plain-ts/index.m3u8", None),
        ("/s/plain-ts/index.m3u8", Some("*/2.ts")),
        ("/s/plain-ts/index.m3u8", Some("*/0.ts")),
        ("/s/gap/index.m3u8", None),
        ("/s/discontinuity/index.m3u8", None),
        ("/s/alternate-audio-fmp4/index.m3u8", None),
        ("/s/aes-rotation-sequence-iv/index.m3u8", None),
        ("/s/variants/index.m3u8", None),
    ] {
        let place = format!("{path} without {lost:?}");
        let rules = lost.map(|lost| Rule::new(lost, Fault::status(404))).into_iter().collect();
        let code = if lost.is_some() { 3 } else { 0 };
        let bench = made(path, rules, code).await;
        let whole = tree(&bench.path("film"));
        let playlists: Vec<_> = whole
            .iter()
            .filter(|(name, _)| name.ends_with(".m3u8"))
            .map(|(name, _)| name)
            .collect();
        // But what is missing still.
        let others = || bench.segments() - lost.map_or(0, |lost| bench.asked(lost));
        let before = others();
        for (number, name) in playlists.iter().enumerate() {
            let name = format!("film/{name}");
            if number == 0 {
                std::fs::remove_file(bench.path(&name)).unwrap();
            } else {
                bench.write(&name, b"#EXTM3U\n");
            }
        }
        let repaired = bench.run(&["repair", "film"]).await;
        expect(&repaired, code, &format!("places mended: {}", playlists.len()));
        assert!(tree(&bench.path("film")) == whole, "{place}: {}", repaired.stderr);
        assert_eq!(others(), before, "{place}: {}", repaired.stderr);
        assert_eq!(bench.names(), ["film", REPORT], "{place}");
    }
    // Those of another stream are others.
    let bench = made("/s/plain-ts/index.m3u8", Vec::new(), 0).await;
    bench.write("film/index.m3u8", b"#EXTM3U\n");
    let url = bench.server.url("/s/low-ts/index.m3u8");
    expect(&bench.run(&["repair", "film", &url]).await, 2, "another stream");
    assert_eq!(bench.read("film/index.m3u8"), b"#EXTM3U\n");
}

#[tokio::test]
async fn segments_of_a_folder_that_never_came_are_filled_in_and_named_by_its_playlists() {
    for (path, lost) in [
        ("/s/plain-ts/index.m3u8", &["/s/plain-ts/2.ts"][..]),
        (
            "/s/plain-ts/index.m3u8",
            &["/s/plain-ts/0.ts", "/s/plain-ts/1.ts", "/s/plain-ts/5.ts"],
        ),
        ("/s/aes-rotation-sequence-iv/index.m3u8", &["/s/aes-rotation-sequence-iv/3.ts"]),
        ("/s/fmp4/index.m3u8", &["/s/fmp4/0.m4s"]),
        ("/s/aes-fmp4-init/index.m3u8", &["/s/aes-fmp4-init/4.m4s"]),
        (
            "/s/alternate-audio/index.m3u8",
            &["/s/alternate-audio/r1/3.ts", "/s/alternate-audio/v0/1.ts"],
        ),
        ("/s/discontinuity/index.m3u8", &["/s/discontinuity/3.ts"]),
    ] {
        let place = format!("{path} without {lost:?}");
        let undisturbed = made(path, Vec::new(), 0).await;
        let gone = |lost: &[&str]| lost.iter().map(|lost| Rule::new(*lost, Fault::status(404))).collect::<Vec<_>>();
        let bench = made(path, gone(lost), 3).await;
        let before = tree(&bench.path("film"));
        // As long as they cannot be had, all stays as it is.
        expect(&bench.run(&["repair", "film"]).await, 3, "not mended: ");
        assert!(tree(&bench.path("film")) == before, "{place}: it was touched");
        if lost.len() > 1 {
            // One comes first.
            bench.server.set_rules(gone(&lost[1..]));
            expect(&bench.run(&["repair", "film"]).await, 3, "missing segments filled in: 1");
            expect(&bench.run(&["verify", "film"]).await, 3, "sound, but without segments");
        }
        bench.server.set_rules(Vec::new());
        let asked = bench.segments();
        let repaired = bench.run(&["repair", "film"]).await;
        let came = if lost.len() > 1 { lost.len() - 1 } else { 1 };
        expect(&repaired, 0, &format!("missing segments filled in: {came}"));
        assert_eq!(bench.segments() - asked, came, "{place}: {}", repaired.stderr);
        assert!(
            tree(&bench.path("film")) == tree(&undisturbed.path("film")),
            "{place}: the folders differ"
        );
        let reports = [&bench, &undisturbed].map(|bench| serde_json::from_slice::<Value>(&bench.read(REPORT)).unwrap());
        e2e::schema::check_report(&reports[0].to_string()).unwrap();
        assert_eq!(reports[0]["outcome"], "whole", "{place}");
        assert_eq!(reports[0]["outputs"][0]["bytes"], reports[1]["outputs"][0]["bytes"], "{place}");
        expect(&bench.run(&["verify", "film"]).await, 0, "sound: ");
        assert_eq!(bench.names(), ["film", REPORT], "{place}");
    }
}

#[tokio::test]
async fn what_a_repair_does_not_give_to_a_folder_is_named() {
    let bench = made("/s/plain-ts/index.m3u8", vec![Rule::new("*/2.ts", Fault::status(404))], 3).await;
    bench.server.set_rules(vec![Rule::new("*/4.ts", Fault::status(404))]);
    bench.write("film/video/00004.ts", b"something else");
    let lacking = bench.run(&["repair", "film"]).await;
    expect(&lacking, 1, "not mended: missing segments: 1: the rest of the folder is not sound");
    // Another stream does not mend it.
    let bench = made("/s/plain-ts/index.m3u8", Vec::new(), 0).await;
    bench.write("film/video/00004.ts", b"something else");
    let url = bench.server.url("/s/low-ts/index.m3u8");
    let other = bench.run(&["repair", "film", &url]).await;
    assert_ne!(other.code, Some(0), "{}", other.stderr);
    assert_eq!(bench.read("film/video/00004.ts"), b"something else");
}

#[tokio::test]
async fn a_folder_that_is_gone_is_put_together_anew_by_the_report_beside_it() {
    for path in [
        "/s/plain-ts/index.m3u8",
        "/s/alternate-audio-fmp4/index.m3u8",
        "/s/aes-rotation/index.m3u8",
    ] {
        let bench = made(path, Vec::new(), 0).await;
        let whole = tree(bench.folder());
        // What cannot be had is named, and what comes stays.
        std::fs::remove_dir_all(bench.path("film")).unwrap();
        bench.server.set_rules(vec![Rule::new("*/3.*", Fault::status(404))]);
        expect(&bench.run(&["repair", "film"]).await, 1, "not mended: segment 3 of track 0: ");
        bench.server.set_rules(Vec::new());
        expect(&bench.run(&["repair", "film"]).await, 0, "sound");
        assert!(tree(bench.folder()) == whole, "{path}");
        std::fs::remove_dir_all(bench.path("film")).unwrap();
        expect(&bench.run(&["repair", "film/"]).await, 0, "sound");
        assert!(tree(bench.folder()) == whole, "{path}");
        // Another name is none of the report.
        expect(&bench.run(&["repair", "flim", "--report", REPORT]).await, 2, "");
        assert_eq!(bench.names(), ["film", REPORT], "{path}");
    }
    // What never came is filled in once the rest is there.
    let gone = || vec![Rule::new("*/2.ts", Fault::status(404))];
    let bench = made("/s/plain-ts/index.m3u8", gone(), 3).await;
    let before = tree(bench.folder());
    std::fs::remove_dir_all(bench.path("film")).unwrap();
    bench.server.set_rules(gone());
    expect(
        &bench.run(&["repair", "film"]).await,
        3,
        "sound, but without segments that were on offer",
    );
    assert!(tree(bench.folder()) == before);
    std::fs::remove_dir_all(bench.path("film")).unwrap();
    bench.server.set_rules(Vec::new());
    expect(&bench.run(&["repair", "film"]).await, 0, "sound");
    let once = made("/s/plain-ts/index.m3u8", Vec::new(), 0).await;
    assert!(tree(&bench.path("film")) == tree(&once.path("film")));
}
