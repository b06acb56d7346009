//! The tests of the management API, in one program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access_log;
mod anomalies;
mod audit;
mod authorize;
mod bulk;
mod changing;
mod document;
mod document_of_requests;
#[cfg(target_os = "linux")]
mod forward_auth;
#[cfg(target_os = "linux")]
mod forward_auth_nginx;
#[cfg(target_os = "linux")]
mod forward_auth_others;
mod health;
mod idempotency;
mod importing;
mod keys;
mod limits;
mod listing;
mod metrics;
mod missing;
mod notices;
mod organizations;
mod owasp;
mod own;
mod owners;
mod pages;
mod policies;
mod projects;
mod rate_limits;
mod refusing;
mod rotation;
mod sensitive;
mod support;
mod usage;
mod verify;
mod verify_log;
mod who_may;
