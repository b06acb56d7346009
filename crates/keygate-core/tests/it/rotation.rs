//! Rotation: a key gets a successor, once, and nobody is locked out meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::actor::Actor;
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::key::KeyId;
use keygate_core::lifecycle::next_rotation;
use keygate_core::limits::Limits;
use keygate_core::manager::{Expiry, IdempotencyKey, KeyUpdate, ManageError, NewKey, RotatedOnce, Rotation};
use keygate_core::names::{Description, Environment, KeyName, ProjectId, Tag};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{Key, KeyState, KeyStatus, Lineage, Metadata, Quota, RotationSchedule, SecurityTier};
use keygate_testkit::GivenUpAfter;
use proptest::prelude::*;
use serde_json::json;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::yielding_store::YieldingStore;
use crate::support::{self, Instance, manager_over, new_key, new_key_with, operator, ring, scopes, tenant};

const DAY: Duration = Duration::from_secs(86_400);

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

fn schedule(interval_days: u32, overlap_days: u32) -> RotationSchedule {
    RotationSchedule { interval_days, warning_days: 1, auto_rotate: true, notify_users: true, overlap_days }
}

/// A key that may hand its successor over.
fn handing() -> NewKey {
    new_key_with(|new| {
        new.hand_over = true;
        new.limits = Some(Limits::UNLIMITED);
    })
}

async fn rotated(instance: &Instance, id: KeyId) -> Rotation {
    instance.manager.rotate(&operator(), id, None).await.unwrap()
}

async fn refused(instance: &Instance, id: KeyId) -> ManageError {
    instance.manager.rotate(&operator(), id, None).await.expect_err("it is not rotated")
}

/// What the holder of this text is handed.
async fn claim(instance: &Instance, text: &str) -> Result<Rotation, ManageError> {
    let admission = instance.validate(text).await.expect("the old key is good");
    instance.manager.claim_successor(&admission, None).await
}

#[tokio::test]
async fn a_successor_is_all_that_its_predecessor_is() {
    let instance = Instance::new();
    let before = instance
        .create(new_key_with(|new| {
            new.project = Some(ProjectId::new("website").unwrap());
            new.name = Some(KeyName::new("nightly").unwrap());
            new.description = Description::new("of the web team").unwrap();
            new.permissions = scopes(&["keys:read"]);
            new.scopes = Some(scopes(&["files:**"]));
            new.grantable = scopes(&["files:public:**"]);
            new.limits = Some(Limits { per_month: Some(7), ..Limits::STANDARD });
            new.expiry = Expiry::In(days(90));
            new.tags = vec![Tag::new("team:web").unwrap()];
            new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
            new.environment = Some(Environment::new("prod").unwrap());
            new.rotation_schedule = Some(schedule(30, 5));
            new.hand_over = true;
            new.security_tier = Some(SecurityTier::High);
            new.metadata = Metadata::new(json!({"a": 1}).as_object().cloned().unwrap()).unwrap();
        }))
        .await
        .key;
    instance.clock.advance(DAY * 10);
    let rotation = rotated(&instance, before.id).await;
    let (old, new) = (instance.record(before.id).await, instance.record(rotation.new_key_id).await);
    let now = old.key.succession.superseded.unwrap().at;

    let mut expected = before.clone();
    expected.id = rotation.new_key_id;
    expected.created_at = now;
    expected.status.at = now;
    expected.expires_at = Some(now + days(90));
    expected.lineage = Lineage { root: before.id, generation: 1 };
    expected.succession.predecessor_id = Some(before.id);
    assert_eq!(new.key, expected);
    assert_eq!(rotation.successor, expected);
    assert_eq!(new.verifier.scheme(), old.verifier.scheme());
    assert_eq!(new.key.id.bucket(), before.id.bucket());

    // The overlap is that of its schedule, and nothing else of the old key has changed.
    let mut expected = before.clone();
    expected.revision = before.revision.next();
    expected.expires_at = Some(now + days(5));
    expected.succession.superseded = old.key.succession.superseded;
    assert_eq!(old.key, expected);
    assert_eq!(old.key.succession.superseded.unwrap().successor_id, rotation.new_key_id);
    assert_eq!((rotation.old_key_id, rotation.overlap_expires_at), (before.id, now + days(5)));
}

