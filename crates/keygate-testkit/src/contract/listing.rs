//! Lists: newest first, in pages whose cursors stay good.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::{KeyRecord, KeyStatus};
use keygate_core::store::{Listing, Store};

use super::{AMPLE, created, ids, listed, of_user, read};
use crate::sample;

/// Creates `count` keys made at different times and gives them newest first.
async fn history(store: &dyn Store, organization: &OrganizationId, user: &UserId, count: i64) -> Vec<KeyRecord> {
    let now = sample::now();
    let records: Vec<_> =
        (0..count).map(|age| sample::record_of(organization, user, now - TimeDelta::seconds(60 * age))).collect();
    let mut shuffled = records.clone();
    shuffled.sort_by_key(|record| record.key.id.as_bytes()[15]);
    let outcomes = store.create(organization, AMPLE, shuffled).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    records
}

/// By the time the keys were made, in whatever order they were written.
pub async fn lists_are_newest_first(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let records = history(&*store, &organization, &user, 12).await;
    for listing in [Listing::Organization(organization.clone()), of_user(&organization, &user)] {
        assert_eq!(listed(&*store, &listing, 100).await, records);
    }
}

/// Whatever the size of a page: every key once, and the cursor ends.
pub async fn a_list_is_paged_without_repeats_or_gaps(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let records = history(&*store, &organization, &user, 12).await;
    for limit in [1, 5, 6, 11, 12, 13] {
        for listing in [Listing::Organization(organization.clone()), of_user(&organization, &user)] {
            assert_eq!(ids(&listed(&*store, &listing, limit).await), ids(&records), "in pages of {limit}");
        }
    }
}

/// While keys come and go between pages, no key is shown twice, and none that was there throughout is missed.
pub async fn cursors_are_stable_under_writes(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    for listing in [Listing::Organization(organization.clone()), of_user(&organization, &user)] {
        let records = history(&*store, &organization, &user, 30).await;
        let mut doomed: BTreeSet<KeyId> = BTreeSet::new();
        let mut seen: Vec<KeyId> = Vec::new();
        let mut after = None;
        loop {
            let page = store.list(&listing, after, 7).await.unwrap();
            for id in ids(&page.records) {
                assert!(!doomed.contains(&id), "a deleted key is listed");
                assert!(seen.last().is_none_or(|last| id < *last), "{id} comes out of order or again");
                seen.push(id);
            }
            let Some(next) = page.next else { break };
            after = Some(next);
            // A newer key, one in the middle of the past, and the end of the cursor's key and of an older one.
            created(&*store, sample::record(&organization, &user)).await;
            created(&*store, sample::record_of(&organization, &user, sample::now() - TimeDelta::seconds(910))).await;
            let older = records.iter().map(|record| record.key.id).filter(|id| *id < next);
            for id in older.step_by(5).take(1).chain([next]).collect::<Vec<_>>() {
                // A cursor need not be the id of a key.
                let Some(record) = read(&*store, id).await else { continue };
                store.delete(&organization, id, record.key.revision).await.unwrap();
                doomed.insert(id);
            }
        }
        let stayed = records.iter().map(|record| record.key.id).filter(|id| !doomed.contains(id));
        let missed: Vec<_> = stayed.filter(|id| !seen.contains(id)).collect();
        assert!(missed.is_empty(), "there throughout and not listed: {missed:?}");
        for id in ids(&listed(&*store, &listing, 100).await) {
            let revision = read(&*store, id).await.unwrap().key.revision;
            store.delete(&organization, id, revision).await.unwrap();
        }
    }
}

/// A cursor is a place in the order and needs no key to be there, now or ever.
pub async fn a_cursor_outlives_its_key(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let records = history(&*store, &organization, &user, 4).await;
    store.delete(&organization, records[1].key.id, records[1].key.revision).await.unwrap();
    let never = sample::record_of(&organization, &user, records[2].key.created_at + TimeDelta::seconds(1)).key.id;
    for listing in [Listing::Organization(organization.clone()), of_user(&organization, &user)] {
        for after in [records[1].key.id, never] {
            let page = store.list(&listing, Some(after), 2).await.unwrap();
            assert_eq!(page.records, records[2..]);
        }
    }
}

/// Another user's keys are not in it, nor those of the user of the same name elsewhere, nor of one whose name begins
/// alike.
pub async fn a_users_list_holds_that_users_keys_alone(store: Arc<dyn Store>) {
    let (organization, elsewhere) = (sample::organization(), sample::organization());
    let (user, longer) = (sample::user("ann"), sample::user("ann-2"));
    let record = created(&*store, sample::record(&organization, &user)).await;
    let other = created(&*store, sample::record(&organization, &longer)).await;
    created(&*store, sample::record(&elsewhere, &user)).await;
    assert_eq!(listed(&*store, &of_user(&organization, &user), 10).await, [record]);
    assert_eq!(listed(&*store, &of_user(&organization, &longer), 10).await, [other]);
}

/// The same for an organization, even one whose name goes on where another's ends.
pub async fn an_organizations_list_holds_that_organizations_keys_alone(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let longer = format!("{organization}-2").parse().unwrap();
    let record = created(&*store, sample::record(&organization, &sample::user("ann"))).await;
    let other = created(&*store, sample::record(&longer, &sample::user("ann"))).await;
    assert_eq!(listed(&*store, &Listing::Organization(organization), 10).await, [record]);
    assert_eq!(listed(&*store, &Listing::Organization(longer), 10).await, [other]);
}

/// Stopped, revoked and expired keys are listed, each as it is.
pub async fn lists_show_records_as_they_are_now(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let records = history(&*store, &organization, &user, 3).await;
    for (record, status) in records.iter().zip([KeyStatus::Inactive, KeyStatus::Revoked]) {
        store.set_status(&organization, record.key.id, &sample::status(status)).await.unwrap();
    }
    store.replace(&sample::expiring(&records[2], Some(sample::past())), records[2].key.revision).await.unwrap();
    for listing in [Listing::Organization(organization.clone()), of_user(&organization, &user)] {
        let listed = listed(&*store, &listing, 2).await;
        assert_eq!(ids(&listed), ids(&records));
        for record in listed {
            assert_eq!(read(&*store, record.key.id).await, Some(record));
        }
    }
}
