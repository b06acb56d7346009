//! The memory store as the model: whatever is done to both, both answer the same.

use std::fmt::Debug;
use std::sync::Arc;

use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{
    KeyRecord, KeyStatus, OrganizationRecord, ParentStatus, ProjectRecord, Quota, Quotas, Revision, StatusChange,
};
use keygate_core::store::{Listing, MemoryStore, Store, WriteRefusal};

use super::{AMPLE, listed, of_user};
use crate::sample;

const OPERATIONS: usize = 400;
/// A run is repeated by giving the seed it names when it fails.
pub(crate) const SEED: &str = "KEYGATE_TEST_SEED";

/// Random operations of two tenants, some of them mistaken, some of them mean, on this store and on a
/// [`MemoryStore`]: the same outcomes, refusals, records, lists and counts, after every one of them.
pub async fn random_operations_answer_as_the_memory_store_does(store: Arc<dyn Store>) {
    let seed = seed();
    let mut run = Run::new(store, seed);
    for step in 0..OPERATIONS {
        let note = format!("operation {step} of the run that {SEED}={seed} repeats");
        run.operation(&note).await;
    }
}

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| u64::from_be_bytes(sample::random()))
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every platform.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

struct Run {
    tested: Arc<dyn Store>,
    model: MemoryStore,
    dice: Dice,
    organizations: [OrganizationId; 2],
    users: [UserId; 3],
    projects: [ProjectId; 2],
    /// The ids ever asked to be created, whether or not they were.
    ids: Vec<KeyId>,
}

/// The answer in a form that compares. A store that fails, fails the test.
fn plain<T: Debug>(answer: Result<T, WriteRefusal>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        Err(WriteRefusal::Store(error)) => panic!("the store failed: {error}"),
        Err(refusal) => Err(refusal.to_string()),
    }
}

impl Run {
    fn new(tested: Arc<dyn Store>, seed: u64) -> Self {
        Self {
            tested,
            model: MemoryStore::new(),
            dice: Dice(seed),
            organizations: [sample::organization(), sample::organization()],
            users: ["ann", "bob", "eve"].map(sample::user),
            projects: ["website", "api"].map(sample::project),
            ids: Vec::new(),
        }
    }

    async fn operation(&mut self, note: &str) {
        match self.dice.below(20) {
            0..=5 => self.create(note).await,
            6..=10 => self.replace(note).await,
            11..=12 => self.succeed(note).await,
            13..=15 => self.set_status(note).await,
            16 => self.delete(note).await,
            _ => self.put_parents(note).await,
        }
        self.compare(note).await;
    }

    /// One to four new keys within small quotas, or one whose id may be taken.
    async fn create(&mut self, note: &str) {
        let organization = self.dice.choose(&self.organizations).clone();
        let mut records: Vec<_> = (0..=self.dice.below(4)).map(|_| self.new_record(&organization)).collect();
        let mut quotas = self.quotas();
        if self.dice.one_in(8) && !self.ids.is_empty() {
            // What decides when an id is taken and a quota is used up is left to the store.
            records.truncate(1);
            records[0].key.id = *self.dice.choose(&self.ids);
            records[0].key.lineage.root = records[0].key.id;
            quotas = AMPLE.into();
        }
        self.ids.extend(records.iter().map(|record| record.key.id));
        let expected = self.model.create_within(&organization, &quotas, records.clone()).await.unwrap();
        let answer = self.tested.create_within(&organization, &quotas, records).await.unwrap();
        assert_eq!(answer, expected, "{note}: create");
    }

    /// Small ones, of some users and projects too.
    fn quotas(&mut self) -> Quotas {
        let quota = Quota { per_organization: 4 + self.dice.below(8) as u64, per_user: 2 + self.dice.below(4) as u64 };
        let mut quotas = Quotas::from(quota);
        if self.dice.one_in(2) {
            quotas.users.insert(self.dice.choose(&self.users).clone(), self.dice.below(6) as u64);
        }
        for project in &self.projects {
            if self.dice.one_in(2) {
                quotas.projects.insert(project.clone(), self.dice.below(6) as u64);
            }
        }
        quotas
    }

    fn new_record(&mut self, organization: &OrganizationId) -> KeyRecord {
        let mut record = sample::record(organization, self.dice.choose(&self.users));
        record.key.expires_at = self.dice.choose(&[None, Some(sample::far_future())]).to_owned();
        record.key.project = self.projects.get(self.dice.below(3)).cloned();
        record
    }

    /// A key that may be there, as its tenant sees it, or as one who only guesses.
    async fn some_key(&mut self) -> Option<KeyRecord> {
        let id = *self.ids.get(self.dice.below(self.ids.len().max(1)))?;
        let held = self.model.record(id).await.unwrap();
        let mut record = match held {
            Some(record) => record,
            None => {
                let organization = self.dice.choose(&self.organizations).clone();
                let mut record = self.new_record(&organization);
                record.key.id = id;
                record
            }
        };
        if self.dice.one_in(8) {
            record.key.organization = self.dice.choose(&self.organizations).clone();
        }
        Some(record)
    }

