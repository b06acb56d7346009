//! Why a management call was not done.

use std::sync::Arc;

use super::policy::PolicyViolation;
use super::sensitive::DamagedFields;
use super::setup::SetupError;
use crate::key::KeyId;
use crate::names::{NameError, UserId};
use crate::record::{KeyState, Revision};
use crate::ring::SealError;
use crate::scope::Scope;
use crate::store::{CreateRefusal, StoreError, WriteRefusal};
use crate::usage::report::UsageQueryError;

/// Why a management call was not done. Nothing was changed, but for a store that failed in the middle of a write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// There is no such key, or it is not the actor's to see.
    #[error("there is no such key")]
    NotFound,
    /// There is no such organization or project within the actor's reach.
    #[error("there is no such organization or project")]
    ParentNotFound,
    /// A field holds what it must not.
    #[error(transparent)]
    Invalid(#[from] NameError),
    /// Usage is asked for of no time.
    #[error(transparent)]
    UsageQuery(#[from] UsageQueryError),
    /// The actor may not hand this out.
    #[error("{scope} may not be granted: it is not covered by what the actor may grant")]
    NotGrantable {
        /// What was asked for.
        scope: Scope,
    },
    /// The key would not be within the policy of its organization, its project or its user.
    #[error("{0}")]
    PolicyViolated(Box<PolicyViolation>),
    /// A quota is reached.
    #[error(transparent)]
    Refused(CreateRefusal),
    /// There is one already.
    #[error("there is one already")]
    AlreadyExists,
    /// The text that is to be imported is that of another organization's key.
    #[error("its text is that of a key of another organization")]
    ImportedElsewhere,
    /// The key that is to be imported is found by a part of its text by which another key is found.
    #[error(
        "another key has this lookup part: a key is found by it alone, so that one must be deleted, or this one replaced"
    )]
    LookupPartTaken,
    /// The organization `system` is the operator's own.
    #[error("the organization system is reserved: it is neither set up nor suspended")]
    Reserved,
    /// What is to be changed was changed by somebody else since it was read.
    #[error("it has changed since it was read: its revision is {found}")]
    Conflict {
        /// Its revision now.
        found: Revision,
    },
    /// The key is revoked, which is final.
    #[error("the key is revoked, which is final")]
    Revoked,
    /// The key is deactivated or has ended, and only an active one can be rotated, or hand its successor over.
    #[error("the key is {state}: only an active key can do that")]
    NotActive {
        /// What it is.
        state: KeyState,
    },
    /// The key was rotated already.
    #[error("the key was rotated already: rotate its successor, {successor_id}")]
    Superseded {
        /// The key that replaces it.
        successor_id: KeyId,
    },
    /// Two earlier keys of its line are good still.
    #[error(
        "two earlier keys of its line are good still: end one of them before its overlap is over, or wait for that"
    )]
    StillOverlapping,
    /// The key was not rotated, and has no successor.
    #[error("the key was not rotated: it has no successor")]
    NotSuperseded,
    /// The key's successor is not handed to whoever holds the key.
    #[error("the key's successor is not handed over: ask whoever manages the key for it")]
    NotHandedOver,
    /// The key's successor was used already, by whoever has claimed it before.
    #[error("the key's successor is in use already, and is handed over no more: if that was not you, have it revoked")]
    SuccessorInUse,
    /// Nobody took the text of the key's successor, which nobody could claim.
    #[error("no notifier took the successor's text, which nobody could claim")]
    NotTaken,
    /// This manager sends nothing to webhooks.
    #[error("this server sends no webhooks")]
    SendsNoWebhooks,
    /// There is no such webhook.
    #[error("there is no such webhook")]
    NoSuchWebhook,
    /// There is no such role.
    #[error("there is no such role")]
    NoSuchRole,
    /// The user has left.
    #[error("the user {user} was offboarded: no key is made for it until it is active again")]
    Offboarded {
        /// The user.
        user: UserId,
    },
    /// The user has left, and not all its keys are revoked yet.
    #[error("the user was offboarded, and not all its keys are revoked yet: ask for that again first")]
    StillOffboarding,
    /// Too many notices of the organization wait to be sent.
    #[error("too many notices of the organization wait to be sent: see why its webhooks do not take them")]
    TooManyNotices,
    /// It is one of many, and the time was over before it was begun.
    #[error("it was not begun, as the others took too long: ask for it again")]
    NotBegun,
    /// It is one of many that a filter admitted, and is not as the filter wants it any more.
    #[error("it was changed meanwhile, and the filter does not admit it any more")]
    NoLongerMatches,
    /// It is one of many, and nothing can be read of it: its record is damaged, or a newer version has written it.
    #[error("its record cannot be read: it is damaged, or a newer version has written it")]
    Unreadable,
    /// Something could not be encrypted, or opened again. Where the secret that it is sealed under is not configured, it may be
    /// once that is.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// Sensitive fields of the key cannot be opened: they were changed, or stand where they were not put. It is in the log as
    /// well.
    #[error("{0}")]
    SensitiveDamaged(Box<DamagedFields>),
    /// Only a revoked or expired key can be deleted.
    #[error("the key is still in use: revoke it before deleting it")]
    InUse,
    /// The idempotency key stands for another request already.
    #[error("the idempotency key was used for another request: send this one with a key of its own")]
    IdempotencyMismatch,
    /// Too many slow verifiers are being made at once.
    #[error("too many keys of the high security tier are being checked or made at once; try again")]
    Busy,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The deployment is not set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The store failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl ManageError {
    /// A sentence for whoever asked, wherever they are. It tells nothing of the store, whose own words may name hosts, files
    /// and secrets, and are for the log.
    #[must_use]
    pub fn detail(&self) -> String {
        if self.is_trouble() {
            return "The store does not answer as it should at the moment; try again shortly.".to_owned();
        }
        self.to_string()
    }

    /// Whether the fault is the deployment's, and no caller's: to be written to the log, and told without its details.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        matches!(self, Self::Setup(_) | Self::Store(_) | Self::Random(_) | Self::Sealed(_))
    }

    /// The stable word for it, which programs may branch on.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound | Self::ParentNotFound => "not_found",
            Self::Invalid(_) | Self::UsageQuery(_) => "invalid_field",
            Self::NotGrantable { .. } => "not_grantable",
            Self::PolicyViolated(_) => "policy_violated",
            Self::Refused(CreateRefusal::Exists) | Self::AlreadyExists | Self::ImportedElsewhere => "already_exists",
            Self::LookupPartTaken => "lookup_part_taken",
            Self::Refused(_) => "quota_reached",
            Self::Reserved => "reserved",
            Self::Conflict { .. } => "revision_conflict",
            Self::Revoked => "key_revoked",
            Self::NotActive { .. } => "key_not_active",
            Self::Superseded { .. } => "key_superseded",
            Self::StillOverlapping => "still_overlapping",
            Self::NotSuperseded => "no_successor",
            Self::NotHandedOver => "successor_not_handed_over",
            Self::SuccessorInUse => "successor_in_use",
            Self::NotTaken => "successor_not_taken",
            Self::SendsNoWebhooks => "no_webhooks",
            Self::NoSuchWebhook | Self::NoSuchRole => "not_found",
            Self::Offboarded { .. } => "user_offboarded",
            Self::StillOffboarding => "still_offboarding",
            Self::TooManyNotices => "too_many_notices",
            Self::SensitiveDamaged(_) => "sensitive_damaged",
            Self::InUse => "key_in_use",
            Self::IdempotencyMismatch => "idempotency_key_reused",
            Self::Busy => "busy",
            Self::NotBegun => "not_begun",
            Self::NoLongerMatches => "no_longer_matches",
            Self::Unreadable => "record_unreadable",
            // Whoever puts the secret back among the retired ones has it answered.
            Self::Sealed(SealError::UnknownEntry(_)) | Self::Setup(_) | Self::Store(_) => "store_unavailable",
            Self::Random(_) | Self::Sealed(_) => "internal",
        }
    }
}

impl From<StoreError> for ManageError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Arc<StoreError>> for ManageError {
    fn from(error: Arc<StoreError>) -> Self {
        Self::Store(error)
    }
}

impl From<WriteRefusal> for ManageError {
    fn from(refusal: WriteRefusal) -> Self {
        match refusal {
            WriteRefusal::Absent => Self::NotFound,
            WriteRefusal::Conflict { found } => Self::Conflict { found },
            WriteRefusal::Revoked => Self::Revoked,
            WriteRefusal::Store(error) => error.into(),
        }
    }
}

impl From<crate::verifier::Overloaded> for ManageError {
    fn from(_: crate::verifier::Overloaded) -> Self {
        Self::Busy
    }
}
