//! A key, ready to be checked.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use subtle::ConstantTimeEq;

use super::parents::{HeldOwner, HeldParents, OwnerCell, ParentsCell};
use crate::check::Checked;
use crate::clock::Tick;
use crate::coherence::{Generation, Stamp};
use crate::limiter::{LimitSet, Limiter};
use crate::record::{Key, KeyRecord, Superseded};
use crate::ring::EntryId;
use crate::scope::Scope;
use crate::usage::outcome::Answered;
use crate::usage::period::Hour;
use crate::usage::{Decision, Meter, Recorder};
use crate::verifier::Verifier;

/// A key that was read, what says whether it still holds, and what stands above it. In this order in memory: what every hit
/// looks at is in adjacent lines, and with many keys in use a line that has to be fetched is what a hit costs.
#[repr(C)]
pub(crate) struct Entry {
    generation: Generation,
    stamp: Stamp,
    digested_under: EntryId,
    /// The key was handed over, and not used yet.
    unclaimed: bool,
    /// It was imported, and not used yet.
    is_imported: bool,
    /// It was replaced by another: so that each answer need not look into the record for that.
    is_superseded: bool,
    /// The digest of the one text that is this key. Of a slow verifier it is known once that text was presented.
    digest: OnceLock<Digest>,
    checked: Checked,
    parents: Arc<ParentsCell>,
    /// Of its owner, from when it first had to be known.
    owner: OnceLock<Arc<OwnerCell>>,
    limits: ArcSwapOption<Limited>,
    meter: Meter,
    /// Who empties the meter; `None` where nothing is counted.
    recorder: Option<Weak<Recorder>>,
    record: KeyRecord,
}

/// What a key is charged to, under what stands above it. In this order, so that a hit fetches one line of it.
#[repr(C)]
pub(crate) struct Limited {
    parents: Arc<HeldParents>,
    set: LimitSet,
    /// Last, as it is looked at only where owners are known.
    owner: Option<Arc<HeldOwner>>,
}

impl Limited {
    /// Whether it is what stands above the key now. Where no owner has to be known under these parents, none was known.
    fn is_under(&self, parents: &Arc<HeldParents>, owner: Option<&Arc<HeldOwner>>) -> bool {
        let is_same = |owner| self.owner.as_ref().is_some_and(|known| Arc::ptr_eq(known, owner));
        Arc::ptr_eq(&self.parents, parents) && owner.is_none_or(is_same)
    }

    pub(crate) fn set(&self) -> &LimitSet {
        &self.set
    }
}

/// The most permissions that are listed of what both a key and its owner cover: each pattern of the one may meet each of the
/// other in another.
const MAX_EFFECTIVE: usize = 256;

/// A digest in words, which are compared in a tenth of the time that its bytes take.
type Digest = [u64; 4];

