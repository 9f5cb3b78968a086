//! One stream from its presentation to its files, and how that is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use aqueduct::mux::Split;
use aqueduct::{
    CaptionChannel, Container, DecryptError, Error, Event, FetchError, Located, Output, Outputs, Pipeline, Presentation, Progress,
    Receiver, Report, Stop, SubtitleFormat, TrackId, TrackKind,
};

use crate::args::Args;
use crate::events::{self, Ticker};
use crate::exit::{self, Exit, chain};
use crate::fetch::{Source, find};
use crate::name;
use crate::progress::Display;
use crate::report::{command, conclude, is_of_another_stream, report, stand_apart};
use crate::values::{Captions, Chapters, Missing, SplitAt, Subtitles};

/// One stream on its way to a file, or to standard output.
pub(crate) struct Job<'a> {
    pub(crate) args: &'a Args,
    pub(crate) source: &'a Source,
    /// Its number among the streams of the input, counted from 1.
    pub(crate) number: usize,
    pub(crate) path: Option<PathBuf>,
    /// The name that it would have, where `path` is that of what an earlier run left of the same, as it seems.
    pub(crate) otherwise: Option<PathBuf>,
    /// All files that it makes, the main one first.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) stop: &'a Stop,
}

/// How far what an earlier run left is taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct TakeUp {
    /// Not at all.
    nothing: bool,
    /// Up to this segment.
    before: Option<(TrackId, u64)>,
}

impl TakeUp {
    fn of(self, output: Output) -> Output {
        let output = match self.before {
            Some((track, msn)) => output.before(track, msn),
            None => output,
        };
        if self.nothing { output.anew() } else { output }
    }
}

