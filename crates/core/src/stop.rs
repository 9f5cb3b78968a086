//! Stopping in two phases.

use tokio_util::sync::CancellationToken;

/// The two phases of stopping a pipeline. Clones share their state.
///
/// [`drain`](Stop::drain) ends the source: nothing new is asked for, what is under way arrives, and the
/// output is finalised. [`abort`](Stop::abort) ends everything at once.
#[derive(Clone, Debug)]
pub struct Stop {
    /// That of the whole which this is a part of; the same as `drain` where it is none.
    whole: CancellationToken,
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A fresh one, with neither phase begun.
    pub fn new() -> Self {
        let drain = CancellationToken::new();
        Self {
            whole: drain.clone(),
            drain,
            abort: CancellationToken::new(),
        }
    }

    /// A part of the whole: it stops when this does, and can be stopped alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            whole: self.whole.clone(),
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

    /// Waits until the whole that this is a part of is drained or aborted. Then nobody wants more of it, also of what is named
    /// already. A part that is drained alone, as where a source fails, still takes that.
    pub async fn whole_draining(&self) {
        self.whole.cancelled().await;
    }

    /// Waits for [`abort`](Stop::abort).
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }
}
