//! What becomes of keys with time, in Redis, with instances that each have a connection of their own.

use std::sync::Arc;

use keygate_core::store::Store;
use keygate_testkit::HeldClock;
use keygate_testkit::year::Year;

use crate::support::{cluster, namespace, server, store_at};

async fn months_over(url: &str) {
    let (clock, namespace) = (HeldClock::new(), namespace());
    let instance = || Arc::new(store_at(url, namespace.clone())) as Arc<dyn Store>;
    let workers = (0..3).map(|_| instance()).collect();
    Year { keys: 30, days: 60, interval_days: 10, intervals: 12 }.pass(&clock, instance(), workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_with_workers_that_crash_lock_nobody_out() {
    months_over(&server().await.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_they_in_a_cluster() {
    months_over(&cluster().await.url()).await;
}
