//! The order of a file's bytes: head, clusters, index.

use std::{mem, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Metadata, Patch, TextForm,
    cluster::{Block, Cluster},
    codec::{Change, Codec, Sets},
    cues::{Cue, Cues},
    ebml::{binary, id, void},
    entry::Entry,
    head::{self, Statistics},
    index::Index,
};
use crate::{
    error::Error,
    srt,
    time::{FLICKS, to_flicks},
    track::{Sample, TrackConfig, TrackKind},
    wvtt,
};

/// Nanoseconds of a tick of the segment, at least and at most.
const FINEST: u32 = 10_000;
const COARSEST: u32 = 1_000_000;
/// The first samples are held back until they cover this much, in flicks, or take so many bytes: they show where the file
/// begins, and what its head has to say. A sample may be empty, and takes its place even so.
const OPENING: i64 = FLICKS as i64;
const OPENING_BYTES: usize = 8 << 20;
/// Tracks of a file; more is an attack.
pub(super) const MAX_TRACKS: usize = 128;
/// Room behind what the head tells of its tracks, for those that come later: some eight of them.
const TRACKS_ROOM: usize = 1024;

/// How a file is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Whether earlier bytes can be written over at the end. Where they cannot, the head does not know of the index.
    pub seekable: bool,
    /// How long the film will be, as far as that is known: what the head says where nothing can be written over.
    pub length: Option<Duration>,
    /// What tracks of text become.
    pub text: TextForm,
    /// What is told of the film as a whole.
    pub metadata: Metadata,
}

/// What completes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finish {
    /// Bytes for the end of the file.
    pub append: Vec<u8>,
    /// Bytes to overwrite, after `append` is safe; none where the output cannot seek.
    pub patches: Vec<Patch>,
    /// Samples that would have begun before the file does, and were moved to its beginning.
    pub moved_samples: u64,
    /// Samples of text that could not be read.
    pub broken_samples: u64,
    /// Tracks that came when the head had been written and had no room for them.
    pub late_tracks: u64,
}

/// Writes a Matroska file.
///
/// Samples should come in the order of their decode times, over all tracks: that is the order in which they are
/// written. What it keeps does not grow with the file.
///
/// It can be put aside and taken up again by another process: serialised it has what came since it was last
/// [marked as saved](Self::mark_saved), and [`put_behind`](Self::put_behind) joins such parts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Writer {
    seekable: bool,
    expected: Option<Duration>,
    text: TextForm,
    metadata: Metadata,
    tracks: Vec<Track>,
    /// The first samples, as long as the head is not written.
    opening: Option<Vec<(usize, Sample<Bytes>)>>,
    opening_bytes: usize,
    clock: Clock,
    /// Where the content of the segment begins, and how long it is so far.
    start: u64,
    length: u64,
    /// Where the head ends in the file.
    head_end: u64,
    /// Where the value of the duration stands.
    duration_at: Option<u64>,
    /// What the head tells of the tracks.
    told: Told,
    /// Where the parts of the segment stand in its content.
    parts: Vec<(u32, u64)>,
    cluster: Cluster,
    /// The track that is indexed.
    indexed: usize,
    cues: Cues,
    moved_samples: u64,
    broken_samples: u64,
    late_tracks: u64,
}

/// The tracks as the head tells them, where it can be written over at the end.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    /// The content of the element: an entry for each track.
    entries: Vec<u8>,
    /// The track that each of them is of, by its place among all, and where it ends.
    ends: Vec<(usize, usize)>,
    /// Where it begins in the file, and how many bytes there are for it.
    at: u64,
    room: usize,
    /// Whether the file has other entries by now.
    changed: bool,
}

