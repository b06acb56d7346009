//! An instance of the API over the memory store, and requests to it.

#![allow(unreachable_pub)]

pub mod documented;
pub mod world;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use keygate_admin::Admin;
use keygate_core::actor::{Actor, Operator};
use keygate_core::clock::{Clock, SystemClock};
use keygate_core::import::{ImportPattern, ImportPolicy};
use keygate_core::manager::{ApiKeyManager, NewKey};
use keygate_core::names::NameError;
use keygate_core::notice::{NotTaken, Notice, WebhookSecret, WebhookSender, WebhookUrl};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::ScopeSet;
use keygate_core::store::{MemoryStore, Store};
use serde_json::Value;
use tower::ServiceExt;

/// Which texts may be those of imported keys.
pub const IMPORTED: &str = "legacy=sk_live_[A-Za-z0-9]{24}";

/// The API, and keys to call it with.
pub struct Api {
    pub manager: ApiKeyManager,
    pub router: Router,
    /// The operator's key.
    pub operator: String,
}

/// Sends notices to nobody, who takes them.
#[derive(Debug)]
pub struct Nobody;

#[async_trait::async_trait]
impl WebhookSender for Nobody {
    fn check(&self, _: &WebhookUrl) -> Result<(), NameError> {
        Ok(())
    }

    async fn send(&self, url: &WebhookUrl, _: &[WebhookSecret], _: &Notice) -> Result<(), NotTaken> {
        if url.as_str().contains("never") { Err(NotTaken::for_good("never")) } else { Ok(()) }
    }
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
    /// The body as it was sent.
    pub text: String,
}

impl Answer {
    /// The word for why it was not done.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body of a key that is shown, without what is left of its limits, which is no part of its record.
    pub fn record(&self) -> Value {
        let mut record = self.body.clone();
        assert!(record.as_object_mut().unwrap().remove("limits_left").unwrap().is_array(), "{self:?}");
        record
    }
}

/// That it was not done for this reason, which names this word, and is said in the form of all problems.
#[track_caller]
pub fn assert_problem(answer: &Answer, status: u16, reason: &str, word: &str) {
    assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["type"], format!("urn:keygate:problem:{reason}"));
    assert!(answer.body["detail"].as_str().unwrap().contains(word), "{word}: {answer:?}");
}

/// Who acts outside the API.
pub fn boss() -> Operator {
    Operator::named("tests".parse().unwrap())
}

impl Api {
    pub async fn new() -> Self {
        Self::over(MemoryStore::new()).await
    }

    pub async fn over(store: impl Store) -> Self {
        Self::with(store, SystemClock).await
    }

    pub async fn over_shared(store: Arc<dyn Store>) -> Self {
        Self::begin(store, SystemClock).await
    }

    pub async fn with(store: impl Store, clock: impl Clock) -> Self {
        Self::begin(Arc::new(store), clock).await
    }

    async fn begin(store: Arc<dyn Store>, clock: impl Clock) -> Self {
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let pattern = ImportPattern::parse(IMPORTED).unwrap();
        let imports = ImportPolicy::default().pattern(pattern).unwrap();
        let manager = ApiKeyManager::builder_shared(store, ring).clock(clock).imports(imports);
        let manager = manager.webhooks(Nobody).build().unwrap();
        let operator = manager.ensure_operator_key(&boss()).await.unwrap().unwrap().text.expose().to_owned();
        let router = Admin::new(manager.clone()).router();
        Self { manager, router, operator }
    }

    /// With settings of the API's own.
    pub async fn built(store: impl keygate_core::store::Store, settings: impl FnOnce(Admin) -> Admin) -> Self {
        let api = Self::over(store).await;
        let router = settings(Admin::new(api.manager.clone())).router();
        Self { router, ..api }
    }

    /// A tenant's key with these permissions, which may hand out what these patterns cover.
    pub async fn tenant(&self, organization: &str, permissions: &[&str], grantable: &[&str]) -> String {
        let mut new = NewKey::new(organization.parse().unwrap(), "admin".parse().unwrap());
        new.permissions = ScopeSet::parse(permissions).unwrap();
        new.grantable = ScopeSet::parse(grantable).unwrap();
        let created = self.manager.create(&Actor::from(boss()), new).await.unwrap();
        created.text.expose().to_owned()
    }

    /// A call: `POST /v1/organizations`.
    pub async fn call(&self, key: &str, call: &str, body: Option<Value>) -> Answer {
        self.send(key, call, &[], body).await
    }

    pub async fn send(&self, key: &str, call: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        match body {
            Some(body) => {
                let headers = [&[("Content-Type", "application/json")], headers].concat();
                self.raw(key, call, &headers, body.to_string()).await
            }
            None => self.raw(key, call, headers, Body::empty()).await,
        }
    }

    /// A call with a body of any kind, and no headers but these.
    pub async fn raw(&self, key: &str, call: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("X-API-Key", key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// Makes a key through the API, and gives the answer's body.
    pub async fn make(&self, key: &str, organization: &str, asked: Value) -> Value {
        let made = self.call(key, &format!("POST /v1/organizations/{organization}/keys"), Some(asked)).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body
    }
}
