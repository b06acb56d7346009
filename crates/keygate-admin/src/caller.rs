//! Who calls, and whether they may.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, StatusCode};
use keygate_core::actor::{Actor, ManagementPermission, Operator};
use keygate_core::context::Admission;
use keygate_tower::RequirePermission;

use crate::middleware::access_log::From;
use crate::problem::Problem;

/// Whoever calls, by the key they were let in with.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// As whom the call is done.
    pub(crate) actor: Actor,
    /// The key.
    pub(crate) admission: Admission,
}

impl Caller {
    /// Refuses a caller without a permission that this call needs beside that of its route.
    pub(crate) fn demand(&self, permission: ManagementPermission) -> Result<(), Problem> {
        let needed = self.admission.require_permission(&permission.scope());
        needed.map_err(|denial| Problem::lacks(permission, denial.detail()))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.extensions).ok_or_else(|| {
            tracing::error!("a call of the management API came past the layer that checks keys");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "The server is not set up as it should be.",
            )
        })
    }
}

impl Caller {
    /// Whoever makes the request with these extensions.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        let admission = extensions.get::<Admission>()?;
        let from = extensions.get::<From>().and_then(|From(address)| *address);
        Some(Self { actor: Actor::with_key(admission).at_address(from), admission: admission.clone() })
    }
}

/// The operator, who alone may make some calls, whatever permissions another holds.
#[derive(Debug, Clone)]
pub(crate) struct OperatorCaller(pub(crate) Operator);

impl<S: Sync> FromRequestParts<S> for OperatorCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        match caller.actor.operator() {
            Some(operator) => Ok(Self(operator.clone())),
            None => Err(Problem::forbidden("Only an operator's key, of the organization system, may do this.")),
        }
    }
}

/// The layer that lets only keys with this permission through.
pub(crate) fn needs(permission: ManagementPermission) -> RequirePermission {
    RequirePermission::new(permission.scope())
}
