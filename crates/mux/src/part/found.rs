//! What an earlier run, or somebody else, left where an output is to stand.

use std::io;
use std::path::{Path, PathBuf};

use aqueduct_core::{Presentation, Track};

use super::Replace;
use super::body::Shape;
use super::names::{first, numbered, paths, target_of};
use crate::journal::disk::{Disk, RealDisk, There};
use crate::journal::job::{Job, JobTrack};
use crate::journal::survey::{Left, Survey, checkpoints, files};
use crate::{OutputError, Split};

/// How many names of a folder are looked at to find what an earlier run left, and how many journals are read.
const MOST_NAMES: usize = 10_000;
const MOST_JOURNALS: usize = 256;

/// What there is to decide about before the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or nothing of use: the part file is empty, and this process's own.
    Nothing,
    /// A part file and its journal, or something to be replaced.
    Part,
    /// A journal of an output that has its final name and this length: an interruption gave it that, and it can go on.
    Interrupted(u64),
    /// A journal without a part file.
    Journal,
}

impl Found {
    /// Whether something stands there that no run may throw away before it knows what it is.
    pub(super) fn is_something(self) -> bool {
        matches!(self, Self::Part | Self::Interrupted(_))
    }
}

/// Looks at what stands at the target and beside it. Only a journal whose output is finished is removed. With it comes whether
/// what stands there is of this program, as far as the journal tells.
pub(super) fn look(disk: &dyn Disk, target: &Path, shape: Shape, replace: Replace) -> Result<(Found, bool), OutputError> {
    let (part, journal) = paths(target);
    let numbered = shape == Shape::Numbered;
    // What stands there may be a link that somebody laid to another file; a pipe or a device would be replaced by a file.
    let fits = |there| match shape {
        Shape::File => matches!(there, There::Nothing | There::File(_)),
        Shape::Folder | Shape::Numbered => matches!(there, There::Nothing | There::Folder),
    };
    if !fits(disk.there(&part)) {
        return Err(in_the_way(shape, &part));
    }
    if !matches!(disk.there(&journal), There::Nothing | There::File(_)) {
        return Err(OutputError::Special { path: journal });
    }
    if !numbered && !fits(disk.there(target)) && (shape == Shape::Folder || disk.there(target) != There::Link) {
        return Err(in_the_way(shape, target));
    }
    let left = match disk.there(&journal) {
        There::File(1..) => disk.read(&journal).and_then(|file| Left::of(&*file)),
        _ => Ok(Left::Torn),
    };
    let left = left.map_err(|source| OutputError::io(&journal, "cannot be read", source))?;
    if matches!(left, Left::Foreign) && replace != Replace::All {
        return Err(OutputError::Foreign { path: journal });
    }
    let interrupted = if numbered {
        look_for_numbered(disk, target, &left, replace)?
    } else {
        look_for_target(disk, target, shape, &left, replace)?
    };
    let ours = matches!(left, Left::Journal(_) | Left::Begun | Left::OtherVersion);
    let found = match (interrupted, disk.there(&part), ours) {
        (Some(length), ..) => Found::Interrupted(length),
        (None, There::Nothing, true) => Found::Journal,
        (None, There::Nothing, false) => Found::Nothing,
        (None, ..) => Found::Part,
    };
    Ok((found, ours))
}

/// What stands at the target: an output that was interrupted, of this length, or nothing that may not be replaced.
fn look_for_target(disk: &dyn Disk, target: &Path, shape: Shape, left: &Left, replace: Replace) -> Result<Option<u64>, OutputError> {
    let (part, journal) = paths(target);
    // An empty part is what was locked by a run that was killed before anything went behind what it took up.
    let alone = matches!(disk.there(&part), There::Nothing | There::File(0));
    let interrupted = left.interrupted();
    match (disk.there(target), interrupted) {
        // What is to be taken up is the target itself.
        (There::File(length), Some(interrupted)) if interrupted == length && alone && replace == Replace::Target => {
            Err(OutputError::Exists { path: target.into() })
        }
        (There::File(length), Some(interrupted)) if interrupted == length && alone => Ok(Some(length)),
        // What the files have, the journal proves later.
        (There::Folder, Some(length)) if alone => Ok(Some(length)),
        (There::Nothing, _) => Ok(None),
        _ if replace >= Replace::Target && shape == Shape::File => Ok(None),
        _ => {
            // Left by a process that was killed when the target had its name already.
            if matches!(left, Left::Journal(_)) && interrupted.is_none() && alone {
                disk.remove(&journal)
                    .map_err(|source| OutputError::io(&journal, "cannot be removed", source))?;
            }
            Err(exists(shape, target))
        }
    }
}

