//! How Matroska names and sets up codecs (RFC 9559 §5.1.4.1; Matroska Codec Specifications).

use mp4_atom::{Avcc, Dops, Hvcc};
use serde::{Deserialize, Serialize};

use super::TextForm;
use crate::{
    audio::{AudioCodec, AudioConfig, aac::AacConfig, opus_head},
    bits::Bits,
    boxes::BoxRef,
    error::Error,
    sample_entry,
    track::{TrackConfig, TrackKind},
};

/// What `CodecID`, `CodecPrivate` and their like say of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Codec {
    pub(super) id: String,
    pub(super) private: Vec<u8>,
    /// What the decoder throws away at the beginning, in samples at 48 kHz: of Opus, which says so itself.
    pub(super) pre_skip: u16,
    pub(super) sound: Option<Sound>,
    pub(super) change: Change,
}

/// What `Audio` says (RFC 9559 §5.1.4.1.29).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sound {
    pub(super) rate: u32,
    /// Where it is not the rate of the core.
    pub(super) output_rate: u32,
    pub(super) channels: u16,
    /// Where there is one: 0 otherwise.
    pub(super) bits: u16,
}

/// What can be done when the codec parameters change, which the head of the file has told once and for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    /// Nothing.
    Never,
    /// Another description of the same AAC will do.
    Aac(AacConfig),
    /// The samples tell themselves.
    Free,
    /// Parameter sets may stand in the samples, behind lengths of so many bytes.
    Sets(Sets),
    /// Text has no parameters that matter.
    Text(TextForm),
}

/// Parameter sets of a video codec that is made of NAL units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sets {
    hevc: bool,
    length_size: usize,
    /// Each behind its length.
    units: Vec<u8>,
}

impl Codec {
    /// The codec of a track.
    ///
    /// # Errors
    ///
    /// [`Error::NoMatroska`]; an error of the box where the sample entry is broken.
    pub(super) fn of(config: &TrackConfig, text: TextForm) -> Result<Self, Error> {
        let entry = sample_entry::of(config)?;
        match config.kind {
            TrackKind::Video => video(entry),
            TrackKind::Audio => audio(entry),
            _ if entry.kind == *b"wvtt" => Ok(subtitles(entry, text)),
            _ => Err(Error::NoMatroska(sample_entry::name(entry.kind))),
        }
    }

    /// `CodecID`, where the first sample may tell what the sample entry does not: the layer of MPEG audio
    /// (ISO 11172-3 §2.4.2.3).
    pub(super) fn id_by(&self, first: &[u8]) -> &str {
        if !self.id.starts_with("A_MPEG/") {
            return &self.id;
        }
        match first.get(1).map(|byte| byte >> 1 & 3) {
            Some(3) => "A_MPEG/L1",
            Some(2) => "A_MPEG/L2",
            _ => "A_MPEG/L3",
        }
    }

    /// `Audio`, by the first sample where that tells: the fields of a sample entry mean nothing for Dolby's codecs
    /// (ETSI TS 102 366 §F.3 and §F.5), and many writers put 2 channels there whatever it is.
    pub(super) fn sound_by(&self, first: &[u8]) -> Option<Sound> {
        let codec = match self.id.as_str() {
            "A_AC3" | "A_EAC3" => AudioCodec::Dolby,
            id if id.starts_with("A_MPEG/") => AudioCodec::Mpeg,
            _ => return self.sound,
        };
        match AudioConfig::told_by(codec, first) {
            Some((rate, channels)) => Some(Sound {
                rate,
                output_rate: rate,
                channels,
                bits: 0,
            }),
            None => self.sound,
        }
    }

    /// Whether samples of `next` can go on in a track of this.
    pub(super) fn goes_on_as(&self, next: &Self) -> bool {
        let same = self.id == next.id && self.sound_is_kept(next);
        same && match (&self.change, &next.change) {
            (Change::Free, _) | (Change::Text(_), _) => true,
            (Change::Sets(now), Change::Sets(next)) => now.length_size == next.length_size,
            (Change::Aac(now), Change::Aac(next)) => now == next,
            _ => self.private == next.private && self.pre_skip == next.pre_skip,
        }
    }

