//! Succession: a key and the one that replaces it, in one step.

use std::sync::Arc;

use keygate_core::coherence::Change;
use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyRecord, KeyStatus, Quota, Revision};
use keygate_core::store::{Listing, Store, WriteRefusal};

use super::ear::{Ear, kept};
use super::{assert_absent, created, listed, of_user, read, used};
use crate::sample;

async fn predecessor(store: &dyn Store) -> KeyRecord {
    created(store, sample::record(&sample::organization(), &sample::user("ann"))).await
}

/// Both records are read back as they were told, and both are in the lists.
pub async fn a_successor_stands_beside_its_predecessor(store: Arc<dyn Store>) {
    let record = predecessor(&*store).await;
    let (old, mut new) = sample::succession(&record);
    let full = sample::full_record(&record.key.organization, &record.key.user);
    (new.offer, new.unclaimed, new.verifier) = (full.offer, true, full.verifier);
    store.succeed(&old, record.key.revision, &new).await.unwrap();
    assert_eq!(read(&*store, old.key.id).await.as_ref(), Some(&old));
    assert_eq!(read(&*store, new.key.id).await.as_ref(), Some(&new));
    let (organization, user) = (&record.key.organization, &record.key.user);
    assert_eq!(listed(&*store, &of_user(organization, user), 10).await, [new.clone(), old.clone()]);
    assert_eq!(listed(&*store, &Listing::Organization(organization.clone()), 10).await, [new, old]);
}

/// Whoever has as many keys as may be can rotate each of them, again and again, and has no room for another after it.
pub async fn a_successor_takes_its_predecessors_place_in_the_quotas(store: Arc<dyn Store>) {
    let mut record = predecessor(&*store).await;
    let (organization, user) = (record.key.organization.clone(), record.key.user.clone());
    let one = Quota { per_organization: 1, per_user: 1 };
    for _ in 0..3 {
        let (old, new) = sample::succession(&record);
        store.succeed(&old, record.key.revision, &new).await.unwrap();
        assert_eq!(used(&*store, &organization, &user).await, (1, 1));
        let another = sample::record(&organization, &user);
        assert!(store.create(&organization, one, vec![another]).await.unwrap()[0].is_err());
        record = new;
    }
    // What becomes of those that were replaced changes nothing of it.
    let all = listed(&*store, &Listing::Organization(organization.clone()), 10).await;
    for old in all.iter().filter(|old| old.key.id != record.key.id) {
        let revoked = store.set_status(&organization, old.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
        store.delete(&organization, old.key.id, revoked.record.key.revision).await.unwrap();
    }
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
    let revoked = store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert_eq!(used(&*store, &organization, &user).await, (0, 0));
    store.delete(&organization, record.key.id, revoked.record.key.revision).await.unwrap();
    assert_eq!(listed(&*store, &of_user(&organization, &user), 10).await, []);
}

/// Of many who replace a key at once one does, and the others learn it and leave nothing behind.
pub async fn of_concurrent_successors_one_is_made(store: Arc<dyn Store>) {
    let record = predecessor(&*store).await;
    let rotators: Vec<_> = (0..16)
        .map(|_| {
            let (store, expected) = (Arc::clone(&store), record.key.revision);
            let (old, new) = sample::succession(&record);
            tokio::spawn(async move { store.succeed(&old, expected, &new).await.map(|_| (new, old)) })
        })
        .collect();
    let mut made = Vec::new();
    for rotator in rotators {
        match rotator.await.unwrap() {
            Ok(pair) => made.push(pair),
            Err(refusal) => assert!(matches!(refusal, WriteRefusal::Conflict { .. }), "{refusal:?}"),
        }
    }
    let [(new, old)] = made.try_into().unwrap();
    let (organization, user) = (&record.key.organization, &record.key.user);
    assert_eq!(listed(&*store, &of_user(organization, user), 50).await, [new, old]);
    assert_eq!(used(&*store, organization, user).await, (1, 1));
}

/// What is made from an old revision, of another tenant's key, of a revoked or of an absent one, is refused, and nothing of
/// it is there.
pub async fn a_succession_that_is_refused_changes_nothing(store: Arc<dyn Store>) {
    let record = predecessor(&*store).await;
    let (organization, user) = (record.key.organization.clone(), record.key.user.clone());
    let current = sample::described(&record, "changed since");
    store.replace(&current, record.key.revision).await.unwrap();
    let (old, new) = sample::succession(&record);
    for expected in [record.key.revision, Revision(7)] {
        let refused = store.succeed(&old, expected, &new).await;
        let found = current.key.revision;
        assert!(matches!(refused, Err(WriteRefusal::Conflict { found: f }) if f == found), "{refused:?}");
    }

    let mut foreign = sample::succession(&current);
    let other: OrganizationId = sample::organization();
    (foreign.0.key.organization, foreign.1.key.organization) = (other.clone(), other.clone());
    assert_absent(store.succeed(&foreign.0, current.key.revision, &foreign.1).await);
    assert_eq!(listed(&*store, &Listing::Organization(other.clone()), 10).await, []);
    // One whose successor is another tenant's is no succession at all.
    let mut stray = sample::succession(&current);
    stray.1.key.organization = other.clone();
    assert!(matches!(store.succeed(&stray.0, current.key.revision, &stray.1).await, Err(WriteRefusal::Store(_))));
    assert_eq!(listed(&*store, &Listing::Organization(other.clone()), 10).await, []);

    // The id of a key that is there.
    let beside = created(&*store, sample::record(&organization, &user)).await;
    let (old, mut taken) = sample::succession(&current);
    let first = created(&*store, taken.clone()).await;
    taken.key.name = beside.key.name.clone();
    taken.verifier = beside.verifier.clone();
    let refused = store.succeed(&old, current.key.revision, &taken).await;
    assert!(matches!(refused, Err(WriteRefusal::Conflict { .. })), "{refused:?}");

    let revoked =
        store.set_status(&organization, current.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap().record;
    let (old, new) = sample::succession(&revoked);
    let refused = store.succeed(&old, revoked.key.revision, &new).await;
    assert!(matches!(refused, Err(WriteRefusal::Revoked)), "{refused:?}");
    assert_eq!(listed(&*store, &of_user(&organization, &user), 10).await.len(), 3);
    assert_eq!(read(&*store, first.key.id).await, Some(first));
    assert_eq!(read(&*store, beside.key.id).await, Some(beside));
    assert_eq!(read(&*store, revoked.key.id).await.as_ref(), Some(&revoked));

    store.delete(&organization, revoked.key.id, revoked.key.revision).await.unwrap();
    assert_absent(store.succeed(&old, revoked.key.revision, &new).await);
    assert_eq!(read(&*store, new.key.id).await, None);
    assert_eq!(used(&*store, &organization, &user).await, (2, 2));
}

/// Whoever kept the predecessor, or knew that there was no successor, is told.
pub async fn those_who_watch_are_told_of_a_succession(store: Arc<dyn Store>) {
    let record = predecessor(&*store).await;
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let (old, new) = sample::succession(&record);
    for id in [old.key.id, new.key.id] {
        kept(&*store, id).await;
    }
    ear.forget();
    store.succeed(&old, record.key.revision, &new).await.unwrap();
    for id in [old.key.id, new.key.id] {
        ear.hears(&Change::Key(id)).await;
    }
}
