//! A finished file whose samples lie in the order of time, put together anew with segments that it lacked.
//!
//! Where nothing is missing, the bytes of the old file are those of the new one. Around what is fetched, units of all tracks
//! are [made again](Replay), from a few in front of it, which show by their bytes that what comes next is made as it would have been
//! from the first on, to some behind it, from which on the file is as it was.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use aqueduct_core::{Clear, Item, Mux, MuxError, SegmentInfo, Summary, TrackId, Write, WriteAt};
use aqueduct_media::mkv::{Refill, Rest, have_the_same_blocks};

use crate::remux::media;
use crate::replay::Replayed;
use crate::{Mkv, Replay, SampleWriter};

/// Units of a lane that wait for the muxer.
const AHEAD: usize = 2;

/// Makes the new file of what its lanes send.
#[derive(Debug)]
pub struct SpliceMuxer {
    /// What makes units again; taken at the end.
    replay: Option<Replay>,
    /// The account of the new file; taken at the end.
    file: Option<Refill>,
    /// The samples behind the last unit of the old file.
    held: Vec<u8>,
    lanes: Vec<Lane>,
    step: Step,
    /// The tracks of the file of which something was made again as it is, since something was not.
    proved: Vec<bool>,
}

#[derive(Debug)]
struct Lane {
    track: TrackId,
    inlet: Receiver<Part>,
    /// What was not made again since the last unit that was.
    passed: Option<Passed>,
}

#[derive(Debug, Default)]
struct Passed {
    period: u64,
    duration: Duration,
}

/// How what is made again stands to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Too little is known of what came before.
    Behind,
    /// It is what the old file has there, and will be.
    Along,
    /// The new file has had more.
    Ahead,
}

/// A segment of the new file.
#[derive(Debug)]
enum Part {
    /// The bytes that it has in the old one, and stays.
    Kept(Vec<u8>),
    /// It came, to be made again, behind its initialization section, if that is another than before.
    Came {
        section: Option<Item<Clear>>,
        item: Item<Clear>,
        /// What the old file has of it, and where.
        old: Option<(u64, Vec<u8>)>,
    },
}

/// One track of the presentation: hands its segments on to the [`SpliceMuxer`], which is to get an item for each of them as well.
#[derive(Debug)]
pub struct SpliceLane {
    track: TrackId,
    /// An initialization section that the muxer does not have yet.
    section: Option<Item<Clear>>,
    outlet: SyncSender<Part>,
}

impl SpliceMuxer {
    /// Prepares to put a file together anew that ends with `tail` behind its last unit. `tracks` are those of the presentation that are
    /// in it.
    ///
    /// # Errors
    ///
    /// [`MuxError::Media`]: it is no file of this program.
    pub fn new(
        mut replay: Replay,
        mut tail: Vec<u8>,
        tracks: impl IntoIterator<Item = TrackId>,
    ) -> Result<(Self, Vec<SpliceLane>), MuxError> {
        let rest = Rest::read(&tail).map_err(media)?;
        replay.see_tail(tail.split_off(rest.clusters()));
        let mut muxer = Self {
            replay: Some(replay),
            file: Some(Refill::new(&rest)),
            held: tail,
            lanes: Vec::new(),
            step: Step::Behind,
            proved: Vec::new(),
        };
        let lanes = tracks.into_iter().map(|track| {
            let (outlet, inlet) = sync_channel(AHEAD);
            muxer.lanes.push(Lane {
                track,
                inlet,
                passed: None,
            });
            SpliceLane {
                track,
                section: None,
                outlet,
            }
        });
        let lanes = lanes.collect();
        Ok((muxer, lanes))
    }

