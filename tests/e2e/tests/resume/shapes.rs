//! Whatever a stream is sealed with and whatever is made of it: what a failure breaks off ends with the bytes of an
//! undisturbed run.

use bytes::Bytes;
use fixture_server::Clip;

use super::*;

/// The key of the vectors, in hexadecimal and as a `data:` URI (`crates/decrypt/tests/data/make.sh`).
const KEY: &str = "100b6c20940f779a4589152b57d2dacb";
const BY_KID: &str = "eb676abbcb345e96bbcf616630f1a3da:100b6c20940f779a4589152b57d2dacb";
const BY_DATA: &str = "URI=\"data:application/octet-stream;base64,EAtsIJQPd5pFiRUrV9Layw==\"";
const DRM: &str = "URI=\"data:text/plain;base64,AAAA\",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"";
const IV: &str = "IV=0xd5fbd6b82ed93e4ef98ae40931ee33b7";
/// How often a vector, which is short, is played.
const ROUNDS: usize = 4;

/// Serves a vector as segments of its own under `/sealed/`, one round after the other.
pub(super) fn sealed(vector: &str, keys: &str) -> Config {
    let file = Clip::get().unwrap().file(&format!("vectors/{vector}")).unwrap();
    let mut cuts = Vec::new();
    let mut at = 0;
    if vector.ends_with(".mp4") {
        while let Some((size, rest)) = file[at..].split_first_chunk::<4>() {
            if rest.starts_with(b"moof") {
                cuts.push(at);
            }
            at += usize::try_from(u32::from_be_bytes(*size)).unwrap();
        }
    }
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n{keys}");
    let extension = vector.rsplit('.').next().unwrap();
    let mut config = Config::standard().unwrap();
    let mut serve = |name: String, bytes: Bytes| config.files.insert(format!("/sealed/{name}"), bytes);
    let segments: Vec<Bytes> = if cuts.is_empty() {
        vec![file]
    } else {
        serve("init.mp4".into(), file.slice(..cuts[0]));
        text.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
        let ends = cuts.iter().skip(1).copied().chain([file.len()]);
        cuts.iter().zip(ends).map(|(start, end)| file.slice(*start..end)).collect()
    };
    let mut number = 0;
    for round in 0..ROUNDS {
        text.push_str(if round > 0 { "#EXT-X-DISCONTINUITY\n" } else { "" });
        for segment in &segments {
            text.push_str(&format!("#EXTINF:1.0,\n{number}.{extension}\n"));
            serve(format!("{number}.{extension}"), segment.clone());
            number += 1;
        }
    }
    text.push_str("#EXT-X-ENDLIST\n");
    serve("index.m3u8".into(), text.into());
    config
}

pub(super) fn key(method: &str, attributes: &str) -> String {
    format!("#EXT-X-KEY:METHOD={method},{attributes}\n")
}

struct Shape {
    name: &'static str,
    config: Config,
    path: &'static str,
    /// The segment that cannot be had at first.
    lost: &'static str,
    args: &'static [&'static str],
    outputs: &'static [&'static str],
}

