//! The same of a folder of segments.

use super::*;

const PLAYLIST: &str = "/s/plain-ts/index.m3u8";
const FOLDER: [&str; 4] = ["--format", "hls", "-o", "film"];

/// What an undisturbed run gives.
async fn whole(path: &str) -> Vec<(String, Vec<u8>)> {
    let bench = Bench::new(Vec::new());
    expect(&bench.fetch(&FOLDER, path).await, 0, "whole");
    tree(&bench.path("film"))
}

#[tokio::test]
async fn a_failure_keeps_the_segments_and_another_stream_is_not_mixed_with_them() {
    for (path, lost) in [
        (PLAYLIST, "*/3.ts"),
        ("/s/fmp4/index.m3u8", "*/3.m4s"),
        ("/s/alternate-audio/index.m3u8", "*/3.ts"),
        ("/s/discontinuity/index.m3u8", "*/3.ts"),
        ("/s/gap/index.m3u8", "*/4.ts"),
    ] {
        let bench = Bench::new(vec![Rule::new(lost, Fault::status(404))]);
        expect(&bench.fetch(&FOLDER, path).await, 1, "the same command carries on");
        assert_eq!(bench.names(), ["film.part", "film.part.journal"], "{path}");
        // Playlists are written at every end, and again at the next.
        let segments = || -> Vec<_> {
            let files = tree(&bench.path("film.part")).into_iter();
            files.filter(|(name, _)| !name.ends_with(".m3u8")).collect()
        };
        let left = segments();
        assert!(left.len() > 1, "{path}");
        expect(&bench.fetch(&FOLDER, "/s/low-ts/index.m3u8").await, 2, "another stream");
        let file = bench.fetch(&["--format", "raw", "-o", "film"], path).await;
        expect(&file, 2, "film.part is no regular file");
        assert!(segments() == left, "{path}: it was touched");
        bench.server.set_rules(Vec::new());
        let before = bench.segments();
        expect(&bench.fetch(&FOLDER, path).await, 0, "whole");
        assert_eq!(bench.names(), ["film"], "{path}");
        assert!(tree(&bench.path("film")) == whole(path).await, "{path}: the folders differ");
        let once = Bench::new(Vec::new());
        once.fetch(&FOLDER, path).await;
        assert!(bench.segments() - before < once.segments(), "{path}: all was fetched again");
    }
}

#[tokio::test]
async fn another_stream_replaces_what_is_left_where_that_is_wanted_and_no_folder_that_is_whole() {
    let bench = Bench::new(vec![Rule::new("*/plain-ts/3.ts", Fault::status(404))]);
    expect(&bench.fetch(&FOLDER, PLAYLIST).await, 1, "carries on");
    let other = "/s/low-ts/index.m3u8";
    let over = [&FOLDER[..], &["--overwrite"]].concat();
    expect(&bench.fetch(&over, other).await, 0, "whole");
    assert!(tree(&bench.path("film")) == whole(other).await);
    bench.server.set_rules(Vec::new());
    expect(&bench.fetch(&over, PLAYLIST).await, 2, "is not replaced by a folder");
    assert!(tree(&bench.path("film")) == whole(other).await);
    assert_eq!(bench.names(), ["film"]);
}

#[tokio::test]
async fn after_ctrl_c_there_is_a_folder_that_plays_and_the_same_command_goes_on_to_the_whole() {
    let path = "/s/long/index.m3u8";
    let bench = Bench::new(vec![Rule::new("*.ts", Fault::Delay { milliseconds: 20 })]);
    let args = [&FOLDER[..], &["--concurrency", "2", "--buffer", "70K", "--report", "report.json"]].concat();
    expect(&bench.interrupted(&args, path, 5).await, 130, "interrupted");
    assert_eq!(bench.names(), ["film", "film.part.journal", "report.json"]);
    let beginning = bench.run(&["-o", "beginning.ts", "film/index.m3u8"]).await;
    expect(&beginning, 0, "whole");
    // What somebody else puts there meanwhile is left alone.
    for notes in ["film/notes.txt", "film/video/notes.txt"] {
        bench.write(notes, b"precious");
    }
    let other = bench.fetch(&FOLDER, PLAYLIST).await;
    expect(&other, 2, "another stream");
    // The second run is killed, the third goes on to the end.
    let asked = bench.asked("*.ts");
    let mut second = bench.start(&args, path);
    let moment = bench.server.stats().wait_until(|tally| tally.count("*.ts") > asked + 4);
    tokio::time::timeout(PATIENCE, moment).await.unwrap();
    second.kill().await.unwrap();
    let again = bench.fetch(&args, path).await;
    expect(&again, 0, "whole");
    for notes in ["film/notes.txt", "film/video/notes.txt"] {
        assert_eq!(bench.read(notes), b"precious", "{notes}");
        std::fs::remove_file(bench.path(notes)).unwrap();
    }
    let undisturbed = whole(path).await;
    assert!(tree(&bench.path("film")) == undisturbed);
    assert_eq!(bench.names(), ["beginning.ts", "film", "report.json"]);
    let segments = undisturbed.len() - 2;
    assert!(bench.asked("*.ts") <= segments + 10, "{} requests", bench.asked("*.ts"));
}

