//! Who manages keys with a key: the operator with one of the organization `system`, within the key's own bounds, and a
//! tenant's administrator with any other. And that organization is nobody else's.

use std::collections::BTreeSet;

use keygate_core::actor::{Actor, ManagementPermission};
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_core::manager::{
    ApiKeyManager, BulkOperation, CreatedKey, Expiry, KeyFilter, KeyUpdate, ManageError, NewKey, OrganizationUpdate,
};
use keygate_core::names::{Description, OrganizationId, ProjectId};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{Key, ParentStatus, Revision, SecurityTier};
use keygate_core::scope::{Scope, ScopeSet};
use keygate_core::verifier::Scheme;
use keygate_testkit::sample;
use proptest::prelude::*;

use crate::support::{
    self, Instance, block_on, new_key, new_key_with, operator, org, scope, scopes, tenant, the_operator, user, word,
};

fn system() -> OrganizationId {
    OrganizationId::system()
}

/// A key of the operator that may do and hand on this, and be used on nothing.
fn limited(permissions: &[&str], grantable: &[&str]) -> NewKey {
    let mut new = NewKey::new(system(), user("deputy"));
    (new.permissions, new.grantable, new.scopes) = (scopes(permissions), scopes(grantable), Some(scopes(&[])));
    new
}

#[test]
fn a_key_of_system_is_the_operators_and_any_other_is_a_tenants() {
    let mut key = sample::full_record(&system(), &sample::user("root")).key;
    let actor = Actor::with_key(&key);
    assert!(actor.operator().is_some() && actor.organization().is_none());
    assert!(actor.reaches(&org("acme")) && actor.reaches(&system()));
    assert_eq!((actor.grantable(), actor.principal().as_str()), (Some(&key.grantable), &*key.id.to_string()));

    for name in ["acme", "System", "SYSTEM", "system.", "system-", ".system", "systems", "sys"] {
        key.organization = org(name);
        let actor = Actor::with_key(&key);
        assert!(actor.operator().is_none(), "{name}");
        assert_eq!(actor.organization(), Some(&org(name)));
        assert!(actor.reaches(&org(name)) && !actor.reaches(&system()) && !actor.reaches(&org("other")));
        assert_eq!((actor.grantable(), actor.principal().as_str()), (Some(&key.grantable), &*key.id.to_string()));
    }
}

#[test]
fn what_a_key_hands_on_is_bounded_by_its_grantable_and_not_by_what_it_holds() {
    for organization in [system(), org("acme")] {
        let mut key = sample::record(&organization, &sample::user("root")).key;
        (key.permissions, key.scopes) = (scopes(&["**"]), scopes(&["**"]));
        assert_eq!(Actor::with_key(&key).grantable(), Some(&ScopeSet::empty()));
    }
    // One that is made in the program, and not out of a key, hands on anything.
    assert_eq!(operator().grantable(), None);
}

/// A key of this kind made by the operator, and whoever manages keys with it.
async fn deputy(instance: &Instance, new: NewKey) -> (CreatedKey, Actor) {
    let created = instance.create(new).await;
    let admission = instance.manager.validate(created.text.expose(), &RequestContext::new()).await.unwrap();
    let actor = Actor::with_key(admission.key());
    (created, actor)
}

