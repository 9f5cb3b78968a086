//! What several tests use.
#![allow(dead_code, clippy::allow_attributes, reason = "no test file uses all of it")]

use aqueduct_playlist::{Context, MediaPlaylist, MultivariantPlaylist, Parsed, Playlist, PlaylistError, parse};

pub(crate) const BASE: &str = "https://example.com/live/list.m3u8?token=t&part=p%2Fq";

pub(crate) fn context() -> Context {
    Context::new(BASE.parse().expect("a URL"))
}

pub(crate) fn try_read(text: impl AsRef<[u8]>) -> Result<Parsed, PlaylistError> {
    parse(text.as_ref(), &context())
}

pub(crate) fn read(text: impl AsRef<[u8]>) -> Parsed {
    try_read(text).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn media(text: impl AsRef<[u8]>) -> MediaPlaylist {
    read(text).into_media().expect("a Media Playlist")
}

pub(crate) fn multivariant(text: impl AsRef<[u8]>) -> MultivariantPlaylist {
    read(text).into_multivariant().expect("a Multivariant Playlist")
}

/// A Media Playlist with these lines behind its header.
pub(crate) fn with_lines(lines: &str) -> String {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n{lines}\n")
}

/// The names of the warnings, in their order.
pub(crate) fn codes(parsed: &Parsed) -> Vec<&'static str> {
    parsed.warnings.iter().map(|w| w.kind.code()).collect()
}

/// The names of what the linter finds.
pub(crate) fn findings(text: &str) -> Vec<&'static str> {
    let playlist: Playlist = read(text).playlist;
    playlist.validate().iter().map(|f| f.code).collect()
}
