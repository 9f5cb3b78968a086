//! Muxing: from clear items to one file.
//!
//! A [`Mux`](aqueduct_core::Mux) turns items into [`Write`](aqueduct_core::Write)s without any I/O; [`run`] takes
//! items from the lanes of its tracks and does the writing, to a part file that gets its final name when it is
//! whole ([`Output`]), or to standard output.
//!
//! [`Auto`] is the bundled muxer: it looks at the first bytes and the wanted [`Container`], and chooses between
//! [`Concat`], which copies nothing, and [`Remux`], which takes MPEG-TS, packed audio or fragmented MP4 apart and has a
//! [`SampleWriter`] put the samples into one file, such as [`Mp4`]. [`Subtitles`] joins the segments of a subtitle
//! Rendition into one `.vtt` or `.srt`.
//!
//! # Example
//!
//! ```
//! use aqueduct_core::{Clear, Item, Mux, MuxError, Summary, TrackId, Write};
//!
//! /// Counts segments instead of keeping them.
//! struct Count(u64);
//!
//! impl Mux for Count {
//!     fn push(&mut self, _: TrackId, item: Item<Clear>, _: &mut Vec<Write>) -> Result<(), MuxError> {
//!         self.0 += u64::from(matches!(item, Item::Segment { .. }));
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
//!         writes.push(Write::append(format!("{} segments\n", self.0).into_bytes()));
//!         Ok(Summary::new("text"))
//!     }
//! }
//! ```

mod account;
mod audio;
#[cfg(test)]
mod breaks;
mod changes;
mod checkpoint;
mod concat;
mod container;
mod driver;
mod fmp4;
mod fragments;
mod hls;
mod identity;
mod journal;
mod mending;
mod mending_folder;
mod mkv;
mod mp4;
mod ogg;
mod output;
mod part;
mod refill;
mod remake;
mod remux;
mod replay;
mod splice;
mod split;
mod split_file;
mod subtitles;
mod ts;
mod whole;

pub use account::Account;
pub use audio::{AudioCodec, AudioStream};
pub use concat::Concat;
pub use container::{Auto, Container, reads_captions};
pub use driver::{Finished, StageError, run};
pub use fmp4::Fmp4;
pub use hls::Hls;
pub use journal::address::{told_key, without_key_query};
pub use journal::disk::leads_within;
pub use journal::job::{Job, JobTrack};
#[doc(hidden)]
pub use journal::record::whole_records;
pub use journal::record::{Entry, Fate, Listing};
pub use journal::survey::{Entries, LaneDone, Resumed, Tally};
pub use mending::{Mending, Put, Side};
pub use mending_folder::MendingFolder;
pub use mkv::Mkv;
pub use mp4::{Mp4, Mp4Muxer};
pub use ogg::Ogg;
pub use output::{Output, OutputError};
pub use part::{can_go_on, file_within, find_left, is_of_repair, is_untold, paths as part_paths};
pub use refill::{RefillLane, RefillMuxer};
pub use remake::Remaker;
pub use remux::{Order, Remux, SampleWriter};
pub use replay::{Replay, Replayed};
pub use splice::{SpliceLane, SpliceMuxer};
pub use split::Split;
pub use split_file::SplitFile;
pub use subtitles::{Origin, SubtitleFormat, Subtitles};
pub use ts::Ts;
pub use whole::Intake;

/// A channel of the captions inside a video.
pub use aqueduct_media::cea608::Channel as CaptionChannel;
/// A finished MP4, read to be written anew.
pub use aqueduct_media::mp4::Film;
/// How subtitles are written into the file itself.
pub use aqueduct_media::timed_text::Coding as SubtitleCoding;

/// What subtitles inside of Matroska are written as.
pub use aqueduct_media::mkv::TextForm;

/// The error of the role, shared with every other muxer.
pub use aqueduct_core::MuxError;
