//! A key that is made once, by many instances over one Redis.

use std::collections::BTreeSet;

use keygate_core::actor::{Actor, Operator};
use keygate_core::key::KeyId;
use keygate_core::manager::{ApiKeyManager, CreatedKey, CreatedOnce, IdempotencyKey, ManageError, NewKey};
use keygate_core::record::SecurityTier;
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::{Listing, Store};
use keygate_redis::Namespace;
use keygate_testkit::RedisServer;

use crate::support::{cluster, namespace, store_at};

const CALLS: usize = 12;

fn operator() -> Actor {
    Operator::named("operator".parse().unwrap()).into()
}

fn new_key(tier: SecurityTier) -> NewKey {
    let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    new.security_tier = Some(tier);
    new
}

async fn call(manager: &ApiKeyManager, tier: SecurityTier) -> Result<CreatedOnce, ManageError> {
    manager.create_once(&operator(), new_key(tier), &IdempotencyKey::new("first").unwrap()).await
}

/// Instances with connections of their own.
fn replicas(url: &str, namespace: &Namespace, ring: &SecretRing) -> Vec<ApiKeyManager> {
    let replica = || ApiKeyManager::builder(store_at(url, namespace.clone()), ring.clone()).build().unwrap();
    (0..3).map(|_| replica()).collect()
}

/// As many calls at once as there are, each of them answered, and one with the key's text.
async fn made_once(replicas: &[ApiKeyManager], tier: SecurityTier) -> CreatedKey {
    let calls: Vec<_> = replicas
        .iter()
        .cycle()
        .take(CALLS)
        .map(|manager| {
            let manager = manager.clone();
            tokio::spawn(async move {
                loop {
                    match call(&manager, tier).await {
                        // Slow verifiers are made a few at a time.
                        Err(ManageError::Busy) => tokio::task::yield_now().await,
                        outcome => break outcome.unwrap(),
                    }
                }
            })
        })
        .collect();
    let (mut made, mut ids) = (Vec::new(), BTreeSet::<KeyId>::new());
    for call in calls {
        match call.await.unwrap() {
            CreatedOnce::Now(created) => made.push(created),
            CreatedOnce::Before(key) => drop(ids.insert(key.id)),
        }
    }
    assert_eq!(made.len(), 1);
    let created = made.remove(0);
    assert_eq!(ids, BTreeSet::from([created.key.id]));
    created
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_make_one_key_and_keep_its_text_nowhere() {
    let server = RedisServer::start().await.unwrap();
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    for tier in [SecurityTier::Standard, SecurityTier::High] {
        let namespace = namespace();
        let replicas = replicas(&server.url(), &namespace, &ring);
        let created = made_once(&replicas, tier).await;
        let store = store_at(&server.url(), namespace);
        let listed = store.list(&Listing::Organization(created.key.organization.clone()), None, 10).await.unwrap();
        assert_eq!(listed.records.iter().map(|record| record.key.id).collect::<Vec<_>>(), [created.key.id]);

        // The text, and the secret without what everybody may see.
        let text = created.text.expose();
        let dump = server.dump_all().await.unwrap();
        for part in [text, &text[text.len() - 11..], &text[text.len() - 40..text.len() - 16]] {
            assert_eq!(dump.holding(part.as_bytes()), Vec::<String>::new());
        }
        assert!(dump.entries().iter().any(|entry| entry.key.windows(6).any(|part| part == b":memo:")));

        for manager in &replicas {
            assert!(matches!(call(manager, tier).await.unwrap(), CreatedOnce::Before(key) if key == created.key));
        }
        replicas[0].revoke(&operator(), created.key.id, None).await.unwrap();
        replicas[1].delete(&operator(), created.key.id, None).await.unwrap();
        for manager in &replicas {
            assert!(matches!(call(manager, tier).await, Err(ManageError::NotFound)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_over_a_cluster_make_one_key() {
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    for _ in 0..5 {
        let replicas = replicas(&cluster().await.url(), &namespace(), &ring);
        made_once(&replicas, SecurityTier::Standard).await;
    }
}
