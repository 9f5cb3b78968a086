//! What cannot be right, and what a server may do in spite of the specification.

use aqueduct_core::{Decrypt, DecryptError, Encryption};
use aqueduct_decrypt::ClearKey;
use bytes::BytesMut;

use super::build::{
    Aux, Group, IV, Layout, PLAIN, container, entry, init, number, open, protection, samples, seal, segment, told, track, track_of,
    user_keys,
};

/// `change` is made to the last place of `what`, `at` bytes on.
fn damaged(layout: &Layout, what: &[u8], at: usize, change: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let mut sealed = segment(layout, 1);
    let place = sealed.windows(what.len()).rposition(|window| window == what).unwrap() + at;
    sealed[place..place + change.len()].copy_from_slice(change);
    open(layout, 1, &sealed)
}

#[test]
fn what_cannot_be_right_says_what_is_wrong() {
    let apart = |version| Layout {
        aux: Aux::Apart(version),
        ..PLAIN
    };
    let constant = Layout {
        iv_size: 0,
        scheme: b"cbcs",
        ..apart(0)
    };
    let grouped = Layout {
        group: Group::Fragment,
        ..PLAIN
    };
    for (layout, what, at, change, says) in [
        // The first sample's subsample, one byte too long.
        (
            PLAIN,
            &b"senc"[..],
            24,
            &number(96)[..],
            "subsamples that are larger than their sample",
        ),
        (PLAIN, b"senc", 20, &[0xff, 0xff], "auxiliary information"),
        // Version 1 has other tables (ISO 23001-7:2023, 7.2), and so have groups with multi_key_flag (6).
        (PLAIN, b"senc", 4, &[1], "several keys"),
        (grouped, &[0, 0, 1, 8, 0xb2], 0, &[0x80], "sample group (seig)"),
        (PLAIN, b"trun", 12, &[0x7f], "cut short"),
        (PLAIN, b"trun", 12, &[0x80, 0, 0, 0], "outside the segment"),
        (PLAIN, b"trun", 8, &[0xff; 4], "cut short"),
        (PLAIN, b"tfhd", 8, &number(3), "no initialization section describes"),
        (apart(0), b"saio", 12, &[0xff; 4], "auxiliary information"),
        (apart(1), b"saio", 12, &[0xff; 8], "auxiliary information"),
        (apart(1), b"saio", 8, &number(0), "auxiliary information"),
        (apart(0), b"saiz", 8, &[255], "auxiliary information"),
        // There is some, for all that its place is not told: what is clear in a sample would be decrypted.
        (constant, b"saio", 0, b"skip", "auxiliary information"),
    ] {
        let error = damaged(&layout, what, at, change).map(|_| ()).expect_err(says).to_string();
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

/// A movie fragment of track 1 with this sample entry, its samples one behind the other, and `boxes` that tell of them.
fn fragment(entry: usize, samples: &[Vec<u8>], boxes: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = samples.iter().flat_map(|sample| number(sample.len())).collect();
    let moof = |offset: usize| {
        let tfhd = container(b"tfhd", &[&[0, 2, 0, 2], &number(1), &number(entry)]);
        let trun = container(b"trun", &[&[0, 0, 2, 1], &number(samples.len()), &number(offset), &sizes]);
        container(b"moof", &[&container(b"traf", &[&tfhd, &trun, boxes])])
    };
    let offset = moof(0).len() + 8;
    [moof(offset), container(b"mdat", &[&samples.concat()])].concat()
}

fn clear_entry() -> Vec<u8> {
    container(b"avc1", &[&[0; 78]])
}

/// `seig` descriptions of a fragment (version 1, entries with their lengths) and the numbers of samples of each.
fn groups(descriptions: &[Vec<u8>], members: &[(usize, usize)]) -> Vec<u8> {
    let entries: Vec<u8> = descriptions
        .iter()
        .flat_map(|entry| [&number(entry.len())[..], entry].concat())
        .collect();
    let sgpd = container(b"sgpd", &[&[1, 0, 0, 0], b"seig", &[0; 4], &number(descriptions.len()), &entries]);
    let runs: Vec<u8> = members
        .iter()
        .flat_map(|(count, index)| [number(*count), number(*index)].concat())
        .collect();
    [sgpd, container(b"sbgp", &[&[0; 4], b"seig", &number(members.len()), &runs])].concat()
}

/// The content of the last box.
fn media(segment: &[u8]) -> &[u8] {
    let at = segment.windows(4).rposition(|window| window == b"mdat").unwrap();
    &segment[at + 4..]
}

/// An initialization section and a segment, under both keys.
fn decrypt(init: &[u8], segment: &[u8], encryption: &Encryption) -> Result<Vec<u8>, DecryptError> {
    let mut clear_key = ClearKey::new().with_keys(user_keys());
    clear_key.decrypt(encryption, &[], BytesMut::from(init))?;
    clear_key
        .decrypt(encryption, &[], BytesMut::from(segment))
        .map(|bytes| bytes.to_vec())
}

#[test]
fn boxes_nested_without_end_do_not_fill_the_stack() {
    const DEPTH: usize = 200_000;
    let nested: Vec<u8> = (1..=DEPTH)
        .rev()
        .flat_map(|levels| [number(8 * levels), *b"moov"].concat())
        .collect();
    let init = init(&[track(1, &PLAIN, &[])], &nested);
    let plain = ClearKey::new().decrypt(&told(None), &[], BytesMut::from(&init[..])).unwrap();
    assert!(plain.ends_with(&nested));
}

// Playlists name a key for all tracks, and sound or subtitles are in the clear all the same. Whether such a fragment makes
// sense is nobody's to judge here.
#[test]
fn fragments_in_the_clear_stay_as_they_are_whatever_they_say() {
    let init = init(&[track_of(1, &[clear_entry()], &[])], &[]);
    let whole = fragment(1, &samples(), &[]);
    let cut = &whole[..whole.len() - 1];
    let overlapping = {
        let tfhd = container(b"tfhd", &[&[0, 2, 0, 0x10], &number(1), &number(1000)]);
        let run = container(b"trun", &[&[0, 0, 0, 1], &number(1), &number(0)]);
        [
            container(b"moof", &[&container(b"traf", &[&tfhd, &run.repeat(100)])]),
            container(b"mdat", &[&[5; 2000]]),
        ]
        .concat()
    };
    let entry_out_of_range = fragment(9, &samples(), &[]);
    for segment in [&whole[..], cut, &overlapping, &entry_out_of_range] {
        for encryption in [Encryption::None, told(None)] {
            assert_eq!(decrypt(&init, segment, &encryption).unwrap(), segment);
        }
    }
}

// ISO 23001-7, 6: sample groups tell of samples whose sample entry is protected.
#[test]
fn groups_change_nothing_for_a_sample_entry_in_the_clear() {
    let init = init(&[track_of(1, &[entry(&PLAIN), clear_entry()], &[])], &[]);
    let lead = fragment(2, &samples(), &groups(&[protection(1, 8)], &[(3, 0x1_0001)]));
    assert_eq!(media(&decrypt(&init, &lead, &told(None)).unwrap()), samples().concat());
}

/// A `seig` entry of samples in the clear.
fn clear_group() -> Vec<u8> {
    vec![0; 20]
}

#[test]
fn the_scheme_of_a_group_is_that_of_the_sample_entry() {
    let constant = Layout {
        iv_size: 0,
        scheme: b"cbcs",
        ..PLAIN
    };
    let init = init(&[track_of(1, &[entry(&constant), entry(&PLAIN)], &[])], &[]);
    let sealed: Vec<Vec<u8>> = samples().iter().map(|sample| seal(b"cenc", 1, sample, 0)).collect();
    let senc = container(b"senc", &[&[0; 4], &number(3), &IV[..8].repeat(3)]);
    let boxes = [groups(&[protection(1, 8)], &[(3, 0x1_0001)]), senc].concat();
    let opened = decrypt(&init, &fragment(2, &sealed, &boxes), &told(None)).unwrap();
    assert_eq!(media(&opened), samples().concat());
}

// A packager that leaves some samples in the clear says so in a group, and has no auxiliary information for them
// (ISO 23001-7, 7.1): `saiz` has the size 0.
#[test]
fn samples_in_the_clear_between_others_have_no_entry_in_senc() {
    let init = init(&[track(1, &PLAIN, &[])], &[]);
    let mut stored = samples();
    let (mut entries, mut sizes) = (Vec::new(), Vec::new());
    for (number_of, sample) in stored.iter_mut().enumerate() {
        if number_of == 1 {
            sizes.push(0);
            continue;
        }
        *sample = seal(b"cenc", 0, sample, 5);
        entries.extend([&IV[..8], &[0, 1, 0, 5], &number(sample.len() - 5)].concat());
        sizes.push(16);
    }
    let senc = container(b"senc", &[&[0, 0, 0, 2], &number(3), &entries]);
    let saiz = container(b"saiz", &[&[0; 4], &[0], &number(3), &sizes]);
    let groups = groups(&[clear_group()], &[(1, 0), (1, 0x1_0001), (1, 0)]);
    let opened = decrypt(&init, &fragment(1, &stored, &[saiz, senc, groups].concat()), &told(None)).unwrap();
    assert_eq!(media(&opened), samples().concat());
}

// An error in one segment must not reach into the next, whose bytes lie in the same places.
#[test]
fn a_segment_that_failed_leaves_nothing_behind() {
    let layout = Layout {
        iv_size: 0,
        scheme: b"cbcs",
        subsamples: false,
        aux: Aux::None,
        ..PLAIN
    };
    let good = segment(&layout, 1);
    let mut bad = good.clone();
    let sizes = bad.windows(4).position(|window| window == b"trun").unwrap() + 16;
    // The size of the third sample, behind its duration.
    bad[sizes + 28..sizes + 32].copy_from_slice(&number(9999));
    let mut clear_key = ClearKey::new().with_keys(user_keys());
    let init = init(&[track(1, &layout, &[])], &[]);
    clear_key.decrypt(&told(None), &[], BytesMut::from(&init[..])).unwrap();
    clear_key.decrypt(&told(None), &[], BytesMut::from(&bad[..])).unwrap_err();
    // Something in front, so that the places are others.
    let moved = [container(b"free", &[&[0; 5]]), good].concat();
    let opened = clear_key.decrypt(&told(None), &[], BytesMut::from(&moved[..])).unwrap();
    assert_eq!(media(&opened), samples().concat());
}

#[test]
fn what_cannot_be_made_plain_is_refused() {
    let encv = entry(&PLAIN);
    let at = |what: &[u8]| encv.windows(4).position(|window| window == what).unwrap();
    let changed = |place: usize, to: &[u8]| {
        let mut changed = encv.clone();
        changed[place..place + to.len()].copy_from_slice(to);
        init(&[track_of(1, &[changed], &[])], &[])
    };
    // Without mvex, there are no fragments.
    let progressive = {
        let mut whole = init(&[track(1, &PLAIN, &[])], &[]);
        let mvex = whole.windows(4).position(|window| window == b"mvex").unwrap();
        whole[mvex..mvex + 4].copy_from_slice(b"free");
        whole
    };
    let protected = segment(&PLAIN, 1);
    for (bytes, says) in [
        (changed(at(b"frma"), b"skip"), "does not say what it was (frma)"),
        // default_isProtected; other values than 0 and 1 are reserved (ISO 23001-7, 8.2.2).
        (changed(at(b"tenc") + 10, &[2]), "track encryption (tenc)"),
        // A version to come.
        (changed(at(b"tenc") + 4, &[2]), "track encryption (tenc)"),
        (
            init(&(1..=65).map(|id| track(id, &PLAIN, &[])).collect::<Vec<_>>(), &[]),
            "more than 64 tracks",
        ),
        (
            init(&[track_of(1, &vec![encv.clone(); 65], &[])], &[]),
            "more than 64 sample entries",
        ),
        (changed(at(b"schm") + 8, b"xxxx"), "protection scheme \"xxxx\" is not known"),
        (progressive, "not fragmented"),
    ] {
        for encryption in [told(None), Encryption::None] {
            let error = decrypt(&bytes, &protected, &encryption).expect_err(says).to_string();
            assert!(error.contains(says), "{error}, not {says}");
        }
    }
    // What describes the samples is cut: all of them would stay as they are.
    let moof = protected.windows(4).position(|window| window == b"skip").unwrap() - 4;
    let init = init(&[track(1, &PLAIN, &[])], &[]);
    for encryption in [told(None), Encryption::None] {
        let error = decrypt(&init, &protected[..moof - 1], &encryption).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{error}");
    }
}

#[test]
fn a_box_for_drm_systems_goes_where_nothing_is_protected_too() {
    let init = init(&[track_of(1, &[clear_entry()], &[])], &container(b"pssh", &[&[1; 30]]));
    for encryption in [told(None), Encryption::None] {
        let plain = ClearKey::new().decrypt(&encryption, &[], BytesMut::from(&init[..])).unwrap();
        assert_eq!(plain.len(), init.len() - 38);
        assert!(!plain.windows(4).any(|window| window == b"pssh"));
    }
}
