//! Writing Matroska (RFC 9559), in one pass.
//!
//! ```
//! use aqueduct_media::{Language, Roles, Sample, TrackConfig, TrackKind, mkv::{Options, Writer}};
//!
//! # let config = TrackConfig {
//! #     kind: TrackKind::Video, handler: *b"vide", timescale: 90_000, sample_entry: b"\0\0\0\x08vp08"[..].into(),
//! #     display_size: (640, 360), matrix: None, language: Language::UNDETERMINED, language_tag: None, name: None,
//! #     roles: Roles::default(), presentation_offset: None,
//! # };
//! let mut writer = Writer::new(&Options::default());
//! let mut file = Vec::new();
//! let track = writer.add_track(&config)?.expect("nothing is written yet");
//! let picture = Sample { dts: 0, pts: 0, duration: Some(3600), sync: true, data: &[0_u8; 100][..] };
//! writer.add(track, &picture, &mut file)?;
//! let finish = writer.finish()?;
//! file.extend_from_slice(&finish.append);
//! // Where the output can seek, finish.patches make it one that can be jumped about in.
//! # Ok::<(), aqueduct_media::Error>(())
//! ```
//!
//! # Times
//!
//! The segment's ticks are as fine as those of the finest track, though not finer than 10 µs nor coarser than 1 ms: times
//! of MPEG-TS come back exactly, and those of any source within half a tick of either. A cluster holds 32,767 ticks at
//! most, a third of a second at that rate.

mod check;
mod cluster;
mod codec;
mod cues;
mod ebml;
mod entry;
mod head;
mod index;
mod refill;
mod writer;

use serde::{Deserialize, Serialize};

pub(crate) use self::check::{EBML, check};
pub use self::{
    index::Index,
    refill::{Refill, Rest, have_the_same_blocks},
    writer::{Finish, Options, Writer},
};
pub use crate::mp4::{Chapter, Metadata, Patch};

/// What tracks of text (`wvtt` samples) become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextForm {
    /// `S_TEXT/UTF8`: the text of SubRip, which every player of Matroska shows.
    #[default]
    SubRip,
    /// `S_TEXT/WEBVTT`, with all that WebVTT has; fewer players show it.
    WebVtt,
}
