//! A key, ready to be checked.

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use subtle::ConstantTimeEq;

use super::parents::{HeldOwner, HeldParents, OwnerCell, ParentsCell};
use crate::check::Checked;
use crate::clock::Tick;
use crate::coherence::{Generation, Stamp};
use crate::limiter::policy::Standing;
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
    /// It is one of the operator's own.
    is_operators: bool,
    /// It was replaced by another: so that each answer need not look into the record for that.
    is_superseded: bool,
    /// The digest of the one text that is this key. Of a slow verifier it is known once that text was presented.
    digest: OnceLock<Digest>,
    checked: Checked,
    parents: Arc<ParentsCell>,
    /// Of its owner, from when it first had to be known.
    owner: OnceLock<Arc<OwnerCell>>,
    /// The serial of the parents under which nothing limits the key, where nothing is known of its owner: what most keys are charged
    /// to is then known without a look at `limits`. 0 is of none.
    unlimited_under: AtomicU64,
    limits: ArcSwapOption<Limited>,
    /// Who empties the meter; `None` where nothing is counted.
    recorder: Option<Weak<Recorder>>,
    meter: Meter,
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
        let is_operators = record.key.organization.is_system();
        let is_superseded = record.key.succession.superseded.is_some();
        Self {
            generation: Generation::new(),
            stamp,
            digested_under,
            unclaimed,
            is_imported,
            is_operators,
            is_superseded,
            digest,
            checked: Checked::of(&record.key),
            parents,
            owner: owner.map_or_else(OnceLock::new, OnceLock::from),
            unlimited_under: AtomicU64::new(0),
            limits: ArcSwapOption::empty(),
            recorder,
            meter: Meter::default(),
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

    /// Whether nothing limits the key, as was found before under the same parents.
    #[inline]
    pub(crate) fn is_unlimited_under(&self, parents: &HeldParents, owner: Option<&Arc<HeldOwner>>) -> bool {
        owner.is_none() && self.unlimited_under.load(Ordering::Acquire) == parents.serial()
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
        let is_unlimited = set.is_empty() && owner.is_none();
        let limited = Arc::new(Limited { parents: Arc::clone(parents), set, owner: owner.cloned() });
        // Who was held up since the parents changed does not put what was above the key before into the place of what is now: of
        // a key without limits nobody would look at it again.
        self.limits.rcu(|kept| match kept {
            Some(kept) if kept.parents.serial() > parents.serial() => Arc::clone(kept),
            _ => Arc::clone(&limited),
        });
        if is_unlimited {
            self.unlimited_under.fetch_max(parents.serial(), Ordering::AcqRel);
        }
        arc_swap::Guard::from_inner(Some(limited))
    }

    /// What the key was last charged to.
    pub(crate) fn limits(&self) -> Option<Arc<Limited>> {
        self.limits.load_full()
    }

    /// The limit of which least is left.
    pub(crate) fn tightest_limit(&self) -> Option<Standing> {
        self.limits()?.set().tightest()
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

    /// Whether it is one of the operator's own keys, which nobody caps.
    pub(crate) fn is_operators(&self) -> bool {
        self.is_operators
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

    /// Looks at the lines of memory that a hit will read, of which none has to be read to know where another is. With many keys in use
    /// most of them have to be fetched from far away; fetched together they take little longer than one.
    #[inline]
    pub(super) fn fetch(&self) {
        // Those last that later reads must not overtake.
        let unlimited_under = self.unlimited_under.load(Ordering::Relaxed);
        let (checked, meter) = (self.checked.fetch(), self.meter.fetch());
        black_box((
            unlimited_under,
            checked,
            meter,
            self.digest.get().map(|digest| digest[0]),
            self.generation.current(),
        ));
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

#[cfg(test)]
mod tests {
    use super::super::cell::Held;
    use super::*;
    use crate::actor::Operator;
    use crate::clock::SystemClock;
    use crate::coherence::Read;
    use crate::limits::Limits;
    use crate::manager::{ApiKeyManager, NewKey};
    use crate::record::{OrganizationRecord, Parents};
    use crate::ring::{MasterSecret, SecretRing};
    use crate::store::{MemoryStore, Store};

    /// An entry of a key without limits of its own, and the parents of an organization that limits, and then does not.
    async fn of_an_organization() -> (Entry, Arc<HeldParents>, Arc<HeldParents>, Arc<Limiter>) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder_shared(Arc::clone(&store), ring).build().unwrap();
        let mut new = NewKey::new("acme".parse().unwrap(), "bob".parse().unwrap());
        new.limits = Some(Limits::UNLIMITED);
        let created = manager.create(&Operator::named("test".parse().unwrap()).into(), new).await.unwrap();
        let record = store.record(created.key.id).await.unwrap().unwrap();
        let stamp = || Stamp::new(0, &Read::once((), Tick::now()));
        let held = |limits: Option<Limits>| {
            let organization = OrganizationRecord { limits, ..OrganizationRecord::new("acme".parse().unwrap()) };
            Arc::new(Held::new(stamp(), Parents { organization: Some(organization), ..Parents::default() }))
        };
        let (limited, unlimited) = (held(Some(Limits { per_minute: Some(5), ..Limits::default() })), held(None));
        let entry = Entry::new(record, stamp(), Arc::new(ParentsCell::new()), None, None);
        (entry, limited, unlimited, Limiter::new(store, Arc::new(SystemClock)))
    }

    #[tokio::test]
    async fn one_who_was_held_up_puts_no_former_limits_in_the_place_of_none() {
        let (entry, limited, unlimited, limiter) = of_an_organization().await;
        assert!(!entry.limits_under(&limited, None, &limiter).as_ref().unwrap().set().is_empty());
        assert!(!entry.is_unlimited_under(&limited, None));
        assert!(entry.limits_under(&unlimited, None, &limiter).as_ref().unwrap().set().is_empty());
        assert!(entry.is_unlimited_under(&unlimited, None));

        // Who saw the limit is held to it, and nobody else is.
        assert!(!entry.limits_under(&limited, None, &limiter).as_ref().unwrap().set().is_empty());
        assert!(!entry.is_unlimited_under(&limited, None));
        assert!(entry.is_unlimited_under(&unlimited, None));
        assert!(entry.limits().unwrap().set().is_empty());
    }
}
