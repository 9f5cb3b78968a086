//! Signals: the first drains, the second aborts.

use aqueduct::Stop;

/// Turns interrupts and terminations into the two phases of `stop`, and tells what becomes of what there is: `kept`.
pub(crate) async fn watch(stop: Stop, kept: &'static str) {
    interrupted().await;
    // Before it is told: standard error may be a pipe that nobody reads.
    stop.drain();
    tracing::warn!("stopping: {kept}; once more to abort");
    interrupted().await;
    stop.abort();
}

/// Waits for a signal.
#[cfg(unix)]
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // The system's own handling remains.
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
