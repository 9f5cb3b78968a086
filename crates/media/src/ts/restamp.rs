//! One timeline for transport packets that otherwise stay as they are.

mod counters;
mod fields;
mod programs;
#[cfg(test)]
mod tests;
mod versions;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::{
    counters::Counters,
    programs::{Roles, Stream},
    versions::Versions,
};
use super::{
    NULL_PID, Stats,
    coding::Coding,
    find_packets,
    frames::FrameAssembler,
    packet::{PACKET, Packet, SYNC},
    pes::{PesHeader, Stamps},
    psi::EsInfo,
    stream::{Sink, Time, unroll},
};
use crate::{
    time::{MPEG_HZ, MPEG_WRAP, rescale, unwrap_33},
    timeline::{self, Clock, Start, Timeline},
    track::{Event, Sample, TrackId},
};

/// Time between tracks' ends and beginnings that is no reason to move anything, in ticks of 90 kHz.
const NO_HOLE: i64 = 45_000;
/// PIDs whose counters and shifts are followed.
const MAX_PIDS: usize = 64;

/// Follows the times of the segments of a transport stream, and puts those right that do not go on from the segment before:
/// PTS, DTS, ESCR and PCR (ISO 13818-1 §2.4.3.5, §2.4.3.7) by the rules of [`Timeline`], then continuity counters and the
/// versions of tables, so that all segments together are one stream.
///
/// Up to the first jump no byte is changed. It looks at headers alone, but for the last PES packet of sound in a segment,
/// whose frames tell how long it lasts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Restamper {
    timeline: Timeline,
    roles: Roles,
    /// Where each track of the timeline is, by its number.
    reached: Vec<(usize, Reached)>,
    /// The Discontinuity Sequence Number of the latest segment that told a time, and how many of them brought other times.
    given: Option<u64>,
    period: u64,
    clock: Option<i64>,
    /// Something was moved.
    moves: bool,
    /// What was added to the latest time, in ticks.
    by: i64,
    counters: Counters,
    versions: Versions,
}

/// Where a track is, in the time of its source.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Reached {
    /// When its last PES packet is decoded.
    last: i64,
    /// When the next one is due.
    end: i64,
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
    /// What it is of, by the PMT in force.
    stream: Option<Stream>,
    /// What becomes of them, in ticks.
    pts: i64,
    dts: i64,
    by: i64,
}

impl Stamped {
    /// How far a clock is from the time of its source, in ticks, modulo 2³³.
    fn distance(&self, clock: i64) -> i64 {
        unwrap_33(clock.cast_unsigned(), self.stamps.dts.cast_signed())
            .abs_diff(self.stamps.dts.cast_signed())
            .cast_signed()
    }
}

/// What was found in a segment.
#[derive(Debug)]
struct Found {
    stamped: Vec<Stamped>,
    /// Where packets of tables are.
    tables: Vec<usize>,
    /// The last counter of each PID.
    counters: Counters,
}

impl Restamper {
    /// Takes the segment of a Discontinuity Sequence Number, and puts its times right in place. Whether any byte changed.
    ///
    /// It lasts for `duration`, as its playlist says.
    pub fn segment(&mut self, discontinuity_sequence: u64, duration: Duration, bytes: &mut [u8]) -> bool {
        let mut found = self.read(bytes);
        let is_timed = found.stamped.iter().any(|stamped| stamped.stream.is_some());
        let is_new = is_timed
            && self
                .given
                .replace(discontinuity_sequence)
                .is_some_and(|last| last != discontinuity_sequence);
        if is_new && !self.goes_on(&found.stamped) {
            self.period += 1;
            self.clock = None;
        }
        for stream in found.stamped.iter().filter_map(|stamped| stamped.stream) {
            self.timeline.lasts(stream.number, duration);
        }
        self.place(bytes, &mut found.stamped);
        if self.moves {
            return self.versions.renew(bytes, &found.tables) | self.write(bytes, &found);
        }
        self.counters.put_on(&found.counters);
        self.versions.note(bytes, &found.tables);
        false
    }

