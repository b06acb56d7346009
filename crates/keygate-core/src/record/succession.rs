//! A key's place in its rotation: which key it replaces, and which replaces it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::key::KeyId;

/// A key's place in its rotation. In JSON its fields stand among the key's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// The key that it was made to replace.
    #[serde(default)]
    pub predecessor_id: Option<KeyId>,
    /// The key that was made to replace it. Until its own end, which is that of its overlap, both are good.
    #[serde(default)]
    pub superseded: Option<Superseded>,
    /// Whether whoever holds it may claim its successor with it.
    #[serde(default)]
    pub hand_over: bool,
    /// From when its schedule's interval counts, if not from when it was made.
    #[serde(default)]
    pub scheduled_at: Option<DateTime<Utc>>,
}

/// By which key one was replaced, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// The key that was made to replace it.
    pub successor_id: KeyId,
    /// When that was.
    pub at: DateTime<Utc>,
}
