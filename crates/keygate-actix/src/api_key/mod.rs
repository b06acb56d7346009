//! Lets a request through only with an API key.
//!
//! [`ApiKeyTransform`] reads the request's credential, asks the
//! [`ApiKeyManager`](keygate_core::manager::ApiKeyManager), and either answers the request itself or passes it on
//! with an [`Admission`](keygate_core::context::Admission) in its extensions. Credential headers are marked as
//! sensitive, so that no `Debug` output of the headers shows the key.
//!
//! A refusal is a response and never an error: the middleware's error is the inner service's. A forged key is refused
//! without a store call; only when the store has to be asked is anything boxed or held back. The address of the
//! client is the connection's peer, or what [trusted proxies](ApiKeyTransform::trusted_proxies) say of it; never
//! `realip_remote_addr`, which any client can write.
//!
//! # Limits
//!
//! A request that is let in is charged to the limits of its key, after every other check: 1, or what
//! [`cost`](ApiKeyTransform::cost) says of it. What one route costs is said by [`Cost`](crate::Cost) around it. Where the
//! key has limits, the response tells of them in [`RateLimit-Policy` and `RateLimit`](keygate_http::rate_limit): what is
//! left when the response is there, whatever was charged or given back meanwhile. An error of the service within is passed
//! on as it is, and tells of none.
//!
//! # What is counted
//!
//! Each request of a key is counted twice: when it is decided over, with its endpoint, the client's address and where that
//! is, and when it is answered, with the class of its status. [`gate`](keygate_http::gate) tells more of that, and
//! [`ApiKeyManager::usage`](keygate_core::manager::ApiKeyManager::usage) reads it.
//!
//! - The endpoint is the pattern of the resource that the path matches: `/reports/{id}`. Guards are not asked, and resources
//!   of a scope that was made by `configure` or nested are found like others. [`endpoint`](ApiKeyTransform::endpoint) says
//!   something else.
//! - An error of the service within is counted by the status that it is answered with.
//! - A request whose future is dropped before there is a response is cancelled. actix-web drops it at once where a client
//!   resets an HTTP/2 stream; of HTTP/1 it takes a client that goes away for one that has merely said all, and answers it
//!   to the end, unless the server is made with `h1_allow_half_closed(false)`.
//!
//! # Workers
//!
//! `HttpServer` calls its closure once for each worker. Make the transform outside of it and clone it inside: clones
//! share one manager, and so what it keeps.
//!
//! # Beside other middleware
//!
//! Marking headers needs the request for itself, as actix-web's own routing and `NormalizePath` do: a middleware
//! further out that keeps a clone of the `HttpRequest` while it calls on makes all three panic. What a handler sees is
//! the word of the transform nearest to it: an inner one replaces the admission of an outer one, or removes it where
//! it lets a request through without a key. A request that passes two is checked, charged and counted twice, unless the inner one
//! denies it, which gives back what the outer one charged; to ask for more on some routes than on others use
//! [`RequireScope`](crate::RequireScope) within one [`ApiKeyTransform`].
//!
//! # Example
//!
//! ```
//! use actix_web::{App, test, web};
//! use keygate_actix::{ApiKey, ApiKeyTransform};
//! # use keygate_core::{actor::Operator, manager::{ApiKeyManager, NewKey}, ring::{MasterSecret, SecretRing}, store::MemoryStore};
//! use keygate_core::network::{Cidr, CidrSet};
//! use keygate_http::client_address::TrustedProxies;
//! use keygate_http::credentials::CredentialSources;
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = SecretRing::new(&MasterSecret::generate()?);
//! # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
//! # manager.open().await?;
//! # let operator = Operator::named("docs".parse()?).into();
//! # let key = manager.create(&operator, NewKey::new("acme".parse()?, "ada".parse()?)).await?.text;
//! async fn who(key: Option<ApiKey>) -> String {
//!     key.map_or("stranger".to_owned(), |key| key.user.to_string())
//! }
//!
//! let keys = ApiKeyTransform::new(manager)
//!     .credentials(CredentialSources::default().header("X-Acme-Key")?)
//!     .trusted_proxies(TrustedProxies::new(CidrSet::new([Cidr::new("10.0.0.0/8")?])?))
//!     .optional();
//! let app = test::init_service(App::new().wrap(keys).route("/", web::get().to(who))).await;
//!
//! let request = test::TestRequest::get().insert_header(("X-Acme-Key", key.expose())).to_request();
//! assert_eq!(test::call_and_read_body(&app, request).await, "ada");
//!
//! let request = test::TestRequest::get().to_request();
//! assert_eq!(test::call_and_read_body(&app, request).await, "stranger");
//! # Ok(())
//! # }
//! ```

mod future;
mod request;
mod routes;
mod service;
mod transform;

pub use future::ResponseFuture;
pub use service::ApiKeyService;
pub use transform::ApiKeyTransform;
