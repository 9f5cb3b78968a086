//! MPEG transport streams (ISO 13818-1) with H.264 or HEVC, and AAC (ADTS, LATM), MPEG audio, AC-3, E-AC-3 or Opus.
//!
//! [`Demuxer`] takes the bytes of successive segments in any pieces and gives access units in the form of
//! ISO BMFF. It never fails: damage costs the access units that it hit and is counted in [`Stats`].
//!
//! ```
//! use aqueduct_media::{Event, ts::Demuxer};
//!
//! # let segments: [&[u8]; 0] = [];
//! let mut demuxer = Demuxer::default();
//! let mut events = Vec::new();
//! for segment in segments {
//!     demuxer.push(segment, &mut events);
//!     demuxer.boundary(&mut events);
//!     for event in events.drain(..) {
//!         match event {
//!             Event::Config { track, config } => println!("{track:?} is {:?}", config.kind),
//!             Event::Sample { sample, .. } => println!("{} bytes at {}", sample.data.len(), sample.pts),
//!         }
//!     }
//! }
//! demuxer.finish(&mut events);
//! assert_eq!(demuxer.stats().damaged_units, 0);
//! ```

mod coding;
mod continuity;
mod early;
pub(crate) mod frames;
mod metadata;
mod packet;
mod pes;
mod psi;
mod recount;
mod restamp;
mod stats;
pub(crate) mod stream;
mod video;
mod write;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::{
    coding::Coding,
    early::{Early, Held},
    metadata::Metadata,
    packet::{Framer, PACKET, Packet},
    psi::{Programs, Sections},
    stream::{Sink, Stream},
};
use crate::{
    emsg::{MOST_AT_ONCE, Message},
    time::mpeg_ticks,
    track::{Event, TrackId, TrackKind},
};

pub use self::{
    coding::DataKind,
    packet::find_packets,
    recount::{Recount, are_the_same_packets, have_metadata},
    restamp::Restamper,
    stats::Stats,
    write::{WriteStats, Writer},
};

/// The PID of the PAT (ISO 13818-1 table 2-3).
const PAT_PID: u16 = 0;
/// Null packets.
const NULL_PID: u16 = 0x1fff;
/// PIDs below are for tables (ISO 13818-1 table 2-3, ETSI EN 300 468 §5.1.3), of which only the PAT matters here.
const FIRST_FREE_PID: u16 = 0x20;
/// Elementary streams that are taken; each may hold an access unit in progress.
const MAX_STREAMS: usize = 32;

/// Limits of a [`Demuxer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Options {
    /// The largest access unit that is put together, in bytes; a larger one is dropped and counted.
    /// It bounds the memory of each stream. 32 MiB by default.
    pub max_unit_bytes: usize,
    /// Whether ID3 tags are kept for [`Demuxer::take_messages`] instead of counted. They are not by default.
    pub messages: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_unit_bytes: 32 << 20,
            messages: false,
        }
    }
}

/// From transport packets to access units.
///
/// Takes one program of the stream: the first whose PMT comes and names pictures or sound. Tracks are numbered by their role, so that they keep their number
/// when packet identifiers change: the first video stream of one PMT and of the next are the same track.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Demuxer {
    framer: Framer,
    inner: Inner,
}

/// What the framer feeds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Inner {
    options: Options,
    stats: Stats,
    pat: Sections,
    /// By PID, while programs are on offer.
    pmts: Vec<(u16, Sections)>,
    programs: Programs,
    /// The number of the program that is taken.
    chosen: Option<u16>,
    /// The PMT section in force, to see whether the next one says anything new.
    program: Vec<u8>,
    /// What came before it is known what is in it.
    early: Early,
    streams: Vec<Stream>,
    /// PIDs of streams that make no track.
    data: Vec<(u16, DataKind, Metadata)>,
    messages: Vec<Message>,
    /// By track number.
    roles: Vec<Role>,
    clock: Option<i64>,
}

