//! Fragmented MP4 that Shaka's packager encrypted in every scheme, beside the same without encryption
//! (`tests/data/make.sh`).

#![expect(clippy::unwrap_used, reason = "a test")]

use aqueduct_core::{Decrypt, DecryptError, Encryption, Kind, Resource};
use aqueduct_decrypt::{ClearKey, UserKeys};
use bytes::BytesMut;
use url::Url;

const KID: &str = "eb676abbcb345e96bbcf616630f1a3da";
const KEY: &str = "100b6c20940f779a4589152b57d2dacb";
/// What must not be in the output, anywhere.
const PROTECTION: [&[u8; 4]; 12] = [
    b"sinf", b"schm", b"schi", b"tenc", b"frma", b"pssh", b"senc", b"saiz", b"saio", b"seig", b"encv", b"enca",
];

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}.mp4", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    u128::from_str_radix(text, 16).unwrap().to_be_bytes().to_vec()
}

fn sample_aes(scheme: &str) -> Encryption {
    let key = Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap());
    match scheme {
        "cenc" | "cens" => Encryption::SampleAesCtr { key, iv: None },
        _ => Encryption::SampleAes { key, iv: None },
    }
}

fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk::<4>() {
        let (whole, next) = bytes.split_at(u32::from_be_bytes(*size).try_into().unwrap());
        found.push((*rest.first_chunk().unwrap(), whole));
        bytes = next;
    }
    found
}

fn of_kind<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Vec<&'a [u8]> {
    boxes(bytes)
        .into_iter()
        .filter(|(found, _)| found == kind)
        .map(|(_, whole)| whole)
        .collect()
}

/// The initialization section, and each fragment.
fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    let mut cuts = vec![0];
    let mut at = 0;
    for (kind, whole) in boxes(bytes) {
        if &kind == b"moof" {
            cuts.push(at);
        }
        at += whole.len();
    }
    cuts.push(at);
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

fn assert_plain(name: &str, bytes: &[u8]) {
    for kind in PROTECTION {
        assert!(!bytes.windows(4).any(|window| window == kind), "{name}: {}", kind.escape_ascii());
    }
}

/// By parts as they come from a playlist: the initialization section, then each segment.
fn decrypt_parts(clear_key: &mut ClearKey, encryption: &Encryption, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let mut clear = Vec::new();
    for part in parts(sealed) {
        clear.extend_from_slice(&clear_key.decrypt(encryption, key, BytesMut::from(part))?);
    }
    Ok(clear)
}

#[test]
fn every_scheme_gives_back_the_samples_and_the_sample_entries() {
    for kind in ["video", "audio"] {
        let clear = vector(&format!("clear-{kind}"));
        for scheme in ["cenc", "cens", "cbc1", "cbcs"] {
            let name = format!("{scheme}-{kind}");
            let sealed = vector(&name);
            assert_ne!(of_kind(&sealed, b"mdat"), of_kind(&clear, b"mdat"), "{name}");
            let opened = decrypt_parts(&mut ClearKey::new(), &sample_aes(scheme), &hex(KEY), &sealed).unwrap();
            assert_plain(&name, &opened);
            assert_eq!(of_kind(&opened, b"mdat"), of_kind(&clear, b"mdat"), "{name}");
            assert_eq!(of_kind(&opened, b"moov"), of_kind(&clear, b"moov"), "{name}");
        }
    }
}

#[test]
fn a_whole_file_keeps_its_size_and_every_offset() {
    for name in ["cenc-video", "cbcs-audio", "lead-video"] {
        let sealed = vector(name);
        let mut keys = UserKeys::new();
        keys.add(KEY).unwrap();
        let mut clear_key = ClearKey::new().with_keys(keys);
        let opened = clear_key.decrypt(&Encryption::None, &[], BytesMut::from(&sealed[..])).unwrap();
        assert_plain(name, &opened);
        assert_eq!(opened.len(), sealed.len(), "{name}");
        let clear = if name.ends_with("video") { "clear-video" } else { "clear-audio" };
        assert_eq!(of_kind(&opened, b"mdat"), of_kind(&vector(clear), b"mdat"), "{name}");
    }
}

