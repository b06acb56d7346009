//! The tests of the test tools, in one program. What looks at every child of its process is one of its own:
//! `leftovers.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract_bites;
mod fault_proxy;
mod faulty_store;
mod redis_cluster;
mod redis_sentinel;
mod redis_server;
