//! Where the report goes, and what becomes of a run that cannot write it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::Command;

use fixture_server::{Config, Fault, Rule, Server};

fn run(server: &Server, folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .arg(server.url("/s/plain-ts/index.m3u8"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn cookies_never_take_the_place_of_the_output_nor_of_the_report() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    for (taken, arguments) in [
        ("out.ts", &["-o", "out.ts", "--cookie-jar", "./out.ts"][..]),
        ("out.ts.part", &["-o", "out.ts", "--cookie-jar", "out.ts.part"]),
        (
            "report.json",
            &["-o", "out.ts", "--report", "report.json", "--cookie-jar", "report.json"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(taken), "theirs").unwrap();
        let (code, told) = run(&server, folder.path(), arguments);
        assert_eq!(code, Some(2), "{taken}: {told}");
        assert!(told.contains("--cookie-jar") && told.contains("would replace"), "{told}");
        assert_eq!(std::fs::read(folder.path().join(taken)).unwrap(), b"theirs");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{taken}");
    }
    // A device is not replaced.
    if cfg!(unix) {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-o", "out.ts", "--report", "/dev/null", "--cookie-jar", "/dev/null"];
        let (code, told) = run(&server, folder.path(), &arguments);
        assert_eq!(code, Some(0), "{told}");
    }
    // Where the stream names the output, that is known later.
    let before = server.stats().read(|tally| tally.count("*/0.ts"));
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = run(&server, folder.path(), &[]);
    assert_eq!(code, Some(0), "{told}");
    let name = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().file_name();
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = run(&server, folder.path(), &["--cookie-jar", name.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{told}");
    let fetched = server.stats().read(|tally| tally.count("*/0.ts")) - before;
    assert_eq!(fetched, 1, "refused before it is fetched");
}

#[test]
fn a_report_never_takes_the_place_of_the_output() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    for report in ["out.ts", "./out.ts", "out.ts.part", "out.ts.part.journal"] {
        let folder = tempfile::tempdir().unwrap();
        let (code, told) = run(&server, folder.path(), &["-o", "out.ts", "--report", report]);
        assert_eq!(code, Some(2), "{report}: {told}");
        assert!(told.contains("would replace the output out.ts"), "{told}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{report}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = run(&server, folder.path(), &["--pick", "all", "--report", "report.json"]);
    assert!(code == Some(2) && told.contains("one stream"), "{told}");
    assert_eq!(server.stats().read(|tally| tally.count("*.ts")), 0, "nothing is fetched");
}

// Nothing says beforehand that a device is full.
#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_is_an_error_that_hides_no_other() {
    let arguments = ["-o", "out.ts", "--report", "/dev/full"];
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::standard().unwrap();
    config.rules.push(Rule::new("*/2.ts", Fault::status(404)));
    let (code, told) = run(&Server::start(config).unwrap(), folder.path(), &arguments);
    assert_eq!(code, Some(1), "{told}");
    for words in ["failed to write the report", "404", "what was fetched is kept"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let (code, told) = run(&server, folder.path(), &["-o", "out.ts"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("another stream") && !told.contains("carries on"),
        "the same command is refused again: {told}"
    );
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = run(&server, folder.path(), &arguments);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("failed to write the report") && told.contains("whole: "), "{told}");
    assert!(folder.path().join("out.ts").exists(), "the film is there all the same");
}
