//! A store whose answers to calls for tokens come when a test says so, or not at all, over a network that is in its hand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use keygate_core::clock::Tick;
use keygate_core::coherence::{Coherence, Lease, Read, Watcher};
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
use tokio::sync::oneshot;

/// A call on its way to the store.
pub struct Sent {
    pub instance: usize,
    pub limits: Limits,
    pub call: Call,
    /// Dropped, it is a connection that broke.
    pub reply: oneshot::Sender<Answer>,
}

/// What all instances share: the records, what is on its way, and the life of the connections.
#[derive(Clone)]
pub struct Wire {
    pub memory: MemoryStore,
    pub sent: Arc<Mutex<Vec<Sent>>>,
    pub lease: Arc<Mutex<Arc<Lease>>>,
    pub instance: usize,
    pub instances: u64,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Wire {
    fn lease_now<T>(&self, read: Read<T>) -> Read<T> {
        Read { lease: Some(Arc::clone(&self.lease.lock().unwrap())), sent: Tick::NEVER, ..read }
    }
}

macro_rules! wired {
    ($(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Wire {
            fn describe(&self) -> String {
                self.memory.describe()
            }

            fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
                self.memory.watch(watcher, stale);
            }

            fn coherence(&self) -> Coherence {
                self.memory.coherence()
            }

            fn instances(&self) -> u64 {
                self.instances
            }

            async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
                Ok(self.lease_now(self.memory.load_record(id).await?))
            }

            async fn load_parents(
                &self,
                organization: &OrganizationId,
                project: Option<&ProjectId>,
            ) -> Result<Read<Parents>, StoreError> {
                Ok(self.lease_now(self.memory.load_parents(organization, project).await?))
            }

            async fn lease(&self, _pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
                let (reply, answer) = oneshot::channel();
                let sent = Sent { instance: self.instance, limits: *limits, call: call.clone(), reply };
                self.sent.lock().unwrap().push(sent);
                answer.await.map_err(StoreError::unavailable)
            }

            $(async fn $name(&self $(, $argument: $type)*) -> $answer {
                self.memory.$name($($argument),*).await
            })*
        }
    };
}

wired! {
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
    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError>;
}
