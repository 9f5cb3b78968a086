//! Where the output goes: a part file beside the target, renamed when it is whole, or standard output.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use aqueduct_core::{Write, WriteAt};
use thiserror::Error;

/// Why the output could not be written. Messages read after "failed to write".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The target is there already.
    #[error("{} is there already; --overwrite replaces it", .path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// Another process writes the same part file.
    #[error("{} is being written by another process", .path.display())]
    Busy {
        /// The part file.
        path: PathBuf,
    },
    /// What stands there is no regular file.
    #[error("{} is no regular file, and is not replaced", .path.display())]
    Special {
        /// What stands there.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {action}", .path.display())]
    Io {
        /// The file, or `-`.
        path: PathBuf,
        /// What was being done, as a fragment: "cannot be created".
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The muxer wants to change bytes that are gone already.
    #[error("this container cannot be written to a pipe: it goes back to earlier bytes")]
    NotSeekable,
}

/// An output that grows.
#[derive(Debug)]
pub struct Output(Destination);

#[derive(Debug)]
enum Destination {
    Part(PartFile),
    #[cfg(unix)]
    Stdout(File),
    #[cfg(not(unix))]
    Stdout(io::Stdout),
}

impl Output {
    /// An output that will stand at `target`. It grows as a part file beside it (`film.mp4.part`), which this
    /// process alone writes and which is removed unless the output is [`commit`](Output::commit)ted.
    ///
    /// # Errors
    ///
    /// [`OutputError`]: the target exists and `overwrite` is false, another process writes it, or the folder
    /// refuses.
    pub fn file(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        PartFile::create(target, overwrite).map(|part| Self(Destination::Part(part)))
    }

    /// Standard output.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`] when it is closed.
    pub fn stdout() -> Result<Self, OutputError> {
        match stdout() {
            Ok(stdout) => Ok(Self(Destination::Stdout(stdout))),
            Err(source) => Err(OutputError::Io {
                path: "-".into(),
                action: "cannot be written",
                source,
            }),
        }
    }

    /// Whether earlier bytes can be changed.
    pub fn is_seekable(&self) -> bool {
        matches!(self.0, Destination::Part(_))
    }

    /// Writes one piece. It blocks.
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), OutputError> {
        let bytes = write.data.as_slice();
        match &mut self.0 {
            Destination::Part(part) => part
                .write(write.at, bytes)
                .map_err(|source| part.error("cannot be written", source)),
            Destination::Stdout(_) if write.at != WriteAt::End => Err(OutputError::NotSeekable),
            Destination::Stdout(stdout) => stdout.write_all(bytes).map_err(|source| OutputError::Io {
                path: "-".into(),
                action: "cannot be written",
                source,
            }),
        }
    }

    /// Makes the output final: the part file gets its name by one atomic rename.
    ///
    /// # Errors
    ///
    /// [`OutputError`]: the target appeared in the meantime and is not to be replaced, or the system refused.
    pub fn commit(self) -> Result<(), OutputError> {
        match self.0 {
            Destination::Part(part) => part.commit(),
            Destination::Stdout(mut stdout) => stdout.flush().map_err(|source| OutputError::Io {
                path: "-".into(),
                action: "cannot be written",
                source,
            }),
        }
    }
}

/// A file under a temporary name, locked against other processes.
#[derive(Debug)]
struct PartFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    overwrite: bool,
    committed: bool,
}

