//! A store that answers no call at once, so that a future can be dropped before and after each of them.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use keygate_core::coherence::{Coherence, Read, Watcher};
use keygate_core::key::KeyId;
use keygate_core::limiter::call::{Answer, Call};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limits::Limits;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{KeyRecord, OrganizationRecord, Parents, ProjectRecord, Quota, Revision, StatusChange};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Listing, MemoName, MemoryStore, QuotaUse, RecordPage, Store,
    StoreError, WriteRefusal, Written,
};
use tokio::task::yield_now;

/// Gives way before each call and after it.
#[derive(Debug, Clone)]
pub struct YieldingStore(pub MemoryStore);

macro_rules! yielding {
    ($(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for YieldingStore {
            fn describe(&self) -> String {
                self.0.describe()
            }

            fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
                self.0.watch(watcher, stale);
            }

            fn coherence(&self) -> Coherence {
                self.0.coherence()
            }

            $(async fn $name(&self $(, $argument: $type)*) -> $answer {
                yield_now().await;
                let answer = self.0.$name($($argument),*).await;
                yield_now().await;
                answer
            })*
        }
    };
}

yielding! {
    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError>;
    async fn load_parents(&self, organization: &OrganizationId, project: Option<&ProjectId>)
        -> Result<Read<Parents>, StoreError>;
    async fn told_everywhere(&self) -> Result<bool, StoreError>;
    async fn deployment(&self) -> Result<Option<Deployment>, StoreError>;
    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError>;
    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;
    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError>;
    async fn create(&self, organization: &OrganizationId, quota: Quota, records: Vec<KeyRecord>)
        -> Result<Vec<Result<(), CreateRefusal>>, StoreError>;
    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal>;
    async fn set_status(&self, organization: &OrganizationId, id: KeyId, change: &StatusChange)
        -> Result<Written, WriteRefusal>;
    async fn delete(&self, organization: &OrganizationId, id: KeyId, expected: Revision)
        -> Result<Acknowledgement, WriteRefusal>;
    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError>;
    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError>;
    async fn put_organization(&self, record: &OrganizationRecord, expected: Option<Revision>)
        -> Result<Acknowledgement, WriteRefusal>;
    async fn put_project(&self, record: &ProjectRecord, expected: Option<Revision>)
        -> Result<Acknowledgement, WriteRefusal>;
    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError>;
    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError>;
    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError>;
    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError>;
}
