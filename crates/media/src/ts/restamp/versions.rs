//! Version numbers of tables (ISO 13818-1 §2.4.4.5, §2.4.4.9): who has read a table passes over it until its version changes.

use serde::{Deserialize, Serialize};

use super::super::{
    PAT_PID,
    packet::{PACKET, Packet},
    psi,
};

/// Tables that are followed, and the sections of each.
const MAX_TABLES: usize = 64;
const MAX_SECTIONS: usize = 16;
/// Bytes of a section in front of its content, and behind it.
const HEADER: usize = 8;
const CRC: usize = 4;
/// The longest section of a PAT or PMT (§2.4.4.3).
const MAX_SECTION: usize = 1024;

/// Gives tables that say something new another version than the one before them, where a section lies in one segment.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Versions(Vec<Table>);

/// A table as it was written last.
#[derive(Debug, Serialize, Deserialize)]
struct Table {
    key: Key,
    /// The version that it has in the source.
    told: u8,
    version: u8,
    /// Its sections in this version, without version and CRC.
    sections: Vec<Vec<u8>>,
}

/// What sections have in common that are of one table. A stream has one PAT, whatever stream it says it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    pid: u16,
    table_id: u8,
    /// The `program_number` of a PMT.
    table_id_extension: Option<u16>,
}

impl Versions {
    /// Takes note of sections that stay as they are, in the packets of a segment that begin at `packets`.
    pub(super) fn note(&mut self, bytes: &[u8], packets: &[usize]) {
        let mut sections = Sections::default();
        for at in packets {
            for Found { pid, section, .. } in sections.packet(bytes, *at) {
                let told = version(&section);
                self.take(pid, &section, |_| told);
            }
        }
    }

    /// Gives sections the version that is due. Whether any has another one now.
    pub(super) fn renew(&mut self, bytes: &mut [u8], packets: &[usize]) -> bool {
        let (mut changed, mut sections) = (false, Sections::default());
        for at in packets {
            for Found { pid, mut section, places } in sections.packet(bytes, *at) {
                let told = version(&section);
                let version = self.take(pid, &section, |last| if told == last { (told + 1) & 0x1f } else { told });
                if version == told {
                    continue;
                }
                section[5] = section[5] & 0xc1 | version << 1;
                let end = section.len() - CRC;
                let crc = psi::crc32(&section[..end]);
                section[end..].copy_from_slice(&crc.to_be_bytes());
                for (place, byte) in places.into_iter().zip(section) {
                    if let Some(written) = bytes.get_mut(place) {
                        *written = byte;
                    }
                }
                changed = true;
            }
        }
        changed
    }

    /// The version of a section: that of its table, or the `next` one behind the last where it says something new.
    fn take(&mut self, pid: u16, section: &[u8], next: impl FnOnce(u8) -> u8) -> u8 {
        let told = version(section);
        let table_id = section[0];
        let key = Key {
            pid,
            table_id,
            table_id_extension: (pid != PAT_PID).then(|| u16::from_be_bytes([section[3], section[4]])),
        };
        let mut content = section[..section.len() - CRC].to_vec();
        content[5] &= 0xc1;
        let Some(table) = self.0.iter_mut().find(|table| table.key == key) else {
            if self.0.len() < MAX_TABLES {
                self.0.push(Table {
                    key,
                    told,
                    version: told,
                    sections: vec![content],
                });
            }
            return told;
        };
        let known = table.sections.iter().find(|known| known[6] == content[6]);
        let is_new = told != table.told || known.is_some_and(|known| *known != content);
        let is_first = known.is_none();
        if is_new {
            (table.told, table.version) = (told, next(table.version));
            table.sections.clear();
        }
        if (is_new || is_first) && table.sections.len() < MAX_SECTIONS {
            table.sections.push(content);
        }
        table.version
    }
}

fn version(section: &[u8]) -> u8 {
    section[5] >> 1 & 0x1f
}

/// A section in force, and where each of its bytes is in the segment.
struct Found {
    pid: u16,
    section: Vec<u8>,
    places: Vec<usize>,
}

/// A section in progress.
#[derive(Default)]
struct Collected {
    pid: u16,
    counter: u8,
    section: Vec<u8>,
    places: Vec<usize>,
    /// Whether its beginning is there.
    open: bool,
}

impl Collected {
    /// Takes the bytes of a packet from a place on, and hands on the sections that are complete.
    fn collect(&mut self, bytes: &[u8], from: usize, found: &mut Vec<Found>) {
        if !self.open {
            return;
        }
        self.section.extend_from_slice(bytes);
        self.places.extend(from..from + bytes.len());
        while let [table_id, high, low, ..] = *self.section {
            let length = 3 + (usize::from(high & 0xf) << 8 | usize::from(low));
            if table_id == 0xff || length > MAX_SECTION {
                self.open = false;
                return;
            }
            if self.section.len() < length {
                return;
            }
            let section: Vec<u8> = self.section.drain(..length).collect();
            let places = self.places.drain(..length).collect();
            // With all that makes a section of a version (§2.4.4.11).
            let is_versioned = high & 0x80 != 0 && length >= HEADER + CRC && section[5] & 1 == 1;
            if is_versioned && psi::crc32(&section) == 0 {
                found.push(Found {
                    pid: self.pid,
                    section,
                    places,
                });
            }
        }
    }
}