impl Job<'_> {
    /// Fetches the stream. Addresses that expire in the middle are asked for again from the page, as long as each round
    /// brings something.
    pub(crate) async fn run(&mut self, mut presentation: Presentation, early: Option<Output>) -> anyhow::Result<Exit> {
        for warning in &presentation.warnings {
            tracing::info!("{warning}");
        }
        for track in &presentation.tracks {
            tracing::info!(kind = %track.kind, name = %track.name, segments = track.segments, live = track.live, "track");
        }
        let (mut output, mut had) = (early, 0);
        let mut take_up = TakeUp {
            nothing: self.args.no_resume,
            before: None,
        };
        loop {
            let (progress, news) = events::progress();
            let error = match self.round(presentation, output.take(), take_up, progress.clone(), news).await? {
                Ok(done) => {
                    let exit = conclude(self.args, &done, &self.files);
                    let files: Vec<_> = self.files.iter().map(PathBuf::as_path).collect();
                    let command = command(self.args, self.number, exit);
                    let told = report(self.args, |mut out| aqueduct::write_report(&done, &files, &command, &mut out));
                    return Ok(exit.max(told));
                }
                Err(error) => error,
            };
            let has = progress.counters().segments_written();
            if expired(&error) && has > had && self.path.is_some() && !self.stop.is_draining() {
                let error = exit::printable(&chain(&error));
                tracing::warn!("addresses have expired after {has} segments: they are asked for again ({error})");
                (had, take_up) = (has, TakeUp::default());
            } else if is_of_another_stream(&error)
                && let Some(path) = self.otherwise.take()
            {
                tracing::warn!("{}: begun as {} instead", chain(&error), path.display());
                self.path = Some(path);
            } else if matches!(error, Error::OtherStream { .. }) && self.args.overwrite && !take_up.nothing {
                tracing::warn!("{error}: it is replaced");
                take_up.nothing = true;
            } else if let Error::LeftOut { track, msn } = error
                && take_up.before != Some((track, msn))
            {
                tracing::warn!("{error}: it is fetched, and what follows once more");
                take_up.before = Some((track, msn));
            } else {
                return Err(error.into());
            }
            let mut streams = find(self.source, self.number, self.stop).await?;
            if streams.len() < self.number {
                return Err(error.into());
            }
            presentation = streams.swap_remove(self.number - 1);
        }
    }

    /// One go, from what is there already.
    async fn round(
        &mut self,
        presentation: Presentation,
        early: Option<Output>,
        take_up: TakeUp,
        progress: Progress,
        news: Option<Receiver<Event>>,
    ) -> anyhow::Result<Result<Report, Error>> {
        let args = self.args;
        let container = match &self.path {
            Some(path) => container(args, path, &presentation)?,
            None => args.format.map_or_else(|| streamed(&presentation), Container::from),
        };
        if self.path.is_none() && (container == Container::Hls || args.split.is_some()) {
            bail!("several files cannot go to standard output");
        }
        if args.split.is_some() {
            refuse_to_split(args, container)?;
        }
        let holds_chapters = matches!(container, Container::Mp4 | Container::M4a | Container::Mkv | Container::Mka);
        if args.chapters != Chapters::None && (!holds_chapters || self.path.is_none()) {
            bail!("only a file of MP4 or Matroska holds chapters: name the output .mp4 or .mkv, or leave --chapters out");
        }
        if args.captions.is_some() {
            refuse_captions(args, container, self.path.is_some())?;
        }
        let main = match (early, &self.path) {
            (Some(output), _) => output,
            (None, Some(path)) => output(args, path)?,
            (None, None) => Output::stdout().map_err(Error::Output)?,
        };
        let coding = args.subs_format.and_then(|format| format.within(container));
        let format = match (container, args.subs_format) {
            (Container::Subtitles(_), format) => Some(format.and_then(Subtitles::beside).unwrap_or_default()),
            (Container::Mkv, None) | (Container::Hls, _) => None,
            (_, None) => Some(SubtitleFormat::default()),
            (_, Some(format)) => format.beside(),
        };
        let (subtitles, beside) = match (container, format) {
            (Container::Subtitles(_), _) => Beside::default(),
            (_, Some(format)) => subtitles(args, format, &presentation, self.path.as_deref())?,
            (Container::Hls, _) => Beside::default(),
            (_, None) if coding.is_some() || args.subs_format.is_none() || !has_subtitles(&presentation) => Beside::default(),
            (Container::Mkv, None) => bail!("tx3g is for MP4: leave --subs-format out, or say wvtt"),
            (_, None) => bail!("only MP4 and Matroska hold subtitles as tracks: name the output .mp4 or .mkv, or say --subs-format vtt"),
        };
        self.files = self.path.iter().cloned().chain(beside).collect();
        let apart = |target: &PathBuf| stand_apart(args.report.as_deref(), &args.source.requests, target);
        self.files.iter().try_for_each(apart)?;
        if args.split.is_some() && format.is_some() && has_subtitles(&presentation) {
            bail!("files that are split hold their subtitles: name the output .mkv, or say --subs none");
        }
        let captions = args
            .captions
            .as_ref()
            .map(|captions| channel(captions, &presentation))
            .transpose()?;
        let muxer = container
            .muxer()
            .with_subtitles(coding.unwrap_or_default())
            .with_captions(captions)
            .with_chapters(args.chapters == Chapters::Dateranges)
            .keeping_protected(args.format.map(Container::from) == Some(Container::Raw))
            .keeping_cut(matches!(args.on_missing, Missing::Gap));
        let outputs = Outputs {
            main: take_up.of(main),
            subtitles: subtitles.into_iter().map(|(track, output)| (track, take_up.of(output))).collect(),
            subtitle_format: format.unwrap_or_default(),
            origin: Some(muxer.origin()),
        };
        let mut options = aqueduct::Options::default();
        options.concurrency = args.transfer.concurrency;
        options.budget_bytes = args.transfer.buffer;
        options.on_missing = args.on_missing.into();
        let pipeline = Pipeline::over(Arc::clone(&self.source.fetcher))
            .with_resolver(self.source.resolver.clone())
            .with_decrypter(args.keys.decrypter()?)
            .with_options(options)
            .with_progress(progress.clone())
            .with_stop(self.stop.clone());
        events::begin(&presentation, &self.files);
        let ticker = news.map(|news| Ticker::start(progress.clone(), news));
        let display = Display::start(progress, args.source.words.quiet || ticker.is_some());
        // On the heap: it is large, and lies in every future above.
        let report = match args.split {
            None => Box::pin(pipeline.with_muxer(muxer).run(presentation, outputs)).await,
            Some(at) => {
                let muxer = Split::new(muxer).at_changes(at == SplitAt::Changes);
                Box::pin(pipeline.with_muxer(muxer).run(presentation, outputs)).await
            }
        };
        drop((display, ticker));
        Ok(report)
    }
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

