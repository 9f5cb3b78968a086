//! What an elementary stream carries, by its type and its descriptors in the PMT.

use serde::{Deserialize, Serialize};

use super::psi::each;
use crate::{audio::AudioCodec, track::TrackKind};

/// What an elementary stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Coding {
    Avc,
    Hevc,
    Audio(AudioCodec),
    /// Neither pictures nor sound.
    Data(DataKind),
    /// Not supported, with its `stream_type`.
    Other(u8),
}

/// Streams beside pictures and sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DataKind {
    /// Timed metadata in ID3 tags (Apple, "Timed Metadata for HTTP Live Streaming").
    Id3,
    /// Cues for the insertion of other programs (SCTE 35).
    Scte35,
    /// Key-length-value metadata (SMPTE ST 336, MISB ST 1402).
    Klv,
    /// DVB subtitles (ETSI EN 300 743).
    DvbSubtitles,
    /// Teletext (ETSI EN 300 472).
    Teletext,
    /// DSM-CC, application tables and their like (ISO 13818-6, ETSI TS 102 809).
    Tables,
}

impl Coding {
    /// By stream type (ISO 13818-1 table 2-34), and descriptors where that says "private".
    ///
    /// 0xdb, 0xcf, 0xc1 and 0xc2 are H.264, ADTS, AC-3 and E-AC-3 in SAMPLE-AES streams (Apple, "MPEG-2 Stream Encryption Format
    /// for HTTP Live Streaming"), which keep their type when they were decrypted.
    pub(super) fn of(stream_type: u8, descriptors: &[u8]) -> Self {
        match stream_type {
            0x1b | 0xdb => Self::Avc,
            0x24 => Self::Hevc,
            0x03 | 0x04 => Self::Audio(AudioCodec::Mpeg),
            0x0f | 0xcf => Self::Audio(AudioCodec::Adts),
            0x11 => Self::Audio(AudioCodec::Latm),
            // ATSC A/53 part 3 §5.7.1 and A/52 annex G.
            0x81 | 0xc1 | 0x87 | 0xc2 => Self::Audio(AudioCodec::Dolby),
            0x06 => private(descriptors).unwrap_or(Self::Other(stream_type)),
            0x15 => Self::Data(match registration(descriptors) {
                Some(b"KLVA") => DataKind::Klv,
                _ => DataKind::Id3,
            }),
            0x86 => Self::Data(DataKind::Scte35),
            0x05 | 0x08..=0x0d => Self::Data(DataKind::Tables),
            other => Self::Other(other),
        }
    }

    /// What kind of track it makes, if it makes one.
    pub(super) fn kind(self) -> Option<TrackKind> {
        match self {
            Self::Avc | Self::Hevc => Some(TrackKind::Video),
            Self::Audio(_) => Some(TrackKind::Audio),
            Self::Data(_) | Self::Other(_) => None,
        }
    }
}

/// The format identifier of the `registration_descriptor` (§2.6.8). `metadata_descriptor`s (§2.6.60) have one too.
fn registration(descriptors: &[u8]) -> Option<&[u8; 4]> {
    each(descriptors).find_map(|(tag, content)| match tag {
        0x05 => content.first_chunk(),
        _ => None,
    })
}

/// A private stream that a descriptor explains: DVB's (ETSI EN 300 468 table 12 and annex D), or a registration.
fn private(descriptors: &[u8]) -> Option<Coding> {
    each(descriptors).find_map(|(tag, content)| match (tag, content.first_chunk()) {
        (0x6a | 0x7a, _) | (0x05, Some(b"AC-3" | b"EAC3")) => Some(Coding::Audio(AudioCodec::Dolby)),
        (0x05, Some(b"HEVC")) => Some(Coding::Hevc),
        (0x05, Some(b"Opus")) => opus(descriptors).map(|code| Coding::Audio(AudioCodec::Opus(code))),
        (0x05, Some(b"ID3 ")) => Some(Coding::Data(DataKind::Id3)),
        (0x05, Some(b"KLVA")) => Some(Coding::Data(DataKind::Klv)),
        (0x59, _) => Some(Coding::Data(DataKind::DvbSubtitles)),
        (0x56, _) => Some(Coding::Data(DataKind::Teletext)),
        _ => None,
    })
}

/// `channel_config_code`, in the extension descriptor of Opus ("Opus in MPEG-TS", draft 0.1.3): families of up to eight
/// channels, and two languages in a pair.
fn opus(descriptors: &[u8]) -> Option<u8> {
    each(descriptors).find_map(|(tag, content)| match (tag, content) {
        (0x7f, [0x80, code @ 0..=8, ..]) => Some(*code),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_streams_are_what_their_descriptors_say() {
        let dolby = Coding::Audio(AudioCodec::Dolby);
        for (stream_type, descriptors, expected) in [
            (0x06, &b"\x05\x04AC-3"[..], dolby),
            (0x06, b"\x0a\x04eng\0\x7a\x01\0", dolby),
            (0x06, b"\x05\x04Opus\x7f\x02\x80\x02", Coding::Audio(AudioCodec::Opus(2))),
            (0x06, b"\x05\x04Opus\x7f\x02\x80\x81", Coding::Other(6)),
            (0x06, b"\x05\x04Opus", Coding::Other(6)),
            (0x06, b"\x05\x04HEVC", Coding::Hevc),
            (0x06, b"\x05\x04KLVA", Coding::Data(DataKind::Klv)),
            (0x06, b"\x59\x01", Coding::Data(DataKind::DvbSubtitles)),
            (0x06, b"", Coding::Other(6)),
            (0x15, b"", Coding::Data(DataKind::Id3)),
            (0x15, b"\x05\x04KLVA", Coding::Data(DataKind::Klv)),
            (0x86, b"", Coding::Data(DataKind::Scte35)),
            (0x0f, b"\x05\x04AC-3", Coding::Audio(AudioCodec::Adts)),
            (0x02, b"", Coding::Other(2)),
        ] {
            assert_eq!(
                Coding::of(stream_type, descriptors),
                expected,
                "{stream_type:#x} {}",
                descriptors.escape_ascii()
            );
        }
    }
}
