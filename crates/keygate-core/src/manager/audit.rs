//! Reading the audit, and asking whether it is as it was written.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{ApiKeyManager, MAX_PAGE, ManageError};
use crate::actor::Actor;
use crate::audit::{
    ActId, Attested, AuditEntry, AuditHead, AuditPolicy, AuditVerification, Checkpoint, EntryKind, KeptEntry, Verifier,
    attested,
};
use crate::key::KeyId;
use crate::names::OrganizationId;
use crate::ring::SecretRing;
use crate::store::{Store, StoreError};

/// Entries that are read at once.
const READ_AT_ONCE: usize = 128;
/// Entries that are looked through for one page.
const MAX_LOOKED_THROUGH: usize = 5_000;
/// Seals that are read at once.
const SEALS_AT_ONCE: usize = 64;
/// How often a verification is begun again because entries were taken away meanwhile.
const TRIES: usize = 3;
/// How far the clocks of those who write are apart at most, where entries are looked for by their time.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);
/// The action of an entry that cannot be read.
const UNREADABLE: &str = "unreadable";
/// The action of an entry that is not as it was written, of which nothing else is told.
const NOT_GENUINE: &str = "not_genuine";
/// The action of an entry that was written under a ring entry that is not configured, so that it is not known whether it is as it was
/// written: nothing else is told of it either.
const RING_ENTRY_MISSING: &str = "ring_entry_missing";

/// Which entries of the audit are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditQuery {
    /// Those of this action.
    pub action: Option<String>,
    /// Those of whoever did it.
    pub principal: Option<String>,
    /// Those of a key, which may be one of many.
    pub key_id: Option<KeyId>,
    /// Those from this time on.
    pub from: Option<DateTime<Utc>>,
    /// Those before this time.
    pub to: Option<DateTime<Utc>>,
}

impl AuditQuery {
    fn admits(&self, entry: &AuditEntry) -> bool {
        let is_of = |key: &KeyId| {
            entry.target.key_id.as_ref() == Some(key)
                || entry.items.iter().any(|item| item.key_id == *key || item.successor_id.as_ref() == Some(key))
        };
        self.action.as_ref().is_none_or(|action| *action == entry.action)
            && self.principal.as_ref().is_none_or(|principal| *principal == entry.principal)
            && self.key_id.as_ref().is_none_or(is_of)
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at < to)
    }
}

/// In which order entries are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// Where a page of entries begins: after the entry of this sequence, in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditCursor(u64);

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A text that is no place in the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one that a page of the audit has given")]
pub struct AuditCursorError;

impl FromStr for AuditCursor {
    type Err = AuditCursorError;
    fn from_str(text: &str) -> Result<Self, AuditCursorError> {
        let cursor = text.parse().map(Self).map_err(|_| AuditCursorError)?;
        if cursor.to_string() == text { Ok(cursor) } else { Err(AuditCursorError) }
    }
}

impl TryFrom<String> for AuditCursor {
    type Error = AuditCursorError;
    fn try_from(text: String) -> Result<Self, AuditCursorError> {
        text.parse()
    }
}

impl From<AuditCursor> for String {
    fn from(cursor: AuditCursor) -> Self {
        cursor.to_string()
    }
}

/// A part of the audit. Its JSON form is that of the management API. A page may be short and still have a next one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins; `None` when there are no more.
    pub next_cursor: Option<AuditCursor>,
}

impl ApiKeyManager {
    /// How much of the audit is kept.
    #[must_use]
    pub fn audit_policy(&self) -> &AuditPolicy {
        self.inner.audit.policy()
    }

