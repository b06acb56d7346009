//! How a denial reads on the wire.
//!
//! [`Answer`] holds a denial's status, headers and body in plain types; an adapter copies them into a response of its
//! framework. The mapping is the same everywhere:
//!
//! | reasons | status | gRPC |
//! |---|---|---|
//! | `multiple_credentials` | 400 | 3 `INVALID_ARGUMENT` |
//! | `missing_key`, `malformed_key`, `invalid_key`, `key_inactive`, `key_revoked`, `key_expired`, `key_not_yet_valid`, `environment_mismatch` | 401 | 16 `UNAUTHENTICATED` |
//! | `organization_suspended`, `project_suspended`, `user_suspended`, `ip_not_allowed`, `scope_not_authorized`, `permission_denied` | 403 | 7 `PERMISSION_DENIED` |
//! | `rate_limit_exceeded` | 429 | 8 `RESOURCE_EXHAUSTED` |
//! | `store_unavailable` | 503 | 14 `UNAVAILABLE` |
//!
//! A limit that is used up is told of in [`RateLimit-Policy` and `RateLimit`](crate::rate_limit) too, and in
//! `violated-policies` of the body. `Retry-After` is the longest of the waits where several are used up. A request that costs
//! more than a limit has none: it is never let in, as its `detail` says.
//!
//! # Example
//!
//! ```
//! use keygate_core::denial::{Denial, DenialReason};
//! use keygate_http::answer::{Answer, Realm};
//!
//! let answer = Answer::new(&Denial::new(DenialReason::KeyExpired), &Realm::default());
//!
//! assert_eq!(answer.status, 401);
//! assert_eq!(
//!     answer.header("www-authenticate"),
//!     Some(r#"Bearer realm="keygate", error="invalid_token", error_description="The API key has expired.""#),
//! );
//! assert_eq!(
//!     String::from_utf8(answer.body)?,
//!     r#"{"type":"urn:keygate:problem:key_expired","title":"API key expired","status":401,"detail":"The API key has expired.","reason":"key_expired"}"#,
//! );
//! # Ok::<(), std::string::FromUtf8Error>(())
//! ```

mod challenge;
mod problem;
mod status;

use std::borrow::Cow;
use std::time::Duration;

pub use challenge::{Realm, RealmError};
use keygate_core::denial::{Denial, DenialReason};
pub use problem::Problem;
pub use status::{grpc_code, status};

use crate::rate_limit::{self, RATE_LIMIT, RATE_LIMIT_POLICY};

/// A response to a request that was not let in. See the [module docs](self) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers: names in lower case, no name twice, values of printable ASCII.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body: a problem in JSON (RFC 9457).
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer to this denial, within this realm.
    #[must_use]
    pub fn new(denial: &Denial, realm: &Realm) -> Self {
        let problem = Problem::new(denial);
        let mut headers = Vec::with_capacity(5);
        headers.push(("content-type", Cow::Borrowed("application/problem+json")));
        // No cache may answer the next caller with this one's denial, or this caller's next attempt.
        headers.push(("cache-control", Cow::Borrowed("no-store")));
        if let Some(challenge) = challenge::challenge(denial, realm) {
            headers.push(("www-authenticate", challenge.into()));
        }
        if let Some(seconds) = retry_after_seconds(denial) {
            headers.push(("retry-after", seconds.to_string().into()));
        }
        if let Some(exceeded) = denial.exceeded() {
            if !exceeded.policies.is_empty() {
                let policies = rate_limit::policies(&exceeded.policies);
                headers.push((RATE_LIMIT_POLICY, String::from_utf8_lossy(&policies).into_owned().into()));
            }
            if let Some(violated) = rate_limit::violated(&exceeded.violated, exceeded.is_permanent) {
                headers.push((RATE_LIMIT, violated.into()));
            }
        }
        Self { status: problem.status(), headers, body: problem.to_json() }
    }

    /// The same, with no word of limits in its headers but `Retry-After`.
    #[must_use]
    pub fn without_rate_limit(mut self) -> Self {
        self.headers.retain(|(name, _)| ![RATE_LIMIT_POLICY, RATE_LIMIT].contains(name));
        self
    }

    /// The value of the header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_ref())
    }
}

/// In how many whole seconds to try again, rounded up, so that a client that waits is not early. Only limits and
/// trouble pass with time; of trouble nobody knows how long, and a second is better than at once. Of several limits it is the
/// longest of what `RateLimit` tells of each.
#[must_use]
pub fn retry_after_seconds(denial: &Denial) -> Option<u64> {
    let round_up = |wait: Duration| rate_limit::seconds(wait).max(1);
    match denial.reason() {
        DenialReason::RateLimitExceeded => {
            let violated = denial.exceeded().map_or(&[][..], |exceeded| &exceeded.violated);
            let longest = violated.iter().map(rate_limit::reset).max();
            denial.wait().map(|wait| longest.map_or_else(|| round_up(wait), |longest| longest.max(1)))
        }
        DenialReason::StoreUnavailable => Some(denial.wait().map_or(1, round_up)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_a_problem_that_no_cache_keeps() {
        for reason in DenialReason::ALL {
            let answer = Answer::new(&Denial::new(reason), &Realm::default());
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["status"], answer.status);
            assert_eq!(body["reason"], reason.as_str());
            assert_eq!(body["detail"], &*Denial::new(reason).detail());
            assert!(body["type"].as_str().is_some_and(|uri| uri.contains(':')));
        }
    }

    #[test]
    fn a_wait_is_rounded_up_and_told_for_limits_and_trouble_only() {
        let retry_after = |reason, millis| {
            let denial = Denial::new(reason).retry_after(Duration::from_millis(millis));
            Answer::new(&denial, &Realm::default()).header("retry-after").map(ToOwned::to_owned)
        };
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            assert_eq!(retry_after(DenialReason::RateLimitExceeded, millis).as_deref(), Some(seconds));
            assert_eq!(retry_after(DenialReason::StoreUnavailable, millis).as_deref(), Some(seconds));
        }
        assert_eq!(retry_after(DenialReason::InvalidKey, 1000), None);

        let without = |reason| Answer::new(&Denial::new(reason), &Realm::default()).header("retry-after").is_some();
        assert!(without(DenialReason::StoreUnavailable));
        assert!(!without(DenialReason::RateLimitExceeded));
    }
}
