//! Segments that never came, in files whose samples lie in the order of time: they are put in with a few around them.

use e2e::ffmpeg;

use super::around::{FILM, Film};
use super::*;

/// A film, and what an undisturbed run makes of it: its bytes and its units.
struct Undisturbed {
    film: Film,
    output: &'static str,
    whole: Vec<u8>,
    units: Vec<Value>,
    segments: usize,
}

/// An undisturbed run, and its server.
async fn undisturbed(film: Film, output: &'static str) -> (Undisturbed, Bench) {
    let made = Made::by(film.bench(), output, "/film/main.m3u8", &[], 0).await;
    let undisturbed = Undisturbed {
        film,
        output,
        whole: made.whole.clone(),
        units: made.units().to_vec(),
        segments: made.bench.segments(),
    };
    (undisturbed, made.bench)
}

impl Undisturbed {
    /// What a run makes of the film that lacks segments, where another run was before.
    async fn without(&self, bench: Bench, missing: &[&str]) -> Made {
        for name in bench.names() {
            std::fs::remove_file(bench.path(&name)).unwrap();
        }
        let rules = missing
            .iter()
            .map(|segment| Rule::new(format!("/film/{segment}"), Fault::status(404)));
        bench.server.set_rules(rules.collect());
        let made = Made::by(bench, self.output, "/film/main.m3u8", &["--on-missing", "gap"], 3).await;
        assert!(made.whole.len() < self.whole.len(), "{missing:?}");
        made
    }

    /// Fills in what is missing, and demands that this takes few segments, and that the file and its units be those of an
    /// undisturbed run.
    async fn comes_of(&self, made: &Made, missing: &[&str], most: usize) {
        let name = format!("{missing:?} of {}", self.film.kind);
        filled_in(made, &name, missing.len(), most).await;
        assert!(made.bench.read(made.output) == self.whole, "{name}: it is not what it should be");
        let report = String::from_utf8(made.bench.read(&format!("{}.report.json", made.output))).unwrap();
        let report = e2e::schema::check_report(&report).unwrap();
        assert_eq!((&report["outcome"], &report["exit_code"]), (&"whole".into(), &0.into()), "{name}");
        assert_eq!(report["outputs"][0]["units"].as_array().unwrap(), &self.units, "{name}");
    }
}

/// Fills in what is missing, of so many segments at most.
async fn filled_in(made: &Made, name: &str, filled: usize, most: usize) {
    let before = made.bench.segments();
    let finished = made.bench.run(&["repair", made.output]).await;
    assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
    let says = format!("missing segments filled in: {filled}");
    assert!(finished.stderr.contains(&says), "{name}: {}", finished.stderr);
    assert!(!finished.stderr.contains("made anew"), "{name}: {}", finished.stderr);
    let asked = made.bench.segments() - before;
    assert!(asked <= most, "{name}: {asked} segments were asked for, and {most} are enough");
    assert_eq!(made.names(), 2, "{name}: something was left behind: {:?}", made.bench.names());
    expect(&made.bench.run(&["verify", made.output]).await, 0, "sound: ");
}

/// Has runs lack segments of a film, and fills them in of the first segment of each track, two or three in front of what is missing, and two
/// behind.
async fn are_filled_in(film: Film, output: &'static str, lacking: &[&[&str]]) {
    let (undisturbed, mut bench) = undisturbed(film, output).await;
    let tracks = if film.apart { 2 } else { 1 };
    for missing in lacking {
        let made = undisturbed.without(bench, missing).await;
        made.bench.server.set_rules(Vec::new());
        let most = tracks * (2 + 5 * missing.len());
        assert!(most < undisturbed.segments);
        undisturbed.comes_of(&made, missing, most).await;
        bench = made.bench;
    }
}

#[tokio::test]
async fn a_gap_in_matroska_is_filled_in_of_a_few_segments_around_it() {
    if !ffmpeg::installed() {
        return;
    }
    // In the middle, two in a row, two runs, two that share a neighbour, behind the first, and the last.
    are_filled_in(
        FILM,
        "out.mkv",
        &[
            &["video/11.ts"],
            &["video/11.ts", "video/12.ts"],
            &["video/5.ts", "video/15.ts"],
            &["video/11.ts", "video/13.ts"],
            &["video/1.ts"],
            &["video/23.ts"],
        ],
    )
    .await;
    are_filled_in(Film { kind: "m4s", ..FILM }, "out.mkv", &[&["video/11.m4s"], &["video/22.m4s"]]).await;
}

