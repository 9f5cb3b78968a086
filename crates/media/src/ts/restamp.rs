//! One timeline for transport packets that otherwise stay as they are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    MAX_STREAMS, NULL_PID, PAT_PID, Stats,
    coding::Coding,
    find_packets,
    frames::FrameAssembler,
    packet::{PACKET, Packet, SYNC},
    pes::{PesHeader, Stamps},
    psi::{self, EsInfo, Programs, Sections},
    stream::{Sink, Time, unroll},
};
use crate::{
    time::{MPEG_HZ, MPEG_WRAP, rescale, unwrap_33},
    timeline::{self, Clock, Start, Timeline},
    track::{Event, Sample, TrackId, TrackKind},
};

/// Time between tracks' ends and beginnings that is no reason to move anything, in ticks of 90 kHz.
const NO_HOLE: i64 = 45_000;
/// Streams whose counters are followed.
const MAX_COUNTERS: usize = 64;
/// Nothing is known of a counter.
const NO_COUNTER: u8 = 0xff;

/// Follows the times of the segments of a transport stream, and puts those right that do not go on from the segment before:
/// PTS, DTS and PCR (ISO 13818-1 §2.4.3.5, §2.4.3.7) by the rules of [`Timeline`], then continuity counters and the versions
/// of tables, so that all segments together are one stream.
///
/// Up to the first jump no byte is changed. It looks at headers alone, but for the last PES packet of sound in a segment,
/// whose frames tell how long it lasts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Restamper {
    timeline: Timeline,
    pat: Sections,
    /// By PID.
    pmts: Vec<(u16, Sections)>,
    programs: Programs,
    streams: Vec<Stream>,
    /// The Discontinuity Sequence Number of the latest segment, and how many of them brought other times.
    given: Option<u64>,
    period: u64,
    clock: Option<i64>,
    /// Something was moved.
    moves: bool,
    /// The counter of each PID's last packet, as it was written.
    counters: Vec<(u16, u8)>,
    tables: Vec<Table>,
}

/// A stream of pictures or sound.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stream {
    info: EsInfo,
    kind: TrackKind,
    /// Its number on the timeline: that of its role.
    number: usize,
    /// In the time of the source: when its last PES packet is decoded, and when the next one is due.
    last: Option<i64>,
    end: Option<i64>,
}

/// A table as it was written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    pid: u16,
    version: u8,
    /// All of it but version and CRC.
    content: Vec<u8>,
}

/// A PES packet that tells a time.
#[derive(Debug, Clone, Copy)]
struct Stamped {
    /// Where its transport packet begins.
    packet: usize,
    /// Where its header does.
    header: usize,
    pid: u16,
    stamps: Stamps,
    has_dts: bool,
    /// Among the streams.
    stream: Option<usize>,
    /// What becomes of them, in ticks.
    pts: i64,
    dts: i64,
    by: i64,
}

impl Restamper {
    /// Takes the segment of a Discontinuity Sequence Number, and puts its times right in place. Whether any byte changed.
    ///
    /// It lasts for `duration`, as its playlist says.
    pub fn segment(&mut self, discontinuity_sequence: u64, duration: Duration, bytes: &mut [u8]) -> bool {
        let (mut found, counters) = self.read(bytes);
        let is_new = self
            .given
            .replace(discontinuity_sequence)
            .is_some_and(|last| last != discontinuity_sequence);
        if is_new && !self.goes_on(&found) {
            self.period += 1;
            self.clock = None;
        }
        for stream in &self.streams {
            self.timeline.lasts(stream.number, duration);
        }
        self.place(bytes, &mut found);
        if !self.moves {
            for (pid, counter) in (0..NULL_PID).zip(counters).filter(|(_, counter)| *counter != NO_COUNTER) {
                self.counted(pid, counter);
            }
            return false;
        }
        self.write(bytes, &found)
    }

    /// So much is missing.
    pub fn gap(&mut self, duration: Duration) {
        for stream in &self.streams {
            self.timeline.gap(stream.number, duration);
        }
    }

    /// What was done to times.
    #[must_use]
    pub fn stats(&self) -> &timeline::Stats {
        self.timeline.stats()
    }

