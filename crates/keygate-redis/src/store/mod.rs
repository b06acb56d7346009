//! The store: which promise is kept where.
//!
//! A key's record is in the key's slot; the lists it stands in and the quotas it counts against are in its
//! organization's. A change that concerns both is made in three steps:
//!
//! 1. *intend* (`reserve` for creations): a pending entry with a deadline is written in the organization's slot;
//!    for a creation the key takes its places in the lists and in the quotas with it, or is refused;
//! 2. *write*: one script in the key's slot, which refuses after the deadline and refuses what is fenced;
//! 3. *settle*: lists and quotas are made to agree with the record as it was seen, and the pending entry goes.
//!
//! Whoever dies in between leaves a pending entry. After its deadline the next creator of the organization, or
//! [`RedisStore::reap`], reads the record it is about, fences a creation that never was written, and settles.
//! Revocation alone does not wait for the organization's slot: its tombstone is written even if step 1 fails.

mod audit;
mod create;
mod delete;
mod due;
mod findings;
mod habits;
mod lease;
mod list;
mod lookups;
mod markers;
mod memo;
mod notices;
mod reap;
mod records;
mod replace;
mod reply;
mod revoke;
mod ring_usage;
mod settle;
mod status;
mod succeed;
#[cfg(test)]
mod tests;
mod unsettled;
mod usage;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_redis::Pool;
use keygate_core::anomaly::{self, FindingCursor};
use keygate_core::audit::{Append, AuditState, KeptEntry, KeptSeal};
use keygate_core::coherence::{Coherence, Read, Watcher};
use keygate_core::key::{BUCKETS, KeyId};
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

use crate::coherence::{Audience, told_everywhere};
use crate::examine::examine;
use crate::layout::{Layout, NOTICE_SHARDS, Namespace};
use crate::link::Link;
use crate::settings::{RedisSettings, SettingsError, Terms};
use unsettled::Unsettled;

/// How long a change may take from its first step to its second.
const RESERVATION: Duration = Duration::from_secs(30);

/// Keeps keys in Redis. See the [crate docs](crate) for an example.
///
/// Calls are safe to drop at any await: what they had sent may or may not happen, and is put right by whoever comes
/// next. Acknowledgements claim nothing: no replica count, no fsync. Redis acknowledges before its replicas have a
/// write, so a failover can lose what the last moments wrote.
#[derive(Debug)]
pub struct RedisStore {
    link: Link,
    /// None over a pool. For an examination, which makes connections of its own.
    settings: Option<RedisSettings>,
    audience: Arc<Audience>,
    layout: Layout,
    reservation: Duration,
    unsettled: Unsettled,
    /// What was counted of so many was lost, as what is there of them cannot be added to.
    passed_over: AtomicU64,
}

impl RedisStore {
    /// A store with one connection of its own, made when first needed and made again whenever it is lost.
    #[must_use]
    pub fn connect(settings: RedisSettings) -> Self {
        let audience = audience(settings.namespace.clone(), settings.terms);
        let link = Link::new(settings.clone(), Arc::clone(&audience));
        Self::over(link, Some(settings), audience)
    }

    /// A store that uses a pool that is already there. Its address and time limits are the pool's own, except that no
    /// command takes longer than 3 s.
    ///
    /// One multiplexed connection, which [`connect`](Self::connect) makes, is several times faster under load: a pool
    /// checks each connection with a round trip before it hands it out again. And nobody can be told of changes over
    /// connections that are not the store's own: who watches it believes what it read for the length of a
    /// [lease](Self::with_lease), whatever changes.
    #[must_use]
    pub fn from_pool(pool: Pool, namespace: Namespace) -> Self {
        let audience = audience(namespace, Terms::default());
        Self::over(Link::pooled(pool, Arc::clone(&audience)), None, audience)
    }

    fn over(link: Link, settings: Option<RedisSettings>, audience: Arc<Audience>) -> Self {
        let layout = audience.layout.clone();
        let (unsettled, passed_over) = Default::default();
        Self { link, settings, audience, layout, reservation: RESERVATION, unsettled, passed_over }
    }

    /// The lease H, as [`RedisSettings::with_lease`] sets it: for stores over a pool.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn with_lease(self, lease: Duration) -> Result<Self, SettingsError> {
        self.audience.change_terms(|terms| terms.set_lease(lease))?;
        Ok(self)
    }

    /// The longest that any instance may believe what it was not told of, as [`RedisSettings::with_max_staleness`] sets
    /// it: for stores over a pool.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn with_max_staleness(self, staleness: Duration) -> Result<Self, SettingsError> {
        self.audience.change_terms(|terms| terms.set_max_staleness(staleness))?;
        Ok(self)
    }

    /// How long an unfinished change holds its place before others may clear it away: 30 s by default. It should be
    /// well above the time a call may take; a creation that takes longer fails.
    #[must_use]
    pub fn with_reservation(mut self, reservation: Duration) -> Self {
        self.reservation = reservation;
        self
    }

    /// The names this store keeps things under.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

