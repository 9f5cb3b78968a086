//! What H.264 and HEVC have in common: NAL units, and how they make up access units.

use std::{borrow::Cow, fmt};

use memchr::memmem;
use mp4_atom::{Colr, Pasp, Visual};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    time::MPEG_HZ,
    track::{Language, Roles, TrackConfig, TrackKind},
};

/// Longest parameter set that is kept, in bytes. Real ones have some hundred; all of them are in every sample entry.
pub(crate) const MAX_SET: usize = 4096;

/// A codec whose stream is made of NAL units, as the assembler of access units needs it.
pub(crate) trait NalCodec: fmt::Debug + Default + Serialize + DeserializeOwned {
    /// What has to be known of an access unit before it is complete.
    type Picture: fmt::Debug + Default + Serialize + DeserializeOwned;

    /// Whether a NAL unit carries part of a coded picture.
    fn is_slice(nal: &[u8]) -> bool;

    /// Whether a NAL unit is the first of an access unit, given that slices came before it.
    fn begins_unit(nal: &[u8]) -> bool;

    /// Whether `picture` is only half of one: a field whose other field may follow as an access unit of its own.
    fn is_unpaired(&self, picture: &Self::Picture) -> bool;

    /// Whether a slice is of the other field of `picture`, so that both are one sample (ISO 14496-15 §5.2.3).
    fn pairs(&self, picture: &Self::Picture, slice: &[u8]) -> bool;

    /// Takes note of a NAL unit of `picture`, and says whether it belongs into the sample. Parameter sets do if they
    /// are kept `in_band`.
    fn file(&mut self, picture: &mut Self::Picture, nal: &[u8], in_band: bool) -> bool;

    /// What a complete picture is to who wants to begin decoding.
    fn access(picture: &Self::Picture) -> Access;

    /// Whether the parameter sets that the latest slice uses say something else than at the last call.
    fn take_changed(&mut self) -> bool;

    /// How many parameter sets came since the last call that cannot be right. Those that they would have replaced stay in force.
    fn take_broken(&mut self) -> u64;

    /// The track that the parameter sets in force describe, in ticks of 90 kHz; `None` while one is missing or cannot
    /// be read. The sample entry's type tells whether parameter sets are in the samples too (ISO 14496-15 §5.4.2.1).
    fn config(&self, in_band: bool, language: Language) -> Option<TrackConfig>;

    /// The length of one frame in ticks of 90 kHz, where the parameter sets state it.
    fn frame_duration(&self) -> Option<i64>;
}

/// How a picture may be come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Decoding may begin here.
    pub(crate) sync: bool,
    /// What follows in decoding order never refers to what came before: no leading pictures.
    pub(crate) closed: bool,
    /// It is worth a try to begin here, as parameter sets came along, although nothing says that it is allowed.
    pub(crate) has_sets: bool,
    /// May refer to pictures before the random access point that it follows, if it is presented before that.
    pub(crate) may_lead: bool,
}

/// What a sequence parameter set says of how pictures look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Width and height in samples.
    pub(crate) size: (u32, u32),
    /// The sample aspect ratio, horizontal to vertical.
    pub(crate) aspect: Option<(u16, u16)>,
    /// Primaries, transfer characteristics and matrix coefficients (ISO 14496-10 §E.2.1, ISO 23008-2 §E.3.1), and whether the
    /// range is full.
    pub(crate) colour: Option<([u8; 3], bool)>,
}

impl Look {
    /// The fields of a visual sample entry (ISO 14496-12 §12.1.3); `None` for pictures that are too large for it.
    pub(crate) fn visual(&self) -> Option<Visual> {
        Some(Visual {
            data_reference_index: 1,
            width: u16::try_from(self.size.0).ok()?,
            height: u16::try_from(self.size.1).ok()?,
            ..Visual::default()
        })
    }

    /// The shape of a sample (§12.1.4).
    pub(crate) fn pasp(&self) -> Option<Pasp> {
        self.aspect.map(|(horizontal, vertical)| Pasp {
            h_spacing: horizontal.into(),
            v_spacing: vertical.into(),
        })
    }

    /// The colours (§12.1.5), unless they are "unspecified" (2) throughout.
    pub(crate) fn colr(&self) -> Option<Colr> {
        let (codes, full_range_flag) = self.colour.filter(|(codes, _)| *codes != [2; 3])?;
        Some(Colr::Nclx {
            colour_primaries: codes[0].into(),
            transfer_characteristics: codes[1].into(),
            matrix_coefficients: codes[2].into(),
            full_range_flag,
        })
    }

    /// A track of such pictures, in ticks of 90 kHz.
    pub(crate) fn track(&self, sample_entry: Vec<u8>, language: Language) -> TrackConfig {
        TrackConfig {
            kind: TrackKind::Video,
            handler: *b"vide",
            timescale: MPEG_HZ,
            sample_entry: sample_entry.into(),
            display_size: (display_width(self.size.0, self.aspect), self.size.1),
            matrix: None,
            language,
            name: None,
            language_tag: None,
            roles: Roles::default(),
            presentation_offset: None,
        }
    }
}

