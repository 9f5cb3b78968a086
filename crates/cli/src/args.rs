//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use aqueduct::decrypt::{ClearKey, Method, UserKeys};
use aqueduct::fetch::{Concurrency, OnMissing};
use aqueduct::mux::AudioCodec;
use aqueduct::resolve::{Select, Selection};
use aqueduct::{CaptionChannel, Container, Input, SafeUrl, SubtitleCoding, SubtitleFormat};
use clap::{Parser, Subcommand, ValueEnum};
use url::Url;

use crate::requests::RequestArgs;

/// From a web page to one playable file.
///
/// INPUT is a page, a playlist or a media file (http, https), a local playlist, or - for a playlist on standard
/// input. The file appears under its name when it is whole.
#[derive(Debug, Parser)]
#[command(name = "aqueduct", version, max_term_width = 110, after_help = EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// What to fetch
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,

    /// The output file, a folder for it, or - for standard output; the extension chooses the container. Without it:
    /// the page's title, as MP4
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,

    /// The container, where the extension does not say
    #[arg(long)]
    pub(crate) format: Option<Format>,

    /// What subtitles are written as: files beside the output, or tracks of it. Without it: tracks of a Matroska file,
    /// and .vtt beside any other
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Tracks")]
    pub(crate) subs_format: Option<Subtitles>,

    /// The closed captions inside the video (CEA-608), for an output that ends in .vtt or .srt
    ///
    /// A channel (cc1, cc2, cc3 or cc4), or the one that the playlist has in a language (lang:en).
    #[arg(long, value_name = "WHICH", help_heading = "Tracks")]
    pub(crate) captions: Option<Captions>,

    /// Chapters for an MP4 or Matroska file
    #[arg(long, value_enum, default_value_t = Chapters::None, value_name = "FROM", help_heading = "Tracks")]
    pub(crate) chapters: Chapters,

    /// Begin another file where the stream does: film.001.mp4, film.002.mp4 and so on
    #[arg(long, value_enum, value_name = "AT")]
    pub(crate) split: Option<SplitAt>,

    /// Replace an output that is there already
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Write what became of every segment of the stream to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Tell what happens as JSON, one object a line, on standard output, or on standard error where that is the output's.
    /// The last is the report
    #[arg(long)]
    pub(crate) json: bool,

    /// Begin anew, and give up what an earlier run left of the same output
    #[arg(long)]
    pub(crate) no_resume: bool,

    /// What to do about a segment that cannot be had or came cut short: stop, or go on with what there is and name it
    #[arg(long, value_enum, default_value_t = Missing::Abort)]
    pub(crate) on_missing: Missing,

    #[command(flatten)]
    pub(crate) keys: KeyArgs,

    /// Which stream of a page with several, counted from 1 as `aqueduct list` does, or all
    #[arg(long, value_name = "N|all", default_value = "1", value_parser = pick)]
    pub(crate) pick: Pick,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what an input has on offer, without fetching it
    List {
        /// A page, a playlist or a media file
        input: String,

        /// As JSON, with whole addresses
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        source: Box<SourceArgs>,
    },
    /// Prove a finished file: its bytes by its report, and its container
    Verify(VerifyArgs),
    /// Mend a finished file: fetch what its report shows to be damaged or missing, or the whole stream where that is not enough
    Repair(Box<RepairArgs>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The file
    pub(crate) file: PathBuf,

    /// Its report, as --report wrote it [default: FILE.report.json, where that is there]
    #[arg(long, value_name = "REPORT")]
    pub(crate) report: Option<PathBuf>,

    /// Tell the verdict as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) words: WordArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RepairArgs {
    /// The file
    pub(crate) file: PathBuf,

    /// Where it came from [default: the address in its report, which has no query]
    pub(crate) input: Option<String>,

    /// Its report, as --report wrote it; it is renewed [default: FILE.report.json]
    #[arg(long, value_name = "REPORT")]
    pub(crate) report: Option<PathBuf>,

    /// Tell what was done, and the verdict, as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) keys: KeyArgs,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// Keys that the user holds.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// A key that you hold, as hex, base64, @FILE or KID:KEY; repeatable. It goes before those of the playlist
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,

    /// The initialization vector for your keys, where the playlist's is not right
    #[arg(long, value_name = "HEX")]
    iv: Option<String>,

    /// The cipher of the segments, where the playlist does not say or lies; --key and --iv are its key and nonce
    #[arg(long, value_enum)]
    method: Option<Cipher>,
}

