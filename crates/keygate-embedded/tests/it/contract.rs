//! The single-file store against the contract of every store.

use keygate_embedded::EmbeddedStore;
use keygate_testkit::contract::Fresh;

async fn embedded_store() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path().join("keys.redb")).unwrap();
    Fresh::new(store).keeping(directory)
}

keygate_testkit::store_contract!(embedded, embedded_store);
