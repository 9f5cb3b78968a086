//! The main command: each input through the pipeline.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use aqueduct::fetch::{HttpFetcher, Jar};
use aqueduct::mux::OutputError;
use aqueduct::resolve::{PageResolver, Selection};
use aqueduct::{
    Account, Container, DecryptError, Error, FetchError, Input, Located, Outcome, Output, Outputs, Pipeline, Presentation, Progress,
    Report, Stop, SubtitleFormat, TrackId, TrackKind,
};
use tempfile::NamedTempFile;

use crate::args::{Args, Chapters, Pick, SourceArgs};
use crate::exit::{self, Exit};
use crate::progress::{self, Display};
use crate::{list, name};

/// Fetches all inputs, one after the other. The worst end is the exit code.
pub(crate) async fn all(args: &Args, stop: &Stop) -> Exit {
    let jar = match args.source.requests.jar() {
        Ok(jar) => jar,
        Err(error) => return exit::of(&error),
    };
    let mut worst = Exit::Whole;
    let mut taken = Vec::new();
    for input in &args.inputs {
        let ended = one(args, input, &jar, &mut taken, stop)
            .await
            .unwrap_or_else(|error| exit::of(&error));
        worst = worst.max(ended);
        if stop.is_draining() {
            break;
        }
    }
    worst.max(args.source.requests.end(&jar))
}

/// An input, and what finds its streams.
pub(crate) struct Source {
    pub(crate) input: Input,
    pub(crate) fetcher: Arc<HttpFetcher>,
    pub(crate) resolver: PageResolver,
}

impl Source {
    pub(crate) async fn open(args: &SourceArgs, selection: Selection, text: &str, jar: &Arc<Jar>, stop: &Stop) -> anyhow::Result<Self> {
        let input = tokio::select! {
            () = stop.draining() => return Err(Error::Stopped.into()),
            input = args.input(text) => input?,
        };
        let mut fetch = aqueduct::fetch::Options::default();
        args.requests.apply(args.origin(&input).as_ref(), &mut fetch)?;
        fetch.cookies = Arc::clone(jar);
        fetch.referer.clone_from(&args.referer);
        fetch.proxy.clone_from(&args.proxy);
        fetch.allow_private = args.allow_private;
        fetch.timeout = args.timeout;
        fetch.retries = args.retries.into();
        fetch.first_delay = args.retry_delay;
        fetch.rate_limit = args.rate_limit.map(|bytes| bytes as u64);
        fetch.longest_delay = fetch.longest_delay.max(args.retry_delay);
        if let Some(agent) = &args.user_agent {
            fetch.user_agent.clone_from(agent);
        }
        // A local playlist names files of its own folder.
        let local = match &input {
            Input::File(path) => path.canonicalize().ok(),
            Input::Url(url) if url.url().scheme() == "file" => url.url().to_file_path().ok(),
            _ => None,
        };
        fetch.local_root = local.and_then(|path| path.parent().map(Path::to_path_buf));
        let mut resolve = aqueduct::resolve::Options::default();
        resolve.selection = selection;
        let fetcher = Arc::new(HttpFetcher::new(fetch).context("failed to set up requests")?);
        Ok(Self {
            input,
            fetcher,
            resolver: PageResolver::new(resolve),
        })
    }

    /// Tells how the streams were found, if that is asked for.
    pub(crate) fn explain(&self, args: &SourceArgs, account: &Account) {
        if args.explain {
            list::tell(account);
        }
    }
}

/// Where the output of a stream goes.
enum Target {
    Stdout,
    File(PathBuf),
    /// A folder, for a name that the stream gives.
    Folder(PathBuf),
}

impl Target {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let target = match &args.output {
            None => Self::Folder(PathBuf::new()),
            Some(path) if path.as_os_str() == "-" => Self::Stdout,
            Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => Self::Folder(path.clone()),
            Some(path) => Self::File(path.clone()),
        };
        if (args.inputs.len() > 1 || args.pick == Pick::All) && !matches!(target, Self::Folder(_)) {
            bail!("several streams need a folder as --output, or none");
        }
        if (args.inputs.len() > 1 || args.pick == Pick::All) && args.report.is_some() {
            bail!("--report tells of one stream: each of several would replace the report of the one before");
        }
        Ok(target)
    }
}

