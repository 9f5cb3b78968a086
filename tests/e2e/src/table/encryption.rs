//! AES-128 in all its forms; what comes out is compared with the clear clip.

use fixture_server::{Fault, Rule};

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    let raw = |name, path| Scenario {
        args: vec!["--format", "raw"],
        output: "out.bin",
        outcome: Outcome::Concatenation(Reference::all("high-fmp4")),
        ..to_ts(name, path)
    };
    let key = |text: &str| Fault::Body {
        content_type: "application/octet-stream".into(),
        text: text.into(),
    };
    vec![
        Scenario {
            asked: vec![Asked::exactly("/s/aes-explicit-iv/key0.bin", 1)],
            ..to_ts("encryption/explicit-iv", "/s/aes-explicit-iv/index.m3u8")
        },
        to_ts("encryption/iv-from-media-sequence-number", "/s/aes-sequence-iv/index.m3u8"),
        Scenario {
            asked: vec![Asked::exactly("/s/aes-rotation/key*.bin", 3)],
            ..to_ts("encryption/key-rotation", "/s/aes-rotation/index.m3u8")
        },
        to_ts("encryption/rotation-past-32-bits", "/s/aes-rotation-sequence-iv/index.m3u8"),
        to_ts("encryption/method-none-between", "/s/aes-none-between/index.m3u8"),
        to_ts("encryption/byte-ranges", "/s/aes-byte-ranges/index.m3u8"),
        Scenario {
            outcome: Outcome::Concatenation(Reference::some("high-ts", &[3, 4, 5, 0, 1, 2])),
            ..raw("encryption/discontinuity", "/s/aes-discontinuity/index.m3u8")
        },
        raw("encryption/fmp4-with-clear-init", "/s/aes-fmp4/index.m3u8"),
        raw("encryption/fmp4-with-encrypted-init", "/s/aes-fmp4-init/index.m3u8"),
        played(to_mp4(
            "encryption/rotation-to-mp4",
            "/s/aes-rotation/index.m3u8",
            vec![Reference::all("high-ts")],
        )),
        to_mp4(
            "encryption/fmp4-to-mp4",
            "/s/aes-fmp4-init/index.m3u8",
            vec![Reference::all("high-fmp4")],
        ),
        to_mp4(
            "encryption/alternate-audio-to-mp4",
            "/s/aes-alternate-audio/index.m3u8",
            vec![Reference::all("video-ts"), Reference::all("main-audio-ts")],
        ),
        Scenario {
            rules: vec![Rule::new("*/key1.bin", Fault::status(404))],
            says: vec!["key1.bin"],
            ..fails("encryption/missing-key", "/s/aes-rotation/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("*/key0.bin", key("fifteen bytes.."))],
            says: vec!["key0.bin", "15"],
            hides: vec!["fifteen bytes.."],
            ..fails("encryption/short-key", "/s/aes-explicit-iv/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("*/key0.bin", key("seventeen bytes.."))],
            says: vec!["key0.bin", "17"],
            hides: vec!["seventeen bytes.."],
            ..fails("encryption/long-key", "/s/aes-explicit-iv/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("*/key0.bin", key("a very wrong key"))],
            hides: vec!["a very wrong key"],
            ..fails("encryption/wrong-key", "/s/aes-explicit-iv/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("*/key*.bin", Fault::status(503)).times(1)],
            ..to_ts("encryption/key-at-the-second-try", "/s/aes-rotation/index.m3u8")
        },
    ]
}
