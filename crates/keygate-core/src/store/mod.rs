//! What a store does for keygate, and the store that keeps everything in memory.
//!
//! Every store gives the same promises, and one suite of tests (`keygate_testkit::contract`) holds them all to it:
//!
//! - **Nothing half done.** A key is there with its place in every list and its share of the quota, or it is not
//!   there. What a crash leaves between two steps is put right by whoever comes next.
//! - **Updates compare.** A write names the revision it was made from, and fails when another came in between.
//! - **Revoked is final.** No write but a deletion touches a revoked record.
//! - **Tenant walls.** Whatever changes a record names its organization, and the store compares it with the one in the
//!   record: another tenant's key is absent.
//! - **Absent and unanswered differ.** `Ok(None)` is an answer; a store that cannot answer says so in an error.
//! - **Whoever keeps what it read is told.** While a [lease](crate::coherence) is live, those who watch are told of every
//!   change to what was read under it, at the latest when whoever made the change has its answer, or the lease lapses.

mod audit;
mod deployment;
mod error;
mod examination;
mod lookup;
mod memo;
mod memory;
mod notices;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use deployment::Deployment;
pub use error::{CreateRefusal, StoreError, WriteRefusal};
pub use examination::{Depth, Finding, Verdict, is_healthy};
pub use lookup::{LookupToken, MAX_LOOKUPS, check_lookups, read_lookup};
pub use memo::{MAX_MEMO_BYTES, MemoName, check_memo, memo_millis};
pub use memory::MemoryStore;

use crate::anomaly::{self, FindingCursor};
use crate::audit::{Append, AuditState, KeptEntry, KeptSeal};
use crate::clock::Tick;
use crate::coherence::{Coherence, Read, Watcher};
use crate::key::KeyId;
use crate::limiter::call::{Answer, Call};
use crate::limiter::policy::PoolId;
use crate::limits::Limits;
use crate::names::{OrganizationId, ProjectId, UserId};
use crate::notice::{Fate, Parcel, Posted, Posting, WebhookRecord};
use crate::record::{
    KeyRecord, OrganizationRecord, Parents, ProjectRecord, Quota, Quotas, Revision, RolesRecord, StatusChange,
    UserRecord,
};
use crate::ring::EntryId;
use crate::usage::batch::{Batch, LastUse, Mark, Writer};
use crate::usage::book::Account;
use crate::usage::period::{Day, Month};
use crate::usage::subject::Subject;

/// How far a write had got when it was answered. It claims nothing that the store did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Replicas that had it.
    pub replicas: u32,
    /// Whether it was on disk: `None` where the store does not tell.
    pub fsynced: Option<bool>,
}

/// A record after a write, and how far the write had got.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The record as it now is.
    pub record: KeyRecord,
    /// How far it had got.
    pub acknowledgement: Acknowledgement,
}

/// Which keys a list is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// All of an organization.
    Organization(OrganizationId),
    /// Those of one user in it.
    User(OrganizationId, UserId),
}

impl Listing {
    /// The tenant whose keys are listed.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        match self {
            Self::Organization(organization) | Self::User(organization, _) => organization,
        }
    }
}

/// A part of a list, newest key first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordPage {
    /// The records.
    pub records: Vec<KeyRecord>,
    /// Keys of the same part of the list whose records cannot be read, newest first: they are damaged, or a newer version has
    /// written them. They hold up none of the others.
    pub unreadable: Vec<KeyId>,
    /// The id after which the next page begins, if there may be one.
    pub next: Option<KeyId>,
}

/// That something may be due to a key on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due {
    /// The day.
    pub day: Day,
    /// The key.
    pub id: KeyId,
}

/// How many keys count against the quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUse {
    /// In the organization.
    pub organization: u64,
    /// Of the user in it.
    pub user: u64,
}

