//! Pulling the plug: a run that is killed at any moment, and started again, gives the bytes of an undisturbed one and
//! fetches next to nothing twice.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use e2e::binary;
use fixture_server::{Config, Fault, Media, Rule, Server, Stream};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

const PATIENCE: Duration = Duration::from_secs(60);
const KILLS: u64 = 200;
/// For each of the other shapes.
const OTHER_KILLS: u64 = 6;
const AT_ONCE: usize = 6;
const CONNECTIONS: usize = 2;
/// Room for two segments of about 33 KB.
const BUFFER: &str = "70K";
const BUFFER_BYTES: u64 = 70 << 10;

/// A way from a stream to a file, or to a folder.
#[derive(Clone, Copy, Debug)]
struct Shape {
    stream: &'static str,
    entry: &'static str,
    output: &'static str,
    args: &'static [&'static str],
    tracks: u64,
}

impl Shape {
    /// Numbered files are beside each other.
    fn is_split(&self) -> bool {
        self.args.contains(&"--split")
    }

    /// What it leaves in a folder: the output, or the folder with its files.
    fn output(&self, folder: &Path) -> std::path::PathBuf {
        if self.is_split() { folder.into() } else { folder.join(self.output) }
    }

    /// Whether it has its name, or its names.
    fn is_there(&self, folder: &Path) -> bool {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        if self.is_split() {
            let split: Vec<_> = names.collect();
            !split.is_empty() && !split.iter().any(|name| name.contains(".part"))
        } else {
            names.any(|name| name == self.output)
        }
    }
}

const SHAPES: [Shape; 8] = [
    Shape {
        stream: "killed-discontinuity",
        entry: "/s/killed-discontinuity/index.m3u8",
        output: "out.mp4",
        args: &["--split", "discontinuity"],
        tracks: 1,
    },
    Shape {
        stream: "killed-two",
        entry: "/s/killed-two/index.m3u8",
        output: "out.mkv",
        args: &["--split", "changes"],
        tracks: 2,
    },
    Shape {
        stream: "killed-ts",
        entry: "/s/killed-ts/index.m3u8",
        output: "out.ts",
        args: &[],
        tracks: 1,
    },
    Shape {
        stream: "killed-fmp4",
        entry: "/s/killed-fmp4/index.m3u8",
        output: "out.mp4",
        args: &["--format", "fmp4"],
        tracks: 1,
    },
    Shape {
        stream: "killed-two",
        entry: "/s/killed-two/index.m3u8",
        output: "out.mp4",
        args: &[],
        tracks: 2,
    },
    Shape {
        stream: "killed-two",
        entry: "/s/killed-two/index.m3u8",
        output: "out.mkv",
        args: &[],
        tracks: 2,
    },
    Shape {
        stream: "killed-two",
        entry: "/s/killed-two/index.m3u8",
        output: "out.hls",
        args: &[],
        tracks: 2,
    },
    Shape {
        stream: "killed-fmp4",
        entry: "/s/killed-fmp4/index.m3u8",
        output: "folder",
        args: &["--format", "hls"],
        tracks: 1,
    },
];

