//! Changing keys, stopping them and taking them away.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::actor::Operator;
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_core::manager::{Expiry, KeyUpdate, ManageError, OrganizationUpdate};
use keygate_core::names::{Description, KeyName, PrincipalId, Reason, Tag};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{KeyState, KeyStatus, Metadata, ParentStatus, Revision, RotationSchedule};
use serde_json::json;

use crate::support::yielding_store::YieldingStore;
use crate::support::{Instance, manager_over, new_key, new_key_with, operator, org, ring, scopes, word};

fn described(text: &str) -> KeyUpdate {
    let mut update = KeyUpdate::new();
    update.description = Some(Description::new(text).unwrap());
    update
}

fn reason(text: &str) -> Option<Reason> {
    Some(Reason::new(text).unwrap())
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let instance = Instance::new();
    let before = instance.create(new_key()).await.key;
    let schedule =
        RotationSchedule { interval_days: 30, warning_days: 7, auto_rotate: true, notify_users: true, overlap_days: 7 };
    let mut update = KeyUpdate::new();
    update.name = Some(KeyName::new("renamed").unwrap());
    update.description = Some(Description::new("described").unwrap());
    update.permissions = Some(scopes(&["keys:read"]));
    update.scopes = Some(scopes(&["files:*"]));
    update.limits = Some(Limits::UNLIMITED);
    update.expiry = Some(Expiry::Never);
    update.tags = Some(vec![Tag::new("t").unwrap()]);
    update.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.1").unwrap()]).unwrap());
    update.rotation_schedule = Some(Some(schedule));
    update.metadata = Some(Metadata::new(json!({"a": 1}).as_object().cloned().unwrap()).unwrap());
    let after = instance.manager.update(&operator(), before.id, &update, Some(before.revision)).await.unwrap();

    let mut expected = before.clone();
    expected.revision = before.revision.next();
    expected.name = update.name.clone().unwrap();
    expected.description = update.description.clone().unwrap();
    expected.permissions = update.permissions.clone().unwrap();
    expected.scopes = update.scopes.clone().unwrap();
    expected.limits = Limits::UNLIMITED;
    expected.expires_at = None;
    expected.tags = update.tags.clone().unwrap();
    // From when the schedule counts.
    expected.succession.scheduled_at = Some(instance.clock.now());
    expected.allowed_ips = update.allowed_ips.clone().unwrap();
    expected.rotation_schedule = Some(schedule);
    expected.metadata = update.metadata.clone().unwrap();
    assert_eq!(after, expected);
    assert_eq!(instance.record(before.id).await.key, expected);

    // The same again changes nothing and writes nothing.
    instance.store.reset_calls();
    assert_eq!(instance.manager.update(&operator(), before.id, &update, None).await.unwrap(), expected);
    assert_eq!(instance.store.calls().replace, 0);
    update = KeyUpdate::new();
    update.rotation_schedule = Some(None);
    assert_eq!(instance.manager.update(&operator(), before.id, &update, None).await.unwrap().rotation_schedule, None);
}

#[tokio::test]
async fn an_end_is_counted_from_the_update() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    instance.clock.advance(Duration::from_secs(3600));
    let mut update = KeyUpdate::new();
    update.expiry = Some(Expiry::Default);
    let key = instance.manager.update(&operator(), created.key.id, &update, None).await.unwrap();
    assert_eq!(key.expires_at, Some(instance.clock.now() + TimeDelta::days(90)));
    update.expiry = Some(Expiry::At(instance.clock.now()));
    assert_eq!(word(&instance.manager.update(&operator(), key.id, &update, None).await.unwrap_err()), "invalid");
}

#[tokio::test]
async fn an_end_before_the_beginning_is_refused_by_an_update_too() {
    let instance = Instance::new();
    let begin = instance.clock.now() + TimeDelta::days(10);
    let created = instance.create(new_key_with(|new| new.not_before = Some(begin))).await;
    let mut update = KeyUpdate::new();
    update.expiry = Some(Expiry::At(begin));
    assert_eq!(
        word(&instance.manager.update(&operator(), created.key.id, &update, None).await.unwrap_err()),
        "invalid"
    );
}

