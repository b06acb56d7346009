//! Deleting, which leaves nothing.

use std::cmp::Reverse;
use std::sync::Arc;

use keygate_core::record::KeyStatus;
use keygate_core::store::{Listing, Store, WriteRefusal};

use super::{assert_absent, created, listed, of_user, read, used};
use crate::sample;

/// A deletion made from what has changed since is refused.
pub async fn deleting_needs_the_current_revision(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let record = created(&*store, sample::record(&organization, &sample::user("ann"))).await;
    let id = record.key.id;
    let second = sample::described(&record, "second");
    store.replace(&second, record.key.revision).await.unwrap();

    let refused = store.delete(&organization, id, record.key.revision).await;
    assert!(matches!(refused, Err(WriteRefusal::Conflict { found }) if found == second.key.revision), "{refused:?}");
    assert_eq!(read(&*store, id).await.as_ref(), Some(&second));

    store.delete(&organization, id, second.key.revision).await.unwrap();
    assert_eq!(read(&*store, id).await, None);
    assert_absent(store.delete(&organization, id, second.key.revision).await);
}

/// Deletion is the one write that a revoked record accepts.
pub async fn a_revoked_key_can_be_deleted(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let record = created(&*store, sample::record(&organization, &sample::user("ann"))).await;
    let revoked = sample::status(KeyStatus::Revoked);
    let revoked = store.set_status(&organization, record.key.id, &revoked).await.unwrap().record;
    store.delete(&organization, record.key.id, revoked.key.revision).await.unwrap();
    assert_eq!(read(&*store, record.key.id).await, None);
}

/// A deleted key is gone from every list; its neighbours are not.
pub async fn a_deleted_key_is_in_no_list(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let records: Vec<_> = (0..3).map(|_| sample::record(&organization, &user)).collect();
    for record in &records {
        created(&*store, record.clone()).await;
    }
    store.delete(&organization, records[1].key.id, records[1].key.revision).await.unwrap();
    let mut left = vec![records[0].clone(), records[2].clone()];
    left.sort_by_key(|record| Reverse(record.key.id));
    for listing in [Listing::Organization(organization.clone()), of_user(&organization, &user)] {
        assert_eq!(listed(&*store, &listing, 10).await, left);
    }
}

/// Nothing is left of a deleted key that would stand in the way of its id.
pub async fn a_deleted_id_may_be_created_again(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let record = created(&*store, sample::record(&organization, &user)).await;
    store.delete(&organization, record.key.id, record.key.revision).await.unwrap();
    created(&*store, record.clone()).await;
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
    assert_eq!(listed(&*store, &of_user(&organization, &user), 10).await, [record]);
}
