//! The data, roles and limits that Aqueduct's stages share.
//!
//! A stream flows through four stages, each joined to the next by a bounded channel:
//!
//! ```text
//! resolve ──Item<Resource>──▶ fetch ──Item<Sealed>──▶ decrypt ──Item<Clear>──▶ mux
//! ```
//!
//! This crate holds what crosses those walls and nothing else: the [`Item`]s and what they carry, the four
//! role traits ([`Resolve`], [`Fetch`], [`Decrypt`], [`Mux`]) with their errors, the byte [`Budget`] that
//! bounds all payloads of the process, the two-phase [`Stop`], and the [`Progress`] that a display samples.
//! There is no HTTP here, no codec and no file.
//!
//! # What the types forbid
//!
//! A muxer takes [`Clear`] bytes. What a fetcher produces is [`Sealed`], and only [`Sealed::open`], which
//! runs a decrypter, turns one into the other. Stages in the wrong order do not compile either:
//!
//! ```
//! use aqueduct_core::{Clear, Item, Receiver, Sealed, Sender, channel};
//!
//! fn decrypt(inlet: Receiver<Item<Sealed>>, outlet: Sender<Item<Clear>>) {}
//! fn mux(inlet: Receiver<Item<Clear>>) {}
//!
//! let (to_decrypt, sealed) = channel::<Item<Sealed>>(4);
//! let (to_mux, clear) = channel::<Item<Clear>>(4);
//! decrypt(sealed, to_mux);
//! mux(clear);
//! ```
//!
//! Handing the muxer what the decrypter should have had is refused:
//!
//! ```compile_fail,E0308
//! use aqueduct_core::{Clear, Item, Receiver, Sealed, Sender, channel};
//!
//! fn decrypt(inlet: Receiver<Item<Sealed>>, outlet: Sender<Item<Clear>>) {}
//! fn mux(inlet: Receiver<Item<Clear>>) {}
//!
//! let (to_decrypt, sealed) = channel::<Item<Sealed>>(4);
//! let (to_mux, clear) = channel::<Item<Clear>>(4);
//! decrypt(sealed, to_mux);
//! mux(sealed);
//! ```
//!
//! and so is a single ciphertext:
//!
//! ```compile_fail,E0308
//! use aqueduct_core::{Item, Mux, Sealed, TrackId, Write};
//!
//! fn leak(muxer: &mut impl Mux, item: Item<Sealed>, writes: &mut Vec<Write>) {
//!     let _ = muxer.push(TrackId::new(0), item, writes);
//! }
//! ```

mod budget;
mod error;
mod item;
mod meter;
mod payload;
mod presentation;
mod progress;
mod resource;
mod roles;
mod stop;

pub use async_channel::{Receiver, Sender};
pub use budget::{Budget, Slot};
pub use error::{BoxError, DecryptError, FetchError, Located, MuxError, ResolveError, TimeoutPhase, Unit};
pub use item::{Encryption, Gap, GapCause, InitId, InitInfo, Item, Iv, SegmentInfo, missing_time};
pub use meter::Meter;
pub use payload::{Clear, Data, Grant, Lender, Sealed, Write, WriteAt};
pub use presentation::{Account, Chapter, ClosedCaptions, DocumentRead, Input, Offer, OfferKind, Presentation, Track, TrackId, TrackKind};
pub use progress::{Counters, Event, OpenRequest, Progress};
pub use resource::{ByteRange, Kind, Limits, Resource, SafeUrl};
pub use roles::{Changes, Counterpart, Decrypt, Fetch, Fetched, Given, Loss, Lost, Mux, PaddedKeys, Part, Place, Resolve, Summary};
pub use stop::Stop;

/// A bounded channel of `capacity` items (at least one): the only kind of channel between stages.
///
/// A dropped sender means finished; a dropped receiver means that the sender should stop quietly.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    async_channel::bounded(capacity.max(1))
}
