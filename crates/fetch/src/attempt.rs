//! One try at one resource: the checks on the answer, and its body.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{FetchError, Kind, Resource, SafeUrl, TimeoutPhase};
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use crate::fetcher::HttpFetcher;
use crate::range::ContentRange;
use crate::request::send;
use crate::resolver::TooNear;
use crate::retry::retry_after;
use crate::sink::Sink;
use crate::{range, sniff};

/// What survives a failed try, so that the next continues it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What proves that the resource did not change: a strong `ETag` or a `Last-Modified` (RFC 9110, 13.1.5).
    validator: Option<String>,
    /// Length of the whole resource, in bytes.
    total: Option<u64>,
}

/// The answer's head, once its body is complete.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) url: SafeUrl,
    pub(crate) content_type: Option<String>,
    pub(crate) total_length: Option<u64>,
    pub(crate) accepts_ranges: bool,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) whole: bool,
}

/// What part of an answer's body is wanted.
struct Part {
    /// Bytes to pass over first.
    skip: u64,
    /// Bytes to take then; the rest without it.
    take: Option<u64>,
    /// Length that the answer claims for its body, in bytes.
    claimed: Option<u64>,
}

/// Tries once to fetch `resource` into `sink`.
pub(crate) async fn attempt(
    fetcher: &HttpFetcher,
    resource: &Resource,
    sink: &mut Sink<'_>,
    memory: &mut Memory,
) -> Result<Head, FetchError> {
    let resume = memory.validator.clone().filter(|_| sink.received() > 0);
    let received = if resume.is_some() || sink.received() == 0 || !sink.restart() {
        sink.received()
    } else {
        0
    };
    let (url, response) = send(fetcher, resource, received, resume.as_deref()).await?;
    let status = response.status();
    let headers = response.headers();
    let validator = validator(headers);
    check_version(resource, &url, validator.as_deref())?;
    check_encoding(resource, &url, headers)?;
    let whole_length = match status {
        StatusCode::PARTIAL_CONTENT => text(headers, header::CONTENT_RANGE)
            .and_then(ContentRange::parse)
            .and_then(|range| range.total),
        _ => response.content_length(),
    };
    let changed = received > 0 && (validator != memory.validator || (memory.total.is_some() && whole_length != memory.total));
    let part = if status == StatusCode::PARTIAL_CONTENT {
        if resource.range.is_none() && received == 0 {
            return Err(FetchError::Invalid {
                url,
                what: "partial answer to a request for the whole".into(),
            });
        }
        let got = range::check(&url, text(headers, header::CONTENT_RANGE), resource.range, received)?;
        if changed {
            return start_over(sink, memory, url);
        }
        Part {
            skip: 0,
            take: None,
            claimed: Some(got.length()),
        }
    } else if !status.is_success() {
        if status == StatusCode::RANGE_NOT_SATISFIABLE && received > 0 {
            return start_over(sink, memory, url);
        }
        return Err(FetchError::Status {
            url,
            status: status.as_u16(),
            retry_after: retry_after(headers),
        });
    } else {
        // The whole, though a part may have been asked for: what is missing is cut out here.
        let offset = resource.range.map_or(0, |range| range.offset);
        let received = if received > 0 && sink.restart() { 0 } else { received };
        // Bytes that were handed on are passed over now, which takes proof that they are the same again.
        if received > 0 && (changed || (validator.is_none() && whole_length.is_none())) {
            return start_over(sink, memory, url);
        }
        let take = resource.range.map(|range| range.length.saturating_sub(received));
        Part {
            skip: offset.saturating_add(received),
            take,
            claimed: response.content_length(),
        }
    };
    *memory = Memory {
        validator,
        total: whole_length,
    };
    let head = Head {
        content_type: text(headers, header::CONTENT_TYPE).map(Into::into),
        total_length: whole_length,
        version: memory.validator.as_deref().map(Into::into),
        accepts_ranges: status == StatusCode::PARTIAL_CONTENT
            || text(headers, header::ACCEPT_RANGES).is_some_and(|value| value.trim() == "bytes"),
        whole: true,
        url,
    };
    receive(fetcher, resource, response, part, sink, head).await
}

/// Checks that the resource is the version that is wanted.
fn check_version(resource: &Resource, url: &SafeUrl, version: Option<&str>) -> Result<(), FetchError> {
    match &resource.version {
        Some(wanted) if version.is_some_and(|version| *version != **wanted) => Err(FetchError::Invalid {
            url: url.clone(),
            what: "it changed on the server while it was fetched".into(),
        }),
        _ => Ok(()),
    }
}

/// Media is asked for as it is; a server that compresses it all the same sends something else.
fn check_encoding(resource: &Resource, url: &SafeUrl, headers: &HeaderMap) -> Result<(), FetchError> {
    let coding = text(headers, header::CONTENT_ENCODING)
        .map(str::trim)
        .filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    match coding {
        Some(coding) if !matches!(resource.kind, Kind::Document | Kind::Playlist) => Err(FetchError::Invalid {
            url: url.clone(),
            what: format!("it comes with Content-Encoding {coding}, which was not asked for"),
        }),
        _ => Ok(()),
    }
}

