//! Audio elementary streams: from frames with headers, spread over PES packets anyhow, to access units.

use std::sync::Arc;

use bytes::BytesMut;
use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::stream::{Sink, Time, reserve};
use crate::{
    aac::HEADER,
    audio::{AudioCodec, AudioConfig, AudioHeader},
    time::{MPEG_HZ, rescale},
    track::{Language, Sample},
};

/// How far, in samples of audio, a stamp may be from where the frames before put it and still mean the same:
/// stamps are rounded to 90 kHz by the sender, and to the sampling rate here.
const TOLERANCE: i64 = 2;

/// Puts the frames of one stream together.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrameAssembler {
    codec: AudioCodec,
    language: Language,
    header: [u8; HEADER],
    /// Bytes of the header that are there.
    have: usize,
    frame: Option<Frame>,
    buffer: BytesMut,
    /// Of the latest PES packet, until a frame begins in it.
    pes_time: Option<Time>,
    /// Of the frame in progress, if it is the first that begins in its PES packet.
    frame_time: Option<Time>,
    config: Option<AudioConfig>,
    /// In samples: when the next frame is due.
    next: Option<i64>,
    /// A frame ended where the next header should begin.
    aligned: bool,
    lost: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
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
            header: [0; HEADER],
            have: 0,
            frame: None,
            buffer: BytesMut::new(),
            pes_time: None,
            frame_time: None,
            config: None,
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
            let done = (frame.skip == 0 && frame.missing == 0).then_some(frame.header);
            self.buffer.extend_from_slice(payload);
            if let Some(header) = done {
                self.frame = None;
                self.close(header, sink);
            }
        }
    }

    /// Bytes of the stream were lost before what comes next.
    pub(crate) fn damage(&mut self, sink: &mut Sink<'_>) {
        if self.frame.is_some() || self.have > 0 {
            sink.stats.damaged_units += 1;
        }
        self.drop_frame();
        self.lost = true;
    }

    /// The stream ends here. A frame in progress is not whole and is dropped.
    pub(crate) fn flush(&mut self, sink: &mut Sink<'_>) {
        if self.frame.is_some() || self.have > 0 {
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
        self.frame = None;
        self.have = 0;
        self.frame_time = None;
        self.aligned = true;
    }

    /// Takes header bytes off the front of `piece` and returns the rest.
    fn take_header<'a>(&mut self, mut piece: &'a [u8], sink: &mut Sink<'_>) -> &'a [u8] {
        if self.have == 0 {
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
        let (head, rest) = piece.split_at((HEADER - self.have).min(piece.len()));
        if let Some(room) = self.header.get_mut(self.have..self.have + head.len()) {
            room.copy_from_slice(head);
        }
        self.have += head.len();
        if self.have < HEADER {
            return rest;
        }
        match self.codec.parse(&self.header) {
            // After junk, only the known configuration is believed.
            Some(header) if self.aligned || self.config.is_none_or(|config| config == header.config) => {
                self.have = 0;
                reserve(&mut self.buffer, header.frame_len, 64 << 10);
                let kept = if header.strip == 0 { &self.header[..] } else { &[] };
                self.buffer.extend_from_slice(kept);
                self.frame = Some(Frame {
                    header,
                    skip: header.strip.saturating_sub(HEADER),
                    missing: header.frame_len - header.strip.max(HEADER),
                });
            }
            _ => {
                // The next candidate may begin within these bytes.
                let next = memchr(self.codec.sync_byte(), self.header.get(1..).unwrap_or(&[])).map_or(HEADER, |at| at + 1);
                sink.stats.skipped_audio_bytes += next as u64;
                self.header.copy_within(next.., 0);
                self.have = HEADER - next;
                self.aligned = false;
            }
        }
        rest
    }

    fn close(&mut self, header: AudioHeader, sink: &mut Sink<'_>) {
        self.aligned = true;
        let data = self.buffer.split().freeze();
        let time = self.frame_time.take();
        let rate = header.config.sample_rate();
        if self.config != Some(header.config) {
            let Some(track) = header.config.track(self.language) else { return };
            if self.config.is_some_and(|old| old.sample_rate() != rate) {
                self.next = None;
            }
            self.config = Some(header.config);
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
        let duration = header.samples;
        self.next = Some(dts.saturating_add(duration.into()));
        sink.sample(Sample {
            dts,
            pts: dts,
            duration: Some(duration),
            sync: true,
            data,
        });
    }
}
