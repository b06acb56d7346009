//! All pools that one request is charged to: all or nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;

use super::policy::{Bound, Level, Policy, PoolId, Standing};
use super::pool::{Pool, Said, Short, Took};
use super::registry::{Limiter, Shared};
use super::slot::LeaseNumber;
use super::statistics::add;
use crate::clock::Tick;
use crate::coherence::Lease;
use crate::denial::{Denial, DenialReason};
use crate::limits::Limits;
use crate::record::{Key, Parents, UserRecord};

/// The levels there are, and so the most pools of one request.
const LEVELS: usize = Level::ALL.len();

/// Which limits had no room for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exceeded {
    /// Those that had none, and when they have.
    pub violated: Vec<Standing>,
    /// All that the request was held against.
    pub policies: Vec<Policy>,
    /// Whether the request can never be let in, because it costs more than a limit.
    pub is_permanent: bool,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Standing { policy, .. }) = self.violated.first() else {
            return f.write_str("A limit of the API key is used up; try again later.");
        };
        let whose = match policy.level {
            Level::Key => "API key",
            Level::User => "API key's user",
            Level::Project => "API key's project",
            Level::Organization => "API key's organization",
        };
        let limit = policy.limit;
        match (policy.bound, self.is_permanent) {
            (Bound::Burst, true) => {
                write!(f, "This request costs more than the {limit} at once of the {whose}: it is never let in.")
            }
            (bound, true) => write!(
                f,
                "This request costs more than the {limit} a {} of the {whose}: it is never let in.",
                bound.as_str()
            ),
            (Bound::Burst, false) => {
                write!(f, "The limit of {limit} at once of the {whose} is used up; try again later.")
            }
            (bound, false) => {
                write!(f, "The limit of {limit} a {} of the {whose} is used up; try again later.", bound.as_str())
            }
        }
    }
}

/// What a request was charged.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    /// The set it was charged to; 0 is none.
    serial: u64,
    cost: u64,
    leases: [LeaseNumber; LEVELS],
    /// How much of it was taken from each of those leases, and so can be put back.
    taken: [u32; LEVELS],
}

impl Charge {
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// Of a request that nothing limits.
    pub(crate) fn to_nothing(cost: u64) -> Self {
        Self { cost, ..Self::default() }
    }

    fn note(&mut self, place: usize, lease: LeaseNumber, cost: u64) {
        let before = if self.leases[place] == lease { self.taken[place] } else { 0 };
        self.leases[place] = lease;
        self.taken[place] = before.saturating_add(u32::try_from(cost).unwrap_or(u32::MAX));
    }
}

/// What can be said at once of whether a request has room.
pub(crate) enum Quick {
    Charged,
    Denied(Denial),
    /// The store has to be asked.
    Ask,
}

/// The pools of one key. In this order in memory, and not in an allocation of their own: a hit that looks at them fetches
/// one line for all of them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct LimitSet {
    serial: u64,
    /// From the first on, as many as there are.
    pools: [Option<Arc<Pool>>; LEVELS],
    policies: Vec<Policy>,
    /// The policies as the adapters write them.
    text: OnceLock<bytes::Bytes>,
    limiter: Arc<Limiter>,
}

/// The pools with limits that stand above a key, and its own. What is said of its user stands in the place of what its
/// organization says of each.
pub(crate) fn pools_of<'a>(
    key: &'a Key,
    parents: &'a Parents,
    user: Option<&'a UserRecord>,
) -> impl Iterator<Item = (PoolId, &'a Limits)> {
    let organization = parents.organization.as_ref();
    let of_each = organization.and_then(|organization| organization.user_limits.as_ref());
    let user = user.and_then(|user| user.limits.as_ref()).or(of_each);
    let project = parents.project.as_ref().and_then(|project| Some((&project.id, project.limits.as_ref()?)));
    let own = Some((PoolId::Lineage(key.lineage.root), &key.limits));
    let user = user.map(|limits| (PoolId::User(key.organization.clone(), key.user.clone()), limits));
    let project = project.map(|(id, limits)| (PoolId::Project(key.organization.clone(), id.clone()), limits));
    let organization = organization
        .and_then(|organization| organization.limits.as_ref())
        .map(|limits| (PoolId::Organization(key.organization.clone()), limits));
    [own, user, project, organization].into_iter().flatten().filter(|(_, limits)| !limits.are_none())
}

