//! How many requests to one origin are worth having open at once, learnt from how they go.
//!
//! The count doubles while that makes the transfer faster, and then goes up by one at a time. Steps that brought
//! nothing are taken back. A server that pushes back (429, 503) halves it, a goodput that collapses takes a quarter of
//! it, and failures take half their share of what is under way. All of it works on windows of time, long enough for a few answers.

use std::time::Duration;

use aqueduct_core::Meter;
use tokio::time::Instant;

/// How many there are at first.
const START: usize = 4;

/// A window is as long as so many answers take to begin, within these bounds. While the count doubles it is half as long:
/// what a doubling brings is plain to see, and to wait for it costs most while there are few.
const ANSWERS: u32 = 4;
const SHORTEST_WINDOW: Duration = Duration::from_millis(200);
const LONGEST_WINDOW: Duration = Duration::from_secs(2);

/// Twice as many must bring at least so much more, and half as many again so much.
const GAIN_OF_DOUBLING: f64 = 1.25;
const GAIN_OF_STEPS: f64 = 1.10;

/// So much less is more than chance.
const FALL: f64 = 0.8;
const COLLAPSE: f64 = 0.5;

/// Where a server pushed back, it stays so far below.
const BELOW_PUSH_BACK: f64 = 0.85;

/// After a step that brought nothing it waits for so many windows before the next, twice as many each time.
const SHORTEST_REST: u32 = 8;
const LONGEST_REST: u32 = 64;

/// The count for one origin.
#[derive(Debug)]
pub(crate) struct Pace {
    most: usize,
    limit: f64,
    /// What the server seems to bear.
    ceiling: f64,
    doubling: bool,
    /// The count that is known to be worth its while, and the bytes per second that it brought.
    anchor: Option<(f64, f64)>,
    /// Windows that disagree with what is known, in a row.
    doubts: u32,
    rest: u32,
    next_rest: u32,
    window: Window,
}

/// What was counted when the window began.
#[derive(Debug)]
struct Window {
    began: Instant,
    bytes: u64,
    failures: u64,
    push_backs: u64,
    finished: u64,
    /// Whether more were open than the limit by then.
    too_many: bool,
    /// Whether somebody waited: without that, the count was not what held the transfer back.
    wanted_more: bool,
}

impl Pace {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            limit: as_f64(START.min(most)),
            ceiling: f64::INFINITY,
            doubling: true,
            anchor: None,
            doubts: 0,
            rest: 0,
            next_rest: SHORTEST_REST,
            window: Window {
                began: Instant::now(),
                bytes: 0,
                failures: 0,
                push_backs: 0,
                finished: 0,
                too_many: false,
                wanted_more: false,
            },
        }
    }

    /// How many requests may be open.
    pub(crate) fn limit(&self) -> usize {
        // Between one and a count that came in as a usize.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        let limit = self.limit as usize;
        limit.clamp(1, self.most.max(1))
    }

    /// Somebody waits for a place; says when to look again.
    pub(crate) fn wants_more(&mut self, meter: &Meter) -> Instant {
        self.window.wanted_more = true;
        self.window.began + self.length(meter)
    }

    /// Learns from what happened since the window began, once that is long enough. `finished` counts requests, and
    /// `open` those that are under way.
    pub(crate) fn look(&mut self, meter: &Meter, finished: u64, open: usize) {
        let now = Instant::now();
        let elapsed = now - self.window.began;
        if elapsed < self.length(meter) {
            return;
        }
        let since = std::mem::replace(
            &mut self.window,
            Window {
                began: now,
                bytes: meter.bytes(),
                failures: meter.failures(),
                push_backs: meter.push_backs(),
                finished,
                too_many: false,
                wanted_more: false,
            },
        );
        // What the server says to requests from before the last retreat, it has said already.
        if self.window.push_backs > since.push_backs && !since.too_many {
            self.ceiling = self.limit * BELOW_PUSH_BACK;
            self.retreat(0.5);
            self.window.too_many = open > self.limit();
            return;
        }
        self.window.too_many = open > self.limit();
        let failures = as_f64(self.window.failures - since.failures);
        if failures > 0.0 {
            let share = failures / (failures + as_f64(finished - since.finished) + as_f64(open));
            self.limit = (self.limit * (1.0 - share / 2.0)).max(1.0);
            self.doubling &= share < 0.25;
        }
        if since.wanted_more {
            self.judge(as_f64(self.window.bytes - since.bytes) / elapsed.as_secs_f64());
        }
    }

    /// What `rate`, in bytes per second, says of the count that brought it.
    fn judge(&mut self, rate: f64) {
        let Some((known, before)) = self.anchor else {
            self.settle(rate);
            return self.grow();
        };
        if self.limit < known {
            // Failures took some of it.
            return self.grow();
        }
        if self.rest > 0 {
            self.rest -= 1;
            return self.watch(known, before, rate);
        }
        let (step, gain) = if self.doubling {
            (2.0, GAIN_OF_DOUBLING)
        } else {
            (1.5, GAIN_OF_STEPS)
        };
        let went = (self.limit / known - 1.0) / (step - 1.0);
        if rate >= before * FALL && went < 1.0 && self.limit < self.top() {
            return self.grow();
        }
        // The last step may be cut short.
        if rate >= before * (1.0 + (gain - 1.0) * went.min(1.0)) {
            self.next_rest = SHORTEST_REST;
            self.settle(rate);
            return self.grow();
        }
        // New connections take a while to be as fast as old ones: one window is no proof.
        self.doubts += 1;
        if self.doubts >= 2 {
            self.limit = known;
            self.pause();
        }
    }

    /// While it rests: whether what is known still holds.
    fn watch(&mut self, known: f64, before: f64, rate: f64) {
        if rate >= before * COLLAPSE {
            self.doubts = 0;
            self.anchor = Some((known, before + (rate - before) / 4.0));
            return;
        }
        self.doubts += 1;
        if self.doubts >= 2 {
            self.retreat(0.75);
        }
    }

    fn grow(&mut self) {
        if self.limit < self.top() {
            let more = if self.doubling { self.limit * 2.0 } else { self.limit + 1.0 };
            self.limit = more.min(self.top());
        } else if self.rest == 0 {
            // Once in a while it asks again whether the server bears more.
            self.ceiling += 1.0;
            self.pause();
        }
    }

    /// How long a window is.
    fn length(&self, meter: &Meter) -> Duration {
        let length = (meter.latency() * ANSWERS).clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        if self.doubling { length / 2 } else { length }
    }

    fn top(&self) -> f64 {
        self.ceiling.min(as_f64(self.most)).max(1.0)
    }

    /// The count is worth its while.
    fn settle(&mut self, rate: f64) {
        self.anchor = Some((self.limit, rate));
        self.doubts = 0;
    }

    fn retreat(&mut self, to: f64) {
        self.limit = (self.limit * to).max(1.0);
        self.doubling = false;
        self.anchor = None;
        self.doubts = 0;
        self.rest = 0;
    }

    fn pause(&mut self) {
        self.doubling = false;
        self.doubts = 0;
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
    }
}

/// Counts here are far below 2⁵².
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn as_f64(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}