impl PartFile {
    fn create(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        match target.symlink_metadata() {
            Ok(_) if !overwrite => return Err(OutputError::Exists { path: target.into() }),
            // A pipe or a device would be replaced by a file.
            Ok(there) if !there.is_file() && !there.is_symlink() => return Err(OutputError::Special { path: target.into() }),
            _ => {}
        }
        let mut name = OsString::from(target);
        name.push(".part");
        let path = PathBuf::from(name);
        // What stands there may be a link that somebody laid to another file.
        if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            return Err(OutputError::Special { path });
        }
        let error = |action, source| OutputError::Io {
            path: path.clone(),
            action,
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| error("cannot be created", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutputError::Busy { path }),
            // Some file systems have no locks; the rename stays atomic without one.
            Err(TryLockError::Error(error)) => tracing::debug!(path = %path.display(), %error, "no lock"),
        }
        // The process that held the lock may have given the file its final name, or removed it, in the meantime.
        if !is_still(&file, &path) {
            return Err(OutputError::Busy { path });
        }
        // Left by a process that was killed. An empty file is left alone: ext4 takes truncation for a replacement, and
        // makes closing the file wait for the allocation of all its blocks.
        let length = file.metadata().map_err(|source| error("cannot be read", source))?.len();
        if length > 0 {
            file.set_len(0).map_err(|source| error("cannot be emptied", source))?;
        }
        Ok(Self {
            file,
            path,
            target: target.into(),
            overwrite,
            committed: false,
        })
    }

    fn write(&mut self, at: WriteAt, bytes: &[u8]) -> io::Result<()> {
        match at {
            WriteAt::End => self.file.write_all(bytes),
            WriteAt::Offset(offset) => {
                self.file.seek(SeekFrom::Start(offset))?;
                self.file.write_all(bytes)?;
                self.file.seek(SeekFrom::End(0)).map(|_| ())
            }
        }
    }

    fn commit(mut self) -> Result<(), OutputError> {
        if !self.overwrite && self.target.symlink_metadata().is_ok() {
            return Err(OutputError::Exists { path: self.target.clone() });
        }
        std::fs::rename(&self.path, &self.target).map_err(|source| self.error("cannot be renamed to its final name", source))?;
        self.committed = true;
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> OutputError {
        OutputError::Io {
            path: self.path.clone(),
            action,
            source,
        }
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the part file could not be removed");
        }
    }
}

/// Whether an open file is the one that stands at `path`.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Elsewhere an open file can neither be renamed nor removed by others.
#[cfg(not(unix))]
fn is_still(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Standard output without the buffer that looks for line ends.
#[cfg(unix)]
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(not(unix))]
fn stdout() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(bytes: &[u8]) -> Write {
        Write::append(bytes.to_vec())
    }

    #[test]
    fn the_final_name_appears_with_the_last_byte_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film.ts");
        let mut output = Output::file(&target, false).unwrap();
        output.write(&append(b"media and ")).unwrap();
        output.write(&append(b"more")).unwrap();
        output
            .write(&Write {
                at: WriteAt::Offset(0),
                data: b"MEDIA".to_vec().into(),
            })
            .unwrap();
        output.write(&append(b"!")).unwrap();
        assert!(!target.exists());
        output.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"MEDIA and more!");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_output_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::file(&folder.path().join("film.ts"), false).unwrap();
        output.write(&append(b"half")).unwrap();
        drop(output);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_finished_file_is_not_replaced_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film.ts");
        let early = Output::file(&target, false).unwrap();
        std::fs::write(&target, b"precious").unwrap();
        assert!(
            matches!(early.commit(), Err(OutputError::Exists { .. })),
            "it appeared in the meantime"
        );
        assert!(matches!(Output::file(&target, false), Err(OutputError::Exists { .. })));
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        Output::file(&target, true).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"");
    }

    #[test]
    fn two_processes_do_not_write_one_part_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film.ts");
        let first = Output::file(&target, false).unwrap();
        assert!(matches!(Output::file(&target, false), Err(OutputError::Busy { .. })));
        drop(first);
        assert!(Output::file(&target, false).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_neither_followed_nor_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        std::fs::write(&precious, b"precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("film.ts.part")).unwrap();
        assert!(matches!(
            Output::file(&folder.path().join("film.ts"), false),
            Err(OutputError::Special { .. })
        ));
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
        assert!(matches!(Output::file(folder.path(), true), Err(OutputError::Special { .. })));
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let error = Output::file(Path::new("/nonexistent/film.ts"), false).unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/film.ts.part: cannot be created");
    }
}
