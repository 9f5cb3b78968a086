//! Writing fragmented MP4 (ISO 14496-12 §8.8) with the structure of CMAF (ISO 23000-19): one header, then movie fragments.

use bytes::Bytes;
use memchr::memmem;
use mp4_atom::{Encode, FourCC, Ftyp};
use serde::{Deserialize, Serialize};

use super::{
    index::{Index, full, nest, pre_roll, roll},
    metadata::Metadata,
    writer::Track,
};
use crate::{
    emsg::Message,
    error::Error,
    sample_entry::decodes_as,
    time::{FLICKS, rescale, to_flicks},
    track::{Sample, TrackConfig},
};

/// `default-base-is-moof` of a track fragment (§8.8.7).
const BASE_IS_MOOF: u32 = 0x02_0000;
/// A run with its data offset, and with duration, size, flags and composition offset of each sample (§8.8.8).
const RUN: u32 = 0x0f01;
/// Sample flags (§8.8.3.1): depends on no other; depends on others, and is no sync sample.
const SYNC: u32 = 0x0200_0000;
const NO_SYNC: u32 = 0x0101_0000;
/// The first group that a track fragment describes itself (§8.9.4).
const OWN_GROUP: u32 = 0x1_0001;
/// Messages that wait for the fragment of their time, and bytes of them.
const MAX_MESSAGES: usize = 1024;
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Writes fragmented MP4 in one pass, to anything.
///
/// The header comes with the first fragment: tracks are added before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FragmentWriter {
    tracks: Vec<FragmentTrack>,
    started: bool,
    header_len: usize,
    /// Number of the last fragment.
    sequence: u32,
    /// Time 0 of the file, in flicks.
    origin: i64,
    messages: Vec<Message>,
    /// Number of the next message that has none.
    next_message: u32,
    metadata: Metadata,
}

#[derive(Debug, Serialize, Deserialize)]
struct FragmentTrack {
    /// Takes the samples of the first fragment, to know where the track begins.
    track: Track,
    entry: Bytes,
    timescale: u32,
    /// Decode time of the first sample, which becomes 0.
    first_dts: Option<i64>,
    entries: Vec<Entry>,
    data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Entry {
    dts: i64,
    composition: i32,
    duration: Option<u32>,
    size: u32,
    sync: bool,
}

impl FragmentWriter {
    /// Sets what is told of the film as a whole. It stands in the header, so it is told before the first fragment.
    pub fn set_metadata(&mut self, metadata: Metadata) {
        self.metadata = metadata;
    }

    /// Adds a track, and returns its number, from 0; `None` when the header has been written without it.
    pub fn add_track(&mut self, config: &TrackConfig) -> Option<usize> {
        if self.started {
            return None;
        }
        self.tracks.push(FragmentTrack {
            track: Track::new(config),
            entry: config.sample_entry.clone(),
            timescale: config.timescale.max(1),
            first_dts: None,
            entries: Vec::new(),
            data: Vec::new(),
        });
        Some(self.tracks.len() - 1)
    }

    /// Changes how times of what comes next in `track` count.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`]; [`Error::LateChange`] for another sample entry, which the header cannot have any more.
    pub fn configure(&mut self, track: usize, config: &TrackConfig) -> Result<(), Error> {
        let number = track;
        let track = self.tracks.get_mut(number).ok_or(Error::UnknownTrack(number))?;
        if !decodes_as(&track.entry, &config.sample_entry) {
            return Err(Error::LateChange(number));
        }
        track.timescale = config.timescale.max(1);
        Ok(())
    }

    /// Takes a sample for the next fragment.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`]; [`Error::TimeRunsBack`] when it would be decoded before its predecessor;
    /// [`Error::TooLarge`] for a sample of 4 GiB or a hole of 2³² ticks.
    pub fn add(&mut self, track: usize, sample: &Sample<&[u8]>) -> Result<(), Error> {
        let number = track;
        let track = self.tracks.get_mut(number).ok_or(Error::UnknownTrack(number))?;
        let size = u32::try_from(sample.data.len()).map_err(|_| Error::TooLarge("trun"))?;
        let scale = |ticks| rescale(ticks, track.timescale, track.track.config.timescale);
        let (dts, pts) = (scale(sample.dts), scale(sample.pts));
        let composition = i32::try_from(pts.saturating_sub(dts)).map_err(|_| Error::TooLarge("trun"))?;
        let duration = sample.duration.and_then(|duration| u32::try_from(scale(duration.into())).ok());
        if let Some(last) = track.entries.last_mut() {
            let delta = dts.saturating_sub(last.dts);
            if delta < 0 {
                return Err(Error::TimeRunsBack {
                    track: number,
                    dts,
                    previous: last.dts,
                });
            }
            last.duration = Some(u32::try_from(delta).map_err(|_| Error::TooLarge("trun"))?);
        }
        if !self.started {
            let sample = Sample {
                dts,
                pts,
                duration,
                sync: sample.sync,
                data: (),
            };
            track.track.add_in_own_ticks(number, &sample)?;
        }
        track.first_dts.get_or_insert(dts);
        track.entries.push(Entry {
            dts,
            composition,
            duration,
            size,
            sync: sample.sync,
        });
        track.data.extend_from_slice(sample.data);
        Ok(())
    }

