//! The real `keygate` command, on real stores: what it prints, where, and how it ends.

#![allow(clippy::unwrap_used, clippy::panic)]

mod anomalies;
mod audit;
mod bulk;
mod completing;
mod creating;
mod creating_many;
mod doctor;
mod importing;
mod listing;
mod notices;
mod on_redis;
mod organizations;
mod owners;
mod pasting;
mod policies;
mod projects;
mod rotating;
mod sensitive;
mod server;
mod serving;
mod settings;
mod stopping;
mod support;
mod through_a_server;
mod updating;
mod usage;
mod verifying;
