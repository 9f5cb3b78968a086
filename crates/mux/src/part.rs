//! The part file: it grows beside the target, with its journal, and gets the target's name when it is whole.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::OutputError;
use crate::account::{Account, Growing};
use crate::journal::disk::{Bytes, Disk, There, write_all};
use crate::journal::record::{Entry, Job, MAX_RECORD, Record};
use crate::journal::survey::{self, Entries, Point, Resumed, Survey};
use crate::journal::sync::Syncer;

/// What is written is hashed in pieces of so many bytes: the processor's cache still holds each of them.
const PIECE: usize = 128 << 10;

/// A file under a temporary name, locked against other processes.
#[derive(Debug)]
pub(crate) struct Part {
    disk: Arc<dyn Disk>,
    file: Box<dyn Bytes>,
    path: PathBuf,
    target: PathBuf,
    overwrite: bool,
    resume: bool,
    /// Where the next byte goes.
    length: u64,
    /// Something stands here already, and nothing was decided about it yet.
    undecided: bool,
    /// A journal without a part file to its name.
    stale: bool,
    /// The target is what an interrupted run left, so long.
    interrupted: Option<u64>,
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

/// The path with more behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Where the part file of a target stands, and its journal.
pub(crate) fn paths(target: &Path) -> (PathBuf, PathBuf) {
    (with_suffix(target, ".part"), with_suffix(target, ".part.journal"))
}

/// Whether an earlier run left something of the output at `target` that can be taken up.
pub fn can_go_on(target: &Path) -> bool {
    let (_, journal) = paths(target);
    journal.symlink_metadata().is_ok_and(|there| there.is_file() && there.len() > 0)
}

/// Whether what stands where the journal goes cannot be one, not even one that was torn.
fn is_foreign(disk: &dyn Disk, journal: &Path) -> bool {
    let mut head = [0; 4];
    let read = disk.read(journal).and_then(|file| file.read_at(0, &mut head));
    read.is_ok_and(|read| read == head.len()) && u32::from_le_bytes(head) as usize > MAX_RECORD
}

impl Part {
    /// Takes hold of the part file of `target`. What an earlier run left there stays as it is for now.
    pub(crate) fn open(disk: Arc<dyn Disk>, target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        let (path, journal) = paths(target);
        // What stands there may be a link that somebody laid to another file.
        for path in [&path, &journal] {
            if matches!(disk.there(path), There::Link | There::Other) {
                return Err(OutputError::Special { path: path.clone() });
            }
        }
        let survey = match disk.there(&journal) {
            There::File(1..) => disk.read(&journal).and_then(|file| Survey::of(&*file)),
            _ => Ok(None),
        };
        let survey = survey.map_err(|source| OutputError::io(&journal, "cannot be read", source))?;
        if survey.is_none() && !overwrite && is_foreign(&*disk, &journal) {
            return Err(OutputError::Foreign { path: journal });
        }
        let left = survey.as_ref().and_then(|survey| survey.interrupted);
        let alone = disk.there(&path) == There::Nothing;
        let interrupted = match disk.there(target) {
            There::File(length) if left == Some(length) && alone => left,
            There::Nothing => None,
            _ if !overwrite => {
                // Left by a process that was killed when the target had its name already.
                if survey.is_some() && left.is_none() && alone {
                    disk.remove(&journal)
                        .map_err(|source| OutputError::io(&journal, "cannot be removed", source))?;
                }
                return Err(OutputError::Exists { path: target.into() });
            }
            // A pipe or a device would be replaced by a file.
            There::Other => return Err(OutputError::Special { path: target.into() }),
            There::File(_) | There::Link => None,
        };
        let file = match disk.open(&path) {
            Err(busy) if busy.kind() == io::ErrorKind::WouldBlock => return Err(OutputError::Busy { path }),
            opened => opened.map_err(|source| OutputError::io(&path, "cannot be created", source))?,
        };
        // The process that held the lock may have given the file its final name, or removed it, in the meantime.
        if !file.is_at(&path) {
            return Err(OutputError::Busy { path });
        }
        let length = file.len().map_err(|source| OutputError::io(&path, "cannot be read", source))?;
        if length > 0 && survey.is_none() && !overwrite {
            return Err(OutputError::Foreign { path });
        }
        Ok(Self {
            disk,
            file,
            path,
            target: target.into(),
            overwrite,
            resume: true,
            length: 0,
            undecided: length > 0 || interrupted.is_some() || survey.is_some() && !alone,
            stale: survey.is_some() && alone && interrupted.is_none(),
            interrupted,
            growing: None,
            safe: Safe {
                syncer: None,
                asked: Instant::now(),
                asked_length: 0,
                marked: 0,
            },
            committed: false,
        })
    }

