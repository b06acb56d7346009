//! What is said of a user stands in the place of what its organization says of each, and a project has a quota of its own.

use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::actor::Actor;
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::import::{ImportPattern, ImportPolicy};
use keygate_core::limits::{Fallback, Limits, MAX_LIMIT};
use keygate_core::manager::{
    ApiKeyManager, BulkKeys, BulkOperation, Expiry, IdempotencyKey, KeyUpdate, ManageError, NewKey, OrganizationUpdate,
    ProjectUpdate, UserUpdate,
};
use keygate_core::names::ProjectId;
use keygate_core::record::{ProjectRecord, Revision, UserRecord, UserStatus};
use keygate_core::store::{CreateRefusal, Store};
use serde_json::json;

use crate::support::{Instance, new_key_with, operator, org, ring, tenant, the_operator, unlimited_key_with, user};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn web() -> ProjectId {
    ProjectId::new("web").unwrap()
}

fn daily(limit: u64) -> Limits {
    Limits { per_day: Some(limit), ..Limits::UNLIMITED }
}

async fn of_organization(manager: &ApiKeyManager, change: impl FnOnce(&mut OrganizationUpdate)) {
    let mut update = OrganizationUpdate::default();
    change(&mut update);
    manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap();
}

async fn of_project(manager: &ApiKeyManager, most: Option<u64>) -> ProjectRecord {
    let mut update = ProjectUpdate::default();
    update.max_keys = Some(most);
    manager.update_project(&operator(), &org("acme"), &web(), &update, None).await.unwrap()
}

async fn of_ada(manager: &ApiKeyManager, update: UserUpdate) -> UserRecord {
    manager.update_user(&operator(), &org("acme"), &user("ada"), &update, None).await.unwrap().user
}

fn limited(limits: Option<Limits>) -> UserUpdate {
    UserUpdate { limits: Some(limits), ..UserUpdate::default() }
}

fn having(most: Option<u64>) -> UserUpdate {
    UserUpdate { max_keys: Some(most), ..UserUpdate::default() }
}

fn of(name: &'static str, project: Option<ProjectId>) -> NewKey {
    unlimited_key_with(|new| (new.user, new.project) = (user(name), project))
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, ManageError>) -> CreateRefusal {
    match outcome {
        Err(ManageError::Refused(refusal)) => refusal,
        other => panic!("no quota refused it: {other:?}"),
    }
}

/// How many requests of at most so many are let in, and which limit the next one meets.
async fn let_in(manager: &ApiKeyManager, key: &str, most: usize) -> (usize, String) {
    let context = RequestContext::new();
    for number in 0..most {
        if let Err(denial) = manager.validate(key, &context).await {
            assert_eq!(denial.reason(), DenialReason::RateLimitExceeded);
            return (number, denial.exceeded().unwrap().violated[0].policy.to_string());
        }
    }
    (most, String::new())
}

