//! The bundled decrypter.

use std::fmt;
use std::sync::Arc;

use aes::cipher::KeyInit;
use aes::{Aes128, Aes256};
use aqueduct_core::{Changes, Decrypt, DecryptError, Encryption, Given, Iv, Resource};
use bytes::{Buf, BytesMut};
use zeroize::Zeroizing;

use crate::cenc::{Fragments, Pieces, Protected, Scheme};
use crate::chain::Chains;
use crate::disguise::Disguise;
use crate::media::{self, Format};
use crate::sample::{self, Ts};
use crate::whole::{self, Padding};
use crate::{Method, UserKeys, Warning, disguise, gzip, key_text, method};

/// Warnings that are kept: a server may rotate its keys for ever.
const WARNINGS: usize = 64;

/// Decrypts what a clear key opens: METHOD=AES-128 and SAMPLE-AES (RFC 8216, 4.3.2.4), SAMPLE-AES-CTR (rfc8216bis,
/// 4.4.4.4), AES-256-GCM (4.4.4.4), AES-256 and AES-256-CTR.
///
/// For fragmented MP4 it must see the initialization section first, under whatever encryption the playlist names for
/// it. It takes pictures and web pages off that stand in front of the media, and keeps the key schedule of the last
/// key, since most streams have one key for all their segments.
#[derive(Clone, Default)]
pub struct ClearKey {
    user: Arc<UserKeys>,
    method: Option<Method>,
    schedules: Schedules,
    fragments: Fragments,
    file: File,
    ts: Ts,
    chains: Chains,
    warnings: Vec<Warning>,
}

impl ClearKey {
    /// A decrypter that has seen no key yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts keys of the user before those that a playlist names. A key that the user holds is not fetched.
    #[must_use]
    pub fn with_keys(mut self, keys: UserKeys) -> Self {
        self.user = Arc::new(keys);
        self
    }