    fn segment(&mut self, track: TrackId, info: &SegmentInfo) -> Result<Vec<u8>, MuxError> {
        let lane = self.lanes.iter_mut().find(|lane| lane.track == track);
        // Where nothing comes, its lane failed and says why.
        let part = lane.as_ref().and_then(|lane| lane.inlet.recv().ok());
        let (Some(lane), Some(part), Some(replay), Some(file)) = (lane, part, &mut self.replay, &mut self.file) else {
            return Err(strange("its samples did not come"));
        };
        let (section, item, old) = match part {
            Part::Kept(bytes) => {
                if self.step == Step::Ahead {
                    return Err(strange(
                        "what comes behind it does not come out as it is, and would have to be made again",
                    ));
                }
                self.step = Step::Behind;
                self.proved.clear();
                lane.pass(info.discontinuity_sequence, info.duration);
                file.add(&bytes).map_err(media)?;
                return Ok(bytes);
            }
            Part::Came { section, item, old } => (section, item, old),
        };
        if let Some(passed) = lane.passed.take() {
            replay.skip(track, passed.period, passed.duration)?;
        }
        if let Some(section) = section
            && !replay.push(track, section, None)?.bytes.is_empty()
        {
            return Err(strange(
                "samples stand in front of the initialization section that is in force for them",
            ));
        }
        // Places of the old file say nothing once more has been put in front of them.
        let offset = old.as_ref().map(|(offset, _)| *offset).filter(|_| self.step != Step::Ahead);
        let made = replay.push(track, item, offset)?;
        let is_same = old.as_ref().is_some_and(|(_, old)| is_same(&made, old));
        let (step, bytes) = match (self.step, old) {
            (Step::Behind, None) => return Err(strange("what stands in front of it does not come out as it is")),
            (Step::Behind, Some((_, old))) => (Step::Behind, old),
            (Step::Along, Some((_, old))) => (if is_same { Step::Along } else { Step::Behind }, old),
            (Step::Along, None) | (Step::Ahead, _) => (Step::Ahead, made.bytes),
        };
        let before: Vec<u64> = file.frames().collect();
        file.add(&bytes).map_err(media)?;
        self.proved.resize(before.len(), false);
        for ((proved, before), now) in self.proved.iter_mut().zip(before).zip(file.frames()) {
            // What comes next of a track without samples shows by itself.
            *proved = is_same && (*proved || now > before || now == 0);
        }
        self.step = if self.proved.iter().all(|proved| *proved) {
            Step::Along
        } else {
            step
        };
        Ok(bytes)
    }

    /// The samples behind the last unit.
    fn last(&mut self) -> Result<Vec<u8>, MuxError> {
        let replay = self.replay.take();
        let (Step::Ahead, Some(mut replay), Some(file)) = (self.step, replay, &mut self.file) else {
            return Ok(std::mem::take(&mut self.held));
        };
        let mut bytes = replay.finish()?;
        let rest = Rest::read(&bytes).map_err(media)?;
        file.reaches(&rest);
        bytes.truncate(rest.clusters());
        Ok(bytes)
    }
}

impl Lane {
    fn pass(&mut self, period: u64, duration: Duration) {
        let passed = self.passed.get_or_insert_default();
        passed.period = period;
        passed.duration = passed.duration.saturating_add(duration);
    }
}

/// Whether that is what the old file has: what tells of the film as a whole was written over there. Where all that is in the index
/// may be jumped to, as in sound, clusters begin so long after one another: behind something missing they begin elsewhere, for good.
fn is_same(made: &Replayed, old: &[u8]) -> bool {
    match (made.bytes.get(made.head..), old.get(made.head..)) {
        (Some(made), Some(old)) => have_the_same_blocks(made, old),
        _ => false,
    }
}

impl Mux for SpliceMuxer {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        match &item {
            Item::Segment { info, .. } => {
                let bytes = self.segment(track, info)?;
                if !bytes.is_empty() {
                    writes.push(Write::append(bytes));
                }
            }
            Item::Gap { info, .. } => {
                let (period, duration) = (info.discontinuity_sequence, item.duration());
                let lane = self.lanes.iter_mut().find(|lane| lane.track == track);
                match (lane, &mut self.replay) {
                    (Some(lane), _) if lane.passed.is_some() => lane.pass(period, duration),
                    (Some(_), Some(replay)) => replay.gap(track, period, duration)?,
                    _ => {}
                }
            }
            Item::Init { .. } => {}
        }
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let last = self.last()?;
        if let Some(mut file) = self.file.take() {
            file.add(&last).map_err(media)?;
            let finish = file.finish().map_err(media)?;
            writes.push(Write::append(last));
            writes.push(Write::append(finish.append));
            writes.extend(finish.patches.into_iter().map(|patch| Write {
                at: WriteAt::Offset(patch.offset),
                data: patch.bytes.into(),
            }));
        }
        Ok(Summary::new(Mkv::CONTAINER))
    }
}

impl SpliceLane {
    /// The track of the presentation.
    pub fn track(&self) -> TrackId {
        self.track
    }

    /// The next segment has these bytes in the old file, and stays as it is.
    pub fn keep(&self, bytes: Vec<u8>) {
        self.send(Part::Kept(bytes));
    }

    /// The initialization section of what comes next.
    pub fn section(&mut self, section: Item<Clear>) {
        self.section = Some(section);
    }

    /// The next segment came. Where the old file has it, its bytes there are `old`, from that place on.
    pub fn make(&mut self, item: Item<Clear>, old: Option<(u64, Vec<u8>)>) {
        let section = self.section.take();
        self.send(Part::Came { section, item, old });
    }

    fn send(&self, part: Part) {
        // A muxer that has ended says why.
        let _ = self.outlet.send(part);
    }
}

fn strange(what: &str) -> MuxError {
    MuxError::Media { what: what.to_owned() }
}