#[tokio::test]
async fn a_users_own_limits_stand_in_the_place_of_its_organizations_on_every_instance() {
    let here = Instance::new();
    let there = here.beside(ring(&[1]));
    of_organization(&here.manager, |update| update.user_limits = Some(Some(daily(10)))).await;
    let [ada, again, bob] = [of("ada", None), of("ada", Some(web())), of("bob", None)];
    let [ada, again, bob] = [here.create(ada).await, here.create(again).await, here.create(bob).await];
    let ask = async |instance: &Instance, key: &keygate_core::manager::CreatedKey, most| {
        let said = let_in(&instance.manager, key.text.expose(), most).await;
        // What is held and not used goes back.
        for _ in 0..4 {
            here.manager.tend().await;
            there.manager.tend().await;
            here.clock.advance(Duration::from_secs(1));
        }
        said
    };
    assert_eq!(ask(&here, &ada, 4).await.0, 4);
    assert_eq!(ask(&there, &again, 100).await.0, 6, "of all its keys together");
    assert_eq!(ask(&there, &ada, 1).await, (0, "user-day".into()));
    // Known on both sides, so that what comes is told of and not read: what was used counts.
    let record = of_ada(&here.manager, limited(Some(daily(15)))).await;
    assert_eq!((record.limits, record.revision), (Some(daily(15)), Revision::FIRST));
    assert_eq!(here.manager.user(&operator(), &org("acme"), &user("ada")).await.unwrap(), record);
    assert_eq!(ask(&there, &ada, 100).await, (5, "user-day".into()));
    let left = |left: Vec<keygate_core::limiter::policy::Standing>| {
        left.iter().map(|left| (left.policy.to_string(), left.policy.limit, left.remaining)).collect::<Vec<_>>()
    };
    let shown = here.manager.limits_left(&operator(), ada.key.id).await.unwrap();
    assert_eq!(left(shown), [("user-day".to_owned(), 15, 0)]);
    // Others are held to what the organization says of each.
    assert_eq!(ask(&here, &bob, 100).await, (10, "user-day".into()));
    // None at all, of a user who is excepted.
    of_ada(&there.manager, limited(Some(Limits::UNLIMITED))).await;
    for instance in [&here, &there] {
        assert_eq!(ask(instance, &again, 50).await.0, 50);
        assert!(instance.validate(ada.text.expose()).await.unwrap().limits().is_empty());
    }
    assert_eq!(here.manager.limits_left(&operator(), ada.key.id).await.unwrap(), []);
    // What is taken back is the organization's again.
    of_ada(&here.manager, limited(None)).await;
    for instance in [&here, &there] {
        assert_eq!(ask(instance, &ada, 1).await, (0, "user-day".into()));
    }
    of_organization(&here.manager, |update| update.user_limits = Some(None)).await;
    assert_eq!(ask(&there, &ada, 50).await.0, 50);
}

/// A user has limits of its own where its organization says nothing of users too.
#[tokio::test]
async fn a_user_may_be_limited_alone() {
    let instance = Instance::new();
    let (ada, bob) = (instance.create(of("ada", None)).await, instance.create(of("bob", None)).await);
    assert_eq!(let_in(&instance.manager, ada.text.expose(), 20).await.0, 20);
    of_ada(&instance.manager, limited(Some(daily(3)))).await;
    assert_eq!(let_in(&instance.manager, ada.text.expose(), 20).await, (3, "user-day".into()));
    assert_eq!(let_in(&instance.manager, bob.text.expose(), 20).await.0, 20);
    // A hit asks nobody for the user, or for anything else.
    let calls = instance.store.calls();
    assert_eq!(let_in(&instance.manager, bob.text.expose(), 20).await.0, 20);
    assert_eq!(instance.store.calls().load_user, calls.load_user);
}

/// Whoever has no users configured reads none for the limits, the quotas and the rules of users.
#[tokio::test]
async fn nobody_else_asks_for_users() {
    let instance = Instance::new();
    of_organization(&instance.manager, |update| update.user_limits = Some(Some(daily(100)))).await;
    of_project(&instance.manager, Some(5)).await;
    let made = instance.create(of("ada", Some(web()))).await;
    assert!(instance.validate(made.text.expose()).await.is_ok());
    let mut update = KeyUpdate::new();
    update.name = Some("named".parse().unwrap());
    instance.manager.update(&operator(), made.key.id, &update, None).await.unwrap();
    instance.manager.limits_left(&operator(), made.key.id).await.unwrap();
    instance.manager.rotate(&operator(), made.key.id, None).await.unwrap();
    let calls = instance.store.calls();
    assert_eq!((calls.users, calls.load_user), (0, 0));
}

