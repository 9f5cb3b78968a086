//! `cargo xtask fuzz`: the fuzz targets of every crate that has some.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, has_subcommand, root, target_directory};

const SECONDS: u64 = 60;

/// Runs the targets whose names contain the given one, each for some seconds.
pub(crate) fn fuzz(arguments: &[&str]) -> Result<()> {
    let (filter, seconds) = match arguments {
        [] => ("", SECONDS),
        [filter] if !filter.starts_with('-') => (*filter, SECONDS),
        ["--seconds", seconds] => ("", seconds.parse()?),
        [filter, "--seconds", seconds] => (*filter, seconds.parse()?),
        other => bail!("cargo xtask fuzz [TARGET] [--seconds N], not {other:?}"),
    };
    ensure!(has_subcommand("fuzz"), "cargo-fuzz is missing: cargo install --locked cargo-fuzz");
    let mut ran = 0;
    for folder in folders()? {
        for target in targets(&folder)? {
            if target.contains(filter) {
                eprintln!("== {} {target}", folder.display());
                run(&folder, &target, seconds)?;
                ran += 1;
            }
        }
    }
    ensure!(ran > 0, "no fuzz target's name contains {filter:?}");
    println!("{ran} fuzz targets, {seconds} seconds each, found nothing");
    Ok(())
}

/// `crates/*` that have a folder `fuzz`.
fn folders() -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root().join("crates"))? {
        let path = entry?.path();
        if path.join("fuzz/Cargo.toml").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let output = cargo(&["fuzz", "list"])
        .current_dir(folder)
        .output()
        .context("starting cargo-fuzz")?;
    ensure!(output.status.success(), "cargo-fuzz lists nothing in {}", folder.display());
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn run(folder: &Path, target: &str, seconds: u64) -> Result<()> {
    let into = target_directory()?.join("fuzz");
    // What is found goes beside the build; the committed seeds are only read.
    let found = into.join("corpus").join(target);
    std::fs::create_dir_all(&found)?;
    let mut command = cargo(&["fuzz", "run", "--target-dir"]);
    command.arg(&into).arg(target).arg(&found);
    let seeds = folder.join("fuzz/corpus").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .args(["--", &format!("-max_total_time={seconds}"), "-verbosity=0"])
        .current_dir(folder);
    // Sanitizer flags are unstable; with this the stable toolchain takes them.
    let status = command.env("RUSTC_BOOTSTRAP", "1").status().context("starting cargo-fuzz")?;
    ensure!(status.success(), "{target} in {} found something", folder.display());
    Ok(())
}
