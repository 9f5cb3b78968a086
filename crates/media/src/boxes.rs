//! Walking ISO BMFF boxes (ISO 14496-12 §4.2) without copying them.

use mp4_atom::Decode;

use crate::error::Error;

/// One box in what was pushed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoxRef<'a> {
    pub(crate) kind: [u8; 4],
    /// Where the box begins, in bytes from the start of what was pushed.
    pub(crate) start: usize,
    /// Header and content.
    pub(crate) whole: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<'a> BoxRef<'a> {
    /// The boxes within, behind `skip` bytes of other content.
    pub(crate) fn children(&self, skip: usize) -> Boxes<'a> {
        let body = self.body.get(skip..).unwrap_or(&[]);
        Boxes {
            rest: body,
            at: self.start + self.whole.len() - body.len(),
        }
    }

    /// The first child of this kind. A child that does not fit ends the search.
    pub(crate) fn child(&self, kind: &'static str) -> Result<BoxRef<'a>, Error> {
        self.find(kind)?.ok_or(Error::MissingBox(kind))
    }

    /// Like [`child`](Self::child), for a box that may be absent.
    pub(crate) fn find(&self, kind: &str) -> Result<Option<BoxRef<'a>>, Error> {
        for child in self.children(0) {
            let child = child?;
            if child.kind == kind.as_bytes() {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    /// The box as mp4-atom reads it.
    pub(crate) fn decode<T: Decode>(&self, kind: &'static str) -> Result<T, Error> {
        let mut bytes = self.whole;
        T::decode(&mut bytes).map_err(|error| Error::MalformedBox {
            kind,
            reason: error.to_string(),
        })
    }
}

/// Boxes in a row.
#[derive(Debug, Clone)]
pub(crate) struct Boxes<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Boxes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// What is left, from the box that did not fit on.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn header(&self) -> Option<([u8; 4], usize, usize)> {
        let size = u32::from_be_bytes(*self.rest.first_chunk()?);
        let kind = *self.rest.get(4..)?.first_chunk::<4>()?;
        let (header, size) = match size {
            0 => (8, self.rest.len()),
            1 => {
                let large = u64::from_be_bytes(*self.rest.get(8..)?.first_chunk()?);
                (16, usize::try_from(large).ok()?)
            }
            size => (8, usize::try_from(size).ok()?),
        };
        (size >= header).then_some((kind, header, size))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<BoxRef<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // Fewer bytes than a header are padding (QuickTime ends lists with four zeros).
        if self.rest.len() < 8 {
            return None;
        }
        let found = self
            .header()
            .and_then(|(kind, header, size)| Some((kind, header, self.rest.split_at_checked(size)?)));
        let Some((kind, header, (whole, rest))) = found else {
            let kind = self.rest.get(4..8).unwrap_or(&[]);
            let error = Error::BoxSize {
                kind: kind.escape_ascii().to_string(),
                offset: self.at,
            };
            // What follows cannot be found.
            self.at += self.rest.len();
            self.rest = &[];
            return Some(Err(error));
        };
        let start = self.at;
        self.at += whole.len();
        self.rest = rest;
        Some(Ok(BoxRef {
            kind,
            start,
            whole,
            body: whole.get(header..).unwrap_or(&[]),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Vec<Option<(String, usize, usize)>> {
        Boxes::new(bytes)
            .map(|found| {
                found
                    .ok()
                    .map(|found| (String::from_utf8_lossy(&found.kind).into_owned(), found.start, found.body.len()))
            })
            .collect()
    }

    #[test]
    fn each_way_to_give_a_size_is_read() {
        let free = |at, len| Some(("free".to_owned(), at, len));
        for (bytes, expected) in [
            (&b""[..], vec![]),
            (b"\0\0\0\x08free\0\0\0\x09freex", vec![free(0, 0), free(8, 1)]),
            (b"\0\0\0\x01free\0\0\0\0\0\0\0\x11x", vec![free(0, 1)]),
            (b"\0\0\0\0freexyz", vec![free(0, 3)]),
            (b"\0\0\0\x08free\0\0\0\0", vec![free(0, 0)]),
            (b"\0\0\0\x07free", vec![None]),
            (b"\0\0\0\x09free", vec![None]),
            (b"\0\0\0\x01free\0\0\0\0\0\0\0\x0f", vec![None]),
            (b"\0\0\0\x01free\xff\xff\xff\xff\xff\xff\xff\xff", vec![None]),
            (b"\0\0\0\x01free\0", vec![None]),
        ] {
            assert_eq!(walk(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
