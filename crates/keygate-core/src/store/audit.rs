//! The audit in memory.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};

use crate::audit::{
    ActId, Append, AuditState, Header, KeptEntry, KeptSeal, OPEN_AT_ONCE, OpenIntent, Step, ring_entry_of,
};
use crate::names::OrganizationId;
use crate::ring::EntryId;

/// Among how many of the last entries one is looked for that is appended again.
const LOOKED_THROUGH: usize = 64;

/// The audit of each organization.
#[derive(Default)]
pub(super) struct Audits(BTreeMap<OrganizationId, Audit>);

#[derive(Default)]
struct Audit {
    last: u64,
    entries: BTreeMap<u64, Vec<u8>>,
    seals: BTreeMap<u64, Vec<u8>>,
    checkpoint: Option<Vec<u8>>,
    /// By the sequences of their intents.
    open: BTreeMap<u64, ActId>,
}

impl Audits {
    pub(super) fn append(&mut self, organization: &OrganizationId, entry: &Append) -> Option<u64> {
        let audit = self.0.entry(organization.clone()).or_default();
        let is_it = |bytes: &Vec<u8>| {
            Header::read(bytes).is_some_and(|held| held.act == entry.act && held.step.byte() == entry.step.byte())
        };
        let again = audit.entries.iter().rev().take(LOOKED_THROUGH).find(|(_, bytes)| is_it(bytes));
        if let Some((sequence, _)) = again {
            return Some(*sequence);
        }
        let open = entry.step.closes().and_then(|_| audit.open.iter().find(|(_, act)| **act == entry.act));
        let intent = open.map(|(intent, _)| *intent);
        if matches!(entry.step, Step::Reconciled { .. }) && intent.is_none() {
            return None;
        }
        if let Some(intent) = intent {
            audit.open.remove(&intent);
        }
        audit.last += 1;
        let sequence = audit.last;
        audit.entries.insert(sequence, entry.bytes.clone());
        if entry.step == Step::Intent {
            audit.open.insert(sequence, entry.act);
        }
        Some(sequence)
    }

    pub(super) fn state(&self, organization: &OrganizationId) -> AuditState {
        let Some(audit) = self.0.get(organization) else { return AuditState::default() };
        let seal = audit.seals.last_key_value().map(|(last, bytes)| KeptSeal { last: *last, bytes: bytes.clone() });
        let open =
            audit.open.iter().take(OPEN_AT_ONCE).map(|(sequence, act)| OpenIntent { act: *act, sequence: *sequence });
        AuditState { last: audit.last, seal, checkpoint: audit.checkpoint.clone(), open: open.collect() }
    }

    pub(super) fn entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Vec<KeptEntry> {
        let Some(audit) = self.0.get(organization).filter(|_| !range.is_empty()) else { return Vec::new() };
        let kept = |(sequence, bytes): (&u64, &Vec<u8>)| KeptEntry { sequence: *sequence, bytes: bytes.clone() };
        let range = audit.entries.range(range);
        if newest_first { range.rev().take(limit).map(kept).collect() } else { range.take(limit).map(kept).collect() }
    }

    pub(super) fn seals(&self, organization: &OrganizationId, after: u64, limit: usize) -> Vec<KeptSeal> {
        let seals = self.0.get(organization).map(|audit| &audit.seals);
        let seals = seals.into_iter().flat_map(|seals| seals.range((Bound::Excluded(after), Bound::Unbounded)));
        seals.take(limit).map(|(last, bytes)| KeptSeal { last: *last, bytes: bytes.clone() }).collect()
    }

    pub(super) fn put_seal(
        &mut self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> bool {
        let Some(audit) = self.0.get_mut(organization) else { return false };
        let last = audit.seals.last_key_value().map(|(last, bytes)| (*last, &bytes[..]));
        let follows = last == previous.map(|previous| (previous.last, &previous.bytes[..]))
            && last.is_none_or(|(last, _)| seal.last > last)
            && seal.last <= audit.last;
        if follows {
            audit.seals.insert(seal.last, seal.bytes.clone());
        }
        follows
    }

    pub(super) fn trim(
        &mut self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> bool {
        let Some(audit) = self.0.get_mut(organization) else { return false };
        if audit.checkpoint.as_deref() != previous {
            return false;
        }
        audit.entries.retain(|sequence, _| *sequence > through);
        audit.seals.retain(|last, _| *last > through);
        audit.checkpoint = Some(checkpoint.to_vec());
        true
    }

    /// Those that have one, after this one.
    pub(super) fn organizations(&self, after: Option<&OrganizationId>, limit: usize) -> Vec<OrganizationId> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.0.range::<OrganizationId, _>((after, Bound::Unbounded));
        range.take(limit).map(|(organization, _)| organization.clone()).collect()
    }

    /// Those that seals and checkpoints name, as often as they do.
    pub(super) fn ring_entries(&self) -> impl Iterator<Item = EntryId> + '_ {
        let named = |audit: &Audit| {
            let all = audit.seals.values().chain(&audit.checkpoint);
            all.filter_map(|bytes| ring_entry_of(bytes)).collect::<Vec<_>>()
        };
        self.0.values().flat_map(named)
    }
}
