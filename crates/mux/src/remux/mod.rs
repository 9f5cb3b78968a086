//! From MPEG-TS, packed audio or fragmented MP4 to one container that is written sample by sample.

mod captions;
mod doubts;
mod drift;
mod embed;
mod file;
mod interleave;
mod lane;
mod source;
mod text;
mod writer;

use std::{mem, sync::Arc, time::Duration};

use aqueduct_core::{Clear, Item, Mux, MuxError, Presentation, SegmentInfo, Summary, TrackId, TrackKind, Write};

use aqueduct_media::{
    TrackKind as MediaKind,
    cea608::Channel,
    time::{MPEG_HZ, rescale},
    timed_text::Coding,
};
use serde::{Deserialize, Serialize};

use self::{
    captions::Captions,
    embed::{Embedded, Held},
    file::{File, Push},
    lane::{Lane, Tags},
    source::{check_stream_types, note},
};

use crate::checkpoint;
use crate::subtitles::Origin;

pub use self::writer::{Order, SampleWriter};
pub(crate) use self::{
    source::{Source, holes},
    writer::media,
};

/// Makes one file of its tracks: MPEG-TS with H.264 or HEVC and any of its usual audio codecs, packed audio, or fragmented
/// MP4 with any codec. The container is the writer's.
///
/// Tracks are joined by their time stamps on one continuous [`Timeline`](aqueduct_media::timeline::Timeline), across
/// discontinuities and changes of codec parameters. What was damaged or repaired is counted and told in the
/// [`Summary`]. Subtitle Renditions become tracks of text, and so do captions inside the pictures where that is wanted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Remux<W> {
    file: File<W>,
    lanes: Vec<Lane>,
    /// How subtitles are written.
    coding: Coding,
    /// What they count their times from.
    #[serde(skip)]
    origin: Origin,
}

