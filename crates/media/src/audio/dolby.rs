//! AC-3 and E-AC-3 (ETSI TS 102 366): frame headers, access units of several substreams, and their sample entries.

use mp4_atom::{Ac3, Ac3SpecificBox, Audio, Ec3IndependentSubstream, Ec3SpecificBox, Encode};
use serde::{Deserialize, Serialize};

use super::{AudioConfig, AudioHeader};
use crate::bits::Bits;

/// Samples of an audio block (§4.1); a sample of ISO BMFF has six of each substream (§F.3).
const BLOCK: u32 = 256;
const BLOCKS: u32 = 6;
/// The largest access unit: 8 independent and 64 dependent substreams of one block in each frame come to less.
const MAX_GROUP: usize = 1 << 20;

/// Front, centre and surround channels by `acmod` (table 4.3).
const CHANNELS: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ac3Config {
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfeon: bool,
    bit_rate_code: u8,
}

/// What an access unit of E-AC-3 is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Eac3Config {
    pub(super) rate: u32,
    /// In kbit/s, of the first access unit.
    data_rate: u16,
    independent: Vec<Substream>,
    /// `complexity_index_type_a` of Atmos (ETSI TS 103 420 §8.3).
    objects: Option<u8>,
}

/// An independent substream, with what its dependents add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Substream {
    id: u8,
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfeon: bool,
    dependents: u8,
    /// `chan_loc` (table F.6.1).
    locations: u16,
}

/// Reads the header of a frame of either kind: `bsid` has the same place in both.
pub(super) fn header(bytes: &[u8]) -> Option<AudioHeader> {
    let &[0x0b, 0x77, b2, b3, b4, b5, b6] = bytes else { return None };
    match b5 >> 3 {
        bsid @ 0..=8 => ac3(bsid, [b4, b5, b6]),
        11..=16 => {
            // frmsiz counts words, less one (§E.2.3.1.3).
            let words = usize::from(b2 & 7) << 8 | usize::from(b3);
            // fscod2 has no fourth rate.
            (b4 >> 4 != 0xf).then(|| AudioHeader::frame(0, 2 * (words + 1)))
        }
        _ => None,
    }
}

/// `syncinfo` and the beginning of `bsi` (§4.3.1 and §4.3.2).
fn ac3(bsid: u8, [b4, b5, b6]: [u8; 3]) -> Option<AudioHeader> {
    /// Table 4.13, in kbit/s.
    const RATES: [usize; 19] = [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
    ];
    let (fscod, frmsizecod) = (b4 >> 6, b4 & 0x3f);
    let bit_rate_code = frmsizecod >> 1;
    let rate = *RATES.get(usize::from(bit_rate_code))?;
    // In 16-bit words; at 44.1 kHz the odd codes are one longer.
    let words = match fscod {
        0 => 2 * rate,
        1 => rate * 320 / 147 + usize::from(frmsizecod & 1),
        2 => 3 * rate,
        _ => return None,
    };
    let acmod = b6 >> 5;
    // cmixlev, surmixlev and dsurmod stand in between, each if acmod says so.
    let mut before_lfe = 3;
    before_lfe += if acmod & 1 == 1 && acmod != 1 { 2 } else { 0 };
    before_lfe += if acmod & 4 == 4 { 2 } else { 0 };
    before_lfe += if acmod == 2 { 2 } else { 0 };
    let config = Ac3Config {
        fscod,
        bsid,
        bsmod: b5 & 7,
        acmod,
        lfeon: b6 >> (7 - before_lfe) & 1 == 1,
        bit_rate_code,
    };
    Some(AudioHeader::whole(AudioConfig::Ac3(config), 0, words * 2, BLOCK * BLOCKS))
}

impl Ac3Config {
    pub(super) fn sample_rate(self) -> u32 {
        rate(self.fscod)
    }

    pub(super) fn channels(self) -> u16 {
        CHANNELS[usize::from(self.acmod & 7)] + u16::from(self.lfeon)
    }

