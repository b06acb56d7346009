//! Checking a presented key: parse, tag, record and verifier, then the [checks](crate::check).

use std::fmt;
use std::sync::Arc;

use chrono::TimeDelta;
use zeroize::Zeroizing;

use super::{ApiKeyManager, Inner, ManageError, events};
use crate::check::check;
use crate::context::{Admission, RequestContext};
use crate::denial::{Denial, DenialReason};
use crate::key::PresentedKey;
use crate::record::KeyRecord;
use crate::ring::EntryId;
use crate::store::StoreError;
use crate::verifier::{Scheme, Verifier};

/// How long a key whose record could not be moved to the current ring entry is left alone: a store that reads but does
/// not write must not cost a write, and perhaps a slow verifier, at every request.
const MOVE_AGAIN: TimeDelta = TimeDelta::seconds(60);

/// What can be said of a presented key at once.
#[derive(Debug)]
#[must_use]
pub enum Attempt {
    /// The decision.
    Decided(Result<Admission, Denial>),
    /// The store has to be asked.
    Pending(Pending),
}

/// A presented key whose record has to be read.
#[must_use]
pub struct Pending {
    manager: ApiKeyManager,
    text: Zeroizing<Vec<u8>>,
    /// The entry whose tag it carries, once a tag could be judged.
    minted_under: Option<EntryId>,
    context: RequestContext,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the text: it is the key.
        f.debug_struct("Pending").field("context", &self.context).finish_non_exhaustive()
    }
}

impl ApiKeyManager {
    /// Decides what can be decided without the store. A text that is not a key, or whose tag this deployment did not
    /// make, is refused here: no store call, no allocation, at most one hash for each ring entry.
    pub fn attempt(&self, text: &[u8], context: RequestContext) -> Attempt {
        let Ok(presented) = PresentedKey::parse(text) else {
            return Attempt::Decided(Err(Denial::new(DenialReason::MalformedKey)));
        };
        // Before the store has confirmed the ring, a tag that fails says nothing.
        let mut minted_under = None;
        if self.inner.setup.is_confirmed() {
            minted_under = self.inner.ring.minted_under(&presented);
            if minted_under.is_none() {
                return Attempt::Decided(Err(Denial::new(DenialReason::InvalidKey)));
            }
        }
        let text = Zeroizing::new(text.to_vec());
        Attempt::Pending(Pending { manager: self.clone(), text, minted_under, context })
    }

    /// Decides whether the key may be used for the request.
    ///
    /// Dropping the future gives up the answer and nothing else.
    ///
    /// # Errors
    /// The denial. A store that does not answer is one too ([`DenialReason::StoreUnavailable`]): never an acceptance,
    /// and never an invalid key.
    pub async fn validate(&self, text: &str, context: &RequestContext) -> Result<Admission, Denial> {
        match self.attempt(text.as_bytes(), context.clone()) {
            Attempt::Decided(decision) => decision,
            Attempt::Pending(pending) => pending.resolve().await,
        }
    }
}

impl Pending {
    /// Asks the store and decides.
    ///
    /// # Errors
    /// The denial, as of [`ApiKeyManager::validate`].
    pub async fn resolve(self) -> Result<Admission, Denial> {
        let Self { manager, text, minted_under, context } = self;
        manager.open().await.map_err(|_| Denial::store_unavailable())?;
        // Parsed once more, which is cheap beside the store: what was parsed does not outlive its text.
        let Ok(presented) = PresentedKey::parse(&text) else {
            return Err(Denial::new(DenialReason::MalformedKey));
        };
        let Some(minted_under) = minted_under.or_else(|| manager.inner.ring.minted_under(&presented)) else {
            return Err(Denial::new(DenialReason::InvalidKey));
        };
        manager.inner.decide(&presented, minted_under, &context).await
    }
}

