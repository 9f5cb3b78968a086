//! The order of a file's bytes, and the account of its samples.

use std::time::Duration;

use bytes::Bytes;
use mp4_atom::{Encode, FourCC, Ftyp};
use serde::{Deserialize, Serialize};

use super::{
    index::{self, Index},
    metadata::Metadata,
    table::{Numbers, Rising, Runs},
};
use crate::{
    error::Error,
    time::rescale,
    track::{Sample, TrackConfig},
};

/// How a file is laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Bytes to keep free in front of the media for the index, so that playing can begin before all is there
    /// ("fast start"). When the index turns out larger it goes to the end, as it does with 0, the default.
    pub reserve: u32,
}

impl Options {
    /// The same with this many bytes reserved for the index.
    #[must_use]
    pub fn with_reserve(mut self, bytes: u32) -> Self {
        self.reserve = bytes;
        self
    }
}

/// Bytes to write over what is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where they go, in bytes from the start of the file.
    pub offset: u64,
    /// What goes there.
    pub bytes: Vec<u8>,
}

/// What completes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finish {
    /// Bytes for the end of the file; empty where the index fits into what was reserved.
    pub append: Vec<u8>,
    /// Bytes to overwrite, after `append` is safe.
    pub patches: Vec<Patch>,
    /// Whether the index stands in front of the media.
    pub fast_start: bool,
}

/// Samples of one track in a row without other bytes between them (ISO 14496-12 §8.7) are at most this many
/// bytes, so that a player can read a chunk at once.
const MAX_CHUNK_BYTES: u64 = 4 << 20;

/// `mdat` header with `largesize` (ISO 14496-12 §4.2): 16 bytes.
const MDAT_HEADER: u64 = 16;

/// Keeps the account of an MP4 file that its caller writes.
///
/// It can be put aside and taken up again by another process, at a cost that does not grow with the file: serialised it
/// is what came since it was last [marked as saved](Self::mark_saved), and [`put_behind`](Self::put_behind) joins such
/// parts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Writer {
    pub(super) tracks: Vec<Track>,
    /// Length of the file so far, without what is reserved.
    position: u64,
    /// Bytes for an index in front of the media, before `mdat`.
    reserved: u64,
    /// Where the `mdat` box begins, without what is reserved.
    mdat: u64,
    /// The track of the last sample: another one begins a chunk.
    last_track: Option<usize>,
    metadata: Metadata,
}

/// One track and its tables.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Track {
    /// The first configuration; the timescale of the track is its.
    pub(super) config: TrackConfig,
    pub(super) entries: Vec<Bytes>,
    /// Timescale and `stsd` index of what comes next.
    timescale: u32,
    entry: u32,
    /// What `presentation_offset` adds, in ticks of the track.
    pub(super) offset: i64,
    pub(super) has_edits: bool,
    pub(super) first_dts: i64,
    last_dts: i64,
    last_duration: i64,
    /// First and last composition times, without the offset.
    pub(super) first_pts: i64,
    pub(super) end_pts: i64,
    pub(super) sizes: Numbers,
    pub(super) durations: Runs,
    pub(super) compositions: Runs,
    pub(super) negative_composition: bool,
    /// Numbers of the sync samples, from 1.
    pub(super) syncs: Rising,
    pub(super) chunks: Rising,
    /// Samples of each chunk, and its `stsd` index, as one number.
    pub(super) chunk_samples: Runs,
    open_chunk: Option<Chunk>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Chunk {
    entry: u32,
    samples: u32,
    end: u64,
    start: u64,
}

impl Chunk {
    fn key(self) -> i64 {
        i64::from(self.entry) << 32 | i64::from(self.samples)
    }
}

impl Writer {
    /// Begins a file: the bytes are what it starts with.
    #[must_use]
    pub fn start(options: &Options) -> (Self, Vec<u8>) {
        let mut bytes = Vec::new();
        let ftyp = Ftyp {
            major_brand: FourCC::new(b"isom"),
            minor_version: 0x200,
            // iso4: signed composition offsets; mp41: the profile that players look for.
            compatible_brands: [b"isom", b"iso2", b"iso4", b"mp41"].map(FourCC::new).to_vec(),
        };
        // Writing to a Vec fails only for boxes over 4 GiB.
        let _ = ftyp.encode(&mut bytes);
        let mdat = bytes.len() as u64;
        bytes.extend_from_slice(&1_u32.to_be_bytes());
        bytes.extend_from_slice(b"mdat");
        bytes.extend_from_slice(&MDAT_HEADER.to_be_bytes());
        let mut writer = Self {
            tracks: Vec::new(),
            position: bytes.len() as u64,
            reserved: 0,
            mdat,
            last_track: None,
            metadata: Metadata::default(),
        };
        if options.reserve > 0 {
            writer.reserve(options.reserve, &mut bytes);
        }
        (writer, bytes)
    }

