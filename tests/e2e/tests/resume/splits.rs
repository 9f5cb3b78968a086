//! The same of an output that is split into numbered files.

use super::*;

const PATH: &str = "/s/discontinuity/index.m3u8";

fn args(output: &str) -> Vec<&str> {
    vec!["--split", "discontinuity", "-o", output, "--report", "report.json"]
}

/// The files of an undisturbed run.
async fn whole(output: &str, path: &str) -> Vec<(String, Vec<u8>)> {
    let bench = Bench::new(Vec::new());
    expect(&bench.fetch(&args(output), path).await, 0, "whole");
    std::fs::remove_file(bench.path("report.json")).unwrap();
    tree(bench.folder())
}

fn files(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    tree(bench.folder()).into_iter().filter(|(name, _)| name != "report.json").collect()
}

#[tokio::test]
async fn a_failure_keeps_the_files_and_each_is_proved_once_all_are_whole() {
    for (output, extension) in [("film.mp4", "mp4"), ("film.mkv", "mkv"), ("film.ts", "ts"), ("a film.m4s", "m4s")] {
        for lost in ["*/1.ts", "*/4.ts", "*/5.ts"] {
            let place = format!("{output} without {lost}");
            let bench = Bench::new(vec![Rule::new(lost, Fault::status(404))]);
            expect(&bench.fetch(&args(output), PATH).await, 1, "the same command carries on");
            let part = format!("{output}.part");
            assert_eq!(
                bench.names(),
                [part.clone(), format!("{part}.journal"), "report.json".into()],
                "{place}"
            );
            expect(&bench.fetch(&args(output)[..4], "/s/low-ts/index.m3u8").await, 2, "another stream");
            let file = bench.fetch(&["-o", output], PATH).await;
            expect(&file, 2, "is no regular file");
            bench.server.set_rules(Vec::new());
            let before = bench.segments();
            expect(&bench.fetch(&args(output), PATH).await, 0, "whole");
            assert!(files(&bench) == whole(output, PATH).await, "{place}: the files differ");
            assert!(bench.segments() - before < 6, "{place}: all was fetched again");
            for (name, bytes) in files(&bench) {
                let verify = ["verify", &name, "--report", "report.json"];
                expect(&bench.run(&verify).await, 0, "sound: 3 segments proved by their digests");
                let mut other = bytes.clone();
                other[bytes.len() / 2] ^= 1;
                bench.write(&name, &other);
                expect(&bench.run(&verify).await, 1, "not as it should be");
                bench.write(&name, &[&bytes[..], b"more"].concat());
                expect(
                    &bench.run(&verify).await,
                    1,
                    &format!("and had {} when it was written", bytes.len()),
                );
                bench.write(&name, &bytes);
            }
            expect(
                &bench.fetch(&args(output)[..4], PATH).await,
                2,
                &format!("001.{extension} is there already"),
            );
        }
    }
}

#[tokio::test]
async fn after_ctrl_c_the_files_play_and_the_same_command_goes_on_to_the_whole() {
    let path = "/s/long/index.m3u8";
    for output in ["film.ts", "film.mp4"] {
        let bench = Bench::new(vec![Rule::new("*.ts", Fault::Delay { milliseconds: 20 })]);
        let args = [&args(output)[..], &["--concurrency", "2", "--buffer", "70K"]].concat();
        expect(&bench.interrupted(&args, path, 14).await, 130, "interrupted");
        let first = output.replace('.', ".001.");
        let named = files(&bench);
        assert!(named.len() > 2 && named[0].0 == first, "{:?}", bench.names());
        assert!(bench.names().contains(&format!("{output}.part.journal")));
        expect(
            &bench.run(&["verify", &first, "--report", "report.json"]).await,
            3,
            "sound, but it ends before its stream did",
        );
        expect(&bench.fetch(&args, path).await, 0, "whole");
        let undisturbed = whole(output, path).await;
        assert!(files(&bench) == undisturbed, "{output}: the files differ");
        let once = Bench::new(Vec::new());
        once.fetch(&args, path).await;
        assert!(bench.segments() <= once.segments() + 6, "{output}: {} requests", bench.segments());
    }
}

