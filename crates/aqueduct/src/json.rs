//! The report as JSON, for programs: every unit of every output and its fate. `report.schema.json` describes it.
//!
//! It is written while the journal is read, and read unit by unit, so that a stream of any length takes no memory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use aqueduct_core::Summary;
use aqueduct_mux::{Account, Entry, Fate, Listing};
use serde::{Deserialize, Serialize};

use crate::parts::Parts;
use crate::verify::hex;
use crate::{FileReport, Outcome, Repaired, Report, ReportError, Units};

/// The version of the schema.
pub const REPORT_VERSION: u32 = 1;
/// This program, as a report names it.
pub(crate) const PROGRAM: &str = concat!("aqueduct ", env!("CARGO_PKG_VERSION"));
/// The schema of the report (JSON Schema, draft 2020-12).
pub const REPORT_SCHEMA: &str = include_str!("../report.schema.json");

/// A report as it is read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct Document<U = Vec<UnitDocument>> {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// `whole`, `gaps`, `interrupted`, `ended` (a live stream that broke off) or `failed`.
    pub outcome: String,
    /// Why it failed or ended.
    pub error: Option<String>,
    /// The exit code of the command.
    #[serde(default)]
    pub exit_code: Option<u8>,
    /// What was asked for, where that is known: a repair asks for the same.
    #[serde(default)]
    pub selection: Option<SelectionDocument>,
    /// The outputs, the main one first.
    #[serde(default)]
    pub outputs: Vec<OutputDocument<U>>,
}

/// Which stream of an input, and which of its tracks, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionDocument {
    /// Its number among the streams of the input, counted from 1.
    pub stream: usize,
    /// Which video.
    pub video: String,
    /// Which audio.
    pub audio: String,
    /// Which subtitles.
    pub subtitles: String,
    /// Whether the sound alone was wanted.
    pub sound_alone: bool,
}

/// What a run was told to do and how it ended, as far as its caller knows better.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// What was asked for.
    pub selection: Option<SelectionDocument>,
    /// The exit code of the command.
    pub exit_code: Option<u8>,
}

/// One output of a [`Document`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct OutputDocument<U = Vec<UnitDocument>> {
    /// The name of the file; none for standard output.
    pub file: Option<String>,
    /// The names of all files, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The names of others that are not there, since nothing came of what they would have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// What it was made of, without query.
    pub input: Option<String>,
    /// What it was made as.
    pub container: Option<String>,
    /// What its muxer calls it: `concatenation`, `MP4`; none while it is not finished.
    #[serde(default)]
    pub form: Option<String>,
    /// Its length.
    pub bytes: u64,
    /// Its tracks.
    pub tracks: Vec<TrackDocument>,
    /// What was repaired or left out, for people.
    pub notes: Vec<String>,
    /// What stands behind the last unit.
    pub tail: Option<Piece>,
    /// What no unit brought to the files of a folder: its playlists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests: Vec<RestDocument>,
    /// Every unit, in the order of the output.
    #[serde(default)]
    pub units: U,
}

/// A track of an [`OutputDocument`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrackDocument {
    /// Its number.
    pub number: u32,
    /// `main`, `audio`, `subtitles` or `file`.
    pub kind: String,
    /// A resolution, a Rendition's NAME.
    pub name: String,
    /// BCP 47.
    pub language: Option<String>,
    /// Its Media Playlist, without query.
    pub address: Option<String>,
    /// Whether it was live.
    pub live: bool,
}

/// A part of a file and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A part of a file of a folder that no unit brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RestDocument {
    /// The file, as it is named from the folder.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

impl RestDocument {
    /// The same without the file.
    pub(crate) fn piece(&self) -> Piece {
        Piece {
            offset: self.offset,
            length: self.length,
            sha256: self.sha256.clone(),
        }
    }
}

