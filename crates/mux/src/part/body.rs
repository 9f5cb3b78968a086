//! The bytes of an output that grows: in one file, or in the files of a folder.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::found::is_free;
use super::names::{file_within, numbered};
use crate::OutputError;
use crate::journal::disk::{Bytes, Disk, There, is_within, write_all};
use crate::journal::record::{Entry, Fate, Record};
use crate::journal::survey::{Patches, Point, Subject, digest, files, is_journal, records};
use crate::journal::sync::{Media, Written};

/// What an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    File,
    /// The muxer names the files in it. They stand one behind the other in the order in which they were begun.
    Folder,
    /// The muxer numbers the files. They grow in a folder, and each gets a name of its own beside the target when all is whole:
    /// `film.001.mp4` and so on.
    Numbered,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Body {
    File(Box<dyn Bytes>),
    Folder(Folder),
}

/// A folder, under its own name or that of its part.
#[derive(Debug)]
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The target of numbered files.
    target: Option<PathBuf>,
    /// Tells it from another one of that name.
    identity: Option<(u64, u64)>,
    current: Option<Current>,
    /// What was written since it was last asked to become safe.
    written: Written,
}

/// The file that was begun last.
#[derive(Debug)]
struct Current {
    file: Box<dyn Bytes>,
    path: PathBuf,
    /// Where in the output it begins.
    start: u64,
    /// It is among what was written.
    is_told: bool,
}

impl Body {
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::File(_) => Shape::File,
            Self::Folder(Folder { target: Some(_), .. }) => Shape::Numbered,
            Self::Folder(_) => Shape::Folder,
        }
    }

    /// Where in the output that begins to which the muxer counts its offsets.
    pub(super) fn start(&self) -> u64 {
        match self {
            Self::File(_) => 0,
            Self::Folder(folder) => folder.current.as_ref().map_or(0, |current| current.start),
        }
    }

    /// Whether it is what stands at `path` now.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        match self {
            Self::File(file) => file.is_at(path),
            Self::Folder(folder) => folder.is_at(path),
        }
    }

    pub(super) fn is_empty(&self) -> io::Result<bool> {
        match self {
            Self::File(file) => Ok(file.len()? == 0),
            Self::Folder(folder) => folder.is_empty(),
        }
    }

    /// What its journal is of. Numbered files that are `named` may have their final names.
    pub(super) fn subject(&self, named: bool) -> Subject<'_> {
        match self {
            Self::File(file) => Subject::File(&**file),
            Self::Folder(folder) => Subject::Folder(&*folder.disk, &folder.path, folder.target.as_deref().filter(|_| named)),
        }
    }

    /// Empties it. An empty file is left alone: ext4 takes truncation for a replacement, and makes closing the file wait for
    /// the allocation of all its blocks.
    pub(super) fn clear(&mut self, journal: &dyn Bytes) -> io::Result<()> {
        match self {
            Self::File(file) if file.len()? > 0 => file.set_len(0),
            Self::File(_) => Ok(()),
            Self::Folder(folder) => folder.clear(journal).and_then(|()| folder.make()),
        }
    }

    /// Cuts it off at `point` of its journal, and makes it safe: all of it proved itself just now, unless it was `safe` before.
    /// A run that was cut off at its very end may have changed earlier bytes already, which then could not prove themselves again.
    pub(super) fn cut(&mut self, journal: &dyn Bytes, point: Point, safe: u64) -> io::Result<()> {
        match self {
            Self::File(file) => {
                file.set_len(point.part)?;
                file.sync()
            }
            Self::Folder(folder) => folder.cut(journal, point, safe),
        }
    }

    /// Writes at `offset` of the output.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => write_all(&**file, offset, bytes),
            Self::Folder(folder) => folder.write(offset, bytes),
        }
    }

    /// What makes it safe, and what there is to make safe since the last time.
    pub(super) fn media(&self) -> io::Result<Media> {
        Ok(match self {
            Self::File(file) => Media::File(file.share()?),
            Self::Folder(folder) => Media::Folder(Arc::clone(&folder.disk)),
        })
    }

    pub(super) fn take_written(&mut self) -> Written {
        match self {
            Self::File(_) => Written::default(),
            Self::Folder(folder) => {
                if let Some(current) = &mut folder.current {
                    current.is_told = false;
                }
                std::mem::take(&mut folder.written)
            }
        }
    }

    /// Takes back what could not be made safe yet.
    pub(super) fn put_back(&mut self, mut earlier: Written) {
        if let Self::Folder(folder) = self {
            let written = &mut folder.written;
            earlier.files.append(&mut written.files);
            earlier.names.append(&mut written.names);
            *written = earlier;
        }
    }

    /// Files that wait for it.
    pub(super) fn unsafe_files(&self) -> usize {
        match self {
            Self::File(_) => 0,
            Self::Folder(folder) => folder.written.files.len(),
        }
    }

    /// Returns when all of it is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let written = self.take_written();
        self.media()?.sync(&written)
    }
}

