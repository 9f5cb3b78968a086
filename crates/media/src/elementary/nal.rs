//! H.264 and HEVC as byte streams (ISO 14496-10 annex B, ISO 23008-2 annex B).

use serde::{Deserialize, Serialize};

const START: [u8; 4] = [0, 0, 0, 1];

/// From NAL units behind lengths to NAL units behind start codes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NalStream {
    /// Bytes of each length, 1 to 4.
    length_size: usize,
    /// The parameter sets of the sample entry, behind start codes.
    sets: Vec<u8>,
    codec: NalCodec,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum NalCodec {
    Avc,
    Hevc,
}

/// What differs between the two codecs.
#[derive(Debug)]
struct Syntax {
    unit_type: fn(u8) -> u8,
    sequence_set: u8,
    delimiter_type: u8,
    /// A delimiter that allows every kind of slice.
    delimiter: &'static [u8],
}

/// ISO 14496-10 §7.3.1 and table 7-1.
const AVC: Syntax = Syntax {
    unit_type: |header| header & 0x1f,
    sequence_set: 7,
    delimiter_type: 9,
    delimiter: &[0x09, 0xf0],
};

/// ISO 23008-2 §7.3.1.2 and table 7-1.
const HEVC: Syntax = Syntax {
    unit_type: |header| header >> 1 & 0x3f,
    sequence_set: 33,
    delimiter_type: 35,
    delimiter: &[0x46, 0x01, 0x50],
};

impl NalStream {
    pub(super) fn avc<'a>(length_size: usize, sets: impl Iterator<Item = &'a Vec<u8>>) -> Self {
        Self::new(length_size, sets, NalCodec::Avc)
    }

    pub(super) fn hevc<'a>(length_size: usize, sets: impl Iterator<Item = &'a Vec<u8>>) -> Self {
        Self::new(length_size, sets, NalCodec::Hevc)
    }

    fn new<'a>(length_size: usize, sets: impl Iterator<Item = &'a Vec<u8>>, codec: NalCodec) -> Self {
        Self {
            length_size: length_size.clamp(1, 4),
            sets: sets.flat_map(|set| START.iter().chain(set)).copied().collect(),
            codec,
        }
    }

    /// Appends an access unit: a delimiter, the parameter sets where decoding may begin, and its NAL units. Those of
    /// either that it brings itself are not repeated. Returns whether its lengths add up.
    pub(super) fn write(&self, sample: &[u8], sync: bool, out: &mut Vec<u8>) -> bool {
        let syntax = match self.codec {
            NalCodec::Avc => &AVC,
            NalCodec::Hevc => &HEVC,
        };
        let units = || Units {
            rest: sample,
            length_size: self.length_size,
        };
        let is = |unit: &[u8], kind| unit.first().is_some_and(|header| (syntax.unit_type)(*header) == kind);
        if !units().next().is_some_and(|unit| is(unit, syntax.delimiter_type)) {
            out.extend_from_slice(&START);
            out.extend_from_slice(syntax.delimiter);
        }
        let mut missing = sync && !units().any(|unit| is(unit, syntax.sequence_set));
        let mut units = units();
        for unit in units.by_ref().filter(|unit| !unit.is_empty()) {
            // Behind a delimiter, which comes first (ISO 14496-10 §7.4.1.2.3).
            if missing && !is(unit, syntax.delimiter_type) {
                out.extend_from_slice(&self.sets);
                missing = false;
            }
            out.extend_from_slice(&START);
            out.extend_from_slice(unit);
        }
        units.rest.is_empty()
    }
}

/// The NAL units of a sample (ISO 14496-15 §4.3.2). Ends before the first that does not fit.
struct Units<'a> {
    rest: &'a [u8],
    length_size: usize,
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_at_checked(self.length_size)?;
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length_size: usize, units: &[&[u8]]) -> Vec<u8> {
        let unit = |unit: &&[u8]| [&u32::try_from(unit.len()).unwrap().to_be_bytes()[4 - length_size..], unit].concat();
        units.iter().flat_map(unit).collect()
    }

    /// Units with a start code before each.
    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&START[..], unit].concat()).collect()
    }

    #[test]
    fn delimiter_and_parameter_sets_stand_where_a_decoder_needs_them() {
        let (sps, pps, aud): (&[u8], &[u8], &[u8]) = (&[0x67, 1], &[0x68, 2], &[0x09, 0xf0]);
        let (idr, slice, own): (&[u8], &[u8], &[u8]) = (&[0x65, 3], &[0x41, 4], &[0x67, 5]);
        for length_size in [1, 2, 4] {
            let nal = NalStream::avc(length_size, [sps.to_vec(), pps.to_vec()].iter());
            for (units, sync, expected) in [
                (&[idr][..], true, &[aud, sps, pps, idr][..]),
                (&[slice], false, &[aud, slice]),
                (&[aud, idr], true, &[aud, sps, pps, idr]),
                (&[own, pps, idr], true, &[aud, own, pps, idr]),
                (&[], true, &[aud]),
            ] {
                let mut out = Vec::new();
                assert!(nal.write(&sample(length_size, units), sync, &mut out));
                assert_eq!(out, stream(expected), "{units:?}");
            }
        }
        let hevc = NalStream::hevc(4, [vec![0x40, 1], vec![0x42, 1], vec![0x44, 1]].iter());
        let mut out = Vec::new();
        assert!(hevc.write(&sample(4, &[&[0x26, 1, 9]]), true, &mut out));
        assert_eq!(out, stream(&[&[0x46, 1, 0x50], &[0x40, 1], &[0x42, 1], &[0x44, 1], &[0x26, 1, 9]]));
    }

    #[test]
    fn a_unit_that_does_not_fit_ends_the_sample() {
        let nal = NalStream::avc(4, std::iter::empty());
        let mut whole = sample(4, &[&[0x41, 1], &[0x41, 2]]);
        whole.pop();
        let mut out = Vec::new();
        assert!(!nal.write(&whole, false, &mut out));
        assert_eq!(out, stream(&[&[0x09, 0xf0], &[0x41, 1]]));
        assert!(!nal.write(&[0xff; 7], true, &mut Vec::new()));
    }
}
