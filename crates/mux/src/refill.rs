//! A finished MP4 that lacks segments, written anew with them at their place in time.
//!
//! Samples that are there are taken over as they are, with their times. What is fetched goes through the demuxer and the
//! timeline of every run, behind the segment in front of it: that is fetched as well, to know which of its times are which of
//! the file's, and for what a demuxer of MPEG-TS holds back of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use aqueduct_core::{Clear, InitInfo, Item, Mux, MuxError, Presentation, Sealed, Summary, TrackId, Write, WriteAt};
use aqueduct_media::mp4::{Film, FilmTrack, Placed, Refill};
use aqueduct_media::time::rescale;
use aqueduct_media::{Sample, TrackConfig, TrackKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::remux::{Order, Remux, SampleWriter, media};
use crate::{Container, Mp4};

/// Units of a lane that wait for the muxer.
const AHEAD: usize = 2;

/// Makes the new file of what its lanes send: of each unit its samples.
#[derive(Debug)]
pub struct RefillMuxer {
    refill: Option<Refill>,
    lanes: Vec<(TrackId, Receiver<Batch>)>,
}

/// What a unit brings to the file.
#[derive(Debug, Default)]
struct Batch {
    /// In the order of their bytes.
    samples: Vec<Taken>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Taken {
    /// In the file.
    track: usize,
    entry: Bytes,
    /// In ticks of the track.
    sample: Sample<()>,
    size: u32,
}

/// One track of the presentation: hands its units on to the [`RefillMuxer`], which is to get an item for each of them as well.
#[derive(Debug)]
pub struct RefillLane {
    presentation: Presentation,
    sound_alone: bool,
    /// The tracks of the file that it brings.
    tracks: Vec<FilmTrack>,
    /// Where the file has samples.
    media: Range<u64>,
    /// What later samples of each track are moved by: a period begins where the one before ends, and that is now another place.
    later: Vec<i64>,
    /// No other lane has tracks, which would have to be moved as well.
    alone: bool,
    /// Of each track, times and sizes of the samples in the unit that was kept last.
    last: Vec<Vec<(i64, u32)>>,
    section: Option<(Arc<InitInfo>, Vec<u8>)>,
    remux: Remux<Collect>,
    /// Which of the tracks a track of the demuxer is, and what its times are behind.
    places: BTreeMap<usize, (usize, i64)>,
    /// Whether the demuxer has what came last.
    follows: bool,
    outlet: SyncSender<Batch>,
}

impl RefillMuxer {
    /// Prepares to write `film` anew. `lanes` are the tracks of the presentation, each with the places of the tracks of the film
    /// that come from it; `container` is what was wanted ([`Mux::identity`]).
    pub fn new(film: Film, container: &str, presentation: &Presentation, lanes: &[(TrackId, Vec<usize>)]) -> (Self, Vec<RefillLane>) {
        let media = film.media.clone();
        let (refill, tracks) = film.split();
        let sound_alone = container.starts_with(&Container::M4a.muxer().identity());
        let mut muxer = Self {
            refill: Some(refill),
            lanes: Vec::new(),
        };
        let alone = lanes.iter().filter(|(_, numbers)| !numbers.is_empty()).count() < 2;
        let lanes = lanes.iter().map(|(track, numbers)| {
            let (outlet, inlet) = sync_channel(AHEAD);
            muxer.lanes.push((*track, inlet));
            let own = presentation.tracks.iter().filter(|known| known.id == *track);
            RefillLane {
                presentation: Presentation::new(own.cloned().collect()),
                sound_alone,
                tracks: tracks.iter().filter(|known| numbers.contains(&known.number())).cloned().collect(),
                media: media.clone(),
                later: vec![0; numbers.len()],
                alone,
                last: Vec::new(),
                section: None,
                remux: Remux::new(Collect::default()),
                places: BTreeMap::new(),
                follows: false,
                outlet,
            }
        });
        let lanes = lanes.collect();
        (muxer, lanes)
    }

    fn take(&mut self, track: TrackId, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let lane = self.lanes.iter().find(|(known, _)| *known == track);
        // Where nothing comes, its lane failed and says why.
        let batch = lane.and_then(|(_, inlet)| inlet.recv().ok()).ok_or_else(|| MuxError::Media {
            what: "its samples did not come".into(),
        })?;
        let Some(refill) = &mut self.refill else { return Ok(()) };
        for taken in &batch.samples {
            refill.add(taken.track, &taken.sample, &taken.entry, taken.size).map_err(media)?;
        }
        for bytes in [refill.start(), batch.bytes] {
            if !bytes.is_empty() {
                writes.push(Write::append(bytes));
            }
        }
        Ok(())
    }
}

impl Mux for RefillMuxer {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        match item {
            Item::Segment { .. } => self.take(track, writes),
            Item::Init { .. } | Item::Gap { .. } => Ok(()),
        }
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let lanes: Vec<TrackId> = self.lanes.iter().map(|(track, _)| *track).collect();
        lanes.into_iter().try_for_each(|track| self.take(track, writes))?;
        if let Some(refill) = self.refill.take() {
            let finish = refill.finish().map_err(media)?;
            writes.push(Write::append(finish.append));
            writes.extend(finish.patches.into_iter().map(|patch| Write {
                at: WriteAt::Offset(patch.offset),
                data: patch.bytes.into(),
            }));
        }
        Ok(Summary::new(Mp4::CONTAINER))
    }
}

impl RefillLane {
    /// The track of the presentation.
    pub fn track(&self) -> Option<TrackId> {
        self.presentation.tracks.first().map(|track| track.id)
    }

    /// The next segment is in the old file, from `offset` on, and stays as it is.
    ///
    /// # Errors
    ///
    /// [`MuxError::Media`] when the index tells of other samples there.
    pub fn keep(&mut self, offset: u64, bytes: &[u8]) -> Result<(), MuxError> {
        self.follows = false;
        let (batch, covered) = self.kept(offset, bytes)?;
        if covered != batch.bytes.len() as u64 {
            return Err(strange("the index does not tell of all that the file has of it"));
        }
        self.send(batch);
        Ok(())
    }

    /// Samples in a part of the file, and how many bytes of it lie where samples are.
    fn kept(&mut self, offset: u64, bytes: &[u8]) -> Result<(Batch, u64), MuxError> {
        let end = offset.saturating_add(bytes.len() as u64).min(self.media.end);
        let part = offset.max(self.media.start)..end;
        let mut found: Vec<(usize, Placed)> = Vec::new();
        self.last.clear();
        for (at, track) in self.tracks.iter_mut().enumerate() {
            let mut placed = track.within(&part).map_err(media)?;
            for Placed { sample, .. } in &mut placed {
                sample.dts = sample.dts.saturating_add(self.later[at]);
                sample.pts = sample.pts.saturating_add(self.later[at]);
            }
            self.last
                .push(placed.iter().map(|placed| (placed.sample.dts, placed.size)).collect());
            found.extend(placed.into_iter().map(|placed| (at, placed)));
        }
        found.sort_by_key(|(_, placed)| placed.offset);
        let mut batch = Batch::default();
        for (at, placed) in found {
            let from = usize::try_from(placed.offset - offset).unwrap_or(usize::MAX);
            let range = from..from.saturating_add(usize::try_from(placed.size).unwrap_or(usize::MAX));
            let sample = bytes
                .get(range)
                .ok_or_else(|| strange("the index tells of samples outside of it"))?;
            batch.bytes.extend_from_slice(sample);
            batch.samples.push(Taken {
                track: self.tracks[at].number(),
                entry: self.tracks[at].entry(placed.entry),
                sample: placed.sample,
                size: placed.size,
            });
        }
        Ok((batch, part.end.saturating_sub(part.start)))
    }

    /// The initialization section of what is fetched from here on.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: it cannot be read.
    pub fn section(&mut self, info: &Arc<InitInfo>, payload: &Clear) -> Result<(), MuxError> {
        self.section = Some((Arc::clone(info), payload.as_slice().to_vec()));
        if self.follows { self.push_section() } else { Ok(()) }
    }

    fn push_section(&mut self) -> Result<(), MuxError> {
        let Some((info, bytes)) = &self.section else { return Ok(()) };
        let item = Item::Init {
            info: Arc::clone(info),
            payload: Sealed::unbudgeted(bytes.as_slice()).open(Ok::<_, MuxError>)?,
        };
        self.remux.push(info.track, item, &mut Vec::new())
    }

    /// The segment that was kept last, as it is fetched: behind it something is to be filled in.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: it is not what the file has.
    pub fn context(&mut self, item: Item<Clear>) -> Result<(), MuxError> {
        self.remux = Remux::new(Collect {
            sound_alone: self.sound_alone,
            ..Collect::default()
        });
        self.remux.begin(&self.presentation, true)?;
        self.push_section()?;
        self.remux.push(item.track(), item, &mut Vec::new())?;
        self.places.clear();
        let Collect { configs, samples, .. } = self.remux.writer();
        for (number, config) in configs.iter().enumerate() {
            let own: Vec<&Collected> = samples.iter().filter(|sample| sample.track == number).collect();
            let rank = configs[..number].iter().filter(|other| other.kind == config.kind).count();
            let mut alike = (0..self.tracks.len()).filter(|at| self.tracks[*at].config().kind == config.kind);
            let (Some(at), Some(newest)) = (alike.nth(rank), own.last()) else {
                continue;
            };
            let known = &self.last[at];
            // What a demuxer held back of the segment before stands in front.
            let same = known.len().checked_sub(own.len()).map(|from| &known[from..]);
            if !same.is_some_and(|same| same.iter().map(|(_, size)| *size).eq(own.iter().map(|sample| sample.size))) {
                return Err(strange("the segment in front of it has other samples than the file"));
            }
            let time = newest.in_ticks(self.tracks[at].config().timescale).dts;
            let place = known.last().map_or(0, |(dts, _)| dts.saturating_sub(time));
            self.places.insert(number, (at, place));
        }
        self.remux.writer_mut().samples.clear();
        self.follows = true;
        Ok(())
    }

    /// The next segment is fetched. It comes behind the [`context`](Self::context), or behind what was fetched before it.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: it cannot be read, or does not fit to what is in front of it.
    pub fn fill(&mut self, item: Item<Clear>) -> Result<(), MuxError> {
        let mut writes = Vec::new();
        self.remux.push(item.track(), item, &mut writes)?;
        let batch = self.filled(writes)?;
        self.send(batch);
        Ok(())
    }

    /// The segment that comes next is replaced by what is fetched: its samples in the old file are passed over.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    pub fn replace(&mut self, offset: u64, bytes: &[u8], item: Item<Clear>) -> Result<(), MuxError> {
        self.kept(offset, bytes)?;
        let mut writes = Vec::new();
        self.remux.push(item.track(), item, &mut writes)?;
        let batch = self.filled(writes)?;
        for (at, track) in self.tracks.iter().enumerate() {
            let newest = batch.samples.iter().rev().find(|taken| taken.track == track.number());
            if let (Some((old, _)), Some(new)) = (self.last[at].last(), newest) {
                let moved = new.sample.dts.saturating_sub(*old);
                if moved != 0 && !self.alone {
                    return Err(strange("beside a discontinuity all tracks would have to be moved"));
                }
                self.later[at] = self.later[at].saturating_add(moved);
            }
        }
        self.send(batch);
        Ok(())
    }

    fn filled(&mut self, writes: Vec<Write>) -> Result<Batch, MuxError> {
        let mut batch = Batch::default();
        for write in writes {
            batch.bytes.extend_from_slice(write.data.as_slice());
        }
        for collected in std::mem::take(&mut self.remux.writer_mut().samples) {
            let Some((at, behind)) = self.places.get(&collected.track) else {
                return Err(strange("a track begins there of which nothing says when it plays"));
            };
            let track = &self.tracks[*at];
            let mut sample = collected.in_ticks(track.config().timescale);
            sample.dts = sample.dts.saturating_add(*behind);
            sample.pts = sample.pts.saturating_add(*behind);
            batch.samples.push(Taken {
                track: track.number(),
                entry: collected.config.sample_entry.clone(),
                sample,
                size: collected.size,
            });
        }
        Ok(batch)
    }

    /// Segments that are still missing.
    ///
    /// # Errors
    ///
    /// Those of [`Mux::push`].
    pub fn gap(&mut self, item: Item<Clear>) -> Result<(), MuxError> {
        if self.follows {
            self.remux.push(item.track(), item, &mut Vec::new())?;
        }
        Ok(())
    }

    /// Where samples stand behind the last unit, which ends at `offset`.
    pub fn rest(&self, offset: u64) -> Range<u64> {
        offset.max(self.media.start)..self.media.end.max(offset)
    }

    /// No more segments: `bytes` are those of [`rest`](Self::rest).
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep) and [`fill`](Self::fill).
    pub fn finish(mut self, offset: u64, bytes: &[u8]) -> Result<(), MuxError> {
        let mut writes = Vec::new();
        if self.follows {
            self.remux.rest(&mut writes)?;
        }
        let batch = if self.follows {
            self.filled(writes)?
        } else {
            self.kept(offset, bytes)?.0
        };
        self.send(batch);
        Ok(())
    }

    fn send(&self, batch: Batch) {
        // A muxer that has ended says why.
        let _ = self.outlet.send(batch);
    }
}

