//! Streams of any length that nobody has to store.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Clip;

const PACKET: usize = 188;
/// The clip's first packets: service description, PAT and PMT.
const HEADER: usize = 3 * PACKET;

/// A stream whose bytes are computed from their position: MPEG-TS segments that open with PAT and PMT and go
/// on with null packets of pseudo-random payload, different in every segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synthetic {
    /// How many segments.
    pub segments: usize,
    /// Bytes of each segment.
    pub bytes: usize,
}

impl Synthetic {
    /// Bytes of all segments.
    pub fn total(&self) -> u64 {
        self.segments as u64 * self.bytes as u64
    }

    /// One segment.
    pub fn segment(&self, index: usize) -> Bytes {
        self.read(index as u64 * self.bytes as u64, self.bytes)
    }

    /// Up to `length` bytes from `offset` on, counted over all segments laid end to end.
    pub fn read(&self, offset: u64, length: usize) -> Bytes {
        let end = self.total().min(offset + length as u64);
        let mut out = Vec::with_capacity(length);
        let mut at = offset;
        while at < end {
            let segment = at / self.bytes as u64;
            let inside = usize::try_from(at % self.bytes as u64).expect("less than a segment's length");
            let (packet, skip) = (inside / PACKET, inside % PACKET);
            let room = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.bytes - inside);
            let bytes = packet_bytes(segment, packet);
            let take = room.min(PACKET - skip);
            out.extend_from_slice(&bytes[skip..skip + take]);
            at += take as u64;
        }
        Bytes::from(out)
    }
}

fn packet_bytes(segment: u64, packet: usize) -> [u8; PACKET] {
    let mut bytes = [0; PACKET];
    if packet * PACKET < HEADER {
        if let Ok(folder) = Clip::get().and_then(|clip| clip.folder("high-ts")) {
            bytes.copy_from_slice(&folder.segments[0][packet * PACKET..][..PACKET]);
        }
        return bytes;
    }
    // ISO/IEC 13818-1, 2.4.3.3: PID 0x1FFF is the null packet, its payload may be anything.
    bytes[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    let mut state = (segment << 32) ^ packet as u64;
    for eight in bytes[4..].chunks_exact_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        eight.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_do_not_depend_on_how_they_are_read() {
        let synthetic = Synthetic { segments: 3, bytes: 1000 };
        let whole = synthetic.read(0, 10_000);
        assert_eq!(whole.len(), 3000);
        assert_eq!(synthetic.segment(1), whole.slice(1000..2000));
        assert_eq!(synthetic.read(999, 700), whole.slice(999..1699));
        assert_ne!(synthetic.segment(1), synthetic.segment(2));
        assert_eq!(whole[0], 0x47);
    }
}
