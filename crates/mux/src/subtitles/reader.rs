//! A subtitle Rendition as cues, whatever its segments are.

use std::ops::Range;
use std::time::Duration;
use std::{iter, mem};

use aqueduct_core::MuxError;
use aqueduct_media::cea608::Channel;
use aqueduct_media::time::rescale;
use aqueduct_media::webvtt::{Cue, Joiner, Segment};
use aqueduct_media::{Error, Event, TrackId, fmp4, ttml, wvtt};

use serde::{Deserialize, Serialize};

use super::captions::Captions;
use super::origin::Anchor;
use super::shift::{Clock, Shift, Shifts, Window};

/// From the items of one track to cues in the time of the output, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reader {
    joiner: Joiner,
    shift: Shift,
    fragmented: Option<Fragmented>,
    /// On the heap: the screens that they are written to are large.
    captions: Option<Box<Captions>>,
    /// Playing time so far.
    position: Duration,
}

impl Reader {
    /// A reader of the captions inside a video.
    pub(crate) fn of_captions(channel: Channel) -> Self {
        Self {
            captions: Some(Box::new(Captions::new(channel))),
            ..Self::default()
        }
    }

    /// Takes a Media Initialization Section.
    pub(crate) fn init(&mut self, bytes: &[u8]) -> Result<(), MuxError> {
        if let Some(captions) = &mut self.captions {
            return captions.init(bytes);
        }
        let mut events = Vec::new();
        let fragmented = self.fragmented.get_or_insert_default();
        fragmented.demuxer.init(bytes, &mut events).map_err(media)?;
        fragmented.configure(events)?;
        let blocks = fragmented.blocks.clone();
        let header = Segment {
            blocks,
            ..Segment::default()
        };
        self.joiner.push(header, 0, &mut Vec::new());
        Ok(())
    }

    /// Where a segment of this length stands by its playlist, if it comes next.
    pub(crate) fn window(&self, duration: Duration) -> Window {
        Window {
            start_ms: milliseconds(self.position),
            duration_ms: milliseconds(duration),
        }
    }

    /// Takes a segment of a period (Discontinuity Sequence Number), and appends to `cues` those that are complete. `anchors` say
    /// where its period stands in the output, and where it goes on behind jumps, if that is known.
    pub(crate) fn segment(
        &mut self,
        period: u64,
        duration: Duration,
        bytes: &[u8],
        anchors: &[Anchor],
        cues: &mut Vec<Cue>,
    ) -> Result<(), MuxError> {
        let window = self.window(duration);
        self.position = self.position.saturating_add(duration);
        if let Some(captions) = &mut self.captions {
            let segment = captions.segment(period, window, bytes)?;
            self.joiner.push(segment, 0, cues);
            return Ok(());
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let (clock, segments) = if is_box(bytes) {
            let fragmented = self.fragmented.get_or_insert_default();
            (Clock::Media, fragmented.segment(bytes)?)
        } else if ttml::is_ttml(bytes) {
            let end_ms = window.start_ms.saturating_add(window.duration_ms);
            (Clock::Unbound, vec![ttml::parse(bytes, end_ms).map_err(media)?])
        } else if text.starts_with(b"WEBVTT") || text.trim_ascii().is_empty() {
            let segment = Segment::parse(bytes).map_err(media)?;
            (segment.map.map_or(Clock::Unbound, Clock::Mapped), vec![segment])
        } else {
            return Err(MuxError::Media {
                what: "it is neither WebVTT nor TTML: the server may have answered with a page or an error".into(),
            });
        };
        let first = segments.iter().find(|segment| !segment.cues.is_empty());
        let first = first.map_or(&[][..], |segment| &segment.cues);
        let shifts = self.shift.of(clock, first, period, window, anchors);
        for segment in segments {
            self.join(segment, &shifts, cues);
        }
        Ok(())
    }

    /// Hands a segment to the joiner, in pieces where its times jump.
    fn join(&mut self, mut segment: Segment, shifts: &Shifts, cues: &mut Vec<Cue>) {
        let mut rest = mem::take(&mut segment.cues).into_iter().peekable();
        loop {
            let shift = rest.peek().map_or(0, |cue| shifts.of(cue));
            segment.cues.extend(iter::from_fn(|| rest.next_if(|cue| shifts.of(cue) == shift)));
            self.joiner.push(mem::take(&mut segment), shift, cues);
            if rest.peek().is_none() {
                return;
            }
        }
    }

    /// A segment is missing.
    pub(crate) fn gap(&mut self, duration: Duration) {
        self.position = self.position.saturating_add(duration);
    }

    /// No more segments: appends the cues that are left.
    pub(crate) fn finish(&mut self, cues: &mut Vec<Cue>) {
        if let Some(captions) = &mut self.captions {
            self.joiner.push(captions.finish(), 0, cues);
        }
        self.joiner.finish(cues);
    }

    /// Appends the cues that wait though no segment can go on with them any more: for who cannot wait.
    pub(crate) fn hand_on(&mut self, cues: &mut Vec<Cue>) {
        self.joiner.hand_on(milliseconds(self.position), cues);
    }

    /// Appends all cues that wait: no segment is to come.
    pub(crate) fn close(&mut self, cues: &mut Vec<Cue>) {
        self.joiner.finish(cues);
    }

    /// No cue that is still to come begins earlier, in milliseconds.
    pub(crate) fn reached_ms(&self) -> i64 {
        let position = milliseconds(self.position);
        self.joiner.waits_from().map_or(position, |first| first.min(position))
    }

    /// Playing time of all that was read.
    pub(crate) fn position(&self) -> Duration {
        self.position
    }

    /// What stands in the head of a WebVTT file.
    pub(crate) fn blocks(&self) -> &[String] {
        self.joiner.blocks()
    }

    pub(crate) fn mark_saved(&mut self) {
        self.joiner.mark_saved();
    }

    pub(crate) fn put_behind(&mut self, earlier: Self) {
        self.joiner.put_behind(earlier.joiner);
    }

    /// Tells what was left out. Repetitions are nothing to tell of.
    pub(crate) fn notes(&self, notes: &mut Vec<String>) {
        if let Some(captions) = &self.captions {
            captions.notes(notes);
        }
        let stats = self.joiner.stats();
        let damage = self.fragmented.as_ref().map(|fragmented| fragmented.demuxer.stats());
        for (count, what) in [
            (stats.broken_cues, "cues that cannot be read left out"),
            (stats.late_blocks, "style and region blocks left out that came after the first cues"),
            (damage.map_or(0, |stats| stats.broken_moofs), "movie fragments that cannot be read"),
            (damage.map_or(0, |stats| stats.lost_samples), "samples whose data is missing"),
        ] {
            if count > 0 {
                notes.push(format!("subtitles: {count} {what}"));
            }
        }
    }
}

/// Subtitles in fragmented MP4 (ISO 14496-30): WebVTT (`wvtt`) or TTML (`stpp`).
#[derive(Debug, Default, Serialize, Deserialize)]
struct Fragmented {
    demuxer: fmp4::Demuxer,
    track: Option<(TrackId, Codec, u32)>,
    blocks: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Codec {
    WebVtt,
    Ttml,
}

impl Fragmented {
    /// Finds the track of subtitles.
    fn configure(&mut self, events: Vec<Event<Range<usize>>>) -> Result<(), MuxError> {
        let mut others = Vec::new();
        for event in events {
            let Event::Config { track, config } = event else { continue };
            let codec = match config.sample_entry.get(4..8) {
                Some(b"wvtt") => Codec::WebVtt,
                Some(b"stpp") => Codec::Ttml,
                other => {
                    others.push(other.unwrap_or_default().escape_ascii().to_string());
                    continue;
                }
            };
            if codec == Codec::WebVtt {
                self.blocks = wvtt::blocks(&config.sample_entry);
            }
            let edit = config.presentation_offset.unwrap_or(0);
            tracing::debug!(?codec, edit, "subtitles in fragmented MP4");
            self.track = Some((track, codec, config.timescale));
        }
        if self.track.is_none() {
            return Err(MuxError::Unsupported {
                what: format!(
                    "subtitles as {} are neither WebVTT nor TTML; --subs none leaves them out",
                    others.join(", ")
                ),
            });
        }
        Ok(())
    }

