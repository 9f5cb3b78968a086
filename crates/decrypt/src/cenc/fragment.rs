//! Movie fragments: which bytes of which samples are encrypted, and with what (ISO 14496-12 §8.8, ISO 23001-7, 7).

use std::ops::Range;

use aes::Aes128;
use aqueduct_core::DecryptError;

use crate::chain::{Chains, Counter, Pattern};

use super::boxes::{BoxAt, Reader};
use super::init::{Track, is_pssh};
use super::protection::{Groups, Protection, Scheme, is_seig, iv};
use super::unreadable;

/// PIFF's form of `senc`.
const PIFF_SENC: [u8; 16] = [
    0xa2, 0x39, 0x4f, 0x52, 0x5a, 0x9b, 0x4f, 0x14, 0xa2, 0x44, 0x6c, 0x42, 0x7c, 0x64, 0x8d, 0xf4,
];

/// Memory that is used again.
#[derive(Clone, Default)]
pub(super) struct Work {
    chains: Chains,
    scratch: Vec<u8>,
}

/// What opens samples: a cipher for each key identifier, and the IV of the playlist for those that have none.
pub(super) struct Keys<'a> {
    pub(super) cipher: &'a mut dyn FnMut(&[u8; 16]) -> Result<Aes128, DecryptError>,
    pub(super) iv: Option<[u8; 16]>,
    pub(super) last: Option<([u8; 16], Aes128)>,
}

impl Keys<'_> {
    /// The cipher for a key identifier. What was gathered under another is decrypted first.
    fn of(&mut self, kid: &[u8; 16], data: &mut [u8], work: &mut Work) -> Result<&Aes128, DecryptError> {
        if self.last.as_ref().is_none_or(|(last, _)| last != kid) {
            if let Some((_, cipher)) = self.last.take() {
                work.chains.flush(&cipher, data);
            }
            self.last = Some((*kid, (self.cipher)(kid)?));
        }
        let known = self.last.as_ref().map(|(_, cipher)| cipher);
        known.ok_or_else(|| DecryptError::NoKey { kids: Vec::new() })
    }
}

/// Decrypts in `data` what the fragment `moof` describes, which begins at `at` there and is given as a copy, and makes
/// `free` of the boxes that tell of protection: nothing moves, so all offsets stay right. `room` is how many bytes
/// samples may have in all.
pub(super) fn decrypt(
    tracks: &[Track],
    moof: &BoxAt<'_>,
    at: usize,
    data: &mut [u8],
    keys: &mut Keys<'_>,
    work: &mut Work,
    room: &mut usize,
) -> Result<(), DecryptError> {
    let mut end_of_last = at;
    for child in moof.children() {
        if is_pssh(&child) {
            free(data, at, &child);
        }
        if &child.kind != b"traf" {
            continue;
        }
        let header = Header::read(&child).ok_or_else(|| unreadable("a track fragment without a readable header (tfhd)"))?;
        let track = tracks.iter().find(|track| track.id == header.track);
        let Some(track) = track else {
            if child.children().any(|child| is_senc(&child)) {
                return Err(unreadable("a fragment of a track that no initialization section describes"));
            }
            continue;
        };
        let fragment = Fragment::new(track, &child, &header, at, end_of_last)?;
        end_of_last = fragment.decrypt(data, keys, work, room)?;
        if track.is_protected() {
            for child in child.children().filter(|child| tells_of_protection(child)) {
                free(data, at, &child);
            }
        }
    }
    Ok(())
}

fn is_senc(found: &BoxAt<'_>) -> bool {
    &found.kind == b"senc" || &found.kind == b"uuid" && found.body().starts_with(&PIFF_SENC)
}

fn tells_of_protection(found: &BoxAt<'_>) -> bool {
    match &found.kind {
        b"saiz" | b"saio" => is_protection_aux(found.body()),
        _ => is_senc(found) || is_seig(found),
    }
}