#[tokio::test]
async fn a_limited_operators_key_makes_none_that_is_stronger() {
    let instance = Instance::new();
    let (_, deputy) = deputy(&instance, limited(&["keys:read"], &[])).await;
    let full = NewKey::new(system(), user("deputy"));
    let mut usable = limited(&[], &[]);
    usable.scopes = None;
    let holds = |scopes: &ScopeSet| !scopes.is_empty();
    for new in [
        full.clone(),
        limited(&["**"], &[]),
        limited(&[], &["**"]),
        // Not even what it holds itself.
        limited(&["keys:read"], &[]),
        limited(&[], &["keys:read"]),
        // The scope that a key has by default is granted like any other.
        usable,
        new_key(),
        new_key_with(|new| (new.scopes, new.permissions) = (Some(scopes(&[])), scopes(&["a"]))),
    ] {
        let refusal = instance.manager.create(&deputy, new.clone()).await.unwrap_err();
        assert_eq!(word(&refusal), "not grantable", "{new:?}");
    }
    for new in [limited(&[], &[]), new_key_with(|new| new.scopes = Some(scopes(&[])))] {
        let made = instance.manager.create(&deputy, new).await.unwrap().key;
        assert!(!holds(&made.permissions) && !holds(&made.scopes) && !holds(&made.grantable));
    }
    let outcomes = instance.manager.create_many(&deputy, vec![limited(&[], &[]), full]).await;
    assert!(outcomes[0].is_ok());
    assert_eq!(word(outcomes[1].as_ref().unwrap_err()), "not grantable");
    let Actor::Operator(as_operator) = &deputy else { panic!("the operator") };
    assert!(instance.manager.ensure_operator_key(as_operator).await.unwrap().is_none());
}

#[tokio::test]
async fn a_limited_operators_key_widens_neither_itself_nor_another() {
    let instance = Instance::new();
    let (own, deputy) = deputy(&instance, limited(&["keys:read", "keys:write"], &[])).await;
    let strong = instance.create(NewKey::new(system(), user("boss"))).await;
    let tenants = instance.create(new_key()).await;
    let set: [fn(&mut KeyUpdate); 6] = [
        |update| update.permissions = Some(scopes(&["**"])),
        |update| update.permissions = Some(scopes(&["keys:read"])),
        |update| update.scopes = Some(scopes(&["default"])),
        |update| update.expiry = Some(Expiry::In(chrono::TimeDelta::days(1))),
        |update| update.limits = Some(Limits { per_minute: Some(7), ..Limits::UNLIMITED }),
        |update| update.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap()),
    ];
    for key in [&own.key, &strong.key, &tenants.key] {
        instance.manager.deactivate(&deputy, key.id, None).await.unwrap();
        let before = instance.record(key.id).await;
        for set in set {
            let mut update = KeyUpdate::new();
            set(&mut update);
            let refusal = instance.manager.update(&deputy, key.id, &update, None).await.unwrap_err();
            assert_eq!(word(&refusal), "not grantable", "{update:?}");
        }
        assert_eq!(word(&instance.manager.activate(&deputy, key.id, None).await.unwrap_err()), "not grantable");
        assert_eq!(instance.record(key.id).await, before);
        // What makes it no stronger it may do.
        let mut update = KeyUpdate::new();
        update.description = Some(Description::new("kept for the record").unwrap());
        update.permissions = Some(scopes(&[]));
        instance.manager.update(&deputy, key.id, &update, None).await.unwrap();
    }
}

/// What is made by a chain of keys, each made with the one before.
async fn heirs(instance: &Instance, first: NewKey, asked: &[(bool, Vec<&str>)]) -> Vec<Key> {
    let (first, mut actor) = deputy(instance, first).await;
    let mut keys = vec![first.key];
    for (operators, grants) in asked {
        let mut new = limited(grants, grants);
        new.organization = if *operators { system() } else { org("acme") };
        if let Ok(made) = instance.manager.create(&actor, new).await {
            actor = Actor::with_key(&made.key);
            keys.push(made.key);
        }
    }
    keys
}

