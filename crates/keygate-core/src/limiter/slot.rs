//! What an instance holds of a pool, and how it is taken: without a lock, by one exchange of one word.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Tick;

/// Which lease tokens were taken from, so that what goes back goes back to it and to no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    lease: u64,
    cost: u64,
}

/// The tokens of the lease that is held now.
///
/// The word holds the lease's number and its tokens. Who takes reads the word, then until when it may be spent, and then
/// exchanges the word: were another lease put in its place meanwhile, the word would be another. So a token is never spent
/// after its lease's end, nor counted for another lease.
#[derive(Debug, Default)]
pub struct Slot {
    word: AtomicU64,
    /// In ticks.
    until: AtomicU64,
}

/// The bits of the word that count tokens; the others number leases, which come round again after 16 million.
const TOKENS: u32 = 40;
/// The most tokens that can be held.
pub const MOST: u64 = (1 << TOKENS) - 1;

const fn lease_of(word: u64) -> u64 {
    word >> TOKENS
}

const fn tokens_of(word: u64) -> u64 {
    word & MOST
}

const fn next_of(word: u64) -> u64 {
    (lease_of(word).wrapping_add(1) << TOKENS) & !MOST
}

impl Slot {
    /// One that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes so many tokens, if they are held and may be spent now.
    #[must_use]
    pub fn take(&self, cost: u64, now: Tick) -> Option<Taken> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if tokens_of(word) < cost || now.as_nanos() >= self.until.load(Ordering::Acquire) {
                return None;
            }
            match self.word.compare_exchange_weak(word, word - cost, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Taken { lease: lease_of(word), cost }),
                Err(other) => word = other,
            }
        }
    }

    /// Puts back what was taken, if its lease is still the one that is held; and says whether it was. What is not put back
    /// is lost until its windows end.
    pub fn put_back(&self, taken: Taken) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if lease_of(word) != taken.lease || MOST - tokens_of(word) < taken.cost {
                return false;
            }
            match self.word.compare_exchange_weak(word, word + taken.cost, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => word = other,
            }
        }
    }

    /// What is held, whether or not it may still be spent.
    #[must_use]
    pub fn held(&self) -> u64 {
        tokens_of(self.word.load(Ordering::Acquire))
    }

    /// Takes all that is held out of it, to be given back or to be put in again. One at a time may do this, and
    /// [`fill`](Self::fill).
    pub fn empty(&self) -> u64 {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            match self.word.compare_exchange_weak(word, next_of(word), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return tokens_of(word),
                Err(other) => word = other,
            }
        }
    }

    /// Holds these from now on, until then, in the place of what was held, which is lost: [`empty`](Self::empty) it
    /// before.
    pub fn fill(&self, tokens: u64, until: Tick) {
        // Nobody takes while the word and the time are of two leases.
        self.empty();
        self.until.store(until.as_nanos(), Ordering::Release);
        let word = self.word.load(Ordering::Acquire);
        self.word.store(word | tokens.min(MOST), Ordering::Release);
    }
}
