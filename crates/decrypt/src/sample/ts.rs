//! MPEG-TS: elementary streams are taken out of their packets, decrypted and put back.
//!
//! Where emulation prevention bytes go, a stream gets shorter. Packets stay in number and order, so that counters and
//! clocks stay right, and what is free is stuffed (ISO 13818-1 §2.4.3.5).

use aes::Aes128;
use aqueduct_core::DecryptError;

use crate::chain::Chains;
use crate::media::{PACKET, SYNC};

use super::psi::{self, Codec};
use super::{audio, nal};

/// Encrypted streams, and packets of tables of programs, that are read; more is an attack, as each is a walk through the segment.
const MOST: usize = 64;

/// The programs of the last tables and their streams, and memory that is used again.
#[derive(Clone, Default)]
pub(crate) struct Ts {
    programs: Vec<Program>,
    stream: Stream,
}

/// The encrypted streams of the programs that one PID describes.
#[derive(Clone)]
struct Program {
    map: u16,
    streams: Vec<(u16, Codec)>,
}

/// One elementary stream of a segment.
#[derive(Clone, Default)]
struct Stream {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    pes: Vec<Pes>,
    removed: Vec<usize>,
}

/// Bytes of a stream in a packet, up to the packet's end.
#[derive(Clone, Copy)]
struct Piece {
    packet: usize,
    /// Where they are in the segment.
    at: usize,
    length: usize,
}

/// A PES packet (§2.4.3.6).
#[derive(Clone, Copy)]
struct Pes {
    /// Its first piece.
    piece: usize,
    /// Where it begins in the stream.
    start: usize,
    /// Where its `PES_packet_length` is.
    length_at: Option<usize>,
}

impl Ts {
    /// Decrypts a segment where it is: the streams of all its programs, or of those that were told of before it.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Media`] for more programs or streams than any stream has.
    pub(crate) fn decrypt(&mut self, data: &mut [u8], cipher: &Aes128, iv: [u8; 16], chains: &mut Chains) -> Result<(), DecryptError> {
        self.read_tables(data)?;
        let mut streams: Vec<(u16, Codec)> = Vec::new();
        for &(pid, codec) in self.programs.iter().flat_map(|program| &program.streams) {
            // Programs may share a stream.
            if streams.iter().all(|(known, _)| *known != pid) {
                bound(streams.len())?;
                streams.push((pid, codec));
            }
        }
        for (pid, codec) in streams {
            self.stream.gather(data, pid);
            match codec {
                Codec::H264 => {
                    nal::decrypt(&mut self.stream.bytes, cipher, iv, chains, &mut self.stream.removed);
                }
                Codec::Audio => audio::decrypt(&mut self.stream.bytes, cipher, iv, chains),
            }
            self.stream.scatter(data);
        }
        Ok(())
    }

    /// Learns what is encrypted, and takes every word of it out of the tables.
    fn read_tables(&mut self, data: &mut [u8]) -> Result<(), DecryptError> {
        let mut maps = Vec::new();
        sections(data, 0, |section| {
            for map in psi::program_maps(section).into_iter().flatten() {
                if !maps.contains(&map) {
                    maps.push(map);
                }
            }
            None
        });
        bound(maps.len().saturating_sub(1))?;
        if !maps.is_empty() {
            self.programs.retain(|program| maps.contains(&program.map));
            for map in maps {
                if self.programs.iter().all(|program| program.map != map) {
                    let streams = Vec::new();
                    self.programs.push(Program { map, streams });
                }
            }
        }
        for Program { map, streams } in &mut self.programs {
            // A PID may carry the tables of several programs (§2.4.4.4), each over and over.
            let mut told: Option<Vec<(u16, Codec)>> = None;
            sections(data, *map, |section| {
                let (plain, more) = psi::plain_program(section)?;
                let told = told.get_or_insert_default();
                for stream in more {
                    if told.len() <= MOST && !told.contains(&stream) {
                        told.push(stream);
                    }
                }
                Some(plain)
            });
            if let Some(told) = told {
                *streams = told;
            }
        }
        Ok(())
    }
}

/// Whether there may be one more than `count`.
fn bound(count: usize) -> Result<(), DecryptError> {
    if count < MOST {
        return Ok(());
    }
    Err(DecryptError::Media {
        what: format!("MPEG-TS of more than {MOST} programs or encrypted streams"),
    })
}

/// A packet with a payload: where it begins, whether a unit begins in it, and where the payload is (§2.4.3.2).
fn payloads(data: &[u8], pid: u16) -> impl Iterator<Item = (usize, bool, usize)> {
    data.chunks_exact(PACKET).enumerate().filter_map(move |(number, packet)| {
        let [sync, b1, b2, b3, length, ..] = *packet else { return None };
        let found = u16::from(b1 & 0x1f) << 8 | u16::from(b2);
        // Not that PID, broken, scrambled, or without a payload.
        if sync != SYNC || found != pid || b1 & 0x80 != 0 || b3 & 0xc0 != 0 || b3 & 0x10 == 0 {
            return None;
        }
        let payload = if b3 & 0x20 == 0 { 4 } else { 5 + usize::from(length) };
        (payload < PACKET).then_some((number * PACKET, b1 & 0x40 != 0, number * PACKET + payload))
    })
}

