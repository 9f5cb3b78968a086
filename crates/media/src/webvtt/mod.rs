//! WebVTT as HLS carries it (RFC 8216 §3.5): segments that repeat cues and count time from anywhere, joined into
//! one sequence of cues.
//!
//! A [`Cue`] is what all subtitles of this crate are read into, whatever they came in, and written from.
//!
//! ```
//! use aqueduct_media::webvtt::{Joiner, Segment};
//! use aqueduct_media::srt;
//!
//! let segment = b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00.000\n\n00:01.000 --> 00:02.500\nHello";
//! let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
//! for _ in 0..2 {
//!     // Nothing is added to the times: cue time 0 is time 0 of the film.
//!     joiner.push(Segment::parse(segment)?, 0, &mut cues);
//! }
//! joiner.finish(&mut cues);
//! assert_eq!(srt::Writer::default().cues(&cues), "1\n00:00:01,000 --> 00:00:02,500\nHello\n\n");
//! # Ok::<(), aqueduct_media::Error>(())
//! ```

use serde::{Deserialize, Serialize};

mod join;
mod markup;
mod parse;
mod settings;
mod write;

pub use self::{
    join::{Joiner, Stats},
    write::Writer,
};
pub(crate) use self::{
    markup::{Span, has_times, shifted, spans},
    parse::timestamp,
    settings::{Place, place},
    write::time,
};

/// A cue (W3C WebVTT §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cue {
    /// Identifier, if it has one.
    pub id: Option<String>,
    /// When it appears, in milliseconds.
    pub start_ms: i64,
    /// When it disappears, in milliseconds.
    pub end_ms: i64,
    /// Position and alignment, as they stand behind the times.
    pub settings: String,
    /// The text with its markup, lines separated by `\n`.
    pub text: String,
}

/// `X-TIMESTAMP-MAP` (RFC 8216 §3.5): the cue time `local_ms` is the MPEG-TS time `mpegts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimestampMap {
    /// Ticks of 90 kHz, modulo 2³³.
    pub mpegts: u64,
    /// Cue time in milliseconds.
    pub local_ms: i64,
}

/// One WebVTT segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// How cue times relate to those of other tracks, where the segment says.
    pub map: Option<TimestampMap>,
    /// `STYLE`, `REGION` and `NOTE` blocks from before the first cue, as they are.
    pub blocks: Vec<String>,
    /// The cues, in the order of the text.
    pub cues: Vec<Cue>,
    /// Blocks with an arrow whose times cannot be read. They are skipped.
    pub broken_cues: u64,
}
