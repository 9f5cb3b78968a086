//! A finished file whose samples lie in the order of time, put together anew with segments that it lacked.
//!
//! Where nothing is missing, the bytes of the old file are those of the new one. Around what is fetched, units of all tracks
//! are [made again](Replay), from a few in front of it, which show by their bytes that what comes next is made as it would have been
//! from the first on, to some behind it, from which on the file is as it was.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use aqueduct_core::{Clear, Item, Mux, MuxError, SegmentInfo, Summary, TrackId, Write, WriteAt};
use aqueduct_media::mkv::{Refill, Rest, have_the_same_blocks};
use aqueduct_media::mp4::{Renumber, are_the_same_fragments, have_messages};
use aqueduct_media::ts::{Recount, are_the_same_packets, have_metadata};

use crate::remux::media;
use crate::replay::Replayed;
use crate::{Fmp4, Mkv, Replay, SampleWriter, Ts};

/// Units of a lane that wait for the muxer.
const AHEAD: usize = 2;

/// Makes the new file of what its lanes send.
#[derive(Debug)]
pub struct SpliceMuxer {
    /// What makes units again; taken at the end.
    replay: Option<Replay>,
    file: Account,
    /// Its last bytes, where they tell how to go on.
    front: Vec<u8>,
    /// The samples behind the last unit of the old file.
    held: Vec<u8>,
    lanes: Vec<Lane>,
    step: Step,
    /// The tracks of the file of which something was made again as it is, since something was not.
    proved: Vec<bool>,
}

/// What is told of the new file as a whole, and of its units by those in front of them.
#[derive(Debug)]
enum Account {
    Matroska(Box<Refill>),
    Packets(Recount),
    Fragments(Renumber),
}

impl Account {
    /// The next bytes of the file.
    fn add(&mut self, bytes: &mut [u8]) -> Result<(), MuxError> {
        match self {
            Self::Matroska(refill) => refill.add(bytes),
            Self::Packets(recount) => recount.add(bytes),
            Self::Fragments(renumber) => renumber.add(bytes),
        }
        .map_err(media)
    }

    /// How much there is so far of each track, in an order that does not change.
    fn counts(&self) -> Vec<u64> {
        match self {
            Self::Matroska(refill) => refill.frames().collect(),
            Self::Packets(recount) => recount.units().collect(),
            Self::Fragments(renumber) => renumber.runs().collect(),
        }
    }

    /// Whether that is what the old file has: what tells of the film as a whole was written over there, and what counts units is by
    /// those in front. Where all that is in the index of Matroska may be jumped to, as in sound, clusters begin so long after one
    /// another: behind something missing they begin elsewhere, for good.
    fn is_same(&self, made: &Replayed, old: &[u8]) -> bool {
        let (Some(made), Some(old)) = (made.bytes.get(made.head..), old.get(made.head..)) else {
            return false;
        };
        match self {
            Self::Matroska(_) => have_the_same_blocks(made, old),
            Self::Packets(_) => are_the_same_packets(made, old),
            Self::Fragments(_) => are_the_same_fragments(made, old),
        }
    }

    /// Refuses to have other bytes take the place of these where messages beside the tracks are among them: one that was told long
    /// before is not made again.
    fn replace(&self, old: &[u8]) -> Result<(), MuxError> {
        let has_messages = match self {
            Self::Matroska(_) => false,
            Self::Packets(_) => have_metadata(old),
            Self::Fragments(_) => have_messages(old),
        };
        if has_messages {
            return Err(strange(
                "messages beside the tracks (emsg, ID3) stand there, which may have been told before",
            ));
        }
        Ok(())
    }

