//! The store in memory: for examples and tests, and the model the other stores are tested against.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Bound, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::audit::Audits;
use super::memo::Memos;
use super::notices::Notices;
use super::{
    Acknowledgement, CreateRefusal, Deployment, Depth, Due, Finding, Listing, LookupToken, MemoName, QuotaUse,
    RecordPage, Store, StoreError, WriteRefusal, Written, check_lookups, check_memo,
};
use crate::anomaly::habits::HABITS_KEPT_DAYS;
use crate::anomaly::{self, FindingCursor, KeptFindings};
use crate::audit::{Append, AuditState, KeptEntry, KeptSeal};
use crate::clock::{Clock, SystemClock};
use crate::coherence::{Change, Coherence, Lease, Read, Watcher, Watchers};
use crate::key::KeyId;
use crate::lifecycle;
use crate::limiter::call::{Answer, Call};
use crate::limiter::ledger::Ledger;
use crate::limiter::policy::PoolId;
use crate::limiter::window::Millis;
use crate::limits::Limits;
use crate::names::{OrganizationId, ProjectId, UserId};
use crate::notice::{Fate, Parcel, Posted, Posting, SENT_KEPT, WebhookRecord};
use crate::record::{
    Key, KeyRecord, KeyStatus, OrganizationRecord, Parents, ProjectRecord, Quotas, Revision, RolesRecord, StatusChange,
    UserRecord,
};
use crate::ring::EntryId;
use crate::usage::batch::{Batch, LastUse, Mark, Writer};
use crate::usage::book::{Account, Book};
use crate::usage::period::{Day, Month};
use crate::usage::subject::Subject;

const SWEEP_FIRST: usize = 1024;

/// Keeps everything in memory; it is gone with the process. Cheap to clone: clones share what they keep.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    watchers: Arc<Watchers>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    /// Without an end, because every change is told in memory; except that all is lost.
    lease: Option<Arc<Lease>>,
    deployment: Option<Deployment>,
    records: BTreeMap<KeyId, KeyRecord>,
    by_organization: BTreeMap<OrganizationId, BTreeSet<KeyId>>,
    by_user: BTreeMap<(OrganizationId, UserId), BTreeSet<KeyId>>,
    by_project: BTreeMap<(OrganizationId, ProjectId), BTreeSet<KeyId>>,
    organizations: BTreeMap<OrganizationId, OrganizationRecord>,
    projects: BTreeMap<(OrganizationId, ProjectId), ProjectRecord>,
    users: BTreeMap<(OrganizationId, UserId), UserRecord>,
    roles: BTreeMap<OrganizationId, RolesRecord>,
    memos: Memos,
    lookups: BTreeMap<LookupToken, KeyId>,
    ledgers: BTreeMap<PoolId, (Ledger, Millis)>,
    /// At how many ledgers those that are over are swept out.
    sweep_at: usize,
    book: Book,
    /// A key's habits, and when they were put.
    habits: BTreeMap<KeyId, (Vec<u8>, DateTime<Utc>)>,
    findings: KeptFindings,
    webhooks: BTreeMap<OrganizationId, WebhookRecord>,
    notices: Notices,
    audits: Audits,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty store that reads the time, by which keys stop counting against quotas and memos are over, from `clock`.
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        Self { state: Arc::default(), watchers: Arc::default(), clock: Arc::new(clock) }
    }

    /// Loses everything, as a flushed or replaced server would.
    pub fn wipe(&self) {
        let lost = std::mem::take(&mut *self.state());
        if let Some(lease) = lost.lease {
            lease.end();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock between two halves of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    /// How many records there are, and none of them: they are every tenant's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("records", &self.state().records.len()).finish_non_exhaustive()
    }
}

fn counts(key: &Key, now: DateTime<Utc>) -> bool {
    key.counts_until().is_none_or(|end| end > now)
}

impl State {
    fn counting(&self, ids: Option<&BTreeSet<KeyId>>, now: DateTime<Utc>) -> u64 {
        let records = ids.into_iter().flatten().filter_map(|id| self.records.get(id));
        records.filter(|record| counts(&record.key, now)).count() as u64
    }

    fn lease(&mut self) -> Arc<Lease> {
        Arc::clone(self.lease.get_or_insert_with(|| Arc::new(Lease::forever())))
    }

