//! One pool in one instance: taking from what is held of it, and asking the store for more.
//!
//! - `held`: what is held, beside the [slot](super::slot)?
//! - `view`: what was heard?
//! - `ask`: what is said to the store, and what is done with its answer?
//! - `tend`: what is seen to in the background?

mod ask;
mod held;
mod tend;
mod view;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::ask::Asked;
use self::held::{Held, give_back, pile};
use self::view::View;
use super::call::{MAX_COST, MAX_ITEMS, Writer};
use super::exchange::{Exchange, calendar};
use super::policy::{Bound, Policy, PoolId, Standing};
use super::registry::Shared;
use super::share::LocalShare;
use super::slot::{LeaseNumber, Slot};
use super::statistics::add;
use super::window::{Millis, Numbers};
use crate::clock::Tick;
use crate::coherence::Lease;
use crate::limits::{Fallback, Limits};

/// What is left of a lease when more is asked for, in the background, in tenths.
const RENEW_AT: u64 = 3;
/// A lease of less is used up before more is asked for.
const SMALL: u64 = 10;
/// How often a request asks again whose call came to nothing.
const ATTEMPTS: usize = 16;

/// Why a pool lets a request not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Short {
    /// There is no room now; there may be at this moment.
    Until(Bound, Tick),
    /// There never is: the cost is above the limit.
    Never(Bound),
    /// Too many instances ask at once.
    Crowded,
    /// The store was not reached.
    Unreachable,
}