fn shapes() -> Vec<Shape> {
    let vector = |name, vector: &str, keys: &str, lost, args, outputs| Shape {
        name,
        config: sealed(vector, keys),
        path: "/sealed/index.m3u8",
        lost,
        args,
        outputs,
    };
    let stream = |name, path, lost, args, outputs| Shape {
        name,
        config: Config::standard().unwrap(),
        path,
        lost,
        args,
        outputs,
    };
    let (ctr, cbc) = (key("SAMPLE-AES-CTR", BY_DATA), key("SAMPLE-AES", BY_DATA));
    let samples = key("SAMPLE-AES", &format!("{BY_DATA},{IV}"));
    vec![
        vector("cenc", "cenc-video.mp4", &ctr, "*/5.mp4", &["-o", "out.mp4"], &["out.mp4"]),
        vector(
            "cens",
            "cens-video.mp4",
            &ctr,
            "*/3.mp4",
            &["-o", "out.mp4", "--format", "fmp4"],
            &["out.mp4"],
        ),
        vector("cbcs", "cbcs-video.mp4", &cbc, "*/5.mp4", &["-o", "out.mp4"], &["out.mp4"]),
        vector("cbcs to MPEG-TS", "cbcs-video.mp4", &cbc, "*/4.mp4", &["-o", "out.ts"], &["out.ts"]),
        vector("a clear lead", "lead-video.mp4", &cbc, "*/1.mp4", &["-o", "out.mp4"], &["out.mp4"]),
        vector(
            "a key by its identifier",
            "cenc-video.mp4",
            &key("SAMPLE-AES-CTR", DRM),
            "*/5.mp4",
            &["-o", "out.mp4", "--key", BY_KID],
            &["out.mp4"],
        ),
        vector(
            "SAMPLE-AES video",
            "video-sealed.ts",
            &samples,
            "*/2.ts",
            &["-o", "out.mp4"],
            &["out.mp4"],
        ),
        vector(
            "SAMPLE-AES video as it is",
            "video-sealed.ts",
            &samples,
            "*/2.ts",
            &["-o", "out.ts"],
            &["out.ts"],
        ),
        vector(
            "SAMPLE-AES sound",
            "aac-sealed.ts",
            &samples,
            "*/3.ts",
            &["-o", "out.mp4"],
            &["out.mp4"],
        ),
        vector(
            "SAMPLE-AES packed",
            "aac-sealed.aac",
            &samples,
            "*/2.aac",
            &["-o", "out.m4a"],
            &["out.m4a"],
        ),
        vector(
            "SAMPLE-AES AC-3",
            "ac3-sealed.ac3",
            &samples,
            "*/2.ac3",
            &["-o", "out.ac3"],
            &["out.ac3"],
        ),
        stream(
            "AES-128 with keys that rotate",
            "/s/aes-rotation-sequence-iv/index.m3u8",
            "*/3.ts",
            &["-o", "out.ts"],
            &["out.ts"],
        ),
        stream(
            "captions",
            "/s/captions/index.m3u8",
            "*/2.ts",
            &["-o", "out.srt", "--captions", "cc1"],
            &["out.srt"],
        ),
        stream(
            "captions inside",
            "/s/captions/index.m3u8",
            "*/2.ts",
            &["-o", "out.mp4", "--captions", "cc1"],
            &["out.mp4"],
        ),
        stream(
            "captions inside Matroska",
            "/s/captions-fmp4/index.m3u8",
            "*/4.m4s",
            &["-o", "out.mkv", "--captions", "cc3"],
            &["out.mkv"],
        ),
        stream(
            "WebVTT alone",
            "/s/subtitles/index.m3u8",
            "*/2.vtt",
            &["-o", "out.vtt"],
            &["out.vtt"],
        ),
        stream(
            "SubRip alone",
            "/s/subtitles/index.m3u8",
            "*/2.vtt",
            &["-o", "out.srt"],
            &["out.srt"],
        ),
        stream(
            "TTML alone",
            "/s/subtitles-stpp/index.m3u8",
            "*/r0/2.m4s",
            &["-o", "out.vtt"],
            &["out.vtt"],
        ),
        stream(
            "subtitles beside",
            "/s/subtitles-wvtt/index.m3u8",
            "*/r0/2.m4s",
            &["-o", "out.mp4", "--subs", "all", "--subs-format", "srt"],
            &["out.en.srt", "out.mp4"],
        ),
        stream(
            "subtitles inside",
            "/s/subtitles/index.m3u8",
            "*/4.ts",
            &["-o", "out.mp4", "--subs", "all", "--subs-format", "tx3g"],
            &["out.mp4"],
        ),
        stream(
            "fragmented MP4 to MPEG-TS",
            "/s/fmp4/index.m3u8",
            "*/4.m4s",
            &["-o", "out.ts"],
            &["out.ts"],
        ),
        stream(
            "MPEG-TS to fragmented MP4",
            "/s/plain-ts/index.m3u8",
            "*/4.ts",
            &["-o", "out.mp4", "--format", "fmp4"],
            &["out.mp4"],
        ),
        stream(
            "the sound alone",
            "/s/plain-ts/index.m3u8",
            "*/4.ts",
            &["-o", "out.m4a"],
            &["out.m4a"],
        ),
        stream("AAC alone", "/s/plain-ts/index.m3u8", "*/4.ts", &["-o", "out.aac"], &["out.aac"]),
        stream(
            "as it comes",
            "/s/plain-ts/index.m3u8",
            "*/4.ts",
            &["-o", "out.bin", "--format", "raw"],
            &["out.bin"],
        ),
        stream(
            "separate sound",
            "/s/alternate-audio/index.m3u8",
            "*/r1/4.ts",
            &["-o", "out.ts"],
            &["out.ts"],
        ),
        stream(
            "byte ranges",
            "/s/discontinuity/index.m3u8",
            "*/2.ts",
            &["-o", "out.mp4"],
            &["out.mp4"],
        ),
    ]
}