    /// The entries of an organization's audit that are asked for, at most `limit`, and 1,000; beginning after the place `cursor`.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn audit(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        query: &AuditQuery,
        order: AuditOrder,
        limit: usize,
        cursor: Option<AuditCursor>,
    ) -> Result<AuditPage, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        if cursor.is_none()
            && let Err(error) = self.inner.audit.tidy(organization).await
        {
            // It is read all the same.
            tracing::debug!(target: "keygate::audit", organization_id = %organization, %error, "the audit is not sealed yet");
        }
        self.inner.audit.looked_at(organization);
        let newest_first = order == AuditOrder::NewestFirst;
        // What a verification looks at, and nothing else.
        let (ring, state) = (self.inner.audit.ring(), self.inner.store.audit_state(organization).await?);
        let first = Checkpoint::through(ring, organization, state.checkpoint.as_deref()).saturating_add(1);
        let last = state.last;
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page = AuditPage::default();
        let mut range = match (newest_first, cursor) {
            (true, Some(AuditCursor(before))) => first..=last.min(before.saturating_sub(1)),
            (false, Some(AuditCursor(after))) => first.max(after.saturating_add(1))..=last,
            (_, None) => first..=last,
        };
        let mut looked_through = 0;
        loop {
            let kept = self.inner.store.audit_entries(organization, range.clone(), newest_first, READ_AT_ONCE).await?;
            let is_last = kept.len() < READ_AT_ONCE;
            for kept in kept {
                looked_through += 1;
                let sequence = kept.sequence;
                range =
                    if newest_first { first..=sequence.saturating_sub(1) } else { sequence.saturating_add(1)..=last };
                let entry = readable(ring, organization, &kept);
                let is_over = if newest_first {
                    query.from.is_some_and(|from| apart(entry.at, CLOCKS_DIFFER) < from)
                } else {
                    query.to.is_some_and(|to| apart(entry.at, -CLOCKS_DIFFER) >= to)
                };
                if is_over {
                    return Ok(page);
                }
                if query.admits(&entry) {
                    page.entries.push(entry);
                }
                if page.entries.len() >= limit {
                    page.next_cursor = Some(AuditCursor(sequence));
                    return Ok(page);
                }
                if looked_through >= MAX_LOOKED_THROUGH {
                    page.next_cursor = Some(AuditCursor(sequence));
                }
            }
            if is_last {
                page.next_cursor = None;
            }
            if is_last || page.next_cursor.is_some() {
                return Ok(page);
            }
        }
    }

    /// Whether the audit of an organization is as it was written, and where it is not. With a [head](AuditVerification::head)
    /// that was noted down before, also whether its end was cut off since. It seals what is not sealed yet, and reads everything.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn verify_audit(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        noted: Option<AuditHead>,
    ) -> Result<AuditVerification, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        // What is not sealed yet is, where the ring is that of this deployment; if it is not, that is what is found.
        if let Err(error) = self.confirm_current().await {
            tracing::debug!(target: "keygate::audit", %error, "the ring is not confirmed");
        }
        match self.inner.audit.tidy(organization).await {
            Err(error @ StoreError::Unavailable(_)) => return Err(error.into()),
            // It is looked at as it is.
            Err(error) => {
                tracing::error!(target: "keygate::audit", organization_id = %organization, %error, "the audit cannot be sealed");
            }
            Ok(_) => {}
        }
        self.inner.audit.looked_at(organization);
        let mut tries = 0;
        loop {
            tries += 1;
            let (found, is_steady) = self.look_through(organization, noted).await?;
            if found.intact || is_steady || tries >= TRIES {
                return Ok(found);
            }
        }
    }

    /// Takes away what is too old, or too much, of the audits that this instance has written or looked at, each once an hour. A
    /// [scheduler](Self::start_scheduler) does it in its minute; nobody else does, so that whoever only reads takes nothing away.
    pub async fn trim_audits(&self) {
        self.inner.audit.trim_all().await;
    }

    /// Goes on through the audits of all organizations of the store, and sees to the next 256 at most: closes acts that somebody
    /// left open, seals, and takes away what is too old, or too much. A [scheduler](Self::start_scheduler) does it in each minute
    /// that it has claimed; this is for those whose time is their own. What is kept is by the policy of this manager.
    pub async fn walk_audits(&self) {
        self.inner.audit.walk().await;
    }

    /// Looks through the audit once, and says whether nothing was taken away meanwhile.
    async fn look_through(
        &self,
        organization: &OrganizationId,
        noted: Option<AuditHead>,
    ) -> Result<(AuditVerification, bool), StoreError> {
        let store = &*self.inner.store;
        let state = store.audit_state(organization).await?;
        let too_old = self.inner.audit.too_old();
        let mut verifier = Verifier::new(self.inner.audit.ring(), organization, &state, noted, too_old);
        let mut entries = Entries { store, organization, held: Vec::new(), next: 0, last: state.last };
        let sealed = state.seal.as_ref().map_or(0, |seal| seal.last);
        let mut after = 0;
        loop {
            let seals = store.audit_seals(organization, after, SEALS_AT_ONCE).await?;
            let is_last = seals.len() < SEALS_AT_ONCE;
            for seal in &seals {
                after = seal.last;
                if seal.last > sealed {
                    // Made since.
                    break;
                }
                let there = match Verifier::under(seal) {
                    Some(range) => entries.take(range).await?,
                    None => Vec::new(),
                };
                verifier.seal(seal, &there);
            }
            if is_last || after > sealed {
                break;
            }
        }
        let mut from = verifier.next();
        // By what is there, however many numbers the store says have been given.
        while from <= state.last {
            let there = store.audit_entries(organization, from..=state.last, false, READ_AT_ONCE).await?;
            verifier.unsealed(&there);
            from = match there.last() {
                Some(last) if there.len() == READ_AT_ONCE => last.sequence.saturating_add(1),
                _ => break,
            };
        }
        let through = Checkpoint::through(self.inner.audit.ring(), organization, state.checkpoint.as_deref());
        let before = store.audit_entries(organization, 0..=through, true, 1).await?;
        let after = store.audit_entries(organization, state.last.saturating_add(1)..=u64::MAX, true, 1).await?;
        let now = store.audit_state(organization).await?;
        // Beyond the last there may be what was written meanwhile, but not beyond the last of now.
        let beyond = before.iter().chain(after.iter().filter(|entry| entry.sequence > now.last));
        beyond.for_each(|entry| verifier.beyond(entry.sequence));
        let is_steady = now.checkpoint == state.checkpoint;
        Ok((verifier.finish(state.last), is_steady))
    }
}

