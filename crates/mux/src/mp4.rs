//! One progressive MP4 file.

use std::time::{Duration, SystemTime};

use aqueduct_core::{MuxError, Presentation, Write, WriteAt};
use aqueduct_media::{
    Sample, TrackConfig, TrackKind,
    mp4::{Chapter, Metadata, Options, Writer},
    packed::Titles,
};

use serde::{Deserialize, Serialize};

use crate::remux::{Order, Remux, SampleWriter, media};

/// Makes one progressive MP4 of its tracks. It needs an output that can seek.
pub type Mp4Muxer = Remux<Mp4>;

/// The index is never given more room in front than this, in bytes: enough for half a day.
const MAX_RESERVE: u64 = 32 << 20;
/// The first samples are held back until they cover this much, or take so many bytes: they show what the index of the
/// whole will take. It is what a second brings at the least: how long its last sample lasts is told by the next.
const OPENING: Duration = Duration::from_millis(900);
const OPENING_BYTES: usize = 4 << 20;
/// What the index takes for a second of an audio track that has not come yet: AAC at 48 kHz, and its chunk.
const SOUND_INDEX: u64 = 47 * 4 + 20;
/// The same for a track of text: a sample a second, in a chunk of its own, with a length of its own.
const TEXT_INDEX: u64 = 4 + 8 + 20;

/// Writes a progressive MP4 (ISO 14496-12).
///
/// Where the length is known in advance, the index gets its room in front of the media, so that playing can begin
/// before all is there ("fast start"). Should the room not do, the index goes to the end, and a note says so.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mp4 {
    writer: Writer,
    /// What the file starts with, and the samples so far, until it is known how much room the index needs.
    opening: Option<Opening>,
    reserved: u64,
    /// How long what the file starts with is, once it is written.
    head: u64,
    length: Option<Duration>,
    /// Audio tracks that the presentation has and that have not come yet.
    sound_to_come: usize,
    text_to_come: bool,
    sound_alone: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Opening {
    head: Vec<u8>,
    media: Vec<u8>,
}

impl Default for Mp4 {
    fn default() -> Self {
        let (writer, head) = Writer::start(&Options::default());
        Self {
            writer,
            opening: Some(Opening {
                head,
                ..Opening::default()
            }),
            reserved: 0,
            head: 0,
            length: None,
            sound_to_come: 0,
            text_to_come: false,
            sound_alone: false,
        }
    }
}
impl Mp4 {
    /// The same without pictures and whatever else is no sound: `.m4a`.
    #[must_use]
    pub fn sound_alone(mut self) -> Self {
        self.sound_alone = true;
        self
    }

    /// The same without what stands in front of the media.
    pub(crate) fn media_alone(mut self) -> Self {
        self.opening = None;
        self
    }
}

impl Mp4 {
    /// Reserves room for the index as well as it can be told by now, and lets out what was held back.
    fn open(&mut self, out: &mut Vec<u8>) {
        let Some(mut opening) = self.opening.take() else { return };
        // A file that ended already is exactly as long as its samples.
        if let Some(length) = self.length {
            let track = |index: u64| index.saturating_mul(length.as_secs()).saturating_add(1024);
            let sound = track(SOUND_INDEX).saturating_mul(self.sound_to_come as u64);
            let text = if self.text_to_come { track(TEXT_INDEX) } else { 0 };
            let wanted = self.writer.index_estimate(length).saturating_add(sound).saturating_add(text);
            match u32::try_from(wanted) {
                Ok(bytes) if wanted <= MAX_RESERVE => {
                    self.writer.reserve(bytes, &mut opening.head);
                    self.reserved = wanted;
                }
                _ => tracing::debug!(wanted, "an index too large to stand in front"),
            }
        }
        self.head = opening.head.len() as u64;
        // The media is large, and moves without a second copy.
        let Opening { head, mut media } = opening;
        media.splice(..0, head);
        if out.is_empty() {
            *out = media;
        } else {
            out.append(&mut media);
        }
    }
}

impl SampleWriter for Mp4 {
    const CONTAINER: &'static str = "MP4";
    const ORDER: Order = Order::ByTrack;

    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        if !seekable {
            return Err(MuxError::Unsupported {
                what: "an MP4 needs an output that can seek; write to a file, or choose fragmented MP4 or MPEG-TS".into(),
            });
        }
        self.length = length(presentation);
        let tracks = presentation.tracks.iter();
        self.sound_to_come = tracks.filter(|track| track.kind == aqueduct_core::TrackKind::Audio).count();
        self.writer.set_metadata(metadata(presentation));
        Ok(())
    }

    fn expect_text(&mut self) {
        self.text_to_come = true;
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        let sound = config.kind == TrackKind::Audio;
        self.sound_to_come -= usize::from(sound).min(self.sound_to_come);
        Ok((sound || !self.sound_alone).then(|| self.writer.add_track(config)))
    }

    fn configure(&mut self, track: usize, config: &TrackConfig, _: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer.configure(track, config).map_err(media)
    }

    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer.add(track, sample, sample.data.len()).map_err(media)?;
        match &mut self.opening {
            Some(opening) => opening.media.extend_from_slice(sample.data),
            None => out.extend_from_slice(sample.data),
        }
        Ok(())
    }

    fn set_titles(&mut self, titles: &Titles) -> bool {
        self.writer.metadata_mut().complete(titles);
        true
    }

    fn head(&self) -> u64 {
        self.head
    }

    fn mark_saved(&mut self) {
        self.writer.mark_saved();
    }

    fn put_behind(&mut self, earlier: Self) {
        self.writer.put_behind(earlier.writer);
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), MuxError> {
        let Some(opening) = &self.opening else { return Ok(()) };
        if self.length.is_none() || opening.media.len() >= OPENING_BYTES || self.writer.covered() >= OPENING {
            self.open(out);
        }
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        let mut rest = Vec::new();
        self.open(&mut rest);
        let Self { writer, reserved, .. } = std::mem::take(self);
        let mut finish = writer.finish().map_err(media)?;
        if reserved > 0 && !finish.fast_start {
            notes.push(format!(
                "file: the index took {} bytes, more than the {reserved} reserved for it in front, so it stands at the end",
                finish.append.len()
            ));
        }
        rest.append(&mut finish.append);
        writes.push(Write::append(rest));
        for patch in finish.patches {
            writes.push(Write {
                at: WriteAt::Offset(patch.offset),
                data: patch.bytes.into(),
            });
        }
        Ok(())
    }
}

/// How long the film will be, if all of it is there already.
pub(crate) fn length(presentation: &Presentation) -> Option<Duration> {
    let tracks = presentation.tracks.iter();
    let joined = tracks.filter(|track| track.kind != aqueduct_core::TrackKind::Subtitles);
    let lengths: Option<Vec<Duration>> = joined.map(|track| track.duration.filter(|_| !track.live)).collect();
    lengths.and_then(|lengths| lengths.into_iter().max())
}

/// What the presentation tells of the film as a whole.
pub(crate) fn metadata(presentation: &Presentation) -> Metadata {
    let since = presentation
        .recorded
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let chapters = presentation.chapters.iter().map(|chapter| Chapter {
        start: chapter.start,
        title: chapter.title.clone(),
    });
    Metadata {
        title: presentation.title.clone(),
        artist: None,
        album: None,
        recorded: since.map(|since| since.as_secs()),
        chapters: chapters.collect(),
    }
}
