//! Proving a finished file: against its report, byte by byte, and by its container.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use aqueduct_media::check::{Checked, check};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{Document, OutputDocument, Piece, REPORT_VERSION, UnitDocument};

/// Why a file could not be examined. Messages read after "failed to verify".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The system refused.
    #[error("{}: cannot be read", .path.display())]
    Io {
        /// The file, or its report.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The report is none.
    #[error("{}: no report of this program", .path.display())]
    Report {
        /// The report.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The report is of another version.
    #[error("{}: a report of version {version}, and only version {REPORT_VERSION} can be read", .path.display())]
    Version {
        /// The report.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// The report is of other files.
    #[error("{}: it tells nothing of {file:?}", .path.display())]
    OtherFile {
        /// The report.
        path: PathBuf,
        /// The file.
        file: String,
    },
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
    pub damaged: Vec<UnitDocument>,
    /// Units that were on offer and are not in the file, as its report says.
    pub missing: Vec<UnitDocument>,
    /// Anything else, as fragments for people.
    pub problems: Vec<String>,
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

/// The report that stands beside a file, unless another is named: `film.mp4.report.json`.
pub fn report_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".report.json");
    name.into()
}

/// Reads what a report says of `file`.
///
/// # Errors
///
/// [`VerifyError`].
pub fn read_report(report: &Path, file: &Path) -> Result<OutputDocument, VerifyError> {
    let opened = File::open(report).map_err(|source| VerifyError::Io {
        path: report.into(),
        source,
    })?;
    let document: Document = serde_json::from_reader(BufReader::new(opened)).map_err(|source| VerifyError::Report {
        path: report.into(),
        source,
    })?;
    if document.version != REPORT_VERSION {
        return Err(VerifyError::Version {
            path: report.into(),
            version: document.version,
        });
    }
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut outputs = document.outputs;
    // A file that was renamed since is still that of a report with one output.
    let number = outputs
        .iter()
        .position(|output| output.file.as_ref() == Some(&name))
        .or((outputs.len() == 1).then_some(0));
    number.map(|number| outputs.swap_remove(number)).ok_or(VerifyError::OtherFile {
        path: report.into(),
        file: name,
    })
}

/// Examines `file`: its container, and with a report each unit's bytes, their order and their number. It blocks.
///
/// # Errors
///
/// [`VerifyError::Io`].
pub fn verify(file: &Path, report: Option<&OutputDocument>) -> Result<Findings, VerifyError> {
    let failed = |source| VerifyError::Io { path: file.into(), source };
    let mut opened = File::open(file).map_err(failed)?;
    let joints = report.map(|report| {
        let pieces = report.units.iter().filter_map(|unit| unit.piece.as_ref());
        let mut joints: Vec<u64> = pieces.map(|piece| piece.offset).collect();
        joints.sort_unstable();
        joints
    });
    let mut reader = BufReader::with_capacity(1 << 20, &mut opened);
    let mut findings = Findings {
        container: check(&mut reader, joints.as_deref()).map_err(failed)?,
        ..Findings::default()
    };
    if let Some(report) = report {
        compare(&mut opened, report, &mut findings).map_err(failed)?;
    }
    Ok(findings)
}

fn compare(file: &mut File, report: &OutputDocument, findings: &mut Findings) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length != report.bytes {
        let what = format!("it has {length} bytes, and had {} when it was written", report.bytes);
        findings.problems.push(what);
    }
    let (mut end, mut proved) = (0, 0);
    for unit in &report.units {
        let Some(piece) = &unit.piece else {
            if unit.fate != "tagged" {
                findings.missing.push(unit.clone());
            }
            continue;
        };
        follows(piece.offset, end, findings);
        end = piece.offset.saturating_add(piece.length);
        if is_there(file, length, piece)? {
            proved += 1;
        } else {
            findings.damaged.push(unit.clone());
        }
    }
    if let Some(tail) = &report.tail {
        follows(tail.offset, end, findings);
        end = tail.offset.saturating_add(tail.length);
        if !is_there(file, length, tail)? {
            findings.problems.push("what stands behind the last segment was changed".into());
        }
    }
    follows(report.bytes, end, findings);
    findings.proved = Some(proved);
    Ok(())
}

/// The report accounts for every byte once.
fn follows(offset: u64, end: u64, findings: &mut Findings) {
    if offset != end {
        let what = format!("the report tells of bytes up to {end}, and then from {offset}");
        findings.problems.push(what);
    }
}

/// Whether these bytes of a file of `length` bytes are as they were written.
fn is_there(file: &mut File, length: u64, piece: &Piece) -> io::Result<bool> {
    if piece.offset.checked_add(piece.length).is_none_or(|end| end > length) {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(piece.offset))?;
    let mut hasher = Sha256::new();
    let (mut read, mut bytes) = (0, vec![0; 1 << 16]);
    let mut rest = file.take(piece.length);
    loop {
        let more = match rest.read(&mut bytes) {
            Ok(0) => break,
            Ok(more) => more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(bytes.get(..more).unwrap_or_default());
        read += more as u64;
    }
    let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(read == piece.length && digest == piece.sha256)
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
        verify(&file, Some(&read_report(&beside, &file)?))
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
            let numbers: Vec<u64> = findings.damaged.iter().map(|unit| unit.msn).collect();
            assert_eq!((findings.proved, numbers.as_slice()), (Some(proved), damaged), "{name}");
            assert_eq!(findings.is_sound(), damaged.is_empty() && says.is_none(), "{name}");
            let told = findings.problems.join("; ");
            assert!(says.is_none_or(|says| told.contains(says)), "{name}: {told}");
        }
    }

    #[test]
    fn what_the_report_misses_is_missing_unless_it_was_never_on_offer() {
        let units = [written(0, 0, ABC), unit(1, "failed"), unit(2, "tagged"), unit(3, "expired")].join(",");
        let findings = found("abc", &report(&units, 3, "null")).unwrap();
        assert!(findings.is_sound());
        assert_eq!(findings.missing.iter().map(|unit| unit.msn).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_report_that_cannot_be_used_is_refused() {
        let good = report("", 0, "null");
        let version = good.replace(r#""version":1"#, r#""version":2"#);
        assert!(matches!(found("", &version), Err(VerifyError::Version { version: 2, .. })));
        assert!(matches!(found("", "{}"), Err(VerifyError::Report { .. })));
        assert!(matches!(found("", "nothing"), Err(VerifyError::Report { .. })));
        let empty = r#"{"version":1,"program":"","outcome":"failed","error":"","outputs":[]}"#;
        assert!(matches!(found("", empty), Err(VerifyError::OtherFile { .. })));
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
