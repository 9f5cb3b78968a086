//! Boxes and the numbers in them (ISO 14496-12 §4.2).

/// One box: where it is in the bytes that were walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxAt<'a> {
    pub(super) kind: [u8; 4],
    /// From the start of what was walked.
    pub(super) start: usize,
    /// Bytes of the header.
    pub(super) header: usize,
    /// Header and content.
    pub(super) whole: &'a [u8],
}

impl<'a> BoxAt<'a> {
    pub(super) fn body(&self) -> &'a [u8] {
        self.whole.get(self.header..).unwrap_or(&[])
    }

    /// The boxes within, at offsets from where this box's offsets count.
    pub(super) fn children(&self) -> Boxes<'a> {
        Boxes {
            rest: self.body(),
            at: self.start + self.header,
        }
    }

    pub(super) fn child(&self, kind: &[u8; 4]) -> Option<BoxAt<'a>> {
        self.children().find(|child| child.kind == *kind)
    }

    pub(super) fn end(&self) -> usize {
        self.start + self.whole.len()
    }
}

/// Boxes in a row. It ends before the first that is not there whole.
#[derive(Clone, Debug)]
pub(super) struct Boxes<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Boxes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = BoxAt<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader(self.rest);
        let size = reader.u32()?;
        let kind = reader.array::<4>()?;
        let (header, size) = match size {
            0 => (8, self.rest.len()),
            1 => (16, usize::try_from(reader.u64()?).ok()?),
            size => (8, usize::try_from(size).ok()?),
        };
        if size < header {
            return None;
        }
        let (whole, rest) = self.rest.split_at_checked(size)?;
        let start = self.at;
        self.at += size;
        self.rest = rest;
        Some(BoxAt {
            kind,
            start,
            header,
            whole,
        })
    }
}

/// Big-endian numbers in a row; `None` at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A 32-bit number that counts or measures something in memory.
    pub(super) fn count(&mut self) -> Option<usize> {
        self.u32().and_then(|count| usize::try_from(count).ok())
    }

    /// Version and flags of a full box.
    pub(super) fn full(&mut self) -> Option<(u8, u32)> {
        self.u32().map(|word| (word.to_be_bytes()[0], word & 0x00ff_ffff))
    }
}
