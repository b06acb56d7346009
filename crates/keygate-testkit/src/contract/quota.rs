//! Which keys count, and that no more of them come to be than the quotas allow.

use std::sync::Arc;

use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{KeyRecord, KeyStatus, Quota, Quotas};
use keygate_core::store::{CreateRefusal, Store};

use super::{AMPLE, create_one, created, read, used};
use crate::sample;

const ONE_EACH: Quota = Quota { per_organization: 100, per_user: 1 };

/// The key after the last is refused with the quota named; another user's is not.
pub async fn the_user_quota_is_the_most_keys_of_a_user(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let quota = Quota { per_organization: 100, per_user: 2 };
    for _ in 0..2 {
        assert_eq!(create_one(&*store, quota, sample::record(&organization, &user)).await, Ok(()));
    }
    let refused = create_one(&*store, quota, sample::record(&organization, &user)).await;
    assert_eq!(refused, Err(CreateRefusal::UserQuota { limit: 2 }));
    assert_eq!(create_one(&*store, quota, sample::record(&organization, &sample::user("bob"))).await, Ok(()));
}

/// The same for the organization's, which is named when both are used up.
pub async fn the_organization_quota_is_the_most_keys_of_an_organization(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let quota = Quota { per_organization: 2, per_user: 2 };
    for _ in 0..2 {
        assert_eq!(create_one(&*store, quota, sample::record(&organization, &user)).await, Ok(()));
    }
    for user in ["ann", "bob"] {
        let refused = create_one(&*store, quota, sample::record(&organization, &sample::user(user))).await;
        assert_eq!(refused, Err(CreateRefusal::OrganizationQuota { limit: 2 }));
    }
}

/// A key in a project.
fn in_project(organization: &OrganizationId, user: &UserId, project: &ProjectId) -> KeyRecord {
    let mut record = sample::record(organization, user);
    record.key.project = Some(project.clone());
    record
}

/// Room for so many keys of a project, and more than enough for all else.
fn room_in(project: &ProjectId, most: u64) -> Quotas {
    Quotas { projects: [(project.clone(), most)].into(), ..AMPLE.into() }
}

async fn create_within(store: &dyn Store, quotas: &Quotas, record: KeyRecord) -> Result<(), CreateRefusal> {
    let organization = record.key.organization.clone();
    let outcomes = store.create_within(&organization, quotas, vec![record]).await.unwrap();
    assert_eq!(outcomes.len(), 1, "one outcome for each record");
    outcomes[0]
}

/// The same for a project's, if it has one: no other project of the organization is held to it, no key without a project, and
/// no project of the name elsewhere. The quota of the organization or of the user is named when that is used up too.
pub async fn the_project_quota_is_the_most_keys_of_a_project(store: Arc<dyn Store>) {
    let (organization, web) = (sample::organization(), sample::project("website"));
    let [ann, bob] = ["ann", "bob"].map(sample::user);
    let two = room_in(&web, 2);
    for user in [&ann, &bob] {
        assert_eq!(create_within(&*store, &two, in_project(&organization, user, &web)).await, Ok(()));
    }
    let another = in_project(&organization, &ann, &web);
    assert_eq!(create_within(&*store, &two, another.clone()).await, Err(CreateRefusal::ProjectQuota { limit: 2 }));
    assert_eq!(read(&*store, another.key.id).await, None);
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 2);
    assert_eq!(used(&*store, &organization, &ann).await, (2, 1), "what is refused takes no place");
    let of_user = Quotas { quota: Quota { per_user: 1, ..AMPLE }, ..two.clone() };
    assert_eq!(create_within(&*store, &of_user, another.clone()).await, Err(CreateRefusal::UserQuota { limit: 1 }));
    let of_all = Quotas { quota: Quota { per_organization: 2, per_user: 1 }, ..two.clone() };
    let refused = create_within(&*store, &of_all, another.clone()).await;
    assert_eq!(refused, Err(CreateRefusal::OrganizationQuota { limit: 2 }));

    let elsewhere = in_project(&sample::organization(), &ann, &web);
    for other in
        [in_project(&organization, &ann, &sample::project("api")), sample::record(&organization, &ann), elsewhere]
    {
        assert_eq!(create_within(&*store, &two, other).await, Ok(()));
    }
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 2);
    assert_eq!(store.project_use(&organization, &sample::project("nothing")).await.unwrap(), 0);
    // Where it has none any more, there is room.
    assert_eq!(create_one(&*store, AMPLE, another).await, Ok(()));
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 3);
    // Keys of a project without a quota were counted all the same.
    assert_eq!(store.project_use(&organization, &sample::project("api")).await.unwrap(), 1);
}

