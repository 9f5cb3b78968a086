//! Proving a finished file: against its report, byte by byte, and by its container.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use aqueduct_media::check::{Checked, check};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::parts::Parts;
use crate::reading::open_file;
use crate::{FileReport, Piece, ReportError, RestDocument, UnitDocument, folder};

/// What is named one by one, of each kind of finding.
const MOST_NAMED: usize = 100;

/// Why a file could not be examined. Messages read after "failed to verify".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The system refused.
    #[error("{}: cannot be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its report cannot be used.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// What an examination found.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Findings {
    /// What the container shows.
    pub container: Checked,
    /// Units whose bytes are proved by their digest; `None` without a report.
    pub proved: Option<u64>,
    /// Units whose bytes are others.
    pub damaged: Found<UnitDocument>,
    /// Units that were on offer and are not in the file, or in part, as its report says.
    pub missing: Found<UnitDocument>,
    /// Whether the stream went on where the file ends, as its report says.
    pub broken_off: bool,
    /// Anything else, as fragments for people.
    pub problems: Found<String>,
}

/// Findings of one kind: how many there are, and the first hundred.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Found<T> {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<T>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self {
            count: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Found<T> {
    pub(crate) fn add(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(one);
        }
    }

    /// The same of other ones, behind these.
    pub(crate) fn append(&mut self, other: Self, change: impl Fn(T) -> T) {
        let named = other.first.len() as u64;
        other.first.into_iter().for_each(|one| self.add(change(one)));
        self.count += other.count - named;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Findings {
    /// Whether every byte is as it was written, and the container whole, as far as there is something to prove it by.
    pub fn is_sound(&self) -> bool {
        self.is_proved() && self.damaged.is_empty() && self.problems.is_empty() && self.container.wrong == 0
    }

    /// Whether there was anything to prove the file by: a report, or a container that is known.
    pub fn is_proved(&self) -> bool {
        self.proved.is_some() || self.container.container.is_some()
    }
}

/// Examines `file`: its container, and with a report each unit's bytes, their order and their number. Of a folder of segments it
/// examines every file, and whether its playlists name what is there, and nothing else is. It blocks.
///
/// The report is read unit by unit; eight bytes of memory for each remain, where it begins. The playlists of a folder are read
/// as a whole.
///
/// # Errors
///
/// [`VerifyError`].
pub fn verify(file: &Path, report: Option<&FileReport>) -> Result<Findings, VerifyError> {
    if file.is_dir() {
        return folder::verify(file, report);
    }
    let failed = |source| VerifyError::Io { path: file.into(), source };
    let mut opened = match open_file(file) {
        // It was never there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && report.is_some_and(|report| report.is_lost(file)) => None,
        opened => Some(opened.map_err(failed)?),
    };
    let mut findings = Findings::default();
    let mut joints = None;
    if let Some(report) = report {
        let mut see = |_, unit: UnitDocument, judgement| {
            match (judgement, &unit.piece) {
                (Judgement::Damaged, _) => findings.damaged.add(unit),
                (Judgement::Missing, _) if unit.fate != "tagged" => findings.missing.add(unit),
                (Judgement::Proved, _) if unit.fate == "cut" => findings.missing.add(unit),
                _ => {}
            }
            Ok(())
        };
        let judged = match &mut opened {
            Some(opened) => {
                let length = opened.metadata().map_err(failed)?.len();
                judge(opened, length, file, report, &mut see)?
            }
            None => judge(&mut io::empty(), 0, file, report, &mut see)?,
        };
        findings.proved = Some(judged.proved);
        findings.broken_off = !matches!(report.document().outcome.as_str(), "whole" | "gaps");
        findings.problems = judged.problems;
        let mut starts = judged.starts;
        starts.sort_unstable();
        joints = Some(starts);
    }
    if let Some(opened) = &mut opened {
        let mut reader = BufReader::with_capacity(1 << 20, opened);
        findings.container = check(&mut reader, joints.as_deref()).map_err(failed)?;
    }
    Ok(findings)
}

/// What the bytes of a unit show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Proved,
    Damaged,
    /// The report says that it never had any.
    Missing,
}

