//! The bundled decrypter.

mod schedules;
mod task;

use std::fmt;
use std::sync::Arc;

use aqueduct_core::{Changes, Decrypt, DecryptError, Encryption, Given, Iv, PaddedKeys, Resource, SafeUrl};
use bytes::{Buf, BytesMut};
use zeroize::Zeroizing;

use self::schedules::Schedules;
use self::task::{KEY_128, KEY_256, Mode, Task, task};
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
    /// What is there of a segment that came cut short is of use; and whether the last one did.
    keeps_cut: bool,
    cut: bool,
    /// The key under which the last segment lay that had a whole block of padding; and whether the last of all did.
    padded: Option<SafeUrl>,
    is_padded: bool,
    /// What earlier runs have seen of that.
    expected: Option<PaddedKeys>,
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
        let length = bytes.len();
        let cut = self.keeps_cut && whole::leave_blocks(&mut bytes, mode.block());
        let padding = match mode {
            // Padding ends a segment, and the end of this one is not there.
            Mode::Cbc128 if cut => whole::decrypt_part(self.schedules.aes128(&key)?, self.iv(encryption)?, &mut bytes),
            Mode::Cbc256 if cut => whole::decrypt_part(self.schedules.aes256(&key)?, self.iv(encryption)?, &mut bytes),
            Mode::Cbc128 => whole::decrypt(self.schedules.aes128(&key)?, self.iv(encryption)?, &mut bytes)?,
            Mode::Cbc256 => whole::decrypt(self.schedules.aes256(&key)?, self.iv(encryption)?, &mut bytes)?,
            Mode::Ctr256 => {
                whole::ctr(self.schedules.aes256(&key)?, self.iv(encryption)?, &mut bytes);
                Padding::Unknown
            }
            Mode::Gcm256 => {
                whole::gcm(self.schedules.aes256(&key)?, &mut bytes)?;
                Padding::Unknown
            }
        };
        let cut = cut || self.lacks_padding(encryption, padding)?;
        let bytes = self.opened(bytes)?;
        if cut && media::format(&bytes).is_none() {
            return Err(DecryptError::Length { length });
        }
        self.cut = cut;
        if mode == Mode::Ctr256 {
            is_media(&bytes, "AES-256-CTR")?;
        }
        Ok(bytes)
    }

    /// Whether a segment ends without padding though the server pads all under its key, as a whole block of it shows: who pads only to
    /// fill a block adds less. Such a segment was cut short between two blocks, and its media may end between two packets.
    fn lacks_padding(&mut self, encryption: &Encryption, padding: Padding) -> Result<bool, DecryptError> {
        let url = encryption.key().map(|key| &key.url);
        match padding {
            Padding::Removed(whole::BLOCK) => {
                self.padded = url.cloned();
                self.is_padded = url.is_some();
            }
            Padding::Missing if url.is_some_and(|url| self.is_padded_under(url)) => {
                return if self.keeps_cut { Ok(true) } else { Err(DecryptError::Unpadded) };
            }
            Padding::Missing => self.warn(Warning::Unpadded { url: url.cloned() }),
            Padding::Removed(_) | Padding::Unknown => {}
        }
        Ok(false)
    }

    fn is_padded_under(&self, url: &SafeUrl) -> bool {
        self.padded.as_ref() == Some(url) || self.expected.as_ref().is_some_and(|expected| expected(url))
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
    fn boxes(&mut self, bytes: BytesMut, pieces: &mut Pieces, last: bool) -> Result<BytesMut, DecryptError> {
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
            last,
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

    fn keep_cut(&mut self, keeps: bool) {
        self.keeps_cut = keeps;
    }

    fn take_cut(&mut self) -> bool {
        std::mem::take(&mut self.cut)
    }

    fn take_padded(&mut self) -> bool {
        std::mem::take(&mut self.is_padded)
    }

    fn expect_padding(&mut self, under: PaddedKeys) {
        self.expected = Some(under);
    }

    fn decrypt(&mut self, encryption: &Encryption, key: &[u8], bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        self.cut = false;
        self.is_padded = false;
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
                let opened = self.boxes(bytes, &mut pieces, false);
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

    fn holds_back(&self) -> bool {
        matches!(&self.file, File::Mp4(pieces) if pieces.holds_back())
    }

    fn end_of_file(&mut self) -> Result<BytesMut, DecryptError> {
        match std::mem::take(&mut self.file) {
            File::Mp4(mut pieces) => {
                let rest = self.boxes(BytesMut::new(), &mut pieces, true);
                self.file = File::Mp4(pieces);
                rest
            }
            other => {
                self.file = other;
                Ok(BytesMut::new())
            }
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

fn unsupported(encryption: &Encryption) -> DecryptError {
    let keys = match encryption {
        Encryption::Other { keys, .. } => keys.to_vec(),
        _ => Vec::new(),
    };
    DecryptError::Unsupported { keys }
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
mod tests;
