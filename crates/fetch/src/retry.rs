//! When a failed request is tried again, and when not any more.

use std::time::{Duration, SystemTime};

use aqueduct_core::{FetchError, Kind, Resource};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use reqwest::header::{self, HeaderMap};

use crate::fetcher::Options;
use crate::outage::Outage;

/// A `Retry-After` longer than this ends the tries: whoever waits should know.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A server that has answered before, and that no connection reaches any more, is waited for so long: a cable that was
/// pulled, another network, a restart.
const ABSENCE: Duration = Duration::from_secs(60);

/// How often what is to be had elsewhere too is asked for again where nothing answers.
const REDUNDANT: usize = 1;

/// So many more bytes, and a request that failed has all its tries again.
const PROGRESS: u64 = 256 << 10;

/// How often what is not there is tried again: at the edge of a live stream a playlist may name a segment a moment
/// before every server has it.
const MISSING: usize = 2;

/// The tries of one request that are left.
pub(crate) struct Retries<'a> {
    options: &'a Options,
    outage: &'a Outage,
    resource: &'a Resource,
    delays: ExponentialBackoff,
    missing: usize,
    redundant: usize,
    reached: u64,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(options: &'a Options, outage: &'a Outage, resource: &'a Resource) -> Self {
        Self {
            options,
            outage,
            resource,
            delays: delays(options),
            missing: MISSING,
            redundant: REDUNDANT,
            reached: 0,
        }
    }

    /// How long to wait before the next try, when `received` bytes are here; `None` when `error` is final.
    pub(crate) fn after(&mut self, error: &FetchError, received: u64) -> Option<Duration> {
        let Resource { url, kind, redundant, .. } = self.resource;
        // A long transfer that gets on, break by break, is not a failing one.
        if received >= self.reached.saturating_add(PROGRESS) {
            self.reached = received;
            self.delays = delays(self.options);
            self.outage.end(url);
        }
        let absent = matches!(error, FetchError::Connect { .. })
            .then(|| self.outage.absent(url))
            .flatten();
        let may_come = matches!(error.status(), Some(404 | 410)) && matches!(kind, Kind::Playlist | Kind::Init | Kind::Segment);
        if may_come {
            self.missing = self.missing.checked_sub(1)?;
        } else if !error.is_retryable() || self.outage.lasted() > self.options.give_up_after {
            return None;
        }
        if *redundant && error.is_silence() {
            let Some(left) = self.redundant.checked_sub(1) else {
                self.outage.leave(url);
                return None;
            };
            self.redundant = left;
        }
        let asked = match error {
            FetchError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        if asked > LONGEST_WAIT {
            return None;
        }
        let bound = match (self.delays.next(), absent) {
            (Some(bound), _) => bound,
            (None, Some(absent)) if self.options.retries > 0 && absent <= ABSENCE => self.options.longest_delay,
            _ => return None,
        };
        // Full jitter: requests that failed together do not come back together.
        Some(asked.saturating_add(bound.mul_f64(fastrand::f64())))
    }
}