    /// Mostly the revision there is.
    fn expected(&mut self, current: Revision) -> Revision {
        if self.dice.one_in(5) { Revision(self.dice.below(5) as u64) } else { current }
    }

    async fn replace(&mut self, note: &str) {
        let Some(record) = self.some_key().await else { return };
        let expected = self.expected(record.key.revision);
        let ends = [None, Some(sample::past()), Some(sample::far_future())];
        let next = match self.dice.below(3) {
            0 => sample::described(&record, note),
            _ => sample::expiring(&record, self.dice.choose(&ends).to_owned()),
        };
        let answer = plain(self.model.replace(&next, expected).await);
        assert_eq!(plain(self.tested.replace(&next, expected).await), answer, "{note}: replace");
    }

    async fn succeed(&mut self, note: &str) {
        let Some(record) = self.some_key().await else { return };
        let expected = self.expected(record.key.revision);
        let (mut old, mut new) = sample::succession(&record);
        old.key.expires_at = *self.dice.choose(&[Some(sample::past()), Some(sample::far_future())]);
        if self.dice.one_in(6) {
            new.key.id = *self.dice.choose(&self.ids);
            if new.key.id.bucket() != old.key.id.bucket() || new.key.id == old.key.id {
                return;
            }
        }
        let answer = plain(self.model.succeed(&old, expected, &new).await);
        assert_eq!(plain(self.tested.succeed(&old, expected, &new).await), answer, "{note}: succeed");
        self.ids.push(new.key.id);
    }

    async fn set_status(&mut self, note: &str) {
        let Some(record) = self.some_key().await else { return };
        let statuses = [KeyStatus::Active, KeyStatus::Inactive, KeyStatus::Inactive, KeyStatus::Revoked];
        let change = StatusChange::new(*self.dice.choose(&statuses), sample::now(), None);
        let (organization, id) = (&record.key.organization, record.key.id);
        let expected = self.model.set_status(organization, id, &change).await;
        let answer = self.tested.set_status(organization, id, &change).await;
        let records = |answer: &Result<keygate_core::store::Written, _>| {
            answer.as_ref().ok().map(|written| written.record.clone())
        };
        assert_eq!(records(&answer), records(&expected), "{note}: set_status");
        assert_eq!(plain(answer), plain(expected), "{note}: set_status");
    }

    async fn delete(&mut self, note: &str) {
        let Some(record) = self.some_key().await else { return };
        let expected = self.expected(record.key.revision);
        let (organization, id) = (&record.key.organization, record.key.id);
        let answer = plain(self.model.delete(organization, id, expected).await);
        assert_eq!(plain(self.tested.delete(organization, id, expected).await), answer, "{note}: delete");
    }

    async fn put_parents(&mut self, note: &str) {
        let organization = self.dice.choose(&self.organizations).clone();
        let project = sample::project("website");
        let held = self.model.parents(&organization, Some(&project)).await.unwrap();
        let status = *self.dice.choose(&[ParentStatus::Active, ParentStatus::Suspended]);
        let guess = self.dice.one_in(4).then(|| Revision(self.dice.below(4) as u64));
        let revision = |held: Option<Revision>| held.map_or(Revision::FIRST, Revision::next);

        let current = held.organization.map(|record| record.revision);
        let mut next = OrganizationRecord::new(organization.clone());
        (next.revision, next.status) = (revision(current), status);
        let expected = guess.or(current);
        let answer = plain(self.model.put_organization(&next, expected).await);
        assert_eq!(plain(self.tested.put_organization(&next, expected).await), answer, "{note}: put_organization");

        let current = held.project.map(|record| record.revision);
        let mut next = ProjectRecord::new(organization, project);
        (next.revision, next.status) = (revision(current), status);
        let expected = guess.or(current);
        let answer = plain(self.model.put_project(&next, expected).await);
        assert_eq!(plain(self.tested.put_project(&next, expected).await), answer, "{note}: put_project");
    }

    /// One tenant and one user, all there is to see of them.
    async fn compare(&mut self, note: &str) {
        let (tested, model) = (&*self.tested, &self.model);
        let organization = self.dice.choose(&self.organizations);
        let user = self.dice.choose(&self.users);
        let limit = 1 + self.dice.below(12);
        for listing in [Listing::Organization(organization.clone()), of_user(organization, user)] {
            assert_eq!(listed(tested, &listing, limit).await, listed(model, &listing, limit).await, "{note}: list");
        }
        let expected = model.quota_use(organization, user).await.unwrap();
        assert_eq!(tested.quota_use(organization, user).await.unwrap(), expected, "{note}: quota_use");
        let project = self.dice.choose(&self.projects).clone();
        let expected = model.project_use(organization, &project).await.unwrap();
        assert_eq!(tested.project_use(organization, &project).await.unwrap(), expected, "{note}: project_use");
        let expected = model.parents(organization, Some(&project)).await.unwrap();
        assert_eq!(tested.parents(organization, Some(&project)).await.unwrap(), expected, "{note}: parents");
        if let Some(id) = self.ids.get(self.dice.below(self.ids.len().max(1))) {
            let expected = model.record(*id).await.unwrap();
            assert_eq!(tested.record(*id).await.unwrap(), expected, "{note}: record");
        }
    }
}
