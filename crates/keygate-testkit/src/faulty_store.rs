//! A store that fails when a test says so, and counts what it is asked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use keygate_core::anomaly::{self, FindingCursor};
use keygate_core::audit::{Append, AuditState, KeptEntry, KeptSeal};
use keygate_core::clock::Tick;
use keygate_core::coherence::{Coherence, Lease, Read, Watcher};
use keygate_core::key::KeyId;
use keygate_core::limiter::call::{Answer, Call};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limits::Limits;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::notice::{Fate, Parcel, Posted, Posting, WebhookRecord};
use keygate_core::record::{
    KeyRecord, OrganizationRecord, Parents, ProjectRecord, Quotas, Revision, RolesRecord, StatusChange, UserRecord,
};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Depth, Due, Finding, Listing, LookupToken, MemoName, QuotaUse,
    RecordPage, Store, StoreError, WriteRefusal, Written,
};
use keygate_core::usage::batch::{Batch, LastUse, Mark, Writer};
use keygate_core::usage::book::Account;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;
use tokio::sync::watch;

use crate::faulty_word::Word;

/// Passes calls on to another store, except while it is told not to. Cheap to clone: clones share their state, and those
/// who watch are told while one of them lives.
///
/// What it loads comes under a lease of its own in the place of the inner store's, so that a test can let that
/// [lapse](Self::lapse). So the end of the inner store's lease is not seen: whoever wipes a
/// [`MemoryStore`](keygate_core::store::MemoryStore) behind it says [`renew_lease`](Self::renew_lease).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use keygate_core::store::{MemoryStore, Store};
/// use keygate_testkit::{FaultyStore, sample};
///
/// let store = FaultyStore::new(MemoryStore::new());
/// let id = sample::record(&sample::organization(), &sample::user("ann")).key.id;
/// store.fail();
/// assert!(store.record(id).await.is_err());
/// store.heal();
/// assert!(store.record(id).await.is_ok());
/// assert_eq!(store.calls().record, 2);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    fault: Arc<watch::Sender<Fault>>,
    calls: Arc<watch::Sender<StoreCalls>>,
    word: Arc<Word>,
    audit_fails: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Fail,
    LoseAnswers,
    Stall,
}

/// How often each method was called, whether or not the call was passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each field is the method of that name
pub struct StoreCalls {
    pub deployment: u64,
    pub put_deployment: u64,
    pub load_record: u64,
    pub load_parents: u64,
    pub load_user: u64,
    pub told_everywhere: u64,
    pub record: u64,
    pub parents: u64,
    pub create: u64,
    pub replace: u64,
    pub succeed: u64,
    pub set_status: u64,
    pub delete: u64,
    pub list: u64,
    pub due: u64,
    pub not_due: u64,
    pub quota_use: u64,
    pub put_organization: u64,
    pub put_project: u64,
    pub users: u64,
    pub put_user: u64,
    pub put_roles: u64,
    pub remember: u64,
    pub recall: u64,
    pub look_up: u64,
    pub take_lookups: u64,
    pub free_lookup: u64,
    pub lease: u64,
    pub record_usage: u64,
    pub usage: u64,
    pub last_uses: u64,
    pub most_used: u64,
    pub habits: u64,
    pub put_habits: u64,
    pub record_finding: u64,
    pub findings: u64,
    pub webhooks: u64,
    pub put_webhooks: u64,
    pub put_notice: u64,
    pub take_notices: u64,
    pub settle_notice: u64,
    pub given_up: u64,
    pub redrive_notice: u64,
    pub append_audit: u64,
    pub audit_state: u64,
    pub audit_entries: u64,
    pub audit_seals: u64,
    pub put_audit_seal: u64,
    pub trim_audit: u64,
    pub audited: u64,
    pub audit_ring_usage: u64,
    pub ring_usage: u64,
    pub examine: u64,
}

impl StoreCalls {
    /// All of them together, but for those of the audit: what is done and what is refused is written there, and sealed a second
    /// later by itself.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { deployment, put_deployment, record, parents, create, replace, succeed, set_status, .. } = self;
        let Self { delete, list, quota_use, put_organization, put_project, ring_usage, .. } = self;
        let Self { load_record, load_parents, told_everywhere, remember, recall, lease, examine, .. } = self;
        let written =
            create + replace + succeed + set_status + delete + put_organization + put_project + put_deployment;
        let Self { load_user, users, put_user, put_roles, .. } = self;
        let owners = load_user + users + put_user + put_roles;
        let loaded = load_record + load_parents + told_everywhere;
        let Self { record_usage, usage, last_uses, most_used, due, not_due, .. } = self;
        let Self { habits, put_habits, record_finding, findings, .. } = self;
        let (memos, counted) = (remember + recall, record_usage + usage + last_uses + most_used);
        let Self { webhooks, put_webhooks, put_notice, take_notices, settle_notice, given_up, redrive_notice, .. } =
            self;
        let Self { look_up, take_lookups, free_lookup, .. } = self;
        let found = look_up + take_lookups + free_lookup;
        let unusual = habits + put_habits + record_finding + findings;
        let told = webhooks + put_webhooks + put_notice + take_notices + settle_notice + given_up + redrive_notice;
        let read = deployment + record + parents + list + quota_use + ring_usage + examine;
        read + written + loaded + owners + memos + lease + counted + unusual + found + due + not_due + told
    }
}

