//! Changes of a track that no discontinuity announces.

use aqueduct_media::{Event, TrackConfig, TrackId};
use serde::{Deserialize, Serialize};
use std::{mem, sync::Arc};

use crate::remux::Source;

/// Looks for what makes a discontinuity, whether the playlist tells it or not (RFC 8216, 4.3.2.3): another container, or
/// codec parameters that a decoder has to be set up anew for.
///
/// What cannot be read here is no change: the muxer says what is wrong with it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    source: Option<Source>,
    /// Of MPEG-TS and packed audio: the configuration in force.
    tracks: Vec<(TrackId, Arc<TrackConfig>)>,
    period: Option<u64>,
    /// Of fragmented MP4: it has been read what the tracks are.
    known: bool,
    /// An initialization section brought a change for the segment behind it.
    changed: bool,
}

impl Changes {
    /// Takes a Media Initialization Section.
    pub(crate) fn init(&mut self, bytes: &[u8]) {
        self.changed |= self.follow(bytes);
        match &mut self.source {
            Some(Source::Fmp4(demuxer)) => {
                let before = demuxer.clone();
                let read = demuxer.init(bytes, &mut Vec::new()).is_ok();
                self.changed |= mem::replace(&mut self.known, true) && read && !before.decodes_as(demuxer);
            }
            Some(Source::Ts(demuxer)) => {
                let mut events = Vec::new();
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
                self.changed |= self.note(events);
            }
            Some(Source::Packed(_)) | None => {}
        }
    }

    /// Takes a segment of a period, and says whether something changes in it or with it. The first one of a period changes
    /// nothing.
    pub(crate) fn segment(&mut self, period: u64, bytes: &[u8]) -> bool {
        let first = self.period.replace(period) != Some(period);
        let mut changed = mem::take(&mut self.changed) | self.follow(bytes);
        let mut events = Vec::new();
        match &mut self.source {
            Some(Source::Fmp4(demuxer)) => {
                // It may bring a header of its own.
                let before = demuxer.clone();
                let read = demuxer.segment(bytes, &mut Vec::new()).is_ok();
                changed |= mem::replace(&mut self.known, true) && read && !before.decodes_as(demuxer);
            }
            Some(Source::Ts(demuxer)) => {
                if first {
                    demuxer.discontinuity(&mut events);
                }
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
            }
            Some(Source::Packed(demuxer)) => {
                if first {
                    demuxer.discontinuity();
                }
                demuxer.segment(bytes, &mut events);
            }
            None => {}
        }
        changed |= self.note(events);
        changed && !first
    }

    /// Reads what follows with the demuxer that it needs. Whether that is another than before.
    fn follow(&mut self, bytes: &[u8]) -> bool {
        let Ok(Some(next)) = Source::change(self.source.as_ref(), bytes) else {
            return false;
        };
        self.tracks.clear();
        self.known = false;
        self.source.replace(next).is_some()
    }

    fn note<D>(&mut self, events: Vec<Event<D>>) -> bool {
        let mut changed = false;
        for event in events {
            let Event::Config { track, config } = event else { continue };
            match self.tracks.iter_mut().find(|(known, _)| *known == track) {
                Some((_, known)) => {
                    changed |= !known.decodes(&config);
                    *known = config;
                }
                None => self.tracks.push((track, config)),
            }
        }
        changed
    }
}
