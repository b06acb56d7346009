//! What an instance says to a store about a pool, and what it is answered.
//!
//! A call names its writer, its place among the writer's calls, and until when, on the store's clock, it may be done. A call
//! that comes again gets its first answer again; one that comes late or out of order does nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::{Bound, Policy, Standing};
use super::window::{Millis, Numbers, Window};

/// How far ahead a call may name the time until when it may be done.
pub const LATEST: Millis = 10_000;
/// How long after that time its writer is remembered. What an instance was granted within [`RECENT`] is told one by one when
/// a store may have forgotten it, so that a writer who is not known any more though it was granted something so lately was
/// forgotten, and did not merely stay away.
pub const REMEMBERED: Millis = 15_000;
/// How long ago a grant may be to be told by itself.
pub const RECENT: Millis = 8_000;
/// The most writers that one ledger remembers; the next is told to wait.
pub const MAX_WRITERS: usize = 1_024;
/// The most things that one call gives back, and the most recent grants that it tells of.
pub const MAX_ITEMS: usize = 16;
/// The most that one request may cost.
pub const MAX_COST: u64 = 1_000_000_000;
/// The most tokens that are ever counted or held: what fits in 40 bits.
pub const MAX_TOKENS: u64 = (1 << 40) - 1;

/// One life of one pool in one instance: random, so that no two are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Writer(pub u64);

/// Tokens, and the windows they were granted in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// The windows.
    pub numbers: Numbers,
    /// How many.
    pub tokens: u64,
}

/// Tokens that come back unspent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Returned {
    /// When they were granted, which is [`Grant::from`]: a bucket credits them by it. 0 is not said.
    pub from: Millis,
    /// How many, and of which windows.
    pub tokens: Tokens,
}

/// Something that was granted lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// The call it was granted by.
    pub sequence: u64,
    /// What was granted.
    pub granted: Tokens,
}

/// What an instance was granted in the present windows, told when the store may have forgotten it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// What it was granted before all that is told one by one: in each of [`Window::ALL`], the number of the window and how
    /// much of it.
    pub before: [(u64, u64); 4],
    /// What it was granted lately, at most [`MAX_ITEMS`].
    pub recent: Vec<Recent>,
}

/// A call for tokens of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Whose call it is.
    pub writer: Writer,
    /// Its place among the writer's calls of this pool: 1 for the first.
    pub sequence: u64,
    /// Until when it may be done, on the store's clock.
    pub not_after: Millis,
    /// What the request that waits for it costs, at most [`MAX_COST`]; 0 where none waits.
    pub cost: u64,
    /// What more the instance would like to hold.
    pub want: u64,
    /// How many instances share the pool, this one among them.
    pub instances: u64,
    /// What it gives back, at most [`MAX_ITEMS`].
    pub returned: Vec<Returned>,
    /// For the windows that begin when the first of the present ones ends, and not for the present ones.
    pub ahead: bool,
    /// When the ledger that answered before was made; `None` where none has answered.
    pub known: Option<Millis>,
    /// What it was granted, where the store may have forgotten.
    pub claims: Option<Claims>,
    /// What it let in without a grant while the store was not reached, at most [`MAX_ITEMS`].
    pub owed: Vec<Tokens>,
}

impl Default for Writer {
    /// Nobody: the writer of calls that only look.
    fn default() -> Self {
        Self(0)
    }
}

impl Call {
    /// A call that only looks: it asks for nothing, changes nothing and is not remembered.
    #[must_use]
    pub fn look() -> Self {
        Self::default()
    }

    /// Whether it only looks.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        self.sequence == 0
    }
}

/// What was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The cost, and what more may be held.
    pub tokens: u64,
    /// From when what is held may be spent, on the store's clock. It counts in the windows of that time.
    pub from: Millis,
    /// Until when.
    pub until: Millis,
}

impl Grant {
    /// The windows it counts in.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers::at(self.from)
    }
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

impl Shortage {
    /// The limit that is short; `None` where none is.
    #[must_use]
    pub fn bound(self) -> Option<Bound> {
        match self {
            Self::Window(window) => Some(window.into()),
            Self::Burst => Some(Bound::Burst),
            Self::Writers => None,
        }
    }
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
    /// It came too late, or after a later one, or only looks; or asks ahead where that cannot be. Nothing was done now: of a
    /// call that was sent twice, a copy may have been done before.
    Late,
    /// The ledger is not the one that answered before, and the call does not say what was granted: nothing was done.
    Forgotten,
}

impl Outcome {
    /// Whether all was done that the call says beside asking for tokens.
    #[must_use]
    pub fn is_done(self) -> bool {
        match self {
            Self::Granted(_) => true,
            Self::Denied { by, .. } => by.bound().is_some(),
            Self::Late | Self::Forgotten => false,
        }
    }
}

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// The store's clock.
    pub now: Millis,
    /// When the ledger was made.
    pub born: Millis,
    /// What is left ungranted in each of [`Window::ALL`] after it; `None` where it has no limit.
    pub left: [Option<u64>; 4],
    /// What is left in the bucket; `None` where there is none.
    pub burst: Option<u64>,
}

impl Answer {
    /// What is left of a limit when the answer was given, with so many tokens that the one who asks holds.
    #[must_use]
    pub fn standing(&self, policy: Policy, held: u64) -> Standing {
        let window = Window::ALL.into_iter().find(|window| Bound::from(*window) == policy.bound);
        let left = window.map_or(self.burst, |window| self.left[window as usize]).unwrap_or(policy.limit);
        let remaining = left.saturating_add(held).min(policy.limit);
        let reset = match window {
            Some(window) => Duration::from_millis(window.end(self.now) - self.now),
            // In `seconds` the whole bucket refills.
            None => Duration::from_secs(policy.seconds)
                .mul_f64((policy.limit - remaining) as f64 / policy.limit.max(1) as f64),
        };
        Standing { policy, remaining, reset }
    }
}
