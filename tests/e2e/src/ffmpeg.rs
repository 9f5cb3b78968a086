//! Judgement by ffprobe and ffmpeg, where they are installed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{Reference, binary};

/// Whether both tools are there. Where they are not, half of what an MP4 is judged by is skipped: the test
/// runners say so loudly, once.
pub fn installed() -> bool {
    ["ffmpeg", "ffprobe"].iter().all(|tool| binary::is_on_path(tool))
}

/// Two ticks of MPEG-TS's clock: one for each side's rounding.
const TOLERANCE: f64 = 2.0 / 90_000.0;

/// The output decodes in full without a word, and has the packets of these streams (`v`, `a`) of the references, and no
/// others, at the same times relative to the first of the first stream. Its extension says what it is.
pub(crate) fn judge(output: &[u8], extension: &str, streams: &[&str], references: &[Reference]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join(format!("output.{extension}"));
    std::fs::write(&file, output)?;
    decodes(&file).context("decoding the output")?;

    let mut sources = Vec::new();
    for (number, reference) in references.iter().enumerate() {
        let extension = if reference.is_fragmented() { "mp4" } else { "ts" };
        let path = directory.path().join(format!("source{number}.{extension}"));
        std::fs::write(&path, reference.bytes()?)?;
        sources.push(path);
    }
    let continuous = references.iter().all(Reference::is_continuous);
    for stream in ["v", "a"].iter().filter(|stream| !streams.contains(stream)) {
        ensure!(!has(&file, stream), "it has a stream {stream}");
    }
    let (source_start, output_start) = (earliest(&times(&sources[0], streams[0])?), earliest(&times(&file, streams[0])?));
    // The clip's fragmented packaging states the start of a track in milliseconds only.
    let together = if references[0].is_fragmented() { 0.001 } else { TOLERANCE };
    for &stream in streams {
        let Some(source) = sources.iter().find(|path| has(path, stream)) else {
            ensure!(!has(&file, stream), "a stream of {stream} that no reference has");
            continue;
        };
        let (expected, got) = (times(source, stream)?, times(&file, stream)?);
        ensure!(
            got.len() == expected.len(),
            "ffprobe finds {} packets of {stream}, not {}",
            got.len(),
            expected.len()
        );
        ensure!(
            essence(source, stream)? == essence(&file, stream)?,
            "the packets of {stream} have other bytes"
        );
        if !continuous {
            continue;
        }
        let (got_first, expected_first) = (earliest(&got), earliest(&expected));
        for (number, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let apart = (got - got_first) - (expected - expected_first);
            ensure!(apart.abs() < TOLERANCE, "packet {number} of {stream} is {apart} s off");
        }
        let apart = (got_first - output_start) - (expected_first - source_start);
        ensure!(
            apart.abs() < together,
            "{stream} starts {apart} s off, relative to the first picture"
        );
    }
    if extension == "aac" {
        // It has no clock, so ffprobe guesses.
        return Ok(());
    }
    let seconds: f64 = duration(&file)?;
    let expected = references[0].seconds()?;
    // Where the clock starts over, a track waits for the other's last packet, and sound may begin before the picture.
    let room = if continuous { 0.1 } else { 0.2 };
    ensure!((seconds - expected).abs() < room, "it lasts {seconds} s, not {expected} s");
    Ok(())
}

/// The file has no other streams than these, and one of each at the most.
pub(crate) fn has_only(file: &Path, streams: &[&str]) -> Result<()> {
    let mut ffprobe = tool("ffprobe");
    ffprobe.args(["-v", "error", "-show_entries", "stream=index,codec_type", "-of", "csv=p=0"]);
    let output = ffprobe.arg(file).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Those of a program are told twice.
    let found: BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(',')).collect();
    let mut left = streams.to_vec();
    for kind in found.iter().filter_map(|line| line.split(',').nth(1)) {
        let Some(at) = left.iter().position(|stream| kind.starts_with(stream)) else {
            bail!("streams besides {streams:?}: {found:?}");
        };
        left.remove(at);
    }
    Ok(())
}

/// A file of subtitles is read without a word, with all six cues of the clip.
pub(crate) fn reads_cues(file: &Path) -> Result<()> {
    let mut ffmpeg = tool("ffmpeg");
    let output = ffmpeg
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-f", "webvtt", "pipe:1"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "ffmpeg says: {said}");
    let cues = String::from_utf8_lossy(&output.stdout).matches("-->").count();
    ensure!(cues == 6, "ffmpeg finds {cues} cues, not 6");
    Ok(())
}

