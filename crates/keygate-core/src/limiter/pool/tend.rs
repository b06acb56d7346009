//! What no request waits for: more is asked for before it is used up, and what is not used goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ask::Asked;
use super::{Pool, lock};
use crate::clock::Tick;
use crate::limiter::exchange::Exchange;
use crate::limiter::window::{Millis, Window};

/// How long before the windows turn the next ones' are asked for.
const BEFORE_TURN: Millis = 1_500;

impl Pool {
    /// Asks for more on a task, unless somebody does.
    #[cold]
    pub(super) fn renew_soon(self: &Arc<Self>) {
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
    pub(in crate::limiter) async fn tend(&self, is_needed: bool) {
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
    pub(in crate::limiter) async fn leave(&self) {
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
    pub(in crate::limiter) fn is_idle(&self) -> bool {
        let now = self.shared.clock.tick();
        let Ok(exchange) = self.exchange.try_lock() else { return false };
        let held = lock(&self.held);
        exchange.is_idle(now) && self.slot.held() == 0 && held.next.is_none() && !held.has_debts()
    }
}

struct Renewing<'a>(&'a AtomicBool);

impl Drop for Renewing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
