//! Which entries of the secret ring are needed by what is not sealed yet: a seal names its own, and a store counts those.

use futures_util::{StreamExt, stream};

use super::attest::written_under;
use super::seal::Checkpoint;
use crate::names::OrganizationId;
use crate::ring::EntryId;
use crate::store::{Store, StoreError};

/// Buckets that are looked into at once.
const IN_FLIGHT: usize = 16;
/// Organizations that are listed at once.
const PAGE: usize = 256;
/// Entries of an organization that are looked at: what is not sealed yet was written a moment ago, or is held up by these.
const LOOKED_AT: usize = 256;

/// An entry that is not sealed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsealed {
    pub(crate) organization: OrganizationId,
    pub(crate) sequence: u64,
    /// That it says it was written under.
    pub(crate) ring_entry: EntryId,
}

/// The first entry of each organization that is not sealed yet and was written under a ring entry that is meant, as it says. It
/// goes through all audits.
pub(crate) async fn unsealed_under(
    store: &dyn Store,
    is_meant: impl Fn(EntryId) -> bool + Sync,
) -> Result<Vec<Unsealed>, StoreError> {
    let is_meant = &is_meant;
    let buckets = stream::iter(0..store.audit_buckets());
    let mut looking = buckets.map(|bucket| in_bucket(store, bucket, is_meant)).buffered(IN_FLIGHT);
    let mut found = Vec::new();
    while let Some(more) = looking.next().await {
        found.extend(more?);
    }
    Ok(found)
}

async fn in_bucket(
    store: &dyn Store,
    bucket: u16,
    is_meant: &(impl Fn(EntryId) -> bool + Sync),
) -> Result<Vec<Unsealed>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let listed = store.audited(bucket, after.as_ref(), PAGE).await?;
        for organization in &listed {
            found.extend(first_of(store, organization, is_meant).await?);
        }
        if listed.len() < PAGE {
            return Ok(found);
        }
        after = listed.last().cloned();
    }
}

async fn first_of(
    store: &dyn Store,
    organization: &OrganizationId,
    is_meant: &(impl Fn(EntryId) -> bool + Sync),
) -> Result<Option<Unsealed>, StoreError> {
    let state = store.audit_state(organization).await?;
    let trimmed = state.checkpoint.as_deref().and_then(Checkpoint::read).map_or(0, |checkpoint| checkpoint.through);
    let sealed = state.seal.map_or(trimmed, |seal| seal.last);
    if sealed >= state.last {
        return Ok(None);
    }
    let entries = store.audit_entries(organization, sealed + 1..=state.last, false, LOOKED_AT).await?;
    let mut named = entries.iter().filter_map(|entry| Some((entry.sequence, written_under(&entry.bytes)?)));
    let first = named.find(|(_, ring_entry)| is_meant(*ring_entry));
    Ok(first.map(|(sequence, ring_entry)| Unsealed { organization: organization.clone(), sequence, ring_entry }))
}
