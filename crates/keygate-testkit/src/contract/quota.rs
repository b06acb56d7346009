//! Which keys count, and that no more of them come to be than the quotas allow.

use std::sync::Arc;

use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::{KeyStatus, Quota};
use keygate_core::store::{CreateRefusal, Store};

use super::{AMPLE, create_one, created, used};
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

/// Creates a key for each user at once and says how many came to be.
async fn race(store: &Arc<dyn Store>, organization: &OrganizationId, quota: Quota, users: Vec<UserId>) -> usize {
    let creators: Vec<_> = users
        .into_iter()
        .map(|user| {
            let (store, record) = (Arc::clone(store), sample::record(organization, &user));
            tokio::spawn(async move { create_one(&*store, quota, record).await })
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
