//! Whether the audit of an organization is as it was written.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::attest::{Attested, attested};
use super::seal::{AuditHead, BEFORE_ALL, Checkpoint, Found, Mac, Seal};
use super::store::{AuditState, KeptEntry, KeptSeal};
use crate::names::OrganizationId;
use crate::ring::{EntryId, RingEntry, SecretRing};

/// The most faults that are told of one by one.
pub const MAX_FAULTS: usize = 100;

/// What is wrong with the audit at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// An entry is not as it was written or sealed, or was written by somebody who has no secret of the ring.
    Altered,
    /// An entry is gone.
    Removed,
    /// There is an entry where none was written.
    Inserted,
    /// An entry stands where another was sealed.
    Reordered,
    /// A seal was not made by this deployment, or not for what is before it.
    SealForged,
    /// A seal is gone.
    SealRemoved,
    /// The checkpoint was not made by this deployment, or is gone.
    CheckpointForged,
    /// The end was cut off: the head that was noted down is not in the chain.
    Truncated,
    /// The ring entry that it was sealed under is not configured, so that it cannot be said whether it is as it was.
    RingEntryMissing,
}

impl FaultKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::SealForged => "seal_forged",
            Self::SealRemoved => "seal_removed",
            Self::CheckpointForged => "checkpoint_forged",
            Self::Truncated => "truncated",
            Self::RingEntryMissing => "ring_entry_missing",
        }
    }
}

/// Something that is wrong with the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditFault {
    /// What it is.
    pub kind: FaultKind,
    /// The sequence of the entry; of a seal or a checkpoint, that of the last entry under it.
    pub sequence: u64,
    /// The same in a sentence for people.
    pub detail: String,
}

/// What a verification found. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditVerification {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Whether nothing is wrong.
    pub intact: bool,
    /// How many entries there are.
    pub entries: u64,
    /// How many seals.
    pub seals: u64,
    /// The last sequence that is not kept any more; 0 where everything is.
    pub trimmed_through: u64,
    /// Since when that is so.
    pub trimmed_at: Option<DateTime<Utc>>,
    /// Until when entries are not kept, because there were too many of them or too many bytes, that would still be kept by their age.
    /// Whoever can write to the store can bring that about, by having entries written or by copies of genuine ones.
    pub cut_short_until: Option<DateTime<Utc>>,
    /// The newest place of the chain. Whoever notes it down elsewhere learns later whether the end was cut off.
    pub head: Option<AuditHead>,
    /// The first entry that is not sealed yet.
    pub first_unsealed: Option<u64>,
    /// Whether the head that was asked for is in the chain: `None` where none was, or what is before it is not kept any more.
    pub head_found: Option<bool>,
    /// What is wrong, the first hundred of it.
    pub faults: Vec<AuditFault>,
    /// How much is wrong.
    pub faults_in_all: u64,
}