impl Told {
    /// The element, and one behind it that fills the room; `None` where it does not fit.
    fn element(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.room);
        binary(&mut out, id::TRACKS, &self.entries);
        match self.room.checked_sub(out.len())? {
            0 => {}
            1 => return None,
            rest => void(&mut out, rest),
        }
        Some(out)
    }

    /// Adds a track, if there is room.
    fn add(&mut self, number: usize, entry: &Entry<'_>) -> bool {
        let before = self.entries.len();
        entry.write(&mut self.entries);
        let fits = self.element().is_some();
        if fits {
            self.ends.push((number, self.entries.len()));
        } else {
            self.entries.truncate(before);
        }
        self.changed |= fits;
        fits
    }

    /// Takes back what was told of a track.
    fn remove(&mut self, number: usize) {
        let Some(at) = self.ends.iter().position(|(of, _)| *of == number) else {
            return;
        };
        let start = at
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |(_, end)| *end);
        let (_, end) = self.ends.remove(at);
        self.entries.drain(start..end);
        for (_, later) in self.ends.iter_mut().skip(at) {
            *later -= end - start;
        }
        self.changed = true;
    }
}

/// How times become ticks of the segment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Clock {
    /// Nanoseconds of a tick.
    scale: u32,
    /// What the clock of the source shows at time 0, in flicks.
    origin: i64,
}

impl Clock {
    /// Flicks as units of so many nanoseconds, to the nearest.
    fn units(flicks: i64, nanoseconds: u32) -> i64 {
        let (product, divisor) = (i128::from(flicks) * 1_000_000_000, i128::from(FLICKS) * i128::from(nanoseconds));
        i64::try_from((product + divisor / 2).div_euclid(divisor)).unwrap_or(i64::MAX)
    }

    fn ticks(self, flicks: i64) -> i64 {
        Self::units(flicks, self.scale)
    }

    /// Nanoseconds as the value of `Duration`.
    fn length(self, nanoseconds: u64) -> f64 {
        head::duration(nanoseconds, self.scale)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Track {
    /// In the file, from 1: pictures, then sound, then text, whatever came first.
    number: u64,
    /// As the head tells it.
    config: TrackConfig,
    codec: Codec,
    /// Of the samples that come next.
    timescale: u32,
    /// What is added to a composition time to get the time of presentation, in flicks.
    offset: i64,
    /// What the decoder throws away at the beginning, in flicks: the times in the file are later by that.
    delay: i64,
    /// Whether the head tells of it.
    told: bool,
    /// Whether it came late and there was no room for it: what it brings is left out.
    refused: bool,
    /// Parameter sets that the samples need, once they are not those of the head.
    sets: Option<Sets>,
    /// End of the latest sample, in flicks of the source.
    end: Option<i64>,
    frames: u64,
    bytes: u64,
}

impl Track {
    fn new(config: &TrackConfig, codec: Codec) -> Self {
        let timescale = config.timescale.max(1);
        Self {
            number: 0,
            codec,
            timescale,
            offset: to_flicks(config.presentation_offset.unwrap_or(0), timescale),
            config: config.clone(),
            delay: 0,
            told: false,
            refused: false,
            sets: None,
            end: None,
            frames: 0,
            bytes: 0,
        }
    }

    /// When a sample is presented, in flicks of the source.
    fn time<D>(&self, sample: &Sample<D>) -> i64 {
        to_flicks(sample.pts, self.timescale).saturating_add(self.offset)
    }

    /// Whether what is presented before 0 is not presented at all.
    fn hides_beginning(&self) -> bool {
        self.config.kind == TrackKind::Audio && self.offset < 0
    }

    fn is_text(&self) -> bool {
        matches!(self.codec.change, Change::Text(_))
    }
}

impl Writer {
    /// A writer of a file of which nothing is written yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            seekable: options.seekable,
            expected: options.length,
            text: options.text,
            metadata: options.metadata.clone(),
            tracks: Vec::new(),
            opening: Some(Vec::new()),
            opening_bytes: 0,
            clock: Clock {
                scale: COARSEST,
                origin: 0,
            },
            start: 0,
            length: 0,
            head_end: 0,
            duration_at: None,
            told: Told::default(),
            parts: Vec::new(),
            cluster: Cluster::default(),
            indexed: 0,
            cues: Cues::default(),
            moved_samples: 0,
            broken_samples: 0,
            late_tracks: 0,
        }
    }

