//! Which anomalies are looked for, from when on something is unusual, and what comes of it: `KEYGATE_ANOMALY_*`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use keygate_core::anomaly::{AnomalyPolicy, Rule};

use super::{SettingError, whole_number};

const WITHOUT: &str = "KEYGATE_ANOMALY_WITHOUT";
const SUSPEND_ON: &str = "KEYGATE_ANOMALY_SUSPEND_ON";
const LEARNING_DAYS: &str = "KEYGATE_ANOMALY_LEARNING_DAYS";
const VOLUME_FLOOR: &str = "KEYGATE_ANOMALY_VOLUME_FLOOR";
const VOLUME_SIGMAS: &str = "KEYGATE_ANOMALY_VOLUME_SIGMAS";
const ERROR_POINTS: &str = "KEYGATE_ANOMALY_ERROR_POINTS";
const DORMANT_DAYS: &str = "KEYGATE_ANOMALY_DORMANT_DAYS";
const SPREAD_NETWORKS: &str = "KEYGATE_ANOMALY_SPREAD_NETWORKS";

/// Stands for all rules.
const ALL: &str = "all";

pub(super) fn read(
    lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
) -> Result<AnomalyPolicy, SettingError> {
    let (without, suspend_on) = (rules(WITHOUT, lookup(WITHOUT)?)?, rules(SUSPEND_ON, lookup(SUSPEND_ON)?)?);
    if let Some(rule) = suspend_on.intersection(&without).next() {
        return Err(SettingError::new(SUSPEND_ON, format!("has {rule}, which {WITHOUT} leaves out")));
    }
    let policy = AnomalyPolicy::new().without(without).suspend_on(suspend_on);
    let policy = with(policy, &lookup, LEARNING_DAYS, AnomalyPolicy::LEARNING_DAYS, AnomalyPolicy::learning_days)?;
    let policy = with(policy, &lookup, VOLUME_FLOOR, AnomalyPolicy::VOLUME_FLOOR, AnomalyPolicy::volume_floor)?;
    let policy = with(policy, &lookup, VOLUME_SIGMAS, AnomalyPolicy::VOLUME_SIGMAS, AnomalyPolicy::volume_sigmas)?;
    let policy = with(policy, &lookup, ERROR_POINTS, AnomalyPolicy::ERROR_POINTS, AnomalyPolicy::error_points)?;
    let policy = with(policy, &lookup, DORMANT_DAYS, AnomalyPolicy::DORMANT_DAYS, AnomalyPolicy::dormant_days)?;
    with(policy, &lookup, SPREAD_NETWORKS, AnomalyPolicy::SPREAD_NETWORKS, AnomalyPolicy::spread_networks)
}

/// Rules, separated by commas, or all of them.
fn rules(name: &'static str, text: Option<String>) -> Result<BTreeSet<Rule>, SettingError> {
    let Some(text) = text else { return Ok(BTreeSet::new()) };
    if text.trim() == ALL {
        return Ok(Rule::ALL.into());
    }
    let known = || Rule::ALL.map(Rule::as_str).join(", ");
    let refused = |part: &str| SettingError::new(name, format!("has {part:?}: a rule is one of {}, or {ALL}", known()));
    text.split(',').map(|part| part.trim().parse().map_err(|_| refused(part.trim()))).collect()
}

/// The policy with a threshold, if it is set.
fn with<T: Display + FromStr + PartialOrd>(
    policy: AnomalyPolicy,
    lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
    name: &'static str,
    range: RangeInclusive<T>,
    set: fn(AnomalyPolicy, T) -> AnomalyPolicy,
) -> Result<AnomalyPolicy, SettingError> {
    Ok(match whole_number(name, lookup(name)?, range)? {
        Some(number) => set(policy, number),
        None => policy,
    })
}
