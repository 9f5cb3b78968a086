//! Proving a folder: every file in it against its report, and by its own playlists.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aqueduct_media::check::Checked;
use aqueduct_mux::{Hls, file_within, leads_within};
use aqueduct_playlist::{Context, MediaPlaylist, Playlist, Tag, parse};
use url::Url;

use crate::verify::{Judged, Judgement, Numbers, is_there};
use crate::{FileReport, Findings, Found, Piece, RestDocument, UnitDocument, VerifyError};

/// The playlist that names the others.
const FIRST: &str = "index.m3u8";
/// The largest playlist that is read, in bytes.
const MOST_PLAYLIST: u64 = 64 << 20;
/// How many folders one within the other are looked through.
const DEEPEST: usize = 4;
/// Problems of playlists that are told one by one.
const MOST_TOLD: usize = 20;

/// Examines a folder, as [`verify`](crate::verify) does a file.
pub(crate) fn verify(folder: &Path, report: Option<&FileReport>) -> Result<Findings, VerifyError> {
    let mut findings = Findings::default();
    let names = match report {
        Some(report) if tells_of_files(report) => {
            let (judged, names) = judge(folder, report, |_, unit, judgement| {
                match judgement {
                    Judgement::Damaged => findings.damaged.add(unit),
                    Judgement::Missing if unit.fate != "tagged" => findings.missing.add(unit),
                    Judgement::Proved if unit.fate == "cut" => findings.missing.add(unit),
                    _ => {}
                }
                Ok(())
            })?;
            findings.proved = Some(judged.proved);
            findings.problems = judged.problems;
            // What was changed is named already, and may name anything.
            if judged.tail {
                let mut playlists = Playlists::of(folder)?;
                playlists.untold(&names);
                findings.container = playlists.checked;
            }
            names
        }
        _ => {
            if report.is_some_and(|report| report.output().form.as_deref() != Some(Hls::CONTAINER)) {
                findings.problems.add("its report is of a file, not of a folder".into());
            }
            let playlists = Playlists::of(folder)?;
            findings.container = playlists.checked;
            let mut names = Names::default();
            playlists.names.iter().for_each(|name| {
                names.insert(name);
            });
            names
        }
    };
    surplus(folder, &names, &mut findings.problems)?;
    findings.broken_off = report.is_some_and(|report| !matches!(report.document().outcome.as_str(), "whole" | "gaps"));
    Ok(findings)
}

/// Whether a report says which files a folder has. Those of earlier versions told of the folder as a whole.
pub(crate) fn tells_of_files(report: &FileReport) -> bool {
    !report.output().rests.is_empty()
}

/// Names of files, of which eight bytes each are kept.
#[derive(Default)]
pub(crate) struct Names {
    hashes: RandomState,
    known: HashSet<u64>,
}

impl Names {
    /// Whether it is new.
    fn insert(&mut self, name: &str) -> bool {
        self.known.insert(self.hashes.hash_one(name))
    }

    fn has(&self, name: &str) -> bool {
        self.known.contains(&self.hashes.hash_one(name))
    }
}

/// Hands each unit of the report to `each`, with its number and what its bytes show.
pub(crate) fn judge(
    folder: &Path,
    report: &FileReport,
    mut each: impl FnMut(u64, UnitDocument, Judgement) -> Result<(), VerifyError>,
) -> Result<(Judged, Names), VerifyError> {
    let output = report.output();
    let mut rests: HashMap<&str, Vec<&RestDocument>> = HashMap::new();
    for rest in &output.rests {
        rests.entry(&rest.file).or_default().push(rest);
    }
    let mut walk = Walk {
        folder,
        rests,
        judged: Judged {
            tail: true,
            ..Judged::default()
        },
        names: Names::default(),
        at: None,
        bytes: 0,
    };
    let (mut number, mut numbers) = (0, Numbers::of(report));
    report.units::<VerifyError>(|unit| {
        numbers.follow(&unit, &mut walk.judged.problems);
        let judgement = match (&unit.piece, &unit.file) {
            (None, _) => Judgement::Missing,
            (Some(piece), Some(name)) => walk.unit(name, piece)?,
            (Some(_), None) => {
                walk.contradicts(format!("the report names no file for segment {} of track {}", unit.msn, unit.track));
                Judgement::Damaged
            }
        };
        each(number, unit, judgement)?;
        number += 1;
        Ok(true)
    })?;
    walk.leave()?;
    for rest in &output.rests {
        if walk.rests.contains_key(rest.file.as_str()) {
            walk.enter(&rest.file)?;
            walk.leave()?;
        }
    }
    if walk.bytes != output.bytes {
        walk.contradicts(format!("the report tells of {} bytes, and of {} in all", walk.bytes, output.bytes));
    }
    Ok((walk.judged, walk.names))
}