    /// What is told of the film as a whole, to be completed: its tags are written at the end.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Adds a track, and returns its number, from 0; `None` when the head has been written without it and cannot be written
    /// over. One that comes so late begins with its first sample, if there is room for it then.
    ///
    /// # Errors
    ///
    /// [`Error::NoMatroska`]; an error of the sample entry.
    pub fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, Error> {
        let codec = Codec::of(config, self.text)?;
        if self.opening.is_none() && self.told.element().is_none_or(|_| self.tracks.len() >= MAX_TRACKS) {
            self.late_tracks += 1;
            return Ok(None);
        }
        let mut track = Track::new(config, codec);
        if self.opening.is_none() {
            track.number = self.tracks.len() as u64 + 1;
        }
        self.tracks.push(track);
        Ok(Some(self.tracks.len() - 1))
    }

    /// Changes the codec parameters of what comes next in `track`. Parameter sets that the head does not have go into the
    /// samples; times of what follows count in the new configuration's timescale.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`]; [`Error::LateChange`] for parameters that the head cannot have any more.
    pub fn configure(&mut self, track: usize, config: &TrackConfig, out: &mut Vec<u8>) -> Result<(), Error> {
        let next = Codec::of(config, self.text)?;
        let known = self.tracks.get(track).ok_or(Error::UnknownTrack(track))?;
        let differs = known.codec != next || known.timescale != config.timescale;
        if differs && self.opening.as_ref().is_some_and(|held| held.iter().any(|(of, _)| *of == track)) {
            // What waits is of the parameters before.
            self.open(out)?;
        }
        let known = self.tracks.get_mut(track).ok_or(Error::UnknownTrack(track))?;
        let unwritten = !known.told;
        if unwritten {
            known.codec = next;
            known.config.sample_entry = config.sample_entry.clone();
        } else if !known.codec.goes_on_as(&next) {
            return Err(Error::LateChange(track));
        } else if let Change::Sets(sets) = next.change
            && (known.sets.is_some() || known.codec.private != next.private)
        {
            known.sets = Some(sets);
        }
        known.timescale = config.timescale.max(1);
        Ok(())
    }

