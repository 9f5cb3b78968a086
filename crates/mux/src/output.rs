//! Where the output goes: a part file beside the target, renamed when it is whole, or standard output.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aqueduct_core::{TrackId, Write, WriteAt};
use thiserror::Error;

use crate::account::Account;
use crate::journal::disk::RealDisk;
use crate::journal::job::Job;
use crate::journal::record::Entry;
use crate::journal::survey::{Entries, Resumed};
use crate::part::{Part, Replace, Shape};

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
    /// A folder is to be made where something stands already.
    #[error("{} is there already, and is not replaced by a folder: remove it, or choose another name", .path.display())]
    FolderExists {
        /// What stands there.
        path: PathBuf,
    },
    /// What stands there is no regular file.
    #[error("{} is no regular file, and is not replaced", .path.display())]
    Special {
        /// What stands there.
        path: PathBuf,
    },
    /// The folder that the output goes to is not there.
    #[error("{}: its folder is not there: make it first, or choose another", .path.display())]
    NoFolder {
        /// What was to be created.
        path: PathBuf,
    },
    /// What stands where the part file goes is not of this program, as far as one can tell.
    #[error("{} is there already, and nothing says that it is of this program; remove it, or replace it with --overwrite", .path.display())]
    Foreign {
        /// The part file, or the journal.
        path: PathBuf,
    },
    /// What an earlier run left is of another stream, and the two are not mixed.
    #[error(
        "{} is what an earlier run left of another stream: {what}; choose another name, or replace it with --overwrite",
        .path.display()
    )]
    OtherStream {
        /// The part file.
        path: PathBuf,
        /// How it differs.
        what: String,
    },
    /// What an earlier run left is of another version of this program, whose state this one does not understand.
    #[error(
        "{} is what another version of this program left; carry on with that one, choose another name, or replace it with --overwrite",
        .path.display()
    )]
    OtherVersion {
        /// The part file.
        path: PathBuf,
    },
    /// There is less room than the stream needs.
    #[error("{}: it needs {needed} bytes, and {free} are free", .path.display())]
    NoSpace {
        /// The part file.
        path: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that may be written.
        free: u64,
    },
    /// The part file lost its name while it was written.
    #[error("{} is gone: it, or its folder, was removed or renamed", .path.display())]
    Gone {
        /// The part file.
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
    /// The muxer names files, and the output is one.
    #[error("this container is made of several files, and the output is one")]
    OneFile,
}

impl OutputError {
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.into(),
            action,
            source,
        }
    }
}

/// An output that grows.
#[derive(Debug)]
pub struct Output {
    destination: Destination,
    resumed: Option<Resumed>,
}

#[derive(Debug)]
enum Destination {
    Part(Box<Part>),
    Stdout(Stdout, u64),
}

#[cfg(unix)]
type Stdout = std::fs::File;
#[cfg(not(unix))]
type Stdout = io::Stdout;

impl Output {
    /// An output that will stand at `target`. It grows as a part file beside it (`film.mp4.part`), which this process
    /// alone writes, with a journal (`film.mp4.part.journal`), and gets its name when it is [`commit`](Output::commit)ted.
    /// One that is given up stays as far as it can be taken up again, and is removed otherwise.
    ///
    /// `overwrite` lets it replace a target that is there, and what an earlier run left of another stream. What one left of
    /// the same stream is taken up in any case, unless [`anew`](Output::anew) says otherwise.
    ///
    /// # Errors
    ///
    /// [`OutputError`]: the target exists and `overwrite` is false, another process writes it, or the folder
    /// refuses.
    pub fn file(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        Self::on(Arc::new(RealDisk), target, Shape::File, Replace::all_if(overwrite))
    }

    /// An output as [`file`](Output::file), in the place of a target that is there. What an earlier run left beside it of another
    /// stream, or somebody else, is refused.
    ///
    /// # Errors
    ///
    /// [`OutputError`]: another process writes it, what stands there is not of this program, or the folder refuses.
    pub fn replacing(target: &Path) -> Result<Self, OutputError> {
        Self::on(Arc::new(RealDisk), target, Shape::File, Replace::Target)
    }

