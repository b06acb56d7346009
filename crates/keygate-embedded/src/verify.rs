//! Whether what is in the file agrees with itself.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use keygate_core::key::KeyId;
use keygate_core::record::KeyRecord;
use keygate_core::store::StoreError;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use crate::error::storage;
use crate::quota::owner_of;
use crate::records::due_day;
use crate::tables::{
    BY_ORGANIZATION, BY_USER, DUE, ENDS, Id, ORGANIZATION_COUNTS, PROJECT_COUNTS, RECORDS, USER_COUNTS, decode,
    reading, reading_if_there,
};
use crate::{audit, findings, habits, ledgers, memos, notices, usage};

/// The most problems that are told of.
const MAX_PROBLEMS: usize = 100;

/// What a look at every record, list and count found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// How many records there are.
    pub records: u64,
    /// What does not agree, the first hundred of it, in words that name ids and nothing secret. Empty is as it should be.
    pub problems: Vec<String>,
}

impl Verification {
    fn problem(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// What the counts must be, from the records.
#[derive(Default)]
struct Counted {
    organizations: HashMap<String, u64>,
    users: HashMap<(String, String), u64>,
    projects: HashMap<(String, String), u64>,
    ends: u64,
}

pub(crate) fn verify(transaction: &ReadTransaction, now: DateTime<Utc>) -> Result<Verification, StoreError> {
    let by_organization = reading(transaction, BY_ORGANIZATION)?;
    let by_user = reading(transaction, BY_USER)?;
    let ends = reading(transaction, ENDS)?;
    let mut found = Verification::default();
    let mut counted = Counted::default();
    let (lists, mut due) = (reading_if_there(transaction, DUE)?, 0);

    for entry in reading(transaction, RECORDS)?.iter().map_err(storage)? {
        let (id, bytes) = entry.map_err(storage)?;
        found.records += 1;
        let record = match decode(KeyId::from_bytes(*id.value()), bytes.value()) {
            Ok(record) => record,
            Err(error) => {
                found.problem(error.to_string());
                continue;
            }
        };
        let key = &record.key;
        let (id, organization, user) = (key.id.as_bytes(), key.organization.as_str(), key.user.as_str());
        if by_organization.get((organization, id)).map_err(storage)?.is_none() {
            found.problem(format!("key {} is not in its organization's list", key.id));
        }
        if by_user.get((organization, user, id)).map_err(storage)?.is_none() {
            found.problem(format!("key {} is not in its user's list", key.id));
        }
        if let Some(day) = due_day(&record) {
            due += 1;
            let listed = lists.as_ref().map(|lists| lists.get((day, id)).map_err(storage)).transpose()?.flatten();
            if listed.is_none() {
                found.problem(format!("key {} is not listed as due", key.id));
            }
        }
        count(&mut counted, &mut found, &ends, &record, now)?;
    }

    // Every record is in each index, so an index of the same length holds nothing else.
    for (list, length) in [
        ("organizations' lists", by_organization.len().map_err(storage)?),
        ("users' lists", by_user.len().map_err(storage)?),
    ] {
        if length != found.records {
            found.problem(format!("the {list} have {length} entries for {} keys", found.records));
        }
    }
    let length = lists.map_or(Ok(0), |lists| lists.len().map_err(storage))?;
    if length != due {
        found.problem(format!("{length} keys are listed as due, and {due} are"));
    }
    let length = ends.len().map_err(storage)?;
    if length != counted.ends {
        found.problem(format!("{length} keys are kept as ending, and {} end", counted.ends));
    }
    compare_counts(transaction, &counted, &mut found)?;
    let others = [
        memos::disagreement(transaction)?,
        ledgers::disagreement(transaction)?,
        usage::disagreement(transaction)?,
        habits::disagreement(transaction)?,
        findings::disagreement(transaction)?,
        notices::disagreement(transaction)?,
        audit::disagreement(transaction)?,
    ];
    for problem in others.into_iter().flatten() {
        found.problem(problem);
    }
    Ok(found)
}

fn count(
    counted: &mut Counted,
    found: &mut Verification,
    ends: &ReadOnlyTable<(&'static str, i64, Id), &'static str>,
    record: &KeyRecord,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let key = &record.key;
    let (organization, user) = (key.organization.as_str(), key.user.as_str());
    if key.counts_until() == Some(DateTime::UNIX_EPOCH) {
        return Ok(());
    }
    if let Some(end) = key.counts_until() {
        let owner = ends.get((organization, end.timestamp_millis(), key.id.as_bytes())).map_err(storage)?;
        let Some(owner) = owner else {
            if end > now {
                found.problem(format!("key {} does not count, and has not ended", key.id));
            }
            return Ok(());
        };
        counted.ends += 1;
        if owner.value() != owner_of(key) {
            found.problem(format!("key {} is counted for another user or project", key.id));
        }
    }
    *counted.organizations.entry(organization.to_owned()).or_default() += 1;
    *counted.users.entry((organization.to_owned(), user.to_owned())).or_default() += 1;
    if let Some(project) = &key.project {
        *counted.projects.entry((organization.to_owned(), project.to_string())).or_default() += 1;
    }
    Ok(())
}

fn compare_counts(
    transaction: &ReadTransaction,
    counted: &Counted,
    found: &mut Verification,
) -> Result<(), StoreError> {
    let counts = reading(transaction, ORGANIZATION_COUNTS)?;
    for entry in counts.iter().map_err(storage)? {
        let (organization, kept) = entry.map_err(storage)?;
        let (organization, kept) = (organization.value(), kept.value());
        let is = counted.organizations.get(organization).copied().unwrap_or(0);
        if kept != is {
            found.problem(format!("organization {organization} counts {kept} keys and has {is}"));
        }
    }
    if counts.len().map_err(storage)? != counted.organizations.len() as u64 {
        found.problem("an organization with keys has no count".into());
    }
    for (what, table, counted) in
        [("user", USER_COUNTS, &counted.users), ("project", PROJECT_COUNTS, &counted.projects)]
    {
        let counts = reading(transaction, table)?;
        for entry in counts.iter().map_err(storage)? {
            let (place, kept) = entry.map_err(storage)?;
            let ((organization, one), kept) = (place.value(), kept.value());
            let is = counted.get(&(organization.to_owned(), one.to_owned())).copied().unwrap_or(0);
            if kept != is {
                found.problem(format!("{what} {one} of organization {organization} counts {kept} keys and has {is}"));
            }
        }
        if counts.len().map_err(storage)? != counted.len() as u64 {
            found.problem(format!("a {what} with keys has no count"));
        }
    }
    Ok(())
}