async fn one(args: &Args, text: &str, jar: &Arc<Jar>, taken: &mut Vec<PathBuf>, stop: &Stop) -> anyhow::Result<Exit> {
    let target = Target::of(args)?;
    args.decrypter()?;
    // Refused before anything is asked for, where the name is known already.
    let mut early = match &target {
        Target::File(path) => Some(Output::file(path, args.overwrite).map_err(Error::Output)?),
        _ => None,
    };
    let source = Source::open(&args.source, args.selection(), text, jar, stop).await?;
    let wanted = match args.pick {
        Pick::Number(number) => number,
        Pick::All => usize::MAX,
    };
    let mut streams = find(&source, wanted, stop).await?;
    if let Some(first) = streams.first() {
        source.explain(&args.source, &first.account);
    }
    let mut number = 1;
    if let Pick::Number(picked) = args.pick {
        if streams.len() < picked {
            bail!("there is no stream number {picked}: {} found, see aqueduct list", streams.len());
        }
        streams.drain(..picked - 1);
        streams.truncate(1);
        number = picked;
    }
    let mut worst = Exit::Whole;
    let several = streams.len() > 1;
    for (number, presentation) in (number..).zip(streams) {
        let path = match &target {
            Target::Stdout => None,
            Target::File(path) => Some(path.clone()),
            Target::Folder(folder) => {
                let name = name::of(&presentation, several.then_some(number), args.format);
                let path = name::unique(&name, taken, folder);
                taken.push(path.clone());
                Some(path)
            }
        };
        let job = Job {
            args,
            source: &source,
            number,
            path,
            stop,
        };
        let ended = job.run(presentation, early.take()).await;
        worst = worst.max(if several {
            ended.unwrap_or_else(|error| exit::of(&error))
        } else {
            ended?
        });
        if stop.is_draining() {
            break;
        }
    }
    Ok(worst)
}

/// Finds the streams behind the input, `wanted` of them at least if there are so many.
async fn find(source: &Source, wanted: usize, stop: &Stop) -> anyhow::Result<Vec<Presentation>> {
    tokio::select! {
        () = stop.draining() => Err(Error::Stopped.into()),
        found = source.resolver.streams(&source.input, &source.fetcher, wanted) => Ok(found.map_err(Error::Resolve)?),
    }
}

/// One stream on its way to a file, or to standard output.
struct Job<'a> {
    args: &'a Args,
    source: &'a Source,
    /// Its number among the streams of the input, counted from 1.
    number: usize,
    path: Option<PathBuf>,
    stop: &'a Stop,
}

