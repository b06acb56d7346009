//! What is remembered for a while.
//!
//! What is over is taken away by those who remember something else, a bounded number at a time, but more than the one
//! that comes: so what one write costs does not grow, and what is over does not stay.

use std::time::Duration;

use chrono::{DateTime, Utc};
use keygate_core::store::{MemoName, StoreError, memo_millis};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableError, WriteTransaction};

use crate::error::storage;
use crate::tables::{FIRST_NAME, LAST_NAME, MEMO_ENDS, MEMOS, Name, reading};

/// How many that are over go with one that is remembered.
const SWEPT: usize = 16;

/// What is remembered now.
pub(crate) fn recall(
    transaction: &ReadTransaction,
    name: &MemoName,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, StoreError> {
    match transaction.open_table(MEMOS) {
        Ok(memos) => held(&memos, name, now),
        // A file in which nothing was ever remembered, made before there were memos.
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(storage(error)),
    }
}

/// The same, in a transaction that writes.
pub(crate) fn recall_in(
    transaction: &WriteTransaction,
    name: &MemoName,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, StoreError> {
    held(&transaction.open_table(MEMOS).map_err(storage)?, name, now)
}

/// Whether every memo has its end and nothing else has one: if not, in words.
pub(crate) fn disagreement(transaction: &ReadTransaction) -> Result<Option<String>, StoreError> {
    let memos = match transaction.open_table(MEMOS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        memos => memos.map_err(storage)?,
    };
    let ends = reading(transaction, MEMO_ENDS)?;
    for entry in memos.iter().map_err(storage)? {
        let (name, memo) = entry.map_err(storage)?;
        if ends.get((memo.value().0, name.value())).map_err(storage)?.is_none() {
            let name = MemoName::from_bytes(*name.value());
            return Ok(Some(format!("what is remembered as {name} is not kept as ending")));
        }
    }
    let (memos, ends) = (memos.len().map_err(storage)?, ends.len().map_err(storage)?);
    Ok((memos != ends).then(|| format!("{ends} memos are kept as ending, and {memos} are remembered")))
}

/// Remembers a value unless something is remembered, which is then the answer.
pub(crate) fn remember(
    transaction: &WriteTransaction,
    name: &MemoName,
    value: &[u8],
    ttl: Duration,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut memos = transaction.open_table(MEMOS).map_err(storage)?;
    let mut ends = transaction.open_table(MEMO_ENDS).map_err(storage)?;
    sweep(&mut memos, &mut ends, now)?;
    if let Some(held) = held(&memos, name, now)? {
        return Ok(Some(held));
    }
    let ttl = i64::try_from(memo_millis(ttl)).unwrap_or(i64::MAX);
    let end = now.timestamp_millis().saturating_add(ttl);
    let before = memos.insert(name.as_bytes(), (end, value)).map_err(storage)?.map(|before| before.value().0);
    if let Some(over) = before {
        ends.remove((over, name.as_bytes())).map_err(storage)?;
    }
    ends.insert((end, name.as_bytes()), ()).map_err(storage)?;
    Ok(None)
}

fn held(
    memos: &impl ReadableTable<Name, (i64, &'static [u8])>,
    name: &MemoName,
    now: DateTime<Utc>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let held = memos.get(name.as_bytes()).map_err(storage)?;
    Ok(held.and_then(|held| {
        let (end, value) = held.value();
        (end > now.timestamp_millis()).then(|| value.to_vec())
    }))
}

fn sweep(
    memos: &mut Table<'_, Name, (i64, &'static [u8])>,
    ends: &mut Table<'_, (i64, Name), ()>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let over = (i64::MIN, FIRST_NAME)..=(now.timestamp_millis(), LAST_NAME);
    for entry in ends.extract_from_if(over, |_, ()| true).map_err(storage)?.take(SWEPT) {
        let (end, _) = entry.map_err(storage)?;
        memos.remove(end.value().1).map_err(storage)?;
    }
    Ok(())
}