    /// Decrypts by `method`, whatever a playlist says. What is media already stays as it is.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// What was odd and went well all the same, each once. The log has it too.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&warning) {
            tracing::warn!("{warning}");
            self.warnings.push(warning);
        }
    }

    /// A whole segment.
    fn whole(&mut self, encryption: &Encryption, mode: Mode, fetched: &[u8], mut bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        if is_clear(&bytes) {
            self.warn(Warning::NotEncrypted);
            return self.undisguised(bytes);
        }
        let key = self.usable(encryption, mode.key_length(), fetched)?;
        self.take_off(disguise::ends_before_blocks(&bytes, mode.block()), &mut bytes);
        let padding = match mode {
            Mode::Cbc128 => whole::decrypt(self.schedules.aes128(&key)?, self.iv(encryption)?, &mut bytes)?,
            Mode::Cbc256 => whole::decrypt(self.schedules.aes256(&key)?, self.iv(encryption)?, &mut bytes)?,
            Mode::Ctr256 => {
                whole::ctr(self.schedules.aes256(&key)?, self.iv(encryption)?, &mut bytes);
                Padding::Removed
            }
            Mode::Gcm256 => {
                whole::gcm(self.schedules.aes256(&key)?, &mut bytes)?;
                Padding::Removed
            }
        };
        if padding == Padding::Missing {
            let url = encryption.key().map(|key| key.url.clone());
            self.warn(Warning::Unpadded { url });
        }
        let bytes = self.opened(bytes)?;
        if mode == Mode::Ctr256 {
            is_media(&bytes, "AES-256-CTR")?;
        }
        Ok(bytes)
    }

    /// A whole segment by the method that the user chose.
    fn chosen(&mut self, method: Method, encryption: &Encryption, fetched: &[u8], mut bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        if is_clear(&bytes) {
            if !matches!(encryption, Encryption::None) {
                self.warn(Warning::NotEncrypted);
            }
            return self.undisguised(bytes);
        }
        let length = method.key_length();
        if encryption.key().is_none() && self.user.plain(length).is_none() {
            let kids = vec![format!("{method}: it takes one of {length} bytes")];
            return Err(DecryptError::NoKey { kids });
        }
        let key = self.usable(encryption, length, fetched)?;
        self.take_off(disguise::ends_before_blocks(&bytes, method.block()), &mut bytes);
        match (method, <&[u8; KEY_256]>::try_from(&key[..])) {
            (Method::ChaCha20, Ok(key)) => method::chacha20(key, self.iv(encryption)?, &mut bytes)?,
            _ => {
                if method::ecb(&self.schedules.aes128(&key)?, &mut bytes)? == Padding::Missing {
                    self.warn(Warning::Unpadded { url: None });
                }
            }
        }
        let bytes = self.opened(bytes)?;
        is_media(&bytes, method)?;
        Ok(bytes)
    }

    /// Single samples.
    fn samples(&mut self, encryption: &Encryption, scheme: Scheme, fetched: &[u8], bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        let mut bytes = self.undisguised(bytes)?;
        let format = media::format(&bytes);
        match format {
            Some(Format::Fmp4) => return self.fragments(encryption, Some(scheme), fetched, bytes),
            // Text has no samples.
            Some(Format::WebVtt) => return Ok(bytes),
            Some(Format::Ts | Format::PackedAudio) if scheme == Scheme::Cbcs => {}
            Some(Format::Ts | Format::PackedAudio) => {
                return Err(DecryptError::Media {
                    what: "counter mode is for fragmented MP4, and this is not".to_owned(),
                });
            }
            None => {
                return Err(DecryptError::Media {
                    what: "neither MPEG-TS nor fragmented MP4 nor packed audio".to_owned(),
                });
            }
        }
        let key = self.usable(encryption, KEY_128, fetched)?;
        // A segment always has one. An initialization section has no samples, only tables.
        let iv = self.user.iv().or(encryption.iv()).unwrap_or(Iv([0; 16]));
        let cipher = self.schedules.aes128(&key)?;
        match format {
            Some(Format::Ts) => self.ts.decrypt(&mut bytes, &cipher, iv.0, &mut self.chains)?,
            _ => sample::decrypt_packed(&mut bytes, &cipher, iv.0, &mut self.chains),
        }
        Ok(bytes)
    }

    /// Fragmented MP4, where the initialization section tells what is protected.
    fn fragments(
        &mut self,
        encryption: &Encryption,
        scheme: Option<Scheme>,
        fetched: &[u8],
        bytes: BytesMut,
    ) -> Result<BytesMut, DecryptError> {
        let key = match fetched {
            [] => None,
            _ => Some(self.usable(encryption, KEY_128, fetched)?),
        };
        let iv = self.user.iv().or(encryption.iv());
        let Self {
            user,
            schedules,
            fragments,
            ..
        } = self;
        let fetched = key.as_ref().map(|key| &key[..]);
        let mut cipher = |kid: &[u8; 16], scheme| schedules.of_kid(user, fetched, kid, scheme);
        fragments.decrypt(
            bytes,
            &mut Protected {
                scheme,
                told: scheme.is_some(),
                in_place: false,
                iv,
                cipher: &mut cipher,
            },
        )
    }

    /// A piece of a plain MP4 under keys of the user.
    fn boxes(&mut self, bytes: BytesMut, pieces: &mut Pieces) -> Result<BytesMut, DecryptError> {
        let Self {
            user,
            schedules,
            fragments,
            ..
        } = self;
        let mut cipher = |kid: &[u8; 16], scheme| schedules.of_kid(user, None, kid, scheme);
        pieces.next(
            bytes,
            fragments,
            &mut Protected {
                scheme: None,
                told: false,
                in_place: true,
                iv: user.iv(),
                cipher: &mut cipher,
            },
        )
    }

    /// Whether the user holds a key that may open samples.
    fn holds_any(&self) -> bool {
        self.user.plain(KEY_128).is_some() || self.user.has_kids()
    }

    /// Takes off what stands in front of the media, and inflates what it hid.
    fn undisguised(&mut self, mut bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        match disguise::ends(&bytes) {
            None => Ok(bytes),
            found => {
                self.take_off(found, &mut bytes);
                self.inflated(bytes)
            }
        }
    }

    /// The same for what was decrypted, which may be compressed without a disguise too.
    fn opened(&mut self, bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        let bytes = self.undisguised(bytes)?;
        self.inflated(bytes)
    }

    fn take_off(&mut self, found: Option<Disguise>, bytes: &mut BytesMut) {
        if let Some(Disguise { name, length }) = found {
            self.warn(Warning::Disguised { name });
            bytes.advance(length);
        }
    }

    fn inflated(&mut self, bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        if !gzip::holds_media(&bytes) {
            return Ok(bytes);
        }
        self.warn(Warning::Compressed);
        gzip::inflate(&bytes)
    }

    /// The key for `encryption`: the user's, or what was fetched, decoded where a server sends it as text.
    fn usable(&mut self, encryption: &Encryption, length: usize, fetched: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        if let Some(key) = self.user.plain(length) {
            return Ok(Zeroizing::new(key.to_vec()));
        }
        let Some(address) = encryption.key() else {
            return Err(unsupported(encryption));
        };
        if fetched.len() == length {
            return Ok(Zeroizing::new(fetched.to_vec()));
        }
        match key_text::decode(fetched, |decoded| decoded == length) {
            Some(key) => {
                self.warn(Warning::KeyAsText { url: address.url.clone() });
                Ok(key)
            }
            None => Err(DecryptError::KeyLength {
                url: address.url.clone(),
                length: fetched.len(),
                expected: length,
                hint: looks_like(fetched),
            }),
        }
    }

    fn iv(&self, encryption: &Encryption) -> Result<Iv, DecryptError> {
        self.user.iv().or(encryption.iv()).ok_or(DecryptError::NoIv)
    }

    /// Whether a key of the user takes the place of the one that `encryption` names.
    fn holds(&self, encryption: &Encryption) -> bool {
        if let Some(method) = self.method {
            return self.user.plain(method.key_length()).is_some();
        }
        match task(encryption) {
            Some(Task::Whole(mode)) => self.user.plain(mode.key_length()).is_some(),
            Some(Task::Samples(_)) => self.user.plain(KEY_128).is_some() || self.holds_kids(),
            None => false,
        }
    }
}

