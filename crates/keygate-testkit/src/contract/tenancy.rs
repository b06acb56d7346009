//! Tenant walls.

use std::sync::Arc;

use keygate_core::record::KeyStatus;
use keygate_core::store::{CreateRefusal, Listing, Store};

use super::{AMPLE, assert_absent, create_one, created, listed, read, used};
use crate::sample;

/// Whoever names another organization finds no key to change, with or without its revision.
pub async fn another_tenants_key_is_absent_to_every_write(store: Arc<dyn Store>) {
    let (owner, stranger) = (sample::organization(), sample::organization());
    let user = sample::user("ann");
    let record = created(&*store, sample::record(&owner, &user)).await;
    let (id, revision) = (record.key.id, record.key.revision);
    created(&*store, sample::record(&stranger, &user)).await;

    let mut taken = sample::described(&record, "taken over");
    taken.key.organization = stranger.clone();
    assert_absent(store.replace(&taken, revision).await);
    assert_absent(store.replace(&taken, revision.next()).await);
    for status in [KeyStatus::Active, KeyStatus::Inactive, KeyStatus::Revoked] {
        assert_absent(store.set_status(&stranger, id, &sample::status(status)).await);
    }
    assert_absent(store.delete(&stranger, id, revision).await);
    assert_absent(store.delete(&stranger, id, revision.next()).await);

    assert_eq!(read(&*store, id).await.as_ref(), Some(&record));
    assert_eq!(listed(&*store, &Listing::Organization(owner.clone()), 10).await, [record]);
    assert_eq!(used(&*store, &owner, &user).await, (1, 1));
    assert_eq!(used(&*store, &stranger, &user).await, (1, 1));
}

/// An id that another tenant has is taken, and stays theirs.
pub async fn another_tenants_id_cannot_be_created_over(store: Arc<dyn Store>) {
    let (owner, stranger) = (sample::organization(), sample::organization());
    let user = sample::user("ann");
    let record = created(&*store, sample::record(&owner, &user)).await;
    let mut copy = sample::record(&stranger, &user);
    copy.key.id = record.key.id;
    copy.key.lineage.root = record.key.id;

    assert_eq!(create_one(&*store, AMPLE, copy).await, Err(CreateRefusal::Exists));
    assert_eq!(read(&*store, record.key.id).await, Some(record));
    assert_eq!(listed(&*store, &Listing::Organization(stranger.clone()), 10).await, []);
    assert_eq!(used(&*store, &stranger, &user).await, (0, 0));
}

/// A batch for one organization with a key of another in it is refused whole: no tenant's quota is spent on another's key.
pub async fn a_batch_with_another_tenants_key_creates_nothing(store: Arc<dyn Store>) {
    let (owner, stranger) = (sample::organization(), sample::organization());
    let user = sample::user("ann");
    let batch = vec![sample::record(&owner, &user), sample::record(&stranger, &user), sample::record(&owner, &user)];
    let ids: Vec<_> = batch.iter().map(|record| record.key.id).collect();

    assert!(store.create(&owner, AMPLE, batch).await.is_err());
    for id in ids {
        assert_eq!(read(&*store, id).await, None);
    }
    for organization in [owner, stranger] {
        assert_eq!(listed(&*store, &Listing::Organization(organization.clone()), 10).await, []);
        assert_eq!(used(&*store, &organization, &user).await, (0, 0));
    }
}
