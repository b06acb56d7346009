//! The domain of keygate: key text, secret ring, records, checks, store traits and the manager.
//!
//! It knows no framework, no Redis and no HTTP. Most people depend on the `keygate` crate, which re-exports this one.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod actor;
pub mod anomaly;
pub mod audit;
mod cache;
pub mod check;
pub mod clock;
pub mod coherence;
mod complaints;
pub mod context;
pub mod denial;
pub mod governance;
mod hex_id;
pub mod import;
pub mod key;
pub mod lifecycle;
pub mod limiter;
pub mod limits;
pub mod manager;
pub mod names;
pub mod network;
pub mod notice;
mod patience;
pub mod record;
pub mod ring;
pub mod scope;
pub mod store;
mod striped;
mod unique;
pub mod usage;
pub mod verifier;