    /// So much is missing.
    pub fn gap(&mut self, duration: Duration) {
        for (number, _) in &self.reached {
            self.timeline.gap(*number, duration);
        }
    }

    /// What is added to the times of the first track, in ticks of 90 kHz; `None` before they are known.
    #[must_use]
    pub fn added(&self) -> Option<i64> {
        let (number, _) = self.reached.iter().min_by_key(|(number, _)| *number)?;
        Some(self.timeline.offset(*number))
    }

    /// What was done to times.
    #[must_use]
    pub fn stats(&self) -> &timeline::Stats {
        self.timeline.stats()
    }

    /// Finds PES packets with their times, and takes note of the tables on the way.
    fn read(&mut self, bytes: &[u8]) -> Found {
        let mut found = Found {
            stamped: Vec::new(),
            tables: Vec::new(),
            counters: Counters::default(),
        };
        for (at, packet) in packets(bytes) {
            let pid = pid(packet);
            if pid == NULL_PID || packet[1] & 0x80 != 0 {
                continue;
            }
            found.counters.note(pid, packet[3] & 0xf);
            let is_table = self.roles.is_table(pid);
            if packet[1] & 0x40 == 0 && !is_table {
                continue;
            }
            let parsed = Packet::parse(packet);
            let Some(payload) = parsed.payload.filter(|_| !parsed.scrambled) else {
                continue;
            };
            if is_table {
                self.roles.take(&parsed, payload);
                found.tables.push(at);
                continue;
            }
            let Ok(header) = PesHeader::parse(payload) else { continue };
            let Some(stamps) = header.stamps else { continue };
            found.stamped.push(Stamped {
                packet: at,
                header: at + PACKET - payload.len(),
                pid,
                stamps,
                has_dts: payload.get(7).is_some_and(|flags| flags >> 6 == 3) && header.len >= 19,
                stream: self.roles.of(pid),
                pts: 0,
                dts: 0,
                by: 0,
            });
        }
        // What comes in front of the tables is what they say later.
        for stamped in found.stamped.iter_mut().filter(|stamped| stamped.stream.is_none()) {
            stamped.stream = self.roles.of(stamped.pid);
        }
        found
    }

    /// Whether the times of a new period go on from those before it.
    fn goes_on(&self, found: &[Stamped]) -> bool {
        let mut any = false;
        for (number, Reached { last, end }) in &self.reached {
            let first = found
                .iter()
                .find(|stamped| stamped.stream.is_some_and(|stream| stream.number == *number));
            let Some(first) = first else { continue };
            let start = unwrap_33(first.stamps.dts, *end);
            if start <= *last || start < end - (end - last) / 8 || start - end > NO_HOLE {
                return false;
            }
            any = true;
        }
        any
    }