    /// Finds PES packets with their times, and takes note of the tables on the way. Also gives the last counter of each PID.
    fn read(&mut self, bytes: &[u8]) -> (Vec<Stamped>, Vec<u8>) {
        let (mut found, mut counters) = (Vec::new(), vec![NO_COUNTER; usize::from(NULL_PID) + 1]);
        for (at, packet) in packets(bytes) {
            let pid = pid(packet);
            if let Some(counter) = counters.get_mut(usize::from(pid)) {
                *counter = packet[3] & 0xf;
            }
            let is_table = self.is_table(pid);
            if packet[1] & 0x40 == 0 && !is_table {
                continue;
            }
            let parsed = Packet::parse(packet);
            let Some(payload) = parsed.payload.filter(|_| !parsed.error && !parsed.scrambled) else {
                continue;
            };
            if is_table {
                self.table(&parsed, payload);
                if parsed.unit_start {
                    self.version(&mut packet.clone());
                }
                continue;
            }
            if payload.first_chunk() != Some(&[0, 0, 1]) {
                continue;
            }
            let Ok(header) = PesHeader::parse(payload) else { continue };
            let Some(stamps) = header.stamps else { continue };
            found.push(Stamped {
                packet: at,
                header: at + PACKET - payload.len(),
                pid,
                stamps,
                has_dts: payload.get(7).is_some_and(|flags| flags >> 6 == 3) && header.len >= 19,
                stream: None,
                pts: 0,
                dts: 0,
                by: 0,
            });
        }
        for stamped in &mut found {
            stamped.stream = self.streams.iter().position(|stream| stream.info.pid == stamped.pid);
        }
        (found, counters)
    }

    fn table(&mut self, packet: &Packet<'_>, payload: &[u8]) {
        let mut stats = Stats::default();
        if packet.pid == PAT_PID {
            let programs = &mut self.programs;
            self.pat.push(payload, packet.unit_start, &mut stats, |section| {
                programs.take(section);
            });
            return;
        }
        let at = self.pmts.iter().position(|(pid, _)| *pid == packet.pid).unwrap_or_else(|| {
            self.pmts.push((packet.pid, Sections::default()));
            self.pmts.len() - 1
        });
        let mut infos = Vec::new();
        self.pmts[at].1.push(payload, packet.unit_start, &mut stats, |section| {
            infos = psi::streams(section).unwrap_or_default();
        });
        let mut counts = [(TrackKind::Video, 0_usize), (TrackKind::Audio, 0)];
        for info in infos {
            let Some(kind) = info.coding.kind() else { continue };
            let Some((_, place)) = counts.iter_mut().find(|(counted, _)| *counted == kind) else {
                continue;
            };
            // The first video of one program and of the next are the same track.
            let number = *place * 2 + usize::from(kind == TrackKind::Audio);
            *place += 1;
            if self.streams.iter().any(|known| known.info == info && known.number == number) {
                continue;
            }
            let before = self.streams.iter().find(|known| known.number == number).copied();
            self.streams.retain(|known| known.number != number && known.info.pid != info.pid);
            if self.streams.len() < MAX_STREAMS {
                self.streams.push(Stream {
                    info,
                    kind,
                    number,
                    last: before.and_then(|before| before.last),
                    end: before.and_then(|before| before.end),
                });
            }
        }
    }

    /// Whether the times of a new period go on from those before it.
    fn goes_on(&self, found: &[Stamped]) -> bool {
        let mut any = false;
        for (at, stream) in self.streams.iter().enumerate() {
            let first = found.iter().find(|stamped| stamped.stream == Some(at));
            let (Some(first), Some(last), Some(end)) = (first, stream.last, stream.end) else {
                continue;
            };
            let start = unwrap_33(first.stamps.dts, end);
            if start <= last || start < end - (end - last) / 8 || start - end > NO_HOLE {
                return false;
            }
            any = true;
        }
        any
    }

