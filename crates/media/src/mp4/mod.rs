//! Writing progressive MP4 files (ISO 14496-12) in one pass, without I/O, and fragmented ones ([`FragmentWriter`]).
//!
//! The caller writes: first the bytes that [`Writer::start`] gives, then the data of each sample right after it
//! was [added](Writer::add), and in the end what [`Writer::finish`] says. The writer keeps the index, which takes
//! about seven bytes for a picture and two for an audio frame.
//!
//! ```
//! use aqueduct_media::{Sample, mp4::{Options, Writer}};
//! # use aqueduct_media::{Language, Roles, TrackConfig, TrackKind};
//! # let config = TrackConfig {
//! #     kind: TrackKind::Video, handler: *b"vide", timescale: 90_000, sample_entry: bytes::Bytes::from_static(b"\0\0\0\x10avc1\0\0\0\0\0\0\0\x01"),
//! #     display_size: (640, 360), matrix: None, language: Language::UNDETERMINED, name: None, language_tag: None,
//! #     roles: Roles::default(), presentation_offset: None,
//! # };
//! # let sample = Sample { dts: 0, pts: 0, duration: Some(3600), sync: true, data: bytes::Bytes::from_static(b"picture") };
//! let (mut writer, mut file) = Writer::start(&Options::default());
//! let track = writer.add_track(&config);
//! writer.add(track, &sample, sample.data.len())?;
//! file.extend_from_slice(&sample.data);
//!
//! let finish = writer.finish()?;
//! file.extend_from_slice(&finish.append);
//! for patch in finish.patches {
//!     let at = usize::try_from(patch.offset).unwrap();
//!     file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
//! }
//! assert_eq!(&file[4..8], b"ftyp");
//! # Ok::<(), aqueduct_media::Error>(())
//! ```

mod film;
mod fragment;
mod index;
mod metadata;
mod renumber;
mod table;
mod writer;

pub(crate) use self::index::{full, put};

pub use self::{
    film::{Film, FilmTrack, Placed, Refill},
    fragment::FragmentWriter,
    metadata::{Chapter, Metadata},
    renumber::{Renumber, are_the_same_fragments, have_messages},
    writer::{Finish, Options, Patch, Writer},
};
