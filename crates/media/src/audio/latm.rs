//! AAC in LATM (ISO 14496-3 §1.7): frames that bring their own configuration, at any bit.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{AudioConfig, AudioHeader, aac::AacConfig};
use crate::bits::Bits;

/// `AudioSyncStream` (§1.7.2): 11 bits of sync word, 13 bits of length.
pub(super) fn loas(bytes: &[u8]) -> Option<AudioHeader> {
    let &[0x56, high, low] = bytes else { return None };
    let len = usize::from(high & 0x1f) << 8 | usize::from(low);
    (high & 0xe0 == 0xe0).then(|| AudioHeader::frame(3, 3 + len))
}

/// The `StreamMuxConfig` in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Latm {
    config: Option<Config>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Config {
    audio: AacConfig,
    /// Access units in an `AudioMuxElement`.
    units: u32,
    /// Bytes of each, unless each says itself.
    fixed_len: Option<usize>,
}

/// Access units of one `AudioMuxElement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) config: AudioConfig,
    /// Samples in each.
    pub(crate) samples: u32,
    pub(crate) data: Vec<Bytes>,
}

impl Latm {
    /// Takes an `AudioMuxElement` (§1.7.3.1). `None` where it cannot be read: a form that is not supported (several
    /// programs or layers, codecs other than AAC), damage, or no configuration yet.
    pub(crate) fn element(&mut self, element: &[u8]) -> Option<Units> {
        let bits = &mut Bits::new(element);
        if !bits.bit()? {
            self.config = None;
            self.config = Some(Config::read(bits)?);
        }
        let config = self.config.as_ref()?;
        let mut data = Vec::new();
        for _ in 0..config.units {
            let len = match config.fixed_len {
                Some(len) => len,
                None => payload_len(bits)?,
            };
            let payload = bits.copy(len.checked_mul(8)?)?;
            if !payload.is_empty() {
                data.push(BytesMut::from(&payload[..]).freeze());
            }
        }
        Some(Units {
            config: AudioConfig::Aac(config.audio.clone()),
            samples: config.audio.samples,
            data,
        })
    }
}

impl Config {
    /// `StreamMuxConfig` (§1.7.3.1).
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let version = bits.bit()?;
        if version {
            // audioMuxVersionA is reserved but for 0.
            (!bits.bit()?).then_some(())?;
            value(bits)?;
        }
        let same_timing = bits.bit()?;
        let units = bits.bits(6)? + 1;
        let (programs, layers) = (bits.bits(4)?, bits.bits(3)?);
        (same_timing && programs == 0 && layers == 0).then_some(())?;
        let len = if version { Some(value(bits)?) } else { None };
        let audio = AacConfig::read(bits, len)?;
        let fixed_len = match bits.bits(3)? {
            0 => {
                bits.skip(8)?;
                None
            }
            // In bits, less 160, which are whole bytes.
            1 => Some(usize::try_from(bits.bits(9)?).ok()? + 20),
            _ => return None,
        };
        // Other data stand behind the payloads, where nobody looks.
        if bits.bit()? {
            if version {
                value(bits)?;
            } else {
                while bits.bit()? {
                    bits.skip(8)?;
                }
                bits.skip(8)?;
            }
        }
        if bits.bit()? {
            bits.skip(8)?;
        }
        Some(Self { audio, units, fixed_len })
    }
}

/// `LatmGetValue` (§1.7.3.1).
fn value(bits: &mut Bits<'_>) -> Option<usize> {
    let bytes = bits.bits(2)? + 1;
    usize::try_from(bits.bits(8 * bytes)?).ok()
}

/// `PayloadLengthInfo` (§1.7.3.1), in bytes.
fn payload_len(bits: &mut Bits<'_>) -> Option<usize> {
    let mut len = 0;
    loop {
        let byte = usize::from(bits.byte(8)?);
        len += byte;
        if byte < 255 {
            return Some(len);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes fields of (value, bits) one behind the other.
    fn written(fields: &[(u32, u32)]) -> Vec<u8> {
        let bits: Vec<bool> = fields
            .iter()
            .flat_map(|&(value, count)| (0..count).rev().map(move |bit| value >> bit & 1 == 1))
            .collect();
        bits.chunks(8)
            .map(|chunk| {
                chunk
                    .iter()
                    .enumerate()
                    .fold(0, |byte, (at, &bit)| byte | u8::from(bit) << (7 - at))
            })
            .collect()
    }

    /// AAC LC, 48 kHz, stereo.
    const ASC: [(u32, u32); 2] = [(0x1190, 16), (0, 0)];

    fn element(version: u32, units: u32, fixed: bool, other: bool) -> Vec<u8> {
        let mut fields = vec![(0, 1), (version, 1)];
        if version == 1 {
            fields.extend([(0, 1), (0, 2), (0xff, 8)]);
        }
        fields.extend([(1, 1), (units - 1, 6), (0, 4), (0, 3)]);
        if version == 1 {
            // Three fill bits.
            fields.extend([(0, 2), (19, 8)]);
        }
        fields.extend(ASC);
        if version == 1 {
            fields.push((0, 3));
        }
        fields.extend(if fixed { [(1, 3), (1, 9)] } else { [(0, 3), (0xff, 8)] });
        fields.push((other.into(), 1));
        if other && version == 1 {
            fields.extend([(1, 2), (300, 16)]);
        } else if other {
            fields.extend([(1, 1), (1, 8), (0, 1), (44, 8)]);
        }
        fields.extend([(1, 1), (0x5a, 8)]);
        for unit in 0..units {
            let len = if fixed { 21 } else { 256 + unit };
            if !fixed {
                fields.extend([(255, 8), (1 + unit, 8)]);
            }
            fields.extend((0..len).map(|at| ((at + unit) & 0xff, 8)));
        }
        written(&fields)
    }

    #[test]
    fn every_form_of_an_element_gives_its_access_units() {
        for version in [0, 1] {
            for units in [1, 3] {
                for (fixed, other) in [(false, false), (true, false), (false, true)] {
                    let mut latm = Latm::default();
                    let found = latm.element(&element(version, units, fixed, other)).unwrap();
                    assert_eq!((found.samples, found.config.sample_rate()), (1024, 48_000));
                    let AudioConfig::Aac(config) = &found.config else { panic!("AAC") };
                    assert_eq!(&config.specific_config[..2], [0x11, 0x90]);
                    assert_eq!(found.data.len(), units as usize);
                    for (unit, data) in (0_u32..).zip(&found.data) {
                        let len = if fixed { 21 } else { 256 + unit };
                        let expected: Vec<u8> = (0..len).map(|at| u8::try_from((at + unit) & 0xff).unwrap()).collect();
                        assert_eq!(data, &expected);
                    }
                }
            }
        }
    }

    #[test]
    fn the_configuration_stays_in_force_and_must_come_first() {
        let again = written(&[(1, 1), (2, 8), (0xab, 8), (0xcd, 8)]);
        let mut latm = Latm::default();
        assert_eq!(latm.element(&again), None);
        latm.element(&element(0, 1, false, false)).unwrap();
        assert_eq!(latm.element(&again).unwrap().data, [&[0xab, 0xcd][..]]);
    }

    proptest! {
        #[test]
        fn no_element_panics_or_gives_more_than_it_has(bytes: Vec<u8>) {
            let mut latm = Latm::default();
            for _ in 0..2 {
                if let Some(units) = latm.element(&bytes) {
                    prop_assert!(units.data.iter().map(Bytes::len).sum::<usize>() <= bytes.len());
                }
            }
        }
    }
}
