//! Listing keys.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{ApiKeyManager, ManageError};
use crate::actor::Actor;
use crate::key::{KeyId, KeyIdError};
use crate::names::{Environment, NameError, OrganizationId, ProjectId, Tag, UserId};
use crate::record::{Key, KeyState};
use crate::store::Listing;

/// The most keys of one page.
pub const MAX_PAGE: usize = 1_000;
/// The most records read for one page, however few of them pass the filter.
const MAX_SCANNED: usize = 5_000;
/// Records read at once where a filter may let few of them pass: a page of one key is then not one call a record.
const SCANNED_AT_ONCE: usize = 500;

/// Which keys of an organization are asked for. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyFilter {
    /// Those of this user.
    pub user: Option<UserId>,
    /// Those of this project.
    pub project: Option<ProjectId>,
    /// Those with this tag.
    pub tag: Option<Tag>,
    /// Those in this state.
    pub state: Option<KeyState>,
    /// Those for this environment.
    pub environment: Option<Environment>,
    /// Those that end within this time, and have neither ended nor been revoked yet.
    pub expiring_within: Option<TimeDelta>,
    /// Those that were made before so long, and not used since.
    pub unused_for: Option<TimeDelta>,
    /// Those that were made before this.
    pub made_before: Option<DateTime<Utc>>,
}

impl KeyFilter {
    /// Whether it admits a key, as far as its record tells: when it was used stands elsewhere.
    fn admits(&self, key: &Key, now: DateTime<Utc>) -> bool {
        let expires_within = |within: TimeDelta| {
            // The difference of two times cannot overflow, as a sum could that a caller chooses.
            key.expires_at.is_some_and(|end| end > now && end - now <= within) && key.state(now) != KeyState::Revoked
        };
        self.user.as_ref().is_none_or(|user| key.user == *user)
            && self.project.as_ref().is_none_or(|project| key.project.as_ref() == Some(project))
            && self.tag.as_ref().is_none_or(|tag| key.tags.contains(tag))
            && self.state.is_none_or(|state| key.state(now) == state)
            && self.environment.is_none_or(|environment| key.environment == environment)
            && self.expiring_within.is_none_or(expires_within)
            && self.made_before.is_none_or(|time| key.created_at < time)
    }

    /// Whether it may refuse records of a listing, which the store has narrowed to the user already.
    fn is_selective(&self) -> bool {
        let Self { user: _, project, tag, state, environment, expiring_within, unused_for, made_before } = self;
        let by_time = expiring_within.is_some() || unused_for.is_some() || made_before.is_some();
        project.is_some() || tag.is_some() || state.is_some() || environment.is_some() || by_time
    }
}

/// Where the next page begins. Opaque: take it as it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub(super) KeyId);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = KeyIdError;
    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        text.parse().map(Self)
    }
}

/// A part of a list, newest key first. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyPage {
    /// The keys. A filtered page may be short, or empty, and still have a next one.
    pub keys: Vec<Key>,
    /// Keys of this part of the list of which nothing can be read, newest first: their records are damaged, or a newer version has
    /// written them. Whether the filter admits them nobody knows.
    #[serde(default)]
    pub unreadable_key_ids: Vec<KeyId>,
    /// Where the next page begins, if there may be one.
    pub next_cursor: Option<Cursor>,
}

impl ApiKeyManager {
    /// Lists keys of an organization, newest first: up to `limit` (at most [`MAX_PAGE`]) after `cursor`. Keys made or
    /// deleted meanwhile neither repeat others nor hide them. At most 5,000 records are read for a page.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, the filter asks for use that is not counted here, or the store fails.
    pub async fn list(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        filter: &KeyFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<KeyPage, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        if filter.unused_for.is_some() && !self.inner.counts_usage {
            // Every key would look unused, for whoever is about to revoke those.
            return Err(NameError::new("unused_for", "cannot be told where use is not counted").into());
        }
        let listing = match &filter.user {
            Some(user) => Listing::User(organization.clone(), user.clone()),
            None => Listing::Organization(organization.clone()),
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let now = self.inner.clock.now();
        let (mut keys, mut unreadable) = (Vec::new(), Vec::new());
        let mut after = cursor.map(|cursor| cursor.0);
        let mut left = MAX_SCANNED;
        while keys.len() < limit && left > 0 {
            let wanted = limit - keys.len();
            let asked = if filter.is_selective() { wanted.max(SCANNED_AT_ONCE) } else { wanted }.min(left);
            let page = self.inner.store.list(&listing, after, asked).await?;
            left -= asked;
            unreadable.extend(page.unreadable);
            let last = page.records.last().map(|record| record.key.id);
            let passing = page.records.into_iter().map(|record| record.key).filter(|key| filter.admits(key, now));
            let passing = self.unused(passing.collect(), filter.unused_for, now).await?;
            keys.extend(passing.into_iter().take(wanted));
            // A page that is full before the store's is used up goes on after its own last key.
            after = match keys.last() {
                Some(key) if keys.len() == limit && Some(key.id) != last => Some(key.id),
                _ => page.next,
            };
            if after.is_none() {
                break;
            }
        }
        // Those behind the place where the next page begins are told there.
        unreadable.retain(|id| after.is_none_or(|after| *id >= after));
        Ok(KeyPage { keys, unreadable_key_ids: unreadable, next_cursor: after.map(Cursor) })
    }

    /// Whether a filter that admitted a key a moment ago still does, as it now is.
    pub(super) async fn still_admitted(&self, filter: &KeyFilter, key: &Key) -> Result<bool, ManageError> {
        let now = self.inner.clock.now();
        if !filter.admits(key, now) {
            return Ok(false);
        }
        if filter.unused_for.is_none() {
            return Ok(true);
        }
        Ok(!self.unused(vec![key.clone()], filter.unused_for, now).await?.is_empty())
    }

    /// Those that were made before so long, and not used since; all, where no time is given.
    async fn unused(
        &self,
        mut keys: Vec<Key>,
        unused_for: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Key>, ManageError> {
        let Some(time) = unused_for else { return Ok(keys) };
        let is_since = |at: DateTime<Utc>| now - at < time;
        keys.retain(|key| !is_since(key.created_at));
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let mut uses = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_PAGE) {
            uses.extend(self.inner.store.last_uses(ids).await?);
        }
        let unused = keys.into_iter().zip(uses).filter(|(_, used)| !used.is_some_and(|used| is_since(used.at)));
        Ok(unused.map(|(key, _)| key).collect())
    }
}
