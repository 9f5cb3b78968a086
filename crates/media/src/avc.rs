//! H.264: parameter sets, the `avc1` sample entry, and what a NAL unit's first bytes tell.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use h264_reader::{
    Context,
    nal::{
        pps::PicParameterSet,
        sps::{FrameMbsFlags, SeqParameterSet},
    },
    rbsp::BitReader,
};
use mp4_atom::{Avc1, Avc3, Avcc, AvccExt, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    bits::Bits,
    nal::{Access, Look, MAX_SET, NalCodec, frame_duration, has_recovery_point, unescape},
    track::{Language, TrackConfig},
};

/// `nal_unit_type` values (ISO 14496-10 table 7-1).
mod nal_type {
    pub(super) const SLICE: u8 = 1;
    pub(super) const PARTITION_A: u8 = 2;
    pub(super) const PARTITION_C: u8 = 4;
    pub(super) const IDR: u8 = 5;
    pub(super) const SEI: u8 = 6;
    pub(super) const SPS: u8 = 7;
    pub(super) const PPS: u8 = 8;
    pub(super) const DELIMITER: u8 = 9;
    pub(super) const FILLER: u8 = 12;
}

/// As many picture parameter sets as `avcC` can count.
const MAX_PPS: usize = 255;
/// Bytes of a slice that its header's first fields lie in, with room for emulation prevention.
const SLICE_HEAD: usize = 24;

/// The parameter sets in force, by identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Avc {
    sps: BTreeMap<u32, (Bytes, Option<SliceSyntax>)>,
    /// With the sequence parameter set that each refers to.
    pps: BTreeMap<u32, (Bytes, u32)>,
    /// Picture parameter sets that came since the last slice.
    fresh: BTreeSet<u32>,
    /// The sequence parameter set of the latest slice.
    active: Option<u32>,
    changed: bool,
    broken: u64,
}

/// What a sequence parameter set says of how slice headers are written (ISO 14496-10 §7.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SliceSyntax {
    frame_num_bits: u8,
    has_fields: bool,
    separate_planes: bool,
}

/// A coded field (§7.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Field {
    frame_num: u32,
    bottom: bool,
}

/// What is known of the access unit in progress.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Picture {
    idr: bool,
    recovery_point: bool,
    inter: bool,
    has_sets: bool,
    /// The first field, if it is made of fields.
    first: Option<Field>,
    /// The other field came too.
    paired: bool,
}

/// The beginning of a slice header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SliceHead {
    intra: bool,
    sps: Option<u32>,
    field: Option<Field>,
}

