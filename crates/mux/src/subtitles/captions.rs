//! Closed captions as cues: what the pictures of a video carry beside them.

use aqueduct_core::MuxError;
use aqueduct_media::cea608::{Channel, Decoder, pairs};
use aqueduct_media::time::{MPEG_HZ, rescale};
use aqueduct_media::webvtt::Segment;
use aqueduct_media::{Event, SampleData, TrackConfig, TrackId, TrackKind, fmp4, ts};
use serde::{Deserialize, Serialize};

use super::origin::Anchor;
use super::reader::{is_box, media};

/// Reads one channel of the captions in a video.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Captions {
    decoder: Decoder,
    source: Option<Source>,
    /// The first picture track: its number, its timescale and whether it is HEVC.
    video: Option<(TrackId, u32, bool)>,
    /// The period, and where it stands in the output.
    anchor: Option<(u64, Anchor)>,
    /// When the last picture is shown.
    last_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Source {
    Ts(Box<ts::Demuxer>),
    Fmp4(fmp4::Demuxer),
}

/// A picture's time, in ticks of 90 kHz, and its captions.
type Picture = (i64, Vec<aqueduct_media::cea608::Pair>);

impl Captions {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            decoder: Decoder::new(channel),
            source: None,
            video: None,
            anchor: None,
            last_ms: 0,
        }
    }

    pub(super) fn init(&mut self, bytes: &[u8]) -> Result<(), MuxError> {
        if is_box(bytes) {
            let (mut demuxer, mut events) = (fmp4::Demuxer::default(), Vec::new());
            demuxer.init(bytes, &mut events).map_err(media)?;
            self.pictures(events, bytes, &mut Vec::new());
            self.source = Some(Source::Fmp4(demuxer));
        }
        Ok(())
    }

    /// The cues of a segment that begins at `start_ms` in the output, in times of the output.
    pub(super) fn segment(&mut self, period: u64, start_ms: i64, bytes: &[u8]) -> Result<Segment, MuxError> {
        let mut pictures = Vec::new();
        if self.source.is_none() {
            self.source = Some(if is_box(bytes) {
                Source::Fmp4(fmp4::Demuxer::default())
            } else {
                Source::Ts(Box::default())
            });
        }
        match &mut self.source {
            Some(Source::Fmp4(demuxer)) => {
                let mut events = Vec::new();
                demuxer.segment(bytes, &mut events).map_err(media)?;
                self.pictures(events, bytes, &mut pictures);
            }
            Some(Source::Ts(demuxer)) => {
                let mut events = Vec::new();
                if self.anchor.is_some_and(|(known, _)| known != period) {
                    demuxer.discontinuity(&mut events);
                    // What it still held belongs to the period before, and there are no captions in it any more.
                    events.retain(|event| matches!(event, Event::Config { .. }));
                }
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
                self.pictures(events, &[], &mut pictures);
            }
            None => {}
        }
        if self.video.is_none() {
            return Err(MuxError::Unsupported {
                what: "there is no H.264 or HEVC whose captions could be read".into(),
            });
        }
        // Captions follow the pictures as they are shown.
        pictures.sort_by_key(|(pts, _)| *pts);
        let Some((first, _)) = pictures.first() else {
            return Ok(Segment::default());
        };
        let first = Anchor {
            clock: *first,
            film_ms: start_ms,
        };
        let (_, anchor) = *self
            .anchor
            .insert(self.anchor.filter(|(known, _)| *known == period).unwrap_or((period, first)));
        let mut segment = Segment::default();
        for (pts, pairs) in pictures {
            let film = rescale(pts.saturating_sub(anchor.clock), MPEG_HZ, 1000).saturating_add(anchor.film_ms);
            self.last_ms = self.last_ms.max(film);
            for pair in pairs {
                self.decoder.pair(pair, self.last_ms, &mut segment.cues);
            }
        }
        Ok(segment)
    }

    /// What is still shown at the end.
    pub(super) fn finish(&mut self) -> Segment {
        let mut segment = Segment::default();
        self.decoder.finish(self.last_ms, &mut segment.cues);
        segment
    }

    fn pictures<D: SampleData>(&mut self, events: Vec<Event<D>>, pushed: &[u8], pictures: &mut Vec<Picture>) {
        for event in events {
            match event {
                Event::Config { track, config } => {
                    if let Some(hevc) = codec(&config)
                        && self.video.is_none_or(|(known, ..)| known == track)
                    {
                        self.video = Some((track, config.timescale, hevc));
                    }
                }
                Event::Sample { track, sample } => {
                    if let Some((video, timescale, hevc)) = self.video
                        && video == track
                    {
                        pictures.push((rescale(sample.pts, timescale, MPEG_HZ), pairs(sample.data.bytes(pushed), hevc)));
                    }
                }
            }
        }
    }
}

/// Whether a picture track is HEVC; `None` for what carries no captions that can be read.
fn codec(config: &TrackConfig) -> Option<bool> {
    if config.kind != TrackKind::Video {
        return None;
    }
    match config.sample_entry.get(4..8)? {
        b"avc1" | b"avc3" => Some(false),
        b"hvc1" | b"hev1" => Some(true),
        _ => None,
    }
}