#[tokio::test]
async fn both_keys_are_good_through_the_overlap_and_the_old_one_ends_by_itself() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let rotation = rotated(&instance, created.key.id).await;
    let (old, new) = (created.text.expose(), rotation.text.expose());
    assert_ne!(old, new);
    instance.clock.advance(DAY * 7 - Duration::from_millis(1));
    assert_eq!(instance.validate(old).await.unwrap().id, created.key.id);
    assert_eq!(instance.validate(new).await.unwrap().id, rotation.new_key_id);
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(instance.refusal(old).await, DenialReason::KeyExpired);
    assert_eq!(instance.validate(new).await.unwrap().id, rotation.new_key_id);
}

#[tokio::test]
async fn the_overlap_is_as_long_as_is_said_and_never_longer_than_the_key() {
    let instance = Instance::new();
    let ending = || new_key_with(|new| new.expiry = Expiry::In(days(3)));
    for (new, overlap, expected) in [
        (new_key(), Some(days(1)), days(1)),
        (new_key(), Some(TimeDelta::seconds(90)), TimeDelta::seconds(90)),
        (new_key_with(|new| new.expiry = Expiry::Never), Some(days(365)), days(365)),
        (new_key(), None, days(7)),
        (ending(), None, days(3)),
    ] {
        let key = instance.create(new).await.key;
        let rotation = instance.manager.rotate(&operator(), key.id, overlap).await.unwrap();
        let at = instance.record(key.id).await.key.succession.superseded.unwrap().at;
        assert_eq!(rotation.overlap_expires_at - at, expected, "{overlap:?}");
    }
    let key = instance.create(new_key()).await.key;
    for bad in [TimeDelta::milliseconds(-1), days(365) + TimeDelta::milliseconds(1), TimeDelta::MAX, TimeDelta::MIN] {
        let refused = instance.manager.rotate(&operator(), key.id, Some(bad)).await.unwrap_err();
        assert!(matches!(&refused, ManageError::Invalid(field) if field.field() == "overlap"), "{bad}: {refused}");
    }
    assert_eq!(instance.record(key.id).await.key, key);
}

/// For a key that leaked.
#[tokio::test]
async fn a_rotation_without_an_overlap_revokes_the_old_key_and_hands_nothing_over() {
    let instance = Instance::new();
    let created = instance.create(handing()).await;
    instance.validate(created.text.expose()).await.unwrap();
    let rotation = instance.manager.rotate(&operator(), created.key.id, Some(TimeDelta::zero())).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
    instance.validate(rotation.text.expose()).await.unwrap();
    let (old, new) = (instance.record(created.key.id).await, instance.record(rotation.new_key_id).await);
    assert_eq!((old.offer, new.unclaimed), (None, false));
    assert_eq!(old.key.status.reason.unwrap().as_str(), "rotated without an overlap");
}

#[tokio::test]
async fn of_all_who_rotate_a_key_at_once_one_does() {
    let instance = Instance::new();
    let beside = instance.beside(ring(&[1]));
    let key = instance.create(new_key()).await.key;
    let rotators: Vec<_> = (0..16)
        .map(|n| {
            let manager = if n % 2 == 0 { instance.manager.clone() } else { beside.manager.clone() };
            tokio::spawn(async move { manager.rotate(&operator(), key.id, None).await })
        })
        .collect();
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for rotator in rotators {
        match rotator.await.unwrap() {
            Ok(rotation) => made.push(rotation),
            Err(error) => refused.push(error),
        }
    }
    let [rotation] = made.try_into().unwrap();
    for error in refused {
        let by = rotation.new_key_id;
        assert!(matches!(error, ManageError::Superseded { successor_id } if successor_id == by), "{error}");
        assert!(error.to_string().contains(&by.to_string()));
    }
    instance.validate(rotation.text.expose()).await.unwrap();
}

#[tokio::test]
async fn only_an_active_key_that_was_not_rotated_can_be() {
    let instance = Instance::new();
    let (revoked, inactive, ended) = (
        instance.create(new_key()).await.key.id,
        instance.create(new_key()).await.key.id,
        instance.create(new_key_with(|new| new.expiry = Expiry::In(days(1)))).await.key.id,
    );
    instance.manager.revoke(&operator(), revoked, None).await.unwrap();
    instance.manager.deactivate(&operator(), inactive, None).await.unwrap();
    instance.clock.advance(DAY);
    assert!(matches!(refused(&instance, revoked).await, ManageError::Revoked));
    assert!(matches!(refused(&instance, inactive).await, ManageError::NotActive { state: KeyState::Inactive }));
    assert!(matches!(refused(&instance, ended).await, ManageError::NotActive { state: KeyState::Expired }));
    let absent = KeyId::from_bytes([7; 16]);
    assert!(matches!(refused(&instance, absent).await, ManageError::NotFound));
    assert_eq!(instance.store.calls().succeed, 0);
}

