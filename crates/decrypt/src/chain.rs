//! Cipher block chains of samples: many short ones, full of holes.
//!
//! A cipher is fast only over many blocks at a time, and a pattern such as 1:9 leaves single ones. So the encrypted
//! blocks of all chains are gathered, decrypted in one go without chaining, and scattered again, each combined with the
//! ciphertext before it, which is still in its place (NIST SP 800-38A, 6.2).

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, StreamCipher};

use crate::whole::BLOCK;

/// Blocks that are gathered before they are decrypted: a multiple of the 8 or 30 that the cipher takes at a time. With them,
/// the lines of memory that they are from stay in the nearest cache until they are put back.
const GATHERED: usize = 120;
/// A run of so many blocks is decrypted where it is.
const LONG_RUN: usize = 64;

/// How many blocks are encrypted and how many are skipped, in turn (ISO 23001-7, 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) crypt: usize,
    pub(crate) skip: usize,
}

impl Pattern {
    /// All blocks. A pattern without a part means this too (ISO 23001-7, 9.6 and 10.4.2).
    pub(crate) const ALL: Self = Self { crypt: 1, skip: 0 };

    pub(crate) fn new(crypt: u8, skip: u8) -> Self {
        match (crypt, skip) {
            (0, _) | (_, 0) => Self::ALL,
            _ => Self {
                crypt: crypt.into(),
                skip: skip.into(),
            },
        }
    }

    /// The encrypted runs of `length` bytes: offset and number of blocks. A part of a block is never encrypted.
    fn runs(self, length: usize) -> impl Iterator<Item = (usize, usize)> {
        let all = self.skip == 0;
        let period = (self.crypt + self.skip) * BLOCK;
        let periods = if all { 1 } else { length.div_ceil(period) };
        (0..periods).map(move |n| {
            let at = n * period;
            let blocks = (length - at) / BLOCK;
            (at, if all { blocks } else { blocks.min(self.crypt) })
        })
    }
}

/// Where the chain stands.
type Iv = [u8; BLOCK];

/// Gathers, decrypts and scatters. It is used again, for its memory.
#[derive(Clone)]
pub(crate) struct Chains {
    gathered: Box<Gathered>,
    /// How many blocks and runs are gathered.
    count: usize,
    runs: usize,
    /// The ciphertext that the next block is combined with.
    previous: Iv,
}

#[derive(Clone)]
struct Gathered {
    blocks: [aes::Block; GATHERED],
    runs: [Run; GATHERED],
}

/// Where gathered blocks are from: all of one chain, and as far from each other.
#[derive(Clone, Copy, Default)]
struct Run {
    /// The place of the first.
    at: usize,
    /// From the beginning of one to that of the next.
    stride: usize,
    count: usize,
    /// What the first is combined with.
    iv: Iv,
}

impl Default for Chains {
    fn default() -> Self {
        Self {
            gathered: Box::new(Gathered {
                blocks: [aes::Block::default(); GATHERED],
                runs: [Run::default(); GATHERED],
            }),
            count: 0,
            runs: 0,
            previous: [0; BLOCK],
        }
    }
}

impl Chains {
    /// Forgets what was gathered.
    pub(crate) fn clear(&mut self) {
        (self.count, self.runs) = (0, 0);
    }

    /// A chain begins.
    #[inline]
    pub(crate) fn begin(&mut self, iv: &Iv) {
        self.previous = *iv;
    }

    /// The next bytes of the chain: `length` of them from `at` on, as far as `data` reaches.
    #[inline]
    pub(crate) fn add(&mut self, cipher: &Aes128, data: &mut [u8], at: usize, length: usize, pattern: Pattern) {
        let end = at.saturating_add(length).min(data.len());
        match pattern {
            Pattern { skip: 0, .. } if length >= LONG_RUN * BLOCK => self.run(cipher, data, at, end),
            Pattern { skip: 0, .. } => self.gather(cipher, data, at, end, BLOCK),
            Pattern { crypt: 1, skip } => self.gather(cipher, data, at, end, (1 + skip) * BLOCK),
            Pattern { crypt, skip } => {
                for at in (at..end).step_by((crypt + skip) * BLOCK) {
                    self.gather(cipher, data, at, end.min(at + crypt * BLOCK), BLOCK);
                }
            }
        }
    }

    /// Takes in blocks of the chain, of which each begins `stride` bytes behind the one before, as long as they are whole
    /// before `end`.
    #[inline]
    fn gather(&mut self, cipher: &Aes128, data: &mut [u8], mut at: usize, end: usize, stride: usize) {
        loop {
            let Gathered { blocks, runs } = &mut *self.gathered;
            let free = blocks.get_mut(self.count..).unwrap_or(&mut []);
            let (first, mut count) = (at, 0);
            for block in &mut *free {
                let Some(sealed) = data.get(at..end).and_then(<[u8]>::first_chunk::<BLOCK>) else {
                    break;
                };
                *block = (*sealed).into();
                count += 1;
                at += stride;
            }
            let full = count == free.len();
            if let (Some(last), Some(run)) = (count.checked_sub(1).and_then(|last| free.get(last)), runs.get_mut(self.runs)) {
                *run = Run {
                    at: first,
                    stride,
                    count,
                    iv: std::mem::replace(&mut self.previous, (*last).into()),
                };
                self.runs += 1;
                self.count += count;
            }
            if !full {
                return;
            }
            self.flush(cipher, data);
        }
    }

