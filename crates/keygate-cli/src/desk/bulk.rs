//! What is done to many keys, and what became of each.

use chrono::{DateTime, TimeDelta, Utc};
use keygate::key::KeyId;
use keygate::limits::Limits;
use keygate::manager::{BulkOperation, BulkPage, Cursor, KeyUpdate, Rotation};
use keygate::names::Reason;
use keygate::scope::ScopeSet;
use serde::{Deserialize, Serialize};

/// What is done to each of many keys.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// Stop it until it is activated again.
    Deactivate { reason: Option<Reason> },
    /// Let it be used again.
    Activate { reason: Option<Reason> },
    /// Stop it for good.
    Revoke { reason: Option<Reason> },
    /// Make its successor.
    Rotate { overlap_days: Option<u32> },
    /// What its holder may do becomes this.
    Permissions(ScopeSet),
    /// What it may be used on becomes this.
    Scopes(ScopeSet),
    /// How much may be asked of it becomes this.
    Limits(Limits),
}

impl Operation {
    /// As the manager knows it.
    pub(super) fn to_bulk(&self) -> BulkOperation {
        let mut update = KeyUpdate::new();
        match self.clone() {
            Self::Deactivate { reason } => return BulkOperation::Deactivate { reason },
            Self::Activate { reason } => return BulkOperation::Activate { reason },
            Self::Revoke { reason } => return BulkOperation::Revoke { reason },
            Self::Rotate { overlap_days } => {
                let overlap = overlap_days.map(|days| TimeDelta::days(days.into()));
                return BulkOperation::Rotate { overlap };
            }
            Self::Permissions(permissions) => update.permissions = Some(permissions),
            Self::Scopes(scopes) => update.scopes = Some(scopes),
            Self::Limits(limits) => update.limits = Some(limits),
        }
        BulkOperation::Update(Box::new(update))
    }
}

/// What became of the keys of one call.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct BulkDone {
    /// Those to which it was done, or would be.
    pub(crate) successful: Vec<KeyId>,
    /// Those to which it was not.
    pub(crate) failed: Vec<BulkRefusal>,
    /// The successors of those that were rotated.
    #[serde(default)]
    pub(crate) rotated: Vec<Rotation>,
    /// Where the next call begins, of keys that a filter admits.
    #[serde(default)]
    pub(crate) next_cursor: Option<Cursor>,
    /// Before when those were made.
    #[serde(default)]
    pub(crate) made_before: Option<DateTime<Utc>>,
}

/// A key to which it was not done.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BulkRefusal {
    pub(crate) key_id: KeyId,
    /// The stable word for why.
    pub(crate) reason: String,
    /// A sentence for people.
    pub(crate) detail: String,
}

impl From<BulkPage> for BulkDone {
    fn from(page: BulkPage) -> Self {
        let refusals = page.outcome.failed.into_iter().map(|failure| BulkRefusal {
            key_id: failure.key_id,
            reason: failure.reason.to_owned(),
            detail: failure.detail,
        });
        Self {
            successful: page.outcome.successful,
            failed: refusals.collect(),
            rotated: page.outcome.rotated,
            next_cursor: page.next_cursor,
            made_before: page.made_before,
        }
    }
}