/// What the bytes of a file show.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) proved: u64,
    /// Whether what stands behind the last unit is proved.
    pub(crate) tail: bool,
    /// Whether the report does not account for every byte once.
    pub(crate) contradictory: bool,
    /// Files of a folder that were appended to, and how long they were.
    pub(crate) longer: Vec<(String, u64)>,
    /// Where what the report tells of ends.
    pub(crate) end: u64,
    /// Where each unit begins.
    pub(crate) starts: Vec<u64>,
    pub(crate) problems: Found<String>,
}

/// Hands each unit of the report to `each`, with its number and what its bytes show. Of an output that was split, those of the file,
/// and what is missing behind them. The file has this `length`.
pub(crate) fn judge(
    file: &mut (impl Read + Seek),
    length: u64,
    path: &Path,
    report: &FileReport,
    mut each: impl FnMut(u64, UnitDocument, Judgement) -> Result<(), VerifyError>,
) -> Result<Judged, VerifyError> {
    let failed = |source| VerifyError::Io { path: path.into(), source };
    let output = report.output();
    let mut judged = Judged::default();
    let own = report.split(path);
    let length_is = |written: u64, judged: &mut Judged| {
        if length != written {
            let what = format!("it has {length} bytes, and had {written} when it was written");
            judged.problems.add(what);
        }
    };
    if own.is_none() {
        length_is(output.bytes, &mut judged);
    }
    let (mut number, mut end) = (0, 0);
    let mut parts = if own.is_some() {
        Parts::of_report(report)?
    } else {
        Parts::default()
    };
    let mut numbers = Numbers::of(report);
    report.units::<VerifyError>(|unit| {
        numbers.follow(&unit, &mut judged.problems);
        let lacking = parts.of(&unit);
        if own.is_some() && own != unit.file.as_ref().or(lacking.as_ref()).map(String::as_str) {
            number += 1;
            return Ok(true);
        }
        let judgement = match &unit.piece {
            None => Judgement::Missing,
            Some(piece) => {
                follows(piece.offset, end, &mut judged);
                end = piece.offset.saturating_add(piece.length);
                judged.starts.push(piece.offset);
                if is_there(file, length, piece).map_err(failed)? {
                    judged.proved += 1;
                    Judgement::Proved
                } else {
                    Judgement::Damaged
                }
            }
        };
        each(number, unit, judgement)?;
        number += 1;
        Ok(true)
    })?;
    judged.tail = true;
    let rests = output.rests.iter().filter(|rest| Some(rest.file.as_str()) == own);
    let rests = rests.map(RestDocument::piece);
    for tail in output.tail.iter().cloned().chain(rests) {
        follows(tail.offset, end, &mut judged);
        end = tail.offset.saturating_add(tail.length);
        if !is_there(file, length, &tail).map_err(failed)? {
            judged.tail = false;
            judged.problems.add("what stands behind the last segment was changed".into());
        }
    }
    if own.is_some() {
        length_is(end, &mut judged);
    } else {
        follows(output.bytes, end, &mut judged);
    }
    judged.end = end;
    Ok(judged)
}

/// The Media Sequence Numbers of a report, by track. It names every segment from the first to the last, the missing ones too; only a
/// server of a live stream may count anew.
pub(crate) struct Numbers {
    live: Vec<u32>,
    next: BTreeMap<u32, u64>,
}

impl Numbers {
    pub(crate) fn of(report: &FileReport) -> Self {
        let live = report.output().tracks.iter().filter(|track| track.live);
        Self {
            live: live.map(|track| track.number).collect(),
            next: BTreeMap::new(),
        }
    }

    pub(crate) fn follow(&mut self, unit: &UnitDocument, problems: &mut Found<String>) {
        let (track, msn) = (unit.track, unit.msn);
        if unit.init || self.live.contains(&track) {
            return;
        }
        if let Some(next) = self.next.insert(track, msn.saturating_add(unit.segments))
            && next < msn
        {
            let which = match msn - next {
                1 => format!("segment {next}"),
                _ => format!("segments {next} to {}", msn - 1),
            };
            problems.add(format!("the report says nothing of {which} of track {track}"));
        }
    }
}

