//! Creating and reading back.

use std::cmp::Reverse;
use std::sync::Arc;

use keygate_core::record::{KeyRecord, Quota};
use keygate_core::store::{CreateRefusal, Listing, Store};

use super::{AMPLE, create_one, created, listed, of_user, read, used};
use crate::sample;

/// What is created is read back, field by field.
pub async fn a_created_key_is_read_back_as_it_was(store: Arc<dyn Store>) {
    let record = created(&*store, sample::record(&sample::organization(), &sample::user("ann"))).await;
    assert_eq!(read(&*store, record.key.id).await, Some(record));
}

/// The same for a record with something in every field.
pub async fn a_record_with_every_field_is_read_back_as_it_was(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let record = created(&*store, sample::full_record(&organization, &user)).await;
    assert_eq!(read(&*store, record.key.id).await.as_ref(), Some(&record));
    assert_eq!(listed(&*store, &of_user(&organization, &user), 10).await, [record]);
}

/// Nothing written is an answer, and no error: no record, no keys, no use, empty lists.
pub async fn what_nobody_wrote_is_absent(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    assert_eq!(read(&*store, sample::record(&organization, &user).key.id).await, None);
    for listing in [Listing::Organization(organization.clone()), of_user(&organization, &user)] {
        assert_eq!(store.list(&listing, None, 10).await.unwrap().records, []);
        assert_eq!(listed(&*store, &listing, 10).await, []);
    }
    assert_eq!(used(&*store, &organization, &user).await, (0, 0));
}

/// A batch of nothing has no outcomes.
pub async fn creating_nothing_does_nothing(store: Arc<dyn Store>) {
    let organization = sample::organization();
    assert_eq!(store.create(&organization, AMPLE, Vec::new()).await.unwrap(), []);
    assert_eq!(used(&*store, &organization, &sample::user("ann")).await, (0, 0));
}

/// A second key with the same id is refused, later or in the same batch, and the first one stays as it was.
pub async fn an_id_is_taken_once(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let first = sample::record(&organization, &user);
    let mut second = sample::record(&organization, &sample::user("bob"));
    second.key.id = first.key.id;
    second.key.lineage.root = first.key.id;

    let outcomes = store.create(&organization, AMPLE, vec![first.clone(), second.clone()]).await.unwrap();
    assert_eq!(outcomes, [Ok(()), Err(CreateRefusal::Exists)]);
    assert_eq!(create_one(&*store, AMPLE, second).await, Err(CreateRefusal::Exists));

    assert_eq!(read(&*store, first.key.id).await.as_ref(), Some(&first));
    assert_eq!(listed(&*store, &Listing::Organization(organization.clone()), 10).await, [first]);
    assert_eq!(listed(&*store, &of_user(&organization, &sample::user("bob")), 10).await, []);
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
}

/// Of many who create the same id at once, one does.
pub async fn an_id_is_taken_once_among_concurrent_creators(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let template = sample::record(&organization, &user);
    let creators: Vec<_> = (0..16)
        .map(|_| {
            let (store, mut record) = (Arc::clone(&store), template.clone());
            record.minted_under = sample::ring_entry();
            tokio::spawn(async move { create_one(&*store, AMPLE, record.clone()).await.map(|()| record) })
        })
        .collect();
    let mut winners = Vec::new();
    for creator in creators {
        match creator.await.unwrap() {
            Ok(record) => winners.push(record),
            Err(refusal) => assert_eq!(refusal, CreateRefusal::Exists),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(read(&*store, template.key.id).await.as_ref(), winners.first());
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
}

/// Outcomes come in the order of the records, each decided for itself.
pub async fn one_refusal_stops_none_of_the_others(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let (ann, bob) = (sample::user("ann"), sample::user("bob"));
    let there = created(&*store, sample::record(&organization, &sample::user("eve"))).await;
    let batch: Vec<KeyRecord> = [&ann, &ann, &bob, &ann].map(|user| sample::record(&organization, user)).into();
    let mut with_taken = batch.clone();
    with_taken.insert(2, there.clone());

    let quota = Quota { per_organization: 100, per_user: 1 };
    let outcomes = store.create(&organization, quota, with_taken).await.unwrap();

    let over = Err(CreateRefusal::UserQuota { limit: 1 });
    assert_eq!(outcomes, [Ok(()), over, Err(CreateRefusal::Exists), Ok(()), over]);
    for (record, is_there) in batch.iter().zip([true, false, true, false]) {
        assert_eq!(read(&*store, record.key.id).await.is_some(), is_there);
    }
    assert_eq!(used(&*store, &organization, &ann).await, (3, 1));
    assert_eq!(listed(&*store, &Listing::Organization(organization), 2).await.len(), 3);
}

/// Two thousand keys of a hundred users, in one call.
pub async fn a_large_batch_is_created_whole(store: Arc<dyn Store>) {
    const KEYS: usize = 2_000;
    let organization = sample::organization();
    let users: Vec<_> = (0..100).map(|n| sample::user(&format!("user-{n}"))).collect();
    let records: Vec<_> = users.iter().cycle().take(KEYS).map(|user| sample::record(&organization, user)).collect();
    let quota = Quota { per_organization: KEYS as u64, per_user: 20 };

    let outcomes = store.create(&organization, quota, records.clone()).await.unwrap();
    assert_eq!(outcomes, vec![Ok(()); KEYS]);
    assert_eq!(used(&*store, &organization, &users[7]).await, (KEYS as u64, 20));

    let mut expected = records;
    expected.sort_by_key(|record| Reverse(record.key.id));
    assert_eq!(listed(&*store, &Listing::Organization(organization.clone()), 300).await, expected);
    expected.retain(|record| record.key.user == users[7]);
    assert_eq!(listed(&*store, &of_user(&organization, &users[7]), 300).await, expected);
}
