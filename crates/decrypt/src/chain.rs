//! Cipher block chains of samples: many short ones, full of holes.
//!
//! A cipher is fast only over many blocks at a time, and a pattern such as 1:9 leaves single ones. So the encrypted
//! blocks of all chains are gathered, decrypted in one go without chaining, and scattered again; the ciphertext that
//! each is to be combined with is still in its place then (NIST SP 800-38A, 6.2).

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, StreamCipher};

use crate::whole::BLOCK;

/// Blocks that are gathered before they are decrypted: 16 KiB, so that they stay in the nearest cache.
const GATHERED: usize = 1024;
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
    /// The first `count` are in use.
    blocks: Box<[aes::Block; GATHERED]>,
    /// Where each block is from.
    places: Box<[usize; GATHERED]>,
    count: usize,
    /// Chains that begin, each before the block of this number.
    begins: Vec<(usize, Iv)>,
    previous: Iv,
}

impl Default for Chains {
    fn default() -> Self {
        Self {
            blocks: Box::new([aes::Block::default(); GATHERED]),
            places: Box::new([0; GATHERED]),
            count: 0,
            begins: Vec::new(),
            previous: [0; BLOCK],
        }
    }
}

impl Chains {
    /// A chain begins.
    pub(crate) fn begin(&mut self, iv: Iv) {
        // Chains without a block could begin without end.
        if self.begins.last().is_some_and(|(at, _)| *at == self.count) {
            self.begins.pop();
        }
        self.begins.push((self.count, iv));
    }

    /// The next bytes of the chain: `length` of them from `at` on, as far as `data` reaches.
    pub(crate) fn add(&mut self, cipher: &Aes128, data: &mut [u8], at: usize, length: usize, pattern: Pattern) {
        let length = length.min(data.len().saturating_sub(at));
        if pattern.skip == 0 {
            let blocks = length / BLOCK;
            if blocks >= LONG_RUN {
                self.flush(cipher, data);
                self.run(cipher, data, at, blocks);
            } else {
                self.gather(cipher, data, at, blocks);
            }
            return;
        }
        let period = (pattern.crypt + pattern.skip) * BLOCK;
        let whole = length / period;
        for number in 0..whole {
            self.gather(cipher, data, at + number * period, pattern.crypt);
        }
        let rest = length - whole * period;
        self.gather(cipher, data, at + whole * period, pattern.crypt.min(rest / BLOCK));
    }

    /// Takes in `count` blocks from `at` on.
    #[inline]
    fn gather(&mut self, cipher: &Aes128, data: &mut [u8], at: usize, count: usize) {
        for place in (at..at + count * BLOCK).step_by(BLOCK) {
            if self.count == GATHERED {
                self.flush(cipher, data);
            }
            let block = data.get(place..).and_then(<[u8]>::first_chunk::<BLOCK>);
            let (Some(block), Some(target), Some(from)) = (block, self.blocks.get_mut(self.count), self.places.get_mut(self.count)) else {
                return;
            };
            *target = (*block).into();
            *from = place;
            self.count += 1;
        }
    }

    /// Decrypts what was gathered. `data` must be the bytes that it came from.
    pub(crate) fn flush(&mut self, cipher: &Aes128, data: &mut [u8]) {
        let blocks = self.blocks.get_mut(..self.count).unwrap_or(&mut []);
        cipher.decrypt_blocks(blocks);
        let mut previous = self.previous;
        let mut from = 0;
        let mut scatter = |until: usize, previous: Iv| {
            let blocks = blocks.get(from..until).unwrap_or(&[]);
            let places = self.places.get(from..until).unwrap_or(&[]);
            from = until;
            blocks.iter().zip(places).fold(previous, |previous, (block, place)| {
                let Some(target) = data.get_mut(*place..).and_then(<[u8]>::first_chunk_mut::<BLOCK>) else {
                    return previous;
                };
                let sealed = *target;
                let clear = u128::from_ne_bytes((*block).into()) ^ u128::from_ne_bytes(previous);
                *target = clear.to_ne_bytes();
                sealed
            })
        };
        for (at, iv) in self.begins.drain(..) {
            scatter(at, previous);
            previous = iv;
        }
        self.previous = scatter(self.count, previous);
        self.count = 0;
    }

    /// A long run, where it is.
    fn run(&mut self, cipher: &Aes128, data: &mut [u8], at: usize, count: usize) {
        let Some(run) = data.get_mut(at..at + count * BLOCK) else { return };
        let Some(last) = run.last_chunk::<BLOCK>().copied() else { return };
        let (blocks, _) = aes::Block::slice_as_chunks_mut(run);
        cbc::Decryptor::inner_iv_init(cipher.clone(), &self.previous.into()).decrypt_blocks(blocks);
        self.previous = last;
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
