//! `cargo xtask test` and `cargo xtask e2e`.

use std::process::Command;

use anyhow::Result;

use crate::run::{Tally, build_binary, cargo, has_subcommand, runner};

/// Unit and integration tests of every package, doctests, and the end-to-end scenarios.
pub(crate) fn all() -> Result<Tally> {
    let tests = if has_subcommand("nextest") {
        let tests = cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--exclude",
            "e2e",
            "--no-fail-fast",
            "--no-tests",
            "pass",
        ]);
        runner("tests", tests)? + runner("doctests", cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]))?
    } else {
        runner("tests", cargo(&["test", "--workspace", "--exclude", "e2e", "--no-fail-fast"]))?
    };
    Ok(tests + end_to_end(None)?)
}

/// The end-to-end scenarios whose names contain the filter, against the binary as it is now.
pub(crate) fn end_to_end(filter: Option<&str>) -> Result<Tally> {
    let binary = match std::env::var_os("AQUEDUCT_BIN") {
        Some(path) => std::path::absolute(path)?,
        None => build_binary()?,
    };
    let mut command = if has_subcommand("nextest") {
        cargo(&["nextest", "run", "--package", "e2e", "--no-fail-fast", "--no-tests", "pass"])
    } else {
        cargo(&["test", "--package", "e2e", "--no-fail-fast", "--"])
    };
    command.args(filter).env("AQUEDUCT_BIN", binary);
    let tally = runner("end-to-end scenarios", command)?;
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
