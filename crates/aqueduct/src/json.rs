//! The report as JSON, for programs: every unit of every output and its fate. `report.schema.json` describes it.
//!
//! It is written while the journal is read, so that a stream of any length takes no memory.

use std::io::{self, Write};
use std::path::Path;

use aqueduct_mux::{Account, Entry, Fate};
use serde::{Deserialize, Serialize};

use crate::{Error, Outcome, Report};

/// The version of the schema.
pub const REPORT_VERSION: u32 = 1;
/// The schema of the report (JSON Schema, draft 2020-12).
pub const REPORT_SCHEMA: &str = include_str!("../report.schema.json");

/// A report as it is read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Document {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// `whole`, `gaps`, `interrupted`, `ended` (a live stream that broke off) or `failed`.
    pub outcome: String,
    /// Why it failed or ended.
    pub error: Option<String>,
    /// The outputs, the main one first.
    #[serde(default)]
    pub outputs: Vec<OutputDocument>,
}

/// One output of a [`Document`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputDocument {
    /// The name of the file; none for standard output.
    pub file: Option<String>,
    /// The names of all files, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What it was made of, without query.
    pub input: Option<String>,
    /// What it was made as.
    pub container: Option<String>,
    /// Its length.
    pub bytes: u64,
    /// Its tracks.
    pub tracks: Vec<TrackDocument>,
    /// What was repaired or left out, for people.
    pub notes: Vec<String>,
    /// What stands behind the last unit.
    pub tail: Option<Piece>,
    /// Every unit, in the order of the output.
    #[serde(default)]
    pub units: Vec<UnitDocument>,
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
    /// `written`, `tagged` (a gap of the playlist's own), `expired` or `failed`.
    pub fate: String,
    /// Why it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The bytes that it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
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
                "written",
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
            fate: fate.into(),
            why: entry.fate.cause().map(|cause| cause.to_string()),
            piece,
        }
    }
}

/// Writes the report of a run that ended, with the files of its outputs, the main one first.
///
/// # Errors
///
/// Those of reading the outputs' accounts, and of `out`.
pub fn write_report(report: &Report, files: &[&Path], out: &mut impl Write) -> io::Result<()> {
    let (outcome, error) = match &report.outcome {
        Outcome::Whole => ("whole", None),
        Outcome::Gaps => ("gaps", None),
        Outcome::Interrupted => ("interrupted", None),
        Outcome::Ended(error) => ("ended", Some(chain(error))),
    };
    let notes = report.summaries.iter().map(|summary| summary.notes.as_slice());
    let outputs = report.accounts.iter().zip(notes).enumerate();
    let outputs = outputs.map(|(number, (account, notes))| (account, files.get(number).copied(), notes));
    write(outcome, error, outputs, out)
}

/// Writes the report of a run that failed: what it left beside the files of its outputs, to be taken up again.
///
/// # Errors
///
/// As [`write_report`].
pub fn write_failure(error: &Error, files: &[&Path], out: &mut impl Write) -> io::Result<()> {
    let mut left = Vec::new();
    for file in files {
        left.extend(Account::left(file)?.map(|account| (account, *file)));
    }
    let outputs = left.iter().map(|(account, file)| (account, Some(*file), &[][..]));
    write("failed", Some(chain(error)), outputs, out)
}

fn chain(error: &Error) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn write<'a>(
    outcome: &str,
    error: Option<String>,
    outputs: impl Iterator<Item = (&'a Account, Option<&'a Path>, &'a [String])>,
    out: &mut impl Write,
) -> io::Result<()> {
    let head = Document {
        version: REPORT_VERSION,
        program: concat!("aqueduct ", env!("CARGO_PKG_VERSION")).into(),
        outcome: outcome.into(),
        error,
        outputs: Vec::new(),
    };
    open_list(&head, "outputs", out)?;
    for (number, (account, file, notes)) in outputs.enumerate() {
        separate(number, out)?;
        output(account, file, notes, out)?;
    }
    out.write_all(b"\n]}\n")
}

fn output(account: &Account, file: Option<&Path>, notes: &[String], out: &mut impl Write) -> io::Result<()> {
    let job = account.job()?;
    let tail = account.tail()?.map(|(offset, length, sha256)| Piece { offset, length, sha256 });
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let head = OutputDocument {
        file: file.and_then(name),
        files: account.files().iter().filter_map(|file| name(file)).collect(),
        input: job.as_ref().and_then(|job| job.input.clone()),
        container: job.as_ref().map(|job| job.container.clone()),
        bytes: account.length(),
        tracks: job.into_iter().flat_map(|job| job.tracks).map(TrackDocument::from).collect(),
        notes: notes.to_vec(),
        tail,
        units: Vec::new(),
    };
    open_list(&head, "units", out)?;
    let mut number = 0;
    account.entries(|entry| {
        separate(number, out)?;
        number += 1;
        Ok(serde_json::to_writer(&mut *out, &UnitDocument::from(entry))?)
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