/// Takes the sections of a PID through `each`, and puts back what it makes of them.
fn sections(data: &mut [u8], pid: u16, mut each: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
    let mut places: Vec<std::ops::Range<usize>> = Vec::new();
    let mut runs: Vec<Vec<std::ops::Range<usize>>> = Vec::new();
    let mut open = false;
    for (packet, unit_start, payload) in payloads(data, pid) {
        let end = packet + PACKET;
        if !unit_start {
            if open {
                places.push(payload..end);
            }
            continue;
        }
        // The pointer says where the first new section begins (§2.4.4.2).
        let start = (payload + 1 + data.get(payload).copied().map_or(0, usize::from)).min(end);
        if open {
            places.push(payload + 1..start);
            runs.push(std::mem::take(&mut places));
        }
        places.push(start..end);
        open = true;
    }
    runs.push(places);
    let mut run = Vec::new();
    for places in runs {
        run.clear();
        places
            .iter()
            .for_each(|place| run.extend_from_slice(data.get(place.clone()).unwrap_or(&[])));
        psi::sections(&mut run, &mut each);
        let mut rest = &run[..];
        for place in places {
            let Some((piece, next)) = rest.split_at_checked(place.len()) else {
                break;
            };
            if let Some(target) = data.get_mut(place) {
                target.copy_from_slice(piece);
            }
            rest = next;
        }
    }
}

