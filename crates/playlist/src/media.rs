//! The Media Playlist and the tags that describe it as a whole (rfc8216bis, 4.4.2, 4.4.3 and 4.4.5).

use std::time::Duration;

use crate::attributes::{Attribute, AttributeReader};
use crate::date_range::DateRange;
use crate::error::PlaylistError;
use crate::lint::Lint;
use crate::position::SourceLine;
use crate::segment::{NO_DATE, Segment, Tag};
use crate::uri::Uri;
use crate::variables::{Define, Variables};

/// A Media Playlist (rfc8216bis, 4.1): Media Segments, and what applies to all of them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MediaPlaylist {
    /// `EXT-X-VERSION` (4.4.1.2).
    pub version: Option<u64>,
    /// `EXT-X-INDEPENDENT-SEGMENTS` (4.4.2.1).
    pub independent_segments: bool,
    /// `EXT-X-START` (4.4.2.2).
    pub start: Option<Start>,
    /// `EXT-X-DEFINE` (4.4.2.3), in their order.
    pub defines: Vec<Define>,
    /// What the definitions came to.
    pub variables: Variables,
    /// `EXT-X-TARGETDURATION` (4.4.3.1), in whole seconds.
    pub target_duration: Option<Duration>,
    /// `EXT-X-MEDIA-SEQUENCE` (4.4.3.2): the number of the first segment, zero by default.
    pub media_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` (4.4.3.3), zero by default.
    pub discontinuity_sequence: u64,
    /// `EXT-X-ENDLIST` (4.4.3.4): no segment will be added.
    pub end_list: bool,
    /// `EXT-X-PLAYLIST-TYPE` (4.4.3.5).
    pub playlist_type: Option<PlaylistType>,
    /// `EXT-X-I-FRAMES-ONLY` (4.4.3.6).
    pub i_frames_only: bool,
    /// `EXT-X-PART-INF` (4.4.3.7).
    pub part_inf: Option<PartInf>,
    /// `EXT-X-SERVER-CONTROL` (4.4.3.8).
    pub server_control: Option<ServerControl>,
    /// `EXT-X-SKIP` (4.4.5.2): the playlist is a delta update; [`parse_update`](crate::parse_update)
    /// completes it.
    pub skip: Option<Skip>,
    /// The Media Segments, in their order.
    pub segments: Vec<Segment>,
    /// What stands behind the last segment and belongs to the next one: its parts, and tags that apply to
    /// it. It has neither URI nor duration yet.
    pub unfinished: Option<Box<Segment>>,
    /// `EXT-X-PRELOAD-HINT` (4.4.5.3).
    pub preload_hints: Vec<PreloadHint>,
    /// `EXT-X-RENDITION-REPORT` (4.4.5.4).
    pub rendition_reports: Vec<RenditionReport>,
    pub(crate) lint: Lint,
}

impl MediaPlaylist {
    /// The sum of the durations of all segments.
    pub fn duration(&self) -> Duration {
        let end = self.segments.last().map_or(0, |s| s.start.saturating_add(s.duration));
        Duration::from_nanos(end)
    }

    /// Whether it will not change any more: it has its end, or is of type `VOD` (4.4.3.5).
    pub fn is_complete(&self) -> bool {
        self.end_list || self.playlist_type == Some(PlaylistType::Vod)
    }

    /// The Media Sequence Number of the segment behind the last one.
    pub fn next_media_sequence_number(&self) -> u64 {
        match self.segments.last() {
            Some(last) => last.number.saturating_add(1),
            None => self.first_number(),
        }
    }

    /// The tags with a place among the segments, each with the number of segments before it.
    pub fn tags(&self) -> impl Iterator<Item = (usize, &Tag)> {
        let segments = self.segments.iter().chain(self.unfinished.as_deref());
        segments
            .enumerate()
            .flat_map(|(n, segment)| segment.tags().iter().map(move |tag| (n, tag)))
    }

    /// The date ranges (4.4.5.1).
    pub fn date_ranges(&self) -> impl Iterator<Item = &DateRange> {
        self.tags().filter_map(|(_, tag)| match tag {
            Tag::DateRange(range) => Some(&**range),
            _ => None,
        })
    }

    /// The number of the first segment that is listed.
    pub(crate) fn first_number(&self) -> u64 {
        let skipped = self.skip.as_ref().map_or(0, |s| s.skipped_segments);
        self.media_sequence.saturating_add(skipped)
    }

    /// Gives every segment its number, its start and the date-time carried forward.
    pub(crate) fn number_segments(&mut self) {
        let mut number = self.first_number();
        let mut start = 0_u64;
        // The last stated date, and when it was.
        let mut stated: Option<(i64, u64)> = None;
        for segment in self.segments.iter_mut().chain(self.unfinished.as_deref_mut()) {
            segment.number = number;
            segment.start = start;
            if let Some(date) = segment.stated_program_date_time() {
                stated = Some((date.unix_micros(), start));
            }
            segment.date = stated.map_or(NO_DATE, |(date, from)| {
                let passed = i64::try_from((start - from) / 1000).unwrap_or(i64::MAX);
                date.saturating_add(passed)
            });
            number = number.saturating_add(1);
            start = start.saturating_add(segment.duration);
        }
    }
}

/// Whether segments may go or change: `EXT-X-PLAYLIST-TYPE` (rfc8216bis, 4.4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlaylistType {
    /// `EVENT`: segments can only be added.
    Event,
    /// `VOD`: nothing changes.
    Vod,
}

impl PlaylistType {
    /// The name as the playlist has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "EVENT",
            Self::Vod => "VOD",
        }
    }
}

/// Where to begin: `EXT-X-START` (rfc8216bis, 4.4.2.2).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Start {
    /// `TIME-OFFSET` in seconds, from the beginning, or from the end if it is negative.
    pub time_offset: f64,
    /// `PRECISE`: whether to begin there exactly rather than with the segment.
    pub precise: bool,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
}

impl Start {
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Option<Self>, PlaylistError> {
        reader.missing("TIME-OFFSET");
        let Some(time_offset) = reader.signed("TIME-OFFSET") else {
            return Ok(None);
        };
        Ok(Some(Self {
            time_offset,
            precise: reader.yes("PRECISE").unwrap_or(false),
            other: reader.rest()?,
        }))
    }
}

/// About Partial Segments: `EXT-X-PART-INF` (rfc8216bis, 4.4.3.7).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PartInf {
    /// `PART-TARGET`: the longest a part can be.
    pub part_target: Duration,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
}

impl PartInf {
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Option<Self>, PlaylistError> {
        reader.missing("PART-TARGET");
        let Some(part_target) = reader.duration("PART-TARGET") else {
            return Ok(None);
        };
        Ok(Some(Self {
            part_target,
            other: reader.rest()?,
        }))
    }
}

/// What the server can do: `EXT-X-SERVER-CONTROL` (rfc8216bis, 4.4.3.8).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ServerControl {
    /// `CAN-SKIP-UNTIL`: it makes delta updates, which skip segments further than this from the end.
    pub can_skip_until: Option<Duration>,
    /// `CAN-SKIP-DATERANGES`: they can skip date ranges, too.
    pub can_skip_date_ranges: bool,
    /// `HOLD-BACK`: how far from the end to play.
    pub hold_back: Option<Duration>,
    /// `PART-HOLD-BACK`: how far from the end to play in low-latency mode.
    pub part_hold_back: Option<Duration>,
    /// `CAN-BLOCK-RELOAD`: it can hold a request back until a segment or part is there.
    pub can_block_reload: bool,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
}

impl ServerControl {
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Self, PlaylistError> {
        Ok(Self {
            can_skip_until: reader.duration("CAN-SKIP-UNTIL"),
            can_skip_date_ranges: reader.yes("CAN-SKIP-DATERANGES").unwrap_or(false),
            hold_back: reader.duration("HOLD-BACK"),
            part_hold_back: reader.duration("PART-HOLD-BACK"),
            can_block_reload: reader.yes("CAN-BLOCK-RELOAD").unwrap_or(false),
            other: reader.rest()?,
        })
    }
}

/// What a Playlist Delta Update leaves out: `EXT-X-SKIP` (rfc8216bis, 4.4.5.2).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Skip {
    /// `SKIPPED-SEGMENTS`: how many segments.
    pub skipped_segments: u64,
    /// `RECENTLY-REMOVED-DATERANGES`: the IDs of date ranges that are gone.
    pub recently_removed_date_ranges: Vec<String>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
}

impl Skip {
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Option<Self>, PlaylistError> {
        reader.missing("SKIPPED-SEGMENTS");
        let Some(skipped_segments) = reader.integer("SKIPPED-SEGMENTS") else {
            return Ok(None);
        };
        Ok(Some(Self {
            skipped_segments,
            recently_removed_date_ranges: reader.list("RECENTLY-REMOVED-DATERANGES", '\t')?,
            other: reader.rest()?,
        }))
    }
}

/// What will be needed soon: `EXT-X-PRELOAD-HINT` (rfc8216bis, 4.4.5.3).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PreloadHint {
    /// `TYPE`.
    pub kind: HintKind,
    /// `URI`.
    pub uri: Uri,
    /// `BYTERANGE-START`, zero by default.
    pub byte_range_start: u64,
    /// `BYTERANGE-LENGTH`; to the end of the resource without it.
    pub byte_range_length: Option<u64>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
    /// The line of the tag.
    pub line: SourceLine,
}

/// What a [`PreloadHint`] is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HintKind {
    /// `PART`: a Partial Segment.
    Part,
    /// `MAP`: a Media Initialization Section.
    Map,
    /// Something else.
    Other(Box<str>),
}

impl HintKind {
    /// The name as the playlist has it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Part => "PART",
            Self::Map => "MAP",
            Self::Other(name) => name,
        }
    }
}

impl PreloadHint {
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Option<Self>, PlaylistError> {
        reader.missing("TYPE");
        reader.missing("URI");
        let Some(uri) = reader.uri("URI")? else { return Ok(None) };
        let kind = match reader.word("TYPE").unwrap_or_default().as_str() {
            "PART" => HintKind::Part,
            "MAP" => HintKind::Map,
            other => HintKind::Other(other.into()),
        };
        Ok(Some(Self {
            kind,
            uri,
            byte_range_start: reader.integer("BYTERANGE-START").unwrap_or(0),
            byte_range_length: reader.integer("BYTERANGE-LENGTH"),
            line: SourceLine(reader.line.number),
            other: reader.rest()?,
        }))
    }
}

/// How far another Rendition is: `EXT-X-RENDITION-REPORT` (rfc8216bis, 4.4.5.4).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RenditionReport {
    /// `URI` of its Media Playlist.
    pub uri: Uri,
    /// `LAST-MSN`: the Media Sequence Number of its last segment.
    pub last_msn: Option<u64>,
    /// `LAST-PART`: the index of its last part.
    pub last_part: Option<u64>,
    /// Attributes without a field of their own.
    pub other: Vec<Attribute>,
    /// The line of the tag.
    pub line: SourceLine,
}

impl RenditionReport {
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Option<Self>, PlaylistError> {
        reader.missing("URI");
        let Some(uri) = reader.uri("URI")? else { return Ok(None) };
        Ok(Some(Self {
            uri,
            last_msn: reader.integer("LAST-MSN"),
            last_part: reader.integer("LAST-PART"),
            line: SourceLine(reader.line.number),
            other: reader.rest()?,
        }))
    }
}
