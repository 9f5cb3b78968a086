//! The account of an output: the journal while it is written, and what can be told from it afterwards.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::journal::disk::{Bytes, Disk, RealDisk, There, write_all};
use crate::journal::job::Job;
use crate::journal::record::{Entry, Fate, MAGIC, Record, hex};
use crate::journal::survey::{self, Patches, Survey, digest};
use crate::part::{is_of_repair, is_untold, paths};

/// A journal that is written.
#[derive(Debug)]
pub(crate) struct Growing {
    journal: Box<dyn Bytes>,
    /// Where the next record goes.
    end: u64,
    /// Bytes of the output that entries account for.
    recorded: u64,
    /// Of the bytes since then.
    hasher: Sha256,
    /// There is a checkpoint.
    can_go_on: bool,
    /// A checkpoint was lost: those that follow are of no use.
    broken: bool,
    patches: Patches,
    /// Files that were begun since the last record, and the ends of those before them.
    begun: Vec<Record>,
    buffer: Vec<u8>,
}

impl Growing {
    /// A journal that goes on at `end`, where `recorded` bytes of the output are accounted for.
    pub(crate) fn new(journal: Box<dyn Bytes>, end: u64, recorded: u64) -> Self {
        Self {
            journal,
            end,
            recorded,
            hasher: Sha256::new(),
            can_go_on: end > 0,
            broken: false,
            patches: Patches::default(),
            begun: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// A journal up to the end of its whole records.
    fn at_end_of(journal: Box<dyn Bytes>) -> io::Result<Self> {
        let (mut records, mut recorded) = (survey::records(&*journal, u64::MAX)?, 0);
        while let Some(record) = records.next()? {
            if let Record::Entry(Entry {
                fate: Fate::Written { offset, length, .. },
                ..
            }) = record
            {
                recorded = offset.saturating_add(length);
            }
        }
        let end = records.end();
        Ok(Self::new(journal, end, recorded))
    }

    pub(crate) fn journal(&self) -> &dyn Bytes {
        &*self.journal
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Whether another process could go on from here.
    pub(crate) fn can_go_on(&self) -> bool {
        self.can_go_on
    }

    /// Empties the file.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        if self.journal.len()? > 0 {
            self.journal.set_len(0)?;
        }
        Ok(())
    }

    /// Cuts off what stands behind the records.
    pub(crate) fn cut_off(&mut self) -> io::Result<()> {
        self.journal.set_len(self.end)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }

    pub(crate) fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Writes the head of the journal, and what is being done.
    pub(crate) fn begin(&mut self, job: &Job) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(MAGIC);
        self.put(&Record::Job(job.clone()))?;
        self.flush()
    }

    /// What follows goes into another file; the output is `length` bytes long now. The next record tells.
    pub(crate) fn begin_file(&mut self, name: &str, length: u64) {
        self.end_file(length);
        self.begun.push(Record::File {
            name: name.into(),
            start: length,
        });
    }

    /// The file at hand is complete, at `length` bytes of the output.
    pub(crate) fn end_file(&mut self, length: u64) {
        let rest = length - self.recorded;
        if rest > 0 {
            self.begun.push(Record::Rest {
                offset: self.recorded,
                length: rest,
                sha256: self.hasher.finalize_reset().into(),
            });
            self.recorded = length;
        }
    }

