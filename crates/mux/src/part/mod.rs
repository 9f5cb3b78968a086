//! The part file, or the folder of parts: it grows beside the target, with its journal, and gets the target's name when it is
//! whole.
//!
//! [`Part::open`] takes hold of it without touching what is there. [`Part::begin`] decides: what an earlier run left of the
//! same job is taken up, what is of another one is refused, or thrown away where the user said so. Then bytes are appended
//! and units recorded, until [`Part::commit`] gives the file its name. A part that is dropped before stays, as far as another
//! process can go on from it.

mod begin;
mod body;
mod found;
mod names;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aqueduct_core::TrackId;

use crate::OutputError;
use crate::account::{Account, Growing};
use crate::journal::disk::{Bytes, Disk};
use crate::journal::job::Job;
use crate::journal::record::{Entry, Record};
use crate::journal::survey::{self, Entries, Survey};
use crate::journal::sync::Syncer;

use self::begin::Untouched;
pub(crate) use self::body::Shape;
use self::body::{Body, Folder};
use self::found::{Found, exists, is_free, is_taken};
pub use self::found::{can_go_on, find_left, is_of_repair, is_untold};
pub use self::names::{file_within, paths};
pub(crate) use self::names::{numbered, with_suffix};

/// So many bytes are hashed on a thread of their own while they are written: either takes longer than to start it.
const ASIDE: usize = 256 << 10;

/// So many files of a folder wait at most to be made safe before that is asked for, and before the muxer waits for it.
const MOST_UNSAFE: usize = 1_000;
const MOST_WAITING: usize = 4_000;

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

impl Replace {
    /// All, if the user said so.
    pub(crate) fn all_if(overwrite: bool) -> Self {
        if overwrite { Self::All } else { Self::Nothing }
    }
}