#[tokio::test]
async fn rotating_needs_no_room_and_makes_none() {
    let one = Quota { per_organization: 1, per_user: 1 };
    let instance = Instance::built(ring(&[1]), |builder| builder.quota(one));
    let mut key = instance.create(new_key()).await.key.id;
    for generation in 1..=5 {
        let rotation = rotated(&instance, key).await;
        assert_eq!(rotation.successor.lineage.generation, generation);
        let refused = instance.manager.create(&operator(), new_key()).await.unwrap_err();
        assert!(matches!(refused, ManageError::Refused(_)), "{refused}");
        instance.manager.finish_rotation(&operator(), key).await.unwrap();
        key = rotation.new_key_id;
    }
}

/// What was superseded counts against no quota, and so there are not many of it that are good.
#[tokio::test]
async fn three_keys_of_a_line_are_good_at_once_and_no_fourth() {
    let instance = Instance::new();
    let first = instance.create(new_key()).await.key.id;
    let second = rotated(&instance, first).await.new_key_id;
    let third = rotated(&instance, second).await.new_key_id;
    assert!(matches!(refused(&instance, third).await, ManageError::StillOverlapping));
    instance.manager.revoke(&operator(), first, None).await.unwrap();
    let fourth = rotated(&instance, third).await.new_key_id;
    assert!(matches!(refused(&instance, fourth).await, ManageError::StillOverlapping));
    instance.clock.advance(DAY * 7);
    rotated(&instance, fourth).await;
}

#[tokio::test]
async fn the_keys_of_a_line_share_their_limits() {
    let instance = Instance::new();
    let limits = Limits { per_minute: Some(10), ..Limits::UNLIMITED };
    let created = instance.create(new_key_with(|new| new.limits = Some(limits))).await;
    for _ in 0..6 {
        instance.validate(created.text.expose()).await.unwrap();
    }
    let rotation = rotated(&instance, created.key.id).await;
    for _ in 0..4 {
        instance.validate(rotation.text.expose()).await.unwrap();
    }
    assert_eq!(instance.refusal(rotation.text.expose()).await, DenialReason::RateLimitExceeded);
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::RateLimitExceeded);
}

#[tokio::test]
async fn nobody_rotates_what_they_may_not_grant_or_see() {
    let instance = Instance::new();
    let key = instance.create(new_key_with(|new| new.scopes = Some(scopes(&["files:read"])))).await.key;
    let organization = key.organization.as_str().to_owned();
    let weak: Actor = tenant(&organization, &["files:write"]);
    let refused = instance.manager.rotate(&weak, key.id, None).await.unwrap_err();
    assert!(matches!(refused, ManageError::NotGrantable { .. }), "{refused}");
    let stranger: Actor = tenant("globex", &["**"]);
    for refused in [
        instance.manager.rotate(&stranger, key.id, None).await.map(drop),
        instance.manager.rotation(&stranger, key.id).await.map(drop),
        instance.manager.finish_rotation(&stranger, key.id).await.map(drop),
    ] {
        assert!(matches!(refused, Err(ManageError::NotFound)), "{refused:?}");
    }
    // Nor have they it renewed by itself, or hand over what comes after it.
    let mut update = KeyUpdate::new();
    update.rotation_schedule = Some(Some(schedule(30, 7)));
    assert!(matches!(
        instance.manager.update(&weak, key.id, &update, None).await,
        Err(ManageError::NotGrantable { .. })
    ));
    update = KeyUpdate::new();
    update.hand_over = Some(true);
    assert!(matches!(
        instance.manager.update(&weak, key.id, &update, None).await,
        Err(ManageError::NotGrantable { .. })
    ));
    let rotation = instance.manager.rotate(&tenant(&organization, &["files:*"]), key.id, None).await.unwrap();
    assert_eq!(rotation.successor.created_by.as_str(), format!("admin-of-{organization}"));
}

