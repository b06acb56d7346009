//! Sends keygate's notices to webhooks, signed as the [Standard Webhooks](https://www.standardwebhooks.com) have it.
//!
//! A [`WebhookClient`] is handed to a manager's builder; from then on organizations can have webhooks, and an instance that
//! runs schedules sends to them. Which notices there are, how long they are tried and what is kept of them is told in
//! [`keygate_core::notice`].
//!
//! # What a receiver gets
//!
//! A `POST` of `application/json` with the notice's [payload](keygate_core::notice::Notice::payload), and three fields:
//! [`webhook-id`](WEBHOOK_ID), by which one that comes twice is known; [`webhook-timestamp`](WEBHOOK_TIMESTAMP), when it was
//! sent; and [`webhook-signature`](WEBHOOK_SIGNATURE), for each secret `v1,` and the base64 of an HMAC-SHA256 over
//! `{id}.{timestamp}.{body}`, the newest secret's first. Every library of the Standard Webhooks verifies it with the secret's
//! text, `whsec_...`.
//!
//! # What its answer means
//!
//! | Answer | What becomes of the notice |
//! |---|---|
//! | 2xx | It was taken. What follows the head of the answer is not read. |
//! | 410 | The webhook is disabled. |
//! | 429, 503 | It is tried again, not before what `Retry-After` says. |
//! | any other, none in time, no connection | It is tried again. Redirects are not followed. |
//!
//! # Where it sends
//!
//! Whoever may make a webhook chooses where this process connects to. So it connects to public addresses alone, over
//! `https`, and to no other unless [that is allowed](WebhookClientBuilder::allow_private):
//!
//! - An address whose host is a number, in whatever spelling, is refused when the webhook is made, and so are names that are
//!   never public (`localhost`, `.local`, `.internal`), a user or a password, and a fragment.
//! - A name is resolved whenever a connection is made. What is not public of what it stands for is dropped, and the connection
//!   goes to one of the addresses that are left, which are not asked for a second time. Loopback, private, shared, link-local
//!   (with what clouds tell their machines), multicast, documentation and reserved networks are not public, nor are addresses
//!   of IPv6 that carry such an address within.
//! - Why nothing could be sent is told without addresses, without what the answer held, and in the same words for a name that
//!   is not known as for one that is not public: it is no means to look into the network that this runs in.
//!
//! Addresses that are public and yet one's own, and NAT64 under a prefix of one's own, are not known here: keep them from this
//! process by a firewall, or by a [proxy](WebhookClientBuilder::proxy) that everything goes through.
//!
//! # Example
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use keygate_core::manager::ApiKeyManager;
//! use keygate_core::ring::{MasterSecret, SecretRing};
//! use keygate_core::store::MemoryStore;
//! use keygate_webhooks::WebhookClient;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let webhooks = WebhookClient::builder().timeout(Duration::from_secs(10)).build()?;
//! let ring = SecretRing::new(&MasterSecret::generate()?);
//! let manager = ApiKeyManager::builder(MemoryStore::new(), ring).webhooks(webhooks).build()?;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod address;
mod answer;
mod builder;
mod client;
mod resolve;
mod sign;
mod target;
mod tls;
mod trouble;

#[cfg(test)]
#[path = "../tests/it/support/mod.rs"]
mod support;

pub use builder::{ANSWER_TIMEOUT, BuildError, CONNECT_TIMEOUT, WebhookClientBuilder};
pub use client::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, WebhookClient};