fn delays(options: &Options) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(options.first_delay)
        .with_max_delay(options.longest_delay)
        .with_max_times(options.retries)
        .build()
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which counts from the server's own `Date` where it tells one.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: header::HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let now = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    // A date that has passed asks for nothing.
    Some(then.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use aqueduct_core::SafeUrl;
    use url::Url;

    use super::*;

    fn resource(kind: Kind) -> Resource {
        Resource::new(kind, Url::parse("http://host.example/").unwrap())
    }

    fn status(status: u16, retry_after: Option<u64>) -> FetchError {
        FetchError::Status {
            url: SafeUrl::from(Url::parse("http://host.example/").unwrap()),
            status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_has_its_own_patience() {
        let options = Options {
            retries: 4,
            ..Options::default()
        };
        let cases = [
            ("unavailable", status(503, None), Kind::Segment, 4),
            ("too many", status(429, Some(1)), Kind::Segment, 4),
            ("too early", status(425, None), Kind::Key, 4),
            ("asked to wait for hours", status(503, Some(9999)), Kind::Segment, 0),
            ("not there yet", status(404, None), Kind::Segment, 2),
            ("gone", status(410, None), Kind::Playlist, 2),
            ("no such page", status(404, None), Kind::Document, 0),
            ("no such key", status(404, None), Kind::Key, 0),
            ("unauthorized", status(401, None), Kind::Segment, 0),
            ("forbidden", status(403, None), Kind::Segment, 0),
        ];
        for (name, error, kind, expected) in cases {
            let outage = Outage::default();
            let resource = resource(kind);
            let mut retries = Retries::new(&options, &outage, &resource);
            let mut tries = 0;
            while retries.after(&error, 0).is_some() {
                tries += 1;
            }
            assert_eq!(tries, expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_asks_for_is_waited_for_before_the_jitter() {
        let options = Options::default();
        let (outage, segment) = (Outage::default(), resource(Kind::Segment));
        for (status, asked) in [(429, 7), (503, 30), (503, 0), (408, 120)].map(|(code, asked)| (status(code, Some(asked)), asked)) {
            for _ in 0..100 {
                let wait = Retries::new(&options, &outage, &segment).after(&status, 0).unwrap();
                let asked = Duration::from_secs(asked);
                assert!((asked..=asked + options.first_delay).contains(&wait), "{status}: {wait:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delays_are_spread_from_zero_to_an_exponential_bound() {
        let options = Options {
            retries: 8,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(2),
            ..Options::default()
        };
        let (outage, segment) = (Outage::default(), resource(Kind::Segment));
        let bounds = [100, 200, 400, 800, 1600, 2000, 2000, 2000].map(Duration::from_millis);
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [Duration::MAX; 8];
        for _ in 0..400 {
            let mut retries = Retries::new(&options, &outage, &segment);
            for at in 0..bounds.len() {
                let delay = retries.after(&status(503, None), 0).unwrap();
                longest[at] = longest[at].max(delay);
                shortest[at] = shortest[at].min(delay);
            }
        }
        // Four hundred draws miss a tenth of the range once in 10^18 runs.
        for at in 0..bounds.len() {
            assert!(
                longest[at] <= bounds[at] && longest[at] >= bounds[at].mul_f64(0.9),
                "{at}: {longest:?}"
            );
            assert!(shortest[at] <= bounds[at].mul_f64(0.1), "{at}: {shortest:?}");
        }
        let asked = Retries::new(&options, &outage, &segment).after(&status(503, Some(7)), 0).unwrap();
        assert!(asked >= Duration::from_secs(7), "the server's wish is the least");
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_only_fails_stops_trying() {
        let options = Options {
            retries: 100,
            ..Options::default()
        };
        let (outage, segment) = (Outage::default(), resource(Kind::Segment));
        let error = status(503, None);
        let minute = || tokio::time::advance(Duration::from_secs(60));
        let mut minutes = 0;
        while Retries::new(&options, &outage, &segment).after(&error, 0).is_some() {
            minute().await;
            minutes += 1;
        }
        assert_eq!(minutes, 11, "ten minutes without a success");
        outage.end(&segment.url);
        assert!(
            Retries::new(&options, &outage, &segment).after(&error, 0).is_some(),
            "something succeeded"
        );
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(
            Retries::new(&options, &outage, &segment).after(&error, 0).is_some(),
            "an hour without requests is no hour of failures"
        );
    }

    fn unreached() -> FetchError {
        FetchError::Connect {
            url: resource(Kind::Segment).url,
            source: "connection refused".into(),
        }
    }

    /// How long requests for `resource` are tried again while nothing answers, and how often.
    async fn patience(options: &Options, outage: &Outage, resource: &Resource, error: &FetchError) -> (Duration, usize) {
        let (begun, mut tries) = (tokio::time::Instant::now(), 0);
        let mut retries = Retries::new(options, outage, resource);
        while let Some(delay) = retries.after(error, 0) {
            tries += 1;
            tokio::time::advance(delay).await;
        }
        (begun.elapsed(), tries)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answered_before_is_waited_for_a_minute() {
        let (options, segment) = (Options::default(), resource(Kind::Segment));
        let outage = Outage::default();
        let (lasted, tries) = patience(&options, &outage, &segment, &unreached()).await;
        assert!(
            lasted < Duration::from_secs(7) && tries == options.retries,
            "it never answered: {lasted:?}"
        );
        outage.end(&segment.url);
        let (lasted, _) = patience(&options, &outage, &segment, &unreached()).await;
        assert!(lasted >= ABSENCE && lasted <= ABSENCE + options.longest_delay, "{lasted:?}");
        outage.end(&segment.url);
        let (_, tries) = patience(&options, &outage, &segment, &status(503, None)).await;
        assert_eq!(tries, options.retries, "it is there");
        let impatient = Options { retries: 0, ..options };
        let (_, tries) = patience(&impatient, &outage, &segment, &unreached()).await;
        assert_eq!(tries, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_have_too_is_left_soon_and_not_asked_for_again() {
        let (options, segment) = (Options::default(), resource(Kind::Segment).redundant(true));
        let outage = Outage::default();
        outage.end(&segment.url);
        let (_, tries) = patience(&options, &outage, &segment, &status(503, None)).await;
        assert_eq!((tries, outage.is_left(&segment.url)), (options.retries, false), "it is there");
        let (_, tries) = patience(&options, &outage, &segment, &unreached()).await;
        assert_eq!((tries, outage.is_left(&segment.url)), (REDUNDANT, true));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!outage.is_left(&segment.url), "it may be back");
        patience(&options, &outage, &segment, &unreached()).await;
        outage.end(&segment.url);
        assert!(!outage.is_left(&segment.url), "it is back");
    }

    #[tokio::test]
    async fn a_request_that_gets_on_has_all_its_tries_again() {
        let options = Options {
            retries: 1,
            ..Options::default()
        };
        let (outage, file) = (Outage::default(), resource(Kind::File));
        let mut retries = Retries::new(&options, &outage, &file);
        let error = status(503, None);
        for received in [0, 300 << 10, 600 << 10] {
            assert!(retries.after(&error, received).is_some(), "{received}");
        }
        assert!(retries.after(&error, 610 << 10).is_none());
    }

    // RFC 9110, 10.2.3 and 5.6.7: both examples of the header, and the three forms of a date.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = "Fri, 31 Dec 1999 23:58:59 GMT";
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(60)),
            ("Friday, 31-Dec-99 23:59:59 GMT", Some(60)),
            ("Fri Dec 31 23:59:59 1999", Some(60)),
            ("Fri, 31 Dec 1999 23:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            headers.insert(header::DATE, date.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, date.parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::ZERO), "by the clock here, long ago");
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
