//! Why a pipeline did not come to its end.

use aqueduct_core::{BoxError, DecryptError, FetchError, Located, ResolveError, TrackId};
use aqueduct_mux::{OutputError, StageError};
use thiserror::Error;

use crate::VerifyError;

/// The error of a pipeline: which stage failed, where in the stream, and why. A message never repeats its source:
/// print the whole chain.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No track was found, or one could no longer be followed.
    #[error("failed to resolve")]
    Resolve(#[source] ResolveError),
    /// A segment could not be had.
    #[error("failed to fetch")]
    Fetch(#[source] Located<FetchError>),
    /// A segment could not be decrypted.
    #[error("failed to decrypt")]
    Decrypt(#[source] Located<DecryptError>),
    /// The media could not become the wanted output.
    #[error("failed to mux")]
    Mux(#[source] StageError),
    /// The output could not be written.
    #[error("failed to write")]
    Output(#[source] OutputError),
    /// The stream has no segments.
    #[error("nothing to fetch: the stream has no segments")]
    Empty,
    /// The stream ended, and not one segment of it came.
    #[error("nothing was fetched: all {missing} segments are missing")]
    AllMissing {
        /// How many are missing.
        missing: u64,
    },
    /// The stream is not the one of which an earlier run left the beginning.
    #[error("another stream than an earlier run left here: {what}")]
    OtherStream {
        /// What differs, and where.
        what: String,
    },
    /// A live stream ended between two runs, and segments that the earlier run had not fetched are not in its playlist any
    /// more.
    #[error("{track}: {} left the live window before this run", numbers(*first_msn, *segments))]
    Expired {
        /// The track.
        track: TrackId,
        /// Media Sequence Number of the first one.
        first_msn: u64,
        /// How many there are in a row.
        segments: u64,
    },
    /// A segment that an earlier run left out, and went on behind, can be had now, and gaps are not wanted. A run with outputs
    /// that begin no further than [`before`](aqueduct_mux::Output::before) it fetches it, and once more what follows.
    #[error("an earlier run left out segment {msn} of {track}, which can be had now")]
    LeftOut {
        /// The track.
        track: TrackId,
        /// Its Media Sequence Number.
        msn: u64,
    },
    /// The report of the file that is repaired cannot be read to its end.
    #[error("failed to read what is to be repaired")]
    Report(#[source] VerifyError),
    /// Fewer segments came out than went in: a stage lost some.
    #[error("a stage lost segments: {came} of {expected} came out")]
    Lost {
        /// Segments written or named as missing.
        came: u64,
        /// Segments that the playlist has.
        expected: u64,
    },
    /// It was stopped before there was anything to keep.
    #[error("stopped")]
    Stopped,
    /// A stage panicked.
    #[error("a stage failed unexpectedly")]
    Panicked(#[source] BoxError),
}

/// So many segments by their numbers, for people.
pub(crate) fn numbers(first_msn: u64, segments: u64) -> String {
    match first_msn.saturating_add(segments.saturating_sub(1)) {
        last if last == first_msn => format!("segment {last}"),
        last => format!("segments {first_msn} to {last}"),
    }
}

impl Error {
    /// Whether policy forbids what was asked for, at the root of this error.
    pub fn is_refusal(&self) -> bool {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            if matches!(error.downcast_ref(), Some(FetchError::Refused { .. })) {
                return true;
            }
            // Transparent variants hide what they hold from the chain.
            if matches!(error.downcast_ref(), Some(ResolveError::Fetch(FetchError::Refused { .. }))) {
                return true;
            }
            source = error.source();
        }
        false
    }
}

impl From<StageError> for Error {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Output(error) => Self::Output(error),
            error => Self::Mux(error),
        }
    }
}
