//! Making a file anew of the whole stream, where neither mending nor filling in helps.
//!
//! It is the ordinary run of the stream that the report names, into a part file beside the old file, and can be taken up like any
//! other. The new file replaces the old one when it is whole and lacks nothing that the old one has; until then the old one
//! stays as it is.

mod proof;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use aqueduct_core::{
    Clear, Decrypt, Fetch, GapCause, Item, Mux, MuxError, Presentation, Receiver, Resolve, Resource, Sender, Stop, Summary, Track, TrackId,
    TrackKind, Write,
};
use aqueduct_fetch::{OnMissing, Permits};
use aqueduct_mux::{
    Auto, Container, Finished, Job, Output, OutputError, Remaker, SplitFile, StageError, SubtitleFormat, Subtitles, can_go_on,
    is_of_repair, part_paths,
};
use tokio::sync::Barrier;

use self::proof::{Proof, ShownBy};
use super::matching::Matcher;
use super::mend::{Wanted, choose};
use super::proving::Fronts;
use super::recall::{Recall, Shown, through};
use super::{Damage, Lacks, Need, RepairError, Repaired, State, UNTOLD};
use crate::error::numbers;
use crate::json::{PROGRAM, chain};
use crate::lane::Stages;
use crate::pipeline::panicked;
use crate::resume::{self, Beyond};
use crate::{Error, FileReport, Found, Pipeline, begin};

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// Fetches the whole stream and makes the file anew. Where that cannot be, what only that mends is left as it is.
    pub(super) async fn remake(
        &self,
        presentation: &Presentation,
        damage: &Damage,
        state: State,
        repaired: &mut Repaired,
    ) -> Result<(), RepairError> {
        let why = std::mem::take(&mut repaired.whole);
        let lanes: Vec<Track> = presentation
            .tracks
            .iter()
            .filter(|track| damage.is_lane(track.id))
            .cloned()
            .collect();
        let refusal = match refusal(damage, &lanes, state) {
            Some(refusal) => Some(refusal.to_owned()),
            None => match self.cannot_be_had(presentation, damage, &lanes, state).await? {
                Some(why) => Some(format!("none of what is missing can be had{why}")),
                None => self.make_anew(presentation, damage, &lanes, state, repaired).await?,
            },
        };
        match refusal {
            None => repaired.remade = why,
            Some(refusal) => repaired.left.append(why, |why| {
                format!("{why}: only the whole stream, fetched again, makes it whole, and {refusal}")
            }),
        }
        Ok(())
    }

    /// Gives why the file stays as it is, if it does.
    async fn make_anew(
        &self,
        presentation: &Presentation,
        damage: &Damage,
        lanes: &[Track],
        state: State,
        repaired: &mut Repaired,
    ) -> Result<Option<String>, RepairError> {
        let others = can_go_on(&damage.file) && !is_of_repair(&damage.file);
        let counters = self.common.progress.counters();
        let before = counters.segments_written();
        let container = damage.report.output().container.as_deref().unwrap_or_default();
        let lost = Lost::default();
        let split = damage.part.and_then(|(_, index)| SplitFile::named(container, index));
        let made = match (Auto::named(container), SubtitleFormat::named(container)) {
            _ if damage.is_split => match split {
                Some(muxer) => self.make(presentation, damage, lanes, muxer, None).await,
                None => return Ok(Some(format!("it is not known what it is made of: {AGAIN}"))),
            },
            (Some(muxer), _) => self.make(presentation, damage, lanes, muxer, None).await,
            // Their times count from where the film begins.
            (None, Some(format)) => {
                let Some(film) = Clock::of(presentation, &damage.report, &lost) else {
                    return Ok(Some("the film that it stands beside is not there".into()));
                };
                let muxer = Subtitles::new(format, Some(film.muxer.origin()));
                self.make(presentation, damage, lanes, muxer, Some(film)).await
            }
            (None, None) => {
                return Ok(Some(format!("it is not made by itself: {AGAIN}")));
            }
        };
        let (finished, shown_by) = match made {
            Ok(made) => made,
            Err(RepairError::Unfit { what }) => {
                repaired.waiting = counters.segments_written().saturating_sub(before);
                return Ok(Some(format!("that failed: {what}")));
            }
            Err(RepairError::Run(Error::Output(
                error @ (OutputError::OtherStream { .. } | OutputError::OtherVersion { .. } | OutputError::Foreign { .. }),
            ))) => return Ok(Some(format!("something is in its way: {}", chain(&error)))),
            Err(error) => {
                // What is of another stream is of no use. What the user began is the user's to give up.
                if matches!(error, RepairError::Run(Error::OtherStream { .. })) && !others {
                    discard(damage.file.clone()).await;
                }
                return Err(error);
            }
        };
        let (proof, streamed) = (Proof::of(damage, state, shown_by), lanes.iter().any(is_streamed));
        let proved = tokio::task::spawn_blocking(move || proof.refuses(&finished, streamed).map(|refusal| (finished, refusal)));
        let (finished, refusal) = proved.await.map_err(panicked)??;
        let refusal = lost
            .get()
            .map(|why| format!("the beginning of the film, which its times count from, cannot be had: {why}"))
            .or(refusal);
        if refusal.is_some() {
            drop(finished);
            if !others {
                discard(damage.file.clone()).await;
            }
            return Ok(refusal);
        }
        repaired.filled = damage.missing.saturating_sub(finished.tally.missing);
        repaired.left = Found::default();
        for gap in finished.tally.gaps.iter().filter(|gap| gap.cause.was_on_offer()) {
            let segments = numbers(gap.first_msn, gap.segments);
            repaired.left.add(format!("{segments} of {}: {}", gap.track, gap.cause));
        }
        repaired.to_its_end = lanes.iter().all(|track| !damage.is_recalled(track) || damage.goes_on(track));
        let Finished { output, summary, .. } = finished;
        let committed = tokio::task::spawn_blocking(move || output.commit());
        repaired.account = Some(committed.await.map_err(panicked)?.map_err(Error::Output)?);
        repaired.summary = Some(summary);
        Ok(None)
    }

    /// Why nothing that the file lacks can be had by now, as an appended fragment, where it lacks segments alone and it is so. What
    /// comes is dropped.
    async fn cannot_be_had(
        &self,
        presentation: &Presentation,
        damage: &Damage,
        lanes: &[Track],
        state: State,
    ) -> Result<Option<String>, RepairError> {
        if !state.is_right {
            return Ok(None);
        }
        let mut stages = self.stages(damage);
        let (mut asked, evidence) = (Vec::new(), damage.evidence(presentation, false));
        for (track, permits) in lanes.iter().zip(Permits::split(self.common.options.concurrency, lanes.len())) {
            if damage.lacks.segments.iter().any(|(of, ..)| *of == track.id.number()) {
                let needs = Arc::clone(&damage.needs);
                let is_lacking = move |number| needs.get(&number).is_some_and(|(need, _)| *need == Need::Missing);
                let recall = damage.recall(
                    track,
                    begin::has_keys(&self.decrypter),
                    stages.counterparts(track),
                    Shown::ByPlaylist(evidence),
                    is_lacking,
                )?;
                let fronts = recall.as_ref().map(Recall::fronts);
                let matcher = Matcher::new(&damage.report, track.id, track.live && recall.is_none(), stages.counterparts(track)).await?;
                let wanted = Wanted::Lacking(Arc::clone(&damage.needs));
                let clear = stages.spawn_through(track, permits, |items, outlet, stop| {
                    through(recall, items, stop.clone(), move |items| {
                        choose(matcher, wanted, usize::MAX, items, outlet, stop)
                    })
                });
                asked.push(damage.prove(&mut stages, presentation, fronts, clear));
            }
        }
        let sink = tokio::task::spawn_blocking(move || {
            let mut first = None;
            for item in asked.iter().flat_map(|lane| std::iter::from_fn(|| lane.recv_blocking().ok())) {
                match item {
                    Item::Segment { .. } => return Ok::<_, RepairError>(None),
                    Item::Gap { info, segments, cause } => {
                        first.get_or_insert_with(|| format!(": {} of {}: {cause}", numbers(info.msn, segments), info.track));
                    }
                    Item::Init { .. } => {}
                }
            }
            Ok(Some(first.unwrap_or_default()))
        });
        self.join(stages, sink).await
    }

    /// Runs the stream into a part file beside the file.
    async fn make(
        &self,
        presentation: &Presentation,
        damage: &Damage,
        lanes: &[Track],
        muxer: impl Mux,
        clock: Option<Clock>,
    ) -> Result<(Finished, ShownBy), RepairError> {
        let (progress, mut options) = (self.common.progress.clone(), self.common.options.clone());
        options.on_missing = OnMissing::Gap;
        for track in lanes {
            let duration = track.duration.unwrap_or_default();
            progress
                .counters()
                .expect(track.segments.unwrap_or(0), track.bytes.unwrap_or(0), duration);
        }
        let own = damage.recalled(presentation, lanes, |track| !damage.goes_on(track));
        let tracks: Vec<TrackId> = lanes.iter().map(|track| track.id).collect();
        let file = damage.file.clone();
        let opened = tokio::task::spawn_blocking(move || Output::replacing(&file));
        let output = opened.await.map_err(panicked)?.map_err(Error::Output)?;
        let job = begin::job(presentation, &tracks, muxer.identity(), &self.decrypter, &output).by_repair();
        let (has_keys, before) = (begin::has_keys(&self.decrypter), progress.counters().bytes_written());
        let (output, jobs) = begin::begin(&own, job, has_keys, output, options.on_missing, &progress).await?;
        let had = progress.counters().bytes_written().saturating_sub(before);
        let to_come = damage.report.output().bytes.saturating_sub(had);
        output.check_space(to_come).map_err(Error::Output)?;

        let stop = self.common.stop.child();
        let mut permits = Permits::split(options.concurrency, lanes.len() + usize::from(clock.is_some())).into_iter();
        let (resolver, fetcher) = (Arc::clone(&self.resolver), Arc::clone(&self.fetcher));
        let mut stages = Stages::new(resolver, fetcher, self.decrypter.clone(), options, &progress, &stop).of_repair();
        damage.expect_padding(&mut stages);
        let goes_on = !jobs.is_empty();
        let evidence = damage.evidence(presentation, goes_on);
        let mut jobs = resume::with_all(jobs, lanes);
        let matched = Arc::new(Barrier::new(jobs.len()));
        let (mut clear, mut asked) = (Vec::new(), Vec::new());
        if let Some(clock) = clock
            && let Some(permits) = permits.next()
        {
            let film = stages.spawn_through(&clock.track, permits, |items, outlet, _| first_of_periods(items, outlet));
            tokio::task::spawn_blocking(move || clock.run(&film));
        }
        for (track, permits) in lanes.iter().zip(permits) {
            let recall = match damage.goes_on(track) {
                true => None,
                false => damage.recall(track, has_keys, stages.counterparts(track), Shown::ByPlaylist(evidence), |_| true)?,
            };
            let fronts = recall.as_ref().map(Recall::fronts);
            asked.extend(fronts.clone());
            let same = Same {
                // What comes as one stream has units only where the network cuts it.
                matcher: if is_streamed(track) {
                    None
                } else {
                    Some(Matcher::new(&damage.report, track.id, track.live && recall.is_none(), stages.counterparts(track)).await?)
                },
                expected: track.segments.filter(|_| recall.is_none()),
                period: damage.part.map(|(period, _)| period),
                stop: stop.clone(),
            };
            let mut job = jobs.iter().position(|job| job.track == track.id).map(|at| jobs.swap_remove(at));
            if let Some(job) = &mut job {
                stages.expect_padding(track.id, std::mem::take(&mut job.padded));
            }
            let again = resume::Again {
                fetcher: stages.fetcher(),
                lender: stages.lender(track),
                counterparts: stages.counterparts(track),
            };
            let (matched, all) = (Arc::clone(&matched), stop.clone());
            let lane = stages.spawn_through(track, permits, |items, outlet, source| {
                through(recall, items, all, |items| async move {
                    let Some(job) = job else {
                        return same.run(items, outlet, &source).await;
                    };
                    let (known, to_resume) = aqueduct_core::channel(1);
                    let resumed = resume::run(job, again, to_resume, outlet, matched, source.clone());
                    let (same, resumed) = tokio::join!(same.run(items, known, &source), resumed);
                    same.and(resumed)
                })
            });
            clear.push((track.id, damage.prove(&mut stages, presentation, fronts, lane)));
        }
        let muxer = Complete {
            muxer,
            lacks: Arc::clone(&damage.lacks),
        };
        let sink = tokio::task::spawn_blocking(move || {
            aqueduct_mux::run(muxer, &own, clear, output, &progress, &stop).map_err(|error| match error {
                StageError::Output(error) => RepairError::Run(Error::Output(error)),
                error => RepairError::Unfit { what: chain(&error) },
            })
        });
        let finished = self.join(stages, sink).await?;
        // Which segments the earlier run had from the addresses in the report, nobody knows.
        let is_recalled = |track: &Track| damage.is_recalled(track) && !damage.goes_on(track);
        Ok((
            finished,
            match goes_on && damage.missing > 0 && lanes.iter().any(is_recalled) {
                true => ShownBy::All,
                false => ShownBy::These(asked.iter().filter_map(Fronts::first).collect()),
            },
        ))
    }
}

