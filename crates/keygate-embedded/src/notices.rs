//! Notices that wait, and those that were given up. That one was sent is a memo.

use chrono::{DateTime, Utc};
use keygate_core::names::OrganizationId;
use keygate_core::notice::{Fate, MAX_GIVEN_UP, NoticeId, Parcel, Posted, Posting, SENT_KEPT};
use keygate_core::store::StoreError;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::error::storage;
use crate::memos;
use crate::tables::{
    FIRST_ID, Id, LAST_ID, NOTICE_COUNTS, NOTICE_TIMES, NOTICES, NOTICES_GIVEN_UP, reading, reading_if_there,
};

/// It is to be taken at its time.
const WAITING: u8 = 0;
/// It was given up at its time.
const GIVEN_UP: u8 = 1;

struct NoticeTables<'t> {
    notices: Table<'t, (&'static str, Id), (u8, i64, &'static [u8])>,
    /// Of those that wait.
    times: Table<'t, (i64, &'static str, Id), ()>,
    /// Of those that wait.
    counts: Table<'t, &'static str, u64>,
    /// When they were.
    given_up: Table<'t, (&'static str, i64, Id), ()>,
}

impl<'t> NoticeTables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            notices: transaction.open_table(NOTICES).map_err(storage)?,
            times: transaction.open_table(NOTICE_TIMES).map_err(storage)?,
            counts: transaction.open_table(NOTICE_COUNTS).map_err(storage)?,
            given_up: transaction.open_table(NOTICES_GIVEN_UP).map_err(storage)?,
        })
    }

    /// The state and the time of a notice.
    fn state(&self, organization: &str, id: NoticeId) -> Result<Option<(u8, i64)>, StoreError> {
        let held = self.notices.get((organization, id.as_bytes())).map_err(storage)?;
        Ok(held.map(|held| (held.value().0, held.value().1)))
    }

    fn count(&self, organization: &str) -> Result<u64, StoreError> {
        Ok(self.counts.get(organization).map_err(storage)?.map_or(0, |count| count.value()))
    }

    fn put(&mut self, organization: &str, id: NoticeId, state: u8, at: i64, bytes: &[u8]) -> Result<(), StoreError> {
        self.notices.insert((organization, id.as_bytes()), (state, at, bytes)).map_err(storage)?;
        if state == WAITING {
            self.times.insert((at, organization, id.as_bytes()), ()).map_err(storage)?;
            let count = self.count(organization)?;
            self.counts.insert(organization, count + 1).map_err(storage)?;
        } else {
            self.given_up.insert((organization, at, id.as_bytes()), ()).map_err(storage)?;
        }
        Ok(())
    }

    /// Takes a notice away, and gives its bytes.
    fn remove(&mut self, organization: &str, id: NoticeId) -> Result<Vec<u8>, StoreError> {
        let held = self.notices.remove((organization, id.as_bytes())).map_err(storage)?.map(|held| {
            let (state, at, bytes) = held.value();
            (state, at, bytes.to_vec())
        });
        let Some((state, at, bytes)) = held else { return Ok(Vec::new()) };
        if state == WAITING {
            self.times.remove((at, organization, id.as_bytes())).map_err(storage)?;
            match self.count(organization)? {
                0 | 1 => self.counts.remove(organization).map_err(storage)?.map(drop),
                count => self.counts.insert(organization, count - 1).map_err(storage)?.map(drop),
            };
        } else {
            self.given_up.remove((organization, at, id.as_bytes())).map_err(storage)?;
        }
        Ok(bytes)
    }
}

/// Whether a notice is there, or was sent not long ago.
pub(crate) fn is_known(transaction: &ReadTransaction, notice: &Parcel, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(notices) = reading_if_there(transaction, NOTICES)? else { return Ok(false) };
    let place = (notice.organization.as_str(), notice.id.as_bytes());
    Ok(notices.get(place).map_err(storage)?.is_some()
        || memos::recall(transaction, &notice.sent_name(), now)?.is_some())
}

