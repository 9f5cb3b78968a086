//! An output of several files: a folder of them, or files with numbers in their names.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::OutputError;
use crate::account::Account;
use crate::journal::disk::{Disk, RealDisk, There, write_all};
use crate::part::with_suffix;

/// What says that a folder is of this program, and that no other process writes it.
const MARKER: &str = ".aqueduct";

/// Files that appear one after the other, and get their final names together.
#[derive(Debug)]
pub(crate) struct Files {
    target: PathBuf,
    shape: Shape,
    current: Option<Current>,
    /// Of all files.
    length: u64,
    committed: bool,
}

#[derive(Debug)]
enum Shape {
    /// In a folder beside the target, which gets the target's name.
    Folder {
        part: PathBuf,
        /// Locked as long as it is open.
        marker: Option<File>,
    },
    /// `film.001.mp4` and so on, each with `.part` behind it until the end.
    Numbered { overwrite: bool, done: Vec<PathBuf> },
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Files {
    /// A folder that will stand at `target`.
    ///
    /// # Errors
    ///
    /// [`OutputError`]: something stands there, or where it grows and is not of this program.
    pub(crate) fn folder(target: &Path) -> Result<Self, OutputError> {
        if RealDisk.there(target) != There::Nothing {
            return Err(OutputError::FolderExists { path: target.into() });
        }
        let part = with_suffix(target, ".part");
        let created = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OutputError::io(&path, "cannot be created", source)
        };
        match RealDisk.there(&part) {
            There::Nothing => DirBuilder::new().create(&part).map_err(created(&part))?,
            There::Other if part.is_dir() => Self::clear(&part)?,
            _ => return Err(OutputError::Special { path: part }),
        }
        let marker = part.join(MARKER);
        let marker = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&marker)
            .map_err(created(&marker))?;
        Self::lock(&marker, &part)?;
        Ok(Self::new(
            target,
            Shape::Folder {
                part,
                marker: Some(marker),
            },
        ))
    }

    /// Files beside each other, numbered before the extension of `target`.
    ///
    /// # Errors
    ///
    /// [`OutputError::Exists`]: the first of them is there already, and is not to be replaced.
    pub(crate) fn numbered(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        check(&numbered(target, "001"), overwrite)?;
        Ok(Self::new(
            target,
            Shape::Numbered {
                overwrite,
                done: Vec::new(),
            },
        ))
    }

    fn new(target: &Path, shape: Shape) -> Self {
        Self {
            target: target.into(),
            shape,
            current: None,
            length: 0,
            committed: false,
        }
    }

    /// Empties what an earlier run left.
    fn clear(part: &Path) -> Result<(), OutputError> {
        let error = |source| OutputError::io(part, "cannot be emptied", source);
        let mut entries = fs::read_dir(part).map_err(error)?;
        if entries.next().is_none() {
            return Ok(());
        }
        let marker = part.join(MARKER);
        if !matches!(RealDisk.there(&marker), There::File(0)) {
            return Err(OutputError::Foreign { path: part.into() });
        }
        let marker = File::open(&marker).map_err(error)?;
        Self::lock(&marker, part)?;
        tracing::info!(path = %part.display(), "what an earlier run left cannot be taken up: it is begun anew");
        // It is held until all is gone: another process finds no marker then, or this one's.
        fs::remove_dir_all(part).map_err(error)?;
        DirBuilder::new().create(part).map_err(error)
    }

    fn lock(marker: &File, part: &Path) -> Result<(), OutputError> {
        match marker.try_lock() {
            Err(TryLockError::WouldBlock) => Err(OutputError::Busy { path: part.into() }),
            // Some file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    }

    /// Where the names that a muxer gives are.
    fn path(&self, name: &str) -> Result<PathBuf, OutputError> {
        let good = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
        };
        if !name.split('/').all(good) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, format!("no name for a file: {name:?}"));
            return Err(OutputError::io(&self.target, "cannot be written", source));
        }
        Ok(match &self.shape {
            Shape::Folder { part, .. } => name.split('/').fold(part.clone(), |path, part| path.join(part)),
            Shape::Numbered { .. } => with_suffix(&numbered(&self.target, name), ".part"),
        })
    }

    /// Begins another file.
    pub(crate) fn begin(&mut self, name: &str) -> Result<(), OutputError> {
        let path = self.path(name)?;
        let error = |source| OutputError::io(&path, "cannot be created", source);
        self.close()?;
        match &self.shape {
            Shape::Folder { .. } => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder).map_err(error)?;
                }
            }
            Shape::Numbered { overwrite, .. } => {
                check(&numbered(&self.target, name), *overwrite)?;
                // What a run that was killed left of the same name is of no use.
                if matches!(RealDisk.there(&path), There::File(_)) && *overwrite {
                    fs::remove_file(&path).map_err(error)?;
                }
            }
        }
        let file = match OpenOptions::new().create_new(true).write(true).open(&path) {
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => return Err(OutputError::Foreign { path }),
            opened => opened.map_err(error)?,
        };
        self.current = Some(Current { file, path, length: 0 });
        Ok(())
    }

    /// Appends to the file that was begun last.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let length = self.current.as_ref().map_or(0, |current| current.length);
        self.write(length, bytes)?;
        self.length += bytes.len() as u64;
        if let Some(current) = &mut self.current {
            current.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// Writes over earlier bytes of the file that was begun last.
    pub(crate) fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutputError> {
        let length = self.current.as_ref().map_or(0, |current| current.length);
        if offset.saturating_add(bytes.len() as u64) > length {
            let source = io::Error::other("the muxer writes over bytes that are not there yet");
            return Err(OutputError::io(&self.target, "cannot be written", source));
        }
        self.write(offset, bytes)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutputError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(current) = &self.current else {
            let source = io::Error::other("the muxer names no file to write to");
            return Err(OutputError::io(&self.target, "cannot be written", source));
        };
        write_all(&current.file, offset, bytes).map_err(|source| OutputError::io(&current.path, "cannot be written", source))
    }

    /// The file that was begun last is complete.
    fn close(&mut self) -> Result<(), OutputError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if let Shape::Numbered { done, .. } = &mut self.shape {
            let error = |source| OutputError::io(&current.path, "cannot be made safe on the disk", source);
            current.file.sync_data().map_err(error)?;
            done.push(current.path);
        }
        Ok(())
    }

    /// Gives all files their final names.
    pub(crate) fn commit(mut self) -> Result<Account, OutputError> {
        self.close()?;
        let renamed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OutputError::io(&path, "cannot be renamed to its final name", source)
        };
        let mut files = Vec::new();
        match &mut self.shape {
            Shape::Folder { part, marker } => {
                // Closed before it is removed, for systems where that matters.
                *marker = None;
                let error = |source| OutputError::io(part, "cannot be made safe on the disk", source);
                fs::remove_file(part.join(MARKER)).map_err(error)?;
                sync_all(part).map_err(error)?;
                if RealDisk.there(&self.target) != There::Nothing {
                    return Err(OutputError::FolderExists { path: self.target.clone() });
                }
                fs::rename(&*part, &self.target).map_err(renamed(part))?;
                files.push(self.target.clone());
            }
            Shape::Numbered { overwrite, done } => {
                let target = |part: &Path| part.with_extension("");
                for part in &*done {
                    if !*overwrite && RealDisk.there(&target(part)) != There::Nothing {
                        return Err(OutputError::Exists { path: target(part) });
                    }
                }
                for part in &*done {
                    fs::rename(part, target(part)).map_err(renamed(part))?;
                    files.push(target(part));
                }
            }
        }
        self.committed = true;
        RealDisk
            .sync_names(&self.target)
            .map_err(|source| OutputError::io(&self.target, "cannot be made safe on the disk", source))?;
        Ok(Account::of_files(files, self.length))
    }

    /// Whether so many bytes more have room.
    pub(crate) fn check_space(&self, bytes: u64) -> Result<(), OutputError> {
        match RealDisk.free(&self.target) {
            Some(free) if free < bytes => Err(OutputError::NoSpace {
                path: self.target.clone(),
                needed: bytes,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// Whether earlier bytes of a file can be changed.
    pub(crate) fn is_seekable(&self) -> bool {
        matches!(self.shape, Shape::Numbered { .. })
    }
}

/// Whether a file may get this name.
fn check(target: &Path, overwrite: bool) -> Result<(), OutputError> {
    match RealDisk.there(target) {
        There::Nothing => Ok(()),
        There::File(_) if overwrite => Ok(()),
        There::File(_) => Err(OutputError::Exists { path: target.into() }),
        There::Link | There::Other => Err(OutputError::Special { path: target.into() }),
    }
}

/// `film.mp4` with a number: `film.001.mp4`.
fn numbered(target: &Path, number: &str) -> PathBuf {
    let mut name = OsString::from(target.file_stem().unwrap_or_default());
    name.push(".");
    name.push(number);
    if let Some(extension) = target.extension() {
        name.push(".");
        name.push(extension);
    }
    target.with_file_name(name)
}

/// Makes a folder safe on the disk, with all that is in it.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::options().write(true).open(entry.path())?.sync_data()?;
        }
    }
    RealDisk.sync_names(&folder.join(MARKER))
}

