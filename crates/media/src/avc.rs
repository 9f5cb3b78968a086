//! H.264: parameter sets, the `avc1` sample entry, and what a NAL unit's first bytes tell.

use std::collections::BTreeMap;

use bytes::Bytes;
use h264_reader::{nal::sps::SeqParameterSet, rbsp::BitReader};
use mp4_atom::{Avc1, Avcc, AvccExt, Colr, Encode, Pasp, Visual};
use serde::{Deserialize, Serialize};

use crate::{
    bits::Bits,
    time::MPEG_HZ,
    track::{Language, TrackConfig, TrackKind},
};

/// `nal_unit_type` values (ISO 14496-10 table 7-1).
pub(crate) mod nal {
    pub(crate) const SLICE: u8 = 1;
    pub(crate) const IDR: u8 = 5;
    pub(crate) const SEI: u8 = 6;
    pub(crate) const SPS: u8 = 7;
    pub(crate) const PPS: u8 = 8;
    pub(crate) const DELIMITER: u8 = 9;
    pub(crate) const FILLER: u8 = 12;
}

/// Longest parameter set that is kept; `avcC` has 16 bits for the length (ISO 14496-15 §5.3.3.1).
const MAX_SET: usize = 0xffff;
/// As many picture parameter sets as `avcC` can count.
const MAX_PPS: usize = 255;

