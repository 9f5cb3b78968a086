//! Keys that the user holds.

use std::collections::BTreeSet;
use std::fmt;

use aqueduct_core::{Changes, Given, Iv};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key_text;

/// Why a text is no key. The text itself is never repeated: it may be one, nearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Not 16 or 32 bytes in hexadecimal or base64.
    #[error("a key is 16 or 32 bytes, in hexadecimal or base64")]
    Key,
    /// What stands before the colon is no key identifier.
    #[error("a key identifier (KID) is 16 bytes in hexadecimal")]
    Kid,
    /// What belongs to a key identifier is no 16 bytes.
    #[error("the key of a KID is 16 bytes, in hexadecimal or base64")]
    KidKey,
    /// Not 16 bytes in hexadecimal.
    #[error("an initialization vector is 16 bytes in hexadecimal")]
    Iv,
}

/// Keys of the user, which go before those that a playlist names.
///
/// ```
/// use aqueduct_decrypt::UserKeys;
///
/// let mut keys = UserKeys::new();
/// keys.add("2b7e151628aed2a6abf7158809cf4f3c")?;
/// keys.add("eb676abb-cb34-5e96-bbcf-616630f1a3da:100b6c20940f779a4589152b57d2dacb")?;
/// keys.set_iv("0x14")?;
/// # Ok::<(), aqueduct_decrypt::KeyTextError>(())
/// ```
#[derive(Clone, Default)]
pub struct UserKeys {
    plain: Vec<Zeroizing<Vec<u8>>>,
    by_kid: Vec<([u8; 16], Zeroizing<[u8; 16]>)>,
    iv: Option<Iv>,
}

impl UserKeys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a key as text: `KEY` for whatever is encrypted, or `KID:KEY` for what bears this key identifier
    /// (ISO 23001-7, 8.2). A key is in hexadecimal or base64, a KID in hexadecimal, with or without dashes.
    ///
    /// # Errors
    ///
    /// [`KeyTextError`], when it is neither.
    pub fn add(&mut self, text: &str) -> Result<(), KeyTextError> {
        match text.split_once(':') {
            None => {
                let key = key_text::decode(text.as_bytes(), |length| matches!(length, 16 | 32)).ok_or(KeyTextError::Key)?;
                self.plain.push(key);
            }
            Some((kid, key)) => {
                let kid: String = kid.chars().filter(|char| *char != '-').collect();
                let kid = key_text::decode_hex(kid.as_bytes()).and_then(|kid| <[u8; 16]>::try_from(&kid[..]).ok());
                let kid = kid.ok_or(KeyTextError::Kid)?;
                let key = key_text::decode(key.as_bytes(), |length| length == 16).ok_or(KeyTextError::KidKey)?;
                let key = <[u8; 16]>::try_from(&key[..]).map_err(|_| KeyTextError::KidKey)?;
                self.by_kid.push((kid, Zeroizing::new(key)));
            }
        }
        Ok(())
    }

    /// Takes the content of a key file: 16 or 32 bytes as they are, or lines of text, each as for
    /// [`add`](Self::add); empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    ///
    /// [`KeyTextError`], when it is neither.
    pub fn add_file(&mut self, content: &[u8]) -> Result<(), KeyTextError> {
        // Sixteen digits are no key in hexadecimal, but 32 are.
        let digits = content.len() == 32 && content.iter().all(u8::is_ascii_hexdigit);
        if matches!(content.len(), 16 | 32) && !digits {
            self.plain.push(Zeroizing::new(content.to_vec()));
            return Ok(());
        }
        let text = std::str::from_utf8(content).map_err(|_| KeyTextError::Key)?;
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .peekable();
        if lines.peek().is_none() {
            return Err(KeyTextError::Key);
        }
        lines.try_for_each(|line| self.add(line))
    }

    /// Sets the initialization vector, in hexadecimal with or without `0x`, in place of every one that a playlist
    /// names or implies. Fewer than 32 digits are the low ones of a number, as in the IV attribute
    /// (RFC 8216, 4.3.2.4).
    ///
    /// # Errors
    ///
    /// [`KeyTextError::Iv`], when it is none.
    pub fn set_iv(&mut self, text: &str) -> Result<(), KeyTextError> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let whole = digits.len() <= 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let iv = u128::from_str_radix(digits, 16).ok().filter(|_| whole).ok_or(KeyTextError::Iv)?;
        self.iv = Some(Iv(iv.to_be_bytes()));
        Ok(())
    }

    /// Whether there is neither a key nor an IV.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_kid.is_empty() && self.iv.is_none()
    }

    /// The key of this length for whatever is encrypted: the last that was added.
    pub(crate) fn plain(&self, length: usize) -> Option<&[u8]> {
        let key = self.plain.iter().rev().find(|key| key.len() == length)?;
        Some(key)
    }

    /// The key of a key identifier.
    pub(crate) fn by_kid(&self, kid: &[u8; 16]) -> Option<&[u8; 16]> {
        self.by_kid.iter().rev().find(|(known, _)| known == kid).map(|(_, key)| &**key)
    }

    pub(crate) fn has_kids(&self) -> bool {
        !self.by_kid.is_empty()
    }

    pub(crate) fn iv(&self) -> Option<Iv> {
        self.iv
    }

    /// The keys that can take effect, and the IV, as they can be told to anybody.
    pub(crate) fn given(&self, salt: &[u8; 16]) -> Vec<Given> {
        let told = |name: String, key: &[u8], changes| {
            let value = fingerprint(salt, &name, key);
            Given::new(name, value, changes)
        };
        let plain = [16, 32]
            .into_iter()
            .filter_map(|length| Some(told(format!("a key of {length} bytes"), self.plain(length)?, Changes::Encrypted)));
        let kids: BTreeSet<_> = self.by_kid.iter().map(|(kid, _)| kid).collect();
        let by_kid = kids.into_iter().filter_map(|kid| {
            let name = format!("a key for the KID {:032x}", u128::from_be_bytes(*kid));
            Some(told(name, self.by_kid(kid)?, Changes::Locked))
        });
        let iv = self.iv.map(|iv| Given::new("an IV", format!("{iv:?}"), Changes::Encrypted));
        plain.chain(by_kid).chain(iv).collect()
    }
}

