//! A store that breaks one of the contract's promises.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use keygate_core::anomaly::{Finding, FindingCursor};
use keygate_core::audit::{Append, AuditState, KeptEntry, KeptSeal};
use keygate_core::clock::Tick;
use keygate_core::coherence::{Change, Coherence, Lease, Read, Watcher};
use keygate_core::key::KeyId;
use keygate_core::limiter::call::{self, Answer, Call, Grant, Outcome};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limits::Limits;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::notice::{Fate, Parcel, Posted, Posting, WebhookRecord};
use keygate_core::record::{
    Key, KeyRecord, KeyStatus, OrganizationRecord, Parents, ProjectRecord, Quota, Quotas, Revision, RolesRecord,
    StatusChange, UserRecord,
};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Due, Listing, LookupToken, MAX_MEMO_BYTES, MemoName, MemoryStore,
    QuotaUse, RecordPage, Store, StoreError, WriteRefusal, Written,
};
use keygate_core::usage::batch::{Batch, LastUse, Mark, Writer};
use keygate_core::usage::book::Account;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;

use super::crier::Criers;
use super::miscounter::Miscounter;
use super::misfinder::Misfinder;
use super::misposter::Misposter;

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bend {
    Nothing,
    PutsWebhooksOverOthers,
    SaysEveryNoticeIsNew,
    KeepsAnyNumberOfNotices,
    ReplacesNoNotice,
    ReplacesEveryNotice,
    RedrivesAnyNumber,
    TakesNoticesEarly,
    LooksBeforeItTakes,
    ForgetsWhatWasSent,
    RemembersWhatWasForgotten,
    SettlesNoticesTooLate,
    ListsGivenUpOldestFirst,
    RedrivesWhatIsNotGivenUp,
    CreatesBeyondQuotas,
    CountsBeforeItCreates,
    KnowsNoProjectQuotas,
    KnowsNoQuotasOfUsers,
    ReversesOutcomes,
    IgnoresTheTenant,
    IgnoresRevisions,
    StampsRepeatedStatus,
    RevivesRevoked,
    SucceedsInTwoSteps,
    CountsTheSuperseded,
    ListsAllAsDue,
    ForgetsTheCursor,
    ListsOldestFirst,
    ListsTheWholeOrganization,
    SetsUpTwice,
    TellsNothing,
    TellsOfKeysAlone,
    TellsOfTheFirstOfABatch,
    TellsBeforeItWrites,
    TellsOneWatcher,
    TellsOfNeighbours,
    CallsEveryChangeARevocation,
    NeverCallsARevocationOne,
    ForgetsWhoseTheProjectIs,
    TellsOfProjectsAsTheirOrganizations,
    HoldsItsWatchers,
    NeverVouches,
    LoadsWhatItLoadedBefore,
    LoadsWithoutTheProject,
    /// Users of whom nothing is known are left out of the answer.
    LeavesOutUnknownUsers,
    /// A user's record is written whatever was there.
    WritesUsersOver,
    /// Roles are written whatever was there.
    WritesRolesOver,
    /// The roles are not among what stands above a key.
    ForgetsRoles,
    SaysItAskedLater,
    NeverKnowsWhoWasTold,
    RemembersTheLast,
    LooksBeforeItRemembers,
    RemembersForEver,
    GivesMemosMoreTime,
    RemembersByHalfTheName,
    RemembersWhatIsLarge,
    LooksUpInAnotherOrder,
    TakesLookupsFromOthers,
    LooksBeforeItTakesLookups,
    FreesWhoseverLookup,
    SaysEveryLookupIsFreed,
    GrantsAgainWhatComesAgain,
    GrantsBeforeItCounts,
    GrantsOneUserAsAnother,
    WritesWhatIsLookedAt,
    CountsWhateverComes,
    PassesOverGaps,
    SharesMarks,
    LooksAtTheMarkBeforeItCounts,
    CountsBeforeItMarks,
    MarksBeforeItCounts,
    TakesInTheFirstOfMany,
    CountsByTheDay,
    KnowsNoGoingBack,
    BelievesEveryClock,
    DropsWhatIsAhead,
    CountsIn32Bits,
    TellsAllDays,
    FoldsWhatItCounts,
    DropsWhatThereIsNoRoomFor,
    TakesNeighboursForOne,
    TakesAllMonthsForOne,
    BelievesTheLastTold,
    SortsTheKeys,
    LeavesOutWhatWasNeverUsed,
    RanksTheOldestOfEqualsFirst,
    RanksAsManyAsThereAre,
    DeletesTheRecordAlone,
    ErasesBeforeItCompares,
    CountsKeysThatAreGone,
    DropsBatchesOfKeysThatAreGone,
    CountsOneUserAsAnother,
    PutsHabitsOverOthers,
    LooksBeforeItPutsHabits,
    TakesEmptyHabitsForNone,
    KeepsHabitsOfDeletedKeys,
    PutsHabitsOfDeletedKeys,
    RecordsFindingsAgain,
    RecordsFindingsByTheirTime,
    LooksBeforeItRecords,
    ListsFindingsOldestFirst,
    ListsFindingsOfEveryKey,
    ListsFindingsOfEveryTenant,
    TurnsPagesByTheTimeAlone,
    KeepsAllFindings,
}

