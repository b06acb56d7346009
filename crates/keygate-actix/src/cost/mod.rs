//! What a part of a service costs.
//!
//! [`Cost`] stands within an [`ApiKeyTransform`](crate::ApiKeyTransform), and has a request cost so much of the key's
//! limits in the place of what the outer middleware charged, which is 1 unless it was told something else. What is to be
//! charged beyond that is charged before the service within is called; where there is no room for it, the request is
//! refused and costs nothing at all. A cost of 0 gives back what was charged, but does not let in what a limit has refused
//! further out: for that, have [`ApiKeyTransform::cost`](crate::ApiKeyTransform::cost) say 0.
//!
//! A request that an optional transform let through without a key costs nothing, nor does a preflight. One that no
//! transform has seen is refused as one without a key, and the log says as an error that the
//! [`ApiKeyTransform`](crate::ApiKeyTransform) is missing.
//!
//! Dropping the future while the store is asked gives up the request and leaves it charged what it was charged before; what
//! was taken of some limits while others were asked for is lost until their windows end.
//!
//! # Example
//!
//! ```
//! use actix_web::{App, HttpResponse, test, web};
//! use keygate_actix::{ApiKeyTransform, Cost};
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::limits::Limits;
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! let mut new = NewKey::new("acme".parse()?, "ada".parse()?);
//! new.limits = Some(Limits { per_day: Some(15), ..Limits::UNLIMITED });
//! let key = manager.create(&operator, new).await?.text;
//!
//! let reports = web::resource("/reports").wrap(Cost::new(10)).post(HttpResponse::Ok);
//! let app = test::init_service(App::new().wrap(ApiKeyTransform::new(manager)).service(reports)).await;
//!
//! let request = || test::TestRequest::post().uri("/reports").insert_header(("X-API-Key", key.expose())).to_request();
//! let response = test::call_service(&app, request()).await;
//! assert_eq!(response.status(), 200);
//! let left = response.headers().get("ratelimit").map(|field| field.as_bytes());
//! assert!(left.is_some_and(|left| left.starts_with(br#""day";r=5;t="#)));
//! assert_eq!(test::call_service(&app, request()).await.status(), 429);
//! # Ok(())
//! # }
//! ```

mod future;
mod service;
mod transform;

pub use future::ResponseFuture;
pub use service::CostService;
pub use transform::Cost;
