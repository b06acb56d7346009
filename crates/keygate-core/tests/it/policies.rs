//! What stands above a key says what it is where nobody does, and what it has to be.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::import::{ImportPattern, ImportPolicy};
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::manager::{
    BulkKeys, BulkOperation, Expiry, IdempotencyKey, KeyUpdate, ManageError, NewKey, OrganizationUpdate, ProjectUpdate,
    UserUpdate,
};
use keygate_core::names::{Environment, KeyName, OrganizationId, ProjectId};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{
    Key, KeyDefaults, KeyPolicy, NamePattern, OrganizationRecord, ProjectRecord, RotationSchedule, SecurityTier,
};
use keygate_core::store::Store;
use keygate_testkit::FaultyStore;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    self, Instance, block_on, new_key, new_key_with, operator, org, ring, scopes, tenant, the_operator, user, word,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn days(days: u32) -> TimeDelta {
    TimeDelta::days(days.into())
}

fn web() -> ProjectId {
    ProjectId::new("web").unwrap()
}

fn policy(rules: Value) -> KeyPolicy {
    serde_json::from_value(rules).unwrap()
}

fn defaults(said: Value) -> KeyDefaults {
    serde_json::from_value(said).unwrap()
}

fn networks(text: &str) -> CidrSet {
    CidrSet::new([Cidr::new(text).unwrap()]).unwrap()
}

async fn of_organization(instance: &Instance, change: impl FnOnce(&mut OrganizationUpdate)) {
    let mut update = OrganizationUpdate::default();
    change(&mut update);
    instance.manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap();
}

async fn of_project(instance: &Instance, change: impl FnOnce(&mut ProjectUpdate)) {
    let mut update = ProjectUpdate::default();
    change(&mut update);
    instance.manager.update_project(&operator(), &org("acme"), &web(), &update, None).await.unwrap();
}

async fn of_user(instance: &Instance, rules: Option<KeyPolicy>, said: Option<KeyDefaults>) {
    let update = UserUpdate { policy: Some(rules), defaults: Some(said), ..UserUpdate::default() };
    instance.manager.update_user(&operator(), &org("acme"), &user("ada"), &update, None).await.unwrap();
}

async fn organization_policy(instance: &Instance, rules: Value) {
    of_organization(instance, |update| update.policy = Some(Some(policy(rules)))).await;
}

/// The rule and the level that a call is refused for.
fn violation<T: std::fmt::Debug>(outcome: Result<T, ManageError>) -> (&'static str, &'static str) {
    match outcome {
        Err(ManageError::PolicyViolated(violation)) => (violation.policy.as_str(), violation.level.as_str()),
        other => panic!("no violation: {other:?}"),
    }
}

fn in_web(more: impl FnOnce(&mut NewKey)) -> NewKey {
    new_key_with(|new| {
        new.project = Some(web());
        more(new);
    })
}

