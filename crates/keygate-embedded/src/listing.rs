//! Lists, read from an index from its end: the newest key first.

use keygate_core::key::KeyId;
use keygate_core::store::{Due, Listing, RecordPage, StoreError};
use keygate_core::usage::period::Day;
use redb::ReadTransaction;

use crate::error::storage;
use crate::tables::{BY_ORGANIZATION, BY_USER, DUE, FIRST_ID, LAST_ID, RECORDS, reading, reading_if_there, record_of};

/// A page of a list, as of one moment.
pub(crate) fn page(
    transaction: &ReadTransaction,
    listing: &Listing,
    after: Option<KeyId>,
    limit: usize,
) -> Result<RecordPage, StoreError> {
    let records = reading(transaction, RECORDS)?;
    // One more than asked for, to know whether there is a next page.
    let mut ids = ids(transaction, listing, after, limit.saturating_add(1))?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next = ids.last().copied().filter(|_| more);
    let mut page = RecordPage { next, ..RecordPage::default() };
    for id in ids {
        match record_of(&records, id) {
            Ok(Some(record)) => page.records.push(record),
            // A list that names a key that is not there is damaged too.
            Ok(None) | Err(StoreError::Damaged { .. }) => page.unreadable.push(id),
            Err(error) => return Err(error),
        }
    }
    Ok(page)
}

/// A page of what is due by the end of a day.
pub(crate) fn due(
    transaction: &ReadTransaction,
    until: Day,
    after: Option<Due>,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let Some(lists) = reading_if_there(transaction, DUE)? else { return Ok(Vec::new()) };
    let begin = after.as_ref().map_or((0, FIRST_ID), |after| (after.day.0, after.id.as_bytes()));
    if begin.0 > until.0 {
        return Ok(Vec::new());
    }
    let mut listed = Vec::new();
    for entry in lists.range(begin..=(until.0, LAST_ID)).map_err(storage)? {
        let place = entry.map_err(storage)?.0;
        let (day, id) = place.value();
        let due = Due { day: Day(day), id: KeyId::from_bytes(*id) };
        if after != Some(due) {
            listed.push(due);
        }
        if listed.len() == limit {
            break;
        }
    }
    Ok(listed)
}

fn ids(
    transaction: &ReadTransaction,
    listing: &Listing,
    after: Option<KeyId>,
    most: usize,
) -> Result<Vec<KeyId>, StoreError> {
    // No key is made with the last of all ids, so leaving it out leaves out nothing.
    let end = after.as_ref().map_or(LAST_ID, KeyId::as_bytes);
    let mut ids = Vec::new();
    match listing {
        Listing::Organization(organization) => {
            let (index, organization) = (reading(transaction, BY_ORGANIZATION)?, organization.as_str());
            let range = (organization, FIRST_ID)..(organization, end);
            for entry in index.range(range).map_err(storage)?.rev().take(most) {
                let (place, _) = entry.map_err(storage)?;
                ids.push(KeyId::from_bytes(*place.value().1));
            }
        }
        Listing::User(organization, user) => {
            let index = reading(transaction, BY_USER)?;
            let (organization, user) = (organization.as_str(), user.as_str());
            let range = (organization, user, FIRST_ID)..(organization, user, end);
            for entry in index.range(range).map_err(storage)?.rev().take(most) {
                let (place, _) = entry.map_err(storage)?;
                ids.push(KeyId::from_bytes(*place.value().2));
            }
        }
    }
    Ok(ids)
}
