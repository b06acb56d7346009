//! What a store grants of a pool: one [`Ledger`] for each.
//!
//! A writer is forgotten only well after the time its last call named, so that no copy of it still under way can be taken
//! for a new one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Shape};
use super::call::{
    Answer, Call, Claims, Grant, LATEST, MAX_TOKENS, MAX_WRITERS, Outcome, REMEMBERED, Returned, Shortage, Tokens,
    Writer,
};
use super::window::{FOREVER, Millis, Numbers, Window};
use crate::limits::Limits;

/// What was granted in one window, and in the one after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    granted: u64,
    ahead: u64,
}

impl Count {
    /// As it is so many windows later.
    fn turned(self, windows: u64) -> Self {
        match windows {
            0 => self,
            1 => Self { granted: self.ahead, ahead: 0 },
            _ => Self::default(),
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
    /// When it was made; 0 before the first call.
    born: Millis,
    counts: [Count; 4],
    bucket: Option<Bucket>,
    /// The place of the longest window that ever had a limit.
    longest: u8,
    writers: BTreeMap<Writer, Last>,
}

impl Ledger {
    /// A pool of which nothing was granted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a call at `clock`, under these limits: those that the caller knows now. One that only looks changes nothing.
    pub fn call(&mut self, limits: &Limits, call: &Call, clock: Millis) -> Answer {
        if call.only_looks() {
            let mut seen = self.clone();
            seen.begin(limits, clock);
            return seen.answered(limits, Outcome::Late);
        }
        let now = self.begin(limits, clock);
        // Limits that go for a while do not shorten what is kept of them.
        self.longest = (0..)
            .zip(Window::ALL)
            .filter(|(_, window)| window.limit(limits).is_some())
            .fold(self.longest, |longest, (place, _)| longest.max(place));
        self.writers.retain(|_, last| last.not_after.saturating_add(REMEMBERED) >= now);
        let outcome = self.answer(limits, call, now);
        self.answered(limits, outcome)
    }

    /// Goes on to this time, and says which it is.
    fn begin(&mut self, limits: &Limits, clock: Millis) -> Millis {
        let now = clock.min(FOREVER).max(self.now);
        if self.born == 0 {
            self.born = now.max(1);
        }
        self.turn(limits, now);
        now
    }

    fn answered(&self, limits: &Limits, outcome: Outcome) -> Answer {
        let burst = self.bucket.filter(|_| Shape::of(limits).is_some()).map(Bucket::tokens);
        Answer { outcome, now: self.now, born: self.born, left: self.left(limits), burst }
    }

    /// When nothing of it is needed any more: when the window after the longest that ever had a limit ends.
    #[must_use]
    pub fn expires(&self) -> Millis {
        let longest = Window::ALL.get(usize::from(self.longest)).copied().unwrap_or(Window::Month);
        longest.end(longest.end(self.now)).saturating_add(REMEMBERED)
    }

    fn turn(&mut self, limits: &Limits, now: Millis) {
        let (before, after) = (Numbers::at(self.now), Numbers::at(now));
        self.now = now;
        for (count, (before, after)) in self.counts.iter_mut().zip(before.0.into_iter().zip(after.0)) {
            *count = count.turned(after.saturating_sub(before));
        }
        // One that no limit speaks of now is not full when a limit does again.
        self.bucket = match (Shape::of(limits), self.bucket) {
            (Some(shape), Some(bucket)) => Some(bucket.refilled(shape, now)),
            (Some(shape), None) => Some(Bucket::full(shape, now)),
            (None, bucket) => bucket.map(|bucket| bucket.standing(now)),
        };
    }

    fn answer(&mut self, limits: &Limits, call: &Call, now: Millis) -> Outcome {
        let is_late = call.not_after < now || call.not_after > now + LATEST;
        match self.writers.get(&call.writer) {
            Some(last) if last.sequence == call.sequence => return last.outcome,
            Some(last) if last.sequence > call.sequence => return Outcome::Late,
            _ if is_late => return Outcome::Late,
            None if self.writers.len() >= MAX_WRITERS => {
                return Outcome::Denied { by: Shortage::Writers, wait: 1_000 };
            }
            _ => {}
        }
        let has_window = Window::ALL.into_iter().any(|window| window.limit(limits).is_some());
        if call.ahead && (!has_window || Shape::of(limits).is_some()) && !self.is_forgotten(call) {
            // Without an end there is no next window; and what a bucket will hold then is not known yet.
            return Outcome::Late;
        }
        match &call.claims {
            Some(claims) => self.remind(call, claims),
            None if self.is_forgotten(call) => return Outcome::Forgotten,
            None => {}
        }
        for returned in &call.returned {
            self.take_back(*returned);
        }
        for owed in &call.owed {
            self.count(*owed);
        }
        let outcome = self.grant(limits, call, now);
        let last = Last { sequence: call.sequence, outcome, not_after: call.not_after };
        self.writers.insert(call.writer, last);
        outcome
    }

    /// Whether the call takes this for the ledger that answered before, which it is not.
    fn is_forgotten(&self, call: &Call) -> bool {
        call.claims.is_none() && call.known.is_some_and(|known| known != self.born)
    }

    /// Counts what was granted and is forgotten here.
    fn remind(&mut self, call: &Call, claims: &Claims) {
        let is_another = call.known != Some(self.born);
        if is_another && call.known.is_some() {
            let present = Numbers::at(self.now).0;
            for ((count, present), (number, tokens)) in self.counts.iter_mut().zip(present).zip(claims.before) {
                if number == present {
                    count.granted = add(count.granted, tokens);
                }
            }
        }
        let known = self.writers.get(&call.writer).map_or(0, |last| last.sequence);
        for recent in claims.recent.iter().filter(|recent| recent.sequence > known) {
            self.count(recent.granted);
        }
    }

    /// Counts tokens in the windows they were granted in, as far as those are not over.
    fn count(&mut self, Tokens { numbers, tokens }: Tokens) {
        for ((count, present), number) in self.counts.iter_mut().zip(Numbers::at(self.now).0).zip(numbers.0) {
            if number == present || number == present + 1 {
                let granted = count.granted(number > present);
                *granted = add(*granted, tokens);
            }
        }
        if numbers.0[0] == Numbers::at(self.now).0[0] {
            self.bucket = self.bucket.map(|bucket| bucket.without(tokens));
        }
    }

    /// The contrary.
    fn take_back(&mut self, Returned { from, tokens: Tokens { numbers, tokens } }: Returned) {
        for ((count, present), number) in self.counts.iter_mut().zip(Numbers::at(self.now).0).zip(numbers.0) {
            if number == present || number == present + 1 {
                let granted = count.granted(number > present);
                *granted = granted.saturating_sub(tokens);
            }
        }
        self.bucket = self.bucket.map(|bucket| bucket.credited(from, tokens));
    }

    fn grant(&mut self, limits: &Limits, call: &Call, now: Millis) -> Outcome {
        let limited = |window: &Window| window.limit(limits).is_some();
        let turn = Window::ALL.into_iter().filter(limited).map(|window| window.end(now)).min().unwrap_or(FOREVER);
        let shape = Shape::of(limits);
        let from = if call.ahead { turn } else { now };
        let (present, numbers) = (Numbers::at(now).0, Numbers::at(from).0);
        let share = call.instances.max(1).saturating_mul(2);
        let (mut room, mut until) = (MAX_TOKENS, FOREVER);
        for (place, window) in Window::ALL.into_iter().enumerate() {
            let Some(limit) = window.limit(limits) else { continue };
            let left = limit.saturating_sub(*self.counts[place].granted(numbers[place] > present[place]));
            if left < call.cost {
                return Outcome::Denied { by: Shortage::Window(window), wait: window.end(from) - now };
            }
            room = room.min(left);
            until = until.min(window.end(from));
        }
        let mut held = call.want.min((room - call.cost.min(room)) / share);
        if let (Some(shape), Some(bucket)) = (shape, self.bucket) {
            if bucket.tokens() < call.cost {
                return Outcome::Denied { by: Shortage::Burst, wait: bucket.wait_for(shape, call.cost) };
            }
            let (left, holds) = bucket.granting(shape, call.cost, held, share);
            (self.bucket, held) = (Some(left), holds);
            // What is granted for one request alone may not be held.
            until = until.min(now + if held > 0 { shape.tau() } else { 0 });
        }
        let tokens = call.cost + held;
        for (place, count) in self.counts.iter_mut().enumerate() {
            let granted = count.granted(numbers[place] > present[place]);
            *granted = add(*granted, tokens);
        }
        Outcome::Granted(Grant { tokens, from, until })
    }

    fn left(&self, limits: &Limits) -> [Option<u64>; 4] {
        let mut left = [None; 4];
        for ((left, window), count) in left.iter_mut().zip(Window::ALL).zip(&self.counts) {
            *left = window.limit(limits).map(|limit| limit.saturating_sub(count.granted));
        }
        left
    }
}

fn add(granted: u64, tokens: u64) -> u64 {
    granted.saturating_add(tokens).min(MAX_TOKENS)
}
