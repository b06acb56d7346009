//! What keygate's tests stand on: servers, a fault proxy, a held clock, the store contract.
//!
//! Everything here is real: a [`RedisServer`] is a `redis-server` process on a port of its own, a
//! [`RedisCluster`] and a [`RedisSentinel`] are several of them, and a [`FaultProxy`] breaks the
//! connection between a client and any of them on request.
//!
//! ```no_run
//! # async fn example() -> Result<(), keygate_testkit::TestkitError> {
//! use keygate_testkit::{FaultProxy, RedisServer};
//!
//! let server = RedisServer::start().await?;
//! let proxy = FaultProxy::start(server.address())?;
//! // ... connect a store to `proxy.url()` ...
//! proxy.drop_next_reply(); // the next command runs, and looks failed to the client
//! # Ok(())
//! # }
//! ```
//!
//! # What every test may rely on
//! - Dropping a value stops its processes and waits for them; a test process that is killed takes
//!   its servers with it.
//! - Tests may run at the same time, in one process or in many: no two servers share a port.
//! - Waiting is done against the real clock on threads of its own, so a test may pause tokio's.
//!
//! The process side needs a Unix system with `sh`; `scripts/test.sh` installs `redis-server`.

#![forbid(unsafe_code)]

pub mod contract;
mod error;
mod fault;
mod fault_proxy;
mod faulty_store;
mod faulty_word;
mod given_up_after;
mod guarded_process;
mod heard;
mod held_clock;
pub mod log;
mod port;
mod proxy_connection;
mod redis_address;
mod redis_cluster;
mod redis_cluster_node;
mod redis_config;
mod redis_dump;
mod redis_process;
mod redis_sentinel;
mod redis_server;
mod resp;
pub mod sample;
mod waiting;
pub mod year;

pub use error::TestkitError;
pub use fault_proxy::{FaultProxy, ProxyCounts};
pub use faulty_store::{FaultyStore, StoreCalls};
pub use given_up_after::GivenUpAfter;
pub use guarded_process::GuardedProcess;
pub use heard::Heard;
pub use held_clock::HeldClock;
pub use port::PortLease;
pub use redis_cluster::{RedisCluster, RedisClusterBuilder};
pub use redis_config::RedisServerBuilder;
pub use redis_dump::{DumpEntry, RedisDump};
pub use redis_sentinel::{RedisSentinel, RedisSentinelBuilder};
pub use redis_server::RedisServer;
