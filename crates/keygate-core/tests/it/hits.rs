//! A key that is kept: no call of the store, and every check but the secret's made again.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::actor::Operator;
use keygate_core::clock::{Clock, Tick};
use keygate_core::coherence::Coherence;
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::manager::{ApiKeyManager, Attempt, Expiry, KeyUpdate, NewKey, OrganizationUpdate};
use keygate_core::names::{Environment, PrincipalId, ProjectId};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{ParentStatus, SecurityTier};
use keygate_testkit::FaultyStore;

use crate::support::yielding_store::YieldingStore;
use crate::support::{Instance, manager_over, operator, org, ring, scope, scopes, unlimited_key, unlimited_key_with};

fn guarded() -> NewKey {
    unlimited_key_with(|new| {
        new.project = Some(ProjectId::new("website").unwrap());
        new.scopes = Some(scopes(&["files:*"]));
        new.permissions = scopes(&["keys:read"]);
        new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
        new.expiry = Expiry::In(TimeDelta::days(1));
    })
}

fn welcome() -> RequestContext {
    RequestContext::new().from_address("192.0.2.7".parse().unwrap()).needing_scope(scope("files:read"))
}

/// The decision, which must need no store.
fn at_once(instance: &Instance, text: &str, context: &RequestContext) -> Result<(), DenialReason> {
    let before = instance.store.calls();
    let decision = match instance.manager.attempt(text.as_bytes(), context) {
        Attempt::Decided(decision) => decision.map(drop).map_err(|denial| denial.reason()),
        Attempt::Pending(_) => panic!("what is kept is decided at once"),
    };
    assert_eq!(instance.store.calls(), before);
    decision
}

/// CVE-2021-32701 and GHSA-84rm: a decision was kept, and given to requests it was not made for.
#[tokio::test]
async fn oathkeeper_cve_2021_32701_every_check_is_made_again_for_a_key_that_is_kept() {
    let instance = Instance::new();
    let text = instance.create(guarded()).await.text;
    let text = text.expose();
    instance.manager.validate(text, &welcome()).await.unwrap();

    assert_eq!(at_once(&instance, text, &welcome()), Ok(()));
    let elsewhere = welcome().from_address("198.51.100.1".parse().unwrap());
    assert_eq!(at_once(&instance, text, &elsewhere), Err(DenialReason::IpNotAllowed));
    let nowhere = RequestContext::new().needing_scope(scope("files:read"));
    assert_eq!(at_once(&instance, text, &nowhere), Err(DenialReason::IpNotAllowed));
    let another_scope = welcome().needing_scope(scope("mail:read"));
    assert_eq!(at_once(&instance, text, &another_scope), Err(DenialReason::ScopeNotAuthorized));
    let permission = welcome().needing_permission(scope("keys:write"));
    assert_eq!(at_once(&instance, text, &permission), Err(DenialReason::PermissionDenied));
    let environment = welcome().in_environment(Environment::new("prod").unwrap());
    assert_eq!(at_once(&instance, text, &environment), Err(DenialReason::EnvironmentMismatch));
    assert_eq!(at_once(&instance, text, &welcome()), Ok(()));
    instance.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(at_once(&instance, text, &welcome()), Err(DenialReason::KeyExpired));
    assert_eq!(instance.manager.cache_statistics().loads, 1);
}

