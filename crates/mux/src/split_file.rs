//! One file of an output that was split, made again by itself.

use aqueduct_core::{Clear, Item, Loss, Mux, MuxError, Presentation, Summary, TrackId, Write, WriteAt};

use crate::split::{BY_CHANGES, BY_DISCONTINUITY};
use crate::{Auto, Split, checkpoint};

/// Makes one of the files that a [`Split`] makes of a period, with the same bytes.
///
/// It is for a stream of which all that is of other periods (Discontinuity Sequence Numbers) comes as gaps that were never on offer.
#[derive(Debug)]
pub struct SplitFile {
    split: Split,
    /// How many files the period has in front of it.
    index: u32,
    /// Files that were begun so far.
    begun: u32,
    writes: Vec<Write>,
}

impl SplitFile {
    /// What makes the file at `index`, counted from 0, of those of a period, of an output whose muxer calls what it makes so
    /// ([`Mux::identity`]); `None` where that is no [`Split`] that is made by itself.
    pub fn named(identity: &str, index: u32) -> Option<Self> {
        let by = |by: &str| Some((Auto::named(identity.strip_suffix(by)?)?, by == BY_CHANGES));
        let (muxer, at_changes) = by(BY_CHANGES).or_else(|| by(BY_DISCONTINUITY))?;
        Some(Self {
            split: Split::new(muxer).at_changes(at_changes),
            index,
            begun: 0,
            writes: Vec::new(),
        })
    }

    /// Hands on what goes into the file.
    fn hand_on(&mut self, writes: &mut Vec<Write>) {
        for write in self.writes.drain(..) {
            if matches!(write.at, WriteAt::File(_)) {
                self.begun += 1;
            } else if self.begun == self.index + 1 {
                writes.push(write);
            }
        }
    }
}

impl Mux for SplitFile {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        self.split.begin(presentation, seekable)
    }

    fn identity(&self) -> String {
        format!("{}, file {} of its period", self.split.identity(), self.index + 1)
    }

    fn take_loss(&mut self) -> Option<Loss> {
        self.split.take_loss()
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        self.split.push(track, item, &mut self.writes)?;
        self.hand_on(writes);
        Ok(())
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        let mut split = Vec::new();
        self.split.checkpoint(&mut split) && checkpoint::save(&(self.begun, split), state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        let (begun, split) = checkpoint::read::<(u32, Vec<u8>)>(state)?;
        self.begun = begun;
        self.split.restore(&split)
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let summary = self.split.finish(&mut self.writes)?;
        self.hand_on(writes);
        Ok(summary)
    }
}
