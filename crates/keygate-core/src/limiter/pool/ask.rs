//! Asking the store: what is said to it, and what is done with its answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::held::{Next, Origin, some};
use super::{Denied, Pool, Short, lock};
use crate::clock::Tick;
use crate::limiter::bucket::Shape;
use crate::limiter::call::{Call, Grant, Outcome};
use crate::limiter::exchange::{Ask, Exchange};
use crate::limiter::slot::LeaseNumber;
use crate::limiter::statistics::add;
use crate::limiter::window::Millis;
use crate::store::StoreError;

/// How long a denial is believed, while others may still give back what they hold.
const DENIED_FOR: Duration = Duration::from_millis(100);
/// How long the store is not asked again after it was not reached.
const RETRY: Duration = Duration::from_millis(250);

/// What came of asking the store.
pub(super) enum Asked {
    Granted(LeaseNumber),
    Short(Short),
    /// Something else was done; look again.
    Again,
    Failed,
}

/// Whose call it is.
#[derive(Debug, Clone, Copy)]
enum Asks {
    /// Of the one who asks, for a request of this cost or for none.
    Itself(u64),
    /// Of one before, who was not answered.
    Again,
}

impl Pool {
    /// Asks the store, for a request of this cost or for none. What was asked before and not answered is asked first.
    pub(super) async fn ask(&self, exchange: &mut Exchange, cost: u64, ahead: bool) -> Asked {
        let doubts = self.doubts.load(Ordering::Acquire);
        let tells = doubts != self.told.load(Ordering::Acquire);
        let unanswered = self.unanswered(exchange);
        let asks = if unanswered.is_none() { Asks::Itself(cost) } else { Asks::Again };
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
            Err(error) => return self.unheard(&error),
        };
        let received = self.shared.clock.tick();
        self.reached();
        exchange.answered(&call, &answer, sent, received);
        if answer.outcome.is_done() && call.claims.is_some() {
            self.told.fetch_max(doubts, Ordering::AcqRel);
        } else if answer.outcome == Outcome::Forgotten {
            self.suspend();
        }
        if let Some(heard) = exchange.heard {
            self.view.see(&answer, heard, received);
        }
        add(&counters.returned, call.returned.iter().map(|returned| returned.tokens.tokens).sum());
        self.conclude(exchange, &call, answer.outcome, asks, received)
    }

    /// The call that was sent and not answered, if it can still be said.
    fn unanswered(&self, exchange: &mut Exchange) -> Option<Call> {
        let now = self.shared.clock.tick();
        let call = exchange.unanswered.take()?;
        let in_time = exchange.heard.is_none_or(|heard| heard.at_most(now) < call.not_after);
        if !in_time {
            // Whether it was done is not known any more. What was let in is counted, twice rather than not at all.
            lock(&self.held).owe_again(&call);
        }
        in_time.then_some(call)
    }

    /// No answer came.
    fn unheard(&self, error: &StoreError) -> Asked {
        add(&self.shared.counters.failures, 1);
        let now = self.shared.clock.tick();
        if matches!(error, StoreError::Damaged { .. }) {
            self.shared.complaint.at(now, |unsaid| {
                tracing::error!(%error, pool = ?self.id, unsaid, "what is kept of a limit cannot be read");
            });
            return Asked::Short(Short::Unreachable);
        }
        self.away_until.store(now.after(RETRY).as_nanos(), Ordering::Release);
        self.shared.complaint.at(now, |unsaid| {
            tracing::warn!(%error, pool = ?self.id, unsaid, "limits cannot be asked for");
        });
        Asked::Failed
    }

    /// Takes in what came of a call.
    fn conclude(&self, exchange: &Exchange, call: &Call, outcome: Outcome, asks: Asks, received: Tick) -> Asked {
        match outcome {
            Outcome::Granted(grant) => {
                add(&self.shared.counters.granted, grant.tokens);
                if call.ahead {
                    self.keep_next(exchange, grant);
                    return Asked::Again;
                }
                match asks {
                    Asks::Itself(cost) => Asked::Granted(self.fill(exchange, grant, cost)),
                    Asks::Again => {
                        self.fill(exchange, grant, 0);
                        Asked::Again
                    }
                }
            }
            Outcome::Denied { by, wait } => {
                let mut held = lock(&self.held);
                let Some(bound) = by.bound() else {
                    // No limit is short, and nothing was done.
                    held.give_back_again(call);
                    held.owe_again(call);
                    self.resume(&held);
                    return Asked::Short(Short::Crowded);
                };
                self.resume(&held);
                drop(held);
                let Asks::Itself(cost @ 1..) = asks else { return Asked::Again };
                let short = Short::Until(bound, self.room_at(exchange, wait));
                *lock(&self.denied) = Some(Denied { cost, short });
                let until = received.after(DENIED_FOR.min(Duration::from_millis(wait)));
                self.denied_until.store(until.as_nanos(), Ordering::Release);
                Asked::Short(short)
            }
            Outcome::Late | Outcome::Forgotten => {
                let mut held = lock(&self.held);
                // A call that is late now may have been done when it came the first time, and to give back twice would be
                // to spend twice. One that a ledger does not know was done by none.
                if outcome == Outcome::Forgotten {
                    held.give_back_again(call);
                }
                held.owe_again(call);
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

    fn keep_next(&self, exchange: &Exchange, grant: Grant) {
        let Some(heard) = exchange.heard else { return };
        let next = Next { tokens: grant.tokens, origin: self.origin(grant), until: heard.before(grant.until) };
        let mut held = lock(&self.held);
        let tokens = held.next.filter(|held| held.origin == next.origin).map_or(0, |held| held.tokens);
        held.next = Some(Next { tokens: next.tokens + tokens, ..next });
        self.next_from.store(heard.after(grant.from).as_nanos(), Ordering::Release);
    }

    fn room_at(&self, exchange: &Exchange, wait: Millis) -> Tick {
        exchange.heard.map_or_else(|| self.shared.clock.tick(), |heard| heard.shows(heard.now.saturating_add(wait)))
    }
}
