//! Damage in files whose samples lie in the order of time: what it takes to make a segment again are a few of each track.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use e2e::ffmpeg;
use fixture_server::Config;

use super::*;

/// Seconds of the film, and of each of its segments.
const SECONDS: u32 = 48;
const SEGMENT: u32 = 2;

/// A film of many segments, made by ffmpeg.
#[derive(Clone, Copy)]
pub(super) struct Film {
    /// `ts` or `m4s`.
    pub(super) kind: &'static str,
    /// Sound has a playlist of its own.
    pub(super) apart: bool,
    /// Of the sound.
    pub(super) rate: u32,
    /// Position of segments that begin a period, in the playlist alone: times go on.
    pub(super) discontinuities: &'static [u64],
    /// Position of a segment that is declared as a gap.
    pub(super) gap: Option<u64>,
}

pub(super) const FILM: Film = Film {
    kind: "ts",
    apart: false,
    rate: 48_000,
    discontinuities: &[],
    gap: None,
};

impl Film {
    /// A server that has it as `/film/main.m3u8`.
    pub(super) fn bench(self) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::standard().unwrap();
        let picture = format!("testsrc2=size=64x48:rate=25:duration={SECONDS}");
        let sound = format!("sine=frequency=440:sample_rate={}:duration={SECONDS}", self.rate);
        let all = folder.path().join("all.mp4");
        let mut encode = Command::new("ffmpeg");
        encode.args([
            "-loglevel",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            &picture,
            "-f",
            "lavfi",
            "-i",
            &sound,
        ]);
        encode.args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-bf",
            "2",
            "-g",
            "50",
            "-keyint_min",
            "50",
            "-sc_threshold",
            "0",
        ]);
        assert!(
            encode
                .args(["-pix_fmt", "yuv420p", "-c:a", "aac"])
                .arg(&all)
                .status()
                .unwrap()
                .success()
        );
        let maps: &[(&str, &[&str])] = if self.apart {
            &[("video", &["-map", "0:v"]), ("audio", &["-map", "0:a"])]
        } else {
            &[("video", &["-map", "0"])]
        };
        let mut main = String::from("#EXTM3U\n");
        if self.apart {
            main += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Main\",DEFAULT=YES,URI=\"audio/index.m3u8\"\n";
        }
        let group = if self.apart { ",AUDIO=\"a\"" } else { "" };
        main += &format!("#EXT-X-STREAM-INF:BANDWIDTH=100000{group}\nvideo/index.m3u8\n");
        config.files.insert("/film/main.m3u8".into(), main.into());
        for (name, map) in maps {
            self.package(&all, folder.path(), name, map);
            for entry in std::fs::read_dir(folder.path().join(name)).unwrap() {
                let path = entry.unwrap().path();
                let file = path.file_name().unwrap().to_str().unwrap();
                let mut bytes = std::fs::read(&path).unwrap();
                if file == "index.m3u8" {
                    bytes = self.list(&String::from_utf8(bytes).unwrap()).into();
                }
                config.files.insert(format!("/film/{name}/{file}"), bytes.into());
            }
        }
        Bench::with(config)
    }

    fn package(self, all: &Path, folder: &Path, name: &str, map: &[&str]) {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        let kind = if self.kind == "ts" { "mpegts" } else { "fmp4" };
        let length = SEGMENT.to_string();
        let mut package = Command::new("ffmpeg");
        package.args(["-loglevel", "error", "-nostdin", "-i"]).arg(all).args(map);
        package.args([
            "-c",
            "copy",
            "-f",
            "hls",
            "-hls_time",
            &length,
            "-hls_list_size",
            "0",
            "-hls_segment_type",
            kind,
        ]);
        package.args(["-hls_segment_filename", &format!("%d.{}", self.kind), "index.m3u8"]);
        assert!(package.current_dir(&folder).status().unwrap().success());
    }

    /// The playlist with what it says of periods and gaps.
    fn list(self, list: &str) -> String {
        let mut position = 0;
        let mut out = String::new();
        for line in list.lines() {
            if line.starts_with("#EXTINF") {
                if self.discontinuities.contains(&position) {
                    out += "#EXT-X-DISCONTINUITY\n";
                }
                if self.gap == Some(position) {
                    out += "#EXT-X-GAP\n";
                }
                position += 1;
            }
            out += &format!("{line}\n");
        }
        out
    }
}

