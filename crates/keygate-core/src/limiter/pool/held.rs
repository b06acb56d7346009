//! What is held of a pool beside the slot: of which windows it is, what goes back, and what is owed.

use std::collections::VecDeque;

use crate::clock::Tick;
use crate::limiter::call::{Call, MAX_ITEMS, MAX_TOKENS, Returned, Tokens};
use crate::limiter::slot::{LeaseNumber, Slot};
use crate::limiter::window::{Millis, Numbers};

/// Of how many leases it is known which windows they were of.
const PAST: usize = 8;

/// What is held beside the slot, for those who change it.
#[derive(Debug)]
pub(super) struct Held {
    /// The windows of the tokens in the slot, and when they were granted.
    pub(super) origin: Origin,
    pub(super) until: Tick,
    /// How many tokens were in the slot when it was last changed.
    pub(super) filled: u64,
    /// What was used before that, since demand was last measured.
    pub(super) used: u64,
    pub(super) next: Option<Next>,
    pub(super) returned: Vec<Returned>,
    pub(super) owed: Vec<Tokens>,
    /// Where the last leases come from, for what is put back late.
    pub(super) past: VecDeque<(LeaseNumber, Origin)>,
    /// What was seen when the pool was last tended.
    pub(super) tended: Option<(LeaseNumber, u64)>,
}

impl Held {
    pub(super) fn nothing() -> Self {
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
    pub(super) fn measure(&mut self, slot: &Slot) {
        let left = slot.held();
        self.used = self.used.saturating_add(self.filled.saturating_sub(left));
        self.filled = left;
    }

    /// Has what is in the slot given back with the next call.
    ///
    /// A lease of nothing goes on, so that what is put back into it later is not lost.
    pub(super) fn give_up(&mut self, slot: &Slot) {
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
    pub(super) fn give_up_next(&mut self) {
        if let Some(next) = self.next.take() {
            give_back(&mut self.returned, next.origin, next.tokens);
        }
    }

    /// Fills the slot, with what may be spent until then.
    pub(super) fn take_up(&mut self, slot: &Slot, origin: Origin, tokens: u64, until: Tick, spend: bool) {
        self.give_up(slot);
        self.remember(slot.lease());
        (self.origin, self.until, self.filled) = (origin, until, tokens);
        slot.fill(tokens, if spend { until } else { Tick::NEVER });
    }

    /// Has the next call say what this one let in without a grant.
    pub(super) fn owe_again(&mut self, call: &Call) {
        call.owed.iter().for_each(|owed| pile(&mut self.owed, owed.numbers, owed.tokens));
    }

    /// Has the next call give back what this one did, which is known not to be done.
    pub(super) fn give_back_again(&mut self, call: &Call) {
        for Returned { from, tokens: Tokens { numbers, tokens } } in &call.returned {
            give_back(&mut self.returned, Origin { numbers: *numbers, from: *from }, *tokens);
        }
    }

    pub(super) fn has_debts(&self) -> bool {
        !self.returned.is_empty() || !self.owed.is_empty()
    }
}

/// Where tokens come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) numbers: Numbers,
    /// When they were granted, on the store's clock, where that counts.
    pub(super) from: Millis,
}

/// What was granted for the windows to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) tokens: u64,
    pub(super) origin: Origin,
    pub(super) until: Tick,
}

/// Adds to the entry of the same windows, or makes one.
pub(super) fn pile(list: &mut Vec<Tokens>, numbers: Numbers, tokens: u64) {
    if tokens == 0 {
        return;
    }
    match list.iter_mut().find(|held| held.numbers == numbers) {
        Some(held) => held.tokens = held.tokens.saturating_add(tokens).min(MAX_TOKENS),
        None => list.push(Tokens { numbers, tokens }),
    }
}

/// The same, for tokens that go back.
pub(super) fn give_back(list: &mut Vec<Returned>, Origin { numbers, from }: Origin, tokens: u64) {
    if tokens == 0 {
        return;
    }
    match list.iter_mut().find(|back| back.tokens.numbers == numbers && back.from == from) {
        Some(back) => back.tokens.tokens = back.tokens.tokens.saturating_add(tokens).min(MAX_TOKENS),
        None => list.push(Returned { from, tokens: Tokens { numbers, tokens } }),
    }
}

/// At most [`MAX_ITEMS`] of them, the oldest first.
pub(super) fn some<T>(list: &mut Vec<T>) -> Vec<T> {
    list.drain(..list.len().min(MAX_ITEMS)).collect()
}
