//! A plain MP4 that comes in pieces, cut anywhere: each fragment, or each sample of a progressive one, is decrypted when it is
//! there whole.

use aqueduct_core::DecryptError;
use bytes::BytesMut;

use super::boxes::{Boxes, Reader};
use super::fragment::Keys;
use super::progressive::Plan;
use super::{Fragments, Protected, unreadable};

/// The most that is held back, in bytes: a `moov` box, or a fragment and its media.
const MOST: u64 = 64 << 20;

/// What of a file is still to be decrypted.
#[derive(Clone, Default)]
pub(crate) struct Pieces {
    /// The beginning of what is not there whole.
    held: BytesMut,
    /// How many bytes have to be there before it is worth looking at them again.
    wanted: usize,
    /// Bytes still to come that are none of ours.
    passing: u64,
    /// Bytes of the file that were handed on.
    handed_on: u64,
    /// Of a progressive file, what is still to be decrypted.
    plan: Option<Box<Plan>>,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// A box that is none of ours, of this size.
    Passing(u64),
    /// So many bytes that are to be decrypted together.
    Ours(usize),
    /// Not enough to tell, or not all of it: it takes so many bytes to know more.
    Cut(usize),
}

impl Pieces {
    /// Whether some bytes wait for more.
    pub(crate) fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes the next piece, and gives what is decrypted by now. Nothing moves in the file. Behind the `last` one, nothing may be
    /// missing: a box may reach to the end of the file, a fragment need not have media, and bytes that are too few for a box are
    /// none.
    pub(crate) fn next(
        &mut self,
        piece: BytesMut,
        fragments: &mut Fragments,
        protected: &mut Protected<'_>,
        last: bool,
    ) -> Result<BytesMut, DecryptError> {
        let mut bytes = if self.held.is_empty() {
            piece
        } else {
            self.held.extend_from_slice(&piece);
            if self.held.len() < self.wanted && !last {
                if self.held.len() as u64 > MOST {
                    return Err(too_large());
                }
                return Ok(BytesMut::new());
            }
            std::mem::take(&mut self.held)
        };
        self.wanted = 0;
        let mut at = 0;
        loop {
            if let Some(plan) = &mut self.plan {
                let mut keys = Keys::new(&mut *protected.cipher, None);
                let from = self.handed_on.saturating_add(at as u64);
                at += plan.open(bytes.get_mut(at..).unwrap_or(&mut []), from, &mut keys)?;
                break;
            }
            let there = bytes.len() - at;
            let passed = usize::try_from(self.passing).unwrap_or(usize::MAX).min(there);
            (at, self.passing) = (at + passed, self.passing - passed as u64);
            if self.passing > 0 {
                break;
            }
            match next(bytes.get(at..).unwrap_or(&[]), fragments.is_protected())? {
                Next::Passing(size) => self.passing = size,
                Next::Ours(size) => {
                    let behind = bytes.split_off(at + size);
                    let sealed = bytes.split_off(at);
                    // In place, so that the three are one again without a copy.
                    bytes.unsplit(fragments.decrypt(sealed, protected)?);
                    bytes.unsplit(behind);
                    at += size;
                    self.plan = fragments.plan.take();
                }
                Next::Cut(_) if last => {
                    let rest = bytes.split_off(at);
                    at += rest.len();
                    bytes.unsplit(end(rest, fragments, protected)?);
                    break;
                }
                Next::Cut(wanted) => {
                    self.wanted = wanted;
                    break;
                }
            }
        }
        // Without a copy: the next piece goes behind it.
        self.held = bytes.split_off(at);
        if self.held.len() as u64 > MOST {
            return Err(unreadable("a sample of more than 64 MiB"));
        }
        self.handed_on = self.handed_on.saturating_add(at as u64);
        if last && self.plan.as_ref().is_some_and(|plan| !plan.is_done()) {
            return Err(unreadable("samples that are not in the file: it was cut short"));
        }
        Ok(bytes)
    }
}

/// What stands at the end of the file and would go on if there were more.
fn end(rest: BytesMut, fragments: &mut Fragments, protected: &mut Protected<'_>) -> Result<BytesMut, DecryptError> {
    const LEAST: usize = 8;
    let mut row = Boxes::new(&rest);
    let boxes = row.by_ref().count();
    let stray = row.rest().len();
    if stray >= LEAST {
        return Err(unreadable("a box at the end of the file that is cut short"));
    }
    if stray > 0 {
        tracing::warn!(bytes = stray, "bytes at the end of the file that are no box are left as they are");
    }
    if boxes == 0 {
        return Ok(rest);
    }
    fragments.decrypt(rest, protected)
}

