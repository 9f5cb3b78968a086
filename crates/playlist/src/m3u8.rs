//! The only place that talks to m3u8-rs.
//!
//! m3u8-rs gets a text of our own making: tags whose values were validated, in canonical form, one line each,
//! and sentinels where URIs would be. Whatever it is not handed it cannot lose. Its answer is checked for
//! completeness: nothing left over, and as many items as there were lines for them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::PlaylistError;
use crate::media::{MediaPlaylist, PlaylistType};
use crate::multivariant::Resolution;

const SENTINEL: &str = "sentinel";

/// Tags that describe a playlist as a whole, in canonical form.
#[derive(Debug)]
pub(crate) struct HeaderText(String);

impl Default for HeaderText {
    fn default() -> Self {
        Self("#EXTM3U\n".to_owned())
    }
}

impl HeaderText {
    pub(crate) fn flag(&mut self, name: &'static str) {
        self.push(format_args!("#{name}"));
    }

    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        self.push(format_args!("#{name}:{value}"));
    }

    /// `value` has to be a word without line endings.
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.push(format_args!("#{name}:{value}"));
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// Reads the header of a Media Playlist.
pub(crate) fn read_header(header: &HeaderText, playlist: &mut MediaPlaylist) -> Result<(), PlaylistError> {
    const DISAGREEMENT: PlaylistError = PlaylistError::Disagreement { what: "the header" };
    let text = format!("{}#EXTINF:1,\n{SENTINEL}\n", header.0);
    let Ok((rest, read)) = m3u8_rs::parse_media_playlist(text.as_bytes()) else {
        return Err(DISAGREEMENT);
    };
    let [end] = read.segments.as_slice() else {
        return Err(DISAGREEMENT);
    };
    if !rest.is_empty() || end.uri != SENTINEL || !end.unknown_tags.is_empty() {
        return Err(DISAGREEMENT);
    }
    playlist.version = read.version.and_then(|v| u64::try_from(v).ok());
    // Zero seconds is what it says without the tag, too; a header without the tag has no line for it.
    playlist.target_duration = header
        .0
        .contains("#EXT-X-TARGETDURATION:")
        .then(|| Duration::from_secs(read.target_duration));
    playlist.media_sequence = read.media_sequence;
    playlist.discontinuity_sequence = read.discontinuity_sequence;
    playlist.playlist_type = match read.playlist_type {
        Some(m3u8_rs::MediaPlaylistType::Vod) => Some(PlaylistType::Vod),
        Some(m3u8_rs::MediaPlaylistType::Event) => Some(PlaylistType::Event),
        _ => None,
    };
    playlist.i_frames_only = read.i_frames_only;
    playlist.independent_segments = read.independent_segments;
    playlist.end_list = read.end_list;
    Ok(())
}

/// The attributes of a Variant Stream that m3u8-rs has fields for.
#[derive(Debug, Default)]
pub(crate) struct VariantValues {
    pub(crate) bandwidth: u64,
    pub(crate) average_bandwidth: Option<u64>,
    pub(crate) codecs: Option<String>,
    pub(crate) resolution: Option<Resolution>,
    pub(crate) frame_rate: Option<f64>,
    pub(crate) audio: Option<String>,
    pub(crate) video: Option<String>,
    pub(crate) subtitles: Option<String>,
}

/// Variant Streams in canonical form.
#[derive(Debug)]
pub(crate) struct VariantText {
    text: String,
    count: usize,
}

impl Default for VariantText {
    fn default() -> Self {
        Self {
            text: "#EXTM3U\n".to_owned(),
            count: 0,
        }
    }
}

impl VariantText {
    /// Adds a line. Strings must have no quotes and no line endings; empty ones are left out.
    pub(crate) fn push(&mut self, values: &VariantValues, i_frames: bool) {
        let _ = self.try_push(values, i_frames);
        self.count += 1;
    }

    fn try_push(&mut self, values: &VariantValues, i_frames: bool) -> std::fmt::Result {
        let text = &mut self.text;
        let name = if i_frames { "EXT-X-I-FRAME-STREAM-INF" } else { "EXT-X-STREAM-INF" };
        // Always a BANDWIDTH: without it the line would be dropped, and its URI given to the line before.
        write!(text, "#{name}:BANDWIDTH={}", values.bandwidth)?;
        if let Some(bandwidth) = values.average_bandwidth {
            write!(text, ",AVERAGE-BANDWIDTH={bandwidth}")?;
        }
        if let Some(Resolution { width, height }) = values.resolution {
            write!(text, ",RESOLUTION={width}x{height}")?;
        }
        if let Some(rate) = values.frame_rate {
            write!(text, ",FRAME-RATE={rate}")?;
        }
        for (name, value) in [
            ("CODECS", &values.codecs),
            ("AUDIO", &values.audio),
            ("VIDEO", &values.video),
            ("SUBTITLES", &values.subtitles),
        ] {
            if let Some(value) = value.as_deref().filter(|v| !v.is_empty()) {
                write!(text, ",{name}=\"{value}\"")?;
            }
        }
        if i_frames {
            write!(text, ",URI=\"{SENTINEL}\"")?;
        } else {
            write!(text, "\n{SENTINEL}")?;
        }
        text.write_char('\n')
    }

    /// Reads the lines; as many answers as there were lines, in their order.
    pub(crate) fn read(&self) -> Result<Vec<VariantValues>, PlaylistError> {
        const DISAGREEMENT: PlaylistError = PlaylistError::Disagreement {
            what: "the Variant Streams",
        };
        let Ok((rest, read)) = m3u8_rs::parse_master_playlist(self.text.as_bytes()) else {
            return Err(DISAGREEMENT);
        };
        let complete = rest.is_empty()
            && read.unknown_tags.is_empty()
            && read.variants.len() == self.count
            && read.variants.iter().all(|v| v.uri == SENTINEL && v.other_attributes.is_none());
        if !complete {
            return Err(DISAGREEMENT);
        }
        let values = read.variants.into_iter().map(|variant| VariantValues {
            bandwidth: variant.bandwidth,
            average_bandwidth: variant.average_bandwidth,
            codecs: variant.codecs,
            resolution: variant.resolution.and_then(|r| {
                Some(Resolution {
                    width: u32::try_from(r.width).ok()?,
                    height: u32::try_from(r.height).ok()?,
                })
            }),
            frame_rate: variant.frame_rate,
            audio: variant.audio,
            video: variant.video,
            subtitles: variant.subtitles,
        });
        Ok(values.collect())
    }
}
