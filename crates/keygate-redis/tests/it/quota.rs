//! Quotas hold across instances, and cost nothing to whoever has few keys or many.

use std::sync::Arc;

use keygate_core::record::{KeyStatus, Quota, Quotas};
use keygate_core::store::{CreateRefusal, Store};
use keygate_testkit::sample;

use crate::support::{assert_whole, namespace, server, store_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_creators_on_five_instances_do_not_race_past_a_quota() {
    let (ample, web) = (Quota { per_organization: 1000, per_user: 1000 }, sample::project("web"));
    for quotas in [
        Quota { per_user: 7, ..ample }.into(),
        Quota { per_organization: 7, ..ample }.into(),
        Quotas { users: [(sample::user("bob"), 7)].into(), ..ample.into() },
        Quotas { projects: [(web.clone(), 7)].into(), ..ample.into() },
    ] {
        let server = server().await;
        let namespace = namespace();
        let stores: Vec<_> = (0..5).map(|_| Arc::new(store_at(&server.url(), namespace.clone()))).collect();
        let organization = sample::organization();
        let mut creators = tokio::task::JoinSet::new();
        for number in 0..50 {
            let store = Arc::clone(&stores[number % 5]);
            let (organization, quotas, web) = (organization.clone(), quotas.clone(), web.clone());
            creators.spawn(async move {
                let mut record = sample::record(&organization, &sample::user("bob"));
                record.key.project = Some(web);
                store.create_within(&organization, &quotas, vec![record]).await.unwrap()[0]
            });
        }
        let outcomes = creators.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
        assert_eq!(assert_whole(server, &stores[0], &organization, &[]).await.len(), 7);
    }
}

/// A user's ends are kept in one way up to 64 keys and in another beyond; a project's always in one.
#[tokio::test]
async fn ends_count_the_same_for_users_and_projects_with_few_keys_and_with_many() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let (organization, user, web) = (sample::organization(), sample::user("bob"), sample::project("web"));
    let ample = Quota { per_organization: 1000, per_user: 1000 };
    // Of the project are those of two users.
    let of_eve = (0..3).map(|_| sample::record(&organization, &sample::user("eve")));
    let of_eve = of_eve.map(|mut record| {
        record.key.project = Some(web.clone());
        record
    });
    store.create(&organization, ample, of_eve.collect()).await.unwrap();
    let mut records = Vec::new();
    for number in 0..80 {
        let mut record = sample::record(&organization, &user);
        record.key.expires_at = match number % 3 {
            0 => None,
            1 => Some(sample::far_future()),
            _ => Some(sample::past()),
        };
        record.key.project = Some(web.clone());
        store.create(&organization, ample, vec![record.clone()]).await.unwrap();
        records.push(record);
        if number > 60 {
            assert_whole(server, &store, &organization, &[]).await;
        }
    }
    for record in records.iter().step_by(4) {
        store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    }
    assert_whole(server, &store, &organization, &[]).await;
    for record in records.iter().skip(1).step_by(2).take(30) {
        let next = sample::expiring(record, Some(sample::past()));
        store.replace(&next, record.key.revision).await.unwrap();
        store.delete(&organization, record.key.id, next.key.revision).await.unwrap();
        assert_whole(server, &store, &organization, &[]).await;
    }
    for record in (0..30).map(|_| sample::record(&organization, &user)) {
        store.create(&organization, ample, vec![record]).await.unwrap();
    }
    assert_whole(server, &store, &organization, &[]).await;
    let exists: u64 = server.command(["EXISTS", &store.layout().user_ended(&organization, &user)]).await.unwrap();
    assert_eq!(exists, 1);
}

#[tokio::test]
async fn a_quota_that_a_lost_settlement_left_full_is_looked_into_before_it_refuses() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let (organization, user) = (sample::organization(), sample::user("bob"));
    let two = Quota { per_organization: 1000, per_user: 2 };
    let records: Vec<_> = (0..2).map(|_| sample::record(&organization, &user)).collect();
    store.create(&organization, two, records.clone()).await.unwrap();
    let next = sample::record(&organization, &user);
    let refused = store.create(&organization, two, vec![next.clone()]).await.unwrap();
    assert_eq!(refused, [Err(CreateRefusal::UserQuota { limit: 2 })]);
    // As after a failover that lost what the revocation settled, and as after one that lost a record.
    let ended = store.layout().ended(&organization);
    store.set_status(&organization, records[0].key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    server.command::<()>(["DEL", &ended]).await.unwrap();
    assert_eq!(store.create(&organization, two, vec![next]).await.unwrap(), [Ok(())]);
    server.command::<()>(["DEL", &store.layout().record(records[1].key.id)]).await.unwrap();
    let another = sample::record(&organization, &user);
    assert_eq!(store.create(&organization, two, vec![another]).await.unwrap(), [Ok(())]);
    assert_whole(server, &store, &organization, &[]).await;
    server.command::<()>(["DEL", &ended]).await.unwrap();
    assert_eq!(store.recount(&organization).await.unwrap(), 1);
    assert_eq!(store.recount(&organization).await.unwrap(), 0);
    assert_whole(server, &store, &organization, &[]).await;
}

/// The same of a project's quota, of whose keys nobody else knows whose they were.
#[tokio::test]
async fn a_project_that_a_lost_record_left_full_is_looked_into_before_it_refuses() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let (organization, web) = (sample::organization(), sample::project("web"));
    let ample = Quota { per_organization: 1000, per_user: 1000 };
    let two = Quotas { projects: [(web.clone(), 2)].into(), ..ample.into() };
    let of = |user: &str| {
        let mut record = sample::record(&organization, &sample::user(user));
        record.key.project = Some(web.clone());
        record
    };
    let records = [of("ann"), of("bob")];
    store.create_within(&organization, &two, records.to_vec()).await.unwrap();
    let next = of("eve");
    let refused = store.create_within(&organization, &two, vec![next.clone()]).await.unwrap();
    assert_eq!(refused, [Err(CreateRefusal::ProjectQuota { limit: 2 })]);
    server.command::<()>(["DEL", &store.layout().record(records[1].key.id)]).await.unwrap();
    assert_eq!(store.create_within(&organization, &two, vec![next]).await.unwrap(), [Ok(())]);
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 2);
    // What the user's own list still has of it is seen when that is full.
    let one = Quotas { users: [(sample::user("bob"), 1)].into(), ..ample.into() };
    let another = sample::record(&organization, &sample::user("bob"));
    assert_eq!(store.create_within(&organization, &one, vec![another]).await.unwrap(), [Ok(())]);
    assert_whole(server, &store, &organization, &[]).await;
}
