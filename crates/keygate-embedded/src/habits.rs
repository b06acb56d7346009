//! What is known of keys' habits.
//!
//! Nobody waits for the disk: they are on it with the next write that does, and what a crash loses of them is learned anew.
//! Those that were put long ago are taken away by whoever puts others, a bounded number at a time, but more than the one
//! that comes.

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::anomaly::habits::HABITS_KEPT_DAYS;
use keygate_core::key::KeyId;
use keygate_core::store::StoreError;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::error::storage;
use crate::tables::{FIRST_ID, HABIT_ENDS, HABITS, Id, LAST_ID, RECORDS, reading, reading_if_there};

/// How many that are over go with those that are put.
const SWEPT: usize = 4;

const KEPT_FOR: TimeDelta = TimeDelta::days(HABITS_KEPT_DAYS as i64);

type Habits<'t> = Table<'t, Id, (i64, &'static [u8])>;
type Ends<'t> = Table<'t, (i64, Id), ()>;

/// A key's habits now.
pub(crate) fn habits(
    transaction: &ReadTransaction,
    key: KeyId,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, StoreError> {
    reading_if_there(transaction, HABITS)?.map_or(Ok(None), |habits| held(&habits, key, now))
}

/// Puts a key's habits in the place of the previous ones, if it is there, and says whether it did.
pub(crate) fn put(
    transaction: &WriteTransaction,
    key: KeyId,
    previous: Option<&[u8]>,
    next: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut habits = transaction.open_table(HABITS).map_err(storage)?;
    let mut ends = transaction.open_table(HABIT_ENDS).map_err(storage)?;
    sweep(&mut habits, &mut ends, now)?;
    let records = transaction.open_table(RECORDS).map_err(storage)?;
    if records.get(key.as_bytes()).map_err(storage)?.is_none() {
        return Ok(false);
    }
    if held(&habits, key, now)?.as_deref() != previous {
        return Ok(false);
    }
    remove(&mut habits, &mut ends, key)?;
    let end = (now + KEPT_FOR).timestamp_millis();
    habits.insert(key.as_bytes(), (end, next)).map_err(storage)?;
    ends.insert((end, key.as_bytes()), ()).map_err(storage)?;
    Ok(true)
}

/// Erases a key's habits.
pub(crate) fn forget(transaction: &WriteTransaction, key: KeyId) -> Result<(), StoreError> {
    let mut habits = transaction.open_table(HABITS).map_err(storage)?;
    let mut ends = transaction.open_table(HABIT_ENDS).map_err(storage)?;
    remove(&mut habits, &mut ends, key)
}

/// Whether all habits have their end and nothing else has one: if not, in words.
pub(crate) fn disagreement(transaction: &ReadTransaction) -> Result<Option<String>, StoreError> {
    let Some(habits) = reading_if_there(transaction, HABITS)? else { return Ok(None) };
    let ends = reading(transaction, HABIT_ENDS)?;
    for entry in habits.iter().map_err(storage)? {
        let (id, held) = entry.map_err(storage)?;
        if ends.get((held.value().0, id.value())).map_err(storage)?.is_none() {
            let id = KeyId::from_bytes(*id.value());
            return Ok(Some(format!("the habits of key {id} are not kept as ending")));
        }
    }
    let (habits, ends) = (habits.len().map_err(storage)?, ends.len().map_err(storage)?);
    Ok((habits != ends).then(|| format!("{ends} habits are kept as ending, and there are {habits}")))
}

fn held(
    habits: &impl ReadableTable<Id, (i64, &'static [u8])>,
    key: KeyId,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let held = habits.get(key.as_bytes()).map_err(storage)?;
    Ok(held.and_then(|held| {
        let (end, habits) = held.value();
        (end > now.timestamp_millis()).then(|| habits.to_vec())
    }))
}

fn remove(habits: &mut Habits<'_>, ends: &mut Ends<'_>, key: KeyId) -> Result<(), StoreError> {
    let end = habits.remove(key.as_bytes()).map_err(storage)?.map(|held| held.value().0);
    if let Some(end) = end {
        ends.remove((end, key.as_bytes())).map_err(storage)?;
    }
    Ok(())
}

fn sweep(habits: &mut Habits<'_>, ends: &mut Ends<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
    let over = (i64::MIN, FIRST_ID)..=(now.timestamp_millis(), LAST_ID);
    for entry in ends.extract_from_if(over, |_, ()| true).map_err(storage)?.take(SWEPT) {
        let (end, _) = entry.map_err(storage)?;
        habits.remove(end.value().1).map_err(storage)?;
    }
    Ok(())
}