/// All pieces of a plain file, of so many bytes each.
fn in_pieces(clear_key: &mut ClearKey, file: &[u8], step: usize) -> Result<Vec<u8>, DecryptError> {
    let mut opened = Vec::new();
    for piece in file.chunks(step) {
        opened.extend_from_slice(&clear_key.decrypt_piece(BytesMut::from(piece))?);
    }
    opened.extend_from_slice(&clear_key.end_of_file()?);
    Ok(opened)
}

#[test]
fn a_plain_file_is_decrypted_wherever_it_is_cut() {
    let mut keys = rotated_keys();
    keys.add(&format!("{KID}:{KEY}")).unwrap();
    let clear = [vector("clear-video"), vector("clear-audio")];
    for name in [
        "cenc-video",
        "cbcs-audio",
        "cbc1-video",
        "cens-audio",
        "lead-video",
        "rotated-video",
        "clear-video",
    ] {
        let sealed = vector(name);
        // Media of large size and of no size pass by.
        let tail = b"\0\0\0\x01free\0\0\0\0\0\0\0\x11x\0\0\0\0free12345";
        let sealed = [&sealed[..], tail].concat();
        for step in [8, 97, 1000, 4096, sealed.len()] {
            let opened = in_pieces(&mut ClearKey::new().with_keys(keys.clone()), &sealed, step).unwrap();
            assert_plain(name, &opened);
            assert_eq!(opened.len(), sealed.len(), "{name} in pieces of {step}");
            assert!(opened.ends_with(tail));
            let media = of_kind(&opened[..opened.len() - tail.len()], b"mdat");
            assert_eq!(
                media,
                of_kind(&clear[usize::from(name.ends_with("audio"))], b"mdat"),
                "{name} in pieces of {step}"
            );
        }
        // Without a key it is the muxer's to judge.
        assert_eq!(in_pieces(&mut ClearKey::new(), &sealed, 4096).unwrap(), sealed, "{name}");
    }
}

// ffmpeg writes no fragments, and `senc` beside the tables.
#[test]
fn a_progressive_file_is_decrypted_sample_by_sample() {
    let (clear, sealed) = (vector("progressive-clear"), vector("progressive-sealed"));
    assert_ne!(of_kind(&sealed, b"mdat"), of_kind(&clear, b"mdat"));
    let mut keys = UserKeys::new();
    keys.add(&format!("{KID}:{KEY}")).unwrap();
    for step in [8, 97, 1000, 4096, sealed.len()] {
        let opened = in_pieces(&mut ClearKey::new().with_keys(keys.clone()), &sealed, step).unwrap();
        assert_plain("progressive", &opened);
        assert_eq!(opened.len(), sealed.len(), "in pieces of {step}");
        assert!(of_kind(&opened, b"mdat") == of_kind(&clear, b"mdat"), "in pieces of {step}");
    }
}

#[test]
fn a_plain_file_that_cannot_be_decrypted_whole_is_an_error() {
    let sealed = vector("cbcs-video");
    let progressive = vector("progressive-sealed");
    // The tables behind the media.
    let [ftyp, moov, free, mdat] = &boxes(&progressive)[..] else {
        panic!("other boxes")
    };
    let behind = [ftyp.1, free.1, mdat.1, moov.1].concat();
    let changed = |what: &[u8], at: usize, to: &[u8]| {
        let mut changed = progressive.clone();
        let place = changed.windows(what.len()).position(|window| window == what).unwrap() + at;
        changed[place..place + to.len()].copy_from_slice(to);
        changed
    };
    let mut other = UserKeys::new();
    other.add(&format!("00000000000000000000000000000000:{KEY}")).unwrap();
    let mut keys = UserKeys::new();
    keys.add(KEY).unwrap();
    for (keys, file, says) in [
        (&other, &sealed[..], "no key for KID eb676abbcb345e96bbcf616630f1a3da (cbcs)"),
        (&keys, &sealed[..sealed.len() - 1], "cut short"),
        (&keys, &[&sealed[..], b"\0\0\0\x08moof\0\0\0\x09mdat"].concat(), "cut short"),
        (&other, &progressive, "no key for KID eb676abbcb345e96bbcf616630f1a3da (cenc)"),
        (&keys, &progressive[..progressive.len() - 1], "cut short"),
        (&keys, &behind, "stand behind"),
        // The space behind the tables says that there are fragments too.
        (&keys, &changed(b"udta", 0, b"mvex"), "partly in fragments"),
        (&keys, &changed(b"senc", 4, &[1]), "several keys"),
        (&keys, &changed(b"senc", 0, b"free"), "not in senc"),
        (&keys, &changed(b"stsz", 4 + 4, &[0, 0, 0x50, 0]), "lie over each other"),
        (&keys, &changed(b"stsz", 4 + 8, &[0x7f]), "cut short"),
        (&keys, &changed(b"stsz", 4 + 12, &[0, 0, 0x50, 0]), "lie over each other"),
        (&keys, &changed(b"stsc", 4 + 16, &[0, 0, 0, 9]), "sample entry that is not there"),
        (&keys, &changed(b"stco", 0, b"free"), "tables of samples"),
    ] {
        for step in [100, 1 << 20] {
            let error = in_pieces(&mut ClearKey::new().with_keys(keys.clone()), file, step).expect_err(says);
            assert!(error.to_string().contains(says), "{error}, not {says}");
        }
    }
}