impl Folder {
    pub(super) fn at(disk: &Arc<dyn Disk>, path: &Path, target: Option<&Path>) -> Self {
        Self {
            target: target.map(Path::to_path_buf),
            disk: Arc::clone(disk),
            path: path.into(),
            identity: disk.identity(path),
            current: None,
            written: Written::default(),
        }
    }

    pub(super) fn is_numbered(&self) -> bool {
        self.target.is_some()
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.identity.is_some() && self.disk.identity(path) == self.identity
    }

    fn is_empty(&self) -> io::Result<bool> {
        let mut empty = true;
        if self.disk.there(&self.path) == There::Folder {
            self.disk.walk(&self.path, &mut |_, _| {
                empty = false;
                Ok(())
            })?;
        }
        Ok(empty)
    }

    /// Makes it, unless it is there.
    fn make(&mut self) -> io::Result<()> {
        self.disk.make_folder(&self.path)?;
        self.identity = self.disk.identity(&self.path);
        Ok(())
    }

    /// Removes what the records of `journal` name, and the folders that are empty then. Without a journal that can be read, which
    /// only the user lets one throw away, all that is there.
    fn clear(&mut self, journal: &dyn Bytes) -> io::Result<()> {
        self.current = None;
        self.written = Written::default();
        if self.disk.there(&self.path) != There::Folder {
            return Ok(());
        }
        if !is_journal(journal)? {
            return self.disk.walk(&self.path, &mut |path, there| match there {
                There::Folder => self.disk.remove_folder(path),
                _ => self.disk.remove(path),
            });
        }
        let (mut records, mut folders) = (records(journal, u64::MAX)?, HashSet::new());
        while let Some(record) = records.next()? {
            let Record::File { name, .. } = record else { continue };
            let Some(path) = self.own(&name) else { continue };
            self.remove_file(&path)?;
            let between = path.ancestors().skip(1).take_while(|folder| **folder != *self.path);
            folders.extend(between.map(Path::to_path_buf));
        }
        let mut folders: Vec<_> = folders.into_iter().collect();
        // Those within others first.
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        folders.iter().try_for_each(|folder| self.remove_empty(folder))
    }