#[tokio::test]
async fn another_text_with_the_id_of_a_kept_key_is_a_stranger() {
    let instance = Instance::new();
    let text = instance.create(unlimited_key()).await.text.expose().to_owned();
    instance.validate(&text).await.unwrap();
    for at in [text.len() - 1, text.len() - 11, text.len() - 12, text.len() - 54] {
        let mut forged = text.clone().into_bytes();
        forged[at] = if forged[at] == b'3' { b'4' } else { b'3' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(at_once(&instance, &forged, &RequestContext::new()), Err(DenialReason::InvalidKey), "at {at}");
    }
    // Nor is the same key in another prefix or environment, which are part of the text.
    let renamed = text.replacen("_dev_", "_prod_", 1);
    assert_eq!(at_once(&instance, &renamed, &RequestContext::new()), Err(DenialReason::InvalidKey));
    assert_eq!(at_once(&instance, &text, &RequestContext::new()), Ok(()));
}

#[tokio::test]
async fn a_key_with_a_slow_verifier_is_stretched_once_and_kept_like_any_other() {
    let instance = Instance::new();
    let text = instance.create(unlimited_key_with(|new| new.security_tier = Some(SecurityTier::High))).await.text;
    instance.validate(text.expose()).await.unwrap();
    assert_eq!(at_once(&instance, text.expose(), &RequestContext::new()), Ok(()));
}

/// Whatever is changed, here or through another instance, is in force at the next use of a key that is kept.
#[tokio::test]
async fn every_change_reaches_every_instance_before_it_is_answered() {
    let here = Instance::new();
    let there = here.beside(ring(&[1]));
    let (by, org_by) = (operator(), Operator::named(PrincipalId::new("operator").unwrap()));
    let project = ProjectId::new("website").unwrap();
    for changing in [&here, &there] {
        let created = here.create(guarded()).await;
        let (id, text) = (created.key.id, created.text.expose());
        let both = async |expected: Result<(), DenialReason>| {
            for instance in [&here, &there] {
                // Once to read it again, once from what is kept.
                for _ in 0..2 {
                    let decision = instance.manager.validate(text, &welcome()).await;
                    assert_eq!(decision.map(drop).map_err(|denial| denial.reason()), expected);
                }
                assert_eq!(at_once(instance, text, &welcome()), expected);
            }
        };
        let manager = &changing.manager;
        let organization = async |status| {
            let update = {
                let mut update = OrganizationUpdate::default();
                update.status = Some(status);
                update
            };
            manager.update_organization(&org_by, &org("acme"), &update, None).await.unwrap();
        };
        both(Ok(())).await;
        manager.deactivate(&by, id, None).await.unwrap();
        both(Err(DenialReason::KeyInactive)).await;
        manager.activate(&by, id, None).await.unwrap();
        both(Ok(())).await;
        organization(ParentStatus::Suspended).await;
        both(Err(DenialReason::OrganizationSuspended)).await;
        organization(ParentStatus::Active).await;
        both(Ok(())).await;
        manager.set_project_status(&by, &org("acme"), &project, ParentStatus::Suspended).await.unwrap();
        both(Err(DenialReason::ProjectSuspended)).await;
        manager.set_project_status(&by, &org("acme"), &project, ParentStatus::Active).await.unwrap();
        both(Ok(())).await;
        let mut update = KeyUpdate::new();
        update.scopes = Some(scopes(&["mail:*"]));
        manager.update(&by, id, &update, None).await.unwrap();
        both(Err(DenialReason::ScopeNotAuthorized)).await;
        manager.revoke(&by, id, None).await.unwrap();
        both(Err(DenialReason::KeyRevoked)).await;
        manager.delete(&by, id, None).await.unwrap();
        both(Err(DenialReason::InvalidKey)).await;
    }
}

#[tokio::test]
async fn a_revocation_in_one_process_is_confirmed_at_once() {
    let instance = Instance::new();
    let id = instance.create(unlimited_key()).await.key.id;
    assert_eq!(instance.manager.coherence(), Coherence::InProcess);
    assert!(instance.manager.revoke_confirmed(&operator(), id, None).await.unwrap().confirmed);
}

#[tokio::test]
async fn a_revocation_nobody_can_confirm_is_done_and_says_so() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    // The store revokes the key, and then does not say who has heard of it.
    let store = FaultyStore::new(YieldingStore(instance.memory.clone()));
    let manager = manager_over(Arc::new(store.clone()), ring(&[1]), &instance.clock);
    manager.open().await.unwrap();
    let by = operator();
    let (revocation, ()) = tokio::join!(manager.revoke_confirmed(&by, created.key.id, None), async {
        store.wait_for_calls(|calls| calls.set_status == 1).await;
        store.fail();
    });
    assert!(!revocation.unwrap().confirmed);
    instance.store.heal();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
}

// When the store fails.

#[tokio::test]
async fn while_its_lease_is_live_a_kept_key_needs_no_store() {
    let instance = Instance::new();
    let text = instance.create(unlimited_key()).await.text;
    instance.validate(text.expose()).await.unwrap();
    instance.store.fail();
    assert_eq!(at_once(&instance, text.expose(), &RequestContext::new()), Ok(()));
}

#[tokio::test]
async fn once_the_lease_is_over_every_request_reads_the_store() {
    let instance = Instance::new();
    let text = instance.create(unlimited_key()).await.text;
    instance.validate(text.expose()).await.unwrap();
    instance.store.lapse();
    instance.store.reset_calls();
    for nth in 1..=3 {
        instance.validate(text.expose()).await.unwrap();
        assert_eq!(instance.store.calls().load_record, nth);
    }
    instance.store.fail();
    assert_eq!(instance.refusal(text.expose()).await, DenialReason::StoreUnavailable);
}

#[tokio::test]
async fn stale_if_error_goes_on_for_as_long_as_was_chosen_and_no_longer() {
    let stale = Duration::from_secs(3600);
    let instance = Instance::built(ring(&[1]), |builder| builder.stale_if_error(stale));
    let (text, revoked) = (instance.create(unlimited_key()).await.text, instance.create(unlimited_key()).await);
    // The store vouched for what was read until a moment that has passed; for one of them longer ago than was chosen.
    let now = instance.clock.tick();
    instance.store.vouch_until(now);
    for text in [&text, &revoked.text] {
        instance.validate(text.expose()).await.unwrap();
    }
    instance.manager.revoke(&operator(), revoked.key.id, None).await.unwrap();
    instance.store.fail();
    assert!(instance.validate(text.expose()).await.is_ok());
    assert_eq!(instance.manager.cache_statistics().stale, 1);
    let elsewhere = RequestContext::new().needing_scope(scope("mail:read"));
    let denial = instance.manager.validate(text.expose(), &elsewhere).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::ScopeNotAuthorized, "every check is made");
    // What is known to have changed is not believed.
    assert_eq!(instance.refusal(revoked.text.expose()).await, DenialReason::StoreUnavailable);
    // One that was never read cannot be believed.
    instance.store.heal();
    let unknown = instance.create(unlimited_key()).await.text;
    instance.store.fail();
    assert_eq!(instance.refusal(unknown.expose()).await, DenialReason::StoreUnavailable);
}

