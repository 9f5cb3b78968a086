//! The bundled fetcher: clients, options and the retry loop.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{Event, Fetch, FetchError, Fetched, Grant, Kind, Lender, Part, Progress, Receiver, Resource, SafeUrl, Sealed, Sender};
use url::Url;

use crate::attempt::{Carry, Failure, Memory, attempt};
use crate::clients::Clients;
use crate::cookies::Jar;
use crate::credentials::Credentials;
use crate::local::{self, LocalFile};
use crate::outage::Outage;
use crate::policy::Policy;
use crate::rate::Rate;
use crate::reader::Head;
use crate::retry::Retries;
use crate::shelf::{Interest, Ranges, Shelves};
use crate::sink::Sink;
use crate::versions::Versions;

/// An answer that holds less than was asked for is gone on from at once where it brought so many bytes; one that brought
/// less is a failed try, so that nobody is fed byte by byte for ever.
const ENOUGH: u64 = 1 << 10;

/// So many tries in a row that fail as if the range were the cause, and the whole is asked for, once.
const RANGE_TRIES: u32 = 3;

/// So many requests for several parts together that bring nothing, and the rest of the parts are asked for one by one.
const TOGETHER_TRIES: usize = 2;

/// A header that goes to one origin only. Its value is not printed.
#[derive(Clone)]
pub struct ScopedHeader {
    /// The origin, as any URL of it.
    pub origin: SafeUrl,
    /// The header's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl ScopedHeader {
    /// Whether it is one of those that each transfer decides for itself, such as `Range`: it is not sent.
    pub fn is_left_out(&self) -> bool {
        const DECIDED: [&str; 7] = [
            "connection",
            "content-length",
            "if-range",
            "range",
            "te",
            "transfer-encoding",
            "upgrade",
        ];
        DECIDED.iter().any(|decided| self.name.eq_ignore_ascii_case(decided))
    }
}

impl fmt::Debug for ScopedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {}", self.name, self.origin)
    }
}

/// How an [`HttpFetcher`] behaves.
///
/// `Debug` shows no secret: of the proxy its host alone, of the referer what [`SafeUrl`] shows.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// `User-Agent`.
    pub user_agent: String,
    /// `Referer` for requests that no document on the way gives one for: as it stands to what the user gives, and to
    /// the rest as a browser would send it.
    pub referer: Option<String>,
    /// Headers of the user, each for its origin. They replace those of the same name that would be sent.
    pub headers: Vec<ScopedHeader>,
    /// User names and passwords, each for its origin. Those in a URL go before.
    pub credentials: Vec<Credentials>,
    /// The cookies that are sent, and where those that servers set go.
    pub cookies: Arc<Jar>,
    /// Patience with a silent transfer: to connect, for the first byte, and between any two reads. There is no
    /// limit on the whole body.
    pub timeout: Duration,
    /// How often a request is tried again.
    pub retries: usize,
    /// The bound of the delay before the first retry. It doubles with each, up to [`Options::longest_delay`], and the
    /// delay is anything from nothing to the bound (full jitter), after what the server asked for.
    pub first_delay: Duration,
    /// The longest delay between tries, beyond what the server asked for.
    pub longest_delay: Duration,
    /// How long failed requests are tried again while none succeeds; after that the first error of each is final.
    pub give_up_after: Duration,
    /// The most bytes per second that bodies are read at, over all of them; tracks share it evenly.
    pub rate_limit: Option<u64>,
    /// How many redirects are followed.
    pub max_redirects: usize,
    /// A proxy for all requests (`http`, `https`, `socks5`, `socks5h`); without it, what the environment says.
    /// Hosts and networks that `NO_PROXY` of the environment lists (`*` for all) do without, as with curl: this machine and private
    /// networks are none of them unless they are listed.
    pub proxy: Option<String>,
    /// Whether public documents may name private addresses.
    pub allow_private: bool,
    /// Whether redirects may lead from `https` to `http`.
    pub allow_downgrade: bool,
    /// Hosts, by name or address, whose TLS certificates need not be trusted.
    pub insecure: Vec<String>,
    /// The folder below which a local playlist may name files.
    pub local_root: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: concat!("Mozilla/5.0 (compatible; aqueduct/", env!("CARGO_PKG_VERSION"), ")").into(),
            referer: None,
            headers: Vec::new(),
            credentials: Vec::new(),
            cookies: Arc::default(),
            timeout: Duration::from_secs(30),
            retries: 5,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(10),
            give_up_after: Duration::from_secs(600),
            rate_limit: None,
            max_redirects: 10,
            proxy: None,
            allow_private: false,
            allow_downgrade: false,
            insecure: Vec::new(),
            local_root: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All by name: whoever adds one has to say whether it may be shown.
        let Self {
            user_agent,
            referer,
            headers,
            credentials,
            cookies,
            timeout,
            retries,
            first_delay,
            longest_delay,
            give_up_after,
            rate_limit,
            max_redirects,
            proxy,
            allow_private,
            allow_downgrade,
            insecure,
            local_root,
        } = self;
        let shown = |referer: &String| Url::parse(referer).map_or_else(|_| "…".into(), |url| SafeUrl::from(url).to_string());
        f.debug_struct("Options")
            .field("user_agent", user_agent)
            .field("referer", &referer.as_ref().map(shown))
            .field("headers", headers)
            .field("credentials", credentials)
            .field("cookies", cookies)
            .field("timeout", timeout)
            .field("retries", retries)
            .field("first_delay", first_delay)
            .field("longest_delay", longest_delay)
            .field("give_up_after", give_up_after)
            .field("rate_limit", rate_limit)
            .field("max_redirects", max_redirects)
            .field("proxy", &proxy.as_deref().map(crate::proxy::host))
            .field("allow_private", allow_private)
            .field("allow_downgrade", allow_downgrade)
            .field("insecure", insecure)
            .field("local_root", local_root)
            .finish()
    }
}

