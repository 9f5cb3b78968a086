//! MPEG-TS and packed audio from anybody under SAMPLE-AES: no panic, and nothing grows.
#![no_main]

use aqueduct_core::{Decrypt, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::ClearKey;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let encryption = Encryption::SampleAes {
        key: Resource::new(Kind::Key, Url::parse("data:,").expect("a URL")),
        iv: Some(Iv([9; 16])),
    };
    let mut clear_key = ClearKey::new();
    // Twice: tables are remembered from segment to segment.
    for _ in 0..2 {
        if let Ok(clear) = clear_key.decrypt(&encryption, &[7; 16], BytesMut::from(data)) {
            assert!(clear.len() <= data.len());
        }
    }
});
