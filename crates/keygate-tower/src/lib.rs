//! keygate for Tower services: axum, tonic and hyper.
//!
//! | | |
//! |---|---|
//! | [`api_key`] | [`ApiKeyLayer`]: lets a request through only with a key, and tells the service whose it is |
//! | [`require`] | [`RequireScope`] and [`RequirePermission`]: what a part of the service needs of the key |
//! | [`cost`] | [`Cost`]: what a part of the service costs, in the place of what the layer charged |
//! | [`reject`] | how a refusal becomes a response, and how to write your own |
//! | `extract` | the extractor `ApiKey` (feature `axum`) |
//! | [`peer`] | where the client's address comes from |
//!
//! # What is counted
//!
//! Every request of a key, once when it is decided over and once when it is answered: its outcome, its endpoint, the client's
//! address and where that is, and the class of the status; what nobody waited for is counted as cancelled. What that is for
//! axum and for gRPC is told by [`api_key`], and how it is read by
//! [`ApiKeyManager::usage`](keygate_core::manager::ApiKeyManager::usage).
//!
//! # Features
//!
//! - `axum`: the extractor, client addresses from axum's `ConnectInfo`, and endpoints from its `MatchedPath`.
//! - `tonic`: gRPC rejections, and client addresses from tonic's connection information.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use keygate_core::context::Admission;
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_tower::ApiKeyLayer;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! # let key = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?.text;
//! async fn hello(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
//!     let user = request.extensions().get::<Admission>().map(|admission| admission.user.to_string());
//!     Ok(Response::new(Full::from(user.unwrap_or_default())))
//! }
//!
//! let service = ServiceBuilder::new().layer(ApiKeyLayer::new(manager)).service_fn(hello);
//!
//! let request = Request::builder().header("X-API-Key", key.expose()).body(Full::default())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 200);
//!
//! let request = Request::builder().body(Full::default())?;
//! assert_eq!(service.oneshot(request).await?.status(), 401);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api_key;
pub mod cost;
mod deprecation;
#[cfg(feature = "axum")]
pub mod extract;
mod grpc;
mod header_lines;
pub mod peer;
mod rate_limit;
pub mod reject;
pub mod require;
mod route;

pub use api_key::{ApiKeyLayer, ApiKeyService};
pub use cost::Cost;
#[cfg(feature = "axum")]
pub use extract::{ApiKey, ApiKeyRejection};
pub use keygate_core::context::Admission;
pub use keygate_http::gate::Asked;
pub use peer::PeerAddress;
#[cfg(feature = "tonic")]
pub use reject::GrpcRejection;
pub use reject::{ProblemRejection, Reject};
pub use require::{RequirePermission, RequireScope};
