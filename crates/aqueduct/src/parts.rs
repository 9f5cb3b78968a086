//! The files of an output that was split: which of them what never came would be in.

use std::collections::BTreeMap;

use crate::{FileReport, ReportError, UnitDocument};

/// The files of each period (Discontinuity Sequence Number), as far as its units tell.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    periods: BTreeMap<u64, Period>,
    /// The file that the unit before was of, and its period.
    at: Option<(u64, String)>,
}

#[derive(Debug, Default)]
struct Period {
    files: Vec<String>,
    /// It has segments that were on offer and never came.
    lacks: bool,
}

impl Parts {
    /// Those of an output that a report tells of.
    pub(crate) fn of_report(report: &FileReport) -> Result<Self, ReportError> {
        let mut parts = Self::default();
        report.units::<ReportError>(|unit| {
            parts.see(&unit);
            Ok(true)
        })?;
        parts.conclude(&report.output().files);
        Ok(parts)
    }

    /// Takes note of a unit of the output.
    pub(crate) fn see(&mut self, unit: &UnitDocument) {
        let named = unit.piece.as_ref().filter(|piece| piece.length > 0).and(unit.file.as_ref());
        let lacks = unit.piece.is_none() && unit.fate != "tagged";
        if named.is_none() && !lacks {
            return;
        }
        let period = self.periods.entry(unit.discontinuity_sequence).or_default();
        period.lacks |= lacks;
        if let Some(file) = named.filter(|file| !period.files.contains(file)) {
            period.files.push(file.clone());
        }
    }

    /// Gives a file to the periods of which nothing came: the number behind that of the one in front.
    pub(crate) fn conclude(&mut self, files: &[String]) -> Vec<String> {
        let (mut before, mut lost) = (0, Vec::new());
        for period in self.periods.values_mut() {
            if let Some(last) = period.files.iter().filter_map(|file| number(file)).max() {
                before = last;
            } else if let Some(name) = files
                .first()
                .and_then(|file| with_number(file, before + 1))
                .filter(|_| period.lacks)
            {
                before += 1;
                // By an earlier version, which did not keep the number.
                if !files.contains(&name) {
                    period.files.push(name.clone());
                    lost.push(name);
                }
            }
        }
        lost
    }

    /// The file that a unit which never came would be in. The units are asked for in their order.
    pub(crate) fn of(&mut self, unit: &UnitDocument) -> Option<String> {
        let period = unit.discontinuity_sequence;
        if let (Some(piece), Some(file)) = (&unit.piece, &unit.file) {
            // What is held back has no place of its own.
            if piece.length > 0 {
                self.at = Some((period, file.clone()));
            }
            return None;
        }
        let before = self.at.as_ref().filter(|(at, _)| *at == period).map(|(_, file)| file.clone());
        before.or_else(|| self.periods.get(&period)?.files.first().cloned())
    }

    /// The period of a file, and how many files that has in front of it.
    pub(crate) fn place(&self, file: &str) -> Option<(u64, u32)> {
        self.periods.iter().find_map(|(period, of)| {
            let index = of.files.iter().position(|name| name == file)?;
            Some((*period, u32::try_from(index).ok()?))
        })
    }
}

/// The number in the name of a file, and where it stands: before the extension, or at the end.
fn digits(name: &str) -> Option<(usize, &str)> {
    let is_number = |part: &str| part.len() >= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (front, last) = name.rsplit_once('.')?;
    let behind = |front: &str| front.rsplit_once('.').map_or(0, |(stem, _)| stem.len() + 1);
    match &front[behind(front)..] {
        part if behind(front) > 0 && is_number(part) => Some((behind(front), part)),
        _ => is_number(last).then_some((front.len() + 1, last)),
    }
}

fn number(name: &str) -> Option<u32> {
    digits(name)?.1.parse().ok()
}

fn with_number(name: &str, number: u32) -> Option<String> {
    let (at, digits) = digits(name)?;
    Some(format!("{}{number:03}{}", &name[..at], &name[at + digits.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_number() {
        for (name, number, expected) in [
            ("film.001.mp4", 2, "film.002.mp4"),
            ("film.999.mp4", 1000, "film.1000.mp4"),
            ("film.2024.001.ts", 3, "film.2024.003.ts"),
            ("film.001", 2, "film.002"),
        ] {
            assert_eq!(with_number(name, number).as_deref(), Some(expected));
        }
        for name in ["film.mp4", "film", "", ".001x.ts"] {
            assert_eq!(with_number(name, 1), None, "{name}");
        }
    }
}
