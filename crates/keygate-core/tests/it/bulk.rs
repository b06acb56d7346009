//! The same done to many keys: to each once, in the order asked, within one organization, whatever becomes of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::actor::Actor;
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::manager::{
    ApiKeyManager, BulkKeys, BulkOperation, BulkOutcome, CreatedKey, KeyFilter, KeyUpdate, MAX_BULK, ManageError,
};
use keygate_core::names::{OrganizationId, Reason, Tag};
use keygate_core::record::{KeyState, KeyStatus, StatusChange};
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::{GivenUpAfter, sample};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::hooked_store::HookedStore;
use crate::support::still_clock::StillClock;
use crate::support::yielding_store::YieldingStore;
use crate::support::{
    self, Instance, ROOMY, block_on, manager_over, new_key_with, operator, org, ring, scopes, tenant, word,
};

fn revoke() -> BulkOperation {
    BulkOperation::Revoke { reason: Some(Reason::new("leaked").unwrap()) }
}

fn activate() -> BulkOperation {
    BulkOperation::Activate { reason: None }
}

fn deactivate() -> BulkOperation {
    BulkOperation::Deactivate { reason: Some(Reason::new("on leave").unwrap()) }
}

fn absent() -> KeyId {
    KeyId::fresh(sample::past(), None).unwrap()
}

/// So many keys of an organization.
async fn keys_of(instance: &Instance, organization: &str, many: usize) -> Vec<CreatedKey> {
    let new = vec![new_key_with(|new| new.organization = org(organization)); many];
    let created = instance.manager.create_many(&operator(), new).await;
    created.into_iter().collect::<Result<_, _>>().unwrap()
}

fn ids(keys: &[CreatedKey]) -> Vec<KeyId> {
    keys.iter().map(|created| created.key.id).collect()
}

async fn status(instance: &Instance, id: KeyId) -> KeyStatus {
    instance.record(id).await.key.status.status
}

/// Each failure's key and reason.
fn failures(outcome: &BulkOutcome) -> Vec<(KeyId, &'static str)> {
    outcome.failed.iter().map(|failure| (failure.key_id, failure.reason)).collect()
}

#[tokio::test]
async fn what_is_done_to_each_is_what_is_done_to_one() {
    let instance = Instance::new();
    let keys = keys_of(&instance, "acme", 3).await;
    for (operation, expected, why) in [
        (deactivate(), KeyStatus::Inactive, Some("on leave")),
        (activate(), KeyStatus::Active, None),
        (BulkOperation::Deactivate { reason: None }, KeyStatus::Inactive, None),
        (revoke(), KeyStatus::Revoked, Some("leaked")),
    ] {
        let outcome = instance.manager.bulk(&operator(), &org("acme"), &operation, &ids(&keys)).await.unwrap();
        assert_eq!((outcome.successful, outcome.failed.len()), (ids(&keys), 0));
        for created in &keys {
            let why = why.map(|why| Reason::new(why).unwrap());
            let kept = instance.record(created.key.id).await.key.status;
            assert_eq!(kept, StatusChange::new(expected, instance.clock.now(), why));
            let admitted = instance.validate(created.text.expose()).await.is_ok();
            assert_eq!(admitted, expected == KeyStatus::Active);
        }
    }
}

#[tokio::test]
async fn a_key_named_twice_is_done_once_and_answered_once() {
    let instance = Instance::new();
    let keys = ids(&keys_of(&instance, "acme", 3).await);
    let gone = absent();
    let asked = [keys[1], gone, keys[0], keys[1], keys[1], gone, keys[2], keys[0]];
    instance.store.reset_calls();
    let outcome = instance.manager.bulk(&operator(), &org("acme"), &deactivate(), &asked).await.unwrap();
    assert_eq!(outcome.successful, [keys[1], keys[0], keys[2]]);
    assert_eq!(failures(&outcome), [(gone, "not_found")]);
    assert_eq!(instance.store.calls().set_status, 3);
}