// ISO 14496-12 §4.2: a size of 0 reaches to the end of the file. A fragment without samples is one, and fewer than eight bytes are
// no box.
#[test]
fn a_plain_file_may_end_as_the_format_allows() {
    let sealed = vector("cbcs-video");
    let (last, media) = *boxes(&sealed).last().unwrap();
    assert_eq!(last, *b"mdat");
    let mut to_the_end = sealed.clone();
    let at = sealed.len() - media.len();
    to_the_end[at..at + 4].fill(0);
    let mut keys = UserKeys::new();
    keys.add(KEY).unwrap();
    let open = |file: &[u8], step| in_pieces(&mut ClearKey::new().with_keys(keys.clone()), file, step).unwrap();
    for step in [100, 1 << 20] {
        let whole = open(&sealed, step);
        let mut expected = whole.clone();
        expected[at..at + 4].fill(0);
        assert!(open(&to_the_end, step) == expected);
        for more in [
            &b"\0"[..],
            b"\0\0\0\0\0\0\0",
            b"\0\0\0\x08moof",
            b"\0\0\0\x08moof\0\0\0\x09free-",
            b"\0\0\0\x08moofxyz",
        ] {
            assert!(open(&[&sealed[..], more].concat(), step) == [&whole[..], more].concat(), "{more:?}");
        }
    }
}

// `saiz` and `saio` point into `senc`, so without its name they have to do alone.
#[test]
fn auxiliary_information_is_found_without_senc() {
    for kind in ["video", "audio"] {
        for scheme in ["cenc", "cens", "cbc1", "cbcs"] {
            let name = format!("{scheme}-{kind}");
            let mut sealed = vector(&name);
            let places: Vec<usize> = sealed
                .windows(4)
                .enumerate()
                .filter(|(_, kind)| *kind == b"senc")
                .map(|(at, _)| at)
                .collect();
            assert!(!places.is_empty(), "{name}");
            for at in places {
                sealed[at..at + 4].copy_from_slice(b"skip");
            }
            let opened = decrypt_parts(&mut ClearKey::new(), &sample_aes(scheme), &hex(KEY), &sealed).unwrap();
            assert_plain(&name, &opened);
            assert_eq!(
                of_kind(&opened, b"mdat"),
                of_kind(&vector(&format!("clear-{kind}")), b"mdat"),
                "{name}"
            );
        }
    }
}