    /// Gives each PES packet its place on the timeline.
    fn place(&mut self, bytes: &[u8], found: &mut [Stamped]) {
        let mut times: Vec<Time> = Vec::with_capacity(found.len());
        for stamped in found.iter() {
            let mut own = self.clock;
            // What makes no track does not lead the clock.
            let clock = if stamped.stream.is_some() { &mut self.clock } else { &mut own };
            times.push(unroll(stamped.stamps, clock));
        }
        let mut starts: Vec<Start> = Vec::new();
        let mut lasts: Vec<Option<usize>> = vec![None; self.streams.len()];
        for (at, (stamped, time)) in found.iter().zip(&times).enumerate() {
            let Some(stream) = stamped.stream else { continue };
            let (number, kind) = (self.streams[stream].number, self.streams[stream].kind);
            if lasts[stream].replace(at).is_none() {
                starts.push(Start {
                    track: number,
                    dts: time.dts,
                    timescale: MPEG_HZ,
                    kind,
                });
            }
        }
        self.timeline.begin(self.period, &starts);
        for (at, (stamped, time)) in found.iter_mut().zip(&times).enumerate() {
            let Some(number) = stamped.stream else { continue };
            let stream = &mut self.streams[number];
            let duration = if lasts[number] == Some(at) {
                length(bytes, stamped, stream.info)
            } else {
                None
            };
            let sample = Sample {
                dts: time.dts,
                pts: time.pts,
                duration: duration.and_then(|duration| u32::try_from(duration).ok()),
                sync: true,
                data: (),
            };
            let placed = self.timeline.place(stream.number, self.period, Clock::Mpeg, MPEG_HZ, sample);
            let step = stream.last.map_or(0, |last| (time.dts - last).clamp(0, i64::from(MPEG_HZ)));
            stream.end = Some(time.dts.saturating_add(duration.unwrap_or(step)));
            stream.last = Some(time.dts);
            stamped.by = self.timeline.offset(stream.number);
            (stamped.pts, stamped.dts) = (placed.pts, placed.dts);
            // Whole turns of the clock make no difference.
            self.moves |= stamped.by.rem_euclid(MPEG_WRAP) != 0;
        }
        let mut by = found.iter().find(|stamped| stamped.stream.is_some()).map_or(0, |first| first.by);
        for (stamped, time) in found.iter_mut().zip(&times) {
            if stamped.stream.is_some() {
                by = stamped.by;
            } else {
                stamped.by = by;
                (stamped.pts, stamped.dts) = (time.pts.saturating_add(by), time.dts.saturating_add(by));
            }
        }
    }

    fn counted(&mut self, pid: u16, counter: u8) {
        let has_room = self.counters.len() < MAX_COUNTERS;
        match self.counters.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, known)) => *known = counter,
            None if has_room => self.counters.push((pid, counter)),
            None => {}
        }
    }

    /// Writes what was found out. Whether any byte is another now.
    fn write(&mut self, bytes: &mut [u8], found: &[Stamped]) -> bool {
        let mut changed = false;
        let mut stamped = found.iter().peekable();
        let first = found.first().map_or(0, |first| first.by);
        // What is added to the times of a PID, from its last PES packet on, and to its counter.
        let mut added: Vec<(u16, i64)> = Vec::new();
        for one in found {
            if added.iter().all(|(pid, _)| *pid != one.pid) && added.len() < MAX_COUNTERS {
                added.push((one.pid, one.by));
            }
        }
        let mut latest = first;
        let mut counted: Vec<(u16, u8)> = Vec::new();
        let places: Vec<usize> = packets(bytes).map(|(at, _)| at).collect();
        for at in places {
            let Some(packet) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<PACKET>()) else {
                break;
            };
            let before = *packet;
            let pid = pid(packet);
            if pid == NULL_PID || before[1] & 0x80 != 0 {
                continue;
            }
            if let Some(one) = stamped.next_if(|one| one.packet == at) {
                latest = one.by;
                if let Some((_, by)) = added.iter_mut().find(|(known, _)| *known == pid) {
                    *by = one.by;
                }
                put(packet, one.header - at + 9, one.pts);
                if one.has_dts {
                    put(packet, one.header - at + 14, one.dts);
                }
            }
            let by = added.iter().find(|(known, _)| *known == pid).map_or(latest, |(_, by)| *by);
            clock(packet, by);
            if packet[1] & 0x40 != 0 && self.is_table(pid) {
                self.version(packet);
            }
            // Without a payload the counter stands still (§2.4.3.3).
            let counter = packet[3] & 0xf;
            let delta = match counted.iter().find(|(known, _)| *known == pid) {
                Some((_, delta)) => *delta,
                None => {
                    let last = self.counters.iter().find(|(known, _)| *known == pid);
                    let due = last.map(|(_, last)| last.wrapping_add(u8::from(packet[3] & 0x10 != 0)) & 0xf);
                    let delta = due.map_or(0, |due| due.wrapping_sub(counter) & 0xf);
                    if counted.len() < MAX_COUNTERS {
                        counted.push((pid, delta));
                    }
                    delta
                }
            };
            packet[3] = packet[3] & 0xf0 | counter.wrapping_add(delta) & 0xf;
            let counter = packet[3] & 0xf;
            changed |= before != *packet;
            self.counted(pid, counter);
        }
        changed
    }

    fn is_table(&self, pid: u16) -> bool {
        pid == PAT_PID || self.programs.list().iter().any(|program| program.pid == pid)
    }

    /// Gives a table that says something new another version than the one before it (§2.4.4.5, §2.4.4.9), where it lies in one
    /// packet.
    fn version(&mut self, packet: &mut [u8; PACKET]) {
        let Some(length) = Packet::parse(packet).payload.map(<[u8]>::len) else {
            return;
        };
        let pid = pid(packet);
        let begin = PACKET - length;
        let pointer = usize::from(packet[begin]);
        let Some(section) = packet.get_mut(begin + 1 + pointer..) else {
            return;
        };
        let [_, high, low, ..] = *section else { return };
        let size = 3 + (usize::from(high & 0xf) << 8 | usize::from(low));
        let Some(section) = section
            .get_mut(..size)
            .filter(|section| section.len() > 12 && psi::crc32(section) == 0)
        else {
            return;
        };
        let told = section[5] >> 1 & 0x1f;
        let mut content = section[..section.len() - 4].to_vec();
        content[5] &= 0xc1;
        let has_room = self.tables.len() < MAX_COUNTERS;
        let version = match self
            .tables
            .iter_mut()
            .find(|table| table.pid == pid && table.content.first() == content.first())
        {
            Some(table) if table.content == content => table.version,
            Some(table) => {
                table.version = if told == table.version { (told + 1) & 0x1f } else { told };
                table.content = content;
                table.version
            }
            None if has_room => {
                self.tables.push(Table {
                    pid,
                    version: told,
                    content,
                });
                told
            }
            None => told,
        };
        if version != told {
            let section = &mut packet[begin + 1 + pointer..][..size];
            section[5] = section[5] & 0xc1 | version << 1;
            let end = size - 4;
            let crc = psi::crc32(&section[..end]);
            section[end..].copy_from_slice(&crc.to_be_bytes());
        }
    }
}

