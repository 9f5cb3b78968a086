//! Closed captions as cues: what the pictures of a video carry beside them.

use aqueduct_core::MuxError;
use aqueduct_media::cea608::{self, CaptionData, Channel, Coding, Found};
use aqueduct_media::time::{MPEG_HZ, rescale};
use aqueduct_media::timeline::Options;
use aqueduct_media::ts::Demuxer;
use aqueduct_media::webvtt::Segment;
use aqueduct_media::{Event, SampleData, TrackId, TrackKind, fmp4};
use serde::{Deserialize, Serialize};

use super::origin::Anchor;
use super::reader::{is_box, media, milliseconds};
use super::shift::Window;

/// Why there are none, where they are not looked for in pictures that there are.
pub(crate) const NO_PICTURES: &str = "there is no H.264 or HEVC whose captions could be read";

/// Reads one channel of the captions in a video.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Captions {
    captions: cea608::Captions,
    source: Option<Source>,
    /// The first picture track: its number, its timescale and how it is coded.
    video: Option<(TrackId, u32, Coding)>,
    /// The period, and where it stands in the output, or where it goes on behind a jump.
    anchor: Option<(u64, Anchor)>,
    /// Of the period: when the last picture is decoded, in ticks of 90 kHz, and up to when pictures are shown, in milliseconds.
    last: Option<(i64, i64)>,
    /// Where the last segment ends by its playlist, in milliseconds.
    end_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Source {
    Ts(Box<Demuxer>),
    Fmp4(fmp4::Demuxer),
}

/// A picture with its times, in ticks of 90 kHz, and its captions.
#[derive(Debug)]
struct Picture {
    dts: i64,
    pts: i64,
    data: CaptionData,
}

impl Captions {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            captions: cea608::Captions::new(channel),
            source: None,
            video: None,
            anchor: None,
            last: None,
            end_ms: 0,
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

    /// The cues of a segment, in times of the output.
    pub(super) fn segment(&mut self, period: u64, window: Window, bytes: &[u8]) -> Result<Segment, MuxError> {
        let start_ms = window.start_ms;
        let (mut pictures, mut segment) = (Vec::new(), Segment::default());
        if self.anchor.is_some_and(|(known, _)| known != period) {
            // What the demuxer still held, and pictures that waited, belong to the period before.
            self.rest(Demuxer::discontinuity, &mut segment);
            (self.anchor, self.last) = (None, None);
        }
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
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
                self.pictures(events, &[], &mut pictures);
            }
            None => {}
        }
        if self.video.is_none() {
            return Err(MuxError::Unsupported { what: NO_PICTURES.into() });
        }
        if self.anchor.is_none()
            && let Some(clock) = pictures.iter().map(|picture| picture.pts).min()
        {
            self.anchor = Some((period, Anchor { clock, film_ms: start_ms }));
        }
        self.read(pictures, start_ms, &mut segment);
        self.end_ms = start_ms.saturating_add(window.duration_ms);
        Ok(segment)
    }

    /// Reads what a demuxer of MPEG-TS gives at an end, and the pictures that waited.
    fn rest(&mut self, end: fn(&mut Demuxer, &mut Vec<Event>), segment: &mut Segment) {
        let mut pictures = Vec::new();
        if let Some(Source::Ts(demuxer)) = &mut self.source {
            let mut events = Vec::new();
            end(demuxer, &mut events);
            self.pictures(events, &[], &mut pictures);
        }
        self.read(pictures, self.end_ms, segment);
        self.captions.settle(&mut segment.cues);
    }

    /// Reads pictures of what begins at `start_ms`. Behind a jump that nothing announced ([`Options`]) they go on where those before
    /// them end, and not before the segment does.
    fn read(&mut self, mut pictures: Vec<Picture>, start_ms: i64, segment: &mut Segment) {
        let Some((period, mut anchor)) = self.anchor else { return };
        let ticks = |milliseconds: i64| rescale(milliseconds, 1000, MPEG_HZ);
        let options = Options::default();
        let most_back = ticks(milliseconds(options.max_overlap));
        // Segments that are missing leave a hole.
        let missing = start_ms.saturating_sub(self.end_ms).max(0);
        let most_ahead = ticks(milliseconds(options.max_hole).saturating_add(missing));
        let jumps = |step: i64| step < -most_back || step > most_ahead;
        for at in 0..pictures.len() {
            let dts = pictures[at].dts;
            if let Some((last, shown_ms)) = self.last
                && jumps(dts.saturating_sub(last))
            {
                self.captions.settle(&mut segment.cues);
                let rest = pictures[at..].iter().take_while(|picture| !jumps(picture.dts.saturating_sub(dts)));
                anchor = Anchor {
                    clock: rest.map(|picture| picture.pts).min().unwrap_or(pictures[at].pts),
                    film_ms: shown_ms.max(start_ms),
                };
            }
            let shown = rescale(pictures[at].pts.saturating_sub(anchor.clock), MPEG_HZ, 1000).saturating_add(anchor.film_ms);
            self.last = Some((dts, self.last.map_or(shown, |(_, last)| last.max(shown))));
            let data = std::mem::take(&mut pictures[at].data);
            self.captions.picture(data, shown, &mut segment.cues);
        }
        self.anchor = Some((period, anchor));
    }

    /// What is still shown at the end.
    pub(super) fn finish(&mut self) -> Segment {
        let mut segment = Segment::default();
        self.rest(Demuxer::finish, &mut segment);
        self.captions.finish(&mut segment.cues);
        segment
    }

    /// Tells where captions are if there are none in the channel.
    pub(super) fn notes(&self, notes: &mut Vec<String>) {
        notes.extend(elsewhere(self.captions.channel(), self.captions.found()));
    }

    fn pictures<D: SampleData>(&mut self, events: Vec<Event<D>>, pushed: &[u8], pictures: &mut Vec<Picture>) {
        for event in events {
            match event {
                Event::Config { track, config } => {
                    if config.kind == TrackKind::Video
                        && let Some(coding) = Coding::of(&config)
                        && self.video.is_none_or(|(known, ..)| known == track)
                    {
                        self.video = Some((track, config.timescale, coding));
                    }
                }
                Event::Sample { track, sample } => {
                    if let Some((video, timescale, coding)) = self.video
                        && video == track
                    {
                        let data = CaptionData::of(sample.data.bytes(pushed), coding);
                        let [dts, pts] = [sample.dts, sample.pts].map(|time| rescale(time, timescale, MPEG_HZ));
                        pictures.push(Picture { dts, pts, data });
                    }
                }
            }
        }
    }
}

/// Where captions are, if there are none in `channel`.
pub(crate) fn elsewhere(channel: Channel, found: Found) -> Option<String> {
    let others: Vec<&str> = found.channels().map(Channel::name).collect();
    let what = match (&others[..], found.services) {
        (others, _) if others.contains(&channel.name()) => return None,
        ([], true) => "only services of CEA-708, which cannot be read".to_owned(),
        ([], false) => "no others".to_owned(),
        (others, _) => format!("those of {}", others.join(" and ")),
    };
    Some(format!("captions: the pictures have none in {}, and {what}", channel.name()))
}
