//! Plain concatenation: initialization sections and clear segments, one after the other.

use aqueduct_core::{Clear, Item, Mux, MuxError, Summary, TrackId, Write};
use serde::{Deserialize, Serialize};

use crate::{Remaker, checkpoint};

/// Writes the clear bytes of one track as they come: MPEG-TS, fragmented MP4, packed audio or any plain file.
///
/// Nothing is copied. What the segments hold is not looked at.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Concat {
    track: Option<TrackId>,
}

impl Concat {
    /// A muxer that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Mux for Concat {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if *self.track.get_or_insert(track) != track {
            return Err(MuxError::Unsupported {
                what: "two tracks cannot be concatenated; .mp4 joins them, and --audio none leaves the audio out".into(),
            });
        }
        match item {
            Item::Init { payload, .. } | Item::Segment { payload, .. } => writes.push(Write::append(payload)),
            Item::Gap { .. } => {}
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
        Ok(Summary::new(Remaker::CONCATENATION))
    }
}
