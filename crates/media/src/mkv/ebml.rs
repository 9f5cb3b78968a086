//! Elements as EBML writes them (RFC 8794), and the names of those of Matroska (RFC 9559 §5).

/// The names of elements, as RFC 9559 has them.
pub(super) mod id {
    pub(crate) const EBML: u32 = 0x1a45_dfa3;
    pub(crate) const EBML_MAX_ID_LENGTH: u32 = 0x42f2;
    pub(crate) const EBML_MAX_SIZE_LENGTH: u32 = 0x42f3;
    pub(crate) const EBML_READ_VERSION: u32 = 0x42f7;
    pub(crate) const EBML_VERSION: u32 = 0x4286;
    pub(crate) const DOC_TYPE: u32 = 0x4282;
    pub(crate) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub(crate) const DOC_TYPE_VERSION: u32 = 0x4287;
    pub(crate) const VOID: u32 = 0xec;
    pub(crate) const CRC_32: u32 = 0xbf;
    pub(crate) const SEGMENT: u32 = 0x1853_8067;
    pub(crate) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(crate) const SEEK: u32 = 0x4dbb;
    pub(crate) const SEEK_ID: u32 = 0x53ab;
    pub(crate) const SEEK_POSITION: u32 = 0x53ac;
    pub(crate) const INFO: u32 = 0x1549_a966;
    pub(crate) const TIMESTAMP_SCALE: u32 = 0x002a_d7b1;
    pub(crate) const DURATION: u32 = 0x4489;
    pub(crate) const DATE_UTC: u32 = 0x4461;
    pub(crate) const TITLE: u32 = 0x7ba9;
    pub(crate) const MUXING_APP: u32 = 0x4d80;
    pub(crate) const WRITING_APP: u32 = 0x5741;
    pub(crate) const TRACKS: u32 = 0x1654_ae6b;
    pub(crate) const TRACK_ENTRY: u32 = 0xae;
    pub(crate) const TRACK_NUMBER: u32 = 0xd7;
    pub(crate) const TRACK_UID: u32 = 0x73c5;
    pub(crate) const TRACK_TYPE: u32 = 0x83;
    pub(crate) const FLAG_DEFAULT: u32 = 0x88;
    pub(crate) const FLAG_FORCED: u32 = 0x55aa;
    pub(crate) const FLAG_HEARING_IMPAIRED: u32 = 0x55ab;
    pub(crate) const FLAG_VISUAL_IMPAIRED: u32 = 0x55ac;
    pub(crate) const FLAG_LACING: u32 = 0x9c;
    pub(crate) const DEFAULT_DURATION: u32 = 0x0023_e383;
    pub(crate) const MAX_BLOCK_ADDITION_ID: u32 = 0x55ee;
    pub(crate) const NAME: u32 = 0x536e;
    pub(crate) const LANGUAGE: u32 = 0x0022_b59c;
    pub(crate) const LANGUAGE_BCP47: u32 = 0x0022_b59d;
    pub(crate) const CODEC_ID: u32 = 0x86;
    pub(crate) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(crate) const CODEC_DELAY: u32 = 0x56aa;
    pub(crate) const SEEK_PRE_ROLL: u32 = 0x56bb;
    pub(crate) const BLOCK_ADDITION_MAPPING: u32 = 0x41e4;
    pub(crate) const BLOCK_ADD_ID_TYPE: u32 = 0x41e7;
    pub(crate) const BLOCK_ADD_ID_EXTRA_DATA: u32 = 0x41ed;
    pub(crate) const VIDEO: u32 = 0xe0;
    pub(crate) const FLAG_INTERLACED: u32 = 0x9a;
    pub(crate) const FIELD_ORDER: u32 = 0x9d;
    pub(crate) const PIXEL_WIDTH: u32 = 0xb0;
    pub(crate) const PIXEL_HEIGHT: u32 = 0xba;
    pub(crate) const DISPLAY_WIDTH: u32 = 0x54b0;
    pub(crate) const DISPLAY_HEIGHT: u32 = 0x54ba;
    pub(crate) const DISPLAY_UNIT: u32 = 0x54b2;
    pub(crate) const COLOUR: u32 = 0x55b0;
    pub(crate) const MATRIX_COEFFICIENTS: u32 = 0x55b1;
    pub(crate) const RANGE: u32 = 0x55b9;
    pub(crate) const TRANSFER_CHARACTERISTICS: u32 = 0x55ba;
    pub(crate) const PRIMARIES: u32 = 0x55bb;
    pub(crate) const MAX_CLL: u32 = 0x55bc;
    pub(crate) const MAX_FALL: u32 = 0x55bd;
    pub(crate) const MASTERING_METADATA: u32 = 0x55d0;
    pub(crate) const PRIMARY_R_CHROMATICITY_X: u32 = 0x55d1;
    pub(crate) const PRIMARY_R_CHROMATICITY_Y: u32 = 0x55d2;
    pub(crate) const PRIMARY_G_CHROMATICITY_X: u32 = 0x55d3;
    pub(crate) const PRIMARY_G_CHROMATICITY_Y: u32 = 0x55d4;
    pub(crate) const PRIMARY_B_CHROMATICITY_X: u32 = 0x55d5;
    pub(crate) const PRIMARY_B_CHROMATICITY_Y: u32 = 0x55d6;
    pub(crate) const WHITE_POINT_CHROMATICITY_X: u32 = 0x55d7;
    pub(crate) const WHITE_POINT_CHROMATICITY_Y: u32 = 0x55d8;
    pub(crate) const LUMINANCE_MAX: u32 = 0x55d9;
    pub(crate) const LUMINANCE_MIN: u32 = 0x55da;
    pub(crate) const PROJECTION: u32 = 0x7670;
    pub(crate) const PROJECTION_TYPE: u32 = 0x7671;
    pub(crate) const PROJECTION_POSE_YAW: u32 = 0x7673;
    pub(crate) const PROJECTION_POSE_ROLL: u32 = 0x7675;
    pub(crate) const AUDIO: u32 = 0xe1;
    pub(crate) const SAMPLING_FREQUENCY: u32 = 0xb5;
    pub(crate) const OUTPUT_SAMPLING_FREQUENCY: u32 = 0x78b5;
    pub(crate) const CHANNELS: u32 = 0x9f;
    pub(crate) const BIT_DEPTH: u32 = 0x6264;
    pub(crate) const ATTACHMENTS: u32 = 0x1941_a469;
    pub(crate) const CHAPTERS: u32 = 0x1043_a770;
    pub(crate) const EDITION_ENTRY: u32 = 0x45b9;
    pub(crate) const CHAPTER_ATOM: u32 = 0xb6;
    pub(crate) const CHAPTER_UID: u32 = 0x73c4;
    pub(crate) const CHAPTER_TIME_START: u32 = 0x91;
    pub(crate) const CHAPTER_DISPLAY: u32 = 0x80;
    pub(crate) const CHAP_STRING: u32 = 0x85;
    pub(crate) const CHAP_LANGUAGE: u32 = 0x437c;
    pub(crate) const TAGS: u32 = 0x1254_c367;
    pub(crate) const TAG: u32 = 0x7373;
    pub(crate) const TARGETS: u32 = 0x63c0;
    pub(crate) const TAG_TRACK_UID: u32 = 0x63c5;
    pub(crate) const SIMPLE_TAG: u32 = 0x67c8;
    pub(crate) const TAG_NAME: u32 = 0x45a3;
    pub(crate) const TAG_LANGUAGE: u32 = 0x447a;
    pub(crate) const TAG_STRING: u32 = 0x4487;
    pub(crate) const CLUSTER: u32 = 0x1f43_b675;
    pub(crate) const TIMESTAMP: u32 = 0xe7;
    pub(crate) const POSITION: u32 = 0xa7;
    pub(crate) const PREV_SIZE: u32 = 0xab;
    pub(crate) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(crate) const BLOCK_GROUP: u32 = 0xa0;
    pub(crate) const BLOCK: u32 = 0xa1;
    pub(crate) const BLOCK_DURATION: u32 = 0x9b;
    pub(crate) const BLOCK_ADDITIONS: u32 = 0x75a1;
    pub(crate) const BLOCK_MORE: u32 = 0xa6;
    pub(crate) const BLOCK_ADDITIONAL: u32 = 0xa5;
    pub(crate) const BLOCK_ADD_ID: u32 = 0xee;
    pub(crate) const CUES: u32 = 0x1c53_bb6b;
    pub(crate) const CUE_POINT: u32 = 0xbb;
    pub(crate) const CUE_TIME: u32 = 0xb3;
    pub(crate) const CUE_TRACK_POSITIONS: u32 = 0xb7;
    pub(crate) const CUE_TRACK: u32 = 0xf7;
    pub(crate) const CUE_CLUSTER_POSITION: u32 = 0xf1;
}