/// How much is under way at once.
#[derive(Debug, clap::Args)]
pub(crate) struct TransferArgs {
    /// How many requests are open at once: a number; auto, as many as the servers are good for, up to 32; or auto:N, up
    /// to N
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = concurrency, help_heading = "Transfer")]
    pub(crate) concurrency: Concurrency,

    /// Memory for what is under way
    #[arg(long, value_name = "BYTES", default_value = "28M", value_parser = bytes, help_heading = "Transfer")]
    pub(crate) buffer: usize,
}

/// How much is told.
#[derive(Debug, clap::Args)]
pub(crate) struct WordArgs {
    /// Tell more: -v what is done, -vv details, -vvv everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Tell errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// How inputs are found and asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// Which video: best, worst, 720p, <=1080p, codec:hevc, all, none; words with spaces between them all hold [default:
    /// best]
    #[arg(long, value_name = "SELECT", help_heading = "Tracks")]
    pub(crate) video: Option<Select>,

    /// Which audio: best, lang:en,ja, all, none [default: best]
    #[arg(long, value_name = "SELECT", help_heading = "Tracks")]
    pub(crate) audio: Option<Select>,

    /// Which subtitles, as files beside the output or as --subs-format says: none, best, lang:en, all [default: none; with an output that ends in
    /// .vtt or .srt, the best alone]
    #[arg(long, value_name = "SELECT", help_heading = "Tracks")]
    pub(crate) subs: Option<Select>,

    /// What relative addresses in a playlist on standard input are relative to
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<Url>,

    /// Tell every document that was read and what was found there
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    /// The User-Agent header
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    pub(crate) user_agent: Option<String>,

    /// The Referer header of requests that no page on the way gives one for
    #[arg(long, value_name = "URL", help_heading = "Requests")]
    pub(crate) referer: Option<String>,

    /// A proxy for all requests (http, https, socks5, socks5h); without it, what the environment says. NO_PROXY
    /// of the environment lists hosts and networks that do without either
    #[arg(long, value_name = "URL", help_heading = "Requests")]
    pub(crate) proxy: Option<String>,

    /// Let pages and playlists name addresses nearer to this machine than their own: private ones, loopback
    #[arg(long, help_heading = "Requests")]
    pub(crate) allow_private: bool,

    /// Patience with a silent request: to connect, for the first byte, between any two
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, help_heading = "Requests")]
    pub(crate) timeout: Duration,

    /// How often a failed request is tried again
    #[arg(long, value_name = "N", default_value = "5", help_heading = "Requests")]
    pub(crate) retries: u16,

    /// The longest delay before the first retry; it doubles with each
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = duration, help_heading = "Requests")]
    pub(crate) retry_delay: Duration,

    /// The most bytes per second to receive, over all requests, such as 5M
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Transfer")]
    pub(crate) rate_limit: Option<usize>,

    #[command(flatten)]
    pub(crate) words: WordArgs,
}

const EXIT_CODES: &str = "Exit codes: 0 whole; 1 failed or incomplete; 2 usage; 3 finished, but without segments that were on offer; \
                          4 nothing to fetch found; 5 refused by policy; 130 interrupted";

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

impl Args {
    /// How much is told, of any command.
    pub(crate) fn words(&self) -> &WordArgs {
        match &self.command {
            Some(Command::Verify(verify)) => &verify.words,
            Some(Command::List { source, .. }) => &source.words,
            Some(Command::Repair(repair)) => &repair.source.words,
            None => &self.source.words,
        }
    }
}