/// Fetches over HTTP, from `data:` URLs and, for local playlists, from files.
#[derive(Debug)]
pub struct HttpFetcher {
    pub(crate) options: Options,
    pub(crate) policy: Policy,
    pub(crate) clients: Clients,
    pub(crate) rate: Option<Rate>,
    shelves: Shelves,
    outage: Outage,
    versions: Versions,
}

impl HttpFetcher {
    /// A fetcher with these options.
    ///
    /// # Errors
    ///
    /// [`FetchError::Other`] when the proxy or the user agent cannot be used, or the system's certificates
    /// cannot be read.
    pub fn new(options: Options) -> Result<Self, FetchError> {
        Ok(Self {
            clients: Clients::new(&options)?,
            policy: Policy::new(&options),
            rate: options.rate_limit.map(Rate::new),
            shelves: Shelves::default(),
            outage: Outage::default(),
            versions: Versions::default(),
            options,
        })
    }

    async fn fetch_into(
        &self,
        resource: &Resource,
        mut sink: Sink<'_>,
        progress: &Progress,
        carry: &mut Carry,
    ) -> Result<Fetched, FetchError> {
        let head = match resource.url.url().scheme() {
            "data" => {
                let (media_type, bytes) = local::data_url(&resource.url)?;
                sink.write(local::slice(&resource.url, &bytes, resource.range)?).await?;
                Head {
                    url: resource.url.clone(),
                    content_type: Some(media_type),
                    total_length: Some(bytes.len() as u64),
                    accepts_ranges: true,
                    version: None,
                    whole: true,
                }
            }
            "file" => self.read(resource, &mut sink).await?,
            _ => self.persist(resource, &mut sink, progress, carry).await?,
        };
        let mut fetched = sink.finish(head.url).await;
        fetched.content_type = head.content_type;
        fetched.total_length = head.total_length;
        fetched.accepts_ranges = head.accepts_ranges;
        fetched.version = head.version;
        fetched.whole = head.whole;
        Ok(fetched)
    }

    /// Tries until it succeeds, the error is final or the tries are used up.
    async fn persist(&self, resource: &Resource, sink: &mut Sink<'_>, progress: &Progress, carry: &mut Carry) -> Result<Head, FetchError> {
        if let Some(range) = resource.range.filter(|range| range.last().is_none()) {
            return Err(FetchError::Range {
                url: resource.url.clone(),
                what: format!("the range {range} holds no byte, or ends beyond all numbers"),
            });
        }
        if let Some(range) = resource.range
            && matches!(sink, Sink::Whole(_))
        {
            // All its memory comes first: nobody waits behind one who waits for memory.
            sink.expect(range.length).await?;
            carry.interest.get_or_insert_with(|| self.shelves.interest(resource, range.offset));
        }
        carry.without_range = false;
        if resource.redundant && self.outage.is_left(&resource.url) {
            return Err(FetchError::Connect {
                url: resource.url.clone(),
                source: "nothing answered there a moment ago".into(),
            });
        }
        let mut retries = Retries::new(&self.options, &self.outage, resource);
        let mut memory = Memory::default();
        let (mut reached, mut tried, mut range_tries, mut tried_without_range) = (0, 0, 0, false);
        loop {
            let before = sink.received();
            let failure = match attempt(self, resource, sink, &mut memory, carry).await {
                Ok(head) => {
                    self.outage.end(&resource.url);
                    // It is no text, which alone is asked for in a coding.
                    if !head.whole && memory.coding.is_some() && !carry.as_it_is && sink.restart() {
                        carry.as_it_is = true;
                        memory = Memory::default();
                        continue;
                    }
                    if resource.range.is_some()
                        && let Some(version) = &head.version
                        && self.versions.is_another(&resource.url, version, head.total_length)
                    {
                        tracing::warn!(url = %resource.url, "it changed on the server: what is fetched may be parts of two versions");
                    }
                    return Ok(head);
                }
                Err(failure) => failure,
            };
            let received = sink.received();
            if matches!(failure, Failure::Short(_)) {
                memory.short = true;
                if received >= ENOUGH.saturating_add(reached) {
                    reached = received;
                    continue;
                }
            }
            tried += 1;
            let passing = matches!(failure, Failure::OtherVersion(_));
            let error = failure.error();
            sink.failed(&error);
            let delay = if passing {
                retries.after(&elsewhere(resource), received)
            } else {
                retries.after(&error, received)
            };
            // What failed for several parts may be had for one, and what failed for a range without it.
            let together = carry.ahead > 0 && received <= before && may_be_the_others(&error);
            let range = !together && !tried_without_range && may_be_the_range(carry, &error);
            range_tries = if range { range_tries + 1 } else { 0 };
            if delay.is_none() && !together && !range {
                return Err(error);
            }
            if together {
                carry.ahead = 0;
                carry.failed_together += 1;
            }
            carry.without_range = range && (delay.is_none() || range_tries >= RANGE_TRIES);
            tried_without_range |= carry.without_range;
            let delay = delay.unwrap_or_default();
            tracing::debug!(url = %resource.url, tried, %error, ?delay, "trying again");
            progress.counters().retried();
            progress.tell(Event::Retry {
                url: resource.url.clone(),
                attempt: tried,
                error: error.to_string(),
                delay,
            });
            tokio::time::sleep(delay).await;
        }
    }

