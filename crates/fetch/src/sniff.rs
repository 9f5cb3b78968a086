//! Telling text from media by its first bytes.

/// How many bytes are enough to tell.
pub(crate) const HEAD: usize = 1445;

/// Whether a body that begins like this is media rather than a page, a script or a playlist: the test for a
/// binary data byte of WHATWG's MIME Sniffing Standard (sections 3 and 7.2), with its byte order marks.
pub(crate) fn is_binary(head: &[u8]) -> bool {
    const MARKS: [&[u8]; 3] = [&[0xfe, 0xff], &[0xff, 0xfe], &[0xef, 0xbb, 0xbf]];
    if MARKS.iter().any(|mark| head.starts_with(mark)) {
        return false;
    }
    head.iter()
        .take(HEAD)
        .any(|byte| matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_binary_and_documents_are_not() {
        let cases: [(&[u8], bool); 7] = [
            (b"\x00\x00\x00\x20ftypisom", true),
            (b"\x47\x40\x11\x10\x00\x42", true),
            (b"\x1aE\xdf\xa3", true),
            (b"<!DOCTYPE html>\r\n\t<title>\xe9</title>", false),
            (b"\xef\xbb\xbf#EXTM3U\n", false),
            (b"\xff\xfe<\x00h\x00", false),
            (b"", false),
        ];
        for (head, binary) in cases {
            assert_eq!(is_binary(head), binary, "{head:?}");
        }
    }
}