    pub(crate) fn on(
        disk: Arc<dyn crate::journal::disk::Disk>,
        target: &Path,
        shape: Shape,
        replace: Replace,
    ) -> Result<Self, OutputError> {
        Part::open(disk, target, shape, replace).map(|part| Self::to(Destination::Part(Box::new(part))))
    }

    fn to(destination: Destination) -> Self {
        Self {
            destination,
            resumed: None,
        }
    }

    /// A folder that will stand at `target`, for a muxer that names its files ([`WriteAt::File`]). It grows as
    /// `target.part`, with a journal beside it (`target.part.journal`), and gets its name when it is
    /// [`commit`](Output::commit)ted. What an earlier run left is taken up, or refused, as of a [`file`](Output::file);
    /// `overwrite` lets it replace that, but never a folder that has its name.
    ///
    /// # Errors
    ///
    /// [`OutputError`]: the target exists, another process writes it, or the folder refuses.
    pub fn folder(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        Self::on(Arc::new(RealDisk), target, Shape::Folder, Replace::all_if(overwrite))
    }

    /// Files beside each other, for a muxer that numbers them ([`WriteAt::File`]): `film.001.mp4` and so on for the target
    /// `film.mp4`. They grow in the folder `film.mp4.part`, with a journal beside it, and get their names when they are
    /// [`commit`](Output::commit)ted. What an earlier run left is taken up, or refused, as of a [`file`](Output::file).
    ///
    /// # Errors
    ///
    /// [`OutputError`]: the first of them is there already and `overwrite` is false, another process writes them, or the folder
    /// refuses.
    pub fn numbered(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        Self::on(Arc::new(RealDisk), target, Shape::Numbered, Replace::all_if(overwrite))
    }

    /// Standard output.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`] when it is closed.
    pub fn stdout() -> Result<Self, OutputError> {
        match stdout() {
            Ok(stdout) => Ok(Self::to(Destination::Stdout(stdout, 0))),
            Err(source) => Err(OutputError::io(Path::new("-"), "cannot be written", source)),
        }
    }

    /// The same, begun anew whatever an earlier run left.
    #[must_use]
    pub fn anew(mut self) -> Self {
        if let Destination::Part(part) = &mut self.destination {
            part.begin_anew();
        }
        self
    }

    /// The same, begun no further than to the segment `msn` of `track`, if an earlier run left more.
    #[must_use]
    pub fn before(mut self, track: TrackId, msn: u64) -> Self {
        if let Destination::Part(part) = &mut self.destination {
            part.begin_before(track, msn);
        }
        self
    }

    /// What an earlier run was doing here, if it left something.
    pub fn left(&self) -> Option<Job> {
        match &self.destination {
            Destination::Part(part) => part.left(),
            Destination::Stdout(..) => None,
        }
    }

    /// Begins to keep a journal of `job`, before the first byte. Where an earlier run left something of the same job, its
    /// proved beginning is taken up: this tells how far that is, and everything else is cut off. It blocks while it reads.
    ///
    /// # Errors
    ///
    /// [`OutputError::OtherStream`] when what is there is of another job; [`OutputError::Io`].
    pub fn begin(&mut self, job: &Job) -> Result<Option<Resumed>, OutputError> {
        if let Destination::Part(part) = &mut self.destination {
            self.resumed = part.begin(job)?;
        }
        Ok(self.resumed.clone())
    }

    /// What was taken up, for whoever goes on from there.
    pub(crate) fn take_resumed(&mut self) -> Option<Resumed> {
        self.resumed.take()
    }

