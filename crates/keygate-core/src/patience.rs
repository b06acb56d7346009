//! Waiting, but not for ever.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

/// What a future gives, if it does so within a time. Where there is no tokio runtime nobody measures that, and it is waited for.
/// A runtime must have its timers enabled.
pub(crate) async fn at_most<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    match Handle::try_current() {
        Ok(_) => timeout(time, future).await.ok(),
        Err(_) => Some(future.await),
    }
}