/// How long a PES packet of sound lasts, by its frames.
fn length(bytes: &[u8], stamped: &Stamped, info: EsInfo) -> Option<i64> {
    let Coding::Audio(codec) = info.coding else { return None };
    let mut assembler = FrameAssembler::new(codec, info.language);
    let (mut events, mut stats) = (Vec::new(), Stats::default());
    let mut sink = Sink {
        track: TrackId(0),
        max_unit: 1 << 20,
        events: &mut events,
        stats: &mut stats,
    };
    assembler.start(Some(Time { pts: 0, dts: 0 }));
    for (at, packet) in packets(bytes.get(stamped.packet..)?) {
        let parsed = Packet::parse(packet);
        let Some(payload) = parsed.payload.filter(|_| parsed.pid == stamped.pid) else {
            continue;
        };
        if at > 0 && parsed.unit_start {
            break;
        }
        let skip = if at == 0 { PesHeader::parse(payload).ok()?.len } else { 0 };
        assembler.data(payload.get(skip..)?, &mut sink);
    }
    assembler.flush(&mut sink);
    let (mut timescale, mut end) = (None, None);
    for event in events {
        match event {
            Event::Config { config, .. } => timescale = Some(config.timescale),
            Event::Sample { sample, .. } => end = sample.dts.checked_add(sample.duration?.into()),
        }
    }
    Some(rescale(end?, timescale?, MPEG_HZ))
}

/// The packets of a segment, with their places.
fn packets(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8; PACKET])> {
    let (mut at, mut stride) = find_packets(bytes).unwrap_or((bytes.len(), PACKET));
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        if rest.first() != Some(&SYNC) {
            let (next, other) = find_packets(rest)?;
            (at, stride) = (at + next, other);
        }
        let packet = bytes.get(at..)?.first_chunk()?;
        let here = at;
        at += stride;
        Some((here, packet))
    })
}

fn pid(packet: &[u8; PACKET]) -> u16 {
    u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])
}

