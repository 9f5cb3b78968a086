//! The same samples in every way that fragments may be laid out, sealed here by an encrypter of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use aes::Aes128;
use aes::cipher::{BlockModeEncrypt, KeyIvInit, StreamCipher};
use aqueduct_core::{Decrypt, DecryptError, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::{ClearKey, UserKeys};
use bytes::BytesMut;
use url::Url;

const KEYS: [[u8; 16]; 2] = [[7; 16], [9; 16]];
const KIDS: [[u8; 16]; 2] = [[0xa1; 16], [0xb2; 16]];
const IV: [u8; 16] = *b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\0";

fn container(kind: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    [&u32::try_from(8 + content.len()).unwrap().to_be_bytes()[..], kind, &content].concat()
}

fn number(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_be_bytes()
}

/// What `tenc` and `seig` share from the protected flag on (ISO 23001-7, 6 and 8.2).
fn protection(key: usize, iv_size: u8) -> Vec<u8> {
    let constant = if iv_size == 0 { [&[16][..], &IV].concat() } else { Vec::new() };
    [&[0, 0, 1, iv_size], &KIDS[key][..], &constant].concat()
}

fn seig(version: u8, key: usize) -> Vec<u8> {
    let entry = protection(key, 8);
    let length = number(entry.len());
    match version {
        0 => container(b"sgpd", &[&[0; 4], b"seig", &number(1), &entry]),
        1 => container(b"sgpd", &[&[1, 0, 0, 0], b"seig", &length, &number(1), &entry]),
        // Its default is the first entry.
        _ => container(b"sgpd", &[&[2, 0, 0, 0], b"seig", &length, &number(1), &number(1), &entry]),
    }
}

fn track(id: usize, scheme: &[u8; 4], iv_size: u8, tables: &[u8]) -> Vec<u8> {
    let tenc = container(b"tenc", &[&[0; 4], &protection(0, iv_size)]);
    let schm = container(b"schm", &[&[0; 4], scheme, &[0, 1, 0, 0]]);
    let sinf = container(b"sinf", &[&container(b"frma", &[b"avc1"]), &schm, &container(b"schi", &[&tenc])]);
    let stsd = container(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &container(b"encv", &[&[0; 78], &sinf])]);
    let minf = container(b"minf", &[&container(b"stbl", &[&stsd, tables])]);
    container(
        b"trak",
        &[
            &container(b"tkhd", &[&[0; 12], &number(id), &[0; 68]]),
            &container(b"mdia", &[&minf]),
        ],
    )
}

fn init(tracks: &[Vec<u8>]) -> Vec<u8> {
    let trex = |id: usize| container(b"trex", &[&[0; 4], &number(id), &number(1), &[0; 12]]);
    let extends: Vec<u8> = (1..=tracks.len()).flat_map(trex).collect();
    container(
        b"moov",
        &[&tracks.concat(), &container(b"mvex", &[&extends]), &container(b"pssh", &[&[1; 30]])],
    )
}

/// Three samples, of which each begins with 5 clear bytes where there are subsamples.
fn samples() -> Vec<Vec<u8>> {
    [100, 37, 64]
        .iter()
        .map(|length| (0..*length).map(|at| u8::try_from(at).unwrap() ^ 0x55).collect())
        .collect()
}

fn seal(scheme: &[u8; 4], key: usize, sample: &[u8], clear: usize) -> Vec<u8> {
    let mut sealed = sample.to_vec();
    let protected = &mut sealed[clear..];
    if scheme == b"cenc" {
        ctr::Ctr64BE::<Aes128>::new(&KEYS[key].into(), &IV.into()).apply_keystream(protected);
    } else {
        let (blocks, _) = aes::Block::slice_as_chunks_mut(protected);
        cbc::Encryptor::<Aes128>::new(&KEYS[key].into(), &IV.into()).encrypt_blocks(blocks);
    }
    sealed
}

/// How a segment is laid out.
#[derive(Clone, Copy, Debug)]
struct Layout {
    name: &'static str,
    scheme: &'static [u8; 4],
    iv_size: u8,
    subsamples: bool,
    aux: Aux,
    base: Base,
    group: Group,
    /// A header of 16 bytes for the media.
    long_mdat: bool,
    /// Each sample in a track run of its own.
    runs: bool,
}