    /// Reserves this many bytes for the index in `start`, what [`start`](Self::start) gave without a reserve, as long as
    /// that has not been written: for who wants to see some samples first, and then ask
    /// [`index_estimate`](Self::index_estimate).
    pub fn reserve(&mut self, bytes: u32, start: &mut Vec<u8>) {
        let at = usize::try_from(self.mdat).unwrap_or(usize::MAX).min(start.len());
        let mdat = start.split_off(at);
        free(start, bytes.max(8));
        start.extend_from_slice(&mdat);
        self.reserved = u64::from(bytes.max(8));
    }

    /// How much playing time the samples so far cover, in the longest track.
    #[must_use]
    pub fn covered(&self) -> Duration {
        let of = |track: &Track| {
            let millis = u128::from(track.media_duration()) * 1000 / u128::from(track.config.timescale);
            Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
        };
        self.tracks.iter().map(of).max().unwrap_or_default()
    }

    /// About how many bytes the index of a file of this length takes, going by the samples so far: enough, unless the
    /// stream changes its ways.
    #[must_use]
    pub fn index_estimate(&self, length: Duration) -> u64 {
        index::estimate(&self.tracks, length)
    }

    /// Sets what is told of the film as a whole; at any time before [`finish`](Self::finish).
    pub fn set_metadata(&mut self, metadata: Metadata) {
        self.metadata = metadata;
    }

    /// What is told of the film as a whole, to be completed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Adds a track, and returns its number in this file, from 0. Tracks may be added at any time before
    /// [`finish`](Self::finish); one without samples is left out.
    pub fn add_track(&mut self, config: &TrackConfig) -> usize {
        self.tracks.push(Track::new(config));
        self.tracks.len() - 1
    }

    /// Changes the codec parameters of what comes next in `track`: another sample entry (ISO 14496-12 §8.5.2),
    /// unless the file has an equal one. Times of what follows count in the new configuration's timescale.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`].
    pub fn configure(&mut self, track: usize, config: &TrackConfig) -> Result<(), Error> {
        let track = self.tracks.get_mut(track).ok_or(Error::UnknownTrack(track))?;
        track.configure(config);
        Ok(())
    }

