//! Judgement without any tool but Rust: bytes, and MP4 as another project's reader sees it.

use anyhow::{Context, Result, ensure};
use re_mp4::{Mp4, Track, TrackKind};

use crate::reference::{Reference, sha256};

/// Equal, or an error that says where they part.
pub(crate) fn same_bytes(output: &[u8], expected: &[u8]) -> Result<()> {
    if output == expected {
        return Ok(());
    }
    let at = output.iter().zip(expected).take_while(|(left, right)| left == right).count();
    anyhow::bail!(
        "{} bytes, SHA-256 {}, not {} bytes, SHA-256 {}; they part at byte {at}",
        output.len(),
        sha256(output),
        expected.len(),
        sha256(expected)
    )
}

/// Equal but for what is around the media: an ID3 tag in front, and MPEG-TS packets of tables, whose PIDs are low.
pub(crate) fn same_media(output: &[u8], expected: &[u8]) -> Result<()> {
    let media = |bytes: &[u8]| -> Vec<u8> {
        match bytes {
            [b'I', b'D', b'3', _, _, _, size @ ..] if size.len() >= 4 => {
                let size = size[..4].iter().fold(0, |size, byte| size << 7 | usize::from(*byte));
                bytes[10 + size..].to_vec()
            }
            [0x47, ..] => {
                let packets = bytes.chunks(188).filter(|packet| packet[1] & 0x1F != 0 || packet[2] >= 0x30);
                packets.flatten().copied().collect()
            }
            _ => bytes.to_vec(),
        }
    };
    ensure!(!media(expected).is_empty(), "a reference without media");
    same_bytes(&media(output), &media(expected))
}

/// Boxes and sample entries that tell of protection (ISO 14496-12, 8.12; ISO 23001-7).
const PROTECTION: [&[u8; 4]; 14] = [
    b"sinf", b"schm", b"schi", b"tenc", b"frma", b"pssh", b"senc", b"saiz", b"saio", b"seig", b"seam", b"encv", b"enca", b"enct",
];

/// One packet of a track: what a decoder gets and when.
#[derive(Debug, PartialEq)]
struct Packet {
    /// For H.264 the slices alone: parameter sets and delimiters may stand elsewhere in another container.
    essence: Vec<u8>,
    /// Decoding time relative to the first one's, in seconds.
    decode: f64,
    /// Presentation time relative to the earliest, in seconds.
    present: f64,
}

/// One tick of MPEG-TS's clock, and a little for rounding.
const TICK: f64 = 1.5 / 90_000.0;

/// The output has one track for each that the references have, with the same packets at the same times, and no word of
/// protection.
pub(crate) fn mp4(output: &[u8], references: &[Reference]) -> Result<()> {
    for name in PROTECTION {
        let found = output.windows(4).any(|window| window == name);
        ensure!(!found, "{} is left in the output", name.escape_ascii());
    }
    let read = Mp4::read_bytes(output).context("reading the output as MP4")?;
    let mut expected = 0;
    for reference in references {
        let bytes = reference.fragmented()?;
        let source = Mp4::read_bytes(&bytes).context("reading the reference as MP4")?;
        for track in source.tracks().values() {
            let kind = track.kind.context("a track of unknown kind in the reference")?;
            let found = read.tracks().values().filter(|found| found.kind == Some(kind));
            let found: Vec<_> = found.collect();
            ensure!(found.len() == 1, "{} tracks of {kind:?}, not one", found.len());
            same_track(&packets(found[0], output)?, &packets(track, &bytes)?, reference.is_continuous())
                .with_context(|| format!("{kind:?}"))?;
            expected += 1;
        }
    }
    // Text is judged by its cues.
    let media = |track: &&Track| matches!(track.kind, Some(TrackKind::Video | TrackKind::Audio));
    let found = read.tracks().values().filter(media).count();
    ensure!(found == expected, "{found} tracks of video and audio, not {expected}");
    Ok(())
}

fn packets(track: &Track, file: &[u8]) -> Result<Vec<Packet>> {
    let first_decode = track.samples.first().context("a track without samples")?.decode_timestamp;
    let first_present = track.samples.iter().map(|sample| sample.composition_timestamp).min().unwrap_or(0);
    track
        .samples
        .iter()
        .map(|sample| {
            let bytes = file.get(sample.byte_range()).context("a sample outside the file")?;
            // Times of a test clip are far below 2^52.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let seconds = |ticks: i64| ticks as f64 / sample.timescale as f64;
            Ok(Packet {
                essence: if track.kind == Some(TrackKind::Video) {
                    slices(bytes)
                } else {
                    bytes.to_vec()
                },
                decode: seconds(sample.decode_timestamp - first_decode),
                present: seconds(sample.composition_timestamp - first_present),
            })
        })
        .collect()
}

/// NAL units of types 1 to 5 (ITU-T H.264, table 7-1) from a sample with lengths of four bytes.
fn slices(mut sample: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((length, rest)) = sample.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX).min(rest.len());
        let (unit, tail) = rest.split_at(length);
        if unit.first().is_some_and(|header| (1..=5).contains(&(header & 0x1F))) {
            out.extend_from_slice(unit);
        }
        sample = tail;
    }
    out
}

