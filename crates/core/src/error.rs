//! The errors of the four roles. They live beside the roles because a replaced stage speaks them too.
//!
//! A message never repeats its source: print the whole chain.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::{Account, SafeUrl, TrackId};

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a transfer fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// While connecting.
    Connect,
    /// After the request, before the first byte of the answer.
    FirstByte,
    /// In the middle of the body.
    Stall,
}

impl fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::FirstByte => "no answer",
            Self::Stall => "no further byte",
        })
    }
}

/// Why a body could not be had. Messages read after "failed to fetch".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Policy forbids the request.
    #[error("{url}: refused: {reason}")]
    Refused {
        /// What was asked for.
        url: SafeUrl,
        /// Which rule forbids it.
        reason: String,
    },
    /// No connection could be made.
    #[error("{url}: no connection")]
    Connect {
        /// What was asked for.
        url: SafeUrl,
        /// What the network said.
        source: BoxError,
    },
    /// Nothing came for too long.
    #[error("{url}: {phase} for {} s", .after.as_secs_f32())]
    Timeout {
        /// What was asked for.
        url: SafeUrl,
        /// In which phase.
        phase: TimeoutPhase,
        /// How long it waited.
        after: Duration,
    },
    /// The server answered with a status that is no success.
    #[error("{url}: status {status}{}{}", status_hint(*.status), wait(*.retry_after))]
    Status {
        /// What was asked for.
        url: SafeUrl,
        /// The HTTP status code.
        status: u16,
        /// How long to wait, where the server says so (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The body ended before its announced length.
    #[error("{url}: body cut short: {received} of {expected} bytes")]
    Truncated {
        /// What was asked for.
        url: SafeUrl,
        /// Bytes received.
        received: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The answer is a success without a body, where media or a key should be.
    #[error("{url}: an empty answer")]
    Empty {
        /// What was asked for.
        url: SafeUrl,
    },
    /// The connection broke.
    #[error("{url}: connection broke after {received} bytes")]
    Broken {
        /// What was asked for.
        url: SafeUrl,
        /// Bytes received.
        received: u64,
        /// What the network said.
        source: BoxError,
    },
    /// The body is larger than its kind may be.
    #[error("{url}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: SafeUrl,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The server's answer to a range request does not fit the request.
    #[error("{url}: {what}")]
    Range {
        /// What was asked for.
        url: SafeUrl,
        /// What does not fit.
        what: String,
    },
    /// The server's answer breaks its protocol, or its redirects lead nowhere.
    #[error("{url}: {what}")]
    Invalid {
        /// What was asked for.
        url: SafeUrl,
        /// What is wrong.
        what: String,
    },
    /// A local file could not be read.
    #[error("{url}: cannot be read")]
    File {
        /// The file.
        url: SafeUrl,
        /// What the system said.
        source: std::io::Error,
    },
    /// An error of a fetcher that is not Aqueduct's own.
    #[error(transparent)]
    Other(BoxError),
}

/// What the server asks for, as the end of a message.
fn wait(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(wait) if !wait.is_zero() => format!(", and it asks to wait {} s", wait.as_secs()),
        _ => String::new(),
    }
}

fn status_hint(status: u16) -> &'static str {
    match status {
        401 => " (unauthorized: it wants credentials)",
        403 => " (forbidden: it may want a Referer, a cookie or a fresh address)",
        404 => " (not found)",
        407 => " (the proxy wants a user name and a password that it knows)",
        410 => " (gone)",
        429 => " (too many requests)",
        _ => "",
    }
}

impl FetchError {
    /// Whether the same request may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Truncated { .. } | Self::Empty { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether nothing answered: no connection, or nothing came for too long.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Timeout { .. })
    }

    /// The HTTP status code, where that is what went wrong.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Why an input could not be resolved, or a track not be followed. Messages read after "failed to resolve".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A document or playlist could not be had.
    #[error(transparent)]
    Fetch(FetchError),
    /// No document held a stream.
    #[error("no stream found; read {} document(s):\n{account}", .account.documents.len())]
    NothingFound {
        /// The documents that were read, and what was there.
        account: Account,
    },
    /// iframes or playlists are nested beyond the limit.
    #[error("nested deeper than {limit}: {}", chain(.path))]
    TooDeep {
        /// The limit.
        limit: usize,
        /// The documents on the way.
        path: Vec<SafeUrl>,
    },
    /// A playlist cannot be read.
    #[error("{url}: unreadable playlist")]
    Playlist {
        /// Its address.
        url: SafeUrl,
        /// What is wrong, and where.
        source: BoxError,
    },
    /// A live playlist did not change for too long.
    #[error("{url}: the live playlist has not changed for {} s", .after.as_secs())]
    Stale {
        /// Its address.
        url: SafeUrl,
        /// How long.
        after: Duration,
    },
    /// What the server has is no stream that can be followed.
    #[error("{url}: {what}")]
    Unusable {
        /// Where it is.
        url: SafeUrl,
        /// What is wrong with it.
        what: String,
    },
    /// The input itself, or what is asked of it, cannot be used.
    #[error("{what}")]
    Input {
        /// What is wrong, and what to try.
        what: String,
    },
    /// An error of a resolver that is not Aqueduct's own.
    #[error(transparent)]
    Other(BoxError),
}

