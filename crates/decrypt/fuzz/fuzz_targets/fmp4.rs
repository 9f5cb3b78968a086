//! Boxes from anybody: no panic, and nothing grows, in one piece, as initialization section and segment, or as a plain file
//! that comes in pieces.
#![no_main]

use aqueduct_core::{Decrypt, Encryption, Kind, Resource};
use aqueduct_decrypt::{ClearKey, UserKeys};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let key = Resource::new(Kind::Key, Url::parse("data:,").expect("a URL"));
    let mut keys = UserKeys::new();
    keys.add("07070707070707070707070707070707").expect("a key");
    let told = Encryption::SampleAesCtr { key, iv: None };
    let cut = data.windows(4).position(|kind| kind == b"moof").map_or(0, |at| at.saturating_sub(4));
    let (init, segment) = data.split_at(cut);
    for encryption in [Encryption::None, told] {
        let mut clear_key = ClearKey::new().with_keys(keys.clone());
        for bytes in [data, init, segment] {
            if let Ok(clear) = clear_key.decrypt(&encryption, &[7; 16], BytesMut::from(bytes)) {
                assert!(clear.len() <= bytes.len());
            }
        }
    }
    let step = data.last().map_or(1, |byte| 1 + usize::from(*byte));
    let mut clear_key = ClearKey::new().with_keys(keys);
    let mut length = 0;
    let pieces = data.chunks(step).map(BytesMut::from).map(|piece| clear_key.decrypt_piece(piece));
    let whole = pieces.map(|clear| clear.map(|clear| length += clear.len())).all(|clear| clear.is_ok());
    if whole && let Ok(rest) = clear_key.end_of_file() {
        assert_eq!(length + rest.len(), data.len());
    }
});
