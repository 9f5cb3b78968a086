//! `cargo xtask test` and `cargo xtask e2e`.

use std::process::Command;

use anyhow::Result;

use crate::run::{Runner, Tally, build_binary, cargo, has_subcommand, tests};

/// Unit and integration tests of every package, doctests, and the end-to-end scenarios.
pub(crate) fn all() -> Result<Tally> {
    let all = if has_subcommand("nextest") {
        let run = [
            "nextest",
            "run",
            "--workspace",
            "--exclude",
            "e2e",
            "--no-fail-fast",
            "--no-tests",
            "pass",
        ];
        let documented = cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]);
        tests("tests", Runner::Nextest, cargo(&run))? + tests("doctests", Runner::Libtest, documented)?
    } else {
        let run = ["test", "--workspace", "--exclude", "e2e", "--no-fail-fast"];
        tests("tests", Runner::Libtest, cargo(&run))?
    };
    Ok(all + end_to_end(None)?)
}

/// The end-to-end scenarios whose names contain the filter, against the binary as it is now.
pub(crate) fn end_to_end(filter: Option<&str>) -> Result<Tally> {
    let binary = match std::env::var_os("AQUEDUCT_BIN") {
        Some(path) => std::path::absolute(path)?,
        None => build_binary()?,
    };
    let nextest = has_subcommand("nextest");
    let mut command = if nextest {
        cargo(&["nextest", "run", "--package", "e2e", "--no-fail-fast", "--no-tests", "pass"])
    } else {
        cargo(&["test", "--package", "e2e", "--no-fail-fast", "--"])
    };
    command.args(filter).env("AQUEDUCT_BIN", binary);
    let runner = if nextest { Runner::Nextest } else { Runner::Libtest };
    let tally = tests("end-to-end scenarios", runner, command)?;
    anyhow::ensure!(
        tally.passed + tally.failed > 0,
        "no scenario is called {:?}",
        filter.unwrap_or_default()
    );
    if has_ffmpeg() {
        return Ok(tally);
    }
    Ok(tally + Tally::skipped("ffmpeg and ffprobe are not installed: MP4 outputs were judged by another reader alone"))
}

fn has_ffmpeg() -> bool {
    ["ffmpeg", "ffprobe"]
        .iter()
        .all(|tool| Command::new(tool).arg("-version").output().is_ok())
}