impl ClearKey {
    /// Whether the user has a key for each key identifier of the initialization section.
    fn holds_kids(&self) -> bool {
        let mut kids = self.fragments.kids().peekable();
        kids.peek().is_some() && kids.all(|kid| self.user.by_kid(kid).is_some())
    }
}

impl fmt::Debug for ClearKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClearKey")
            .field("user", &self.user)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

impl Decrypt for ClearKey {
    fn key<'a>(&self, encryption: &'a Encryption) -> Option<&'a Resource> {
        encryption.key().filter(|_| !self.holds(encryption))
    }

    fn key_ahead<'a>(&self, encryption: &'a Encryption) -> Option<&'a Resource> {
        // Which key identifiers there are, the initialization section tells.
        let told_later = self.user.has_kids() && matches!(task(encryption), Some(Task::Samples(_)));
        self.key(encryption).filter(|_| !told_later)
    }

    fn given(&self, salt: &[u8; 16]) -> Vec<Given> {
        // It is tried on every segment, whatever the playlist says.
        let method = self
            .method
            .map(|method| Given::new("a method of the user's", method.to_string(), Changes::All));
        self.user.given(salt).into_iter().chain(method).collect()
    }

    fn decrypt(&mut self, encryption: &Encryption, key: &[u8], bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        if let Some(method) = self.method {
            return self.chosen(method, encryption, key, bytes);
        }
        if matches!(encryption, Encryption::None) {
            let bytes = self.undisguised(bytes)?;
            return match media::format(&bytes) {
                // An initialization section may stand before the key of its segments, and a key of the user opens
                // what no playlist speaks of.
                Some(Format::Fmp4) => self.fragments(encryption, None, &[], bytes),
                _ => Ok(bytes),
            };
        }
        match task(encryption) {
            Some(Task::Samples(_)) if encryption.key().is_none() && !self.holds_any() => Err(unsupported(encryption)),
            Some(Task::Samples(scheme)) => self.samples(encryption, scheme, key, bytes),
            Some(Task::Whole(mode)) => self.whole(encryption, mode, key, bytes),
            None => Err(unsupported(encryption)),
        }
    }

    fn decrypt_piece(&mut self, bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        if self.method.is_some() {
            return self.decrypt(&Encryption::None, &[], bytes);
        }
        match std::mem::take(&mut self.file) {
            File::Mp4(mut pieces) => {
                let opened = self.boxes(bytes, &mut pieces);
                self.file = File::Mp4(pieces);
                opened
            }
            File::ToCome => {
                let bytes = self.undisguised(bytes)?;
                if !self.holds_any() || media::format(&bytes) != Some(Format::Fmp4) {
                    self.file = File::Other;
                    return Ok(bytes);
                }
                self.file = File::Mp4(Box::default());
                self.decrypt_piece(bytes)
            }
            File::Other => {
                self.file = File::Other;
                Ok(bytes)
            }
        }
    }

    fn end_of_file(&mut self) -> Result<(), DecryptError> {
        match &self.file {
            File::Mp4(pieces) => pieces.end(),
            File::ToCome | File::Other => Ok(()),
        }
    }
}