#[tokio::test]
async fn what_was_vouched_for_too_long_ago_is_not_believed_though_the_store_fails() {
    let instance = Instance::built(ring(&[1]), |builder| builder.stale_if_error(Duration::from_nanos(1)));
    let text = instance.create(unlimited_key()).await.text;
    instance.store.vouch_until(Tick::from_nanos(2));
    instance.validate(text.expose()).await.unwrap();
    instance.store.fail();
    assert_eq!(instance.refusal(text.expose()).await, DenialReason::StoreUnavailable);
}

/// An emptied store answers; it is no store that fails.
#[tokio::test]
async fn nothing_stale_is_believed_of_a_store_that_was_emptied() {
    let instance = Instance::built(ring(&[1]), |builder| builder.stale_if_error(Duration::from_secs(3600)));
    let text = instance.create(unlimited_key()).await.text;
    instance.store.vouch_until(instance.clock.tick());
    instance.validate(text.expose()).await.unwrap();
    instance.memory.wipe();
    assert_eq!(instance.refusal(text.expose()).await, DenialReason::StoreUnavailable);
    assert_eq!(instance.manager.cache_statistics().stale, 0);
}

#[tokio::test]
async fn nobody_who_did_not_choose_it_is_served_what_is_stale() {
    let instance = Instance::new();
    let text = instance.create(unlimited_key()).await.text;
    instance.store.vouch_until(instance.clock.tick());
    instance.validate(text.expose()).await.unwrap();
    instance.store.fail();
    assert_eq!(instance.refusal(text.expose()).await, DenialReason::StoreUnavailable);
}

#[tokio::test]
async fn a_cache_without_capacity_keeps_nothing_and_watches_nobody() {
    let instance = Instance::built(ring(&[1]), |builder| builder.cache_capacity(0));
    let text = instance.create(unlimited_key()).await.text;
    for nth in 1..=3 {
        instance.validate(text.expose()).await.unwrap();
        assert_eq!(instance.store.calls().load_record, nth);
    }
    let statistics = instance.manager.cache_statistics();
    assert_eq!((statistics.entries, statistics.hits, statistics.changes), (0, 0, 0));
}

/// Were each of a crowd to try in turn, the last would wait for all the others.
#[tokio::test]
async fn those_who_wait_for_a_read_share_its_failure() {
    let instance = Instance::new();
    let text = instance.create(unlimited_key()).await.text.expose().to_owned();
    instance.validate(&text).await.unwrap();
    // The key still holds, and what stands above it has to be read.
    let by = Operator::named(PrincipalId::new("operator").unwrap());
    instance.manager.update_organization(&by, &org("acme"), &OrganizationUpdate::default(), None).await.unwrap();
    instance.store.stall();
    instance.store.reset_calls();
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (manager, text) = (instance.manager.clone(), text.clone());
            tokio::spawn(async move { manager.validate(&text, &RequestContext::new()).await })
        })
        .collect();
    instance.store.wait_for_calls(|calls| calls.load_parents == 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    instance.store.fail();
    for one in crowd {
        assert_eq!(one.await.unwrap().unwrap_err().reason(), DenialReason::StoreUnavailable);
    }
    assert_eq!(instance.store.calls().load_parents, 1);
    instance.store.heal();
    assert!(instance.validate(&text).await.is_ok());
}

/// More keys at once than there is room for: each is let go of before what stands above it was read, and is still good.
#[tokio::test]
async fn a_cache_that_is_too_small_for_a_crowd_is_slow_and_not_broken() {
    let instance = Instance::built(ring(&[1]), |builder| builder.cache_capacity(3));
    let news = (0..60).map(|nth| {
        let organization = org(&format!("org-{nth}"));
        unlimited_key_with(|new| new.organization = organization)
    });
    let mut texts = Vec::new();
    for new in news {
        texts.push(instance.create(new).await.text.expose().to_owned());
    }
    let store = Arc::new(YieldingStore(instance.memory.clone()));
    let manager = ApiKeyManager::builder_shared(store, ring(&[1])).clock(instance.clock.clone()).cache_capacity(3);
    let manager = manager.build().unwrap();
    manager.open().await.unwrap();
    let crowd: Vec<_> = texts
        .iter()
        .map(|text| {
            let (manager, text) = (manager.clone(), text.clone());
            tokio::spawn(async move { manager.validate(&text, &RequestContext::new()).await })
        })
        .collect();
    for one in crowd {
        one.await.unwrap().unwrap();
    }
    let statistics = manager.cache_statistics();
    assert_eq!(statistics.loads, 60, "each is read once: {statistics:?}");
}