    /// The entries of a track that the journal has so far.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn entries(&self, track: TrackId) -> Result<Option<Entries>, OutputError> {
        match &self.destination {
            Destination::Part(part) => part.entries(track),
            Destination::Stdout(..) => Ok(None),
        }
    }

    /// Checks that so many bytes more have room, as far as the system tells.
    ///
    /// # Errors
    ///
    /// [`OutputError::NoSpace`].
    pub fn check_space(&self, bytes: u64) -> Result<(), OutputError> {
        match &self.destination {
            Destination::Part(part) => part.check_space(bytes),
            Destination::Stdout(..) => Ok(()),
        }
    }

    /// Whether earlier bytes can be changed.
    pub fn is_seekable(&self) -> bool {
        match &self.destination {
            Destination::Part(part) => part.is_seekable(),
            Destination::Stdout(..) => false,
        }
    }

    /// Whether it stands on a disk: what is written to it does not wait for a reader.
    pub fn is_on_disk(&self) -> bool {
        !matches!(self.destination, Destination::Stdout(..))
    }

    pub(crate) fn is_journaled(&self) -> bool {
        matches!(&self.destination, Destination::Part(part) if part.is_journaled())
    }

    pub(crate) fn checkpoints<E>(&self, each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Result<(), E>, OutputError> {
        match &self.destination {
            Destination::Part(part) => part.checkpoints(each),
            Destination::Stdout(..) => Ok(Ok(())),
        }
    }

    /// Writes one piece. It blocks.
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), OutputError> {
        let bytes = write.data.as_slice();
        match (&mut self.destination, &write.at) {
            (Destination::Part(part), WriteAt::End) => part.append(bytes),
            (Destination::Part(part), WriteAt::Offset(offset)) => part.overwrite(*offset, bytes),
            (Destination::Part(part), WriteAt::File(name)) => part.begin_file(name).and_then(|()| part.append(bytes)),
            (Destination::Stdout(..), WriteAt::Offset(_)) => Err(OutputError::NotSeekable),
            (Destination::Stdout(..), WriteAt::File(_)) => Err(OutputError::OneFile),
            (Destination::Stdout(stdout, length), WriteAt::End) => {
                *length += bytes.len() as u64;
                stdout
                    .write_all(bytes)
                    .map_err(|source| OutputError::io(Path::new("-"), "cannot be written", source))
            }
        }
    }

    /// Records a unit, with what the muxer needs to go on from here.
    pub(crate) fn record(&mut self, entry: Entry, state: Option<Vec<u8>>) -> Result<(), OutputError> {
        match &mut self.destination {
            Destination::Part(part) => part.record(entry, state),
            Destination::Stdout(..) => Ok(()),
        }
    }

    /// Makes the output final: the part file gets its name by one atomic rename, when its bytes are safe on the disk.
    ///
    /// # Errors
    ///
    /// [`OutputError`]: the target appeared in the meantime and is not to be replaced, or the system refused.
    pub fn commit(self) -> Result<Account, OutputError> {
        self.finish(false)
    }

    /// Makes the output final as it is, though more of the stream is to come: it can be played, and an output at the same
    /// target takes it up again.
    ///
    /// # Errors
    ///
    /// As [`commit`](Output::commit).
    pub fn commit_interrupted(self) -> Result<Account, OutputError> {
        self.finish(true)
    }

    fn finish(self, interrupted: bool) -> Result<Account, OutputError> {
        match self.destination {
            Destination::Part(part) => part.commit(interrupted),
            Destination::Stdout(mut stdout, length) => {
                stdout
                    .flush()
                    .map_err(|source| OutputError::io(Path::new("-"), "cannot be written", source))?;
                Ok(Account::new(None, None, length, None))
            }
        }
    }
}

/// Standard output without the buffer that looks for line ends.
#[cfg(unix)]
fn stdout() -> io::Result<Stdout> {
    use std::os::fd::AsFd;
    io::stdout().as_fd().try_clone_to_owned().map(Stdout::from)
}

#[cfg(not(unix))]
fn stdout() -> io::Result<Stdout> {
    Ok(io::stdout())
}

