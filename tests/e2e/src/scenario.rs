//! The words in which a scenario is told.

use std::time::Duration;

use bytes::Bytes;
use fixture_server::{Rule, Stream};

use crate::Reference;

/// One run of the binary: what it meets, and what must come of it.
///
/// Texts may hold `{{origin}}` and `{{other}}`, the two origins of the fixture server, `{{address}}`, host and port of the
/// first, and `{{tls}}` and `{{tls-name}}`, the first one over TLS.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name in reports and filters: `subject/rule-that-it-shows`.
    pub name: &'static str,
    /// What the binary is given.
    pub input: Input,
    /// Arguments besides the input and `-o`.
    pub args: Vec<&'static str>,
    /// Argument of `-o`, in the fresh directory; `-` is standard output.
    pub output: &'static str,
    /// Leave `-o` out: the binary is to find the output's name itself.
    pub unnamed: bool,
    /// Chromium, where it is installed, must play the output from start to end.
    pub plays: bool,
    /// The name of a file of subtitles, beside the output, that must hold the clip's cues.
    pub cues: Option<&'static str>,
    /// Lines that ffprobe, where it is installed, must tell of the output's streams, chapters and tags.
    pub probe: Vec<&'static str>,
    /// Streams besides the committed ones.
    pub streams: Vec<(&'static str, Stream)>,
    /// Files of the clip that are copied into the directory: name there, path in `media/`.
    pub local: Vec<(&'static str, &'static str)>,
    /// Files that stand in the directory before: name and text.
    pub given: Vec<(&'static str, &'static str)>,
    /// Files that stand in the directory afterwards: name, and what they hold.
    pub leaves: Vec<(&'static str, &'static str)>,
    /// Whether the certificate of the server is trusted.
    pub trusted: bool,
    /// Resources besides the committed ones: path and text.
    pub files: Vec<(&'static str, &'static str)>,
    /// Resources that are no text.
    pub media: Vec<(&'static str, Bytes)>,
    /// What goes wrong.
    pub rules: Vec<Rule>,
    /// Press Ctrl-C at that moment.
    pub interrupt: Option<Interrupt>,
    /// The exit code.
    pub exit: i32,
    /// What stands under the final name.
    pub outcome: Outcome,
    /// What standard error must say.
    pub says: Vec<&'static str>,
    /// What neither standard error nor standard output may say.
    pub hides: Vec<&'static str>,
    /// What the server must have been asked.
    pub asked: Vec<Asked>,
    /// For requests whose paths match, how many may be open at once.
    pub open_at_most: Option<(&'static str, usize)>,
    /// For requests whose paths match, how many must have been open at once.
    pub open_at_least: Option<(&'static str, usize)>,
    /// How long it may take before it is killed.
    pub deadline: Duration,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "",
            input: Input::Served(""),
            args: Vec::new(),
            output: "out.ts",
            unnamed: false,
            plays: false,
            cues: None,
            probe: Vec::new(),
            streams: Vec::new(),
            local: Vec::new(),
            given: Vec::new(),
            leaves: Vec::new(),
            trusted: false,
            files: Vec::new(),
            media: Vec::new(),
            rules: Vec::new(),
            interrupt: None,
            exit: 0,
            outcome: Outcome::Nothing,
            says: Vec::new(),
            hides: Vec::new(),
            asked: Vec::new(),
            open_at_most: None,
            open_at_least: None,
            deadline: Duration::from_secs(60),
        }
    }
}

/// What the binary is given as its input.
#[derive(Debug, Clone)]
pub enum Input {
    /// The URL of this path and query on the first origin.
    Served(&'static str),
    /// This URL.
    Url(&'static str),
    /// A playlist on standard input, `-`, with the text's origins filled in.
    Stdin(&'static str),
    /// A file of this name and text in the directory, with the text's origins filled in.
    File(&'static str, &'static str),
}

/// What must stand under the final name when the binary has ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// No file.
    Nothing,
    /// The plain concatenation of these clear segments, byte for byte.
    Concatenation(Reference),
    /// Any beginning of that concatenation, empty or whole.
    Beginning(Reference),
    /// These bytes of the clip: a file by its path in `media/`.
    Bytes(&'static str),
    /// Exactly these bytes.
    Exactly(Bytes),
    /// The media of a file of the clip, packet by packet; tables and tags around them may differ.
    Media(&'static str),
    /// An MP4 with the packets of these, one track for each of video and audio.
    Mp4(Vec<Reference>),
    /// The same, with the clip's cues as a track of text that ffmpeg reads.
    Mp4WithCues(Vec<Reference>),
    /// WebVTT or SubRip with the clip's cues.
    Cues,
    /// A file of another container, by its extension, with these streams (`v`, `a`) of these and no others. Only ffmpeg can
    /// judge it.
    Streams(&'static str, &'static [&'static str], Vec<Reference>),
    /// The same with video, audio, and the clip's cues as a track of text.
    StreamsWithCues(&'static str, Vec<Reference>),
}

/// A demand on the requests that the server saw.
#[derive(Debug, Clone)]
pub struct Asked {
    /// A path; `*` stands for any characters.
    pub path: &'static str,
    /// Only requests with this header field, whose value starts like that.
    pub header: Option<(&'static str, &'static str)>,
    /// Only requests to the second origin.
    pub other_origin: bool,
    /// How often.
    pub times: Times,
}

/// How often something was asked for.
#[derive(Debug, Clone, Copy)]
pub enum Times {
    /// So often.
    Exactly(usize),
    /// So often or more.
    AtLeast(usize),
    /// So often or less.
    AtMost(usize),
}

/// When to press Ctrl-C: once so many different paths that match have been answered.
#[derive(Debug, Clone)]
pub struct Interrupt {
    /// A path; `*` stands for any characters.
    pub path: &'static str,
    /// How many different ones.
    pub answered: usize,
}

impl Asked {
    /// `path` was asked for exactly so often.
    pub fn exactly(path: &'static str, times: usize) -> Self {
        Self {
            path,
            header: None,
            other_origin: false,
            times: Times::Exactly(times),
        }
    }

    /// `path` was asked for so often or more.
    pub fn at_least(path: &'static str, times: usize) -> Self {
        Self {
            times: Times::AtLeast(times),
            ..Self::exactly(path, 0)
        }
    }

    /// `path` was asked for so often or less.
    pub fn at_most(path: &'static str, times: usize) -> Self {
        Self {
            times: Times::AtMost(times),
            ..Self::exactly(path, 0)
        }
    }

    /// Only requests with this header field, whose value starts like that.
    pub fn with(self, header: &'static str, start: &'static str) -> Self {
        Self {
            header: Some((header, start)),
            ..self
        }
    }

    /// Only requests to the second origin.
    pub fn elsewhere(self) -> Self {
        Self {
            other_origin: true,
            ..self
        }
    }
}