#[derive(Clone, Copy, Debug)]
enum Aux {
    Senc,
    Piff,
    /// `saiz` and `saio` of this version alone, behind others that are none of protection.
    Apart(u8),
    None,
}

#[derive(Clone, Copy, Debug)]
enum Base {
    Moof,
    Explicit,
    /// Neither: from the fragment on, and then from the end of the data before.
    Implied,
}

#[derive(Clone, Copy, Debug)]
enum Group {
    None,
    Fragment,
    Init,
    /// Named by nothing but a default.
    Default,
}

/// One segment of `tracks` track fragments in one movie fragment.
fn segment(layout: &Layout, tracks: usize) -> Vec<u8> {
    let key = usize::from(!matches!(layout.group, Group::None));
    let clear = if layout.subsamples { 5 } else { 0 };
    let sealed: Vec<Vec<u8>> = samples().iter().map(|sample| seal(layout.scheme, key, sample, clear)).collect();
    let media = sealed.concat();
    let entry = |sample: &Vec<u8>| {
        let iv = &IV[..usize::from(layout.iv_size)];
        if layout.subsamples {
            [iv, &[0, 1, 0, 5], &number(sample.len() - 5)].concat()
        } else {
            iv.to_vec()
        }
    };
    let entries: Vec<Vec<u8>> = sealed.iter().map(entry).collect();
    let flags = if layout.subsamples { 2 } else { 0 };
    // Offsets are told when it is known how long the fragment is; a box before the media holds what stands apart.
    let make = |moof: usize| -> Vec<u8> {
        let table = entries.concat();
        let header = if layout.long_mdat { 16 } else { 8 };
        let data = moof + 8 + table.len() + header;
        let mut trafs = Vec::new();
        for track in 0..tracks {
            let tfhd = match layout.base {
                Base::Moof => container(b"tfhd", &[&[0, 2, 0, 0], &number(track + 1)]),
                Base::Explicit => container(b"tfhd", &[&[0, 0, 0, 1], &number(track + 1), &[0; 4], &number(5000)]),
                Base::Implied => container(b"tfhd", &[&[0; 4], &number(track + 1)]),
            };
            // Data of the second track follow those of the first.
            let start = match layout.base {
                Base::Implied if track > 0 => 0,
                _ => data + track * media.len(),
            };
            let sizes: Vec<u8> = sealed.iter().flat_map(|sample| number(sample.len())).collect();
            let truns = if layout.runs {
                let first = container(b"trun", &[&[0, 0, 2, 1], &number(1), &number(start), &sizes[..4]]);
                // The last goes on where the one before ended.
                let next = container(
                    b"trun",
                    &[&[0, 0, 2, 1], &number(1), &number(start + sealed[0].len()), &sizes[4..8]],
                );
                [first, next, container(b"trun", &[&[0, 0, 2, 0], &number(1), &sizes[8..]])].concat()
            } else {
                container(b"trun", &[&[0, 0, 0xb, 1], &number(3), &number(start), &interleave(&sizes)])
            };
            let aux_at = moof + 8;
            let aux = match layout.aux {
                Aux::None => Vec::new(),
                Aux::Senc => container(b"senc", &[&[0, 0, 0, flags], &number(3), &table]),
                Aux::Piff => {
                    let id = b"\xa2\x39\x4f\x52\x5a\x9b\x4f\x14\xa2\x44\x6c\x42\x7c\x64\x8d\xf4";
                    container(b"uuid", &[id, &[0, 0, 0, flags], &number(3), &table])
                }
                Aux::Apart(version) => {
                    let offset = [&[0; 4][..if version == 0 { 0 } else { 4 }], &number(aux_at)].concat();
                    let sizes: Vec<u8> = entries.iter().map(|entry| u8::try_from(entry.len()).unwrap()).collect();
                    let other = container(b"saiz", &[&[0, 0, 0, 1], b"abcd", &[0; 4], &[9], &number(3)]);
                    let other_offset = container(b"saio", &[&[0, 0, 0, 1], b"abcd", &[0; 4], &number(1), &number(0)]);
                    let saiz = container(b"saiz", &[&[0; 4], &[0], &number(3), &sizes]);
                    let saio = container(b"saio", &[&[version, 0, 0, 0], &number(1), &offset]);
                    [other, other_offset, saiz, saio].concat()
                }
            };
            let members = |index: usize| {
                container(
                    b"sbgp",
                    &[&[0; 4], b"seig", &number(2), &number(2), &number(index), &number(1), &number(index)],
                )
            };
            let groups = match layout.group {
                Group::None => Vec::new(),
                Group::Fragment => [seig(1, 1), members(0x1_0001)].concat(),
                Group::Init => members(1),
                Group::Default => seig(2, 1),
            };
            trafs.push(container(b"traf", &[&tfhd, &truns, &aux, &groups]));
        }
        let moof = container(b"moof", &[&trafs.concat(), &container(b"pssh", &[&[1; 30]])]);
        let media = media.repeat(trafs.len());
        let mdat = if layout.long_mdat {
            [&number(1), &b"mdat"[..], &[0; 4], &number(16 + media.len()), &media].concat()
        } else {
            container(b"mdat", &[&media])
        };
        [moof, container(b"skip", &[&table]), mdat].concat()
    };
    let length = |segment: &[u8]| usize::try_from(u32::from_be_bytes(*segment.first_chunk().unwrap())).unwrap();
    make(length(&make(0)))
}