/// The resource is no longer the one that was begun.
fn start_over(sink: &mut Sink<'_>, memory: &mut Memory, url: SafeUrl) -> Result<Head, FetchError> {
    *memory = Memory::default();
    if sink.restart() {
        let received = 0;
        return Err(FetchError::Broken {
            url,
            received,
            source: "it changed on the server while it was fetched".into(),
        });
    }
    Err(FetchError::Invalid {
        url,
        what: "it changed on the server while it was fetched".into(),
    })
}

/// Takes the wanted part of the body in, and checks that it is complete.
async fn receive(
    fetcher: &HttpFetcher,
    resource: &Resource,
    mut response: Response,
    part: Part,
    sink: &mut Sink<'_>,
    mut head: Head,
) -> Result<Head, FetchError> {
    let document = resource.kind == Kind::Document;
    let available = part.claimed.map(|claimed| claimed.saturating_sub(part.skip));
    if let (Some(available), Some(take)) = (available, part.take)
        && available < take
    {
        let (offset, length) = (part.skip, take);
        return Err(FetchError::Range {
            url: head.url,
            what: format!("asked for {length} bytes at {offset}, of which {available} are there"),
        });
    }
    let coming = part.take.or(available);
    let goal = coming.map(|coming| coming.saturating_add(sink.received()));
    if let Some(goal) = goal
        && !document
    {
        sink.expect(goal).await?;
    }
    let (mut skip, mut seen, mut sniffed) = (part.skip, 0_u64, !document);
    while goal.is_none_or(|goal| sink.received() < goal) {
        let chunk = match timeout(fetcher.options.timeout, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(classify(&head.url, error, seen, part.claimed, fetcher.options.timeout)),
            Err(_) => {
                return Err(FetchError::Timeout {
                    url: head.url,
                    phase: TimeoutPhase::Stall,
                    after: fetcher.options.timeout,
                });
            }
        };
        seen += chunk.len() as u64;
        let passed_over = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        skip -= passed_over as u64;
        let mut wanted = &chunk[passed_over..];
        if let Some(goal) = goal {
            let missing = usize::try_from(goal - sink.received()).unwrap_or(usize::MAX);
            wanted = &wanted[..wanted.len().min(missing)];
        }
        if !sink.write(wanted).await? {
            return Ok(head);
        }
        if !sniffed && sink.head().len() >= sniff::HEAD {
            sniffed = true;
            if sniff::is_binary(sink.head()) {
                head.whole = goal == Some(sink.received());
                return Ok(head);
            }
        }
    }
    // Media and keys are never empty, but answers to requests that fail often are.
    if sink.received() == 0 && matches!(resource.kind, Kind::Init | Kind::Segment | Kind::Key) {
        return Err(FetchError::Empty { url: head.url });
    }
    match goal {
        Some(goal) if sink.received() < goal => Err(FetchError::Truncated {
            url: head.url,
            received: sink.received(),
            expected: goal,
        }),
        _ => Ok(head),
    }
}

/// Tells failures of the transfer apart: the HTTP library calls most of them a decoding error.
pub(crate) fn classify(url: &SafeUrl, error: reqwest::Error, received: u64, claimed: Option<u64>, after: Duration) -> FetchError {
    let url = url.clone();
    // The library's message repeats the URL, secrets and all.
    let error = error.without_url();
    if let Some(refusal) = sources(&error).find_map(|source| source.downcast_ref::<TooNear>()) {
        return FetchError::Refused {
            url,
            reason: refusal.to_string(),
        };
    }
    if error.is_timeout() {
        let phase = if error.is_connect() {
            TimeoutPhase::Connect
        } else {
            TimeoutPhase::Stall
        };
        return FetchError::Timeout { url, phase, after };
    }
    if error.is_connect() {
        return FetchError::Connect { url, source: error.into() };
    }
    let reset = sources(&error).any(|source| {
        source.downcast_ref::<std::io::Error>().is_some_and(|io| {
            matches!(
                io.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::BrokenPipe
            )
        })
    });
    match claimed {
        Some(expected) if !reset && received < expected => FetchError::Truncated { url, received, expected },
        _ => FetchError::Broken {
            url,
            received,
            source: error.into(),
        },
    }
}

fn sources<'a>(error: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

pub(crate) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A validator that `If-Range` may carry: weak ones do not prove equal bytes.
fn validator(headers: &HeaderMap) -> Option<String> {
    text(headers, header::ETAG)
        .filter(|etag| etag.starts_with('"'))
        .or_else(|| text(headers, header::LAST_MODIFIED))
        .map(Into::into)
}
