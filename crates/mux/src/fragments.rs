//! Fragmented MP4 that stays as it is, on one timeline.

use aqueduct_core::{MuxError, SegmentInfo};
use aqueduct_media::time::{MPEG_HZ, rescale};
use aqueduct_media::timeline::{self, Clock, Options, Start, Timeline};
use aqueduct_media::{Event, TrackId, TrackKind, fmp4};

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::remux::media;

/// Watches over the segments of a concatenation: a file of fragments has one header (ISO 14496-12 §8.1.1), and one
/// timeline.
///
/// What needs another header than that in front cannot be decoded, and is refused. Where times start over, at a
/// discontinuity or without notice, those that the boxes of a segment tell are moved, by the rules of [`Timeline`]; its
/// samples stay as they are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fragments {
    demuxer: fmp4::Demuxer,
    begun: bool,
    timescales: Vec<(TrackId, u32)>,
    timeline: Timeline,
}

impl Default for Fragments {
    fn default() -> Self {
        let mut options = Options::default();
        // A fragment moves as a whole or not at all: its samples cannot be repaired one by one.
        options.max_overlap = Duration::ZERO;
        Self {
            demuxer: fmp4::Demuxer::default(),
            begun: false,
            timescales: Vec::new(),
            timeline: Timeline::new(&options),
        }
    }
}

impl Fragments {
    /// Takes a Media Initialization Section, and says whether it belongs into the file.
    pub(crate) fn init(&mut self, bytes: &[u8]) -> Result<bool, MuxError> {
        let before = self.demuxer.clone();
        let mut events = Vec::new();
        self.demuxer.init(bytes, &mut events).map_err(media)?;
        let first = !self.begun;
        self.follow(&before)?;
        self.note(&events);
        Ok(first)
    }

    /// Takes a segment, and gives it anew where its times change.
    pub(crate) fn segment(&mut self, info: &SegmentInfo, bytes: &[u8]) -> Result<Option<Vec<u8>>, MuxError> {
        let before = self.demuxer.clone();
        let mut events = Vec::new();
        self.demuxer.segment(bytes, &mut events).map_err(media)?;
        if events.iter().any(|event| matches!(event, Event::Config { .. })) {
            // It may have brought a header of its own.
            self.follow(&before)?;
        }
        self.note(&events);
        let period = info.discontinuity_sequence;
        self.begin(period, &events);
        for number in self.timescales.iter().filter_map(|(track, _)| number(*track)) {
            self.timeline.lasts(number, info.duration);
        }
        let mut moves = Vec::new();
        for event in events {
            let Event::Sample { track, sample } = event else { continue };
            let (Some(number), Some(timescale)) = (number(track), self.timescale(track)) else {
                continue;
            };
            let dts = sample.dts;
            let placed = self.timeline.place(number, period, Clock::Absolute, timescale, sample);
            let by = placed.dts.saturating_sub(dts);
            moves.push(fmp4::Move { track, dts, by });
        }
        if moves.iter().all(|moved| moved.by == 0) {
            return Ok(None);
        }
        let mut segment = bytes.to_vec();
        if self.demuxer.move_times(&mut segment, &moves).map_err(media)? == 0 {
            return Ok(None);
        }
        Ok(Some(segment))
    }

    /// So much is missing.
    pub(crate) fn gap(&mut self, duration: Duration) {
        for (track, _) in &self.timescales {
            if let Some(number) = number(*track) {
                self.timeline.gap(number, duration);
            }
        }
    }

    /// What is added to the times of the first track, in ticks of 90 kHz.
    pub(crate) fn added(&self) -> Option<i64> {
        let (track, timescale) = self.timescales.iter().min_by_key(|(track, _)| track.0)?;
        let number = number(*track)?;
        self.timeline.span(number)?;
        Some(rescale(self.timeline.offset(number), *timescale, MPEG_HZ))
    }

    /// What the timeline counted.
    pub(crate) fn stats(&self) -> &timeline::Stats {
        self.timeline.stats()
    }

    /// Refuses a header that cannot stand in for the one that the file has.
    fn follow(&mut self, before: &fmp4::Demuxer) -> Result<(), MuxError> {
        if std::mem::replace(&mut self.begun, true) && !before.decodes_as(&self.demuxer) {
            return Err(MuxError::Unsupported {
                what: "the initialization section changes here to other codec parameters, which one fragmented MP4 cannot follow: \
                       name the output .mp4, or have a file for each with --split changes"
                    .into(),
            });
        }
        Ok(())
    }

    fn note<D>(&mut self, events: &[Event<D>]) {
        for event in events {
            if let Event::Config { track, config } = event {
                self.timescales.retain(|(known, _)| known != track);
                self.timescales.push((*track, config.timescale));
            }
        }
    }

    fn timescale(&self, track: TrackId) -> Option<u32> {
        let known = self.timescales.iter().find(|(known, _)| *known == track);
        known.map(|(_, timescale)| *timescale)
    }

    /// Tells the timeline where each track of the segment begins.
    fn begin<D>(&mut self, period: u64, events: &[Event<D>]) {
        let mut starts: Vec<Start> = Vec::new();
        for event in events {
            let Event::Sample { track, sample } = event else { continue };
            let (Some(number), Some(timescale)) = (number(*track), self.timescale(*track)) else {
                continue;
            };
            if starts.iter().all(|start| start.track != number) {
                starts.push(Start {
                    track: number,
                    dts: sample.dts,
                    timescale,
                    // What it is does not matter: what overlaps moves as a whole, track by track.
                    kind: TrackKind::Other,
                });
            }
        }
        self.timeline.begin(period, &starts);
    }
}

fn number(track: TrackId) -> Option<usize> {
    usize::try_from(track.0).ok()
}
