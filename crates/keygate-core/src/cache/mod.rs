//! What a manager keeps of what it has read, so that most requests need not read again.
//!
//! - [`entry`]: a key, ready to be checked, with the stamp that says whether it still holds.
//! - [`kept`]: an entry as the table of them holds it, whose memory is fetched when it is found.
//! - [`parents`]: what stands above keys, in [cells](cell) that all keys below share: one change reaches all of them at
//!   once. What was found there for one decision is [`above`] it.
//! - [`flights`]: what is being read now: once for all who wait for it.
//! - [`departed`]: what was let go of while a request still holds it.
//! - [`counters`]: what it does, counted without a line of memory that all threads write to.
//!
//! Nothing kept is ever believed by its age alone: see [`coherence`](crate::coherence) for the argument. And nothing but
//! the secret's digest is decided here: every other check runs again for every request.
//!
//! Entries are in a `quick_cache`, whose `get` takes a quarter of the time of a moka cache's with a thousand keys and a tenth
//! with a hundred thousand (BENCHMARKS.md); what is asked for rarely and must end by itself is in moka caches.

mod above;
mod cell;
mod counters;
mod departed;
mod entry;
mod flights;
mod kept;
mod parents;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use moka::policy::EvictionPolicy;

pub(crate) use above::Above;
pub use counters::CacheStatistics;
use counters::Counters;
use departed::{Departed, Departures};
use entry::Absence;
pub(crate) use entry::Entry;
use flights::{Flights, Joined, Landing};
use kept::Kept;
pub(crate) use parents::HeldParents;
use parents::{HeldOwner, SharedCells};

use crate::clock::{Clock, Tick};
use crate::coherence::{Change, Read, Stamp, Watcher};
use crate::complaints::Complaints;
use crate::governance::{self, Owner, PermissionAuthority};
use crate::key::KeyId;
use crate::manager::repair_all;
use crate::record::{Key, KeyRecord, Parents};
use crate::store::{Store, StoreError};
use crate::usage::Recorder;

/// How many keys are remembered to be absent, and for how long. Only ids whose tag was genuine come here: keys that were
/// deleted, or whose creation was never finished.
const ABSENT: u64 = 10_000;
const ABSENT_FOR: Duration = Duration::from_secs(10);
/// How many keys are remembered to be revoked, and for how long: well above what a store's replicas can be behind.
const REVOKED: u64 = 100_000;
const REVOKED_FOR: Duration = Duration::from_secs(10 * 60);

/// How many reads a request waits for that bring nothing it may be decided by.
const LANDINGS: usize = 16;

/// How much is kept, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) capacity: usize,
    pub(crate) ttl: Duration,
    pub(crate) stale: Duration,
}

impl Policy {
    /// What was read, as it may be believed by one who is told of changes only if there is something to keep.
    fn as_told<T>(&self, read: Read<T>) -> Read<T> {
        if self.capacity == 0 { Read { lease: None, ..read } } else { read }
    }
}

type Entries =
    quick_cache::sync::Cache<KeyId, Kept, quick_cache::UnitWeighter, quick_cache::DefaultHashBuilder, Departures>;

pub(crate) struct Cache {
    entries: Entries,
    departed: Arc<Departed>,
    absent: moka::sync::Cache<KeyId, Arc<Absence>>,
    revoked: moka::sync::Cache<KeyId, ()>,
    flights: Flights,
    shared: SharedCells,
    counters: Arc<Counters>,
    complaints: Complaints,
    policy: Policy,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Who is asked for what owners may do, in the place of the roles that the store keeps.
    authority: Option<Arc<dyn PermissionAuthority>>,
    /// Who empties the meters of what is kept; `None` where nothing is counted.
    recorder: Option<Arc<Recorder>>,
    repairs: tokio::sync::Semaphore,
    repairing: tokio::sync::Mutex<()>,
    myself: Weak<Self>,
}

/// Why nothing can be said of a key. All of it is answered with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The store does not answer.
    StoreFails,
    /// It answers, with what is no answer: it was emptied, or holds what cannot be read. Or the fault is here.
    Other,
}

/// What a read of a key came to.
#[derive(Clone)]
pub(crate) enum Found {
    /// The key.
    Key(Arc<Entry>),
    /// There is none.
    Nothing(Arc<Absence>),
}

impl Found {
    pub(crate) fn may_decide(&self, now: Tick, asked: Tick) -> bool {
        match self {
            Self::Key(entry) => entry.may_decide(now, asked),
            Self::Nothing(absence) => absence.may_decide(now, asked),
        }
    }

    fn change(&self) {
        match self {
            Self::Key(entry) => entry.change(),
            Self::Nothing(absence) => absence.change(),
        }
    }
}

