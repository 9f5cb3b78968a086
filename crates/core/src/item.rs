//! What flows from stage to stage.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{ByteRange, Resource, SafeUrl, TrackId};

/// One unit of a track, in playlist order. `P` is what the stage before made of it: a
/// [`Resource`] to fetch, [`Sealed`](crate::Sealed) bytes or [`Clear`](crate::Clear) ones.
#[derive(Clone, Debug)]
pub enum Item<P> {
    /// A Media Initialization Section, ahead of the first segment that needs it.
    Init {
        /// What it is.
        info: Arc<InitInfo>,
        /// Its content.
        payload: P,
    },
    /// A Media Segment.
    Segment {
        /// What it is.
        info: Arc<SegmentInfo>,
        /// Its content.
        payload: P,
    },
    /// Media Segments that are not there: they take their place in the order, so that their absence is told.
    Gap {
        /// What the first of them would have been.
        info: Arc<SegmentInfo>,
        /// How many are missing in a row, 1 or more. A live window may have moved on by any number.
        segments: u64,
        /// Why they are missing.
        cause: GapCause,
    },
}

impl<P> Item<P> {
    /// The track that the item belongs to.
    pub fn track(&self) -> TrackId {
        match self {
            Self::Init { info, .. } => info.track,
            Self::Segment { info, .. } | Self::Gap { info, .. } => info.track,
        }
    }

    /// The playing time that the item stands for; zero for an initialization section.
    pub fn duration(&self) -> Duration {
        match self {
            Self::Init { .. } => Duration::ZERO,
            Self::Segment { info, .. } => info.duration,
            Self::Gap { info, segments, .. } => missing_time(info.duration, *segments),
        }
    }
}

/// The playing time of `segments` missing ones of `each`, as far as the others wait for it: an hour at most. How many there
/// are is a server's claim.
pub fn missing_time(each: Duration, segments: u64) -> Duration {
    const MOST: Duration = Duration::from_secs(60 * 60);
    let all = each.saturating_mul(u32::try_from(segments).unwrap_or(u32::MAX));
    if segments > 1 { all.min(MOST.max(each)) } else { all }
}

/// A Media Segment without its bytes (RFC 8216, section 3).
#[derive(Clone, Debug)]
pub struct SegmentInfo {
    /// The track it belongs to.
    pub track: TrackId,
    /// Media Sequence Number (4.3.3.2). For a plain file: the number of the piece.
    pub msn: u64,
    /// Discontinuity Sequence Number (4.3.3.3).
    pub discontinuity_sequence: u64,
    /// Whether `EXT-X-DISCONTINUITY` stands before it (4.3.2.3).
    pub discontinuity: bool,
    /// `EXTINF` (4.3.2.1).
    pub duration: Duration,
    /// `EXT-X-PROGRAM-DATE-TIME`, carried forward from the last segment that had it (4.3.2.6).
    pub program_date_time: Option<SystemTime>,
    /// The initialization section it needs (4.3.2.5).
    pub init: Option<InitId>,
    /// How it is encrypted (4.3.2.4).
    pub encryption: Encryption,
    /// Where it is.
    pub resource: Resource,
    /// Tags of the playlist that stand before it and are worth keeping, each a line: date ranges.
    pub tags: Arc<[String]>,
}

impl SegmentInfo {
    /// A clear segment that needs no initialization section.
    pub fn new(track: TrackId, msn: u64, duration: Duration, resource: Resource) -> Self {
        Self {
            track,
            msn,
            discontinuity_sequence: 0,
            discontinuity: false,
            duration,
            program_date_time: None,
            init: None,
            encryption: Encryption::None,
            resource,
            tags: Arc::default(),
        }
    }
}

/// A Media Initialization Section without its bytes (RFC 8216, 4.3.2.5).
#[derive(Clone, Debug)]
pub struct InitInfo {
    /// The track it belongs to.
    pub track: TrackId,
    /// Its identity.
    pub id: InitId,
    /// Media Sequence Number of the first segment that needs it.
    pub first_msn: u64,
    /// How it is encrypted: by the keys in force where its `EXT-X-MAP` stands.
    pub encryption: Encryption,
    /// Where it is.
    pub resource: Resource,
}

/// The identity of a Media Initialization Section: its URL and byte range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InitId(SafeUrl, Option<ByteRange>);

