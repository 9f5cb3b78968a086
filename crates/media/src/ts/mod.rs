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
pub(crate) mod frames;
mod metadata;
mod packet;
mod pes;
mod psi;
mod stats;
pub(crate) mod stream;
mod video;
mod write;

use serde::{Deserialize, Serialize};

use self::{
    coding::Coding,
    metadata::Metadata,
    packet::{Framer, PACKET, Packet},
    psi::{Programs, Sections},
    stream::{Sink, Stream},
};
use crate::{
    emsg::Message,
    track::{Event, TrackId, TrackKind},
};

pub use self::{
    coding::DataKind,
    packet::find_packets,
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
    streams: Vec<Stream>,
    /// PIDs of streams that make no track.
    data: Vec<(u16, DataKind, Metadata)>,
    messages: Vec<Message>,
    /// By track number: the role of each track, as its kind and its place among the streams of that kind.
    roles: Vec<(TrackKind, usize)>,
    clock: Option<i64>,
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
        inner.stats = stats;
        for stream in &mut inner.streams {
            stream.boundary();
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
            ..
        } = &mut self.inner;
        for (_, kind, metadata) in data {
            count(stats, *kind, metadata.abandon());
        }
        for stream in streams {
            let track = stream.track;
            stream.flush(&mut Sink {
                track,
                max_unit: options.max_unit_bytes,
                events,
                stats,
            });
        }
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
            return;
        }
        let Some(payload) = packet.payload.filter(|_| !packet.error && !packet.scrambled) else {
            return;
        };
        if let Some((_, kind, metadata)) = self.data.iter_mut().find(|(pid, ..)| *pid == packet.pid) {
            if self.options.messages && *kind == DataKind::Id3 {
                let brought = metadata.packet(&packet, payload, self.clock);
                count(stats, *kind, brought.lost);
                self.messages.extend(brought.message);
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
        } else if self.programs.list().is_empty() {
            stats.packets_before_pmt += 1;
            self.guess_pmt(&packet, payload, stats, events);
        } else if self.program.is_empty() {
            stats.packets_before_pmt += 1;
        }
    }

    /// Without a PAT, what looks like a PMT and has the right CRC is one.
    fn guess_pmt(&mut self, packet: &Packet<'_>, payload: &[u8], stats: &mut Stats, events: &mut Vec<Event>) {
        let looks_like = packet.unit_start && payload.get(..2).is_some_and(|start| start == [0, 2]);
        if !looks_like {
            return;
        }
        let mut found = None;
        Sections::default().push(payload, true, &mut Stats::default(), |section| found = Some(section.to_vec()));
        let found = found.filter(|section| psi::streams(section).is_some_and(|streams| !streams.is_empty()));
        if let Some((number, section)) = found.and_then(|section| Some((psi::program_number(&section)?, section))) {
            self.programs.guess(number, packet.pid);
            self.chosen = Some(number);
            self.program(section, stats, events);
        }
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
            let role = (kind, *count);
            *count += 1;
            let track = self.track(role);
            match old.iter().position(|stream| stream.info == info && stream.track == track) {
                Some(at) => self.streams.push(old.swap_remove(at)),
                None => self.streams.extend(Stream::new(info, track)),
            }
        }
        for mut gone in old {
            let track = gone.track;
            let max_unit = self.options.max_unit_bytes;
            gone.flush(&mut Sink {
                track,
                max_unit,
                events,
                stats,
            });
        }
    }

    fn track(&mut self, role: (TrackKind, usize)) -> TrackId {
        let number = self.roles.iter().position(|known| *known == role).unwrap_or_else(|| {
            self.roles.push(role);
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
