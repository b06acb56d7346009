//! The audit of organizations: entries, which acts are open, and what seals them.

use std::ops::{Bound, RangeInclusive};

use keygate_core::audit::{
    ActId, Append, AuditState, Header, KeptEntry, KeptSeal, OPEN_AT_ONCE, OpenIntent, Step, ring_entry_of,
};
use keygate_core::names::OrganizationId;
use keygate_core::ring::EntryId;
use keygate_core::store::StoreError;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::error::storage;
use crate::tables::{AUDIT, AUDIT_OPEN, AUDIT_SEALS, AUDIT_STATES, reading, reading_if_there};

/// Among how many of the last entries one is looked for that is appended again.
const LOOKED_THROUGH: usize = 64;

/// The last sequence, and the checkpoint.
fn state_of(
    states: &impl ReadableTable<&'static str, (u64, &'static [u8])>,
    organization: &str,
) -> Result<(u64, Option<Vec<u8>>), StoreError> {
    let held = states.get(organization).map_err(storage)?;
    Ok(held.map_or((0, None), |held| {
        let (last, checkpoint) = held.value();
        (last, (!checkpoint.is_empty()).then(|| checkpoint.to_vec()))
    }))
}

/// Keeps an entry, unless it is kept already or is to close what is closed.
pub(crate) fn append(
    transaction: &WriteTransaction,
    organization: &str,
    entry: &Append,
) -> Result<Option<u64>, StoreError> {
    let mut entries = transaction.open_table(AUDIT).map_err(storage)?;
    let mut open = transaction.open_table(AUDIT_OPEN).map_err(storage)?;
    let mut states = transaction.open_table(AUDIT_STATES).map_err(storage)?;
    let (last, checkpoint) = state_of(&states, organization)?;
    for held in entries.range((organization, 0)..=(organization, last)).map_err(storage)?.rev().take(LOOKED_THROUGH) {
        let (place, bytes) = held.map_err(storage)?;
        let header = Header::read(bytes.value());
        if header.is_some_and(|held| held.act == entry.act && held.step.byte() == entry.step.byte()) {
            return Ok(Some(place.value().1));
        }
    }
    if let Some(near) = entry.step.closes() {
        match intent_of(&open, organization, near, entry.act)? {
            Some(intent) => drop(open.remove((organization, intent)).map_err(storage)?),
            None if matches!(entry.step, Step::Reconciled { .. }) => return Ok(None),
            None => {}
        }
    }
    let sequence = last + 1;
    entries.insert((organization, sequence), &entry.bytes[..]).map_err(storage)?;
    if entry.step == Step::Intent {
        open.insert((organization, sequence), entry.act.as_bytes()).map_err(storage)?;
    }
    states.insert(organization, (sequence, checkpoint.as_deref().unwrap_or_default())).map_err(storage)?;
    Ok(Some(sequence))
}

