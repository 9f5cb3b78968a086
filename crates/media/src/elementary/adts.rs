//! AAC behind ADTS headers (ISO 14496-3 §1.A.3).

use serde::{Deserialize, Serialize};

use crate::{audio::aac::RATES, bits::Bits, error::Error};

/// `frame_length` has 13 bits.
const MAX_FRAME: usize = 8191;
const HEADER: usize = 7;

/// The header of every frame, but for its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Adts {
    object_type: u8,
    rate_index: u8,
    channels: u8,
}

impl Adts {
    /// By the `AudioSpecificConfig` (ISO 14496-3 §1.6.2.1).
    ///
    /// # Errors
    ///
    /// [`Error::NoElementary`]: ADTS has two bits for the object type, no explicit sampling rate, and program config
    /// elements only inside of frames.
    pub(super) fn of(config: &[u8]) -> Result<Self, Error> {
        let cut = || Error::MalformedBox {
            kind: "esds",
            reason: "AudioSpecificConfig cut short".to_owned(),
        };
        let mut bits = Bits::new(config);
        let mut object_type = object_type(&mut bits).ok_or_else(cut)?;
        let rate = rate_index(&mut bits).ok_or_else(cut)?;
        let channels = bits.bits(4).ok_or_else(cut)?;
        // Spectral band replication and parametric stereo, told in advance: the core follows, and a decoder finds out.
        if matches!(object_type, 5 | 29) {
            rate_index(&mut bits).ok_or_else(cut)?;
            object_type = self::object_type(&mut bits).ok_or_else(cut)?;
        }
        let refuse = |what: String| Err(Error::NoElementary(what));
        match (object_type, rate, channels) {
            (1..=4, Some(rate_index), 1..=7) => Ok(Self {
                object_type: u8::try_from(object_type).unwrap_or(2),
                rate_index,
                channels: u8::try_from(channels).unwrap_or(2),
            }),
            (1..=4, None, _) => refuse("AAC at a sampling rate that ADTS cannot name".into()),
            (1..=4, _, _) => refuse("AAC whose channels ADTS cannot name".into()),
            (42, _, _) => refuse("xHE-AAC".into()),
            (object_type, _, _) => refuse(format!("AAC of object type {object_type}")),
        }
    }

    /// Appends a frame. One that is too long for its header is left out, and the answer is no.
    pub(super) fn write(self, frame: &[u8], out: &mut Vec<u8>) -> bool {
        let length = frame.len() + HEADER;
        let Some(length) = u16::try_from(length).ok().filter(|_| length <= MAX_FRAME) else {
            return false;
        };
        // 13 bits of length across three bytes: the top two stand with the channels.
        let [high, low] = (length << 5).to_be_bytes();
        out.extend_from_slice(&[
            0xff,
            // MPEG-4, layer 0, no CRC.
            0xf1,
            (self.object_type - 1) << 6 | self.rate_index << 2 | self.channels >> 2,
            self.channels << 6 | u8::try_from(length >> 11).unwrap_or(0),
            high,
            // Buffer fullness 0x7ff: variable bit rate.
            low | 0x1f,
            0xfc,
        ]);
        out.extend_from_slice(frame);
        true
    }
}

/// `GetAudioObjectType` (§1.6.2.1, table 1.16).
fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.bits(5)? {
        31 => Some(32 + bits.bits(6)?),
        short => Some(short),
    }
}

/// `samplingFrequencyIndex`; a rate that is written out may still have one. `None` inside where it has not.
fn rate_index(bits: &mut Bits<'_>) -> Option<Option<u8>> {
    let index = match bits.bits(4)? {
        15 => {
            let rate = bits.bits(24)?;
            RATES.iter().position(|known| *known == rate)
        }
        index => Some(usize::try_from(index).ok()?).filter(|index| *index < RATES.len()),
    };
    Some(index.and_then(|index| u8::try_from(index).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{AudioCodec, Found};

    #[test]
    fn a_header_is_what_a_reader_expects() {
        // AAC LC, 44.1 kHz, stereo: the header of an ffmpeg frame of 371 bytes.
        let adts = Adts::of(&[0x12, 0x10]).unwrap();
        let mut out = Vec::new();
        assert!(adts.write(&[0; 364], &mut out));
        assert_eq!(out[..7], [0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]);
        for length in [8, 255, 4096, MAX_FRAME - HEADER] {
            let mut out = Vec::new();
            assert!(adts.write(&vec![0; length], &mut out));
            let Found::Header(header) = AudioCodec::Adts.parse(&out[..7]) else {
                panic!("no header")
            };
            assert_eq!((header.strip, header.frame_len), (7, length + 7));
        }
        assert!(!adts.write(&[0; MAX_FRAME], &mut Vec::new()));
    }

    #[test]
    fn what_adts_cannot_name_is_refused() {
        // HE-AAC at 24 kHz, told in advance: AAC LC with half the rate is inside.
        assert_eq!(Adts::of(&[0x2b, 0x11, 0x88, 0x00]).unwrap().object_type, 2);
        // 48 kHz written out.
        assert_eq!(Adts::of(&[0x17, 0x80, 0x5d, 0xc0, 0x10]).unwrap().rate_index, 3);
        for (config, what) in [
            (&[0xf9, 0x46, 0x40][..], "xHE-AAC"),
            (&[0x11, 0x80], "channels"),
            (&[0x17, 0x80, 0x27, 0x10, 0x10], "sampling rate"),
            (&[0x12], "cut short"),
            (&[], "cut short"),
        ] {
            let error = Adts::of(config).unwrap_err().to_string();
            assert!(error.contains(what), "{config:02x?}: {error}");
        }
    }
}