/// The same for numbered files, which grow in a folder.
fn look_for_numbered(disk: &dyn Disk, target: &Path, left: &Left, replace: Replace) -> Result<Option<u64>, OutputError> {
    let (part, journal) = paths(target);
    if let Some(length) = left.interrupted() {
        let named = named(disk, target, length).map_err(|source| OutputError::io(&journal, "cannot be read", source))?;
        if let Some((path, _)) = named.iter().find(|(_, changed)| *changed).filter(|_| replace != Replace::All) {
            return Err(OutputError::Exists { path: path.clone() });
        }
        if !named.is_empty() || disk.there(&part) != There::Nothing {
            return Ok(Some(length));
        }
    }
    is_free(disk, &first(target), replace >= Replace::Target).map(|()| None)
}

/// Checks that a file may get this name: nothing has it, or a file that may be replaced.
pub(super) fn is_free(disk: &dyn Disk, path: &Path, replace: bool) -> Result<(), OutputError> {
    match disk.there(path) {
        There::Nothing => Ok(()),
        There::File(_) if replace => Ok(()),
        There::File(_) => Err(OutputError::Exists { path: path.into() }),
        There::Folder | There::Link | There::Other => Err(OutputError::Special { path: path.into() }),
    }
}

/// The numbered files that an interruption gave their names, as far as they are there, and whether they have another length than
/// they were given: then they are somebody else's by now. `length` is that of all of them.
pub(super) fn named(disk: &dyn Disk, target: &Path, length: u64) -> io::Result<Vec<(PathBuf, bool)>> {
    let journal = disk.read(&paths(target).1)?;
    let begun = files(&*journal, u64::MAX)?;
    let ends = begun.iter().skip(1).map(|(_, start)| *start).chain([length]);
    let files = begun.iter().zip(ends).filter_map(|((name, start), end)| {
        let path = numbered(target, name);
        match path.as_deref().map(|path| disk.there(path)) {
            Some(There::File(now)) => Some((path?, now != end.saturating_sub(*start))),
            _ => None,
        }
    });
    Ok(files.collect())
}

/// What stands at the path is of another kind than the output.
fn in_the_way(shape: Shape, path: &Path) -> OutputError {
    match shape {
        Shape::File => OutputError::Special { path: path.into() },
        Shape::Folder | Shape::Numbered => OutputError::FolderExists { path: path.into() },
    }
}

/// The target is there.
pub(super) fn exists(shape: Shape, target: &Path) -> OutputError {
    match shape {
        Shape::File => OutputError::Exists { path: target.into() },
        Shape::Folder => OutputError::FolderExists { path: target.into() },
        Shape::Numbered => OutputError::Exists { path: first(target) },
    }
}

/// Whether something has the name of the target that is not to be replaced. No folder ever is.
pub(super) fn is_taken(disk: &dyn Disk, target: &Path, shape: Shape, replace: Replace) -> bool {
    let first = match shape {
        Shape::File | Shape::Folder => target.to_path_buf(),
        Shape::Numbered => first(target),
    };
    (replace == Replace::Nothing || shape == Shape::Folder) && disk.there(&first) != There::Nothing
}

/// Whether an earlier run left something of the output at `target` that can be taken up. What is not of this program, or of
/// another version of it, counts as that. A repair that puts a file together anew leaves nothing: all of it is in the old file.
/// So does a run that was killed when the target had its name already.
pub fn can_go_on(target: &Path) -> bool {
    let (part, journal) = paths(target);
    if !journal.symlink_metadata().is_ok_and(|there| there.is_file() && there.len() > 0) {
        return false;
    }
    let has_state = || -> io::Result<bool> {
        let journal = RealDisk.read(&journal)?;
        Ok(match Left::of(&*journal)? {
            Left::Journal(survey) if survey.interrupted.is_none() && RealDisk.there(&part) == There::Nothing => false,
            Left::Journal(_) => checkpoints(&*journal, u64::MAX, |_| Err(()))?.is_err(),
            Left::Begun | Left::Torn => false,
            Left::OtherVersion | Left::Foreign => true,
        })
    };
    has_state().unwrap_or(true)
}