/// The store did it and its answer was lost: the text would be lost with it.
#[tokio::test]
async fn a_rotation_whose_answer_was_lost_is_found_out() {
    let instance = Instance::new();
    for (fate, is_done) in [(Fate::Lost, true), (Fate::Failed, false)] {
        let id = instance.create(new_key()).await.key.id;
        let judge = move |call: &str| if call.starts_with("succeed ") { fate } else { Fate::Answered };
        let store = FatefulStore::new(instance.memory.clone(), judge);
        let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
        let answer = manager.rotate(&operator(), id, None).await;
        let superseded = instance.record(id).await.key.succession.superseded;
        assert_eq!(superseded.is_some(), is_done);
        match answer {
            Ok(rotation) => {
                assert_eq!(superseded.unwrap().successor_id, rotation.new_key_id);
                instance.validate(rotation.text.expose()).await.unwrap();
            }
            Err(error) => {
                assert!(!is_done && matches!(error, ManageError::Store(_)), "{error}");
                rotated(&instance, id).await;
            }
        }
    }
}

/// Whoever repeats a request is told that it was done, and whoever comes with another that it was done by somebody else.
#[tokio::test]
async fn a_rotation_under_an_idempotency_key_is_done_once_for_all_its_repetitions() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await.key;
    let id = key.id;
    let (one, other) = (IdempotencyKey::new("one").unwrap(), IdempotencyKey::new("other").unwrap());
    let once = async |key: &IdempotencyKey, overlap| instance.manager.rotate_once(&operator(), id, overlap, key).await;
    let RotatedOnce::Now(rotation) = once(&one, None).await.unwrap() else { panic!("it was done before") };
    for _ in 0..2 {
        let RotatedOnce::Before { old, successor } = once(&one, None).await.unwrap() else {
            panic!("it was done again")
        };
        assert_eq!((old.id, successor), (key.id, rotation.successor.clone()));
    }
    let refused = once(&one, Some(days(1))).await.unwrap_err();
    assert!(matches!(refused, ManageError::IdempotencyMismatch), "{refused}");
    let refused = once(&other, None).await.unwrap_err();
    assert!(matches!(refused, ManageError::Superseded { .. }), "{refused}");
    instance.manager.revoke(&operator(), rotation.new_key_id, None).await.unwrap();
    instance.manager.delete(&operator(), rotation.new_key_id, None).await.unwrap();
    assert!(matches!(once(&one, None).await, Err(ManageError::NotFound)));
}

/// Of repetitions at the same moment, whatever is lost of them, whoever is answered with a text has one that works.
#[tokio::test]
async fn no_repetition_is_answered_with_a_text_that_is_no_key() {
    for fates in 0_u32..64 {
        let instance = Instance::new();
        let id = instance.create(new_key()).await.key.id;
        let met = AtomicU32::new(0);
        let judge = move |call: &str| {
            if !call.starts_with("succeed ") {
                return Fate::Answered;
            }
            [Fate::Answered, Fate::Lost, Fate::Failed, Fate::Lost]
                [(fates >> (2 * met.fetch_add(1, Ordering::Relaxed).min(2)) & 3) as usize]
        };
        let store = Arc::new(FatefulStore::new(instance.memory.clone(), judge));
        let manager = manager_over(store, ring(&[1]), &instance.clock);
        let (operator, key) = (operator(), IdempotencyKey::new("one").unwrap());
        let once = || manager.rotate_once(&operator, id, None, &key);
        let answers = futures_util::future::join_all([once(), once(), once()]).await;
        let texts: Vec<_> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                Ok(RotatedOnce::Now(rotation)) => Some(rotation.text),
                _ => None,
            })
            .collect();
        assert!(texts.len() <= 1, "fates {fates}: {} answers have a text", texts.len());
        for text in texts {
            instance.validate(text.expose()).await.unwrap();
        }
    }
}

// Handing over.

#[tokio::test]
async fn a_successor_is_claimed_with_the_old_key_until_it_is_used() {
    let instance = Instance::new();
    let created = instance.create(handing()).await;
    let old = created.text.expose();
    assert!(matches!(claim(&instance, old).await, Err(ManageError::NotSuperseded)));
    let rotation = rotated(&instance, created.key.id).await;
    // An answer that was lost is asked for again.
    for _ in 0..3 {
        let claimed = claim(&instance, old).await.unwrap();
        assert_eq!(claimed.text.expose(), rotation.text.expose());
        assert_eq!((claimed.old_key_id, claimed.new_key_id), (created.key.id, rotation.new_key_id));
        assert_eq!(claimed.overlap_expires_at, rotation.overlap_expires_at);
        instance.clock.advance(DAY);
    }
    instance.validate(rotation.text.expose()).await.unwrap();
    assert!(matches!(claim(&instance, old).await, Err(ManageError::SuccessorInUse)));
    let (old_record, new_record) = (instance.record(created.key.id).await, instance.record(rotation.new_key_id).await);
    assert_eq!((old_record.offer, new_record.unclaimed), (None, false));
    // The first use is written once, and both keys are kept like any other after it.
    instance.validate(old).await.unwrap();
    instance.store.reset_calls();
    for _ in 0..3 {
        instance.validate(rotation.text.expose()).await.unwrap();
        instance.validate(old).await.unwrap();
    }
    assert_eq!(instance.store.calls().total(), 0);
}

