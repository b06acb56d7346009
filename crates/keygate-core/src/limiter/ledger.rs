//! What a store grants of a pool: one [`Ledger`] for each.
//!
//! A call names its writer, its place among the writer's calls, and until when, on the store's clock, it may be done. A call
//! that comes again gets its first answer again; one that comes late or out of order does nothing. A writer is forgotten only
//! after the time its last call named, so that no copy of it still under way can be taken for a new one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Shape};
use super::window::{Millis, Numbers, Window};
use crate::limits::Limits;

/// How far ahead a call may name the time until when it may be done.
pub const LATEST: Millis = 10_000;
/// The most writers that one ledger remembers; the next is told to wait.
pub const MAX_WRITERS: usize = 1_024;

/// One life of one instance: random, so that no two are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Writer(pub u64);

/// Tokens that go back unspent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// The windows they were granted in.
    pub numbers: Numbers,
    /// How many.
    pub tokens: u64,
}

/// A call for tokens of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whose call it is.
    pub writer: Writer,
    /// Its place among the writer's calls of this pool: 1 for the first.
    pub sequence: u64,
    /// Until when it may be done, on the store's clock.
    pub not_after: Millis,
    /// What the request that waits for it costs; 0 where none waits.
    pub cost: u64,
    /// What more the instance would like to hold.
    pub want: u64,
    /// How many instances share the pool, this one among them.
    pub instances: u64,
    /// What it gives back.
    pub returned: Option<Returned>,
    /// For the windows that begin when the first of the present ones ends, and not for the present ones.
    pub ahead: bool,
}

/// What was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The cost, and what more may be held.
    pub tokens: u64,
    /// The windows it counts in.
    pub numbers: Numbers,
    /// From when what is held may be spent, on the store's clock.
    pub from: Millis,
    /// Until when.
    pub until: Millis,
}

/// Why nothing was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shortage {
    /// The window has no room for the cost.
    Window(Window),
    /// The bucket has not.
    Burst,
    /// Too many instances ask at once.
    Writers,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Tokens were granted.
    Granted(Grant),
    /// There is no room for the cost.
    Denied {
        /// What is short.
        by: Shortage,
        /// In how many milliseconds there may be room.
        wait: Millis,
    },
    /// It came too late, or after a later one: nothing was done.
    Late,
}

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// The store's clock.
    pub now: Millis,
    /// What is left ungranted in each of [`Window::ALL`] after it; `None` where it has no limit.
    pub left: [Option<u64>; 4],
}

/// What was granted in one window, and in the one after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    number: u64,
    granted: u64,
    ahead: u64,
}

impl Count {
    /// As it is in the window of this number. Numbers do not go back.
    fn turned(self, number: u64) -> Self {
        match number.saturating_sub(self.number) {
            0 => self,
            1 => Self { number, granted: self.ahead, ahead: 0 },
            _ => Self { number, granted: 0, ahead: 0 },
        }
    }

    /// What was granted in this window or the next one.
    fn granted(&mut self, ahead: bool) -> &mut u64 {
        if ahead { &mut self.ahead } else { &mut self.granted }
    }
}

/// A writer's last call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    sequence: u64,
    outcome: Outcome,
    /// Until when a copy of it may still be on its way.
    not_after: Millis,
}

/// What a store knows of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The latest time it was told: its clock does not go back.
    now: Millis,
    counts: [Count; 4],
    bucket: Option<Bucket>,
    writers: BTreeMap<Writer, Last>,
}

impl Ledger {
    /// A pool of which nothing was granted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a call at `clock`, under these limits: those that the caller knows now.
    pub fn call(&mut self, limits: &Limits, call: &Call, clock: Millis) -> Answer {
        let now = clock.max(self.now);
        self.now = now;
        self.turn(limits, now);
        self.writers.retain(|_, last| last.not_after >= now);
        let outcome = self.answer(limits, call, now);
        Answer { outcome, now, left: self.left(limits) }
    }

    /// When nothing of it is needed any more.
    #[must_use]
    pub fn expires(&self) -> Millis {
        // What was granted ahead is needed until the end of the next window.
        let ends = Window::ALL.map(|window| window.end(window.end(self.now)));
        ends.into_iter().max().unwrap_or(Millis::MAX)
    }

