//! The names of an output: its own, that of the part file as which it grows, and that of the journal.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::journal::record::hex;

const PART: &str = ".part";
const JOURNAL: &str = ".part.journal";
/// The longest name of a file, in bytes, on the file systems in use.
const LONGEST: usize = 255;
/// Hexadecimal digits that tell apart names which were cut off.
const DIGITS: usize = 16;

/// Where the part file of a target stands, and its journal. A name that leaves no room for what is put behind it is cut off,
/// with the beginning of its SHA-256 instead of the rest: the same name in every run.
pub fn paths(target: &Path) -> (PathBuf, PathBuf) {
    let name = target.file_name().unwrap_or_default();
    let stem = if name.len() + JOURNAL.len() > LONGEST {
        cut_off(name)
    } else {
        name.to_owned()
    };
    let beside = |suffix: &str| {
        let mut name = stem.clone();
        name.push(suffix);
        target.with_file_name(name)
    };
    (beside(PART), beside(JOURNAL))
}

fn cut_off(name: &OsStr) -> OsString {
    let digest = hex(&Sha256::digest(name.as_encoded_bytes()));
    let mut stem = name.to_string_lossy().into_owned();
    stem.truncate(stem.floor_char_boundary(LONGEST - JOURNAL.len() - 1 - DIGITS));
    format!("{stem}~{}", &digest[..DIGITS]).into()
}

/// Where in a folder the file stands that a muxer or a report gives this name: folders and a name between slashes, of plain
/// letters, digits and `.`, `_` and `-`. `None` for any other, which could lead elsewhere.
pub fn file_within(folder: &Path, name: &str) -> Option<PathBuf> {
    let good = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
    };
    let parts = || name.split('/');
    parts()
        .all(good)
        .then(|| parts().fold(folder.to_path_buf(), |path, part| path.join(part)))
}

/// `film.mp4` with a number: `film.001.mp4`. `None` for what is no number.
pub(crate) fn numbered(target: &Path, number: &str) -> Option<PathBuf> {
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut name = OsString::from(target.file_stem().unwrap_or_default());
    name.push(".");
    name.push(number);
    if let Some(extension) = target.extension() {
        name.push(".");
        name.push(extension);
    }
    Some(target.with_file_name(name))
}

/// The first of these files.
pub(super) fn first(target: &Path) -> PathBuf {
    numbered(target, "001").unwrap_or_else(|| target.into())
}

/// The path with more behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The target of a journal, by its name.
pub(super) fn target_of(journal: &Path) -> Option<PathBuf> {
    let name = journal.file_name()?.to_str()?.strip_suffix(JOURNAL)?;
    let target = journal.with_file_name(name);
    (paths(&target).1 == journal).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_lead_out_of_the_folder() {
        for name in ["../film.ts", "/etc/passwd", "a/../b", "a//b", "", ".aqueduct", "a\\b", "a:b", "é"] {
            assert_eq!(file_within(Path::new("film"), name), None, "{name}");
        }
        assert_eq!(file_within(Path::new("film"), "video/0.ts"), Some("film/video/0.ts".into()));
    }

    #[test]
    fn every_name_leaves_room_for_its_part_file_and_its_journal() {
        let (part, journal) = paths(Path::new("films/film.mp4"));
        assert_eq!(
            (part, journal.clone()),
            ("films/film.mp4.part".into(), "films/film.mp4.part.journal".into())
        );
        assert_eq!(target_of(&journal), Some("films/film.mp4".into()));
        for character in ["x", "é", "日"] {
            let longest = character.repeat((LONGEST - 4) / character.len()) + ".mp4";
            let other = character.repeat((LONGEST - 4) / character.len()) + ".ts";
            let (part, journal) = paths(Path::new(&longest));
            for name in [&part, &journal] {
                assert!(name.as_os_str().len() <= LONGEST, "{name:?}");
            }
            assert_ne!(part, journal);
            assert_ne!(part, paths(Path::new(&other)).0, "two films share a part file");
        }
    }
}
