//! What the owner of a key may do caps what the key may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::manager::{ApiKeyManager, Attempt, CreatedKey, KeyFilter, ManageError, NewRole, UserUpdate};
use keygate_core::names::{Description, RoleName};
use keygate_core::record::{KeyStatus, Revision, UserStatus};
use keygate_core::scope::Scope;
use keygate_core::store::Store;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::hooked_store::HookedStore;
use crate::support::yielding_store::YieldingStore;
use crate::support::{
    self, Instance, block_on, manager_over, new_key, operator, org, ring, scope, scopes, tenant, unlimited_key_with,
    user, word,
};

fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

fn covering(permissions: &[&str]) -> NewRole {
    NewRole { permissions: scopes(permissions), description: Description::default() }
}

fn having(roles: &[&str]) -> UserUpdate {
    UserUpdate { roles: Some(Some(roles.iter().map(|name| role(name)).collect())), ..UserUpdate::default() }
}

fn uncapped() -> UserUpdate {
    UserUpdate { roles: Some(None), ..UserUpdate::default() }
}

fn to(status: UserStatus) -> UserUpdate {
    UserUpdate { status: Some(status), ..UserUpdate::default() }
}

async fn put(manager: &ApiKeyManager, name: &str, permissions: &[&str]) {
    manager.put_role(&operator(), &org("acme"), &role(name), &covering(permissions), None).await.unwrap();
}

async fn update(manager: &ApiKeyManager, update: &UserUpdate) -> keygate_core::manager::ChangedUser {
    manager.update_user(&operator(), &org("acme"), &user("ada"), update, None).await.unwrap()
}

/// A key of ada's that may read and write reports, as far as it was given that.
async fn key(instance: &Instance) -> CreatedKey {
    instance.create(unlimited_key_with(|new| new.permissions = scopes(&["reports:*", "users:read"]))).await
}

fn asking(permission: &str) -> RequestContext {
    RequestContext::new().needing_permission(scope(permission))
}

/// Why a key is refused what needs this permission: asked of a handler too, once it is let in.
async fn may(manager: &ApiKeyManager, text: &str, permission: &str) -> Result<(), DenialReason> {
    let at_the_door = manager.validate(text, &asking(permission)).await.map(drop).map_err(|denial| denial.reason());
    if let Ok(admission) = manager.validate(text, &RequestContext::new()).await {
        let inside = admission.require_permission(&scope(permission)).map_err(|denial| denial.reason());
        assert_eq!(inside, at_the_door, "{permission}");
    }
    at_the_door
}

const DENIED: Result<(), DenialReason> = Err(DenialReason::PermissionDenied);

#[tokio::test]
async fn a_key_may_do_what_it_was_given_and_its_owner_covers() {
    let here = Instance::new();
    let there = here.beside(ring(&[1]));
    let key = key(&here).await;
    let text = key.text.expose();
    // Known to both, so that what comes is told of and not read.
    let both = async |expected: [Result<(), DenialReason>; 3]| {
        for instance in [&here, &there] {
            for (permission, expected) in ["reports:read", "reports:write", "users:write"].iter().zip(expected) {
                assert_eq!(may(&instance.manager, text, permission).await, expected, "{permission}");
            }
        }
    };
    both([Ok(()), Ok(()), DENIED]).await;
    put(&here.manager, "reader", &["reports:read"]).await;
    both([Ok(()), Ok(()), DENIED]).await;
    update(&there.manager, &having(&["reader"])).await;
    both([Ok(()), DENIED, DENIED]).await;
    let admission = here.validate(text).await.unwrap();
    assert_eq!(admission.effective_permissions(), [scope("reports:read")]);
    assert_eq!(admission.owner_permissions(), Some(vec![scope("reports:read")]));
    // What it was not given no role gives.
    put(&here.manager, "all", &["**"]).await;
    update(&here.manager, &having(&["reader", "all"])).await;
    both([Ok(()), Ok(()), DENIED]).await;
    put(&there.manager, "all", &["users:*", "reports:write"]).await;
    update(&here.manager, &having(&["all"])).await;
    both([DENIED, Ok(()), DENIED]).await;
    here.manager.delete_role(&operator(), &org("acme"), &role("all"), None).await.unwrap();
    both([DENIED, DENIED, DENIED]).await;
    update(&there.manager, &having(&[])).await;
    both([DENIED, DENIED, DENIED]).await;
    update(&there.manager, &uncapped()).await;
    both([Ok(()), Ok(()), DENIED]).await;
    assert_eq!(here.record(key.key.id).await.key.permissions, key.key.permissions, "nothing of the key is rewritten");
}

