//! Subtitles: beside the film and alone, whatever they come in.

use super::*;

/// Captions in two channels, and in a service that nobody here reads.
const CAPTIONS: &str = "#EXTM3U\n\
    #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"other\",NAME=\"French\",LANGUAGE=\"fr\",INSTREAM-ID=\"CC2\"\n\
    #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"Deutsch\",LANGUAGE=\"de\",INSTREAM-ID=\"CC3\"\n\
    #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"English\",LANGUAGE=\"en-US\",INSTREAM-ID=\"CC1\"\n\
    #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"Spanish\",LANGUAGE=\"es\",INSTREAM-ID=\"SERVICE1\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=100000,CLOSED-CAPTIONS=\"cc\"\n/s/captions/index.m3u8\n";

/// Pictures, sound and text, each a stream of its own.
const SEPARATE: &str = "#EXTM3U\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Main\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"/s/alternate-audio/r1/index.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"English\",LANGUAGE=\"en\",URI=\"/s/subtitles/r0/index.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=190000,AUDIO=\"sound\",SUBTITLES=\"text\"\n/s/alternate-audio/v0/index.m3u8\n";

pub(super) fn scenarios() -> Vec<Scenario> {
    let film = || vec![Reference::all("high-ts")];
    let fragmented = || vec![Reference::all("high-fmp4")];
    let beside = |name, path, args: &[&'static str], cues, film| Scenario {
        args: args.to_vec(),
        cues: Some(cues),
        ..to_mp4(name, path, film)
    };
    let alone = |name, path, args: &[&'static str], output| Scenario {
        args: args.to_vec(),
        output,
        outcome: Outcome::Cues,
        asked: vec![Asked::exactly("*.ts", 0), Asked::exactly("*/v0/*.m4s", 0)],
        ..to_ts(name, path)
    };
    let captions = |name, output| Scenario {
        args: vec!["--captions", "cc1"],
        output,
        outcome: Outcome::Cues,
        ..to_ts(name, "/s/captions/index.m3u8")
    };
    let captions_of = |name, path| Scenario {
        input: Input::Served(path),
        ..captions(name, "out.srt")
    };
    let captioned = || vec![Reference::all("captions-ts")];
    let caption_track = |name, path, references| Scenario {
        args: vec!["--captions", "cc1"],
        outcome: Outcome::Mp4WithCues(references),
        probe: vec![
            "codec_tag_string=tx3g",
            "TAG:language=und",
            "TAG:handler_name=CC1",
            "DISPOSITION:default=0",
        ],
        ..to_mp4(name, path, Vec::new())
    };
    let no_track = |name, output, args: &[&'static str], says| Scenario {
        args: args.to_vec(),
        output,
        exit: 2,
        says: vec![says],
        asked: vec![Asked::exactly("*.ts", 0)],
        ..fails(name, "/s/captions/index.m3u8")
    };
    let inside = |name, path, references| Scenario {
        args: vec!["--subs", "all", "--subs-format", "tx3g"],
        outcome: Outcome::Mp4WithCues(references),
        probe: vec![
            "codec_tag_string=tx3g",
            "TAG:language=eng",
            "TAG:handler_name=English",
            "DISPOSITION:default=0",
        ],
        ..to_mp4(name, path, Vec::new())
    };
    let matroska = |name, path, references| Scenario {
        args: vec!["--subs", "all"],
        output: "out.mkv",
        outcome: Outcome::StreamsWithCues("mkv", references),
        probe: vec!["codec_name=subrip", "TAG:language=eng", "TAG:title=English"],
        ..to_ts(name, path)
    };
    let separate = || vec![Reference::all("video-ts"), Reference::all("main-audio-ts")];
    let beside_streams = |name, output, container, format: &'static str, references: Option<Vec<Reference>>| Scenario {
        args: vec!["--subs", "all", "--subs-format", format],
        files: vec![("/separate.m3u8", SEPARATE)],
        output,
        cues: Some(if format == "srt" { "out.en.srt" } else { "out.en.vtt" }),
        outcome: Outcome::Streams(container, &["v", "a"], references.clone().unwrap_or_else(separate)),
        ..to_ts(
            name,
            if references.is_some() {
                "/s/subtitles-wvtt/index.m3u8"
            } else {
                "/separate.m3u8"
            },
        )
    };
    vec![
        beside_streams("subtitles/beside-a-transport-stream", "out.ts", "ts", "vtt", None),
        beside_streams("subtitles/beside-a-transport-stream-as-srt", "out.ts", "ts", "srt", None),
        beside_streams(
            "subtitles/beside-fragments-made-a-transport-stream",
            "out.ts",
            "ts",
            "vtt",
            Some(fragmented()),
        ),
        beside_streams("subtitles/beside-fragmented-mp4", "out.m4s", "mp4", "vtt", None),
        beside_streams("subtitles/beside-matroska-of-separate-tracks", "out.mkv", "mkv", "srt", None),
        matroska("subtitles/inside-matroska", "/s/subtitles/index.m3u8", film()),
        matroska(
            "subtitles/webvtt-in-mp4-inside-matroska",
            "/s/subtitles-wvtt/index.m3u8",
            fragmented(),
        ),
        Scenario {
            args: vec!["--subs", "all", "--subs-format", "srt"],
            output: "out.mkv",
            cues: Some("out.en.srt"),
            outcome: Outcome::Streams("mkv", &["v", "a"], film()),
            ..to_ts("subtitles/beside-matroska", "/s/subtitles/index.m3u8")
        },
        inside("subtitles/inside-the-film", "/s/subtitles/index.m3u8", film()),
        inside(
            "subtitles/webvtt-in-mp4-inside-the-film",
            "/s/subtitles-wvtt/index.m3u8",
            fragmented(),
        ),
        inside(
            "subtitles/ttml-in-mp4-inside-the-film",
            "/s/subtitles-stpp/index.m3u8",
            fragmented(),
        ),
        Scenario {
            args: vec!["--subs", "all", "--subs-format", "wvtt"],
            probe: vec!["codec_tag_string=wvtt", "TAG:handler_name=English"],
            ..to_mp4("subtitles/inside-the-film-as-webvtt", "/s/subtitles/index.m3u8", film())
        },
        Scenario {
            args: vec!["--subs", "all", "--subs-format", "tx3g"],
            says: vec!["only MP4 and Matroska hold subtitles as tracks"],
            exit: 2,
            ..fails("subtitles/not-inside-a-transport-stream", "/s/subtitles/index.m3u8")
        },
        Scenario {
            args: vec!["--subs", "none"],
            ..to_mp4("subtitles/left-out", "/s/subtitles/index.m3u8", film())
        },
        beside(
            "subtitles/beside-the-film",
            "/s/subtitles/index.m3u8",
            &["--subs", "all"],
            "out.en.vtt",
            film(),
        ),
        beside(
            "subtitles/beside-the-film-as-srt",
            "/s/subtitles/index.m3u8",
            &["--subs", "lang:en", "--subs-format", "srt"],
            "out.en.srt",
            film(),
        ),
        beside(
            "subtitles/webvtt-in-mp4-beside-the-film",
            "/s/subtitles-wvtt/index.m3u8",
            &["--subs", "all"],
            "out.en.vtt",
            fragmented(),
        ),
        beside(
            "subtitles/ttml-in-mp4-beside-the-film",
            "/s/subtitles-stpp/index.m3u8",
            &["--subs", "all"],
            "out.en.vtt",
            fragmented(),
        ),
        beside(
            "subtitles/ttml-beside-the-film",
            "/s/subtitles-ttml/index.m3u8",
            &["--subs", "all"],
            "out.en.vtt",
            fragmented(),
        ),
        captions("subtitles/captions-of-the-video", "out.srt"),
        Scenario {
            args: vec!["--captions", "lang:en"],
            files: vec![("/captions.m3u8", CAPTIONS)],
            input: Input::Served("/captions.m3u8"),
            ..captions("subtitles/captions-by-language", "out.vtt")
        },
        Scenario {
            args: vec!["--captions", "lang:fr"],
            files: vec![("/captions.m3u8", CAPTIONS)],
            output: "out.vtt",
            exit: 2,
            says: vec!["no captions in \"fr\"; on offer: CC3 Deutsch (de); CC1 English (en-US); SERVICE1 Spanish (es)"],
            ..fails("subtitles/captions-in-a-language-that-is-not-there", "/captions.m3u8")
        },
        Scenario {
            args: vec!["--captions", "lang:es"],
            files: vec![("/captions.m3u8", CAPTIONS)],
            output: "out.vtt",
            exit: 2,
            says: vec!["CEA-708", "CC1 to CC4"],
            ..fails("subtitles/captions-of-digital-television", "/captions.m3u8")
        },
        captions("subtitles/captions-of-the-video-as-webvtt", "out.vtt"),
        captions_of("subtitles/captions-of-fragmented-mp4", "/s/captions-fmp4/index.m3u8"),
        captions_of("subtitles/captions-of-hevc", "/s/captions-hevc/index.m3u8"),
        played(caption_track(
            "subtitles/captions-inside-the-film",
            "/s/captions/index.m3u8",
            captioned(),
        )),
        played(caption_track(
            "subtitles/captions-of-fragmented-mp4-inside-the-film",
            "/s/captions-fmp4/index.m3u8",
            vec![Reference::all("captions-fmp4")],
        )),
        caption_track(
            "subtitles/captions-of-hevc-inside-the-film",
            "/s/captions-hevc/index.m3u8",
            vec![Reference::all("captions-hevc-fmp4")],
        ),
        Scenario {
            args: vec!["--captions", "lang:en"],
            files: vec![("/captions.m3u8", CAPTIONS)],
            probe: vec!["codec_tag_string=tx3g", "TAG:language=eng", "TAG:handler_name=English"],
            ..caption_track("subtitles/captions-by-language-inside-the-film", "/captions.m3u8", captioned())
        },
        played(Scenario {
            args: vec!["--captions", "cc1", "--subs-format", "wvtt"],
            probe: vec!["codec_tag_string=wvtt", "TAG:handler_name=CC1"],
            ..to_mp4(
                "subtitles/captions-inside-the-film-as-webvtt",
                "/s/captions/index.m3u8",
                captioned(),
            )
        }),
        Scenario {
            args: vec!["--captions", "lang:en"],
            files: vec![("/captions.m3u8", CAPTIONS)],
            output: "out.mkv",
            outcome: Outcome::StreamsWithCues("mkv", captioned()),
            probe: vec!["codec_name=subrip", "TAG:language=eng", "TAG:title=English"],
            ..to_ts("subtitles/captions-inside-matroska", "/captions.m3u8")
        },
        Scenario {
            args: vec!["--captions", "cc1"],
            says: vec!["the pictures have none in CC1, and no others"],
            ..to_mp4("subtitles/captions-that-are-not-there", "/s/plain-ts/index.m3u8", film())
        },
        Scenario {
            args: vec!["--captions", "cc1"],
            output: "out.mkv",
            outcome: Outcome::Streams("mkv", &["v", "a"], film()),
            says: vec!["the pictures have none in CC1, and no others"],
            ..to_ts("subtitles/captions-that-are-not-there-leave-no-track", "/s/plain-ts/index.m3u8")
        },
        no_track(
            "subtitles/captions-not-inside-a-transport-stream",
            "out.ts",
            &["--captions", "cc1"],
            "captions stay in the video: name the output .mp4 or .mkv for a track of them",
        ),
        no_track(
            "subtitles/captions-not-beside-the-film",
            "out.mp4",
            &["--captions", "cc1", "--subs-format", "srt"],
            "captions are a track of the film",
        ),
        alone("subtitles/alone", "/s/subtitles/index.m3u8", &[], "out.vtt"),
        alone(
            "subtitles/alone-as-srt",
            "/s/subtitles/index.m3u8",
            &["--subs", "lang:en"],
            "out.srt",
        ),
        alone("subtitles/webvtt-in-mp4-alone", "/s/subtitles-wvtt/index.m3u8", &[], "out.srt"),
        alone("subtitles/ttml-in-mp4-alone", "/s/subtitles-stpp/index.m3u8", &[], "out.srt"),
        alone("subtitles/a-playlist-of-nothing-else", "/s/subtitles/r0/index.m3u8", &[], "out.srt"),
        Scenario {
            args: vec!["--subs", "lang:fr"],
            output: "out.vtt",
            exit: 2,
            says: vec!["no subtitles in \"fr\"", "English"],
            asked: vec![Asked::exactly("*.vtt", 0)],
            ..fails("subtitles/a-language-that-is-not-there", "/s/subtitles/index.m3u8")
        },
        Scenario {
            output: "out.vtt",
            says: vec!["neither WebVTT nor TTML"],
            ..fails("subtitles/none-in-a-stream-of-pictures", "/s/plain-ts/index.m3u8")
        },
    ]
}