impl Job<'_> {
    /// Fetches the stream. Addresses that expire in the middle are asked for again from the page, as long as each round
    /// brings something.
    async fn run(&self, mut presentation: Presentation, early: Option<Output>) -> anyhow::Result<Exit> {
        for warning in &presentation.warnings {
            tracing::info!("{warning}");
        }
        for track in &presentation.tracks {
            tracing::info!(kind = %track.kind, name = %track.name, segments = track.segments, live = track.live, "track");
        }
        let (mut output, mut anew, mut had) = (early, self.args.no_resume, 0);
        loop {
            let progress = Progress::new();
            let (error, targets) = match self.round(presentation, output.take(), anew, progress.clone()).await? {
                (Ok(report), targets) => {
                    let files: Vec<_> = targets.iter().map(PathBuf::as_path).collect();
                    let told = self.report(|out| aqueduct::write_report(&report, &files, out));
                    return Ok(conclude(self.args, &report, &targets).max(told));
                }
                (Err(error), targets) => (error, targets),
            };
            let has = progress.counters().segments_written();
            if expired(&error) && has > had && self.path.is_some() && !self.stop.is_draining() {
                let error = exit::printable(&chain(&error));
                tracing::warn!("addresses have expired after {has} segments: they are asked for again ({error})");
                (had, anew) = (has, false);
            } else if matches!(error, Error::OtherStream { .. }) && self.args.overwrite && !anew {
                tracing::warn!("{error}: it is replaced");
                anew = true;
            } else {
                let files: Vec<_> = targets.iter().map(PathBuf::as_path).collect();
                // That failed in any case; the report says no more.
                self.report(|out| aqueduct::write_failure(&error, &files, out));
                if !is_of_another_stream(&error) && targets.iter().any(|target| aqueduct::mux::can_go_on(target)) {
                    // After the error itself, and for those who want to hear of errors only as well.
                    let exit = exit::of(&error.into());
                    tell("what was fetched is kept: the same command carries on from there");
                    return Ok(exit);
                }
                return Err(error.into());
            }
            let mut streams = find(self.source, self.number, self.stop).await?;
            if streams.len() < self.number {
                bail!("the stream is not there any more: {} found", streams.len());
            }
            presentation = streams.swap_remove(self.number - 1);
        }
    }

    /// Writes the report, where one is wanted. That it cannot be written is told here: it hides nothing else.
    fn report(&self, write: impl FnOnce(&mut BufWriter<NamedTempFile>) -> std::io::Result<()>) -> Exit {
        let Some(path) = &self.args.report else { return Exit::Whole };
        match write_report(path, write) {
            Ok(()) => Exit::Whole,
            Err(error) => {
                exit::complain(&error);
                Exit::Failed
            }
        }
    }

    /// One go, from what is there already.
    async fn round(
        &self,
        mut presentation: Presentation,
        early: Option<Output>,
        anew: bool,
        progress: Progress,
    ) -> anyhow::Result<(Result<Report, Error>, Vec<PathBuf>)> {
        let args = self.args;
        if args.chapters == Chapters::None {
            presentation.chapters.clear();
        }
        let begun = |output: Output| if anew { output.anew() } else { output };
        let container = match &self.path {
            Some(path) => container(args, path, &presentation)?,
            None => args.format.map_or_else(|| streamed(&presentation), Container::from),
        };
        let main = match (early, &self.path) {
            (Some(output), _) => output,
            (None, Some(path)) => Output::file(path, args.overwrite).map_err(Error::Output)?,
            (None, None) => Output::stdout().map_err(Error::Output)?,
        };
        let (subtitles, beside) = match (container, args.subs_format.beside()) {
            (Container::Subtitles(_), _) | (Container::Mp4, None) => Beside::default(),
            (_, None) if has_subtitles(&presentation) => {
                bail!("only an MP4 holds subtitles as tracks: name the output .mp4, or say --subs-format vtt")
            }
            (_, format) => subtitles(args, format.unwrap_or_default(), &presentation, self.path.as_deref())?,
        };
        let mut targets = self.path.iter().chain(&beside);
        if let Some(report) = &args.report
            && let Some(target) = targets.find(|target| is_in_the_way(report, target))
        {
            bail!(
                "--report {} would replace the output {}: name another file",
                report.display(),
                target.display()
            );
        }
        if args.captions.is_some() && !matches!(container, Container::Subtitles(_)) {
            bail!("captions stay in the video: name an output that ends in .vtt or .srt for a file of them");
        }
        let muxer = container
            .muxer()
            .with_subtitles(args.subs_format.coding())
            .with_captions(args.captions.map(Into::into));
        let outputs = Outputs {
            main: begun(main),
            subtitles: subtitles.into_iter().map(|(track, output)| (track, begun(output))).collect(),
            subtitle_format: args.subs_format.beside().unwrap_or_default(),
            origin: Some(muxer.origin()),
        };
        let mut options = aqueduct::Options::default();
        options.concurrency = args.concurrency;
        options.budget_bytes = args.buffer;
        options.on_missing = args.on_missing.into();
        let pipeline = Pipeline::over(Arc::clone(&self.source.fetcher))
            .with_resolver(self.source.resolver.clone())
            .with_decrypter(args.decrypter()?)
            .with_muxer(muxer)
            .with_options(options)
            .with_progress(progress.clone())
            .with_stop(self.stop.clone());
        let display = Display::start(progress, args.source.quiet);
        // On the heap: it is large, and lies in every future above.
        let report = Box::pin(pipeline.run(presentation, outputs)).await;
        drop(display);
        Ok((report, self.path.iter().cloned().chain(beside).collect()))
    }
}

