//! Making files safe on the disk, beside the work.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::disk::Bytes;

/// A thread that makes a part file and its journal safe, so that the muxer does not wait for the disk.
#[derive(Debug)]
pub(crate) struct Syncer {
    requests: Option<SyncSender<u64>>,
    done: Arc<Mutex<Done>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Done {
    /// Bytes of the part file that are safe.
    length: u64,
    failed: Option<io::Error>,
}

impl Syncer {
    pub(crate) fn start(part: &dyn Bytes, journal: &dyn Bytes) -> io::Result<Self> {
        let (part, journal) = (part.share()?, journal.share()?);
        // One may wait while another is at work.
        let (requests, inlet) = sync_channel::<u64>(1);
        let done = Arc::<Mutex<Done>>::default();
        let telling = Arc::clone(&done);
        let thread = std::thread::Builder::new().name("sync".into()).spawn(move || {
            for length in inlet {
                let synced = part.sync().and_then(|()| journal.sync());
                let mut done = telling.lock().unwrap_or_else(PoisonError::into_inner);
                match synced {
                    Ok(()) => done.length = length,
                    Err(error) => {
                        done.failed = Some(error);
                        return;
                    }
                }
            }
        })?;
        Ok(Self {
            requests: Some(requests),
            done,
            thread: Some(thread),
        })
    }

    /// Asks that the first `length` bytes become safe; not if it is busy.
    pub(crate) fn ask(&self, length: u64) {
        match self.requests.as_ref().map(|requests| requests.try_send(length)) {
            // It comes again. One that failed has said so.
            Some(Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => {}
        }
    }

    /// How many bytes are safe by now.
    pub(crate) fn done(&self) -> io::Result<u64> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match done.failed.take() {
            Some(error) => Err(error),
            None => Ok(done.length),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic, and has nothing left to say.
            let _ = thread.join();
        }
    }
}