impl InitId {
    /// The identity of the initialization section at `resource`.
    pub fn of(resource: &Resource) -> Self {
        Self(resource.url.clone(), resource.range)
    }
}

/// An initialization vector, as it goes into the cipher.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Iv(pub [u8; 16]);

impl Iv {
    /// The IV of a segment whose key has none: its Media Sequence Number as a 128-bit big-endian number
    /// (RFC 8216, 5.2).
    pub fn from_media_sequence_number(msn: u64) -> Self {
        Self(u128::from(msn).to_be_bytes())
    }
}

impl fmt::Debug for Iv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:032x}", u128::from_be_bytes(self.0))
    }
}

/// How a segment or an initialization section is encrypted. Keys never travel with the data: this names
/// where the key is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encryption {
    /// Not at all.
    None,
    /// The whole in AES-128-CBC with PKCS #7 padding (RFC 8216, 4.3.2.4).
    Aes128 {
        /// Where the key is.
        key: Resource,
        /// The initialization vector; `None` for an initialization section whose key has none, which the
        /// specification forbids.
        iv: Option<Iv>,
    },
    /// The whole in AES-256-CBC with PKCS #7 padding: `METHOD=AES-256`, which is in use and not in the
    /// specification.
    Aes256 {
        /// Where the key is.
        key: Resource,
        /// As for [`Aes128`](Self::Aes128).
        iv: Option<Iv>,
    },
    /// The whole in AES-256-CTR, of which the last 64 bits of the block count: `METHOD=AES-256-CTR`, which is in use and not
    /// in the specification.
    Aes256Ctr {
        /// Where the key is.
        key: Resource,
        /// As for [`Aes128`](Self::Aes128).
        iv: Option<Iv>,
    },
    /// The whole in AES-256-GCM: `METHOD=AES-256-GCM` (rfc8216bis, 4.4.4.4). What is encrypted carries its own
    /// initialization vector.
    Aes256Gcm {
        /// Where the key is.
        key: Resource,
    },
    /// Single samples in AES-128-CBC: `METHOD=SAMPLE-AES` (RFC 8216, 4.3.2.4). What is encrypted, the container
    /// tells.
    SampleAes {
        /// Where the key is.
        key: Resource,
        /// As for [`Aes128`](Self::Aes128). Fragmented MP4 has IVs of its own.
        iv: Option<Iv>,
    },
    /// Single samples in AES-128-CTR, in fragmented MP4: `METHOD=SAMPLE-AES-CTR` (rfc8216bis, 4.4.4.4).
    SampleAesCtr {
        /// Where the key is.
        key: Resource,
        /// As for [`SampleAes`](Self::SampleAes).
        iv: Option<Iv>,
    },
    /// A way that the resolver has no variant for, or keys that it cannot fetch, as the playlist names them: one
    /// entry for each key in force. The bundled decrypter refuses it, unless the user holds the key.
    Other {
        /// The `METHOD` of each key in force, with its `KEYFORMAT`.
        keys: Arc<[(String, String)]>,
        /// The first `IV` among them.
        iv: Option<Iv>,
    },
}

impl Encryption {
    /// The KEYFORMAT of a key that lies open at its URI (RFC 8216, 4.3.2.4).
    const IDENTITY: &'static str = "identity";

    /// The METHOD of each key in force, with its KEYFORMAT.
    pub fn keys(&self) -> Vec<(String, String)> {
        let method = match self {
            Self::None => return Vec::new(),
            Self::Other { keys, .. } => return keys.to_vec(),
            Self::Aes128 { .. } => "AES-128",
            Self::Aes256 { .. } => "AES-256",
            Self::Aes256Ctr { .. } => "AES-256-CTR",
            Self::Aes256Gcm { .. } => "AES-256-GCM",
            Self::SampleAes { .. } => "SAMPLE-AES",
            Self::SampleAesCtr { .. } => "SAMPLE-AES-CTR",
        };
        vec![(method.into(), Self::IDENTITY.into())]
    }

