//! Audio that comes as frames with headers of their own: AAC in ADTS, AC-3, MPEG audio.

use bytes::Bytes;
use mp4_atom::{
    Ac3, Ac3SpecificBox, Audio, Encode, Esds, FixedPoint, Mp4a,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig},
};
use serde::{Deserialize, Serialize};

use crate::{
    aac::{AdtsConfig, AdtsHeader, BLOCK_SAMPLES, HEADER},
    track::{Language, TrackConfig, TrackKind},
};

/// Which headers to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AudioCodec {
    /// ISO 14496-3 §1.A.3.
    Adts,
    /// ETSI TS 102 366 §4.3.
    Ac3,
    /// ISO 11172-3 and 13818-3, layers I to III.
    Mpeg,
}

/// What must not change within a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AudioConfig {
    Adts(AdtsConfig),
    Ac3(Ac3Config),
    Mpeg(MpegConfig),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ac3Config {
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfeon: bool,
    bit_rate_code: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MpegConfig {
    /// MPEG-1, or one of the lower sampling rates of MPEG-2.
    first: bool,
    rate: u32,
    channels: u16,
}

/// A frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AudioHeader {
    pub(crate) config: AudioConfig,
    /// Bytes at the front of the frame that do not belong into a sample.
    pub(crate) strip: usize,
    /// Bytes of the whole frame.
    pub(crate) frame_len: usize,
    /// Samples of each channel that the frame decodes to.
    pub(crate) samples: u32,
}

impl AudioCodec {
    /// The byte that every header begins with.
    pub(crate) fn sync_byte(self) -> u8 {
        match self {
            Self::Adts | Self::Mpeg => 0xff,
            Self::Ac3 => 0x0b,
        }
    }

    /// Reads a header; `None` where there is none.
    pub(crate) fn parse(self, bytes: &[u8; HEADER]) -> Option<AudioHeader> {
        match self {
            Self::Adts => AdtsHeader::parse(bytes).map(|header| AudioHeader {
                config: AudioConfig::Adts(header.config),
                strip: header.header_len,
                frame_len: header.frame_len,
                samples: header.blocks * BLOCK_SAMPLES,
            }),
            Self::Ac3 => ac3(bytes),
            Self::Mpeg => mpeg(bytes),
        }
        .filter(|header| header.frame_len > HEADER)
    }
}

/// `syncinfo` and the beginning of `bsi` (ETSI TS 102 366 §4.3.1 and §4.3.2).
fn ac3(bytes: &[u8; HEADER]) -> Option<AudioHeader> {
    /// Table 4.13, in kbit/s.
    const RATES: [usize; 19] = [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
    ];
    let [0x0b, 0x77, _, _, b4, b5, b6] = *bytes else { return None };
    let (fscod, frmsizecod) = (b4 >> 6, b4 & 0x3f);
    let bit_rate_code = frmsizecod >> 1;
    let rate = *RATES.get(usize::from(bit_rate_code))?;
    // In 16-bit words; at 44.1 kHz the odd codes are one longer.
    let words = match fscod {
        0 => 2 * rate,
        1 => rate * 320 / 147 + usize::from(frmsizecod & 1),
        2 => 3 * rate,
        _ => return None,
    };
    let bsid = b5 >> 3;
    // Higher ones are E-AC-3, which has another syntax.
    if bsid > 8 {
        return None;
    }
    let acmod = b6 >> 5;
    // cmixlev, surmixlev and dsurmod stand in between, each if acmod says so.
    let mut before_lfe = 3;
    before_lfe += if acmod & 1 == 1 && acmod != 1 { 2 } else { 0 };
    before_lfe += if acmod & 4 == 4 { 2 } else { 0 };
    before_lfe += if acmod == 2 { 2 } else { 0 };
    Some(AudioHeader {
        config: AudioConfig::Ac3(Ac3Config {
            fscod,
            bsid,
            bsmod: b5 & 7,
            acmod,
            lfeon: b6 >> (7 - before_lfe) & 1 == 1,
            bit_rate_code,
        }),
        strip: 0,
        frame_len: words * 2,
        samples: 1536,
    })
}

