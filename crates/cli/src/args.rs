//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use aqueduct::decrypt::{ClearKey, UserKeys};
use aqueduct::fetch::Concurrency;
use aqueduct::resolve::{Select, Selection};
use aqueduct::{Container, Input, SafeUrl};
use clap::{Parser, Subcommand};
use url::Url;

use crate::requests::RequestArgs;
use crate::values::{self, Captions, Chapters, Cipher, Format, Missing, Pick, SplitAt, Subtitles};

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

    /// The closed captions inside the video (CEA-608), as one more track of subtitles in an MP4 or Matroska file, or as an
    /// output that ends in .vtt or .srt
    ///
    /// A channel (cc1, cc2, cc3 or cc4), or the one that the playlist has in a language (lang:en). The track of an MP4 is
    /// 3GPP timed text, or WebVTT with --subs-format wvtt.
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
    #[arg(long, value_name = "N|all", default_value = "1", value_parser = values::pick)]
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
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = values::concurrency, help_heading = "Transfer")]
    pub(crate) concurrency: Concurrency,

    /// Memory for what is under way
    #[arg(long, value_name = "BYTES", default_value = "28M", value_parser = values::bytes, help_heading = "Transfer")]
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
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration, help_heading = "Requests")]
    pub(crate) timeout: Duration,

    /// How often a failed request is tried again
    #[arg(long, value_name = "N", default_value = "5", help_heading = "Requests")]
    pub(crate) retries: u16,

    /// The longest delay before the first retry; it doubles with each
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = values::duration, help_heading = "Requests")]
    pub(crate) retry_delay: Duration,

    /// The most bytes per second to receive, over all requests, such as 5M
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, help_heading = "Transfer")]
    pub(crate) rate_limit: Option<usize>,

    #[command(flatten)]
    pub(crate) words: WordArgs,
}

const EXIT_CODES: &str = "Exit codes: 0 whole; 1 failed or incomplete; 2 usage; 3 finished, but without segments that were on offer; \
                          4 nothing to fetch found; 5 refused by policy; 130 interrupted";

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