/// Of many who create keys of one project at once, for users of their own, as many succeed as its quota has room for; and so
/// it is within a batch, in its order.
pub async fn the_project_quota_holds_under_concurrent_creation(store: Arc<dyn Store>) {
    let (organization, web) = (sample::organization(), sample::project("website"));
    let quotas = room_in(&web, 5);
    let records = (0..24).map(|n| in_project(&organization, &sample::user(&format!("user-{n}")), &web));
    assert_eq!(race_within(&store, &quotas, records.collect()).await, 5);
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 5);
    assert_eq!(used(&*store, &organization, &sample::user("nobody")).await, (5, 0));

    let (organization, user) = (sample::organization(), sample::user("ann"));
    let mut records: Vec<_> = (0..6).map(|_| in_project(&organization, &user, &web)).collect();
    records[1].key.project = None;
    records[2].key.expires_at = Some(sample::past());
    let outcomes = store.create_within(&organization, &room_in(&web, 2), records).await.unwrap();
    let over = Err(CreateRefusal::ProjectQuota { limit: 2 });
    // The third has ended, and takes no place.
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Ok(()), over, over]);
}

/// A user that has a quota of its own is held to that, be it less or more; others are held to what the organization says.
pub async fn a_users_own_quota_stands_before_the_organizations(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let users = ["ann", "ann", "ann", "bob", "eve", "eve", "ann"].map(sample::user);
    let records = users.iter().map(|user| sample::record(&organization, user)).collect();
    let own = [(sample::user("ann"), 3), (sample::user("bob"), 0)];
    let quotas = Quotas { users: own.into(), ..ONE_EACH.into() };
    let outcomes = store.create_within(&organization, &quotas, records).await.unwrap();
    let over = |limit| Err(CreateRefusal::UserQuota { limit });
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), over(0), Ok(()), over(1), over(3)]);
    let refused = create_one(&*store, ONE_EACH, sample::record(&organization, &users[0])).await;
    assert_eq!(refused, over(1), "what was its own is what it was told then");
}