/// The type of a NAL unit by its first byte (ISO 14496-10 §7.3.1).
fn kind_of(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// Whether a slice is the first of its picture: `first_mb_in_slice` is 0 (ISO 14496-10 §7.4.3).
fn starts_picture(slice: &[u8]) -> bool {
    // ue(0) is a single 1 bit.
    slice.get(1).is_some_and(|byte| byte & 0x80 != 0)
}

impl NalCodec for Avc {
    type Picture = Picture;

    fn is_slice(nal: &[u8]) -> bool {
        (nal_type::SLICE..=nal_type::IDR).contains(&kind_of(nal))
    }

    /// ISO 14496-10 §7.4.1.2.3.
    fn begins_unit(nal: &[u8]) -> bool {
        match kind_of(nal) {
            nal_type::SLICE | nal_type::PARTITION_A | nal_type::IDR => starts_picture(nal),
            nal_type::SEI..=nal_type::DELIMITER => true,
            _ => false,
        }
    }

    fn is_unpaired(&self, picture: &Picture) -> bool {
        picture.first.is_some() && !picture.paired
    }

    /// The other field has the other parity and the same `frame_num`, and is no IDR picture (§3.30, §7.4.1.2.4).
    fn pairs(&self, picture: &Picture, slice: &[u8]) -> bool {
        let (Some(first), Some(second)) = (picture.first, self.slice_head(slice).field) else {
            return false;
        };
        !picture.paired && kind_of(slice) != nal_type::IDR && first.frame_num == second.frame_num && first.bottom != second.bottom
    }

    fn file(&mut self, picture: &mut Picture, nal: &[u8], in_band: bool) -> bool {
        match kind_of(nal) {
            kind @ nal_type::SLICE..=nal_type::IDR => {
                if kind != 3 && kind != nal_type::PARTITION_C {
                    self.slice(picture, nal, kind);
                }
                true
            }
            nal_type::SEI => {
                picture.recovery_point |= has_recovery_point(nal.get(1..).unwrap_or(&[]));
                true
            }
            nal_type::SPS => {
                picture.has_sets = true;
                self.store_sps(nal);
                in_band
            }
            nal_type::PPS => {
                self.store_pps(nal);
                in_band
            }
            // ISO 14496-15 §5.3.2: no filler data in samples; delimiters have no use where units are counted.
            nal_type::DELIMITER | nal_type::FILLER | 0 | 24.. => false,
            _ => true,
        }
    }

    /// Decoding may begin at an IDR picture, at a recovery point, or at an intra picture that brings parameter sets along.
    fn access(picture: &Picture) -> Access {
        let sync = picture.idr || picture.recovery_point || (!picture.inter && picture.has_sets);
        Access {
            sync,
            closed: picture.idr,
            has_sets: picture.has_sets,
            may_lead: !sync,
        }
    }

    fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn take_broken(&mut self) -> u64 {
        std::mem::take(&mut self.broken)
    }

    fn config(&self, in_band: bool, language: Language) -> Option<TrackConfig> {
        let first = self.active_sps()?;
        if self.pps.is_empty() {
            return None;
        }
        let sps = parse_sps(first)?;
        let look = look(&sps)?;
        let (visual, avcc, colr, pasp) = (look.visual()?, self.avcc(first, &sps), look.colr(), look.pasp());
        let mut entry = Vec::new();
        if in_band {
            Avc3 {
                visual,
                avcc,
                colr,
                pasp,
                btrt: None,
                taic: None,
                fiel: None,
                spatial: None,
            }
            .encode(&mut entry)
        } else {
            Avc1 {
                visual,
                avcc,
                colr,
                pasp,
                ..Avc1::default()
            }
            .encode(&mut entry)
        }
        .ok()?;
        Some(look.track(entry, language))
    }

    /// Where the sequence parameter set states a fixed rate (ISO 14496-10 §E.2.1: two field ticks a frame).
    fn frame_duration(&self) -> Option<i64> {
        let sps = parse_sps(self.active_sps()?)?;
        let timing = sps.vui_parameters?.timing_info?;
        frame_duration(u64::from(timing.num_units_in_tick) * 2, timing.time_scale)
    }
}

impl Avc {
    /// The sequence parameter set of the latest slice, or the only one there is.
    fn active_sps(&self) -> Option<&Bytes> {
        let active = self.active.and_then(|id| self.sps.get(&id));
        active.or_else(|| self.sps.values().next()).map(|(set, _)| set)
    }

    fn slice(&mut self, picture: &mut Picture, nal: &[u8], kind: u8) {
        let head = self.slice_head(nal);
        self.fresh.clear();
        if head.sps.is_some() && head.sps != self.active {
            self.active = head.sps;
            self.changed = true;
        }
        picture.idr |= kind == nal_type::IDR;
        // The other field of an intra field may be predicted from it.
        match (picture.first, head.field) {
            (None, field) => {
                picture.first = field;
                picture.inter |= !head.intra;
            }
            (Some(first), Some(field)) if first.bottom != field.bottom => picture.paired = true,
            _ => picture.inter |= !head.intra && !picture.paired,
        }
    }

    /// Reads as much of a slice header as the parameter sets allow.
    fn slice_head(&self, slice: &[u8]) -> SliceHead {
        let head = unescape(slice.get(1..slice.len().min(SLICE_HEAD)).unwrap_or(&[]));
        let mut bits = Bits::new(&head);
        // Table 7-6: 7 and 9 say that all slices of the picture are intra, 2 and 4 that this one is.
        let slice_type = bits.ue().and_then(|_| bits.ue());
        let pps = slice_type.and_then(|_| bits.ue());
        let sps = pps.and_then(|pps| self.pps.get(&pps)).map(|(_, sps)| *sps);
        let syntax = sps.and_then(|sps| self.sps.get(&sps)).and_then(|(_, syntax)| *syntax);
        SliceHead {
            intra: matches!(slice_type, Some(2 | 4 | 7 | 9)),
            sps,
            field: syntax.filter(|syntax| syntax.has_fields).and_then(|syntax| {
                bits.skip(if syntax.separate_planes { 2 } else { 0 })?;
                let frame_num = bits.bits(syntax.frame_num_bits.into())?;
                bits.bit()?.then_some(())?;
                Some(Field {
                    frame_num,
                    bottom: bits.bit()?,
                })
            }),
        }
    }

    fn store_sps(&mut self, nal: &[u8]) {
        // seq_parameter_set_id follows profile, constraints and level (§7.3.2.1.1).
        let id = nal.get(4..).and_then(|rest| Bits::new(rest).ue()).filter(|&id| id < 32);
        let Some(id) = id.filter(|_| nal.len() <= MAX_SET) else { return };
        if self.sps.get(&id).is_some_and(|(known, _)| known == nal) {
            return;
        }
        let parsed = parse_sps(nal);
        if parsed.is_none() && self.sps.values().any(|(_, syntax)| syntax.is_some()) {
            self.broken += 1;
            return;
        }
        let syntax = parsed.map(|sps| SliceSyntax {
            frame_num_bits: sps.log2_max_frame_num_minus4 + 4,
            has_fields: !matches!(sps.frame_mbs_flags, FrameMbsFlags::Frames),
            separate_planes: sps.chroma_info.separate_colour_plane_flag,
        });
        if self.sps.insert(id, (Bytes::copy_from_slice(nal), syntax)).is_some() {
            // Picture parameter sets that did not come again are those of another coded video sequence.
            let fresh = &self.fresh;
            self.pps.retain(|pps, (_, sps)| *sps != id || fresh.contains(pps));
        }
        self.changed = true;
    }

    fn store_pps(&mut self, nal: &[u8]) {
        let mut bits = Bits::new(nal.get(1..).unwrap_or(&[]));
        let ids = bits.ue().and_then(|pps| Some((pps, bits.ue()?)));
        let Some((id, sps)) = ids.filter(|&(pps, sps)| pps < 256 && sps < 32) else {
            return;
        };
        let room = self.pps.len() < MAX_PPS || self.pps.contains_key(&id);
        if !room || nal.len() > MAX_SET {
            return;
        }
        if self.pps.get(&id).is_some_and(|(known, _)| known != nal) && !self.is_pps(nal, sps) {
            self.broken += 1;
            return;
        }
        self.fresh.insert(id);
        if self.pps.get(&id).is_none_or(|(known, _)| known != nal) {
            self.pps.insert(id, (Bytes::copy_from_slice(nal), sps));
            self.changed = true;
        }
    }

    /// Whether a picture parameter set can be read to its end, given the sequence parameter set that it names.
    fn is_pps(&self, nal: &[u8], sps: u32) -> bool {
        let Some(sps) = self.sps.get(&sps).and_then(|(set, _)| parse_sps(set)) else {
            return false;
        };
        let mut context = Context::new();
        context.put_seq_param_set(sps);
        h264_reader::rbsp::decode_nal(nal).is_ok_and(|rbsp| PicParameterSet::from_bits(&context, BitReader::new(&*rbsp)).is_ok())
    }

    /// `AVCDecoderConfigurationRecord` (ISO 14496-15 §5.3.3.1). The extension of the High profiles is set here,
    /// because the box's own constructor leaves it out and decoders then assume 8 bits 4:2:0.
    fn avcc(&self, first: &[u8], sps: &SeqParameterSet) -> Avcc {
        let byte = |at: usize| first.get(at).copied().unwrap_or(0);
        let referred = self.sps.iter().filter(|(id, _)| self.pps.values().any(|(_, sps)| sps == *id));
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
            // The count has 5 bits. One that no picture can refer to, as a damaged identifier makes it, changes nothing.
            sequence_parameter_sets: referred.take(31).map(|(_, (set, _))| set.to_vec()).collect(),
            picture_parameter_sets: self.pps.values().map(|(set, _)| set.to_vec()).collect(),
            ext,
        }
    }
}