#[tokio::test]
async fn a_folder_is_believed_as_far_as_it_proves_itself() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, usize); 5] = [
        ("nothing", |_| (), 3),
        (
            "a segment is gone",
            |part| std::fs::remove_file(part.join("video/00001.ts")).unwrap(),
            1,
        ),
        (
            "a segment has other bytes",
            |part| std::fs::write(part.join("video/00002.ts"), "other bytes").unwrap(),
            2,
        ),
        (
            "a segment has more bytes",
            |part| {
                let path = part.join("video/00001.ts");
                std::fs::write(&path, [media(&path), vec![0; 10]].concat()).unwrap();
            },
            2,
        ),
        (
            "a file that no run wrote",
            |part| std::fs::write(part.join("video/00009.ts"), "surplus").unwrap(),
            3,
        ),
    ];
    let expected = whole(PLAYLIST).await;
    for (case, damage, kept) in cases {
        let bench = Bench::new(vec![Rule::new("*/3.ts", Fault::status(404))]);
        expect(&bench.fetch(&FOLDER, PLAYLIST).await, 1, "carries on");
        damage(&bench.path("film.part"));
        bench.server.set_rules(Vec::new());
        let before = bench.segments();
        expect(&bench.fetch(&FOLDER, PLAYLIST).await, 0, "whole");
        assert_eq!(bench.segments() - before, 6 - kept, "{case}");
        let surplus = bench.path("film/video/00009.ts");
        if case == "a file that no run wrote" {
            assert_eq!(media(&surplus), b"surplus", "it is somebody's");
            std::fs::remove_file(surplus).unwrap();
        }
        assert!(tree(&bench.path("film")) == expected, "{case}");
    }
}

#[tokio::test]
async fn a_second_process_is_told_of_the_first_and_a_folder_that_goes_away_is_told() {
    let bench = Bench::new(vec![Rule::new("*/3.ts", Fault::Delay { milliseconds: 1500 })]);
    let first = bench.start(&FOLDER, PLAYLIST);
    let asked = bench.server.stats().wait_until(|tally| tally.count("*/3.ts") > 0);
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    expect(
        &bench.fetch(&FOLDER, PLAYLIST).await,
        1,
        "film.part is being written by another process",
    );
    std::fs::remove_dir_all(bench.path("film.part")).unwrap();
    expect(&binary::finish(first, PATIENCE).await.unwrap(), 1, "film.part is gone");
    bench.server.set_rules(Vec::new());
    expect(&bench.fetch(&FOLDER, PLAYLIST).await, 0, "whole");
    assert!(tree(&bench.path("film")) == whole(PLAYLIST).await);
}

#[tokio::test]
async fn what_somebody_else_has_there_is_told_and_left_alone() {
    for theirs in ["film.part/precious", "film.part", "film.part.journal", "film/precious"] {
        let bench = Bench::new(Vec::new());
        let path = bench.path(theirs);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let before = bench.names();
        // Into a folder that is there the stream goes under a name of its own.
        let args = if theirs.starts_with("film/") {
            ["--format", "hls", "-o", "film/precious"]
        } else {
            FOLDER
        };
        let refused = bench.fetch(&args, PLAYLIST).await;
        expect(&refused, 2, "is there already");
        assert_eq!(bench.asked("*"), 0, "{theirs}: it is told before anything is asked for");
        assert_eq!(bench.names(), before, "{theirs}");
        assert_eq!(media(&path), b"precious", "{theirs}");
    }
}

