//! How long it takes to read a Media Playlist, and how much memory, beside m3u8-rs alone with the URIs
//! resolved afterwards.
//!
//! `cargo bench -p aqueduct-playlist` prints a table. `read` is this crate alone, `+url` with the absolute URL
//! of every segment, which is what is compared with `m3u8-rs`. Memory is the peak beyond the text itself.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aqueduct_playlist::{Context, MediaPlaylist, parse};
use peak_alloc::PeakAlloc;
use url::Url;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const BASE: &str = "https://cdn.example.com/vod/5f0c9e/video/1080p/index.m3u8";

/// A playlist of so many segments.
type Shape = (&'static str, fn(usize) -> String);

const SHAPES: [Shape; 5] = [
    ("short", |n| segments(n, |i| format!("#EXTINF:6.006,\nseg_{i:06}.ts\n"))),
    ("long names", |n| {
        segments(n, |i| {
            format!("#EXTINF:6.006,\nvideo/1080p/2026/11/20/segment_{i:08}.m4s?token=0123456789abcdef&e=1790000000\n")
        })
    }),
    ("byte ranges", |n| {
        segments(n, |i| {
            format!("#EXTINF:6.006,\n#EXT-X-BYTERANGE:500000@{}\nmedia.mp4\n", i * 500_000)
        })
    }),
    ("dates, titles", |n| {
        segments(n, |i| {
            format!(
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T{:02}:{:02}:{:02}.000Z\n#EXTINF:6.006,title {i}\nseg_{i:06}.ts\n",
                i / 3600 % 24,
                i / 60 % 60,
                i % 60
            )
        })
    }),
    ("a key for each", |n| {
        segments(n, |i| {
            format!("#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example.com/k/{i:08}\",IV=0x{i:032X}\n#EXTINF:6.006,\nseg_{i:06}.ts\n")
        })
    }),
];

fn segments(count: usize, segment: impl Fn(usize) -> String) -> String {
    let mut text =
        String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:7\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"init.mp4\"\n");
    text.extend((0..count).map(segment));
    text.push_str("#EXT-X-ENDLIST\n");
    text.shrink_to_fit();
    text
}

fn ours(text: &str, context: &Context) -> MediaPlaylist {
    parse(text.as_bytes(), context)
        .expect("a playlist")
        .into_media()
        .expect("a Media Playlist")
}

/// The least of several runs, without the time that it takes to drop the result.
fn time<T>(mut run: impl FnMut() -> T) -> Duration {
    let mut least = Duration::MAX;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        let start = Instant::now();
        let result = run();
        least = least.min(start.elapsed());
        drop(black_box(result));
    }
    least
}

fn peak<T>(run: impl FnOnce() -> T) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = run();
    let peak = MEMORY.peak_usage();
    drop(black_box(result));
    peak.saturating_sub(before)
}

fn main() {
    let base: Url = BASE.parse().expect("a URL");
    let context = Context::new(base.clone());
    println!(
        "{:<15} {:>7} {:>9} | {:>9} {:>9} {:>9} {:>6} | {:>6} {:>6}",
        "playlist", "count", "text kB", "read ms", "+url ms", "m3u8-rs", "ratio", "memory", "m3u8"
    );
    for (name, shape) in SHAPES {
        for count in [1_000, 10_000, 100_000] {
            let text = shape(count);
            let theirs = || m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("a playlist");
            let read = time(|| ours(&text, &context));
            let resolved = time(|| {
                let playlist = ours(&text, &context);
                let urls: Vec<Url> = playlist.segments.iter().map(|s| s.uri()).collect();
                (playlist, urls)
            });
            let alone = time(|| {
                let playlist = theirs();
                let urls: Vec<Url> = playlist.segments.iter().map(|s| base.join(&s.uri).expect("a URL")).collect();
                (playlist, urls)
            });
            let bytes = text.len();
            let ms = |d: Duration| d.as_secs_f64() * 1e3;
            println!(
                "{name:<15} {count:>7} {:>9} | {:>9.2} {:>9.2} {:>9.2} {:>5.1}x | {:>5.2}x {:>5.2}x",
                bytes / 1000,
                ms(read),
                ms(resolved),
                ms(alone),
                alone.as_secs_f64() / resolved.as_secs_f64(),
                factor(peak(|| ours(&text, &context)), bytes),
                factor(peak(theirs), bytes),
            );
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of playlists are far below 2^52")]
fn factor(size: usize, text: usize) -> f64 {
    size as f64 / text as f64
}
