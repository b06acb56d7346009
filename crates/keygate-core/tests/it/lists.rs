//! Listing keys: newest first, filtered, in pages, and at a bounded cost.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::key::KeyId;
use keygate_core::manager::{Cursor, Expiry, KeyFilter, KeyPage, MAX_PAGE};
use keygate_core::names::{Environment, ProjectId, Tag};
use keygate_core::record::KeyState;
use keygate_core::store::Store;
use keygate_testkit::sample;
use proptest::prelude::*;

use crate::support::{self, Instance, ROOMY, block_on, new_key_with, operator, org, user};

async fn page(instance: &Instance, filter: &KeyFilter, limit: usize, cursor: Option<Cursor>) -> KeyPage {
    instance.manager.list(&operator(), &org("acme"), filter, limit, cursor).await.unwrap()
}

/// All pages of `limit` after one another.
async fn pages(instance: &Instance, filter: &KeyFilter, limit: usize) -> Vec<KeyId> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = page(instance, filter, limit, cursor).await;
        assert!(page.keys.len() <= limit);
        ids.extend(page.keys.iter().map(|key| key.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return ids;
        }
    }
}

/// Twelve keys that differ in everything a filter asks for, oldest first.
async fn varied() -> (Instance, Vec<KeyId>) {
    let instance = Instance::new();
    let mut ids = Vec::new();
    for nth in 0..12 {
        instance.clock.advance(Duration::from_millis(10));
        let created = instance
            .create(new_key_with(|new| {
                new.user = user(["ada", "bob", "eve"][nth % 3]);
                new.project = [None, Some(ProjectId::new("web").unwrap())][nth % 2].clone();
                new.tags = vec![Tag::new(["x", "y", "z", "x"][nth % 4]).unwrap()];
                new.environment = Some(Environment::new(["dev", "prod"][nth / 6]).unwrap());
                new.expiry = [Expiry::Never, Expiry::In(TimeDelta::days(nth as i64))][usize::from(nth > 3)];
            }))
            .await;
        ids.push(created.key.id);
    }
    instance.manager.revoke(&operator(), ids[0], None).await.unwrap();
    instance.manager.deactivate(&operator(), ids[1], None).await.unwrap();
    instance.clock.advance(Duration::from_secs(5 * 86_400));
    (instance, ids)
}

#[tokio::test]
async fn each_filter_lists_what_it_names_newest_first() {
    let (instance, ids) = varied().await;
    let listed = async |set: &dyn Fn(&mut KeyFilter)| {
        let mut filter = KeyFilter::default();
        set(&mut filter);
        let places = |listed: Vec<KeyId>| -> Vec<usize> {
            listed.iter().map(|id| ids.iter().position(|other| other == id).unwrap()).collect()
        };
        let whole = places(pages(&instance, &filter, 100).await);
        assert_eq!(places(pages(&instance, &filter, 1).await), whole, "one at a time is the same list");
        assert_eq!(places(pages(&instance, &filter, 5).await), whole);
        whole
    };
    assert_eq!(listed(&|_| ()).await, (0..12).rev().collect::<Vec<_>>());
    assert_eq!(listed(&|filter| filter.user = Some(user("bob"))).await, [10, 7, 4, 1]);
    assert_eq!(listed(&|filter| filter.project = ProjectId::new("web").ok()).await, [11, 9, 7, 5, 3, 1]);
    assert_eq!(listed(&|filter| filter.tag = Tag::new("y").ok()).await, [9, 5, 1]);
    assert_eq!(listed(&|filter| filter.environment = Environment::new("prod").ok()).await, [11, 10, 9, 8, 7, 6]);
    assert_eq!(listed(&|filter| filter.state = Some(KeyState::Revoked)).await, [0]);
    assert_eq!(listed(&|filter| filter.state = Some(KeyState::Inactive)).await, [1]);
    assert_eq!(listed(&|filter| filter.state = Some(KeyState::Expired)).await, [5, 4]);
    assert_eq!(listed(&|filter| filter.state = Some(KeyState::Active)).await, [11, 10, 9, 8, 7, 6, 3, 2]);
    assert_eq!(listed(&|filter| filter.expiring_within = Some(TimeDelta::days(2))).await, [7, 6]);
    assert_eq!(
        listed(&|filter| {
            filter.user = Some(user("eve"));
            filter.tag = Tag::new("x").ok();
        })
        .await,
        [11, 8]
    );
    assert!(listed(&|filter| filter.user = Some(user("nobody"))).await.is_empty());
}

