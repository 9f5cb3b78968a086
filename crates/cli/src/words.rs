//! What is told in words, on standard error. A thread of its own writes them, so that a reader who is slow, or who stopped
//! reading, never holds up the data: of log lines, those are left out that find too many waiting. Errors and results are not;
//! there are a few of them for each input.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::progress;

/// Log lines find no place behind so many messages.
const WAITING: usize = 1024;

/// Whether the thread is there. Without it, whoever tells something writes it.
static STARTED: AtomicBool = AtomicBool::new(false);
static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    messages: VecDeque::new(),
    left_out: 0,
    writing: false,
});
/// There is something to write, or nothing more.
static CHANGED: Condvar = Condvar::new();

struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// Log lines that nobody will read.
    left_out: u64,
    /// A message is on its way.
    writing: bool,
}

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a thread write from now on.
pub(crate) fn start() {
    let started = std::thread::Builder::new().name("words".into()).spawn(write).is_ok();
    STARTED.store(started, Ordering::Relaxed);
}

fn write() {
    loop {
        let mut queue = queue();
        queue.writing = false;
        CHANGED.notify_all();
        let mut queue = CHANGED
            .wait_while(queue, |queue| queue.messages.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        queue.writing = true;
        let (message, left_out) = (queue.messages.pop_front(), std::mem::take(&mut queue.left_out));
        drop(queue);
        progress::above(&message.unwrap_or_default());
        if left_out > 0 {
            progress::above(format!("{left_out} log lines were left out: too many waited to be read\n").as_bytes());
        }
    }
}

/// Waits until all that was told is written.
pub(crate) fn flush() {
    if STARTED.load(Ordering::Relaxed) {
        drop(CHANGED.wait_while(queue(), |queue| queue.writing || !queue.messages.is_empty()));
    }
}

/// Takes one message of the log, which is written once this is dropped, unless too many wait.
pub(crate) fn log() -> impl Write {
    Words {
        text: Vec::new(),
        log: true,
    }
}

/// Takes one message that is not left out, which is written once this is dropped.
pub(crate) fn told() -> impl Write {
    Words {
        text: Vec::new(),
        log: false,
    }
}

struct Words {
    text: Vec<u8>,
    log: bool,
}

impl Write for Words {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if !STARTED.load(Ordering::Relaxed) {
            return progress::above(&self.text);
        }
        let mut queue = queue();
        if self.log && queue.messages.len() >= WAITING {
            queue.left_out += 1;
        } else {
            queue.messages.push_back(std::mem::take(&mut self.text));
            CHANGED.notify_all();
        }
    }
}