/// Whether auxiliary information is that of a protection scheme: it says so, or says nothing (ISO 23001-7, 7.1).
fn is_protection_aux(body: &[u8]) -> bool {
    let mut reader = Reader(body);
    match reader.full() {
        Some((_, flags)) if flags & 1 != 0 => reader.array().and_then(Scheme::new).is_some(),
        flags => flags.is_some(),
    }
}

/// Makes a box free space, with nothing in it. Its place counts from `moof`.
pub(super) fn free(data: &mut [u8], moof: usize, found: &BoxAt<'_>) {
    let at = moof + found.start;
    if let Some(kind) = data.get_mut(at + 4..at + 8) {
        kind.copy_from_slice(b"free");
    }
    if let Some(body) = data.get_mut(at + found.header..moof + found.end()) {
        body.fill(0);
    }
}

/// `tfhd` (ISO 14496-12 §8.8.7).
struct Header {
    track: u32,
    explicit_base: bool,
    base_is_moof: bool,
    entry: Option<u32>,
    sample_size: Option<u32>,
}

impl Header {
    fn read(traf: &BoxAt<'_>) -> Option<Self> {
        let mut reader = Reader(traf.child(b"tfhd")?.body());
        let (_, flags) = reader.full()?;
        let track = reader.u32()?;
        reader.take(if flags & 1 != 0 { 8 } else { 0 })?;
        let mut optional = |flag| if flags & flag != 0 { reader.u32().map(Some) } else { Some(None) };
        let entry = optional(2)?;
        optional(8)?;
        let sample_size = optional(0x10)?;
        Some(Self {
            track,
            explicit_base: flags & 1 != 0,
            base_is_moof: flags & 0x2_0000 != 0,
            entry,
            sample_size,
        })
    }
}

/// A track fragment.
struct Fragment<'a> {
    track: &'a Track,
    /// The protection of its sample entry.
    default: Option<Protection>,
    groups: Groups,
    sbgp: Option<Reader<'a>>,
    runs: Vec<BoxAt<'a>>,
    aux: Aux<'a>,
    /// Where data offsets count from.
    base: usize,
    sample_size: u32,
}

/// Where the IVs and subsamples of samples are.
enum Aux<'a> {
    None,
    /// In `senc` (ISO 23001-7, 7.2).
    Senc {
        reader: Reader<'a>,
        subsamples: bool,
    },
    /// Where `saiz` and `saio` say (ISO 14496-12 §8.7.8, §8.7.9).
    Apart {
        default_size: u8,
        sizes: Reader<'a>,
        /// For each track run, or for the first one.
        offsets: Vec<usize>,
    },
}

/// Samples in a row that are protected in the same way.
struct Group {
    left: u32,
    protection: Option<Protection>,
}

/// The samples of a track run (ISO 14496-12 §8.8.8).
struct Run<'a> {
    count: u32,
    offset: Option<i32>,
    entries: Reader<'a>,
    /// Bytes of an entry, and where its size is.
    entry: usize,
    size_at: Option<usize>,
}

impl<'a> Run<'a> {
    fn read(run: &BoxAt<'a>) -> Option<Self> {
        let mut reader = Reader(run.body());
        let (_, flags) = reader.full()?;
        let count = reader.u32()?;
        let offset = if flags & 1 != 0 { Some(reader.u32()?.cast_signed()) } else { None };
        reader.take(if flags & 4 != 0 { 4 } else { 0 })?;
        let field = |flag: u32| if flags & flag != 0 { 4 } else { 0 };
        Some(Self {
            count,
            offset,
            entries: reader,
            entry: field(0x100) + field(0x200) + field(0x400) + field(0x800),
            size_at: (flags & 0x200 != 0).then_some(field(0x100)),
        })
    }

