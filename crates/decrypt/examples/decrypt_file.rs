//! Decrypts one file: `decrypt_file METHOD SEALED CLEAR KEY [IV]`.
//!
//! METHOD is that of a playlist's key (RFC 8216, 4.3.2.4): `AES-128` or another of its kind for a whole segment,
//! `SAMPLE-AES` or `SAMPLE-AES-CTR` for MPEG-TS, packed audio, or an MP4 of initialization section and fragments. KEY is in hexadecimal
//! or base64, `KID:KEY` for an MP4, or `@FILE`. Where the playlist gives no IV, it is the segment's Media Sequence
//! Number in hexadecimal; an MP4 has its own.
//!
//! ```text
//! decrypt_file AES-128 segment.ts clear.ts 2b7e151628aed2a6abf7158809cf4f3c 14
//! decrypt_file SAMPLE-AES tests/data/cbcs-video.mp4 clear.mp4 \
//!     eb676abbcb345e96bbcf616630f1a3da:100b6c20940f779a4589152b57d2dacb
//! decrypt_file SAMPLE-AES tests/data/video-sealed.ts clear.ts \
//!     100b6c20940f779a4589152b57d2dacb d5fbd6b82ed93e4ef98ae40931ee33b7
//! ```

use std::error::Error;
use std::fs;

use aqueduct_core::{Decrypt, Encryption};
use aqueduct_decrypt::{ClearKey, UserKeys};
use bytes::BytesMut;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (method, sealed, clear, key, iv) = match arguments.as_slice() {
        [method, sealed, clear, key] => (method, sealed, clear, key, None),
        [method, sealed, clear, key, iv] => (method, sealed, clear, key, Some(iv)),
        _ => return Err("usage: decrypt_file METHOD SEALED CLEAR KEY [IV]".into()),
    };
    let mut keys = UserKeys::new();
    match key.strip_prefix('@') {
        Some(path) => keys.add_file(&fs::read(path)?)?,
        None => keys.add(key)?,
    }
    if let Some(iv) = iv {
        keys.set_iv(iv)?;
    }
    // A key that nobody can fetch: only the user's will do.
    let encryption = Encryption::Other {
        keys: [(method.clone(), String::new())].into(),
        iv: None,
    };
    let mut clear_key = ClearKey::new().with_keys(keys);
    let bytes = clear_key.decrypt(&encryption, &[], BytesMut::from(&fs::read(sealed)?[..]))?;
    fs::write(clear, &bytes)?;
    Ok(())
}
