//! AES-128-CBC over whole segments.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockModeDecrypt, InnerIvInit, KeyInit};
use aqueduct_core::{Decrypt, DecryptError, Encryption};
use bytes::BytesMut;
use zeroize::Zeroizing;

const BLOCK: usize = 16;

/// Decrypts what a clear key opens: METHOD=AES-128 (RFC 8216, 4.3.2.4).
///
/// It keeps the key schedule of the last key, since most streams have one key for all their segments.
#[derive(Clone, Default)]
pub struct ClearKey {
    last: Option<(Zeroizing<[u8; BLOCK]>, Aes128)>,
}

impl ClearKey {
    /// A decrypter that has seen no key yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn schedule(&mut self, key: [u8; BLOCK]) -> Aes128 {
        match &self.last {
            Some((last, schedule)) if **last == key => schedule.clone(),
            _ => {
                let schedule = Aes128::new(&key.into());
                self.last = Some((Zeroizing::new(key), schedule.clone()));
                schedule
            }
        }
    }
}

impl fmt::Debug for ClearKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClearKey").finish_non_exhaustive()
    }
}

impl Decrypt for ClearKey {
    fn decrypt(&mut self, encryption: &Encryption, key: &[u8], mut bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        match encryption {
            Encryption::None => Ok(bytes),
            Encryption::Aes128 { key: address, iv } => {
                let key: [u8; BLOCK] = key.try_into().map_err(|_| DecryptError::KeyLength {
                    url: address.url.clone(),
                    length: key.len(),
                    hint: looks_like(key),
                })?;
                let iv = iv.ok_or(DecryptError::NoIv)?;
                let length = bytes.len();
                // Padding always adds something, so no ciphertext is empty (RFC 8216, 4.3.2.4; RFC 5652, 6.3).
                if length == 0 || !length.is_multiple_of(BLOCK) {
                    return Err(DecryptError::Length { length });
                }
                let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut bytes);
                cbc::Decryptor::inner_iv_init(self.schedule(key), &iv.0.into()).decrypt_blocks(blocks);
                let clear = unpadded_length(&bytes).ok_or(DecryptError::Padding)?;
                bytes.truncate(clear);
                Ok(bytes)
            }
            Encryption::Other { keys } => Err(DecryptError::Unsupported { keys: keys.to_vec() }),
            // A variant that a newer core has and this crate does not.
            _ => Err(DecryptError::Unsupported { keys: Vec::new() }),
        }
    }
}

/// Length without PKCS #7 padding (RFC 5652, 6.3); `None` when there is none.
fn unpadded_length(bytes: &[u8]) -> Option<usize> {
    let padding = usize::from(*bytes.last()?);
    let clear = bytes.len().checked_sub(padding)?;
    ((1..=BLOCK).contains(&padding) && bytes[clear..].iter().all(|byte| usize::from(*byte) == padding)).then_some(clear)
}

fn looks_like(key: &[u8]) -> &'static str {
    let text = key.trim_ascii();
    if text.is_empty() {
        ": an empty answer"
    } else if text.starts_with(b"<") {
        ": it looks like a web page or XML, perhaps an error or a login page"
    } else if text.starts_with(b"{") {
        ": it looks like JSON"
    } else if text.len() == 2 * BLOCK && text.iter().all(u8::is_ascii_hexdigit) {
        ": it looks like the key in hexadecimal"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use aes::cipher::{BlockModeEncrypt, KeyIvInit};
    use aqueduct_core::{Iv, Kind, Resource};
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn aes128(iv: Option<[u8; 16]>) -> Encryption {
        let key = Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap());
        Encryption::Aes128 { key, iv: iv.map(Iv) }
    }

    // NIST SP 800-38A, F.2.2 (CBC-AES128.Decrypt), followed by the padding block that
    // `openssl enc -aes-128-cbc` writes after the same plaintext.
    #[test]
    fn the_nist_vector_decrypts_and_its_padding_is_taken_off() {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let iv: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let sealed = hex(concat!(
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
            "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
            "8cb82807230e1321d3fae00d18cc2012"
        ));
        let clear = hex(concat!(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
        ));
        let opened = ClearKey::new()
            .decrypt(&aes128(Some(iv)), &key, BytesMut::from(&sealed[..]))
            .unwrap();
        assert_eq!(opened, clear);
    }

    #[test]
    fn what_cannot_be_right_is_an_error() {
        let mut clear_key = ClearKey::new();
        let mut decrypt =
            |encryption: &Encryption, key: &[u8], bytes: &[u8]| clear_key.decrypt(encryption, key, BytesMut::from(bytes)).unwrap_err();
        let iv = Some([0; 16]);
        assert!(matches!(
            decrypt(&aes128(iv), &[0; 16], &[0; 15]),
            DecryptError::Length { length: 15 }
        ));
        assert!(matches!(decrypt(&aes128(iv), &[0; 16], &[]), DecryptError::Length { length: 0 }));
        assert!(matches!(decrypt(&aes128(iv), &[0; 16], &[0; 32]), DecryptError::Padding));
        assert!(matches!(decrypt(&aes128(None), &[0; 16], &[0; 32]), DecryptError::NoIv));
        let wrong = decrypt(&aes128(iv), b"<html>not found</html>", &[0; 32]).to_string();
        assert_eq!(
            wrong,
            "key http://host.example/key: 22 bytes where a key has 16: it looks like a web page or XML, perhaps an error or a login page"
        );
        let other = Encryption::Other {
            keys: [("SAMPLE-AES".to_owned(), "com.apple.streamingkeydelivery".to_owned())].into(),
        };
        assert!(
            decrypt(&other, &[], &[0; 16])
                .to_string()
                .contains("METHOD=SAMPLE-AES KEYFORMAT=\"com.apple.streamingkeydelivery\"")
        );
    }

    #[test]
    fn bytes_that_are_not_encrypted_stay_as_they_are() {
        let clear = ClearKey::new()
            .decrypt(&Encryption::None, &[], BytesMut::from(&b"media"[..]))
            .unwrap();
        assert_eq!(&clear[..], b"media");
    }

    proptest! {
        #[test]
        fn what_was_encrypted_comes_back(keys: Vec<[u8; 16]>, iv: [u8; 16], clear: Vec<u8>) {
            let mut clear_key = ClearKey::new();
            for key in keys.into_iter().take(4) {
                let mut sealed = clear.clone();
                let padding = BLOCK - clear.len() % BLOCK;
                sealed.resize(clear.len() + padding, u8::try_from(padding).unwrap());
                let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut sealed);
                cbc::Encryptor::<Aes128>::new(&key.into(), &iv.into()).encrypt_blocks(blocks);
                let opened = clear_key.decrypt(&aes128(Some(iv)), &key, BytesMut::from(&sealed[..])).unwrap();
                prop_assert_eq!(&opened[..], &clear[..]);
            }
        }

        #[test]
        fn no_input_makes_it_panic(key: Vec<u8>, iv: Option<[u8; 16]>, sealed: Vec<u8>) {
            let length = sealed.len();
            if let Ok(clear) = ClearKey::new().decrypt(&aes128(iv), &key, BytesMut::from(&sealed[..])) {
                prop_assert!(clear.len() < length);
            }
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }
}
