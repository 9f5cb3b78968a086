//! Audio that comes as frames with headers of their own: AAC in ADTS and in LATM, AC-3 and E-AC-3, MPEG audio, Opus.

pub(crate) mod aac;
mod dolby;
mod latm;
mod mpeg;
mod opus;

use bytes::Bytes;
use mp4_atom::{
    Audio, Encode, Esds, FixedPoint, Mp4a,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig},
};
use serde::{Deserialize, Serialize};

use crate::track::{Language, Roles, TrackConfig, TrackKind};

use self::{
    aac::{AacConfig, AdtsConfig},
    dolby::{Ac3Config, Eac3Config},
    mpeg::MpegConfig,
};

pub(crate) use self::{
    dolby::{Group, Joins},
    latm::Latm,
    opus::{OpusConfig, opus_head, packet_samples},
};

/// Which headers to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AudioCodec {
    /// AAC in ADTS, ISO 14496-3 §1.A.3.
    Adts,
    /// AAC in LATM with the LOAS sync layer, ISO 14496-3 §1.7.
    Latm,
    /// AC-3 and E-AC-3, ETSI TS 102 366. Each frame tells which it is.
    Dolby,
    /// ISO 11172-3 and 13818-3, layers I to III.
    Mpeg,
    /// Opus behind control headers, with its `channel_config_code` (ETSI TS 101 154 annex on Opus; RFC 6716).
    Opus(u8),
}

/// What must not change within a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AudioConfig {
    Adts(AdtsConfig),
    Aac(AacConfig),
    Ac3(Ac3Config),
    Eac3(Eac3Config),
    Mpeg(MpegConfig),
    Opus(OpusConfig),
}

/// What the bytes at the front of a frame are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Header(AudioHeader),
    /// The beginning of a header.
    More,
    Nothing,
}

/// A frame header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AudioHeader {
    /// The configuration, where the header alone tells it.
    pub(crate) config: Option<AudioConfig>,
    /// Bytes at the front of the frame that do not belong into a sample.
    pub(crate) strip: usize,
    /// Bytes of the whole frame.
    pub(crate) frame_len: usize,
    /// Samples of each channel that the frame decodes to, where the header alone tells.
    pub(crate) samples: u32,
    /// Samples that are to be cut off at the start and at the end (Opus).
    pub(crate) trim: (u16, u16),
}

impl AudioCodec {
    /// The byte that every header begins with.
    pub(crate) fn sync_byte(self) -> u8 {
        match self {
            Self::Adts | Self::Mpeg => 0xff,
            Self::Latm => 0x56,
            Self::Dolby => 0x0b,
            Self::Opus(_) => 0x7f,
        }
    }

    /// Bytes that a header has at least; [`parse`](Self::parse) is given no fewer.
    pub(crate) fn least_header(self) -> usize {
        match self {
            Self::Adts | Self::Dolby => 7,
            Self::Mpeg => 4,
            Self::Latm | Self::Opus(_) => 3,
        }
    }

    /// Reads a header.
    pub(crate) fn parse(self, bytes: &[u8]) -> Found {
        let header = match self {
            Self::Adts => aac::adts(bytes),
            Self::Latm => latm::loas(bytes),
            Self::Dolby => dolby::header(bytes),
            Self::Mpeg => mpeg::header(bytes),
            Self::Opus(_) => return opus::header(bytes),
        };
        match header.filter(|header| header.frame_len > bytes.len().max(header.strip)) {
            Some(header) => Found::Header(header),
            None => Found::Nothing,
        }
    }
}

impl AudioHeader {
    /// A header that tells all.
    fn whole(config: AudioConfig, strip: usize, frame_len: usize, samples: u32) -> Self {
        Self {
            config: Some(config),
            strip,
            frame_len,
            samples,
            trim: (0, 0),
        }
    }

    /// A header that only tells where the frame ends.
    fn frame(strip: usize, frame_len: usize) -> Self {
        Self {
            config: None,
            strip,
            frame_len,
            samples: 0,
            trim: (0, 0),
        }
    }
}

impl AudioConfig {
    /// Samples a second, by which frames are counted: for AAC with spectral band replication those of its core.
    pub(crate) fn sample_rate(&self) -> u32 {
        match self {
            Self::Adts(config) => config.sample_rate(),
            Self::Aac(config) => config.rate,
            Self::Ac3(config) => config.sample_rate(),
            Self::Eac3(config) => config.rate,
            Self::Mpeg(config) => config.rate,
            Self::Opus(_) => opus::RATE,
        }
    }

    /// Channels, as far as a frame of Dolby or MPEG audio tells them itself, with samples a second; `unit` is a whole access
    /// unit.
    pub(crate) fn told_by(codec: AudioCodec, unit: &[u8]) -> Option<(u32, u16)> {
        let (mut group, mut rest) = (Group::default(), unit);
        while let Some(Found::Header(header)) = rest.get(..codec.least_header()).map(|head| codec.parse(head)) {
            match header.config {
                Some(Self::Mpeg(config)) => return Some((config.rate, config.channels)),
                Some(Self::Ac3(config)) => return Some((config.sample_rate(), config.channels())),
                _ => {}
            }
            let Some((frame, next)) = rest.split_at_checked(header.frame_len) else {
                break;
            };
            group.add(frame);
            rest = next;
        }
        match group.config() {
            (Self::Eac3(config), samples) if samples > 0 => Some((config.rate, config.channels())),
            _ => None,
        }
    }