/// A plain file that comes in pieces.
#[derive(Clone, Default)]
enum File {
    #[default]
    ToCome,
    /// An MP4, and a key of the user that may open it.
    Mp4(Box<Pieces>),
    Other,
}

/// Bytes of an AES key (FIPS 197, 5).
const KEY_128: usize = 16;
const KEY_256: usize = 32;

/// How the whole of a segment is encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Cbc128,
    Cbc256,
    Ctr256,
    Gcm256,
}

impl Mode {
    /// Bytes that only come together.
    fn block(self) -> usize {
        match self {
            Self::Cbc128 | Self::Cbc256 => whole::BLOCK,
            Self::Ctr256 | Self::Gcm256 => 1,
        }
    }

    fn key_length(self) -> usize {
        match self {
            Self::Cbc128 => KEY_128,
            Self::Cbc256 | Self::Ctr256 | Self::Gcm256 => KEY_256,
        }
    }
}

/// What is to be done, whoever holds the key.
enum Task {
    /// The whole is encrypted.
    Whole(Mode),
    /// Single samples; in fragmented MP4 by this scheme where it names none itself.
    Samples(Scheme),
}

fn task(encryption: &Encryption) -> Option<Task> {
    match encryption {
        Encryption::Aes128 { .. } => Some(Task::Whole(Mode::Cbc128)),
        Encryption::Aes256 { .. } => Some(Task::Whole(Mode::Cbc256)),
        Encryption::Aes256Ctr { .. } => Some(Task::Whole(Mode::Ctr256)),
        Encryption::Aes256Gcm { .. } => Some(Task::Whole(Mode::Gcm256)),
        Encryption::SampleAes { .. } => Some(Task::Samples(Scheme::Cbcs)),
        Encryption::SampleAesCtr { .. } => Some(Task::Samples(Scheme::Cenc)),
        Encryption::Other { keys, .. } => keys.iter().find_map(|(method, _)| match method.as_str() {
            "AES-128" => Some(Task::Whole(Mode::Cbc128)),
            "AES-256" => Some(Task::Whole(Mode::Cbc256)),
            "AES-256-CTR" => Some(Task::Whole(Mode::Ctr256)),
            "AES-256-GCM" => Some(Task::Whole(Mode::Gcm256)),
            "SAMPLE-AES" => Some(Task::Samples(Scheme::Cbcs)),
            "SAMPLE-AES-CTR" => Some(Task::Samples(Scheme::Cenc)),
            _ => None,
        }),
        _ => None,
    }
}

/// Whether these are media in the clear, disguised or not: ciphertext looks like that once in more segments than there
/// are.
fn is_clear(bytes: &[u8]) -> bool {
    media::ends_whole(bytes) || media::format(bytes) == Some(Format::WebVtt) || disguise::ends(bytes).is_some()
}

/// A stream cipher opens with any key: what came out has to show that it was the right one.
fn is_media(bytes: &[u8], method: impl fmt::Display) -> Result<(), DecryptError> {
    match media::format(bytes) {
        Some(_) => Ok(()),
        None => Err(DecryptError::Media {
            what: format!("what {method} makes of it is no media: the key, the IV or the method does not fit"),
        }),
    }
}

fn kid_text(kid: &[u8; 16], scheme: Scheme) -> String {
    format!("KID {:032x} ({})", u128::from_be_bytes(*kid), scheme.name())
}

