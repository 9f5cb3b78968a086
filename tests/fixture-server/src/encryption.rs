//! AES-128 as playlists use it (RFC 8216, sections 4.3.2.4 and 5.2).

use aes::Aes128;
use anyhow::{Result, anyhow};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use serde::{Deserialize, Serialize};

/// How a stream is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Encryption {
    /// Where the Initialization Vector comes from.
    pub iv: Iv,
    /// A new key every so many segments; 0 for one key.
    pub rotate_every: usize,
    /// Segments (by index) that are clear, behind `METHOD=NONE`.
    pub clear: Vec<usize>,
    /// Whether the Media Initialization Section is encrypted too; it needs an explicit IV.
    pub init: bool,
}

/// Where the Initialization Vector comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Iv {
    /// The `IV` attribute of the tag.
    #[default]
    Explicit,
    /// The Media Sequence Number as a 128-bit big-endian number.
    Sequence,
}

impl Encryption {
    /// Which key a segment is encrypted with; `None` for a clear one.
    pub fn period(&self, index: usize) -> Option<usize> {
        if self.clear.contains(&index) {
            return None;
        }
        Some(index.checked_div(self.rotate_every).unwrap_or(0))
    }

    /// The key of a period. The first is that of `media/openssl.json`.
    pub fn key(period: usize) -> [u8; 16] {
        let mut key: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).expect("16 positions"));
        key[15] ^= low_byte(period);
        key
    }

    /// The IV of a segment, or of the Media Initialization Section before it.
    pub fn iv(&self, period: usize, msn: u64) -> [u8; 16] {
        match self.iv {
            Iv::Explicit => {
                let mut iv = Self::key(period);
                iv[0] = 0xFF;
                iv
            }
            Iv::Sequence => u128::from(msn).to_be_bytes(),
        }
    }
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

/// Whole-segment AES-128 in CBC mode with PKCS7 padding.
pub fn encrypt_aes_128(clear: &[u8], key: &[u8; 16], iv: &[u8; 16]) -> Vec<u8> {
    cbc::Encryptor::<Aes128>::new(key.into(), iv.into()).encrypt_padded_vec::<Pkcs7>(clear)
}

/// The inverse of [`encrypt_aes_128`]; an error where the padding is wrong.
pub fn decrypt_aes_128(sealed: &[u8], key: &[u8; 16], iv: &[u8; 16]) -> Result<Vec<u8>> {
    cbc::Decryptor::<Aes128>::new(key.into(), iv.into())
        .decrypt_padded_vec::<Pkcs7>(sealed)
        .map_err(|_| anyhow!("wrong padding"))
}