    fn lease_of(&mut self, pool: &PoolId, limits: &Limits, call: &Call, now: Millis) -> Answer {
        if call.only_looks() {
            let held = self.ledgers.get(pool).filter(|(_, end)| *end > now);
            return held.cloned().unwrap_or_default().0.call(limits, call, now);
        }
        if self.ledgers.len() >= self.sweep_at.max(SWEEP_FIRST) {
            self.ledgers.retain(|_, (_, end)| *end > now);
            self.sweep_at = 2 * self.ledgers.len();
        }
        let (ledger, end) = self.ledgers.entry(pool.clone()).or_default();
        if *end <= now {
            *ledger = Ledger::new();
        }
        let answer = ledger.call(limits, call, now);
        *end = ledger.expires();
        answer
    }

    /// A key's habits, while they are kept.
    fn habits(&self, key: KeyId, now: DateTime<Utc>) -> Option<&[u8]> {
        let (habits, put) = self.habits.get(&key)?;
        (now.signed_duration_since(put) < TimeDelta::days(HABITS_KEPT_DAYS.into())).then_some(habits)
    }

    fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Parents {
        Parents {
            organization: self.organizations.get(organization).cloned(),
            project: project.and_then(|project| self.projects.get(&(organization.clone(), project.clone())).cloned()),
            roles: self.roles.get(organization).cloned(),
        }
    }

    fn user(&self, organization: &OrganizationId, user: &UserId) -> Option<UserRecord> {
        self.users.get(&(organization.clone(), user.clone())).cloned()
    }

    fn quota_use(&self, organization: &OrganizationId, user: &UserId, now: DateTime<Utc>) -> QuotaUse {
        QuotaUse {
            organization: self.counting(self.by_organization.get(organization), now),
            user: self.counting(self.by_user.get(&(organization.clone(), user.clone())), now),
        }
    }

    fn project_use(&self, organization: &OrganizationId, project: &ProjectId, now: DateTime<Utc>) -> u64 {
        self.counting(self.by_project.get(&(organization.clone(), project.clone())), now)
    }

    fn create(
        &mut self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
        now: DateTime<Utc>,
    ) -> Vec<Result<(), CreateRefusal>> {
        // Counted once for each owner and not for each record, or a large import would count for minutes.
        let mut used = self.counting(self.by_organization.get(organization), now);
        let mut used_by: BTreeMap<UserId, u64> = BTreeMap::new();
        let mut used_in: BTreeMap<ProjectId, u64> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            let user = &record.key.user;
            let of_user = used_by
                .entry(user.clone())
                .or_insert_with(|| self.counting(self.by_user.get(&(organization.clone(), user.clone())), now));
            let mut of_project = quotas.of_project(record.key.project.as_ref()).map(|(project, limit)| {
                let used = used_in.entry(project.clone());
                (used.or_insert_with(|| self.project_use(organization, project, now)), limit)
            });
            let (limit, limit_of_user) = (quotas.quota.per_organization, quotas.of_user(user));
            let outcome = if self.records.contains_key(&record.key.id) {
                Err(CreateRefusal::Exists)
            } else if used >= limit {
                Err(CreateRefusal::OrganizationQuota { limit })
            } else if *of_user >= limit_of_user {
                Err(CreateRefusal::UserQuota { limit: limit_of_user })
            } else if let Some((_, limit)) = of_project.as_ref().filter(|(used, limit)| **used >= *limit) {
                Err(CreateRefusal::ProjectQuota { limit: *limit })
            } else {
                let counting = u64::from(counts(&record.key, now));
                used += counting;
                *of_user += counting;
                if let Some((used, _)) = &mut of_project {
                    **used += counting;
                }
                self.insert(record);
                Ok(())
            };
            outcomes.push(outcome);
        }
        outcomes
    }

    fn insert(&mut self, record: KeyRecord) {
        let Key { id, organization, user, project, .. } = &record.key;
        self.by_organization.entry(organization.clone()).or_default().insert(*id);
        self.by_user.entry((organization.clone(), user.clone())).or_default().insert(*id);
        if let Some(project) = project {
            self.by_project.entry((organization.clone(), project.clone())).or_default().insert(*id);
        }
        self.records.insert(*id, record);
    }

    /// The record that another is to be put in the place of.
    fn changeable(&mut self, next: &KeyRecord, expected: Revision) -> Result<&mut KeyRecord, WriteRefusal> {
        let held = self.owned(&next.key.organization, next.key.id)?;
        if held.key.status.status == KeyStatus::Revoked {
            return Err(WriteRefusal::Revoked);
        }
        if held.key.revision != expected {
            return Err(WriteRefusal::Conflict { found: held.key.revision });
        }
        Ok(held)
    }

    /// The record, if it is this tenant's.
    fn owned(&mut self, organization: &OrganizationId, id: KeyId) -> Result<&mut KeyRecord, WriteRefusal> {
        self.records.get_mut(&id).filter(|record| record.key.organization == *organization).ok_or(WriteRefusal::Absent)
    }
}