impl FaultyStore {
    /// Stands before `inner`, and works.
    #[must_use]
    pub fn new(inner: impl Store) -> Self {
        Self::before(Arc::new(inner))
    }

    /// The same, before a store that others hold too.
    #[must_use]
    pub fn before(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            fault: Arc::new(watch::channel(Fault::None).0),
            calls: Arc::new(watch::channel(StoreCalls::default()).0),
            word: Arc::new(Word::new()),
            audit_fails: Arc::default(),
        }
    }

    /// From now on nothing is written in the audit, while all else works; or it is again.
    pub fn fail_audit(&self, fails: bool) {
        self.audit_fails.store(fails, Ordering::SeqCst);
    }

    /// From now on calls fail, and nothing is passed on.
    pub fn fail(&self) {
        self.fault.send_replace(Fault::Fail);
    }

    /// From now on calls are passed on, and then fail: a write happens and looks failed.
    pub fn lose_answers(&self) {
        self.fault.send_replace(Fault::LoseAnswers);
    }

    /// From now on calls wait until [`heal`](Self::heal), [`fail`](Self::fail) or
    /// [`lose_answers`](Self::lose_answers) decides them. Calls are counted before they wait.
    pub fn stall(&self) {
        self.fault.send_replace(Fault::Stall);
    }

    /// From now on those who were made to watch through this store are told of no change, as if the word were lost on
    /// the way. Whatever else is wrong with the store stays so.
    pub fn deafen(&self) {
        self.word.deafen();
    }

    /// The lease ends: what was loaded is no longer vouched for, nor what is loaded until [`heal`](Self::heal).
    pub fn lapse(&self) {
        self.word.lapse();
    }

    /// The lease ends and another begins, as at a new connection: what was loaded is no longer vouched for, what is
    /// loaded from now on is.
    pub fn renew_lease(&self) {
        self.word.renew();
    }

    /// From now on the lease, which was without an end, is until this moment: what was loaded is vouched for no longer,
    /// what is loaded from now on is until then. A later moment extends the same lease, as a heartbeat does; an earlier
    /// one begins another.
    pub fn vouch_until(&self, moment: Tick) {
        self.word.vouch_until(moment);
    }

    /// From now on calls are passed on and answered, and those that wait go on. Those who watch are told again. A lease
    /// that has ended stays so, and another without an end begins.
    pub fn heal(&self) {
        self.word.heal();
        self.fault.send_replace(Fault::None);
    }

    /// The calls since the start, or since [`reset_calls`](Self::reset_calls).
    #[must_use]
    pub fn calls(&self) -> StoreCalls {
        *self.calls.borrow()
    }

    /// Starts counting at nothing.
    pub fn reset_calls(&self) {
        self.calls.send_replace(StoreCalls::default());
    }

    /// Waits until the calls are as `reached` asks.
    pub async fn wait_for_calls(&self, mut reached: impl FnMut(&StoreCalls) -> bool) {
        // It fails only when the sender is gone, and `self` holds it.
        let _ = self.calls.subscribe().wait_for(|calls| reached(calls)).await;
    }

    /// Counts a call, lets it wait while the store is stalled, and says whether its answer is to be lost.
    async fn enter(&self, count: impl FnOnce(&mut StoreCalls)) -> Result<bool, StoreError> {
        self.calls.send_modify(count);
        let fault = self.fault.subscribe().wait_for(|fault| *fault != Fault::Stall).await.map(|fault| *fault);
        match fault {
            Ok(Fault::Fail) => Err(StoreError::unavailable("a test made the store fail")),
            Ok(Fault::LoseAnswers) => Ok(true),
            _ => Ok(false),
        }
    }
}

/// The answer, unless it is to be lost.
fn answer<T, E: From<StoreError>>(lost: bool, answer: Result<T, E>) -> Result<T, E> {
    if lost { Err(StoreError::unavailable("a test lost the store's answer").into()) } else { answer }
}

/// What was read, under this lease, if there is to be one. The lease is the one from before the reading: one that begins
/// meanwhile says nothing of it.
fn under<T>(lease: Arc<Lease>, read: Read<T>) -> Read<T> {
    Read { lease: read.lease.is_some().then_some(lease), ..read }
}

