//! Whether this manager and its store belong together: the deployment marker and the secret ring.
//!
//! Until the store has confirmed the ring once, nothing is decided by a tag alone: with a wrong secret every genuine
//! key would look forged, and that is trouble (503), not a wrong key (401).

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::audit::{Unsealed, unsealed_under};
use crate::names::OrganizationId;
use crate::ring::{EntryId, SecretRing};
use crate::store::{Deployment, Store, StoreError};

/// How long a failure is answered again before the store is asked anew.
const RETRY: Duration = Duration::from_millis(250);
/// How often a lost race for the marker is run again.
const RACES: usize = 16;

/// Why a manager and its store do not belong together.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The store did not answer.
    #[error(transparent)]
    Store(std::sync::Arc<StoreError>),
    /// The store was set up under other secrets.
    #[error(
        "the configured secret does not fit this store: it was set up under {}, and the ring has {}; \
         set the secret the store was set up with, or add it to the retired secrets",
        list(.store), list(.ring)
    )]
    WrongSecret {
        /// What the store knows.
        store: Vec<EntryId>,
        /// What the ring has.
        ring: Vec<EntryId>,
    },
    /// A secret was dropped that keys still need.
    #[error(
        "ring entry {entry} was dropped while {keys} keys still need it; put its secret back among the \
         retired secrets until those keys are rotated, revoked or expired, and those with sensitive fields erased"
    )]
    StillNamed {
        /// The dropped entry.
        entry: EntryId,
        /// How many keys need it.
        keys: u64,
    },
    /// A secret was dropped that the audit still needs.
    #[error(
        "ring entry {entry} was dropped while {seals} seals of the audit still name it, which could not be verified \
         without it; put its secret back among the retired secrets until they are not kept any more"
    )]
    StillSealed {
        /// The dropped entry.
        entry: EntryId,
        /// How many seals name it.
        seals: u64,
    },
    /// A secret was dropped under which something was written in the audit that is not sealed yet.
    #[error(
        "ring entry {entry} was dropped while entry {sequence} of the audit of {organization} that was written under it is \
         not sealed yet; put its secret back among the retired secrets for a while, and a server seals it, as does \
         keygate audit verify"
    )]
    StillUnsealed {
        /// The dropped entry.
        entry: EntryId,
        /// Whose audit.
        organization: OrganizationId,
        /// The first such entry.
        sequence: u64,
    },
    /// The marker that was there is gone.
    #[error("the store has been emptied: its deployment marker is gone; restore it, or restart to set it up anew")]
    Emptied,
    /// Others keep changing the marker.
    #[error("the deployment marker keeps changing under this instance; try again")]
    Contended,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

fn list(entries: &[EntryId]) -> String {
    match entries {
        [] => "no ring entry".into(),
        [one] => format!("ring entry {one}"),
        many => format!("ring entries {}", many.iter().map(EntryId::to_string).collect::<Vec<_>>().join(", ")),
    }
}

impl From<StoreError> for SetupError {
    fn from(error: StoreError) -> Self {
        Self::Store(std::sync::Arc::new(error))
    }
}

/// Reads the deployment marker, or sets a new deployment up on a store that has none. For those who need its salt
/// before they have a secret ring.
///
/// # Errors
/// When the store does not answer.
pub async fn prepare_deployment(store: &dyn Store, now: DateTime<Utc>) -> Result<Deployment, SetupError> {
    for _ in 0..RACES {
        if let Some(found) = store.deployment().await? {
            return Ok(found);
        }
        let fresh = Deployment::new(now)?;
        if store.put_deployment(None, &fresh).await? {
            tracing::info!(deployment = %fresh.id, store = %store.describe(), "set up a new deployment");
            return Ok(fresh);
        }
    }
    Err(SetupError::Contended)
}

/// What this instance knows of its deployment.
#[derive(Debug)]
pub(super) struct Setup {
    /// The deployment that has confirmed the ring. Another one in its place is a store that was emptied.
    confirmed: OnceLock<Uuid>,
    /// The last failure, and when it was. The lock also makes the attempts single file.
    failed: Mutex<Option<(Instant, SetupError)>>,
}

