//! The tests of what all adapters share, in one program. What is counted for the whole process is tested in one
//! of its own: `metrics.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client_address;
mod credentials;
mod gate;
mod limits;
#[cfg(feature = "maxmind")]
mod maxmind;
mod span;
mod support;
mod usage;
