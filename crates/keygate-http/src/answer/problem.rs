//! The body of an answer: a problem (RFC 9457).

use std::borrow::Cow;

use keygate_core::denial::{Denial, DenialReason};
use serde::Serialize;

use super::status::status;

/// A problem in the form of RFC 9457, with the stable `reason` beside it. Clients branch on `reason` or `type`;
/// `title` and `detail` are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    title: &'static str,
    status: u16,
    detail: Cow<'static, str>,
    reason: DenialReason,
    /// The names of the limits that had no room; of the type for limits alone.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    violated: Option<Vec<String>>,
}

impl Problem {
    /// The problem this denial is.
    #[must_use]
    pub fn new(denial: &Denial) -> Self {
        let reason = denial.reason();
        Self {
            kind: kind(reason),
            title: title(reason),
            status: status(reason),
            detail: denial.detail(),
            reason,
            violated: (reason == DenialReason::RateLimitExceeded).then(|| violated(denial)),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The problem as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and a number into memory: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// As they stand in `RateLimit-Policy`.
fn violated(denial: &Denial) -> Vec<String> {
    let violated = denial.exceeded().map_or(&[][..], |exceeded| &exceeded.violated);
    violated.iter().map(|standing| standing.policy.to_string()).collect()
}

/// A URI that names the kind of problem. It is a name and nothing to be fetched. Limits have one that other
/// implementations know (IANA, HTTP Problem Types).
fn kind(reason: DenialReason) -> Cow<'static, str> {
    match reason {
        DenialReason::RateLimitExceeded => "https://iana.org/assignments/http-problem-types#quota-exceeded".into(),
        _ => format!("urn:keygate:problem:{reason}").into(),
    }
}

fn title(reason: DenialReason) -> &'static str {
    match reason {
        DenialReason::MissingKey => "API key required",
        DenialReason::MultipleCredentials => "More than one credential",
        DenialReason::MalformedKey => "Malformed API key",
        DenialReason::InvalidKey => "Invalid API key",
        DenialReason::KeyInactive => "API key deactivated",
        DenialReason::KeyRevoked => "API key revoked",
        DenialReason::KeyExpired => "API key expired",
        DenialReason::KeyNotYetValid => "API key not yet valid",
        DenialReason::EnvironmentMismatch => "API key of another environment",
        DenialReason::OrganizationSuspended => "Organization suspended",
        DenialReason::ProjectSuspended => "Project suspended",
        DenialReason::UserSuspended => "User suspended",
        DenialReason::IpNotAllowed => "Address not allowed",
        DenialReason::ScopeNotAuthorized => "Scope not authorized",
        DenialReason::PermissionDenied => "Permission denied",
        // The title that is registered with the type.
        DenialReason::RateLimitExceeded => "Request cannot be satisfied as assigned quota has been exceeded",
        DenialReason::StoreUnavailable => "API keys cannot be checked",
        _ => "Request not admitted",
    }
}
