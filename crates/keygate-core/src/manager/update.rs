//! Changing a key's fields.

use chrono::{DateTime, Utc};

use super::act::Act;
use super::create::{check_grants, check_strength, check_tags};
use super::{ApiKeyManager, Expiry, ManageError, events, policy};
use crate::actor::Actor;
use crate::audit::{ActTarget, Action, Changes};
use crate::clock::to_millis;
use crate::key::KeyId;
use crate::lifecycle::check_schedule;
use crate::limits::Limits;
use crate::names::{Description, KeyName, NameError, Tag};
use crate::network::CidrSet;
use crate::record::{Key, KeyRecord, Metadata, Revision, RotationSchedule, Sensitive};
use crate::ring::Sealed;
use crate::scope::ScopeSet;

/// How often an update is tried again after another came in between.
const ATTEMPTS: usize = 16;

/// The field whose values are kept encrypted: of these nobody is told whether they differ, and what they are.
const SENSITIVE: &str = "sensitive";

/// What is to change of a key; `None` leaves a field as it is. Whose it is and where it may be used never changes.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct KeyUpdate {
    /// What people call it.
    pub name: Option<KeyName>,
    /// What it is for.
    pub description: Option<Description>,
    /// What its holder may do.
    pub permissions: Option<ScopeSet>,
    /// What it may be used on.
    pub scopes: Option<ScopeSet>,
    /// How much may be asked of it.
    pub limits: Option<Limits>,
    /// When it ends, counted from the update.
    pub expiry: Option<Expiry>,
    /// Words it is found by.
    pub tags: Option<Vec<Tag>>,
    /// Networks it may be used from.
    pub allowed_ips: Option<CidrSet>,
    /// When it is to be rotated; `Some(None)` takes the schedule away.
    pub rotation_schedule: Option<Option<RotationSchedule>>,
    /// Whether whoever holds it may claim its successor with it. Taking that away takes back what may be claimed now.
    pub hand_over: Option<bool>,
    /// The user's own fields, all of them.
    pub metadata: Option<Metadata>,
    /// Those of the user's fields that are kept encrypted, all of them. They are written whether or not they are what was
    /// there, which nobody is told.
    pub sensitive: Option<Sensitive>,
}

impl KeyUpdate {
    /// An update that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it does, as the audit names it.
    fn action(&self) -> Action {
        let of_rotation =
            Self { rotation_schedule: self.rotation_schedule, hand_over: self.hand_over, ..Self::default() };
        match self.rotation_schedule {
            Some(Some(_)) if *self == of_rotation => Action::RotationSet,
            Some(None) if *self == of_rotation => Action::RotationClear,
            _ => Action::KeyUpdate,
        }
    }

    /// Refuses what no key may be changed to by this actor.
    pub(super) fn check_for(&self, actor: &Actor) -> Result<(), ManageError> {
        self.tags.as_deref().map_or(Ok(()), check_tags)?;
        self.limits.as_ref().map_or(Ok(()), Limits::check)?;
        self.rotation_schedule.as_ref().and_then(Option::as_ref).map_or(Ok(()), RotationSchedule::check)?;
        check_grants(actor, self.permissions.iter().chain(&self.scopes))
    }

    /// Whether it may give a key more life, reach or room, or lets it do what it could not.
    fn widens(&self, key: &Key) -> bool {
        let gains = |held: &ScopeSet, asked: &Option<ScopeSet>| {
            asked.as_ref().is_some_and(|asked| held.first_uncovered(asked).is_some())
        };
        let renews = self.rotation_schedule.flatten().is_some_and(|schedule| schedule.auto_rotate);
        self.expiry.is_some()
            || renews
            || self.hand_over == Some(true)
            || self.limits.is_some()
            || self.allowed_ips.is_some()
            || gains(&key.permissions, &self.permissions)
            || gains(&key.scopes, &self.scopes)
    }

    /// Applies the update, and names the fields it has changed.
    fn apply(&self, key: &mut Key, now: DateTime<Utc>) -> Result<Vec<&'static str>, NameError> {
        let mut changed = Vec::new();
        let interval = key.rotation_schedule.map(|schedule| schedule.interval_days);
        macro_rules! set {
            ($field:ident) => {
                if let Some(value) = &self.$field
                    && key.$field != *value
                {
                    key.$field = value.clone();
                    changed.push(stringify!($field));
                }
            };
        }
        set!(name);
        set!(description);
        set!(permissions);
        set!(scopes);
        set!(limits);
        set!(tags);
        set!(allowed_ips);
        set!(rotation_schedule);
        set!(metadata);
        // Another interval counts from now on; whatever else is changed of a schedule postpones nothing.
        if key.rotation_schedule.map(|schedule| schedule.interval_days) != interval {
            key.succession.scheduled_at = key.rotation_schedule.map(|_| now);
        }
        if let Some(hand_over) = self.hand_over.filter(|asked| *asked != key.succession.hand_over) {
            if hand_over && key.succession.superseded.is_some() {
                return Err(NameError::new("hand_over", "cannot be turned on: the key was rotated without it"));
            }
            key.succession.hand_over = hand_over;
            changed.push("hand_over");
        }
        if let Some(expiry) = self.expiry {
            let expires_at = expiry.resolve(now)?;
            let is_later = |end: DateTime<Utc>| expires_at.is_none_or(|asked| asked > end);
            if key.succession.superseded.is_some() && key.expires_at.is_some_and(is_later) {
                return Err(NameError::new(
                    "expiry",
                    "cannot be moved later: the key was rotated, and its overlap ends",
                ));
            }
            if let (Some(begin), Some(end)) = (key.not_before, expires_at)
                && begin >= end
            {
                return Err(NameError::new("expiry", "must be after the key's not_before"));
            }
            if expires_at != key.expires_at {
                key.expires_at = expires_at;
                changed.push("expires_at");
            }
        }
        if changed.iter().any(|changed| matches!(*changed, "expires_at" | "rotation_schedule"))
            && key.succession.superseded.is_none()
        {
            check_schedule(key)?;
        }
        Ok(changed)
    }
}

