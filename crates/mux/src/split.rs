//! One file for each Discontinuity Sequence Number, and where it is wanted for each change that none announces.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{
    Clear, Encryption, InitId, InitInfo, Item, Kind, Loss, Mux, MuxError, Presentation, Resource, Sealed, Summary, TrackId, Write, WriteAt,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::journal::address::address;
use crate::{Auto, changes::Changes, checkpoint, container::gap};

/// So many segments of a track wait at most for the other tracks to come to the same discontinuity, and so many bytes of
/// all tracks. A track may have ended.
const MAX_WAITING: usize = 8;
const MAX_BYTES: usize = 64 << 20;

/// How its identity ends, behind that of the muxer of its files.
pub(crate) const BY_CHANGES: &str = " by changes";
pub(crate) const BY_DISCONTINUITY: &str = " by discontinuity";

/// Begins another file at each discontinuity (RFC 8216, 4.3.2.3), with a muxer of its own. The files are named `001`,
/// `002` and so on ([`WriteAt::File`]).
///
/// Every track of a file is of the same Discontinuity Sequence Number: a track that comes to the next one first waits for
/// the others. A period that brings no segment gets no file, and keeps the number of one if it has segments that were on offer.
///
/// One [at changes](Self::at_changes) begins another file as well with the segment in which a track turns to another
/// container or other codec parameters, which should have been a discontinuity (RFC 8216, 4.3.2.3). The other tracks follow
/// with the segment that begins nearest to that in playing time.
#[derive(Debug)]
pub struct Split {
    /// Of the file at hand.
    muxer: Auto,
    presentation: Presentation,
    seekable: bool,
    lanes: Vec<Lane>,
    /// What the file at hand holds.
    part: Option<Part>,
    /// Whether changes that no discontinuity announces count, and those that some track may still have to follow.
    at_changes: bool,
    changes: Vec<Part>,
    /// Numbers of files so far, those of which nothing came, and muxers.
    files: u32,
    lost: u32,
    muxers: u32,
    /// Whether the file at hand has a segment.
    begun: bool,
    /// Whether it lacks one that was on offer, or has anything else that its muxer knows of.
    lacks: bool,
    is_fresh: bool,
    /// What the segment lacks that was pushed last.
    loss: Option<Loss>,
    summary: Summary,
}

#[derive(Debug)]
struct Lane {
    track: TrackId,
    /// The initialization section in force, and whether the file at hand has it.
    init: Option<(Arc<InitInfo>, Vec<u8>)>,
    told: bool,
    changes: Changes,
    /// Of the last segment or gap, and the playing time of its period up to its end.
    part: Option<Part>,
    position: Duration,
    /// What belongs to later files; of an initialization section that is not known yet.
    waiting: VecDeque<(Option<Part>, Item<Clear>)>,
    bytes: usize,
    /// Segments among that.
    segments: usize,
}

/// What goes into one file. They follow each other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Part {
    /// Discontinuity Sequence Number.
    period: u64,
    /// The playing time of the period before it: 0 up to the first change that nothing announced.
    from: Duration,
}

impl Split {
    /// A muxer that makes each file as `muxer` would.
    pub fn new(muxer: Auto) -> Self {
        Self {
            muxer,
            presentation: Presentation::default(),
            seekable: false,
            lanes: Vec::new(),
            part: None,
            at_changes: false,
            changes: Vec::new(),
            files: 0,
            lost: 0,
            muxers: 0,
            begun: false,
            lacks: false,
            is_fresh: true,
            loss: None,
            summary: Summary::default(),
        }
    }

    /// The same, with another file at changes that nothing announces too.
    #[must_use]
    pub fn at_changes(mut self, too: bool) -> Self {
        self.at_changes = too;
        self
    }

    /// Whether this is what one was asked to make ([`Mux::identity`]).
    pub(crate) fn is_identity(identity: &str) -> bool {
        [BY_CHANGES, BY_DISCONTINUITY].iter().any(|by| identity.ends_with(by))
    }

