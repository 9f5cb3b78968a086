//! Reading and writing media containers and subtitles: MPEG-TS, ISO BMFF, ADTS, WebVTT and TTML.
//!
//! Bytes in, values out: nothing here opens a file, makes a request or looks at a clock, so everything can be
//! tested, fuzzed and used with any I/O. All containers share one model: a demuxer gives [`Event`]s, which are a
//! [`TrackConfig`] for each track and then its [`Sample`]s, already in the form that ISO BMFF stores, and a muxer
//! takes those.
//!
//! | module | from | to |
//! |---|---|---|
//! | [`ts`] | MPEG-TS segments: H.264, HEVC; AAC, MPEG audio, AC-3, E-AC-3, Opus | samples |
//! | [`packed`] | audio segments with an ID3 time stamp | samples |
//! | [`fmp4`] | Media Initialization Section and fragmented MP4 segments, any codec | samples |
//! | [`mp4`] | samples | one progressive MP4 |
//! | [`webvtt`] | WebVTT segments | cues, one `.vtt` |
//! | [`wvtt`] | WebVTT samples of fragmented MP4, cues | cues, samples |
//! | [`ttml`] | TTML documents, by themselves or in `stpp` samples | cues |
//! | [`cea608`] | captions inside H.264 and HEVC | cues |
//! | [`timed_text`] | cues | samples of a `tx3g` or `wvtt` track |
//! | [`srt`] | cues | one `.srt` |
//! | [`mp4::FragmentWriter`] | samples | fragmented MP4 |
//! | [`ts::Writer`] | samples | MPEG-TS |
//! | [`mkv`] | samples | Matroska |
//! | [`ogg`] | samples of Opus | Ogg |
//! | [`elementary`] | samples | H.264 and HEVC byte streams, ADTS, frames of other audio |
//! | [`emsg`] | `emsg` boxes, ID3 in MPEG-TS | messages beside the tracks, in fragmented MP4 |
//! | [`timeline`] | times as they come | one continuous timeline |
//! | [`time`] | timescales, the 33-bit clock | |
//!
//! ```
//! use aqueduct_media::{Event, mp4, ts};
//!
//! # let segment: &[u8] = &[];
//! let mut demuxer = ts::Demuxer::default();
//! let mut events = Vec::new();
//! demuxer.push(segment, &mut events);
//! demuxer.finish(&mut events);
//!
//! let (mut writer, mut file) = mp4::Writer::start(&mp4::Options::default());
//! let mut tracks = Vec::new();
//! for event in events {
//!     match event {
//!         Event::Config { track, config } => tracks.push((track, writer.add_track(&config))),
//!         Event::Sample { track, sample } => {
//!             if let Some((_, number)) = tracks.iter().find(|(id, _)| *id == track) {
//!                 writer.add(*number, &sample, sample.data.len())?;
//!                 file.extend_from_slice(&sample.data);
//!             }
//!         }
//!     }
//! }
//! let finish = writer.finish()?;
//! # Ok::<(), aqueduct_media::Error>(())
//! ```
//!
//! # What can be relied on
//!
//! - No input makes this crate panic, allocate what a length field claims, or take more than linear time.
//!   Access units and tables in progress have limits.
//! - Damage costs what it hit and is counted (in [`ts::Stats`], for example); an [`Error`] means that a piece is
//!   of no use at all.
//! - Payload bytes are copied at most once.
//! - Demuxers, [`timeline::Timeline`] and [`mp4::Writer`] can be serialised between any two segments, and taken up again by
//!   another process of the same version: what comes out then is the same.

mod audio;
mod avc;
mod bits;
mod boxes;
pub mod cea608;
pub mod check;
pub mod elementary;
pub mod emsg;
mod error;
pub mod fmp4;
mod hevc;
mod id3;
pub mod mkv;
pub mod mp4;
mod nal;
pub mod ogg;
pub mod packed;
mod protected;
mod sample_entry;
pub mod srt;
pub mod time;
pub mod timed_text;
pub mod timeline;
mod track;
pub mod ts;
pub mod ttml;
pub mod tx3g;
pub mod webvtt;
pub mod wvtt;

pub use error::Error;
pub use protected::{Protected, ProtectionWatch};
pub use track::{Event, Language, Roles, Sample, SampleData, TrackConfig, TrackId, TrackKind};
