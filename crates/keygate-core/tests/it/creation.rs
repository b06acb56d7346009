//! Making keys: their defaults, the bounds of each field, quotas, and many at once.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::actor::Operator;
use keygate_core::limits::{Limits, MAX_LIMIT};
use keygate_core::manager::{Expiry, KeyUpdate, MAX_EXPIRY_DAYS, ManageError, OrganizationUpdate};
use keygate_core::names::{Description, Environment, KeyName, PrincipalId, Tag};
use keygate_core::record::{KeyState, MAX_TAGS, Quota, Revision, RotationSchedule, SecurityTier};
use keygate_core::store::CreateRefusal;
use proptest::prelude::*;

use crate::support::{self, Instance, block_on, new_key, new_key_with, operator, org, ring, scopes, user, word};

#[tokio::test]
async fn a_key_made_with_every_default_is_as_documented() {
    let instance = Instance::new();
    let now = instance.clock.now();
    let key = instance.create(new_key()).await.key;
    assert_eq!((key.organization.as_str(), key.user.as_str(), key.project.as_ref()), ("acme", "ada", None));
    assert_eq!((key.name.as_str(), key.description.as_str()), ("Unnamed key", ""));
    assert_eq!(key.scopes, scopes(&["default"]));
    assert!(
        key.permissions.is_empty() && key.grantable.is_empty() && key.allowed_ips.is_empty() && key.tags.is_empty()
    );
    assert_eq!((key.created_at, key.expires_at, key.not_before), (now, Some(now + TimeDelta::days(90)), None));
    assert_eq!((key.limits, key.security_tier), (Limits::STANDARD, SecurityTier::Standard));
    assert_eq!(
        (key.revision, key.state(now), key.environment),
        (Revision::FIRST, KeyState::Active, Environment::dev())
    );
    assert_eq!((key.lineage.root, key.lineage.generation), (key.id, 0));
    assert!(key.metadata.is_empty() && key.rotation_schedule.is_none());
}

#[tokio::test]
async fn an_empty_scope_list_is_not_the_default_scope() {
    let instance = Instance::new();
    let key = instance.create(new_key_with(|new| new.scopes = Some(scopes(&[])))).await.key;
    assert!(key.scopes.is_empty());
}

#[tokio::test]
async fn the_environment_is_the_managers_unless_the_key_has_its_own() {
    let prod = Environment::new("prod").unwrap();
    let instance = Instance::built(ring(&[1]), |builder| builder.environment(prod));
    let ours = instance.create(new_key()).await;
    assert!(ours.text.expose().starts_with("mcp_prod_"));
    let own = instance.create(new_key_with(|new| new.environment = Some(Environment::new("test").unwrap()))).await;
    assert!(own.text.expose().starts_with("mcp_test_"));
    assert!(instance.validate(ours.text.expose()).await.is_ok());
    assert_eq!(instance.refusal(own.text.expose()).await.as_str(), "environment_mismatch");
}

#[tokio::test]
async fn what_is_answered_is_what_is_kept() {
    let instance = Instance::new();
    instance.clock.advance(Duration::from_nanos(1_234_567));
    let created = instance
        .create(new_key_with(|new| {
            new.expiry = Expiry::At(DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap());
            new.not_before = DateTime::from_timestamp(1_790_000_000, 987_654_321);
        }))
        .await;
    let record = instance.record(created.key.id).await;
    assert_eq!(record.key, created.key);
    // To the millisecond: what is written down is what was answered.
    assert_eq!(keygate_core::record::KeyRecord::decode(&record.encode().unwrap()).unwrap(), record);
}

async fn expires(expiry: Expiry) -> Result<Option<DateTime<Utc>>, ManageError> {
    let instance = Instance::new();
    let new = new_key_with(|new| new.expiry = expiry);
    instance.manager.create(&operator(), new).await.map(|created| created.key.expires_at)
}