    /// Begins anew, whatever an earlier run left.
    pub(crate) fn begin_anew(&mut self) {
        self.resume = false;
    }

    /// What an earlier run was doing here.
    pub(crate) fn left(&self) -> Option<Job> {
        let file = self.disk.read(&paths(&self.target).1).ok()?;
        Some(Survey::of(&*file).ok()??.job)
    }

    /// Begins to keep a journal of `job`, or takes up what an earlier run did of the same job.
    pub(crate) fn begin(&mut self, job: &Job) -> Result<Option<Resumed>, OutputError> {
        let journal_path = paths(&self.target).1;
        let io_error = |source| OutputError::io(&journal_path, "cannot be written", source);
        let journal = self.disk.open(&journal_path).map_err(io_error)?;
        if !self.undecided || !self.resume {
            return self.begin_empty(journal, job).map(|()| None);
        }
        let survey = Survey::of(&*journal).map_err(io_error)?;
        let difference = survey.as_ref().and_then(|survey| survey.job.difference(job));
        let Some(survey) = survey.filter(|_| difference.is_none() || !self.overwrite) else {
            return self.begin_empty(journal, job).map(|()| None);
        };
        if let Some(what) = difference {
            return Err(OutputError::OtherStream {
                path: self.path.clone(),
                what,
            });
        }
        let interrupted = self.interrupted.map(|_| self.disk.open(&self.target));
        let interrupted = interrupted
            .transpose()
            .map_err(|source| OutputError::io(&self.target, "cannot be opened", source))?;
        let read = |source| OutputError::io(&self.path, "cannot be read", source);
        let point = survey
            .point(&*journal, interrupted.as_deref().unwrap_or(&*self.file))
            .map_err(read)?;
        let Some(point) = point else {
            tracing::info!(path = %self.path.display(), "nothing in it can be taken up");
            return self.begin_empty(journal, job).map(|()| None);
        };
        let resumed = Resumed::of(&*journal, point).map_err(io_error)?;
        if let Some(file) = interrupted {
            self.disk
                .rename(&self.target, &self.path)
                .map_err(|source| OutputError::io(&self.target, "cannot be taken up again", source))?;
            self.file = file;
            self.interrupted = None;
        }
        self.go_on(journal, point)?;
        Ok(Some(resumed))
    }

    fn begin_empty(&mut self, journal: Box<dyn Bytes>, job: &Job) -> Result<(), OutputError> {
        if self.interrupted.is_some() && !self.overwrite {
            return Err(OutputError::Exists { path: self.target.clone() });
        }
        self.interrupted = None;
        let error = |source| OutputError::io(&self.path, "cannot be emptied", source);
        // An empty file is left alone: ext4 takes truncation for a replacement, and makes closing the file wait for the
        // allocation of all its blocks.
        if self.file.len().map_err(error)? > 0 {
            self.file.set_len(0).map_err(error)?;
        }
        let mut growing = Growing::new(journal, 0, 0);
        growing.reset().map_err(|source| self.journal_error(source))?;
        self.undecided = false;
        // Bytes in the part file imply a journal that says whose they are.
        let begun = growing.append(&[Record::Job(job.clone())]).and_then(|()| growing.sync());
        begun
            .and_then(|()| self.disk.sync_names(&self.path))
            .map_err(|source| self.journal_error(source))?;
        self.growing = Some(growing);
        Ok(())
    }

    fn go_on(&mut self, journal: Box<dyn Bytes>, point: Point) -> Result<(), OutputError> {
        let error = |source| OutputError::io(&self.path, "cannot be cut off", source);
        self.file.set_len(point.part).map_err(error)?;
        // All of it proved itself just now. A run that was cut off at its very end may have changed earlier bytes already,
        // which then could not do so again.
        self.file.sync().map_err(error)?;
        let mut growing = Growing::new(journal, point.journal, point.part);
        let marked = growing.append(&[Record::Synced(point.part)]).and_then(|()| growing.cut_off());
        marked.map_err(|source| self.journal_error(source))?;
        self.length = point.part;
        self.safe.marked = point.part;
        self.safe.asked_length = point.part;
        self.undecided = false;
        self.growing = Some(growing);
        Ok(())
    }

