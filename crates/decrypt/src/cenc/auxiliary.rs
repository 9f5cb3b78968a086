//! Sample auxiliary information: the IV and the subsamples of each sample (ISO 23001-7, 7).

use super::boxes::{BoxAt, Reader};
use super::protection::{Protection, Scheme};

/// PIFF's form of `senc` (PIFF 1.1, Sample Encryption Box).
const PIFF_SENC: [u8; 16] = [
    0xa2, 0x39, 0x4f, 0x52, 0x5a, 0x9b, 0x4f, 0x14, 0xa2, 0x44, 0x6c, 0x42, 0x7c, 0x64, 0x8d, 0xf4,
];

/// Where the IVs and subsamples of a track fragment are.
pub(super) enum Auxiliary<'a> {
    None,
    /// In `senc` (7.2), one behind the other.
    Senc {
        entries: Reader<'a>,
        subsamples: bool,
        /// How many bytes each sample has, where `saiz` is there and does not contradict.
        sizes: Option<Sizes<'a>>,
    },
    /// Where `saiz` and `saio` say (ISO 14496-12 §8.7.8, §8.7.9).
    Apart {
        sizes: Sizes<'a>,
        offsets: Offsets<'a>,
        /// Where the next is, unless the next track run has an offset of its own.
        at: Option<usize>,
    },
}

/// The entries of `saiz`.
#[derive(Clone, Copy)]
pub(super) struct Sizes<'a> {
    /// The size of all, or 0 where each has its own.
    default: u8,
    count: u32,
    each: Reader<'a>,
}

impl<'a> Sizes<'a> {
    fn read(saiz: &BoxAt<'a>) -> Option<Self> {
        let mut reader = Reader(saiz.body());
        let (_, flags) = reader.full()?;
        reader.take(if flags & 1 != 0 { 8 } else { 0 })?;
        let (default, count) = (reader.u8()?, reader.u32()?);
        Some(Self {
            default,
            count,
            each: reader,
        })
    }

    fn next(&mut self) -> Option<usize> {
        match self.default {
            0 => self.each.u8().map(usize::from),
            size => Some(size.into()),
        }
    }

    /// Bytes of all samples.
    fn sum(&self) -> Option<usize> {
        let count = usize::try_from(self.count).ok()?;
        match self.default {
            0 => self.each.0.get(..count).map(|sizes| sizes.iter().copied().map(usize::from).sum()),
            size => count.checked_mul(size.into()),
        }
    }
}

/// The entries of `saio`: one for each track run, or one for the first.
#[derive(Clone, Copy)]
pub(super) struct Offsets<'a> {
    wide: bool,
    count: u32,
    each: Reader<'a>,
    /// Where they count from.
    base: usize,
}

impl<'a> Offsets<'a> {
    fn read(saio: &BoxAt<'a>, base: usize) -> Option<Self> {
        let mut reader = Reader(saio.body());
        let (version, flags) = reader.full()?;
        reader.take(if flags & 1 != 0 { 8 } else { 0 })?;
        Some(Self {
            wide: version != 0,
            count: reader.u32()?,
            each: reader,
            base,
        })
    }

    /// The next one; `None` within when there is no more.
    fn next(&mut self) -> Option<Option<usize>> {
        let Some(count) = self.count.checked_sub(1) else {
            return Some(None);
        };
        self.count = count;
        let offset = if self.wide { self.each.u64()? } else { self.each.u32()?.into() };
        self.base.checked_add(usize::try_from(offset).ok()?).map(Some)
    }
}

impl<'a> Auxiliary<'a> {
    /// What a track fragment has, whose offsets count from `base`; `None` when it is cut short.
    pub(super) fn of(traf: &BoxAt<'a>, base: usize) -> Option<Self> {
        let find = |kind: &[u8; 4]| {
            let found = |child: &BoxAt<'a>| child.kind == *kind && is_of_protection(child.body());
            traf.children().find(found)
        };
        let saiz = find(b"saiz");
        if let Some(senc) = traf.children().find(is_senc) {
            let (flags, _, mut entries) = senc_head(&senc)?;
            // A count of 0 says that there is none here (7.2.3), as where a constant IV is all that is needed.
            if entries.u32()? > 0 {
                return Some(Self::Senc {
                    sizes: saiz
                        .and_then(|saiz| Sizes::read(&saiz))
                        .filter(|sizes| sizes.sum() == Some(entries.0.len())),
                    subsamples: flags & 2 != 0,
                    entries,
                });
            }
        }
        let Some(saiz) = saiz else { return Some(Self::None) };
        let sizes = Sizes::read(&saiz)?;
        match find(b"saio") {
            Some(saio) => Some(Self::Apart {
                sizes,
                offsets: Offsets::read(&saio, base)?,
                at: None,
            }),
            // There is some, and nothing tells where.
            None => (sizes.sum() == Some(0)).then_some(Self::None),
        }
    }