#[tokio::test]
async fn a_revoked_key_stays_so_and_the_others_are_done() {
    let instance = Instance::new();
    let keys = ids(&keys_of(&instance, "acme", 4).await);
    instance.manager.revoke(&operator(), keys[2], Some(Reason::new("first").unwrap())).await.unwrap();
    let before = instance.record(keys[2]).await;
    let others = [keys[0], keys[1], keys[3]];
    for operation in [deactivate(), activate()] {
        let outcome = instance.manager.bulk(&operator(), &org("acme"), &operation, &keys).await.unwrap();
        assert_eq!((&outcome.successful[..], failures(&outcome)), (&others[..], vec![(keys[2], "key_revoked")]));
    }
    // To revoke it once more is no failure, and changes nothing.
    let outcome = instance.manager.bulk(&operator(), &org("acme"), &revoke(), &keys).await.unwrap();
    assert_eq!((outcome.successful, outcome.failed.len()), (keys.clone(), 0));
    assert_eq!(instance.record(keys[2]).await, before);
}

#[tokio::test]
async fn more_than_may_be_is_refused_with_nothing_done() {
    let instance = Instance::new();
    let key = keys_of(&instance, "acme", 1).await.remove(0);
    let mut asked = vec![key.key.id];
    asked.resize_with(MAX_BULK, absent);
    asked.push(key.key.id);
    instance.store.reset_calls();
    let refusal = instance.manager.bulk(&operator(), &org("acme"), &revoke(), &asked).await.unwrap_err();
    assert!(matches!(&refusal, ManageError::Invalid(error) if error.field() == "key_ids"), "{refusal:?}");
    assert_eq!((refusal.reason(), instance.store.calls().total()), ("invalid_field", 0));
    assert!(instance.validate(key.text.expose()).await.is_ok());

    asked.truncate(MAX_BULK);
    let outcome = instance.manager.bulk(&operator(), &org("acme"), &revoke(), &asked).await.unwrap();
    assert_eq!((outcome.successful, outcome.failed.len()), (vec![key.key.id], MAX_BULK - 1));
    instance.store.reset_calls();
    let outcome = instance.manager.bulk(&operator(), &org("acme"), &revoke(), &[]).await.unwrap();
    assert!(outcome.successful.is_empty() && outcome.failed.is_empty());
    assert_eq!(instance.store.calls().total(), 0);
}

#[tokio::test]
async fn what_is_answered_is_written_as_the_api_documents_it() {
    let instance = Instance::new();
    let key = keys_of(&instance, "acme", 1).await.remove(0).key.id;
    let gone = absent();
    let outcome = instance.manager.bulk(&operator(), &org("acme"), &revoke(), &[gone, key]).await.unwrap();
    let failed = json!([{"key_id": gone.to_string(), "reason": "not_found", "detail": "there is no such key"}]);
    let expected = json!({"successful": [key.to_string()], "failed": failed, "rotated": []});
    assert_eq!(serde_json::to_value(&outcome).unwrap(), expected);
}

// Walls.

#[tokio::test]
async fn a_foreign_key_and_an_absent_one_are_not_found_alike_whoever_asks() {
    let instance = Instance::new();
    let (own, foreign) = (keys_of(&instance, "acme", 1).await, keys_of(&instance, "globex", 2).await);
    instance.manager.deactivate(&operator(), foreign[1].key.id, None).await.unwrap();
    let before = [instance.record(foreign[0].key.id).await, instance.record(foreign[1].key.id).await];
    for actor in [operator(), tenant("acme", &["**"])] {
        for operation in [deactivate(), activate(), revoke()] {
            let alone = async |id: KeyId| {
                instance.store.reset_calls();
                let mut outcome = instance.manager.bulk(&actor, &org("acme"), &operation, &[id]).await.unwrap();
                assert_eq!(failures(&outcome), [(id, "not_found")]);
                (outcome.failed.remove(0).detail, instance.store.calls())
            };
            let unknown = alone(absent()).await;
            assert_eq!(alone(foreign[0].key.id).await, unknown);
            assert_eq!(alone(foreign[1].key.id).await, unknown);
        }
        let asked = [foreign[0].key.id, own[0].key.id, foreign[1].key.id];
        let outcome = instance.manager.bulk(&actor, &org("acme"), &deactivate(), &asked).await.unwrap();
        assert_eq!(outcome.successful, ids(&own), "none but those of the organization");
    }
    assert_eq!([instance.record(foreign[0].key.id).await, instance.record(foreign[1].key.id).await], before);
    assert!(instance.validate(foreign[0].text.expose()).await.is_ok());
}

