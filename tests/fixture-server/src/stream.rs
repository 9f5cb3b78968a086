//! Streams as data.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{Encryption, Synthetic};

/// A stream: what plays, and how it is delivered. `streams.json` holds the standard ones.
///
/// With one Variant Stream and no Rendition the entry `index.m3u8` is a Media Playlist and its segments lie
/// beside it. Otherwise it is a Multivariant Playlist, and each track has a folder: `v0/`, `v1/` for the
/// Variant Streams, `r0/`, `r1/` for the Renditions, with an `index.m3u8` in each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// The Variant Streams; at least one.
    pub variants: Vec<Variant>,
    /// Renditions that stand beside them.
    pub renditions: Vec<Rendition>,
    /// How segments are encrypted (WebVTT never is).
    pub encryption: Option<Encryption>,
    /// The Media Sequence Number of the first segment.
    pub first_msn: u64,
    /// Whether all segments are byte ranges of one resource, `all.ts` or `all.m4s`.
    pub byte_ranges: bool,
    /// Which of the clip's segments play, in which order; empty for all of them. A step that is not to the
    /// next one is a discontinuity.
    pub order: Vec<usize>,
    /// How often the order is played in all; 0 means once.
    pub repeat: usize,
    /// Segments (by position) that are tagged `EXT-X-GAP` and not there.
    pub gaps: Vec<usize>,
    /// A window that moves instead of the whole list.
    pub live: Option<Live>,
}

/// A Variant Stream: one `EXT-X-STREAM-INF`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variant {
    /// What plays.
    pub media: Media,
    /// `BANDWIDTH`; 0 stands for 300000.
    pub bandwidth: u64,
    /// `RESOLUTION`, such as `320x180`.
    pub resolution: Option<String>,
    /// `CODECS`.
    pub codecs: Option<String>,
    /// `AUDIO`, a group of Renditions.
    pub audio: Option<String>,
    /// `SUBTITLES`, a group of Renditions.
    pub subtitles: Option<String>,
}

/// A Rendition: one `EXT-X-MEDIA`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendition {
    /// `TYPE`.
    pub kind: RenditionKind,
    /// `GROUP-ID`.
    pub group: String,
    /// `NAME`.
    pub name: String,
    /// `LANGUAGE`.
    #[serde(default)]
    pub language: Option<String>,
    /// `DEFAULT` and `AUTOSELECT`.
    #[serde(default)]
    pub default: bool,
    /// What plays; `None` for a Rendition without URI, which is in the main stream.
    #[serde(default)]
    pub media: Option<Media>,
}

/// `TYPE` of a Rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RenditionKind {
    /// `AUDIO`.
    Audio,
    /// `SUBTITLES`.
    Subtitles,
}

/// What a track plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// A folder of the clip, such as `high-ts`.
    Clip(String),
    /// Computed bytes.
    Synthetic(Synthetic),
}

impl Default for Media {
    fn default() -> Self {
        Self::Clip("high-ts".to_owned())
    }
}

/// A live window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// How many segments the playlist names at most.
    pub window: usize,
    /// How many it names at first.
    pub first: usize,
    /// What makes the window move by one segment.
    pub advance: Advance,
    /// Whether the stream starts over for ever instead of ending.
    #[serde(default)]
    pub endless: bool,
    /// Whether `EXT-X-ENDLIST` never comes.
    #[serde(default)]
    pub unended: bool,
}

/// What makes a live window move by one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advance {
    /// Each time the playlist is read.
    Reload,
    /// Each time so many milliseconds have gone since the first reading.
    Milliseconds(u64),
}

impl Stream {
    /// The streams of `streams.json`, by name.
    pub fn standard() -> Result<BTreeMap<String, Self>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/streams.json");
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        serde_json::from_str(&text).with_context(|| format!("reading {path}"))
    }

    /// A stream of one track.
    pub fn of(media: Media) -> Self {
        Self {
            variants: vec![Variant {
                media,
                ..Variant::default()
            }],
            ..Self::default()
        }
    }

    /// Whether the entry is a Multivariant Playlist.
    pub fn is_multivariant(&self) -> bool {
        self.variants.len() > 1 || !self.renditions.is_empty()
    }
}
