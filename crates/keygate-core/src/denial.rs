//! Why a request was not let in.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::key::KeyId;
use crate::limiter::Exceeded;
use crate::scope::Scope;

/// The stable word for why a request was not let in. The words are a contract: clients branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialReason {
    /// No credential was sent.
    MissingKey,
    /// More than one was.
    MultipleCredentials,
    /// The credential is not of the form of a key.
    MalformedKey,
    /// Not a key of this deployment, or no longer one. A stranger learns no more.
    InvalidKey,
    /// The key is deactivated.
    KeyInactive,
    /// The key is revoked.
    KeyRevoked,
    /// The key has ended.
    KeyExpired,
    /// The key has not begun.
    KeyNotYetValid,
    /// The key is for another environment.
    EnvironmentMismatch,
    /// The key's organization is suspended.
    OrganizationSuspended,
    /// The key's project is suspended.
    ProjectSuspended,
    /// The key's owner is suspended, or has left.
    UserSuspended,
    /// The client's address is not among the key's networks.
    IpNotAllowed,
    /// The key's scopes do not cover the one asked for.
    ScopeNotAuthorized,
    /// The key's permissions do not cover the one asked for.
    PermissionDenied,
    /// A limit is used up.
    RateLimitExceeded,
    /// The store could not be asked, so nothing is known of the key.
    StoreUnavailable,
}

impl DenialReason {
    /// All of them, in the order of the checks.
    pub const ALL: [Self; 17] = [
        Self::MissingKey,
        Self::MultipleCredentials,
        Self::MalformedKey,
        Self::InvalidKey,
        Self::StoreUnavailable,
        Self::OrganizationSuspended,
        Self::ProjectSuspended,
        Self::UserSuspended,
        Self::KeyRevoked,
        Self::KeyInactive,
        Self::KeyNotYetValid,
        Self::KeyExpired,
        Self::EnvironmentMismatch,
        Self::IpNotAllowed,
        Self::ScopeNotAuthorized,
        Self::PermissionDenied,
        Self::RateLimitExceeded,
    ];

    /// The word, in `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::MultipleCredentials => "multiple_credentials",
            Self::MalformedKey => "malformed_key",
            Self::InvalidKey => "invalid_key",
            Self::KeyInactive => "key_inactive",
            Self::KeyRevoked => "key_revoked",
            Self::KeyExpired => "key_expired",
            Self::KeyNotYetValid => "key_not_yet_valid",
            Self::EnvironmentMismatch => "environment_mismatch",
            Self::OrganizationSuspended => "organization_suspended",
            Self::ProjectSuspended => "project_suspended",
            Self::UserSuspended => "user_suspended",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::ScopeNotAuthorized => "scope_not_authorized",
            Self::PermissionDenied => "permission_denied",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for DenialReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A refusal: its reason, and what else the one who is refused may learn. It carries nothing that only the key's
/// keepers may know; [`key_id`](Self::key_id) is for logs and is never put in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    reason: DenialReason,
    key_id: Option<KeyId>,
    required: Option<Scope>,
    retry_after: Option<Duration>,
    exceeded: Option<Box<Exceeded>>,
}

impl Denial {
    /// A denial for this reason.
    #[must_use]
    pub fn new(reason: DenialReason) -> Self {
        Self { reason, key_id: None, required: None, retry_after: None, exceeded: None }
    }

    /// With the key it concerns, once the key is known to be genuine.
    #[must_use]
    pub fn for_key(mut self, id: KeyId) -> Self {
        self.key_id = Some(id);
        self
    }

    /// With the scope or permission that was missing.
    #[must_use]
    pub fn requiring(mut self, scope: Scope) -> Self {
        self.required = Some(scope);
        self
    }

    /// With the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// With the limits that had no room.
    #[must_use]
    pub fn exceeding(mut self, exceeded: Exceeded) -> Self {
        self.exceeded = Some(Box::new(exceeded));
        self
    }

    /// The store could not be asked. Clients are told to try again in a second.
    #[must_use]
    pub fn store_unavailable() -> Self {
        Self::new(DenialReason::StoreUnavailable).retry_after(Duration::from_secs(1))
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> DenialReason {
        self.reason
    }

    /// The genuine key it concerns, for logs.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// The scope or permission that was missing.
    #[must_use]
    pub fn required(&self) -> Option<&Scope> {
        self.required.as_ref()
    }

    /// After how long to try again, if that may help.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The limits that had no room, if that is why.
    #[must_use]
    pub fn exceeded(&self) -> Option<&Exceeded> {
        self.exceeded.as_deref()
    }

    /// One sentence for the one who is refused.
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        let missing = |what: &str| match &self.required {
            Some(scope) => Cow::Owned(format!("The API key's {what} do not cover {scope}.")),
            None => Cow::Owned(format!("The API key's {what} do not cover this request.")),
        };
        Cow::Borrowed(match self.reason {
            DenialReason::MissingKey => "This request needs an API key and carries none.",
            DenialReason::MultipleCredentials => "This request carries more than one credential; send exactly one.",
            DenialReason::MalformedKey => "The credential does not have the form of an API key.",
            DenialReason::InvalidKey => "The API key is not valid.",
            DenialReason::KeyInactive => "The API key is deactivated.",
            DenialReason::KeyRevoked => "The API key has been revoked.",
            DenialReason::KeyExpired => "The API key has expired.",
            DenialReason::KeyNotYetValid => "The API key is not valid yet.",
            DenialReason::EnvironmentMismatch => "The API key is for another environment.",
            DenialReason::OrganizationSuspended => "The organization of this API key is suspended.",
            DenialReason::ProjectSuspended => "The project of this API key is suspended.",
            DenialReason::UserSuspended => "The user of this API key is suspended.",
            DenialReason::IpNotAllowed => "The API key may not be used from this address.",
            DenialReason::ScopeNotAuthorized => return missing("scopes"),
            DenialReason::PermissionDenied => return missing("permissions"),
            DenialReason::RateLimitExceeded => match &self.exceeded {
                Some(exceeded) => return Cow::Owned(exceeded.to_string()),
                None => "A limit of the API key is used up; try again later.",
            },
            DenialReason::StoreUnavailable => "API keys cannot be checked at the moment; try again shortly.",
        })
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail())
    }
}

impl std::error::Error for Denial {}
