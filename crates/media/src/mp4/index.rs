//! The `moov` box: tracks, edit lists and sample tables (ISO 14496-12 §8).

use std::time::Duration;

use mp4_atom::{BufMut, Dinf, Dref, Edts, Elst, ElstEntry, Encode, FixedPoint, Hdlr, Matrix, Mdhd, Mvhd, Nmhd, Smhd, Tkhd, Url, Vmhd};

use super::{table::Runs, writer::Track};
use crate::{
    boxes::Boxes,
    error::Error,
    sample_entry,
    time::{from_flicks, rescale, to_flicks},
    track::{KIND_SCHEME, Language, TrackKind},
};

/// The finest movie timescale; finer ones confuse players that keep durations in 32 bits.
const MAX_TIMESCALE: u64 = 50_000_000;

/// The index of a file, ready to be encoded.
pub(super) struct Index<'a> {
    tracks: Vec<&'a Track>,
    creation_time: u64,
    /// What is told of the film as a whole: a `udta` box (§8.10.1), or nothing.
    udta: &'a [u8],
    timescale: u32,
    /// When the first track begins, in flicks of the source's time: time 0 of the file.
    origin: i64,
    /// Added to the offsets of chunks.
    shift: u64,
    /// The samples are in fragments: the index has their tracks alone (§8.8.1).
    fragmented: bool,
}

/// Where a track stands on the movie's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Edit {
    /// Before the track begins, in ticks of the movie.
    empty: u64,
    /// Where presentation begins in the media, in ticks of the track.
    media_time: u64,
    /// How long the track is presented, in ticks of the movie.
    duration: u64,
}

impl Edit {
    /// How long the track takes in all; 0 where that is not known.
    fn whole(self) -> u64 {
        if self.duration == 0 { 0 } else { self.empty + self.duration }
    }
}

/// Where the samples are.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// In chunks, whose offsets are to be shifted.
    Chunks { shift: u64 },
    /// In fragments: the tables are empty.
    Fragments,
}

impl<'a> Index<'a> {
    pub(super) fn new(tracks: &'a [Track], creation_time: u64, udta: &'a [u8], shift: u64) -> Self {
        let tracks = tracks.iter().filter(|track| track.sizes.count() > 0).collect();
        Self {
            creation_time,
            udta,
            shift,
            ..Self::with(tracks, false)
        }
    }

    /// The index of a file whose samples are in fragments. The tracks know the first of them.
    pub(super) fn of_fragments(tracks: Vec<&'a Track>, creation_time: u64, udta: &'a [u8]) -> Self {
        Self {
            creation_time,
            udta,
            ..Self::with(tracks, true)
        }
    }