#[tokio::test]
async fn a_users_own_quota_goes_before_its_organizations() {
    let instance = Instance::new();
    of_organization(&instance.manager, |update| update.max_keys_per_user = Some(Some(1))).await;
    of_ada(&instance.manager, having(Some(3))).await;
    let many = ["ada", "ada", "bob", "ada", "ada", "bob"].map(|name| of(name, None)).into();
    let outcomes = instance.manager.create_many(&operator(), many).await;
    let made: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(made, [true, true, true, true, false, false]);
    let create = async |name| instance.manager.create(&operator(), of(name, None)).await;
    assert_eq!(refusal(create("ada").await), CreateRefusal::UserQuota { limit: 3 });
    assert_eq!(refusal(create("bob").await), CreateRefusal::UserQuota { limit: 1 });
    // Keys beyond a quota that is lowered stay, and null goes back to what is said of each.
    of_ada(&instance.manager, having(Some(0))).await;
    assert_eq!(refusal(create("ada").await), CreateRefusal::UserQuota { limit: 0 });
    of_ada(&instance.manager, having(None)).await;
    assert_eq!(refusal(create("ada").await), CreateRefusal::UserQuota { limit: 1 });
    assert!(instance.validate(outcomes[0].as_ref().unwrap().text.expose()).await.is_ok());
    let refused = create("ada").await.unwrap_err();
    assert_eq!((refused.reason(), refused.to_string().contains("the user")), ("quota_reached", true));
}

#[tokio::test]
async fn a_project_has_as_many_keys_as_its_quota_says() {
    let instance = Instance::new();
    let manager = &instance.manager;
    let in_web = |name| of(name, Some(web()));
    assert_eq!(of_project(manager, Some(2)).await.max_keys, Some(2));
    let first = instance.create(in_web("ada")).await;
    let outcomes = manager.create_many(&operator(), vec![in_web("bob"), in_web("eve"), of("eve", None)]).await;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let full = manager.create(&operator(), in_web("eve")).await;
    assert!(full.as_ref().unwrap_err().to_string().contains("the project already has 2 keys"), "{full:?}");
    assert_eq!(refusal(full), CreateRefusal::ProjectQuota { limit: 2 });
    // Who asks under an idempotency key claims nothing for it.
    let once = IdempotencyKey::new("once").unwrap();
    let refused = manager.create_once(&operator(), in_web("eve"), &once).await;
    assert_eq!(refusal(refused), CreateRefusal::ProjectQuota { limit: 2 });
    // A rotation needs no room, and gives none.
    let rotation = manager.rotate(&operator(), first.key.id, Some(TimeDelta::days(1))).await.unwrap();
    assert_eq!(rotation.successor.project, Some(web()));
    assert_eq!(refusal(manager.create(&operator(), in_web("eve")).await), CreateRefusal::ProjectQuota { limit: 2 });
    manager.revoke(&operator(), rotation.new_key_id, None).await.unwrap();
    assert!(manager.create_once(&operator(), in_web("eve"), &once).await.is_ok());
    of_project(manager, None).await;
    instance.create(in_web("eve")).await;
}

/// Also where it is given a later end in a dry run of many.
#[tokio::test]
async fn an_expired_key_is_not_given_a_later_end_past_the_quota_of_its_project_or_its_user() {
    for (limit_project, limit_user) in [(Some(1), None), (None, Some(1))] {
        let instance = Instance::new();
        let manager = &instance.manager;
        let ended =
            instance.create(new_key_with(|new| (new.project, new.expiry) = (Some(web()), Expiry::Default))).await;
        instance.clock.advance(100 * DAY);
        instance.create(of("ada", Some(web()))).await;
        of_project(manager, limit_project).await;
        of_ada(manager, having(limit_user)).await;
        let mut update = KeyUpdate::new();
        update.expiry = Some(Expiry::Never);
        let expected = match limit_project {
            Some(limit) => CreateRefusal::ProjectQuota { limit },
            None => CreateRefusal::UserQuota { limit: 1 },
        };
        assert_eq!(refusal(manager.update(&operator(), ended.key.id, &update, None).await), expected);
        let (bulk, keys) = (BulkOperation::Update(Box::new(update.clone())), BulkKeys::Named(vec![ended.key.id]));
        let page = manager.bulk_of(&operator(), &org("acme"), &bulk, &keys, true).await.unwrap();
        assert_eq!(page.outcome.failed[0].reason, "quota_reached");
        of_project(manager, limit_project.map(|limit| limit + 1)).await;
        of_ada(manager, having(limit_user.map(|limit| limit + 1))).await;
        manager.update(&operator(), ended.key.id, &update, None).await.unwrap();
    }
}

