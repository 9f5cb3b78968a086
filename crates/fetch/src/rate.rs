//! A bound on the bytes per second of a whole job, shared fairly among its tracks.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aqueduct_core::TrackId;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Time that was not used may be made up for by so much, and no more.
const BURST: Duration = Duration::from_millis(100);

/// The most bytes that pass at a time. Low rates take smaller steps: a twentieth of a second's worth.
const STEP: u64 = 16 << 10;
const STEPS_PER_SECOND: u64 = 20;

const NANOS: u128 = 1_000_000_000;

/// What all transfers of a job pass through.
///
/// Each track stands in line with one transfer at a time, and the lines take turns: a track with twenty requests gets
/// no more than one with a single request.
#[derive(Debug)]
pub(crate) struct Rate {
    bytes_per_second: u64,
    /// The line of each track, and of what belongs to none.
    lines: std::sync::Mutex<HashMap<Option<TrackId>, Arc<Mutex<()>>>>,
    clock: Mutex<Clock>,
}

/// When the next byte may pass, exactly: what a division leaves over is carried on.
#[derive(Debug)]
struct Clock {
    due: Instant,
    left_over: u128,
}

impl Rate {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            lines: std::sync::Mutex::default(),
            clock: Mutex::new(Clock {
                due: Instant::now(),
                left_over: 0,
            }),
        }
    }

    /// Waits until so many bytes of a track may pass.
    pub(crate) async fn pass(&self, track: Option<TrackId>, bytes: usize) {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(track).or_default())
        };
        let _turn = line.lock().await;
        let step = (self.bytes_per_second / STEPS_PER_SECOND).clamp(1, STEP);
        let mut left = bytes as u64;
        while left > 0 {
            let now = left.min(step);
            self.step(now).await;
            left -= now;
        }
    }

    async fn step(&self, bytes: u64) {
        // Held while it waits: this lock is what the lines take turns at, in order.
        let mut clock = self.clock.lock().await;
        if let Some(earliest) = Instant::now().checked_sub(BURST)
            && clock.due < earliest
        {
            clock.due = earliest;
        }
        sleep_until(clock.due).await;
        let rate = u128::from(self.bytes_per_second);
        let nanos = u128::from(bytes) * NANOS + clock.left_over;
        clock.left_over = nanos % rate;
        clock.due += Duration::from_nanos(u64::try_from(nanos / rate).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const CHUNK: usize = 40_000;

    /// Lets transfers run for ten seconds, and says what each track got.
    async fn run(rate: u64, transfers: &[u32]) -> Vec<u64> {
        let gate = Arc::new(Rate::new(rate));
        let tracks: Vec<_> = transfers.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
        let mut tasks = Vec::new();
        for (number, (count, got)) in (0..).zip(transfers.iter().zip(&tracks)) {
            for _ in 0..*count {
                let (gate, got) = (Arc::clone(&gate), Arc::clone(got));
                tasks.push(tokio::spawn(async move {
                    loop {
                        gate.pass(Some(TrackId::new(number)), CHUNK).await;
                        got.fetch_add(CHUNK as u64, Ordering::Relaxed);
                    }
                }));
            }
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        tracks.iter().map(|got| got.load(Ordering::Relaxed)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_held_to_the_byte() {
        for rate in [20_000, 333_333, 1_000_000, 5 << 20, 100 << 20] {
            for transfers in [&[1][..], &[20], &[3, 3]] {
                let got: u64 = run(rate, transfers).await.iter().sum();
                // What is under way has passed in part: a chunk for each line, and what the clock's grain of a
                // millisecond holds back.
                let under_way = transfers.len() as u64 * CHUNK as u64 + rate / 500;
                assert!(got <= rate * 10 + STEP, "{got} at {rate}");
                assert!(got + under_way >= rate * 10, "{got} at {rate}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_track_with_many_transfers_gets_no_more_than_one_with_few() {
        let got = run(1_000_000, &[20, 1]).await;
        assert!(got[0].abs_diff(got[1]) <= 2 * CHUNK as u64, "{got:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_no_credit() {
        let gate = Rate::new(1_000_000);
        gate.pass(None, 1000).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        let begun = Instant::now();
        gate.pass(None, 1_000_000).await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(880), "a minute of silence bought {took:?}");
    }
}
