//! The ways in: from bytes to a playlist.

use crate::attributes::Tools;
use crate::context::Context;
use crate::error::PlaylistError;
use crate::lint::Lint;
use crate::media::MediaPlaylist;
use crate::media_parse::MediaParser;
use crate::multivariant::MultivariantPlaylist;
use crate::multivariant_parse::MultivariantParser;
use crate::text::{self, Lines};
use crate::variables::Substitution;
use crate::warning::{Report, Warning, WarningKind};

/// A playlist of one of the two kinds (rfc8216bis, 4.1).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Playlist {
    /// A Multivariant Playlist: Variant Streams and Renditions.
    Multivariant(MultivariantPlaylist),
    /// A Media Playlist: Media Segments.
    Media(MediaPlaylist),
}

/// A playlist, and what had to be forgiven to read it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Parsed {
    /// The playlist.
    pub playlist: Playlist,
    /// Departures from the specification, by their place.
    pub warnings: Vec<Warning>,
    /// How many warnings more there were, beyond
    /// [`Limits::warnings_per_kind`](crate::Limits::warnings_per_kind).
    pub suppressed_warnings: u64,
}

impl Parsed {
    /// The Media Playlist, if it is one.
    pub fn into_media(self) -> Option<MediaPlaylist> {
        match self.playlist {
            Playlist::Media(playlist) => Some(playlist),
            Playlist::Multivariant(_) => None,
        }
    }

    /// The Multivariant Playlist, if it is one.
    pub fn into_multivariant(self) -> Option<MultivariantPlaylist> {
        match self.playlist {
            Playlist::Multivariant(playlist) => Some(playlist),
            Playlist::Media(_) => None,
        }
    }
}

/// Reads a playlist (rfc8216bis, 4).
///
/// A delta update (`EXT-X-SKIP`) is read as it stands; see [`parse_update`].
///
/// # Errors
///
/// If it is no playlist, exceeds the limits of the context, or names a segment, key or Media Initialization
/// Section by a URI that cannot be resolved. Everything else that is wrong is a warning.
pub fn parse(bytes: &[u8], context: &Context) -> Result<Parsed, PlaylistError> {
    read(bytes, context, None)
}

/// Reads a playlist that may be a Playlist Delta Update, and completes it with the segments that it skips
/// from `previous`, the last version of the same playlist (rfc8216bis, 6.2.5.1 and 6.3.7). What is in force
/// behind the skipped segments, such as keys and Media Initialization Section, carries on.
///
/// The result is the playlist that the server would have sent without skipping; an ordinary playlist is read
/// as by [`parse`].
///
/// # Errors
///
/// Those of [`parse`], and [`PlaylistError::Delta`] if `previous` does not have the skipped segments: then
/// the whole playlist has to be loaded.
pub fn parse_update(bytes: &[u8], context: &Context, previous: &MediaPlaylist) -> Result<Parsed, PlaylistError> {
    read(bytes, context, Some(previous))
}

fn read(bytes: &[u8], context: &Context, previous: Option<&MediaPlaylist>) -> Result<Parsed, PlaylistError> {
    let mut report = Report::new(context.limits.warnings_per_kind);
    let text = text::decode(bytes, &context.limits, &mut report)?;
    let lines = text::body(&text, &mut report)?;
    let class = Class::of(lines.clone());
    if class.mixed
        && let Some(line) = Lines::new(&text).next()
    {
        report.warn(WarningKind::MixedPlaylist, line, line.text);
    }
    if !text.ends_with(['\n', '\r'])
        && !class.ended
        && let Some(line) = lines.clone().last()
    {
        report.warn(
            WarningKind::NoFinalNewline,
            line,
            line.raw.get(line.raw.len()..).unwrap_or_default(),
        );
    }
    let mut tools = Tools {
        report,
        substitution: Substitution::new(&context.limits),
        base: context.shared_base(),
        kept: 0,
        most: context.limits.tags,
    };
    if class.multivariant {
        let (mut playlist, tools, lint) = MultivariantParser::new(tools, context).run(lines)?;
        let (warnings, suppressed_warnings) = tools.report.finish();
        playlist.lint = noted(lint, &warnings);
        return Ok(Parsed {
            playlist: Playlist::Multivariant(playlist),
            warnings,
            suppressed_warnings,
        });
    }
    if !class.target_duration
        && let Some(line) = Lines::new(&text).find(|l| !l.text.is_empty())
    {
        tools.report.warn(WarningKind::MissingTargetDuration, line, line.text);
    }
    let capacity = class.uris.min(context.limits.segments);
    let (mut playlist, tools, lint) = MediaParser::new(tools, context, previous, capacity).run(lines)?;
    let (warnings, suppressed_warnings) = tools.report.finish();
    playlist.lint = noted(lint, &warnings);
    Ok(Parsed {
        playlist: Playlist::Media(playlist),
        warnings,
        suppressed_warnings,
    })
}

fn noted(mut lint: Lint, warnings: &[Warning]) -> Lint {
    lint.warnings = warnings.into();
    lint
}

/// What kind of playlist it is, from its tags (rfc8216bis, 4.1).
#[derive(Debug, Default)]
struct Class {
    multivariant: bool,
    /// Tags of both kinds are there.
    mixed: bool,
    /// How many URI lines there are: for the size of a list, which is then bounded by the text itself.
    uris: usize,
    target_duration: bool,
    ended: bool,
}

impl Class {
    fn of(lines: Lines<'_>) -> Self {
        let mut class = Self::default();
        let (mut segments, mut streams) = (false, false);
        let (mut media, mut multivariant) = (false, false);
        let mut first = None;
        for line in lines {
            let Some(tag) = line.text.strip_prefix('#') else {
                class.uris += usize::from(!line.text.is_empty());
                continue;
            };
            if tag.starts_with("EXTINF:") {
                segments = true;
                first = first.or(Some(false));
                continue;
            }
            if !tag.starts_with("EXT-X-") {
                continue;
            }
            let name = tag.split_once(':').map_or(tag, |(name, _)| name).trim_end();
            match name {
                "EXT-X-STREAM-INF" => {
                    streams = true;
                    first = first.or(Some(true));
                }
                "EXT-X-I-FRAME-STREAM-INF" | "EXT-X-MEDIA" | "EXT-X-SESSION-DATA" | "EXT-X-SESSION-KEY" | "EXT-X-CONTENT-STEERING" => {
                    multivariant = true;
                }
                "EXT-X-TARGETDURATION" => {
                    class.target_duration = true;
                    media = true;
                }
                "EXT-X-ENDLIST" => {
                    class.ended = true;
                    media = true;
                }
                "EXT-X-MEDIA-SEQUENCE" | "EXT-X-PART" | "EXT-X-SKIP" | "EXT-X-PLAYLIST-TYPE" | "EXT-X-KEY" | "EXT-X-MAP" => media = true,
                _ => {}
            }
        }
        // URI lines decide: a playlist is what they identify. Other tags only count where there are none.
        class.multivariant = match (streams, segments) {
            (true, false) => true,
            (false, true) => false,
            (true, true) => first == Some(true),
            (false, false) => multivariant && !media,
        };
        class.mixed = (streams || multivariant) && (segments || media);
        class
    }
}