/// A size of eight bytes that says nothing: the element goes on to the end of the file (RFC 8794 §6.2).
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Appends the number of an element: the marker of its length is part of it (RFC 8794 §5).
pub(super) fn number(out: &mut Vec<u8>, id: u32) {
    out.extend(id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0));
}

/// Appends a size, or another number of that form, in as few bytes as it needs (RFC 8794 §4, §6).
pub(super) fn size(out: &mut Vec<u8>, value: u64) {
    // All ones are reserved.
    let length = (1..8).find(|length| value < (1 << (7 * length)) - 1).unwrap_or(8);
    out.extend_from_slice(&sized(value, length)[8 - length..]);
}

/// A size in so many bytes, at the end of these eight.
fn sized(value: u64, length: usize) -> [u8; 8] {
    (value & ((1 << 56) - 1) | 1 << (7 * length)).to_be_bytes()
}

/// A size in eight bytes.
pub(super) fn wide(value: u64) -> [u8; 8] {
    sized(value, 8)
}

/// Appends an element with these bytes as its content.
pub(super) fn binary(out: &mut Vec<u8>, id: u32, content: &[u8]) {
    number(out, id);
    size(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Appends an unsigned integer in as few bytes as it needs (RFC 8794 §7.2).
pub(super) fn uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let zeros = usize::try_from(value.leading_zeros() / 8).unwrap_or(0).min(7);
    binary(out, id, &value.to_be_bytes()[zeros..]);
}

/// Appends a date: nanoseconds since the beginning of 2001 (RFC 8794 §7.6).
pub(super) fn date(out: &mut Vec<u8>, id: u32, nanoseconds: i64) {
    binary(out, id, &nanoseconds.to_be_bytes());
}

/// Appends a floating-point number of eight bytes (RFC 8794 §7.3).
pub(super) fn float(out: &mut Vec<u8>, id: u32, value: f64) {
    binary(out, id, &value.to_be_bytes());
}

/// Appends text (RFC 8794 §7.4, §7.5). Zeros would end it.
pub(super) fn text(out: &mut Vec<u8>, id: u32, value: &str) {
    let text = value.split('\0').next().unwrap_or("");
    binary(out, id, text.as_bytes());
}

/// Appends an element of the elements that `content` appends.
pub(super) fn master(out: &mut Vec<u8>, id: u32, content: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    content(&mut inner);
    binary(out, id, &inner);
}

/// Appends an element that says nothing, of `length` bytes in all, 2 at least (RFC 8794 §11.3.2).
pub(super) fn void(out: &mut Vec<u8>, length: usize) {
    let end = out.len() + length;
    number(out, id::VOID);
    match length {
        ..=128 => size(out, length.saturating_sub(2) as u64),
        _ => out.extend_from_slice(&wide((length - 9) as u64)),
    }
    out.resize(end.max(out.len()), 0);
}

/// Reads a size, or another number of that form, whose marker is kept where it `is_id`, and how many bytes it takes
/// (RFC 8794 §4); `None` where it is not whole, longer than eight bytes, or says that it is unknown.
fn read_number(bytes: &[u8], is_id: bool) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = usize::try_from(first.leading_zeros()).ok()? + 1;
    let digits = bytes.get(..length).filter(|_| length <= 8)?;
    let value = digits.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let bits = (1_u64 << (7 * length)) - 1;
    let is_reserved = value & bits == bits;
    (!is_reserved).then_some((if is_id { value } else { value & bits }, length))
}

