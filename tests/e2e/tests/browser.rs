//! What Chromium plays of codecs that the committed streams do not have. HEVC is left to ffprobe: few builds decode it.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]
#![expect(clippy::print_stderr, reason = "it is told what was not tested")]

use std::process::Command;
use std::time::Duration;

use e2e::chromium::{self, Played};
use e2e::{binary, ffmpeg};

const LIMIT: Duration = Duration::from_secs(120);
/// Seconds of the film, and its pictures in each.
const LENGTH: usize = 4;
const RATE: usize = 24;

const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p"];
const VP9: &[&str] = &[
    "-c:v",
    "libvpx-vp9",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-pix_fmt",
    "yuv420p",
];
const AV1: &[&str] = &["-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p"];
const OPUS: &[&str] = &["-c:a", "libopus"];
const FLAC: &[&str] = &["-c:a", "flac", "-strict", "-2"];
const MP3: &[&str] = &["-c:a", "libmp3lame"];

/// Has ffmpeg make a playlist of such segments in the folder. Whether its encoders are there.
fn encode(folder: &std::path::Path, segments: &str, pictures: &[&str], sound: &[&str]) -> bool {
    let (size, tone) = (
        format!("testsrc2=size=320x180:rate={RATE}:duration={LENGTH}"),
        format!("sine=frequency=440:sample_rate=48000:duration={LENGTH}"),
    );
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg
        .current_dir(folder)
        .args(["-v", "error", "-f", "lavfi", "-i", &size, "-f", "lavfi", "-i", &tone]);
    ffmpeg.args(pictures).args(sound).args(["-g", "48", "-f", "hls", "-hls_time", "2"]);
    ffmpeg.args(["-hls_playlist_type", "vod", "-hls_segment_type", segments, "index.m3u8"]);
    let made = ffmpeg.output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() || said.contains("Unknown encoder"), "{said}");
    made.status.success()
}

/// A stream of such segments: the browser plays each of these outputs whole.
async fn plays(segments: &str, pictures: &[&str], sound: &[&str], outputs: &[&str]) {
    if !ffmpeg::installed() || !chromium::installed() {
        eprintln!("SKIPPED: ffmpeg or chromium is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if !encode(folder.path(), segments, pictures, sound) {
        eprintln!("SKIPPED: ffmpeg has no encoder for {} and {}", pictures[1], sound[1]);
        return;
    }
    for output in outputs {
        let mut command = binary::command(folder.path()).unwrap();
        let child = command.args(["index.m3u8", "-o", output]).spawn().unwrap();
        let finished = binary::finish(child, LIMIT).await.unwrap();
        assert_eq!(finished.code, Some(0), "{output}: {}", finished.stderr);
        let file = std::fs::read(folder.path().join(output)).unwrap();
        let played = chromium::play(&file).await.unwrap_or_else(|error| panic!("{output}: {error:#}"));
        let whole = Played {
            pictures: LENGTH * RATE,
            sound: true,
        };
        assert_eq!(played, whole, "{output}");
    }
}

#[tokio::test]
async fn h264_and_opus() {
    plays("fmp4", H264, OPUS, &["out.mp4", "out.mkv", "out.m4s"]).await;
}

#[tokio::test]
async fn h264_and_flac() {
    plays("fmp4", H264, FLAC, &["out.mp4"]).await;
}

#[tokio::test]
async fn h264_and_mp3() {
    plays("fmp4", H264, MP3, &["out.mp4"]).await;
    plays("mpegts", H264, MP3, &["out.mp4", "out.m4s"]).await;
}

#[tokio::test]
async fn vp9_and_opus() {
    plays("fmp4", VP9, OPUS, &["out.mp4", "out.mkv"]).await;
}

#[tokio::test]
async fn av1_and_opus() {
    plays("fmp4", AV1, OPUS, &["out.mp4", "out.mkv"]).await;
}
