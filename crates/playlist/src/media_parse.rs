//! Reads a Media Playlist: one pass over the lines that folds what is in force into every segment.

mod header;
mod update;

use std::collections::HashMap;
use std::sync::Arc;

use crate::attributes::{AttributeReader, Tools};
use crate::context::Context;
use crate::date_range::DateRange;
use crate::datetime::{DateTime, Spelling};
use crate::error::PlaylistError;
use crate::key::{InitSection, Key, KeyRing};
use crate::lint::Lint;
use crate::m3u8::{self, HeaderText};
use crate::media::{MediaPlaylist, PreloadHint, RenditionReport, Skip};
use crate::number;
use crate::position::SourceLine;
use crate::segment::{ByteRange, NO_DATE, Part, Rare, Segment, Shared, Tag, WrittenRange};
use crate::text::{Line, Lines};
use crate::uri;
use crate::warning::WarningKind;

/// What applies to the next segment alone.
#[derive(Debug, Default)]
struct Pending<'t> {
    /// Duration, title and line.
    extinf: Option<(u64, &'t str, Line<'t>)>,
    range: Option<(WrittenRange, Line<'t>)>,
    date: Option<DateTime>,
    gap: bool,
    discontinuity: bool,
    map: bool,
    tags: Vec<Tag>,
}

/// The state of the pass.
pub(crate) struct MediaParser<'c, 't> {
    context: &'c Context,
    /// The playlist that a delta update continues.
    previous: Option<&'c MediaPlaylist>,
    tools: Tools,
    lint: Lint,
    header: HeaderText,
    playlist: MediaPlaylist,
    pending: Pending<'t>,
    keys: KeyRing,
    init: Option<Arc<InitSection>>,
    bitrate: Option<u64>,
    discontinuities: u64,
    /// What the last segment has in common with those before, and whether something has changed since.
    shared: Arc<Shared>,
    stale: bool,
    /// Where byte ranges of resources ended that were left for another one.
    left: HashMap<Box<str>, u64>,
    last_part: Option<(Box<str>, u64)>,
    tag_count: usize,
    media_sequence: u64,
    /// How many segments were carried over from `previous`.
    carried: usize,
    /// Whether a duration had a fraction.
    fractional: bool,
}

impl<'c, 't> MediaParser<'c, 't> {
    pub(crate) fn new(tools: Tools, context: &'c Context, previous: Option<&'c MediaPlaylist>, capacity: usize) -> Self {
        let shared = Arc::new(Shared {
            base: Arc::clone(&tools.base),
            keys: Arc::default(),
            init: None,
            discontinuity_sequence: 0,
            bitrate: None,
        });
        Self {
            context,
            previous,
            tools,
            lint: Lint::default(),
            header: HeaderText::default(),
            playlist: MediaPlaylist {
                segments: Vec::with_capacity(capacity),
                ..MediaPlaylist::default()
            },
            pending: Pending::default(),
            keys: KeyRing::default(),
            init: None,
            bitrate: None,
            discontinuities: 0,
            shared,
            stale: false,
            left: HashMap::new(),
            last_part: None,
            tag_count: 0,
            media_sequence: 0,
            carried: 0,
            fractional: false,
        }
    }

    pub(crate) fn run(mut self, lines: Lines<'t>) -> Result<(MediaPlaylist, Tools, Lint), PlaylistError> {
        for line in lines {
            if line.text.len() != line.raw.len() {
                if line.text.is_empty() {
                    continue;
                }
                self.warn(WarningKind::SpaceAroundLine, line, line.raw);
            }
            match line.text.strip_prefix('#') {
                Some(tag) => {
                    if let Some(value) = tag.strip_prefix("EXTINF:") {
                        self.extinf(line, value);
                    } else if tag.starts_with("EXT") {
                        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                        self.tag(line, name.trim_end(), value).map_err(|e| e.in_line(line))?;
                    }
                }
                None if line.text.is_empty() => {}
                None => self.uri(line).map_err(|e| e.in_line(line))?,
            }
        }
        self.finish()
    }

    fn warn(&mut self, kind: WarningKind, line: Line<'_>, at: &str) {
        self.tools.report.warn(kind, line, at);
    }

