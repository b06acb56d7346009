//! What one instance and the store have said to each other about a pool: one call at a time, in order.

use std::time::Duration;

use super::call::{Answer, Call, Claims, MAX_ITEMS, MAX_TOKENS, Outcome, RECENT, Recent, Returned, Tokens, Writer};
use super::window::Millis;
use crate::clock::{Clock, Tick};

/// For how long, on the store's clock, a call may be done after it was sent.
const VALID: Millis = 2_000;
/// The rates of two clocks differ by at most this part.
const DRIFT: u32 = 5_000;
/// What is wanted is what is used in so long.
const AHEAD: Duration = Duration::from_secs(2);
/// Demand is measured over no shorter time.
const MEASURED: Duration = Duration::from_millis(100);
/// The store's clock is read to the millisecond.
const GRAIN: Duration = Duration::from_millis(1);

/// The store's clock, as it was heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) now: Millis,
    sent: Tick,
    received: Tick,
}

impl Heard {
    pub(super) fn new(answer: &Answer, sent: Tick, received: Tick) -> Self {
        Self { now: answer.now, sent, received }
    }

    /// What the store's clock shows at most at this moment.
    pub(super) fn at_most(&self, tick: Tick) -> Millis {
        let passed = tick.since(self.sent);
        self.now.saturating_add(millis(passed.saturating_add(passed / DRIFT))).saturating_add(1)
    }

    /// The last moment here at which the store's clock surely does not show `time` yet.
    pub(super) fn before(&self, time: Millis) -> Tick {
        let left = Duration::from_millis(time.saturating_sub(self.now));
        self.sent.after(left.saturating_sub(left / DRIFT).saturating_sub(GRAIN))
    }

    /// When the store's clock shows `time`, as clients are told: as far as both go on at the same rate.
    pub(super) fn shows(&self, time: Millis) -> Tick {
        self.received.after(Duration::from_millis(time.saturating_sub(self.now)))
    }

    /// The first moment here at which the store's clock surely shows `time`.
    pub(super) fn after(&self, time: Millis) -> Tick {
        let left = Duration::from_millis(time.saturating_sub(self.now));
        self.received.after(left.saturating_add(left / DRIFT).saturating_add(GRAIN))
    }
}

