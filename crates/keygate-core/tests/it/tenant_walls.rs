//! Promises 7 and 8: no call crosses organizations, and nobody hands out what they may not.

use keygate_core::actor::Actor;
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, CreatedKey, Expiry, KeyFilter, KeyUpdate, ManageError};
use keygate_core::names::{Description, ProjectId, Reason};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::ParentStatus;
use keygate_core::scope::Scope;
use keygate_testkit::sample;
use proptest::prelude::*;

use crate::support::{
    self, Instance, block_on, new_key, new_key_with, operator, org, scope, scopes, tenant, user, word,
};

/// Every call that takes a key's id, by its name, and how it ends.
async fn calls(manager: &ApiKeyManager, actor: &Actor, id: KeyId) -> Vec<(&'static str, Result<(), ManageError>)> {
    let mut update = KeyUpdate::new();
    update.description = Some(Description::new("changed by a stranger").unwrap());
    update.scopes = Some(scopes(&["mine"]));
    let reason = Some(Reason::new("a stranger says so").unwrap());
    vec![
        ("get", manager.get(actor, id).await.map(drop)),
        ("sensitive", manager.sensitive(actor, id, None).await.map(drop)),
        ("update", manager.update(actor, id, &update, None).await.map(drop)),
        ("deactivate", manager.deactivate(actor, id, reason.clone()).await.map(drop)),
        ("activate", manager.activate(actor, id, None).await.map(drop)),
        ("revoke", manager.revoke(actor, id, reason).await.map(drop)),
        ("delete", manager.delete(actor, id, None).await),
    ]
}

#[tokio::test]
async fn another_tenants_key_is_indistinguishable_from_one_that_does_not_exist() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let before = instance.record(created.key.id).await;
    let stranger = tenant("globex", &["mine", "**"]);
    let absent = KeyId::fresh(sample::past(), None).unwrap();

    let foreign = calls(&instance.manager, &stranger, created.key.id).await;
    let unknown = calls(&instance.manager, &stranger, absent).await;
    for ((call, foreign), (_, unknown)) in foreign.into_iter().zip(unknown) {
        let (foreign, unknown) = (foreign.unwrap_err(), unknown.unwrap_err());
        assert!(matches!(foreign, ManageError::NotFound), "{call}: {foreign:?}");
        assert_eq!(format!("{foreign} {foreign:?}"), format!("{unknown} {unknown:?}"), "{call}");
    }
    assert_eq!(instance.record(created.key.id).await, before);
    assert!(instance.validate(created.text.expose()).await.is_ok());
}

#[tokio::test]
async fn the_same_store_calls_are_made_for_a_foreign_key_and_an_absent_one() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let stranger = tenant("globex", &["**"]);
    let counted = async |id| {
        instance.store.reset_calls();
        calls(&instance.manager, &stranger, id).await;
        instance.store.calls()
    };
    assert_eq!(counted(created.key.id).await, counted(KeyId::fresh(sample::past(), None).unwrap()).await);
}