#[tokio::test]
async fn imports_are_held_to_the_quotas_of_users_and_projects_in_a_dry_run_too() {
    let pattern = ImportPattern::parse("legacy=sk_live_[A-Za-z0-9]{24}").unwrap();
    let instance = Instance::built(ring(&[1]), |builder| {
        builder.imports(ImportPolicy::default().pattern(pattern.clone()).unwrap())
    });
    of_project(&instance.manager, Some(2)).await;
    of_ada(&instance.manager, having(Some(1))).await;
    let gone = UserUpdate { status: Some(UserStatus::Offboarded), ..UserUpdate::default() };
    instance.manager.update_user(&operator(), &org("acme"), &user("eve"), &gone, None).await.unwrap();
    let line = |(nth, (user, project)): (usize, &(&str, Option<&str>))| {
        let mut line = json!({"raw": format!("sk_live_{nth:024}"), "user_id": user});
        if let Some(project) = project {
            line["project_id"] = json!(project);
        }
        line.to_string()
    };
    let lines = [
        ("ada", Some("web")),
        ("ada", None),
        ("bob", Some("web")),
        ("bob", Some("web")),
        ("bob", Some("api")),
        ("bob", None),
        ("eve", None),
    ];
    let body = lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n");
    for dry_run in [true, false] {
        instance.store.reset_calls();
        let outcomes = instance.manager.import(&the_operator(), &org("acme"), body.as_bytes(), dry_run).await.unwrap();
        let reasons: Vec<_> = outcomes.iter().map(|outcome| outcome.reason.as_deref()).collect();
        let (over, left) = (Some("quota_reached"), Some("user_offboarded"));
        assert_eq!(reasons, [None, over, None, over, None, None, left], "{dry_run}");
        assert!(outcomes[1].detail.as_ref().unwrap().contains("the user"));
        assert!(outcomes[3].detail.as_ref().unwrap().contains("the project"));
        // And once more those of the keys that were made, who may have left meanwhile.
        let asked = if dry_run { 1 } else { 2 };
        assert_eq!(instance.store.calls().users, asked, "all users of the lines are read together");
    }
    assert_eq!(instance.memory.project_use(&org("acme"), &web()).await.unwrap(), 2);
}

#[tokio::test]
async fn the_users_of_many_keys_are_read_together() {
    let instance = Instance::new();
    of_ada(&instance.manager, having(Some(5))).await;
    instance.store.reset_calls();
    let many: Vec<NewKey> =
        (0..1_500).map(|nth| unlimited_key_with(|new| new.user = user(&format!("user-{nth}")))).collect();
    let outcomes = instance.manager.create_many(&operator(), many).await;
    assert!(outcomes.iter().all(Result::is_ok));
    // A thousand at once, before their texts are made and once more, with what is stored at a time.
    let calls = instance.store.calls();
    assert!(calls.users <= 6, "{calls:?}");
}