/// Reads a number that begins a piece of bytes, and gives what is behind it.
pub(super) fn split_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (value, length) = read_number(bytes, false)?;
    Some((value, bytes.get(length..)?))
}

/// An element as it stands in some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) id: u32,
    /// Where it begins and where its content does.
    pub(super) start: usize,
    pub(super) inner: usize,
    pub(super) content: &'a [u8],
}

impl Element<'_> {
    pub(super) fn end(&self) -> usize {
        self.inner + self.content.len()
    }

    /// Its content as an unsigned integer (RFC 8794 §7.2).
    pub(super) fn uint(&self) -> Option<u64> {
        let digits = Some(self.content).filter(|digits| digits.len() <= 8)?;
        Some(digits.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

/// The elements in some bytes, one behind the other. One that does not fit, or whose size is unknown, is given as the place where it
/// begins, and ends them.
#[derive(Debug, Clone)]
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Elements<'a> {
    /// Those from `at` on.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    fn read(&self) -> Option<Element<'a>> {
        let start = self.at;
        let (id, id_length) = read_number(self.bytes.get(start..)?, true)?;
        let (size, size_length) = read_number(self.bytes.get(start + id_length..)?, false)?;
        let inner = start + id_length + size_length;
        let end = inner.checked_add(usize::try_from(size).ok()?)?;
        Some(Element {
            id: u32::try_from(id).ok()?,
            start,
            inner,
            content: self.bytes.get(inner..end)?,
        })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let read = self.read().ok_or(self.at);
        self.at = read.map_or(self.bytes.len(), |element| element.end());
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_specification() {
        // RFC 8794, table 4 and §4.4; all ones are reserved (§6.2).
        let cases: [(u64, &[u8]); 8] = [
            (0, &[0x80]),
            (1, &[0x81]),
            (126, &[0xfe]),
            (127, &[0x40, 0x7f]),
            (16_382, &[0x7f, 0xfe]),
            (16_383, &[0x20, 0x3f, 0xff]),
            ((1 << 49) - 2, &[0x03, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe][..]),
            ((1 << 49) - 1, &[0x01, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            size(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
        assert_eq!(wide(2), [1, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn elements_are_those_of_the_specification() {
        let mut out = Vec::new();
        uint(&mut out, id::TRACK_NUMBER, 0);
        uint(&mut out, id::TIMESTAMP_SCALE, 1_000_000);
        text(&mut out, id::DOC_TYPE, "webm\0junk");
        float(&mut out, id::DURATION, 1.0);
        void(&mut out, 4);
        let expected = [
            &[0xd7, 0x81, 0x00][..],
            &[0x2a, 0xd7, 0xb1, 0x83, 0x0f, 0x42, 0x40],
            b"\x42\x82\x84webm",
            &[0x44, 0x89, 0x88, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[0xec, 0x82, 0, 0],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        uint(&mut out, id::TIMESTAMP_SCALE, 1_000_000);
        master(&mut out, id::CLUSTER, |out| text(out, id::TITLE, &"long".repeat(100)));
        void(&mut out, 200);
        let read: Vec<_> = Elements::new(&out, 0).map(Result::unwrap).collect();
        let ids: Vec<u32> = read.iter().map(|element| element.id).collect();
        assert_eq!(ids, [id::TIMESTAMP_SCALE, id::CLUSTER, id::VOID]);
        assert_eq!(read[0].uint(), Some(1_000_000));
        assert_eq!(read.iter().map(Element::end).collect::<Vec<_>>(), [7, 7 + 6 + 404, out.len()]);
        let inner: Vec<_> = Elements::new(read[1].content, 0).map(Result::unwrap).collect();
        assert_eq!(inner[0].content, "long".repeat(100).as_bytes());
        // Whatever is cut off, nothing is read beyond the end.
        for cut in 0..out.len() {
            let whole = Elements::new(&out[..cut], 0).filter(Result::is_ok).count();
            assert_eq!(whole, read.iter().filter(|element| element.end() <= cut).count(), "{cut}");
        }
    }

    #[test]
    fn what_is_no_element_is_told_by_its_place() {
        // An unknown size (RFC 8794 §6.2), a number of nine bytes, an ID of five, a size beyond the end.
        for bytes in [
            &[0xec, 0xff][..],
            &[0xec, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x00, 0x80],
            &[0x08, 1, 1, 1, 1, 0x80],
            &[0xec, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe],
            &[0xec],
        ] {
            let all = [&[0xec, 0x80][..], bytes].concat();
            let read: Vec<_> = Elements::new(&all, 0).map(|element| element.map(|element| element.id)).collect();
            assert_eq!(read, [Ok(id::VOID), Err(2)], "{bytes:x?}");
        }
    }
}
