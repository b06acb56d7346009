//! The key of a request as an argument of a handler.
//!
//! # Example
//!
//! ```
//! use actix_web::{App, test, web};
//! use keygate_actix::{ApiKey, ApiKeyTransform};
//! use keygate_core::limiter::policy::Standing;
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! # let key = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?.text;
//! async fn hello(key: ApiKey) -> String {
//!     format!("hello {}, with key {}", key.user, key.id)
//! }
//!
//! /// What is left of each limit, as far as this instance knows.
//! async fn left(key: ApiKey) -> String {
//!     let left = |limit: Standing| format!("{}: {} of {}\n", limit.policy, limit.remaining, limit.policy.limit);
//!     key.limits().into_iter().map(left).collect()
//! }
//!
//! let app = App::new().wrap(ApiKeyTransform::new(manager)).route("/", web::get().to(hello));
//! let app = test::init_service(app.route("/left", web::get().to(left))).await;
//!
//! let request = |path| test::TestRequest::get().uri(path).insert_header(("X-API-Key", key.expose())).to_request();
//! assert!(test::call_and_read_body(&app, request("/")).await.starts_with(b"hello ada, with key "));
//! assert!(test::call_and_read_body(&app, request("/left")).await.starts_with(b"minute: 99"));
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_http::answer::Realm;
use keygate_http::gate::{self, WithoutKey};

use crate::reject::{ProblemRejection, refuse};

/// The key a request was admitted by. It reads as the [`Key`](keygate_core::record::Key), and knows what is left of its
/// limits: [`limits`](Admission::limits), and [`tightest_limit`](Admission::tightest_limit) alone.
///
/// As `Option<ApiKey>` it is `None` for a request without a key, which an optional
/// [`ApiKeyTransform`](crate::ApiKeyTransform) lets through. See the [module docs](self) for an example.
#[derive(Debug, Clone)]
pub struct ApiKey(pub Admission);

impl Deref for ApiKey {
    type Target = Admission;
    fn deref(&self) -> &Admission {
        &self.0
    }
}

impl FromRequest for ApiKey {
    type Error = ApiKeyRejection;
    type Future = Ready<Result<Self, ApiKeyRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        ready(match (extensions.get::<Admission>(), extensions.get::<WithoutKey>()) {
            (Some(admission), _) => Ok(Self(admission.clone())),
            (None, Some(_)) => Err(ApiKeyRejection::NoKey),
            (None, None) => Err(ApiKeyRejection::TransformMissing),
        })
    }
}

/// Why a handler that asks for an [`ApiKey`] was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyRejection {
    /// No [`ApiKeyTransform`](crate::ApiKeyTransform) stands before the handler. That is a mistake in the program:
    /// 500.
    TransformMissing,
    /// An optional transform let a request without a key through, and this handler needs one: 401.
    NoKey,
}

impl fmt::Display for ApiKeyRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TransformMissing => {
                "ApiKeyTransform is missing: add it with .wrap() to the App, scope or resource of this handler"
            }
            Self::NoKey => "this handler needs an API key, and the request carries none",
        })
    }
}

impl std::error::Error for ApiKeyRejection {}

impl ResponseError for ApiKeyRejection {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::TransformMissing => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoKey => StatusCode::UNAUTHORIZED,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::TransformMissing => {
                tracing::error!("{self}");
                HttpResponse::build(self.status_code()).content_type("text/plain; charset=utf-8").body(self.to_string())
            }
            Self::NoKey => {
                let denial = Denial::new(DenialReason::MissingKey);
                refuse(&ProblemRejection, gate::refuse(&denial, &Realm::default()), denial)
            }
        }
    }
}