    /// Appends a sample, or keeps it for the cluster that it belongs to.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`].
    pub fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), Error> {
        let known = self.tracks.get(track).ok_or(Error::UnknownTrack(track))?;
        let Some(held) = &mut self.opening else {
            return self.write(track, sample, out);
        };
        let time = known.time(sample);
        held.push((track, sample.clone().map_data(Bytes::copy_from_slice)));
        let first = held
            .iter()
            .find(|(of, _)| *of == track)
            .map_or(time, |(_, first)| known.time(first));
        self.opening_bytes += sample.data.len() + size_of::<Sample>();
        if !known.is_text() && time.saturating_sub(first) >= OPENING || self.opening_bytes >= OPENING_BYTES {
            self.open(out)?;
        }
        Ok(())
    }

    /// Appends what is complete, so that little is left to keep.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.close_cluster(out);
    }

    /// Where the content of the head ends that is written, in the file; `None` before it is.
    #[must_use]
    pub fn head_end(&self) -> Option<u64> {
        self.opening.is_none().then_some(self.head_end)
    }

    /// What comes next stands at this place of a file that was written, whose index is `index`: places to jump to are as far apart
    /// as they were. A sample that came before may have no place in it, so this is no way to write a file.
    pub fn stand_at(&mut self, offset: u64, index: &Index) {
        if self.opening.is_none()
            && let Some(position) = offset.checked_sub(self.start)
        {
            self.length = position;
            if !index.is_empty() {
                self.cues.go_on_behind(index.before(position));
            }
        }
    }

    /// What was serialised just now is safe: the next time it is left out.
    pub fn mark_saved(&mut self) {
        self.cues.mark_saved();
    }

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole.
    pub fn put_behind(&mut self, earlier: Self) {
        self.cues.put_behind(earlier.cues);
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), of samples that were held back.
    pub fn finish(mut self) -> Result<Finish, Error> {
        let mut append = Vec::new();
        self.open(&mut append)?;
        self.close_cluster(&mut append);
        let late = self.tracks.iter().filter(|track| !track.told).count();
        if self.seekable {
            self.leave_out_silent();
        }
        let mut tail = Vec::new();
        if !self.cues.entries().is_empty() {
            self.parts.push((id::CUES, self.length));
            let number = self.tracks.get(self.indexed).map_or(1, |track| track.number);
            head::cues(&mut tail, number, self.cues.entries());
        }
        self.parts.push((id::TAGS, self.length + tail.len() as u64));
        let length = |track: &Track| {
            let end = track.end.map_or(0, |end| end.saturating_sub(self.clock.origin));
            u64::try_from(Clock::units(end, 1)).unwrap_or(0)
        };
        let statistics = self.tracks.iter().filter(|track| track.told).map(|track| Statistics {
            uid: track.number,
            frames: track.frames,
            bytes: track.bytes,
            duration: length(track),
        });
        head::tags(&mut tail, &head::film_tag(&self.metadata), statistics);
        self.length += tail.len() as u64;
        append.append(&mut tail);
        let mut patches = Vec::new();
        if self.seekable {
            let longest = self.tracks.iter().map(length).max().unwrap_or(0);
            let duration = self.clock.length(longest);
            let patch = |offset, bytes| Patch { offset, bytes };
            patches.push(patch(self.start - 8, head::segment_size(self.length).to_vec()));
            patches.push(patch(self.start, head::seek_head(&self.parts)));
            if self.told.changed {
                patches.extend(self.told.element().map(|bytes| patch(self.told.at, bytes)));
            }
            patches.extend(self.duration_at.map(|at| patch(at, duration.to_be_bytes().to_vec())));
        }
        Ok(Finish {
            append,
            patches,
            moved_samples: self.moved_samples,
            broken_samples: self.broken_samples,
            late_tracks: self.late_tracks + late as u64,
        })
    }

    /// Has the head not tell of text that never came.
    fn leave_out_silent(&mut self) {
        for (number, track) in self.tracks.iter_mut().enumerate() {
            if track.told && track.frames == 0 && track.is_text() {
                self.told.remove(number);
                track.told = false;
            }
        }
    }

    /// Writes the head as well as it can be told by now, and lets out what was held back.
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(held) = self.opening.take() else { return Ok(()) };
        let finest = self.tracks.iter().map(|track| track.config.timescale).max().unwrap_or(1);
        self.clock.scale = (1_000_000_000 / finest.max(1)).clamp(FINEST, COARSEST);
        self.begin_clock(&held);
        let mut order: Vec<usize> = (0..self.tracks.len()).collect();
        order.sort_by_key(|track| match self.tracks[*track].config.kind {
            TrackKind::Video => 0,
            TrackKind::Audio => 1,
            _ => 2,
        });
        for (number, track) in (1..).zip(&order) {
            self.tracks[*track].number = number;
        }
        self.cues = Cues::of(self.clock.scale);
        let find = |kind| self.tracks.iter().position(|track| track.config.kind == kind);
        self.indexed = find(TrackKind::Video).or_else(|| find(TrackKind::Audio)).unwrap_or(0);
        let mut head = Vec::new();
        head::begin(&mut head);
        self.start = head.len() as u64;
        if self.seekable {
            head.extend_from_slice(&head::seek_head(&[]));
        }
        let mut part = |id, head: &Vec<u8>| self.parts.push((id, head.len() as u64 - self.start));
        part(id::INFO, &head);
        let info = head.len() as u64;
        let mut bytes = Vec::new();
        let expected = self.expected.map(|length| u64::try_from(length.as_nanos()).unwrap_or(0));
        let told = if self.seekable { Some(0) } else { expected };
        let duration = head::info(
            &mut bytes,
            self.clock.scale,
            &self.metadata,
            told.map(|length| self.clock.length(length)),
        );
        self.duration_at = duration.map(|at| info + at as u64);
        head.append(&mut bytes);
        part(id::TRACKS, &head);
        let (mut entries, mut ends) = (Vec::new(), Vec::new());
        for track in order {
            self.entry(track, &held).write(&mut entries);
            ends.push((track, entries.len()));
            self.tracks[track].told = true;
        }
        let at = head.len();
        binary(&mut head, id::TRACKS, &entries);
        if self.seekable {
            void(&mut head, TRACKS_ROOM);
            self.told = Told {
                entries,
                ends,
                at: at as u64,
                room: head.len() - at,
                changed: false,
            };
        }
        if !self.metadata.chapters.is_empty() {
            self.parts.push((id::CHAPTERS, head.len() as u64 - self.start));
            head::chapters(&mut head, &self.metadata);
        }
        self.head_end = head.len() as u64;
        self.length = self.head_end - self.start;
        out.append(&mut head);
        for (track, sample) in &held {
            self.write(*track, &sample.as_slice(&[]), out)?;
        }
        Ok(())
    }

    /// Finds time 0 of the file, and how much later than that the times of each track are told.
    fn begin_clock(&mut self, held: &[(usize, Sample<Bytes>)]) {
        let first = |number: usize, track: &Track| {
            let samples = held.iter().filter(|(of, _)| *of == number);
            samples.map(|(_, sample)| track.time(sample)).min()
        };
        let firsts: Vec<Option<i64>> = self.tracks.iter().enumerate().map(|(number, track)| first(number, track)).collect();
        let seen = || {
            self.tracks
                .iter()
                .zip(&firsts)
                .filter_map(|(track, first)| Some((track, (*first)?)))
        };
        let presented = |(track, first): (&Track, i64)| if track.hides_beginning() { first.max(0) } else { first };
        let origin = seen().filter(|(track, _)| !track.is_text()).map(presented).min();
        self.clock.origin = origin.or_else(|| seen().map(presented).min()).unwrap_or(0);
        for (track, first) in self.tracks.iter_mut().zip(firsts) {
            if track.config.kind == TrackKind::Audio {
                let hidden = first.map_or(0, |first| self.clock.origin.saturating_sub(first));
                track.delay = hidden.max(to_flicks(track.codec.pre_skip.into(), 48_000));
            }
        }
    }

    fn entry<'a>(&'a self, number: usize, held: &'a [(usize, Sample<Bytes>)]) -> Entry<'a> {
        let track = &self.tracks[number];
        let mut samples = held.iter().filter(|(of, _)| *of == number).map(|(_, sample)| sample);
        let alike = |other: &&Track| other.config.kind == track.config.kind;
        // The one that the playlist prefers, or the first; text is for those who ask for it.
        let default = match track.config.kind {
            TrackKind::Video | TrackKind::Audio => {
                let preferred = self.tracks.iter().filter(alike).any(|track| track.config.roles.default);
                let first = self.tracks.iter().position(|other| alike(&other)) == Some(number);
                if preferred { track.config.roles.default } else { first }
            }
            _ => track.config.roles.default,
        };
        Entry {
            config: &track.config,
            codec: &track.codec,
            number: track.number,
            default_duration: default_duration(track, &samples),
            first: samples.next().map_or(&[], |sample| &sample.data),
            delay: u64::try_from(Clock::units(track.delay, 1)).unwrap_or(0),
            default,
        }
    }

    /// Has the head tell of a track that came late, whose first sample this is. Whether there was room.
    fn tell(&mut self, number: usize, sample: &Sample<&[u8]>) -> bool {
        let first = [(number, sample.clone().map_data(Bytes::copy_from_slice))];
        if let Some(track) = self.tracks.get_mut(number)
            && track.config.kind == TrackKind::Audio
        {
            track.delay = to_flicks(track.codec.pre_skip.into(), 48_000);
        }
        let mut told = mem::take(&mut self.told);
        let mut entry = self.entry(number, &first);
        // One sample does not tell how long the others last.
        entry.default_duration = entry.default_duration.filter(|_| entry.config.kind == TrackKind::Audio);
        let fits = told.add(number, &entry);
        self.told = told;
        if let Some(track) = self.tracks.get_mut(number) {
            track.told = fits;
            track.refused = !fits;
        }
        fits
    }

    fn write(&mut self, number: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), Error> {
        let track = self.tracks.get(number).ok_or(Error::UnknownTrack(number))?;
        if track.refused || (!track.told && !self.tell(number, sample)) {
            return Ok(());
        }
        let track = self.tracks.get_mut(number).ok_or(Error::UnknownTrack(number))?;
        let begin = track.time(sample);
        let end = begin.saturating_add(to_flicks(sample.duration.unwrap_or(0).into(), track.timescale));
        track.end = track.end.max(Some(end));
        let mut time = self
            .clock
            .ticks(begin.saturating_sub(self.clock.origin).saturating_add(track.delay));
        if time < 0 {
            self.moved_samples += 1;
            time = 0;
        }
        if let Change::Text(form) = track.codec.change {
            let duration = self.clock.ticks(end.saturating_sub(begin));
            let Ok(segment) = wvtt::sample(sample.data, 0, 0) else {
                self.broken_samples += 1;
                return Ok(());
            };
            for cue in segment.cues {
                let (text, addition) = match form {
                    TextForm::SubRip => (srt::text(&cue), None),
                    TextForm::WebVtt => {
                        let id = cue.id.unwrap_or_default();
                        let addition = (!id.is_empty() || !cue.settings.is_empty()).then(|| format!("{}\n{id}", cue.settings));
                        (cue.text, addition)
                    }
                };
                if text.is_empty() {
                    continue;
                }
                let track = &mut self.tracks[number];
                track.frames += 1;
                track.bytes += text.len() as u64;
                let block = Block {
                    track: track.number,
                    time,
                    sync: true,
                    data: text.as_bytes(),
                };
                self.make_room(number, &block, out);
                self.cluster
                    .group(&block, u64::try_from(duration).unwrap_or(0), addition.as_deref());
            }
            return Ok(());
        }
        let with_sets = track.sets.as_ref().filter(|_| sample.sync).map(|sets| sets.with(sample.data));
        let data = with_sets.as_deref().unwrap_or(sample.data);
        track.frames += 1;
        track.bytes += data.len() as u64;
        let block = Block {
            track: track.number,
            time,
            sync: sample.sync,
            data,
        };
        self.make_room(number, &block, out);
        self.cluster.simple(&block);
        Ok(())
    }

    /// Begins another cluster where the block does not go into this one, or should be jumped to.
    fn make_room(&mut self, number: usize, block: &Block<'_>, out: &mut Vec<u8>) {
        let time = u64::try_from(block.time).unwrap_or(0);
        let wanted = number == self.indexed && block.sync && self.cues.wants(time);
        if wanted || !self.cluster.has_room(block) {
            self.close_cluster(out);
        }
        if wanted {
            // Nothing else stands between this and the cluster.
            self.cues.push(Cue {
                time,
                position: self.length,
            });
        }
    }

    fn close_cluster(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        self.cluster.write(out);
        self.length += (out.len() - before) as u64;
    }
}

