//! A finished folder that is mended file by file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::journal::disk::{Bytes, Disk, RealDisk, There, is_within, write_all};
use crate::journal::record::hex;
use crate::part::{file_within, paths, with_suffix};
use crate::{OutputError, Put};

/// Puts files of a finished folder in their places again, each whole, by a rename, and only with the digest that it had. So
/// wherever it ends, by a failure, a kill or a power cut, no file that was right is another one.
#[derive(Debug)]
pub struct MendingFolder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The journal has the lock: a run that takes up the folder has it as well.
    lock: Option<Box<dyn Bytes>>,
    journal: PathBuf,
    /// A path in each folder that has new names.
    names: Vec<PathBuf>,
}

impl MendingFolder {
    /// Takes hold of the folder at `path`, and locks it against other processes.
    ///
    /// # Errors
    ///
    /// [`OutputError::Busy`] when another process has it; [`OutputError::Io`].
    pub fn open(path: &Path) -> Result<Self, OutputError> {
        Self::on(Arc::new(RealDisk), path)
    }

    fn on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OutputError> {
        let (_, journal) = paths(path);
        let lock = disk.open(&journal).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OutputError::Busy { path: path.into() },
            _ => OutputError::io(&journal, "cannot be opened for writing", error),
        })?;
        Ok(Self {
            disk,
            path: path.into(),
            lock: Some(lock),
            journal,
            names: Vec::new(),
        })
    }

    /// Where this file stands, unless that may be outside.
    fn file(&self, name: &str) -> Option<PathBuf> {
        file_within(&self.path, name).filter(|path| is_within(&*self.disk, &self.path, path))
    }

    /// Puts `made` in the place of the file `name`, if it has this length and this SHA-256 (in hexadecimal). It blocks.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn put(&mut self, name: &str, length: u64, sha256: &str, made: &[u8]) -> Result<Put, OutputError> {
        let Some(path) = self.file(name) else {
            return Ok(Put::Outside);
        };
        if matches!(self.disk.there(&path), There::Folder | There::Other) {
            return Ok(Put::Outside);
        }
        if made.len() as u64 != length || hex(&Sha256::digest(made)) != sha256 {
            return Ok(Put::Other);
        }
        self.write(&path, made).map(|()| Put::Mended)
    }

    /// Puts `made` in the place of the file `name`, whatever it had. `false` where that may be outside of the folder, or is no place
    /// for a file. It blocks.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn replace(&mut self, name: &str, made: &[u8]) -> Result<bool, OutputError> {
        match self.file(name) {
            Some(path) if !matches!(self.disk.there(&path), There::Folder | There::Other) => self.write(&path, made).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Writes a file under another name, and gives it its own.
    fn write(&mut self, path: &Path, made: &[u8]) -> Result<(), OutputError> {
        let part = with_suffix(path, ".part");
        let written = || -> io::Result<()> {
            // The folder itself may be gone.
            let folders: Vec<&Path> = path
                .ancestors()
                .skip(1)
                .take_while(|folder| folder.starts_with(&self.path))
                .collect();
            folders.into_iter().rev().try_for_each(|folder| self.disk.make_folder(folder))?;
            let file = self.disk.open(&part)?;
            file.set_len(0)?;
            write_all(&*file, 0, made)?;
            file.sync()?;
            self.disk.rename(&part, path)
        };
        if let Err(source) = written() {
            if matches!(self.disk.there(&part), There::File(_))
                && let Err(error) = self.disk.remove(&part)
            {
                tracing::warn!(path = %part.display(), %error, "what was begun could not be removed");
            }
            return Err(OutputError::io(path, "cannot be written", source));
        }
        self.is_changed(path);
        Ok(())
    }

    /// Cuts off what was appended to a file that had so many bytes. `true` if there was something.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn cut_off(&mut self, name: &str, length: u64) -> Result<bool, OutputError> {
        let Some(path) = self.file(name) else {
            return Ok(false);
        };
        if !matches!(self.disk.there(&path), There::File(long) if long > length) {
            return Ok(false);
        }
        let cut = || -> io::Result<()> {
            let file = self.disk.change(&path)?;
            file.set_len(length)?;
            file.sync()
        };
        cut()
            .map(|()| true)
            .map_err(|source| OutputError::io(&path, "cannot be cut off", source))
    }

    /// Returns when all that was put is on the disk.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn finish(self) -> Result<(), OutputError> {
        let synced = self.names.iter().try_for_each(|path| self.disk.sync_names(path));
        synced.map_err(|source| OutputError::io(&self.path, "cannot be made safe on the disk", source))
    }

    fn is_changed(&mut self, path: &Path) {
        let paths = path
            .ancestors()
            .take_while(|path| path.starts_with(&self.path))
            .map(Path::to_path_buf);
        for path in paths {
            if !self.names.iter().any(|known| known.parent() == path.parent()) {
                self.names.push(path);
            }
        }
    }
}