impl Stream {
    /// Takes the stream of a PID out of its packets.
    fn gather(&mut self, data: &[u8], pid: u16) {
        self.bytes.clear();
        self.pieces.clear();
        self.pes.clear();
        self.removed.clear();
        // Bytes of a PES header that are still to come.
        let mut header = 0;
        for (packet, unit_start, payload) in payloads(data, pid) {
            let end = packet + PACKET;
            let content = data.get(payload..end).unwrap_or(&[]);
            if unit_start || self.pes.is_empty() {
                // §2.4.3.6: start code, stream, length, two bytes of flags, and the length of what follows.
                let begins = unit_start && content.starts_with(&[0, 0, 1]);
                header = match content.get(8) {
                    Some(length) if begins => 9 + usize::from(*length),
                    _ => 0,
                };
                self.pes.push(Pes {
                    piece: self.pieces.len(),
                    start: self.bytes.len(),
                    length_at: begins.then_some(payload + 4),
                });
            }
            let skip = header.min(content.len());
            header -= skip;
            let bytes = content.get(skip..).unwrap_or(&[]);
            self.pieces.push(Piece {
                packet,
                at: payload + skip,
                length: bytes.len(),
            });
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Puts the stream back, of which the bytes in `removed` are gone.
    fn scatter(&mut self, data: &mut [u8]) {
        let mut from = 0;
        let mut removed = self.removed.iter().peekable();
        for (number, pes) in self.pes.iter().enumerate() {
            let next = self.pes.get(number + 1);
            let end = next.map_or(usize::MAX, |next| next.start);
            let mut less = 0;
            while removed.next_if(|at| **at < end).is_some() {
                less += 1;
            }
            let pieces = self.pieces.get(pes.piece..next.map_or(self.pieces.len(), |next| next.piece));
            let pieces = pieces.unwrap_or(&[]);
            if let Some(at) = pes.length_at.filter(|_| less > 0) {
                shorten(data, at, less);
            }
            // The last packets give way first, but each keeps a byte: counters count packets with a payload.
            let keep = pieces.iter().filter(|piece| piece.length > 0).count();
            let room: usize = pieces.iter().map(|piece| piece.length).sum();
            let keep_one = room.saturating_sub(keep) >= less;
            let mut left = room.saturating_sub(less);
            let mut behind = keep;
            for piece in pieces.iter().filter(|piece| piece.length > 0) {
                behind -= 1;
                let reserved = if keep_one { behind } else { 0 };
                let length = piece.length.min(left.saturating_sub(reserved));
                left -= length;
                let bytes = self.bytes.get(from..from + length).unwrap_or(&[]);
                from += length;
                if let Some(packet) = data.get_mut(piece.packet..piece.packet + PACKET) {
                    put(packet, piece.at - piece.packet, bytes);
                }
            }
        }
    }
}

/// Takes `less` from a `PES_packet_length`, unless it is 0, which says nothing.
fn shorten(data: &mut [u8], at: usize, less: usize) {
    if let Some(field) = data.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) {
        let length = u16::from_be_bytes(*field);
        if length != 0 {
            *field = length.saturating_sub(u16::try_from(less).unwrap_or(u16::MAX)).max(1).to_be_bytes();
        }
    }
}

/// Puts `bytes` where the content at `at` was, up to the end of the packet. What is free goes into the adaptation
/// field, in front of a PES header (§2.4.3.4).
fn put(packet: &mut [u8], at: usize, bytes: &[u8]) {
    let free = packet.len().saturating_sub(at + bytes.len());
    if free > 0 {
        let adapted = packet.get(3).is_some_and(|flags| flags & 0x20 != 0);
        let field = packet.get(4).copied().filter(|_| adapted);
        let payload = field.map_or(4, |length| 5 + usize::from(length));
        packet.copy_within(payload..at, payload + free);
        // Without a field, its length byte is part of the stuffing.
        let length = field.map_or(free - 1, |length| usize::from(length) + free);
        let stuffed = packet.get_mut(payload..payload + free).unwrap_or(&mut []);
        stuffed.fill(0xff);
        if let (Some(field), Ok(length)) = (packet.get_mut(4), u8::try_from(length)) {
            *field = length;
        }
        // The flags of a field that is new or was empty.
        if length > 0
            && field.is_none_or(|length| length == 0)
            && let Some(flags) = packet.get_mut(5)
        {
            *flags = 0;
        }
        let empty = payload + free >= PACKET;
        if let Some(flags) = packet.get_mut(3) {
            *flags = if empty { *flags & !0x10 | 0x20 } else { *flags | 0x20 };
        }
    }
    if let Some(target) = packet.get_mut(at + free..) {
        target.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use aes::cipher::KeyInit;
    use proptest::prelude::*;

    use super::*;

    const PID: u16 = 0x100;

    /// PES packets of a stream in transport packets, the last of each stuffed.
    fn packets(units: &[Vec<u8>]) -> Vec<u8> {
        let mut segment = Vec::new();
        for unit in units {
            let length = u16::try_from(unit.len() + 3).unwrap_or(0).to_be_bytes();
            let pes = [&[0, 0, 1, 0xe0, length[0], length[1], 0x80, 0, 0], &unit[..]].concat();
            for (number, payload) in pes.chunks(184).enumerate() {
                let mut packet = [0xff; PACKET];
                packet[..4].copy_from_slice(&[SYNC, 1, 0, 0x10]);
                packet[1] |= if number == 0 { 0x40 } else { 0 };
                put(&mut packet, 4, payload);
                segment.extend_from_slice(&packet);
            }
        }
        segment
    }

    fn units(segment: &[u8]) -> Vec<Vec<u8>> {
        let mut units: Vec<Vec<u8>> = Vec::new();
        for (packet, start, payload) in payloads(segment, PID) {
            let mut content = &segment[payload..packet + PACKET];
            if start {
                units.push(Vec::new());
                content = &content[9..];
            }
            units.last_mut().unwrap().extend_from_slice(content);
        }
        units
    }

    fn told(map: u16, streams: Vec<(u16, Codec)>) -> Ts {
        Ts {
            programs: vec![Program { map, streams }],
            ..Ts::default()
        }
    }

    proptest! {
        #[test]
        fn streams_that_get_shorter_are_stuffed_and_keep_their_packets(
            units_in in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![0_u8, 0, 3, 1, 0x65, 9]), 1..1200), 1..5),
        ) {
            let sealed = packets(&units_in);
            prop_assert_eq!(&units(&sealed), &units_in);
            let cipher = Aes128::new(&[7; 16].into());
            let mut ts = told(0x20, vec![(PID, Codec::H264)]);
            let mut opened = sealed.clone();
            ts.decrypt(&mut opened, &cipher, [0; 16], &mut Chains::default()).unwrap();

            let mut stream = units_in.concat();
            let mut removed = Vec::new();
            let length = nal::decrypt(&mut stream, &cipher, [0; 16], &mut Chains::default(), &mut removed);
            prop_assert_eq!(units(&opened).concat(), &stream[..length]);
            prop_assert_eq!(units(&opened).len(), units_in.len());
            prop_assert_eq!(payloads(&opened, PID).count(), payloads(&sealed, PID).count());
            for (packet, _, payload) in payloads(&opened, PID).filter(|(_, start, _)| *start) {
                let unit = units(&opened[packet..]).remove(0);
                let field = u16::from_be_bytes([opened[payload + 4], opened[payload + 5]]);
                prop_assert_eq!(usize::from(field), unit.len() + 3);
            }
        }

        #[test]
        fn no_packets_make_it_panic(bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 0x40, 0x47, 0x30, 0xdb, 0xff]), 0..1200)) {
            let mut data = bytes;
            data.iter_mut().step_by(PACKET).for_each(|byte| *byte = SYNC);
            let mut ts = told(0, vec![(0, Codec::H264), (1, Codec::Audio)]);
            let _ = ts.decrypt(&mut data, &Aes128::new(&[7; 16].into()), [0; 16], &mut Chains::default());
        }
    }
}
