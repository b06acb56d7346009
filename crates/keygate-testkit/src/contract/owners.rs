//! Users and roles.

use std::collections::BTreeMap;
use std::sync::Arc;

use keygate_core::coherence::Change;
use keygate_core::names::{Description, OrganizationId, RoleName, UserId};
use keygate_core::record::{Revision, Role, RolesRecord, UserRecord, UserStatus};
use keygate_core::scope::ScopeSet;
use keygate_core::store::{Store, WriteRefusal};

use super::assert_absent;
use super::ear::{Ear, kept_parents};
use crate::sample;

fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

fn roles(organization: &OrganizationId) -> RolesRecord {
    let reader = Role {
        revision: Revision::FIRST,
        description: Description::new("reads reports").unwrap(),
        permissions: ScopeSet::parse(["reports:read", "reports:*:show"]).unwrap(),
    };
    let nothing = Role { permissions: ScopeSet::empty(), description: Description::default(), ..reader.clone() };
    let roles = BTreeMap::from([(role("reader"), reader), (role("nobody"), nothing)]);
    RolesRecord { roles, ..RolesRecord::new(organization.clone()) }
}

/// Every field comes back, in the order of the users who are asked for, and who was never configured has no record.
pub async fn owners_are_read_back_as_written(store: Arc<dyn Store>) {
    let (organization, project) = (sample::organization(), sample::project("website"));
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(sample::user);
    let users = [bob.clone(), eve.clone(), ann.clone(), bob.clone()];
    assert_eq!(store.users(&organization, &users).await.unwrap(), [None, None, None, None]);
    assert_eq!(store.users(&organization, &[]).await.unwrap(), []);
    assert_eq!(store.parents(&organization, Some(&project)).await.unwrap().roles, None);

    let roles = roles(&organization);
    store.put_roles(&roles, None).await.unwrap();
    let of_ann = UserRecord {
        status: UserStatus::Suspended,
        roles: Some(vec![role("reader"), role("gone")]),
        ..UserRecord::new(organization.clone(), ann.clone())
    };
    let of_bob = UserRecord { status: UserStatus::Offboarded, ..UserRecord::new(organization.clone(), bob.clone()) };
    for record in [&of_ann, &of_bob] {
        store.put_user(record, None).await.unwrap();
    }
    let held = store.users(&organization, &users).await.unwrap();
    assert_eq!(held, [Some(of_bob.clone()), None, Some(of_ann.clone()), Some(of_bob)]);
    assert_eq!(store.load_user(&organization, &ann).await.unwrap().value, Some(of_ann));
    assert_eq!(store.load_user(&organization, &eve).await.unwrap().value, None);
    for project in [None, Some(&project)] {
        let parents = store.parents(&organization, project).await.unwrap();
        assert_eq!((parents.roles.as_ref(), parents.organization), (Some(&roles), None));
        let loaded = store.load_parents(&organization, project).await.unwrap().value;
        assert_eq!(loaded.roles.as_ref(), Some(&roles));
    }
}

/// A write made from what is not there is refused and changes nothing.
pub async fn owners_compare_revisions(store: Arc<dyn Store>) {
    let (organization, ann) = (sample::organization(), sample::user("ann"));
    let first = UserRecord::new(organization.clone(), ann.clone());
    let second = UserRecord { revision: first.revision.next(), status: UserStatus::Suspended, ..first.clone() };
    assert_absent(store.put_user(&second, Some(first.revision)).await);
    store.put_user(&first, None).await.unwrap();
    store.put_user(&second, Some(first.revision)).await.unwrap();
    for expected in [None, Some(first.revision), Some(Revision(9))] {
        let refused = store.put_user(&first, expected).await;
        assert!(matches!(refused, Err(WriteRefusal::Conflict { found: Revision(2) })), "{refused:?}");
    }
    assert_eq!(store.users(&organization, &[ann]).await.unwrap(), [Some(second)]);

    let first = roles(&organization);
    let second = RolesRecord { revision: first.revision.next(), ..RolesRecord::new(organization.clone()) };
    assert_absent(store.put_roles(&second, Some(first.revision)).await);
    store.put_roles(&first, None).await.unwrap();
    store.put_roles(&second, Some(first.revision)).await.unwrap();
    for expected in [None, Some(first.revision), Some(Revision(9))] {
        let refused = store.put_roles(&first, expected).await;
        assert!(matches!(refused, Err(WriteRefusal::Conflict { found: Revision(2) })), "{refused:?}");
    }
    assert_eq!(store.parents(&organization, None).await.unwrap().roles, Some(second));
}

/// Two tenants' users of one name are two users.
pub async fn owners_belong_to_one_organization(store: Arc<dyn Store>) {
    let (owner, stranger, ann) = (sample::organization(), sample::organization(), sample::user("ann"));
    store.put_roles(&roles(&owner), None).await.unwrap();
    store.put_user(&UserRecord::new(owner, ann.clone()), None).await.unwrap();
    assert_eq!(store.users(&stranger, &[ann]).await.unwrap(), [None]);
    assert_eq!(store.parents(&stranger, None).await.unwrap().roles, None);
}

/// Whatever is kept of a user or of roles, their absence too, is told of when it changes: of roles as of their organization.
pub async fn a_watcher_is_told_of_users_and_roles(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let (organization, project) = (sample::organization(), sample::project("website"));
    let [ann, bob]: [UserId; 2] = ["ann", "bob"].map(sample::user);
    let told = Change::Organization(organization.clone());
    kept_parents(&*store, &organization, &project.clone()).await;
    let first = roles(&organization);
    store.put_roles(&first, None).await.unwrap();
    ear.hears(&told).await;
    kept_parents(&*store, &organization, &project).await;
    ear.forget();
    let second = RolesRecord { revision: first.revision.next(), ..RolesRecord::new(organization.clone()) };
    store.put_roles(&second, Some(first.revision)).await.unwrap();
    ear.hears(&told).await;

    let (told, other) = (Change::User(organization.clone(), ann.clone()), Change::User(organization.clone(), bob));
    let first = UserRecord::new(organization.clone(), ann.clone());
    let second = UserRecord { revision: first.revision.next(), ..first.clone() };
    for (record, expected) in [(&first, None), (&second, Some(first.revision))] {
        store.load_user(&organization, &ann).await.unwrap();
        ear.forget();
        store.put_user(record, expected).await.unwrap();
        ear.hears(&told).await;
    }
    assert_eq!(ear.times(&other), 0, "a user that nobody wrote was told of");
}
