//! What keys have to be, and what new ones are where nobody says.

use serde::Serialize;
use utoipa::ToSchema;

use super::key::SecurityTierShape;
use super::values::{EnvironmentShape, NetworkShape, ScopeShape};

/// What keys have to be, of whoever makes or changes them. Those that are there go on as they are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyPolicy)]
pub(crate) struct KeyPolicyShape {
    /// They end within so many days of their making; null is at any time.
    #[schema(required, minimum = 1, maximum = 36_500)]
    longest_life_days: Option<u32>,
    /// Their scopes cover each of these.
    #[schema(max_items = 64)]
    required_scopes: Vec<ScopeShape>,
    /// Whether they say which networks they may be used from, none of which is everywhere.
    require_allowed_ips: bool,
    /// Whether there may be no wildcard in their scopes, their permissions and what they may hand on.
    forbid_wildcards: bool,
    /// They are for one of these environments; null is for any.
    #[schema(required, min_items = 1, max_items = 64)]
    allowed_environments: Option<Vec<EnvironmentShape>>,
    /// A regular expression that the whole of their name matches, in the syntax of the Rust crate `regex`; null is any name.
    #[schema(required, min_length = 1, max_length = 256, example = "[a-z]+-[0-9]{3}")]
    name_pattern: Option<String>,
}

/// What keys have to be from now on: all of it. What is not said is not asked of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKeyPolicy)]
pub(crate) struct NewKeyPolicyShape {
    /// They end within so many days of their making. At any time by default.
    #[schema(minimum = 1, maximum = 36_500)]
    longest_life_days: Option<u32>,
    /// Their scopes cover each of these.
    #[schema(required = false, max_items = 64)]
    required_scopes: Vec<ScopeShape>,
    /// Whether they say which networks they may be used from, none of which is everywhere.
    #[schema(required = false, default = false)]
    require_allowed_ips: bool,
    /// Whether there may be no wildcard in their scopes, their permissions and what they may hand on.
    #[schema(required = false, default = false)]
    forbid_wildcards: bool,
    /// They are for one of these environments. For any by default.
    #[schema(min_items = 1, max_items = 64)]
    allowed_environments: Option<Vec<EnvironmentShape>>,
    /// A regular expression that the whole of their name matches, in the syntax of the Rust crate `regex`. Any name by default.
    #[schema(min_length = 1, max_length = 256, example = "[a-z]+-[0-9]{3}")]
    name_pattern: Option<String>,
}

/// What new keys are where nobody says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyDefaults)]
pub(crate) struct KeyDefaultsShape {
    /// In how many days they end; null says nothing.
    #[schema(required, minimum = 1, maximum = 36_500)]
    expires_in_days: Option<u32>,
    /// How carefully they are kept; null says nothing.
    #[schema(required)]
    security_tier: Option<SecurityTierShape>,
    /// Networks they may be used from, of which an empty list is anywhere; null says nothing.
    #[schema(required, max_items = 64)]
    allowed_ips: Option<Vec<NetworkShape>>,
}

/// What new keys are from now on where nobody says: all of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKeyDefaults)]
pub(crate) struct NewKeyDefaultsShape {
    /// In how many days they end.
    #[schema(minimum = 1, maximum = 36_500)]
    expires_in_days: Option<u32>,
    /// How carefully they are kept.
    security_tier: Option<SecurityTierShape>,
    /// Networks they may be used from; an empty list is anywhere.
    #[schema(max_items = 64)]
    allowed_ips: Option<Vec<NetworkShape>>,
}
