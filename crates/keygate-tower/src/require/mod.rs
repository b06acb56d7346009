//! What a part of a service needs of the key.
//!
//! [`RequireScope`] and [`RequirePermission`] stand within an [`ApiKeyLayer`](crate::ApiKeyLayer) and refuse
//! requests whose key does not cover one scope or permission. They read the admission that the outer layer left in the
//! request; the key is not checked again. What a request was charged that they refuse is given back.
//!
//! A request without an admission is refused as one without a key. Where that is because no [`ApiKeyLayer`] stands
//! before them, the log says so as an error: nobody can get in, which is the safe way to be wrong.
//!
//! [`ApiKeyLayer`]: crate::ApiKeyLayer
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::scope::Scope;
//! use keygate_tower::{ApiKeyLayer, RequireScope};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! # let key = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?.text;
//! let service = ServiceBuilder::new()
//!     .layer(ApiKeyLayer::new(manager))
//!     .layer(RequireScope::new(Scope::new("reports:read")?))
//!     .service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())));
//!
//! // A key without this scope.
//! let request = Request::builder().header("X-API-Key", key.expose()).body(())?;
//! assert_eq!(service.oneshot(request).await?.status(), 403);
//! # Ok(())
//! # }
//! ```

mod future;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use layer::{RequirePermission, RequireScope};
pub use service::Require;