/// Roles are of permissions: what a key may be used on is its own.
#[tokio::test]
async fn scopes_are_not_capped() {
    let instance = Instance::new();
    let key = instance.create(unlimited_key_with(|new| new.scopes = Some(scopes(&["reports:read"])))).await;
    update(&instance.manager, &having(&[])).await;
    let context = RequestContext::new().needing_scope(scope("reports:read"));
    assert!(instance.manager.validate(key.text.expose(), &context).await.is_ok());
}

#[tokio::test]
async fn an_owner_is_read_once_for_all_its_keys_and_a_hit_asks_nobody() {
    let instance = Instance::new();
    let keys = [key(&instance).await, key(&instance).await];
    update(&instance.manager, &having(&[])).await;
    for key in &keys {
        assert_eq!(may(&instance.manager, key.text.expose(), "reports:read").await, DENIED);
    }
    assert_eq!(instance.store.calls().load_user, 1);
    instance.store.reset_calls();
    for key in &keys {
        let decided = instance.manager.attempt(key.text.expose().as_bytes(), &asking("reports:read"));
        assert!(matches!(decided, Attempt::Decided(Err(denial)) if denial.reason() == DenialReason::PermissionDenied));
    }
    assert_eq!(instance.store.calls().total(), 0);
}

/// Whoever has no users configured pays nothing for them.
#[tokio::test]
async fn no_owner_is_looked_for_where_none_was_ever_configured() {
    let instance = Instance::new();
    let key = key(&instance).await;
    assert_eq!(may(&instance.manager, key.text.expose(), "reports:read").await, Ok(()));
    put_elsewhere(&instance).await;
    assert_eq!(may(&instance.manager, key.text.expose(), "reports:read").await, Ok(()));
    assert_eq!(instance.store.calls().load_user, 0);
}

async fn put_elsewhere(instance: &Instance) {
    let changed = instance.manager.update_user(&operator(), &org("globex"), &user("ada"), &having(&[]), None).await;
    changed.unwrap();
}

#[tokio::test]
async fn a_suspended_users_keys_are_refused_until_it_is_active_again() {
    let here = Instance::new();
    let there = here.beside(ring(&[1]));
    let key = key(&here).await;
    let other = here.create({
        let mut new = new_key();
        new.user = user("bob");
        new
    });
    let other = other.await;
    for instance in [&here, &there] {
        assert!(instance.validate(key.text.expose()).await.is_ok());
    }
    let changed = update(&here.manager, &to(UserStatus::Suspended)).await;
    assert_eq!((changed.revoked, changed.complete, changed.user.revision), (0, true, Revision(1)));
    for instance in [&here, &there] {
        assert_eq!(instance.refusal(key.text.expose()).await, DenialReason::UserSuspended);
        assert!(instance.validate(other.text.expose()).await.is_ok());
    }
    // One is made that waits with the others.
    let made = self::key(&here).await;
    assert_eq!(there.refusal(made.text.expose()).await, DenialReason::UserSuspended);
    update(&there.manager, &to(UserStatus::Active)).await;
    for instance in [&here, &there] {
        for key in [&key, &made] {
            assert!(instance.validate(key.text.expose()).await.is_ok());
        }
    }
}

