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

#[test]
fn a_report_that_cannot_be_written_is_an_error_that_hides_no_other() {
    let arguments = ["-o", "out.ts", "--report", "nowhere/report.json"];
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
