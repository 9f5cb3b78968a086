//! Audio elementary streams: from frames with headers, spread over PES packets anyhow, to access units.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::stream::{Entries, Sink, Time, reserve};
use crate::{
    audio::{AudioCodec, AudioConfig, AudioHeader, Found, Group, Joins, Latm, OpusConfig, packet_samples},
    time::{MPEG_HZ, rescale},
    track::{Language, Sample},
};

/// How far, in samples of audio, a stamp may be from where the frames before put it and still mean the same:
/// stamps are rounded to 90 kHz by the sender, and to the sampling rate here.
const TOLERANCE: i64 = 2;

/// Sample entries of a stream. Frames that would need still more are dropped: no encoder changes so often.
const MAX_ENTRIES: usize = 64;

/// Puts the frames of one stream together.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrameAssembler {
    codec: AudioCodec,
    language: Language,
    /// The header in progress.
    header: Vec<u8>,
    frame: Option<Frame>,
    /// The frame in progress, behind those of its access unit that are whole.
    buffer: BytesMut,
    /// E-AC-3: the frames of the access unit in progress, and its time.
    group: Group,
    group_time: Option<Time>,
    latm: Latm,
    /// Of the latest PES packet, until a frame begins in it.
    pes_time: Option<Time>,
    /// Of the frame in progress, if it is the first that begins in its PES packet.
    frame_time: Option<Time>,
    config: Option<AudioConfig>,
    /// What it was told with.
    entries: Entries,
    /// In samples: when the next frame is due.
    next: Option<i64>,
    /// A frame ended where the next header should begin.
    aligned: bool,
    lost: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Frame {
    header: AudioHeader,
    /// Bytes of the header that are still to come, and do not belong into the sample.
    skip: usize,
    /// Bytes of the payload that are still to come.
    missing: usize,
}

impl FrameAssembler {
    pub(crate) fn new(codec: AudioCodec, language: Language) -> Self {
        Self {
            codec,
            language,
            header: Vec::new(),
            frame: None,
            buffer: BytesMut::new(),
            group: Group::default(),
            group_time: None,
            latm: Latm::default(),
            pes_time: None,
            frame_time: None,
            config: None,
            entries: Entries::default(),
            next: None,
            aligned: true,
            lost: false,
        }
    }

    /// A PES packet begins.
    pub(crate) fn start(&mut self, time: Option<Time>) {
        if self.lost {
            // Frames need not begin with the packet, but nearly always do; a false header shows soon.
            self.lost = false;
            self.aligned = true;
        }
        if time.is_some() {
            self.pes_time = time;
        }
    }

    /// Payload of the PES packet.
    pub(crate) fn data(&mut self, mut piece: &[u8], sink: &mut Sink<'_>) {
        if self.lost {
            return;
        }
        while !piece.is_empty() {
            let Some(frame) = &mut self.frame else {
                piece = self.take_header(piece, sink);
                continue;
            };
            let (crc, rest) = piece.split_at(frame.skip.min(piece.len()));
            frame.skip -= crc.len();
            let (payload, rest) = rest.split_at(frame.missing.min(rest.len()));
            frame.missing -= payload.len();
            piece = rest;
            self.buffer.extend_from_slice(payload);
            if let Some(frame) = self.frame.take_if(|frame| frame.skip == 0 && frame.missing == 0) {
                self.close(frame.header, sink);
            }
        }
    }

    /// Bytes of the stream were lost before what comes next.
    pub(crate) fn damage(&mut self, sink: &mut Sink<'_>) {
        self.end(sink);
        self.lost = true;
    }

    /// The stream ends here. A frame in progress is not whole and is dropped.
    pub(crate) fn flush(&mut self, sink: &mut Sink<'_>) {
        self.end(sink);
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        let unfinished = self.frame.is_some() || !self.header.is_empty();
        // Whether another substream was to come, only the access unit before can tell.
        let whole = self.group.is_whole() && (!unfinished || self.is_usual());
        if whole {
            self.close_group(sink);
        }
        if unfinished || self.group.len > 0 {
            sink.stats.damaged_units += 1;
        }
        self.drop_frame();
    }

    /// What comes next belongs to another coded stream; after [`flush`](Self::flush).
    pub(crate) fn restart(&mut self) {
        self.drop_frame();
        self.lost = false;
        self.pes_time = None;
        self.next = None;
    }

    fn drop_frame(&mut self) {
        self.buffer.clear();
        self.header.clear();
        self.frame = None;
        self.group = Group::default();
        self.frame_time = None;
        self.aligned = true;
    }

    /// Takes header bytes off the front of `piece` and returns the rest.
    fn take_header<'a>(&mut self, mut piece: &'a [u8], sink: &mut Sink<'_>) -> &'a [u8] {
        if self.header.is_empty() {
            if !self.aligned {
                let junk = memchr(self.codec.sync_byte(), piece).unwrap_or(piece.len());
                sink.stats.skipped_audio_bytes += junk as u64;
                piece = piece.get(junk..).unwrap_or(&[]);
                if piece.is_empty() {
                    return piece;
                }
            }
            if let Some(time) = self.pes_time.take() {
                self.frame_time = Some(time);
            }
        }
        let least = self.codec.least_header();
        let wanted = least.saturating_sub(self.header.len()).max(1);
        let (head, rest) = piece.split_at(wanted.min(piece.len()));
        self.header.extend_from_slice(head);
        if self.header.len() < least {
            return rest;
        }
        match self.codec.parse(&self.header) {
            Found::More => {}
            Found::Header(header) if self.is_believed(&header) => {
                reserve(&mut self.buffer, header.frame_len, 64 << 10);
                let kept = self.header.get(header.strip..).unwrap_or(&[]);
                self.buffer.extend_from_slice(kept);
                self.frame = Some(Frame {
                    skip: header.strip.saturating_sub(self.header.len()),
                    missing: header.frame_len - header.strip.max(self.header.len()),
                    header,
                });
                self.header.clear();
            }
            Found::Header(_) | Found::Nothing => {
                // The next candidate may begin within these bytes.
                let next = memchr(self.codec.sync_byte(), self.header.get(1..).unwrap_or(&[])).map_or(self.header.len(), |at| at + 1);
                sink.stats.skipped_audio_bytes += next as u64;
                self.header.drain(..next);
                self.aligned = false;
            }
        }
        rest
    }

