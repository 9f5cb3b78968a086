//! HEVC: parameter sets, the `hvc1` sample entry, and what a NAL unit's first bytes tell.

mod hdr;
mod sps;

use std::collections::BTreeMap;

use bytes::Bytes;
use mp4_atom::{Encode, Hev1, Hvc1, HvcCArray, Hvcc};
use serde::{Deserialize, Serialize};

use self::{hdr::Hdr, sps::Sps};
use crate::{
    bits::Bits,
    nal::{Access, Look, MAX_SET, NalCodec, frame_duration, has_recovery_point, unescape},
    track::{Language, TrackConfig},
};

/// `nal_unit_type` values (ISO 23008-2 table 7-1).
mod nal_type {
    pub(super) const RASL_N: u8 = 8;
    pub(super) const RASL_R: u8 = 9;
    pub(super) const BLA_W_LP: u8 = 16;
    pub(super) const CRA: u8 = 21;
    pub(super) const LAST_IRAP: u8 = 23;
    pub(super) const LAST_SLICE: u8 = 31;
    pub(super) const VPS: u8 = 32;
    pub(super) const SPS: u8 = 33;
    pub(super) const PPS: u8 = 34;
    pub(super) const DELIMITER: u8 = 35;
    pub(super) const FILLER: u8 = 38;
    pub(super) const PREFIX_SEI: u8 = 39;
}

/// Bytes of a parameter set that its identifier lies in, at most, with room for emulation prevention.
const ID_BYTES: usize = 8;

/// The parameter sets in force, by identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hevc {
    vps: BTreeMap<u32, Bytes>,
    sps: BTreeMap<u32, Bytes>,
    /// With the sequence parameter set that each refers to.
    pps: BTreeMap<u32, (Bytes, u32)>,
    /// The sequence parameter set of the latest slice.
    active: Option<u32>,
    /// Of the sequence in force.
    hdr: Hdr,
    changed: bool,
    broken: u64,
}

/// What is known of the access unit in progress.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Picture {
    /// Of its slices.
    kind: Option<u8>,
    recovery_point: bool,
    has_sets: bool,
}

fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header >> 1 & 0x3f)
}

/// `nuh_layer_id` (ISO 23008-2 §7.3.1.2).
fn layer(nal: &[u8]) -> u8 {
    match nal {
        [first, second, ..] => (first & 1) << 5 | second >> 3,
        _ => 0,
    }
}

impl NalCodec for Hevc {
    type Picture = Picture;

    fn is_slice(nal: &[u8]) -> bool {
        nal_type(nal) <= nal_type::LAST_SLICE && layer(nal) == 0
    }

    /// ISO 23008-2 §7.4.2.4.4.
    fn begins_unit(nal: &[u8]) -> bool {
        let first_slice = nal.get(2).is_some_and(|byte| byte & 0x80 != 0);
        layer(nal) == 0
            && match nal_type(nal) {
                0..=nal_type::LAST_SLICE => first_slice,
                nal_type::VPS..=nal_type::DELIMITER | nal_type::PREFIX_SEI | 41..=44 | 48..=55 => true,
                _ => false,
            }
    }

    /// Fields are pictures of their own in HEVC, and so are their samples.
    fn is_unpaired(&self, _: &Picture) -> bool {
        false
    }

    fn pairs(&self, _: &Picture, _: &[u8]) -> bool {
        false
    }

    fn file(&mut self, picture: &mut Picture, nal: &[u8], in_band: bool) -> bool {
        // Layers above the first belong to other tracks.
        if layer(nal) != 0 {
            return false;
        }
        match nal_type(nal) {
            kind @ 0..=nal_type::LAST_SLICE => {
                picture.kind.get_or_insert(kind);
                self.activate(nal);
                true
            }
            kind @ nal_type::VPS..=nal_type::PPS => {
                picture.has_sets |= kind == nal_type::SPS;
                self.store(kind, nal);
                in_band
            }
            nal_type::DELIMITER | nal_type::FILLER => false,
            nal_type::PREFIX_SEI => {
                picture.recovery_point |= has_recovery_point(nal.get(2..).unwrap_or(&[]));
                self.changed |= self.hdr.note(nal.get(2..).unwrap_or(&[]));
                true
            }
            _ => true,
        }
    }

    fn access(picture: &Picture) -> Access {
        let kind = picture.kind.unwrap_or(0);
        Access {
            sync: (nal_type::BLA_W_LP..=nal_type::LAST_IRAP).contains(&kind),
            closed: !matches!(kind, nal_type::BLA_W_LP | nal_type::CRA),
            has_sets: picture.has_sets || picture.recovery_point,
            may_lead: matches!(kind, nal_type::RASL_N | nal_type::RASL_R),
        }
    }

    fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn take_broken(&mut self) -> u64 {
        std::mem::take(&mut self.broken)
    }

    fn config(&self, in_band: bool, language: Language) -> Option<TrackConfig> {
        let sps = Sps::parse(self.active_sps()?)?;
        if self.vps.is_empty() || self.pps.is_empty() {
            return None;
        }
        let look = Look {
            size: sps.size,
            aspect: sps.vui.aspect,
            colour: sps.vui.colour,
        };
        let (visual, hvcc, colr, pasp) = (look.visual()?, self.hvcc(&sps, !in_band), look.colr(), look.pasp());
        let mut entry = Vec::new();
        if in_band {
            Hev1 {
                visual,
                hvcc,
                colr,
                pasp,
                lhvc: None,
                btrt: None,
                taic: None,
                fiel: None,
                spatial: None,
            }
            .encode(&mut entry)
        } else {
            Hvc1 {
                visual,
                hvcc,
                colr,
                pasp,
                ..Hvc1::default()
            }
            .encode(&mut entry)
        }
        .ok()?;
        self.hdr.append_to(&mut entry);
        Some(look.track(entry, language))
    }

