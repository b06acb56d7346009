//! Promise 10: a store's failure is 503, never a 401 and never an acceptance; and nothing stays stuck after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keygate_core::context::RequestContext;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::manager::{ApiKeyManager, KeyFilter, KeyUpdate, ManageError, SetupError};
use keygate_core::names::Description;
use keygate_core::store::{MemoryStore, Store};
use keygate_core::verifier::{MIN_PBKDF2_ITERATIONS, Scheme};
use keygate_testkit::{FaultyStore, GivenUpAfter, HeldClock, sample};

use crate::support::yielding_store::YieldingStore;
use crate::support::{self, Instance, manager_over, new_key, new_key_with, operator, org, ring, unlimited_key, word};

#[tokio::test]
async fn a_failing_store_is_trouble_for_every_key_of_the_right_form() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    instance.store.fail();
    for _ in 0..3 {
        let denial = instance.validate(created.text.expose()).await.unwrap_err();
        assert_eq!(denial, Denial::store_unavailable());
        assert!(denial.wait().is_some_and(|wait| wait > Duration::ZERO), "it says when to try again");
    }
    // A forgery is known without the store, and stays one.
    assert_eq!(instance.refusal("not a key").await, DenialReason::MalformedKey);
    let forged =
        format!("{}{}", &created.text.expose()[..83], if created.text.expose().ends_with('0') { '1' } else { '0' });
    assert_eq!(instance.refusal(&forged).await, DenialReason::InvalidKey);
    instance.store.heal();
    assert!(instance.validate(created.text.expose()).await.is_ok());
}

/// Before the store has confirmed the ring, a tag that fails says nothing: the secret may be the wrong one.
#[tokio::test]
async fn an_instance_that_never_reached_its_store_calls_no_key_invalid() {
    let theirs = Instance::under(ring(&[7]));
    let foreign = theirs.create(new_key()).await;
    let instance = Instance::new();
    instance.store.fail();
    assert_eq!(instance.refusal(foreign.text.expose()).await, DenialReason::StoreUnavailable);
    assert!(matches!(instance.manager.open().await, Err(SetupError::Store(_))));
    instance.store.heal();
    let patience = Instant::now() + Duration::from_secs(30);
    while instance.refusal(foreign.text.expose()).await != DenialReason::InvalidKey {
        assert!(Instant::now() < patience);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_instance_that_started_without_its_store_recovers_by_itself() {
    let right = Instance::new();
    let created = right.create(new_key()).await;
    let late = right.beside(ring(&[1]));
    late.store.fail();
    assert_eq!(late.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
    late.store.heal();
    late.wait_until_admitted(created.text.expose()).await;
    assert!(late.manager.open().await.is_ok());
}

#[tokio::test]
async fn a_store_that_is_down_is_not_asked_anew_by_every_request() {
    let instance = Instance::new();
    let created = instance.beside(ring(&[1])).create(new_key()).await;
    instance.store.fail();
    let began = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
    }
    // One call, and one more for each pause of 250 ms that went by meanwhile.
    let pauses = began.elapsed().as_millis() as u64 / 250;
    assert!(instance.store.calls().total() <= 1 + pauses, "{:?}", instance.store.calls());
}

#[tokio::test]
async fn a_lost_answer_at_the_first_start_leaves_a_deployment_that_opens() {
    let instance = Instance::new();
    instance.store.lose_answers();
    assert!(instance.manager.open().await.is_err());
    instance.store.heal();
    let created = instance.beside(ring(&[1])).create(new_key()).await;
    instance.wait_until_admitted(created.text.expose()).await;
}

#[tokio::test]
async fn every_management_call_says_that_the_store_failed() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (id, manager) = (created.key.id, &instance.manager);
    let mut update = KeyUpdate::new();
    update.description = Some(Description::new("x").unwrap());
    instance.store.fail();
    for (call, outcome) in [
        ("create", manager.create(&operator(), new_key()).await.map(drop)),
        ("sensitive", manager.sensitive(&operator(), id, None).await.map(drop)),
        ("get", manager.get(&operator(), id).await.map(drop)),
        ("list", manager.list(&operator(), &org("acme"), &KeyFilter::default(), 10, None).await.map(drop)),
        ("update", manager.update(&operator(), id, &update, None).await.map(drop)),
        ("deactivate", manager.deactivate(&operator(), id, None).await.map(drop)),
        ("activate", manager.activate(&operator(), id, None).await.map(drop)),
        ("revoke", manager.revoke(&operator(), id, None).await.map(drop)),
        ("delete", manager.delete(&operator(), id, None).await),
        ("organization", manager.organization(&operator(), &org("acme")).await.map(drop)),
    ] {
        assert_eq!(word(&outcome.unwrap_err()), "store", "{call}");
    }
    // Each of many asked for is answered.
    let outcomes = manager.create_many(&operator(), vec![new_key(), new_key()]).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| word(error) == "store")));
    // And the store is not asked for each of them.
    instance.store.reset_calls();
    manager.create_many(&operator(), vec![new_key(); 50]).await;
    assert_eq!(instance.store.calls().total(), 1);
    instance.store.heal();
    assert_eq!(manager.get(&operator(), id).await.unwrap(), created.key);
}