fn strange(what: &str) -> MuxError {
    MuxError::Media { what: what.to_owned() }
}

/// Keeps the account of what a demuxer makes of what is fetched.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Collect {
    sound_alone: bool,
    /// By track.
    configs: Vec<Arc<TrackConfig>>,
    samples: Vec<Collected>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Collected {
    track: usize,
    config: Arc<TrackConfig>,
    sample: Sample<()>,
    size: u32,
}

impl Collected {
    fn in_ticks(&self, timescale: u32) -> Sample<()> {
        let scale = |ticks| rescale(ticks, self.config.timescale, timescale);
        Sample {
            dts: scale(self.sample.dts),
            pts: scale(self.sample.pts),
            duration: self.sample.duration.and_then(|duration| u32::try_from(scale(duration.into())).ok()),
            sync: self.sample.sync,
            data: (),
        }
    }
}

impl SampleWriter for Collect {
    const CONTAINER: &'static str = Mp4::CONTAINER;
    const ORDER: Order = Mp4::ORDER;

    fn begin(&mut self, _: &Presentation, _: bool) -> Result<(), MuxError> {
        Ok(())
    }

    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        if self.sound_alone && config.kind != TrackKind::Audio {
            return Ok(None);
        }
        self.configs.push(Arc::new(config.clone()));
        Ok(Some(self.configs.len() - 1))
    }

    fn configure(&mut self, track: usize, config: &TrackConfig, _: &mut Vec<u8>) -> Result<(), MuxError> {
        self.configs[track] = Arc::new(config.clone());
        Ok(())
    }

    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        out.extend_from_slice(sample.data);
        self.samples.push(Collected {
            track,
            config: Arc::clone(&self.configs[track]),
            size: u32::try_from(sample.data.len()).map_err(|_| strange("a sample of 4 GiB"))?,
            sample: Sample {
                dts: sample.dts,
                pts: sample.pts,
                duration: sample.duration,
                sync: sample.sync,
                data: (),
            },
        });
        Ok(())
    }

    fn flush(&mut self, _: &mut Vec<u8>) -> Result<(), MuxError> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Write>, _: &mut Vec<String>) -> Result<(), MuxError> {
        Ok(())
    }
}