const AGAIN: &str = "the command that made it does it again, with --overwrite";

/// Why a file cannot be made anew, as far as that is known ahead.
fn refusal(damage: &Damage, lanes: &[Track], state: State) -> Option<&'static str> {
    // It tells no title, and nothing else that is not in its segments.
    let is_media_alone = damage
        .report
        .output()
        .form
        .as_deref()
        .is_some_and(|form| form.starts_with(Remaker::CONCATENATION));
    if lanes.is_empty() {
        Some("its tracks are not there")
    } else if damage.is_alone && !(is_media_alone && lanes.iter().all(|track| damage.is_listed(track))) {
        Some(UNTOLD)
    } else if !damage.is_concatenation() && (damage.report.document().program != PROGRAM || lanes.iter().any(is_streamed)) {
        // Another version may write the same media in another way, and one stream tells nothing of its parts.
        Some("nothing could show that it is the same film: the command that made it does it again, with --overwrite")
    } else if lanes.iter().any(|track| track.live && !damage.is_recalled(track)) {
        Some("the stream is live: its window has moved on")
    } else if state.is_obstructed {
        Some("other parts of it cannot be had")
    } else if can_go_on(&damage.file) && !has_part(damage) {
        Some("it was interrupted: the command that began it goes on first")
    } else {
        None
    }
}