/// Sizes between durations and composition offsets.
fn interleave(sizes: &[u8]) -> Vec<u8> {
    let entry = |size: &[u8]| [&[0, 0, 0, 1], size, &[0, 0, 0, 2]].concat();
    sizes.chunks(4).flat_map(entry).collect()
}

fn open(layout: &Layout, tracks: usize, segment: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let mut keys = UserKeys::new();
    for (kid, key) in KIDS.iter().zip(KEYS) {
        let text = |bytes: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*bytes));
        keys.add(&format!("{}:{}", text(kid), text(&key))).unwrap();
    }
    let encryption = Encryption::SampleAes {
        key: Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap()),
        // Where there is no other.
        iv: matches!(layout.aux, Aux::None).then_some(Iv(IV)),
    };
    let mut clear_key = ClearKey::new().with_keys(keys);
    let tables = if matches!(layout.group, Group::Init) {
        seig(0, 1)
    } else {
        Vec::new()
    };
    let tracks: Vec<_> = (1..=tracks).map(|id| track(id, layout.scheme, layout.iv_size, &tables)).collect();
    let plain = clear_key.decrypt(&encryption, &[], BytesMut::from(&init(&tracks)[..]))?;
    assert_plain(layout, &plain);
    Ok(clear_key.decrypt(&encryption, &[], BytesMut::from(segment))?.to_vec())
}

fn assert_plain(layout: &Layout, bytes: &[u8]) {
    for name in [b"sinf", b"tenc", b"pssh", b"senc", b"seig", b"encv", b"uuid"] {
        assert!(
            !bytes.windows(4).any(|window| window == name),
            "{}: {}",
            layout.name,
            name.escape_ascii()
        );
    }
}

const PLAIN: Layout = Layout {
    name: "plain",
    scheme: b"cenc",
    iv_size: 8,
    subsamples: true,
    aux: Aux::Senc,
    base: Base::Moof,
    group: Group::None,
    long_mdat: false,
    runs: false,
};

#[rustfmt::skip]
const LAYOUTS: [Layout; 18] = [
    PLAIN,
    Layout { name: "16 bytes of IV", iv_size: 16, ..PLAIN },
    Layout { name: "constant IV", iv_size: 0, scheme: b"cbcs", ..PLAIN },
    Layout { name: "constant IV and nothing else", iv_size: 0, scheme: b"cbcs", subsamples: false, aux: Aux::None, ..PLAIN },
    Layout { name: "whole samples", subsamples: false, ..PLAIN },
    Layout { name: "PIFF's senc", aux: Aux::Piff, ..PLAIN },
    Layout { name: "saio of version 0", aux: Aux::Apart(0), ..PLAIN },
    Layout { name: "saio of version 1", aux: Aux::Apart(1), ..PLAIN },
    Layout { name: "saio and several runs", aux: Aux::Apart(1), runs: true, ..PLAIN },
    Layout { name: "an explicit base", base: Base::Explicit, ..PLAIN },
    Layout { name: "an implied base", base: Base::Implied, ..PLAIN },
    Layout { name: "an implied base and saio", base: Base::Implied, aux: Aux::Apart(0), ..PLAIN },
    Layout { name: "media with a long header", long_mdat: true, ..PLAIN },
    Layout { name: "runs that go on", runs: true, ..PLAIN },
    Layout { name: "a group of the fragment", group: Group::Fragment, ..PLAIN },
    Layout { name: "a group of the initialization section", group: Group::Init, ..PLAIN },
    Layout { name: "a group by default", group: Group::Default, ..PLAIN },
    Layout { name: "a chain over subsamples", scheme: b"cbc1", iv_size: 16, ..PLAIN },
];

