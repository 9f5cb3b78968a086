//! Outputs of several files: folders that play by themselves, and files that are split.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::path::Path;
use std::process::Command;

use e2e::bench::{Bench, names};
use e2e::{Reference, ffmpeg};
use fixture_server::{Config, Fault, Rule};

/// The files that a Media Playlist of the archive names, concatenated: initialization sections where they stand.
fn played(playlist: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(playlist).unwrap();
    assert!(
        !text.contains("://") && !text.contains("EXT-X-KEY") && !text.contains("BYTERANGE"),
        "{text}"
    );
    let (mut bytes, mut gap) = (Vec::new(), false);
    for line in text.lines() {
        let name = match line.strip_prefix("#EXT-X-MAP:URI=\"") {
            Some(name) => name.trim_end_matches('"'),
            None if line.starts_with('#') => {
                gap |= line == "#EXT-X-GAP";
                continue;
            }
            None => line,
        };
        let path = playlist.with_file_name(name);
        assert_eq!(path.exists(), !gap, "{name}");
        if !std::mem::take(&mut gap) {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}

/// Digests of the packets of each stream, as ffmpeg reads them from a file or a playlist.
fn packets(path: &Path) -> String {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-xerror", "-i"]).arg(path);
    let output = ffmpeg
        .args(["-map", "0:v?", "-map", "0:a?", "-c", "copy", "-f", "streamhash", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "ffmpeg says of {}: {said}",
        path.display()
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_folder_has_the_clear_segments_and_plays_as_the_stream_does() {
    let both = |video, audio| vec![("video", Reference::all(video)), ("audio-en", Reference::all(audio))];
    let one = |name| vec![("video", Reference::all(name))];
    for (stream, tracks) in [
        ("plain-ts", one("high-ts")),
        ("variants", one("high-ts")),
        ("byte-ranges", one("high-ts")),
        ("fmp4", one("high-fmp4")),
        ("fmp4-byte-ranges", one("high-fmp4")),
        ("aes-rotation", one("high-ts")),
        ("aes-fmp4-init", one("high-fmp4")),
        ("alternate-audio", both("video-ts", "main-audio-ts")),
        ("alternate-audio-fmp4", both("video-fmp4", "main-audio-fmp4")),
        ("discontinuity", vec![("video", Reference::some("high-ts", &[3, 4, 5, 0, 1, 2]))]),
        ("gap", vec![("video", Reference::some("high-ts", &[0, 1, 3, 4, 5]))]),
    ] {
        let bench = Bench::new(Vec::new());
        let entry = format!("/s/{stream}/index.m3u8");
        let finished = bench.fetch(&["--format", "hls", "-o", "film"], &entry).await;
        assert_eq!(finished.code, Some(0), "{stream}: {}", finished.stderr);
        assert_eq!(names(bench.folder()), ["film"]);
        for (folder, reference) in &tracks {
            let found = played(&bench.path(&format!("film/{folder}/index.m3u8")));
            assert!(found == reference.bytes().unwrap(), "{stream}: the segments of {folder} are others");
        }
        // From its own folder it is the stream that it was.
        let again = bench.run(&["-o", "again.mp4", "film/index.m3u8"]).await;
        assert_eq!(again.code, Some(0), "{stream}: {}", again.stderr);
        let first = bench.fetch(&["-o", "first.mp4"], &entry).await;
        assert_eq!(first.code, Some(0), "{stream}: {}", first.stderr);
        assert!(
            bench.read("again.mp4") == bench.read("first.mp4"),
            "{stream}: the folder plays otherwise"
        );
        // Of a discontinuity and a gap ffmpeg has its own opinion.
        if ffmpeg::installed() && !["discontinuity", "gap"].contains(&stream) {
            let source = bench.path("source");
            let mut expected = Vec::new();
            for (_, reference) in &tracks {
                std::fs::write(&source, reference.bytes().unwrap()).unwrap();
                expected.push(packets(&source));
            }
            let found = packets(&bench.path("film/index.m3u8"));
            for hash in expected.iter().flat_map(|text| text.lines()) {
                let hash = hash.rsplit(',').next().unwrap();
                assert!(found.contains(hash), "{stream}: {hash} is not in {found}");
            }
        }
    }
}

#[tokio::test]
async fn subtitles_dates_and_date_ranges_are_in_the_folder() {
    let bench = Bench::new(Vec::new());
    let finished = bench.fetch(&["--subs", "all", "-o", "film.hls"], "/s/subtitles/index.m3u8").await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(names(&bench.path("film.hls")), ["index.m3u8", "subtitles-en", "video"]);
    let text = String::from_utf8(bench.read("film.hls/index.m3u8")).unwrap();
    assert!(
        text.contains("TYPE=SUBTITLES,GROUP-ID=\"subtitles\",LANGUAGE=\"en\",NAME=\"English\""),
        "{text}"
    );
    let again = bench.run(&["--subs", "all", "-o", "again.srt", "film.hls/index.m3u8"]).await;
    let first = bench.fetch(&["--subs", "all", "-o", "first.srt"], "/s/subtitles/index.m3u8").await;
    assert_eq!((again.code, first.code), (Some(0), Some(0)), "{}", again.stderr);
    assert!(bench.read("again.srt") == bench.read("first.srt"));

    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:00Z\n\
        #EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-01-01T12:00:00Z\",X-TITLE=\"First\"\n#EXTINF:2,\nfirst.ts\n#EXT-X-ENDLIST\n";
    std::fs::write(bench.path("dated.m3u8"), playlist).unwrap();
    std::fs::write(bench.path("first.ts"), Reference::some("high-ts", &[0]).bytes().unwrap()).unwrap();
    let finished = bench.run(&["--format", "hls", "-o", "dated", "dated.m3u8"]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let text = String::from_utf8(bench.read("dated/video/index.m3u8")).unwrap();
    let expected = "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:00.000Z\n\
        #EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-01-01T12:00:00.000Z\",X-TITLE=\"First\"\n#EXTINF:2,\n00000.ts\n#EXT-X-ENDLIST\n";
    assert!(text.ends_with(expected), "{text}");
}

#[tokio::test]
async fn a_segment_that_cannot_be_had_is_a_gap_of_the_folder() {
    let bench = Bench::new(vec![Rule::new("*/2.ts", Fault::status(404))]);
    let args = ["--format", "hls", "-o", "film", "--on-missing", "gap"];
    let finished = bench.fetch(&args, "/s/plain-ts/index.m3u8").await;
    assert_eq!(finished.code, Some(3), "{}", finished.stderr);
    let found = played(&bench.path("film/video/index.m3u8"));
    assert!(found == Reference::some("high-ts", &[0, 1, 3, 4, 5]).bytes().unwrap());
}

#[tokio::test]
async fn a_folder_stands_whole_or_not_at_all_and_replaces_nothing() {
    let bench = Bench::new(vec![Rule::new("*/plain-ts/4.ts", Fault::status(404))]);
    let args = ["--format", "hls", "-o", "film", "--overwrite"];
    let failed = bench.fetch(&args, "/s/plain-ts/index.m3u8").await;
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_eq!(names(bench.folder()), ["film.part", "film.part.journal"]);
    std::fs::create_dir(bench.path("film.hls")).unwrap();
    std::fs::write(bench.path("film.hls/precious"), "precious").unwrap();
    std::fs::write(bench.path("taken"), "precious").unwrap();
    let refused = bench
        .fetch(&["--format", "hls", "-o", "taken", "--overwrite"], "/s/low-ts/index.m3u8")
        .await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("is not replaced by a folder"), "{}", refused.stderr);
    // A folder that is there takes the stream under a name of its own.
    let inside = bench.fetch(&["--format", "hls", "-o", "film.hls"], "/s/low-ts/index.m3u8").await;
    assert_eq!(inside.code, Some(0), "{}", inside.stderr);
    assert_eq!(names(&bench.path("film.hls")), ["index.hls", "precious"]);
    let refused = bench.fetch(&["--format", "hls", "-o", "-"], "/s/low-ts/index.m3u8").await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}

#[tokio::test]
async fn a_stream_is_split_where_it_is_discontinuous() {
    let turned = [("high-ts", [3, 4, 5]), ("high-ts", [0, 1, 2])];
    // Other codec parameters, of which the playlist says nothing.
    let changed = [("high-ts", [0, 1, 2]), ("low-ts", [3, 4, 5])];
    let segments = changed
        .iter()
        .flat_map(|(folder, order)| order.map(|number| format!("#EXTINF:2,\n/media/{folder}/{number}.ts\n")));
    let list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}#EXT-X-ENDLIST\n", segments.collect::<String>());
    for (at, path, extension, parts) in [
        ("discontinuity", "/s/discontinuity/index.m3u8", "mp4", turned),
        ("discontinuity", "/s/discontinuity/index.m3u8", "mkv", turned),
        ("discontinuity", "/s/discontinuity/index.m3u8", "ts", turned),
        ("changes", "/s/discontinuity/index.m3u8", "mp4", turned),
        ("changes", "/changed.m3u8", "mp4", changed),
        ("changes", "/changed.m3u8", "m4s", changed),
        ("changes", "/changed.m3u8", "ts", changed),
    ] {
        let mut config = Config::standard().unwrap();
        config.files.insert("/changed.m3u8".into(), list.clone().into());
        let bench = Bench::with(config);
        let output = format!("film.{extension}");
        let args = ["--split", at, "-o", &output, "--report", "report.json"];
        let finished = bench.fetch(&args, path).await;
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let files = ["001", "002"].map(|number| format!("film.{number}.{extension}"));
        assert_eq!(names(bench.folder()), [files[0].as_str(), &files[1], "report.json"]);
        assert!(finished.stderr.contains(&files[1]), "{}", finished.stderr);
        let report = String::from_utf8(bench.read("report.json")).unwrap();
        assert!(
            report.contains(&format!("\"files\":[\"{}\",\"{}\"]", files[0], files[1])),
            "{report}"
        );
        for (file, (folder, order)) in files.iter().zip(parts) {
            let reference = Reference::some(folder, &order);
            if extension == "ts" {
                assert!(bench.read(file) == reference.bytes().unwrap());
            } else {
                let name = if extension == "m4s" { "mp4" } else { extension };
                reference.judge(&bench.read(file), name).unwrap();
            }
        }
        let again = bench.fetch(&args[..4], path).await;
        assert_eq!(again.code, Some(2), "{}", again.stderr);
    }
}

#[tokio::test]
async fn what_a_window_moved_on_without_takes_nothing_from_what_comes_behind_it() {
    let list = |first: u32, tags: &str, segments: &[u32], end: &str| {
        let segments: String = segments
            .iter()
            .map(|number| format!("#EXTINF:1,\n/s/plain-ts/{number}.ts\n"))
            .collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{tags}{segments}{end}")
    };
    let mut config = Config::standard().unwrap();
    let tags = "#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n\
                #EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-01-01T00:00:00Z\"\n";
    let later = list(6, tags, &[4, 5], "#EXT-X-ENDLIST\n");
    config.files.insert("/live.m3u8".into(), later.into());
    let first = Fault::Body {
        content_type: "application/vnd.apple.mpegurl".into(),
        text: list(1, "", &[1, 2], ""),
    };
    config.rules = vec![Rule::new("/live.m3u8", first).times(1)];
    let bench = Bench::with(config);
    let ran = bench.fetch(&["--format", "hls", "-o", "film"], "/live.m3u8").await;
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let text = String::from_utf8(bench.read("film/video/index.m3u8")).unwrap();
    let (before, after) = text.split_once("#EXT-X-DISCONTINUITY\n").unwrap();
    assert_eq!(before.matches("#EXTINF:").count(), 5, "{text}");
    assert_eq!(before.matches("#EXT-X-GAP\n").count(), 3, "{text}");
    assert!(!before.contains("DATE") && !after.contains("#EXT-X-GAP"), "{text}");
    for tag in ["#EXTINF:", "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00", "#EXT-X-DATERANGE:"] {
        assert_eq!(after.matches(tag).count(), if tag == "#EXTINF:" { 2 } else { 1 }, "{text}");
    }
    assert!(!after.contains("#EXT-X-DISCONTINUITY"), "{text}");
}
