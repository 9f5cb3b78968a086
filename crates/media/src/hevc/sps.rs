//! The sequence parameter set of HEVC (ISO 23008-2 §7.3.2.2): what a sample entry has to know.

use crate::{
    bits::Bits,
    nal::{aspect_ratio, unescape},
};

/// Longest list of reference picture sets (ISO 23008-2 §7.4.3.2.1).
const MAX_SETS: u32 = 64;
/// Pictures that a set can refer to (§7.4.8: bounded by `sps_max_dec_pic_buffering_minus1`, which is at most 15).
const MAX_PICTURES: u32 = 16;

/// A sequence parameter set, as far as it is of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) id: u32,
    pub(super) temporal_layers: u8,
    pub(super) temporal_nesting: bool,
    pub(super) profile: Profile,
    pub(super) chroma_format: u8,
    pub(super) depth_luma_minus8: u8,
    pub(super) depth_chroma_minus8: u8,
    /// In luma samples, within the conformance window.
    pub(super) size: (u32, u32),
    pub(super) vui: Vui,
}

/// `profile_tier_level` of the whole stream (§7.3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) space: u8,
    pub(super) tier: bool,
    pub(super) idc: u8,
    pub(super) compatibility: [u8; 4],
    pub(super) constraints: [u8; 6],
    pub(super) level: u8,
}

/// Video usability information (§E.2.1). Nothing is known where it is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Vui {
    pub(super) aspect: Option<(u16, u16)>,
    /// Primaries, transfer and matrix, and whether the full range is used.
    pub(super) colour: Option<([u8; 3], bool)>,
    /// `vui_num_units_in_tick` and `vui_time_scale`.
    pub(super) tick: Option<(u32, u32)>,
}

impl Sps {
    /// Reads a NAL unit, header included.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(2..)?);
        let bits = &mut Bits::new(&rbsp);
        bits.skip(4)?;
        let layers = bits.byte(3)?;
        let temporal_nesting = bits.bit()?;
        let profile = profile(bits, layers)?;
        let id = bits.ue().filter(|&id| id < 16)?;
        let chroma_format = u8::try_from(bits.ue()?).ok().filter(|&format| format < 4)?;
        if chroma_format == 3 {
            bits.skip(1)?;
        }
        let coded = (bits.ue()?, bits.ue()?);
        let cropped = if bits.bit()? {
            [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?]
        } else {
            [0; 4]
        };
        // Table 6-1.
        let unit_width = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_height = if chroma_format == 1 { 2 } else { 1 };
        let cut = |whole: u32, a: u32, b: u32, unit: u32| whole.checked_sub(a.checked_add(b)?.checked_mul(unit)?);
        let size = (
            cut(coded.0, cropped[0], cropped[1], unit_width)?,
            cut(coded.1, cropped[2], cropped[3], unit_height)?,
        );
        let mut depth = || u8::try_from(bits.ue()?).ok().filter(|&depth| depth <= 8);
        let (depth_luma_minus8, depth_chroma_minus8) = (depth()?, depth()?);
        Some(Self {
            id,
            temporal_layers: layers + 1,
            temporal_nesting,
            profile,
            chroma_format,
            depth_luma_minus8,
            depth_chroma_minus8,
            size,
            // A picture can be shown without what comes from here on.
            vui: vui(bits, layers).unwrap_or_default(),
        })
    }
}

