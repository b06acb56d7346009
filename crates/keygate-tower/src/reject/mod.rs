//! How a refusal becomes a response.
//!
//! The layers know no response body: whatever makes a response of a [`Denial`] and the [`Answer`] worked out for it
//! will do, which is what [`Reject`] says. [`ProblemRejection`], the default, sends the answer as it is, for every
//! body that can be made from bytes: axum's, hyper's, `http_body_util::Full`. `GrpcRejection` (feature `tonic`) sends
//! it as a gRPC status. A closure is a [`Reject`] too.
//!
//! Every response to a refused request carries the [`Denial`] in its extensions, so that a layer further out can
//! count or log by reason without a [`Reject`] of its own.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! # use keygate_core::{manager::ApiKeyManager, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::denial::{Denial, DenialReason};
//! use keygate_tower::{ApiKeyLayer, ProblemRejection, Reject};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! let layer = ApiKeyLayer::new(manager).on_reject(|denial, answer| {
//!     let mut response: Response<Full<Bytes>> = ProblemRejection.reject(denial, answer);
//!     *response.body_mut() = Full::from(format!("sorry: {}", denial.detail()));
//!     response
//! });
//! let service = ServiceBuilder::new()
//!     .layer(layer)
//!     .service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::default()));
//!
//! let response = service.oneshot(Request::new(())).await?;
//! assert_eq!(response.extensions().get::<Denial>().map(Denial::reason), Some(DenialReason::MissingKey));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "tonic")]
mod grpc;
mod problem;

#[cfg(feature = "tonic")]
pub use grpc::GrpcRejection;
use http::Response;
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;
pub use problem::ProblemRejection;

/// Makes a response of a denial. See the [module docs](self) for an example.
pub trait Reject<B> {
    /// The response. `answer` is what keygate would say: status, headers and a problem body. The layer puts the
    /// denial into the response's extensions afterwards.
    fn reject(&self, denial: &Denial, answer: Answer) -> Response<B>;
}

impl<F, B> Reject<B> for F
where
    F: Fn(&Denial, Answer) -> Response<B>,
{
    fn reject(&self, denial: &Denial, answer: Answer) -> Response<B> {
        self(denial, answer)
    }
}

/// The one way a refusal becomes a response: the denial goes into its extensions.
pub(crate) fn refuse<B, R: Reject<B>>(rejection: &R, answer: Answer, denial: Denial) -> Response<B> {
    let mut response = rejection.reject(&denial, answer);
    response.extensions_mut().insert(denial);
    response
}