/// The output has the packets of the other file, one for one.
pub(crate) fn same_packets(output: &[u8], expected: &[u8]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let packets = |name: &str, bytes: &[u8]| -> Result<String> {
        let file = directory.path().join(name);
        std::fs::write(&file, bytes)?;
        let mut ffprobe = tool("ffprobe");
        ffprobe.args(["-v", "error", "-show_data_hash", "md5", "-of", "csv=p=0"]);
        ffprobe.args(["-show_entries", "packet=stream_index,pts,dts,size,data_hash"]);
        let found = ffprobe.arg(&file).output()?;
        ensure!(found.stderr.is_empty(), "ffprobe says: {}", String::from_utf8_lossy(&found.stderr));
        Ok(String::from_utf8_lossy(&found.stdout).into_owned())
    };
    let expected = packets("expected", expected)?;
    ensure!(!expected.is_empty(), "a reference without packets");
    ensure!(packets("output", output)? == expected, "other packets");
    Ok(())
}

/// The first track of text, as WebVTT.
pub(crate) fn text_track(file: &Path) -> Result<String> {
    let mut ffmpeg = tool("ffmpeg");
    ffmpeg.args(["-v", "error", "-xerror", "-i"]).arg(file);
    let output = ffmpeg.args(["-map", "0:s:0", "-f", "webvtt", "pipe:1"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "ffmpeg says: {said}");
    // Its WebVTT has no escapes.
    Ok(String::from_utf8(output.stdout)?.replace('&', "&amp;"))
}

/// What ffprobe tells of streams, chapters and tags.
pub(crate) fn probe(file: &Path) -> Result<String> {
    let mut ffprobe = tool("ffprobe");
    let output = ffprobe
        .args(["-v", "error", "-show_format", "-show_streams", "-show_chapters"])
        .arg(file)
        .output()?;
    ensure!(output.status.success(), "ffprobe says: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn decodes(file: &Path) -> Result<()> {
    let mut ffmpeg = tool("ffmpeg");
    let output = ffmpeg
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "ffmpeg says: {said}");
    Ok(())
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

fn has(file: &Path, stream: &str) -> bool {
    times(file, stream).is_ok_and(|times| !times.is_empty())
}

/// Presentation times of a stream's packets, in the order of the file.
fn times(file: &Path, stream: &str) -> Result<Vec<f64>> {
    let mut ffprobe = tool("ffprobe");
    ffprobe.args([
        "-v",
        "error",
        "-select_streams",
        stream,
        "-show_entries",
        "packet=pts_time",
        "-of",
        "csv=p=0",
    ]);
    let output = ffprobe.arg(file).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty());
    lines
        .map(|line| line.parse().with_context(|| format!("a packet at {line:?}")))
        .collect()
}

fn earliest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::MAX, f64::min)
}

fn duration(file: &Path) -> Result<f64> {
    let mut ffprobe = tool("ffprobe");
    ffprobe.args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]);
    let output = ffprobe.arg(file).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// MD5 over a stream's access units with the container and parameter sets taken away.
fn essence(file: &Path, stream: &str) -> Result<String> {
    let filter = match stream {
        "v" if probe(file)?.contains("codec_name=hevc") => "hevc_mp4toannexb,filter_units=pass_types=0-31",
        "v" => "h264_mp4toannexb,filter_units=pass_types=1-5",
        _ => "aac_adtstoasc",
    };
    let mut ffmpeg = tool("ffmpeg");
    ffmpeg.args(["-v", "error"]);
    if file.extension().is_some_and(|extension| extension == "mp4") {
        ffmpeg.args(["-ignore_editlist", "1"]);
    }
    ffmpeg.arg("-i").arg(file).args(["-map", &format!("0:{stream}:0"), "-c", "copy"]);
    let output = ffmpeg.args([&format!("-bsf:{stream}"), filter, "-f", "md5", "pipe:1"]).output()?;
    ensure!(output.status.success(), "ffmpeg says: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_film_passes_and_other_sound_does_not() {
        if !installed() {
            eprintln!("SKIPPED: ffmpeg is not installed");
            return;
        }
        let film = fixture_server::Clip::get().unwrap().file("film.mp4").unwrap();
        let judge = |file: &[u8], references: &[Reference]| judge(file, "mp4", &["v", "a"], references);
        judge(&film, &[Reference::all("high-ts")]).unwrap();
        judge(&film, &[Reference::all("video-ts"), Reference::all("alt-audio-ts")]).unwrap_err();
        let fragmented = Reference::all("high-fmp4");
        judge(&fragmented.bytes().unwrap(), std::slice::from_ref(&fragmented)).unwrap();
        super::judge(&film, "mp4", &["a"], &[fragmented]).unwrap_err();
    }
}