    /// Appends records, all in one write.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        self.buffer.clear();
        self.put_begun()?;
        records.iter().try_for_each(|record| self.put(record))?;
        self.flush()
    }

    fn put_begun(&mut self) -> io::Result<()> {
        std::mem::take(&mut self.begun).iter().try_for_each(|record| self.put(record))
    }

    fn put(&mut self, record: &Record) -> io::Result<()> {
        if record.frame(&mut self.buffer) {
            Ok(())
        } else {
            Err(io::Error::other("a record is too large for the journal"))
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(&*self.journal, self.end, &self.buffer)?;
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    /// Records a unit; the output is `length` bytes long now.
    pub(crate) fn record(&mut self, mut entry: Entry, state: Option<Vec<u8>>, length: u64) -> io::Result<()> {
        if let Fate::Written {
            offset,
            length: bytes,
            sha256,
        } = &mut entry.fate
        {
            *offset = self.recorded;
            *bytes = length - self.recorded;
            *sha256 = self.hasher.finalize_reset().into();
            self.recorded = length;
        }
        self.buffer.clear();
        self.put_begun()?;
        self.put(&Record::Entry(entry))?;
        if let Some(state) = state.filter(|_| !self.broken) {
            // What went into a checkpoint is in no later one.
            self.broken = !Record::Checkpoint(state).frame(&mut self.buffer);
            if self.broken {
                tracing::warn!("the state of the muxer is too large to be kept: a break from here on begins from an earlier place");
            } else {
                self.can_go_on = true;
            }
        }
        self.flush()
    }

    /// The bytes from `start` to `end` become others.
    pub(crate) fn patched(&mut self, start: u64, end: u64) -> io::Result<()> {
        self.patches.add(start, end);
        self.append(&[Record::Patched { start, end }])
    }

    /// Reads from the journal what became others in earlier runs.
    pub(crate) fn recall_patches(&mut self) -> io::Result<()> {
        self.patches = Patches::of(&*self.journal, self.end)?;
        Ok(())
    }
}

/// What is told of a finished output, from its journal. The journal is removed when this is dropped, unless the output can
/// be taken up again.
#[derive(Debug)]
pub struct Account {
    growing: Option<Growing>,
    file: Option<Box<dyn Bytes>>,
    length: u64,
    /// Of an output that was split.
    files: Vec<PathBuf>,
    /// What to remove at the end.
    journal: Option<(Arc<dyn Disk>, PathBuf)>,
}

impl Account {
    pub(crate) fn new(
        growing: Option<Growing>,
        file: Option<Box<dyn Bytes>>,
        length: u64,
        journal: Option<(Arc<dyn Disk>, PathBuf)>,
    ) -> Self {
        Self {
            journal: journal.filter(|_| growing.is_some()),
            growing,
            file,
            length,
            files: Vec::new(),
        }
    }

    /// The same of an output that was split into these files, in the order of their numbers.
    pub(crate) fn of_files(mut self, files: Vec<PathBuf>) -> Self {
        self.files = files;
        self
    }

    /// The files of an output that was split; none of any other.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What an earlier run left of the output at `target`, to be taken up again; `None` when it left nothing.
    ///
    /// # Errors
    ///
    /// Those of reading it.
    pub fn left(target: &Path) -> io::Result<Option<Self>> {
        let (part, journal) = paths(target);
        let part = match RealDisk.there(&part) {
            There::Folder => None,
            There::Nothing => return Ok(None),
            _ => Some(part),
        };
        let file = part.map(|part| RealDisk.read(&part)).transpose();
        let found = RealDisk.read(&journal).and_then(|journal| Ok((journal, file?)));
        let (journal, file) = match found {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let growing = Growing::at_end_of(journal)?;
        // What stands behind the last unit is cut off by the run that goes on.
        let recorded = growing.recorded();
        Ok(Some(Self::new(Some(growing), file, recorded, None)))
    }

    /// What is told of the file at `target`, if a repair was killed, or could not write its report, when the file had its name
    /// already. The journal is locked with it, and removed as that of any other.
    ///
    /// # Errors
    ///
    /// Those of reading it, [`io::ErrorKind::WouldBlock`] among them: the repair is still at work.
    pub fn untold(target: &Path) -> io::Result<Option<Self>> {
        if !is_untold(target) || !is_of_repair(target) {
            return Ok(None);
        }
        let (_, journal) = paths(target);
        let (file, journal_file) = (RealDisk.change(target)?, RealDisk.read(&journal)?);
        let mut growing = Growing::at_end_of(journal_file)?;
        growing.recall_patches()?;
        let length = file.len()?;
        if length < growing.recorded() {
            return Ok(None);
        }
        Ok(Some(Self::new(
            Some(growing),
            Some(file),
            length,
            Some((Arc::new(RealDisk), journal)),
        )))
    }

    /// Leaves the journal where it is, for whoever is to tell of the output later.
    pub fn keep(&mut self) {
        self.journal = None;
    }

    /// What was done.
    ///
    /// # Errors
    ///
    /// Those of reading the journal.
    pub fn job(&self) -> io::Result<Option<Job>> {
        let Some(growing) = &self.growing else { return Ok(None) };
        Survey::job(&*growing.journal)
    }

    /// Length of the output, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Hands each entry to `each`, in the order of the output, with the digests of the finished file. Of an output of several
    /// files it says in which one the bytes are, and counts from the beginning of that. An output that was not journaled has
    /// none.
    ///
    /// # Errors
    ///
    /// Those of reading the journal, and those of `each`.
    pub fn entries(&self, mut each: impl FnMut(&Entry) -> io::Result<()>) -> io::Result<()> {
        let Some(growing) = &self.growing else { return Ok(()) };
        let mut records = survey::records(&*growing.journal, growing.end)?;
        let mut file = None;
        let mut number = 0;
        while let Some(record) = records.next()? {
            let mut entry = match record {
                Record::Entry(entry) => entry,
                Record::File { name, start } => {
                    file = Some((Arc::<str>::from(self.name(number, name)), start, self.files.get(number)));
                    number += 1;
                    continue;
                }
                _ => continue,
            };
            if let Fate::Written { offset, length, sha256 } = &mut entry.fate {
                let is_patched = growing.patches.touch(*offset, *length);
                match (&file, &self.file) {
                    (Some((name, start, path)), _) => {
                        *offset = offset.saturating_sub(*start);
                        entry.file = Some(Arc::clone(name));
                        if let Some(path) = path.filter(|_| is_patched) {
                            *sha256 = digest(&*RealDisk.read(path)?, *offset, *length)?;
                        }
                    }
                    (None, Some(file)) if is_patched => *sha256 = digest(&**file, *offset, *length)?,
                    (None, _) => {}
                }
            }
            each(&entry)?;
        }
        Ok(())
    }

    /// How the file with this number, counted from 0, is told of.
    fn name(&self, number: usize, name: String) -> String {
        match self.files.get(number).and_then(|path| path.file_name()) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => name,
        }
    }

    /// What no unit brought to the files of an output of several, playlists say: the file, where it begins there, its length,
    /// and its SHA-256 in hexadecimal.
    ///
    /// # Errors
    ///
    /// Those of reading the journal.
    pub fn rests(&self) -> io::Result<Vec<(String, u64, u64, String)>> {
        let Some(growing) = &self.growing else { return Ok(Vec::new()) };
        let mut records = survey::records(&*growing.journal, growing.end)?;
        let (mut file, mut rests) = ((String::new(), 0, None), Vec::new());
        let mut number = 0;
        while let Some(record) = records.next()? {
            match record {
                Record::File { name, start } => {
                    file = (self.name(number, name), start, self.files.get(number));
                    number += 1;
                }
                Record::Rest {
                    offset,
                    length,
                    mut sha256,
                } => {
                    let (name, start, path) = &file;
                    let from = offset.saturating_sub(*start);
                    if let Some(path) = path.filter(|_| growing.patches.touch(offset, length)) {
                        sha256 = digest(&*RealDisk.read(path)?, from, length)?;
                    }
                    rests.push((name.clone(), from, length, hex(&sha256)));
                }
                _ => {}
            }
        }
        Ok(rests)
    }

    /// What stands behind the last unit, an index say: where it begins, its length, and its SHA-256 in hexadecimal.
    ///
    /// # Errors
    ///
    /// Those of reading the file.
    pub fn tail(&self) -> io::Result<Option<(u64, u64, String)>> {
        match (&self.growing, &self.file) {
            (Some(growing), Some(file)) => {
                let length = self.length - growing.recorded;
                let sha256 = digest(&**file, growing.recorded, length)?;
                Ok(Some((growing.recorded, length, hex(&sha256))))
            }
            _ => Ok(None),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.growing = None;
        if let Some((disk, path)) = self.journal.take()
            && let Err(error) = disk.remove(&path)
        {
            tracing::warn!(path = %path.display(), %error, "the journal could not be removed");
        }
    }
}
