//! Stopping in two phases.

use tokio_util::sync::CancellationToken;

/// The two phases of stopping a pipeline. Clones share their state.
///
/// [`drain`](Stop::drain) ends the source: nothing new is asked for, what is under way arrives, and the
/// output is finalised. [`abort`](Stop::abort) ends everything at once.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Stop {
    /// A fresh one, with neither phase begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// A part of the whole: it stops when this does, and can be stopped alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            drain: self.drain.child_token(),
            abort: self.abort.child_token(),
        }
    }

    /// Ends the source; what is under way is finished.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends everything at once.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Whether the source should emit nothing more.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether everything should end.
    pub fn is_aborted(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// Waits for [`drain`](Stop::drain) or [`abort`](Stop::abort).
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits for [`abort`](Stop::abort).
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }
}