/// A unit of an [`OutputDocument`]: a Media Segment or a Media Initialization Section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnitDocument {
    /// Number of its track.
    pub track: u32,
    /// Media Sequence Number; of an initialization section that of the first segment that needs it.
    pub msn: u64,
    /// Whether it is an initialization section.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// How many segments it stands for, from `msn` on: 1 unless a live window moved on without several.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub segments: u64,
    /// Where it was, without query.
    pub address: String,
    /// Offset and length there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(u64, u64)>,
    /// The playing time of one, in seconds.
    pub seconds: f64,
    /// Discontinuity Sequence Number.
    pub discontinuity_sequence: u64,
    /// Where its key was, without query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What else its playlist said of it, where that was live: nobody else knows it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<ListingDocument>,
    /// `written`, `cut` (in part), `tagged` (a gap of the playlist's own), `expired` or `failed`.
    pub fate: String,
    /// Why it is missing, or what it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The bytes that it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
    /// The file that has them: of a folder as it is named from there, of an output that was split also of what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What a playlist said of a [`UnitDocument`], besides what tells it from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ListingDocument {
    /// Whether a query or a token is left out of its address, which does not lead there without.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// The same of the address of its key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete_key: bool,
    /// Whether `EXT-X-DISCONTINUITY` stood before it (RFC 8216, 4.3.2.3).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub discontinuity: bool,
    /// When it was recorded, in microseconds since 1970 (4.3.2.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_date_time: Option<i64>,
    /// The METHOD of each key in force, with its KEYFORMAT (4.3.2.4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<(String, String)>,
    /// The initialization vector that the playlist gave, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iv: Option<String>,
}