#[tokio::test]
async fn each_rule_refuses_what_is_not_within_it_and_says_what_would_be() {
    type Change = fn(&mut NewKey);
    let cases: [(Value, Change, Change, &str, &str); 10] = [
        (
            json!({"longest_life_days": 30}),
            |new| new.expiry = Expiry::In(days(31)),
            |new| new.expiry = Expiry::In(days(30)),
            "longest_life_days",
            "within 30 days",
        ),
        (json!({"longest_life_days": 30}), |new| new.expiry = Expiry::Never, |_| {}, "longest_life_days", "30"),
        (
            json!({"required_scopes": ["tenant:acme"]}),
            |_| {},
            |new| new.scopes = Some(scopes(&["tenant:*", "a"])),
            "required_scopes",
            "tenant:acme",
        ),
        (
            json!({"require_allowed_ips": true}),
            |new| new.allowed_ips = Some(CidrSet::default()),
            |new| new.allowed_ips = Some(networks("192.0.2.0/24")),
            "require_allowed_ips",
            "networks",
        ),
        // Everywhere is no network that keeps anybody out, whatever stands beside it.
        (
            json!({"require_allowed_ips": true}),
            |new| new.allowed_ips = Some(networks("0.0.0.0/0")),
            |new| new.allowed_ips = Some(networks("::1")),
            "require_allowed_ips",
            "not everywhere",
        ),
        (
            json!({"require_allowed_ips": true}),
            |new| {
                let both = ["::/0", "192.0.2.1"].map(|network| Cidr::new(network).unwrap());
                new.allowed_ips = Some(CidrSet::new(both).unwrap());
            },
            |new| new.allowed_ips = Some(networks("0.0.0.0/1")),
            "require_allowed_ips",
            "not everywhere",
        ),
        (
            json!({"forbid_wildcards": true}),
            |new| new.permissions = scopes(&["deploy:web", "deploy:*"]),
            |new| new.permissions = scopes(&["deploy:web"]),
            "forbid_wildcards",
            "deploy:* in permissions",
        ),
        (
            json!({"forbid_wildcards": true}),
            |new| new.grantable = scopes(&["**"]),
            |new| new.scopes = Some(scopes(&["a:b"])),
            "forbid_wildcards",
            "** in grantable",
        ),
        (
            json!({"allowed_environments": ["prod", "test"]}),
            |_| {},
            |new| new.environment = Some(Environment::new("test").unwrap()),
            "allowed_environments",
            "prod, test",
        ),
        (
            json!({"name_pattern": "[a-z]+-[0-9]{3}"}),
            |_| {},
            |new| new.name = Some(KeyName::new("web-001").unwrap()),
            "name_pattern",
            "[a-z]+-[0-9]{3}",
        ),
    ];
    for (rules, bad, good, rule, allowed) in cases {
        let instance = Instance::new();
        organization_policy(&instance, rules).await;
        let refused = instance.manager.create(&operator(), new_key_with(bad)).await;
        let error = refused.as_ref().unwrap_err();
        assert_eq!((error.reason(), error.is_trouble()), ("policy_violated", false));
        assert!(error.detail().contains(allowed) && error.detail().contains(rule), "{error}");
        assert_eq!(violation(refused), (rule, "organization"));
        let once = IdempotencyKey::new("first").unwrap();
        assert_eq!(violation(instance.manager.create_once(&operator(), new_key_with(bad), &once).await).0, rule);
        // Which uses the idempotency key up for nothing.
        assert!(instance.manager.create_once(&operator(), new_key_with(good), &once).await.is_ok(), "{rule}");
        // Of many, each by itself.
        let many = vec![new_key_with(good), new_key_with(bad), in_web(bad), in_web(good)];
        let outcomes = instance.manager.create_many(&operator(), many).await;
        let made: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(made, [true, false, false, true], "{rule}");
        // Another organization's keys are none of its.
        instance.create(new_key_with(|new| new.organization = org("globex"))).await;
    }
}

#[tokio::test]
async fn the_policies_of_both_levels_hold_and_the_organizations_is_named_first() {
    let instance = Instance::new();
    organization_policy(&instance, json!({"longest_life_days": 60})).await;
    let rules = json!({"longest_life_days": 30, "name_pattern": "web.*"});
    of_project(&instance, |update| update.policy = Some(Some(policy(rules)))).await;
    let named = |new: &mut NewKey, days_said: u32| {
        new.name = Some(KeyName::new("website").unwrap());
        new.expiry = Expiry::In(days(days_said));
    };
    for (asked, expected) in [(61, Some("organization")), (31, Some("project")), (30, None)] {
        let made = instance.manager.create(&operator(), in_web(|new| named(new, asked))).await;
        match expected {
            Some(level) => assert_eq!(violation(made), ("longest_life_days", level)),
            None => assert!(made.is_ok()),
        }
    }
    let unnamed = instance.manager.create(&operator(), in_web(|_| {})).await;
    assert_eq!(violation(unnamed), ("name_pattern", "project"));
    instance.create(new_key()).await;
    // What is taken away holds no longer.
    of_project(&instance, |update| update.policy = Some(None)).await;
    instance.create(in_web(|_| {})).await;
}