#[tokio::test]
async fn every_shape_is_taken_up_where_a_failure_broke_it_off() {
    for shape in shapes() {
        let whole = Bench::with(shape.config.clone());
        let finished = whole.fetch(shape.args, shape.path).await;
        assert_eq!(finished.code, Some(0), "{}: {}", shape.name, finished.stderr);

        let bench = Bench::with(shape.config);
        bench.server.set_rules(vec![Rule::new(shape.lost, Fault::status(404))]);
        let broken = bench.fetch(shape.args, shape.path).await;
        assert_eq!(broken.code, Some(1), "{}: {}", shape.name, broken.stderr);
        assert!(broken.stderr.contains("carries on"), "{}: {}", shape.name, broken.stderr);
        let before = bench.asked("*");
        bench.server.set_rules(Vec::new());
        let again = bench.fetch(shape.args, shape.path).await;
        assert_eq!(again.code, Some(0), "{}: {}", shape.name, again.stderr);
        assert_eq!(bench.names(), shape.outputs, "{}", shape.name);
        for output in shape.outputs {
            assert!(
                media(&bench.path(output)) == media(&whole.path(output)),
                "{}: {output} differs",
                shape.name
            );
        }
        assert!(
            bench.asked("*") - before < whole.asked("*"),
            "{}: all of it was fetched again",
            shape.name
        );
    }
}

/// A run that fails at this segment, and what the next says, with other options.
struct Other {
    name: &'static str,
    config: Config,
    path: &'static str,
    lost: &'static str,
    first: &'static [&'static str],
    then: &'static [&'static str],
    code: i32,
    says: &'static str,
}

const WRONG: &str = "00000000000000000000000000000001";
const WRONG_BY_KID: &str = "eb676abbcb345e96bbcf616630f1a3da:00000000000000000000000000000001";
const NEXT_BY_KID: &str = "00000000000000000000000000000007:00000000000000000000000000000001";