    /// Takes a message that is due at its time, on the clock of the samples' presentation, for the fragment that plays then.
    /// One that waits already is the same. Returns whether there is room: 1024 wait at most, of 4 MiB in all.
    pub fn message(&mut self, message: Message) -> bool {
        if self.messages.contains(&message) {
            return true;
        }
        let waiting: usize = self.messages.iter().map(Message::weight).sum();
        let fits = self.messages.len() < MAX_MESSAGES && waiting + message.weight() <= MAX_MESSAGE_BYTES;
        if fits {
            self.messages.push(message);
        }
        fits
    }

    /// Forgets the samples of a track that wait, as media behind them was passed over.
    pub fn skip(&mut self, track: usize) {
        if let Some(track) = self.tracks.get_mut(track) {
            track.entries.clear();
            track.data.clear();
        }
    }

    /// Counts on from where the fragment at the end of `front` stands, which a writer of the same tracks wrote: its number, and that of
    /// the last message before it.
    pub fn go_on_behind(&mut self, front: &[u8]) {
        // A `moof` begins with an `mfhd` of 16 bytes (§8.8.5).
        let number = |at: usize| front.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        let Some(moof) = memmem::rfind(front, b"moof\0\0\0\x10mfhd\0\0\0\0") else {
            return;
        };
        self.sequence = number(moof + 16).unwrap_or(self.sequence);
        // Version 1 of an `emsg`, whose number stands behind 24 bytes of other fields (ISO 23009-1 §5.10.3.3).
        let message = memmem::rfind(front, b"emsg\x01\0\0\0").and_then(|emsg| number(emsg + 24));
        self.next_message = message.unwrap_or(self.next_message);
    }

    /// How long the header is; 0 before it is written.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Appends the messages that are due before `until`, in flicks, or all.
    fn write_messages(&mut self, until: Option<i64>, out: &mut Vec<u8>) -> Result<(), Error> {
        let waits = |message: &Message| until.is_some_and(|until| message.flicks() >= until);
        let (later, mut due): (Vec<_>, Vec<_>) = std::mem::take(&mut self.messages).into_iter().partition(waits);
        self.messages = later;
        due.sort_by_key(Message::flicks);
        for message in due {
            // What is due before the file begins is when it does.
            let time = message.time.saturating_sub(rescale(self.origin, FLICKS, message.timescale));
            let id = message.id.unwrap_or_else(|| {
                self.next_message = self.next_message.wrapping_add(1);
                self.next_message
            });
            message.encode(u64::try_from(time).unwrap_or(0), id, out)?;
        }
        Ok(())
    }

    /// Appends a fragment of what came, if something did, and the header before the first. The last sample of a track
    /// waits for the next one where nothing tells how long it lasts, unless this is the `end`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for a fragment of 2 GiB.
    pub fn flush(&mut self, end: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        let counts: Vec<usize> = self.tracks.iter().map(|track| track.ready(end)).collect();
        if counts.iter().all(|count| *count == 0) {
            return if end && self.started {
                self.write_messages(None, out)
            } else {
                Ok(())
            };
        }
        if !self.started {
            let before = out.len();
            self.header(out)?;
            self.header_len = out.len() - before;
            self.started = true;
        }
        let ends = self
            .tracks
            .iter()
            .zip(&counts)
            .filter_map(|(track, count)| track.presented_until(*count));
        let until = ends.max();
        self.write_messages(until.filter(|_| !end), out)?;
        self.sequence = self.sequence.wrapping_add(1);
        let start = out.len();
        // Where each run says that its data begins.
        let mut offsets = Vec::new();
        nest(out, b"moof", |out| {
            full(out, b"mfhd", 0, |out| {
                out.extend_from_slice(&self.sequence.to_be_bytes());
                Ok(())
            })?;
            for ((track, &count), id) in self.tracks.iter().zip(&counts).zip(1_u32..) {
                if count > 0 {
                    nest(out, b"traf", |out| track.traf(id, count, &mut offsets, out))?;
                }
            }
            Ok(())
        })?;
        let mut offset = out.len() - start + 8;
        let mut runs = offsets.into_iter();
        for (track, &count) in self.tracks.iter().zip(&counts).filter(|(_, count)| **count > 0) {
            let at = runs.next().unwrap_or(start);
            let value = i32::try_from(offset).map_err(|_| Error::TooLarge("trun"))?;
            if let Some(field) = out.get_mut(at..at + 4) {
                field.copy_from_slice(&value.to_be_bytes());
            }
            offset += track.bytes(count);
        }
        let size = u32::try_from(offset - (out.len() - start)).map_err(|_| Error::TooLarge("mdat"))?;
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(b"mdat");
        for (track, &count) in self.tracks.iter_mut().zip(&counts) {
            let bytes = track.bytes(count);
            out.extend_from_slice(track.data.get(..bytes).unwrap_or(&[]));
            track.data.drain(..bytes.min(track.data.len()));
            track.entries.drain(..count);
        }
        Ok(())
    }

