//! H.264 and HEVC elementary streams: from Annex B bytes to access units with length prefixes.
//!
//! Payload bytes are copied once, from the transport packet to the end of the access unit's buffer. A start
//! code that is found there turns into the length of the NAL unit after it, in place, and NAL units that
//! ISO 14496-15 keeps out of samples are cut off again. Boundaries of access units come from the NAL units
//! alone (ISO 14496-10 §7.4.1.2.3, ISO 23008-2 §7.4.2.4.4), so it does not matter how they are spread over PES packets.

use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::stream::{Entries, Sink, Time, reserve};
use crate::{
    nal::NalCodec,
    track::{Language, Sample, TrackConfig},
};

/// Made once: pieces are so short that to prepare a search takes longer than to do it.
static START_CODE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[0, 0, 1]));
/// Bytes that a NAL unit's length takes.
const PREFIX: usize = 4;
/// Frame duration where nothing tells: 25 a second.
const FALLBACK_FRAME: i64 = 3600;
/// Sample entries of a stream. One that has still more parameter sets keeps them in its samples from there on, behind one
/// more entry that says so.
const MAX_ENTRIES: usize = 32;

/// Puts the access units of one stream together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct VideoAssembler<C: NalCodec> {
    language: Language,
    /// The access unit in progress, and behind it the NAL unit in progress.
    buffer: BytesMut,
    /// Where the NAL unit in progress begins with its length; `None` before the first start code.
    nal: Option<usize>,
    /// Zeros that the stream ended with so far, 2 at most: a start code may be split anywhere.
    zeros: u8,
    unit: Unit<C>,
    /// Behind a field: where the next access unit begins, unless it turns out to be the other field.
    next: Option<(usize, Unit<C>)>,
    /// Of the PES packet in which the NAL unit in progress began, unless an access unit took it already.
    nal_time: Option<Time>,
    /// Of the latest PES packet, until a NAL unit begins in it.
    pes_time: Option<Time>,
    /// Bytes were lost: nothing is kept until the next PES packet begins.
    lost: bool,
    codec: C,
    /// A configuration was dropped together with its access unit.
    reconfigure: bool,
    config: Option<Arc<TrackConfig>>,
    /// What it was told with.
    entries: Entries,
    /// A random access point has been seen since the start or the last discontinuity.
    started: bool,
    /// When the picture that decoding began with is presented, if pictures that follow it in the stream may refer to
    /// earlier ones.
    open_from: Option<i64>,
    last: Option<Time>,
    frame: Option<i64>,
}

/// What is known of the access unit in progress.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct Unit<C: NalCodec> {
    open: bool,
    time: Option<Time>,
    has_slice: bool,
    /// Parameter sets changed: what they describe now, if they can be read.
    config: Option<Option<TrackConfig>>,
    picture: C::Picture,
}

impl<C: NalCodec> Default for Unit<C> {
    fn default() -> Self {
        Self {
            open: false,
            time: None,
            has_slice: false,
            config: None,
            picture: C::Picture::default(),
        }
    }
}

impl<C: NalCodec> VideoAssembler<C> {
    pub(super) fn new(language: Language) -> Self {
        Self {
            language,
            buffer: BytesMut::new(),
            nal: None,
            zeros: 0,
            unit: Unit::default(),
            next: None,
            nal_time: None,
            pes_time: None,
            lost: false,
            codec: C::default(),
            reconfigure: false,
            config: None,
            entries: Entries::default(),
            started: false,
            open_from: None,
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
        if let Some((at, next)) = self.next.take() {
            self.close(at, sink);
            self.unit = next;
        }
        self.close(self.buffer.len(), sink);
        self.buffer.clear();
    }

    /// What comes next belongs to another coded stream; after [`flush`](Self::flush).
    pub(super) fn restart(&mut self) {
        self.drop_unit();
        self.lost = false;
        self.started = false;
        self.open_from = None;
        self.pes_time = None;
        self.last = None;
    }

    fn drop_unit(&mut self) {
        self.buffer.clear();
        self.nal = None;
        self.zeros = 0;
        self.nal_time = None;
        let unit = std::mem::take(&mut self.unit);
        let next = self.next.take();
        self.reconfigure |= unit.config.is_some() || next.is_some_and(|(_, unit)| unit.config.is_some());
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
        if self.buffer.len() == start + PREFIX {
            self.buffer.truncate(start);
            return;
        }
        let body = self.buffer.get(start + PREFIX..).unwrap_or(&[]);
        let is_slice = C::is_slice(body);
        if self.next.is_none() && self.unit.has_slice && C::begins_unit(body) {
            self.next = Some((start, Unit::default()));
        }
        let decided = is_slice || !self.codec.is_unpaired(&self.unit.picture);
        if let Some((at, next)) = self.next.take_if(|_| decided)
            && !(is_slice && self.codec.pairs(&self.unit.picture, body))
        {
            self.close(at, sink);
            start -= at;
            self.unit = next;
        }

        let body = self.buffer.get(start + PREFIX..).unwrap_or(&[]);
        let unit = self.next.as_mut().map_or(&mut self.unit, |(_, unit)| unit);
        if !unit.open {
            unit.open = true;
            unit.time = self.nal_time.take();
        } else if self.pes_time.is_none() {
            self.pes_time = self.nal_time.take();
        }
        let in_band = self.entries.len() >= MAX_ENTRIES;
        let keep = self.codec.file(&mut unit.picture, body, in_band);
        if is_slice {
            unit.has_slice = true;
            sink.stats.broken_parameter_sets += self.codec.take_broken();
            // Parameter sets come before the slices that use them.
            let changed = self.codec.take_changed() || std::mem::take(&mut self.reconfigure);
            if changed && self.entries.len() <= MAX_ENTRIES {
                unit.config = Some(self.codec.config(in_band, self.language));
            }
        }
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
        if !unit.has_slice {
            return;
        }
        let access = C::access(&unit.picture);
        if !self.started && !access.sync && !access.has_sets {
            self.reconfigure |= unit.config.is_some();
            sink.stats.leading_units += 1;
            return;
        }
        match unit.config {
            Some(Some(config)) => self.configure(config, sink),
            Some(None) => sink.stats.broken_parameter_sets += 1,
            None => {}
        }
        if self.config.is_none() {
            sink.stats.leading_units += 1;
            return;
        }
        let Some(time) = unit.time.or_else(|| self.next_time()) else {
            sink.stats.untimed_units += 1;
            return;
        };
        self.last = Some(time);
        if access.sync || !self.started {
            let begins = !std::mem::replace(&mut self.started, true);
            self.open_from = (begins && !access.closed).then_some(time.pts);
        } else if access.may_lead && self.open_from.is_some_and(|from| time.pts < from) {
            sink.stats.leading_units += 1;
            return;
        }
        sink.sample(Sample {
            dts: time.dts,
            pts: time.pts,
            duration: None,
            sync: access.sync,
            data: data.freeze(),
        });
    }

    fn configure(&mut self, config: TrackConfig, sink: &mut Sink<'_>) {
        self.frame = self.codec.frame_duration();
        if self.config.as_deref() != Some(&config) {
            let config = Arc::new(config);
            self.config = Some(Arc::clone(&config));
            self.entries.note(&config);
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
        _ => START_CODE.find(piece).map(|at| at + 3),
    }
}