#[tokio::test]
async fn another_key_or_option_makes_another_output_and_is_refused() {
    let vector = |name, keys: &str, lost, first, then, code, says| Other {
        name,
        config: sealed("cenc-video.mp4", keys),
        path: "/sealed/index.m3u8",
        lost,
        first,
        then,
        code,
        says,
    };
    let stream = |name, path, first, then, says| Other {
        name,
        config: Config::standard().unwrap(),
        path,
        lost: "*/3.*",
        first,
        then,
        code: 2,
        says,
    };
    let (open, drm) = (key("SAMPLE-AES-CTR", BY_DATA), key("SAMPLE-AES-CTR", DRM));
    let others = [
        vector(
            "a key",
            &drm,
            "*/5.mp4",
            &["--key", KEY],
            &["--key", WRONG],
            2,
            "it was begun with a key of 16 bytes, and now it is another one",
        ),
        vector(
            "a key for a KID",
            &drm,
            "*/5.mp4",
            &["--key", BY_KID],
            &["--key", WRONG_BY_KID],
            2,
            "it was begun with a key for the KID eb676abbcb345e96bbcf616630f1a3da, and now it is another one",
        ),
        vector(
            "a key that is gone",
            &drm,
            "*/5.mp4",
            &["--key", KEY],
            &["--key", BY_KID],
            2,
            "which is not given now",
        ),
        vector(
            "a key that was not there",
            &open,
            "*/5.mp4",
            &[],
            &["--key", KEY],
            2,
            "it was begun without a key of 16 bytes",
        ),
        vector(
            "a key for what comes later",
            &drm,
            "*/5.mp4",
            &["--key", BY_KID],
            &["--key", BY_KID, "--key", NEXT_BY_KID],
            0,
            "whole",
        ),
        vector("the key that was missing", &drm, "-", &[], &["--key", KEY], 0, "whole"),
        vector(
            "the right key after a wrong one",
            &drm,
            "-",
            &["--key", NEXT_BY_KID],
            &["--key", BY_KID],
            0,
            "whole",
        ),
        vector(
            "an IV",
            &open,
            "*/5.mp4",
            &["--iv", "0x1"],
            &["--iv", "0x2"],
            2,
            "it was begun with an IV, and now it is another one",
        ),
        stream("a container", "/s/plain-ts/index.m3u8", &[], &["--format", "fmp4"], "it is Mp4"),
        stream(
            "chapters",
            "/s/plain-ts/index.m3u8",
            &[],
            &["--chapters", "dateranges"],
            "without chapters",
        ),
        stream(
            "how subtitles are coded",
            "/s/subtitles/index.m3u8",
            &["--subs", "all", "--subs-format", "tx3g"],
            &["--subs", "all", "--subs-format", "wvtt"],
            "with subtitles as Wvtt",
        ),
        stream(
            "which captions",
            "/s/captions/index.m3u8",
            &["-o", "out.srt", "--captions", "cc1"],
            &["-o", "out.srt", "--captions", "cc2"],
            "of captions Cc2",
        ),
        stream(
            "whether captions are inside",
            "/s/captions/index.m3u8",
            &["--captions", "cc1"],
            &[],
            "of captions Cc1",
        ),
        stream("which picture", "/s/variants/index.m3u8", &[], &["--video", "worst"], "160x90"),
        stream(
            "which sound",
            "/s/alternate-audio/index.m3u8",
            &["--audio", "lang:en"],
            &["--audio", "lang:de"],
            "in de",
        ),
        stream(
            "no sound",
            "/s/alternate-audio/index.m3u8",
            &[],
            &["--audio", "none"],
            "it has 2 tracks, not 1",
        ),
    ];
    for other in others {
        let bench = Bench::with(other.config);
        let with = |args: &'static [&'static str]| -> Vec<&str> {
            let output: &[&str] = if args.contains(&"-o") { &[] } else { &["-o", "out.mp4"] };
            [output, args].concat()
        };
        bench.server.set_rules(vec![Rule::new(other.lost, Fault::status(404))]);
        let broken = bench.fetch(&with(other.first), other.path).await;
        assert_eq!(broken.code, Some(1), "{}: {}", other.name, broken.stderr);
        let part = bench
            .names()
            .into_iter()
            .find(|name| name.ends_with(".part"))
            .map(|name| (media(&bench.path(&name)), name));
        bench.server.set_rules(Vec::new());
        let then = bench.fetch(&with(other.then), other.path).await;
        assert_eq!(then.code, Some(other.code), "{}: {}", other.name, then.stderr);
        assert!(then.stderr.contains(other.says), "{}: {}", other.name, then.stderr);
        for secret in [KEY, WRONG] {
            assert!(!then.stderr.contains(secret), "{}: {}", other.name, then.stderr);
        }
        if let Some((bytes, name)) = part.filter(|_| other.code == 2) {
            assert!(media(&bench.path(&name)) == bytes, "{}: it was touched", other.name);
            let journal = media(&bench.path(&format!("{name}.journal")));
            let key = u128::from_str_radix(KEY, 16).unwrap().to_be_bytes();
            assert!(
                !journal.windows(16).any(|bytes| bytes == key),
                "{}: the journal has the key",
                other.name
            );
        }
    }
}
