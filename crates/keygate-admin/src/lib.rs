//! The management API of keygate, as an axum router to run by itself (`keygate serve`) or to mount in an application.
//!
//! ```
//! use axum::Router;
//! # use keygate_core::{manager::ApiKeyManager, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! let app: Router = Router::new().nest("/keys", keygate_admin::router(manager));
//! # Ok(())
//! # }
//! ```
//!
//! Everything under `/v1` needs a key, which keygate's own layer checks: an operator's, of the organization `system`, or a
//! tenant's, which reaches its own organization alone. Which calls a key may make is a matter of its permissions
//! ([`ManagementPermission`](keygate_core::actor::ManagementPermission)), what it may hand out of its `grantable` patterns.
//! Calls, fields and answers are described by the document at `/openapi.json`. Keys are rotated by their schedules where
//! somebody runs these, as `keygate serve` does: see
//! [`ApiKeyManager::start_scheduler`](keygate_core::manager::ApiKeyManager::start_scheduler).
//!
//! | room | answers |
//! |---|---|
//! | `admin` | what is an instance of the API made of, and what is it allowed? |
//! | `caller` | who calls, and may they? |
//! | `cost` | what may a request cost? |
//! | `limits`, `left` | which limits are asked for, and what is left of them? |
//! | `body`, `fields`, `etag`, `idempotency`, `location`, `problem` | how do requests and answers read? |
//! | `openapi`, `schema` | how are the calls and their shapes described? |
//! | `middleware` | what does every request pass: its line in the log, its limits |
//! | `probe`, `ending`, `metrics` | can keys be checked here, and how does it go? |
//! | `routes` | one file for each group of calls, and for the pages |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod admin;
mod body;
mod caller;
mod cost;
mod ending;
mod etag;
mod fields;
mod idempotency;
mod left;
mod limits;
mod location;
mod metrics;
mod middleware;
mod openapi;
mod probe;
mod problem;
mod routes;
mod schema;

pub use admin::Admin;
pub use ending::Ending;
pub use problem::Problem;

/// The management API over a manager, with the default settings: see [`Admin`].
pub fn router(manager: keygate_core::manager::ApiKeyManager) -> axum::Router {
    Admin::new(manager).router()
}
