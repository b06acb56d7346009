//! The tests of the Redis store, in one program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod cluster;
mod cluster_losses;
mod cluster_moves;
mod connection;
mod contract;
mod crash;
mod everywhere;
mod examine;
mod failover;
mod hostile;
mod instances;
mod layout;
mod lease;
mod limits;
mod once;
mod operator_key;
mod quota;
mod support;
mod time_bound;
mod told;
mod year;