    async fn read(&self, resource: &Resource, sink: &mut Sink<'_>) -> Result<Head, FetchError> {
        let mut file = LocalFile::open(&self.policy, resource)?;
        let document = resource.kind == Kind::Document;
        if !document {
            sink.expect(file.length).await?;
        }
        let head = Head {
            url: resource.url.clone(),
            content_type: None,
            total_length: Some(file.total),
            accepts_ranges: true,
            version: None,
            whole: true,
        };
        let mut piece = Vec::new();
        loop {
            file.next(&resource.url, &mut piece)?;
            if piece.is_empty() || !sink.write(&piece).await? {
                break;
            }
            if document && crate::sniff::is_binary(sink.head()) {
                let whole = sink.received() == file.length;
                return Ok(Head { whole, ..head });
            }
        }
        if sink.received() < file.length {
            return Err(FetchError::Truncated {
                url: head.url,
                received: sink.received(),
                expected: file.length,
            });
        }
        Ok(head)
    }
}

/// Whether a request for several parts may have failed because of those behind the first: neither policy nor a server that
/// asks to be left alone means them.
fn may_be_the_others(error: &FetchError) -> bool {
    !matches!(error, FetchError::Refused { .. } | FetchError::Status { retry_after: Some(_), .. })
}

/// Whether a request may have failed because it asked for a range, of a resource that no range came of so far.
fn may_be_the_range(carry: &Carry, error: &FetchError) -> bool {
    let unproven = |interest: &Interest| interest.ranges() != Ranges::Sent;
    let fits = match error {
        FetchError::Status { status, .. } => matches!(status, 400 | 405 | 416 | 500 | 501),
        FetchError::Broken { .. } => true,
        _ => false,
    };
    fits && carry.interest.as_ref().is_some_and(unproven)
}

/// Another node of the server may answer the next try: it is as good as one that broke off.
fn elsewhere(resource: &Resource) -> FetchError {
    FetchError::Broken {
        url: resource.url.clone(),
        received: 0,
        source: "another version".into(),
    }
}

impl Fetch for HttpFetcher {
    async fn fetch(&self, resource: &Resource, grant: Grant) -> Result<Fetched, FetchError> {
        let progress = grant.progress().clone();
        self.fetch_into(resource, Sink::Whole(Box::new(grant)), &progress, &mut Carry::default())
            .await
    }

    async fn fetch_parts(&self, parts: &Receiver<Part>) {
        let mut carry = Carry::default();
        loop {
            let part = match parts.try_recv() {
                Ok(part) => part,
                Err(_) => {
                    // The next part waits for memory: an interest, which others wait behind, must not.
                    carry = Carry::default();
                    let Ok(part) = parts.recv().await else { return };
                    part
                }
            };
            let Part {
                resource,
                grant,
                ahead,
                answer,
            } = part;
            carry.ahead = if carry.failed_together < TOGETHER_TRIES { ahead } else { 0 };
            let progress = grant.progress().clone();
            let fetched = self
                .fetch_into(&resource, Sink::Whole(Box::new(grant)), &progress, &mut carry)
                .await;
            let next = resource.range.and_then(|range| range.offset.checked_add(range.length));
            carry.interest = carry
                .interest
                .take()
                .zip(next)
                .filter(|_| ahead > 0)
                .map(|(interest, next)| interest.behind(next));
            // Nobody may want it any more.
            let _ = answer.send(fetched).await;
        }
    }

    async fn stream(&self, resource: &Resource, lender: &Lender, outlet: &Sender<Sealed>) -> Result<(), FetchError> {
        let sink = Sink::Pieces {
            resource,
            lender,
            outlet,
            current: None,
            handed_on: 0,
        };
        self.fetch_into(resource, sink, &lender.progress, &mut Carry::default())
            .await
            .map(|_| ())
    }
}
