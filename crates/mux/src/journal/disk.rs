//! The files of an output, as a seam: the real ones, and in tests a disk that fails on demand.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// One open file.
pub(crate) trait Bytes: fmt::Debug + Send + Sync {
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Reads at `offset`; 0 at the end.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// Writes at `offset`, maybe not all.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts it off, or makes it longer with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Returns when all that was written is on the disk.
    fn sync(&self) -> io::Result<()>;
    /// Another handle of the same open file.
    fn share(&self) -> io::Result<Box<dyn Bytes>>;
    /// Whether it is the file that stands at `path` now.
    fn is_at(&self, path: &Path) -> bool;
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    /// A regular file of this length.
    File(u64),
    Folder,
    /// A link, which may lead anywhere.
    Link,
    Other,
}

/// The names of files.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// What stands at a path, links not followed.
    fn there(&self, path: &Path) -> There;
    /// Opens a file for reading and writing, made if it is not there, and locks it against other processes
    /// ([`io::ErrorKind::WouldBlock`]).
    fn open(&self, path: &Path) -> io::Result<Box<dyn Bytes>>;
    /// The same for a file that is there, through a link as well.
    fn change(&self, path: &Path) -> io::Result<Box<dyn Bytes>>;
    /// Opens a file that is there for reading.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Bytes>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder, unless it is there.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder that is empty.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Names what stands in a folder, and in its folders, each of these behind what it has.
    fn walk(&self, folder: &Path, each: &mut dyn FnMut(&Path, There) -> io::Result<()>) -> io::Result<()>;
    /// What tells the folder at a path from another one that stands there later, where the system knows.
    fn identity(&self, folder: &Path) -> Option<(u64, u64)>;
    /// Returns when all that was written to a file is on the disk.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Returns when the names in the folder of `path` are on the disk.
    fn sync_names(&self, path: &Path) -> io::Result<()>;
    /// Bytes that may still be written there, where the system tells.
    fn free(&self, path: &Path) -> Option<u64>;
    /// How long, and for how many bytes, an output may be ahead of what is safe.
    fn pace(&self) -> (Duration, u64) {
        (Duration::from_secs(2), 64 << 20)
    }
}

/// The disk of this machine.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn there(&self, path: &Path) -> There {
        match path.symlink_metadata() {
            Ok(there) if there.is_file() => There::File(there.len()),
            Ok(there) if there.is_dir() => There::Folder,
            Ok(there) if there.is_symlink() => There::Link,
            Ok(_) => There::Other,
            Err(_) => There::Nothing,
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Bytes>> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        // A link that is laid between the look at the path and this leads nowhere.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        locked(path, options.open(path)?)
    }

    fn change(&self, path: &Path) -> io::Result<Box<dyn Bytes>> {
        locked(path, OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Bytes>> {
        Ok(Box::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.there(path) == There::Folder => Ok(()),
            made => made,
        }
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn walk(&self, folder: &Path, each: &mut dyn FnMut(&Path, There) -> io::Result<()>) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let there = self.there(&path);
            if there == There::Folder {
                self.walk(&path, each)?;
            }
            each(&path, there)?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn identity(&self, folder: &Path) -> Option<(u64, u64)> {
        let there = folder.symlink_metadata().ok().filter(std::fs::Metadata::is_dir)?;
        Some((
            std::os::unix::fs::MetadataExt::dev(&there),
            std::os::unix::fs::MetadataExt::ino(&there),
        ))
    }

    #[cfg(not(unix))]
    fn identity(&self, folder: &Path) -> Option<(u64, u64)> {
        folder.is_dir().then_some((0, 0))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::options().write(true).open(path)?.sync_data()
    }

    #[cfg(unix)]
    fn sync_names(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()) {
            // File systems exist that cannot: their names are as safe as they get.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            done => done,
        }
    }

    /// Folders cannot be opened as files elsewhere; the system keeps names on its own.
    #[cfg(not(unix))]
    fn sync_names(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    fn free(&self, path: &Path) -> Option<u64> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let told = rustix::fs::statvfs(folder.unwrap_or(Path::new("."))).ok()?;
        told.f_bavail.checked_mul(told.f_frsize)
    }

    #[cfg(not(unix))]
    fn free(&self, _: &Path) -> Option<u64> {
        None
    }
}

/// Locks a file against other processes.
fn locked(path: &Path, file: File) -> io::Result<Box<dyn Bytes>> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        // Some file systems have no locks; the rename stays atomic without one.
        Err(TryLockError::Error(error)) => tracing::debug!(path = %path.display(), %error, "no lock"),
    }
    Ok(Box::new(file))
}

impl Bytes for File {
    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, bytes, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(self, bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn share(&self) -> io::Result<Box<dyn Bytes>> {
        Ok(Box::new(self.try_clone()?))
    }

    #[cfg(unix)]
    fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        match (self.metadata(), path.symlink_metadata()) {
            (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }

    /// Elsewhere an open file can neither be renamed nor removed by others.
    #[cfg(not(unix))]
    fn is_at(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all(file: &dyn Bytes, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether nothing but folders leads from `folder` down to `path`, on the disk of this machine: a link among them may lead
/// anywhere.
pub fn leads_within(folder: &Path, path: &Path) -> bool {
    is_within(&RealDisk, folder, path)
}

/// The same on any disk.
pub(crate) fn is_within(disk: &dyn Disk, folder: &Path, path: &Path) -> bool {
    let between = path.ancestors().skip(1).take_while(|between| *between != folder);
    path.starts_with(folder)
        && between
            .into_iter()
            .all(|between| matches!(disk.there(between), There::Folder | There::Nothing))
}

/// A part of a file, from front to back.
#[derive(Debug)]
pub(crate) struct Span {
    file: Box<dyn Bytes>,
    at: u64,
    end: u64,
}

impl Span {
    /// The bytes from `at` to `end`, as far as they are there.
    pub(crate) fn new(file: Box<dyn Bytes>, at: u64, end: u64) -> Self {
        Self { file, at, end }
    }
}

impl io::Read for Span {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = room.min(bytes.len());
        let read = self.file.read_at(self.at, &mut bytes[..room])?;
        self.at += read as u64;
        Ok(read)
    }
}
