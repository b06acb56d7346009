//! Making a thing once, however often it is asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::join_all;
use keygate_core::actor::{Actor, Operator};
use keygate_core::clock::Clock;
use keygate_core::key::KeyId;
use keygate_core::manager::{
    ApiKeyManager, CreatedKey, CreatedOnce, Expiry, IdempotencyKey, ManageError, NewKey, OrganizationOnce,
    OrganizationUpdate,
};
use keygate_core::names::PrincipalId;
use keygate_core::record::{Key, KeyRecord, Metadata, Quota, Revision};
use keygate_core::store::{Listing, MemoryStore, Store};
use keygate_testkit::{GivenUpAfter, HeldClock};
use serde_json::Value;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::yielding_store::YieldingStore;
use crate::support::{
    self, Instance, manager_over, new_key, new_key_with, operator, org, ring, scopes, tenant, the_operator,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// More than any call here is polled for.
const POLLS: usize = 40;

fn once(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

async fn create(manager: &ApiKeyManager, new: NewKey) -> Result<CreatedOnce, ManageError> {
    manager.create_once(&operator(), new, &once("first")).await
}

#[track_caller]
fn now(created: Result<CreatedOnce, ManageError>) -> CreatedKey {
    match created {
        Ok(CreatedOnce::Now(created)) => created,
        other => panic!("it was to be made now, not {other:?}"),
    }
}

#[track_caller]
fn before(created: Result<CreatedOnce, ManageError>) -> Key {
    match created {
        Ok(CreatedOnce::Before(key)) => key,
        other => panic!("it was to have been made before, not {other:?}"),
    }
}

#[track_caller]
fn reason<T: std::fmt::Debug>(outcome: Result<T, ManageError>) -> &'static str {
    outcome.unwrap_err().reason()
}

async fn keys(store: &MemoryStore) -> Vec<KeyRecord> {
    store.list(&Listing::Organization(org("acme")), None, 100).await.unwrap().records
}

async fn erase(manager: &ApiKeyManager, id: KeyId) {
    manager.revoke(&operator(), id, None).await.unwrap();
    manager.delete(&operator(), id, None).await.unwrap();
}

#[tokio::test]
async fn the_second_call_is_shown_the_key_of_the_first_as_it_is() {
    let instance = Instance::new();
    let created = now(create(&instance.manager, new_key()).await);
    assert!(instance.validate(created.text.expose()).await.is_ok());
    assert_eq!(before(create(&instance.manager, new_key()).await), created.key);

    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    let revoked = instance.manager.get(&operator(), created.key.id).await.unwrap();
    assert_eq!(before(create(&instance.manager, new_key()).await), revoked);
    assert_eq!(keys(&instance.memory).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_calls_at_once_on_many_instances_one_makes_the_key() {
    for _ in 0..20 {
        let instance = Instance::new();
        let calls: Vec<_> = (0..8)
            .flat_map(|_| {
                let memory = YieldingStore(instance.memory.clone());
                let manager = manager_over(Arc::new(memory), ring(&[1]), &instance.clock);
                [manager.clone(), manager]
            })
            .map(|manager| tokio::spawn(async move { create(&manager, new_key()).await.unwrap() }))
            .collect();
        let (mut made, mut shown) = (Vec::new(), Vec::new());
        for call in calls {
            match call.await.unwrap() {
                CreatedOnce::Now(created) => made.push(created),
                CreatedOnce::Before(key) => shown.push(key),
            }
        }
        assert_eq!((made.len(), shown.len()), (1, 15));
        assert!(shown.iter().all(|key| *key == made[0].key));
        assert_eq!(keys(&instance.memory).await.len(), 1);
        assert!(instance.validate(made[0].text.expose()).await.is_ok());
    }
}

/// Instances whose rings differ, as while a secret is changed.
#[tokio::test]
async fn another_ring_is_no_other_request() {
    let instance = Instance::under(ring(&[1]));
    let created = now(create(&instance.manager, new_key()).await);
    let changed = instance.beside(ring(&[2, 1]));
    assert_eq!(before(create(&changed.manager, new_key()).await), created.key);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let instance = Instance::new();
    let created = now(create(&instance.manager, new_key()).await);
    let other = || new_key_with(|new| new.scopes = Some(scopes(&["files:read"])));
    assert_eq!(reason(create(&instance.manager, other()).await), "idempotency_key_reused");
    assert_eq!(keys(&instance.memory).await.len(), 1);
    // Which leaves the first one what it is, and the other to be made under a key of its own.
    assert_eq!(before(create(&instance.manager, new_key()).await), created.key);
    now(instance.manager.create_once(&operator(), other(), &once("second")).await);
}

#[tokio::test]
async fn the_order_of_fields_in_metadata_is_no_difference() {
    let instance = Instance::new();
    let with = |fields: &str| {
        let fields: serde_json::Map<String, Value> = serde_json::from_str(fields).unwrap();
        new_key_with(|new| new.metadata = Metadata::new(fields).unwrap())
    };
    let created = now(create(&instance.manager, with(r#"{"a": {"x": 1, "y": [{"p": 1, "q": 2}]}, "b": 2}"#)).await);
    let same = with(r#"{"b": 2, "a": {"y": [{"q": 2, "p": 1}], "x": 1}}"#);
    assert_eq!(before(create(&instance.manager, same).await), created.key);
    let other = with(r#"{"b": 2, "a": {"y": [{"q": 2, "p": 3}], "x": 1}}"#);
    assert_eq!(reason(create(&instance.manager, other).await), "idempotency_key_reused");
}

#[tokio::test]
async fn callers_keys_are_apart() {
    let instance = Instance::new();
    let named = |name: &str| Actor::from(Operator::named(PrincipalId::new(name).unwrap()));
    let to = |organization: &str| new_key_with(|new| new.organization = org(organization));
    let mut made = BTreeSet::new();
    for (actor, organization) in [
        (named("a"), "acme"),
        (named("b"), "acme"),
        (named("a"), "globex"),
        // The same letters, divided otherwise.
        (named("aa"), "cme"),
        (named("a"), "acmef"),
        (tenant("acme", &["**"]), "acme"),
    ] {
        let key = once("first");
        let call = || instance.manager.create_once(&actor, to(organization), &key);
        let created = now(call().await);
        assert_eq!(before(call().await), created.key);
        made.insert(created.key.id);
    }
    assert_eq!(made.len(), 6);
    // Beyond its walls there is nothing for a tenant, and nothing is remembered for it.
    instance.store.reset_calls();
    let stranger = tenant("globex", &["**"]);
    assert_eq!(reason(instance.manager.create_once(&stranger, to("acme"), &once("first")).await), "not_found");
    assert_eq!(instance.store.calls().total(), 0);
}

/// Whatever is lost on the way, and however often.
#[tokio::test]
async fn a_crash_at_any_point_and_another_try_make_one_key() {
    for fate in [Fate::Failed, Fate::Lost] {
        for failing in 0..POLLS {
            let instance = Instance::new();
            let mut fates = vec![Fate::Answered; failing];
            fates.push(fate);
            let store = FatefulStore::meeting(instance.memory.clone(), fates);
            let crashed = create(&manager_over(Arc::new(store), ring(&[1]), &instance.clock), new_key()).await;
            let tried_again = create(&instance.manager, new_key()).await.unwrap();
            assert_eq!(keys(&instance.memory).await.len(), 1, "call {failing}: {fate:?}");
            match (crashed, tried_again) {
                (Ok(CreatedOnce::Now(created)), CreatedOnce::Before(key)) => assert_eq!(created.key, key),
                (Ok(other), _) => panic!("the first call answered {other:?}"),
                // Where an answer was lost, the key's text went with it.
                (Err(_), CreatedOnce::Before(_)) => assert_eq!(fate, Fate::Lost),
                (Err(_), CreatedOnce::Now(created)) => {
                    assert!(instance.validate(created.text.expose()).await.is_ok());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_call_given_up_at_any_point_and_another_make_one_key() {
    let mut finished = 0;
    for polls in 0..POLLS {
        let instance = Instance::new();
        let store = YieldingStore(instance.memory.clone());
        let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
        let call = async move { create(&manager, new_key()).await };
        let first = GivenUpAfter::polls(polls, call).await;
        let second = create(&instance.manager, new_key()).await.unwrap();
        assert_eq!(keys(&instance.memory).await.len(), 1, "given up after {polls} polls");
        if let Some(first) = first {
            assert!(matches!(second, CreatedOnce::Before(key) if key == now(first).key));
            finished += 1;
        }
    }
    assert!((1..POLLS - 10).contains(&finished), "{finished} of {POLLS} calls came to their end");
}

#[tokio::test]
async fn a_refusal_uses_nothing_up() {
    let instance = Instance::built(ring(&[1]), |builder| builder.quota(Quota { per_organization: 10, per_user: 1 }));
    let other = instance.create(new_key()).await.key.id;
    for _ in 0..2 {
        assert_eq!(reason(create(&instance.manager, new_key()).await), "quota_reached");
    }
    instance.manager.revoke(&operator(), other, None).await.unwrap();
    let created = now(create(&instance.manager, new_key()).await);
    assert_eq!(before(create(&instance.manager, new_key()).await), created.key);

    // What this actor may not hand out, until it may.
    let asked = || new_key_with(|new| new.user = support::user("bob"));
    let call = |grantable: &[&str]| {
        let actor = tenant("acme", grantable);
        let manager = instance.manager.clone();
        async move { manager.create_once(&actor, asked(), &once("second")).await }
    };
    assert_eq!(reason(call(&[]).await), "not_grantable");
    let created = now(call(&["default"]).await);
    assert_eq!(before(call(&[]).await), created.key, "it is made already, and shown to whom it may be shown");
}

#[tokio::test]
async fn what_nobody_could_make_claims_nothing() {
    let instance = Instance::new();
    let tags = |count: usize| {
        let tag = |number| format!("tag-{number}").parse().unwrap();
        new_key_with(|new| new.tags = (0..count).map(tag).collect())
    };
    assert_eq!(reason(create(&instance.manager, tags(1_000)).await), "invalid_field");
    assert_eq!(instance.store.calls().remember, 0);
    now(create(&instance.manager, tags(1)).await);
}

/// An end that was ahead when the key was made is not ahead when the answer is asked for again.
#[tokio::test]
async fn a_key_that_has_ended_since_is_shown_all_the_same() {
    let instance = Instance::new();
    let end = instance.clock.now() + TimeDelta::seconds(10);
    let asked = || new_key_with(|new| new.expiry = Expiry::At(end));
    let created = now(create(&instance.manager, asked()).await);
    instance.clock.advance(Duration::from_secs(60));
    assert_eq!(before(create(&instance.manager, asked()).await), created.key);
}

#[tokio::test]
async fn an_erased_key_is_not_made_again_while_its_request_is_remembered() {
    let instance = Instance::new();
    let created = now(create(&instance.manager, new_key()).await);
    instance.clock.advance(HOUR * 23);
    erase(&instance.manager, created.key.id).await;
    instance.store.reset_calls();
    for _ in 0..2 {
        assert_eq!(reason(create(&instance.manager, new_key()).await), "not_found");
    }
    assert_eq!(instance.store.calls().create, 0, "not even for a moment");
    instance.clock.advance(HOUR - Duration::from_millis(1));
    assert_eq!(reason(create(&instance.manager, new_key()).await), "not_found");
    assert_eq!(keys(&instance.memory).await, []);

    instance.clock.advance(Duration::from_millis(1));
    let another = now(create(&instance.manager, new_key()).await);
    assert_ne!(another.key.id, created.key.id);
}

#[tokio::test]
async fn a_key_whose_erasure_failed_is_still_shown() {
    let instance = Instance::new();
    let created = now(create(&instance.manager, new_key()).await);
    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    let fails = |call: &str| if call.starts_with("delete") { Fate::Failed } else { Fate::Answered };
    let store = FatefulStore::new(instance.memory.clone(), fails);
    let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
    assert_eq!(reason(manager.delete(&operator(), created.key.id, None).await), "store_unavailable");
    assert_eq!(before(create(&manager, new_key()).await).id, created.key.id);
}

/// Without its mark an erased key could be made again, so there is no erasing without it.
#[tokio::test]
async fn a_young_key_is_erased_only_with_its_mark() {
    let instance = Instance::new();
    let (young, old) =
        (now(create(&instance.manager, new_key()).await).key.id, instance.create(new_key()).await.key.id);
    for id in [young, old] {
        instance.manager.revoke(&operator(), id, None).await.unwrap();
    }
    let fails = |call: &str| if call.starts_with("remember") { Fate::Failed } else { Fate::Answered };
    let store = FatefulStore::new(instance.memory.clone(), fails);
    let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
    assert_eq!(reason(manager.delete(&operator(), young, None).await), "store_unavailable");
    assert_eq!(keys(&instance.memory).await.len(), 2);
    // No request still names one that is older.
    instance.clock.advance(HOUR * 25);
    manager.delete(&operator(), old, None).await.unwrap();
}

/// A call that is on its way while another makes the key, and others erase it: whatever it was about to do, the key does
/// not come back.
#[tokio::test]
async fn an_erased_key_is_not_brought_back_by_a_call_on_its_way() {
    let mut outcomes = [0; 3];
    for polls in 0..POLLS {
        let instance = Instance::new();
        let store = YieldingStore(instance.memory.clone());
        let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
        let mut slow = Box::pin(async move { create(&manager, new_key()).await });
        let early = (0..polls).find_map(|_| slow.as_mut().now_or_never());
        let quick = create(&instance.manager, new_key()).await.unwrap();
        let id = match &quick {
            CreatedOnce::Now(created) => created.key.id,
            CreatedOnce::Before(key) => key.id,
        };
        erase(&instance.manager, id).await;
        let late = match early {
            Some(early) => early,
            None => slow.await,
        };
        match (quick, late) {
            // Each has made it: the slow one's was erased, or the quick one's was and the slow one never saw it.
            (CreatedOnce::Before(key), Ok(CreatedOnce::Now(created))) => {
                assert_eq!(created.key, key);
                outcomes[0] += 1;
            }
            (CreatedOnce::Now(_), Err(ManageError::NotFound)) => outcomes[1] += 1,
            (CreatedOnce::Before(_), Err(ManageError::NotFound)) => outcomes[2] += 1,
            other => panic!("after {polls} polls: {other:?}"),
        }
        assert_eq!(keys(&instance.memory).await, [], "after {polls} polls");
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[tokio::test]
async fn a_request_is_known_again_for_a_day() {
    let instance = Instance::new();
    let first = now(create(&instance.manager, new_key()).await);
    instance.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(before(create(&instance.manager, new_key()).await), first.key);
    instance.clock.advance(Duration::from_millis(1));
    let second = now(create(&instance.manager, new_key()).await);
    assert_ne!(second.key.id, first.key.id);
    assert_eq!(before(create(&instance.manager, new_key()).await), second.key);
}

/// What the store is told, of every call there is here; the key's text is nowhere in it, nor in a memo's bytes.
#[tokio::test]
async fn no_call_of_the_store_has_the_keys_text() {
    let memory = MemoryStore::new();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let store = FatefulStore::new(memory, {
        let told = Arc::clone(&told);
        move |call| {
            told.lock().unwrap().push(call.to_owned());
            Fate::Answered
        }
    });
    let clock = HeldClock::at(keygate_core::clock::SystemClock.now());
    let manager = manager_over(Arc::new(store), ring(&[1]), &clock);
    let created = now(create(&manager, new_key()).await);
    before(create(&manager, new_key()).await);
    erase(&manager, created.key.id).await;
    assert_eq!(reason(create(&manager, new_key()).await), "not_found");

    let told = told.lock().unwrap();
    assert_eq!(told.iter().filter(|call| call.starts_with("remember")).count(), 4);
    let text = created.text.expose();
    // The id stands in the text for everybody to see; what is behind it is the secret, and its tag.
    let shown = text.rfind('_').unwrap() + 1;
    for part in [text, &text[shown + 22..shown + 38], &text[text.len() - 11..]] {
        let bytes = format!("{:?}", part.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        for call in told.iter() {
            assert!(!call.contains(part) && !call.contains(bytes), "{part} is in {call}");
        }
    }
}

async fn set_up(
    manager: &ApiKeyManager,
    organization: &str,
    max_keys: u64,
    key: &str,
) -> Result<OrganizationOnce, ManageError> {
    let mut settings = OrganizationUpdate::default();
    settings.max_keys = Some(Some(max_keys));
    manager.create_organization_once(&the_operator(), &org(organization), &settings, &once(key)).await
}

#[tokio::test]
async fn an_organization_is_set_up_once() {
    let instance = Instance::new();
    let manager = &instance.manager;
    let OrganizationOnce::Now(record) = set_up(manager, "acme", 5, "first").await.unwrap() else { panic!("before?") };
    assert_eq!((record.revision, record.max_keys), (Revision::FIRST, Some(5)));
    assert_eq!(set_up(manager, "acme", 5, "first").await.unwrap(), OrganizationOnce::Before(record));

    let mut update = OrganizationUpdate::default();
    update.max_keys = Some(Some(7));
    let changed = manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap();
    assert_eq!(set_up(manager, "acme", 5, "first").await.unwrap(), OrganizationOnce::Before(changed));

    assert_eq!(reason(set_up(manager, "acme", 6, "first").await), "idempotency_key_reused");
    for _ in 0..2 {
        assert_eq!(reason(set_up(manager, "acme", 5, "second").await), "already_exists");
    }
    assert_eq!(reason(set_up(manager, "system", 5, "first").await), "reserved");
    // The key of one kind of request is none of another's, nor of another organization's.
    now(create(manager, new_key()).await);
    assert!(matches!(set_up(manager, "globex", 6, "first").await.unwrap(), OrganizationOnce::Now(_)));
}

#[tokio::test]
async fn of_many_who_set_an_organization_up_at_once_one_does() {
    let instance = Instance::new();
    let manager = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
    let outcomes = join_all((0..8).map(|_| set_up(&manager, "acme", 5, "first"))).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, OrganizationOnce::Now(_))).count(), 1);
    // Another request at the same moment is another.
    let outcomes = join_all([("a", 5), ("b", 6)].map(|(key, most)| set_up(&manager, "globex", most, key))).await;
    let words: Vec<_> =
        outcomes.into_iter().map(|outcome| outcome.map_or_else(|error| error.reason(), |_| "")).collect();
    assert!(words.contains(&"") && words.contains(&"already_exists"), "{words:?}");
}

/// Who claimed it first is not always who sets it up.
#[tokio::test]
async fn a_call_that_is_overtaken_finds_the_organization_of_its_own_request() {
    let mut overtaken = 0;
    for polls in 0..POLLS {
        let instance = Instance::new();
        let manager = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
        let mut slow = Box::pin(set_up(&manager, "acme", 5, "first"));
        let early = (0..polls).find_map(|_| slow.as_mut().now_or_never());
        let quick = set_up(&instance.manager, "acme", 5, "first").await.unwrap();
        let slow = match early {
            Some(early) => early,
            None => slow.await,
        };
        match (quick, slow.unwrap()) {
            (OrganizationOnce::Now(made), OrganizationOnce::Before(found)) => {
                assert_eq!(made, found);
                overtaken += 1;
            }
            (OrganizationOnce::Before(found), OrganizationOnce::Now(made)) => assert_eq!(made, found),
            both => panic!("after {polls} polls: {both:?}"),
        }
    }
    assert!((2..POLLS).contains(&overtaken), "{overtaken} calls were overtaken");
}

#[tokio::test]
async fn a_crash_while_an_organization_is_set_up_and_another_try_set_it_up() {
    for fate in [Fate::Failed, Fate::Lost] {
        for failing in 0..POLLS {
            let instance = Instance::new();
            let mut fates = vec![Fate::Answered; failing];
            fates.push(fate);
            let store = FatefulStore::meeting(instance.memory.clone(), fates);
            let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
            let crashed = set_up(&manager, "acme", 5, "first").await;
            let tried_again = set_up(&instance.manager, "acme", 5, "first").await.unwrap();
            let is_now = |outcome: &OrganizationOnce| matches!(outcome, OrganizationOnce::Now(_));
            match &crashed {
                Ok(first) => assert!(is_now(first) && !is_now(&tried_again)),
                Err(_) => assert!(is_now(&tried_again) || fate == Fate::Lost),
            }
            let (OrganizationOnce::Now(record) | OrganizationOnce::Before(record)) = tried_again;
            assert_eq!((record.revision, record.max_keys), (Revision::FIRST, Some(5)));
        }
    }
}