/// A successor that is stopped or has ended is no key to change to.
#[tokio::test]
async fn what_is_handed_over_is_a_key_that_works() {
    let instance = Instance::new();
    let created = instance.create(handing()).await;
    let first = instance.manager.rotate(&operator(), created.key.id, Some(days(30))).await.unwrap();
    instance.manager.deactivate(&operator(), first.new_key_id, None).await.unwrap();
    assert!(matches!(claim(&instance, created.text.expose()).await, Err(ManageError::NotHandedOver)));
    instance.manager.activate(&operator(), first.new_key_id, None).await.unwrap();
    claim(&instance, created.text.expose()).await.unwrap();
    rotated(&instance, first.new_key_id).await;
    instance.clock.advance(DAY * 7);
    assert!(matches!(claim(&instance, created.text.expose()).await, Err(ManageError::NotHandedOver)));
}

/// Another instance, which reads the same store, does not use it unseen.
#[tokio::test]
async fn a_use_anywhere_ends_the_claims_everywhere() {
    let instance = Instance::new();
    let beside = instance.beside(ring(&[1]));
    let created = instance.create(handing()).await;
    let rotation = rotated(&instance, created.key.id).await;
    beside.validate(rotation.text.expose()).await.unwrap();
    assert!(matches!(claim(&instance, created.text.expose()).await, Err(ManageError::SuccessorInUse)));
}

#[tokio::test]
async fn while_the_use_cannot_be_written_it_is_tried_again_and_nobody_is_refused() {
    let instance = Instance::new();
    let created = instance.create(handing()).await;
    let rotation = rotated(&instance, created.key.id).await;
    // Denied requests are no use.
    let other = RequestContext::new().in_environment(Environment::new("elsewhere").unwrap());
    assert!(instance.manager.validate(rotation.text.expose(), &other).await.is_err());
    claim(&instance, created.text.expose()).await.unwrap();

    // A store that does not write: requests go on, and the next one after a second tries again.
    let failing = Arc::new(AtomicBool::new(true));
    let judge = {
        let failing = Arc::clone(&failing);
        move |call: &str| {
            let fails = call.starts_with("replace ") && failing.load(Ordering::Relaxed);
            if fails { Fate::Failed } else { Fate::Answered }
        }
    };
    let store = FatefulStore::new(instance.memory.clone(), judge);
    let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
    let context = RequestContext::new();
    for _ in 0..3 {
        manager.validate(rotation.text.expose(), &context).await.unwrap();
        assert!(instance.record(rotation.new_key_id).await.unclaimed);
    }
    failing.store(false, Ordering::Relaxed);
    instance.clock.advance(Duration::from_secs(1));
    manager.validate(rotation.text.expose(), &context).await.unwrap();
    assert!(!instance.record(rotation.new_key_id).await.unclaimed);
    assert!(matches!(claim(&instance, created.text.expose()).await, Err(ManageError::SuccessorInUse)));
}

/// Wherever the first request is given up, the use is written, or the next request writes it.
#[tokio::test]
async fn a_first_use_that_is_given_up_is_written_by_the_next() {
    for polls in 0..60 {
        let instance = Instance::new();
        let created = instance.create(handing()).await;
        let rotation = rotated(&instance, created.key.id).await;
        let store = Arc::new(YieldingStore(instance.memory.clone()));
        let manager = manager_over(store, ring(&[1]), &instance.clock);
        manager.open().await.unwrap();
        let (first, text) = (manager.clone(), rotation.text.clone());
        let validate = async move { first.validate(text.expose(), &RequestContext::new()).await.map(drop) };
        let answered = GivenUpAfter::polls(polls, validate).await;
        if answered.is_none() {
            manager.validate(rotation.text.expose(), &RequestContext::new()).await.unwrap();
        }
        assert!(!instance.record(rotation.new_key_id).await.unclaimed, "given up after {polls} polls");
    }
}