fn unsupported(encryption: &Encryption) -> DecryptError {
    let keys = match encryption {
        Encryption::Other { keys, .. } => keys.to_vec(),
        _ => Vec::new(),
    };
    DecryptError::Unsupported { keys }
}

/// Key schedules of the last keys. The ciphers wipe themselves.
#[derive(Clone, Default)]
struct Schedules {
    aes128: Option<(Zeroizing<[u8; KEY_128]>, Aes128)>,
    aes256: Option<(Zeroizing<[u8; KEY_256]>, Aes256)>,
}

impl Schedules {
    fn aes128(&mut self, key: &[u8]) -> Result<Aes128, DecryptError> {
        schedule(&mut self.aes128, key)
    }

    fn aes256(&mut self, key: &[u8]) -> Result<Aes256, DecryptError> {
        schedule(&mut self.aes256, key)
    }
}

impl Schedules {
    /// The cipher for a key identifier: the user's for it, the user's for whatever is encrypted, or what was fetched.
    fn of_kid(&mut self, user: &UserKeys, fetched: Option<&[u8]>, kid: &[u8; 16], scheme: Scheme) -> Result<Aes128, DecryptError> {
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

fn looks_like(key: &[u8]) -> &'static str {
    let text = key.trim_ascii();
    if text.is_empty() {
        ": an empty answer"
    } else if text.starts_with(b"<") {
        ": it looks like a web page or XML, perhaps an error or a login page"
    } else if text.starts_with(b"{") {
        ": it looks like JSON"
    } else if text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        ": it looks like text, but not like a key in hexadecimal or base64"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use aes::cipher::{BlockModeEncrypt, KeyIvInit};
    use aqueduct_core::Kind;
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn address() -> Resource {
        Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap())
    }

