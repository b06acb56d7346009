//! The end-to-end tests, in one program. What counts allocations is one of its own: `allocations.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod canary;
mod cold_path;
mod examples_run;
mod generated_echo;
mod limits;
mod revocation;
mod same_answer;
mod settings;
mod support;
mod usage;
