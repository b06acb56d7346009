//! Reading what a management API shows. What a caller asks for must have no field that is not known, or a limit that was
//! misspelt would be none; what is shown may have more of them, as it may come from a newer version.

use serde::{Deserialize, Deserializer};

use super::key::RotationSchedule;
use super::policy::{KeyDefaults, KeyPolicy, NamePattern, kept_pattern};
use super::tier::SecurityTier;
use crate::limits::{Fallback, Limits};
use crate::names::Environment;
use crate::network::CidrSet;
use crate::scope::ScopeSet;

#[derive(Deserialize)]
#[serde(remote = "Limits")]
struct ShownLimits {
    #[serde(default)]
    per_minute: Option<u64>,
    #[serde(default)]
    per_hour: Option<u64>,
    #[serde(default)]
    per_day: Option<u64>,
    #[serde(default)]
    per_month: Option<u64>,
    #[serde(default)]
    burst: Option<u64>,
    #[serde(default)]
    fallback: Fallback,
}

#[derive(Deserialize)]
#[serde(remote = "RotationSchedule")]
struct ShownSchedule {
    interval_days: u32,
    warning_days: u32,
    auto_rotate: bool,
    notify_users: bool,
    overlap_days: u32,
}

#[derive(Deserialize)]
#[serde(remote = "KeyPolicy")]
struct ShownPolicy {
    #[serde(default)]
    longest_life_days: Option<u32>,
    #[serde(default)]
    required_scopes: ScopeSet,
    #[serde(default)]
    require_allowed_ips: bool,
    #[serde(default)]
    forbid_wildcards: bool,
    #[serde(default)]
    allowed_environments: Option<Vec<Environment>>,
    #[serde(default, deserialize_with = "kept_pattern")]
    name_pattern: Option<NamePattern>,
}

#[derive(Deserialize)]
#[serde(remote = "KeyDefaults")]
struct ShownDefaults {
    #[serde(default)]
    expires_in_days: Option<u32>,
    #[serde(default)]
    security_tier: Option<SecurityTier>,
    #[serde(default)]
    allowed_ips: Option<CidrSet>,
}

/// Limits, with whatever else is said of them.
pub(super) fn limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    ShownLimits::deserialize(deserializer)
}

/// Limits or none, with whatever else is said of them.
pub(super) fn some_limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Limits>, D::Error> {
    #[derive(Deserialize)]
    struct Shown(#[serde(with = "ShownLimits")] Limits);

    Ok(Option::<Shown>::deserialize(deserializer)?.map(|Shown(limits)| limits))
}

/// A schedule or none, with whatever else is said of it.
pub(super) fn schedule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RotationSchedule>, D::Error> {
    #[derive(Deserialize)]
    struct Shown(#[serde(with = "ShownSchedule")] RotationSchedule);

    Ok(Option::<Shown>::deserialize(deserializer)?.map(|Shown(schedule)| schedule))
}

/// A policy or none, with whatever else is said of it.
pub(super) fn policy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyPolicy>, D::Error> {
    #[derive(Deserialize)]
    struct Shown(#[serde(with = "ShownPolicy")] KeyPolicy);

    Ok(Option::<Shown>::deserialize(deserializer)?.map(|Shown(policy)| policy))
}

/// Defaults or none, with whatever else is said of them.
pub(super) fn defaults<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyDefaults>, D::Error> {
    #[derive(Deserialize)]
    struct Shown(#[serde(with = "ShownDefaults")] KeyDefaults);

    Ok(Option::<Shown>::deserialize(deserializer)?.map(|Shown(defaults)| defaults))
}
