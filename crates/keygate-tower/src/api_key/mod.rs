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
//! # Nesting
//!
//! What a handler sees is the word of the layer nearest to it: an inner [`ApiKeyLayer`] replaces the admission of an
//! outer one, or removes it where it lets a request through without a key. A request that passes two layers is
//! checked and charged twice, unless the inner one denies it, which gives back what the outer one charged; to ask for more
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

pub use future::ResponseFuture;
pub use layer::ApiKeyLayer;
pub use request::HttpGate;
pub use service::ApiKeyService;