/// A file or a folder under a temporary name, locked against other processes: the file itself is, and of a folder its journal.
#[derive(Debug)]
pub(crate) struct Part {
    disk: Arc<dyn Disk>,
    body: Body,
    /// The journal of a folder, from the beginning: it has the lock.
    lock: Option<Box<dyn Bytes>>,
    path: PathBuf,
    journal: PathBuf,
    target: PathBuf,
    replace: Replace,
    resume: bool,
    /// From this segment on, nothing is taken up.
    before: Option<(TrackId, u64)>,
    /// What stands here, until it is decided what becomes of it.
    found: Option<Found>,
    /// What is taken up, until something goes behind it.
    untouched: Option<Untouched>,
    /// The folder had its final name once: others may have put files of their own into it, which are not written over.
    shared: bool,
    /// Earlier bytes of the file at hand were written over.
    patched: bool,
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
    /// Takes hold of the part file of `target`, or of the folder. What an earlier run left there stays as it is for now.
    pub(crate) fn open(disk: Arc<dyn Disk>, target: &Path, shape: Shape, replace: Replace) -> Result<Self, OutputError> {
        let (path, journal) = paths(target);
        let (mut found, ours) = found::look(&*disk, target, shape, replace)?;
        let interrupted = matches!(found, Found::Interrupted(_));
        let (body, lock) = match shape {
            Shape::File => (Body::File(created(&*disk, &path, &path)?), None),
            Shape::Folder => {
                let lock = created(&*disk, &journal, &path)?;
                let folder = Folder::at(&disk, if interrupted { target } else { &path }, None);
                (Body::Folder(folder), Some(lock))
            }
            Shape::Numbered => {
                let lock = created(&*disk, &journal, &path)?;
                (Body::Folder(Folder::at(&disk, &path, Some(target))), Some(lock))
            }
        };
        // The process that held the lock may have given the output its final name, or removed it, in the meantime.
        let has_name = lock.as_ref().map_or_else(|| body.is_at(&path), |lock| lock.is_at(&journal));
        if !has_name {
            return Err(OutputError::Busy { path });
        }
        let empty = body.is_empty().map_err(|source| OutputError::io(&path, "cannot be read", source))?;
        let mut part = Self {
            disk,
            body,
            lock,
            path,
            journal,
            target: target.into(),
            replace,
            resume: true,
            before: None,
            found: Some(found),
            untouched: None,
            shared: false,
            patched: false,
            length: 0,
            growing: None,
            safe: Safe::to(0),
            committed: false,
        };
        if !interrupted && is_taken(&*part.disk, target, shape, replace) {
            part.found = Some(if empty { Found::Nothing } else { Found::Part });
            return Err(exists(shape, target));
        }
        if !empty && !ours && replace != Replace::All {
            part.found = Some(Found::Part);
            return Err(OutputError::Foreign { path: part.path.clone() });
        }
        if empty && !ours && found == Found::Part {
            found = Found::Nothing;
        }
        part.found = Some(found);
        Ok(part)
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

    /// Whether earlier bytes can be changed.
    pub(crate) fn is_seekable(&self) -> bool {
        self.shape() != Shape::Folder
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
        if self.body.is_at(&self.path) {
            Ok(())
        } else {
            Err(OutputError::Gone { path: self.path.clone() })
        }
    }
}

/// Growing.
impl Part {
    /// Begins another file of a folder.
    pub(crate) fn begin_file(&mut self, name: &str) -> Result<(), OutputError> {
        if self.shape() == Shape::File {
            return Err(OutputError::OneFile);
        }
        // Told as soon as it is known, and not when all of it came. What an interruption gave that name is taken back.
        if self.shape() == Shape::Numbered
            && let Some(named) = numbered(&self.target, name)
            && !self.has_named(name)?
        {
            is_free(&*self.disk, &named, self.replace != Replace::Nothing)?;
        }
        if let Body::Folder(folder) = &self.body
            && let Some(path) = folder.misplaced(name)
        {
            return Err(OutputError::Special { path });
        }
        self.settle()?;
        let Body::Folder(folder) = &mut self.body else {
            return Err(OutputError::OneFile);
        };
        if self.shared
            && self.replace != Replace::All
            && let Some(path) = folder.has(name)
        {
            return Err(OutputError::Foreign { path });
        }
        // What comes behind would prove what was recorded, and not what was written over that.
        if std::mem::take(&mut self.patched) {
            self.body.sync().map_err(|source| OutputError::io(&self.path, UNSAFE, source))?;
        }
        let Body::Folder(folder) = &mut self.body else {
            return Err(OutputError::OneFile);
        };
        // A file of which nothing tells would be taken for that of somebody else.
        if let Some(growing) = &mut self.growing {
            growing.begin_file(name, self.length);
            let told = growing.append(&[]);
            let told = told.and_then(|()| if self.shared { growing.sync() } else { Ok(()) });
            told.map_err(|source| OutputError::io(&self.journal, "cannot be written", source))?;
        }
        // Nobody would see what is written to a folder that has lost its name.
        let begun = folder.begin_file(name, self.length);
        begun.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OutputError::Gone { path: self.path.clone() },
            _ => OutputError::io(&self.path, "cannot be written", source),
        })
    }

    /// Whether an interruption gave a numbered file its final name, which it has still.
    fn has_named(&self, name: &str) -> Result<bool, OutputError> {
        let (Some(Found::Interrupted(_)), Some(growing)) = (self.found, &self.growing) else {
            return Ok(false);
        };
        let told = survey::files(growing.journal(), u64::MAX).map_err(|source| self.journal_error(source))?;
        Ok(told.iter().any(|(own, _)| own == name))
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.settle()?;
        let (growing, body, length) = (self.growing.as_mut().map(Mutex::new), &mut self.body, self.length);
        let hash = || {
            if let Some(growing) = &growing {
                growing.lock().unwrap_or_else(PoisonError::into_inner).hash(bytes);
            }
        };
        let written = std::thread::scope(|scope| {
            let aside = || std::thread::Builder::new().name("hash".into()).spawn_scoped(scope, hash);
            // A system that has no other thread has this one.
            if bytes.len() < ASIDE || aside().is_err() {
                hash();
            }
            body.write(length, bytes)
        });
        written.map_err(self.error("cannot be written"))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes over earlier bytes of the file at hand. What was recorded cannot prove itself any more after that, so it is made safe first.
    pub(crate) fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutputError> {
        if !self.is_seekable() {
            return Err(OutputError::NotSeekable);
        }
        self.settle()?;
        let offset = offset.saturating_add(self.body.start());
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.length {
            let source = io::Error::other("the muxer writes over bytes that are not there yet");
            return Err(OutputError::io(&self.path, "cannot be written", source));
        }
        if let Some(growing) = &mut self.growing {
            if self.safe.marked < growing.recorded() {
                self.body.sync().map_err(|source| OutputError::io(&self.path, UNSAFE, source))?;
                let recorded = growing.recorded();
                let marked = growing.append(&[Record::Synced(recorded)]).and_then(|()| growing.sync());
                if let Err(source) = marked {
                    return Err(self.journal_error(source));
                }
                self.safe.marked = recorded;
            }
            let told = growing.patched(offset, end);
            told.map_err(|source| OutputError::io(&self.journal, "cannot be written", source))?;
        }
        self.patched = true;
        self.body.write(offset, bytes).map_err(self.error("cannot be written"))
    }

    /// Records a unit with the bytes that were appended since the last one, and what the muxer needs to go on from here.
    pub(crate) fn record(&mut self, entry: Entry, state: Option<Vec<u8>>) -> Result<(), OutputError> {
        self.settle()?;
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
        let files = self.body.unsafe_files();
        let due = self.safe.asked.elapsed() >= time || recorded - self.safe.asked_length >= bytes || files >= MOST_UNSAFE;
        if !due || recorded == self.safe.asked_length {
            return Ok(());
        }
        self.check_name()?;
        let syncer = match self.safe.syncer.take() {
            Some(syncer) => syncer,
            None => {
                let media = self.body.media().map_err(self.error(UNSAFE))?;
                Syncer::start(media, growing.journal()).map_err(self.error(UNSAFE))?
            }
        };
        let later = syncer.ask(recorded, self.body.take_written(), files >= MOST_WAITING);
        self.body.put_back(later);
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
        self.settle()?;
        self.check_name()?;
        if is_taken(&*self.disk, &self.target, self.shape(), self.replace) {
            return Err(exists(self.shape(), &self.target));
        }
        self.end_syncer()?;
        let length = self.length;
        let shape = self.shape();
        if let Some(growing) = self.growing.as_mut().filter(|_| shape != Shape::File) {
            growing.end_file(length);
            growing
                .append(&[])
                .map_err(|source| OutputError::io(&self.journal, "cannot be written", source))?;
        }
        self.body.sync().map_err(self.error(UNSAFE))?;
        // Numbered files get their names one by one: whoever is killed meanwhile takes them back.
        let is_marked = interrupted || shape == Shape::Numbered;
        if let Some(growing) = self.growing.as_mut().filter(|_| is_marked) {
            let marked = growing.append(&[Record::Interrupted(length)]).and_then(|()| growing.sync());
            marked.map_err(|source| self.journal_error(source))?;
        }
        let replace = self.replace != Replace::Nothing;
        let files = match &mut self.body {
            Body::Folder(folder) if folder.is_numbered() => match &self.growing {
                Some(growing) => folder.give_names(growing.journal(), growing.end(), replace)?,
                None => Vec::new(),
            },
            _ => {
                let renamed = self.disk.rename(&self.path, &self.target);
                renamed.map_err(self.error("cannot be renamed to its final name"))?;
                Vec::new()
            }
        };
        self.committed = true;
        self.disk
            .sync_names(&self.target)
            .map_err(|source| OutputError::io(&self.target, UNSAFE, source))?;
        let file = match &self.body {
            Body::File(file) => Some(file.share()),
            Body::Folder(_) => None,
        };
        let file = file
            .transpose()
            .map_err(|source| OutputError::io(&self.target, "cannot be read", source))?;
        let remove = (!interrupted).then(|| (Arc::clone(&self.disk), self.journal.clone()));
        Ok(Account::new(self.growing.take(), file, length, remove).of_files(files))
    }

    /// Waits for what is being made safe.
    fn end_syncer(&mut self) -> Result<(), OutputError> {
        match self.safe.syncer.take().map(Syncer::end) {
            Some(Err(source)) => Err(OutputError::io(&self.path, UNSAFE, source)),
            _ => Ok(()),
        }
    }

    fn shape(&self) -> Shape {
        self.body.shape()
    }
}

