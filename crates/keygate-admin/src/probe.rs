//! Whether the store answers, asked once for all who want to know.

use std::time::Duration;

use keygate_core::manager::{ApiKeyManager, StoreState};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// For how long an answer is given again: however often a load balancer asks, the store is asked once a second.
const FRESH: Duration = Duration::from_secs(1);
/// A store that takes longer is one that does not answer. Those who ask give up after a second, by default.
const PATIENCE: Duration = Duration::from_millis(750);

/// The last look at the store.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// Held while the store is asked, so that all who ask meanwhile share the answer.
    last: Mutex<Option<(Instant, StoreState)>>,
}

impl Probe {
    /// What the store is like, as of a second ago at most.
    pub(crate) async fn look(&self, manager: &ApiKeyManager) -> StoreState {
        let mut last = self.last.lock().await;
        if let Some((at, state)) = *last
            && at.elapsed() < FRESH
        {
            return state;
        }
        let state = timeout(PATIENCE, manager.store_state()).await.unwrap_or(StoreState::Unreachable);
        *last = Some((Instant::now(), state));
        state
    }
}
