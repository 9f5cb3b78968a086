//! `cargo xtask check`: nothing warns, and the walls stand.

use anyhow::Result;

use crate::run::{Tally, cargo, has_subcommand, step};
use crate::walls;

/// Formatting, lints, documentation and walls.
pub(crate) fn all() -> Result<Tally> {
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let clippy = cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--keep-going",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]);
    Ok(step("formatting", cargo(&["fmt", "--all", "--check"]))? + step("lints", clippy)? + step("documentation", docs)? + walls::check()?)
}

/// Licences, banned crates and sources, by cargo-deny where it is installed.
pub(crate) fn licences() -> Result<Tally> {
    if !has_subcommand("deny") {
        return Ok(Tally::skipped("cargo-deny is not installed: licences and sources were not checked"));
    }
    step(
        "licences",
        cargo(&["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]),
    )
}
