//! Fragmented MP4 as HLS carries it: a Media Initialization Section, then media segments (ISO 14496-12 §8.8).
//!
//! [`Demuxer`] gives each sample as a range of the bytes that were pushed, so that no copy is forced, and sample
//! entries verbatim, so that codecs it knows nothing of pass through whole.
//!
//! ```no_run
//! use aqueduct_media::{Event, fmp4::Demuxer};
//!
//! let mut demuxer = Demuxer::default();
//! let mut events = Vec::new();
//! demuxer.init(&std::fs::read("init.mp4")?, &mut events)?;
//! let segment = std::fs::read("0.m4s")?;
//! demuxer.segment(&segment, &mut events)?;
//! for event in events {
//!     if let Event::Sample { track, sample } = event {
//!         println!("{track:?}: {} bytes at {}", segment[sample.data].len(), sample.pts);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod init;
mod moves;
mod run;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use mp4_atom::{Tfdt, Tfhd, Trex};
use serde::{Deserialize, Serialize};

pub use self::moves::Move;
use self::run::Run;
use crate::{
    boxes::{BoxRef, Boxes},
    emsg::{Message, has_room},
    error::Error,
    time::{from_flicks, to_flicks},
    track::{Event, Sample, TrackConfig, TrackId, TrackKind},
};

/// `sample_is_non_sync_sample` of the sample flags (ISO 14496-12 §8.8.3.1).
const NON_SYNC: u32 = 1 << 16;

/// What segments had wrong with them, and what was passed over. All zero for whole ones that have nothing but samples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// `moof` boxes that could not be read; their samples are lost.
    pub broken_moofs: u64,
    /// Segments that end in the middle of a box.
    pub truncated_segments: u64,
    /// Samples whose data is not in the segment.
    pub lost_samples: u64,
    /// Track fragments of tracks that the initialization section does not have.
    pub unknown_tracks: u64,
    /// Messages beside the tracks (`emsg`, ISO 23009-1 §5.10.3.3), ID3 tags for example, which are passed over: all that
    /// are not [kept](Demuxer::keep_messages).
    pub messages: u64,
}

impl Stats {
    /// Whether something was lost that a whole stream would have had.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.broken_moofs + self.truncated_segments + self.lost_samples + self.unknown_tracks > 0
    }
}

/// From initialization sections and media segments to samples.
///
/// Tracks are numbered by their role, so that the first video track keeps its number when another initialization
/// section comes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Demuxer {
    tracks: Vec<Track>,
    /// By track number: the role of each track, as its kind and its place among the tracks of that kind.
    roles: Vec<(TrackKind, usize)>,
    stats: Stats,
    keeps_messages: bool,
    messages: Vec<Message>,
}

/// A track of the initialization section in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Track {
    number: TrackId,
    /// `track_ID` in the boxes.
    id: u32,
    /// With the sample entry in force.
    config: Arc<TrackConfig>,
    /// All sample entries; `sample_description_index` counts them from 1.
    entries: Vec<Bytes>,
    entry: u32,
    defaults: Trex,
    /// When the next sample is decoded, unless a `tfdt` says.
    next_dts: i64,
}

/// How far a segment's samples got.
struct Progress<'a> {
    bytes: &'a [u8],
    /// Where the content of the `mdat` behind the `moof` begins.
    payload: Option<usize>,
    /// Samples that may still come: a limit against runs that describe more than there is.
    budget: usize,
    /// Messages whose times count from the earliest presentation time of the segment.
    relative: Vec<Message>,
    message_bytes: usize,
}

impl Progress<'_> {
    /// How much nearer to the start the segment's bytes are than in the file that a base offset counts in: the data of a
    /// `moof` begin with the `mdat` behind it.
    fn moved(&self, base: u64, moof: usize, first: i32) -> i128 {
        let moof = i128::try_from(moof).unwrap_or(0);
        let payload = self.payload.and_then(|at| i128::try_from(at).ok());
        let (base, first) = (i128::from(base), i128::from(first));
        match payload {
            // The base is the `moof`, as it is by default.
            Some(payload) if moof + first == payload => moof - base,
            Some(payload) => payload - (base + first),
            None => 0,
        }
    }
}

/// The data offset of the first run of a track fragment.
fn first_offset(traf: BoxRef<'_>) -> Option<i32> {
    let run = traf.find("trun").ok()??;
    Run::parse(run.body).ok()?.data_offset
}

/// Where the content of an `mdat` begins that may be cut short.
fn payload(rest: &[u8]) -> Option<usize> {
    let size = u32::from_be_bytes(*rest.first_chunk()?);
    (rest.get(4..8)? == b"mdat").then_some(if size == 1 { 16 } else { 8 })
}

