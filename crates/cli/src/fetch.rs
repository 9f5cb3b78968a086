//! The main command: each input through the pipeline.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use aqueduct::fetch::HttpFetcher;
use aqueduct::mux::Auto;
use aqueduct::resolve::PageResolver;
use aqueduct::{Container, Error, Input, Outcome, Output, Outputs, Pipeline, Presentation, Progress, Report, Stop, TrackId, TrackKind};

use crate::args::Args;
use crate::exit::{self, Exit};
use crate::name;
use crate::progress::{self, Display};

/// Fetches all inputs, one after the other. The worst end is the exit code.
pub(crate) async fn all(args: &Args) -> Exit {
    let stop = Stop::new();
    let signals = tokio::spawn(watch_signals(stop.clone()));
    let mut worst = Exit::Whole;
    for input in &args.inputs {
        let ended = one(args, input, &stop).await.unwrap_or_else(|error| {
            exit::complain(&error);
            Exit::of(&error)
        });
        worst = worst.max(ended);
        if stop.is_draining() {
            break;
        }
    }
    signals.abort();
    worst
}

/// The first signal drains, the second aborts.
async fn watch_signals(stop: Stop) {
    interrupted().await;
    tracing::warn!("stopping: what was fetched is finalised; once more to abort");
    stop.drain();
    interrupted().await;
    stop.abort();
}

#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // The system's own handling remains.
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

async fn one(args: &Args, text: &str, stop: &Stop) -> anyhow::Result<Exit> {
    let input = args.input(text)?;
    // Refused before anything is asked for, where the name is known already.
    let named = match &args.output {
        Some(path) if path.as_os_str() == "-" => Some(None),
        Some(path) if !is_folder(path) => Some(Some(path.clone())),
        _ => None,
    };
    if args.inputs.len() > 1 && named.is_some() {
        bail!("several inputs need a folder as --output, or none");
    }
    let early = match &named {
        Some(Some(path)) => {
            container(args, path)?;
            Some(Output::file(path, args.overwrite).map_err(Error::Output)?)
        }
        _ => None,
    };
    let progress = Progress::new();
    let pipeline = pipeline(args, &input)?.with_progress(progress.clone()).with_stop(stop.clone());
    let presentation = pipeline.resolve(&input).await?;
    for warning in &presentation.warnings {
        tracing::info!("{warning}");
    }
    for track in &presentation.tracks {
        tracing::info!(kind = %track.kind, name = %track.name, segments = track.segments, live = track.live, "track");
    }
    let target = match named {
        Some(named) => named,
        None => Some(args.output.clone().unwrap_or_default().join(name::of(&presentation))),
    };
    let container = match &target {
        Some(path) => container(args, path)?,
        None => args.format.map_or(Container::Raw, Container::from),
    };
    let main = match (early, &target) {
        (Some(output), _) => output,
        (None, Some(path)) => Output::file(path, args.overwrite).map_err(Error::Output)?,
        (None, None) => Output::stdout(),
    };
    let (subtitles, beside) = subtitles(args, &presentation, target.as_deref())?;
    let display = Display::start(progress, args.quiet);
    let muxer = container.muxer();
    let outputs = Outputs {
        main,
        subtitles,
        origin: Some(muxer.origin()),
    };
    let report = pipeline.with_muxer(muxer).run(presentation, outputs).await;
    drop(display);
    let report = report?;
    let targets: Vec<_> = target.into_iter().chain(beside).collect();
    Ok(conclude(args, &report, &targets))
}

