//! Movie fragments: which bytes of which samples are encrypted, and with what (ISO 14496-12 §8.8, ISO 23001-7, 7).

use std::ops::Range;

use aes::Aes128;
use aqueduct_core::DecryptError;

use crate::chain::{Chains, Counter, Pattern};

use super::auxiliary::{Auxiliary, Entry, is_auxiliary, is_senc, piff_protection, senc_is_known};
use super::boxes::{BoxAt, Reader};
use super::init::{Track, is_pssh};
use super::protection::{Groups, Protection, Scheme, is_seig, iv};
use super::unreadable;

/// Memory that is used again.
#[derive(Clone, Default)]
pub(super) struct Work {
    pub(super) chains: Chains,
    scratch: Vec<u8>,
}

/// What opens samples: a cipher for each key identifier, and the IV of the playlist for those that have none.
pub(super) struct Keys<'a> {
    cipher: &'a mut super::Ciphers<'a>,
    iv: Option<[u8; 16]>,
    /// The key identifier that was asked for last, and its cipher.
    last: Option<([u8; 16], Aes128)>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(cipher: &'a mut super::Ciphers<'a>, iv: Option<[u8; 16]>) -> Self {
        Self { cipher, iv, last: None }
    }

    /// The cipher for a key identifier. What was gathered under another is decrypted first.
    #[inline]
    pub(super) fn of(&mut self, protection: &Protection, data: &mut [u8], chains: &mut Chains) -> Result<&Aes128, DecryptError> {
        let kid = &protection.kid;
        let known = self.last.take_if(|(last, _)| last != kid);
        if let Some((_, cipher)) = known {
            chains.flush(&cipher, data);
        }
        match &mut self.last {
            Some((_, cipher)) => Ok(cipher),
            none => {
                let cipher = (self.cipher)(kid, protection.scheme)?;
                Ok(&none.insert((*kid, cipher)).1)
            }
        }
    }

    /// Decrypts what is gathered.
    pub(super) fn finish(&self, data: &mut [u8], chains: &mut Chains) {
        if let Some((_, cipher)) = &self.last {
            chains.flush(cipher, data);
        }
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
    // An error may have left some, of other bytes.
    work.chains.clear();
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
        let (clear, mut end) = (fragment.default.is_none(), end_of_last);
        let decrypted = fragment.decrypt(data, keys, work, room, &mut end);
        // What is in the clear is the muxer's to judge.
        if !clear {
            decrypted?;
        }
        end_of_last = end;
        if track.is_protected() {
            for child in child.children().filter(|child| is_auxiliary(child) || is_seig(child)) {
                free(data, at, &child);
            }
        }
    }
    Ok(())
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
    traf: BoxAt<'a>,
    /// The protection of its sample entry; `None` for one in the clear, whose samples all are.
    default: Option<Protection>,
    groups: Groups,
    sbgp: Option<Reader<'a>>,
    auxiliary: Auxiliary<'a>,
    /// Where data offsets count from.
    base: usize,
    sample_size: u32,
}