    pub(super) fn entry(self, audio: Audio) -> Ac3 {
        Ac3 {
            audio,
            dac3: Ac3SpecificBox {
                fscod: self.fscod,
                bsid: self.bsid,
                bsmod: self.bsmod,
                acmod: self.acmod,
                lfeon: self.lfeon,
                bit_rate_code: self.bit_rate_code,
            },
        }
    }
}

/// Samples a second by `fscod` (table 4.1).
fn rate(fscod: u8) -> u32 {
    match fscod {
        0 => 48_000,
        1 => 44_100,
        _ => 32_000,
    }
}

/// `syncinfo` and `bsi` of an E-AC-3 frame (§E.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Syncframe {
    /// Depends on the independent substream before it.
    dependent: bool,
    /// Samples a second.
    rate: u32,
    blocks: u32,
    /// As an independent substream; `locations` is its own.
    substream: Substream,
    objects: Option<u8>,
}

impl Syncframe {
    fn parse(frame: &[u8]) -> Option<Self> {
        let bits = &mut Bits::new(frame);
        bits.skip(16)?;
        let kind = bits.byte(2)?;
        let id = bits.byte(3)?;
        bits.skip(11)?;
        let fscod = bits.byte(2)?;
        let (rate, blocks) = if fscod == 3 {
            (rate(bits.byte(2)?) / 2, BLOCKS)
        } else {
            (rate(fscod), [1, 2, 3, 6][usize::from(bits.byte(2)?)])
        };
        let acmod = bits.byte(3)?;
        let lfeon = bits.bit()?;
        let bsid = bits.byte(5)?;
        let mut frame = Self {
            dependent: kind == 1,
            rate,
            blocks,
            substream: Substream {
                id,
                fscod,
                bsid,
                bsmod: 0,
                acmod,
                lfeon,
                dependents: 0,
                locations: 0,
            },
            objects: None,
        };
        // The frame can be decoded without what comes from here on.
        let _ = frame.information(bits, kind);
        Some(frame)
    }

    /// The rest of `bsi`.
    fn information(&mut self, bits: &mut Bits<'_>, kind: u8) -> Option<()> {
        fn optional(bits: &mut Bits<'_>, count: usize) -> Option<()> {
            if bits.bit()? { bits.skip(count) } else { Some(()) }
        }
        let Substream { fscod, acmod, .. } = self.substream;
        let dual = acmod == 0;
        for _ in 0..=u8::from(dual) {
            bits.skip(5)?;
            optional(bits, 8)?;
        }
        if self.dependent && bits.bit()? {
            // Locations 5 to 12 of the map, from its highest bit, and LFE2.
            let map = u16::try_from(bits.bits(16)?).ok()?;
            self.substream.locations = (0..8).fold(map >> 1 & 1, |found, at| found << 1 | map >> (3 + at) & 1);
        }
        if bits.bit()? {
            self.mixing(bits, kind)?;
        }
        if bits.bit()? {
            self.substream.bsmod = bits.byte(3)?;
            bits.skip(2)?;
            bits.skip(if acmod == 2 { 4 } else { 0 } + if acmod >= 6 { 2 } else { 0 })?;
            for _ in 0..=u8::from(dual) {
                optional(bits, 8)?;
            }
            bits.skip(if fscod < 3 { 1 } else { 0 })?;
        }
        bits.skip(if kind == 0 && self.blocks != BLOCKS { 1 } else { 0 })?;
        if kind == 2 && (self.blocks == BLOCKS || bits.bit()?) {
            bits.skip(6)?;
        }
        if bits.bit()? {
            let len = bits.bits(6)? + 1;
            let first = bits.byte(8)?;
            if len >= 2 && first & 1 == 1 {
                self.objects = Some(bits.byte(8)?);
            }
        }
        Some(())
    }

