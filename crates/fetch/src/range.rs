//! Byte ranges in HTTP (RFC 9110, section 14).

use aqueduct_core::{ByteRange, FetchError, SafeUrl};

/// A parsed `Content-Range` (RFC 9110, 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Length of the whole resource, where the server knows it.
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (unit, rest) = header.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let total = match total.trim() {
            "*" => None,
            number => Some(number.parse().ok()?),
        };
        (first <= last && total.is_none_or(|total: u64| last < total)).then_some(Self { first, last, total })
    }

    /// Number of bytes.
    pub(crate) fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// The value of a `Range` header for what is still missing of a resource: `received` bytes of `range`, or of the
/// whole, are here, and the `ahead` bytes behind the range are wanted along with it. `None` when the whole is wanted.
pub(crate) fn header(range: Option<ByteRange>, received: u64, ahead: u64) -> Option<String> {
    match range {
        Some(range) => {
            let first = range.offset.checked_add(received)?;
            Some(format!("bytes={first}-{}", range.last()?.checked_add(ahead)?))
        }
        None if received > 0 => Some(format!("bytes={received}-")),
        None => None,
    }
}

/// Checks a 206 answer against what was asked for. It begins there and may end before (RFC 9110, 15.3.7), unless that is
/// the end of the resource.
pub(crate) fn check(
    url: &SafeUrl,
    header: Option<&str>,
    range: Option<ByteRange>,
    received: u64,
    ahead: u64,
) -> Result<ContentRange, FetchError> {
    let wrong = |what: String| FetchError::Range { url: url.clone(), what };
    let header = header.ok_or_else(|| wrong("partial answer without Content-Range".into()))?;
    let got = ContentRange::parse(header).ok_or_else(|| wrong(format!("unreadable Content-Range {header:?}")))?;
    let first = range.map_or(0, |range| range.offset).saturating_add(received);
    if got.first != first {
        return Err(wrong(format!("asked for bytes from {first}, got Content-Range {header:?}")));
    }
    match range.and_then(ByteRange::last) {
        Some(last) if got.total.is_some_and(|total| total <= last) => Err(wrong(format!(
            "asked for bytes {first}-{last} of a resource of {} bytes",
            got.total.unwrap_or_default()
        ))),
        Some(last) if got.last > last.saturating_add(ahead) => {
            Err(wrong(format!("asked for bytes {first}-{last}, got Content-Range {header:?}")))
        }
        _ => Ok(got),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9110, 14.4: examples and what they forbid.
    #[test]
    fn content_range_is_read_by_the_rules() {
        let some = |first, last, total| Some(ContentRange { first, last, total });
        let cases = [
            ("bytes 42-1233/1234", some(42, 1233, Some(1234))),
            ("bytes 42-1233/*", some(42, 1233, None)),
            ("Bytes 0-0/1", some(0, 0, Some(1))),
            ("bytes */1234", None),
            ("bytes 10-9/100", None),
            ("bytes 0-100/100", None),
            ("items 0-1/2", None),
            ("bytes 0-18446744073709551616/*", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(ContentRange::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn an_answer_must_be_the_range_that_was_asked_for() {
        let url = SafeUrl::from(url::Url::parse("http://host.example/").unwrap());
        let range = Some(ByteRange { offset: 100, length: 50 });
        assert!(check(&url, Some("bytes 100-149/1000"), range, 0, 0).is_ok());
        assert!(check(&url, Some("bytes 120-149/1000"), range, 20, 0).is_ok());
        for (last, fits) in [(100, true), (148, true), (149, true), (169, true), (199, true), (200, false)] {
            let header = format!("bytes 100-{last}/1000");
            assert_eq!(check(&url, Some(&header), range, 0, 50).is_ok(), fits, "{header}");
        }
        for wrong in [
            Some("bytes 0-49/1000"),
            Some("bytes 101-149/1000"),
            Some("bytes 100-150/1000"),
            Some("bytes 100-120/121"),
            None,
        ] {
            assert!(check(&url, wrong, range, 0, 0).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_range_header_asks_for_what_is_missing() {
        assert_eq!(header(None, 0, 0), None);
        assert_eq!(header(None, 7, 0).as_deref(), Some("bytes=7-"));
        assert_eq!(
            header(Some(ByteRange { offset: 10, length: 5 }), 0, 0).as_deref(),
            Some("bytes=10-14")
        );
        assert_eq!(
            header(Some(ByteRange { offset: 10, length: 5 }), 2, 0).as_deref(),
            Some("bytes=12-14")
        );
        assert_eq!(
            header(Some(ByteRange { offset: 10, length: 5 }), 2, 5).as_deref(),
            Some("bytes=12-19")
        );
    }
}
