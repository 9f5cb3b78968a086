//! Segments from anybody, in the clear, in CBC or in a cipher of the user's choice, with a disguise or not: no panic, and
//! nothing grows but what is inflated, within its bound.
#![no_main]

use aqueduct_core::{Decrypt, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::{ClearKey, Method, UserKeys};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let key = Resource::new(Kind::Key, Url::parse("data:,").expect("a URL"));
    let iv = Some(Iv([9; 16]));
    let mut keys = UserKeys::new();
    let _ = keys.add_file(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (keys.add(text), keys.set_iv(text));
    }
    let most = data.len().max(1 << 20).max(32 * data.len());
    for mut clear_key in [
        ClearKey::new(),
        ClearKey::new().with_method(Method::Aes128Ecb),
        ClearKey::new().with_method(Method::ChaCha20),
    ] {
        for encryption in [
            Encryption::None,
            Encryption::Aes128 { key: key.clone(), iv },
            Encryption::Aes256 { key: key.clone(), iv },
            Encryption::Aes256Ctr { key: key.clone(), iv },
            Encryption::Aes256Gcm { key: key.clone() },
        ] {
            for key in [&[7; 16][..], &[7; 32], data] {
                if let Ok(clear) = clear_key.decrypt(&encryption, key, BytesMut::from(data)) {
                    assert!(clear.len() <= most);
                }
            }
        }
    }
});
