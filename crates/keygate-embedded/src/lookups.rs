//! What imported keys are found by.

use keygate_core::key::KeyId;
use keygate_core::store::{LookupToken, StoreError};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::error::storage;
use crate::tables::{LOOKUPS, reading_if_there};

/// The keys that are found under these tokens, in their order.
pub(crate) fn look_up(transaction: &ReadTransaction, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
    let Some(lookups) = reading_if_there(transaction, LOOKUPS)? else { return Ok(vec![None; tokens.len()]) };
    let found = tokens.iter().map(|token| lookups.get(token.as_bytes()).map_err(storage));
    found.map(|found| Ok(found?.map(|id| KeyId::from_bytes(*id.value())))).collect()
}

/// Takes tokens that nobody has, and says of the others whose they are.
pub(crate) fn take(
    transaction: &WriteTransaction,
    taken: &[(LookupToken, KeyId)],
) -> Result<Vec<Option<KeyId>>, StoreError> {
    let mut lookups = transaction.open_table(LOOKUPS).map_err(storage)?;
    let mut answers = Vec::with_capacity(taken.len());
    for (token, id) in taken {
        let held = lookups.get(token.as_bytes()).map_err(storage)?.map(|held| KeyId::from_bytes(*held.value()));
        if held.is_none() {
            lookups.insert(token.as_bytes(), id.as_bytes()).map_err(storage)?;
        }
        answers.push(held);
    }
    Ok(answers)
}

/// Frees a token if it is this key's.
pub(crate) fn free(transaction: &WriteTransaction, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
    let mut lookups = transaction.open_table(LOOKUPS).map_err(storage)?;
    let is_its = lookups.get(token.as_bytes()).map_err(storage)?.is_some_and(|held| held.value() == id.as_bytes());
    if is_its {
        lookups.remove(token.as_bytes()).map_err(storage)?;
    }
    Ok(is_its)
}