impl Drop for MendingFolder {
    /// Removes what only had the lock.
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        if lock.len().is_ok_and(|length| length == 0)
            && lock.is_at(&self.journal)
            && let Err(error) = self.disk.remove(&self.journal)
        {
            tracing::warn!(path = %self.journal.display(), %error, "the lock could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::faulty::{Fault, FaultyDisk};

    const FILES: [(&str, &[u8]); 4] = [
        ("video/0.ts", b"the first segment"),
        ("video/1.ts", b"the second segment"),
        ("audio/0.aac", b"the first sound"),
        ("audio/1.aac", b""),
    ];

    fn path(name: &str) -> PathBuf {
        Path::new("film").join(name)
    }

    /// A folder of which the first file is right, the second another one, the third longer, and the fourth gone.
    fn damaged() -> FaultyDisk {
        let disk = FaultyDisk::default();
        for folder in ["film", "film/video", "film/audio"] {
            disk.make_folder(Path::new(folder)).unwrap();
        }
        disk.put(&path(FILES[0].0), FILES[0].1);
        disk.put(&path(FILES[1].0), b"something else");
        disk.put(&path(FILES[2].0), &[FILES[2].1, b" and more"].concat());
        disk
    }

    /// One process: mends what is damaged.
    fn process(disk: &FaultyDisk) -> Result<(), OutputError> {
        let mut mending = MendingFolder::on(Arc::new(disk.clone()), Path::new("film"))?;
        for (name, bytes) in FILES {
            mending.cut_off(name, bytes.len() as u64)?;
            if disk.file(&path(name)).as_deref() != Some(bytes) {
                let put = mending.put(name, bytes.len() as u64, &hex(&Sha256::digest(bytes)), bytes)?;
                assert_eq!(put, Put::Mended, "{name}");
            }
        }
        mending.finish()
    }

    #[test]
    fn a_fault_at_any_operation_leaves_nothing_worse_and_the_next_repair_completes() {
        for fault in [Fault::Error, Fault::Full, Fault::Short, Fault::Killed, Fault::PowerCut] {
            let mut failed = 0;
            for operation in 0.. {
                let disk = damaged();
                disk.sync_names(Path::new("film")).unwrap();
                disk.sync_names(Path::new("film/video")).unwrap();
                disk.fail_at(operation, fault);
                failed += u32::from(process(&disk).is_err());
                let is_part = |name: &PathBuf| name.extension().is_some_and(|extension| extension == "part");
                assert!(
                    matches!(fault, Fault::Killed | Fault::PowerCut) || !disk.names().iter().any(is_part),
                    "{fault:?} at operation {operation}: {:?}",
                    disk.names()
                );
                if disk.operations() <= operation {
                    break;
                }
                disk.next_process(operation);
                let place = format!("{fault:?} at operation {operation}");
                assert_eq!(disk.file(&path(FILES[0].0)).as_deref(), Some(FILES[0].1), "{place}");
                let sound = disk.file(&path(FILES[2].0)).unwrap();
                assert!(sound.starts_with(FILES[2].1), "{place}: what was right is not any more");
                process(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
                for (name, bytes) in FILES {
                    assert_eq!(disk.file(&path(name)).as_deref(), Some(bytes), "{place}: {name}");
                }
                assert_eq!(disk.names().len(), FILES.len(), "{place}: {:?}", disk.names());
            }
            assert!(failed > 3, "{fault:?}");
        }
    }

    #[test]
    fn nothing_is_put_that_does_not_prove_itself_or_stands_elsewhere() {
        let disk = damaged();
        let sha256 = hex(&Sha256::digest(FILES[1].1));
        let mut mending = MendingFolder::on(Arc::new(disk.clone()), Path::new("film")).unwrap();
        for (name, made, expected) in [
            ("video/1.ts", &b"the second segmenT"[..], Put::Other),
            ("video/1.ts", b"the second", Put::Other),
            ("../1.ts", FILES[1].1, Put::Outside),
            ("video", FILES[1].1, Put::Outside),
        ] {
            assert_eq!(
                mending.put(name, FILES[1].1.len() as u64, &sha256, made).unwrap(),
                expected,
                "{name}"
            );
        }
        assert_eq!(disk.file(&path("video/1.ts")).unwrap(), b"something else");
        let busy = MendingFolder::on(Arc::new(disk.clone()), Path::new("film"));
        assert!(matches!(busy, Err(OutputError::Busy { .. })), "{busy:?}");
        drop(mending);
        assert_eq!(disk.names().len(), FILES.len() - 1, "the lock is left");
    }
}