#[tokio::test]
async fn an_end_is_a_second_to_a_hundred_years_away_or_never() {
    let now = Instance::new().clock.now();
    let most = TimeDelta::days(MAX_EXPIRY_DAYS.into());
    for (expiry, end) in [
        (Expiry::Default, Some(now + TimeDelta::days(90))),
        (Expiry::Never, None),
        (Expiry::In(TimeDelta::seconds(1)), Some(now + TimeDelta::seconds(1))),
        (Expiry::In(most), Some(now + most)),
        (Expiry::At(now + TimeDelta::milliseconds(1)), Some(now + TimeDelta::milliseconds(1))),
        (Expiry::At(now + most), Some(now + most)),
    ] {
        assert_eq!(expires(expiry).await.unwrap(), end, "{expiry:?}");
    }
    for bad in [
        Expiry::In(TimeDelta::zero()),
        Expiry::In(TimeDelta::milliseconds(999)),
        Expiry::In(TimeDelta::seconds(-1)),
        Expiry::In(TimeDelta::MIN),
        Expiry::In(TimeDelta::MAX),
        Expiry::In(most + TimeDelta::milliseconds(1)),
        Expiry::At(now),
        // Kept to the millisecond, it would have ended before it began.
        Expiry::At(now + TimeDelta::microseconds(999)),
        Expiry::At(now - TimeDelta::days(1)),
        Expiry::At(now + most + TimeDelta::milliseconds(1)),
        Expiry::At(DateTime::<Utc>::MAX_UTC),
        Expiry::At(DateTime::<Utc>::MIN_UTC),
    ] {
        assert_eq!(word(&expires(bad).await.unwrap_err()), "invalid", "{bad:?}");
    }
}

#[tokio::test]
async fn a_key_begins_before_it_ends() {
    let instance = Instance::new();
    let end = instance.clock.now() + TimeDelta::days(1);
    for begin in [end, end + TimeDelta::seconds(1)] {
        let new = new_key_with(|new| (new.not_before, new.expiry) = (Some(begin), Expiry::At(end)));
        assert_eq!(word(&instance.manager.create(&operator(), new).await.unwrap_err()), "invalid");
    }
    instance.create(new_key_with(|new| (new.not_before, new.expiry) = (Some(end), Expiry::Never))).await;
}

#[tokio::test]
async fn names_are_bounded_and_neither_cut_nor_cleaned() {
    assert!(
        KeyName::new("").is_err() && KeyName::new("x".repeat(100)).is_ok() && KeyName::new("x".repeat(101)).is_err()
    );
    let instance = Instance::new();
    let name = "  two  spaces and a \"quote\"  ";
    let key = instance.create(new_key_with(|new| new.name = Some(KeyName::new(name).unwrap()))).await.key;
    assert_eq!(key.name.as_str(), name);
}

#[tokio::test]
async fn fields_out_of_range_are_refused_before_the_store_is_asked() {
    let instance = Instance::new();
    let schedule =
        RotationSchedule { interval_days: 30, warning_days: 7, auto_rotate: true, notify_users: true, overlap_days: 7 };
    let bad = [
        new_key_with(|new| new.tags = (0..=MAX_TAGS).map(|n| Tag::new(format!("t{n}")).unwrap()).collect()),
        new_key_with(|new| new.limits = Some(Limits { per_minute: Some(0), ..Limits::UNLIMITED })),
        new_key_with(|new| new.limits = Some(Limits { per_month: Some(MAX_LIMIT + 1), ..Limits::UNLIMITED })),
        new_key_with(|new| new.limits = Some(Limits { burst: Some(1), ..Limits::UNLIMITED })),
        new_key_with(|new| new.rotation_schedule = Some(RotationSchedule { interval_days: 0, ..schedule })),
        new_key_with(|new| new.rotation_schedule = Some(RotationSchedule { warning_days: 30, ..schedule })),
        new_key_with(|new| new.rotation_schedule = Some(RotationSchedule { overlap_days: 366, ..schedule })),
    ];
    for new in bad {
        assert_eq!(word(&instance.manager.create(&operator(), new).await.unwrap_err()), "invalid");
    }
    assert_eq!(instance.store.calls().total(), 0);
}

