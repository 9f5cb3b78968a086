//! CBC over a whole segment: METHOD=AES-128 (RFC 8216, 4.3.2.4) and its 256-bit sibling.

use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, consts::U16};
use aqueduct_core::{DecryptError, Iv};
use bytes::BytesMut;

use crate::{disguise, gzip, media};

/// Bytes of a block (FIPS 197, 5).
pub(crate) const BLOCK: usize = 16;

/// What became of the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    Removed,
    /// There was none: all bytes are media.
    Missing,
}

/// Decrypts `bytes` where they are and takes the padding off (RFC 8216, 4.3.2.4; RFC 5652, 6.3).
///
/// A server that does not pad is told from a wrong key by what came out: media.
pub(crate) fn decrypt<C>(cipher: C, iv: Iv, bytes: &mut BytesMut) -> Result<Padding, DecryptError>
where
    C: BlockCipherDecrypt<BlockSize = U16>,
{
    decrypt_blocks(bytes, |blocks| {
        cbc::Decryptor::inner_iv_init(cipher, &iv.0.into()).decrypt_blocks(blocks);
    })
}

/// The same with any way to decrypt the blocks.
pub(crate) fn decrypt_blocks(bytes: &mut BytesMut, decrypt: impl FnOnce(&mut [aes::Block])) -> Result<Padding, DecryptError> {
    let length = bytes.len();
    // Padding always adds something, so no ciphertext is empty.
    if length == 0 || !length.is_multiple_of(BLOCK) {
        return Err(DecryptError::Length { length });
    }
    let (blocks, _) = aes::Block::slice_as_chunks_mut(bytes);
    decrypt(blocks);
    match unpadded_length(bytes) {
        // The last bytes of media look like padding now and then.
        Some(_) if media::ends_whole(bytes) => Ok(Padding::Missing),
        Some(clear) => {
            bytes.truncate(clear);
            Ok(Padding::Removed)
        }
        None if media::format(bytes).is_some() || disguise::ends(bytes).is_some() || gzip::holds_media(bytes) => Ok(Padding::Missing),
        None => Err(DecryptError::Padding),
    }
}

/// Length without PKCS #7 padding (RFC 5652, 6.3); `None` when there is none.
fn unpadded_length(bytes: &[u8]) -> Option<usize> {
    let padding = usize::from(*bytes.last()?);
    let clear = bytes.len().checked_sub(padding)?;
    ((1..=BLOCK).contains(&padding) && bytes[clear..].iter().all(|byte| usize::from(*byte) == padding)).then_some(clear)
}
