//! A progressive MP4: its samples are where the tables of its tracks say (ISO 14496-12 §8.7), and what else it takes to open
//! them stands beside those (`senc`, ISO 23001-7, 7.2).

use aqueduct_core::DecryptError;

use super::auxiliary::{Auxiliary, senc_is_known};
use super::boxes::{BoxAt, Reader};
use super::fragment::{Group, Keys, Work, cut_auxiliary, group_runs, next_group, open};
use super::init::Track;
use super::protection::{Groups, Protection, is_seig, iv};
use super::{auxiliary::Entry, unreadable};

/// The most encrypted samples of a file: more than a day of film. Each takes 40 bytes and its subsamples.
const MOST: usize = 1 << 21;

/// The encrypted samples of a file that are still to come.
#[derive(Clone, Default)]
pub(super) struct Plan {
    /// In the order of their places.
    samples: Vec<Sample>,
    next: usize,
    protections: Vec<Protection>,
    subsamples: Vec<u8>,
    work: Work,
}

#[derive(Clone, Copy)]
struct Sample {
    /// From the start of the file.
    at: u64,
    size: u32,
    iv: [u8; 16],
    /// The number of its protection.
    protection: u32,
    /// Where its subsamples are, and how many bytes of them.
    subsamples: (u32, u32),
}

impl Plan {
    /// What the tables in `moov` say of its `tracks`.
    pub(super) fn read(moov: &BoxAt<'_>, tracks: &[Track], user_iv: Option<[u8; 16]>) -> Result<Self, DecryptError> {
        let mut plan = Self::default();
        for (stbl, track) in tables(moov, tracks) {
            let stbl = stbl.ok_or_else(|| unreadable("a track without its tables"))?;
            plan.add(&stbl, track, user_iv)?;
        }
        plan.samples.sort_by_key(|sample| sample.at);
        let behind = |sample: &Sample| sample.at.saturating_add(sample.size.into());
        if plan
            .samples
            .windows(2)
            .any(|pair| matches!(pair, [one, next] if behind(one) > next.at))
        {
            return Err(unreadable("samples that lie over each other"));
        }
        Ok(plan)
    }

    fn add(&mut self, stbl: &BoxAt<'_>, track: &Track, user_iv: Option<[u8; 16]>) -> Result<(), DecryptError> {
        if track.entries.iter().any(Option::is_none) {
            return Err(unreadable("a track that is encrypted in part, in an MP4 that is not fragmented"));
        }
        if !senc_is_known(stbl) {
            return Err(unreadable(
                "samples under several keys each (senc of version 1, ISO 23001-7:2023), which is not known here",
            ));
        }
        let mut auxiliary = Auxiliary::of(stbl, 0).ok_or_else(cut_auxiliary)?;
        if matches!(auxiliary, Auxiliary::Apart { .. }) {
            return Err(unreadable(
                "an MP4 that is not fragmented, whose auxiliary information is not in senc",
            ));
        }
        let sbgp = stbl.children().find(|child| &child.kind == b"sbgp" && is_seig(child));
        let mut sbgp = sbgp.and_then(|sbgp| group_runs(&sbgp));
        let (mut group, mut copied): (Option<(usize, Group)>, _) = (None, [0; 255]);
        let mut places = Places::read(stbl).ok_or_else(cut_tables)?;
        while let Some(place) = places.next().map_err(|()| cut_tables())? {
            let default = track.entries.get(place.entry).copied().flatten();
            let default = default.ok_or_else(|| unreadable("a sample with a sample entry that is not there"))?;
            let group = match &mut group {
                Some((entry, group)) if *entry == place.entry && group.left > 0 => group,
                group => {
                    let next = next_group(&mut sbgp, &default, &Groups::default(), track, user_iv)?;
                    &mut group.insert((place.entry, next)).1
                }
            };
            group.left -= 1;
            let protection = group.protection;
            let entry = auxiliary
                .next(protection.iv_size.into(), &[], &mut copied)
                .ok_or_else(cut_auxiliary)?;
            if protection.protected && place.size > 0 {
                let own = iv(entry.iv).or(group.iv);
                let iv = own.ok_or_else(|| unreadable("samples without an initialization vector: no senc or constant IV"))?;
                self.push(&place, iv, protection, entry)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, place: &Place, iv: [u8; 16], protection: Protection, entry: Entry<'_>) -> Result<(), DecryptError> {
        if self.samples.len() == MOST {
            return Err(unreadable("an MP4 of more than two million encrypted samples"));
        }
        if self.protections.last() != Some(&protection) {
            self.protections.push(protection);
        }
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        self.samples.push(Sample {
            at: place.at,
            size: place.size,
            iv,
            protection: number(self.protections.len() - 1),
            subsamples: (number(self.subsamples.len()), number(entry.subsamples.len())),
        });
        self.subsamples.extend_from_slice(entry.subsamples);
        Ok(())
    }

    /// Decrypts the samples that are in `data` whole, of which the first byte is at `from` in the file. Gives how many bytes
    /// need nothing more.
    pub(super) fn open(&mut self, data: &mut [u8], from: u64, keys: &mut Keys<'_>) -> Result<usize, DecryptError> {
        let mut ready = data.len();
        while let Some(sample) = self.samples.get(self.next) {
            let start = sample.at.checked_sub(from);
            let start = start
                .ok_or_else(|| unreadable("an MP4 whose tables (moov) stand behind its encrypted media, so that no key opens it here; without one, --format raw keeps it"))?;
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            if start >= data.len() {
                break;
            }
            let end = start.saturating_add(usize::try_from(sample.size).unwrap_or(usize::MAX));
            if end > data.len() {
                ready = start;
                break;
            }
            let protection = usize::try_from(sample.protection)
                .ok()
                .and_then(|number| self.protections.get(number));
            let (at, length) = sample.subsamples;
            let subsamples = usize::try_from(at).ok().and_then(|at| self.subsamples.get(at..));
            let subsamples = subsamples.and_then(|rest| rest.get(..usize::try_from(length).ok()?));
            let (Some(protection), Some(subsamples)) = (protection, subsamples) else {
                return Err(cut_auxiliary());
            };
            let cipher = keys.of(protection, data, &mut self.work.chains)?;
            let entry = Entry { iv: &[], subsamples };
            open(data, start..end, entry, protection, &sample.iv, cipher, &mut self.work)?;
            self.next += 1;
        }
        keys.finish(data, &mut self.work.chains);
        Ok(ready)
    }

    /// Whether all of them came.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.samples.len()
    }
}

/// The tables of the tracks that are encrypted.
fn tables<'a>(moov: &BoxAt<'a>, tracks: &'a [Track]) -> impl Iterator<Item = (Option<BoxAt<'a>>, &'a Track)> {
    const WAY: [&[u8; 4]; 3] = [b"mdia", b"minf", b"stbl"];
    let traks = moov.children().filter(|child| &child.kind == b"trak");
    let protected = traks.zip(tracks).filter(|(_, track)| track.is_protected());
    protected.map(|(trak, track)| (WAY.iter().try_fold(trak, |parent, kind| parent.child(kind)), track))
}