    fn header(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let ftyp = Ftyp {
            // iso6: tfdt, default-base-is-moof and signed composition offsets.
            major_brand: FourCC::new(b"iso6"),
            minor_version: 0,
            compatible_brands: [b"iso6", b"mp41"].map(FourCC::new).to_vec(),
        };
        ftyp.encode(out).map_err(|_| Error::TooLarge("ftyp"))?;
        let tracks: Vec<&Track> = self.tracks.iter().map(|track| &track.track).collect();
        let mut udta = Vec::new();
        self.metadata.encode(&mut udta)?;
        let index = Index::of_fragments(tracks, self.metadata.creation_time(), &udta);
        out.extend_from_slice(&index.encode()?);
        // One that brings its first sample later counts from the beginning of the file.
        let late: Vec<i64> = self.tracks.iter().map(|track| index.origin(track.track.config.timescale)).collect();
        self.origin = index.origin(FLICKS);
        for (track, origin) in self.tracks.iter_mut().zip(late) {
            track.first_dts.get_or_insert(origin);
        }
        Ok(())
    }
}

impl FragmentTrack {
    /// How many samples can be written now.
    fn ready(&self, end: bool) -> usize {
        match self.entries.last() {
            Some(last) if last.duration.is_none() && !end => self.entries.len() - 1,
            _ => self.entries.len(),
        }
    }

    /// When the first `count` samples have been presented, in flicks.
    fn presented_until(&self, count: usize) -> Option<i64> {
        let ends = self.entries.iter().take(count).map(|entry| {
            let presented = entry.dts.saturating_add(entry.composition.into()).saturating_add(self.track.offset);
            presented.saturating_add(entry.duration.unwrap_or(0).into())
        });
        Some(to_flicks(ends.max()?, self.track.config.timescale))
    }

    fn bytes(&self, count: usize) -> usize {
        self.entries.iter().take(count).map(|entry| entry.size as usize).sum()
    }

    /// The content of a `traf` box. `offsets` gets the place of the run's data offset.
    fn traf(&self, id: u32, count: usize, offsets: &mut Vec<usize>, out: &mut Vec<u8>) -> Result<(), Error> {
        full(out, b"tfhd", 0, |out| {
            flags(out, BASE_IS_MOOF);
            out.extend_from_slice(&id.to_be_bytes());
            Ok(())
        })?;
        full(out, b"tfdt", 1, |out| {
            let first = self.entries.first().map_or(0, |entry| entry.dts);
            let time = u64::try_from(first.saturating_sub(self.first_dts.unwrap_or(0))).unwrap_or(0);
            out.extend_from_slice(&time.to_be_bytes());
            Ok(())
        })?;
        full(out, b"trun", 1, |out| {
            flags(out, RUN);
            let samples = u32::try_from(count).map_err(|_| Error::TooLarge("trun"))?;
            out.extend_from_slice(&samples.to_be_bytes());
            offsets.push(out.len());
            out.extend_from_slice(&[0; 4]);
            for entry in self.entries.iter().take(count) {
                let fields = [entry.duration.unwrap_or(0), entry.size, if entry.sync { SYNC } else { NO_SYNC }];
                for field in fields {
                    out.extend_from_slice(&field.to_be_bytes());
                }
                out.extend_from_slice(&entry.composition.to_be_bytes());
            }
            Ok(())
        })?;
        // The last one may be cut off, which makes its packet no shorter.
        let durations = self.entries.iter().take(count.max(2) - 1).filter_map(|entry| entry.duration);
        let shortest = durations.filter(|duration| *duration > 0).min().map(i64::from);
        match pre_roll(std::slice::from_ref(&self.entry), self.track.config.timescale, shortest) {
            Some(distance) => roll(out, distance, (u32::try_from(count).unwrap_or(u32::MAX), OWN_GROUP)),
            None => Ok(()),
        }
    }
}

/// Sets the flags of the full box that has just begun: three bytes behind its version.
fn flags(out: &mut [u8], flags: u32) {
    let at = out.len().saturating_sub(3);
    for (byte, flag) in out[at..].iter_mut().zip(&flags.to_be_bytes()[1..]) {
        *byte = *flag;
    }
}
