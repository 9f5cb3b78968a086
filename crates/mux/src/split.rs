//! One file for each Discontinuity Sequence Number.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use aqueduct_core::{Clear, InitInfo, Item, Mux, MuxError, Presentation, Sealed, Summary, TrackId, Write, WriteAt};

use crate::Auto;

/// So many segments of a track wait at most for the other tracks to come to the same discontinuity, and so many bytes of
/// all tracks. A track may have ended.
const MAX_WAITING: usize = 8;
const MAX_BYTES: usize = 64 << 20;

/// Begins another file at each discontinuity (RFC 8216, 4.3.2.3), with a muxer of its own. The files are named `001`,
/// `002` and so on ([`WriteAt::File`]).
///
/// Every track of a file is of the same Discontinuity Sequence Number: a track that comes to the next one first waits for
/// the others. A period that brings no segment gets no file.
#[derive(Debug)]
pub struct Split {
    /// Of the file at hand.
    muxer: Auto,
    presentation: Presentation,
    seekable: bool,
    lanes: Vec<Lane>,
    /// Discontinuity Sequence Number of the file at hand.
    period: Option<u64>,
    /// Files so far.
    files: u32,
    /// Whether the file at hand has a segment.
    begun: bool,
    summary: Summary,
}

#[derive(Debug)]
struct Lane {
    track: TrackId,
    /// The initialization section in force, and whether the file at hand has it.
    init: Option<(Arc<InitInfo>, Vec<u8>)>,
    told: bool,
    /// What belongs to later files.
    waiting: VecDeque<Item<Clear>>,
    bytes: usize,
    /// Segments among that.
    segments: usize,
}

impl Split {
    /// A muxer that makes each file as `muxer` would.
    pub fn new(muxer: Auto) -> Self {
        Self {
            muxer,
            presentation: Presentation::default(),
            seekable: false,
            lanes: Vec::new(),
            period: None,
            files: 0,
            begun: false,
            summary: Summary::default(),
        }
    }

    fn lane(&mut self, track: TrackId) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.track == track).unwrap_or_else(|| {
            self.lanes.push(Lane {
                track,
                init: None,
                told: false,
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
        self.muxer.push(track, item, writes)
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
        self.period = self.lanes.iter().filter_map(|lane| lane.waiting.iter().find_map(period)).min();
        for lane in 0..self.lanes.len() {
            let track = self.lanes[lane].track;
            while let Some(number) = self.lanes[lane].waiting.iter().find_map(period) {
                if Some(number) != self.period {
                    break;
                }
                let Some(item) = self.lanes[lane].waiting.pop_front() else { break };
                self.lanes[lane].bytes -= weight(&item);
                self.lanes[lane].segments -= usize::from(period(&item).is_some());
                self.deliver(track, item, writes)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if !mem::take(&mut self.begun) {
            return Ok(());
        }
        let next = self.muxer.another();
        let mut muxer = mem::replace(&mut self.muxer, next);
        let summary = muxer.finish(writes)?;
        self.summary.container = summary.container;
        let number = self.files;
        let notes = summary.notes.into_iter().map(|note| format!("{number:03}: {note}"));
        self.summary.notes.extend(notes);
        self.lanes.iter_mut().for_each(|lane| lane.told = false);
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
        format!("{} by discontinuity", self.muxer.identity())
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let first = self.period;
        let lane = self.lane(track);
        let later = period(&item).is_some_and(|number| first.is_some_and(|first| number > first));
        // An initialization section belongs to the segment behind it, of which nothing is known yet.
        if later || !lane.waiting.is_empty() || matches!(item, Item::Init { .. }) {
            lane.segments += usize::from(period(&item).is_some());
            let item = unbudgeted(item)?;
            lane.bytes += weight(&item);
            lane.waiting.push_back(item);
            let behind = lane.waiting.iter().find_map(period);
            if behind.is_some() && (first.is_none() || behind <= first) {
                self.release(track, writes)?;
            }
            while self.is_due() {
                self.next_file(writes)?;
            }
            return Ok(());
        }
        if let Some(number) = period(&item) {
            self.period.get_or_insert(number);
        }
        self.deliver(track, item, writes)
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        while self.lanes.iter().any(|lane| lane.segments > 0) {
            self.next_file(writes)?;
        }
        self.complete(writes)?;
        let mut summary = mem::take(&mut self.summary);
        summary.notes.push(format!("{} files, one for each discontinuity", self.files));
        Ok(summary)
    }
}

impl Split {
    /// Lets out what waited only because nothing was known of it.
    fn release(&mut self, track: TrackId, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        loop {
            let current = self.period;
            let lane = self.lane(track);
            let Some(number) = lane.waiting.iter().find_map(period) else {
                return Ok(());
            };
            if current.is_some_and(|current| number > current) {
                return Ok(());
            }
            let Some(item) = lane.waiting.pop_front() else { return Ok(()) };
            lane.bytes -= weight(&item);
            lane.segments -= usize::from(period(&item).is_some());
            self.period.get_or_insert(number);
            self.deliver(track, item, writes)?;
        }
    }
}

/// The Discontinuity Sequence Number of an item; an initialization section has none.
fn period(item: &Item<Clear>) -> Option<u64> {
    match item {
        Item::Init { .. } => None,
        Item::Segment { info, .. } | Item::Gap { info, .. } => Some(info.discontinuity_sequence),
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
        Item::Segment { info, payload } => Item::Segment {
            info,
            payload: copy(payload.as_slice())?,
        },
        gap @ Item::Gap { .. } => gap,
    })
}

fn copy(bytes: &[u8]) -> Result<Clear, MuxError> {
    Sealed::unbudgeted(bytes).open(Ok::<_, MuxError>)
}
