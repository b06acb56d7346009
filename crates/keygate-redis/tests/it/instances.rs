//! How many instances there are, as each of them is told.

use std::sync::Arc;
use std::time::Duration;

use keygate_core::coherence::Coherence;
use keygate_core::store::Store;
use keygate_redis::{Namespace, RedisStore};
use keygate_testkit::{FaultProxy, RedisServer};

use crate::support::{
    Heard, cluster, coherent, eventually, leased_at, namespace, pool, server, some_id, store_at, watch,
};

/// Short, so that whoever goes is soon not counted any more.
const H: Duration = Duration::from_millis(400);

struct Instance {
    store: RedisStore,
    _watcher: Arc<Heard>,
}

/// One that reads the store, and so is registered.
async fn instance_of(store: RedisStore) -> Instance {
    let watcher = watch(&store);
    store.load_record(some_id()).await.unwrap();
    Instance { store, _watcher: watcher }
}

async fn instance(url: &str, namespace: &Namespace) -> Instance {
    instance_of(leased_at(url, namespace.clone(), H)).await
}

async fn all_count(instances: &[Instance]) {
    let all = instances.len() as u64;
    for one in instances {
        eventually(&format!("{all} are counted"), || one.store.instances() == all).await;
    }
}

async fn counted_as_they_come_and_go(url: &str) {
    let namespace = namespace();
    let mut instances = vec![instance(url, &namespace).await];
    all_count(&instances).await;
    for _ in 0..2 {
        instances.push(instance(url, &namespace).await);
        all_count(&instances).await;
    }
    // It is registered until nobody would have to wait for it.
    instances.pop();
    all_count(&instances).await;
    instances.pop();
    all_count(&instances).await;
}

#[tokio::test]
async fn those_who_come_are_counted_and_those_who_have_gone_are_not() {
    counted_as_they_come_and_go(&server().await.url()).await;
}

#[tokio::test]
async fn in_a_cluster_they_are_counted_once_over_all_primaries() {
    counted_as_they_come_and_go(&cluster().await.url()).await;
}

#[tokio::test]
async fn those_over_pools_are_counted_with_the_others() {
    let (url, namespace) = (server().await.url(), namespace());
    let over_pool = || RedisStore::from_pool(pool(&url), namespace.clone()).with_lease(H).unwrap();
    assert_eq!(over_pool().instances(), 8, "before anybody is heard");
    all_count(&[instance(&url, &namespace).await, instance_of(over_pool()).await]).await;
}

#[tokio::test]
async fn who_is_not_watched_knows_of_nobody() {
    let store = store_at(&server().await.url(), namespace());
    store.load_record(some_id()).await.unwrap();
    assert_eq!(store.instances(), 1);
}

#[tokio::test]
async fn while_the_server_is_away_there_are_as_many_as_were_heard_of_last() {
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let namespace = namespace();
    let instances = [instance(&proxy.url(), &namespace).await, instance(&server.url(), &namespace).await];
    all_count(&instances).await;
    proxy.cut();
    let cut_off = &instances[0].store;
    coherent(cut_off, Coherence::Unreachable).await;
    assert_eq!(cut_off.instances(), 2);
    tokio::time::sleep(3 * H).await;
    assert_eq!(cut_off.instances(), 2);
}
