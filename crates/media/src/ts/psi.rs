//! Program specific information: sections, the PAT and the PMT (ISO 13818-1 §2.4.4).

use serde::{Deserialize, Serialize};

use super::{Stats, coding::Coding};
use crate::{bits, track::Language};

/// Longest section of these tables: `section_length` is at most 1021 (§2.4.4.3).
const MAX_SECTION: usize = 1024;

/// Programs that are looked at; each is known by a few bytes.
const MAX_PROGRAMS: usize = 256;

const PAT: u8 = 0x00;
const PMT: u8 = 0x02;

/// Puts sections together out of packet payloads.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sections {
    buffer: Vec<u8>,
    /// Whether the section in the buffer is being collected; if not, bytes are passed over until the next start.
    open: bool,
}

impl Sections {
    /// Takes a packet's payload, and calls `each` for every section that is complete and whose CRC is right.
    pub(super) fn push(&mut self, payload: &[u8], unit_start: bool, stats: &mut Stats, mut each: impl FnMut(&[u8])) {
        if !unit_start {
            self.collect(payload, stats, &mut each);
            return;
        }
        let Some((&pointer, rest)) = payload.split_first() else { return };
        let (end_of_last, rest) = match rest.split_at_checked(pointer.into()) {
            Some(parts) => parts,
            None => {
                stats.broken_sections += 1;
                self.open = false;
                return;
            }
        };
        self.collect(end_of_last, stats, &mut each);
        self.buffer.clear();
        self.open = true;
        self.collect(rest, stats, &mut each);
    }

    /// Forgets an unfinished section, after packets were lost.
    pub(super) fn reset(&mut self) {
        self.open = false;
    }

    fn collect(&mut self, bytes: &[u8], stats: &mut Stats, each: &mut impl FnMut(&[u8])) {
        if !self.open {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        while let [table, high, low, ..] = *self.buffer {
            // 0xff fills the rest of a packet after the last section.
            if table == 0xff {
                self.open = false;
                return;
            }
            let length = 3 + (usize::from(high & 0xf) << 8 | usize::from(low));
            if length > MAX_SECTION {
                stats.broken_sections += 1;
                self.open = false;
                return;
            }
            let Some(section) = self.buffer.get(..length) else { return };
            if crc32(section) == 0 {
                each(section);
            } else {
                stats.broken_sections += 1;
            }
            self.buffer.drain(..length);
        }
    }
}

/// A program as the PAT names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) number: u16,
    /// Of its PMT.
    pub(super) pid: u16,
    /// The section of the PAT that names it.
    section: u8,
}

/// The programs of a PAT, which may have several sections (§2.4.4.3).
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Programs {
    version: Option<u8>,
    list: Vec<Program>,
}

impl Programs {
    /// Takes a PAT section. Returns whether it says anything new.
    pub(super) fn take(&mut self, section: &[u8]) -> bool {
        let Some(entries) = body(section, PAT) else { return false };
        let (version, number) = match section.get(5..8) {
            Some([version, number, _]) => (version >> 1 & 0x1f, *number),
            _ => return false,
        };
        let before = self.list.clone();
        if self.version.replace(version) != Some(version) {
            self.list.clear();
        }
        self.list.retain(|program| program.section != number);
        let found = entries
            .chunks_exact(4)
            .map(|entry| Program {
                number: u16::from(entry[0]) << 8 | u16::from(entry[1]),
                pid: u16::from(entry[2] & 0x1f) << 8 | u16::from(entry[3]),
                section: number,
            })
            // Program 0 is the network's own table.
            .filter(|program| program.number != 0);
        let room = MAX_PROGRAMS.saturating_sub(self.list.len());
        self.list.extend(found.take(room));
        self.list.sort_by_key(|program| program.section);
        self.list != before
    }

    /// Takes the program of a PMT for the only one.
    pub(super) fn guess(&mut self, number: u16, pid: u16) {
        self.list = vec![Program { number, pid, section: 0 }];
    }

    /// In the order of the PAT.
    pub(super) fn list(&self) -> &[Program] {
        &self.list
    }
}

/// The program that a PMT section is of, if it is in force.
pub(super) fn program_number(section: &[u8]) -> Option<u16> {
    body(section, PMT)?;
    Some(u16::from_be_bytes(*section.get(3..)?.first_chunk()?))
}

/// One elementary stream as the PMT describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EsInfo {
    pub(super) coding: Coding,
    pub(super) pid: u16,
    pub(super) language: Language,
}

/// The elementary streams of a PMT section (§2.4.4.8); `None` where it is no PMT in force.
pub(super) fn streams(section: &[u8]) -> Option<Vec<EsInfo>> {
    let body = body(section, PMT)?;
    let info = length(body.get(2..4)?);
    let mut rest = body.get(4 + info..)?;
    let mut streams = Vec::new();
    while let [stream_type, pid_high, pid_low, high, low, after @ ..] = rest {
        let info = length(&[*high, *low]).min(after.len());
        let (descriptors, next) = after.split_at(info);
        streams.push(EsInfo {
            coding: Coding::of(*stream_type, descriptors),
            pid: u16::from(pid_high & 0x1f) << 8 | u16::from(*pid_low),
            language: language(descriptors),
        });
        rest = next;
    }
    Some(streams)
}

/// What stands between the header and the CRC of a section in force.
fn body(section: &[u8], table: u8) -> Option<&[u8]> {
    let current = section.get(5)? & 1 == 1;
    (section.first() == Some(&table) && current).then_some(())?;
    section.get(8..section.len().checked_sub(4)?)
}

