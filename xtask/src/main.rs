//! The tasks of this workspace: `cargo xtask TASK`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talking to a person is what tasks do")]

mod bench;
mod check;
mod demo;
mod fuzz;
mod run;
mod serve;
mod tests;
mod walls;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::run::Tally;

const HELP: &str = "\
cargo xtask TASK

  demo                       fetch a film from a local page with the real binary, into target/demo/
  test                       every test there is
  e2e [FILTER]               the end-to-end scenarios whose names contain FILTER
  check                      formatting, lints and documentation without a warning, and the walls of the design
  serve [--port N]           the fixture server, until Ctrl-C
  fuzz [TARGET] [--seconds N]  the fuzz targets, each for N seconds (60)
  bench [CASE]               the binary beside other programs, as ratios; needs ffmpeg and curl, and nginx if it is there
  ci                         check, licences, test; the last line counts what passed and failed
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match task(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a task; false where something that it counts has failed.
fn task(arguments: &[&str]) -> Result<bool> {
    match arguments {
        ["demo"] => demo::demo().map(|()| true),
        ["test"] => Ok(finish(&tests::all()?)),
        ["e2e"] => Ok(finish(&tests::end_to_end(None)?)),
        ["e2e", filter] => Ok(finish(&tests::end_to_end(Some(filter))?)),
        ["check"] => Ok(finish(&check::all()?)),
        ["serve"] => serve::serve(None).map(|()| true),
        ["serve", "--port", port] => serve::serve(Some(port)).map(|()| true),
        ["fuzz", rest @ ..] => fuzz::fuzz(rest).map(|()| true),
        ["bench"] => bench::bench(None).map(|()| true),
        ["bench", case] => bench::bench(Some(case)).map(|()| true),
        ["ci"] => Ok(finish(&(check::all()? + check::licences()? + tests::all()?))),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(true)
        }
        other => bail!("no such task: {}\n\n{HELP}", other.join(" ")),
    }
}

/// Says what failed and what was skipped, and counts in the very last line.
fn finish(tally: &Tally) -> bool {
    for name in &tally.failures {
        eprintln!("FAILED: {name}");
    }
    for what in &tally.skipped {
        eprintln!("SKIPPED: {what}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    tally.failed == 0
}