#[tokio::test]
async fn no_time_to_the_end_makes_a_list_panic() {
    let (instance, _) = varied().await;
    for (within, expected) in [(TimeDelta::MAX, 6), (TimeDelta::MIN, 0), (TimeDelta::zero(), 0)] {
        let mut filter = KeyFilter::default();
        filter.expiring_within = Some(within);
        assert_eq!(page(&instance, &filter, 100, None).await.keys.len(), expected, "{within}");
    }
}

#[tokio::test]
async fn a_page_has_at_least_one_key_and_at_most_a_thousand() {
    let instance = Instance::new();
    let records = (0..MAX_PAGE + 5).map(|_| sample::record(&org("acme"), &user("ada"))).collect();
    instance.memory.create(&org("acme"), ROOMY, records).await.unwrap();
    assert_eq!(page(&instance, &KeyFilter::default(), 0, None).await.keys.len(), 1);
    let first = page(&instance, &KeyFilter::default(), usize::MAX, None).await;
    assert_eq!(first.keys.len(), MAX_PAGE);
    let rest = page(&instance, &KeyFilter::default(), MAX_PAGE, first.next_cursor).await;
    assert_eq!((rest.keys.len(), rest.next_cursor), (5, None));
}

/// Keys made, revoked and deleted while a list is read neither repeat others nor hide them.
#[tokio::test]
async fn pages_hold_while_keys_come_and_go() {
    let (instance, ids) = varied().await;
    let first = page(&instance, &KeyFilter::default(), 4, None).await;
    let cursor = first.next_cursor.unwrap();
    // The key the cursor stands on goes, and a new one comes.
    instance.manager.revoke(&operator(), ids[8], None).await.unwrap();
    instance.manager.delete(&operator(), ids[8], None).await.unwrap();
    instance.create(new_key_with(|_| ())).await;
    let reread: Cursor = cursor.to_string().parse().unwrap();
    let rest = page(&instance, &KeyFilter::default(), 100, Some(reread)).await;
    assert_eq!(
        rest.keys.iter().map(|key| key.id).collect::<Vec<_>>(),
        ids[..8].iter().rev().copied().collect::<Vec<_>>()
    );
    assert!("not a cursor".parse::<Cursor>().is_err());
}

/// A filter that nothing passes reads 5,000 records and answers with an empty page that goes on.
#[tokio::test]
async fn a_page_reads_a_bounded_number_of_records_in_a_bounded_number_of_calls() {
    let instance = Instance::new();
    let records = (0..5_600).map(|_| sample::record(&org("acme"), &user("ada"))).collect();
    instance.memory.create(&org("acme"), ROOMY, records).await.unwrap();
    let mut filter = KeyFilter::default();
    filter.tag = Tag::new("nothing").ok();
    for limit in [1, 10, MAX_PAGE] {
        instance.store.reset_calls();
        let first = page(&instance, &filter, limit, None).await;
        assert!(first.keys.is_empty() && first.next_cursor.is_some());
        assert!(instance.store.calls().list <= 10, "{} calls for a page of {limit}", instance.store.calls().list);
        let second = page(&instance, &filter, limit, first.next_cursor).await;
        assert!(second.keys.is_empty() && second.next_cursor.is_none());
    }
    assert!(pages(&instance, &filter, 3).await.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..support::property() })]

    #[test]
    fn pages_of_any_size_are_the_same_list(
        tags in prop::collection::vec(0u8..3, 0..40), limit in 1usize..8, wanted in prop::option::of(0u8..3),
    ) {
        let instance = Instance::new();
        let tag = |tag: u8| Tag::new(format!("t{tag}")).unwrap();
        let new = tags.iter().map(|which| new_key_with(|new| new.tags = vec![tag(*which)])).collect();
        let made = block_on(instance.manager.create_many(&operator(), new));
        let mut filter = KeyFilter::default();
        filter.tag = wanted.map(tag);
        let listed = block_on(pages(&instance, &filter, limit));
        prop_assert!(listed.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
        let expected: BTreeSet<KeyId> = made
            .into_iter()
            .zip(&tags)
            .filter(|(_, tag)| wanted.is_none_or(|wanted| wanted == **tag))
            .map(|(created, _)| created.unwrap().key.id)
            .collect();
        prop_assert_eq!(listed.len(), expected.len());
        prop_assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