/// Whether what an earlier run left of the output at `target` is a repair's own, that no other run went on with.
pub fn is_of_repair(target: &Path) -> bool {
    let (_, journal) = paths(target);
    let left = match RealDisk.there(&journal) {
        There::File(1..) => RealDisk.read(&journal).and_then(|journal| Left::of(&*journal)),
        _ => return false,
    };
    matches!(left, Ok(Left::Journal(survey)) if survey.by_repair)
}

/// Whether a run was killed when the output at `target` had its name already, and its report may be that of an earlier one.
pub fn is_untold(target: &Path) -> bool {
    let (part, journal) = paths(target);
    if !journal.symlink_metadata().is_ok_and(|there| there.is_file() && there.len() > 0) || RealDisk.there(&part) != There::Nothing {
        return false;
    }
    let left = RealDisk.read(&journal).and_then(|journal| Left::of(&*journal));
    matches!(left, Ok(Left::Journal(survey)) if survey.interrupted.is_none())
}

/// Finds what an earlier run left of `presentation` under another name: an output in `folder` with this extension, `split` or not, which
/// was asked for by the same address, query included, and whose tracks come from the same addresses. Segments decide later whether it
/// really is the same. Live streams are not looked for: one address carries one programme after the other.
///
/// It looks at a bounded number of files of the folder, and follows no links.
pub fn find_left(folder: &Path, presentation: &Presentation, extension: Option<&std::ffi::OsStr>, split: bool) -> Option<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = std::fs::read_dir(here).ok()?.take(MOST_NAMES).filter_map(Result::ok);
    let targets = names.filter_map(|entry| {
        let journal = folder.join(entry.file_name());
        let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
        target_of(&journal).filter(|target| regular && target.extension() == extension)
    });
    let mut targets: Vec<_> = targets.take(MOST_JOURNALS).collect();
    // The same in every run, whatever the order of the folder.
    targets.sort();
    targets.into_iter().find(|target| {
        let journal = RealDisk.read(&paths(target).1);
        let job = journal.and_then(|journal| Survey::job(&*journal));
        let is_meant = |job: &Job| is_of(job, presentation) && Split::is_identity(&job.container) == split;
        job.is_ok_and(|job| job.as_ref().is_some_and(is_meant)) && has_media(target, split)
    })
}

/// Whether there is a part file or folder, or an output to which an interruption gave its name, or names where it was `split`.
fn has_media(target: &Path, split: bool) -> bool {
    let (part, journal) = paths(target);
    match RealDisk.there(&part) {
        There::File(1..) | There::Folder => return true,
        There::Nothing | There::File(0) => {}
        _ => return false,
    }
    let left = RealDisk.read(&journal).and_then(|journal| Left::of(&*journal));
    let Some(length) = left.ok().and_then(|left| left.interrupted()) else {
        return false;
    };
    if split {
        let named = named(&RealDisk, target, length).unwrap_or_default();
        return !named.is_empty() && named.iter().all(|(_, changed)| !changed);
    }
    matches!(RealDisk.there(target), There::Folder) || RealDisk.there(target) == There::File(length)
}

/// Whether the tracks of a job are those of a presentation, by their addresses.
fn is_of(job: &Job, presentation: &Presentation) -> bool {
    let same = |ours: &JobTrack, theirs: &Track| {
        let theirs = JobTrack::of(theirs);
        ours.address.is_some() && *ours == theirs && !ours.live
    };
    let tracks = |track: &&Track| job.tracks.iter().any(|ours| ours.number == track.id.number());
    let known = presentation.tracks.iter().filter(tracks);
    !job.tracks.is_empty()
        && job.is_asked_by(presentation)
        && known.clone().count() == job.tracks.len()
        && job.tracks.iter().zip(known).all(|(ours, theirs)| same(ours, theirs))
}
