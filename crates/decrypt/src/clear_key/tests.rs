use aes::Aes128;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use aqueduct_core::Kind;
use proptest::prelude::*;
use url::Url;

use super::*;

fn address() -> Resource {
    Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap())
}

fn aes128(iv: Option<[u8; 16]>) -> Encryption {
    let key = address();
    Encryption::Aes128 { key, iv: iv.map(Iv) }
}

// NIST SP 800-38A, F.2.2 (CBC-AES128.Decrypt), followed by the padding block that
// `openssl enc -aes-128-cbc` writes after the same plaintext.
#[test]
fn the_nist_vector_decrypts_and_its_padding_is_taken_off() {
    let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
    let iv: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
    let sealed = hex(concat!(
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
        "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        "8cb82807230e1321d3fae00d18cc2012"
    ));
    let clear = hex(concat!(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    ));
    let opened = ClearKey::new()
        .decrypt(&aes128(Some(iv)), &key, BytesMut::from(&sealed[..]))
        .unwrap();
    assert_eq!(opened, clear);
}

#[test]
fn what_cannot_be_right_is_an_error() {
    let mut clear_key = ClearKey::new();
    let mut decrypt =
        |encryption: &Encryption, key: &[u8], bytes: &[u8]| clear_key.decrypt(encryption, key, BytesMut::from(bytes)).unwrap_err();
    let iv = Some([0; 16]);
    assert!(matches!(
        decrypt(&aes128(iv), &[0; 16], &[0; 15]),
        DecryptError::Length { length: 15 }
    ));
    assert!(matches!(decrypt(&aes128(iv), &[0; 16], &[]), DecryptError::Length { length: 0 }));
    assert!(matches!(decrypt(&aes128(iv), &[0; 16], &[0; 32]), DecryptError::Padding));
    assert!(matches!(decrypt(&aes128(None), &[0; 16], &[0; 32]), DecryptError::NoIv));
    let wrong = decrypt(&aes128(iv), b"<html>not found</html>", &[0; 32]).to_string();
    assert_eq!(
        wrong,
        "key http://host.example/key: 22 bytes where a key has 16: it looks like a web page or XML, perhaps an error or a login page"
    );
    let other = Encryption::Other {
        keys: [("SAMPLE-AES".to_owned(), "com.apple.streamingkeydelivery".to_owned())].into(),
        iv: None,
    };
    assert!(
        decrypt(&other, &[], &[0; 16])
            .to_string()
            .contains("METHOD=SAMPLE-AES KEYFORMAT=\"com.apple.streamingkeydelivery\"")
    );
}

// printf 'clear media, 256 bits' | openssl enc -aes-256-cbc -iv 00000000000000000000000000000014 \
//     -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f | xxd -p
const SEALED_256: &str = "5a4e71ec6c87a12d671af46992de6f2000f40cd7a679b7fbf09e64d566cee6a8";

#[test]
fn a_key_of_256_bits_opens_what_openssl_sealed() {
    let key: Vec<u8> = (0..32).collect();
    let encryption = Encryption::Aes256 { key: address(), iv: None };
    let opened = ClearKey::new().decrypt(&encryption.for_segment(20), &key, BytesMut::from(&hex(SEALED_256)[..]));
    assert_eq!(opened.unwrap(), &b"clear media, 256 bits"[..]);
}

fn other_address() -> Resource {
    Resource::new(Kind::Key, Url::parse("http://host.example/other").unwrap())
}

/// Two packets of MPEG-TS that end like padding, and 8 bytes of nothing: 24 blocks.
fn ts() -> Vec<u8> {
    let mut ts = vec![1; 4 * 188];
    ts.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
    ts
}

fn seal(clear: &[u8], padded: bool) -> Vec<u8> {
    let mut sealed = clear.to_vec();
    if padded {
        let padding = 16 - clear.len() % 16;
        sealed.resize(clear.len() + padding, u8::try_from(padding).unwrap());
    }
    let (blocks, rest) = aes::Block::slice_as_chunks_mut(&mut sealed);
    assert!(rest.is_empty());
    cbc::Encryptor::<Aes128>::new(&[7; 16].into(), &[0; 16].into()).encrypt_blocks(blocks);
    sealed
}