/// Our own clock, in the store's measure.
pub(super) fn calendar(clock: &dyn Clock) -> Millis {
    u64::try_from(clock.now().timestamp_millis()).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One side of the conversation.
#[derive(Debug)]
pub(super) struct Exchange {
    writer: Writer,
    sequence: u64,
    /// A call that was sent and whose answer is not known: it may have been done.
    pub(super) unanswered: Option<Call>,
    pub(super) heard: Option<Heard>,
    /// When the ledger that answered was made.
    born: Option<Millis>,
    before: [(u64, u64); 4],
    recent: Vec<(Recent, Tick)>,
    measured: Option<Tick>,
    /// Tokens that were used in a second, when that was last measured.
    rate: f64,
}

impl Exchange {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer,
            sequence: 0,
            unanswered: None,
            heard: None,
            born: None,
            before: [(0, 0); 4],
            recent: Vec::new(),
            measured: None,
            rate: 0.0,
        }
    }

    /// What is said next. `returned` and `owed` go with it.
    pub(super) fn compose(&mut self, clock: &dyn Clock, ask: Ask) -> Call {
        let Ask { cost, want, instances, ahead, returned, owed, tells } = ask;
        self.sequence += 1;
        let now = clock.tick();
        // Before the store was heard, its clock is taken to show what ours does; if not, it says that the call is late.
        let store_now = self.heard.map_or_else(|| calendar(clock), |heard| heard.at_most(now));
        self.forget(now);
        Call {
            writer: self.writer,
            sequence: self.sequence,
            not_after: store_now.saturating_add(VALID),
            cost,
            want,
            instances,
            returned,
            ahead,
            known: self.born,
            claims: tells.then(|| self.claims()),
            owed,
        }
    }

    /// How much is used in [`AHEAD`], or in less where it may not be held for so long: `used` since demand was last measured,
    /// and `waiting` now. Says also whether it was measured with this, so that counting begins anew.
    pub(super) fn demand(&mut self, used: u64, waiting: u64, held_for: Duration, now: Tick) -> (u64, bool) {
        let used = used.saturating_add(waiting) as f64;
        let Some(measured) = self.measured else {
            self.measured = Some(now);
            return (0, true);
        };
        let passed = now.since(measured);
        let is_measured = passed >= MEASURED;
        let rate = if is_measured { used / passed.as_secs_f64() } else { self.rate.max(used / MEASURED.as_secs_f64()) };
        if is_measured {
            (self.measured, self.rate) = (Some(now), rate);
        }
        // Less than one is none; what is beyond the numbers of either type is their greatest.
        (((rate * AHEAD.min(held_for).as_secs_f64()) as u64).min(MAX_TOKENS), is_measured)
    }

    /// Whether anything was used lately.
    pub(super) fn has_demand(&self) -> bool {
        self.rate * AHEAD.as_secs_f64() >= 1.0
    }

    /// There is no demand any more.
    pub(super) fn rest(&mut self) {
        (self.measured, self.rate) = (None, 0.0);
    }

    /// What was granted, for a store that may have forgotten.
    pub(super) fn claims(&self) -> Claims {
        Claims { before: self.before, recent: self.recent.iter().map(|(recent, _)| *recent).collect() }
    }

    /// Takes in what is the same for every answer to this call.
    pub(super) fn answered(&mut self, call: &Call, answer: &Answer, sent: Tick, received: Tick) {
        self.unanswered = None;
        self.heard = Some(Heard::new(answer, sent, received));
        if answer.outcome.is_done() {
            self.born = Some(answer.born);
            call.returned.iter().for_each(|returned| self.unclaim(returned.tokens));
            for owed in &call.owed {
                self.recent.push((Recent { sequence: call.sequence, granted: *owed }, received));
            }
        }
        if let Outcome::Granted(grant) = answer.outcome
            && grant.tokens > 0
        {
            let granted = Tokens { numbers: grant.numbers(), tokens: grant.tokens };
            self.recent.push((Recent { sequence: call.sequence, granted }, received));
            self.forget(received);
        }
    }

    /// Folds what is no longer recent.
    fn forget(&mut self, now: Tick) {
        let recent = |at: Tick| now.since(at) <= Duration::from_millis(RECENT);
        let old = self.recent.iter().take_while(|(_, at)| !recent(*at)).count();
        for (Recent { granted, .. }, _) in self.recent.drain(..old) {
            for ((number, tokens), granted_in) in self.before.iter_mut().zip(granted.numbers.0) {
                if granted_in > *number {
                    (*number, *tokens) = (granted_in, 0);
                }
                if granted_in == *number {
                    *tokens += granted.tokens;
                }
            }
        }
        // Two of the same windows in the place of the later of them: should the store have forgotten that one alone, more is
        // counted than it has forgotten, and never less. In so short a time there are no more than a few windows.
        while self.recent.len() > MAX_ITEMS {
            let same = |place: &usize| {
                let (first, _) = &self.recent[*place];
                self.recent[place + 1..].iter().any(|(later, _)| later.granted.numbers == first.granted.numbers)
            };
            let place = (0..self.recent.len() - 1).find(same).unwrap_or(0);
            let (first, _) = self.recent.remove(place);
            let later =
                self.recent[place..].iter_mut().find(|(later, _)| later.granted.numbers == first.granted.numbers);
            if let Some((later, _)) = later {
                later.granted.tokens += first.granted.tokens;
            }
        }
    }

    /// What was given back need not be told.
    fn unclaim(&mut self, returned: Tokens) {
        let same = self.recent.iter_mut().rev().find(|(recent, _)| recent.granted.numbers == returned.numbers);
        if let Some((recent, _)) = same {
            recent.granted.tokens = recent.granted.tokens.saturating_sub(returned.tokens);
            return;
        }
        for ((number, tokens), returned_to) in self.before.iter_mut().zip(returned.numbers.0) {
            if *number == returned_to {
                *tokens = tokens.saturating_sub(returned.tokens);
            }
        }
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_idle(&self, now: Tick) -> bool {
        let lately = |at: Tick| now.since(at) <= Duration::from_millis(2 * RECENT);
        self.unanswered.is_none() && !self.heard.is_some_and(|heard| lately(heard.received))
    }
}

/// What is to be said.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) cost: u64,
    pub(super) want: u64,
    pub(super) instances: u64,
    pub(super) ahead: bool,
    pub(super) returned: Vec<Returned>,
    pub(super) owed: Vec<Tokens>,
    /// The store may have forgotten what was granted.
    pub(super) tells: bool,
}
