//! Writes of keys: each leaves the record, the lists and the counts as one.

use chrono::{DateTime, Utc};
use keygate_core::key::KeyId;
use keygate_core::lifecycle::due;
use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyRecord, KeyStatus, Quotas, Revision, StatusChange};
use keygate_core::store::{CreateRefusal, StoreError, WriteRefusal};
use keygate_core::usage::period::Day;
use redb::ReadableTable;

use crate::error::storage;
use crate::tables::{KeyTables, record_of};

impl KeyTables<'_> {
    /// Creates keys of one organization, which was swept.
    pub(crate) fn create(
        &mut self,
        quotas: &Quotas,
        records: &[KeyRecord],
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        records.iter().map(|record| self.create_one(quotas, record, now)).collect()
    }

    fn create_one(
        &mut self,
        quotas: &Quotas,
        record: &KeyRecord,
        now: DateTime<Utc>,
    ) -> Result<Result<(), CreateRefusal>, StoreError> {
        let key = &record.key;
        if self.records.get(key.id.as_bytes()).map_err(storage)?.is_some() {
            return Ok(Err(CreateRefusal::Exists));
        }
        let used = self.counts(key.organization.as_str(), key.user.as_str())?;
        let limit = quotas.quota.per_organization;
        if used.organization >= limit {
            return Ok(Err(CreateRefusal::OrganizationQuota { limit }));
        }
        let limit = quotas.of_user(&key.user);
        if used.user >= limit {
            return Ok(Err(CreateRefusal::UserQuota { limit }));
        }
        if let Some((project, limit)) = quotas.of_project(key.project.as_ref())
            && self.project_count(key.organization.as_str(), project.as_str())? >= limit
        {
            return Ok(Err(CreateRefusal::ProjectQuota { limit }));
        }
        self.put(record, now)?;
        Ok(Ok(()))
    }

    /// Puts `record` in the place of the one it was made from.
    pub(crate) fn replace(
        &mut self,
        record: &KeyRecord,
        expected: Revision,
        now: DateTime<Utc>,
    ) -> Result<(), WriteRefusal> {
        let held = self.changeable(record, expected)?;
        self.take(&held)?;
        Ok(self.put(record, now)?)
    }

    /// Puts `old` in the place of the one it was made from, and `new` beside it.
    pub(crate) fn succeed(
        &mut self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
        now: DateTime<Utc>,
    ) -> Result<(), WriteRefusal> {
        let held = self.changeable(old, expected)?;
        if record_of(&self.records, new.key.id)?.is_some() {
            return Err(WriteRefusal::Conflict { found: Revision::FIRST });
        }
        self.take(&held)?;
        self.put(old, now)?;
        Ok(self.put(new, now)?)
    }

    /// Sets a status and gives the record as it then is.
    pub(crate) fn set_status(
        &mut self,
        organization: &OrganizationId,
        id: KeyId,
        change: StatusChange,
        now: DateTime<Utc>,
    ) -> Result<KeyRecord, WriteRefusal> {
        let held = self.owned(organization, id)?;
        if held.key.status.status == change.status {
            return Ok(held);
        }
        if held.key.status.status == KeyStatus::Revoked {
            return Err(WriteRefusal::Revoked);
        }
        let mut next = held.clone();
        next.key.status = change;
        next.key.revision = held.key.revision.next();
        self.take(&held)?;
        self.put(&next, now)?;
        Ok(next)
    }

    /// Erases a record.
    pub(crate) fn delete(
        &mut self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<(), WriteRefusal> {
        let held = self.owned(organization, id)?;
        expect(&held, expected)?;
        self.take(&held)?;
        self.records.remove(id.as_bytes()).map_err(storage)?;
        Ok(())
    }

    /// The record that another is to be put in the place of.
    fn changeable(&self, next: &KeyRecord, expected: Revision) -> Result<KeyRecord, WriteRefusal> {
        let held = self.owned(&next.key.organization, next.key.id)?;
        if held.key.status.status == KeyStatus::Revoked {
            return Err(WriteRefusal::Revoked);
        }
        expect(&held, expected)?;
        Ok(held)
    }

    /// The record, if it is this tenant's.
    fn owned(&self, organization: &OrganizationId, id: KeyId) -> Result<KeyRecord, WriteRefusal> {
        let held = record_of(&self.records, id)?;
        held.filter(|record| record.key.organization == *organization).ok_or(WriteRefusal::Absent)
    }

    /// Writes a record, with its places in the lists and its share of the quotas.
    fn put(&mut self, record: &KeyRecord, now: DateTime<Utc>) -> Result<(), StoreError> {
        let key = &record.key;
        let (id, organization, user) = (key.id.as_bytes(), key.organization.as_str(), key.user.as_str());
        let bytes = record.encode().map_err(|error| StoreError::undecodable(format!("key {}", key.id), error))?;
        self.records.insert(id, bytes.as_slice()).map_err(storage)?;
        self.by_organization.insert((organization, id), ()).map_err(storage)?;
        self.by_user.insert((organization, user, id), ()).map_err(storage)?;
        if let Some(day) = due_day(record) {
            self.due.insert((day, id), ()).map_err(storage)?;
        }
        self.enter(key, now)
    }

    /// Takes a record out of the lists and the quotas, and leaves its bytes to be overwritten or removed.
    fn take(&mut self, held: &KeyRecord) -> Result<(), StoreError> {
        let key = &held.key;
        let (id, organization, user) = (key.id.as_bytes(), key.organization.as_str(), key.user.as_str());
        self.by_organization.remove((organization, id)).map_err(storage)?;
        self.by_user.remove((organization, user, id)).map_err(storage)?;
        if let Some(day) = due_day(held) {
            self.due.remove((day, id)).map_err(storage)?;
        }
        self.leave(key)
    }
}

/// On the list of which day a record is.
pub(crate) fn due_day(record: &KeyRecord) -> Option<u32> {
    due(record).map(|at| Day::of(at).0)
}

fn expect(held: &KeyRecord, expected: Revision) -> Result<(), WriteRefusal> {
    match held.key.revision {
        found if found == expected => Ok(()),
        found => Err(WriteRefusal::Conflict { found }),
    }
}