#[tokio::test]
async fn nothing_is_handed_over_that_was_not_to_be_or_no_longer_is() {
    let instance = Instance::new();
    // Not opted in.
    let plain = instance.create(new_key()).await;
    rotated(&instance, plain.key.id).await;
    assert!(matches!(claim(&instance, plain.text.expose()).await, Err(ManageError::NotHandedOver)));
    assert_eq!(instance.record(plain.key.id).await.offer, None);

    // Nor opted in after the rotation, when there is nothing to hand over.
    let mut update = KeyUpdate::new();
    update.hand_over = Some(true);
    let refused = instance.manager.update(&operator(), plain.key.id, &update, None).await.unwrap_err();
    assert!(matches!(&refused, ManageError::Invalid(field) if field.field() == "hand_over"), "{refused}");

    // Opted out after it: what could be claimed is taken back for good.
    let handing = instance.create(handing()).await;
    rotated(&instance, handing.key.id).await;
    claim(&instance, handing.text.expose()).await.unwrap();
    update.hand_over = Some(false);
    instance.manager.update(&operator(), handing.key.id, &update, None).await.unwrap();
    assert_eq!(instance.record(handing.key.id).await.offer, None);
    assert!(matches!(claim(&instance, handing.text.expose()).await, Err(ManageError::NotHandedOver)));
    update.hand_over = Some(true);
    assert!(instance.manager.update(&operator(), handing.key.id, &update, None).await.is_err());

    // The successor was revoked or erased.
    let handing = instance.create(self::handing()).await;
    let rotation = rotated(&instance, handing.key.id).await;
    instance.manager.revoke(&operator(), rotation.new_key_id, None).await.unwrap();
    assert!(matches!(claim(&instance, handing.text.expose()).await, Err(ManageError::NotHandedOver)));
    instance.manager.delete(&operator(), rotation.new_key_id, None).await.unwrap();
    assert!(matches!(claim(&instance, handing.text.expose()).await, Err(ManageError::NotHandedOver)));
}

/// A request that was let in a moment ago is not let in for ever.
#[tokio::test]
async fn whoever_was_let_in_before_the_key_ended_claims_nothing_after_it() {
    let instance = Instance::new();
    for (end, expected) in [(0, KeyState::Revoked), (1, KeyState::Inactive), (2, KeyState::Expired)] {
        let created = instance.create(handing()).await;
        rotated(&instance, created.key.id).await;
        let admission = instance.validate(created.text.expose()).await.unwrap();
        match end {
            0 => drop(instance.manager.revoke(&operator(), created.key.id, None).await.unwrap()),
            1 => drop(instance.manager.deactivate(&operator(), created.key.id, None).await.unwrap()),
            _ => instance.clock.advance(DAY * 7),
        }
        let refused = instance.manager.claim_successor(&admission, None).await.unwrap_err();
        match expected {
            KeyState::Revoked => assert!(matches!(refused, ManageError::Revoked), "{refused}"),
            expected => assert!(matches!(refused, ManageError::NotActive { state } if state == expected), "{refused}"),
        }
    }
}

#[tokio::test]
async fn an_offer_is_sealed_under_the_ring_and_says_which_entry_it_needs() {
    let instance = Instance::new();
    let created = instance.create(handing()).await;
    let rotation = rotated(&instance, created.key.id).await;
    let record = instance.record(created.key.id).await;
    let stored = record.encode().unwrap();
    let secret = rotation.text.expose().as_bytes();
    assert!(!stored.windows(20).any(|part| secret.windows(20).any(|secret| part == secret)));
    assert!(!format!("{record:?}").contains(rotation.text.expose()));

    // Under a new ring that still has the old entry the offer opens; without the entry it is trouble, and no refusal.
    let turned = instance.beside(ring(&[2, 1]));
    turned.manager.open().await.unwrap();
    let admission = turned.validate(created.text.expose()).await.unwrap();
    assert_eq!(turned.manager.claim_successor(&admission, None).await.unwrap().text.expose(), rotation.text.expose());
    let needed = turned.manager.ring_usage(&support::the_operator()).await.unwrap();
    assert!(needed.contains_key(&record.offer.unwrap().entry()));
}

// What can be seen and done in between.

