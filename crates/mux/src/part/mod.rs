//! The part file: it grows beside the target, with its journal, and gets the target's name when it is whole.
//!
//! [`Part::open`] takes hold of it without touching what is there. [`Part::begin`] decides: what an earlier run left of the
//! same job is taken up, what is of another one is refused, or thrown away where the user said so. Then bytes are appended
//! and units recorded, until [`Part::commit`] gives the file its name. A part that is dropped before stays, as far as another
//! process can go on from it.

mod found;
mod names;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use aqueduct_core::TrackId;

use crate::OutputError;
use crate::account::{Account, Growing};
use crate::journal::disk::{Bytes, Disk, There, write_all};
use crate::journal::record::{Entry, Job, Record};
use crate::journal::survey::{self, Entries, Left, Point, Resumed, Survey};
use crate::journal::sync::Syncer;

use self::found::Found;
pub use self::found::{can_go_on, find_left};
pub(crate) use self::names::{paths, with_suffix};

/// What is written is hashed in pieces of so many bytes: the processor's cache still holds each of them.
const PIECE: usize = 128 << 10;

const UNSAFE: &str = "cannot be made safe on the disk";

/// A file under a temporary name, locked against other processes.
#[derive(Debug)]
pub(crate) struct Part {
    disk: Arc<dyn Disk>,
    file: Box<dyn Bytes>,
    path: PathBuf,
    journal: PathBuf,
    target: PathBuf,
    overwrite: bool,
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
    pub(crate) fn open(disk: Arc<dyn Disk>, target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        let (path, journal) = paths(target);
        let (mut found, ours) = found::look(&*disk, target, overwrite)?;
        let file = locked(&*disk, &path, &path, "cannot be created")?;
        // The process that held the lock may have given the file its final name, or removed it, in the meantime.
        if !file.is_at(&path) {
            return Err(OutputError::Busy { path });
        }
        let length = file.len().map_err(|source| OutputError::io(&path, "cannot be read", source))?;
        let finished = found::has_appeared(&*disk, target, found, overwrite);
        if finished && length == 0 {
            disk.remove(&path)
                .map_err(|source| OutputError::io(&path, "cannot be removed", source))?;
        }
        if finished {
            return Err(OutputError::Exists { path: target.into() });
        }
        if length > 0 && !ours && !overwrite {
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
            overwrite,
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
        if self.overwrite { Ok(None) } else { Err(refused) }
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
        if matches!(self.found, Some(Found::Interrupted(_))) && !self.overwrite {
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
        // Bytes in the part file imply a journal that says whose they are.
        let begun = growing.begin(job).and_then(|()| growing.sync());
        begun
            .and_then(|()| self.disk.sync_names(&self.path))
            .map_err(|source| self.journal_error(source))?;
        self.growing = Some(growing);
        Ok(())
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
        if !self.overwrite && self.disk.there(&self.target) != There::Nothing {
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

#[cfg(test)]
mod tests {
    use aqueduct_core::{Given, Kind, Presentation, Resource, SegmentInfo};

    use super::*;
    use crate::Fate;
    use crate::journal::faulty::FaultyDisk;
    use crate::journal::record::MAGIC;

    const TARGET: &str = "film.ts";
    const PART: &str = "film.ts.part";
    const JOURNAL: &str = "film.ts.part.journal";

    fn job(container: &str) -> Job {
        Job::new(&Presentation::default(), &[], container)
    }

    fn open(disk: &FaultyDisk) -> Result<Part, OutputError> {
        Part::open(Arc::new(disk.clone()), Path::new(TARGET), false)
    }

    fn info(msn: u64) -> SegmentInfo {
        let url = url::Url::parse("http://host.example/7.ts").unwrap();
        let duration = std::time::Duration::from_secs(2);
        SegmentInfo::new(TrackId::new(0), msn, duration, Resource::new(Kind::Segment, url))
    }

    fn written() -> Fate {
        Fate::Written {
            offset: 0,
            length: 0,
            sha256: [0; 32],
        }
    }

    /// What a run leaves that wrote these texts, each as a segment.
    fn left(texts: &[&str], job: &Job) -> FaultyDisk {
        let disk = FaultyDisk::default();
        let mut part = open(&disk).unwrap();
        part.begin(job).unwrap();
        for (msn, text) in (0..).zip(texts) {
            part.append(text.as_bytes()).unwrap();
            part.record(Entry::segment(&info(msn), written()), Some(Vec::new())).unwrap();
        }
        disk
    }

    /// How much of it the next run takes up.
    fn taken_up(disk: &FaultyDisk, job: &Job) -> Option<(u64, u64)> {
        let resumed = open(disk).unwrap().begin(job).unwrap()?;
        Some((resumed.tally.segments, resumed.bytes))
    }

    fn file(disk: &FaultyDisk, name: &str) -> Vec<u8> {
        disk.file(Path::new(name)).unwrap()
    }

    #[test]
    fn neither_file_is_believed_beyond_what_the_other_proves() {
        type Damage = fn(&FaultyDisk);
        /// Segments and bytes.
        type Proved = Option<(u64, u64)>;
        let cases: [(&str, Damage, Proved); 9] = [
            ("as it was left", |_| (), Some((3, 12))),
            (
                "a part file that is longer",
                |disk| disk.put(Path::new(PART), b"one.two.six.and more"),
                Some((3, 12)),
            ),
            (
                "a part file that is shorter",
                |disk| disk.put(Path::new(PART), b"one.two.si"),
                Some((2, 8)),
            ),
            ("a part file that is empty", |disk| disk.put(Path::new(PART), b""), None),
            ("other bytes", |disk| disk.put(Path::new(PART), b"one.TWO.six."), Some((1, 4))),
            (
                "a record that is torn",
                |disk| {
                    let journal = file(disk, JOURNAL);
                    disk.put(Path::new(JOURNAL), &journal[..journal.len() - 20]);
                },
                Some((2, 8)),
            ),
            (
                "records that come twice",
                |disk| {
                    let journal = file(disk, JOURNAL);
                    let records = journal[MAGIC.len()..].to_vec();
                    disk.put(Path::new(JOURNAL), &[journal, records].concat());
                },
                Some((3, 12)),
            ),
            (
                "junk behind the records",
                |disk| {
                    let journal = file(disk, JOURNAL);
                    disk.put(Path::new(JOURNAL), &[&journal[..], &[7; 100]].concat());
                },
                Some((3, 12)),
            ),
            (
                "a first record that did not get to the disk",
                |disk| disk.put(Path::new(JOURNAL), &[MAGIC, &[0; 100]].concat()),
                None,
            ),
        ];
        for (case, damage, expected) in cases {
            let job = job("raw");
            let disk = left(&["one.", "two.", "six."], &job);
            damage(&disk);
            assert_eq!(taken_up(&disk, &job), expected, "{case}");
        }
    }

    #[test]
    fn what_is_not_of_this_job_or_version_is_refused_and_stays() {
        let mut other_program = job("raw");
        other_program.program = "0.0.0".into();
        for (case, left, says) in [
            (
                "another container",
                left(&["one."], &job("mp4")),
                "another stream: it is mp4, not raw",
            ),
            ("another program", left(&["one."], &other_program), "another version"),
            ("another format", left(&["one."], &job("raw")), "another version"),
        ] {
            if case == "another format" {
                left.put(Path::new(JOURNAL), b"aqueduct journal 1\nwhatever that was");
            }
            let before = (file(&left, PART), file(&left, JOURNAL));
            let refused = open(&left).unwrap().begin(&job("raw")).unwrap_err();
            assert!(refused.to_string().contains(says), "{case}: {refused}");
            assert_eq!((file(&left, PART), file(&left, JOURNAL)), before, "{case}");
            let mut anew = open(&left).unwrap();
            anew.begin_anew();
            assert!(anew.begin(&job("raw")).unwrap().is_none(), "{case}");
        }
    }

    #[test]
    fn files_of_somebody_else_are_not_taken_for_a_journal() {
        for (case, bytes, foreign) in [
            ("text", &b"precious"[..], true),
            ("a small number first", &[7, 0, 0, 0, 1, 2, 3, 4, 5][..], true),
            ("the beginning of a journal", b"aqued", false),
            ("blocks that were never written", &[0; 512], false),
        ] {
            let disk = FaultyDisk::default();
            disk.put(Path::new(JOURNAL), bytes);
            let opened = open(&disk);
            assert_eq!(matches!(opened, Err(OutputError::Foreign { .. })), foreign, "{case}: {opened:?}");
            drop(opened);
            assert_eq!(file(&disk, JOURNAL), bytes, "{case}");
        }
    }

    #[test]
    fn a_key_counts_from_where_it_was_used() {
        let given = |names: &[(&str, &str)]| {
            let given = names.iter().map(|(name, value)| Given {
                may_come_later: name.starts_with("KID"),
                ..Given::new(*name, *value)
            });
            let given: Vec<_> = given.collect();
            job("raw").with_given(None, |_| given)
        };
        let cases = [
            ("the same", vec![("key", "a")], vec![("key", "a")], true, true),
            ("another", vec![("key", "a")], vec![("key", "b")], true, false),
            (
                "another, and nothing was made with it",
                vec![("key", "a")],
                vec![("key", "b")],
                false,
                true,
            ),
            ("none any more", vec![("key", "a")], vec![], true, false),
            ("one that was not there", vec![], vec![("key", "a")], true, false),
            ("one that was not there, and was not used", vec![], vec![("key", "a")], false, true),
            (
                "one more KID",
                vec![("KID 1", "a")],
                vec![("KID 1", "a"), ("KID 2", "b")],
                true,
                true,
            ),
            ("another key for a KID", vec![("KID 1", "a")], vec![("KID 1", "b")], true, false),
        ];
        for (case, first, then, used, goes_on) in cases {
            let disk = FaultyDisk::default();
            let mut part = open(&disk).unwrap();
            part.begin(&given(&first)).unwrap();
            part.append(b"init").unwrap();
            let mut entry = Entry::segment(&info(0), written());
            (entry.init, entry.encrypted) = (!used, true);
            part.record(entry, Some(Vec::new())).unwrap();
            drop(part);
            assert_eq!(open(&disk).unwrap().begin(&given(&then)).is_ok(), goes_on, "{case}");
            if goes_on {
                // A third run is measured by the second.
                let mut third = then.clone();
                if let Some((_, value)) = third.last_mut() {
                    *value = "c";
                }
                assert_eq!(
                    open(&disk).unwrap().begin(&given(&third)).is_ok(),
                    !used,
                    "{case}: the last changed"
                );
            }
        }
    }

    #[test]
    fn a_disk_without_room_for_the_rest_is_told_of_ahead() {
        let disk = FaultyDisk::default();
        let part = open(&disk).unwrap();
        assert!(part.check_space(u64::MAX).is_ok(), "a system that does not tell");
        disk.has_room(1000);
        assert!(part.check_space(1000).is_ok());
        let refused = part.check_space(1001).unwrap_err().to_string();
        assert_eq!(refused, "film.ts.part: it needs 1001 bytes, and 1000 are free");
    }

    #[test]
    fn what_could_not_be_had_at_the_end_is_tried_again_and_no_more_than_that() {
        let job = job("raw");
        let disk = left(&["one.", "two."], &job);
        let fail = |part: &mut Part, msn| {
            let gap = Entry::gap(&info(msn), 1, &aqueduct_core::GapCause::Failed("status 404".into()));
            part.record(gap, Some(Vec::new())).unwrap();
        };
        let mut part = open(&disk).unwrap();
        part.begin(&job).unwrap();
        fail(&mut part, 2);
        part.append(b"ten.").unwrap();
        part.record(Entry::segment(&info(3), written()), Some(Vec::new())).unwrap();
        fail(&mut part, 4);
        fail(&mut part, 5);
        drop(part);
        let resumed = open(&disk).unwrap().begin(&job).unwrap().unwrap();
        assert_eq!((resumed.tally.segments, resumed.tally.missing, resumed.bytes), (3, 1, 12));
        let mut before = open(&disk).unwrap();
        before.begin_before(TrackId::new(0), 2);
        let resumed = before.begin(&job).unwrap().unwrap();
        assert_eq!((resumed.tally.segments, resumed.tally.missing, resumed.bytes), (2, 0, 8));
        assert_eq!(file(&disk, PART), b"one.two.");
    }
}
