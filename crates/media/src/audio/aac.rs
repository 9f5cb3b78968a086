//! AAC: the ADTS frame header (ISO 14496-3 §1.A.3), and the configuration that decoders want instead.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{AudioConfig, AudioHeader};
use crate::bits::Bits;

/// Samples of one raw data block (ISO 14496-3 §4.5.1.1; ADTS cannot signal the 960 variant).
const BLOCK_SAMPLES: u32 = 1024;

/// Sampling rates by `samplingFrequencyIndex` (ISO 14496-3 table 1.18).
pub(crate) const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

/// The fixed part of ADTS headers: what must not change within a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdtsConfig {
    object_type: u8,
    rate_index: u8,
    channels: u8,
}

/// Reads an ADTS header.
pub(super) fn adts(bytes: &[u8]) -> Option<AudioHeader> {
    let &[b0, b1, b2, b3, b4, b5, b6] = bytes else { return None };
    // syncword and layer
    if b0 != 0xff || b1 & 0xf6 != 0xf0 {
        return None;
    }
    let header_len = if b1 & 1 == 1 { 7 } else { 9 };
    let frame_len = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
    let rate_index = b2 >> 2 & 0xf;
    if usize::from(rate_index) >= RATES.len() {
        return None;
    }
    let config = AdtsConfig {
        object_type: (b2 >> 6) + 1,
        rate_index,
        channels: (b2 & 1) << 2 | b3 >> 6,
    };
    let blocks = u32::from(b6 & 3) + 1;
    Some(AudioHeader::whole(
        AudioConfig::Adts(config),
        header_len,
        frame_len,
        blocks * BLOCK_SAMPLES,
    ))
}

impl AdtsConfig {
    /// Samples a second, as the header says: half of what is heard where spectral band replication is implicit. Nothing
    /// tells then before the decoder finds it, so the configuration leaves it implicit too (§1.6.6).
    pub(super) fn sample_rate(self) -> u32 {
        RATES.get(usize::from(self.rate_index)).copied().unwrap_or(48_000)
    }

    /// Number of channels; 0 stands for a program config element in the stream, taken for stereo.
    pub(super) fn channel_count(self) -> u16 {
        channel_count(self.channels).unwrap_or(2)
    }

    /// `AudioSpecificConfig` (ISO 14496-3 §1.6.2.1) with a `GASpecificConfig` of zeros.
    pub(super) fn audio_specific_config(self) -> [u8; 2] {
        [
            self.object_type << 3 | self.rate_index >> 1,
            self.rate_index << 7 | self.channels << 3,
        ]
    }
}

/// Number of channels by `channelConfiguration` (ISO 14496-3 table 1.19).
fn channel_count(configuration: u8) -> Option<u16> {
    match configuration {
        1..=6 => Some(configuration.into()),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    }
}

/// An `AudioSpecificConfig`, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AacConfig {
    pub(super) specific_config: Bytes,
    /// Samples a second of the core.
    pub(crate) rate: u32,
    /// Samples a second of what is heard, where that is said.
    pub(crate) output_rate: u32,
    pub(crate) channels: u16,
    /// Samples of the core in a frame.
    pub(super) samples: u32,
    /// The object type of the core (§1.5.1.1), where that and what stands above is all that a decoder is told.
    pub(crate) plain: Option<u8>,
}