    /// The size of the next sample, where it has one of its own.
    fn size(&mut self) -> Option<Option<u32>> {
        let entry = self.entries.take(self.entry)?;
        match self.size_at {
            Some(at) => Some(Some(Reader(entry.get(at..)?).u32()?)),
            None => Some(None),
        }
    }
}

impl<'a> Fragment<'a> {
    fn new(track: &'a Track, traf: &BoxAt<'a>, header: &Header, moof: usize, end_of_last: usize) -> Result<Self, DecryptError> {
        let number = usize::try_from(header.entry.unwrap_or(track.entry)).unwrap_or(usize::MAX);
        let default = *track
            .entries
            .get(number.saturating_sub(1))
            .ok_or_else(|| unreadable("a fragment with a sample entry that is not there"))?;
        let scheme = track.entries.iter().flatten().map(|protection| protection.scheme).next();
        let groups = scheme.and_then(|scheme| traf.children().filter(is_seig).find_map(|sgpd| Groups::read(&sgpd, scheme)));
        let sbgp = traf.children().find(|child| &child.kind == b"sbgp" && is_seig(child));
        // An explicit base counts from the start of a file, of which this may be a part: what is in use is the place
        // of the fragment itself.
        let base = if header.explicit_base || header.base_is_moof {
            moof
        } else {
            end_of_last
        };
        let aux = |kind: &[u8; 4]| {
            let found = |child: &BoxAt<'a>| child.kind == *kind && is_protection_aux(child.body());
            traf.children().find(found)
        };
        let aux = match traf.children().find(is_senc) {
            Some(senc) => senc_reader(&senc),
            None => match (aux(b"saiz"), aux(b"saio")) {
                (Some(saiz), Some(saio)) => apart(&saiz, &saio, base),
                _ => Some(Aux::None),
            },
        };
        Ok(Self {
            track,
            default,
            groups: groups.unwrap_or_default(),
            sbgp: sbgp.and_then(|sbgp| group_runs(&sbgp)),
            runs: traf.children().filter(|child| &child.kind == b"trun").collect(),
            aux: aux.ok_or_else(cut_aux)?,
            base,
            sample_size: header.sample_size.unwrap_or(track.sample_size),
        })
    }

    /// Returns where its data end. `room` is how many bytes samples may still have: in files that are right they lie
    /// side by side, and in others they could be decrypted over and over.
    fn decrypt(mut self, data: &mut [u8], keys: &mut Keys<'_>, work: &mut Work, room: &mut usize) -> Result<usize, DecryptError> {
        let cut = || unreadable("a track run (trun) that is cut short");
        let mut at = self.base;
        let mut group = Group { left: 0, protection: None };
        // Auxiliary information of one sample has at most 255 bytes where it stands apart.
        let mut copied = [0; 255];
        for (number, run) in std::mem::take(&mut self.runs).iter().enumerate() {
            let mut run = Run::read(run).ok_or_else(cut)?;
            if let Some(offset) = run.offset {
                at = isize::try_from(offset)
                    .ok()
                    .and_then(|offset| self.base.checked_add_signed(offset))
                    .ok_or_else(|| unreadable("a data offset outside the segment"))?;
            }
            if run.entry == 0 && self.sample_size == 0 {
                continue;
            }
            let mut aux_at = match &self.aux {
                Aux::Apart { offsets, .. } => offsets.get(number).copied(),
                _ => None,
            };
            for _ in 0..run.count {
                let size = run.size().ok_or_else(cut)?.unwrap_or(self.sample_size);
                let size = usize::try_from(size).map_err(|_| cut())?;
                let end = at.checked_add(size).filter(|end| *end <= data.len());
                let end = end.ok_or_else(|| unreadable("a sample that is not in the segment: it was cut short"))?;
                *room = room
                    .checked_sub(size)
                    .ok_or_else(|| unreadable("samples that lie over each other"))?;
                if group.left == 0 {
                    group = self.next_group()?;
                }
                group.left -= 1;
                if let Some(protection) = &group.protection {
                    let (own_iv, subsamples) = self
                        .aux
                        .next(protection.iv_size.into(), &mut aux_at, data, &mut copied)
                        .ok_or_else(cut_aux)?;
                    if protection.protected && size > 0 {
                        let iv = own_iv.or(protection.constant_iv).or(keys.iv.filter(|_| protection.iv_size == 0));
                        let iv = iv.ok_or_else(|| unreadable("samples without an initialization vector: no senc, saiz or constant IV"))?;
                        let cipher = keys.of(&protection.kid, data, work)?;
                        open(data, at..end, subsamples, protection, iv, cipher, work)?;
                    }
                }
                at = end;
            }
            // The next run goes on in the same place, unless it has an offset of its own.
            if let (Aux::Apart { offsets, .. }, Some(aux_at)) = (&mut self.aux, aux_at)
                && offsets.len() == number + 1
            {
                offsets.push(aux_at);
            }
        }
        if let Some((_, cipher)) = &keys.last {
            work.chains.flush(cipher, data);
        }
        Ok(at)
    }