/// Goes from file to file, in the order of the report.
struct Walk<'a> {
    folder: &'a Path,
    /// What no unit brought to a file that has not been left yet.
    rests: HashMap<&'a str, Vec<&'a RestDocument>>,
    judged: Judged,
    names: Names,
    at: Option<At>,
    /// How many were told of.
    bytes: u64,
}

/// A file, as far as it was told of.
struct At {
    name: String,
    /// None where it is not there.
    file: Option<File>,
    length: u64,
    end: u64,
}

impl Walk<'_> {
    fn unit(&mut self, name: &str, piece: &Piece) -> Result<Judgement, VerifyError> {
        if self.at.as_ref().is_none_or(|at| at.name != name) {
            self.leave()?;
            self.enter(name)?;
        }
        Ok(if self.is_next(piece)? {
            self.judged.proved += 1;
            Judgement::Proved
        } else {
            Judgement::Damaged
        })
    }

    fn enter(&mut self, name: &str) -> Result<(), VerifyError> {
        let path = file_within(self.folder, name);
        if path.is_none() || !self.names.insert(name) {
            self.contradicts(format!("the report names {name:?}, which is no file of its own in the folder"));
        }
        let file = match &path {
            Some(path) => self.open(name, path)?,
            None => None,
        };
        let (file, length) = file.map_or((None, 0), |(file, length)| (Some(file), length));
        self.at = Some(At {
            name: name.into(),
            file,
            length,
            end: 0,
        });
        Ok(())
    }

    fn open(&mut self, name: &str, path: &Path) -> Result<Option<(File, u64)>, VerifyError> {
        let failed = |source| VerifyError::Io { path: path.into(), source };
        if !leads_within(self.folder, path) {
            self.judged.problems.add(format!("{name} is reached through a link"));
            return Ok(None);
        }
        match path.symlink_metadata() {
            Ok(there) if there.is_file() => Ok(Some((File::open(path).map_err(failed)?, there.len()))),
            Ok(_) => {
                self.judged.problems.add(format!("{name} is no regular file"));
                Ok(None)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.judged.problems.add(format!("{name} is not there"));
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether these bytes of the file at hand, which are to come next, are as they were written.
    fn is_next(&mut self, piece: &Piece) -> Result<bool, VerifyError> {
        let Some(at) = &mut self.at else { return Ok(false) };
        let told = at.end;
        at.end = piece.offset.saturating_add(piece.length);
        self.bytes = self.bytes.saturating_add(piece.length);
        let there = match &at.file {
            Some(file) => is_there(&mut &*file, at.length, piece).map_err(|source| VerifyError::Io {
                path: self.folder.join(&at.name),
                source,
            })?,
            None => false,
        };
        if piece.offset != told {
            let what = format!(
                "the report tells of bytes of {} up to {told}, and then from {}",
                at.name, piece.offset
            );
            self.contradicts(what);
        }
        Ok(there)
    }

    /// Nothing more is told of the file at hand but what no unit brought.
    fn leave(&mut self) -> Result<(), VerifyError> {
        let Some(name) = self.at.as_ref().map(|at| at.name.clone()) else {
            return Ok(());
        };
        for rest in self.rests.remove(name.as_str()).unwrap_or_default() {
            let piece = Piece {
                offset: rest.offset,
                length: rest.length,
                sha256: rest.sha256.clone(),
            };
            if !self.is_next(&piece)? {
                self.judged.tail = false;
                if self.at.as_ref().is_some_and(|at| at.file.is_some()) {
                    self.judged.problems.add(format!("{name} was changed"));
                }
            }
        }
        if let Some(at) = self.at.take().filter(|at| at.file.is_some() && at.length != at.end) {
            let what = format!("{name} has {} bytes, and had {} when it was written", at.length, at.end);
            self.judged.problems.add(what);
            if at.length > at.end {
                self.judged.longer.push((name, at.end));
            }
        }
        Ok(())
    }

    fn contradicts(&mut self, what: String) {
        self.judged.contradictory = true;
        self.judged.problems.add(what);
    }
}

/// Names the files of which nothing tells.
fn surplus(folder: &Path, names: &Names, problems: &mut Found<String>) -> Result<(), VerifyError> {
    let mut folders = vec![(folder.to_path_buf(), String::new(), 0)];
    while let Some((path, prefix, depth)) = folders.pop() {
        let failed = |source| VerifyError::Io {
            path: path.clone(),
            source,
        };
        let mut entries = Vec::new();
        for entry in path.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().map_err(failed)?.is_dir() && depth < DEEPEST {
                entries.push((entry.path(), format!("{name}/"), depth + 1));
            } else if !names.has(&name) {
                problems.add(format!("{name} is surplus: nothing tells of it"));
            }
        }
        folders.append(&mut entries);
    }
    Ok(())
}

/// Whether a regular file stands there, and no link on the way to it.
fn is_own(folder: &Path, path: &Path) -> bool {
    leads_within(folder, path) && path.symlink_metadata().is_ok_and(|there| there.is_file())
}

/// The date ranges before each segment in a playlist of a folder, by Media Sequence Number, if the playlist is as it was written.
pub(crate) fn date_ranges(folder: &Path, told: &RestDocument) -> Result<HashMap<u64, Arc<[String]>>, VerifyError> {
    let mut tags = HashMap::new();
    let mut playlists = Playlists::default();
    let Some(path) = file_within(folder, &told.file).filter(|path| is_own(folder, path)) else {
        return Ok(tags);
    };
    let failed = |source| VerifyError::Io {
        path: path.clone(),
        source,
    };
    let mut file = File::open(&path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length != told.length || !is_there(&mut file, length, &told.piece()).map_err(failed)? {
        return Ok(tags);
    }
    if let Some(Playlist::Media(playlist)) = playlists.read(folder, &told.file)? {
        for segment in &playlist.segments {
            let ranges = segment.tags().iter().filter_map(|tag| match tag {
                Tag::DateRange(range) => Some(range.to_string()),
                _ => None,
            });
            let ranges: Arc<[String]> = ranges.collect();
            if !ranges.is_empty() {
                tags.insert(segment.media_sequence_number(), ranges);
            }
        }
    }
    Ok(tags)
}

/// What the playlists of a folder name.
#[derive(Default)]
struct Playlists {
    /// The playlists, and the files that they name.
    names: HashSet<String>,
    checked: Checked,
}

impl Playlists {
    fn of(folder: &Path) -> Result<Self, VerifyError> {
        let mut playlists = Self::default();
        let Some(first) = playlists.read(folder, FIRST)? else {
            return Ok(playlists);
        };
        playlists.checked.container = Some(Hls::CONTAINER);
        let lists = match first {
            Playlist::Media(playlist) => {
                playlists.segments(folder, FIRST, &playlist);
                Vec::new()
            }
            Playlist::Multivariant(playlist) => {
                let renditions = playlist.renditions.iter().filter_map(|rendition| rendition.uri.as_ref());
                let uris = playlist.variants.iter().map(|variant| &variant.uri).chain(renditions);
                uris.map(|uri| uri.as_written().to_owned()).collect()
            }
            _ => Vec::new(),
        };
        for name in lists {
            if playlists.names.contains(&name) {
                continue;
            }
            match playlists.read(folder, &name)? {
                Some(Playlist::Media(playlist)) => playlists.segments(folder, &name, &playlist),
                Some(_) => playlists.wrong(format!("{name} is no Media Playlist")),
                None => {}
            }
        }
        Ok(playlists)
    }

    fn wrong(&mut self, what: String) {
        self.checked.wrong += 1;
        if self.checked.problems.len() < MOST_TOLD {
            self.checked.problems.push(what);
        }
    }

    /// Reads a playlist, if there is one.
    fn read(&mut self, folder: &Path, name: &str) -> Result<Option<Playlist>, VerifyError> {
        self.names.insert(name.into());
        let Some(path) = file_within(folder, name) else {
            self.wrong(format!("{FIRST} names {name:?}, which is not in the folder"));
            return Ok(None);
        };
        if !is_own(folder, &path) {
            self.wrong(format!("{name} is not there, or is no regular file of the folder"));
            return Ok(None);
        }
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MOST_PLAYLIST + 1).read_to_end(&mut text));
        read.map_err(|source| VerifyError::Io { path, source })?;
        // Only what is written there counts: references lead nowhere from here.
        let base = Url::parse("http://folder.invalid/").ok();
        match base.map(|base| parse(&text, &Context::new(base))) {
            Some(Ok(parsed)) => Ok(Some(parsed.playlist)),
            Some(Err(error)) => {
                self.wrong(format!("{name} is no playlist: {error}"));
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Every file that a Media Playlist names is there.
    fn segments(&mut self, folder: &Path, name: &str, playlist: &MediaPlaylist) {
        let prefix = name.rsplit_once('/').map(|(prefix, _)| format!("{prefix}/")).unwrap_or_default();
        for segment in playlist.segments.iter().filter(|segment| !segment.gap()) {
            let init = segment.init().map(|init| init.uri.as_written());
            for uri in init.into_iter().chain([segment.uri_as_written()]) {
                let file = format!("{prefix}{uri}");
                if self.names.contains(&file) {
                    continue;
                }
                let path: Option<PathBuf> = file_within(folder, &file);
                if !path.is_some_and(|path| is_own(folder, &path)) {
                    self.wrong(format!("{name} names {uri:?}, which is not there"));
                }
                self.names.insert(file);
                self.checked.units += 1;
            }
        }
    }

    /// Names what is in the playlists, and not in the report.
    fn untold(&mut self, told: &Names) {
        let mut untold: Vec<String> = self.names.iter().filter(|name| !told.has(name)).cloned().collect();
        untold.sort();
        for name in untold {
            self.wrong(format!("{name} is in the playlists, and the report tells nothing of it"));
        }
    }
}
