//! How much of the audit is kept: `KEYGATE_AUDIT_*`.

use keygate_core::audit::{AuditPolicy, MAX_RETENTION_DAYS};

use super::{SettingError, whole_number};

const RETENTION_DAYS: &str = "KEYGATE_AUDIT_RETENTION_DAYS";

pub(super) fn read(
    lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
) -> Result<AuditPolicy, SettingError> {
    let policy = AuditPolicy::default();
    match whole_number(RETENTION_DAYS, lookup(RETENTION_DAYS)?, 1..=MAX_RETENTION_DAYS)? {
        Some(days) => policy.retention_days(days).map_err(|error| SettingError::new(RETENTION_DAYS, error.to_string())),
        None => Ok(policy),
    }
}