/// Samples in a row that are protected in the same way.
pub(super) struct Group {
    pub(super) left: u32,
    pub(super) protection: Protection,
    /// The IV of samples that have none of their own.
    pub(super) iv: Option<[u8; 16]>,
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
        // An explicit base counts from the start of a file, of which this may be a part: what is in use is the place
        // of the fragment itself.
        let base = if header.explicit_base || header.base_is_moof {
            moof
        } else {
            end_of_last
        };
        let number = usize::try_from(header.entry.unwrap_or(track.entry)).unwrap_or(usize::MAX);
        let default = match track.entries.get(number.saturating_sub(1)) {
            Some(default) => *default,
            None if !track.is_protected() => None,
            None => return Err(unreadable("a fragment with a sample entry that is not there")),
        };
        let mut fragment = Self {
            track,
            traf: *traf,
            default,
            groups: Groups::default(),
            sbgp: None,
            auxiliary: Auxiliary::None,
            base,
            sample_size: header.sample_size.unwrap_or(track.sample_size),
        };
        if let Some(default) = &mut fragment.default {
            let own = piff_protection(traf).ok_or_else(cut_auxiliary)?;
            *default = own.unwrap_or(*default);
            let groups = traf.children().filter(is_seig).find_map(|sgpd| Groups::read(&sgpd, default.scheme));
            fragment.groups = groups.unwrap_or_default();
            let sbgp = traf.children().find(|child| &child.kind == b"sbgp" && is_seig(child));
            fragment.sbgp = sbgp.and_then(|sbgp| group_runs(&sbgp));
            if !senc_is_known(traf) {
                return Err(unreadable(
                    "samples under several keys each (senc of version 1, ISO 23001-7:2023), which is not known here",
                ));
            }
            fragment.auxiliary = Auxiliary::of(traf, base).ok_or_else(cut_auxiliary)?;
        }
        Ok(fragment)
    }

    /// Sets `end` to where its data end. `room` is how many bytes samples may still have: in files that are right they lie
    /// side by side, and in others they could be decrypted over and over.
    fn decrypt(
        mut self,
        data: &mut [u8],
        keys: &mut Keys<'_>,
        work: &mut Work,
        room: &mut usize,
        end: &mut usize,
    ) -> Result<(), DecryptError> {
        let cut = || unreadable("a track run (trun) that is cut short");
        let mut at = self.base;
        let mut group: Option<Group> = None;
        // Auxiliary information of one sample has at most 255 bytes where it stands apart.
        let mut copied = [0; 255];
        for run in self.traf.children().filter(|child| &child.kind == b"trun") {
            let mut run = Run::read(&run).ok_or_else(cut)?;
            if let Some(offset) = run.offset {
                at = isize::try_from(offset)
                    .ok()
                    .and_then(|offset| self.base.checked_add_signed(offset))
                    .ok_or_else(|| unreadable("a data offset outside the segment"))?;
            }
            self.auxiliary.begin_run().ok_or_else(cut_auxiliary)?;
            if run.entry == 0 && self.sample_size == 0 {
                continue;
            }
            for _ in 0..run.count {
                let size = run.size().ok_or_else(cut)?.unwrap_or(self.sample_size);
                let size = usize::try_from(size).map_err(|_| cut())?;
                let behind = at.checked_add(size).filter(|behind| *behind <= data.len());
                let behind = behind.ok_or_else(|| unreadable("a sample that is not in the segment: it was cut short"))?;
                *room = room
                    .checked_sub(size)
                    .ok_or_else(|| unreadable("samples that lie over each other"))?;
                let sample = at..behind;
                at = behind;
                *end = at;
                let Some(default) = &self.default else { continue };
                let group = match &mut group {
                    Some(group) if group.left > 0 => group,
                    group => group.insert(next_group(&mut self.sbgp, default, &self.groups, self.track, keys.iv)?),
                };
                group.left -= 1;
                let protection = &group.protection;
                let entry = self
                    .auxiliary
                    .next(protection.iv_size.into(), data, &mut copied)
                    .ok_or_else(cut_auxiliary)?;
                if protection.protected && size > 0 {
                    let own = iv(entry.iv);
                    let iv = own
                        .as_ref()
                        .or(group.iv.as_ref())
                        .ok_or_else(|| unreadable("samples without an initialization vector: no senc, saiz or constant IV"))?;
                    let cipher = keys.of(protection, data, &mut work.chains)?;
                    open(data, sample, entry, protection, iv, cipher, work)?;
                }
            }
        }
        keys.finish(data, &mut work.chains);
        Ok(())
    }
}

