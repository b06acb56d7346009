//! A key's fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::metadata::Metadata;
use super::shown;
use super::status::{KeyState, KeyStatus, StatusChange};
use super::succession::Succession;
use super::tier::SecurityTier;
use crate::key::KeyId;
use crate::limits::Limits;
use crate::names::{
    Description, Environment, FieldName, KeyName, NameError, OrganizationId, PrincipalId, ProjectId, Tag, UserId,
};
use crate::network::CidrSet;
use crate::ring::{EntryId, Sealed};
use crate::scope::ScopeSet;
use crate::store::LookupToken;
use crate::verifier::Verifier;

/// The most tags of one key.
pub const MAX_TAGS: usize = 32;

/// Counts the writes of one record; updates are compare-and-set on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// What is shown as the revision of something that exists with its defaults and was never written.
    pub const UNWRITTEN: Self = Self(0);
    /// The revision of a record that was just created.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which keys follow one another by rotation. They share their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The first key of the line.
    pub root: KeyId,
    /// 0 for the first key, one more for each rotation.
    pub generation: u32,
}

/// When a key is to be rotated, as recorded with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationSchedule {
    /// Days between rotations, 1 to 3650.
    pub interval_days: u32,
    /// Days of warning before one, below `interval_days`. 7 by default.
    #[serde(default = "default_warning")]
    pub warning_days: u32,
    /// Whether it happens by itself.
    #[serde(default)]
    pub auto_rotate: bool,
    /// Whether the key's owner is told. True by default.
    #[serde(default = "yes")]
    pub notify_users: bool,
    /// Days the old key stays valid, 0 to 365, below `interval_days`; at least 1 with `auto_rotate`. 7 by default.
    #[serde(default = "default_overlap")]
    pub overlap_days: u32,
}

fn default_warning() -> u32 {
    RotationSchedule::DEFAULT_WARNING_DAYS
}

fn default_overlap() -> u32 {
    RotationSchedule::DEFAULT_OVERLAP_DAYS
}

fn yes() -> bool {
    true
}

impl RotationSchedule {
    /// Days of warning when nobody says how many.
    pub const DEFAULT_WARNING_DAYS: u32 = 7;
    /// Days of an overlap when nobody says how many.
    pub const DEFAULT_OVERLAP_DAYS: u32 = 7;
    /// The most days of an overlap.
    pub const MAX_OVERLAP_DAYS: u32 = 365;

    /// Says which of its numbers is out of range.
    ///
    /// # Errors
    /// When one is.
    pub fn check(&self) -> Result<(), NameError> {
        if !(1..=3650).contains(&self.interval_days) {
            return Err(NameError::new("rotation interval_days", "must be 1 to 3650"));
        }
        if self.warning_days >= self.interval_days {
            return Err(NameError::new("rotation warning_days", "must be below interval_days"));
        }
        if self.overlap_days > Self::MAX_OVERLAP_DAYS {
            let problem = format!("must be 0 to {}", Self::MAX_OVERLAP_DAYS);
            return Err(NameError::new("rotation overlap_days", problem));
        }
        if self.overlap_days >= self.interval_days {
            return Err(NameError::new("rotation overlap_days", "must be below interval_days"));
        }
        if self.auto_rotate && self.overlap_days == 0 {
            // Without an overlap nobody could claim what it makes.
            return Err(NameError::new("rotation overlap_days", "must be at least 1 where auto_rotate is set"));
        }
        Ok(())
    }
}

/// All that may be shown of a key. Its JSON form is that of the management API. It is read with whatever fields a newer
/// version may have added, in its limits and its schedule too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The public id.
    #[serde(rename = "key_id")]
    pub id: KeyId,
    /// Counts its writes.
    pub revision: Revision,
    /// The tenant it belongs to.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Its owner.
    #[serde(rename = "user_id")]
    pub user: UserId,
    /// The project it is for, if for one.
    #[serde(rename = "project_id")]
    pub project: Option<ProjectId>,
    /// What people call it.
    pub name: KeyName,
    /// What it is for.
    pub description: Description,
    /// What it was given, in the grammar of scopes: its holder may do that as far as the roles of its owner cover it
    /// ([`Admission::effective_permissions`](crate::context::Admission::effective_permissions)).
    pub permissions: ScopeSet,
    /// What it may be used on.
    pub scopes: ScopeSet,
    /// What its holder may hand on to keys it creates.
    pub grantable: ScopeSet,
    /// How much may be asked of it.
    #[serde(deserialize_with = "shown::limits")]
    pub limits: Limits,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: PrincipalId,
    /// When it ends; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Before when it is refused.
    pub not_before: Option<DateTime<Utc>>,
    /// Whether it is active, since when, and why.
    #[serde(flatten)]
    pub status: StatusChange,
    /// Words it is found by.
    pub tags: Vec<Tag>,
    /// Networks it may be used from; empty is anywhere.
    pub allowed_ips: CidrSet,
    /// Where it may be used.
    pub environment: Environment,
    /// When it is to be rotated.
    #[serde(rename = "rotation", default, deserialize_with = "shown::schedule")]
    pub rotation_schedule: Option<RotationSchedule>,
    /// How carefully it is kept.
    pub security_tier: SecurityTier,
    /// Its place among rotated keys.
    pub lineage: Lineage,
    /// Which key it replaces, and which replaces it.
    #[serde(flatten)]
    pub succession: Succession,
    /// The user's own fields.
    pub metadata: Metadata,
    /// The names of those of the user's fields that are kept encrypted.
    #[serde(default)]
    pub sensitive_fields: Vec<FieldName>,
}