    /// Mixing metadata.
    fn mixing(&self, bits: &mut Bits<'_>, kind: u8) -> Option<()> {
        fn optional(bits: &mut Bits<'_>, count: usize) -> Option<()> {
            if bits.bit()? { bits.skip(count) } else { Some(()) }
        }
        let Substream { acmod, lfeon, .. } = self.substream;
        let dual = acmod == 0;
        bits.skip(if acmod > 2 { 2 } else { 0 })?;
        bits.skip(if acmod & 1 == 1 && acmod > 2 { 6 } else { 0 })?;
        bits.skip(if acmod & 4 == 4 { 6 } else { 0 })?;
        if lfeon {
            optional(bits, 5)?;
        }
        if kind != 0 {
            return Some(());
        }
        for _ in 0..=u8::from(dual) {
            optional(bits, 6)?;
        }
        optional(bits, 6)?;
        match bits.bits(2)? {
            1 => bits.skip(5)?,
            2 => bits.skip(12)?,
            3 => {
                let len = usize::from(bits.byte(5)?);
                bits.skip(8 * (len + 2))?;
            }
            _ => {}
        }
        if acmod < 2 {
            for _ in 0..=u8::from(dual) {
                optional(bits, 14)?;
            }
        }
        if bits.bit()? {
            if self.blocks == 1 {
                bits.skip(5)?;
            } else {
                for _ in 0..self.blocks {
                    optional(bits, 5)?;
                }
            }
        }
        Some(())
    }
}

/// Frames of E-AC-3 that make one access unit: six blocks of each substream (§F.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Bytes of its frames.
    pub(crate) len: usize,
    rate: u32,
    /// Of the first independent substream.
    blocks: u32,
    independent: Vec<Substream>,
    objects: Option<u8>,
}

/// What a frame is to the frames before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// It begins an access unit.
    Next,
    /// It belongs to the one in progress.
    Same,
    /// It depends on something that is not there.
    Nothing,
}

impl Group {
    /// Whether `frame` goes on with this access unit. Call [`add`](Self::add) on the right one then.
    pub(crate) fn joins(&self, frame: &[u8]) -> Joins {
        let Some(frame) = Syncframe::parse(frame) else {
            return Joins::Nothing;
        };
        let leads = !frame.dependent && frame.substream.id == 0;
        match (leads, self.len > 0) {
            (true, true) if self.blocks < BLOCKS && frame.rate == self.rate => Joins::Same,
            (true, _) => Joins::Next,
            (false, true) if self.len < MAX_GROUP => Joins::Same,
            (false, _) => Joins::Nothing,
        }
    }

    /// Takes a frame in.
    pub(crate) fn add(&mut self, frame: &[u8]) {
        self.len += frame.len();
        let Some(frame) = Syncframe::parse(frame) else { return };
        self.objects = self.objects.or(frame.objects);
        if frame.dependent {
            if let Some(parent) = self.independent.last_mut() {
                // The first six blocks name all dependents; later frames of them come again.
                if self.blocks <= frame.blocks {
                    parent.dependents = parent.dependents.saturating_add(1).min(15);
                }
                parent.locations |= frame.substream.locations;
            }
            return;
        }
        if frame.substream.id == 0 {
            self.rate = frame.rate;
            self.blocks += frame.blocks;
        }
        if self.independent.iter().all(|known| known.id != frame.substream.id) {
            self.independent.push(frame.substream);
        }
    }

    /// Whether it has its six blocks.
    pub(crate) fn is_whole(&self) -> bool {
        self.blocks >= BLOCKS
    }

    /// Its configuration, and samples of each channel.
    pub(crate) fn config(&self) -> (AudioConfig, u32) {
        let samples = self.blocks * BLOCK;
        let bits = self.len as u64 * 8 * u64::from(self.rate) / u64::from(samples.max(1));
        let config = Eac3Config {
            rate: self.rate.max(1),
            // The field has 13 bits.
            data_rate: u16::try_from(bits / 1000).unwrap_or(u16::MAX).min(0x1fff),
            independent: self.independent.clone(),
            objects: self.objects,
        };
        (AudioConfig::Eac3(config), samples)
    }
}