#[tokio::test]
async fn another_organization_than_ones_own_is_not_found_and_not_looked_at() {
    let instance = Instance::new();
    let key = keys_of(&instance, "acme", 1).await.remove(0).key.id;
    instance.store.reset_calls();
    for organization in [org("acme"), org("nobody"), OrganizationId::system()] {
        let refusal = instance.manager.bulk(&tenant("globex", &["**"]), &organization, &revoke(), &[key]).await;
        assert_eq!(word(&refusal.unwrap_err()), "parent not found");
    }
    assert_eq!(instance.store.calls().total(), 0);
}

#[tokio::test]
async fn what_an_actor_may_not_do_to_one_it_may_not_do_to_many() {
    let instance = Instance::new();
    let weak = new_key_with(|new| new.scopes = Some(scopes(&["files:read"])));
    let strong = new_key_with(|new| new.scopes = Some(scopes(&["**"])));
    let (weak, strong) = (instance.create(weak).await.key.id, instance.create(strong).await.key.id);
    let admin = tenant("acme", &["files:*"]);
    let asked = [strong, weak];
    let outcome = instance.manager.bulk(&admin, &org("acme"), &deactivate(), &asked).await.unwrap();
    assert_eq!(outcome.successful, asked, "to weaken is always allowed");
    let outcome = instance.manager.bulk(&admin, &org("acme"), &activate(), &asked).await.unwrap();
    assert_eq!((&outcome.successful[..], failures(&outcome)), (&[weak][..], vec![(strong, "not_grantable")]));
    assert_eq!(status(&instance, strong).await, KeyStatus::Inactive);
}

// Trouble in the middle.

#[tokio::test]
async fn a_failure_of_the_store_fails_those_it_hits_and_no_others() {
    for (call, fate) in [("record", Fate::Failed), ("set_status", Fate::Failed), ("set_status", Fate::Lost)] {
        let instance = Instance::new();
        let keys = ids(&keys_of(&instance, "acme", 100).await);
        let hit: BTreeSet<KeyId> = keys.iter().copied().step_by(7).collect();
        let words: Vec<String> = hit.iter().map(KeyId::to_string).collect();
        let store = FatefulStore::new(instance.memory.clone(), move |made| {
            let is_hit = made.starts_with(call) && words.iter().any(|id| made.contains(id));
            if is_hit { fate } else { Fate::Answered }
        });
        let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
        let outcome = manager.bulk(&operator(), &org("acme"), &revoke(), &keys).await.unwrap();
        let expected = |hits: bool| keys.iter().copied().filter(|id| hit.contains(id) == hits).collect::<Vec<_>>();
        assert_eq!(outcome.successful, expected(false));
        assert_eq!(failures(&outcome), expected(true).iter().map(|id| (*id, "store_unavailable")).collect::<Vec<_>>());
        for id in &keys {
            let done = !hit.contains(id) || fate == Fate::Lost;
            assert_eq!(status(&instance, *id).await == KeyStatus::Revoked, done);
        }
        // Asked for again, what failed is done.
        let again = instance.manager.bulk(&operator(), &org("acme"), &revoke(), &expected(true)).await.unwrap();
        assert_eq!((again.successful, again.failed.len()), (expected(true), 0));
    }
}