impl Key {
    /// Whether it ended before `now` or at it.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// What it is at `now`. Revoked and deactivated keys stay that after their end.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> KeyState {
        match self.status.status {
            KeyStatus::Revoked => KeyState::Revoked,
            KeyStatus::Inactive => KeyState::Inactive,
            KeyStatus::Active if self.is_expired(now) => KeyState::Expired,
            KeyStatus::Active => KeyState::Active,
        }
    }

    /// Until when it counts against its owner's quota: `None` is for ever, a time in the past is not at all. One that was
    /// superseded counts no longer, so that rotating needs no room.
    #[must_use]
    pub fn counts_until(&self) -> Option<DateTime<Utc>> {
        if self.succession.superseded.is_some() { Some(DateTime::UNIX_EPOCH) } else { self.usable_until() }
    }

    /// Until when it may be used, or be used again: `None` is for ever, a time in the past is not at all.
    #[must_use]
    pub fn usable_until(&self) -> Option<DateTime<Utc>> {
        match self.status.status {
            KeyStatus::Revoked => Some(DateTime::UNIX_EPOCH),
            KeyStatus::Active | KeyStatus::Inactive => self.expires_at,
        }
    }
}

/// A key as stores keep it: what may be shown, and what it is verified by.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRecord {
    /// What may be shown.
    pub key: Key,
    /// What a presented text is compared with.
    pub verifier: Verifier,
    /// The ring entry whose tag is in the issued text: fixed for life. An imported key has no tag; of it, the entry that
    /// what it is found by is made under, which moves with its use.
    pub minted_under: EntryId,
    /// The ring entry the verifier is made under.
    pub digested_under: EntryId,
    /// The text of its successor, sealed, for whoever holds this key to claim.
    pub offer: Option<Sealed>,
    /// It was offered to whoever holds its predecessor, and was not used yet.
    pub unclaimed: bool,
    /// Until when its owner was told of what comes with time; until it was made, where this is absent.
    pub looked_at: Option<DateTime<Utc>>,
    /// When it is next to be looked at whether there is something to tell of it.
    pub look_at: Option<DateTime<Utc>>,
    /// Under what an [imported](crate::import) key is found, and no other key.
    pub lookup: Option<LookupToken>,
    /// The user's fields that are kept encrypted, by the names that the key shows of them.
    pub sensitive: BTreeMap<FieldName, Sealed>,
}

impl KeyRecord {
    /// A record of a key that was made here, and has nothing to do with rotation yet.
    #[must_use]
    pub fn new(key: Key, verifier: Verifier, minted_under: EntryId, digested_under: EntryId) -> Self {
        let (offer, unclaimed, looked_at, look_at) = (None, false, None, None);
        let (lookup, sensitive) = (None, BTreeMap::new());
        Self { key, verifier, minted_under, digested_under, offer, unclaimed, looked_at, look_at, lookup, sensitive }
    }

    /// Puts these fields in the place of those that are kept encrypted.
    pub fn keep_sensitive(&mut self, fields: BTreeMap<FieldName, Sealed>) {
        self.key.sensitive_fields = fields.keys().cloned().collect();
        self.sensitive = fields;
    }

    /// The ring entries it needs: to be checked, to hand its successor over, and to show its sensitive fields.
    #[must_use]
    pub fn ring_entries(&self) -> BTreeSet<EntryId> {
        let sealed = self.offer.iter().chain(self.sensitive.values()).map(Sealed::entry);
        [self.minted_under, self.digested_under].into_iter().chain(sealed).collect()
    }

    /// Those of them that it needs still at `now`: all while it may be used, and after that the ones of its sensitive fields,
    /// which are opened for as long as it is kept.
    #[must_use]
    pub fn ring_entries_needed(&self, now: DateTime<Utc>) -> BTreeSet<EntryId> {
        if self.key.usable_until().is_none_or(|end| end > now) {
            return self.ring_entries();
        }
        self.sensitive.values().map(Sealed::entry).collect()
    }
}
