//! How a run is told: the report file, and the last lines on standard error.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use aqueduct::mux::OutputError;
use aqueduct::{Error, Outcome, Report, SelectionDocument};

use crate::args::Args;
use crate::aside::{self, Readers};
use crate::events;
use crate::exit::{self, Exit, chain, tell};
use crate::requests::RequestArgs;
use crate::values::Pick;

/// Tells why a stream failed, and reports it with what it left beside its files.
pub(crate) fn give_up(args: &Args, error: &anyhow::Error, files: &[PathBuf]) -> Exit {
    let exit = exit::of(error);
    let goes_on = error.downcast_ref().is_none_or(|error| !is_of_another_stream(error));
    if goes_on && files.iter().any(|target| aqueduct::mux::can_go_on(target)) {
        // After the error itself, and for those who want to hear of errors only as well.
        tell(if matches!(error.downcast_ref(), Some(Error::Expired { .. })) {
            "what was fetched is kept"
        } else {
            "what was fetched is kept: the same command carries on from there"
        });
    }
    // The command that cannot be used leaves everything as it was.
    if exit != Exit::Usage {
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        let stream = match args.pick {
            Pick::Number(number) => number,
            Pick::All => 1,
        };
        let command = command(args, stream, exit);
        // That failed in any case; the report says no more.
        report(args, |mut out| {
            aqueduct::write_failure(&format!("{error:#}"), &files, &command, &mut out)
        });
    }
    exit
}

/// Whether the same command would be refused again: what is there is not of its stream.
pub(crate) fn is_of_another_stream(error: &Error) -> bool {
    matches!(
        error,
        Error::OtherStream { .. } | Error::Output(OutputError::OtherStream { .. } | OutputError::OtherVersion { .. })
    )
}

/// What a report tells of the command.
pub(crate) fn command(args: &Args, stream: usize, exit: Exit) -> aqueduct::Command {
    let selection = args.selection();
    aqueduct::Command {
        selection: Some(SelectionDocument {
            stream,
            video: selection.video.to_string(),
            audio: selection.audio.to_string(),
            subtitles: selection.subtitles.to_string(),
            sound_alone: selection.sound_alone,
        }),
        exit_code: Some(exit.code()),
    }
}

/// Tells the report, as an event and where one is wanted in its file. That it cannot be written is told here: it hides nothing
/// else.
pub(crate) fn report(args: &Args, write: impl Fn(&mut dyn Write) -> std::io::Result<()>) -> Exit {
    let to_file = args.report.as_ref().map_or(Ok(()), |path| write_report(path, |out| write(out)));
    let to_file = to_file.map_err(|error| exit::complain(&error, Exit::Failed));
    // Last of all.
    let told = match events::report(|out| write(out)) {
        // A reader that went away has seen what it wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            exit::complain(&anyhow::Error::new(error).context("failed to tell the report"), Exit::Failed);
            Exit::Failed
        }
        _ => Exit::Whole,
    };
    if to_file.is_err() { Exit::Failed } else { told }
}

/// Refuses a report, or cookies, that would replace an output.
pub(crate) fn stand_apart(report: Option<&Path>, requests: &RequestArgs, target: &Path) -> anyhow::Result<()> {
    for (option, file) in [("--report", report), ("--cookie-jar", requests.cookie_jar())] {
        if let Some(file) = file.filter(|file| is_in_the_way(file, target)) {
            let (file, target) = (file.display(), target.display());
            bail!("{option} {file} would replace the output {target}: name another file");
        }
    }
    Ok(())
}

/// Writes a report to `path`.
pub(crate) fn write_report(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> anyhow::Result<()> {
    aside::write(path, Readers::Usual, write).with_context(|| format!("failed to write the report {}", path.display()))
}

/// Whether what is written to `file` would be in the way of the output at `target`, or of what grows beside it.
fn is_in_the_way(file: &Path, target: &Path) -> bool {
    if aside::is_stream(file) {
        return false;
    }
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
        Outcome::Gaps => (format!("segments missing: {}", report.missing), Exit::Gaps),
        Outcome::Interrupted => ("interrupted".to_owned(), Exit::Interrupted),
        Outcome::Ended(error) => (format!("incomplete: {}", chain(error)), Exit::Failed),
        _ => ("incomplete".to_owned(), Exit::Failed),
    };
    // Of events, the report is one.
    if args.source.words.quiet && exit == Exit::Whole || events::are_on() {
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
