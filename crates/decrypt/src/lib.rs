//! Decryption: what the owner of a key may read.
//!
//! [`ClearKey`] is the bundled [`Decrypt`](aqueduct_core::Decrypt); it works in place. [`UserKeys`] are keys that the
//! user holds, and go before those of a playlist. [`KeyStore`] fetches each key once, however many tracks ask for it.
//! [`run`] is the stage between an inlet and an outlet, [`run_file`] that for a plain file; [`fetch_ahead`] stands in front of the fetcher and sees to it
//! that keys are there when their segments are.
//!
//! | METHOD | what is encrypted | defined by |
//! |---|---|---|
//! | `AES-128` | the whole, CBC with PKCS #7 padding | RFC 8216, 4.3.2.4 and 5.2 |
//! | `AES-256` | the same with a key of 32 bytes | use |
//! | `AES-256-CTR` | the whole, CTR without padding | use |
//! | `AES-256-GCM` | the whole, GCM with the IV in front and the tag behind | rfc8216bis, 4.4.4.4 |
//! | `SAMPLE-AES` | slices of H.264, frames of AAC, AC-3 and E-AC-3, in MPEG-TS and packed audio | RFC 8216, 4.3.2.4; Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming" |
//! | `SAMPLE-AES`, `SAMPLE-AES-CTR` | samples in fragmented MP4: `cenc`, `cens`, `cbc1`, `cbcs` | rfc8216bis, 4.4.4.4; ISO 23001-7 |
//!
//! Some servers use a cipher that no playlist can name; the user can, with a [`Method`]: AES-128 in ECB mode, and
//! ChaCha20.
//!
//! What comes out is as if it never had been encrypted: MPEG-TS names plain stream types, MP4 has plain sample entries
//! and no box of protection. In fragments such boxes become free space, so that no offset changes.
//!
//! Where servers stray from the specification and the meaning is clear, a [`Warning`] is all that comes of it: keys as
//! text, segments without padding, pictures in front of media, gzip inside.
//!
//! # Limits
//!
//! There is no DRM licence exchange here, and a method that is not known is refused by name.
//! A progressive MP4 is decrypted as a plain file ([`run_file`]) whose tables stand before its media and have `senc` beside
//! them, and refused otherwise. Of a plain file up to 64 MiB are held back: a fragment, or a sample of a progressive one, is
//! decrypted when it is there whole. Samples under several keys each (ISO 23001-7:2023) are refused, and so are more than 64
//! encrypted tracks or streams. A frame of audio that reaches from one segment into the next stays
//! encrypted. No input makes this crate panic or allocate what a length field claims; SAMPLE-AES in MPEG-TS holds a copy
//! of one elementary stream of one segment.
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

mod ahead;
mod cenc;
mod chain;
mod clear_key;
mod disguise;
mod driver;
mod gzip;
mod key_text;
mod media;
mod method;
mod sample;
mod store;
mod user_keys;
mod warning;
mod whole;

pub use ahead::fetch_ahead;
pub use clear_key::ClearKey;
pub use driver::{OnLocked, run, run_file};
pub use method::Method;
pub use store::{KeyBytes, KeyStore};
pub use user_keys::{KeyTextError, UserKeys};
pub use warning::Warning;

/// The error of this crate, shared with every other decrypter.
pub use aqueduct_core::DecryptError;
