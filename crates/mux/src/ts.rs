//! One MPEG transport stream.

use aqueduct_core::{MuxError, Presentation, Write};
use aqueduct_media::{Sample, TrackConfig, ts::Writer};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::remux::{Order, SampleWriter, media};

/// Writes MPEG-TS (ISO 13818-1): H.264, HEVC, AAC, MPEG audio, AC-3, E-AC-3 and Opus. Any output will do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ts {
    writer: Writer,
    /// The samples of the first batch, which tell how far pictures are decoded after they are due.
    first: Option<Vec<(usize, Sample<Bytes>)>>,
}

impl Default for Ts {
    fn default() -> Self {
        Self {
            writer: Writer::default(),
            first: Some(Vec::new()),
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

    fn begin(&mut self, _: &Presentation, _: bool) -> Result<(), MuxError> {
        Ok(())
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        self.writer.add_track(config).map(Some).map_err(|error| unsupported(&error))
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

    fn finish(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        let mut out = Vec::new();
        self.flush(&mut out)?;
        writes.push(Write::append(out));
        let broken = self.writer.stats().broken_samples;
        if broken > 0 {
            notes.push(format!("file: {broken} samples that are not whole"));
        }
        Ok(())
    }
}

fn unsupported(error: &aqueduct_media::Error) -> MuxError {
    MuxError::Unsupported {
        what: format!("{error}, so MPEG-TS cannot hold it; name the output .mp4"),
    }
}