impl Drop for Files {
    /// Removes what was given up: nothing of it can be taken up again.
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let mut parts: Vec<PathBuf> = self.current.take().map(|current| current.path).into_iter().collect();
        let removed = match &mut self.shape {
            Shape::Folder { part, marker } => {
                *marker = None;
                fs::remove_dir_all(part)
            }
            Shape::Numbered { done, .. } => {
                parts.append(done);
                // Those that have their final names already are whole.
                let gone = parts.iter().filter(|part| part.exists()).map(fs::remove_file);
                let errors: Vec<io::Error> = gone.filter_map(Result::err).collect();
                errors.into_iter().next().map_or(Ok(()), Err)
            }
        };
        if let Err(error) = removed {
            tracing::warn!(path = %self.target.display(), %error, "what was written could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film");
        let mut files = Files::folder(&target).unwrap();
        files.begin("video/0.ts").unwrap();
        files.append(b"zero").unwrap();
        files.begin("index.m3u8").unwrap();
        files.append(b"#EXT").unwrap();
        files.append(b"M3U").unwrap();
        assert_eq!(names(folder.path()), ["film.part"]);
        assert!(matches!(Files::folder(&target), Err(OutputError::Busy { .. })));
        files.commit().unwrap();
        assert_eq!(names(folder.path()), ["film"]);
        assert_eq!(names(&target), ["index.m3u8", "video"]);
        assert_eq!(fs::read(target.join("video/0.ts")).unwrap(), b"zero");
        assert_eq!(fs::read(target.join("index.m3u8")).unwrap(), b"#EXTM3U");
        assert!(matches!(Files::folder(&target), Err(OutputError::FolderExists { .. })));
    }