    /// How the next samples are protected, and how many: as their group says, or their entry (ISO 14496-12 §8.9.2,
    /// §8.9.4).
    fn next_group(&mut self) -> Result<Group, DecryptError> {
        let mut next = || self.sbgp.as_mut().and_then(|runs| Some((runs.u32()?, runs.u32()?)));
        let run = std::iter::from_fn(&mut next).find(|(count, _)| *count > 0);
        // Samples that none is said of have the default, where there is one (§8.9.3).
        let (left, index) = run.unwrap_or_else(|| match (self.groups.default, self.track.groups.default) {
            (0, index) => (u32::MAX, index),
            (index, _) => (u32::MAX, index.saturating_add(0x1_0000)),
        });
        let (groups, index) = match index {
            0 => {
                let protection = self.default;
                return Ok(Group { left, protection });
            }
            index @ 0x1_0001.. => (&self.groups, index - 0x1_0001),
            index => (&self.track.groups, index - 1),
        };
        let described = usize::try_from(index)
            .ok()
            .and_then(|index| groups.entries.get(index).copied().flatten());
        match described {
            protection @ Some(_) => Ok(Group { left, protection }),
            None => Err(unreadable("a sample group (seig) that nothing describes")),
        }
    }
}

fn cut_aux() -> DecryptError {
    unreadable("sample auxiliary information (senc, saiz, saio) that is cut short")
}

impl Aux<'_> {
    /// The IV and the subsamples of the next sample.
    fn next<'b>(
        &'b mut self,
        iv_size: usize,
        at: &mut Option<usize>,
        data: &[u8],
        copied: &'b mut [u8; 255],
    ) -> Option<(Option<[u8; 16]>, Reader<'b>)> {
        match self {
            Self::None => Some((None, Reader(&[]))),
            Self::Senc { reader, subsamples } => aux_of(reader, iv_size, *subsamples),
            Self::Apart { default_size, sizes, .. } => {
                let size = match *default_size {
                    0 => usize::from(sizes.u8()?),
                    size => usize::from(size),
                };
                let from = at.as_mut()?;
                let target = copied.get_mut(..size)?;
                target.copy_from_slice(data.get(*from..)?.get(..size)?);
                *from += size;
                aux_of(&mut Reader(target), iv_size, size > iv_size)
            }
        }
    }
}

