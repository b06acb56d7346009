//! A store of whose calls a test decides one by one what becomes of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use keygate_core::store::{MemoryStore, StoreError};
use tokio::task::yield_now;

use super::over_memory::OverMemory;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done and answered.
    Answered,
    /// It is not done, and fails.
    Failed,
    /// It is done, and looks failed.
    Lost,
}

/// Decides by the name of the method and its arguments, as [`OverMemory::before`] has them.
type Judge = dyn Fn(&str) -> Fate + Send + Sync;

/// Gives way before each call and after it, and lets what a test decides become of it.
#[derive(Clone)]
pub struct FatefulStore {
    memory: MemoryStore,
    judge: Arc<Judge>,
}

impl FatefulStore {
    /// A store over `memory` whose calls are judged.
    pub fn new(memory: MemoryStore, judge: impl Fn(&str) -> Fate + Send + Sync + 'static) -> Self {
        Self { memory, judge: Arc::new(judge) }
    }

    /// The same, where the calls meet these fates one after another, and then all are answered.
    pub fn meeting(memory: MemoryStore, fates: Vec<Fate>) -> Self {
        let met = AtomicUsize::new(0);
        Self::new(memory, move |_| fates.get(met.fetch_add(1, Ordering::Relaxed)).copied().unwrap_or(Fate::Answered))
    }
}

impl fmt::Debug for FatefulStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FatefulStore").field("memory", &self.memory).finish_non_exhaustive()
    }
}

#[async_trait]
impl OverMemory for FatefulStore {
    type Decided = Fate;

    fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    async fn before(&self, call: &(dyn Fn() -> String + Sync)) -> Result<Fate, StoreError> {
        yield_now().await;
        match (self.judge)(&call()) {
            Fate::Failed => Err(StoreError::unavailable("a test made this call fail")),
            fate => Ok(fate),
        }
    }

    async fn after(&self, fate: Fate) -> Result<(), StoreError> {
        yield_now().await;
        if fate == Fate::Lost { Err(StoreError::unavailable("a test lost this answer")) } else { Ok(()) }
    }
}
