//! Samples as elementary streams carry them: H.264 and HEVC as byte streams, AAC behind ADTS headers, other audio frame
//! by frame.
//!
//! ```
//! use aqueduct_media::{Event, elementary::Elementary, ts};
//!
//! # let segment: &[u8] = &[];
//! let (mut demuxer, mut events) = (ts::Demuxer::default(), Vec::new());
//! demuxer.push(segment, &mut events);
//! let (mut stream, mut file) = (None, Vec::new());
//! for event in events {
//!     match event {
//!         Event::Config { config, .. } => stream = Some(Elementary::of(&config)?),
//!         Event::Sample { sample, .. } => {
//!             if let Some(stream) = &stream {
//!                 stream.write(&sample.as_slice(&[]), &mut file);
//!             }
//!         }
//!     }
//! }
//! # Ok::<(), aqueduct_media::Error>(())
//! ```

mod adts;
mod nal;

use mp4_atom::{Avcc, Dops, Hvcc};
use serde::{Deserialize, Serialize};

use self::{adts::Adts, nal::NalStream};
use crate::{
    boxes::BoxRef,
    error::Error,
    sample_entry,
    track::{Sample, TrackConfig},
};

/// Codecs that have an elementary stream of their own here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Codec {
    /// H.264 (ISO 14496-10).
    Avc,
    /// HEVC (ISO 23008-2).
    Hevc,
    /// AAC in the profiles that ADTS can name (ISO 14496-3 §1.A.3).
    Aac,
    /// MPEG audio of MPEG-1, layers I to III (ISO 11172-3).
    Mpeg1Audio,
    /// MPEG audio at the lower sampling rates of MPEG-2 (ISO 13818-3).
    Mpeg2Audio,
    /// AC-3 (ETSI TS 102 366).
    Ac3,
    /// E-AC-3 (ETSI TS 102 366 annex E).
    Eac3,
    /// FLAC (RFC 9639), which MPEG-TS does not carry.
    Flac,
    /// Opus (RFC 6716) with this many channels, each packet behind the control header that MPEG-TS has.
    Opus(u8),
}

/// How samples of one configuration become an elementary stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Elementary {
    codec: Codec,
    form: Form,
    /// What a file of it begins with.
    head: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Form {
    Nal(NalStream),
    Adts(Adts),
    /// As they are.
    Frames,
    Opus,
}

impl Elementary {
    /// The elementary stream of a track.
    ///
    /// # Errors
    ///
    /// [`Error::NoElementary`] for a codec that has none; an error of the box where the sample entry is broken.
    pub fn of(config: &TrackConfig) -> Result<Self, Error> {
        let entry = sample_entry::of(config)?;
        let mut head = Vec::new();
        let (codec, form) = match &entry.kind {
            b"avc1" | b"avc3" => {
                let avcc: Avcc = sample_entry::visual(entry, "avcC")?.decode("avcC")?;
                let sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
                (Codec::Avc, Form::Nal(NalStream::avc(avcc.length_size.into(), sets)))
            }
            b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => {
                let hvcc: Hvcc = sample_entry::visual(entry, "hvcC")?.decode("hvcC")?;
                let sets = hvcc.arrays.iter().flat_map(|array| &array.nalus);
                let length_size = usize::from(hvcc.length_size_minus_one) + 1;
                (Codec::Hevc, Form::Nal(NalStream::hevc(length_size, sets)))
            }
            b"mp4a" => mp4a(sample_entry::audio(entry, "esds")?)?,
            b".mp3" => (Codec::Mpeg1Audio, Form::Frames),
            b"ac-3" => (Codec::Ac3, Form::Frames),
            b"ec-3" => (Codec::Eac3, Form::Frames),
            b"fLaC" => {
                // The stream marker and the metadata blocks (RFC 9639 §8), which the box has behind version and flags.
                head.extend_from_slice(b"fLaC");
                head.extend_from_slice(sample_entry::audio(entry, "dfLa")?.body.get(4..).unwrap_or(&[]));
                (Codec::Flac, Form::Frames)
            }
            b"Opus" => {
                let dops: Dops = sample_entry::audio(entry, "dOps")?.decode("dOps")?;
                // The families of RFC 7845 §5.1.1 that MPEG-TS has a code for.
                match (
                    dops.channel_mapping.as_ref().map(|mapping| mapping.family),
                    dops.output_channel_count,
                ) {
                    (None, channels @ 1..=2) | (Some(1), channels @ 1..=8) => (Codec::Opus(channels), Form::Opus),
                    _ => return Err(Error::NoElementary("Opus with this many channels".into())),
                }
            }
            other => return Err(Error::NoElementary(sample_entry::name(*other))),
        };
        Ok(Self { codec, form, head })
    }

    /// Which codec it is.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// What a file begins with, before the first sample: nothing, but for FLAC.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Appends a sample. Returns whether it was whole: of a broken one, what can be used is written.
    pub fn write(&self, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> bool {
        match &self.form {
            Form::Nal(stream) => stream.write(sample.data, sample.sync, out),
            Form::Adts(adts) => adts.write(sample.data, out),
            Form::Frames => {
                out.extend_from_slice(sample.data);
                true
            }
            Form::Opus => {
                opus(sample.data, out);
                true
            }
        }
    }
}

/// By the object type indication (ISO 14496-1 table 5).
fn mp4a(esds: BoxRef<'_>) -> Result<(Codec, Form), Error> {
    let plain = |codec| Ok((codec, Form::Frames));
    match sample_entry::object_type(esds)? {
        (0x40 | 0x66..=0x68, specific) => Ok((Codec::Aac, Form::Adts(Adts::of(&specific)?))),
        (0x69, _) => plain(Codec::Mpeg2Audio),
        (0x6b, _) => plain(Codec::Mpeg1Audio),
        (0xa5, _) => plain(Codec::Ac3),
        (0xa6, _) => plain(Codec::Eac3),
        (other, _) => Err(Error::NoElementary(format!("audio of object type {other:#04x}"))),
    }
}

/// A packet behind its `opus_control_header`, which has eleven marker bits, no trims here, and the size in runs of 255.
fn opus(packet: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x7f, 0xe0]);
    out.resize(out.len() + packet.len() / 255, 255);
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 255")]
    out.push((packet.len() % 255) as u8);
    out.extend_from_slice(packet);
}