impl Drop for Part {
    /// Keeps what can be taken up again, and removes what cannot.
    fn drop(&mut self) {
        // What was taken up and not touched stays as it is.
        let growing = self.growing.take().filter(|_| self.untouched.is_none());
        if self.committed || growing.as_ref().is_some_and(Growing::can_go_on) {
            return;
        }
        // Closed before it is removed, for systems where that matters.
        self.safe.syncer = None;
        let keep = self.found == Some(Found::Part);
        let mut has_journal = growing.is_some() || self.found == Some(Found::Journal);
        if let Some(lock) = self.lock.take() {
            // An empty one only had the lock.
            let empty = lock.len().is_ok_and(|length| length == 0);
            has_journal = (has_journal && !keep || empty) && lock.is_at(&self.journal);
        } else if keep {
            return;
        }
        let removed = match &mut self.body {
            // Another process may have put a file of its own there.
            Body::File(file) if !file.is_at(&self.path) => return,
            Body::File(_) => self.disk.remove(&self.path),
            Body::Folder(folder) => match &growing {
                Some(growing) if folder.is_at(&self.path) => folder.remove(growing.journal()),
                _ => Ok(()),
            },
        };
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "what was begun could not be removed");
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

fn created(disk: &dyn Disk, path: &Path, part: &Path) -> Result<Box<dyn Bytes>, OutputError> {
    locked(disk, path, part, "cannot be created").map_err(|error| match error {
        OutputError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => OutputError::NoFolder { path: part.into() },
        error => error,
    })
}