impl ApiKeyManager {
    /// Changes a key. With `expected` it is changed only if it still has that revision; without, the update is applied
    /// to whatever is there. An update that changes nothing writes nothing.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach; a field is not allowed; the actor may not grant what is asked,
    /// or may not grant what the key can do and asks for more life, room or reach for it; the key is revoked; its
    /// revision is another; a quota has no room for an expired key that is given a later end; or the store fails.
    pub async fn update(
        &self,
        actor: &Actor,
        id: KeyId,
        update: &KeyUpdate,
        expected: Option<Revision>,
    ) -> Result<Key, ManageError> {
        let mut act = self.act(actor, update.action(), ActTarget::key(id));
        let updated = self.update_in(&mut act, actor, id, update, expected).await;
        act.close(updated).await
    }

    /// The same, as this act or as part of it.
    pub(super) async fn update_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        id: KeyId,
        update: &KeyUpdate,
        expected: Option<Revision>,
    ) -> Result<Key, ManageError> {
        update.check_for(actor)?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let record = act.find(self, id).await?;
            let (found, before) = (record.key.revision, record.key.clone());
            if expected.is_some_and(|expected| expected != found) {
                return Err(ManageError::Conflict { found });
            }
            let (record, changed) = self.changed(actor, record, update).await?;
            if changed.is_empty() {
                return Ok(record.key);
            }
            let mut changes = Changes::between(&before, &record.key);
            if changed.contains(&SENSITIVE) {
                changes = changes.and_hidden(SENSITIVE);
            }
            act.begin(&before.organization, changes).await?;
            match self.inner.replace(record).await.map_err(ManageError::from) {
                Ok(updated) => {
                    events::updated(actor, &updated.key, &changed);
                    return Ok(updated.key);
                }
                Err(conflict @ ManageError::Conflict { .. }) => last = Some(conflict),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(ManageError::NotFound))
    }

    /// A record as an update leaves it, and the names of the fields that it changes; nothing is written.
    pub(super) async fn changed(
        &self,
        actor: &Actor,
        mut record: KeyRecord,
        update: &KeyUpdate,
    ) -> Result<(KeyRecord, Vec<&'static str>), ManageError> {
        let (now, counted_until) = (to_millis(self.inner.clock.now()), record.key.counts_until());
        let (widens, before) = (update.widens(&record.key), record.key.clone());
        let mut changed = update.apply(&mut record.key, now)?;
        match &update.sensitive {
            Some(asked) if !asked.is_empty() || !record.sensitive.is_empty() => {
                if !asked.is_empty() {
                    self.confirm_current().await?;
                }
                record.keep_sensitive(self.inner.seal_sensitive(&record.key, asked)?);
                changed.push(SENSITIVE);
            }
            _ if !changed.is_empty() => self.inner.renew_sensitive(&mut record).await?,
            _ => {}
        }
        if widens && !changed.is_empty() {
            check_strength(actor, &record.key)?;
        }
        if policy::may_concern(&changed) {
            let above = self.levels_of(&before).await?;
            policy::check_change(&above, &before, &record.key, &changed)?;
        }
        let counts = |until: Option<DateTime<Utc>>| until.is_none_or(|end| end > now);
        if !counts(counted_until) && counts(record.key.counts_until()) {
            let Key { organization, user, project, .. } = &record.key;
            let above = self.levels_of(&record.key).await?;
            self.check_room(&above, organization, user, project.as_ref()).await?;
            // An entry may be dropped from the ring once no usable key names it. This one would be usable again.
            let sealed = record.sensitive.values().map(Sealed::entry);
            let mut named = [record.minted_under, record.digested_under].into_iter().chain(sealed);
            if named.any(|entry| self.inner.ring.entry(entry).is_none()) {
                let problem = "cannot be moved: a secret that this key was made or has fields under is gone";
                return Err(NameError::new("expiry", problem).into());
            }
        }
        if !record.key.succession.hand_over {
            record.offer = None;
        }
        Ok((record, changed))
    }
}