/// What else can be made of what. They share the code that resumes; what differs is the state of the muxer.
const OTHER_SHAPES: [Shape; 10] = [
    Shape {
        stream: "killed-fmp4 to MPEG-TS",
        entry: "/s/killed-fmp4/index.m3u8",
        output: "out.ts",
        args: &[],
        tracks: 1,
    },
    Shape {
        stream: "killed-ts to fragmented MP4",
        entry: "/s/killed-ts/index.m3u8",
        output: "out.mp4",
        args: &["--format", "fmp4"],
        tracks: 1,
    },
    Shape {
        stream: "killed-two to MPEG-TS",
        entry: "/s/killed-two/index.m3u8",
        output: "out.ts",
        args: &[],
        tracks: 2,
    },
    Shape {
        stream: "killed-ts to sound",
        entry: "/s/killed-ts/index.m3u8",
        output: "out.m4a",
        args: &[],
        tracks: 1,
    },
    Shape {
        stream: "killed-captions",
        entry: "/s/killed-captions/index.m3u8",
        output: "out.srt",
        args: &["--captions", "cc1"],
        tracks: 1,
    },
    Shape {
        stream: "killed-captions inside",
        entry: "/s/killed-captions/index.m3u8",
        output: "out.mp4",
        args: &["--captions", "cc1"],
        tracks: 1,
    },
    Shape {
        stream: "killed-captions inside Matroska",
        entry: "/s/killed-captions/index.m3u8",
        output: "out.mkv",
        args: &["--captions", "cc1"],
        tracks: 1,
    },
    Shape {
        stream: "killed-subtitles to WebVTT",
        entry: "/s/killed-subtitles/index.m3u8",
        output: "out.vtt",
        args: &[],
        tracks: 1,
    },
    Shape {
        stream: "killed-subtitles to SubRip",
        entry: "/s/killed-subtitles/index.m3u8",
        output: "out.srt",
        args: &[],
        tracks: 1,
    },
    Shape {
        stream: "killed-subtitles inside",
        entry: "/s/killed-subtitles/index.m3u8",
        output: "out.mp4",
        args: &["--subs", "all", "--subs-format", "tx3g"],
        tracks: 2,
    },
];

/// What carries media.
const MEDIA: [&str; 3] = ["*.ts", "*.m4s", "*.vtt"];

/// The streams, each four times as long as the clip, and a server that takes its time.
fn config() -> Config {
    let mut config = Config::standard().unwrap();
    let two = Stream {
        repeat: 4,
        ..config.streams["alternate-audio"].clone()
    };
    let of = |clip: &str| Stream {
        repeat: 4,
        ..Stream::of(Media::Clip(clip.into()))
    };
    config.streams.insert("killed-ts".into(), of("high-ts"));
    config.streams.insert("killed-fmp4".into(), of("high-fmp4"));
    config.streams.insert("killed-two".into(), two);
    let discontinuity = Stream {
        repeat: 4,
        ..config.streams["discontinuity"].clone()
    };
    config.streams.insert("killed-discontinuity".into(), discontinuity);
    config.streams.insert("killed-captions".into(), of("captions-ts"));
    let subtitles = Stream {
        repeat: 4,
        ..config.streams["subtitles"].clone()
    };
    config.streams.insert("killed-subtitles".into(), subtitles);
    for path in MEDIA {
        config.rules.push(Rule::new(path, Fault::Delay { milliseconds: 8 }));
    }
    config
}

fn start(shape: Shape, server: &Server, folder: &Path) -> tokio::process::Child {
    let mut command = binary::command(folder).unwrap();
    command.args([
        "-q",
        "--buffer",
        BUFFER,
        "--concurrency",
        &CONNECTIONS.to_string(),
        "-o",
        shape.output,
    ]);
    command.args(shape.args).arg(server.url(shape.entry)).spawn().unwrap()
}

/// Of a file; of a folder the names that are in it as well, and what each has.
fn digest(path: &Path) -> Vec<u8> {
    if !path.is_dir() {
        return Sha256::digest(std::fs::read(path).unwrap()).to_vec();
    }
    let mut paths: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut all = Sha256::new();
    for path in paths {
        all.update(path.file_name().unwrap().as_encoded_bytes());
        all.update([0]);
        all.update(digest(&path));
    }
    all.finalize().to_vec()
}

/// Bytes of media that were sent, and the most for one request.
fn sent(server: &Server) -> (u64, u64) {
    server.stats().read(|tally| {
        let (mut bytes, mut largest) = (0, 0);
        for exchange in MEDIA.iter().flat_map(|pattern| tally.matching(pattern)) {
            bytes += exchange.bytes_sent;
            largest = exchange.bytes_sent.max(largest);
        }
        (bytes, largest)
    })
}

