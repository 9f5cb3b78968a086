//! Scenarios run against the real `aqueduct` binary, and what they are judged by.
//!
//! A [`Scenario`] is data: what the fixture server serves and where it misbehaves, the command line, and what
//! must come of it. [`table`] holds them all, [`check`] runs one in a fresh directory, with a deadline. The
//! judges are not our own code: digests of the committed clip, the MP4 reader of another project, and ffprobe,
//! ffmpeg and Chromium where they are installed ([`ffmpeg::installed`], [`chromium::installed`]).
//!
//! The binary is the one named by `AQUEDUCT_BIN`, or it is built beside the test that runs.

pub mod bench;
pub mod binary;
mod check;
pub mod chromium;
pub mod ffmpeg;
mod judge;
mod reference;
mod scenario;
pub mod schema;
pub mod table;

pub use check::check;
pub use reference::Reference;
pub use scenario::{Asked, Input, Interrupt, Outcome, Scenario, Times};