    /// The entries of a track in the journal so far.
    pub(crate) fn entries(&self, track: aqueduct_core::TrackId) -> Result<Option<Entries>, OutputError> {
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

    /// Whether `bytes` more can be had.
    pub(crate) fn check_space(&self, bytes: u64) -> Result<(), OutputError> {
        match self.disk.free(&self.path) {
            Some(free) if free < bytes => Err(OutputError::NoSpace {
                path: self.path.clone(),
                needed: bytes,
                free,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        for piece in bytes.chunks(PIECE) {
            write_all(&*self.file, self.length, piece).map_err(|source| OutputError::io(&self.path, "cannot be written", source))?;
            self.length += piece.len() as u64;
            if let Some(growing) = &mut self.growing {
                growing.hash(piece);
            }
        }
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
                self.file
                    .sync()
                    .map_err(|source| OutputError::io(&self.path, "cannot be made safe on the disk", source))?;
                let recorded = growing.recorded();
                let marked = growing.append(&[Record::Synced(recorded)]).and_then(|()| growing.sync());
                if let Err(source) = marked {
                    return Err(self.journal_error(source));
                }
                self.safe.marked = recorded;
            }
            growing.patched(offset, end);
        }
        write_all(&*self.file, offset, bytes).map_err(|source| OutputError::io(&self.path, "cannot be written", source))
    }

    /// Records a unit with the bytes that were appended since the last one, and what the muxer needs to go on from here.
    pub(crate) fn record(&mut self, entry: Entry, state: Option<Vec<u8>>) -> Result<(), OutputError> {
        let Some(growing) = &mut self.growing else { return Ok(()) };
        if let Err(source) = growing.record(entry, state, self.length) {
            return Err(self.journal_error(source));
        }
        self.keep_safe()
    }

    /// Every now and then has what there is made safe, and marks how far that got.
    fn keep_safe(&mut self) -> Result<(), OutputError> {
        let Some(growing) = &mut self.growing else { return Ok(()) };
        let recorded = growing.recorded();
        let error = |source| OutputError::io(&self.path, "cannot be made safe on the disk", source);
        if let Some(syncer) = &self.safe.syncer {
            let done = syncer.done().map_err(error)?;
            if done > self.safe.marked {
                self.safe.marked = done;
                if let Err(source) = growing.append(&[Record::Synced(done)]) {
                    return Err(self.journal_error(source));
                }
            }
        }
        let (time, bytes) = self.disk.pace();
        let due = self.safe.asked.elapsed() >= time || recorded - self.safe.asked_length >= bytes;
        if due && recorded > self.safe.asked_length {
            // Nobody would see what is written to a file without a name.
            if !self.file.is_at(&self.path) {
                return Err(OutputError::Gone { path: self.path.clone() });
            }
            if self.safe.syncer.is_none() {
                self.safe.syncer = Some(Syncer::start(&*self.file, growing.journal()).map_err(error)?);
            }
            self.safe.asked = Instant::now();
            self.safe.asked_length = recorded;
            if let Some(syncer) = &self.safe.syncer {
                syncer.ask(recorded);
            }
        }
        Ok(())
    }

    /// Gives the file its final name. After an interruption the journal stays, so that it can be taken up again.
    pub(crate) fn commit(mut self, interrupted: bool) -> Result<Account, OutputError> {
        if !self.overwrite && self.disk.there(&self.target) != There::Nothing {
            return Err(OutputError::Exists { path: self.target.clone() });
        }
        self.safe.syncer = None;
        self.file
            .sync()
            .map_err(|source| OutputError::io(&self.path, "cannot be made safe on the disk", source))?;
        let length = self.length;
        if let Some(growing) = self.growing.as_mut().filter(|_| interrupted) {
            let marked = growing.append(&[Record::Interrupted(length)]).and_then(|()| growing.sync());
            marked.map_err(|source| self.journal_error(source))?;
        }
        self.disk
            .rename(&self.path, &self.target)
            .map_err(|source| OutputError::io(&self.path, "cannot be renamed to its final name", source))?;
        self.committed = true;
        self.disk
            .sync_names(&self.target)
            .map_err(|source| OutputError::io(&self.target, "cannot be made safe on the disk", source))?;
        let file = self
            .file
            .share()
            .map_err(|source| OutputError::io(&self.target, "cannot be read", source))?;
        let keep = interrupted.then_some(());
        let journal = keep.is_none().then(|| (Arc::clone(&self.disk), paths(&self.target).1));
        Ok(Account::new(self.growing.take(), Some(file), length, journal))
    }

    fn journal_error(&self, source: io::Error) -> OutputError {
        OutputError::io(&paths(&self.target).1, "cannot be written", source)
    }
}

impl Drop for Part {
    /// Keeps what can be taken up again, and removes what cannot.
    fn drop(&mut self) {
        let worth = self.growing.as_ref().is_some_and(Growing::can_go_on);
        if self.committed || worth {
            return;
        }
        // Closed before it is removed, for systems where that matters.
        self.safe.syncer = None;
        let (path, journal) = paths(&self.target);
        if self.undecided && self.interrupted.is_none() {
            return;
        }
        let ours = self.growing.take().is_some() || self.stale;
        if let Err(error) = self.disk.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "the part file could not be removed");
        }
        if ours && let Err(error) = self.disk.remove(&journal) {
            tracing::warn!(path = %journal.display(), %error, "the journal could not be removed");
        }
    }
}
