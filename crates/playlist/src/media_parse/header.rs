//! Tags that describe a Media Playlist as a whole (rfc8216bis, 4.4.1 to 4.4.3).

use crate::attributes::AttributeReader;
use crate::cue::Cue;
use crate::error::PlaylistError;
use crate::media::{PartInf, ServerControl, Start};
use crate::number;
use crate::segment::Tag;
use crate::text::Line;
use crate::variables::Define;
use crate::warning::WarningKind;

use super::MediaParser;

impl<'t> MediaParser<'_, 't> {
    /// A tag that describes the playlist as a whole (4.4.1, 4.4.2 and 4.4.3), or none that is known.
    pub(super) fn playlist_tag(&mut self, line: Line<'t>, name: &'t str, value: &'t str) -> Result<(), PlaylistError> {
        match name {
            "EXTM3U" => self.warn(WarningKind::RepeatedTag("EXTM3U"), line, line.text),
            "EXT-X-VERSION" => {
                if let Some(version) = self.header_number("EXT-X-VERSION", line, value) {
                    self.header.number("EXT-X-VERSION", version);
                }
            }
            "EXT-X-TARGETDURATION" => {
                if let Some(seconds) = self.header_number("EXT-X-TARGETDURATION", line, value) {
                    self.header.number("EXT-X-TARGETDURATION", seconds);
                }
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                self.warn_late("EXT-X-MEDIA-SEQUENCE", line);
                if let Some(number) = self.header_number("EXT-X-MEDIA-SEQUENCE", line, value) {
                    self.header.number("EXT-X-MEDIA-SEQUENCE", number);
                    self.media_sequence = number;
                }
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                let late = self.warn_late("EXT-X-DISCONTINUITY-SEQUENCE", line);
                if let Some(number) = self.header_number("EXT-X-DISCONTINUITY-SEQUENCE", line, value)
                    && !late
                {
                    self.header.number("EXT-X-DISCONTINUITY-SEQUENCE", number);
                    self.discontinuities = self.discontinuities.saturating_add(number);
                    self.stale = true;
                }
            }
            "EXT-X-PLAYLIST-TYPE" => {
                if self.first("EXT-X-PLAYLIST-TYPE", line) {
                    match value.trim() {
                        kind @ ("VOD" | "EVENT") => self.header.text("EXT-X-PLAYLIST-TYPE", kind),
                        _ => self.warn(WarningKind::BadTag("EXT-X-PLAYLIST-TYPE"), line, value),
                    }
                }
            }
            "EXT-X-ENDLIST" => self.header_flag("EXT-X-ENDLIST", line),
            "EXT-X-I-FRAMES-ONLY" => self.header_flag("EXT-X-I-FRAMES-ONLY", line),
            "EXT-X-INDEPENDENT-SEGMENTS" => self.header_flag("EXT-X-INDEPENDENT-SEGMENTS", line),
            "EXT-X-START" => {
                if self.first("EXT-X-START", line) {
                    self.playlist.start = Start::read(self.reader(line, value))?;
                }
            }
            "EXT-X-DEFINE" => {
                self.count_tag()?;
                self.lint.first("EXT-X-DEFINE", line.number);
                let reader = AttributeReader::new(&mut self.tools, line, value);
                let define = Define::read(reader, &self.context.base, &self.context.imports)?;
                self.playlist.defines.extend(define);
            }
            "EXT-X-PART-INF" => {
                if self.first("EXT-X-PART-INF", line) {
                    self.playlist.part_inf = PartInf::read(self.reader(line, value))?;
                }
            }
            "EXT-X-SERVER-CONTROL" => {
                if self.first("EXT-X-SERVER-CONTROL", line) {
                    self.playlist.server_control = Some(ServerControl::read(self.reader(line, value))?);
                }
            }
            _ => match foreign(name) {
                Some(name) => self.warn(WarningKind::ForeignTag(name), line, line.text),
                None => {
                    let tag = match Cue::read(name, value, line.number) {
                        Some(cue) => Tag::Cue(Box::new(cue)),
                        None => Tag::Unknown(line.text.into()),
                    };
                    self.keep(tag)?;
                }
            },
        }
        Ok(())
    }

    /// Whether a tag that may appear once appears for the first time.
    pub(super) fn first(&mut self, name: &'static str, line: Line<'_>) -> bool {
        let first = self.lint.first(name, line.number);
        if !first {
            self.warn(WarningKind::RepeatedTag(name), line, line.text);
        }
        first
    }

    fn header_flag(&mut self, name: &'static str, line: Line<'_>) {
        if self.first(name, line) {
            self.header.flag(name);
        }
    }

    fn header_number(&mut self, name: &'static str, line: Line<'_>, value: &str) -> Option<u64> {
        if self.first(name, line) {
            self.number(name, line, value)
        } else {
            None
        }
    }

    pub(super) fn number(&mut self, name: &'static str, line: Line<'_>, value: &str) -> Option<u64> {
        let (number, flaw) = number::integer(value);
        match flaw {
            Some(WarningKind::NotANumber) => {
                self.warn(WarningKind::BadTag(name), line, value);
                return None;
            }
            Some(flaw) => self.warn(flaw, line, value),
            None => {}
        }
        Some(number)
    }

    fn warn_late(&mut self, name: &'static str, line: Line<'_>) -> bool {
        let late = !self.playlist.segments.is_empty();
        if late {
            self.warn(WarningKind::LateTag(name), line, line.text);
        }
        late
    }
}

/// The name of a tag that belongs into a Multivariant Playlist (4.4.6).
fn foreign(name: &str) -> Option<&'static str> {
    Some(match name {
        "EXT-X-STREAM-INF" => "EXT-X-STREAM-INF",
        "EXT-X-I-FRAME-STREAM-INF" => "EXT-X-I-FRAME-STREAM-INF",
        "EXT-X-MEDIA" => "EXT-X-MEDIA",
        "EXT-X-SESSION-DATA" => "EXT-X-SESSION-DATA",
        "EXT-X-SESSION-KEY" => "EXT-X-SESSION-KEY",
        "EXT-X-CONTENT-STEERING" => "EXT-X-CONTENT-STEERING",
        _ => return None,
    })
}
