//! What servers do beside the specification, sealed by openssl and gzip.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use aqueduct_core::{Decrypt, DecryptError, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::{ClearKey, Method, UserKeys, Warning};
use bytes::BytesMut;
use url::Url;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const CLEAR: &[u8] = b"\0\0\0\x0cftypmp42";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn keys(key: &str, iv: Option<&str>) -> UserKeys {
    let mut keys = UserKeys::new();
    keys.add(key).unwrap();
    iv.into_iter().for_each(|iv| keys.set_iv(iv).unwrap());
    keys
}

fn aes128(iv: Option<u128>) -> Encryption {
    Encryption::Aes128 {
        key: Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap()),
        iv: iv.map(|iv| Iv(iv.to_be_bytes())),
    }
}

fn open(clear_key: &mut ClearKey, encryption: &Encryption, key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, DecryptError> {
    clear_key
        .decrypt(encryption, key, BytesMut::from(bytes))
        .map(|bytes| bytes.to_vec())
}

// printf '\0\0\0\014ftypmp42' | openssl enc -aes-128-ecb -K 000102030405060708090a0b0c0d0e0f | xxd -p
const ECB: &str = "a512ea9dfd2f11d444f6c6fa12924f7d";

#[test]
fn a_method_of_the_user_takes_the_place_of_the_playlists() {
    let chosen = || ClearKey::new().with_method(Method::Aes128Ecb);
    // With the user's key, whatever the playlist says; and with the playlist's.
    for encryption in [Encryption::None, aes128(Some(7))] {
        let mut clear_key = chosen().with_keys(keys(KEY, None));
        assert_eq!(open(&mut clear_key, &encryption, &[], &hex(ECB)).unwrap(), CLEAR);
        assert_eq!(clear_key.key(&encryption), None);
    }
    let mut clear_key = chosen();
    assert!(clear_key.key(&aes128(None)).is_some());
    assert_eq!(open(&mut clear_key, &aes128(None), &hex(KEY), &hex(ECB)).unwrap(), CLEAR);
    let error = open(&mut chosen(), &Encryption::None, &[], &hex(ECB)).unwrap_err();
    assert_eq!(error.to_string(), "no key for AES-128-ECB: it takes one of 16 bytes");
    open(&mut chosen().with_keys(keys(KEY, None)), &Encryption::None, &[], &hex(ECB)[..15]).unwrap_err();
}

/// Fourteen packets that tell their number.
fn ts() -> Vec<u8> {
    let packet = |number| {
        let mut packet = [0x5a; 188];
        packet[..2].copy_from_slice(&[0x47, number]);
        packet
    };
    (0..14).flat_map(packet).collect()
}

// The packets of ts(), each 1024 bytes by themselves (split -b 1024):
// openssl enc -chacha20 -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
//     -iv 00000000000000000102030405060708
const CHACHA20: &[u8] = include_bytes!("data/chacha20.bin");

#[test]
fn chacha20_begins_again_every_1024_bytes() {
    let chosen = |iv| ClearKey::new().with_method(Method::ChaCha20).with_keys(keys(KEY_256, iv));
    for iv in ["0102030405060708", "0x000000000102030405060708"] {
        assert_eq!(open(&mut chosen(Some(iv)), &Encryption::None, &[], CHACHA20).unwrap(), ts(), "{iv}");
    }
    let nonce = aes128(Some(0x0102_0304_0506_0708));
    assert_eq!(
        open(&mut chosen(None), &nonce, &[], CHACHA20).unwrap(),
        ts(),
        "the playlist's nonce"
    );
    for (name, iv) in [
        ("none", None),
        ("another", Some("0102030405060709")),
        ("too long", Some("01020304050607080102030405060708")),
    ] {
        open(&mut chosen(iv), &Encryption::None, &[], CHACHA20).expect_err(name);
    }
    // Another track of the same stream may be in the clear.
    let mut clear_key = chosen(Some("0102030405060708"));
    assert_eq!(open(&mut clear_key, &Encryption::None, &[], &ts()).unwrap(), ts());
    assert_eq!(open(&mut clear_key, &Encryption::None, &[], b"WEBVTT\n").unwrap(), b"WEBVTT\n");
    assert_eq!(clear_key.warnings(), []);
}

// rfc8216bis, 4.4.4.4: the IV of 16 bytes, the ciphertext and the authentication tag of 16 bytes. Sealed by Python's
// package cryptography; the Web Crypto of Node.js opens it.
const GCM: &[u8] = include_bytes!("data/gcm.bin");

#[test]
fn a_segment_in_gcm_carries_its_iv_and_proves_that_it_is_whole() {
    let key = Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap());
    let gcm = Encryption::Aes256Gcm { key }.for_segment(7);
    let opened = |bytes: &[u8]| open(&mut ClearKey::new(), &gcm, &hex(KEY_256), bytes);
    assert_eq!(opened(GCM).unwrap(), ts());
    // Neither the number of the segment nor an IV of the user has a part in it.
    let mut clear_key = ClearKey::new().with_keys(keys(KEY_256, Some("0x99")));
    assert_eq!(open(&mut clear_key, &gcm, &[], GCM).unwrap(), ts());
    // Behind a picture, and in the clear, as under the other methods.
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    assert_eq!(opened(&[GIF, GCM].concat()).unwrap(), ts());
    assert_eq!(opened(&ts()).unwrap(), ts());
    for at in [0, 15, 16, GCM.len() / 2, GCM.len() - 17, GCM.len() - 1] {
        let mut damaged = GCM.to_vec();
        damaged[at] ^= 1;
        assert!(matches!(opened(&damaged), Err(DecryptError::Tag)), "{at}");
        assert!(opened(&GCM[..at]).is_err(), "cut at {at}");
    }
    let error = opened(&[7; 31]).unwrap_err().to_string();
    assert!(error.contains("31 bytes have no room"), "{error}");
    let other = open(&mut ClearKey::new(), &gcm, &[9; 32], GCM).unwrap_err();
    assert_eq!(
        other.to_string(),
        "wrong authentication tag: the key does not fit, or what it opens is damaged"
    );
    assert!(matches!(
        open(&mut ClearKey::new(), &gcm, &hex(KEY), GCM),
        Err(DecryptError::KeyLength { expected: 32, .. })
    ));
}

