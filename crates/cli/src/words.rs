//! What is told in words, on standard error. A thread of its own writes them, so that a reader who is slow, or who stopped
//! reading, never holds up the data: of log lines, those are left out that find too many waiting. Errors and results are not;
//! there are a few of them for each input.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::progress;

/// Log lines find no place behind so many messages.
const WAITING: usize = 1024;

static DESK: Desk = Desk::new();

/// What waits to be written, and who writes it.
struct Desk {
    queue: Mutex<Queue>,
    /// There is something to write, or nothing more.
    changed: Condvar,
}

struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// Log lines that nobody will read.
    left_out: u64,
    writer: Writer,
}

/// The thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// There is none: whoever tells something writes it.
    Absent,
    /// It waits for something to write.
    Waiting,
    /// A message is on its way.
    Writing,
    /// It panicked over a message. What comes is written in the end.
    Gone,
}

impl Desk {
    const fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                messages: VecDeque::new(),
                left_out: 0,
                writer: Writer::Absent,
            }),
            changed: Condvar::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, writer: Writer) -> MutexGuard<'_, Queue> {
        let mut queue = self.queue();
        queue.writer = writer;
        self.changed.notify_all();
        queue
    }

    /// Writes what is told from now on, for ever.
    fn work(&self, write: impl Fn(&[u8])) {
        /// Whatever ends the work, nobody waits for it any more.
        struct End<'a>(&'a Desk);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                drop(self.0.set(Writer::Gone));
            }
        }
        let _end = End(self);
        loop {
            let queue = self.set(Writer::Waiting);
            let mut queue = self
                .changed
                .wait_while(queue, |queue| queue.messages.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            queue.writer = Writer::Writing;
            let next = queue.next();
            drop(queue);
            next.iter().for_each(|message| write(message));
        }
    }

    /// Waits until all that was told is written, and writes it where nobody else does.
    fn flush(&self, write: impl Fn(&[u8])) {
        let queue = self.changed.wait_while(self.queue(), |queue| match queue.writer {
            Writer::Absent | Writer::Gone => false,
            Writer::Waiting => !queue.messages.is_empty(),
            Writer::Writing => true,
        });
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        let left = std::iter::from_fn(|| (!queue.messages.is_empty()).then(|| queue.next())).flatten();
        let left: Vec<Vec<u8>> = left.collect();
        drop(queue);
        left.iter().for_each(|message| write(message));
    }

    /// Takes a message in; gives it back where there is nobody to write it.
    fn take(&self, text: Vec<u8>, log: bool) -> Option<Vec<u8>> {
        let mut queue = self.queue();
        if queue.writer == Writer::Absent {
            return Some(text);
        }
        if log && queue.messages.len() >= WAITING {
            queue.left_out += 1;
        } else {
            queue.messages.push_back(text);
            self.changed.notify_all();
        }
        None
    }
}

impl Queue {
    /// The next message, and how many would have stood behind it.
    fn next(&mut self) -> Vec<Vec<u8>> {
        let mut next = Vec::from_iter(self.messages.pop_front());
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            next.push(format!("{left_out} log lines were left out: too many waited to be read\n").into_bytes());
        }
        next
    }
}

/// Has a thread write from now on.
pub(crate) fn start() {
    // What is told before it runs waits for it.
    drop(DESK.set(Writer::Waiting));
    let work = || DESK.work(progress::above);
    if std::thread::Builder::new().name("words".into()).spawn(work).is_err() {
        drop(DESK.set(Writer::Absent));
    }
}

/// Waits until all that was told is written.
pub(crate) fn flush() {
    DESK.flush(|message| {
        // Without standard error there is nobody to tell.
        let _ = std::io::stderr().write_all(message);
    });
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
        if let Some(text) = DESK.take(std::mem::take(&mut self.text), self.log) {
            progress::above(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A desk whose thread panics over `fatal`, and what it wrote.
    fn desk() -> (Arc<Desk>, Arc<Mutex<Vec<String>>>) {
        let (desk, written) = (Arc::new(Desk::new()), Arc::new(Mutex::new(Vec::new())));
        drop(desk.set(Writer::Waiting));
        let (working, writing) = (Arc::clone(&desk), Arc::clone(&written));
        std::thread::spawn(move || {
            working.work(|message| {
                assert_ne!(message, b"fatal");
                writing.lock().unwrap().push(String::from_utf8(message.to_vec()).unwrap());
            });
        });
        (desk, written)
    }

    fn flush(desk: &Desk, written: &Mutex<Vec<String>>) {
        desk.flush(|message| written.lock().unwrap().push(format!("{} late", String::from_utf8_lossy(message))));
    }

    #[test]
    fn all_that_was_told_is_written_in_the_end_though_the_thread_panics() {
        for (told, expected) in [
            (&["a", "b"][..], &["a", "b"][..]),
            (&["a", "fatal"], &["a"]),
            (&["a", "fatal", "b", "c"], &["a", "b late", "c late"]),
        ] {
            let (desk, written) = desk();
            for text in told {
                assert_eq!(desk.take(text.as_bytes().to_vec(), false), None);
            }
            flush(&desk, &written);
            flush(&desk, &written);
            assert_eq!(*written.lock().unwrap(), expected, "{told:?}");
            if told.contains(&"fatal") {
                desk.take(b"more".to_vec(), true);
                flush(&desk, &written);
                assert_eq!(written.lock().unwrap().last().unwrap(), "more late");
            }
        }
    }

    #[test]
    fn log_lines_that_find_too_many_waiting_are_left_out_and_counted() {
        let desk = Desk::new();
        assert!(desk.take(b"x".to_vec(), true).is_some(), "nobody writes it");
        drop(desk.set(Writer::Gone));
        for _ in 0..WAITING + 5 {
            desk.take(b"x".to_vec(), true);
        }
        desk.take(b"error".to_vec(), false);
        let written = Mutex::new(Vec::new());
        flush(&desk, &written);
        let written = written.into_inner().unwrap();
        assert_eq!(written.len(), WAITING + 2);
        assert_eq!(written.last().unwrap(), "error late");
        assert_eq!(
            written.iter().filter(|line| line.starts_with("5 log lines were left out")).count(),
            1
        );
    }
}
