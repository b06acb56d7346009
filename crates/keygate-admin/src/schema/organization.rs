//! What stands above keys.

use serde::Serialize;
use utoipa::ToSchema;

use super::values::OrganizationIdShape;

/// Whether the keys of an organization or a project may be used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ParentStatus)]
pub(crate) enum ParentStatusShape {
    /// They may.
    Active,
    /// They are refused until it is active again.
    Suspended,
}

/// What was configured for an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub(crate) struct OrganizationShape {
    /// Its id.
    organization_id: OrganizationIdShape,
    /// Counts its writes; 0 for one that nobody configured.
    revision: u64,
    /// Whether its keys may be used.
    status: ParentStatusShape,
    /// How many keys it may have; null is the server's default.
    #[schema(required, maximum = 1_000_000_000_000_u64)]
    max_keys: Option<u64>,
    /// How many keys each of its users may have; null is the server's default.
    #[schema(required, maximum = 1_000_000_000_000_u64)]
    max_keys_per_user: Option<u64>,
}
