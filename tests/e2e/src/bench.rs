//! Runs of the binary that follow one another in one directory, against one server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fixture_server::{Config, Encryption, Media, Rule, Server, Stream, Variant};
use tokio::process::Child;

use crate::binary::{self, Finished};
use crate::schema;

/// How long a run may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server with two redundant Variant Streams of a clip, `/s/twin/v0` and `/s/twin/v1`.
pub fn twin(clip: &str, encryption: Option<Encryption>) -> Config {
    let variant = Variant {
        media: Media::Clip(clip.into()),
        ..Variant::default()
    };
    let stream = Stream {
        variants: vec![variant.clone(), variant],
        encryption,
        ..Stream::default()
    };
    let mut config = Config::standard().expect("the committed streams");
    config.streams.insert("twin".into(), stream);
    config
}

/// A server and a directory.
#[derive(Debug)]
pub struct Bench {
    /// The server.
    pub server: Server,
    folder: tempfile::TempDir,
}

impl Bench {
    /// A server that meets requests by these rules, and an empty directory.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut config = Config::standard().expect("the committed streams");
        config.rules = rules;
        Self::with(config)
    }

    /// A server as `config` says, and an empty directory.
    pub fn with(config: Config) -> Self {
        Self {
            server: Server::start(config).expect("a server on a free port"),
            folder: tempfile::tempdir().expect("a directory"),
        }
    }

    /// The directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a file in the directory holds.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a file to read")
    }

    /// Writes a file in the directory.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file to write");
    }

    /// The names in the directory, in order.
    pub fn names(&self) -> Vec<String> {
        names(self.folder())
    }

    /// Begins to fetch what stands at `path` of the server.
    pub fn start(&self, args: &[&str], path: &str) -> Child {
        let mut command = binary::command(self.folder()).expect("the binary");
        command.args(args).arg(self.server.url(path)).spawn().expect("a process")
    }

    /// The same, with Ctrl-C when so many segments were answered.
    pub async fn interrupted(&self, args: &[&str], path: &str, segments: usize) -> Finished {
        let child = self.start(args, path);
        let answered = self.server.stats().wait_until(|tally| {
            let media = ["*.ts", "*.m4s"].iter().flat_map(|pattern| tally.matching(pattern));
            media.filter(|exchange| exchange.ended.is_some()).count() >= segments
        });
        tokio::time::timeout(PATIENCE, answered).await.expect("requests");
        binary::interrupt(&child).expect("a process to interrupt");
        binary::finish(child, PATIENCE).await.expect("a run that ends")
    }

    /// Fetches what stands at `path` of the server.
    pub async fn fetch(&self, args: &[&str], path: &str) -> Finished {
        let url = self.server.url(path);
        let args: Vec<&str> = args.iter().copied().chain([url.as_str()]).collect();
        self.run(&args).await
    }

    /// Runs the binary. A report beside its outputs, and every event on standard output, must be as their schemas say.
    pub async fn run(&self, args: &[&str]) -> Finished {
        let mut command = binary::command(self.folder.path()).expect("the binary");
        let finished = binary::finish(command.args(args).spawn().expect("a process"), PATIENCE)
            .await
            .expect("a run that ends");
        if let Some(report) = args.windows(2).find(|pair| pair[0] == "--report").map(|pair| self.path(pair[1]))
            && let Ok(text) = std::fs::read_to_string(report)
            && finished.code != Some(2)
        {
            schema::check_report(&text).expect("a report that its schema allows");
        }
        finished
    }

    /// How often a path was asked for; `*` stands for any characters.
    pub fn asked(&self, pattern: &str) -> usize {
        self.server.stats().read(|tally| tally.count(pattern))
    }

    /// How many segments were asked for.
    pub fn segments(&self) -> usize {
        ["*.ts", "*.m4s", "*.aac", "*.vtt"].iter().map(|pattern| self.asked(pattern)).sum()
    }
}

/// The names in a directory, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a directory to list");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name().into_string();
    let mut names: Vec<String> = entries.map(|entry| name(entry).expect("a name in UTF-8")).collect();
    names.sort();
    names
}

/// The files in a directory and in those below it, by their names from there, in order, and what each holds.
pub fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            files.push((name, std::fs::read(path).expect("a file to read")));
        }
    }
    files
}

/// Demands an exit code, and a word on standard error.
#[track_caller]
pub fn expect(finished: &Finished, code: i32, says: &str) {
    assert_eq!(finished.code, Some(code), "{}", finished.stderr);
    assert!(finished.stderr.contains(says), "{says:?} is not in:\n{}", finished.stderr);
}
