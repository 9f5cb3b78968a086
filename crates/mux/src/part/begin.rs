//! How a part begins: empty, or with what an earlier run left of the same job. That is proved first, and taken in hand only when
//! something goes behind it: whoever is refused until then leaves everything as it was.

use std::path::{Path, PathBuf};

use super::body::Body;
use super::found::{Found, exists, named};
use super::{Part, Replace, Safe, Shape, locked};
use crate::OutputError;
use crate::account::Growing;
use crate::journal::disk::{Bytes, Disk};
use crate::journal::job::Job;
use crate::journal::record::Record;
use crate::journal::survey::{Left, Point, Resumed, Subject, Survey};

/// What an earlier run left, proved and not changed yet.
#[derive(Debug)]
pub(super) struct Untouched {
    point: Point,
    /// Bytes that were safe on the disk.
    synced: u64,
    job: Job,
    /// The file that has its final name, locked.
    finished: Option<Box<dyn Bytes>>,
}

impl Part {
    /// Begins to keep a journal of `job`, or takes up what an earlier run did of the same job.
    pub(crate) fn begin(&mut self, job: &Job) -> Result<Option<Resumed>, OutputError> {
        let journal = match &self.lock {
            Some(lock) => lock.share().map_err(|source| self.journal_error(source))?,
            None => locked(&*self.disk, &self.journal, &self.path, "cannot be written")?,
        };
        if self.shape() == Shape::Folder {
            let left = Left::of(&*journal).map_err(|source| OutputError::io(&self.journal, "cannot be read", source))?;
            self.shared = matches!(left, Left::Journal(survey) if survey.had_name);
        }
        if let Body::Folder(folder) = &self.body {
            let misplaced = folder.any_misplaced(&*journal);
            if let Some(path) = misplaced.map_err(|source| OutputError::io(&self.journal, "cannot be read", source))? {
                return Err(OutputError::Special { path });
            }
        }
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
        // What one repair began and another cannot go on with is nobody's.
        let own = matches!(&left, Left::Journal(survey) if survey.by_repair && job.repair);
        let refused = match left {
            Left::Journal(survey) if survey.job.program != job.program => OutputError::OtherVersion { path },
            Left::OtherVersion => OutputError::OtherVersion { path },
            Left::Journal(survey) => match survey.difference(job) {
                None => return Ok(Some(survey)),
                Some(what) => OutputError::OtherStream { path, what },
            },
            Left::Begun | Left::Torn | Left::Foreign => return Ok(None),
        };
        if own || self.replace == Replace::All {
            Ok(None)
        } else {
            Err(refused)
        }
    }

    /// Goes on from the last place that both files prove. Nothing there is changed before the first byte goes behind it.
    fn take_up(&mut self, journal: Box<dyn Bytes>, survey: &Survey, job: &Job) -> Result<Option<Resumed>, OutputError> {
        let interrupted = match self.found {
            Some(Found::Interrupted(length)) => Some(length),
            _ => None,
        };
        let finished = match &self.body {
            Body::File(_) if interrupted.is_some() => Some(locked(&*self.disk, &self.target, &self.target, "cannot be opened")?),
            _ => None,
        };
        let subject = finished
            .as_deref()
            .map_or_else(|| self.body.subject(interrupted.is_some()), Subject::File);
        let point = survey
            .point(&*journal, subject, self.before)
            .map_err(self.error("cannot be read"))?;
        let Some(point) = point else {
            tracing::info!(path = %self.path.display(), "nothing in it can be taken up");
            return self.begin_empty(journal, job).map(|()| None);
        };
        self.check_files(&*journal, point, interrupted)?;
        let resumed = Resumed::of(&*journal, point).map_err(|source| OutputError::io(&self.journal, "cannot be read", source))?;
        let mut growing = Growing::new(journal, point.journal, point.part);
        growing.recall_patches().map_err(|source| self.journal_error(source))?;
        self.length = point.part;
        self.safe = Safe::to(point.part);
        self.growing = Some(growing);
        self.untouched = Some(Untouched {
            point,
            synced: survey.synced,
            job: job.clone(),
            finished,
        });
        Ok(Some(resumed))
    }