    fn container(&self) -> &'static str {
        match self {
            Self::Matroska(_) => Mkv::CONTAINER,
            Self::Packets(_) => Ts::CONTAINER,
            Self::Fragments(_) => Fmp4::CONTAINER,
        }
    }
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
        section: Option<Box<Item<Clear>>>,
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
    /// Prepares to put a file together anew of this form ([`Summary::container`]), which ends with `tail` behind its last unit. `tracks`
    /// are those of the presentation that are in it.
    ///
    /// # Errors
    ///
    /// [`MuxError::Media`]: it is no file of this program.
    pub fn new(
        form: &str,
        mut replay: Replay,
        mut tail: Vec<u8>,
        tracks: impl IntoIterator<Item = TrackId>,
    ) -> Result<(Self, Vec<SpliceLane>), MuxError> {
        let file = if form == Mkv::CONTAINER {
            let rest = Rest::read(&tail).map_err(media)?;
            replay.see_tail(tail.split_off(rest.clusters()));
            Account::Matroska(Box::new(Refill::new(&rest)))
        } else if form == Ts::CONTAINER {
            Account::Packets(Recount::default())
        } else if form == Fmp4::CONTAINER {
            Account::Fragments(Renumber::default())
        } else {
            return Err(strange("nothing puts a file of its form together"));
        };
        let mut muxer = Self {
            replay: Some(replay),
            file,
            front: Vec::new(),
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
        let (Some(lane), Some(part), Some(replay)) = (lane, part, &mut self.replay) else {
            return Err(strange("its samples did not come"));
        };
        let (section, item, old) = match part {
            Part::Kept(mut bytes) => {
                if self.step == Step::Ahead {
                    return Err(strange(
                        "what comes behind it does not come out as it is, and would have to be made again",
                    ));
                }
                self.step = Step::Behind;
                self.proved.clear();
                lane.pass(info.discontinuity_sequence, info.duration);
                self.add(&mut bytes)?;
                return Ok(bytes);
            }
            Part::Came { section, item, old } => (section, item, old),
        };
        if let Some(passed) = lane.passed.take() {
            replay.skip(track, passed.period, passed.duration)?;
        }
        if let Some(section) = section
            && !replay.push(track, *section, None)?.bytes.is_empty()
        {
            return Err(strange(
                "samples stand in front of the initialization section that is in force for them",
            ));
        }
        // Places of the old file say nothing once more has been put in front of them.
        let offset = old.as_ref().map(|(offset, _)| *offset).filter(|_| self.step != Step::Ahead);
        replay.go_on_behind(&self.front);
        let made = replay.push(track, item, offset)?;
        let is_same = old.as_ref().is_some_and(|(_, old)| self.file.is_same(&made, old));
        let (step, mut bytes) = match (self.step, old) {
            (Step::Behind, None) => return Err(strange("what stands in front of it does not come out as it is")),
            (Step::Behind, Some((_, old))) => (Step::Behind, old),
            (Step::Along, Some((_, old))) => (if is_same { Step::Along } else { Step::Behind }, old),
            (Step::Along, None) | (Step::Ahead, None) => (Step::Ahead, made.bytes),
            (Step::Ahead, Some((_, old))) => {
                if !is_same {
                    self.file.replace(&old)?;
                }
                (Step::Ahead, made.bytes)
            }
        };
        let before = self.file.counts();
        self.add(&mut bytes)?;
        let now = self.file.counts();
        self.proved.resize(now.len(), false);
        for (number, (proved, now)) in self.proved.iter_mut().zip(now).enumerate() {
            let before = before.get(number).copied().unwrap_or(0);
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

    /// The next bytes of the file.
    fn add(&mut self, bytes: &mut [u8]) -> Result<(), MuxError> {
        self.file.add(bytes)?;
        if !matches!(self.file, Account::Matroska(_)) {
            self.front.extend_from_slice(bytes);
            let most = usize::try_from(Replay::FRONT).unwrap_or(usize::MAX);
            let passed = self.front.len().saturating_sub(most);
            // Not each time.
            if passed > most {
                self.front.drain(..passed);
            }
        }
        Ok(())
    }

    /// The samples behind the last unit.
    fn last(&mut self) -> Result<Vec<u8>, MuxError> {
        let replay = self.replay.take();
        let (Step::Ahead, Some(mut replay)) = (self.step, replay) else {
            return Ok(std::mem::take(&mut self.held));
        };
        let mut bytes = replay.finish()?;
        self.file.replace(&self.held)?;
        if let Account::Matroska(refill) = &mut self.file {
            let rest = Rest::read(&bytes).map_err(media)?;
            refill.reaches(&rest);
            bytes.truncate(rest.clusters());
        }
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
        let mut last = self.last()?;
        self.file.add(&mut last)?;
        writes.push(Write::append(last));
        if let Account::Matroska(refill) = &mut self.file {
            let finish = refill.finish().map_err(media)?;
            writes.push(Write::append(finish.append));
            writes.extend(finish.patches.into_iter().map(|patch| Write {
                at: WriteAt::Offset(patch.offset),
                data: patch.bytes.into(),
            }));
        }
        Ok(Summary::new(self.file.container()))
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
        let section = self.section.take().map(Box::new);
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