/// The tracks of a file, and how many segments each has.
fn tracks(made: &Made) -> BTreeMap<u64, u64> {
    let mut tracks = BTreeMap::new();
    for unit in made.units().iter().filter(|unit| unit.get("init").is_none()) {
        *tracks.entry(unit["track"].as_u64().unwrap()).or_default() += 1;
    }
    tracks
}

/// Damages segments of tracks, each in the middle of what it brought, and has them mended in place of so many segments at most.
async fn is_mended(made: &Made, name: &str, damaged: &[(u64, u64)], most: usize) {
    // What waits for another track stands with what that brings.
    let brought = |(track, msn): &&(u64, u64)| made.piece(*track, *msn).1 > 0;
    let damaged: Vec<(u64, u64)> = damaged.iter().filter(brought).copied().collect();
    let middle = |(track, msn): &(u64, u64)| {
        let (offset, length) = made.piece(*track, *msn);
        // What the first brings in front of its samples is the head.
        offset + length - (length / 3).clamp(1, 200)
    };
    if damaged.is_empty() {
        return;
    }
    let name = format!("{name}: {damaged:?}");
    made.flip(&damaged.iter().map(middle).collect::<Vec<_>>());
    let before = made.bench.segments();
    let finished = made.bench.run(&["repair", made.output]).await;
    assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
    assert!(
        finished.stderr.contains(&format!("places mended: {}", damaged.len())),
        "{name}: {}",
        finished.stderr
    );
    made.is_whole(&name);
    let asked = made.bench.segments() - before;
    assert!(asked <= most, "{name}: {asked} segments were asked for");
    assert_eq!(made.names(), 2, "{name}: something was left behind");
}

#[tokio::test]
async fn a_damaged_segment_takes_a_few_of_each_track() {
    if !ffmpeg::installed() {
        return;
    }
    let (fmp4, apart) = (Film { kind: "m4s", ..FILM }, Film { apart: true, ..FILM });
    for (name, output, film) in [
        ("MPEG-TS", "out.mkv", FILM),
        ("fragmented MP4", "out.mkv", fmp4),
        ("MPEG-TS, sound apart", "out.mkv", apart),
        ("fragmented MP4, sound apart", "out.mkv", Film { apart: true, ..fmp4 }),
        ("sound alone", "out.mka", apart),
        ("fragmented MP4", "out.ts", fmp4),
        ("MPEG-TS, sound apart", "out.ts", apart),
        ("fragmented MP4, sound apart", "out.ts", Film { apart: true, ..fmp4 }),
        ("MPEG-TS", "out.m4s", FILM),
        ("MPEG-TS, sound apart", "out.m4s", apart),
        ("fragmented MP4, sound apart", "out.m4s", Film { apart: true, ..fmp4 }),
    ] {
        let name = &format!("{name} to {output}");
        let made = Made::by(film.bench(), output, "/film/main.m3u8", &[], 0).await;
        let tracks = tracks(&made);
        for (track, segments) in &tracks {
            let last = segments - 1;
            assert!(last > 20, "{name}: {segments} segments");
            for damaged in [&[0][..], &[1], &[11], &[11, 12], &[7, 17], &[last]] {
                let damaged: Vec<(u64, u64)> = damaged.iter().map(|msn| (*track, *msn)).collect();
                // The first of each track, two in front of each that is damaged, and the damaged ones.
                let most = tracks.len() * (1 + 3 * damaged.len());
                is_mended(&made, name, &damaged, most).await;
            }
        }
    }
}

