//! Decryption: what the owner of a key may read.
//!
//! [`ClearKey`] is the bundled [`Decrypt`](aqueduct_core::Decrypt): AES-128 in CBC mode with PKCS #7 padding over
//! whole segments and initialization sections (RFC 8216, 4.3.2.4 and 5.2), in place. [`KeyStore`] fetches each key
//! once, however many tracks ask for it. [`run`] is the stage between an inlet and an outlet.
//!
//! Keys come from a playlist's own key address. There is no DRM licence exchange here, and a method that is not
//! known is refused by name.
//!
//! # Example
//!
//! ```
//! use aqueduct_core::{Decrypt, Encryption, Iv, Kind, Resource};
//! use aqueduct_decrypt::ClearKey;
//! use bytes::BytesMut;
//!
//! // printf 'clear media' | openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f \
//! //     -iv 00000000000000000000000000000014 | xxd -p
//! let sealed = [0xba, 0x7e, 0x82, 0x9c, 0x51, 0xb3, 0x9a, 0x7a, 0xd4, 0x8d, 0xfc, 0xb1, 0xf0, 0x8b, 0xea, 0x8c];
//! let key: Vec<u8> = (0..16).collect();
//!
//! let address = Resource::new(Kind::Key, url::Url::parse("https://host.example/key")?);
//! let encryption = Encryption::Aes128 { key: address, iv: None }.for_segment(20);
//! let clear = ClearKey::new().decrypt(&encryption, &key, BytesMut::from(&sealed[..]))?;
//! assert_eq!(&clear[..], b"clear media");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cenc;
mod chain;
mod clear_key;
mod disguise;
mod driver;
mod key_text;
mod media;
mod sample;
mod store;
mod user_keys;
mod warning;
mod whole;

pub use clear_key::ClearKey;
pub use driver::run;
pub use store::{KeyBytes, KeyStore};
pub use user_keys::{KeyTextError, UserKeys};
pub use warning::Warning;

/// The error of this crate, shared with every other decrypter.
pub use aqueduct_core::DecryptError;
