//! The contract fails a store that breaks it: one bent store for each promise that would be easy to break.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{
    KeyRecord, KeyStatus, OrganizationRecord, Parents, ProjectRecord, Quota, Revision, StatusChange,
};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Listing, MemoryStore, QuotaUse, RecordPage, Store, StoreError,
    WriteRefusal, Written,
};
use keygate_testkit::contract;

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    Nothing,
    CreatesBeyondQuotas,
    CountsBeforeItCreates,
    ReversesOutcomes,
    IgnoresTheTenant,
    IgnoresRevisions,
    StampsRepeatedStatus,
    RevivesRevoked,
    ForgetsTheCursor,
    ListsOldestFirst,
    ListsTheWholeOrganization,
    SetsUpTwice,
}

#[derive(Debug)]
struct Bent {
    inner: MemoryStore,
    bend: Bend,
}

fn bent(bend: Bend) -> Arc<dyn Store> {
    Arc::new(Bent { inner: MemoryStore::new(), bend })
}

impl Bent {
    fn is(&self, bend: Bend) -> bool {
        self.bend == bend
    }

    /// The organization to name so that the write goes through.
    async fn tenant(&self, named: &OrganizationId, id: KeyId) -> OrganizationId {
        match self.inner.record(id).await.unwrap() {
            Some(record) if self.is(Bend::IgnoresTheTenant) => record.key.organization,
            _ => named.clone(),
        }
    }

    async fn revision(&self, expected: Revision, id: KeyId) -> Revision {
        match self.inner.record(id).await.unwrap() {
            Some(record) if self.is(Bend::IgnoresRevisions) => record.key.revision,
            _ => expected,
        }
    }
}

#[async_trait]
impl Store for Bent {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.inner.deployment().await
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        if self.is(Bend::SetsUpTwice) {
            let held = self.inner.deployment().await?;
            return self.inner.put_deployment(held.as_ref(), next).await;
        }
        self.inner.put_deployment(previous, next).await
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.inner.record(id).await
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        self.inner.parents(organization, project).await
    }

    async fn create(
        &self,
        organization: &OrganizationId,
        quota: Quota,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        const ALL: Quota = Quota { per_organization: u64::MAX, per_user: u64::MAX };
        if self.is(Bend::CountsBeforeItCreates) {
            let used = self.inner.quota_use(organization, &records[0].key.user).await?;
            tokio::task::yield_now().await;
            if used.user >= quota.per_user {
                return Ok(vec![Err(CreateRefusal::UserQuota { limit: quota.per_user }); records.len()]);
            }
            return self.inner.create(organization, ALL, records).await;
        }
        let quota = if self.is(Bend::CreatesBeyondQuotas) { ALL } else { quota };
        let mut outcomes = self.inner.create(organization, quota, records).await?;
        if self.is(Bend::ReversesOutcomes) {
            outcomes.reverse();
        }
        Ok(outcomes)
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        let mut record = record.clone();
        record.key.organization = self.tenant(&record.key.organization, record.key.id).await;
        let expected = self.revision(expected, record.key.id).await;
        self.inner.replace(&record, expected).await
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        let organization = self.tenant(organization, id).await;
        if let Some(held) = self.inner.record(id).await? {
            let repeats = held.key.status.status == change.status;
            let revives = held.key.status.status == KeyStatus::Revoked && !repeats;
            if (repeats && self.is(Bend::StampsRepeatedStatus)) || (revives && self.is(Bend::RevivesRevoked)) {
                let mut record = held.clone();
                record.key.status = change.clone();
                record.key.revision = held.key.revision.next();
                self.inner.delete(&organization, id, held.key.revision).await?;
                self.inner.create(&organization, Quota::default(), vec![record.clone()]).await?;
                return Ok(Written { record, acknowledgement: Acknowledgement::default() });
            }
        }
        self.inner.set_status(&organization, id, change).await
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let organization = self.tenant(organization, id).await;
        self.inner.delete(&organization, id, self.revision(expected, id).await).await
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        let whole = Listing::Organization(listing.organization().clone());
        let listing = if self.is(Bend::ListsTheWholeOrganization) { &whole } else { listing };
        let after = match after {
            // As a cursor does that is looked up, and whose key is gone.
            Some(id) if self.is(Bend::ForgetsTheCursor) && self.inner.record(id).await?.is_none() => None,
            after => after,
        };
        let mut page = self.inner.list(listing, after, limit).await?;
        if self.is(Bend::ListsOldestFirst) {
            page.records.reverse();
        }
        Ok(page)
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        self.inner.quota_use(organization, user).await
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.inner.put_organization(record, expected).await
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.inner.put_project(record, expected).await
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.inner.ring_usage().await
    }
}

/// How often a broken store may be lucky: whether a race is lost, or a random run comes across what is broken, is chance
/// at each try. What is found by chance is found in most tries, so thirty in a row that find nothing are no chance.
const TRIES: usize = 30;

macro_rules! bites {
    ($($promise:ident: $bend:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                contract::$promise(bent(Bend::Nothing)).await;
                for _ in 0..TRIES {
                    if tokio::spawn(contract::$promise(bent(Bend::$bend))).await.is_err() {
                        return;
                    }
                }
                panic!("a store that is bent by {:?} passes", Bend::$bend);
            }
        )+
    };
}

bites! {
    the_user_quota_is_the_most_keys_of_a_user: CreatesBeyondQuotas,
    the_quota_holds_within_a_batch: CreatesBeyondQuotas,
    the_user_quota_holds_under_concurrent_creation: CountsBeforeItCreates,
    one_refusal_stops_none_of_the_others: ReversesOutcomes,
    another_tenants_key_is_absent_to_every_write: IgnoresTheTenant,
    an_update_from_an_old_revision_is_refused_and_changes_nothing: IgnoresRevisions,
    of_concurrent_updates_one_wins: IgnoresRevisions,
    deleting_needs_the_current_revision: IgnoresRevisions,
    setting_the_same_status_twice_changes_nothing: StampsRepeatedStatus,
    a_revoked_record_accepts_no_update_and_no_other_status: RevivesRevoked,
    random_operations_answer_as_the_memory_store_does: RevivesRevoked,
    a_cursor_outlives_its_key: ForgetsTheCursor,
    cursors_are_stable_under_writes: ForgetsTheCursor,
    lists_are_newest_first: ListsOldestFirst,
    a_users_list_holds_that_users_keys_alone: ListsTheWholeOrganization,
    the_deployment_marker_is_compare_and_set: SetsUpTwice,
    one_of_concurrent_set_ups_wins: SetsUpTwice,
}

/// A promise that stands in the suite's source and not in its macro would be tested nowhere.
#[test]
fn every_promise_is_in_the_suite() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract");
    let suite = std::fs::read_to_string(source.join("mod.rs")).unwrap();
    let mut promises = 0;
    for file in std::fs::read_dir(source).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for rest in text.split("\npub async fn ").skip(1) {
            let (promise, _) = rest.split_once('(').unwrap();
            assert!(suite.contains(&format!(" {promise},\n")), "{promise} is not in store_contract!");
            promises += 1;
        }
    }
    assert!(promises > 40, "{promises} promises were found");
}
