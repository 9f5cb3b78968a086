//! From a web page to one playable file: the pipeline of stages, for use as a library.
//!
//! [`Pipeline`] wires four roles by bounded channels, so that a slow disk slows the network and nothing grows with
//! the length of the stream:
//!
//! ```text
//! page ─▶ iframe ─▶ Multivariant Playlist ─▶ Media Playlist    resolve   Resolve
//!   │ Item<Resource>
//! concurrent requests; answers leave in order                  fetch     Fetch
//!   │ Item<Sealed>
//! AES-128, SAMPLE-AES, CENC, in place                          decrypt   Decrypt
//!   │ Item<Clear>
//! MPEG-TS, MP4, plain concatenation ─▶ part file ─▶ file       mux       Mux
//! ```
//!
//! # Fetch a stream
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aqueduct::{Container, Input, Output, Pipeline, fetch};
//!
//! let pipeline = Pipeline::new(fetch::Options::default())?.with_muxer(Container::Mp4.muxer());
//! let presentation = pipeline.resolve(&Input::parse("https://host.example/watch")).await?;
//! let output = Output::file("film.mp4".as_ref(), false)?;
//! let report = pipeline.run(presentation, output).await?;
//! println!("{} segments, {:?}", report.segments, report.outcome);
//! # Ok(())
//! # }
//! ```
//!
//! # Replace a stage
//!
//! Each role is a trait, and `with_resolver`, `with_fetcher`, `with_decrypter` and `with_muxer` take any type that
//! implements it; `examples/` has one for each. Going lower, every stage crate has a `run` that works between an
//! inlet and an outlet, and a whole stage by hand is a task that reads one [`Receiver`] of items and writes one
//! [`Sender`].
//!
//! The fit is checked when compiling. This puts the stages in their order:
//!
//! ```no_run
//! use aqueduct::{Clear, Item, Receiver, Resource, Sealed, Stop, channel, decrypt, fetch};
//! # use std::sync::Arc;
//! # async fn example(fetcher: Arc<fetch::HttpFetcher>, lender: aqueduct::Lender, permits: fetch::Permits,
//! #     keys: decrypt::KeyStore<fetch::HttpFetcher>, named: Receiver<Item<Resource>>) {
//! let stop = Stop::new();
//! let (to_decrypt, sealed) = channel(16);
//! let (to_mux, clear) = channel(16);
//! fetch::run(fetcher, lender, permits, fetch::OnMissing::Abort, named, to_decrypt, stop.clone()).await;
//! decrypt::run(decrypt::ClearKey::new(), &keys, decrypt::OnLocked::Abort, sealed, to_mux, stop).await;
//! # fn mux(_: Receiver<Item<Clear>>) {}
//! mux(clear);
//! # }
//! ```
//!
//! and this, which decrypts before it fetches, does not compile:
//!
//! ```compile_fail,E0308
//! use aqueduct::{Clear, Item, Receiver, Resource, Sealed, Stop, channel, decrypt, fetch};
//! # use std::sync::Arc;
//! # async fn example(fetcher: Arc<fetch::HttpFetcher>, lender: aqueduct::Lender, permits: fetch::Permits,
//! #     keys: decrypt::KeyStore<fetch::HttpFetcher>, named: Receiver<Item<Resource>>) {
//! let stop = Stop::new();
//! let (to_decrypt, sealed) = channel(16);
//! let (to_mux, clear) = channel(16);
//! decrypt::run(decrypt::ClearKey::new(), &keys, decrypt::OnLocked::Abort, named, to_mux, stop.clone()).await;
//! fetch::run(fetcher, lender, permits, fetch::OnMissing::Abort, sealed, to_decrypt, stop).await;
//! # fn mux(_: Receiver<Item<Clear>>) {}
//! mux(clear);
//! # }
//! ```

mod begin;
mod counterparts;
mod document;
mod error;
mod folder;
mod json;
mod lane;
mod padding;
mod parts;
mod pipeline;
mod reading;
mod repair;
mod report;
mod resume;
mod verdict;
mod verify;

pub use aqueduct_core::*;
pub use aqueduct_mux::{CaptionChannel, Container, Output, OutputError, SubtitleCoding, SubtitleFormat};
pub use document::{
    Document, ListingDocument, OutputDocument, Piece, REPORT_SCHEMA, REPORT_VERSION, RestDocument, SelectionDocument, TrackDocument,
    UnitDocument,
};
pub use error::Error;
pub use json::{Command, write_failure, write_repaired, write_report};
pub use pipeline::{Options, Outputs, Pipeline};
pub use reading::{FileReport, ReportError, Units, report_beside};
pub use repair::{ByReport, Damage, RepairError, Repaired};
pub use report::{Outcome, Report};
pub use url::Url;
pub use verify::{Findings, Found, VerifyError, verify};

/// Decryption: the stage and its bundled decrypter.
pub mod decrypt {
    pub use aqueduct_decrypt::*;
}

/// Fetching: the stage and its bundled fetcher.
pub mod fetch {
    pub use aqueduct_fetch::*;
}

/// Muxing: the stage, its bundled muxers and the output.
pub mod mux {
    pub use aqueduct_mux::*;
}

/// Resolving: the bundled resolver.
pub mod resolve {
    pub use aqueduct_resolve::*;
}
