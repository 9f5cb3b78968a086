//! How samples are protected: track encryption and sample groups (ISO 23001-7, 6 and 8.2).

use crate::chain::Pattern;

use super::boxes::{BoxAt, Reader};

/// A protection scheme (ISO 23001-7, 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// AES-CTR, whole samples or subsamples (10.1).
    Cenc,
    /// AES-CBC, whole samples or subsamples (10.2).
    Cbc1,
    /// AES-CTR in patterns (10.3).
    Cens,
    /// AES-CBC in patterns, a chain for each subsample (10.4).
    Cbcs,
}

impl Scheme {
    /// From the `scheme_type` of `schm`, or the `aux_info_type` of `saiz`.
    pub(super) fn new(name: [u8; 4]) -> Option<Self> {
        match &name {
            b"cenc" => Some(Self::Cenc),
            b"cbc1" => Some(Self::Cbc1),
            b"cens" => Some(Self::Cens),
            b"cbcs" => Some(Self::Cbcs),
            _ => None,
        }
    }
}

/// What `tenc` or a `seig` entry says of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protection {
    pub(super) scheme: Scheme,
    pub(super) protected: bool,
    /// Bytes of the IV that each sample has of its own: 0, 8 or 16.
    pub(super) iv_size: u8,
    pub(super) kid: [u8; 16],
    pub(super) pattern: Pattern,
    pub(super) constant_iv: Option<[u8; 16]>,
}

/// An IV as it goes into the cipher: eight bytes are the first half (ISO 23001-7, 9.2).
pub(super) fn iv(bytes: &[u8]) -> Option<[u8; 16]> {
    let mut iv = [0; 16];
    match bytes.len() {
        8 | 16 => iv.get_mut(..bytes.len())?.copy_from_slice(bytes),
        _ => return None,
    }
    Some(iv)
}

impl Protection {
    /// Reads `tenc` (8.2.2).
    pub(super) fn tenc(scheme: Scheme, body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let (version, _) = reader.full()?;
        reader.u8()?;
        let pattern = reader.u8()?;
        Self::common(scheme, if version == 0 { 0 } else { pattern }, reader)
    }

    /// Reads an entry of the sample group `seig` (6).
    pub(super) fn seig(scheme: Scheme, entry: &[u8]) -> Option<Self> {
        let mut reader = Reader(entry);
        reader.u8()?;
        let pattern = reader.u8()?;
        Self::common(scheme, pattern, reader)
    }

    fn common(scheme: Scheme, pattern: u8, mut reader: Reader<'_>) -> Option<Self> {
        let protected = reader.u8()?;
        let iv_size = reader.u8()?;
        let kid = reader.array()?;
        let constant_iv = match (protected, iv_size) {
            (1, 0) => {
                let size = reader.u8()?;
                iv(reader.take(size.into())?)
            }
            _ => None,
        };
        matches!(iv_size, 0 | 8 | 16).then_some(Self {
            scheme,
            protected: protected == 1,
            iv_size,
            kid,
            pattern: Pattern::new(pattern >> 4, pattern & 0xf),
            constant_iv,
        })
    }
}

/// The entries of a sample group description that is `seig` (ISO 14496-12 §8.9.3); `None` for another.
pub(super) fn descriptions(sgpd: &BoxAt<'_>, scheme: Scheme) -> Option<Vec<Option<Protection>>> {
    let mut reader = Reader(sgpd.body());
    let (version, _) = reader.full()?;
    if &reader.array::<4>()? != b"seig" {
        return None;
    }
    let default_length = if version == 1 { reader.count()? } else { 0 };
    if version >= 2 {
        reader.u32()?;
    }
    let count = reader.count()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let length = match (version, default_length) {
            (1, 0) => reader.count()?,
            (1, length) => length,
            // Without a length, an entry is as long as it says itself.
            _ if reader.0.get(2) == Some(&1) && reader.0.get(3) == Some(&0) => 21 + usize::from(*reader.0.get(20)?),
            _ => 20,
        };
        // Shorter ones are none, and could be claimed without end.
        if length < 20 {
            return None;
        }
        entries.push(Protection::seig(scheme, reader.take(length)?));
    }
    Some(entries)
}

/// Whether a box of sample groups is of the type `seig`.
pub(super) fn is_seig(found: &BoxAt<'_>) -> bool {
    matches!(&found.kind, b"sgpd" | b"sbgp") && found.body().get(4..8) == Some(b"seig")
}