#[tokio::test]
async fn an_offboarded_users_keys_are_revoked_and_none_is_made_for_it() {
    let instance = Instance::new();
    let (first, second) = (key(&instance).await, key(&instance).await);
    let gone = instance.manager.revoke(&operator(), second.key.id, None).await.unwrap().revoked_at;
    instance.manager.deactivate(&operator(), key(&instance).await.key.id, None).await.unwrap();
    let changed = update(&instance.manager, &to(UserStatus::Offboarded)).await;
    assert_eq!((changed.revoked, changed.complete, changed.user.status), (2, true, UserStatus::Offboarded));
    assert_eq!(instance.record(second.key.id).await.key.status.at, gone);
    let record = instance.record(first.key.id).await.key;
    assert_eq!(record.status.status, KeyStatus::Revoked);
    assert_eq!(record.status.reason.unwrap().as_str(), "its user was offboarded");
    assert_eq!(update(&instance.manager, &to(UserStatus::Offboarded)).await.revoked, 0);

    let refused = instance.manager.create(&operator(), new_key()).await.unwrap_err();
    assert_eq!(refused.reason(), "user_offboarded");
    assert!(refused.to_string().contains("ada"), "{refused}");
    // Of many, those of others are made.
    let mut of_bob = new_key();
    of_bob.user = user("bob");
    let many = instance.manager.create_many(&operator(), vec![new_key(), of_bob, new_key()]).await;
    assert!(matches!(
        many.as_slice(),
        [Err(ManageError::Offboarded { .. }), Ok(_), Err(ManageError::Offboarded { .. })]
    ));
    let bob = many[1].as_ref().unwrap();
    assert!(instance.validate(bob.text.expose()).await.is_ok());

    // Whoever comes back gets new keys; those that were revoked stay so.
    update(&instance.manager, &to(UserStatus::Active)).await;
    assert_eq!(instance.refusal(first.text.expose()).await, DenialReason::KeyRevoked);
    let made = instance.create(new_key()).await;
    assert!(instance.validate(made.text.expose()).await.is_ok());
}

/// What is left to be revoked when the store fails is refused all the same, and revoked by asking again.
#[tokio::test]
async fn offboarding_that_is_cut_off_leaves_no_key_that_can_be_used() {
    let instance = Instance::new();
    let key = key(&instance).await;
    assert!(instance.validate(key.text.expose()).await.is_ok());
    update(&instance.manager, &having(&[])).await;
    // As the crash of whoever offboards leaves it: the user is written, its keys are not.
    let mut record = instance.memory.users(&org("acme"), &[user("ada")]).await.unwrap().remove(0).unwrap();
    record.status = UserStatus::Offboarded;
    let expected = record.revision;
    record.revision = expected.next();
    instance.memory.put_user(&record, Some(expected)).await.unwrap();
    assert_eq!(instance.refusal(key.text.expose()).await, DenialReason::UserSuspended);
    let refused = instance.manager.rotate(&operator(), key.key.id, None).await.unwrap_err();
    assert_eq!(refused.reason(), "user_offboarded", "or its successor would outlive it");
    assert_eq!(update(&instance.manager, &to(UserStatus::Offboarded)).await.revoked, 1);
    assert_eq!(instance.record(key.key.id).await.key.status.status, KeyStatus::Revoked);
}

/// Whoever offboards a user looks for its keys once: one that is made at that moment is revoked by whoever makes it.
#[tokio::test]
async fn a_key_that_is_made_while_its_user_is_offboarded_is_revoked() {
    for (call, rotates) in [("create_within", false), ("succeed", true)] {
        let instance = Instance::new();
        let first = key(&instance).await;
        update(&instance.manager, &uncapped()).await;
        update(&instance.manager, &having(&[])).await;
        let (other, is_gone) = (instance.manager.clone(), Arc::new(AtomicBool::new(false)));
        let store = HookedStore::new(instance.memory.clone(), move |made: String| {
            let leaves = made.starts_with(call) && !is_gone.swap(true, Ordering::SeqCst);
            let other = other.clone();
            async move {
                if leaves {
                    assert!(update(&other, &to(UserStatus::Offboarded)).await.complete);
                }
                Ok(())
            }
        });
        let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
        let refused = if rotates {
            // One that is revoked under way is not rotated; its user may leave just before its record is compared.
            manager.rotate(&operator(), first.key.id, None).await.map(drop).unwrap_err()
        } else {
            manager.create(&operator(), new_key()).await.map(drop).unwrap_err()
        };
        assert!(["user_offboarded", "key_revoked"].contains(&refused.reason()), "{refused:?}");
        let mut filter = KeyFilter::default();
        filter.user = Some(user("ada"));
        let page = instance.manager.list(&operator(), &org("acme"), &filter, 100, None).await.unwrap();
        assert_eq!(page.keys.len(), if rotates { 1 } else { 2 });
        for key in page.keys {
            assert_eq!(key.status.status, KeyStatus::Revoked, "{call}: {}", key.id);
        }
    }
}