    fn frame_duration(&self) -> Option<i64> {
        let (units, scale) = Sps::parse(self.active_sps()?)?.vui.tick?;
        frame_duration(units.into(), scale)
    }
}

impl Hevc {
    /// The sequence parameter set of the latest slice.
    fn active_sps(&self) -> Option<&Bytes> {
        self.sps.get(&self.active?)
    }

    fn store(&mut self, kind: u8, nal: &[u8]) {
        if nal.len() > MAX_SET {
            return;
        }
        match kind {
            nal_type::VPS => {
                // vps_video_parameter_set_id is the first field (§7.3.2.1).
                let Some(id) = nal.get(2).map(|byte| u32::from(byte >> 4)) else {
                    return;
                };
                // vps_reserved_0xffff_16bits, behind layers and sub-layers.
                if nal.get(4..6) != Some(&[0xff; 2]) && !self.vps.is_empty() {
                    self.broken += 1;
                    return;
                }
                self.changed |= put(&mut self.vps, id, nal);
            }
            nal_type::SPS => {
                let Some(id) = Sps::parse(nal).map(|sps| sps.id) else {
                    // One of another layer (nuh_layer_id) is written differently.
                    let is_base = nal.get(1).is_some_and(|byte| byte >> 3 == 0);
                    self.broken += u64::from(is_base && !self.sps.is_empty());
                    return;
                };
                if put(&mut self.sps, id, nal) {
                    // Those that are told of an older sequence have to come again.
                    self.pps.retain(|_, (_, sps)| *sps != id);
                    self.hdr = Hdr::default();
                    self.changed = true;
                }
            }
            _ => {
                let Some((id, sps)) = ids(nal.get(2..).unwrap_or(&[])).filter(|&(id, sps)| id < 64 && sps < 16) else {
                    return;
                };
                if self.pps.get(&id).is_none_or(|(known, _)| known != nal) {
                    self.pps.insert(id, (Bytes::copy_from_slice(nal), sps));
                    self.changed = true;
                }
            }
        }
    }

    /// Takes the parameter sets that a slice refers to for those in force.
    fn activate(&mut self, slice: &[u8]) {
        let head = unescape(slice.get(2..slice.len().min(2 + ID_BYTES)).unwrap_or(&[]));
        let mut bits = Bits::new(&head);
        let kind = nal_type(slice);
        let pps = (|| {
            bits.skip(1)?;
            // no_output_of_prior_pics_flag
            if (nal_type::BLA_W_LP..=nal_type::LAST_IRAP).contains(&kind) {
                bits.skip(1)?;
            }
            bits.ue()
        })();
        let sps = pps.and_then(|pps| self.pps.get(&pps)).map(|(_, sps)| *sps);
        if sps.is_some() && sps != self.active {
            self.active = sps;
            self.changed = true;
        }
    }

    /// `HEVCDecoderConfigurationRecord` (ISO 14496-15 §8.3.3.1); `complete` if no parameter set is elsewhere.
    fn hvcc(&self, sps: &Sps, complete: bool) -> Hvcc {
        let array = |kind, sets: Vec<Vec<u8>>| HvcCArray {
            completeness: complete,
            nal_unit_type: kind,
            nalus: sets,
        };
        let profile = &sps.profile;
        Hvcc {
            general_profile_space: profile.space,
            general_tier_flag: profile.tier,
            general_profile_idc: profile.idc,
            general_profile_compatibility_flags: profile.compatibility,
            general_constraint_indicator_flags: profile.constraints,
            general_level_idc: profile.level,
            chroma_format_idc: sps.chroma_format,
            bit_depth_luma_minus8: sps.depth_luma_minus8,
            bit_depth_chroma_minus8: sps.depth_chroma_minus8,
            num_temporal_layers: sps.temporal_layers,
            temporal_id_nested: sps.temporal_nesting,
            length_size_minus_one: 3,
            arrays: vec![
                array(nal_type::VPS, self.vps.values().map(|set| set.to_vec()).collect()),
                array(nal_type::SPS, self.sps.values().map(|set| set.to_vec()).collect()),
                array(nal_type::PPS, self.pps.values().map(|(set, _)| set.to_vec()).collect()),
            ],
            ..Hvcc::new()
        }
    }
}

/// Puts a parameter set into its place. Returns whether it is another than before.
fn put(sets: &mut BTreeMap<u32, Bytes>, id: u32, nal: &[u8]) -> bool {
    if sets.get(&id).is_some_and(|known| known == nal) {
        return false;
    }
    sets.insert(id, Bytes::copy_from_slice(nal));
    true
}

/// The identifiers that a picture parameter set begins with: its own, and its sequence's (§7.3.2.3.1).
fn ids(body: &[u8]) -> Option<(u32, u32)> {
    let head = unescape(body.get(..body.len().min(ID_BYTES))?);
    let mut bits = Bits::new(&head);
    Some((bits.ue()?, bits.ue()?))
}
