//! Do the store's clock and this machine's agree?
//!
//! A lease is counted on an instance's own clock and needs no agreement. Quotas, reservations and registrations go by the
//! store's clock, the expiry of keys by the instances'.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::store::Finding;

use super::ask::Answer;

const CHECK: &str = "clock";
/// Clocks that are kept in time differ by milliseconds.
const TOLERATED: TimeDelta = TimeDelta::seconds(1);

/// The server's time, and this machine's in the same moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    server: DateTime<Utc>,
    here: DateTime<Utc>,
    /// The moment is known as well as this.
    doubt: TimeDelta,
}

impl Reading {
    /// What TIME answered, when it was sent, and how long it took.
    pub(super) fn new(seconds: i64, micros: i64, sent: DateTime<Utc>, trip: Duration) -> Self {
        let nanos = u32::try_from(micros).ok().and_then(|micros| micros.checked_mul(1000)).unwrap_or_default();
        let server = DateTime::from_timestamp(seconds, nanos).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        let doubt = TimeDelta::from_std(trip / 2).unwrap_or(TimeDelta::MAX);
        Self { server, here: sent.checked_add_signed(doubt).unwrap_or(sent), doubt }
    }

    /// The server's time.
    pub(super) fn server(&self) -> DateTime<Utc> {
        self.server
    }
}

pub(super) fn judge(clock: &Answer<Reading>) -> Finding {
    let reading = match clock {
        Ok(reading) => reading,
        Err(silence) => {
            let observed = format!("the store's clock is not known: {silence}");
            return Finding::unknown(CHECK, observed, silence.advice());
        }
    };
    let ahead = reading.server.signed_duration_since(reading.here);
    let apart = ahead.abs();
    let seconds = apart.num_milliseconds() as f64 / 1000.0;
    if apart <= TOLERATED + reading.doubt.min(TOLERATED) {
        return Finding::ok(CHECK, format!("the store's clock and this machine's are {seconds:.3} s apart"));
    }
    let side = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
    Finding::warning(
        CHECK,
        format!("the store's clock is {seconds:.1} s {side} this machine's"),
        "keep the clocks of the store and of the services in time (NTP): keys end by the one and count against quotas by \
         the other",
    )
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::ask::Silence;
    use super::*;

    fn seen(ahead_millis: i64, trip: Duration) -> Finding {
        let sent = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        let server = sent + trip / 2 + TimeDelta::milliseconds(ahead_millis);
        let micros = i64::from(server.timestamp_subsec_micros());
        judge(&Ok(Reading::new(server.timestamp(), micros, sent, trip)))
    }

    #[test]
    fn clocks_apart_by_more_than_a_second_are_a_warning() {
        let trip = Duration::from_millis(2);
        for near in [0, 900, -900] {
            assert_eq!(seen(near, trip).verdict, Verdict::Ok, "{near}");
        }
        let (ahead, behind) = (seen(5000, trip), seen(-5000, trip));
        assert_eq!((ahead.verdict, behind.verdict), (Verdict::Warning, Verdict::Warning));
        assert!(ahead.observed.contains("5.0 s ahead of") && behind.observed.contains("5.0 s behind"), "{ahead:?}");
        // What a slow answer leaves open is not held against it.
        assert_eq!(seen(1400, Duration::from_secs(1)).verdict, Verdict::Ok);
    }

    #[test]
    fn a_time_that_is_not_told_is_unknown_and_one_that_makes_no_sense_is_not_believed() {
        assert_eq!(judge(&Err(Silence::Forbidden("TIME"))).verdict, Verdict::Unknown);
        let sent = Utc::now();
        assert_eq!(judge(&Ok(Reading::new(i64::MAX, -1, sent, Duration::ZERO))).verdict, Verdict::Warning);
    }
}
