//! `aqueduct verify`: proving a finished file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use aqueduct::{Findings, OutputDocument, UnitDocument, read_report, report_beside, verify};

use crate::exit::{self, Exit};
use crate::progress;

/// What is told one by one.
const MOST_TOLD: usize = 20;

/// Proves `file` and tells what was found.
pub(crate) fn verify_file(file: &Path, report: Option<&PathBuf>, quiet: bool) -> anyhow::Result<Exit> {
    let report = known_report(file, report)?;
    let findings = verify(file, report.as_ref()).context("failed to verify")?;
    Ok(tell(file, &findings, quiet))
}

/// The report that was named, or the one beside the file, if there is one.
fn known_report(file: &Path, named: Option<&PathBuf>) -> anyhow::Result<Option<OutputDocument>> {
    let beside = report_beside(file);
    let path = match named {
        Some(named) => named,
        None if beside.is_file() => &beside,
        None => return Ok(None),
    };
    Ok(Some(read_report(path, file).context("failed to verify")?))
}

fn tell(file: &Path, findings: &Findings, quiet: bool) -> Exit {
    let line = |text: String| {
        // Without standard error there is nobody to tell.
        let _ = writeln!(progress::log_writer(), "{}", exit::printable(&text));
    };
    let units = |name: &str, units: &[UnitDocument]| {
        for unit in units.iter().take(MOST_TOLD) {
            let last = unit.msn.saturating_add(unit.segments.saturating_sub(1));
            let what = match (unit.init, last > unit.msn) {
                (true, _) => format!("initialization section before segment {last}"),
                (false, true) => format!("segments {} to {last}", unit.msn),
                (false, false) => format!("segment {last}"),
            };
            let why = unit.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            line(format!("{name}: {what} of track {}{why}", unit.track));
        }
        if let Some(more) = units.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
            line(format!("{name}: {more} more"));
        }
    };
    units("damaged", &findings.damaged);
    units("missing", &findings.missing);
    for problem in findings.problems.iter().chain(&findings.container.problems) {
        line(format!("wrong: {problem}"));
    }
    let exit = match (findings.is_sound(), findings.missing.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Gaps,
        (true, true) => Exit::Whole,
    };
    if quiet && exit == Exit::Whole {
        return exit;
    }
    let verdict = match exit {
        Exit::Whole => "sound",
        Exit::Gaps => "sound, but without segments that were on offer",
        _ if !findings.is_proved() => "not proved",
        _ => "not as it should be",
    };
    let proof = match (findings.proved, findings.container.container) {
        (Some(proved), _) => format!("{proved} segments proved by their digests"),
        (None, Some(container)) => format!(
            "without a report only its container can be proved: {container}, {} samples or packets",
            findings.container.units
        ),
        (None, None) => "there is no report, and its container is none that can be proved".into(),
    };
    line(format!("{}: {verdict}: {proof}", file.display()));
    exit
}
