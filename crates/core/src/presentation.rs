//! What a resolver makes of an input: tracks, and an account of how it found them.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::SafeUrl;

/// What the user gives: an address, a file or the text of a playlist.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A page, a playlist or a media file (`http`, `https`, `data`, `file`).
    Url(SafeUrl),
    /// A local file: a playlist or a saved page.
    File(PathBuf),
    /// The content of a document, such as a playlist on standard input.
    Text {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What relative addresses in it are relative to.
        base: Option<SafeUrl>,
    },
}

impl Input {
    /// Reads what stands on a command line: with one of the schemes `http`, `https`, `data` and `file` it is an
    /// address, otherwise a path.
    pub fn parse(text: &str) -> Self {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https" | "data" | "file") => Self::Url(url.into()),
            _ => Self::File(PathBuf::from(text)),
        }
    }
}

/// A track's number within its presentation, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrackId(u32);

impl TrackId {
    /// The track with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "track {}", self.0)
    }
}

/// What a track carries, as far as its playlist tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackKind {
    /// The Variant Stream itself: video, and its audio unless a Rendition brings it.
    Main,
    /// An audio Rendition.
    Audio,
    /// A subtitle Rendition.
    Subtitles,
    /// A plain media file.
    File,
}

impl fmt::Display for TrackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main",
            Self::Audio => "audio",
            Self::Subtitles => "subtitles",
            Self::File => "file",
        })
    }
}

/// Closed captions inside the pictures of a track, as its Multivariant Playlist tells of them (rfc8216bis, 4.4.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedCaptions {
    /// Which of those in the pictures they are: INSTREAM-ID, such as `CC1`.
    pub instream_id: String,
    /// NAME.
    pub name: String,
    /// LANGUAGE (BCP 47).
    pub language: Option<String>,
}

impl ClosedCaptions {
    /// Captions in an untold language.
    pub fn new(instream_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            instream_id: instream_id.into(),
            name: name.into(),
            language: None,
        }
    }
}

impl fmt::Display for ClosedCaptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.instream_id, self.name)?;
        self.language.iter().try_for_each(|language| write!(f, " ({language})"))
    }
}

/// One lane of the pipeline.
#[derive(Clone)]
#[non_exhaustive]
pub struct Track {
    /// Its number.
    pub id: TrackId,
    /// What it carries.
    pub kind: TrackKind,
    /// A name for people: a resolution, a Rendition's NAME.
    pub name: String,
    /// Its language (BCP 47), where it is told.
    pub language: Option<String>,
    /// Whether it is shown whatever the viewer chose: FORCED, of subtitles.
    pub forced: bool,
    /// Whether it plays unless the viewer chooses another: DEFAULT, of a Rendition.
    pub default: bool,
    /// What it is for: Media Characteristic Tags of a Rendition.
    pub characteristics: Vec<String>,
    /// Closed captions that are in its pictures, as far as they are told.
    pub captions: Vec<ClosedCaptions>,
    /// Where it comes from: a Media Playlist or a media file.
    pub url: Option<SafeUrl>,
    /// Number of segments, where the playlist is complete.
    pub segments: Option<u64>,
    /// Number of segments that its playlist named when the track was found.
    pub window: u64,
    /// Number of bytes, where it is known.
    pub bytes: Option<u64>,
    /// Playing time, where the playlist is complete.
    pub duration: Option<Duration>,
    /// Whether the playlist may still grow.
    pub live: bool,
    /// The file extension that its segments' addresses carry, in lower case: a hint for choosing a container.
    pub extension: Option<String>,
    plan: Option<Arc<dyn Any + Send + Sync>>,
}

impl Track {
    /// A track of which nothing else is known yet.
    pub fn new(id: TrackId, kind: TrackKind, name: impl Into<String>) -> Self {
        Self {
            id,
            kind,
            name: name.into(),
            language: None,
            forced: false,
            default: false,
            characteristics: Vec::new(),
            captions: Vec::new(),
            url: None,
            segments: None,
            window: 0,
            bytes: None,
            duration: None,
            live: false,
            extension: None,
            plan: None,
        }
    }

    /// Whether it has this Media Characteristic Tag.
    pub fn is_for(&self, characteristic: &str) -> bool {
        self.characteristics.iter().any(|known| known == characteristic)
    }

    /// The same with what its resolver needs to follow it; opaque to everybody else.
    #[must_use]
    pub fn with_plan<T: Send + Sync + 'static>(mut self, plan: T) -> Self {
        self.plan = Some(Arc::new(plan));
        self
    }

    /// What the resolver left here, if it is of this type.
    pub fn plan<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.plan.as_deref()?.downcast_ref()
    }
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Track")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("url", &self.url)
            .field("segments", &self.segments)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

