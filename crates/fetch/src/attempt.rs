//! One try at one resource: the checks on the answer, and its body.

use std::borrow::Cow;
use std::time::Duration;

use aqueduct_core::{FetchError, Kind, Resource, SafeUrl, TimeoutPhase};
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap};

use crate::coding::Coding;
use crate::fetcher::HttpFetcher;
use crate::range::ContentRange;
use crate::reader::{Head, Reader};
use crate::request::send;
use crate::resolver::TooNear;
use crate::retry::retry_after;
use crate::shelf::{Interest, Ranges, Turn};
use crate::sink::Sink;
use crate::{coding, range, sniff, tls};

/// What survives a failed try, so that the next continues it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// What proves that the resource did not change: a strong `ETag` or a `Last-Modified` (RFC 9110, 13.1.5).
    validator: Option<String>,
    /// The `ETag` as it is. A weak one cannot continue a body, but it tells of a change within the second of a date.
    tag: Option<String>,
    /// Length of the whole resource, in bytes.
    total: Option<u64>,
    /// The coding that its bytes are in.
    pub(crate) coding: Option<Coding>,
    /// The last answer held less than was asked for, by its own word: what goes on there need not be proven by more than
    /// its length.
    pub(crate) short: bool,
}

impl Memory {
    /// What tells this version of the resource: its validator, or at least its length where there is none.
    fn version(&self) -> Option<Cow<'_, str>> {
        let validator = self.validator.as_deref().map(Cow::from);
        validator.or_else(|| self.total.map(|total| format!("{total} bytes").into()))
    }

    /// Whether what was received of this goes on with `answer`: by what proves that nothing changed, or at least by
    /// the length, where there is no proof.
    fn goes_on_with(&self, answer: &Self) -> bool {
        let lengths = self.total.zip(answer.total);
        let proven = self.validator.is_some() || lengths.is_some();
        let same = self.validator == answer.validator && self.tag == answer.tag && self.coding == answer.coding;
        proven && same && lengths.is_none_or(|(before, now)| before == now)
    }
}

/// What goes from one part of a resource to the next.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    /// How many bytes behind this part are asked for along with it.
    pub(crate) ahead: u64,
    /// How many requests for several parts brought nothing.
    pub(crate) failed_together: usize,
    /// Whether to ask for the whole, though a range is wanted.
    pub(crate) without_range: bool,
    /// Whether to ask for it without a coding, though it may be text.
    pub(crate) as_it_is: bool,
    /// An answer that goes on where this part begins.
    pub(crate) open: Option<Reader>,
    /// That this part is wanted, if it is a range.
    pub(crate) interest: Option<Interest>,
}

