//! For how long what was read may be believed.

use std::time::Duration;

use super::SettingsError;

/// Shorter, and a busy moment of either side looks like a lost connection.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);
/// Longer, and nobody waits for a revocation to be confirmed.
const LONGEST_LEASE: Duration = Duration::from_secs(60);
const LONGEST_STALENESS: Duration = Duration::from_secs(60 * 60);

/// The lease H, and the most that anybody may believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) lease: Duration,
    pub(crate) max_staleness: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { lease: Duration::from_secs(1), max_staleness: Duration::from_secs(5) }
    }
}

impl Terms {
    pub(crate) fn set_lease(&mut self, lease: Duration) -> Result<(), SettingsError> {
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
            return Err(SettingsError::of(format!("the lease must be 100 ms to 60 s, not {lease:?}")));
        }
        self.lease = lease;
        Ok(())
    }

    pub(crate) fn set_max_staleness(&mut self, staleness: Duration) -> Result<(), SettingsError> {
        if !(SHORTEST_LEASE..=LONGEST_STALENESS).contains(&staleness) {
            return Err(SettingsError::of(format!("the maximum staleness must be 100 ms to 1 h, not {staleness:?}")));
        }
        self.max_staleness = staleness;
        Ok(())
    }

    /// How often a heartbeat is sent.
    pub(crate) fn beat(self) -> Duration {
        self.lease / 4
    }

    /// How long its answer may take. Then the connection is taken for one that leads nowhere. Sooner would not be safer, as
    /// the lease lapses by itself; it would have a server that stands still for a moment empty every instance's cache.
    pub(crate) fn patience(self) -> Duration {
        self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let mut terms = Terms::default();
        for bad in [Duration::ZERO, Duration::from_millis(99), Duration::from_secs(61)] {
            assert!(terms.set_lease(bad).unwrap_err().to_string().starts_with("the lease "));
        }
        for bad in [Duration::ZERO, Duration::from_secs(3601)] {
            assert!(terms.set_max_staleness(bad).unwrap_err().to_string().starts_with("the maximum staleness "));
        }
        assert_eq!(terms, Terms::default());
        terms.set_lease(Duration::from_millis(100)).unwrap();
        terms.set_lease(Duration::from_secs(60)).unwrap();
    }
}