#[tokio::test]
async fn given_up_anywhere_each_key_is_done_or_not_begun_and_asking_again_does_the_rest() {
    let mut ended = false;
    for polls in 0.. {
        let instance = Instance::new();
        let created = keys_of(&instance, "acme", 150).await;
        let keys = ids(&created);
        let manager = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
        let (asked, all) = (manager.clone(), keys.clone());
        let asking = async move { asked.bulk(&operator(), &org("acme"), &revoke(), &all).await.unwrap() };
        if let Some(outcome) = GivenUpAfter::polls(polls, asking).await {
            assert_eq!((&outcome.successful, outcome.failed.len()), (&keys, 0));
            ended = true;
        }
        let mut undone = 0;
        for created in &created {
            let record = instance.record(created.key.id).await;
            match record.key.status.status {
                KeyStatus::Active => {
                    undone += 1;
                    assert_eq!(record.key, created.key);
                    assert!(manager.validate(created.text.expose(), &RequestContext::new()).await.is_ok());
                }
                _ => assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked),
            }
        }
        assert!(undone > 0 || polls > 4, "they are not all done at once");
        let outcome = manager.bulk(&operator(), &org("acme"), &revoke(), &keys).await.unwrap();
        assert_eq!((outcome.successful, outcome.failed.len()), (keys, 0));
        if ended {
            assert!(polls > 8, "it waits for the store many times");
            break;
        }
    }
}

// Whatever is asked.

/// What bulk says of each id, by what is known of it alone.
fn expected_of(operation: &BulkOperation, known: Option<KeyStatus>) -> Result<KeyStatus, &'static str> {
    match (operation, known.ok_or("not_found")?) {
        (BulkOperation::Revoke { .. }, _) => Ok(KeyStatus::Revoked),
        (_, KeyStatus::Revoked) => Err("key_revoked"),
        (BulkOperation::Activate { .. }, _) => Ok(KeyStatus::Active),
        _ => Ok(KeyStatus::Inactive),
    }
}

async fn assert_as_expected(
    manager: &ApiKeyManager,
    instance: &Instance,
    actor: &Actor,
    choices: &[(u8, u8)],
    operation: &BulkOperation,
) {
    let mut known: BTreeMap<KeyId, KeyStatus> = BTreeMap::new();
    let (own, foreign) = (ids(&keys_of(instance, "acme", 6).await), ids(&keys_of(instance, "globex", 2).await));
    for (nth, id) in own.iter().enumerate() {
        let status = [KeyStatus::Active, KeyStatus::Inactive, KeyStatus::Revoked][nth % 3];
        instance.memory.set_status(&org("acme"), *id, &sample::status(status)).await.unwrap();
        known.insert(*id, status);
    }
    let gone = [absent(), absent()];
    let asked: Vec<KeyId> = choices
        .iter()
        .map(|(kind, nth)| match kind {
            0 => foreign[usize::from(nth % 2)],
            1 => gone[usize::from(nth % 2)],
            _ => own[usize::from(nth % 6)],
        })
        .collect();
    let mut seen = BTreeSet::new();
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for id in asked.iter().filter(|id| seen.insert(**id)) {
        match expected_of(operation, known.get(id).copied()) {
            Ok(status) => {
                successful.push(*id);
                known.insert(*id, status);
            }
            Err(reason) => failed.push((*id, reason)),
        }
    }
    let outcome = manager.bulk(actor, &org("acme"), operation, &asked).await.unwrap();
    assert_eq!((&outcome.successful, failures(&outcome)), (&successful, failed));
    for (id, expected) in known {
        assert_eq!(status(instance, id).await, expected);
    }
    for id in foreign {
        assert_eq!(status(instance, id).await, KeyStatus::Active);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..support::property() })]

    #[test]
    fn each_key_asked_for_is_answered_once_in_order_by_what_it_is(
        choices in prop::collection::vec((0u8..6, any::<u8>()), 0..120),
        operation in select(vec![revoke(), deactivate(), activate()]),
        operators in any::<bool>(),
    ) {
        block_on(async {
            let instance = Instance::new();
            let manager = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
            let actor = if operators { operator() } else { tenant("acme", &["**"]) };
            assert_as_expected(&manager, &instance, &actor, &choices, &operation).await;
        });
    }
}

fn updating(more: impl FnOnce(&mut KeyUpdate)) -> BulkOperation {
    let mut update = KeyUpdate::new();
    more(&mut update);
    BulkOperation::Update(Box::new(update))
}

