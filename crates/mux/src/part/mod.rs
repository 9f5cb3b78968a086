//! The part file: it grows beside the target, with its journal, and gets the target's name when it is whole.
//!
//! [`Part::open`] takes hold of it without touching what is there. [`Part::begin`] decides: what an earlier run left of the
//! same job is taken up, what is of another one is refused, or thrown away where the user said so. Then bytes are appended
//! and units recorded, until [`Part::commit`] gives the file its name. A part that is dropped before stays, as far as another
//! process can go on from it.

mod found;
mod names;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use aqueduct_core::TrackId;

use crate::OutputError;
use crate::account::{Account, Growing};
use crate::journal::disk::{Bytes, Disk, There, write_all};
use crate::journal::job::Job;
use crate::journal::record::{Entry, Record};
use crate::journal::survey::{self, Entries, Left, Point, Resumed, Survey};
use crate::journal::sync::Syncer;

use self::found::Found;
pub use self::found::{can_go_on, find_left};
pub use self::names::paths;
pub(crate) use self::names::with_suffix;

/// So many bytes are hashed on a thread of their own while they are written: either takes longer than to start it.
const ASIDE: usize = 256 << 10;

const UNSAFE: &str = "cannot be made safe on the disk";

/// What a part file may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Replace {
    Nothing,
    /// A target that is there.
    Target,
    /// That, and what stands in its own place, whatever it is of.
    All,
}

/// A file under a temporary name, locked against other processes.
#[derive(Debug)]
pub(crate) struct Part {
    disk: Arc<dyn Disk>,
    file: Box<dyn Bytes>,
    path: PathBuf,
    journal: PathBuf,
    target: PathBuf,
    replace: Replace,
    resume: bool,
    /// From this segment on, nothing is taken up.
    before: Option<(TrackId, u64)>,
    /// What stands here, until it is decided what becomes of it.
    found: Option<Found>,
    /// Where the next byte goes.
    length: u64,
    growing: Option<Growing>,
    safe: Safe,
    committed: bool,
}

/// How much of the output is safe on the disk.
#[derive(Debug)]
struct Safe {
    syncer: Option<Syncer>,
    asked: Instant,
    asked_length: u64,
    marked: u64,
}

impl Safe {
    fn to(length: u64) -> Self {
        Self {
            syncer: None,
            asked: Instant::now(),
            asked_length: length,
            marked: length,
        }
    }
}

/// Opening, and what becomes of what is there.
impl Part {
    /// Takes hold of the part file of `target`. What an earlier run left there stays as it is for now.
    pub(crate) fn open(disk: Arc<dyn Disk>, target: &Path, replace: Replace) -> Result<Self, OutputError> {
        let (path, journal) = paths(target);
        let (mut found, ours) = found::look(&*disk, target, replace)?;
        let file = locked(&*disk, &path, &path, "cannot be created")?;
        // The process that held the lock may have given the file its final name, or removed it, in the meantime.
        if !file.is_at(&path) {
            return Err(OutputError::Busy { path });
        }
        let length = file.len().map_err(|source| OutputError::io(&path, "cannot be read", source))?;
        let finished = found::has_appeared(&*disk, target, found, replace);
        if finished && length == 0 {
            disk.remove(&path)
                .map_err(|source| OutputError::io(&path, "cannot be removed", source))?;
        }
        if finished {
            return Err(OutputError::Exists { path: target.into() });
        }
        if length > 0 && !ours && replace != Replace::All {
            return Err(OutputError::Foreign { path });
        }
        if length == 0 && !ours && found == Found::Part {
            found = Found::Nothing;
        }
        Ok(Self {
            disk,
            file,
            path,
            journal,
            target: target.into(),
            replace,
            resume: true,
            before: None,
            found: Some(found),
            length: 0,
            growing: None,
            safe: Safe::to(0),
            committed: false,
        })
    }

    /// Begins anew, whatever an earlier run left.
    pub(crate) fn begin_anew(&mut self) {
        self.resume = false;
    }

    /// Takes up what an earlier run left no further than to the segment `msn` of `track`.
    pub(crate) fn begin_before(&mut self, track: TrackId, msn: u64) {
        self.before = Some((track, msn));
    }

