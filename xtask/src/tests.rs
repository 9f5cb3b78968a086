//! `cargo xtask test` and `cargo xtask e2e`.

use std::process::Command;

use anyhow::Result;

use crate::run::{Runner, Tally, build, cargo, has_subcommand, tests};

/// The tests that need the binary, as nextest's filter.
const END_TO_END: &str = "package(e2e) & kind(test)";

/// Unit and integration tests of every package, doctests, and the end-to-end scenarios.
pub(crate) fn all() -> Result<Tally> {
    let all = if has_subcommand("nextest") {
        let mut run = nextest();
        run.args(["-E", &format!("not ({END_TO_END})")]);
        let documented = cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]);
        tests("tests", Runner::Nextest, run)? + tests("doctests", Runner::Libtest, documented)?
    } else {
        let run = ["test", "--workspace", "--exclude", "e2e", "--no-fail-fast"];
        tests("tests", Runner::Libtest, cargo(&run))?
    };
    Ok(all + end_to_end(None)?)
}

/// Runs tests, always of the whole workspace: cargo unites the features of the packages that it is asked for, and
/// another choice would build most dependencies again.
fn nextest() -> Command {
    cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"])
}

/// The end-to-end scenarios whose names contain the filter, against the binary as it is now.
pub(crate) fn end_to_end(filter: Option<&str>) -> Result<Tally> {
    let binary = match std::env::var_os("AQUEDUCT_BIN") {
        Some(path) => std::path::absolute(path)?,
        None => build(["aqueduct"])?[0].get_program().into(),
    };
    let (runner, mut command) = if has_subcommand("nextest") {
        let mut run = nextest();
        run.args(["-E", END_TO_END]);
        (Runner::Nextest, run)
    } else {
        (Runner::Libtest, cargo(&["test", "--package", "e2e", "--no-fail-fast", "--"]))
    };
    command.args(filter).env("AQUEDUCT_BIN", binary);
    let tally = tests("end-to-end scenarios", runner, command)?;
    anyhow::ensure!(
        tally.passed + tally.failed > 0,
        "no scenario is called {:?}",
        filter.unwrap_or_default()
    );
    let judges = [
        (
            &["ffmpeg", "ffprobe"][..],
            "-version",
            "MP4 outputs were judged by another reader alone",
        ),
        (&["chromium"], "--version", "no output was played by a browser"),
    ];
    let mut all = tally;
    for (tools, version, without) in judges {
        if !tools.iter().all(|tool| Command::new(tool).arg(version).output().is_ok()) {
            all = all + Tally::skipped(&format!("{}: not installed, so {without}", tools.join(" and ")));
        }
    }
    Ok(all)
}
