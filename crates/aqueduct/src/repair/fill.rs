//! Filling in what never came: the file is written anew beside the old one, of which it takes what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use aqueduct_core::{
    Clear, Decrypt, Fetch, GapCause, Item, Mux, MuxError, Presentation, Progress, Resolve, Summary, Track, TrackId, TrackKind, Write,
    channel,
};
use aqueduct_fetch::Permits;
use aqueduct_mux::{
    Concat, Film, Finished, Intake, Job, Output, OutputError, RefillLane, RefillMuxer, Remaker, SpliceLane, SpliceMuxer, StageError,
};

use super::matching::Matcher;
use super::mend::MOST_MADE;
use super::merging::{Merging, Old, Weave, tell_apart};
use super::proving::{Evidence, read};
use super::recall::{Recall, Shown, through};
use super::{Damage, RepairError, Repaired, UNTOLD};
use crate::error::numbers;
use crate::lane::Stages;
use crate::{Error, Pipeline, VerifyError, begin};

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// Writes the file anew with the segments that it lacks, if any of them can be had now.
    pub(super) async fn fill(&self, presentation: &Presentation, damage: &Damage, repaired: &mut Repaired) -> Result<(), RepairError> {
        let lanes: Vec<Track> = presentation
            .tracks
            .iter()
            .filter(|track| damage.is_lane(track.id))
            .cloned()
            .collect();
        let missing = |why: &str| format!("missing segments: {}: {why}", damage.missing);
        if !repaired.whole.is_empty() {
            // That brings them as well.
            return Ok(());
        }
        let refused = if lanes.iter().any(|track| track.live && !damage.is_recalled(track)) {
            Some("the stream is live, and its window has moved on")
        } else if !repaired.left.is_empty() {
            Some("the rest of the file is not sound")
        } else if lanes.is_empty() {
            Some("its track is not there")
        } else if damage.is_alone && !lanes.iter().all(|track| damage.is_listed(track)) {
            Some(UNTOLD)
        } else {
            None
        };
        if let Some(why) = refused {
            repaired.left.add(missing(why));
            return Ok(());
        }
        if !damage.is_concatenation() && !damage.is_mp4() {
            let form = damage.report.output().form.as_deref().unwrap_or("this container");
            let why = match &damage.filling {
                // What shows that an address is still that of a segment is not made again by itself.
                Some(Ok(_)) if lanes.iter().any(|track| damage.is_recalled(track)) => Some(format!(
                    "in {form} what comes later is made again with them, which proves nothing of a stream that was live"
                )),
                Some(Ok(_)) => None,
                Some(Err(why)) => Some(format!("in {form} what comes later is made again with them, and {why}")),
                None => Some(format!("in {form} what comes later would have to be made again")),
            };
            if let Some(why) = why {
                repaired.whole.add(missing(&why));
                return Ok(());
            }
        }
        if aqueduct_mux::can_go_on(&damage.file) {
            repaired
                .whole
                .add(missing("an unfinished run of the same output stands beside the file"));
            return Ok(());
        }
        // It takes the name of the file when it is whole; nothing is lost until then.
        let (file, container) = (damage.file.clone(), damage.report.output().container.clone().unwrap_or_default());
        let tracks: Vec<TrackId> = lanes.iter().map(|track| track.id).collect();
        let job = Job::new(presentation, &tracks, container).by_repair();
        let bytes = damage.report.output().bytes;
        let begun = tokio::task::spawn_blocking(move || {
            let mut output = Output::replacing(&file)?.anew();
            output.begin(&job)?;
            output.check_space(bytes)?;
            Ok(output)
        });
        let begun = begun.await.map_err(|error| Error::Panicked(error.into()))?;
        if let Err(error @ OutputError::Foreign { .. }) = &begun {
            repaired.left.add(missing(&format!("something is in its way: {error}")));
            return Ok(());
        }
        let output = begun.map_err(Error::Output)?;
        let has_keys = begin::has_keys(&self.decrypter);
        let stages = self.stages(damage);
        let written = if damage.is_mp4() {
            let (muxer, refills) = match refills(presentation, damage).await? {
                Ok(refills) => refills,
                Err(why) => {
                    repaired.whole.add(missing(&why));
                    return Ok(());
                }
            };
            let weaves = refills.into_iter().map(|refill| Weave::Samples(Box::new(refill)));
            let sources = Source::open(damage, &lanes, has_keys, weaves, &stages).await?;
            self.write_anew(stages, presentation, damage, sources, muxer, output).await
        } else if damage.filling.is_some() {
            let (muxer, splices) = match splices(presentation, damage, &lanes).await? {
                Ok(splices) => splices,
                Err(why) => {
                    repaired.whole.add(missing(&why));
                    return Ok(());
                }
            };
            let sources = Source::open(damage, &lanes, has_keys, splices.into_iter().map(Weave::Spliced), &stages).await?;
            self.write_anew(stages, presentation, damage, sources, muxer, output).await
        } else {
            let sources = Source::open(damage, &lanes, has_keys, [Weave::Bytes], &stages).await?;
            let wanted = damage.report.output().container.as_deref().unwrap_or_default();
            let whole = Whole(Concat::like(wanted, &head(damage)?));
            self.write_anew(stages, presentation, damage, sources, whole, output).await
        };
        let (finished, came) = match written {
            // What is fetched does not fit: the file stays as it is.
            Err(RepairError::Unfit { what }) => {
                repaired.whole.add(missing(&what));
                return Ok(());
            }
            Err(RepairError::Lacking { what }) => {
                repaired.left.add(missing(&what));
                return Ok(());
            }
            written => written?,
        };
        for gap in finished.tally.gaps.iter().filter(|gap| gap.cause.was_on_offer()) {
            let segments = format!("{} of {}: {}", numbers(gap.first_msn, gap.segments), gap.track, gap.cause);
            let refused = matches!(&gap.cause, GapCause::Failed(why) if REFUSED.contains(&why.as_str()));
            // What can be filled in comes first.
            if refused && came == 0 {
                repaired.whole.add(segments);
            } else {
                repaired.left.add(segments);
            }
        }
        repaired.filled = came;
        // Without anything new the file stays as it is.
        if came > 0 {
            let committed = tokio::task::spawn_blocking(move || finished.output.commit());
            let account = committed.await.map_err(|error| Error::Panicked(error.into()))?;
            repaired.account = Some(account.map_err(Error::Output)?);
        }
        Ok(())
    }

    async fn write_anew(
        &self,
        mut stages: Stages<R, F, D>,
        presentation: &Presentation,
        damage: &Damage,
        sources: Vec<Source>,
        muxer: impl Mux,
        output: Output,
    ) -> Result<(Finished, u64), RepairError> {
        let permits = Permits::split(self.common.options.concurrency, sources.len());
        let (mut lanes, mut merging) = (Vec::new(), Vec::new());
        for (source, permits) in sources.into_iter().zip(permits) {
            let (named, steps) = channel(1);
            let Source {
                track,
                matcher,
                plan,
                old,
                weave,
                intake,
                tail,
                recall,
            } = source;
            let fronts = recall.as_ref().map(Recall::fronts);
            let fetched = stages.spawn_through(&track, permits, |items, outlet, stop| {
                let expected = if recall.is_some() { None } else { track.segments };
                through(recall, items, stop.clone(), move |items| {
                    tell_apart(matcher, plan, expected, items, outlet, named, stop)
                })
            });
            let fetched = damage.prove(&mut stages, presentation, fronts, fetched);
            let (to_mux, clear) = channel(1);
            lanes.push((track.id, clear));
            let merge = Merging {
                old,
                steps,
                fetched,
                weave,
                intake,
                tail,
            };
            merging.push((merge, to_mux));
        }
        let (presentation, progress, stop) = (presentation.clone(), Progress::new(), self.common.stop.child());
        let sink = tokio::task::spawn_blocking(move || -> Result<(Finished, u64), RepairError> {
            std::thread::scope(|scope| {
                let muxing = scope.spawn(|| aqueduct_mux::run(muxer, &presentation, lanes, output, &progress, &stop));
                let merging: Vec<_> = merging
                    .into_iter()
                    .map(|(merging, to_mux)| {
                        let stop = stop.clone();
                        scope.spawn(move || {
                            let filled = merging.run(&to_mux);
                            if filled.is_err() {
                                stop.abort();
                            }
                            filled
                        })
                    })
                    .collect();
                let mut filled = Ok(0);
                for lane in merging {
                    let lane = lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    filled = match (filled, lane) {
                        (Ok(before), Ok(more)) => Ok(before + more),
                        // A lane that only stopped had another stop it.
                        (Ok(_) | Err(RepairError::Run(Error::Stopped)), Err(error)) | (Err(error), _) => Err(error),
                    };
                }
                let muxed: Result<Finished, StageError> = muxing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                // The first of the two that failed made the other fail.
                match (filled, muxed) {
                    (Ok(filled), Ok(finished)) => Ok((finished, filled)),
                    (Err(error @ (RepairError::Unfit { .. } | RepairError::Lacking { .. })), _) => Err(error),
                    (_, Err(StageError::Mux(error))) => Err(unfit(&error)),
                    (_, Err(error)) => Err(Error::from(error).into()),
                    (Err(error), Ok(_)) => Err(error),
                }
            })
        });
        self.join(stages, sink).await
    }
}

