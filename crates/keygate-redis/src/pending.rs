//! The entry that stands in an organization's slot while a change is under way.

use keygate_core::key::KeyId;
use keygate_core::names::{ProjectId, UserId};
use keygate_core::record::{Key, Revision};
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

/// Whose a key is, and so in which lists it stands beside its organization's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// `None` where a project's list alone tells of the key.
    pub(crate) user: Option<UserId>,
    pub(crate) project: Option<ProjectId>,
}

impl Owner {
    pub(crate) fn of(key: &Key) -> Self {
        Self { user: Some(key.user.clone()), project: key.project.clone() }
    }

    /// The user, and behind a colon, which no id has, the project if there is one.
    fn encode(&self) -> String {
        let user = self.user.as_ref().map_or("", UserId::as_str);
        match &self.project {
            Some(project) => format!("{user}:{project}"),
            None => user.to_owned(),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let (user, project) = match text.split_once(':') {
            Some((user, project)) => (user, Some(ProjectId::new(project).ok()?)),
            None => (text, None),
        };
        let user = if user.is_empty() { None } else { Some(UserId::new(user).ok()?) };
        Some(Self { user, project })
    }
}

/// A change that was begun. Its bytes are the member of a sorted set: id 16, nonce 8, kind 1, revision 8, owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: KeyId,
    pub(crate) nonce: Nonce,
    pub(crate) change: Change,
    pub(crate) owner: Owner,
}

impl Pending {
    pub(crate) fn new(id: KeyId, change: Change, owner: Owner) -> Result<Self, StoreError> {
        Ok(Self { id, nonce: fresh_nonce()?, change, owner })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, revision) = match self.change {
            Change::Create => (b'c', Revision(0)),
            Change::Update => (b'u', Revision(0)),
            Change::Delete(revision) => (b'd', revision),
        };
        let owner = self.owner.encode();
        let mut entry = Vec::with_capacity(33 + owner.len());
        entry.extend(self.id.as_bytes());
        entry.extend(self.nonce);
        entry.push(kind);
        entry.extend(revision.0.to_be_bytes());
        entry.extend(owner.as_bytes());
        entry
    }

    pub(crate) fn decode(entry: &[u8]) -> Option<Self> {
        let (id, rest) = entry.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let (revision, owner) = rest.split_first_chunk()?;
        let change = match kind {
            b'c' => Change::Create,
            b'u' => Change::Update,
            b'd' => Change::Delete(Revision(u64::from_be_bytes(*revision))),
            _ => return None,
        };
        let owner = Owner::decode(std::str::from_utf8(owner).ok()?)?;
        Some(Self { id: KeyId::from_bytes(*id), nonce: *nonce, change, owner })
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
        let (bob, web) = (UserId::new("bob").unwrap(), ProjectId::new("web").unwrap());
        for change in [Change::Create, Change::Update, Change::Delete(Revision(7))] {
            for (user, project) in [(Some(&bob), None), (Some(&bob), Some(&web)), (None, Some(&web))] {
                let owner = Owner { user: user.cloned(), project: project.cloned() };
                let pending = Pending::new(id, change, owner).unwrap();
                assert_eq!(Pending::decode(&pending.encode()), Some(pending));
            }
        }
        assert_eq!(Pending::decode(b"short"), None);
    }
}
