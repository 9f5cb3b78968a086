//! Builds initialization sections and segments, and opens them.

use aes::Aes128;
use aes::cipher::{BlockModeEncrypt, KeyIvInit, StreamCipher};
use aqueduct_core::{Decrypt, DecryptError, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::{ClearKey, UserKeys};
use bytes::BytesMut;
use url::Url;

pub(super) const KEYS: [[u8; 16]; 2] = [[7; 16], [9; 16]];
pub(super) const KIDS: [[u8; 16]; 2] = [[0xa1; 16], [0xb2; 16]];
pub(super) const IV: [u8; 16] = *b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\0";

pub(super) fn container(kind: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    [&u32::try_from(8 + content.len()).unwrap().to_be_bytes()[..], kind, &content].concat()
}

pub(super) fn number(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_be_bytes()
}

/// What `tenc` and `seig` share from the protected flag on (ISO 23001-7, 6 and 8.2).
pub(super) fn protection(key: usize, iv_size: u8) -> Vec<u8> {
    let constant = if iv_size == 0 { [&[16][..], &IV].concat() } else { Vec::new() };
    [&[0, 0, 1, iv_size], &KIDS[key][..], &constant].concat()
}

pub(super) fn seig(version: u8, key: usize) -> Vec<u8> {
    let entry = protection(key, 8);
    let length = number(entry.len());
    match version {
        0 => container(b"sgpd", &[&[0; 4], b"seig", &number(1), &entry]),
        1 => container(b"sgpd", &[&[1, 0, 0, 0], b"seig", &length, &number(1), &entry]),
        // Its default is the first entry.
        _ => container(b"sgpd", &[&[2, 0, 0, 0], b"seig", &length, &number(1), &number(1), &entry]),
    }
}

/// What PIFF's `tenc` and `senc` say (PIFF 1.1): AES-CTR is algorithm 1, AES-CBC 2.
pub(super) fn piff(layout: &Layout, key: usize) -> Vec<u8> {
    let algorithm = if layout.scheme == b"cenc" { 1 } else { 2 };
    [&[0, 0, algorithm, layout.iv_size], &KIDS[key][..]].concat()
}

pub(super) const PIFF_TENC: &[u8; 16] = b"\x89\x74\xdb\xce\x7b\xe7\x4c\x51\x84\xf9\x71\x48\xf9\x88\x25\x54";
pub(super) const PIFF_SENC: &[u8; 16] = b"\xa2\x39\x4f\x52\x5a\x9b\x4f\x14\xa2\x44\x6c\x42\x7c\x64\x8d\xf4";
pub(super) const PIFF_PSSH: &[u8; 16] = b"\xd0\x8a\x4f\x18\x10\xf3\x4a\x82\xb6\xc8\x32\xd8\xab\xa1\x83\xd3";

pub(super) fn is_piff(layout: &Layout) -> bool {
    matches!(layout.aux, Aux::Piff { .. })
}

pub(super) fn pssh(layout: &Layout) -> Vec<u8> {
    if is_piff(layout) {
        container(b"uuid", &[PIFF_PSSH, &[1; 30]])
    } else {
        container(b"pssh", &[&[1; 30]])
    }
}

/// A sample entry under the layout's scheme and key.
pub(super) fn entry(layout: &Layout) -> Vec<u8> {
    let (scheme, tenc) = if is_piff(layout) {
        (b"piff", container(b"uuid", &[PIFF_TENC, &[0; 4], &piff(layout, layout.key)]))
    } else {
        (
            layout.scheme,
            container(b"tenc", &[&[0; 4], &protection(layout.key, layout.iv_size)]),
        )
    };
    let schm = container(b"schm", &[&[0; 4], scheme, &[0, 1, 0, 0]]);
    let sinf = container(b"sinf", &[&container(b"frma", &[b"avc1"]), &schm, &container(b"schi", &[&tenc])]);
    container(b"encv", &[&[0; 78], &sinf])
}

pub(super) fn track(id: usize, layout: &Layout, tables: &[u8]) -> Vec<u8> {
    track_of(id, &[entry(layout)], tables)
}

pub(super) fn track_of(id: usize, entries: &[Vec<u8>], tables: &[u8]) -> Vec<u8> {
    let stsd = container(b"stsd", &[&[0; 4], &number(entries.len()), &entries.concat()]);
    let minf = container(b"minf", &[&container(b"stbl", &[&stsd, tables])]);
    container(
        b"trak",
        &[
            &container(b"tkhd", &[&[0; 12], &number(id), &[0; 68]]),
            &container(b"mdia", &[&minf]),
        ],
    )
}

pub(super) fn init(tracks: &[Vec<u8>], pssh: &[u8]) -> Vec<u8> {
    let trex = |id: usize| container(b"trex", &[&[0; 4], &number(id), &number(1), &[0; 12]]);
    let extends: Vec<u8> = (1..=tracks.len()).flat_map(trex).collect();
    container(b"moov", &[&tracks.concat(), &container(b"mvex", &[&extends]), pssh])
}

/// Three samples, of which each begins with 5 clear bytes where there are subsamples.
pub(super) fn samples() -> Vec<Vec<u8>> {
    [100, 37, 64]
        .iter()
        .map(|length| (0..*length).map(|at| u8::try_from(at).unwrap() ^ 0x55).collect())
        .collect()
}

pub(super) fn seal(scheme: &[u8; 4], key: usize, sample: &[u8], clear: usize) -> Vec<u8> {
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
pub(super) struct Layout {
    pub(super) name: &'static str,
    /// The number of the key that the sample entry names.
    pub(super) key: usize,
    pub(super) scheme: &'static [u8; 4],
    pub(super) iv_size: u8,
    pub(super) subsamples: bool,
    pub(super) aux: Aux,
    pub(super) base: Base,
    pub(super) group: Group,
    /// A header of 16 bytes for the media.
    pub(super) long_mdat: bool,
    /// Each sample in a track run of its own.
    pub(super) runs: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Aux {
    Senc,
    /// `senc` that speaks of no sample.
    Empty,
    /// PIFF's `senc`, `tenc` and `pssh`; `named` if `senc` names the second key itself.
    Piff {
        named: bool,
    },
    /// `saiz` and `saio` of this version alone, behind others that are none of protection.
    Apart(u8),
    None,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    Moof,
    Explicit,
    /// Neither: from the fragment on, and then from the end of the data before.
    Implied,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Group {
    None,
    Fragment,
    Init,
    /// Named by nothing but a default.
    Default,
}

/// One segment of `tracks` track fragments in one movie fragment.
pub(super) fn segment(layout: &Layout, tracks: usize) -> Vec<u8> {
    let named = matches!(layout.aux, Aux::Piff { named: true });
    let key = if named || !matches!(layout.group, Group::None) {
        1
    } else {
        layout.key
    };
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
                Aux::Empty => container(b"senc", &[&[0, 0, 0, 2], &number(0)]),
                Aux::Senc => container(b"senc", &[&[0, 0, 0, flags], &number(3), &table]),
                Aux::Piff { named } => {
                    let own = if named { piff(layout, key) } else { Vec::new() };
                    let flags = flags | u8::from(named);
                    container(b"uuid", &[PIFF_SENC, &[0, 0, 0, flags], &own, &number(3), &table])
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
        let moof = container(b"moof", &[&trafs.concat(), &pssh(layout)]);
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
pub(super) fn interleave(sizes: &[u8]) -> Vec<u8> {
    let entry = |size: &[u8]| [&[0, 0, 0, 1], size, &[0, 0, 0, 2]].concat();
    sizes.chunks(4).flat_map(entry).collect()
}

/// What a playlist says of all this.
pub(super) fn told(iv: Option<Iv>) -> Encryption {
    let key = Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap());
    Encryption::SampleAes { key, iv }
}

/// Both keys, each by its identifier.
pub(super) fn user_keys() -> UserKeys {
    let mut keys = UserKeys::new();
    for (kid, key) in KIDS.iter().zip(KEYS) {
        let text = |bytes: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*bytes));
        keys.add(&format!("{}:{}", text(kid), text(&key))).unwrap();
    }
    keys
}

pub(super) fn open(layout: &Layout, tracks: usize, segment: &[u8]) -> Result<Vec<u8>, DecryptError> {
    // Where there is no other.
    let iv = matches!(layout.aux, Aux::None).then_some(Iv(IV));
    let encryption = told(iv);
    let mut clear_key = ClearKey::new().with_keys(user_keys());
    let tables = if matches!(layout.group, Group::Init) {
        seig(0, 1)
    } else {
        Vec::new()
    };
    let tracks: Vec<_> = (1..=tracks).map(|id| track(id, layout, &tables)).collect();
    let plain = clear_key.decrypt(&encryption, &[], BytesMut::from(&init(&tracks, &pssh(layout))[..]))?;
    assert_plain(layout, &plain);
    Ok(clear_key.decrypt(&encryption, &[], BytesMut::from(segment))?.to_vec())
}

pub(super) fn assert_plain(layout: &Layout, bytes: &[u8]) {
    for name in [b"sinf", b"tenc", b"pssh", b"senc", b"seig", b"encv", b"uuid"] {
        assert!(
            !bytes.windows(4).any(|window| window == name),
            "{}: {}",
            layout.name,
            name.escape_ascii()
        );
    }
}

pub(super) const PLAIN: Layout = Layout {
    name: "plain",
    key: 0,
    scheme: b"cenc",
    iv_size: 8,
    subsamples: true,
    aux: Aux::Senc,
    base: Base::Moof,
    group: Group::None,
    long_mdat: false,
    runs: false,
};
