//! What an instance holds of a pool, and how it is taken: without a lock, by one exchange of one word.

use std::sync::atomic::{AtomicU64, Ordering};

use super::call::MAX_TOKENS;
use crate::clock::Tick;

/// Numbers a lease, so that what is put back goes back to it and to no other. It comes round again after 16 million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseNumber(u32);

impl LeaseNumber {
    /// Of nothing: what costs nothing is taken from no lease.
    pub const NONE: Self = Self(u32::MAX);
    /// Of what was let in without a grant, and is owed to the store. Numbers of leases have 24 bits.
    pub const OWED: Self = Self(u32::MAX - 1);
}

impl Default for LeaseNumber {
    fn default() -> Self {
        Self::NONE
    }
}

/// Tokens were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// From which lease.
    pub lease: LeaseNumber,
    /// How many were left in it.
    pub left: u64,
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

/// The bits of the word that count tokens; the others number leases.
const TOKENS: u32 = MAX_TOKENS.trailing_ones();
const ONE_LEASE: u64 = 1 << TOKENS;

#[allow(clippy::cast_possible_truncation)] // 24 bits are left.
const fn lease_of(word: u64) -> LeaseNumber {
    LeaseNumber((word >> TOKENS) as u32)
}

const fn tokens_of(word: u64) -> u64 {
    word & MAX_TOKENS
}

impl Slot {
    /// One that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes so many tokens, if they are held and may be spent now.
    #[must_use]
    #[inline]
    pub fn take(&self, cost: u64, now: Tick) -> Option<Taken> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let left = tokens_of(word).checked_sub(cost)?;
            if now.as_nanos() >= self.until.load(Ordering::Acquire) {
                return None;
            }
            match self.word.compare_exchange_weak(word, word - cost, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Taken { lease: lease_of(word), left }),
                Err(other) => word = other,
            }
        }
    }

    /// Puts so many tokens back, if that lease is still the one that is held; and says whether it was. What is not put
    /// back is lost until its windows end.
    pub fn put_back(&self, lease: LeaseNumber, tokens: u64) -> bool {
        let put = |word: u64| {
            let fits = lease_of(word) == lease && MAX_TOKENS - tokens_of(word) >= tokens;
            fits.then(|| word + tokens)
        };
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, put).is_ok()
    }

    /// What is held, whether or not it may still be spent.
    #[must_use]
    pub fn held(&self) -> u64 {
        tokens_of(self.word.load(Ordering::Acquire))
    }

    /// Which lease is held.
    #[must_use]
    pub fn lease(&self) -> LeaseNumber {
        lease_of(self.word.load(Ordering::Acquire))
    }

    /// Takes all that is held out of it, and begins another lease, of nothing. One at a time may do this, and
    /// [`fill`](Self::fill).
    pub fn empty(&self) -> u64 {
        let next = |word: u64| Some((word & !MAX_TOKENS).wrapping_add(ONE_LEASE));
        // What is given is never `None`.
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).map_or(0, tokens_of)
    }

    /// Holds these from now on, until then, in the place of what was held, which is lost: [`empty`](Self::empty) it
    /// before.
    pub fn fill(&self, tokens: u64, until: Tick) {
        // Nobody takes while the word and the time are of two leases.
        self.empty();
        self.until.store(until.as_nanos(), Ordering::Release);
        self.put_back(self.lease(), tokens.min(MAX_TOKENS));
    }

    /// Lets what is held be spent until then and no longer; [`Tick::NEVER`] is not at all.
    pub fn set_until(&self, until: Tick) {
        self.until.store(until.as_nanos(), Ordering::Release);
    }
}
