//! What other implementations encrypted, key by key, and what servers do beside the specification.

use bytes::Bytes;
use fixture_server::{Clip, Fault, Rule, encrypt_aes_128, gzip};

use super::*;

/// The key of the vectors, in hexadecimal and as a `data:` URI (`crates/decrypt/tests/data/make.sh`).
const KEY: &str = "100b6c20940f779a4589152b57d2dacb";
const BY_DATA: &str = "URI=\"data:application/octet-stream;base64,EAtsIJQPd5pFiRUrV9Layw==\"";
const LONG_BY_DATA: &str = "URI=\"data:;base64,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"";
const LONG_AS_TEXT: &str = "URI=\"data:,000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"";
const OTHER_LONG_BY_DATA: &str = "URI=\"data:;base64,AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\"";
const BY_KID: &str = "eb676abbcb345e96bbcf616630f1a3da:100b6c20940f779a4589152b57d2dacb";
const WIDEVINE: &str = "URI=\"data:text/plain;base64,AAAA\",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"";
const FAIRPLAY: &str = "URI=\"skd://asset\",KEYFORMAT=\"com.apple.streamingkeydelivery\"";
/// The IV of the vectors.
const IV: &str = "IV=0xd5fbd6b82ed93e4ef98ae40931ee33b7";

/// A playlist of one vector of fragmented MP4: its initialization section, and each fragment, as byte ranges.
fn fragmented(name: &str, keys: &str) -> &'static str {
    let path = format!("vectors/{name}.mp4");
    let file = Clip::get().ok().and_then(|clip| clip.file(&path)).expect("a committed vector");
    let mut cuts = Vec::new();
    let mut at = 0;
    while let Some((size, rest)) = file[at..].split_first_chunk::<4>() {
        if rest.starts_with(b"moof") {
            cuts.push(at);
        }
        at += usize::try_from(u32::from_be_bytes(*size)).expect("a size");
    }
    cuts.push(file.len());
    let range = |from: usize, to: usize| format!("{}@{from}", to - from);
    let init = range(0, cuts[0]);
    let segments: String = cuts
        .windows(2)
        .map(|cut| format!("#EXTINF:1,\n#EXT-X-BYTERANGE:{}\n/media/{path}\n", range(cut[0], cut[1])))
        .collect();
    let head = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n";
    format!("{head}{keys}#EXT-X-MAP:URI=\"/media/{path}\",BYTERANGE=\"{init}\"\n{segments}#EXT-X-ENDLIST\n").leak()
}

/// A playlist of one segment.
fn single(path: &str, keys: &str) -> &'static str {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{keys}#EXTINF:2,\n{path}\n#EXT-X-ENDLIST\n").leak()
}

/// An `EXT-X-KEY` line.
fn key(method: &str, attributes: &[&str]) -> String {
    format!("#EXT-X-KEY:METHOD={method},{}\n", attributes.join(","))
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [fragmented_mp4(), plain_files(), samples(), servers(), refused()].concat()
}

