//! The entry that stands in an organization's slot while a change is under way.

use keygate_core::key::KeyId;
use keygate_core::names::UserId;
use keygate_core::record::Revision;
use keygate_core::store::StoreError;

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Creates the key.
    Create,
    /// Changes what exists.
    Update,
    /// Erases the key at this revision.
    Delete(Revision),
}

/// Tells one change from another of the same key.
pub(crate) type Nonce = [u8; 8];

/// Fresh random bytes for one change, or for one batch of creations.
pub(crate) fn fresh_nonce() -> Result<Nonce, StoreError> {
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).map_err(|error| StoreError::unavailable(error.to_string()))?;
    Ok(nonce)
}

/// A change that was begun. Its bytes are the member of a sorted set: id 16, nonce 8, kind 1, revision 8, user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: KeyId,
    pub(crate) nonce: Nonce,
    pub(crate) change: Change,
    pub(crate) user: UserId,
}

impl Pending {
    pub(crate) fn new(id: KeyId, change: Change, user: &UserId) -> Result<Self, StoreError> {
        Ok(Self { id, nonce: fresh_nonce()?, change, user: user.clone() })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, revision) = match self.change {
            Change::Create => (b'c', Revision(0)),
            Change::Update => (b'u', Revision(0)),
            Change::Delete(revision) => (b'd', revision),
        };
        let mut entry = Vec::with_capacity(33 + self.user.as_str().len());
        entry.extend(self.id.as_bytes());
        entry.extend(self.nonce);
        entry.push(kind);
        entry.extend(revision.0.to_be_bytes());
        entry.extend(self.user.as_str().as_bytes());
        entry
    }

    pub(crate) fn decode(entry: &[u8]) -> Option<Self> {
        let (id, rest) = entry.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let (revision, user) = rest.split_first_chunk()?;
        let change = match kind {
            b'c' => Change::Create,
            b'u' => Change::Update,
            b'd' => Change::Delete(Revision(u64::from_be_bytes(*revision))),
            _ => return None,
        };
        let user = UserId::new(std::str::from_utf8(user).ok()?).ok()?;
        Some(Self { id: KeyId::from_bytes(*id), nonce: *nonce, change, user })
    }

    /// The revision that the key's absence stands for: the one after the last if this change erased it, else none.
    pub(crate) fn revision_of_absence(&self) -> Revision {
        match self.change {
            Change::Create | Change::Update => Revision(0),
            Change::Delete(revision) => revision.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_back() {
        let id: KeyId = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f".parse().unwrap();
        for change in [Change::Create, Change::Update, Change::Delete(Revision(7))] {
            let pending = Pending::new(id, change, &UserId::new("bob").unwrap()).unwrap();
            assert_eq!(Pending::decode(&pending.encode()), Some(pending));
        }
        assert_eq!(Pending::decode(b"short"), None);
    }
}
