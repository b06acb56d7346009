//! What becomes of keys with time, in a file.

use std::sync::Arc;

use keygate_core::store::Store;
use keygate_embedded::EmbeddedStore;
use keygate_testkit::HeldClock;
use keygate_testkit::year::Year;

/// All workers of a file are in one process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_with_workers_that_crash_lock_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let clock = HeldClock::new();
    let store = Arc::new(EmbeddedStore::open_with_clock(directory.path().join("keys.redb"), clock.clone()).unwrap());
    let workers = (0..3).map(|_| Arc::clone(&store) as Arc<dyn Store>).collect();
    let year = Year { keys: 40, days: 70, interval_days: 10, intervals: 12 };
    year.pass(&clock, Arc::clone(&store) as Arc<dyn Store>, workers).await;
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
}
