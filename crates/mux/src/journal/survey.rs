//! What a journal proves of the part file beside it.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use aqueduct_core::{ByteRange, Gap, TrackId};
use sha2::{Digest, Sha256};

use super::disk::{Bytes, Span};
use super::record::{Entry, Fate, Job, Record, Records};

/// Gaps that are kept one by one for the report; beyond that only their number is.
const GAPS_KEPT: usize = 10_000;
/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;

/// The records of a journal file, up to `end`.
pub(crate) fn records(journal: &dyn Bytes, end: u64) -> io::Result<Records<BufReader<Span>>> {
    let span = Span::new(journal.share()?, 0, end);
    Ok(Records::new(BufReader::with_capacity(64 << 10, span)))
}

/// What a journal says of itself.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) job: Job,
    /// Bytes of the part file that were safe on the disk.
    synced: u64,
    /// The length under the final name, where an interruption gave the output that, and nothing came after.
    pub(crate) interrupted: Option<u64>,
}

/// The last place from which both files can go on, as their lengths there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) journal: u64,
    pub(crate) part: u64,
}

impl Survey {
    /// Reads a journal; `None` when it is none.
    pub(crate) fn of(journal: &dyn Bytes) -> io::Result<Option<Self>> {
        let mut records = records(journal, u64::MAX)?;
        let Some(Record::Job(job)) = records.next()? else {
            return Ok(None);
        };
        let (mut synced, mut interrupted) = (0, None);
        while let Some(record) = records.next()? {
            interrupted = None;
            match record {
                Record::Synced(length) => synced = length.max(synced),
                Record::Interrupted(length) => interrupted = Some(length),
                Record::Job(_) | Record::Entry(_) | Record::Checkpoint(_) => {}
            }
        }
        Ok(Some(Self { job, synced, interrupted }))
    }

    /// The last checkpoint up to which every entry is proved: by the mark that says that its bytes were on the disk, or by
    /// their digest.
    pub(crate) fn point(&self, journal: &dyn Bytes, part: &dyn Bytes) -> io::Result<Option<Point>> {
        let length = part.len()?;
        let mut records = records(journal, u64::MAX)?;
        let (mut point, mut end) = (None, 0_u64);
        while let Some(record) = records.next()? {
            match record {
                Record::Entry(Entry {
                    fate:
                        Fate::Written {
                            offset,
                            length: bytes,
                            sha256,
                        },
                    ..
                }) => {
                    let Some(next) = offset.checked_add(bytes).filter(|next| offset == end && *next <= length) else {
                        break;
                    };
                    if next > self.synced && digest(part, offset, bytes)? != sha256 {
                        break;
                    }
                    end = next;
                }
                Record::Checkpoint(_) => {
                    point = Some(Point {
                        journal: records.end(),
                        part: end,
                    });
                }
                Record::Entry(_) | Record::Job(_) | Record::Synced(_) | Record::Interrupted(_) => {}
            }
        }
        Ok(point)
    }
}

/// SHA-256 of a part of a file, as far as it is there.
pub(crate) fn digest(file: &dyn Bytes, offset: u64, length: u64) -> io::Result<[u8; 32]> {
    let mut span = Span::new(file.share()?, offset, offset.saturating_add(length));
    let mut piece = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE)).max(1)];
    let mut hasher = Sha256::new();
    loop {
        match span.read(&mut piece) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(read) => hasher.update(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is in an output so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Segments in the output.
    pub segments: u64,
    /// Segments that are not in the output, those that the playlist itself declares missing included.
    pub absent: u64,
    /// Segments that were on offer and are missing.
    pub missing: u64,
    /// The gaps, in the order of the output; of a stream that is full of them, the first 10,000.
    pub gaps: Vec<Gap>,
}

impl Tally {
    /// Counts a missing segment, together with its neighbours where they share its cause.
    pub(crate) fn miss(&mut self, new: Gap) {
        self.absent += new.segments;
        self.missing += if new.cause.was_on_offer() { new.segments } else { 0 };
        if let Some(gap) = self.gaps.iter_mut().rev().find(|gap| gap.track == new.track)
            && gap.cause == new.cause
            && gap.first_msn.checked_add(gap.segments) == Some(new.first_msn)
        {
            gap.segments += new.segments;
        } else if self.gaps.len() < GAPS_KEPT {
            self.gaps.push(new);
        }
    }
}

/// What an earlier run left in an output that is taken up.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Resumed {
    /// What is in the output.
    pub tally: Tally,
    /// Its length, in bytes.
    pub bytes: u64,
    /// How far each track is.
    pub lanes: Vec<LaneDone>,
}

/// How far a track of a resumed output is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LaneDone {
    /// The track.
    pub track: TrackId,
    /// Its playing time so far.
    pub position: Duration,
    /// Its segments in the output, and their playing time.
    pub segments: u64,
    /// Playing time of those.
    pub written: Duration,
    /// The initialization section in force.
    pub init: Option<(String, Option<ByteRange>)>,
}

impl Resumed {
    /// Sums up a journal to `point`.
    pub(crate) fn of(journal: &dyn Bytes, point: Point) -> io::Result<Self> {
        let mut resumed = Self {
            bytes: point.part,
            ..Self::default()
        };
        let mut records = records(journal, point.journal)?;
        while let Some(record) = records.next()? {
            if let Record::Entry(entry) = record {
                resumed.add(&entry);
            }
        }
        Ok(resumed)
    }

    fn add(&mut self, entry: &Entry) {
        let track = TrackId::new(entry.track);
        let at = self.lanes.iter().position(|lane| lane.track == track).unwrap_or_else(|| {
            self.lanes.push(LaneDone {
                track,
                position: Duration::ZERO,
                segments: 0,
                written: Duration::ZERO,
                init: None,
            });
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[at];
        if entry.init {
            let range = entry.range.map(|(offset, length)| ByteRange { offset, length });
            lane.init = Some((entry.address.clone(), range));
            return;
        }
        lane.position = lane.position.saturating_add(entry.duration);
        match entry.as_gap() {
            Some(gap) => self.tally.miss(gap),
            None => {
                lane.segments += 1;
                lane.written = lane.written.saturating_add(entry.duration);
                self.tally.segments += 1;
            }
        }
    }
}

/// The entries of one track of a journal, read as they are wanted.
#[derive(Debug)]
pub struct Entries {
    records: Records<BufReader<Span>>,
    track: u32,
}

impl Entries {
    pub(crate) fn new(journal: &dyn Bytes, end: u64, track: TrackId) -> io::Result<Self> {
        Ok(Self {
            records: records(journal, end)?,
            track: track.number(),
        })
    }

    /// The next entry. It blocks for as long as reading a file does.
    ///
    /// # Errors
    ///
    /// Those of the system.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide the error among its items")]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            match self.records.next()? {
                Some(Record::Entry(entry)) if entry.track == self.track => return Ok(Some(entry)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The checkpoints of a journal in their order, for a muxer to take up.
pub(crate) fn checkpoints<E>(journal: &dyn Bytes, end: u64, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> io::Result<Result<(), E>> {
    let mut records = records(journal, end)?;
    while let Some(record) = records.next()? {
        if let Record::Checkpoint(state) = record
            && let Err(error) = each(&state)
        {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}
