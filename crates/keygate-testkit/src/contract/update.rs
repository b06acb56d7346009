//! Updates: compare-and-set on the revision.

use std::sync::Arc;

use keygate_core::record::Revision;
use keygate_core::store::{Store, WriteRefusal};

use super::{assert_absent, created, listed, of_user, read};
use crate::sample;

/// What an update writes is what is read back, in lists too.
pub async fn an_update_from_the_current_revision_is_read_back(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let record = created(&*store, sample::record(&organization, &user)).await;
    // Every field that may change, longer than it was.
    let mut next = sample::full_record(&organization, &user);
    next.key.id = record.key.id;
    next.key.revision = record.key.revision.next();
    next.key.status = record.key.status.clone();
    store.replace(&next, record.key.revision).await.unwrap();
    assert_eq!(read(&*store, record.key.id).await.as_ref(), Some(&next));
    assert_eq!(listed(&*store, &of_user(&organization, &user), 10).await, [next]);
}

/// A write made from what has changed since is refused with the revision there is.
pub async fn an_update_from_an_old_revision_is_refused_and_changes_nothing(store: Arc<dyn Store>) {
    let record = created(&*store, sample::record(&sample::organization(), &sample::user("ann"))).await;
    let second = sample::described(&record, "second");
    store.replace(&second, record.key.revision).await.unwrap();

    for expected in [record.key.revision, Revision(7)] {
        let refused = store.replace(&sample::described(&record, "late"), expected).await;
        let found = second.key.revision;
        assert!(matches!(refused, Err(WriteRefusal::Conflict { found: f }) if f == found), "{refused:?}");
    }
    assert_eq!(read(&*store, record.key.id).await, Some(second));
}

/// Of many updates made from one revision, one is written and the others learn that it was.
pub async fn of_concurrent_updates_one_wins(store: Arc<dyn Store>) {
    let record = created(&*store, sample::record(&sample::organization(), &sample::user("ann"))).await;
    let writers: Vec<_> = (0..16)
        .map(|n| {
            let (store, next) = (Arc::clone(&store), sample::described(&record, &format!("writer {n}")));
            let expected = record.key.revision;
            tokio::spawn(async move { store.replace(&next, expected).await.map(|_| next) })
        })
        .collect();
    let mut written = Vec::new();
    for writer in writers {
        match writer.await.unwrap() {
            Ok(next) => written.push(next),
            Err(refusal) => assert!(matches!(refusal, WriteRefusal::Conflict { .. }), "{refusal:?}"),
        }
    }
    assert_eq!(written.len(), 1);
    assert_eq!(read(&*store, record.key.id).await.as_ref(), written.first());
}

/// Updating creates nothing.
pub async fn an_absent_key_is_not_updated(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let record = sample::record(&organization, &user);
    assert_absent(store.replace(&sample::described(&record, "second"), record.key.revision).await);
    assert_eq!(read(&*store, record.key.id).await, None);
    assert_eq!(listed(&*store, &of_user(&organization, &user), 10).await, []);
}
