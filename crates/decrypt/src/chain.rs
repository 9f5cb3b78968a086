//! Cipher block chains of samples: many short ones, full of holes.
//!
//! A cipher is fast only over many blocks at a time, and a pattern such as 1:9 leaves single ones. So the encrypted
//! blocks of all chains are gathered, each with the ciphertext that it is to be combined with, decrypted in one go
//! without chaining, and scattered again (NIST SP 800-38A, 6.2).

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, StreamCipher};

use crate::whole::BLOCK;

/// Blocks that are gathered before they are decrypted. With them, the lines of memory that they are from stay in the
/// nearest cache until they are put back.
const GATHERED: usize = 128;
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
    /// How many blocks are gathered.
    count: usize,
    /// The ciphertext that the next block is combined with, as a number of this machine.
    previous: u128,
}

#[derive(Clone)]
struct Gathered {
    blocks: [aes::Block; GATHERED],
    /// What each is combined with.
    masks: [u128; GATHERED],
    /// Where each is from.
    places: [usize; GATHERED],
}

impl Default for Chains {
    fn default() -> Self {
        Self {
            gathered: Box::new(Gathered {
                blocks: [aes::Block::default(); GATHERED],
                masks: [0; GATHERED],
                places: [0; GATHERED],
            }),
            count: 0,
            previous: 0,
        }
    }
}

impl Chains {
    /// A chain begins.
    #[inline]
    pub(crate) fn begin(&mut self, iv: Iv) {
        self.previous = u128::from_ne_bytes(iv);
    }

    /// The next bytes of the chain: `length` of them from `at` on, as far as `data` reaches.
    #[inline]
    pub(crate) fn add(&mut self, cipher: &Aes128, data: &mut [u8], at: usize, length: usize, pattern: Pattern) {
        let length = length.min(data.len().saturating_sub(at));
        let period = (pattern.crypt + pattern.skip) * BLOCK;
        match pattern {
            Pattern { skip: 0, .. } if length / BLOCK >= LONG_RUN => self.run(cipher, data, at, length / BLOCK),
            Pattern { skip: 0, .. } => self.gather(cipher, data, at, BLOCK, length / BLOCK),
            Pattern { crypt: 1, .. } => {
                let last = usize::from(length % period >= BLOCK);
                self.gather(cipher, data, at, period, length / period + last);
            }
            _ => {
                for (offset, count) in pattern.runs(length) {
                    self.gather(cipher, data, at + offset, BLOCK, count);
                }
            }
        }
    }

    /// Takes in `count` blocks of the chain, of which each begins `stride` bytes behind the one before.
    #[inline]
    fn gather(&mut self, cipher: &Aes128, data: &mut [u8], mut at: usize, stride: usize, mut count: usize) {
        while count > 0 {
            if self.count == GATHERED {
                self.flush(cipher, data);
            }
            let taken = count.min(GATHERED - self.count);
            let Gathered { blocks, masks, places } = &mut *self.gathered;
            let free = self.count..self.count + taken;
            let (Some(blocks), Some(masks), Some(places)) =
                (blocks.get_mut(free.clone()), masks.get_mut(free.clone()), places.get_mut(free))
            else {
                return;
            };
            let mut previous = self.previous;
            for ((block, mask), from) in blocks.iter_mut().zip(masks).zip(places) {
                let Some(sealed) = data.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) else {
                    return;
                };
                // As a number it stays in registers from one round to the next.
                let sealed = u128::from_ne_bytes(*sealed);
                *block = sealed.to_ne_bytes().into();
                *mask = previous;
                *from = at;
                previous = sealed;
                at += stride;
            }
            self.previous = previous;
            self.count += taken;
            count -= taken;
        }
    }

    /// Decrypts what was gathered. `data` must be the bytes that it came from.
    pub(crate) fn flush(&mut self, cipher: &Aes128, data: &mut [u8]) {
        let Gathered { blocks, masks, places } = &mut *self.gathered;
        let blocks = blocks.get_mut(..self.count).unwrap_or(&mut []);
        cipher.decrypt_blocks(blocks);
        for ((block, mask), place) in blocks.iter().zip(masks.iter()).zip(places.iter()) {
            let clear = u128::from_ne_bytes((*block).into()) ^ *mask;
            if let Some(target) = data.get_mut(*place..*place + BLOCK) {
                target.copy_from_slice(&clear.to_ne_bytes());
            }
        }
        self.count = 0;
    }

    /// A long run, where it is.
    fn run(&mut self, cipher: &Aes128, data: &mut [u8], at: usize, count: usize) {
        let Some(run) = data.get_mut(at..at + count * BLOCK) else { return };
        let Some(last) = run.last_chunk::<BLOCK>().copied() else { return };
        let (blocks, _) = aes::Block::slice_as_chunks_mut(run);
        cbc::Decryptor::inner_iv_init(cipher.clone(), &self.previous.to_ne_bytes().into()).decrypt_blocks(blocks);
        self.previous = u128::from_ne_bytes(last);
    }
}

/// The key stream of one sample in counter mode: the last 64 bits count blocks (ISO 23001-7, 9.3).
pub(crate) struct Counter(ctr::Ctr64BE<Aes128>);

impl Counter {
    pub(crate) fn new(cipher: &Aes128, iv: Iv) -> Self {
        Self(ctr::Ctr64BE::from_core(ctr::CtrCore::inner_iv_init(cipher.clone(), &iv.into())))
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
                work.begin(*iv);
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
            work.begin(iv);
            work.add(&cipher, &mut sealed, 0, first * BLOCK, Pattern::ALL);
            work.add(&cipher, &mut sealed, first * BLOCK, second * BLOCK, Pattern::ALL);
            work.flush(&cipher, &mut sealed);
            assert_eq!(sealed, clear, "{first} and {second} blocks");
        }
    }
}
