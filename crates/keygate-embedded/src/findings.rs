//! What was found unusual, of each organization the newest, for a time. What is too old goes with the next that is found.

use std::ops::Bound;

use chrono::{DateTime, Utc};
use keygate_core::anomaly::finding::{KEPT, KEPT_FOR};
use keygate_core::anomaly::{Finding, FindingCursor, FindingId};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::store::StoreError;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::error::storage;
use crate::tables::{FINDING_IDS, FINDINGS, FIRST_ID, Id, LAST_ID, reading, reading_if_there};

type Findings<'t> = Table<'t, (&'static str, i64, Id), (Id, &'static [u8])>;
type Ids<'t> = Table<'t, (&'static str, Id), i64>;

/// The latest that is over.
fn over(now: DateTime<Utc>) -> i64 {
    now.timestamp_millis().saturating_sub(KEPT_FOR.num_milliseconds())
}

/// Whether a finding of this id is kept.
pub(crate) fn is_kept(
    transaction: &ReadTransaction,
    finding: &Finding,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(ids) = reading_if_there(transaction, FINDING_IDS)? else { return Ok(false) };
    let place = (finding.organization_id.as_str(), finding.id.as_bytes());
    let kept = ids.get(place).map_err(storage)?.map(|kept| kept.value());
    Ok(kept.is_some_and(|millis| millis > over(now)))
}

/// Keeps a finding, unless one of its id is kept; says whether it did.
pub(crate) fn record(
    transaction: &WriteTransaction,
    finding: &Finding,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut findings = transaction.open_table(FINDINGS).map_err(storage)?;
    let mut ids = transaction.open_table(FINDING_IDS).map_err(storage)?;
    let organization = finding.organization_id.as_str();
    forget(&mut findings, &mut ids, organization, over(now), usize::MAX)?;
    if ids.get((organization, finding.id.as_bytes())).map_err(storage)?.is_some() {
        return Ok(false);
    }
    let FindingCursor { millis, id } = finding.cursor();
    let json = finding.encode().map_err(|error| StoreError::damaged(what(id), error))?;
    let held = (finding.key_id.as_bytes(), json.as_slice());
    findings.insert((organization, millis, id.as_bytes()), held).map_err(storage)?;
    ids.insert((organization, id.as_bytes()), millis).map_err(storage)?;
    let all = (organization, FIRST_ID)..=(organization, LAST_ID);
    let there = ids.range(all).map_err(storage)?.count();
    forget(&mut findings, &mut ids, organization, i64::MAX, there.saturating_sub(KEPT))?;
    Ok(true)
}

/// Takes the oldest of an organization away, at most so many of those until a time.
fn forget(
    findings: &mut Findings<'_>,
    ids: &mut Ids<'_>,
    organization: &str,
    until: i64,
    most: usize,
) -> Result<(), StoreError> {
    let oldest = (organization, i64::MIN, FIRST_ID)..=(organization, until, LAST_ID);
    for entry in findings.extract_from_if(oldest, |_, _| true).map_err(storage)?.take(most) {
        let (place, _) = entry.map_err(storage)?;
        ids.remove((organization, place.value().2)).map_err(storage)?;
    }
    Ok(())
}

/// The newest of an organization, or of one of its keys, before a place in the list; at most so many.
pub(crate) fn list(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
    key: Option<KeyId>,
    limit: usize,
    before: Option<FindingCursor>,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>, StoreError> {
    let Some(findings) = reading_if_there(transaction, FINDINGS)? else { return Ok(Vec::new()) };
    let before = before.as_ref().map(|before| (before.millis, before.id.as_bytes()));
    // A range that ends before it begins would be a mistake to the table.
    if before.is_some_and(|(millis, _)| millis <= over(now)) {
        return Ok(Vec::new());
    }
    let organization = organization.as_str();
    let begin = Bound::Excluded((organization, over(now), LAST_ID));
    let end = match before {
        Some((millis, id)) => Bound::Excluded((organization, millis, id)),
        None => Bound::Included((organization, i64::MAX, LAST_ID)),
    };
    let mut told = Vec::new();
    for entry in findings.range((begin, end)).map_err(storage)?.rev() {
        if told.len() >= limit {
            break;
        }
        let (place, held) = entry.map_err(storage)?;
        let (of, json) = held.value();
        if key.is_none_or(|key| key.as_bytes() == of) {
            told.push(decode(place.value(), of, json)?);
        }
    }
    Ok(told)
}

/// Whether everything can be read and is found under its id, and nothing else is: if not, in words.
pub(crate) fn disagreement(transaction: &ReadTransaction) -> Result<Option<String>, StoreError> {
    let Some(findings) = reading_if_there(transaction, FINDINGS)? else { return Ok(None) };
    let ids = reading(transaction, FINDING_IDS)?;
    for entry in findings.iter().map_err(storage)? {
        let (place, held) = entry.map_err(storage)?;
        let (organization, millis, id) = place.value();
        let (of, json) = held.value();
        if let Err(error) = decode(place.value(), of, json) {
            return Ok(Some(error.to_string()));
        }
        let known = ids.get((organization, id)).map_err(storage)?.map(|known| known.value());
        if known != Some(millis) {
            return Ok(Some(format!("{} is not known by its id", what(FindingId::from_bytes(*id)))));
        }
    }
    let (findings, ids) = (findings.len().map_err(storage)?, ids.len().map_err(storage)?);
    Ok((findings != ids).then(|| format!("{ids} findings are known by their ids, and there are {findings}")))
}

/// The finding at a place, which must be the one that belongs there.
fn decode(
    (organization, millis, id): (&str, i64, &[u8; 16]),
    key: &[u8; 16],
    json: &[u8],
) -> Result<Finding, StoreError> {
    let id = FindingId::from_bytes(*id);
    let finding = Finding::decode(json).map_err(|error| StoreError::damaged(what(id), error))?;
    let is_there = finding.cursor() == FindingCursor { millis, id };
    if !is_there || finding.organization_id.as_str() != organization || finding.key_id.as_bytes() != key {
        return Err(StoreError::damaged(what(id), "it is another finding"));
    }
    Ok(finding)
}

fn what(id: FindingId) -> String {
    format!("finding {id}")
}
