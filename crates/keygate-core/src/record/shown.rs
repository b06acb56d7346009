//! Reading what a management API shows. What a caller asks for must have no field that is not known, or a limit that was
//! misspelt would be none; what is shown may have more of them, as it may come from a newer version.

use serde::{Deserialize, Deserializer};

use super::key::RotationSchedule;
use crate::limits::{Fallback, Limits};

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