/// Of a user too, for keys in projects and without, whatever is done to them.
#[tokio::test]
async fn a_users_policy_holds_beside_the_others_and_its_defaults_stand_first() {
    let instance = Instance::new();
    let manager = &instance.manager;
    organization_policy(&instance, json!({"longest_life_days": 60})).await;
    of_project(&instance, |update| {
        update.policy = Some(Some(policy(json!({"longest_life_days": 30}))));
        update.defaults = Some(Some(defaults(json!({"expires_in_days": 20, "security_tier": "high"}))));
    })
    .await;
    let old = instance.create(in_web(|_| {})).await.key;
    let rules = json!({"longest_life_days": 10, "name_pattern": "ada-.*"});
    of_user(&instance, Some(policy(rules)), Some(defaults(json!({"expires_in_days": 5})))).await;
    let named = |new: &mut NewKey| new.name = Some(KeyName::new("ada-1").unwrap());
    for (asked, expected) in [(61, Some("organization")), (31, Some("project")), (11, Some("user")), (10, None)] {
        let lasting = in_web(|new| {
            named(new);
            new.expiry = Expiry::In(days(asked));
        });
        match (manager.create(&operator(), lasting).await, expected) {
            (made, Some(level)) => assert_eq!(violation(made), ("longest_life_days", level)),
            (made, None) => drop(made.unwrap()),
        }
    }
    let refused = manager.create(&operator(), new_key()).await;
    assert!(refused.as_ref().unwrap_err().to_string().contains("name_pattern of the user"), "{refused:?}");
    assert_eq!(violation(refused), ("name_pattern", "user"));
    // What the user does not say is the project's default.
    let end = |key: &Key| key.expires_at.map(|end| (end - key.created_at).num_days());
    let made = instance.create(in_web(named)).await.key;
    assert_eq!((end(&made), made.security_tier), (Some(5), SecurityTier::High));
    assert_eq!(end(&instance.create(new_key_with(named)).await.key), Some(5));
    // Others have theirs.
    let of_bob = in_web(|new| new.user = user("bob"));
    assert_eq!(end(&instance.create(of_bob).await.key), Some(20));
    // What was made before goes on, is changed within it, and has a successor within it.
    let update = async |change: &dyn Fn(&mut KeyUpdate)| {
        let mut update = KeyUpdate::new();
        change(&mut update);
        manager.update(&operator(), old.id, &update, None).await
    };
    assert_eq!(
        violation(update(&|update| update.expiry = Some(Expiry::In(days(25)))).await),
        ("longest_life_days", "user")
    );
    let renamed = update(&|update| update.name = Some(KeyName::new("bob-1").unwrap())).await;
    assert_eq!(violation(renamed), ("name_pattern", "user"));
    update(&|update| update.tags = Some(vec!["old".parse().unwrap()])).await.unwrap();
    assert_eq!(end(&manager.rotate(&operator(), old.id, None).await.unwrap().successor), Some(10));
    // What is taken away holds no longer.
    of_user(&instance, None, None).await;
    assert_eq!(end(&instance.create(in_web(|_| {})).await.key), Some(20));
}

#[tokio::test]
async fn what_nobody_says_is_the_projects_default_or_else_the_organizations() {
    let instance = Instance::new();
    let limit = |per_minute| Limits { per_minute: Some(per_minute), ..Limits::UNLIMITED };
    let end = |key: &Key| key.expires_at.map(|end| (end - key.created_at).num_days());
    let told = |key: &Key| (end(key), key.security_tier, key.allowed_ips.iter().count(), key.limits.per_minute);
    of_organization(&instance, |update| {
        update.key_limits = Some(Some(limit(1)));
        update.defaults =
            Some(Some(defaults(json!({"expires_in_days": 20, "security_tier": "high", "allowed_ips": ["192.0.2.1"]}))));
    })
    .await;
    let made = instance.create(new_key()).await.key;
    assert_eq!(told(&made), (Some(20), SecurityTier::High, 1, Some(1)));
    assert_eq!(told(&instance.create(in_web(|_| {})).await.key), told(&made));
    of_project(&instance, |update| {
        update.key_limits = Some(Some(limit(2)));
        update.defaults = Some(Some(defaults(json!({"expires_in_days": 10, "allowed_ips": []}))));
    })
    .await;
    assert_eq!(told(&instance.create(in_web(|_| {})).await.key), (Some(10), SecurityTier::High, 0, Some(2)));
    assert_eq!(told(&instance.create(new_key()).await.key), told(&made));
    // What is said stands, though it be what there is without any defaults.
    let said = in_web(|new| {
        new.expiry = Expiry::Never;
        new.security_tier = Some(SecurityTier::Standard);
        new.allowed_ips = Some(networks("198.51.100.0/24"));
        new.limits = Some(Limits::UNLIMITED);
    });
    assert_eq!(told(&instance.create(said).await.key), (None, SecurityTier::Standard, 1, None));
    // An end that nobody said is within the longest life, whichever level says it.
    organization_policy(&instance, json!({"longest_life_days": 7})).await;
    assert_eq!(end(&instance.create(in_web(|_| {})).await.key), Some(7));
    of_organization(&instance, |update| (update.defaults, update.key_limits) = (Some(None), Some(None))).await;
    assert_eq!(told(&instance.create(new_key()).await.key), (Some(7), SecurityTier::Standard, 0, Some(1000)));
}

