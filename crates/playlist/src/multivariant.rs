//! The Multivariant Playlist and its tags (rfc8216bis, 4.4.6).

use std::fmt;

use crate::attributes::Attribute;
use crate::key::Key;
use crate::lint::Lint;
use crate::media::Start;
use crate::position::SourceLine;
use crate::uri::Uri;
use crate::variables::{Define, Variables};

/// A Multivariant Playlist (rfc8216bis, 4.1), which used to be called master playlist: the Variant Streams
/// and Renditions of a presentation.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MultivariantPlaylist {
    /// `EXT-X-VERSION` (4.4.1.2).
    pub version: Option<u64>,
    /// `EXT-X-INDEPENDENT-SEGMENTS` (4.4.2.1): it holds for all Media Playlists.
    pub independent_segments: bool,
    /// `EXT-X-START` (4.4.2.2).
    pub start: Option<Start>,
    /// `EXT-X-DEFINE` (4.4.2.3), in their order.
    pub defines: Vec<Define>,
    /// What the definitions came to: what Media Playlists can import,
    /// see [`Context::imports`](crate::Context::imports).
    pub variables: Variables,
    /// `EXT-X-STREAM-INF` (4.4.6.2).
    pub variants: Vec<VariantStream>,
    /// `EXT-X-I-FRAME-STREAM-INF` (4.4.6.3).
    pub i_frame_variants: Vec<VariantStream>,
    /// `EXT-X-MEDIA` (4.4.6.1).
    pub renditions: Vec<Rendition>,
    /// `EXT-X-SESSION-DATA` (4.4.6.4).
    pub session_data: Vec<SessionData>,
    /// `EXT-X-SESSION-KEY` (4.4.6.5).
    pub session_keys: Vec<Key>,
    /// `EXT-X-CONTENT-STEERING` (4.4.6.6).
    pub content_steering: Option<ContentSteering>,
    /// Tags that are not known, by the item that they stand before.
    pub unknown: Vec<UnknownTag>,
    pub(crate) lint: Lint,
}

impl MultivariantPlaylist {
    /// The Renditions of a Group (4.4.6.1.1).
    pub fn group<'a>(&'a self, kind: RenditionKind, group_id: &'a str) -> impl Iterator<Item = &'a Rendition> {
        self.renditions.iter().filter(move |r| r.kind == kind && r.group_id == group_id)
    }
}

/// A Variant Stream: `EXT-X-STREAM-INF` (rfc8216bis, 4.4.6.2), or `EXT-X-I-FRAME-STREAM-INF` (4.4.6.3).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VariantStream {
    /// The URI of its Media Playlist.
    pub uri: Uri,
    /// `BANDWIDTH`: its peak bit rate in bits per second. Zero if it is not stated, as it must be.
    pub bandwidth: u64,
    /// `AVERAGE-BANDWIDTH` in bits per second.
    pub average_bandwidth: Option<u64>,
    /// `SCORE`: how good it is among the variants.
    pub score: Option<f64>,
    /// `CODECS` in RFC 6381 form; none if they are not stated.
    pub codecs: Vec<String>,
    /// `SUPPLEMENTAL-CODECS`, each with its brands.
    pub supplemental_codecs: Vec<String>,
    /// `RESOLUTION`.
    pub resolution: Option<Resolution>,
    /// `FRAME-RATE` in frames per second.
    pub frame_rate: Option<f64>,
    /// `HDCP-LEVEL`: `TYPE-0`, `TYPE-1`, `NONE`.
    pub hdcp_level: Option<String>,
    /// `ALLOWED-CPC`: which content protection configurations can play it.
    pub allowed_cpc: Option<String>,
    /// `VIDEO-RANGE`: `SDR`, `HLG`, `PQ`.
    pub video_range: Option<String>,
    /// `REQ-VIDEO-LAYOUT`.
    pub req_video_layout: Option<String>,
    /// `STABLE-VARIANT-ID`.
    pub stable_variant_id: Option<String>,
    /// `AUDIO`: the Group of its audio Renditions.
    pub audio: Option<String>,
    /// `VIDEO`: the Group of its video Renditions.
    pub video: Option<String>,
    /// `SUBTITLES`: the Group of its subtitles.
    pub subtitles: Option<String>,
    /// `CLOSED-CAPTIONS`.
    pub closed_captions: Option<ClosedCaptions>,
    /// `PATHWAY-ID`: the Content Steering Pathway that it belongs to; `.` by default.
    pub pathway_id: Option<String>,
    /// `NAME`. Not in the specification, but in use.
    pub name: Option<String>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
    /// The line of the tag.
    pub line: SourceLine,
}

