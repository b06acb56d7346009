//! What one instance lets in of a limit whose store is not reached, where the limit says that each has its share.

use super::call::{Call, Claims, LATEST, Outcome, Returned, Tokens, Writer};
use super::ledger::Ledger;
use super::policy::Bound;
use super::window::{Millis, Numbers};
use crate::limits::Limits;

/// A ledger of one's own, of the limits divided by the number of instances.
#[derive(Debug)]
pub(super) struct LocalShare {
    limits: Limits,
    ledger: Ledger,
    sequence: u64,
    latest: Millis,
}

impl LocalShare {
    /// The share of one among so many instances, when this was left at `heard`; of the whole limit where nothing was heard.
    pub(super) fn new(limits: &Limits, instances: u64, left: [Option<u64>; 4], heard: Millis) -> Self {
        let part = |limit: Option<u64>| limit.map(|limit| limit / instances.max(1));
        let limits = Limits {
            per_minute: part(limits.per_minute),
            per_hour: part(limits.per_hour),
            per_day: part(limits.per_day),
            per_month: part(limits.per_month),
            burst: part(limits.burst),
            ..*limits
        };
        let mut share = Self { limits, ledger: Ledger::new(), sequence: 0, latest: 0 };
        // What is not left any more counts as spent.
        let shares = [limits.per_minute, limits.per_hour, limits.per_day, limits.per_month];
        let spent = |place: usize| {
            let (share, left) = (shares[place]?, left[place]?);
            Some(share.saturating_sub(left / instances.max(1)))
        };
        let numbers = Numbers::at(heard).0;
        let before = std::array::from_fn(|place| (numbers[place], spent(place).unwrap_or_default()));
        share.call(0, heard, Some(Claims { before, recent: Vec::new() }));
        share
    }

    /// Takes so many tokens of it, or says what is short and in how many milliseconds there may be more.
    pub(super) fn take(&mut self, cost: u64, now: Millis) -> Result<(), (Bound, Millis)> {
        match self.call(cost, now, None) {
            Outcome::Denied { by, wait } => by.bound().map_or(Ok(()), |bound| Err((bound, wait))),
            _ => Ok(()),
        }
    }

    /// Gives back what was taken.
    pub(super) fn put_back(&mut self, tokens: u64) {
        // When it was taken is not known: a bucket does not credit it.
        let tokens = Tokens { numbers: Numbers::at(self.latest), tokens };
        let returned = vec![Returned { from: 0, tokens }];
        self.say(Call { returned, ..self.next(self.latest) });
    }

    fn call(&mut self, cost: u64, now: Millis, claims: Option<Claims>) -> Outcome {
        // The ledger's clock does not go back, and so no call of it is late.
        self.latest = self.latest.max(now);
        let known = claims.as_ref().map(|_| 0);
        self.say(Call { cost, known, claims, ..self.next(self.latest) })
    }

    fn next(&self, now: Millis) -> Call {
        let (sequence, not_after) = (self.sequence + 1, now.saturating_add(LATEST));
        Call { writer: Writer(1), sequence, not_after, instances: 1, ..Call::default() }
    }

    fn say(&mut self, call: Call) -> Outcome {
        self.sequence = call.sequence;
        self.ledger.call(&self.limits, &call, self.latest).outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_010_000;

    #[test]
    fn a_share_is_what_was_left_and_then_of_the_whole_limit() {
        let limits = Limits { per_minute: Some(100), per_hour: Some(1_000), ..Limits::UNLIMITED };
        let mut share = LocalShare::new(&limits, 4, [Some(20), Some(900), None, None], NOW);
        let mut taken = |at: Millis| (0..1_000).take_while(|_| share.take(1, at).is_ok()).count();
        assert_eq!(taken(NOW), 5, "a quarter of the twenty that were left");
        assert_eq!(taken(NOW + 60_000), 25, "a quarter of a hundred");
    }

    #[test]
    fn a_share_below_one_is_none_and_a_bucket_refills_at_its_share_of_the_rate() {
        let few = Limits { per_minute: Some(5), ..Limits::UNLIMITED };
        let mut share = LocalShare::new(&few, 8, [None; 4], NOW);
        assert_eq!(share.take(1, NOW), Err((Bound::Minute, 50_000)));
        let bursts = Limits { per_minute: Some(600), burst: Some(20), ..Limits::UNLIMITED };
        let mut share = LocalShare::new(&bursts, 2, [None; 4], NOW);
        let mut taken = |at: Millis| (0..1_000).take_while(|_| share.take(1, at).is_ok()).count();
        assert_eq!((taken(NOW), taken(NOW + 1_000)), (10, 5));
    }
}
