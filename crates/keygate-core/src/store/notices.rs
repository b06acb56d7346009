//! Notices in memory: those that wait, and those that were given up.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::names::OrganizationId;
use crate::notice::{Fate, MAX_GIVEN_UP, NoticeId, Parcel, Posted, Posting};

type Place = (OrganizationId, NoticeId);

/// Notices in memory.
#[derive(Default)]
pub(super) struct Notices {
    bytes: BTreeMap<Place, Vec<u8>>,
    waiting: BTreeMap<Place, DateTime<Utc>>,
    by_time: BTreeSet<(DateTime<Utc>, Place)>,
    given_up: BTreeMap<OrganizationId, BTreeSet<(DateTime<Utc>, NoticeId)>>,
}

impl Notices {
    pub(super) fn put(&mut self, notice: &Parcel, how: Posting) -> Posted {
        let place = (notice.organization.clone(), notice.id);
        if self.bytes.contains_key(&place) {
            if !how.replaces || !self.waiting.contains_key(&place) {
                return Posted::Known;
            }
        } else if self.is_full(&notice.organization, how.room) {
            return Posted::Full;
        }
        self.bytes.insert(place.clone(), notice.bytes.clone());
        self.wait(place, notice.due);
        Posted::New
    }

    pub(super) fn take(&mut self, now: DateTime<Utc>, until: DateTime<Utc>, limit: usize) -> Vec<Parcel> {
        let due = self.by_time.iter().take_while(|(due, _)| *due <= now).take(limit);
        let places: Vec<Place> = due.map(|(_, place)| place.clone()).collect();
        let mut taken = Vec::with_capacity(places.len());
        for place in places {
            self.wait(place.clone(), until);
            let bytes = self.bytes.get(&place).cloned().unwrap_or_default();
            let (organization, id) = place;
            taken.push(Parcel { organization, id, due: until, bytes });
        }
        taken
    }

    /// Whether it was there as it was taken.
    pub(super) fn settle(&mut self, taken: &Parcel, fate: &Fate) -> bool {
        let place = (taken.organization.clone(), taken.id);
        if self.waiting.get(&place) != Some(&taken.due) {
            return false;
        }
        self.waiting.remove(&place);
        self.by_time.remove(&(taken.due, place.clone()));
        match fate {
            Fate::Later { due, bytes } => {
                self.bytes.insert(place.clone(), bytes.clone());
                self.wait(place, *due);
            }
            Fate::Sent | Fate::Forgotten => {
                self.bytes.remove(&place);
            }
            Fate::GivenUp { at, bytes } => {
                self.bytes.insert(place, bytes.clone());
                let given_up = self.given_up.entry(taken.organization.clone()).or_default();
                given_up.insert((*at, taken.id));
                if given_up.len() > MAX_GIVEN_UP
                    && let Some((_, oldest)) = given_up.pop_first()
                {
                    self.bytes.remove(&(taken.organization.clone(), oldest));
                }
            }
        }
        true
    }

    pub(super) fn given_up(&self, organization: &OrganizationId, limit: usize) -> Vec<Parcel> {
        let given_up = self.given_up.get(organization).into_iter().flatten().rev().take(limit);
        let parcels = given_up.map(|(at, id)| {
            let bytes = self.bytes.get(&(organization.clone(), *id)).cloned().unwrap_or_default();
            Parcel { organization: organization.clone(), id: *id, due: *at, bytes }
        });
        parcels.collect()
    }

    pub(super) fn redrive(&mut self, notice: &Parcel, room: usize) -> Posted {
        let is_full = self.is_full(&notice.organization, room);
        let Some(given_up) = self.given_up.get_mut(&notice.organization) else { return Posted::Known };
        let Some(there) = given_up.iter().find(|(_, id)| *id == notice.id).copied() else { return Posted::Known };
        if is_full {
            return Posted::Full;
        }
        given_up.remove(&there);
        let place = (notice.organization.clone(), notice.id);
        self.bytes.insert(place.clone(), notice.bytes.clone());
        self.wait(place, notice.due);
        Posted::New
    }

    fn is_full(&self, organization: &OrganizationId, room: usize) -> bool {
        let [first, last] = [[0; 16], [u8::MAX; 16]].map(|id| (organization.clone(), NoticeId::from_bytes(id)));
        self.waiting.range(first..=last).count() >= room
    }

    fn wait(&mut self, place: Place, due: DateTime<Utc>) {
        if let Some(before) = self.waiting.insert(place.clone(), due) {
            self.by_time.remove(&(before, place.clone()));
        }
        self.by_time.insert((due, place));
    }
}