/// Whether encrypted samples are told of in `moov`, and not in fragments.
pub(super) fn has_samples(moov: &BoxAt<'_>, tracks: &[Track]) -> bool {
    let mut tables = tables(moov, tracks).filter_map(|(stbl, _)| Places::read(&stbl?));
    tables.any(|places| places.left > 0)
}

fn cut_tables() -> DecryptError {
    unreadable("tables of samples (stsc, stsz, stco) that are cut short")
}

/// Where a sample is.
struct Place {
    at: u64,
    size: u32,
    /// The number of its sample entry, from 0.
    entry: usize,
}

/// The places of the samples of a track, one by one (ISO 14496-12 §8.7.3 to §8.7.5).
struct Places<'a> {
    /// The size of all, or 0 where each has its own.
    size: u32,
    sizes: Reader<'a>,
    /// Samples that are left.
    left: u32,
    wide: bool,
    chunks: Reader<'a>,
    runs: Reader<'a>,
    /// The number of the next chunk, from 1, and of the one in which the next run begins.
    chunk: u32,
    next_run: Option<u32>,
    per_chunk: u32,
    entry: usize,
    /// Samples that are left in the chunk, and where the next is.
    in_chunk: u32,
    at: u64,
}

impl<'a> Places<'a> {
    fn read(stbl: &BoxAt<'a>) -> Option<Self> {
        let table = |kind: &[u8; 4]| {
            let mut reader = Reader(stbl.child(kind)?.body());
            reader.full()?;
            Some(reader)
        };
        let mut sizes = table(b"stsz")?;
        let (size, left) = (sizes.u32()?, sizes.u32()?);
        let wide = stbl.child(b"stco").is_none();
        let mut chunks = table(if wide { b"co64" } else { b"stco" })?;
        chunks.u32()?;
        let mut runs = table(b"stsc")?;
        runs.u32()?;
        let next_run = runs.u32();
        Some(Self {
            size,
            sizes,
            left,
            wide,
            chunks,
            runs,
            chunk: 1,
            next_run,
            per_chunk: 0,
            entry: 0,
            in_chunk: 0,
            at: 0,
        })
    }

    /// The next one; `None` within at the end.
    fn next(&mut self) -> Result<Option<Place>, ()> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.in_chunk == 0 {
            self.begin_chunk().ok_or(())?;
        }
        let size = if self.size > 0 { self.size } else { self.sizes.u32().ok_or(())? };
        let (at, entry) = (self.at, self.entry);
        self.at = at.checked_add(size.into()).ok_or(())?;
        (self.left, self.in_chunk) = (self.left - 1, self.in_chunk - 1);
        Ok(Some(Place { at, size, entry }))
    }

    fn begin_chunk(&mut self) -> Option<()> {
        if self.next_run == Some(self.chunk) {
            self.per_chunk = self.runs.u32()?;
            self.entry = usize::try_from(self.runs.u32()?).ok()?.checked_sub(1)?;
            self.next_run = self.runs.u32();
        }
        self.at = if self.wide { self.chunks.u64()? } else { self.chunks.u32()?.into() };
        self.in_chunk = self.per_chunk;
        self.chunk = self.chunk.checked_add(1)?;
        Some(())
    }
}