    fn turn(&mut self, limits: &Limits, now: Millis) {
        for (count, number) in self.counts.iter_mut().zip(Numbers::at(now).0) {
            *count = count.turned(number);
        }
        self.bucket = Shape::of(limits).map(|shape| match self.bucket {
            Some(bucket) => bucket.refilled(shape, now),
            None => Bucket::full(shape, now),
        });
    }

    fn answer(&mut self, limits: &Limits, call: &Call, now: Millis) -> Outcome {
        if call.not_after < now || call.not_after > now + LATEST {
            return Outcome::Late;
        }
        match self.writers.get(&call.writer) {
            Some(last) if last.sequence == call.sequence => return last.outcome,
            Some(last) if last.sequence > call.sequence => return Outcome::Late,
            None if self.writers.len() >= MAX_WRITERS => {
                return Outcome::Denied { by: Shortage::Writers, wait: 1_000 };
            }
            _ => {}
        }
        if let Some(returned) = call.returned {
            self.take_back(returned);
        }
        let outcome = self.grant(limits, call, now);
        let last = Last { sequence: call.sequence, outcome, not_after: call.not_after };
        self.writers.insert(call.writer, last);
        outcome
    }

    /// Counts in the windows that still are those they were granted in.
    fn take_back(&mut self, returned: Returned) {
        for (count, number) in self.counts.iter_mut().zip(returned.numbers.0) {
            if number == count.number {
                count.granted = count.granted.saturating_sub(returned.tokens);
            } else if number == count.number + 1 {
                count.ahead = count.ahead.saturating_sub(returned.tokens);
            }
        }
    }

    fn grant(&mut self, limits: &Limits, call: &Call, now: Millis) -> Outcome {
        let limited = |window: &Window| window.limit(limits).is_some();
        let turn = Window::ALL.into_iter().filter(limited).map(|window| window.end(now)).min().unwrap_or(Millis::MAX);
        let shape = Shape::of(limits);
        if call.ahead && (turn == Millis::MAX || shape.is_some()) {
            // Without an end there is no next window; and what a bucket will hold then is not known yet.
            return Outcome::Late;
        }
        let from = if call.ahead { turn } else { now };
        let numbers = Numbers::at(from);
        let (mut room, mut until) = (u64::MAX, Millis::MAX);
        for ((window, number), count) in Window::ALL.into_iter().zip(numbers.0).zip(&mut self.counts) {
            let Some(limit) = window.limit(limits) else { continue };
            let left = limit.saturating_sub(*count.granted(number > count.number));
            if left < call.cost {
                return Outcome::Denied { by: Shortage::Window(window), wait: window.end(from) - now };
            }
            room = room.min(left);
            until = until.min(window.end(from));
        }
        let mut held = call.want.min((room - call.cost) / (2 * call.instances.max(1)));
        if let (Some(shape), Some(bucket)) = (shape, self.bucket) {
            if bucket.tokens() < call.cost {
                return Outcome::Denied { by: Shortage::Burst, wait: bucket.wait_for(shape, call.cost) };
            }
            let lowered = bucket.lowered(shape);
            held = match shape.tau() {
                0 => 0,
                _ => held.min(lowered.tokens().saturating_sub(call.cost) / (2 * call.instances.max(1))),
            };
            until = until.min(now + shape.tau());
            let from = if held > 0 { lowered } else { bucket };
            self.bucket = Some(from.without(call.cost + held));
        }
        let tokens = call.cost + held;
        for (number, count) in numbers.0.into_iter().zip(&mut self.counts) {
            let granted = count.granted(number > count.number);
            *granted = granted.saturating_add(tokens);
        }
        Outcome::Granted(Grant { tokens, numbers, from, until })
    }

    fn left(&self, limits: &Limits) -> [Option<u64>; 4] {
        let mut left = [None; 4];
        for ((left, window), count) in left.iter_mut().zip(Window::ALL).zip(&self.counts) {
            *left = window.limit(limits).map(|limit| limit.saturating_sub(count.granted));
        }
        left
    }
}