#[tokio::test]
async fn a_revocation_whose_answer_was_lost_can_be_repeated() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (id, manager) = (created.key.id, &instance.manager);
    instance.store.lose_answers();
    assert_eq!(word(&manager.revoke(&operator(), id, None).await.unwrap_err()), "store");
    instance.store.heal();
    assert!(manager.revoke(&operator(), id, None).await.is_ok());
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
}

// An emptied store.

#[tokio::test]
async fn an_emptied_store_is_trouble_and_not_a_list_of_invalid_keys() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let deleted = instance.create(new_key()).await;
    instance.manager.revoke(&operator(), deleted.key.id, None).await.unwrap();
    instance.manager.delete(&operator(), deleted.key.id, None).await.unwrap();
    assert_eq!(instance.refusal(deleted.text.expose()).await, DenialReason::InvalidKey);

    instance.wipe();
    for text in [&created.text, &deleted.text] {
        assert_eq!(instance.refusal(text.expose()).await, DenialReason::StoreUnavailable);
    }
    let refusal = instance.manager.create(&operator(), new_key()).await.unwrap_err();
    assert!(matches!(refusal, ManageError::Setup(SetupError::Emptied)), "{refusal}");
    assert!(
        instance.memory.deployment().await.unwrap().is_none(),
        "nothing was set up anew behind the operator's back"
    );
}

/// Another instance, or one run of the command line, sets the emptied store up anew: what this instance knew is gone all
/// the same.
#[tokio::test]
async fn an_emptied_store_that_somebody_else_sets_up_anew_is_still_trouble() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    instance.wipe();
    let other = instance.beside(ring(&[1]));
    other.manager.open().await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
    let error = instance.manager.create(&operator(), new_key()).await.unwrap_err();
    assert!(matches!(error, ManageError::Setup(SetupError::Emptied)), "{error}");
}

#[tokio::test]
async fn a_store_that_was_emptied_and_restored_serves_again() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (marker, record) =
        (instance.memory.deployment().await.unwrap().unwrap(), instance.record(created.key.id).await);
    instance.wipe();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
    assert!(instance.memory.put_deployment(None, &marker).await.unwrap());
    instance.memory.create(&org("acme"), support::ROOMY, vec![record]).await.unwrap()[0].unwrap();
    assert!(instance.validate(created.text.expose()).await.is_ok());
    instance.create(new_key()).await;
}

/// Another deployment's marker is not this one's.
#[tokio::test]
async fn a_store_that_now_belongs_to_another_deployment_is_trouble() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    instance.wipe();
    instance.beside(ring(&[9])).manager.open().await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
    assert_eq!(word(&instance.manager.create(&operator(), new_key()).await.unwrap_err()), "setup");
}

#[tokio::test]
async fn a_record_that_needs_a_secret_which_is_not_configured_is_trouble() {
    let both = Instance::under(ring(&[2, 1]));
    let created = both.create(new_key()).await;
    let mut record = both.record(created.key.id).await;
    record.digested_under = ring(&[3]).current_id();
    let revision = record.key.revision;
    record.key.revision = revision.next();
    both.memory.replace(&record, revision).await.unwrap();
    assert_eq!(both.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
}

// Giving up.

/// Drops the future at each place where it waits, until it comes to its end; after each, everything still works.
async fn given_up_at_every_wait<T: 'static>(
    mut begin: impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = T> + Send>>,
    mut still: impl AsyncFnMut(),
) -> T {
    for polls in 0.. {
        let outcome = GivenUpAfter::polls(polls, begin()).await;
        still().await;
        if let Some(outcome) = outcome {
            assert!(polls > 1, "the future waits somewhere");
            return outcome;
        }
    }
    unreachable!()
}

fn yielding(memory: &MemoryStore, seeds: &[u8], clock: &HeldClock) -> ApiKeyManager {
    manager_over(Arc::new(YieldingStore(memory.clone())), ring(seeds), clock)
}