/// A 12-bit length behind reserved bits.
fn length(bytes: &[u8]) -> usize {
    match bytes {
        [high, low] => usize::from(high & 0xf) << 8 | usize::from(*low),
        _ => 0,
    }
}

/// Descriptors as tag and content (§2.6).
pub(super) fn each(mut descriptors: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [tag, length, rest @ ..] = descriptors else { return None };
        let (content, next) = rest.split_at(rest.len().min((*length).into()));
        descriptors = next;
        Some((*tag, content))
    })
}

/// From the `ISO_639_language_descriptor` (§2.6.18).
fn language(descriptors: &[u8]) -> Language {
    let found = each(descriptors).find(|(tag, _)| *tag == 0x0a);
    found.map_or(Language::UNDETERMINED, |(_, content)| {
        Language::new(content.get(..3).unwrap_or(&[]))
    })
}

/// The CRC of annex A; over a whole section it is 0.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    bits::crc32(u32::MAX, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::AudioCodec;

    /// ffmpeg's PAT: program 1 at PID 0x1000.
    const PAT_BYTES: &[u8] = &[
        0x00, 0xb0, 0x0d, 0x00, 0x01, 0xc1, 0x00, 0x00, 0x00, 0x01, 0xf0, 0x00, 0x2a, 0xb1, 0x04, 0xb2,
    ];

    fn with_crc(section: &[u8]) -> Vec<u8> {
        let mut section = section.to_vec();
        let crc = crc32(&section);
        section.extend_from_slice(&crc.to_be_bytes());
        section
    }

    fn collect(payloads: &[(&[u8], bool)]) -> (Vec<Vec<u8>>, Stats) {
        let (mut sections, mut stats, mut found) = (Sections::default(), Stats::default(), Vec::new());
        for (payload, start) in payloads {
            sections.push(payload, *start, &mut stats, |section| found.push(section.to_vec()));
        }
        (found, stats)
    }

    #[test]
    fn a_section_is_found_whole_split_and_behind_another() {
        let start = [&[0][..], PAT_BYTES].concat();
        let stuffed = [&start[..], &[0xff; 20]].concat();
        let twice = [&start[..], PAT_BYTES].concat();
        let pointer = [&[6][..], &PAT_BYTES[10..], PAT_BYTES].concat();
        for (payloads, count) in [
            (vec![(&start[..], true)], 1),
            (vec![(&stuffed[..], true)], 1),
            (vec![(&twice[..], true)], 2),
            (vec![(&start[..8], true), (&start[8..], false)], 1),
            (vec![(&start[..11], true), (&pointer[..], true)], 2),
            (vec![(&start[8..], false)], 0),
        ] {
            let (found, stats) = collect(&payloads);
            assert_eq!(found, vec![PAT_BYTES; count], "{payloads:?}");
            assert_eq!(stats, Stats::default());
        }
        let mut programs = Programs::default();
        assert!(programs.take(PAT_BYTES) && !programs.take(PAT_BYTES));
        assert_eq!(
            programs
                .list()
                .iter()
                .map(|program| (program.number, program.pid))
                .collect::<Vec<_>>(),
            [(1, 0x1000)]
        );
    }

    #[test]
    fn a_pat_may_have_several_sections_and_versions() {
        let section = |version: u8, number: u8, program: u8| {
            with_crc(&[
                0,
                0xb0,
                17,
                0,
                1,
                0xc1 | version << 1,
                number,
                1,
                0,
                0,
                0xe0,
                16,
                0,
                program,
                0xe1,
                program,
            ])
        };
        let mut programs = Programs::default();
        let mut numbers = |section: &[u8]| {
            programs.take(section);
            programs.list().iter().map(|program| program.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&section(0, 1, 2)), [2]);
        assert_eq!(numbers(&section(0, 0, 1)), [1, 2]);
        assert_eq!(numbers(&section(0, 1, 2)), [1, 2]);
        assert_eq!(numbers(&section(0, 1, 3)), [1, 3]);
        assert_eq!(numbers(&section(1, 0, 7)), [7]);
    }

    #[test]
    fn a_wrong_crc_or_length_is_counted_and_not_believed() {
        let mut wrong = [&[0][..], PAT_BYTES].concat();
        wrong[10] ^= 1;
        let long = [0, 0, 0xbf, 0xff, 0, 0, 0];
        let pointer = [200, 0, 0];
        for payload in [&wrong[..], &long, &pointer] {
            let (found, stats) = collect(&[(payload, true)]);
            assert!(found.is_empty());
            assert_eq!(stats.broken_sections, 1);
        }
    }

    #[test]
    fn a_pmt_names_types_and_languages() {
        let section = with_crc(&[
            2, 0xb0, 0x1d, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0, 6, 0x0a, 4, b'F', b'r', b'a', 0,
        ]);
        let streams = streams(&section).unwrap();
        assert_eq!(
            streams,
            [
                EsInfo {
                    coding: Coding::Avc,
                    pid: 0x100,
                    language: Language::UNDETERMINED
                },
                EsInfo {
                    coding: Coding::Audio(AudioCodec::Adts),
                    pid: 0x101,
                    language: Language::new(b"fra")
                },
            ]
        );
        assert_eq!(program_number(&section), Some(1));
        assert!(!Programs::default().take(&section));
    }

    #[test]
    fn no_cut_of_a_table_panics() {
        for end in 0..PAT_BYTES.len() {
            Programs::default().take(&PAT_BYTES[..end]);
            streams(&PAT_BYTES[..end]);
        }
    }
}