#[tokio::test]
async fn the_status_of_a_rotation_shows_who_still_uses_the_old_key() {
    let instance = Instance::new();
    let created = instance.create(new_key_with(|new| new.rotation_schedule = Some(schedule(30, 7)))).await;
    let id = created.key.id;
    let before = instance.manager.rotation(&operator(), id).await.unwrap();
    assert_eq!((before.generation, before.predecessor, before.successor), (0, None, None));
    assert_eq!(before.next_rotation, Some(created.key.created_at + days(30)));
    assert_eq!(before.schedule, Some(schedule(30, 7)));

    let rotation = rotated(&instance, id).await;
    instance.clock.advance(Duration::from_secs(60));
    instance.validate(created.text.expose()).await.unwrap();
    assert!(instance.manager.flush_usage(Duration::from_secs(5)).await);
    let status = instance.manager.rotation(&operator(), rotation.new_key_id).await.unwrap();
    let old = status.predecessor.unwrap();
    assert_eq!((status.generation, status.successor, status.last_used_at), (1, None, None));
    assert_eq!((old.key_id, old.state, old.expires_at), (id, KeyState::Active, Some(rotation.overlap_expires_at)));
    assert!(old.last_used_at.is_some());
    let status = instance.manager.rotation(&operator(), id).await.unwrap();
    assert_eq!(status.successor.unwrap().key_id, rotation.new_key_id);
    assert_eq!((status.next_rotation, status.last_used_at), (None, old.last_used_at));

    let text = serde_json::to_string(&status).unwrap();
    assert!(text.contains(r#""interval_days":30"#) && text.contains(r#""next_rotation":null"#), "{text}");
    assert_eq!(serde_json::from_str::<keygate_core::manager::RotationStatus>(&text).unwrap(), status);
}

#[tokio::test]
async fn an_overlap_can_be_ended_early_and_not_made_longer() {
    let instance = Instance::new();
    let created = instance.create(handing()).await;
    let id = created.key.id;
    assert!(matches!(instance.manager.finish_rotation(&operator(), id).await, Err(ManageError::NotSuperseded)));
    let rotation = rotated(&instance, id).await;

    let mut update = KeyUpdate::new();
    for later in [Expiry::Never, Expiry::In(days(8)), Expiry::At(rotation.overlap_expires_at + days(1))] {
        update.expiry = Some(later);
        let refused = instance.manager.update(&operator(), id, &update, None).await.unwrap_err();
        assert!(matches!(&refused, ManageError::Invalid(field) if field.field() == "expiry"), "{later:?}: {refused}");
    }
    update.expiry = Some(Expiry::In(days(1)));
    instance.manager.update(&operator(), id, &update, None).await.unwrap();

    instance.manager.finish_rotation(&operator(), id).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyExpired);
    assert_eq!(instance.record(id).await.offer, None);
    let again = instance.manager.finish_rotation(&operator(), id).await.unwrap();
    assert_eq!(again, instance.record(id).await.key);
    instance.validate(rotation.text.expose()).await.unwrap();
    // What is over can be erased, as any key that has ended.
    instance.manager.delete(&operator(), id, None).await.unwrap();
    assert_eq!(instance.manager.rotation(&operator(), rotation.new_key_id).await.unwrap().predecessor, None);
}

#[tokio::test]
async fn a_superseded_key_that_was_revoked_changes_nothing_of_its_successor() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let rotation = rotated(&instance, created.key.id).await;
    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
    instance.validate(rotation.text.expose()).await.unwrap();
    assert!(matches!(instance.manager.finish_rotation(&operator(), created.key.id).await, Err(ManageError::Revoked)));
}

// Schedules.

#[tokio::test]
async fn a_schedule_that_cannot_be_followed_is_refused_by_the_name_of_its_field() {
    let instance = Instance::new();
    let short = |interval, overlap, life| {
        new_key_with(|new| {
            new.rotation_schedule = Some(schedule(interval, overlap));
            new.expiry = Expiry::In(days(life));
        })
    };
    for bad in [short(7, 7, 90), short(5, 30, 90), short(90, 30, 30), short(90, 30, 7), short(30, 0, 90)] {
        let refused = instance.manager.create(&operator(), bad).await.unwrap_err();
        assert!(
            matches!(&refused, ManageError::Invalid(field) if field.field() == "rotation overlap_days"),
            "{refused}"
        );
    }
    let key = instance.create(short(90, 30, 31)).await.key;
    let mut update = KeyUpdate::new();
    update.expiry = Some(Expiry::In(days(30)));
    assert!(instance.manager.update(&operator(), key.id, &update, None).await.is_err());
    update.expiry = None;
    update.rotation_schedule = Some(Some(schedule(90, 40)));
    assert!(instance.manager.update(&operator(), key.id, &update, None).await.is_err());
    assert_eq!(instance.record(key.id).await.key, key);
}