// Fragments of two tracks by turns, as in a file of picture and sound, each with a key of its own.
#[test]
fn tracks_have_their_own_keys() {
    let (mut video, audio) = (vector("cbcs-video"), vector("cenc-audio"));
    // Another key identifier and another track number for the video.
    let kid = hex(KID);
    let places = |bytes: &[u8], what: &[u8]| -> Vec<usize> {
        let found = bytes.windows(what.len()).enumerate().filter(|(_, window)| *window == what);
        found.map(|(at, _)| at).collect()
    };
    for at in places(&video, &kid) {
        video[at] = 0;
    }
    for (kind, number) in [(b"tkhd", 19), (b"trex", 11), (b"tfhd", 11)] {
        for at in places(&video, kind) {
            // Version 1 has longer times in front of it.
            let number = if kind == b"tkhd" && video[at + 4] == 1 { 27 } else { number };
            assert_eq!(std::mem::replace(&mut video[at + number], 2), 1, "{}", kind.escape_ascii());
        }
    }
    let tracks = |file: &[u8], kind: &[u8; 4]| of_kind(&of_kind(file, b"moov")[0][8..], kind).concat();
    let extends = [&tracks(&audio, b"mvex")[8..], &tracks(&video, b"mvex")[8..]].concat();
    let wrap = |kind: &[u8; 4], content: &[u8]| [&u32::try_from(content.len() + 8).unwrap().to_be_bytes(), &kind[..], content].concat();
    let moov = wrap(
        b"moov",
        &[tracks(&audio, b"trak"), tracks(&video, b"trak"), wrap(b"mvex", &extends)].concat(),
    );
    let fragments = |file: &[u8]| parts(file)[1..].iter().map(|part| part.to_vec()).collect::<Vec<_>>();
    let mut keys = UserKeys::new();
    keys.add(&format!("{KID}:{KEY}")).unwrap();
    keys.add(&format!("00{}:{KEY}", &KID[2..])).unwrap();
    let mut clear_key = ClearKey::new().with_keys(keys);
    clear_key.decrypt(&sample_aes("cbcs"), &[], BytesMut::from(&moov[..])).unwrap();
    assert_eq!(clear_key.key(&sample_aes("cbcs")), None);
    let mixed: Vec<u8> = fragments(&video)
        .into_iter()
        .zip(fragments(&audio))
        .flat_map(|(video, audio)| [video, audio].concat())
        .collect();
    let opened = clear_key.decrypt(&sample_aes("cbcs"), &[], BytesMut::from(&mixed[..])).unwrap();
    let (video, audio) = (vector("clear-video"), vector("clear-audio"));
    let expected: Vec<&[u8]> = of_kind(&video, b"mdat")
        .into_iter()
        .zip(of_kind(&audio, b"mdat"))
        .flat_map(|(video, audio)| [video, audio])
        .collect();
    assert_eq!(of_kind(&opened, b"mdat"), expected);
    assert_plain("mixed", &opened);
}

#[test]
fn a_clear_lead_stays_as_it_is() {
    let opened = decrypt_parts(&mut ClearKey::new(), &sample_aes("cbcs"), &hex(KEY), &vector("lead-video")).unwrap();
    assert_plain("lead-video", &opened);
    assert_eq!(of_kind(&opened, b"mdat"), of_kind(&vector("clear-video"), b"mdat"));
}

/// With each crypto period the packager turns the key and its identifier by a byte to the left.
fn rotated_keys() -> UserKeys {
    let (mut kid, mut key, mut keys) = (hex(KID), hex(KEY), UserKeys::new());
    for _ in 0..16 {
        let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        keys.add(&format!("{}:{}", text(&kid), text(&key))).unwrap();
        kid.rotate_left(1);
        key.rotate_left(1);
    }
    keys
}

// Fragments say in seig sample groups which one they have.
#[test]
fn keys_that_rotate_are_found_by_their_sample_groups() {
    let keys = rotated_keys();
    let sealed = vector("rotated-video");
    let opened = decrypt_parts(&mut ClearKey::new().with_keys(keys.clone()), &sample_aes("cbcs"), &[], &sealed).unwrap();
    assert_plain("rotated-video", &opened);
    assert_eq!(of_kind(&opened, b"mdat"), of_kind(&vector("clear-video"), b"mdat"));
    let opened = ClearKey::new()
        .with_keys(keys)
        .decrypt(&Encryption::None, &[], BytesMut::from(&sealed[..]))
        .unwrap();
    assert_eq!(of_kind(&opened, b"mdat"), of_kind(&vector("clear-video"), b"mdat"), "in one piece");
}

// A stream whose encoder began again, or files that were joined: the initialization section changes in the middle, and with
// it the scheme, the key identifier and the key.
#[test]
fn initialization_sections_in_the_middle_of_a_file_hold_from_their_place_on() {
    let mut keys = rotated_keys();
    keys.add(&format!("{KID}:{KEY}")).unwrap();
    let names = [
        "cenc-video",
        "rotated-video",
        "cbcs-video",
        "clear-video",
        "cbc1-video",
        "lead-video",
        "cens-video",
    ];
    let joined: Vec<u8> = names.iter().flat_map(|name| vector(name)).collect();
    let clear = vector("clear-video");
    let expected = of_kind(&clear, b"mdat").repeat(names.len());
    let mut clear_key = ClearKey::new().with_keys(keys);
    for encryption in [Encryption::None, sample_aes("cbcs")] {
        let opened = clear_key.decrypt(&encryption, &[], BytesMut::from(&joined[..])).unwrap();
        assert_plain("joined", &opened);
        assert_eq!(opened.len(), joined.len());
        assert_eq!(of_kind(&opened, b"mdat"), expected);
        assert_eq!(of_kind(&opened, b"moov").len(), names.len());
    }
}

