//! How a run is told: the report file, and the last lines on standard error.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;
use aqueduct::{Outcome, Report};
use tempfile::NamedTempFile;

use crate::args::Args;
use crate::exit::{Exit, chain, tell};

/// Writes a report to `path`. It has its name when it is whole.
pub(crate) fn write_report(path: &Path, write: impl FnOnce(&mut BufWriter<NamedTempFile>) -> std::io::Result<()>) -> anyhow::Result<()> {
    let told = || format!("failed to write the report {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut out = BufWriter::new(NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(told)?);
    write(&mut out).with_context(told)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(told)?;
    file.persist(path).with_context(told)?;
    Ok(())
}

/// Whether what is written to `file` would be in the way of the output at `target`, or of what grows beside it.
pub(crate) fn is_in_the_way(file: &Path, target: &Path) -> bool {
    let whole = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    let Some(file) = whole(file) else { return false };
    let (part, journal) = aqueduct::mux::part_paths(target);
    [target, &part, &journal].iter().any(|path| whole(path).as_ref() == Some(&file))
}

/// The files that stand there now: several for an output that was split.
fn named(report: &Report, targets: &[PathBuf]) -> Vec<PathBuf> {
    let mut targets = targets.iter();
    let of = |account: &aqueduct::mux::Account| match (account.files(), targets.next()) {
        ([], target) => target.cloned().into_iter().collect(),
        (files, _) => files.to_vec(),
    };
    report.accounts.iter().flat_map(of).collect()
}

/// Tells how it ended. What is missing is an error, and told even to those who want to hear of errors only.
pub(crate) fn conclude(args: &Args, report: &Report, targets: &[PathBuf]) -> Exit {
    let targets = named(report, targets);
    let (verdict, exit) = match &report.outcome {
        Outcome::Whole => ("whole".to_owned(), Exit::Whole),
        Outcome::Gaps => (format!("{} segments missing", report.missing), Exit::Gaps),
        Outcome::Interrupted => ("interrupted".to_owned(), Exit::Interrupted),
        Outcome::Ended(error) => (format!("incomplete: {}", chain(error)), Exit::Failed),
        _ => ("incomplete".to_owned(), Exit::Failed),
    };
    if args.source.quiet && exit == Exit::Whole {
        return exit;
    }
    for gap in &report.gaps {
        let last = gap.first_msn.saturating_add(gap.segments.saturating_sub(1));
        let which = if gap.segments == 1 {
            format!("segment {last}")
        } else {
            format!("segments {} to {last}", gap.first_msn)
        };
        tell(&format!("missing: {which} of {}: {}", gap.track, gap.cause));
    }
    for note in report.summaries.iter().flat_map(|summary| &summary.notes) {
        tell(&format!("note: {note}"));
    }
    let where_to = targets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let where_to = if where_to.is_empty() { "standard output" } else { &where_to };
    tell(&format!(
        "{verdict}: {} segments, {} bytes: {where_to}",
        report.segments, report.bytes
    ));
    exit
}