    #[test]
    fn a_folder_that_is_given_up_or_was_left_by_a_killed_run_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film");
        let mut files = Files::folder(&target).unwrap();
        files.begin("video/0.ts").unwrap();
        drop(files);
        assert_eq!(names(folder.path()), [""; 0]);
        let part = folder.path().join("film.part");
        fs::create_dir(&part).unwrap();
        fs::write(part.join(MARKER), "").unwrap();
        fs::write(part.join("old.ts"), "old").unwrap();
        let mut files = Files::folder(&target).unwrap();
        files.begin("new.ts").unwrap();
        files.commit().unwrap();
        assert_eq!(names(&target), ["new.ts"]);
    }

    #[test]
    fn what_somebody_else_left_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("film.part");
        fs::create_dir(&part).unwrap();
        fs::write(part.join("precious"), "precious").unwrap();
        let refused = Files::folder(&folder.path().join("film"));
        assert!(matches!(refused, Err(OutputError::Foreign { .. })), "{refused:?}");
        assert_eq!(names(&part), ["precious"]);
        fs::write(folder.path().join("other.part"), "precious").unwrap();
        let refused = Files::folder(&folder.path().join("other"));
        assert!(matches!(refused, Err(OutputError::Special { .. })), "{refused:?}");
    }

    #[test]
    fn names_never_lead_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::folder(&folder.path().join("film")).unwrap();
        for name in ["../film.ts", "/etc/passwd", "a/../b", "a//b", "", ".aqueduct", "a\\b", "a:b", "é"] {
            assert!(files.begin(name).is_err(), "{name}");
        }
    }

    #[test]
    fn numbered_files_get_their_names_together() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film.cut.mp4");
        let mut files = Files::numbered(&target, false).unwrap();
        for (name, bytes) in [("001", b"one"), ("002", b"two")] {
            files.begin(name).unwrap();
            files.append(bytes).unwrap();
            files.overwrite(0, b"T").unwrap();
            assert!(files.overwrite(2, b"xx").is_err());
        }
        assert_eq!(names(folder.path()), ["film.cut.001.mp4.part", "film.cut.002.mp4.part"]);
        files.commit().unwrap();
        assert_eq!(names(folder.path()), ["film.cut.001.mp4", "film.cut.002.mp4"]);
        assert_eq!(fs::read(folder.path().join("film.cut.002.mp4")).unwrap(), b"Two");
        assert!(matches!(Files::numbered(&target, false), Err(OutputError::Exists { .. })));
        let mut again = Files::numbered(&target, true).unwrap();
        again.begin("001").unwrap();
        drop(again);
        assert_eq!(
            names(folder.path()),
            ["film.cut.001.mp4", "film.cut.002.mp4"],
            "given up, it replaces nothing"
        );
    }
}
