//! `aqueduct verify`: proving a finished file. `aqueduct repair`: mending one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use aqueduct::resolve::{Select, Selection};
use aqueduct::{
    Damage, Error, FileReport, Findings, Found, Pipeline, Presentation, Progress, RepairError, Repaired, ReportError, SelectionDocument,
    Stop, UnitDocument, VerifyError, report_beside, verify,
};

use crate::args::{RepairArgs, SourceArgs};
use crate::exit::{self, Exit};
use crate::fetch::{Source, find};
use crate::progress::{self, Display};
use crate::report::write_report;

/// What is told one by one.
const MOST_TOLD: usize = 20;

/// Proves `file` and tells what was found.
pub(crate) fn verify_file(file: &Path, report: Option<&PathBuf>, quiet: bool) -> anyhow::Result<Exit> {
    let report = known_report(file, report).context("failed to verify")?;
    let findings = verify(file, report.as_ref()).context("failed to verify")?;
    Ok(tell(file, &findings, quiet))
}

/// The report that was named, or the one beside the file, if there is one.
fn known_report(file: &Path, named: Option<&PathBuf>) -> Result<Option<FileReport>, ReportError> {
    let beside = report_beside(file);
    match named {
        Some(named) => FileReport::open(named, file).map(Some),
        None if beside.is_file() => FileReport::open(&beside, file).map(Some),
        None => Ok(None),
    }
}

/// Mends a file and proves it.
pub(crate) async fn repair_file(args: &RepairArgs, stop: &Stop) -> anyhow::Result<Exit> {
    let quiet = args.source.words.quiet;
    let (mut left, mut worst) = (Found::default(), Exit::Whole);
    loop {
        let damage = survey(args).await?;
        if damage.is_none() {
            break;
        }
        let (repaired, display) = mend(args, &damage, stop).await?;
        drop(display);
        let achieved = repaired.mended + repaired.filled;
        if achieved > 0 {
            let report = damage.report().path();
            if let Err(error) = write_report(report, |mut out| {
                aqueduct::write_repaired(damage.report(), &repaired, &args.file, &mut out)
            }) {
                exit::complain(&error, Exit::Failed);
                worst = Exit::Failed;
            }
            if !quiet {
                line(&format!(
                    "{}: {} places mended, {} missing segments filled in",
                    args.file.display(),
                    repaired.mended,
                    repaired.filled
                ));
            }
        }
        left = repaired.left;
        // What could not be had may be had at another address, as long as that brings something.
        if achieved == 0 || left.is_empty() {
            break;
        }
    }
    for what in left.first.iter().take(MOST_TOLD) {
        line(&format!("not mended: {what}"));
    }
    if let Some(more) = left.count.checked_sub(MOST_TOLD as u64).filter(|more| *more > 0) {
        line(&format!("not mended: {more} more"));
    }
    let (file, report) = (args.file.clone(), args.report.clone());
    let proved = tokio::task::spawn_blocking(move || -> anyhow::Result<Findings> {
        let report = known_report(&file, report.as_ref()).context("failed to verify")?;
        verify(&file, report.as_ref()).context("failed to verify")
    });
    Ok(tell(&args.file, &proved.await??, quiet).max(worst))
}

/// What the file lacks.
async fn survey(args: &RepairArgs) -> anyhow::Result<Damage> {
    let (file, report) = (args.file.clone(), args.report.clone());
    let surveyed = tokio::task::spawn_blocking(move || {
        let report = report.unwrap_or_else(|| report_beside(&file));
        let report = FileReport::open(&report, &file).map_err(VerifyError::Report)?;
        Damage::of(&file, report)
    });
    surveyed.await?.context("failed to repair: what to mend, the report tells")
}

