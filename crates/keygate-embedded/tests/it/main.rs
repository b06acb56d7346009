//! The tests of the single-file store, in one program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anomalies;
mod coherence;
mod contract;
#[cfg(unix)]
mod crash;
mod ends;
mod memos;
mod opening;
mod reopen;
mod unreadable;
mod usage;
mod verify;
mod year;
