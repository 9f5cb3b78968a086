//! NAL units of H.264 (MPEG-2 Stream Encryption Format for HTTP Live Streaming, "H.264"): slices are encrypted in a
//! pattern, and then protected against start codes once more.

use aes::Aes128;
use memchr::memmem;

use crate::chain::{Chains, Pattern};

/// A NAL unit of up to so many bytes stays clear.
const SHORT: usize = 48;
/// The type byte and the leader of 31 bytes that stay clear.
const LEADER: usize = 32;
/// Sixteen bytes of 160. The last part of a block, or the last whole one, stays clear.
const PATTERN: Pattern = Pattern { crypt: 1, skip: 9 };

/// Decrypts the NAL units in the byte stream `bytes` (ISO 14496-10 annex B). Taking emulation prevention bytes out
/// makes it shorter: what is left stands at its front, its length is returned, and `removed` takes where the bytes
/// were.
pub(super) fn decrypt(bytes: &mut [u8], cipher: &Aes128, iv: [u8; 16], chains: &mut Chains, removed: &mut Vec<usize>) -> usize {
    let start_code = memmem::Finder::new(&[0, 0, 1]);
    let emulation = memmem::Finder::new(&[0, 0, 3]);
    // What stands before `read` was moved to before `write`.
    let (mut read, mut write) = (0, 0);
    let find = |bytes: &[u8], from: usize| bytes.get(from..).and_then(|rest| start_code.find(rest)).map(|at| from + at);
    let mut next = find(bytes, 0);
    while let Some(code) = next {
        let start = code + 3;
        next = find(bytes, start);
        let end = next.unwrap_or(bytes.len());
        // Zeros behind a NAL unit are not of it, nor is the first one of a long start code.
        let zeros = bytes
            .get(start..end)
            .map_or(0, |nal| nal.iter().rev().take_while(|byte| **byte == 0).count());
        let end = end - zeros;
        shift(bytes, &mut read, &mut write, start);
        let encrypted = matches!(bytes.get(start).map(|header| header & 0x1f), Some(1 | 5)) && end - start > SHORT;
        if !encrypted {
            continue;
        }
        let from = write;
        while let Some(found) = bytes.get(read..end).and_then(|rest| emulation.find(rest)) {
            let at = read + found + 2;
            shift(bytes, &mut read, &mut write, at);
            removed.push(at);
            read += 1;
        }
        shift(bytes, &mut read, &mut write, end);
        // A block that ends the NAL unit stays clear.
        let length = (write - from).saturating_sub(LEADER + 1);
        chains.begin(&iv);
        chains.add(cipher, bytes, from + LEADER, length, PATTERN);
    }
    let end = bytes.len();
    shift(bytes, &mut read, &mut write, end);
    chains.flush(cipher, bytes);
    write
}

/// Moves what stands between `read` and `end` to `write`.
fn shift(bytes: &mut [u8], read: &mut usize, write: &mut usize, end: usize) {
    let length = end.saturating_sub(*read);
    if read != write {
        bytes.copy_within(*read..*read + length, *write);
    }
    *read += length;
    *write += length;
}

#[cfg(test)]
mod tests {
    use aes::cipher::{BlockModeEncrypt, KeyInit, KeyIvInit};
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 16] = [7; 16];

    /// As the specification's encrypter does it, step by step.
    fn encrypt(nal: &[u8], iv: [u8; 16]) -> Vec<u8> {
        if !matches!(nal[0] & 0x1f, 1 | 5) || nal.len() <= SHORT {
            return nal.to_vec();
        }
        let mut sealed = nal.to_vec();
        let mut mode = cbc::Encryptor::<Aes128>::new(&KEY.into(), &iv.into());
        let mut at = 32;
        while sealed.len() - at > 16 {
            let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut sealed[at..at + 16]);
            mode.encrypt_blocks(blocks);
            at += 16;
            at += 144.min(sealed.len() - at);
        }
        let mut escaped = Vec::new();
        for byte in sealed {
            if escaped.ends_with(&[0, 0]) && byte <= 3 {
                escaped.push(3);
            }
            escaped.push(byte);
        }
        escaped
    }

    proptest! {
        #[test]
        fn nal_units_come_back_with_their_own_emulation_bytes(
            iv: [u8; 16],
            // Few values, so that zeros run and prevention is needed; no start codes, and no zero at the end.
            nals in prop::collection::vec((prop::sample::select(vec![0x65_u8, 0x41, 0x67, 0x06]),
                prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 3, 200]), 0..700)), 1..6),
        ) {
            let (mut clear, mut sealed) = (vec![9], vec![9]);
            for (header, body) in nals {
                let mut nal = vec![header];
                for byte in body {
                    if nal.ends_with(&[0, 0]) && byte <= 3 {
                        nal.push(3);
                    }
                    nal.push(byte);
                }
                nal.push(0x80);
                clear.extend([&[0, 0, 0, 1][..], &nal].concat());
                sealed.extend([&[0, 0, 0, 1][..], &encrypt(&nal, iv)].concat());
            }
            let mut removed = Vec::new();
            let mut opened = sealed.clone();
            let length = decrypt(&mut opened, &Aes128::new(&KEY.into()), iv, &mut Chains::default(), &mut removed);
            prop_assert_eq!(&opened[..length], &clear[..]);
            prop_assert_eq!(removed.len(), sealed.len() - length);
            prop_assert!(removed.is_sorted() && removed.iter().all(|at| sealed[*at] == 3));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(0_u8..7, 0..600)) {
            let mut removed = Vec::new();
            let length = decrypt(&mut bytes, &Aes128::new(&KEY.into()), [0; 16], &mut Chains::default(), &mut removed);
            prop_assert_eq!(length + removed.len(), bytes.len());
        }
    }
}