fn audience(namespace: Namespace, terms: Terms) -> Arc<Audience> {
    Arc::new(Audience::new(Layout::new(namespace), terms))
}

#[async_trait]
impl Store for RedisStore {
    fn describe(&self) -> String {
        self.link.describe()
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.read_deployment().await.map(|marker| marker.map(|(deployment, _)| deployment))
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        self.swap_deployment(previous, next).await
    }

    fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        if self.audience.add(watcher, stale) {
            // Nobody is registered for so long yet.
            self.link.renew();
        }
    }

    fn coherence(&self) -> Coherence {
        self.link.coherence()
    }

    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        self.keep_record(id).await
    }

    async fn load_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        self.keep_parents(organization, project).await
    }

    async fn load_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        self.keep_user(organization, user).await
    }

    async fn told_everywhere(&self) -> Result<bool, StoreError> {
        told_everywhere(&self.link, &self.audience).await.map_err(StoreError::unavailable)
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.read_record(id).await
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        self.read_parents(organization, project).await
    }

    async fn create_within(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        self.create_all(organization, quotas, &records).await
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        self.replace_record(record, expected).await
    }

    async fn succeed(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.succeed_record(old, expected, new).await
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        self.change_status(organization, id, change).await
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.delete_record(organization, id, expected).await
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        self.list_records(listing, after, limit).await
    }

    fn due_buckets(&self) -> u16 {
        BUCKETS
    }

    async fn due(&self, bucket: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.list_due(bucket, until, after, limit).await
    }

    async fn not_due(&self, _: u16, listed: Due, seen: Option<Revision>) -> Result<(), StoreError> {
        self.unlist_due(listed, seen).await
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        self.count_quota(organization, user).await
    }

    async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError> {
        self.count_project(organization, project).await
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.write_organization(record, expected).await
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.write_project(record, expected).await
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError> {
        self.read_users(organization, users).await
    }

    async fn put_user(&self, record: &UserRecord, expected: Option<Revision>) -> Result<Acknowledgement, WriteRefusal> {
        self.write_user(record, expected).await
    }

    async fn put_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.write_roles(record, expected).await
    }

    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        self.remember_memo(name, value, ttl).await
    }

    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError> {
        self.recall_memo(name).await
    }

    async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
        self.find_lookups(tokens).await
    }

    async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError> {
        self.take_all_lookups(taken).await
    }

    async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
        self.free_one_lookup(token, id).await
    }

    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        self.lease_tokens(pool, limits, call).await
    }

    fn usage_bucket(&self, subject: &Subject) -> u16 {
        Layout::usage_bucket(subject).number()
    }

    async fn record_usage(&self, bucket: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError> {
        self.record_batches(bucket, writer, batches).await
    }

    fn usage_passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }

    async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError> {
        self.read_usage(subject, days).await
    }

    async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        self.read_last_uses(keys).await
    }

    async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        self.read_most_used(organization, month, limit).await
    }

    async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_habits(key).await
    }

    async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError> {
        self.swap_habits(key, previous, next).await
    }

    async fn record_finding(&self, finding: &anomaly::Finding) -> Result<bool, StoreError> {
        self.keep_finding(finding).await
    }

    async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<anomaly::Finding>, StoreError> {
        self.list_findings(organization, key, limit, before).await
    }

    fn instances(&self) -> u64 {
        self.link.instances()
    }

    async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError> {
        self.read_webhooks(organization).await
    }

    async fn put_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.write_webhooks(record, expected).await
    }

    fn notice_shards(&self) -> u16 {
        NOTICE_SHARDS
    }

    async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        self.keep_notice(notice, how).await
    }

    async fn take_notices(
        &self,
        shard: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        self.take_due_notices(shard, now, until, limit).await
    }

    async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        self.end_notice(taken, fate).await
    }

    async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        self.list_given_up(organization, limit).await
    }

    async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        self.take_up_again(notice, room).await
    }

    async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError> {
        self.keep_audit(organization, entry).await
    }

    async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        self.read_audit_state(organization).await
    }

    async fn audit_entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError> {
        self.read_audit(organization, range, newest_first, limit).await
    }

    async fn audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError> {
        self.read_audit_seals(organization, after, limit).await
    }

    async fn put_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError> {
        self.keep_audit_seal(organization, previous, seal).await
    }

    async fn trim_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        self.cut_audit(organization, through, checkpoint, previous).await
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.count_ring_usage().await
    }

    fn audit_buckets(&self) -> u16 {
        BUCKETS
    }

    async fn audited(
        &self,
        bucket: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        self.list_audited(bucket, after, limit).await
    }

    async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.count_audit_ring_usage().await
    }

    async fn examine(&self, _: Depth) -> Vec<Finding> {
        examine(&self.link, self.settings.as_ref(), &self.audience).await
    }
}