/// The digest of an undisturbed run, and the bytes of media that it takes.
async fn undisturbed(shape: Shape) -> (Vec<u8>, u64) {
    let server = Server::start(config()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let finished = binary::finish(start(shape, &server, folder.path()), PATIENCE).await.unwrap();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    (digest(&shape.output(folder.path())), sent(&server).0)
}

fn random(seed: u64, round: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    ("kill", seed, round).hash(&mut hasher);
    hasher.finish()
}

/// Kills a run when so many bytes of media were sent in all. Whether it was still running.
async fn kill_at(shape: Shape, server: &Server, folder: &Path, bytes: u64) -> bool {
    let mut child = start(shape, server, folder);
    let moment = server.stats().wait_until(|tally| {
        let media = MEDIA.iter().flat_map(|pattern| tally.matching(pattern));
        media.map(|exchange| exchange.bytes_sent).sum::<u64>() >= bytes
    });
    let running = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = moment => true,
            _ = child.wait() => false,
        }
    });
    let running = running.await.unwrap();
    // SIGKILL; one that has ended in the meantime is none the worse.
    child.kill().await.unwrap();
    running
}

async fn one(seed: u64, shape: Shape, expected: (Vec<u8>, u64)) {
    let (expected, total) = expected;
    let server = Server::start(config()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = format!("seed {seed}, {}", shape.stream);
    // Some are killed more than once, and some at the very end.
    let kills = if seed.is_multiple_of(5) { 3 } else { 1 };
    let mut killed = 0;
    let mut at = 0;
    for round in 0..kills {
        at += random(seed, round) % (total.saturating_sub(at) + 1);
        killed += u64::from(kill_at(shape, &server, folder.path(), at).await);
        if shape.is_there(folder.path()) {
            break;
        }
    }
    if !shape.is_there(folder.path()) {
        let again = binary::finish(start(shape, &server, folder.path()), PATIENCE).await.unwrap();
        assert_eq!(again.code, Some(0), "{place}: {}", again.stderr);
    } else {
        // It was killed when the file had its name: nothing is left to do but to tidy up.
        let again = binary::finish(start(shape, &server, folder.path()), PATIENCE).await.unwrap();
        assert_eq!(again.code, Some(2), "{place}: {}", again.stderr);
    }
    assert!(
        digest(&shape.output(folder.path())) == expected,
        "{place}: killed at {at} of {total} bytes, the outputs differ"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    if shape.is_split() {
        assert!(left.len() > 1 || shape.stream == "killed-two", "{place}: {left:?}");
    } else {
        assert_eq!(left, [shape.output], "{place}");
    }
    let (bytes, largest) = sent(&server);
    let twice = bytes.saturating_sub(total);
    // In flight are what the budget holds, and the oldest segment of each track, which it never refuses; one is being written.
    let in_flight = killed * (BUFFER_BYTES + (1 + shape.tracks) * largest);
    assert!(
        twice <= in_flight,
        "{place}: killed at {at} of {total} bytes, {twice} bytes were fetched again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_killed_runs_end_as_if_nothing_had_happened() {
    killed(&SHAPES, KILLS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_made_of_a_stream_a_killed_run_is_taken_up() {
    killed(&OTHER_SHAPES, OTHER_KILLS * OTHER_SHAPES.len() as u64).await;
}

/// Kills so many runs of these shapes in turn.
async fn killed(shapes: &[Shape], kills: u64) {
    let mut expected = Vec::new();
    for shape in shapes {
        expected.push(undisturbed(*shape).await);
    }
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = tokio::task::JoinSet::new();
    for seed in 0..kills {
        let which = usize::try_from(seed).unwrap() % shapes.len();
        let (shape, expected, places) = (shapes[which], expected[which].clone(), Arc::clone(&places));
        runs.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            one(seed, shape, expected).await;
        });
    }
    let mut failures = Vec::new();
    while let Some(run) = runs.join_next().await {
        failures.extend(run.err().map(|error| error.to_string()));
    }
    assert!(failures.is_empty(), "{} of {kills}:\n{}", failures.len(), failures.join("\n"));
}
