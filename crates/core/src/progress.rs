//! What a display samples and a log follows, without ever slowing the data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_channel::Sender;

use crate::{Gap, SafeUrl, TrackId};

/// The news of a running pipeline: [`Counters`] to sample and [`Event`]s to follow. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    counters: Arc<Counters>,
    events: Option<Sender<Event>>,
}

impl Progress {
    /// News without a listener for events.
    pub fn new() -> Self {
        Self::default()
    }

    /// News with a listener. Events that find the channel full are dropped: the counters and the final report
    /// are complete without them.
    pub fn with_events(events: Sender<Event>) -> Self {
        Self {
            counters: Arc::default(),
            events: Some(events),
        }
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Tells of an event, unless the listener is behind.
    pub fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            // Full or closed: events are news, not records.
            let _ = events.try_send(event);
        }
    }
}

/// Something that happened, for a listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A request failed and is tried again.
    Retry {
        /// What was asked for.
        url: SafeUrl,
        /// How often it was tried so far.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// How long it waits before the next try.
        delay: Duration,
    },
    /// A segment is in the output, whole.
    Written {
        /// Its track.
        track: TrackId,
        /// Its Media Sequence Number.
        msn: u64,
        /// Its length, decrypted, in bytes.
        bytes: u64,
    },
    /// A segment is missing from the output.
    Missing(Gap),
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// Running totals of a pipeline. Reading them never waits.
        #[derive(Debug, Default)]
        pub struct Counters { $($name: AtomicU64,)* }

        impl Counters {
            $($(#[$doc])* pub fn $name(&self) -> u64 { self.$name.load(Ordering::Relaxed) })*
        }
    };
}

counters! {
    /// Segments that the stream will have, as far as it is known; 0 when it is not.
    segments_expected;
    /// Segments that are in the output.
    segments_written;
    /// Segments that were on offer and are missing from the output.
    segments_missing;
    /// Bytes that the stream will have, where it is known (plain files); 0 when it is not.
    bytes_expected;
    /// Bytes received for payloads, repeats included.
    bytes_received;
    /// Bytes written to the output.
    bytes_written;
    /// Playing time in the output, of all tracks together, in milliseconds.
    millis_written;
    /// Playing time that the stream will have, of all tracks together, in milliseconds; 0 when it is not known.
    millis_expected;
    /// Requests for payloads that are open now.
    requests_open;
    /// Requests that were tried again.
    retries;
}

impl Counters {
    /// Adds to what is expected of the stream.
    pub fn expect(&self, segments: u64, bytes: u64, duration: Duration) {
        self.segments_expected.fetch_add(segments, Ordering::Relaxed);
        self.bytes_expected.fetch_add(bytes, Ordering::Relaxed);
        self.millis_expected.fetch_add(millis(duration), Ordering::Relaxed);
    }

    /// Counts received bytes.
    pub fn received(&self, bytes: usize) {
        self.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a retry.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts written bytes.
    pub fn wrote(&self, bytes: usize) {
        self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a segment that is in the output.
    pub fn finished_segment(&self, duration: Duration) {
        self.segments_written.fetch_add(1, Ordering::Relaxed);
        self.millis_written.fetch_add(millis(duration), Ordering::Relaxed);
    }

    /// Counts segments that an earlier run left in the output.
    pub fn had_segments(&self, segments: u64, duration: Duration) {
        self.segments_written.fetch_add(segments, Ordering::Relaxed);
        self.millis_written.fetch_add(millis(duration), Ordering::Relaxed);
    }

    /// Counts segments that are missing.
    pub fn missed(&self, segments: u64) {
        // How far a live window leaps is the server's claim.
        let add = |missing: u64| Some(missing.saturating_add(segments));
        let _ = self.segments_missing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Counts a request as open for as long as the result lives.
    pub fn open_request(&self) -> OpenRequest<'_> {
        self.requests_open.fetch_add(1, Ordering::Relaxed);
        OpenRequest(self)
    }
}

/// A request that is counted as open; dropping it closes it.
#[derive(Debug)]
pub struct OpenRequest<'a>(&'a Counters);

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.requests_open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
