//! What a part of a service needs of the key.
//!
//! [`RequireScope`] and [`RequirePermission`] stand within an [`ApiKeyTransform`](crate::ApiKeyTransform) and refuse
//! requests whose key does not cover one scope or permission. They read the admission that the outer middleware left
//! in the request; the key is not checked again. What a request was charged that they refuse is given back.
//!
//! A request without an admission is refused as one without a key. Where that is because no
//! [`ApiKeyTransform`](crate::ApiKeyTransform) stands before them, the log says so as an error: nobody can get in,
//! which is the safe way to be wrong.
//!
//! # Example
//!
//! ```
//! use actix_web::{App, HttpResponse, test, web};
//! use keygate_actix::{ApiKeyTransform, RequireScope};
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::scope::Scope;
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! # let key = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?.text;
//! let reports = web::resource("/reports")
//!     .wrap(RequireScope::new(Scope::new("reports:read")?))
//!     .get(HttpResponse::Ok);
//! let app = test::init_service(App::new().wrap(ApiKeyTransform::new(manager)).service(reports)).await;
//!
//! // A key without that scope.
//! let request = test::TestRequest::get().uri("/reports").insert_header(("X-API-Key", key.expose())).to_request();
//! assert_eq!(test::call_service(&app, request).await.status(), 403);
//! # Ok(())
//! # }
//! ```

mod future;
mod service;
mod transform;

pub use future::ResponseFuture;
pub use service::Require;
pub use transform::{RequirePermission, RequireScope};
