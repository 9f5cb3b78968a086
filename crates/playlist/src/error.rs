//! Why a text is no playlist that could be used.

use crate::position::{Excerpt, Position};
use crate::text::Line;

/// Why a playlist could not be read. Departures that leave the meaning clear are
/// [`Warning`](crate::Warning)s instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaylistError {
    /// The first line is not `#EXTM3U` (rfc8216bis, 4.4.1.1).
    #[error("read a playlist: its first line is not #EXTM3U\n{excerpt}")]
    NotAPlaylist {
        /// The first line that is not blank.
        position: Position,
        /// That line.
        excerpt: Excerpt,
    },
    /// The text exceeds one of the [`Limits`](crate::Limits).
    #[error("read a playlist: {}more than {limit} {what}{}", at(*.position), shown(.excerpt.as_ref()))]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much of it is allowed.
        limit: usize,
        /// Where it became too much; nowhere if the text as a whole is too large.
        position: Option<Position>,
        /// That line.
        excerpt: Option<Excerpt>,
    },
    /// A line exceeds [`Limits::line_bytes`](crate::Limits::line_bytes), perhaps only after its variable
    /// references were expanded.
    #[error("read a playlist: {position}: the line has more than {limit} bytes\n{excerpt}")]
    LongLine {
        /// Where the line is.
        position: Position,
        /// How many bytes are allowed.
        limit: usize,
        /// Its beginning.
        excerpt: Excerpt,
    },
    /// The URI of a Media Segment, of a Media Initialization Section or of a key cannot be resolved, so that
    /// the stream cannot be fetched whole.
    #[error("read a playlist: {position}: the URI cannot be resolved: {source}\n{excerpt}")]
    BadUri {
        /// Where the URI stands.
        position: Position,
        /// The line.
        excerpt: Excerpt,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// A value that decides what a Media Segment is cannot be read: its byte range (rfc8216bis, 4.4.4.2) or the IV of
    /// its key (4.4.4.4). Going on without it would fetch or decrypt something else.
    #[error("read a playlist: {position}: the {what} cannot be read\n{excerpt}")]
    BadValue {
        /// What cannot be read.
        what: &'static str,
        /// Where it stands.
        position: Position,
        /// The line.
        excerpt: Excerpt,
    },
    /// A Playlist Delta Update skips segments that the playlist before it does not have (rfc8216bis,
    /// 6.2.5.1): load the whole playlist.
    #[error("continue a playlist: segments {first} to {last} were skipped, but {}", held(*.have))]
    Delta {
        /// Media Sequence Number of the first skipped segment.
        first: u64,
        /// Media Sequence Number of the last skipped segment.
        last: u64,
        /// First and last Media Sequence Number of the playlist that it should continue.
        have: Option<(u64, u64)>,
    },
    /// m3u8-rs and this crate read the same canonical text differently. A bug in one of them; better an
    /// error than a playlist that lost something.
    #[error("read a playlist: the two readers of {what} disagree")]
    Disagreement {
        /// What they disagree on.
        what: &'static str,
    },
}

impl PlaylistError {
    pub(crate) fn too_large(what: &'static str, limit: usize) -> Self {
        Self::TooLarge {
            what,
            limit,
            position: None,
            excerpt: None,
        }
    }

    pub(crate) fn bad_value(what: &'static str, line: Line<'_>, value: &str) -> Self {
        let (position, excerpt) = line.locate(value);
        Self::BadValue { what, position, excerpt }
    }

    /// Says where it happened, unless that is said already.
    pub(crate) fn in_line(mut self, line: Line<'_>) -> Self {
        if let Self::TooLarge { position, excerpt, .. } = &mut self
            && position.is_none()
        {
            let (place, text) = line.locate(line.text);
            *position = Some(place);
            *excerpt = Some(text);
        }
        self
    }
}

fn at(position: Option<Position>) -> String {
    position.map(|p| format!("{p}: ")).unwrap_or_default()
}

fn shown(excerpt: Option<&Excerpt>) -> String {
    excerpt.map(|e| format!("\n{e}")).unwrap_or_default()
}

fn held(have: Option<(u64, u64)>) -> String {
    match have {
        Some((first, last)) => format!("the last playlist has {first} to {last}"),
        None => "the last playlist has no segments".to_owned(),
    }
}
