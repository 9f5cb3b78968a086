//! When a failed request is tried again, and when not any more.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aqueduct_core::{FetchError, Kind};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use reqwest::header::{self, HeaderMap};
use tokio::time::Instant;

use crate::fetcher::Options;

/// A `Retry-After` longer than this ends the tries: whoever waits should know.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// So many more bytes, and a request that failed has all its tries again.
const PROGRESS: u64 = 256 << 10;

/// How often what is not there is tried again: at the edge of a live stream a playlist may name a segment a moment
/// before every server has it.
const MISSING: usize = 2;

/// The tries of one request that are left.
pub(crate) struct Retries<'a> {
    options: &'a Options,
    outage: &'a Outage,
    delays: ExponentialBackoff,
    missing: usize,
    reached: u64,
}

impl<'a> Retries<'a> {
    pub(crate) fn new(options: &'a Options, outage: &'a Outage) -> Self {
        Self {
            options,
            outage,
            delays: delays(options),
            missing: MISSING,
            reached: 0,
        }
    }

    /// How long to wait before the next try at something of this kind, of which `received` bytes are here; `None` when
    /// `error` is final.
    pub(crate) fn after(&mut self, error: &FetchError, kind: Kind, received: u64) -> Option<Duration> {
        // A long transfer that gets on, break by break, is not a failing one.
        if received >= self.reached.saturating_add(PROGRESS) {
            self.reached = received;
            self.delays = delays(self.options);
            self.outage.end();
        }
        let may_come = matches!(error.status(), Some(404 | 410)) && matches!(kind, Kind::Playlist | Kind::Init | Kind::Segment);
        if may_come {
            self.missing = self.missing.checked_sub(1)?;
        } else if !error.is_retryable() || self.outage.lasted() > self.options.give_up_after {
            return None;
        }
        let asked = match error {
            FetchError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        if asked > LONGEST_WAIT {
            return None;
        }
        // Full jitter: requests that failed together do not come back together.
        let delay = self.delays.next()?.mul_f64(fastrand::f64());
        Some(asked.saturating_add(delay))
    }
}

fn delays(options: &Options) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(options.first_delay)
        .with_max_delay(options.longest_delay)
        .with_max_times(options.retries)
        .build()
}

/// How long nothing has succeeded, over all requests of a job.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Failing>>);

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
}

impl Outage {
    /// Something succeeded.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Something failed: says since when everything does.
    fn lasted(&self) -> Duration {
        let now = Instant::now();
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Between failures that lie far apart nothing was asked for.
        let since = match *failing {
            Some(before) if now - before.last <= 2 * LONGEST_WAIT => before.since,
            _ => now,
        };
        *failing = Some(Failing { since, last: now });
        now - since
    }
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
            let mut retries = Retries::new(&options, &outage);
            let mut tries = 0;
            while retries.after(&error, kind, 0).is_some() {
                tries += 1;
            }
            assert_eq!(tries, expected, "{name}");
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
        let outage = Outage::default();
        let bounds = [100, 200, 400, 800, 1600, 2000, 2000, 2000].map(Duration::from_millis);
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [Duration::MAX; 8];
        for _ in 0..400 {
            let mut retries = Retries::new(&options, &outage);
            for at in 0..bounds.len() {
                let delay = retries.after(&status(503, None), Kind::Segment, 0).unwrap();
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
        let asked = Retries::new(&options, &outage)
            .after(&status(503, Some(7)), Kind::Segment, 0)
            .unwrap();
        assert!(asked >= Duration::from_secs(7), "the server's wish is the least");
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_only_fails_stops_trying() {
        let options = Options {
            retries: 100,
            ..Options::default()
        };
        let outage = Outage::default();
        let error = status(503, None);
        let minute = || tokio::time::advance(Duration::from_secs(60));
        let mut minutes = 0;
        while Retries::new(&options, &outage).after(&error, Kind::Segment, 0).is_some() {
            minute().await;
            minutes += 1;
        }
        assert_eq!(minutes, 11, "ten minutes without a success");
        outage.end();
        assert!(
            Retries::new(&options, &outage).after(&error, Kind::Segment, 0).is_some(),
            "something succeeded"
        );
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(
            Retries::new(&options, &outage).after(&error, Kind::Segment, 0).is_some(),
            "an hour without requests is no hour of failures"
        );
    }

    #[tokio::test]
    async fn a_request_that_gets_on_has_all_its_tries_again() {
        let options = Options {
            retries: 1,
            ..Options::default()
        };
        let outage = Outage::default();
        let mut retries = Retries::new(&options, &outage);
        let error = status(503, None);
        for received in [0, 300 << 10, 600 << 10] {
            assert!(retries.after(&error, Kind::File, received).is_some(), "{received}");
        }
        assert!(retries.after(&error, Kind::File, 610 << 10).is_none());
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