// In CBC nothing but the block that is not there whole is lost with the end of a ciphertext (NIST SP 800-38A, 6.2).
#[test]
fn what_is_there_of_a_segment_cut_short_is_kept_where_that_is_wanted() {
    let (clear, sealed, encryption) = (ts(), seal(&ts(), true), aes128(Some([0; 16])));
    let mut keeps = ClearKey::new();
    keeps.keep_cut(true);
    let decrypt = |clear_key: &mut ClearKey, key: u8, length: usize| {
        let opened = clear_key.decrypt(&encryption, &[key; 16], BytesMut::from(&sealed[..length]));
        (opened, clear_key.take_cut())
    };
    for length in [sealed.len() - 1, sealed.len() - 15, 401] {
        let strict = decrypt(&mut ClearKey::new(), 7, length);
        assert!(matches!(strict, (Err(DecryptError::Length { length: told }), false) if told == length));
        let (opened, cut) = decrypt(&mut keeps, 7, length);
        assert_eq!(opened.unwrap(), clear[..(length / 16 * 16).min(clear.len())], "{length}");
        assert!(cut && !keeps.take_cut());
    }
    assert!(keeps.warnings().is_empty(), "{:?}", keeps.warnings());
    // What is there whole is no less for it; nothing comes of another key, nor of what is too short to be known.
    let (opened, cut) = decrypt(&mut keeps, 7, sealed.len());
    assert!(opened.unwrap() == clear && !cut);
    for (key, length) in [(8, 401), (7, 100), (7, 15), (7, 0)] {
        let (opened, cut) = decrypt(&mut keeps, key, length);
        assert!(opened.is_err() && !cut, "{key} {length}");
    }
}

/// Under all that the tests here use, what is decrypted stays where it is.
#[test]
fn bytes_are_decrypted_where_they_are() {
    let vector = |name: &str| std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (key, iv) = (address(), Some(Iv([9; 16])));
    for (encryption, sealed) in [
        (aes128(Some([0; 16])), seal(&ts(), true)),
        (Encryption::SampleAes { key: key.clone(), iv }, vector("video-sealed.ts")),
        (Encryption::SampleAes { key: key.clone(), iv }, vector("aac-sealed.aac")),
        (Encryption::SampleAes { key: key.clone(), iv }, vector("cbcs-video.mp4")),
        (Encryption::SampleAesCtr { key, iv }, vector("cens-audio.mp4")),
    ] {
        let sealed = BytesMut::from(&sealed[..]);
        let (before, length) = (sealed.as_ptr(), sealed.len());
        let opened = ClearKey::new().decrypt(&encryption, &[7; 16], sealed).unwrap();
        assert!(opened.as_ptr() == before && opened.len() <= length, "{encryption:?}");
    }
}

#[test]
fn a_segment_without_padding_where_the_server_always_pads_was_cut_short() {
    let [filled, whole] = [3, 4].map(|packets| ts()[..packets * 188].to_vec());
    // 564 bytes take 12 more, 752 take 16: of the first nobody knows whether all are padded.
    for (before, always) in [(&filled, false), (&whole, true)] {
        for keeps in [false, true] {
            let mut clear_key = ClearKey::new();
            clear_key.keep_cut(keeps);
            let mut decrypt = |encryption: &Encryption, sealed: Vec<u8>| {
                let opened = clear_key.decrypt(encryption, &[7; 16], BytesMut::from(&sealed[..]));
                (opened, clear_key.take_cut())
            };
            let encryption = aes128(Some([0; 16]));
            let (opened, cut) = decrypt(&encryption, seal(before, true));
            assert!(opened.unwrap() == *before && !cut);
            match decrypt(&encryption, seal(&whole, false)) {
                (Err(DecryptError::Unpadded), false) => assert!(always && !keeps),
                (opened, cut) => {
                    assert_eq!(opened.unwrap(), whole);
                    assert_eq!(cut, always && keeps);
                }
            }
            // Of another key nothing is known.
            let (key, iv) = (other_address(), Some(Iv([0; 16])));
            let (opened, cut) = decrypt(&Encryption::Aes128 { key, iv }, seal(&whole, false));
            assert!(opened.unwrap() == whole && !cut);
        }
    }
}

#[test]
fn what_earlier_runs_saw_of_padding_counts_under_the_same_key_alone() {
    for (known, keeps) in [(address(), false), (address(), true), (other_address(), false)] {
        let mut clear_key = ClearKey::new();
        clear_key.keep_cut(keeps);
        let (url, is_same) = (known.url.clone(), known.url == address().url);
        clear_key.expect_padding(Arc::new(move |key| *key == url));
        let mut decrypt = |padded: bool| {
            let opened = clear_key.decrypt(&aes128(Some([0; 16])), &[7; 16], BytesMut::from(&seal(&ts(), padded)[..]));
            (opened, clear_key.take_cut(), clear_key.take_padded())
        };
        match decrypt(false) {
            (Err(DecryptError::Unpadded), false, false) => assert!(is_same && !keeps),
            (opened, cut, false) => {
                assert_eq!(opened.unwrap(), ts());
                assert_eq!(cut, is_same);
            }
            (_, _, true) => panic!("nothing stands behind it"),
        }
        let (opened, cut, padded) = decrypt(true);
        assert!(opened.unwrap() == ts() && !cut && padded);
        assert!(!clear_key.take_padded(), "it is told once");
    }
}

