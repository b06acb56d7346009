//! A store of whose calls a test decides one by one what becomes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
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

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done and answered.
    Answered,
    /// It is not done, and fails.
    Failed,
    /// It is done, and looks failed.
    Lost,
}

/// Decides by the name of the method and its arguments, as `Debug` writes them: `set_status "acme" 01933b0e-…`.
type Judge = dyn Fn(&str) -> Fate + Send + Sync;

/// Gives way before each call and after it, and lets what a test decides become of it.
#[derive(Clone)]
pub struct FatefulStore {
    memory: MemoryStore,
    judge: Arc<Judge>,
}

impl FatefulStore {
    /// A store over `memory` whose calls are judged.
    pub fn new(memory: MemoryStore, judge: impl Fn(&str) -> Fate + Send + Sync + 'static) -> Self {
        Self { memory, judge: Arc::new(judge) }
    }

    /// The same, where the calls meet these fates one after another, and then all are answered.
    pub fn meeting(memory: MemoryStore, fates: Vec<Fate>) -> Self {
        let met = AtomicUsize::new(0);
        Self::new(memory, move |_| fates.get(met.fetch_add(1, Ordering::Relaxed)).copied().unwrap_or(Fate::Answered))
    }
}

impl fmt::Debug for FatefulStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FatefulStore").field("memory", &self.memory).finish_non_exhaustive()
    }
}

macro_rules! fateful {
    ($(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for FatefulStore {
            fn describe(&self) -> String {
                self.memory.describe()
            }

            fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
                self.memory.watch(watcher, stale);
            }

            fn coherence(&self) -> Coherence {
                self.memory.coherence()
            }

            $(async fn $name(&self $(, $argument: $type)*) -> $answer {
                yield_now().await;
                let call = [stringify!($name).to_owned() $(, format!("{:?}", $argument))*].join(" ");
                let fate = (self.judge)(&call);
                if fate == Fate::Failed {
                    return Err(StoreError::unavailable("a test made this call fail").into());
                }
                let answer = self.memory.$name($($argument),*).await;
                yield_now().await;
                if fate == Fate::Lost { Err(StoreError::unavailable("a test lost this answer").into()) } else { answer }
            })*
        }
    };
}

fateful! {
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
