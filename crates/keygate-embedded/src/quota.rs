//! How many keys count, without reading all of an organization's keys to know.
//!
//! A counter for each organization, for each user and for each project holds the keys that count: those without an end, and those with an
//! entry in the `ends` table, which are there until somebody creates a key in their organization after that end. Each
//! entry is put in once and swept out once, so what a creation costs does not grow with the number of keys.
//!
//! A key that was swept out stays out when the clock is set back to before its end: the quota is then kinder by that key
//! until its end comes again.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::Key;
use keygate_core::store::{QuotaUse, StoreError};
use redb::{ReadTransaction, ReadableTable, Table};

use crate::error::storage;
use crate::tables::{
    ENDS, FIRST_ID, Id, KeyTables, LAST_ID, ORGANIZATION_COUNTS, PROJECT_COUNTS, USER_COUNTS, reading,
};

/// Whose a key is, as `ends` has it. No id has a colon in it.
pub(crate) fn owner_of(key: &Key) -> String {
    match &key.project {
        Some(project) => format!("{}:{project}", key.user),
        None => key.user.to_string(),
    }
}

/// The user and the project that `ends` has of a key.
pub(crate) fn read_owner(owner: &str) -> (&str, Option<&str>) {
    match owner.split_once(':') {
        Some((user, project)) => (user, Some(project)),
        None => (owner, None),
    }
}

/// The entries of an organization's keys whose end has come.
fn ended(organization: &str, now: DateTime<Utc>) -> RangeInclusive<(&str, i64, Id)> {
    (organization, i64::MIN, FIRST_ID)..=(organization, now.timestamp_millis(), LAST_ID)
}

/// The counts as they are now, with what nobody swept out yet taken off.
pub(crate) fn quota_use(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
    user: &UserId,
    now: DateTime<Utc>,
) -> Result<QuotaUse, StoreError> {
    let (organization, user) = (organization.as_str(), user.as_str());
    let ends = reading(transaction, ENDS)?;
    let mut over = QuotaUse { organization: 0, user: 0 };
    for entry in ends.range(ended(organization, now)).map_err(storage)? {
        let (_, owner) = entry.map_err(storage)?;
        over.organization += 1;
        over.user += u64::from(read_owner(owner.value()).0 == user);
    }
    let of_organization = reading(transaction, ORGANIZATION_COUNTS)?.get(organization).map_err(storage)?;
    let of_user = reading(transaction, USER_COUNTS)?.get((organization, user)).map_err(storage)?;
    let count = |held: Option<redb::AccessGuard<'_, u64>>| held.map_or(0, |held| held.value());
    Ok(QuotaUse {
        organization: count(of_organization).saturating_sub(over.organization),
        user: count(of_user).saturating_sub(over.user),
    })
}

/// The same of a project.
pub(crate) fn project_use(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
    project: &ProjectId,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let (organization, project) = (organization.as_str(), project.as_str());
    let mut over = 0;
    for entry in reading(transaction, ENDS)?.range(ended(organization, now)).map_err(storage)? {
        let (_, owner) = entry.map_err(storage)?;
        over += u64::from(read_owner(owner.value()).1 == Some(project));
    }
    let count = reading(transaction, PROJECT_COUNTS)?.get((organization, project)).map_err(storage)?;
    Ok(count.map_or(0, |held| held.value()).saturating_sub(over))
}

impl KeyTables<'_> {
    /// Takes an organization's keys whose end has come out of its counts.
    pub(crate) fn sweep(&mut self, organization: &OrganizationId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let organization = organization.as_str();
        let mut swept: HashMap<String, u64> = HashMap::new();
        let entries = self.ends.extract_from_if(ended(organization, now), |_, _| true).map_err(storage)?;
        for entry in entries {
            let (_, owner) = entry.map_err(storage)?;
            match swept.get_mut(owner.value()) {
                Some(count) => *count += 1,
                None => drop(swept.insert(owner.value().to_owned(), 1)),
            }
        }
        for (owner, count) in &swept {
            let (user, project) = read_owner(owner);
            subtract(&mut self.user_counts, (organization, user), *count)?;
            if let Some(project) = project {
                subtract(&mut self.project_counts, (organization, project), *count)?;
            }
        }
        match swept.values().sum() {
            0 => Ok(()),
            all => subtract(&mut self.organization_counts, organization, all),
        }
    }

    /// The counts, exact once the organization was swept.
    pub(crate) fn counts(&self, organization: &str, user: &str) -> Result<QuotaUse, StoreError> {
        Ok(QuotaUse {
            organization: count(&self.organization_counts, organization)?,
            user: count(&self.user_counts, (organization, user))?,
        })
    }

    /// How many keys of a project count, likewise.
    pub(crate) fn project_count(&self, organization: &str, project: &str) -> Result<u64, StoreError> {
        count(&self.project_counts, (organization, project))
    }

    /// A key comes: it counts unless it is revoked or its end has come.
    pub(crate) fn enter(&mut self, key: &Key, now: DateTime<Utc>) -> Result<(), StoreError> {
        let (organization, user) = (key.organization.as_str(), key.user.as_str());
        if key.counts_until().is_some_and(|end| end <= now) {
            return Ok(());
        }
        if let Some(end) = key.counts_until() {
            let entry = (organization, end.timestamp_millis(), key.id.as_bytes());
            self.ends.insert(entry, owner_of(key).as_str()).map_err(storage)?;
        }
        let counts = self.counts(organization, user)?;
        self.organization_counts.insert(organization, counts.organization + 1).map_err(storage)?;
        self.user_counts.insert((organization, user), counts.user + 1).map_err(storage)?;
        if let Some(project) = &key.project {
            let count = self.project_count(organization, project.as_str())?;
            self.project_counts.insert((organization, project.as_str()), count + 1).map_err(storage)?;
        }
        Ok(())
    }

    /// A key goes: what it counted for is taken off.
    pub(crate) fn leave(&mut self, key: &Key) -> Result<(), StoreError> {
        let (organization, user) = (key.organization.as_str(), key.user.as_str());
        let counted = match key.counts_until() {
            None => true,
            Some(end) if end == DateTime::UNIX_EPOCH => false,
            Some(end) => {
                let entry = (organization, end.timestamp_millis(), key.id.as_bytes());
                self.ends.remove(entry).map_err(storage)?.is_some()
            }
        };
        if counted {
            subtract(&mut self.organization_counts, organization, 1)?;
            subtract(&mut self.user_counts, (organization, user), 1)?;
            if let Some(project) = &key.project {
                subtract(&mut self.project_counts, (organization, project.as_str()), 1)?;
            }
        }
        Ok(())
    }
}

fn count<'k, K: redb::Key + 'static>(counts: &Table<'_, K, u64>, of: K::SelfType<'k>) -> Result<u64, StoreError> {
    Ok(counts.get(of).map_err(storage)?.map_or(0, |held| held.value()))
}

/// A count that comes to nothing is not kept, so that users who are gone leave nothing behind. Nor does one that is lower
/// than it can be, which [`verify`](crate::EmbeddedStore::verify) tells of, stand in the way of a revocation.
fn subtract<'k, K>(counts: &mut Table<'_, K, u64>, of: K::SelfType<'k>, by: u64) -> Result<(), StoreError>
where
    K: redb::Key + 'static,
    K::SelfType<'k>: Clone,
{
    match count(counts, of.clone())?.saturating_sub(by) {
        0 => counts.remove(of).map(drop).map_err(storage),
        left => counts.insert(of, left).map(drop).map_err(storage),
    }
}