/// What a track is to its program.
#[derive(Debug, Serialize, Deserialize)]
struct Role {
    kind: TrackKind,
    /// Its place among the streams of that kind.
    place: usize,
    /// Whether it had a sample.
    brought: bool,
}

impl Demuxer {
    /// A demuxer with these limits.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            framer: Framer::default(),
            inner: Inner {
                options,
                ..Inner::default()
            },
        }
    }

    /// Takes the next bytes and appends what they complete to `events`. An access unit is complete when the
    /// next one of its stream begins.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        let Self { framer, inner } = self;
        let mut stats = std::mem::take(&mut inner.stats);
        framer.push(bytes, &mut stats, |packet, stats| inner.packet(packet, stats, events));
        inner.stats = stats;
    }

    /// A segment ends here and the next one begins: an unfinished packet is dropped, and continuity counters
    /// may start anew. Access units in progress are still open.
    pub fn boundary(&mut self, events: &mut Vec<Event>) {
        let Self { framer, inner } = self;
        let mut stats = std::mem::take(&mut inner.stats);
        framer.finish(&mut stats, |packet, stats| inner.packet(packet, stats, events));
        inner.boundary(&mut stats, events);
        stats.packets_before_pmt += inner.early.boundary();
        inner.stats = stats;
    }

    /// The segment that was pushed last was cut short: pictures in progress are not whole, and are dropped. Sound tells its length.
    pub fn cut(&mut self) {
        let Inner {
            streams, stats, options, ..
        } = &mut self.inner;
        for stream in streams {
            let track = stream.track;
            stream.cut(&mut Sink {
                track,
                max_unit: options.max_unit_bytes,
                events: &mut Vec::new(),
                stats,
            });
        }
    }

    /// Segments are missing here, as is known already: counters need not go on.
    pub fn gap(&mut self) {
        self.inner.streams.iter_mut().for_each(Stream::gap);
    }

    /// Media of this length is passed over: access units in progress are complete, time stamps go on behind it, and video has to
    /// begin with a random access point again.
    pub fn skip(&mut self, passed: Duration, events: &mut Vec<Event>) {
        self.finish(events);
        self.inner.clock = self.inner.clock.map(|clock| clock.saturating_add(mpeg_ticks(passed)));
        for stream in &mut self.inner.streams {
            stream.restart();
        }
    }

    /// What comes next is unrelated to what came before (RFC 8216 §4.3.2.3): access units in progress are
    /// complete, time stamps may start anywhere, and video has to begin with a random access point again.
    /// A PAT and a PMT that are already known stay in force.
    pub fn discontinuity(&mut self, events: &mut Vec<Event>) {
        self.finish(events);
        self.inner.clock = None;
        for stream in &mut self.inner.streams {
            stream.restart();
        }
    }

    /// The stream ends: appends the access units in progress.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        self.boundary(events);
        self.inner.pat.reset();
        self.inner.pmts.clear();
        let Inner {
            streams,
            stats,
            options,
            data,
            early,
            ..
        } = &mut self.inner;
        stats.packets_before_pmt += early.forget();
        for (_, kind, metadata) in data {
            count(stats, *kind, metadata.abandon());
        }
        let before = events.len();
        for stream in streams {
            let track = stream.track;
            stream.flush(&mut Sink {
                track,
                max_unit: options.max_unit_bytes,
                events,
                stats,
            });
        }
        self.inner.note_samples(events.get(before..));
    }

    /// The kinds of the streams that a PMT promised and that brought no sample so far.
    pub fn silent(&self) -> impl Iterator<Item = TrackKind> {
        self.inner.roles.iter().filter(|role| !role.brought).map(|role| role.kind)
    }

    /// Takes the messages of what was pushed: ID3 tags in streams beside pictures and sound, whose times count as those of the
    /// samples do. There are none unless the [`Options`] ask for them.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.inner.messages)
    }

    /// What was wrong so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }
}

