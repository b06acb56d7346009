//! What is said in the log of trouble that every request meets: once a second, and how often beside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Tick;

/// How long one line is enough.
const QUIET: Duration = Duration::from_secs(1);

/// One kind of trouble. A store that is away for a minute is not a line for each request of that minute.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    /// When the last line was written, in nanoseconds.
    last: AtomicU64,
    /// How often there was trouble since.
    unsaid: AtomicU64,
}

impl Complaint {
    /// Has it said, unless it was said lately. `say` is told how often it was not said since the last time.
    pub(crate) fn at(&self, now: Tick, say: impl FnOnce(u64)) {
        let last = self.last.load(Ordering::Relaxed);
        let due = last == 0 || now.since(Tick::from_nanos(last)) >= QUIET;
        let turn = || self.last.compare_exchange(last, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if due && turn() {
            say(self.unsaid.swap(0, Ordering::Relaxed));
        } else {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The kinds of trouble of a manager.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    pub(crate) store_fails: Complaint,
    pub(crate) store_emptied: Complaint,
    pub(crate) ring_entry_missing: Complaint,
    pub(crate) verifiers_overloaded: Complaint,
    pub(crate) lookups_overloaded: Complaint,
    pub(crate) keeps_changing: Complaint,
    pub(crate) revocation_forgotten: Complaint,
    pub(crate) sensitive_unopened: Complaint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_a_line_a_second_that_says_how_many_there_were() {
        let complaint = Complaint::default();
        let mut said = Vec::new();
        let start = Tick::from_nanos(5);
        for nth in 0..2_500 {
            complaint.at(start.after(Duration::from_millis(nth)), |unsaid| said.push((nth, unsaid)));
        }
        assert_eq!(said, [(0, 0), (1_000, 999), (2_000, 999)]);
    }
}
