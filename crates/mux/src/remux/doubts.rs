//! Changes of codec parameters that may be damage.

use aqueduct_core::MuxError;
use serde::{Deserialize, Serialize};

use super::interleave::Change;

/// Pictures whose parameters changed to such as the container cannot follow, though nothing announced a change.
///
/// A bit error in a parameter set may leave one that can be read and is nearly the one of before
/// ([`TrackConfig::may_be_damaged_to`](aqueduct_media::TrackConfig::may_be_damaged_to)), and the next random access point brings the
/// right one again. Until that comes, what goes on is written under the parameters of before, which is right of damage. If it has the
/// new ones too, they are those of the stream, and the file ends as it would have at once.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Doubts {
    open: Vec<Doubt>,
    /// How many were damage.
    passed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Doubt {
    track: usize,
    /// Why the container cannot follow.
    what: String,
    /// Whether the random access point has come that brought the change.
    begun: bool,
}

impl Doubts {
    /// Takes what the writer said of a change, and gives what is to be made of it.
    pub(super) fn configured(&mut self, track: usize, change: &Change, configured: Result<(), MuxError>) -> Result<(), MuxError> {
        let known = self.open.iter().position(|doubt| doubt.track == track);
        match configured {
            Ok(()) => {
                if let Some(known) = known {
                    self.open.swap_remove(known);
                    self.passed += 1;
                }
                Ok(())
            }
            Err(MuxError::Unsupported { what }) if change.doubtful && known.is_none() => {
                tracing::debug!(track, what, "codec parameters change without a word: it may be damage");
                self.open.push(Doubt { track, what, begun: false });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Sees a sample before it is written.
    ///
    /// # Errors
    ///
    /// What the writer said, at the second random access point with the new parameters.
    pub(super) fn confirm(&mut self, track: usize, sync: bool) -> Result<(), MuxError> {
        if !sync {
            return Ok(());
        }
        match self.open.iter_mut().find(|doubt| doubt.track == track) {
            Some(doubt) if doubt.begun => Err(MuxError::Unsupported { what: doubt.what.clone() }),
            Some(doubt) => {
                doubt.begun = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How many changes were taken for damage, the last random access point of a film included.
    pub(super) fn passed(&self) -> u64 {
        self.passed + self.open.len() as u64
    }
}
