//! The HTTP vocabulary of keygate, with no framework type in it.
//!
//! An adapter (`keygate-tower`, `keygate-actix`) turns a request into a question to the manager and a denial into a
//! response. What both need is here, once, so that every adapter gives the same answer: what is to become of a request
//! ([`gate`]), and what that rests on, namely where a credential may stand ([`credentials`]), whose address counts
//! behind proxies ([`client_address`]) and where that is ([`location`]), which requests are CORS preflights ([`preflight`]),
//! how a denial reads on the wire ([`answer`]), and what clients are told of limits ([`rate_limit`]) and of keys that were
//! rotated ([`deprecation`]). What is counted of a
//! request is told by [`gate`]; how figures get to where they are watched, by [`metrics`]. actix-web speaks another version of
//! the `http` crate than axum and tonic, so nothing here names one of its types: a request's header lines are read through the
//! small trait in [`headers`].
//!
//! # What is counted
//!
//! Every request of a key, once when it is decided over and once when it is answered: its outcome, its endpoint (the pattern
//! of its route, never a path), the client's address and where that is, and the class of the status. Only known keys have
//! figures of their own; [`gate`] has the particulars.
//!
//! # Features
//!
//! - `maxmind`: locations from a database in MaxMind's format.
//! - `metrics`: what is decided and answered is told to the `metrics` facade.
//!
//! # Example
//!
//! ```
//! use keygate_http::answer::{Answer, Realm};
//! use keygate_http::credentials::CredentialSources;
//!
//! let sources = CredentialSources::default();
//! let request = [("Authorization", "Bearer mcp_dev_abc"), ("X-API-Key", "mcp_dev_abc")];
//!
//! let denial = sources.read(&request[..], None).unwrap_err();
//! let answer = Answer::new(&denial, &Realm::default());
//! assert_eq!(answer.status, 400);
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answer;
pub mod client_address;
pub mod credentials;
pub mod deprecation;
pub mod gate;
pub mod headers;
pub mod location;
pub mod metrics;
pub mod preflight;
pub mod rate_limit;