#[test]
fn a_server_that_does_not_pad_keeps_all_its_bytes_with_a_warning() {
    let fmp4 = [&b"\0\0\0\x08styp\0\0\0\x28mdat"[..], &[3; 32]].concat();
    for clear in [ts(), fmp4] {
        let mut clear_key = ClearKey::new();
        for _ in 0..3 {
            let opened = clear_key.decrypt(&aes128(Some([0; 16])), &[7; 16], BytesMut::from(&seal(&clear, false)[..]));
            assert_eq!(opened.unwrap(), clear);
        }
        let url = Some(address().url);
        assert_eq!(clear_key.warnings(), [Warning::Unpadded { url }]);
        let mut clear_key = ClearKey::new();
        let opened = clear_key.decrypt(&aes128(Some([0; 16])), &[7; 16], BytesMut::from(&seal(&clear, true)[..]));
        assert_eq!(opened.unwrap(), clear);
        assert_eq!(clear_key.warnings(), []);
    }
}

#[test]
fn a_key_that_comes_as_text_is_decoded_with_a_warning() {
    for key in ["07070707070707070707070707070707\n", "BwcHBwcHBwcHBwcHBwcHBw=="] {
        let mut clear_key = ClearKey::new();
        let opened = clear_key.decrypt(&aes128(Some([0; 16])), key.as_bytes(), BytesMut::from(&seal(b"media", true)[..]));
        assert_eq!(opened.unwrap(), &b"media"[..]);
        assert_eq!(clear_key.warnings(), [Warning::KeyAsText { url: address().url }]);
    }
}

#[test]
fn a_picture_is_taken_off_before_and_after_decryption() {
    let gif = b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let clear = ts();
    let disguised = [&gif[..], &clear].concat();
    let mut clear_key = ClearKey::new();
    for (name, encryption, bytes) in [
        ("in the clear", Encryption::None, disguised.clone()),
        ("before decryption", aes128(Some([0; 16])), [&gif[..], &seal(&clear, true)].concat()),
        ("after decryption", aes128(Some([0; 16])), seal(&disguised, true)),
        ("not encrypted at all", aes128(Some([0; 16])), disguised),
    ] {
        let opened = clear_key.decrypt(&encryption, &[7; 16], BytesMut::from(&bytes[..]));
        assert_eq!(opened.unwrap(), clear, "{name}");
    }
    assert_eq!(clear_key.warnings(), [Warning::Disguised { name: "GIF" }, Warning::NotEncrypted]);
}

#[test]
fn a_key_of_the_user_goes_first_and_is_not_fetched() {
    let mut keys = UserKeys::new();
    keys.add("07070707070707070707070707070707").unwrap();
    let mut clear_key = ClearKey::new().with_keys(keys.clone());
    let other = Encryption::Other {
        keys: [("AES-128".to_owned(), "com.example".to_owned())].into(),
        iv: None,
    };
    for encryption in [aes128(Some([0; 16])), other.for_segment(0)] {
        assert_eq!(clear_key.key(&encryption), None);
        let opened = clear_key.decrypt(&encryption, &[], BytesMut::from(&seal(b"media", true)[..]));
        assert_eq!(opened.unwrap(), &b"media"[..]);
    }
    let aes256 = Encryption::Aes256 { key: address(), iv: None };
    assert!(clear_key.key(&aes256).is_some(), "that key is too short");
    keys.set_iv("0").unwrap();
    let opened = ClearKey::new()
        .with_keys(keys)
        .decrypt(&aes128(Some([9; 16])), &[], BytesMut::from(&seal(b"media", true)[..]));
    assert_eq!(opened.unwrap(), &b"media"[..], "and so does the IV");
}

#[test]
fn bytes_that_are_not_encrypted_stay_as_they_are() {
    let clear = ClearKey::new()
        .decrypt(&Encryption::None, &[], BytesMut::from(&b"media"[..]))
        .unwrap();
    assert_eq!(&clear[..], b"media");
}

proptest! {
    #[test]
    fn what_was_encrypted_comes_back(keys: Vec<[u8; 16]>, iv: [u8; 16], clear: Vec<u8>) {
        let mut clear_key = ClearKey::new();
        for key in keys.into_iter().take(4) {
            let mut sealed = clear.clone();
            let padding = 16 - clear.len() % 16;
            sealed.resize(clear.len() + padding, u8::try_from(padding).unwrap());
            let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut sealed);
            cbc::Encryptor::<Aes128>::new(&key.into(), &iv.into()).encrypt_blocks(blocks);
            let opened = clear_key.decrypt(&aes128(Some(iv)), &key, BytesMut::from(&sealed[..])).unwrap();
            prop_assert_eq!(&opened[..], &clear[..]);
        }
    }

    #[test]
    fn no_input_makes_it_panic(key: Vec<u8>, iv: Option<[u8; 16]>, sealed: Vec<u8>) {
        let length = sealed.len();
        if let Ok(clear) = ClearKey::new().decrypt(&aes128(iv), &key, BytesMut::from(&sealed[..])) {
            prop_assert!(clear.len() < length);
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