/// Whether a compare-and-set of a parent's record may go on.
fn expect(found: Option<Revision>, expected: Option<Revision>) -> Result<(), WriteRefusal> {
    match (found, expected) {
        (found, expected) if found == expected => Ok(()),
        (None, _) => Err(WriteRefusal::Absent),
        (Some(found), _) => Err(WriteRefusal::Conflict { found }),
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory:".into()
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        Ok(self.state().deployment.clone())
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        let mut state = self.state();
        let unchanged = state.deployment.as_ref() == previous;
        if unchanged {
            state.deployment = Some(next.clone());
        }
        Ok(unchanged)
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.state().records.get(&id).cloned())
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        Ok(self.state().parents(organization, project))
    }

    fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        self.watchers.add(watcher, stale);
    }

    fn coherence(&self) -> Coherence {
        Coherence::InProcess
    }

    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        let (sent, mut state) = (self.clock.tick(), self.state());
        Ok(Read::leased(state.records.get(&id).cloned(), sent, state.lease()))
    }

    async fn load_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        let (sent, mut state) = (self.clock.tick(), self.state());
        Ok(Read::leased(state.parents(organization, project), sent, state.lease()))
    }

    async fn load_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        let (sent, mut state) = (self.clock.tick(), self.state());
        Ok(Read::leased(state.user(organization, user), sent, state.lease()))
    }

    async fn told_everywhere(&self) -> Result<bool, StoreError> {
        drop(self.state());
        Ok(true)
    }

    async fn create_within(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        if let Some(stray) = records.iter().find(|record| record.key.organization != *organization) {
            return Err(StoreError::stray(stray.key.id));
        }
        let ids: Vec<KeyId> = records.iter().map(|record| record.key.id).collect();
        // Told before the next call sees it, here and everywhere below.
        let mut state = self.state();
        let outcomes = state.create(organization, quotas, records, self.clock.now());
        ids.into_iter().for_each(|id| self.watchers.tell(&Change::Key(id)));
        Ok(outcomes)
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        let mut state = self.state();
        *state.changeable(record, expected)? = record.clone();
        self.watchers.tell(&Change::Key(record.key.id));
        Ok(Acknowledgement::default())
    }

    async fn succeed(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
    ) -> Result<Acknowledgement, WriteRefusal> {
        if new.key.organization != old.key.organization {
            return Err(StoreError::stray(new.key.id).into());
        }
        let mut state = self.state();
        let taken = state.records.contains_key(&new.key.id);
        let held = state.changeable(old, expected)?;
        if taken {
            return Err(WriteRefusal::Conflict { found: Revision::FIRST });
        }
        *held = old.clone();
        state.insert(new.clone());
        self.watchers.tell(&Change::Key(old.key.id));
        self.watchers.tell(&Change::Key(new.key.id));
        Ok(Acknowledgement::default())
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        let mut state = self.state();
        let held = state.owned(organization, id)?;
        if held.key.status.status != change.status {
            if held.key.status.status == KeyStatus::Revoked {
                return Err(WriteRefusal::Revoked);
            }
            held.key.status = change.clone();
            held.key.revision = held.key.revision.next();
        }
        let written = Written { record: held.clone(), acknowledgement: Acknowledgement::default() };
        self.watchers.tell(&Change::Key(id));
        if change.status == KeyStatus::Revoked {
            self.watchers.tell(&Change::Revoked(id));
        }
        Ok(written)
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let mut state = self.state();
        let held = state.owned(organization, id)?;
        if held.key.revision != expected {
            return Err(WriteRefusal::Conflict { found: held.key.revision });
        }
        let owner = (organization.clone(), held.key.user.clone());
        let project = held.key.project.clone().map(|project| (organization.clone(), project));
        state.records.remove(&id);
        if let Some(ids) = state.by_organization.get_mut(organization) {
            ids.remove(&id);
        }
        if let Some(ids) = state.by_user.get_mut(&owner) {
            ids.remove(&id);
        }
        if let Some(ids) = project.and_then(|project| state.by_project.get_mut(&project)) {
            ids.remove(&id);
        }
        state.book.forget(&Subject::Key(id));
        state.habits.remove(&id);
        self.watchers.tell(&Change::Key(id));
        Ok(Acknowledgement::default())
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        let state = self.state();
        let ids = match listing {
            Listing::Organization(organization) => state.by_organization.get(organization),
            Listing::User(organization, user) => state.by_user.get(&(organization.clone(), user.clone())),
        };
        let before = after.map_or(Bound::Unbounded, Bound::Excluded);
        let older = ids.into_iter().flat_map(|ids| ids.range((Bound::Unbounded, before)).rev());
        let records: Vec<_> = older.filter_map(|id| state.records.get(id).cloned()).take(limit).collect();
        let next = (records.len() == limit).then(|| records.last().map(|record| record.key.id)).flatten();
        Ok(RecordPage { records, unreadable: Vec::new(), next })
    }

    async fn due(&self, _: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError> {
        let state = self.state();
        let listed = |record: &KeyRecord| lifecycle::due(record).map(|at| Due { day: Day::of(at), id: record.key.id });
        let all = state.records.values().filter_map(listed);
        let mut listed: Vec<_> = all.filter(|due| due.day <= until && after.is_none_or(|after| *due > after)).collect();
        listed.sort_unstable();
        listed.truncate(limit);
        Ok(listed)
    }

    /// What is listed is what the records say.
    async fn not_due(&self, _: u16, _: Due, _: Option<Revision>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        Ok(self.state().quota_use(organization, user, self.clock.now()))
    }

    async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError> {
        Ok(self.state().project_use(organization, project, self.clock.now()))
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let mut state = self.state();
        expect(state.organizations.get(&record.id).map(|held| held.revision), expected)?;
        state.organizations.insert(record.id.clone(), record.clone());
        self.watchers.tell(&Change::Organization(record.id.clone()));
        Ok(Acknowledgement::default())
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let mut state = self.state();
        let place = (record.organization.clone(), record.id.clone());
        expect(state.projects.get(&place).map(|held| held.revision), expected)?;
        state.projects.insert(place, record.clone());
        self.watchers.tell(&Change::Project(record.organization.clone(), record.id.clone()));
        Ok(Acknowledgement::default())
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError> {
        let state = self.state();
        Ok(users.iter().map(|user| state.user(organization, user)).collect())
    }

    async fn put_user(&self, record: &UserRecord, expected: Option<Revision>) -> Result<Acknowledgement, WriteRefusal> {
        let mut state = self.state();
        let place = (record.organization.clone(), record.id.clone());
        expect(state.users.get(&place).map(|held| held.revision), expected)?;
        state.users.insert(place, record.clone());
        self.watchers.tell(&Change::User(record.organization.clone(), record.id.clone()));
        Ok(Acknowledgement::default())
    }

    async fn put_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let mut state = self.state();
        expect(state.roles.get(&record.organization).map(|held| held.revision), expected)?;
        state.roles.insert(record.organization.clone(), record.clone());
        self.watchers.tell(&Change::Organization(record.organization.clone()));
        Ok(Acknowledgement::default())
    }

    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        check_memo(value)?;
        Ok(self.state().memos.remember(name, value, ttl, self.clock.now()))
    }

    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().memos.recall(name, self.clock.now()))
    }

    async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
        check_lookups(tokens.len())?;
        let state = self.state();
        Ok(tokens.iter().map(|token| state.lookups.get(token).copied()).collect())
    }

    async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError> {
        check_lookups(taken.len())?;
        let mut state = self.state();
        let take = |(token, id): &(LookupToken, KeyId)| match state.lookups.entry(*token) {
            Entry::Occupied(held) => Some(*held.get()),
            Entry::Vacant(free) => {
                free.insert(*id);
                None
            }
        };
        Ok(taken.iter().map(take).collect())
    }

    async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
        let mut state = self.state();
        let is_its = state.lookups.get(token) == Some(&id);
        if is_its {
            state.lookups.remove(token);
        }
        Ok(is_its)
    }

    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        let now = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or_default();
        Ok(self.state().lease_of(pool, limits, call, now))
    }

    async fn record_usage(&self, _: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError> {
        let (now, mut state) = (self.clock.now(), self.state());
        let State { book, records, .. } = &mut *state;
        let batches = batches.iter().map(|batch| &**batch);
        Ok(book.record(writer, batches, now, |id| records.contains_key(&id)))
    }

    async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError> {
        Ok(self.state().book.account(subject, days, self.clock.now()))
    }

    async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.book.last_use(&Subject::Key(*key))).collect())
    }

    async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        let subject = Subject::Organization(organization.clone());
        Ok(self.state().book.most_used(&subject, month, limit, self.clock.now()))
    }

    async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().habits(key, self.clock.now()).map(<[u8]>::to_vec))
    }

    async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError> {
        let (now, mut state) = (self.clock.now(), self.state());
        let unchanged = state.records.contains_key(&key) && state.habits(key, now) == previous;
        if unchanged {
            state.habits.insert(key, (next.to_vec(), now));
        }
        Ok(unchanged)
    }

    async fn record_finding(&self, finding: &anomaly::Finding) -> Result<bool, StoreError> {
        Ok(self.state().findings.record(finding, self.clock.now()))
    }

    async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<anomaly::Finding>, StoreError> {
        Ok(self.state().findings.list(organization, key, limit, before, self.clock.now()))
    }

    async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError> {
        Ok(self.state().webhooks.get(organization).cloned())
    }

    async fn put_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let mut state = self.state();
        expect(state.webhooks.get(&record.organization).map(|held| held.revision), expected)?;
        state.webhooks.insert(record.organization.clone(), record.clone());
        Ok(Acknowledgement::default())
    }

    async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        let (now, mut state) = (self.clock.now(), self.state());
        if state.memos.recall(&notice.sent_name(), now).is_some() {
            return Ok(Posted::Known);
        }
        Ok(state.notices.put(notice, how))
    }

    async fn take_notices(
        &self,
        _: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        Ok(self.state().notices.take(now, until, limit))
    }

    async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        let (now, mut state) = (self.clock.now(), self.state());
        let settled = state.notices.settle(taken, fate);
        if settled && *fate == Fate::Sent {
            state.memos.remember(&taken.sent_name(), &[], SENT_KEPT.to_std().unwrap_or_default(), now);
        }
        Ok(settled)
    }

    async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        Ok(self.state().notices.given_up(organization, limit))
    }

    async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        Ok(self.state().notices.redrive(notice, room))
    }

    async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError> {
        Ok(self.state().audits.append(organization, entry))
    }

    async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        Ok(self.state().audits.state(organization))
    }

    async fn audit_entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError> {
        Ok(self.state().audits.entries(organization, range, newest_first, limit))
    }

    async fn audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError> {
        Ok(self.state().audits.seals(organization, after, limit))
    }

    async fn put_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError> {
        Ok(self.state().audits.put_seal(organization, previous, seal))
    }

    async fn trim_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        Ok(self.state().audits.trim(organization, through, checkpoint, previous))
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        let state = self.state();
        let now = self.clock.now();
        let mut usage = BTreeMap::new();
        for entry in state.records.values().flat_map(|record| record.ring_entries_needed(now)) {
            *usage.entry(entry).or_insert(0) += 1;
        }
        for entry in state.webhooks.values().flat_map(|record| record.ring_entries(now)) {
            *usage.entry(entry).or_insert(0) += 1;
        }
        Ok(usage)
    }

    async fn audited(
        &self,
        _: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        Ok(self.state().audits.organizations(after, limit))
    }

    async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        let mut usage = BTreeMap::new();
        for entry in self.state().audits.ring_entries() {
            *usage.entry(entry).or_insert(0) += 1;
        }
        Ok(usage)
    }

    async fn examine(&self, _: Depth) -> Vec<Finding> {
        let keys = self.state().records.len();
        vec![Finding::warning(
            "persistence",
            format!("{keys} keys are kept in memory, and gone with this process"),
            "name a store that lasts in KEYGATE_STORE: file:PATH, or redis://HOST:PORT",
        )]
    }
}
