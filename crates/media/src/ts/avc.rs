//! H.264 elementary streams: from Annex B bytes to access units with length prefixes.
//!
//! Payload bytes are copied once, from the transport packet to the end of the access unit's buffer. A start
//! code that is found there turns into the length of the NAL unit after it, in place, and NAL units that
//! ISO 14496-15 keeps out of samples are cut off again. Boundaries of access units come from the NAL units
//! alone (ISO 14496-10 §7.4.1.2.3), so it does not matter how they are spread over PES packets.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::stream::{Sink, Time, reserve};
use crate::{
    avc::{ParameterSets, has_recovery_point, is_intra_slice, nal, nal_type, starts_picture},
    track::{Language, Sample, TrackConfig},
};

/// Bytes that a NAL unit's length takes.
const PREFIX: usize = 4;
/// Parameter sets of one access unit that are looked at; more is an attack.
const MAX_SETS: usize = 288;
/// Frame duration where nothing tells: 25 a second.
const FALLBACK_FRAME: i64 = 3600;

/// Puts the access units of one stream together.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AvcAssembler {
    language: Language,
    /// The access unit in progress, and behind it the NAL unit in progress.
    buffer: BytesMut,
    /// Where the NAL unit in progress begins with its length; `None` before the first start code.
    nal: Option<usize>,
    /// Zeros that the stream ended with so far, 2 at most: a start code may be split anywhere.
    zeros: u8,
    unit: Unit,
    /// Of the PES packet in which the NAL unit in progress began, unless an access unit took it already.
    nal_time: Option<Time>,
    /// Of the latest PES packet, until a NAL unit begins in it.
    pes_time: Option<Time>,
    /// Bytes were lost: nothing is kept until the next PES packet begins.
    lost: bool,
    sets: ParameterSets,
    sets_changed: bool,
    config: Option<Arc<TrackConfig>>,
    /// A random access point has been seen since the start or the last discontinuity.
    started: bool,
    last: Option<Time>,
    frame: Option<i64>,
}

/// What is known of the access unit in progress.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Unit {
    open: bool,
    time: Option<Time>,
    has_slice: bool,
    idr: bool,
    recovery_point: bool,
    inter: bool,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
}

impl Unit {
    /// Whether decoding may begin here: an IDR picture, a recovery point, or an intra picture that brings
    /// parameter sets along.
    fn is_sync(&self) -> bool {
        self.idr || self.recovery_point || (!self.inter && !self.sps.is_empty())
    }
}

impl AvcAssembler {
    pub(super) fn new(language: Language) -> Self {
        Self {
            language,
            buffer: BytesMut::new(),
            nal: None,
            zeros: 0,
            unit: Unit::default(),
            nal_time: None,
            pes_time: None,
            lost: false,
            sets: ParameterSets::default(),
            sets_changed: false,
            config: None,
            started: false,
            last: None,
            frame: None,
        }
    }

    /// A PES packet begins.
    pub(super) fn start(&mut self, time: Option<Time>) {
        self.lost = false;
        // Without a stamp of its own, the packet does not take away what an earlier one left.
        if time.is_some() {
            self.pes_time = time;
        }
    }

    /// Payload of the PES packet.
    pub(super) fn data(&mut self, mut piece: &[u8], sink: &mut Sink<'_>) {
        if self.lost {
            return;
        }
        while let Some(end) = start_code_end(piece, self.zeros) {
            let (head, tail) = piece.split_at(end);
            // Without the 1; zeros that belong to the start code go when the NAL unit ends.
            self.append(head.get(..end - 1).unwrap_or(&[]));
            self.end_nal(sink);
            self.begin_nal();
            piece = tail;
        }
        self.append(piece);
        self.zeros = match piece {
            [] => self.zeros,
            [.., 0, 0] => 2,
            [0] => (self.zeros + 1).min(2),
            [.., 0] => 1,
            _ => 0,
        };
        if self.buffer.len() > sink.max_unit {
            sink.stats.oversized_units += 1;
            self.drop_unit();
            self.lost = true;
        }
    }

    /// Bytes of the stream were lost before what comes next.
    pub(super) fn damage(&mut self, sink: &mut Sink<'_>) {
        if !self.lost && (self.unit.open || self.nal.is_some()) {
            sink.stats.damaged_units += 1;
        }
        self.drop_unit();
        self.lost = true;
    }

    /// The stream ends here: what is in progress is complete.
    pub(super) fn flush(&mut self, sink: &mut Sink<'_>) {
        self.end_nal(sink);
        self.nal = None;
        self.zeros = 0;
        self.close(self.buffer.len(), sink);
        self.buffer.clear();
    }

    /// What comes next belongs to another coded stream; after [`flush`](Self::flush).
    pub(super) fn restart(&mut self) {
        self.drop_unit();
        self.lost = false;
        self.started = false;
        self.pes_time = None;
        self.last = None;
    }