/// Whether anything grows beside it. An empty part is what a run leaves that was killed before it took anything up.
fn has_part(damage: &Damage) -> bool {
    let part = part_paths(&damage.file).0.symlink_metadata();
    part.is_ok_and(|part| !part.is_file() || part.len() > 0)
}

/// Whether a track is one request, which cannot begin in the middle.
fn is_streamed(track: &Track) -> bool {
    track.kind == TrackKind::File && track.segments.is_none()
}

/// Removes what was begun.
async fn discard(file: PathBuf) {
    let begun = move || {
        Output::replacing(&file)?
            .anew()
            .begin(&Job::new(&Presentation::default(), &[], ""))
            .map(drop)
    };
    match tokio::task::spawn_blocking(begun).await.map_err(panicked) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the part file could not be removed"),
        Err(error) => tracing::warn!(%error, "the part file could not be removed"),
    }
}

/// The stage that refuses another stream than that of the report.
struct Same {
    matcher: Option<Matcher>,
    /// What is of any other period is not fetched.
    period: Option<u64>,
    /// How many segments the playlist has, where that is known.
    expected: Option<u64>,
    /// What ends all tracks.
    stop: Stop,
}

impl Same {
    async fn run(mut self, items: Receiver<Item<Resource>>, outlet: Sender<Item<Resource>>, source: &Stop) -> Result<Beyond, Error> {
        let ended = self.all(&items, &outlet, source).await;
        if ended.is_err() {
            // Before the outlet closes: a muxer that took this track for finished would go on with the others alone.
            self.stop.drain();
        }
        ended.map(|()| Beyond::default())
    }