/// Refuses what makes no sense for a part of the film, or for what is no film.
fn refuse_to_split(args: &Args, container: Container) -> anyhow::Result<()> {
    match container {
        Container::Hls => bail!("a folder of segments keeps its discontinuities: leave --split out"),
        Container::Subtitles(_) => bail!("subtitles alone are one file: leave --split out"),
        _ if args.chapters != Chapters::None => bail!("chapters are of the whole: leave --split or --chapters out"),
        _ => Ok(()),
    }
}

/// Refuses captions where there is no place for them.
fn refuse_captions(args: &Args, container: Container, is_file: bool) -> anyhow::Result<()> {
    match container {
        Container::Subtitles(_) => Ok(()),
        Container::Mp4 | Container::Mkv if args.subs_format.and_then(Subtitles::beside).is_some() => {
            bail!(
                "captions are a track of the film: leave --subs-format out, or name an output that ends in .vtt or .srt for a file of them"
            )
        }
        Container::Mkv => Ok(()),
        Container::Mp4 if is_file => Ok(()),
        _ => bail!(
            "captions stay in the video: name the output .mp4 or .mkv for a track of them, or an output that ends in .vtt or .srt for a file"
        ),
    }
}

/// Whether a folder of segments is wanted, and `path` is one already: whole, or as far as an interrupted run came.
pub(crate) fn is_recording(args: &Args, path: &Path) -> bool {
    let (_, journal) = aqueduct::mux::part_paths(path);
    wanted(args, path) == Some(Container::Hls) && path.is_dir() && (path.join("index.m3u8").is_file() || journal.is_file())
}

/// The container that is asked for, by the options or by the extension of a name.
fn wanted(args: &Args, path: &Path) -> Option<Container> {
    args.format.map(Container::from).or_else(|| by_extension(path))
}

/// The output that will stand at `path`.
pub(crate) fn output(args: &Args, path: &Path) -> anyhow::Result<Output> {
    let opened = match wanted(args, path) {
        Some(Container::Hls) => Output::folder(path, args.overwrite),
        _ if args.split.is_some() => Output::numbered(path, args.overwrite),
        _ => Output::file(path, args.overwrite),
    };
    Ok(opened.map_err(Error::Output)?)
}

/// The container that the extension of a name stands for.
fn by_extension(path: &Path) -> Option<Container> {
    let extension = path.extension()?.to_string_lossy().to_ascii_lowercase();
    Container::from_extension(&extension)
}

/// The container that the options and the name of the output ask for. A plain file has one already.
fn container(args: &Args, path: &Path, presentation: &Presentation) -> anyhow::Result<Container> {
    if let Some(format) = args.format {
        return Ok(format.into());
    }
    match by_extension(path) {
        Some(container) => Ok(container),
        None if presentation.tracks.iter().all(|track| track.kind == TrackKind::File) => Ok(Container::Raw),
        None => bail!(
            "{}: no container for this extension: use .mp4, .mkv or .ts, or say --format",
            path.display()
        ),
    }
}

/// The container of a stream that goes to standard output without a word of what it should be.
fn streamed(presentation: &Presentation) -> Container {
    let joined = presentation.tracks.iter().filter(|track| track.kind != TrackKind::Subtitles);
    if joined.count() > 1 { Container::Fmp4 } else { Container::AsIs }
}

/// The channel of the captions that are wanted.
fn channel(captions: &Captions, presentation: &Presentation) -> anyhow::Result<CaptionChannel> {
    let language = match captions {
        Captions::Channel(channel) => return Ok(*channel),
        Captions::Language(language) => language,
    };
    let told = || presentation.tracks.iter().flat_map(|track| &track.captions);
    // RFC 4647, 3.3.1: a tag takes those below it.
    let below = |tag: &str| {
        let start = tag.get(..language.len()).is_some_and(|start| start.eq_ignore_ascii_case(language));
        start && matches!(tag.as_bytes().get(language.len()), None | Some(b'-'))
    };
    let mut found = told().filter(|captions| captions.language.as_deref().is_some_and(below)).peekable();
    if found.peek().is_none() {
        let offers: Vec<String> = told().map(ToString::to_string).collect();
        let offers = if offers.is_empty() { "none".into() } else { offers.join("; ") };
        bail!("no captions in \"{language}\"; on offer: {offers}");
    }
    let readable = found.find_map(|captions| CaptionChannel::named(&captions.instream_id));
    readable.ok_or_else(|| anyhow::anyhow!("captions in \"{language}\" are CEA-708, which cannot be read: only CC1 to CC4 can"))
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
