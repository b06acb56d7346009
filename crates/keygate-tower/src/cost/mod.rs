//! What a part of a service costs.
//!
//! [`Cost`] stands within an [`ApiKeyLayer`](crate::ApiKeyLayer), and has a request cost so much of the key's limits in the
//! place of what the outer layer charged, which is 1 unless it was told something else. What is to be charged beyond that
//! is charged before the service within is called; where there is no room for it, the request is refused and costs nothing
//! at all. A cost of 0 gives back what was charged, but does not let in what a limit has refused further out: for that,
//! have [`ApiKeyLayer::cost`](crate::ApiKeyLayer::cost) say 0.
//!
//! A request that an optional layer let through without a key costs nothing, nor does a preflight. One that no layer has
//! seen is refused as one without a key, and the log says as an error that the [`ApiKeyLayer`](crate::ApiKeyLayer) is
//! missing.
//!
//! Dropping the future while the store is asked gives up the request and leaves it charged what it was charged before; what
//! was taken of some limits while others were asked for is lost until their windows end.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::limits::Limits;
//! use keygate_tower::{ApiKeyLayer, Cost};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! let mut new = NewKey::new("acme".parse()?, "ada".parse()?);
//! new.limits = Some(Limits { per_day: Some(15), ..Limits::UNLIMITED });
//! let key = manager.create(&operator, new).await?.text;
//!
//! let service = ServiceBuilder::new()
//!     .layer(ApiKeyLayer::new(manager))
//!     .layer(Cost::new(10))
//!     .service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())));
//!
//! let request = || Request::builder().header("X-API-Key", key.expose()).body(());
//! let response = service.clone().oneshot(request()?).await?;
//! assert_eq!(response.status(), 200);
//! assert!(response.headers()["ratelimit"].to_str()?.starts_with(r#""day";r=5;t="#));
//! assert_eq!(service.oneshot(request()?).await?.status(), 429);
//! # Ok(())
//! # }
//! ```

mod future;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use layer::Cost;
pub use service::CostService;
