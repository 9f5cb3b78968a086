//! The HLS playlist format, typed: rfc8216bis ("HTTP Live Streaming 2nd Edition"), without I/O.
//!
//! [`parse`] turns the bytes of a playlist into a [`Playlist`], of which there are two kinds: the
//! [`MultivariantPlaylist`] (once called master playlist), which lists Variant Streams and Renditions, and the
//! [`MediaPlaylist`], which lists Media Segments. Every [`Segment`] comes resolved: its URL, its absolute byte
//! range, its Media Sequence Number, the keys and the Media Initialization Section in force where it stands.
//!
//! ```
//! use aqueduct_playlist::{Context, Method, Playlist, parse};
//!
//! let text = b"#EXTM3U
//! #EXT-X-TARGETDURATION:6
//! #EXT-X-MEDIA-SEQUENCE:7
//! #EXT-X-KEY:METHOD=AES-128,URI=\"key\"
//! #EXTINF:6,
//! a.ts
//! #EXTINF:5.5,the end
//! b.ts
//! #EXT-X-ENDLIST
//! ";
//! let context = Context::new("https://example.com/live/list.m3u8".parse()?);
//! let parsed = parse(text, &context)?;
//! let Playlist::Media(playlist) = parsed.playlist else { panic!("it lists segments") };
//!
//! let last = &playlist.segments[1];
//! assert_eq!(last.uri().as_str(), "https://example.com/live/b.ts");
//! assert_eq!(last.media_sequence_number(), 8);
//! assert_eq!(last.start().as_secs(), 6);
//! let key = &last.keys()[0];
//! assert_eq!(key.method, Method::Aes128);
//! assert_eq!(key.uri.as_ref().unwrap().url().as_str(), "https://example.com/live/key");
//! assert_eq!(key.iv_for(last.media_sequence_number())[15], 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Live playlists
//!
//! [`MediaPlaylist::compare`] tells what is new in the next version of a playlist, and a new beginning from a
//! stale copy. [`parse_update`] completes a Playlist Delta Update with the segments that it skips. A Media
//! Playlist that imports variables gets them through [`Context::imports`].
//!
//! # What is forgiven
//!
//! Playlists in the wild depart from the specification. What can be read without doubt is read, with a
//! [`Warning`] that says where and shows the line; only what would lose a segment, or what is no playlist at
//! all, is a [`PlaylistError`]. Unknown tags and attributes are kept with their place; comments are not, and
//! neither are tags that make no sense, such as a Rendition without a known type. [`Playlist::validate`] lists
//! everything that breaks the specification: a linter. In messages, the values of query parameters and the
//! content of `data:` URLs are masked, because they carry tokens and keys.
//!
//! # Writing
//!
//! `Display` writes any playlist, and what is read from that text equals the playlist. Its lines may have
//! moved: a [`SourceLine`] is a remark that takes no part in comparisons. A [`Recording`] writes the playlist of segments that
//! were fetched.
//!
//! # On m3u8-rs
//!
//! Beneath is m3u8-rs, and what it reads well it reads here: the header of a Media Playlist and the Variant
//! Streams of a Multivariant Playlist, from a text in canonical form that this crate makes after it has
//! validated every value, and with a check that nothing was left over. The rest has a reader of its own,
//! because m3u8-rs attaches keys and maps to the next segment only, does not say in which order they stood,
//! keeps durations as `f32`, drops a Rendition with an attribute that it does not expect, and takes more than a
//! kilobyte for a segment of thirty bytes.
//!
//! # Cost and limits
//!
//! Time and memory are linear in the length of the text, and nothing is allocated because a number in the
//! text says so. 100,000 segments take some ten milliseconds and three times the text at most
//! (`cargo bench -p aqueduct-playlist`), which is why a [`Segment`] has methods where other types have fields:
//! it takes some 70 bytes beside its URI and title, shares what it has in common with others, and makes its
//! absolute URL when it is asked for ([`Segment::uri`], [`Uri::url`]). [`Limits`] bound the text, its lines,
//! and what takes many times its text in memory.
//!
//! Not here: requests, clocks, content steering manifests and interstitial asset lists, which are JSON.

mod attributes;
mod context;
mod cue;
mod date_range;
mod datetime;
mod error;
mod key;
mod lint;
mod m3u8;
mod media;
mod media_parse;
mod multivariant;
mod multivariant_parse;
mod number;
mod parse;
mod pathway;
mod position;
mod recording;
mod reload;
mod segment;
mod text;
mod uri;
mod validate;
mod validate_media;
mod validate_multivariant;
mod variables;
mod warning;
mod write;
mod write_media;
mod write_multivariant;

pub use attributes::{Attribute, AttributeValue};
pub use context::{Context, Limits};
pub use cue::{Cue, CueKind};
pub use date_range::{DateRange, Interstitial};
pub use datetime::DateTime;
pub use error::PlaylistError;
pub use key::{InitSection, Key, Method};
pub use media::{HintKind, MediaPlaylist, PartInf, PlaylistType, PreloadHint, RenditionReport, ServerControl, Skip, Start};
pub use multivariant::{
    ClosedCaptions, ContentSteering, MultivariantPlaylist, Place, Rendition, RenditionKind, Resolution, SessionData, UnknownTag,
    VariantStream,
};
pub use parse::{Parsed, Playlist, parse, parse_update};
pub use pathway::UriReplacement;
pub use position::{Excerpt, Position, SourceLine};
pub use recording::{RecordedSegment, RecordedTrack, Recording, recorded_multivariant};
pub use reload::{Change, Reload};
pub use segment::{ByteRange, Part, Segment, Tag};
pub use text::is_playlist;
pub use uri::Uri;
pub use validate::Finding;
pub use variables::{Define, Variables};
pub use warning::{Severity, Warning, WarningKind};
