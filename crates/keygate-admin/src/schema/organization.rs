//! What stands above keys.

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
