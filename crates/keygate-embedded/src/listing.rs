//! Lists, read from an index from its end: the newest key first.

use keygate_core::key::KeyId;
use keygate_core::store::{Listing, RecordPage, StoreError};
use redb::ReadTransaction;

use crate::error::storage;
use crate::tables::{BY_ORGANIZATION, BY_USER, FIRST_ID, LAST_ID, RECORDS, reading, record_of};

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
    let listed = ids.iter().map(|id| {
        record_of(&records, *id)?
            .ok_or_else(|| StoreError::damaged(format!("key {id}"), "a list names it, it is not there"))
    });
    Ok(RecordPage { records: listed.collect::<Result<_, _>>()?, next: ids.last().copied().filter(|_| more) })
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
