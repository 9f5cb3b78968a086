//! One elementary stream: its packets' continuity, its PES packets, and the assembler of its access units.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

use super::{
    Stats,
    coding::Coding,
    continuity::{Continuity, Verdict},
    frames::FrameAssembler,
    packet::Packet,
    pes::{NoHeader, PesHeader, Stamps},
    psi::EsInfo,
    video::VideoAssembler,
};
use crate::{
    avc::Avc,
    hevc::Hevc,
    time::unwrap_33,
    track::{Event, Sample, TrackConfig, TrackId},
};

/// When an access unit is due, in ticks of 90 kHz without wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Time {
    pub(crate) pts: i64,
    pub(crate) dts: i64,
}

/// Where an assembler puts what it makes.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) track: TrackId,
    pub(crate) max_unit: usize,
    pub(crate) events: &'a mut Vec<Event>,
    pub(crate) stats: &'a mut Stats,
}

impl Sink<'_> {
    pub(crate) fn config(&mut self, config: Arc<TrackConfig>) {
        self.events.push(Event::Config { track: self.track, config });
    }

    pub(crate) fn sample(&mut self, sample: Sample) {
        self.events.push(Event::Sample { track: self.track, sample });
    }
}

/// The sample entries that a stream was told with, by their digests: a stream that invents ever more of them must not make
/// the file's description grow with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Entries(Vec<u64>);

impl Entries {
    /// Takes note of a configuration. Returns how many different ones there were.
    pub(super) fn note(&mut self, config: &TrackConfig) -> usize {
        // Two with one digest count as one, which does no harm.
        let mut hasher = DefaultHasher::new();
        config.sample_entry.hash(&mut hasher);
        let digest = hasher.finish();
        if !self.0.contains(&digest) {
            self.0.push(digest);
        }
        self.len()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Makes room for `more` bytes. Large steps, so that many access units share an allocation; one that nobody
/// uses any more is taken again.
pub(super) fn reserve(buffer: &mut BytesMut, more: usize, step: usize) {
    if buffer.capacity() - buffer.len() >= more || buffer.try_reclaim(more.max(step)) {
        return;
    }
    let mut larger = BytesMut::with_capacity(step.max(2 * (buffer.len() + more)));
    larger.extend_from_slice(buffer);
    *buffer = larger;
}

/// The assembler for a stream type. A new codec is a new variant here and in [`Assembler::new`].
#[derive(Debug, Serialize, Deserialize)]
enum Assembler {
    Avc(Box<VideoAssembler<Avc>>),
    Hevc(Box<VideoAssembler<Hevc>>),
    Audio(Box<FrameAssembler>),
}

/// Calls the same method on whichever assembler it is.
macro_rules! assembler {
    ($self:expr, $assembler:ident => $call:expr) => {
        match $self {
            Assembler::Avc($assembler) => $call,
            Assembler::Hevc($assembler) => $call,
            Assembler::Audio($assembler) => $call,
        }
    };
}

impl Assembler {
    fn new(info: &EsInfo) -> Option<Self> {
        match info.coding {
            Coding::Avc => Some(Self::Avc(Box::new(VideoAssembler::new(info.language)))),
            Coding::Hevc => Some(Self::Hevc(Box::new(VideoAssembler::new(info.language)))),
            Coding::Audio(codec) => Some(Self::Audio(Box::new(FrameAssembler::new(codec, info.language)))),
            Coding::Data(_) | Coding::Other(_) => None,
        }
    }
}

/// Payload of a transport packet: a length of video is only believed where as much is missing. Who takes something out of
/// a stream seldom mends lengths.
const LEAST_MISSING: usize = 184;

/// Where in a PES packet the stream is.
#[derive(Debug, Serialize, Deserialize)]
enum Pes {
    /// Before the first one, or in one that is skipped.
    Outside,
    /// In a header that is spread over several transport packets.
    Header(Vec<u8>),
    /// In the payload, with the bytes of it that are missing by `PES_packet_length`. What comes beyond that is taken
    /// too: encoders get it wrong for large packets, and the next packet's start says the same.
    Payload(usize),
}

/// One elementary stream.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) info: EsInfo,
    pub(super) track: TrackId,
    continuity: Continuity,
    /// A segment ended, and no packet of the stream came since.
    ended: bool,
    pes: Pes,
    assembler: Assembler,
}

impl Stream {
    pub(super) fn new(info: EsInfo, track: TrackId) -> Option<Self> {
        Some(Self {
            info,
            track,
            continuity: Continuity::default(),
            ended: false,
            pes: Pes::Outside,
            assembler: Assembler::new(&info)?,
        })
    }

    /// Takes a packet of this stream. `clock` is the last decode time of any stream, for unrolling stamps.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, clock: &mut Option<i64>, sink: &mut Sink<'_>) {
        if packet.error {
            self.release(true, clock, sink);
            sink.stats.transport_errors += 1;
            self.lose(sink);
            self.continuity.forget();
            return;
        }
        if packet.discontinuity {
            self.release(true, clock, sink);
            self.continuity.forget();
        }
        // Without payload the counter stands still (§2.4.3.3).
        let Some(payload) = packet.payload else { return };
        match self.continuity.packet(packet, payload, sink.stats) {
            Verdict::Held => self.release(false, clock, sink),
            verdict => self.take(verdict, (packet.unit_start, packet.scrambled), payload, clock, sink),
        }
    }

