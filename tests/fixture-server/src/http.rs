//! As much of HTTP/1.1 (RFC 9112) as an origin for tests needs, on bytes.

use std::ops::Range;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`; others are refused.
    pub method: String,
    /// The path without the query, as sent.
    pub path: String,
    /// The query without its question mark, as sent.
    pub query: Option<String>,
    /// Header fields in order, names as sent.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The first field of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Reads a head that ends with an empty line; `None` where it is not HTTP/1.1.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with("HTTP/1.") || words.next().is_some() {
            return None;
        }
        // A proxy's request line holds the whole URL (RFC 9112, section 3.2.2).
        let target = match target.strip_prefix("http://") {
            Some(rest) => &rest[rest.find('/')?..],
            None => target,
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
            .collect::<Option<_>>()?;
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            headers,
        })
    }
}

/// What a `Range` field asks of a body of `length` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: no range, or one that we do not understand.
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// RFC 9110, section 14.1.2.
pub(crate) fn wanted(range: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = range.and_then(|range| range.strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::Whole;
    };
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        (Err(_), Ok(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Wanted::Whole,
    };
    if part.is_empty() {
        Wanted::Unsatisfiable
    } else {
        Wanted::Part(part)
    }
}

/// The words for a status code.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// The media type of a name, by its extension.
pub(crate) fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "m3u8" => "application/vnd.apple.mpegurl",
        "ts" => "video/mp2t",
        "m4s" | "mp4" => "video/mp4",
        "vtt" => "text/vtt",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript",
        "json" => "application/json",
        "jpg" => "image/jpeg",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_cut_to_the_length() {
        assert_eq!(wanted(Some("bytes=2-4"), 10), Wanted::Part(2..5));
        assert_eq!(wanted(Some("bytes=2-99"), 10), Wanted::Part(2..10));
        assert_eq!(wanted(Some("bytes=7-"), 10), Wanted::Part(7..10));
        assert_eq!(wanted(Some("bytes=-3"), 10), Wanted::Part(7..10));
        assert_eq!(wanted(Some("bytes=10-"), 10), Wanted::Unsatisfiable);
        assert_eq!(wanted(Some("bytes=0-1,3-4"), 10), Wanted::Whole);
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }

    #[test]
    fn a_head_is_read_with_its_query_apart() {
        let request = Request::parse(b"GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nRANGE: bytes=0-\r\n\r\n").unwrap();
        assert_eq!((request.path.as_str(), request.query.as_deref()), ("/a%20b", Some("x=1")));
        assert_eq!(request.header("range"), Some("bytes=0-"));
        assert_eq!(Request::parse(b"nonsense\r\n\r\n"), None);
    }
}
