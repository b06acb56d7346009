//! The key of a request as an argument of an axum handler.
//!
//! # Example
//!
//! ```
//! use axum::{Router, body::Body, routing::get};
//! use http::Request;
//! use http_body_util::BodyExt;
//! use keygate_core::limiter::policy::Standing;
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_tower::{ApiKey, ApiKeyLayer};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! # let key = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?.text;
//! async fn hello(key: ApiKey) -> String {
//!     format!("hello {}", key.user)
//! }
//!
//! /// What is left of each limit, as far as this instance knows.
//! async fn left(key: ApiKey) -> String {
//!     let left = |limit: Standing| format!("{}: {} of {}\n", limit.policy, limit.remaining, limit.policy.limit);
//!     key.limits().into_iter().map(left).collect()
//! }
//!
//! let app = Router::new().route("/", get(hello)).route("/left", get(left)).layer(ApiKeyLayer::new(manager));
//!
//! let request = |path| Request::get(path).header("X-API-Key", key.expose()).body(Body::empty());
//! assert_eq!(app.clone().oneshot(request("/")?).await?.status(), 200);
//! let left = app.clone().oneshot(request("/left")?).await?.into_body().collect().await?.to_bytes();
//! assert!(left.starts_with(b"minute: 99"));
//! assert_eq!(app.oneshot(Request::get("/").body(Body::empty())?).await?.status(), 401);
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_http::answer::Realm;
use keygate_http::gate::{self, WithoutKey};

use crate::reject::{ProblemRejection, refuse};

/// The key a request was admitted by. It reads as the [`Key`](keygate_core::record::Key), and knows what is left of its
/// limits: [`limits`](Admission::limits), and [`tightest_limit`](Admission::tightest_limit) alone.
///
/// As `Option<ApiKey>` it is `None` for a request without a key, which an optional
/// [`ApiKeyLayer`](crate::ApiKeyLayer) lets through. See the [module docs](self) for an example.
#[derive(Debug, Clone)]
pub struct ApiKey(pub Admission);

impl Deref for ApiKey {
    type Target = Admission;
    fn deref(&self) -> &Admission {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for ApiKey {
    type Rejection = ApiKeyRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiKeyRejection> {
        match (parts.extensions.get::<Admission>(), parts.extensions.get::<WithoutKey>()) {
            (Some(admission), _) => Ok(Self(admission.clone())),
            (None, Some(_)) => Err(ApiKeyRejection::NoKey),
            (None, None) => Err(ApiKeyRejection::LayerMissing),
        }
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for ApiKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Admission>().cloned().map(Self))
    }
}

/// Why a handler that asks for an [`ApiKey`] was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyRejection {
    /// No [`ApiKeyLayer`](crate::ApiKeyLayer) stands before the handler. That is a mistake in the program: 500.
    LayerMissing,
    /// An optional layer let a request without a key through, and this handler needs one: 401.
    NoKey,
}

impl fmt::Display for ApiKeyRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LayerMissing => {
                "ApiKeyLayer is missing: add it to the router, with .layer() after the route of this handler"
            }
            Self::NoKey => "this handler needs an API key, and the request carries none",
        })
    }
}

impl std::error::Error for ApiKeyRejection {}

impl IntoResponse for ApiKeyRejection {
    fn into_response(self) -> Response {
        match self {
            Self::LayerMissing => {
                tracing::error!("{self}");
                (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
            }
            Self::NoKey => {
                let denial = Denial::new(DenialReason::MissingKey);
                refuse(&ProblemRejection, gate::refuse(&denial, &Realm::default()), denial)
            }
        }
    }
}
