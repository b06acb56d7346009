//! Waiting on the real clock, away from the async runtime.
//!
//! Servers are started and watched on blocking threads with the standard library's clock and sockets,
//! so that a test which pauses tokio's clock sees no timer of ours fire early.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::TestkitError;

/// How long any server or group of servers may take to get ready. Generous: a loaded machine is slow,
/// and a test that fails for that reason teaches nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(10);

/// Runs `work` on a thread that may block.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TestkitError> + Send + 'static,
) -> Result<T, TestkitError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(TestkitError::RuntimeGone),
    }
}

/// Asks `look` again and again until it answers `Seen::Ready`. An error ends the wait at once.
pub(crate) fn wait_until<T>(
    condition: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Seen<T>, TestkitError>,
) -> Result<T, TestkitError> {
    let started = Instant::now();
    loop {
        match look()? {
            Seen::Ready(value) => return Ok(value),
            Seen::NotYet(last_seen) if started.elapsed() >= patience => {
                return Err(TestkitError::Timeout {
                    waited: started.elapsed(),
                    condition: condition.to_owned(),
                    last_seen,
                });
            }
            Seen::NotYet(_) => thread::sleep(PAUSE),
        }
    }
}

/// What one look found.
pub(crate) enum Seen<T> {
    /// The condition holds.
    Ready(T),
    /// It does not hold yet; this is the state instead.
    NotYet(String),
}
