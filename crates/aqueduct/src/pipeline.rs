//! The pipeline: four roles, the channels between them, and their common end.

use std::sync::Arc;

use aqueduct_core::{Clear, Decrypt, Fetch, Input, Item, Limits, Mux, Presentation, Progress, Receiver, Resolve, Stop, Track, TrackId};
use aqueduct_decrypt::ClearKey;
use aqueduct_fetch::{Concurrency, FetchError, HttpFetcher, OnMissing, Permits};
use aqueduct_mux::{Auto, Container, Finished, Origin, Output, StageError, SubtitleFormat, Subtitles};
use aqueduct_resolve::PageResolver;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::json::chain;
use crate::lane::{Failure, Stages};
use crate::verdict::Verdict;
use crate::{Error, Report, begin, resume};

/// The bounds of a pipeline.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How many requests are open at once, over all tracks: what each origin turns out to be good for, and 32 at most.
    /// Each track has one place of its own.
    pub concurrency: Concurrency,
    /// How many bytes all payloads of the process may take: 28 MiB. At least the concurrency times the size of a
    /// segment keeps the connections busy.
    pub budget_bytes: usize,
    /// How many items wait between two stages of a track: 16.
    pub channel_items: usize,
    /// What to do about a segment that cannot be had.
    pub on_missing: OnMissing,
    /// The size limits of what is fetched.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: Concurrency::default(),
            budget_bytes: 28 << 20,
            channel_items: 16,
            on_missing: OnMissing::default(),
            limits: Limits::default(),
        }
    }
}

/// Where the tracks of a presentation go.
#[derive(Debug)]
pub struct Outputs {
    /// The one output of all tracks that have none of their own.
    pub main: Output,
    /// Outputs of subtitle tracks.
    pub subtitles: Vec<(TrackId, Output)>,
    /// What those are written as.
    pub subtitle_format: SubtitleFormat,
    /// What the subtitles count their times from: [`Auto::origin`] of the muxer for `main`.
    pub origin: Option<Origin>,
}

impl From<Output> for Outputs {
    fn from(main: Output) -> Self {
        Self {
            main,
            subtitles: Vec::new(),
            subtitle_format: SubtitleFormat::default(),
            origin: None,
        }
    }
}

/// Four roles, wired.
#[derive(Debug)]
pub struct Pipeline<R = PageResolver, F = HttpFetcher, D = ClearKey, M = Auto> {
    pub(crate) resolver: Arc<R>,
    pub(crate) fetcher: Arc<F>,
    pub(crate) decrypter: D,
    pub(crate) muxer: M,
    pub(crate) common: Common,
}

/// What does not depend on the roles.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) options: Options,
    pub(crate) progress: Progress,
    pub(crate) stop: Stop,
}

impl Pipeline {
    /// The bundled roles: [`PageResolver`], [`HttpFetcher`], [`ClearKey`] and an [`Auto`] muxer that writes MP4.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when the HTTP client cannot be made with these options.
    pub fn new(options: aqueduct_fetch::Options) -> Result<Self, FetchError> {
        HttpFetcher::new(options).map(Self::over)
    }
}