    /// Takes note of a sample of `len` bytes whose data the caller writes next, at [`position`](Self::position).
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`]; [`Error::TimeRunsBack`] when it would be decoded before its predecessor;
    /// [`Error::TooLarge`] for a sample of 4 GiB or a hole of 2³² ticks. The writer is unchanged then.
    pub fn add<D>(&mut self, track: usize, sample: &Sample<D>, len: usize) -> Result<(), Error> {
        let number = track;
        let track = self.tracks.get_mut(number).ok_or(Error::UnknownTrack(number))?;
        let size = u32::try_from(len).map_err(|_| Error::TooLarge("stsz"))?;
        track.add(number, sample, size, self.position, self.last_track == Some(number))?;
        self.last_track = Some(number);
        self.position += u64::from(size);
        Ok(())
    }

    /// What was serialised just now is safe: the next time it is left out.
    pub fn mark_saved(&mut self) {
        for track in &mut self.tracks {
            let Track {
                sizes,
                durations,
                compositions,
                syncs,
                chunks,
                chunk_samples,
                ..
            } = track;
            sizes.mark_saved();
            syncs.mark_saved();
            chunks.mark_saved();
            for runs in [durations, compositions, chunk_samples] {
                runs.mark_saved();
            }
        }
    }

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole account.
    pub fn put_behind(&mut self, earlier: Self) {
        for (track, earlier) in self.tracks.iter_mut().zip(earlier.tracks) {
            track.sizes.put_behind(earlier.sizes);
            track.syncs.put_behind(earlier.syncs);
            track.chunks.put_behind(earlier.chunks);
            track.durations.put_behind(earlier.durations);
            track.compositions.put_behind(earlier.compositions);
            track.chunk_samples.put_behind(earlier.chunk_samples);
        }
    }

    /// The length of the file so far, in bytes: where the next sample's data goes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position + self.reserved
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] when a box of the index does not fit its 32-bit length.
    pub fn finish(self) -> Result<Finish, Error> {
        let mut udta = Vec::new();
        self.metadata.encode(&mut udta)?;
        self.finish_with(&udta)
    }

    /// The same with a `udta` box that is there already.
    pub(super) fn finish_with(mut self, udta: &[u8]) -> Result<Finish, Error> {
        for track in &mut self.tracks {
            track.close();
        }
        let mdat_size = self.position - self.mdat;
        let mut patches = vec![Patch {
            offset: self.mdat + self.reserved + 8,
            bytes: mdat_size.to_be_bytes().to_vec(),
        }];
        let mut moov = Index::new(&self.tracks, self.metadata.creation_time(), udta, self.reserved).encode()?;
        let spare = self.reserved.checked_sub(moov.len() as u64);
        // What is left over has to hold the header of a `free` box, or be nothing.
        let fits = spare
            .filter(|&spare| self.reserved > 0 && (spare == 0 || spare >= 8))
            .and_then(|spare| u32::try_from(spare).ok());
        let fast_start = fits.is_some();
        if let Some(spare) = fits {
            if spare > 0 {
                // Its content is zero already.
                moov.extend_from_slice(&spare.to_be_bytes());
                moov.extend_from_slice(b"free");
            }
            patches.push(Patch {
                offset: self.mdat,
                bytes: std::mem::take(&mut moov),
            });
        }
        Ok(Finish {
            append: moov,
            patches,
            fast_start,
        })
    }
}

/// A `free` box (ISO 14496-12 §8.1.2) of `len` bytes in all, 8 at least.
fn free(bytes: &mut Vec<u8>, len: u32) {
    let end = bytes.len() + len as usize;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(b"free");
    bytes.resize(end, 0);
}

impl Track {
    pub(super) fn new(config: &TrackConfig) -> Self {
        let mut track = Self {
            config: config.clone(),
            entries: Vec::new(),
            timescale: 0,
            entry: 0,
            offset: config.presentation_offset.unwrap_or(0),
            has_edits: config.presentation_offset.is_some(),
            first_dts: 0,
            last_dts: 0,
            last_duration: 0,
            first_pts: i64::MAX,
            end_pts: i64::MIN,
            sizes: Numbers::default(),
            durations: Runs::default(),
            compositions: Runs::default(),
            negative_composition: false,
            syncs: Rising::default(),
            chunks: Rising::default(),
            chunk_samples: Runs::default(),
            open_chunk: None,
        };
        track.config.timescale = config.timescale.max(1);
        track.configure(config);
        track
    }

    fn configure(&mut self, config: &TrackConfig) {
        self.timescale = config.timescale.max(1);
        let known = self.entries.iter().position(|entry| *entry == config.sample_entry);
        let index = known.unwrap_or_else(|| {
            self.entries.push(config.sample_entry.clone());
            self.entries.len() - 1
        });
        self.entry = u32::try_from(index + 1).unwrap_or(u32::MAX);
        // The largest picture decides how much room the track asks for.
        let (width, height) = &mut self.config.display_size;
        *width = (*width).max(config.display_size.0);
        *height = (*height).max(config.display_size.1);
    }

    fn add<D>(&mut self, number: usize, sample: &Sample<D>, size: u32, position: u64, adjacent: bool) -> Result<(), Error> {
        let scale = |ticks| rescale(ticks, self.timescale, self.config.timescale);
        let (dts, pts) = (scale(sample.dts), scale(sample.pts));
        let composition = pts.saturating_sub(dts);
        i32::try_from(composition).map_err(|_| Error::TooLarge("ctts"))?;
        let duration = sample.duration.map(|duration| scale(duration.into()));
        if self.sizes.count() == u32::MAX {
            return Err(Error::TooLarge("stsz"));
        }
        if self.sizes.count() == 0 {
            self.first_dts = dts;
        } else {
            let delta = dts.saturating_sub(self.last_dts);
            if delta < 0 {
                return Err(Error::TimeRunsBack {
                    track: number,
                    dts,
                    previous: self.last_dts,
                });
            }
            u32::try_from(delta).map_err(|_| Error::TooLarge("stts"))?;
            self.durations.push(delta);
        }
        self.last_dts = dts;
        self.last_duration = duration.or(self.durations.last()).unwrap_or(0);
        self.first_pts = self.first_pts.min(pts);
        self.end_pts = self.end_pts.max(pts.saturating_add(self.last_duration));
        self.negative_composition |= composition < 0;
        self.compositions.push(composition);
        self.sizes.push(size.into());
        if sample.sync {
            self.syncs.push(self.sizes.count().into());
        }
        match &mut self.open_chunk {
            Some(chunk) if adjacent && chunk.end == position && chunk.entry == self.entry && chunk.end - chunk.start < MAX_CHUNK_BYTES => {
                chunk.samples += 1;
                chunk.end += u64::from(size);
            }
            _ => {
                self.close_chunk();
                self.chunks.push(position);
                self.open_chunk = Some(Chunk {
                    entry: self.entry,
                    samples: 1,
                    start: position,
                    end: position + u64::from(size),
                });
            }
        }
        Ok(())
    }

    /// Takes note of a sample whose times are in the track's ticks already.
    pub(super) fn add_in_own_ticks(&mut self, number: usize, sample: &Sample<()>) -> Result<(), Error> {
        self.timescale = self.config.timescale;
        self.add(number, sample, 0, 0, true)
    }

    fn close_chunk(&mut self) {
        if let Some(chunk) = self.open_chunk.take() {
            self.chunk_samples.push(chunk.key());
        }
    }

    /// No more samples.
    fn close(&mut self) {
        self.close_chunk();
        if self.sizes.count() > 0 {
            self.durations.push(self.last_duration.clamp(0, u32::MAX.into()));
        }
    }

    /// Sum of all sample durations, in ticks of the track.
    pub(super) fn media_duration(&self) -> u64 {
        let span = self.last_dts.saturating_sub(self.first_dts).saturating_add(self.last_duration);
        u64::try_from(span).unwrap_or(0)
    }
}