/// A frame of `units` ticks, of which `scale` are a second, in ticks of 90 kHz; `None` beyond ten seconds.
pub(crate) fn frame_duration(units: u64, scale: u32) -> Option<i64> {
    let duration = units.checked_mul(MPEG_HZ.into())?.checked_div(scale.into())?;
    i64::try_from(duration)
        .ok()
        .filter(|duration| (1..=i64::from(MPEG_HZ) * 10).contains(duration))
}

/// A NAL unit without its `emulation_prevention_three_byte`s (ISO 14496-10 §7.3.1, ISO 23008-2 §7.3.1.1).
pub(crate) fn unescape(nal: &[u8]) -> Cow<'_, [u8]> {
    const ESCAPE: [u8; 3] = [0, 0, 3];
    if memmem::find(nal, &ESCAPE).is_none() {
        return Cow::Borrowed(nal);
    }
    let mut plain = Vec::with_capacity(nal.len());
    let mut rest = nal;
    while let Some(at) = memmem::find(rest, &ESCAPE) {
        let (head, tail) = rest.split_at(at + 2);
        plain.extend_from_slice(head);
        rest = tail.get(1..).unwrap_or(&[]);
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// Whether the messages of a SEI NAL unit, without its header, have a recovery point among them (payload type 6 in both
/// codecs: ISO 14496-10 §D.1.8, ISO 23008-2 §D.2.8): decoding may begin at its access unit.
pub(crate) fn has_recovery_point(messages: &[u8]) -> bool {
    // Payload sizes may count bytes behind emulation prevention, so the walk could lose its way only after
    // a payload with such bytes; recovery points are tiny and come early.
    let mut rest = messages;
    loop {
        let Some((kind, after)) = sei_number(rest) else { return false };
        let Some((size, after)) = sei_number(after) else { return false };
        if kind == 6 {
            return true;
        }
        rest = after.get(size..).unwrap_or(&[]);
        // 0x80 alone is the trailing bit.
        if rest.len() < 3 {
            return false;
        }
    }
}

/// The messages of a SEI NAL unit, without its header and emulation prevention, with their `payloadType`.
pub(crate) fn sei_messages(mut rest: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, after) = sei_number(rest)?;
        let (size, after) = sei_number(after)?;
        let payload = after.get(..size)?;
        rest = after.get(size..)?;
        Some((kind, payload))
    })
}

/// A number of a SEI message header: 0xff bytes add up (ISO 14496-10 §7.3.2.3.1).
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let run = bytes.iter().take_while(|&&byte| byte == 0xff).count();
    let last = *bytes.get(run)?;
    Some((run * 255 + usize::from(last), bytes.get(run + 1..)?))
}

/// Sample aspect ratios by `aspect_ratio_idc` (ISO 14496-10 table E-1, ISO 23008-2 table E.1), from 1.
const ASPECTS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// The sample aspect ratio that an `aspect_ratio_idc` stands for.
pub(crate) fn aspect_ratio(idc: u8) -> Option<(u16, u16)> {
    ASPECTS.get(usize::from(idc).checked_sub(1)?).copied()
}

/// The width of a picture when its samples are made square.
fn display_width(width: u32, aspect: Option<(u16, u16)>) -> u32 {
    let wide = aspect.map(|(horizontal, vertical)| u64::from(width) * u64::from(horizontal) / u64::from(vertical.max(1)));
    wide.and_then(|wide| u32::try_from(wide).ok()).unwrap_or(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulation_prevention_goes_and_nothing_else_does() {
        for (nal, plain) in [
            (&[][..], &[][..]),
            (&[1, 2, 3], &[1, 2, 3]),
            (&[0, 0, 3, 1], &[0, 0, 1]),
            (&[0, 0, 3, 0, 0, 3, 0, 0, 3], &[0, 0, 0, 0, 0, 0]),
            (&[9, 0, 0, 0, 3, 7], &[9, 0, 0, 0, 7]),
            (&[0, 3, 0, 0, 4, 0, 0, 3], &[0, 3, 0, 0, 4, 0, 0]),
        ] {
            assert_eq!(&*unescape(nal), plain, "{nal:?}");
        }
    }

    #[test]
    fn a_recovery_point_is_found_behind_other_messages() {
        for (messages, expected) in [
            (&[6, 1, 0xc4, 0x80][..], true),
            (&[0, 2, 1, 1, 6, 1, 0xc4, 0x80], true),
            (&[5, 2, 6, 6, 0x80], false),
            (&[0xff, 6, 1, 0, 0x80], false),
            (&[], false),
        ] {
            assert_eq!(has_recovery_point(messages), expected, "{messages:?}");
        }
    }

    #[test]
    fn aspect_ratios_are_those_of_the_table() {
        assert_eq!(aspect_ratio(0), None);
        assert_eq!(aspect_ratio(1), Some((1, 1)));
        assert_eq!(aspect_ratio(14), Some((4, 3)));
        assert_eq!(aspect_ratio(17), None);
        assert_eq!(display_width(1440, Some((4, 3))), 1920);
        assert_eq!(display_width(1440, Some((4, 0))), 5760);
        assert_eq!(display_width(1440, None), 1440);
    }
}
