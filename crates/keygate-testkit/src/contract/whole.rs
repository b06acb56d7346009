//! What concerns a store as a whole: the deployment marker, and what the records say of the secret ring.

use std::sync::Arc;

use keygate_core::names::FieldName;
use keygate_core::record::KeyStatus;
use keygate_core::ring::{EntryId, Sealed};
use keygate_core::store::{Deployment, Store};

use super::created;
use crate::sample;

/// The marker is written by whoever knew the one before it, and by nobody else.
pub async fn the_deployment_marker_is_compare_and_set(store: Arc<dyn Store>) {
    let before = store.deployment().await.unwrap();
    let (first, second) = (sample::deployment(), sample::deployment());
    assert!(!store.put_deployment(Some(&second), &first).await.unwrap());
    assert_eq!(store.deployment().await.unwrap(), before);

    assert!(store.put_deployment(before.as_ref(), &first).await.unwrap());
    assert_eq!(store.deployment().await.unwrap().as_ref(), Some(&first));
    assert!(!store.put_deployment(before.as_ref(), &second).await.unwrap());
    assert!(!store.put_deployment(Some(&second), &second).await.unwrap());

    let grown = Deployment { ring_entries: vec![sample::ring_entry(), sample::ring_entry()], ..first.clone() };
    assert!(store.put_deployment(Some(&first), &grown).await.unwrap());
    assert!(!store.put_deployment(Some(&first), &second).await.unwrap());
    assert_eq!(store.deployment().await.unwrap(), Some(grown));
}

/// When many set a deployment up at once, there is one, and each of the others is told.
pub async fn one_of_concurrent_set_ups_wins(store: Arc<dyn Store>) {
    let before = store.deployment().await.unwrap();
    let instances: Vec<_> = (0..12)
        .map(|_| {
            let (store, before, mine) = (Arc::clone(&store), before.clone(), sample::deployment());
            tokio::spawn(async move { (store.put_deployment(before.as_ref(), &mine).await.unwrap(), mine) })
        })
        .collect();
    let mut written = Vec::new();
    for instance in instances {
        let (won, mine) = instance.await.unwrap();
        written.extend(won.then_some(mine));
    }
    assert_eq!(written.len(), 1);
    assert_eq!(store.deployment().await.unwrap().as_ref(), written.first());
}

async fn usage_of(store: &dyn Store, entries: [EntryId; 2]) -> [u64; 2] {
    let usage = store.ring_usage().await.unwrap();
    entries.map(|entry| usage.get(&entry).copied().unwrap_or(0))
}

/// Active and inactive keys with their end ahead, each once for an entry that both of its fields name; of every tenant.
pub async fn ring_usage_counts_usable_keys_per_entry(store: Arc<dyn Store>) {
    let (old, new) = (sample::ring_entry(), sample::ring_entry());
    let user = sample::user("ann");
    let organization = sample::organization();
    let mut records = Vec::new();
    for (organization, minted, digested) in [
        (organization.clone(), old, old),
        (organization.clone(), old, new),
        (organization.clone(), new, new),
        (sample::organization(), old, new),
    ] {
        let mut record = sample::record(&organization, &user);
        record.minted_under = minted;
        record.digested_under = digested;
        records.push(created(&*store, record).await);
    }
    assert_eq!(usage_of(&*store, [old, new]).await, [3, 3]);

    store.set_status(&organization, records[0].key.id, &sample::status(KeyStatus::Inactive)).await.unwrap();
    assert_eq!(usage_of(&*store, [old, new]).await, [3, 3]);
    store.set_status(&organization, records[0].key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert_eq!(usage_of(&*store, [old, new]).await, [2, 3]);
    store.replace(&sample::expiring(&records[1], Some(sample::past())), records[1].key.revision).await.unwrap();
    assert_eq!(usage_of(&*store, [old, new]).await, [1, 2]);
    store.delete(&organization, records[2].key.id, records[2].key.revision).await.unwrap();
    assert_eq!(usage_of(&*store, [old, new]).await, [1, 1]);

    // One that was superseded may still be used, and what it offers needs an entry of its own.
    let record = created(&*store, sample::record(&organization, &user)).await;
    let (mut superseded, mut successor) = sample::succession(&record);
    (superseded.minted_under, superseded.digested_under) = (old, old);
    superseded.offer = Some(Sealed::from_parts(new, vec![1]));
    (successor.minted_under, successor.digested_under) = (new, new);
    store.succeed(&superseded, record.key.revision, &successor).await.unwrap();
    assert_eq!(usage_of(&*store, [old, new]).await, [2, 3]);
}

/// Sensitive fields are opened until their record is gone, whatever became of the key.
pub async fn ring_usage_counts_sensitive_fields_until_they_are_erased(store: Arc<dyn Store>) {
    let (minted, sealed) = (sample::ring_entry(), sample::ring_entry());
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let with_field = || {
        let mut record = sample::record(&organization, &user);
        (record.minted_under, record.digested_under) = (minted, minted);
        let name = FieldName::new("card").unwrap();
        record.keep_sensitive([(name, Sealed::from_parts(sealed, vec![1]))].into_iter().collect());
        record
    };
    let revoked = created(&*store, with_field()).await;
    let ended = created(&*store, with_field()).await;
    assert_eq!(usage_of(&*store, [minted, sealed]).await, [2, 2]);
    store.set_status(&organization, revoked.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    store.replace(&sample::expiring(&ended, Some(sample::past())), ended.key.revision).await.unwrap();
    assert_eq!(usage_of(&*store, [minted, sealed]).await, [0, 2]);
    store.delete(&organization, ended.key.id, ended.key.revision.next()).await.unwrap();
    assert_eq!(usage_of(&*store, [minted, sealed]).await, [0, 1]);
}
