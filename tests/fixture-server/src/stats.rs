//! What was asked of the server, and how to wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::fault::matches;
use crate::http::Request;

/// The server's count of requests; clones share it.
#[derive(Debug, Clone)]
pub struct Stats {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tally: Mutex<Tally>,
    changed: Condvar,
    version: watch::Sender<u64>,
}

/// The numbers at one moment.
#[derive(Debug, Default)]
pub struct Tally {
    /// Every request, in the order in which they came.
    pub exchanges: Vec<Exchange>,
    /// Requests that are not yet answered in full.
    pub open: usize,
    /// The highest number open at once.
    pub open_max: usize,
    /// Bytes of bodies given to the operating system.
    pub bytes_sent: u64,
    /// Connections to the two plain origins. Each request over HTTP/2 makes one of them.
    pub connections: usize,
    /// Connections to the first origin over TLS that speak HTTP/2.
    pub http2_connections: usize,
    counts: HashMap<String, usize>,
    clock: u64,
}

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// Which of the two origins was asked: false for the first.
    pub other_origin: bool,
    /// Status of the answer; 0 before there is one, or where none was sent.
    pub status: u16,
    /// Bytes of the body given to the operating system.
    pub bytes_sent: u64,
    /// When the request came, counted in starts and ends of requests.
    pub began: u64,
    /// When its last byte was about to be sent, or its connection ended.
    pub ended: Option<u64>,
}

/// The condition did not come true in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

impl std::fmt::Display for TimedOut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the condition on the server's requests did not come true in time")
    }
}

impl std::error::Error for TimedOut {}

impl Tally {
    /// How many requests for paths that match (`*` stands for any characters).
    pub fn count(&self, pattern: &str) -> usize {
        let matching = self.counts.iter().filter(|(path, _)| matches(pattern.as_bytes(), path.as_bytes()));
        matching.map(|(_, count)| count).sum()
    }

    /// How many different paths that match were asked for.
    pub fn distinct(&self, pattern: &str) -> usize {
        self.counts
            .keys()
            .filter(|path| matches(pattern.as_bytes(), path.as_bytes()))
            .count()
    }

    /// The requests for paths that match, in order.
    pub fn matching<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = &'a Exchange> + 'a {
        self.exchanges
            .iter()
            .filter(move |exchange| matches(pattern.as_bytes(), exchange.request.path.as_bytes()))
    }

    /// The highest number of requests open at once among those whose paths match.
    pub fn open_max_of(&self, pattern: &str) -> usize {
        let mut steps = Vec::new();
        for exchange in self.matching(pattern) {
            steps.push((exchange.began, 1_i64));
            steps.extend(exchange.ended.map(|ended| (ended, -1)));
        }
        steps.sort_unstable();
        let mut open = 0;
        let highs = steps.into_iter().map(|(_, step)| {
            open += step;
            open
        });
        usize::try_from(highs.max().unwrap_or(0)).unwrap_or(0)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.exchanges.len()
    }
}

impl Stats {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            tally: Mutex::new(Tally::default()),
            changed: Condvar::new(),
            version: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        // Counters stay true even if a test panicked while it looked at them.
        self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        let out = change(&mut self.lock());
        self.shared.changed.notify_all();
        self.shared.version.send_modify(|version| *version += 1);
        out
    }

    /// Looks at the numbers.
    pub fn read<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until the condition holds, for tests that are synchronous.
    pub fn wait(&self, within: Duration, mut condition: impl FnMut(&Tally) -> bool) -> Result<(), TimedOut> {
        let guard = self.lock();
        let waited = self.shared.changed.wait_timeout_while(guard, within, |tally| !condition(tally));
        let (_guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() { Err(TimedOut) } else { Ok(()) }
    }

    /// Waits until the condition holds. Bound it with `tokio::time::timeout`.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Tally) -> bool) {
        let mut version = self.shared.version.subscribe();
        while !self.read(&mut condition) {
            if version.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until no request has come and no byte has been sent for as long as `quiet`.
    pub fn wait_quiet(&self, quiet: Duration, within: Duration) -> Result<(), TimedOut> {
        let deadline = Instant::now() + within;
        loop {
            let before = self.read(|tally| (tally.requests(), tally.bytes_sent));
            let moved = self.wait(quiet, |tally| (tally.requests(), tally.bytes_sent) != before);
            if moved.is_err() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(TimedOut);
            }
        }
    }

    pub(crate) fn connected(&self) {
        self.change(|tally| tally.connections += 1);
    }

    pub(crate) fn connected_over_http2(&self) {
        self.change(|tally| tally.http2_connections += 1);
    }

    pub(crate) fn begin(&self, request: Request, other_origin: bool) -> Open {
        let index = self.change(|tally| {
            *tally.counts.entry(request.path.clone()).or_default() += 1;
            tally.open += 1;
            tally.open_max = tally.open_max.max(tally.open);
            tally.clock += 1;
            let began = tally.clock;
            tally.exchanges.push(Exchange {
                request,
                other_origin,
                status: 0,
                bytes_sent: 0,
                began,
                ended: None,
            });
            tally.exchanges.len() - 1
        });
        Open {
            stats: self.clone(),
            index,
            ended: false,
        }
    }
}

/// A request that is being answered; its end is counted when this is dropped at the latest.
pub(crate) struct Open {
    stats: Stats,
    index: usize,
    ended: bool,
}

impl Open {
    pub(crate) fn status(&self, status: u16) {
        self.stats.change(|tally| tally.exchanges[self.index].status = status);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.stats.change(|tally| {
            tally.bytes_sent += bytes as u64;
            tally.exchanges[self.index].bytes_sent += bytes as u64;
        });
    }

    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.stats.change(|tally| {
            tally.open -= 1;
            tally.clock += 1;
            tally.exchanges[self.index].ended = Some(tally.clock);
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> Request {
        Request {
            method: "GET".into(),
            path: path.into(),
            query: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn the_highest_number_open_can_be_told_for_some_paths() {
        let stats = Stats::new();
        let page = stats.begin(request("/page"), false);
        let first = stats.begin(request("/1.ts"), false);
        drop(first);
        let second = stats.begin(request("/2.ts"), false);
        drop((page, second));
        stats.read(|tally| {
            assert_eq!((tally.open, tally.open_max, tally.open_max_of("*.ts")), (0, 2, 1));
            assert_eq!((tally.count("*.ts"), tally.distinct("*"), tally.count("/page")), (2, 3, 1));
        });
    }

    #[test]
    fn waiting_ends_with_the_condition_or_the_time() {
        let stats = Stats::new();
        let other = stats.clone();
        let thread = std::thread::spawn(move || drop(other.begin(request("/a"), false)));
        assert_eq!(stats.wait(Duration::from_secs(60), |tally| tally.count("/a") == 1), Ok(()));
        thread.join().unwrap();
        assert_eq!(stats.wait(Duration::from_millis(1), |tally| tally.count("/b") == 1), Err(TimedOut));
    }
}