/// A key made before a policy may be changed in what the policy does not speak of, and never further out of it.
#[tokio::test]
async fn an_update_is_held_to_the_policy_in_what_it_changes() {
    let instance = Instance::new();
    let rules = json!({
        "longest_life_days": 30, "required_scopes": ["tenant"], "require_allowed_ips": true, "forbid_wildcards": true,
        "allowed_environments": ["prod"], "name_pattern": "web-.*",
    });
    let old = instance
        .create(in_web(|new| {
            new.scopes = Some(scopes(&["a:*", "c:*"]));
            new.grantable = scopes(&["**"]);
            new.expiry = Expiry::In(days(90));
        }))
        .await
        .key;
    organization_policy(&instance, rules).await;
    let update = async |change: &dyn Fn(&mut KeyUpdate)| {
        let mut update = KeyUpdate::new();
        change(&mut update);
        let bulk = BulkOperation::Update(Box::new(update.clone()));
        let page =
            instance.manager.bulk_of(&operator(), &org("acme"), &bulk, &BulkKeys::Named(vec![old.id]), true).await;
        let updated = instance.manager.update(&operator(), old.id, &update, None).await;
        // A dry run says the same.
        if let Ok(page) = page {
            let told = page.outcome.failed.first().map(|failed| failed.reason);
            assert_eq!(told, updated.as_ref().err().map(ManageError::reason));
        }
        updated
    };
    type Change<'a> = &'a dyn Fn(&mut KeyUpdate);
    let refused: [(Change<'_>, &str); 7] = [
        (&|update| update.expiry = Some(Expiry::In(days(91))), "longest_life_days"),
        (&|update| update.expiry = Some(Expiry::Never), "longest_life_days"),
        (&|update| update.scopes = Some(scopes(&["a:b"])), "required_scopes"),
        (&|update| update.scopes = Some(scopes(&["tenant", "b:*"])), "forbid_wildcards"),
        (&|update| update.permissions = Some(scopes(&["**"])), "forbid_wildcards"),
        (&|update| update.name = Some(KeyName::new("other").unwrap()), "name_pattern"),
        (
            &|update| {
                update.tags = Some(Vec::new());
                update.limits = Some(Limits::UNLIMITED);
                update.name = Some(KeyName::new("other").unwrap());
            },
            "name_pattern",
        ),
    ];
    for (change, rule) in refused {
        assert_eq!(violation(update(change).await), (rule, "organization"));
    }
    assert_eq!(instance.record(old.id).await.key, old);
    let allowed: [&dyn Fn(&mut KeyUpdate); 8] = [
        &|update| update.limits = Some(Limits::UNLIMITED),
        &|update| update.description = Some("described".parse().unwrap()),
        // What stays as it is is no change.
        &|update| update.name = Some(KeyName::new("Unnamed key").unwrap()),
        // To bring an end forward never leads out of it, even where it is still beyond.
        &|update| update.expiry = Some(Expiry::In(days(60))),
        // What it may do no more is never out of it, with wildcards that it had; nor with those that it may hand on.
        &|update| update.scopes = Some(scopes(&["tenant", "a:*"])),
        &|update| update.scopes = Some(scopes(&["tenant", "a:b"])),
        &|update| update.allowed_ips = Some(networks("192.0.2.0/24")),
        &|update| update.name = Some(KeyName::new("web-1").unwrap()),
    ];
    for change in allowed {
        update(change).await.unwrap();
    }
    let open: &dyn Fn(&mut KeyUpdate) = &|update| update.allowed_ips = Some(CidrSet::default());
    assert_eq!(violation(update(open).await).0, "require_allowed_ips");
    let everywhere: &dyn Fn(&mut KeyUpdate) = &|update| update.allowed_ips = Some(networks("::/0"));
    assert_eq!(violation(update(everywhere).await).0, "require_allowed_ips");
    let wild_again: &dyn Fn(&mut KeyUpdate) = &|update| update.scopes = Some(scopes(&["tenant", "a:*"]));
    assert_eq!(violation(update(wild_again).await).0, "forbid_wildcards");
    // A life is counted from its making, however often it is prolonged.
    instance.clock.advance(DAY * 20);
    let later: &dyn Fn(&mut KeyUpdate) = &|update| update.expiry = Some(Expiry::In(days(5)));
    update(later).await.unwrap();
    for (more, goes) in [(10, true), (11, false)] {
        let asked: &dyn Fn(&mut KeyUpdate) = &|update| update.expiry = Some(Expiry::In(days(more)));
        assert_eq!(update(asked).await.is_ok(), goes, "{more}");
    }
}

#[tokio::test]
async fn a_successor_has_what_its_predecessor_had_and_ends_within_the_longest_life() {
    let instance = Instance::new();
    let old = instance.create(in_web(|new| new.expiry = Expiry::Never)).await.key.id;
    let ended = instance.create(in_web(|new| new.expiry = Expiry::In(days(10)))).await.key.id;
    let rules = json!({"longest_life_days": 30, "forbid_wildcards": true, "name_pattern": "web"});
    of_project(&instance, |update| update.policy = Some(Some(policy(rules)))).await;
    organization_policy(&instance, json!({"longest_life_days": 40})).await;
    for (id, life) in [(old, 30), (ended, 10)] {
        let new = instance.manager.rotate(&operator(), id, None).await.unwrap().successor;
        assert_eq!(new.expires_at, Some(new.created_at + days(life)));
        assert_eq!(new.name.as_str(), "Unnamed key", "it goes on as it is");
    }
}

/// Its schedule goes on in the shorter life: nobody is left without a key.
#[tokio::test]
async fn a_shortened_life_has_room_for_the_overlap_of_its_schedule() {
    for (longest, overlap, rotates) in [(10, 7, true), (7, 3, true), (2, 1, true), (1, 0, false)] {
        let instance = Instance::new();
        let schedule = |overlap_days, auto_rotate| RotationSchedule {
            interval_days: 30,
            warning_days: 1,
            auto_rotate,
            notify_users: true,
            overlap_days,
        };
        let new = new_key_with(|new| {
            (new.expiry, new.hand_over, new.rotation_schedule) = (Expiry::Never, true, Some(schedule(7, true)));
        });
        let old = instance.create(new).await.key.id;
        organization_policy(&instance, json!({"longest_life_days": longest})).await;
        let rotation = instance.manager.rotate(&operator(), old, None).await.unwrap();
        let new = &rotation.successor;
        assert_eq!(new.rotation_schedule, Some(schedule(overlap, rotates)), "{longest}");
        assert!(schedule(overlap, rotates).check().is_ok());
        let end = new.expires_at.unwrap();
        assert_eq!(end, new.created_at + days(longest));
        let due = instance.manager.rotation(&operator(), new.id).await.unwrap().next_rotation.unwrap();
        assert_eq!(due, end - days(overlap));
        assert!(instance.validate(rotation.text.expose()).await.is_ok());
        instance.clock.advance(DAY * (longest - overlap));
        if rotates {
            let run = instance.manager.run_schedules(&the_operator()).await.unwrap();
            assert_eq!((run.rotated, run.waiting), (1, 0), "{longest}");
        }
    }
}

/// Before anything is written, and in a dry run too.
#[tokio::test]
async fn a_successor_that_would_end_before_it_begins_is_refused() {
    let instance = Instance::new();
    let begin = instance.create(new_key()).await.key.created_at + days(20);
    let waiting = new_key_with(|new| (new.expiry, new.not_before) = (Expiry::Never, Some(begin)));
    let old = instance.create(waiting).await.key;
    of_organization(&instance, |update| update.policy = Some(Some(policy(json!({"longest_life_days": 20}))))).await;
    for dry_run in [true, false] {
        let rotate = BulkOperation::Rotate { overlap: None };
        let keys = BulkKeys::Named(vec![old.id]);
        let page = instance.manager.bulk_of(&operator(), &org("acme"), &rotate, &keys, dry_run).await.unwrap();
        assert_eq!(page.outcome.failed[0].reason, "policy_violated", "{dry_run}");
    }
    let refused = instance.manager.rotate(&operator(), old.id, None).await;
    assert_eq!(violation(refused), ("longest_life_days", "organization"));
    assert_eq!(instance.record(old.id).await.key, old);
    instance.clock.advance(DAY);
    let new = instance.manager.rotate(&operator(), old.id, None).await.unwrap().successor;
    assert!(new.not_before < new.expires_at);
}

#[tokio::test]
async fn a_policy_that_is_set_while_a_text_is_made_holds_for_it() {
    let instance = Instance::under(ring(&[1]));
    let store = FaultyStore::new(instance.memory.clone());
    let manager = support::manager_over(Arc::new(store.clone()), ring(&[1]), &instance.clock);
    let slow = in_web(|new| new.security_tier = Some(SecurityTier::High));
    let making = tokio::spawn(async move { manager.create(&operator(), slow).await });
    store.wait_for_calls(|calls| calls.parents == 1).await;
    store.stall();
    of_project(&instance, |update| update.policy = Some(Some(policy(json!({"name_pattern": "web"}))))).await;
    store.heal();
    assert_eq!(violation(making.await.unwrap()), ("name_pattern", "project"));
}

#[tokio::test]
async fn lines_of_an_import_are_held_to_it_in_a_dry_run_too() {
    let pattern = ImportPattern::parse("legacy=sk_live_[A-Za-z0-9]{24}").unwrap();
    let instance = Instance::built(ring(&[1]), |builder| {
        builder.imports(ImportPolicy::default().pattern(pattern.clone()).unwrap())
    });
    of_organization(&instance, |update| update.defaults = Some(Some(defaults(json!({"expires_in_days": 20}))))).await;
    of_project(&instance, |update| update.policy = Some(Some(policy(json!({"longest_life_days": 10}))))).await;
    let line = |nth: usize, more: Value| {
        let mut line = json!({"raw": format!("sk_live_{nth:024}"), "user_id": "bob"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let body = [
        line(0, json!({})),
        line(1, json!({"project_id": "web"})),
        line(2, json!({"project_id": "web", "expires_at": null})),
        line(3, json!({"expires_at": null})),
    ]
    .join("\n");
    for dry_run in [true, false] {
        let outcomes = instance.manager.import(&the_operator(), &org("acme"), body.as_bytes(), dry_run).await.unwrap();
        let reasons: Vec<_> = outcomes.iter().map(|outcome| outcome.reason.as_deref()).collect();
        assert_eq!(reasons, [None, None, Some("policy_violated"), None], "{dry_run}");
        assert!(outcomes[2].detail.as_ref().unwrap().contains("longest_life_days of the project"));
        if !dry_run {
            let life = async |id: Option<KeyId>| {
                let key = instance.record(id.unwrap()).await.key;
                key.expires_at.map(|end| (end - key.created_at).num_days())
            };
            assert_eq!((life(outcomes[0].key_id).await, life(outcomes[1].key_id).await), (Some(20), Some(10)));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_a_rule_is_refused_by_its_name_and_the_operators_own_keys_have_none() {
    let instance = Instance::new();
    let mut update = OrganizationUpdate::default();
    let rules = KeyPolicy::default();
    for (rules, field) in [
        (
            {
                let mut rules = rules.clone();
                rules.longest_life_days = Some(0);
                rules
            },
            "policy longest_life_days",
        ),
        (
            {
                let mut rules = rules.clone();
                rules.allowed_environments = Some(vec![]);
                rules
            },
            "policy allowed_environments",
        ),
    ] {
        update.policy = Some(Some(rules.clone()));
        let refused = [
            instance.manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap_err(),
            instance.manager.create_organization(&the_operator(), &org("acme"), &update).await.unwrap_err(),
            {
                let mut update = ProjectUpdate::default();
                update.policy = Some(Some(rules));
                instance.manager.update_project(&operator(), &org("acme"), &web(), &update, None).await.unwrap_err()
            },
        ];
        for refused in refused {
            assert!(matches!(&refused, ManageError::Invalid(error) if error.field() == field), "{refused}");
        }
    }
    update.policy = Some(Some(policy(json!({"name_pattern": "x"}))));
    let system = OrganizationId::system();
    let refused = instance.manager.update_organization(&the_operator(), &system, &update, None).await;
    assert_eq!(refused.unwrap_err().reason(), "reserved");
    // A tenant's administrator has the policies of its projects, within its walls.
    let mut update = ProjectUpdate::default();
    update.policy = Some(Some(policy(json!({"name_pattern": "x"}))));
    let set = async |organization| {
        instance.manager.update_project(&tenant(organization, &[]), &org("acme"), &web(), &update, None).await
    };
    assert_eq!(word(&set("globex").await.unwrap_err()), "parent not found");
    assert_eq!(set("acme").await.unwrap().policy, update.policy.flatten());
}

/// Records that were written before are read, and what a newer version says beside is passed over.
#[tokio::test]
async fn records_of_before_and_of_newer_versions_are_read() {
    let before =
        json!({"organization_id": "acme", "revision": 3, "status": "active", "max_keys": null, "max_keys_per_user": 5});
    let read: OrganizationRecord = serde_json::from_value(before).unwrap();
    assert_eq!((read.policy, read.defaults, read.max_keys_per_user), (None, None, Some(5)));
    let before = json!({"organization_id": "acme", "project_id": "web", "revision": 3, "status": "active"});
    let read: ProjectRecord = serde_json::from_value(before).unwrap();
    assert_eq!((read.policy, read.defaults, read.key_limits), (None, None, None));
    let newer = json!({
        "organization_id": "acme", "project_id": "web", "revision": 3, "status": "active",
        "policy": {"longest_life_days": 3, "of_a_newer_version": [1], "name_pattern": "a"},
        "defaults": {"expires_in_days": 3, "of_a_newer_version": {}},
    });
    let read: ProjectRecord = serde_json::from_value(newer).unwrap();
    assert_eq!(read.policy.as_ref().unwrap().longest_life_days, Some(3));
    assert_eq!(read.defaults.as_ref().unwrap().expires_in_days, Some(3));
    assert_eq!(serde_json::from_value::<ProjectRecord>(serde_json::to_value(&read).unwrap()).unwrap(), read);
    assert!(serde_json::from_value::<KeyPolicy>(json!({"of_a_newer_version": 1})).is_err());
    // Through a store, too.
    let instance = Instance::new();
    of_organization(&instance, |update| update.policy = Some(read.policy.clone())).await;
    let kept = instance.memory.parents(&org("acme"), None).await.unwrap().organization.unwrap();
    assert_eq!(kept.policy, read.policy);
}

#[tokio::test]
async fn a_schedule_that_the_longest_life_does_not_leave_room_for_is_refused_at_creation() {
    let instance = Instance::new();
    organization_policy(&instance, json!({"longest_life_days": 7})).await;
    let schedule =
        RotationSchedule { interval_days: 30, warning_days: 1, auto_rotate: true, notify_users: true, overlap_days: 7 };
    let new = new_key_with(|new| new.rotation_schedule = Some(schedule));
    assert_eq!(word(&instance.manager.create(&operator(), new).await.unwrap_err()), "invalid");
}

// Any policies and any new key, against what is plainly meant.

fn scope_texts() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b:c", "b:*", "**"]), 0..3)
}

fn life() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(prop::sample::select(vec![1, 30, 90, 200]))
}

prop_compose! {
    fn any_policy()(
        life in life(), required in prop::collection::vec(prop::sample::select(vec!["a", "b:c"]), 0..2),
        ips in prop::bool::weighted(0.2), wildcards in prop::bool::weighted(0.3),
        environments in prop::option::weighted(0.3, prop::sample::subsequence(vec!["dev", "prod"], 1..=2)),
        pattern in prop::option::weighted(0.3, prop::sample::select(vec!["one|two", "t.*", "[a-z]{3}"])),
    ) -> KeyPolicy {
        let mut policy = KeyPolicy::default();
        policy.longest_life_days = life;
        policy.required_scopes = scopes(&required);
        policy.require_allowed_ips = ips;
        policy.forbid_wildcards = wildcards;
        policy.allowed_environments =
            environments.map(|all| all.into_iter().map(|one| Environment::new(one).unwrap()).collect());
        policy.name_pattern = pattern.map(|pattern| NamePattern::new(pattern).unwrap());
        policy
    }
}

prop_compose! {
    fn any_new()(
        grants in (scope_texts(), scope_texts(), scope_texts()), life in prop::option::of(life()),
        ips in any::<bool>(), environment in prop::sample::select(vec!["dev", "prod"]),
        name in prop::sample::select(vec!["one", "two", "three", "onetwo"]), project in any::<bool>(),
    ) -> (NewKey, Option<Option<u32>>) {
        let new = new_key_with(|new| {
            new.project = project.then(web);
            (new.scopes, new.permissions, new.grantable) = (Some(scopes(&grants.0)), scopes(&grants.1), scopes(&grants.2));
            new.expiry = match life {
                None => Expiry::Default,
                Some(None) => Expiry::Never,
                Some(Some(life)) => Expiry::In(days(life)),
            };
            new.allowed_ips = ips.then(|| networks("192.0.2.0/24"));
            new.environment = Some(Environment::new(environment).unwrap());
            new.name = Some(KeyName::new(name).unwrap());
        });
        (new, life)
    }
}

/// The rules that a key is not within, in words that have nothing of the code.
fn broken(policy: &KeyPolicy, new: &NewKey, life: Option<u32>) -> Vec<&'static str> {
    let mut broken = Vec::new();
    if policy.longest_life_days.is_some_and(|longest| life.is_none_or(|life| life > longest)) {
        broken.push("longest_life_days");
    }
    let held = new.scopes.as_ref().unwrap();
    let has = |scope: &str| {
        held.iter().any(|own| match own.as_str() {
            "**" => true,
            "b:*" => scope.starts_with("b:"),
            own => own == scope,
        })
    };
    if !policy.required_scopes.iter().all(|scope| has(scope.as_str())) {
        broken.push("required_scopes");
    }
    if policy.require_allowed_ips && new.allowed_ips.is_none() {
        broken.push("require_allowed_ips");
    }
    let texts = held.iter().chain(new.permissions.iter()).chain(new.grantable.iter());
    if policy.forbid_wildcards && texts.into_iter().any(|scope| scope.as_str().contains('*')) {
        broken.push("forbid_wildcards");
    }
    if policy.allowed_environments.as_ref().is_some_and(|named| !named.iter().any(|one| Some(*one) == new.environment))
    {
        broken.push("allowed_environments");
    }
    let name = new.name.as_ref().unwrap().as_str();
    let fits = match policy.name_pattern.as_ref().map(NamePattern::as_str) {
        None => true,
        Some("one|two") => matches!(name, "one" | "two"),
        Some("t.*") => name.starts_with('t'),
        Some(_) => name.len() == 3,
    };
    if !fits {
        broken.push("name_pattern");
    }
    broken
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..support::property() })]

    #[test]
    fn a_key_is_made_if_and_only_if_it_is_within_the_policies(
        of_all in (prop::option::of(any_policy()), prop::option::of(any_policy()), prop::option::of(any_policy())),
        asked in any_new(), lives in (life(), life(), life()), governed in any::<bool>(),
    ) {
        let (above, below, own) = of_all;
        let (new, life) = asked;
        block_on(async {
            let instance = Instance::new();
            let default = |life: Option<u32>| life.map(|days| defaults(json!({"expires_in_days": days})));
            of_organization(&instance, |update| {
                (update.policy, update.defaults) = (Some(above.clone()), Some(default(lives.0)));
            }).await;
            of_project(&instance, |update| {
                (update.policy, update.defaults) = (Some(below.clone()), Some(default(lives.1)));
            }).await;
            if governed {
                of_user(&instance, own.clone(), default(lives.2)).await;
            }
            let below = below.filter(|_| new.project.is_some());
            let own = own.filter(|_| governed);
            let longest = [&above, &below, &own].into_iter().flatten().filter_map(|policy| policy.longest_life_days).min();
            let of_project = lives.1.filter(|_| new.project.is_some());
            let said = lives.2.filter(|_| governed).or(of_project).or(lives.0).unwrap_or(90);
            let life = life.unwrap_or_else(|| Some(said.min(longest.unwrap_or(u32::MAX))));
            let levels = [("organization", &above), ("project", &below), ("user", &own)];
            let expected = levels.into_iter().find_map(|(level, policy)| {
                Some((*broken(policy.as_ref()?, &new, life).first()?, level))
            });
            match instance.manager.create(&operator(), new).await {
                Ok(created) => {
                    prop_assert_eq!(expected, None);
                    let end: Option<DateTime<Utc>> = life.map(|life| created.key.created_at + days(life));
                    prop_assert_eq!(created.key.expires_at, end);
                }
                refused => prop_assert_eq!(Some(violation(refused)), expected),
            }
            Ok(())
        })?;
    }
}
