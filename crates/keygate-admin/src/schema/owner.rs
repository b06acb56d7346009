//! Users and roles.

use serde::Serialize;
use utoipa::ToSchema;

use super::limits::LimitsShape;
use super::policy::{KeyDefaultsShape, KeyPolicyShape};
use super::values::{OrganizationIdShape, RoleNameShape, ScopeShape, UserIdShape};

/// Whether the keys of a user may be used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = UserStatus)]
pub(crate) enum UserStatusShape {
    /// They may.
    Active,
    /// They are refused until the user is active again.
    Suspended,
    /// The user has left: its keys are revoked, and none is made for it.
    Offboarded,
}

/// What was configured for a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserShape {
    /// The organization it is of.
    organization_id: OrganizationIdShape,
    /// Its id.
    user_id: UserIdShape,
    /// Counts its writes; 0 for one that nobody configured.
    revision: u64,
    /// Whether its keys may be used.
    status: UserStatusShape,
    /// Its roles; null caps nothing.
    #[schema(required)]
    roles: Option<Vec<RoleNameShape>>,
    /// How many keys it may have; null is what its organization says of each user.
    #[schema(required, maximum = 1_000_000_000_000_u64)]
    max_keys: Option<u64>,
    /// How much may be asked of all its keys together; null is what its organization says of each user.
    #[schema(required)]
    limits: Option<LimitsShape>,
    /// What its keys have to be, beside what the policies of its organization and of their projects say; null is nothing.
    #[schema(required)]
    policy: Option<KeyPolicyShape>,
    /// What its new keys are where nobody says; null says nothing.
    #[schema(required)]
    defaults: Option<KeyDefaultsShape>,
}

/// A user after a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedUser)]
pub(crate) struct ChangedUserShape {
    #[serde(flatten)]
    user: UserShape,
    /// How many keys this call revoked, because the user left.
    revoked_keys: u64,
    /// Whether no key of a user who left is to be revoked any more. Where some are, none of them can be used all the same:
    /// send the same again.
    complete: bool,
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
pub(crate) struct RoleShape {
    /// The organization it is of.
    organization_id: OrganizationIdShape,
    /// Its name.
    role: RoleNameShape,
    /// Grows with each change.
    revision: u64,
    /// What it is for.
    description: String,
    /// What keys may do whose user has it, if they were given it.
    permissions: Vec<ScopeShape>,
}

/// All roles of an organization, by their names.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoleList)]
pub(crate) struct RoleListShape {
    roles: Vec<RoleShape>,
}
