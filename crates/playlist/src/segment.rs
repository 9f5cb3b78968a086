//! Media Segments with everything that applies to them (rfc8216bis, 3 and 4.4.4).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::attributes::{Attribute, AttributeReader};
use crate::cue::Cue;
use crate::date_range::DateRange;
use crate::datetime::DateTime;
use crate::error::PlaylistError;
use crate::key::{InitSection, Key};
use crate::position::SourceLine;
use crate::uri::{self, Uri};

/// A part of a resource in absolute bytes (rfc8216bis, 4.4.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// First byte, counted from the start of the resource.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// A byte range as it is written: its length, and its offset if there is one.
pub(crate) type WrittenRange = (u64, Option<u64>);

impl ByteRange {
    /// Reads `length[@offset]`.
    pub(crate) fn parse(text: &str) -> Option<WrittenRange> {
        let (length, offset) = match text.split_once('@') {
            Some((length, offset)) => (length, Some(offset.trim().parse().ok()?)),
            None => (text, None),
        };
        Some((length.trim().parse().ok()?, offset))
    }

    /// The first byte behind the range.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl fmt::Display for ByteRange {
    /// `length@offset`, as a playlist has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.length, self.offset)
    }
}

/// What many segments have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shared {
    pub(crate) base: Arc<Url>,
    pub(crate) keys: Arc<[Key]>,
    pub(crate) init: Option<Arc<InitSection>>,
    pub(crate) discontinuity_sequence: u64,
    pub(crate) bitrate: Option<u64>,
}

/// What few segments have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rare {
    /// A title that is longer than [`Segment::title_length`] can say.
    pub(crate) long_title: Option<Box<str>>,
    pub(crate) byte_range: Option<ByteRange>,
    pub(crate) date: Option<DateTime>,
    pub(crate) tags: Vec<Tag>,
}

/// No program date-time is known.
pub(crate) const NO_DATE: i64 = i64::MIN;

/// A Media Segment, with everything that applies to it where it stands (rfc8216bis, 3).
///
/// It takes some 70 bytes beside its URI and title, which is why it is read through methods: what segments have in
/// common they share, and the absolute URL is made when it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The URI as it is written, and right behind it the title: one allocation for both.
    pub(crate) text: Box<str>,
    /// How many bytes of `text` are title.
    pub(crate) title_length: u16,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) duration: u64,
    pub(crate) start: u64,
    pub(crate) number: u64,
    pub(crate) date: i64,
    pub(crate) line: SourceLine,
    pub(crate) discontinuity: bool,
    pub(crate) gap: bool,
}

impl Segment {
    /// The absolute URL.
    pub fn uri(&self) -> Url {
        uri::resolve(&self.shared.base, self.uri_as_written())
    }

    /// The URI as the playlist has it, with variable references expanded.
    pub fn uri_as_written(&self) -> &str {
        self.split().0
    }

    fn split(&self) -> (&str, &str) {
        let title = usize::from(self.title_length);
        // Cannot fail: the length was counted when the text was put together.
        self.text
            .split_at_checked(self.text.len().saturating_sub(title))
            .unwrap_or_default()
    }

    /// The part of the resource that is the segment; all of it if there is none (`EXT-X-BYTERANGE`, 4.4.4.2).
    pub fn byte_range(&self) -> Option<ByteRange> {
        self.rare.as_ref()?.byte_range
    }

    /// The Media Sequence Number (3).
    pub fn media_sequence_number(&self) -> u64 {
        self.number
    }

    /// The Discontinuity Sequence Number: `EXT-X-DISCONTINUITY-SEQUENCE` and the number of
    /// `EXT-X-DISCONTINUITY` tags since (4.4.3.3).
    pub fn discontinuity_sequence_number(&self) -> u64 {
        self.shared.discontinuity_sequence
    }

    /// Whether `EXT-X-DISCONTINUITY` stands before it (4.4.4.3).
    pub fn discontinuity(&self) -> bool {
        self.discontinuity
    }

