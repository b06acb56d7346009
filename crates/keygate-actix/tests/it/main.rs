//! The tests of the actix-web adapter, in one program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_key;
mod limits;
mod require_and_extract;
mod support;
mod usage;
