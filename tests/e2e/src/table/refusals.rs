//! What cannot be had ends in an error that names it, and in no file.

use fixture_server::{Fault, Rule, Stream};

use super::*;

const SIGNED: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:4711\n\
    #EXTINF:2,\n/s/plain-ts/0.ts?signature=SECRET\n#EXTINF:2,\n/s/plain-ts/missing.ts?signature=SECRET\n#EXT-X-ENDLIST\n";
const BROKEN: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:abc\n/s/plain-ts/0.ts\n#EXT-X-ENDLIST\n";
const EVIL: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";
const MESSAGE: &str = "{\"error\":\"expired\"}";
const CHANGED: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
    #EXT-X-MAP:URI=\"/s/variants-fmp4/v0/init.mp4\"\n#EXTINF:2,\n/s/variants-fmp4/v0/0.m4s\n\
    #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"/s/variants-fmp4/v1/init.mp4\"\n#EXTINF:2,\n/s/variants-fmp4/v1/1.m4s\n#EXT-X-ENDLIST\n";
const EMPTY: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-ENDLIST\n";

pub(super) fn scenarios() -> Vec<Scenario> {
    let body = |content_type: &str, text: &str| Fault::Body {
        content_type: content_type.into(),
        text: text.into(),
    };
    let numbered = || Stream {
        first_msn: 7001,
        ..Stream::of(fixture_server::Media::default())
    };
    let missing = |name| Scenario {
        streams: vec![("numbered", numbered())],
        rules: vec![Rule::new("*/2.ts", Fault::status(404))],
        ..fails(name, "/s/numbered/index.m3u8")
    };
    let with = |name, rule| Scenario {
        rules: vec![rule],
        ..fails(name, "/s/plain-ts/index.m3u8")
    };
    vec![
        Scenario {
            says: vec!["404", "7003", "/s/numbered/2.ts"],
            asked: vec![Asked::at_most("*/2.ts", 4)],
            ..missing("refusals/missing-segment-is-named")
        },
        Scenario {
            output: "out.mp4",
            says: vec!["7003"],
            ..missing("refusals/missing-segment-leaves-no-mp4")
        },
        Scenario {
            args: vec!["--on-missing", "gap"],
            exit: 3,
            outcome: Outcome::Concatenation(Reference::some("high-ts", &[0, 1, 3, 4, 5])),
            says: vec!["7003"],
            ..missing("refusals/missing-segment-as-a-gap")
        },
        Scenario {
            files: vec![("/signed.m3u8", SIGNED)],
            args: vec!["-vvv"],
            says: vec!["4712", "/s/plain-ts/missing.ts"],
            hides: vec!["SECRET", "HIDDEN"],
            ..fails("refusals/secrets-stay-secret", "/signed.m3u8?token=HIDDEN")
        },
        Scenario {
            says: vec!["0.ts"],
            ..with("refusals/forbidden-segment", Rule::new("*/0.ts", Fault::status(403)))
        },
        Scenario {
            args: vec!["--retries", "2"],
            ..with("refusals/cut-short-every-time", Rule::new("*/2.ts", Fault::Truncate { at: 0 }))
        },
        Scenario {
            args: vec!["--retries", "1", "--timeout", "1s"],
            ..with("refusals/stalled-every-time", Rule::new("*/2.ts", Fault::Stall { at: 0 }))
        },
        Scenario {
            files: vec![("/changed.m3u8", CHANGED)],
            output: "out.m4s",
            says: vec!["other codec parameters", ".mp4", "--split changes"],
            ..fails("refusals/fragments-with-other-codec-parameters", "/changed.m3u8")
        },
        Scenario {
            files: vec![("/changed.m3u8", CHANGED)],
            output: "-",
            says: vec!["other codec parameters", ".mp4"],
            outcome: Outcome::Beginning(Reference::some("high-fmp4", &[0])),
            ..fails("refusals/fragments-with-other-codec-parameters-to-standard-output", "/changed.m3u8")
        },
        with("refusals/page-instead-of-a-segment", Rule::new("*/2.ts", Fault::page())),
        with("refusals/empty-segment", Rule::new("*/2.ts", body("video/mp2t", ""))),
        with(
            "refusals/message-instead-of-a-segment",
            Rule::new("*/2.ts", body("application/json", MESSAGE)),
        ),
        Scenario {
            output: "out.mp4",
            ..with(
                "refusals/message-instead-of-a-segment-in-mp4",
                Rule::new("*/2.ts", body("application/json", MESSAGE)),
            )
        },
        Scenario {
            output: "out.mp4",
            rules: vec![Rule::new("*/2.m4s", body("application/json", MESSAGE))],
            ..fails("refusals/message-instead-of-a-fmp4-segment", "/s/fmp4/index.m3u8")
        },
        Scenario {
            args: vec!["--format", "fmp4"],
            rules: vec![Rule::new("*/2.m4s", body("application/json", MESSAGE))],
            ..fails("refusals/message-instead-of-a-fmp4-segment-concatenated", "/s/fmp4/index.m3u8")
        },
        Scenario {
            says: vec!["Content-Encoding gzip"],
            ..with(
                "refusals/segment-compressed-unasked",
                Rule::new("*/2.ts", Fault::Headers(vec![("Content-Encoding".into(), "gzip".into())])),
            )
        },
        Scenario {
            rules: vec![Rule::new("*/all.ts", Fault::WrongContentRange { by: 188 })],
            says: vec!["all.ts"],
            ..fails("refusals/wrong-content-range", "/s/byte-ranges/index.m3u8")
        },
        Scenario {
            says: vec!["/s/plain-ts/index.m3u8"],
            ..with("refusals/missing-playlist", Rule::new("*.m3u8", Fault::status(404)))
        },
        Scenario {
            files: vec![("/broken.m3u8", BROKEN)],
            says: vec!["/broken.m3u8"],
            asked: vec![Asked::exactly("*.ts", 0)],
            ..fails("refusals/broken-playlist", "/broken.m3u8")
        },
        Scenario {
            exit: 4,
            says: vec!["/s/plain-ts/index.m3u8"],
            ..with("refusals/page-instead-of-a-playlist", Rule::new("*.m3u8", Fault::page()))
        },
        Scenario {
            rules: vec![Rule::new("/s/variants/v1/index.m3u8", Fault::page())],
            says: vec!["/s/variants/v1/index.m3u8"],
            ..fails("refusals/page-instead-of-a-media-playlist", "/s/variants/index.m3u8")
        },
        Scenario {
            files: vec![("/empty.m3u8", EMPTY)],
            exit: 4,
            ..fails("refusals/empty-playlist", "/empty.m3u8")
        },
        Scenario {
            files: vec![("/evil.m3u8", EVIL)],
            exit: 5,
            hides: vec!["root:"],
            ..fails("refusals/remote-playlist-names-a-local-file", "/evil.m3u8")
        },
        Scenario {
            rules: vec![Rule::new(
                "/p/video/index.html",
                Fault::Redirect {
                    status: 302,
                    to: "file:///etc/passwd".into(),
                },
            )],
            exit: 5,
            hides: vec!["root:"],
            ..fails("refusals/redirect-to-a-local-file", "/p/video/index.html")
        },
        Scenario {
            rules: vec![Rule::new(
                "*/2.ts",
                Fault::Redirect {
                    status: 302,
                    to: "{{path}}".into(),
                },
            )],
            ..fails("refusals/redirect-loop", "/s/plain-ts/index.m3u8")
        },
    ]
}