#[tokio::test]
async fn roles_hand_out_no_more_than_the_actor_may_grant() {
    let instance = Instance::new();
    let manager = &instance.manager;
    let (acme, ada) = (org("acme"), user("ada"));
    let admin = tenant("acme", &["reports:*"]);
    let put = async |name: &str, permissions: &[&str]| {
        manager.put_role(&admin, &acme, &role(name), &covering(permissions), None).await.map(drop)
    };
    let set = async |update: &UserUpdate| manager.update_user(&admin, &acme, &ada, update, None).await.map(drop);
    put("reader", &["reports:read"]).await.unwrap();
    for wide in [&["**"][..], &["reports:read", "users:read"], &["reports:**"]] {
        assert_eq!(word(&put("wide", wide).await.unwrap_err()), "not grantable", "{wide:?}");
    }
    // What is covered already may stay, and be taken away.
    self::put(manager, "wide", &["**", "reports:read"]).await;
    put("wide", &["users:read", "reports:write"]).await.unwrap();
    self::put(manager, "wide", &["users:*"]).await;

    // To cap is anybody's to do; to lift the cap is not.
    set(&having(&["reader"])).await.unwrap();
    assert_eq!(word(&set(&having(&["reader", "wide"])).await.unwrap_err()), "not grantable");
    assert_eq!(word(&set(&uncapped()).await.unwrap_err()), "not grantable");
    update(manager, &having(&["reader", "wide"])).await;
    set(&having(&["wide"])).await.unwrap();
    set(&having(&["wide", "reader"])).await.unwrap();
    let unknown = set(&having(&["nobody"])).await.unwrap_err();
    assert_eq!(unknown.to_string(), "roles must be roles of the organization, which nobody is not");
    assert_eq!(manager.user(&admin, &acme, &ada).await.unwrap().roles, Some(vec![role("wide"), role("reader")]));
}

/// To resume a user is to activate its keys, which is theirs to do who may hand out what these can do.
#[tokio::test]
async fn a_user_is_resumed_by_those_who_may_grant_what_its_keys_can_do() {
    let instance = Instance::new();
    let manager = &instance.manager;
    instance.create(unlimited_key_with(|new| new.permissions = scopes(&["reports:*"]))).await;
    let set = async |grantable: &[&str], status| {
        let by = tenant("acme", grantable);
        manager.update_user(&by, &org("acme"), &user("ada"), &to(status), None).await.map_err(|error| word(&error))
    };
    set(&[], UserStatus::Suspended).await.unwrap();
    assert_eq!(set(&["reports:read", "default"], UserStatus::Active).await, Err("not grantable"));
    set(&["reports:*", "default"], UserStatus::Active).await.unwrap();
}

/// A key that the offboarding missed, or that was made at the same moment, does not come back with its user.
#[tokio::test]
async fn whoever_comes_back_gets_no_key_back() {
    let instance = Instance::new();
    let (first, missed) = (key(&instance).await, key(&instance).await);
    update(&instance.manager, &to(UserStatus::Offboarded)).await;
    assert_eq!(instance.record(first.key.id).await.key.status.status, KeyStatus::Revoked);
    let mut late = instance.record(missed.key.id).await;
    late.key.id = keygate_core::key::KeyId::fresh(late.key.created_at, None).unwrap();
    late.key.status.status = KeyStatus::Active;
    let id = late.key.id;
    instance.memory.create(&org("acme"), support::ROOMY, vec![late]).await.unwrap();
    instance.store.fail();
    let resume = to(UserStatus::Active);
    let refused = instance.manager.update_user(&operator(), &org("acme"), &user("ada"), &resume, None).await;
    assert_eq!(word(&refused.unwrap_err()), "store");
    instance.store.heal();
    update(&instance.manager, &resume).await;
    assert_eq!(instance.record(id).await.key.status.status, KeyStatus::Revoked);
}