fn words(digest: &[u8; 32]) -> Digest {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

impl Entry {
    pub(super) fn new(
        record: KeyRecord,
        stamp: Stamp,
        parents: Arc<ParentsCell>,
        owner: Option<Arc<OwnerCell>>,
        recorder: Option<Weak<Recorder>>,
    ) -> Self {
        let digest = match &record.verifier {
            Verifier::HmacSha256 { digest } => OnceLock::from(words(digest)),
            _ => OnceLock::new(),
        };
        let (digested_under, unclaimed) = (record.digested_under, record.unclaimed);
        let is_imported = record.verifier.is_imported();
        let is_superseded = record.key.succession.superseded.is_some();
        Self {
            generation: Generation::new(),
            stamp,
            digested_under,
            unclaimed,
            is_imported,
            is_superseded,
            digest,
            checked: Checked::of(&record.key),
            parents,
            owner: owner.map_or_else(OnceLock::new, OnceLock::from),
            limits: ArcSwapOption::empty(),
            meter: Meter::default(),
            recorder,
            record,
        }
    }

    pub(crate) fn key(&self) -> &Key {
        &self.record.key
    }

    /// What the checks read of the key.
    #[inline]
    pub(crate) fn checked(&self) -> &Checked {
        &self.checked
    }

    pub(crate) fn record(&self) -> &KeyRecord {
        &self.record
    }

    pub(crate) fn parents(&self) -> &Arc<ParentsCell> {
        &self.parents
    }

    /// What is known of its owner, if that had to be known before.
    #[inline]
    pub(crate) fn owner(&self) -> Option<&Arc<OwnerCell>> {
        self.owner.get()
    }

    /// The same, or else the cell that `find` finds.
    pub(super) fn owner_or(&self, find: impl FnOnce() -> Arc<OwnerCell>) -> &Arc<OwnerCell> {
        self.owner.get_or_init(find)
    }

    /// What caps the key, as its owner was last known; `None` where nothing does.
    pub(crate) fn cap(&self) -> Option<Vec<Scope>> {
        let (owner, parents) = (self.owner()?.last()?, self.parents.last()?);
        owner.value().cap(parents.value())
    }

    /// What the key may do: what both it and its owner, as it was last known, cover. In order where something caps it, and
    /// then [`MAX_EFFECTIVE`] at most.
    pub(crate) fn effective_permissions(&self) -> Vec<Scope> {
        let given = &self.record.key.permissions;
        let Some(cap) = self.cap() else { return given.iter().cloned().collect() };
        let met = given.iter().flat_map(|given| cap.iter().filter_map(|covered| given.meet(covered)));
        let mut effective: Vec<Scope> = met.take(MAX_EFFECTIVE).collect();
        effective.sort_unstable();
        effective.dedup();
        effective
    }

    /// Whether the key may do something: it was given the permission, and its owner, as it was last known, covers it. Where
    /// it did not have to be known when the request was let in, it caps nothing.
    pub(crate) fn permits(&self, permission: &Scope) -> bool {
        let owner_covers = || match (self.owner().and_then(|owner| owner.last()), self.parents.last()) {
            (Some(owner), Some(parents)) => owner.value().covers(parents.value(), permission),
            _ => true,
        };
        self.record.key.permissions.covers(permission) && owner_covers()
    }

    /// What the key is charged to, under what stands above it now.
    #[inline]
    pub(crate) fn limits_under(
        &self,
        parents: &Arc<HeldParents>,
        owner: Option<&Arc<HeldOwner>>,
        limiter: &Arc<Limiter>,
    ) -> arc_swap::Guard<Option<Arc<Limited>>> {
        let limits = self.limits.load();
        if limits.as_ref().is_some_and(|limited| limited.is_under(parents, owner)) {
            return limits;
        }
        let (own, above) = (self.stamp.lease(), parents.stamp().lease());
        let before = limits.as_ref().map(|limited| &limited.set);
        let user = owner.and_then(|owner| owner.value().user.as_ref());
        let set = LimitSet::new(limiter, &self.record.key, (parents.value(), user), own, above, before);
        drop(limits);
        let owner = owner.cloned();
        self.limits.store(Some(Arc::new(Limited { parents: Arc::clone(parents), set, owner })));
        self.limits.load()
    }

    /// What the key was last charged to.
    pub(crate) fn limits(&self) -> Option<Arc<Limited>> {
        self.limits.load_full()
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Counts a decision over the key, and says in which hour it is counted.
    #[inline]
    pub(crate) fn decided(self: &Arc<Self>, decision: &Decision<'_>) -> Hour {
        let Some(recorder) = &self.recorder else { return Hour::default() };
        let (is_to_list, hour) = self.meter.decided(decision);
        if is_to_list {
            self.list(recorder);
        }
        hour
    }

    /// Counts the answer to a request that was decided over in `hour`.
    pub(crate) fn answered(self: &Arc<Self>, hour: Hour, answered: Answered) {
        let Some(recorder) = &self.recorder else { return };
        let failed_at = || recorder.upgrade().map(|recorder| recorder.now());
        if self.meter.answered(hour, answered, answered.is_error().then(failed_at).flatten()) {
            self.list(recorder);
        }
    }

    #[cold]
    fn list(self: &Arc<Self>, recorder: &Weak<Recorder>) {
        if let Some(recorder) = recorder.upgrade() {
            recorder.list(Arc::clone(self));
        }
    }

    /// The ring entry that presented texts are digested under to compare them.
    pub(crate) fn digested_under(&self) -> EntryId {
        self.digested_under
    }

    /// By which key it was replaced, and when.
    #[inline]
    pub(crate) fn superseded(&self) -> Option<Superseded> {
        if self.is_superseded { self.record.key.succession.superseded } else { None }
    }

    /// Whether its first use is to be written down.
    pub(crate) fn is_unclaimed(&self) -> bool {
        self.unclaimed
    }

    /// Whether what it is verified by was made elsewhere.
    pub(crate) fn is_imported(&self) -> bool {
        self.is_imported
    }

    /// Whether a text of this digest is the key, in constant time; `None` while it is not known.
    pub(crate) fn proves(&self, presented: &[u8; 32]) -> Option<bool> {
        self.digest.get().map(|digest| digest.ct_eq(&words(presented)).into())
    }

    /// The key's own text has this digest, as its slow verifier has found.
    pub(crate) fn proven(&self, digest: [u8; 32]) {
        // Whoever came first has written the same: a second digest that matches would be a collision.
        let _ = self.digest.set(words(&digest));
    }

    /// Whether it may be believed without asking the store.
    pub(crate) fn is_current(&self, now: Tick) -> bool {
        self.stamp.is_current(&self.generation, now)
    }

    /// Whether it may decide a request that came at `asked`.
    pub(crate) fn may_decide(&self, now: Tick, asked: Tick) -> bool {
        self.stamp.may_decide(&self.generation, now, asked)
    }

    /// Whether it may be believed while the store fails.
    pub(crate) fn may_be_stale(&self, now: Tick, stale: Duration) -> bool {
        self.stamp.may_be_stale(&self.generation, now, stale)
    }

    /// It has changed in the store.
    pub(super) fn change(&self) {
        self.generation.advance();
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.record.key.id).field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

/// That there is no key of an id.
#[derive(Debug)]
pub(crate) struct Absence {
    generation: Generation,
    stamp: Stamp,
}

impl Absence {
    pub(super) fn new(stamp: Stamp) -> Self {
        Self { generation: Generation::new(), stamp }
    }

    pub(super) fn is_current(&self, now: Tick) -> bool {
        self.stamp.is_current(&self.generation, now)
    }

    pub(super) fn may_decide(&self, now: Tick, asked: Tick) -> bool {
        self.stamp.may_decide(&self.generation, now, asked)
    }

    pub(super) fn change(&self) {
        self.generation.advance();
    }
}
