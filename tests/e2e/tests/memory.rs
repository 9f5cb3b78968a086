//! Memory: what the process holds depends on the byte budget, never on the length of the stream.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::time::Duration;

use e2e::binary;
use fixture_server::{Config, Server};
use tokio::io::AsyncReadExt;
use tokio::process::Child;

const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(120);
/// More than a pipe holds: while so much is unread, the process has not ended.
const KEPT_BACK: u64 = 2 * MIB;

/// What the playlist says of a segment is known all along: about so many bytes.
const NAMED: u64 = 256;

/// The most memory that was resident so far, in bytes, but for pages of the executable, of which a debug build has many: `VmHWM` without
/// `RssFile` (proc(5)).
fn peak(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let kibibytes = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    (kibibytes("VmHWM:") - kibibytes("RssFile:")) * 1024
}

fn start(server: &Server, stream: &str, args: &[&str], directory: &std::path::Path) -> Child {
    let mut command = binary::command(directory).unwrap();
    // One heap: which of several a buffer comes from is luck, and what each has left over counts as well.
    command.env("MALLOC_ARENA_MAX", "1");
    command.args(["-q", "--format", "ts", "-o", "-"]).args(args);
    command.arg(server.url(&format!("/s/{stream}/index.m3u8"))).spawn().unwrap()
}

/// Lets the budget fill up, reads the whole stream but for its end, looks at the peak, and reads the end.
async fn peak_of_a_run(stream: &str) -> u64 {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let track = &server.tracks(stream).unwrap()[0];
    let total = track.count().unwrap() as u64 * track.clear(0).len() as u64;
    // As many connections in both: those of a longer run would be more, and each has buffers of its own.
    let bounds = ["--buffer", "32M", "--concurrency", "8"];
    let mut child = start(&server, stream, &bounds, directory.path());
    let stats = server.stats().clone();
    let full = tokio::task::spawn_blocking(move || stats.wait_quiet(Duration::from_secs(1), PATIENCE));
    full.await.unwrap().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (mut most, mut nowhere) = ((&mut pipe).take(total - KEPT_BACK), tokio::io::sink());
    let read = tokio::time::timeout(PATIENCE, tokio::io::copy(&mut most, &mut nowhere)).await;
    assert_eq!(read.unwrap().unwrap(), total - KEPT_BACK);
    let peak = peak(&child);
    child.stdout = Some(pipe);
    let rest = binary::finish(child, PATIENCE).await.unwrap();
    assert_eq!((rest.code, rest.stdout.len() as u64), (Some(0), KEPT_BACK), "{}", rest.stderr);
    peak
}

#[tokio::test]
async fn ten_times_the_segments_take_no_more_memory_than_their_playlist() {
    let (short, long) = (peak_of_a_run("synthetic-1000").await, peak_of_a_run("synthetic-10000").await);
    println!(
        "peak memory: {} KiB for 1,000 segments, {} KiB for 10,000",
        short / 1024,
        long / 1024
    );
    assert!(long <= short + 9_000 * NAMED, "{short} bytes for 1,000 segments, {long} for 10,000");
}

#[tokio::test]
async fn a_sink_that_nobody_reads_stops_the_requests_within_the_budget() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let child = start(&server, "synthetic-large", &["--buffer", "64M"], directory.path());
    let stats = server.stats().clone();
    let quiet = tokio::task::spawn_blocking(move || stats.wait_quiet(Duration::from_secs(2), PATIENCE));
    quiet.await.unwrap().unwrap();
    let (requests, sent) = server.stats().read(|tally| (tally.requests(), tally.bytes_sent));
    let peak = peak(&child);
    println!(
        "at the stalled sink: {requests} requests, {} MiB sent, peak {} MiB",
        sent / MIB,
        peak / MIB
    );
    assert!(peak <= (64 + 16) * MIB, "{} MiB at a budget of 64", peak / MIB);
    // Each segment is 1 MiB: what is in the budget, what the sockets hold, and the playlist.
    assert!((16..200).contains(&requests), "{requests} requests before it came to rest");
}