impl<W: SampleWriter> Remux<W> {
    /// A muxer that has seen nothing yet and writes with `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            file: File::new(writer),
            lanes: Vec::new(),
            coding: Coding::default(),
            origin: Origin::default(),
        }
    }

    /// The same with subtitles written so, and counted from what `origin` tells.
    #[must_use]
    pub(crate) fn with_subtitles(mut self, coding: Coding, origin: Origin) -> Self {
        self.coding = coding;
        self.origin = origin;
        self
    }

    /// The same with a channel of the captions inside the pictures as one more track of subtitles.
    #[must_use]
    pub(crate) fn with_captions(mut self, channel: Option<Channel>) -> Self {
        self.file.captions = channel.map(|channel| Box::new(Captions::new(channel, self.coding)));
        self
    }

    /// Has subtitles count from what `origin` tells.
    pub(crate) fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    pub(crate) fn writer(&self) -> &W {
        &self.file.writer
    }

    pub(crate) fn writer_mut(&mut self) -> &mut W {
        &mut self.file.writer
    }

    /// Makes the lane's demuxer the one for these bytes. Where the stream turns into another container, the demuxer
    /// before gives what it still holds, and its tracks wait for those of the new one, which go on in their place.
    fn follow(file: &mut File<W>, lane: &mut Lane, bytes: &[u8], complete: bool, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if let Some(next) = Source::change(lane.source.as_ref(), bytes)? {
            let next = if W::MESSAGES { next.keeping_messages() } else { next };
            Self::drain(file, lane, complete, writes)?;
            if let Some(old) = lane.source.replace(next) {
                old.notes(&lane.id.to_string(), &mut lane.notes);
            }
            lane.outputs.iter_mut().for_each(|output| output.source = None);
        }
        Ok(())
    }

    /// Takes what the lane's demuxer still holds.
    fn drain(file: &mut File<W>, lane: &mut Lane, complete: bool, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Some(Source::Ts(demuxer)) = &mut lane.source else {
            return Ok(());
        };
        let mut events = Vec::new();
        demuxer.finish(&mut events);
        let push = Push {
            tags: &lane.tags,
            period: lane.period.unwrap_or(0),
            duration: Duration::ZERO,
            complete,
            announced: false,
            first: false,
            bytes: &[],
        };
        file.take(&mut lane.outputs, push, events, writes)
    }

    /// Takes what all demuxers still hold, as [`finish`](Mux::finish) does.
    pub(crate) fn rest(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Self { file, lanes, .. } = self;
        lanes.iter_mut().try_for_each(|lane| Self::drain(file, lane, false, writes))
    }

    fn init(&mut self, track: TrackId, bytes: &[u8], writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Self { file, lanes, .. } = self;
        let complete = Lane::others_are_known(lanes, track);
        let lane = Lane::of(lanes, track);
        Self::follow(file, lane, bytes, complete, writes)?;
        let push = Push {
            tags: &lane.tags,
            period: lane.period.unwrap_or(0),
            duration: Duration::ZERO,
            complete,
            announced: true,
            first: lane.period.is_none(),
            bytes,
        };
        let Some(source) = &mut lane.source else { return Ok(()) };
        match source {
            // A PAT and a PMT (RFC 8216, 3.2).
            Source::Ts(demuxer) => {
                let mut events = Vec::new();
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
                file.take(&mut lane.outputs, push, events, writes)
            }
            Source::Packed(_) => Ok(()),
            Source::Fmp4(demuxer) => {
                let mut events = Vec::new();
                demuxer.init(bytes, &mut events).map_err(media)?;
                file.take(&mut lane.outputs, push, events, writes)
            }
        }
    }

    fn segment(&mut self, track: TrackId, info: &SegmentInfo, bytes: &[u8], writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Self { file, lanes, .. } = self;
        let complete = Lane::others_are_known(lanes, track);
        let lane = Lane::of(lanes, track);
        let period = info.discontinuity_sequence;
        Self::follow(file, lane, bytes, complete, writes)?;
        let first = lane.period.is_none();
        let last = lane.period.replace(period).filter(|last| *last != period);
        let tags = &lane.tags;
        let turned = lane.outputs.iter().any(|output| output.source.is_none());
        let push = Push {
            tags,
            period,
            duration: info.duration,
            complete,
            announced: last.is_some() || turned || matches!(lane.source, Some(Source::Fmp4(_))),
            first,
            bytes,
        };
        let Some(source) = &mut lane.source else { return Ok(()) };
        match source {
            Source::Ts(demuxer) => {
                let mut events = Vec::new();
                if let Some(period) = last {
                    // What is still in progress belongs to the period before.
                    demuxer.discontinuity(&mut events);
                    file.expect(demuxer.take_messages());
                    file.take(
                        &mut lane.outputs,
                        Push {
                            period,
                            duration: Duration::ZERO,
                            announced: false,
                            ..push
                        },
                        mem::take(&mut events),
                        writes,
                    )?;
                }
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
                check_stream_types(demuxer)?;
                file.expect(demuxer.take_messages());
                file.take(&mut lane.outputs, push, events, writes)
            }
            Source::Packed(demuxer) => {
                let mut events = Vec::new();
                if last.is_some() {
                    demuxer.discontinuity();
                }
                demuxer.segment(bytes, &mut events);
                file.take(&mut lane.outputs, push, events, writes)
            }
            Source::Fmp4(demuxer) => {
                let mut events = Vec::new();
                demuxer.segment(bytes, &mut events).map_err(media)?;
                file.expect(demuxer.take_messages());
                file.take(&mut lane.outputs, push, events, writes)
            }
        }
    }

    /// What is added to the times of a track, in ticks of 90 kHz: to those of its pictures, where it has any. `None` before its
    /// first sample.
    pub(crate) fn added(&self, track: TrackId) -> Option<i64> {
        let lane = self.lanes.iter().find(|lane| lane.id == track)?;
        let outputs = lane.outputs.iter().filter_map(|output| Some((output, output.number?)));
        let (output, number) = outputs.min_by_key(|(output, _)| output.kind != MediaKind::Video)?;
        self.file.timeline.span(number)?;
        Some(rescale(self.file.timeline.offset(number), output.timescale, MPEG_HZ))
    }

    /// Has subtitles read that waited for the pictures.
    pub(crate) fn read_on(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Self { file, lanes, origin, .. } = self;
        for lane in lanes {
            if let Some(embedded) = &mut lane.embedded {
                embedded.read_on(origin, &lane.tags, file, writes)?;
            }
        }
        Ok(())
    }

    pub(crate) fn mark_saved(&mut self) {
        self.file.writer.mark_saved();
        self.lanes
            .iter_mut()
            .filter_map(|lane| lane.embedded.as_mut())
            .for_each(Embedded::mark_saved);
    }

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole.
    pub(crate) fn put_behind(&mut self, mut earlier: Self) {
        self.file.writer.put_behind(earlier.file.writer);
        self.origin = earlier.origin;
        for lane in &mut self.lanes {
            let before = earlier.lanes.iter_mut().find(|before| before.id == lane.id);
            if let (Some(embedded), Some(before)) = (&mut lane.embedded, before.and_then(|before| before.embedded.take())) {
                embedded.put_behind(before);
            }
        }
    }

    /// The segment of a track that was pushed last ends in the middle, so that its last picture does too.
    pub(crate) fn cut(&mut self, track: TrackId) {
        if let Some(Source::Ts(demuxer)) = &mut Lane::of(&mut self.lanes, track).source {
            demuxer.cut();
        }
    }

    /// So much of a track is passed over: what comes next is written as it would be if that had been written, as far as it does not
    /// depend on it. `dropped` gets what is written of what came before.
    pub(crate) fn skip(&mut self, track: TrackId, info: &Arc<SegmentInfo>, dropped: &mut Vec<Write>) -> Result<(), MuxError> {
        let Self { file, lanes, origin, .. } = self;
        let lane = Lane::of(lanes, track);
        if let Some(embedded) = &mut lane.embedded {
            return embedded.segment(Held::new(info, info.duration, None), origin, &lane.tags, file, dropped);
        }
        match &mut lane.source {
            Some(Source::Ts(demuxer)) => {
                let mut events = Vec::new();
                demuxer.skip(info.duration, &mut events);
                file.expect(demuxer.take_messages());
                let push = Push {
                    tags: &lane.tags,
                    period: lane.period.unwrap_or(0),
                    duration: Duration::ZERO,
                    complete: false,
                    announced: false,
                    // The other tracks have theirs still to come.
                    first: true,
                    bytes: &[],
                };
                file.take(&mut lane.outputs, push, events, dropped)?;
            }
            Some(Source::Packed(demuxer)) => demuxer.skip(info.duration),
            Some(Source::Fmp4(_)) | None => {}
        }
        lane.outputs
            .iter()
            .filter_map(|output| output.number)
            .for_each(|number| file.skip(number));
        Ok(())
    }

    /// So much is missing.
    fn gap(&mut self, track: TrackId, duration: Duration) {
        let lane = Lane::of(&mut self.lanes, track);
        if let Some(Source::Ts(demuxer)) = &mut lane.source {
            demuxer.gap();
        }
        for number in lane.outputs.iter().filter_map(|output| output.number) {
            self.file.timeline.gap(number, duration);
        }
    }
}