fn parse_sps(nal: &[u8]) -> Option<SeqParameterSet> {
    let rbsp = h264_reader::rbsp::decode_nal(nal).ok()?;
    SeqParameterSet::from_bits(BitReader::new(&*rbsp)).ok()
}

/// By the frame cropping and the video usability information (ISO 14496-10 §E.2.1).
fn look(sps: &SeqParameterSet) -> Option<Look> {
    let vui = sps.vui_parameters.as_ref();
    let aspect = vui.and_then(|vui| vui.aspect_ratio_info.as_ref()?.get());
    let signal = vui.and_then(|vui| vui.video_signal_type.as_ref());
    Some(Look {
        size: sps.pixel_dimensions().ok()?,
        aspect: aspect.filter(|(horizontal, vertical)| *horizontal > 0 && *vertical > 0),
        colour: signal.and_then(|signal| {
            let colour = signal.colour_description.as_ref()?;
            let codes = [colour.colour_primaries, colour.transfer_characteristics, colour.matrix_coefficients];
            Some((codes, signal.video_full_range_flag))
        }),
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
    /// first_mb_in_slice 0, slice_type 7, pps 0 = 1 0001000 1
    const SLICE: &[u8] = &[0x65, 0b1000_1000, 0b1000_0000];

    fn filed(nals: &[&[u8]]) -> (Avc, Picture) {
        let (mut avc, mut picture) = (Avc::default(), Picture::default());
        for nal in nals {
            avc.file(&mut picture, nal, false);
        }
        (avc, picture)
    }

    #[test]
    fn the_sample_entry_has_size_and_high_profile_extension() {
        let (avc, _) = filed(&[SPS, PPS]);
        let config = avc.config(false, Language::UNDETERMINED).unwrap();
        assert_eq!(config.display_size, (1920, 1080));
        let entry: Avc1 = mp4_atom::Decode::decode(&mut &config.sample_entry[..]).unwrap();
        assert_eq!((entry.visual.width, entry.visual.height), (1920, 1080));
        assert_eq!(entry.avcc.ext, Some(AvccExt::default()));
        assert_eq!(entry.avcc.sequence_parameter_sets, [SPS]);
        assert_eq!(entry.avcc.picture_parameter_sets, [PPS]);
        let in_band = avc.config(true, Language::UNDETERMINED).unwrap();
        assert_eq!(&in_band.sample_entry[4..8], b"avc3");
    }

    #[test]
    fn repeated_sets_are_no_change_and_a_new_sequence_forgets_old_pictures() {
        let (mut avc, mut picture) = filed(&[SPS, PPS, SLICE]);
        assert!(avc.take_changed());
        for nal in [SPS, PPS, SLICE] {
            avc.file(&mut picture, nal, false);
        }
        assert!(!avc.take_changed());
        let mut other = SPS.to_vec();
        other[3] = 41;
        avc.file(&mut picture, &other, false);
        assert!(avc.take_changed());
        assert!(
            avc.config(false, Language::UNDETERMINED).is_none(),
            "no picture parameter set is left"
        );
        // One that comes in front of its sequence parameter set is not old.
        avc.file(&mut picture, PPS, false);
        avc.file(&mut picture, SPS, false);
        assert!(avc.config(false, Language::UNDETERMINED).is_some());
    }

    #[test]
    fn broken_sets_describe_nothing() {
        for broken in [&[][..], &[103], &[103, 100, 0, 40], &[103, 100, 0, 40, 0, 0, 0, 0, 0], &SPS[..9]] {
            let (avc, _) = filed(&[broken, PPS]);
            assert!(avc.config(false, Language::UNDETERMINED).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn slice_headers_tell_first_and_intra() {
        let intra = |slice: &[u8]| Avc::default().slice_head(slice).intra;
        assert!(starts_picture(SLICE) && intra(SLICE));
        // first_mb_in_slice 0, slice_type 5 (P) = 1 00110
        assert!(!intra(&[0x41, 0b1001_1000]));
        // first_mb_in_slice 1 = 010
        assert!(!starts_picture(&[0x41, 0b0100_0000]));
    }
}
