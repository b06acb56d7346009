//! The operator's first key: one of those who ask at once makes it, and nobody ever makes a second.

use std::sync::Arc;

use keygate_core::actor::{Actor, ManagementPermission, Operator};
use keygate_core::context::RequestContext;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, CreatedKey, KeyFilter, ManageError, NewKey};
use keygate_core::names::{OrganizationId, PrincipalId};
use keygate_core::record::{Key, KeyState, Lineage, Quota, Revision};
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::{GivenUpAfter, HeldClock};
use proptest::prelude::*;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::yielding_store::YieldingStore;
use crate::support::{
    self, Instance, block_on, manager_over, new_key, operator, ring, scope, scopes, the_operator, user,
};

type Outcome = Result<Option<CreatedKey>, ManageError>;

fn manager(store: impl Store, clock: &HeldClock) -> ApiKeyManager {
    manager_over(Arc::new(store), ring(&[1]), clock)
}

/// The operator's keys, in whatever state.
async fn operators_keys(memory: &MemoryStore, clock: &HeldClock) -> Vec<Key> {
    let all = KeyFilter::default();
    let listed = manager(memory.clone(), clock).list(&operator(), &OrganizationId::system(), &all, 100, None).await;
    listed.unwrap().keys
}

/// Many instances with nothing but the store in common ask at once.
async fn ask_at_once(instances: usize) {
    let (memory, clock) = (MemoryStore::new(), HeldClock::new());
    let managers: Vec<_> = (0..instances).map(|_| manager(YieldingStore(memory.clone()), &clock)).collect();
    let asking = managers.iter().cloned();
    let asking: Vec<_> =
        asking.map(|manager| tokio::spawn(async move { manager.ensure_operator_key(&the_operator()).await })).collect();
    let mut made = Vec::new();
    for asked in asking {
        made.extend(asked.await.unwrap().unwrap());
    }
    assert_eq!(made.len(), 1, "one makes it");
    assert_eq!(operators_keys(&memory, &clock).await, [made[0].key.clone()]);
    for manager in &managers {
        let admission = manager.validate(made[0].text.expose(), &RequestContext::new()).await.unwrap();
        assert_eq!(*admission.key(), made[0].key);
        assert!(manager.ensure_operator_key(&the_operator()).await.unwrap().is_none());
    }
}