/// The sections in progress of a segment, by PID.
#[derive(Default)]
struct Sections(Vec<Collected>);

impl Sections {
    /// Takes the packet of a segment that begins at `at`, and gives the sections that end in it.
    fn packet(&mut self, bytes: &[u8], at: usize) -> Vec<Found> {
        let mut found = Vec::new();
        let Some(packet) = bytes.get(at..).and_then(<[u8]>::first_chunk::<PACKET>) else {
            return found;
        };
        let parsed = Packet::parse(packet);
        let Some(payload) = parsed.payload.filter(|_| !parsed.scrambled) else {
            return found;
        };
        let counter = packet[3] & 0xf;
        let known = self.0.iter().position(|of| of.pid == parsed.pid);
        let of = match known {
            Some(known) => &mut self.0[known],
            None => {
                self.0.push(Collected {
                    pid: parsed.pid,
                    counter: counter.wrapping_sub(1),
                    ..Collected::default()
                });
                let last = self.0.len() - 1;
                &mut self.0[last]
            }
        };
        // The same packet twice (§2.4.3.3).
        if known.is_some() && of.counter == counter && !parsed.unit_start {
            return found;
        }
        of.counter = counter;
        let from = at + PACKET - payload.len();
        if !parsed.unit_start {
            of.collect(payload, from, &mut found);
            return found;
        }
        let Some((end, rest)) = payload
            .split_first()
            .and_then(|(pointer, rest)| rest.split_at_checked(usize::from(*pointer)))
        else {
            of.open = false;
            return found;
        };
        of.collect(end, from + 1, &mut found);
        of.section.clear();
        of.places.clear();
        of.open = true;
        of.collect(rest, from + 1 + end.len(), &mut found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section of a PMT or a PAT, with its CRC.
    fn section(table_id: u8, extension: u8, version: u8, number: u8, content: u8) -> Vec<u8> {
        let mut section = vec![
            table_id,
            0xb0,
            13,
            0,
            extension,
            0xc1 | version << 1,
            number,
            1,
            0xe1,
            content,
            0xf0,
            0,
        ];
        section.extend(psi::crc32(&section).to_be_bytes());
        section
    }

    fn packet(pid: u8, sections: &[Vec<u8>]) -> [u8; PACKET] {
        let mut packet = [0xff; PACKET];
        packet[..5].copy_from_slice(&[0x47, 0x40, pid, 0x10, 0]);
        let content = sections.concat();
        packet[5..5 + content.len()].copy_from_slice(&content);
        packet
    }

    /// What becomes of the versions of sections, each with its PID.
    fn renewed(versions: &mut Versions, pid: u8, sections: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = packet(pid, sections);
        let before = packet;
        let changed = versions.renew(&mut packet, &[0]);
        assert_eq!(changed, packet != before);
        let found = Sections::default().packet(&packet, 0);
        let found: Vec<u8> = found.iter().map(|found| version(&found.section)).collect();
        assert_eq!(found.len(), sections.len(), "every CRC is right");
        found
    }

    #[test]
    fn a_table_has_another_version_when_it_says_something_new() {
        let mut versions = Versions::default();
        for (told, content, expected) in [
            (3, 0, 3),
            (3, 0, 3),
            (3, 1, 4),
            (3, 1, 4),
            (4, 2, 5),
            (0, 3, 0),
            (0, 2, 1),
            (31, 0, 31),
            (31, 1, 0),
        ] {
            let found = renewed(&mut versions, 0x50, &[section(2, 1, told, 0, content)]);
            assert_eq!(found, [expected], "{told} and {content}");
        }
    }

    #[test]
    fn tables_of_several_programs_in_one_pid_are_told_apart() {
        let mut versions = Versions::default();
        let both = |second| [section(2, 1, 0, 0, 7), section(2, 2, 0, 0, second)];
        for (second, expected) in [(8, [0, 0]), (8, [0, 0]), (9, [0, 1]), (9, [0, 1])] {
            assert_eq!(renewed(&mut versions, 0x50, &both(second)), expected);
        }
    }

    #[test]
    fn sections_of_one_table_have_one_version() {
        let mut versions = Versions::default();
        let both = |stream, second| [section(0, stream, 0, 0, 7), section(0, stream, 0, 1, second)];
        assert_eq!(renewed(&mut versions, 0, &both(1, 8)), [0, 0]);
        assert_eq!(renewed(&mut versions, 0, &both(1, 8)), [0, 0]);
        // The other section follows when it comes again.
        assert_eq!(renewed(&mut versions, 0, &both(1, 9)), [0, 1]);
        assert_eq!(renewed(&mut versions, 0, &both(1, 9)), [1, 1]);
        // Another stream has another PAT, and no receiver may pass over it.
        assert_eq!(renewed(&mut versions, 0, &both(2, 9)), [0, 0]);
    }

    #[test]
    fn what_stays_as_it_is_is_taken_note_of() {
        let mut versions = Versions::default();
        versions.note(&packet(0x50, &[section(2, 1, 5, 0, 0)]), &[0]);
        versions.note(&packet(0x50, &[section(2, 1, 6, 0, 0)]), &[0]);
        assert_eq!(renewed(&mut versions, 0x50, &[section(2, 1, 6, 0, 1)]), [7]);
    }
}