#[async_trait]
impl Store for FaultyStore {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        let lost = self.enter(|calls| calls.deployment += 1).await?;
        answer(lost, self.inner.deployment().await)
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.put_deployment += 1).await?;
        answer(lost, self.inner.put_deployment(previous, next).await)
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let lost = self.enter(|calls| calls.record += 1).await?;
        answer(lost, self.inner.record(id).await)
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        let lost = self.enter(|calls| calls.parents += 1).await?;
        answer(lost, self.inner.parents(organization, project).await)
    }

    fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        self.inner.watch(self.word.ear(watcher), stale);
    }

    fn coherence(&self) -> Coherence {
        match self.inner.coherence() {
            Coherence::InProcess | Coherence::Live if !self.word.lease().is_live(Tick::now()) => Coherence::Lapsed,
            coherence => coherence,
        }
    }

    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        let lost = self.enter(|calls| calls.load_record += 1).await?;
        let lease = self.word.lease();
        answer(lost, self.inner.load_record(id).await.map(|read| under(lease, read)))
    }

    async fn load_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        let lost = self.enter(|calls| calls.load_parents += 1).await?;
        let lease = self.word.lease();
        answer(lost, self.inner.load_parents(organization, project).await.map(|read| under(lease, read)))
    }

    async fn load_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        let lost = self.enter(|calls| calls.load_user += 1).await?;
        let lease = self.word.lease();
        answer(lost, self.inner.load_user(organization, user).await.map(|read| under(lease, read)))
    }

    async fn told_everywhere(&self) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.told_everywhere += 1).await?;
        answer(lost, self.inner.told_everywhere().await)
    }

    async fn create_within(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        let lost = self.enter(|calls| calls.create += 1).await?;
        answer(lost, self.inner.create_within(organization, quotas, records).await)
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.replace += 1).await?;
        answer(lost, self.inner.replace(record, expected).await)
    }

    async fn succeed(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.succeed += 1).await?;
        answer(lost, self.inner.succeed(old, expected, new).await)
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        let lost = self.enter(|calls| calls.set_status += 1).await?;
        answer(lost, self.inner.set_status(organization, id, change).await)
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.delete += 1).await?;
        answer(lost, self.inner.delete(organization, id, expected).await)
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        let lost = self.enter(|calls| calls.list += 1).await?;
        answer(lost, self.inner.list(listing, after, limit).await)
    }

    fn due_buckets(&self) -> u16 {
        self.inner.due_buckets()
    }

    async fn due(&self, bucket: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError> {
        let lost = self.enter(|calls| calls.due += 1).await?;
        answer(lost, self.inner.due(bucket, until, after, limit).await)
    }

    async fn not_due(&self, bucket: u16, listed: Due, seen: Option<Revision>) -> Result<(), StoreError> {
        let lost = self.enter(|calls| calls.not_due += 1).await?;
        answer(lost, self.inner.not_due(bucket, listed, seen).await)
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        let lost = self.enter(|calls| calls.quota_use += 1).await?;
        answer(lost, self.inner.quota_use(organization, user).await)
    }

    async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError> {
        let lost = self.enter(|calls| calls.quota_use += 1).await?;
        answer(lost, self.inner.project_use(organization, project).await)
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.put_organization += 1).await?;
        answer(lost, self.inner.put_organization(record, expected).await)
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.put_project += 1).await?;
        answer(lost, self.inner.put_project(record, expected).await)
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError> {
        let lost = self.enter(|calls| calls.users += 1).await?;
        answer(lost, self.inner.users(organization, users).await)
    }

    async fn put_user(&self, record: &UserRecord, expected: Option<Revision>) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.put_user += 1).await?;
        answer(lost, self.inner.put_user(record, expected).await)
    }

    async fn put_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.put_roles += 1).await?;
        answer(lost, self.inner.put_roles(record, expected).await)
    }

    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        let lost = self.enter(|calls| calls.remember += 1).await?;
        answer(lost, self.inner.remember(name, value, ttl).await)
    }

    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError> {
        let lost = self.enter(|calls| calls.recall += 1).await?;
        answer(lost, self.inner.recall(name).await)
    }

    async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
        let lost = self.enter(|calls| calls.look_up += 1).await?;
        answer(lost, self.inner.look_up(tokens).await)
    }

    async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError> {
        let lost = self.enter(|calls| calls.take_lookups += 1).await?;
        answer(lost, self.inner.take_lookups(taken).await)
    }

    async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.free_lookup += 1).await?;
        answer(lost, self.inner.free_lookup(token, id).await)
    }

    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        let lost = self.enter(|calls| calls.lease += 1).await?;
        answer(lost, self.inner.lease(pool, limits, call).await)
    }

    fn usage_bucket(&self, subject: &Subject) -> u16 {
        self.inner.usage_bucket(subject)
    }

    async fn record_usage(&self, bucket: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError> {
        let lost = self.enter(|calls| calls.record_usage += 1).await?;
        answer(lost, self.inner.record_usage(bucket, writer, batches).await)
    }

    fn usage_passed_over(&self) -> u64 {
        self.inner.usage_passed_over()
    }

    async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError> {
        let lost = self.enter(|calls| calls.usage += 1).await?;
        answer(lost, self.inner.usage(subject, days).await)
    }

    async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        let lost = self.enter(|calls| calls.last_uses += 1).await?;
        answer(lost, self.inner.last_uses(keys).await)
    }

    async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        let lost = self.enter(|calls| calls.most_used += 1).await?;
        answer(lost, self.inner.most_used(organization, month, limit).await)
    }

    async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        let lost = self.enter(|calls| calls.habits += 1).await?;
        answer(lost, self.inner.habits(key).await)
    }

    async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.put_habits += 1).await?;
        answer(lost, self.inner.put_habits(key, previous, next).await)
    }

    async fn record_finding(&self, finding: &anomaly::Finding) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.record_finding += 1).await?;
        answer(lost, self.inner.record_finding(finding).await)
    }

    async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<anomaly::Finding>, StoreError> {
        let lost = self.enter(|calls| calls.findings += 1).await?;
        answer(lost, self.inner.findings(organization, key, limit, before).await)
    }

    async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError> {
        let lost = self.enter(|calls| calls.webhooks += 1).await?;
        answer(lost, self.inner.webhooks(organization).await)
    }

    async fn put_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.put_webhooks += 1).await?;
        answer(lost, self.inner.put_webhooks(record, expected).await)
    }

    fn notice_shards(&self) -> u16 {
        self.inner.notice_shards()
    }

    async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        let lost = self.enter(|calls| calls.put_notice += 1).await?;
        answer(lost, self.inner.put_notice(notice, how).await)
    }

    async fn take_notices(
        &self,
        shard: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        let lost = self.enter(|calls| calls.take_notices += 1).await?;
        answer(lost, self.inner.take_notices(shard, now, until, limit).await)
    }

    async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.settle_notice += 1).await?;
        answer(lost, self.inner.settle_notice(taken, fate).await)
    }

    async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        let lost = self.enter(|calls| calls.given_up += 1).await?;
        answer(lost, self.inner.given_up(organization, limit).await)
    }

    async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        let lost = self.enter(|calls| calls.redrive_notice += 1).await?;
        answer(lost, self.inner.redrive_notice(notice, room).await)
    }

    async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError> {
        let lost = self.enter(|calls| calls.append_audit += 1).await?;
        if self.audit_fails.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("the test says so, of the audit"));
        }
        answer(lost, self.inner.append_audit(organization, entry).await)
    }

    async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        let lost = self.enter(|calls| calls.audit_state += 1).await?;
        answer(lost, self.inner.audit_state(organization).await)
    }

    async fn audit_entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError> {
        let lost = self.enter(|calls| calls.audit_entries += 1).await?;
        answer(lost, self.inner.audit_entries(organization, range, newest_first, limit).await)
    }

    async fn audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError> {
        let lost = self.enter(|calls| calls.audit_seals += 1).await?;
        answer(lost, self.inner.audit_seals(organization, after, limit).await)
    }

    async fn put_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.put_audit_seal += 1).await?;
        answer(lost, self.inner.put_audit_seal(organization, previous, seal).await)
    }

    async fn trim_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let lost = self.enter(|calls| calls.trim_audit += 1).await?;
        answer(lost, self.inner.trim_audit(organization, through, checkpoint, previous).await)
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        let lost = self.enter(|calls| calls.ring_usage += 1).await?;
        answer(lost, self.inner.ring_usage().await)
    }

    fn audit_buckets(&self) -> u16 {
        self.inner.audit_buckets()
    }

    async fn audited(
        &self,
        bucket: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        let lost = self.enter(|calls| calls.audited += 1).await?;
        answer(lost, self.inner.audited(bucket, after, limit).await)
    }

    async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        let lost = self.enter(|calls| calls.audit_ring_usage += 1).await?;
        answer(lost, self.inner.audit_ring_usage().await)
    }

    async fn examine(&self, depth: Depth) -> Vec<Finding> {
        let examined = match self.enter(|calls| calls.examine += 1).await {
            Ok(lost) => answer(lost, Ok(self.inner.examine(depth).await)),
            Err(error) => Err(error),
        };
        examined.unwrap_or_else(|error: StoreError| vec![Finding::failure("store", error.to_string(), "heal it")])
    }
}