impl<F: Fetch> Pipeline<PageResolver, F> {
    /// The bundled roles over any fetcher; several pipelines can share one in an [`Arc`].
    pub fn over(fetcher: F) -> Self {
        Self {
            resolver: Arc::default(),
            fetcher: Arc::new(fetcher),
            decrypter: ClearKey::new(),
            muxer: Container::Mp4.muxer(),
            common: Common::default(),
        }
    }
}

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// The same with another resolver.
    #[must_use]
    pub fn with_resolver<T: Resolve>(self, resolver: T) -> Pipeline<T, F, D, M> {
        Pipeline {
            resolver: Arc::new(resolver),
            fetcher: self.fetcher,
            decrypter: self.decrypter,
            muxer: self.muxer,
            common: self.common,
        }
    }

    /// The same with another fetcher. The resolver and the key store use it too.
    #[must_use]
    pub fn with_fetcher<T: Fetch>(self, fetcher: T) -> Pipeline<R, T, D, M> {
        Pipeline {
            resolver: self.resolver,
            fetcher: Arc::new(fetcher),
            decrypter: self.decrypter,
            muxer: self.muxer,
            common: self.common,
        }
    }

    /// The same with another decrypter. Each track gets a clone of it.
    #[must_use]
    pub fn with_decrypter<T: Decrypt>(self, decrypter: T) -> Pipeline<R, F, T, M> {
        Pipeline {
            resolver: self.resolver,
            fetcher: self.fetcher,
            decrypter,
            muxer: self.muxer,
            common: self.common,
        }
    }

    /// The same with another muxer.
    #[must_use]
    pub fn with_muxer<T: Mux>(self, muxer: T) -> Pipeline<R, F, D, T> {
        Pipeline {
            resolver: self.resolver,
            fetcher: self.fetcher,
            decrypter: self.decrypter,
            muxer,
            common: self.common,
        }
    }

    /// The same with other bounds.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.common.options = options;
        self
    }

    /// The same with counters and events that somebody watches.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.common.progress = progress;
        self
    }

    /// The same with a stop that somebody holds.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.common.stop = stop;
        self
    }

    /// Finds the tracks of `input`.
    ///
    /// # Errors
    ///
    /// [`Error::Resolve`], or [`Error::Stopped`] when the stop drains.
    pub async fn resolve(&self, input: &Input) -> Result<Presentation, Error> {
        tokio::select! {
            () = self.common.stop.draining() => Err(Error::Stopped),
            resolved = self.resolver.resolve(input, &*self.fetcher) => resolved.map_err(Error::Resolve),
        }
    }

    /// Carries all tracks of `presentation` to `outputs`, and makes them final when every stage ended well.
    ///
    /// All tasks are joined before it returns. The one exception is a write to standard output that blocks while
    /// the pipeline is aborted: nobody can interrupt it, so its thread is left behind.
    ///
    /// # Errors
    ///
    /// The earliest real error of any stage; nothing stands under a final name then. Only when the outputs themselves
    /// cannot be renamed may some of several have their names already.
    pub async fn run(self, presentation: Presentation, outputs: impl Into<Outputs>) -> Result<Report, Error> {
        let Outputs {
            main,
            subtitles,
            subtitle_format,
            origin,
        } = outputs.into();
        let Self {
            resolver,
            fetcher,
            mut decrypter,
            muxer,
            common,
        } = self;
        let Common { options, progress, stop } = common;
        decrypter.keep_cut(options.on_missing == OnMissing::Gap);
        // A failure ends this run, not what else its holder stops.
        let stop = stop.child();
        let presentation = Arc::new(presentation);
        for track in &presentation.tracks {
            let duration = track.duration.unwrap_or_default();
            progress
                .counters()
                .expect(track.segments.unwrap_or(0), track.bytes.unwrap_or(0), duration);
        }
        let of_main = |track: &&Track| !subtitles.iter().any(|(beside, _)| *beside == track.id);
        let on_main: Vec<TrackId> = presentation.tracks.iter().filter(of_main).map(|track| track.id).collect();
        let has_keys = begin::has_keys(&decrypter);
        let job = begin::job(&presentation, &on_main, muxer.identity(), &decrypter, &main);
        let begun = Box::pin(begin::begin(&presentation, job, has_keys, main, options.on_missing, &progress));
        let (main, mut jobs) = begun.await?;
        let mut beside = Vec::new();
        for (track, output) in subtitles {
            let muxer = Subtitles::new(subtitle_format, origin.clone());
            let job = begin::job(&presentation, &[track], muxer.identity(), &decrypter, &output);
            let begun = Box::pin(begin::begin(&presentation, job, has_keys, output, options.on_missing, &progress));
            let (output, resumed) = begun.await?;
            jobs.extend(resumed);
            beside.push((track, muxer, output));
        }
        jobs = resume::with_all(jobs, &presentation.tracks);
        let matched = Arc::new(Barrier::new(jobs.len()));

        let permits = Permits::split(options.concurrency, presentation.tracks.len());
        let mut stages = Stages::new(resolver, fetcher, decrypter, options, &progress, &stop);
        let mut lanes = Vec::new();
        for (track, permits) in presentation.tracks.iter().zip(permits) {
            let job = jobs.iter().position(|job| job.track == track.id).map(|at| jobs.swap_remove(at));
            let clear = match job {
                Some(mut job) => {
                    stages.expect_padding(track.id, std::mem::take(&mut job.padded));
                    let again = resume::Again {
                        fetcher: stages.fetcher(),
                        lender: stages.lender(track),
                        counterparts: stages.counterparts(track),
                    };
                    let (matched, all) = (Arc::clone(&matched), stop.clone());
                    stages.spawn_through(track, permits, |named, outlet, source| async move {
                        let open = outlet.clone();
                        let ended = resume::run(job, again, named, outlet, matched, source).await;
                        // A muxer that sees the lane end would complete, and so change, what is refused.
                        if ended.is_err() {
                            all.abort();
                        }
                        drop(open);
                        ended
                    })
                }
                None => stages.spawn(track, permits),
            };
            lanes.push((track.id, clear));
        }

        let on_disk = main.is_on_disk();
        let mut muxers = Muxers {
            presentation: Arc::clone(&presentation),
            progress: progress.clone(),
            stop: stop.clone(),
            running: JoinSet::new(),
        };
        let beside: Vec<_> = beside
            .into_iter()
            .map(|(track, muxer, output)| (muxer, lanes.extract_if(.., |(known, _)| *known == track).collect(), output))
            .collect();
        // First: subtitles wait for what it tells of the time.
        muxers.spawn(muxer, lanes, main);
        for (muxer, lane, output) in beside {
            muxers.spawn(muxer, lane, output);
        }

        let mut verdict = Verdict::default();
        let mut finished = Vec::new();
        let mut running = muxers.running;
        while !stages.is_empty() || !running.is_empty() {
            tokio::select! {
                Some(ended) = stages.ended() => match ended {
                    Ok(beyond) => verdict.is_beyond(beyond),
                    Err(Failure::Live(error)) if progress.counters().segments_written() > 0 => {
                        tracing::warn!("the live stream can no longer be followed: {}", chain(&error));
                        verdict.ended.get_or_insert(error);
                        stop.drain();
                    }
                    Err(Failure::Live(error) | Failure::Source(error)) => verdict.fail(error, stages.source()),
                    Err(Failure::Fatal(error)) => verdict.fail(error, &stop),
                },
                Some(muxed) = running.join_next() => match muxed.map_err(panicked) {
                    Ok((number, Ok(done))) => finished.push((number, done)),
                    Ok((_, Err(error))) => verdict.fail(error.into(), &stop),
                    Err(error) => verdict.fail(error, &stop),
                },
                // A blocked write to a pipe cannot be interrupted.
                () = stop.aborted(), if !on_disk && stages.is_empty() => break,
            }
        }
        running.detach_all();
        if let Some(error) = stages.end_keys().await {
            verdict.fail(error, &stop);
        }
        // In the order of the outputs, whichever ended first.
        finished.sort_unstable_by_key(|(number, _)| *number);
        let finished = finished.into_iter().map(|(_, done)| done).collect();
        verdict.conclude(&presentation, finished, &progress, &stop)
    }
}

/// The muxers, each on a thread of its own: they block in reads and writes.
struct Muxers {
    presentation: Arc<Presentation>,
    progress: Progress,
    stop: Stop,
    /// With the number of the output.
    running: JoinSet<(usize, Result<Finished, StageError>)>,
}

impl Muxers {
    fn spawn<M: Mux>(&mut self, muxer: M, lanes: Vec<(TrackId, Receiver<Item<Clear>>)>, output: Output) {
        let (presentation, progress, stop) = (Arc::clone(&self.presentation), self.progress.clone(), self.stop.clone());
        let number = self.running.len();
        self.running
            .spawn_blocking(move || (number, aqueduct_mux::run(muxer, &presentation, lanes, output, &progress, &stop)));
    }
}

pub(crate) fn panicked(error: tokio::task::JoinError) -> Error {
    Error::Panicked(error.into())
}