#[tokio::test]
async fn what_cannot_be_said_of_a_user_or_a_project_is_refused_by_its_name() {
    let instance = Instance::new();
    let field = |outcome: Result<(), ManageError>| match outcome {
        Err(ManageError::Invalid(error)) => error.field().to_owned(),
        other => panic!("{other:?}"),
    };
    let rules = serde_json::from_value(json!({"longest_life_days": 0})).unwrap();
    let expiry = serde_json::from_value(json!({"expires_in_days": 0})).unwrap();
    for (update, named) in [
        (having(Some(MAX_LIMIT + 1)), "max_keys"),
        (limited(Some(daily(0))), "limit per_day"),
        (UserUpdate { policy: Some(Some(rules)), ..UserUpdate::default() }, "policy longest_life_days"),
        (UserUpdate { defaults: Some(Some(expiry)), ..UserUpdate::default() }, "defaults expires_in_days"),
    ] {
        let refused = instance.manager.update_user(&operator(), &org("acme"), &user("ada"), &update, None).await;
        assert_eq!(field(refused.map(drop)), named);
    }
    let mut update = ProjectUpdate::default();
    update.max_keys = Some(Some(MAX_LIMIT + 1));
    let refused = instance.manager.update_project(&operator(), &org("acme"), &web(), &update, None).await;
    assert_eq!(field(refused.map(drop)), "max_keys");
    assert_eq!(instance.memory.users(&org("acme"), &[user("ada")]).await.unwrap(), [None]);
}

/// What an organization gives each user is the operator's to say: its own administrators give no user more, and may give less.
#[tokio::test]
async fn an_organizations_own_administrators_give_no_user_more_than_it_gives_each() {
    let instance = Instance::new();
    of_organization(&instance.manager, |update| {
        update.max_keys_per_user = Some(Some(5));
        update.user_limits = Some(Some(daily(100)));
    })
    .await;
    let set = async |actor: &Actor, update: UserUpdate| {
        let set = instance.manager.update_user(actor, &org("acme"), &user("ada"), &update, None).await;
        set.map(drop).map_err(|error| match error {
            ManageError::Invalid(error) => error.field().to_owned(),
            other => panic!("{other:?}"),
        })
    };
    let (own, everything) = (tenant("acme", &["**"]), operator());
    let hourly = Limits { per_hour: Some(1), ..Limits::UNLIMITED };
    let open = Limits { fallback: Fallback::Open, ..daily(50) };
    for (update, field) in [
        (having(Some(6)), "max_keys"),
        (limited(Some(daily(101))), "limits"),
        (limited(Some(Limits::UNLIMITED)), "limits"),
        (limited(Some(hourly)), "limits"),
        (limited(Some(open)), "limits"),
    ] {
        assert_eq!(set(&own, update.clone()).await, Err(field.to_owned()), "{update:?}");
        assert_eq!(set(&everything, update).await, Ok(()));
    }
    for update in [having(Some(5)), limited(Some(daily(100))), limited(Some(daily(1))), limited(None), having(None)] {
        assert_eq!(set(&own, update.clone()).await, Ok(()), "{update:?}");
    }
}

/// Records that were written before are read, and what a newer version says beside is passed over.
#[tokio::test]
async fn records_of_before_and_of_newer_versions_are_read() {
    let before =
        json!({"organization_id": "acme", "user_id": "ada", "revision": 3, "status": "active", "roles": ["a"]});
    let read: UserRecord = serde_json::from_value(before).unwrap();
    assert_eq!((read.max_keys, read.limits, &read.policy, &read.defaults), (None, None, &None, &None));
    let before = json!({"organization_id": "acme", "project_id": "web", "revision": 3, "status": "active"});
    assert_eq!(serde_json::from_value::<ProjectRecord>(before).unwrap().max_keys, None);
    let newer = json!({
        "organization_id": "acme", "user_id": "ada", "revision": 3, "status": "active", "roles": null, "max_keys": 4,
        "limits": {"per_day": 3, "of_a_newer_version": 1}, "policy": {"longest_life_days": 3, "of_a_newer_version": []},
        "defaults": {"expires_in_days": 3, "of_a_newer_version": {}},
    });
    let read: UserRecord = serde_json::from_value(newer).unwrap();
    assert_eq!((read.max_keys, read.limits), (Some(4), Some(daily(3))));
    assert_eq!(read.policy.as_ref().unwrap().longest_life_days, Some(3));
    assert_eq!(serde_json::from_value::<UserRecord>(serde_json::to_value(&read).unwrap()).unwrap(), read);
}