    /// What an earlier run was doing here.
    pub(crate) fn left(&self) -> Option<Job> {
        let file = self.disk.read(&self.journal).ok()?;
        Survey::job(&*file).ok()?
    }

    /// Begins to keep a journal of `job`, or takes up what an earlier run did of the same job.
    pub(crate) fn begin(&mut self, job: &Job) -> Result<Option<Resumed>, OutputError> {
        let journal = locked(&*self.disk, &self.journal, &self.path, "cannot be written")?;
        if self.resume
            && self.found.is_some_and(Found::is_something)
            && let Some(survey) = self.survey(&*journal, job)?
        {
            return self.take_up(journal, &survey, job);
        }
        self.begin_empty(journal, job).map(|()| None)
    }

    /// What the journal says, if it is of `job`. What is of another one is an error, unless it may be replaced.
    fn survey(&self, journal: &dyn Bytes, job: &Job) -> Result<Option<Survey>, OutputError> {
        let left = Left::of(journal).map_err(|source| OutputError::io(&self.journal, "cannot be read", source))?;
        let path = self.path.clone();
        let refused = match left {
            Left::Journal(survey) if survey.job.program != job.program => OutputError::OtherVersion { path },
            Left::OtherVersion => OutputError::OtherVersion { path },
            Left::Journal(survey) => match survey.difference(job) {
                None => return Ok(Some(survey)),
                Some(what) => OutputError::OtherStream { path, what },
            },
            Left::Begun | Left::Torn | Left::Foreign => return Ok(None),
        };
        if self.replace == Replace::All { Ok(None) } else { Err(refused) }
    }

    /// Goes on from the last place that both files prove.
    fn take_up(&mut self, journal: Box<dyn Bytes>, survey: &Survey, job: &Job) -> Result<Option<Resumed>, OutputError> {
        let finished = match self.found {
            Some(Found::Interrupted(_)) => Some(locked(&*self.disk, &self.target, &self.target, "cannot be opened")?),
            _ => None,
        };
        let point = survey
            .point(&*journal, finished.as_deref().unwrap_or(&*self.file), self.before)
            .map_err(|source| OutputError::io(&self.path, "cannot be read", source))?;
        let Some(point) = point else {
            tracing::info!(path = %self.path.display(), "nothing in it can be taken up");
            return self.begin_empty(journal, job).map(|()| None);
        };
        let resumed = Resumed::of(&*journal, point).map_err(|source| OutputError::io(&self.journal, "cannot be read", source))?;
        if let Some(file) = finished {
            self.disk
                .rename(&self.target, &self.path)
                .map_err(|source| OutputError::io(&self.target, "cannot be taken up again", source))?;
            self.file = file;
            self.found = Some(Found::Part);
        }
        self.go_on(journal, point, job)?;
        Ok(Some(resumed))
    }

    /// Cuts both files back to `point`.
    fn go_on(&mut self, journal: Box<dyn Bytes>, point: Point, job: &Job) -> Result<(), OutputError> {
        let error = |source| OutputError::io(&self.path, "cannot be cut off", source);
        self.file.set_len(point.part).map_err(error)?;
        // All of it proved itself just now. A run that was cut off at its very end may have changed earlier bytes already,
        // which then could not do so again.
        self.file.sync().map_err(error)?;
        let mut growing = Growing::new(journal, point.journal, point.part);
        let marked = growing
            .append(&[Record::Job(job.clone()), Record::Synced(point.part)])
            .and_then(|()| growing.cut_off());
        marked.map_err(|source| self.journal_error(source))?;
        self.length = point.part;
        self.safe = Safe::to(point.part);
        self.found = None;
        self.growing = Some(growing);
        Ok(())
    }