    /// Takes packets that were held, as far as it is clear what they are, or all of them.
    fn release(&mut self, last: bool, clock: &mut Option<i64>, sink: &mut Sink<'_>) {
        while let Some((packet, verdict)) = self.continuity.release(last, sink.stats) {
            self.take(verdict, (packet.unit_start, packet.scrambled), &packet.payload, clock, sink);
        }
    }

    fn take(
        &mut self,
        verdict: Verdict,
        (unit_start, scrambled): (bool, bool),
        payload: &[u8],
        clock: &mut Option<i64>,
        sink: &mut Sink<'_>,
    ) {
        match verdict {
            Verdict::Breaks => self.lose(sink),
            // The picture in progress lacks its end. Sound tells by its length.
            Verdict::BeginsBehindLoss => self.cut(sink),
            Verdict::Repeats | Verdict::Held => return,
            Verdict::GoesOn | Verdict::Begins => {}
        }
        let ended = std::mem::take(&mut self.ended);
        if scrambled {
            sink.stats.scrambled_packets += 1;
            self.lose(sink);
            return;
        }
        if unit_start {
            if matches!(self.pes, Pes::Header(_)) {
                sink.stats.broken_pes += 1;
            }
            self.end_pes(ended, sink);
            self.header(payload, clock, sink);
            return;
        }
        match &mut self.pes {
            Pes::Outside => {}
            Pes::Header(header) => {
                header.extend_from_slice(payload);
                let header = std::mem::take(header);
                self.header(&header, clock, sink);
            }
            Pes::Payload(missing) => {
                *missing = missing.saturating_sub(payload.len());
                assembler!(&mut self.assembler, it => it.data(payload, sink));
            }
        }
    }

    /// A new segment begins: its packets may be counted from anywhere.
    pub(super) fn boundary(&mut self, clock: &mut Option<i64>, sink: &mut Sink<'_>) {
        self.release(true, clock, sink);
        self.continuity.boundary();
        self.ended = true;
    }

    /// The segment that ended was cut short.
    pub(super) fn cut(&mut self, sink: &mut Sink<'_>) {
        if !matches!(self.assembler, Assembler::Audio(_)) {
            self.lose(sink);
        }
    }

    /// Segments are missing here.
    pub(super) fn gap(&mut self) {
        self.continuity.forget();
    }

    /// Everything in progress is complete; after [`boundary`](Self::boundary).
    pub(super) fn flush(&mut self, sink: &mut Sink<'_>) {
        self.end_pes(true, sink);
        self.pes = Pes::Outside;
        self.continuity.forget();
        assembler!(&mut self.assembler, it => it.flush(sink));
    }

    /// What comes next is another coded stream; after [`flush`](Self::flush).
    pub(super) fn restart(&mut self) {
        assembler!(&mut self.assembler, it => it.restart());
    }

    fn lose(&mut self, sink: &mut Sink<'_>) {
        self.pes = Pes::Outside;
        assembler!(&mut self.assembler, it => it.damage(sink));
    }

    /// A PES packet ends, at the end of a segment or within.
    fn end_pes(&mut self, ended: bool, sink: &mut Sink<'_>) {
        let Pes::Payload(missing) = self.pes else { return };
        let is_audio = matches!(self.assembler, Assembler::Audio(_));
        if missing == 0 || !is_audio && (!ended || missing < LEAST_MISSING) {
            return;
        }
        sink.stats.short_pes += 1;
        // The frame in progress is cut with it. A picture in part is worth more than none.
        if is_audio {
            self.lose(sink);
        }
    }

    fn header(&mut self, bytes: &[u8], clock: &mut Option<i64>, sink: &mut Sink<'_>) {
        match PesHeader::parse(bytes) {
            Ok(header) if header.scrambled => {
                sink.stats.scrambled_packets += 1;
                self.pes = Pes::Outside;
            }
            Ok(header) => {
                let time = header.stamps.map(|stamps| unroll(stamps, clock));
                let payload = bytes.get(header.len..).unwrap_or(&[]);
                self.pes = Pes::Payload(header.payload.unwrap_or(0).saturating_sub(payload.len()));
                assembler!(&mut self.assembler, it => {
                    it.start(time);
                    it.data(payload, sink);
                });
            }
            // A header has 264 bytes at most, so this ends with the second packet or soon after.
            Err(NoHeader::Incomplete) => self.pes = Pes::Header(bytes.to_vec()),
            Err(NoHeader::Broken) => {
                sink.stats.broken_pes += 1;
                self.lose(sink);
            }
        }
    }
}

pub(super) fn unroll(stamps: Stamps, clock: &mut Option<i64>) -> Time {
    let first = i64::try_from(stamps.dts).unwrap_or(0);
    let dts = unwrap_33(stamps.dts, clock.unwrap_or(first));
    *clock = Some(dts);
    // A picture is never composed before it is decoded.
    let pts = unwrap_33(stamps.pts, dts).max(dts);
    Time { pts, dts }
}
