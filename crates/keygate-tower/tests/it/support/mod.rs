//! A manager over a store that tests can stall, and requests with its keys.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use keygate_core::actor::{Actor, Operator};
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::PresentedKey;
use keygate_core::manager::{ApiKeyManager, NewKey};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::{Scope, ScopeSet};
use keygate_core::store::MemoryStore;
use keygate_core::usage::report::{Breakdown, Share, UsageQuery};
use keygate_testkit::FaultyStore;

pub(crate) type Body = Full<Bytes>;

pub(crate) struct Deployment {
    pub(crate) manager: ApiKeyManager,
    pub(crate) store: FaultyStore,
    pub(crate) operator: Actor,
}

impl Deployment {
    pub(crate) async fn start() -> Self {
        let store = FaultyStore::new(MemoryStore::new());
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(store.clone(), ring).build().unwrap();
        manager.open().await.unwrap();
        Self { manager, store, operator: Operator::named("tests".parse().unwrap()).into() }
    }

    /// The text of a new key of ada at acme, which may `reports:read`.
    pub(crate) async fn key(&self) -> String {
        self.key_with(|_| {}).await
    }

    pub(crate) async fn key_with(&self, change: impl FnOnce(&mut NewKey)) -> String {
        let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
        new.scopes = Some(ScopeSet::parse(["reports:read"]).unwrap());
        change(&mut new);
        self.manager.create(&self.operator, new).await.unwrap().text.expose().to_owned()
    }

    /// What became of the requests of a key until now.
    pub(crate) async fn usage(&self, key: &str) -> Breakdown {
        assert!(self.manager.flush_usage(Duration::from_secs(60)).await);
        let id = PresentedKey::parse(key.as_bytes()).unwrap().id();
        self.manager.key_usage(&self.operator, id, UsageQuery::default()).await.unwrap().breakdown
    }

    /// A key whose tag another deployment made.
    pub(crate) async fn forgery() -> String {
        Self::start().await.key().await
    }
}

/// Answers with the user of the request's key, or `nobody`.
pub(crate) async fn whose<B>(request: Request<B>) -> Result<Response<Body>, Infallible> {
    let user = request.extensions().get::<Admission>().map_or("nobody".to_owned(), |key| key.user.to_string());
    Ok(Response::new(Full::from(user)))
}

pub(crate) fn shares(shares: &[Share]) -> Vec<(&str, u64)> {
    shares.iter().map(|share| (&*share.name, share.requests)).collect()
}

pub(crate) fn with_headers(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        let name = http::HeaderName::try_from(*name).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

pub(crate) fn with_key(key: &str) -> Request<()> {
    with_headers(&[("x-api-key", key)])
}

pub(crate) fn reason<B>(response: &Response<B>) -> Option<DenialReason> {
    response.extensions().get::<Denial>().map(Denial::reason)
}

pub(crate) async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(crate) fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}