#[test]
fn every_layout_gives_back_its_samples() {
    for layout in &LAYOUTS {
        for tracks in [1, 2] {
            // From the end of the first track's data, the place of what stands apart would be negative.
            if tracks == 2 && matches!((layout.base, layout.aux), (Base::Implied, Aux::Apart(_))) {
                continue;
            }
            let sealed = segment(layout, tracks);
            let opened = open(layout, tracks, &sealed).unwrap_or_else(|error| panic!("{}: {error}", layout.name));
            let media = samples().concat().repeat(tracks);
            assert!(!sealed.ends_with(&media), "{}", layout.name);
            assert!(opened.ends_with(&media), "{} in {tracks} tracks", layout.name);
            assert_eq!(opened.len(), sealed.len());
            // The box before the media holds nothing but numbers.
            let moof = opened.windows(4).position(|window| window == b"skip").unwrap();
            assert_plain(layout, &opened[..moof]);
        }
    }
}

/// `change` is made to the first place of `what`, `at` bytes on.
fn damaged(what: &[u8], at: usize, change: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let mut sealed = segment(&PLAIN, 1);
    let place = sealed.windows(what.len()).position(|window| window == what).unwrap() + at;
    sealed[place..place + change.len()].copy_from_slice(change);
    open(&PLAIN, 1, &sealed)
}

#[test]
fn what_cannot_be_right_says_what_is_wrong() {
    for (what, at, change, says) in [
        // The first sample's subsample, one byte too long.
        (&b"senc"[..], 24, &number(96)[..], "subsamples that are larger than their sample"),
        (b"senc", 20, &[0xff, 0xff], "auxiliary information"),
        (b"trun", 12, &[0x7f], "cut short"),
        (b"trun", 12, &[0x80, 0, 0, 0], "outside the segment"),
        (b"trun", 8, &[0xff; 4], "cut short"),
        (b"tfhd", 8, &number(3), "no initialization section describes"),
    ] {
        let error = damaged(what, at, change).map(|_| ()).expect_err(says).to_string();
        assert!(error.contains(says), "{error}, not {says}");
    }
}

// Many runs over the same bytes would be decrypted over and over.
#[test]
fn samples_that_lie_over_each_other_are_refused() {
    let whole = container(b"tfhd", &[&[0, 2, 0, 0x10], &number(1), &number(1000)]);
    let run = container(b"trun", &[&[0, 0, 0, 1], &number(1), &number(0)]);
    let senc = container(b"senc", &[&[0; 4], &number(100), &IV[..8].repeat(100)]);
    let moof = container(b"moof", &[&container(b"traf", &[&whole, &run.repeat(100), &senc])]);
    let sealed = [moof, container(b"mdat", &[&[5; 4000]])].concat();
    let error = open(&PLAIN, 1, &sealed).unwrap_err();
    assert_eq!(error.to_string(), "protected media: samples that lie over each other");
}

// An initialization section that comes in the middle takes the place of the first.
#[test]
fn a_new_initialization_section_holds_from_its_place_on() {
    let encryption = Encryption::SampleAes {
        key: Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap()),
        iv: None,
    };
    let mut clear_key = ClearKey::new();
    for layout in [&LAYOUTS[0], &LAYOUTS[17], &LAYOUTS[2], &LAYOUTS[0]] {
        let init = init(&[track(1, layout.scheme, layout.iv_size, &[])]);
        clear_key.decrypt(&encryption, &KEYS[0], BytesMut::from(&init[..])).unwrap();
        for _ in 0..2 {
            let opened = clear_key.decrypt(&encryption, &KEYS[0], BytesMut::from(&segment(layout, 1)[..]));
            assert!(opened.unwrap().ends_with(&samples().concat()), "{}", layout.name);
        }
    }
}