    fn aes128(iv: Option<[u8; 16]>) -> Encryption {
        let key = address();
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
            iv: None,
        };
        assert!(
            decrypt(&other, &[], &[0; 16])
                .to_string()
                .contains("METHOD=SAMPLE-AES KEYFORMAT=\"com.apple.streamingkeydelivery\"")
        );
    }

    // printf 'clear media, 256 bits' | openssl enc -aes-256-cbc -iv 00000000000000000000000000000014 \
    //     -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f | xxd -p
    const SEALED_256: &str = "5a4e71ec6c87a12d671af46992de6f2000f40cd7a679b7fbf09e64d566cee6a8";

    #[test]
    fn a_key_of_256_bits_opens_what_openssl_sealed() {
        let key: Vec<u8> = (0..32).collect();
        let encryption = Encryption::Aes256 { key: address(), iv: None };
        let opened = ClearKey::new().decrypt(&encryption.for_segment(20), &key, BytesMut::from(&hex(SEALED_256)[..]));
        assert_eq!(opened.unwrap(), &b"clear media, 256 bits"[..]);
    }

    /// Two packets of MPEG-TS that end like padding, and 8 bytes of nothing: 24 blocks.
    fn ts() -> Vec<u8> {
        let mut ts = vec![1; 4 * 188];
        ts.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        ts
    }

    fn seal(clear: &[u8], padded: bool) -> Vec<u8> {
        let mut sealed = clear.to_vec();
        if padded {
            let padding = 16 - clear.len() % 16;
            sealed.resize(clear.len() + padding, u8::try_from(padding).unwrap());
        }
        let (blocks, rest) = aes::Block::slice_as_chunks_mut(&mut sealed);
        assert!(rest.is_empty());
        cbc::Encryptor::<Aes128>::new(&[7; 16].into(), &[0; 16].into()).encrypt_blocks(blocks);
        sealed
    }

    /// Under all that the tests here use, what is decrypted stays where it is.
    #[test]
    fn bytes_are_decrypted_where_they_are() {
        let vector = |name: &str| std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (key, iv) = (address(), Some(Iv([9; 16])));
        for (encryption, sealed) in [
            (aes128(Some([0; 16])), seal(&ts(), true)),
            (Encryption::SampleAes { key: key.clone(), iv }, vector("video-sealed.ts")),
            (Encryption::SampleAes { key: key.clone(), iv }, vector("aac-sealed.aac")),
            (Encryption::SampleAes { key: key.clone(), iv }, vector("cbcs-video.mp4")),
            (Encryption::SampleAesCtr { key, iv }, vector("cens-audio.mp4")),
        ] {
            let sealed = BytesMut::from(&sealed[..]);
            let (before, length) = (sealed.as_ptr(), sealed.len());
            let opened = ClearKey::new().decrypt(&encryption, &[7; 16], sealed).unwrap();
            assert!(opened.as_ptr() == before && opened.len() <= length, "{encryption:?}");
        }
    }

    #[test]
    fn a_server_that_does_not_pad_keeps_all_its_bytes_with_a_warning() {
        let fmp4 = [&b"\0\0\0\x08styp\0\0\0\x28mdat"[..], &[3; 32]].concat();
        for clear in [ts(), fmp4] {
            let mut clear_key = ClearKey::new();
            for _ in 0..3 {
                let opened = clear_key.decrypt(&aes128(Some([0; 16])), &[7; 16], BytesMut::from(&seal(&clear, false)[..]));
                assert_eq!(opened.unwrap(), clear);
            }
            let url = Some(address().url);
            assert_eq!(clear_key.warnings(), [Warning::Unpadded { url }]);
            let mut clear_key = ClearKey::new();
            let opened = clear_key.decrypt(&aes128(Some([0; 16])), &[7; 16], BytesMut::from(&seal(&clear, true)[..]));
            assert_eq!(opened.unwrap(), clear);
            assert_eq!(clear_key.warnings(), []);
        }
    }

    #[test]
    fn a_key_that_comes_as_text_is_decoded_with_a_warning() {
        for key in ["07070707070707070707070707070707\n", "BwcHBwcHBwcHBwcHBwcHBw=="] {
            let mut clear_key = ClearKey::new();
            let opened = clear_key.decrypt(&aes128(Some([0; 16])), key.as_bytes(), BytesMut::from(&seal(b"media", true)[..]));
            assert_eq!(opened.unwrap(), &b"media"[..]);
            assert_eq!(clear_key.warnings(), [Warning::KeyAsText { url: address().url }]);
        }
    }

    #[test]
    fn a_picture_is_taken_off_before_and_after_decryption() {
        let gif = b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        let clear = ts();
        let disguised = [&gif[..], &clear].concat();
        let mut clear_key = ClearKey::new();
        for (name, encryption, bytes) in [
            ("in the clear", Encryption::None, disguised.clone()),
            ("before decryption", aes128(Some([0; 16])), [&gif[..], &seal(&clear, true)].concat()),
            ("after decryption", aes128(Some([0; 16])), seal(&disguised, true)),
            ("not encrypted at all", aes128(Some([0; 16])), disguised),
        ] {
            let opened = clear_key.decrypt(&encryption, &[7; 16], BytesMut::from(&bytes[..]));
            assert_eq!(opened.unwrap(), clear, "{name}");
        }
        assert_eq!(clear_key.warnings(), [Warning::Disguised { name: "GIF" }, Warning::NotEncrypted]);
    }

    #[test]
    fn a_key_of_the_user_goes_first_and_is_not_fetched() {
        let mut keys = UserKeys::new();
        keys.add("07070707070707070707070707070707").unwrap();
        let mut clear_key = ClearKey::new().with_keys(keys.clone());
        let other = Encryption::Other {
            keys: [("AES-128".to_owned(), "com.example".to_owned())].into(),
            iv: None,
        };
        for encryption in [aes128(Some([0; 16])), other.for_segment(0)] {
            assert_eq!(clear_key.key(&encryption), None);
            let opened = clear_key.decrypt(&encryption, &[], BytesMut::from(&seal(b"media", true)[..]));
            assert_eq!(opened.unwrap(), &b"media"[..]);
        }
        let aes256 = Encryption::Aes256 { key: address(), iv: None };
        assert!(clear_key.key(&aes256).is_some(), "that key is too short");
        keys.set_iv("0").unwrap();
        let opened = ClearKey::new()
            .with_keys(keys)
            .decrypt(&aes128(Some([9; 16])), &[], BytesMut::from(&seal(b"media", true)[..]));
        assert_eq!(opened.unwrap(), &b"media"[..], "and so does the IV");
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
                let padding = 16 - clear.len() % 16;
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