    /// How long it is, to the nanosecond (`EXTINF`, 4.4.4.1).
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration)
    }

    /// When it begins, counted from the beginning of the first segment of the playlist.
    pub fn start(&self) -> Duration {
        Duration::from_nanos(self.start)
    }

    /// The title behind its duration (4.4.4.1).
    pub fn title(&self) -> Option<&str> {
        let (_, title) = self.split();
        if title.is_empty() {
            self.rare.as_ref()?.long_title.as_deref()
        } else {
            Some(title)
        }
    }

    /// The keys in force, one of each KEYFORMAT; none if the segment is clear (`EXT-X-KEY`, 4.4.4.4). A
    /// client uses the one whose format it knows.
    pub fn keys(&self) -> &Arc<[Key]> {
        &self.shared.keys
    }

    /// The Media Initialization Section in force (`EXT-X-MAP`, 4.4.4.5).
    pub fn init(&self) -> Option<&Arc<InitSection>> {
        self.shared.init.as_ref()
    }

    /// When its first sample was or will be: `EXT-X-PROGRAM-DATE-TIME` (4.4.4.6), carried forward over the
    /// durations of the segments since.
    pub fn program_date_time(&self) -> Option<DateTime> {
        self.stated_program_date_time()
            .or_else(|| DateTime::from_unix_micros(self.date).filter(|_| self.date != NO_DATE))
    }

    /// The `EXT-X-PROGRAM-DATE-TIME` of the segment itself (4.4.4.6).
    pub fn stated_program_date_time(&self) -> Option<DateTime> {
        self.rare.as_ref()?.date
    }

    /// Whether the segment is known to be missing (`EXT-X-GAP`, 4.4.4.7).
    pub fn gap(&self) -> bool {
        self.gap
    }

    /// Its approximate bit rate in kilobits per second (`EXT-X-BITRATE`, 4.4.4.8). The tag does not apply to
    /// byte ranges.
    pub fn bitrate(&self) -> Option<u64> {
        self.shared.bitrate.filter(|_| self.byte_range().is_none())
    }

    /// Tags that stand between the segment before and this one and describe neither: date ranges, parts,
    /// cues and unknown tags, in their order.
    pub fn tags(&self) -> &[Tag] {
        self.rare.as_ref().map_or(&[], |rare| &rare.tags)
    }

    /// Its Partial Segments (`EXT-X-PART`, 4.4.4.9).
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.tags().iter().filter_map(|tag| match tag {
            Tag::Part(part) => Some(&**part),
            _ => None,
        })
    }

    /// The line of its URI.
    pub fn line(&self) -> SourceLine {
        self.line
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// A tag with a place among the segments.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Tag {
    /// `EXT-X-DATERANGE` (rfc8216bis, 4.4.5.1).
    DateRange(Box<DateRange>),
    /// `EXT-X-PART` (4.4.4.9).
    Part(Box<Part>),
    /// An advertisement cue that is in use without being in the specification.
    Cue(Box<Cue>),
    /// A tag that is not known, as a whole line: `#EXT…`. Comments are not kept.
    Unknown(Box<str>),
}

/// A Partial Segment (`EXT-X-PART`, rfc8216bis, 4.4.4.9).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Part {
    /// `URI`.
    pub uri: Uri,
    /// `DURATION`.
    pub duration: Duration,
    /// `INDEPENDENT`: whether it has an independent frame.
    pub independent: bool,
    /// `BYTERANGE`, absolute.
    pub byte_range: Option<ByteRange>,
    /// `GAP`: whether it is not available.
    pub gap: bool,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
    /// The line of the tag.
    pub line: SourceLine,
}

impl Part {
    /// Reads the attributes; the byte range may lack its offset.
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Option<(Self, Option<WrittenRange>)>, PlaylistError> {
        reader.missing("URI");
        reader.missing("DURATION");
        let Some(uri) = reader.uri("URI")? else { return Ok(None) };
        let range = reader.range("BYTERANGE")?;
        let part = Self {
            uri,
            duration: reader.duration("DURATION").unwrap_or_default(),
            independent: reader.yes("INDEPENDENT").unwrap_or(false),
            byte_range: None,
            gap: reader.yes("GAP").unwrap_or(false),
            line: SourceLine(reader.line.number),
            other: reader.rest()?,
        };
        Ok(Some((part, range)))
    }
}
