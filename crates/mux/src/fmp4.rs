//! One fragmented MP4.

use aqueduct_core::{MuxError, Presentation, Write};
use aqueduct_media::{Error, Sample, TrackConfig, emsg::Message, mp4::FragmentWriter};
use serde::{Deserialize, Serialize};

use crate::mp4::metadata;
use crate::remux::{Order, SampleWriter, media};

/// Writes a fragmented MP4 (ISO 14496-12 §8.8): a header with all tracks, then fragments of about a second with the
/// samples of every track, each behind the messages that are due in it. Any output will do.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fmp4 {
    writer: FragmentWriter,
    /// Tracks that came after the header.
    late: u64,
    /// Messages that there was no room for.
    dropped: u64,
}

impl SampleWriter for Fmp4 {
    const CONTAINER: &'static str = "fragmented MP4";
    const ORDER: Order = Order::ByTime;
    const MESSAGES: bool = true;

    fn begin(&mut self, presentation: &Presentation, _: bool) -> Result<(), MuxError> {
        self.writer.set_metadata(metadata(presentation));
        Ok(())
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        let number = self.writer.add_track(config);
        self.late += u64::from(number.is_none());
        Ok(number)
    }

    fn configure(&mut self, track: usize, config: &TrackConfig, _: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer.configure(track, config).map_err(|error| match error {
            Error::LateChange(_) => MuxError::Unsupported {
                what: format!("{error}; a file ending in .mp4 or .ts can follow, and --split changes begins another file with a segment that brings them"),
            },
            error => media(error),
        })
    }

    fn message(&mut self, message: Message) {
        self.dropped += u64::from(!self.writer.message(message));
    }

    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, _: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer.add(track, sample).map_err(media)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer.flush(false, out).map_err(media)
    }

    fn skip(&mut self, track: usize) {
        self.writer.skip(track);
    }

    fn go_on_behind(&mut self, front: &[u8]) {
        self.writer.go_on_behind(front);
    }

    fn head(&self) -> u64 {
        self.writer.header_len() as u64
    }

    fn finish(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        let mut out = Vec::new();
        self.writer.flush(true, &mut out).map_err(media)?;
        writes.push(Write::append(out));
        for (count, what) in [
            (
                self.late,
                "tracks came after the header was written and are not in the file; one ending in .mp4 holds them",
            ),
            (
                self.dropped,
                "messages beside the tracks (emsg) are not in the file: too many at a time",
            ),
        ] {
            if count > 0 {
                notes.push(format!("file: {count} {what}"));
            }
        }
        Ok(())
    }
}
