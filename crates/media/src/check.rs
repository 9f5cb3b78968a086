//! Proving a finished file by its container alone: are its boxes and packets whole, and do they fit together?
//!
//! It reads from any `Read` and `Seek`, front to back, and keeps nothing but the index of an MP4 or of a Matroska file.

mod packets;

use std::io::{self, Read, Seek, SeekFrom};

use mp4_atom::{Co64, Ctts, Elst, Mdhd, Stco, Stsc, Stss, Stsz, StszSamples, Stts, Tfdt, Tfhd, Tkhd, Trex, Trun, TrunSamples};

use self::packets::{PACKET, SYNC, packets};
use crate::boxes::{BoxRef, Boxes};

/// The largest index that is read, in bytes.
const MAX_INDEX: u64 = 1 << 30;
/// Problems that are told one by one.
const MOST_TOLD: usize = 20;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// "MP4", "fragmented MP4", "Matroska", "MPEG-TS"; `None` for what is none of these. Whoever checks something else says what that is.
    pub container: Option<&'static str>,
    /// What is wrong, as fragments for people: the first twenty.
    pub problems: Vec<String>,
    /// How many things are wrong.
    pub wrong: u64,
    /// Samples of an MP4, frames of a Matroska file, or packets of a transport stream.
    pub units: u64,
}

impl Checked {
    pub(crate) fn wrong(&mut self, what: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.problems.len() < MOST_TOLD {
            self.problems.push(what());
        }
    }
}

/// Checks a whole file. `joints` are the offsets, rising, at which segments that were made apart begin; `None` where
/// nobody knows them.
///
/// # Errors
///
/// Those of the reader.
pub fn check<R: Read + Seek>(reader: &mut R, joints: Option<&[u64]>) -> io::Result<Checked> {
    let length = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(0))?;
    let mut head = [0; PACKET + 1];
    let read = read_up_to(reader, &mut head)?;
    reader.seek(SeekFrom::Start(0))?;
    let mut checked = Checked::default();
    if head
        .get(4..8)
        .is_some_and(|kind| [b"ftyp", b"styp", b"moov", b"moof"].iter().any(|known| **known == *kind))
    {
        boxes(reader, length, joints, &mut checked)?;
    } else if head[..4] == crate::mkv::EBML {
        crate::mkv::check(reader, length, &mut checked)?;
    } else if head[0] == SYNC && (read <= PACKET || head[PACKET] == SYNC) {
        packets(reader, joints, &mut checked)?;
    }
    Ok(checked)
}

