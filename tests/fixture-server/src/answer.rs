//! Answers before they go on the wire.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::Synthetic;
use crate::http::{Wanted, wanted};

/// Bytes to send, in memory or computed as they go.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Bytes(Bytes),
    Synthetic { synthetic: Synthetic, range: Range<u64> },
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl Body {
    pub(crate) fn synthetic(synthetic: Synthetic) -> Self {
        Self::Synthetic {
            synthetic,
            range: 0..synthetic.total(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Synthetic { range, .. } => range.end - range.start,
        }
    }

    /// At most `most` bytes from `offset` on; `offset` is not past the end.
    pub(crate) fn piece(&self, offset: u64, most: usize) -> Bytes {
        let length = usize::try_from(self.len() - offset).unwrap_or(usize::MAX).min(most);
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).expect("inside a body that is in memory");
                bytes.slice(start..start + length)
            }
            Self::Synthetic { synthetic, range } => synthetic.read(range.start + offset, length),
        }
    }

    pub(crate) fn part(&self, part: Range<u64>) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let at = |offset| usize::try_from(offset).expect("inside a body that is in memory");
                Self::Bytes(bytes.slice(at(part.start)..at(part.end)))
            }
            Self::Synthetic { synthetic, range } => {
                let range = range.start + part.start..range.start + part.end;
                Self::Synthetic {
                    synthetic: *synthetic,
                    range,
                }
            }
        }
    }
}

/// Status, header fields but for `Content-Length`, and body.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn ok(content_type: &str, body: impl Into<Body>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self {
            status: 200,
            headers,
            body: body.into(),
        }
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            ..Self::ok("text/plain; charset=utf-8", text.into())
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Adds a field, or replaces those of the same name. `Set-Cookie` may stand several times.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        if !name.eq_ignore_ascii_case("set-cookie") {
            self.headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        }
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// The part that `Range` asks for (RFC 9110, section 14), if `If-Range` agrees.
    pub(crate) fn ranged(mut self, range: Option<&str>, if_range: Option<&str>) -> Self {
        if self.status != 200 {
            return self;
        }
        self.set_header("Accept-Ranges", "bytes");
        let stale = if_range.is_some_and(|validator| self.header("ETag") != Some(validator));
        let length = self.body.len();
        match wanted(range.filter(|_| !stale), length) {
            Wanted::Whole => {}
            Wanted::Part(part) => {
                self.status = 206;
                self.body = self.body.part(part.clone());
                self.set_header("Content-Range", &content_range(&part, length));
            }
            Wanted::Unsatisfiable => {
                self = Self::text(416, "no such range\n");
                self.set_header("Content-Range", &format!("bytes */{length}"));
            }
        }
        self
    }

    /// A range ends after so many bytes, and says so.
    pub(crate) fn cap_range(&mut self, bytes: u64) {
        let Some((first, last, total)) = self.header("Content-Range").and_then(split_content_range) else {
            return;
        };
        if last - first >= bytes {
            self.body = self.body.part(0..bytes);
            self.set_header("Content-Range", &content_range(&(first..first + bytes), total));
        }
    }

    /// Whether a `Range` asks for more than so many bytes of it.
    pub(crate) fn is_part_over(&self, range: Option<&str>, bytes: u64) -> bool {
        matches!(wanted(range, self.body.len()), Wanted::Part(part) if part.end - part.start > bytes)
    }

    /// `Content-Range` names bytes further on than those that follow.
    pub(crate) fn misplace_range(&mut self, by: u64) {
        let Some((first, last, total)) = self.header("Content-Range").and_then(split_content_range) else {
            return;
        };
        let wrong = format!("bytes {}-{}/{total}", first + by, last + by);
        self.set_header("Content-Range", &wrong);
    }
}

fn content_range(part: &Range<u64>, total: u64) -> String {
    format!("bytes {}-{}/{total}", part.start, part.end - 1)
}

fn split_content_range(value: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
}

/// How a body ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Close,
    Stall,
    Reset,
}

/// An answer, and how to send it badly.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) answer: Answer,
    pub(crate) delay: Duration,
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) cut: Option<(u64, Cut)>,
    pub(crate) hang_up: bool,
}

impl Plan {
    pub(crate) fn new(answer: Answer) -> Self {
        Self {
            answer,
            delay: Duration::ZERO,
            bytes_per_second: None,
            cut: None,
            hang_up: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_only_while_the_validator_holds() {
        let mut answer = Answer::ok("x/y", "0123456789".to_owned());
        answer.set_header("ETag", "\"a\"");
        let part = answer.clone().ranged(Some("bytes=2-3"), Some("\"a\""));
        assert_eq!((part.status, part.header("Content-Range")), (206, Some("bytes 2-3/10")));
        assert_eq!(part.body.piece(0, 9), "23");
        let whole = answer.clone().ranged(Some("bytes=2-3"), Some("\"b\""));
        assert_eq!((whole.status, whole.body.len()), (200, 10));
        assert_eq!(answer.ranged(Some("bytes=10-"), None).status, 416);
    }
}
