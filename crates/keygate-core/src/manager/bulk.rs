//! The same done to many keys of one organization.

use std::collections::HashSet;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
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
/// For how long keys are begun. The answer says what became of each, and the new texts of those that were rotated: it must not
/// come too late for whoever waits for it.
const BEGUN_FOR: Duration = Duration::from_secs(15);

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

impl BulkFailure {
    fn of(key_id: KeyId, error: &ManageError) -> Self {
        Self { key_id, reason: error.reason(), detail: error.detail(), is_trouble: error.is_trouble() }
    }
}

/// What came of a bulk operation: each key asked for is in one of the two lists, once, in the order asked; keys that a filter
/// admits and that were not begun are in neither, and [come next](BulkPage::next_cursor). Its JSON form
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
    /// Before when the keys were made that a filter was to admit: what it said, and in a rotation not later than the page was
    /// begun. Whoever rotates the same again says it again, and leaves the successors alone.
    pub made_before: Option<DateTime<Utc>>,
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
    /// [made before](KeyFilter::made_before) a time, so that their successors are not among them. Keys are begun for 15 seconds:
    /// of those that are named the rest is told as [not begun](ManageError::NotBegun), of those that a filter admits it is where
    /// the next call begins. A key that the filter admits no more when its turn comes is left alone, as
    /// [no longer matching](ManageError::NoLongerMatches).
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
        let mut outcome = BulkOutcome::default();
        let rotates = matches!(operation, BulkOperation::Rotate { .. });
        let (keys, filter, mut next_cursor) = match keys {
            BulkKeys::Named(keys) if keys.len() > MAX_BULK => {
                let problem = format!("must be at most {MAX_BULK}, not {}", keys.len());
                return Err(NameError::new("key_ids", problem).into());
            }
            BulkKeys::Named(keys) => {
                let mut seen = HashSet::new();
                (keys.iter().copied().filter(|id| seen.insert(*id)).collect::<Vec<_>>(), None, None)
            }
            BulkKeys::Matching { limit: 0, .. } => return Err(NameError::new("limit", "must be at least 1").into()),
            BulkKeys::Matching { filter, limit, cursor } => {
                let mut filter = filter.clone();
                // A time to come, as of a clock that goes fast, would let successors be among them.
                let now = self.inner.clock.now();
                filter.made_before = filter.made_before.map(|time| if rotates { time.min(now) } else { time });
                let page = self.list(actor, organization, &filter, (*limit).min(MAX_BULK), *cursor).await?;
                let unreadable = page.unreadable_key_ids.into_iter();
                outcome.failed.extend(unreadable.map(|id| BulkFailure::of(id, &ManageError::Unreadable)));
                (page.keys.iter().map(|key| key.id).collect(), Some(filter), page.next_cursor)
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
        let mut trouble = None;
        let at_once = if rotates { ROTATED_AT_ONCE } else { IN_FLIGHT };
        let filter = filter.as_ref();
        let clock = &self.inner.clock;
        let until = clock.tick().after(BEGUN_FOR);
        let in_time = stream::iter(keys.iter().copied()).take_while(|_| ready(clock.tick() < until));
        let one = |id| async move { (id, self.bulk_one(actor, organization, operation, id, filter, dry_run).await) };
        let mut done = pin!(in_time.map(one).buffered(at_once));
        let mut begun = 0;
        while let Some((key_id, done)) = done.next().await {
            begun += 1;
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
                    outcome.failed.push(BulkFailure::of(key_id, &error));
                }
            }
        }
        let (done, left) = keys.split_at(begun);
        for id in left {
            act.became(*id, ManageError::NotBegun.reason(), None);
        }
        match (filter, done.last()) {
            (Some(_), Some(last)) if !left.is_empty() => {
                next_cursor = Some(Cursor(*last));
                // Those behind it are told with the next page.
                outcome.failed.retain(|failure| failure.key_id >= *last);
            }
            _ => outcome.failed.extend(left.iter().map(|id| BulkFailure::of(*id, &ManageError::NotBegun))),
        }
        if let Some(error) = trouble {
            tracing::error!(organization_id = %organization, failed = outcome.failed.len(), error, "a bulk operation met trouble");
        }
        Ok(BulkPage { outcome, next_cursor, made_before: filter.and_then(|filter| filter.made_before) })
    }

    async fn bulk_one(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        operation: &BulkOperation,
        id: KeyId,
        filter: Option<&KeyFilter>,
        dry_run: bool,
    ) -> Result<Option<Rotation>, ManageError> {
        let mut part = self.part(actor, Action::KeysBulk);
        let found = self.visible(actor, id).await?;
        if found.key.organization != *organization {
            return Err(ManageError::NotFound);
        }
        if let Some(filter) = filter
            && !self.still_admitted(filter, &found.key).await?
        {
            return Err(ManageError::NoLongerMatches);
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
