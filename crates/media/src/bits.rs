//! Reading bit fields of headers that are too small for a parser of their own.

/// Reads big-endian bit fields; every read past the end is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// The next `count` bits, at most 32.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    /// The next `count` bits, at most 8.
    pub(crate) fn byte(&mut self, count: u32) -> Option<u8> {
        u8::try_from(self.bits(count)?).ok()
    }

    /// Passes over `count` bits, which have to be there.
    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        let end = self.position.checked_add(count)?;
        (end <= self.bytes.len() * 8).then_some(())?;
        self.position = end;
        Some(())
    }

    /// Passes over `count` unsigned Exp-Golomb codes.
    pub(crate) fn skip_ue(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.ue().map(drop))
    }

    /// Bits read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The next `count` bits as bytes, the last one filled up with zeros.
    pub(crate) fn copy(&mut self, count: usize) -> Option<Vec<u8>> {
        let (from, shift) = (self.position / 8, self.position % 8);
        self.skip(count)?;
        let source = self.bytes.get(from..)?;
        let mut copy: Vec<u8> = (0..count.div_ceil(8))
            .map(|at| {
                let high = source.get(at).copied().unwrap_or(0);
                let low = source.get(at + 1).copied().unwrap_or(0);
                if shift == 0 { high } else { high << shift | low >> (8 - shift) }
            })
            .collect();
        if let (Some(last), used @ 1..) = (copy.last_mut(), count % 8) {
            *last &= 0xff << (8 - used);
        }
        Some(copy)
    }

    /// Unsigned Exp-Golomb code (ISO 14496-10 §9.1).
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        Some((1_u32 << zeros) - 1 + rest)
    }
}

/// The CRC of generator polynomial 0x04c11db7, most significant bit first (ISO 13818-1 annex A; RFC 3533 §6), that goes on from
/// what is `so_far`.
pub(crate) fn crc32(so_far: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(so_far, |crc, &byte| {
        let [first, ..] = crc.to_be_bytes();
        crc << 8 ^ CRC32[usize::from(first ^ byte)]
    })
}

/// What a byte in front of zeros leaves.
const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let (mut at, mut byte) = (0, 0_u32);
    while at < table.len() {
        let mut crc = byte << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_table_9_2() {
        for (byte, expected) in [
            (0b1000_0000, 0),
            (0b0100_0000, 1),
            (0b0110_0000, 2),
            (0b0010_0000, 3),
            (0b0011_1000, 6),
        ] {
            assert_eq!(Bits::new(&[byte]).ue(), Some(expected), "{byte:08b}");
        }
        assert_eq!(Bits::new(&[0; 8]).ue(), None);
        assert_eq!(Bits::new(&[]).ue(), None);
    }

    #[test]
    fn reading_past_the_end_is_none() {
        let mut bits = Bits::new(&[0xff]);
        assert_eq!(bits.bits(8), Some(0xff));
        assert_eq!(bits.bits(1), None);
        assert_eq!(bits.skip(1), None);
        assert_eq!(bits.copy(1), None);
        assert_eq!(bits.position(), 8);
    }

    proptest! {
        #[test]
        fn a_copy_has_the_bits_one_by_one(bytes: Vec<u8>, start in 0_usize..40, count in 0_usize..200) {
            let mut bits = Bits::new(&bytes);
            prop_assume!(bits.skip(start).is_some());
            let mut single = bits.clone();
            match bits.copy(count) {
                None => prop_assert!(single.skip(count).is_none()),
                Some(copy) => {
                    prop_assert_eq!(copy.len(), count.div_ceil(8));
                    let mut copied = Bits::new(&copy);
                    for _ in 0..count {
                        prop_assert_eq!(copied.bit(), single.bit());
                    }
                    while let Some(padding) = copied.bit() {
                        prop_assert!(!padding);
                    }
                    prop_assert_eq!(bits.position(), single.position());
                }
            }
        }
    }
}