/// Encrypted MP4 that no playlist speaks of.
fn plain_files() -> Vec<Scenario> {
    const PATH: &str = "/media/vectors/cbcs-video.mp4";
    let clip = Clip::get().expect("the committed clip");
    let sealed = clip.file("vectors/cbcs-video.mp4").expect("a committed vector");
    // Free space behind the first box makes several ranges of it.
    let (first, rest) = sealed.split_at(usize::from(sealed[3]));
    let free = [&(9_u32 << 20).to_be_bytes()[..], b"free", &vec![0; (9 << 20) - 8]].concat();
    let large = [first, &free, rest].concat();
    let progressive = clip.file("vectors/progressive-sealed.mp4").expect("a committed vector");
    let at = |kind: &[u8; 4]| progressive.windows(4).position(|found| found == kind).expect("a box") - 4;
    let (moov, mdat) = (at(b"moov"), at(b"mdat"));
    let behind = [&progressive[..moov], &progressive[mdat..], &progressive[moov..mdat]].concat();
    let clear = || vec![Reference::file("vectors/clear-video.mp4")];
    let by_kid = |name, path| Scenario {
        args: vec!["--key", BY_KID],
        hides: vec![KEY],
        ..to_mp4(name, path, clear())
    };
    let refused = |name, path, says| Scenario {
        says,
        output: "out.mp4",
        ..fails(name, path)
    };
    let unasked = vec![
        "its media are encrypted",
        "scheme cbcs, KID eb676abbcb345e96bbcf616630f1a3da",
        "--key KID:KEY",
        "--format raw",
    ];
    vec![
        by_kid("sealed/plain-file-by-its-key", PATH),
        Scenario {
            media: vec![("/large.mp4", large.clone().into())],
            asked: vec![Asked::at_least("/large.mp4", 2)],
            ..by_kid("sealed/plain-file-of-several-ranges", "/large.mp4")
        },
        refused("sealed/plain-file-without-a-key", PATH, unasked.clone()),
        Scenario {
            media: vec![("/large.mp4", large.into())],
            ..refused("sealed/plain-file-of-several-ranges-without-a-key", "/large.mp4", unasked.clone())
        },
        Scenario {
            output: "out.bin",
            ..refused("sealed/plain-file-under-another-name", PATH, unasked)
        },
        Scenario {
            args: vec!["--format", "raw"],
            output: "out.mp4",
            outcome: Outcome::Bytes("vectors/cbcs-video.mp4"),
            ..to_ts("sealed/plain-file-kept-as-it-is", PATH)
        },
        Scenario {
            args: vec!["--key", "00000000000000000000000000000000:100b6c20940f779a4589152b57d2dacb"],
            ..refused(
                "sealed/plain-file-with-another-key",
                PATH,
                vec!["no key for KID eb676abbcb345e96bbcf616630f1a3da (cbcs)"],
            )
        },
        Scenario {
            outcome: Outcome::Mp4(vec![Reference::file("vectors/progressive-clear.mp4")]),
            ..by_kid("sealed/plain-file-without-fragments", "/media/vectors/progressive-sealed.mp4")
        },
        Scenario {
            media: vec![("/behind.mp4", behind.clone().into())],
            args: vec!["--key", KEY],
            ..refused(
                "sealed/plain-file-with-its-index-behind",
                "/behind.mp4",
                vec!["stand behind", "--format raw"],
            )
        },
        Scenario {
            media: vec![("/behind.mp4", behind.into())],
            ..refused(
                "sealed/plain-file-with-its-index-behind-without-a-key",
                "/behind.mp4",
                vec!["its media are encrypted", "scheme cenc, KID eb676abbcb345e96bbcf616630f1a3da"],
            )
        },
    ]
}