impl Inner {
    fn packet(&mut self, bytes: &[u8; PACKET], stats: &mut Stats, events: &mut Vec<Event>) {
        let packet = Packet::parse(bytes);
        if packet.pid == NULL_PID {
            return;
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.info.pid == packet.pid) {
            let track = stream.track;
            let max_unit = self.options.max_unit_bytes;
            let before = events.len();
            stream.packet(
                &packet,
                &mut self.clock,
                &mut Sink {
                    track,
                    max_unit,
                    events,
                    stats,
                },
            );
            self.note_samples(events.get(before..));
            return;
        }
        let Some(payload) = packet.payload.filter(|_| !packet.error && !packet.scrambled) else {
            return;
        };
        if let Some((_, kind, metadata)) = self.data.iter_mut().find(|(pid, ..)| *pid == packet.pid) {
            if self.options.messages && *kind == DataKind::Id3 {
                let brought = metadata.packet(&packet, payload, self.clock);
                let has_room = self.messages.len() < MOST_AT_ONCE;
                let left_out = brought.message.is_some() && !has_room;
                count(stats, *kind, brought.lost + u64::from(left_out));
                self.messages.extend(brought.message.filter(|_| has_room));
            } else {
                count(stats, *kind, packet.unit_start.into());
            }
            return;
        }
        if packet.pid == PAT_PID {
            let mut changed = false;
            let programs = &mut self.programs;
            self.pat
                .push(payload, packet.unit_start, stats, |section| changed |= programs.take(section));
            if changed {
                self.pmts.clear();
                stats.other_programs = stats.other_programs.max(self.programs.list().len().saturating_sub(1) as u64);
                self.chosen = self
                    .chosen
                    .filter(|chosen| self.programs.list().iter().any(|program| program.number == *chosen));
            }
        } else if self.programs.list().iter().any(|program| program.pid == packet.pid) {
            self.pmt(&packet, payload, stats, events);
        } else if packet.pid < FIRST_FREE_PID {
            // SDT, NIT and their like.
        } else if self.program.is_empty() {
            if !self.programs.list().is_empty() || !self.guess_pmt(&packet, payload, stats, events) {
                stats.packets_before_pmt += self.early.hold(bytes);
            }
        } else if self.programs.list().is_empty() {
            self.guess_pmt(&packet, payload, stats, events);
        }
    }

    /// A segment ends.
    fn boundary(&mut self, stats: &mut Stats, events: &mut Vec<Event>) {
        let before = events.len();
        for stream in &mut self.streams {
            let track = stream.track;
            let max_unit = self.options.max_unit_bytes;
            stream.boundary(
                &mut self.clock,
                &mut Sink {
                    track,
                    max_unit,
                    events,
                    stats,
                },
            );
        }
        self.note_samples(events.get(before..));
    }

    /// Takes what came in front of the PMT, now that it is known what is in it.
    fn replay(&mut self, stats: &mut Stats, events: &mut Vec<Event>) {
        for held in self.early.take() {
            match held {
                Held::Boundary => self.boundary(stats, events),
                Held::Packet(packet) => {
                    let Some(packet) = packet.first_chunk::<PACKET>() else { continue };
                    let pid = Packet::parse(packet).pid;
                    let is_of_use =
                        self.streams.iter().any(|stream| stream.info.pid == pid) || self.data.iter().any(|(data, ..)| *data == pid);
                    if is_of_use {
                        self.packet(packet, stats, events);
                    }
                }
            }
        }
    }

    fn note_samples(&mut self, events: Option<&[Event]>) {
        for event in events.into_iter().flatten() {
            if let Event::Sample { track, .. } = event
                && let Some(role) = usize::try_from(track.0).ok().and_then(|number| self.roles.get_mut(number))
            {
                role.brought = true;
            }
        }
    }

