//! The memory store against the contract of every store.

use keygate_core::store::MemoryStore;
use keygate_testkit::contract::Fresh;

async fn memory_store() -> Fresh {
    Fresh::new(MemoryStore::new())
}

keygate_testkit::store_contract!(memory, memory_store);