/// Revoked, superseded, ended and deleted keys take no place in their project; one that is given a later end takes one again.
pub async fn what_stopped_counting_takes_no_place_in_its_project(store: Arc<dyn Store>) {
    let (organization, user, web) = (sample::organization(), sample::user("ann"), sample::project("website"));
    let counted = async || store.project_use(&organization, &web).await.unwrap();
    let make = async || created(&*store, in_project(&organization, &user, &web)).await;
    let (stopped, rotated, ended, gone) = (make().await, make().await, make().await, make().await);
    assert_eq!(counted().await, 4);
    store.set_status(&organization, stopped.key.id, &sample::status(KeyStatus::Inactive)).await.unwrap();
    assert_eq!(counted().await, 4);
    store.set_status(&organization, stopped.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert_eq!(counted().await, 3);
    let (old, new) = sample::succession(&rotated);
    store.succeed(&old, rotated.key.revision, &new).await.unwrap();
    assert_eq!(counted().await, 3, "a successor takes its predecessor's place");
    let over = sample::expiring(&ended, Some(sample::past()));
    store.replace(&over, ended.key.revision).await.unwrap();
    assert_eq!(counted().await, 2);
    store.delete(&organization, gone.key.id, gone.key.revision).await.unwrap();
    assert_eq!(counted().await, 1);
    for (more, most) in [(1, 2), (2, 3)] {
        let refused = create_within(&*store, &room_in(&web, more), in_project(&organization, &user, &web)).await;
        assert_eq!(refused, Err(CreateRefusal::ProjectQuota { limit: more }));
        assert_eq!(create_within(&*store, &room_in(&web, most), in_project(&organization, &user, &web)).await, Ok(()));
    }
    store.replace(&sample::expiring(&over, Some(sample::far_future())), over.key.revision).await.unwrap();
    assert_eq!(counted().await, 4);
    store
        .delete(&organization, stopped.key.id, read(&*store, stopped.key.id).await.unwrap().key.revision)
        .await
        .unwrap();
    assert_eq!(counted().await, 4, "what took no place gives none back");
}

/// Creates a key for each user at once and says how many came to be.
async fn race(store: &Arc<dyn Store>, organization: &OrganizationId, quota: Quota, users: Vec<UserId>) -> usize {
    let records = users.iter().map(|user| sample::record(organization, user)).collect();
    race_within(store, &quota.into(), records).await
}

/// Creates keys at once and says how many came to be.
async fn race_within(store: &Arc<dyn Store>, quotas: &Quotas, records: Vec<KeyRecord>) -> usize {
    let creators: Vec<_> = records
        .into_iter()
        .map(|record| {
            let (store, quotas) = (Arc::clone(store), quotas.clone());
            tokio::spawn(async move { create_within(&*store, &quotas, record).await })
        })
        .collect();
    let mut created = 0;
    for creator in creators {
        match creator.await.unwrap() {
            Ok(()) => created += 1,
            Err(CreateRefusal::Exists) => panic!("a fresh id was refused as taken"),
            Err(_) => {}
        }
    }
    created
}

/// Of many who create keys for one user at once, as many succeed as the quota has room for.
pub async fn the_user_quota_holds_under_concurrent_creation(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let quota = Quota { per_organization: 100, per_user: 5 };
    assert_eq!(race(&store, &organization, quota, vec![user.clone(); 24]).await, 5);
    assert_eq!(used(&*store, &organization, &user).await, (5, 5));
}

/// The same for an organization with many users.
pub async fn the_organization_quota_holds_under_concurrent_creation(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let quota = Quota { per_organization: 5, per_user: 2 };
    let users = (0..24).map(|n| sample::user(&format!("user-{n}"))).collect();
    assert_eq!(race(&store, &organization, quota, users).await, 5);
    assert_eq!(used(&*store, &organization, &sample::user("nobody")).await, (5, 0));
}

/// A batch is no way around the quota: its own keys count, in their order.
pub async fn the_quota_holds_within_a_batch(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let users = ["ann", "ann", "ann", "bob", "bob", "eve"].map(sample::user);
    let records = users.iter().map(|user| sample::record(&organization, user)).collect();
    let quota = Quota { per_organization: 4, per_user: 2 };
    let over_user = Err(CreateRefusal::UserQuota { limit: 2 });
    let over_organization = Err(CreateRefusal::OrganizationQuota { limit: 4 });

    let outcomes = store.create(&organization, quota, records).await.unwrap();
    assert_eq!(outcomes, [Ok(()), Ok(()), over_user, Ok(()), Ok(()), over_organization]);
    assert_eq!(used(&*store, &organization, &sample::user("bob")).await, (4, 2));
}

/// Whatever a creation is refused for, the counts stay.
pub async fn a_refused_key_takes_no_place_in_the_quota(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let there = created(&*store, sample::record(&organization, &user)).await;
    for _ in 0..3 {
        let refused = create_one(&*store, ONE_EACH, sample::record(&organization, &user)).await;
        assert_eq!(refused, Err(CreateRefusal::UserQuota { limit: 1 }));
        assert_eq!(create_one(&*store, AMPLE, there.clone()).await, Err(CreateRefusal::Exists));
    }
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
    let two = Quota { per_organization: 2, per_user: 2 };
    assert_eq!(create_one(&*store, two, sample::record(&organization, &user)).await, Ok(()));
}

/// The same user name in two organizations is two users.
pub async fn quotas_of_one_tenant_are_not_anothers(store: Arc<dyn Store>) {
    let user = sample::user("ann");
    for organization in [sample::organization(), sample::organization()] {
        assert_eq!(create_one(&*store, ONE_EACH, sample::record(&organization, &user)).await, Ok(()));
        assert_eq!(used(&*store, &organization, &user).await, (1, 1));
    }
}

/// A stopped key can be started again, so it keeps its place.
pub async fn inactive_keys_count(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let record = created(&*store, sample::record(&organization, &user)).await;
    store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Inactive)).await.unwrap();
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
    let refused = create_one(&*store, ONE_EACH, sample::record(&organization, &user)).await;
    assert_eq!(refused, Err(CreateRefusal::UserQuota { limit: 1 }));
    store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Active)).await.unwrap();
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
}

