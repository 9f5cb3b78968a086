//! Reading a finished file of this writer, to write it anew with samples that it lacks.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mp4_atom::{Co64, Ctts, Elst, Mvhd, Stco, Stsc, Stss, Stsz, StszSamples, Stts};

use super::{
    Metadata,
    metadata::EPOCH,
    writer::{Finish, Options, Writer},
};
use crate::{
    boxes::{BoxRef, Boxes},
    error::Error,
    fmp4::init,
    time::rescale,
    track::{Sample, TrackConfig},
};

/// The largest index that is read, in bytes.
const MAX_INDEX: u64 = 1 << 30;

/// A finished file, and the account of the one that is to be written in its place.
#[derive(Debug)]
pub struct Film {
    /// The tracks, in their order.
    pub tracks: Vec<FilmTrack>,
    /// Where the samples lie.
    pub media: Range<u64>,
    /// What the new file starts with: as much room for the index as the old one has.
    pub start: Vec<u8>,
    /// The account of the new file. It knows the tracks, by their place in `tracks`, and no sample.
    pub writer: Writer,
    /// The old file's `udta` box (ISO 14496-12 §8.10.1).
    udta: Vec<u8>,
}

/// A sample of a [`Film`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where its bytes are, in bytes from the start of the file.
    pub offset: u64,
    /// How many they are.
    pub size: u32,
    /// Its times. Those of all tracks of the file are on one clock. It lasts as long as the writer would say without a
    /// successor, so only the last of a track says how long.
    pub sample: Sample<()>,
    /// Its sample entry, counted from 0.
    pub entry: usize,
}

/// A track of a [`Film`], read front to back.
#[derive(Debug, Clone)]
pub struct FilmTrack {
    tables: Arc<Tables>,
    at: Place,
}

#[derive(Debug)]
struct Tables {
    number: usize,
    config: TrackConfig,
    entries: Vec<Bytes>,
    sizes: Vec<u32>,
    times: Stts,
    compositions: Ctts,
    syncs: Option<Stss>,
    runs: Stsc,
    chunks: Vec<u64>,
}

/// How far a reader has come in each table.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    sample: u32,
    /// The run and how many of it are used.
    time: (usize, u32),
    composition: (usize, u32),
    sync: usize,
    run: usize,
    chunk: usize,
    in_chunk: u32,
    /// Bytes of the chunk that are used.
    used: u64,
    dts: i64,
}

impl Film {
    /// Reads the index of a file.
    ///
    /// # Errors
    ///
    /// [`Error`]: it is no file of this writer, or damaged. What the reader cannot give counts as that.
    pub fn read<R: Read + Seek>(reader: &mut R) -> Result<Self, Error> {
        let (mut writer, mut start) = Writer::start(&Options::default());
        let (moov, media) = top_level(reader)?;
        let head = start.len() as u64;
        let reserved = media
            .start
            .checked_sub(head)
            .ok_or_else(|| strange("mdat", "it is too far in front"))?;
        if reserved > 0 {
            let bytes = u32::try_from(reserved).map_err(|_| strange("mdat", "it is too far behind"))?;
            writer.reserve(bytes, &mut start);
        }
        if start.len() as u64 != media.start {
            return Err(strange("mdat", "it is not where this program has it"));
        }
        let moov = Boxes::new(&moov).next().ok_or(Error::MissingBox("moov"))??;
        let movie: Mvhd = moov.child("mvhd")?.decode("mvhd")?;
        writer.set_metadata(Metadata {
            recorded: movie.creation_time.checked_sub(EPOCH),
            ..Metadata::default()
        });
        let mut edits = Vec::new();
        let mut tables = Vec::new();
        let traks = moov
            .children(0)
            .filter(|found| found.as_ref().is_ok_and(|found| &found.kind == b"trak"));
        for (number, (trak, described)) in traks.zip(init::tracks(moov)?).enumerate() {
            let trak = trak?;
            edits.push(Edit::of(trak)?);
            let init::InitTrack { config, entries, .. } = described;
            tables.push(Tables::of(number, config, entries, trak)?);
        }
        let tracks = on_one_clock(tables, &edits, movie.timescale)?;
        for track in &tracks {
            writer.add_track(track.config());
        }
        Ok(Self {
            tracks,
            media,
            start,
            writer,
            udta: moov.find("udta")?.map(|udta| udta.whole.to_vec()).unwrap_or_default(),
        })
    }