impl Setup {
    pub(super) fn new() -> Self {
        Self { confirmed: OnceLock::new(), failed: Mutex::new(None) }
    }

    /// Whether the store has confirmed the ring.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed.get().is_some()
    }

    /// Has the ring confirmed, asking the store if nobody has or has failed just now.
    pub(super) async fn open(
        &self,
        store: &dyn Store,
        ring: &SecretRing,
        now: DateTime<Utc>,
    ) -> Result<(), SetupError> {
        if self.is_confirmed() {
            return Ok(());
        }
        let mut failed = self.failed.lock().await;
        if self.is_confirmed() {
            return Ok(());
        }
        if let Some((at, error)) = &*failed
            && at.elapsed() < RETRY
        {
            return Err(error.clone());
        }
        match confirm(store, ring, now).await {
            Ok(deployment) => {
                *failed = None;
                self.confirmed.get_or_init(|| deployment.id);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, store = %store.describe(), "the deployment could not be confirmed");
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The marker, while it is the one that confirmed the ring. `None` is a store that was emptied, even if somebody has
    /// set it up anew: what this instance knows of it is no longer there.
    pub(super) async fn marker(&self, store: &dyn Store) -> Result<Option<Deployment>, StoreError> {
        let confirmed = self.confirmed.get();
        Ok(store.deployment().await?.filter(|found| Some(&found.id) == confirmed))
    }

    /// Before something is written for this deployment: that its marker still stands, and names the ring's current
    /// entry. An instance with an older ring may have dropped it while no key named it yet; nobody would then be told
    /// that a key needs it.
    pub(super) async fn confirm_current(
        &self,
        store: &dyn Store,
        ring: &SecretRing,
        now: DateTime<Utc>,
    ) -> Result<Deployment, SetupError> {
        self.open(store, ring, now).await?;
        let found = self.marker(store).await?.ok_or(SetupError::Emptied)?;
        if found.ring_entries.contains(&ring.current_id()) { Ok(found) } else { confirm(store, ring, now).await }
    }
}

/// Brings the marker and the ring together, or says why they cannot be.
async fn confirm(store: &dyn Store, ring: &SecretRing, now: DateTime<Utc>) -> Result<Deployment, SetupError> {
    for _ in 0..RACES {
        let found = prepare_deployment(store, now).await?;
        let mut next = found.clone();
        let known = |entry: &EntryId| found.ring_entries.contains(entry);
        let missing: Vec<EntryId> =
            found.ring_entries.iter().copied().filter(|entry| !ring.entry_ids().any(|ours| ours == *entry)).collect();
        if !found.ring_entries.is_empty() && missing.len() == found.ring_entries.len() {
            return Err(SetupError::WrongSecret { store: found.ring_entries, ring: ring.entry_ids().collect() });
        }
        if !missing.is_empty() {
            let usage = store.ring_usage().await?;
            if let Some((entry, keys)) = missing.iter().find_map(|entry| usage.get_key_value(entry)) {
                return Err(SetupError::StillNamed { entry: *entry, keys: *keys });
            }
            let sealed = store.audit_ring_usage().await?;
            if let Some((entry, seals)) = missing.iter().find_map(|entry| sealed.get_key_value(entry)) {
                return Err(SetupError::StillSealed { entry: *entry, seals: *seals });
            }
            let unsealed = unsealed_under(store, |entry| missing.contains(&entry)).await?;
            if let Some(Unsealed { organization, sequence, ring_entry: entry }) = unsealed.into_iter().next() {
                return Err(SetupError::StillUnsealed { entry, organization, sequence });
            }
            next.ring_entries.retain(|entry| !missing.contains(entry));
        }
        // The marker keeps entries in the order they came in: the current one, which comes first in the ring, is newest.
        let mut fresh: Vec<EntryId> = ring.entry_ids().filter(|entry| !known(entry)).collect();
        fresh.reverse();
        next.ring_entries.extend(fresh);
        if next == found || store.put_deployment(Some(&found), &next).await? {
            return Ok(next);
        }
    }
    Err(SetupError::Contended)
}