/// Width and height in pixels: `RESOLUTION` (rfc8216bis, 4.4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Resolution {
    /// Reads `1920x1080`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.split_once(['x', 'X'])?;
        Some(Self {
            width: width.trim().parse().ok()?,
            height: height.trim().parse().ok()?,
        })
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// `CLOSED-CAPTIONS` of a Variant Stream (rfc8216bis, 4.4.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClosedCaptions {
    /// `NONE`: no Variant Stream has any.
    None,
    /// The Group of its closed captions.
    Group(String),
}

/// A Rendition: `EXT-X-MEDIA` (rfc8216bis, 4.4.6.1).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rendition {
    /// `TYPE`.
    pub kind: RenditionKind,
    /// `URI` of its Media Playlist. Without it the Rendition is in the Variant Streams themselves.
    pub uri: Option<Uri>,
    /// `GROUP-ID`: the Group that it belongs to.
    pub group_id: String,
    /// `LANGUAGE`, as in RFC 5646.
    pub language: Option<String>,
    /// `ASSOC-LANGUAGE`: a language that is used in another role.
    pub assoc_language: Option<String>,
    /// `NAME`, for people.
    pub name: String,
    /// `STABLE-RENDITION-ID`.
    pub stable_rendition_id: Option<String>,
    /// `DEFAULT`: played unless the viewer chooses otherwise.
    pub default: bool,
    /// `AUTOSELECT`: may be chosen because it fits the viewer's environment.
    pub autoselect: bool,
    /// `FORCED`: essential subtitles.
    pub forced: bool,
    /// `INSTREAM-ID`: `CC1` to `CC4`, `SERVICE1` to `SERVICE63`.
    pub instream_id: Option<String>,
    /// `BIT-DEPTH` of the audio samples.
    pub bit_depth: Option<u64>,
    /// `SAMPLE-RATE` of the audio in hertz.
    pub sample_rate: Option<u64>,
    /// `CHARACTERISTICS`: Uniform Type Identifiers.
    pub characteristics: Vec<String>,
    /// `CHANNELS`: for audio, the number of channels, and then more behind slashes.
    pub channels: Option<String>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
    /// The line of the tag.
    pub line: SourceLine,
}

impl Rendition {
    /// The number of audio channels.
    pub fn channel_count(&self) -> Option<u32> {
        self.channels.as_deref()?.split('/').next()?.trim().parse().ok()
    }
}

/// What a [`Rendition`] is: `TYPE` of `EXT-X-MEDIA` (rfc8216bis, 4.4.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RenditionKind {
    /// `AUDIO`.
    Audio,
    /// `VIDEO`.
    Video,
    /// `SUBTITLES`.
    Subtitles,
    /// `CLOSED-CAPTIONS`, which are always in the video itself.
    ClosedCaptions,
}

impl RenditionKind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "AUDIO" => Self::Audio,
            "VIDEO" => Self::Video,
            "SUBTITLES" => Self::Subtitles,
            "CLOSED-CAPTIONS" => Self::ClosedCaptions,
            _ => return None,
        })
    }

    /// The name as the playlist has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "AUDIO",
            Self::Video => "VIDEO",
            Self::Subtitles => "SUBTITLES",
            Self::ClosedCaptions => "CLOSED-CAPTIONS",
        }
    }
}

/// Arbitrary data: `EXT-X-SESSION-DATA` (rfc8216bis, 4.4.6.4).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SessionData {
    /// `DATA-ID`: what the data is, in reverse DNS form.
    pub data_id: String,
    /// `VALUE`: the data.
    pub value: Option<String>,
    /// `URI`: where the data is.
    pub uri: Option<Uri>,
    /// `FORMAT` of what is behind the URI: `JSON`, the default, or `RAW`.
    pub format: Option<String>,
    /// `LANGUAGE` of the value.
    pub language: Option<String>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
    /// The line of the tag.
    pub line: SourceLine,
}

/// A steering server: `EXT-X-CONTENT-STEERING` (rfc8216bis, 4.4.6.6).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ContentSteering {
    /// `SERVER-URI` of the Steering Manifest.
    pub server_uri: Uri,
    /// `PATHWAY-ID` to begin with; `.` by default.
    pub pathway_id: Option<String>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
}

/// A tag of a Multivariant Playlist that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownTag {
    /// The whole line: `#EXT…`.
    pub text: Box<str>,
    /// The item that it stands before.
    pub before: Place,
    /// Its line.
    pub line: SourceLine,
}

/// A place in a Multivariant Playlist: before the item of this index. The order is that of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Before `EXT-X-CONTENT-STEERING`.
    ContentSteering,
    /// Before session data.
    SessionData(usize),
    /// Before a session key.
    SessionKey(usize),
    /// Before a Rendition.
    Rendition(usize),
    /// Before a Variant Stream.
    Variant(usize),
    /// Before an I-frame Variant Stream.
    IFrameVariant(usize),
    /// Behind all of them.
    End,
}
