//! What is seen of transfers while they are under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::FetchError;

/// How the transfers from one origin go, counted: for whoever decides how many there are at once. Writing and reading
/// never wait.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicU64,
    failures: AtomicU64,
    push_backs: AtomicU64,
    latency_micros: AtomicU64,
}

impl Meter {
    /// Bytes received, repeats included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tries that failed in a way that another may not.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Answers by which a server asks for fewer requests: status 429 and 503.
    pub fn push_backs(&self) -> u64 {
        self.push_backs.load(Ordering::Relaxed)
    }

    /// The time from a request to its first byte, smoothed; zero before the first one.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_micros.load(Ordering::Relaxed))
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, after: Duration) {
        let sample = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let before = self.latency_micros.load(Ordering::Relaxed);
        let smoothed = if before == 0 { sample } else { before - before / 8 + sample / 8 };
        // Of two samples at once one may be lost: it is an average.
        self.latency_micros.store(smoothed, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, error: &FetchError) {
        if matches!(error.status(), Some(429 | 503)) {
            self.push_backs.fetch_add(1, Ordering::Relaxed);
        } else if error.is_retryable() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}