#[tokio::test]
async fn users_and_roles_of_others_are_not_there() {
    let instance = Instance::new();
    let manager = &instance.manager;
    put(manager, "reader", &["reports:read"]).await;
    update(manager, &having(&["reader"])).await;
    let stranger = tenant("globex", &["**"]);
    let (acme, ada, reader) = (org("acme"), user("ada"), role("reader"));
    instance.store.reset_calls();
    for refusal in [
        manager.roles(&stranger, &acme).await.map(drop),
        manager.role(&stranger, &acme, &reader).await.map(drop),
        manager.put_role(&stranger, &acme, &reader, &covering(&[]), None).await.map(drop),
        manager.delete_role(&stranger, &acme, &reader, None).await,
        manager.user(&stranger, &acme, &ada).await.map(drop),
        manager.update_user(&stranger, &acme, &ada, &uncapped(), None).await.map(drop),
    ] {
        assert_eq!(word(&refusal.unwrap_err()), "parent not found");
    }
    assert_eq!(instance.store.calls().total(), 0, "nothing is asked of the store that might answer");
    assert!(matches!(manager.role(&stranger, &org("globex"), &reader).await, Err(ManageError::NoSuchRole)));
    for refusal in [
        manager.put_role(&operator(), &org("system"), &reader, &covering(&[]), None).await.map(drop),
        manager.update_user(&operator(), &org("system"), &ada, &having(&[]), None).await.map(drop),
    ] {
        assert!(matches!(refusal, Err(ManageError::Reserved)));
    }
}

#[tokio::test]
async fn a_change_of_what_was_not_seen_is_refused() {
    let instance = Instance::new();
    let manager = &instance.manager;
    let (acme, ada) = (org("acme"), user("ada"));
    let put = async |name: &str, expected: u64| {
        let (by, new) = (operator(), covering(&["a"]));
        let put = manager.put_role(&by, &acme, &role(name), &new, Some(Revision(expected))).await;
        put.map(|role| role.role.revision.0).map_err(|error| word(&error))
    };
    assert_eq!(put("reader", 1).await, Err("conflict"));
    assert_eq!(put("reader", 0).await, Ok(1));
    assert_eq!(put("writer", 0).await, Ok(2));
    assert_eq!(put("reader", 2).await, Err("conflict"), "a role has a revision of its own");
    assert_eq!(put("reader", 1).await, Ok(1), "and none where nothing is changed");
    let delete = async |name: &str, expected| {
        let deleted = manager.delete_role(&operator(), &acme, &role(name), Some(Revision(expected))).await;
        deleted.map_err(|error| word(&error))
    };
    assert_eq!(delete("reader", 9).await, Err("conflict"));
    assert_eq!(delete("reader", 1).await, Ok(()));
    assert_eq!(put("reader", 0).await, Ok(4), "one of the same name is another");
    let update = async |expected| {
        let asked = having(&["writer"]);
        let updated = manager.update_user(&operator(), &acme, &ada, &asked, Some(Revision(expected))).await;
        updated.map(|changed| changed.user.revision.0).map_err(|error| word(&error))
    };
    assert_eq!(update(1).await, Err("conflict"));
    assert_eq!(update(0).await, Ok(1));
    assert_eq!(update(0).await, Err("conflict"));
    assert_eq!(update(1).await, Ok(1));
}

