//! A look at all audits: which entries of the secret ring are needed by what is not sealed yet (a seal names its own, and a store
//! counts those), and where entries went before their time.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
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

/// What is found in all audits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The first entry of each organization and each ring entry that is meant.
    pub(crate) unsealed: Vec<Unsealed>,
    /// Where entries are not kept, because there was too much, that would still be kept by their age; and until when.
    pub(crate) cut_short: Vec<(OrganizationId, DateTime<Utc>)>,
}

/// The first entry of each organization that is not sealed yet and was written under a ring entry that is meant, as it says, of each
/// such ring entry. It goes through all audits.
pub(crate) async fn unsealed_under(
    store: &dyn Store,
    is_meant: impl Fn(EntryId) -> bool + Sync,
) -> Result<Vec<Unsealed>, StoreError> {
    // Nothing is sealed so late.
    Ok(look_over(store, is_meant, DateTime::<Utc>::MAX_UTC).await?.unsealed)
}

/// The same, and where entries went before their time, which were sealed since.
pub(crate) async fn look_over(
    store: &dyn Store,
    is_meant: impl Fn(EntryId) -> bool + Sync,
    since: DateTime<Utc>,
) -> Result<Needs, StoreError> {
    let is_meant = &is_meant;
    let buckets = stream::iter(0..store.audit_buckets());
    let mut looking = buckets.map(|bucket| in_bucket(store, bucket, is_meant, since)).buffered(IN_FLIGHT);
    let mut found = Needs::default();
    while let Some(more) = looking.next().await {
        let more = more?;
        found.unsealed.extend(more.unsealed);
        found.cut_short.extend(more.cut_short);
    }
    Ok(found)
}

async fn in_bucket(
    store: &dyn Store,
    bucket: u16,
    is_meant: &(impl Fn(EntryId) -> bool + Sync),
    since: DateTime<Utc>,
) -> Result<Needs, StoreError> {
    let (mut found, mut after) = (Needs::default(), None);
    loop {
        let listed = store.audited(bucket, after.as_ref(), PAGE).await?;
        for organization in &listed {
            look_at(store, organization, is_meant, since, &mut found).await?;
        }
        if listed.len() < PAGE {
            return Ok(found);
        }
        after = listed.last().cloned();
    }
}

async fn look_at(
    store: &dyn Store,
    organization: &OrganizationId,
    is_meant: &(impl Fn(EntryId) -> bool + Sync),
    since: DateTime<Utc>,
    found: &mut Needs,
) -> Result<(), StoreError> {
    let state = store.audit_state(organization).await?;
    let checkpoint = state.checkpoint.as_deref().and_then(Checkpoint::read);
    let cut_short = checkpoint.and_then(|checkpoint| checkpoint.cut_short_until(since));
    found.cut_short.extend(cut_short.map(|until| (organization.clone(), until)));
    let trimmed = checkpoint.map_or(0, |checkpoint| checkpoint.through);
    let sealed = state.seal.map_or(trimmed, |seal| seal.last);
    if sealed >= state.last {
        return Ok(());
    }
    let entries = store.audit_entries(organization, sealed + 1..=state.last, false, LOOKED_AT).await?;
    let mut named = BTreeSet::new();
    for entry in &entries {
        let Some(ring_entry) = written_under(&entry.bytes) else { continue };
        if is_meant(ring_entry) && named.insert(ring_entry) {
            let (organization, sequence) = (organization.clone(), entry.sequence);
            found.unsealed.push(Unsealed { organization, sequence, ring_entry });
        }
    }
    Ok(())
}