#[tokio::test]
async fn what_stands_behind_discontinuities_and_gaps_is_mended_where_they_put_it() {
    if !ffmpeg::installed() {
        return;
    }
    let apart = Film { apart: true, ..FILM };
    let periods = |film| Film {
        discontinuities: &[6, 12],
        ..film
    };
    for (name, output, film) in [
        ("periods of MPEG-TS", "out.mkv", periods(FILM)),
        ("periods, sound apart", "out.mkv", periods(apart)),
        ("periods, sound apart", "out.ts", periods(apart)),
        ("periods of MPEG-TS", "out.m4s", periods(FILM)),
        ("a gap of MPEG-TS", "out.mkv", Film { gap: Some(9), ..FILM }),
        ("a gap, sound apart", "out.mkv", Film { gap: Some(9), ..apart }),
        ("a gap, sound apart", "out.ts", Film { gap: Some(9), ..apart }),
        ("a gap of MPEG-TS", "out.m4s", Film { gap: Some(9), ..FILM }),
        ("44.1 kHz", "out.mkv", Film { rate: 44_100, ..FILM }),
        ("44.1 kHz, sound apart", "out.mkv", Film { rate: 44_100, ..apart }),
        ("44.1 kHz, sound apart", "out.ts", Film { rate: 44_100, ..apart }),
    ] {
        let name = &format!("{name} to {output}");
        let made = Made::by(film.bench(), output, "/film/main.m3u8", &[], 0).await;
        for damaged in [4, 6, 7, 10, 11, 12, 18] {
            is_mended(&made, name, &[(0, damaged)], 14).await;
        }
    }
}

#[tokio::test]
async fn where_times_start_over_each_period_tells_where_it_goes_on() {
    for (name, output, stream, repeat, damaged) in [
        ("one track", "out.mkv", "plain-ts", 10, &[13, 24, 29, 30, 59][..]),
        ("fragmented MP4", "out.mkv", "fmp4", 10, &[30, 33]),
        ("sound apart", "out.mkv", "alternate-audio", 8, &[13, 24, 29, 30]),
        ("sound apart, fragmented MP4", "out.mkv", "alternate-audio-fmp4", 8, &[30, 32]),
        ("sound apart", "out.ts", "alternate-audio", 8, &[13, 24, 30]),
        ("fragmented MP4", "out.ts", "fmp4", 8, &[13, 24]),
        ("one track", "out.m4s", "plain-ts", 8, &[13, 24]),
    ] {
        let name = &format!("{name} to {output}");
        let mut config = Config::standard().unwrap();
        let mut again = config.streams[stream].clone();
        again.repeat = repeat;
        config.streams.insert("again".into(), again);
        let made = Made::by(Bench::with(config), output, "/s/again/index.m3u8", &[], 0).await;
        let (tracks, segments) = (tracks(&made).len(), made.units().len());
        for msn in damaged {
            // Besides what any other takes, the last of each track in front of each period, and the first behind it.
            let periods = usize::try_from(*msn).unwrap() / 6;
            let most = 4 * tracks + periods * (tracks + 1);
            assert!(most < segments * 3 / 4, "{name}: {segments}");
            is_mended(&made, name, &[(0, *msn)], most).await;
        }
    }
}

#[tokio::test]
async fn what_waited_to_the_end_is_mended_with_the_last_segments_where_no_index_stands_with_it() {
    if !ffmpeg::installed() {
        return;
    }
    let (fmp4, apart) = (Film { kind: "m4s", ..FILM }, Film { apart: true, ..FILM });
    for (name, output, film) in [
        ("fragmented MP4", "out.ts", fmp4),
        ("MPEG-TS, sound apart", "out.ts", apart),
        ("MPEG-TS", "out.m4s", FILM),
        ("MPEG-TS, sound apart", "out.m4s", apart),
    ] {
        let name = &format!("{name} to {output}");
        let made = Made::by(film.bench(), output, "/film/main.m3u8", &[], 0).await;
        let tracks = tracks(&made);
        let (track, segments) = tracks.iter().next_back().unwrap();
        let (last, _) = made.piece(*track, segments - 1);
        if made.report["outputs"][0]["tail"]["length"]
            .as_u64()
            .is_some_and(|length| length > 0)
        {
            made.flip(&[made.whole.len() - 1]);
            let before = made.bench.segments();
            made.repair(&[], 0, "places mended: 1").await;
            made.is_whole(name);
            assert!(made.bench.segments() - before <= 3 * tracks.len(), "{name}: the end");
        }
        // With the last segments.
        made.write(&made.whole[..last - 1000]);
        let before = made.bench.segments();
        made.repair(&[], 0, "places mended: ").await;
        made.is_whole(name);
        assert!(made.bench.segments() - before <= 5 * tracks.len(), "{name}: cut off");
    }
}