/// Entries that are read one run after the other, however few are in each.
struct Entries<'a> {
    store: &'a dyn Store,
    organization: &'a OrganizationId,
    held: Vec<KeptEntry>,
    /// Where the next are read from.
    next: u64,
    last: u64,
}

impl Entries<'_> {
    /// Those of a range that are there. Ranges are asked for in their order.
    async fn take(&mut self, range: RangeInclusive<u64>) -> Result<Vec<KeptEntry>, StoreError> {
        let (first, to) = (*range.start(), (*range.end()).min(self.last));
        if self.next < first || self.held.first().is_some_and(|held| held.sequence > first) {
            // What is between belongs to nothing that is looked at.
            self.held.clear();
            self.next = first;
        }
        while self.next <= to {
            let read = self.store.audit_entries(self.organization, self.next..=self.last, false, READ_AT_ONCE).await?;
            self.next = match read.last() {
                Some(last) if read.len() == READ_AT_ONCE => last.sequence.saturating_add(1),
                _ => self.last.saturating_add(1),
            };
            self.held.extend(read);
        }
        let begin = self.held.partition_point(|entry| entry.sequence < first);
        let end = self.held.partition_point(|entry| entry.sequence <= to).max(begin);
        let mut taken: Vec<KeptEntry> = self.held.drain(..end).collect();
        Ok(taken.split_off(begin))
    }
}

/// The entry, or one that says that it cannot be read: it must not be missed, nor keep others from being seen.
fn readable(ring: &SecretRing, organization: &OrganizationId, kept: &KeptEntry) -> AuditEntry {
    let sequence = kept.sequence;
    let instead = match attested(ring, organization, &kept.bytes) {
        Attested::Genuine => None,
        Attested::Forged => {
            tracing::error!(target: "keygate::audit", organization_id = %organization, sequence, "an entry is not as it was written");
            Some(NOT_GENUINE)
        }
        // Anybody can make one up under a ring entry that nobody has.
        Attested::RingEntryMissing(id) => {
            tracing::warn!(target: "keygate::audit", organization_id = %organization, sequence, entry = %id, "an entry needs a ring entry that is not configured");
            Some(RING_ENTRY_MISSING)
        }
    };
    if let Some(action) = instead {
        let (act, at) = kept.header().map_or_else(
            || (ActId::from_bytes([0; 16]), DateTime::default()),
            |header| (header.act, DateTime::from_timestamp_millis(header.millis).unwrap_or_default()),
        );
        let mut entry = AuditEntry::begun(organization, act, at, EntryKind::Outcome, action.to_owned());
        entry.sequence = sequence;
        return entry;
    }
    let mut entry = AuditEntry::decode(organization, kept).unwrap_or_else(|error| {
        tracing::error!(target: "keygate::audit", organization_id = %organization, %error, "the audit cannot be read");
        let act = kept.header().map_or_else(|| ActId::from_bytes([0; 16]), |header| header.act);
        AuditEntry::begun(organization, act, act.at(), EntryKind::Outcome, UNREADABLE.to_owned())
    });
    entry.sequence = kept.sequence;
    entry
}

/// A time that much later, or the last there is.
fn apart(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    let beyond = if by < TimeDelta::zero() { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    at.checked_add_signed(by).unwrap_or(beyond)
}