#[tokio::test]
async fn there_are_bounds() {
    let instance = Instance::new();
    let manager = &instance.manager;
    let many: Vec<String> = (0..64).map(|nth| format!("reports:{nth}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for nth in 0..15 {
        self::put(manager, &format!("role-{nth}"), &many).await;
    }
    let refused = manager.put_role(&operator(), &org("acme"), &role("more"), &covering(&many), None).await.unwrap_err();
    assert!(refused.to_string().starts_with("permissions must be at most 1000"), "{refused}");
    let mut refused = None;
    for nth in 0..100 {
        let (by, name, long) = (operator(), role(&format!("role-{nth}")), format!("{nth}{}", "x".repeat(250)));
        let new = NewRole { description: Description::new("d".repeat(500)).unwrap(), ..covering(&[&long]) };
        refused = manager.put_role(&by, &org("globex"), &name, &new, None).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused.unwrap().to_string(), "roles must be at most 65536 bytes of text in an organization");
    for nth in 15..100 {
        self::put(manager, &format!("role-{nth}"), &[]).await;
    }
    let refused = manager.put_role(&operator(), &org("acme"), &role("more"), &covering(&[]), None).await.unwrap_err();
    assert!(refused.to_string().starts_with("roles must be at most 100"), "{refused}");
    let names: Vec<String> = (0..33).map(|nth| format!("role-{nth}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let refused =
        manager.update_user(&operator(), &org("acme"), &user("ada"), &having(&names), None).await.unwrap_err();
    assert_eq!(refused.to_string(), "roles must be at most 32");
}

/// Of many changes at once none is lost.
#[tokio::test]
async fn roles_that_are_put_at_once_are_all_there() {
    let instance = Instance::new();
    let yielding = manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock);
    let (names, managers) = (["a", "b", "c", "d"], [&yielding, &yielding.clone(), &yielding, &yielding]);
    let put = |(name, manager): (&'static str, &ApiKeyManager)| {
        let manager = manager.clone();
        async move {
            self::put(&manager, name, &["x"]).await;
            update(&manager, &having(&[name])).await;
        }
    };
    futures_util::future::join_all(names.into_iter().zip(managers).map(put)).await;
    let held: Vec<_> = yielding.roles(&operator(), &org("acme")).await.unwrap();
    assert_eq!(held.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(yielding.user(&operator(), &org("acme"), &user("ada")).await.unwrap().revision, Revision(4));
}

// A model: what may be done is what was given, what is covered, and never more.

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Vec<&'static str>),
    Delete(usize),
    Set(Option<Vec<usize>>),
    Status(UserStatus),
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const PATTERNS: [&str; 6] = ["x:read", "x:write", "x:*", "y:read", "**", "*"];
const ASKED: [&str; 5] = ["x:read", "x:write", "y:read", "y:write", "z"];

fn patterns() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(&PATTERNS[..]), 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..NAMES.len(), patterns()).prop_map(|(name, patterns)| Step::Put(name, patterns)),
        1 => (0..NAMES.len()).prop_map(Step::Delete),
        3 => prop::option::weighted(0.8, prop::collection::vec(0..NAMES.len(), 0..3)).prop_map(Step::Set),
        1 => select(vec![UserStatus::Active, UserStatus::Suspended]).prop_map(Step::Status),
    ]
}

/// The roles, those of ada, and its status, as the model has them.
#[derive(Debug, Default)]
struct Model {
    roles: [Option<Vec<&'static str>>; 3],
    held: Option<Vec<usize>>,
    status: UserStatus,
}

impl Model {
    fn covers(&self, permission: &str) -> bool {
        let covers = |pattern: &&str| scope(pattern).covers(&scope(permission));
        let of_role = |name: &usize| self.roles[*name].iter().flatten().any(&covers);
        self.held.as_ref().is_none_or(|held| held.iter().any(of_role))
    }