#[tokio::test]
async fn captions_and_subtitles_inside_take_what_is_shown_with_them() {
    for (output, stream, args) in [
        ("out.mp4", "captions", &["--captions", "cc1"][..]),
        ("out.mp4", "captions-fmp4", &["--captions", "cc3"]),
        ("out.mkv", "captions", &["--captions", "cc1"]),
        ("out.mkv", "captions-fmp4", &["--captions", "cc3"]),
        ("out.mkv", "subtitles", &["--subs", "all"]),
        ("out.mkv", "subtitles-wvtt", &["--subs", "all"]),
    ] {
        let name = &format!("{stream} to {output}");
        let mut config = Config::standard().unwrap();
        let mut again = config.streams[stream].clone();
        again.repeat = 6;
        config.streams.insert("again".into(), again);
        let made = Made::by(Bench::with(config), output, "/s/again/index.m3u8", args, 0).await;
        for damaged in [&[0][..], &[9], &[16], &[20, 21]] {
            let damaged: Vec<(u64, u64)> = damaged.iter().map(|msn| (0, *msn)).collect();
            is_mended(&made, name, &damaged, 24).await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_had_or_is_another_now_leaves_the_file_as_it_is() {
    if !ffmpeg::installed() {
        return;
    }
    for (output, film) in [("out.mkv", Film { apart: true, ..FILM }), ("out.m4s", FILM)] {
        let made = Made::by(film.bench(), output, "/film/main.m3u8", &[], 0).await;
        let (offset, length) = made.piece(0, 11);
        assert!(length > 0, "{output}");
        let damaged = made.flip(&[offset + length / 2]);
        // One in front, and the damaged one itself.
        for gone in [10, 11] {
            let segment = format!("/film/video/{gone}.ts");
            made.bench.server.set_rules(vec![Rule::new(&*segment, Fault::status(404))]);
            let (before, asked) = (made.bench.segments(), made.bench.asked(&segment));
            let refused = made.repair(&[], 1, "not mended: segment 11 of track 0: ").await;
            assert!(refused.stderr.contains("status 404"), "{output}: {}", refused.stderr);
            assert!(made.bench.read(output) == damaged, "{output}: it was touched");
            let others = made.bench.segments() - before - (made.bench.asked(&segment) - asked);
            assert!(others <= 8, "{output}: {others} segments");
        }
        let other = Fault::Redirect {
            status: 302,
            to: "/film/video/12.ts".into(),
        };
        made.bench.server.set_rules(vec![Rule::new("/film/video/11.ts", other)]);
        made.repair(&[], 1, "what is fetched now does not make the bytes that it had").await;
        assert!(made.bench.read(output) == damaged, "{output}: it was touched");
        assert_eq!(made.names(), 2, "{output}: something was left behind: {:?}", made.bench.names());
        made.bench.server.set_rules(Vec::new());
        is_mended(&made, output, &[(0, 11)], 8).await;
    }
}

#[tokio::test]
async fn what_is_damaged_beside_a_segment_that_is_still_missing_is_mended_without_it() {
    if !ffmpeg::installed() {
        return;
    }
    for (output, film) in [("out.mkv", Film { apart: true, ..FILM }), ("out.m4s", FILM)] {
        let bench = film.bench();
        let gone = "/film/video/9.ts";
        bench.server.set_rules(vec![Rule::new(gone, Fault::status(404))]);
        let made = Made::by(bench, output, "/film/main.m3u8", &["--on-missing", "gap"], 3).await;
        for msn in [8, 10, 11, 12] {
            let (offset, length) = made.piece(0, msn);
            if length == 0 {
                continue;
            }
            made.flip(&[offset + length / 2]);
            let (before, asked) = (made.bench.segments(), made.bench.asked(gone));
            let mended = made.repair(&[], 3, "places mended: 1").await;
            made.is_whole(&format!("{output}: {msn}"));
            let others = made.bench.segments() - before - (made.bench.asked(gone) - asked);
            // Those around the missing one are fetched before it is known that it is still gone.
            let most = if film.apart { 30 } else { 16 };
            assert!(others <= most, "{output}: {msn}: {others} segments: {}", mended.stderr);
        }
    }
}