pub(super) fn unfit(error: &(dyn std::error::Error + 'static)) -> RepairError {
    RepairError::Unfit {
        what: crate::json::chain(error),
    }
}

/// What takes an MP4 apart and puts it together again; or why it cannot be.
async fn refills(presentation: &Presentation, damage: &Damage) -> Result<Result<(RefillMuxer, Vec<RefillLane>), String>, RepairError> {
    let (path, report, presentation) = (damage.file.clone(), damage.report.clone(), presentation.clone());
    let read = tokio::task::spawn_blocking(move || {
        let mut file = File::open(&path).map_err(|source| cannot_be_opened(&path, source))?;
        let film = match Film::read(&mut file) {
            Ok(film) => film,
            Err(error) => return Ok(Err(format!("its index cannot be read: {error}"))),
        };
        let output = report.output();
        let mut lanes: Vec<(TrackId, Vec<usize>)> = output.tracks.iter().map(|track| (TrackId::new(track.number), Vec::new())).collect();
        let mut firsts: Vec<(usize, u64)> = film
            .tracks
            .iter()
            .filter_map(|track| Some((track.number(), track.next_offset()?)))
            .collect();
        let mut take = |lane: TrackId, here: &dyn Fn(u64) -> bool| {
            let lane = lanes.iter_mut().find(|(known, _)| *known == lane);
            if let Some((_, numbers)) = lane {
                numbers.extend(firsts.extract_if(.., |(_, first)| here(*first)).map(|(number, _)| number));
            }
        };
        report.units::<VerifyError>(|unit| {
            if let Some(piece) = &unit.piece {
                let end = piece.offset.saturating_add(piece.length);
                take(TrackId::new(unit.track), &|first| (piece.offset..end).contains(&first));
            }
            Ok(true)
        })?;
        // Text may come with the end alone.
        let last = output
            .tracks
            .iter()
            .rev()
            .find(|track| track.kind == "subtitles")
            .or(output.tracks.last());
        if let Some(last) = last {
            take(TrackId::new(last.number), &|_| true);
        }
        let container = output.container.as_deref().unwrap_or_default();
        Ok(Ok(RefillMuxer::new(film, container, &presentation, &lanes)))
    });
    read.await.map_err(|error| Error::Panicked(error.into()))?
}

/// What puts a file together again whose samples lie in the order of time; or why it cannot be.
async fn splices(
    presentation: &Presentation,
    damage: &Damage,
    lanes: &[Track],
) -> Result<Result<(SpliceMuxer, Vec<SpliceLane>), String>, RepairError> {
    let replay = match damage.replay(presentation, lanes) {
        Ok(Some(replay)) => replay,
        Ok(None) => return Ok(Err("nothing makes its segments again".into())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let tracks: Vec<TrackId> = lanes.iter().map(|track| track.id).collect();
    let (path, piece) = (damage.file.clone(), damage.rest.clone());
    let form = damage.report.output().form.clone().unwrap_or_default();
    let read = tokio::task::spawn_blocking(move || {
        let Some(piece) = piece else {
            return Ok(Err("its report does not tell what stands behind the last segment".into()));
        };
        if piece.length > MOST_MADE as u64 {
            return Ok(Err("too much stands behind the last segment".into()));
        }
        let file = File::open(&path).map_err(|source| cannot_be_opened(&path, source))?;
        let tail = Old { file, path }.read(&piece)?;
        Ok(SpliceMuxer::new(&form, replay, tail, tracks).map_err(|error| error.to_string()))
    });
    read.await.map_err(|error| Error::Panicked(error.into()))?
}

/// What tells the kind of the segments of a concatenation.
fn head(damage: &Damage) -> Result<Vec<u8>, RepairError> {
    read(&damage.file, 0, HEAD).map_err(|source| cannot_be_opened(&damage.file, source))
}

fn cannot_be_opened(path: &std::path::Path, source: std::io::Error) -> RepairError {
    RepairError::Io {
        path: path.into(),
        action: "cannot be opened",
        source,
    }
}

/// What is there already of a track.
struct Source {
    track: Track,
    matcher: Matcher,
    plan: Plan,
    old: Old,
    weave: Weave,
    intake: Option<Intake>,
    /// Where the last unit of the file ends.
    tail: u64,
    recall: Option<Recall>,
}

impl Source {
    async fn open<R: Resolve, F: Fetch, D: Decrypt>(
        damage: &Damage,
        lanes: &[Track],
        has_keys: bool,
        weaves: impl IntoIterator<Item = Weave>,
        stages: &Stages<R, F, D>,
    ) -> Result<Vec<Self>, RepairError> {
        let output = damage.report.output();
        let mut sources = Vec::new();
        for weave in weaves {
            let is_meant = |track: &&Track| weave.track().is_none_or(|own| own == track.id);
            let Some(track) = lanes.iter().find(is_meant) else { continue };
            let filling = damage.filling.iter().flatten().flat_map(|filling| filling.iter());
            let wanted: BTreeSet<u64> = damage.needs.keys().chain(damage.around.keys()).chain(filling).copied().collect();
            let shown = Shown::ByPlaylist(Evidence::Unit);
            let recall = damage.recall(track, has_keys, stages.counterparts(track), shown, move |number| {
                wanted.contains(&number)
            })?;
            let head = match weave {
                Weave::Bytes => Some(head(damage)?),
                Weave::Samples(_) | Weave::Spliced(_) => None,
            };
            // A plain file is cut anywhere.
            let is_judged = !matches!(track.kind, TrackKind::File | TrackKind::Subtitles);
            let wanted = output.container.as_deref().unwrap_or_default();
            sources.push(Self {
                intake: is_judged.then(|| Intake::new(wanted, head.as_deref())),
                plan: Plan::of(damage, track, &weave),
                matcher: Matcher::new(&damage.report, track.id, track.live && recall.is_none(), stages.counterparts(track)).await?,
                recall,
                track: track.clone(),
                old: Old {
                    file: File::open(&damage.file).map_err(|source| cannot_be_opened(&damage.file, source))?,
                    path: damage.file.clone(),
                },
                tail: output.tail.as_ref().map_or(output.bytes, |tail| tail.offset),
                weave,
            });
        }
        Ok(sources)
    }
}

/// How much of a segment tells what it is.
pub(super) const HEAD: u64 = 4096;
pub(super) const UNKNOWN: &str = "nothing stands in front of it that would tell when it plays";
const INSIDE: &str = "subtitles inside of the film are not filled in";
/// Why something is not filled in that may be had.
const REFUSED: [&str; 2] = [UNKNOWN, INSIDE];

/// What is to be fetched of a track, besides what is missing.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By place in the report.
    pub(super) around: BTreeMap<u64, Around>,
    /// Initialization sections are fetched too.
    pub(super) sections: bool,
    /// Why nothing is filled in.
    pub(super) refused: Option<&'static str>,
}

/// What a unit is to what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    /// It stands in front.
    Before,
    /// It stands behind: a demuxer has it begin with the last access unit of what was missing.
    Behind,
    /// It is missing and nothing stands in front of it: when it plays, nobody knows.
    Unknown,
    /// It is made again, in front of it or behind it.
    Within,
}

impl Plan {
    fn of(damage: &Damage, track: &Track, weave: &Weave) -> Self {
        let around: BTreeMap<u64, Around> = match (weave, &damage.filling) {
            (Weave::Bytes, _) | (Weave::Spliced(_), None | Some(Err(_))) => return Self::default(),
            (Weave::Samples(_), _) => {
                let own = damage.around.iter().filter(|(_, (of, _))| *of == track.id.number());
                own.map(|(number, (_, around))| (*number, *around)).collect()
            }
            (Weave::Spliced(_), Some(Ok(filling))) => filling.iter().map(|number| (*number, Around::Within)).collect(),
        };
        Self {
            sections: !around.is_empty(),
            refused: (track.kind == TrackKind::Subtitles).then_some(INSIDE),
            around,
        }
    }
}

/// A concatenation that is written whole or not at all: nothing is kept of one that is given up, since all of it is in the
/// old file.
struct Whole(Concat);

impl Mux for Whole {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        self.0.push(track, item, writes)
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let summary = self.0.finish(writes)?;
        if summary.container == Remaker::CONCATENATION {
            return Ok(summary);
        }
        // What is in the file by its digest would stand at another time.
        Err(MuxError::Unsupported {
            what: "times start over where they are, and what follows would have to be moved".into(),
        })
    }
}
