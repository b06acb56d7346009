//! One pool in one instance: taking from what is held of it, and asking the store for more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::Shape;
use super::call::{Answer, Call, Grant, MAX_COST, MAX_ITEMS, MAX_TOKENS, Outcome, Returned, Shortage, Tokens, Writer};
use super::exchange::{Ask, Exchange, Heard, calendar};
use super::policy::{Bound, Policy, PoolId, Standing};
use super::registry::Shared;
use super::share::LocalShare;
use super::slot::{LeaseNumber, Slot};
use super::statistics::add;
use super::window::{Millis, Numbers, Window};
use crate::clock::Tick;
use crate::coherence::Lease;
use crate::limits::{Fallback, Limits};
use crate::store::StoreError;

/// How long a denial is believed, while others may still give back what they hold.
const DENIED_FOR: Duration = Duration::from_millis(100);
/// How long the store is not asked again after it was not reached.
const RETRY: Duration = Duration::from_millis(250);
/// What is left of a lease when more is asked for, in the background, in tenths.
const RENEW_AT: u64 = 3;
/// A lease of less is used up before more is asked for.
const SMALL: u64 = 10;
/// Of how many leases it is known which windows they were of.
const PAST: usize = 8;
/// How often a request asks again whose call came to nothing.
const ATTEMPTS: usize = 16;
/// How long before the windows turn the next ones' are asked for.
const BEFORE_TURN: Millis = 1_500;

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

/// What came of asking the store.
enum Asked {
    Granted(LeaseNumber),
    Short(Short),
    /// Something else was done; look again.
    Again,
    Failed,
}

/// What is held beside the slot, for those who change it.
#[derive(Debug)]
struct Held {
    /// The windows of the tokens in the slot, and when they were granted.
    origin: Origin,
    until: Tick,
    /// How many tokens were in the slot when it was last changed.
    filled: u64,
    /// What was used before that, since demand was last measured.
    used: u64,
    next: Option<Next>,
    returned: Vec<Returned>,
    owed: Vec<Tokens>,
    /// Where the last leases come from, for what is put back late.
    past: VecDeque<(LeaseNumber, Origin)>,
    /// What was seen when the pool was last tended.
    tended: Option<(LeaseNumber, u64)>,
}

impl Held {
    fn nothing() -> Self {
        Self {
            origin: Origin::default(),
            until: Tick::NEVER,
            filled: 0,
            used: 0,
            next: None,
            returned: Vec::new(),
            owed: Vec::new(),
            past: VecDeque::new(),
            tended: None,
        }
    }

    /// Counts what was used of the slot until now, before it is changed.
    fn measure(&mut self, slot: &Slot) {
        let left = slot.held();
        self.used = self.used.saturating_add(self.filled.saturating_sub(left));
        self.filled = left;
    }

    /// Has what is in the slot given back with the next call.
    ///
    /// A lease of nothing goes on, so that what is put back into it later is not lost.
    fn give_up(&mut self, slot: &Slot) {
        self.measure(slot);
        if slot.held() > 0 {
            self.remember(slot.lease());
            give_back(&mut self.returned, self.origin, slot.empty());
        }
        self.filled = 0;
    }

    fn remember(&mut self, lease: LeaseNumber) {
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back((lease, self.origin));
    }

    /// Has what was granted for the windows to come given back.
    fn give_up_next(&mut self) {
        if let Some(next) = self.next.take() {
            give_back(&mut self.returned, next.origin, next.tokens);
        }
    }

    /// Fills the slot, with what may be spent until then.
    fn take_up(&mut self, slot: &Slot, origin: Origin, tokens: u64, until: Tick, spend: bool) {
        self.give_up(slot);
        self.remember(slot.lease());
        (self.origin, self.until, self.filled) = (origin, until, tokens);
        slot.fill(tokens, if spend { until } else { Tick::NEVER });
    }

    /// Has the next call say what this one let in without a grant.
    fn owe_again(&mut self, call: &Call) {
        call.owed.iter().for_each(|owed| pile(&mut self.owed, owed.numbers, owed.tokens));
    }

    /// Has the next call give back what this one did, which is known not to be done.
    fn give_back_again(&mut self, call: &Call) {
        for Returned { from, tokens: Tokens { numbers, tokens } } in &call.returned {
            give_back(&mut self.returned, Origin { numbers: *numbers, from: *from }, *tokens);
        }
    }