impl Demuxer {
    /// Takes a Media Initialization Section and appends the configuration of each track, unless it is the one in
    /// force already.
    ///
    /// # Errors
    ///
    /// No `moov`, or boxes in it that are missing or broken. The section before stays in force then.
    pub fn init(&mut self, bytes: &[u8], events: &mut Vec<Event<Range<usize>>>) -> Result<(), Error> {
        for found in Boxes::new(bytes) {
            let found = found?;
            if &found.kind == b"moov" {
                return self.moov(found, events);
            }
        }
        Err(Error::MissingBox("moov"))
    }

    /// Takes a media segment and appends its samples; their data are ranges of `bytes`. A segment that brings
    /// its own `moov` needs no [`init`](Self::init).
    ///
    /// # Errors
    ///
    /// [`Error::NoInit`]; damage within the segment is counted in [`stats`](Self::stats) instead.
    pub fn segment(&mut self, bytes: &[u8], events: &mut Vec<Event<Range<usize>>>) -> Result<(), Error> {
        // Four bytes a sample is less than any codec takes for long; PCM has about that many.
        let mut progress = Progress {
            bytes,
            payload: None,
            budget: 4096 + bytes.len() / 4,
            relative: Vec::new(),
            message_bytes: 0,
        };
        let before = events.len();
        self.boxes(&mut progress, events)?;
        let relative = progress.relative;
        match self.earliest(events.get(before..).unwrap_or(&[])) {
            Some(earliest) => self.messages.extend(relative.into_iter().map(|mut message| {
                message.time = message.time.saturating_add(from_flicks(earliest, message.timescale));
                message
            })),
            None => self.stats.messages += relative.len() as u64,
        }
        Ok(())
    }

    /// Keeps messages beside the tracks for [`take_messages`](Self::take_messages), instead of counting them.
    pub fn keep_messages(&mut self) {
        self.keeps_messages = true;
    }

    /// Takes the messages of the segments that were pushed, if they are kept.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// When the first of these samples is presented, in flicks.
    fn earliest(&self, events: &[Event<Range<usize>>]) -> Option<i64> {
        let presented = events.iter().filter_map(|event| {
            let Event::Sample { track, sample } = event else { return None };
            let config = &self.tracks.iter().find(|known| known.number == *track)?.config;
            let pts = sample.pts.saturating_add(config.presentation_offset.unwrap_or(0));
            Some(to_flicks(pts, config.timescale))
        });
        presented.min()
    }

    fn boxes(&mut self, progress: &mut Progress<'_>, events: &mut Vec<Event<Range<usize>>>) -> Result<(), Error> {
        let bytes = progress.bytes;
        let mut boxes = Boxes::new(bytes);
        loop {
            let rest = boxes.rest();
            let Some(found) = boxes.next() else {
                self.stats.truncated_segments += u64::from(!rest.is_empty());
                return Ok(());
            };
            let Ok(found) = found else {
                self.stats.truncated_segments += 1;
                // An mdat that is cut short was dealt with when its moof was read; a moof has no use any more.
                self.stats.broken_moofs += u64::from(rest.get(4..8) == Some(b"moof"));
                return Ok(());
            };
            match &found.kind {
                b"moov" => self.moov(found, events)?,
                b"moof" if self.tracks.is_empty() => return Err(Error::NoInit),
                b"moof" => {
                    progress.payload = payload(boxes.rest()).map(|at| bytes.len() - boxes.rest().len() + at);
                    let read = self.moof(found, progress, events);
                    self.stats.broken_moofs += u64::from(read.is_err());
                }
                b"emsg" => {
                    let kept = Message::parse(found).filter(|(message, _)| {
                        let others = [self.messages.as_slice(), progress.relative.as_slice()];
                        self.keeps_messages && has_room(&others, &mut progress.message_bytes, message)
                    });
                    match kept {
                        Some((message, true)) => progress.relative.push(message),
                        Some((message, false)) => self.messages.push(message),
                        None => self.stats.messages += 1,
                    }
                }
                _ => {}
            }
        }
    }

