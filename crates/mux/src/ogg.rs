//! Opus alone, in Ogg.

use aqueduct_core::{MuxError, Presentation, Write};
use aqueduct_media::{Error, Sample, TrackConfig, TrackKind, ogg::Writer};
use serde::{Deserialize, Serialize};

use crate::remux::{Order, SampleWriter, media};

/// Writes the first audio track as Ogg Opus (RFC 7845). Pictures are left out without a word, further audio tracks with a
/// note. Any output will do.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ogg {
    writer: Option<Writer>,
    title: Option<String>,
    others: u64,
    broken: u64,
}

impl SampleWriter for Ogg {
    const CONTAINER: &'static str = "Ogg Opus";
    const ORDER: Order = Order::ByTrack;

    fn begin(&mut self, presentation: &Presentation, _: bool) -> Result<(), MuxError> {
        self.title.clone_from(&presentation.title);
        Ok(())
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        if config.kind != TrackKind::Audio {
            return Ok(None);
        }
        if self.writer.is_some() {
            self.others += 1;
            return Ok(None);
        }
        self.writer = Some(Writer::new(config).map_err(|error| match error {
            Error::NotOpus(_) => MuxError::Unsupported {
                what: format!("{error}: name the output .mka or .m4a"),
            },
            error => media(error),
        })?);
        Ok(Some(0))
    }

    fn configure(&mut self, _: usize, config: &TrackConfig, _: &mut Vec<u8>) -> Result<(), MuxError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.configure(config).map_err(|_| MuxError::Unsupported {
            what: "the sound changes its parameters after the head of the file was written; .m4a can follow".into(),
        })
    }

    fn add(&mut self, _: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        if let Some(writer) = &mut self.writer {
            writer.begin(self.title.as_deref(), out);
            self.broken += u64::from(!writer.add(sample, out));
        }
        Ok(())
    }

    fn flush(&mut self, _: &mut Vec<u8>) -> Result<(), MuxError> {
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        let mut out = Vec::new();
        if let Some(writer) = &mut self.writer {
            writer.begin(self.title.as_deref(), &mut out);
            writer.finish(&mut out);
        }
        writes.push(Write::append(out));
        for (count, what) in [
            (self.others, "further audio tracks are not in the file; .mka holds several"),
            (self.broken, "packets that are not whole"),
        ] {
            if count > 0 {
                notes.push(format!("file: {count} {what}"));
            }
        }
        Ok(())
    }
}