    async fn all(&mut self, items: &Receiver<Item<Resource>>, outlet: &Sender<Item<Resource>>, source: &Stop) -> Result<(), Error> {
        while let Ok(item) = items.recv().await {
            if let Some(matcher) = &mut self.matcher {
                matcher.find(&item, |_, _| {}).await?;
            }
            if outlet.send(self.of_period(item)).await.is_err() {
                return Ok(());
            }
        }
        // A resolver that was stopped, or that failed, says so itself.
        if source.is_draining() {
            return Ok(());
        }
        self.matcher.as_ref().map_or(Ok(()), |matcher| matcher.finish(self.expected))
    }
}

impl Same {
    /// The item, or the place of one that is of another period.
    fn of_period(&self, item: Item<Resource>) -> Item<Resource> {
        match item {
            Item::Segment { info, .. } if self.period.is_some_and(|period| period != info.discontinuity_sequence) => Item::Gap {
                info,
                segments: 1,
                cause: GapCause::Tagged,
            },
            Item::Gap { info, segments, .. } if self.period.is_some_and(|period| period != info.discontinuity_sequence) => Item::Gap {
                info,
                segments,
                cause: GapCause::Tagged,
            },
            item => item,
        }
    }
}

/// Why the beginning of a period of the film cannot be had.
type Lost = Arc<OnceLock<String>>;

