//! The same done to many keys of one organization.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};

use super::act::Act;
use super::manage::check_status;
use super::rotate::check_overlap;
use super::{ApiKeyManager, Cursor, Expiry, KeyFilter, KeyUpdate, ManageError, Rotation};
use crate::actor::Actor;
use crate::audit::{ActOutcome, ActTarget, Action, Changes};
use crate::clock::to_millis;
use crate::key::KeyId;
use crate::names::{NameError, OrganizationId, Reason};
use crate::record::KeyStatus;

/// The most keys of one bulk operation.
pub const MAX_BULK: usize = 1_000;
/// How many keys are under way at once: the store's connection carries them together.
const IN_FLIGHT: usize = 64;
/// The same of rotations: those of keys of the high tier are slow, and no more are queued than may be.
const ROTATED_AT_ONCE: usize = 16;
/// What became of a key to which it was done, as the audit has it.
const DONE: &str = "done";
/// For how long rotations are begun.
const ROTATES_FOR: Duration = Duration::from_secs(15);

/// What is done to each key.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BulkOperation {
    /// As [`deactivate`](ApiKeyManager::deactivate).
    Deactivate {
        /// Why, to be kept with each key.
        reason: Option<Reason>,
    },
    /// As [`activate`](ApiKeyManager::activate).
    Activate {
        /// Why, to be kept with each key.
        reason: Option<Reason>,
    },
    /// As [`revoke`](ApiKeyManager::revoke).
    Revoke {
        /// Why, to be kept with each key.
        reason: Option<Reason>,
    },
    /// As [`rotate`](ApiKeyManager::rotate).
    Rotate {
        /// How long each key is good beside its successor; by default as its schedule says, or seven days.
        overlap: Option<TimeDelta>,
    },
    /// As [`update`](ApiKeyManager::update), of what a key may do, what it may be used on, and how much may be asked of it.
    Update(Box<KeyUpdate>),
}

impl BulkOperation {
    /// What it is, as the audit tells it.
    fn told(&self) -> Value {
        let stops = |operation: &str, reason: &Option<Reason>| json!({ "operation": operation, "reason": reason });
        match self {
            Self::Deactivate { reason } => stops("deactivate", reason),
            Self::Activate { reason } => stops("activate", reason),
            Self::Revoke { reason } => stops("revoke", reason),
            Self::Rotate { overlap } => {
                json!({ "operation": "rotate", "overlap_seconds": overlap.map(|overlap| overlap.num_seconds()) })
            }
            Self::Update(update) => {
                let KeyUpdate {
                    name,
                    description,
                    permissions,
                    scopes,
                    limits,
                    expiry,
                    tags,
                    allowed_ips,
                    rotation_schedule,
                    hand_over,
                    metadata,
                    sensitive,
                } = &**update;
                let mut told = json!({
                    "operation": "update",
                    "name": name,
                    "description": description,
                    "permissions": permissions,
                    "scopes": scopes,
                    "limits": limits,
                    "expiry": expiry.map(|expiry| match expiry {
                        Expiry::Default => json!("default"),
                        Expiry::Never => json!("never"),
                        Expiry::In(life) => json!({ "in_seconds": life.num_seconds() }),
                        Expiry::At(at) => json!(at),
                    }),
                    "tags": tags,
                    "allowed_ips": allowed_ips,
                    "hand_over": hand_over,
                    "metadata": metadata,
                    // What they are is nobody's to read here.
                    "sensitive": sensitive.as_ref().map(|_| true),
                });
                if let Value::Object(fields) = &mut told {
                    fields.retain(|_, value| !value.is_null());
                    // To take the schedule away is something else than to leave it.
                    if let Some(schedule) = rotation_schedule {
                        fields.insert("rotation".to_owned(), json!(schedule));
                    }
                }
                told
            }
        }
    }
}

/// To which keys something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkKeys {
    /// These, at most [`MAX_BULK`]; one that is named twice is done once.
    Named(Vec<KeyId>),
    /// The next that a filter admits, newest first.
    Matching {
        /// Which.
        filter: KeyFilter,
        /// How many at most, up to [`MAX_BULK`].
        limit: usize,
        /// Where they begin: after those of the [call before](BulkPage::next_cursor).
        cursor: Option<Cursor>,
    },
}