    /// Throws away what is there.
    fn begin_empty(&mut self, journal: Box<dyn Bytes>, job: &Job) -> Result<(), OutputError> {
        if matches!(self.found, Some(Found::Interrupted(_))) && self.replace != Replace::All {
            return Err(OutputError::Exists { path: self.target.clone() });
        }
        let error = |source| OutputError::io(&self.path, "cannot be emptied", source);
        // An empty file is left alone: ext4 takes truncation for a replacement, and makes closing the file wait for the
        // allocation of all its blocks.
        if self.file.len().map_err(error)? > 0 {
            self.file.set_len(0).map_err(error)?;
        }
        let mut growing = Growing::new(journal, 0, 0);
        growing.reset().map_err(|source| self.journal_error(source))?;
        self.found = None;
        // A journal that cannot be begun is removed again with the part file.
        let growing = self.growing.insert(growing);
        // Bytes in the part file imply a journal that says whose they are.
        let begun = growing.begin(job).and_then(|()| growing.sync());
        begun
            .and_then(|()| self.disk.sync_names(&self.path))
            .map_err(|source| self.journal_error(source))
    }
}

/// What the journal tells, and what the disk does.
impl Part {
    /// The entries of a track in the journal so far.
    pub(crate) fn entries(&self, track: TrackId) -> Result<Option<Entries>, OutputError> {
        let Some(growing) = &self.growing else { return Ok(None) };
        let entries = Entries::new(growing.journal(), growing.end(), track);
        entries.map(Some).map_err(|source| self.journal_error(source))
    }

    /// Hands each checkpoint of the journal to `each`.
    pub(crate) fn checkpoints<E>(&self, each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Result<(), E>, OutputError> {
        let Some(growing) = &self.growing else { return Ok(Ok(())) };
        survey::checkpoints(growing.journal(), growing.end(), each).map_err(|source| self.journal_error(source))
    }

    pub(crate) fn is_journaled(&self) -> bool {
        self.growing.is_some()
    }

    /// Checks that so many bytes more have room, as far as the system tells.
    pub(crate) fn check_space(&self, needed: u64) -> Result<(), OutputError> {
        match self.disk.free(&self.path) {
            Some(free) if free < needed => Err(OutputError::NoSpace {
                path: self.path.clone(),
                needed,
                free,
            }),
            _ => Ok(()),
        }
    }

    fn error(&self, action: &'static str) -> impl Fn(io::Error) -> OutputError + use<> {
        let path = self.path.clone();
        move |source| OutputError::io(&path, action, source)
    }

    fn journal_error(&self, source: io::Error) -> OutputError {
        OutputError::io(&self.journal, "cannot be written", source)
    }

    /// Nobody would see what is written to a file without a name, and nobody's file is to get the name of ours.
    fn check_name(&self) -> Result<(), OutputError> {
        if self.file.is_at(&self.path) {
            Ok(())
        } else {
            Err(OutputError::Gone { path: self.path.clone() })
        }
    }
}

/// Growing.
impl Part {
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let growing = self.growing.as_mut();
        let written = std::thread::scope(|scope| {
            if let Some(growing) = growing {
                if bytes.len() < ASIDE {
                    growing.hash(bytes);
                } else {
                    scope.spawn(|| growing.hash(bytes));
                }
            }
            write_all(&*self.file, self.length, bytes)
        });
        written.map_err(self.error("cannot be written"))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes over earlier bytes. What was recorded cannot prove itself any more after that, so it is made safe first.
    pub(crate) fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutputError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.length {
            let source = io::Error::other("the muxer writes over bytes that are not there yet");
            return Err(OutputError::io(&self.path, "cannot be written", source));
        }
        if let Some(growing) = &mut self.growing {
            if self.safe.marked < growing.recorded() {
                self.file.sync().map_err(|source| OutputError::io(&self.path, UNSAFE, source))?;
                let recorded = growing.recorded();
                let marked = growing.append(&[Record::Synced(recorded)]).and_then(|()| growing.sync());
                if let Err(source) = marked {
                    return Err(self.journal_error(source));
                }
                self.safe.marked = recorded;
            }
            growing.patched(offset, end);
        }
        write_all(&*self.file, offset, bytes).map_err(self.error("cannot be written"))
    }

