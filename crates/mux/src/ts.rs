//! One MPEG transport stream.

use aqueduct_core::{MuxError, Presentation, Write};
use aqueduct_media::{Sample, TrackConfig, emsg::Message, ts::Writer};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::remux::{Order, SampleWriter, media};

/// Writes MPEG-TS (ISO 13818-1): H.264, HEVC, AAC, MPEG audio, AC-3, E-AC-3 and Opus, with ID3 tags as timed metadata. Any output
/// will do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ts {
    writer: Writer,
    /// The samples of the first batch, which tell how far pictures are decoded after they are due.
    first: Option<Vec<(usize, Sample<Bytes>)>>,
    /// Messages that had no place.
    dropped: u64,
}

impl Default for Ts {
    fn default() -> Self {
        Self {
            writer: Writer::default(),
            first: Some(Vec::new()),
            dropped: 0,
        }
    }
}

impl Ts {
    fn write_first(&mut self, out: &mut Vec<u8>) -> Result<(), MuxError> {
        let first = self.first.take_if(|first| !first.is_empty()).unwrap_or_default();
        let mut late: Vec<i64> = Vec::new();
        for (track, sample) in &first {
            late.resize(late.len().max(track + 1), 0);
            late[*track] = late[*track].max(sample.dts.saturating_sub(sample.pts));
        }
        for (track, late) in late.into_iter().enumerate() {
            self.writer.decode_earlier(track, u32::try_from(late).unwrap_or(0));
        }
        for (track, sample) in &first {
            self.writer.add(*track, &sample.as_slice(&[]), out).map_err(media)?;
        }
        Ok(())
    }
}

impl SampleWriter for Ts {
    const CONTAINER: &'static str = "MPEG-TS";
    const ORDER: Order = Order::ByTime;
    const MESSAGES: bool = true;

    fn begin(&mut self, _: &Presentation, _: bool) -> Result<(), MuxError> {
        Ok(())
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        self.writer.add_track(config).map(Some).map_err(|error| unsupported(&error))
    }

    fn message(&mut self, message: Message) {
        self.dropped += u64::from(!self.writer.message(message));
    }

    fn configure(&mut self, track: usize, config: &TrackConfig, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.write_first(out)?;
        self.writer.configure(track, config, out).map_err(|error| unsupported(&error))
    }

    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        match &mut self.first {
            Some(first) => first.push((track, sample.clone().map_data(Bytes::copy_from_slice))),
            None => self.writer.add(track, sample, out).map_err(media)?,
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.write_first(out)?;
        self.writer.flush(out);
        Ok(())
    }

    fn go_on_behind(&mut self, front: &[u8]) {
        self.writer.go_on_behind(front);
    }

    fn finish(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        let mut out = Vec::new();
        self.write_first(&mut out)?;
        self.writer.finish(&mut out);
        writes.push(Write::append(out));
        for (count, what) in [
            (self.writer.stats().broken_samples, "samples that are not whole"),
            (
                self.dropped,
                "messages beside the tracks (emsg) are not in the file: they are no ID3 tags, or too many or too large ones",
            ),
        ] {
            if count > 0 {
                notes.push(format!("file: {count} {what}"));
            }
        }
        Ok(())
    }
}

fn unsupported(error: &aqueduct_media::Error) -> MuxError {
    MuxError::Unsupported {
        what: format!("{error}, so MPEG-TS cannot hold it; name the output .mp4"),
    }
}
