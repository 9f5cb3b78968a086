//! Ciphers that no playlist names: the user says which it is.

use std::fmt;

use aes::Aes128;
use aes::cipher::BlockCipherDecrypt;
use aqueduct_core::{DecryptError, Iv};
use bytes::BytesMut;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use crate::whole::{self, Padding};

/// A cipher over whole segments that servers use under the name of another, or under none. It takes the place of
/// whatever a playlist names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// AES-128 in ECB mode (NIST SP 800-38A, 6.1) with PKCS #7 padding. There is no IV.
    Aes128Ecb,
    /// ChaCha20 (RFC 8439, 2.4) with a key of 32 bytes, which begins again with the same key stream every 1024 bytes. The
    /// nonce is the last 12 bytes of the IV; one of 8 bytes has zeros in front.
    ChaCha20,
}

impl Method {
    /// Bytes of its key.
    pub(crate) fn key_length(self) -> usize {
        match self {
            Self::Aes128Ecb => 16,
            Self::ChaCha20 => 32,
        }
    }

    /// Bytes that only come together.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::Aes128Ecb => whole::BLOCK,
            Self::ChaCha20 => 1,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Ecb => "AES-128-ECB",
            Self::ChaCha20 => "ChaCha20",
        })
    }
}

/// Decrypts `bytes` in ECB mode where they are, and takes the padding off.
pub(crate) fn ecb(cipher: &Aes128, bytes: &mut BytesMut) -> Result<Padding, DecryptError> {
    whole::decrypt_blocks(bytes, |blocks| cipher.decrypt_blocks(blocks))
}

/// After so many bytes servers begin again with the first of the key stream.
const PERIOD: usize = 1024;

/// Decrypts `bytes` where they are.
pub(crate) fn chacha20(key: &[u8; 32], iv: Iv, bytes: &mut [u8]) -> Result<(), DecryptError> {
    let Some(([0, 0, 0, 0], nonce)) = iv.0.split_first_chunk::<4>() else {
        return Err(DecryptError::Media {
            what: "ChaCha20 takes a nonce of 8 or 12 bytes, and this IV is longer: give it yourself".to_owned(),
        });
    };
    let Some(nonce) = nonce.first_chunk::<12>() else { return Ok(()) };
    let mut stream = Zeroizing::new([0; PERIOD]);
    ChaCha20::new(&(*key).into(), &(*nonce).into()).apply_keystream(&mut stream[..]);
    for piece in bytes.chunks_mut(PERIOD) {
        piece.iter_mut().zip(stream.iter()).for_each(|(byte, mask)| *byte ^= mask);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8439, A.1, test vectors 1 and 2: the key stream of blocks 0 and 1 under a key and a nonce of zeros.
    #[test]
    fn the_key_stream_is_that_of_the_rfc_and_begins_again_every_1024_bytes() {
        let block_0 = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
            da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586";
        let block_1 = "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
            29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
        let mut bytes = vec![0; 2500];
        chacha20(&[0; 32], Iv([0; 16]), &mut bytes).unwrap();
        let text = |range: std::ops::Range<usize>| bytes[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for period in [0, 1024, 2048] {
            assert_eq!(text(period..period + 64), block_0, "{period}");
            assert_eq!(text(period + 64..period + 128), block_1, "{period}");
        }
    }

    // printf 'clear media' | openssl enc -chacha20 -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
    //     -iv 00000000000000000102030405060708 | xxd -p
    // (openssl's IV is the counter, little-endian, and the nonce of 12 bytes.)
    #[test]
    fn a_nonce_of_8_bytes_has_zeros_in_front_and_one_of_16_is_refused() {
        let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let mut bytes = SEALED;
        chacha20(&key, Iv(0x0102_0304_0506_0708_u128.to_be_bytes()), &mut bytes).unwrap();
        assert_eq!(&bytes, b"clear media");
        assert!(chacha20(&key, Iv([1; 16]), &mut bytes).is_err());
    }
    const SEALED: [u8; 11] = [0xef, 0x86, 0x3d, 0x5e, 0xb5, 0xa8, 0x07, 0x53, 0xaf, 0xc6, 0x9b];
}