    fn drop_unit(&mut self) {
        self.buffer.clear();
        self.nal = None;
        self.zeros = 0;
        self.nal_time = None;
        self.unit = Unit::default();
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.nal.is_some() {
            reserve(&mut self.buffer, bytes.len(), 512 << 10);
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn begin_nal(&mut self) {
        reserve(&mut self.buffer, PREFIX, 512 << 10);
        self.nal = Some(self.buffer.len());
        self.nal_time = self.pes_time.take();
        self.buffer.extend_from_slice(&[0; PREFIX]);
        self.zeros = 0;
    }

    /// The NAL unit in progress is complete: files it, and closes the access unit before it if it starts one.
    fn end_nal(&mut self, sink: &mut Sink<'_>) {
        let Some(mut start) = self.nal.take() else { return };
        // trailing_zero_8bits, and the zeros of the next start code (annex B.1).
        let end = self.buffer.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.buffer.truncate(end.max(start + PREFIX));
        let Some(header) = self.buffer.get(start + PREFIX).copied() else {
            self.buffer.truncate(start);
            return;
        };
        let body = self.buffer.get(start + PREFIX..).unwrap_or(&[]);
        let kind = nal_type(&[header]);
        let starts_unit = match kind {
            nal::SLICE | 2 | nal::IDR => starts_picture(body),
            nal::SEI..=nal::DELIMITER => true,
            _ => false,
        };
        if starts_unit && self.unit.has_slice {
            self.close(start, sink);
            start = 0;
        }
        if !self.unit.open {
            self.unit.open = true;
            self.unit.time = self.nal_time.take();
        } else if self.pes_time.is_none() {
            self.pes_time = self.nal_time.take();
        }

        let body = self.buffer.get(start + PREFIX..).unwrap_or(&[]);
        let keep = match kind {
            nal::SLICE..=4 => {
                self.unit.has_slice = true;
                self.unit.inter |= kind < 3 && !is_intra_slice(body);
                true
            }
            nal::IDR => {
                self.unit.has_slice = true;
                self.unit.idr = true;
                true
            }
            nal::SEI => {
                self.unit.recovery_point |= has_recovery_point(body);
                true
            }
            nal::SPS | nal::PPS => {
                let sets = if kind == nal::SPS { &mut self.unit.sps } else { &mut self.unit.pps };
                if sets.len() < MAX_SETS {
                    sets.push(Bytes::copy_from_slice(body));
                }
                false
            }
            // ISO 14496-15 §5.3.2: no filler data in samples; delimiters have no use where units are counted.
            nal::DELIMITER | nal::FILLER | 0 | 24.. => false,
            _ => true,
        };
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if keep {
            if let Some(prefix) = self.buffer.get_mut(start..start + PREFIX) {
                prefix.copy_from_slice(&length.to_be_bytes());
            }
        } else {
            self.buffer.truncate(start);
        }
    }

    /// The access unit in progress is complete and has the first `end` bytes of the buffer.
    fn close(&mut self, end: usize, sink: &mut Sink<'_>) {
        let data = self.buffer.split_to(end.min(self.buffer.len()));
        let unit = std::mem::take(&mut self.unit);
        self.sets_changed |= self.sets.update(&unit.sps, &unit.pps);
        if !unit.has_slice {
            return;
        }
        let sync = unit.is_sync();
        if !self.started && !sync && unit.sps.is_empty() {
            sink.stats.leading_units += 1;
            return;
        }
        if self.sets_changed {
            self.sets_changed = false;
            match self.sets.config(self.language) {
                Some(config) => self.configure(config, sink),
                None => sink.stats.broken_parameter_sets += 1,
            }
        }
        if self.config.is_none() {
            sink.stats.leading_units += 1;
            return;
        }
        self.started = true;
        let Some(time) = unit.time.or_else(|| self.next_time()) else {
            sink.stats.untimed_units += 1;
            return;
        };
        self.last = Some(time);
        sink.sample(Sample {
            dts: time.dts,
            pts: time.pts,
            duration: None,
            sync,
            data: data.freeze(),
        });
    }

    fn configure(&mut self, config: TrackConfig, sink: &mut Sink<'_>) {
        self.frame = self.sets.frame_duration();
        if self.config.as_deref() != Some(&config) {
            let config = Arc::new(config);
            self.config = Some(Arc::clone(&config));
            sink.config(config);
        }
    }

    /// For an access unit without a stamp of its own: one frame after the last.
    fn next_time(&self) -> Option<Time> {
        let frame = self.frame.unwrap_or(FALLBACK_FRAME);
        self.last.map(|last| Time {
            dts: last.dts + frame,
            pts: last.pts + frame,
        })
    }
}

/// Where the first start code prefix of `piece` ends, given the zeros in front of it.
fn start_code_end(piece: &[u8], zeros: u8) -> Option<usize> {
    match (zeros, piece) {
        (2, [1, ..]) => Some(1),
        (1 | 2, [0, 1, ..]) => Some(2),
        _ => memmem::find(piece, &[0, 0, 1]).map(|at| at + 3),
    }
}
