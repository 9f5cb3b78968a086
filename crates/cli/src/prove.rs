//! `aqueduct verify`: proving a finished file. `aqueduct repair`: mending one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use aqueduct::mux::can_go_on;
use aqueduct::resolve::{Select, Selection};
use aqueduct::{
    ByReport, Damage, Error, FetchError, FileReport, Findings, Found, Pipeline, Presentation, Progress, RepairError, Repaired, ReportError,
    Resolve, ResolveError, SelectionDocument, Stop, UnitDocument, VerifyError, report_beside, verify,
};

use crate::args::{RepairArgs, SourceArgs, VerifyArgs};
use crate::exit::{self, Exit};
use crate::fetch::{Source, find};
use crate::progress::Display;
use crate::report::{is_of_another_stream, stand_apart, write_report};
use crate::verdict::{self, Done};

/// What is told one by one.
const MOST_TOLD: usize = 20;

/// Proves a file and tells what was found.
pub(crate) fn verify_file(args: &VerifyArgs) -> Exit {
    let proved = || -> anyhow::Result<Findings> {
        let report = known_report(&args.file, args.report.as_ref()).context("failed to verify")?;
        verify(&args.file, report.as_ref()).context("failed to verify")
    };
    match proved() {
        Ok(findings) => {
            let (exit, verdict) = tell(&args.file, &findings, args.words.quiet);
            if args.json {
                verdict::tell(&args.file, verdict, &findings, None, exit)
            } else {
                exit
            }
        }
        Err(error) => failed(&args.file, &error, args.json),
    }
}

/// There is no verdict.
fn failed(file: &Path, error: &anyhow::Error, as_json: bool) -> Exit {
    let exit = exit::of(error);
    if as_json { verdict::tell_failure(file, error, exit) } else { exit }
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

/// The part file of a file that is made anew can be taken up.
const KEPT: &str = "what was fetched is kept: the same command carries on from there";

/// Mends a file, proves it, and tells what came of it.
pub(crate) async fn repair_file(args: &RepairArgs, stop: &Stop) -> Exit {
    match repair(args, stop).await {
        Ok((findings, done, worst)) => {
            let (exit, verdict) = tell(&args.file, &findings, args.source.words.quiet);
            let exit = exit.max(worst);
            if args.json {
                verdict::tell(&args.file, verdict, &findings, Some(&done), exit)
            } else {
                exit
            }
        }
        Err(error) => {
            let exit = failed(&args.file, &error, args.json);
            let goes_on = error.downcast_ref().is_none_or(|error| !is_of_another_stream(error));
            if goes_on && can_go_on(&args.file) {
                line(KEPT);
            }
            exit
        }
    }
}

/// What the file is like afterwards, what was done, and how that went.
async fn repair(args: &RepairArgs, stop: &Stop) -> anyhow::Result<(Findings, Done, Exit)> {
    let quiet = args.source.words.quiet;
    let (mut done, mut worst, mut waiting, mut is_alone) = (Done::default(), Exit::Whole, 0, false);
    let report = args.report.clone().unwrap_or_else(|| report_beside(&args.file));
    for target in [&args.file, &report] {
        stand_apart(None, &args.source.requests, target)?;
    }
    tell_untold(args).await?;
    loop {
        let mut damage = survey(args).await?;
        if damage.is_none() {
            break;
        }
        let (mut repaired, display) = match mend(args, &mut damage, &mut is_alone, stop).await {
            Ok(mended) => mended,
            // What was done before is told all the same.
            Err(error) if done.is_something() => {
                worst = worst.max(exit::of(&error));
                done.failed = Some(format!("{error:#}"));
                break;
            }
            Err(error) => return Err(error),
        };
        drop(display);
        let achieved = repaired.mended + repaired.filled + repaired.remade.count;
        if achieved > 0 {
            let report = damage.report().path();
            if let Err(error) = write_report(report, |mut out| {
                aqueduct::write_repaired(damage.report(), &repaired, &args.file, &mut out)
            }) {
                exit::complain(&error, Exit::Failed);
                worst = Exit::Failed;
                repaired.keep();
                if repaired.account.is_some() {
                    line("the journal is kept: the next repair writes the report");
                }
            }
            if !quiet {
                tell_done(&args.file, &repaired);
            }
        }
        done.mended += repaired.mended;
        done.filled += repaired.filled;
        if !repaired.remade.is_empty() {
            done.remade = repaired.remade;
        }
        done.left = repaired.left;
        let goes_on = repaired.waiting > waiting;
        waiting = repaired.waiting;
        // By the older report, what is right by now is damage.
        if worst == Exit::Failed {
            break;
        }
        // What could not be had may be had at another address, as long as that brings something.
        if achieved == 0 && !goes_on || done.left.is_empty() {
            break;
        }
    }
    if waiting > 0 {
        line(KEPT);
    }
    for what in done.left.first.iter().take(MOST_TOLD) {
        line(&format!("not mended: {what}"));
    }
    if let Some(more) = done.left.count.checked_sub(MOST_TOLD as u64).filter(|more| *more > 0) {
        line(&format!("not mended: {more} more"));
    }
    let (file, report) = (args.file.clone(), args.report.clone());
    let proved = tokio::task::spawn_blocking(move || -> anyhow::Result<Findings> {
        let report = known_report(&file, report.as_ref()).context("failed to verify")?;
        verify(&file, report.as_ref()).context("failed to verify")
    });
    Ok((proved.await??, done, worst))
}

/// Writes the report that an earlier repair could not, or was killed before.
async fn tell_untold(args: &RepairArgs) -> anyhow::Result<()> {
    let (file, report) = (args.file.clone(), args.report.clone());
    let told = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let Some(mut repaired) = Repaired::untold(&file).context("failed to repair")? else {
            return Ok(());
        };
        let report = report.unwrap_or_else(|| report_beside(&file));
        let before = FileReport::open(&report, &file).map_err(VerifyError::Report);
        let written = before
            .map_err(anyhow::Error::from)
            .and_then(|before| write_report(&report, |mut out| aqueduct::write_repaired(&before, &repaired, &file, &mut out)));
        if written.is_err() {
            repaired.keep();
        }
        written.context("failed to repair: an earlier repair could not write its report")
    });
    told.await?
}