impl From<&Listing> for ListingDocument {
    fn from(listing: &Listing) -> Self {
        let (whole, whole_key) = listing.whole;
        Self {
            incomplete: !whole,
            incomplete_key: !whole_key && !listing.keys.is_empty(),
            discontinuity: listing.discontinuity,
            program_date_time: listing.program_date_time,
            keys: listing.keys.clone(),
            iv: listing.iv.as_ref().map(|iv| hex(iv)),
        }
    }
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the attribute wants it so")]
fn is_one(segments: &u64) -> bool {
    *segments == 1
}

impl From<&Entry> for UnitDocument {
    fn from(entry: &Entry) -> Self {
        let (fate, piece) = match &entry.fate {
            Fate::Written { offset, length, .. } => (
                if entry.cut.is_some() { "cut" } else { "written" },
                Some(Piece {
                    offset: *offset,
                    length: *length,
                    sha256: entry.sha256().unwrap_or_default(),
                }),
            ),
            Fate::Tagged => ("tagged", None),
            Fate::Expired => ("expired", None),
            Fate::Failed(_) => ("failed", None),
        };
        Self {
            track: entry.track,
            msn: entry.msn,
            init: entry.init,
            segments: entry.segments,
            address: entry.address.clone(),
            range: entry.range,
            seconds: entry.duration.as_secs_f64(),
            discontinuity_sequence: entry.discontinuity_sequence,
            key: entry.key.clone(),
            listing: Some(ListingDocument::from(&entry.listing)),
            fate: fate.into(),
            why: entry.as_gap().map(|gap| gap.cause.to_string()),
            piece,
            file: entry.file.as_deref().map(str::to_owned),
        }
    }
}

/// Writes the report of a run that ended, with the files of its outputs, the main one first.
///
/// # Errors
///
/// Those of reading the outputs' accounts, and of `out`.
pub fn write_report(report: &Report, files: &[&Path], command: &Command, out: &mut impl Write) -> io::Result<()> {
    let (outcome, error) = match &report.outcome {
        Outcome::Whole => ("whole", None),
        Outcome::Gaps => ("gaps", None),
        Outcome::Interrupted => ("interrupted", None),
        Outcome::Ended(error) => ("ended", Some(chain(error))),
    };
    let outputs = report.accounts.iter().zip(&report.summaries).enumerate();
    let outputs = outputs.map(|(number, (account, summary))| (account, files.get(number).copied(), Some(summary)));
    write(outcome, error, command, outputs, out)
}

/// Writes the report of a run that failed: what it left beside the files of its outputs, to be taken up again.
///
/// # Errors
///
/// As [`write_report`].
pub fn write_failure(error: &str, files: &[&Path], command: &Command, out: &mut impl Write) -> io::Result<()> {
    let mut left = Vec::new();
    for file in files {
        left.extend(Account::left(file)?.map(|account| (account, *file)));
    }
    let outputs = left.iter().map(|(account, file)| (account, Some(*file), None));
    write("failed", Some(error.to_owned()), command, outputs, out)
}

/// Writes the report of a repaired file: as `before`, with what the repair changed.
///
/// # Errors
///
/// Those of reading `before`, and as [`write_report`].
pub fn write_repaired(before: &FileReport, repaired: &Repaired, file: &Path, out: &mut impl Write) -> io::Result<()> {
    let documents = &before.document().outputs;
    let own = before.split(file);
    let anew = |number: usize| repaired.account.as_ref().filter(|_| number == before.number() && own.is_none());
    let part = match (&repaired.account, own) {
        (Some(account), Some(own)) => Some(Part::of(account, own, before)?),
        _ => None,
    };
    let folder = repaired.anew.as_ref();
    // What stands for a unit of a folder that never came, and has come by now.
    let come = |number: usize, unit: UnitDocument, place: u64| match folder.and_then(|anew| anew.units.get(&place)) {
        _ if part.is_some() && number == before.number() => part.as_ref().map_or_else(Vec::new, |part| part.tell(unit)),
        Some(units) if number == before.number() => {
            let listing = |other: &UnitDocument| other.listing.clone().filter(|_| unit.listing.is_some());
            units
                .iter()
                .map(|come| UnitDocument {
                    listing: listing(come),
                    ..come.clone()
                })
                .collect()
        }
        _ => vec![unit],
    };
    let (mut lost, mut before_bytes) = (0_u64, 0_u64);
    for number in 0..documents.len() {
        let mut count = |fate: &str| lost += u64::from(matches!(fate, "failed" | "expired" | "cut"));
        match anew(number) {
            Some(account) => account.entries(|entry| {
                count(&UnitDocument::from(entry).fate);
                Ok(())
            })?,
            None => {
                let mut place = 0;
                before.units_of::<Unreadable>(number, |unit| {
                    if number == before.number() && unit.file.as_deref() == own {
                        before_bytes += unit.piece.as_ref().map_or(0, |piece| piece.length);
                    }
                    come(number, unit, place).iter().for_each(|unit| count(&unit.fate));
                    place += 1;
                    Ok(true)
                })?;
            }
        }
    }
    let outcome = match before.document().outcome.as_str() {
        "whole" | "gaps" if lost == 0 => "whole",
        "whole" | "gaps" => "gaps",
        // It was made anew to its end.
        _ if repaired.to_its_end && documents.len() == 1 => {
            if lost == 0 {
                "whole"
            } else {
                "gaps"
            }
        }
        // What it never came to, it still lacks.
        other => other,
    };
    let exit_code = match outcome {
        "whole" => Some(0),
        "gaps" => Some(3),
        _ => before.document().exit_code,
    };
    let head = Document {
        outcome: outcome.to_owned(),
        exit_code,
        program: match &repaired.summary {
            Some(_) if part.is_none() => PROGRAM.to_owned(),
            _ => before.document().program.clone(),
        },
        outputs: Vec::new(),
        ..before.document().clone()
    };
    open_list(&head, "outputs", out)?;
    for (number, document) in documents.iter().enumerate() {
        separate(number, out)?;
        if let Some(account) = anew(number) {
            let mut same = Summary::new(document.form.clone().unwrap_or_default());
            same.notes.clone_from(&document.notes);
            let summary = repaired.summary.as_ref().unwrap_or(&same);
            let known = Known {
                tracks: &document.tracks,
                left_out: left_out(before)?,
            };
            output(account, Some(file), Some(summary), Some(&known), out)?;
            continue;
        }
        let mut document = document.clone();
        if let Some(anew) = folder.filter(|_| number == before.number()) {
            let sum = |rests: &[RestDocument]| rests.iter().map(|rest| rest.length).sum::<u64>();
            document.bytes = document.bytes.saturating_add(anew.bytes()).saturating_add(sum(&anew.rests));
            document.bytes = document.bytes.saturating_sub(sum(&document.rests));
            document.rests.clone_from(&anew.rests);
        }
        if let Some(part) = part.as_ref().filter(|_| number == before.number()) {
            part.end.set(0);
            part.replace(&mut document, before_bytes);
        }
        open_list(&document, "units", out)?;
        let (mut place, mut count) = (0, 0);
        before.units_of::<Unreadable>(number, |unit| {
            for unit in come(number, unit, place) {
                separate(count, out)?;
                count += 1;
                serde_json::to_writer(&mut *out, &unit).map_err(io::Error::from)?;
            }
            place += 1;
            Ok(true)
        })?;
        out.write_all(b"\n]}")?;
    }
    out.write_all(b"\n]}\n")
}

/// A file of a split that was made anew by itself.
struct Part<'a> {
    own: &'a str,
    /// What its units brought, by track, kind and Media Sequence Number.
    pieces: BTreeMap<(u32, bool, u64), Come>,
    /// Segments of which an earlier report tells as one of several that were missing.
    apart: BTreeMap<(u32, u64), UnitDocument>,
    tail: Option<Piece>,
    bytes: u64,
    /// Where the last of its units that were told ends.
    end: Cell<u64>,
}

/// Offset, length and SHA-256 of what a unit brought, and what it lacks.
type Come = (u64, u64, [u8; 32], Option<String>);