/// Goes through seals and entries, from the oldest on.
pub(crate) struct Verifier<'a> {
    ring: &'a SecretRing,
    organization: &'a OrganizationId,
    noted: Option<AuditHead>,
    /// The MAC that the next seal must name.
    previous: Mac,
    /// The sequence that the next seal must begin with.
    next: u64,
    /// What the next seal must follow is not known, which was said.
    doubts: bool,
    found: AuditVerification,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(
        ring: &'a SecretRing,
        organization: &'a OrganizationId,
        state: &AuditState,
        noted: Option<AuditHead>,
        too_old: DateTime<Utc>,
    ) -> Self {
        let found = AuditVerification {
            organization_id: organization.clone(),
            intact: true,
            entries: 0,
            seals: 0,
            trimmed_through: 0,
            trimmed_at: None,
            cut_short_until: None,
            head: None,
            first_unsealed: None,
            head_found: noted.map(|_| false),
            faults: Vec::new(),
            faults_in_all: 0,
        };
        let mut verifier = Self { ring, organization, noted, previous: BEFORE_ALL, next: 1, doubts: false, found };
        if let Some(bytes) = &state.checkpoint {
            verifier.begin_at(bytes, too_old);
        }
        verifier
    }

    fn begin_at(&mut self, bytes: &[u8], too_old: DateTime<Utc>) {
        let Some(checkpoint) = Checkpoint::read(bytes) else {
            self.fault(FaultKind::CheckpointForged, 0, "the checkpoint cannot be read");
            self.doubts = true;
            return;
        };
        let through = checkpoint.through;
        match self.ring.entry(checkpoint.ring_entry) {
            None => self.ring_entry_missing(checkpoint.ring_entry, through, "the checkpoint"),
            Some(under) if !Checkpoint::is_genuine(bytes, under, self.organization) => {
                self.fault(FaultKind::CheckpointForged, through, "the checkpoint was not made by this deployment");
            }
            Some(_) => {}
        }
        (self.previous, self.next) = (checkpoint.trimmed, through.saturating_add(1));
        self.found.trimmed_through = through;
        self.found.trimmed_at = DateTime::from_timestamp_millis(checkpoint.millis);
        self.found.cut_short_until = checkpoint.cut_short_until(too_old);
        self.found.head = Some(checkpoint.head());
        if let Some(noted) = self.noted {
            match noted.sequence.cmp(&through) {
                std::cmp::Ordering::Less => self.found.head_found = None,
                std::cmp::Ordering::Equal => self.found.head_found = Some(noted == checkpoint.head()),
                std::cmp::Ordering::Greater => {}
            }
        }
    }

    /// The sequences of the entries that a seal must be looked at with, if it has any.
    pub(crate) fn under(kept: &KeptSeal) -> Option<RangeInclusive<u64>> {
        Seal::read(kept).map(|seal| seal.first..=seal.last)
    }

    /// The first sequence that nothing was looked at of yet.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Looks at a seal and at all entries that are there of those under it.
    pub(crate) fn seal(&mut self, kept: &KeptSeal, entries: &[KeptEntry]) {
        self.found.seals += 1;
        self.found.entries += entries.len() as u64;
        let Some(seal) = Seal::read(kept) else {
            self.fault(FaultKind::SealForged, kept.last, "the seal cannot be read");
            self.doubts = true;
            return;
        };
        match self.ring.entry(seal.ring_entry) {
            None => self.ring_entry_missing(seal.ring_entry, seal.last, "the seal"),
            Some(under) if !Seal::is_genuine(kept, under, self.organization) => {
                self.fault(FaultKind::SealForged, seal.last, "the seal was not made by this deployment");
                self.doubts = true;
                return;
            }
            Some(under) => {
                self.follow(&seal);
                self.look_at(&seal, under, entries);
            }
        }
        if self.noted == Some(seal.head()) {
            self.found.head_found = Some(true);
        }
        self.found.head = Some(seal.head());
        (self.previous, self.next, self.doubts) = (seal.mac, seal.last.saturating_add(1), false);
    }

    /// The seal is genuine. Where it does not follow what is before it, something is gone, if that was not said yet.
    fn follow(&mut self, seal: &Seal) {
        let (from, to) = (self.next, seal.first);
        if (self.previous, from) == (seal.previous, to) || self.doubts {
            return;
        }
        if to > from && self.previous == seal.previous {
            let what = format!("the entries {from} to {} were gone when what follows was to be sealed", to - 1);
            self.fault(FaultKind::Removed, from, what);
        } else if to > from {
            let what = format!("the seals of the entries {from} to {} are gone", to - 1);
            self.fault(FaultKind::SealRemoved, to - 1, what);
        } else {
            self.fault(FaultKind::SealForged, seal.last, "the seal does not follow the one before it");
        }
    }

    fn look_at(&mut self, seal: &Seal, under: &RingEntry, entries: &[KeptEntry]) {
        for extra in entries.windows(2).filter(|pair| pair[0].sequence == pair[1].sequence) {
            self.fault(FaultKind::Inserted, extra[1].sequence, "there is a second entry of this sequence");
        }
        for sequence in seal.first..=seal.last {
            let place = entries.partition_point(|entry| entry.sequence < sequence);
            let there = entries.get(place).filter(|entry| entry.sequence == sequence);
            match seal.look_at(under, self.organization, sequence, there.map(|entry| &entry.bytes[..])) {
                Found::AsSealed => {}
                Found::AsSealedUnknown => self.written(sequence, there),
                Found::Removed => self.fault(FaultKind::Removed, sequence, "the entry is gone"),
                Found::RemovedBefore => {
                    self.fault(FaultKind::Removed, sequence, "the entry was gone when it was to be sealed");
                }
                Found::Altered => self.fault(FaultKind::Altered, sequence, "the entry is not as it was sealed"),
                Found::AlteredBefore => {
                    self.fault(FaultKind::Altered, sequence, "the entry was not as it was written when it was sealed");
                }
                Found::Moved => self.fault(FaultKind::Reordered, sequence, "another entry is in this one's place"),
            }
        }
    }

    /// Looks at entries that are not sealed yet, or at some of them: what can be seen without a seal.
    pub(crate) fn unsealed(&mut self, entries: &[KeptEntry]) {
        for entry in entries {
            self.found.entries += 1;
            if entry.sequence < self.next {
                self.fault(FaultKind::Inserted, entry.sequence, "there is a second entry of this sequence");
                continue;
            }
            self.found.first_unsealed.get_or_insert(self.next);
            for gone in (self.next..entry.sequence).take(MAX_FAULTS) {
                self.fault(FaultKind::Removed, gone, "the entry is gone");
            }
            self.next = entry.sequence.saturating_add(1);
            self.written(entry.sequence, Some(entry));
        }
    }

    /// Whether an entry is as it was written, by itself.
    fn written(&mut self, sequence: u64, there: Option<&KeptEntry>) {
        let attested = there.map_or(Attested::Forged, |entry| attested(self.ring, self.organization, &entry.bytes));
        match attested {
            Attested::Genuine => {}
            Attested::Forged => self.fault(FaultKind::Altered, sequence, "the entry is not as it was written"),
            Attested::RingEntryMissing(id) => self.ring_entry_missing(id, sequence, "the entry"),
        }
    }

    /// There is an entry where nobody looks: it is no longer kept, or was never written.
    pub(crate) fn beyond(&mut self, sequence: u64) {
        self.fault(FaultKind::Inserted, sequence, "there is an entry of a sequence that none was written under");
    }

    /// All was looked at, up to the last entry that the store says there is.
    pub(crate) fn finish(mut self, last: u64) -> AuditVerification {
        if last >= self.next {
            for gone in (self.next..=last).take(MAX_FAULTS) {
                self.fault(FaultKind::Removed, gone, "the entry is gone");
            }
        }
        if let (Some(noted), Some(false)) = (self.noted, self.found.head_found) {
            let what = format!("the head {} is not in the chain", noted.sequence);
            self.fault(FaultKind::Truncated, noted.sequence, what);
        }
        self.found.intact = self.found.faults_in_all == 0;
        self.found
    }

    fn ring_entry_missing(&mut self, id: EntryId, sequence: u64, what: &str) {
        let detail = format!("ring entry {id} is not configured, so that {what} cannot be checked");
        self.fault(FaultKind::RingEntryMissing, sequence, detail);
    }

    fn fault(&mut self, kind: FaultKind, sequence: u64, detail: impl Into<String>) {
        self.found.faults_in_all += 1;
        if self.found.faults.len() < MAX_FAULTS {
            self.found.faults.push(AuditFault { kind, sequence, detail: detail.into() });
        }
    }
}
