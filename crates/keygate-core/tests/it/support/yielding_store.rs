//! A store that answers no call at once, so that a future can be dropped before and after each of them.

use async_trait::async_trait;
use keygate_core::store::{MemoryStore, StoreError};
use tokio::task::yield_now;

use super::over_memory::OverMemory;

/// Gives way before each call and after it.
#[derive(Debug, Clone)]
pub struct YieldingStore(pub MemoryStore);

#[async_trait]
impl OverMemory for YieldingStore {
    type Decided = ();

    fn memory(&self) -> &MemoryStore {
        &self.0
    }

    async fn before(&self, _: &(dyn Fn() -> String + Sync)) -> Result<(), StoreError> {
        yield_now().await;
        Ok(())
    }

    async fn after(&self, (): ()) -> Result<(), StoreError> {
        yield_now().await;
        Ok(())
    }
}