#[cfg(test)]
mod tests {
    use aqueduct_core::Presentation;

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

    #[test]
    fn units_that_brought_no_bytes_yet_are_taken_up_too() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("film.srt");
        let job = Job::new(&Presentation::default(), &[], "subtitles");
        let url = url::Url::parse("http://host.example/7.ts").unwrap();
        let resource = aqueduct_core::Resource::new(aqueduct_core::Kind::Segment, url);
        let info = aqueduct_core::SegmentInfo::new(TrackId::new(0), 7, std::time::Duration::from_secs(2), resource);
        let fate = crate::Fate::Written {
            offset: 0,
            length: 0,
            sha256: [0; 32],
        };
        let mut output = Output::file(&target, false).unwrap();
        assert!(output.begin(&job).unwrap().is_none());
        output.record(Entry::segment(&info, fate), Some(b"state".to_vec())).unwrap();
        drop(output);
        let resumed = Output::file(&target, false).unwrap().begin(&job).unwrap();
        assert_eq!(resumed.map(|resumed| resumed.tally.segments), Some(1));
        // Whoever removes the part file gives that up.
        std::fs::remove_file(folder.path().join("film.srt.part")).unwrap();
        assert!(Output::file(&target, false).unwrap().begin(&job).unwrap().is_none());
    }

    #[test]
    fn what_somebody_else_left_is_neither_taken_for_ones_own_nor_removed() {
        for suffix in ["part", "part.journal"] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("film.ts");
            let theirs = folder.path().join(format!("film.ts.{suffix}"));
            std::fs::write(&theirs, b"precious").unwrap();
            let refused = Output::file(&target, false);
            assert!(
                matches!(&refused, Err(OutputError::Foreign { path }) if *path == theirs),
                "{refused:?}"
            );
            // Nothing came that could replace it.
            drop(Output::file(&target, true).unwrap());
            assert_eq!(std::fs::read(&theirs).unwrap(), b"precious", "{suffix}");
            let mut replaced = Output::file(&target, true).unwrap();
            replaced.begin(&Job::new(&Presentation::default(), &[], "raw")).unwrap();
            replaced.commit().unwrap();
            assert!(target.exists() && !theirs.exists(), "{suffix}");
        }
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
    fn numbered_files_get_their_names_together() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let names = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let target = folder.path().join("film.cut.mp4");
        let file = |name: &str| Write {
            at: WriteAt::File(name.to_owned().into()),
            data: Vec::new().into(),
        };
        let over = |offset, bytes: &[u8]| Write {
            at: WriteAt::Offset(offset),
            data: bytes.to_vec().into(),
        };
        let mut output = Output::numbered(&target, false).unwrap();
        output.begin(&Job::new(&Presentation::default(), &[], "raw")).unwrap();
        for (name, bytes) in [("001", b"one"), ("002", b"two")] {
            output.write(&file(name)).unwrap();
            output.write(&append(bytes)).unwrap();
            output.write(&over(0, b"T")).unwrap();
            assert!(output.write(&over(2, b"xx")).is_err());
        }
        assert!(names().iter().all(|name| name.contains(".part")), "{:?}", names());
        output.commit().unwrap();
        assert_eq!(names(), ["film.cut.001.mp4", "film.cut.002.mp4"]);
        assert_eq!(std::fs::read(folder.path().join("film.cut.002.mp4")).unwrap(), b"Two");
        assert!(matches!(Output::numbered(&target, false), Err(OutputError::Exists { .. })));
        let mut again = Output::numbered(&target, true).unwrap();
        again.begin(&Job::new(&Presentation::default(), &[], "raw")).unwrap();
        again.write(&file("001")).unwrap();
        drop(again);
        assert_eq!(names(), ["film.cut.001.mp4", "film.cut.002.mp4"], "given up, it replaces nothing");
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let error = Output::file(Path::new("/nonexistent/film.ts"), false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nonexistent/film.ts.part: its folder is not there: make it first, or choose another"
        );
    }
}