/// Tells what a repair did.
fn tell_done(file: &Path, repaired: &Repaired) {
    let file = file.display();
    for why in repaired.remade.first.iter().take(MOST_TOLD) {
        line(&format!("{file}: made anew of the whole stream: {why}"));
    }
    line(&format!(
        "{file}: places mended: {}; missing segments filled in: {}",
        repaired.mended, repaired.filled
    ));
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

/// One go: from the address to what it mends. Where the playlist is gone its report stands for it, which is told once.
async fn mend(args: &RepairArgs, damage: &mut Damage, is_alone: &mut bool, stop: &Stop) -> anyhow::Result<(Repaired, Display)> {
    let jar = args.source.requests.jar()?;
    let asked = damage.report().document().selection.clone();
    let input = args.input.clone().or_else(|| damage.report().output().input.clone());
    let input = input.context("its report does not say where it came from: name that behind the file")?;
    let source = Source::open(&args.source, selection(&args.source, asked.as_ref())?, &input, &jar, stop).await?;
    if !damage.needs_fetching() {
        return run(args, &source, source.resolver.clone(), &Presentation::default(), damage, stop).await;
    }
    let number = asked.map_or(1, |asked| asked.stream.max(1));
    let mut streams = match find(&source, number, stop).await {
        Ok(streams) => streams,
        Err(error) if is_gone(&error) => {
            let Some(told) = damage.by_report(&source.input) else {
                return Err(error);
            };
            if !std::mem::replace(is_alone, true) {
                line(&format!(
                    "its playlist cannot be had any more, and what its report tells is asked for at the addresses there: {error:#}"
                ));
            }
            return run(args, &source, ByReport, &told, damage, stop).await;
        }
        Err(error) => return Err(error),
    };
    if let Some(first) = streams.first() {
        source.explain(&args.source, &first.account);
    }
    if streams.len() < number {
        anyhow::bail!("the stream is not there any more: {} found", streams.len());
    }
    let presentation = streams.swap_remove(number - 1);
    run(args, &source, source.resolver.clone(), &presentation, damage, stop).await
}

/// Whether what led to a stream will not do so again.
fn is_gone(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(Error::Resolve(ResolveError::NothingFound { .. })) => true,
        Some(Error::Resolve(ResolveError::Fetch(error))) => {
            matches!(error.status(), Some(404 | 410)) || matches!(error, FetchError::Connect { .. })
        }
        _ => false,
    }
}