// Quotas.

#[tokio::test]
async fn a_user_has_ten_keys_by_default_and_no_more() {
    let instance = Instance::built(ring(&[1]), |builder| builder.quota(Quota::default()));
    for _ in 0..10 {
        instance.create(new_key()).await;
    }
    let refusal = instance.manager.create(&operator(), new_key()).await.unwrap_err();
    assert!(matches!(refusal, ManageError::Refused(CreateRefusal::UserQuota { limit: 10 })), "{refusal:?}");
    // Another user, and the same name elsewhere, have their own.
    instance.create(new_key_with(|new| new.user = user("bob"))).await;
    instance.create(new_key_with(|new| new.organization = org("globex"))).await;
}

#[tokio::test]
async fn an_organizations_own_quota_goes_before_the_managers() {
    let instance = Instance::new();
    let boss = Operator::named(PrincipalId::new("boss").unwrap());
    let mut update = OrganizationUpdate::default();
    (update.max_keys, update.max_keys_per_user) = (Some(Some(3)), Some(Some(2)));
    let record = instance.manager.update_organization(&boss, &org("acme"), &update, None).await.unwrap();
    assert_eq!((record.max_keys, record.max_keys_per_user, record.revision), (Some(3), Some(2), Revision::FIRST));

    let of = |name| new_key_with(|new| new.user = user(name));
    for name in ["ada", "ada", "bob"] {
        instance.create(of(name)).await;
    }
    let refused = async |name| match instance.manager.create(&operator(), of(name)).await {
        Err(ManageError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("bob").await, CreateRefusal::OrganizationQuota { limit: 3 });

    // Lowering it stops no key that is there; taking it away goes back to the manager's.
    update.max_keys = Some(Some(1));
    instance.manager.update_organization(&boss, &org("acme"), &update, None).await.unwrap();
    assert_eq!(refused("ada").await, CreateRefusal::OrganizationQuota { limit: 1 });
    (update.max_keys, update.max_keys_per_user) = (Some(None), None);
    instance.manager.update_organization(&boss, &org("acme"), &update, None).await.unwrap();
    assert_eq!(refused("ada").await, CreateRefusal::UserQuota { limit: 2 });
    instance.create(of("bob")).await;
}

#[tokio::test]
async fn revoked_and_expired_keys_do_not_count_and_inactive_ones_do() {
    let instance = Instance::built(ring(&[1]), |builder| builder.quota(Quota { per_user: 1, ..support::ROOMY }));
    let first = instance.create(new_key_with(|new| new.expiry = Expiry::In(TimeDelta::seconds(1)))).await;
    instance.manager.deactivate(&operator(), first.key.id, None).await.unwrap();
    assert_eq!(word(&instance.manager.create(&operator(), new_key()).await.unwrap_err()), "refused");
    instance.clock.advance(Duration::from_secs(1));
    let second = instance.create(new_key()).await;
    instance.manager.revoke(&operator(), second.key.id, None).await.unwrap();
    instance.create(new_key()).await;
}

#[tokio::test]
async fn an_expired_key_is_not_given_a_later_end_past_the_quota() {
    let instance = Instance::built(ring(&[1]), |builder| builder.quota(Quota { per_user: 1, ..support::ROOMY }));
    let first = instance.create(new_key_with(|new| new.expiry = Expiry::In(TimeDelta::seconds(1)))).await;
    instance.clock.advance(Duration::from_secs(1));
    let second = instance.create(new_key()).await;
    for expiry in [Expiry::Default, Expiry::Never] {
        let mut update = KeyUpdate::new();
        update.expiry = Some(expiry);
        let refusal = instance.manager.update(&operator(), first.key.id, &update, None).await.unwrap_err();
        assert!(matches!(refusal, ManageError::Refused(CreateRefusal::UserQuota { limit: 1 })), "{refusal:?}");
        // One that counts already is lengthened as before.
        instance.manager.update(&operator(), second.key.id, &update, None).await.unwrap();
    }
    // Other fields of an expired key are no new key.
    let mut update = KeyUpdate::new();
    update.description = Some(Description::new("kept for the record").unwrap());
    instance.manager.update(&operator(), first.key.id, &update, None).await.unwrap();
    instance.manager.revoke(&operator(), second.key.id, None).await.unwrap();
    update.expiry = Some(Expiry::Default);
    instance.manager.update(&operator(), first.key.id, &update, None).await.unwrap();
    assert!(instance.validate(first.text.expose()).await.is_ok());
}

// Many at once.

#[tokio::test]
async fn many_keys_come_back_in_the_order_asked_whatever_their_organizations() {
    let instance = Instance::built(ring(&[1]), |builder| builder.quota(Quota { per_user: 2, ..support::ROOMY }));
    let asked: Vec<(String, &str)> = (0..30).map(|n| (format!("org-{}", (n * 7) % 5), "ada")).collect();
    let new = asked.iter().enumerate().map(|(nth, (organization, name))| {
        new_key_with(|new| {
            (new.organization, new.user) = (org(organization), user(name));
            new.name = Some(KeyName::new(format!("number {nth}")).unwrap());
        })
    });
    let outcomes = instance.manager.create_many(&operator(), new.collect()).await;
    assert_eq!(outcomes.len(), 30);
    let mut of_each = std::collections::BTreeMap::new();
    for (nth, ((organization, _), outcome)) in asked.iter().zip(&outcomes).enumerate() {
        let earlier = of_each.entry(organization).or_insert(0);
        match outcome {
            Ok(created) => {
                assert_eq!(created.key.name.as_str(), format!("number {nth}"));
                assert_eq!(created.key.organization.as_str(), organization);
                assert!(instance.validate(created.text.expose()).await.is_ok());
                *earlier += 1;
            }
            Err(error) => assert_eq!((word(error), *earlier), ("refused", 2), "the earlier ones of a tenant win"),
        }
    }
    assert!(of_each.values().all(|made| *made == 2));
    assert_eq!(instance.store.calls().create, 5, "one call of the store for each organization");
}

#[tokio::test]
async fn making_no_keys_asks_nothing_of_the_store() {
    let instance = Instance::new();
    assert!(instance.manager.create_many(&operator(), Vec::new()).await.is_empty());
    assert_eq!(instance.store.calls().total(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..support::property() })]

    /// Of many asked for, as many are made as there is room for, and each text is of the key it came with.
    #[test]
    fn every_outcome_is_of_the_key_asked_for_in_its_place(
        owners in prop::collection::vec((0u8..3, 0u8..3), 0..20), per_user in 1u64..4, per_organization in 1u64..8,
    ) {
        let instance = Instance::built(ring(&[1]), |builder| builder.quota(Quota { per_organization, per_user }));
        let named = |(organization, owner): &(u8, u8)| (org(&format!("org-{organization}")), user(&format!("user-{owner}")));
        let new = owners.iter().map(|owner| new_key_with(|new| (new.organization, new.user) = named(owner))).collect();
        let outcomes = block_on(instance.manager.create_many(&operator(), new));
        prop_assert_eq!(outcomes.len(), owners.len());
        let (mut made, mut ids) = (Vec::new(), BTreeSet::new());
        for (owner, outcome) in owners.iter().zip(outcomes) {
            let of = |made: &[(u8, u8)], same: fn(&(u8, u8), &(u8, u8)) -> bool| made.iter().filter(|other| same(other, owner)).count() as u64;
            let room = of(&made, |a, b| a == b) < per_user && of(&made, |a, b| a.0 == b.0) < per_organization;
            prop_assert_eq!(outcome.is_ok(), room);
            if let Ok(created) = outcome {
                made.push(*owner);
                prop_assert!(ids.insert(created.key.id));
                let admission = block_on(instance.validate(created.text.expose())).unwrap();
                prop_assert_eq!((admission.organization.clone(), admission.user.clone()), named(owner));
            }
        }
    }
}
