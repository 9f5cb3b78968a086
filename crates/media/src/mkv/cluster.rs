//! Clusters: the samples of a third of a second or so (RFC 9559 §5.1.3).

use serde::{Deserialize, Serialize};

use super::ebml::{binary, id, master, number, size, uint};

/// A cluster is not larger than this, in bytes, but for its last block.
const MAX_BYTES: usize = 4 << 20;
/// Flag of a block: decoding may begin here (RFC 9559 §10.2).
pub(super) const KEY: u8 = 0x80;

/// A cluster in the making.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Cluster {
    /// The blocks so far, as elements.
    blocks: Vec<u8>,
    /// Where in them the time of each block stands, and what it is, in ticks of the segment.
    times: Vec<(usize, i64)>,
    /// The earliest and the latest of these times.
    span: Option<(i64, i64)>,
}

/// A frame of a track.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    /// From 1.
    pub(super) track: u64,
    /// In ticks of the segment.
    pub(super) time: i64,
    pub(super) sync: bool,
    pub(super) data: &'a [u8],
}

impl Cluster {
    /// Whether the block can be told relative to the same time as those that are here.
    pub(super) fn has_room(&self, block: &Block<'_>) -> bool {
        let (first, last) = self.span_with(block.time);
        last - first <= i16::MAX.into() && self.blocks.len() < MAX_BYTES
    }

    fn span_with(&self, time: i64) -> (i64, i64) {
        self.span.map_or((time, time), |(first, last)| (first.min(time), last.max(time)))
    }

    fn note(&mut self, at: usize, time: i64) {
        self.span = Some(self.span_with(time));
        self.times.push((at, time));
    }

    /// A block that lasts as long as its track says.
    pub(super) fn simple(&mut self, block: &Block<'_>) {
        number(&mut self.blocks, id::SIMPLE_BLOCK);
        let at = content(&mut self.blocks, block, if block.sync { KEY } else { 0 });
        self.note(at, block.time);
    }

    /// A block of text with its own duration, and what WebVTT has besides the text.
    pub(super) fn group(&mut self, block: &Block<'_>, duration: u64, addition: Option<&str>) {
        let mut group = Vec::new();
        number(&mut group, id::BLOCK);
        // Without a reference to another block it is a key frame.
        let at = content(&mut group, block, 0);
        uint(&mut group, id::BLOCK_DURATION, duration);
        if let Some(addition) = addition {
            master(&mut group, id::BLOCK_ADDITIONS, |out| {
                master(out, id::BLOCK_MORE, |out| {
                    uint(out, id::BLOCK_ADD_ID, 1);
                    binary(out, id::BLOCK_ADDITIONAL, addition.as_bytes());
                });
            });
        }
        binary(&mut self.blocks, id::BLOCK_GROUP, &group);
        self.note(self.blocks.len() - group.len() + at, block.time);
    }

    /// Appends the cluster, unless it is empty, and begins another. Its time is that of its first block to be shown, so
    /// that no block is before it.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let Some((first, _)) = self.span.take() else {
            return;
        };
        for (at, time) in self.times.drain(..) {
            let relative = i16::try_from(time - first).unwrap_or(i16::MAX);
            self.blocks[at..at + 2].copy_from_slice(&relative.to_be_bytes());
        }
        let mut timestamp = Vec::new();
        uint(&mut timestamp, id::TIMESTAMP, u64::try_from(first).unwrap_or(0));
        number(out, id::CLUSTER);
        size(out, (timestamp.len() + self.blocks.len()) as u64);
        out.append(&mut timestamp);
        out.append(&mut self.blocks);
    }
}

/// Appends the size and the content of a block. Returns where its time stands.
fn content(out: &mut Vec<u8>, block: &Block<'_>, flags: u8) -> usize {
    let mut track = Vec::new();
    size(&mut track, block.track);
    size(out, (track.len() + 3 + block.data.len()) as u64);
    out.append(&mut track);
    let at = out.len();
    out.extend_from_slice(&[0, 0, flags]);
    out.extend_from_slice(block.data);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(time: i64, sync: bool) -> Block<'static> {
        Block {
            track: 1,
            time,
            sync,
            data: b"ab",
        }
    }

    #[test]
    fn times_are_told_from_that_of_the_block_that_is_shown_first() {
        let mut cluster = Cluster::default();
        cluster.simple(&block(1000, true));
        cluster.simple(&block(900, false));
        cluster.group(&block(1001, true), 300, Some("line:0\n"));
        let mut out = Vec::new();
        cluster.write(&mut out);
        // RFC 9559 §10.1 and §10.2: track number, 16 bits of time, flags.
        let expected = [
            &b"\x1f\x43\xb6\x75\xb1\xe7\x82\x03\x84"[..],
            b"\xa3\x86\x81\x00\x64\x80ab",
            b"\xa3\x86\x81\x00\x00\x00ab",
            b"\xa0\x9d\xa1\x86\x81\x00\x65\x00ab\x9b\x82\x01\x2c",
            b"\x75\xa1\x8e\xa6\x8c\xee\x81\x01\xa5\x87line:0\n",
        ];
        let expected = expected.concat();
        assert_eq!(out[5..], expected[5..], "{}", out.escape_ascii());
        assert_eq!(usize::from(out[4] & 0x7f), out.len() - 5);
        let mut rest = Vec::new();
        cluster.write(&mut rest);
        assert!(rest.is_empty());
    }

    #[test]
    fn a_cluster_spans_what_sixteen_bits_can_tell() {
        let mut cluster = Cluster::default();
        cluster.simple(&block(40_000, true));
        assert!(cluster.has_room(&block(40_000 + 32_767, true)) && cluster.has_room(&block(40_000 - 32_767, true)));
        assert!(!cluster.has_room(&block(40_000 + 32_768, true)) && !cluster.has_room(&block(40_000 - 32_768, true)));
    }
}