fn too_large() -> DecryptError {
    unreadable("a fragment (moof, mdat) or a moov box of more than 64 MiB")
}

/// What `bytes` begin with. Fragments are ours where the tracks are `protected`.
fn next(bytes: &[u8], protected: bool) -> Result<Next, DecryptError> {
    let mut length = 0_u64;
    loop {
        let from = usize::try_from(length).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or(&[]);
        let fragment = length > 0;
        let head = match header(rest) {
            // What is in the clear may be as wrong as it likes.
            Err(_) if !protected && !fragment => return Ok(Next::Passing(u64::MAX)),
            head => head?,
        };
        let Some((kind, size)) = head else {
            return Ok(Next::Cut(from.saturating_add(8).max(bytes.len().saturating_add(1))));
        };
        if !fragment && (&kind != b"moov" && (&kind != b"moof" || !protected)) {
            return Ok(Next::Passing(size));
        }
        // A fragment without media of its own.
        if fragment && matches!(&kind, b"moof" | b"moov") {
            break;
        }
        length = length.saturating_add(size);
        if length > MOST {
            // Media to the end of the file, which may be near.
            if size == u64::MAX && &kind == b"mdat" {
                return Ok(Next::Cut(usize::MAX));
            }
            return Err(too_large());
        }
        if matches!(&kind, b"moov" | b"mdat") {
            break;
        }
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(if length <= bytes.len() {
        Next::Ours(length)
    } else {
        Next::Cut(length)
    })
}

/// Type and size of the box that begins here (ISO 14496-12 §4.2), `None` where more has to come. One that reaches to the end
/// of the file has the largest size there is.
fn header(bytes: &[u8]) -> Result<Option<([u8; 4], u64)>, DecryptError> {
    let mut reader = Reader(bytes);
    let (Some(size), Some(kind)) = (reader.u32(), reader.array::<4>()) else {
        return Ok(None);
    };
    match size {
        0 => Ok(Some((kind, u64::MAX))),
        1 => match reader.u64() {
            Some(0..16) => Err(unreadable("a box that is smaller than its header")),
            size => Ok(size.map(|size| (kind, size))),
        },
        2..8 => Err(unreadable("a box that is smaller than its header")),
        size => Ok(Some((kind, size.into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_ends_behind_its_media() {
        let ours = |bytes: &[u8], protected| next(bytes, protected).unwrap();
        let fragment = b"\0\0\0\x08moof\0\0\0\x09free1\0\0\0\x0amdat12\0\0\0\x08moof";
        assert_eq!(ours(fragment, true), Next::Ours(27));
        assert_eq!(ours(fragment, false), Next::Passing(8));
        assert_eq!(ours(&fragment[..26], true), Next::Cut(27));
        assert_eq!(ours(&fragment[..10], true), Next::Cut(16));
        assert_eq!(ours(&fragment[..5], true), Next::Cut(8));
        assert_eq!(ours(b"\0\0\0\x08moof\0\0\0\x01mdat", true), Next::Cut(17));
        assert_eq!(ours(b"\0\0\0\x08moof\0\0\0\x08moof", true), Next::Ours(8));
        assert_eq!(ours(b"\0\0\0\x08moof\0\0\0\0mdat", true), Next::Cut(usize::MAX));
        assert_eq!(ours(b"\0\0\0\x09moovx", false), Next::Ours(9));
        assert_eq!(ours(b"\0\0\0\x07free", false), Next::Passing(u64::MAX));
        assert_eq!(ours(b"\0\0\0\0mdat", true), Next::Passing(u64::MAX));
        assert_eq!(ours(b"\0\0\0\x01mdat\0\0\0\x02\0\0\0\0", true), Next::Passing(2 << 32));
        for (bytes, says) in [
            (&b"\0\0\0\0moov"[..], "64 MiB"),
            (b"\0\0\0\x08moof\x7f\0\0\0mdat", "64 MiB"),
            (b"\0\0\0\x07free", "smaller than its header"),
            (b"\0\0\0\x01free\0\0\0\0\0\0\0\x0f", "smaller than its header"),
        ] {
            let error = next(bytes, true).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
