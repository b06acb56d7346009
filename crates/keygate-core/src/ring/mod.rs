//! The secret ring: the master secrets a deployment mints and checks keys under.
//!
//! One entry is current, others are retired: still good for checking, no longer used for minting. Each entry
//! gives separate subkeys by HKDF-SHA-256 (RFC 5869), told apart by a label: one for the tag inside a key's text, one for
//! the digest in its record, one for what is kept of a digest that was imported, one for what an imported key is found
//! under, one for requests that are to be known again, one for the seals of the [audit](crate::audit), and one for what is kept
//! encrypted. None is enough to forge the others.

mod entry;
mod seal;
mod source;

use std::fmt;
use std::sync::Arc;

use crate::key::PresentedKey;

pub use entry::EntryId;
pub(crate) use entry::RingEntry;
pub use seal::{SealError, Sealed};
pub use source::{MasterSecret, PASSPHRASE_ITERATIONS, SecretError};

/// The most retired entries: a forged key costs one hash for each entry before it is refused.
pub const MAX_RETIRED: usize = 7;

/// Why a ring cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The same secret stands in it twice.
    #[error("the secret ring names entry {0} twice; leave the current secret out of the retired ones")]
    Repeated(EntryId),
    /// There are more retired entries than [`MAX_RETIRED`].
    #[error("the secret ring has {0} retired secrets, of which at most {MAX_RETIRED} are allowed")]
    TooMany(usize),
}

/// The current master secret and the retired ones. Cheap to clone; `Debug` shows entry ids, never secrets.
#[derive(Clone)]
pub struct SecretRing {
    /// The current entry first.
    entries: Arc<[RingEntry]>,
}

impl SecretRing {
    /// A ring of one entry.
    #[must_use]
    pub fn new(current: &MasterSecret) -> Self {
        Self { entries: Arc::new([RingEntry::derive(current)]) }
    }

    /// A ring whose retired entries still check the keys minted under them.
    ///
    /// # Errors
    /// When a secret stands in it twice, or more than [`MAX_RETIRED`] are retired.
    pub fn with_retired(current: &MasterSecret, retired: &[MasterSecret]) -> Result<Self, RingError> {
        if retired.len() > MAX_RETIRED {
            return Err(RingError::TooMany(retired.len()));
        }
        let mut entries: Vec<RingEntry> = Vec::with_capacity(retired.len() + 1);
        for secret in std::iter::once(current).chain(retired) {
            let entry = RingEntry::derive(secret);
            if entries.iter().any(|other| other.id() == entry.id()) {
                return Err(RingError::Repeated(entry.id()));
            }
            entries.push(entry);
        }
        Ok(Self { entries: entries.into() })
    }

    /// The id of the current entry.
    #[must_use]
    pub fn current_id(&self) -> EntryId {
        self.current().id()
    }

    /// The ids of all entries, the current one first.
    pub fn entry_ids(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.entries.iter().map(RingEntry::id)
    }

    pub(crate) fn current(&self) -> &RingEntry {
        &self.entries[0]
    }

    /// All entries, the current one first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &RingEntry> {
        self.entries.iter()
    }

    pub(crate) fn entry(&self, id: EntryId) -> Option<&RingEntry> {
        self.entries.iter().find(|entry| entry.id() == id)
    }

    /// The entry whose tag the presented key carries: `None` is a forgery, or a key of another deployment.
    pub(crate) fn minted_under(&self, presented: &PresentedKey<'_>) -> Option<EntryId> {
        self.entries.iter().find(|entry| presented.has_tag(entry.tag(presented.tagged()))).map(RingEntry::id)
    }
}

impl fmt::Debug for SecretRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretRing").field("entries", &self.entry_ids().collect::<Vec<_>>()).finish()
    }
}
