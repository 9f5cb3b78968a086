//! Whether a file that was made anew has all that the old one has.

use std::collections::{HashMap, hash_map};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aqueduct_core::TrackId;
use aqueduct_mux::{Entries, Entry, Fate, Finished, Output, part_paths};

use crate::error::numbers;
use crate::repair::mend::named;
use crate::repair::proving::read;
use crate::repair::{Damage, Lacks, RepairError, State};
use crate::verify::is_there;
use crate::{Error, FileReport, Piece, UnitDocument, VerifyError};

/// Units that show that others are still where they were.
pub(super) enum ShownBy {
    All,
    /// By their places in the report.
    These(Vec<u64>),
}

impl ShownBy {
    pub(super) fn has(&self, number: u64) -> bool {
        match self {
            Self::All => true,
            Self::These(numbers) => numbers.contains(&number),
        }
    }
}

/// What shows that a new file is of the stream of the old one, and no worse.
pub(super) struct Proof {
    file: PathBuf,
    report: FileReport,
    /// Its name among those of a split.
    own: Option<String>,
    lacks: Arc<Lacks>,
    missing: u64,
    /// The file lacks segments, and nothing else is wrong with it.
    is_right: bool,
    /// What stands in front of all media tells of the film as a whole, such as its title today.
    has_head: bool,
    shown_by: ShownBy,
}

impl Proof {
    pub(super) fn of(damage: &Damage, state: State, shown_by: ShownBy) -> Self {
        Self {
            file: damage.file.clone(),
            report: damage.report.clone(),
            own: damage.report.split(&damage.file).map(str::to_owned),
            lacks: Arc::clone(&damage.lacks),
            missing: damage.missing,
            is_right: state.is_right,
            has_head: !damage.is_concatenation() && damage.report.output().tracks.iter().any(|track| track.kind != "subtitles"),
            shown_by,
        }
    }

    /// Why the new file does not replace the old one, if it does not. It blocks.
    pub(super) fn refuses(&self, finished: &Finished, streamed: bool) -> Result<Option<String>, RepairError> {
        let mut gaps = finished.tally.gaps.iter().filter(|gap| gap.cause.was_on_offer());
        if let Some(gap) = gaps.find(|gap| !self.lacks.have(gap.track, gap.first_msn, gap.segments)) {
            let segments = numbers(gap.first_msn, gap.segments);
            return Ok(Some(format!("it would lack {segments} of {}, which the file has", gap.track)));
        }
        if finished.tally.missing > self.missing || (self.is_right && finished.tally.missing == self.missing) {
            return Ok(Some("none of what is missing came".into()));
        }
        let other = if streamed {
            self.other_part()?
        } else {
            self.other_unit(&finished.output)?
        };
        Ok(other.map(|unit| named(&unit, "what is fetched now does not make the bytes that it had")))
    }

    /// A unit that has other bytes than the report tells. They are comparable up to the first that was missing, which changes
    /// what comes behind it.
    fn other_unit(&self, output: &Output) -> Result<Option<UnitDocument>, RepairError> {
        let mut lanes: HashMap<u32, Option<Entries>> = HashMap::new();
        let mut head = self.has_head;
        self.find(|number, unit| {
            let entries = match lanes.entry(unit.track) {
                hash_map::Entry::Occupied(entries) => entries.into_mut(),
                hash_map::Entry::Vacant(none) => none.insert(output.entries(TrackId::new(unit.track)).map_err(Error::Output)?),
            };
            let entry = match entries {
                Some(entries) => entries.next().map_err(|source| self.failed(source))?,
                None => None,
            };
            // What is held back stands in another file.
            let is_meant = |piece: &&Piece| self.own.is_none() || (unit.file == self.own && piece.length > 0);
            let Some(piece) = unit.piece.as_ref().filter(is_meant) else {
                return Ok(false);
            };
            let is_head = piece.length > 0 && std::mem::take(&mut head);
            if is_head && self.shown_by.has(number) {
                return Ok(!self.ends_alike(piece, entry.as_ref())?);
            }
            let same = entry.and_then(|entry| entry.sha256()).as_ref() == Some(&piece.sha256);
            Ok(!same && !is_head)
        })
    }

    /// Whether the media behind the head of the film are what they were.
    fn ends_alike(&self, piece: &Piece, entry: Option<&Entry>) -> Result<bool, RepairError> {
        let Some(Fate::Written { offset, length, .. }) = entry.map(|entry| &entry.fate) else {
            return Ok(false);
        };
        if *length != piece.length || self.own.is_some() || !self.file.is_file() {
            return Ok(false);
        }
        let half = piece.length / 2;
        let read = |path: &Path, offset: u64| read(path, offset.saturating_add(half), piece.length - half);
        let was = read(&self.file, piece.offset).map_err(|source| self.failed(source))?;
        let is = read(&part_paths(&self.file).0, *offset).map_err(|source| self.failed(source))?;
        Ok(was.len() as u64 == piece.length - half && was == is)
    }

    /// The same by its place in the file.
    fn other_part(&self) -> Result<Option<UnitDocument>, RepairError> {
        let part = part_paths(&self.file).0;
        let opened = File::open(&part).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, mut file) = opened.map_err(|source| self.failed(source))?;
        self.find(|_, unit| {
            let Some(piece) = &unit.piece else { return Ok(false) };
            Ok(!is_there(&mut file, length, piece).map_err(|source| self.failed(source))?)
        })
    }

    fn find(&self, mut is_other: impl FnMut(u64, &UnitDocument) -> Result<bool, RepairError>) -> Result<Option<UnitDocument>, RepairError> {
        let (mut number, mut other) = (0, None);
        self.report.units::<RepairError>(|unit| {
            let comparable = self.lacks.first.is_none_or(|first| number < first);
            if comparable && is_other(number, &unit)? {
                other = Some(unit);
            }
            number += 1;
            Ok(comparable && other.is_none())
        })?;
        Ok(other)
    }

    fn failed(&self, source: std::io::Error) -> RepairError {
        RepairError::Verify(VerifyError::Io {
            path: self.file.clone(),
            source,
        })
    }
}
