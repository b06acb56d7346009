//! What is unusual in the use of keys, found in what was counted and never in the path of a request.
//!
//! # How a finding comes about
//!
//! - The recorder of [usage](crate::usage) empties the meters each second and hands what it found, key by key, to the
//!   `sentry`, as a `sighting`: how many requests and errors, from which networks and places, for which scopes. What waits is
//!   bounded; what there is no room for is dropped and counted.
//! - The sentry keeps an `acquaintance` of each key it sees: what is needed to say that nothing is unusual, which is nearly
//!   always, without asking the store.
//! - What may be unusual is judged by [`rules`] from what the whole fleet counted: the store's account of the key, and its
//!   [`habits`], the networks, places and scopes it is used with. Several instances learn these together, by
//!   compare-and-set, so that the first use of something is found by one of them.
//! - A [`finding`] has an id made of its cause and its day. The store keeps each id once, and whoever recorded it tells of
//!   it: in the log (target `keygate::anomaly`), to the hook of the manager, and, where the operator chose so, by
//!   suspending the key.
//!
//! # What it costs
//!
//! Nothing in the path of a request. Beside it, for each key that was used in a second, a few microseconds; the first time
//! an instance sees a key, one or two reads of the store; after that a read when something may be unusual, and a write of the habits
//! when they change, or about once a week. In the store, some 30 bytes a key and 11 for each network, place and scope; in an
//! instance at most 100,000 keys, some 700 bytes each, and 5.5 kB for one that is used from everywhere.
//!
//! # What goes wrong
//!
//! When the store fails, what was seen is not examined, or later; nobody's request and nobody's figures depend on it.
//! Instances that stop forget what they had not examined: a second or so.

mod acquaintance;
pub mod finding;
pub mod habits;
mod kept;
mod policy;
pub mod rules;
mod sentry;
mod sighting;
mod statistics;
#[cfg(test)]
mod traces;

pub use self::finding::{Finding, FindingCursor, FindingId, Rule};
pub(crate) use self::kept::KeptFindings;
pub use self::policy::AnomalyPolicy;
pub(crate) use self::sentry::{Hand, Sentry};
pub use self::statistics::AnomalyStatistics;
