//! One Matroska file.

use std::mem;

use aqueduct_core::{MuxError, Presentation, Write, WriteAt};
use aqueduct_media::{
    Error, Sample, TrackConfig, TrackKind,
    mkv::{Index, Options, TextForm, Writer},
    packed::Titles,
};
use serde::{Deserialize, Serialize};

use crate::mp4::{length, metadata};
use crate::remux::{Order, SampleWriter, media};

/// Writes Matroska (RFC 9559): a head with all tracks, then clusters, then the index. An output that cannot go back to
/// earlier bytes gets a segment of unknown size.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Mkv {
    text: TextForm,
    writer: Option<Box<Writer>>,
    sound_alone: bool,
    /// Of the finished file, of which samples are written again.
    #[serde(skip)]
    index: Index,
    /// Tracks that have no form.
    unknown: Vec<String>,
}

impl Mkv {
    /// A writer whose tracks of text have this form.
    pub fn new(text: TextForm) -> Self {
        Self { text, ..Self::default() }
    }

    /// The same without pictures and whatever else is no sound: `.mka`.
    #[must_use]
    pub fn sound_alone(mut self) -> Self {
        self.sound_alone = true;
        self
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.get_or_insert_with(|| Box::new(Writer::new(&Options::default())))
    }
}

impl SampleWriter for Mkv {
    const CONTAINER: &'static str = "Matroska";
    const ORDER: Order = Order::ByTime;

    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        let mut options = Options::default();
        options.seekable = seekable;
        options.text = self.text;
        options.length = length(presentation);
        options.metadata = metadata(presentation);
        self.writer = Some(Box::new(Writer::new(&options)));
        Ok(())
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        if self.sound_alone && config.kind != TrackKind::Audio {
            return Ok(None);
        }
        match self.writer().add_track(config) {
            Ok(number) => Ok(number),
            Err(error) if matches!(config.kind, TrackKind::Video | TrackKind::Audio) => Err(unsupported(&error)),
            Err(error) => {
                self.unknown.push(error.to_string());
                Ok(None)
            }
        }
    }

    fn configure(&mut self, track: usize, config: &TrackConfig, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer().configure(track, config, out).map_err(|error| match error {
            Error::LateChange(_) => MuxError::Unsupported {
                what: format!(
                    "{error}; a file ending in .mp4 can follow, and --split changes begins another file with a segment that brings them"
                ),
            },
            error => unsupported(&error),
        })
    }

    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer().add(track, sample, out).map_err(media)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer().flush(out);
        Ok(())
    }

    fn set_titles(&mut self, titles: &Titles) -> bool {
        self.writer().metadata_mut().complete(titles);
        true
    }

    fn see_tail(&mut self, tail: &[u8]) {
        self.index = Index::find(tail);
    }

    fn stand_at(&mut self, offset: u64) {
        if let Some(writer) = &mut self.writer {
            writer.stand_at(offset, &self.index);
        }
    }

    fn head(&self) -> u64 {
        self.writer.as_ref().and_then(|writer| writer.head_end()).unwrap_or_default()
    }

    fn mark_saved(&mut self) {
        self.writer().mark_saved();
    }

    fn put_behind(&mut self, earlier: Self) {
        if let (Some(writer), Some(earlier)) = (&mut self.writer, earlier.writer) {
            writer.put_behind(*earlier);
        }
    }

    fn finish(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        let Self { writer, unknown, .. } = mem::take(self);
        let Some(writer) = writer else { return Ok(()) };
        let finish = writer.finish().map_err(media)?;
        writes.push(Write::append(finish.append));
        for patch in finish.patches {
            writes.push(Write {
                at: WriteAt::Offset(patch.offset),
                data: patch.bytes.into(),
            });
        }
        for (count, what) in [
            (
                finish.late_tracks,
                "tracks came after the head was written and are not in the file; one ending in .mp4 holds them",
            ),
            (finish.moved_samples, "samples before the beginning of the file, moved there"),
            (finish.broken_samples, "samples of text that cannot be read"),
        ] {
            if count > 0 {
                notes.push(format!("file: {count} {what}"));
            }
        }
        notes.extend(unknown.into_iter().map(|what| format!("file: {what}, and is left out")));
        Ok(())
    }
}

fn unsupported(error: &Error) -> MuxError {
    MuxError::Unsupported {
        what: format!("{error}; name the output .mp4"),
    }
}
