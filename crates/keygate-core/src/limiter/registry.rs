//! Every pool that an instance has something of, and what has to be seen to in the background.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::call::{Call, Writer};
use super::policy::{Policy, PoolId, Standing};
use super::pool::Pool;
use super::statistics::{Counters, LimiterStatistics};
use crate::clock::Clock;
use crate::complaints::Complaint;
use crate::limits::Limits;
use crate::store::{Store, StoreError};
use crate::unique::unique;

/// How often pools are tended.
const TENDED: Duration = Duration::from_secs(1);
/// How many calls are under way at once that no request waits for.
const AT_ONCE: usize = 64;

/// What all pools of an instance share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Counters,
    pub(super) complaint: Complaint,
}

/// One instance's side of all limits.
pub(crate) struct Limiter {
    shared: Arc<Shared>,
    pools: Mutex<Pools>,
    tending: Mutex<Option<JoinHandle<()>>>,
    myself: Weak<Self>,
}

/// Several of one name are of different limits: they have changed, or keys of one lineage differ.
type Pools = HashMap<PoolId, Vec<Arc<Pool>>>;

impl Limiter {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let shared = Shared { store, clock, counters: Counters::default(), complaint: Complaint::default() };
        Arc::new_cyclic(|myself| Self {
            shared: Arc::new(shared),
            pools: Mutex::default(),
            tending: Mutex::default(),
            myself: Weak::clone(myself),
        })
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool of this name under these limits.
    pub(super) fn pool(&self, id: PoolId, limits: &Limits) -> Arc<Pool> {
        let mut pools = self.pools();
        let same = pools.entry(id.clone()).or_default();
        if let Some(pool) = same.iter().find(|pool| pool.limits == *limits) {
            return Arc::clone(pool);
        }
        let writer = Writer(unique(&*self.shared, &*self.shared.clock));
        let pool = Arc::new(Pool::new(id, *limits, writer, Arc::clone(&self.shared)));
        same.push(Arc::clone(&pool));
        pool
    }

    /// What is left of these limits: what the store has not granted, and what is held here. It asks for nothing and counts
    /// nothing.
    pub(crate) async fn look(&self, id: &PoolId, limits: &Limits) -> Result<Vec<Standing>, StoreError> {
        let answer = self.shared.store.lease(id, limits, &Call::look()).await?;
        let held = self.pools().get(id).map_or(0, |pools| pools.iter().map(|pool| pool.held()).sum());
        Ok(Policy::of(id.level(), limits).map(|policy| answer.standing(policy, held)).collect())
    }

    /// Begins to tend the pools, unless somebody does.
    pub(super) fn see_to_it(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut tending = self.tending.lock().unwrap_or_else(PoisonError::into_inner);
        // A runtime may end before the manager does, as each of actix's workers has one.
        if tending.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let limiter = Weak::clone(&self.myself);
        *tending = Some(runtime.spawn(async move {
            loop {
                tokio::time::sleep(TENDED).await;
                let Some(limiter) = limiter.upgrade() else { return };
                limiter.tend().await;
            }
        }));
    }

    /// Gives back what is not used, asks for windows to come, and forgets pools that nobody needs.
    pub(crate) async fn tend(&self) {
        let pools = self.all();
        // What no key is charged to any more is held by this list and the one that it is of.
        let is_needed = |pool: &Arc<Pool>| Arc::strong_count(pool) > 2;
        let tended = async |pool: Arc<Pool>| pool.tend(is_needed(&pool)).await;
        futures_util::stream::iter(pools).for_each_concurrent(AT_ONCE, tended).await;
        self.pools().retain(|_, same| {
            same.retain(|pool| Arc::strong_count(pool) > 1 || !pool.is_idle());
            !same.is_empty()
        });
    }

    fn all(&self) -> Vec<Arc<Pool>> {
        self.pools().values().flatten().cloned().collect()
    }

    /// Gives back all that is held.
    pub(crate) async fn leave(&self) {
        let left = async |pool: Arc<Pool>| pool.leave().await;
        futures_util::stream::iter(self.all()).for_each_concurrent(AT_ONCE, left).await;
    }

    pub(crate) fn statistics(&self) -> LimiterStatistics {
        self.shared.counters.statistics(self.pools().values().map(Vec::len).sum())
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
