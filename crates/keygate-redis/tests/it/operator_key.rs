//! The operator's first key over Redis: one of those who ask at once makes it, and nobody ever makes a second.

use std::time::Duration;

use keygate_core::actor::Operator;
use keygate_core::context::RequestContext;
use keygate_core::key::KeyId;
use keygate_core::manager::{ApiKeyManager, CreatedKey, ManageError};
use keygate_core::names::{OrganizationId, PrincipalId};
use keygate_core::record::Key;
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::{Listing, Store};
use keygate_redis::{Namespace, RedisStore};
use keygate_testkit::FaultProxy;

use crate::support::{cluster, namespace, server, store_at};

const RESERVATION: Duration = Duration::from_millis(750);

fn operator() -> Operator {
    Operator::named(PrincipalId::new("installer").unwrap())
}

fn manager(store: RedisStore, secret: &MasterSecret) -> ApiKeyManager {
    ApiKeyManager::builder(store, SecretRing::new(secret)).build().unwrap()
}

async fn ensure(manager: &ApiKeyManager) -> Result<Option<CreatedKey>, ManageError> {
    manager.ensure_operator_key(&operator()).await
}

/// The operator's keys, in whatever state.
async fn operators_keys(store: &RedisStore) -> Vec<Key> {
    let listing = Listing::Organization(OrganizationId::system());
    let page = store.list(&listing, None, 100).await.unwrap();
    assert_eq!(page.next, None);
    page.records.into_iter().map(|record| record.key).collect()
}

/// Eight instances, each with connections of its own, ask at once of a deployment that is not even set up.
async fn ask_at_once(url: &str) {
    let (namespace, secret) = (namespace(), MasterSecret::generate().unwrap());
    let managers: Vec<_> = (0..8).map(|_| manager(store_at(url, namespace.clone()), &secret)).collect();
    let asking = managers.iter().cloned().map(|manager| tokio::spawn(async move { ensure(&manager).await }));
    let asking: Vec<_> = asking.collect();
    let mut made = Vec::new();
    for asked in asking {
        made.extend(asked.await.unwrap().unwrap());
    }
    assert_eq!(made.len(), 1, "one makes it");
    let made = made.remove(0);
    let store = store_at(url, namespace);
    assert_eq!(operators_keys(&store).await, std::slice::from_ref(&made.key));
    for manager in &managers {
        let admission = manager.validate(made.text.expose(), &RequestContext::new()).await.unwrap();
        assert_eq!(*admission.key(), made.key);
        assert!(ensure(manager).await.unwrap().is_none());
    }
    managers[0].revoke(&operator().into(), made.key.id, None).await.unwrap();
    for manager in &managers {
        assert!(ensure(manager).await.unwrap().is_none(), "nor once it is revoked");
    }
    assert_eq!(operators_keys(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_instances_on_one_server_one_makes_it() {
    for _ in 0..10 {
        ask_at_once(&server().await.url()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_instances_on_one_cluster_one_makes_it() {
    for _ in 0..3 {
        ask_at_once(&cluster().await.url()).await;
    }
}

/// Whoever makes it dies after so many requests. The others, who ask at once and once more when what it had begun is over,
/// find the key or make it.
async fn cut_after(step: u32, namespace: Namespace) {
    let server = server().await;
    let secret = MasterSecret::generate().unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let troubled = store_at(&proxy.url(), namespace.clone()).with_reservation(RESERVATION);
    let troubled = manager(troubled, &secret);
    let store = store_at(&server.url(), namespace.clone());
    let sound = manager(store_at(&server.url(), namespace).with_reservation(RESERVATION), &secret);
    troubled.open().await.unwrap();
    proxy.cut_after_requests(step);
    let mut made: Vec<KeyId> = Vec::new();
    match ensure(&troubled).await {
        Ok(created) => made.extend(created.map(|created| created.key.id)),
        Err(error) => assert_eq!(error.reason(), "store_unavailable", "step {step}"),
    }
    for pause in [Duration::ZERO, RESERVATION + Duration::from_millis(50)] {
        tokio::time::sleep(pause).await;
        made.extend(ensure(&sound).await.unwrap().map(|created| created.key.id));
    }
    let there: Vec<KeyId> = operators_keys(&store).await.iter().map(|key| key.id).collect();
    assert_eq!(there.len(), 1, "step {step}");
    assert!(made.is_empty() || made == there, "step {step}");
    assert!(ensure(&sound).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_step_its_maker_dies_at_there_is_one_key_in_the_end() {
    let steps: Vec<_> = (1..=10).map(|step| tokio::spawn(cut_after(step, namespace()))).collect();
    for step in steps {
        step.await.unwrap();
    }
}
