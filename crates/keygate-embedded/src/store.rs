//! The store: each method is one transaction.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use keygate_core::anomaly::{self, FindingCursor};
use keygate_core::audit::{Append, AuditState, KeptEntry, KeptSeal};
use keygate_core::clock::{Clock, SystemClock};
use keygate_core::coherence::{Change, Coherence, Read, Watcher};
use keygate_core::key::KeyId;
use keygate_core::limiter::call::{Answer, Call};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limits::Limits;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::notice::{Fate, Parcel, Posted, Posting, WebhookRecord};
use keygate_core::record::{
    KeyRecord, KeyStatus, OrganizationRecord, Parents, ProjectRecord, Quotas, Revision, RolesRecord, StatusChange,
    UserRecord,
};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Depth, Due, Finding, Listing, LookupToken, MemoName, QuotaUse,
    RecordPage, Store, StoreError, WriteRefusal, Written, check_lookups, check_memo,
};
use keygate_core::usage::batch::{Batch, LastUse, Mark, Writer};
use keygate_core::usage::book::Account;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::error::{OpenError, storage};
use crate::file::File;
use crate::holder::HolderFile;
use crate::tables::{KeyTables, META, RECORDS, decode, reading, record_of};
use crate::usage::Recorded;
use crate::verify::Verification;
use crate::{audit, findings, habits, listing, lookups, memos, notices, open, parents, quota, usage, verify};

/// The keys created in one transaction: enough that syncing it costs little a key, few enough that others who write
/// do not wait for seconds.
const CHUNK: usize = 10_000;

/// On disk, in one place.
const SYNCED: Acknowledgement = Acknowledgement { replicas: 0, fsynced: Some(true) };

