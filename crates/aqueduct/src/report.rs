//! What came of a pipeline.

use aqueduct_core::{Gap, Summary};
use aqueduct_mux::Account;

use crate::Error;

/// The final account of a pipeline whose output stands under its final name.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// Whether all of the stream is there.
    pub outcome: Outcome,
    /// Segments in the output.
    pub segments: u64,
    /// Segments that were on offer and are missing.
    pub missing: u64,
    /// The gaps, those that the playlist itself declares included.
    pub gaps: Vec<Gap>,
    /// Bytes written.
    pub bytes: u64,
    /// What each muxer says.
    pub summaries: Vec<Summary>,
    /// Each output segment by segment, the main one first.
    pub accounts: Vec<Account>,
}

/// How whole an output is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// All that was on offer is there.
    Whole,
    /// It went to its end without some of the segments: [`Report::gaps`] names them.
    Gaps,
    /// It was stopped, and what was fetched until then was finalised.
    Interrupted,
    /// A live stream could no longer be followed, and what was fetched until then was finalised.
    Ended(Error),
}
