//! A local origin for tests: it serves real media, cut, packaged and encrypted in many ways, pages that
//! lead to it, and it misbehaves on demand.
//!
//! ```
//! use fixture_server::{Config, Fault, Rule, Server};
//!
//! let mut config = Config::standard()?;
//! config.rules.push(Rule::new("/s/plain-ts/*.ts", Fault::status(503)).times(2));
//! let server = Server::start(config)?;
//! println!("{}", server.url("/s/plain-ts/index.m3u8"));
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! | path | what |
//! |---|---|
//! | `/s/STREAM/index.m3u8` | the entry of a stream of `streams.json`, see [`Stream`] |
//! | `/p/SITE/DOCUMENT` | a document of a site in `pages/`, see [`Site`] |
//! | `/media/FILE` | a file of `media/` as it is (`film.mp4`, `pictures/1.jpg`) |
//! | `/media/vectors/FILE` | what other implementations encrypted (`cbcs-video.mp4`) |
//! | `/` | a list of all that |
//!
//! Everything that is served is described as data; a test adds its own streams, sites and [`Rule`]s to the
//! [`Config`]. The server owns its sockets, down to the reset bit: a body can be cut short, stalled, dripped
//! or reset at any byte, which no framework would do.
//!
//! [`Server::stats`] counts requests and keeps their headers; tests wait for a condition on them instead of
//! sleeping. Each server has two origins ([`Server::origin`] and [`Server::other_origin`]), so that redirects
//! and pages can leave the first.
//!
//! The first origin also stands behind TLS ([`Server::tls_origin`]), with a certificate that is made for it; there it
//! speaks HTTP/2 as well.
//!
//! Limits: `GET` and `HEAD`, single ranges.

mod answer;
mod clip;
mod connection;
mod encryption;
mod fault;
mod gzip;
mod http;
mod package;
mod playlist;
mod server;
mod site;
mod stats;
mod stream;
mod synthetic;
mod tls;

pub use clip::{Clip, Folder};
pub use encryption::{Encryption, Iv, decrypt_aes_128, encrypt_aes_128};
pub use fault::{Fault, Rule};
pub use gzip::wrap as gzip;
pub use http::Request;
pub use package::{Track, tracks};
pub use server::{Config, Server};
pub use site::Site;
pub use stats::{Exchange, Stats, Tally, TimedOut};
pub use stream::{Advance, Live, Media, Rendition, RenditionKind, Stream, Variant};
pub use synthetic::Synthetic;