/// Writes a PTS or DTS (§2.4.3.6) over another.
fn put(packet: &mut [u8; PACKET], at: usize, time: i64) {
    let Some(field) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<5>()) else {
        return;
    };
    let [b4, b3, b2, b1, b0, ..] = time.rem_euclid(MPEG_WRAP).to_le_bytes();
    let time = u64::from_be_bytes([0, 0, 0, b0, b1, b2, b3, b4]);
    let byte = |value: u64| value.to_le_bytes()[0];
    // The first four bits and the markers stay.
    field[0] = field[0] & 0xf1 | byte(time >> 30 & 7) << 1;
    field[1] = byte(time >> 22);
    field[2] = byte(time >> 15) << 1 | field[2] & 1;
    field[3] = byte(time >> 7);
    field[4] = byte(time) << 1 | field[4] & 1;
}

/// Adds to the PCR of a packet (§2.4.3.5), which goes on without a break then.
fn clock(packet: &mut [u8; PACKET], by: i64) {
    let has_field = packet[3] & 0x20 != 0 && packet[4] > 0;
    if !has_field {
        return;
    }
    packet[5] &= 0x7f;
    if packet[5] & 0x10 == 0 || packet[4] < 7 {
        return;
    }
    let [b0, b1, b2, b3, b4] = [packet[6], packet[7], packet[8], packet[9], packet[10]].map(i64::from);
    let base = b0 << 25 | b1 << 17 | b2 << 9 | b3 << 1 | b4 >> 7;
    let moved = base.saturating_add(by).rem_euclid(MPEG_WRAP);
    let byte = |value: i64| value.to_le_bytes()[0];
    packet[6] = byte(moved >> 25);
    packet[7] = byte(moved >> 17);
    packet[8] = byte(moved >> 9);
    packet[9] = byte(moved >> 1);
    packet[10] = packet[10] & 0x7f | byte(moved & 1) << 7;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(number: usize) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixture-server/media/high-ts");
        std::fs::read(format!("{folder}/{number}.ts")).unwrap()
    }

    // ISO 13818-1 §2.4.3.6: the bits of 2^32 + 5 among markers, as ffmpeg writes a PTS behind a prefix of 0011.
    #[test]
    fn stamps_and_clocks_keep_what_is_no_time() {
        let mut packet = [0xff; PACKET];
        put(&mut packet, 10, (1 << 32) + 5 + MPEG_WRAP);
        assert_eq!(packet[10..15], [0xf9, 0x00, 0x01, 0x00, 0x0b]);
        // §2.4.3.5: base 2^33 - 1 with an extension of 299, and six reserved bits.
        packet[3..12].copy_from_slice(&[0x20, 7, 0x90, 0xff, 0xff, 0xff, 0xff, 0xff, 0x2b]);
        clock(&mut packet, 2);
        assert_eq!(packet[3..12], [0x20, 7, 0x10, 0, 0, 0, 0, 0xff, 0x2b]);
    }

    #[test]
    fn a_table_that_changes_gets_another_version() {
        let (mut first, mut second) = (segment(0), segment(0));
        let pmt = packets(&second)
            .find(|(_, packet)| pid(packet) == 0x1000)
            .map(|(at, _)| at)
            .unwrap();
        // The PCR is said to be in another PID.
        let section = &mut second[pmt + 5..];
        let end = 3 + usize::from(section[2]) - 4;
        section[9] ^= 1;
        let crc = psi::crc32(&section[..end]);
        section[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        let version = |bytes: &[u8]| bytes[pmt + 5 + 5] >> 1 & 0x1f;
        let (before, told) = (version(&first), version(&second));
        assert_eq!(before, told);
        let mut restamper = Restamper::default();
        assert!(!restamper.segment(0, Duration::ZERO, &mut first));
        assert!(restamper.segment(1, Duration::ZERO, &mut second));
        assert_eq!(version(&second), before + 1);
        let section = &second[pmt + 5..];
        assert_eq!(psi::crc32(&section[..end + 4]), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(places: Vec<(u16, u8)>, periods in prop::collection::vec(0..3_u64, 1..6)) {
            let mut restamper = Restamper::default();
            for (number, period) in periods.into_iter().enumerate() {
                let mut bytes = segment(number);
                let length = bytes.len();
                for (place, value) in &places {
                    bytes[usize::from(*place) % length] = *value;
                }
                restamper.segment(period, Duration::from_secs(2), &mut bytes);
                prop_assert_eq!(bytes.len(), length);
            }
        }
    }
}