    /// The track, in ticks of the sampling rate, so that every frame lasts a whole number of them.
    pub(crate) fn track(&self, language: Language) -> Option<TrackConfig> {
        let mut entry = Vec::new();
        let rate = self.sample_rate();
        match self {
            Self::Adts(config) => mp4a(
                audio(config.channel_count(), rate),
                OBJECT_AAC,
                Some(config.audio_specific_config().to_vec()),
            )
            .encode(&mut entry),
            Self::Aac(config) => mp4a(
                audio(config.channels, config.output_rate),
                OBJECT_AAC,
                Some(config.specific_config.to_vec()),
            )
            .encode(&mut entry),
            Self::Ac3(config) => config.entry(audio(config.channels(), rate)).encode(&mut entry),
            Self::Eac3(config) => config.encode(&audio(config.channels(), rate), &mut entry),
            Self::Mpeg(config) => mp4a(audio(config.channels, rate), config.object_type(), None).encode(&mut entry),
            Self::Opus(config) => config.entry(audio(config.channels().into(), rate))?.encode(&mut entry),
        }
        .ok()?;
        Some(TrackConfig {
            kind: TrackKind::Audio,
            handler: *b"soun",
            timescale: rate,
            sample_entry: Bytes::from(entry),
            display_size: (0, 0),
            matrix: None,
            language,
            name: None,
            language_tag: None,
            roles: Roles::default(),
            presentation_offset: None,
        })
    }
}

/// Audio ISO/IEC 14496-3 (ISO 14496-1 table 5).
const OBJECT_AAC: u8 = 0x40;

fn audio(channels: u16, rate: u32) -> Audio {
    Audio {
        data_reference_index: 1,
        channel_count: channels,
        sample_size: 16,
        // The field ends at 65,535 Hz; the codec's configuration has the rate in any case.
        sample_rate: FixedPoint::from(u16::try_from(rate).unwrap_or(0)),
    }
}

fn mp4a(audio: Audio, object_type_indication: u8, specific: Option<Vec<u8>>) -> Mp4a {
    Mp4a {
        audio,
        esds: Esds {
            es_desc: EsDescriptor {
                dec_config: DecoderConfig {
                    object_type_indication,
                    // AudioStream (ISO 14496-1 table 6).
                    stream_type: 5,
                    dec_specific: specific.map(|raw| DecoderSpecific {
                        raw,
                        ..DecoderSpecific::default()
                    }),
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
    use proptest::prelude::*;

    use super::*;

    fn found(codec: AudioCodec, bytes: &[u8]) -> Option<(u32, usize, u32)> {
        match codec.parse(bytes.get(..codec.least_header())?) {
            Found::Header(header) => {
                let rate = header.config.as_ref().map_or(0, AudioConfig::sample_rate);
                Some((rate, header.frame_len, header.samples))
            }
            Found::More | Found::Nothing => None,
        }
    }

    #[test]
    fn headers_are_read_as_the_standards_lay_them_out() {
        for (codec, bytes, expected) in [
            // 192 kbit/s at 48 kHz and at 44.1 kHz with an odd code; table 4.13 has 384 and 418 words.
            (AudioCodec::Dolby, [0x0b, 0x77, 0, 0, 0x14, 0x40, 0x40], Some((48_000, 768, 1536))),
            (AudioCodec::Dolby, [0x0b, 0x77, 0, 0, 0x55, 0x40, 0x40], Some((44_100, 836, 1536))),
            (AudioCodec::Dolby, [0x0b, 0x77, 0, 0, 0xd4, 0x40, 0x40], None),
            // E-AC-3 of 512 words; its rate is told by the frame.
            (AudioCodec::Dolby, [0x0b, 0x77, 0x01, 0xff, 0x34, 0x86, 0x40], Some((0, 1024, 0))),
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
            // 0x2b7 in 11 bits, then the length in 13: 0x123 bytes behind three.
            (AudioCodec::Latm, [0x56, 0xe1, 0x23, 0, 0, 0, 0], Some((0, 0x126, 0))),
            (AudioCodec::Latm, [0x56, 0xc1, 0x23, 0, 0, 0, 0], None),
        ] {
            assert_eq!(found(codec, &bytes), expected, "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics_or_reaches_into_itself(mut bytes in prop::collection::vec(any::<u8>(), 7..300), code: u8) {
            for codec in [AudioCodec::Adts, AudioCodec::Latm, AudioCodec::Dolby, AudioCodec::Mpeg, AudioCodec::Opus(code)] {
                bytes[0] = codec.sync_byte();
                for end in codec.least_header()..bytes.len() {
                    if let Found::Header(header) = codec.parse(&bytes[..end]) {
                        prop_assert!(header.frame_len > header.strip);
                        if let Some(config) = header.config {
                            prop_assert!(config.sample_rate() > 0);
                            prop_assert!(config.track(Language::UNDETERMINED).is_some());
                        }
                        break;
                    }
                }
            }
        }
    }
}
