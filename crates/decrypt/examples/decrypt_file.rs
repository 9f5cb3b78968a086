//! Decrypts one AES-128 segment: `decrypt_file SEALED CLEAR KEY-HEX IV-HEX`.
//!
//! Where the playlist gives no IV, it is the segment's Media Sequence Number in hexadecimal.

use aqueduct_core::{Decrypt, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::ClearKey;
use bytes::BytesMut;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sealed, clear, key, iv] = arguments.as_slice() else {
        return Err("usage: decrypt_file SEALED CLEAR KEY-HEX IV-HEX".into());
    };
    let key = u128::from_str_radix(key, 16)?.to_be_bytes();
    let iv = Iv(u128::from_str_radix(iv, 16)?.to_be_bytes());
    let address = Resource::new(Kind::Key, url::Url::parse("data:,")?);

    let bytes = BytesMut::from(&std::fs::read(sealed)?[..]);
    let bytes = ClearKey::new().decrypt(
        &Encryption::Aes128 {
            key: address,
            iv: Some(iv),
        },
        &key,
        bytes,
    )?;
    std::fs::write(clear, &bytes)?;
    Ok(())
}