#[tokio::test]
async fn many_keys_are_rotated_and_what_was_rotated_already_is_said() {
    let instance = Instance::new();
    let keys = keys_of(&instance, "acme", 40).await;
    instance.manager.rotate(&operator(), keys[7].key.id, None).await.unwrap();
    instance.manager.revoke(&operator(), keys[9].key.id, None).await.unwrap();
    let rotate = BulkOperation::Rotate { overlap: Some(TimeDelta::days(2)) };
    let asked = BulkKeys::Named(ids(&keys));
    let dry = instance.manager.bulk_of(&operator(), &org("acme"), &rotate, &asked, true).await.unwrap().outcome;
    assert!(dry.rotated.is_empty());
    assert_eq!(instance.record(keys[0].key.id).await.key.succession.superseded, None, "nothing is written");
    let done = instance.manager.bulk_of(&operator(), &org("acme"), &rotate, &asked, false).await.unwrap().outcome;
    assert_eq!((dry.successful, dry.failed), (done.successful.clone(), done.failed.clone()));
    assert_eq!(failures(&done), [(keys[7].key.id, "key_superseded"), (keys[9].key.id, "key_revoked")]);
    assert_eq!(done.rotated.len(), 38);
    for rotation in &done.rotated {
        let admitted = instance.validate(rotation.text.expose()).await.unwrap();
        assert_eq!(admitted.id, rotation.new_key_id);
        let old = instance.record(rotation.old_key_id).await.key;
        assert_eq!(old.expires_at, Some(instance.clock.now() + TimeDelta::days(2)));
    }
    // To ask again rotates nothing twice.
    let again = instance.manager.bulk_of(&operator(), &org("acme"), &rotate, &asked, false).await.unwrap().outcome;
    assert!(again.successful.is_empty() && again.rotated.is_empty());
    assert_eq!(again.failed.len(), 40);
    let overlong = BulkOperation::Rotate { overlap: Some(TimeDelta::days(366)) };
    let refused = instance.manager.bulk_of(&operator(), &org("acme"), &overlong, &asked, false).await.unwrap_err();
    assert_eq!(word(&refused), "invalid");
}