/// How long each sample of a track lasts in nanoseconds, where all of these last the same.
fn default_duration<'a>(track: &Track, samples: &(impl Iterator<Item = &'a Sample<Bytes>> + Clone)) -> Option<u64> {
    /// Frame rates that 90 kHz cannot tell exactly: their frames last a tick more or less by turns.
    const NTSC: [u32; 5] = [24_000, 30_000, 48_000, 60_000, 120_000];
    if track.is_text() {
        return None;
    }
    let timescale = i128::from(track.timescale);
    let nanoseconds = |ticks: i128, per: i128| {
        u64::try_from((ticks * 1_000_000_000 + per / 2) / per)
            .ok()
            .filter(|value| *value > 0)
    };
    let first = samples.clone().next()?;
    let mut steps = samples
        .clone()
        .zip(samples.clone().skip(1))
        .map(|(one, next)| next.dts.saturating_sub(one.dts));
    let step = steps.next().or(first.duration.map(i64::from))?;
    if steps.all(|next| next == step) {
        return nanoseconds(step.into(), timescale);
    }
    let fits = |rate: u32, per: i128| {
        (0_i128..).zip(samples.clone()).all(|(number, sample)| {
            // In ticks times the rate, so that all are whole numbers.
            let is = i128::from(sample.dts.saturating_sub(first.dts)) * i128::from(rate);
            (is - number * per * timescale).abs() <= i128::from(rate)
        })
    };
    // Clocks of 1 kHz cannot tell whole rates either, and hardly one from the other.
    let ntsc = |rate: &&u32| fits(**rate, 1001) && !fits(**rate, 1000);
    let rate = NTSC.iter().find(ntsc).filter(|_| track.config.kind == TrackKind::Video)?;
    nanoseconds(1001, (*rate).into())
}
