//! What stores have in common that stand over a [`MemoryStore`] and do something around its calls. Each is a [`Store`] by
//! what it says here, and the methods of `Store` are listed once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use keygate_core::anomaly::{Finding, FindingCursor};
use keygate_core::audit::{Append, AuditState, KeptEntry, KeptSeal};
use keygate_core::coherence::{Coherence, Read, Watcher};
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
    Acknowledgement, CreateRefusal, Deployment, Due, Listing, LookupToken, MemoName, MemoryStore, QuotaUse, RecordPage,
    Store, StoreError, WriteRefusal, Written,
};
use keygate_core::usage::batch::{Batch, LastUse, Mark, Writer};
use keygate_core::usage::book::Account;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;

use super::fateful_store::FatefulStore;
use super::hooked_store::HookedStore;
use super::wire::Wire;
use super::yielding_store::YieldingStore;

/// What a store does around the calls of the memory store. By default nothing.
#[async_trait]
pub trait OverMemory {
    /// What is decided of a call before it is made.
    type Decided: Send;

    fn memory(&self) -> &MemoryStore;

    /// Before a call, which `call` names with its arguments, as `Debug` writes them: `set_status "acme" 01933b0e-…`. Where
    /// it fails, the call fails and is not made.
    async fn before(&self, call: &(dyn Fn() -> String + Sync)) -> Result<Self::Decided, StoreError>;

    /// After it. Where it fails, the answer is lost.
    async fn after(&self, decided: Self::Decided) -> Result<(), StoreError>;

    /// What was loaded, as it is answered.
    fn loaded<T>(&self, read: Read<T>) -> Read<T> {
        read
    }

    /// The answer to a call for tokens.
    async fn granted(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        self.memory().lease(pool, limits, call).await
    }

    /// How many instances use it.
    fn used_by(&self) -> u64 {
        1
    }

    /// In how many lists notices wait. All are in the first.
    fn lists_of_notices(&self) -> u16 {
        1
    }
}

/// Makes these types stores, with the methods that are alike in all of them.
macro_rules! over_memory {
    ([$($store:ty),*] $methods:tt) => {
        $(over_memory! { @one $store: $methods })*
    };
    (@one $store:ty: {$(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty;)*}) => {
        #[async_trait]
        impl Store for $store {
            fn describe(&self) -> String {
                self.memory().describe()
            }

            fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
                self.memory().watch(watcher, stale);
            }

            fn coherence(&self) -> Coherence {
                self.memory().coherence()
            }

            fn instances(&self) -> u64 {
                self.used_by()
            }

            fn notice_shards(&self) -> u16 {
                self.lists_of_notices()
            }

            fn usage_bucket(&self, subject: &Subject) -> u16 {
                self.memory().usage_bucket(subject)
            }

            async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
                let decided = self.before(&|| format!("load_record {id:?}")).await?;
                let answer = self.memory().load_record(id).await;
                self.after(decided).await?;
                Ok(self.loaded(answer?))
            }

            async fn load_parents(
                &self,
                organization: &OrganizationId,
                project: Option<&ProjectId>,
            ) -> Result<Read<Parents>, StoreError> {
                let decided = self.before(&|| format!("load_parents {organization:?} {project:?}")).await?;
                let answer = self.memory().load_parents(organization, project).await;
                self.after(decided).await?;
                Ok(self.loaded(answer?))
            }

            async fn load_user(
                &self,
                organization: &OrganizationId,
                user: &UserId,
            ) -> Result<Read<Option<UserRecord>>, StoreError> {
                let decided = self.before(&|| format!("load_user {organization:?} {user:?}")).await?;
                let answer = self.memory().load_user(organization, user).await;
                self.after(decided).await?;
                Ok(self.loaded(answer?))
            }

            async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
                let decided = self.before(&|| format!("lease {pool:?} {limits:?} {call:?}")).await?;
                let answer = self.granted(pool, limits, call).await;
                self.after(decided).await?;
                answer
            }

            $(async fn $name(&self $(, $argument: $type)*) -> $answer {
                let call = || [stringify!($name).to_owned() $(, format!("{:?}", $argument))*].join(" ");
                let decided = self.before(&call).await?;
                let answer = self.memory().$name($($argument),*).await;
                self.after(decided).await?;
                answer
            })*
        }
    };
}