/// The report accounts for every byte once.
fn follows(offset: u64, end: u64, judged: &mut Judged) {
    if offset != end {
        judged.contradictory = true;
        judged
            .problems
            .add(format!("the report tells of bytes up to {end}, and then from {offset}"));
    }
}

/// Whether these bytes of a file of `length` bytes are as they were written.
pub(crate) fn is_there(file: &mut (impl Read + Seek), length: u64, piece: &Piece) -> io::Result<bool> {
    if piece.length == 0 {
        return Ok(true);
    }
    if piece.offset.checked_add(piece.length).is_none_or(|end| end > length) {
        return Ok(false);
    }
    let mut hasher = Sha256::new();
    let whole = hash(file, piece.offset, piece.length, &mut hasher)?;
    Ok(whole && hex(&hasher.finalize()) == piece.sha256)
}

/// Hashes a part of a file; `false` where not all of it is there.
fn hash(file: &mut (impl Read + Seek), offset: u64, length: u64, hasher: &mut Sha256) -> io::Result<bool> {
    file.seek(SeekFrom::Start(offset))?;
    let (mut read, mut bytes) = (0, vec![0; 1 << 16]);
    let mut rest = file.take(length);
    loop {
        match rest.read(&mut bytes) {
            Ok(0) => return Ok(read == length),
            Ok(more) => {
                hasher.update(bytes.get(..more).unwrap_or_default());
                read += more as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "abcdef" (`printf abc | sha256sum` and so on).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const DEF: &str = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34";

    fn report(units: &str, bytes: u64, tail: &str) -> String {
        format!(
            r#"{{"version":1,"program":"aqueduct","outcome":"whole","error":null,"outputs":[{{"file":"film.bin","input":null,
            "container":null,"bytes":{bytes},"tracks":[],"notes":[],"tail":{tail},"units":[{units}]}}]}}"#
        )
    }

    fn unit(msn: u64, fate: &str) -> String {
        format!(r#"{{"track":0,"msn":{msn},"address":"a","seconds":1.0,"discontinuity_sequence":0,"fate":"{fate}"}}"#)
    }

    fn piece(offset: u64, sha256: &str) -> String {
        format!(r#"{{"offset":{offset},"length":3,"sha256":"{sha256}"}}"#)
    }

    fn written(msn: u64, offset: u64, sha256: &str) -> String {
        let unit = unit(msn, "written");
        format!(r#"{},"piece":{}}}"#, unit.trim_end_matches('}'), piece(offset, sha256))
    }

    fn found(content: &str, report: &str) -> Result<Findings, VerifyError> {
        let folder = tempfile::tempdir().unwrap();
        let (file, beside) = (folder.path().join("film.bin"), folder.path().join("report.json"));
        std::fs::write(&file, content).unwrap();
        std::fs::write(&beside, report).unwrap();
        verify(&file, Some(&FileReport::open(&beside, &file)?))
    }

    #[test]
    fn every_byte_is_proved_once() {
        let both = [written(0, 0, ABC), written(1, 3, DEF)].join(",");
        let tail = piece(3, DEF);
        for (name, content, report, proved, damaged, says) in [
            ("untouched", "abcdef", report(&both, 6, "null"), 2, &[][..], None),
            ("with a tail", "abcdef", report(&written(0, 0, ABC), 6, &tail), 1, &[], None),
            ("a byte changed", "abcdeg", report(&both, 6, "null"), 1, &[1], None),
            (
                "cut short",
                "abcd",
                report(&both, 6, "null"),
                1,
                &[1],
                Some("it has 4 bytes, and had 6"),
            ),
            (
                "grown",
                "abcdefg",
                report(&both, 6, "null"),
                2,
                &[],
                Some("it has 7 bytes, and had 6"),
            ),
            (
                "the tail changed",
                "abcxxx",
                report(&written(0, 0, ABC), 6, &tail),
                1,
                &[],
                Some("behind the last segment"),
            ),
            (
                "bytes that nobody tells of",
                "abcdef",
                report(&written(1, 3, DEF), 6, "null"),
                1,
                &[],
                Some("up to 0, and then from 3"),
            ),
            (
                "an end that nobody tells of",
                "abcdef",
                report(&written(0, 0, ABC), 6, "null"),
                1,
                &[],
                Some("up to 3, and then from 6"),
            ),
        ] {
            let findings = found(content, &report).unwrap();
            let numbers: Vec<u64> = findings.damaged.first.iter().map(|unit| unit.msn).collect();
            assert_eq!((findings.proved, numbers.as_slice()), (Some(proved), damaged), "{name}");
            assert_eq!(findings.is_sound(), damaged.is_empty() && says.is_none(), "{name}");
            let told = findings.problems.first.join("; ");
            assert!(says.is_none_or(|says| told.contains(says)), "{name}: {told}");
        }
    }

    #[test]
    fn what_the_report_misses_is_missing_unless_it_was_never_on_offer() {
        let units = [written(0, 0, ABC), unit(1, "failed"), unit(2, "tagged"), unit(3, "expired")].join(",");
        let findings = found("abc", &report(&units, 3, "null")).unwrap();
        assert!(findings.is_sound());
        assert_eq!(findings.missing.first.iter().map(|unit| unit.msn).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_report_says_of_every_segment_what_became_of_it() {
        let init = r#"{"track":0,"msn":9,"init":true,"address":"http://host.example/i","seconds":0.0,"discontinuity_sequence":0,"fate":"written"}"#;
        let expired = unit(1, "expired").replace(r#""msn":1,"#, r#""msn":1,"segments":3,"#);
        let tracks = |live: bool| {
            let track = format!(r#"{{"number":0,"kind":"main","name":"main","language":null,"address":null,"live":{live}}}"#);
            move |units: &[&str]| report(&units.join(","), 6, "null").replace(r#""tracks":[]"#, &format!(r#""tracks":[{track}]"#))
        };
        let (first, other) = (written(0, 0, ABC), |msn| written(msn, 3, DEF));
        for (name, report, says) in [
            ("all are told", tracks(false)(&[&first, init, &other(1)]), None),
            (
                "one is not told",
                tracks(false)(&[&first, &other(2)]),
                Some("nothing of segment 1 of track 0"),
            ),
            (
                "several are not told",
                tracks(false)(&[&first, &other(5)]),
                Some("nothing of segments 1 to 4"),
            ),
            ("several are told as one", tracks(false)(&[&first, &expired, &other(4)]), None),
            (
                "fewer are told as one",
                tracks(false)(&[&first, &expired, &other(5)]),
                Some("nothing of segment 4"),
            ),
            ("a live server counted anew", tracks(true)(&[&first, &other(5)]), None),
        ] {
            let findings = found("abcdef", &report).unwrap();
            let told = findings.problems.first.join("; ");
            assert_eq!((findings.proved, findings.is_sound()), (Some(2), says.is_none()), "{name}: {told}");
            assert!(says.is_none_or(|says| told.contains(says)), "{name}: {told}");
        }
    }

    #[test]
    fn a_report_that_cannot_be_used_is_refused() {
        let good = report("", 0, "null");
        let version = good.replace(r#""version":1"#, r#""version":2"#);
        assert!(matches!(
            found("", &version),
            Err(VerifyError::Report(ReportError::Version { version: 2, .. }))
        ));
        assert!(matches!(found("", "{}"), Err(VerifyError::Report(ReportError::Unreadable { .. }))));
        assert!(matches!(
            found("", "nothing"),
            Err(VerifyError::Report(ReportError::Unreadable { .. }))
        ));
        let empty = r#"{"version":1,"program":"","outcome":"failed","error":"","outputs":[]}"#;
        assert!(matches!(found("", empty), Err(VerifyError::Report(ReportError::OtherFile { .. }))));
    }

    #[test]
    fn nothing_is_proved_by_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("film.bin");
        std::fs::write(&file, "text").unwrap();
        let findings = verify(&file, None).unwrap();
        assert!(!findings.is_proved() && !findings.is_sound());
        assert!(matches!(verify(&folder.path().join("none"), None), Err(VerifyError::Io { .. })));
    }
}
