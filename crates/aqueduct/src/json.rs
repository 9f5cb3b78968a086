//! The report as JSON, for programs: every unit of every output and its fate. `report.schema.json` describes it.
//!
//! It is written while the journal is read, and read unit by unit, so that a stream of any length takes no memory.

mod repaired;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use aqueduct_core::Summary;
use aqueduct_mux::Account;
use serde::Serialize;

pub use self::repaired::write_repaired;
use crate::parts::Parts;
use crate::{
    Document, Outcome, OutputDocument, Piece, REPORT_VERSION, Report, RestDocument, SelectionDocument, TrackDocument, UnitDocument, Units,
};

/// This program, as a report names it.
pub(crate) const PROGRAM: &str = concat!("aqueduct ", env!("CARGO_PKG_VERSION"));

/// What a run was told to do and how it ended, as far as its caller knows better.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// What was asked for.
    pub selection: Option<SelectionDocument>,
    /// The exit code of the command.
    pub exit_code: Option<u8>,
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

/// What an earlier report tells of an output that was written anew.
struct Known<'a> {
    tracks: &'a [TrackDocument],
    left_out: LeftOut,
}

/// By track, kind and Media Sequence Number: of what the address, and that of its key, is told in part. What was not fetched again was
/// named by that.
type LeftOut = BTreeMap<(u32, bool, u64), (bool, bool)>;

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
