//! Files that nothing mends but the whole stream, fetched again.

use super::*;

/// Repairs a file that is to be made anew, and demands that it be the one of an undisturbed run.
pub(super) async fn is_made_anew(made: &Made, undisturbed: &[u8], says: &str, name: &str) {
    let finished = made.bench.run(&["repair", made.output]).await;
    assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
    assert!(
        finished.stderr.contains("made anew of the whole stream: "),
        "{name}: {}",
        finished.stderr
    );
    assert!(finished.stderr.contains(says), "{name}: {says:?} is not in:\n{}", finished.stderr);
    assert!(made.bench.read(made.output) == undisturbed, "{name}: it is not what it should be");
    assert_eq!(made.names(), 2, "{name}: something was left behind: {:?}", made.bench.names());
    let report = String::from_utf8(made.bench.read(&format!("{}.report.json", made.output))).unwrap();
    let report = e2e::schema::check_report(&report).unwrap();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"whole".into(), &0.into()), "{name}");
    expect(&made.bench.run(&["verify", made.output]).await, 0, "sound: ");
}

#[tokio::test]
async fn what_is_damaged_beyond_mending_is_made_anew() {
    let none = &[][..];
    for (output, path, args) in [
        ("out.ts", "/s/discontinuity/index.m3u8", none),
        ("out.srt", "/s/subtitles/index.m3u8", &["--subs", "lang:en"]),
        ("out.vtt", "/s/captions/index.m3u8", &["--captions", "cc1"]),
    ] {
        let name = format!("{path} to {output}");
        let made = Made::new(output, path, args).await;
        let length = made.whole.len();
        for damage in ["a bit", "zeros", "the end", "the beginning"] {
            match damage {
                "a bit" => drop(made.flip(&[length / 2])),
                "zeros" => {
                    let mut bytes = made.whole.clone();
                    bytes[length / 3..length / 2].fill(0);
                    made.write(&bytes);
                }
                "the end" => made.write(&made.whole[..length * 3 / 4]),
                _ => drop(made.flip(&[0, 1, 2, 3])),
            }
            is_made_anew(
                &made,
                &made.whole,
                "each depends on all that came before",
                &format!("{name}: {damage}"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn an_index_is_made_anew_with_its_film() {
    for (output, path, args) in [
        ("out.mp4", "/s/fmp4/index.m3u8", &[][..]),
        ("out.mp4", "/s/plain-ts/index.m3u8", &[]),
        ("out.mp4", "/s/alternate-audio-fmp4/index.m3u8", &[]),
        ("out.m4a", "/s/plain-ts/index.m3u8", &[]),
        ("out.mp4", "/s/subtitles/index.m3u8", &["--subs", "all", "--subs-format", "tx3g"]),
    ] {
        let name = format!("{path} to {output}");
        let made = Made::new(output, path, args).await;
        let before = made.bench.segments();
        // It stands in front.
        made.flip(&[200]);
        is_made_anew(&made, &made.whole, "its media is sound, but not what stands beside it", &name).await;
        assert!(made.bench.segments() - before >= made.units().iter().filter(|unit| unit.get("init").is_none()).count());
        // With the first samples.
        let (offset, length) = made.piece(0, made.units().iter().find_map(|unit| unit["msn"].as_u64()).unwrap());
        let mut bytes = made.whole.clone();
        bytes[..offset + length / 2].fill(0);
        made.write(&bytes);
        is_made_anew(&made, &made.whole, "", &format!("{name}: blocks of zeros")).await;
    }
}

#[tokio::test]
async fn what_is_missing_beyond_filling_in_is_made_anew_once_it_can_be_had() {
    let none = &[][..];
    let inside = &["--subs", "all", "--subs-format", "tx3g"][..];
    for (output, path, args, missing) in [
        ("out.mp4", "/s/fmp4/index.m3u8", none, "/s/fmp4/0.m4s"),
        ("out.mp4", "/s/plain-ts/index.m3u8", none, "/s/plain-ts/0.ts"),
        ("out.mp4", "/s/alternate-audio/index.m3u8", none, "/s/alternate-audio/r1/0.ts"),
        ("out.mkv", "/s/fmp4/index.m3u8", none, "/s/fmp4/0.m4s"),
        ("out.mkv", "/s/subtitles/index.m3u8", &["--subs", "all"], "/s/subtitles/v0/2.ts"),
        ("out.mkv", "/s/captions/index.m3u8", &["--captions", "cc1"], "/s/captions/2.ts"),
        ("out.ts", "/s/fmp4/index.m3u8", none, "/s/fmp4/0.m4s"),
        ("out.m4s", "/s/plain-ts/index.m3u8", none, "/s/plain-ts/0.ts"),
        ("out.mp4", "/s/subtitles/index.m3u8", inside, "/s/subtitles/r0/1.vtt"),
    ] {
        let name = format!("{missing} to {output}");
        let undisturbed = Made::new(output, path, args).await;
        let bench = Bench::new(vec![Rule::new(missing, Fault::status(404))]);
        let made = Made::by(bench, output, path, &[args, &["--on-missing", "gap"]].concat(), 3).await;
        // As long as it cannot be had, nothing else is asked for.
        let (before, asked) = (made.bench.segments(), made.bench.asked(missing));
        made.repair(&[], 3, "none of what is missing can be had").await;
        assert_eq!(made.bench.segments() - before, made.bench.asked(missing) - asked, "{name}");
        made.is_whole(&name);
        assert_eq!(made.names(), 2, "{name}: something was left behind: {:?}", made.bench.names());
        made.bench.server.set_rules(Vec::new());
        is_made_anew(&made, &undisturbed.whole, "missing segments filled in: 1", &name).await;
    }
}

#[tokio::test]
async fn wherever_a_file_is_damaged_it_is_whole_again() {
    let none = &[][..];
    for (output, path, args) in [
        ("out.mp4", "/s/plain-ts/index.m3u8", none),
        ("out.mp4", "/s/alternate-audio/index.m3u8", none),
        ("out.mp4", "/s/alternate-audio-fmp4/index.m3u8", none),
        ("out.mkv", "/s/plain-ts/index.m3u8", none),
        ("out.mkv", "/s/alternate-audio/index.m3u8", none),
        ("out.mka", "/s/alternate-audio/index.m3u8", none),
        ("out.mkv", "/s/subtitles/index.m3u8", &["--subs", "all"]),
        ("out.mkv", "/s/captions-fmp4/index.m3u8", &["--captions", "cc3"]),
        ("out.mp4", "/s/captions/index.m3u8", &["--captions", "cc1"]),
        ("out.m4s", "/s/fmp4/index.m3u8", none),
        ("out.m4s", "/s/plain-ts/index.m3u8", none),
        ("out.m4s", "/s/alternate-audio-fmp4/index.m3u8", none),
        ("out.ts", "/s/fmp4/index.m3u8", none),
        ("out.ts", "/s/alternate-audio/index.m3u8", none),
    ] {
        let made = Made::new(output, path, args).await;
        let places = 12;
        for place in 0..places {
            let at = (made.whole.len() - 1) * place / (places - 1);
            let mut bytes = made.whole.clone();
            let end = bytes.len().min(at + 3000);
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            made.write(&bytes);
            made.repair(&[], 0, "sound: ").await;
            made.is_whole(&format!("{path} to {output}, damaged at {at}"));
            assert_eq!(made.names(), 2, "{path}: something was left behind: {:?}", made.bench.names());
        }
    }
}

#[tokio::test]
async fn a_period_that_starts_over_is_made_anew_on_one_timeline() {
    let list = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"/s/fmp4/init.mp4\"\n\
        #EXTINF:2,\n/s/fmp4/0.m4s\n#EXTINF:2,\n/s/fmp4/1.m4s\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\n/again.m4s\n#EXT-X-ENDLIST\n";
    let again = Fault::Redirect {
        status: 302,
        to: "/s/fmp4/0.m4s".into(),
    };
    let config = |rules: Vec<Rule>| {
        let mut config = fixture_server::Config::standard().unwrap();
        config.files.insert("/list.m3u8".into(), list.into());
        config.rules = rules;
        Bench::with(config)
    };
    let redirect = || Rule::new("/again.m4s", again.clone());
    let undisturbed = Made::by(config(vec![redirect()]), "out.m4s", "/list.m3u8", &[], 0).await;
    let gone = Rule::new("/again.m4s", Fault::status(404));
    let made = Made::by(config(vec![gone]), "out.m4s", "/list.m3u8", &["--on-missing", "gap"], 3).await;
    made.repair(&[], 3, "not mended: ").await;
    made.is_whole("a period that is still gone");
    made.bench.server.set_rules(vec![redirect()]);
    is_made_anew(
        &made,
        &undisturbed.whole,
        "times start over where they are",
        "a period that starts over",
    )
    .await;
}

#[tokio::test]
async fn a_file_that_came_as_one_stream_is_made_anew() {
    let film: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let bench = |film: &[u8]| {
        let mut config = fixture_server::Config::standard().unwrap();
        config.files.insert("/film.bin".into(), film.to_vec().into());
        config.rules = vec![Rule::new("/film.bin", Fault::IgnoreRange)];
        Bench::with(config)
    };
    let made = Made::by(bench(&film), "out.bin", "/film.bin", &[], 0).await;
    assert!(made.whole == film);
    let damaged = made.flip(&[7_000_000]);
    // Another file of the same name.
    let other = bench(&film.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>());
    made.repair(&[&other.server.url("/film.bin")], 1, "does not make the bytes that it had")
        .await;
    assert!(made.bench.read("out.bin") == damaged, "it was touched");
    assert_eq!(made.names(), 2, "something was left behind: {:?}", made.bench.names());
    is_made_anew(&made, &film, "it came as one stream", "a stream").await;
}

#[tokio::test]
async fn what_lies_beside_a_discontinuity_of_several_tracks_is_made_anew() {
    let order = [3, 4, 5, 0, 1, 2];
    let list = |folder: &str| {
        let segment = |(place, number): (usize, u32)| {
            let discontinuity = if place == 3 { "#EXT-X-DISCONTINUITY\n" } else { "" };
            format!("{discontinuity}#EXTINF:2,\n/s/alternate-audio/{folder}/{number}.ts\n")
        };
        let segments: String = order.into_iter().enumerate().map(segment).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}#EXT-X-ENDLIST\n")
    };
    let main = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Main\",DEFAULT=YES,URI=\"/audio.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n/video.m3u8\n";
    let bench = |rules: Vec<Rule>| {
        let mut config = fixture_server::Config::standard().unwrap();
        let files = [
            ("/main.m3u8", main.to_owned()),
            ("/video.m3u8", list("v0")),
            ("/audio.m3u8", list("r1")),
        ];
        config.files.extend(files.map(|(path, text)| (path.into(), text.into())));
        config.rules = rules;
        Bench::with(config)
    };
    let undisturbed = Made::by(bench(Vec::new()), "out.mp4", "/main.m3u8", &[], 0).await;
    for missing in ["v0/5.ts", "r1/5.ts", "v0/0.ts", "r1/0.ts"] {
        let rule = Rule::new(format!("/s/alternate-audio/{missing}"), Fault::status(404));
        let made = Made::by(bench(vec![rule]), "out.mp4", "/main.m3u8", &["--on-missing", "gap"], 3).await;
        made.bench.server.set_rules(Vec::new());
        made.repair(&[], 0, "missing segments filled in: 1").await;
        assert!(
            made.bench.read("out.mp4") == undisturbed.whole,
            "{missing}: it is not what it should be"
        );
        assert_eq!(made.names(), 2, "{missing}: something was left behind: {:?}", made.bench.names());
    }
}

#[tokio::test]
async fn what_is_still_missing_everywhere_stays_missing_and_the_rest_is_made_anew() {
    for (output, path, missing, at) in [
        ("out.mkv", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 20),
        ("out.mp4", "/s/fmp4/index.m3u8", "/s/fmp4/0.m4s", 200),
    ] {
        let bench = Bench::new(vec![Rule::new(missing, Fault::status(404))]);
        let made = Made::by(bench, output, path, &["--on-missing", "gap"], 3).await;
        made.flip(&[at]);
        let finished = made.repair(&[], 3, "made anew of the whole stream: ").await;
        assert!(
            finished.stderr.contains("without segments that were on offer"),
            "{}",
            finished.stderr
        );
        made.is_whole(output);
        assert_eq!(made.names(), 2, "{output}: something was left behind: {:?}", made.bench.names());
    }
    // Where mending in place was enough, nothing else is fetched for what cannot be had.
    let missing = "/s/fmp4/0.m4s";
    let bench = Bench::new(vec![Rule::new(missing, Fault::status(404))]);
    let made = Made::by(bench, "out.mp4", "/s/fmp4/index.m3u8", &["--on-missing", "gap"], 3).await;
    made.flip(&[made.piece(0, 3).0 + 1000]);
    let (before, asked) = (made.bench.segments(), made.bench.asked(missing));
    made.repair(&[], 3, "places mended: 1").await;
    made.is_whole("mended in place");
    assert_eq!(
        made.bench.segments() - before - (made.bench.asked(missing) - asked),
        1,
        "requests for segments"
    );
}

#[tokio::test]
async fn a_file_that_was_interrupted_is_gone_on_with_first() {
    let bench = Bench::new(vec![Rule::new("*.ts", Fault::Delay { milliseconds: 20 })]);
    let args = ["-o", "out.mkv", "--report", "out.mkv.report.json", "--concurrency", "1"];
    let interrupted = bench.interrupted(&args, "/s/long/index.m3u8", 10).await;
    assert_eq!(interrupted.code, Some(130), "{}", interrupted.stderr);
    bench.server.set_rules(Vec::new());
    let mut bytes = bench.read("out.mkv");
    bytes[20] ^= 1;
    bench.write("out.mkv", &bytes);
    expect(
        &bench.run(&["repair", "out.mkv"]).await,
        1,
        "the command that began it goes on first",
    );
    assert!(bench.read("out.mkv") == bytes, "it was touched");
    expect(&bench.fetch(&args, "/s/long/index.m3u8").await, 0, "whole");
    expect(&bench.run(&["repair", "out.mkv"]).await, 0, "sound: ");
}

#[tokio::test]
async fn what_the_file_has_and_nobody_else_is_not_given_up() {
    for (output, path, segment) in [
        ("out.mkv", "/s/plain-ts/index.m3u8", "/s/plain-ts/4.ts"),
        ("out.mp4", "/s/fmp4/index.m3u8", "/s/fmp4/4.m4s"),
    ] {
        let made = Made::new(output, path, &[]).await;
        let damaged = made.flip(&[200]);
        made.bench.server.add_rule(Rule::new(segment, Fault::status(404)));
        let refused = made.repair(&[], 1, "the file has it, and it cannot be had now").await;
        assert!(refused.stderr.contains("what was fetched is kept"), "{}", refused.stderr);
        assert!(made.bench.read(output) == damaged, "{path}: it was touched");
        // What came meanwhile is not asked for again.
        made.bench.server.set_rules(Vec::new());
        let before = made.bench.segments();
        is_made_anew(&made, &made.whole, "", output).await;
        assert!(
            made.bench.segments() - before <= 3,
            "{path}: {} segments",
            made.bench.segments() - before
        );
    }
}

#[tokio::test]
async fn an_address_that_expires_while_a_file_is_made_anew_is_asked_for_again() {
    let made = Made::new("out.mkv", "/s/plain-ts/index.m3u8", &[]).await;
    made.damage_index();
    made.bench
        .server
        .add_rule(Rule::new("/s/plain-ts/4.ts", Fault::status(403)).times(1));
    made.repair(&["--concurrency", "1"], 0, "made anew of the whole stream").await;
    made.is_whole("with an address that expired");
    assert_eq!(made.names(), 2, "something was left behind: {:?}", made.bench.names());
}

#[tokio::test]
async fn another_stream_does_not_replace_the_file() {
    let made = Made::new("out.mkv", "/s/plain-ts/index.m3u8", &[]).await;
    let damaged = made.damage_index();
    let other = made.bench.server.url("/s/low-ts/index.m3u8");
    made.repair(&[&other], 2, "another stream").await;
    assert!(made.bench.read("out.mkv") == damaged);
    assert_eq!(made.names(), 2, "something was left behind: {:?}", made.bench.names());
    // The same addresses with another content.
    let other = Fault::Redirect {
        status: 302,
        to: "/s/low-ts/5.ts".into(),
    };
    made.bench.server.add_rule(Rule::new("/s/plain-ts/5.ts", other));
    made.repair(&[], 1, "what is fetched now does not make the bytes that it had").await;
    assert!(made.bench.read("out.mkv") == damaged);
    assert_eq!(made.names(), 2, "something was left behind: {:?}", made.bench.names());
}

#[tokio::test]
async fn what_stands_unfinished_beside_the_file_is_taken_up_or_left_alone() {
    let made = Made::new("out.mkv", "/s/plain-ts/index.m3u8", &[]).await;
    let damaged = made.damage_index();
    // Of another stream.
    let rule = || Rule::new("/s/low-ts/3.ts", Fault::status(404));
    made.bench.server.add_rule(rule());
    expect(
        &made
            .bench
            .fetch(&["-o", "out.mkv", "--overwrite"], "/s/discontinuity/index.m3u8")
            .await,
        0,
        "whole",
    );
    made.write(&damaged);
    expect(
        &made
            .bench
            .fetch(&["-o", "out.mkv", "--overwrite", "--no-resume"], "/s/low-ts/index.m3u8")
            .await,
        1,
        "is kept",
    );
    let theirs = made.bench.read("out.mkv.part");
    made.repair(&[], 2, "another stream").await;
    assert!(made.bench.read("out.mkv.part") == theirs && made.bench.read("out.mkv") == damaged);
    // Of somebody else.
    std::fs::remove_file(made.bench.path("out.mkv.part.journal")).unwrap();
    made.bench.write("out.mkv.part", b"precious");
    made.repair(&[], 1, "something is in its way").await;
    assert!(made.bench.read("out.mkv.part") == b"precious" && made.bench.read("out.mkv") == damaged);
    // Of the same.
    std::fs::remove_file(made.bench.path("out.mkv.part")).unwrap();
    made.bench.server.set_rules(vec![Rule::new("/s/plain-ts/3.ts", Fault::status(404))]);
    expect(
        &made.bench.fetch(&["-o", "out.mkv", "--overwrite"], "/s/plain-ts/index.m3u8").await,
        1,
        "is kept",
    );
    made.bench.server.set_rules(Vec::new());
    let before = made.bench.segments();
    is_made_anew(&made, &made.whole, "", "taken up").await;
    assert!(made.bench.segments() - before <= 3, "{} segments", made.bench.segments() - before);
}

#[tokio::test]
async fn a_kill_while_a_file_is_made_anew_costs_what_was_under_way() {
    for output in ["out.mkv", "out.mp4"] {
        let made = Made::new(output, "/s/fmp4/index.m3u8", &[]).await;
        let damaged = made.flip(&[200]);
        let stalled = "/s/fmp4/4.m4s";
        made.bench.server.set_rules(vec![Rule::new(stalled, Fault::Stall { at: 1000 })]);
        let before = made.bench.asked(stalled);
        let mut command = e2e::binary::command(made.bench.folder()).unwrap();
        let mut child = command.args(["repair", output, "--concurrency", "1"]).spawn().unwrap();
        made.bench.server.stats().wait_until(|tally| tally.count(stalled) > before).await;
        // One at a time.
        made.repair(&[], 1, "another process").await;
        child.kill().await.unwrap();
        assert!(made.bench.read(output) == damaged, "{output}: it was touched");
        made.bench.server.set_rules(Vec::new());
        let before = made.bench.segments();
        is_made_anew(&made, &made.whole, "", output).await;
        // An MP4 has one asked for to find out what is wrong.
        assert!(
            made.bench.segments() - before <= 4,
            "{output}: {} segments",
            made.bench.segments() - before
        );
    }
}

#[tokio::test]
async fn an_interruption_leaves_the_file_as_it_is() {
    let made = Made::new("out.mkv", "/s/long/index.m3u8", &[]).await;
    let damaged = made.damage_index();
    made.bench
        .server
        .set_rules(vec![Rule::new("*.ts", Fault::Delay { milliseconds: 20 })]);
    let before = made.bench.segments();
    let mut command = e2e::binary::command(made.bench.folder()).unwrap();
    let child = command.args(["repair", "out.mkv", "--concurrency", "1"]).spawn().unwrap();
    made.bench
        .server
        .stats()
        .wait_until(|tally| tally.count("*.ts") >= before + 5)
        .await;
    e2e::binary::interrupt(&child).unwrap();
    let ended = e2e::binary::finish(child, e2e::bench::PATIENCE).await.unwrap();
    expect(&ended, 130, "the same command carries on from there");
    assert!(ended.stderr.contains("what is mended stays so"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("finalised"), "{}", ended.stderr);
    assert!(made.bench.read("out.mkv") == damaged, "it was touched");
    made.bench.server.set_rules(Vec::new());
    is_made_anew(&made, &made.whole, "", "after an interruption").await;
    assert!(made.bench.segments() - before < 2 * 120, "it was begun anew");
}

// Between the new file and its report stands a moment in which the power may be cut.
#[tokio::test]
async fn a_file_whose_report_is_still_the_old_one_is_mended_all_the_same() {
    for (output, path, missing) in [
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts"),
        ("out.mp4", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts"),
        ("out.mp4", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s"),
        ("out.mkv", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s"),
    ] {
        let undisturbed = Made::new(output, path, &[]).await;
        let made = Made::by(
            Bench::new(vec![Rule::new(missing, Fault::status(404))]),
            output,
            path,
            &["--on-missing", "gap"],
            3,
        )
        .await;
        made.bench.server.set_rules(Vec::new());
        let report = format!("{output}.report.json");
        let old = made.bench.read(&report);
        made.repair(&[], 0, "sound: ").await;
        made.bench.write(&report, &old);
        made.repair(&[], 0, "sound: ").await;
        assert!(
            made.bench.read(output) == undisturbed.whole,
            "{path} to {output}: it is not what it should be"
        );
        assert_eq!(made.names(), 2, "{path}: something was left behind: {:?}", made.bench.names());
    }
}

#[tokio::test]
async fn subtitles_beside_a_film_are_made_anew_by_its_clock() {
    for (path, format, film) in [
        ("/s/subtitles/index.m3u8", "vtt", "*/v0/*.ts"),
        ("/s/subtitles/index.m3u8", "srt", "*/v0/*.ts"),
        ("/s/subtitles-wvtt/index.m3u8", "vtt", "*/v0/*.m4s"),
    ] {
        let made = Made::new("out.mp4", path, &["--subs", "lang:en", "--subs-format", format]).await;
        let beside = format!("out.en.{format}");
        // Whichever was finished first.
        let outputs = made.report["outputs"].as_array().unwrap();
        let names: Vec<&str> = outputs.iter().filter_map(|output| output["file"].as_str()).collect();
        assert_eq!(names, ["out.mp4", &beside]);
        let whole = made.bench.read(&beside);
        let repair = ["repair", &beside, "--report", "out.mp4.report.json"];
        for damage in [30, whole.len() - 3] {
            let mut text = whole.clone();
            text[damage] ^= 1;
            made.bench.write(&beside, &text);
            let before = made.bench.asked(film);
            expect(&made.bench.run(&repair).await, 0, "made anew of the whole stream: ");
            assert!(made.bench.read(&beside) == whole, "{path} to {beside}");
            assert_eq!(made.bench.asked(film) - before, 1, "{path}: the beginning of the film is enough");
        }
        made.is_whole(path);
        let report: Value = serde_json::from_slice(&made.bench.read("out.mp4.report.json")).unwrap();
        assert_eq!(report["outputs"], made.report["outputs"], "{path}");
        assert_eq!(made.names(), 3, "{:?}", made.bench.names());
    }
}

// Where the film cannot be had, nothing says what the times count from.
#[tokio::test]
async fn subtitles_beside_a_film_that_is_gone_stay_as_they_are() {
    let lost = Rule::new("*/r0/1.vtt", Fault::status(404));
    let made = Made::by(
        Bench::new(vec![lost]),
        "out.mp4",
        "/s/subtitles/index.m3u8",
        &["--subs", "lang:en", "--on-missing", "gap"],
        3,
    )
    .await;
    let before = made.bench.read("out.en.vtt");
    made.bench.server.set_rules(vec![Rule::new("*/v0/*.ts", Fault::status(404))]);
    let repair = ["repair", "out.en.vtt", "--report", "out.mp4.report.json"];
    expect(
        &made.bench.run(&repair).await,
        3,
        "the beginning of the film, which its times count from, cannot be had",
    );
    assert!(made.bench.read("out.en.vtt") == before);
    made.bench.server.set_rules(Vec::new());
    expect(&made.bench.run(&repair).await, 0, "missing segments filled in: 1");
    let undisturbed = Made::new("out.mp4", "/s/subtitles/index.m3u8", &["--subs", "lang:en"]).await;
    assert!(made.bench.read("out.en.vtt") == undisturbed.bench.read("out.en.vtt"));
    assert_eq!(made.names(), 3, "{:?}", made.bench.names());
}

#[tokio::test]
async fn the_other_outputs_of_a_report_stay_as_they_are_told() {
    let made = Made::new("out.mp4", "/s/subtitles/index.m3u8", &["--subs", "lang:en"]).await;
    made.flip(&[200]);
    made.repair(&[], 0, "made anew of the whole stream: ").await;
    made.is_whole("a film with subtitles beside it");
    let report = String::from_utf8(made.bench.read("out.mp4.report.json")).unwrap();
    let report = e2e::schema::check_report(&report).unwrap();
    assert_eq!(report["outputs"], made.report["outputs"]);
    let args = ["verify", "out.en.vtt", "--report", "out.mp4.report.json"];
    expect(&made.bench.run(&args).await, 0, "3 segments proved by their digests");
}

#[tokio::test]
async fn a_file_that_was_decrypted_as_one_is_made_anew_with_the_same_key() {
    // The key of the committed vectors (`crates/decrypt/tests/data/make.sh`).
    let key = "eb676abbcb345e96bbcf616630f1a3da:100b6c20940f779a4589152b57d2dacb";
    let made = Made::new("out.mp4", "/media/vectors/progressive-sealed.mp4", &["--key", key]).await;
    let damaged = made.flip(&[made.whole.len() / 2]);
    for (args, code) in [
        (&[][..], 1),
        (&["--key", "eb676abbcb345e96bbcf616630f1a3da:00000000000000000000000000000000"], 1),
        (&["--key", key], 0),
    ] {
        made.repair(args, code, "").await;
        let now = made.bench.read("out.mp4");
        assert!(now == if code == 0 { &made.whole[..] } else { &damaged[..] }, "{args:?}");
        assert_eq!(made.names(), 2, "{args:?}: something was left behind: {:?}", made.bench.names());
    }
}

#[tokio::test]
async fn a_film_has_the_title_of_its_page_as_it_is_now() {
    let page = |title: &str| {
        let text = format!("<!doctype html><title>{title}</title><video src=\"/s/plain-ts/index.m3u8\"></video>");
        Rule::new(
            "/page",
            Fault::Body {
                content_type: "text/html".into(),
                text,
            },
        )
    };
    for output in ["out.mkv", "out.mp4"] {
        let made = Made::by(Bench::new(vec![page("A film")]), output, "/page", &[], 0).await;
        made.flip(&[200]);
        made.bench.server.set_rules(vec![page("The same film, under a longer title")]);
        made.repair(&[], 0, "made anew of the whole stream: ").await;
        let now = made.bench.read(output);
        assert!(
            now.windows(36).any(|text| text.starts_with(b"The same film, under a longer title")),
            "{output}"
        );
        expect(&made.bench.run(&["verify", output]).await, 0, "sound: ");
    }
}

// What it never came to is in the playlist by now.
#[tokio::test]
async fn a_recording_that_ended_before_its_stream_is_made_anew_to_the_end_of_that() {
    let playlist = "/s/plain-ts/index.m3u8";
    let window = |segments: std::ops::Range<u32>, end: &str| {
        let names: String = segments.map(|segment| format!("#EXTINF:2.0,\n{segment}.ts\n")).collect();
        Rule::new(
            playlist,
            Fault::Body {
                content_type: "application/vnd.apple.mpegurl".into(),
                text: format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n{names}{end}"),
            },
        )
    };
    let bench = Bench::new(vec![window(0..3, "")]);
    let args = ["-o", "out.mkv", "--report", "out.mkv.report.json"];
    let interrupted = bench.interrupted(&args, playlist, 3).await;
    assert_eq!(interrupted.code, Some(130), "{}", interrupted.stderr);
    let made = Made {
        output: "out.mkv",
        whole: bench.read("out.mkv"),
        report: serde_json::from_slice(&bench.read("out.mkv.report.json")).unwrap(),
        bench,
    };
    assert_eq!((&made.report["outcome"], made.units().len()), (&"interrupted".into(), 3));
    let damaged = made.damage_index();
    // As long as it is live, it ends where it ended.
    made.bench.server.set_rules(vec![window(0..4, "")]);
    made.repair(&[], 3, "made anew of the whole stream: ").await;
    made.is_whole("as long as it is live");
    made.bench.write("out.mkv", &damaged);
    made.bench.server.set_rules(vec![window(0..6, "#EXT-X-ENDLIST\n")]);
    made.repair(&[], 0, "made anew of the whole stream: ").await;
    let report = String::from_utf8(made.bench.read("out.mkv.report.json")).unwrap();
    let report = e2e::schema::check_report(&report).unwrap();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"whole".into(), &0.into()));
    assert_eq!(report["outputs"][0]["units"].as_array().unwrap().len(), 6);
    expect(&made.bench.run(&["verify", "out.mkv"]).await, 0, "sound: 6 segments");
    assert_eq!(made.names(), 2, "something was left behind: {:?}", made.bench.names());
}

// A repair began it, and no user gives it up by hand.
#[tokio::test]
async fn what_a_repair_left_and_nobody_can_use_does_not_stand_in_the_way_of_the_next() {
    let made = Made::new("out.mkv", "/s/plain-ts/index.m3u8", &[]).await;
    let damaged = made.damage_index();
    let other = Fault::Redirect {
        status: 302,
        to: "/s/low-ts/1.ts".into(),
    };
    made.bench.server.set_rules(vec![
        Rule::new("/s/plain-ts/1.ts", other),
        Rule::new("/s/plain-ts/4.ts", Fault::status(404)),
    ]);
    made.repair(&[], 1, "what was fetched is kept").await;
    assert_eq!(made.names(), 4, "{:?}", made.bench.names());
    made.bench.server.set_rules(Vec::new());
    made.repair(&[], 1, "what is fetched now does not make the bytes that it had").await;
    assert!(made.bench.read("out.mkv") == damaged, "it was touched");
    assert_eq!(made.names(), 2, "what is of no use was left behind: {:?}", made.bench.names());
    is_made_anew(&made, &made.whole, "", "after a repair that nobody can go on with").await;
}
