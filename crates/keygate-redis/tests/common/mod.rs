//! What the tests of the Redis store share: servers that live as long as the test process, and stores in them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use keygate_redis::{Namespace, Pool, RedisSettings, RedisStore};
use keygate_testkit::{RedisCluster, RedisSentinel, RedisServer, sample};
use tokio::sync::OnceCell;

/// A namespace that nobody else uses.
pub(crate) fn namespace() -> Namespace {
    let random = u64::from_be_bytes(sample::random());
    Namespace::new(format!("t{random:016x}")).unwrap()
}

/// One server for all tests of the process.
pub(crate) async fn server() -> &'static RedisServer {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    SERVER.get_or_init(|| async { RedisServer::start().await.unwrap() }).await
}

/// One Cluster for all tests of the process.
pub(crate) async fn cluster() -> &'static RedisCluster {
    static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
    CLUSTER.get_or_init(|| async { RedisCluster::start().await.unwrap() }).await
}

/// One set of Sentinels for all tests of the process.
pub(crate) async fn sentinel() -> &'static RedisSentinel {
    static SENTINEL: OnceCell<RedisSentinel> = OnceCell::const_new();
    SENTINEL.get_or_init(|| async { RedisSentinel::start().await.unwrap() }).await
}

/// A store at this address, in this namespace.
pub(crate) fn store_at(url: &str, namespace: Namespace) -> RedisStore {
    RedisStore::connect(url.parse::<RedisSettings>().unwrap().with_namespace(namespace))
}

/// A pool of eight connections to this address.
pub(crate) fn pool(url: &str) -> Pool {
    let config = deadpool_redis::Config::from_url(url);
    config.builder().unwrap().max_size(8).runtime(deadpool_redis::Runtime::Tokio1).build().unwrap()
}