const GRANTS: [&str; 8] = ["**", "*", "keys:*", "keys:read", "keys:write", "keys:**", "*:read", "usage:read"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..support::property() })]

    /// However long the chain, no key holds or hands on what its maker could not hand on; and none that a tenant made
    /// is an operator's.
    #[test]
    fn no_heir_is_stronger_than_who_made_it(
        first in prop::sample::subsequence(GRANTS.to_vec(), 0..4),
        asked in prop::collection::vec((any::<bool>(), prop::sample::subsequence(GRANTS.to_vec(), 0..3)), 0..6),
    ) {
        let instance = Instance::new();
        let keys = block_on(heirs(&instance, limited(&["**"], &first), &asked));
        for pair in keys.windows(2) {
            let (maker, made) = (&pair[0], &pair[1]);
            for set in [&made.permissions, &made.scopes, &made.grantable] {
                prop_assert_eq!(maker.grantable.first_uncovered(set), None, "{:?} made {:?}", maker, made);
            }
            prop_assert!(maker.organization.is_system() || made.organization == maker.organization);
        }
    }

    /// The operator's keys hand on exactly what their grantable covers, to whatever organization.
    #[test]
    fn an_operators_key_hands_on_what_its_grantable_covers(
        grantable in prop::sample::subsequence(GRANTS.to_vec(), 0..4),
        asked in prop::sample::subsequence(GRANTS.to_vec(), 0..4),
        operators in any::<bool>(),
    ) {
        let instance = Instance::new();
        let made = block_on(heirs(&instance, limited(&["**"], &grantable), &[(operators, asked.clone())])).len() > 1;
        let covered = |asked: &&str| grantable.iter().any(|held| scope(held).covers(&scope(asked)));
        prop_assert_eq!(made, asked.iter().all(covered));
    }
}

// The organization `system`.

#[tokio::test]
async fn system_is_neither_set_up_nor_suspended_nor_given_a_quota() {
    let instance = Instance::new();
    let root = instance.create(NewKey::new(system(), user("root"))).await;
    let mut suspended = OrganizationUpdate::default();
    suspended.status = Some(ParentStatus::Suspended);
    let mut full = OrganizationUpdate::default();
    full.max_keys = Some(Some(0));
    instance.store.reset_calls();
    for update in [OrganizationUpdate::default(), suspended, full] {
        for refusal in [
            instance.manager.create_organization(&the_operator(), &system(), &update).await,
            instance.manager.update_organization(&the_operator(), &system(), &update, None).await,
            instance.manager.update_organization(&the_operator(), &system(), &update, Some(Revision::UNWRITTEN)).await,
        ] {
            assert_eq!(refusal.unwrap_err().reason(), "reserved");
        }
    }
    assert_eq!(instance.store.calls().total(), 0, "the store is not asked");
    let shown = instance.manager.organization(&operator(), &system()).await.unwrap();
    assert_eq!((shown.revision, shown.status), (Revision::UNWRITTEN, ParentStatus::Active));
    assert!(instance.validate(root.text.expose()).await.is_ok());
    instance.create(NewKey::new(system(), user("root"))).await;
}

/// Every call that a tenant might reach `system` by, and how it ends.
async fn reaching(manager: &ApiKeyManager, actor: &Actor, root: &Key) -> Vec<(&'static str, Result<(), ManageError>)> {
    let (system, project) = (system(), ProjectId::new("web").unwrap());
    let mut update = KeyUpdate::new();
    update.description = Some(Description::new("changed by a tenant").unwrap());
    let bulk = BulkOperation::Revoke { reason: None };
    vec![
        ("get", manager.get(actor, root.id).await.map(drop)),
        ("update", manager.update(actor, root.id, &update, None).await.map(drop)),
        ("deactivate", manager.deactivate(actor, root.id, None).await.map(drop)),
        ("activate", manager.activate(actor, root.id, None).await.map(drop)),
        ("revoke", manager.revoke(actor, root.id, None).await.map(drop)),
        ("revoke_confirmed", manager.revoke_confirmed(actor, root.id, None).await.map(drop)),
        ("delete", manager.delete(actor, root.id, None).await),
        ("create", manager.create(actor, limited(&[], &[])).await.map(drop)),
        ("list", manager.list(actor, &system, &KeyFilter::default(), 10, None).await.map(drop)),
        ("organization", manager.organization(actor, &system).await.map(drop)),
        ("project", manager.set_project_status(actor, &system, &project, ParentStatus::Suspended).await.map(drop)),
        ("bulk", manager.bulk(actor, &system, &bulk, &[root.id]).await.map(drop)),
    ]
}

