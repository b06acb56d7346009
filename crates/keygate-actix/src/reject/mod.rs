//! How a refusal becomes a response.
//!
//! Whatever makes a response of a [`Denial`] and the [`Answer`] worked out for it will do, which is what [`Reject`]
//! says. [`ProblemRejection`], the default, sends the answer as it is. A closure is a [`Reject`] too.
//!
//! Every response to a refused request carries the [`Denial`] in its extensions, so that a middleware further out can
//! count or log by reason without a [`Reject`] of its own.
//!
//! # Example
//!
//! ```
//! use actix_web::{App, HttpResponse, test};
//! # use keygate_core::{manager::ApiKeyManager, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::denial::{Denial, DenialReason};
//! use keygate_actix::ApiKeyTransform;
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! let keys = ApiKeyTransform::new(manager)
//!     .on_reject(|denial, _| HttpResponse::Forbidden().body(format!("sorry: {}", denial.detail())));
//! let app = test::init_service(App::new().wrap(keys)).await;
//!
//! let response = test::call_service(&app, test::TestRequest::get().to_request()).await;
//! assert_eq!(response.status(), 403);
//! let reason = response.response().extensions().get::<Denial>().map(Denial::reason);
//! assert_eq!(reason, Some(DenialReason::MissingKey));
//! # Ok(())
//! # }
//! ```

mod problem;

use actix_web::HttpResponse;
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;
pub use problem::ProblemRejection;

/// Makes a response of a denial. See the [module docs](self) for an example.
pub trait Reject {
    /// The response. `answer` is what keygate would say: status, headers and a problem body. The denial is put into
    /// the response's extensions afterwards.
    fn reject(&self, denial: &Denial, answer: Answer) -> HttpResponse;
}

impl<F> Reject for F
where
    F: Fn(&Denial, Answer) -> HttpResponse,
{
    fn reject(&self, denial: &Denial, answer: Answer) -> HttpResponse {
        self(denial, answer)
    }
}

/// The one way a refusal becomes a response: the denial goes into its extensions.
pub(crate) fn refuse<R: Reject>(rejection: &R, answer: Answer, denial: Denial) -> HttpResponse {
    let mut response = rejection.reject(&denial, answer);
    response.extensions_mut().insert(denial);
    response
}
