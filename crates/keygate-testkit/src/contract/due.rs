//! Which keys something is due to.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use keygate_core::key::KeyId;
use keygate_core::lifecycle::due;
use keygate_core::record::{KeyRecord, KeyStatus, Revision, RotationSchedule};
use keygate_core::store::{Due, Store};
use keygate_core::usage::period::Day;

use super::created;
use crate::sample;

/// A record that is to be rotated in so many days.
fn due_in(days: u32) -> KeyRecord {
    let mut record = sample::record(&sample::organization(), &sample::user("ann"));
    record.key.rotation_schedule = Some(RotationSchedule {
        interval_days: days,
        warning_days: 0,
        auto_rotate: true,
        notify_users: true,
        overlap_days: 1,
    });
    record
}

fn on_list(record: &KeyRecord) -> Due {
    Due { day: Day::of(due(record).unwrap()), id: record.key.id }
}

/// All that is on the lists up to a day, in pages of `limit`.
async fn listed(store: &dyn Store, until: Day, limit: usize) -> BTreeSet<Due> {
    let mut all = BTreeSet::new();
    for bucket in 0..store.due_buckets() {
        let mut after = None;
        loop {
            let page = store.due(bucket, until, after, limit).await.unwrap();
            assert!(page.len() <= limit && page.is_sorted());
            assert!(page.first().is_none_or(|first| after.is_none_or(|after| *first > after)), "{after:?}: {page:?}");
            all.extend(&page);
            if page.len() < limit {
                break;
            }
            after = page.last().copied();
        }
    }
    all
}

/// A key is on the list of the day on which something is due to it, from the write on that made it so: its creation, an
/// update, or the rotation that it came from.
pub async fn what_is_due_is_listed_by_its_day(store: Arc<dyn Store>) {
    let mut records = Vec::new();
    // Some share a bucket and a day, so that pages are many.
    for days in [3, 3, 5, 2, 3, 90] {
        records.push(created(&*store, due_in(days)).await);
    }
    let bucket = records[0].key.id.bucket();
    for _ in 0..9 {
        let mut record = due_in(3);
        record.key.id = KeyId::fresh(sample::now(), Some(bucket)).unwrap();
        record.key.lineage.root = record.key.id;
        records.push(created(&*store, record).await);
    }
    let plain = created(&*store, sample::record(&sample::organization(), &sample::user("ann"))).await;

    let day = |days: i64| Day::of(sample::now() + TimeDelta::days(days));
    let among = |listed: &BTreeSet<Due>, record: &KeyRecord| listed.contains(&on_list(record));
    for (until, limit) in [(day(4), 2), (day(4), 100), (day(0), 2), (day(90), 4)] {
        let listed = listed(&*store, until, limit).await;
        for record in &records {
            assert_eq!(among(&listed, record), on_list(record).day <= until, "{:?} by {until:?}", on_list(record));
        }
        assert!(listed.iter().all(|due| due.day <= until && due.id != plain.key.id));
    }

    // An update that makes something due, and one that makes it due on another day.
    let mut next = sample::described(&plain, "scheduled");
    next.key.rotation_schedule = due_in(2).key.rotation_schedule;
    store.replace(&next, plain.key.revision).await.unwrap();
    let mut later = sample::described(&next, "later");
    later.key.rotation_schedule = due_in(6).key.rotation_schedule;
    assert!(among(&listed(&*store, day(2), 100).await, &next));
    store.replace(&later, next.key.revision).await.unwrap();
    assert!(among(&listed(&*store, day(6), 100).await, &later));

    let record = &records[0];
    let (old, new) = sample::succession(record);
    store.succeed(&old, record.key.revision, &new).await.unwrap();
    assert!(among(&listed(&*store, day(4), 100).await, &new));
}

/// Who looked at a key takes it off a list, but not when it has changed since; what became of it is on no list.
pub async fn what_is_not_due_any_more_is_taken_off_the_list(store: Arc<dyn Store>) {
    let first = created(&*store, due_in(3)).await;
    let place = on_list(&first);
    let bucket = (0..store.due_buckets())
        .find(|bucket| store.due_buckets() == 1 || *bucket == place.id.bucket().number())
        .unwrap();
    let mut next = sample::described(&first, "not scheduled");
    next.key.rotation_schedule = None;
    store.replace(&next, first.key.revision).await.unwrap();
    store.not_due(bucket, place, Some(next.key.revision)).await.unwrap();
    assert!(!listed(&*store, place.day, 100).await.contains(&place));

    let mut again = sample::described(&next, "scheduled");
    again.key.rotation_schedule = first.key.rotation_schedule;
    store.replace(&again, next.key.revision).await.unwrap();
    // Said of a revision that is gone: it was made due since.
    for seen in [None, Some(Revision(0)), Some(next.key.revision)] {
        store.not_due(bucket, place, seen).await.unwrap();
        assert!(listed(&*store, place.day, 100).await.contains(&place), "{seen:?}");
    }

    let organization = &again.key.organization;
    let revoked = store.set_status(organization, place.id, &sample::status(KeyStatus::Revoked)).await.unwrap().record;
    store.delete(organization, place.id, revoked.key.revision).await.unwrap();
    store.not_due(bucket, place, None).await.unwrap();
    assert!(!listed(&*store, place.day, 100).await.contains(&place));
}