#[tokio::test]
async fn no_tenant_reaches_system_whatever_it_may_grant() {
    let instance = Instance::new();
    let root = instance.create(NewKey::new(system(), user("root"))).await;
    let before = instance.record(root.key.id).await;
    let strongest = instance.create(new_key_with(|new| new.grantable = scopes(&["**"]))).await.key;
    for actor in [Actor::with_key(&strongest), tenant("acme", &["**"]), tenant("System", &["**"])] {
        for (call, outcome) in reaching(&instance.manager, &actor, &root.key).await {
            assert_eq!(outcome.unwrap_err().reason(), "not_found", "{call}");
        }
        let own = org(actor.organization().unwrap().as_str());
        let bulk = BulkOperation::Revoke { reason: None };
        let outcome = instance.manager.bulk(&actor, &own, &bulk, &[root.key.id]).await.unwrap();
        assert_eq!((outcome.successful.len(), outcome.failed[0].reason), (0, "not_found"));
        let denial = instance.manager.verify(&actor, root.text.expose(), &RequestContext::new()).await.unwrap_err();
        assert_eq!(denial.reason(), DenialReason::InvalidKey);
    }
    assert_eq!(instance.record(root.key.id).await, before);
    for (call, outcome) in reaching(&instance.manager, &operator(), &root.key).await {
        // The operator does all of it, until the key is revoked; but for stopping operators' keys by way of a project.
        match call.contains("project") {
            true => assert_eq!(outcome.unwrap_err().reason(), "reserved", "{call}"),
            false => assert!(outcome.is_ok(), "{call}: {outcome:?}"),
        }
    }
}

// What a key may be permitted to do in the management of keys.

#[test]
fn each_management_permission_has_its_word_and_is_covered_like_any_other() {
    let words: Vec<_> = ManagementPermission::ALL.iter().map(|permission| permission.as_str()).collect();
    assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    for permission in ManagementPermission::ALL {
        let text = permission.as_str();
        assert_eq!((permission.to_string().as_str(), permission.scope()), (text, Scope::new(text).unwrap()));
        assert!(permission.scope().is_concrete());
        assert_eq!(format!("{permission:>24}").trim_start(), text);
        assert_eq!(scopes(&["keys:*"]).covers(&permission.scope()), text.starts_with("keys:"), "{text}");
        assert!(scopes(&["**"]).covers(&permission.scope()) && scopes(&["*:*"]).covers(&permission.scope()));
        assert!(!scopes(&["*", "keys", "organizations", "default"]).covers(&permission.scope()));
        assert_eq!(permission.is_operators(), matches!(text, "organizations:write" | "keys:import"), "{text}");
    }
}

#[tokio::test]
async fn a_key_that_may_verify_others_has_no_limits_by_default_and_others_have_their_tiers() {
    let instance = Instance::new();
    let limits = async |permissions: &[&str], tier, own: Option<Limits>| {
        let new = new_key_with(|new| {
            (new.permissions, new.security_tier, new.limits) = (scopes(permissions), Some(tier), own);
            new.scheme = Some(Scheme::HmacSha256);
        });
        instance.create(new).await.key.limits
    };
    let few = Limits { per_minute: Some(7), ..Limits::UNLIMITED };
    for tier in [SecurityTier::Standard, SecurityTier::High] {
        for verifies in ["keys:verify", "keys:*", "keys:**", "*:verify", "*:*", "**"] {
            assert_eq!(limits(&["usage:read", verifies], tier, None).await, Limits::UNLIMITED, "{verifies}");
            assert_eq!(limits(&[verifies], tier, Some(few)).await, few, "{verifies}");
        }
        for others in [&[][..], &["keys:read", "keys:write"], &["keys", "verify", "*"], &["keys:verify:all"]] {
            assert_eq!(limits(others, tier, None).await, tier.limits(), "{others:?}");
            assert_eq!(limits(others, tier, Some(few)).await, few, "{others:?}");
        }
    }
}