async fn run<R: Resolve>(
    args: &RepairArgs,
    source: &Source,
    resolver: R,
    presentation: &Presentation,
    damage: &Damage,
    stop: &Stop,
) -> anyhow::Result<(Repaired, Display)> {
    let mut options = aqueduct::Options::default();
    options.concurrency = args.transfer.concurrency;
    options.budget_bytes = args.transfer.buffer;
    let progress = Progress::new();
    let pipeline = Pipeline::over(Arc::clone(&source.fetcher))
        .with_resolver(resolver)
        .with_decrypter(args.keys.decrypter()?)
        .with_options(options)
        .with_progress(progress.clone())
        .with_stop(stop.clone());
    let display = Display::start(progress, args.source.words.quiet);
    let repaired = Box::pin(pipeline.repair(presentation, damage)).await;
    match repaired {
        Ok(repaired) => Ok((repaired, display)),
        Err(RepairError::Run(error)) => Err(anyhow::Error::new(error).context(exit::OfRepair)),
        Err(error) => Err(anyhow::Error::new(error).context(exit::OfRepair)),
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
    let _ = writeln!(crate::words::told(), "{}", exit::printable(text));
}

/// Tells people what was found, and gives the verdict as it is called for programs.
fn tell(file: &Path, findings: &Findings, quiet: bool) -> (Exit, &'static str) {
    let units = |name: &str, units: &Found<UnitDocument>| {
        for unit in units.first.iter().take(MOST_TOLD) {
            let last = unit.msn.saturating_add(unit.segments.saturating_sub(1));
            let what = match (unit.init, last > unit.msn) {
                (true, _) => format!("initialization section before segment {last}"),
                (false, true) => format!("segments {} to {last}", unit.msn),
                (false, false) => format!("segment {last}"),
            };
            let why = unit.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let file = unit.file.as_deref().map(|file| format!(", {file}")).unwrap_or_default();
            line(&format!("{name}: {what} of track {}{file}{why}", unit.track));
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
    let (exit, verdict, words) = if findings.is_sound() {
        match (findings.missing.is_empty(), findings.broken_off) {
            (true, false) => (Exit::Whole, "sound", "sound"),
            (true, true) => (Exit::Gaps, "broken_off", "sound, but it ends before its stream did"),
            (false, _) => (Exit::Gaps, "gaps", "sound, but without segments that were on offer"),
        }
    } else if findings.is_proved() {
        (Exit::Failed, "wrong", "not as it should be")
    } else {
        (Exit::Failed, "unproved", "not proved")
    };
    if quiet && exit == Exit::Whole {
        return (exit, verdict);
    }
    let proof = match (findings.proved, findings.container.container) {
        (Some(proved), _) => format!("{proved} segments proved by their digests"),
        (None, Some(container)) => format!(
            "without a report only its container can be proved: {container}, {} {}",
            findings.container.units,
            if container == aqueduct::mux::Hls::CONTAINER {
                "files in its playlists"
            } else {
                "samples or packets"
            }
        ),
        (None, None) => "there is no report, and its container is none that can be proved".into(),
    };
    line(&format!("{}: {words}: {proof}", file.display()));
    (exit, verdict)
}