    /// One segment for each sample, with the times of the track.
    fn segment(&mut self, bytes: &[u8]) -> Result<Vec<Segment>, MuxError> {
        let mut events = Vec::new();
        self.demuxer.segment(bytes, &mut events).map_err(media)?;
        if self.track.is_none() {
            // It brings its own movie box.
            self.configure(events.clone())?;
        }
        let Some((wanted, codec, timescale)) = self.track else {
            return Ok(Vec::new());
        };
        let mut segments = Vec::new();
        for event in events {
            let Event::Sample { track, sample } = event else { continue };
            if track != wanted {
                continue;
            }
            let data = bytes.get(sample.data).unwrap_or_default();
            let end = sample.pts.saturating_add(sample.duration.unwrap_or(0).into());
            let (start_ms, end_ms) = (rescale(sample.pts, timescale, 1000), rescale(end, timescale, 1000));
            let segment = match codec {
                Codec::WebVtt => wvtt::sample(data, start_ms, end_ms),
                Codec::Ttml if data.trim_ascii().is_empty() => Ok(Segment::default()),
                Codec::Ttml => ttml::parse(data, end_ms).map(|segment| within(segment, start_ms, end_ms)),
            };
            match segment {
                Ok(segment) => segments.push(segment),
                Err(error @ Error::PictureSubtitles) => return Err(media(error)),
                Err(_) => segments.push(Segment {
                    broken_cues: 1,
                    ..Segment::default()
                }),
            }
        }
        Ok(segments)
    }
}

/// A document is shown while its sample is (ISO 14496-30, 5.2): its times are those of the track. Some count from the
/// beginning of the sample instead, and then none of them would ever be shown.
fn within(mut document: Segment, start_ms: i64, end_ms: i64) -> Segment {
    let meets = |cue: &Cue, shift: i64| cue.start_ms.saturating_add(shift) < end_ms && cue.end_ms.saturating_add(shift) > start_ms;
    if !document.cues.iter().any(|cue| meets(cue, 0)) && document.cues.iter().any(|cue| meets(cue, start_ms)) {
        for cue in &mut document.cues {
            cue.start_ms = cue.start_ms.saturating_add(start_ms);
            cue.end_ms = cue.end_ms.saturating_add(start_ms);
        }
    }
    document.cues.retain_mut(|cue| {
        cue.start_ms = cue.start_ms.max(start_ms);
        cue.end_ms = cue.end_ms.min(end_ms);
        cue.start_ms < cue.end_ms
    });
    document
}

pub(super) fn is_box(bytes: &[u8]) -> bool {
    const BOXES: [&[u8]; 9] = [b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft", b"free", b"skip"];
    bytes.get(4..8).is_some_and(|kind| BOXES.contains(&kind))
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn media(error: Error) -> MuxError {
    match error {
        Error::PictureSubtitles => MuxError::Unsupported {
            what: format!("{error}; --subs none leaves them out"),
        },
        error => MuxError::Media { what: error.to_string() },
    }
}
