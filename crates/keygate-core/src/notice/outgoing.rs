//! A notice on its way: to whom it is still to be brought, and how often that was tried.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::event::Notice;
use super::parcel::{MAX_PARCEL_BYTES, Parcel};
use super::webhook::WebhookId;
use crate::store::StoreError;

/// The version of the form in which notices are kept.
const VERSION: u8 = 1;
/// How long after each failure a receiver is tried again, as the Standard Webhooks advise: for some three days.
const DELAYS: [TimeDelta; 9] = [
    TimeDelta::seconds(5),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(5),
    TimeDelta::hours(10),
    TimeDelta::hours(14),
    TimeDelta::hours(20),
    TimeDelta::hours(24),
];
/// The longest that a receiver may ask to be left alone.
const LONGEST_ASKED: TimeDelta = TimeDelta::hours(1);
/// The most characters that are kept of why a receiver did not take something.
const MAX_REASON: usize = 300;

/// To whom notices are brought.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// A [`Notifier`](super::Notifier), by its name.
    Notifier(String),
    /// A webhook of the organization.
    Webhook(WebhookId),
}

/// A receiver to whom a notice is still to be brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) to: Receiver,
    /// How often it did not take it.
    pub(super) attempts: u32,
    /// When it is next tried.
    pub(super) next: DateTime<Utc>,
    /// Since when it is to be brought there.
    pub(super) since: DateTime<Utc>,
}

impl Target {
    pub(super) fn new(to: Receiver, now: DateTime<Utc>) -> Self {
        Self { to, attempts: 0, next: now, since: now }
    }
}

/// A receiver that did not take a notice, and is not tried any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failed {
    /// Who it is.
    pub receiver: Receiver,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it did not take it the last time.
    pub reason: String,
}

/// A notice on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    version: u8,
    pub(crate) notice: Notice,
    /// Whether what it tells of is known to have come to pass.
    pub(super) is_sure: bool,
    /// That there was no room for it but for notifiers: webhooks are not told.
    #[serde(default)]
    pub(super) is_for_notifiers: bool,
    /// Who has not taken it yet; `None` until that is first asked.
    pub(super) targets: Option<Vec<Target>>,
    #[serde(default)]
    pub(crate) failed: Vec<Failed>,
}

/// How a receiver is to be tried again.
pub(super) enum Again {
    /// After the next of the delays.
    Backoff,
    /// Not before this has passed.
    After(std::time::Duration),
    /// Not at all.
    Never,
}

impl Outgoing {
    pub(super) fn new(notice: Notice, is_sure: bool) -> Self {
        Self { version: VERSION, notice, is_sure, is_for_notifiers: false, targets: None, failed: Vec::new() }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let bytes = serde_json::to_vec(self).map_err(|error| StoreError::damaged("a notice to be kept", error))?;
        if bytes.len() > MAX_PARCEL_BYTES {
            let problem = format!("it has {} bytes, and may have {MAX_PARCEL_BYTES}", bytes.len());
            return Err(StoreError::damaged("a notice to be kept", problem));
        }
        Ok(bytes)
    }

    pub(crate) fn decode(parcel: &Parcel) -> Result<Self, StoreError> {
        let damaged = |problem: String| StoreError::damaged(format!("notice {}", parcel.id), problem);
        let outgoing: Self = serde_json::from_slice(&parcel.bytes).map_err(|error| damaged(error.to_string()))?;
        if outgoing.version != VERSION {
            return Err(damaged(format!("its version is {}, and {VERSION} is known", outgoing.version)));
        }
        if outgoing.notice.id != parcel.id || outgoing.notice.organization_id != parcel.organization {
            return Err(damaged("it is another notice".to_owned()));
        }
        Ok(outgoing)
    }

    /// That a receiver did not take it: it is tried again, or it is given up with it.
    pub(super) fn not_taken(&mut self, mut target: Target, why: &str, again: &Again, now: DateTime<Utc>) {
        target.attempts += 1;
        let delay = DELAYS.get(target.attempts as usize - 1).filter(|_| !matches!(again, Again::Never));
        let Some(delay) = delay else { return self.give_up(target, why) };
        let asked = match again {
            Again::After(asked) => TimeDelta::from_std(*asked).map_or(LONGEST_ASKED, |asked| asked.min(LONGEST_ASKED)),
            Again::Backoff | Again::Never => TimeDelta::zero(),
        };
        target.next = now + jittered(*delay).max(asked);
        self.targets.get_or_insert_default().push(target);
    }

    /// That a receiver was not tried, to be tried after a pause: or no more, after as long as others are tried.
    pub(super) fn left(&mut self, target: Target, why: &str, pause: TimeDelta, now: DateTime<Utc>) {
        if now - target.since > DELAYS.iter().sum() {
            return self.give_up(target, why);
        }
        self.targets.get_or_insert_default().push(Target { next: now + jittered(pause), ..target });
    }

    pub(super) fn give_up(&mut self, target: Target, why: &str) {
        let reason = why.chars().take(MAX_REASON).collect();
        self.failed.push(Failed { receiver: target.to, attempts: target.attempts, reason });
    }

    /// When a receiver is next to be tried.
    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        self.targets.iter().flatten().map(|target| target.next).min()
    }

    /// Tries those again that it was given up with, from the beginning.
    pub(crate) fn redrive(&mut self, now: DateTime<Utc>) {
        let again = self.failed.drain(..).map(|failed| Target::new(failed.receiver, now));
        self.targets.get_or_insert_default().extend(again);
    }
}

/// A delay, or up to a tenth more: so that what failed together is not tried together.
pub(super) fn jittered(delay: TimeDelta) -> TimeDelta {
    let mut byte = [0];
    // Without random bytes there is no jitter.
    let _ = getrandom::fill(&mut byte);
    delay + delay / 2560 * i32::from(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_grows_by_a_tenth_at_most() {
        for delay in DELAYS {
            for _ in 0..100 {
                let jittered = jittered(delay);
                assert!(jittered >= delay && jittered <= delay + delay / 10, "{jittered}");
            }
        }
    }
}