#[test]
fn a_key_of_the_user_opens_its_kid_and_no_other() {
    let sealed = vector("cenc-video");
    let mut keys = UserKeys::new();
    keys.add(&format!("{KID}:{KEY}")).unwrap();
    let widevine = Encryption::Other {
        keys: [(
            "SAMPLE-AES-CTR".to_owned(),
            "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed".to_owned(),
        )]
        .into(),
        iv: None,
    };
    for encryption in [Encryption::None, widevine.clone(), sample_aes("cenc")] {
        let mut clear_key = ClearKey::new().with_keys(keys.clone());
        let opened = decrypt_parts(&mut clear_key, &encryption, &[], &sealed).unwrap();
        assert_eq!(of_kind(&opened, b"mdat"), of_kind(&vector("clear-video"), b"mdat"));
        assert_eq!(clear_key.key(&encryption), None, "no key is fetched that the user holds");
    }
    let mut other = UserKeys::new();
    other.add(&format!("00000000000000000000000000000000:{KEY}")).unwrap();
    for encryption in [Encryption::None, widevine.clone()] {
        let error = decrypt_parts(&mut ClearKey::new().with_keys(other.clone()), &encryption, &[], &sealed).unwrap_err();
        assert_eq!(error.to_string(), format!("no key for KID {KID} (cenc)"));
    }
    let error = decrypt_parts(&mut ClearKey::new(), &widevine, &[], &sealed).unwrap_err();
    assert!(error.to_string().contains("edef8ba9"), "{error}");
}

#[test]
fn an_initialization_section_before_the_key_is_made_plain_too() {
    let sealed = vector("cbcs-audio");
    let mut clear_key = ClearKey::new();
    let mut clear = Vec::new();
    for (number, part) in parts(&sealed).into_iter().enumerate() {
        let encryption = if number == 0 { Encryption::None } else { sample_aes("cbcs") };
        clear.extend_from_slice(&clear_key.decrypt(&encryption, &hex(KEY), BytesMut::from(part)).unwrap());
    }
    assert_plain("cbcs-audio", &clear);
    assert_eq!(of_kind(&clear, b"mdat"), of_kind(&vector("clear-audio"), b"mdat"));
}

#[test]
fn clear_boxes_are_not_touched() {
    for name in ["clear-video", "clear-audio"] {
        let clear = vector(name);
        for encryption in [Encryption::None, sample_aes("cbcs")] {
            let opened = ClearKey::new().decrypt(&encryption, &hex(KEY), BytesMut::from(&clear[..])).unwrap();
            assert_eq!(opened, clear, "{name}");
        }
        // What is no whole row of boxes is none of ours, where nobody says that it is encrypted.
        let cut = &clear[..clear.len() - 1];
        assert_eq!(ClearKey::new().decrypt(&Encryption::None, &[], BytesMut::from(cut)).unwrap(), cut);
    }
}

#[test]
fn a_segment_that_brings_its_own_initialization_section_never_passes_encrypted() {
    let sealed = vector("cenc-video");
    let error = ClearKey::new()
        .decrypt(&Encryption::None, &[], BytesMut::from(&sealed[..]))
        .unwrap_err();
    assert_eq!(error.to_string(), format!("no key for KID {KID} (cenc)"));
}

#[test]
fn damage_is_an_error_or_harmless() {
    for name in ["cenc-audio", "cbcs-audio", "rotated-video"] {
        let sealed = vector(name);
        let cut = parts(&sealed).concat();
        for at in (0..cut.len().min(4000)).step_by(7) {
            let mut damaged = cut.clone();
            damaged[at] ^= 0xff;
            for encryption in [Encryption::None, sample_aes("cbcs")] {
                let _ = ClearKey::new().decrypt(&encryption, &hex(KEY), BytesMut::from(&damaged[..]));
                let _ = ClearKey::new().decrypt(&encryption, &hex(KEY), BytesMut::from(&damaged[..at]));
            }
        }
    }
}