impl<'a> Part<'a> {
    fn of(account: &Account, own: &'a str, before: &FileReport) -> io::Result<Self> {
        let (mut pieces, mut several, mut apart) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        before.units::<Unreadable>(|unit| {
            if unit.piece.is_none() && unit.segments > 1 {
                several.push((unit.track, unit.msn..unit.msn.saturating_add(unit.segments)));
            }
            Ok(true)
        })?;
        account.entries(|entry| {
            let is_within = |(track, numbers): &(u32, Range<u64>)| *track == entry.track && numbers.contains(&entry.msn);
            if entry.is_media() && several.iter().any(is_within) {
                apart.insert((entry.track, entry.msn), UnitDocument::from(entry));
            }
            if let Fate::Written { offset, length, sha256 } = entry.fate {
                pieces.insert((entry.track, entry.init, entry.msn), (offset, length, sha256, entry.cut.clone()));
            }
            Ok(())
        })?;
        let tail = account.tail()?.map(|(offset, length, sha256)| Piece { offset, length, sha256 });
        Ok(Self {
            own,
            pieces,
            apart,
            tail,
            bytes: account.length(),
            end: Cell::new(0),
        })
    }

    /// What stands for a unit: itself, or the segments among several that came, with what is missing between.
    fn tell(&self, mut unit: UnitDocument) -> Vec<UnitDocument> {
        let (first, end) = (unit.msn, unit.msn.saturating_add(unit.segments));
        let mut came = self.apart.range((unit.track, first)..(unit.track, end)).peekable();
        if unit.piece.is_some() || unit.segments <= 1 || came.peek().is_none() {
            self.put_into(&mut unit);
            return vec![unit];
        }
        let (mut told, mut at) = (Vec::new(), first);
        let missing = |msn: u64, end: u64| UnitDocument {
            msn,
            segments: end - msn,
            ..unit.clone()
        };
        for ((_, msn), segment) in came {
            if *msn > at {
                told.push(missing(at, *msn));
            }
            let mut segment = segment.clone();
            segment.listing = segment.listing.filter(|_| unit.listing.is_some());
            self.put_into(&mut segment);
            told.push(segment);
            at = msn.saturating_add(1);
        }
        if at < end {
            told.push(missing(at, end));
        }
        told
    }

    fn put_into(&self, unit: &mut UnitDocument) {
        let is_own = unit.file.as_deref() == Some(self.own);
        let Some((offset, length, sha256, cut)) = self.pieces.get(&(unit.track, unit.init, unit.msn)) else {
            // What waited for the next file.
            if let Some(piece) = unit.piece.as_mut().filter(|piece| is_own && piece.length == 0) {
                piece.offset = self.end.get();
            }
            return;
        };
        // What is held back has its place where the one before it has.
        if !is_own && *length == 0 && unit.piece.is_some() {
            return;
        }
        self.end.set(offset.saturating_add(*length));
        unit.fate = if cut.is_some() { "cut" } else { "written" }.into();
        unit.why.clone_from(cut);
        unit.file = Some(self.own.into());
        unit.piece = Some(Piece {
            offset: *offset,
            length: *length,
            sha256: hex(sha256),
        });
    }

    /// Tells of it as one of the files of an output, in which it had so many bytes, beside what no unit brought.
    fn replace<U>(&self, document: &mut OutputDocument<U>, before: u64) {
        let rests = document.rests.iter().filter(|rest| rest.file == self.own).map(|rest| rest.length);
        let before = before.saturating_add(rests.sum());
        document.bytes = document.bytes.saturating_sub(before).saturating_add(self.bytes);
        document.rests.retain(|rest| rest.file != self.own);
        if let Some(tail) = self.tail.clone().filter(|tail| tail.length > 0) {
            document.rests.push(RestDocument {
                file: self.own.into(),
                offset: tail.offset,
                length: tail.length,
                sha256: tail.sha256,
            });
        }
        if document.lost.iter().any(|file| file == self.own) {
            document.lost.retain(|file| file != self.own);
            document.files.push(self.own.into());
        }
        document.files.sort_by_key(|file| (file.len(), file.clone()));
        document.rests.sort_by_key(|rest| (rest.file.len(), rest.file.clone(), rest.offset));
    }
}

/// What an earlier report tells of an output that was written anew.
struct Known<'a> {
    tracks: &'a [TrackDocument],
    left_out: LeftOut,
}

/// By track, kind and Media Sequence Number: of what the address, and that of its key, is told in part. What was not fetched again was
/// named by that.
type LeftOut = BTreeMap<(u32, bool, u64), (bool, bool)>;

fn left_out(before: &FileReport) -> io::Result<LeftOut> {
    let mut left_out = LeftOut::new();
    before.units::<Unreadable>(|unit| {
        if let Some(listing) = unit.listing.filter(|listing| listing.incomplete || listing.incomplete_key) {
            left_out.insert((unit.track, unit.init, unit.msn), (listing.incomplete, listing.incomplete_key));
        }
        Ok(true)
    })?;
    Ok(left_out)
}