    fn lane(&mut self, track: TrackId) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.track == track).unwrap_or_else(|| {
            self.lanes.push(Lane {
                track,
                init: None,
                told: false,
                changes: Changes::default(),
                part: None,
                position: Duration::ZERO,
                waiting: VecDeque::new(),
                bytes: 0,
                segments: 0,
            });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// Puts an item into the file at hand, with the initialization section in force before its first segment.
    fn deliver(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if let Item::Init { info, payload } = &item {
            let init = (Arc::clone(info), payload.as_slice().to_vec());
            let lane = self.lane(track);
            lane.init = Some(init);
            lane.told = false;
            return Ok(());
        }
        if matches!(item, Item::Segment { .. }) {
            if !mem::replace(&mut self.begun, true) {
                self.files += 1;
                writes.push(Write {
                    at: WriteAt::File(format!("{:03}", self.files).into()),
                    data: Vec::new().into(),
                });
            }
            let lane = self.lane(track);
            if !mem::replace(&mut lane.told, true)
                && let Some((info, bytes)) = &lane.init
            {
                let init = Item::Init {
                    info: Arc::clone(info),
                    payload: copy(bytes)?,
                };
                self.muxer.push(track, init, writes)?;
            }
        }
        self.lacks |= matches!(&item, Item::Gap { cause, .. } if cause.was_on_offer());
        self.is_fresh = false;
        self.muxer.push(track, item, writes)?;
        self.muxer.take_loss();
        Ok(())
    }

    /// The part that an item is of.
    fn part_of(&mut self, track: TrackId, item: &Item<Clear>) -> Option<Part> {
        let looks = self.at_changes;
        let known = mem::take(&mut self.changes);
        let lane = self.lane(track);
        let info = match item {
            Item::Init { payload, .. } => {
                if looks {
                    lane.changes.init(payload.as_slice());
                }
                self.changes = known;
                return None;
            }
            Item::Segment { info, .. } | Item::Gap { info, .. } => info,
        };
        let period = info.discontinuity_sequence;
        let before = lane.part.filter(|part| part.period == period);
        let changed = match item {
            Item::Segment { payload, .. } if looks => lane.changes.segment(period, payload.as_slice()),
            _ => false,
        };
        let start = if before.is_some() { lane.position } else { Duration::ZERO };
        let end = start.saturating_add(item.duration());
        lane.position = end;
        // A track that changes itself does so with the change that begins while its segment plays.
        let reach = if changed { end } else { start.saturating_add(item.duration() / 2) };
        let follows = |part: &&Part| part.period == period && (part.from < reach || part.from == start);
        let latest = known.iter().filter(follows).max().copied().max(before);
        let mut part = latest.unwrap_or(Part {
            period,
            from: Duration::ZERO,
        });
        let new = changed && before == Some(part);
        if new {
            part.from = start;
        }
        lane.part = Some(part);
        self.changes = known;
        if new {
            self.changes.push(part);
        }
        Some(part)
    }

    /// Whether every track has come to another period, or one of them waits for too long.
    fn is_due(&self) -> bool {
        let tracks = &self.presentation.tracks;
        let waits = |track: TrackId| self.lanes.iter().any(|lane| lane.track == track && lane.segments > 0);
        let bytes: usize = self.lanes.iter().map(|lane| lane.bytes).sum();
        let any = self.lanes.iter().any(|lane| lane.segments > 0);
        any && (tracks.iter().all(|track| waits(track.id))
            || bytes > MAX_BYTES
            || self.lanes.iter().any(|lane| lane.segments > MAX_WAITING))
    }

    /// Completes the file at hand, and puts what waits for the next one into that.
    fn next_file(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        self.complete(writes)?;
        self.part = self.lanes.iter().filter_map(Lane::next).min();
        let at_hand = self.part;
        self.changes.retain(|change| Some(*change) >= at_hand);
        for lane in 0..self.lanes.len() {
            let track = self.lanes[lane].track;
            while self.lanes[lane].next().is_some() && self.lanes[lane].next() == self.part {
                let Some(item) = self.lanes[lane].pop() else { break };
                self.deliver(track, item, writes)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let lacks = mem::take(&mut self.lacks);
        if !mem::take(&mut self.begun) {
            // What never came keeps its number: files are called the same whatever is missing.
            self.files += u32::from(lacks);
            self.lost += u32::from(lacks);
            return if mem::replace(&mut self.is_fresh, true) {
                Ok(())
            } else {
                self.next_muxer()
            };
        }
        let summary = self.muxer.finish(writes)?;
        self.summary.container = summary.container;
        let number = self.files;
        let notes = summary.notes.into_iter().map(|note| format!("{number:03}: {note}"));
        self.summary.notes.extend(notes);
        self.lanes.iter_mut().for_each(|lane| lane.told = false);
        self.next_muxer()
    }

    fn next_muxer(&mut self) -> Result<(), MuxError> {
        self.muxers += 1;
        self.is_fresh = true;
        self.muxer = self.muxer.another();
        self.muxer.begin(&self.presentation, self.seekable)
    }
}

impl Mux for Split {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        self.presentation = presentation.clone();
        // What is told of the whole does not hold for a part of it.
        self.presentation.chapters.clear();
        self.presentation.tracks.iter_mut().for_each(|track| track.duration = None);
        self.seekable = seekable;
        self.muxer.begin(&self.presentation, seekable)
    }

    fn identity(&self) -> String {
        let by = if self.at_changes { BY_CHANGES } else { BY_DISCONTINUITY };
        self.muxer.identity() + by
    }

    fn take_loss(&mut self) -> Option<Loss> {
        self.loss.take()
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        // It may wait, and is told of now.
        let fault = self.muxer.fault(track, &item)?;
        let item = match (fault, item) {
            (Some(fault), Item::Segment { info, payload }) => {
                let (loss, _) = self.muxer.loss(payload.as_slice(), fault);
                self.loss = Some(loss.clone());
                if loss.kept {
                    Item::Segment { info, payload }
                } else {
                    gap(info, loss.why)
                }
            }
            (_, item) => item,
        };
        let part = self.part_of(track, &item);
        let first = self.part;
        let lane = self.lane(track);
        let later = first.is_some() && part > first;
        // An initialization section belongs to the segment behind it, of which nothing is known yet.
        if later || !lane.waiting.is_empty() || matches!(item, Item::Init { .. }) {
            lane.push(part, unbudgeted(item)?);
            let behind = lane.next();
            if behind.is_some() && (first.is_none() || behind <= first) {
                self.release(track, writes)?;
            }
            while self.is_due() {
                self.next_file(writes)?;
            }
            return Ok(());
        }
        self.part = first.or(part);
        self.deliver(track, item, writes)
    }

    /// Not while something waits for another file.
    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        let mut muxer = Vec::new();
        if self.lanes.iter().any(|lane| !lane.waiting.is_empty()) || !self.muxer.checkpoint(&mut muxer) {
            return false;
        }
        let lanes: Vec<_> = self.lanes.iter().map(Lane::save).collect();
        // All files tell the title that the first was begun with.
        let told = (&self.summary.container, &self.summary.notes, &self.presentation.title);
        let place = (
            (self.files, self.lost, self.muxers),
            (self.begun, self.lacks, self.is_fresh),
            self.part,
            &self.changes,
        );
        checkpoint::save(&(place, told, lanes, muxer), state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        let (((files, lost, muxers), (begun, lacks, is_fresh), part, changes), (container, notes, title), lanes, muxer) =
            checkpoint::read::<(Place, _, Vec<SavedLane<Changes, Vec<u8>>>, Vec<u8>)>(state)?;
        self.presentation.title = title;
        if self.muxers != muxers {
            self.next_muxer()?;
            self.muxers = muxers;
        }
        self.muxer.restore(&muxer)?;
        (self.lost, self.lacks, self.is_fresh) = (lost, lacks, is_fresh);
        (self.files, self.begun, self.part, self.changes) = (files, begun, part, changes);
        (self.summary.container, self.summary.notes) = (container, notes);
        self.lanes = lanes.into_iter().map(Lane::restore).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        while self.lanes.iter().any(|lane| lane.segments > 0) {
            self.next_file(writes)?;
        }
        self.complete(writes)?;
        let mut summary = mem::take(&mut self.summary);
        let each = if self.at_changes {
            "discontinuity or change"
        } else {
            "discontinuity"
        };
        summary.notes.push(format!("{} files, one for each {each}", self.files - self.lost));
        Ok(summary)
    }
}

impl Split {
    /// Lets out what waited only because nothing was known of it.
    fn release(&mut self, track: TrackId, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        loop {
            let current = self.part;
            let lane = self.lane(track);
            let next = lane.next();
            if next.is_none() || current.is_some() && next > current {
                return Ok(());
            }
            let Some(item) = lane.pop() else { return Ok(()) };
            self.part = current.or(next);
            self.deliver(track, item, writes)?;
        }
    }
}

/// How many numbers of files there are, of which nothing came, and of muxers; whether the file at hand has a segment, lacks one, and has
/// nothing at all; what it holds, and the changes that are known.
type Place = ((u32, u32, u32), (bool, bool, bool), Option<Part>, Vec<Part>);
/// The track, its initialization section, whether the file at hand has it, what changes are measured by, and how far it is.
type SavedLane<C, B> = (u32, Option<SavedInit<B>>, bool, C, Option<Part>, Duration);
/// The number of its first segment, where it was, and its bytes.
type SavedInit<B> = (u64, String, B);

impl Lane {
    /// What goes on in another process. Without secrets: what was opened is not opened again.
    fn save(&self) -> SavedLane<&Changes, &[u8]> {
        let init = self.init.as_ref();
        let init = init.map(|(info, bytes)| (info.first_msn, address(&info.resource.url), bytes.as_slice()));
        (self.track.number(), init, self.told, &self.changes, self.part, self.position)
    }

    fn restore((track, init, told, changes, part, position): SavedLane<Changes, Vec<u8>>) -> Result<Self, MuxError> {
        let track = TrackId::new(track);
        let init = init.map(|(first_msn, address, bytes)| {
            let url = Url::parse(&address).map_err(|_| MuxError::Unsupported {
                what: "what an earlier run left names no address of its initialization section: --no-resume begins anew".into(),
            })?;
            let resource = Resource::new(Kind::Init, url);
            let info = InitInfo {
                track,
                id: InitId::of(&resource),
                first_msn,
                encryption: Encryption::None,
                resource,
            };
            Ok((Arc::new(info), bytes))
        });
        Ok(Self {
            track,
            init: init.transpose()?,
            told,
            changes,
            part,
            position,
            waiting: VecDeque::new(),
            bytes: 0,
            segments: 0,
        })
    }

    /// The part that comes next.
    fn next(&self) -> Option<Part> {
        self.waiting.iter().find_map(|(part, _)| *part)
    }

    fn push(&mut self, part: Option<Part>, item: Item<Clear>) {
        self.bytes += weight(&item);
        self.segments += usize::from(part.is_some());
        self.waiting.push_back((part, item));
    }

    fn pop(&mut self) -> Option<Item<Clear>> {
        let (part, item) = self.waiting.pop_front()?;
        self.bytes -= weight(&item);
        self.segments -= usize::from(part.is_some());
        Some(item)
    }
}

fn weight(item: &Item<Clear>) -> usize {
    match item {
        Item::Init { payload, .. } | Item::Segment { payload, .. } => payload.as_slice().len(),
        Item::Gap { .. } => 0,
    }
}

/// The item with a copy of its bytes: what waits must not hold up the requests of its track.
fn unbudgeted(item: Item<Clear>) -> Result<Item<Clear>, MuxError> {
    Ok(match item {
        Item::Init { info, payload } => Item::Init {
            info,
            payload: copy(payload.as_slice())?,
        },
        Item::Segment { info, payload } => {
            let mut copied = copy(payload.as_slice())?;
            if payload.is_cut() {
                copied.mark_cut();
            }
            Item::Segment { info, payload: copied }
        }
        gap @ Item::Gap { .. } => gap,
    })
}

fn copy(bytes: &[u8]) -> Result<Clear, MuxError> {
    Sealed::unbudgeted(bytes).open(Ok::<_, MuxError>)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use aqueduct_core::SegmentInfo;

    use super::*;

    #[test]
    fn a_segment_that_waits_is_still_known_to_be_cut_short() {
        for is_cut in [false, true] {
            let Ok(mut payload) = Sealed::unbudgeted(&b"packets"[..]).open(Ok::<_, Infallible>);
            if is_cut {
                payload.mark_cut();
            }
            let resource = Resource::new(Kind::Segment, Url::parse("http://host.example/0").unwrap());
            let info = Arc::new(SegmentInfo::new(TrackId::new(0), 0, Duration::from_secs(2), resource));
            let Ok(Item::Segment { payload, .. }) = unbudgeted(Item::Segment { info, payload }) else {
                panic!("no segment");
            };
            assert_eq!((payload.as_slice(), payload.is_cut()), (&b"packets"[..], is_cut));
        }
    }
}