    /// A codec whose frames tell all does not need the head.
    fn sound_is_kept(&self, next: &Self) -> bool {
        self.sound == next.sound || self.change == Change::Free
    }
}

impl Sets {
    /// The sample with these parameter sets in front of it, unless it has some itself; behind a delimiter, which comes
    /// first (ISO 14496-10 §7.4.1.2.3).
    pub(super) fn with(&self, sample: &[u8]) -> Vec<u8> {
        let (mut at, mut rest) = (0, sample);
        let kind = |unit: &[u8]| {
            let header = unit.first().copied().unwrap_or(0);
            if self.hevc { header >> 1 & 0x3f } else { header & 0x1f }
        };
        let (delimiter, sequence_set) = if self.hevc { (35, 33) } else { (9, 7) };
        while let Some((length, behind)) = rest.split_at_checked(self.length_size) {
            let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            let Some((unit, next)) = behind.split_at_checked(length) else {
                break;
            };
            match kind(unit) {
                kind if kind == sequence_set => return sample.to_vec(),
                kind if kind == delimiter && at == 0 => at = sample.len() - next.len(),
                _ => {}
            }
            rest = next;
        }
        let (front, back) = sample.split_at(at);
        [front, &self.units, back].concat()
    }
}

fn plain(id: &str) -> Codec {
    Codec {
        id: id.into(),
        private: Vec::new(),
        pre_skip: 0,
        sound: None,
        change: Change::Free,
    }
}

fn fixed(id: &str, private: impl Into<Vec<u8>>) -> Codec {
    Codec {
        private: private.into(),
        change: Change::Never,
        ..plain(id)
    }
}

fn video(entry: BoxRef<'_>) -> Result<Codec, Error> {
    Ok(match &entry.kind {
        b"avc1" | b"avc3" | b"dvav" | b"dva1" => {
            let found = sample_entry::visual(entry, "avcC")?;
            let avcc: Avcc = found.decode("avcC")?;
            let sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
            let change = sets_behind_lengths(false, avcc.length_size.into(), sets);
            Codec {
                change,
                ..fixed("V_MPEG4/ISO/AVC", found.body)
            }
        }
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => {
            let found = sample_entry::visual(entry, "hvcC")?;
            let hvcc: Hvcc = found.decode("hvcC")?;
            let sets = hvcc.arrays.iter().flat_map(|array| &array.nalus);
            let change = sets_behind_lengths(true, usize::from(hvcc.length_size_minus_one) + 1, sets);
            Codec {
                change,
                ..fixed("V_MPEGH/ISO/HEVC", found.body)
            }
        }
        b"vvc1" | b"vvi1" => fixed("V_MPEGI/ISO/VVC", behind(sample_entry::visual(entry, "vvcC")?, 4)),
        b"av01" => Codec {
            private: sample_entry::visual(entry, "av1C")?.body.to_vec(),
            ..plain("V_AV1")
        },
        b"vp08" => plain("V_VP8"),
        b"vp09" => Codec {
            private: vp9_features(sample_entry::in_visual(entry, "vpcC")),
            ..plain("V_VP9")
        },
        b"mp4v" => match sample_entry::object_type(sample_entry::visual(entry, "esds")?)? {
            (0x20, specific) => fixed("V_MPEG4/ISO/ASP", specific),
            (0x60..=0x65, specific) => fixed("V_MPEG2", specific),
            (0x6a, specific) => fixed("V_MPEG1", specific),
            (0x6c, _) => plain("V_MJPEG"),
            (other, _) => return Err(Error::NoMatroska(format!("video of object type {other:#04x}"))),
        },
        b"jpeg" | b"mjpg" => plain("V_MJPEG"),
        other => return Err(Error::NoMatroska(sample_entry::name(*other))),
    })
}