fn chain(path: &[SafeUrl]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ")
}

impl From<FetchError> for ResolveError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

/// Why a unit could not be decrypted. Messages read after "failed to decrypt".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The key could not be had.
    #[error("no key")]
    Key(#[source] FetchError),
    /// What is at the key's address is no key.
    #[error("key {url}: {length} bytes where a key has {expected}{hint}")]
    KeyLength {
        /// Where the key should be.
        url: SafeUrl,
        /// Length of what is there, in bytes.
        length: usize,
        /// Length of a key, in bytes.
        expected: usize,
        /// What it looks like, as an appended fragment; empty when it looks like nothing known.
        hint: &'static str,
    },
    /// The ciphertext cannot be whole.
    #[error("{length} bytes are no whole number of 16-byte blocks")]
    Length {
        /// Length of the ciphertext.
        length: usize,
    },
    /// The padding is wrong: the key or the IV is, most likely.
    #[error("wrong padding: the key or the IV does not fit")]
    Padding,
    /// The padding is missing, which others under the same key have.
    #[error("no padding at its end, which other segments under its key have: it was cut short")]
    Unpadded,
    /// The authentication tag is wrong: the key is, or the segment is damaged.
    #[error("wrong authentication tag: the key does not fit, or what it opens is damaged")]
    Tag,
    /// An initialization section is encrypted without an IV.
    #[error("no initialization vector (IV): only segments under a key of the playlist have one by themselves")]
    NoIv,
    /// No key opens this: neither the playlist nor the user has one.
    #[error("no key for {}", .kids.join(", "))]
    NoKey {
        /// The key identifiers (KID) of what is encrypted, in hexadecimal, or what else needs a key.
        kids: Vec<String>,
    },
    /// Protected media that cannot be read.
    #[error("protected media: {what}")]
    Media {
        /// What is wrong.
        what: String,
    },
    /// The method is not one that this decrypter knows.
    #[error("no usable key among {}", methods(.keys))]
    Unsupported {
        /// The `METHOD` and `KEYFORMAT` of each key in force.
        keys: Vec<(String, String)>,
    },
    /// An error of a decrypter that is not Aqueduct's own.
    #[error(transparent)]
    Other(BoxError),
}

fn methods(keys: &[(String, String)]) -> String {
    keys.iter()
        .map(|(method, format)| format!("METHOD={method} KEYFORMAT=\"{format}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Why clear media could not become output. Messages read after "failed to mux".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MuxError {
    /// The media cannot go into this container.
    #[error("{what}")]
    Unsupported {
        /// What cannot, and what to try.
        what: String,
    },
    /// The media is not what it should be.
    #[error("{what}")]
    Media {
        /// What is wrong.
        what: String,
    },
    /// A segment came cut short, or is no media at all. What is of use of it may be kept ([`Mux::take_loss`](crate::Mux::take_loss)).
    #[error("{what}")]
    NotWhole {
        /// What is wrong.
        what: String,
    },
    /// An error of a muxer that is not Aqueduct's own.
    #[error(transparent)]
    Other(BoxError),
}

/// A unit of a track, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The Media Segment with this Media Sequence Number.
    Segment(u64),
    /// The Media Initialization Section ahead of the segment with this Media Sequence Number.
    Init(u64),
    /// The track as a whole.
    Track,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(msn) => write!(f, "segment {msn}"),
            Self::Init(msn) => write!(f, "initialization section before segment {msn}"),
            Self::Track => f.write_str("stream"),
        }
    }
}

/// An error with the place in the stream where it happened.
#[derive(Debug, Error)]
#[error("{unit} of {track}")]
pub struct Located<E: std::error::Error + 'static> {
    /// The track.
    pub track: TrackId,
    /// The unit.
    pub unit: Unit,
    /// What happened.
    pub source: E,
}

impl<E: std::error::Error> Located<E> {
    /// Says where `source` happened.
    pub fn new(track: TrackId, unit: Unit, source: E) -> Self {
        Self { track, unit, source }
    }
}

impl<P> crate::Item<P> {
    /// The unit that this item is, for messages.
    pub fn unit(&self) -> Unit {
        match self {
            Self::Init { info, .. } => Unit::Init(info.first_msn),
            Self::Segment { info, .. } | Self::Gap { info, .. } => Unit::Segment(info.msn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_how_long_the_server_wants_to_be_left_alone() {
        let url = SafeUrl::from(url::Url::parse("http://host.example/").unwrap());
        for (retry_after, message) in [
            (None, "http://host.example/: status 429 (too many requests)"),
            (Some(0), "http://host.example/: status 429 (too many requests)"),
            (
                Some(121),
                "http://host.example/: status 429 (too many requests), and it asks to wait 121 s",
            ),
        ] {
            let error = FetchError::Status {
                url: url.clone(),
                status: 429,
                retry_after: retry_after.map(Duration::from_secs),
            };
            assert_eq!(error.to_string(), message);
        }
    }
}