over_memory! {
    [FatefulStore, HookedStore, Wire, YieldingStore] {
        async fn told_everywhere(&self) -> Result<bool, StoreError>;
        async fn deployment(&self) -> Result<Option<Deployment>, StoreError>;
        async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError>;
        async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;
        async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>)
            -> Result<Parents, StoreError>;
        async fn create_within(&self, organization: &OrganizationId, quotas: &Quotas, records: Vec<KeyRecord>)
            -> Result<Vec<Result<(), CreateRefusal>>, StoreError>;
        async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal>;
        async fn succeed(&self, old: &KeyRecord, expected: Revision, new: &KeyRecord)
            -> Result<Acknowledgement, WriteRefusal>;
        async fn set_status(&self, organization: &OrganizationId, id: KeyId, change: &StatusChange)
            -> Result<Written, WriteRefusal>;
        async fn delete(&self, organization: &OrganizationId, id: KeyId, expected: Revision)
            -> Result<Acknowledgement, WriteRefusal>;
        async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError>;
        async fn due(&self, bucket: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError>;
        async fn not_due(&self, bucket: u16, listed: Due, seen: Option<Revision>) -> Result<(), StoreError>;
        async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError>;
        async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError>;
        async fn put_organization(&self, record: &OrganizationRecord, expected: Option<Revision>)
            -> Result<Acknowledgement, WriteRefusal>;
        async fn put_project(&self, record: &ProjectRecord, expected: Option<Revision>)
            -> Result<Acknowledgement, WriteRefusal>;
        async fn users(&self, organization: &OrganizationId, users: &[UserId])
            -> Result<Vec<Option<UserRecord>>, StoreError>;
        async fn put_user(&self, record: &UserRecord, expected: Option<Revision>)
            -> Result<Acknowledgement, WriteRefusal>;
        async fn put_roles(&self, record: &RolesRecord, expected: Option<Revision>)
            -> Result<Acknowledgement, WriteRefusal>;
        async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError>;
        async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError>;
        async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError>;
        async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError>;
        async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError>;
        async fn record_usage(&self, bucket: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError>;
        async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError>;
        async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError>;
        async fn most_used(&self, organization: &OrganizationId, month: Month, limit: usize)
            -> Result<Vec<(KeyId, u64)>, StoreError>;
        async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError>;
        async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError>;
        async fn record_finding(&self, finding: &Finding) -> Result<bool, StoreError>;
        async fn findings(&self, organization: &OrganizationId, key: Option<KeyId>, limit: usize,
            before: Option<FindingCursor>) -> Result<Vec<Finding>, StoreError>;
        async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError>;
        async fn put_webhooks(&self, record: &WebhookRecord, expected: Option<Revision>)
            -> Result<Acknowledgement, WriteRefusal>;
        async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError>;
        async fn take_notices(&self, shard: u16, now: DateTime<Utc>, until: DateTime<Utc>, limit: usize)
            -> Result<Vec<Parcel>, StoreError>;
        async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError>;
        async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError>;
        async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError>;
        async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError>;
        async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError>;
        async fn audit_entries(&self, organization: &OrganizationId, range: RangeInclusive<u64>, newest_first: bool,
            limit: usize) -> Result<Vec<KeptEntry>, StoreError>;
        async fn audit_seals(&self, organization: &OrganizationId, after: u64, limit: usize)
            -> Result<Vec<KeptSeal>, StoreError>;
        async fn put_audit_seal(&self, organization: &OrganizationId, previous: Option<&KeptSeal>, seal: &KeptSeal)
            -> Result<bool, StoreError>;
        async fn trim_audit(&self, organization: &OrganizationId, through: u64, checkpoint: &[u8], previous: Option<&[u8]>)
            -> Result<bool, StoreError>;
        async fn audited(&self, bucket: u16, after: Option<&OrganizationId>, limit: usize)
            -> Result<Vec<OrganizationId>, StoreError>;
        async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError>;
        async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError>;
    }
}
