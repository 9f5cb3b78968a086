//! `--json` of `verify` and `repair`: one verdict, by its schema.

use super::*;

/// The verdict of a run, which is all that stands on standard output.
async fn verdict(bench: &Bench, args: &[&str]) -> Value {
    let finished = bench.run(&[args, &["--json"]].concat()).await;
    let told = String::from_utf8(finished.stdout).unwrap();
    let told = e2e::schema::check_verdict(&told).unwrap_or_else(|error| panic!("{error:#}: {told}"));
    assert_eq!(told["exit_code"], finished.code.unwrap(), "{told}");
    told
}

#[tokio::test]
async fn a_verdict_is_told_for_programs() {
    let made = Made::new("out.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let bench = &made.bench;
    bench.write("notes.txt", b"text");
    let told = verdict(bench, &["verify", "out.ts"]).await;
    assert_eq!(
        (&told["verdict"], &told["proved"], &told["repair"]),
        (&"sound".into(), &6.into(), &Value::Null)
    );
    assert_eq!(told["container"]["name"], "MPEG-TS");
    for (file, expected, code) in [("notes.txt", "unproved", 1), ("none.ts", "failed", 2)] {
        let told = verdict(bench, &["verify", file]).await;
        assert_eq!((&told["verdict"], &told["exit_code"]), (&expected.into(), &code.into()), "{file}");
    }
    assert_eq!(verdict(bench, &["repair", "none.ts"]).await["verdict"], "failed");

    made.flip(&[made.piece(0, 2).0 + 1000]);
    let told = verdict(bench, &["verify", "out.ts"]).await;
    assert_eq!((&told["verdict"], &told["damaged"]["count"]), (&"wrong".into(), &1.into()));
    assert_eq!(told["damaged"]["first"][0]["msn"], 2);
    let told = verdict(bench, &["repair", "out.ts"]).await;
    assert_eq!((&told["verdict"], &told["repair"]["mended"]), (&"sound".into(), &1.into()));
    made.is_whole("a repair that tells a program");
}

#[tokio::test]
async fn a_verdict_names_what_is_missing_and_why_it_is_not_filled_in() {
    let bench = Bench::new(vec![Rule::new("/s/fmp4/2.m4s", Fault::status(404))]);
    let made = Made::by(bench, "out.mp4", "/s/fmp4/index.m3u8", &["--on-missing", "gap"], 3).await;
    for command in ["verify", "repair"] {
        let told = verdict(&made.bench, &[command, "out.mp4"]).await;
        assert_eq!((&told["verdict"], &told["exit_code"]), (&"gaps".into(), &3.into()), "{command}");
        assert_eq!(told["missing"]["first"][0]["msn"], 2, "{command}");
        let left = &told["repair"]["left"]["first"][0];
        assert!(left.as_str().is_none_or(|left| left.contains("404")), "{command}: {told}");
        assert_eq!(left.is_string(), command == "repair");
    }
    made.bench.server.set_rules(Vec::new());
    let told = verdict(&made.bench, &["repair", "out.mp4"]).await;
    assert_eq!((&told["verdict"], &told["repair"]["filled"]), (&"sound".into(), &1.into()));
}

#[tokio::test]
async fn what_this_program_makes_is_sound_by_its_container_too() {
    for path in [
        "plain-ts",
        "fmp4",
        "discontinuity",
        "alternate-audio",
        "alternate-audio-fmp4",
        "long",
    ] {
        for (output, container) in [
            ("out.mp4", "MP4"),
            ("out.m4s", "fragmented MP4"),
            ("out.m4a", "MP4"),
            ("out.ts", "MPEG-TS"),
            ("out.mkv", "Matroska"),
        ] {
            let made = Made::new(output, &format!("/s/{path}/index.m3u8"), &[]).await;
            let told = verdict(&made.bench, &["verify", output]).await;
            assert_eq!(told["verdict"], "sound", "{path} to {output}: {told}");
            assert_eq!(told["container"]["name"], container, "{path} to {output}");
        }
    }
}

#[tokio::test]
async fn a_verdict_tells_why_a_file_was_made_anew() {
    let made = Made::new("out.mkv", "/s/plain-ts/index.m3u8", &[]).await;
    made.damage_index();
    let told = verdict(&made.bench, &["repair", "out.mkv"]).await;
    let repair = &told["repair"];
    assert_eq!((&told["verdict"], &repair["mended"]), (&"sound".into(), &0.into()), "{told}");
    assert_eq!(
        (&repair["remade"]["count"], &repair["left"]["count"]),
        (&1.into(), &0.into()),
        "{told}"
    );
    let why = repair["remade"]["first"][0].as_str().unwrap();
    assert!(
        why.contains("what stands behind the last segment, such as the index, is damaged"),
        "{told}"
    );
    made.is_whole("made anew for a program");
    made.flip(&[]);
    assert_eq!(verdict(&made.bench, &["repair", "out.mkv"]).await["repair"]["remade"]["count"], 0);
}

#[tokio::test]
async fn what_was_mended_is_told_though_the_next_try_fails() {
    let made = Made::new("out.ts", "/s/plain-ts/index.m3u8", &[]).await;
    let playlist = "/s/plain-ts/index.m3u8";
    for (json, rules) in [true, false].map(|json| {
        let gone = Rule::new("/s/plain-ts/4.ts", Fault::status(404));
        // The first try has the playlist, the second has not.
        (json, vec![gone, Rule::new(playlist, Fault::status(403)).skip(1)])
    }) {
        made.flip(&[made.piece(0, 2).0 + 1000, made.piece(0, 4).0 + 1000]);
        made.bench.server.set_rules(rules);
        if json {
            let told = verdict(&made.bench, &["repair", "out.ts"]).await;
            let repair = &told["repair"];
            assert_eq!((&repair["mended"], &repair["left"]["count"]), (&1.into(), &1.into()), "{told}");
            assert!(repair["failed"].as_str().is_some_and(|why| why.contains("403")), "{told}");
            assert_eq!((&told["damaged"]["count"], &told["exit_code"]), (&1.into(), &1.into()), "{told}");
        } else {
            let told = made.repair(&[], 1, "places mended: 1").await;
            assert!(told.stderr.contains("not mended: segment 4 of track 0"), "{}", told.stderr);
        }
    }
}
