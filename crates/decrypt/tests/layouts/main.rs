//! The same samples in every way that fragments may be laid out, sealed here by an encrypter of its own, and layouts that
//! cannot be right.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod build;
mod hostile;

use aqueduct_core::{Decrypt, Encryption};
use aqueduct_decrypt::ClearKey;
use bytes::BytesMut;

use build::{Aux, Base, Group, KEYS, Layout, PLAIN, assert_plain, init, open, pssh, samples, segment, told, track, user_keys};

#[rustfmt::skip]
const LAYOUTS: [Layout; 21] = [
    PLAIN,
    Layout { name: "16 bytes of IV", iv_size: 16, ..PLAIN },
    Layout { name: "constant IV", iv_size: 0, scheme: b"cbcs", ..PLAIN },
    Layout { name: "constant IV and nothing else", iv_size: 0, scheme: b"cbcs", subsamples: false, aux: Aux::None, ..PLAIN },
    Layout { name: "whole samples", subsamples: false, ..PLAIN },
    Layout { name: "PIFF in counter mode", aux: Aux::Piff { named: false }, ..PLAIN },
    Layout { name: "PIFF in chains", aux: Aux::Piff { named: false }, scheme: b"cbc1", iv_size: 16, ..PLAIN },
    Layout { name: "PIFF's senc with a key of its own", aux: Aux::Piff { named: true }, ..PLAIN },
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
    Layout { name: "constant IV and an empty senc", iv_size: 0, scheme: b"cbcs", subsamples: false, aux: Aux::Empty, ..PLAIN },
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

// An initialization section that comes in the middle takes the place of the first.
#[test]
fn a_new_initialization_section_holds_from_its_place_on() {
    let encryption = told(None);
    let mut clear_key = ClearKey::new();
    for layout in [&LAYOUTS[0], &LAYOUTS[19], &LAYOUTS[2], &LAYOUTS[0]] {
        let init = init(&[track(1, layout, &[])], &[]);
        clear_key.decrypt(&encryption, &KEYS[0], BytesMut::from(&init[..])).unwrap();
        for _ in 0..2 {
            let opened = clear_key.decrypt(&encryption, &KEYS[0], BytesMut::from(&segment(layout, 1)[..]));
            assert!(opened.unwrap().ends_with(&samples().concat()), "{}", layout.name);
        }
    }
}

// Files that were joined, or a stream whose encoder began again: each initialization section holds up to the next, with its
// own key, scheme and IVs.
#[test]
fn each_of_several_moov_boxes_in_one_file_holds_up_to_the_next() {
    let second = |layout: &Layout| Layout { key: 1, ..*layout };
    let parts = [LAYOUTS[0], second(&LAYOUTS[2]), second(&LAYOUTS[0]), LAYOUTS[5], LAYOUTS[19]];
    let file: Vec<u8> = parts
        .iter()
        .flat_map(|layout| {
            [
                init(&[track(1, layout, &[])], &pssh(layout)),
                segment(layout, 1),
                segment(layout, 1),
            ]
            .concat()
        })
        .collect();
    for encryption in [Encryption::None, told(None)] {
        let mut clear_key = ClearKey::new().with_keys(user_keys());
        let opened = clear_key.decrypt(&encryption, &[], BytesMut::from(&file[..])).unwrap();
        assert_eq!(opened.len(), file.len());
        let media: Vec<usize> = memchr::memmem::find_iter(&opened, &samples().concat()).collect();
        assert_eq!(media.len(), 2 * parts.len());
        // Without the numbers in front of each medium.
        for name in [&b"sinf"[..], b"tenc", b"pssh", b"senc", b"encv", b"uuid"] {
            assert_eq!(memchr::memmem::find(&opened, name), None, "{}", name.escape_ascii());
        }
        // Where each was there is free space, and all boxes stand where they stood.
        let places = |bytes: &[u8]| memchr::memmem::find_iter(bytes, b"mdat").collect::<Vec<_>>();
        assert_eq!(places(&opened), places(&file));
    }
}
