//! What the log says of a refusal.

use std::net::IpAddr;

use keygate_core::denial::{Denial, DenialReason};

use crate::answer::{Answer, Realm};

/// Writes a refusal to the log, and gives the answer to it.
///
/// Strangers can make any number of refusals, so they are worth a line only to those who ask for it. A word of ours
/// and a UUID are all that is written: nothing of it comes from the request.
#[must_use]
pub fn refuse(denial: &Denial, realm: &Realm) -> Answer {
    let reason = denial.reason().as_str();
    match (denial.key_id(), denial.reason()) {
        (Some(key_id), _) => tracing::info!(reason, %key_id, "request refused"),
        (None, DenialReason::StoreUnavailable) => tracing::info!(reason, "request refused"),
        (None, _) => tracing::debug!(reason, "request refused"),
    }
    Answer::new(denial, realm)
}

/// The same, with no word of limits in its headers where `tells_limits` is false.
pub(super) fn refuse_telling(denial: &Denial, realm: &Realm, tells_limits: bool) -> Answer {
    let answer = refuse(denial, realm);
    if tells_limits { answer } else { answer.without_rate_limit() }
}

/// Says in the log that no gate stands where one must: `what` is what a request that none has seen was to meet.
pub(super) fn missing(outer: &str, what: &str) {
    tracing::error!("{outer} is missing: {what} a request that none has seen");
}

/// Says in the log what nobody can see from outside: a key bound to networks was refused because the server does not
/// know addresses. `peer` is what [`Gate::judge`](super::Gate::judge) was given, and `hint` where to look for the cause.
pub fn explain(denial: &Denial, peer: Option<IpAddr>, hint: &str) {
    // With a peer there is an address: forwarding headers can change which one, and not that there is one.
    if denial.reason() == DenialReason::IpNotAllowed && peer.is_none() {
        tracing::warn!("a key bound to networks was refused because the client's address is not known; {hint}");
    }
}
