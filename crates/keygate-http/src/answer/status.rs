//! A reason as a number: the HTTP status and the gRPC code.

use keygate_core::denial::DenialReason;

/// The HTTP status of a denial for this reason.
///
/// A reason this version does not know yet is a 403: neither an invitation to log in again nor to try later.
#[must_use]
pub fn status(reason: DenialReason) -> u16 {
    match reason {
        DenialReason::MultipleCredentials => 400,
        DenialReason::MissingKey
        | DenialReason::MalformedKey
        | DenialReason::InvalidKey
        | DenialReason::KeyInactive
        | DenialReason::KeyRevoked
        | DenialReason::KeyExpired
        | DenialReason::KeyNotYetValid
        | DenialReason::EnvironmentMismatch => 401,
        DenialReason::RateLimitExceeded => 429,
        DenialReason::StoreUnavailable => 503,
        _ => 403,
    }
}

/// The gRPC status code of a denial for this reason.
#[must_use]
pub fn grpc_code(reason: DenialReason) -> u8 {
    match status(reason) {
        400 => 3,
        401 => 16,
        429 => 8,
        503 => 14,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract of HTTP_API.md, reason by reason.
    const CONTRACT: [(DenialReason, u16, u8); 17] = [
        (DenialReason::MissingKey, 401, 16),
        (DenialReason::MultipleCredentials, 400, 3),
        (DenialReason::MalformedKey, 401, 16),
        (DenialReason::InvalidKey, 401, 16),
        (DenialReason::KeyInactive, 401, 16),
        (DenialReason::KeyRevoked, 401, 16),
        (DenialReason::KeyExpired, 401, 16),
        (DenialReason::KeyNotYetValid, 401, 16),
        (DenialReason::EnvironmentMismatch, 401, 16),
        (DenialReason::OrganizationSuspended, 403, 7),
        (DenialReason::ProjectSuspended, 403, 7),
        (DenialReason::UserSuspended, 403, 7),
        (DenialReason::IpNotAllowed, 403, 7),
        (DenialReason::ScopeNotAuthorized, 403, 7),
        (DenialReason::PermissionDenied, 403, 7),
        (DenialReason::RateLimitExceeded, 429, 8),
        (DenialReason::StoreUnavailable, 503, 14),
    ];

    #[test]
    fn every_reason_has_the_status_and_code_of_the_contract() {
        for reason in DenialReason::ALL {
            let found = CONTRACT.iter().find(|(listed, ..)| *listed == reason);
            assert_eq!(found, Some(&(reason, status(reason), grpc_code(reason))));
        }
    }
}