    /// Decrypts what was gathered. `data` must be the bytes that it came from.
    #[inline(never)]
    pub(crate) fn flush(&mut self, cipher: &Aes128, data: &mut [u8]) {
        let Gathered { blocks, runs } = &mut *self.gathered;
        let mut blocks = blocks.get_mut(..self.count).unwrap_or(&mut []);
        cipher.decrypt_blocks(blocks);
        for run in runs.get(..self.runs).unwrap_or(&[]) {
            let Some((clear, rest)) = std::mem::take(&mut blocks).split_at_mut_checked(run.count) else {
                break;
            };
            blocks = rest;
            let (mut at, mut previous) = (run.at, run.iv);
            for clear in clear {
                let Some(place) = data.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<BLOCK>) else {
                    break;
                };
                // The ciphertext is still there.
                let sealed = *place;
                *place = std::array::from_fn(|at| clear[at] ^ previous[at]);
                previous = sealed;
                at += run.stride;
            }
        }
        self.clear();
    }

    /// A long run, where it is.
    fn run(&mut self, cipher: &Aes128, data: &mut [u8], at: usize, end: usize) {
        let (blocks, _) = aes::Block::slice_as_chunks_mut(data.get_mut(at..end).unwrap_or(&mut []));
        let Some(last) = blocks.last().copied() else { return };
        cbc::Decryptor::<&Aes128>::inner_iv_init(cipher, &self.previous.into()).decrypt_blocks(blocks);
        self.previous = last.into();
    }
}

/// The key stream of one sample in counter mode: the last 64 bits count blocks (ISO 23001-7, 9.3).
pub(crate) struct Counter<'a>(ctr::Ctr64BE<&'a Aes128>);

impl<'a> Counter<'a> {
    pub(crate) fn new(cipher: &'a Aes128, iv: &Iv) -> Self {
        Self(ctr::Ctr64BE::from_core(ctr::CtrCore::inner_iv_init(cipher, &(*iv).into())))
    }

    /// Decrypts `length` bytes from `at` on, which take up the stream where the last ones left it.
    pub(crate) fn all(&mut self, data: &mut [u8], at: usize, length: usize) {
        if let Some(bytes) = data.get_mut(at..at.saturating_add(length)) {
            // It fails after 2^64 blocks.
            let _ = self.0.try_apply_keystream(bytes);
        }
    }

    /// Decrypts the blocks of a pattern. Blocks that are skipped take nothing of the stream (ISO 23001-7, 10.3).
    pub(crate) fn pattern(&mut self, data: &mut [u8], at: usize, length: usize, pattern: Pattern, scratch: &mut Vec<u8>) {
        let Some(bytes) = data.get_mut(at..at.saturating_add(length)) else {
            return;
        };
        scratch.clear();
        for (offset, count) in pattern.runs(length) {
            scratch.extend_from_slice(bytes.get(offset..offset + count * BLOCK).unwrap_or(&[]));
        }
        let _ = self.0.try_apply_keystream(scratch);
        let mut clear = &scratch[..];
        for (offset, count) in pattern.runs(length) {
            let Some(target) = bytes.get_mut(offset..offset + count * BLOCK) else {
                return;
            };
            let Some((run, rest)) = clear.split_at_checked(target.len()) else {
                return;
            };
            target.copy_from_slice(run);
            clear = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use aes::cipher::{BlockModeEncrypt, KeyInit, KeyIvInit};
    use proptest::prelude::*;

    use super::*;

    /// One chain of a pattern, block by block.
    fn encrypt(data: &mut [u8], key: [u8; 16], iv: Iv, pattern: Pattern) {
        let mut mode = cbc::Encryptor::<Aes128>::new(&key.into(), &iv.into());
        for (number, block) in data.chunks_exact_mut(BLOCK).enumerate() {
            if pattern.skip == 0 || number % (pattern.crypt + pattern.skip) < pattern.crypt {
                let (blocks, _) = aes::Block::slice_as_chunks_mut(block);
                mode.encrypt_blocks(blocks);
            }
        }
    }

    proptest! {
        #[test]
        fn chains_come_back_whatever_their_lengths_and_patterns(
            key: [u8; 16],
            chains in prop::collection::vec((any::<[u8; 16]>(), 0_usize..3000, 0_u8..4, 0_u8..10), 0..12),
        ) {
            let cipher = Aes128::new(&key.into());
            let (mut clear, mut sealed, mut work) = (Vec::new(), Vec::new(), Chains::default());
            for (iv, length, crypt, skip) in &chains {
                let bytes: Vec<u8> = (0..*length).map(|n| u8::try_from(n % 251).unwrap()).collect();
                clear.extend_from_slice(&bytes);
                let from = sealed.len();
                sealed.extend_from_slice(&bytes);
                encrypt(&mut sealed[from..], key, *iv, Pattern::new(*crypt, *skip));
            }
            let mut at = 0;
            for (iv, length, crypt, skip) in &chains {
                work.begin(iv);
                work.add(&cipher, &mut sealed, at, *length, Pattern::new(*crypt, *skip));
                at += length;
            }
            work.flush(&cipher, &mut sealed);
            prop_assert_eq!(sealed, clear);
        }
    }

    #[test]
    fn a_chain_goes_on_in_the_next_piece() {
        let (key, iv) = ([1; 16], [2; 16]);
        let cipher = Aes128::new(&key.into());
        for (first, second) in [(2, 3), (100, 3), (3, 100), (100, 100), (0, 1)] {
            let clear = vec![9; (first + second) * BLOCK];
            let mut sealed = clear.clone();
            encrypt(&mut sealed, key, iv, Pattern::ALL);
            let mut work = Chains::default();
            work.begin(&iv);
            work.add(&cipher, &mut sealed, 0, first * BLOCK, Pattern::ALL);
            work.add(&cipher, &mut sealed, first * BLOCK, second * BLOCK, Pattern::ALL);
            work.flush(&cipher, &mut sealed);
            assert_eq!(sealed, clear, "{first} and {second} blocks");
        }
    }
}
