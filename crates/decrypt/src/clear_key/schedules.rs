//! Keys made ready.

use aes::cipher::KeyInit;
use aes::{Aes128, Aes256};
use aqueduct_core::DecryptError;
use zeroize::Zeroizing;

use super::task::{KEY_128, KEY_256};
use crate::UserKeys;
use crate::cenc::Scheme;

/// Key schedules of the last keys. The ciphers wipe themselves.
#[derive(Clone, Default)]
pub(super) struct Schedules {
    aes128: Option<(Zeroizing<[u8; KEY_128]>, Aes128)>,
    aes256: Option<(Zeroizing<[u8; KEY_256]>, Aes256)>,
}

impl Schedules {
    pub(super) fn aes128(&mut self, key: &[u8]) -> Result<Aes128, DecryptError> {
        schedule(&mut self.aes128, key)
    }

    pub(super) fn aes256(&mut self, key: &[u8]) -> Result<Aes256, DecryptError> {
        schedule(&mut self.aes256, key)
    }

    /// The cipher for a key identifier: the user's for it, the user's for whatever is encrypted, or what was fetched.
    pub(super) fn of_kid(
        &mut self,
        user: &UserKeys,
        fetched: Option<&[u8]>,
        kid: &[u8; 16],
        scheme: Scheme,
    ) -> Result<Aes128, DecryptError> {
        let known = user.by_kid(kid).map(|key| &key[..]);
        match known.or(user.plain(KEY_128)).or(fetched) {
            Some(key) => self.aes128(key),
            None => Err(DecryptError::NoKey {
                kids: vec![kid_text(kid, scheme)],
            }),
        }
    }
}

fn schedule<const N: usize, C: KeyInit + Clone>(last: &mut Option<(Zeroizing<[u8; N]>, C)>, key: &[u8]) -> Result<C, DecryptError> {
    let cannot = || DecryptError::NoKey {
        kids: vec![format!("{N} bytes of key")],
    };
    if let Some((_, cipher)) = last.as_ref().filter(|(last, _)| last[..] == *key) {
        return Ok(cipher.clone());
    }
    let bytes = Zeroizing::new(<[u8; N]>::try_from(key).map_err(|_| cannot())?);
    let cipher = C::new_from_slice(&bytes[..]).map_err(|_| cannot())?;
    *last = Some((bytes, cipher.clone()));
    Ok(cipher)
}

fn kid_text(kid: &[u8; 16], scheme: Scheme) -> String {
    format!("KID {:032x} ({})", u128::from_be_bytes(*kid), scheme.name())
}