#[derive(Debug)]
struct Bent {
    inner: MemoryStore,
    bend: Bend,
    criers: Criers,
    miscounter: Miscounter,
    misfinder: Misfinder,
    misposter: Misposter,
    /// What was loaded first of each key.
    loaded: Mutex<BTreeMap<KeyId, Option<KeyRecord>>>,
    /// What is remembered in the place of the memory store, and without an end.
    memos: Mutex<BTreeMap<MemoName, Vec<u8>>>,
    calls: AtomicU64,
}

pub(crate) fn bent(bend: Bend) -> Arc<dyn Store> {
    let inner = MemoryStore::new();
    Arc::new(Bent {
        miscounter: Miscounter::new(inner.clone(), bend),
        misfinder: Misfinder::new(inner.clone(), bend),
        misposter: Misposter::new(inner.clone(), bend),
        inner,
        bend,
        criers: Criers::new(bend),
        loaded: Mutex::default(),
        memos: Mutex::default(),
        calls: AtomicU64::new(0),
    })
}

/// Of a key, or of the one that it succeeds.
fn old_id(record: &KeyRecord) -> KeyId {
    record.key.succession.predecessor_id.unwrap_or(record.key.id)
}

/// The first half of a name.
fn half(name: &MemoName) -> MemoName {
    let mut bytes = *name.as_bytes();
    bytes[16..].fill(0);
    MemoName::from_bytes(bytes)
}

impl Bent {
    fn is(&self, bend: Bend) -> bool {
        self.bend == bend
    }

    /// The organization to name so that the write goes through.
    async fn tenant(&self, named: &OrganizationId, id: KeyId) -> OrganizationId {
        match self.inner.record(id).await.unwrap() {
            Some(record) if self.is(Bend::IgnoresTheTenant) => record.key.organization,
            _ => named.clone(),
        }
    }

    fn read<T>(&self, read: Read<T>) -> Read<T> {
        match self.bend {
            Bend::NeverVouches => Read { lease: Some(Arc::new(Lease::new())), ..read },
            Bend::SaysItAskedLater => Read { sent: Tick::now().after(Duration::from_secs(1)), ..read },
            _ => read,
        }
    }

    async fn revision(&self, expected: Revision, id: KeyId) -> Revision {
        match self.inner.record(id).await.unwrap() {
            Some(record) if self.is(Bend::IgnoresRevisions) => record.key.revision,
            _ => expected,
        }
    }
}