    /// Checks that going on from `point` takes nothing that is somebody's: a name, or what became of files that had theirs, so many
    /// bytes long in all.
    fn check_files(&self, journal: &dyn Bytes, point: Point, interrupted: Option<u64>) -> Result<(), OutputError> {
        let Body::Folder(folder) = &self.body else { return Ok(()) };
        folder.check_names(journal, point, interrupted.is_some(), self.replace != Replace::Nothing)?;
        let Some(length) = interrupted.filter(|_| self.replace != Replace::All) else {
            return Ok(());
        };
        let changed = folder.changed(journal, point, length).map_err(self.error("cannot be read"))?;
        changed.map_or(Ok(()), |path| Err(OutputError::Foreign { path }))
    }

    /// Takes in hand what was taken up, once something goes behind it: it gets the name of a part again, and what stands behind its
    /// end is cut off.
    pub(super) fn settle(&mut self) -> Result<(), OutputError> {
        let (Some(untouched), Some(growing)) = (&mut self.untouched, &mut self.growing) else {
            return Ok(());
        };
        let (point, synced, job) = (untouched.point, untouched.synced, untouched.job.clone());
        if let Some(Found::Interrupted(length)) = self.found {
            let finished = untouched.finished.as_deref();
            if let Some(path) = other(&*self.disk, &self.body, finished, &self.target, length) {
                return Err(OutputError::Foreign { path });
            }
            let taken = match &mut self.body {
                Body::Folder(folder) if folder.is_numbered() => folder.gather(growing.journal()),
                _ => self.disk.rename(&self.target, &self.path),
            };
            // Without a name the journal would be taken for that of a file that is whole.
            let taken = taken.and_then(|()| self.disk.sync_names(&self.path));
            taken.map_err(|source| OutputError::io(&self.target, "cannot be taken up again", source))?;
            match (&mut self.body, untouched.finished.take()) {
                (Body::Folder(folder), _) if !folder.is_numbered() => folder.is_renamed(&self.path),
                (body, Some(file)) => *body = Body::File(file),
                _ => {}
            }
        }
        self.untouched = None;
        self.found = Some(Found::Part);
        let cut = self.body.cut(growing.journal(), point, synced);
        cut.map_err(|source| OutputError::io(&self.path, "cannot be cut off", source))?;
        // The record that told of it is cut off.
        let named = self.shared.then_some(Record::Interrupted(point.part));
        let records: Vec<_> = named.into_iter().chain([Record::Job(job), Record::Synced(point.part)]).collect();
        let marked = growing.append(&records).and_then(|()| growing.cut_off());
        // What was safe behind its end once is not any more.
        let marked = marked.and_then(|()| growing.sync());
        marked.map_err(|source| OutputError::io(&self.journal, "cannot be written", source))?;
        self.found = None;
        Ok(())
    }

    /// Throws away what is there.
    fn begin_empty(&mut self, journal: Box<dyn Bytes>, job: &Job) -> Result<(), OutputError> {
        if matches!(self.found, Some(Found::Interrupted(_))) {
            let shape = self.body.shape();
            if self.replace != Replace::All || shape == Shape::Folder {
                return Err(exists(shape, &self.target));
            }
        }
        self.body
            .clear(&*journal)
            .map_err(|source| OutputError::io(&self.path, "cannot be emptied", source))?;
        let mut growing = Growing::new(journal, 0, 0);
        growing.reset().map_err(|source| self.journal_error(source))?;
        self.found = None;
        // A journal that cannot be begun is removed again with the part file.
        let growing = self.growing.insert(growing);
        // Bytes in the part file imply a journal that says whose they are.
        let named = [Record::Interrupted(0), Record::Synced(0)];
        let begun = growing
            .begin(job)
            .and_then(|()| growing.append(if self.shared { &named } else { &[] }))
            .and_then(|()| growing.sync());
        begun
            .and_then(|()| self.disk.sync_names(&self.path))
            .map_err(|source| self.journal_error(source))
    }
}

/// What has the name of an interrupted output of this length now, and is another.
fn other(disk: &dyn Disk, body: &Body, finished: Option<&dyn Bytes>, target: &Path, length: u64) -> Option<PathBuf> {
    match (body, finished) {
        (Body::File(_), Some(file)) => (!file.is_at(target)).then(|| target.into()),
        (Body::Folder(folder), _) if folder.is_numbered() => {
            let named = named(disk, target, length).ok()?;
            named.into_iter().find_map(|(path, changed)| changed.then_some(path))
        }
        (body, _) => (!body.is_at(target)).then(|| target.into()),
    }
}