/// Decrypts one sample, or what of it is protected (ISO 23001-7, 10).
#[inline]
fn open(
    data: &mut [u8],
    sample: Range<usize>,
    subsamples: Reader<'_>,
    protection: &Protection,
    iv: [u8; 16],
    cipher: &Aes128,
    work: &mut Work,
) -> Result<(), DecryptError> {
    let Work { chains, scratch } = work;
    let pattern = protection.pattern;
    match protection.scheme {
        Scheme::Cbcs => each(sample, subsamples, |at, length| {
            chains.begin(iv);
            chains.add(cipher, data, at, length, pattern);
        }),
        // One chain through all subsamples.
        Scheme::Cbc1 => {
            chains.begin(iv);
            each(sample, subsamples, |at, length| chains.add(cipher, data, at, length, Pattern::ALL))
        }
        Scheme::Cenc => {
            let mut counter = Counter::new(cipher, iv);
            each(sample, subsamples, |at, length| counter.all(data, at, length))
        }
        Scheme::Cens => {
            let mut counter = Counter::new(cipher, iv);
            each(sample, subsamples, |at, length| {
                counter.pattern(data, at, length, pattern, scratch);
            })
        }
    }
}

/// Calls `protected` for the place and length of what is protected of a sample: all of it, where it has no subsamples.
#[inline]
fn each(sample: Range<usize>, mut subsamples: Reader<'_>, mut protected: impl FnMut(usize, usize)) -> Result<(), DecryptError> {
    if subsamples.0.is_empty() {
        protected(sample.start, sample.len());
        return Ok(());
    }
    let mut at = sample.start;
    while let (Some(clear), Some(sealed)) = (subsamples.u16(), subsamples.count()) {
        let from = at + usize::from(clear);
        at = from
            .checked_add(sealed)
            .filter(|end| *end <= sample.end)
            .ok_or_else(|| unreadable("subsamples that are larger than their sample"))?;
        protected(from, sealed);
    }
    Ok(())
}

/// The IV of a sample, if it has one, and the numbers of its subsamples (ISO 23001-7, 7.1).
fn aux_of<'b>(reader: &mut Reader<'b>, iv_size: usize, has_subsamples: bool) -> Option<(Option<[u8; 16]>, Reader<'b>)> {
    let own = iv(reader.take(iv_size)?);
    let count = if has_subsamples { reader.u16()? } else { 0 };
    Some((own, Reader(reader.take(usize::from(count) * 6)?)))
}

/// Behind the count of samples; PIFF's form may repeat what the track says.
fn senc_reader<'a>(senc: &BoxAt<'a>) -> Option<Aux<'a>> {
    let mut reader = Reader(senc.body());
    if &senc.kind == b"uuid" {
        reader.take(16)?;
    }
    let (_, flags) = reader.full()?;
    if &senc.kind == b"uuid" && flags & 1 != 0 {
        reader.take(20)?;
    }
    reader.u32()?;
    Some(Aux::Senc {
        reader,
        subsamples: flags & 2 != 0,
    })
}

fn apart<'a>(saiz: &BoxAt<'a>, saio: &BoxAt<'a>, base: usize) -> Option<Aux<'a>> {
    let mut sizes = Reader(saiz.body());
    let (_, flags) = sizes.full()?;
    sizes.take(if flags & 1 != 0 { 8 } else { 0 })?;
    let default_size = sizes.u8()?;
    sizes.u32()?;
    let mut reader = Reader(saio.body());
    let (version, flags) = reader.full()?;
    reader.take(if flags & 1 != 0 { 8 } else { 0 })?;
    let count = reader.count()?;
    let mut offsets = Vec::new();
    for _ in 0..count {
        let offset = if version == 0 { u64::from(reader.u32()?) } else { reader.u64()? };
        offsets.push(base.checked_add(usize::try_from(offset).ok()?)?);
    }
    Some(Aux::Apart {
        default_size,
        sizes,
        offsets,
    })
}

/// The entries of `sbgp`: numbers of samples and group indices.
fn group_runs<'a>(sbgp: &BoxAt<'a>) -> Option<Reader<'a>> {
    let mut reader = Reader(sbgp.body());
    let (version, _) = reader.full()?;
    reader.take(if version == 1 { 8 } else { 4 })?;
    reader.u32()?;
    Some(reader)
}