impl<W: SampleWriter> Mux for Remux<W> {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        for track in &presentation.tracks {
            let lane = Lane::of(&mut self.lanes, track.id);
            let length = track.duration.filter(|_| !track.live);
            lane.embedded = (track.kind == TrackKind::Subtitles).then(|| Embedded::new(self.coding, length));
            lane.tags = Tags::of(track);
        }
        self.file.writer.begin(presentation, seekable)?;
        if let Some(captions) = &mut self.file.captions {
            captions.begin(presentation);
            self.file.writer.expect_text();
        }
        if W::ORDER == Order::ByTime {
            if let Some(mut captions) = self.file.captions.take() {
                captions.announce(&mut self.file)?;
                self.file.captions = Some(captions);
            }
            for lane in &mut self.lanes {
                if let Some(embedded) = &mut lane.embedded {
                    embedded.announce(&lane.tags, &mut self.file)?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Self { file, lanes, origin, .. } = self;
        if let Some(captions) = &mut file.captions {
            captions.anchor(origin);
        }
        let lane = Lane::of(lanes, track);
        // Of a gap, that of all the segments that it stands for.
        let duration = item.duration();
        if let Some(embedded) = &mut lane.embedded {
            return match item {
                Item::Init { payload, .. } => embedded.init(payload.as_slice(), origin, &lane.tags, file, writes),
                Item::Segment { info, payload } => {
                    let held = Held::new(&info, duration, Some(payload.as_slice()));
                    embedded.segment(held, origin, &lane.tags, file, writes)
                }
                Item::Gap { info, .. } => embedded.segment(Held::new(&info, duration, None), origin, &lane.tags, file, writes),
            };
        }
        match item {
            Item::Init { payload, .. } => self.init(track, payload.as_slice(), writes),
            Item::Segment { info, payload } => self.segment(track, &info, payload.as_slice(), writes),
            Item::Gap { .. } => {
                self.gap(track, duration);
                Ok(())
            }
        }
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        let saved = checkpoint::save(self, state);
        if saved {
            self.mark_saved();
        }
        saved
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        let earlier = mem::replace(self, checkpoint::read(state)?);
        self.put_behind(earlier);
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let mut summary = Summary::new(W::CONTAINER);
        let Self { file, lanes, origin, .. } = self;
        for lane in &mut *lanes {
            if let Some(embedded) = &mut lane.embedded {
                embedded.finish(origin, &lane.tags, file, writes, &mut summary.notes)?;
            }
            Self::drain(file, lane, false, writes)?;
            summary.notes.append(&mut lane.notes);
            if let Some(Source::Packed(demuxer)) = &lane.source
                && let Some(titles) = demuxer.titles()
                && !file.writer.set_titles(titles)
            {
                summary
                    .notes
                    .push(format!("{}: titles in its tags (ID3) are not in the file", lane.id));
            }
            if let Some(source) = &lane.source {
                source.notes(&lane.id.to_string(), &mut summary.notes);
            }
        }
        file.finish_captions(writes, &mut summary.notes)?;
        file.write_rest(writes)?;
        if file.tracks == 0 {
            return Err(MuxError::Media {
                what: format!(
                    "no track that can go into {}: no pictures and no sound in MPEG-TS, packed audio or fragmented MP4",
                    W::CONTAINER
                ),
            });
        }
        let repairs = file.timeline.stats();
        for (count, what) in [
            (repairs.jumps, "unannounced jumps of time stamps closed"),
            (repairs.moved_samples, "samples moved behind their predecessor"),
            (
                file.doubts.passed(),
                "changes of codec parameters that no later random access point confirmed: taken for damage and passed over",
            ),
            (
                file.timeless,
                "messages beside the tracks (emsg) came without pictures or sound and are not in the file",
            ),
        ] {
            note(&mut summary.notes, "file", count, what);
        }
        summary.notes.extend(holes(file.timeline.stats()));
        drift::notes(&file.timeline, lanes, &mut summary.notes);
        file.writer.finish(writes, &mut summary.notes)?;
        Ok(summary)
    }
}
