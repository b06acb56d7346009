//! Whether a key may be used at all.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::names::{NameError, Reason};

/// The status its keepers give a key. Expiry is not one: it comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// In use.
    Active,
    /// Stopped, and may be activated again.
    Inactive,
    /// Stopped for good: no later write brings it back.
    Revoked,
}

impl KeyStatus {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a key is at a given time: its status, or expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// May be used.
    Active,
    /// Deactivated.
    Inactive,
    /// Revoked.
    Revoked,
    /// Ended by itself.
    Expired,
}

impl KeyState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyState {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        [Self::Active, Self::Inactive, Self::Revoked, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| NameError::new("status", "must be active, inactive, revoked or expired"))
    }
}

/// A status, since when a key is in it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// The state.
    pub status: KeyStatus,
    /// Since when.
    #[serde(rename = "status_changed_at")]
    pub at: DateTime<Utc>,
    /// Why, if somebody said.
    #[serde(rename = "status_reason")]
    pub reason: Option<Reason>,
}

impl StatusChange {
    /// A change to `status` at a time (kept to the millisecond), for a reason.
    #[must_use]
    pub fn new(status: KeyStatus, at: DateTime<Utc>, reason: Option<Reason>) -> Self {
        Self { status, at: crate::clock::to_millis(at), reason }
    }
}