#[async_trait]
impl Store for Bent {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.inner.deployment().await
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        if self.is(Bend::SetsUpTwice) {
            let held = self.inner.deployment().await?;
            return self.inner.put_deployment(held.as_ref(), next).await;
        }
        self.inner.put_deployment(previous, next).await
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.inner.record(id).await
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        let parents = self.inner.parents(organization, project).await?;
        Ok(if self.is(Bend::ForgetsRoles) { Parents { roles: None, ..parents } } else { parents })
    }

    fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        if let Some(crier) = self.criers.stand_in(watcher) {
            self.inner.watch(crier, stale);
        }
    }

    fn coherence(&self) -> Coherence {
        self.inner.coherence()
    }

    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        let read = self.read(self.inner.load_record(id).await?);
        if !self.is(Bend::LoadsWhatItLoadedBefore) {
            return Ok(read);
        }
        let mut loaded = self.loaded.lock().unwrap();
        let first = loaded.entry(id).or_insert_with(|| read.value.clone()).clone();
        Ok(Read { value: first, ..read })
    }

    async fn load_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        let project = project.filter(|_| !self.is(Bend::LoadsWithoutTheProject));
        Ok(self.read(self.inner.load_parents(organization, project).await?))
    }

    async fn load_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        Ok(self.read(self.inner.load_user(organization, user).await?))
    }

    async fn told_everywhere(&self) -> Result<bool, StoreError> {
        Ok(!self.is(Bend::NeverKnowsWhoWasTold))
    }

    async fn create_within(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        const ALL: Quota = Quota { per_organization: u64::MAX, per_user: u64::MAX };
        if self.is(Bend::CountsBeforeItCreates) {
            let Key { user, project, .. } = &records[0].key;
            let used = self.inner.quota_use(organization, user).await?;
            let refused = |refusal| Ok(vec![Err(refusal); records.len()]);
            if used.user >= quotas.of_user(user) {
                return refused(CreateRefusal::UserQuota { limit: quotas.of_user(user) });
            }
            if let Some((project, limit)) = quotas.of_project(project.as_ref())
                && self.inner.project_use(organization, project).await? >= limit
            {
                return refused(CreateRefusal::ProjectQuota { limit });
            }
            tokio::task::yield_now().await;
            return self.inner.create(organization, ALL, records).await;
        }
        let mut quotas = if self.is(Bend::CreatesBeyondQuotas) { ALL.into() } else { quotas.clone() };
        if self.is(Bend::KnowsNoProjectQuotas) {
            quotas.projects.clear();
        }
        if self.is(Bend::KnowsNoQuotasOfUsers) {
            quotas.users.clear();
        }
        self.criers.expect_batch(&records);
        let mut outcomes = self.inner.create_within(organization, &quotas, records).await?;
        if self.is(Bend::ReversesOutcomes) {
            outcomes.reverse();
        }
        Ok(outcomes)
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        let mut record = record.clone();
        record.key.organization = self.tenant(&record.key.organization, record.key.id).await;
        let expected = self.revision(expected, record.key.id).await;
        if self.is(Bend::TellsBeforeItWrites) {
            self.criers.tell(&Change::Key(record.key.id));
            // A write takes its time, in which others load.
            tokio::task::yield_now().await;
        }
        self.inner.replace(&record, expected).await
    }

    async fn succeed(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
    ) -> Result<Acknowledgement, WriteRefusal> {
        const ALL: Quota = Quota { per_organization: u64::MAX, per_user: u64::MAX };
        if self.is(Bend::SucceedsInTwoSteps) {
            self.inner.create(&new.key.organization, ALL, vec![new.clone()]).await?;
            tokio::task::yield_now().await;
            return self.inner.replace(old, expected).await;
        }
        let (mut old, mut new) = (old.clone(), new.clone());
        for record in [&mut old, &mut new] {
            record.key.organization = self.tenant(&record.key.organization, old_id(record)).await;
        }
        if self.is(Bend::CountsTheSuperseded) {
            old.key.succession.superseded = None;
        }
        let expected = self.revision(expected, old.key.id).await;
        self.inner.succeed(&old, expected, &new).await
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        let organization = self.tenant(organization, id).await;
        if let Some(held) = self.inner.record(id).await? {
            let repeats = held.key.status.status == change.status;
            let revives = held.key.status.status == KeyStatus::Revoked && !repeats;
            if (repeats && self.is(Bend::StampsRepeatedStatus)) || (revives && self.is(Bend::RevivesRevoked)) {
                let mut record = held.clone();
                record.key.status = change.clone();
                record.key.revision = held.key.revision.next();
                self.inner.delete(&organization, id, held.key.revision).await?;
                self.inner.create(&organization, Quota::default(), vec![record.clone()]).await?;
                return Ok(Written { record, acknowledgement: Acknowledgement::default() });
            }
        }
        self.inner.set_status(&organization, id, change).await
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let organization = self.tenant(organization, id).await;
        self.miscounter.deleting(id).await?;
        self.inner.delete(&organization, id, self.revision(expected, id).await).await
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        let whole = Listing::Organization(listing.organization().clone());
        let listing = if self.is(Bend::ListsTheWholeOrganization) { &whole } else { listing };
        let after = match after {
            // As a cursor does that is looked up, and whose key is gone.
            Some(id) if self.is(Bend::ForgetsTheCursor) && self.inner.record(id).await?.is_none() => None,
            after => after,
        };
        let mut page = self.inner.list(listing, after, limit).await?;
        if self.is(Bend::ListsOldestFirst) {
            page.records.reverse();
        }
        Ok(page)
    }

    async fn due(&self, bucket: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError> {
        let after = after.filter(|_| !self.is(Bend::ForgetsTheCursor));
        let until = if self.is(Bend::ListsAllAsDue) { Day(u32::MAX) } else { until };
        self.inner.due(bucket, until, after, limit).await
    }

    async fn not_due(&self, bucket: u16, listed: Due, seen: Option<Revision>) -> Result<(), StoreError> {
        self.inner.not_due(bucket, listed, seen).await
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        self.inner.quota_use(organization, user).await
    }

    async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError> {
        self.inner.project_use(organization, project).await
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.inner.put_organization(record, expected).await
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.inner.put_project(record, expected).await
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError> {
        if self.is(Bend::LeavesOutUnknownUsers) {
            let held = self.inner.users(organization, users).await?;
            return Ok(held.into_iter().filter(Option::is_some).collect());
        }
        self.inner.users(organization, users).await
    }

    async fn put_user(&self, record: &UserRecord, expected: Option<Revision>) -> Result<Acknowledgement, WriteRefusal> {
        if self.is(Bend::WritesUsersOver) {
            let held = self.inner.users(&record.organization, std::slice::from_ref(&record.id)).await?;
            let expected = held.into_iter().next().flatten().map(|held| held.revision);
            return self.inner.put_user(record, expected).await;
        }
        self.inner.put_user(record, expected).await
    }

    async fn put_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        if self.is(Bend::WritesRolesOver) {
            let held = self.inner.parents(&record.organization, None).await?.roles.map(|held| held.revision);
            return self.inner.put_roles(record, held).await;
        }
        self.inner.put_roles(record, expected).await
    }

    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        let memos = || self.memos.lock().unwrap();
        match self.bend {
            Bend::RemembersTheLast => Ok(memos().insert(*name, value.to_vec())),
            Bend::LooksBeforeItRemembers => {
                let held = memos().get(name).cloned();
                tokio::task::yield_now().await;
                if held.is_none() {
                    memos().insert(*name, value.to_vec());
                }
                Ok(held)
            }
            Bend::GivesMemosMoreTime => {
                let held = self.inner.remember(name, value, ttl).await?;
                if let Some(held) = &held {
                    memos().insert(*name, held.clone());
                }
                Ok(held)
            }
            Bend::RemembersForEver => self.inner.remember(name, value, Duration::MAX).await,
            Bend::RemembersByHalfTheName => self.inner.remember(&half(name), value, ttl).await,
            Bend::RemembersWhatIsLarge => {
                let value = &value[..value.len().min(MAX_MEMO_BYTES)];
                self.inner.remember(name, value, ttl).await
            }
            _ => self.inner.remember(name, value, ttl).await,
        }
    }

    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError> {
        let held = self.memos.lock().unwrap().get(name).cloned();
        match held {
            Some(held) => Ok(Some(held)),
            None if self.is(Bend::RemembersByHalfTheName) => self.inner.recall(&half(name)).await,
            None => self.inner.recall(name).await,
        }
    }

    async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
        let mut found = self.inner.look_up(tokens).await?;
        if self.is(Bend::LooksUpInAnotherOrder) {
            found.reverse();
        }
        Ok(found)
    }

    async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError> {
        match self.bend {
            Bend::TakesLookupsFromOthers => {
                let held = self.inner.take_lookups(taken).await?;
                for ((token, id), held) in taken.iter().zip(&held) {
                    if let Some(held) = held {
                        self.inner.free_lookup(token, *held).await?;
                        self.inner.take_lookups(&[(*token, *id)]).await?;
                    }
                }
                Ok(held)
            }
            Bend::LooksBeforeItTakesLookups => {
                let tokens: Vec<_> = taken.iter().map(|(token, _)| *token).collect();
                let held = self.inner.look_up(&tokens).await?;
                tokio::task::yield_now().await;
                self.inner.take_lookups(taken).await?;
                Ok(held)
            }
            _ => self.inner.take_lookups(taken).await,
        }
    }

    async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
        match (self.bend, self.inner.look_up(&[*token]).await?[0]) {
            (Bend::FreesWhoseverLookup, Some(held)) => self.inner.free_lookup(token, held).await,
            (Bend::SaysEveryLookupIsFreed, _) => self.inner.free_lookup(token, id).await.map(|_| true),
            _ => self.inner.free_lookup(token, id).await,
        }
    }

    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        let (mut pool, mut call) = (pool.clone(), call.clone());
        match (self.bend, &pool) {
            (Bend::GrantsAgainWhatComesAgain, _) if !call.only_looks() => {
                call.sequence = self.calls.fetch_add(1, Ordering::Relaxed) + 1_000;
            }
            (Bend::GrantsBeforeItCounts, _) if !call.only_looks() => {
                let look = self.inner.lease(&pool, limits, &Call::look()).await?;
                tokio::task::yield_now().await;
                if look.left.iter().flatten().all(|left| *left >= call.cost) {
                    self.inner.lease(&pool, &Limits::UNLIMITED, &call).await?;
                    let until = look.now + 60_000;
                    let grant = Grant { tokens: call.cost, from: look.now, until };
                    return Ok(Answer { outcome: Outcome::Granted(grant), ..look });
                }
            }
            (Bend::GrantsOneUserAsAnother, PoolId::User(_, user)) => {
                pool = PoolId::User(OrganizationId::new("everybody").unwrap(), user.clone());
            }
            (Bend::WritesWhatIsLookedAt, _) if call.only_looks() => {
                let now = self.inner.lease(&pool, limits, &call).await?.now;
                call = Call { writer: call::Writer(1), sequence: 1, not_after: now + 1_000, ..call };
            }
            _ => {}
        }
        self.inner.lease(&pool, limits, &call).await
    }

    async fn record_usage(&self, bucket: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError> {
        self.miscounter.record(bucket, writer, batches).await
    }

    async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError> {
        self.miscounter.usage(subject, days).await
    }

    async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        self.miscounter.last_uses(keys).await
    }

    async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        self.miscounter.most_used(organization, month, limit).await
    }

    async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        self.misfinder.habits(key).await
    }

    async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError> {
        self.misfinder.put_habits(key, previous, next).await
    }

    async fn record_finding(&self, finding: &Finding) -> Result<bool, StoreError> {
        self.misfinder.record_finding(finding).await
    }

    async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<Finding>, StoreError> {
        self.misfinder.findings(organization, key, limit, before).await
    }

    async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError> {
        self.inner.webhooks(organization).await
    }

    async fn put_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let expected = if self.is(Bend::PutsWebhooksOverOthers) {
            self.inner.webhooks(&record.organization).await?.map(|held| held.revision)
        } else {
            expected
        };
        self.inner.put_webhooks(record, expected).await
    }

    async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        self.misposter.put_notice(notice, how).await
    }

    async fn take_notices(
        &self,
        _: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        self.misposter.take_notices(now, until, limit).await
    }

    async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        self.misposter.settle_notice(taken, fate).await
    }

    async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        self.misposter.given_up(organization, limit).await
    }

    async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        self.misposter.redrive_notice(notice, room).await
    }

    async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError> {
        self.inner.append_audit(organization, entry).await
    }

    async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        self.inner.audit_state(organization).await
    }

    async fn audit_entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError> {
        self.inner.audit_entries(organization, range, newest_first, limit).await
    }

    async fn audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError> {
        self.inner.audit_seals(organization, after, limit).await
    }

    async fn put_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError> {
        self.inner.put_audit_seal(organization, previous, seal).await
    }

    async fn trim_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        self.inner.trim_audit(organization, through, checkpoint, previous).await
    }

    async fn audited(
        &self,
        bucket: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        self.inner.audited(bucket, after, limit).await
    }

    async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.inner.audit_ring_usage().await
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.inner.ring_usage().await
    }
}