/// A key to which it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BulkFailure {
    /// The key.
    pub key_id: KeyId,
    /// The stable word for why: [`ManageError::reason`].
    pub reason: &'static str,
    /// A sentence for people.
    pub detail: String,
    /// Whether the store failed.
    #[serde(skip)]
    is_trouble: bool,
}

/// What came of a bulk operation: each key asked for is in one of the two lists, once, in the order asked. Its JSON form
/// is that of the management API.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct BulkOutcome {
    /// The keys to which it was done; in a dry run, to which it would be.
    pub successful: Vec<KeyId>,
    /// Those to which it was not.
    pub failed: Vec<BulkFailure>,
    /// The successors of those that were rotated, whose texts are shown this once.
    pub rotated: Vec<Rotation>,
}

/// What came of a bulk operation, and where the next begins.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct BulkPage {
    /// What became of the keys.
    #[serde(flatten)]
    pub outcome: BulkOutcome,
    /// Where the next call begins, of keys that a filter admits; `None` when there are no more.
    pub next_cursor: Option<Cursor>,
}

impl ApiKeyManager {
    /// Does the same to many keys of one organization, at most [`MAX_BULK`]; a key named twice is done once. A failure
    /// stops none of the others. A key of another organization is not found, whoever asks.
    ///
    /// Dropping the future leaves those undone that were not begun.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or more keys are named than may be: then nothing is done.
    pub async fn bulk(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        operation: &BulkOperation,
        keys: &[KeyId],
    ) -> Result<BulkOutcome, ManageError> {
        let keys = BulkKeys::Named(keys.to_vec());
        Ok(self.bulk_of(actor, organization, operation, &keys, false).await?.outcome)
    }

    /// The same, to keys that are named or that a filter admits: then [page by page](BulkPage::next_cursor), and whoever stops
    /// in between goes on with the page at which it stopped. A dry run does everything but write, and says to which keys it
    /// would be done.
    ///
    /// What a page has done is done again where it is asked for again: a key is stopped or changed as it was, and one that was
    /// rotated is refused as [superseded](ManageError::Superseded). Keys that are rotated by a filter are those that were
    /// [made before](KeyFilter::made_before) a time, so that their successors are not among them. Rotations are begun for 15
    /// seconds, and the rest is told as [not begun](ManageError::NotBegun).
    ///
    /// # Errors
    /// As of [`bulk`](Self::bulk); also when the store does not list the keys, or no key may be changed so by this actor.
    pub async fn bulk_of(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        operation: &BulkOperation,
        keys: &BulkKeys,
        dry_run: bool,
    ) -> Result<BulkPage, ManageError> {
        let mut act = self.act(actor, Action::KeysBulk, ActTarget::default()).of(organization);
        let page = self.bulk_in(&mut act, actor, organization, operation, keys, dry_run).await;
        // To none of them was it done.
        if let (true, Ok(BulkPage { outcome, .. })) = (act.is_begun(), &page)
            && outcome.successful.is_empty()
        {
            // Where the store failed, it may have been done all the same.
            let trouble = outcome.failed.iter().find(|failure| failure.is_trouble);
            let became = if trouble.is_some() { ActOutcome::Failed } else { ActOutcome::Refused };
            act.conclude(became, trouble.or(outcome.failed.first()).map(|failure| failure.reason)).await;
            return page;
        }
        act.close(page).await
    }

