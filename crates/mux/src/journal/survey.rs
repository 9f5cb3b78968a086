//! What a journal proves of the part file beside it.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use aqueduct_core::{ByteRange, Changes, Gap, GapCause, TrackId};
use sha2::{Digest, Sha256};

use super::disk::{Bytes, Disk, Span, There};
use super::job::Job;
use super::record::{Entry, Fate, Head, MAGIC, MOST_JOB, Record, Records};
use crate::part::{file_within, numbered};

/// Gaps that are kept one by one for the report; beyond that only their number is.
const GAPS_KEPT: usize = 10_000;
/// Places that were written over after they were recorded. A muxer has a handful; beyond that all is taken for changed.
const MAX_PATCHES: usize = 256;
/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;

/// The records of a journal file, up to `end`.
pub(crate) fn records(journal: &dyn Bytes, end: u64) -> io::Result<Records<BufReader<Span>>> {
    let span = Span::new(journal.share()?, MAGIC.len() as u64, end);
    Ok(Records::new(BufReader::with_capacity(64 << 10, span), MAGIC.len() as u64))
}

/// The files that a journal tells of up to `end`, and where in the output each begins.
pub(crate) fn files(journal: &dyn Bytes, end: u64) -> io::Result<Vec<(String, u64)>> {
    let (mut records, mut files) = (records(journal, end)?, Vec::<(String, u64)>::new());
    while let Some(record) = records.next()? {
        let Record::File { name, start } = record else { continue };
        // What was cut off since does not count.
        while files.last().is_some_and(|(_, before)| *before > start) {
            files.pop();
        }
        let mut here = files.iter().rev().take_while(|(_, before)| *before == start);
        if let Some(behind) = here.position(|(known, _)| *known == name) {
            files.truncate(files.len() - 1 - behind);
        }
        files.push((name, start));
    }
    Ok(files)
}

/// What stands where a journal may be.
#[derive(Debug)]
pub(crate) enum Left {
    /// A journal.
    Journal(Survey),
    /// The beginning of a journal whose first record did not get to the disk.
    Begun,
    /// The journal of another version of this program, in another format.
    OtherVersion,
    /// Nothing, or so little that it tells nothing.
    Torn,
    /// A file of somebody else.
    Foreign,
}

impl Left {
    /// Reads it to its end.
    pub(crate) fn of(journal: &dyn Bytes) -> io::Result<Self> {
        Ok(match head(journal)? {
            Head::Journal => Survey::of(journal)?.map_or(Self::Begun, Self::Journal),
            Head::OtherVersion => Self::OtherVersion,
            Head::Torn => Self::Torn,
            Head::Foreign => Self::Foreign,
        })
    }

    /// The length under the final name, where an interruption gave the output that, and nothing came after.
    pub(crate) fn interrupted(&self) -> Option<u64> {
        match self {
            Self::Journal(survey) => survey.interrupted,
            _ => None,
        }
    }
}

/// Whether it is a journal of this format, its first record whole or not.
pub(crate) fn is_journal(journal: &dyn Bytes) -> io::Result<bool> {
    Ok(matches!(head(journal)?, Head::Journal))
}

fn head(journal: &dyn Bytes) -> io::Result<Head> {
    let mut bytes = Vec::new();
    Span::new(journal.share()?, 0, 64).read_to_end(&mut bytes)?;
    Ok(Head::of(&bytes))
}

/// What a journal says of itself.
#[derive(Debug)]
pub(crate) struct Survey {
    /// What was done, as the last run that went on had it.
    pub(crate) job: Job,
    /// Whether all runs that went on with it were repairs.
    pub(crate) by_repair: bool,
    /// Whether it has a segment, and whether it has one that was encrypted.
    has_media: bool,
    has_opened: bool,
    /// Bytes of the output that were safe on the disk.
    pub(crate) synced: u64,
    /// Whether an interruption ever gave the output its final name, under which others may have put files of their own into it.
    pub(crate) had_name: bool,
    /// The length under the final name, where an interruption gave the output that, and nothing came after.
    pub(crate) interrupted: Option<u64>,
}

/// Bytes of an output that may be others than the digests of their units tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patches(Vec<(u64, u64)>);

impl Patches {
    /// Those that a journal tells of up to `end`.
    pub(crate) fn of(journal: &dyn Bytes, end: u64) -> io::Result<Self> {
        let (mut records, mut patches) = (records(journal, end)?, Self::default());
        while let Some(record) = records.next()? {
            if let Record::Patched { start, end } = record {
                patches.add(start, end);
            }
        }
        Ok(patches)
    }

    /// The bytes from `start` to `end`.
    pub(crate) fn add(&mut self, start: u64, end: u64) {
        if self.0.len() == MAX_PATCHES {
            self.0 = vec![(0, u64::MAX)];
        } else {
            self.0.push((start, end));
        }
    }