#[tokio::test]
async fn what_somebody_laid_where_a_file_of_an_interrupted_output_stands_is_named_and_left_alone() {
    type Lay = fn(&Path, &Path);
    let link: Lay = |path, elsewhere| std::os::unix::fs::symlink(elsewhere, path).unwrap();
    let folder: Lay = |path, _| std::fs::create_dir(path).unwrap();
    let split = ["--split", "discontinuity", "-o", "film.ts"];
    for (args, place, lay) in [
        (FOLDER, "film.part/video/00000.ts", link),
        (FOLDER, "film.part/video/00001.ts", link),
        (FOLDER, "film.part/video/00001.ts", folder),
        (FOLDER, "film.part/video/00003.ts", link),
        (FOLDER, "film.part/video/00003.ts", folder),
        (FOLDER, "film.part/video", link),
        (split, "film.ts.part/001", link),
        (split, "film.ts.part/001", folder),
    ] {
        let bench = Bench::new(vec![Rule::new("*/3.ts", Fault::status(404))]);
        expect(&bench.fetch(&args, PLAYLIST).await, 1, "carries on");
        let (path, elsewhere) = (bench.path(place), bench.path("elsewhere"));
        // Behind what is there a run comes to it later.
        let is_recorded = path.exists();
        if is_recorded {
            std::fs::rename(&path, &elsewhere).unwrap();
        }
        lay(&path, &elsewhere);
        let there = || {
            let segments = walk(bench.folder()).into_iter().filter(|name| !name.ends_with(".m3u8"));
            let journal = format!("{}.part.journal", args[3]);
            (segments.collect::<Vec<_>>(), bench.read(&journal))
        };
        let before = there();
        bench.server.set_rules(Vec::new());
        let ways = [&[][..], &["--no-resume"], &["--overwrite"]];
        for more in &ways[..if is_recorded { 3 } else { 1 }] {
            let refused = bench.fetch(&[&args[..], more].concat(), PLAYLIST).await;
            expect(&refused, 2, &format!("{place} is no regular file"));
            assert!(there() == before || !is_recorded, "{place} {more:?}: {:?}", there().0);
        }
        assert_eq!(elsewhere.exists(), is_recorded, "{place}");
        if path.is_symlink() {
            std::fs::remove_file(&path).unwrap();
        } else {
            std::fs::remove_dir(&path).unwrap();
        }
        expect(&bench.fetch(&args, PLAYLIST).await, 0, "whole");
    }
}

/// The names in a directory and in those below it; links are not followed.
fn walk(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for name in e2e::bench::names(folder) {
        let path = folder.join(&name);
        if path.is_dir() && !path.is_symlink() {
            all.extend(walk(&path).into_iter().map(|below| format!("{name}/{below}")));
        }
        all.push(name);
    }
    all
}

/// A live stream that ended between two runs: the folder is that of a recording which nothing broke off.
#[tokio::test]
async fn a_live_recording_is_taken_up_as_well() {
    let window = |first: usize, segments: std::ops::Range<usize>, end: &str| {
        let names: String = segments.map(|number| format!("#EXTINF:1.0,\n/s/plain-ts/{number}.ts\n")).collect();
        Fault::Body {
            content_type: "application/vnd.apple.mpegurl".into(),
            text: format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{names}{end}"),
        }
    };
    let end = "#EXT-X-ENDLIST\n";
    let undisturbed = Bench::new(vec![
        Rule::new("/live.m3u8", window(10, 0..4, "")).times(1),
        Rule::new("/live.m3u8", window(12, 2..6, end)),
    ]);
    expect(&undisturbed.fetch(&FOLDER, "/live.m3u8").await, 0, "whole: 6 segments");
    let bench = Bench::new(vec![
        Rule::new("/live.m3u8", window(10, 0..4, "")),
        Rule::new("*/2.ts", Fault::status(404)),
    ]);
    expect(&bench.fetch(&FOLDER, "/live.m3u8").await, 1, "carries on");
    bench.server.set_rules(vec![Rule::new("/live.m3u8", window(12, 2..6, end))]);
    expect(&bench.fetch(&FOLDER, "/live.m3u8").await, 0, "whole: 6 segments");
    assert!(tree(&bench.path("film")) == tree(&undisturbed.path("film")));
    assert_eq!(bench.asked("*/0.ts"), 1);
}