impl Cache {
    /// A cache before a store, which it watches unless it is to keep nothing.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        policy: Policy,
        recorder: Option<Arc<Recorder>>,
        authority: Option<Arc<dyn PermissionAuthority>>,
    ) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let departed = Arc::new(Departed::default());
        let entries = Entries::with(
            policy.capacity.max(1),
            policy.capacity.max(1) as u64,
            quick_cache::UnitWeighter,
            quick_cache::DefaultHashBuilder::default(),
            Departures::new(Arc::clone(&counters), Arc::clone(&departed)),
        );
        let cache = Arc::new_cyclic(|myself| Self {
            entries,
            departed,
            absent: moka::sync::Cache::builder().max_capacity(ABSENT).time_to_live(ABSENT_FOR).build(),
            // By age alone: the newest is the one that a failover may have forgotten, and by default it is the one that a
            // full cache does not take in.
            revoked: moka::sync::Cache::builder()
                .max_capacity(REVOKED)
                .time_to_live(REVOKED_FOR)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            flights: Flights::new(),
            shared: SharedCells::new(),
            authority,
            counters,
            complaints: Complaints::default(),
            policy,
            store,
            clock,
            recorder,
            repairs: tokio::sync::Semaphore::new(2),
            repairing: tokio::sync::Mutex::new(()),
            myself: Weak::clone(myself),
        });
        if policy.capacity > 0 {
            let watcher: Arc<dyn Watcher> = cache.clone();
            cache.store.watch(Arc::downgrade(&watcher), policy.stale);
        }
        cache
    }

    /// What is kept of a key, whether or not it still holds.
    pub(crate) fn entry(&self, id: KeyId) -> Option<Arc<Entry>> {
        self.entries.get(&id).map(Kept::into_entry)
    }

    /// Whether it is known now that there is no such key.
    pub(crate) fn is_absent(&self, id: KeyId, now: Tick) -> bool {
        self.absent.get(&id).is_some_and(|absence| absence.is_current(now))
    }

    /// The key, for a request that came at `asked`: out of the cache, out of a read that others wait for, or out of one
    /// that begins now. `read` reads it from the store; whoever waits for a read shares its failure.
    ///
    /// Dropping the future gives up the read that it began, and wakes those who waited for it: one of them reads. What
    /// is read again and again and never may decide, because it changes or is lost under way each time, is trouble.
    pub(crate) async fn find<F>(&self, id: KeyId, asked: Tick, read: impl Fn() -> F) -> Result<Found, Trouble>
    where
        F: Future<Output = Result<Read<Option<KeyRecord>>, Trouble>>,
    {
        let mut landings = 0;
        while landings < LANDINGS {
            if let Some(entry) = self.entry(id).filter(|entry| entry.may_decide(self.clock.tick(), asked)) {
                return Ok(Found::Key(entry));
            }
            let found = match self.flights.join(id) {
                Joined::Passenger(flight) => match flight.landed().await {
                    Some(landed) => landed?,
                    None => continue,
                },
                Joined::Pilot(landing) => {
                    self.counters.loads.add();
                    match read().await {
                        Ok(read) => self.land(landing, id, read),
                        Err(trouble) => return Err(landing.fail(trouble)),
                    }
                }
            };
            // What landed may be of before this request came and no longer hold, or have changed under way.
            if found.may_decide(self.clock.tick(), asked) {
                return Ok(found);
            }
            landings += 1;
        }
        self.complaints.keeps_changing.at(self.clock.tick(), |unsaid| {
            tracing::error!(key_id = %id, unsaid, "a key that was read again and again changed or was lost each time");
        });
        Err(Trouble::Other)
    }

    /// Takes in what was read.
    fn land(&self, landing: Landing<'_>, id: KeyId, read: Read<Option<KeyRecord>>) -> Found {
        let now = self.clock.now();
        // The generation of what lands begins with it: it counts only what is told after it has landed. What was told
        // while it was under way, the landing says.
        let read = self.policy.as_told(read);
        let stamp = Stamp::new(0, &read);
        let keep = stamp.may_be_kept();
        // Over a connection that is gone, so it is not kept, and a change that the next connection tells would not find it.
        let orphaned = read.lease.is_some() && !keep;
        let found = match read.value {
            Some(record) => {
                let parents = self.shared.parents(&record.key.organization, record.key.project.as_ref());
                let stamp = stamp.fresh_until(read.sent.after(time_to_live(&record, now, self.policy.ttl)));
                let owner = self.shared.held_owner(&record.key.organization, &record.key.user);
                let recorder = self.recorder.as_ref().map(Arc::downgrade);
                Found::Key(Arc::new(Entry::new(record, stamp, parents, owner, recorder)))
            }
            None => Found::Nothing(Arc::new(Absence::new(stamp))),
        };
        landing.land(found.clone(), |changed| match &found {
            _ if changed || orphaned => found.change(),
            Found::Key(entry) if keep => self.entries.insert(id, Kept::new(entry)),
            Found::Nothing(absence) if keep => self.absent.insert(id, Arc::clone(absence)),
            _ => {}
        });
        found
    }

    /// What stands above the key, for a request that came at `asked`.
    pub(crate) async fn above(&self, entry: &Entry, asked: Tick) -> Result<Above, StoreError> {
        // Where its owner had to be known before, both at once.
        if entry.owner().is_some() {
            let (parents, owner) = try_join(self.parents(entry, asked), self.owner(entry, asked)).await?;
            let governed = self.governs(entry, parents.value());
            return Ok(Above { parents, owner: governed.then_some(owner) });
        }
        let parents = self.parents(entry, asked).await?;
        let governed = self.governs(entry, parents.value());
        let owner = if governed { Some(self.owner(entry, asked).await?) } else { None };
        Ok(Above { parents, owner })
    }

    async fn parents(&self, entry: &Entry, asked: Tick) -> Result<Arc<HeldParents>, StoreError> {
        let Key { organization, project, .. } = entry.key();
        let read = || async {
            self.counters.parent_loads.add();
            let read = self.policy.as_told(self.store.load_parents(organization, project.as_ref()).await?);
            let fresh_until = read.sent.after(self.policy.ttl);
            Ok((read, fresh_until))
        };
        entry.parents().find(&*self.clock, asked, read).await
    }

    async fn owner(&self, entry: &Entry, asked: Tick) -> Result<Arc<HeldOwner>, StoreError> {
        let Key { organization, user, .. } = entry.key();
        let read = || async {
            self.counters.parent_loads.add();
            // First, so that what the store says is not old when the answer comes.
            let (asked, mut ttl, mut answer) = (self.clock.tick(), self.policy.ttl, None);
            if let Some(authority) = &self.authority {
                let said = governance::ask(&**authority, organization, user).await;
                let said = said.map_err(|error| StoreError::unavailable(error.to_string()))?;
                ttl = ttl.min(said.max_age);
                answer = Some(said);
            }
            let read = self.policy.as_told(self.store.load_user(organization, user).await?);
            // Of two things that were asked for, neither decides a request that came between.
            let since = if answer.is_some() { asked.min(read.sent) } else { read.sent };
            Ok((Read { sent: since, ..read.map(|user| Owner { user, answer }) }, since.after(ttl)))
        };
        let cell = entry.owner_or(|| self.shared.owner(organization, user));
        cell.find(&*self.clock, asked, read).await
    }

    /// Whether it has to be known what a key's owner may do: something was configured of users in its organization, or an
    /// authority is asked. The operator's own keys are nobody's to cap.
    #[inline]
    pub(crate) fn governs(&self, entry: &Entry, parents: &Parents) -> bool {
        (parents.roles.is_some() || self.authority.is_some()) && !entry.is_operators()
    }

    /// Whether the key is remembered to be revoked, whatever the store says now.
    pub(crate) fn was_revoked(&self, id: KeyId) -> bool {
        self.revoked.contains_key(&id)
    }

    /// The keys remembered to be revoked.
    pub(crate) fn revoked_ids(&self) -> Vec<KeyId> {
        self.revoked.iter().map(|(id, ())| *id).collect()
    }

    /// How long what was read may still be believed when the store fails.
    pub(crate) fn stale(&self) -> Duration {
        self.policy.stale
    }

    pub(crate) fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn statistics(&self) -> CacheStatistics {
        let Counters { hits, misses, loads, parent_loads, evictions, changes, stale } = &*self.counters;
        CacheStatistics {
            hits: hits.sum(),
            misses: misses.sum(),
            loads: loads.sum(),
            parent_loads: parent_loads.sum(),
            evictions: evictions.load(Ordering::Relaxed),
            changes: changes.sum(),
            stale: stale.sum(),
            entries: self.entries.len() as u64,
            capacity: self.policy.capacity as u64,
        }
    }
}