    /// A track run begins; `None` when it is cut short.
    pub(super) fn begin_run(&mut self) -> Option<()> {
        if let Self::Apart { offsets, at, .. } = self
            && let Some(next) = offsets.next()?
        {
            *at = Some(next);
        }
        Some(())
    }

    /// The IV and the subsamples of the next sample. `copied` takes those that are in `data`.
    #[inline]
    pub(super) fn next<'b>(&'b mut self, iv_size: usize, data: &[u8], copied: &'b mut [u8; 255]) -> Option<Entry<'b>> {
        match self {
            Self::None => Some(Entry::default()),
            Self::Senc {
                entries,
                subsamples,
                sizes: None,
            } => Entry::read(entries, iv_size, *subsamples),
            Self::Senc {
                entries,
                sizes: Some(sizes),
                ..
            } => {
                let size = sizes.next()?;
                Entry::read_sized(entries.take(size)?, iv_size)
            }
            Self::Apart { sizes, at, .. } => {
                let size = sizes.next()?;
                let (target, at) = (copied.get_mut(..size)?, at.as_mut()?);
                target.copy_from_slice(data.get(*at..)?.get(..size)?);
                *at += size;
                Entry::read_sized(target, iv_size)
            }
        }
    }
}

/// The auxiliary information of one sample.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry<'a> {
    /// The bytes of its own IV, if it has one.
    pub(super) iv: &'a [u8],
    /// Pairs of a 16-bit number of clear bytes and a 32-bit number of protected ones. None stand for the whole sample.
    pub(super) subsamples: &'a [u8],
}

/// Bytes of a pair.
const SUBSAMPLE: usize = 6;

impl<'a> Entry<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>, iv_size: usize, has_subsamples: bool) -> Option<Self> {
        let iv = reader.take(iv_size)?;
        let count = if has_subsamples { reader.u16()? } else { 0 };
        Some(Self {
            iv,
            subsamples: reader.take(usize::from(count) * SUBSAMPLE)?,
        })
    }

    /// Of so many bytes: with nothing behind the IV, there are no subsamples, and with nothing at all the sample has no
    /// protection (7.1).
    fn read_sized(bytes: &'a [u8], iv_size: usize) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        Self::read(&mut Reader(bytes), iv_size, bytes.len() > iv_size)
    }
}

pub(super) fn is_senc(found: &BoxAt<'_>) -> bool {
    &found.kind == b"senc" || &found.kind == b"uuid" && found.body().starts_with(&PIFF_SENC)
}

/// Whether a box of a track fragment holds auxiliary information of protection.
pub(super) fn is_auxiliary(found: &BoxAt<'_>) -> bool {
    match &found.kind {
        b"saiz" | b"saio" => is_of_protection(found.body()),
        _ => is_senc(found),
    }
}

/// Whether `saiz` or `saio` is that of a protection scheme: it says so, or says nothing (7.1).
fn is_of_protection(body: &[u8]) -> bool {
    let mut reader = Reader(body);
    match reader.full() {
        Some((_, flags)) if flags & 1 != 0 => reader.array().and_then(Scheme::new).is_some(),
        flags => flags.is_some(),
    }
}

/// The flags of `senc`, and the protection that PIFF's form of it may name in place of the track's; then what follows.
fn senc_head<'a>(senc: &BoxAt<'a>) -> Option<(u32, Option<Reader<'a>>, Reader<'a>)> {
    let piff = &senc.kind == b"uuid";
    let mut reader = Reader(senc.body());
    reader.take(if piff { 16 } else { 0 })?;
    let (_, flags) = reader.full()?;
    let own = if piff && flags & 1 != 0 {
        Some(Reader(reader.take(20)?))
    } else {
        None
    };
    Some((flags, own, reader))
}

/// Whether the `senc` of a track fragment, if it has one, is of version 0. Version 1 has several IVs for each sample, and a key
/// for each subsample (ISO 23001-7:2023, 7.2).
pub(super) fn senc_is_known(traf: &BoxAt<'_>) -> bool {
    let version = |senc: BoxAt<'_>| senc.body().first().copied();
    let mut boxes = traf.children().filter(|child| &child.kind == b"senc");
    boxes.all(|senc| version(senc).is_none_or(|version| version == 0))
}

/// What PIFF's form of `senc` says of the samples of a track fragment in place of the track (PIFF 1.1, Sample Encryption
/// Box), if it does; `None` when it cannot be read.
pub(super) fn piff_protection(traf: &BoxAt<'_>) -> Option<Option<Protection>> {
    let Some(senc) = traf.children().find(is_senc) else {
        return Some(None);
    };
    match senc_head(&senc)? {
        (_, Some(own), _) => Protection::piff(own).map(Some),
        (_, None, _) => Some(None),
    }
}
