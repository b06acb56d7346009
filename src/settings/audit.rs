//! How much of the audit is kept: `KEYGATE_AUDIT_*`.

use keygate_core::audit::{AuditPolicy, MAX_RETENTION_DAYS, MIN_KEPT_BYTES};

use super::{SettingError, whole_number};

const RETENTION_DAYS: &str = "KEYGATE_AUDIT_RETENTION_DAYS";
const MEGABYTES: &str = "KEYGATE_AUDIT_MEGABYTES";
const MEGABYTE: u64 = 1_000_000;
const MOST_MEGABYTES: u64 = 1_000_000;

pub(super) fn read(
    lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
) -> Result<AuditPolicy, SettingError> {
    let mut policy = AuditPolicy::default();
    if let Some(days) = whole_number(RETENTION_DAYS, lookup(RETENTION_DAYS)?, 1..=MAX_RETENTION_DAYS)? {
        policy = policy.retention_days(days).map_err(|error| SettingError::new(RETENTION_DAYS, error.to_string()))?;
    }
    let least = MIN_KEPT_BYTES.div_ceil(MEGABYTE);
    if let Some(megabytes) = whole_number(MEGABYTES, lookup(MEGABYTES)?, least..=MOST_MEGABYTES)? {
        let kept = policy.most_bytes(megabytes * MEGABYTE);
        policy = kept.map_err(|error| SettingError::new(MEGABYTES, error.to_string()))?;
    }
    Ok(policy)
}