/// Asserts that the organization and the user have no key that counts, and room for one.
async fn assert_free(store: &dyn Store, organization: &OrganizationId, user: &UserId) {
    assert_eq!(used(store, organization, user).await, (0, 0));
    let only = Quota { per_organization: 1, per_user: 1 };
    assert_eq!(create_one(store, only, sample::record(organization, user)).await, Ok(()));
    assert_eq!(used(store, organization, user).await, (1, 1));
}

/// Revoking frees a place, once.
pub async fn revoked_keys_do_not_count(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let never_ends = sample::record(&organization, &user);
    let ends = sample::expiring(&sample::record(&organization, &user), Some(sample::far_future()));
    for record in [never_ends, ends] {
        let record = created(&*store, record).await;
        for _ in 0..2 {
            let revoked = sample::status(KeyStatus::Revoked);
            store.set_status(&organization, record.key.id, &revoked).await.unwrap();
        }
    }
    assert_free(&*store, &organization, &user).await;
}

/// A key whose end is past takes no place.
pub async fn expired_keys_do_not_count(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let mut record = sample::record(&organization, &user);
    record.key.expires_at = Some(sample::past());
    let record = created(&*store, record).await;
    assert_free(&*store, &organization, &user).await;

    // Whatever becomes of it, it does not free a place it did not take.
    store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Inactive)).await.unwrap();
    store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    let revision = super::read(&*store, record.key.id).await.unwrap().key.revision;
    store.delete(&organization, record.key.id, revision).await.unwrap();
    assert_eq!(used(&*store, &organization, &user).await, (1, 1));
}

/// Deleting frees a place, whether or not the key has an end.
pub async fn deleted_keys_do_not_count(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    for end in [None, Some(sample::far_future())] {
        let record = created(&*store, sample::expiring(&sample::record(&organization, &user), end)).await;
        store.delete(&organization, record.key.id, record.key.revision).await.unwrap();
    }
    assert_free(&*store, &organization, &user).await;
}

/// An expired key that is given a later end, or none, is a key again.
pub async fn extending_the_end_of_an_expired_key_makes_it_count_again(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let mut record = sample::record(&organization, &user);
    record.key.expires_at = Some(sample::past());
    let record = created(&*store, record).await;
    assert_eq!(used(&*store, &organization, &user).await, (0, 0));
    // A creation, at which a store may forget what has expired.
    created(&*store, sample::record(&organization, &sample::user("bob"))).await;

    let extended = sample::expiring(&record, Some(sample::far_future()));
    store.replace(&extended, record.key.revision).await.unwrap();
    assert_eq!(used(&*store, &organization, &user).await, (2, 1));

    let endless = sample::expiring(&extended, None);
    store.replace(&endless, extended.key.revision).await.unwrap();
    assert_eq!(used(&*store, &organization, &user).await, (2, 1));
    let refused = create_one(&*store, ONE_EACH, sample::record(&organization, &user)).await;
    assert_eq!(refused, Err(CreateRefusal::UserQuota { limit: 1 }));
}

/// A key that is given an end in the past stops counting.
pub async fn an_end_brought_into_the_past_frees_a_place(store: Arc<dyn Store>) {
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let record = created(&*store, sample::record(&organization, &user)).await;
    store.replace(&sample::expiring(&record, Some(sample::past())), record.key.revision).await.unwrap();
    assert_free(&*store, &organization, &user).await;
}