    /// Gives each PES packet its place on the timeline.
    fn place(&mut self, bytes: &[u8], found: &mut [Stamped]) {
        let mut times: Vec<Time> = Vec::with_capacity(found.len());
        let mut starts: Vec<Start> = Vec::new();
        // The last PES packet of each track, by its number.
        let mut lasts: Vec<(usize, usize)> = Vec::new();
        for (at, stamped) in found.iter().enumerate() {
            let Some(Stream { number, kind, .. }) = stamped.stream else {
                // What makes no track does not lead the clock.
                times.push(unroll(stamped.stamps, &mut self.clock.clone()));
                continue;
            };
            let time = unroll(stamped.stamps, &mut self.clock);
            times.push(time);
            if let Some((_, last)) = lasts.iter_mut().find(|(known, _)| *known == number) {
                *last = at;
                continue;
            }
            lasts.push((number, at));
            starts.push(Start {
                track: number,
                dts: time.dts,
                timescale: MPEG_HZ,
                kind,
            });
        }
        self.timeline.begin(self.period, &starts);
        for (at, (stamped, time)) in found.iter_mut().zip(&times).enumerate() {
            let Some(Stream { number, info, .. }) = stamped.stream else {
                continue;
            };
            let duration = if lasts.contains(&(number, at)) {
                length(bytes, stamped, info)
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
            let placed = self.timeline.place(number, self.period, Clock::Mpeg, MPEG_HZ, sample);
            self.reach(number, time.dts, duration);
            stamped.by = self.timeline.offset(number);
            (stamped.pts, stamped.dts) = (placed.pts, placed.dts);
            // Whole turns of the clock make no difference.
            self.moves |= stamped.by.rem_euclid(MPEG_WRAP) != 0;
        }
        if let Some(first) = found.iter().find(|stamped| stamped.stream.is_some()) {
            self.by = first.by;
        }
        for (stamped, time) in found.iter_mut().zip(&times) {
            if stamped.stream.is_some() {
                self.by = stamped.by;
            } else {
                stamped.by = self.by;
                (stamped.pts, stamped.dts) = (time.pts.saturating_add(self.by), time.dts.saturating_add(self.by));
            }
        }
    }

    /// Takes note of where a track is: its next packet is due as long after this one as it lasts.
    fn reach(&mut self, number: usize, dts: i64, duration: Option<i64>) {
        let known = self.reached.iter_mut().find(|(known, _)| *known == number);
        let last = known.as_ref().map(|(_, reached)| reached.last);
        let step = last.map_or(0, |last| dts.saturating_sub(last).clamp(0, i64::from(MPEG_HZ)));
        let now = Reached {
            last: dts,
            end: dts.saturating_add(duration.unwrap_or(step)),
        };
        match known {
            Some((_, reached)) => *reached = now,
            None => self.reached.push((number, now)),
        }
    }

    /// Writes what was found out. Whether any byte is another now.
    fn write(&mut self, bytes: &mut [u8], Found { stamped, tables, .. }: &Found) -> bool {
        let mut changed = false;
        let (first, mut tables) = (stamped.first(), tables.iter().peekable());
        // The PES packet that a PID is in; in front of its first, that one.
        let mut within: Vec<(u16, &Stamped)> = Vec::new();
        for one in stamped {
            if within.iter().all(|(pid, _)| *pid != one.pid) && within.len() < MAX_PIDS {
                within.push((one.pid, one));
            }
        }
        let mut stamped = stamped.iter().peekable();
        let mut counted: Vec<(u16, u8)> = Vec::new();
        let mut latest = first;
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
                latest = Some(one);
                if let Some((_, of)) = within.iter_mut().find(|(known, _)| *known == pid) {
                    *of = one;
                }
                fields::stamp(packet, one.header - at + 9, one.pts);
                if one.has_dts {
                    fields::stamp(packet, one.header - at + 14, one.dts);
                }
            }
            let own = within.iter().find(|(known, _)| *known == pid).map(|(_, of)| *of);
            // Without a time of its own, a segment goes on with that of the one before.
            let by = own.or(latest).map_or(self.by, |of| of.by);
            let clock = fields::base(packet).map_or(by, |clock| {
                // A clock may start over in front of the first PES packet that counts by it: of its own stream, if that has any.
                let next = stamped.clone().take(MAX_PIDS).find(|one| own.is_none() || one.pid == pid);
                let near = [own.or(latest), next].into_iter().flatten();
                near.min_by_key(|of| of.distance(clock)).map_or(by, |of| of.by)
            });
            fields::clock(packet, clock);
            let is_table = tables.next_if(|table| **table == at).is_some();
            if packet[1] & 0x40 != 0 && !is_table {
                fields::stream_clock(packet, by);
            }
            // Without a payload the counter stands still (§2.4.3.3).
            let counter = packet[3] & 0xf;
            let delta = match counted.iter().find(|(known, _)| *known == pid) {
                Some((_, delta)) => *delta,
                None => {
                    let last = self.counters.last(pid);
                    let due = last.map(|last| last.wrapping_add(u8::from(packet[3] & 0x10 != 0)) & 0xf);
                    let delta = due.map_or(0, |due| due.wrapping_sub(counter) & 0xf);
                    if counted.len() < MAX_PIDS {
                        counted.push((pid, delta));
                    }
                    delta
                }
            };
            packet[3] = packet[3] & 0xf0 | counter.wrapping_add(delta) & 0xf;
            let counter = packet[3] & 0xf;
            changed |= before != *packet;
            self.counters.note(pid, counter);
        }
        changed
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
