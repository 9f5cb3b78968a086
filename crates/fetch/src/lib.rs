//! Fetching: one HTTP client with one policy, and the driver that keeps many requests open while their answers
//! leave in order.
//!
//! [`HttpFetcher`] is the bundled [`Fetch`](aqueduct_core::Fetch): every page, playlist, key and segment of a
//! job goes through it, so that its policy cannot be bypassed. A body is complete or it is an error: lengths and
//! ranges are checked, a body cut short is continued where it stopped, and a request that may succeed later is
//! tried again.
//!
//! # Retries
//!
//! What failed to connect, fell silent, broke off, came short or empty, or was answered with 408, 425, 429 or 5xx is
//! tried again, after a delay of anything up to a bound that doubles each time (full jitter), and after what
//! `Retry-After` asks for. A request has [`Options::retries`] of them, all again after every 256 KiB that it got
//! on. 404 and 410 are tried twice more for playlists and media, because live edges run ahead of themselves; 401
//! and 403 are final at once. The next try after silence is made on a fresh connection, and one over HTTP/2 that does not
//! answer a ping is given up before that. When nothing at all has succeeded for [`Options::give_up_after`], nothing is tried again.
//!
//! # Failover
//!
//! A unit that cannot be had, after all its tries, is asked for at every other place that the resolver knows
//! ([`Missing::elsewhere`]): from a redundant Variant Stream, another pathway, or under a fresh address.
//!
//! # The stage
//!
//! [`run`] is the stage: it reads [`Item`](aqueduct_core::Item)s that name resources, fetches many of
//! them at once ([`Permits`]) within the byte budget ([`Lender`](aqueduct_core::Lender)), and writes them, in
//! the order in which they came, with their bytes.
//!
//! How many, [`Concurrency`] says. By default it is learnt for each origin: it begins at 4 and doubles while that makes the
//! transfer faster, then goes up one by one, takes back what brings nothing, and halves when the server pushes back
//! (429, 503). It counts only where somebody waits for a place: a slow disk or a spent budget teaches nothing.
//!
//! # Ranges
//!
//! Ranges of one resource that follow each other, up to 1 MiB together, share a request where they wait for one;
//! each leaves with a payload of its own. A request for several that brings nothing is tried again for the first alone.
//! An answer that holds less than was asked for is gone on from where it ends, at once if it brought 1 KiB, as long as it
//! is the same resource by its validator or its length. A server that ignores `Range` and sends the whole is read once, by everybody who
//! wants a range of it, in ascending order, with no memory but that of the ranges, and so is one that fails at every range
//! of a resource (400, 405, 416, 500, 501, a connection that breaks) and sends the whole when asked without; a range that lies behind what was
//! read already costs another request.
//!
//! [`Options::rate_limit`] bounds the bytes per second of all bodies together. It is exact over time, with a burst of a tenth of
//! a second, and each track gets its share whatever number of requests it has open.
//!
//! # Compressed bodies
//!
//! Pages and playlists are asked for compressed, media as it is; what turns out to be a film is asked for again as it is. What comes in gzip (of any number of members), deflate
//! (with its zlib header or without), Brotli or Zstandard all the same is unpacked, also gzip that nobody declares: the
//! checksum proves it, and ciphertext that only looks like it stays as it is. A `Content-Encoding` that names no coding
//! (`utf-8`, `aws-chunked`) says nothing.
//! Limits count unpacked bytes, and nothing becomes more than 32 MiB and 64 times what it was.
//!
//! # Policy
//!
//! - Headers and credentials of the user go to the origin (scheme, host and port) that they were given for, and nowhere
//!   else: each hop of a redirect gets its own. `user:password@` in a URL is sent as Basic, to that URL's origin.
//!   [`Netrc`] is asked by whoever has the user's input; nothing that a document names can ask it.
//! - Cookies ([`Jar`]) go to their host, path and scheme (RFC 6265), none to all of a public suffix.
//! - `Referer` is what a browser would send under `strict-origin-when-cross-origin`. One that the user gives goes whole to
//!   the addresses that the user gives, and to others as if it were the page that they are on.
//! - A redirect is followed by hand, each hop under the same rules; `https` does not turn into `http`, unless
//!   [`Options::allow_downgrade`] says so. A document that came over `https` may name `http` addresses, as many do:
//!   they get none of its secrets, but what comes from there is anybody's on the way, and a warning says so once.
//! - TLS is verified as the platform does it. [`Options::insecure`] excepts single hosts, with a warning each time that
//!   one of their certificates is not trusted. One that is not trusted elsewhere is a refusal, and is not tried again.
//! - An answer's head has at most 100 fields and about 400 KiB over HTTP/1.1 (the bounds of hyper), 64 KiB over HTTP/2;
//!   bodies are bounded by kind ([`Limits`](aqueduct_core::Limits)), counted after decompression.
//! - `file:` is reachable only from a local playlist, and only below its folder.
//! - A document names what is no nearer to this machine than it is itself: a public one no private, link-local or
//!   loopback address, nor any other that IANA keeps for special use; one of a private network neither the link nor
//!   this machine. IPv6 forms of IPv4 addresses count as those. It is checked on the addresses that are connected to,
//!   each time, so that a name server that changes its mind gains nothing. What the user gives may be anywhere. Behind
//!   a proxy, which resolves the names, only addresses that stand in URLs can be judged; the proxy's own host is for the
//!   user alone to name.
//!
//! # Example
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aqueduct_core::{Fetch, Grant, Kind, Limits, Resource};
//! use aqueduct_fetch::{HttpFetcher, Options};
//!
//! let fetcher = HttpFetcher::new(Options::default())?;
//! let key = Resource::new(Kind::Key, url::Url::parse("https://host.example/key")?);
//! let fetched = fetcher.fetch(&key, Grant::unbudgeted(&key, &Limits::default())).await?;
//! println!("{} bytes from {}", fetched.body.as_slice().len(), fetched.url);
//! # Ok(())
//! # }
//! ```

mod address;
mod attempt;
mod clients;
mod coding;
mod cookies;
mod credentials;
mod driver;
mod fetcher;
mod headers;
mod local;
mod missing;
mod netrc;
mod netscape;
mod outage;
mod pace;
mod permits;
mod policy;
mod proxy;
mod range;
mod rate;
mod reader;
mod request;
mod resolver;
mod retry;
mod shelf;
mod sink;
mod sniff;
mod tls;
mod versions;

pub use cookies::Jar;
pub use credentials::Credentials;
pub use driver::run;
pub use fetcher::{HttpFetcher, Options, ScopedHeader};
pub use missing::{Elsewhere, Missing, OnMissing};
pub use netrc::{Netrc, NetrcError};
pub use netscape::{CookieFileError, CookieLine};
pub use permits::{Concurrency, Permits};

/// The error of this crate, shared with every other fetcher.
pub use aqueduct_core::FetchError;
