//! Common Encryption in fragmented MP4 (ISO 23001-7): SAMPLE-AES and SAMPLE-AES-CTR of rfc8216bis, 4.4.4.4.

mod auxiliary;
mod boxes;
mod file;
mod fragment;
mod init;
mod progressive;
mod protection;

use aes::Aes128;
use aqueduct_core::{DecryptError, Iv};
use bytes::BytesMut;

use boxes::{BoxAt, Boxes};
pub(crate) use file::Pieces;
use init::Track;
pub(crate) use protection::Scheme;

fn unreadable(what: &str) -> DecryptError {
    DecryptError::Media { what: what.to_owned() }
}

/// Gives the cipher for a key identifier of a scheme.
pub(crate) type Ciphers<'a> = dyn FnMut(&[u8; 16], Scheme) -> Result<Aes128, DecryptError> + 'a;

/// The tracks of the last initialization section, and with them the samples of the fragments that follow.
#[derive(Clone, Default)]
pub(crate) struct Fragments {
    tracks: Vec<Track>,
    moof: Vec<u8>,
    work: fragment::Work,
    /// The samples of the last `moov` box that has no fragments behind it, in a plain file.
    plan: Option<Box<progressive::Plan>>,
}

/// What is to be opened, and how.
pub(crate) struct Protected<'a> {
    /// The scheme of tracks that name none.
    pub(crate) scheme: Option<Scheme>,
    /// Whether the playlist says that it is protected. If not, what is no whole row of boxes is none of ours.
    pub(crate) told: bool,
    /// Whether offsets count from the start of a file, of which these boxes are a part: nothing may move.
    pub(crate) in_place: bool,
    /// The IV of samples that have none.
    pub(crate) iv: Option<Iv>,
    /// The cipher for a key identifier.
    pub(crate) cipher: &'a mut Ciphers<'a>,
}

impl Fragments {
    /// Decrypts an initialization section, fragments, or a file of both, where they are.
    pub(crate) fn decrypt(&mut self, mut bytes: BytesMut, protected: &mut Protected<'_>) -> Result<BytesMut, DecryptError> {
        let told = protected.told || self.is_protected();
        if !told && !is_row(&bytes) {
            return Ok(bytes);
        }
        let mut keys = fragment::Keys::new(&mut *protected.cipher, protected.iv.map(|iv| iv.0));
        let (mut at, mut moovs, mut media) = (0, Vec::new(), protected.in_place);
        let mut room = bytes.len();
        while let Some((kind, size)) = next(&bytes, at) {
            let end = at + size;
            match &kind {
                b"moov" => {
                    let found = whole(bytes.get(at..end).unwrap_or(&[]))?;
                    let tracks = init::tracks(&found, protected.scheme)?;
                    let is_protected = tracks.iter().any(Track::is_protected);
                    let fragmented = found.child(b"mvex").is_some();
                    if protected.in_place && fragmented && progressive::has_samples(&found, &tracks) {
                        return Err(unreadable("an MP4 whose encrypted samples are partly in fragments and partly not"));
                    }
                    if is_protected && !fragmented {
                        if !protected.in_place {
                            return Err(unreadable("an encrypted MP4 that is not fragmented, as a segment"));
                        }
                        let iv = protected.iv.map(|iv| iv.0);
                        self.plan = Some(Box::new(progressive::Plan::read(&found, &tracks, iv)?));
                    }
                    if is_protected || found.children().any(|child| init::is_pssh(&child)) {
                        moovs.push(at..end);
                    }
                    self.tracks = tracks;
                }
                b"moof" => {
                    media = true;
                    self.moof.clear();
                    self.moof.extend_from_slice(bytes.get(at..end).unwrap_or(&[]));
                    let found = whole(&self.moof)?;
                    fragment::decrypt(&self.tracks, &found, at, &mut bytes, &mut keys, &mut self.work, &mut room)?;
                }
                _ => {}
            }
            at = end;
        }
        // Of samples that are not there the fragment tells. If it is not there itself, nothing does.
        if told && matches!(bytes.get(at + 4..at + 8), Some(b"moof" | b"moov")) {
            return Err(unreadable("a box (moof, moov) that is cut short"));
        }
        // From the last on, since a place that gets smaller moves what is behind it.
        for range in moovs.into_iter().rev() {
            rewrite(&mut bytes, range, media)?;
        }
        Ok(bytes)
    }

    /// Whether the last initialization section tells of encrypted tracks.
    fn is_protected(&self) -> bool {
        self.tracks.iter().any(Track::is_protected)
    }

    /// The key identifiers of the tracks, as far as their sample entries tell.
    pub(crate) fn kids(&self) -> impl Iterator<Item = &[u8; 16]> {
        let entries = self.tracks.iter().flat_map(|track| track.entries.iter().flatten());
        entries.filter(|protection| protection.protected).map(|protection| &protection.kid)
    }
}

/// Puts the plain `moov` in its place. With media behind it the place keeps its size, so that no offset changes.
fn rewrite(bytes: &mut BytesMut, range: std::ops::Range<usize>, media: bool) -> Result<(), DecryptError> {
    let mut plain = Vec::with_capacity(range.len());
    init::plain(&whole(bytes.get(range.clone()).unwrap_or(&[]))?, &mut plain);
    let less = range.len().saturating_sub(plain.len());
    if media && less >= 8 {
        plain.extend_from_slice(&u32::try_from(less).unwrap_or(8).to_be_bytes());
        plain.extend_from_slice(b"free");
        plain.resize(range.len(), 0);
    }
    let (end, length) = (range.start + plain.len(), bytes.len());
    let place = bytes.get_mut(range.start..end).ok_or_else(|| unreadable("a moov box that grows"))?;
    place.copy_from_slice(&plain);
    bytes.copy_within(range.end..length, end);
    bytes.truncate(length - (range.end - end));
    Ok(())
}

/// The box that is the whole of `bytes`.
fn whole(bytes: &[u8]) -> Result<BoxAt<'_>, DecryptError> {
    Boxes::new(bytes).next().ok_or_else(|| unreadable("a box that is cut short"))
}

/// Type and size of the box at `at`, if it is there whole.
fn next(bytes: &[u8], at: usize) -> Option<([u8; 4], usize)> {
    let found = Boxes::new(bytes.get(at..)?).next()?;
    Some((found.kind, found.end()))
}

/// Whether the bytes are boxes from end to end.
fn is_row(bytes: &[u8]) -> bool {
    let mut row = Boxes::new(bytes);
    row.by_ref().for_each(drop);
    row.rest().is_empty()
}