/// Keeps keys. See the [module docs](self) for what every store promises.
///
/// Dropping a future does not undo a write it had sent: the write may or may not have happened, as after any error
/// of [`StoreError::Unavailable`].
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// What and where it is, for people, without any password: `redis://127.0.0.1:6379`.
    fn describe(&self) -> String;

    /// The deployment marker: `None` says that no deployment was ever set up here, or that the store was emptied.
    async fn deployment(&self) -> Result<Option<Deployment>, StoreError>;

    /// Writes the marker if it still is `previous`, and says whether it did.
    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError>;

    /// Adds one who keeps what it [loads](Self::load_record) and is told of changes from now on. After a lease it goes on
    /// believing what it loaded for `stale` at most. A store that tells nobody, as by default, gives no leases.
    fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        let _ = (watcher, stale);
    }

    /// How those who watch learn of changes now.
    fn coherence(&self) -> Coherence {
        Coherence::None
    }

    /// The record with this id, of whatever tenant, to be kept while its lease is live: for validation, where the key
    /// itself says who asks.
    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        let sent = Tick::now();
        Ok(Read::once(self.record(id).await?, sent))
    }

    /// What stands above a key, to be kept while its lease is live.
    async fn load_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        let sent = Tick::now();
        Ok(Read::once(self.parents(organization, project).await?, sent))
    }

    /// What was configured for a user, to be kept while its lease is live.
    async fn load_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        let sent = Tick::now();
        let held = self.users(organization, std::slice::from_ref(user)).await?;
        Ok(Read::once(held.into_iter().next().flatten(), sent))
    }

    /// Waits until nobody can still believe what was so before the call, and says whether that came about. `false` says
    /// that somebody may: they were not heard of within the longest that anyone may believe without being told, or such
    /// a bound is not known. Dropping the future gives up the waiting.
    async fn told_everywhere(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// The record with this id, of whatever tenant, as it is now: for callers who compare the tenant.
    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// What stands above a key.
    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError>;

    /// Creates keys of one organization, each within the quotas or not at all: the organization's, its user's, and its
    /// project's, of which the first that is reached is the one it is refused for. The outcomes come in the order of the
    /// records, and one refusal stops none of the others. A batch with a record of another organization is an error
    /// ([`StoreError::stray`]), and nothing of it is created.
    async fn create_within(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError>;

    /// The same, where no user and no project has a quota of its own.
    async fn create(
        &self,
        organization: &OrganizationId,
        quota: Quota,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        self.create_within(organization, &quota.into(), records).await
    }

    /// Puts `record` in the place of the one with revision `expected`. The new record's revision is the next one, its
    /// id, organization, user, project and status are the old one's (status changes go through [`set_status`](Self::set_status)).
    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal>;

    /// Puts `old` in the place of the revision `expected` of it and creates `new`, its successor, in one step: both or
    /// neither. What is said of [`replace`](Self::replace) is true of `old`. The successor is of the same organization, user,
    /// project and bucket, and quotas never refuse it. Where there is a key of its id already, that is a conflict with
    /// [`Revision::FIRST`], which says nothing of that key: it may be another tenant's.
    async fn succeed(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
    ) -> Result<Acknowledgement, WriteRefusal>;

    /// Sets the status whatever the revision. Setting the status a record already has changes nothing and answers
    /// with the record as it was; a revoked record accepts only that.
    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal>;

    /// Erases the record if it still has revision `expected`, and with it what was counted of the key, and its habits.
    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal>;

    /// Up to `limit` records, newest first, beginning after `after`. A page may be short and still have a next one.
    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError>;

    /// In how many buckets keys are listed as [due](Self::due): one, unless a store says otherwise.
    fn due_buckets(&self) -> u16 {
        1
    }

    /// The keys of a bucket to which something [is due](crate::lifecycle::due) by the end of a day: by day and id, at most
    /// `limit`, beginning after the place `after`. A key that is due is on the list of its day from the write of its record
    /// on that made it so. One that is not due any more may still be on it, until somebody says [so](Self::not_due).
    async fn due(&self, bucket: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError>;

    /// Takes a key off the list of a day, unless its record is there with another revision than `seen`.
    async fn not_due(&self, bucket: u16, listed: Due, seen: Option<Revision>) -> Result<(), StoreError>;

    /// How many keys count against the quotas of an organization and of a user now.
    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError>;

    /// How many keys count against the quota of a project now.
    async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError>;

    /// Writes an organization's record if its revision still is `expected` (`None`: not configured yet).
    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal>;

    /// Writes a project's record if its revision still is `expected` (`None`: not configured yet).
    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal>;

    /// What was configured for users of an organization, in their order: at most 1,000 of them.
    async fn users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError>;

    /// Writes a user's record if its revision still is `expected` (`None`: not configured yet). Whoever writes one writes
    /// that of the organization's [roles](Self::put_roles) before: without it nobody looks for users.
    async fn put_user(&self, record: &UserRecord, expected: Option<Revision>) -> Result<Acknowledgement, WriteRefusal>;

    /// Writes the roles of an organization if their revision still is `expected` (`None`: none yet).
    async fn put_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal>;

    /// Remembers `value`, of at most [`MAX_MEMO_BYTES`], under a name for as long as `ttl`, unless something is remembered
    /// under it already. `None` says that it is remembered now; else the answer is what is remembered, and neither that
    /// nor its time is changed. Of however many at once, one is remembered, and all of them learn which.
    ///
    /// A call that is sent again on its way, because its answer was lost, may be answered with the caller's own value.
    /// Whoever must not take that for another's puts something in it that is in no other. Times are kept to the
    /// millisecond ([`memo_millis`]).
    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError>;

    /// What is remembered under a name now.
    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError>;

    /// The ids of the keys that are found under these tokens, in their order, at most [`MAX_LOOKUPS`] of them. There may be
    /// no record of such an id: that is then no key.
    async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError>;

    /// Takes each token for a key, unless it is taken; at most [`MAX_LOOKUPS`] of them, of which a token named twice is
    /// taken by the first. The answers are in their order: `None` says that it is taken now, else it is whose it is, and
    /// that is not changed. Of however many at once, one takes it, and all others learn whose it is.
    ///
    /// A call that is sent again on its way, because its answer was lost, may be answered with the caller's own key.
    async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError>;

    /// Frees a token if it is this key's, and says whether it was.
    async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError>;

    /// Answers a call for tokens of a pool, as [`Ledger::call`](crate::limiter::ledger::Ledger::call) does, on the store's
    /// clock. The pool is kept until [`Ledger::expires`](crate::limiter::ledger::Ledger::expires). A call that [only
    /// looks](Call::only_looks) writes nothing.
    ///
    /// It is never under a name that those who watch are told of.
    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError>;

    /// Which of the store's buckets a subject is in: what is counted of subjects of one bucket is told in one batch. By
    /// default there is one bucket.
    fn usage_bucket(&self, subject: &Subject) -> u16 {
        let _ = subject;
        0
    }

    /// Takes in what was counted of subjects of one bucket, in batches of one writer, and says what it then has of that
    /// writer, as [`Book::record`](crate::usage::book::Book::record) does. Without any batch it only says so. What a batch
    /// changes and the mark are changed in one step, and kept or lost together. What was counted of a key without a record is
    /// not taken in: a deleted key's figures do not come back.
    async fn record_usage(&self, bucket: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError>;

    /// From how many deltas of subjects this store has taken nothing in, because what it has of them cannot be read and must
    /// not be written over. Each is an error in the log, and holds up nothing else. By default there are none.
    fn usage_passed_over(&self) -> u64 {
        0
    }

    /// What was counted of a subject, and of these days. `None` where nothing was.
    async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError>;

    /// When each of these keys was last used, in their order: at most 1,000 of them.
    async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError>;

    /// The keys of an organization that were used most in a month, at most `limit`, the most used first. What is kept of
    /// them is bounded ([`RANKED`](crate::usage::book::RANKED)).
    async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError>;

    /// What is known of a [key's habits](crate::anomaly::habits), as it was last put. `None` where nothing was in the last
    /// [`HABITS_KEPT_DAYS`](crate::anomaly::habits::HABITS_KEPT_DAYS), or the key is deleted.
    async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Puts `next`, of at most [`MAX_HABITS_BYTES`](crate::anomaly::habits::MAX_HABITS_BYTES), in the place of a key's habits
    /// if they still are `previous` and the key has a record, and says whether it did. They are like counts: to lose the last
    /// of them in a crash is no harm, and nobody waits for a disk.
    async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError>;

    /// Keeps a finding of its organization, unless one of its id is kept, and says whether it did: of all who record it at
    /// once, to one. The newest [`KEPT`](crate::anomaly::finding::KEPT) of an organization are kept, for
    /// [`KEPT_FOR`](crate::anomaly::finding::KEPT_FOR) after their time.
    ///
    /// A call that is sent again on its way, because its answer was lost, may be answered that it is kept already.
    async fn record_finding(&self, finding: &anomaly::Finding) -> Result<bool, StoreError>;

    /// The findings of an organization that are kept, or those of one of its keys: newest first, at most `limit`, beginning
    /// after the place `before`. Fewer are all that are left.
    async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<anomaly::Finding>, StoreError>;

    /// The webhooks of an organization, if it ever had one.
    async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError>;

    /// Writes an organization's webhooks if their revision still is `expected` (`None`: it never had one).
    async fn put_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal>;

    /// In how many lists notices wait: one, unless a store says otherwise.
    fn notice_shards(&self) -> u16 {
        1
    }

    /// Keeps a notice, to be taken from when it is due. Of its organization one of an id is kept, whoever puts it and however
    /// often, and none that was [sent](Fate::Sent) within [`SENT_KEPT`](crate::notice::SENT_KEPT); one that waits may be
    /// [replaced](Posting::replaces). No more of an organization wait than there is [room](Posting::room) for.
    ///
    /// A call that is sent again on its way, because its answer was lost, may be answered that the notice is known.
    async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError>;

    /// Takes at most `limit` notices of a list that are due by `now`, those that are due longest first, and moves them to
    /// `until`: of all who take at once, each is taken by one.
    async fn take_notices(
        &self,
        shard: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError>;

    /// Says what becomes of a notice that was put or taken, if it still waits until the time it then had, and says whether it
    /// did. Of an organization [so many](crate::notice::MAX_GIVEN_UP) are kept that were given up, the newest.
    async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError>;

    /// The notices of an organization that were given up, the newest first, at most `limit`; each due when it was given up.
    async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError>;

    /// Has a notice that was given up wait again, until it is due, if no more of its organization wait then than there is `room`
    /// for. It is [known](Posted::Known) where it was not given up.
    async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError>;

    /// Keeps an entry at the end of an organization's audit, and gives its sequence: 1 for the first, and one more for each, without
    /// a gap, whoever appends at once. An [intent](crate::audit::Step::Intent) opens its act and an outcome closes it, in the same
    /// step: whatever sequence is named for the intent, it is found by its act. An entry of an act and step that was kept is not kept again; the answer is then its sequence. `None` says that the
    /// act was closed already, and nothing is kept.
    ///
    /// It is never under a name that those who watch are told of.
    async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError>;

    /// How far the audit of an organization has come.
    async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError>;

    /// The entries of an organization that are there within a range, by their sequence, or the other way round, and at most
    /// `limit`. A store that has something between two sequences gives that too, as of the one before.
    async fn audit_entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError>;

    /// The seals of an organization whose last entry comes after this sequence, the oldest first, at most `limit`.
    async fn audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError>;

    /// Keeps a seal after the last one, if that still is `previous` (`None`: there is none), byte for byte, and the new one's last
    /// entry comes after its and is not after the last that was appended; and says whether it did.
    ///
    /// A call that is sent again on its way, because its answer was lost, may be answered that it did not.
    async fn put_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError>;

    /// Takes away all entries and seals up to a sequence, and puts a checkpoint in their place, if that which is there still is
    /// `previous`, in one step; and says whether it did.
    async fn trim_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError>;

    /// In how many buckets organizations are listed by their [audits](Self::audited): one, unless a store says otherwise.
    fn audit_buckets(&self) -> u16 {
        1
    }

    /// The organizations of a bucket that have an audit: by name, at most `limit`, beginning after `after`. One is listed from its
    /// first entry on.
    async fn audited(
        &self,
        bucket: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError>;

    /// How many instances use this store, this one among them, as far as it knows. What an instance is granted at once is
    /// divided by it. No limit rests on it, but what each may let in alone while the store is not reached
    /// ([`Fallback::LocalShare`](crate::limits::Fallback::LocalShare)).
    fn instances(&self) -> u64 {
        1
    }

    /// How many records [need](KeyRecord::ring_entries_needed) each ring entry, and how many webhooks name it. It reads every
    /// record of the store.
    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError>;

    /// How many seals and checkpoints of all audits name each ring entry.
    async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError>;

    /// Looks the store over for its operator. What cannot be looked at is a finding too, and so is a store that does not
    /// answer; either is known within a few seconds, but for what [`Depth::Deep`] reads. It may write something for a
    /// moment that is no key. A store finds nothing, as by default, where there is nothing to find.
    async fn examine(&self, depth: Depth) -> Vec<Finding> {
        let _ = depth;
        Vec::new()
    }
}