impl Eac3Config {
    /// The same stream, whatever its rate is at the moment.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.rate == other.rate && self.independent == other.independent && self.objects == other.objects
    }

    /// Channels of the first program.
    pub(super) fn channels(&self) -> u16 {
        let Some(first) = self.independent.first() else { return 0 };
        // Table F.6.1: these stand for two.
        const PAIRS: u16 = 0b0111_0011;
        let extra = first.locations.count_ones() + (first.locations & PAIRS).count_ones();
        CHANNELS[usize::from(first.acmod & 7)] + u16::from(first.lfeon) + u16::try_from(extra).unwrap_or(0)
    }

    /// `ec-3` with `dec3` (§F.6).
    pub(super) fn encode(&self, audio: &Audio, entry: &mut Vec<u8>) -> mp4_atom::Result<()> {
        let substreams = self.independent.iter().take(8).map(|substream| Ec3IndependentSubstream {
            fscod: substream.fscod,
            bsid: substream.bsid,
            asvc: false,
            bsmod: substream.bsmod,
            acmod: substream.acmod,
            lfeon: substream.lfeon,
            num_dep_sub: substream.dependents,
            chan_loc: (substream.dependents > 0).then_some(substream.locations),
        });
        let mut dec3 = Vec::new();
        Ec3SpecificBox {
            data_rate: self.data_rate,
            substreams: substreams.collect(),
        }
        .encode(&mut dec3)?;
        if let Some(complexity) = self.objects {
            // The box's own type ends before the extension of ETSI TS 103 420 §8.3: seven reserved bits, the flag, the index.
            dec3.extend_from_slice(&[1, complexity]);
            if let (Ok(size), Some(field)) = (u32::try_from(dec3.len()), dec3.first_chunk_mut()) {
                *field = size.to_be_bytes();
            }
        }
        let mut fields = Vec::new();
        audio.encode(&mut fields)?;
        let size = u32::try_from(8 + fields.len() + dec3.len()).unwrap_or(u32::MAX);
        entry.extend_from_slice(&size.to_be_bytes());
        entry.extend_from_slice(b"ec-3");
        entry.extend_from_slice(&fields);
        entry.extend_from_slice(&dec3);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn low_frequencies_are_found_behind_the_mixing_levels() {
        // 3/2 with both mixing levels, then lfeon; stereo with dsurmod, then lfeon; mono.
        for (byte, lfe, channels) in [
            (0b1110_0001, true, 6),
            (0b1110_0000, false, 5),
            (0b0100_0100, true, 3),
            (0b0011_0000, true, 2),
        ] {
            let found = header(&[0x0b, 0x77, 0, 0, 0x14, 0x40, byte]).unwrap();
            let Some(AudioConfig::Ac3(config)) = found.config else {
                panic!("AC-3")
            };
            assert_eq!((config.lfeon, config.channels()), (lfe, channels));
        }
    }

    /// A frame of fields as (value, bits), filled up to `words` words.
    fn frame(kind: u32, id: u32, words: u32, rest: &[(u32, u32)]) -> Vec<u8> {
        let fields = [&[(0x0b77, 16), (kind, 2), (id, 3), (words - 1, 11)], rest].concat();
        let bits: Vec<bool> = fields
            .iter()
            .flat_map(|&(value, count)| (0..count).rev().map(move |bit| value >> bit & 1 == 1))
            .collect();
        let mut bytes: Vec<u8> = bits
            .chunks(8)
            .map(|chunk| {
                chunk
                    .iter()
                    .enumerate()
                    .fold(0, |byte, (at, &bit)| byte | u8::from(bit) << (7 - at))
            })
            .collect();
        bytes.resize(2 * words as usize, 0);
        bytes
    }

    /// 48 kHz with this `numblkscod`, 3/2 with low frequencies, bsid 16, a dialogue level, no compression.
    fn head(blocks: u32) -> Vec<(u32, u32)> {
        vec![(0, 2), (blocks, 2), (7, 3), (1, 1), (16, 5), (31, 5), (0, 1)]
    }

    fn grouped(frames: &[Vec<u8>]) -> Group {
        let mut group = Group::default();
        for (number, frame) in frames.iter().enumerate() {
            let expected = if number == 0 { Joins::Next } else { Joins::Same };
            assert_eq!(group.joins(frame), expected, "frame {number}");
            group.add(frame);
        }
        group
    }

    fn entry(group: &Group) -> Vec<u8> {
        let (config, _) = group.config();
        config.track(crate::Language::UNDETERMINED).unwrap().sample_entry.to_vec()
    }

    #[test]
    fn object_audio_is_told_as_its_extension_asks() {
        // No mixing metadata; informational: complete main, no rights, no production details, source rate; then addbsi.
        let more = [
            (0, 1),
            (1, 1),
            (0, 3),
            (0, 2),
            (0, 2),
            (0, 1),
            (0, 1),
            (1, 1),
            (1, 6),
            (1, 8),
            (16, 8),
        ];
        let group = grouped(&[frame(0, 0, 512, &[head(3), more.to_vec()].concat())]);
        assert!(group.is_whole());
        assert_eq!(group.joins(&frame(0, 0, 512, &head(3))), Joins::Next);
        let entry = entry(&group);
        // dec3 as §F.6.1 lays it out: one substream (48 kHz, bsid 16, acmod 7, LFE, no dependents).
        // 1024 bytes in 1536 samples of 48 kHz are 256 kbit/s, in 13 bits.
        let dec3 = [0, 0, 0, 15, b'd', b'e', b'c', b'3', 0x08, 0x00, 0x20, 0x0f, 0, 1, 16];
        assert_eq!(&entry[36..], dec3);
        assert_eq!(entry[..8], [0, 0, 0, 51, b'e', b'c', b'-', b'3']);
    }

    #[test]
    fn dependent_substreams_add_their_channels() {
        // 7.1: the dependent has Ls, Rs and Lrs/Rrs (bits 12, 11 and 9 of the map) in acmod 6 or so.
        let dependent = [
            (0, 2),
            (3, 2),
            (6, 3),
            (0, 1),
            (16, 5),
            (31, 5),
            (0, 1),
            (1, 1),
            (0b0001_1010_0000_0000, 16),
        ];
        let group = grouped(&[frame(0, 0, 512, &head(3)), frame(1, 0, 256, &dependent)]);
        let (AudioConfig::Eac3(config), samples) = group.config() else {
            panic!("E-AC-3")
        };
        assert_eq!((config.channels(), samples), (8, 1536));
        // Lrs/Rrs is bit 1 of chan_loc.
        assert_eq!(config.independent[0].locations, 0b10);
        assert_eq!(config.independent[0].dependents, 1);
    }

    #[test]
    fn short_frames_are_gathered_to_six_blocks() {
        // Three frames of two blocks.
        let part = frame(0, 0, 100, &head(1));
        let group = grouped(&[part.clone(), part.clone(), part.clone()]);
        assert!(group.is_whole());
        assert_eq!((group.config().1, group.len), (1536, 600));
        assert_eq!(group.joins(&part), Joins::Next);
        assert_eq!(Group::default().joins(&frame(1, 0, 100, &head(3))), Joins::Nothing);
    }

    proptest! {
        #[test]
        fn no_frames_panic(frames: Vec<Vec<u8>>) {
            let mut group = Group::default();
            for frame in frames {
                let frame = [&[0x0b, 0x77][..], &frame].concat();
                if group.joins(&frame) != Joins::Nothing {
                    group.add(&frame);
                }
            }
            let (config, _) = group.config();
            prop_assert!(config.track(crate::Language::UNDETERMINED).is_some());
        }
    }
}