// openssl enc -aes-256-ctr -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
//     -iv d5fbd6b82ed93e4ef98ae40931ee33b7
const CTR: &[u8] = include_bytes!("data/ctr.bin");

#[test]
fn a_segment_in_ctr_is_opened_and_a_wrong_key_is_noticed() {
    let key = Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap());
    let ctr = |iv: Option<u128>| Encryption::Aes256Ctr {
        key: key.clone(),
        iv: iv.map(|iv| Iv(iv.to_be_bytes())),
    };
    let iv = 0xd5fb_d6b8_2ed9_3e4e_f98a_e409_31ee_33b7;
    let opened = |encryption: &Encryption, key: &[u8], bytes: &[u8]| open(&mut ClearKey::new(), encryption, key, bytes);
    assert_eq!(opened(&ctr(Some(iv)), &hex(KEY_256), CTR).unwrap(), ts());
    assert_eq!(opened(&ctr(Some(iv)), &hex(KEY_256), &ts()).unwrap(), ts(), "in the clear");
    for (encryption, key) in [(ctr(Some(iv)), [9; 32]), (ctr(Some(iv + 1)), hex(KEY_256).try_into().unwrap())] {
        let error = opened(&encryption, &key, CTR).unwrap_err().to_string();
        assert!(error.contains("what AES-256-CTR makes of it is no media"), "{error}");
    }
    assert!(matches!(opened(&ctr(None), &hex(KEY_256), CTR), Err(DecryptError::NoIv)));
    // The number of the segment, where there is no IV.
    assert_eq!(ctr(None).for_segment(7).iv(), Some(Iv(7_u128.to_be_bytes())));
}

// printf '\0\0\0\014ftypmp42' | gzip -n | openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f \
//     -iv 00000000000000000000000000000014 | xxd -p
const GZIP: &str = "7849962197be609287efac6b23055b54f2b6d5ab23e70cb5f6896af968ebf65093e4b1418dca614663fe4303de574dc1";

#[test]
fn gzip_inside_a_cipher_or_behind_a_picture_is_undone() {
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let gzip = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x63, 0x60, 0x60, 0xe0, 0x49, 0x2b, 0xa9, 0x2c, 0xc8, 0x2d, 0x30, 0x31,
        0x02, 0x00, 0x40, 0x31, 0xfd, 0xa8, 0x0c, 0x00, 0x00, 0x00,
    ];
    let mut clear_key = ClearKey::new();
    assert_eq!(open(&mut clear_key, &aes128(Some(0x14)), &hex(KEY), &hex(GZIP)).unwrap(), CLEAR);
    assert_eq!(clear_key.warnings(), [Warning::Compressed]);
    assert_eq!(open(&mut clear_key, &Encryption::None, &[], &[GIF, &gzip].concat()).unwrap(), CLEAR);
    assert_eq!(clear_key.warnings(), [Warning::Compressed, Warning::Disguised { name: "GIF" }]);
    // What the server sent as it is, is the fetcher's, and a plain file may be an archive.
    assert_eq!(open(&mut clear_key, &Encryption::None, &[], &gzip).unwrap(), gzip);
}

// RFC 8216, 4.3.2.4: a key applies to the initialization sections that stand behind it. Many servers leave those in
// the clear all the same, and without an IV.
#[test]
fn what_is_in_the_clear_under_a_key_stays_as_it_is_with_a_warning() {
    let init = [CLEAR, b"\0\0\0\x08moov"].concat();
    for clear in [&init[..], &ts(), b"WEBVTT\n\n"] {
        let mut clear_key = ClearKey::new();
        assert_eq!(open(&mut clear_key, &aes128(None), &hex(KEY), clear).unwrap(), clear);
        assert_eq!(clear_key.warnings(), [Warning::NotEncrypted]);
    }
    let error = open(&mut ClearKey::new(), &aes128(None), &hex(KEY), &[7; 32]).unwrap_err();
    assert!(matches!(error, DecryptError::NoIv));
}