    /// Whether there are some among these bytes.
    pub(crate) fn touch(&self, start: u64, length: u64) -> bool {
        let end = start.saturating_add(length);
        self.0.iter().any(|(from, to)| *from < end && start < *to)
    }
}

/// The last place from which the journal and the output can go on, as their lengths there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) journal: u64,
    pub(crate) part: u64,
}

/// What a journal is of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// One file.
    File(&'a dyn Bytes),
    /// The files of a folder, or where they are not there any more, of the target of numbered ones.
    Folder(&'a dyn Disk, &'a Path, Option<&'a Path>),
}

/// Goes through what a journal is of, from front to back.
struct Proof<'a> {
    subject: Subject<'a>,
    /// The file at hand, where it begins, and its length.
    file: Option<Box<dyn Bytes>>,
    start: u64,
    length: u64,
    /// How far it is.
    end: u64,
}

impl<'a> Proof<'a> {
    fn new(subject: Subject<'a>) -> io::Result<Self> {
        let (file, length) = match subject {
            Subject::File(file) => (Some(file.share()?), file.len()?),
            Subject::Folder(..) => (None, 0),
        };
        let (start, end) = (0, 0);
        Ok(Self {
            subject,
            file,
            start,
            length,
            end,
        })
    }

    /// Goes on to another file. Whether it is there, and the one before it has no more bytes than were told.
    fn begin_file(&mut self, name: &str, start: u64) -> io::Result<bool> {
        let Subject::Folder(disk, folder, target) = self.subject else {
            return Ok(false);
        };
        let complete = self.file.is_none() || self.start.checked_add(self.length) == Some(start);
        let path = file_within(folder, name).filter(|_| complete && start == self.end);
        let Some(mut path) = path else { return Ok(false) };
        if disk.there(&path) == There::Nothing
            && let Some(named) = target.and_then(|target| numbered(target, name))
        {
            path = named;
        }
        let There::File(length) = disk.there(&path) else { return Ok(false) };
        self.file = Some(disk.read(&path)?);
        (self.start, self.length) = (start, length);
        Ok(true)
    }

    /// Whether these bytes come next, and are there: by their digest, unless they are known to be `safe`.
    fn holds(&mut self, offset: u64, length: u64, sha256: [u8; 32], safe: u64) -> io::Result<bool> {
        let (Some(file), Some(from)) = (&self.file, offset.checked_sub(self.start)) else {
            return Ok(false);
        };
        let Some(next) = offset.checked_add(length) else { return Ok(false) };
        if offset != self.end || next - self.start > self.length {
            return Ok(false);
        }
        let proved = next <= safe || digest(&**file, from, length)? == sha256;
        self.end = next;
        Ok(proved)
    }
}

impl Survey {
    /// Reads the records of a journal; `None` when the first is not whole.
    fn of(journal: &dyn Bytes) -> io::Result<Option<Self>> {
        let mut records = records(journal, u64::MAX)?;
        let Some(Record::Job(job)) = records.next()? else {
            return Ok(None);
        };
        let mut survey = Self {
            by_repair: job.repair,
            job,
            has_media: false,
            has_opened: false,
            synced: 0,
            had_name: false,
            interrupted: None,
        };
        while let Some(record) = records.next()? {
            survey.interrupted = None;
            match record {
                Record::Job(job) => {
                    survey.by_repair &= job.repair;
                    survey.job = job;
                }
                Record::Entry(entry) => {
                    survey.has_media |= entry.is_media();
                    survey.has_opened |= entry.is_media() && entry.encrypted;
                }
                Record::Synced(length) => survey.synced = survey.synced.max(length),
                Record::Interrupted(length) => {
                    survey.interrupted = Some(length);
                    survey.had_name = true;
                }
                Record::Checkpoint(_) | Record::File { .. } | Record::Rest { .. } | Record::Patched { .. } => {}
            }
        }
        Ok(Some(survey))
    }

    /// How `job` differs, so that it cannot go on here. What it is given to decrypt with counts from where that was used: a
    /// wrong key that opened nothing can be put right.
    pub(crate) fn difference(&self, job: &Job) -> Option<String> {
        let changed = || self.job.changed(job).filter(|_| self.has_media);
        let there = |changes| match changes {
            Changes::All => self.has_media,
            Changes::Encrypted => self.has_opened,
            // Nothing that is locked was written.
            _ => false,
        };
        let added = || self.job.added(job, there);
        self.job.difference(job).or_else(changed).or_else(added)
    }

    /// What a journal says was done at first; `None` when it is none.
    pub(crate) fn job(journal: &dyn Bytes) -> io::Result<Option<Job>> {
        if !matches!(head(journal)?, Head::Journal) {
            return Ok(None);
        }
        Ok(match records(journal, MOST_JOB)?.next()? {
            Some(Record::Job(job)) => Some(job),
            _ => None,
        })
    }