    fn remove_empty(&self, folder: &Path) -> io::Result<()> {
        match self.disk.there(folder) {
            There::Folder => match self.disk.remove_folder(folder) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                removed => removed,
            },
            _ => Ok(()),
        }
    }

    /// Removes it with what the records of `journal` name.
    pub(super) fn remove(&mut self, journal: &dyn Bytes) -> io::Result<()> {
        self.clear(journal)?;
        self.remove_empty(&self.path)
    }

    /// It has another name now.
    pub(super) fn is_renamed(&mut self, path: &Path) {
        self.path = path.into();
    }

    /// Of what stands behind `point`, only files that a record names are removed: what else is there may be somebody else's. A record
    /// comes before its file ([`Part::begin_file`](super::Part::begin_file)); one that a power cut took all the same is written again.
    fn cut(&mut self, journal: &dyn Bytes, point: Point, safe: u64) -> io::Result<()> {
        let mut records = records(journal, u64::MAX)?;
        let mut last: Option<(PathBuf, u64)> = None;
        self.written.names.push(self.path.join("name"));
        while let Some(record) = records.next()? {
            let Record::File { name, start } = record else { continue };
            let Some(path) = self.own(&name) else { continue };
            self.tell_folder(&path);
            if records.end() <= point.journal {
                // The one before ends here.
                if let Some((before, _)) = last.replace((path, start))
                    && start > safe
                {
                    self.written.files.push(before);
                }
            // The files of records that come twice stand in front.
            } else if start >= point.part && last.as_ref().is_none_or(|(last, _)| *last != path) {
                self.remove_file(&path)?;
            }
        }
        if let Some((path, start)) = last {
            let length = point.part - start;
            if self.disk.there(&path) != There::File(length) {
                self.disk.open(&path)?.set_len(length)?;
            }
            if self.target.is_some() {
                self.current = Some(Current {
                    file: self.disk.open(&path)?,
                    path: path.clone(),
                    start,
                    is_told: false,
                });
            }
            self.written.files.push(path);
        }
        let written = std::mem::take(&mut self.written);
        Media::Folder(Arc::clone(&self.disk)).sync(&written)
    }

    /// What stands where the file of this name goes, or a folder above it, and is neither: a link may lead anywhere.
    pub(super) fn misplaced(&self, name: &str) -> Option<PathBuf> {
        let path = file_within(&self.path, name)?;
        let above = path.ancestors().skip(1).take_while(|folder| **folder != *self.path);
        let link = above.filter(|folder| !matches!(self.disk.there(folder), There::Nothing | There::Folder));
        match (link.last(), self.disk.there(&path)) {
            (Some(link), _) => Some(link.into()),
            (None, There::Nothing | There::File(_)) => None,
            (None, _) => Some(path),
        }
    }

    /// The same of all files that the records of `journal` name.
    pub(super) fn any_misplaced(&self, journal: &dyn Bytes) -> io::Result<Option<PathBuf>> {
        if !is_journal(journal)? {
            return Ok(None);
        }
        let told = files(journal, u64::MAX)?;
        Ok(told.iter().find_map(|(name, _)| self.misplaced(name)))
    }

    /// Where a file stands that a record names, unless that may be elsewhere.
    fn own(&self, name: &str) -> Option<PathBuf> {
        file_within(&self.path, name).filter(|path| is_within(&*self.disk, &self.path, path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self.disk.there(path) {
            There::File(_) => self.disk.remove(path),
            _ => Ok(()),
        }
    }

    /// Takes back numbered files that have their final names.
    pub(super) fn gather(&mut self, journal: &dyn Bytes) -> io::Result<()> {
        let Some(target) = self.target.clone() else { return Ok(()) };
        self.make()?;
        let mut records = records(journal, u64::MAX)?;
        while let Some(record) = records.next()? {
            let Record::File { name, .. } = record else { continue };
            let (Some(path), Some(named)) = (self.own(&name), numbered(&target, &name)) else {
                continue;
            };
            match (self.disk.there(&path), self.disk.there(&named)) {
                (There::Nothing, There::File(_)) => self.disk.rename(&named, &path)?,
                // A power cut left both names of it.
                (There::File(length), There::File(same)) if length == same => {
                    let sha256 = |path| digest(&*self.disk.read(path)?, 0, length);
                    if sha256(&path)? == sha256(&named)? {
                        self.disk.remove(&named)?;
                    }
                }
                _ => {}
            }
        }
        self.written.names.push(target);
        Ok(())
    }

    /// Gives the numbered files that `journal` tells of up to `end` their final names, and says which these are. One that is there is
    /// replaced where it may be. What else is in the folder is somebody's, and stays there.
    pub(super) fn give_names(&mut self, journal: &dyn Bytes, end: u64, replace: bool) -> Result<Vec<PathBuf>, OutputError> {
        let Some(target) = self.target.clone() else { return Ok(Vec::new()) };
        self.current = None;
        let told = files(journal, end).map_err(|source| OutputError::io(&self.path, "its journal cannot be read", source))?;
        let mut found = Vec::new();
        for (name, _) in told {
            let own = self.own(&name).filter(|path| matches!(self.disk.there(path), There::File(_)));
            let (Some(path), Some(named)) = (own, numbered(&target, &name)) else {
                return Err(OutputError::Gone {
                    path: self.path.join(name),
                });
            };
            is_free(&*self.disk, &named, replace)?;
            found.push((path, named));
        }
        for (path, named) in &found {
            let renamed = self.disk.rename(path, named);
            renamed.map_err(|source| OutputError::io(path, "cannot be renamed to its final name", source))?;
        }
        self.remove_empty(&self.path)
            .map_err(|source| OutputError::io(&self.path, "cannot be removed", source))?;
        if self.disk.there(&self.path) != There::Nothing {
            tracing::warn!(path = %self.path.display(), "it stays: somebody else put files into it");
        }
        Ok(found.into_iter().map(|(_, named)| named).collect())
    }

    /// Checks that the numbered files that `journal` tells of up to `point`, and the one behind them, may get their final names.
    pub(super) fn check_names(&self, journal: &dyn Bytes, point: Point, named: bool, replace: bool) -> Result<(), OutputError> {
        let Some(target) = &self.target else { return Ok(()) };
        let told = |end| files(journal, end).map_err(|source| OutputError::io(&self.path, "its journal cannot be read", source));
        let mut names: Vec<String> = told(point.journal)?.into_iter().map(|(name, _)| name).collect();
        let next = names
            .last()
            .and_then(|name| name.parse::<u64>().ok())
            .and_then(|last| last.checked_add(1));
        names.extend(next.map(|next| format!("{next:03}")));
        // Those that have them already are the program's own.
        let own = if named { told(u64::MAX)? } else { Vec::new() };
        names.retain(|name| own.iter().all(|(own, _)| own != name));
        let names = names.iter().filter_map(|name| numbered(target, name));
        names.into_iter().try_for_each(|name| is_free(&*self.disk, &name, replace))
    }

    /// The first file that is not any more what `journal` tells, of those that have bytes behind `point`: it would be cut off there, or
    /// removed. They had their final names, and `length` bytes in all: what became of them meanwhile is somebody's.
    pub(super) fn changed(&self, journal: &dyn Bytes, point: Point, length: u64) -> io::Result<Option<PathBuf>> {
        let patches = Patches::of(journal, u64::MAX)?;
        let mut records = records(journal, u64::MAX)?;
        let is_longer = |(path, start): &(PathBuf, u64), end: u64| match self.disk.there(path) {
            // What was cut off since does not count.
            There::File(now) => end >= point.part.max(*start) && now != end - start,
            _ => false,
        };
        let mut file = None;
        while let Some(record) = records.next()? {
            let (offset, length, sha256) = match record {
                Record::File { name, start } => {
                    let before = std::mem::replace(&mut file, self.stands(&name).map(|path| (path, start)));
                    match before {
                        Some(before) if is_longer(&before, start) => return Ok(Some(before.0)),
                        _ => continue,
                    }
                }
                Record::Entry(Entry {
                    fate: Fate::Written { offset, length, sha256 },
                    ..
                })
                | Record::Rest { offset, length, sha256 } => (offset, length, sha256),
                _ => continue,
            };
            let Some((path, start)) = file.as_ref().filter(|_| offset >= point.part && !patches.touch(offset, length)) else {
                continue;
            };
            if let There::File(_) = self.disk.there(path)
                && digest(&*self.disk.read(path)?, offset.saturating_sub(*start), length)? != sha256
            {
                return Ok(Some(path.clone()));
            }
        }
        Ok(file.filter(|file| is_longer(file, length)).map(|(path, _)| path))
    }

    /// Where a file stands that a record names: here, or where it has its final name.
    fn stands(&self, name: &str) -> Option<PathBuf> {
        let path = self.own(name)?;
        match &self.target {
            Some(target) if self.disk.there(&path) == There::Nothing => numbered(target, name),
            _ => Some(path),
        }
    }

    /// Whether something stands already where this file would be begun.
    pub(super) fn has(&self, name: &str) -> Option<PathBuf> {
        file_within(&self.path, name).filter(|path| self.disk.there(path) != There::Nothing)
    }

    /// Begins another file, `start` bytes behind the beginning of the output.
    pub(super) fn begin_file(&mut self, name: &str, start: u64) -> io::Result<()> {
        self.current = None;
        if self.identity.is_none() {
            self.make()?;
        }
        let Some(path) = file_within(&self.path, name) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no name for a file: {name:?}")));
        };
        let folders: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| **folder != *self.path).collect();
        for folder in folders.into_iter().rev() {
            self.disk.make_folder(folder)?;
        }
        let file = self.disk.open(&path)?;
        if file.len()? > 0 {
            file.set_len(0)?;
        }
        self.tell_folder(&path);
        self.written.files.push(path.clone());
        self.current = Some(Current {
            file,
            path,
            start,
            is_told: true,
        });
        Ok(())
    }

    /// Names in the folder of a file, and of that folder, are to become safe.
    fn tell_folder(&mut self, path: &Path) {
        let names = &mut self.written.names;
        for path in path.ancestors().take_while(|path| **path != *self.path) {
            if !names.iter().any(|known| known.parent() == path.parent()) {
                names.push(path.into());
            }
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Err(io::Error::other("the muxer names no file to write to"));
        };
        write_all(&*current.file, offset - current.start, bytes)?;
        if !std::mem::replace(&mut current.is_told, true) {
            self.written.files.push(current.path.clone());
        }
        Ok(())
    }
}
