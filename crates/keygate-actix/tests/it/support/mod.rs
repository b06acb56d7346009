//! What the tests share: a manager over a store that fails on request, and keys.

use std::time::Duration;

use actix_web::dev::ServiceResponse;
use actix_web::test::TestRequest;
use keygate_core::actor::{Actor, Operator};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::KeyId;
use keygate_core::manager::{ApiKeyManager, CreatedKey, NewKey};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::{Scope, ScopeSet};
use keygate_core::store::MemoryStore;
use keygate_core::usage::report::{Breakdown, Share, UsageQuery};
use keygate_testkit::FaultyStore;

pub(crate) struct Fixture {
    pub(crate) manager: ApiKeyManager,
    pub(crate) store: FaultyStore,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let store = FaultyStore::new(MemoryStore::new());
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(store.clone(), ring).build().unwrap();
        manager.open().await.unwrap();
        Self { manager, store }
    }

    pub(crate) async fn create(&self, change: impl FnOnce(&mut NewKey)) -> CreatedKey {
        let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
        change(&mut new);
        self.manager.create(&operator(), new).await.unwrap()
    }

    /// What became of the requests of a key until now.
    pub(crate) async fn usage(&self, key: KeyId) -> Breakdown {
        assert!(self.manager.flush_usage(Duration::from_secs(60)).await);
        self.manager.key_usage(&operator(), key, UsageQuery::default()).await.unwrap().breakdown
    }

    /// The text of a key with these scopes.
    pub(crate) async fn key(&self, scopes: &[&str]) -> String {
        let created = self.create(|new| new.scopes = Some(ScopeSet::parse(scopes).unwrap())).await;
        created.text.expose().to_owned()
    }
}

pub(crate) fn shares(shares: &[Share]) -> Vec<(&str, u64)> {
    shares.iter().map(|share| (&*share.name, share.requests)).collect()
}

pub(crate) fn operator() -> Actor {
    Operator::named("test".parse().unwrap()).into()
}

pub(crate) fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}

pub(crate) fn get() -> TestRequest {
    TestRequest::get().uri("/")
}

pub(crate) fn with_key(key: &str) -> TestRequest {
    get().insert_header(("X-API-Key", key))
}

/// A key of the right form that this deployment did not make: the last character of its tag is another.
pub(crate) fn forged(key: &str) -> String {
    let (rest, last) = key.split_at(key.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

pub(crate) fn reason<B>(response: &ServiceResponse<B>) -> Option<DenialReason> {
    response.response().extensions().get::<Denial>().map(Denial::reason)
}
