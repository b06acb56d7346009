use std::sync::Arc;

use http::Response;
use keygate_core::denial::Denial;
use keygate_core::scope::Scope;
use keygate_http::answer::{Answer, Realm};
use keygate_http::gate::Requirement;
use tower_layer::Layer;

use super::service::Require;
use crate::reject::ProblemRejection;

macro_rules! require_layer {
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
            pub fn on_reject<F, B>(self, reject: F) -> $name<F>
            where
                F: Fn(&Denial, Answer) -> Response<B>,
            {
                self.rejection(reject)
            }

            /// Refuses with the responses of this [`Reject`](crate::Reject).
            pub fn rejection<R2>(self, rejection: R2) -> $name<R2> {
                $name { requirement: self.requirement, rejection }
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
                Require { inner, requirement: Arc::clone(&self.requirement), rejection: self.rejection.clone() }
            }
        }
    };
}

require_layer! {
    /// Layer that refuses requests whose key's scopes do not cover one.
    RequireScope, Requirement::scope,
    /// A layer that needs this scope.
    scope
}

require_layer! {
    /// Layer that refuses requests whose key's permissions do not cover one.
    RequirePermission, Requirement::permission,
    /// A layer that needs this permission.
    permission
}