    /// Records a unit with the bytes that were appended since the last one, and what the muxer needs to go on from here.
    pub(crate) fn record(&mut self, entry: Entry, state: Option<Vec<u8>>) -> Result<(), OutputError> {
        let Some(growing) = &mut self.growing else { return Ok(()) };
        if let Err(source) = growing.record(entry, state, self.length) {
            return Err(self.journal_error(source));
        }
        self.mark_safe()?;
        self.make_safe()
    }

    /// Marks how far what there is has become safe.
    fn mark_safe(&mut self) -> Result<(), OutputError> {
        let (Some(growing), Some(syncer)) = (&mut self.growing, &self.safe.syncer) else {
            return Ok(());
        };
        let done = syncer.done().map_err(|source| OutputError::io(&self.path, UNSAFE, source))?;
        if done > self.safe.marked {
            self.safe.marked = done;
            if let Err(source) = growing.append(&[Record::Synced(done)]) {
                return Err(self.journal_error(source));
            }
        }
        Ok(())
    }

    /// Every now and then asks that what there is become safe.
    fn make_safe(&mut self) -> Result<(), OutputError> {
        let Some(growing) = &self.growing else { return Ok(()) };
        let (recorded, (time, bytes)) = (growing.recorded(), self.disk.pace());
        let due = self.safe.asked.elapsed() >= time || recorded - self.safe.asked_length >= bytes;
        if !due || recorded == self.safe.asked_length {
            return Ok(());
        }
        self.check_name()?;
        let syncer = match self.safe.syncer.take() {
            Some(syncer) => syncer,
            None => Syncer::start(&*self.file, growing.journal()).map_err(self.error(UNSAFE))?,
        };
        syncer.ask(recorded);
        self.safe.syncer = Some(syncer);
        self.safe.asked = Instant::now();
        self.safe.asked_length = recorded;
        Ok(())
    }
}

/// The end.
impl Part {
    /// Gives the file its final name. After an interruption the journal stays, so that it can be taken up again.
    pub(crate) fn commit(mut self, interrupted: bool) -> Result<Account, OutputError> {
        self.check_name()?;
        if self.replace == Replace::Nothing && self.disk.there(&self.target) != There::Nothing {
            return Err(OutputError::Exists { path: self.target.clone() });
        }
        self.safe.syncer = None;
        self.file.sync().map_err(self.error(UNSAFE))?;
        let length = self.length;
        if let Some(growing) = self.growing.as_mut().filter(|_| interrupted) {
            let marked = growing.append(&[Record::Interrupted(length)]).and_then(|()| growing.sync());
            marked.map_err(|source| self.journal_error(source))?;
        }
        self.disk
            .rename(&self.path, &self.target)
            .map_err(self.error("cannot be renamed to its final name"))?;
        self.committed = true;
        self.disk
            .sync_names(&self.target)
            .map_err(|source| OutputError::io(&self.target, UNSAFE, source))?;
        let file = self
            .file
            .share()
            .map_err(|source| OutputError::io(&self.target, "cannot be read", source))?;
        let remove = (!interrupted).then(|| (Arc::clone(&self.disk), self.journal.clone()));
        Ok(Account::new(self.growing.take(), Some(file), length, remove))
    }
}

impl Drop for Part {
    /// Keeps what can be taken up again, and removes what cannot.
    fn drop(&mut self) {
        let worth = self.growing.as_ref().is_some_and(Growing::can_go_on);
        if self.committed || worth || self.found == Some(Found::Part) {
            return;
        }
        // Closed before it is removed, for systems where that matters.
        self.safe.syncer = None;
        let has_journal = self.growing.take().is_some() || self.found == Some(Found::Journal);
        // Another process may have put a file of its own there.
        if !self.file.is_at(&self.path) {
            return;
        }
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the part file could not be removed");
        }
        if has_journal && let Err(error) = self.disk.remove(&self.journal) {
            tracing::warn!(path = %self.journal.display(), %error, "the journal could not be removed");
        }
    }
}

/// Opens `path`, and locks it against other processes: they write the part file `part`.
fn locked(disk: &dyn Disk, path: &Path, part: &Path, action: &'static str) -> Result<Box<dyn Bytes>, OutputError> {
    disk.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OutputError::Busy { path: part.into() },
        _ => OutputError::io(path, action, error),
    })
}
