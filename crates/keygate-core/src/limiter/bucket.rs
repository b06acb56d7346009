//! How many requests may come at once: a token bucket that refills at the rate of the minute (GCRA).
//!
//! A lease lets tokens be spent up to `tau` after they were granted, so that without a remedy *burst + rate tau* could be
//! spent at once: what was held, and what has refilled since. The remedy: whoever grants tokens to be held first lowers the
//! bucket to *burst - rate tau*. `tau` is chosen so that this gives up at most a tenth of the burst; a burst below ten is
//! never held. A request that costs more than what refills in `tau` has nothing held beside it, so that it never pays for that:
//! at the rate of the minute there is no second one within `tau`.
//!
//! What was granted and comes back unspent is credited, as far as the bucket would have had room for it all the while. So
//! the bucket keeps of its last grants how much of each may still be *credited*, and cuts that, the oldest first, whenever
//! it and the level together are more than the bucket holds: then one that had never granted it would have run over.
//!
//! **Why no more than *burst + rate t* is spent in any time `t`.** Let *F* be the level and all that will ever be credited
//! of what was granted until now. It is at most the level and what may be credited, so it is never above the burst, and
//! whenever tokens are granted to be held it is at most *burst - rate tau* before. Refilling raises it, by no more than
//! *rate t*; a credit moves tokens within it; a grant lowers it by what will be spent of the grant. So of what is spent from
//! *s* to *e*, what was granted after *s* is at most *F(s) + rate (e - s)*. The rest, *H*, was granted to be held in the `tau`
//! before *s*; since before the first of those grants *F* has risen by at most *rate tau* and fallen by at least *H*, so that
//! *F(s) + H <= burst*.
//!
//! That takes three things. What is credited is never spent: who gives back has let go of it, and is heard once. No more is
//! credited of a grant than is kept of that grant: of two grants in one millisecond, which are kept as one, the second is left
//! out if the first was cut. And what is granted for one request alone, beside which nothing is held and the bucket was not
//! lowered, is spent when it is granted or not at all: it may not be held, so that whoever puts it back returns it.

use serde::{Deserialize, Serialize};

use super::window::Millis;
use crate::limits::{Limits, MAX_BURST};

/// The longest that tokens of a bucket may be held.
const LONGEST: Millis = 2_000;
/// What part of the burst is given up for leases.
const PART: u64 = 10;
/// Of how many grants it is kept what may be credited; of older ones nothing is.
const GRANTS: usize = 5;
/// A token in the units that a level is counted in, so that a millisecond refills `per_minute` of them: nothing is rounded.
const TOKEN: u64 = 60_000;

/// A bucket's settings: those of a pool with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    per_minute: u64,
    burst: u64,
}

/// How full a bucket was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    level: u64,
    at: Millis,
    /// What may be credited, the oldest first.
    granted: [Granted; GRANTS],
    /// Whether of the last of those something was cut.
    is_cut: bool,
}

/// What was granted in one millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Granted {
    from: Millis,
    /// How much of it may be credited, in the units of a level.
    level: u64,
}

impl Shape {
    /// The bucket of these limits, if they have a burst.
    #[must_use]
    pub fn of(limits: &Limits) -> Option<Self> {
        Some(Self { per_minute: limits.per_minute?, burst: limits.burst?.min(MAX_BURST) })
    }

    /// How many tokens refill while a lease is held.
    fn given_up(self) -> u64 {
        (self.burst / PART).min(self.per_minute.saturating_mul(LONGEST) / TOKEN)
    }

    /// For how long granted tokens may be held; 0 is not at all.
    #[must_use]
    pub fn tau(self) -> Millis {
        self.given_up().saturating_mul(TOKEN) / self.per_minute.max(1)
    }

    /// The level of a full bucket.
    fn full(self) -> u64 {
        self.burst.saturating_mul(TOKEN)
    }
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn full(shape: Shape, now: Millis) -> Self {
        Self { level: shape.full(), at: now, granted: [Granted::default(); GRANTS], is_cut: false }
    }

    /// The bucket as it is at `now`.
    #[must_use]
    pub fn refilled(self, shape: Shape, now: Millis) -> Self {
        let refill = now.saturating_sub(self.at).saturating_mul(shape.per_minute);
        Self { level: self.level.saturating_add(refill), at: now.max(self.at), ..self }.within(shape.full())
    }

    /// The bucket as it is at `now`, while no limit says at what rate it refills.
    #[must_use]
    pub fn standing(self, now: Millis) -> Self {
        Self { at: now.max(self.at), ..self }
    }

    /// The tokens in it.
    #[must_use]
    pub fn tokens(self) -> u64 {
        self.level / TOKEN
    }

    /// The bucket, as tokens may be taken out of it to be held.
    #[must_use]
    pub fn lowered(self, shape: Shape) -> Self {
        self.within(shape.full().saturating_sub(shape.given_up().saturating_mul(TOKEN)))
    }

    /// The bucket, where it holds no more than this: its level, and what may be credited.
    fn within(mut self, most: u64) -> Self {
        self.level = self.level.min(most);
        let mut room = most - self.level;
        self.is_cut |= self.granted[GRANTS - 1].level > room;
        for granted in self.granted.iter_mut().rev() {
            granted.level = granted.level.min(room);
            room -= granted.level;
        }
        self
    }

    /// Grants what a request costs, which must be in it, and up to `want` more to be held: at most one of so many `parts` of
    /// what is left. Says how many are held.
    #[must_use]
    pub fn granting(self, shape: Shape, cost: u64, want: u64, parts: u64) -> (Self, u64) {
        let lowered = self.lowered(shape);
        let held = match shape.tau() {
            0 => 0,
            _ if cost > shape.given_up() => 0,
            _ => want.min(lowered.tokens().saturating_sub(cost) / parts.max(1)),
        };
        let before = if held > 0 { lowered } else { self };
        let tokens = cost.saturating_add(held);
        (before.without(tokens).noting(tokens), held)
    }

    /// Notes that so many that were in it are granted now, and may be credited.
    fn noting(mut self, tokens: u64) -> Self {
        if tokens == 0 {
            return self;
        }
        if self.granted[GRANTS - 1].from != self.at {
            self.granted.rotate_left(1);
            self.granted[GRANTS - 1] = Granted { from: self.at, level: 0 };
            self.is_cut = false;
        }
        self.granted[GRANTS - 1].level += if self.is_cut { 0 } else { tokens * TOKEN };
        self
    }

    /// With so many put back that were granted then, as far as they may be credited.
    #[must_use]
    pub fn credited(mut self, from: Millis, tokens: u64) -> Self {
        if let Some(granted) = self.granted.iter_mut().find(|granted| granted.from == from) {
            let credited = tokens.saturating_mul(TOKEN).min(granted.level);
            granted.level -= credited;
            self.level += credited;
        }
        self
    }

    /// With so many taken out, which must be in it.
    #[must_use]
    pub fn without(self, tokens: u64) -> Self {
        Self { level: self.level.saturating_sub(tokens.saturating_mul(TOKEN)), ..self }
    }

    /// In how many milliseconds it has so many tokens.
    #[must_use]
    pub fn wait_for(self, shape: Shape, tokens: u64) -> Millis {
        tokens.saturating_mul(TOKEN).saturating_sub(self.level).div_ceil(shape.per_minute.max(1))
    }
}
