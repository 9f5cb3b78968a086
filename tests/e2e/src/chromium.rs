//! Judgement by a browser: headless Chromium, where it is installed, plays the output from start to end.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fixture_server::{Config, Server, Tally};
use re_mp4::{Mp4, TrackKind};
use serde::Deserialize;

use crate::binary;

/// How long starting and playing may take, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// It plays faster than people watch, and asks for the path `told` with what came of it.
const PAGE: &str = r#"<!doctype html><title>film</title><video muted src="film.mp4"></video><script>
const video = document.querySelector("video");
const tell = what => fetch("told?" + encodeURIComponent(JSON.stringify({
    what, time: video.currentTime, duration: video.duration || 0,
    frames: video.getVideoPlaybackQuality().totalVideoFrames, sound: video.webkitAudioDecodedByteCount })));
video.onerror = () => tell("error " + video.error.code + ": " + video.error.message);
video.onended = () => tell("ended");
video.playbackRate = 8;
video.play().catch(error => tell(error.message));
</script>"#;

/// What the page tells.
#[derive(Debug, Deserialize)]
struct Told {
    what: String,
    time: f64,
    duration: f64,
    frames: usize,
    sound: u64,
}

/// What a browser made of a film that it played to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Played {
    /// Pictures that were decoded.
    pub pictures: usize,
    /// Whether sound was.
    pub sound: bool,
}

/// Whether Chromium is there. Where it is not, outputs are judged by the others alone.
pub fn installed() -> bool {
    binary::is_on_path("chromium")
}

/// Chromium plays the file, of any container that it knows, to its end without an error.
pub async fn play(output: &[u8]) -> Result<Played> {
    let films = [
        ("/film.mp4", Bytes::copy_from_slice(output)),
        ("/play.html", Bytes::from_static(PAGE.as_bytes())),
    ];
    let server = Server::start(Config {
        files: films.map(|(path, bytes)| (path.to_owned(), bytes)).into(),
        ..Config::default()
    })?;
    let profile = tempfile::tempdir()?;
    let mut command = tokio::process::Command::new("chromium");
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-sync",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
        ])
        .arg("--autoplay-policy=no-user-gesture-required")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(server.url("/play.html"));
    command
        // Its sockets are removed with the profile.
        .env("TMPDIR", profile.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().context("starting Chromium")?;
    let ended = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = server.stats().wait_until(|tally| told(tally).is_some()) => Ok(()),
            status = child.wait() => Err(anyhow::anyhow!("Chromium ended: {status:?}")),
        }
    });
    let ended = ended.await;
    // It may have ended by itself; the profile is removed when it has.
    let _ = child.kill().await;
    ended.context("Chromium did not come to the end of the film")??;
    let told = server.stats().read(told).context("nothing was told")?;
    let told: Told = serde_json::from_str(&percent_decoded(&told)?)?;
    ensure!(told.what == "ended", "Chromium says {told:?}");
    ensure!((told.time - told.duration).abs() < 0.1, "it did not end at its end: {told:?}");
    Ok(Played {
        pictures: told.frames,
        sound: told.sound > 0,
    })
}

/// Chromium plays the MP4, decodes every picture, and hears sound where there is any.
pub(crate) async fn judge(output: &[u8]) -> Result<()> {
    let played = play(output).await?;
    for track in Mp4::read_bytes(output)?.tracks().values() {
        match track.kind {
            Some(TrackKind::Video) => ensure!(
                played.pictures == track.samples.len(),
                "{} pictures, of which it decoded {}",
                track.samples.len(),
                played.pictures
            ),
            Some(TrackKind::Audio) => ensure!(played.sound, "it heard nothing"),
            _ => {}
        }
    }
    Ok(())
}

/// The query of the page's word.
fn told(tally: &Tally) -> Option<String> {
    tally.matching("/told").find_map(|exchange| exchange.request.query.clone())
}

fn percent_decoded(text: &str) -> Result<String> {
    Ok(percent_encoding::percent_decode_str(text).decode_utf8()?.into_owned())
}
