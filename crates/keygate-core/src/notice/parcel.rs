//! What stores keep of notices: bytes under an id, and when they are due.

use chrono::{DateTime, TimeDelta, Utc};

use super::id::NoticeId;
use crate::names::OrganizationId;
use crate::store::MemoName;

/// The most notices of one organization that wait to be sent to its webhooks. What would be more, up to as many again, is
/// brought to notifiers alone and given up for webhooks, to be sent again: so a webhook that takes nothing takes no room of
/// others.
pub const MAX_WAITING: usize = 5_000;
/// The most notices of one organization that were given up and are kept; the oldest make room for the next.
pub const MAX_GIVEN_UP: usize = 1_000;
/// How long it is remembered that a notice was sent: the same cause makes no second one.
pub const SENT_KEPT: TimeDelta = TimeDelta::days(7);
/// The most bytes of a notice.
pub const MAX_PARCEL_BYTES: usize = 16 * 1024;

/// A notice as a store keeps it. The store knows what it is filed under, and nothing of what it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The tenant it concerns.
    pub organization: OrganizationId,
    /// What it is known by, in its organization.
    pub id: NoticeId,
    /// When it is next to be taken, to the millisecond. It is also what tells one taking of it from the next.
    pub due: DateTime<Utc>,
    /// What it tells.
    pub bytes: Vec<u8>,
}

impl Parcel {
    /// For stores: what it can be remembered under that this notice was sent.
    #[must_use]
    pub fn sent_name(&self) -> MemoName {
        MemoName::of("keygate/v1 sent", &[self.organization.as_str().as_bytes(), self.id.as_bytes()])
    }
}

/// How a notice is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// How many of its organization may wait, this one among them.
    pub room: usize,
    /// Whether it takes the place, the time and the bytes of one of its id that waits. Who has taken that one is then too late
    /// to settle it.
    pub replaces: bool,
}

impl Posting {
    /// There may be [`MAX_WAITING`], and whoever is there stays as it is.
    pub const USUAL: Self = Self { room: MAX_WAITING, replaces: false };
}

/// What became of a notice that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It is kept now.
    New,
    /// It is there already, or was sent not long ago.
    Known,
    /// [So many](Posting::room) of its organization wait already.
    Full,
}

/// What is to become of a notice that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is to be taken again.
    Later {
        /// When.
        due: DateTime<Utc>,
        /// What it then tells.
        bytes: Vec<u8>,
    },
    /// It was sent, which is remembered for [`SENT_KEPT`].
    Sent,
    /// It is as if it had never been.
    Forgotten,
    /// It is kept for somebody to look at, and not taken any more.
    GivenUp {
        /// When that was.
        at: DateTime<Utc>,
        /// What it then tells.
        bytes: Vec<u8>,
    },
}