/// What tells a key from others without telling the key: the beginning of a salted SHA-256, in hexadecimal.
fn fingerprint(salt: &[u8; 16], name: &str, key: &[u8]) -> String {
    let digest = Sha256::new()
        .chain_update(salt)
        .chain_update(name)
        .chain_update([0])
        .chain_update(key)
        .finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for UserKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserKeys")
            .field("plain", &self.plain.len())
            .field("by_kid", &self.by_kid.len())
            .field("iv", &self.iv)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "2b7e151628aed2a6abf7158809cf4f3c";
    const BASE64: &str = "K34VFiiu0qar9xWICc9PPA==";
    const KID: &str = "eb676abbcb345e96bbcf616630f1a3da";

    #[test]
    fn each_way_to_write_a_key_is_read() {
        let key = u128::from_str_radix(HEX, 16).unwrap().to_be_bytes();
        for text in [HEX, BASE64, " 0x2B7E151628AED2A6ABF7158809CF4F3C\n"] {
            let mut keys = UserKeys::new();
            keys.add(text).unwrap();
            assert_eq!(keys.plain(16), Some(&key[..]), "{text}");
            assert_eq!(keys.plain(32), None);
        }
        let kid = u128::from_str_radix(KID, 16).unwrap().to_be_bytes();
        for text in [format!("{KID}:{HEX}"), format!("EB676ABB-CB34-5E96-BBCF-616630F1A3DA:{BASE64}")] {
            let mut keys = UserKeys::new();
            keys.add(&text).unwrap();
            assert_eq!((keys.by_kid(&kid), keys.plain(16)), (Some(&key), None), "{text}");
        }
        for content in [
            &key[..],
            HEX.as_bytes(),
            format!("# mine\n\n{BASE64}\r\n").as_bytes(),
            // As editors of Windows write it.
            format!("\u{feff}{HEX}\r\n").as_bytes(),
        ] {
            let mut keys = UserKeys::new();
            keys.add_file(content).unwrap();
            assert_eq!(keys.plain(16), Some(&key[..]));
        }
        let mut keys = UserKeys::new();
        keys.set_iv("0x14").unwrap();
        assert_eq!(keys.iv(), Some(Iv::from_media_sequence_number(0x14)));
    }

    #[test]
    fn keys_are_told_apart_without_being_told() {
        let given = |keys: &[&str], salt| {
            let mut user = UserKeys::new();
            keys.iter().for_each(|key| user.add(key).unwrap());
            user.given(&[salt; 16])
        };
        let by_kid = format!("{KID}:{HEX}");
        let one = given(&[HEX, &by_kid], 1);
        assert_eq!(one, given(&[BASE64, &by_kid], 1), "however it is written");
        assert_eq!(one.len(), 2);
        assert_eq!((one[0].changes, one[1].changes), (Changes::Encrypted, Changes::Locked));
        let other = given(&[KID, &by_kid], 1);
        assert!(one[0].name == other[0].name && one[0].value != other[0].value);
        assert_eq!(one[1], other[1]);
        assert_ne!(one, given(&[HEX, &by_kid], 2), "each journal tells them in its own way");
        // printf '\x01%.0s' {1..16} | cat - <(printf 'a key of 16 bytes\0') <(printf $HEX | xxd -r -p) | sha256sum | cut -c1-32
        assert_eq!(one[0].value, "48019f9a478f8535f6f19afd5d2aceef");
        assert!(!format!("{one:?}").contains(HEX));
        assert_eq!(given(&[KID, HEX], 1), given(&[HEX], 1), "the last one counts");
    }

    #[test]
    fn what_is_no_key_is_refused_and_nothing_is_ever_printed() {
        let mut keys = UserKeys::new();
        for (text, error) in [
            ("", KeyTextError::Key),
            ("secret", KeyTextError::Key),
            ("2b7e1516", KeyTextError::Key),
            (":", KeyTextError::Kid),
            ("abc:2b7e151628aed2a6abf7158809cf4f3c", KeyTextError::Kid),
            ("eb676abbcb345e96bbcf616630f1a3da:secret", KeyTextError::KidKey),
        ] {
            assert_eq!(keys.add(text), Err(error), "{text}");
        }
        for iv in ["", "0x", "+1", "xyz", "000000000000000000000000000000000"] {
            assert_eq!(keys.set_iv(iv), Err(KeyTextError::Iv), "{iv}");
        }
        assert_eq!(keys.add_file(b"# none\n"), Err(KeyTextError::Key));
        assert_eq!(keys.add_file(&[0xff; 17]), Err(KeyTextError::Key));
        assert!(keys.is_empty());
        keys.add(HEX).unwrap();
        assert_eq!(format!("{keys:?}"), "UserKeys { plain: 1, by_kid: 0, iv: None }");
    }
}
