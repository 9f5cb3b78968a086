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
    /// Its name in `schm`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cenc => "cenc",
            Self::Cbc1 => "cbc1",
            Self::Cens => "cens",
            Self::Cbcs => "cbcs",
        }
    }

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
        let pattern = match version {
            0 => 0,
            1 => pattern,
            _ => return None,
        };
        Self::common(scheme, pattern, reader)
    }

    /// Reads what PIFF's forms of `tenc` and `senc` say: an algorithm, the size of IVs and a key identifier (PIFF 1.1, Track
    /// Encryption Box).
    pub(super) fn piff(mut reader: Reader<'_>) -> Option<Self> {
        let algorithm = reader.array::<3>()?;
        let scheme = match algorithm {
            [0, 0, 0 | 1] => Scheme::Cenc,
            [0, 0, 2] => Scheme::Cbc1,
            _ => return None,
        };
        let (iv_size, kid) = (reader.u8()?, reader.array()?);
        matches!(iv_size, 0 | 8 | 16).then_some(Self {
            scheme,
            protected: algorithm != [0; 3],
            iv_size,
            kid,
            pattern: Pattern::ALL,
            constant_iv: None,
        })
    }

    /// Reads an entry of the sample group `seig` (6). One of several keys (`multi_key_flag` of the edition of 2023) is not read.
    pub(super) fn seig(scheme: Scheme, entry: &[u8]) -> Option<Self> {
        let mut reader = Reader(entry);
        if reader.u8()? & 0x80 != 0 {
            return None;
        }
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
        // Other values of either are reserved.
        matches!((protected, iv_size), (0 | 1, 0 | 8 | 16)).then_some(Self {
            scheme,
            protected: protected == 1,
            iv_size,
            kid,
            pattern: Pattern::new(pattern >> 4, pattern & 0xf),
            constant_iv,
        })
    }
}

/// The `seig` entries that samples may refer to (ISO 14496-12 §8.9.3, ISO 23001-7, 6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    pub(super) entries: Vec<Option<Protection>>,
    /// The number of the entry for samples that none is said of; 0 for none.
    pub(super) default: u32,
}

impl Groups {
    /// Reads a sample group description that is `seig`; `None` for another.
    pub(super) fn read(sgpd: &BoxAt<'_>, scheme: Scheme) -> Option<Self> {
        let mut reader = Reader(sgpd.body());
        let (version, _) = reader.full()?;
        if &reader.array::<4>()? != b"seig" {
            return None;
        }
        match version {
            0 => Self::after(reader, false, false, scheme).map(|(groups, _)| groups),
            1 => Self::after(reader, true, false, scheme).map(|(groups, _)| groups),
            // The editions differ in whether the default is all that version 2 has.
            _ => [true, false]
                .iter()
                .find_map(|lengths| Self::after(reader, *lengths, true, scheme).filter(|(_, rest)| *rest == 0))
                .map(|(groups, _)| groups),
        }
    }

    /// What follows the type, and how many bytes are left behind it.
    fn after(mut reader: Reader<'_>, lengths: bool, default: bool, scheme: Scheme) -> Option<(Self, usize)> {
        let length = if lengths { Some(reader.count()?) } else { None };
        let default = if default { reader.u32()? } else { 0 };
        let count = reader.count()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let length = match length {
                Some(0) => reader.count()?,
                Some(length) => length,
                // Without a length, an entry is as long as it says itself.
                None if reader.0.get(2) == Some(&1) && reader.0.get(3) == Some(&0) => 21 + usize::from(*reader.0.get(20)?),
                None => 20,
            };
            // Shorter ones are none, and could be claimed without end.
            if length < 20 {
                return None;
            }
            entries.push(Protection::seig(scheme, reader.take(length)?));
        }
        Some((Self { entries, default }, reader.0.len()))
    }
}

/// Whether a box of sample groups is of the type `seig`.
pub(super) fn is_seig(found: &BoxAt<'_>) -> bool {
    matches!(&found.kind, b"sgpd" | b"sbgp") && found.body().get(4..8) == Some(b"seig")
}
