//! Reading a report, unit by unit: its length is that of the stream.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Document, OutputDocument, REPORT_VERSION, UnitDocument};

/// The most that is read of a report between two of its units, in bytes: what is larger is none.
const MOST_BETWEEN: u64 = 16 << 20;

/// Why a report cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The system refused.
    #[error("{}: cannot be read", .path.display())]
    Io {
        /// The report.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none.
    #[error("{}: no report of this program", .path.display())]
    Unreadable {
        /// The report.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is of another version.
    #[error("{}: a report of version {version}, and only version {REPORT_VERSION} can be read", .path.display())]
    Version {
        /// The report.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// It does not tell of each byte once, so that one of its places may be another's.
    #[error("{}: what it tells of the file does not add up", .path.display())]
    Contradictory {
        /// The report.
        path: PathBuf,
    },
    /// It does not say which files a folder has: it is of a file, or of a version that told of a folder as a whole.
    #[error("{}: it does not tell of the files of a folder", .path.display())]
    NoFiles {
        /// The report.
        path: PathBuf,
    },
    /// It is of other files.
    #[error("{}: it tells nothing of {file:?}", .path.display())]
    OtherFile {
        /// The report.
        path: PathBuf,
        /// The file.
        file: String,
    },
}

/// What a report says of one file. Its units stay where they are until they are asked for.
#[derive(Clone, Debug)]
pub struct FileReport {
    path: PathBuf,
    /// All that it says but the units.
    document: Document<Units>,
    number: usize,
}

/// The units of an output, which are read one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units;

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for Units {
    /// An empty list.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::empty::<UnitDocument>())
    }
}

/// The report that stands beside a file, unless another is named: `film.mp4.report.json`.
pub fn report_beside(file: &Path) -> PathBuf {
    // A folder may be named with a slash behind it.
    let file: PathBuf = file.components().collect();
    let mut name = file.into_os_string();
    name.push(".report.json");
    name.into()
}

impl FileReport {
    /// The name of `file` among those of an output that was split, if it was.
    pub(crate) fn split(&self, file: &Path) -> Option<&str> {
        let name = file.file_name()?.to_string_lossy();
        let output = self.output();
        let files = output.files.iter().chain(&output.lost);
        files.map(String::as_str).find(|known| *known == name).filter(|_| !file.is_dir())
    }

    /// Whether what it tells of had the name of `file`.
    pub(crate) fn names(&self, file: &Path) -> bool {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        self.output().file == name || self.split(file).is_some()
    }

    /// Whether `file` is one of a split that is not there, since nothing came of what it would have.
    pub(crate) fn is_lost(&self, file: &Path) -> bool {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| self.output().lost.contains(&name))
    }

    /// Reads what `report` says of `file`. A file that was renamed since is still that of a report with one output.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub fn open(report: &Path, file: &Path) -> Result<Self, ReportError> {
        // Of the units nothing is kept, so that their number does not count.
        let document = read(report, Rc::default(), |json| Document::<Units>::deserialize(json));
        let version = match &document {
            Ok(document) => document.version,
            // Another version may lack what is looked for.
            Err(_) => read(report, Rc::default(), |json| Version::deserialize(json)).map_or(REPORT_VERSION, |other| other.version),
        };
        if version != REPORT_VERSION {
            let path = report.into();
            return Err(ReportError::Version { path, version });
        }
        let document = document?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let outputs = &document.outputs;
        let is_meant = |output: &OutputDocument<Units>| {
            output.file.as_ref() == Some(&name) || output.files.contains(&name) || output.lost.contains(&name)
        };
        // Of several files one that was renamed may be any.
        let is_alone = outputs.len() == 1 && (outputs[0].files.is_empty() || file.is_dir());
        let number = outputs.iter().position(is_meant).or(is_alone.then_some(0));
        match number {
            Some(number) => Ok(Self {
                path: report.into(),
                document,
                number,
            }),
            None => Err(ReportError::OtherFile {
                path: report.into(),
                file: name,
            }),
        }
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of the run.
    pub fn document(&self) -> &Document<Units> {
        &self.document
    }

    /// Which of the outputs is meant, counted from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// What it says of the file.
    pub fn output(&self) -> &OutputDocument<Units> {
        &self.document.outputs[self.number]
    }

    /// Hands each unit of the file to `each`, in the order of the file, until that fails or answers `false`.
    ///
    /// # Errors
    ///
    /// [`ReportError`], and those of `each`.
    pub fn units<E: From<ReportError>>(&self, each: impl FnMut(UnitDocument) -> Result<bool, E>) -> Result<(), E> {
        self.units_of(self.number, each)
    }

    /// The same of another output of the report.
    pub(crate) fn units_of<E: From<ReportError>>(
        &self,
        output: usize,
        mut each: impl FnMut(UnitDocument) -> Result<bool, E>,
    ) -> Result<(), E> {
        let fuel = Fuel::new(Cell::new(Some(MOST_BETWEEN)));
        let (mut ended, refill) = (None, Rc::clone(&fuel));
        let mut hand_on = |unit| {
            refill.set(Some(MOST_BETWEEN));
            let again = each(unit);
            let goes_on = matches!(again, Ok(true));
            if !goes_on {
                ended = Some(again.map(|_| ()));
            }
            goes_on
        };
        let walk = Walk {
            place: Place::Document,
            output,
            each: &mut hand_on,
        };
        let read = read(&self.path, fuel, |json| walk.deserialize(json));
        match ended {
            Some(ended) => ended,
            None => read.map_err(E::from),
        }
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Bytes that may be read before the next unit; no bound where there is none.
type Fuel = Rc<Cell<Option<u64>>>;

fn read<T>(
    path: &Path,
    fuel: Fuel,
    take: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::IoRead<BufReader<Bounded>>>) -> Result<T, serde_json::Error>,
) -> Result<T, ReportError> {
    let file = open_file(path).map_err(|source| ReportError::Io { path: path.into(), source })?;
    let reader = BufReader::with_capacity(64 << 10, Bounded { file, fuel });
    let mut json = serde_json::Deserializer::from_reader(reader);
    take(&mut json).map_err(|source| ReportError::Unreadable { path: path.into(), source })
}

/// Opens a regular file ([`io::ErrorKind::InvalidInput`]). A pipe would wait for whoever writes to it, a device may have no end, and
/// neither is read twice.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)
}