fn profile(bits: &mut Bits<'_>, layers: u8) -> Option<Profile> {
    let mut profile = Profile {
        space: bits.byte(2)?,
        tier: bits.bit()?,
        idc: bits.byte(5)?,
        ..Profile::default()
    };
    profile.compatibility = bits.bits(32)?.to_be_bytes();
    for byte in &mut profile.constraints {
        *byte = bits.byte(8)?;
    }
    profile.level = bits.byte(8)?;
    let mut present = Vec::new();
    for _ in 0..layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if layers > 0 {
        bits.skip(2 * (8 - usize::from(layers)))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(profile)
}

/// From behind the bit depths to the timing of the usability information.
fn vui(bits: &mut Bits<'_>, layers: u8) -> Option<Vui> {
    let order_bits = bits.ue().filter(|&bits| bits <= 12)? + 4;
    let first = if bits.bit()? { 0 } else { layers };
    for _ in first..=layers {
        bits.skip_ue(3)?;
    }
    // Sizes of coding and transform blocks.
    bits.skip_ue(6)?;
    if bits.bit()? && bits.bit()? {
        scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.bit()? {
        bits.skip(8)?;
        bits.skip_ue(2)?;
        bits.skip(1)?;
    }
    let sets = bits.ue().filter(|&sets| sets <= MAX_SETS)?;
    let mut pictures = 0;
    for number in 0..sets {
        pictures = reference_set(bits, number, pictures)?;
    }
    if bits.bit()? {
        for _ in 0..bits.ue().filter(|&count| count <= 32)? {
            bits.skip(usize::try_from(order_bits).ok()? + 1)?;
        }
    }
    bits.skip(2)?;
    if !bits.bit()? {
        return None;
    }
    let mut vui = Vui::default();
    if bits.bit()? {
        vui.aspect = match bits.byte(8)? {
            255 => Some((u16::try_from(bits.bits(16)?).ok()?, u16::try_from(bits.bits(16)?).ok()?)),
            idc => aspect_ratio(idc),
        }
        .filter(|(horizontal, vertical)| *horizontal > 0 && *vertical > 0);
    }
    if bits.bit()? {
        bits.skip(1)?;
    }
    if bits.bit()? {
        bits.skip(3)?;
        let full_range = bits.bit()?;
        if bits.bit()? {
            vui.colour = Some(([bits.byte(8)?, bits.byte(8)?, bits.byte(8)?], full_range));
        }
    }
    if bits.bit()? {
        bits.skip_ue(2)?;
    }
    bits.skip(3)?;
    if bits.bit()? {
        bits.skip_ue(4)?;
    }
    if bits.bit()? {
        vui.tick = Some((bits.bits(32)?, bits.bits(32)?));
    }
    Some(vui)
}

/// `scaling_list_data` (§7.3.4).
fn scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        let step = if size == 3 { 3 } else { 1 };
        for _ in (0..6).step_by(step) {
            if !bits.bit()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.ue()?;
            }
            for _ in 0..(1_u32 << (4 + (size << 1))).min(64) {
                bits.ue()?;
            }
        }
    }
    Some(())
}

/// `st_ref_pic_set` (§7.3.7). Takes and gives how many pictures a set has; the next one may be told by it.
fn reference_set(bits: &mut Bits<'_>, number: u32, before: u32) -> Option<u32> {
    let pictures = if number > 0 && bits.bit()? {
        bits.skip(1)?;
        bits.ue()?;
        let mut kept = 0;
        for _ in 0..=before {
            // used_by_curr_pic_flag, or else use_delta_flag.
            if bits.bit()? || bits.bit()? {
                kept += 1;
            }
        }
        kept
    } else {
        let (negative, positive) = (bits.ue()?, bits.ue()?);
        let pictures = negative.checked_add(positive).filter(|&count| count <= MAX_PICTURES)?;
        for _ in 0..pictures {
            bits.ue()?;
            bits.skip(1)?;
        }
        pictures
    };
    (pictures <= MAX_PICTURES).then_some(pictures)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// libx265's for `testsrc2=s=130x94:r=30000/1001`, 4:2:2, samples of 4:3, with its default scaling lists.
    const SPS: &[u8] = &[
        0x42, 0x01, 0x02, 0x04, 0x08, 0x00, 0x00, 0x03, 0x00, 0x9d, 0x08, 0x00, 0x00, 0x03, 0x00, 0x00, 0x1e, 0x00, 0x00, 0xb0, 0x12, 0x20,
        0x61, 0xc4, 0x5e, 0x59, 0x59, 0x4a, 0xca, 0x94, 0x9c, 0x2f, 0x0e, 0x68, 0x08, 0x00, 0x00, 0x1f, 0x48, 0x00, 0x03, 0xa9, 0x80, 0x40,
    ];

    #[test]
    fn a_set_is_read_as_its_encoder_was_told() {
        let sps = Sps::parse(SPS).unwrap();
        assert_eq!((sps.size, sps.chroma_format, sps.depth_luma_minus8), ((130, 94), 2, 0));
        // Format range extensions at level 1, which is written as 30; two temporal layers.
        assert_eq!((sps.profile.idc, sps.profile.level, sps.temporal_layers), (4, 30, 2));
        assert_eq!(
            (sps.vui.aspect, sps.vui.colour, sps.vui.tick),
            (Some((4, 3)), None, Some((1001, 30_000)))
        );
    }

    proptest! {
        #[test]
        fn no_set_panics(mut changes: Vec<(prop::sample::Index, u8)>, cut in 0_usize..100) {
            let mut bytes = SPS.to_vec();
            for (at, value) in changes.drain(..) {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Some(sps) = Sps::parse(&bytes) {
                prop_assert!(sps.id < 16 && sps.chroma_format < 4);
            }
        }
    }
}
