//! The Redis store of keygate: standalone, Sentinel and Cluster, or a deadpool pool that is already there.
//!
//! ```no_run
//! # fn example() -> Result<(), keygate_redis::SettingsError> {
//! use keygate_redis::{RedisSettings, RedisStore};
//!
//! let store = RedisStore::connect("redis://127.0.0.1:6379".parse::<RedisSettings>()?);
//! # let _ = store;
//! # Ok(())
//! # }
//! ```
//!
//! Making a store needs no server: each call connects when it must, fails with
//! [`StoreError::Unavailable`](keygate_core::store::StoreError::Unavailable) while the server is away, and works again
//! when it is back. See [`RedisSettings`] for the forms of an address and [`RedisStore`] for how changes are kept whole.
//!
//! It needs Redis 6.2 or later; use one with the fix of CVE-2025-49844 (8.2.2, and the back-ports of that day). An ACL may limit its
//! user to the names of its namespace, `kg` by default, and to what it runs:
//!
//! ```text
//! ACL SETUSER keygate on >PASSWORD ~kg:*
//!   +get +mget +set +del +unlink +getrange +setrange +bitfield +exists +pexpire +pexpireat
//!   +hget +hmget +hgetall +hlen +hexists +hset +hdel +hincrby
//!   +zadd +zrem +zcard +zcount +zscore +zmscore +zrange +zrevrange +zrangebyscore +zrangebylex +zremrangebyrank
//!   +sadd +scard +sismember +smismember +smembers +pfadd +pfcount
//!   +xadd +xrange +xrevrange +xtrim +xsetid
//!   +time +eval +evalsha +scan +ping +client|tracking
//! ```
//!
//! Behind Sentinels it needs `+role`, too, and in a Cluster `+cluster`. With `+client|tracking`, and a server that speaks RESP3
//! (HELLO, which needs no permission), who watches a store is told of changes; else what was read is believed for the length of
//! the [lease](RedisSettings::with_lease), whatever changes. An [examination](keygate_core::store::Store::examine) also asks INFO
//! and CONFIG|GET, and says so where it may not.
//!
//! Over a Cluster, a store that is watched has one connection more to each primary, at the address that CLUSTER SLOTS gives.
//! What is read of a primary is believed under a lease of its own, so losing one disturbs the others no more than the Cluster
//! does itself; `cluster-require-full-coverage no` keeps it from that. While a slot moves, what is read of its two primaries
//! is read anew with each change, and what is on the way is not kept.
//!
//! Its `maxmemory-policy` must be `noeviction`, which is the default: a server that evicts forgets keys, and with an
//! organization's record that it is suspended; one that evicts only what has an end forgets the word that keys were revoked,
//! what keeps late writes from landing, and what was granted of limits. In a Cluster the clocks of the primaries must agree within the
//! [reservation](RedisStore::with_reservation), 30 s by default.
//!
//! Redis acknowledges a write before its replicas have it, so a failover can lose the last moments' writes, and a
//! primary that was cut off takes writes until it learns that it is none. `min-replicas-to-write 1` bounds the second; a
//! primary that refuses heartbeats for it is not believed by those who watch once the lease has lapsed. In a Cluster one that
//! is cut off from the others takes writes for about `cluster-node-timeout` besides, and is believed as long.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod coherence;
mod examine;
mod layout;
mod link;
mod pending;
mod scripts;
mod settings;
mod store;

pub use deadpool_redis::{self, Pool};

pub use layout::{Layout, Namespace, NamespaceError};
pub use settings::{RedisSettings, SettingsError};
pub use store::RedisStore;