fn same_track(output: &[Packet], source: &[Packet], continuous: bool) -> Result<()> {
    ensure!(output.len() == source.len(), "{} packets, not {}", output.len(), source.len());
    for (number, (out, expected)) in output.iter().zip(source).enumerate() {
        ensure!(out.essence == expected.essence, "packet {number} has other bytes");
        if continuous {
            let decode = (out.decode - expected.decode).abs();
            ensure!(
                decode < TICK,
                "packet {number} is decoded at {}, not {}",
                out.decode,
                expected.decode
            );
            let present = (out.present - expected.present).abs();
            ensure!(
                present < TICK,
                "packet {number} is shown at {}, not {}",
                out.present,
                expected.present
            );
        }
    }
    // A clock that is the same as the reference's was compared already.
    if continuous { Ok(()) } else { steady(output) }
}

/// The clock goes on by less than a tenth of a second at a time, and never stands still: no gap and no jump,
/// wherever segments meet.
fn steady(packets: &[Packet]) -> Result<()> {
    let mut shown: Vec<_> = packets.iter().map(|packet| packet.present).collect();
    shown.sort_unstable_by(f64::total_cmp);
    let decoded: Vec<_> = packets.iter().map(|packet| packet.decode).collect();
    for (what, times) in [("decoding", decoded), ("presentation", shown)] {
        for pair in times.windows(2) {
            let step = pair[1] - pair[0];
            ensure!(step > 0.0 && step < 0.1, "the {what} clock steps by {step} s at {} s", pair[0]);
        }
    }
    Ok(())
}

/// The six cues of the clip, as WebVTT or SubRip, each at its time on the output's clock.
pub(crate) fn cues(text: &str) -> Result<()> {
    let sub_rip = !text.starts_with("WEBVTT");
    let blocks = text.split("\n\n").filter(|block| block.contains("-->"));
    let found: Vec<_> = blocks.map(cue).collect::<Option<_>>().context("a cue that cannot be read")?;
    ensure!(found.len() == 6, "{} cues, not 6", found.len());
    let ampersand = if sub_rip { "&" } else { "&amp;" };
    let second = format!("b <i>two</i> {ampersand} three");
    for (number, (label, start, end, said)) in (0_u8..).zip(&found) {
        let (segment, words) = (number / 2, ["a one", &second][usize::from(number % 2)]);
        ensure!(*said == format!("{segment}{words}"), "cue {number} says {said:?}");
        let second = f64::from(number) * 2.0;
        // Sound begins a packet before the picture, and the fragmented packaging 62 ms after its clock's zero.
        let good = (start - second - 0.25).abs() < 0.065 && (end - second - 1.75).abs() < 0.065;
        ensure!(good, "cue {number} is shown from {start} to {end}");
        ensure!(
            !sub_rip || *label == (number + 1).to_string(),
            "cue {number} has the number {label:?}"
        );
    }
    Ok(())
}

/// What stands before the times, the times, and the text.
fn cue(block: &str) -> Option<(String, f64, f64, String)> {
    let (label, cue) = block.split_at(
        block
            .lines()
            .take_while(|line| !line.contains("-->"))
            .map(|line| line.len() + 1)
            .sum(),
    );
    let mut lines = cue.lines();
    let (start, end) = lines.next()?.split_once(" --> ")?;
    Some((
        label.trim().to_owned(),
        seconds(start)?,
        seconds(end.split(' ').next()?)?,
        lines.collect::<Vec<_>>().join("\n"),
    ))
}

/// `HH:MM:SS.mmm`, the hours optional; SubRip has a comma.
fn seconds(text: &str) -> Option<f64> {
    text.replace(',', ".")
        .split(':')
        .try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_film_is_the_same_as_its_fragmented_packaging() {
        let film = fixture_server::Clip::get().unwrap().file("film.mp4").unwrap();
        mp4(&film, &[Reference::all("high-ts")]).unwrap();
        mp4(&film, &[Reference::all("video-ts"), Reference::all("main-audio-ts")]).unwrap();
    }

    #[test]
    fn other_sound_fewer_tracks_and_fewer_packets_are_noticed() {
        let film = fixture_server::Clip::get().unwrap().file("film.mp4").unwrap();
        for wrong in [
            vec![Reference::all("video-ts"), Reference::all("alt-audio-ts")],
            vec![Reference::all("video-ts")],
            vec![Reference::some("high-ts", &[0, 1, 2, 3, 4])],
            vec![Reference::all("low-ts")],
        ] {
            mp4(&film, &wrong).unwrap_err();
        }
    }

    #[test]
    fn the_clips_own_cues_pass_and_shifted_ones_do_not() {
        let folder = fixture_server::Clip::get().unwrap().folder("subs-en").unwrap();
        let text: String = folder.segments.iter().map(|bytes| String::from_utf8_lossy(bytes) + "\n").collect();
        cues(&text).unwrap();
        cues(&text.replace("00:00:04.250", "00:00:04.350")).unwrap_err();
        cues(&text.replace("1a one", "one")).unwrap_err();
        let sub_rip = |number: u8| {
            let (second, segment) = (number * 2, number / 2);
            let words = ["a one", "b <i>two</i> & three"][usize::from(number % 2)];
            let (start, end) = (format!("00:00:{second:02},250"), format!("00:00:{:02},750", second + 1));
            format!("{}\n{start} --> {end}\n{segment}{words}\n\n", number + 1)
        };
        let text: String = (0..6).map(sub_rip).collect();
        cues(&text).unwrap();
        cues(&text.replace("\n5\n", "\n4\n")).unwrap_err();
    }

    #[test]
    fn the_first_different_byte_is_told() {
        let error = same_bytes(b"abcd", b"abxd").unwrap_err().to_string();
        assert!(error.contains("part at byte 2"), "{error}");
    }
}
