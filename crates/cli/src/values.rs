//! The values of options, and how they are read.

use std::str::FromStr;
use std::time::Duration;

use aqueduct::decrypt::Method;
use aqueduct::fetch::{Concurrency, OnMissing};
use aqueduct::mux::AudioCodec;
use aqueduct::{CaptionChannel, Container, SubtitleCoding, SubtitleFormat};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// One MP4 file, its index in front where the length is known
    Mp4,
    /// Fragmented MP4
    Fmp4,
    /// One Matroska file
    Mkv,
    /// MPEG-TS
    Ts,
    /// One MP4 file of the sound alone
    M4a,
    /// AAC alone, in ADTS
    Aac,
    /// MPEG audio alone
    Mp3,
    /// AC-3 alone
    Ac3,
    /// E-AC-3 alone
    Eac3,
    /// FLAC alone
    Flac,
    /// Opus alone, in Ogg
    Opus,
    /// A folder of the clear segments, with playlists that any HLS player plays from there
    Hls,
    /// The clear segments, whatever they are
    Raw,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Subtitles {
    /// WebVTT
    Vtt,
    /// SubRip
    Srt,
    /// Tracks of 3GPP timed text, which most players know, in an MP4
    Tx3g,
    /// Tracks of WebVTT, in an MP4 or Matroska file
    Wvtt,
}

/// Which captions: a channel, or the one that the Multivariant Playlist has in a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Captions {
    Channel(CaptionChannel),
    Language(String),
}

impl FromStr for Captions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (CaptionChannel::named(&text.to_ascii_uppercase()), text.strip_prefix("lang:")) {
            (Some(channel), _) => Ok(Self::Channel(channel)),
            (None, Some(language)) if !language.is_empty() => Ok(Self::Language(language.to_owned())),
            _ => Err("use cc1, cc2, cc3, cc4 or lang:TAG".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chapters {
    /// No chapters
    None,
    /// The date ranges of the playlist (EXT-X-DATERANGE)
    Dateranges,
}

/// Where another file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitAt {
    /// Each discontinuity of the playlist (EXT-X-DISCONTINUITY)
    Discontinuity,
    /// The same, and where the container or the codec parameters change without one
    Changes,
}

/// Which of several streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    Number(usize),
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Missing {
    Abort,
    Gap,
}

/// Ciphers that playlists have no name for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Cipher {
    /// AES-128 in ECB mode
    #[value(name = "aes-128-ecb")]
    Aes128Ecb,
    /// ChaCha20 from the start every 1024 bytes; the nonce has 8 or 12 bytes
    #[value(name = "chacha20")]
    ChaCha20,
}

impl From<Cipher> for Method {
    fn from(cipher: Cipher) -> Self {
        match cipher {
            Cipher::Aes128Ecb => Self::Aes128Ecb,
            Cipher::ChaCha20 => Self::ChaCha20,
        }
    }
}

impl From<Format> for Container {
    fn from(format: Format) -> Self {
        match format {
            Format::Mp4 => Self::Mp4,
            Format::Fmp4 => Self::Fmp4,
            Format::Mkv => Self::Mkv,
            Format::Ts => Self::Ts,
            Format::M4a => Self::M4a,
            Format::Aac => Self::Audio(AudioCodec::Aac),
            Format::Mp3 => Self::Audio(AudioCodec::Mp3),
            Format::Ac3 => Self::Audio(AudioCodec::Ac3),
            Format::Eac3 => Self::Audio(AudioCodec::Eac3),
            Format::Flac => Self::Audio(AudioCodec::Flac),
            Format::Opus => Self::Ogg,
            Format::Hls => Self::Hls,
            Format::Raw => Self::Raw,
        }
    }
}

impl Subtitles {
    /// As a file beside the output, if it is one.
    pub(crate) fn beside(self) -> Option<SubtitleFormat> {
        match self {
            Self::Vtt => Some(SubtitleFormat::WebVtt),
            Self::Srt => Some(SubtitleFormat::SubRip),
            Self::Tx3g | Self::Wvtt => None,
        }
    }

    /// As a track of the output, if that can hold it.
    pub(crate) fn within(self, container: Container) -> Option<SubtitleCoding> {
        match (self, container) {
            (Self::Tx3g, Container::Mp4) => Some(SubtitleCoding::Tx3g),
            (Self::Wvtt, Container::Mp4 | Container::Mkv) => Some(SubtitleCoding::Wvtt),
            _ => None,
        }
    }
}

impl From<Missing> for OnMissing {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Abort => Self::Abort,
            Missing::Gap => Self::Gap,
        }
    }
}

/// Reads which of several streams: its number, or all.
pub(crate) fn pick(text: &str) -> Result<Pick, String> {
    if text == "all" {
        return Ok(Pick::All);
    }
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .map(Pick::Number)
        .ok_or_else(|| "a number from 1 on, or all".into())
}

/// Reads how many requests may be open: `8`, `auto`, `auto:16`.
pub(crate) fn concurrency(text: &str) -> Result<Concurrency, String> {
    let number = |text: &str| {
        let wrong = || "a number from 1 to 256, auto, or auto:N".to_owned();
        text.parse().ok().filter(|number| (1..=256).contains(number)).ok_or_else(wrong)
    };
    match text.strip_prefix("auto") {
        Some("") => Ok(Concurrency::default()),
        Some(most) => number(most.strip_prefix(':').unwrap_or_default()).map(|most| Concurrency::Auto { most }),
        None => number(text).map(Concurrency::Fixed),
    }
}

/// Reads a number of bytes, with K, M or G for powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|last: char| last.is_ascii_alphabetic()).len());
    let shift = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err("a number of bytes, such as 64M".into()),
    };
    let number: usize = number.trim().parse().map_err(|_| "a number of bytes, such as 64M")?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "out of range".into())
}

/// Reads a time: `30s`, `500ms`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|last: char| last.is_ascii_alphabetic()).len());
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time, such as 30s, 500ms or 2m".into()),
    };
    let number: f64 = number.trim().parse().map_err(|_| "a time, such as 30s, 500ms or 2m")?;
    Duration::try_from_secs_f64(number * scale)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "out of range".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_is_a_number_or_automatic() {
        let cases = [
            ("8", Concurrency::Fixed(8)),
            ("auto", Concurrency::default()),
            ("auto:16", Concurrency::Auto { most: 16 }),
        ];
        for (text, expected) in cases {
            assert_eq!(concurrency(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "257", "-1", "auto:", "auto:0", "auto16", "many"] {
            assert!(concurrency(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        let sizes = [
            ("1", Ok(1)),
            ("2K", Ok(2048)),
            ("64M", Ok(64 << 20)),
            ("1GiB", Ok(1 << 30)),
            ("3mb", Ok(3 << 20)),
        ];
        for (text, expected) in sizes {
            assert_eq!(bytes(text), expected, "{text}");
        }
        for text in ["", "M", "-1", "0", "1x", "99999999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        let times = [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1.5", 1500), ("1h", 3_600_000)];
        for (text, millis) in times {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "0", "1 fortnight", "1e300h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