    /// What was wrong so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn moov(&mut self, moov: BoxRef<'_>, events: &mut Vec<Event<Range<usize>>>) -> Result<(), Error> {
        let found = init::tracks(moov)?;
        let mut counts: Vec<(TrackKind, usize)> = Vec::new();
        let mut tracks = Vec::with_capacity(found.len());
        for track in found {
            let kind = track.config.kind;
            let place = match counts.iter_mut().find(|(counted, _)| *counted == kind) {
                Some((_, count)) => {
                    *count += 1;
                    *count
                }
                None => {
                    counts.push((kind, 0));
                    0
                }
            };
            let number = self.number((kind, place));
            let before = self.tracks.iter().find(|before| before.number == number);
            let config = Arc::new(track.config);
            if before.is_none_or(|before| before.config != config) {
                events.push(Event::Config {
                    track: number,
                    config: Arc::clone(&config),
                });
            }
            tracks.push(Track {
                number,
                id: track.id,
                config,
                entries: track.entries,
                entry: 1,
                defaults: track.defaults,
                next_dts: before.map_or(0, |before| before.next_dts),
            });
        }
        self.tracks = tracks;
        Ok(())
    }

    fn number(&mut self, role: (TrackKind, usize)) -> TrackId {
        let number = self.roles.iter().position(|known| *known == role).unwrap_or_else(|| {
            self.roles.push(role);
            self.roles.len() - 1
        });
        TrackId(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn moof(&mut self, moof: BoxRef<'_>, progress: &mut Progress<'_>, events: &mut Vec<Event<Range<usize>>>) -> Result<(), Error> {
        // Where data goes on for a traf that does not say (§8.8.7.1).
        let mut data = moof.start;
        let mut moved = None;
        for traf in moof.children(0) {
            let traf = traf?;
            if &traf.kind != b"traf" {
                continue;
            }
            let header: Tfhd = traf.child("tfhd")?.decode("tfhd")?;
            let Some(track) = self.tracks.iter_mut().find(|track| track.id == header.track_id) else {
                self.stats.unknown_tracks += 1;
                continue;
            };
            let base = match header.base_data_offset {
                // Counted in the file that the segment was cut from.
                Some(offset) => {
                    let first = || first_offset(traf).unwrap_or(0);
                    let moved = *moved.get_or_insert_with(|| progress.moved(offset, moof.start, first()));
                    let base = i128::from(offset) + moved;
                    usize::try_from(base)
                        .ok()
                        .filter(|&base| base < progress.bytes.len())
                        .unwrap_or(moof.start)
                }
                None if header.default_base_is_moof => moof.start,
                None => data,
            };
            if let Some(time) = traf.find("tfdt")? {
                let time: Tfdt = time.decode("tfdt")?;
                track.next_dts = i64::try_from(time.base_media_decode_time).unwrap_or(i64::MAX);
            }
            track.describe(header.sample_description_index, events);
            data = base;
            for run in traf.children(0) {
                let run = run?;
                if &run.kind == b"trun" {
                    let run = Run::parse(run.body)?;
                    data = track.run(&run, &header, base, data, progress, &mut self.stats, events)?;
                }
            }
        }
        Ok(())
    }
}

impl Track {
    /// Changes to the sample entry that a track fragment names.
    fn describe(&mut self, index: Option<u32>, events: &mut Vec<Event<Range<usize>>>) {
        let index = index.unwrap_or(self.defaults.default_sample_description_index);
        let entry = index.checked_sub(1).and_then(|at| self.entries.get(usize::try_from(at).ok()?));
        if let Some(entry) = entry.filter(|_| index != self.entry) {
            self.entry = index;
            let mut config = TrackConfig::clone(&self.config);
            config.sample_entry = entry.clone();
            self.config = Arc::new(config);
            events.push(Event::Config {
                track: self.number,
                config: Arc::clone(&self.config),
            });
        }
    }

    /// Appends the samples of a run. Returns where its data ends.
    #[expect(clippy::too_many_arguments, reason = "the state of one moof, which lives nowhere else")]
    fn run(
        &mut self,
        run: &Run<'_>,
        header: &Tfhd,
        base: usize,
        continued: usize,
        progress: &mut Progress<'_>,
        stats: &mut Stats,
        events: &mut Vec<Event<Range<usize>>>,
    ) -> Result<usize, Error> {
        let mut data = match run.data_offset {
            Some(offset) => base
                .checked_add_signed(isize::try_from(offset).unwrap_or(0))
                .ok_or(Error::SampleOutside { track: self.id })?,
            None => continued,
        };
        let size = header.default_sample_size.unwrap_or(self.defaults.default_sample_size);
        let duration = header.default_sample_duration.unwrap_or(self.defaults.default_sample_duration);
        let flags = header.default_sample_flags.unwrap_or(self.defaults.default_sample_flags);
        for sample in run.samples() {
            progress.budget = progress.budget.checked_sub(1).ok_or(Error::TooManySamples)?;
            let size = usize::try_from(sample.size.unwrap_or(size)).unwrap_or(usize::MAX);
            let duration = sample.duration.unwrap_or(duration);
            let dts = self.next_dts;
            self.next_dts = dts.saturating_add(duration.into());
            let range = data..data.saturating_add(size);
            data = range.end;
            if range.end > progress.bytes.len() {
                stats.lost_samples += 1;
                continue;
            }
            events.push(Event::Sample {
                track: self.number,
                sample: Sample {
                    dts,
                    pts: dts.saturating_add(sample.composition.into()),
                    duration: Some(duration),
                    sync: sample.flags.unwrap_or(flags) & NON_SYNC == 0,
                    data: range,
                },
            });
        }
        Ok(data)
    }
}
