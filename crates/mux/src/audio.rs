//! Sound alone, without a container.

use aqueduct_core::{MuxError, Presentation, Write};
use aqueduct_media::{
    Sample, TrackConfig, TrackKind,
    elementary::{Codec, Elementary},
};

use serde::{Deserialize, Serialize};

use crate::remux::{Order, SampleWriter};

/// A codec whose frames make a file of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AudioCodec {
    /// AAC behind ADTS headers: `.aac`.
    Aac,
    /// MPEG audio: `.mp3`.
    Mp3,
    /// AC-3: `.ac3`.
    Ac3,
    /// E-AC-3: `.eac3`.
    Eac3,
    /// FLAC: `.flac`.
    Flac,
}

impl AudioCodec {
    fn of(codec: Codec) -> Option<Self> {
        Some(match codec {
            Codec::Aac => Self::Aac,
            Codec::Mpeg1Audio | Codec::Mpeg2Audio => Self::Mp3,
            Codec::Ac3 => Self::Ac3,
            Codec::Eac3 => Self::Eac3,
            Codec::Flac => Self::Flac,
            _ => return None,
        })
    }

    /// Its name, and the extension that people know it by.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Aac => ("AAC", ".aac"),
            Self::Mp3 => ("MPEG audio", ".mp3"),
            Self::Ac3 => ("AC-3", ".ac3"),
            Self::Eac3 => ("E-AC-3", ".eac3"),
            Self::Flac => ("FLAC", ".flac"),
        }
    }
}

/// Writes the first audio track as an elementary stream. Pictures are left out without a word, further audio tracks
/// with a note. Any output will do.
#[derive(Debug, Serialize, Deserialize)]
pub struct AudioStream {
    codec: AudioCodec,
    stream: Option<Elementary>,
    /// Whether the file has its head.
    begun: bool,
    others: u64,
    broken: u64,
}

impl AudioStream {
    /// A writer of this codec; it converts none into another.
    pub fn new(codec: AudioCodec) -> Self {
        Self {
            codec,
            stream: None,
            begun: false,
            others: 0,
            broken: 0,
        }
    }

    fn stream(&self, config: &TrackConfig) -> Result<Elementary, MuxError> {
        let (wanted, _) = self.codec.names();
        let unsupported = |what: String| MuxError::Unsupported { what };
        let stream = Elementary::of(config).map_err(|error| unsupported(format!("{error}; .m4a holds it")))?;
        match AudioCodec::of(stream.codec()) {
            Some(codec) if codec == self.codec => Ok(stream),
            Some(other) => {
                let (name, extension) = other.names();
                Err(unsupported(format!(
                    "the sound is {name}, not {wanted}: name the output {extension}, or .m4a"
                )))
            }
            None => Err(unsupported(format!("the sound is not {wanted}; .m4a holds it"))),
        }
    }
}

impl SampleWriter for AudioStream {
    const CONTAINER: &'static str = "audio stream";
    const ORDER: Order = Order::ByTrack;

    fn begin(&mut self, _: &Presentation, _: bool) -> Result<(), MuxError> {
        Ok(())
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        if config.kind != TrackKind::Audio {
            return Ok(None);
        }
        if self.stream.is_some() {
            self.others += 1;
            return Ok(None);
        }
        self.stream = Some(self.stream(config)?);
        Ok(Some(0))
    }

    fn configure(&mut self, _: usize, config: &TrackConfig, _: &mut Vec<u8>) -> Result<(), MuxError> {
        let next = self.stream(config)?;
        if self.begun && self.stream.as_ref().is_some_and(|stream| stream.head() != next.head()) {
            return Err(MuxError::Unsupported {
                what: "the sound changes its parameters after the head of the file was written; .m4a can follow".into(),
            });
        }
        self.stream = Some(next);
        Ok(())
    }

    fn add(&mut self, _: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        if let Some(stream) = &self.stream {
            if !std::mem::replace(&mut self.begun, true) {
                out.extend_from_slice(stream.head());
            }
            self.broken += u64::from(!stream.write(sample, out));
        }
        Ok(())
    }

    fn flush(&mut self, _: &mut Vec<u8>) -> Result<(), MuxError> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        for (count, what) in [
            (self.others, "further audio tracks are not in the file; .m4a holds several"),
            (self.broken, "frames that are not whole"),
        ] {
            if count > 0 {
                notes.push(format!("file: {count} {what}"));
            }
        }
        Ok(())
    }
}