/// The sequence of the intent of an act that is open: the one it was said to have, or any.
fn intent_of(
    open: &impl ReadableTable<(&'static str, u64), &'static [u8; 16]>,
    organization: &str,
    near: u64,
    act: ActId,
) -> Result<Option<u64>, StoreError> {
    if open.get((organization, near)).map_err(storage)?.is_some_and(|held| held.value() == act.as_bytes()) {
        return Ok(Some(near));
    }
    for held in open.range(all(organization)).map_err(storage)? {
        let (place, held) = held.map_err(storage)?;
        if held.value() == act.as_bytes() {
            return Ok(Some(place.value().1));
        }
    }
    Ok(None)
}

/// How far the audit has come.
pub(crate) fn state(transaction: &ReadTransaction, organization: &str) -> Result<AuditState, StoreError> {
    let Some(states) = reading_if_there(transaction, AUDIT_STATES)? else { return Ok(AuditState::default()) };
    let (last, checkpoint) = state_of(&states, organization)?;
    let seals = reading(transaction, AUDIT_SEALS)?;
    let mut open = Vec::new();
    for held in reading(transaction, AUDIT_OPEN)?.range(all(organization)).map_err(storage)?.take(OPEN_AT_ONCE) {
        let (place, act) = held.map_err(storage)?;
        open.push(OpenIntent { act: ActId::from_bytes(*act.value()), sequence: place.value().1 });
    }
    let seal = seals.range(all(organization)).map_err(storage)?.next_back().transpose().map_err(storage)?;
    let seal = seal.map(|(place, bytes)| KeptSeal { last: place.value().1, bytes: bytes.value().to_vec() });
    Ok(AuditState { last, seal, checkpoint, open })
}

/// The entries within a range.
pub(crate) fn entries(
    transaction: &ReadTransaction,
    organization: &str,
    range: RangeInclusive<u64>,
    newest_first: bool,
    limit: usize,
) -> Result<Vec<KeptEntry>, StoreError> {
    let Some(entries) = reading_if_there(transaction, AUDIT)?.filter(|_| !range.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut range = entries.range((organization, *range.start())..=(organization, *range.end())).map_err(storage)?;
    let mut kept = Vec::new();
    while kept.len() < limit {
        let next = if newest_first { range.next_back() } else { range.next() };
        let Some(next) = next else { break };
        let (place, bytes) = next.map_err(storage)?;
        kept.push(KeptEntry { sequence: place.value().1, bytes: bytes.value().to_vec() });
    }
    Ok(kept)
}

/// The seals after a sequence.
pub(crate) fn seals(
    transaction: &ReadTransaction,
    organization: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<KeptSeal>, StoreError> {
    let Some(seals) = reading_if_there(transaction, AUDIT_SEALS)? else { return Ok(Vec::new()) };
    let Some(first) = after.checked_add(1) else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    for held in seals.range((organization, first)..=(organization, u64::MAX)).map_err(storage)?.take(limit) {
        let (place, bytes) = held.map_err(storage)?;
        kept.push(KeptSeal { last: place.value().1, bytes: bytes.value().to_vec() });
    }
    Ok(kept)
}

/// Keeps a seal after the one that is `previous`.
pub(crate) fn put_seal(
    transaction: &WriteTransaction,
    organization: &str,
    previous: Option<&KeptSeal>,
    seal: &KeptSeal,
) -> Result<bool, StoreError> {
    let mut seals = transaction.open_table(AUDIT_SEALS).map_err(storage)?;
    let appended = state_of(&transaction.open_table(AUDIT_STATES).map_err(storage)?, organization)?.0;
    let last = seals.range(all(organization)).map_err(storage)?.next_back().transpose().map_err(storage)?;
    let last = last.map(|(place, bytes)| KeptSeal { last: place.value().1, bytes: bytes.value().to_vec() });
    if last.as_ref() != previous || last.is_some_and(|last| last.last >= seal.last) || seal.last > appended {
        return Ok(false);
    }
    seals.insert((organization, seal.last), &seal.bytes[..]).map_err(storage)?;
    Ok(true)
}

/// Takes entries and seals away, and puts a checkpoint in their place.
pub(crate) fn trim(
    transaction: &WriteTransaction,
    organization: &str,
    through: u64,
    checkpoint: &[u8],
    previous: Option<&[u8]>,
) -> Result<bool, StoreError> {
    let mut states = transaction.open_table(AUDIT_STATES).map_err(storage)?;
    let (last, held) = state_of(&states, organization)?;
    if held.as_deref() != previous {
        return Ok(false);
    }
    let gone = (organization, 0)..=(organization, through);
    let mut entries = transaction.open_table(AUDIT).map_err(storage)?;
    entries.retain_in(gone.clone(), |_, _| false).map_err(storage)?;
    let mut seals = transaction.open_table(AUDIT_SEALS).map_err(storage)?;
    seals.retain_in(gone, |_, _| false).map_err(storage)?;
    states.insert(organization, (last, checkpoint)).map_err(storage)?;
    Ok(true)
}

/// The organizations that have an audit, after this one.
pub(crate) fn organizations(
    transaction: &ReadTransaction,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<OrganizationId>, StoreError> {
    let Some(states) = reading_if_there(transaction, AUDIT_STATES)? else { return Ok(Vec::new()) };
    let after = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut listed = Vec::new();
    for held in states.range::<&str>((after, Bound::Unbounded)).map_err(storage)?.take(limit) {
        let (organization, _) = held.map_err(storage)?;
        let organization = OrganizationId::new(organization.value());
        listed.push(organization.map_err(|error| StoreError::damaged("the organizations that have an audit", error))?);
    }
    Ok(listed)
}

/// The ring entries that seals and checkpoints name, as often as they do.
pub(crate) fn ring_entries(transaction: &ReadTransaction) -> Result<Vec<EntryId>, StoreError> {
    let mut named = Vec::new();
    if let Some(seals) = reading_if_there(transaction, AUDIT_SEALS)? {
        for held in seals.iter().map_err(storage)? {
            named.extend(ring_entry_of(held.map_err(storage)?.1.value()));
        }
    }
    if let Some(states) = reading_if_there(transaction, AUDIT_STATES)? {
        for held in states.iter().map_err(storage)? {
            named.extend(ring_entry_of(held.map_err(storage)?.1.value().1));
        }
    }
    Ok(named)
}

/// Whether every entry, every seal and every open act is of an audit that has come so far: if not, in words. Whether they are as
/// they were written is another question, which needs the ring.
pub(crate) fn disagreement(transaction: &ReadTransaction) -> Result<Option<String>, StoreError> {
    let Some(states) = reading_if_there(transaction, AUDIT_STATES)? else { return Ok(None) };
    for table in [AUDIT, AUDIT_SEALS] {
        for held in reading(transaction, table)?.iter().map_err(storage)? {
            let (place, _) = held.map_err(storage)?;
            let (organization, sequence) = place.value();
            if state_of(&states, organization)?.0 < sequence {
                return Ok(Some(format!("the audit of organization {organization} has not come to {sequence}")));
            }
        }
    }
    for held in reading(transaction, AUDIT_OPEN)?.iter().map_err(storage)? {
        let (place, _) = held.map_err(storage)?;
        let (organization, sequence) = place.value();
        if state_of(&states, organization)?.0 < sequence {
            return Ok(Some(format!("an act of organization {organization} is open that was not begun")));
        }
    }
    Ok(None)
}

/// All places of an organization.
fn all(organization: &str) -> RangeInclusive<(&str, u64)> {
    (organization, 0)..=(organization, u64::MAX)
}