/// One go: from the address to what it mends.
async fn mend(args: &RepairArgs, damage: &Damage, stop: &Stop) -> anyhow::Result<(Repaired, Display)> {
    let jar = args.source.requests.jar()?;
    let report = damage.report();
    let asked = report.document().selection.as_ref();
    let input = args.input.as_ref().or(report.output().input.as_ref());
    let input = input.context("its report does not say where it came from: name that behind the file")?;
    let source = Source::open(&args.source, selection(&args.source, asked)?, input, &jar, stop).await?;
    let presentation = if damage.needs_fetching() {
        let number = asked.map_or(1, |asked| asked.stream.max(1));
        let mut streams = find(&source, number, stop).await?;
        if let Some(first) = streams.first() {
            source.explain(&args.source, &first.account);
        }
        if streams.len() < number {
            anyhow::bail!("the stream is not there any more: {} found", streams.len());
        }
        streams.swap_remove(number - 1)
    } else {
        Presentation::default()
    };
    let mut options = aqueduct::Options::default();
    options.concurrency = args.transfer.concurrency;
    options.budget_bytes = args.transfer.buffer;
    let progress = Progress::new();
    let pipeline = Pipeline::over(Arc::clone(&source.fetcher))
        .with_resolver(source.resolver.clone())
        .with_decrypter(args.keys.decrypter()?)
        .with_options(options)
        .with_progress(progress.clone())
        .with_stop(stop.clone());
    let display = Display::start(progress, args.source.words.quiet);
    let repaired = Box::pin(pipeline.repair(&presentation, damage)).await;
    match repaired {
        Ok(repaired) => Ok((repaired, display)),
        Err(RepairError::Run(error)) => Err(Error::into(error)),
        Err(error) => Err(anyhow::Error::new(error).context("failed to repair")),
    }
}

/// What was asked for when the file was made, but for what is asked for now.
fn selection(args: &SourceArgs, asked: Option<&SelectionDocument>) -> anyhow::Result<Selection> {
    let mut selection = args.selection();
    let Some(asked) = asked else { return Ok(selection) };
    let read = |text: &str| text.parse::<Select>().context("the selection in the report cannot be used");
    if args.video.is_none() {
        selection.video = read(&asked.video)?;
    }
    if args.audio.is_none() {
        selection.audio = read(&asked.audio)?;
    }
    if args.subs.is_none() {
        selection.subtitles = read(&asked.subtitles)?;
    }
    selection.sound_alone = asked.sound_alone;
    Ok(selection)
}

fn line(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(progress::log_writer(), "{}", exit::printable(text));
}

fn tell(file: &Path, findings: &Findings, quiet: bool) -> Exit {
    let units = |name: &str, units: &Found<UnitDocument>| {
        for unit in units.first.iter().take(MOST_TOLD) {
            let last = unit.msn.saturating_add(unit.segments.saturating_sub(1));
            let what = match (unit.init, last > unit.msn) {
                (true, _) => format!("initialization section before segment {last}"),
                (false, true) => format!("segments {} to {last}", unit.msn),
                (false, false) => format!("segment {last}"),
            };
            let why = unit.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            line(&format!("{name}: {what} of track {}{why}", unit.track));
        }
        if let Some(more) = units.count.checked_sub(MOST_TOLD as u64).filter(|more| *more > 0) {
            line(&format!("{name}: {more} more"));
        }
    };
    units("damaged", &findings.damaged);
    units("missing", &findings.missing);
    for problem in findings.problems.first.iter().chain(&findings.container.problems) {
        line(&format!("wrong: {problem}"));
    }
    let exit = match (findings.is_sound(), findings.missing.is_empty() && !findings.broken_off) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Gaps,
        (true, true) => Exit::Whole,
    };
    if quiet && exit == Exit::Whole {
        return exit;
    }
    let verdict = match exit {
        Exit::Whole => "sound",
        Exit::Gaps if findings.missing.is_empty() => "sound, but it ends before its stream did",
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
    line(&format!("{}: {verdict}: {proof}", file.display()));
    exit
}
