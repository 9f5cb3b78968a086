//! The media that is fetched: made by ffmpeg once, and kept under the target directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub(crate) const KEY: [u8; 16] = *b"aqueduct's bench";
pub(crate) const IV: [u8; 16] = [7; 16];

/// A stream of MPEG-TS segments that are called `0.ts`, `1.ts`, …
pub(crate) struct Media {
    /// Its folder's name.
    pub(crate) name: &'static str,
    pub(crate) segments: usize,
    /// Bytes of all segments, decrypted and in a row.
    pub(crate) bytes: u64,
}

/// How a stream is made: a clip of so many seconds, repeated, and cut every second.
struct Recipe {
    name: &'static str,
    clip_seconds: u32,
    repeats: u32,
    /// A second of it is a segment.
    kilobits_per_second: u32,
    size: &'static str,
    encrypted: bool,
}

/// 1 GiB in 512 segments of 2 MiB.
pub(crate) fn film(folder: &Path, encrypted: bool) -> Result<Media> {
    make(
        folder,
        &Recipe {
            name: if encrypted { "film-aes" } else { "film" },
            clip_seconds: 32,
            repeats: 16,
            kilobits_per_second: 15_900,
            size: "1280x720",
            encrypted,
        },
    )
}

/// 5,000 segments of 40 KiB.
pub(crate) fn small(folder: &Path) -> Result<Media> {
    make(
        folder,
        &Recipe {
            name: "small-aes",
            clip_seconds: 100,
            repeats: 50,
            kilobits_per_second: 235,
            size: "160x90",
            encrypted: true,
        },
    )
}

/// A playlist that names one small segment so many times, under so many names.
pub(crate) fn tiny(folder: &Path, name: &'static str, segments: usize) -> Result<Media> {
    const PACKET: usize = 188;
    let place = folder.join(name);
    std::fs::create_dir_all(&place)?;
    // Null packets (ISO 13818-1, 2.4.3.3): media that says nothing.
    let mut segment = [0xff; 10 * PACKET];
    for packet in segment.chunks_exact_mut(PACKET) {
        packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    }
    std::fs::write(place.join("same.ts"), segment)?;
    let mut playlist = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:2\n");
    for number in 0..segments {
        writeln!(playlist, "#EXTINF:2,\n{number}.ts")?;
    }
    playlist += "#EXT-X-ENDLIST\n";
    std::fs::write(place.join("index.m3u8"), playlist)?;
    Ok(Media {
        name,
        segments,
        bytes: (segments * segment.len()) as u64,
    })
}

/// Makes a stream, unless it is there from an earlier run.
fn make(folder: &Path, recipe: &Recipe) -> Result<Media> {
    let place = folder.join(recipe.name);
    if !place.join("index.m3u8").exists() {
        println!("making {} ...", place.display());
        encode(folder, recipe).with_context(|| format!("making {}", place.display()))?;
    }
    Ok(Media {
        name: recipe.name,
        segments: segments(&place)?.len(),
        bytes: clear_bytes(&place)?,
    })
}

fn segments(place: &Path) -> Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ts") {
            segments.push(path);
        }
    }
    Ok(segments)
}

/// Bytes of all segments of a stream, decrypted where it has a key.
pub(crate) fn clear_bytes(place: &Path) -> Result<u64> {
    let encrypted = place.join("key").exists();
    let mut sum = 0;
    for segment in segments(place)? {
        sum += if encrypted {
            clear_length(&segment)?
        } else {
            std::fs::metadata(&segment)?.len()
        };
    }
    Ok(sum)
}

fn encode(folder: &Path, recipe: &Recipe) -> Result<()> {
    let unfinished = folder.join(format!("{}.part", recipe.name));
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)?;
    }
    std::fs::create_dir_all(&unfinished)?;
    let (clip, key_info) = (unfinished.join("clip.mkv"), unfinished.join("key-info"));
    let rate = format!("{}k", recipe.kilobits_per_second);
    let picture = format!("testsrc2=size={}:rate=25,noise=alls=60:allf=t+u", recipe.size);
    let mut encode = ffmpeg();
    encode.args(["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", "sine=440"]);
    encode.args([
        "-t",
        &recipe.clip_seconds.to_string(),
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-bf",
        "2",
    ]);
    encode.args(["-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p"]);
    encode.args([
        "-b:v",
        &rate,
        "-minrate",
        &rate,
        "-maxrate",
        &rate,
        "-bufsize",
        &rate,
        "-x264-params",
        "nal-hrd=cbr",
    ]);
    encode.args(["-c:a", "aac", "-b:a", "64k"]).arg(&clip);
    run(encode)?;

    let mut cut = ffmpeg();
    cut.args(["-stream_loop", &(recipe.repeats - 1).to_string(), "-i"]).arg(&clip);
    cut.args(["-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0"]);
    if recipe.encrypted {
        let key = unfinished.join("key");
        std::fs::write(&key, KEY)?;
        std::fs::write(&key_info, format!("key\n{}\n{}\n", key.display(), hex(&IV)))?;
        cut.arg("-hls_key_info_file").arg(&key_info);
    }
    cut.arg("-hls_segment_filename").arg(unfinished.join("%d.ts"));
    cut.arg(unfinished.join("index.m3u8"));
    run(cut)?;
    std::fs::remove_file(&clip)?;
    std::fs::rename(&unfinished, folder.join(recipe.name))?;
    Ok(())
}

/// Length of a segment without its padding (RFC 8216, 4.3.2.4).
fn clear_length(segment: &Path) -> Result<u64> {
    let sealed = std::fs::read(segment)?;
    // The padding is in the last block, whose IV is the block before.
    let tail = sealed
        .len()
        .checked_sub(32)
        .with_context(|| format!("{} is too short", segment.display()))?;
    let iv: [u8; 16] = sealed[tail..tail + 16].try_into()?;
    let clear = fixture_server::decrypt_aes_128(&sealed[tail + 16..], &KEY, &iv)?;
    Ok((tail + 16 + clear.len()) as u64)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-y", "-v", "error"]);
    command
}

fn run(mut command: Command) -> Result<()> {
    let status = command.status().context("starting ffmpeg, which makes the media")?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
