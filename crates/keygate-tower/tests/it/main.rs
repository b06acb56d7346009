//! The tests of the tower layers, in one program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_key;
#[cfg(feature = "axum")]
mod axum;
mod limits;
mod logs;
mod readiness;
mod require;
mod support;
#[cfg(feature = "tonic")]
mod tonic;
mod usage;
