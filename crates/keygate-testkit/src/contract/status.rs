//! Status changes, which need no revision, and the one that is final.

use std::sync::Arc;

use keygate_core::names::Reason;
use keygate_core::record::{KeyStatus, StatusChange};
use keygate_core::store::{Store, WriteRefusal};

use super::{assert_absent, created, read};
use crate::sample;

/// A status change is answered with the record as it became: the change, the next revision, nothing else.
pub async fn a_status_change_counts_as_a_write(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let record = created(&*store, sample::full_record(&organization, &sample::user("ann"))).await;
    let reason = Some(Reason::new("found in a public repository: “über”").unwrap());
    let change = StatusChange::new(KeyStatus::Inactive, sample::now(), reason);

    let written = store.set_status(&organization, record.key.id, &change).await.unwrap();
    let mut expected = record.clone();
    expected.key.status = change;
    expected.key.revision = record.key.revision.next();
    assert_eq!(written.record, expected);
    assert_eq!(read(&*store, record.key.id).await.as_ref(), Some(&expected));

    let late = store.replace(&sample::described(&record, "late"), record.key.revision).await;
    assert!(matches!(late, Err(WriteRefusal::Conflict { found }) if found == expected.key.revision), "{late:?}");
}

/// Time, reason and revision stay those of the first change.
pub async fn setting_the_same_status_twice_changes_nothing(store: Arc<dyn Store>) {
    let organization = sample::organization();
    for status in [KeyStatus::Active, KeyStatus::Inactive, KeyStatus::Revoked] {
        let record = created(&*store, sample::record(&organization, &sample::user("ann"))).await;
        let first = StatusChange::new(status, sample::now(), Some(Reason::new("first").unwrap()));
        let once = store.set_status(&organization, record.key.id, &first).await.unwrap().record;
        let again = StatusChange::new(status, sample::far_future(), Some(Reason::new("again").unwrap()));
        let twice = store.set_status(&organization, record.key.id, &again).await.unwrap().record;
        assert_eq!(twice, once);
        assert_eq!(read(&*store, record.key.id).await, Some(once));
    }
}

/// Inactive is not final.
pub async fn a_stopped_key_can_be_started_again(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let record = created(&*store, sample::record(&organization, &sample::user("ann"))).await;
    for status in [KeyStatus::Inactive, KeyStatus::Active] {
        store.set_status(&organization, record.key.id, &sample::status(status)).await.unwrap();
        assert_eq!(read(&*store, record.key.id).await.unwrap().key.status.status, status);
    }
}

/// Revoked is final, whatever revision is named.
pub async fn a_revoked_record_accepts_no_update_and_no_other_status(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let record = created(&*store, sample::record(&organization, &sample::user("ann"))).await;
    let id = record.key.id;
    let revoked = store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap().record;

    for status in [KeyStatus::Active, KeyStatus::Inactive] {
        let refused = store.set_status(&organization, id, &sample::status(status)).await;
        assert!(matches!(refused, Err(WriteRefusal::Revoked)), "{refused:?}");
    }
    for from in [&record, &revoked] {
        let refused = store.replace(&sample::described(from, "after the end"), from.key.revision).await;
        assert!(matches!(refused, Err(WriteRefusal::Revoked)), "{refused:?}");
    }
    assert_eq!(read(&*store, id).await, Some(revoked));
}

/// However many updates are under way, a revocation is written and stays.
pub async fn revocation_wins_over_concurrent_updates(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let record = created(&*store, sample::record(&organization, &sample::user("ann"))).await;
    let id = record.key.id;
    let updater = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            loop {
                let current = read(&*store, id).await.unwrap();
                match store.replace(&sample::described(&current, "again"), current.key.revision).await {
                    Ok(_) | Err(WriteRefusal::Conflict { .. }) => {}
                    Err(refusal) => return refusal,
                }
            }
        }
    });
    // The updater has written at least once.
    while read(&*store, id).await.unwrap().key.revision == record.key.revision {
        tokio::task::yield_now().await;
    }
    let revoked = store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap().record;
    assert!(matches!(updater.await.unwrap(), WriteRefusal::Revoked));
    assert_eq!(read(&*store, id).await, Some(revoked));
}

/// Setting a status creates nothing.
pub async fn an_absent_key_gets_no_status(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let id = sample::record(&organization, &sample::user("ann")).key.id;
    assert_absent(store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await);
    assert_eq!(read(&*store, id).await, None);
}
