//! The store contract, over every way to Redis.

use keygate_redis::RedisStore;
use keygate_testkit::contract::Fresh;

use crate::support::{cluster, documented_commands, namespace, pool, sentinel, server, store_at, watch};

/// As a user who may run what the crate docs say is run, and nothing else.
async fn multiplexed_store() -> Fresh {
    let server = server().await;
    let user = ["ACL", "SETUSER", "limited", "on", ">word", "~*"];
    server.command::<()>(user.into_iter().chain(documented_commands())).await.unwrap();
    Fresh::new(store_at(&format!("redis://limited:word@{}", server.address()), namespace()))
}

async fn pooled_store() -> Fresh {
    Fresh::new(RedisStore::from_pool(pool(&server().await.url()), namespace()))
}

async fn cluster_store() -> Fresh {
    Fresh::new(store_at(&cluster().await.url(), namespace()))
}

async fn sentinel_store() -> Fresh {
    Fresh::new(store_at(&sentinel().await.url(), namespace()))
}

/// Over RESP3.
fn watched(store: RedisStore) -> Fresh {
    let heard = watch(&store);
    Fresh::new(store).keeping(heard)
}

async fn watched_store() -> Fresh {
    watched(store_at(&server().await.url(), namespace()))
}

async fn watched_sentinel_store() -> Fresh {
    watched(store_at(&sentinel().await.url(), namespace()))
}

async fn watched_cluster_store() -> Fresh {
    watched(store_at(&cluster().await.url(), namespace()))
}

async fn watched_pooled_store() -> Fresh {
    watched(RedisStore::from_pool(pool(&server().await.url()), namespace()))
}

keygate_testkit::store_contract!(multiplexed, multiplexed_store);
keygate_testkit::store_contract!(pooled, pooled_store);
keygate_testkit::store_contract!(clustered, cluster_store);
keygate_testkit::store_contract!(behind_sentinels, sentinel_store);
keygate_testkit::store_contract!(watched_and_told, watched_store);
keygate_testkit::store_contract!(watched_behind_sentinels, watched_sentinel_store);
keygate_testkit::store_contract!(watched_and_clustered, watched_cluster_store);
keygate_testkit::store_contract!(watched_and_pooled, watched_pooled_store);