/// A store in one file. Cheap to clone: clones share the file, and those who watch it. See the [crate docs](crate).
///
/// It needs a tokio runtime. `Debug` shows the path alone.
#[derive(Clone)]
pub struct EmbeddedStore {
    file: Arc<File>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens a store file, and makes it if it is not there. It blocks the thread: shortly as a rule, and after a crash
    /// for as long as it takes to read the file once.
    ///
    /// # Errors
    /// When another process has it open, or it cannot be opened, or it is not a store file of a known version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_clock(path, SystemClock)
    }

    /// The same, with the time, by which keys stop counting against quotas and memos are over, read from `clock`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_clock(path: impl AsRef<Path>, clock: impl Clock) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let database = open::database(&path)?;
        let holder = HolderFile::write(&path, clock.now());
        Ok(Self { file: Arc::new(File::new(path, Arc::new(clock), holder, database)) })
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Looks at every record, list and count, and says what does not agree. It reads the whole file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn verify(&self) -> Result<Verification, StoreError> {
        self.read_long(verify::verify).await
    }

    /// Reads on this thread. A record out of a page in memory takes 2.3 us among 100,000 keys and 5.6 us among a million;
    /// handing the work to another thread and back took 31 us. Reads never wait for writes. A page that is only on the
    /// disk holds the thread up for as long as the disk takes, once.
    pub(crate) fn read_short<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.file.read(|transaction, _| read(transaction))
    }

    /// Reads what may be long on a thread for that.
    async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction, DateTime<Utc>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        blocking(move || file.read(read)).await?
    }

    /// One transaction, in its turn, on a thread for that. Once its turn has come it is finished and those who watch are
    /// told of its changes, whether or not anybody still waits for it.
    async fn write<T, E>(
        &self,
        changes: Vec<Change>,
        write: impl FnOnce(&WriteTransaction, DateTime<Utc>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let turn = Arc::clone(&self.file.turn).lock_owned().await;
        let file = Arc::clone(&self.file);
        blocking(move || {
            let _turn = turn;
            file.write(&changes, write)
        })
        .await?
    }

    /// One transaction that nobody is told of, and whose sync nobody waits for.
    async fn write_behind<T: Send + 'static>(
        &self,
        write: impl FnOnce(&WriteTransaction, DateTime<Utc>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.file.turn).lock_owned().await;
        let file = Arc::clone(&self.file);
        blocking(move || {
            let _turn = turn;
            file.write_behind(write)
        })
        .await?
    }

    /// One transaction on the tables of keys.
    async fn write_keys<T, E>(
        &self,
        changes: Vec<Change>,
        write: impl FnOnce(&mut KeyTables<'_>, DateTime<Utc>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write(changes, |transaction, now| write(&mut KeyTables::open(transaction)?, now)).await
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    // The work catches its panics, so what is left is a runtime that shuts down.
    tokio::task::spawn_blocking(work).await.map_err(StoreError::unavailable)
}

#[async_trait]
impl Store for EmbeddedStore {
    fn describe(&self) -> String {
        format!("file:{}", self.file.path.display())
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.read_short(|read| parents::deployment(&reading(read, META)?))
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        let (previous, next) = (previous.cloned(), next.clone());
        self.write(Vec::new(), move |write, _| parents::put_deployment(write, previous.as_ref(), &next)).await
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.read_short(|read| record_of(&reading(read, RECORDS)?, id))
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        self.read_short(|read| parents::parents(read, organization, project))
    }

    fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        self.file.watchers.add(watcher, stale);
    }

    fn coherence(&self) -> Coherence {
        Coherence::InProcess
    }

    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        let sent = self.file.clock.tick();
        Ok(Read::leased(self.record(id).await?, sent, self.file.lease()))
    }

    async fn load_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        let sent = self.file.clock.tick();
        Ok(Read::leased(self.parents(organization, project).await?, sent, self.file.lease()))
    }

    async fn load_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        let sent = self.file.clock.tick();
        let held = self.users(organization, std::slice::from_ref(user)).await?;
        Ok(Read::leased(held.into_iter().next().flatten(), sent, self.file.lease()))
    }

    async fn told_everywhere(&self) -> Result<bool, StoreError> {
        // Whoever writes tells in its turn, so what was written before this one is told.
        let _turn = self.file.turn.lock().await;
        Ok(true)
    }

    /// One transaction for each 10,000 keys: when one fails, those before it have happened.
    async fn create_within(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        if let Some(stray) = records.iter().find(|record| record.key.organization != *organization) {
            return Err(StoreError::stray(stray.key.id));
        }
        let mut outcomes = Vec::with_capacity(records.len());
        let mut left = records.into_iter().peekable();
        let quotas = Arc::new(quotas.clone());
        while left.peek().is_some() {
            let (organization, chunk) = (organization.clone(), left.by_ref().take(CHUNK).collect::<Vec<_>>());
            let changes = chunk.iter().map(|record| Change::Key(record.key.id)).collect();
            let quotas = Arc::clone(&quotas);
            let created = self.write_keys(changes, move |tables, now| {
                tables.sweep(&organization, now)?;
                tables.create(&quotas, &chunk, now)
            });
            outcomes.append(&mut created.await?);
        }
        Ok(outcomes)
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        let (record, changes) = (record.clone(), vec![Change::Key(record.key.id)]);
        self.write_keys(changes, move |tables, now| tables.replace(&record, expected, now)).await?;
        Ok(SYNCED)
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
        let changes = vec![Change::Key(old.key.id), Change::Key(new.key.id)];
        let (old, new) = (old.clone(), new.clone());
        self.write_keys(changes, move |tables, now| tables.succeed(&old, expected, &new, now)).await?;
        Ok(SYNCED)
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        let (organization, change) = (organization.clone(), change.clone());
        let mut changes = vec![Change::Key(id)];
        if change.status == KeyStatus::Revoked {
            changes.push(Change::Revoked(id));
        }
        let written = self.write_keys(changes, move |tables, now| tables.set_status(&organization, id, change, now));
        Ok(Written { record: written.await?, acknowledgement: SYNCED })
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let (organization, changes) = (organization.clone(), vec![Change::Key(id)]);
        let erase = move |write: &WriteTransaction, _| {
            KeyTables::open(write)?.delete(&organization, id, expected)?;
            usage::forget(write, id)?;
            Ok::<_, WriteRefusal>(habits::forget(write, id)?)
        };
        self.write(changes, erase).await?;
        Ok(SYNCED)
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        let listing = listing.clone();
        self.read_long(move |read, _| listing::page(read, &listing, after, limit)).await
    }

    async fn due(&self, _: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.read_long(move |read, _| listing::due(read, until, after, limit)).await
    }

    /// What is listed is what the records say.
    async fn not_due(&self, _: u16, _: Due, _: Option<Revision>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        let (organization, user) = (organization.clone(), user.clone());
        self.read_long(move |read, now| quota::quota_use(read, &organization, &user, now)).await
    }

    async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError> {
        let (organization, project) = (organization.clone(), project.clone());
        self.read_long(move |read, now| quota::project_use(read, &organization, &project, now)).await
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let (record, changes) = (record.clone(), vec![Change::Organization(record.id.clone())]);
        self.write(changes, move |write, _| parents::put_organization(write, &record, expected)).await?;
        Ok(SYNCED)
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let changes = vec![Change::Project(record.organization.clone(), record.id.clone())];
        let record = record.clone();
        self.write(changes, move |write, _| parents::put_project(write, &record, expected)).await?;
        Ok(SYNCED)
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError> {
        self.read_short(|read| parents::users(read, organization, users))
    }

    async fn put_user(&self, record: &UserRecord, expected: Option<Revision>) -> Result<Acknowledgement, WriteRefusal> {
        let changes = vec![Change::User(record.organization.clone(), record.id.clone())];
        let record = record.clone();
        self.write(changes, move |write, _| parents::put_user(write, &record, expected)).await?;
        Ok(SYNCED)
    }

    async fn put_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let (record, changes) = (record.clone(), vec![Change::Organization(record.organization.clone())]);
        self.write(changes, move |write, _| parents::put_roles(write, &record, expected)).await?;
        Ok(SYNCED)
    }

    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        check_memo(value)?;
        // Who comes later writes nothing.
        if let Some(held) = self.recall(name).await? {
            return Ok(Some(held));
        }
        let (name, value) = (*name, value.to_vec());
        self.write(Vec::new(), move |write, now| memos::remember(write, &name, &value, ttl, now)).await
    }

    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError> {
        self.file.read(|read, now| memos::recall(read, name, now))
    }

    async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
        check_lookups(tokens.len())?;
        self.read_short(|read| lookups::look_up(read, tokens))
    }

    async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError> {
        check_lookups(taken.len())?;
        let taken = taken.to_vec();
        self.write(Vec::new(), move |write, _| lookups::take(write, &taken)).await
    }

    async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
        let token = *token;
        self.write(Vec::new(), move |write, _| lookups::free(write, &token, id)).await
    }

    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        self.file.grant(pool, limits, call)
    }

    async fn record_usage(&self, _: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError> {
        // Who asks for the mark, or repeats what there is, writes nothing.
        let (mark, changes) = self.file.read(|read, now| usage::look(read, writer, batches, now))?;
        if !changes {
            return Ok(mark);
        }
        let batches = batches.to_vec();
        let recorded = self.write(Vec::new(), move |write, now| usage::record(write, writer, &batches, now));
        let Recorded { mark, unreadable } = recorded.await?;
        for error in &unreadable {
            tracing::error!(%error, "what was counted is lost, as it cannot be added to this: mend it, or remove it");
        }
        self.file.passed_over.fetch_add(unreadable.len() as u64, Ordering::Relaxed);
        Ok(mark)
    }

    fn usage_passed_over(&self) -> u64 {
        self.file.passed_over.load(Ordering::Relaxed)
    }

    async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError> {
        let subject = subject.clone();
        self.read_long(move |read, now| usage::account(read, &subject, &days, now)).await
    }

    async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        let keys = keys.to_vec();
        self.read_long(move |read, _| usage::last_uses(read, &keys)).await
    }

    async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        let organization = organization.clone();
        self.read_long(move |read, now| usage::most_used(read, &organization, month, limit, now)).await
    }

    async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        self.file.read(|read, now| habits::habits(read, key, now))
    }

    async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError> {
        // Who comes too late writes nothing.
        if self.habits(key).await?.as_deref() != previous {
            return Ok(false);
        }
        let (previous, next) = (previous.map(<[u8]>::to_vec), next.to_vec());
        self.write_behind(move |write, now| habits::put(write, key, previous.as_deref(), &next, now)).await
    }

    async fn record_finding(&self, finding: &anomaly::Finding) -> Result<bool, StoreError> {
        // Who finds it again writes nothing.
        if self.file.read(|read, now| findings::is_kept(read, finding, now))? {
            return Ok(false);
        }
        let finding = finding.clone();
        self.write(Vec::new(), move |write, now| findings::record(write, &finding, now)).await
    }

    async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<anomaly::Finding>, StoreError> {
        let organization = organization.clone();
        self.read_long(move |read, now| findings::list(read, &organization, key, limit, before, now)).await
    }

    async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError> {
        self.read_short(|read| parents::webhooks(read, organization))
    }

    async fn put_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let record = record.clone();
        self.write(Vec::new(), move |write, _| parents::put_webhooks(write, &record, expected)).await?;
        Ok(SYNCED)
    }

    async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        // Who finds it again writes nothing.
        if !how.replaces && self.file.read(|read, now| notices::is_known(read, notice, now))? {
            return Ok(Posted::Known);
        }
        let notice = notice.clone();
        self.write(Vec::new(), move |write, now| notices::put(write, &notice, how, now)).await
    }

    async fn take_notices(
        &self,
        _: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        // There is seldom anything.
        if !self.read_short(|read| notices::is_any_due(read, now))? {
            return Ok(Vec::new());
        }
        self.write(Vec::new(), move |write, _| notices::take(write, now, until, limit)).await
    }

    async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        let (taken, fate) = (taken.clone(), fate.clone());
        self.write(Vec::new(), move |write, now| notices::settle(write, &taken, &fate, now)).await
    }

    async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        let organization = organization.clone();
        self.read_long(move |read, _| notices::given_up(read, &organization, limit)).await
    }

    async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        let notice = notice.clone();
        self.write(Vec::new(), move |write, _| notices::redrive(write, &notice, room)).await
    }

    async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError> {
        let (organization, entry) = (organization.clone(), entry.clone());
        self.write(Vec::new(), move |write, _| audit::append(write, organization.as_str(), &entry)).await
    }

    async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        self.read_short(|read| audit::state(read, organization.as_str()))
    }

    async fn audit_entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError> {
        let organization = organization.clone();
        self.read_long(move |read, _| audit::entries(read, organization.as_str(), range, newest_first, limit)).await
    }

    async fn audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError> {
        let organization = organization.clone();
        self.read_long(move |read, _| audit::seals(read, organization.as_str(), after, limit)).await
    }

    async fn put_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError> {
        let (organization, previous, seal) = (organization.clone(), previous.cloned(), seal.clone());
        self.write(Vec::new(), move |write, _| audit::put_seal(write, organization.as_str(), previous.as_ref(), &seal))
            .await
    }

    async fn trim_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let (organization, checkpoint) = (organization.clone(), checkpoint.to_vec());
        let previous = previous.map(<[u8]>::to_vec);
        self.write(Vec::new(), move |write, _| {
            audit::trim(write, organization.as_str(), through, &checkpoint, previous.as_deref())
        })
        .await
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.read_long(|read, now| {
            let mut usage = BTreeMap::new();
            for entry in reading(read, RECORDS)?.iter().map_err(storage)? {
                let (id, bytes) = entry.map_err(storage)?;
                let record = decode(KeyId::from_bytes(*id.value()), bytes.value())?;
                for entry in record.ring_entries_needed(now) {
                    *usage.entry(entry).or_insert(0) += 1;
                }
            }
            for entry in parents::webhook_entries(read, now)? {
                *usage.entry(entry).or_insert(0) += 1;
            }
            Ok(usage)
        })
        .await
    }

    async fn audited(
        &self,
        _: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        let after = after.cloned();
        self.read_long(move |read, _| audit::organizations(read, after.as_ref().map(OrganizationId::as_str), limit))
            .await
    }

    async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.read_long(|read, _| {
            let mut usage = BTreeMap::new();
            for entry in audit::ring_entries(read)? {
                *usage.entry(entry).or_insert(0) += 1;
            }
            Ok(usage)
        })
        .await
    }

    async fn examine(&self, depth: Depth) -> Vec<Finding> {
        self.look_over(depth).await
    }
}
