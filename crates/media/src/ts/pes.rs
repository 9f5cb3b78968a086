//! PES packet headers (ISO 13818-1 §2.4.3.6).

/// When an access unit is due, in ticks of 90 kHz modulo 2³³.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamps {
    pub(super) pts: u64,
    pub(super) dts: u64,
}

/// What a PES header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PesHeader {
    /// Bytes up to the payload.
    pub(super) len: usize,
    /// Bytes of payload, where `PES_packet_length` tells (it may be 0 for video).
    pub(super) payload: Option<usize>,
    pub(super) stamps: Option<Stamps>,
    pub(super) scrambled: bool,
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// More bytes are needed.
    Incomplete,
    /// No start code, or a stream without such a header (padding, for example).
    Broken,
}

/// Fixed bytes of a header.
const FIXED: usize = 9;

impl PesHeader {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NoHeader> {
        let known = bytes.len().min(3);
        if bytes[..known] != [0, 0, 1][..known] {
            return Err(NoHeader::Broken);
        }
        let Some(&[_, _, _, stream_id, high, low, marker, flags, header_len]) = bytes.first_chunk::<FIXED>() else {
            return Err(NoHeader::Incomplete);
        };
        // Table 2-22: these have no optional header.
        let bare = matches!(stream_id, 0xbc | 0xbe | 0xbf | 0xf0..=0xf2 | 0xf8 | 0xff);
        if bare || marker & 0xc0 != 0x80 {
            return Err(NoHeader::Broken);
        }
        let len = FIXED + usize::from(header_len);
        let optional = bytes.get(FIXED..len).ok_or(NoHeader::Incomplete)?;
        let stamp = |at: usize| optional.get(at..)?.first_chunk().map(timestamp);
        let stamps = match flags >> 6 {
            2 => stamp(0).map(|pts| Stamps { pts, dts: pts }),
            3 => stamp(0).map(|pts| Stamps {
                pts,
                dts: stamp(5).unwrap_or(pts),
            }),
            _ => None,
        };
        // Counted from behind itself.
        let whole = usize::from(high) << 8 | usize::from(low);
        Ok(Self {
            len,
            payload: (whole > 0).then(|| (6 + whole).saturating_sub(len)),
            stamps,
            scrambled: marker & 0x30 != 0,
        })
    }
}

/// 33 bits among marker bits. The markers are not checked: encoders exist that leave them out.
fn timestamp(bytes: &[u8; 5]) -> u64 {
    let [b0, b1, b2, b3, b4] = bytes.map(u64::from);
    (b0 >> 1 & 7) << 30 | b1 << 22 | (b2 >> 1) << 15 | b3 << 7 | b4 >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_as_the_flags_say() {
        let pts = [0x21, 0x00, 0x07, 0xd8, 0x61];
        let cases: [(&[u8], Option<Stamps>); 4] = [
            (&[0, 0, 1, 0xe0, 0, 0, 0x80, 0x00, 0], None),
            (
                &[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, pts[0], pts[1], pts[2], pts[3], pts[4]],
                Some(Stamps {
                    pts: 126_000,
                    dts: 126_000,
                }),
            ),
            (
                // ffmpeg: PTS 133200, DTS 126000.
                &[
                    0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0, 10, 0x31, 0x00, 0x09, 0x10, 0xa1, 0x11, 0x00, 0x07, 0xd8, 0x61,
                ],
                Some(Stamps {
                    pts: 133_200,
                    dts: 126_000,
                }),
            ),
            // A header too short for the stamp that its flags promise.
            (&[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 2, 0x21, 0x00], None),
        ];
        for (bytes, stamps) in cases {
            let header = PesHeader::parse(bytes).unwrap();
            assert_eq!(header.payload, None);
            assert_eq!((header.len, header.stamps), (bytes.len(), stamps), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(PesHeader::parse(&bytes[..end]), Err(NoHeader::Incomplete));
            }
        }
    }

    #[test]
    fn a_length_counts_what_is_behind_the_header() {
        for (low, payload) in [(3, 0), (20, 17), (1, 0)] {
            let header = PesHeader::parse(&[0, 0, 1, 0xc0, 0, low, 0x80, 0, 0]).unwrap();
            assert_eq!(header.payload, Some(payload), "{low}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            &[1, 2, 3][..],
            &[0, 0, 2],
            &[0, 0, 1, 0xbe, 0, 4, 0xff, 0xff, 0xff],
            &[0, 0, 1, 0xe0, 0, 0, 0x40, 0, 0],
        ] {
            assert_eq!(PesHeader::parse(bytes), Err(NoHeader::Broken), "{bytes:02x?}");
        }
    }
}
