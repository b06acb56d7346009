//! What was last heard of the limits: what clients are told, and what is let in while nothing more is heard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Tick;
use crate::limiter::call::Answer;
use crate::limiter::exchange::Heard;
use crate::limiter::policy::{Bound, Policy, Standing};
use crate::limiter::window::{Millis, Window};
use crate::limits::Limits;

/// It is read while it is written: what clients are told may be of two answers.
#[derive(Debug, Default)]
pub(super) struct View {
    left: [AtomicU64; 4],
    /// In ticks, when the windows of `left` end.
    ends: [AtomicU64; 4],
    burst: AtomicU64,
    /// The store's clock, and in ticks when it was heard.
    store_now: AtomicU64,
    at: AtomicU64,
}

impl View {
    pub(super) fn see(&self, answer: &Answer, heard: Heard, received: Tick) {
        for (place, window) in Window::ALL.into_iter().enumerate() {
            self.left[place].store(answer.left[place].unwrap_or(u64::MAX), Ordering::Relaxed);
            if answer.left[place].is_some() {
                let end = heard.shows(window.end(answer.now));
                self.ends[place].store(end.as_nanos(), Ordering::Relaxed);
            }
        }
        self.burst.store(answer.burst.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.store_now.store(answer.now, Ordering::Relaxed);
        self.at.store(received.as_nanos(), Ordering::Relaxed);
    }

    /// When something was last heard, if ever.
    fn at(&self) -> Option<Tick> {
        Some(self.at.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Tick::from_nanos)
    }

    /// What the store's clock shows, if it was ever heard.
    pub(super) fn store_now(&self, now: Tick) -> Option<Millis> {
        let passed = u64::try_from(now.since(self.at()?).as_millis()).unwrap_or(u64::MAX);
        Some(self.store_now.load(Ordering::Relaxed).saturating_add(passed))
    }

    /// What was left in each of [`Window::ALL`], as far as those are not over.
    pub(super) fn left(&self, now: Tick) -> [Option<u64>; 4] {
        std::array::from_fn(|place| {
            let is_present = now.as_nanos() < self.ends[place].load(Ordering::Relaxed);
            let left = self.left[place].load(Ordering::Relaxed);
            (is_present && left != u64::MAX).then_some(left)
        })
    }

    /// What is left of one of these limits, with so many tokens that are held.
    pub(super) fn standing(&self, policy: Policy, limits: &Limits, held: u64, now: Tick) -> Standing {
        match Window::ALL.into_iter().find(|window| Bound::from(*window) == policy.bound) {
            Some(window) => self.window(window, policy, held, now),
            None => self.burst(policy, limits.per_minute.unwrap_or(1).max(1), held, now),
        }
    }

    fn window(&self, window: Window, policy: Policy, held: u64, now: Tick) -> Standing {
        let place = window as usize;
        let end = Tick::from_nanos(self.ends[place].load(Ordering::Relaxed));
        if self.at().is_none() || now >= end {
            // Nothing was heard of this window.
            let whole = Duration::from_secs(policy.seconds);
            let into = now.since(end);
            let reset = if self.at().is_none() || into >= whole { whole } else { whole - into };
            return Standing { policy, remaining: policy.limit, reset };
        }
        let remaining = self.left[place].load(Ordering::Relaxed).saturating_add(held).min(policy.limit);
        Standing { policy, remaining, reset: end.since(now) }
    }

    /// Of a bucket that refills at this rate a minute.
    fn burst(&self, policy: Policy, rate: u64, held: u64, now: Tick) -> Standing {
        let left = match self.at() {
            None => policy.limit,
            Some(at) => {
                let refilled = now.since(at).as_nanos().saturating_mul(rate.into()) / NANOS_A_MINUTE;
                let refilled = u64::try_from(refilled).unwrap_or(u64::MAX);
                self.burst.load(Ordering::Relaxed).saturating_add(refilled)
            }
        };
        let remaining = left.saturating_add(held).min(policy.limit);
        let missing = u128::from(policy.limit - remaining);
        let nanos = missing.saturating_mul(NANOS_A_MINUTE) / u128::from(rate);
        Standing { policy, remaining, reset: Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX)) }
    }
}

const NANOS_A_MINUTE: u128 = 60_000_000_000;