fn sets_behind_lengths<'a>(hevc: bool, length_size: usize, sets: impl Iterator<Item = &'a Vec<u8>>) -> Change {
    let length_size = length_size.clamp(1, 4);
    let mut units = Vec::new();
    for set in sets {
        // A set that is too long for its length does not come out of a box that was read.
        let length = u32::try_from(set.len()).unwrap_or(u32::MAX).to_be_bytes();
        units.extend_from_slice(&length[4 - length_size..]);
        units.extend_from_slice(set);
    }
    Change::Sets(Sets { hevc, length_size, units })
}

/// The features of a VP9 stream as the codec mapping has them: number, length, value.
fn vp9_features(vpcc: Option<BoxRef<'_>>) -> Vec<u8> {
    // Behind version and flags: profile, level, and bit depth with chroma subsampling (VP Codec ISO Media File Format Binding).
    match vpcc.and_then(|found| found.body.get(4..7)) {
        Some(&[profile, level, depth]) => vec![1, 1, profile, 2, 1, level, 3, 1, depth >> 4, 4, 1, depth >> 1 & 7],
        _ => Vec::new(),
    }
}

fn audio(entry: BoxRef<'_>) -> Result<Codec, Error> {
    let told = told(entry);
    let with = |codec: Codec| {
        Ok(Codec {
            sound: Some(told),
            ..codec
        })
    };
    match &entry.kind {
        b"mp4a" => match sample_entry::object_type(sample_entry::audio(entry, "esds")?)? {
            (0x40 | 0x66..=0x68, specific) => Ok(aac(specific, told)),
            (0x69 | 0x6b, _) => with(plain("A_MPEG/L3")),
            (0xa5, _) => with(plain("A_AC3")),
            (0xa6, _) => with(plain("A_EAC3")),
            (0xa9..=0xac, _) => with(plain("A_DTS")),
            (0xdd, specific) => with(fixed("A_VORBIS", specific)),
            (other, _) => Err(Error::NoMatroska(format!("audio of object type {other:#04x}"))),
        },
        b".mp3" => with(plain("A_MPEG/L3")),
        b"ac-3" => with(plain("A_AC3")),
        b"ec-3" => with(plain("A_EAC3")),
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => with(plain("A_DTS")),
        b"Opus" => opus(&sample_entry::audio(entry, "dOps")?.decode("dOps")?),
        b"fLaC" => flac(&behind(sample_entry::audio(entry, "dfLa")?, 4), told),
        b"alac" => alac(behind(sample_entry::audio(entry, "alac")?, 4), told),
        other => Err(Error::NoMatroska(sample_entry::name(*other))),
    }
}

/// What the fields of the sample entry say (ISO 14496-12 §12.2.3).
fn told(entry: BoxRef<'_>) -> Sound {
    let field = |at: usize| {
        entry
            .whole
            .get(at..at + 2)
            .map_or(0, |bytes| u16::from(bytes[0]) << 8 | u16::from(bytes[1]))
    };
    let rate = u32::from(field(32));
    Sound {
        rate,
        output_rate: rate,
        channels: field(24),
        bits: 0,
    }
}

fn aac(specific: Vec<u8>, told: Sound) -> Codec {
    let bits = specific.len() * 8;
    let read = AacConfig::read(&mut Bits::new(&specific), Some(bits));
    let plain = read.clone().filter(|read| read.plain.is_some());
    let sound = read.map_or(told, |read| Sound {
        rate: read.rate,
        output_rate: read.output_rate,
        // None are told where a program config element in the stream does.
        channels: if read.channels == 0 { told.channels } else { read.channels },
        bits: 0,
    });
    Codec {
        sound: Some(sound),
        change: plain.map_or(Change::Never, |read| Change::Aac(read.without_bytes())),
        ..fixed("A_AAC", specific)
    }
}

