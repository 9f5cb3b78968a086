//! gzip without compressing: stored blocks in a valid RFC 1952 member, enough to test who unpacks it.

/// `data` as a gzip member.
pub fn wrap(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
    let mut blocks = data.chunks(0xFFFF).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 0xFF, 0xFF]);
    }
    while let Some(block) = blocks.next() {
        // RFC 1951, 3.2.4: a stored block is its length, the length's complement and the bytes.
        let length = u16::try_from(block.len()).expect("a block is at most 65535 bytes");
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(data).to_le_bytes());
    let length = u32::try_from(data.len() as u64 & 0xFFFF_FFFF).expect("masked to 32 bits");
    out.extend_from_slice(&length.to_le_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_the_one_of_rfc_1952() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn long_bodies_take_several_blocks() {
        let packed = wrap(&vec![7; 70_000]);
        assert_eq!(packed[10], 0);
        assert_eq!(packed.len(), 10 + 2 * 5 + 70_000 + 8);
    }
}
