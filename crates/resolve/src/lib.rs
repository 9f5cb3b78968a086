//! Placeholder.

pub mod extract;
pub use extract::{Candidate, Document, Extraction, Frame, FrameSource};