impl AacConfig {
    /// Reads an `AudioSpecificConfig` (ISO 14496-3 §1.6.2.1) off the front. `len` in bits is needed for object types
    /// whose configuration is not followed here, and to find an extension behind it (§1.6.6.1).
    pub(crate) fn read(bits: &mut Bits<'_>, len: Option<usize>) -> Option<Self> {
        let whole = bits.clone();
        let start = bits.position();
        let mut object_type = object_type(bits)?;
        let rate = rate(bits)?;
        let mut configuration = bits.byte(4)?;
        let mut output_rate = rate;
        let mut stereo = object_type == 29;
        if matches!(object_type, 5 | 29) {
            output_rate = self::rate(bits)?;
            object_type = self::object_type(bits)?;
            if object_type == 22 {
                configuration = bits.byte(4)?;
            }
        }
        let mut channels = channel_count(configuration);
        let mut plain = None;
        let samples;
        match object_type {
            1..=4 | 6 | 7 | 17 | 19..=23 => {
                let short = bits.bit()?;
                samples = match (object_type == 23, short) {
                    (false, false) => 1024,
                    (false, true) => 960,
                    (true, false) => 512,
                    (true, true) => 480,
                };
                let depends = bits.bit()?;
                bits.skip(if depends { 14 } else { 0 })?;
                let extended = bits.bit()?;
                plain = Some(object_type).filter(|kind| *kind <= 4 && configuration > 0 && !depends && !extended);
                if configuration == 0 {
                    channels = Some(program_config(bits, start)?);
                }
                bits.skip(if matches!(object_type, 6 | 20) { 3 } else { 0 })?;
                if extended {
                    bits.skip(match object_type {
                        22 => 16,
                        17 | 19 | 20 | 23 => 3,
                        _ => 0,
                    })?;
                    bits.skip(1)?;
                }
                // epConfig; error protection of its own is not followed.
                if matches!(object_type, 17 | 19..=23) && bits.bits(2)? > 1 {
                    return None;
                }
            }
            // ELD has 512 samples a frame, or 480.
            39 => {
                len?;
                samples = if bits.bit()? { 480 } else { 512 };
            }
            // USAC: what it says of itself stands behind its rate.
            42 => {
                len?;
                let rate_index = bits.bits(5)?;
                bits.skip(if rate_index == 31 { 24 } else { 0 })?;
                samples = if matches!(bits.bits(3)?, 0 | 2) { 768 } else { 1024 };
            }
            _ => return None,
        }
        if let Some(end) = len.and_then(|len| start.checked_add(len)) {
            let extension = end.saturating_sub(bits.position()) >= 16 && matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23);
            if extension && bits.clone().bits(11) == Some(0x2b7) {
                bits.skip(11)?;
                if self::object_type(bits)? == 5 && bits.bit()? {
                    output_rate = self::rate(bits)?;
                    let more = end.saturating_sub(bits.position()) >= 12;
                    stereo |= more && bits.bits(11)? == 0x548 && bits.bit()?;
                }
            }
            bits.skip(end.checked_sub(bits.position())?)?;
        }
        let len = bits.position() - start;
        Some(Self {
            specific_config: whole.clone().copy(len)?.into(),
            rate,
            output_rate,
            channels: if stereo { 2 } else { channels.unwrap_or(2) },
            samples,
            plain,
        })
    }
}

impl AacConfig {
    /// What it says, however that was written.
    pub(crate) fn without_bytes(self) -> Self {
        Self {
            specific_config: Bytes::new(),
            ..self
        }
    }
}

/// `GetAudioObjectType` (§1.6.2.1).
fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    match bits.byte(5)? {
        31 => Some(32 + bits.byte(6)?),
        short => Some(short),
    }
}

/// A sampling frequency by index, or written out (§1.6.2.1).
fn rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.byte(4)? {
        15 => bits.bits(24).filter(|&rate| rate > 0),
        index => RATES.get(usize::from(index)).copied(),
    }
}

