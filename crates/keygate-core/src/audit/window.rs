//! How much is said of what anybody can cause as often as they like: so much a minute, and how much was not said.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use chrono::{DateTime, Utc};

use crate::names::OrganizationId;
use crate::striped::STRIPES;

/// Of how many organizations each part remembers what was said.
const REMEMBERED: usize = 1_000;

/// What was said in a minute.
struct Window<T> {
    minute: i64,
    said: Vec<T>,
    /// Counted by those who only look, too.
    unsaid: AtomicU64,
}

/// What was said of each organization in the present minute. In parts, so that no two organizations share a lock for long.
pub(crate) struct Windows<T> {
    most: usize,
    parts: [RwLock<HashMap<OrganizationId, Window<T>>>; STRIPES],
    hasher: RandomState,
}

impl<T> fmt::Debug for Windows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<T: PartialEq> Windows<T> {
    pub(crate) fn new(most: u32) -> Self {
        let parts = std::array::from_fn(|_| RwLock::default());
        Self { most: most as usize, parts, hasher: RandomState::new() }
    }

    /// Whether this may be said now: with how much was not said before it. It is said once a minute, unless `repeats`.
    pub(crate) fn admit(
        &self,
        organization: &OrganizationId,
        what: T,
        repeats: bool,
        now: DateTime<Utc>,
    ) -> Option<u64> {
        let minute = now.timestamp().div_euclid(60);
        let is_no_more = |window: &Window<T>| {
            window.minute == minute && (window.said.len() >= self.most || (!repeats && window.said.contains(&what)))
        };
        // Of what anybody can cause as often as they like, most ends here, where nobody waits for anybody.
        let place = self.place(organization);
        let part = self.parts[place].read().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = part.get(organization).filter(|window| is_no_more(window)) {
            window.unsaid.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        drop(part);
        let mut part = self.part(organization);
        if !part.contains_key(organization) {
            if part.len() >= REMEMBERED {
                part.retain(|_, window| window.minute == minute);
            }
            if part.len() >= REMEMBERED {
                return None;
            }
            part.insert(organization.clone(), Window { minute, said: Vec::new(), unsaid: AtomicU64::new(0) });
        }
        let window = part.get_mut(organization)?;
        if window.minute != minute {
            window.minute = minute;
            window.said.clear();
        }
        if is_no_more(window) {
            window.unsaid.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        window.said.push(what);
        Some(std::mem::take(window.unsaid.get_mut()))
    }

    /// It was not said after all, and neither was what was not said before it.
    pub(crate) fn take_back(&self, organization: &OrganizationId, unsaid: u64) {
        if let Some(window) = self.part(organization).get_mut(organization) {
            let more = window.unsaid.get_mut();
            *more = more.saturating_add(unsaid).saturating_add(1);
        }
    }

    fn place(&self, organization: &OrganizationId) -> usize {
        self.hasher.hash_one(organization) as usize % STRIPES
    }

    fn part(&self, organization: &OrganizationId) -> RwLockWriteGuard<'_, HashMap<OrganizationId, Window<T>>> {
        self.parts[self.place(organization)].write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn so_much_is_said_a_minute_and_the_rest_is_counted() {
        let (windows, acme) = (Windows::new(3), OrganizationId::new("acme").unwrap());
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let admitted: Vec<_> = (0..10).map(|_| windows.admit(&acme, (), true, now)).collect();
        assert_eq!(admitted.iter().flatten().count(), 3);
        let other = OrganizationId::new("other").unwrap();
        assert_eq!(windows.admit(&other, (), true, now), Some(0), "each organization has its own");
        assert_eq!(windows.admit(&acme, (), true, now + TimeDelta::minutes(1)), Some(7));
        windows.take_back(&acme, 7);
        assert_eq!(windows.admit(&acme, (), true, now + TimeDelta::minutes(1)), Some(8));
    }

    #[test]
    fn the_same_is_said_once_a_minute() {
        let (windows, acme) = (Windows::new(3), OrganizationId::new("acme").unwrap());
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        assert_eq!(windows.admit(&acme, 1, false, now), Some(0));
        assert_eq!(windows.admit(&acme, 1, false, now), None);
        assert_eq!(windows.admit(&acme, 2, false, now), Some(1));
    }

    #[test]
    fn not_more_organizations_are_remembered_than_there_is_room_for() {
        let (windows, now) = (Windows::new(3), DateTime::from_timestamp(1_790_000_000, 0).unwrap());
        for number in 0..40_000 {
            windows.admit(&OrganizationId::new(format!("o{number}")).unwrap(), (), true, now);
        }
        let held: usize = windows.parts.iter().map(|part| part.read().unwrap().len()).sum();
        assert!(held <= REMEMBERED * STRIPES);
    }
}