/// Common Encryption, to MP4.
fn fragmented_mp4() -> Vec<Scenario> {
    let opened = |name, vector: &str, keys: &str| {
        let clear = if vector.ends_with("audio") { "audio" } else { "video" };
        let reference = match clear {
            "audio" => Reference::file("vectors/clear-audio.mp4"),
            _ => Reference::file("vectors/clear-video.mp4"),
        };
        Scenario {
            files: vec![("/sealed.m3u8", fragmented(vector, keys))],
            ..to_mp4(name, "/sealed.m3u8", vec![reference])
        }
    };
    let drm = |method: &str| key(method, &[WIDEVINE]);
    let identity = key("SAMPLE-AES", &[BY_DATA, "KEYFORMAT=\"identity\""]);
    let several = [drm("SAMPLE-AES"), key("SAMPLE-AES", &[FAIRPLAY]), identity].concat();
    vec![
        opened(
            "sealed/cenc-with-a-key-in-a-data-uri",
            "cenc-video",
            &key("SAMPLE-AES-CTR", &[BY_DATA]),
        ),
        opened("sealed/cenc-audio", "cenc-audio", &key("SAMPLE-AES-CTR", &[BY_DATA])),
        opened("sealed/identity-among-several-key-formats", "cbcs-video", &several),
        opened("sealed/cbcs-audio", "cbcs-audio", &key("SAMPLE-AES", &[BY_DATA])),
        Scenario {
            args: vec!["--key", BY_KID],
            ..opened("sealed/cens-with-a-key-by-its-identifier", "cens-video", &drm("SAMPLE-AES-CTR"))
        },
        Scenario {
            args: vec!["--key", BY_KID],
            ..opened("sealed/cbc1-that-no-playlist-speaks-of", "cbc1-video", "")
        },
        Scenario {
            args: vec!["--key", KEY],
            hides: vec![KEY],
            ..opened("sealed/cens-audio", "cens-audio", &drm("SAMPLE-AES-CTR"))
        },
        opened("sealed/cbc1-audio", "cbc1-audio", &key("SAMPLE-AES", &[BY_DATA])),
        opened("sealed/clear-lead", "lead-video", &key("SAMPLE-AES", &[BY_DATA])),
        Scenario {
            args: vec!["--key", "EAtsIJQPd5pFiRUrV9Layw=="],
            ..opened("sealed/cbcs-with-a-key-in-base64", "cbcs-video", &drm("SAMPLE-AES"))
        },
        Scenario {
            args: vec!["--key", "@keys.txt"],
            local: vec![("keys.txt", "vectors/rotated-keys.txt")],
            ..opened("sealed/keys-that-rotate-in-the-fragments", "rotated-video", &drm("SAMPLE-AES"))
        },
    ]
}

/// SAMPLE-AES in MPEG-TS and packed audio.
fn samples() -> Vec<Scenario> {
    let sealed = |path: &str| single(path, &key("SAMPLE-AES", &[BY_DATA, IV]));
    let raw = |name, path: &str, clear| Scenario {
        files: vec![("/sealed.m3u8", sealed(path))],
        args: vec!["--format", "raw"],
        output: "out.bin",
        outcome: Outcome::Media(clear),
        ..to_ts(name, "/sealed.m3u8")
    };
    let mp4 = |name, path: &str, clear| Scenario {
        files: vec![("/sealed.m3u8", sealed(path))],
        ..to_mp4(name, "/sealed.m3u8", vec![Reference::file(clear)])
    };
    vec![
        mp4(
            "sealed/ts-video-to-mp4",
            "/media/vectors/video-sealed.ts",
            "vectors/clear-video.mp4",
        ),
        mp4("sealed/ts-aac-to-mp4", "/media/vectors/aac-sealed.ts", "vectors/clear-audio.mp4"),
        raw("sealed/ts-video", "/media/vectors/video-sealed.ts", "vectors/video-clear.ts"),
        raw("sealed/ts-ac3", "/media/vectors/ac3-sealed.ts", "vectors/ac3-clear.ts"),
        raw("sealed/ts-eac3", "/media/vectors/eac3-sealed.ts", "vectors/eac3-clear.ts"),
        raw("sealed/packed-aac", "/media/vectors/aac-sealed.aac", "vectors/aac-clear.aac"),
        raw("sealed/packed-ac3", "/media/vectors/ac3-sealed.ac3", "vectors/ac3-clear.ac3"),
        raw("sealed/packed-eac3", "/media/vectors/eac3-sealed.ec3", "vectors/eac3-clear.ec3"),
    ]
}