    /// The last checkpoint up to which every entry is proved: by the mark that says that its bytes were on the disk, or by
    /// their digest. Nothing from the segment `before` on is taken up, nor are segments at the end that could not be had:
    /// they are tried again.
    pub(crate) fn point(&self, journal: &dyn Bytes, subject: Subject<'_>, before: Option<(TrackId, u64)>) -> io::Result<Option<Point>> {
        let mut proof = Proof::new(subject)?;
        let mut records = records(journal, u64::MAX)?;
        let (mut point, mut failed) = (None::<Point>, false);
        loop {
            let start = records.end();
            let Some(record) = records.next()? else { break };
            let holds = match record {
                Record::Entry(entry) if !entry.init && before == Some((TrackId::new(entry.track), entry.msn)) => false,
                Record::Entry(Entry { fate: Fate::Failed(_), .. }) => {
                    failed = true;
                    true
                }
                Record::Entry(Entry {
                    fate: Fate::Written { offset, length, sha256 },
                    cut,
                    ..
                }) => {
                    failed = cut.is_some();
                    proof.holds(offset, length, sha256, self.synced)?
                }
                Record::Rest { offset, length, sha256 } => proof.holds(offset, length, sha256, self.synced)?,
                Record::File { name, start } => proof.begin_file(&name, start)?,
                Record::Checkpoint(_) => {
                    if !failed {
                        point = Some(Point {
                            journal: records.end(),
                            part: proof.end,
                        });
                    }
                    true
                }
                // It stays, as bytes that were written over since cannot prove themselves.
                Record::Synced(length) => {
                    if let Some(point) = point.as_mut().filter(|point| point.journal == start && length <= point.part) {
                        point.journal = records.end();
                    }
                    true
                }
                Record::Entry(_) | Record::Job(_) | Record::Interrupted(_) | Record::Patched { .. } => true,
            };
            if !holds {
                break;
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
    /// Segments that were on offer and are missing, or are there in part.
    pub missing: u64,
    /// The gaps, in the order of the output; of a stream that is full of them, the first 10,000.
    pub gaps: Vec<Gap>,
}

impl Tally {
    /// Counts a missing segment, together with its neighbours where they share its cause. One that is there in part is missing,
    /// and not absent.
    pub(crate) fn miss(&mut self, new: Gap) {
        // What a live window leaps over is the server's claim.
        let absent = if matches!(new.cause, GapCause::Cut(_)) { 0 } else { new.segments };
        self.absent = self.absent.saturating_add(absent);
        self.missing = self.missing.saturating_add(if new.cause.was_on_offer() { new.segments } else { 0 });
        if let Some(gap) = self.gaps.iter_mut().rev().find(|gap| gap.track == new.track)
            && gap.cause == new.cause
            && gap.first_msn.checked_add(gap.segments) == Some(new.first_msn)
        {
            gap.segments = gap.segments.saturating_add(new.segments);
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
    /// SHA-256 of the bytes that it brought.
    pub section: Option<[u8; 32]>,
    /// Whether its playlist could still grow when the output was begun.
    pub was_live: bool,
    /// The address of the key under which the last unit lay that was seen to be padded, as the journal tells it.
    pub padded: Option<String>,
}

impl Resumed {
    /// Sums up a journal to `point`.
    pub(crate) fn of(journal: &dyn Bytes, point: Point) -> io::Result<Self> {
        let mut resumed = Self {
            bytes: point.part,
            ..Self::default()
        };
        let mut records = records(journal, point.journal)?;
        let mut live = Vec::new();
        while let Some(record) = records.next()? {
            match record {
                Record::Job(job) => live.extend(job.tracks.iter().filter(|track| track.live).map(|track| track.number)),
                Record::Entry(entry) => resumed.add(&entry),
                _ => {}
            }
        }
        for lane in &mut resumed.lanes {
            lane.was_live = live.contains(&lane.track.number());
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
                section: None,
                was_live: false,
                padded: None,
            });
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[at];
        if entry.padded {
            lane.padded.clone_from(&entry.key);
        }
        if entry.init {
            let range = entry.range.map(|(offset, length)| ByteRange { offset, length });
            lane.init = Some((entry.address.clone(), range));
            lane.section = match entry.fate {
                Fate::Written { sha256, .. } => Some(sha256),
                _ => None,
            };
            return;
        }
        lane.position = lane.position.saturating_add(entry.playing_time());
        if entry.is_media() {
            lane.segments += 1;
            lane.written = lane.written.saturating_add(entry.duration);
            self.tally.segments += 1;
        }
        if let Some(gap) = entry.as_gap() {
            self.tally.miss(gap);
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
