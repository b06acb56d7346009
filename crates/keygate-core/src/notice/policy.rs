//! When a key's owner is to be told of it: pure functions of a key, what is known of its use, and the time.

use chrono::{DateTime, TimeDelta, Utc};

use super::event::{AboutKey, Event};
use super::id::{Cause, NoticeId};
use crate::lifecycle::next_rotation;
use crate::names::NameError;
use crate::record::{Key, KeyRecord, KeyStatus};

/// The most warnings before a key's end.
pub const MAX_EXPIRING: usize = 8;
/// The most days before a key's end, or without use.
pub const MAX_DAYS: u16 = 3650;

/// Of what a deployment's notices tell, beyond what was done to keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticePolicy {
    /// How many days before its end a key's owner is told of it, the longest first.
    expiring_days: Vec<u16>,
    unused_days: Option<u16>,
}

impl Default for NoticePolicy {
    /// 7 days and 1 day before a key ends; nothing of keys that are not used.
    fn default() -> Self {
        Self { expiring_days: vec![7, 1], unused_days: None }
    }
}

impl NoticePolicy {
    /// Tells of a key's end so many days before it; of none, only when it has come. It is in force for keys that are made,
    /// changed or looked at from now on.
    ///
    /// # Errors
    /// When there are more than [`MAX_EXPIRING`], or one is 0 or above [`MAX_DAYS`].
    pub fn expiring(mut self, days: impl IntoIterator<Item = u16>) -> Result<Self, NameError> {
        let mut days: Vec<u16> = days.into_iter().take(MAX_EXPIRING + 1).collect();
        days.sort_unstable_by(|a, b| b.cmp(a));
        days.dedup();
        if days.len() > MAX_EXPIRING || days.iter().any(|days| !(1..=MAX_DAYS).contains(days)) {
            let problem = format!("must be at most {MAX_EXPIRING} numbers from 1 to {MAX_DAYS}");
            return Err(NameError::new("notice expiring days", problem));
        }
        self.expiring_days = days;
        Ok(self)
    }

    /// Tells of a key that was not used for so many days; `None` never does.
    ///
    /// # Errors
    /// When it is 0 or above [`MAX_DAYS`].
    pub fn unused(mut self, days: Option<u16>) -> Result<Self, NameError> {
        if days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
            return Err(NameError::new("notice unused days", format!("must be 1 to {MAX_DAYS}")));
        }
        self.unused_days = days;
        Ok(self)
    }

    /// When a key is first to be looked at after `after`.
    pub(crate) fn next_look(
        &self,
        key: &Key,
        last_use: Option<DateTime<Utc>>,
        after: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if key.status.status == KeyStatus::Revoked {
            return None;
        }
        let warning = warning(key).map(|(at, _)| at);
        let unused = self.unused_days.and_then(|days| {
            let (days, since) = (TimeDelta::days(days.into()), used(key, last_use));
            // One that was told of can be unused again so long after its next use.
            since.checked_add_signed(days).filter(|at| *at > after).or_else(|| after.checked_add_signed(days))
        });
        let unused = unused.filter(|at| key.expires_at.is_none_or(|end| *at < end));
        let ends = self.ends(key).map(|(at, _)| at);
        ends.chain(key.expires_at).chain(warning).chain(unused).filter(|at| *at > after).min()
    }

    /// What is to be told of a key by now that was not before it was last looked at.
    pub(crate) fn told(
        &self,
        record: &KeyRecord,
        last_use: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Vec<(NoticeId, Event)> {
        let key = &record.key;
        if key.status.status == KeyStatus::Revoked {
            return Vec::new();
        }
        let from = looked_at(record, now);
        let is_new = |at: DateTime<Utc>| from < at && at <= now;
        let about = || AboutKey::from(key);
        let at = |event: Event, at, days| (Cause::At(event.kind(), key.id, at, days).id(), event);
        let mut told = Vec::new();
        match key.expires_at {
            Some(end) if is_new(end) => told.push(at(Event::Expired { key: about() }, end, 0)),
            // Of several that have gone by, the last says it all.
            Some(end) if end > now => {
                if let Some(mark) = self.ends(key).filter(|(at, _)| is_new(*at)).map(|(_, days)| days).min() {
                    // It may be looked at late, and an end may have been moved near.
                    let left = (end - now + TimeDelta::days(1) - TimeDelta::milliseconds(1)).num_days();
                    let days = u16::try_from(left).map_or(mark, |left| left.min(mark));
                    told.push(at(Event::Expiring { key: about(), days }, end, mark));
                }
            }
            _ => {}
        }
        if key.is_expired(now) {
            return told;
        }
        if let Some((_, next_rotation)) = warning(key).filter(|(at, _)| is_new(*at)) {
            let auto_rotate = key.rotation_schedule.is_some_and(|schedule| schedule.auto_rotate);
            told.push(at(Event::RotationDue { key: about(), next_rotation, auto_rotate }, next_rotation, 0));
        }
        if let Some(days) = self.unused_days.filter(|_| key.status.status == KeyStatus::Active) {
            let since = used(key, last_use);
            if since.checked_add_signed(TimeDelta::days(days.into())).is_some_and(is_new) {
                told.push(at(Event::Unused { key: about(), since, days }, since, days));
            }
        }
        told
    }

    /// Whether it is asked when a key was last used.
    pub(crate) fn asks_for_use(&self) -> bool {
        self.unused_days.is_some()
    }

    /// When a key's end is told of beforehand, and how many days that is.
    fn ends(&self, key: &Key) -> impl Iterator<Item = (DateTime<Utc>, u16)> {
        let end = key.expires_at;
        let before = move |days: u16| Some((end?.checked_sub_signed(TimeDelta::days(days.into()))?, days));
        self.expiring_days.iter().copied().filter_map(before)
    }
}

/// Until when a key was looked at: by now, also where a clock that was ahead has looked at it.
pub(crate) fn looked_at(record: &KeyRecord, now: DateTime<Utc>) -> DateTime<Utc> {
    record.looked_at.unwrap_or(record.key.created_at).min(now)
}

/// Since when a key is not used, though it could have been.
fn used(key: &Key, last_use: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let began = key.not_before.map_or(key.created_at, |begin| begin.max(key.created_at));
    last_use.map_or(began, |used| used.max(began))
}

/// When a key's owner is to be warned of its rotation, and when that is due.
fn warning(key: &Key) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let schedule = key.rotation_schedule.filter(|schedule| schedule.notify_users && schedule.warning_days > 0)?;
    let due = next_rotation(key)?;
    Some((due.checked_sub_signed(TimeDelta::days(schedule.warning_days.into()))?, due))
}