/// Its private data are the identification header (RFC 7845 §5.1).
fn opus(dops: &Dops) -> Result<Codec, Error> {
    Ok(Codec {
        pre_skip: dops.pre_skip,
        sound: Some(Sound {
            rate: 48_000,
            output_rate: 48_000,
            channels: dops.output_channel_count.into(),
            bits: 0,
        }),
        ..fixed("A_OPUS", opus_head(dops))
    })
}

/// The stream marker and the metadata blocks (RFC 9639 §8), of which the first is `STREAMINFO`.
fn flac(blocks: &[u8], told: Sound) -> Result<Codec, Error> {
    let mut bits = Bits::new(blocks.get(14..).unwrap_or(&[]));
    let mut read = || Some((bits.bits(20)?, bits.bits(3)?, bits.bits(5)?));
    let (rate, channels, depth) = read().ok_or(Error::MissingBox("dfLa"))?;
    let short = |value: u32| u16::try_from(value + 1).unwrap_or(0);
    Ok(Codec {
        sound: Some(Sound {
            rate: if rate == 0 { told.rate } else { rate },
            output_rate: if rate == 0 { told.rate } else { rate },
            channels: short(channels),
            bits: short(depth),
        }),
        ..fixed("A_FLAC", [&b"fLaC"[..], blocks].concat())
    })
}

/// The configuration of ALAC says its bit depth, channels and rate at these places.
fn alac(config: Vec<u8>, told: Sound) -> Result<Codec, Error> {
    let &[_, _, _, _, _, bits, _, _, _, channels, .., a, b, c, d] = config.get(..24).ok_or(Error::MissingBox("alac"))? else {
        return Err(Error::MissingBox("alac"));
    };
    let rate = u32::from_be_bytes([a, b, c, d]);
    Ok(Codec {
        sound: Some(Sound {
            rate: if rate == 0 { told.rate } else { rate },
            output_rate: if rate == 0 { told.rate } else { rate },
            channels: channels.into(),
            bits: bits.into(),
        }),
        ..fixed("A_ALAC", config)
    })
}

fn subtitles(entry: BoxRef<'_>, form: TextForm) -> Codec {
    let header = match form {
        TextForm::SubRip => Vec::new(),
        // SampleEntry: six reserved bytes and the data reference.
        TextForm::WebVtt => entry
            .children(8)
            .flatten()
            .find(|child| &child.kind == b"vttC")
            .map_or_else(|| b"WEBVTT".to_vec(), |header| header.body.to_vec()),
    };
    let id = match form {
        TextForm::SubRip => "S_TEXT/UTF8",
        TextForm::WebVtt => "S_TEXT/WEBVTT",
    };
    Codec {
        change: Change::Text(form),
        ..fixed(id, header)
    }
}

/// The content of a box without its first bytes.
fn behind(found: BoxRef<'_>, bytes: usize) -> Vec<u8> {
    found.body.get(bytes..).unwrap_or(&[]).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_stand_behind_the_delimiter_and_are_not_repeated() {
        let unit = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let sets = [vec![0x67, 1], vec![0x68, 2]];
        let Change::Sets(sets) = sets_behind_lengths(false, 4, sets.iter()) else {
            panic!()
        };
        let (sps, pps, delimiter, slice) = (unit(&[0x67, 1]), unit(&[0x68, 2]), unit(&[9, 0xf0]), unit(&[0x65, 3]));
        let own = unit(&[0x67, 7]);
        for (sample, expected) in [
            (vec![&slice], vec![&sps, &pps, &slice]),
            (vec![&delimiter, &slice], vec![&delimiter, &sps, &pps, &slice]),
            (vec![&delimiter, &own, &slice], vec![&delimiter, &own, &slice]),
        ] {
            let flat = |units: &[&Vec<u8>]| units.iter().flat_map(|unit| unit.iter().copied()).collect::<Vec<_>>();
            assert_eq!(sets.with(&flat(&sample)), flat(&expected));
        }
        // A length that does not fit ends the search.
        assert!(sets.with(&[0xff; 5]).ends_with(&[0xff; 5]));
    }
}
