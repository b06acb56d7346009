//! The task that keeps the connection of a store that is watched: it sends the heartbeats, and connects again by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::reach::beat;
use super::reconnecting::{Live, Shared};

/// Runs one task at a time, and ends it when it is dropped itself.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    is_running: Arc<AtomicBool>,
    task: Mutex<Option<AbortHandle>>,
}

/// Says that the task has ended, also when its runtime has shut down.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Supervisor {
    /// Begins the task on the runtime of whoever asks, unless it runs.
    pub(super) fn ensure<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce() -> F) {
        if self.is_running.load(Ordering::Relaxed) || self.is_running.swap(true, Ordering::SeqCst) {
            return;
        }
        let (running, task) = (Running(Arc::clone(&self.is_running)), task());
        let handle = tokio::spawn(async move {
            // What the task holds is dropped before it is said to have ended.
            let _running = running;
            task.await;
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.abort_handle());
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Lets go of the connection when the task ends: nobody is left to say that it leads nowhere.
struct Kept(Arc<Shared>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

pub(super) fn supervise(shared: Arc<Shared>) -> impl Future<Output = ()> + Send + 'static {
    let kept = Kept(shared);
    async move {
        let shared = &kept.0;
        while shared.is_watched() {
            match shared.connect().await {
                Ok(live) => keep(shared, live).await,
                Err(_) => shared.pause().await,
            }
        }
    }
}

/// Sends heartbeats until the connection is lost. The first was sent when it was made.
async fn keep(shared: &Shared, mut live: Live) {
    let mut sent = Instant::now();
    while shared.is_watched() {
        let terms = shared.audience.terms();
        live.session.wait_until(sent + terms.beat()).await;
        if live.session.is_over() {
            shared.give_up(&live, &"it was lost");
            // Not at once: a server that closes what it has just accepted would be asked without rest.
            return shared.pause().await;
        }
        sent = Instant::now();
        let Live { connection, session, candidate, .. } = &mut live;
        let moved = async {
            match candidate {
                Some(candidate) => shared.dial.has_moved(candidate, terms.beat()).await,
                None => false,
            }
        };
        match join(beat(connection, &shared.audience, session, shared.node.as_ref()), moved).await {
            (Err(error), _) => return shared.give_up(&live, &error),
            (Ok(()), true) => return shared.give_up(&live, &"the Sentinels name another primary"),
            (Ok(()), false) => {}
        }
    }
}