    fn may_grant(grantable: &[&str], asked: &[&'static str], covered: impl Fn(&Scope) -> bool) -> bool {
        let grantable = scopes(grantable);
        asked.iter().map(|asked| scope(asked)).all(|asked| covered(&asked) || grantable.covers(&asked))
    }

    /// Does a step for an actor that may grant these, and says whether it may.
    fn step(&mut self, step: &Step, grantable: &[&str]) -> bool {
        match step {
            Step::Put(name, patterns) => {
                let held = scopes(self.roles[*name].as_deref().unwrap_or_default());
                let allowed = Self::may_grant(grantable, patterns, |asked| held.covers(asked));
                if allowed {
                    self.roles[*name] = Some(patterns.clone());
                }
                allowed
            }
            Step::Delete(name) => self.roles[*name].take().is_some(),
            Step::Set(asked) => {
                let allowed = *asked == self.held
                    || match (asked, &self.held) {
                        (None, _) => scopes(grantable).covers(&scope("**")),
                        (Some(asked), held) => {
                            let known = |name: &usize| {
                                self.roles[*name].is_some() || held.as_ref().is_some_and(|held| held.contains(name))
                            };
                            let before: Vec<&str> = held
                                .iter()
                                .flatten()
                                .flat_map(|name| self.roles[*name].iter().flatten().copied())
                                .collect();
                            let after: Vec<&str> =
                                asked.iter().flat_map(|name| self.roles[*name].iter().flatten().copied()).collect();
                            let before = scopes(&before);
                            asked.iter().all(known)
                                && (held.is_none() || Self::may_grant(grantable, &after, |asked| before.covers(asked)))
                        }
                    };
                if allowed {
                    self.held.clone_from(asked);
                }
                allowed
            }
            Step::Status(status) => {
                // To resume is to activate the key, which has the scope `default` too.
                let resumes = (self.status, *status) == (UserStatus::Suspended, UserStatus::Active);
                let allowed = !resumes || grantable.contains(&"**");
                if allowed {
                    self.status = *status;
                }
                allowed
            }
        }
    }
}

async fn does(manager: &ApiKeyManager, actor: &keygate_core::actor::Actor, step: &Step) -> bool {
    let (acme, ada) = (org("acme"), user("ada"));
    let name = |name: &usize| role(NAMES[*name]);
    match step {
        Step::Put(place, patterns) => {
            manager.put_role(actor, &acme, &name(place), &covering(patterns), None).await.is_ok()
        }
        Step::Delete(place) => manager.delete_role(actor, &acme, &name(place), None).await.is_ok(),
        Step::Set(held) => {
            let roles = held.as_ref().map(|held| held.iter().map(name).collect());
            let update = UserUpdate { roles: Some(roles), ..UserUpdate::default() };
            manager.update_user(actor, &acme, &ada, &update, None).await.is_ok()
        }
        Step::Status(status) => manager.update_user(actor, &acme, &ada, &to(*status), None).await.is_ok(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..support::property() })]

    /// Whoever changes roles, and however often: on every instance a key may do what it was given and its owner covers, what
    /// somebody may not grant nobody gains by them, and nothing of another tenant's is moved.
    #[test]
    fn arbitrary_roles_cap_as_the_model_says(
        given in patterns(),
        steps in prop::collection::vec((step(), select(vec![&["**"][..], &["x:*"], &["y:read", "x:read"], &[]])), 1..12),
    ) {
        block_on(async {
            let here = Instance::new();
            let there = here.beside(ring(&[1]));
            let mine = here.create(unlimited_key_with(|new| new.permissions = scopes(&given))).await;
            let theirs = here.create(unlimited_key_with(|new| {
                new.organization = org("globex");
                new.permissions = scopes(&given);
            })).await;
            let given = scopes(&given);
            let mut model = Model::default();
            for (nth, (step, grantable)) in steps.iter().enumerate() {
                let stranger = tenant("globex", &["**"]);
                assert!(!does(&here.manager, &stranger, step).await);
                let manager = if nth % 2 == 0 { &here.manager } else { &there.manager };
                let done = does(manager, &tenant("acme", grantable), step).await;
                assert_eq!(done, model.step(step, grantable), "{step:?} by one who grants {grantable:?}, {model:?}");
                for (instance, permission) in [&here, &there].iter().flat_map(|one| ASKED.map(|asked| (one, asked))) {
                    let expected = match model.status {
                        UserStatus::Active if given.covers(&scope(permission)) && model.covers(permission) => Ok(()),
                        UserStatus::Active => DENIED,
                        _ => Err(DenialReason::UserSuspended),
                    };
                    assert_eq!(may(&instance.manager, mine.text.expose(), permission).await, expected, "{permission}");
                    let others = if given.covers(&scope(permission)) { Ok(()) } else { DENIED };
                    assert_eq!(may(&instance.manager, theirs.text.expose(), permission).await, others);
                }
            }
        });
    }
}