/// The type of a NAL unit by its first byte (ISO 14496-10 §7.3.1).
pub(crate) fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// Whether a slice is the first of its picture: `first_mb_in_slice` is 0 (ISO 14496-10 §7.4.3).
pub(crate) fn starts_picture(slice: &[u8]) -> bool {
    // ue(0) is a single 1 bit.
    slice.get(1).is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether a slice says that all slices of its picture are intra (`slice_type` 7 or 9, ISO 14496-10
/// table 7-6), or is intra itself (2 or 4).
pub(crate) fn is_intra_slice(slice: &[u8]) -> bool {
    // first_mb_in_slice and slice_type fit into the first bytes; emulation prevention cannot strike there
    // before both are read unless first_mb_in_slice is huge, and then the answer does not matter.
    let mut bits = Bits::new(slice.get(1..slice.len().min(12)).unwrap_or(&[]));
    let slice_type = bits.ue().and_then(|_| bits.ue());
    matches!(slice_type, Some(2 | 4 | 7 | 9))
}

/// Whether a SEI NAL unit holds a recovery point (payload type 6, ISO 14496-10 §D.1.8): decoding may begin
/// at its access unit.
pub(crate) fn has_recovery_point(sei: &[u8]) -> bool {
    // Payload sizes may count bytes behind emulation prevention, so the walk could lose its way only after
    // a payload with such bytes; recovery points are tiny and come early.
    let mut rest = sei.get(1..).unwrap_or(&[]);
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

/// A number of a SEI message header: 0xff bytes add up (ISO 14496-10 §7.3.2.3.1).
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let run = bytes.iter().take_while(|&&byte| byte == 0xff).count();
    let last = *bytes.get(run)?;
    Some((run * 255 + usize::from(last), bytes.get(run + 1..)?))
}

/// The parameter sets in force, by identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParameterSets {
    sps: BTreeMap<u32, Bytes>,
    pps: BTreeMap<u32, Bytes>,
}

impl ParameterSets {
    /// Takes in the sets that came with one access unit. Returns whether anything changed.
    ///
    /// When a sequence parameter set changes, picture parameter sets that did not come again are those of
    /// another coded video sequence, and are forgotten.
    pub(crate) fn update(&mut self, sps: &[Bytes], pps: &[Bytes]) -> bool {
        let mut changed = false;
        for set in sps {
            // seq_parameter_set_id follows profile, constraints and level (§7.3.2.1.1).
            let Some(id) = set.get(4..).and_then(|rest| Bits::new(rest).ue()).filter(|&id| id < 32) else {
                continue;
            };
            if set.len() <= MAX_SET && self.sps.get(&id) != Some(set) {
                if self.sps.insert(id, set.clone()).is_some() {
                    self.pps.clear();
                }
                changed = true;
            }
        }
        for set in pps {
            let Some(id) = set.get(1..).and_then(|rest| Bits::new(rest).ue()).filter(|&id| id < 256) else {
                continue;
            };
            let room = self.pps.len() < MAX_PPS || self.pps.contains_key(&id);
            if room && set.len() <= MAX_SET && self.pps.get(&id) != Some(set) {
                self.pps.insert(id, set.clone());
                changed = true;
            }
        }
        changed
    }

    /// The track that these sets describe, in ticks of 90 kHz; `None` while a set is missing or the first
    /// sequence parameter set cannot be read.
    pub(crate) fn config(&self, language: Language) -> Option<TrackConfig> {
        let first = self.sps.values().next()?;
        if self.pps.is_empty() {
            return None;
        }
        let sps = parse_sps(first)?;
        let (width, height) = sps.pixel_dimensions().ok()?;
        let aspect = sps
            .vui_parameters
            .as_ref()
            .and_then(|vui| vui.aspect_ratio_info.as_ref())
            .and_then(|aspect| aspect.get());
        let entry = Avc1 {
            visual: Visual {
                data_reference_index: 1,
                width: u16::try_from(width).ok()?,
                height: u16::try_from(height).ok()?,
                ..Visual::default()
            },
            avcc: self.avcc(first, &sps),
            colr: colour(&sps),
            pasp: aspect.map(|(horizontal, vertical)| Pasp {
                h_spacing: horizontal.into(),
                v_spacing: vertical.into(),
            }),
            ..Avc1::default()
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes).ok()?;
        let display_width = match aspect {
            Some((horizontal, vertical)) => u64::from(width) * u64::from(horizontal) / u64::from(vertical.max(1)),
            None => width.into(),
        };
        Some(TrackConfig {
            kind: TrackKind::Video,
            handler: *b"vide",
            timescale: MPEG_HZ,
            sample_entry: bytes.into(),
            display_size: (u32::try_from(display_width).unwrap_or(width), height),
            matrix: None,
            language,
            name: None,
            presentation_offset: None,
        })
    }

    /// The length of one frame in 90 kHz ticks, where the sequence parameter set states a fixed rate
    /// (ISO 14496-10 §E.2.1: two field ticks a frame).
    pub(crate) fn frame_duration(&self) -> Option<i64> {
        let sps = parse_sps(self.sps.values().next()?)?;
        let timing = sps.vui_parameters?.timing_info?;
        let ticks = u64::from(timing.num_units_in_tick) * 2 * u64::from(MPEG_HZ);
        let duration = ticks.checked_div(timing.time_scale.into())?;
        i64::try_from(duration)
            .ok()
            .filter(|duration| (1..=i64::from(MPEG_HZ) * 10).contains(duration))
    }

    /// `AVCDecoderConfigurationRecord` (ISO 14496-15 §5.3.3.1). The extension of the High profiles is set here,
    /// because the box's own constructor leaves it out and decoders then assume 8 bits 4:2:0.
    fn avcc(&self, first: &[u8], sps: &SeqParameterSet) -> Avcc {
        let byte = |at: usize| first.get(at).copied().unwrap_or(0);
        let ext = (!matches!(byte(1), 66 | 77 | 88)).then(|| AvccExt {
            chroma_format: u8::try_from(sps.chroma_info.chroma_format.to_u32()).unwrap_or(1),
            bit_depth_luma: sps.chroma_info.bit_depth_luma_minus8 + 8,
            bit_depth_chroma: sps.chroma_info.bit_depth_chroma_minus8 + 8,
            sequence_parameter_sets_ext: Vec::new(),
        });
        Avcc {
            configuration_version: 1,
            avc_profile_indication: byte(1),
            profile_compatibility: byte(2),
            avc_level_indication: byte(3),
            length_size: 4,
            // The count has 5 bits.
            sequence_parameter_sets: self.sps.values().take(31).map(|set| set.to_vec()).collect(),
            picture_parameter_sets: self.pps.values().map(|set| set.to_vec()).collect(),
            ext,
        }
    }
}

fn parse_sps(nal: &[u8]) -> Option<SeqParameterSet> {
    let rbsp = h264_reader::rbsp::decode_nal(nal).ok()?;
    SeqParameterSet::from_bits(BitReader::new(&*rbsp)).ok()
}

/// The colour description of the video usability information (ISO 14496-10 §E.2.1), unless it says
/// "unspecified" (2) throughout.
fn colour(sps: &SeqParameterSet) -> Option<Colr> {
    let signal = sps.vui_parameters.as_ref()?.video_signal_type.as_ref()?;
    let colour = signal.colour_description.as_ref()?;
    let codes = [colour.colour_primaries, colour.transfer_characteristics, colour.matrix_coefficients];
    (codes != [2, 2, 2]).then(|| Colr::Nclx {
        colour_primaries: codes[0].into(),
        transfer_characteristics: codes[1].into(),
        matrix_coefficients: codes[2].into(),
        full_range_flag: signal.video_full_range_flag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the mp4-atom test vectors: 1920x1080 High.
    const SPS: &[u8] = &[
        103, 100, 0, 40, 172, 217, 64, 120, 2, 39, 229, 132, 0, 0, 3, 0, 4, 0, 0, 3, 0, 240, 60, 96, 198, 88,
    ];
    const PPS: &[u8] = &[104, 235, 236, 178, 44];

    fn sets() -> ParameterSets {
        let mut sets = ParameterSets::default();
        assert!(sets.update(&[Bytes::from_static(SPS)], &[Bytes::from_static(PPS)]));
        sets
    }

    #[test]
    fn the_sample_entry_has_size_and_high_profile_extension() {
        let config = sets().config(Language::UNDETERMINED).unwrap();
        assert_eq!(config.display_size, (1920, 1080));
        let entry: Avc1 = mp4_atom::Decode::decode(&mut &config.sample_entry[..]).unwrap();
        assert_eq!((entry.visual.width, entry.visual.height), (1920, 1080));
        assert_eq!(entry.avcc.ext, Some(AvccExt::default()));
        assert_eq!(entry.avcc.sequence_parameter_sets, [SPS]);
        assert_eq!(entry.avcc.picture_parameter_sets, [PPS]);
    }

    #[test]
    fn repeated_sets_are_no_change_and_a_new_sequence_forgets_old_pictures() {
        let mut sets = sets();
        assert!(!sets.update(&[Bytes::from_static(SPS)], &[Bytes::from_static(PPS)]));
        let mut other = SPS.to_vec();
        other[3] = 41;
        assert!(sets.update(&[other.into()], &[]));
        assert!(sets.config(Language::UNDETERMINED).is_none(), "no picture parameter set is left");
    }

    #[test]
    fn broken_sets_describe_nothing() {
        for broken in [&[][..], &[103], &[103, 100, 0, 40], &[103, 100, 0, 40, 0, 0, 0, 0, 0], &SPS[..9]] {
            let mut sets = ParameterSets::default();
            sets.update(&[Bytes::copy_from_slice(broken)], &[Bytes::from_static(PPS)]);
            assert!(sets.config(Language::UNDETERMINED).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn a_recovery_point_is_found_behind_other_messages() {
        for (sei, expected) in [
            (&[6, 6, 1, 0xc4, 0x80][..], true),
            (&[6, 0, 2, 1, 1, 6, 1, 0xc4, 0x80], true),
            (&[6, 5, 2, 6, 6, 0x80], false),
            (&[6, 0xff, 6, 1, 0, 0x80], false),
            (&[6], false),
            (&[], false),
        ] {
            assert_eq!(has_recovery_point(sei), expected, "{sei:?}");
        }
    }

    #[test]
    fn slice_headers_tell_first_and_intra() {
        // first_mb_in_slice 0, slice_type 7 = 1 0001000
        assert!(starts_picture(&[0x65, 0b1000_1000]) && is_intra_slice(&[0x65, 0b1000_1000]));
        // first_mb_in_slice 0, slice_type 5 (P) = 1 00110
        assert!(!is_intra_slice(&[0x41, 0b1001_1000]));
        // first_mb_in_slice 1 = 010
        assert!(!starts_picture(&[0x41, 0b0100_0000]));
    }
}
