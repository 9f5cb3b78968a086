//! Movie fragments: which bytes of which samples are encrypted, and with what (ISO 14496-12 §8.8, ISO 23001-7, 7).

use aes::Aes128;
use aqueduct_core::DecryptError;

use crate::chain::{Chains, Counter, Pattern};

use super::boxes::{BoxAt, Reader};
use super::init::Track;
use super::protection::{Protection, Scheme, descriptions, is_seig, iv};
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
/// `free` of the boxes that tell of protection: nothing moves, so all offsets stay right.
pub(super) fn decrypt(
    tracks: &[Track],
    moof: &BoxAt<'_>,
    at: usize,
    data: &mut [u8],
    keys: &mut Keys<'_>,
    work: &mut Work,
) -> Result<(), DecryptError> {
    let mut end_of_last = at;
    for child in moof.children() {
        if &child.kind == b"pssh" {
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
        end_of_last = fragment.decrypt(data, keys, work)?;
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

/// Makes a box free space, with nothing in it.
fn free(data: &mut [u8], moof: usize, found: &BoxAt<'_>) {
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
    groups: Vec<Option<Protection>>,
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
        offsets: Vec<usize>,
    },
}

impl<'a> Fragment<'a> {
    fn new(track: &'a Track, traf: &BoxAt<'a>, header: &Header, moof: usize, end_of_last: usize) -> Result<Self, DecryptError> {
        let number = usize::try_from(header.entry.unwrap_or(track.entry)).unwrap_or(usize::MAX);
        let default = *track
            .entries
            .get(number.saturating_sub(1))
            .ok_or_else(|| unreadable("a fragment with a sample entry that is not there"))?;
        let find = |kind: &[u8; 4]| traf.children().find(|child| child.kind == *kind);
        let scheme = track.entries.iter().flatten().map(|protection| protection.scheme).next();
        let groups = scheme.and_then(|scheme| traf.children().filter(is_seig).find_map(|sgpd| descriptions(&sgpd, scheme)));
        let sbgp = traf.children().find(|child| &child.kind == b"sbgp" && is_seig(child));
        // An explicit base counts from the start of a file, of which this may be a part: what is in use is the place
        // of the fragment itself.
        let base = if header.explicit_base || header.base_is_moof {
            moof
        } else {
            end_of_last
        };
        let aux = match traf.children().find(is_senc) {
            Some(senc) => senc_reader(&senc),
            None => match (find(b"saiz"), find(b"saio")) {
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
            aux: aux.ok_or_else(|| unreadable("sample auxiliary information (senc, saiz, saio) that is cut short"))?,
            base,
            sample_size: header.sample_size.unwrap_or(track.sample_size),
        })
    }

    /// Returns where its data end.
    fn decrypt(mut self, data: &mut [u8], keys: &mut Keys<'_>, work: &mut Work) -> Result<usize, DecryptError> {
        let cut = || unreadable("a track run (trun) that is cut short");
        let mut at = self.base;
        let mut group = (0_u32, 0_u32);
        for (number, run) in std::mem::take(&mut self.runs).iter().enumerate() {
            // ISO 14496-12 §8.8.8.
            let mut reader = Reader(run.body());
            let (_, flags) = reader.full().ok_or_else(cut)?;
            let count = reader.u32().ok_or_else(cut)?;
            if flags & 1 != 0 {
                let offset = reader.u32().ok_or_else(cut)?.cast_signed();
                at = isize::try_from(offset)
                    .ok()
                    .and_then(|offset| self.base.checked_add_signed(offset))
                    .ok_or_else(|| unreadable("a data offset outside the segment"))?;
            }
            if flags & 4 != 0 {
                reader.u32().ok_or_else(cut)?;
            }
            if flags & 0xf00 == 0 && self.sample_size == 0 {
                continue;
            }
            let mut aux_at = match &self.aux {
                Aux::Apart { offsets, .. } => offsets.get(number).copied(),
                _ => None,
            };
            for _ in 0..count {
                let mut optional = |flag| if flags & flag != 0 { reader.u32().map(Some) } else { Some(None) };
                optional(0x100).ok_or_else(cut)?;
                let size = optional(0x200).ok_or_else(cut)?.unwrap_or(self.sample_size);
                optional(0x400).ok_or_else(cut)?;
                optional(0x800).ok_or_else(cut)?;
                let size = usize::try_from(size).map_err(|_| cut())?;
                let end = at.checked_add(size).filter(|end| *end <= data.len());
                let end = end.ok_or_else(|| unreadable("a sample that is not in the segment: it was cut short"))?;
                let protection = self.protection(&mut group)?;
                self.sample(data, at..end, protection, &mut aux_at, keys, work)?;
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

    /// How the next sample is protected: as its group says, or its entry (ISO 14496-12 §8.9.2, §8.9.4).
    fn protection(&mut self, group: &mut (u32, u32)) -> Result<Option<Protection>, DecryptError> {
        while group.0 == 0 {
            let Some(next) = self.sbgp.as_mut().and_then(|runs| Some((runs.u32()?, runs.u32()?))) else {
                *group = (u32::MAX, 0);
                break;
            };
            *group = next;
        }
        group.0 = group.0.saturating_sub(1);
        let (groups, index) = match group.1 {
            0 => return Ok(self.default),
            index @ 0x1_0001.. => (&self.groups, index - 0x1_0001),
            index => (&self.track.groups, index - 1),
        };
        let described = usize::try_from(index).ok().and_then(|index| groups.get(index).copied().flatten());
        described
            .map(Some)
            .ok_or_else(|| unreadable("a sample group (seig) that nothing describes"))
    }

    /// Decrypts one sample.
    fn sample(
        &mut self,
        data: &mut [u8],
        range: std::ops::Range<usize>,
        protection: Option<Protection>,
        aux_at: &mut Option<usize>,
        keys: &mut Keys<'_>,
        work: &mut Work,
    ) -> Result<(), DecryptError> {
        let Some(protection) = protection else { return Ok(()) };
        let cut = || unreadable("sample auxiliary information (senc, saiz, saio) that is cut short");
        // Auxiliary information of one sample has at most 255 bytes where it stands apart.
        let mut copied = [0; 255];
        let iv_size = usize::from(protection.iv_size);
        let (own_iv, mut subsamples) = match &mut self.aux {
            Aux::None => (None, Reader(&[])),
            Aux::Senc { reader, subsamples } => aux_of(reader, iv_size, *subsamples).ok_or_else(cut)?,
            Aux::Apart { default_size, sizes, .. } => {
                let size = match *default_size {
                    0 => sizes.u8().ok_or_else(cut)?,
                    size => size,
                };
                let from = aux_at.as_mut().ok_or_else(cut)?;
                let source = data.get(*from..).and_then(|rest| rest.get(..size.into())).ok_or_else(cut)?;
                let target = copied.get_mut(..size.into()).ok_or_else(cut)?;
                target.copy_from_slice(source);
                *from += usize::from(size);
                aux_of(&mut Reader(target), iv_size, usize::from(size) > iv_size).ok_or_else(cut)?
            }
        };
        if !protection.protected || range.is_empty() {
            return Ok(());
        }
        let iv = own_iv.or(protection.constant_iv).or(keys.iv.filter(|_| iv_size == 0));
        let iv = iv.ok_or_else(|| unreadable("samples without an initialization vector: no senc, saiz or constant IV"))?;
        let cipher = keys.of(&protection.kid, data, work)?;
        let mut sample = Sample::new(cipher, &protection, iv, work);
        if subsamples.0.is_empty() {
            sample.protected(data, range.start, range.len());
            return Ok(());
        }
        let mut at = range.start;
        while let (Some(clear), Some(sealed)) = (subsamples.u16(), subsamples.count()) {
            let from = at + usize::from(clear);
            at = from
                .checked_add(sealed)
                .filter(|end| *end <= range.end)
                .ok_or_else(|| unreadable("subsamples that are larger than their sample"))?;
            sample.protected(data, from, sealed);
        }
        Ok(())
    }
}

/// A sample on its way through a scheme (ISO 23001-7, 10).
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Sample<'a> {
    Chain {
        cipher: &'a Aes128,
        work: &'a mut Work,
        pattern: Pattern,
        each: Option<[u8; 16]>,
    },
    Stream {
        counter: Counter,
        work: &'a mut Work,
        pattern: Option<Pattern>,
    },
}

impl<'a> Sample<'a> {
    fn new(cipher: &'a Aes128, protection: &Protection, iv: [u8; 16], work: &'a mut Work) -> Self {
        match protection.scheme {
            Scheme::Cenc | Scheme::Cens => Self::Stream {
                counter: Counter::new(cipher, iv),
                work,
                pattern: (protection.scheme == Scheme::Cens).then_some(protection.pattern),
            },
            // One chain through all subsamples.
            Scheme::Cbc1 => {
                work.chains.begin(iv);
                Self::Chain {
                    cipher,
                    work,
                    pattern: Pattern::ALL,
                    each: None,
                }
            }
            Scheme::Cbcs => Self::Chain {
                cipher,
                work,
                pattern: protection.pattern,
                each: Some(iv),
            },
        }
    }

    /// The protected bytes of a subsample, or of the whole sample.
    fn protected(&mut self, data: &mut [u8], at: usize, length: usize) {
        match self {
            Self::Chain {
                cipher,
                work,
                pattern,
                each,
            } => {
                if let Some(iv) = each {
                    work.chains.begin(*iv);
                }
                work.chains.add(cipher, data, at, length, *pattern);
            }
            Self::Stream {
                counter,
                work,
                pattern: Some(pattern),
            } => counter.pattern(data, at, length, *pattern, &mut work.scratch),
            Self::Stream {
                counter, pattern: None, ..
            } => counter.all(data, at, length),
        }
    }
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
    if !is_protection_aux(saiz.body()) || !is_protection_aux(saio.body()) {
        return Some(Aux::None);
    }
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