/// ISO 11172-3 §2.4.1.3, and the lower rates of ISO 13818-3.
fn mpeg(bytes: &[u8; HEADER]) -> Option<AudioHeader> {
    /// In kbit/s: MPEG-1 layers I, II, III; MPEG-2 layer I; MPEG-2 layers II and III.
    const RATES: [[usize; 15]; 5] = [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let [0xff, b1, b2, b3, ..] = *bytes else { return None };
    if b1 & 0xe0 != 0xe0 {
        return None;
    }
    let version = b1 >> 3 & 3;
    let layer = match b1 >> 1 & 3 {
        3 => 1,
        2 => 2,
        1 => 3,
        _ => return None,
    };
    let shift = match version {
        3 => 0,
        2 => 1,
        0 => 2,
        _ => return None,
    };
    let first = version == 3;
    let rate = *[44_100_u32, 48_000, 32_000].get(usize::from(b2 >> 2 & 3))? >> shift;
    let table = match (first, layer) {
        (true, layer) => layer - 1,
        (false, 1) => 3,
        (false, _) => 4,
    };
    let kbits = *RATES.get(table)?.get(usize::from(b2 >> 4)).filter(|&&kbits| kbits > 0)?;
    let padding = usize::from(b2 >> 1 & 1);
    let samples: u32 = match (layer, first) {
        (1, _) => 384,
        (3, false) => 576,
        _ => 1152,
    };
    let hertz = usize::try_from(rate).ok()?;
    let frame_len = if layer == 1 {
        (12_000 * kbits / hertz + padding) * 4
    } else {
        usize::try_from(samples).ok()? / 8 * 1000 * kbits / hertz + padding
    };
    Some(AudioHeader {
        config: AudioConfig::Mpeg(MpegConfig {
            first,
            rate,
            channels: if b3 >> 6 == 3 { 1 } else { 2 },
        }),
        strip: 0,
        frame_len,
        samples,
    })
}

impl AudioConfig {
    /// Samples a second.
    pub(crate) fn sample_rate(self) -> u32 {
        match self {
            Self::Adts(config) => config.sample_rate(),
            Self::Ac3(config) => match config.fscod {
                0 => 48_000,
                1 => 44_100,
                _ => 32_000,
            },
            Self::Mpeg(config) => config.rate,
        }
    }

    /// The track, in ticks of the sampling rate, so that every frame lasts a whole number of them.
    pub(crate) fn track(self, language: Language) -> Option<TrackConfig> {
        let mut entry = Vec::new();
        match self {
            Self::Adts(config) => mp4a(
                self.audio(config.channel_count()),
                // Audio ISO/IEC 14496-3 (ISO 14496-1 table 5).
                0x40,
                Some(DecoderSpecific {
                    raw: config.audio_specific_config().to_vec(),
                    ..DecoderSpecific::default()
                }),
            )
            .encode(&mut entry),
            Self::Ac3(config) => Ac3 {
                // Table 4.3: front, centre, surround; and the low frequencies.
                audio: self.audio([2, 1, 2, 3, 3, 4, 4, 5][usize::from(config.acmod & 7)] + u16::from(config.lfeon)),
                dac3: Ac3SpecificBox {
                    fscod: config.fscod,
                    bsid: config.bsid,
                    bsmod: config.bsmod,
                    acmod: config.acmod,
                    lfeon: config.lfeon,
                    bit_rate_code: config.bit_rate_code,
                },
            }
            .encode(&mut entry),
            // Audio ISO/IEC 11172-3 or 13818-3, which have no decoder specific information.
            Self::Mpeg(config) => mp4a(self.audio(config.channels), if config.first { 0x6b } else { 0x69 }, None).encode(&mut entry),
        }
        .ok()?;
        Some(TrackConfig {
            kind: TrackKind::Audio,
            handler: *b"soun",
            timescale: self.sample_rate(),
            sample_entry: Bytes::from(entry),
            display_size: (0, 0),
            matrix: None,
            language,
            name: None,
            presentation_offset: None,
        })
    }

    fn audio(self, channels: u16) -> Audio {
        Audio {
            data_reference_index: 1,
            channel_count: channels,
            sample_size: 16,
            // The field ends at 65,535 Hz; the codec's configuration has the rate in any case.
            sample_rate: FixedPoint::from(u16::try_from(self.sample_rate()).unwrap_or(0)),
        }
    }
}

fn mp4a(audio: Audio, object_type_indication: u8, dec_specific: Option<DecoderSpecific>) -> Mp4a {
    Mp4a {
        audio,
        esds: Esds {
            es_desc: EsDescriptor {
                dec_config: DecoderConfig {
                    object_type_indication,
                    // AudioStream (ISO 14496-1 table 6).
                    stream_type: 5,
                    dec_specific,
                    ..DecoderConfig::default()
                },
                sl_config: SLConfig::default(),
                ..EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(codec: AudioCodec, bytes: [u8; HEADER]) -> Option<(u32, usize, u32)> {
        codec
            .parse(&bytes)
            .map(|header| (header.config.sample_rate(), header.frame_len, header.samples))
    }

    #[test]
    fn headers_are_read_as_the_standards_lay_them_out() {
        for (codec, bytes, expected) in [
            // 192 kbit/s at 48 kHz and at 44.1 kHz with an odd code; table 4.13 has 384 and 418 words.
            (AudioCodec::Ac3, [0x0b, 0x77, 0, 0, 0x14, 0x40, 0x40], Some((48_000, 768, 1536))),
            (AudioCodec::Ac3, [0x0b, 0x77, 0, 0, 0x55, 0x40, 0x40], Some((44_100, 836, 1536))),
            (AudioCodec::Ac3, [0x0b, 0x77, 0, 0, 0xd4, 0x40, 0x40], None),
            (AudioCodec::Ac3, [0x0b, 0x77, 0, 0, 0x14, 0x80, 0x40], None),
            // Layer III, 128 kbit/s at 44.1 kHz: 417 bytes, one more with padding.
            (AudioCodec::Mpeg, [0xff, 0xfb, 0x90, 0x64, 0, 0, 0], Some((44_100, 417, 1152))),
            (AudioCodec::Mpeg, [0xff, 0xfb, 0x92, 0x64, 0, 0, 0], Some((44_100, 418, 1152))),
            // Layer III of MPEG-2, 64 kbit/s at 24 kHz.
            (AudioCodec::Mpeg, [0xff, 0xf3, 0x84, 0xc4, 0, 0, 0], Some((24_000, 192, 576))),
            // Layer II, 192 kbit/s at 48 kHz.
            (AudioCodec::Mpeg, [0xff, 0xfd, 0xa4, 0, 0, 0, 0], Some((48_000, 576, 1152))),
            // Free format and forbidden rates.
            (AudioCodec::Mpeg, [0xff, 0xfb, 0x00, 0x64, 0, 0, 0], None),
            (AudioCodec::Mpeg, [0xff, 0xfb, 0xf0, 0x64, 0, 0, 0], None),
            (AudioCodec::Mpeg, [0xff, 0xfb, 0x9c, 0x64, 0, 0, 0], None),
            // ADTS is not MPEG audio: its layer is 0.
            (AudioCodec::Mpeg, [0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc], None),
            (AudioCodec::Adts, [0xff, 0xfb, 0x90, 0x64, 0, 0, 0], None),
        ] {
            assert_eq!(found(codec, bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn low_frequencies_are_found_behind_the_mixing_levels() {
        // 3/2 with both mixing levels, then lfeon; stereo with dsurmod, then lfeon; mono.
        for (byte, lfe, channels) in [
            (0b1110_0001, true, 6),
            (0b1110_0000, false, 5),
            (0b0100_0100, true, 3),
            (0b0011_0000, true, 2),
        ] {
            let header = AudioCodec::Ac3.parse(&[0x0b, 0x77, 0, 0, 0x14, 0x40, byte]).unwrap();
            let AudioConfig::Ac3(config) = header.config else { panic!("AC-3") };
            assert_eq!(config.lfeon, lfe);
            let entry: Ac3 = mp4_atom::Decode::decode(&mut &header.config.track(Language::UNDETERMINED).unwrap().sample_entry[..]).unwrap();
            assert_eq!(entry.audio.channel_count, channels);
        }
    }
}