    async fn bulk_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        operation: &BulkOperation,
        keys: &BulkKeys,
        dry_run: bool,
    ) -> Result<BulkPage, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        match operation {
            BulkOperation::Update(update) => update.check_for(actor)?,
            BulkOperation::Rotate { overlap } => {
                check_overlap(*overlap)?;
                // Successors are what their predecessors were, and would be rotated by whoever asks again.
                if matches!(keys, BulkKeys::Matching { filter, .. } if filter.made_before.is_none()) {
                    return Err(NameError::new("made_before", "is needed to rotate keys that a filter admits").into());
                }
            }
            BulkOperation::Deactivate { .. } | BulkOperation::Activate { .. } | BulkOperation::Revoke { .. } => {}
        }
        let (keys, next_cursor) = match keys {
            BulkKeys::Named(keys) if keys.len() > MAX_BULK => {
                let problem = format!("must be at most {MAX_BULK}, not {}", keys.len());
                return Err(NameError::new("key_ids", problem).into());
            }
            BulkKeys::Named(keys) => {
                let mut seen = HashSet::new();
                (keys.iter().copied().filter(|id| seen.insert(*id)).collect::<Vec<_>>(), None)
            }
            BulkKeys::Matching { limit: 0, .. } => return Err(NameError::new("limit", "must be at least 1").into()),
            BulkKeys::Matching { filter, limit, cursor } => {
                let page = self.list(actor, organization, filter, (*limit).min(MAX_BULK), *cursor).await?;
                (page.keys.iter().map(|key| key.id).collect(), page.next_cursor)
            }
        };
        if !dry_run && !keys.is_empty() {
            act.on(keys.iter().copied());
            let changes = Changes::of(&operation.told());
            match operation {
                BulkOperation::Revoke { .. } => act.begin_anyway(organization, changes).await,
                _ => act.begin(organization, changes).await?,
            }
        }
        let mut outcome = BulkOutcome::default();
        let mut trouble = None;
        let at_once = if matches!(operation, BulkOperation::Rotate { .. }) { ROTATED_AT_ONCE } else { IN_FLIGHT };
        let begun = Instant::now();
        let one = |id| async move {
            // The new texts are in the answer, which must not be waited for too long.
            if matches!(operation, BulkOperation::Rotate { .. }) && begun.elapsed() > ROTATES_FOR {
                return (id, Err(ManageError::NotBegun));
            }
            (id, self.bulk_one(actor, organization, operation, id, dry_run).await)
        };
        let mut done = stream::iter(keys).map(one).buffered(at_once);
        while let Some((key_id, done)) = done.next().await {
            match done {
                Ok(rotation) => {
                    act.became(key_id, DONE, rotation.as_ref().map(|rotation| rotation.new_key_id));
                    outcome.successful.push(key_id);
                    outcome.rotated.extend(rotation);
                }
                Err(error) => {
                    tracing::debug!(%key_id, %error, "one of many was not done");
                    if error.is_trouble() {
                        trouble.get_or_insert_with(|| error.to_string());
                    }
                    act.became(key_id, error.reason(), None);
                    let (reason, detail, is_trouble) = (error.reason(), error.detail(), error.is_trouble());
                    outcome.failed.push(BulkFailure { key_id, reason, detail, is_trouble });
                }
            }
        }
        if let Some(error) = trouble {
            tracing::error!(organization_id = %organization, failed = outcome.failed.len(), error, "a bulk operation met trouble");
        }
        Ok(BulkPage { outcome, next_cursor })
    }

    async fn bulk_one(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        operation: &BulkOperation,
        id: KeyId,
        dry_run: bool,
    ) -> Result<Option<Rotation>, ManageError> {
        let mut part = self.part(actor, Action::KeysBulk);
        let found = self.visible(actor, id).await?;
        if found.key.organization != *organization {
            return Err(ManageError::NotFound);
        }
        let (status, reason) = match operation {
            BulkOperation::Deactivate { reason } => (KeyStatus::Inactive, reason),
            BulkOperation::Activate { reason } => (KeyStatus::Active, reason),
            BulkOperation::Revoke { reason } => (KeyStatus::Revoked, reason),
            BulkOperation::Rotate { overlap } if dry_run => {
                self.check_rotatable(actor, &found, *overlap, to_millis(self.inner.clock.now())).await?;
                return Ok(None);
            }
            BulkOperation::Rotate { overlap } => {
                return self.rotate_in(&mut part, actor, id, *overlap, None, false).await.map(Some);
            }
            BulkOperation::Update(update) if dry_run => {
                let is_revoked = found.key.status.status == KeyStatus::Revoked;
                let (_, changed) = self.changed(actor, found, update).await?;
                return if is_revoked && !changed.is_empty() { Err(ManageError::Revoked) } else { Ok(None) };
            }
            BulkOperation::Update(update) => {
                return self.update_in(&mut part, actor, id, update, None).await.map(|_| None);
            }
        };
        if dry_run {
            check_status(actor, &found.key, status)?;
        } else {
            self.set_status(&mut part, actor, &found.key, status, reason.clone()).await?;
        }
        Ok(None)
    }
}