/// The film that subtitles stand beside, of which only the beginning of each period is fetched: it tells what their times count from.
struct Clock {
    track: Track,
    muxer: Auto,
    lost: Lost,
}

impl Clock {
    /// That of the first track of the main output.
    fn of(presentation: &Presentation, report: &FileReport, lost: &Lost) -> Option<Self> {
        let main = report.document().outputs.first()?;
        let is_of_main = |track: &&Track| main.tracks.iter().any(|known| known.number == track.id.number());
        let mut tracks = presentation.tracks.iter().filter(|track| track.kind != TrackKind::Subtitles);
        let track = tracks.find(is_of_main)?.clone();
        // What it makes of the media is nobody's.
        let mut muxer = Container::Raw.muxer();
        muxer.begin(&Presentation::new(vec![track.clone()]), true).ok()?;
        let lost = Arc::clone(lost);
        Some(Self { track, muxer, lost })
    }

    /// It blocks. Where it ends, nobody waits for what it does not tell.
    fn run(mut self, film: &Receiver<Item<Clear>>) {
        let mut writes = Vec::new();
        while let Ok(item) = film.recv_blocking() {
            let lost = match &item {
                Item::Gap { cause, .. } if cause.was_on_offer() => Some(cause.to_string()),
                _ => None,
            };
            let pushed = self.muxer.push(self.track.id, item, &mut writes);
            if let Some(why) = lost.or(pushed.err().map(|error| error.to_string())) {
                // The first counts.
                let _ = self.lost.set(why);
            }
            writes.clear();
        }
    }
}

/// The stage that has the first segment of each period fetched, and its initialization section.
async fn first_of_periods(items: Receiver<Item<Resource>>, outlet: Sender<Item<Resource>>) -> Result<Beyond, Error> {
    let (mut section, mut period) = (None, None);
    while let Ok(item) = items.recv().await {
        let out = match item {
            Item::Init { .. } => {
                section = Some(item);
                continue;
            }
            Item::Segment { info, payload } if period != Some(info.discontinuity_sequence) => {
                period = Some(info.discontinuity_sequence);
                Item::Segment { info, payload }
            }
            // Its playing time counts.
            Item::Segment { info, .. } => Item::Gap {
                info,
                segments: 1,
                cause: GapCause::Tagged,
            },
            gap @ Item::Gap { .. } => gap,
        };
        let section = section.take().filter(|_| matches!(out, Item::Segment { .. }));
        for item in section.into_iter().chain([out]) {
            if outlet.send(item).await.is_err() {
                return Ok(Beyond::default());
            }
        }
    }
    Ok(Beyond::default())
}

/// A muxer that goes on without a segment only where the old file lacks it too.
struct Complete<M> {
    muxer: M,
    lacks: Arc<Lacks>,
}

impl<M: Mux> Mux for Complete<M> {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        self.muxer.begin(presentation, seekable)
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        match &item {
            Item::Gap { info, segments, cause } if cause.was_on_offer() && !self.lacks.have(track, info.msn, *segments) => {
                Err(MuxError::Media {
                    what: format!("the file has it, and it cannot be had now: {cause}"),
                })
            }
            _ => self.muxer.push(track, item, writes),
        }
    }

    fn identity(&self) -> String {
        self.muxer.identity()
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        self.muxer.checkpoint(state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        self.muxer.restore(state)
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        self.muxer.finish(writes)
    }
}