impl LimitSet {
    /// The pools of a key, whose user is known where anything is known of users. `own` is the lease that the key was read under, `above` that of what stands above it, and `before`
    /// what the key was charged to until now.
    pub(crate) fn new(
        limiter: &Arc<Limiter>,
        key: &Key,
        (parents, user): (&Parents, Option<&UserRecord>),
        own: Option<&Arc<Lease>>,
        above: Option<&Arc<Lease>>,
        before: Option<&Self>,
    ) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let mut policies = Vec::new();
        let mut pools = [const { None }; LEVELS];
        for (place, (id, limits)) in pools.iter_mut().zip(pools_of(key, parents, user)) {
            let level = id.level();
            policies.extend(Policy::of(level, limits));
            let pool = limiter.pool(id, limits);
            pool.believe(if level == Level::Key { own } else { above });
            *place = Some(pool);
        }
        // What was charged to the same pools can still be put back.
        let same = |before: &&Self| {
            before.pools.iter().zip(&pools).all(|pair| match pair {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (None, None) => true,
                _ => false,
            })
        };
        let fresh = || SERIAL.fetch_add(1, Ordering::Relaxed);
        let serial = before.filter(same).map_or_else(fresh, |before| before.serial);
        Self { serial, pools, policies, text: OnceLock::new(), limiter: Arc::clone(limiter) }
    }

    /// Whether nothing is limited.
    pub(crate) fn is_empty(&self) -> bool {
        self.pools().next().is_none()
    }

    #[inline]
    fn pools(&self) -> impl DoubleEndedIterator<Item = &Arc<Pool>> {
        self.pools.iter().flatten()
    }

    fn shared(&self) -> &Shared {
        self.limiter.shared()
    }

    /// Takes `cost` from every pool's lease, or nothing from any.
    #[inline]
    pub(crate) fn charge_at_once(&self, charge: &mut Charge, cost: u64, now: Tick) -> Quick {
        let mut leases = [LeaseNumber::default(); LEVELS];
        for (place, pool) in self.pools().enumerate() {
            match pool.quick(cost, now) {
                Said::Taken(lease) => leases[place] = lease,
                said => {
                    // Those that come before it, the last one first.
                    for before in (0..place).rev() {
                        if let Some(pool) = &self.pools[before] {
                            pool.put_back(leases[before], cost);
                        }
                    }
                    return match said {
                        Said::Short(short) => Quick::Denied(self.denial(&[(place, short)], now)),
                        // What another is known to deny need not be asked for, and would have to be put back.
                        _ => match self.known_denial(cost, now) {
                            Some(known) => Quick::Denied(self.denial(&[known], now)),
                            None => Quick::Ask,
                        },
                    };
                }
            }
        }
        self.note(charge, &leases, cost);
        Quick::Charged
    }

    /// The first pool that is known to have no room, and why.
    #[cold]
    fn known_denial(&self, cost: u64, now: Tick) -> Option<(usize, Short)> {
        let known = |(place, pool): (usize, &Arc<Pool>)| Some((place, pool.known_denial(cost, now)?));
        self.pools().enumerate().find_map(known)
    }

    /// Why a request that costs so much in all is never let in, if that is so.
    pub(crate) fn too_costly(&self, cost: u64) -> Option<Denial> {
        let never = |(place, pool): (usize, &Arc<Pool>)| Some((place, Short::Never(pool.never(cost)?)));
        let never = self.pools().enumerate().find_map(never)?;
        Some(self.denial(&[never], self.shared().clock.tick()))
    }

    /// The same, at this moment.
    pub(crate) fn charge_now(&self, charge: &mut Charge, cost: u64) -> Quick {
        self.charge_at_once(charge, cost, self.shared().clock.tick())
    }

    /// Takes `cost` from every pool, asking the store where it must, or nothing from any.
    ///
    /// Dropping the future puts back what was taken.
    pub(crate) async fn charge(&self, charge: &mut Charge, cost: u64) -> Result<(), Denial> {
        match self.charge_now(charge, cost) {
            Quick::Charged => return Ok(()),
            Quick::Denied(denial) => return Err(denial),
            Quick::Ask => {}
        }
        self.limiter.see_to_it();
        let taken = join_all(self.pools().map(|pool| pool.take(cost))).await;
        let short = |(place, taken): (usize, &Result<Took<'_>, Short>)| Some((place, taken.as_ref().err().copied()?));
        let short: Vec<(usize, Short)> = taken.iter().enumerate().filter_map(short).collect();
        if !short.is_empty() {
            // What was taken goes back.
            drop(taken);
            return Err(self.denial(&short, self.shared().clock.tick()));
        }
        let mut leases = [LeaseNumber::default(); LEVELS];
        for (lease, took) in leases.iter_mut().zip(taken.into_iter().flatten()) {
            *lease = took.keep();
        }
        self.note(charge, &leases, cost);
        Ok(())
    }

    fn note(&self, charge: &mut Charge, leases: &[LeaseNumber; LEVELS], cost: u64) {
        if charge.serial != self.serial {
            // What was taken before is of other pools, and not to be put back into these.
            (charge.serial, charge.taken) = (self.serial, [0; LEVELS]);
        }
        charge.cost += cost;
        for (place, (lease, _)) in leases.iter().zip(self.pools()).enumerate() {
            charge.note(place, *lease, cost);
        }
    }

    /// Puts back so much of what was charged, as far as the leases it came from are still held.
    pub(crate) fn put_back(&self, charge: &mut Charge, cost: u64) {
        charge.cost = charge.cost.saturating_sub(cost);
        if charge.serial != self.serial {
            // The limits have changed since: what was taken was of other pools.
            return;
        }
        for (place, pool) in self.pools().enumerate() {
            let back = charge.taken[place].min(u32::try_from(cost).unwrap_or(u32::MAX));
            charge.taken[place] -= back;
            if back > 0 {
                pool.put_back(charge.leases[place], back.into());
            }
        }
    }

    /// What is left of every limit.
    pub(crate) fn standings(&self) -> impl Iterator<Item = Standing> {
        let now = self.shared().clock.tick();
        self.policies.iter().filter_map(move |policy| {
            let pool = self.pools().find(|pool| pool.id.level() == policy.level)?;
            Some(pool.standing(*policy, now))
        })
    }

    /// The limit of which least is left; of several, the one that takes longest.
    pub(crate) fn tightest(&self) -> Option<Standing> {
        self.standings().min_by_key(|standing| (standing.remaining, std::cmp::Reverse(standing.reset)))
    }

    /// The policies as `write` writes them, once.
    pub(crate) fn text(&self, write: impl FnOnce(&[Policy]) -> bytes::Bytes) -> Option<bytes::Bytes> {
        (!self.policies.is_empty()).then(|| self.text.get_or_init(|| write(&self.policies)).clone())
    }

    #[cold]
    fn denial(&self, short: &[(usize, Short)], now: Tick) -> Denial {
        let counters = &self.shared().counters;
        // Nothing is known of the limit, or nothing can be had of it because of how many ask: trouble, and no limit.
        if short.iter().any(|(_, short)| matches!(short, Short::Unreachable | Short::Crowded)) {
            add(&counters.unreachable, 1);
            return Denial::store_unavailable();
        }
        add(&counters.denied, 1);
        let mut exceeded = Exceeded { violated: Vec::new(), policies: self.policies.clone(), is_permanent: false };
        let mut wait = Duration::ZERO;
        for (place, short) in short {
            let (bound, reset) = match *short {
                Short::Until(bound, at) => (bound, at.since(now)),
                Short::Never(bound) => {
                    exceeded.is_permanent = true;
                    (bound, Duration::ZERO)
                }
                Short::Crowded | Short::Unreachable => continue,
            };
            wait = wait.max(reset);
            let Some(level) = self.pools[*place].as_ref().map(|pool| pool.id.level()) else { continue };
            let policy = self.policies.iter().find(|policy| policy.level == level && policy.bound == bound);
            exceeded.violated.extend(policy.map(|policy| Standing { policy: *policy, remaining: 0, reset }));
        }
        let denial = Denial::new(DenialReason::RateLimitExceeded);
        let denial = if exceeded.is_permanent { denial } else { denial.retry_after(wait) };
        denial.exceeding(exceeded)
    }
}
