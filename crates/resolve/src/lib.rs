//! Resolving: from a page to the tracks of its stream, and from each track to what to fetch.
//!
//! [`PageResolver`] is the bundled [`Resolve`](aqueduct_core::Resolve). It takes any address: a page, whose iframes
//! it follows; a Multivariant Playlist, from which it picks the best Variant Stream and its Renditions; a Media
//! Playlist, complete or live; a plain media file. What a document is, its content tells, not its name.
//!
//! [`extract`] is the part of it that reads one document, without I/O.
//!
//! # Example
//!
//! ```no_run
//! # async fn example(fetcher: &impl aqueduct_core::Fetch) -> Result<(), aqueduct_core::ResolveError> {
//! use aqueduct_core::{Input, Resolve};
//! use aqueduct_resolve::PageResolver;
//!
//! let presentation = PageResolver::default().resolve(&Input::parse("https://host.example/watch"), fetcher).await?;
//! for track in &presentation.tracks {
//!     println!("{} {}: {:?} segments", track.kind, track.name, track.segments);
//! }
//! println!("{}", presentation.account);
//! # Ok(())
//! # }
//! ```

mod chapters;
mod choose;
pub mod extract;
mod follow;
mod hls;
mod plain;
mod resolver;
mod select;
mod steering;
mod walk;
mod ways;

pub use choose::Selection;
pub use resolver::{Options, PageResolver};
pub use select::{Select, SelectError};

/// The error of the role, shared with every other resolver.
pub use aqueduct_core::ResolveError;
