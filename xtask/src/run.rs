//! Running commands, and counting what they report.

use std::io::{BufRead, BufReader};
use std::ops::Add;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What passed and what failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Steps that failed.
    pub(crate) failures: Vec<String>,
    /// What could not be done on this machine.
    pub(crate) skipped: Vec<String>,
}

impl Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.skipped.extend(other.skipped);
        self
    }
}

impl Tally {
    pub(crate) fn skipped(what: &str) -> Self {
        eprintln!("SKIPPED: {what}");
        Self {
            skipped: vec![what.to_owned()],
            ..Self::default()
        }
    }

    /// One step, passed or failed.
    pub(crate) fn step(name: &str, good: bool) -> Self {
        let failures = if good { Vec::new() } else { vec![name.to_owned()] };
        Self {
            passed: usize::from(good),
            failed: usize::from(!good),
            failures,
            skipped: Vec::new(),
        }
    }

    /// Adds what a line counts, if it is the runner's own count and not that of a test which it shows.
    fn read_line(&mut self, runner: Runner, line: &str) {
        let count = match runner {
            Runner::Libtest => line.strip_prefix("test result: "),
            Runner::Nextest => line.trim_start().strip_prefix("Summary ["),
        };
        let Some(count) = count else { return };
        let mut words = count.split([' ', ',', ';']).filter(|word| !word.is_empty());
        let mut before = words.next().unwrap_or_default();
        for word in words {
            match (word, before.parse::<usize>()) {
                ("passed", Ok(count)) => self.passed += count,
                ("failed" | "timed", Ok(count)) => self.failed += count,
                _ => {}
            }
            before = word;
        }
    }
}

/// Who runs the tests, and how it tells their number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runner {
    /// `cargo test`: `test result: ok. 3 passed; 0 failed; …` for each executable.
    Libtest,
    /// `cargo nextest`: `Summary […] 3 tests run: 2 passed, 1 failed, …` once.
    Nextest,
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// The cargo that runs this task, in the workspace's folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(root());
    cargo
}

/// Whether `cargo NAME` is installed.
pub(crate) fn has_subcommand(name: &str) -> bool {
    let mut command = cargo(&[name, "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command as one step that passes or fails.
pub(crate) fn step(name: &str, mut command: Command) -> Result<Tally> {
    eprintln!("== {name}");
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    Ok(Tally::step(name, status.success()))
}

/// Runs a test runner, shows what it says and counts what it counts.
pub(crate) fn tests(name: &str, runner: Runner, mut command: Command) -> Result<Tally> {
    eprintln!("== {name}");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let stderr = child.stderr.take().context("no standard error")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let (mut tally, from_stdout) = std::thread::scope(|scope| {
        let other = scope.spawn(move || show(runner, stdout));
        let tally = show(runner, stderr);
        (tally, other.join().unwrap_or_default())
    });
    tally = tally + from_stdout;
    if !child.wait()?.success() {
        tally.failures.push(name.to_owned());
        // It failed before any test could: it did not build, or it was killed.
        tally.failed = tally.failed.max(1);
    }
    Ok(tally)
}

fn show(runner: Runner, pipe: impl std::io::Read) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        tally.read_line(runner, &line);
        eprintln!("{line}");
    }
    tally
}

/// Builds executables of these names, and gives a command for each.
pub(crate) fn build<const N: usize>(names: [&str; N]) -> Result<[Command; N]> {
    // Of the whole workspace, so that their dependencies have the features that the tests' have, and are built once.
    let mut cargo = cargo(&["build", "--workspace"]);
    for name in names {
        cargo.args(["--bin", name]);
    }
    ensure!(
        cargo.status().context("starting cargo")?.success(),
        "{} does not build",
        names.join(" or ")
    );
    let folder = target_directory()?.join("debug");
    Ok(names.map(|name| Command::new(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))))
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = metadata(&["--no-deps"])?;
    Ok(metadata["target_directory"]
        .as_str()
        .context("no target directory in cargo's metadata")?
        .into())
}

/// `cargo metadata` with these arguments.
pub(crate) fn metadata(arguments: &[&str]) -> Result<serde_json::Value> {
    let mut command = cargo(&["metadata", "--format-version", "1"]);
    let output = command
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_are_counted() {
        let libtest = "test result: ok. 17 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        let cases = [
            (Runner::Libtest, libtest, 17, 2),
            (Runner::Libtest, "test tests::something_failed ... ok", 0, 0),
            (
                Runner::Nextest,
                "     Summary [   1.234s] 33 tests run: 30 passed (2 slow), 3 failed, 1 skipped",
                30,
                3,
            ),
            (
                Runner::Nextest,
                "     Summary [   9.9s] 3/33 tests run: 1 passed, 1 failed, 1 timed out",
                1,
                2,
            ),
            (Runner::Nextest, libtest, 0, 0),
        ];
        for (runner, line, passed, failed) in cases {
            let mut tally = Tally::default();
            tally.read_line(runner, line);
            assert_eq!((tally.passed, tally.failed), (passed, failed), "{line}");
        }
    }
}