    /// After junk, only the known configuration is believed, where the header tells it.
    fn is_believed(&self, header: &AudioHeader) -> bool {
        self.aligned || self.config.is_none() || header.config.is_none() || self.config == header.config
    }

    /// A frame is whole, at the end of the buffer.
    fn close(&mut self, header: AudioHeader, sink: &mut Sink<'_>) {
        self.aligned = true;
        let time = self.frame_time.take();
        match (self.codec, header.config) {
            (AudioCodec::Latm, _) => {
                let element = self.buffer.split();
                let Some(units) = self.latm.element(&element) else {
                    sink.stats.skipped_audio_bytes += element.len() as u64;
                    return;
                };
                let mut time = time;
                for data in units.data {
                    self.emit(units.config.clone(), units.samples, time.take(), data, sink);
                }
            }
            (AudioCodec::Opus(code), _) => {
                let data = self.buffer.split().freeze();
                let Some(samples) = packet_samples(&data) else {
                    sink.stats.skipped_audio_bytes += data.len() as u64;
                    return;
                };
                let (start, end) = header.trim;
                let config = match self.config {
                    // What is trimmed off the start is told once.
                    Some(AudioConfig::Opus(known)) if known.is_like(OpusConfig::new(code, start)) => known,
                    _ => OpusConfig::new(code, start),
                };
                self.emit_trimmed(AudioConfig::Opus(config), samples, end, time, data, sink);
            }
            (AudioCodec::Dolby, None) => self.join(time, sink),
            (_, Some(config)) => {
                self.close_group(sink);
                let data = self.buffer.split().freeze();
                self.emit(config, header.samples, time, data, sink);
            }
            (_, None) => {}
        }
    }

    /// A frame of E-AC-3 is whole, behind those of the access unit in progress.
    fn join(&mut self, time: Option<Time>, sink: &mut Sink<'_>) {
        let frame = self.buffer.get(self.group.len..).unwrap_or(&[]);
        match self.group.joins(frame) {
            Joins::Same => self.group.add(frame),
            Joins::Next => {
                let frame = self.buffer.split_off(self.group.len);
                self.close_group(sink);
                self.buffer.unsplit(frame);
                self.group.add(&self.buffer);
                self.group_time = time;
            }
            Joins::Nothing => {
                sink.stats.skipped_audio_bytes += frame.len() as u64;
                self.buffer.truncate(self.group.len);
            }
        }
    }

    /// The access unit of E-AC-3 in progress is complete, and alone in the buffer.
    fn close_group(&mut self, sink: &mut Sink<'_>) {
        let group = std::mem::take(&mut self.group);
        if group.len == 0 {
            return;
        }
        let time = self.group_time.take();
        let data = self.buffer.split_to(group.len.min(self.buffer.len())).freeze();
        if !group.is_whole() {
            sink.stats.damaged_units += 1;
            return;
        }
        let (config, samples) = group.config();
        let config = match (&self.config, config) {
            (Some(AudioConfig::Eac3(known)), AudioConfig::Eac3(new)) if known.is_like(&new) => AudioConfig::Eac3(known.clone()),
            (_, config) => config,
        };
        self.emit(config, samples, time, data, sink);
    }

    /// Whether the access unit of E-AC-3 in progress has what the one before had.
    fn is_usual(&self) -> bool {
        match (&self.config, self.group.config()) {
            (Some(AudioConfig::Eac3(known)), (AudioConfig::Eac3(new), _)) => known.is_like(&new),
            _ => false,
        }
    }

    fn emit(&mut self, config: AudioConfig, samples: u32, time: Option<Time>, data: Bytes, sink: &mut Sink<'_>) {
        self.emit_trimmed(config, samples, 0, time, data, sink);
    }

    /// An access unit is complete, of whose samples the last `trimmed` are not to be heard.
    fn emit_trimmed(&mut self, config: AudioConfig, samples: u32, trimmed: u16, time: Option<Time>, data: Bytes, sink: &mut Sink<'_>) {
        let rate = config.sample_rate();
        if self.config.as_ref() != Some(&config) {
            let Some(track) = config.track(self.language).filter(|track| self.entries.note(track) <= MAX_ENTRIES) else {
                sink.stats.skipped_audio_bytes += data.len() as u64;
                return;
            };
            if self.config.as_ref().is_some_and(|old| old.sample_rate() != rate) {
                self.next = None;
            }
            self.config = Some(config);
            sink.config(Arc::new(track));
        }
        let stamped = time.map(|time| rescale(time.pts, MPEG_HZ, rate));
        let dts = match (self.next, stamped) {
            (Some(next), Some(stamped)) if (next - stamped).abs() > TOLERANCE => stamped,
            (Some(next), _) => next,
            (None, Some(stamped)) => stamped,
            (None, None) => {
                sink.stats.untimed_units += 1;
                return;
            }
        };
        self.next = Some(dts.saturating_add(samples.into()));
        sink.sample(Sample {
            dts,
            pts: dts,
            duration: Some(samples.saturating_sub(trimmed.into())),
            sync: true,
            data,
        });
    }
}