/// What a pool says at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Taken(LeaseNumber),
    Short(Short),
    /// The store has to be asked.
    Ask,
}

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Pool {
    slot: Slot,
    low: AtomicU64,
    is_renewing: AtomicBool,
    /// In ticks: from when what was granted for the windows to come may be spent.
    next_from: AtomicU64,
    denied_until: AtomicU64,
    /// In ticks: until when the store is not asked, because it was not reached. 0: it was reached.
    away_until: AtomicU64,
    view: View,
    waiting: AtomicU64,
    /// How often the store was another one and may have forgotten, and up to which of these it was told since. While they
    /// differ nothing is spent.
    doubts: AtomicU64,
    told: AtomicU64,
    pub(super) id: PoolId,
    pub(super) limits: Limits,
    held: Mutex<Held>,
    denied: Mutex<Option<Denied>>,
    share: Mutex<Option<LocalShare>>,
    /// The lease of what told of the pool. When it has ended, the store may have forgotten.
    epoch: Mutex<Option<Arc<Lease>>>,
    exchange: tokio::sync::Mutex<Exchange>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Denied {
    cost: u64,
    short: Short,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics between two halves of a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new(id: PoolId, limits: Limits, writer: Writer, shared: Arc<Shared>) -> Self {
        Self {
            slot: Slot::new(),
            low: AtomicU64::new(0),
            is_renewing: AtomicBool::new(false),
            next_from: AtomicU64::new(u64::MAX),
            denied_until: AtomicU64::new(0),
            away_until: AtomicU64::new(0),
            view: View::default(),
            waiting: AtomicU64::new(0),
            doubts: AtomicU64::new(0),
            told: AtomicU64::new(0),
            id,
            limits,
            held: Mutex::new(Held::nothing()),
            denied: Mutex::default(),
            share: Mutex::default(),
            epoch: Mutex::default(),
            exchange: tokio::sync::Mutex::new(Exchange::new(writer)),
            shared,
        }
    }

    /// Takes tokens out of what is held; or says what was found out lately, or that the store has to be asked.
    #[inline]
    pub(super) fn quick(self: &Arc<Self>, cost: u64, now: Tick) -> Said {
        if cost == 0 {
            return Said::Taken(LeaseNumber::NONE);
        }
        match self.slot.take(cost, now) {
            Some(taken) => {
                if taken.left < self.low.load(Ordering::Relaxed) && self.away_until.load(Ordering::Relaxed) == 0 {
                    self.renew_soon();
                }
                Said::Taken(taken.lease)
            }
            None => self.without_lease(cost, now, false),
        }
    }

    /// What can be said though nothing is held; `asks`, by one who has the exchange.
    #[cold]
    fn without_lease(&self, cost: u64, now: Tick, asks: bool) -> Said {
        if self.turn(now)
            && let Some(taken) = self.slot.take(cost, now)
        {
            return Said::Taken(taken.lease);
        }
        if let Some(short) = self.known_denial(cost, now) {
            return Said::Short(short);
        }
        let away_until = self.away_until.load(Ordering::Acquire);
        // One tries whether the store is there again; the others do not wait for it.
        if now.as_nanos() < away_until || (away_until > 0 && !asks && self.exchange.try_lock().is_err()) {
            return self.fall_back(cost);
        }
        Said::Ask
    }

    /// Why there is no room for so much, if that is known.
    pub(super) fn known_denial(&self, cost: u64, now: Tick) -> Option<Short> {
        if let Some(bound) = self.never(cost) {
            return Some(Short::Never(bound));
        }
        if now.as_nanos() >= self.denied_until.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.denied).as_ref().filter(|denied| cost >= denied.cost).map(|denied| denied.short)
    }

    /// The limit that the cost is above.
    pub(super) fn never(&self, cost: u64) -> Option<Bound> {
        let too_much = |bound: &Bound| bound.limit(&self.limits).is_some_and(|limit| cost > limit);
        let is_limited = |bound: &Bound| bound.limit(&self.limits).is_some();
        let smallest = Bound::ALL.into_iter().find(too_much);
        smallest.or_else(|| Bound::ALL.into_iter().find(is_limited).filter(|_| cost > MAX_COST))
    }

    /// How many tokens are held.
    pub(super) fn held(&self) -> u64 {
        self.slot.held()
    }

    /// Puts back what was taken.
    pub(super) fn put_back(&self, lease: LeaseNumber, cost: u64) {
        if lease == LeaseNumber::OWED {
            return self.owe_less(cost);
        }
        if !self.slot.put_back(lease, cost) {
            // Another lease is held: it goes into that, if it is of the same windows, or else back to the store; for as long as
            // it is known which windows it is of.
            let mut held = lock(&self.held);
            let origin = held.past.iter().rev().find(|(past, _)| *past == lease).map(|(_, origin)| *origin);
            let goes_on = origin == Some(held.origin) && self.limits.burst.is_none();
            if let Some(origin) = origin
                && !(goes_on && self.slot.put_back(self.slot.lease(), cost))
            {
                give_back(&mut held.returned, origin, cost);
            }
        }
        // Whoever was denied may have it now.
        self.denied_until.store(0, Ordering::Release);
    }

    /// Takes tokens, asking the store where it must.
    ///
    /// Dropping the future loses nothing: a call that was sent is said again by whoever asks next.
    pub(super) async fn take(self: &Arc<Self>, cost: u64) -> Result<Took<'_>, Short> {
        let lease = self.take_lease(cost).await?;
        Ok(Took { pool: self, lease, cost })
    }

    async fn take_lease(&self, cost: u64) -> Result<LeaseNumber, Short> {
        let _waiting = Waiting::new(&self.waiting, cost);
        for _ in 0..ATTEMPTS {
            let mut exchange = self.exchange.lock().await;
            let now = self.shared.clock.tick();
            if let Some(taken) = self.slot.take(cost, now) {
                return Ok(taken.lease);
            }
            match self.without_lease(cost, now, true) {
                Said::Taken(lease) => return Ok(lease),
                Said::Short(short) => return Err(short),
                Said::Ask => {}
            }
            match self.ask(&mut exchange, cost, false).await {
                Asked::Granted(lease) => return Ok(lease),
                Asked::Short(short) => return Err(short),
                Asked::Again => {}
                Asked::Failed => {
                    drop(exchange);
                    match self.fall_back(cost) {
                        Said::Taken(lease) => return Ok(lease),
                        Said::Short(short) => return Err(short),
                        Said::Ask => {}
                    }
                }
            }
        }
        Err(Short::Unreachable)
    }

    fn set_low(&self, filled: u64) {
        self.low.store(if filled < SMALL { 0 } else { filled / 10 * RENEW_AT }, Ordering::Relaxed);
    }

    /// Whether the store knows what was granted, and what was let in without a grant.
    fn may_spend(&self, held: &Held) -> bool {
        self.doubts.load(Ordering::Acquire) == self.told.load(Ordering::Acquire) && held.owed.is_empty()
    }

    /// Lets what is held be spent, if it may be.
    fn resume(&self, held: &Held) {
        self.slot.set_until(if self.may_spend(held) { held.until } else { Tick::NEVER });
    }

    /// Holds what was granted for the windows that have begun by now.
    fn turn(&self, now: Tick) -> bool {
        if now.as_nanos() < self.next_from.load(Ordering::Acquire) {
            return false;
        }
        let mut held = lock(&self.held);
        if now.as_nanos() < self.next_from.load(Ordering::Acquire) {
            return true;
        }
        if !self.may_spend(&held) {
            return false;
        }
        self.next_from.store(u64::MAX, Ordering::Release);
        let Some(next) = held.next.take() else { return false };
        held.take_up(&self.slot, next.origin, next.tokens, next.until, true);
        self.set_low(next.tokens);
        true
    }

    /// What is left of one of its limits, as far as this instance knows.
    pub(super) fn standing(&self, policy: Policy, now: Tick) -> Standing {
        self.view.standing(policy, &self.limits, self.slot.held(), now)
    }

    /// What the store's clock shows, as far as it is known.
    fn store_now(&self, now: Tick) -> Millis {
        self.view.store_now(now).unwrap_or_else(|| calendar(&*self.shared.clock))
    }

    /// What is let in while the store is not reached.
    fn fall_back(&self, cost: u64) -> Said {
        let counters = &self.shared.counters;
        let fallback = self.limits.fallback;
        if fallback == Fallback::Deny {
            return Said::Short(Short::Unreachable);
        }
        let tick = self.shared.clock.tick();
        let now = self.store_now(tick);
        if fallback == Fallback::LocalShare {
            let instances = self.shared.store.instances().max(1);
            let mut share = lock(&self.share);
            let share =
                share.get_or_insert_with(|| LocalShare::new(&self.limits, instances, self.view.left(tick), now));
            if let Err((bound, wait)) = share.take(cost, now) {
                return Said::Short(Short::Until(bound, tick.after(Duration::from_millis(wait))));
            }
            add(&counters.local_share, 1);
        } else {
            add(&counters.open, 1);
        }
        let mut held = lock(&self.held);
        pile(&mut held.owed, Numbers::at(now), cost);
        if held.owed.len() > MAX_ITEMS {
            // In the later of their windows: hours and days stay exact but where they turn.
            let first = held.owed.remove(0);
            let numbers = held.owed[0].numbers;
            pile(&mut held.owed, numbers, first.tokens);
        }
        Said::Taken(LeaseNumber::OWED)
    }

    /// What was let in without a grant was not let in after all.
    fn owe_less(&self, cost: u64) {
        if let Some(share) = &mut *lock(&self.share) {
            share.put_back(cost);
        }
        // Told already, it is counted for a request that was denied: then it is lost, as what was granted would be.
        if let Some(owed) = lock(&self.held).owed.last_mut() {
            owed.tokens = owed.tokens.saturating_sub(cost);
        }
    }

    fn reached(&self) {
        if self.away_until.swap(0, Ordering::AcqRel) > 0 {
            *lock(&self.share) = None;
        }
    }

    /// What told of the pool was read under this lease. Where the last one has ended, the store may be another one.
    pub(super) fn believe(&self, lease: Option<&Arc<Lease>>) {
        let mut epoch = lock(&self.epoch);
        let is_another = match (&*epoch, lease) {
            (Some(held), Some(lease)) => !Arc::ptr_eq(held, lease) && held.has_ended(),
            _ => false,
        };
        if let Some(lease) = lease {
            *epoch = Some(Arc::clone(lease));
        }
        if is_another {
            self.suspend();
        }
    }

    /// Spends nothing before the store knows what was granted.
    fn suspend(&self) {
        let mut held = lock(&self.held);
        self.doubts.fetch_add(1, Ordering::AcqRel);
        self.slot.set_until(Tick::NEVER);
        held.next = None;
        self.next_from.store(u64::MAX, Ordering::Release);
    }
}

/// What was taken out of a pool, and goes back unless it is kept.
#[derive(Debug)]
pub(super) struct Took<'a> {
    pool: &'a Pool,
    lease: LeaseNumber,
    cost: u64,
}

impl Took<'_> {
    /// The lease it came from. It does not go back by itself any more.
    pub(super) fn keep(mut self) -> LeaseNumber {
        self.cost = 0;
        self.lease
    }
}

impl Drop for Took<'_> {
    fn drop(&mut self) {
        if self.cost > 0 {
            self.pool.put_back(self.lease, self.cost);
        }
    }
}

/// What those who wait for the exchange will ask for.
struct Waiting<'a> {
    waiting: &'a AtomicU64,
    cost: u64,
}

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicU64, cost: u64) -> Self {
        waiting.fetch_add(cost, Ordering::Relaxed);
        Self { waiting, cost }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.cost, Ordering::Relaxed);
    }
}