impl Watcher for Cache {
    fn changed(&self, change: &Change) {
        self.counters.changes.add();
        match change {
            Change::Key(id) | Change::Revoked(id) => {
                if matches!(change, Change::Revoked(_)) {
                    self.revoked.insert(*id, ());
                }
                self.flights.change(*id, || {
                    if let Some((_, kept)) = self.entries.remove(id) {
                        kept.into_entry().change();
                    }
                    self.departed.change(*id);
                    if let Some(absence) = self.absent.remove(id) {
                        absence.change();
                    }
                });
            }
            Change::Organization(organization) => self.shared.parents_change(organization, None),
            Change::Project(organization, project) => self.shared.parents_change(organization, Some(project)),
            Change::User(organization, user) => self.shared.owner_changes(organization, user),
        }
    }

    fn reached_anew(&self) {
        let (Some(cache), Ok(runtime)) = (self.myself.upgrade(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            // One at work and one that waits, which sees all that those who are turned away would have seen.
            let Ok(_place) = cache.repairs.try_acquire() else { return };
            let _turn = cache.repairing.lock().await;
            repair_all(&cache, &*cache.store, &*cache.clock).await;
        });
    }
}

/// How long a record is kept: not beyond its end, from when on it is read once more and kept as ended.
fn time_to_live(record: &KeyRecord, now: DateTime<Utc>, ttl: Duration) -> Duration {
    let left = record.key.expires_at.and_then(|end| (end - now).to_std().ok());
    left.filter(|left| !left.is_zero()).map_or(ttl, |left| left.min(ttl))
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
