//! How many requests may come at once: a token bucket that refills at the rate of the minute (GCRA).
//!
//! A lease lets tokens be spent up to `tau` after they were granted, so that without a remedy *burst + rate tau* could be
//! spent at once: what was held, and what has refilled since. The remedy: whoever grants tokens to be held first lowers the
//! bucket to *burst - rate tau*. From then until any moment within `tau`, what was granted and what is in the bucket are
//! together at most the burst. `tau` is chosen so that this gives up at most a tenth of it; a burst below ten is never held.

use serde::{Deserialize, Serialize};

use super::window::Millis;
use crate::limits::{Limits, MAX_BURST};

/// The longest that tokens of a bucket may be held.
const LONGEST: Millis = 2_000;
/// What part of the burst is given up for leases.
const PART: u64 = 10;
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
        Self { level: shape.full(), at: now }
    }

    /// The bucket as it is at `now`.
    #[must_use]
    pub fn refilled(self, shape: Shape, now: Millis) -> Self {
        let refill = now.saturating_sub(self.at).saturating_mul(shape.per_minute);
        Self { level: self.level.saturating_add(refill).min(shape.full()), at: now.max(self.at) }
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
        Self { level: self.level.min(shape.full() - shape.given_up().saturating_mul(TOKEN).min(shape.full())), ..self }
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