#[tokio::test]
async fn a_schedule_counts_from_when_it_was_set() {
    let instance = Instance::new();
    let key = instance.create(new_key_with(|new| new.expiry = Expiry::Never)).await.key;
    instance.clock.advance(DAY * 100);
    let mut update = KeyUpdate::new();
    update.rotation_schedule = Some(Some(schedule(30, 7)));
    let key = instance.manager.update(&operator(), key.id, &update, None).await.unwrap();
    let set = key.succession.scheduled_at.unwrap();
    assert_eq!(set - key.created_at, days(100));
    assert_eq!(next_rotation(&key), Some(set + days(30)));
    // What else is changed of it postpones nothing; another interval counts anew.
    instance.clock.advance(DAY);
    update.rotation_schedule = Some(Some(RotationSchedule { notify_users: false, ..schedule(30, 7) }));
    let told = instance.manager.update(&operator(), key.id, &update, None).await.unwrap();
    assert_eq!(told.succession.scheduled_at, Some(set));
    update.rotation_schedule = Some(Some(schedule(31, 7)));
    let key = instance.manager.update(&operator(), key.id, &update, None).await.unwrap();
    assert_eq!(key.succession.scheduled_at, Some(set + days(1)));
    // The same once more changes nothing; taking it away does.
    instance.clock.advance(DAY);
    assert_eq!(instance.manager.update(&operator(), key.id, &update, None).await.unwrap(), key);
    update.rotation_schedule = Some(None);
    let key = instance.manager.update(&operator(), key.id, &update, None).await.unwrap();
    assert_eq!((key.succession.scheduled_at, next_rotation(&key)), (None, None));
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap()
}

proptest! {
    #![proptest_config(support::property())]

    /// However long a key lives and however it is scheduled: its rotation is due while it is good, early enough for its whole
    /// overlap, and after its successor's making by the same rule.
    #[test]
    fn a_rotation_is_due_early_enough_for_its_overlap(
        interval in 2u32..=3650, overlap in 0u32..=365, life in prop::option::of(1i64..4_000), made in 0i64..4_000_000_000_000,
    ) {
        let record = keygate_testkit::sample::record(&support::org("acme"), &support::user("ann"));
        let mut key: Key = record.key;
        key.created_at = at(made);
        key.expires_at = life.map(|life| at(made) + days(life));
        key.rotation_schedule = Some(schedule(interval, overlap));
        let follows = (1..interval).contains(&overlap) && life.is_none_or(|life| life > i64::from(overlap));
        prop_assume!(follows);
        let due = next_rotation(&key).unwrap();
        prop_assert!(due > key.created_at);
        prop_assert!(due <= key.created_at + days(interval.into()));
        if let Some(end) = key.expires_at {
            prop_assert!(due + days(overlap.into()) <= end);
        }
        key.status.status = KeyStatus::Revoked;
        prop_assert_eq!(next_rotation(&key), None);
    }
}

/// A year of rotations by the schedule: a client that claims what it is handed is never without a working key.
#[tokio::test]
async fn a_client_that_claims_is_never_locked_out() {
    let instance = Instance::new();
    let created = instance
        .create(new_key_with(|new| {
            new.expiry = Expiry::In(days(90));
            new.rotation_schedule = Some(schedule(30, 7));
            new.hand_over = true;
        }))
        .await;
    let mut held = created.text.clone();
    let mut seen = BTreeSet::from([created.key.id]);
    for day in 0..365 {
        instance.clock.advance(DAY);
        let admission = instance.validate(held.expose()).await.unwrap_or_else(|denial| panic!("day {day}: {denial}"));
        let key: &Key = &admission;
        if next_rotation(key).is_some_and(|due| due <= instance.clock.now()) {
            rotated(&instance, key.id).await;
        } else if day % 3 == 0 && key.succession.superseded.is_some() {
            let claimed = instance.manager.claim_successor(&admission, None).await.unwrap();
            assert!(seen.insert(claimed.new_key_id));
            held = claimed.text;
        }
    }
    assert!(seen.len() >= 10, "{}", seen.len());
}
