//! An instance of the API over the memory store, and requests to it.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use keygate_admin::Admin;
use keygate_core::actor::{Actor, Operator};
use keygate_core::manager::{ApiKeyManager, NewKey};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::ScopeSet;
use keygate_core::store::MemoryStore;
use serde_json::Value;
use tower::ServiceExt;

/// The API, and keys to call it with.
pub struct Api {
    pub manager: ApiKeyManager,
    pub router: Router,
    /// The operator's key.
    pub operator: String,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The word for why it was not done.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Who acts outside the API.
pub fn boss() -> Operator {
    Operator::named("tests".parse().unwrap())
}

impl Api {
    pub async fn new() -> Self {
        Self::over(MemoryStore::new()).await
    }

    pub async fn over(store: impl keygate_core::store::Store) -> Self {
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(store, ring).build().unwrap();
        let operator = manager.ensure_operator_key(&boss()).await.unwrap().unwrap().text.expose().to_owned();
        let router = Admin::new(manager.clone()).router();
        Self { manager, router, operator }
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
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("X-API-Key", key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("Content-Type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }
}
