//! Memory and time against hostile and large texts.

use std::time::{Duration, Instant};

use aqueduct_playlist::{Context, parse};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn context() -> Context {
    Context::new("https://example.com/live/list.m3u8".parse().expect("a URL"))
}

/// One test, because the allocator counts for the whole process.
#[test]
fn memory_and_time_are_linear_in_the_text() {
    memory_is_at_most_four_times_the_text();
    hostile_texts_take_linear_time();
}

fn memory_is_at_most_four_times_the_text() {
    type Line = fn(usize) -> String;
    let shapes: [(&str, Line); 4] = [
        ("short", |i| format!("#EXTINF:6.006,\nseg_{i:06}.ts\n")),
        ("ranges", |i| {
            format!("#EXTINF:6,\n#EXT-X-BYTERANGE:500000@{}\nmedia.mp4\n", i * 500_000)
        }),
        ("titles", |i| format!("#EXTINF:6.006,title {i}\nseg_{i:06}.ts\n")),
        ("keys", |i| {
            format!("#EXT-X-KEY:METHOD=AES-128,URI=\"keys/{i:08}\",IV=0x{i:032X}\n#EXTINF:6,\nseg_{i:06}.ts\n")
        }),
    ];
    for (name, line) in shapes {
        let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:7\n");
        text.extend((0..100_000).map(line));
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let parsed = parse(text.as_bytes(), &context()).expect("a playlist");
        let used = MEMORY.peak_usage() - before;
        assert!(used <= 4 * text.len(), "{name}: {used} bytes for a text of {}", text.len());
        drop(parsed);
    }
}

/// Each text with twice the lines may take twice the time, and a little more.
fn hostile_texts_take_linear_time() {
    type Text = fn(usize) -> String;
    let texts: [(&str, Text); 12] = [
        ("date ranges without =", |n| lines("#EXT-X-DATERANGE:ID\n", n)),
        ("date ranges", |n| lines("#EXT-X-DATERANGE:ID=\"a\",X=\"\n", n)),
        ("many attributes", |n| lines(&format!("#EXT-X-KEY:{}\n", "A=1,".repeat(n)), 1)),
        ("many names", |n| {
            let list: String = (0..n).map(|i| format!("A{i}=1,")).collect();
            lines(&format!("#EXT-X-DATERANGE:{list}\n"), 1)
        }),
        ("open references", |n| lines(&format!("#EXTINF:1,\n{}\n", "{$a".repeat(n)), 1)),
        ("alternating ranges", |n| {
            lines("#EXT-X-BYTERANGE:1\n#EXTINF:1,\na\n#EXT-X-BYTERANGE:1\n#EXTINF:1,\nb\n", n)
        }),
        ("formats", |n| {
            (0..n).fold(lines("", 0), |text, i| {
                text + &format!("#EXT-X-KEY:METHOD=A,URI=\"k\",KEYFORMAT=\"{}\"\n", i % 16)
            })
        }),
        ("claimed numbers", |_| {
            lines("#EXT-X-SKIP:SKIPPED-SEGMENTS=9999999999\n#EXT-X-MEDIA-SEQUENCE:1\n", 1)
        }),
        ("discontinuities", |n| lines("#EXT-X-DISCONTINUITY\n", n)),
        ("blank lines", |n| lines("\n", n)),
        ("URIs alone", |n| lines("a\n", n)),
        ("streams", |n| lines("#EXT-X-STREAM-INF:BANDWIDTH=1\n", n)),
    ];
    for (name, text) in texts {
        let (small, large) = (text(4_000), text(16_000));
        let quick = run(&small);
        let slow = run(&large);
        // Four times the text: sixteen times the time would be quadratic.
        let bound = quick * 10 + Duration::from_millis(20);
        assert!(
            slow < bound,
            "{name}: {quick:?} for {} bytes, {slow:?} for {}",
            small.len(),
            large.len()
        );
    }
}

fn lines(line: &str, n: usize) -> String {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:7\n{}", line.repeat(n))
}

/// The least time of three.
fn run(text: &str) -> Duration {
    let once = || {
        let began = Instant::now();
        if let Ok(parsed) = parse(text.as_bytes(), &context()) {
            let _ = parsed.playlist.validate();
            let _ = parsed.playlist.to_string();
        }
        began.elapsed()
    };
    once().min(once()).min(once())
}