/// Why a try did not complete its resource.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed.
    Failed(FetchError),
    /// The answer is whole, and held less than was asked for (RFC 9110, 15.3.7): the rest is another request.
    Short(FetchError),
    /// It is of another version than the one that is wanted. Another node of the server may have that.
    OtherVersion(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

impl Failure {
    /// What to tell of it.
    pub(crate) fn error(self) -> FetchError {
        match self {
            Self::Failed(error) | Self::Short(error) | Self::OtherVersion(error) => error,
        }
    }
}

/// Tries once to fetch `resource` into `sink`.
pub(crate) async fn attempt(
    fetcher: &HttpFetcher,
    resource: &Resource,
    sink: &mut Sink<'_>,
    memory: &mut Memory,
    carry: &mut Carry,
) -> Result<Head, Failure> {
    let mut turn = match &carry.interest {
        Some(interest) => interest.turn().await,
        None => None,
    };
    let failed_ranges = |interest: &Interest| interest.ranges() == Ranges::Failed;
    let without_range = resource.range.is_some() && (carry.without_range || carry.interest.as_ref().is_some_and(failed_ranges));
    if (turn.is_some() || without_range) && sink.restart() {
        *memory = Memory::default();
    }
    let open = match &mut turn {
        Some(turn) => turn.open.take(),
        None => carry.open.take(),
    };
    if let Some(reader) = open.filter(|reader| serves(reader, resource)) {
        check_version(resource, &reader.head.url, &reader.memory)?;
        memory.clone_from(&reader.memory);
        return receive(fetcher, resource, reader, sink, carry, turn).await;
    }
    let resume = memory.validator.clone().filter(|_| sink.received() > 0);
    if resume.is_none() && !memory.short && sink.restart() {
        *memory = Memory::default();
    }
    let received = sink.received();
    let range = range::header(resource.range, received, carry.ahead).filter(|_| !without_range);
    let coded = coding::is_text(resource.kind) && !carry.as_it_is;
    let reply = send(fetcher, resource, coded, range.as_deref(), resume.as_deref()).await?;
    let url = reply.url.clone();
    let status = reply.response.status();
    let headers = reply.response.headers();
    // Before all that is said of the resource: a page about an error has a version and a coding of its own.
    if !status.is_success() {
        if status == StatusCode::RANGE_NOT_SATISFIABLE && received > 0 {
            return Err(match resource.range.filter(|_| memory.short) {
                Some(range) => FetchError::Range {
                    url,
                    what: format!("asked for bytes {range}, of which {received} are there"),
                },
                None => start_over(sink, memory, url),
            }
            .into());
        }
        return Err(Failure::Failed(FetchError::Status {
            url,
            status: status.as_u16(),
            retry_after: retry_after(headers),
        }));
    }
    let partial = status == StatusCode::PARTIAL_CONTENT;
    let whole_length = if partial {
        text(headers, header::CONTENT_RANGE)
            .and_then(ContentRange::parse)
            .and_then(|range| range.total)
    } else {
        reply.response.content_length()
    };
    let mut answer = Memory {
        validator: validator(headers),
        tag: text(headers, header::ETAG).map(Into::into),
        coding: coding::declared(resource, &url, headers)?,
        total: whole_length,
        short: false,
    };
    check_version(resource, &url, &answer)?;
    let (start, claimed) = if partial {
        if range.is_none() {
            let what = "partial answer to a request for the whole".into();
            return Err(FetchError::Invalid { url, what }.into());
        }
        let got = range::check(&url, text(headers, header::CONTENT_RANGE), resource.range, received, carry.ahead)?;
        if received > 0 && !memory.goes_on_with(&answer) {
            return Err(start_over(sink, memory, url).into());
        }
        // This answer may hold less than is missing (RFC 9110, 15.3.7).
        answer.total = answer.total.or(memory.total);
        if resource.range.is_none() && answer.total.is_none() {
            let what = format!("asked for all bytes from {received}, got some of a resource of unknown length");
            return Err(FetchError::Range { url, what }.into());
        }
        if let Some(interest) = &carry.interest {
            interest.learn(Ranges::Sent);
        }
        turn = None;
        (got.first, Some(got.length()))
    } else {
        // The whole, though a part may have been asked for: what is missing is cut out here. Bytes that were handed on
        // are passed over, which takes proof that they are the same again.
        if received > 0 && !sink.restart() && !memory.goes_on_with(&answer) {
            return Err(start_over(sink, memory, url).into());
        }
        (0, reply.response.content_length())
    };
    *memory = answer;
    let coding = memory.coding;
    let head = Head {
        content_type: text(headers, header::CONTENT_TYPE).map(Into::into),
        total_length: memory.total,
        version: memory.version().map(|version| version.as_ref().into()),
        accepts_ranges: partial || text(headers, header::ACCEPT_RANGES).is_some_and(|value| value.trim() == "bytes"),
        whole: true,
        url,
    };
    let mut reader = Reader::new(head, memory.clone(), reply, start, claimed, partial);
    if let Some(interest) = &carry.interest
        && !partial
    {
        interest.learn(if without_range { Ranges::Failed } else { Ranges::Ignored });
        if turn.is_none() {
            turn = interest.turn().await;
        }
        // One that was begun before is further on.
        if let Some(open) = turn
            .as_mut()
            .and_then(|turn| turn.open.take())
            .filter(|open| serves(open, resource))
        {
            check_version(resource, &open.head.url, &open.memory)?;
            reader = open;
            memory.clone_from(&reader.memory);
        }
    }
    let mut head = receive(fetcher, resource, reader, sink, carry, turn).await?;
    if coding.is_some() {
        // All this is said of the packed bytes.
        (head.total_length, head.accepts_ranges, head.version) = (None, false, None);
    }
    if let Sink::Whole(grant) = sink
        && resource.range.is_none()
        && head.whole
    {
        coding::undo(coding, &head.url, grant).await?;
    }
    Ok(head)
}

/// Whether an open answer has not gone past the range that is wanted, and does not end within.
fn serves(reader: &Reader, resource: &Resource) -> bool {
    resource.range.is_some_and(|range| {
        let end = range.offset.saturating_add(range.length);
        let reaches = reader.is_whole() || reader.left().is_none_or(|left| reader.at().saturating_add(left) >= end);
        reader.at() <= range.offset && reaches
    })
}

/// Checks that the resource is the version that is wanted, by what both answers tell: not every server of an origin sends a
/// validator, or the same kind of one.
fn check_version(resource: &Resource, url: &SafeUrl, memory: &Memory) -> Result<(), Failure> {
    let is_tag = |validator: &str| validator.starts_with('"');
    let is_another = resource.version.as_deref().is_some_and(|wanted| match length_of(wanted) {
        Some(length) => memory.total.is_some_and(|total| total != length),
        None => {
            let validator = memory.validator.as_deref();
            validator.is_some_and(|validator| is_tag(validator) == is_tag(wanted) && validator != wanted)
        }
    });
    if is_another {
        return Err(Failure::OtherVersion(FetchError::Invalid {
            url: url.clone(),
            what: "it changed on the server while it was fetched".into(),
        }));
    }
    Ok(())
}

/// The length that stands for a version without a validator.
fn length_of(version: &str) -> Option<u64> {
    version.strip_suffix(" bytes")?.parse().ok()
}

/// The resource is no longer the one that was begun.
fn start_over(sink: &mut Sink<'_>, memory: &mut Memory, url: SafeUrl) -> FetchError {
    *memory = Memory::default();
    if sink.restart() {
        let received = 0;
        return FetchError::Broken {
            url,
            received,
            source: "it changed on the server while it was fetched".into(),
        };
    }
    FetchError::Invalid {
        url,
        what: "it changed on the server while it was fetched, or nothing tells that it did not".into(),
    }
}

/// Takes the wanted part of the body in, checks that it is complete, and leaves the answer open for those who want
/// what comes behind it.
async fn receive(
    fetcher: &HttpFetcher,
    resource: &Resource,
    mut reader: Reader,
    sink: &mut Sink<'_>,
    carry: &mut Carry,
    mut turn: Option<Turn>,
) -> Result<Head, Failure> {
    let document = resource.kind == Kind::Document;
    let from = resource.range.map_or(0, |range| range.offset).saturating_add(sink.received());
    let take = resource.range.map(|range| range.length.saturating_sub(sink.received()));
    let mut skip = from.saturating_sub(reader.at());
    let available = reader.left().map(|left| left.saturating_sub(skip));
    if let (Some(available), Some(take)) = (available, take)
        && available < take
        && reader.is_whole()
    {
        let what = format!("asked for {take} bytes at {from}, of which {available} are there");
        return Err(FetchError::Range {
            url: reader.head.url,
            what,
        }
        .into());
    }
    let track = sink.track();
    if reader.is_whole()
        && reader.at() == 0
        && take.is_some()
        && coding::is_gzip(reader.peek(fetcher, track, coding::GZIP_MAGIC.len()).await?)
    {
        let what = "the server ignores the range and sends something compressed, without saying so".into();
        return Err(FetchError::Invalid {
            url: reader.head.url,
            what,
        }
        .into());
    }
    // Without a range, all that there is: an answer may bring less of it than is missing.
    let goal = match take {
        Some(take) => Some(take.saturating_add(sink.received())),
        None => reader.head.total_length,
    };
    if let Some(goal) = goal
        && !document
    {
        sink.expect(goal).await?;
    }
    let mut sniffed = !document;
    while goal.is_none_or(|goal| sink.received() < goal) {
        let most = match goal {
            _ if skip > 0 => skip,
            Some(goal) => goal - sink.received(),
            None => u64::MAX,
        };
        let Some(chunk) = reader.next(fetcher, track, most).await? else {
            break;
        };
        if skip > 0 {
            skip -= chunk.len() as u64;
            continue;
        }
        if !sink.write(&chunk).await? {
            return Ok(reader.head);
        }
        if !sniffed && sink.head().len() >= sniff::HEAD {
            sniffed = true;
            if sniff::is_binary(sink.head()) && !coding::is_packed_text(reader.memory.coding, sink.head()) {
                reader.head.whole = goal == Some(sink.received());
                return Ok(reader.head);
            }
        }
    }
    // Media and keys are never empty, but answers to requests that fail often are.
    if sink.received() == 0 && matches!(resource.kind, Kind::Init | Kind::Segment | Kind::Key) {
        return Err(FetchError::Empty { url: reader.head.url }.into());
    }
    if let Some(goal) = goal
        && sink.received() < goal
    {
        let ended = !reader.is_whole() && reader.left() == Some(0);
        let cut = FetchError::Truncated {
            url: reader.head.url,
            received: sink.received(),
            expected: goal,
        };
        return Err(if ended { Failure::Short(cut) } else { Failure::Failed(cut) });
    }
    let head = reader.head.clone();
    if take.is_some() && reader.left() != Some(0) {
        match &mut turn {
            Some(turn) => turn.open = Some(reader),
            None if carry.ahead > 0 => carry.open = Some(reader),
            None => {}
        }
    }
    Ok(head)
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
    if let Some(wrong) = sources(&error).find_map(tls::distrust) {
        let host = url.url().host_str().unwrap_or_default();
        return FetchError::Refused {
            reason: format!("the server's certificate is not trusted: {wrong}; --insecure {host} takes it all the same"),
            url,
        };
    }
    match sources(&error).find_map(turned_away) {
        Some(Gate::Http) => {
            return FetchError::Status {
                url,
                status: StatusCode::PROXY_AUTHENTICATION_REQUIRED.as_u16(),
                retry_after: None,
            };
        }
        Some(Gate::Socks) => {
            let what = "the proxy wants a user name and a password that it knows".into();
            return FetchError::Invalid { url, what };
        }
        None => {}
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

/// A proxy that lets nobody in whom it does not know.
enum Gate {
    Http,
    Socks,
}

/// Whether a proxy wants other credentials. The HTTP library tells it by its words alone: its types are not to be had.
fn turned_away(error: &(dyn std::error::Error + 'static)) -> Option<Gate> {
    match error.to_string().as_str() {
        "tunnel error: proxy authorization required" => Some(Gate::Http),
        "SOCKS error: credentials not accepted"
        | "SOCKS error: server does not support user/pass authentication"
        | "SOCKS error: server implements authentication incorrectly" => Some(Gate::Socks),
        _ => None,
    }
}

/// An error and what lies behind it.
pub(crate) fn sources<'a>(error: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
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

#[cfg(test)]
mod tests {
    use aqueduct_core::Kind;
    use url::Url;

    use super::*;

    #[test]
    fn a_file_is_another_by_what_both_answers_tell() {
        for (wanted, validator, total, is_another) in [
            (Some("\"a\""), Some("\"a\""), Some(5), false),
            (Some("\"a\""), Some("\"b\""), Some(5), true),
            (Some("\"a\""), None, Some(5), false),
            (Some("5 bytes"), Some("\"a\""), Some(5), false),
            (Some("5 bytes"), Some("\"a\""), Some(6), true),
            (Some("5 bytes"), None, None, false),
            (Some("Thu, 01 Jan 1970 00:00:00 GMT"), Some("\"a\""), Some(5), false),
            (
                Some("Thu, 01 Jan 1970 00:00:00 GMT"),
                Some("Thu, 01 Jan 1970 00:00:01 GMT"),
                Some(5),
                true,
            ),
            (None, Some("\"a\""), Some(5), false),
        ] {
            let mut resource = Resource::new(Kind::Segment, Url::parse("http://host.example/a").unwrap());
            resource.version = wanted.map(Into::into);
            let memory = Memory {
                validator: validator.map(str::to_owned),
                total,
                ..Memory::default()
            };
            let checked = check_version(&resource, &resource.url, &memory);
            assert_eq!(checked.is_err(), is_another, "{wanted:?}, then {validator:?} and {total:?}");
        }
    }
}