    /// Splits it into the account of the new file, with what that starts with, and the tracks of the old one.
    #[must_use]
    pub fn split(self) -> (Refill, Vec<FilmTrack>) {
        let Self {
            tracks,
            start,
            writer,
            udta,
            ..
        } = self;
        let entries = tracks.iter().map(|track| track.tables.entries.first().cloned().unwrap_or_default());
        let entries = entries.collect();
        let configs = tracks.iter().map(|track| track.config().clone()).collect();
        let refill = Refill {
            writer,
            start,
            udta,
            entries,
            configs,
        };
        (refill, tracks)
    }
}

/// The account of a file that is written anew.
#[derive(Debug)]
pub struct Refill {
    writer: Writer,
    start: Vec<u8>,
    udta: Vec<u8>,
    /// The sample entry in force, of each track.
    entries: Vec<Bytes>,
    configs: Vec<TrackConfig>,
}

impl Refill {
    /// What the file starts with. The second time it is empty.
    #[must_use]
    pub fn start(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.start)
    }

    /// Takes note of a sample with that sample entry, whose times are in ticks of the track.
    ///
    /// # Errors
    ///
    /// As [`Writer::add`].
    pub fn add(&mut self, track: usize, sample: &Sample<()>, entry: &Bytes, size: u32) -> Result<(), Error> {
        let (Some(current), Some(config)) = (self.entries.get_mut(track), self.configs.get_mut(track)) else {
            return Err(Error::UnknownTrack(track));
        };
        if current != entry {
            current.clone_from(entry);
            config.sample_entry.clone_from(entry);
            self.writer.configure(track, config)?;
        }
        self.writer.add(track, sample, usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// Ends the file, as [`Writer::finish`]. It tells of the film as a whole what the old file tells.
    ///
    /// # Errors
    ///
    /// As [`Writer::finish`].
    pub fn finish(self) -> Result<Finish, Error> {
        self.writer.finish_with(&self.udta)
    }
}

impl FilmTrack {
    /// Its place among the tracks of the file.
    #[must_use]
    pub fn number(&self) -> usize {
        self.tables.number
    }

    /// What it is. The times of its samples count in this timescale.
    #[must_use]
    pub fn config(&self) -> &TrackConfig {
        &self.tables.config
    }

    /// The box of a sample entry (ISO 14496-12 §8.5.2).
    #[must_use]
    pub fn entry(&self, number: usize) -> Bytes {
        self.tables.entries.get(number).cloned().unwrap_or_default()
    }

    /// Takes the samples that lie in a part of the file. Parts are asked for in the order of the file.
    ///
    /// # Errors
    ///
    /// [`Error::SampleOutside`] when one lies in front of the part, or partly in it.
    pub fn within(&mut self, part: &Range<u64>) -> Result<Vec<Placed>, Error> {
        let outside = || Error::SampleOutside {
            track: u32::try_from(self.tables.number + 1).unwrap_or(u32::MAX),
        };
        let (mut samples, mut at) = (Vec::new(), self.at);
        while let Some(placed) = self.tables.next(&mut at) {
            if placed.offset >= part.end {
                break;
            }
            if placed.entry >= self.tables.entries.len()
                || placed.offset < part.start
                || placed.offset.saturating_add(placed.size.into()) > part.end
            {
                return Err(outside());
            }
            samples.push(placed);
            self.at = at;
        }
        Ok(samples)
    }

    /// Where the next sample lies.
    #[must_use]
    pub fn next_offset(&self) -> Option<u64> {
        let mut at = self.at;
        self.tables.next(&mut at).map(|placed| placed.offset)
    }
}

impl Tables {
    fn of(number: usize, config: TrackConfig, entries: Vec<Bytes>, trak: BoxRef<'_>) -> Result<Self, Error> {
        let stbl = trak.child("mdia")?.child("minf")?.child("stbl")?;
        let chunks = match stbl.find("co64")? {
            Some(found) => found.decode::<Co64>("co64")?.entries,
            None => {
                let short: Stco = stbl.child("stco")?.decode("stco")?;
                short.entries.into_iter().map(u64::from).collect()
            }
        };
        let StszSamples::Different { sizes } = stbl.child("stsz")?.decode::<Stsz>("stsz")?.samples else {
            // Of such a table nothing says that its samples are there.
            return Err(strange("stsz", "no such table is written by this program"));
        };
        Ok(Self {
            number,
            config,
            entries,
            sizes,
            times: stbl.child("stts")?.decode("stts")?,
            compositions: match stbl.find("ctts")? {
                Some(found) => found.decode("ctts")?,
                None => Ctts { entries: Vec::new() },
            },
            syncs: match stbl.find("stss")? {
                Some(found) => Some(found.decode("stss")?),
                None => None,
            },
            runs: stbl.child("stsc")?.decode("stsc")?,
            chunks,
        })
    }

    /// The sample at `at`, which is moved behind it. `None` at the end of any table but `ctts`, which is left out where
    /// all its values are 0.
    fn next(&self, at: &mut Place) -> Option<Placed> {
        let size = *self.sizes.get(usize::try_from(at.sample).ok()?)?;
        let number = at.sample.checked_add(1)?;
        let delta = in_run(&mut at.time, |run| {
            self.times.entries.get(run).map(|run| (run.sample_count, run.sample_delta))
        })?;
        let composition = in_run(&mut at.composition, |run| {
            self.compositions.entries.get(run).map(|run| (run.sample_count, run.sample_offset))
        });
        let composition = composition.unwrap_or(0);
        let sync = match &self.syncs {
            None => true,
            Some(syncs) => {
                let found = syncs.entries.get(at.sync) == Some(&number);
                at.sync += usize::from(found);
                found
            }
        };
        let chunk_number = u32::try_from(at.chunk).ok()?.checked_add(1)?;
        while self
            .runs
            .entries
            .get(at.run + 1)
            .is_some_and(|next| next.first_chunk <= chunk_number)
        {
            at.run += 1;
        }
        let run = self.runs.entries.get(at.run)?;
        let offset = self.chunks.get(at.chunk)?.checked_add(at.used)?;
        at.in_chunk += 1;
        at.used += u64::from(size);
        if at.in_chunk >= run.samples_per_chunk {
            at.chunk += 1;
            (at.in_chunk, at.used) = (0, 0);
        }
        let dts = at.dts;
        at.dts = dts.checked_add(delta.into())?;
        at.sample = number;
        Some(Placed {
            offset,
            size,
            sample: Sample {
                dts,
                pts: dts.checked_add(composition)?,
                duration: (self.sizes.len() == usize::try_from(number).ok()?).then_some(delta),
                sync,
                data: (),
            },
            entry: usize::try_from(run.sample_description_index).ok()?.checked_sub(1)?,
        })
    }
}

/// The value at a place in a table of runs, which is moved on by one.
fn in_run<V>((run, used): &mut (usize, u32), entry: impl Fn(usize) -> Option<(u32, V)>) -> Option<V> {
    loop {
        let (count, value) = entry(*run)?;
        if *used < count {
            *used += 1;
            return Some(value);
        }
        (*run, *used) = (*run + 1, 0);
    }
}

/// What an edit list of this writer says (ISO 14496-12 §8.6.6).
#[derive(Debug, Clone, Copy)]
struct Edit {
    /// What the track waits, in ticks of the movie.
    empty: i64,
    /// Where presentation begins, in ticks of the track.
    media_time: i64,
}

impl Edit {
    fn of(trak: BoxRef<'_>) -> Result<Self, Error> {
        let list: Elst = trak.child("edts")?.child("elst")?.decode("elst")?;
        let ticks = |value: u64| i64::try_from(value).map_err(|_| Error::TooLarge("elst"));
        let (wait, edit) = match list.entries.as_slice() {
            [edit] => (0, edit),
            [wait, edit] if wait.media_time.is_none() => (ticks(wait.segment_duration)?, edit),
            _ => return Err(strange("elst", "no such list is written by this program")),
        };
        let media_time = edit.media_time.ok_or_else(|| strange("elst", "it presents nothing"))?;
        Ok(Self {
            empty: wait,
            media_time: ticks(media_time)?,
        })
    }
}

/// Gives all samples the times that they have on one clock: the writer kept the difference between tracks alone. A track of
/// which the edit list cuts something off is presented from 0 on.
fn on_one_clock(tables: Vec<Tables>, edits: &[Edit], movie_timescale: u32) -> Result<Vec<FilmTrack>, Error> {
    let earliest = |tables: &Tables| {
        let mut at = Place::default();
        std::iter::from_fn(|| tables.next(&mut at))
            .map(|placed| placed.sample.pts)
            .min()
            .unwrap_or(0)
    };
    let all: Vec<(Tables, Edit, i64)> = tables
        .into_iter()
        .zip(edits)
        .map(|(tables, edit)| {
            let earliest = earliest(&tables);
            (tables, *edit, earliest)
        })
        .collect();
    // The writer has no negative `media_time`.
    let is_cut = |edit: &Edit, earliest: i64| edit.media_time > earliest.max(0);
    let zero = match all.iter().find(|(_, edit, earliest)| is_cut(edit, *earliest)) {
        Some((_, edit, _)) => edit.empty,
        None => common_zero(
            all.iter().map(|(tables, edit, _)| (edit.empty, tables.config.timescale)),
            movie_timescale,
        ),
    };
    all.into_iter()
        .map(|(mut tables, edit, earliest)| {
            let start = rescale(edit.empty.saturating_sub(zero), movie_timescale, tables.config.timescale);
            let is_cut = is_cut(&edit, earliest);
            if is_cut && start != 0 || edit.media_time < earliest {
                return Err(strange("elst", "no such list is written by this program"));
            }
            tables.config.presentation_offset = is_cut.then_some(-edit.media_time);
            let dts = if is_cut { 0 } else { start.saturating_sub(earliest) };
            let at = Place { dts, ..Place::default() };
            Ok(FilmTrack {
                tables: Arc::new(tables),
                at,
            })
        })
        .collect()
}

/// A time of the movie from which each of these times is away by whole ticks of its track, given in ticks of the movie with that
/// timescale: the zero of the tracks' own times is one.
fn common_zero(starts: impl Iterator<Item = (i64, u32)>, movie_timescale: u32) -> i64 {
    let (mut zero, mut step) = (0_i64, 1_i64);
    for (start, timescale) in starts {
        let tick = i64::from(movie_timescale / timescale);
        if tick == 0 || !movie_timescale.is_multiple_of(timescale) {
            continue;
        }
        let Some(steps) = (0..tick).find(|steps| start.wrapping_sub(zero).wrapping_sub(steps.wrapping_mul(step)) % tick == 0) else {
            continue;
        };
        zero = zero.saturating_add(steps.saturating_mul(step));
        let (mut a, mut b) = (step, tick);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        step = (step / a).saturating_mul(tick);
    }
    zero
}

/// The `moov` box, and where the content of `mdat` lies.
fn top_level<R: Read + Seek>(reader: &mut R) -> Result<(Vec<u8>, Range<u64>), Error> {
    let failed = |error: std::io::Error| strange("moov", &error.to_string());
    let length = reader.seek(SeekFrom::End(0)).map_err(failed)?;
    let (mut at, mut moov, mut media) = (0_u64, None, None);
    while length.saturating_sub(at) >= 8 {
        reader.seek(SeekFrom::Start(at)).map_err(failed)?;
        let mut header = Vec::with_capacity(16);
        reader.by_ref().take(16).read_to_end(&mut header).map_err(failed)?;
        let mut found = [0; 16];
        found[..header.len()].copy_from_slice(&header);
        let [small, kind, large @ ..] = [0, 4, 8, 12].map(|at: usize| [found[at], found[at + 1], found[at + 2], found[at + 3]]);
        let (size, content) = match u32::from_be_bytes(small) {
            1 => (
                u64::from(u32::from_be_bytes(large[0])) << 32 | u64::from(u32::from_be_bytes(large[1])),
                16,
            ),
            size => (size.into(), 8),
        };
        let end = at.checked_add(size).filter(|end| size >= content && *end <= length);
        let Some(end) = end else {
            return Err(strange("mdat", "the boxes of the file do not fit into it"));
        };
        match &kind {
            b"moov" if size <= MAX_INDEX && moov.is_none() => {
                reader.seek(SeekFrom::Start(at)).map_err(failed)?;
                let mut bytes = Vec::new();
                reader.by_ref().take(size).read_to_end(&mut bytes).map_err(failed)?;
                moov = Some(bytes);
            }
            b"mdat" if media.is_none() => media = Some(at + content..end),
            b"moof" | b"moov" | b"mdat" => return Err(strange("moov", "it is not made as this program makes files")),
            _ => {}
        }
        at = end;
    }
    match (moov, media) {
        (Some(moov), Some(media)) => Ok((moov, media)),
        (None, _) => Err(Error::MissingBox("moov")),
        (_, None) => Err(Error::MissingBox("mdat")),
    }
}

fn strange(kind: &'static str, reason: &str) -> Error {
    Error::MalformedBox {
        kind,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::track::{Language, Roles, TrackKind};

    fn config(kind: TrackKind, timescale: u32, presentation_offset: Option<i64>) -> TrackConfig {
        TrackConfig {
            kind,
            handler: if kind == TrackKind::Video { *b"vide" } else { *b"soun" },
            timescale,
            sample_entry: Bytes::from_static(b"\0\0\0\x10avc1\0\0\0\0\0\0\0\x01"),
            display_size: (640, 360),
            matrix: None,
            language: Language::new(b"deu"),
            language_tag: Some("de-CH".into()),
            name: Some("A name".into()),
            roles: Roles::default(),
            presentation_offset,
        }
    }

    /// A file of samples (track, delta, composition, sync, size, other entry), and those, with their places.
    fn file(reserve: u32, offset: Option<i64>, start: [u16; 2], samples: &[(bool, u16, i16, bool, u8, bool)]) -> Vec<u8> {
        let (mut writer, mut bytes) = Writer::start(&Options::default().with_reserve(reserve));
        writer.set_metadata(Metadata {
            title: Some("The film".into()),
            recorded: Some(1_700_000_000),
            chapters: Vec::new(),
            ..Metadata::default()
        });
        let configs = [config(TrackKind::Video, 90_000, None), config(TrackKind::Audio, 48_000, offset)];
        for config in &configs {
            writer.add_track(config);
        }
        let mut dts = start.map(i64::from);
        for (audio, delta, composition, sync, size, other) in samples {
            let track = usize::from(*audio);
            let mut config = configs[track].clone();
            if *other {
                config.sample_entry = Bytes::from_static(b"\0\0\0\x10avc3\0\0\0\0\0\0\0\x01");
            }
            writer.configure(track, &config).unwrap();
            let sample = Sample {
                dts: dts[track],
                // Sound is not reordered.
                pts: dts[track] + if *audio { 0 } else { i64::from(*composition) },
                duration: None,
                sync: *sync,
                data: (),
            };
            dts[track] += i64::from(*delta);
            writer.add(track, &sample, usize::from(*size)).unwrap();
            bytes.extend(std::iter::repeat_n(*size, usize::from(*size)));
        }
        let finish = writer.finish().unwrap();
        bytes.extend(finish.append);
        for patch in finish.patches {
            let at = usize::try_from(patch.offset).unwrap();
            bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        bytes
    }

    /// The file written anew from its own samples.
    fn again(bytes: &[u8]) -> Vec<u8> {
        let film = Film::read(&mut Cursor::new(bytes)).unwrap();
        let media = film.media.clone();
        let (mut refill, tracks) = film.split();
        let mut samples = Vec::new();
        for mut track in tracks {
            for placed in track.within(&media).unwrap() {
                let entry = track.entry(placed.entry);
                samples.push((placed.offset, track.number(), placed, entry));
            }
        }
        samples.sort_by_key(|(offset, number, placed, _)| (*offset, placed.size, *number));
        let mut out = refill.start();
        for (offset, number, placed, entry) in samples {
            refill.add(number, &placed.sample, &entry, placed.size).unwrap();
            let at = usize::try_from(offset).unwrap();
            out.extend_from_slice(&bytes[at..at + placed.size as usize]);
        }
        let finish = refill.finish().unwrap();
        out.extend(finish.append);
        for patch in finish.patches {
            let at = usize::try_from(patch.offset).unwrap();
            out[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        out
    }

    proptest! {
        #[test]
        fn a_file_that_is_read_and_written_is_the_same(
            reserve in prop_oneof![Just(0_u32), 8_u32..4000],
            offset in prop_oneof![Just(None), Just(Some(-1024)), Just(Some(0))],
            start: [u16; 2],
            samples in proptest::collection::vec((any::<bool>(), 1_u16.., any::<i16>(), any::<bool>(), 1_u8.., any::<bool>()), 1..60),
        ) {
            let bytes = file(reserve, offset, start, &samples);
            prop_assert_eq!(again(&bytes), bytes);
        }

        #[test]
        fn whatever_is_read_ends(mut bytes in Just(file(500, None, [0, 7], &[(true, 9, 9, true, 9, false), (false, 5, 5, false, 5, true)])),
            changes: Vec<(u16, u8)>) {
            for (at, byte) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(film) = Film::read(&mut Cursor::new(&bytes)) {
                let media = film.media.clone();
                for mut track in film.tracks {
                    let _ = track.within(&media);
                }
            }
        }
    }
}