    /// What has these [`keys`](Self::keys), of which one that lies open is at `key`.
    pub fn of_keys(keys: &[(String, String)], key: Option<Resource>, iv: Option<Iv>) -> Self {
        match (keys, key) {
            ([], _) => return Self::None,
            ([(method, format)], Some(key)) if format == Self::IDENTITY => match method.as_str() {
                "AES-128" => return Self::Aes128 { key, iv },
                "AES-256" => return Self::Aes256 { key, iv },
                "AES-256-CTR" => return Self::Aes256Ctr { key, iv },
                "AES-256-GCM" => return Self::Aes256Gcm { key },
                "SAMPLE-AES" => return Self::SampleAes { key, iv },
                "SAMPLE-AES-CTR" => return Self::SampleAesCtr { key, iv },
                _ => {}
            },
            _ => {}
        }
        Self::Other { keys: keys.into(), iv }
    }

    /// Where the key is, for those that have one that can be fetched.
    pub fn key(&self) -> Option<&Resource> {
        match self {
            Self::Aes128 { key, .. }
            | Self::Aes256 { key, .. }
            | Self::Aes256Ctr { key, .. }
            | Self::Aes256Gcm { key }
            | Self::SampleAes { key, .. }
            | Self::SampleAesCtr { key, .. } => Some(key),
            Self::None | Self::Other { .. } => None,
        }
    }

    /// The initialization vector, as far as it is known.
    pub fn iv(&self) -> Option<Iv> {
        match self {
            Self::None | Self::Aes256Gcm { .. } => None,
            Self::Aes128 { iv, .. }
            | Self::Aes256 { iv, .. }
            | Self::Aes256Ctr { iv, .. }
            | Self::SampleAes { iv, .. }
            | Self::SampleAesCtr { iv, .. }
            | Self::Other { iv, .. } => *iv,
        }
    }
}

/// Why a segment is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapCause {
    /// The playlist marks it with `EXT-X-GAP`: it was never on offer.
    Tagged,
    /// It left the live window before it could be asked for.
    Expired,
    /// It could not be had; the message says why.
    Failed(String),
    /// It came cut short or damaged, and a part of it is in the output; the message says what is not.
    Cut(String),
}

impl GapCause {
    /// Whether the segment was on offer, so that the output lacks something.
    pub fn was_on_offer(&self) -> bool {
        !matches!(self, Self::Tagged)
    }
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tagged => f.write_str("marked as a gap by the playlist"),
            Self::Expired => f.write_str("left the live window before it was fetched"),
            Self::Failed(why) | Self::Cut(why) => f.write_str(why),
        }
    }
}

/// Missing segments of one track that follow each other and share a cause, for the final report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The track.
    pub track: TrackId,
    /// Media Sequence Number of the first missing segment.
    pub first_msn: u64,
    /// How many are missing in a row.
    pub segments: u64,
    /// Why.
    pub cause: GapCause,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_comes_back_from_what_its_keys_are_called() {
        let key = Resource::new(crate::Kind::Key, url::Url::parse("http://host.example/key").unwrap());
        let iv = Some(Iv([7; 16]));
        let other = |method: &str, format: &str| Encryption::Other {
            keys: [(method.to_owned(), format.to_owned())].into(),
            iv,
        };
        for encryption in [
            Encryption::None,
            Encryption::SampleAesCtr { key: key.clone(), iv },
            Encryption::Aes128 { key: key.clone(), iv },
            Encryption::Aes128 {
                key: key.clone(),
                iv: None,
            },
            Encryption::Aes256 { key: key.clone(), iv },
            Encryption::Aes256Ctr { key: key.clone(), iv },
            Encryption::Aes256Gcm { key: key.clone() },
            Encryption::SampleAes { key, iv },
            other("SAMPLE-AES", "com.apple.streamingkeydelivery"),
            other("NEW", "identity"),
        ] {
            let again = Encryption::of_keys(&encryption.keys(), encryption.key().cloned(), encryption.iv());
            assert_eq!(again, encryption);
        }
    }

    // RFC 8216, 5.2: the big-endian binary representation of the Media Sequence Number, padded on the left
    // with zeros to 128 bits.
    #[test]
    fn an_implicit_iv_is_the_sequence_number_in_128_bits() {
        assert_eq!(
            Iv::from_media_sequence_number(0x14).0,
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14]
        );
        let large = Iv::from_media_sequence_number(0x0102_0304_0506_0708);
        assert_eq!(large.0, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(format!("{large:?}"), "0x00000000000000000102030405060708");
    }
}
