//! Progress on standard error: a line that renews itself on a terminal, plain lines elsewhere. It samples counters on a
//! thread of its own, so it never slows the data: a terminal that is stopped, or a pipe that nobody reads, holds up nobody else.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aqueduct::Progress;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a terminal is renewed, and how often a plain line is written.
const TERMINAL: Duration = Duration::from_millis(200);
const PLAIN: Duration = Duration::from_secs(2);

/// The bar that is on the terminal now: logs go above it.
static SHOWN: OnceLock<Mutex<Option<ProgressBar>>> = OnceLock::new();

fn shown() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The display of one job; dropping it takes it away.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    /// Its thread ends when this is dropped.
    thread: Option<mpsc::Sender<()>>,
}

impl Display {
    /// Shows `progress` until it is dropped, unless `quiet`.
    pub(crate) fn start(progress: Progress, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        shown().clone_from(&bar);
        let thread = (!quiet).then(|| {
            let (thread, ended) = mpsc::channel();
            let bar = bar.clone();
            let draw = move || {
                let mut rate = Rate::new();
                let mut last = String::new();
                let pause = if terminal { TERMINAL } else { PLAIN };
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
                    let line = line(&progress, &mut rate);
                    match &bar {
                        Some(bar) => {
                            bar.set_message(line);
                            bar.tick();
                        }
                        None if line != last => {
                            // Without standard error there is nobody to tell.
                            let _ = writeln!(std::io::stderr(), "{line}");
                            last = line;
                        }
                        None => {}
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().name("progress".into()).spawn(draw) {
                tracing::debug!(%error, "no progress is shown");
            }
            thread
        });
        Self { bar, thread }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.thread = None;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        shown().take();
    }
}

/// The rate of the last few seconds.
struct Rate {
    since: Instant,
    samples: std::collections::VecDeque<(Instant, u64)>,
}

impl Rate {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            samples: [(now, 0)].into(),
        }
    }

    /// Bytes per second.
    fn sample(&mut self, bytes: u64) -> u64 {
        const WINDOW: usize = 25;
        let now = Instant::now();
        self.samples.push_back((now, bytes));
        if self.samples.len() > WINDOW {
            self.samples.pop_front();
        }
        let (then, before) = self.samples.front().copied().unwrap_or((now, bytes));
        let millis = u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX);
        bytes.saturating_sub(before).saturating_mul(1000).checked_div(millis).unwrap_or(0)
    }
}

/// Segments, bytes, rate and time left, as far as they are known.
fn line(progress: &Progress, rate: &mut Rate) -> String {
    let counters = progress.counters();
    let (done, expected) = (counters.segments_written(), counters.segments_expected());
    let (bytes, bytes_expected) = (counters.bytes_received(), counters.bytes_expected());
    let speed = rate.sample(bytes);
    let mut line = if expected > 0 {
        format!("{done}/{expected} segments")
    } else {
        format!("{done} segments")
    };
    line += &format!(", {}", HumanBytes(bytes));
    if bytes_expected > 0 {
        line += &format!(" of {}", HumanBytes(bytes_expected));
    }
    line += &format!(", {}/s", HumanBytes(speed));
    let share = if bytes_expected > 0 {
        Some(counters.bytes_written() as f64 / bytes_expected as f64)
    } else if counters.millis_expected() > 0 {
        Some(counters.millis_written() as f64 / counters.millis_expected() as f64)
    } else {
        None
    };
    if let Some(share) = share.filter(|share| *share > 0.0 && *share <= 1.0) {
        let elapsed = rate.since.elapsed().as_secs_f64();
        let left = Duration::try_from_secs_f64(elapsed / share - elapsed).unwrap_or_default();
        line += &format!(", {} left", HumanDuration(left));
    }
    if counters.segments_missing() > 0 {
        line += &format!(", {} missing", counters.segments_missing());
    }
    if counters.retries() > 0 {
        line += &format!(", {} retries", counters.retries());
    }
    line
}

/// Writes to standard error, above what is displayed.
pub(crate) fn above(text: &[u8]) {
    let write = || std::io::stderr().write_all(text);
    // Whoever waits for the display must not wait for the write.
    let bar = shown().clone();
    // Without standard error there is nobody to tell.
    let _ = match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    };
}
