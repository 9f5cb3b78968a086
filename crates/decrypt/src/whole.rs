//! Whole segments: in CBC by METHOD=AES-128 (RFC 8216, 4.3.2.4) and its 256-bit sibling, in GCM by METHOD=AES-256-GCM
//! (rfc8216bis, 4.4.4.4), and in CTR by METHOD=AES-256-CTR, which is in use.

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, StreamCipher, consts::U16};
use aes_gcm::{AesGcm, aead::AeadInOut};
use aqueduct_core::{DecryptError, Iv};
use bytes::{Buf, BytesMut};

use crate::{disguise, gzip, media};

/// Bytes of a block (FIPS 197, 5).
pub(crate) const BLOCK: usize = 16;

/// What became of the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// So many bytes of it.
    Removed(usize),
    /// There was none: all bytes are media.
    Missing,
    /// The method has none.
    Unknown,
}

/// Leaves the blocks of `bytes` that are there whole. Whether there was something behind them: in CBC each block is decrypted with the
/// one before it (NIST SP 800-38A, 6.2), so that nothing else is lost with the end of the ciphertext.
pub(crate) fn leave_blocks(bytes: &mut BytesMut, block: usize) -> bool {
    let behind = bytes.len() % block;
    if behind == 0 || bytes.len() < block {
        return false;
    }
    bytes.truncate(bytes.len() - behind);
    true
}

/// Decrypts `bytes` where they are and takes the padding off (RFC 8216, 4.3.2.4; RFC 5652, 6.3).
///
/// A server that does not pad is told from a wrong key by what came out: media.
pub(crate) fn decrypt<C>(cipher: C, iv: Iv, bytes: &mut BytesMut) -> Result<Padding, DecryptError>
where
    C: BlockCipherDecrypt<BlockSize = U16>,
{
    decrypt_blocks(bytes, |blocks| cbc(cipher, iv, blocks))
}

/// Decrypts the first blocks of a segment where they are.
pub(crate) fn decrypt_part<C>(cipher: C, iv: Iv, bytes: &mut [u8]) -> Padding
where
    C: BlockCipherDecrypt<BlockSize = U16>,
{
    let (blocks, _) = aes::Block::slice_as_chunks_mut(bytes);
    cbc(cipher, iv, blocks);
    Padding::Missing
}

fn cbc<C>(cipher: C, iv: Iv, blocks: &mut [aes::Block])
where
    C: BlockCipherDecrypt<BlockSize = U16>,
{
    cbc::Decryptor::inner_iv_init(cipher, &iv.0.into()).decrypt_blocks(blocks);
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
            Ok(Padding::Removed(length - clear))
        }
        None if media::format(bytes).is_some() || disguise::ends(bytes).is_some() || gzip::holds_media(bytes) => Ok(Padding::Missing),
        None => Err(DecryptError::Padding),
    }
}

/// Decrypts `bytes` where they are: an IV of 16 bytes, the ciphertext, and the authentication tag of 16 bytes, with nothing
/// else that is authenticated (rfc8216bis, 4.4.4.4; NIST SP 800-38D, 7.2). Where the tag is wrong nothing comes out.
///
/// Drafts change, and few players know the method yet. The same layout is read by Shaka Player 5.2 (`aesDecrypt` in
/// `lib/media/segment_utils.js`), which refuses an IV attribute. No stream from the wild has been tried.
pub(crate) fn gcm(cipher: Aes256, bytes: &mut BytesMut) -> Result<(), DecryptError> {
    let length = bytes.len();
    let short = || DecryptError::Media {
        what: format!("{length} bytes have no room for the IV and the authentication tag of AES-256-GCM"),
    };
    let (iv, sealed) = bytes.split_first_chunk_mut::<BLOCK>().ok_or_else(short)?;
    let (sealed, tag) = sealed.split_last_chunk_mut::<BLOCK>().ok_or_else(short)?;
    AesGcm::<Aes256, U16>::from(cipher)
        .decrypt_inout_detached(&(*iv).into(), &[], sealed.into(), &(*tag).into())
        .map_err(|_| DecryptError::Tag)?;
    bytes.truncate(length - BLOCK);
    bytes.advance(BLOCK);
    Ok(())
}

/// Decrypts `bytes` where they are. The last 64 bits of the IV count blocks, as in the players that know the method.
pub(crate) fn ctr(cipher: Aes256, iv: Iv, bytes: &mut [u8]) {
    let mut stream = ctr::Ctr64BE::from_core(ctr::CtrCore::inner_iv_init(cipher, &iv.0.into()));
    // It fails after 2^64 blocks.
    let _ = stream.try_apply_keystream(bytes);
}

/// Length without PKCS #7 padding (RFC 5652, 6.3); `None` when there is none.
fn unpadded_length(bytes: &[u8]) -> Option<usize> {
    let padding = usize::from(*bytes.last()?);
    let clear = bytes.len().checked_sub(padding)?;
    ((1..=BLOCK).contains(&padding) && bytes[clear..].iter().all(|byte| usize::from(*byte) == padding)).then_some(clear)
}