    fn reader<'s>(&'s mut self, line: Line<'t>, value: &'t str) -> AttributeReader<'t, 's> {
        AttributeReader::new(&mut self.tools, line, value)
    }

    fn extinf(&mut self, line: Line<'t>, value: &'t str) {
        let (duration, title) = value.split_once(',').unwrap_or((value, ""));
        let (nanos, flaw) = number::billionths(duration);
        if let Some(flaw) = flaw {
            self.warn(flaw, line, duration);
        }
        if let Some((_, _, unused)) = self.pending.extinf {
            self.warn(WarningKind::DurationWithoutSegment, unused, unused.text);
        }
        self.pending.extinf = Some((nanos, title.trim(), line));
        if !self.fractional && duration.contains('.') {
            self.fractional = true;
            self.lint.first(FRACTIONAL_EXTINF, line.number);
        }
    }

    /// One tag other than `EXTINF`.
    fn tag(&mut self, line: Line<'t>, name: &'t str, value: &'t str) -> Result<(), PlaylistError> {
        match name {
            // Media Segment tags (4.4.4)
            "EXT-X-KEY" => {
                self.lint.first("EXT-X-KEY", line.number);
                let key = Key::read(self.reader(line, value))?;
                self.keys.apply(key)?;
                self.stale = true;
            }
            "EXT-X-MAP" => self.map(line, value)?,
            "EXT-X-BYTERANGE" => match ByteRange::parse(value) {
                Some(range) => {
                    self.lint.first("EXT-X-BYTERANGE", line.number);
                    self.pending.range = Some((range, line));
                }
                None => return Err(PlaylistError::bad_value("byte range", line, value)),
            },
            "EXT-X-DISCONTINUITY" => {
                self.pending.discontinuity = true;
                self.discontinuities = self.discontinuities.saturating_add(1);
                self.stale = true;
            }
            "EXT-X-PROGRAM-DATE-TIME" => self.date(line, value),
            "EXT-X-GAP" => {
                self.lint.first("EXT-X-GAP", line.number);
                self.pending.gap = true;
            }
            "EXT-X-BITRATE" => {
                if let Some(bitrate) = self.number("EXT-X-BITRATE", line, value) {
                    self.bitrate = Some(bitrate);
                    self.stale = true;
                }
            }
            "EXT-X-PART" => self.part(line, value)?,
            // Media Metadata tags (4.4.5)
            "EXT-X-DATERANGE" => {
                let range = DateRange::read(self.reader(line, value))?;
                self.keep(Tag::DateRange(Box::new(range)))?;
            }
            "EXT-X-SKIP" => {
                if self.first("EXT-X-SKIP", line)
                    && let Some(skip) = Skip::read(self.reader(line, value))?
                {
                    self.skip(skip)?;
                }
            }
            "EXT-X-PRELOAD-HINT" => {
                self.count_tag()?;
                self.lint.first("EXT-X-PRELOAD-HINT", line.number);
                let hint = PreloadHint::read(self.reader(line, value))?;
                self.playlist.preload_hints.extend(hint);
            }
            "EXT-X-RENDITION-REPORT" => {
                self.count_tag()?;
                self.lint.first("EXT-X-RENDITION-REPORT", line.number);
                let report = RenditionReport::read(self.reader(line, value))?;
                self.playlist.rendition_reports.extend(report);
            }
            _ => self.playlist_tag(line, name, value)?,
        }
        Ok(())
    }

    fn count_tag(&mut self) -> Result<(), PlaylistError> {
        self.tag_count += 1;
        if self.tag_count > self.context.limits.tags {
            return Err(PlaylistError::too_large("tags", self.context.limits.tags));
        }
        Ok(())
    }

    fn keep(&mut self, tag: Tag) -> Result<(), PlaylistError> {
        self.count_tag()?;
        self.pending.tags.push(tag);
        Ok(())
    }

    fn map(&mut self, line: Line<'t>, value: &'t str) -> Result<(), PlaylistError> {
        self.lint.first("EXT-X-MAP", line.number);
        if self.pending.map {
            self.warn(WarningKind::RepeatedMap, line, line.text);
        }
        let keys = Arc::clone(self.keys.shared(self.context.limits.tags)?);
        let mut reader = self.reader(line, value);
        reader.missing("URI");
        let Some(uri) = reader.needed_uri("URI")? else { return Ok(()) };
        let range_at = reader.at("BYTERANGE");
        let range = reader.range("BYTERANGE")?;
        let other = reader.rest()?;
        // What cannot be read is kept among the others.
        if range.is_none() && other.iter().any(|attribute| &*attribute.name == "BYTERANGE") {
            return Err(PlaylistError::bad_value("byte range", line, range_at));
        }
        let byte_range = range.map(|(length, offset)| {
            if offset.is_none() {
                self.warn(WarningKind::ByteRangeWithoutStart, line, range_at);
            }
            self.bounded(offset.unwrap_or(0), length, line)
        });
        let init = InitSection {
            uri,
            byte_range,
            keys,
            other,
        };
        self.pending.map = true;
        if self.init.as_deref() != Some(&init) {
            self.init = Some(Arc::new(init));
            self.stale = true;
        }
        Ok(())
    }

    fn date(&mut self, line: Line<'t>, value: &str) {
        self.lint.first("EXT-X-PROGRAM-DATE-TIME", line.number);
        let Some((date, spelling)) = DateTime::parse(value) else {
            return self.warn(WarningKind::BadTag("EXT-X-PROGRAM-DATE-TIME"), line, value);
        };
        match spelling {
            Spelling::Good => {}
            Spelling::Odd => self.warn(WarningKind::DateSpelling, line, value),
            Spelling::NoZone => self.warn(WarningKind::DateWithoutZone, line, value),
        }
        self.pending.date = Some(date);
    }

    fn part(&mut self, line: Line<'t>, value: &'t str) -> Result<(), PlaylistError> {
        self.lint.first("EXT-X-PART", line.number);
        let Some((mut part, range)) = Part::read(self.reader(line, value))? else {
            return Ok(());
        };
        if let Some((length, offset)) = range {
            let reference = part.uri.as_written();
            let offset = offset.or_else(|| self.last_part.as_ref().filter(|(uri, _)| **uri == *reference).map(|&(_, end)| end));
            if offset.is_none() {
                self.warn(WarningKind::ByteRangeWithoutStart, line, value);
            }
            let range = self.bounded(offset.unwrap_or(0), length, line);
            self.last_part = Some((part.uri.as_written().into(), range.end()));
            part.byte_range = Some(range);
        }
        self.keep(Tag::Part(Box::new(part)))
    }

    /// A byte range that does not end beyond what a number can hold.
    fn bounded(&mut self, offset: u64, length: u64, line: Line<'_>) -> ByteRange {
        let room = u64::MAX - offset;
        if length > room {
            self.warn(WarningKind::ByteRangeOverflow, line, line.text);
        }
        ByteRange {
            offset,
            length: length.min(room),
        }
    }

    /// Where a range of `reference` begins that does not say so: behind the last one.
    fn continued(&self, reference: &str) -> (u64, bool) {
        if let Some(last) = self.playlist.segments.last()
            && let Some(range) = last.byte_range()
            && last.uri_as_written() == reference
        {
            return (range.end(), true);
        }
        (self.left.get(reference).copied().unwrap_or(0), false)
    }

    fn uri(&mut self, line: Line<'t>) -> Result<(), PlaylistError> {
        if self.playlist.segments.len() >= self.context.limits.segments {
            return Err(PlaylistError::too_large("segments", self.context.limits.segments));
        }
        let text = self.tools.substitution.expand(line.text, line, &mut self.tools.report)?;
        let text = text.trim();
        if text.starts_with('?') {
            self.warn(WarningKind::QueryOnlyUri, line, line.text);
        }
        let reference = uri::checked(&self.tools.base, text).map_err(|source| {
            let (position, excerpt) = line.locate(line.text);
            PlaylistError::BadUri { position, excerpt, source }
        })?;
        let pending = std::mem::take(&mut self.pending);
        let (duration, title) = match pending.extinf {
            Some((duration, title, _)) => (duration, title),
            None => {
                self.warn(WarningKind::SegmentWithoutDuration, line, line.text);
                (0, "")
            }
        };
        let byte_range = pending.range.map(|((length, offset), range_line)| {
            let offset = offset.unwrap_or_else(|| {
                let (offset, adjacent) = self.continued(&reference);
                if !adjacent {
                    self.warn(WarningKind::ByteRangeWithoutStart, range_line, range_line.text);
                }
                offset
            });
            self.bounded(offset, length, range_line)
        });
        if let Some(last) = self.playlist.segments.last()
            && let Some(range) = last.byte_range()
            && last.uri_as_written() != reference
        {
            self.left.insert(last.uri_as_written().into(), range.end());
        }
        let (text, title_length, long_title) = join(&reference, title);
        let rare = (long_title.is_some() || byte_range.is_some() || pending.date.is_some() || !pending.tags.is_empty()).then(|| {
            Box::new(Rare {
                long_title,
                byte_range,
                date: pending.date,
                tags: pending.tags,
            })
        });
        let segment = Segment {
            text,
            title_length,
            shared: self.shared()?,
            rare,
            duration,
            start: 0,
            number: 0,
            date: NO_DATE,
            line: SourceLine(line.number),
            discontinuity: pending.discontinuity,
            gap: pending.gap,
        };
        self.playlist.segments.push(segment);
        Ok(())
    }

    /// What applies at this point to all segments until something changes.
    fn shared(&mut self) -> Result<Arc<Shared>, PlaylistError> {
        if std::mem::take(&mut self.stale) {
            let now = Shared {
                base: Arc::clone(&self.tools.base),
                keys: Arc::clone(self.keys.shared(self.context.limits.tags)?),
                init: self.init.clone(),
                discontinuity_sequence: self.discontinuities,
                bitrate: self.bitrate,
            };
            if *self.shared != now {
                self.shared = Arc::new(now);
            }
        }
        Ok(Arc::clone(&self.shared))
    }

    fn finish(mut self) -> Result<(MediaPlaylist, Tools, Lint), PlaylistError> {
        let last_shared = Arc::clone(&self.shared);
        let shared = self.shared()?;
        let pending = std::mem::take(&mut self.pending);
        if let Some((_, _, line)) = pending.extinf {
            self.warn(WarningKind::DurationWithoutSegment, line, line.text);
        }
        let changed = *last_shared != *shared && !(self.playlist.segments.is_empty() && self.only_header_changed(&shared));
        if changed || pending.date.is_some() || pending.gap || pending.discontinuity || !pending.tags.is_empty() {
            self.playlist.unfinished = Some(Box::new(Segment {
                text: Box::default(),
                title_length: 0,
                shared,
                rare: (pending.date.is_some() || !pending.tags.is_empty()).then(|| {
                    Box::new(Rare {
                        date: pending.date,
                        tags: pending.tags,
                        ..Rare::default()
                    })
                }),
                duration: 0,
                start: 0,
                number: 0,
                date: NO_DATE,
                line: SourceLine(0),
                discontinuity: pending.discontinuity,
                gap: pending.gap,
            }));
        }
        self.settle_update();
        m3u8::read_header(&self.header, &mut self.playlist)?;
        if self.playlist.media_sequence != self.media_sequence {
            return Err(PlaylistError::Disagreement { what: "the header" });
        }
        self.playlist.variables = std::mem::take(&mut self.tools.substitution.variables);
        self.playlist.number_segments();
        Ok((self.playlist, self.tools, self.lint))
    }

    /// Whether nothing but `EXT-X-DISCONTINUITY-SEQUENCE` has been stated, which belongs to no segment.
    fn only_header_changed(&self, shared: &Shared) -> bool {
        shared.keys.is_empty() && shared.init.is_none() && shared.bitrate.is_none() && !self.pending.discontinuity
    }
}

/// A URI and a title in one text, and how long the title is; a title that is too long for that by itself.
fn join(reference: &str, title: &str) -> (Box<str>, u16, Option<Box<str>>) {
    match u16::try_from(title.len()) {
        Ok(0) => (reference.into(), 0, None),
        Ok(length) => {
            let mut text = String::with_capacity(reference.len() + title.len());
            text.push_str(reference);
            text.push_str(title);
            (text.into(), length, None)
        }
        Err(_) => (reference.into(), 0, Some(title.into())),
    }
}

/// Not a tag, but the first `EXTINF` with a fraction, for the linter.
pub(crate) const FRACTIONAL_EXTINF: &str = "EXTINF with a fraction";