#[tokio::test]
async fn a_check_given_up_anywhere_leaves_nothing_stuck() {
    for scheme in [Scheme::HmacSha256, Scheme::Pbkdf2Sha256 { iterations: MIN_PBKDF2_ITERATIONS }] {
        let instance = Instance::new();
        let created = instance.create(new_key_with(|new| new.scheme = Some(scheme))).await;
        let text = created.text.expose().to_owned();
        // With a retired secret, so that the record is moved on the way; cold, so that the marker is confirmed.
        let shared = yielding(&instance.memory, &[2, 1], &instance.clock);
        let check = |manager: ApiKeyManager| {
            let text = text.clone();
            async move { manager.validate(&text, &RequestContext::new()).await.map(drop) }
        };
        let outcome = given_up_at_every_wait(
            || Box::pin(check(shared.clone())),
            async || assert!(yielding(&instance.memory, &[2, 1], &instance.clock).open().await.is_ok()),
        )
        .await;
        assert!(outcome.is_ok());
        assert!(check(shared.clone()).await.is_ok());
        // Each time a cold instance of its own.
        let outcome = given_up_at_every_wait(
            || Box::pin(check(yielding(&instance.memory, &[2, 1], &instance.clock))),
            async || assert!(check(shared.clone()).await.is_ok()),
        )
        .await;
        assert!(outcome.is_ok());
    }
}

#[tokio::test]
async fn an_administrative_call_given_up_anywhere_is_done_or_not_done() {
    let instance = Instance::new();
    let manager = yielding(&instance.memory, &[1], &instance.clock);
    let made = given_up_at_every_wait(
        || {
            let manager = manager.clone();
            Box::pin(async move { manager.create(&operator(), new_key()).await })
        },
        async || assert!(manager.create(&operator(), new_key()).await.is_ok()),
    )
    .await
    .unwrap();

    let id = made.key.id;
    let revoked = given_up_at_every_wait(
        || {
            let manager = manager.clone();
            Box::pin(async move { manager.revoke(&operator(), id, None).await })
        },
        async || {
            let allowed = [DenialReason::KeyRevoked];
            let answer = manager.validate(made.text.expose(), &RequestContext::new()).await;
            assert!(
                answer.is_ok_and(|admission| admission.id == id)
                    || allowed.contains(&instance.refusal(made.text.expose()).await)
            );
        },
    )
    .await;
    assert!(revoked.is_ok());
    assert_eq!(instance.refusal(made.text.expose()).await, DenialReason::KeyRevoked);
}

/// A check that hangs in the store hangs alone.
#[tokio::test]
async fn one_check_that_waits_for_the_store_keeps_no_other_from_ending() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let stalled = FaultyStore::new(instance.memory.clone());
    let manager = manager_over(Arc::new(stalled.clone()), ring(&[1]), &instance.clock);
    manager.open().await.unwrap();
    stalled.stall();
    let (waiting, text) = (manager.clone(), created.text.expose().to_owned());
    let waiting = tokio::spawn(async move { waiting.validate(&text, &RequestContext::new()).await.map(drop) });
    stalled.wait_for_calls(|calls| calls.load_record == 1).await;
    // Forgeries are decided meanwhile.
    let made_up = format!("mcp_dev_0{}", "a".repeat(75));
    let denial = manager.validate(&made_up, &RequestContext::new()).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::InvalidKey);
    stalled.heal();
    assert!(waiting.await.unwrap().is_ok());
}

/// A cold start is confirmed once, however many wait for it, and a waiter that gives up takes no other with it.
#[tokio::test]
async fn a_crowd_at_a_cold_start_confirms_the_deployment_once() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    let store = FaultyStore::new(instance.memory.clone());
    let manager = manager_over(Arc::new(store.clone()), ring(&[1]), &instance.clock);
    store.stall();
    let crowd: Vec<_> = (0..50)
        .map(|_| {
            let (manager, text) = (manager.clone(), created.text.expose().to_owned());
            tokio::spawn(async move { manager.validate(&text, &RequestContext::new()).await.map(drop) })
        })
        .collect();
    store.wait_for_calls(|calls| calls.deployment == 1).await;
    crowd[0].abort();
    crowd[7].abort();
    store.heal();
    for (nth, one) in crowd.into_iter().enumerate() {
        match one.await {
            Ok(outcome) => assert!(outcome.is_ok()),
            Err(given_up) => assert!(given_up.is_cancelled() && (nth == 0 || nth == 7)),
        }
    }
    assert!(store.calls().deployment <= 2, "{:?}", store.calls());
}

/// No answer of one check ever reaches another, whatever was given up in between.
#[tokio::test]
async fn answers_are_never_mixed() {
    let instance = Instance::new();
    let manager = yielding(&instance.memory, &[1], &instance.clock);
    let mut keys = Vec::new();
    for nth in 0..16 {
        let created =
            manager.create(&operator(), new_key_with(|new| new.user = sample::user(&format!("user-{nth}")))).await;
        keys.push(created.unwrap());
    }
    let tasks: Vec<_> = (0..400)
        .map(|nth| {
            let (manager, created) = (manager.clone(), keys[(nth * 7) % 16].clone());
            tokio::spawn(async move {
                let (text, id) = (created.text.expose().to_owned(), created.key.id);
                let check = async move { manager.validate(&text, &RequestContext::new()).await };
                match GivenUpAfter::polls(nth % 9, check).await {
                    Some(admission) => assert_eq!(admission.unwrap().id, id),
                    None => assert!(nth % 9 < 8),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
