//! A store that fails when a test says so, and counts what it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{KeyRecord, OrganizationRecord, Parents, ProjectRecord, Quota, Revision, StatusChange};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Listing, QuotaUse, RecordPage, Store, StoreError, WriteRefusal, Written,
};
use tokio::sync::watch;

/// Passes calls on to another store, except while it is told not to. Cheap to clone: clones share their state.
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
    pub record: u64,
    pub parents: u64,
    pub create: u64,
    pub replace: u64,
    pub set_status: u64,
    pub delete: u64,
    pub list: u64,
    pub quota_use: u64,
    pub put_organization: u64,
    pub put_project: u64,
    pub ring_usage: u64,
}

impl StoreCalls {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { deployment, put_deployment, record, parents, create, replace, set_status, .. } = self;
        let Self { delete, list, quota_use, put_organization, put_project, ring_usage, .. } = self;
        let written = create + replace + set_status + delete + put_organization + put_project + put_deployment;
        deployment + record + parents + list + quota_use + ring_usage + written
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
        }
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

    /// From now on calls are passed on and answered, and those that wait go on.
    pub fn heal(&self) {
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

    async fn create(
        &self,
        organization: &OrganizationId,
        quota: Quota,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        let lost = self.enter(|calls| calls.create += 1).await?;
        answer(lost, self.inner.create(organization, quota, records).await)
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        let lost = self.enter(|calls| calls.replace += 1).await?;
        answer(lost, self.inner.replace(record, expected).await)
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

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        let lost = self.enter(|calls| calls.quota_use += 1).await?;
        answer(lost, self.inner.quota_use(organization, user).await)
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

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        let lost = self.enter(|calls| calls.ring_usage += 1).await?;
        answer(lost, self.inner.ring_usage().await)
    }
}