fn pipeline(args: &Args, input: &Input) -> anyhow::Result<Pipeline<PageResolver, HttpFetcher, aqueduct::decrypt::ClearKey, Auto>> {
    let mut fetch = aqueduct::fetch::Options::default();
    fetch.headers = args.headers(input)?;
    fetch.referer.clone_from(&args.referer);
    fetch.proxy.clone_from(&args.proxy);
    fetch.allow_private = args.allow_private;
    fetch.timeout = args.timeout;
    fetch.retries = args.retries.into();
    if let Some(agent) = &args.user_agent {
        fetch.user_agent.clone_from(agent);
    }
    // A local playlist names files of its own folder.
    fetch.local_root = match input {
        Input::File(path) => path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_path_buf)),
        Input::Url(url) if url.url().scheme() == "file" => {
            url.url().to_file_path().ok().and_then(|path| path.parent().map(Path::to_path_buf))
        }
        _ => None,
    };
    let mut resolve = aqueduct::resolve::Options::default();
    resolve.selection.subtitles = args.subs.into();
    let mut options = aqueduct::Options::default();
    options.concurrency = args.concurrency.into();
    options.budget_bytes = args.buffer;
    options.on_missing = args.on_missing.into();
    let pipeline = Pipeline::new(fetch).context("failed to set up requests")?;
    Ok(pipeline.with_resolver(PageResolver::new(resolve)).with_options(options))
}

fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// The container that the options and the name of the output ask for.
fn container(args: &Args, path: &Path) -> anyhow::Result<Container> {
    if let Some(format) = args.format {
        return Ok(format.into());
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some(known) if Container::from_extension(known).is_some() => Ok(Container::from_extension(known).unwrap_or(Container::Raw)),
        // A name that was made for a plain file has the file's own extension.
        _ if args.output.as_deref() != Some(path) => Ok(Container::Raw),
        _ => bail!(
            "{}: no container for this extension: use .mp4 or .ts, or say --format",
            path.display()
        ),
    }
}

/// Outputs of subtitle tracks, and their paths.
type Beside = (Vec<(TrackId, Output)>, Vec<PathBuf>);

/// An output beside the main one for each subtitle track, with its path.
fn subtitles(args: &Args, presentation: &Presentation, target: Option<&Path>) -> anyhow::Result<Beside> {
    let mut outputs = Vec::new();
    let mut paths: Vec<PathBuf> = Vec::new();
    for track in presentation.tracks.iter().filter(|track| track.kind == TrackKind::Subtitles) {
        let Some(target) = target else {
            bail!("subtitles need a file to stand beside: --subs none, or another --output")
        };
        let label = name::safe(track.language.as_deref().unwrap_or(&track.name));
        let mut path = target.with_extension(format!("{label}.vtt"));
        if paths.contains(&path) {
            path = target.with_extension(format!("{label}.{}.vtt", track.id.number()));
        }
        outputs.push((track.id, Output::file(&path, args.overwrite).map_err(Error::Output)?));
        paths.push(path);
    }
    Ok((outputs, paths))
}

/// Tells how it ended.
fn conclude(args: &Args, report: &Report, targets: &[PathBuf]) -> Exit {
    let tell = |line: String| {
        if !args.quiet {
            // Without standard error there is nobody to tell.
            let _ = writeln!(progress::log_writer(), "{line}");
        }
    };
    for gap in &report.gaps {
        let last = gap.first_msn + gap.segments.saturating_sub(1);
        let which = if gap.segments == 1 {
            format!("segment {last}")
        } else {
            format!("segments {} to {last}", gap.first_msn)
        };
        tell(format!("missing: {which} of {}: {}", gap.track, gap.cause));
    }
    for note in report.summaries.iter().flat_map(|summary| &summary.notes) {
        tell(format!("note: {note}"));
    }
    let where_to = targets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let where_to = if where_to.is_empty() { "standard output".into() } else { where_to };
    let what = format!("{} segments, {} bytes: {where_to}", report.segments, report.bytes);
    match &report.outcome {
        Outcome::Whole => {
            tell(format!("whole: {what}"));
            Exit::Whole
        }
        Outcome::Gaps => {
            tell(format!("{} segments missing: {what}", report.missing));
            Exit::Gaps
        }
        Outcome::Interrupted => {
            tell(format!("interrupted: {what}"));
            Exit::Interrupted
        }
        Outcome::Ended(error) => {
            let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
            let why = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            tell(format!("incomplete: {what}: {why}"));
            Exit::Failed
        }
        _ => Exit::Failed,
    }
}
