//! The report of a repaired file: as it was, with what the repair changed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use aqueduct_core::Summary;
use aqueduct_mux::{Account, Fate};

use super::{Known, LeftOut, PROGRAM, open_list, output, separate};
use crate::verify::hex;
use crate::{Document, FileReport, OutputDocument, Piece, Repaired, ReportError, RestDocument, UnitDocument};

/// Writes the report of a repaired file: as `before`, with what the repair changed.
///
/// # Errors
///
/// Those of reading `before`, and as [`write_report`](crate::write_report).
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

/// Offset, length and SHA-256 of what a unit brought, what it lacks, and whether it was padded.
type Come = (u64, u64, [u8; 32], Option<String>, bool);

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
                let come = (offset, length, sha256, entry.cut.clone(), entry.padded);
                pieces.insert((entry.track, entry.init, entry.msn), come);
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
        let Some((offset, length, sha256, cut, padded)) = self.pieces.get(&(unit.track, unit.init, unit.msn)) else {
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
        unit.padded = *padded;
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
