//! What stands at the names of an output, and under which name a run finds what another left.

use std::os::unix::fs::symlink;

use super::*;

const PLAYLIST: &str = "/s/plain-ts/index.m3u8";

fn page(title: &str) -> Fault {
    Fault::Body {
        content_type: "text/html".into(),
        text: format!("<title>{title}</title><video src=\"{PLAYLIST}\"></video>"),
    }
}

#[tokio::test]
async fn a_page_that_changed_its_title_carries_on_under_the_name_that_it_had() {
    let lost = || Rule::new("*/3.ts", Fault::status(404));
    let bench = Bench::new(vec![Rule::new("/film", page("A film")), lost()]);
    expect(&bench.fetch(&[], "/film").await, 1, "carries on");
    // Journals that are none, and a link to one, are passed over.
    std::fs::write(bench.path("a.mp4.part.journal"), "precious").unwrap();
    std::fs::write(bench.path("b.mp4.part.journal"), "aqueduct journal 6\nprecious").unwrap();
    symlink(bench.path("A film.mp4.part.journal"), bench.path("A.mp4.part.journal")).unwrap();
    bench.server.set_rules(vec![Rule::new("/film", page("The film")), lost()]);
    let again = bench.fetch(&[], "/film").await;
    expect(&again, 1, "taken up under the name that it had: A film.mp4");
    assert_eq!(bench.asked("*/0.ts"), 1);
    // What is of another stream, or is not wanted, is left alone.
    let mut rules = vec![Rule::new("/film", page("The film"))];
    rules.push(Rule::new("*/index.m3u8", window(&[5, 4])));
    bench.server.set_rules(rules);
    let other = bench.fetch(&[], "/film").await;
    expect(&other, 0, "begun as The film.mp4 instead");
    assert!(bench.names().contains(&"A film.mp4.part".into()) && bench.names().contains(&"The film.mp4".into()));
    bench.server.set_rules(vec![Rule::new("/film", page("Yet another title"))]);
    expect(&bench.fetch(&[], "/film").await, 0, "whole: 6 segments");
    // The film tells the title that it was begun with.
    let whole = Bench::new(vec![Rule::new("/film", page("A film"))]);
    expect(&whole.fetch(&[], "/film").await, 0, "whole");
    assert!(media(&bench.path("A film.mp4")) == media(&whole.path("A film.mp4")));
    assert_eq!(bench.asked("*/0.ts"), 1);
}

// Many sites tell their films apart by the query alone, which no address in a journal has.
#[tokio::test]
async fn a_film_that_only_a_query_tells_from_another_does_not_go_on_with_it() {
    let bench = Bench::new(vec![Rule::new("/watch", page("One")), Rule::new("*/3.ts", Fault::status(404))]);
    expect(&bench.fetch(&[], "/watch?film=1").await, 1, "carries on");
    let one = media(&bench.path("One.mp4.part"));
    bench.server.set_rules(vec![Rule::new("/watch", page("Two"))]);
    expect(&bench.fetch(&[], "/watch?film=2").await, 0, "whole");
    assert!(bench.names().contains(&"Two.mp4".into()), "{:?}", bench.names());
    assert!(media(&bench.path("One.mp4.part")) == one, "it was touched");
    bench.server.set_rules(vec![Rule::new("/watch", page("Three"))]);
    expect(
        &bench.fetch(&[], "/watch?film=1").await,
        0,
        "taken up under the name that it had: One.mp4",
    );
}

/// A playlist of these segments.
fn window(segments: &[usize]) -> Fault {
    let names: String = segments.iter().map(|segment| format!("#EXTINF:1.0,\n{segment}.ts\n")).collect();
    Fault::Body {
        content_type: "application/vnd.apple.mpegurl".into(),
        text: format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{names}#EXT-X-ENDLIST\n"),
    }
}

#[tokio::test]
async fn the_longest_name_that_there_is_can_be_an_output() {
    for character in ["x", "日"] {
        let name = format!("{}.ts", character.repeat(252 / character.len()));
        let bench = Bench::new(vec![Rule::new("*/3.ts", Fault::status(404))]);
        expect(&bench.fetch(&["-o", &name], PLAYLIST).await, 1, "carries on");
        bench.server.set_rules(Vec::new());
        expect(&bench.fetch(&["-o", &name], PLAYLIST).await, 0, "whole");
        assert_eq!(bench.names(), [name]);
        assert_eq!(bench.asked("*/0.ts"), 1);
    }
}