    fn with(tracks: Vec<&'a Track>, fragmented: bool) -> Self {
        let origin = tracks
            .iter()
            .filter(|track| track.sizes.count() > 0)
            .map(|track| to_flicks(presented_from(track), track.config.timescale))
            .min();
        Self {
            timescale: movie_timescale(&tracks),
            origin: origin.unwrap_or(0),
            creation_time: 0,
            udta: &[],
            shift: 0,
            fragmented,
            tracks,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let tables: usize = self.tracks.iter().map(|track| tables_size(track)).sum();
        let mut bytes = Vec::with_capacity(tables + 1024 * (1 + self.tracks.len()));
        let layout = if self.fragmented {
            Layout::Fragments
        } else {
            Layout::Chunks { shift: self.shift }
        };
        nest(&mut bytes, b"moov", |bytes| {
            let edits: Vec<Edit> = self.tracks.iter().map(|track| self.edit(track)).collect();
            let mvhd = Mvhd {
                creation_time: self.creation_time,
                timescale: self.timescale,
                duration: edits.iter().map(|edit| edit.whole()).max().unwrap_or(0),
                rate: FixedPoint::from(1),
                volume: FixedPoint::from(1),
                next_track_id: track_id(self.tracks.len()),
                ..Mvhd::default()
            };
            encode(bytes, &mvhd, "mvhd")?;
            for (number, (track, edit)) in self.tracks.iter().zip(edits).enumerate() {
                let group = self.alternate_group(track);
                let enabled = self.is_enabled(number, track);
                nest(bytes, b"trak", |bytes| {
                    trak(bytes, track, track_id(number), (group, enabled), edit, layout)
                })?;
            }
            if self.fragmented {
                nest(bytes, b"mvex", |bytes| {
                    (0..self.tracks.len()).try_for_each(|number| {
                        full(bytes, b"trex", 0, |bytes| {
                            // The first sample entry by default; the runs say the rest.
                            for field in [track_id(number), 1, 0, 0, 0] {
                                bytes.extend_from_slice(&field.to_be_bytes());
                            }
                            Ok(())
                        })
                    })
                })?;
            }
            bytes.extend_from_slice(self.udta);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Time 0 of the file, in ticks of `timescale` of the source's time.
    pub(super) fn origin(&self, timescale: u32) -> i64 {
        from_flicks(self.origin, timescale)
    }

    fn edit(&self, track: &Track) -> Edit {
        if track.sizes.count() == 0 {
            return Edit::default();
        }
        let timescale = track.config.timescale;
        let start = presented_from(track);
        let to_movie = |ticks| u64::try_from(rescale(ticks, timescale, self.timescale)).unwrap_or(0);
        let wait = to_flicks(start, timescale).saturating_sub(self.origin);
        Edit {
            empty: u64::try_from(from_flicks(wait, self.timescale)).unwrap_or(0),
            media_time: u64::try_from(start - track.offset - track.first_dts).unwrap_or(0),
            // 0 stands for all that the fragments bring (§8.6.6.3).
            duration: if self.fragmented {
                0
            } else {
                to_movie(track.end_pts.saturating_add(track.offset).saturating_sub(start))
            },
        }
    }

    /// Of alternatives the first is what plays unless somebody chooses; text is for those who ask for it (§8.3.2).
    fn is_enabled(&self, number: usize, track: &Track) -> bool {
        let kind = track.config.kind;
        let first = self.tracks.iter().position(|other| other.config.kind == kind);
        match kind {
            TrackKind::Video | TrackKind::Audio => first == Some(number),
            TrackKind::Subtitle => false,
            TrackKind::Other => true,
        }
    }

    /// Tracks of one kind are alternatives to each other (§8.3.2); a track without rivals is in no group.
    fn alternate_group(&self, track: &Track) -> u16 {
        let kind = track.config.kind;
        let rivals = self.tracks.iter().filter(|other| other.config.kind == kind).count();
        match kind {
            _ if rivals < 2 => 0,
            TrackKind::Video => 1,
            TrackKind::Audio => 2,
            TrackKind::Subtitle => 3,
            TrackKind::Other => 0,
        }
    }
}

/// When the track begins to be presented, in its ticks of the source's time. What an edit list of the source
/// puts before 0 is not presented.
fn presented_from(track: &Track) -> i64 {
    let first = track.first_pts.saturating_add(track.offset);
    if track.has_edits && track.offset < 0 && first < 0 && track.end_pts.saturating_add(track.offset) > 0 {
        0
    } else {
        first
    }
}

/// One in which all tracks' times are whole numbers, if it is not too fine; the first track's otherwise.
fn movie_timescale(tracks: &[&Track]) -> u32 {
    let common = tracks.iter().try_fold(1_u64, |common, track| {
        let timescale = u64::from(track.config.timescale);
        let multiple = common / gcd(common, timescale) * timescale;
        (multiple <= MAX_TIMESCALE).then_some(multiple)
    });
    let first = tracks.first().map_or(1000, |track| track.config.timescale);
    common
        .filter(|&common| common > 1)
        .and_then(|common| u32::try_from(common).ok())
        .unwrap_or(first)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// Track IDs count from 1.
fn track_id(number: usize) -> u32 {
    u32::try_from(number + 1).unwrap_or(u32::MAX)
}

fn trak(bytes: &mut Vec<u8>, track: &Track, id: u32, (group, enabled): (u16, bool), edit: Edit, layout: Layout) -> Result<(), Error> {
    let config = &track.config;
    let (width, height) = config.display_size;
    let side = |pixels: u32| FixedPoint::from(u16::try_from(pixels).unwrap_or(u16::MAX));
    let tkhd = Tkhd {
        track_id: id,
        duration: edit.whole(),
        alternate_group: group,
        enabled,
        in_movie: true,
        volume: FixedPoint::from(u8::from(config.kind == TrackKind::Audio)),
        matrix: config.matrix.map_or_else(Matrix::default, matrix),
        width: side(width),
        height: side(height),
        ..Tkhd::default()
    };
    encode(bytes, &tkhd, "tkhd")?;
    encode(bytes, &edit_list(edit), "edts")?;
    nest(bytes, b"mdia", |bytes| {
        let mdhd = Mdhd {
            timescale: config.timescale,
            duration: if let Layout::Fragments = layout {
                0
            } else {
                track.media_duration()
            },
            language: config.language.as_str().to_owned(),
            ..Mdhd::default()
        };
        encode(bytes, &mdhd, "mdhd")?;
        if let Some(tag) = config.language_tag.as_deref().filter(|tag| says_more(tag)) {
            full(bytes, b"elng", 0, |bytes| {
                bytes.extend_from_slice(tag.as_bytes());
                bytes.push(0);
                Ok(())
            })?;
        }
        let hdlr = Hdlr {
            handler: config.handler.into(),
            name: handler_name(config.kind, config.name.as_deref()),
        };
        encode(bytes, &hdlr, "hdlr")?;
        nest(bytes, b"minf", |bytes| {
            match &config.handler {
                b"vide" => encode(bytes, &Vmhd::default(), "vmhd")?,
                b"soun" => encode(bytes, &Smhd::default(), "smhd")?,
                b"subt" => full(bytes, b"sthd", 0, |_| Ok(()))?,
                _ => encode(bytes, &Nmhd::default(), "nmhd")?,
            }
            let dinf = Dinf {
                dref: Dref {
                    entries: vec![Url::default().into()],
                },
            };
            encode(bytes, &dinf, "dinf")?;
            nest(bytes, b"stbl", |bytes| stbl(bytes, track, layout))
        })
    })?;
    let mut kinds = Vec::new();
    for role in config.roles.kinds() {
        full(&mut kinds, b"kind", 0, |bytes| {
            for text in [KIND_SCHEME, role] {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(0);
            }
            Ok(())
        })?;
    }
    if kinds.is_empty() {
        return Ok(());
    }
    nest(bytes, b"udta", |bytes| {
        bytes.extend_from_slice(&kinds);
        Ok(())
    })
}

/// Whether a language tag says what the three letters of the media header cannot (§8.4.6). What is no tag is not written.
fn says_more(tag: &str) -> bool {
    let plain = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let bare = Language::from_bcp47(tag) != Language::UNDETERMINED && !tag.contains('-');
    plain && (1..=64).contains(&tag.len()) && !bare && !tag.eq_ignore_ascii_case("und")
}

fn matrix([a, b, u, c, d, v, x, y, w]: [i32; 9]) -> Matrix {
    Matrix { a, b, u, c, d, v, x, y, w }
}

fn handler_name(kind: TrackKind, name: Option<&str>) -> String {
    let default = match kind {
        TrackKind::Video => "Video",
        TrackKind::Audio => "Audio",
        TrackKind::Subtitle => "Subtitles",
        TrackKind::Other => "Data",
    };
    // The field ends at a zero byte.
    name.filter(|name| !name.is_empty()).unwrap_or(default).replace('\0', " ")
}

/// Waiting, if the track begins late, then all of it from `media_time` on (§8.6.6).
fn edit_list(edit: Edit) -> Edts {
    let mut entries = Vec::new();
    if edit.empty > 0 {
        entries.push(ElstEntry {
            segment_duration: edit.empty,
            media_time: None,
            media_rate: FixedPoint::from(1),
        });
    }
    entries.push(ElstEntry {
        segment_duration: edit.duration,
        media_time: Some(edit.media_time),
        media_rate: FixedPoint::from(1),
    });
    Edts {
        elst: Some(Elst { entries }),
    }
}

fn stbl(bytes: &mut Vec<u8>, track: &Track, layout: Layout) -> Result<(), Error> {
    full(bytes, b"stsd", 0, |bytes| {
        put(bytes, track.entries.len() as u64, "stsd")?;
        for entry in &track.entries {
            bytes.extend_from_slice(entry);
        }
        Ok(())
    })?;
    let Layout::Chunks { shift } = layout else {
        return empty_tables(bytes);
    };
    full(bytes, b"stts", 0, |bytes| {
        put(bytes, track.durations.count().into(), "stts")?;
        for (delta, count) in track.durations.iter() {
            put(bytes, count.into(), "stts")?;
            put(bytes, u64::try_from(delta).unwrap_or(0), "stts")?;
        }
        Ok(())
    })?;
    if !is_always(&track.compositions, 0) {
        full(bytes, b"ctts", u8::from(track.negative_composition), |bytes| {
            put(bytes, track.compositions.count().into(), "ctts")?;
            for (offset, count) in track.compositions.iter() {
                put(bytes, count.into(), "ctts")?;
                bytes.extend_from_slice(&i32::try_from(offset).map_err(|_| Error::TooLarge("ctts"))?.to_be_bytes());
            }
            Ok(())
        })?;
    }
    // Without the box every sample is a sync sample (§8.6.2).
    if track.syncs.count() < track.sizes.count() {
        full(bytes, b"stss", 0, |bytes| {
            put(bytes, track.syncs.count().into(), "stss")?;
            track.syncs.iter().try_for_each(|number| put(bytes, number, "stss"))
        })?;
    }
    stsc(bytes, track)?;
    full(bytes, b"stsz", 0, |bytes| {
        put(bytes, 0, "stsz")?;
        put(bytes, track.sizes.count().into(), "stsz")?;
        track.sizes.iter().try_for_each(|size| put(bytes, size, "stsz"))
    })?;
    let shortest = track
        .durations
        .iter()
        .map(|(duration, _)| duration)
        .filter(|duration| *duration > 0)
        .min();
    if let Some(distance) = pre_roll(&track.entries, track.config.timescale, shortest) {
        roll(bytes, distance, (track.sizes.count(), 1))?;
    }
    if u32::try_from(track.chunks.last() + shift).is_ok() {
        full(bytes, b"stco", 0, |bytes| {
            put(bytes, track.chunks.count().into(), "stco")?;
            track.chunks.iter().try_for_each(|offset| put(bytes, offset + shift, "stco"))
        })
    } else {
        full(bytes, b"co64", 0, |bytes| {
            put(bytes, track.chunks.count().into(), "co64")?;
            track
                .chunks
                .iter()
                .for_each(|offset| bytes.extend_from_slice(&(offset + shift).to_be_bytes()));
            Ok(())
        })
    }
}

/// How many samples a decoder is to have decoded before one of these for that to be right: of Opus 80 ms (Opus in ISOBMFF
/// §4.3.6.2), of AAC the one before, whose second half overlaps its first (ISO 14496-3 §4.6.11). `None` for any other codec.
/// The `shortest` of the samples is told in ticks.
pub(super) fn pre_roll(entries: &[bytes::Bytes], timescale: u32, shortest: Option<i64>) -> Option<i16> {
    let entries = entries.iter().map(|entry| Boxes::new(entry).next()?.ok());
    let distances = entries.map(|entry| {
        let entry = entry?;
        match &entry.kind {
            b"Opus" => {
                let shortest = shortest?;
                let needed = rescale(80, 1000, timescale);
                let samples = needed.saturating_add(shortest - 1) / shortest;
                i16::try_from(samples.max(1)).ok()
            }
            b"mp4a" => {
                let (object_type, specific) = sample_entry::object_type(sample_entry::audio(entry, "esds").ok()?).ok()?;
                // AAC LC, and what carries it under SBR and PS (ISO 14496-3 table 1.17).
                let plain = specific.first().is_some_and(|first| matches!(first >> 3, 2 | 5 | 29));
                (object_type == 0x40 && plain).then_some(1)
            }
            _ => None,
        }
    });
    // One that differs from the rest would need groups of its own.
    let mut distances: Vec<Option<i16>> = distances.collect();
    distances.dedup();
    match distances[..] {
        [Some(distance)] => Some(-distance),
        _ => None,
    }
}

/// Groups all samples as ones that need so many before them to be decoded: `roll` (ISO 14496-12 §8.9, §10.1). `group` is what
/// the first group is called: 1, or in a track fragment that describes its groups itself 0x10001 (§8.9.4).
pub(super) fn roll(bytes: &mut Vec<u8>, distance: i16, (samples, group): (u32, u32)) -> Result<(), Error> {
    full(bytes, b"sgpd", 1, |bytes| {
        bytes.extend_from_slice(b"roll");
        put(bytes, 2, "sgpd")?;
        put(bytes, 1, "sgpd")?;
        bytes.extend_from_slice(&distance.to_be_bytes());
        Ok(())
    })?;
    full(bytes, b"sbgp", 0, |bytes| {
        bytes.extend_from_slice(b"roll");
        for field in [1, samples, group] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        Ok(())
    })
}

/// The tables that a track must have, of no samples.
fn empty_tables(bytes: &mut Vec<u8>) -> Result<(), Error> {
    for (kind, fields) in [(b"stts", 1), (b"stsc", 1), (b"stsz", 2), (b"stco", 1)] {
        full(bytes, kind, 0, |bytes| {
            bytes.extend(std::iter::repeat_n(0, 4 * fields));
            Ok(())
        })?;
    }
    Ok(())
}

/// Runs of chunks that hold equally many samples of the same entry (§8.7.4).
fn stsc(bytes: &mut Vec<u8>, track: &Track) -> Result<(), Error> {
    full(bytes, b"stsc", 0, |bytes| {
        put(bytes, track.chunk_samples.count().into(), "stsc")?;
        let mut first_chunk = 1_u64;
        for (key, chunks) in track.chunk_samples.iter() {
            let key = key.cast_unsigned();
            put(bytes, first_chunk, "stsc")?;
            put(bytes, key & u64::from(u32::MAX), "stsc")?;
            put(bytes, key >> 32, "stsc")?;
            first_chunk += u64::from(chunks);
        }
        Ok(())
    })
}

fn is_always(runs: &Runs, value: i64) -> bool {
    runs.iter().all(|(other, _)| other == value)
}

/// About what the tables take when encoded, to allocate once.
fn tables_size(track: &Track) -> usize {
    let runs = track.durations.count() + track.compositions.count();
    let chunks = u64::from(track.chunks.count()) * 8 + u64::from(track.chunk_samples.count()) * 12;
    let samples = u64::from(track.sizes.count()) * 4 + u64::from(track.syncs.count()) * 4;
    let entries: usize = track.entries.iter().map(bytes::Bytes::len).sum();
    usize::try_from(u64::from(runs) * 8 + chunks + samples).unwrap_or(0) + entries
}

/// What the boxes of a track take besides the tables, generously.
const TRACK_BYTES: u64 = 1024;

/// About what the index takes for `length` of media like that of `tracks` so far, and an eighth more.
pub(super) fn estimate(tracks: &[Track], length: Duration) -> u64 {
    let of = |track: &Track| {
        let samples = u64::from(track.sizes.count());
        let tables = samples * 4
            + u64::from(track.durations.count()) * 8
            // Where pictures are reordered at all, assume that each differs from the one before.
            + if is_always(&track.compositions, 0) { 0 } else { samples * 8 }
            + if track.syncs.count() < track.sizes.count() { u64::from(track.syncs.count()) * 4 } else { 0 }
            // An offset of 64 bits, and a run of samples to a chunk.
            + u64::from(track.chunks.count()) * 20;
        let covered = u128::from(track.media_duration().max(1)) * 1000 / u128::from(track.config.timescale);
        let scaled = u128::from(tables) * length.as_millis() / covered.max(1);
        let scaled = u64::try_from(scaled.saturating_mul(9) / 8).unwrap_or(u64::MAX);
        let entries: usize = track.entries.iter().map(bytes::Bytes::len).sum();
        scaled.saturating_add(TRACK_BYTES + entries as u64)
    };
    tracks.iter().map(of).fold(TRACK_BYTES, u64::saturating_add)
}

/// A box with whatever `content` puts into it.
pub(super) fn nest(bytes: &mut Vec<u8>, kind: &[u8; 4], content: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<(), Error> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(kind);
    content(bytes)?;
    let size = u32::try_from(bytes.len() - start).map_err(|_| Error::TooLarge("moov"))?;
    bytes.set_slice(start, &size.to_be_bytes());
    Ok(())
}

/// A box with version and flags; the flags are 0.
pub(crate) fn full(
    bytes: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    nest(bytes, kind, |bytes| {
        bytes.extend_from_slice(&[version, 0, 0, 0]);
        content(bytes)
    })
}

pub(crate) fn put(bytes: &mut Vec<u8>, value: u64, kind: &'static str) -> Result<(), Error> {
    let value = u32::try_from(value).map_err(|_| Error::TooLarge(kind))?;
    bytes.extend_from_slice(&value.to_be_bytes());
    Ok(())
}

fn encode(bytes: &mut Vec<u8>, value: &impl Encode, kind: &'static str) -> Result<(), Error> {
    value.encode(bytes).map_err(|_| Error::TooLarge(kind))
}
