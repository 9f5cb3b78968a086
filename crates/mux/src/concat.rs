//! Plain concatenation: initialization sections and clear segments, one after the other.

use aqueduct_core::{Clear, Item, Mux, MuxError, Summary, TrackId, Write};
use aqueduct_media::ts::Restamper;
use serde::{Deserialize, Serialize};

use crate::{Container, Remaker, checkpoint, container::Media, fragments::Fragments, remux::holes};

/// Writes the clear bytes of one track as they come: MPEG-TS, fragmented MP4, packed audio or any plain file.
///
/// Nothing is copied. What the segments hold is not looked at, unless it is one [of fragments](Self::of_fragments) or
/// [of transport packets](Self::of_transport).
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Concat {
    track: Option<TrackId>,
    line: Line,
    /// Segments that are not as they were.
    moved: u64,
}

/// What puts the segments on one timeline.
#[derive(Debug, Default, Serialize, Deserialize)]
enum Line {
    #[default]
    Untouched,
    Fragments(Box<Fragments>),
    Transport(Box<Restamper>),
}

impl Concat {
    /// A muxer that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One of fragmented MP4, which has one header and one timeline: an initialization section that says nothing new is left
    /// out, one with other codec parameters is refused, and where times start over, those in the boxes go on instead.
    #[must_use]
    pub fn of_fragments() -> Self {
        Self {
            line: Line::Fragments(Box::default()),
            ..Self::default()
        }
    }

    /// One of MPEG-TS, which has one timeline: where times start over, those in the packets go on instead, and so do continuity
    /// counters. Up to there, segments stay as they are.
    #[must_use]
    pub fn of_transport() -> Self {
        Self {
            line: Line::Transport(Box::default()),
            ..Self::default()
        }
    }

    /// The one that wrote a concatenation which begins with `head`, where `wanted` was asked for
    /// ([`Mux::identity`] of the [`Container`]'s muxer).
    #[must_use]
    pub fn like(wanted: &str, head: &[u8]) -> Self {
        if wanted.starts_with(&Container::Raw.muxer().identity()) {
            return Self::new();
        }
        match Media::of(head) {
            Media::IsoBmff => Self::of_fragments(),
            Media::MpegTs => Self::of_transport(),
            _ => Self::new(),
        }
    }
}

impl Concat {
    /// What is added to times, in ticks of 90 kHz; `None` where they stay as they are, and before the first.
    pub(crate) fn added(&self) -> Option<i64> {
        match &self.line {
            Line::Untouched => None,
            Line::Fragments(fragments) => fragments.added(),
            Line::Transport(packets) => packets.added(),
        }
    }
}

impl Mux for Concat {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if *self.track.get_or_insert(track) != track {
            return Err(MuxError::Unsupported {
                what: "two tracks cannot be concatenated; .mp4 joins them, and --audio none leaves the audio out".into(),
            });
        }
        let duration = item.duration();
        match (&mut self.line, item) {
            (Line::Fragments(fragments), Item::Init { payload, .. }) => {
                if fragments.init(payload.as_slice())? {
                    writes.push(Write::append(payload));
                }
            }
            (Line::Fragments(fragments), Item::Segment { info, payload }) => {
                let moved = fragments.segment(&info, payload.as_slice())?;
                self.moved += u64::from(moved.is_some());
                writes.push(moved.map_or_else(|| Write::append(payload), Write::append));
            }
            (Line::Transport(packets), Item::Segment { info, mut payload }) => {
                let changed = packets.segment(info.discontinuity_sequence, info.duration, payload.as_mut_slice());
                self.moved += u64::from(changed);
                writes.push(Write::append(payload));
            }
            (_, Item::Init { payload, .. } | Item::Segment { payload, .. }) => writes.push(Write::append(payload)),
            (Line::Fragments(fragments), Item::Gap { .. }) => fragments.gap(duration),
            (Line::Transport(packets), Item::Gap { .. }) => packets.gap(duration),
            (Line::Untouched, Item::Gap { .. }) => {}
        }
        Ok(())
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        checkpoint::save(self, state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        *self = checkpoint::read(state)?;
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let repairs = match &self.line {
            Line::Untouched => return Ok(Summary::new(Remaker::CONCATENATION)),
            Line::Fragments(fragments) => fragments.stats(),
            Line::Transport(packets) => packets.stats(),
        };
        let mut summary = Summary::new(if self.moved == 0 {
            Remaker::CONCATENATION
        } else {
            "concatenation on one timeline"
        });
        let mut note = |count: u64, what: &str| {
            if self.moved > 0 && count > 0 {
                summary.notes.push(format!("file: {count} {what}"));
            }
        };
        note(self.moved, "segments moved in time, behind what comes before them");
        note(repairs.jumps, "unannounced jumps of time stamps closed");
        summary.notes.extend(holes(repairs));
        Ok(summary)
    }
}
