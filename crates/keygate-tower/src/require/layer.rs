use std::sync::Arc;

use http::Response;
use keygate_core::denial::Denial;
use keygate_core::scope::Scope;
use keygate_http::answer::{Answer, Realm};
use tower_layer::Layer;

use super::requirement::Requirement;
use super::service::{Require, Terms};
use crate::reject::ProblemRejection;

macro_rules! require_layer {
    ($(#[$doc:meta])* $name:ident, $requirement:path, $(#[$new:meta])* $what:ident) => {
        $(#[$doc])*
        ///
        /// See the [module docs](super) for an example.
        #[derive(Debug, Clone)]
        #[must_use]
        pub struct $name<R = ProblemRejection> {
            terms: Arc<Terms>,
            rejection: R,
        }

        impl $name {
            $(#[$new])*
            pub fn new($what: Scope) -> Self {
                let terms = Terms { requirement: $requirement($what), realm: Realm::default() };
                Self { terms: Arc::new(terms), rejection: ProblemRejection }
            }
        }

        impl<R> $name<R> {
            /// Names what is protected, in `WWW-Authenticate`. `keygate` if never called.
            pub fn realm(mut self, realm: Realm) -> Self {
                Arc::make_mut(&mut self.terms).realm = realm;
                self
            }

            /// Refuses with the responses that `reject` makes. It gets the denial and the answer keygate would give.
            pub fn on_reject<F, B>(self, reject: F) -> $name<F>
            where
                F: Fn(&Denial, Answer) -> Response<B>,
            {
                self.rejection(reject)
            }

            /// Refuses with the responses of this [`Reject`](crate::Reject).
            pub fn rejection<R2>(self, rejection: R2) -> $name<R2> {
                $name { terms: self.terms, rejection }
            }

            /// Refuses with a gRPC status.
            #[cfg(feature = "tonic")]
            pub fn grpc(self) -> $name<crate::GrpcRejection> {
                self.rejection(crate::GrpcRejection)
            }
        }

        impl<S, R: Clone> Layer<S> for $name<R> {
            type Service = Require<S, R>;

            fn layer(&self, inner: S) -> Self::Service {
                Require { inner, terms: Arc::clone(&self.terms), rejection: self.rejection.clone() }
            }
        }
    };
}

require_layer! {
    /// Layer that refuses requests whose key's scopes do not cover one.
    RequireScope, Requirement::Scope,
    /// A layer that needs this scope.
    scope
}

require_layer! {
    /// Layer that refuses requests whose key's permissions do not cover one.
    RequirePermission, Requirement::Permission,
    /// A layer that needs this permission.
    permission
}
