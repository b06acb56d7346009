//! The tests of the sender of notices, in one program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod log;
mod sending;
mod support;
