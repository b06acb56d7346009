//! A store whose answers to calls for tokens come when a test says so, or not at all, over a network that is in its hand.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keygate_core::clock::Tick;
use keygate_core::coherence::{Lease, Read};
use keygate_core::limiter::call::{Answer, Call};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limits::Limits;
use keygate_core::store::{MemoryStore, StoreError};
use tokio::sync::oneshot;

use super::over_memory::OverMemory;

/// A call on its way to the store.
pub struct Sent {
    pub limits: Limits,
    pub call: Call,
    /// Dropped, it is a connection that broke.
    pub reply: oneshot::Sender<Answer>,
}

/// What all instances share: the records, what is on its way, and the life of the connections.
#[derive(Clone)]
pub struct Wire {
    pub memory: MemoryStore,
    pub sent: Arc<Mutex<Vec<Sent>>>,
    pub lease: Arc<Mutex<Arc<Lease>>>,
    pub instance: usize,
    pub instances: u64,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("instance", &self.instance).finish_non_exhaustive()
    }
}

#[async_trait]
impl OverMemory for Wire {
    type Decided = ();

    fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    async fn before(&self, _: &(dyn Fn() -> String + Sync)) -> Result<(), StoreError> {
        Ok(())
    }

    async fn after(&self, (): ()) -> Result<(), StoreError> {
        Ok(())
    }

    fn loaded<T>(&self, read: Read<T>) -> Read<T> {
        Read { lease: Some(Arc::clone(&self.lease.lock().unwrap())), sent: Tick::NEVER, ..read }
    }

    async fn granted(&self, _pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = Sent { limits: *limits, call: call.clone(), reply };
        self.sent.lock().unwrap().push(sent);
        answer.await.map_err(StoreError::unavailable)
    }

    fn used_by(&self) -> u64 {
        self.instances
    }
}
