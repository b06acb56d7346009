//! Shapes that the document names: those of the core's own types, whose JSON is written there.

use serde::Serialize;
use utoipa::ToSchema;

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
    #[schema(example = "acme", pattern = "^[A-Za-z0-9._-]{1,128}$")]
    organization_id: String,
    /// Counts its writes; 0 for one that nobody configured.
    revision: u64,
    /// Whether its keys may be used.
    #[schema(inline = false)]
    status: ParentStatusShape,
    /// How many keys it may have; null is the server's default.
    #[schema(required)]
    max_keys: Option<u64>,
    /// How many keys each of its users may have; null is the server's default.
    #[schema(required)]
    max_keys_per_user: Option<u64>,
}
