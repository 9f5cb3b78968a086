//! Keys and the Media Initialization Section (rfc8216bis, 4.4.4.4 and 4.4.4.5).

use std::borrow::Cow;
use std::sync::Arc;

use crate::attributes::{Attribute, AttributeReader};
use crate::error::PlaylistError;
use crate::segment::ByteRange;
use crate::uri::Uri;
use crate::warning::WarningKind;

/// The `KEYFORMAT` of a key that is 16 plain bytes behind its URI, and the default.
const IDENTITY: &str = "identity";

/// How Media Segments are encrypted: `METHOD` of `EXT-X-KEY` and `EXT-X-SESSION-KEY` (rfc8216bis, 4.4.4.4).
///
/// `NONE` is not among them: where it is in force there is no key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `AES-128`: whole segments in AES-128 CBC with PKCS #7 padding.
    Aes128,
    /// `AES-256`: whole segments in AES-256 CBC. Not in the specification, but in use.
    Aes256,
    /// `AES-256-CTR`: whole segments in AES-256 CTR. Not in the specification, but in use.
    Aes256Ctr,
    /// `AES-256-GCM`: whole segments in AES-256 GCM, each with its IV in front and its authentication tag behind.
    Aes256Gcm,
    /// `SAMPLE-AES`: single samples in AES-128 CBC; in fragmented MP4 this is `cbcs`.
    SampleAes,
    /// `SAMPLE-AES-CTR`: single samples in AES-128 CTR; in fragmented MP4 this is `cenc`.
    SampleAesCtr,
    /// Any other name. Empty if the tag had no `METHOD`.
    Other(Box<str>),
}

impl Method {
    fn new(name: &str) -> Self {
        match name {
            "AES-128" => Self::Aes128,
            "AES-256" => Self::Aes256,
            "AES-256-CTR" => Self::Aes256Ctr,
            "AES-256-GCM" => Self::Aes256Gcm,
            "SAMPLE-AES" => Self::SampleAes,
            "SAMPLE-AES-CTR" => Self::SampleAesCtr,
            _ => Self::Other(name.into()),
        }
    }

    /// The name as the playlist has it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Aes128 => "AES-128",
            Self::Aes256 => "AES-256",
            Self::Aes256Ctr => "AES-256-CTR",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::SampleAes => "SAMPLE-AES",
            Self::SampleAesCtr => "SAMPLE-AES-CTR",
            Self::Other(name) => name,
        }
    }
}

/// A key that is in force, or that a Multivariant Playlist announces: `EXT-X-KEY` (rfc8216bis, 4.4.4.4) and
/// `EXT-X-SESSION-KEY` (4.4.6.5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// `METHOD`.
    pub method: Method,
    /// `URI`: where the key is, or how the DRM system names it. Every key must have one.
    pub uri: Option<Uri>,
    /// `IV`. See [`Key::iv_for`] for what holds without it.
    pub iv: Option<[u8; 16]>,
    /// `KEYFORMAT`; `identity` by default.
    pub key_format: Cow<'static, str>,
    /// `KEYFORMATVERSIONS`; none stands for version 1.
    pub key_format_versions: Vec<u64>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
}

impl Key {
    /// Whether the key is 16 plain bytes behind its URI.
    pub fn is_identity(&self) -> bool {
        self.key_format == IDENTITY
    }

    /// The initialization vector for the segment of this Media Sequence Number: `IV`, or without it the
    /// number in big-endian byte order (rfc8216bis, 5.2).
    pub fn iv_for(&self, media_sequence_number: u64) -> [u8; 16] {
        self.iv.unwrap_or_else(|| u128::from(media_sequence_number).to_be_bytes())
    }