/// How the next samples are protected, and how many: as their group says, or their entry (ISO 14496-12 §8.9.2, §8.9.4).
pub(super) fn next_group(
    sbgp: &mut Option<Reader<'_>>,
    default: &Protection,
    groups: &Groups,
    track: &Track,
    playlist_iv: Option<[u8; 16]>,
) -> Result<Group, DecryptError> {
    let group = |left, protection: Protection| Group {
        left,
        protection,
        iv: protection.constant_iv.or(playlist_iv.filter(|_| protection.iv_size == 0)),
    };
    let mut next = || sbgp.as_mut().and_then(|runs| Some((runs.u32()?, runs.u32()?)));
    let run = std::iter::from_fn(&mut next).find(|(count, _)| *count > 0);
    // Samples that none is said of have the default, where there is one (§8.9.3).
    let (left, index) = run.unwrap_or_else(|| match (groups.default, track.groups.default) {
        (0, index) => (u32::MAX, index),
        (index, _) => (u32::MAX, index.saturating_add(0x1_0000)),
    });
    let (groups, index) = match index {
        0 => return Ok(group(left, *default)),
        index @ 0x1_0001.. => (groups, index - 0x1_0001),
        index => (&track.groups, index - 1),
    };
    let described = usize::try_from(index)
        .ok()
        .and_then(|index| groups.entries.get(index).copied().flatten());
    // The scheme is that of the sample entry, whatever others the track has.
    let scheme = default.scheme;
    match described {
        Some(described) => Ok(group(left, Protection { scheme, ..described })),
        None => Err(unreadable(
            "a sample group (seig) that nothing describes, or in a way that is not known here",
        )),
    }
}

pub(super) fn cut_auxiliary() -> DecryptError {
    unreadable("sample auxiliary information (senc, saiz, saio) that is cut short")
}

/// Decrypts one sample, or what of it is protected (ISO 23001-7, 10).
#[inline]
pub(super) fn open(
    data: &mut [u8],
    sample: Range<usize>,
    entry: Entry<'_>,
    protection: &Protection,
    iv: &[u8; 16],
    cipher: &Aes128,
    work: &mut Work,
) -> Result<(), DecryptError> {
    let Work { chains, scratch } = work;
    let pattern = protection.pattern;
    match protection.scheme {
        // Most samples of sound are short: what there is to do beside the cipher counts.
        Scheme::Cbcs if entry.subsamples.is_empty() => {
            chains.begin(iv);
            chains.add(cipher, data, sample.start, sample.len(), pattern);
            Ok(())
        }
        Scheme::Cbcs => each(sample, entry.subsamples, |at, length| {
            chains.begin(iv);
            chains.add(cipher, data, at, length, pattern);
        }),
        // One chain through all subsamples.
        Scheme::Cbc1 => {
            chains.begin(iv);
            each(sample, entry.subsamples, |at, length| {
                chains.add(cipher, data, at, length, Pattern::ALL);
            })
        }
        Scheme::Cenc => {
            let mut counter = Counter::new(cipher, iv);
            each(sample, entry.subsamples, |at, length| counter.all(data, at, length))
        }
        Scheme::Cens => {
            let mut counter = Counter::new(cipher, iv);
            each(sample, entry.subsamples, |at, length| {
                counter.pattern(data, at, length, pattern, scratch);
            })
        }
    }
}

/// Calls `protected` for the place and length of what is protected of a sample: all of it, where it has no subsamples.
#[inline]
fn each(sample: Range<usize>, subsamples: &[u8], mut protected: impl FnMut(usize, usize)) -> Result<(), DecryptError> {
    if subsamples.is_empty() {
        protected(sample.start, sample.len());
        return Ok(());
    }
    let mut at = sample.start;
    let (pairs, _) = subsamples.as_chunks::<6>();
    for [c0, c1, s0, s1, s2, s3] in pairs {
        let clear = usize::from(u16::from_be_bytes([*c0, *c1]));
        let sealed = usize::try_from(u32::from_be_bytes([*s0, *s1, *s2, *s3])).unwrap_or(usize::MAX);
        let from = at + clear;
        at = from
            .checked_add(sealed)
            .filter(|end| *end <= sample.end)
            .ok_or_else(|| unreadable("subsamples that are larger than their sample"))?;
        protected(from, sealed);
    }
    Ok(())
}

/// The entries of `sbgp`: numbers of samples and group indices.
pub(super) fn group_runs<'a>(sbgp: &BoxAt<'a>) -> Option<Reader<'a>> {
    let mut reader = Reader(sbgp.body());
    let (version, _) = reader.full()?;
    reader.take(if version == 1 { 8 } else { 4 })?;
    reader.u32()?;
    Some(reader)
}