impl Inner {
    async fn decide(
        &self,
        presented: &PresentedKey<'_>,
        minted_under: EntryId,
        context: &RequestContext,
    ) -> Result<Admission, Denial> {
        let trouble = |error: StoreError| {
            tracing::error!(%error, key_id = %presented.id(), store = %self.store.describe(), "a key could not be checked");
            Denial::store_unavailable()
        };
        let record = self.store.record(presented.id()).await.map_err(trouble)?;
        let Some(record) = record else {
            return Err(self.explain_absence(presented).await.map_err(trouble)?);
        };
        if !self.is_genuine(&record, presented, minted_under).await? {
            return Err(Denial::new(DenialReason::InvalidKey));
        }
        let parents =
            self.store.parents(&record.key.organization, record.key.project.as_ref()).await.map_err(trouble)?;
        let now = self.clock.now();
        check(&record.key, &parents, context, Some(self.environment), now).inspect_err(|denial| {
            tracing::debug!(key_id = %record.key.id, reason = %denial.reason(), "a key was refused");
        })?;
        if record.digested_under == self.ring.current_id() {
            return Ok(Admission::new(Arc::new(record.key)));
        }
        Ok(Admission::new(Arc::new(self.redigest(record, presented).await.key)))
    }

    /// A genuine tag without a record: the key was deleted, or the store was emptied. Only the holder of a genuine key
    /// gets here, to whom the time it takes tells nothing that the answer does not.
    async fn explain_absence(&self, presented: &PresentedKey<'_>) -> Result<Denial, StoreError> {
        if self.setup.marker(&*self.store).await?.is_some() {
            return Ok(Denial::new(DenialReason::InvalidKey));
        }
        tracing::error!(
            key_id = %presented.id(),
            store = %self.store.describe(),
            "a genuine key has no record and the deployment marker is not the one known: the store has been emptied"
        );
        Ok(Denial::store_unavailable())
    }

    /// Whether the record is this key's and the presented text is the one it was made from.
    async fn is_genuine(
        &self,
        record: &KeyRecord,
        presented: &PresentedKey<'_>,
        minted_under: EntryId,
    ) -> Result<bool, Denial> {
        let Some(entry) = self.ring.entry(record.digested_under) else {
            tracing::error!(
                key_id = %record.key.id,
                entry = %record.digested_under,
                "a key's record needs a ring entry that is not configured"
            );
            return Err(Denial::store_unavailable());
        };
        let digest = entry.digest(presented.text());
        let matches = if record.verifier.is_slow() {
            self.slow.matches(&record.verifier, &digest).await.map_err(|overloaded| {
                tracing::warn!(key_id = %record.key.id, %overloaded, "a key could not be checked");
                Denial::store_unavailable()
            })?
        } else {
            record.verifier.matches(&digest)
        };
        Ok(matches && record.minted_under == minted_under && record.key.id == presented.id())
    }

    /// Moves a record made under an older ring entry to the current one. A failure leaves it for a later use: the
    /// request has its answer already.
    async fn redigest(&self, record: KeyRecord, presented: &PresentedKey<'_>) -> KeyRecord {
        let now = self.clock.now();
        let lately = |at| (TimeDelta::zero()..MOVE_AGAIN).contains(&(now - at));
        if self.moves.get(&record.key.id).is_some_and(lately) {
            return record;
        }
        self.moves.insert(record.key.id, now);
        match self.move_to_current(&record, presented).await {
            Ok(Some(moved)) => {
                events::redigested(&moved.key);
                moved
            }
            Ok(None) => record,
            Err(error) => {
                tracing::warn!(key_id = %record.key.id, %error, "a key was not moved to the current ring entry");
                record
            }
        }
    }

    /// `None` where the current entry is the older one.
    async fn move_to_current(
        &self,
        record: &KeyRecord,
        presented: &PresentedKey<'_>,
    ) -> Result<Option<KeyRecord>, ManageError> {
        let marker = self.setup.confirm_current(&*self.store, &self.ring, self.clock.now()).await?;
        let entry = self.ring.current();
        if !marker.is_newer(entry.id(), record.digested_under) {
            return Ok(None);
        }
        let digest = entry.digest(presented.text());
        let mut moved = record.clone();
        moved.verifier = match record.verifier.scheme() {
            scheme @ Scheme::HmacSha256 => Verifier::make(scheme, digest)?,
            scheme @ Scheme::Pbkdf2Sha256 { .. } => self.slow.make(scheme, digest).await??,
        };
        moved.digested_under = entry.id();
        moved.key.revision = record.key.revision.next();
        self.store.replace(&moved, record.key.revision).await?;
        Ok(Some(moved))
    }
}