/// In turns, so that all of them find that there is none before any makes it.
#[tokio::test]
async fn of_sixteen_instances_that_found_none_one_makes_it() {
    ask_at_once(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_instances_on_several_threads_one_makes_it() {
    for _ in 0..50 {
        ask_at_once(16).await;
    }
}

#[tokio::test]
async fn it_may_do_everything_and_never_ends() {
    let instance = Instance::new();
    let boss = Operator::named(PrincipalId::new("installer").unwrap());
    let CreatedKey { text, key, .. } = instance.manager.ensure_operator_key(&boss).await.unwrap().unwrap();
    assert!(key.organization.is_system());
    assert_eq!((key.user.as_str(), key.name.as_str()), ("operator", "Operator"));
    assert_eq!(key.created_by.as_str(), "installer");
    assert_eq!((&key.permissions, &key.grantable), (&scopes(&["**"]), &scopes(&["**"])));
    assert_eq!((key.expires_at, key.not_before, key.limits), (None, None, Limits::UNLIMITED));
    assert_eq!((key.revision, key.state(instance.clock.now())), (Revision::FIRST, KeyState::Active));
    assert_eq!(key.lineage, Lineage { root: key.id, generation: 0 });
    assert_eq!(instance.record(key.id).await.key, key);

    let everything = ManagementPermission::ALL.into_iter();
    let everything = everything.fold(RequestContext::new(), |asked, may| asked.needing_permission(may.scope()));
    let admission = instance.manager.validate(text.expose(), &everything).await.unwrap();
    let holder = Actor::with_key(admission.key());
    assert!(holder.operator().is_some());
    assert_eq!(holder.principal().as_str(), key.id.to_string());
    // What it may hand on has no bound that matters, itself included.
    assert!(holder.grantable().unwrap().covers(&scope("**")));
    let second = instance.manager.create(&holder, NewKey::new(OrganizationId::system(), user("deputy"))).await.unwrap();
    assert_eq!((second.key.permissions, second.key.grantable), (key.permissions, key.grantable));
}

#[tokio::test]
async fn whoever_asks_later_gets_none_whatever_became_of_it() {
    let instance = Instance::new();
    let manager = &instance.manager;
    let made = manager.ensure_operator_key(&the_operator()).await.unwrap().unwrap();
    let later = async || {
        let other = instance.beside(ring(&[1]));
        for asked in [manager, &other.manager] {
            assert!(asked.ensure_operator_key(&the_operator()).await.unwrap().is_none());
        }
        assert_eq!(instance.store.calls().create, 1, "it is not tried");
        assert_eq!(other.store.calls().create, 0);
    };
    later().await;
    manager.deactivate(&operator(), made.key.id, None).await.unwrap();
    later().await;
    manager.revoke(&operator(), made.key.id, None).await.unwrap();
    later().await;
    // Erased, it is listed no more.
    manager.delete(&operator(), made.key.id, None).await.unwrap();
    let again = manager.ensure_operator_key(&the_operator()).await.unwrap().unwrap();
    assert_ne!(again.key.id, made.key.id);
}

#[tokio::test]
async fn any_key_of_the_operator_is_one_and_keys_of_tenants_are_none() {
    let instance = Instance::built(ring(&[1]), |builder| builder.quota(Quota { per_organization: 0, per_user: 0 }));
    // The quotas of tenants are not the operator's.
    assert!(instance.manager.ensure_operator_key(&the_operator()).await.unwrap().is_some());

    let instance = Instance::new();
    instance.create(new_key()).await;
    let mut new = NewKey::new(OrganizationId::system(), user("somebody"));
    new.permissions = scopes(&["keys:read"]);
    instance.create(new).await;
    assert!(instance.manager.ensure_operator_key(&the_operator()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_operator_with_bounds_does_not_make_it() {
    let instance = Instance::new();
    let limited = the_operator().granting(scopes(&["keys:read", "default"]));
    let refusal = instance.manager.ensure_operator_key(&limited).await.unwrap_err();
    assert_eq!(refusal.reason(), "not_grantable");
    assert!(operators_keys(&instance.memory, &instance.clock).await.is_empty());
}

// Trouble in the middle.

/// What may become of a call of `ensure_operator_key` that the store has failed in, and what is there in the end, asked
/// for once more by one whose store is sound.
async fn assert_one_in_the_end(memory: &MemoryStore, clock: &HeldClock, before: Vec<Outcome>) {
    let mut made: Vec<Key> = Vec::new();
    for outcome in before {
        match outcome {
            Ok(created) => made.extend(created.map(|created| created.key)),
            Err(error) => assert_eq!(error.reason(), "store_unavailable"),
        }
    }
    let there = operators_keys(memory, clock).await;
    assert!(there.len() <= 1, "never two: {there:?}");
    assert!(made.is_empty() || made == there);
    let sound = manager(memory.clone(), clock);
    let created = sound.ensure_operator_key(&the_operator()).await.unwrap();
    assert_eq!(created.is_some(), there.is_empty(), "found or made");
    made.extend(created.map(|created| created.key));
    let there = operators_keys(memory, clock).await;
    assert_eq!(there.len(), 1);
    assert!(made.is_empty() || made == there);
    assert!(sound.ensure_operator_key(&the_operator()).await.unwrap().is_none());
}

#[tokio::test]
async fn whichever_call_of_the_store_fails_there_is_one_key_in_the_end() {
    for fate in [Fate::Failed, Fate::Lost] {
        for nth in 0.. {
            let (memory, clock) = (MemoryStore::new(), HeldClock::new());
            let mut fates = vec![Fate::Answered; nth];
            fates.push(fate);
            let troubled = manager(FatefulStore::meeting(memory.clone(), fates), &clock);
            let first = troubled.ensure_operator_key(&the_operator()).await;
            let ended = first.is_ok();
            let second = troubled.ensure_operator_key(&the_operator()).await;
            assert_one_in_the_end(&memory, &clock, vec![first, second]).await;
            if ended {
                assert!(nth > 4, "it asks the store several times");
                break;
            }
        }
    }
}

#[tokio::test]
async fn given_up_anywhere_there_is_one_key_in_the_end() {
    for polls in 0.. {
        let (memory, clock) = (MemoryStore::new(), HeldClock::new());
        let asked = manager(YieldingStore(memory.clone()), &clock);
        let asking = async move { asked.ensure_operator_key(&the_operator()).await };
        let outcome = GivenUpAfter::polls(polls, asking).await;
        let ended = outcome.is_some();
        assert_one_in_the_end(&memory, &clock, outcome.into_iter().collect()).await;
        if ended {
            assert!(polls > 4, "it waits for the store several times");
            break;
        }
    }
}

proptest! {
    #![proptest_config(support::property())]

    /// Several at once, and any of their calls fails, or is done and looks failed.
    #[test]
    fn whatever_fails_while_several_ask_there_is_one_key_in_the_end(
        fates in prop::collection::vec(prop::sample::select(vec![Fate::Answered, Fate::Answered, Fate::Failed, Fate::Lost]), 0..40),
        asking in 1usize..6,
    ) {
        block_on(async {
            let (memory, clock) = (MemoryStore::new(), HeldClock::new());
            let store = FatefulStore::meeting(memory.clone(), fates);
            let asking: Vec<_> = (0..asking).map(|_| manager(store.clone(), &clock)).collect();
            let asking = asking.into_iter().map(|manager| {
                tokio::spawn(async move { manager.ensure_operator_key(&the_operator()).await })
            });
            let mut outcomes = Vec::new();
            for asked in asking.collect::<Vec<_>>() {
                outcomes.push(asked.await.unwrap());
            }
            assert_one_in_the_end(&memory, &clock, outcomes).await;
        });
    }
}
