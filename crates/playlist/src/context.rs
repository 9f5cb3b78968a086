//! What a parser has to know beside the text: where it came from, what it may import, how much it may be.

use std::sync::Arc;

use url::Url;

use crate::variables::Variables;

/// Where a playlist stands and what it may import.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The URL that the playlist was finally loaded from, after redirects: relative references resolve
    /// against it (rfc8216bis, 4.1), and `EXT-X-DEFINE:QUERYPARAM` reads its query (4.4.2.3).
    pub base: Url,
    /// The variables of the Multivariant Playlist that led here, for `EXT-X-DEFINE:IMPORT` (4.4.2.3): take
    /// them from [`MultivariantPlaylist::variables`](crate::MultivariantPlaylist::variables).
    pub imports: Variables,
    /// How large a playlist may be.
    pub limits: Limits,
}

impl Context {
    /// A playlist loaded from `base`, with nothing to import and the default [`Limits`].
    pub fn new(base: Url) -> Self {
        Self {
            base,
            imports: Variables::default(),
            limits: Limits::default(),
        }
    }

    /// The same with the variables of a Multivariant Playlist.
    #[must_use]
    pub fn with_imports(mut self, imports: Variables) -> Self {
        self.imports = imports;
        self
    }

    pub(crate) fn shared_base(&self) -> Arc<Url> {
        Arc::new(self.base.clone())
    }
}

/// How large a playlist may be. Whatever exceeds a limit is a [`PlaylistError`](crate::PlaylistError), never
/// a silently shortened playlist.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the whole text, and of everything that variable references expand to: 64 MiB.
    pub bytes: usize,
    /// Lines: 8 million.
    pub lines: usize,
    /// Bytes of one line, also after its variable references are expanded: 1 MiB.
    pub line_bytes: usize,
    /// Media Segments of a Media Playlist: one million, which is 70 days in segments of six seconds.
    pub segments: usize,
    /// Small things that are kept beside the segments: tags such as date ranges and parts, and, each counted
    /// by themselves, attributes without a field, entries of lists, and keys: half a million.
    pub tags: usize,
    /// Variant Streams, Renditions, session data and session keys of a Multivariant Playlist: 10,000.
    pub entries: usize,
    /// Warnings kept of one kind: 100. The rest is only counted, see
    /// [`Parsed::suppressed_warnings`](crate::Parsed::suppressed_warnings).
    pub warnings_per_kind: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            lines: 8_000_000,
            line_bytes: 1 << 20,
            segments: 1_000_000,
            tags: 500_000,
            entries: 10_000,
            warnings_per_kind: 100,
        }
    }
}
