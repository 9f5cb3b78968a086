//! MPEG audio, layers I to III (ISO 11172-3 §2.4.1.3, and the lower rates of ISO 13818-3).

use serde::{Deserialize, Serialize};

use super::{AudioConfig, AudioHeader};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MpegConfig {
    /// MPEG-1, or one of the lower sampling rates of MPEG-2.
    first: bool,
    layer: u8,
    pub(super) rate: u32,
    pub(super) channels: u16,
}

impl MpegConfig {
    /// `objectTypeIndication` (ISO 14496-1 table 5): audio ISO/IEC 11172-3 or 13818-3, which have no decoder specific
    /// information.
    pub(super) fn object_type(self) -> u8 {
        if self.first { 0x6b } else { 0x69 }
    }
}

pub(super) fn header(bytes: &[u8]) -> Option<AudioHeader> {
    /// In kbit/s: MPEG-1 layers I, II, III; MPEG-2 layer I; MPEG-2 layers II and III.
    const RATES: [[usize; 15]; 5] = [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let &[0xff, b1, b2, b3, ..] = bytes else { return None };
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
        (true, layer) => usize::from(layer) - 1,
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
    let config = MpegConfig {
        first,
        layer,
        rate,
        channels: if b3 >> 6 == 3 { 1 } else { 2 },
    };
    Some(AudioHeader::whole(AudioConfig::Mpeg(config), 0, frame_len, samples))
}
