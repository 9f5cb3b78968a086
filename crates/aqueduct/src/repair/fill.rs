//! Filling in what never came: the file is written anew beside the old one, of which it takes what is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use aqueduct_core::{
    Clear, Decrypt, Fetch, GapCause, Item, Mux, MuxError, Presentation, Progress, Receiver, Resolve, Resource, Sealed, SegmentInfo, Sender,
    Stop, Summary, Track, TrackId, TrackKind, Write, channel,
};
use aqueduct_fetch::{OnMissing, Permits};
use aqueduct_mux::{Concat, Film, Finished, Job, Output, OutputError, RefillLane, RefillMuxer, Remaker, StageError};
use sha2::{Digest, Sha256};

use super::matching::{Matched, Matcher};
use super::{Damage, RepairError, Repaired};
use crate::error::numbers;
use crate::resume::Beyond;
use crate::verify::hex;
use crate::{Error, Piece, Pipeline, UnitDocument, VerifyError};

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
        let refused = if lanes.iter().any(|track| track.live) {
            Some("the stream is live, and its window has moved on")
        } else if !repaired.left.is_empty() {
            Some("the rest of the file is not sound")
        } else if lanes.is_empty() {
            Some("its track is not there")
        } else {
            None
        };
        if let Some(why) = refused {
            repaired.left.add(missing(why));
            return Ok(());
        }
        if !damage.is_concatenation() && !damage.is_mp4() {
            let form = damage.report.output().form.as_deref().unwrap_or("this container");
            let why = format!("in {form} what comes later would have to be made again");
            repaired.whole.add(missing(&why));
            return Ok(());
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
        let written = if damage.is_mp4() {
            let (muxer, refills) = match refills(presentation, damage).await? {
                Ok(refills) => refills,
                Err(why) => {
                    repaired.whole.add(missing(&why));
                    return Ok(());
                }
            };
            let sources = Source::open(damage, &lanes, refills.into_iter().map(Some)).await?;
            self.write_anew(presentation, sources, muxer, output).await
        } else {
            let sources = Source::open(damage, &lanes, [None]).await?;
            let mut head = Vec::new();
            File::open(&damage.file)
                .and_then(|file| file.take(8).read_to_end(&mut head))
                .map_err(|source| cannot_be_opened(&damage.file, source))?;
            let wanted = damage.report.output().container.as_deref().unwrap_or_default();
            let whole = Whole(Concat::like(wanted, &head));
            self.write_anew(presentation, sources, whole, output).await
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
        presentation: &Presentation,
        sources: Vec<Source>,
        muxer: impl Mux,
        output: Output,
    ) -> Result<(Finished, u64), RepairError> {
        let mut stages = self.stages(OnMissing::Gap);
        let permits = Permits::split(self.common.options.concurrency, sources.len());
        let (mut lanes, mut merging) = (Vec::new(), Vec::new());
        for (source, permits) in sources.into_iter().zip(permits) {
            let (named, steps) = channel(1);
            let Source {
                track,
                matcher,
                plan,
                file,
                path,
                refill,
                tail,
            } = source;
            let fetched = stages.spawn_through(&track, permits, |items, outlet, stop| {
                let expected = track.segments.unwrap_or_default();
                tell_apart(matcher, plan, expected, items, outlet, named, stop)
            });
            let (to_mux, clear) = channel(1);
            lanes.push((track.id, clear));
            let merge = Merging {
                file,
                path,
                steps,
                fetched,
                refill,
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

fn unfit(error: &(dyn std::error::Error + 'static)) -> RepairError {
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
    file: File,
    path: PathBuf,
    /// Of an MP4.
    refill: Option<RefillLane>,
    /// Where the last unit of the file ends.
    tail: u64,
}

impl Source {
    async fn open(
        damage: &Damage,
        lanes: &[Track],
        refills: impl IntoIterator<Item = Option<RefillLane>>,
    ) -> Result<Vec<Self>, RepairError> {
        let output = damage.report.output();
        let mut sources = Vec::new();
        for refill in refills {
            let is_meant = |track: &&Track| refill.as_ref().is_none_or(|refill| refill.track() == Some(track.id));
            let Some(track) = lanes.iter().find(is_meant) else { continue };
            sources.push(Self {
                plan: Plan::of(damage, track, refill.is_some()),
                matcher: Matcher::new(&damage.report, track.id, track.live).await?,
                track: track.clone(),
                file: File::open(&damage.file).map_err(|source| cannot_be_opened(&damage.file, source))?,
                path: damage.file.clone(),
                tail: output.tail.as_ref().map_or(output.bytes, |tail| tail.offset),
                refill,
            });
        }
        Ok(sources)
    }
}

const UNKNOWN: &str = "nothing stands in front of it that would tell when it plays";
const INSIDE: &str = "subtitles inside of the film are not filled in";
/// Why something is not filled in that may be had.
const REFUSED: [&str; 2] = [UNKNOWN, INSIDE];

/// What is to be fetched of a track, besides what is missing.
#[derive(Debug, Default)]
struct Plan {
    /// By place in the report.
    around: BTreeMap<u64, Around>,
    /// Initialization sections are fetched too.
    sections: bool,
    /// Why nothing is filled in.
    refused: Option<&'static str>,
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
}

impl Plan {
    fn of(damage: &Damage, track: &Track, is_mp4: bool) -> Self {
        if !is_mp4 {
            return Self::default();
        }
        let own = damage.around.iter().filter(|(_, (of, _))| *of == track.id.number());
        let around: BTreeMap<u64, Around> = own.map(|(number, (_, around))| (*number, *around)).collect();
        Self {
            sections: !around.is_empty(),
            refused: (track.kind == TrackKind::Subtitles).then_some(INSIDE),
            around,
        }
    }
}

/// The next unit of the new file.
enum Step {
    /// It is in the old one.
    Known(Item<Resource>, Piece),
    /// So it is, and it is on its way as well.
    Both(Item<Resource>, Piece, Around),
    /// It is on its way.
    Fetched,
    /// It is left out.
    Left(Item<Resource>),
}

/// The stage that has fetched what the file lacks, and tells in which order that and the rest come.
async fn tell_apart(
    mut matcher: Matcher,
    plan: Plan,
    expected: u64,
    items: Receiver<Item<Resource>>,
    outlet: Sender<Item<Resource>>,
    steps: Sender<Step>,
    stop: Stop,
) -> Result<Beyond, Error> {
    let mut came = 0;
    while let Ok(item) = items.recv().await {
        came += match &item {
            Item::Init { .. } => 0,
            Item::Segment { .. } => 1,
            Item::Gap { segments, .. } => *segments,
        };
        let (place, piece) = match matcher.find(&item, |_, _| {}).await? {
            Matched::Unit(number, unit) => {
                let UnitDocument { piece, .. } = *unit;
                (Some(number), piece)
            }
            Matched::New => (None, None),
        };
        let around = place.and_then(|number| plan.around.get(&number).copied());
        let is_section = matches!(item, Item::Init { .. });
        let refused = match around {
            Some(Around::Unknown) => Some(UNKNOWN),
            _ => plan.refused,
        };
        let (step, fetched) = match (piece, around) {
            (Some(_), _) if is_section && plan.sections && plan.refused.is_none() => (Step::Fetched, Some(item)),
            (Some(piece), Some(around)) if plan.refused.is_none() => (Step::Both(item.clone(), piece, around), Some(item)),
            (Some(piece), _) => (Step::Known(item, piece), None),
            (None, _) => match (refused, left(&item, refused.unwrap_or_default())) {
                (Some(_), Some(left)) => (Step::Left(left), None),
                _ => (Step::Fetched, Some(item)),
            },
        };
        // First to the fetcher: whoever takes the step waits for what it brings.
        if let Some(item) = fetched
            && outlet.send(item).await.is_err()
        {
            return Ok(Beyond::default());
        }
        if steps.send(step).await.is_err() {
            return Ok(Beyond::default());
        }
    }
    // A resolver that was stopped, or that failed, says so itself.
    if stop.is_draining() {
        return Ok(Beyond::default());
    }
    if came != expected {
        return Err(Error::Lost { came, expected });
    }
    matcher.finish().map(|()| Beyond::default())
}

/// A segment as one that stays missing.
fn left(item: &Item<Resource>, why: &str) -> Option<Item<Resource>> {
    let Item::Segment { info, .. } = item else { return None };
    Some(Item::Gap {
        info: Arc::clone(info),
        segments: 1,
        cause: GapCause::Failed(why.to_owned()),
    })
}

/// Puts what is fetched between what is there.
struct Merging {
    file: File,
    path: PathBuf,
    steps: Receiver<Step>,
    fetched: Receiver<Item<Clear>>,
    refill: Option<RefillLane>,
    tail: u64,
}

impl Merging {
    /// Gives how many segments came that were missing.
    fn run(mut self, outlet: &Sender<Item<Clear>>) -> Result<u64, RepairError> {
        let (mut filled, mut before) = (0, 0);
        while let Ok(step) = self.steps.recv_blocking() {
            let item = match step {
                Step::Known(item, piece) => self.known(item, &piece)?,
                Step::Both(item, piece, around) => {
                    let replaced = around == Around::Behind && filled > before;
                    before = filled;
                    match self.fetch()? {
                        // Behind what was filled in it is another than it was.
                        fetched @ Item::Segment { .. } if replaced => {
                            let bytes = self.read(&piece)?;
                            self.refill(|refill| refill.replace(piece.offset, &bytes, fetched))?;
                            with(item, &[])
                        }
                        fetched @ Item::Segment { .. } => {
                            let item = self.known(item, &piece)?;
                            self.refill(|refill| refill.context(fetched))?;
                            item
                        }
                        Item::Gap { cause, .. } => {
                            return Err(RepairError::Lacking {
                                what: format!("the segment beside them is needed as well: {cause}"),
                            });
                        }
                        Item::Init { .. } => return Err(Error::Stopped.into()),
                    }
                }
                Step::Left(Item::Gap { info, segments, cause }) => Item::Gap { info, segments, cause },
                Step::Left(_) => continue,
                Step::Fetched => {
                    let item = self.fetch()?;
                    filled += u64::from(matches!(item, Item::Segment { .. }));
                    self.fetched(item)?
                }
            };
            if outlet.send_blocking(item).is_err() {
                return Ok(filled);
            }
        }
        if let Some(refill) = self.refill.take() {
            let rest = refill.rest(self.tail);
            let bytes = self.bytes(rest.start, rest.end.saturating_sub(rest.start))?;
            refill.finish(rest.start, &bytes).map_err(|error| unfit(&error))?;
        }
        Ok(filled)
    }

    /// What is fetched next.
    fn fetch(&mut self) -> Result<Item<Clear>, RepairError> {
        // Where nothing comes, a stage failed and says why.
        self.fetched.recv_blocking().map_err(|_| Error::Stopped.into())
    }

    fn refill(&mut self, act: impl FnOnce(&mut RefillLane) -> Result<(), MuxError>) -> Result<(), RepairError> {
        match &mut self.refill {
            Some(refill) => act(refill).map_err(|error| unfit(&error)),
            None => Ok(()),
        }
    }

    /// A unit that is in the old file.
    fn known(&mut self, item: Item<Resource>, piece: &Piece) -> Result<Item<Clear>, RepairError> {
        let bytes = self.read(piece)?;
        if self.refill.is_none() {
            return Ok(with(item, &bytes));
        }
        if !matches!(item, Item::Init { .. }) {
            self.refill(|refill| refill.keep(piece.offset, &bytes))?;
        }
        Ok(with(item, &[]))
    }

    /// A unit that came. An MP4 gets its samples.
    fn fetched(&mut self, item: Item<Clear>) -> Result<Item<Clear>, RepairError> {
        if self.refill.is_none() {
            return Ok(item);
        }
        Ok(match item {
            Item::Init { info, payload } => {
                self.refill(|refill| refill.section(&info, &payload))?;
                Item::Init { info, payload: clear(&[]) }
            }
            Item::Segment { info, payload } => {
                let whole = Item::Segment {
                    info: Arc::clone(&info),
                    payload,
                };
                self.refill(|refill| refill.fill(whole))?;
                Item::Segment { info, payload: clear(&[]) }
            }
            Item::Gap { info, segments, cause } => {
                let gap = Item::Gap {
                    info: Arc::clone(&info),
                    segments,
                    cause: cause.clone(),
                };
                self.refill(|refill| refill.gap(gap))?;
                Item::Gap { info, segments, cause }
            }
        })
    }

    /// What a piece of the old file has, if it is what it was.
    fn read(&mut self, piece: &Piece) -> Result<Vec<u8>, RepairError> {
        let bytes = self.bytes(piece.offset, piece.length)?;
        if bytes.len() as u64 != piece.length || hex(&Sha256::digest(&bytes)) != piece.sha256 {
            return Err(self.failed(std::io::Error::other("it was changed meanwhile")));
        }
        Ok(bytes)
    }

    fn bytes(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, RepairError> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(offset));
        // What is not there is not allocated.
        let read = read.and_then(|_| (&mut self.file).take(length).read_to_end(&mut bytes));
        read.map_err(|source| self.failed(source))?;
        Ok(bytes)
    }

    fn failed(&self, source: std::io::Error) -> RepairError {
        RepairError::Verify(VerifyError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// The unit with these bytes.
fn with(item: Item<Resource>, bytes: &[u8]) -> Item<Clear> {
    match item {
        Item::Init { info, .. } => Item::Init {
            info,
            payload: clear(bytes),
        },
        Item::Segment { info, .. } | Item::Gap { info, .. } => Item::Segment {
            info: Arc::<SegmentInfo>::clone(&info),
            payload: clear(bytes),
        },
    }
}

fn clear(bytes: &[u8]) -> Clear {
    match Sealed::unbudgeted(bytes).open(Ok::<_, std::convert::Infallible>) {
        Ok(clear) => clear,
        Err(never) => match never {},
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