    /// Reads the attributes of a key; `None` stands for `METHOD=NONE`.
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Option<Self>, PlaylistError> {
        reader.missing("METHOD");
        let method = reader.known("METHOD", |name| match name {
            "NONE" => Some(None),
            _ if name.is_empty() || name.contains(',') => None,
            _ => Some(Some(Method::new(name))),
        });
        let method = match method {
            Some(Some(method)) => method,
            Some(None) => return Ok(None),
            None => Method::Other(Box::default()),
        };
        let iv_at = reader.at("IV");
        let iv = reader.hex("IV")?.map(|bytes| {
            if bytes.len() != 16 {
                reader.tools.report.warn(WarningKind::IvLength, reader.line, iv_at);
            }
            let mut iv = [0; 16];
            for (to, from) in iv.iter_mut().rev().zip(bytes.iter().rev()) {
                *to = *from;
            }
            iv
        });
        let uri = reader.needed_uri("URI")?;
        if uri.is_none() {
            reader.tools.report.warn(WarningKind::KeyWithoutUri, reader.line, reader.line.text);
        }
        let key_format = match reader.string("KEYFORMAT")? {
            Some(format) if !format.is_empty() && format != IDENTITY => Cow::Owned(format),
            _ => Cow::Borrowed(IDENTITY),
        };
        let key_format_versions = reader.versions("KEYFORMATVERSIONS")?;
        let line = reader.line;
        let other = reader.rest()?;
        // What cannot be read is kept among the others. The IV of the sequence number in its place would decrypt the
        // first block of each segment to something else, and nobody would notice.
        if iv.is_none() && other.iter().any(|attribute| &*attribute.name == "IV") {
            return Err(PlaylistError::bad_value("IV", line, iv_at));
        }
        Ok(Some(Self {
            method,
            uri,
            iv,
            key_format,
            key_format_versions,
            other,
        }))
    }
}

/// A Media Initialization Section: `EXT-X-MAP` (rfc8216bis, 4.4.4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitSection {
    /// `URI`.
    pub uri: Uri,
    /// `BYTERANGE`, absolute; the whole resource without it.
    pub byte_range: Option<ByteRange>,
    /// The keys in force where the tag stands: those that the section is encrypted with, if it is at all.
    pub keys: Arc<[Key]>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
}

/// The most KEYFORMATs that can be in force at once. The specification names no bound; nobody has that many
/// DRM systems, and without one a hostile playlist could make every tag cost as much as all before it.
const MOST_FORMATS: usize = 16;

/// The keys in force while a playlist is read: one of each `KEYFORMAT`, until `METHOD=NONE`.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    shared: Arc<[Key]>,
    /// What comes to be in force instead, once somebody asks.
    changed: Option<Vec<Key>>,
    /// How many keys there are in all lists so far.
    listed: usize,
}

impl KeyRing {
    pub(crate) fn new(shared: Arc<[Key]>) -> Self {
        Self {
            shared,
            changed: None,
            listed: 0,
        }
    }

    /// Puts one tag into force.
    pub(crate) fn apply(&mut self, key: Option<Key>) -> Result<(), PlaylistError> {
        let Some(key) = key else {
            self.changed = Some(Vec::new());
            return Ok(());
        };
        if self.changed.is_none()
            && let [only] = &*self.shared
            && only.key_format == key.key_format
        {
            self.changed = Some(vec![key]);
            return Ok(());
        }
        let keys = self.changed.get_or_insert_with(|| self.shared.to_vec());
        let room = keys.len() < MOST_FORMATS;
        match keys.iter_mut().find(|k| k.key_format == key.key_format) {
            Some(held) => *held = key,
            None if room => keys.push(key),
            None => {
                return Err(PlaylistError::too_large("KEYFORMATs in force", MOST_FORMATS));
            }
        }
        Ok(())
    }

    /// The keys in force now; the same list as long as none changed. All lists together may have `most`
    /// keys: a single tag makes a list of as many as there are formats.
    pub(crate) fn shared(&mut self, most: usize) -> Result<&Arc<[Key]>, PlaylistError> {
        if let Some(keys) = self.changed.take()
            && *self.shared != *keys
        {
            self.listed = self.listed.saturating_add(keys.len());
            if self.listed > most {
                return Err(PlaylistError::too_large("keys", most));
            }
            self.shared = keys.into();
        }
        Ok(&self.shared)
    }
}
