//! An output of several files beside each other, with numbers in their names.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::OutputError;
use crate::account::Account;
use crate::journal::disk::{Disk, RealDisk, There, write_all};
use crate::part::{file_within, with_suffix};

/// `film.001.mp4` and so on, one after the other, each with `.part` behind it until all get their final names together.
#[derive(Debug)]
pub(crate) struct Files {
    target: PathBuf,
    overwrite: bool,
    done: Vec<PathBuf>,
    current: Option<Current>,
    /// Of all files.
    length: u64,
    committed: bool,
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Files {
    /// Files beside each other, numbered before the extension of `target`.
    ///
    /// # Errors
    ///
    /// [`OutputError::Exists`]: the first of them is there already, and is not to be replaced.
    pub(crate) fn numbered(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        check(&numbered(target, "001"), overwrite)?;
        Ok(Self {
            target: target.into(),
            overwrite,
            done: Vec::new(),
            current: None,
            length: 0,
            committed: false,
        })
    }

    /// Begins another file.
    pub(crate) fn begin(&mut self, name: &str) -> Result<(), OutputError> {
        if name.contains('/') || file_within(&self.target, name).is_none() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, format!("no name for a file: {name:?}"));
            return Err(OutputError::io(&self.target, "cannot be written", source));
        }
        let path = with_suffix(&numbered(&self.target, name), ".part");
        let error = |source| OutputError::io(&path, "cannot be created", source);
        self.close()?;
        check(&numbered(&self.target, name), self.overwrite)?;
        // What a run that was killed left of the same name is of no use.
        if matches!(RealDisk.there(&path), There::File(_)) && self.overwrite {
            fs::remove_file(&path).map_err(error)?;
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
        let error = |source| OutputError::io(&current.path, "cannot be made safe on the disk", source);
        current.file.sync_data().map_err(error)?;
        self.done.push(current.path);
        Ok(())
    }

    /// Gives all files their final names.
    pub(crate) fn commit(mut self) -> Result<Account, OutputError> {
        self.close()?;
        let target = |part: &Path| part.with_extension("");
        for part in &self.done {
            if !self.overwrite && RealDisk.there(&target(part)) != There::Nothing {
                return Err(OutputError::Exists { path: target(part) });
            }
        }
        let mut files = Vec::new();
        for part in &self.done {
            fs::rename(part, target(part)).map_err(|source| OutputError::io(part, "cannot be renamed to its final name", source))?;
            files.push(target(part));
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
}

/// Whether a file may get this name.
fn check(target: &Path, overwrite: bool) -> Result<(), OutputError> {
    match RealDisk.there(target) {
        There::Nothing => Ok(()),
        There::File(_) if overwrite => Ok(()),
        There::File(_) => Err(OutputError::Exists { path: target.into() }),
        There::Folder | There::Link | There::Other => Err(OutputError::Special { path: target.into() }),
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

impl Drop for Files {
    /// Removes what was given up: nothing of it can be taken up again.
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let mut parts: Vec<PathBuf> = self.current.take().map(|current| current.path).into_iter().collect();
        parts.append(&mut self.done);
        // Those that have their final names already are whole.
        for part in parts.iter().filter(|part| part.exists()) {
            if let Err(error) = fs::remove_file(part) {
                tracing::warn!(path = %part.display(), %error, "what was written could not be removed");
            }
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