/// A file of which only so much is read at a time.
struct Bounded {
    file: File,
    fuel: Fuel,
}

impl Read for Bounded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        if let Some(left) = self.fuel.get() {
            let left = left
                .checked_sub(read as u64)
                .ok_or_else(|| io::Error::other("a unit that is larger than any"))?;
            self.fuel.set(Some(left));
        }
        Ok(read)
    }
}

/// Where in a report something stands.
#[derive(Clone, Copy)]
enum Place {
    Document,
    Outputs,
    Output,
    Units,
}

/// Goes down to the units of one output, and passes over everything else.
struct Walk<'a, F> {
    place: Place,
    output: usize,
    /// `false` when it has enough.
    each: &'a mut F,
}

impl<'de, F: FnMut(UnitDocument) -> bool> DeserializeSeed<'de> for Walk<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.place {
            Place::Document | Place::Output => deserializer.deserialize_map(self),
            Place::Outputs | Place::Units => deserializer.deserialize_seq(self),
        }
    }
}

impl<'de, F: FnMut(UnitDocument) -> bool> Visitor<'de> for Walk<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (name, place) = match self.place {
            Place::Document => ("outputs", Place::Outputs),
            _ => ("units", Place::Units),
        };
        while let Some(key) = map.next_key::<String>()? {
            if key == name {
                let output = self.output;
                map.next_value_seed(Walk {
                    place,
                    output,
                    each: &mut *self.each,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if matches!(self.place, Place::Units) {
            while let Some(unit) = seq.next_element::<UnitDocument>()? {
                if !(self.each)(unit) {
                    return Err(A::Error::custom("enough"));
                }
            }
            return Ok(());
        }
        let mut number = 0;
        loop {
            let next = if number == self.output {
                seq.next_element_seed(Walk {
                    place: Place::Output,
                    output: self.output,
                    each: &mut *self.each,
                })?
            } else {
                seq.next_element::<IgnoredAny>()?.map(|_| ())
            };
            if next.is_none() {
                return Ok(());
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A report of two files with a few units each, in the form that is published.
    fn report() -> String {
        let unit = |msn: u64, offset: u64| {
            format!(
                r#"{{"track":0,"msn":{msn},"address":"http://host/{msn}.ts","seconds":2.0,"discontinuity_sequence":0,"fate":"written","piece":{{"offset":{offset},"length":188,"sha256":"{}"}}}}"#,
                "0".repeat(64)
            )
        };
        let gap =
            r#"{"track":0,"msn":2,"address":"http://host/2.ts","seconds":2.0,"discontinuity_sequence":0,"fate":"failed","why":"404"}"#;
        let output = |file: &str, units: &[String]| {
            format!(
                r#"{{"file":"{file}","input":null,"container":"Ts","form":"concatenation","bytes":376,"tracks":[],"notes":[],"tail":null,"units":[{}]}}"#,
                units.join(",")
            )
        };
        let outputs = [
            output("a.ts", &[unit(0, 0), unit(1, 188), gap.to_owned()]),
            output("b.ts", &[unit(7, 0)]),
        ];
        format!(
            r#"{{"version":1,"program":"aqueduct","outcome":"gaps","error":null,"exit_code":3,"selection":null,"outputs":[{}]}}"#,
            outputs.join(",")
        )
    }

    /// The numbers of the segments that are told of a file.
    fn told(text: &[u8], file: &str) -> Result<Vec<u64>, ReportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        std::fs::write(&path, text).unwrap();
        let report = FileReport::open(&path, Path::new(file))?;
        let mut units = Vec::new();
        report.units::<ReportError>(|unit| {
            units.push(unit.msn);
            Ok(units.len() < 1000)
        })?;
        Ok(units)
    }

    #[test]
    fn each_file_has_its_own_units_in_order() {
        let text = report();
        assert_eq!(told(text.as_bytes(), "a.ts").unwrap(), [0, 1, 2]);
        assert_eq!(told(text.as_bytes(), "b.ts").unwrap(), [7]);
        assert!(matches!(told(text.as_bytes(), "c.ts"), Err(ReportError::OtherFile { .. })));
    }

    proptest! {
        #[test]
        fn a_damaged_report_is_refused_or_read_to_its_end(changes: Vec<(u16, u8)>, cut: u16, twice: bool) {
            let mut text = report().into_bytes();
            for (at, byte) in changes {
                let at = usize::from(at) % text.len();
                text[at] = byte;
            }
            text.truncate(text.len() - usize::from(cut) % 50);
            if twice {
                text.extend_from_within(..);
            }
            if let Ok(units) = told(&text, "a.ts") {
                prop_assert!(units.len() <= 3);
            }
        }

        #[test]
        fn whatever_is_no_report_is_refused(text: Vec<u8>) {
            prop_assert!(told(&text, "a.ts").is_err());
        }
    }
}
