//! How much of the audit is kept.

use chrono::TimeDelta;

use crate::names::NameError;

/// The most days that entries may be kept, some hundred years.
pub const MAX_RETENTION_DAYS: u32 = 36_500;
/// The least that may be kept of an organization's entries, in bytes.
pub const MIN_KEPT_BYTES: u64 = 1_000_000;

/// How much of the audit is kept, and what is written down of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditPolicy {
    pub(crate) is_on: bool,
    pub(crate) retention_days: u32,
    pub(crate) most_entries: u64,
    pub(crate) most_bytes: u64,
    pub(crate) refusals_a_minute: u32,
    pub(crate) samples_a_minute: u32,
}

impl Default for AuditPolicy {
    /// Entries are kept for 400 days, the newest million of an organization, and the newest gigabyte; 30 refusals of an
    /// organization are written down each minute by each instance, and 10 denials of its keys.
    fn default() -> Self {
        Self {
            is_on: true,
            retention_days: 400,
            most_entries: 1_000_000,
            most_bytes: 1_000_000_000,
            refusals_a_minute: 30,
            samples_a_minute: 10,
        }
    }
}

impl AuditPolicy {
    /// Nothing is written down. What is there already can be read, and is not taken away.
    #[must_use]
    pub fn off() -> Self {
        Self { is_on: false, ..Self::default() }
    }

    /// Keeps entries for so many days.
    ///
    /// # Errors
    /// When it is not 1 to [`MAX_RETENTION_DAYS`].
    pub fn retention_days(self, days: u32) -> Result<Self, NameError> {
        if !(1..=MAX_RETENTION_DAYS).contains(&days) {
            return Err(NameError::new("audit retention days", format!("must be 1 to {MAX_RETENTION_DAYS}")));
        }
        Ok(Self { retention_days: days, ..self })
    }

    /// Keeps so many entries of an organization, the newest; some more, as whole seals are taken away, and as what is written because
    /// an act was found open is not counted. Where any go for that before their time, a
    /// [verification](super::AuditVerification::cut_short_until) says so.
    ///
    /// # Errors
    /// When it is below 1,000.
    pub fn most_entries(self, entries: u64) -> Result<Self, NameError> {
        if entries < 1_000 {
            return Err(NameError::new("audit entries", "must be at least 1000"));
        }
        Ok(Self { most_entries: entries, ..self })
    }

    /// Keeps so many bytes of an organization's entries, the newest; some more, as whole seals are taken away, of a megabyte at
    /// most, what is not sealed yet, and what was written because an act was found open. A store needs some room besides for each entry, and seals take sixteen bytes of each.
    ///
    /// # Errors
    /// When it is below [`MIN_KEPT_BYTES`].
    pub fn most_bytes(self, bytes: u64) -> Result<Self, NameError> {
        if bytes < MIN_KEPT_BYTES {
            return Err(NameError::new("audit bytes", format!("must be at least {MIN_KEPT_BYTES}")));
        }
        Ok(Self { most_bytes: bytes, ..self })
    }

    /// Writes down so many refused acts of an organization each minute; how many more there were stands in the next that is.
    #[must_use]
    pub fn refusals_a_minute(self, refusals: u32) -> Self {
        Self { refusals_a_minute: refusals, ..self }
    }

    /// Writes down so many denials of an organization's keys each minute, of each key and reason one; how many more there
    /// were stands in the next that is.
    #[must_use]
    pub fn samples_a_minute(self, samples: u32) -> Self {
        Self { samples_a_minute: samples, ..self }
    }

    /// Whether anything is written down.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    pub(crate) fn retention(&self) -> TimeDelta {
        TimeDelta::days(self.retention_days.into())
    }
}