pub(crate) fn read_up_to<R: Read>(reader: &mut R, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Boxes on the top level, and what the index or the fragments say of the rest (ISO 14496-12 §4.2).
fn boxes<R: Read + Seek>(reader: &mut R, length: u64, joints: Option<&[u64]>, checked: &mut Checked) -> io::Result<()> {
    checked.container = Some("MP4");
    let (mut at, mut media) = (0, Vec::new());
    let (mut index, mut fragments) = (None, None::<Fragments<'_>>);
    while at < length {
        reader.seek(SeekFrom::Start(at))?;
        let mut header = [0; 16];
        let read = read_up_to(reader, &mut header)?;
        let small = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let (size, header_size) = match small {
            0 => (length - at, 8),
            1 if read == 16 => (header[8..].try_into().map_or(0, u64::from_be_bytes), 16),
            size => (size.into(), 8),
        };
        let kind = String::from_utf8_lossy(&header[4..8]).into_owned();
        let end = at.saturating_add(size);
        if read < 8 || size < header_size || end > length {
            checked.wrong(|| format!("byte {at}: the box `{}` does not fit into the file", kind.escape_default()));
            return Ok(());
        }
        match kind.as_str() {
            "mdat" => media.push((at + header_size, end)),
            "moov" | "moof" if size <= MAX_INDEX => {
                reader.seek(SeekFrom::Start(at))?;
                let mut bytes = Vec::new();
                reader.by_ref().take(size).read_to_end(&mut bytes)?;
                if kind == "moov" {
                    if let Some(fragments) = &mut fragments {
                        fragments.defaults = sample_sizes(&bytes);
                    }
                    index = Some(bytes);
                } else {
                    let sizes = || index.as_deref().map(sample_sizes).unwrap_or_default();
                    let fragments = fragments.get_or_insert_with(|| Fragments::new(sizes(), joints));
                    // What came before it belongs to the one before.
                    fragments.place(&media, checked);
                    media.clear();
                    fragments.take(&bytes, at, checked);
                }
            }
            "moov" | "moof" => checked.wrong(|| format!("byte {at}: an index of {size} bytes")),
            _ => {}
        }
        at = end;
    }
    match (index, fragments) {
        (None, _) => checked.wrong(|| "there is no index (`moov`)".into()),
        (Some(index), None) => movie(&index, &media, checked),
        (Some(_), Some(mut fragments)) => {
            checked.container = Some("fragmented MP4");
            fragments.place(&media, checked);
        }
    }
    Ok(())
}

/// The sizes that samples have where their fragment tells none, by track (ISO 14496-12 §8.8.3).
fn sample_sizes(index: &[u8]) -> Vec<(u32, u32)> {
    let read = || -> Result<Vec<(u32, u32)>, crate::Error> {
        let moov = Boxes::new(index).next().ok_or(crate::Error::MissingBox("moov"))??;
        let Some(extends) = moov.find("mvex")? else { return Ok(Vec::new()) };
        let mut sizes = Vec::new();
        for found in extends.children(0) {
            let found = found?;
            if &found.kind == b"trex" {
                let trex: Trex = found.decode("trex")?;
                sizes.push((trex.track_id, trex.default_sample_size));
            }
        }
        Ok(sizes)
    };
    read().unwrap_or_default()
}

/// Movie fragments, one after the other (ISO 14496-12 §8.8).
struct Fragments<'a> {
    defaults: Vec<(u32, u32)>,
    joints: Option<&'a [u64]>,
    /// Of each track, its decode time in the last fragment of a segment, and where that fragment begins.
    times: Vec<(u32, u64, u64)>,
    /// Where the last one begins, and where its samples lie.
    last: u64,
    runs: Vec<(u64, u64)>,
}

impl<'a> Fragments<'a> {
    fn new(defaults: Vec<(u32, u32)>, joints: Option<&'a [u64]>) -> Self {
        Self {
            defaults,
            joints,
            times: Vec::new(),
            last: 0,
            runs: Vec::new(),
        }
    }

    /// The samples of the last fragment lie in the media behind it.
    fn place(&mut self, media: &[(u64, u64)], checked: &mut Checked) {
        let last = self.last;
        for (start, end) in self.runs.drain(..) {
            if start < end && !media.iter().any(|(from, to)| *from <= start && end <= *to) {
                checked.wrong(|| format!("byte {last}: samples of this fragment, from {start} to {end}, are not in the file"));
            }
        }
    }

    /// Reads a fragment that begins at `at`: its tracks, where in time they are, and where their samples lie.
    fn take(&mut self, bytes: &[u8], at: u64, checked: &mut Checked) {
        self.last = at;
        match self.read(bytes, at) {
            Ok((0, ..)) => checked.wrong(|| format!("byte {at}: a fragment without a track")),
            Ok((_, samples, back)) => {
                checked.units += samples;
                for track in back {
                    checked.wrong(|| format!("byte {at}: the decode time of track {track} runs back"));
                }
            }
            Err(error) => checked.wrong(|| format!("byte {at}: a fragment that cannot be read: {error}")),
        }
    }

    /// Takes the decode time of a track in a fragment that begins at `at`: whether it runs back (ISO 14496-12 §8.8.12). Segments
    /// that were made apart may do so where they are joined, and nobody knows where a segment begins without `joints`.
    fn runs_back(&mut self, track: u32, time: u64, at: u64) -> bool {
        let Some(joints) = self.joints else { return false };
        let known = self.times.iter_mut().find(|(known, ..)| *known == track);
        let Some((_, last, before)) = known else {
            self.times.push((track, time, at));
            return false;
        };
        let first = joints.partition_point(|joint| *joint <= *before);
        let joined = joints.get(first).is_some_and(|joint| *joint <= at);
        let back = !joined && time < *last;
        (*last, *before) = (time, at);
        back
    }

    /// Gives the number of tracks and of samples, and the tracks whose time runs back.
    fn read(&mut self, bytes: &[u8], at: u64) -> Result<(u64, u64, Vec<u32>), crate::Error> {
        let moof = Boxes::new(bytes).next().ok_or(crate::Error::MissingBox("moof"))??;
        let (mut tracks, mut samples, mut back) = (0, 0, Vec::new());
        for traf in moof.children(0) {
            let traf = traf?;
            if &traf.kind != b"traf" {
                continue;
            }
            let header: Tfhd = traf.child("tfhd")?.decode("tfhd")?;
            if let Some(time) = traf.find("tfdt")? {
                let time: Tfdt = time.decode("tfdt")?;
                if self.runs_back(header.track_id, time.base_media_decode_time, at) {
                    back.push(header.track_id);
                }
            }
            let default = self.defaults.iter().find(|(track, _)| *track == header.track_id);
            let default = header.default_sample_size.or(default.map(|(_, size)| *size));
            // An absolute offset is that in the segment, which nobody knows here; without one, the first track begins with the
            // fragment (§8.8.7.1).
            let mut end = (header.base_data_offset.is_none() && (header.default_base_is_moof || tracks == 0)).then_some(at);
            for run in traf.children(0) {
                let run = run?;
                if &run.kind != b"trun" {
                    continue;
                }
                let run: Trun = run.decode("trun")?;
                samples += run.samples.len() as u64;
                let sizes = match &run.samples {
                    TrunSamples::Inherited { count, .. } => default.map(|size| u64::from(*count) * u64::from(size)),
                    TrunSamples::Explicit(entries) => entries.iter().map(|entry| entry.size.or(default).map(u64::from)).sum(),
                };
                let start = match run.data_offset {
                    Some(offset) => end.and_then(|_| at.checked_add_signed(offset.into())),
                    None => end,
                };
                end = start.zip(sizes).and_then(|(start, sizes)| start.checked_add(sizes));
                self.runs.extend(start.zip(end));
            }
            tracks += 1;
        }
        Ok((tracks, samples, back))
    }
}

fn movie(bytes: &[u8], media: &[(u64, u64)], checked: &mut Checked) {
    let mut tracks = || -> Result<u64, crate::Error> {
        let mut tracks = 0;
        let moov = Boxes::new(bytes).next().ok_or(crate::Error::MissingBox("moov"))??;
        for trak in moov.children(0) {
            let trak = trak?;
            if &trak.kind == b"trak" {
                tracks += 1;
                track(tracks, trak, media, checked)?;
            }
        }
        Ok(tracks)
    };
    match tracks() {
        Ok(0) => checked.wrong(|| "the index has no track".into()),
        Ok(_) => {}
        Err(error) => checked.wrong(|| format!("the index cannot be read: {error}")),
    }
}

/// The tables of a track tell of the same samples, and all of them lie in the media (ISO 14496-12 §8.6, §8.7).
fn track(number: u64, trak: BoxRef<'_>, media: &[(u64, u64)], checked: &mut Checked) -> Result<(), crate::Error> {
    let mdia = trak.child("mdia")?;
    let header: Mdhd = mdia.child("mdhd")?.decode("mdhd")?;
    let stbl = mdia.child("minf")?.child("stbl")?;
    let sizes: Stsz = stbl.child("stsz")?.decode("stsz")?;
    let times: Stts = stbl.child("stts")?.decode("stts")?;
    let runs: Stsc = stbl.child("stsc")?.decode("stsc")?;
    let chunks: Vec<u64> = match stbl.find("co64")? {
        Some(found) => found.decode::<Co64>("co64")?.entries,
        None => stbl
            .child("stco")?
            .decode::<Stco>("stco")?
            .entries
            .into_iter()
            .map(u64::from)
            .collect(),
    };
    let count = match &sizes.samples {
        StszSamples::Identical { count, .. } => u64::from(*count),
        StszSamples::Different { sizes } => sizes.len() as u64,
    };
    checked.units += count;
    let timed: u64 = times.entries.iter().map(|entry| u64::from(entry.sample_count)).sum();
    let mut tables = vec![("stts", timed)];
    if let Some(found) = stbl.find("ctts")? {
        let composed: Ctts = found.decode("ctts")?;
        tables.push(("ctts", composed.entries.iter().map(|entry| u64::from(entry.sample_count)).sum()));
    }
    for (name, told) in tables {
        if told != count {
            checked.wrong(|| format!("track {number}: `{name}` tells of {told} samples, not {count}"));
        }
    }
    let lasts = times.entries.iter().fold(0_u64, |sum, entry| {
        sum.saturating_add(u64::from(entry.sample_count) * u64::from(entry.sample_delta))
    });
    if lasts != header.duration {
        checked.wrong(|| format!("track {number}: its samples last {lasts} ticks, not {}", header.duration));
    }
    if let Some(found) = stbl.find("stss")? {
        let syncs: Stss = found.decode("stss")?;
        let rising = syncs.entries.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || syncs.entries.last().is_some_and(|last| u64::from(*last) > count) {
            checked.wrong(|| format!("track {number}: sync samples that are not there"));
        }
    }
    place(number, &chunks, &runs, &sizes, count, media, checked);
    if let Some(edts) = trak.find("edts")?
        && let Some(list) = edts.find("elst")?
    {
        let presented: Tkhd = trak.child("tkhd")?.decode("tkhd")?;
        edits(number, &list.decode("elst")?, presented.duration, header.duration, checked);
    }
    Ok(())
}

/// Edits present what is there, for as long as the track says (ISO 14496-12 §8.3.2.3, §8.6.6.3). Each may be rounded by a tick.
fn edits(number: u64, list: &Elst, presented: u64, media: u64, checked: &mut Checked) {
    let lasts = list
        .entries
        .iter()
        .fold(0_u64, |sum, edit| sum.saturating_add(edit.segment_duration));
    if lasts.abs_diff(presented) > list.entries.len() as u64 {
        checked.wrong(|| format!("track {number}: its edits last {lasts} ticks of the movie, not {presented}"));
    }
    for begin in list
        .entries
        .iter()
        .filter_map(|edit| edit.media_time)
        .filter(|begin| *begin > media)
    {
        checked.wrong(|| format!("track {number}: an edit begins at tick {begin} of {media}"));
    }
}

/// Each chunk with its samples lies in the media.
fn place(number: u64, chunks: &[u64], runs: &Stsc, sizes: &Stsz, count: u64, media: &[(u64, u64)], checked: &mut Checked) {
    let mut runs = runs.entries.iter().peekable();
    let (mut samples_per_chunk, mut sample) = (0_u64, 0_u64);
    for (chunk, offset) in (1_u64..).zip(chunks) {
        while let Some(run) = runs.next_if(|run| u64::from(run.first_chunk) <= chunk) {
            samples_per_chunk = run.samples_per_chunk.into();
        }
        let next = sample.saturating_add(samples_per_chunk).min(count);
        let bytes: u64 = match &sizes.samples {
            StszSamples::Identical { size, .. } => (next - sample).saturating_mul((*size).into()),
            StszSamples::Different { sizes } => {
                let range = usize::try_from(sample).unwrap_or(usize::MAX)..usize::try_from(next).unwrap_or(usize::MAX);
                sizes.get(range).unwrap_or_default().iter().map(|size| u64::from(*size)).sum()
            }
        };
        let end = offset.saturating_add(bytes);
        // They are in the order of the file.
        let before = media.partition_point(|(from, _)| from <= offset);
        if before.checked_sub(1).and_then(|at| media.get(at)).is_none_or(|(_, to)| end > *to) {
            checked.wrong(|| format!("track {number}: samples {sample} to {next} are not in the file"));
        }
        sample = next;
    }
    if sample != count {
        checked.wrong(|| format!("track {number}: its chunks hold {sample} samples, not {count}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;

    fn read(name: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-server/media");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn checked(bytes: &[u8]) -> Checked {
        check(&mut Cursor::new(bytes), None).unwrap()
    }

    fn transport_stream() -> Vec<u8> {
        (0..6).flat_map(|n| read(&format!("high-ts/{n}.ts"))).collect()
    }

    #[test]
    fn whole_files_are_whole() {
        let fragmented: Vec<u8> = std::iter::once("init.mp4".to_owned())
            .chain((0..6).map(|n| format!("{n}.m4s")))
            .flat_map(|name| read(&format!("high-fmp4/{name}")))
            .collect();
        // 288 pictures and 564 audio frames (ffprobe); packets: length / 188.
        for (name, bytes, container, units) in [
            ("film.mp4", read("film.mp4"), "MP4", Some(288 + 564)),
            ("fragmented", fragmented, "fragmented MP4", Some(288 + 564)),
            ("transport stream", transport_stream(), "MPEG-TS", Some(200_784 / 188)),
            (
                "joined out of order",
                [read("high-ts/3.ts"), read("high-ts/0.ts")].concat(),
                "MPEG-TS",
                None,
            ),
        ] {
            let found = checked(&bytes);
            assert_eq!((found.container, found.problems.as_slice()), (Some(container), &[][..]), "{name}");
            assert!(units.is_none_or(|units| units == found.units), "{name}: {} units", found.units);
        }
        assert_eq!(checked(b"just text").container, None);
        assert_eq!(checked(b"").container, None);
    }

    #[test]
    fn what_is_missing_or_broken_is_told() {
        let film = read("film.mp4");
        let stream = transport_stream();
        let without_packet = [&stream[..188 * 20], &stream[188 * 21..]].concat();
        let mut broken = stream.clone();
        broken[188 * 30] = 0;
        for (name, bytes, says) in [
            ("an MP4 cut short", film[..film.len() - 1000].to_vec(), "does not fit"),
            ("half a packet", stream[..stream.len() - 100].to_vec(), "cut short"),
            ("a packet is missing", without_packet, "are missing"),
            ("a sync byte is broken", broken, "byte 5640: no transport packet"),
        ] {
            let found = checked(&bytes);
            assert!(found.wrong > 0 && found.problems[0].contains(says), "{name}: {found:?}");
            assert!(found.container.is_some(), "{name}");
        }
        // Version, flags and count; then the duration of the first edit, and where it begins.
        let list = film.windows(4).position(|kind| kind == b"elst").unwrap() + 12;
        for (field, says) in [(list, "its edits last"), (list + 4, "an edit begins at tick")] {
            let mut other = film.clone();
            other[field] = 0x70;
            let found = checked(&other);
            assert!(found.wrong == 1 && found.problems[0].contains(says), "{found:?}");
        }
        let mdat = film.windows(4).position(|kind| kind == b"mdat").unwrap() - 4;
        let mut shorter = film;
        // What was media is none any more.
        shorter[mdat + 4..mdat + 8].copy_from_slice(b"free");
        assert!(checked(&shorter).problems[0].contains("are not in the file"));
    }

    #[test]
    fn decode_times_run_back_only_where_segments_are_joined() {
        let [init, first, second] = ["init.mp4", "1.m4s", "0.m4s"].map(|name| read(&format!("high-fmp4/{name}")));
        let joints = [0, init.len() as u64, (init.len() + first.len()) as u64];
        let bytes = [init, first, second].concat();
        for (name, joints, tracks) in [
            ("two segments", Some(&joints[..]), 0),
            ("one segment", Some(&joints[..2]), 2),
            ("nobody knows", None, 0),
        ] {
            let found = check(&mut Cursor::new(&bytes), joints).unwrap();
            let told = found.problems.iter().filter(|problem| problem.contains("runs back")).count();
            assert_eq!((found.wrong, told), (tracks, usize::try_from(tracks).unwrap()), "{name}: {found:?}");
        }
    }

    #[test]
    fn the_samples_of_a_fragment_lie_behind_it() {
        let whole = [read("high-fmp4/init.mp4"), read("high-fmp4/0.m4s"), read("high-fmp4/1.m4s")].concat();
        let place = |kind: &[u8]| whole.windows(4).position(|found| found == kind).unwrap() - 4;
        let size = |at: usize| u32::from_be_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
        let mdat = place(b"mdat");
        // The media without its last byte, and all boxes still whole.
        let mut shorter = whole.clone();
        let end = mdat + size(mdat);
        shorter.remove(end - 1);
        shorter[mdat..mdat + 4].copy_from_slice(&u32::try_from(end - mdat - 1).unwrap().to_be_bytes());
        let mut elsewhere = whole.clone();
        elsewhere[mdat + 4..mdat + 8].copy_from_slice(b"free");
        for (name, bytes) in [("shorter", shorter), ("elsewhere", elsewhere)] {
            let found = checked(&bytes);
            assert!(
                found.wrong > 0 && found.problems[0].contains("are not in the file"),
                "{name}: {found:?}"
            );
        }
        assert_eq!(checked(&whole).wrong, 0);
    }
}