    /// Without a PAT, what looks like a PMT and has the right CRC is one. Returns whether it is.
    fn guess_pmt(&mut self, packet: &Packet<'_>, payload: &[u8], stats: &mut Stats, events: &mut Vec<Event>) -> bool {
        let looks_like = packet.unit_start && payload.get(..2).is_some_and(|start| start == [0, 2]);
        if !looks_like {
            return false;
        }
        let mut found = None;
        Sections::default().push(payload, true, &mut Stats::default(), |section| found = Some(section.to_vec()));
        let found = found.filter(|section| psi::streams(section).is_some_and(|streams| !streams.is_empty()));
        let Some((number, section)) = found.and_then(|section| Some((psi::program_number(&section)?, section))) else {
            return false;
        };
        self.programs.guess(number, packet.pid);
        self.chosen = Some(number);
        self.program(section, stats, events);
        true
    }

    /// Takes a packet with PMTs of programs that the PAT names, and chooses one of those.
    fn pmt(&mut self, packet: &Packet<'_>, payload: &[u8], stats: &mut Stats, events: &mut Vec<Event>) {
        let at = self.pmts.iter().position(|(pid, _)| *pid == packet.pid).unwrap_or_else(|| {
            self.pmts.push((packet.pid, Sections::default()));
            self.pmts.len() - 1
        });
        let mut sections = Vec::new();
        if let Some((_, pmt)) = self.pmts.get_mut(at) {
            pmt.push(payload, packet.unit_start, stats, |section| sections.push(section.to_vec()));
        }
        for section in sections {
            let Some(number) = psi::program_number(&section) else { continue };
            // With only one on offer there is no choice; what it has is told as unsupported then.
            let of_use = self.programs.list().len() == 1
                || psi::streams(&section).is_some_and(|streams| streams.iter().any(|info| info.coding.kind().is_some()));
            if self.chosen.is_none() && of_use {
                self.chosen = Some(number);
            }
            if self.chosen == Some(number) {
                self.program(section, stats, events);
            }
        }
    }

    /// Takes a PMT: streams that are in the one before stay as they are, others end and begin.
    fn program(&mut self, section: Vec<u8>, stats: &mut Stats, events: &mut Vec<Event>) {
        if section == self.program {
            return;
        }
        let Some(infos) = psi::streams(&section) else { return };
        self.program = section;
        let mut old = std::mem::take(&mut self.streams);
        for (_, kind, mut metadata) in self.data.drain(..) {
            count(stats, kind, metadata.abandon());
        }
        let mut counts = [(TrackKind::Video, 0_usize), (TrackKind::Audio, 0)];
        for info in infos {
            match info.coding {
                Coding::Data(kind) if self.data.len() < MAX_STREAMS => self.data.push((info.pid, kind, Metadata::default())),
                Coding::Other(stream_type) => {
                    stats.unsupported_stream_types.insert(stream_type);
                }
                _ => {}
            }
            let Some(kind) = info.coding.kind().filter(|_| self.streams.len() < MAX_STREAMS) else {
                continue;
            };
            let Some((_, count)) = counts.iter_mut().find(|(counted, _)| *counted == kind) else {
                continue;
            };
            let track = self.track(kind, *count);
            *count += 1;
            match old.iter().position(|stream| stream.info == info && stream.track == track) {
                Some(at) => self.streams.push(old.swap_remove(at)),
                None => self.streams.extend(Stream::new(info, track)),
            }
        }
        let before = events.len();
        for mut gone in old {
            let track = gone.track;
            let max_unit = self.options.max_unit_bytes;
            let mut sink = Sink {
                track,
                max_unit,
                events,
                stats,
            };
            gone.boundary(&mut self.clock, &mut sink);
            gone.flush(&mut sink);
        }
        self.note_samples(events.get(before..));
        self.replay(stats, events);
    }

    fn track(&mut self, kind: TrackKind, place: usize) -> TrackId {
        let known = self.roles.iter().position(|role| role.kind == kind && role.place == place);
        let number = known.unwrap_or_else(|| {
            let brought = false;
            self.roles.push(Role { kind, place, brought });
            self.roles.len() - 1
        });
        TrackId(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

/// Counts pieces of streams that make no track.
fn count(stats: &mut Stats, kind: DataKind, pieces: u64) {
    if pieces > 0 {
        *stats.data_units.entry(kind).or_default() += pieces;
    }
}
