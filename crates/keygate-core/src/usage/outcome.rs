//! What became of a request: the decision over its key, and the answer to it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::denial::DenialReason;

/// The decision over a known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request was let in.
    Admitted,
    /// It was not, for this reason.
    Denied(DenialReason),
}

/// How many outcomes there is room for.
pub(crate) const OUTCOMES: usize = 16;

impl Outcome {
    /// All that a key can come to, each at its place. The places are part of what is stored: they never change, and a new
    /// one is added at the end.
    pub const ALL: [Self; 14] = [
        Self::Admitted,
        Self::Denied(DenialReason::StoreUnavailable),
        Self::Denied(DenialReason::OrganizationSuspended),
        Self::Denied(DenialReason::ProjectSuspended),
        Self::Denied(DenialReason::KeyRevoked),
        Self::Denied(DenialReason::KeyInactive),
        Self::Denied(DenialReason::KeyNotYetValid),
        Self::Denied(DenialReason::KeyExpired),
        Self::Denied(DenialReason::EnvironmentMismatch),
        Self::Denied(DenialReason::IpNotAllowed),
        Self::Denied(DenialReason::ScopeNotAuthorized),
        Self::Denied(DenialReason::PermissionDenied),
        Self::Denied(DenialReason::RateLimitExceeded),
        Self::Denied(DenialReason::UserSuspended),
    ];

    /// Its place among [`ALL`](Self::ALL). `None` for what is said to those who have shown no key.
    #[must_use]
    pub fn place(self) -> Option<usize> {
        let Self::Denied(reason) = self else { return Some(0) };
        match reason {
            DenialReason::MissingKey
            | DenialReason::MultipleCredentials
            | DenialReason::MalformedKey
            | DenialReason::InvalidKey => None,
            DenialReason::StoreUnavailable => Some(1),
            DenialReason::OrganizationSuspended => Some(2),
            DenialReason::ProjectSuspended => Some(3),
            DenialReason::KeyRevoked => Some(4),
            DenialReason::KeyInactive => Some(5),
            DenialReason::KeyNotYetValid => Some(6),
            DenialReason::KeyExpired => Some(7),
            DenialReason::EnvironmentMismatch => Some(8),
            DenialReason::IpNotAllowed => Some(9),
            DenialReason::ScopeNotAuthorized => Some(10),
            DenialReason::PermissionDenied => Some(11),
            DenialReason::RateLimitExceeded => Some(12),
            DenialReason::UserSuspended => Some(13),
        }
    }

    /// `admitted`, or the word of the reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Denied(reason) => reason.as_str(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How an admitted request was answered: the class of its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answered {
    /// 1xx: the connection went over to another protocol.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx, or the handler failed without any answer.
    ServerError,
    /// Nobody waited for the answer.
    Cancelled,
}

/// How many kinds of answers there is room for.
pub(crate) const ANSWERS: usize = 8;

impl Answered {
    /// All of them, each at its place, which never changes.
    pub const ALL: [Self; 6] =
        [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError, Self::Cancelled];

    /// The class of an HTTP status. What is no status is a server's error.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            100..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// Its place among [`ALL`](Self::ALL).
    #[must_use]
    pub fn place(self) -> usize {
        self as usize
    }

    /// Whether it is counted among errors.
    #[must_use]
    pub fn is_error(self) -> bool {
        matches!(self, Self::ClientError | Self::ServerError)
    }

    /// `2xx` and so on, or `cancelled`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Answered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What is counted as an error of a key: a denial, or an answer of 4xx or 5xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The request was denied.
    Denied(DenialReason),
    /// It was answered so.
    Answered(Answered),
}

impl Failure {
    /// Its number, as it is stored: the place of the outcome, or 128 and the place of the answer.
    #[must_use]
    pub fn code(self) -> u8 {
        let code = match self {
            Self::Denied(reason) => Outcome::Denied(reason).place().unwrap_or_default(),
            Self::Answered(answered) => 128 + answered.place(),
        };
        u8::try_from(code).unwrap_or_default()
    }

    /// The one of this number; `None` where there is none.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        let place = usize::from(code & 127);
        if code >= 128 {
            return Answered::ALL.get(place).copied().map(Self::Answered);
        }
        match Outcome::ALL.get(place)? {
            Outcome::Denied(reason) => Some(Self::Denied(*reason)),
            Outcome::Admitted => None,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied(reason) => reason.as_str(),
            Self::Answered(answered) => answered.as_str(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_its_place_and_has_its_code() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.place(), Some(place));
            if let Outcome::Denied(reason) = outcome {
                let failure = Failure::Denied(reason);
                assert_eq!(Failure::of_code(failure.code()), Some(failure));
            }
        }
        for (place, answered) in Answered::ALL.into_iter().enumerate() {
            assert_eq!(answered.place(), place);
            let failure = Failure::Answered(answered);
            assert_eq!(Failure::of_code(failure.code()), Some(failure));
        }
        let unplaced = DenialReason::ALL.into_iter().filter(|reason| Outcome::Denied(*reason).place().is_none());
        assert_eq!(unplaced.count() + Outcome::ALL.len(), DenialReason::ALL.len() + 1);
        assert_eq!(Failure::of_code(0), None);
        const { assert!(Outcome::ALL.len() <= OUTCOMES && Answered::ALL.len() <= ANSWERS) };
    }
}