#[tokio::test]
async fn a_tenant_reaches_all_of_its_own_keys() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    for (call, outcome) in calls(&instance.manager, &tenant("acme", &["mine"]), created.key.id).await {
        assert!(outcome.is_ok(), "{call}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_tenant_neither_lists_nor_creates_nor_configures_elsewhere() {
    let instance = Instance::new();
    instance.create(new_key()).await;
    let stranger = tenant("globex", &["**"]);
    let manager = &instance.manager;
    instance.store.reset_calls();
    let project = ProjectId::new("web").unwrap();
    for refusal in [
        manager.list(&stranger, &org("acme"), &KeyFilter::default(), 10, None).await.map(drop),
        manager.create(&stranger, new_key()).await.map(drop),
        manager.organization(&stranger, &org("acme")).await.map(drop),
        manager.set_project_status(&stranger, &org("acme"), &project, ParentStatus::Suspended).await.map(drop),
    ] {
        assert_eq!(word(&refusal.unwrap_err()), "parent not found");
    }
    assert_eq!(instance.store.calls().total(), 0, "nothing is asked of the store that might answer");
    let own = manager.list(&stranger, &org("globex"), &KeyFilter::default(), 10, None).await.unwrap();
    assert!(own.keys.is_empty());
}

#[tokio::test]
async fn a_user_of_the_same_name_in_another_organization_is_another() {
    let instance = Instance::new();
    let ours = instance.create(new_key()).await;
    let theirs = instance.create(new_key_with(|new| new.organization = org("globex"))).await;
    let mut filter = KeyFilter::default();
    filter.user = Some(user("ada"));
    let listed = instance.manager.list(&tenant("acme", &[]), &org("acme"), &filter, 10, None).await.unwrap();
    assert_eq!(listed.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [ours.key.id]);
    assert_ne!(ours.key.id, theirs.key.id);
}

// Grants.

#[tokio::test]
async fn who_made_a_key_and_whose_it_is_come_from_the_actor() {
    let instance = Instance::new();
    let created = instance.manager.create(&tenant("acme", &["default"]), new_key()).await.unwrap();
    assert_eq!(created.key.created_by.as_str(), "admin-of-acme");
    assert_eq!(created.key.organization, org("acme"));
}

async fn create_as(
    instance: &Instance,
    actor: &Actor,
    field: usize,
    asked: &[&str],
) -> Result<CreatedKey, ManageError> {
    let new = new_key_with(|new| {
        new.scopes = Some(scopes(&[]));
        match field {
            0 => new.scopes = Some(scopes(asked)),
            1 => new.permissions = scopes(asked),
            _ => new.grantable = scopes(asked),
        }
    });
    instance.manager.create(actor, new).await
}

#[tokio::test]
async fn what_is_not_grantable_is_refused_in_every_field_and_call() {
    let instance = Instance::new();
    let admin = tenant("acme", &["files:*", "keys:read"]);
    for field in 0..3 {
        for asked in ["files:a:b", "files:**", "*", "**", "keys:*", "keys:write", "files", "default"] {
            let refusal = create_as(&instance, &admin, field, &["files:a", asked]).await.unwrap_err();
            assert!(
                matches!(&refusal, ManageError::NotGrantable { scope: s } if *s == scope(asked)),
                "{asked}: {refusal:?}"
            );
        }
        assert!(create_as(&instance, &admin, field, &["files:a", "files:*", "keys:read"]).await.is_ok());
        assert!(create_as(&instance, &operator(), field, &["**"]).await.is_ok());
    }
    // The default scope is granted like any other.
    assert_eq!(word(&instance.manager.create(&admin, new_key()).await.unwrap_err()), "not grantable");

    let created = create_as(&instance, &admin, 0, &["files:a"]).await.unwrap();
    let before = instance.record(created.key.id).await;
    for field in 0..2 {
        let mut update = KeyUpdate::new();
        match field {
            0 => update.scopes = Some(scopes(&["keys:write"])),
            _ => update.permissions = Some(scopes(&["keys:write"])),
        }
        let refusal = instance.manager.update(&admin, created.key.id, &update, None).await.unwrap_err();
        assert_eq!(word(&refusal), "not grantable");
    }
    assert_eq!(instance.record(created.key.id).await, before);
}

/// What an administrator may not hand out it may not strengthen either: no more life, room or reach, no revival.
#[tokio::test]
async fn a_key_stronger_than_the_actor_may_grant_is_not_given_more() {
    let instance = Instance::new();
    let admin = tenant("acme", &["files:*"]);
    let strong = create_as(&instance, &operator(), 0, &["**"]).await.unwrap().key;
    instance.manager.deactivate(&admin, strong.id, None).await.unwrap();
    let before = instance.record(strong.id).await;
    let set: [fn(&mut KeyUpdate); 3] = [
        |update| update.expiry = Some(Expiry::Never),
        |update| update.limits = Some(Limits::UNLIMITED),
        |update| update.allowed_ips = Some(CidrSet::new([Cidr::new("0.0.0.0/0").unwrap()]).unwrap()),
    ];
    for set in set {
        let mut update = KeyUpdate::new();
        set(&mut update);
        let refusal = instance.manager.update(&admin, strong.id, &update, None).await.unwrap_err();
        assert_eq!(word(&refusal), "not grantable");
    }
    assert_eq!(word(&instance.manager.activate(&admin, strong.id, None).await.unwrap_err()), "not grantable");
    assert_eq!(instance.record(strong.id).await, before);

    // To weaken it is always allowed.
    instance.manager.revoke(&admin, strong.id, None).await.unwrap();
}

#[tokio::test]
async fn holding_is_not_granting() {
    let instance = Instance::new();
    let refusal = create_as(&instance, &tenant("acme", &[]), 0, &["files:a"]).await.unwrap_err();
    assert_eq!(word(&refusal), "not grantable");
    assert!(create_as(&instance, &tenant("acme", &[]), 0, &[]).await.is_ok(), "nothing may always be granted");
}

#[tokio::test]
async fn one_refused_grant_stops_none_of_the_others() {
    let instance = Instance::new();
    let admin = tenant("acme", &["files:*"]);
    let asked =
        ["files:a", "keys:write", "files:b"].map(|asked| new_key_with(|new| new.scopes = Some(scopes(&[asked]))));
    let outcomes = instance.manager.create_many(&admin, asked.to_vec()).await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert_eq!(word(outcomes[1].as_ref().unwrap_err()), "not grantable");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..support::property() })]

    /// What a tenant's admin can make is exactly what it may grant.
    #[test]
    fn no_grant_goes_beyond_what_is_grantable(
        grantable in prop::collection::vec("[ab*](:[ab*]){0,2}(:\\*\\*)?", 0..4),
        asked in prop::collection::vec("[ab*](:[ab*]){0,2}(:\\*\\*)?", 0..4),
        field in 0usize..3,
    ) {
        let instance = Instance::new();
        let (grantable, asked): (Vec<&str>, Vec<&str>) =
            (grantable.iter().map(String::as_str).collect(), asked.iter().map(String::as_str).collect());
        let outcome = block_on(create_as(&instance, &tenant("acme", &grantable), field, &asked));
        let covered = |asked: &&str| grantable.iter().any(|held| scope(held).covers(&Scope::new(asked).unwrap()));
        prop_assert_eq!(outcome.is_ok(), asked.iter().all(covered), "{:?}", outcome.err());
    }
}
