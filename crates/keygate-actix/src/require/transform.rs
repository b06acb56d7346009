use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use keygate_core::denial::Denial;
use keygate_core::scope::Scope;
use keygate_http::answer::{Answer, Realm};
use keygate_http::gate::Requirement;

use super::service::Require;
use crate::reject::{ProblemRejection, Reject};

macro_rules! require_transform {
    ($(#[$doc:meta])* $name:ident, $requirement:path, $(#[$new:meta])* $what:ident) => {
        $(#[$doc])*
        ///
        /// See the [module docs](super) for an example.
        #[derive(Debug, Clone)]
        #[must_use]
        pub struct $name<R = ProblemRejection> {
            requirement: Arc<Requirement>,
            rejection: R,
        }

        impl $name {
            $(#[$new])*
            pub fn new($what: Scope) -> Self {
                Self { requirement: Arc::new($requirement($what)), rejection: ProblemRejection }
            }
        }

        impl<R> $name<R> {
            /// Names what is protected, in `WWW-Authenticate`. `keygate` if never called.
            pub fn realm(self, realm: Realm) -> Self {
                let requirement = Arc::unwrap_or_clone(self.requirement).realm(realm);
                Self { requirement: Arc::new(requirement), rejection: self.rejection }
            }

            /// Refuses with the responses that `reject` makes. It gets the denial and the answer keygate would give.
            pub fn on_reject<F>(self, reject: F) -> $name<F>
            where
                F: Fn(&Denial, Answer) -> HttpResponse,
            {
                self.rejection(reject)
            }

            /// Refuses with the responses of this [`Reject`](crate::Reject).
            pub fn rejection<R2>(self, rejection: R2) -> $name<R2> {
                $name { requirement: self.requirement, rejection }
            }
        }

        impl<S, R, B> Transform<S, ServiceRequest> for $name<R>
        where
            S: Service<ServiceRequest, Response = ServiceResponse<B>>,
            R: Reject + Clone,
        {
            type Response = ServiceResponse<EitherBody<B>>;
            type Error = S::Error;
            type Transform = Require<S, R>;
            type InitError = ();
            type Future = Ready<Result<Self::Transform, Self::InitError>>;

            fn new_transform(&self, inner: S) -> Self::Future {
                ready(Ok(Require { inner, requirement: Arc::clone(&self.requirement), rejection: self.rejection.clone() }))
            }
        }
    };
}

require_transform! {
    /// Middleware that refuses requests whose key's scopes do not cover one.
    RequireScope, Requirement::scope,
    /// A middleware that needs this scope.
    scope
}

require_transform! {
    /// Middleware that refuses requests whose key's permissions do not cover one.
    RequirePermission, Requirement::permission,
    /// A middleware that needs this permission.
    permission
}