#[tokio::test]
async fn a_gap_in_one_of_several_tracks_takes_a_few_segments_of_each() {
    if !ffmpeg::installed() {
        return;
    }
    let apart = Film { apart: true, ..FILM };
    are_filled_in(
        apart,
        "out.mkv",
        &[
            &["video/11.ts"],
            &["audio/11.ts"],
            &["audio/11.ts", "video/11.ts"],
            // Behind two of the pictures, of which the first brought all that the sound has there.
            &["audio/17.ts"],
            &["audio/23.ts"],
            &["video/23.ts"],
        ],
    )
    .await;
    let fmp4 = Film { kind: "m4s", ..apart };
    are_filled_in(
        fmp4,
        "out.mkv",
        &[
            &["audio/8.m4s", "video/9.m4s"],
            &["video/5.m4s", "audio/18.m4s"],
            // In front of two of the sound, which wait for the next pictures.
            &["video/7.m4s"],
        ],
    )
    .await;
}

#[tokio::test]
async fn a_gap_in_what_was_made_of_samples_is_filled_in_and_the_rest_counted_anew() {
    if !ffmpeg::installed() {
        return;
    }
    let (fmp4, apart) = (Film { kind: "m4s", ..FILM }, Film { apart: true, ..FILM });
    are_filled_in(
        fmp4,
        "out.ts",
        &[&["video/11.m4s"], &["video/5.m4s", "video/15.m4s"], &["video/23.m4s"]],
    )
    .await;
    are_filled_in(
        apart,
        "out.ts",
        &[&["video/11.ts"], &["audio/11.ts", "video/12.ts"], &["audio/23.ts"]],
    )
    .await;
    are_filled_in(FILM, "out.m4s", &[&["video/11.ts"], &["video/1.ts"], &["video/23.ts"]]).await;
    let fmp4 = Film { apart: true, ..fmp4 };
    are_filled_in(fmp4, "out.m4s", &[&["video/11.m4s"], &["audio/11.m4s", "video/12.m4s"]]).await;
}

#[tokio::test]
async fn what_is_still_missing_stays_so_and_the_rest_is_filled_in() {
    if !ffmpeg::installed() {
        return;
    }
    let (whole, bench) = undisturbed(Film { apart: true, ..FILM }, "out.mkv").await;
    let without = whole.without(bench, &["video/16.ts"]).await;
    let (expected, units) = (without.whole.clone(), without.units().to_vec());
    let missing = ["audio/7.ts", "video/16.ts"];
    let made = whole.without(without.bench, &missing).await;
    // All of it is still gone: the file stays as it is.
    made.repair(&[], 3, "not mended: segment").await;
    made.is_whole("as long as nothing can be had");
    assert_eq!(made.names(), 2, "something was left behind: {:?}", made.bench.names());
    let gone = Rule::new("/film/video/16.ts", Fault::status(404));
    made.bench.server.set_rules(vec![gone]);
    made.repair(&[], 3, "missing segments filled in: 1").await;
    assert!(made.bench.read("out.mkv") == expected, "it is not what it should be");
    let report: Value = serde_json::from_slice(&made.bench.read("out.mkv.report.json")).unwrap();
    assert_eq!(report["outputs"][0]["units"].as_array().unwrap(), &units);
    made.bench.server.set_rules(Vec::new());
    whole.comes_of(&made, &["video/16.ts"], 12).await;
}