/// Writes a report to `path`. It has its name when it is whole.
fn write_report(path: &Path, write: impl FnOnce(&mut BufWriter<NamedTempFile>) -> std::io::Result<()>) -> anyhow::Result<()> {
    let told = || format!("failed to write the report {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut out = BufWriter::new(NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(told)?);
    write(&mut out).with_context(told)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(told)?;
    file.persist(path).with_context(told)?;
    Ok(())
}

/// Whether what is written to `file` would be in the way of the output at `target`, or of what grows beside it.
fn is_in_the_way(file: &Path, target: &Path) -> bool {
    let whole = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    let Some(file) = whole(file) else { return false };
    ["", ".part", ".part.journal"].iter().any(|suffix| {
        let mut name = target.as_os_str().to_owned();
        name.push(suffix);
        whole(Path::new(&name)).as_ref() == Some(&file)
    })
}

/// Whether the same command would be refused again: what is there is not of its stream.
fn is_of_another_stream(error: &Error) -> bool {
    matches!(error, Error::OtherStream { .. } | Error::Output(OutputError::OtherStream { .. }))
}

/// Whether an address that was good is not any more: a signature that expired, most likely.
fn expired(error: &Error) -> bool {
    let expired = |error: &FetchError| matches!(error.status(), Some(401 | 403 | 410));
    match error {
        Error::Fetch(Located { source, .. }) => expired(source),
        Error::Decrypt(Located {
            source: DecryptError::Key(source),
            ..
        }) => expired(source),
        _ => false,
    }
}

/// An error with all its sources.
fn chain(error: &Error) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Tells a line, also to those who want to hear of errors only.
fn tell(line: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(progress::log_writer(), "{}", exit::printable(line));
}

/// The container that the options and the name of the output ask for. A plain file has one already.
fn container(args: &Args, path: &Path, presentation: &Presentation) -> anyhow::Result<Container> {
    if let Some(format) = args.format {
        return Ok(format.into());
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref().and_then(Container::from_extension) {
        Some(container) => Ok(container),
        None if presentation.tracks.iter().all(|track| track.kind == TrackKind::File) => Ok(Container::Raw),
        None => bail!(
            "{}: no container for this extension: use .mp4 or .ts, or say --format",
            path.display()
        ),
    }
}

/// The container of a stream that goes to standard output without a word of what it should be.
fn streamed(presentation: &Presentation) -> Container {
    let joined = presentation.tracks.iter().filter(|track| track.kind != TrackKind::Subtitles);
    if joined.count() > 1 { Container::Fmp4 } else { Container::Raw }
}

fn has_subtitles(presentation: &Presentation) -> bool {
    presentation.tracks.iter().any(|track| track.kind == TrackKind::Subtitles)
}

/// Outputs of subtitle tracks, and their paths.
type Beside = (Vec<(TrackId, Output)>, Vec<PathBuf>);

/// An output beside the main one for each subtitle track, with its path.
fn subtitles(args: &Args, format: SubtitleFormat, presentation: &Presentation, target: Option<&Path>) -> anyhow::Result<Beside> {
    let mut outputs = Vec::new();
    let mut paths: Vec<PathBuf> = Vec::new();
    for track in presentation.tracks.iter().filter(|track| track.kind == TrackKind::Subtitles) {
        let Some(target) = target else {
            bail!("subtitles need a file to stand beside: --subs none, or another --output")
        };
        let label = name::label(track.language.as_deref().unwrap_or(&track.name));
        let extension = format.extension();
        let mut path = target.with_extension(format!("{label}.{extension}"));
        if paths.contains(&path) {
            path = target.with_extension(format!("{label}.{}.{extension}", track.id.number()));
        }
        outputs.push((track.id, Output::file(&path, args.overwrite).map_err(Error::Output)?));
        paths.push(path);
    }
    Ok((outputs, paths))
}

/// Tells how it ended. What is missing is an error, and told even to those who want to hear of errors only.
fn conclude(args: &Args, report: &Report, targets: &[PathBuf]) -> Exit {
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
