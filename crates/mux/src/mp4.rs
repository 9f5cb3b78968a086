//! One progressive MP4 file.

use aqueduct_core::{MuxError, Presentation, Write, WriteAt};
use aqueduct_media::{
    Sample, TrackConfig,
    mp4::{Options, Writer},
};

use serde::{Deserialize, Serialize};

use crate::remux::{Remux, SampleWriter, media};

/// Makes one progressive MP4 of its tracks.
///
/// Samples are stored as they come; the index follows at the end. It needs an output that can seek.
pub type Mp4Muxer = Remux<Mp4>;

/// Writes a progressive MP4 (ISO 14496-12).
#[derive(Debug, Serialize, Deserialize)]
pub struct Mp4 {
    writer: Writer,
    head: Vec<u8>,
}

impl Default for Mp4 {
    fn default() -> Self {
        let (writer, head) = Writer::start(&Options::default());
        Self { writer, head }
    }
}

impl SampleWriter for Mp4 {
    const CONTAINER: &'static str = "MP4";

    fn begin(&mut self, _: &Presentation, seekable: bool) -> Result<(), MuxError> {
        if !seekable {
            return Err(MuxError::Unsupported {
                what: "an MP4 needs an output that can seek; write to a file, or choose .ts".into(),
            });
        }
        Ok(())
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.head);
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<usize, MuxError> {
        Ok(self.writer.add_track(config))
    }

    fn configure(&mut self, track: usize, config: &TrackConfig, _: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer.configure(track, config).map_err(media)
    }

    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.writer.add(track, sample, sample.data.len()).map_err(media)?;
        out.extend_from_slice(sample.data);
        Ok(())
    }

    fn mark_saved(&mut self) {
        self.writer.mark_saved();
    }

    fn put_behind(&mut self, earlier: Self) {
        self.writer.put_behind(earlier.writer);
    }

    fn finish(&mut self, writes: &mut Vec<Write>, _: &mut Vec<String>) -> Result<(), MuxError> {
        let finish = std::mem::take(self).writer.finish().map_err(media)?;
        writes.push(Write::append(finish.append));
        for patch in finish.patches {
            writes.push(Write {
                at: WriteAt::Offset(patch.offset),
                data: patch.bytes.into(),
            });
        }
        Ok(())
    }
}
