//! One thing a key must cover.

use actix_web::dev::Extensions;
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::scope::Scope;

use crate::api_key::WithoutKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Requirement {
    Scope(Scope),
    Permission(Scope),
}

impl Requirement {
    pub(crate) fn check(&self, admission: &Admission) -> Result<(), Denial> {
        match self {
            Self::Scope(scope) => admission.require_scope(scope),
            Self::Permission(permission) => admission.require_permission(permission),
        }
    }

    /// Checks what an outer middleware left in a request.
    pub(super) fn check_request(&self, extensions: &Extensions) -> Result<(), Denial> {
        if let Some(admission) = extensions.get::<Admission>() {
            return self.check(admission);
        }
        match extensions.get::<WithoutKey>() {
            // Whoever answers preflights within has to see them; they carry no key, whoever sends them.
            Some(WithoutKey::Preflight) => return Ok(()),
            Some(WithoutKey::Optional) => {}
            None => tracing::error!(
                "ApiKeyTransform is missing: a scope or permission is required of a request that none has seen"
            ),
        }
        Err(Denial::new(DenialReason::MissingKey))
    }
}