#[tokio::test]
async fn a_file_of_somebody_else_is_not_replaced_and_what_was_fetched_is_kept() {
    let bench = Bench::new(Vec::new());
    bench.write("film.002.mp4", b"precious");
    expect(&bench.fetch(&args("film.mp4"), PATH).await, 2, "film.002.mp4 is there already");
    assert_eq!(bench.read("film.002.mp4"), b"precious");
    // From then on it is told before anything is asked for that would go into the file.
    let before = (bench.segments(), tree(bench.folder()));
    let again = bench.fetch(&args("film.mp4")[..4], PATH).await;
    expect(&again, 2, "film.002.mp4 is there already");
    assert!((bench.segments(), tree(bench.folder())) == before, "{:?}", bench.names());
    std::fs::remove_file(bench.path("film.002.mp4")).unwrap();
    expect(&bench.fetch(&args("film.mp4"), PATH).await, 0, "whole");
    assert!(files(&bench) == whole("film.mp4", PATH).await);
    assert!(bench.segments() - before.0 <= 4, "the first file was fetched again");
    let over = [&args("film.mp4")[..4], &["--overwrite"]].concat();
    expect(&bench.fetch(&over, "/s/low-ts/index.m3u8").await, 0, "whole");
}

#[tokio::test]
async fn what_somebody_made_of_the_files_of_an_interrupted_split_is_not_written_over() {
    type Change<'a> = &'a dyn Fn(&Bench);
    let path = "/s/long/index.m3u8";
    let cases: [(&str, Change<'_>, i32, &str); 3] = [
        (
            "the name of the next one is taken",
            &|bench| {
                let next = format!("film.{:03}.ts", files(bench).len());
                bench.write(&next, b"precious");
            },
            2,
            ".ts is there already",
        ),
        (
            "one of them is another",
            &|bench| bench.write("film.002.ts", b"precious"),
            2,
            "film.002.ts is there already",
        ),
        (
            "they are gone",
            &|bench| {
                files(bench)
                    .iter()
                    .for_each(|(name, _)| std::fs::remove_file(bench.path(name)).unwrap());
            },
            0,
            "whole",
        ),
    ];
    for (rule, change, code, says) in cases {
        let bench = Bench::new(vec![Rule::new("*.ts", Fault::Delay { milliseconds: 20 })]);
        let args = [&args("film.ts")[..], &["--concurrency", "2", "--buffer", "70K"]].concat();
        expect(&bench.interrupted(&args, path, 14).await, 130, "interrupted");
        assert!(files(&bench).len() > 2, "{:?}", bench.names());
        change(&bench);
        let (before, asked) = (files(&bench), bench.segments());
        expect(&bench.fetch(&args, path).await, code, says);
        assert!(code == 0 || bench.segments() == asked, "{rule}: it was fetched all the same");
        let expected = if code == 0 { whole("film.ts", path).await } else { before };
        assert!(files(&bench) == expected, "{rule}: {:?}", bench.names());
    }
}

#[tokio::test]
async fn a_page_that_changed_its_title_carries_on_with_the_files_that_it_had() {
    let page = |title: &str| {
        let text = format!("<title>{title}</title><video src=\"/s/long/index.m3u8\"></video>");
        Rule::new(
            "/film",
            Fault::Body {
                content_type: "text/html".into(),
                text,
            },
        )
    };
    let slow = || Rule::new("*.ts", Fault::Delay { milliseconds: 20 });
    let args = ["--split", "discontinuity", "--concurrency", "2", "--buffer", "70K"];
    let once = Bench::new(vec![page("A film")]);
    expect(&once.fetch(&args, "/film").await, 0, "whole");
    let whole = tree(once.folder());
    let says = "taken up under the name that it had: A film.mp4";
    for interrupted in [true, false] {
        let bench = Bench::new(vec![page("A film"), slow()]);
        if interrupted {
            expect(&bench.interrupted(&args, "/film", 14).await, 130, "interrupted");
            assert!(bench.names().contains(&"A film.001.mp4".into()), "{:?}", bench.names());
        } else {
            bench
                .server
                .set_rules(vec![page("A film"), Rule::new("*/40.ts", Fault::status(404))]);
            expect(&bench.fetch(&args, "/film").await, 1, "carries on");
        }
        let (left, before) = (tree(bench.folder()), bench.segments());
        bench
            .server
            .set_rules(vec![page("The film"), Rule::new("*.ts", Fault::status(404))]);
        // What is split is not gone on with in one file.
        let other = bench.fetch(&args[2..], "/film").await;
        assert_eq!(other.code, Some(1), "{}", other.stderr);
        assert!(!other.stderr.contains(says) && tree(bench.folder()) == left, "{}", other.stderr);
        bench.server.set_rules(vec![page("The film")]);
        expect(&bench.fetch(&args, "/film").await, 0, says);
        let files = tree(bench.folder());
        assert_eq!(files.len(), whole.len(), "{:?}", bench.names());
        assert!(
            files.iter().zip(&whole).all(|(file, whole)| file == whole),
            "interrupted: {interrupted}"
        );
        assert!(bench.segments() - before < once.segments(), "all was fetched again");
    }
}
