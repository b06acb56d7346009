//! What can go wrong between keygate and a store.

use crate::key::KeyId;
use crate::record::{DecodeError, Revision};

/// The store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It did not answer, or answered that it cannot serve. A write may or may not have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answered with what is not a record.
    #[error("the store holds {what} that cannot be read: {source}")]
    Damaged {
        /// Which entry.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// The store did not answer, for this reason.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    /// An entry of the store cannot be read.
    pub fn damaged(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Damaged { what: what.into(), source: source.into() }
    }

    /// Among the records to create for one organization is this key of another: the caller erred.
    #[must_use]
    pub fn stray(id: KeyId) -> Self {
        Self::damaged(format!("key {id} among those of another organization"), "a batch is of one organization")
    }

    /// The record named `what` does not decode.
    pub fn undecodable(what: impl Into<String>, source: DecodeError) -> Self {
        Self::damaged(what, source)
    }
}

/// Why a key was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateRefusal {
    /// The user has as many keys as the quota allows.
    #[error("the user already has {limit} keys, the most allowed")]
    UserQuota {
        /// The quota.
        limit: u64,
    },
    /// The project has as many keys as the quota allows.
    #[error("the project already has {limit} keys, the most allowed")]
    ProjectQuota {
        /// The quota.
        limit: u64,
    },
    /// The organization has as many keys as the quota allows.
    #[error("the organization already has {limit} keys, the most allowed")]
    OrganizationQuota {
        /// The quota.
        limit: u64,
    },
    /// There is a key with this id already.
    #[error("a key with this id exists already")]
    Exists,
}

impl CreateRefusal {
    /// Whether a quota is reached.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        match self {
            Self::UserQuota { .. } | Self::ProjectQuota { .. } | Self::OrganizationQuota { .. } => true,
            Self::Exists => false,
        }
    }
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteRefusal {
    /// There is no such record, or it is another tenant's.
    #[error("there is no such record")]
    Absent,
    /// Another write came in between.
    #[error("the record has changed since: its revision is {found}")]
    Conflict {
        /// The revision found.
        found: Revision,
    },
    /// The record is revoked, which is final.
    #[error("the key is revoked, which is final")]
    Revoked,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
