//! Lets a request through only with an API key.
//!
//! [`ApiKeyLayer`] reads the request's credential, asks the [`ApiKeyManager`](keygate_core::manager::ApiKeyManager),
//! and either answers the request itself or passes it on with an [`Admission`](keygate_core::context::Admission) in
//! its extensions. What it passes on has its credential headers marked as sensitive, so that no `Debug` output of the
//! headers shows the key.
//!
//! A refusal is a response and never an error: the layer's error is the inner service's. A forged key is refused
//! without a store call; only when the store has to be asked is anything boxed or held back.
//!
//! # Limits
//!
//! A request that is let in is charged to the limits of its key, after every other check: 1, or what
//! [`cost`](ApiKeyLayer::cost) says of it. What one route costs is said by [`Cost`](crate::Cost) around it. Where the key
//! has limits, the response tells of them in [`RateLimit-Policy` and `RateLimit`](keygate_http::rate_limit): what is left
//! when the response is there, whatever was charged or given back meanwhile.
//!
//! # What is counted
//!
//! Each request of a key is counted twice: when it is decided over, with its endpoint, the client's address and where that
//! is, and when it is answered, with the class of its status. [`gate`](keygate_http::gate) tells more of that, and
//! [`ApiKeyManager::usage`](keygate_core::manager::ApiKeyManager::usage) reads it.
//!
//! - The endpoint is the pattern of the route that axum's router has matched (feature `axum`), which is known to a layer put
//!   on a router by `layer` or `route_layer`, and to none around it. Of a gRPC call it is the method, as the client names it.
//!   [`endpoint`](ApiKeyLayer::endpoint) says it for other routers.
//! - An error of the service within is a server's error. A gRPC call that fails at once is counted by its `grpc-status`: 2
//!   `UNKNOWN`, 4 `DEADLINE_EXCEEDED` and 12 to 15 are a server's errors, 1 is cancelled, all others a client's. Whatever
//!   becomes of a stream after it has begun, it has begun well.
//! - A request whose client goes away before there is a response is cancelled: servers drop its future then.
//!
//! # Nesting
//!
//! What a handler sees is the word of the layer nearest to it: an inner [`ApiKeyLayer`] replaces the admission of an
//! outer one, or removes it where it lets a request through without a key. A request that passes two layers is
//! checked, charged and counted twice, unless the inner one denies it, which gives back what the outer one charged; to ask for more
//! on some routes than on others use [`RequireScope`](crate::RequireScope) within one [`ApiKeyLayer`].
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use keygate_core::context::Admission;
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::network::{Cidr, CidrSet};
//! use keygate_http::client_address::TrustedProxies;
//! use keygate_http::credentials::CredentialSources;
//! use keygate_tower::ApiKeyLayer;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! # let key = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?.text;
//! let layer = ApiKeyLayer::new(manager)
//!     .credentials(CredentialSources::default().header("X-Acme-Key")?)
//!     .trusted_proxies(TrustedProxies::new(CidrSet::new([Cidr::new("10.0.0.0/8")?])?))
//!     .optional();
//! let service = layer.layer(service_fn(async |request: Request<()>| {
//!     let admission = request.extensions().get::<Admission>();
//!     let name = admission.map_or("stranger".to_owned(), |admission| admission.user.to_string());
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(name)))
//! }));
//!
//! let with_key = Request::builder().header("X-Acme-Key", key.expose()).body(())?;
//! let response = service.clone().oneshot(with_key).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "ada");
//!
//! let response = service.clone().oneshot(Request::new(())).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "stranger");
//!
//! let with_bad_key = Request::builder().header("X-Acme-Key", "mcp_dev_bad").body(())?;
//! assert_eq!(service.oneshot(with_bad_key).await?.status(), 401);
//! # Ok(())
//! # }
//! ```

mod future;
mod layer;
mod request;
mod service;
mod underway;

pub use future::ResponseFuture;
pub use layer::ApiKeyLayer;
pub use request::HttpGate;
pub use service::ApiKeyService;