#[tokio::test]
async fn without_the_segments_around_it_nothing_is_filled_in() {
    if !ffmpeg::installed() {
        return;
    }
    let (whole, bench) = undisturbed(FILM, "out.mkv").await;
    let made = whole.without(bench, &["video/11.ts"]).await;
    for beside in ["video/0.ts", "video/9.ts", "video/10.ts", "video/12.ts", "video/13.ts"] {
        let gone = Rule::new(format!("/film/{beside}"), Fault::status(404));
        made.bench.server.set_rules(vec![gone]);
        made.repair(&[], 3, "the segments around them are needed as well").await;
        made.is_whole(beside);
        assert_eq!(made.names(), 2, "{beside}: something was left behind: {:?}", made.bench.names());
    }
    // Damage elsewhere is mended on the way.
    made.bench.server.set_rules(Vec::new());
    made.flip(&[made.whole.len() / 5]);
    whole.comes_of(&made, &["video/11.ts"], 12).await;
    // What is no part of the film does not come out as it is.
    let made = whole.without(made.bench, &["video/11.ts"]).await;
    made.bench.server.set_rules(vec![Rule::new("/film/video/12.ts", Fault::page())]);
    let finished = made.bench.run(&["repair", "out.mkv"]).await;
    assert_ne!(finished.code, Some(0), "{}", finished.stderr);
    made.is_whole("beside something else");
}

#[tokio::test]
async fn clusters_of_sound_alone_stay_where_they_begin() {
    if !ffmpeg::installed() {
        return;
    }
    let frames = |bench: &Bench, name: &str| {
        let args = [
            "-v",
            "error",
            "-show_entries",
            "packet=pts,duration,size,flags:format=duration",
            "-show_data_hash",
            "md5",
        ];
        let probed = std::process::Command::new("ffprobe")
            .args(args)
            .arg(bench.path(name))
            .output()
            .unwrap();
        assert!(probed.status.success() && probed.stdout.len() > 50_000);
        probed.stdout
    };
    let (whole, bench) = undisturbed(Film { apart: true, ..FILM }, "out.mka").await;
    let expected = frames(&bench, "out.mka");
    // Each frame may be jumped to, so that behind what is missing others are in the index.
    let made = whole.without(bench, &["audio/11.ts"]).await;
    made.bench.server.set_rules(Vec::new());
    filled_in(&made, "sound alone", 1, 6).await;
    assert!(frames(&made.bench, "out.mka") == expected);
    assert!(made.bench.read("out.mka") != whole.whole, "the remark in front says why");
}

#[tokio::test]
async fn behind_discontinuities_and_gaps_it_is_filled_in_where_they_put_it() {
    if !ffmpeg::installed() {
        return;
    }
    let apart = Film { apart: true, ..FILM };
    for film in [
        Film {
            discontinuities: &[6, 12],
            ..FILM
        },
        Film {
            discontinuities: &[6, 12],
            ..apart
        },
        Film { gap: Some(9), ..FILM },
        Film { gap: Some(9), ..apart },
        Film { rate: 44_100, ..apart },
    ] {
        let (whole, mut bench) = undisturbed(film, "out.mkv").await;
        // Not the last of a period, behind which the next begins earlier or later.
        for missing in [&["video/8.ts"][..], &["video/14.ts"], &["video/10.ts", "video/18.ts"]] {
            let made = whole.without(bench, missing).await;
            made.bench.server.set_rules(Vec::new());
            whole.comes_of(&made, missing, 30).await;
            bench = made.bench;
        }
    }
}

#[tokio::test]
async fn a_repair_that_is_killed_while_it_fills_in_leaves_the_file_to_the_next() {
    if !ffmpeg::installed() {
        return;
    }
    let (whole, bench) = undisturbed(Film { apart: true, ..FILM }, "out.mkv").await;
    let made = whole.without(bench, &["video/11.ts"]).await;
    let stalls = Rule::new("/film/video/12.ts", Fault::Delay { milliseconds: 600_000 });
    made.bench.server.set_rules(vec![stalls]);
    let before = made.bench.asked("/film/video/12.ts");
    let mut command = e2e::binary::command(made.bench.folder()).unwrap();
    let mut child = command.args(["repair", "out.mkv"]).spawn().unwrap();
    let stats = made.bench.server.stats();
    stats.wait_until(|tally| tally.count("/film/video/12.ts") > before).await;
    child.kill().await.unwrap();
    made.is_whole("killed in the middle");
    made.bench.server.set_rules(Vec::new());
    whole.comes_of(&made, &["video/11.ts"], 12).await;
}