/// What kind of thing a Multivariant Playlist offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OfferKind {
    /// A Variant Stream.
    Variant,
    /// An alternative video Rendition.
    Video,
    /// An audio Rendition.
    Audio,
    /// A subtitle Rendition.
    Subtitles,
    /// Closed captions inside the video.
    ClosedCaptions,
}

impl fmt::Display for OfferKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variant => "variant",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Subtitles => "subtitles",
            Self::ClosedCaptions => "captions",
        })
    }
}

/// A Variant Stream or a Rendition that can be chosen (RFC 8216, 4.3.4). `Display` is a line for people.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Offer {
    /// What it is.
    pub kind: OfferKind,
    /// NAME; empty where there is none.
    pub name: String,
    /// Width and height in pixels.
    pub resolution: Option<(u32, u32)>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Peak bit rate in bits per second.
    pub bandwidth: Option<u64>,
    /// RFC 6381 names.
    pub codecs: Vec<String>,
    /// GROUP-ID of a Rendition; of a Variant Stream, the group of its audio.
    pub group: Option<String>,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// CHANNELS.
    pub channels: Option<String>,
    /// INSTREAM-ID, of closed captions.
    pub instream_id: Option<String>,
    /// CHARACTERISTICS: Media Characteristic Tags.
    pub characteristics: Vec<String>,
    /// DEFAULT.
    pub default: bool,
    /// FORCED.
    pub forced: bool,
    /// Its Media Playlist; none where it is inside a Variant Stream.
    pub url: Option<SafeUrl>,
}

impl Offer {
    /// An offer of which nothing else is known.
    pub fn new(kind: OfferKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            resolution: None,
            frame_rate: None,
            bandwidth: None,
            codecs: Vec::new(),
            group: None,
            language: None,
            channels: None,
            instream_id: None,
            characteristics: Vec::new(),
            default: false,
            forced: false,
            url: None,
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(Some(&self.name).filter(|name| !name.is_empty()).cloned());
        words.extend(self.resolution.map(|(width, height)| format!("{width}x{height}")));
        words.extend(self.frame_rate.map(|rate| format!("{rate} fps")));
        words.extend(Some(self.codecs.join(",")).filter(|codecs| !codecs.is_empty()));
        words.extend(self.bandwidth.map(|bandwidth| format!("{} kbit/s", bandwidth / 1000)));
        let mut marks = Vec::new();
        marks.extend(self.language.clone());
        marks.extend(self.channels.as_ref().map(|channels| format!("{channels} channels")));
        marks.extend(self.default.then(|| "default".to_owned()));
        marks.extend(self.forced.then(|| "forced".to_owned()));
        f.write_str(&words.join(" "))?;
        if !marks.is_empty() {
            write!(f, " ({})", marks.join(", "))?;
        }
        Ok(())
    }
}

/// Where a part of a presentation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// Playing time before it.
    pub start: Duration,
    /// What it is called.
    pub title: String,
}

/// What an input turned out to be.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Presentation {
    /// The page's title, as it stands there: not yet safe as a file name.
    pub title: Option<String>,
    /// When its first segment was recorded (`EXT-X-PROGRAM-DATE-TIME`).
    pub recorded: Option<SystemTime>,
    /// Chapters, in the order of their beginnings: the date ranges of a complete playlist.
    pub chapters: Vec<Chapter>,
    /// The tracks to fetch, in the order of their numbers.
    pub tracks: Vec<Track>,
    /// All that the Multivariant Playlist offers, chosen or not; empty where there is none.
    pub offers: Vec<Offer>,
    /// How they were found.
    pub account: Account,
    /// What is not as it should be in the documents, though it could be read.
    pub warnings: Vec<String>,
}

impl Presentation {
    /// A presentation of these tracks.
    pub fn new(tracks: Vec<Track>) -> Self {
        Self { tracks, ..Self::default() }
    }
}

/// The documents that were read on the way to a stream, in order, and what each held.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Account {
    /// The documents.
    pub documents: Vec<DocumentRead>,
}

/// One document and what came of it.
#[derive(Clone, Debug)]
pub struct DocumentRead {
    /// Its address, after redirects.
    pub url: SafeUrl,
    /// How far from the input it stands: 0 for the input itself, 1 for an iframe in it.
    pub depth: usize,
    /// What was found there, or what went wrong, as fragments for people.
    pub found: Vec<String>,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, document) in self.documents.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{:indent$}{}", "", document.url, indent = document.depth * 2)?;
            for found in &document.found {
                write!(f, "\n{:indent$}- {found}", "", indent = document.depth * 2 + 2)?;
            }
        }
        Ok(())
    }
}