/// A failure to read one report or to write another.
struct Unreadable(io::Error);

impl From<ReportError> for Unreadable {
    fn from(error: ReportError) -> Self {
        Self(io::Error::other(error))
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<Unreadable> for io::Error {
    fn from(error: Unreadable) -> Self {
        error.0
    }
}

/// An error with all its sources.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn write<'a>(
    outcome: &str,
    error: Option<String>,
    command: &Command,
    outputs: impl Iterator<Item = (&'a Account, Option<&'a Path>, Option<&'a Summary>)>,
    out: &mut impl Write,
) -> io::Result<()> {
    let head = Document::<Units> {
        version: REPORT_VERSION,
        program: PROGRAM.into(),
        outcome: outcome.into(),
        error,
        exit_code: command.exit_code,
        selection: command.selection.clone(),
        outputs: Vec::new(),
    };
    open_list(&head, "outputs", out)?;
    for (number, (account, file, summary)) in outputs.enumerate() {
        separate(number, out)?;
        output(account, file, summary, None, out)?;
    }
    out.write_all(b"\n]}\n")
}

/// Tells of an output, of these tracks where they are known: what was live when it was made may have ended since.
fn output(
    account: &Account,
    file: Option<&Path>,
    summary: Option<&Summary>,
    known: Option<&Known<'_>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let job = account.job()?;
    let tail = account.tail()?.map(|(offset, length, sha256)| Piece { offset, length, sha256 });
    let rests = account.rests()?.into_iter().map(|(file, offset, length, sha256)| RestDocument {
        file,
        offset,
        length,
        sha256,
    });
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let files: Vec<String> = account.files().iter().filter_map(|file| name(file)).collect();
    let (mut parts, mut lost) = (Parts::default(), Vec::new());
    if !files.is_empty() {
        account.entries(|entry| {
            parts.see(&UnitDocument::from(entry));
            Ok(())
        })?;
        lost = parts.conclude(&files);
    }
    let head = OutputDocument {
        file: file.and_then(name),
        files,
        lost,
        input: job.as_ref().and_then(|job| job.input.clone()),
        container: job.as_ref().map(|job| job.container.clone()),
        form: summary.map(|summary| summary.container.clone()),
        bytes: account.length(),
        tracks: match known {
            Some(known) => known.tracks.to_vec(),
            None => job.into_iter().flat_map(|job| job.tracks).map(TrackDocument::from).collect(),
        },
        notes: summary.map(|summary| summary.notes.clone()).unwrap_or_default(),
        tail,
        rests: rests.collect(),
        units: Units,
    };
    open_list(&head, "units", out)?;
    let live: Vec<u32> = head.tracks.iter().filter(|track| track.live).map(|track| track.number).collect();
    let mut number = 0;
    account.entries(|entry| {
        separate(number, out)?;
        number += 1;
        let mut unit = UnitDocument::from(entry);
        if !head.files.is_empty() {
            unit.file = parts.of(&unit).or(unit.file);
        }
        // What a complete playlist says, it says still.
        if !live.contains(&unit.track) {
            unit.listing = None;
        }
        let left_out = known.and_then(|known| known.left_out.get(&(unit.track, unit.init, unit.msn)));
        if let (Some(listing), Some((address, key))) = (&mut unit.listing, left_out) {
            listing.incomplete |= address;
            listing.incomplete_key |= key;
        }
        Ok(serde_json::to_writer(&mut *out, &unit)?)
    })?;
    out.write_all(b"\n]}")
}

impl From<aqueduct_mux::JobTrack> for TrackDocument {
    fn from(track: aqueduct_mux::JobTrack) -> Self {
        Self {
            number: track.number,
            kind: track.kind,
            name: track.name,
            language: track.language,
            address: track.address,
            live: track.live,
        }
    }
}

/// Writes an object whose last member is the list `name`, which is still empty, and leaves that open.
fn open_list<T: Serialize>(head: &T, name: &str, out: &mut impl Write) -> io::Result<()> {
    let mut text = serde_json::to_string(head)?;
    let end = format!("\"{name}\":[]}}");
    if !text.ends_with(&end) {
        return Err(io::Error::other("the list is not the last member"));
    }
    text.truncate(text.len() - 2);
    out.write_all(text.as_bytes())
}

fn separate(number: usize, out: &mut impl Write) -> io::Result<()> {
    out.write_all(if number == 0 { b"\n" } else { b",\n" })
}
