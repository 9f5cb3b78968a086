//! Kinds of streams, and what becomes of them in each container.

use fixture_server::{Fault, Rule};

use super::*;

const LOCAL_PLAYLIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{{origin}}/s/plain-ts/0.ts\n\
    #EXTINF:2,\n{{origin}}/s/plain-ts/1.ts\n#EXT-X-ENDLIST\n";
const RELATIVE_PLAYLIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n";
const DATED_PLAYLIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:00Z\n\
    #EXT-X-DATERANGE:ID=\"opening\",START-DATE=\"2026-01-01T12:00:00Z\"\n\
    #EXT-X-DATERANGE:ID=\"2\",START-DATE=\"2026-01-01T12:00:02.500Z\",X-TITLE=\"The end\"\n\
    #EXTINF:2,\n{{origin}}/s/plain-ts/0.ts\n#EXTINF:2,\n{{origin}}/s/plain-ts/1.ts\n#EXT-X-ENDLIST\n";
const PLAYLIST_OF_FILES: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfirst.ts\n#EXTINF:2,\nsecond.ts\n#EXT-X-ENDLIST\n";

pub(super) fn scenarios() -> Vec<Scenario> {
    let reordered = || Reference::some("high-ts", &[3, 4, 5, 0, 1, 2]);
    let all_but_one = || Reference::some("high-ts", &[0, 1, 3, 4, 5]);
    let two = || Outcome::Concatenation(Reference::some("high-ts", &[0, 1]));
    let fragmented = || Outcome::Concatenation(Reference::all("high-fmp4"));
    let raw = |name, path| Scenario {
        args: vec!["--format", "raw"],
        output: "out.bin",
        outcome: fragmented(),
        ..to_ts(name, path)
    };
    let film = || vec![Reference::all("high-ts")];
    let picture_and = |sound| vec![Reference::all("video-ts"), Reference::all(sound)];
    let transport = |name, path, references| Scenario {
        outcome: Outcome::Streams("ts", &["v", "a"], references),
        ..to_ts(name, path)
    };
    let fragments = |name, path, output, references| Scenario {
        output,
        outcome: Outcome::Streams("mp4", &["v", "a"], references),
        ..to_ts(name, path)
    };
    let matroska = |name, path, references| Scenario {
        output: "out.mkv",
        outcome: Outcome::Streams("mkv", &["v", "a"], references),
        ..to_ts(name, path)
    };
    let sound = |name, path, output, extension, reference| Scenario {
        output,
        outcome: Outcome::Streams(extension, &["a"], vec![Reference::all(reference)]),
        ..to_ts(name, path)
    };
    vec![
        transport("streams/fmp4-to-ts", "/s/fmp4/index.m3u8", vec![Reference::all("high-fmp4")]),
        transport(
            "streams/alternate-audio-to-ts",
            "/s/alternate-audio/index.m3u8",
            picture_and("main-audio-ts"),
        ),
        transport(
            "streams/alternate-audio-fmp4-to-ts",
            "/s/alternate-audio-fmp4/index.m3u8",
            vec![Reference::all("video-fmp4"), Reference::all("main-audio-fmp4")],
        ),
        fragments("streams/ts-to-fmp4", "/s/plain-ts/index.m3u8", "out.m4s", film()),
        fragments(
            "streams/alternate-audio-to-standard-output",
            "/s/alternate-audio/index.m3u8",
            "-",
            picture_and("main-audio-ts"),
        ),
        fragments(
            "streams/alternate-audio-fmp4-to-standard-output",
            "/s/alternate-audio-fmp4/index.m3u8",
            "-",
            vec![Reference::all("video-fmp4"), Reference::all("main-audio-fmp4")],
        ),
        Scenario {
            args: vec!["--format", "mp4"],
            ..fragments("streams/mp4-to-standard-output", "/s/plain-ts/index.m3u8", "-", film())
        },
        Scenario {
            probe: vec!["format_name=matroska,webm", "r_frame_rate=24/1", "TAG:NUMBER_OF_FRAMES=288"],
            ..matroska("streams/ts-to-mkv", "/s/plain-ts/index.m3u8", film())
        },
        matroska("streams/fmp4-to-mkv", "/s/fmp4/index.m3u8", vec![Reference::all("high-fmp4")]),
        Scenario {
            probe: vec!["TAG:language=eng", "TAG:title=Main", "DISPOSITION:default=1"],
            ..matroska(
                "streams/alternate-audio-to-mkv",
                "/s/alternate-audio/index.m3u8",
                picture_and("main-audio-ts"),
            )
        },
        matroska(
            "streams/alternate-audio-fmp4-to-mkv",
            "/s/alternate-audio-fmp4/index.m3u8",
            vec![Reference::all("video-fmp4"), Reference::all("main-audio-fmp4")],
        ),
        matroska(
            "streams/discontinuity-to-mkv-runs-on",
            "/s/discontinuity/index.m3u8",
            vec![reordered()],
        ),
        Scenario {
            args: vec!["--format", "mkv"],
            output: "-",
            outcome: Outcome::Streams("mkv", &["v", "a"], film()),
            ..to_ts("streams/mkv-to-standard-output", "/s/plain-ts/index.m3u8")
        },
        sound("streams/sound-alone-as-m4a", "/s/plain-ts/index.m3u8", "out.m4a", "mp4", "high-ts"),
        sound("streams/sound-alone-as-aac", "/s/fmp4/index.m3u8", "out.aac", "aac", "high-fmp4"),
        Scenario {
            asked: vec![Asked::exactly("/s/alternate-audio/v*.ts", 0)],
            ..sound(
                "streams/sound-alone-does-not-fetch-pictures",
                "/s/alternate-audio/index.m3u8",
                "out.m4a",
                "mp4",
                "main-audio-ts",
            )
        },
        Scenario {
            output: "out.mp3",
            says: vec!["name the output .aac"],
            ..fails("streams/sound-is-not-converted", "/s/plain-ts/index.m3u8")
        },
        Scenario {
            output: "out.opus",
            says: vec!["not Opus: name the output .mka or .m4a"],
            ..fails("streams/sound-is-not-converted-to-opus", "/s/plain-ts/index.m3u8")
        },
        Scenario {
            asked: vec![Asked::exactly("/s/plain-ts/index.m3u8", 1), Asked::exactly("/s/plain-ts/*.ts", 6)],
            ..to_ts("streams/media-playlist-to-ts", "/s/plain-ts/index.m3u8")
        },
        played(to_mp4("streams/media-playlist-to-mp4", "/s/plain-ts/index.m3u8", film())),
        Scenario {
            asked: vec![Asked::exactly("/s/variants/v0/*", 0), Asked::exactly("/s/variants/v1/*.ts", 6)],
            ..to_ts("streams/best-variant", "/s/variants/index.m3u8")
        },
        to_mp4("streams/best-variant-to-mp4", "/s/variants/index.m3u8", film()),
        Scenario {
            args: vec!["--video", "worst"],
            outcome: Outcome::Concatenation(Reference::all("low-ts")),
            ..to_ts("streams/worst-variant-on-demand", "/s/variants/index.m3u8")
        },
        to_ts("streams/byte-ranges", "/s/byte-ranges/index.m3u8"),
        Scenario {
            rules: vec![Rule::new("*/all.ts", Fault::Delay { milliseconds: 40 })],
            args: vec!["--concurrency", "1"],
            asked: vec![Asked::at_most("/s/byte-ranges/all.ts", 2)],
            ..to_ts(
                "streams/byte-ranges-that-follow-each-other-share-a-request",
                "/s/byte-ranges/index.m3u8",
            )
        },
        to_mp4("streams/byte-ranges-to-mp4", "/s/byte-ranges/index.m3u8", film()),
        raw("streams/fmp4-concatenation", "/s/fmp4/index.m3u8"),
        raw("streams/fmp4-byte-ranges-concatenation", "/s/fmp4-byte-ranges/index.m3u8"),
        raw("streams/fmp4-best-variant", "/s/variants-fmp4/index.m3u8"),
        played(to_mp4(
            "streams/fmp4-to-mp4",
            "/s/fmp4/index.m3u8",
            vec![Reference::all("high-fmp4")],
        )),
        transport(
            "streams/discontinuity-to-ts-runs-on",
            "/s/discontinuity/index.m3u8",
            vec![reordered()],
        ),
        Scenario {
            outcome: Outcome::Concatenation(reordered()),
            ..raw("streams/discontinuity-as-it-is", "/s/discontinuity/index.m3u8")
        },
        played(to_mp4(
            "streams/discontinuity-to-mp4-runs-on",
            "/s/discontinuity/index.m3u8",
            vec![reordered()],
        )),
        Scenario {
            // A segment that is tagged as a gap is not on offer, so nothing is missing.
            outcome: Outcome::Concatenation(all_but_one()),
            asked: vec![Asked::exactly("/s/gap/2.ts", 0)],
            ..to_ts("streams/tagged-gap-is-not-asked-for", "/s/gap/index.m3u8")
        },
        Scenario {
            probe: vec!["TAG:language=eng", "TAG:handler_name=Main"],
            ..played(to_mp4(
                "streams/alternate-audio",
                "/s/alternate-audio/index.m3u8",
                picture_and("main-audio-ts"),
            ))
        },
        Scenario {
            args: vec!["--audio", "lang:de"],
            ..to_mp4(
                "streams/alternate-audio-by-language",
                "/s/alternate-audio/index.m3u8",
                picture_and("alt-audio-ts"),
            )
        },
        played(to_mp4(
            "streams/alternate-audio-fmp4",
            "/s/alternate-audio-fmp4/index.m3u8",
            vec![Reference::all("video-fmp4"), Reference::all("main-audio-fmp4")],
        )),
        Scenario {
            output: "out.mp4",
            outcome: Outcome::Bytes("film.mp4"),
            ..to_ts("streams/plain-file-with-ranges", "/media/film.mp4")
        },
        Scenario {
            // A plain file has its container already, whatever it is called.
            output: "out.jpg",
            outcome: Outcome::Bytes("pictures/1.jpg"),
            ..to_ts("streams/picture", "/media/pictures/1.jpg")
        },
        Scenario {
            output: "out.mp4",
            outcome: Outcome::Bytes("film.mp4"),
            rules: vec![Rule::new("/media/film.mp4", Fault::IgnoreRange)],
            ..to_ts("streams/plain-file-without-ranges", "/media/film.mp4")
        },
        Scenario {
            input: Input::File("list.m3u8", LOCAL_PLAYLIST),
            outcome: two(),
            ..to_ts("streams/local-playlist-of-urls", "")
        },
        Scenario {
            input: Input::File("list.m3u8", DATED_PLAYLIST),
            args: vec!["--chapters", "dateranges"],
            probe: vec![
                "start_time=0.000000",
                "TAG:title=opening",
                "start_time=2.500000",
                "TAG:title=The end",
                "TAG:creation_time=2026-01-01T12:00:00.000000Z",
            ],
            ..to_mp4("streams/date-ranges-as-chapters", "", vec![Reference::some("high-ts", &[0, 1])])
        },
        Scenario {
            input: Input::File("list.m3u8", DATED_PLAYLIST),
            args: vec!["--chapters", "dateranges"],
            exit: 2,
            says: vec!["only a file of MP4 or Matroska holds chapters"],
            ..fails("streams/no-chapters-in-a-transport-stream", "")
        },
        Scenario {
            input: Input::File("list.m3u8", DATED_PLAYLIST),
            output: "out.m4s",
            probe: vec!["TAG:creation_time=2026-01-01T12:00:00.000000Z"],
            outcome: Outcome::Streams("mp4", &["v", "a"], vec![Reference::some("high-ts", &[0, 1])]),
            ..to_ts("streams/date-in-fragmented-mp4", "")
        },
        Scenario {
            input: Input::File("list.m3u8", PLAYLIST_OF_FILES),
            local: vec![("first.ts", "high-ts/0.ts"), ("second.ts", "high-ts/1.ts")],
            outcome: two(),
            ..to_ts("streams/local-playlist-of-files", "")
        },
        Scenario {
            input: Input::Stdin(LOCAL_PLAYLIST),
            outcome: two(),
            ..to_ts("streams/playlist-on-standard-input", "")
        },
        Scenario {
            input: Input::Stdin(RELATIVE_PLAYLIST),
            outcome: two(),
            args: vec!["--base-url", "{{origin}}/s/plain-ts/index.m3u8"],
            ..to_ts("streams/playlist-on-standard-input-with-base", "")
        },
    ]
}