/// Keeps a notice.
pub(crate) fn put(
    transaction: &WriteTransaction,
    notice: &Parcel,
    how: Posting,
    now: DateTime<Utc>,
) -> Result<Posted, StoreError> {
    let mut tables = NoticeTables::open(transaction)?;
    let organization = notice.organization.as_str();
    match tables.state(organization, notice.id)? {
        Some((WAITING, _)) if how.replaces => {
            tables.remove(organization, notice.id)?;
        }
        Some(_) => return Ok(Posted::Known),
        None if memos::recall_in(transaction, &notice.sent_name(), now)?.is_some() => return Ok(Posted::Known),
        None if tables.count(organization)? >= how.room as u64 => return Ok(Posted::Full),
        None => {}
    }
    tables.put(organization, notice.id, WAITING, notice.due.timestamp_millis(), &notice.bytes)?;
    Ok(Posted::New)
}

/// Whether anything is due.
pub(crate) fn is_any_due(transaction: &ReadTransaction, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(times) = reading_if_there(transaction, NOTICE_TIMES)? else { return Ok(false) };
    let first = times.first().map_err(storage)?.map(|(place, _)| place.value().0);
    Ok(first.is_some_and(|first| first <= now.timestamp_millis()))
}

/// Takes what is due.
pub(crate) fn take(
    transaction: &WriteTransaction,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<Parcel>, StoreError> {
    let mut tables = NoticeTables::open(transaction)?;
    let mut due = Vec::new();
    for entry in tables.times.iter().map_err(storage)? {
        let (place, _) = entry.map_err(storage)?;
        let (at, organization, id) = place.value();
        if at > now.timestamp_millis() || due.len() >= limit {
            break;
        }
        match organization_of(organization) {
            Ok(organization) => due.push((organization, NoticeId::from_bytes(*id))),
            // It must not keep the others from being sent.
            Err(error) => tracing::error!(target: "keygate::notice", %error, "a notice cannot be read"),
        }
    }
    let mut taken = Vec::with_capacity(due.len());
    for (organization, id) in due {
        let bytes = tables.remove(organization.as_str(), id)?;
        tables.put(organization.as_str(), id, WAITING, until.timestamp_millis(), &bytes)?;
        taken.push(Parcel { organization, id, due: until, bytes });
    }
    Ok(taken)
}

/// Says what becomes of a notice, if it waits as it was taken.
pub(crate) fn settle(
    transaction: &WriteTransaction,
    taken: &Parcel,
    fate: &Fate,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tables = NoticeTables::open(transaction)?;
    let (organization, id) = (taken.organization.as_str(), taken.id);
    if tables.state(organization, id)? != Some((WAITING, taken.due.timestamp_millis())) {
        return Ok(false);
    }
    tables.remove(organization, id)?;
    match fate {
        Fate::Later { due, bytes } => tables.put(organization, id, WAITING, due.timestamp_millis(), bytes)?,
        Fate::Forgotten => {}
        Fate::Sent => {
            drop(tables);
            let kept = SENT_KEPT.to_std().unwrap_or_default();
            memos::remember(transaction, &taken.sent_name(), &[], kept, now)?;
        }
        Fate::GivenUp { at, bytes } => {
            tables.put(organization, id, GIVEN_UP, at.timestamp_millis(), bytes)?;
            for (_, oldest) in places_given_up(&tables.given_up, organization)?.into_iter().skip(MAX_GIVEN_UP) {
                tables.remove(organization, oldest)?;
            }
        }
    }
    Ok(true)
}

/// When notices of an organization were given up, the newest first.
fn places_given_up(
    given_up: &impl ReadableTable<(&'static str, i64, Id), ()>,
    organization: &str,
) -> Result<Vec<(i64, NoticeId)>, StoreError> {
    let all = (organization, i64::MIN, FIRST_ID)..=(organization, i64::MAX, LAST_ID);
    let mut places = Vec::new();
    for entry in given_up.range(all).map_err(storage)?.rev() {
        let (place, _) = entry.map_err(storage)?;
        let (_, at, id) = place.value();
        places.push((at, NoticeId::from_bytes(*id)));
    }
    Ok(places)
}

/// The newest that were given up of an organization.
pub(crate) fn given_up(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
    limit: usize,
) -> Result<Vec<Parcel>, StoreError> {
    let Some(places) = reading_if_there(transaction, NOTICES_GIVEN_UP)? else { return Ok(Vec::new()) };
    let notices = reading(transaction, NOTICES)?;
    let places = places_given_up(&places, organization.as_str())?;
    let parcels = places.into_iter().take(limit).map(|(at, id)| {
        let held = notices.get((organization.as_str(), id.as_bytes())).map_err(storage)?;
        let bytes = held.map_or_else(Vec::new, |held| held.value().2.to_vec());
        let due = DateTime::from_timestamp_millis(at).unwrap_or_default();
        Ok(Parcel { organization: organization.clone(), id, due, bytes })
    });
    parcels.collect()
}

/// Has a notice wait that was given up.
pub(crate) fn redrive(transaction: &WriteTransaction, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
    let mut tables = NoticeTables::open(transaction)?;
    let organization = notice.organization.as_str();
    if tables.state(organization, notice.id)?.is_none_or(|(state, _)| state != GIVEN_UP) {
        return Ok(Posted::Known);
    }
    if tables.count(organization)? >= room as u64 {
        return Ok(Posted::Full);
    }
    tables.remove(organization, notice.id)?;
    tables.put(organization, notice.id, WAITING, notice.due.timestamp_millis(), &notice.bytes)?;
    Ok(Posted::New)
}

/// Whether every notice that waits is known by its time and counted, every one that was given up is listed, and nothing
/// else is: if not, in words.
pub(crate) fn disagreement(transaction: &ReadTransaction) -> Result<Option<String>, StoreError> {
    let Some(notices) = reading_if_there(transaction, NOTICES)? else { return Ok(None) };
    let (times, counts) = (reading(transaction, NOTICE_TIMES)?, reading(transaction, NOTICE_COUNTS)?);
    let places = reading(transaction, NOTICES_GIVEN_UP)?;
    let (mut waiting, mut given_up) = (0_u64, 0_u64);
    for entry in notices.iter().map_err(storage)? {
        let (place, held) = entry.map_err(storage)?;
        let ((organization, id), (state, at, _)) = (place.value(), held.value());
        if state != WAITING {
            given_up += 1;
            if places.get((organization, at, id)).map_err(storage)?.is_none() {
                return Ok(Some(format!("notice {} was given up, and is not listed", NoticeId::from_bytes(*id))));
            }
            continue;
        }
        waiting += 1;
        if times.get((at, organization, id)).map_err(storage)?.is_none() {
            return Ok(Some(format!("notice {} waits, and is not known by its time", NoticeId::from_bytes(*id))));
        }
    }
    let mut counted = 0_u64;
    for entry in counts.iter().map_err(storage)? {
        counted = counted.saturating_add(entry.map_err(storage)?.1.value());
    }
    let listed = places.len().map_err(storage)?;
    if listed != given_up {
        return Ok(Some(format!("{given_up} notices were given up, and {listed} are listed")));
    }
    let known = times.len().map_err(storage)?;
    let agree = waiting == counted && waiting == known;
    let problem = || format!("{waiting} notices wait, {known} are known by their times, and {counted} are counted");
    Ok((!agree).then(problem))
}

fn organization_of(text: &str) -> Result<OrganizationId, StoreError> {
    OrganizationId::new(text).map_err(|error| StoreError::damaged("the organization of a notice", error))
}
