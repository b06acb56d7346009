//! keygate for actix-web.
//!
//! | | |
//! |---|---|
//! | [`api_key`] | [`ApiKeyTransform`]: lets a request through only with a key, and tells the handler whose it is |
//! | [`require`] | [`RequireScope`] and [`RequirePermission`]: what a part of the service needs of the key |
//! | [`cost`] | [`Cost`]: what a part of the service costs, in the place of what the transform charged |
//! | [`extract`] | [`ApiKey`]: the key as an argument of a handler |
//! | [`reject`] | how a refusal becomes a response, and how to write your own |
//!
//! What is decided, and how it reads on the wire, is the same as from `keygate-tower`, byte by byte.
//!
//! # What is counted
//!
//! Every request of a key, once when it is decided over and once when it is answered: its outcome, its endpoint, the client's
//! address and where that is, and the class of the status; what nobody waited for is counted as cancelled. What that is for
//! actix-web is told by [`api_key`], and how it is read by
//! [`ApiKeyManager::usage`](keygate_core::manager::ApiKeyManager::usage).
//!
//! # Example
//!
//! ```
//! use actix_web::{App, test, web};
//! use keygate_actix::{ApiKey, ApiKeyTransform};
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
//!     format!("hello {}", key.user)
//! }
//!
//! // Made once, outside of the closure that HttpServer calls for each worker: all of them share one manager.
//! let keys = ApiKeyTransform::new(manager);
//! let app = test::init_service(App::new().wrap(keys.clone()).route("/", web::get().to(hello))).await;
//!
//! let request = test::TestRequest::get().insert_header(("X-API-Key", key.expose())).to_request();
//! assert_eq!(test::call_and_read_body(&app, request).await, "hello ada");
//!
//! let request = test::TestRequest::get().to_request();
//! assert_eq!(test::call_service(&app, request).await.status(), 401);
//! # Ok(())
//! # }
//! ```

pub mod api_key;
pub mod cost;
mod deprecation;
pub mod extract;
mod header_lines;
mod rate_limit;
pub mod reject;
pub mod require;

pub use api_key::{ApiKeyService, ApiKeyTransform};
pub use cost::Cost;
pub use extract::{ApiKey, ApiKeyRejection};
pub use keygate_core::context::Admission;
pub use keygate_http::gate::Asked;
pub use reject::{ProblemRejection, Reject};
pub use require::{RequirePermission, RequireScope};