/// What servers do beside the specification.
fn servers() -> Vec<Scenario> {
    let clip = Clip::get().expect("the committed clip");
    let segment = &clip.folder("high-ts").expect("a folder of the clip").segments[0];
    let picture = clip.file("pictures/1.jpg").expect("a picture of the clip");
    let key_bytes = fixture_server::Encryption::key(0);
    let seal = |clear: &[u8]| encrypt_aes_128(clear, &key_bytes, &[0; 16]);
    let behind = |media: &[u8]| [&picture[..], media].concat();
    // A multiple of both a packet and a block, so that nothing has to be padded.
    let even = segment.slice(..segment.len() / 752 * 752);
    let sealed_even = seal(&even);
    let aes = "#EXT-X-KEY:METHOD=AES-128,URI=\"data:;base64,AAECAwQFBgcICQoLDA0ODw==\",IV=0x00\n";
    let served = |name, keys, media: Vec<u8>, clear: &Bytes| Scenario {
        files: vec![("/odd.m3u8", single("/odd.bin", keys))],
        media: vec![("/odd.bin", media.into())],
        outcome: Outcome::Exactly(clear.clone()),
        ..to_ts(name, "/odd.m3u8")
    };
    let text_key = |text: &str| Fault::Body {
        content_type: "text/plain".into(),
        text: text.into(),
    };
    let in_base64 = "#EXT-X-KEY:METHOD=AES-128,URI=\"/key.txt\",IV=0x00\n";
    let page = b"<!DOCTYPE html><html><body>not found</body></html>\n";
    let gif = b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let chosen = |name, args, path: &str| Scenario {
        files: vec![("/odd.m3u8", single(path, ""))],
        args,
        outcome: Outcome::Bytes("vectors/packets.ts"),
        ..to_ts(name, "/odd.m3u8")
    };
    vec![
        Scenario {
            says: vec!["pose as a JPEG"],
            ..served("sealed/disguised-in-the-clear", "", behind(segment), segment)
        },
        Scenario {
            says: vec!["pose as a web page"],
            ..served("sealed/behind-a-web-page", "", [&page[..], segment].concat(), segment)
        },
        Scenario {
            says: vec!["pose as a GIF"],
            ..served("sealed/gif-before-decryption", aes, [&gif[..], &seal(segment)].concat(), segment)
        },
        served("sealed/disguised-before-decryption", aes, behind(&seal(segment)), segment),
        served("sealed/disguised-inside-the-cipher", aes, seal(&behind(segment)), segment),
        Scenario {
            says: vec!["compressed inside"],
            ..served("sealed/compressed-inside-the-cipher", aes, seal(&gzip(segment)), segment)
        },
        served("sealed/compressed-behind-a-picture", "", behind(&gzip(segment)), segment),
        Scenario {
            says: vec!["not padded"],
            ..served("sealed/not-padded", aes, sealed_even[..even.len()].to_vec(), &even)
        },
        Scenario {
            says: vec!["not encrypted"],
            ..served("sealed/in-the-clear-under-a-key", aes, segment.to_vec(), segment)
        },
        Scenario {
            rules: vec![Rule::new("*/key0.bin", text_key("000102030405060708090a0b0c0d0e0f\n"))],
            says: vec!["it came as text"],
            hides: vec!["000102030405060708090a0b0c0d0e0f"],
            ..to_ts("sealed/key-in-hexadecimal", "/s/aes-explicit-iv/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("/key.txt", text_key("AAECAwQFBgcICQoLDA0ODw=="))],
            says: vec!["it came as text"],
            hides: vec!["AAECAwQFBgcICQoLDA0ODw"],
            ..served("sealed/key-in-base64", in_base64, seal(segment), segment)
        },
        Scenario {
            files: vec![("/long.m3u8", single("/media/vectors/gcm.bin", &key("AES-256-GCM", &[LONG_AS_TEXT])))],
            says: vec!["it came as text"],
            outcome: Outcome::Bytes("vectors/packets.ts"),
            ..to_ts("sealed/key-of-32-bytes-in-hexadecimal", "/long.m3u8")
        },
        chosen(
            "sealed/aes-128-ecb-by-option",
            vec!["--method", "aes-128-ecb", "--key", KEY],
            "/media/vectors/ecb.bin",
        ),
        chosen(
            "sealed/chacha20-by-option",
            vec![
                "--method",
                "chacha20",
                "--key",
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "--iv",
                "0102030405060708",
            ],
            "/media/vectors/chacha20.bin",
        ),
        Scenario {
            files: vec![(
                "/cbc.m3u8",
                single("/media/vectors/cbc-256.bin", &key("AES-256", &[LONG_BY_DATA, IV])),
            )],
            outcome: Outcome::Bytes("vectors/packets.ts"),
            ..to_ts("sealed/aes-256", "/cbc.m3u8")
        },
        Scenario {
            files: vec![("/gcm.m3u8", single("/media/vectors/gcm.bin", &key("AES-256-GCM", &[LONG_BY_DATA])))],
            outcome: Outcome::Bytes("vectors/packets.ts"),
            ..to_ts("sealed/aes-256-gcm", "/gcm.m3u8")
        },
        Scenario {
            files: vec![(
                "/ctr.m3u8",
                single("/media/vectors/ctr.bin", &key("AES-256-CTR", &[LONG_BY_DATA, IV])),
            )],
            outcome: Outcome::Bytes("vectors/packets.ts"),
            ..to_ts("sealed/aes-256-ctr", "/ctr.m3u8")
        },
        Scenario {
            files: vec![(
                "/gcm.m3u8",
                single("/media/vectors/gcm.bin", &key("AES-256-GCM", &[OTHER_LONG_BY_DATA])),
            )],
            says: vec!["wrong authentication tag"],
            ..fails("sealed/aes-256-gcm-under-another-key", "/gcm.m3u8")
        },
        Scenario {
            // rfc8216bis, 5.2 and 4.4.4.7: a segment that is not there has a number all the same.
            files: vec![(
                "/gap.m3u8",
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:4294967295\n\
                 #EXT-X-KEY:METHOD=AES-128,URI=\"data:;base64,AAECAwQFBgcICQoLDA0ODw==\"\n#EXT-X-GAP\n#EXTINF:2,\n/no.ts\n\
                 #EXT-X-DISCONTINUITY\n#EXTINF:2,\n/odd.bin\n#EXT-X-ENDLIST\n",
            )],
            media: vec![(
                "/odd.bin",
                encrypt_aes_128(segment, &key_bytes, &(1_u128 << 32).to_be_bytes()).into(),
            )],
            outcome: Outcome::Exactly(segment.clone()),
            ..to_ts("sealed/number-as-iv-behind-a-gap-and-a-discontinuity", "/gap.m3u8")
        },
        Scenario {
            input: Input::File(
                "list.m3u8",
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"key.bin\",IV=0x00\n#EXTINF:2,\n\
                 {{origin}}/odd.bin\n#EXT-X-ENDLIST\n",
            ),
            given: vec![("key.bin", "sixteen letters!")],
            media: vec![("/odd.bin", encrypt_aes_128(segment, b"sixteen letters!", &[0; 16]).into())],
            outcome: Outcome::Exactly(segment.clone()),
            hides: vec!["sixteen letters!"],
            ..to_ts("sealed/key-in-a-file-beside-the-playlist", "")
        },
        Scenario {
            // The key of a segment that is not there is not there either.
            files: vec![(
                "/gap.m3u8",
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/s/plain-ts/0.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"/no.key\"\n\
                 #EXT-X-GAP\n#EXTINF:2,\n/no.ts\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\n/s/plain-ts/1.ts\n#EXT-X-ENDLIST\n",
            )],
            outcome: Outcome::Concatenation(Reference::some("high-ts", &[0, 1])),
            asked: vec![Asked::exactly("/no.key", 0)],
            ..to_ts("sealed/a-key-that-nothing-needs", "/gap.m3u8")
        },
    ]
}

/// What nobody here can open.
fn refused() -> Vec<Scenario> {
    let refused = |name, path: &str, keys: &str, says| Scenario {
        files: vec![("/sealed.m3u8", single(path, keys))],
        says,
        ..fails(name, "/sealed.m3u8")
    };
    let drm = [key("SAMPLE-AES", &[WIDEVINE]), key("SAMPLE-AES", &[FAIRPLAY])].concat();
    let unknown = key("ROT-13", &[BY_DATA, IV]);
    vec![
        refused(
            "sealed/no-usable-key-names-those-that-are-there",
            "/media/vectors/aac-sealed.ts",
            &drm,
            vec![
                "METHOD=SAMPLE-AES KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"",
                "METHOD=SAMPLE-AES KEYFORMAT=\"com.apple.streamingkeydelivery\"",
            ],
        ),
        refused(
            "sealed/method-that-is-not-known",
            "/s/plain-ts/0.ts",
            &unknown,
            vec!["METHOD=ROT-13"],
        ),
        Scenario {
            files: vec![("/odd.m3u8", single("/odd.bin", &key("AES-128", &[BY_DATA, IV])))],
            media: vec![("/odd.bin", vec![0x5a; 1001].into())],
            says: vec!["1001 bytes are no whole number of 16-byte blocks"],
            ..fails("sealed/length-that-is-no-multiple-of-16", "/odd.m3u8")
        },
        Scenario {
            // rfc8216bis, 4.4.4.5: a section that is encrypted needs an IV attribute.
            files: vec![(
                "/init.m3u8",
                fragmented("cenc-video", &key("AES-128", &[BY_DATA]))
                    .replace(
                        "#EXT-X-MAP:URI=\"/media/vectors/cenc-video.mp4\"",
                        "#EXT-X-MAP:URI=\"/media/vectors/ecb.bin\"",
                    )
                    .leak(),
            )],
            says: vec!["initialization section", "no initialization vector"],
            output: "out.mp4",
            ..fails("sealed/initialization-section-without-an-iv", "/init.m3u8")
        },
        Scenario {
            files: vec![("/sealed.m3u8", fragmented("cbcs-video", ""))],
            says: vec!["no key for KID eb676abbcb345e96bbcf616630f1a3da (cbcs)"],
            output: "out.mp4",
            ..fails("sealed/what-no-playlist-speaks-of-and-nobody-has-a-key-for", "/sealed.m3u8")
        },
        Scenario {
            files: vec![("/whole.m3u8", single("/media/vectors/cbcs-video.mp4", ""))],
            args: vec!["--format", "raw"],
            says: vec!["no key for KID eb676abbcb345e96bbcf616630f1a3da (cbcs)"],
            ..fails("sealed/segment-with-its-own-initialization-section-without-a-key", "/whole.m3u8")
        },
        Scenario {
            args: vec!["--iv", "0x000102030405060708090a0b0c0d0e0f10"],
            says: vec!["--iv", "16 bytes in hexadecimal"],
            exit: 2,
            ..fails("sealed/iv-that-is-too-long", "/s/aes-explicit-iv/index.m3u8")
        },
        Scenario {
            rules: vec![Rule::new("*/key0.bin", Fault::page())],
            says: vec!["key0.bin", "looks like a web page"],
            ..fails("sealed/page-instead-of-a-key", "/s/aes-explicit-iv/index.m3u8")
        },
        Scenario {
            files: vec![("/sealed.m3u8", fragmented("cenc-video", &key("SAMPLE-AES-CTR", &[WIDEVINE])))],
            args: vec!["--key", "00000000000000000000000000000000:100b6c20940f779a4589152b57d2dacb"],
            says: vec!["no key for KID eb676abbcb345e96bbcf616630f1a3da (cenc)"],
            hides: vec![KEY],
            output: "out.mp4",
            ..fails("sealed/key-of-another-identifier", "/sealed.m3u8")
        },
    ]
}