impl Args {
    /// Which tracks are taken. A file of subtitles holds nothing else, nor does one of sound.
    pub(crate) fn selection(&self) -> Selection {
        let extension = self.output.as_ref().and_then(|path| path.extension());
        let extension = extension.map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let container = extension.as_deref().and_then(Container::from_extension);
        let mut selection = self.source.selection();
        if self.format.is_none() && matches!(container, Some(Container::Subtitles(_))) {
            // Captions come with the video, in any quality.
            let captions = self.captions.is_some();
            let (video, subs) = if captions {
                (Select::worst(), Select::none())
            } else {
                (Select::none(), Select::best())
            };
            selection.video = self.source.video.clone().unwrap_or(video);
            selection.audio = self.source.audio.clone().unwrap_or_else(Select::none);
            selection.subtitles = self.source.subs.clone().unwrap_or(subs);
        }
        selection.sound_alone = self
            .format
            .map(Container::from)
            .or(container)
            .is_some_and(Container::is_sound_alone);
        selection
    }
}

impl KeyArgs {
    /// The keys that the user holds. What is wrong with one is told without repeating it.
    fn user_keys(&self) -> anyhow::Result<UserKeys> {
        let mut keys = UserKeys::new();
        for (number, key) in (1..).zip(&self.keys) {
            let wrong = || format!("--key number {number} cannot be used");
            match key.strip_prefix('@') {
                Some(file) => {
                    let content = std::fs::read(file).with_context(|| format!("{file}: the key cannot be read"))?;
                    keys.add_file(&content).with_context(wrong)?;
                }
                None => keys.add(key).with_context(wrong)?,
            }
        }
        if let Some(iv) = &self.iv {
            keys.set_iv(iv).context("--iv cannot be used")?;
        }
        Ok(keys)
    }

    /// What decrypts, with the keys and the method of the user.
    pub(crate) fn decrypter(&self) -> anyhow::Result<ClearKey> {
        let clear_key = ClearKey::new().with_keys(self.user_keys()?);
        Ok(match self.method {
            Some(cipher) => clear_key.with_method(cipher.into()),
            None => clear_key,
        })
    }
}

impl SourceArgs {
    /// Which tracks are taken where the output says nothing about it.
    pub(crate) fn selection(&self) -> Selection {
        let mut selection = Selection::default();
        for (wanted, taken) in [
            (&self.video, &mut selection.video),
            (&self.audio, &mut selection.audio),
            (&self.subs, &mut selection.subtitles),
        ] {
            if let Some(wanted) = wanted {
                taken.clone_from(wanted);
            }
        }
        selection
    }

    /// What to fetch. Standard input is read here, to its end.
    pub(crate) async fn input(&self, text: &str) -> anyhow::Result<Input> {
        if text != "-" {
            return Ok(Input::parse(text));
        }
        let limit = aqueduct::Limits::default().playlist_bytes;
        let read = move || {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(std::io::stdin(), limit + 1), &mut bytes).map(|_| bytes)
        };
        let bytes = tokio::task::spawn_blocking(read).await?.context("cannot read standard input")?;
        if bytes.len() as u64 > limit {
            bail!("standard input is larger than {limit} bytes");
        }
        Ok(Input::Text {
            bytes,
            base: self.base_url.clone().map(SafeUrl::from),
        })
    }

    /// The user's word for the origin of the input, which headers and passwords are for.
    pub(crate) fn origin(&self, input: &Input) -> Option<SafeUrl> {
        match (input, &self.base_url) {
            (Input::Url(url), _) => Some(url.clone()),
            (_, Some(base)) => Some(SafeUrl::from(base.clone())),
            _ => None,
        }
    }
}

fn pick(text: &str) -> Result<Pick, String> {
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
fn concurrency(text: &str) -> Result<Concurrency, String> {
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
fn bytes(text: &str) -> Result<usize, String> {
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
fn duration(text: &str) -> Result<Duration, String> {
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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

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