/// Whoever stops in between goes on with the page at which it stopped, and reaches every key that the filter admits.
#[tokio::test]
async fn keys_that_a_filter_admits_are_done_page_by_page() {
    let instance = Instance::new();
    let tagged = Tag::new("old").unwrap();
    let mut new = Vec::new();
    for place in 0..25 {
        new.push(new_key_with(|new| new.tags = if place % 2 == 0 { vec![tagged.clone()] } else { Vec::new() }));
    }
    let made = instance.manager.create_many(&operator(), new).await;
    let keys: Vec<CreatedKey> = made.into_iter().collect::<Result<_, _>>().unwrap();
    let mut filter = KeyFilter::default();
    filter.tag = Some(tagged);
    let unlimited = updating(|update| update.limits = Some(Limits::UNLIMITED));
    for dry_run in [true, false] {
        let (mut cursor, mut done) = (None, Vec::new());
        loop {
            let which = BulkKeys::Matching { filter: filter.clone(), limit: 4, cursor };
            let page = instance.manager.bulk_of(&operator(), &org("acme"), &unlimited, &which, dry_run).await.unwrap();
            assert!(page.outcome.successful.len() <= 4);
            done.extend(page.outcome.successful);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let mut expected: Vec<KeyId> = keys.iter().step_by(2).map(|created| created.key.id).collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(done, expected);
        for (place, created) in keys.iter().enumerate() {
            let is_changed = instance.record(created.key.id).await.key.limits == Limits::UNLIMITED;
            assert_eq!(is_changed, !dry_run && place % 2 == 0);
        }
    }
}

/// To ask again for what a filter admits rotates no successor.
#[tokio::test]
async fn keys_that_a_filter_admits_are_rotated_once_however_often_it_is_asked_for() {
    let instance = Instance::new();
    let keys = keys_of(&instance, "acme", 5).await;
    instance.clock.advance(std::time::Duration::from_secs(1));
    let rotate = BulkOperation::Rotate { overlap: None };
    let mut filter = KeyFilter::default();
    let which = |filter: &KeyFilter, limit| BulkKeys::Matching { filter: filter.clone(), limit, cursor: None };
    let acme = org("acme");
    for which in [which(&filter, 100), which(&KeyFilter::default(), 0)] {
        let refused = instance.manager.bulk_of(&operator(), &acme, &rotate, &which, false).await.unwrap_err();
        assert_eq!(word(&refused), "invalid");
    }
    filter.made_before = Some(instance.clock.now());
    let which = which(&filter, 100);
    for times in 0..3 {
        instance.clock.advance(std::time::Duration::from_secs(1));
        let page = instance.manager.bulk_of(&operator(), &acme, &rotate, &which, false).await.unwrap();
        assert_eq!(page.outcome.rotated.len(), if times == 0 { 5 } else { 0 });
        assert_eq!(page.outcome.failed.len(), if times == 0 { 0 } else { 5 });
    }
    for key in &keys {
        let successor = instance.record(key.key.id).await.key.succession.superseded.unwrap().successor_id;
        assert_eq!(instance.record(successor).await.key.succession.superseded, None);
    }
}

/// A time to come would have the new keys rotated by whoever asks again: it is taken as now, and the answer says so.
#[tokio::test]
async fn successors_are_left_alone_whatever_a_fast_clock_says() {
    let instance = Instance::new();
    let keys = keys_of(&instance, "acme", 3).await;
    instance.clock.advance(Duration::from_secs(1));
    let mut filter = KeyFilter::default();
    filter.made_before = Some(instance.clock.now() + TimeDelta::hours(1));
    let which = |filter: &KeyFilter| BulkKeys::Matching { filter: filter.clone(), limit: 100, cursor: None };
    let (acme, rotate) = (org("acme"), BulkOperation::Rotate { overlap: None });
    let page = instance.manager.bulk_of(&operator(), &acme, &rotate, &which(&filter), false).await.unwrap();
    assert_eq!((page.outcome.rotated.len(), page.made_before), (3, Some(instance.clock.now())));
    instance.clock.advance(Duration::from_secs(1));
    filter.made_before = page.made_before;
    let again = instance.manager.bulk_of(&operator(), &acme, &rotate, &which(&filter), false).await.unwrap();
    let mut expected: Vec<KeyId> = ids(&keys);
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let failed: Vec<KeyId> = again.outcome.failed.iter().map(|failure| failure.key_id).collect();
    assert_eq!((again.outcome.successful.len(), failed), (0, expected));
}

/// The answer does not come too late to be read: what was not begun in time is told of keys that were named, and comes next of
/// those that a filter admits.
#[tokio::test]
async fn what_is_not_begun_in_time_is_told_or_comes_next() {
    let clock = StillClock::new();
    let memory = MemoryStore::with_clock(clock.clone());
    let slow = clock.clone();
    // Each key takes half a second, one after another as the store sees them.
    let store = HookedStore::new(memory, move |call| {
        if call.starts_with("set_status") {
            slow.advance(Duration::from_millis(500));
        }
        async { Ok(()) }
    });
    let manager = ApiKeyManager::builder(store, ring(&[1])).clock(clock.clone()).quota(ROOMY).build().unwrap();
    let made = manager.create_many(&operator(), vec![new_key_with(|_| {}); 200]).await;
    let mut keys: Vec<KeyId> = made.into_iter().map(|made| made.unwrap().key.id).collect();
    keys.sort_unstable_by(|a, b| b.cmp(a));
    let acme = org("acme");

    let outcome = manager.bulk(&operator(), &acme, &deactivate(), &keys).await.unwrap();
    let done = outcome.successful.len();
    assert_eq!(outcome.successful, keys[..done]);
    assert_eq!(failures(&outcome), keys[done..].iter().map(|id| (*id, "not_begun")).collect::<Vec<_>>());
    assert!((30..200).contains(&done), "{done} were begun in 15 s");

    let (mut cursor, mut done, mut pages) = (None, Vec::new(), 0);
    loop {
        let which = BulkKeys::Matching { filter: KeyFilter::default(), limit: 1_000, cursor };
        let page = manager.bulk_of(&operator(), &acme, &activate(), &which, false).await.unwrap();
        assert_eq!(failures(&page.outcome), []);
        done.extend(page.outcome.successful);
        pages += 1;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(done, keys, "each once, in order");
    assert!(pages > 1, "{pages}");
}

/// A key that somebody changed between the list and its turn is not what the filter asked for any more.
#[tokio::test]
async fn what_a_filter_admits_no_more_is_left_alone() {
    let instance = Instance::new();
    let keys = keys_of(&instance, "acme", 2).await;
    let (acme, spared) = (org("acme"), keys[0].key.id);
    instance.manager.bulk(&operator(), &acme, &deactivate(), &ids(&keys)).await.unwrap();
    let other = instance.manager.clone();
    let listed = Arc::new(AtomicBool::new(false));
    let store = HookedStore::new(instance.memory.clone(), move |call| {
        let (other, is_listed) = (other.clone(), listed.swap(call.starts_with("list"), Ordering::SeqCst));
        async move {
            if is_listed {
                other.activate(&operator(), spared, None).await.unwrap();
            }
            Ok(())
        }
    });
    let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
    let mut filter = KeyFilter::default();
    filter.state = Some(KeyState::Inactive);
    let which = BulkKeys::Matching { filter, limit: 100, cursor: None };
    let page = manager.bulk_of(&operator(), &acme, &revoke(), &which, false).await.unwrap();
    assert_eq!(page.outcome.successful, [keys[1].key.id]);
    assert_eq!(failures(&page.outcome), [(spared, "no_longer_matches")]);
    assert_eq!(status(&instance, spared).await, KeyStatus::Active);
}

/// Where nobody counts use, every key would look unused to whoever revokes those.
#[tokio::test]
async fn where_use_is_not_counted_nothing_is_said_to_be_unused() {
    let instance = Instance::new();
    keys_of(&instance, "acme", 1).await;
    let builder = ApiKeyManager::builder(instance.memory.clone(), ring(&[1])).clock(instance.clock.clone());
    let manager = builder.counts_usage(false).build().unwrap();
    let mut filter = KeyFilter::default();
    filter.unused_for = Some(TimeDelta::zero());
    let which = BulkKeys::Matching { filter: filter.clone(), limit: 100, cursor: None };
    let refused = manager.bulk_of(&operator(), &org("acme"), &revoke(), &which, true).await.unwrap_err();
    assert_eq!((word(&refused), refused.to_string().contains("unused_for")), ("invalid", true));
    assert!(manager.list(&operator(), &org("acme"), &filter, 10, None).await.is_err());
    assert_eq!(instance.manager.list(&operator(), &org("acme"), &filter, 10, None).await.unwrap().keys.len(), 1);
}

/// What an actor may not hand out is refused before anything is done; what a key has that the actor may not, key by key; and a
/// dry run says the same.
#[tokio::test]
async fn updates_of_many_stay_within_what_the_actor_may_grant() {
    let instance = Instance::new();
    let keys = keys_of(&instance, "acme", 2).await;
    let strong = instance.create(new_key_with(|new| new.permissions = scopes(&["admin:write"]))).await;
    let actor = tenant("acme", &["files:*", "default"]);
    let asked = BulkKeys::Named([ids(&keys), vec![strong.key.id]].concat());
    let acme = org("acme");
    let beyond = updating(|update| update.permissions = Some(scopes(&["admin:write"])));
    let refused = instance.manager.bulk_of(&actor, &acme, &beyond, &asked, false).await.unwrap_err();
    assert_eq!(word(&refused), "not grantable");
    let within = updating(|update| update.scopes = Some(scopes(&["files:read"])));
    for (operation, fails) in [
        (updating(|update| update.limits = Some(Limits::UNLIMITED)), true),
        (within, true),
        (updating(|update| update.permissions = Some(scopes(&["files:read"]))), false),
    ] {
        let dry = instance.manager.bulk_of(&actor, &acme, &operation, &asked, true).await.unwrap().outcome;
        let done = instance.manager.bulk_of(&actor, &acme, &operation, &asked, false).await.unwrap().outcome;
        assert_eq!((&dry.successful, &dry.failed), (&done.successful, &done.failed));
        let expected = if fails { vec![(strong.key.id, "not_grantable")] } else { Vec::new() };
        assert_eq!(failures(&done), expected, "{operation:?}");
    }
    assert_eq!(instance.record(keys[0].key.id).await.key.scopes, scopes(&["files:read"]));
}
