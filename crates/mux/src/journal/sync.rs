//! Making files safe on the disk, beside the work.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SendError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::disk::{Bytes, Disk};

/// What is to be made safe.
#[derive(Debug)]
pub(crate) enum Media {
    /// One file.
    File(Box<dyn Bytes>),
    /// The files of a folder.
    Folder(Arc<dyn Disk>),
}

/// Files that were written, and one path in each folder that has new names.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) names: Vec<PathBuf>,
}

impl Media {
    /// Returns when all of it is on the disk.
    pub(crate) fn sync(&self, written: &Written) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync(),
            Self::Folder(disk) => {
                written.files.iter().try_for_each(|file| disk.sync_file(file))?;
                written.names.iter().try_for_each(|path| disk.sync_names(path))
            }
        }
    }
}

/// A thread that makes an output and its journal safe, so that the muxer does not wait for the disk.
#[derive(Debug)]
pub(crate) struct Syncer {
    requests: Option<SyncSender<(u64, Written)>>,
    done: Arc<Mutex<Done>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Done {
    /// Bytes of the output that are safe.
    length: u64,
    failed: Option<io::Error>,
}

impl Syncer {
    pub(crate) fn start(media: Media, journal: &dyn Bytes) -> io::Result<Self> {
        let journal = journal.share()?;
        // One may wait while another is at work.
        let (requests, inlet) = sync_channel::<(u64, Written)>(1);
        let done = Arc::<Mutex<Done>>::default();
        let telling = Arc::clone(&done);
        let thread = std::thread::Builder::new().name("sync".into()).spawn(move || {
            for (length, written) in inlet {
                let synced = media.sync(&written).and_then(|()| journal.sync());
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

    /// Asks that the first `length` bytes become safe, which is so when what was `written` since the last time is. If it is
    /// busy, it waits for that, or gives back what was written.
    pub(crate) fn ask(&self, length: u64, written: Written, wait: bool) -> Written {
        let Some(requests) = &self.requests else { return written };
        let request = (length, written);
        if wait {
            // One that failed has said so.
            requests
                .send(request)
                .map_or_else(|SendError((_, written))| written, |()| Written::default())
        } else {
            match requests.try_send(request) {
                Ok(()) => Written::default(),
                Err(TrySendError::Full((_, written)) | TrySendError::Disconnected((_, written))) => written,
            }
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

impl Syncer {
    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    ///
    /// What went wrong with it.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.join();
        self.done().map(|_| ())
    }

    fn join(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic, and has nothing left to say.
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.join();
    }
}