    fn has_debts(&self) -> bool {
        !self.returned.is_empty() || !self.owed.is_empty()
    }
}

/// Where tokens come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Origin {
    numbers: Numbers,
    /// When they were granted, on the store's clock, where that counts.
    from: Millis,
}

/// What was granted for the windows to come.
#[derive(Debug, Clone, Copy)]
struct Next {
    tokens: u64,
    origin: Origin,
    until: Tick,
}

#[derive(Debug)]
struct Denied {
    cost: u64,
    short: Short,
}

/// What was last heard of the limits. It is read while it is written: what clients are told may be of two answers.
#[derive(Debug, Default)]
struct View {
    left: [AtomicU64; 4],
    /// In ticks, when the windows of `left` end.
    ends: [AtomicU64; 4],
    burst: AtomicU64,
    /// The store's clock, and in ticks when it was heard.
    store_now: AtomicU64,
    at: AtomicU64,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics between two halves of a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to the entry of the same windows, or makes one.
fn pile(list: &mut Vec<Tokens>, numbers: Numbers, tokens: u64) {
    if tokens == 0 {
        return;
    }
    match list.iter_mut().find(|held| held.numbers == numbers) {
        Some(held) => held.tokens = held.tokens.saturating_add(tokens).min(MAX_TOKENS),
        None => list.push(Tokens { numbers, tokens }),
    }
}

/// The same, for tokens that go back.
fn give_back(list: &mut Vec<Returned>, Origin { numbers, from }: Origin, tokens: u64) {
    if tokens == 0 {
        return;
    }
    match list.iter_mut().find(|back| back.tokens.numbers == numbers && back.from == from) {
        Some(back) => back.tokens.tokens = back.tokens.tokens.saturating_add(tokens).min(MAX_TOKENS),
        None => list.push(Returned { from, tokens: Tokens { numbers, tokens } }),
    }
}

/// At most [`MAX_ITEMS`] of them, the oldest first.
fn some<T>(list: &mut Vec<T>) -> Vec<T> {
    list.drain(..list.len().min(MAX_ITEMS)).collect()
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

    /// Asks the store, for a request of this cost or for none. What was asked before and not answered is asked first.
    async fn ask(&self, exchange: &mut Exchange, cost: u64, ahead: bool) -> Asked {
        let now = self.shared.clock.tick();
        let doubts = self.doubts.load(Ordering::Acquire);
        let tells = doubts != self.told.load(Ordering::Acquire);
        let unanswered = exchange.unanswered.take().filter(|call| {
            let in_time = exchange.heard.is_none_or(|heard| heard.at_most(now) < call.not_after);
            if !in_time {
                // Whether it was done is not known any more. What was let in is counted, twice rather than not at all.
                lock(&self.held).owe_again(call);
            }
            in_time
        });
        let is_ours = unanswered.is_none();
        let mut call = unanswered.unwrap_or_else(|| self.compose(exchange, cost, ahead, tells));
        if tells && call.claims.is_none() {
            // What was said to another store is said to this one with what was granted before it: one that has done it already
            // answers as it did, and knows all that.
            call.claims = Some(exchange.claims());
        }
        let sent = self.shared.clock.tick();
        exchange.unanswered = Some(call.clone());
        let counters = &self.shared.counters;
        add(&counters.calls, 1);
        if call.claims.is_some() {
            add(&counters.told, 1);
        }
        let answer = match self.shared.store.lease(&self.id, &self.limits, &call).await {
            Ok(answer) => answer,
            Err(error @ StoreError::Damaged { .. }) => {
                add(&counters.failures, 1);
                let now = self.shared.clock.tick();
                self.shared.complaint.at(now, |unsaid| {
                    tracing::error!(%error, pool = ?self.id, unsaid, "what is kept of a limit cannot be read");
                });
                return Asked::Short(Short::Unreachable);
            }
            Err(error) => {
                add(&counters.failures, 1);
                let now = self.shared.clock.tick();
                self.away_until.store(now.after(RETRY).as_nanos(), Ordering::Release);
                self.shared.complaint.at(now, |unsaid| {
                    tracing::warn!(%error, pool = ?self.id, unsaid, "limits cannot be asked for");
                });
                return Asked::Failed;
            }
        };
        let received = self.shared.clock.tick();
        self.reached();
        exchange.answered(&call, &answer, sent, received);
        let is_done = match answer.outcome {
            Outcome::Granted(_) => true,
            Outcome::Denied { by, .. } => by != Shortage::Writers,
            Outcome::Late | Outcome::Forgotten => false,
        };
        if is_done && call.claims.is_some() {
            self.told.fetch_max(doubts, Ordering::AcqRel);
        } else if answer.outcome == Outcome::Forgotten {
            self.suspend();
        }
        self.see(&answer, exchange.heard, received);
        add(&counters.returned, call.returned.iter().map(|returned| returned.tokens.tokens).sum());
        match answer.outcome {
            Outcome::Granted(grant) => {
                add(&counters.granted, grant.tokens);
                if call.ahead {
                    self.keep_next(exchange, grant);
                    return Asked::Again;
                }
                let spent = if is_ours { cost } else { 0 };
                let lease = self.fill(exchange, grant, spent);
                if is_ours { Asked::Granted(lease) } else { Asked::Again }
            }
            Outcome::Denied { by: Shortage::Writers, .. } => {
                let mut held = lock(&self.held);
                held.give_back_again(&call);
                held.owe_again(&call);
                self.resume(&held);
                Asked::Short(Short::Crowded)
            }
            Outcome::Denied { by, wait } if is_ours && cost > 0 => {
                let short = match by {
                    Shortage::Window(window) => Short::Until(window.into(), self.room_at(exchange, wait)),
                    Shortage::Burst => Short::Until(Bound::Burst, self.room_at(exchange, wait)),
                    Shortage::Writers => Short::Crowded,
                };
                *lock(&self.denied) = Some(Denied { cost, short });
                let until = received.after(DENIED_FOR.min(Duration::from_millis(wait)));
                self.denied_until.store(until.as_nanos(), Ordering::Release);
                self.resume(&lock(&self.held));
                Asked::Short(short)
            }
            Outcome::Denied { .. } => {
                self.resume(&lock(&self.held));
                Asked::Again
            }
            Outcome::Late | Outcome::Forgotten => {
                let mut held = lock(&self.held);
                // A call that is late now may have been done when it came the first time, and to give back twice would be
                // to spend twice. One that a ledger does not know was done by none.
                if answer.outcome == Outcome::Forgotten {
                    held.give_back_again(&call);
                }
                held.owe_again(&call);
                self.resume(&held);
                Asked::Again
            }
        }
    }

    fn compose(&self, exchange: &mut Exchange, cost: u64, ahead: bool, tells: bool) -> Call {
        let now = self.shared.clock.tick();
        let mut held = lock(&self.held);
        // What may not be spent any more goes back; and what was granted before the store knew what was let in without it.
        // And what is held beside a request that it is too little for: its room is the store's to tell.
        if now >= held.until || !held.owed.is_empty() || cost > 0 {
            held.give_up(&self.slot);
        }
        held.measure(&self.slot);
        let waiting = self.waiting.load(Ordering::Relaxed);
        let (want, is_measured) = exchange.demand(held.used, waiting, self.held_for(), now);
        if is_measured {
            held.used = 0;
        }
        let (returned, owed) = (some(&mut held.returned), some(&mut held.owed));
        drop(held);
        let instances = self.shared.store.instances().max(1);
        exchange.compose(&*self.shared.clock, Ask { cost, want, instances, ahead, returned, owed, tells })
    }

    /// How long what is granted may be held.
    fn held_for(&self) -> Duration {
        Shape::of(&self.limits).map_or(Duration::MAX, |shape| Duration::from_millis(shape.tau()))
    }

    /// Holds what was granted beyond what the request takes that waited for it.
    fn fill(&self, exchange: &Exchange, grant: Grant, spent: u64) -> LeaseNumber {
        let Some(heard) = exchange.heard else { return self.slot.lease() };
        let (origin, tokens) = (self.origin(grant), grant.tokens.saturating_sub(spent));
        let mut held = lock(&self.held);
        held.measure(&self.slot);
        held.used = held.used.saturating_add(spent);
        // A bucket's tokens may be held for so long and no longer, those of each grant from when it was made.
        let goes_on = held.origin == origin && self.limits.burst.is_none() && self.shared.clock.tick() < held.until;
        if goes_on && self.slot.put_back(self.slot.lease(), tokens) {
            held.filled = self.slot.held();
            // The same moment, and nearer: it is known better.
            held.until = heard.before(grant.until);
        } else {
            let spend = self.may_spend(&held);
            held.take_up(&self.slot, origin, tokens, heard.before(grant.until), spend);
        }
        self.set_low(held.filled);
        self.resume(&held);
        self.slot.lease()
    }

    /// When something was granted counts for a bucket alone; of windows, leases of the same ones are one.
    fn origin(&self, grant: Grant) -> Origin {
        Origin { numbers: grant.numbers(), from: if self.limits.burst.is_some() { grant.from } else { 0 } }
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

    fn keep_next(&self, exchange: &Exchange, grant: Grant) {
        let Some(heard) = exchange.heard else { return };
        let next = Next { tokens: grant.tokens, origin: self.origin(grant), until: heard.before(grant.until) };
        let mut held = lock(&self.held);
        let tokens = held.next.filter(|held| held.origin == next.origin).map_or(0, |held| held.tokens);
        held.next = Some(Next { tokens: next.tokens + tokens, ..next });
        self.next_from.store(heard.after(grant.from).as_nanos(), Ordering::Release);
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

    fn room_at(&self, exchange: &Exchange, wait: Millis) -> Tick {
        exchange.heard.map_or_else(|| self.shared.clock.tick(), |heard| heard.shows(heard.now.saturating_add(wait)))
    }

    fn see(&self, answer: &Answer, heard: Option<Heard>, received: Tick) {
        let Some(heard) = heard else { return };
        for (place, window) in Window::ALL.into_iter().enumerate() {
            self.view.left[place].store(answer.left[place].unwrap_or(u64::MAX), Ordering::Relaxed);
            if answer.left[place].is_some() {
                let end = heard.shows(window.end(answer.now));
                self.view.ends[place].store(end.as_nanos(), Ordering::Relaxed);
            }
        }
        self.view.burst.store(answer.burst.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.view.store_now.store(answer.now, Ordering::Relaxed);
        self.view.at.store(received.as_nanos(), Ordering::Relaxed);
    }

    /// What is left of one of its limits, as far as this instance knows.
    pub(super) fn standing(&self, policy: Policy, now: Tick) -> Standing {
        let (held, view) = (self.slot.held(), &self.view);
        let at = view.at.load(Ordering::Relaxed);
        if policy.bound == Bound::Burst {
            let rate = self.limits.per_minute.unwrap_or(1).max(1);
            let passed = now.since(Tick::from_nanos(at)).as_nanos();
            let refilled = u64::try_from(passed.saturating_mul(rate.into()) / 60_000_000_000).unwrap_or(u64::MAX);
            let left = if at == 0 { policy.limit } else { view.burst.load(Ordering::Relaxed) };
            let remaining = left.saturating_add(refilled).saturating_add(held).min(policy.limit);
            let missing = u128::from(policy.limit - remaining);
            let nanos = missing.saturating_mul(60_000_000_000) / u128::from(rate);
            return Standing { policy, remaining, reset: Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX)) };
        }
        let place = Bound::ALL.iter().position(|bound| *bound == policy.bound).unwrap_or_default().min(3);
        let end = Tick::from_nanos(view.ends[place].load(Ordering::Relaxed));
        if at == 0 || now >= end {
            // Nothing was heard of this window.
            let whole = Duration::from_secs(policy.seconds);
            let into = now.since(end);
            let reset = if at == 0 || into >= whole { whole } else { whole - into };
            return Standing { policy, remaining: policy.limit, reset };
        }
        let remaining = view.left[place].load(Ordering::Relaxed).saturating_add(held).min(policy.limit);
        Standing { policy, remaining, reset: end.since(now) }
    }

    /// What the store's clock shows, as far as it is known.
    fn store_now(&self, tick: Tick) -> Millis {
        match self.view.at.load(Ordering::Relaxed) {
            0 => calendar(&*self.shared.clock),
            at => {
                let passed = tick.since(Tick::from_nanos(at)).as_millis();
                let passed = u64::try_from(passed).unwrap_or(u64::MAX);
                self.view.store_now.load(Ordering::Relaxed).saturating_add(passed)
            }
        }
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
            let share = share.get_or_insert_with(|| {
                let left = std::array::from_fn(|place| {
                    let is_present = tick.as_nanos() < self.view.ends[place].load(Ordering::Relaxed);
                    let left = self.view.left[place].load(Ordering::Relaxed);
                    (is_present && left != u64::MAX).then_some(left)
                });
                LocalShare::new(&self.limits, instances, left, now)
            });
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

    /// Asks for more on a task, unless somebody does.
    #[cold]
    fn renew_soon(self: &Arc<Self>) {
        if self.is_renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.is_renewing.store(false, Ordering::Release);
            return;
        };
        let pool = Arc::clone(self);
        runtime.spawn(async move {
            // Also when the task is dropped under way.
            let _renewing = Renewing(&pool.is_renewing);
            let mut exchange = pool.exchange.lock().await;
            if pool.slot.held() < pool.low.load(Ordering::Relaxed) {
                let _ = pool.ask(&mut exchange, 0, false).await;
            }
        });
    }

    /// Sees to what no request sees to: gives back what is not used, and asks for the windows to come. Nothing is used of a
    /// pool that no key is charged to.
    pub(super) async fn tend(&self, is_needed: bool) {
        let now = self.shared.clock.tick();
        // Somebody asks, and so sees to it.
        let Ok(mut exchange) = self.exchange.try_lock() else { return };
        let (is_in_use, has_debts) = self.sweep(now, is_needed);
        let is_away = now.as_nanos() < self.away_until.load(Ordering::Acquire);
        if exchange.unanswered.is_some() && !is_away {
            // What came of it is found out, and then seen to the next time.
            let _ = self.ask(&mut exchange, 0, false).await;
        } else if is_in_use && self.turns_soon(now, &exchange) {
            let _ = self.ask(&mut exchange, 0, true).await;
        } else if !is_in_use && has_debts && !is_away {
            exchange.rest();
            let _ = self.ask(&mut exchange, 0, false).await;
        }
    }

    /// Gives up what may not be spent any more, or was not used since the last time. Says whether anything was used, and
    /// whether anything is to be given back.
    fn sweep(&self, now: Tick, is_needed: bool) -> (bool, bool) {
        let mut held = lock(&self.held);
        let seen = (self.slot.lease(), self.slot.held());
        let is_in_use = is_needed && held.tended != Some(seen);
        if !is_in_use || held.next.is_some_and(|next| now >= next.until) {
            held.give_up_next();
            self.next_from.store(u64::MAX, Ordering::Release);
        }
        if now >= held.until || !is_in_use {
            held.give_up(&self.slot);
        }
        held.tended = Some((self.slot.lease(), self.slot.held()));
        (is_in_use, held.has_debts())
    }

    /// Whether the windows turn soon and nothing was granted for the next ones.
    fn turns_soon(&self, now: Tick, exchange: &Exchange) -> bool {
        let cannot = self.limits.burst.is_some() || exchange.heard.is_none() || !exchange.has_demand();
        if cannot || lock(&self.held).next.is_some() {
            return false;
        }
        let now = self.store_now(now);
        let limited = Window::ALL.into_iter().filter(|window| window.limit(&self.limits).is_some());
        limited.map(|window| window.end(now)).min().is_some_and(|turn| turn - now <= BEFORE_TURN)
    }

    /// Gives back all that is held.
    pub(super) async fn leave(&self) {
        let mut exchange = self.exchange.lock().await;
        // What is granted with what is given back, or was granted and not answered, goes the next time.
        for _ in 0..3 {
            {
                let mut held = lock(&self.held);
                held.give_up(&self.slot);
                held.give_up_next();
                self.next_from.store(u64::MAX, Ordering::Release);
                if !held.has_debts() && exchange.unanswered.is_none() {
                    return;
                }
            }
            exchange.rest();
            if matches!(self.ask(&mut exchange, 0, false).await, Asked::Failed) {
                return;
            }
        }
    }

    /// Whether nothing is lost when it is forgotten here.
    pub(super) fn is_idle(&self) -> bool {
        let now = self.shared.clock.tick();
        let Ok(exchange) = self.exchange.try_lock() else { return false };
        let held = lock(&self.held);
        exchange.is_idle(now) && self.slot.held() == 0 && held.next.is_none() && !held.has_debts()
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

struct Renewing<'a>(&'a AtomicBool);

impl Drop for Renewing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
