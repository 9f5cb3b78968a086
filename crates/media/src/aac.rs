//! AAC: the ADTS frame header (ISO 14496-3 §1.A.3) and the configuration that decoders want instead.

use serde::{Deserialize, Serialize};

/// Samples of one raw data block (ISO 14496-3 §4.5.1.1; ADTS cannot signal the 960 variant).
pub(crate) const BLOCK_SAMPLES: u32 = 1024;

/// Sampling rates by `samplingFrequencyIndex` (ISO 14496-3 table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

/// The fixed part of ADTS headers: what must not change within a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdtsConfig {
    object_type: u8,
    rate_index: u8,
    channels: u8,
}

/// One ADTS frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdtsHeader {
    pub(crate) config: AdtsConfig,
    /// Bytes of the header, 7 or 9.
    pub(crate) header_len: usize,
    /// Bytes of the whole frame.
    pub(crate) frame_len: usize,
    /// Raw data blocks in the frame, 1 to 4.
    pub(crate) blocks: u32,
}

/// Bytes that a header is recognised by.
pub(crate) const HEADER: usize = 7;

impl AdtsHeader {
    /// Reads a header; `None` where there is none.
    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let [b0, b1, b2, b3, b4, b5, b6] = *bytes;
        // syncword and layer
        if b0 != 0xff || b1 & 0xf6 != 0xf0 {
            return None;
        }
        let header_len = if b1 & 1 == 1 { 7 } else { 9 };
        let frame_len = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        let rate_index = b2 >> 2 & 0xf;
        if usize::from(rate_index) >= RATES.len() || frame_len <= header_len {
            return None;
        }
        Some(Self {
            config: AdtsConfig {
                object_type: (b2 >> 6) + 1,
                rate_index,
                channels: (b2 & 1) << 2 | b3 >> 6,
            },
            header_len,
            frame_len,
            blocks: u32::from(b6 & 3) + 1,
        })
    }
}

impl AdtsConfig {
    /// Samples a second, as the header says: half of what is heard where spectral band replication is implicit.
    pub(crate) fn sample_rate(self) -> u32 {
        RATES.get(usize::from(self.rate_index)).copied().unwrap_or(48_000)
    }

    /// Number of channels by `channel_configuration` (ISO 14496-3 table 1.19); 0 stands for a program config
    /// element in the stream, taken for stereo.
    pub(crate) fn channel_count(self) -> u16 {
        match self.channels {
            0 => 2,
            7 => 8,
            n => n.into(),
        }
    }

    /// `AudioSpecificConfig` (ISO 14496-3 §1.6.2.1) with a `GASpecificConfig` of zeros.
    pub(crate) fn audio_specific_config(self) -> [u8; 2] {
        [
            self.object_type << 3 | self.rate_index >> 1,
            self.rate_index << 7 | self.channels << 3,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_the_standard_lays_it_out() {
        // AAC LC, 44.1 kHz, stereo, no CRC, 371 bytes, one block (an ffmpeg frame).
        let header = AdtsHeader::parse(&[0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]).unwrap();
        assert_eq!(header.config.sample_rate(), 44_100);
        assert_eq!(header.config.audio_specific_config(), [0x12, 0x10]);
        assert_eq!((header.header_len, header.frame_len, header.blocks), (7, 371, 1));
    }

    #[test]
    fn no_header_is_recognised_where_a_field_is_impossible() {
        for bytes in [
            [0xff, 0xe1, 0x50, 0x80, 0x2e, 0x7f, 0xfc], // syncword
            [0xff, 0xf3, 0x50, 0x80, 0x2e, 0x7f, 0xfc], // layer
            [0xff, 0xf1, 0x7c, 0x80, 0x2e, 0x7f, 0xfc], // sampling frequency index 15
            [0xff, 0xf1, 0x50, 0x80, 0x00, 0xe0, 0xfc], // 7 bytes: nothing in it
        ] {
            assert_eq!(AdtsHeader::parse(&bytes), None, "{bytes:02x?}");
        }
    }
}