/// `program_config_element` (§4.4.1.1) of a configuration that began at bit `start`: how many channels it has.
fn program_config(bits: &mut Bits<'_>, start: usize) -> Option<u16> {
    bits.skip(10)?;
    let counts = [bits.bits(4)?, bits.bits(4)?, bits.bits(4)?];
    let (low, data, coupling) = (bits.bits(2)?, bits.bits(3)?, bits.bits(4)?);
    for len in [4, 4, 3] {
        if bits.bit()? {
            bits.skip(len)?;
        }
    }
    let mut channels = 0;
    for _ in 0..counts.iter().sum() {
        channels += if bits.bit()? { 2 } else { 1 };
        bits.skip(4)?;
    }
    for _ in 0..low {
        channels += 1;
        bits.skip(4)?;
    }
    for _ in 0..data {
        bits.skip(4)?;
    }
    for _ in 0..coupling {
        bits.skip(5)?;
    }
    bits.skip((8 - (bits.position() - start) % 8) % 8)?;
    let comment = usize::from(bits.byte(8)?);
    bits.skip(8 * comment)?;
    Some(channels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_adts_header_is_read_as_the_standard_lays_it_out() {
        // AAC LC, 44.1 kHz, stereo, no CRC, 371 bytes, one block (an ffmpeg frame).
        let header = adts(&[0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]).unwrap();
        let Some(AudioConfig::Adts(config)) = header.config else {
            panic!("ADTS")
        };
        assert_eq!(config.sample_rate(), 44_100);
        assert_eq!(config.audio_specific_config(), [0x12, 0x10]);
        assert_eq!((header.strip, header.frame_len, header.samples), (7, 371, 1024));
        for bytes in [
            [0xff, 0xe1, 0x50, 0x80, 0x2e, 0x7f, 0xfc], // syncword
            [0xff, 0xf3, 0x50, 0x80, 0x2e, 0x7f, 0xfc], // layer
            [0xff, 0xf1, 0x7c, 0x80, 0x2e, 0x7f, 0xfc], // sampling frequency index 15
        ] {
            assert_eq!(adts(&bytes), None, "{bytes:02x?}");
        }
    }

    #[test]
    fn specific_configurations_are_read_as_the_standard_lays_them_out() {
        for (name, bytes, rates, channels, samples, len) in [
            ("AAC LC, 44.1 kHz, stereo", &[0x12, 0x10][..], (44_100, 44_100), 2, 1024, 16),
            ("960 samples a frame", &[0x11, 0x94], (48_000, 48_000), 2, 960, 16),
            // 5, 24 kHz, stereo, 48 kHz, 2: HE-AAC with all of it said in front.
            ("HE-AAC", &[0x2b, 0x11, 0x88, 0x00], (24_000, 48_000), 2, 1024, 25),
            // 29: with parametric stereo over one channel.
            ("HE-AAC v2", &[0xeb, 0x09, 0x88, 0x00], (24_000, 48_000), 2, 1024, 25),
            // 2, written-out rate 0x0bb80 = 48000, mono.
            ("a rate written out", &[0x17, 0x80, 0x5d, 0xc0, 0x08], (48_000, 48_000), 1, 1024, 40),
        ] {
            let mut bits = Bits::new(bytes);
            let config = AacConfig::read(&mut bits, None).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((config.rate, config.output_rate), rates, "{name}");
            assert_eq!((config.channels, config.samples), (channels, samples), "{name}");
            assert_eq!(bits.position(), len, "{name}");
            assert_eq!(config.specific_config.len(), len.div_ceil(8), "{name}");
        }
        // AAC LC at 24 kHz with the extension behind it, for decoders that do not know it: 48 kHz, parametric stereo.
        let behind = [0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80];
        let config = AacConfig::read(&mut Bits::new(&behind), Some(56)).unwrap();
        assert_eq!((config.rate, config.output_rate, config.channels), (24_000, 48_000, 2));
    }

    proptest! {
        #[test]
        fn no_configuration_panics(bytes: Vec<u8>, start in 0_usize..9, len: Option<u16>) {
            let mut bits = Bits::new(&bytes);
            if bits.skip(start).is_some()
                && let Some(config) = AacConfig::read(&mut bits, len.map(usize::from))
            {
                prop_assert!(config.rate > 0 && bits.position() <= 8 * bytes.len());
            }
        }
    }
}
