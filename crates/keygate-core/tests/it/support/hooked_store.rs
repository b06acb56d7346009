//! A store before whose calls a test does something.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use keygate_core::store::{MemoryStore, StoreError};

use super::over_memory::OverMemory;

/// Is called with the name of the method and its arguments, as [`OverMemory::before`] has them.
type Hook = dyn Fn(String) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync;

/// Does what a test says before each call. Where that fails, the call fails and is not made.
#[derive(Clone)]
pub struct HookedStore {
    memory: MemoryStore,
    hook: Arc<Hook>,
    lists: u16,
}

impl HookedStore {
    /// A store over `memory`.
    pub fn new<F>(memory: MemoryStore, hook: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Self { memory, hook: Arc::new(move |call| Box::pin(hook(call))), lists: 1 }
    }

    /// The same, with so many lists of notices, of which the first has them all.
    pub fn with_lists_of_notices(self, lists: u16) -> Self {
        Self { lists, ..self }
    }
}

impl fmt::Debug for HookedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedStore").field("memory", &self.memory).finish_non_exhaustive()
    }
}

#[async_trait]
impl OverMemory for HookedStore {
    type Decided = ();

    fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    async fn before(&self, call: &(dyn Fn() -> String + Sync)) -> Result<(), StoreError> {
        (self.hook)(call()).await
    }

    async fn after(&self, (): ()) -> Result<(), StoreError> {
        Ok(())
    }

    fn lists_of_notices(&self) -> u16 {
        self.lists
    }
}