#[tokio::test]
async fn what_stands_where_the_output_goes_is_told_and_left_alone() {
    type Lay = fn(&Path);
    let cases: [(&str, &str, Lay, &str); 6] = [
        (
            "a part file of somebody else",
            "out.ts",
            |folder| std::fs::write(folder.join("out.ts.part"), "precious").unwrap(),
            "out.ts.part is there already",
        ),
        (
            "a journal of somebody else",
            "out.ts",
            |folder| std::fs::write(folder.join("out.ts.part.journal"), [7, 0, 0, 0, 1, 2, 3, 4, 5]).unwrap(),
            "out.ts.part.journal is there already",
        ),
        (
            "a link as part file",
            "out.ts",
            |folder| symlink("precious", folder.join("out.ts.part")).unwrap(),
            "no regular file",
        ),
        (
            "a link as journal",
            "out.ts",
            |folder| symlink("precious", folder.join("out.ts.part.journal")).unwrap(),
            "no regular file",
        ),
        (
            "a folder",
            "out.ts/x",
            |folder| std::fs::create_dir_all(folder.join("out.ts/x")).unwrap(),
            "",
        ),
        ("a device", "/dev/null", |_| (), "/dev/null is no regular file"),
    ];
    for (case, output, lay, says) in cases {
        let bench = Bench::new(Vec::new());
        std::fs::write(bench.path("precious"), "precious").unwrap();
        lay(bench.folder());
        let before = bench.names();
        for args in [&["-o", output][..], &["-o", output, "--no-resume"]] {
            let refused = bench.fetch(args, PLAYLIST).await;
            if says.is_empty() {
                continue;
            }
            assert_eq!(refused.code, Some(2), "{case}: {}", refused.stderr);
            assert!(refused.stderr.contains(says), "{case}: {}", refused.stderr);
            assert_eq!(bench.asked("*"), 0, "{case}: it is told before anything is asked for");
            assert_eq!(bench.names(), before, "{case}");
            assert_eq!(media(&bench.path("precious")), b"precious", "{case}");
        }
    }
}

#[tokio::test]
async fn a_second_process_is_told_of_the_first() {
    let bench = Bench::new(vec![Rule::new("*/3.ts", Fault::Stall { at: 100 })]);
    let first = bench.start(&["-o", "out.ts"], PLAYLIST);
    let stalled = bench.server.stats().wait_until(|tally| tally.count("*/3.ts") > 0);
    tokio::time::timeout(PATIENCE, stalled).await.unwrap();
    expect(
        &bench.fetch(&["-o", "out.ts"], PLAYLIST).await,
        1,
        "is being written by another process",
    );
    drop(first);
}

#[tokio::test]
async fn a_folder_that_goes_away_is_told_and_a_later_run_works() {
    let bench = Bench::new(vec![Rule::new("*/5.ts", Fault::Delay { milliseconds: 1500 })]);
    let films = bench.path("films");
    std::fs::create_dir(&films).unwrap();
    let child = bench.start(&["-o", "films/out.ts"], PLAYLIST);
    let asked = bench.server.stats().wait_until(|tally| tally.count("*/5.ts") > 0);
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    std::fs::remove_dir_all(&films).unwrap();
    let gone = binary::finish(child, PATIENCE).await.unwrap();
    expect(&gone, 1, "films/out.ts.part is gone: it, or its folder, was removed or renamed");
    expect(
        &bench.fetch(&["-o", "films/out.ts"], PLAYLIST).await,
        2,
        "films/out.ts.part: its folder is not there: make it first, or choose another",
    );
    std::fs::create_dir(&films).unwrap();
    bench.server.set_rules(Vec::new());
    expect(&bench.fetch(&["-o", "films/out.ts"], PLAYLIST).await, 0, "whole");
    assert!(media(&films.join("out.ts")) == undisturbed(&["-o", "out.ts"], PLAYLIST, "out.ts").await);
}

#[tokio::test]
async fn a_file_that_somebody_puts_in_place_of_the_part_file_does_not_get_its_name() {
    let bench = Bench::new(vec![Rule::new("*/5.ts", Fault::Delay { milliseconds: 1500 })]);
    let child = bench.start(&["-o", "out.ts"], PLAYLIST);
    let asked = bench.server.stats().wait_until(|tally| tally.count("*/5.ts") > 0);
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    std::fs::write(bench.path("theirs"), "precious").unwrap();
    std::fs::rename(bench.path("theirs"), bench.path("out.ts.part")).unwrap();
    expect(&binary::finish(child, PATIENCE).await.unwrap(), 1, "out.ts.part is gone");
    assert_eq!(media(&bench.path("out.ts.part")), b"precious");
    assert!(!bench.path("out.ts").exists());
}

/// Takes the right to write from a folder. `false` where that binds nobody, as it does not bind root.
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn is_closed(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    let closed = std::fs::write(folder.join("probe"), "").is_err();
    if !closed {
        eprintln!("skipped: whoever runs this may write everywhere");
    }
    closed
}

#[tokio::test]
async fn a_right_that_is_lost_is_told_and_a_later_run_goes_on() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(vec![Rule::new("*/5.ts", Fault::Delay { milliseconds: 1500 })]);
    let films = bench.path("films");
    std::fs::create_dir(&films).unwrap();
    let args = ["-o", "films/out.ts"];
    let child = bench.start(&args, PLAYLIST);
    let asked = bench.server.stats().wait_until(|tally| tally.count("*/5.ts") > 0);
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    if !is_closed(&films) {
        return;
    }
    let lost = binary::finish(child, PATIENCE).await.unwrap();
    expect(&lost, 1, "films/out.ts.part: cannot be renamed to its final name");
    expect(&lost, 1, "the same command carries on");
    std::fs::set_permissions(&films, std::fs::Permissions::from_mode(0o755)).unwrap();
    expect(&bench.fetch(&args, PLAYLIST).await, 0, "whole");
    assert_eq!(bench.asked("*/0.ts"), 1);
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_is_told_before_anything_is_asked_for() {
    let bench = Bench::new(Vec::new());
    let films = bench.path("films");
    std::fs::create_dir(&films).unwrap();
    if is_closed(&films) {
        expect(
            &bench.fetch(&["-o", "films/out.ts"], PLAYLIST).await,
            1,
            "films/out.ts.part: cannot be created",
        );
        assert_eq!(bench.asked("*"), 0);
    }
}