#[tokio::test]
async fn an_update_from_another_revision_is_a_conflict_and_changes_nothing() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (id, first) = (created.key.id, created.key.revision);
    let second = instance.manager.update(&operator(), id, &described("one"), Some(first)).await.unwrap().revision;
    assert_eq!(second, first.next());
    for wrong in [first, Revision(0), Revision(u64::MAX)] {
        let refusal = instance.manager.update(&operator(), id, &described("two"), Some(wrong)).await.unwrap_err();
        assert!(matches!(refusal, ManageError::Conflict { found } if found == second), "{refusal:?}");
    }
    assert_eq!(instance.manager.get(&operator(), id).await.unwrap().description.as_str(), "one");
}

/// Many writers, each of a field of its own: whatever came in between, none of them is lost.
#[tokio::test]
async fn concurrent_updates_lose_nothing() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let id = created.key.id;
    let manager = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
    let mut updates = vec![KeyUpdate::new(); 6];
    updates[0].name = Some(KeyName::new("renamed").unwrap());
    updates[1].description = Some(Description::new("described").unwrap());
    updates[2].scopes = Some(scopes(&["files:*"]));
    updates[3].permissions = Some(scopes(&["keys:read"]));
    updates[4].tags = Some(vec![Tag::new("t").unwrap()]);
    updates[5].limits = Some(Limits::UNLIMITED);
    let tasks: Vec<_> = updates
        .into_iter()
        .map(|update| {
            let manager = manager.clone();
            tokio::spawn(async move { manager.update(&operator(), id, &update, None).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let key = instance.record(id).await.key;
    assert_eq!((key.name.as_str(), key.description.as_str()), ("renamed", "described"));
    assert_eq!((&key.scopes, &key.permissions), (&scopes(&["files:*"]), &scopes(&["keys:read"])));
    assert_eq!((key.tags.len(), key.limits, key.revision), (1, Limits::UNLIMITED, Revision(7)));
}

/// Of many that read the same revision, one wins and the others are told.
#[tokio::test]
async fn of_concurrent_updates_from_one_revision_one_wins() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (id, first) = (created.key.id, created.key.revision);
    let manager = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
    let tasks: Vec<_> = (0..8)
        .map(|nth| {
            let manager = manager.clone();
            tokio::spawn(async move {
                manager.update(&operator(), id, &described(&format!("writer {nth}")), Some(first)).await
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| word(error) == "conflict"));
    assert_eq!(instance.record(id).await.key, *won[0]);
}

// Status.

#[tokio::test]
async fn a_deactivated_key_is_refused_until_it_is_activated() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (id, text) = (created.key.id, created.text.expose());
    for _ in 0..2 {
        let key = instance.manager.deactivate(&operator(), id, reason("on leave")).await.unwrap();
        assert_eq!((key.status.status, key.status.reason), (KeyStatus::Inactive, reason("on leave")));
        assert_eq!(key.revision, Revision(2), "the second time changes nothing");
    }
    assert_eq!(instance.refusal(text).await, DenialReason::KeyInactive);
    let key = instance.manager.activate(&operator(), id, None).await.unwrap();
    assert_eq!((key.status.status, key.status.reason, key.revision), (KeyStatus::Active, None, Revision(3)));
    assert!(instance.validate(text).await.is_ok());
}

#[tokio::test]
async fn revocation_is_final_and_can_be_repeated() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (id, text) = (created.key.id, created.text.expose());
    let first = instance.manager.revoke(&operator(), id, reason("leaked")).await.unwrap();
    assert_eq!(first.revoked_at, instance.clock.now());
    assert_eq!(instance.refusal(text).await, DenialReason::KeyRevoked);
    let after = instance.record(id).await;

    instance.clock.advance(Duration::from_secs(60));
    let again = instance.manager.revoke(&operator(), id, reason("another reason")).await.unwrap();
    assert_eq!((again.revoked_at, again.key_id), (first.revoked_at, id));
    for refusal in [
        instance.manager.activate(&operator(), id, None).await.map(drop),
        instance.manager.deactivate(&operator(), id, None).await.map(drop),
        instance.manager.update(&operator(), id, &described("x"), None).await.map(drop),
        instance.manager.update(&operator(), id, &described("x"), Some(after.key.revision)).await.map(drop),
        instance.manager.update(&operator(), id, &described("x"), Some(created.key.revision)).await.map(drop),
    ] {
        assert!(matches!(word(&refusal.unwrap_err()), "revoked" | "conflict"));
    }
    assert_eq!(instance.record(id).await, after);
    assert_eq!(instance.refusal(text).await, DenialReason::KeyRevoked);
    instance.clock.advance(Duration::from_secs(100 * 86_400));
    assert_eq!(instance.manager.get(&operator(), id).await.unwrap().state(instance.clock.now()), KeyState::Revoked);
}

#[tokio::test]
async fn a_revocation_wins_against_any_update_under_way() {
    for _ in 0..8 {
        let instance = Instance::new();
        let created = instance.create(new_key()).await;
        let id = created.key.id;
        let manager = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
        let updates = (0..4).map(|nth| {
            let manager = manager.clone();
            tokio::spawn(async move { manager.update(&operator(), id, &described(&format!("{nth}")), None).await })
        });
        let updates: Vec<_> = updates.collect();
        manager.revoke(&operator(), id, None).await.unwrap();
        assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
        for update in updates {
            let _ = update.await.unwrap();
        }
        assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
    }
}

#[tokio::test]
async fn only_a_revoked_or_expired_key_can_be_erased() {
    let instance = Instance::new();
    for end in ["revoked", "expired"] {
        let created = instance.create(new_key()).await;
        let (id, text) = (created.key.id, created.text.expose());
        assert_eq!(word(&instance.manager.delete(&operator(), id, None).await.unwrap_err()), "in use");
        instance.manager.deactivate(&operator(), id, None).await.unwrap();
        assert_eq!(word(&instance.manager.delete(&operator(), id, None).await.unwrap_err()), "in use");
        assert_eq!(instance.refusal(text).await, DenialReason::KeyInactive);
        match end {
            "revoked" => drop(instance.manager.revoke(&operator(), id, None).await.unwrap()),
            _ => instance.clock.advance(Duration::from_secs(90 * 86_400)),
        }
        instance.manager.delete(&operator(), id, None).await.unwrap();
        assert_eq!(word(&instance.manager.get(&operator(), id).await.unwrap_err()), "not found");
        assert_eq!(word(&instance.manager.delete(&operator(), id, None).await.unwrap_err()), "not found");
        // A genuine text of a key that is gone says no more than any other.
        assert_eq!(instance.refusal(text).await, DenialReason::InvalidKey);
    }
}

#[tokio::test]
async fn an_organization_is_updated_from_what_it_was() {
    let instance = Instance::new();
    let boss = Operator::named(PrincipalId::new("boss").unwrap());
    let unknown = instance.manager.organization(&operator(), &org("acme")).await.unwrap();
    assert_eq!((unknown.status, unknown.max_keys), (ParentStatus::Active, None));
    let mut update = OrganizationUpdate::default();
    update.max_keys = Some(Some(5));
    assert_eq!(
        instance.manager.update_organization(&boss, &org("acme"), &update, None).await.unwrap().revision,
        Revision(1)
    );
    let mut update = OrganizationUpdate::default();
    update.status = Some(ParentStatus::Suspended);
    let record = instance.manager.update_organization(&boss, &org("acme"), &update, None).await.unwrap();
    assert_eq!((record.revision, record.max_keys, record.status), (Revision(2), Some(5), ParentStatus::Suspended));
    assert_eq!(instance.manager.organization(&operator(), &org("acme")).await.unwrap(), record);
}
