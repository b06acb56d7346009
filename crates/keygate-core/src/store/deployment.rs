//! The deployment marker: what tells a store that was emptied from one that never knew a key.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ring::EntryId;

/// Written once when a deployment first uses a store, and changed only when the secret ring changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Random; another id is another deployment.
    pub id: Uuid,
    /// When it was set up.
    pub created_at: DateTime<Utc>,
    /// The salt of a passphrase: random, 16 bytes, not secret.
    pub salt: [u8; 16],
    /// The ring entries that records may name, in the order they came in. Taking one out is refused while a usable key
    /// names it.
    pub ring_entries: Vec<EntryId>,
}

impl Deployment {
    /// A new deployment, without ring entries yet.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new(now: DateTime<Utc>) -> Result<Self, getrandom::Error> {
        let (mut id, mut salt) = ([0; 16], [0; 16]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut salt)?;
        let id = uuid::Builder::from_random_bytes(id).into_uuid();
        Ok(Self { id, created_at: crate::clock::to_millis(now), salt, ring_entries: Vec::new() })
    }

    /// Whether `entry` came in after `other`. Records move from older entries to newer ones and never back, so that
    /// instances whose rings differ, while a secret is being replaced, do not move them to and fro.
    #[must_use]
    pub fn is_newer(&self, entry: EntryId, other: EntryId) -> bool {
        let place = |entry| self.ring_entries.iter().position(|known| *known == entry);
        matches!((place(entry), place(other)), (Some(entry), Some(other)) if entry > other)
    }

    /// The marker as stores keep it: JSON, for an operator's eyes.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
